/**
 * A key server to practise with, for clients in any language: it hears every byte, explains what is
 * wrong with it, and leaves nobody hanging.
 *
 * ```text
 * KEY /user/<user_id>/            200 and a key of 128 hex digits, new with each request
 * PUT /key/<user_id>/<key_val>/   200 if it is the key last issued to that user, 400 if not
 * ```
 *
 * Whatever else a client sends is answered with 400, 404 or 405 and a sentence that tells why. It is
 * written by hand over `Deno.listen`, as a server that parses requests before anybody sees them
 * could not say what is wrong with one that it cannot parse.
 *
 * @example Usage
 * ```ts
 * import { startKeyServer } from "./server.ts";
 *
 * await using server = startKeyServer({ port: 0 });
 * console.log(`listening on port ${server.addr.port}`);
 * ```
 *
 * @module
 */

import { checkRequest, IncomingRequest, isRequestStart, type Remark, remarkOf } from "./rules.ts";
import type { Server as NodeServer, Socket } from "node:net";

// ---- Options and events

/**
 * Options of {@linkcode startKeyServer}.
 *
 * @example Usage
 * ```ts
 * import { type KeyServerOptions, startKeyServer } from "./server.ts";
 *
 * const options: KeyServerOptions = { port: 0, signal: AbortSignal.timeout(100) };
 * await startKeyServer(options).finished;
 * ```
 */
export interface KeyServerOptions {
  /**
   * The address to listen on: with `"0.0.0.0"` the whole network can reach the server.
   * @default {"127.0.0.1"}
   */
  hostname?: string;
  /**
   * The TCP port to listen on; 0 picks a free one.
   * @default {5000}
   */
  port?: number;
  /** Shuts the server down, as {@linkcode KeyServer.shutdown} does. */
  signal?: AbortSignal;
  /**
   * Milliseconds, above 0: a connection on which nothing comes for so long after an answer is closed,
   * and a request that is not whole by then is remarked on. If it is not after 15 times as long, or
   * if none has come at all, the answer is 400.
   * @default {2_000}
   */
  idleTimeout?: number;
  /** What is wrong with every answer: a name of {@linkcode FAULTS}. By default nothing. */
  fault?: FaultName;
  /** Called with all that happens, as it happens. What it throws, or rejects with, is dropped. */
  onEvent?: (event: KeyServerEvent) => void;
}

/**
 * Something that happened to a connection.
 *
 * @example Usage
 * ```ts
 * import { type KeyServerEvent, startKeyServer } from "./server.ts";
 *
 * const events: KeyServerEvent[] = [];
 * await using server = startKeyServer({ port: 0, onEvent: (event) => events.push(event) });
 * await fetch(`http://127.0.0.1:${server.addr.port}/user/Ada/`).then((response) => response.text());
 * console.log(events.map(({ type }) => type)); // connected, request, remark, answer
 * ```
 */
export type KeyServerEvent =
  | ConnectedEvent
  | RequestEvent
  | RemarkEvent
  | AnswerEvent
  | ClosedEvent;

/** What all events have. */
export interface ConnectionEvent {
  /** The connection: 1 for the first one, then 2, and so on. */
  connection: number;
  /** The client's end of it. */
  peer: Deno.NetAddr;
  /** When it happened, in milliseconds as of `Date.now()`. */
  time: number;
}

/** A client has connected. */
export interface ConnectedEvent extends ConnectionEvent {
  /** Which event it is. */
  type: "connected";
}

/** A request has come, or all that will ever come of one. */
export interface RequestEvent extends ConnectionEvent {
  /** Which event it is. */
  type: "request";
  /** All of it, as it came. */
  bytes: Uint8Array;
  /** In how many pieces it was read. */
  reads: number;
  /** The method, or `""` if there is no request line that can be made out. */
  method: string;
  /** The user id that the path names, decoded. */
  userId?: string;
}

/** Something is to be said about a request, or about a connection. */
export interface RemarkEvent extends ConnectionEvent {
  /** Which event it is. */
  type: "remark";
  /** What is to be said. */
  remark: Remark;
  /** The request that it is about, into which its offsets point, as far as it has come. */
  bytes: Uint8Array;
}

/** A request is being answered. */
export interface AnswerEvent extends ConnectionEvent {
  /** Which event it is. */
  type: "answer";
  /**
   * The status: 200, 400, 404, 405, or 100 before a body that the client waits to send; with a fault
   * also others, and 0 where the client gets none.
   */
  status: number;
  /** The body: a key, or a message. */
  message: string;
  /** All of it, as it goes over the wire. */
  bytes: Uint8Array;
  /** What is wrong with the request, if something is: whatever the answer is under a fault. */
  error?: Remark;
  /** The fault that this answer has. */
  fault?: FaultName;
  /** The request that it answers; before a 100, as far as it has come. */
  request: Uint8Array;
  /** That request's method, or `""` if there is no request line that can be made out. */
  method: string;
  /** The user id that its path names, decoded. */
  userId?: string;
}

/** A connection has ended. */
export interface ClosedEvent extends ConnectionEvent {
  /** Which event it is. */
  type: "closed";
  /** Who ended it: the side that was seen to close its half first, or to reset the connection. */
  by: "client" | "server";
}

/**
 * A running practice server.
 *
 * @example Usage
 * ```ts
 * import { type KeyServer, startKeyServer } from "./server.ts";
 *
 * const server: KeyServer = startKeyServer({ port: 0 });
 * await server.shutdown();
 * ```
 */
