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

// ---- Options and errors

/** Options of {@linkcode doKey}, {@linkcode doPut} and {@linkcode KeyClient}. */
export interface KeyClientOptions {
  /** Name or IP address of the key server. Default: `"127.0.0.1"`. */
  hostname?: string;
  /** TCP port of the key server, from 1 to 65535. Default: 5000. */
  port?: number;
  /** Any text but `""`, `"."`, `".."`; percent-encoded, at most 65,536 bytes. Default: `"User1"`. */
  userId?: string;
  /** Milliseconds for a whole exchange, connecting included: at most 2 ** 31 - 1. Default: 10,000. */
  timeout?: number;
  /** Cancels: the exchange under way rejects with `signal.reason`. */
  signal?: AbortSignal;
  /** Bytes of response body that are accepted, at most 2 ** 31 - 1. Default: 1,048,576. */
  maxBodySize?: number;
  /** Whether both stages share a connection; else each sends `Connection: close`. Default: `true`. */
  keepAlive?: boolean;
  /** Gets each message as it was on the wire. What it throws fails the exchange. */
  onMessage?: (message: WireMessage) => void;
}

/** A message as it was on the wire; of a response that failed, the bytes that came. */
export interface WireMessage {
  /** A request goes to the server, a response comes from it. */
  direction: "request" | "response";
  /** The start line and the field lines, up to and with the empty line. */
  head: Uint8Array<ArrayBuffer>;
  /** All that follows the head, with chunk sizes and trailer fields where there are any. */
  body: Uint8Array<ArrayBuffer>;
  /** When its last byte was written or read, in milliseconds as of `performance.now()`. */
  time: number;
}

/** What the key server says to a key. */
export interface KeyServerResponse {
  /** The status code, from 200 to 999. */
  status: number;
  /** Whether the status is 2xx. */
  ok: boolean;
  /** The body as text: UTF-8, with U+FFFD for whatever is not. */
  message: string;
}

/** A final response, from {@linkcode readResponse}. */
export interface HttpResponse {
  /** The digit after `HTTP/1.`. */
  minorVersion: number;
  /** The status code, from 200 to 999. */
  status: number;
  /** The reason phrase, or `""`. */
  reason: string;
  /** The fields in order: names as they were spelt, values as ISO 8859-1. */
  fields: [name: string, value: string][];
  /** The content, without its framing. */
  body: Uint8Array<ArrayBuffer>;
}

/** What went wrong. The README says what to do about it. */
export type KeyClientErrorCode =
  | "connect-failed" // no connection. Does the server run there? Are host and port right?
  | "timed-out" // no whole response in time. Look at the server, or raise `timeout`.
  | "closed-early" // the connection ended before the response did. Look at the server.
  | "malformed" // what came is not a response of HTTP/1.x. Is it the right port?
  | "too-large" // a head above 64 KiB, or a body above `maxBodySize`, which can be raised.
  | "refused" // the server answered with a status that is not 2xx. Read why in its message.
  | "not-a-key"; // the server answered with 2xx, but not with 128 hex digits. Is it a key server?

/**
 * The error for all that goes wrong outside the caller's own code.
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
  /** What kind of thing went wrong. */
  readonly code: KeyClientErrorCode;
  /** The status of the response that was `refused` or `not-a-key`. */
  readonly status?: number;
  /** With `refused` and `not-a-key` the `cause` is the whole {@linkcode KeyServerResponse}. */
  constructor(code: KeyClientErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    if (code !== "refused" && code !== "not-a-key") return;
    this.status = (options?.cause as KeyServerResponse | undefined)?.status;
  }
}

// ---- The conversation

/**
 * Stages 1 and 2, over a connection of its own: gives the key's 128 ASCII bytes as the server
 * spelt them, or `null` on any error. Never rejects.
 *
 * @example Usage
 * ```ts
 * import { doKey } from "./key_client.ts";
 * console.log(await doKey({ userId: "Ada", timeout: 500 }));
 * ```
 */
