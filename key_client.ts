/**
 * A client for the key server exercise: HTTP/1.1 written by hand over `Deno.connect`.
 *
 * ```text
 * 1. CLIENT ──▶ SERVER   KEY /user/<user_id>/ HTTP/1.1
 * 2. CLIENT ◀── SERVER   a key of 128 hex digits, or 400, 404, 405 and a message
 * 3. CLIENT ──▶ SERVER   PUT /key/<user_id>/<key_val>/ HTTP/1.1
 * 4. CLIENT ◀── SERVER   a message: success, or what the problem is
 * ```
 *
 * @example The whole conversation
 * ```ts
 * import { doKey, doPut } from "./key_client.ts";
 * import { startKeyServer } from "./key_server.ts";
 *
 * await using server = startKeyServer({ port: 0 });
 * const { port } = server.addr;
 * const keyVal = await doKey({ port });
 * if (keyVal !== null) console.log(await doPut(keyVal, { port }));
 * ```
 *
 * @module
 */

/**
 * Options of {@linkcode doKey}, {@linkcode doPut} and {@linkcode KeyClient}.
 *
 * @example Usage
 * ```ts
 * import { doKey, type KeyClientOptions } from "./key_client.ts";
 *
 * const options: KeyClientOptions = { hostname: "localhost", port: 1, timeout: 500 };
 * console.log(await doKey(options)); // null, as nothing listens there
 * ```
 */
export interface KeyClientOptions {
  /**
   * Name or IP address of the key server.
   * @default {"127.0.0.1"}
   */
  hostname?: string;
  /**
   * TCP port of the key server, from 1 to 65535.
   * @default {5000}
   */
  port?: number;
  /**
   * The `<user_id>`: any text but `""`, `"."` and `".."`.
   * @default {"User1"}
   */
  userId?: string;
  /**
   * Milliseconds for one whole exchange, connecting included: above 0, at most 2 ** 31 - 1.
   * @default {10_000}
   */
  timeout?: number;
  /** Cancels: the exchange under way rejects with `signal.reason`. */
  signal?: AbortSignal;
  /**
   * Bytes of response body that are accepted: a whole number from 0 to 2 ** 31 - 1.
   * @default {1_048_576}
   */
  maxBodySize?: number;
  /** Gets each message as it was on the wire. What it throws fails the exchange. */
  onMessage?: (message: WireMessage) => void;
}

/**
 * A message as it was on the wire; of a response that failed, the bytes that came.
 *
 * @example Usage
 * ```ts
 * import { KeyClient, type WireMessage } from "./key_client.ts";
 *
 * const transcript: WireMessage[] = [];
 * using client = new KeyClient({ onMessage: (message) => transcript.push(message) });
 * ```
 */
export interface WireMessage {
  /** A request goes to the server, a response comes from it. */
  direction: "request" | "response";
  /** The start line and the field lines, up to and with the empty line. */
  head: Uint8Array;
  /** All that follows the head, with chunk sizes and trailer fields where there are any. */
  body: Uint8Array;
  /** When its last byte was written or read, in milliseconds as of `performance.now()`. */
  time: number;
}

/**
 * What the key server says to a key.
 *
 * @example Usage
 * ```ts
 * import { KeyClientError, type KeyServerResponse } from "./key_client.ts";
 *
 * const cause: KeyServerResponse = { status: 404, ok: false, message: "no such user" };
 * console.log(new KeyClientError("refused", "No key", { cause }).status); // 404
 * ```
 */
export interface KeyServerResponse {
  /** The status code, from 200 to 999. */
  status: number;
  /** Whether the status is 2xx. */
  ok: boolean;
  /** The body as text: UTF-8, with U+FFFD for whatever is not. */
  message: string;
}

/**
 * A final response, from {@linkcode readResponse}.
 *
 * @example Usage
 * ```ts
 * import type { HttpResponse } from "./key_client.ts";
 *
 * const isPlainText = ({ fields }: HttpResponse) =>
 *   fields.some((field) => /^content-type:text\/plain\b/i.test(field.join(":")));
 * ```
 */
export interface HttpResponse {
  /** The digit behind `HTTP/1.`. */
  minorVersion: number;
  /** The status code, from 200 to 999. */
  status: number;
  /** The reason phrase, or `""`. */
  reason: string;
  /** The fields in order: names as they were spelt, values as ISO 8859-1. */
  fields: [name: string, value: string][];
  /** The content, without its framing. */
  body: Uint8Array;
}

