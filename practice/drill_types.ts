/**
 * What a drill is started with, and what comes of it.
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
 * console.log(await startDrill(options).finished); // []: no client has come
 * ```
 */
export interface DrillOptions {
  /**
   * The client that is judged:
   *
   * - The path of a module, `"client.py"` (or `.ts`, `.js`, `.mjs`): its functions `do_key` and
   *   `do_put` (or `doKey` and `doPut`) are called, in a process of its own for each round. This
   *   needs the permission to run `python3`, or Deno.
   * - The words of a command, `["./client", "{port}"]`: it is run once for each round. `{host}` and
   *   `{port}` stand for the address of the drill.
   *
   * By default the drill runs nothing: it judges whatever client connects.
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
   * The names of the rounds, in this order. `"reset"` is each round with this name, `"reset:KEY"`
   * and `"reset:PUT"` only that of `do_key` or `do_put`. By default all of them.
   */
  rounds?: readonly string[];
  /** Stops the drill, as {@linkcode Drill.stop} does. */
  signal?: AbortSignal;
  /**
   * Milliseconds from KEY within which a correct PUT must come, if the drill runs nothing.
   * @default {15_000}
   */
  timeout?: number;
  /**
   * Milliseconds within which the client must give up if there is no whole response. A candidate
   * that has not ended by then is killed.
   * @default {30_000}
   */
  patience?: number;
  /**
   * Milliseconds without an event after which a round is over if all of its connections are closed
   * and the drill runs nothing.
   * @default {2_000}
   */
  quiet?: number;
  /**
   * Milliseconds that the fault `slow` waits before a response.
   * @default {2_000}
   */
  delay?: number;
  /**
   * Milliseconds without a byte after which a connection counts as idle, as for `startKeyServer()`.
   * @default {2_000, or 1_000 with a candidate}
   */
  idleTimeout?: number;
  /**
   * Called when the drill waits for a client to begin this round. What this callback, or another
   * one, throws or rejects with is dropped.
   */
  onWaiting?: (round: DrillRound) => void;
  /** Called when a client has begun the round. */
  onBegun?: (round: DrillRound) => void;
  /** Called when a round is over, and again with a new result if a late PUT changes the verdict. */
  onResult?: (result: DrillResult) => void;
  /** Called with all that happens on the wire. */
  onEvent?: (event: KeyServerEvent) => void;
}

/** What came of a round. */
export interface DrillResult extends DrillRound {
  /** Whether the client did what it must. */
  passed: boolean;
  /** Why it did not pass; `null` if it did. */
  cause: DrillCause | null;
  /** What a module's function returned, as its language writes it; `null` if it returned nothing. */
  returned: string | null;
  /** What a module's function raised: type and message; `null` if it raised nothing. */
  raised: string | null;
  /** What a candidate printed, at most the last 1,048,576 characters. */
  output?: string;
  /** What happened on the wire. */
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
 * console.log(await drill.stop()); // []: no client has come
 * ```
 */
export interface Drill extends AsyncDisposable {
  /** Where it listens: the IP address and the port. */
  readonly addr: Deno.NetAddr;
  /**
   * Resolves with a result for each round, when all rounds are over or the drill is stopped. Rejects
   * with a {@linkcode CandidateError} if there is nothing to judge.
   */
  readonly finished: Promise<DrillResult[]>;
  /**
   * Stops the drill. A candidate is killed, and its round has no verdict. If the drill runs nothing,
   * a client that has just closed its connection still gets its verdict: this takes as long as
   * `quiet`, unless the drill is to stop `now`.
   *
   * @param options Whether to stop at once, without a further verdict. By default not.
   * @returns The results so far.
   */
  stop(options?: { now?: boolean }): Promise<DrillResult[]>;
}
