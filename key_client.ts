/**
 * A client for the key server exercise: HTTP/1.1 written by hand over `Deno.connect`.
 *
 * ```text
 * 1. CLIENT ──▶ SERVER   KEY /user/<user_id>/ HTTP/1.1
 * 2. CLIENT ◀── SERVER   a key of 128 hex digits, or 400, 404, 405 and a message
 * 3. CLIENT ──▶ SERVER   PUT /key/<user_id>/<key_val>/ HTTP/1.1
 * 4. CLIENT ◀── SERVER   a message: success, or what the problem is
 * ```
 * @module
 */

// ---- Options, messages and errors

/**
 * Options of {@linkcode doKey}, {@linkcode doPut} and {@linkcode KeyClient}.
 *
 * If an option is wrong, the error is a `TypeError` or a `RangeError`. Its message starts with the
 * name of the option. Its property `option` is that name.
 */
export interface KeyClientOptions {
  /** Name or IP address of the key server.
   * @default {"127.0.0.1"} */
  hostname?: string;
  /** TCP port of the key server, from 1 to 65535.
   * @default {5000} */
  port?: number;
  /** Any string except `""`, `"."` and `".."`, at most 65,536 bytes when percent-encoded.
   * @default {"User1"} */
  userId?: string;
  /** Milliseconds for one exchange, including connecting: above 0, at most 2 ** 31 - 1.
   * @default {10_000} */
  timeout?: number;
  /** Cancels the exchange, which then rejects with `signal.reason`. */
  signal?: AbortSignal;
  /** Maximum size of a response body in bytes, at most 2 ** 31 - 1.
   * @default {1_048_576} */
  maxBodySize?: number;
  /** Whether KEY and PUT share one connection. If not, each request has `Connection: close`.
   * @default {true} */
  keepAlive?: boolean;
  /**
   * Called with the exact bytes of each message. If it throws, the exchange fails with that error.
   * If it returns a promise, the exchange does not wait for it.
   */
  onMessage?: (message: WireMessage) => void;
}

/** The exact bytes of a message. If a response fails, these are the bytes received so far. */
export interface WireMessage {
  /** The client sends requests, the server sends responses. */
  direction: "request" | "response";
  /** The start line and the header fields, including the empty line after them. */
  head: Uint8Array<ArrayBuffer>;
  /** The bytes after the head, including chunk sizes and trailer fields. */
  body: Uint8Array<ArrayBuffer>;
  /** When the last byte was written or read, in milliseconds of `performance.now()`. */
  time: number;
}

/** The key server's response to a request. */
export interface KeyServerResponse {
  /** The status code, from 200 to 999. */
  status: number;
  /** Whether the status is 2xx. */
  ok: boolean;
  /** The body, decoded as UTF-8. Invalid bytes become U+FFFD. */
  message: string;
}

/** A final response (its status is not 1xx), returned by {@linkcode readResponse}. */
export interface HttpResponse {
  /** The digit after `HTTP/1.`. */
  minorVersion: number;
  /** The status code, from 200 to 999. */
  status: number;
  /** The reason phrase, or `""`. */
  reason: string;
  /** The header fields in order. Names keep their case; values are decoded as ISO 8859-1. */
  fields: [name: string, value: string][];
  /** The content, without chunk sizes and trailer fields. */
  body: Uint8Array<ArrayBuffer>;
}

/** What went wrong. The README says what to do about each code. */
export type KeyClientErrorCode =
  | "connect-failed" // no connection: check that the server is running, and the host and port
  | "timed-out" // no complete response within `timeout`
  | "closed-early" // the connection closed before the response was complete
  | "malformed" // not an HTTP/1.x response: check the port
  | "too-large" // a head larger than 64 KiB, or a body larger than `maxBodySize`
  | "refused" // the status is not 2xx: `response.message` says why
  | "not-a-key"; // the status is 2xx, but the body is not 128 hex digits: check the host and port

/**
 * The error of a failed exchange: there is no usable response.
 *
 * @example Usage
 * ```ts
 * import { doPut } from "./key_client.ts";
 * await doPut("abc", { port: 1 }).catch((error) => console.error(error.code, error.message));
 * ```
 */
export class KeyClientError extends Error {
  /** Always `"KeyClientError"`. */
  override name = "KeyClientError";
  /** What went wrong. */
  readonly code: KeyClientErrorCode;
  /** The response, if the code is `refused` or `not-a-key`. */
  readonly response?: KeyServerResponse;
  /** The status of that response. */
  readonly status?: number;

