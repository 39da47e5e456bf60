/**
 * The table of faults: what can be wrong with the responses of a key server.
 *
 * @module
 */

import {
  bodyOf,
  concat,
  CONTINUE,
  encode,
  ENCODER,
  headOf,
  type KeyResponse,
  withMessage,
} from "./responses.ts";
import { requestLine } from "./text.ts";

/** The name of a fault. */
export type FaultName =
  | "slow"
  | "drip"
  | "split"
  | "chunked"
  | "no-length"
  | "keep-open"
  | "interim"
  | "long-head"
  | "status-400"
  | "status-404"
  | "status-405"
  | "status-500"
  | "redirect"
  | "empty"
  | "truncate"
  | "reset"
  | "garbage"
  | "silent"
  | "short-key"
  | "not-a-key";

/** The method of the requests whose responses have a fault. */
export type FaultTarget = "KEY" | "PUT";

/** The fault of a server, and the responses that have it. */
export interface FaultSetting {
  /** The fault of the responses, if any. */
  readonly fault: FaultName | undefined;
  /** The method that the fault is limited to, if any. */
  readonly faultOn: FaultTarget | undefined;
}

/** A fault, and what a client must do about it. */
export interface Fault {
  /** Whether no client can get a key. If `false`, the response is correct but delivered oddly. */
  readonly isBroken: boolean;
  /** What happens on the wire. */
  readonly description: string;
  /** What a good client does. */
  readonly good: string;
  /** What to change in a client that does not do this. */
  readonly help: string;
}

/** How a response is sent. */
export interface Delivery {
  /** The status of the response; 0 if the client gets no response. */
  readonly status: number;
  /** The message in the response. */
  readonly message: string;
  /** The bytes to send, each part in a separate write. */
  readonly parts: readonly Uint8Array[];
  /** Milliseconds before the first part. */
  readonly delay?: number;
  /** Milliseconds before each other part. */
  readonly pause?: number;
  /** Whether the server closes the connection after the response. */
  readonly isLast: boolean;
  /** Whether the server resets the connection. */
  readonly isReset?: boolean;
}

/**
 * Returns the fault of the response to a request.
 *
 * @param setting The fault of the server, and the method that it is limited to.
 * @param method The method of the request.
 * @param request The request. Its first line is enough.
 * @returns The fault, or `undefined` if the response has none.
 */
export function faultOf(
  { fault, faultOn }: FaultSetting,
  method: string,
  request: Uint8Array,
): FaultName | undefined {
  const isMeant = faultOn === undefined || faultOn === method;
  return fault && isMeant && !isFollowing(fault, request) ? fault : undefined;
}

/**
 * Returns whether a client follows the redirect of the fault `redirect`. The response to this
 * request has no fault: another redirect would send the client in circles.
 *
 * @param fault The fault of the server.
 * @param request The request. Its first line is enough.
 * @returns Whether the request is for the path of the redirect.
 */
export function isFollowing(fault: FaultName, request: Uint8Array): boolean {
  return fault === "redirect" && MOVED_REGEXP.test(requestLine(request));
}

const MOVED_REGEXP = / (?:http:\/\/[^/ ]+)?\/moved\/ /;

/**
 * Returns how to send a response. It changes nothing.
 *
 * @param response The response.
 * @param fault The fault of the response, if any.
 * @param delay Milliseconds that the fault `slow` waits.
 * @returns What to send, and when.
 */
export function deliver(
  response: KeyResponse,
  fault: FaultName | undefined,
  delay: number,
): Delivery {
  return fault ? TABLE[fault].deliver(response, delay) : whole(response);
}

interface Row extends Fault {
  deliver: (response: KeyResponse, delay: number) => Delivery;
}

function odd(description: string, good: string, help: string, deliver: Row["deliver"]): Row {
  return { isBroken: false, description, good, help, deliver };
}

function broken(...[description, good, help, deliver]: Parameters<typeof odd>): Row {
  return { isBroken: true, description, good, help, deliver };
}

function status(status: number, description: string, message: string): Row {
  return broken(
    `status ${status} and ${description}`,
    "shows the message, and does not send PUT",
    "check the status first, `int(head.split()[1])`: only a response with status 200 has a key",
    (response) => {
      const headers = status === 405 ? "Allow: GET\r\n" : "";
      return whole(withMessage({ ...response, status, headers }, message));
    },
  );
}

function whole(response: KeyResponse, parts: Uint8Array[] = [encode(response)]): Delivery {
  const { status, message, isLast } = response;
  return { status, message, isLast, parts };
}

