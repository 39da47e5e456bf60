/**
 * What the key server answers: keys and responses.
 *
 * @module
 */

import { type Remark, remarkOf } from "./remark.ts";
import type { IncomingRequest } from "./request.ts";

const MAX_USERS = 10_000;

interface Answer {
  status: number;
  message: string;
}

/** Answers a request; what is wrong with the key is added to its remarks. */
export function decide(request: IncomingRequest, address: string, keys: IssuedKeys): Answer {
  const { userId, key } = request;
  let { error } = request;
  if (error === undefined && key !== undefined) {
    error = keys.check(request, address);
    if (error) request.remarks.unshift(error);
  } else if (error?.code === "short-key") {
    error = keys.explainPart(request, address) ?? error;
    request.remarks[0] = error;
  }
  if (error) return { status: error.status!, message: error.message };
  if (key === undefined) return { status: 200, message: keys.issue(userId!, address) };
  return { status: 200, message: "Success: the key is right" };
}

/** The keys that were issued, to each user at each address. */
export class IssuedKeys {
  #last = new Map<string, string>(); // by user and address
  #owners = new Map<string, { userId: string; address: string }>(); // by key, old ones too

  issue(userId: string, address: string): string {
    const key = crypto.getRandomValues(new Uint8Array(64)).toHex();
    const user = `${address} ${userId}`;
    this.#last.delete(user); // a Map keeps its order: the user issued a key last comes last
    this.#last.set(user, key);
    this.#owners.set(key, { userId, address });
    forgetOldest(this.#last);
    forgetOldest(this.#owners);
    return key;
  }

  /** Tells what is wrong with the key that a PUT brings. */
  check(request: IncomingRequest, address: string): Remark | undefined {
    const [userId, key] = [request.userId!, request.key!];
    const issued = this.#last.get(`${address} ${userId}`);
    if (issued !== undefined && isEqual(key, issued)) return undefined;
    const owner = this.#owners.get(key.toLowerCase());
    if (owner && owner.userId !== userId) {
      return remarkOf("key-of-another", ...request.userSpan, userId, { owner: owner.userId });
    }
    if (owner && owner.address !== address) {
      return remarkOf("key-from-another-address", ...request.keySpan, userId);
    }
    if (issued === undefined) return remarkOf("no-key-issued", ...request.userSpan, userId);
    const code = key.toLowerCase() === issued ? "key-case" : owner ? "old-key" : "wrong-key";
    return remarkOf(code, ...request.keySpan, userId);
  }

  /** Tells which part of the key it is that a PUT brings. */
  explainPart(request: IncomingRequest, address: string): Remark | undefined {
    const [userId, part] = [request.userId!, request.keyPart!.toLowerCase()];
    const issued = this.#last.get(`${address} ${userId}`);
    // Of a shorter part it is not said whether it is right: a key could be guessed digit by digit.
    if (issued === undefined || part.length < 32) return undefined;
    const code = issued.startsWith(part)
      ? "key-start"
      : issued.endsWith(part)
      ? "key-end"
      : "key-part";
    return remarkOf(code, ...request.keySpan, userId, { length: part.length });
  }
}

function forgetOldest(map: Map<string, unknown>): void {
  if (map.size > MAX_USERS) map.delete(map.keys().next().value!);
}

/** Compares two texts of the same length in constant time. */
function isEqual(a: string, b: string): boolean {
  let difference = 0;
  for (let at = 0; at < a.length; at++) difference |= a.charCodeAt(at) ^ b.charCodeAt(at);
  return difference === 0;
}

export function concat(parts: Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export const ENCODER = new TextEncoder();
export const LF = 0x0a;
export const CR = 0x0d;
export const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";
const REASONS: Record<number, string> = {
  200: "OK",
  308: "Permanent Redirect",
  400: "Bad Request",
  404: "Not Found",
  405: "Method Not Allowed",
  500: "Internal Server Error",
};

/** An answer on its way: a fault changes it, or how it is delivered. */
export interface Outgoing extends Answer {
  request: IncomingRequest;
  type: string;
  /** The field line that tells how long the body is. */
  framing: string;
  /** Further field lines, each with its line end. */
  fields: string;
  /** The message as it goes over the wire. */
  body: string;
  isLast: boolean;
}

export function prepare(answer: Answer, request: IncomingRequest, isLast: boolean): Outgoing {
  const { status, message } = answer;
  const outgoing = {
    request,
    status,
    message,
    type: "text/plain; charset=utf-8",
    framing: "",
    fields: status === 405 ? `Allow: ${request.allow}\r\n` : "",
    body: "",
    isLast,
  };
  setMessage(outgoing, message);
  return outgoing;
}

export function setMessage(outgoing: Outgoing, message: string): void {
  const isAscii = /^[ -~]*$/.test(message); // as all but a few are
  const length = isAscii ? message.length : ENCODER.encode(message).length;
  outgoing.message = message;
  outgoing.framing = `Content-Length: ${length}\r\n`;
  outgoing.body = outgoing.request.method === "HEAD" ? "" : message;
}

/** RFC 9112 section 4, and the fields that RFC 9110 sections 6.6.1, 8.6 and 10.2.1 ask for. */
export function formatHead({ status, type, framing, fields, isLast, request }: Outgoing): string {
  return `HTTP/1.1 ${status} ${REASONS[status]}\r\n` +
    `Content-Type: ${type}\r\n` +
    framing +
    `Date: ${currentDate()}\r\n` +
    fields +
    (isLast ? "Connection: close\r\n" : request.isHttp10 ? "Connection: keep-alive\r\n" : "") +
    "\r\n";
}

export function encode(outgoing: Outgoing): Uint8Array {
  return ENCODER.encode(formatHead(outgoing) + outgoing.body);
}

let date = "";
let dateTime = 0; // the second that it is of

function currentDate(): string {
  const time = Math.floor(Date.now() / 1000);
  if (time !== dateTime) [date, dateTime] = [new Date(1000 * time).toUTCString(), time];
  return date;
}