export async function doKey(options?: KeyClientOptions): Promise<Uint8Array<ArrayBuffer> | null> {
  try {
    return await new KeyClient({ ...checkOptions(options), keepAlive: false }).requestKey();
  } catch {
    return null;
  }
}

/**
 * Stages 3 and 4, over a connection of its own: gives the text of the response, whatever its
 * status. Rejects as {@linkcode KeyClient.verifyKey} does.
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
  const client = new KeyClient({ ...checkOptions(options), keepAlive: false });
  return (await client.verifyKey(keyVal)).message;
}

/**
 * Both stages, one at a time, over one connection if the server keeps it; says why one failed.
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
  #exchange?: Exchange; // under way
  #conn?: Deno.TcpConn; // kept by the last one
  #lastUse = 0; // of that connection, as of performance.now()

  /** Makes no connection yet. Throws a `TypeError` or a `RangeError` for an option that is wrong. */
  constructor(options?: KeyClientOptions) {
    this.#options = checkOptions(options);
  }

  /**
   * Stages 1 and 2: gives the key's 128 ASCII bytes, without the white space around them. `KEY`
   * is not known to be idempotent: it is never sent twice.
   *
   * @throws {KeyClientError | TypeError} If there was no key, or the client is closed or busy.
   */
  async requestKey(): Promise<Uint8Array<ArrayBuffer>> {
    const response = await this.#converse("KEY");
    const { status, ok, message } = response;
    const [, digits = ""] = HEX_REGEXP.exec(message) ?? [];
    if (ok && digits.length === 128) return ENCODER.encode(digits);
    const verb = ok ? "did not answer with a key" : `answered with status ${status}`;
    const count = ok && digits ? `, but with ${digits.length} hex digits` : "";
    const sentence = `The server ${verb}${count}: ${show(message)}`;
    throw new KeyClientError(ok ? "not-a-key" : "refused", sentence, { cause: response });
  }

  /**
   * Stages 3 and 4. `PUT` is idempotent (RFC 9110 section 9.2.2): if a kept connection turns out
   * closed before it answers, it is sent once more over a new one.
   *
   * @param keyVal The key, as bytes or text: percent-encoded, at most 65,536 bytes.
   * @throws {KeyClientError} If there was no usable response, whatever its status.
   * @throws {TypeError | RangeError} If the key is no such key, or as for `requestKey`.
   */
  async verifyKey(keyVal: Uint8Array | string): Promise<KeyServerResponse> {
    return await this.#converse("PUT", keyVal);
  }

  /** Closes the connection for good. An exchange under way rejects with an `AbortError`. */
  close(): void {
    this.#isClosed = true;
    this.#exchange?.stop(new DOMException("The client was closed", "AbortError"));
    this.#conn?.close();
    this.#conn = undefined;
  }

  /** The same as {@linkcode KeyClient.close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  async #converse(method: "KEY" | "PUT", keyVal?: Uint8Array | string) {
    const request = frameRequest(method, this.#options, keyVal);
    if (this.#isClosed) throw new TypeError("Cannot send: the client is closed");
    if (this.#exchange) throw new TypeError("Cannot send: another exchange is under way");
    this.#options.signal?.throwIfAborted();
    using exchange = this.#exchange = new Exchange(this.#options, this.#conn, this.#lastUse);
    this.#conn = undefined;
    let response: HttpResponse | undefined;
    try {
      const isKept = await exchange.isReady();
      response = await exchange.send(request, isKept);
      if (!response && isKept && method === "PUT") response = await exchange.send(request, false);
      if (!response) throw exchange.closedEarly("the end of the status line");
    } finally {
      this.#exchange = undefined;
      exchange.throwIfStopped(); // all else only came of that
    }
    if (this.#options.keepAlive && exchange.isPersistent) {
      this.#conn = exchange.conn;
      exchange.conn = undefined; // or it would be closed
    }
    this.#lastUse = exchange.lastUse;
    const { status } = response;
    return { status, ok: status >= 200 && status < 300, message: DECODER.decode(response.body) };
  }
}

// One alarm for all exchanges under way. The first `setTimeout` of a process costs 5 ms, a fifth of
// a run; `AbortSignal.timeout` costs little, but cannot be cancelled, and holds memory until then.
let alarm: AbortSignal | undefined;
let alarmTime = 0;

/** One request and its response, unless the time-out, the signal or `close()` stops them. */
class Exchange implements Disposable {
  readonly options: CheckedOptions;
  conn?: Deno.TcpConn;
  lastUse: number; // of that connection, as of performance.now()
  isPersistent = false; // the connection, for a further exchange
  #stopped?: { reason: unknown };
  #interrupt?: (reason: unknown) => void;
  #deadline?: number;
  #alarm?: AbortSignal;
  #isMuted = false; // no further report
  #failure?: { cause: unknown }; // of the connection
  #ahead?: Promise<boolean>; // a read that is pending
  #bytes = new Uint8Array(1024);
  #received = 0;
  #taken = 0; // of what has been received
  #headLimit = MAX_HEAD_SIZE; // where heads, chunk lines and trailers end at the latest

