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

import { type Conn, Connection } from "./connection.ts";
import type { KeyServerEvent } from "./events.ts";
import { checkFault, checkFaultTarget, type FaultName, type FaultTarget } from "./faults.ts";
import { type Listener, MAX_RESETTABLE, ResetListener } from "./reset_listener.ts";
import { IssuedKeys, newKey } from "./responses.ts";

export type {
  AnswerEvent,
  ClosedEvent,
  ConnectedEvent,
  ConnectionEvent,
  KeyServerEvent,
  RemarkEvent,
  RequestEvent,
} from "./events.ts";
export { type Fault, type FaultName, FAULTS, type FaultTarget } from "./faults.ts";
export type { Remark, Severity } from "./remark.ts";
export type { RemarkCode } from "./rules.ts";

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
   * and a request that is not whole by then is remarked on. If it is not after 5 times as long, or
   * if none has come at all, the answer is 400.
   * @default {2_000}
   */
  idleTimeout?: number;
  /** What is wrong with the responses: a name of {@linkcode FAULTS}. By default nothing. */
  fault?: FaultName;
  /**
   * The method of the requests whose responses have the fault. All other responses are sound. By
   * default every response has the fault.
   */
  faultOn?: FaultTarget;
  /**
   * Milliseconds that the fault `slow` waits before a response.
   * @default {2_000}
   */
  delay?: number;
  /** Called with all that happens, as it happens. What it throws, or rejects with, is dropped. */
  onEvent?: (event: KeyServerEvent) => void;
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
   * What is wrong with the responses from now on; an unknown name is a `TypeError`. As long as they
   * are set, `keep-open` and `silent` keep a connection open if its last response had a fault. So
   * does any broken fault, after its end, until the client closes.
   *
   * `reset` needs connections of another kind, so the server listens anew when it is set, and again
   * when it is unset: see {@linkcode KeyServer.ready}. A connection that was made before that cannot
   * be reset: it closes after its next response, and if that has the fault `reset`, without a byte. So does any connection on
   * Deno 2.5 and 2.6, which cannot reset one.
   */
  fault: FaultName | undefined;
  /**
   * The method of the requests whose responses have the fault from now on; `undefined` for every
   * response. Any other value is a `TypeError`. A connection whose last response was sound because
   * of it closes as one without a fault does.
   */
  faultOn: FaultTarget | undefined;
  /**
   * The fault that will be set next, if it is known. If it is `reset`, new connections can be reset
   * from now on.
   */
  nextFault: FaultName | undefined;
  /**
   * Resolves when clients can connect. They always can, but for about a millisecond after `reset` was
   * set or unset. Until then the server holds its responses back, so a client that waits for its
   * response notices nothing.
   */
  readonly ready: Promise<void>;
  /**
   * Issues a key without a request, as KEY does: it is the one that PUT must bring.
   *
   * @param userId The user to issue it to.
   * @param address The IP address that PUT must come from. By default `"127.0.0.1"`.
   * @returns The key: 128 hex digits.
   */
  issueKey(userId: string, address?: string): string;
  /**
   * Sends the responses that are in flight and ends, within a second, whatever clients do.
   *
   * @returns {@linkcode KeyServer.finished}.
   */
  shutdown(): Promise<void>;
}

/**
 * Starts the practice server. It prints nothing, all that can be seen of it is an event.
 *
 * @param options Where to listen, and what to call.
 * @returns The running server; `shutdown()`, or the end of an `await using` block, stops it.
 * @throws {Deno.errors.AddrInUse} If another server listens there.
 * @throws {RangeError} If `idleTimeout` or `delay` is not above 0.
 * @throws {TypeError} If no fault has that name, or `faultOn` is neither `"KEY"` nor `"PUT"`.
 *
 * @example Usage
 * ```ts
 * import { startKeyServer } from "./server.ts";
 *
 * await using server = startKeyServer({
 *   port: 0,
 *   onEvent(event) {
 *     if (event.type === "remark") console.log(event.remark.fact);
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

const SHUTDOWN_TIME = 500; // ms that shutdown waits for responses in flight
const MAX_DELAY = 2 ** 31 - 1; // ms; with more a timer fires at once

class Server implements KeyServer {
  readonly addr: Deno.NetAddr;
  readonly finished: Promise<void>;
  readonly keys = new IssuedKeys();
  readonly idleTimeout: number;
  readonly delay: number;
  readonly onEvent: KeyServerOptions["onEvent"];
  readonly connections = new Set<Connection>();
  isClosing = false;
  #fault: FaultName | undefined;
  #faultOn: FaultTarget | undefined;
  #nextFault: FaultName | undefined = undefined;
  #listener: Listener;
  #change: PromiseWithResolvers<void> | undefined = undefined; // to a listener of the other kind
  #count = 0;
  #clock: ReturnType<typeof setInterval> | undefined = undefined;
  #period: number; // ms between two looks at the clock
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
    await pause(5); // what has come is read meanwhile
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
    let listener = this.#listener;
    for (;;) {
      const conn = await listener.accept().catch(() => undefined);
      if (conn && !this.isClosing) this.#add(conn);
      else if (conn) conn.close();
      else if (this.isClosing) return;
      else if (this.#change) await this.#listenAgain();
      // File descriptors are used up, or the client was gone at once. The next one may succeed.
      else if (listener === this.#listener) await pause(this.#makeRoom() ? 1 : 50);
      if (conn === undefined) listener = this.#listener;
    }
  }

  /** Listens with the other kind of listener, if that is needed. */
  #changeListener(): void {
    const isResetListener = this.#listener instanceof ResetListener;
    if (this.needsReset === isResetListener || this.#change || this.isClosing) return;
    this.#listener.close();
    // The port of Deno's listener is not free before its accept() has rejected.
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
      await pause(tries < 20 || this.#makeRoom() ? 1 : 50); // file descriptors may be used up
    }
    this.#change?.resolve();
    this.#change = undefined;
    this.#changeListener(); // if a fault was set meanwhile
  }

  #add(conn: Conn): void {
    const connection = new Connection(this, conn, ++this.#count);
    this.connections.add(connection);
    const isCrowded = this.connections.size > MAX_RESETTABLE;
    if (isCrowded && this.#listener instanceof ResetListener) this.#makeRoom();
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

function pause(time: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, time));
}
