/**
 * One client of the key server, from its first byte to its close.
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

const UNFINISHED_FACTOR = 5; // idle timeouts until a request that is not whole gets a 400
const MAX_DRAINED = 1_048_576; // bytes that are read after the last answer
const HALF_CLOSE_TIME = 200; // ms within which nobody gives up waiting for an answer
const RESET_TIME = 2; // ms after the client's end within which the connection may be reset

const NO_BYTES = new Uint8Array();
const LF = 0x0a;
const CR = 0x0d;

/** The server that a connection belongs to. */
export interface Host extends FaultSetting {
  readonly keys: IssuedKeys;
  readonly idleTimeout: number;
  readonly delay: number;
  readonly isClosing: boolean;
  /** Whether connections are to be such that they can be reset. */
  readonly needsReset: boolean;
  /** Resolves when clients can connect. */
  readonly ready: Promise<void>;
  readonly onEvent: ((event: KeyServerEvent) => void) | undefined;
  remove(connection: Connection): void;
}

/** A connection as the server needs it; some can be reset. */
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
  /** Codes of the remarks that were made meanwhile. */
  readonly said = new Set<RemarkCode>();
  isFull = false; // the last read had no room for more, so the next one belongs to it
  isContinued = false;

  constructor(host: string, public reads = 0) {
    this.reader = new RequestReader(host);
  }
}

/** The last request that got its response. */
interface Exchange {
  readonly bytes: Uint8Array;
  readonly method: string;
  readonly message: string;
  /** The fault that its response had. */
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
  | "reading" // waits for a request, the first one or the rest of one
  | "idle" // waits for a further one, of which nothing has come
  | "answering"
  | "draining" // has said that nothing more will come, and reads on so that nothing is reset
  | "closed";

/** One client, from its first byte to its close. */
export class Connection {
  since = performance.now(); // of this state
  #state: State = "reading";
  #peer: Deno.NetAddr;
  #host: string; // where the client has connected, as in a Host header
  #bytes = new Uint8Array(1024);
  #received = 0;
  #incoming: Incoming;
  #last: Exchange = NO_EXCHANGE;
  #isIdled = false; // it was closed for being idle
  #drained = 0;
  #wake: () => void = () => {}; // ends a pause
  #ahead: { bytes: Uint8Array; reading: Promise<number | null> } | undefined = undefined;
  #endedBy: "client" | "server" | undefined = undefined;

  constructor(readonly server: Host, readonly conn: Conn, readonly id: number) {
    this.#peer = unmapped(conn.remoteAddr as Deno.NetAddr);
    const { hostname, port } = unmapped(conn.localAddr as Deno.NetAddr);
    this.#host = hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
    this.#incoming = new Incoming(this.#host);
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
        if (this.#state === "idle") return await this.#endIdle();
        await this.#endRequest(); // nothing more will come, but an answer may be awaited
      }
    }
  }

  /** Closes after the client's end, unless the client still waits. */
  async #endIdle(): Promise<void> {
    await this.#sayIfUnread();
    // Some sockets half-close first when they are closed, and reset the connection only then.
    if (this.server.onEvent) await this.#sleep(RESET_TIME);
    if (this.#state !== "idle") return; // the clock was faster
    await this.#sayIfUnread();
    if (!this.#isHalfClosed()) this.close("client");
  }

  /** Tells whether a client that gets no answer may still wait for one, but has ended its half. */
  #isHalfClosed(): boolean {
    return this.#standingFault === "silent" && performance.now() - this.since < HALF_CLOSE_TIME;
  }

  /** The fault that the server has now, if the last response had one and this would be its fault. */
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
   * Says so if the client has closed without reading the whole response. Its system has then reset
   * the connection, and a write fails, even one of no bytes. A read does not tell: it returns `null`
   * for a client that has only half-closed, too. After `closeWrite()` no write tells either.
   */
  async #sayIfUnread(): Promise<void> {
    if (this.server.onEvent === undefined || this.#state === "closed") return;
    try {
      await this.conn.write(NO_BYTES);
    } catch {
      this.#break();
    }
  }

