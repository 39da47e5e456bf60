/**
 * One client of the key server, from its first byte to its close.
 *
 * @module
 */

import type { ConnectionEvent, KeyServerEvent } from "./events.ts";
import { type Delivery, FAULT_TABLE, type FaultName, FAULTS } from "./faults.ts";
import { type Remark, remarkOf } from "./remark.ts";
import { checkRequest } from "./check.ts";
import { IncomingRequest, isRequestStart } from "./request.ts";
import {
  concat,
  CONTINUE,
  CR,
  decide,
  encode,
  ENCODER,
  type IssuedKeys,
  LF,
  prepare,
} from "./responses.ts";

const UNFINISHED_FACTOR = 15; // idle timeouts until a request that is not whole gets a 400
const MAX_DRAINED = 1_048_576; // bytes that are read after the last answer
const HALF_CLOSE_TIME = 200; // ms within which nobody gives up waiting for an answer

/** The server that a connection is to. */
export interface Host {
  readonly fault: FaultName | undefined;
  readonly keys: IssuedKeys;
  readonly idleTimeout: number;
  readonly isClosing: boolean;
  readonly onEvent: ((event: KeyServerEvent) => void) | undefined;
  remove(connection: Connection): void;
}

/** What the server is doing for a client. */
type State =
  | "reading" // waits for a request, the first one or the rest of one
  | "idle" // waits for a further one, of which nothing has come
  | "answering"
  | "draining" // has said that nothing more will come, and reads on so that nothing is reset
  | "closed";

export class Connection {
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

  constructor(readonly server: Host, readonly conn: Conn, readonly id: number) {
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
    if (this.#lastFault === "reset") this.conn.reset!();
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

/** A connection as the server needs it; some can be reset. */
export type Conn =
  & Pick<
    Deno.TcpConn,
    "read" | "write" | "closeWrite" | "close" | "setNoDelay" | "remoteAddr"
  >
  & { reset?(): void };

/** An event without what all of them have. */
type EventOf<E> = E extends ConnectionEvent ? Omit<E, keyof ConnectionEvent> : never;
