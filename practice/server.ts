/**
 * A key server to practise with, for clients in any language. It reads every byte, explains what is
 * wrong with a request, and never leaves a client hanging.
 *
 * ```text
 * KEY /user/<user_id>/            200 and a key of 128 hex digits, new with each request
 * PUT /key/<user_id>/<key_val>/   200 if it is the key last issued to that user, 400 if not
 * ```
 *
 * The response to any other request is 400, 404 or 405, and its body says what is wrong. The server
 * reads the bytes itself, over `Deno.listen`. `Deno.serve` could not explain a request that it
 * cannot parse.
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

import type { KeyServerEvent } from "./events.ts";
import type { FaultName, FaultTarget } from "./faults.ts";
import { Server } from "./key_server.ts";

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
   * The IP address to listen on. With `"0.0.0.0"`, the whole network can reach the server.
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
   * Milliseconds, above 0, that the server waits for a request. After a response, it closes the
   * connection if no further request has begun by then. If a request is still incomplete by then,
   * the server remarks on it, and after 5 times as long it responds with 400. The same applies to a
   * new connection on which the client has sent nothing.
   * @default {2_000}
   */
  idleTimeout?: number;
  /** The fault of the responses: a name of {@linkcode FAULTS}. By default they have none. */
  fault?: FaultName;
  /**
   * Limits the fault to responses to requests with this method. By default every response has the
   * fault.
   */
  faultOn?: FaultTarget;
  /**
   * Milliseconds that the fault `slow` waits before a response.
   * @default {2_000}
   */
  delay?: number;
  /**
   * Whether browsers get a page that shows what the server has received. They find it at
   * `http://<hostname>:<port>/`, with an IP address or `localhost`. A student sees the requests from
   * the IP address of the browser. On the machine of the server, the page also has a table of all
   * users. The requests of browsers have no fault, and their events have `isBrowser`. Once a browser
   * has come, silent connections from its IP address get no response.
   * @default {false}
   */
  page?: boolean;
  /** Called for each event when it happens. Errors that it throws, or rejects with, are ignored. */
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
  /** The IP address and the port that the server listens on. */
  readonly addr: Deno.NetAddr;
  /** Resolves when the server has shut down. */
  readonly finished: Promise<void>;
  /**
   * The fault of the responses from now on. Setting an unknown name throws a `TypeError`.
   *
   * While `keep-open` or `silent` is set, the server does not close an idle connection if the last
   * response on it had a fault. While a broken fault is set, the server waits for the client to
   * close its side after such a response.
   *
   * `reset` needs connections of another kind, so the server reopens its port when this fault is
   * set or unset: see {@linkcode KeyServer.ready}. A connection from before that cannot be reset.
   * The server closes it after the next response, or in place of a response with the fault `reset`.
   * On Deno 2.5 and 2.6, which cannot reset a connection, this applies to all connections.
   */
  fault: FaultName | undefined;
  /**
   * Limits the fault, from now on, to responses to requests with this method. `undefined` stands
   * for all methods. Setting any other value throws a `TypeError`. After a response without the
   * fault, the connection closes as usual.
   */
  faultOn: FaultTarget | undefined;
  /**
   * The fault that you will set next, if you know it. If it is `reset`, new connections can be
   * reset from now on.
   */
  nextFault: FaultName | undefined;
  /**
   * Resolves when clients can connect. After `reset` was set or unset, they cannot connect for
   * about a millisecond. During this time the server sends no responses. So a client that waits for
   * each response before it connects again is not affected.
   */
  readonly ready: Promise<void>;
  /**
   * Issues a key without a KEY request. PUT must then send this key.
   *
   * @param userId The user to issue the key to.
   * @param address The IP address that PUT must come from. By default `"127.0.0.1"`.
   * @returns The key: 128 hex digits.
   */
  issueKey(userId: string, address?: string): string;
  /**
   * Sends the pending responses and shuts down. This takes less than a second, even if clients do
   * not close their connections.
   *
   * @returns {@linkcode KeyServer.finished}.
   */
  shutdown(): Promise<void>;
}

/**
 * Starts the practice server. It prints nothing: everything that it does is reported as an event.
 *
 * @param options Where to listen, and what to call.
 * @returns The running server. Stop it with `shutdown()`, or with `await using`.
 * @throws {Deno.errors.AddrInUse} If the port is in use.
 * @throws {RangeError} If `idleTimeout` or `delay` is not above 0, or `delay` is too large.
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