  /** Looks whether something has been waited for too long. */
  tick(now: number): void {
    const { idleTimeout } = this.server;
    const waited = now - this.since;
    if (waited < idleTimeout) return;
    const isLong = waited >= idleTimeout * UNFINISHED_FACTOR;
    if (this.#state === "reading" && isLong) this.#endRequest().catch(() => this.close("server"));
    else if (this.#state === "reading") {
      if (this.#incoming.said.size > 0) return;
      const bytes = this.#bytes.subarray(0, this.#received);
      for (const remark of checkRequest(bytes, { host: this.#host })) this.#say(remark);
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
      // Where there is no key, whether the client sees the end is what is to be seen.
      const fault = this.#standingFault;
      if (fault && FAULTS[fault].isBroken) return;
      if (!this.#isIdled && this.#last.isSound) {
        this.#say(remarkOf("still-open", 0, 0), this.#last.bytes);
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

  close(by: "client" | "server", { isReset = false } = {}): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    if (isReset && this.conn.reset) this.conn.reset();
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
      this.#incoming = new Incoming(this.#host);
    }
    this.#received += count;
    const incoming = this.#incoming;
    if (!incoming.isFull) incoming.reads++;
    incoming.isFull = this.#received === this.#bytes.length;
    const bytes = this.#bytes.subarray(0, this.#received);
    const request = incoming.reader.read(bytes);
    if (request) return await this.#answer(request);
    const { head } = incoming.reader;
    if (!head?.expectsContinue || incoming.isContinued) return;
    const fault = faultOf(this.server, head.method, bytes);
    if (fault && FAULTS[fault].isBroken) return; // or it would not be silence, say; the body will come
    if (incoming.reader.isRefused) return await this.#answer(incoming.reader.refuse(bytes));
    incoming.isContinued = true;
    await this.#continue(head);
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
    await this.#answer(this.#incoming.reader.end(this.#bytes.subarray(0, this.#received)));
  }

  /** RFC 9110 section 10.1.1. */
  async #continue({ method, userId }: RequestHead): Promise<void> {
    const bytes = ENCODER.encode(CONTINUE);
    const request = this.#bytes.slice(0, this.#received);
    this.#emit({ type: "answer", status: 100, message: "", bytes, request, method, userId });
    await this.#write(bytes);
  }

  /** Responds to a request, and to those after it that are whole as well, in one write. */
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
    await this.server.ready; // with its response a client may connect again
    if (sound.length > 0 && !await this.#write(concat(sound))) return;
    if (this.#last.fault !== undefined && !await this.#deliver(delivery)) return;
    if (delivery.isLast || this.server.isClosing) {
      this.#sayIfLate(this.#bytes.subarray(0, this.#received));
      return await this.#finish();
    }
    if (this.#received === 0) return this.#enter("idle");
    this.#enter("reading");
    // With a fault each response goes out by itself.
    next = this.#incoming.reader.read(this.#bytes.subarray(0, this.#received));
    if (next) await this.#answer(next);
  }

  /** Decides what a request gets, and tells of it. */
  #respond(request: ReceivedRequest, bytes: Uint8Array): Delivery {
    const { method, userId } = request;
    this.#emit({ type: "request", bytes, reads: this.#incoming.reads, method, userId });
    const { server, conn } = this;
    const fault = faultOf(server, method, bytes); // which may have been changed just now
    const decision = decide(request, this.#peer.hostname, server.keys);
    const { error, remarks, newKey } = decision;
    if (newKey) server.keys.add(newKey, userId!, this.#peer.hostname);
    for (const remark of remarks) this.#say(remark, bytes);
    const isOdd = server.needsReset && !conn.reset; // what comes next may have to be reset
    const isLast = !request.isPersistent || server.isClosing || isOdd;
    const delivery = deliver(respond(decision, request, isLast), fault, server.delay);
    const { status, message, parts } = delivery;
    this.#last = { bytes, method, message, fault, isSound: !request.isBroken };
    if (server.onEvent) {
      const about = { status, message, bytes: concat(parts), request: bytes, method, userId };
      this.#emit({ type: "answer", ...about, ...(error && { error }), ...(fault && { fault }) });
    }
    return delivery;
  }

  /** Returns `false` if the connection is over. */
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

  /** Waits, unless the connection or the server is to end, or the client has ended its half. */
  async #pause(time: number): Promise<void> {
    if (this.server.isClosing || this.#state === "closed" || this.#endedBy === "client") return;
    if (!this.#ahead) this.#readAhead();
    this.since = Infinity; // it is not the client who keeps others waiting
    await this.#sleep(time);
    this.since = performance.now();
  }

  /** Waits until the time is over, or something wakes it. */
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
   * Says that nothing more will come, and has the rest of what the client sends read: a socket that
   * is closed with unread bytes in it resets the connection, and the answer may be lost with it.
   */
  async #finish(): Promise<void> {
    this.#enter("draining");
    await this.#sayIfUnread();
    if (this.#state !== "draining") return;
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
    if (this.#incoming.said.has(remark.code)) return;
    this.#incoming.said.add(remark.code);
    const bytes = request ?? this.#bytes.slice(0, this.#received);
    this.#emit({ type: "remark", remark, bytes });
  }

  #emit(event: EventOf<KeyServerEvent>): void {
    const { onEvent } = this.server;
    if (onEvent === undefined) return;
    const common = { connection: this.id, peer: this.#peer, time: Date.now() };
    notify(onEvent, { ...event, ...common } as KeyServerEvent);
  }
}

/** An event without what all of them have. */
type EventOf<E> = E extends ConnectionEvent ? Omit<E, keyof ConnectionEvent> : never;

/** An IPv4 address as such, also if a socket for IPv6 has it. */
function unmapped({ hostname, ...rest }: Deno.NetAddr): Deno.NetAddr {
  return { hostname: hostname.replace(/^::ffff:(?=\d+\.)/, ""), ...rest };
}