  /**
   * Creates the error.
   *
   * @param code What went wrong.
   * @param message One sentence.
   * @param options The error that caused this one (`cause`), and the response.
   */
  constructor(
    code: KeyClientErrorCode,
    message: string,
    options?: { cause?: Error; response?: KeyServerResponse },
  ) {
    super(message, options?.cause && { cause: options.cause });
    this.code = code;
    this.response = options?.response;
    this.status = this.response?.status;
  }
}

// ---- The conversation

/**
 * Asks for a key over a new connection: stages 1 and 2. Never rejects.
 *
 * @param options Where the server is, and how long to wait.
 * @returns The key: 128 ASCII bytes, uppercase or lowercase as received. `null` on any error.
 *
 * @example Usage
 * ```ts
 * import { doKey } from "./key_client.ts";
 * console.log(await doKey({ userId: "Ada", timeout: 500 }));
 * ```
 */
export async function doKey(options?: KeyClientOptions): Promise<Uint8Array<ArrayBuffer> | null> {
  try {
    return await new KeyClient(checkOptions(options, false)).requestKey();
  } catch {
    return null;
  }
}

/**
 * Sends the key back over a new connection: stages 3 and 4.
 *
 * @param keyVal The key, as bytes or as a string.
 * @param options Where the server is, and how long to wait.
 * @returns The body of the response as a string, for any status.
 * @throws {KeyClientError} If there is no complete response.
 * @throws {TypeError | RangeError} If the key or an option is wrong.
 *
 * @example Usage
 * ```ts
 * import { doPut } from "./key_client.ts";
 * console.log(await doPut("0".repeat(128)).catch((error) => error.message));
 * ```
 */
export async function doPut(
  keyVal: Uint8Array | string,
  options?: KeyClientOptions,
): Promise<string> {
  const client = new KeyClient(checkOptions(options, false));
  return (await client.verifyKey(keyVal)).message;
}

/**
 * Asks for a key and sends it back, over one connection if the server keeps it open. Its errors say
 * why a request failed.
 *
 * @example The whole conversation
 * ```ts
 * import { KeyClient } from "./key_client.ts";
 * import { startKeyServer } from "./practice/server.ts";
 *
 * await using server = startKeyServer({ port: 0 });
 * using client = new KeyClient({ port: server.addr.port });
 * console.log(await client.verifyKey(await client.requestKey()));
 * ```
 */
export class KeyClient implements Disposable {
  readonly #options: CheckedOptions;
  #isClosed = false;
  #exchange?: Exchange; // in progress
  #idle?: { conn: Deno.TcpConn; since: number }; // left open by the previous exchange

  /**
   * Checks the options. Does not connect yet.
   *
   * @param options Where the server is, and how long to wait.
   * @throws {TypeError | RangeError} If an option is wrong.
   */
  constructor(options?: KeyClientOptions) {
    this.#options = options && CHECKED.has(options)
      ? options as CheckedOptions
      : checkOptions(options);
  }

  /**
   * Asks for a key over a new connection: stages 1 and 2. `KEY` may not be idempotent, so it is
   * never sent twice.
   *
   * @returns The key: 128 ASCII bytes, uppercase or lowercase as received.
   * @throws {KeyClientError} If the server does not send a key.
   * @throws {TypeError} If the client is closed, or another exchange is in progress.
   */
  async requestKey(): Promise<Uint8Array<ArrayBuffer>> {
    const response = await this.#converse("KEY");
    const { status, ok, message } = response;
    const [, digits = ""] = HEX_REGEXP.exec(message) ?? [];
    if (ok && digits.length === 128) return ENCODER.encode(digits);
    const verb = ok ? "did not answer with a key" : `answered with status ${status}`;
    const count = ok && digits ? `, but with ${digits.length} hex digits` : "";
    const sentence = `The server ${verb}${count}: ${show(message)}`;
    throw new KeyClientError(ok ? "not-a-key" : "refused", sentence, { response });
  }

  /**
   * Sends the key back: stages 3 and 4. `PUT` is idempotent (RFC 9110 section 9.2.2): if the server
   * has closed the idle connection, the request is sent again over a new one.
   *
   * @param keyVal The key, as bytes or as a string: at most 65,536 bytes when percent-encoded.
   * @returns The response, with any status.
   * @throws {KeyClientError} If there is no complete response.
   * @throws {TypeError | RangeError} If the key is wrong, the client is closed, or another
   * exchange is in progress.
   */
  async verifyKey(keyVal: Uint8Array | string): Promise<KeyServerResponse> {
    return await this.#converse("PUT", keyVal);
  }