/**
 * What went wrong, and what to do about it:
 * - `connect-failed`: no connection. Does the server run there? Are host and port right?
 * - `timed-out`: no whole response in time. Look at the server, or raise `timeout`.
 * - `closed-early`: the connection ended before the response did. Look at the server.
 * - `malformed`: what came is not a response of HTTP/1.x. Is it the right port?
 * - `too-large`: a head above 64 KiB, or a body above `maxBodySize`, which can be raised.
 * - `refused`: the server answered with a status that is not 2xx. Read why in its message.
 * - `not-a-key`: the server answered with 2xx, but not with 128 hex digits. Is it a key server?
 *
 * @example Usage
 * ```ts
 * import type { KeyClientErrorCode } from "./key_client.ts";
 *
 * const mayPass = (code: KeyClientErrorCode) => ["timed-out", "closed-early"].includes(code);
 * ```
 */
export type KeyClientErrorCode =
  | "connect-failed"
  | "timed-out"
  | "closed-early"
  | "malformed"
  | "too-large"
  | "refused"
  | "not-a-key";

/**
 * The error for all that goes wrong outside the caller's own code.
 *
 * @example Usage
 * ```ts
 * import { KeyClient, KeyClientError } from "./key_client.ts";
 *
 * using client = new KeyClient({ port: 1 });
 * try {
 *   await client.requestKey();
 * } catch (error) {
 *   if (error instanceof KeyClientError) console.error(error.code, error.message);
 * }
 * ```
 */
export class KeyClientError extends Error {
  /** Always `"KeyClientError"`. */
  override name = "KeyClientError";
  /** What went wrong. */
  readonly code: KeyClientErrorCode;
  /** The status of the response that was `refused` or `not-a-key`. */
  readonly status?: number;

  /**
   * Constructs a new instance.
   *
   * @param code What went wrong.
   * @param message The same in a sentence.
   * @param options The `cause` is the error beneath; with `refused` and `not-a-key` it is the
   * {@linkcode KeyServerResponse}, whose message is whole there.
   */
  constructor(code: KeyClientErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    if (code === "refused" || code === "not-a-key") {
      this.status = (options?.cause as KeyServerResponse | undefined)?.status;
    }
  }
}

/**
 * Stages 1 and 2: asks for a key, over a connection of its own.
 *
 * @returns The key's 128 ASCII bytes as the server spelt them, or `null` on any error (which
 * one, {@linkcode KeyClient.requestKey} tells). Never rejects.
 *
 * @example Usage
 * ```ts
 * import { doKey } from "./key_client.ts";
 * import { startKeyServer } from "./key_server.ts";
 *
 * await using server = startKeyServer({ port: 0 });
 * const keyVal = await doKey({ port: server.addr.port, userId: "Ada", timeout: 500 });
 * console.log(keyVal?.length ?? "no key");
 * ```
 */
export async function doKey(options?: KeyClientOptions): Promise<Uint8Array | null> {
  try {
    return await oneShot(options).requestKey();
  } catch {
    return null;
  }
}

/**
 * Stages 3 and 4: hands the key back, over a connection of its own.
 *
 * @param keyVal The key that {@linkcode doKey} returned, or any text.
 * @param options The same as for {@linkcode doKey}.
 * @returns The text of the response, whatever its status: UTF-8, with U+FFFD for whatever is not.
 * @throws {KeyClientError} If there was no usable response.
 * @throws {TypeError} If the key is empty or not text, or an option has the wrong type.
 * @throws {RangeError} If an option is out of range.
 *
 * @example Usage
 * ```ts
 * import { doPut } from "./key_client.ts";
 * import { startKeyServer } from "./key_server.ts";
 *
 * await using server = startKeyServer({ port: 0 });
 * console.log(await doPut("0".repeat(128), { port: server.addr.port }));
 * ```
 */
export async function doPut(
  keyVal: Uint8Array | string,
  options?: KeyClientOptions,
): Promise<string> {
  return (await oneShot(options).verifyKey(keyVal)).message;
}

function oneShot(options?: KeyClientOptions): KeyClient {
  const client = new KeyClient(options);
  client["oneShot"] = true;
  return client;
}

/**
 * Both stages over one connection, where the server keeps it open; says why a stage failed.
 * One exchange at a time.
 *
 * @example The whole conversation
 * ```ts
 * import { KeyClient } from "./key_client.ts";
 * import { startKeyServer } from "./key_server.ts";
 *
 * await using server = startKeyServer({ port: 0 });
 * using client = new KeyClient({ port: server.addr.port });
 * const keyVal = await client.requestKey();
 * const { status, ok, message } = await client.verifyKey(keyVal);
 * console.log(status, ok, message);
 * ```
 */