export interface KeyServer extends AsyncDisposable {
  /** Where it listens. */
  readonly addr: Deno.NetAddr;
  /** Resolves when it has ended. */
  readonly finished: Promise<void>;
  /**
   * What is wrong with the answers from now on. As long as they are set, `keep-open` and `silent`
   * keep connections open, and so does any that is broken, after its end, until the client closes.
   * `reset` needs other sockets: it can be set only where the server was started with it, else that
   * is a `TypeError`, as an unknown name is.
   */
  fault: FaultName | undefined;
  /** Answers what is in flight and ends, within a second, whatever clients do. */
  shutdown(): Promise<void>;
}

/**
 * Starts the practice server. It prints nothing, all that can be seen of it is an event.
 *
 * @param options Where to listen, and what to call.
 * @returns The running server; `shutdown()`, or the end of an `await using` block, stops it.
 * @throws {Deno.errors.AddrInUse} If another server listens there.
 * @throws {RangeError} If `idleTimeout` is not above 0.
 * @throws {TypeError} If there is no fault of that name.
 *
 * @example Usage
 * ```ts
 * import { startKeyServer } from "./server.ts";
 *
 * await using server = startKeyServer({
 *   port: 0,
 *   onEvent(event) {
 *     if (event.type === "remark") console.log(event.remark.message);
 *   },
 * });
 * const url = `http://127.0.0.1:${server.addr.port}`;
 * const key = await (await fetch(`${url}/user/Ada/`, { method: "KEY" })).text();
 * const response = await fetch(`${url}/key/Ada/${key}/`, { method: "PUT" });
 * console.log(response.status, await response.text());
 * ```
 */
export function startKeyServer(options: KeyServerOptions = {}): KeyServer {
  return new Server(options);
}

// ---- The server

const UNFINISHED_FACTOR = 15; // idle timeouts until a request that is not whole gets a 400
const SHUTDOWN_TIME = 500; // ms that shutdown waits for answers in flight
const MAX_DRAINED = 1_048_576; // bytes that are read after the last answer
const HALF_CLOSE_TIME = 200; // ms within which nobody gives up waiting for an answer
const MAX_USERS = 10_000;
const MAX_RESETTABLE = 50; // connections, beyond which idle ones are closed

class Server implements KeyServer {
  readonly addr: Deno.NetAddr;
  readonly finished: Promise<void>;
  readonly keys = new IssuedKeys();
  readonly idleTimeout: number;
  readonly onEvent: KeyServerOptions["onEvent"];
  readonly connections = new Set<Connection>();
  isClosing = false;
  #fault: FaultName | undefined = undefined;
  #listener: Listener;
  #count = 0;
  #clock: ReturnType<typeof setInterval> | undefined = undefined;
  #period: number; // ms between two looks at the clock
  #lastTick = 0;
  #emptied = Promise.withResolvers<void>();
  #shutdown: Promise<void> | undefined = undefined;

  constructor(options: KeyServerOptions) {
    const { hostname = "127.0.0.1", port = 5000, idleTimeout = 2_000, signal, onEvent } = options;
    if (!(idleTimeout > 0)) throw new RangeError(`Cannot use idleTimeout ${idleTimeout}`);
    this.idleTimeout = idleTimeout;
    this.#period = Math.min(250, idleTimeout / 4);
    this.onEvent = onEvent;
    this.#fault = checkFault(options.fault);
    const listener = Deno.listen({ hostname, port });
    this.#listener = this.#fault === "reset" ? new ResettingListener(listener) : listener;
    this.addr = this.#listener.addr;
    const shutdown = () => this.shutdown();
    signal?.addEventListener("abort", shutdown, { once: true });
    this.finished = this.#accept().then(async () => {
      await this.#shutdown;
      signal?.removeEventListener("abort", shutdown);
    });
    if (signal?.aborted) shutdown();
  }

  get fault(): FaultName | undefined {
    return this.#fault;
  }

  set fault(name: FaultName | undefined) {
    if (name === "reset" && !(this.#listener instanceof ResettingListener)) {
      throw new TypeError('Cannot use fault "reset": the server was started without it');
    }
    this.#fault = checkFault(name);
  }

  shutdown(): Promise<void> {
    this.#shutdown ??= this.#end();
    return this.finished;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  async #end(): Promise<void> {
    this.isClosing = true;
    this.#listener.close();
    await new Promise((resolve) => setTimeout(resolve, 5)); // what has come is read meanwhile
    for (const connection of this.connections) connection.shutdown();
    if (this.connections.size === 0) this.#emptied.resolve();
    const deadline = setTimeout(() => {
      for (const connection of this.connections) connection.close("server");
    }, SHUTDOWN_TIME);
    await this.#emptied.promise;
    clearTimeout(deadline);
    clearInterval(this.#clock);
  }

  async #accept(): Promise<void> {
    while (!this.isClosing) {
      const conn = await this.#listener.accept().catch(() => undefined);
      if (this.isClosing) conn?.close();
      else if (conn) this.#add(conn);
      else {
        // File descriptors are used up, or the client was gone at once. The next one may succeed.
        const hasRoom = this.#makeRoom();
        await new Promise((resolve) => setTimeout(resolve, hasRoom ? 1 : 50));
      }
    }
  }

  #add(conn: Conn): void {
    const connection = new Connection(this, conn, ++this.#count);
    this.connections.add(connection);
    const isCrowded = this.connections.size > MAX_RESETTABLE;
    if (isCrowded && this.#listener instanceof ResettingListener) this.#makeRoom();
    // One clock for all: a timer for each would have to be set anew with each request.
    if (this.#clock === undefined) {
      this.#lastTick = performance.now();
      this.#clock = setInterval(() => this.#tick(), this.#period);
    }
    connection.serve().catch(() => connection.close("server"));
  }

  remove(connection: Connection): void {
    this.connections.delete(connection);
    if (this.isClosing && this.connections.size === 0) this.#emptied.resolve();
  }

  #tick(): void {
    const now = performance.now();
    // After a busy time there may be something to read that nobody has had the time to read yet.
    const isLate = now - this.#lastTick > 2 * this.#period;
    this.#lastTick = isLate ? Infinity : now; // but not late twice in a row
    if (isLate) return;
    for (const connection of this.connections) connection.tick(now);
    if (this.connections.size > 0) return;
    clearInterval(this.#clock);
    this.#clock = undefined;
  }

  /** Closes the connection that has waited for longest, to free a descriptor. */
  #makeRoom(): boolean {
    const now = performance.now();
    const candidates = [...this.connections].filter((connection) => connection.isIdle(now));
    candidates.sort((a, b) => a.since - b.since);
    candidates[0]?.giveUp();
    return candidates.length > 0;
  }
}