  /** Closes the client and its connection. An exchange in progress rejects with an `AbortError`. */
  close(): void {
    this.#isClosed = true;
    this.#exchange?.stop(new DOMException("The client was closed", "AbortError"));
    this.#idle?.conn.close();
    this.#idle = undefined;
  }

  /** The same as {@linkcode KeyClient.close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  async #converse(method: "KEY" | "PUT", keyVal?: Uint8Array | string): Promise<KeyServerResponse> {
    const request = frameRequest(method, this.#options, keyVal);
    if (this.#isClosed) throw new TypeError("Cannot send: the client is closed");
    if (this.#exchange) throw new TypeError("Cannot send: another exchange is in progress");
    this.#options.signal?.throwIfAborted();
    const idle = this.#idle;
    this.#idle = undefined;
    // The server may have closed an idle connection, and KEY must not be sent twice.
    const isUsed = method === "PUT" && idle && performance.now() - idle.since < MAX_IDLE_TIME;
    if (!isUsed) idle?.conn.close();
    using exchange = new Exchange(this.#options, isUsed ? idle.conn : undefined);
    this.#exchange = exchange;
    try {
      const { status, body } = await exchange.run(request);
      this.#idle = exchange.release();
      return { status, ok: status >= 200 && status < 300, message: DECODER.decode(body) };
    } finally {
      this.#exchange = undefined;
    }
  }
}

// The server may well have closed an older connection, and a new one costs only 0.5 ms.
const MAX_IDLE_TIME = 100; // ms

// All exchanges share one alarm. The first `setTimeout` of a process takes 5 ms, a fifth of a run.
// `AbortSignal.timeout` is fast, but it cannot be cancelled and uses memory until it fires.
let alarm: AbortSignal | undefined;
let alarmTime = 0;

/** One request and its response, unless the timeout, the signal or `close()` stops them. */
class Exchange implements Disposable {
  readonly #options: CheckedOptions;
  #conn?: Deno.TcpConn;
  #lastRead = 0; // when the last bytes arrived
  #reader?: ResponseReader;
  #stopped?: { reason: unknown };
  #interrupt?: (reason: unknown) => void; // rejects the promise that the exchange waits for
  #deadline?: number;
  #alarm?: AbortSignal;

  constructor(options: CheckedOptions, conn?: Deno.TcpConn) {
    this.#options = options;
    this.#conn = conn;
    options.signal?.addEventListener("abort", this);
  }

  [Symbol.dispose](): void {
    this.#options.signal?.removeEventListener("abort", this);
    this.#alarm?.removeEventListener("abort", this); // its listener keeps the process alive
    this.#conn?.unref(); // so does a read that Deno 2.8.3 leaves pending after close()
    this.#conn?.close();
  }

  /** Returns the response. If the exchange is stopped, rejects with the reason. */
  async run(request: Uint8Array): Promise<HttpResponse> {
    try {
      return await this.#send(request, this.#conn !== undefined);
    } catch (error) {
      this.#throwIfStopped(); // any other error is a consequence of the stop
      throw error;
    }
  }

  /** Returns the connection if it is open, for reuse. Throws if the exchange has been stopped. */
  release() {
    this.#throwIfStopped();
    const conn = this.#conn;
    this.#conn = undefined;
    return conn && { conn, since: this.#lastRead };
  }

  /** Stops the exchange. Only the first reason counts. */
  stop(reason: unknown): void {
    this.#stopped ??= { reason };
    this.#interrupt?.(this.#stopped.reason);
  }

  #throwIfStopped(): void {
    if (this.#stopped) throw this.#stopped.reason;
  }

  /** Waits for the promise or a stop, because Deno may leave a read pending after close(). */
  #wait<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      promise.then(resolve, reject);
      this.#interrupt = reject;
      if (this.#stopped) reject(this.#stopped.reason);
    });
  }

