/**
 * One connection to the key server, from its first byte until it is closed.
 *
 * @module
 */

import { checkRequest } from "./check.ts";
import type { ConnectionEvent, KeyServerEvent } from "./events.ts";
import {
  deliver,
  type Delivery,
  type FaultName,
  faultOf,
  FAULTS,
  type FaultSetting,
} from "./faults.ts";
import type { RequestHead } from "./head.ts";
import { notify } from "./notify.ts";
import { type Remark, remarkOf } from "./remark.ts";
import { isRequestStart, type ReceivedRequest, RequestReader } from "./request.ts";
import { concat, CONTINUE, decide, ENCODER, type IssuedKeys, respond } from "./responses.ts";
import type { RemarkCode } from "./rules.ts";
import type { EventStream, Viewer, Visitor } from "./viewer.ts";

const UNFINISHED_FACTOR = 5; // idle timeouts until the response to an incomplete request is 400
const MAX_DRAINED = 1_048_576; // bytes that are read after the last response
const HALF_CLOSE_TIME = 200; // ms; a client that closes its side earlier has only half-closed
const RESET_TIME = 2; // ms to wait for a reset after the client has closed its side

const NO_BYTES = new Uint8Array();
const LF = 0x0a;
const CR = 0x0d;

/** The server that a connection belongs to. */
export interface Host extends FaultSetting {
  readonly keys: IssuedKeys;
  readonly idleTimeout: number;
  readonly delay: number;
  readonly isClosing: boolean;
  /** Whether it must be possible to reset connections. */
  readonly needsReset: boolean;
  /** Resolves when clients can connect. */
  readonly ready: Promise<void>;
  readonly onEvent: ((event: KeyServerEvent) => void) | undefined;
  /** Shows browsers what the server has received; absent without the option `page`. */
  readonly viewer: Viewer | undefined;
  remove(connection: Connection): void;
}

/** The parts of a connection that the server uses. Some connections can be reset. */
export interface Conn extends
  Pick<
    Deno.TcpConn,
    "read" | "write" | "closeWrite" | "close" | "setNoDelay" | "localAddr" | "remoteAddr"
  > {
  reset?(): void;
}

/** The request that is being read. */
class Incoming {
  readonly reader: RequestReader;
  /** Codes of the remarks already made on this request. */
  readonly said = new Set<RemarkCode>();
  isFull = false; // the last read filled the buffer, so the next one counts as part of it
  isContinued = false;

  constructor(host: string, public reads = 0) {
    this.reader = new RequestReader(host);
  }
}

/** The last request that got a response. */
interface Exchange {
  readonly bytes: Uint8Array;
  readonly method: string;
  readonly message: string;
  /** The fault of the response. */
  readonly fault: FaultName | undefined;
  readonly isSound: boolean;
}

const NO_EXCHANGE: Exchange = {
  bytes: NO_BYTES,
  method: "",
  message: "",
  fault: undefined,
  isSound: true,
};

/** What the server is doing for a client. */
type State =
  | "reading" // waits for the first request or the rest of a request
  | "idle" // waits for the first byte of another request
  | "answering"
  | "draining" // has shut down its sending side; reads on to avoid a reset
  | "streaming" // sends events to a browser
  | "closed";

/** One connection, from its first byte until it is closed. */
export class Connection {
  since = performance.now(); // when this state began
  #state: State = "reading";
  #connectedAt = performance.now();
  #peer: Deno.NetAddr;
  #host: string; // the address that the client has connected to, as in a Host header
  #visitor: Visitor; // for the viewer
  #bytes = new Uint8Array(1024);
  #received = 0;
  #incoming: Incoming;
  #last: Exchange = NO_EXCHANGE;
  #isIdled = false; // whether the server has closed it because it was idle
  #drained = 0;
  #wake: () => void = () => {}; // ends a pause
  #ahead: { bytes: Uint8Array; reading: Promise<number | null> } | undefined = undefined;
  #endedBy: "client" | "server" | undefined = undefined;
  #isBrowser = false; // whether the next event is a browser's
  #stream: EventStream | undefined = undefined;