/** Sends only these bytes in place of the response, then closes the connection. */
function instead(...parts: Uint8Array[]): Delivery {
  return { status: 0, message: "", isLast: true, parts };
}

function toTheClose(response: KeyResponse): Delivery {
  return whole({ ...response, framing: "", isLast: true });
}

/** Sends lowercase header names. They are case-insensitive: RFC 9110 section 5.1. */
function inLowerCase(response: KeyResponse): Delivery {
  const head = headOf(response).replace(/^[\w-]+(?=:)/gm, (name) => name.toLowerCase());
  return whole(response, [ENCODER.encode(head + bodyOf(response))]);
}

/** Sends a chunked body: RFC 9112 section 7.1. HTTP/1.0 has no chunks. */
function inChunks(response: KeyResponse): Delivery {
  if (response.isHttp10) return toTheClose(response);
  const framing = "Transfer-Encoding: chunked\r\n";
  const body = ENCODER.encode(bodyOf(response));
  const parts = [ENCODER.encode(headOf({ ...response, framing }))];
  for (let at = 0; at < body.length; at += CHUNK_SIZE) {
    const data = body.subarray(at, at + CHUNK_SIZE);
    const [size, end] = [`${data.length.toString(16)}\r\n`, "\r\n"].map((t) => ENCODER.encode(t));
    parts.push(size, data, end);
  }
  if (!response.isHead) parts.push(ENCODER.encode("0\r\n\r\n"));
  return whole(response, [concat(parts)]);
}

const CHUNK_SIZE = 60; // for a size with a letter: the sizes for a key are 3c, 3c and 8
const PADDING = Array.from(
  { length: 32 }, // not 64: some libraries allow no more header fields than that
  (_, n) => `X-Padding-${String(n + 1).padStart(2, "0")}: ${"x".repeat(240)}\r\n`, // 256 bytes
).join("");
// These bodies have 128 characters, like a key. A client that ignores the status, or checks only
// the length, takes them for one.
const NO_KEY = "No key here, though this text has 128 characters like a key, and contains a 200. ";
const messageOf = (status: number) =>
  `${NO_KEY}Only the status line counts. Its status is ${status}.`;
const ELSEWHERE = `${NO_KEY}Status 308 is a redirect, but it leads nowhere.`;
const LIKE_A_KEY = "0123456789abcdef".repeat(8);
const PAGE = '<!doctype html><html lang="en"><title>It works</title><h1>It works!</h1>' +
  "<p>This is an HTML page, and contains no key.</p></html>";
const GIBBERISH = "?!$%&/()=+*~#<>|".repeat(8);