  async #connect(): Promise<void> {
    this.release()?.conn.close();
    const { hostname, port, authority } = this.#options;
    const abort = new AbortController();
    // Once connected, Deno.connect checks the signal again. If that throws, the connection leaks.
    // So the check does nothing here. The caller checks, and closes the connection.
    abort.signal.throwIfAborted = () => {};
    const connecting = globalThis.Deno?.connect({ hostname, port, signal: abort.signal }) ??
      Promise.reject(new Error("this module needs Deno"));
    this.handleEvent(); // not earlier: Deno.connect may wait for a permission prompt
    try {
      this.#conn = await this.#wait(connecting);
    } catch (error) {
      abort.abort();
      connecting.then((conn) => conn.close(), () => {});
      const cause = toError(error);
      const message = `Cannot connect to ${authority}: ${cause.message}`;
      throw new KeyClientError("connect-failed", message, { cause });
    }
  }

  /** Starts the timeout. As an event listener, checks the signal and the timeout. */
  handleEvent(): void {
    const { signal, timeout } = this.#options;
    if (signal?.aborted) return this.stop(signal.reason);
    const now = performance.now();
    this.#deadline ??= now + timeout;
    if (this.#deadline <= now) {
      const received = this.#reader?.received ?? 0;
      const state = this.#conn ? `with ${received} bytes received` : "while connecting";
      const message = `Cannot get a response: timed out after ${timeout} ms, ${state}`;
      return this.stop(new KeyClientError("timed-out", message));
    }
    if (!alarm || alarm.aborted || this.#deadline < alarmTime) {
      alarmTime = Math.min(this.#deadline, now + 60_000); // to free its memory soon
      alarm = AbortSignal.timeout(Math.ceil(alarmTime - now));
    }
    this.#alarm?.removeEventListener("abort", this);
    this.#alarm = alarm;
    alarm.addEventListener("abort", this);
  }

  /** Sends the request over the idle connection or over a new one. */
  async #send(request: Uint8Array, isReused: boolean): Promise<HttpResponse> {
    // Always awaits, so that a stop in the same turn of the event loop sends nothing.
    await (isReused ? this.handleEvent() : this.#connect());
    const failure = await this.#write(request);
    const reader = this.#reader = new ResponseReader(this.#options.maxBodySize);
    const read = (room: Uint8Array) => this.#read(room, failure);
    for (;;) {
      let response: HttpResponse;
      try {
        response = await readMessage(reader, read);
      } catch (error) {
        const isUnanswered = isReused && reader.received === 0 && !this.#stopped;
        if (isUnanswered) return await this.#send(request, false);
        this.#report("response", () => reader.wire(reader.received));
        throw error;
      }
      this.#report("response", () => reader.wire());
      if (response.status < 200) continue; // interim: RFC 9110 section 15.2
      const isReusable = this.#options.keepAlive && !failure && reader.isReusable;
      if (!isReusable) this.release()?.conn.close();
      return response;
    }
  }

  /** Writes the request. Returns an error, because the server may still have responded. */
  async #write(request: Uint8Array): Promise<Error | undefined> {
    let sent = 0;
    let failure: Error | undefined;
    try {
      while (sent < request.length) {
        this.#throwIfStopped();
        sent += await this.#wait(this.#conn!.write(request.subarray(sent)));
      }
    } catch (error) {
      if (!this.#stopped) failure = toError(error);
    }
    this.#report("request", () => [request.slice(0, sent), new Uint8Array()]);
    this.#throwIfStopped();
    return failure;
  }

  async #read(room: Uint8Array, failure?: Error): Promise<ReadResult> {
    try {
      const count = await this.#wait(this.#conn!.read(room));
      this.#lastRead = performance.now();
      return count ?? failure ?? null;
    } catch (error) {
      this.#throwIfStopped();
      return failure ?? toError(error);
    }
  }

  #report(direction: WireMessage["direction"], copy: () => Uint8Array<ArrayBuffer>[]): void {
    const { onMessage } = this.#options;
    const [head, body] = onMessage ? copy() : [];
    if (!onMessage || !head.length) return;
    const result: unknown = onMessage({ direction, head, body, time: performance.now() });
    Promise.resolve(result).catch(() => {}); // the callback may be async despite its type
    this.#throwIfStopped();
  }
}

// ---- The request: RFC 9112 section 3

/**
 * Returns the bytes of a request, and does not send them.
 *
 * @param method `"KEY"` asks for a key, `"PUT"` sends it back.
 * @param options Only `hostname`, `port`, `userId` and `keepAlive` change the request.
 * @param keyVal The key, for `"PUT"` only: as bytes or as a string.
 * @returns The request, from its request line to the empty line after its header fields.
 * @throws {TypeError | RangeError} If an argument or an option is wrong.
 *
 * @example Usage
 * ```ts
 * import { formatRequest } from "./key_client.ts";
 * console.log(new TextDecoder().decode(formatRequest("KEY", { userId: "Ada" })));
 * ```
 */
