/**
 * The practice server: accepts connections, runs their clock, and shuts down.
 *
 * @module
 */

import { type Conn, Connection } from "./connection.ts";
import { checkFault, checkFaultTarget, type FaultName, type FaultTarget } from "./faults.ts";
import { type Listener, MAX_RESETTABLE, ResetListener } from "./reset_listener.ts";
import type { PageRound } from "./page_data.ts";
import { IssuedKeys, newKey } from "./responses.ts";
import type { KeyServer, KeyServerOptions } from "./server.ts";
import type { Viewer } from "./viewer.ts";

const SHUTDOWN_TIME = 500; // ms that shutdown waits for pending responses
const MAX_DELAY = 2 ** 31 - 1; // ms; a longer timer fires at once

/** A running practice server. */
export class Server implements KeyServer {
  readonly addr: Deno.NetAddr;
  readonly finished: Promise<void>;
  readonly keys = new IssuedKeys();
  readonly idleTimeout: number;
  readonly delay: number;
  readonly onEvent: KeyServerOptions["onEvent"];
  readonly connections = new Set<Connection>();
  viewer: Viewer | undefined = undefined;
  isClosing = false;
  #fault: FaultName | undefined;
  #faultOn: FaultTarget | undefined;
  #nextFault: FaultName | undefined = undefined;
  #rounds: readonly PageRound[] | undefined = undefined;
  #listener: Listener;
  #change: PromiseWithResolvers<void> | undefined = undefined; // a change of listeners under way
  #count = 0;
  #clock: ReturnType<typeof setInterval> | undefined = undefined;
  #period: number; // ms between two ticks of the clock
  #lastTick = 0;
  #emptied = Promise.withResolvers<void>();
  #shutdown: Promise<void> | undefined = undefined;