  constructor(options: CheckedOptions, conn?: Deno.TcpConn, lastUse = 0) {
    [this.options, this.conn, this.lastUse] = [options, conn, lastUse];
    options.signal?.addEventListener("abort", this);
  }

  [Symbol.dispose](): void {
    this.options.signal?.removeEventListener("abort", this);
    this.#alarm?.removeEventListener("abort", this); // now it keeps no process alive
    this.conn?.close();
  }

  /** Whether nothing came unasked over a kept connection: two turns of the event loop show it. */
  async isReady(): Promise<boolean> {
    if (!this.conn) return false;
    this.handleEvent();
    if (performance.now() - this.lastUse <= 1) return true; // ms: from stage to stage takes less
    const ahead = this.#ahead = this.#receive();
    const turn = () => new Promise((resolve) => AbortSignal.timeout(0).onabort = resolve);
    const turns = turn().then(turn); // on a busy machine the first may end without a look
    return await this.#wait(Promise.race([ahead.then(() => false), turns.then(() => true)]));
  }

  /** Gives `undefined` if the connection ends before the first byte of a response. */
  async send(request: Uint8Array, isKept: boolean): Promise<HttpResponse | undefined> {
    if (!isKept) await this.#connect();
    let sent = 0;
    try {
      while (sent < request.length) {
        this.throwIfStopped();
        sent += await this.#wait(this.conn!.write(request.subarray(sent)));
      }
    } catch (cause) {
      this.#failure = { cause }; // there may be an answer all the same, given before it read all
    }
    this.#report("request", request.subarray(0, sent));
    return await this.#fill() ? await this.read() : undefined;
  }