export function formatRequest(
  method: "KEY" | "PUT",
  options?: KeyClientOptions,
  keyVal?: Uint8Array | string,
): Uint8Array<ArrayBuffer> {
  check(["KEY", "PUT"].includes(method), "method", method, '"KEY" or "PUT"');
  const isAllowed = method === "PUT" || keyVal === undefined;
  check(isAllowed, "keyVal", keyVal, 'undefined with method "KEY"');
  return frameRequest(method, checkOptions(options), keyVal);
}

function frameRequest(method: "KEY" | "PUT", options: CheckedOptions, key?: Uint8Array | string) {
  const { authority, userSegment, keepAlive } = options;
  const target = method === "KEY"
    ? `/user/${userSegment}/`
    : `/key/${userSegment}/${toPathSegment("keyVal", key)}/`;
  return ENCODER.encode(
    `${method} ${target} HTTP/1.1\r\n` +
      `Host: ${authority}\r\n` +
      "User-Agent: key_client\r\nAccept: */*\r\n" +
      (method === "PUT" ? "Content-Length: 0\r\n" : "") +
      (keepAlive ? "" : "Connection: close\r\n") +
      "\r\n",
  );
}

/** Percent-encodes a string, or each byte of an array, as one path segment. */
function toPathSegment(name: string, value?: Uint8Array | string): string {
  const text = value instanceof Uint8Array ? decodeLatin1(value) : value as string;
  check(typeof text === "string", name, value, "a string");
  // Each of these would change the path (RFC 3986 section 5.2.4).
  check(!["", ".", ".."].includes(text), name, text, 'a string other than "", "." and ".."');
  check(text.isWellFormed(), name, text, "a string without lone surrogates");
  const encode = (char: string) =>
    char < "\x80" ? encodeURIComponent(char) : `%${char.charCodeAt(0).toString(16).toUpperCase()}`;
  const segment = text === value ? encodeURIComponent(text) : text.replace(/\W/g, encode);
  const limit = "at most 65536 bytes long when percent-encoded"; // fits in one write
  check(segment.length <= 65_536, name, text, limit, RangeError);
  return segment;
}

const MAX_INT = 2 ** 31 - 1; // a timer with a longer delay fires at once
const HOST_REGEXP = /^(?:[\w.-]+|(?=.*:.*:)[\da-fA-F:.]+(?:%[\w.-]+)?)$/;

type CheckedOptions = ReturnType<typeof checkOptions>;
const CHECKED = new WeakSet<object>(); // to check options only once

/** Checks the options. Returns them with their defaults, and with the parts of the request. */
function checkOptions(options: KeyClientOptions = {}, keepsAlive = true) {
  check(typeof options === "object" && options !== null, "options", options, "an object");
  const { hostname: name = "127.0.0.1", port = 5000, userId = "User1", signal } = options;
  const { timeout = 10_000, maxBodySize = 1_048_576, keepAlive = true, onMessage } = options;
  const hostname = typeof name === "string" ? name.replace(/^\[(?=[^:]*:)(.*)\]$/, "$1") : "";
  // It is sent in the Host header: allow only characters valid in host names and IP addresses.
  check(HOST_REGEXP.test(hostname), "hostname", name, "a host name or an IP address");
  const isPort = Number.isInteger(port) && port >= 1 && port <= 65_535;
  checkNumber("port", port, isPort, "from 1 to 65535");
  const isTime = Number.isFinite(timeout) && timeout > 0 && timeout <= MAX_INT;
  checkNumber("timeout", timeout, isTime, `above 0, at most ${MAX_INT}`);
  const isSize = Number.isInteger(maxBodySize) && maxBodySize >= 0 && maxBodySize <= MAX_INT;
  checkNumber("maxBodySize", maxBodySize, isSize, `from 0 to ${MAX_INT}`);
  check(typeof keepAlive === "boolean", "keepAlive", keepAlive, "a boolean");
  check(signal === undefined || signal instanceof AbortSignal, "signal", signal, "an AbortSignal");
  check(["undefined", "function"].includes(typeof onMessage), "onMessage", onMessage, "a function");
  // Omit the zone id, which is valid only on this machine (RFC 6874 section 4).
  const host = hostname.includes(":") ? `[${hostname.replace(/%.*/, "")}]` : hostname;
  const wire = { authority: `${host}:${port}`, userSegment: toPathSegment("userId", userId) };
  const given = { hostname, port, timeout, signal, maxBodySize, onMessage };
  const checked = { ...given, ...wire, keepAlive: keepAlive && keepsAlive };
  CHECKED.add(checked);
  return checked;
}

function checkNumber(name: string, value: number, passes: boolean, range: string): void {
  const type = typeof value === "number" ? RangeError : TypeError;
  check(passes, name, value, `a number ${range}`, type);
}