/** What the server is doing for a client. */
type State =
  | "reading" // waits for a request, the first one or the rest of one
  | "idle" // waits for a further one, of which nothing has come
  | "answering"
  | "draining" // has said that nothing more will come, and reads on so that nothing is reset
  | "closed";

class Connection {
  since = performance.now(); // of this state
  #state: State = "reading";
  #peer: Deno.NetAddr;
  #bytes = new Uint8Array(1024);
  #received = 0;
  #reads = 0;
  #isFull = false; // the last read had no room for more, so the next one is a part of it
  #request = new IncomingRequest();
  #said = new Set<string>(); // codes of remarks on this request
  #lastMessage = "";
  #lastRequest: Uint8Array = new Uint8Array();
  #lastFault: FaultName | undefined = undefined;
  #isSound = true; // the last request
  #isIdled = false; // it was closed for being idle
  #drained = 0;
  #isContinued = false;
  #wake: () => void = () => {}; // ends a pause
  #ahead: { bytes: Uint8Array; reading: Promise<number | null> } | undefined = undefined;
  #endedBy: "client" | "server" | undefined = undefined;

  constructor(readonly server: Server, readonly conn: Conn, readonly id: number) {
    const { hostname, ...rest } = conn.remoteAddr as Deno.NetAddr;
    this.#peer = { hostname: hostname.replace(/^::ffff:(?=\d+\.)/, ""), ...rest };
  }

  /** Whether it may be given up for a new one: a client that has only just come may be about to ask. */
  isIdle(now: number): boolean {
    const isEmpty = this.#state === "idle" || this.#state === "reading" && this.#received === 0;
    const isStuck = this.#state === "reading" || this.#state === "draining";
    return now - this.since > (isEmpty ? 100 : isStuck ? this.server.idleTimeout : Infinity);
  }