export class KeyClient implements Disposable {
  readonly #options: CheckedOptions;
  #conn?: Deno.TcpConn;
  #input!: Input;
  /** Ends the exchange under way. */
  #stop?: (reason: unknown) => void;
  #closed = false;
  /** Whether there is one exchange only, so that the server may close behind it. */
  private oneShot = false;

  /**
   * Makes no connection yet.
   *
   * @throws {TypeError} If an option has the wrong type.
   * @throws {RangeError} If an option is out of range.
   */
  constructor(options: KeyClientOptions = {}) {
    this.#options = checkOptions(options);
  }

  /**
   * Stages 1 and 2. `KEY` is not known to be idempotent: it is never sent twice.
   *
   * @returns The key's 128 ASCII bytes: the body of a 2xx response, white space around it aside.
   * @throws {KeyClientError} If there was no key.
   * @throws {TypeError} If the client is closed, or another exchange is under way.
   */
  async requestKey(): Promise<Uint8Array> {
    const response = await this.#exchange("KEY");
    const key = trim(response.message, " \t\r\n");
    if (response.ok && KEY_REGEXP.test(key)) return ENCODER.encode(key);
    const [code, verb] = response.ok
      ? ["not-a-key", "did not answer with a key"] as const
      : ["refused", `answered with status ${response.status}`] as const;
    const message = `The server ${verb}: ${show(response.message)}`;
    throw new KeyClientError(code, message, { cause: response });
  }

  /**
   * Stages 3 and 4. `PUT` is idempotent (RFC 9110 section 9.2.2): if a kept connection turns out
   * closed before it answers, it is sent once more over a new one.
   *
   * @param keyVal The key, as bytes or text.
   * @returns What the server says, whatever the status.
   * @throws {KeyClientError} If there was no usable response.
   * @throws {TypeError} If the key is empty or not text, or as for `requestKey`.
   */
  async verifyKey(keyVal: Uint8Array | string): Promise<KeyServerResponse> {
    return await this.#exchange("PUT", keyVal);
  }

  /** Closes the connection for good. An exchange under way rejects with an `AbortError`. */
  close(): void {
    this.#closed = true;
    this.#stop?.(new DOMException("The client was closed", "AbortError"));
    this.#disconnect();
  }

  /** The same as {@linkcode KeyClient.close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** One request and its response, unless time or signal end it before. */
  async #exchange(method: "KEY" | "PUT", keyVal?: Uint8Array | string): Promise<KeyServerResponse> {
    const request = this.frame(method, keyVal);
    if (this.#closed) throw new TypeError("Cannot send: the client is closed");
    if (this.#stop) throw new TypeError("Cannot send: another exchange is under way");
    const { signal, timeout } = this.#options;
    signal?.throwIfAborted();

    let stopped: { reason: unknown } | undefined;
    let connecting: AbortController | undefined;
    this.#stop = (reason) => {
      stopped ??= { reason };
      connecting?.abort();
      this.#disconnect(); // a pending read or write rejects
    };
    const throwIfStopped = () => {
      if (stopped) throw stopped.reason;
    };
    const onAbort = () => this.#stop!(signal!.reason);
    const onTimeout = () => {
      const state = this.#conn ? `with ${this.#input.received} bytes received` : "while connecting";
      const message = `Cannot get a response: timed out after ${timeout} ms, ${state}`;
      this.#stop!(new KeyClientError("timed-out", message));
    };
    signal?.addEventListener("abort", onAbort);
    const timer = setTimeout(onTimeout, timeout);
    try {
      if (this.#conn && await this.#input.isDisturbed()) this.#disconnect();
      let response: HttpResponse | undefined;
      while (!response) {
        throwIfStopped();
        const isKept = this.#conn !== undefined;
        if (!isKept) {
          connecting = new AbortController();
          await this.#connect(connecting.signal);
          throwIfStopped();
        }
        try {
          response = await this.#send(request);
        } catch (error) {
          const isUnanswered = this.#input.ended && this.#input.received === 0;
          if (stopped || !isKept || !isUnanswered || method !== "PUT") throw error;
          this.#disconnect();
        }
      }
      const { status, body } = response;
      return { status, ok: status >= 200 && status < 300, message: DECODER.decode(body) };
    } catch (error) {
      this.#disconnect();
      throw stopped ? stopped.reason : error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      this.#stop = undefined;
    }
  }

  async #connect(signal: AbortSignal): Promise<void> {
    const { hostname, port, authority, onMessage } = this.#options;
    // Deno.connect asks the signal a last time when the connection is there, and would then lose
    // it, open. Here the caller asks, and closes it.
    signal.throwIfAborted = () => {};
    try {
      this.#conn = await Deno.connect({ hostname, port, signal });
    } catch (cause) {
      const message = `Cannot connect to ${authority}: ${messageOf(cause)}`;
      throw new KeyClientError("connect-failed", message, { cause });
    }
    this.#input = new Input(this.#conn, onMessage !== undefined);
  }