function check(passes: boolean, name: string, value: unknown, rule: string, type = TypeError) {
  if (passes) return;
  throw Object.assign(new type(`${name} must be ${rule}, not ${show(value)}`), { option: name });
}

// ---- The response: RFC 9112 sections 4 to 8

/**
 * Reads the first final response from any source of bytes. It may read more bytes than the response
 * has.
 *
 * @param source Where the bytes come from, for example a `Deno.Conn`.
 * @param options `maxBodySize`: maximum size of the body in bytes, 1,048,576 by default.
 * @returns The response.
 * @throws {KeyClientError} If the response is malformed, too large, or incomplete.
 * @throws {TypeError | RangeError} If `source` is not a source of bytes, or an option is wrong.
 *
 * @example Usage
 * ```ts
 * import { readResponse } from "./key_client.ts";
 * const wire = new TextEncoder().encode("HTTP/1.1 204 No Content\r\n\r\n");
 * const source = { read: (p: Uint8Array) => (p.set(wire), Promise.resolve(wire.length)) };
 * console.log((await readResponse(source)).status);
 * ```
 */
export async function readResponse(
  source: { read(p: Uint8Array): Promise<number | null> },
  options?: { maxBodySize?: number },
): Promise<HttpResponse> {
  check(typeof source?.read === "function", "source", source, "an object with a read method");
  const reader = new ResponseReader(checkOptions(options).maxBodySize);
  const read = async (room: Uint8Array): Promise<ReadResult> => await source.read(room);
  for (;;) {
    const response = await readMessage(reader, (room) => read(room).catch(toError));
    if (response.status >= 200) return { ...response, body: response.body.slice() };
  }
}

/** The number of bytes read. If no more bytes follow: `null` or an error. */
type ReadResult = number | null | Error;
/** Yields a buffer for more bytes, receives the result of the read, and finally returns a `T`. */
type Reading<T> = Generator<Uint8Array, T, ReadResult>;

/** Reads one message, interim or final. */
async function readMessage(
  reader: ResponseReader,
  read: (room: Uint8Array) => Promise<ReadResult>,
): Promise<HttpResponse> {
  const reading = reader.readMessage();
  let step = reading.next(0);
  while (!step.done) step = reading.next(await read(step.value));
  return step.value;
}