  /** Reads requests and answers them, until one side ends the connection. */
  async serve(): Promise<void> {
    this.#emit({ type: "connected" });
    this.conn.setNoDelay(); // or a further answer would wait until the client has confirmed the last
    while (this.#state !== "closed") {
      let count: number | null;
      try {
        count = await this.#read();
      } catch {
        return this.#break();
      }
      if (this.#state === "draining" || this.#state === "answering") { // said by the clock
        if (count === null && this.#state === "answering") {
          this.#endedBy = "client";
          return;
        }
        if (count === null || (this.#drained += count) > MAX_DRAINED) return this.close("server");
        this.#sayIfLate(this.#bytes.subarray(0, count));
      } else if (count !== null) {
        await this.#receive(count);
      } else {
        this.#endedBy = "client";
        if (this.#state === "idle" && this.#isHalfClosed()) return;
        if (this.#state === "idle") return this.close("client");
        await this.#endRequest(); // nothing more will come, but an answer may be awaited
      }
    }
  }

  /** Tells whether a client that gets no answer may still wait for one, but has ended its half. */
  #isHalfClosed(): boolean {
    return this.server.fault === "silent" && performance.now() - this.since < HALF_CLOSE_TIME;
  }

  #break(): void {
    if (this.#state === "closed") return;
    if (this.#isSound) this.#say(remarkOf("reset", 0, 0), this.#lastRequest);
    this.close("client");
  }

  /** Looks whether something has been waited for too long. */
  tick(now: number): void {
    const { idleTimeout } = this.server;
    const waited = now - this.since;
    if (waited < idleTimeout) return;
    const isLong = waited >= idleTimeout * UNFINISHED_FACTOR;
    if (this.#state === "reading" && isLong) this.#endRequest().catch(() => this.close("server"));
    else if (this.#state === "reading") {
      if (this.#said.size > 0) return;
      for (const remark of checkRequest(this.#bytes.subarray(0, this.#received))) this.#say(remark);
    } else if (this.#state === "idle") {
      const { fault } = this.server;
      if (fault === "silent") return;
      if (this.#lastFault === "silent") return this.close("server");
      const { length } = ENCODER.encode(this.#lastMessage);
      const about = { seconds: idleTimeout / 1000, length };
      if (fault === "keep-open") {
        return this.#say(remarkOf("kept-open", 0, 0, "", about), this.#lastRequest);
      }
      this.#isIdled = true;
      this.#say(remarkOf("idle", 0, 0, this.#lastFault, about), this.#lastRequest);
      this.#finish();
    } else if (this.#state === "draining") {
      // Where there is no key, whether the client sees the end is what is to be seen.
      if (this.server.fault && FAULTS[this.server.fault].isBroken) return;
      if (!this.#isIdled && this.#isSound) {
        this.#say(remarkOf("still-open", 0, 0), this.#lastRequest);
      }
      this.close("server");
    } else if (isLong) this.close("server");
  }

  /** Closes if nobody is owed an answer. */
  shutdown(): void {
    if (this.#state === "reading" || this.#state === "idle") this.close("server");
    this.#wake();
  }

  giveUp(): void {
    this.#say(remarkOf("crowded", 0, 0));
    this.close("server");
  }

  close(by: "client" | "server"): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    if (this.#lastFault === "reset") (this.conn as ResettableConn).reset();
    else this.conn.close();
    this.#wake();
    this.#emit({ type: "closed", by: this.#endedBy ?? by });
    this.server.remove(this);
  }

  /** Where the next bytes go; after the last answer nobody wants to know them. */
  #room(): Uint8Array {
    if (this.#state === "draining") return this.#bytes;
    if (this.#received === this.#bytes.length) this.#grow();
    return this.#bytes.subarray(this.#received);
  }

  #grow(): void {
    const bytes = new Uint8Array(2 * this.#bytes.length);
    bytes.set(this.#bytes);
    this.#bytes = bytes;
  }

  async #read(): Promise<number | null> {
    if (!this.#ahead) return this.conn.read(this.#room());
    const { reading, bytes } = this.#ahead;
    this.#ahead = undefined;
    const count = await reading;
    if (count === null) return null;
    if (this.#bytes.length - this.#received < count) this.#grow();
    this.#room().set(bytes.subarray(0, count));
    return count;
  }

  /** Reads while an answer is held back, to see whether the client still waits for it. */
  #readAhead(): void {
    const bytes = new Uint8Array(1024);
    const reading = this.conn.read(bytes).then((count) => {
      if (count !== null) return count;
      this.#endedBy = "client";
      this.#wake();
      return null;
    });
    reading.catch(() => this.#wake());
    this.#ahead = { bytes, reading };
  }

  async #receive(count: number): Promise<void> {
    if (this.#state === "idle" && !this.#isFurther(count)) return;
    if (this.#received === 0) {
      this.#enter("reading");
      this.#said.clear();
    }
    this.#received += count;
    if (!this.#isFull) this.#reads++;
    this.#isFull = this.#received === this.#bytes.length;
    if (this.#request.read(this.#bytes.subarray(0, this.#received))) await this.#answer();
    if (this.#state !== "reading" || !this.#request.expectsContinue || this.#isContinued) return;
    const { fault } = this.server;
    if (fault && FAULTS[fault].isBroken) return; // or it would not be silence, say; the body will come
    this.#isContinued = true;
    if (!this.#request.error) return await this.#continue();
    this.#request.refuse(this.#bytes.subarray(0, this.#received)); // and spare it its body
    await this.#answer();
  }

  /** Tells whether a further request begins with what came after an answer. */
  #isFurther(count: number): boolean {
    const isUsual = this.#bytes[0] === 0x4b || this.#bytes[0] === 0x50; // "K" or "P"
    if (isUsual && count > 3 && this.#bytes[3] === 0x20) return true; // to lose no time
    const bytes = this.#bytes.slice(0, count);
    if (bytes.every((byte) => byte === CR || byte === LF)) {
      this.#say(remarkOf("extra-line-end", 0, count), bytes); // RFC 9112 section 2.2: is ignored
      return false;
    }
    if (isRequestStart(bytes)) return true;
    this.#say(remarkOf("bytes-behind", 0, count, "", { partSize: count }), bytes);
    this.#finish();
    return false;
  }

  async #endRequest(): Promise<void> {
    this.#request.end(this.#bytes.subarray(0, this.#received));
    await this.#answer();
  }

  /** RFC 9110 section 10.1.1. */
  async #continue(): Promise<void> {
    const bytes = ENCODER.encode(CONTINUE);
    const request = this.#bytes.slice(0, this.#received);
    const { method, userId } = this.#request;
    this.#emit({ type: "answer", status: 100, message: "", bytes, request, method, userId });
    await this.#write(bytes);
  }

  /** Answers the request that has come, and those behind it that are whole as well, in one write. */
  async #answer(): Promise<void> {
    this.#enter("answering");
    const plain: Uint8Array[] = [];
    let faulty: Delivery | undefined;
    let taken = 0;
    let isLast: boolean;
    do {
      const bytes = this.#bytes.slice(taken, taken + this.#request.size);
      isLast = !this.#request.isPersistent || this.server.isClosing;
      const answer = this.#answerOne(bytes, isLast);
      if (answer instanceof Uint8Array) plain.push(answer);
      else {
        faulty = answer;
        isLast = answer.isLast ?? isLast;
      }
      taken += this.#request.size;
      this.#request = new IncomingRequest();
      this.#isContinued = false;
      this.#reads = Math.min(1, this.#received - taken);
      this.#isFull = false;
      this.#said.clear();
    } while (
      !isLast && faulty === undefined && taken < this.#received &&
      this.#request.read(this.#bytes.subarray(taken, this.#received))
    );
    this.#bytes.copyWithin(0, taken, this.#received);
    this.#received -= taken;
    if (plain.length > 0 && !await this.#write(concat(plain))) return;
    if (faulty && !await this.#deliver(faulty)) return;
    if (isLast || this.server.isClosing) {
      this.#sayIfLate(this.#bytes.subarray(0, this.#received));
      return await this.#finish();
    }
    if (this.#received === 0) return this.#enter("idle");
    this.#enter("reading");
    // With a fault each answer goes out by itself.
    if (this.#request.read(this.#bytes.subarray(0, this.#received))) await this.#answer();
  }

  /** Gives the answer to the request that has come, or how it is delivered with its fault. */
  #answerOne(bytes: Uint8Array, isLast: boolean): Uint8Array | Delivery {
    const request = this.#request;
    const { method, userId } = request;
    this.#emit({ type: "request", bytes, reads: this.#reads, method, userId });
    const { fault } = this.server; // which may have been changed just now
    const answer = prepare(decide(request, this.#peer.hostname, this.server.keys), request, isLast);
    for (const remark of request.remarks) this.#say(remark, bytes);
    const delivery = fault ? FAULT_TABLE[fault].deliver(answer) : encode(answer);
    this.#isSound = !request.isBroken;
    this.#lastMessage = answer.message;
    this.#lastRequest = bytes;
    this.#lastFault = fault;
    if (this.server.onEvent) {
      const { status, message } = answer;
      const wire = delivery instanceof Uint8Array ? delivery : concat(delivery.parts);
      const about = { status, message, bytes: wire, request: bytes, method, userId };
      const { error } = request;
      this.#emit({ type: "answer", ...about, ...(error && { error }), ...(fault && { fault }) });
    }
    return delivery;
  }

  /** Gives `false` if the connection is over. */
  async #deliver({ parts, delay = 0, pause = 0 }: Delivery): Promise<boolean> {
    if (this.#lastFault === "reset") {
      this.close("server");
      return false;
    }
    for (const [at, part] of parts.entries()) {
      const time = at === 0 ? delay : pause;
      if (time > 0) await this.#pause(time);
      if (!await this.#write(part)) return false;
    }
    return true;
  }

  /** Waits, unless the connection or the server is to end, or the client has ended its half. */
  async #pause(time: number): Promise<void> {
    if (this.server.isClosing || this.#state === "closed" || this.#endedBy === "client") return;
    if (!this.#ahead) this.#readAhead();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    this.since = Infinity; // it is not the client who keeps others waiting
    const timer = setTimeout(resolve, time);
    await promise;
    clearTimeout(timer);
    this.since = performance.now();
  }

  #sayIfLate(bytes: Uint8Array): void {
    const isLate = this.#isSound && !this.server.isClosing && bytes.length > 0 &&
      isRequestStart(bytes);
    if (isLate) this.#say(remarkOf("late-request", 0, 0), bytes.slice());
  }

  async #write(bytes: Uint8Array): Promise<boolean> {
    try {
      for (let sent = 0; sent < bytes.length;) {
        sent += await this.conn.write(bytes.subarray(sent));
      }
      return true;
    } catch {
      if (this.#state !== "closed") this.#say(remarkOf("gone", 0, 0), this.#lastRequest);
      this.close("client");
      return false;
    }
  }

  /**
   * Says that nothing more will come, and has the rest of what the client sends read: a socket that
   * is closed with unread bytes in it resets the connection, and the answer may be lost with it.
   */
  async #finish(): Promise<void> {
    this.#enter("draining");
    this.#endedBy ??= "server";
    try {
      await this.conn.closeWrite();
      if (this.#endedBy === "client") this.close("client"); // there is nothing more to read
    } catch {
      this.close("client"); // which is gone already
    }
  }

  #enter(state: State): void {
    if (this.#state === "closed") return;
    this.#state = state;
    this.since = performance.now();
  }

  /** Says a thing once. */
  #say(remark: Remark, request?: Uint8Array): void {
    if (this.#said.has(remark.code)) return;
    this.#said.add(remark.code);
    const bytes = request ?? this.#bytes.slice(0, this.#received);
    this.#emit({ type: "remark", remark, bytes });
  }

  #emit(event: EventOf<KeyServerEvent>): void {
    const { onEvent } = this.server;
    if (onEvent === undefined) return;
    const common = { connection: this.id, peer: this.#peer, time: Date.now() };
    try {
      const result: unknown = onEvent({ ...event, ...common } as KeyServerEvent);
      if (result instanceof Promise) result.catch(() => {});
    } catch {
      // Not the client's problem.
    }
  }
}

type Conn = Pick<
  Deno.TcpConn,
  "read" | "write" | "closeWrite" | "close" | "setNoDelay" | "remoteAddr"
>;

interface Listener {
  readonly addr: Deno.NetAddr;
  accept(): Promise<Conn>;
  close(): void;
}

/** An event without what all of them have. */
type EventOf<E> = E extends ConnectionEvent ? Omit<E, keyof ConnectionEvent> : never;

// ---- Answers

interface Answer {
  status: number;
  message: string;
}

/** Answers a request; what is wrong with the key is added to its remarks. */
function decide(request: IncomingRequest, address: string, keys: IssuedKeys): Answer {
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
class IssuedKeys {
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

function concat(parts: Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const ENCODER = new TextEncoder();
const LF = 0x0a;
const CR = 0x0d;
const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";
const REASONS: Record<number, string> = {
  200: "OK",
  308: "Permanent Redirect",
  400: "Bad Request",
  404: "Not Found",
  405: "Method Not Allowed",
  500: "Internal Server Error",
};

/** An answer on its way: a fault changes it, or how it is delivered. */
interface Outgoing extends Answer {
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

function prepare(answer: Answer, request: IncomingRequest, isLast: boolean): Outgoing {
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

function setMessage(outgoing: Outgoing, message: string): void {
  const isAscii = /^[ -~]*$/.test(message); // as all but a few are
  const length = isAscii ? message.length : ENCODER.encode(message).length;
  outgoing.message = message;
  outgoing.framing = `Content-Length: ${length}\r\n`;
  outgoing.body = outgoing.request.method === "HEAD" ? "" : message;
}

/** RFC 9112 section 4, and the fields that RFC 9110 sections 6.6.1, 8.6 and 10.2.1 ask for. */
function formatHead({ status, type, framing, fields, isLast, request }: Outgoing): string {
  return `HTTP/1.1 ${status} ${REASONS[status]}\r\n` +
    `Content-Type: ${type}\r\n` +
    framing +
    `Date: ${currentDate()}\r\n` +
    fields +
    (isLast ? "Connection: close\r\n" : request.isHttp10 ? "Connection: keep-alive\r\n" : "") +
    "\r\n";
}

function encode(outgoing: Outgoing): Uint8Array {
  return ENCODER.encode(formatHead(outgoing) + outgoing.body);
}

let date = "";
let dateTime = 0; // the second that it is of

function currentDate(): string {
  const time = Math.floor(Date.now() / 1000);
  if (time !== dateTime) [date, dateTime] = [new Date(1000 * time).toUTCString(), time];
  return date;
}

// ---- Faults

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

/** What a fault is, and what becomes of a client that meets it. */
export interface Fault {
  /** Whether there is no key to be had. If not, the answer is right and delivered oddly. */
  isBroken: boolean;
  /** What happens on the wire. */
  description: string;
  /** What a good client does. */
  good: string;
  /** What to do if yours does not. */
  help: string;
}

/** How a faulty answer goes over the wire. */
interface Delivery {
  /** What is written, each part by itself. */
  parts: Uint8Array[];
  /** Milliseconds before the first part. */
  delay?: number;
  /** Milliseconds before each further part. */
  pause?: number;
  /** Whether the connection ends with it, whatever was asked for. */
  isLast?: boolean;
}

type FaultRow = Fault & { deliver: (answer: Outgoing) => Delivery };

function odd(
  description: string,
  good: string,
  help: string,
  deliver: FaultRow["deliver"],
): FaultRow {
  return { isBroken: false, description, good, help, deliver };
}

function broken(...[description, good, help, deliver]: Parameters<typeof odd>): FaultRow {
  return { isBroken: true, description, good, help, deliver };
}

function status(status: number, description: string, message: string): FaultRow {
  return broken(
    `status ${status} and ${description}`,
    "shows the message, and sends no PUT",
    "look at the status line first: only 200 brings a key; with any other status show the message, return None, and send no PUT",
    (answer) => {
      answer.fields = status === 405 ? "Allow: GET\r\n" : "";
      return replace(answer, status, message);
    },
  );
}

function whole(answer: Outgoing): Delivery {
  return { parts: [encode(answer)] };
}

function replace(answer: Outgoing, status: number, message: string): Delivery {
  answer.status = status;
  setMessage(answer, message);
  return whole(answer);
}

/** Leaves nothing of an answer but these parts. */
function instead(answer: Outgoing, parts: Uint8Array[], isLast = true): Delivery {
  answer.status = 0;
  answer.message = "";
  return { parts, isLast };
}

function toTheClose(answer: Outgoing): Delivery {
  answer.framing = "";
  answer.isLast = true;
  return { ...whole(answer), isLast: true };
}

/** RFC 9110 section 5.1: the names of fields are the same in any spelling. */
function inSmallLetters(answer: Outgoing): Delivery {
  const head = formatHead(answer).replace(/^[\w-]+(?=:)/gm, (name) => name.toLowerCase());
  return { parts: [ENCODER.encode(head + answer.body)] };
}

/** RFC 9112 section 7.1. An older client than HTTP/1.1 knows no chunks. */
function inChunks(answer: Outgoing): Delivery {
  if (answer.request.isHttp10) return toTheClose(answer);
  answer.framing = "Transfer-Encoding: chunked\r\n";
  const body = ENCODER.encode(answer.body);
  const parts = [ENCODER.encode(formatHead(answer))];
  for (let at = 0; at < body.length; at += CHUNK_SIZE) {
    const data = body.subarray(at, at + CHUNK_SIZE);
    const [size, end] = [`${data.length.toString(16)}\r\n`, "\r\n"].map((t) => ENCODER.encode(t));
    parts.push(size, data, end);
  }
  if (answer.request.method !== "HEAD") parts.push(ENCODER.encode("0\r\n\r\n"));
  return { parts: [concat(parts)] };
}

const CHUNK_SIZE = 60; // so that a size has a letter in it: 3c, 3c and 8 for a key
const PADDING = Array.from(
  { length: 32 }, // not 64: some libraries take no more fields than that
  (_, n) => `X-Padding-${String(n + 1).padStart(2, "0")}: ${"x".repeat(240)}\r\n`, // 256 bytes
).join("");
// As long as a key is, or just like one: who looks at the body alone takes them for a key.
const NO_KEY = "No key here, though this text has 128 characters, as a key has, and a 200 in it: ";
const messageOf = (status: number) =>
  `${NO_KEY}what counts is the status line, which says ${status}.`;
const ELSEWHERE = `${NO_KEY}status 308 sends you elsewhere, but not to one.`;
const LIKE_A_KEY = "0123456789abcdef".repeat(8);
const PAGE = '<!doctype html><html lang="en"><title>It works</title><h1>It works!</h1>' +
  "<p>This is a page, and there is no key in it.</p></html>";
const GIBBERISH = "?!$%&/()=+*~#<>|".repeat(8);

// deno-fmt-ignore
const FAULT_TABLE: Record<FaultName, FaultRow> = {
  "slow": odd("every answer comes 2 s late", "waits for it",
    "wait longer: 10 s is a usual time-out, in Python `socket.settimeout(10)`; the answer comes after 2 s, and your PUT is to follow",
    (answer) => ({ ...whole(answer), delay: 2000 })),
  "drip": odd("a byte at a time, each in a segment of its own", "reads on until the answer is whole",
    "a `recv()` brings a part only: call it in a loop until `\\r\\n\\r\\n` has come, and then until the body has as many bytes as Content-Length says",
    (answer) => ({ parts: Array.from(encode(answer), (byte) => Uint8Array.of(byte)), pause: 2 })),
  "split": odd("the body comes 0.2 s after the head", "reads on behind the head",
    "a `recv()` may end with the head: behind `\\r\\n\\r\\n` call it again until the body has as many bytes as Content-Length says",
    (answer) => {
      answer.fields += "Cache-Control: no-store\r\n"; // so that the head alone is longer than a key
      return { parts: [formatHead(answer), answer.body].map((t) => ENCODER.encode(t)), pause: 200 };
    }),
  "chunked": odd("the body in chunks, without Content-Length", "puts the chunks together",
    "with `Transfer-Encoding: chunked` the body is `3c\\r\\n`, 60 bytes, `\\r\\n`, and so on, up to `0\\r\\n\\r\\n`: read a size with `int(line, 16)`, then so many bytes; the key is these bytes joined (RFC 9112 section 7.1)",
    inChunks),
  "no-length": odd("without Content-Length, the body ends with the connection", "reads to the end",
    "where neither Content-Length nor chunks tell where the body ends, read until `recv()` returns `b''` (RFC 9112 section 6.3)",
    toTheClose),
  "keep-open": odd("the connection stays open; names of fields in small letters", "stops at the end of the body",
    "if your client waited: the server need not close, so stop reading when the body has as many bytes as Content-Length says, or send `Connection: close`; if it gave up at once: look for `content-length` in `head.lower()`, as names of fields come in capitals and in small letters",
    inSmallLetters),
  "interim": odd("`100 Continue`, and 0.2 s later the answer", "takes the second head for the answer",
    "a status from 100 to 199 is not yet the answer: drop that head, and read the next one as you read the first (RFC 9110 section 15.2); the `fetch` of Node.js cannot, its `node:http` can",
    (answer) => answer.request.isHttp10 ? whole(answer)
      : ({ parts: [ENCODER.encode(CONTINUE), encode(answer)], pause: 200 })),
  "long-head": odd("8 KiB of fields before the body", "reads on to the empty line",
    "however long the head is, call `recv()` until `\\r\\n\\r\\n` has come; the body is what stands behind it",
    (answer) => {
      answer.fields += PADDING;
      return whole(answer);
    }),
  "status-400": status(400, "a message", messageOf(400)),
  "status-404": status(404, "a message", messageOf(404)),
  "status-405": status(405, "a message", messageOf(405)),
  "status-500": status(500, "a message that looks like a key", LIKE_A_KEY),
  "redirect": broken("status 308 and another path", "takes it for no key",
    "look at the status line first: only 200 brings a key, and 308 sends elsewhere; return None, and send no PUT",
    (answer) => {
      answer.fields = "Location: /moved/\r\n";
      return replace(answer, 308, ELSEWHERE);
    }),
  "empty": broken("the connection closes without a byte", "sees that nothing has come",
    "`recv()` returns `b''` when the server has closed, and does so for ever: stop at the first one, return None, and send no PUT",
    (answer) => instead(answer, [])),
  "truncate": broken("the connection closes after half of the body", "sees that it is not whole",
    "when `recv()` returns `b''`, compare the body with Content-Length: if it has fewer bytes the key is not whole, so stop reading, return None, and send no PUT",
    (answer) => {
      const wire = encode(answer);
      const half = Math.ceil(ENCODER.encode(answer.body).length / 2);
      return { parts: [wire.subarray(0, wire.length - half)], isLast: true };
    }),
  "reset": broken("the connection is reset instead of an answer", "catches the error",
    "`recv()` raises ConnectionResetError, an OSError: catch it around the whole conversation, return None, and send no PUT",
    (answer) => instead(answer, [])),
  "garbage": broken("what comes is no HTTP, and then the connection closes", "sees that there is no status line",
    "the first line must be like `HTTP/1.1 200 OK`: if it is not, this is no answer and holds no key; return None, and send no PUT",
    (answer) => instead(answer, [ENCODER.encode(`${GIBBERISH}\r\n\r\n${GIBBERISH}`)])),
  "silent": broken("no answer, and no end", "gives up, within 30 s",
    "set a time-out before you connect, in Python `socket.settimeout(10)`: when it is over read no more, close the connection, and return None",
    (answer) => instead(answer, [], false)),
  "short-key": broken("200 and a key of 127 digits", "counts them",
    "a key has exactly 128 hex digits: count them, and if there are fewer or more read no further, return None, and send no PUT",
    (answer) => replace(answer, answer.status, answer.message.replace(/^([\da-f]{127})[\da-f]$/, "$1"))),
  "not-a-key": broken("200 and a page of HTML", "sees that these are no hex digits",
    "look at the body too: a key is 128 characters, each of them one of 0123456789abcdef; if it is not, return None, and send no PUT",
    (answer) => {
      answer.type = "text/html; charset=utf-8";
      answer.fields = "";
      return replace(answer, 200, PAGE);
    }),
};

/**
 * All faults by their names, in the order of the drill: the first eight are delivered oddly, which
 * does not disturb a good client, the others are broken, and a good client gives no key.
 *
 * @example Usage
 * ```ts
 * import { FAULTS } from "./server.ts";
 *
 * for (const [name, { description }] of Object.entries(FAULTS)) console.log(name, description);
 * ```
 */
export const FAULTS: Readonly<Record<FaultName, Fault>> = FAULT_TABLE;

function checkFault(name: FaultName | undefined): FaultName | undefined {
  if (name === undefined || Object.hasOwn(FAULTS, name)) return name;
  throw new TypeError(`Cannot use fault ${JSON.stringify(name)}: there is none of that name`);
}

// ---- Sockets that can be reset

/**
 * Takes the place of a listener with sockets of Node's: those of Deno end their half of a connection
 * before they close it, so that a client sees its proper end where it should see a reset. They are
 * not for everybody: once descriptors were used up, they accept nobody any more, without a word.
 */
class ResettingListener implements Listener {
  readonly addr: Deno.NetAddr;
  #server: NodeServer;
  #queue: Conn[] = [];
  #next: PromiseWithResolvers<Conn> | undefined = undefined;

  constructor(listener: Deno.TcpListener) {
    this.addr = listener.addr;
    listener.close();
    const { process } = globalThis as unknown as NodeGlobals; // an import would slow down every start
    this.#server = process.getBuiltinModule("node:net").createServer({ allowHalfOpen: true });
    this.#server.on("connection", (socket) => {
      this.#queue.push(new ResettableConn(socket));
      if (this.#next) this.#next.resolve(this.#queue.shift()!);
      this.#next = undefined;
    });
    this.#server.on("error", () => {}); // some client could not be let in
    this.#server.maxConnections = 2 * MAX_RESETTABLE;
    // listen() with an address begins only later, and who connects at once would be refused.
    const { TCP, constants } = process.binding("tcp_wrap");
    const handle = new TCP(constants.SERVER);
    const { hostname, port } = this.addr;
    const error = hostname.includes(":")
      ? handle.bind6(hostname, port, 0)
      : handle.bind(hostname, port);
    if (error !== 0) throw new Deno.errors.AddrInUse(`Cannot listen on port ${port}`);
    this.#server.listen(handle);
  }

  accept(): Promise<Conn> {
    const conn = this.#queue.shift();
    if (conn) return Promise.resolve(conn);
    this.#next = Promise.withResolvers();
    return this.#next.promise;
  }

  close(): void {
    this.#server.close();
    for (const conn of this.#queue) conn.close();
    this.#next?.reject(new Deno.errors.Interrupted());
  }
}

interface NodeGlobals {
  process: {
    getBuiltinModule(name: "node:net"): typeof import("node:net");
    binding(name: "tcp_wrap"): {
      TCP: new (type: number) => {
        bind(hostname: string, port: number): number;
        bind6(hostname: string, port: number, flags: number): number;
      };
      constants: { SERVER: number };
    };
  };
}

/** One of Node's sockets in the guise of one of Deno's. */
class ResettableConn implements Conn {
  readonly remoteAddr: Deno.NetAddr;
  #socket: Socket;
  #isEnded = false;
  #error: Error | undefined = undefined;
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    const { remoteAddress = "", remotePort = 0 } = socket;
    this.remoteAddr = { transport: "tcp", hostname: remoteAddress, port: remotePort };
    this.#socket = socket;
    socket.on("readable", () => this.#wake());
    socket.on("end", () => {
      this.#isEnded = true;
      this.#wake();
    });
    socket.on("error", (error) => this.#error = error);
    socket.on("close", () => {
      this.#error ??= new Deno.errors.Interrupted();
      this.#wake();
    });
  }

  async read(p: Uint8Array): Promise<number | null> {
    for (;;) {
      const data: Uint8Array | null = this.#socket.read(
        Math.min(p.length, this.#socket.readableLength) || undefined,
      );
      if (data) {
        p.set(data);
        return data.length;
      }
      if (this.#isEnded) return null;
      if (this.#error) throw this.#error;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  write(p: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#socket.write(p, (error) => error ? reject(error) : resolve(p.length));
    });
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve) => this.#socket.end(resolve));
  }

  setNoDelay(): void {
    this.#socket.setNoDelay();
  }

  close(): void {
    this.#socket.destroy();
  }

  reset(): void {
    this.#socket.resetAndDestroy();
  }
}