  /** Writes the request, reads the response, and keeps the connection if that is possible. */
  async #send(request: Uint8Array<ArrayBuffer>): Promise<HttpResponse> {
    const { maxBodySize, onMessage } = this.#options;
    const [conn, input] = [this.#conn!, this.#input];
    let sent = 0;
    try {
      while (sent < request.length) sent += await conn.write(request.subarray(sent));
    } catch {
      // A server may answer and close before it has read everything: whether there is an answer
      // says more than this failure.
    }
    if (onMessage && sent > 0) {
      const head = request.slice(0, sent);
      onMessage({ direction: "request", head, body: NO_BYTES, time: performance.now() });
    }
    const response = await readFinalResponse(input, maxBodySize, onMessage);
    const isWhole = sent === request.length && !input.ended && input.unread === 0;
    if (this.oneShot || !isWhole || !isPersistent(response)) this.#disconnect();
    return response;
  }

  #disconnect(): void {
    this.#conn?.close();
    this.#conn = undefined;
  }

  /** Frames a request: RFC 9112 section 3. `main.ts --offline` prints it. */
  private frame(method: "KEY" | "PUT", keyVal?: Uint8Array | string): Uint8Array<ArrayBuffer> {
    const { authority, userSegment } = this.#options;
    const target = method === "KEY"
      ? `/user/${userSegment}/`
      : `/key/${userSegment}/${toPathSegment("keyVal", keyVal)}/`;
    return ENCODER.encode(
      `${method} ${target} HTTP/1.1\r\n` +
        `Host: ${authority}\r\n` +
        "User-Agent: key_client\r\n" +
        "Accept: */*\r\n" +
        (method === "PUT" ? "Content-Length: 0\r\n" : "") +
        (this.oneShot ? "Connection: close\r\n" : "") +
        "\r\n",
    );
  }
}

/**
 * Reads one response from any source of bytes, by RFC 9112: the protocol without the socket.
 *
 * @param source Where the bytes come from, one response or more: reading may go beyond the first.
 * @param options `maxBodySize`: bytes of body that are accepted, 1 MiB by default.
 * @returns The first final response; interim ones (1xx) are skipped.
 * @throws {KeyClientError} If there is no whole, well-formed response.
 * @throws {TypeError} If `maxBodySize` is not a number.
 * @throws {RangeError} If `maxBodySize` is out of range.
 *
 * @example Usage
 * ```ts
 * import { readResponse } from "./key_client.ts";
 *
 * const wire = [new TextEncoder().encode("HTTP/1.1 200 OK\r\n\r\nhello")];
 * const source = {
 *   read(p: Uint8Array): Promise<number | null> {
 *     const bytes = wire.pop();
 *     p.set(bytes ?? []);
 *     return Promise.resolve(bytes?.length ?? null);
 *   },
 * };
 * const { status, body } = await readResponse(source);
 * console.log(status, new TextDecoder().decode(body));
 * ```
 */
export async function readResponse(
  source: { read(p: Uint8Array): Promise<number | null> },
  options: { maxBodySize?: number } = {},
): Promise<HttpResponse> {
  const { maxBodySize } = checkOptions(options);
  return await readFinalResponse(new Input(source), maxBodySize);
}

// What the caller gives

const MAX_INT32 = 2 ** 31 - 1; // a longer timer fires at once
const HOST_REGEXP = /^(?:[\w.-]+|(?=.*:.*:)[\da-f:.]+(?:%[\w.-]+)?)$/i;

type CheckedOptions =
  & Required<Omit<KeyClientOptions, "userId" | "signal" | "onMessage">>
  & Pick<KeyClientOptions, "signal" | "onMessage">
  & { authority: string; userSegment: string };