const MAX_HEAD_SIZE = 65_536; // bytes of heads, chunk lines and trailers together
const CHUNK_LINE_SIZE = 18; // 16 digits and CRLF: does not count toward MAX_HEAD_SIZE
// RFC 9112 section 4: HTTP-version SP status-code SP [ reason-phrase ]. Some omit the last SP.
const STATUS_LINE_REGEXP = /^HTTP\/1\.(\d) ([1-9]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?\r?\n$/;
// RFC 9112 section 5: field-name ":" OWS field-value OWS.
const FIELD_LINE_REGEXP = /^([\w!#$%&'*+.^`|~-]+):([\t\x20-\x7e\x80-\xff]*)\r?\n$/;
// RFC 9112 section 5.2: obs-fold, which continues the previous line.
const FOLDED_LINE_REGEXP = /^[\t ][\t\x20-\x7e\x80-\xff]*\r?\n$/;
// RFC 9112 section 7.1: chunk-size [ chunk-ext ] CRLF. If LF were valid, parsers might disagree.
const CHUNK_LINE_REGEXP = /^[\da-fA-F]+[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n$/;
const HEX_REGEXP = /^[ \t\r\n]*([\da-fA-F]+)[ \t\r\n]*$/;

/**
 * Parses the messages of one connection, without socket, clock or callback. A method with a `*`
 * yields a buffer if it needs more bytes, and throws if there are no more.
 */
class ResponseReader {
  received = 0; // bytes
  readonly #maxBodySize: number;
  #bytes = new Uint8Array(1024);
  #start = 0; // of the message
  #bodyStart?: number;
  #taken = 0; // bytes parsed so far
  #headLimit = MAX_HEAD_SIZE; // offset where heads, chunk lines and trailers must end
  #isPersistent = false;
  #failure?: Error; // why no more bytes follow

  constructor(maxBodySize: number) {
    this.#maxBodySize = maxBodySize;
  }

  /** Whether another exchange can use the connection. */
  get isReusable(): boolean {
    return this.#isPersistent && this.#taken === this.received;
  }

  /** Returns copies of the head and the body of the message, up to an offset. */
  wire(end = this.#taken): [head: Uint8Array<ArrayBuffer>, body: Uint8Array<ArrayBuffer>] {
    const bodyStart = this.#bodyStart ?? end;
    return [this.#bytes.slice(this.#start, bodyStart), this.#bytes.slice(bodyStart, end)];
  }

  /** Reads one message, interim or final. */
  *readMessage(): Reading<HttpResponse> {
    this.#start = this.#taken;
    this.#bodyStart = undefined;
    const line = yield* this.#readLine("the end of the status line");
    const [, minorVersion, status, reason = ""] = STATUS_LINE_REGEXP.exec(line) ?? [];
    if (!status) throw malformed("the status line", line);
    if (status === "101") throw malformed("a protocol switch without an Upgrade request", line);
    const fields = yield* this.#readFields();
    const head = { minorVersion: +minorVersion, status: +status, reason, fields };
    if (head.status < 200) return { ...head, body: new Uint8Array() };
    this.#bodyStart = this.#taken;
    return { ...head, body: yield* this.#readBody(head) };
  }

  *#readFields(kind = "header"): Reading<HttpResponse["fields"]> {
    const fields: HttpResponse["fields"] = [];
    for (;;) {
      const line = yield* this.#readLine(`the empty line after the ${kind} fields`);
      const [, name, value] = FIELD_LINE_REGEXP.exec(line) ?? [];
      const last = fields.at(-1);
      if (name) fields.push([name, trim(value)]);
      else if (line === "\r\n" || line === "\n") return fields;
      else if (!last || !FOLDED_LINE_REGEXP.test(line)) throw malformed(`the ${kind} field`, line);
      else last[1] += trim(line) && last[1] ? ` ${trim(line)}` : trim(line);
    }
  }

  /** Reads the body: RFC 9112 section 6.3. */
  *#readBody(head: Omit<HttpResponse, "body">): Reading<Uint8Array<ArrayBuffer>> {
    const { minorVersion, status, fields } = head;
    const codings = listMembers(fields, "transfer-encoding");
    const lengths = listMembers(fields, "content-length");
    const options = listMembers(fields, "connection");
    const hasNoBody = status === 204 || status === 304;
    this.#isPersistent = !options.includes("close") && // section 9.3
      (minorVersion > 0 || options.includes("keep-alive")) &&
      // Sections 6.1 and 6.3: chunks with a Content-Length, or in HTTP/1.0, may be an attack.
      (codings.length === 0 || minorVersion > 0 && lengths.length === 0) &&
      (!hasNoBody || codings.length + lengths.length === 0); // the server may still send a body
    if (hasNoBody) return new Uint8Array();
    const applied = codings.filter((coding) => coding !== "" && coding !== "identity");
    // "chunked, chunked" means that a framework repeated the header: the body is chunked once. A
    // coding with a parameter is an error, as in curl; fetch treats its chunk sizes as body.
    const isChunked = applied.every((coding) => coding === "chunked");
    if (!isChunked) throw malformed("the transfer coding", applied.join(", "));
    if (applied.length > 0) return yield* this.#readChunks();
    let size = Number(lengths[0]);
    // A proxy that joins headers sends "5, 5". "5," is an error, as in fetch; curl accepts it.
    const isLength = lengths.every((text) => /^\d+$/.test(text) && Number(text) === size);
    if (!isLength) throw malformed("the content length", lengths.join(", "));
    if (lengths.length === 0) {
      this.#isPersistent = false;
      while (this.received - this.#taken <= this.#maxBodySize && (yield* this.#fill()));
      // A normal close ends the body. If the connection failed, bytes may be missing.
      if (this.#failure) throw this.#closedEarly("the end of the body");
      size = this.received - this.#taken;
    }
    return yield* this.#readOctets(size, "the body", size);
  }

  /** Reads chunks and trailer fields: RFC 9112 section 7.1. */
  *#readChunks(): Reading<Uint8Array<ArrayBuffer>> {
    let [body, length] = [new Uint8Array(), 0];
    for (;;) {
      this.#headLimit += CHUNK_LINE_SIZE;
      const line = yield* this.#readLine("the size of the next chunk");
      const ending = line.endsWith("\r\n") ? "" : " (its line ends in LF, not CRLF)";
      if (!CHUNK_LINE_REGEXP.test(line)) throw malformed(`the size of a chunk${ending}`, line);
      const size = parseInt(line, 16);
      if (size === 0) break;
      const chunk = yield* this.#readOctets(size, "a chunk", length + size);
      if (length + size > body.length) {
        body = new Uint8Array(body.buffer.transfer(Math.max(length + size, 2 * length)));
      }
      body.set(chunk, length);
      length += size;
      const end = decodeLatin1(yield* this.#readOctets(2, "the CRLF after a chunk", length));
      if (end !== "\r\n") throw malformed("the CRLF after a chunk", end);
    }
    yield* this.#readFields("trailer"); // section 7.1.2: they may be discarded
    return body.subarray(0, length);
  }

  /** Reads `count` bytes. With them, the body has `bodySize` bytes so far. */
  *#readOctets(count: number, what: string, bodySize: number): Reading<Uint8Array<ArrayBuffer>> {
    if (bodySize > this.#maxBodySize) throw tooLarge("body", this.#maxBodySize);
    const end = this.#taken + count;
    while (this.received < end) {
      const missing = `${end - this.received} of ${count} bytes of ${what}`;
      if (!(yield* this.#fill())) throw this.#closedEarly(missing);
    }
    this.#taken = end;
    this.#headLimit += count;
    return this.#bytes.subarray(end - count, end);
  }

  /** Reads one line, including its line ending. */
  *#readLine(missing: string): Reading<string> {
    const start = this.#taken;
    for (let at = start;; at++) {
      if (at === this.#headLimit) throw tooLarge("head", MAX_HEAD_SIZE);
      if (at === this.received && !(yield* this.#fill())) throw this.#closedEarly(missing);
      if (this.#bytes[at] !== 0x0a) continue; // LF
      this.#taken = at + 1;
      return decodeLatin1(this.#bytes.subarray(start, this.#taken));
    }
  }

  /** Reads more bytes. Returns `false` if there are none. */
  *#fill(): Reading<boolean> {
    if (this.received === this.#bytes.length) {
      this.#bytes = new Uint8Array(this.#bytes.buffer.transfer(2 * this.received));
    }
    const room = this.#bytes.subarray(this.received);
    // A source may return 0 bytes now and then, but not forever.
    for (let reads = 0; reads < 100; reads++) {
      const result = yield room;
      if (result === 0) continue;
      if (result instanceof Error) this.#failure = result;
      if (result === null || result instanceof Error) return false;
      const isCount = Number.isInteger(result) && result > 0 && result <= room.length;
      check(isCount, "the result of read()", result, `null or a count up to ${room.length}`);
      this.received += result;
      return true;
    }
    this.#failure = new Error("100 reads in a row returned no bytes");
    return false;
  }

  #closedEarly(missing: string): KeyClientError {
    const start = decodeLatin1(this.#bytes.subarray(this.#start, this.received).subarray(0, 100));
    const isHttp = "HTTP/1.".startsWith(start.slice(0, 7)); // false: HTTP/0.9 or another protocol
    if (!isHttp) return malformed("the status line", start);
    const reason = this.#failure ? `: ${this.#failure.message}` : "";
    const end = `the connection closed after ${this.received} bytes, without ${missing}${reason}`;
    const cause = this.#failure;
    return new KeyClientError("closed-early", `Cannot read the response: ${end}`, { cause });
  }
}

/** Returns the list in a header field, in lowercase. If the field is repeated, joins the lists. */
function listMembers(fields: HttpResponse["fields"], lowerCaseName: string): string[] {
  return fields.filter(([name]) => name.toLowerCase() === lowerCaseName)
    .flatMap(([, value]) => value.toLowerCase().split(",").map(trim));
}

// ---- Text and errors

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { ignoreBOM: true }); // keeps a BOM

/** Trims HTTP's white space; `trim()` and `\s` would trim more. */
function trim(text: string): string {
  return /[^\t\r\n ](?:.*[^\t\r\n ])?/.exec(text)?.[0] ?? "";
}

/** Decodes ISO 8859-1; `TextDecoder("latin1")` would decode windows-1252. */
function decodeLatin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode.apply(null, bytes.subarray(at, at + 8192) as unknown as number[]);
  }
  return text;
}

function malformed(what: string, text: string): KeyClientError {
  const message = `Cannot parse ${what}: ${show(text.replace(/\r?\n$/, ""))}`;
  return new KeyClientError("malformed", message);
}

function tooLarge(part: "head" | "body", limit: number): KeyClientError {
  return new KeyClientError("too-large", `The ${part} is larger than ${limit} bytes`);
}

function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** Formats a value on one line of limited length. Escapes what could move a terminal's cursor. */
function show(value: unknown): string {
  const text = Object(value) === value ? {}.toString.call(value) : String(value);
  const short = text.length > 80 ? `${text.slice(0, 80).toWellFormed()}...` : text;
  return (text === value ? JSON.stringify(short) : short).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`,
  );
}