// deno-fmt-ignore
const TABLE: Record<FaultName, Row> = {
  "slow": odd("every response comes 2 s late", "waits for it",
    "wait longer: set the timeout to 10 s, `sock.settimeout(10)`",
    (response, delay) => ({ ...whole(response), delay })),
  "drip": odd("one byte at a time, each in a separate write", "reads until the response is complete",
    "one `recv()` may return part of the response: call it until `\\r\\n\\r\\n` has come, then until the body has Content-Length bytes",
    (response) => ({ ...whole(response, Array.from(encode(response), (byte) => Uint8Array.of(byte))), pause: 2 })),
  "split": odd("the body comes 0.2 s after the headers", "continues to read after the headers",
    "the first `recv()` may return only the headers: call it again until the body has Content-Length bytes",
    (response) => {
      const headers = `${response.headers}Cache-Control: no-store\r\n`; // so that the head is longer than a key
      const parts = [headOf({ ...response, headers }), bodyOf(response)];
      return { ...whole(response, parts.map((t) => ENCODER.encode(t))), pause: 200 };
    }),
  "chunked": odd("the body in chunks, without Content-Length", "joins the chunks",
    "if the headers have `Transfer-Encoding: chunked`, read a line with the size, `int(line, 16)`, then the chunk of that size and `\\r\\n`; repeat this until the size is 0, and use only the chunk data",
    inChunks),
  "no-length": odd("no Content-Length; the body ends when the connection closes", "reads until the connection closes",
    "if the headers have no Content-Length, read until `recv()` returns `b''`",
    toTheClose),
  "keep-open": odd("the connection stays open; lowercase header names", "stops at the end of the body",
    "stop reading when the body has Content-Length bytes, or send `Connection: close`; header names may be lowercase: search for `content-length` in `head.lower()`",
    inLowerCase),
  "interim": odd("`100 Continue`, then the response 0.2 s later", "skips the first status",
    "if the status is from 100 to 199, skip to the empty line and read the next response",
    (response) => response.isHttp10 ? whole(response)
      : { ...whole(response, [ENCODER.encode(CONTINUE), encode(response)]), pause: 200 }),
  "long-head": odd("8 KiB of headers before the body", "reads until the empty line",
    "call `recv()` until you have received `\\r\\n\\r\\n`, however long the headers are; the body comes after it",
    (response) => whole({ ...response, headers: response.headers + PADDING })),
  "status-400": status(400, "a message", messageOf(400)),
  "status-404": status(404, "a message", messageOf(404)),
  "status-405": status(405, "a message", messageOf(405)),
  "status-500": status(500, "a message that looks like a key", LIKE_A_KEY),
  "redirect": broken("status 308 and another path", "does not use the body as a key",
    "check the status first, `int(head.split()[1])`: only a response with status 200 has a key",
    (response) => whole(withMessage({ ...response, status: 308, headers: "Location: /moved/\r\n" }, ELSEWHERE))),
  "empty": broken("the connection closes without a byte", "notices that there is no response",
    "when the server has closed the connection, each `recv()` returns `b''`: leave the loop, `if not data: break`, and check what you have received",
    () => instead()),
  "truncate": broken("the connection closes after half of the body", "notices that half is missing",
    "after the last `recv()`, compare the length of the body with Content-Length: if it is shorter, the response is not complete",
    (response) => {
      const wire = encode(response);
      const half = Math.ceil(ENCODER.encode(bodyOf(response)).length / 2);
      return { ...whole(response, [wire.subarray(0, wire.length - half)]), isLast: true };
    }),
  "reset": broken("the connection is reset instead of a response", "catches the error",
    "`recv()` raises ConnectionResetError: put the conversation into `try:`, and add `except OSError:`",
    () => ({ ...instead(), isReset: true })),
  "garbage": broken("the bytes are not HTTP, then the connection closes", "notices that there is no status line",
    "check the first line: if it does not start with `HTTP/1.`, this is not a response",
    () => instead(ENCODER.encode(`${GIBBERISH}\r\n\r\n${GIBBERISH}`))),
  "silent": broken("no response, and the connection stays open", "gives up within 30 s",
    "set a timeout before you connect, `sock.settimeout(10)`; if it expires, close the socket",
    () => ({ ...instead(), isLast: false })),
  "short-key": broken("status 200 and a key of 127 digits", "counts the digits",
    "a key has exactly 128 digits: check `len(body) == 128`",
    (response) => whole(withMessage(response, response.message.replace(/^([\da-f]{127})[\da-f]$/, "$1")))),
  "not-a-key": broken("status 200 and a page of HTML", "notices that it is not hex",
    "check each character of the key: `all(c in b\"0123456789abcdef\" for c in body)`",
    (response) => whole(withMessage({ ...response, status: 200, type: "text/html; charset=utf-8", headers: "" }, PAGE))),
};

/**
 * All faults by name, in the order of the drill. With the first eight, the response is delivered
 * oddly, and a good client still succeeds. With the others it is broken, and a good client returns
 * no key.
 *
 * @example Usage
 * ```ts
 * import { FAULTS } from "./server.ts";
 *
 * for (const [name, { description }] of Object.entries(FAULTS)) console.log(name, description);
 * ```
 */
export const FAULTS: Readonly<Record<FaultName, Fault>> = Object.freeze(
  Object.fromEntries(
    Object.entries(TABLE).map(([name, { deliver: _, ...fault }]) => [name, Object.freeze(fault)]),
  ),
) as Readonly<Record<FaultName, Fault>>;

/**
 * Checks the name of a fault.
 *
 * @param name The name, if one is given.
 * @returns The name.
 * @throws {TypeError} If no fault has this name.
 */
export function checkFault(name: FaultName | undefined): FaultName | undefined {
  if (name === undefined || Object.hasOwn(FAULTS, name)) return name;
  throw new TypeError(`Cannot use fault ${JSON.stringify(name)}: no fault has this name`);
}

/**
 * Checks the method that a fault is limited to.
 *
 * @param method The method, if one is given.
 * @returns The method.
 * @throws {TypeError} If it is another method.
 */
export function checkFaultTarget(method: FaultTarget | undefined): FaultTarget | undefined {
  if (method === undefined || method === "KEY" || method === "PUT") return method;
  throw new TypeError(`faultOn must be "KEY" or "PUT", not ${JSON.stringify(method)}`);
}