function checkOptions(options: KeyClientOptions): CheckedOptions {
  checkType("options", options, typeof options === "object" && options !== null, "an object");
  const { hostname = "127.0.0.1", port = 5000, userId = "User1" } = options;
  const { timeout = 10_000, maxBodySize = 1_048_576, signal, onMessage } = options;
  // It goes into the Host field, so nothing may pass that is no part of a name or an address.
  const host = typeof hostname === "string" ? hostname.replace(/^\[(.*:.*)\]$/, "$1") : "";
  checkType("hostname", hostname, HOST_REGEXP.test(host), "a host name or an IP address");
  checkNumber("port", port, (n) => Number.isInteger(n) && n >= 1 && n <= 65535, "1 to 65535");
  checkNumber("timeout", timeout, (n) => n > 0 && n <= MAX_INT32, `above 0, at most ${MAX_INT32}`);
  const isSize = (n: number) => Number.isInteger(n) && n >= 0 && n <= MAX_INT32;
  checkNumber("maxBodySize", maxBodySize, isSize, `0 to ${MAX_INT32}`);
  const isSignal = signal === undefined || signal instanceof AbortSignal;
  checkType("signal", signal, isSignal, "an AbortSignal");
  const isFunction = onMessage === undefined || typeof onMessage === "function";
  checkType("onMessage", onMessage, isFunction, "a function");
  // A zone means nothing to the other end (RFC 6874 section 4).
  const authority = `${host.includes(":") ? `[${host.replace(/%.*/, "")}]` : host}:${port}`;
  const userSegment = toPathSegment("userId", userId);
  return { hostname: host, port, timeout, maxBodySize, signal, onMessage, authority, userSegment };
}

function checkType(name: string, value: unknown, passes: boolean, type: string): void {
  if (!passes) throw new TypeError(`Cannot use ${name} ${show(value)}: it must be ${type}`);
}

function checkNumber(
  name: string,
  value: number,
  passes: (value: number) => boolean,
  range: string,
): void {
  checkType(name, value, typeof value === "number", "a number");
  if (!passes(value)) throw new RangeError(`Cannot use ${name} ${value}: it must be ${range}`);
}

/**
 * Percent-encodes text, or bytes one by one, as exactly one path segment. An empty segment or
 * one of dots would make another path of it (RFC 3986 section 5.2.4).
 */
function toPathSegment(name: string, value: unknown): string {
  const text = value instanceof Uint8Array ? decodeLatin1(value) : value;
  if (typeof text !== "string") {
    throw new TypeError(`Cannot use ${name} ${show(value)}: it must be text`);
  }
  checkType(name, text, !["", ".", ".."].includes(text), 'other than "", "." and ".."');
  checkType(name, text, text.isWellFormed(), "without lone surrogates");
  if (text === value) return encodeURIComponent(text);
  return text.replace(
    /[^\x80-\xff]+|[\x80-\xff]/g,
    (part) =>
      part < "\x80"
        ? encodeURIComponent(part)
        : `%${part.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

// What the server sends

const MAX_HEAD_SIZE = 65_536; // bytes of heads and trailers together
const FREE_CHUNK_LINE_SIZE = 18; // of a chunk's size line, 16 digits and CRLF are not counted
const MAX_BUFFER_SIZE = 262_144; // above MAX_HEAD_SIZE, so that there is room for any line
const LF = 0x0a;

// RFC 9112 section 4: HTTP-version SP status-code SP [ reason-phrase ]. There are servers that
// leave out the reason phrase, and the space before it.
const STATUS_LINE_REGEXP = /^HTTP\/1\.(\d) ([1-9]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?\r?\n$/;
// RFC 9112 section 5: field-name ":" OWS field-value OWS.
const FIELD_LINE_REGEXP = /^([\w!#$%&'*+.^`|~-]+):([\t\x20-\x7e\x80-\xff]*)\r?\n$/;
// RFC 9112 section 5.2: obs-fold, the line before goes on.
const FOLDED_LINE_REGEXP = /^[\t ]([\t\x20-\x7e\x80-\xff]*)\r?\n$/;
// RFC 9112 section 7.1: chunk-size [ chunk-ext ] CRLF. Not LF alone: where one reader sees the
// end of a line and another does not, they see different chunks.
const CHUNK_LINE_REGEXP = /^([\da-f]+)[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n$/i;
const KEY_REGEXP = /^[\da-f]{128}$/i;

const NO_BYTES = new Uint8Array();
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { ignoreBOM: true }); // keeps a BOM