  async #connect(): Promise<void> {
    this.throwIfStopped();
    this.conn?.close();
    this.conn = this.#failure = this.#ahead = undefined;
    this.#received = 0;
    const { hostname, port, authority } = this.options;
    const abort = new AbortController();
    // Deno.connect asks the signal once more when the connection is there, and then would lose it,
    // open. Here the caller asks, and closes it.
    abort.signal.throwIfAborted = () => {};
    const connecting = globalThis.Deno?.connect({ hostname, port, signal: abort.signal }) ??
      Promise.reject(new Error("this module needs Deno"));
    this.handleEvent(); // not before: a permission prompt takes its time within that call
    try {
      this.conn = await this.#wait(connecting);
    } catch (cause) {
      abort.abort();
      connecting.then((conn) => conn.close(), () => {});
      const message = `Cannot connect to ${authority}: ${(cause as Error).message}`;
      throw new KeyClientError("connect-failed", message, { cause });
    }
  }

  /** Rejects what the exchange waits for. The first reason is the one that counts. */
  stop(reason: unknown): void {
    this.#stopped ??= { reason };
    this.#interrupt?.(this.#stopped.reason);
  }

  throwIfStopped(): void {
    if (this.#stopped) throw this.#stopped.reason;
  }

  /** Waits, but not on after a stop: Deno may leave a read of a closed connection pending. */
  #wait<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      promise.then(resolve, reject);
      this.#interrupt = reject;
      if (this.#stopped) reject(this.#stopped.reason);
    });
  }

  /** Starts the clock, or looks at clock and signal when one of them has an event. */
  handleEvent(): void {
    const { signal, timeout } = this.options;
    if (signal?.aborted) return this.stop(signal.reason);
    const now = performance.now();
    this.#deadline ??= now + timeout;
    if (this.#deadline <= now) {
      const state = this.conn ? `with ${this.#received} bytes received` : "while connecting";
      const message = `Cannot get a response: timed out after ${timeout} ms, ${state}`;
      return this.stop(new KeyClientError("timed-out", message));
    }
    if (!alarm || alarm.aborted || this.#deadline < alarmTime) {
      alarmTime = Math.min(this.#deadline, now + 60_000); // not to hold memory for days
      alarm = AbortSignal.timeout(Math.ceil(alarmTime - now));
    }
    this.#alarm?.removeEventListener("abort", this);
    this.#alarm = alarm;
    alarm.addEventListener("abort", this);
  }

  #report(direction: WireMessage["direction"], message: Uint8Array, headSize = Infinity): void {
    const { onMessage } = this.options;
    if (!onMessage || this.#isMuted || message.length === 0) return;
    this.#isMuted = true; // should this one throw, or stop the exchange
    const [head, body] = [message.slice(0, headSize), message.slice(headSize)];
    onMessage({ direction, head, body, time: performance.now() });
    this.#isMuted = this.#stopped !== undefined;
  }

  /** Reads one response, and the interim ones before it, into one buffer: all else is a slice of it. */
  async read(): Promise<HttpResponse> {
    let [start, headSize] = [0, Infinity]; // of the message
    const reportTo = (end: number) => {
      this.#report("response", this.#bytes.subarray(start, end), headSize);
      start = end;
    };
    try {
      let response = await this.#readHead();
      for (; response.status < 200; response = await this.#readHead()) reportTo(this.#taken);
      headSize = this.#taken - start;
      response.body = await this.#readBody(response);
      reportTo(this.#taken);
      this.isPersistent &&= !this.#failure && this.#taken === this.#received;
      return response;
    } catch (error) {
      reportTo(this.#received);
      throw error;
    }
  }

  async #readHead(): Promise<HttpResponse> {
    const line = await this.#readLine("the end of the status line").catch((error) => {
      const rest = decodeLatin1(this.#bytes.subarray(this.#taken, this.#received));
      const isHttp = "HTTP/1.".startsWith(rest.slice(0, 7)); // and not HTTP/0.9, or no HTTP at all
      throw isHttp || error.code !== "closed-early" ? error : malformed("the status line", rest);
    });
    const [, minorVersion, status, reason = ""] = STATUS_LINE_REGEXP.exec(line) ?? [];
    if (!status) throw malformed("the status line", line);
    if (status === "101") throw malformed("a switch of protocols that nobody asked for", line);
    const fields = await this.#readFields();
    return { minorVersion: +minorVersion, status: +status, reason, fields, body: new Uint8Array() };
  }

  async #readFields(): Promise<HttpResponse["fields"]> {
    const fields: HttpResponse["fields"] = [];
    for (;;) {
      const line = await this.#readLine("the empty line after the fields");
      const [, name, value] = FIELD_LINE_REGEXP.exec(line) ?? [];
      const last = fields.at(-1);
      if (name) fields.push([name, trim(value)]);
      else if (line === "\r\n" || line === "\n") return fields;
      else if (!last || !FOLDED_LINE_REGEXP.test(line)) throw malformed("the field line", line);
      else last[1] += trim(line) && last[1] ? ` ${trim(line)}` : trim(line);
    }
  }

  /** Reads the body, framed as RFC 9112 section 6.3 says. */
  async #readBody({ minorVersion, status, fields }: HttpResponse) {
    const codings = listMembers(fields, "transfer-encoding");
    const lengths = listMembers(fields, "content-length");
    const options = listMembers(fields, "connection");
    const isBare = status === 204 || status === 304;
    this.isPersistent = !options.includes("close") && // section 9.3
      (minorVersion > 0 || options.includes("keep-alive")) &&
      // Sections 6.1 and 6.3: chunks beside a length or from HTTP/1.0 may be an attack.
      (codings.length === 0 || minorVersion > 0 && lengths.length === 0) &&
      (!isBare || codings.length + lengths.length === 0); // what they announce might come
    if (isBare) return new Uint8Array();
    const applied = codings.filter((coding) => coding !== "" && coding !== "identity");
    // Chunked twice comes of frameworks that add their own, and is meant once. Where the coding has
    // a parameter, fetch takes the chunks for the body, and curl refuses them.
    const isChunked = applied.every((coding) => coding === "chunked");
    if (!isChunked) throw malformed("the transfer coding", applied.join(", "));
    if (applied.length > 0) return await this.#readChunks();
    let size = Number(lengths[0]);
    // "5, 5" may come of a proxy that joins fields. "5," is refused: fetch does so, curl does not.
    const isLength = lengths.every((text) => /^\d+$/.test(text) && Number(text) === size);
    if (!isLength) throw malformed("the content length", lengths.join(", "));
    if (lengths.length === 0) {
      this.isPersistent = false;
      while (this.#received - this.#taken <= this.options.maxBodySize && await this.#fill());
      // Only a close ends the body: after a failure there may have been more.
      if (this.#failure) throw this.closedEarly("the end of the body");
      size = this.#received - this.#taken;
    }
    return await this.#readOctets(size, "the body", size);
  }

  /** Reads chunks and trailer fields: RFC 9112 section 7.1. */
  async #readChunks() {
    let [body, length] = [new Uint8Array(), 0];
    for (;;) {
      this.#headLimit += CHUNK_LINE_SIZE;
      const line = await this.#readLine("the size of the next chunk");
      const ending = line.endsWith("\r\n") ? "" : ", as its line ends in LF alone";
      if (!CHUNK_LINE_REGEXP.test(line)) throw malformed(`the size of a chunk${ending}`, line);
      const size = parseInt(line, 16);
      if (size === 0) break;
      const chunk = await this.#readOctets(size, "a chunk", length + size);
      if (length + size > body.length) {
        body = new Uint8Array(body.buffer.transfer(Math.max(length + size, 2 * length)));
      }
      body.set(chunk, length);
      length += size;
      const end = decodeLatin1(await this.#readOctets(2, "the end of a chunk", length));
      if (end !== "\r\n") throw malformed("the end of a chunk", end);
    }
    await this.#readFields(); // section 7.1.2: trailer fields may be dropped
    return body.subarray(0, length);
  }

  /** Reads so many bytes, which are no part of a head, and with which the body has that size. */
  async #readOctets(count: number, what: string, bodySize: number) {
    if (bodySize > this.options.maxBodySize) throw tooLarge("body", this.options.maxBodySize);
    const end = this.#taken + count;
    while (this.#received < end) {
      const missing = `${end - this.#received} of ${count} bytes of ${what}`;
      if (!await this.#fill()) throw this.closedEarly(missing);
    }
    this.#taken = end;
    this.#headLimit += count;
    return this.#bytes.subarray(end - count, end);
  }

  /** Reads one line, with its end. */
  async #readLine(missing: string): Promise<string> {
    const start = this.#taken;
    for (let at = start;; at++) {
      if (at === this.#headLimit) throw tooLarge("head", MAX_HEAD_SIZE);
      if (at === this.#received && !await this.#fill()) throw this.closedEarly(missing);
      if (this.#bytes[at] !== 0x0a) continue; // LF
      this.#taken = at + 1;
      return decodeLatin1(this.#bytes.subarray(start, this.#taken));
    }
  }

  closedEarly(missing: string): KeyClientError {
    const { cause } = this.#failure ?? {};
    const reason = this.#failure ? `: ${(cause as Error)?.message ?? cause}` : "";
    const end = `the connection closed after ${this.#received} bytes, without ${missing}${reason}`;
    return new KeyClientError("closed-early", `Cannot read the response: ${end}`, this.#failure);
  }

  /** Reads on; `false` at the end. */
  #fill(): Promise<boolean> {
    const filling = this.#ahead ?? this.#receive();
    this.#ahead = undefined;
    return this.#wait(filling);
  }

  async #receive(): Promise<boolean> {
    if (this.#received === this.#bytes.length) {
      this.#bytes = new Uint8Array(this.#bytes.buffer.transfer(2 * this.#received));
    }
    const room = this.#bytes.subarray(this.#received);
    let count: number | null = 0;
    try {
      // A source other than a socket may give nothing at times, but not for ever.
      for (let reads = 0; count === 0; reads++) {
        if (reads === 100) throw new Error("100 reads in a row gave nothing");
        count = await this.conn!.read(room);
      }
    } catch (cause) {
      this.#failure ??= { cause };
      return false;
    }
    if (count === null) return false;
    const isCount = Number.isInteger(count) && count > 0 && count <= room.length;
    check(isCount, "a read's count", count, `null or a whole number up to ${room.length}`);
    this.#received += count;
    this.lastUse = performance.now();
    return true;
  }
}

// ---- The request: RFC 9112 section 3

/**
 * Gives a request as the bytes that go over the wire: the protocol without the socket. Of the
 * options `hostname`, `port`, `userId` and `keepAlive` count. Throws what a KeyClient does.
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

/** Percent-encodes text, or bytes one by one, as one path segment; a request fits into one write. */
function toPathSegment(name: string, value?: Uint8Array | string): string {
  const text = value instanceof Uint8Array ? decodeLatin1(value) : value as string;
  check(typeof text === "string", name, value, "text");
  // Each of these would make another path of it (RFC 3986 section 5.2.4).
  check(!["", ".", ".."].includes(text), name, text, 'other than "", "." and ".."');
  check(text.isWellFormed(), name, text, "without lone surrogates");
  const encode = (char: string) =>
    char < "\x80" ? encodeURIComponent(char) : `%${char.charCodeAt(0).toString(16).toUpperCase()}`;
  const segment = text === value ? encodeURIComponent(text) : text.replace(/\W/g, encode);
  check(segment.length <= 65_536, name, text, "at most 65536 bytes, percent-encoded", RangeError);
  return segment;
}

const MAX_INT = 2 ** 31 - 1; // of 32 bits: a longer timer fires at once
const HOST_REGEXP = /^(?:[\w.-]+|(?=.*:.*:)[\da-fA-F:.]+(?:%[\w.-]+)?)$/;
type CheckedOptions = ReturnType<typeof checkOptions>;

function checkOptions(options: KeyClientOptions = {}) {
  check(typeof options === "object" && options !== null, "options", options, "an object");
  const { hostname: name = "127.0.0.1", port = 5000, userId = "User1", signal } = options;
  const { timeout = 10_000, maxBodySize = 1_048_576, keepAlive = true, onMessage } = options;
  // It goes into the Host field, so nothing may pass that is no part of a name or an address.
  const hostname = typeof name === "string" ? name.replace(/^\[(?=[^:]*:)(.*)\]$/, "$1") : "";
  check(HOST_REGEXP.test(hostname), "hostname", name, "a host name or an IP address");
  checkNumber("port", port, Number.isInteger(port) && port >= 1 && port <= 65535, "1 to 65535");
  checkNumber("timeout", timeout, timeout > 0 && timeout <= MAX_INT, `above 0, at most ${MAX_INT}`);
  const isSize = Number.isInteger(maxBodySize) && maxBodySize >= 0 && maxBodySize <= MAX_INT;
  checkNumber("maxBodySize", maxBodySize, isSize, `0 to ${MAX_INT}`);
  check(typeof keepAlive === "boolean", "keepAlive", keepAlive, "a boolean");
  check(signal === undefined || signal instanceof AbortSignal, "signal", signal, "an AbortSignal");
  check(["undefined", "function"].includes(typeof onMessage), "onMessage", onMessage, "a function");
  // A zone means nothing to the other end (RFC 6874 section 4).
  const host = hostname.includes(":") ? `[${hostname.replace(/%.*/, "")}]` : hostname;
  const wire = { authority: `${host}:${port}`, userSegment: toPathSegment("userId", userId) };
  return { hostname, port, userId, timeout, signal, maxBodySize, keepAlive, onMessage, ...wire };
}

function checkNumber(name: string, value: number, passes: boolean, range: string): void {
  check(typeof value === "number", name, value, "a number");
  check(passes, name, value, range, RangeError);
}

function check(passes: boolean, name: string, value: unknown, rule: string, type = TypeError) {
  if (!passes) throw new type(`Cannot use ${name} ${show(value)}: it must be ${rule}`);
}

// ---- The response: RFC 9112 sections 4 to 8

/**
 * Reads the first final response from any source of bytes, and maybe beyond: the protocol without
 * the socket. Takes a body of at most `maxBodySize` bytes, 1,048,576 by default.
 *
 * @throws {KeyClientError | TypeError} If there is no whole, well-formed response, or no source.
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
  { maxBodySize }: { maxBodySize?: number } = {},
): Promise<HttpResponse> {
  check(typeof source?.read === "function", "source", source, "an object with a read method");
  const response = await new Exchange(checkOptions({ maxBodySize }), source as Deno.TcpConn).read();
  return { ...response, body: response.body.slice() };
}

const MAX_HEAD_SIZE = 65_536; // bytes of heads and trailers together
const CHUNK_LINE_SIZE = 18; // 16 digits and CRLF: for so much of each there is room beyond that
// RFC 9112 section 4: HTTP-version SP status-code SP [ reason-phrase ]. Some end before the SP.
const STATUS_LINE_REGEXP = /^HTTP\/1\.(\d) ([1-9]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?\r?\n$/;
// RFC 9112 section 5: field-name ":" OWS field-value OWS.
const FIELD_LINE_REGEXP = /^([\w!#$%&'*+.^`|~-]+):([\t\x20-\x7e\x80-\xff]*)\r?\n$/;
// RFC 9112 section 5.2: obs-fold, the line before goes on.
const FOLDED_LINE_REGEXP = /^[\t ][\t\x20-\x7e\x80-\xff]*\r?\n$/;
// RFC 9112 section 7.1: chunk-size [ chunk-ext ] CRLF. Readers that differ on LF see other chunks.
const CHUNK_LINE_REGEXP = /^[\da-fA-F]+[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n$/;
const HEX_REGEXP = /^[ \t\r\n]*([\da-fA-F]+)[ \t\r\n]*$/;

/** The members of a list field, in lower case; a field that comes again goes on with the list. */
function listMembers(fields: HttpResponse["fields"], lowerCaseName: string): string[] {
  return fields.filter(([name]) => name.toLowerCase() === lowerCaseName)
    .flatMap(([, value]) => value.toLowerCase().split(",").map(trim));
}

// ---- Text

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { ignoreBOM: true }); // keeps a BOM

/** Drops white space at both ends: HTTP's, where `trim()` and `\s` know more. */
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

/** Shows a value on one line, cut short, with nothing in it that could move a terminal. */
function show(value: unknown): string {
  const flat = { depth: 0, breakLength: Infinity, compact: true };
  const tag = (value: unknown) => Object(value) === value ? {}.toString.call(value) : String(value);
  const text = typeof value === "string" ? value : (globalThis.Deno?.inspect ?? tag)(value, flat);
  const short = text.length > 80 ? `${text.slice(0, 80).toWellFormed()}…` : text;
  return (text === value ? JSON.stringify(short) : short).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`,
  );
}
