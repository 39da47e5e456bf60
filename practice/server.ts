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
import { checkFault, type FaultName } from "./faults.ts";
import { type Listener, MAX_RESETTABLE, ResettingListener } from "./reset_listener.ts";
import { IssuedKeys } from "./responses.ts";

export type {
  AnswerEvent,
  ClosedEvent,
  ConnectedEvent,
  ConnectionEvent,
  KeyServerEvent,
  RemarkEvent,
  RequestEvent,
} from "./events.ts";
export { type Fault, type FaultName, FAULTS } from "./faults.ts";
export type { Remark, Severity } from "./remark.ts";

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

const SHUTDOWN_TIME = 500; // ms that shutdown waits for answers in flight

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
