/**
 * The options and the results of a drill.
 *
 * @module
 */

import type { KeyServerEvent } from "./events.ts";
import type { DrillRound } from "./rounds.ts";
import type { DrillCause } from "./verdicts.ts";

/**
 * Options of {@linkcode startDrill}.
 *
 * @example Usage
 * ```ts
 * import { type DrillOptions, startDrill } from "./drill.ts";
 *
 * const options: DrillOptions = { port: 0, signal: AbortSignal.timeout(100) };
 * console.log(await startDrill(options).finished); // []: no client has connected
 * ```
 */
export interface DrillOptions {
  /**
   * The client to judge:
   *
   * - The path of a module, `"client.py"` (or `.ts`, `.js`, `.mjs`): the drill calls its functions
   *   `do_key` and `do_put` (or `doKey` and `doPut`), in a new process for each round. This needs
   *   permission to run `python3`, or Deno.
   * - The words of a command, `["./client", "{port}"]`: the drill runs it once for each round. It
   *   replaces `{host}` and `{port}` with its IP address and port.
   *
   * By default, the drill runs no client: it judges any client that connects.
   */
  candidate?: string | readonly string[];
  /**
   * The IP address to listen on.
   * @default {"127.0.0.1"}
   */
  hostname?: string;
  /**
   * The TCP port to listen on; 0 picks a free one. Candidates find it in the environment variable
   * `KEY_SERVER_PORT`.
   * @default {5000}
   */
  port?: number;
  /**
   * The names of the rounds to run, in this order. `"reset"` selects each round with this name,
   * `"reset:KEY"` only the one for `do_key`, and `"reset:PUT"` only the one for `do_put`. By
   * default, the drill runs all rounds.
   */
  rounds?: readonly string[];
  /** Stops the drill, as {@linkcode Drill.stop} does. */
  signal?: AbortSignal;
  /**
   * If the drill runs no client: milliseconds after KEY within which a correct PUT must arrive.
   * @default {15_000}
   */
  timeout?: number;
  /**
   * Milliseconds within which the client must give up if the response is not complete. If a
   * candidate has not ended by then, the drill kills it.
   * @default {30_000}
   */
  patience?: number;
  /**
   * If the drill runs no client: a round ends after this many milliseconds without an event, if all
   * of its connections are closed.
   * @default {2_000}
   */
  quiet?: number;
  /**
   * Milliseconds that the fault `slow` waits before a response.
   * @default {2_000}
   */
  delay?: number;
  /**
   * Milliseconds that the server waits for a request: see `idleTimeout` of `startKeyServer()`.
   * @default {2_000, or 1_000 with a candidate}
   */
  idleTimeout?: number;
  /**
   * Whether browsers get a page that shows the rounds and the requests: see `page` of
   * `startKeyServer()`.
   * @default {false}
   */
  page?: boolean;
  /**
   * Called when the drill waits for a client to begin this round. Errors that a callback throws, or
   * rejects with, are ignored.
   */
  onWaiting?: (round: DrillRound) => void;
  /** Called when a client has begun the round. */
  onBegun?: (round: DrillRound) => void;
  /** Called when a round is over. Called again if a late event changes the verdict. */
  onResult?: (result: DrillResult) => void;
  /** Called with each event of the server. */
  onEvent?: (event: KeyServerEvent) => void;
}

/** The result of a round. */
export interface DrillResult extends DrillRound {
  /** Whether the client did what it must do. */
  passed: boolean;
  /** Why it did not pass; `null` if it did. */
  cause: DrillCause | null;
  /** The value that a module's function returned, as code; `null` if it returned nothing. */
  returned: string | null;
  /** The exception that a module's function raised, with its message; `null` if it raised none. */
  raised: string | null;
  /** What a candidate printed. After 1,048,576 characters, the middle is left out. */
  output?: string;
  /** The events of the server in this round. */
  events: KeyServerEvent[];
}

/**
 * A running drill.
 *
 * @example Usage
 * ```ts
 * import { type Drill, startDrill } from "./drill.ts";
 *
 * const drill: Drill = startDrill({ port: 0 });
 * console.log(await drill.stop()); // []: no client has connected
 * ```
 */
export interface Drill extends AsyncDisposable {
  /** The IP address and the port that the drill listens on. */
  readonly addr: Deno.NetAddr;
  /**
   * Resolves with a result for each round when all rounds are over or the drill is stopped. Rejects
   * with a {@linkcode CandidateError} if there is nothing to judge.
   */
  readonly finished: Promise<DrillResult[]>;
  /**
   * Stops the drill. It kills a candidate, whose round then gets no verdict. If the drill runs no
   * client, a client that has just closed its connection still gets a verdict. This takes as long
   * as `quiet`. With `now`, the drill stops at once.
   *
   * @param options `now`: whether to stop at once, without another verdict. By default `false`.
   * @returns The results so far.
   */
  stop(options?: { now?: boolean }): Promise<DrillResult[]>;
}