  constructor(options: KeyServerOptions) {
    const { hostname = "127.0.0.1", port = 5000, signal, onEvent } = options;
    const { idleTimeout = 2_000, delay = 2_000 } = options;
    if (!(idleTimeout > 0)) {
      throw new RangeError(`idleTimeout must be above 0, not ${idleTimeout}`);
    }
    if (!(delay > 0 && delay <= MAX_DELAY)) {
      throw new RangeError(
        `delay must be above 0 and at most ${MAX_DELAY}, not ${delay}`,
      );
    }
    this.idleTimeout = idleTimeout;
    this.delay = delay;
    this.#period = Math.min(250, idleTimeout / 4);
    this.onEvent = onEvent;
    this.#fault = checkFault(options.fault);
    this.#faultOn = checkFaultTarget(options.faultOn);
    const listener = Deno.listen({ hostname, port });
    this.addr = listener.addr;
    this.#listener = listener;
    if (this.needsReset) {
      listener.close();
      this.#listener = new ResetListener(this.addr);
    }
    const shutdown = () => this.shutdown();
    signal?.addEventListener("abort", shutdown, { once: true });
    this.finished = this.#run(options.page === true).then(async () => {
      await this.#shutdown;
      signal?.removeEventListener("abort", shutdown);
    });
    if (signal?.aborted) shutdown();
  }

  get fault(): FaultName | undefined {
    return this.#fault;
  }

  set fault(name: FaultName | undefined) {
    this.#fault = checkFault(name);
    this.#changeListener();
  }

  get faultOn(): FaultTarget | undefined {
    return this.#faultOn;
  }

  set faultOn(method: FaultTarget | undefined) {
    this.#faultOn = checkFaultTarget(method);
  }

  get nextFault(): FaultName | undefined {
    return this.#nextFault;
  }

  set nextFault(name: FaultName | undefined) {
    this.#nextFault = checkFault(name);
    this.#changeListener();
  }

  get needsReset(): boolean {
    return this.#fault === "reset" || this.#nextFault === "reset";
  }

  get ready(): Promise<void> {
    return this.#change?.promise ?? Promise.resolve();
  }

  issueKey(userId: string, address = "127.0.0.1"): string {
    const key = newKey();
    this.keys.add(key, userId, address);
    return key;
  }

  /** Shows the rounds of a drill on the page. */
  showRounds(rounds: readonly PageRound[]): void {
    this.#rounds = rounds;
    if (this.viewer) this.viewer.rounds = rounds;
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
    if (this.#change) this.#change.resolve();
    else this.#listener.close();
    await pause(5); // time to read requests that have already arrived
    await this.viewer?.stop();
    for (const connection of this.connections) connection.shutdown();
    if (this.connections.size === 0) this.#emptied.resolve();
    const deadline = setTimeout(() => {
      for (const connection of this.connections) connection.close("server");
    }, SHUTDOWN_TIME);
    await this.#emptied.promise;
    clearTimeout(deadline);
    clearInterval(this.#clock);
  }

  async #run(hasPage: boolean): Promise<void> {
    if (hasPage) { // loaded only if needed; clients that connect now are accepted later
      const { Viewer } = await import("./viewer.ts");
      this.viewer = new Viewer(this.addr.hostname);
      if (this.#rounds) this.viewer.rounds = this.#rounds;
    }
    await this.#accept();
  }

  async #accept(): Promise<void> {
    let listener = this.#listener;
    for (;;) {
      const conn = await listener.accept().catch(() => undefined);
      if (conn && !this.isClosing) this.#add(conn);
      else if (conn) conn.close();
      else if (this.isClosing) return;
      else if (this.#change) await this.#listenAgain();
      // No file descriptor is free, or the client has disconnected. The next try may succeed.
      else if (listener === this.#listener) await pause(this.#makeRoom() ? 1 : 50);
      if (conn === undefined) listener = this.#listener;
    }
  }

  /** Replaces the listener, if the other kind is needed. */
  #changeListener(): void {
    const isResetListener = this.#listener instanceof ResetListener;
    if (this.needsReset === isResetListener || this.#change || this.isClosing) return;
    this.#listener.close();
    // The port of Deno's listener is free only after its accept() has rejected.
    if (!isResetListener || !this.#listen()) this.#change = Promise.withResolvers();
  }

  /** Returns `false` if the port is not free yet. */
  #listen(): boolean {
    const { hostname, port } = this.addr;
    try {
      this.#listener = this.needsReset
        ? new ResetListener(this.addr)
        : Deno.listen({ hostname, port });
      return true;
    } catch {
      return false;
    }
  }

  async #listenAgain(): Promise<void> {
    for (let tries = 1; !this.isClosing && !this.#listen(); tries++) {
      await pause(tries < 20 || this.#makeRoom() ? 1 : 50); // perhaps no file descriptor is free
    }
    this.#change?.resolve();
    this.#change = undefined;
    this.#changeListener(); // a fault may have been set in the meantime
  }

  #add(conn: Conn): void {
    const connection = new Connection(this, conn, ++this.#count);
    this.connections.add(connection);
    const isCrowded = this.connections.size - (this.viewer?.size ?? 0) > MAX_RESETTABLE;
    if (isCrowded && this.#listener instanceof ResetListener) this.#makeRoom();
    // All connections share one clock: a timer for each would have to be reset for each request.
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
    // After a stall, unread data may be waiting.
    const isLate = now - this.#lastTick > 2 * this.#period;
    this.#lastTick = isLate ? Infinity : now; // so that the next tick does not count as late
    if (isLate) return;
    for (const connection of this.connections) connection.tick(now);
    if (this.connections.size > 0) return;
    clearInterval(this.#clock);
    this.#clock = undefined;
  }

  /** Closes the connection that has been idle for longest, to free a descriptor. */
  #makeRoom(): boolean {
    const now = performance.now();
    const candidates = [...this.connections].filter((connection) => connection.isIdle(now));
    // Pages come last, because they would connect again.
    const order = (connection: Connection) => Number(connection.isStreaming);
    candidates.sort((a, b) => order(a) - order(b) || a.since - b.since);
    candidates[0]?.giveUp();
    return candidates.length > 0;
  }
}

function pause(time: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, time));
}