/** What has been read from a source and not been taken yet. No byte is looked at twice. */
class Input {
  readonly #source: { read(p: Uint8Array): Promise<number | null> };
  #buffer = new Uint8Array(4096);
  #start = 0;
  #looked = 0; // there is no LF before it
  #end = 0;
  #headRoom = MAX_HEAD_SIZE;
  #ahead?: Promise<boolean>;
  /** The body of this response; the memory serves for the next one too. */
  readonly body = new Bytes();
  /** Bytes read for this response. */
  received = 0;
  /** Those bytes, if they are to be recorded. */
  wire?: Bytes;
  /** Whether the source has ended. */
  ended = false;
  /** Why, if it failed. */
  failure?: { cause: unknown };

  constructor(source: { read(p: Uint8Array): Promise<number | null> }, record = false) {
    this.#source = source;
    if (record) this.wire = new Bytes();
  }

  get unread(): number {
    return this.#end - this.#start;
  }

  /** Reads on; `false` at the end. */
  fill(): Promise<boolean> {
    const ahead = this.#ahead ?? this.#fillBuffer();
    this.#ahead = undefined;
    return ahead;
  }

  /** Reads on, as something is missing. */
  async fillOrFail(missing: string): Promise<void> {
    if (!await this.fill()) throw closedEarly(this, missing);
  }

  /**
   * Makes ready for the next response, and says whether anything has come before it was asked
   * for: the end of an idle connection, or bytes that must not be taken for the response.
   */
  async isDisturbed(): Promise<boolean> {
    this.received = 0;
    this.#headRoom = MAX_HEAD_SIZE;
    this.wire &&= new Bytes();
    let isDisturbed = false;
    this.#ahead = this.#fillBuffer();
    this.#ahead.then(() => isDisturbed = true);
    // A read of what is there settles within a few turns, without the event loop.
    for (let turn = 0; turn < 10 && !isDisturbed; turn++) await undefined;
    return isDisturbed;
  }

