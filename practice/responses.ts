/**
 * Keys and responses of the key server.
 *
 * @module
 */

import { type Remark, remarkOf } from "./remark.ts";
import type { ReceivedRequest } from "./request.ts";

// ---- Keys

const MAX_USERS = 10_000;
const MIN_PART = 32; // digits of a key: a client could guess a shorter part digit by digit

/** The keys that were issued, to each user at each IP address. */
export class IssuedKeys {
  #last = new Map<string, string>(); // by user and address
  #owners = new Map<string, { userId: string; address: string }>(); // by key, old ones too

  /** Remembers a new key in place of the last one of that user. */
  add(key: string, userId: string, address: string): void {
    const user = `${address} ${userId}`;
    this.#last.delete(user); // a Map keeps its order: the user issued a key last comes last
    this.#last.set(user, key);
    this.#owners.set(key, { userId, address });
    forgetOldest(this.#last);
    forgetOldest(this.#owners);
  }

  /** Returns what is wrong with the key that a PUT brings. */
  check(request: ReceivedRequest, address: string): Remark | undefined {
    const [userId, key] = [request.userId!, request.key!];
    const issued = this.#last.get(`${address} ${userId}`);
    if (key === issued) return undefined;
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

  /** Returns which part of the issued key a PUT brings, if it brings one. */
  checkPart(request: ReceivedRequest, address: string): Remark | undefined {
    const [userId, part] = [request.userId!, request.keyPart!.toLowerCase()];
    const issued = this.#last.get(`${address} ${userId}`);
    if (issued === undefined || part.length < MIN_PART) return undefined;
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

// ---- What a request gets

/** What a request gets, before any fault. */
export interface Decision {
  readonly status: number;
  /** The key, or a sentence. */
  readonly message: string;
  /** Why the request is refused. */
  readonly error?: Remark;
  /** All that is to be said about the request, the errors first. */
  readonly remarks: readonly Remark[];
  /** The key to remember. */
  readonly newKey?: string;
}

/**
 * Decides what a request gets. Changes nothing: a new key is still to be remembered.
 *
 * @param request The request.
 * @param address The client's IP address.
 * @param keys The keys issued so far.
 * @returns What the request gets.
 */
export function decide(request: ReceivedRequest, address: string, keys: IssuedKeys): Decision {
  let { error, remarks } = request;
  if (error?.code === "short-key") {
    error = keys.checkPart(request, address) ?? error;
    remarks = [error, ...remarks.slice(1)];
  } else if (!error && request.key !== undefined) {
    error = keys.check(request, address);
    if (error) remarks = [error, ...remarks];
  }
  if (error) return { status: error.status!, message: bodyOfRefusal(error), error, remarks };
  if (request.key !== undefined) {
    return { status: 200, message: "Success: the key is right", remarks };
  }
  const key = newKey();
  return { status: 200, message: key, remarks, newKey: key };
}

/** The fact, and what to do on a second line. */
function bodyOfRefusal({ fact, help, fix }: Remark): string {
  return `${fact}\nhelp: ${fix ?? help}`;
}

/** Returns a key that nobody has yet: 128 hex digits. */
export function newKey(): string {
  return crypto.getRandomValues(new Uint8Array(64)).toHex();
}

// ---- Responses

/** A response; a fault sends a changed copy of it, or delivers it in another way. */
export interface KeyResponse {
  readonly status: number;
  /** What the body says. */
  readonly message: string;
  /** The media type of the body. */
  readonly type: string;
  /** The header line that tells how long the body is. */
  readonly framing: string;
  /** Further header lines, each with its line ending. */
  readonly headers: string;
  /** Whether the connection closes after it. */
  readonly isLast: boolean;
  /** Whether it is to a request of HTTP/1.0. */
  readonly isHttp10: boolean;
  /** Whether it is to HEAD, and so has no body. */
  readonly isHead: boolean;
}

/**
 * Makes the response to a request.
 *
 * @param decision What the request gets.
 * @param request The request.
 * @param isLast Whether the connection closes after the response.
 * @returns The response.
 */
export function respond(
  { status, message }: Decision,
  request: ReceivedRequest,
  isLast: boolean,
): KeyResponse {
  return {
    status,
    message,
    type: "text/plain; charset=utf-8",
    framing: lengthOf(message),
    headers: status === 405 ? `Allow: ${request.allow}\r\n` : "",
    isLast,
    isHttp10: request.isHttp10,
    isHead: request.method === "HEAD",
  };
}

/** Returns the response with another message. */
export function withMessage(response: KeyResponse, message: string): KeyResponse {
  return { ...response, message, framing: lengthOf(message) };
}

function lengthOf(message: string): string {
  const isAscii = /^[ -~]*$/.test(message); // as all but a few are
  const length = isAscii ? message.length : ENCODER.encode(message).length;
  return `Content-Length: ${length}\r\n`;
}

/** Returns what goes over the wire as the body. */
export function bodyOf({ message, isHead }: KeyResponse): string {
  return isHead ? "" : message;
}

/** RFC 9112 section 4, and the header fields that RFC 9110 sections 6.6.1, 8.6 and 10.2.1 ask for. */
export function headOf(response: KeyResponse): string {
  const { status, type, framing, headers, isLast, isHttp10 } = response;
  return `HTTP/1.1 ${status} ${REASONS[status]}\r\n` +
    `Content-Type: ${type}\r\n` +
    framing +
    `Date: ${currentDate()}\r\n` +
    headers +
    (isLast ? "Connection: close\r\n" : isHttp10 ? "Connection: keep-alive\r\n" : "") +
    "\r\n";
}

/** Returns the response as it goes over the wire. */
export function encode(response: KeyResponse): Uint8Array {
  return ENCODER.encode(headOf(response) + bodyOf(response));
}

/** Joins arrays of bytes. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The response before the response, for a client that waits with its body. */
export const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";
export const ENCODER = new TextEncoder();

const REASONS: Record<number, string> = {
  200: "OK",
  308: "Permanent Redirect",
  400: "Bad Request",
  404: "Not Found",
  405: "Method Not Allowed",
  500: "Internal Server Error",
};

let date = "";
let dateTime = 0; // the second that it is of

function currentDate(): string {
  const time = Math.floor(Date.now() / 1000);
  if (time !== dateTime) [date, dateTime] = [new Date(1000 * time).toUTCString(), time];
  return date;
}
