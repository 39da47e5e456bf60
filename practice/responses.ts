/**
 * Keys and responses of the key server.
 *
 * @module
 */

import { type Remark, remarkOf } from "./remark.ts";
import type { ReceivedRequest } from "./request.ts";

// ---- Keys

const MAX_USERS = 10_000;
const MIN_PART = 32; // digits of a key; a client could guess a shorter part digit by digit

/** The keys issued to each user at each IP address. */
export class IssuedKeys {
  #last = new Map<string, string>(); // last keys, by IP address and user
  #owners = new Map<string, { userId: string; address: string }>(); // by key, also by old keys

  /** Stores a new key. It replaces the last key of that user. */
  add(key: string, userId: string, address: string): void {
    const user = `${address} ${userId}`;
    this.#last.delete(user); // so that this user moves to the end of the Map
    this.#last.set(user, key);
    this.#owners.set(key, { userId, address });
    forgetOldest(this.#last);
    forgetOldest(this.#owners);
  }

  /** Whether a key was issued to a user at an IP address. */
  has(userId: string, address: string): boolean {
    return this.#last.has(`${address} ${userId}`);
  }

  /** Returns what is wrong with the key in a PUT request; `undefined` if it is correct. */
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

  /** Returns the remark on a PUT request with only a part of the issued key, if it has one. */
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

// ---- Decisions

/** The server's decision on a request, before any fault. */
export interface Decision {
  readonly status: number;
  /** The body of the response: the key, or a sentence. */
  readonly message: string;
  /** Why the request is refused. */
  readonly error?: Remark;
  /** All remarks on the request, the errors first. */
  readonly remarks: readonly Remark[];
  /** The new key, which must be stored. */
  readonly newKey?: string;
}

/**
 * Decides on the response to a request. It changes nothing: the caller must store a new key.
 *
 * @param request The request.
 * @param address The client's IP address.
 * @param keys The keys issued so far.
 * @returns The decision.
 */
export function decide(request: ReceivedRequest, address: string, keys: IssuedKeys): Decision {
  let { error, remarks } = request;
  if (error?.code === "short-key") {
    error = keys.checkPart(request, address) ?? error;
    remarks = [error, ...remarks.slice(1)];
  } else if (error?.code === "key-none" && keys.has(request.userId!, address)) {
    error = { ...error, help: "return the key from do_key(): the response to KEY had one" };
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

/** Returns the body of an error response: the fact, and the help on a second line. */
function bodyOfRefusal({ fact, help, fix }: Remark): string {
  const isTypeable = fix !== undefined && !fix.includes("..."); // the middle of a key is cut out
  return `${fact}\nhelp: ${isTypeable ? fix : help}`;
}

/** Returns a new random key: 128 hex digits. */
export function newKey(): string {
  return crypto.getRandomValues(new Uint8Array(64)).toHex();
}

// ---- Responses

/** A response. A fault changes a copy of it, or sends it in another way. */
export interface KeyResponse {
  readonly status: number;
  /** The text of the body. */
  readonly message: string;
  /** The media type of the body. */
  readonly type: string;
  /** The header line that shows where the body ends. */
  readonly framing: string;
  /** Other header lines, each with its line ending. */
  readonly headers: string;
  /** Whether the server closes the connection after it. */
  readonly isLast: boolean;
  /** Whether the request is HTTP/1.0. */
  readonly isHttp10: boolean;
  /** Whether the method is HEAD, so the response has no body. */
  readonly isHead: boolean;
}

/**
 * Makes the response to a request.
 *
 * @param decision The decision on the request.
 * @param request The request.
 * @param isLast Whether the server closes the connection after the response.
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

/** Returns a copy of the response with another message. */
export function withMessage(response: KeyResponse, message: string): KeyResponse {
  return { ...response, message, framing: lengthOf(message) };
}

/** Returns the header line with the size of the body. */
export function lengthOf(message: string): string {
  const isAscii = /^[ -~]*$/.test(message); // true for nearly all messages
  const length = isAscii ? message.length : ENCODER.encode(message).length;
  return `Content-Length: ${length}\r\n`;
}

/** Returns the body as it is sent. */
export function bodyOf({ message, isHead }: KeyResponse): string {
  return isHead ? "" : message;
}

/**
 * Returns the status line (RFC 9112 section 4), the header fields (RFC 9110 sections 6.6.1, 8.6 and
 * 10.2.1) and the empty line.
 */
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

/** Returns the response as it is sent. */
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

/** The interim response for a client that waits before it sends the body. */
export const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";
export const ENCODER = new TextEncoder();

const REASONS: Record<number, string> = {
  200: "OK",
  308: "Permanent Redirect",
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  421: "Misdirected Request",
  500: "Internal Server Error",
};

let date = "";
let dateTime = 0; // the time of `date` in seconds

function currentDate(): string {
  const time = Math.floor(Date.now() / 1000);
  if (time !== dateTime) [date, dateTime] = [new Date(1000 * time).toUTCString(), time];
  return date;
}