  async #fillBuffer(): Promise<boolean> {
    if (this.#start === this.#end) this.#start = this.#looked = this.#end = 0;
    if (this.#end === this.#buffer.length) this.#makeRoom();
    const count = await this.read(this.#buffer.subarray(this.#end));
    this.#end += count;
    return count > 0;
  }

  /** Reads past the buffer, which must be empty; 0 at the end. */
  async read(room: Uint8Array): Promise<number> {
    let count: number | null = 0;
    try {
      // A source other than a socket may give nothing at times, but not for ever.
      for (let tries = 0; count === 0 && tries < 100; tries++) {
        count = await this.#source.read(room);
      }
    } catch (cause) {
      this.failure = { cause };
    }
    if (!count) {
      this.ended = true;
      return 0;
    }
    this.wire?.push(room.subarray(0, count));
    this.received += count;
    return count;
  }

  /** A buffer that has been filled is too small. */
  #makeRoom(): void {
    const unread = this.#buffer.subarray(this.#start, this.#end);
    if (this.#buffer.length < MAX_BUFFER_SIZE) {
      this.#buffer = new Uint8Array(4 * this.#buffer.length);
    }
    this.#buffer.set(unread);
    this.#looked -= this.#start;
    this.#end -= this.#start;
    this.#start = 0;
  }

  /** Takes up to so many bytes; they are valid until the next read. */
  take(most = Infinity): Uint8Array {
    const start = this.#start;
    this.#start = this.#looked = Math.min(start + most, this.#end);
    return this.#buffer.subarray(start, this.#start);
  }

  /** Takes a line with its LF, if it is there. All but `free` bytes of it count as head. */
  takeLine(free = 0): string | undefined {
    while (this.#looked < this.#end && this.#buffer[this.#looked] !== LF) this.#looked++;
    const isWhole = this.#looked < this.#end;
    const size = this.#looked - this.#start + (isWhole ? 1 : 0);
    const counted = Math.max(0, size - free);
    if (counted > this.#headRoom) throw tooLarge("head", MAX_HEAD_SIZE);
    if (!isWhole) return undefined;
    this.#headRoom -= counted;
    return decodeLatin1(this.take(size));
  }
}

/** Bytes that grow as they come, and not on a server's word. */
class Bytes {
  #array = NO_BYTES;
  #limit = Infinity;
  length = 0;

  /** Starts anew in the same memory. */
  reset(limit: number): void {
    this.#limit = limit;
    this.length = 0;
  }

  /** Fails if so many bytes more would be too many. */
  expect(count: number): void {
    if (this.length + count > this.#limit) throw tooLarge("body", this.#limit);
  }

  /** Room for up to so many bytes, at least one; grows in proportion to what is there. */
  room(count: number): Uint8Array {
    if (this.length === this.#array.length) {
      const most = Math.max(4 * this.length, 65_536);
      const least = Math.min(4 * this.length, this.#limit + 1);
      const grown = new Uint8Array(Math.max(Math.min(this.length + count, most), least));
      grown.set(this.#array);
      this.#array = grown;
    }
    return this.#array.subarray(this.length, this.length + count);
  }

  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length;) {
      const room = this.room(bytes.length - at);
      room.set(bytes.subarray(at, at + room.length));
      at += room.length;
      this.length += room.length;
    }
  }

  view(): Uint8Array {
    return this.#array.subarray(0, this.length);
  }
}

/** Reads interim responses and the final one, and hands each out with the bytes it was. */
async function readFinalResponse(
  input: Input,
  maxBodySize: number,
  onMessage?: (message: WireMessage) => void,
): Promise<HttpResponse> {
  let start = 0; // of the message, counted from the first byte received
  const report = (headEnd: number, end: number) => {
    if (!onMessage || !(start < end)) return;
    const wire = input.wire!.view();
    const [head, body] = [wire.slice(start, headEnd), wire.slice(headEnd, end)];
    start = NaN; // no further report, should this one throw
    onMessage({ direction: "response", head, body, time: performance.now() });
    start = end;
  };
  const taken = () => input.received - input.unread;
  let headEnd: number | undefined;
  try {
    let response = await readHead(input);
    for (; response.status < 200; response = await readHead(input)) report(taken(), taken());
    headEnd = taken();
    response.body = await readBody(input, response, maxBodySize);
    report(headEnd, taken());
    return response;
  } catch (error) {
    report(headEnd ?? input.received, input.received);
    throw error;
  }
}

/** Reads the status line and the fields. */
async function readHead(input: Input): Promise<HttpResponse> {
  let line: string | undefined;
  while ((line = input.takeLine()) === undefined) {
    if (await input.fill()) continue;
    const rest = decodeLatin1(input.take());
    // HTTP/0.9, or no HTTP at all
    if (!"HTTP/1.".startsWith(rest.slice(0, 7))) throw malformed("the status line", rest);
    throw closedEarly(input, "the end of the status line");
  }
  const match = STATUS_LINE_REGEXP.exec(line);
  if (!match) throw malformed("the status line", line);
  const [, minorVersion, status, reason = ""] = match;
  if (status === "101") throw malformed("a switch of protocols that nobody asked for", line);
  const fields = await readFields(input);
  return {
    minorVersion: Number(minorVersion),
    status: Number(status),
    reason,
    fields,
    body: NO_BYTES,
  };
}

/** Reads field lines up to the empty line. */
async function readFields(input: Input): Promise<HttpResponse["fields"]> {
  const fields: HttpResponse["fields"] = [];
  for (;;) {
    const line = input.takeLine();
    if (line === undefined) {
      await input.fillOrFail("the empty line behind the fields");
      continue;
    }
    const match = FIELD_LINE_REGEXP.exec(line);
    if (match) {
      fields.push([match[1], trim(match[2])]);
    } else if (line === "\r\n" || line === "\n") {
      return fields;
    } else {
      const last = fields.at(-1);
      const folded = FOLDED_LINE_REGEXP.exec(line);
      if (!last || !folded) throw malformed("the field line", line);
      const part = trim(folded[1]);
      if (part !== "") last[1] += last[1] === "" ? part : ` ${part}`;
    }
  }
}

/** Reads a body: RFC 9112 section 6.3 says how long it is. */
async function readBody(
  input: Input,
  { status, fields }: HttpResponse,
  maxBodySize: number,
): Promise<Uint8Array> {
  const { body } = input;
  body.reset(maxBodySize);
  const codings = listMembers(fields, "transfer-encoding")
    .filter((coding) => coding !== "" && coding !== "identity");
  const lengths = listMembers(fields, "content-length");
  if (status === 204 || status === 304) {
    // no body, whatever the fields say
  } else if (codings.length > 0) {
    // Where the chunks have a parameter, fetch takes them for the body, and curl refuses them.
    if (codings.join() !== "chunked") throw malformed("the transfer coding", codings.join(", "));
    await readChunks(input, body);
  } else if (lengths.length > 0) {
    // "5, 5" may come of a proxy that joins fields. "5," is refused: fetch does so, curl does not.
    const length = Number(lengths[0]);
    const isLength = (text: string) => /^\d+$/.test(text) && Number(text) === length;
    if (!lengths.every(isLength)) throw malformed("the content length", lengths.join(", "));
    await readOctets(input, body, length, "the body");
  } else {
    do {
      body.push(input.take());
      body.expect(0);
    } while (await readOn(input, body, maxBodySize - body.length + 1));
    // Only a close ends the body: after a failure there may have been more.
    if (input.failure) throw closedEarly(input, "the end of the body");
  }
  return body.view();
}

/** Reads chunks and trailer fields: RFC 9112 section 7.1. */
async function readChunks(input: Input, body: Bytes): Promise<void> {
  for (;;) {
    let line: string | undefined;
    while ((line = input.takeLine(FREE_CHUNK_LINE_SIZE)) === undefined) {
      await input.fillOrFail("the size of the next chunk");
    }
    const match = CHUNK_LINE_REGEXP.exec(line);
    if (!match) throw malformed("the size of a chunk", line);
    const size = parseInt(match[1], 16);
    if (size === 0) break;
    await readOctets(input, body, size, "a chunk");
    while (input.unread < 2) await input.fillOrFail("the end of a chunk");
    const end = decodeLatin1(input.take(2));
    if (end !== "\r\n") throw malformed("the end of a chunk", end);
  }
  await readFields(input); // section 7.1.2: trailer fields may be dropped
}

/** Reads so many bytes of the body. */
async function readOctets(input: Input, body: Bytes, count: number, what: string): Promise<void> {
  body.expect(count);
  const end = body.length + count;
  for (;;) {
    body.push(input.take(end - body.length));
    const left = end - body.length;
    if (left === 0) return;
    if (!await readOn(input, body, left)) {
      throw closedEarly(input, `${left} of ${count} bytes of ${what}`);
    }
  }
}

/** Reads more of a body that lacks `left` bytes, much of it without the buffer in between. */
async function readOn(input: Input, body: Bytes, left: number): Promise<boolean> {
  if (Math.min(left, body.length) <= MAX_BUFFER_SIZE) return await input.fill();
  const count = await input.read(body.room(left));
  body.length += count;
  return count > 0;
}

/** The members of a list field, in lower case; a field that comes again goes on with the list. */
function listMembers(fields: HttpResponse["fields"], lowerCaseName: string): string[] {
  const members: string[] = [];
  for (const [name, value] of fields) {
    if (name.length !== lowerCaseName.length || name.toLowerCase() !== lowerCaseName) continue;
    for (const member of value.toLowerCase().split(",")) members.push(trim(member));
  }
  return members;
}

/** Whether the connection stays open behind a response: RFC 9112 section 9.3. */
function isPersistent({ minorVersion, fields }: HttpResponse): boolean {
  const options = listMembers(fields, "connection");
  if (options.includes("close")) return false;
  if (minorVersion === 0 && !options.includes("keep-alive")) return false;
  // Sections 6.1 and 6.3: chunks beside a length or from HTTP/1.0 may be an attack.
  const isChunked = listMembers(fields, "transfer-encoding").length > 0;
  return !isChunked || minorVersion > 0 && listMembers(fields, "content-length").length === 0;
}

// Text

/** Drops white space at both ends: HTTP's, where `trim()` and `\s` know more. */
function trim(text: string, space = " \t"): string {
  let [start, end] = [0, text.length];
  while (start < end && space.includes(text[start])) start++;
  while (start < end && space.includes(text[end - 1])) end--;
  return text.slice(start, end);
}

/** Decodes ISO 8859-1; `TextDecoder("latin1")` would decode windows-1252. */
function decodeLatin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    const part = bytes.length > 8192 ? bytes.subarray(at, at + 8192) : bytes;
    text += String.fromCharCode.apply(null, part as unknown as number[]);
  }
  return text;
}

function malformed(what: string, text: string): KeyClientError {
  const message = `Cannot parse ${what}: ${show(text.replace(/\r?\n$/, ""))}`;
  return new KeyClientError("malformed", message);
}

function closedEarly({ received, failure }: Input, missing: string): KeyClientError {
  const end = `the connection closed after ${received} bytes, without ${missing}`;
  const reason = failure ? `: ${messageOf(failure.cause)}` : "";
  return new KeyClientError("closed-early", `Cannot read the response: ${end}${reason}`, failure);
}

function tooLarge(part: "head" | "body", limit: number): KeyClientError {
  return new KeyClientError("too-large", `The ${part} is larger than ${limit} bytes`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Shows a value on one line, cut short, with nothing in it that could move a terminal. */
function show(value: unknown): string {
  const text = typeof value === "string"
    ? value
    : Deno.inspect(value, { depth: 0, breakLength: Infinity });
  const short = text.length > 80 ? `${text.slice(0, 80).toWellFormed()}…` : text;
  return (text === value ? JSON.stringify(short) : short).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`,
  );
}