  constructor(readonly server: Host, readonly conn: Conn, readonly id: number) {
    this.#peer = unmapped(conn.remoteAddr as Deno.NetAddr);
    const { hostname, port } = unmapped(conn.localAddr as Deno.NetAddr);
    this.#host = hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
    this.#incoming = new Incoming(this.#host);
    const address = this.#peer.hostname;
    const isLocal = ["127.0.0.1", "::1", hostname].includes(address);
    this.#visitor = { owner: isLocal ? "" : address, address, host: this.#host };
  }

  /** Whether it sends events to a browser. */
  get isStreaming(): boolean {
    return this.#stream !== undefined;
  }

  get #isClosed(): boolean {
    return this.#state === "closed";
  }

  /** Whether it can be closed to make room. A new client gets a moment to send its request. */
  isIdle(now: number): boolean {
    const isEmpty = this.#state === "idle" || this.#state === "reading" && this.#received === 0;
    const isStuck = ["reading", "draining", "streaming"].includes(this.#state);
    return now - this.since > (isEmpty ? 100 : isStuck ? this.server.idleTimeout : Infinity);
  }

  /** Reads requests and responds to them until one side closes the connection. */
  async serve(): Promise<void> {
    this.#emit({ type: "connected" });
    this.conn.setNoDelay(); // without it, a response waits until the client confirms the last one
    while (this.#state !== "closed") {
      let count: number | null;
      try {
        count = await this.#read();
      } catch {
        return this.#break();
      }
      if (this.#isClosed) return; // by the clock
      if (this.#state === "streaming") {
        if (count === null) return this.close("client");
        if ((this.#drained += count) > MAX_DRAINED) return this.close("server");
      } else if (this.#state === "draining" || this.#state === "answering") { // set by the clock
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
        if (this.#state === "idle") return await this.#endIdle();
        await this.#endRequest(); // the client sends nothing more, but may wait for a response
      }
    }
  }

  /** Closes the connection after the client has closed its side, unless the client still waits. */
  async #endIdle(): Promise<void> {
    await this.#sayIfUnread();
    // Some sockets, when they are closed, first half-close and then reset the connection.
    if (this.#isHeard) await this.#sleep(RESET_TIME);
    if (this.#state !== "idle") return; // the clock has changed it
    await this.#sayIfUnread();
    if (!this.#isHalfClosed()) this.close("client");
  }

  /** Returns whether a client that gets no response has only half-closed, and may still wait. */
  #isHalfClosed(): boolean {
    return this.#standingFault === "silent" && performance.now() - this.since < HALF_CLOSE_TIME;
  }

  /** If the last response had a fault: the fault that the same response would have now. */
  get #standingFault(): FaultName | undefined {
    const { fault, method, bytes } = this.#last;
    return fault && faultOf(this.server, method, bytes);
  }

  #break(): void {
    if (this.#state === "closed") return;
    if (this.#last.isSound) this.#say(remarkOf("reset", 0, 0), this.#last.bytes);
    this.close("client");
  }

  /**
   * Remarks if the client has closed the connection before it has read the whole response. Its
   * system has then reset the connection, so a write fails, even of 0 bytes. A read cannot show
   * this: it also returns `null` if the client has only half-closed. After `closeWrite()`, a write
   * cannot show it either.
   */
  async #sayIfUnread(): Promise<void> {
    if (!this.#isHeard || this.#state === "closed") return;
    try {
      await this.conn.write(NO_BYTES);
    } catch {
      this.#break();
    }
  }

  /** Checks for timeouts. */
  tick(now: number): void {
    const { idleTimeout } = this.server;
    const waited = now - this.since;
    if (waited < idleTimeout) return;
    const isLong = waited >= idleTimeout * UNFINISHED_FACTOR;
    if (this.#state === "reading") {
      if (this.#mayBeSpare) this.#tickSpare(isLong);
      else if (isLong) this.#endRequest().catch(() => this.close("server"));
      else if (this.#incoming.said.size === 0) this.#sayWhatIsMissing();
    } else if (this.#state === "idle") {
      const fault = this.#standingFault;
      if (fault === "silent") return;
      if (this.#last.fault === "silent") return this.close("server");
      const { length } = ENCODER.encode(this.#last.message);
      const about = { seconds: idleTimeout / 1000, length };
      if (fault === "keep-open") {
        return this.#say(remarkOf("kept-open", 0, 0, "", about), this.#last.bytes);
      }
      this.#isIdled = true;
      this.#say(remarkOf("idle", 0, 0, this.#last.fault, about), this.#last.bytes);
      this.#finish();
    } else if (this.#state === "draining") {
      // With a broken fault, the drill checks whether the client itself notices the end.
      const fault = this.#standingFault;
      if (fault && FAULTS[fault].isBroken) return;
      if (!this.#isIdled && this.#last.isSound) {
        this.#say(remarkOf("still-open", 0, 0), this.#last.bytes);
      }
      this.close("server");
    } else if (this.#state === "streaming") {
      if (!this.#stream!.beat(now)) this.close("server");
    } else if (isLong) this.close("server");
  }

  #sayWhatIsMissing(): void {
    const bytes = this.#bytes.subarray(0, this.#received);
    for (const remark of checkRequest(bytes, { host: this.#host })) this.#say(remark);
  }

  /**
   * Handles a connection on which nothing came, maybe a browser's. First only the page shows it.
   * Then it is closed without a response, which a browser would use for its next request.
   */
  #tickSpare(isLong: boolean): void {
    const { said } = this.#incoming;
    this.#isBrowser = true;
    if (!said.has("nothing-yet")) {
      said.add("nothing-yet");
      this.#emit({ type: "remark", remark: remarkOf("nothing-yet", 0, 0), bytes: NO_BYTES });
    }
    if (!isLong) return;
    this.#isBrowser = this.#isSpare;
    this.#sayWhatIsMissing();
    this.close("server");
  }

  /** Closes the connection, unless a response is pending. */
  shutdown(): void {
    if (["reading", "idle", "streaming"].includes(this.#state)) this.close("server");
    this.#wake();
  }

  giveUp(): void {
    this.#say(remarkOf("crowded", 0, 0));
    this.close("server");
  }

  close(by: "client" | "server", { isReset = false } = {}): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    if (isReset && this.conn.reset) this.conn.reset();
    else this.conn.close();
    if (this.#stream) this.server.viewer!.close(this.#stream);
    this.#wake();
    this.server.remove(this);
    this.#emit({ type: "closed", by: this.#endedBy ?? by });
  }

  /** Returns the space for the next bytes. After the last response, they are overwritten. */
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

  /** Reads while a response is delayed, to notice if the client stops waiting for it. */
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
      this.#incoming = new Incoming(this.#host);
      this.#isBrowser = false;
    }
    this.#received += count;
    const incoming = this.#incoming;
    if (!incoming.isFull) incoming.reads++;
    incoming.isFull = this.#received === this.#bytes.length;
    const bytes = this.#bytes.subarray(0, this.#received);
    const request = incoming.reader.read(bytes);
    if (request && this.#isFromBrowser(request)) return await this.#show(request);
    if (request) return await this.#answer(request);
    const { head } = incoming.reader;
    if (!head?.expectsContinue || incoming.isContinued) return;
    const fault = faultOf(this.server, head.method, bytes);
    if (fault && FAULTS[fault].isBroken) return; // a 100 would not fit `silent`; the body will come
    if (incoming.reader.isRefused) return await this.#answer(incoming.reader.refuse(bytes));
    incoming.isContinued = true;
    await this.#continue(head);
  }

  /** Returns whether the bytes after a response are the start of another request. */
  #isFurther(count: number): boolean {
    const isUsual = this.#bytes[0] === 0x4b || this.#bytes[0] === 0x50; // "K" or "P"
    if (isUsual && count > 3 && this.#bytes[3] === 0x20) return true; // to save time
    const bytes = this.#bytes.slice(0, count);
    if (bytes.every((byte) => byte === CR || byte === LF)) {
      this.#say(remarkOf("extra-line-end", 0, count), bytes); // ignored: RFC 9112 section 2.2
      return false;
    }
    if (isRequestStart(bytes)) return true;
    this.#say(remarkOf("bytes-behind", 0, count, "", { partSize: count }), bytes);
    this.#finish();
    return false;
  }

  async #endRequest(): Promise<void> {
    this.#isBrowser = this.#isSpare;
    await this.#answer(this.#incoming.reader.end(this.#bytes.subarray(0, this.#received)));
  }

  /** Sends `100 Continue`: RFC 9110 section 10.1.1. */
  async #continue({ method, userId }: RequestHead): Promise<void> {
    const bytes = ENCODER.encode(CONTINUE);
    const request = this.#bytes.slice(0, this.#received);
    this.#emit({ type: "answer", status: 100, message: "", bytes, request, method, userId });
    await this.#write(bytes);
  }

  /** Whether it may be a spare connection of a browser. */
  get #mayBeSpare(): boolean {
    return this.#received === 0 && this.server.viewer?.knows(this.#visitor) === true;
  }

  /** Whether it is probably a spare connection of a browser. */
  get #isSpare(): boolean {
    return this.#mayBeSpare && this.server.viewer!.isSpare(this.#visitor, this.#connectedAt);
  }

  /** Returns whether a browser has sent the request: only the first on a connection counts. */
  #isFromBrowser(request: ReceivedRequest): boolean {
    const { viewer } = this.server;
    return request.method === "GET" && viewer !== undefined && this.#last === NO_EXCHANGE &&
      viewer.isBrowser(request, this.#bytes.subarray(0, request.size));
  }

  /** Responds to a browser, with a page or a stream of events, without a fault. */
  async #show(request: ReceivedRequest): Promise<void> {
    const { method, size } = request;
    const viewer = this.server.viewer!;
    this.#enter("answering");
    this.#isBrowser = true;
    const bytes = this.#bytes.slice(0, size);
    this.#received = 0; // ignores later bytes: a browser waits for the response
    this.#emit({ type: "request", bytes, reads: this.#incoming.reads, method });
    const { lastId, ...response } = await viewer.respond(request, bytes, this.#visitor);
    this.#emit({ type: "answer", ...response, request: bytes, method });
    if (!await this.#write(response.bytes)) return;
    if (lastId === undefined || this.server.isClosing) return await this.#finish();
    if (this.#isClosed) return;
    this.#enter("streaming");
    const send = (bytes: Uint8Array) => this.#write(bytes);
    this.#stream = viewer.open(this.#visitor, lastId, send, () => this.close("server"));
  }

  /** Responds to a request, and to all complete requests after it, in one write. */
  async #answer(first: ReceivedRequest): Promise<void> {
    this.#enter("answering");
    const sound: Uint8Array[] = [];
    let delivery: Delivery;
    let taken = 0;
    let next: ReceivedRequest | undefined = first;
    do {
      const bytes = this.#bytes.slice(taken, taken + next.size);
      delivery = this.#respond(next, bytes);
      if (this.#last.fault === undefined) sound.push(...delivery.parts);
      taken += next.size;
      this.#incoming = new Incoming(this.#host, Math.min(1, this.#received - taken));
      const isMore = !delivery.isLast && this.#last.fault === undefined && taken < this.#received;
      next = isMore
        ? this.#incoming.reader.read(this.#bytes.subarray(taken, this.#received))
        : undefined;
    } while (next);
    this.#bytes.copyWithin(0, taken, this.#received);
    this.#received -= taken;
    await this.server.ready; // after its response, a client may connect again
    if (sound.length > 0 && !await this.#write(concat(sound))) return;
    if (this.#last.fault !== undefined && !await this.#deliver(delivery)) return;
    if (delivery.isLast || this.server.isClosing) {
      this.#sayIfLate(this.#bytes.subarray(0, this.#received));
      return await this.#finish();
    }
    if (this.#received === 0) return this.#enter("idle");
    this.#enter("reading");
    // A response with a fault is sent by itself.
    next = this.#incoming.reader.read(this.#bytes.subarray(0, this.#received));
    if (next) await this.#answer(next);
  }

  /** Decides on the response to a request, and emits the `request` and `answer` events. */
  #respond(request: ReceivedRequest, bytes: Uint8Array): Delivery {
    const { method, userId } = request;
    this.#emit({ type: "request", bytes, reads: this.#incoming.reads, method, userId });
    const { server, conn } = this;
    const fault = faultOf(server, method, bytes); // now: the `request` event may have changed it
    const decision = decide(request, this.#peer.hostname, server.keys);
    const { error, remarks, newKey } = decision;
    if (newKey) server.keys.add(newKey, userId!, this.#peer.hostname);
    for (const remark of remarks) this.#say(remark, bytes);
    const isOdd = server.needsReset && !conn.reset; // the next response may need a reset
    const isLast = !request.isPersistent || server.isClosing || isOdd;
    const delivery = deliver(respond(decision, request, isLast), fault, server.delay);
    const { status, message, parts } = delivery;
    this.#last = { bytes, method, message, fault, isSound: !request.isBroken };
    if (this.#isHeard) {
      const about = { status, message, bytes: concat(parts), request: bytes, method, userId };
      this.#emit({ type: "answer", ...about, ...(error && { error }), ...(fault && { fault }) });
    }
    return delivery;
  }

  /** Sends a response part by part. Returns `false` if the connection is closed. */
  async #deliver({ parts, delay = 0, pause = 0, isReset }: Delivery): Promise<boolean> {
    if (isReset) {
      this.close("server", { isReset });
      return false;
    }
    for (const [at, part] of parts.entries()) {
      const time = at === 0 ? delay : pause;
      if (time > 0) await this.#pause(time);
      if (!await this.#write(part)) return false;
    }
    return true;
  }

  /** Waits, unless the server is shutting down or the client has closed its side. */
  async #pause(time: number): Promise<void> {
    if (this.server.isClosing || this.#state === "closed" || this.#endedBy === "client") return;
    if (!this.#ahead) this.#readAhead();
    this.since = Infinity; // no timeout: the client does not cause this delay
    await this.#sleep(time);
    this.since = performance.now();
  }

  /** Waits until the time is over or `#wake()` is called. */
  async #sleep(time: number): Promise<void> {
    if (this.#state === "closed") return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, time);
    await promise;
    clearTimeout(timer);
  }

  #sayIfLate(bytes: Uint8Array): void {
    const isLate = this.#last.isSound && !this.server.isClosing && bytes.length > 0 &&
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
      if (this.#state !== "closed") this.#say(remarkOf("gone", 0, 0), this.#last.bytes);
      this.close("client");
      return false;
    }
  }

  /**
   * Shuts down the sending side; then `serve()` reads whatever the client still sends. If a socket
   * with unread bytes is closed, it resets the connection, and the response may be lost.
   */
  async #finish(): Promise<void> {
    this.#enter("draining");
    await this.#sayIfUnread();
    if (this.#state !== "draining") return;
    this.#endedBy ??= "server";
    try {
      await this.conn.closeWrite();
      if (this.#endedBy === "client") this.close("client"); // nothing more to read
    } catch {
      this.close("client"); // it has already disconnected
    }
  }

  #enter(state: State): void {
    if (this.#state === "closed") return;
    this.#state = state;
    this.since = performance.now();
  }

  /** Emits a remark, once for each code. */
  #say(remark: Remark, request?: Uint8Array): void {
    if (this.#isBrowser || this.#incoming.said.has(remark.code)) return;
    this.#incoming.said.add(remark.code);
    const bytes = request ?? this.#bytes.slice(0, this.#received);
    this.#emit({ type: "remark", remark, bytes });
  }

  #emit(event: EventOf<KeyServerEvent>): void {
    if (!this.#isHeard) return;
    const { onEvent, viewer } = this.server;
    const common = { connection: this.id, peer: this.#peer, time: Date.now() };
    const isBrowser = this.#isBrowser && { isBrowser: true };
    const whole = { ...event, ...common, ...isBrowser } as KeyServerEvent;
    viewer?.add(whole, this.#visitor);
    notify(onEvent, whole);
  }

  /** Whether anyone gets the events. */
  get #isHeard(): boolean {
    return this.server.onEvent !== undefined || this.server.viewer !== undefined;
  }
}

/** An event without the properties that all events have. */
type EventOf<E> = E extends ConnectionEvent ? Omit<E, keyof ConnectionEvent> : never;

/** Turns an IPv4 address that an IPv6 socket reports into its usual form. */
function unmapped({ hostname, ...rest }: Deno.NetAddr): Deno.NetAddr {
  return { hostname: hostname.replace(/^::ffff:(?=\d+\.)/, ""), ...rest };
}
