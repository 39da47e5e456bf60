/**
 * The drill: a key server with one fault after the other, and a verdict on whatever client comes.
 *
 * The client may be written in any language, as it is judged by what goes over the wire alone. It
 * holds the whole conversation once for each fault, with a connection of its own for each:
 *
 * - Where the answers are right but delivered oddly, the key must come back by PUT within 15 seconds.
 * - Where no key is to be had, no PUT may follow, and the client must give up: it must end its
 *   connection within 30 seconds. And it must have brought a right key back in an earlier drill, as
 *   who never sends a PUT has shown nothing.
 *
 * A drill begins with a KEY. It ends with its PUT, 2 seconds after the last connection has ended, or
 * with the next KEY; where there is a key, only with one over another connection. A PUT that comes
 * later still counts, up to the next KEY.
 *
 * @example Usage
 * ```ts
 * import { startDrill } from "./drill.ts";
 * import { doKey, doPut } from "../key_client.ts";
 *
 * await using drill = startDrill({ port: 0, delay: 100, quiet: 100 });
 * const options = { port: drill.addr.port };
 * const key = await doKey(options); // the first fault: every response comes late
 * if (key) await doPut(key, options);
 * const [{ fault, passed }] = await drill.stop();
 * console.log(fault, passed); // slow true
 * ```
 *
 * @module
 */

import {
  type AnswerEvent,
  type ClosedEvent,
  type FaultName,
  FAULTS,
  type KeyServer,
  type KeyServerEvent,
  type RequestEvent,
  startKeyServer,
} from "./server.ts";
import { checkFault } from "./faults.ts";
import { EventBuffer, isFollowing, isProbe, isPut, quote } from "./drill_events.ts";
import { notify } from "./notify.ts";
import { factOf, type Remark } from "./remark.ts";
import { requestLine } from "./text.ts";

export type {
  AnswerEvent,
  ClosedEvent,
  ConnectedEvent,
  ConnectionEvent,
  FaultName,
  KeyServerEvent,
  Remark,
  RemarkCode,
  RemarkEvent,
  RequestEvent,
  Severity,
} from "./server.ts";

/**
 * Options of {@linkcode startDrill}.
 *
 * @example Usage
 * ```ts
 * import { type DrillOptions, startDrill } from "./drill.ts";
 *
 * const options: DrillOptions = { port: 0, signal: AbortSignal.timeout(100) };
 * console.log(await startDrill(options).finished); // []: nobody came
 * ```
 */
export interface DrillOptions {
  /**
   * The address to listen on.
   * @default {"127.0.0.1"}
   */
  hostname?: string;
  /**
   * The TCP port to listen on; 0 picks a free one.
   * @default {5000}
   */
  port?: number;
  /**
   * The faults to go through, in this order.
   * @default {Object.keys(FAULTS)}
   */
  faults?: FaultName[];
  /** Stops the drill, as {@linkcode Drill.stop} does. */
  signal?: AbortSignal;
  /**
   * Milliseconds from the KEY within which a right key must be back.
   * @default {15_000}
   */
  timeout?: number;
  /**
   * Milliseconds from the KEY within which the client must give up where there is no key.
   * @default {30_000}
   */
  patience?: number;
  /**
   * Milliseconds without an event after which a drill is over whose connections have ended.
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
   * @default {2_000}
   */
  idleTimeout?: number;
  /**
   * Called when the drill waits for a client to try a fault on. What this callback, or another one,
   * throws or rejects with is dropped.
   */
  onWaiting?: (fault: FaultName) => void;
  /** Called when a client has come. */
  onBegun?: (fault: FaultName) => void;
  /** Called when a round is over, and again with a new result if a late PUT changes the verdict. */
  onResult?: (result: DrillResult) => void;
  /** Called with all that happens on the wire. */
  onEvent?: (event: KeyServerEvent) => void;
}

/** What became of a client that met a fault. */
export interface DrillResult {
  /** The fault. */
  fault: FaultName;
  /** Whether the client did what a good one does. */
  passed: boolean;
  /** Why it did not pass; `null` if it did. */
  cause: DrillCause | null;
  /** What was to be seen on the wire, from the KEY to the verdict. */
  events: KeyServerEvent[];
}

/** Why a client did not pass. */
export interface DrillCause {
  /** What it did. */
  rationale: string;
  /** What to do about it. */
  help: string;
}

/**
 * A running drill.
 *
 * @example Usage
 * ```ts
 * import { type Drill, startDrill } from "./drill.ts";
 *
 * const drill: Drill = startDrill({ port: 0 });
 * console.log(await drill.stop()); // []: nobody came
 * ```
 */
export interface Drill extends AsyncDisposable {
  /** Where it listens: the IP address and the port. */
  readonly addr: Deno.NetAddr;
  /** Resolves with a result for each fault that was tried, when all were, or when it is stopped. */
  readonly finished: Promise<DrillResult[]>;
  /**
   * Stops the drill. A client that has just closed its connection still gets its verdict: this takes
   * as long as `quiet`, unless the drill is to stop `now`.
   *
   * @param options Whether to stop at once, without a further verdict. By default not.
   * @returns The results so far.
   */
  stop(options?: { now?: boolean }): Promise<DrillResult[]>;
}

/**
 * Starts the drill. It prints nothing.
 *
 * @param options Where to listen, and what to call.
 * @returns The running drill.
 * @throws {Deno.errors.AddrInUse} If another server listens there.
 * @throws {RangeError} If a time is not above 0, or there are no faults.
 * @throws {TypeError} If no fault has one of the names.
 *
 * @example Usage
 * ```ts
 * import { startDrill } from "./drill.ts";
 * import { doKey, doPut } from "../key_client.ts";
 *
 * await using drill = startDrill({
 *   port: 0,
 *   delay: 100,
 *   onResult: ({ fault, passed, cause }) => console.log(fault, passed, cause?.rationale),
 * });
 * const options = { port: drill.addr.port };
 * for (let round = 0; round < 3; round++) { // 20 for all faults
 *   const key = await doKey(options);
 *   if (key) await doPut(key, options);
 * }
 * ```
 */
export function startDrill(options: DrillOptions = {}): Drill {
  return new Examiner(options);
}

const NO_KEY_REGEXP = /\/(?:None|null|undefined)\/? |\/\/ /; // where a key should be
const FIRST_HELP =
  "this has nothing to do with the fault: try your client with `--serve` first, which shows each request with what is wrong with it";
const NONE_HELP = "send PUT only if there is a key: where there is none, the conversation is over";
const LATE_HELP =
  "a connection that has ended carries nothing any more, also if `send()` raises no error: make a new one for the PUT";

/** A drill that is under way. */
interface Trial {
  fault: FaultName;
  userId: string | undefined;
  /** The connection that its KEY came over. */
  connection: number;
  /** All that have had a part in it and are open. */
  open: Set<number>;
  /** When the KEY came: by the clock, and in milliseconds as of `Date.now()`. */
  start: number;
  time: number;
  /** When something happened last, by the clock. */
  last: number;
  /** What is wrong with a request that is not whole. */
  hint: string;
  /** Whether a PUT came over a connection that had ended. */
  hasLatePut: boolean;
  /** Whether it has ended because no PUT came. */
  isMissing: boolean;
  /** Whether the answer was nothing at all. */
  isBlank: boolean;
}

class Examiner implements Drill {
  readonly addr: Deno.NetAddr;
  readonly finished: Promise<DrillResult[]>;
  #options: DrillOptions;
  #faults: FaultName[];
  #times: { timeout: number; patience: number; quiet: number };
  #server: KeyServer;
  #results: DrillResult[] = []; // none of them is ever changed
  #trial: Trial | undefined = undefined;
  #last: Trial | undefined = undefined; // the one before
  #events = new EventBuffer(); // since the last verdict
  #isProven = false; // a right key has come back
  /**
   * For how many milliseconds this process has been awake: on a machine that is busy or asleep, so
   * that what has come is not read, no client fails for it.
   */
  #clock = 0;
  #stopped: number | undefined = undefined; // when, by the clock
  #isOver = false;
  #ended = Promise.withResolvers<void>();

  constructor(options: DrillOptions) {
    const { hostname, port, signal, timeout = 15_000, patience = 30_000, quiet = 2_000 } = options;
    this.#options = options;
    this.#faults = options.faults ?? Object.keys(FAULTS) as FaultName[];
    this.#times = { timeout, patience, quiet };
    if (this.#faults.length === 0) throw new RangeError("faults must have at least one name");
    for (const name of this.#faults) checkFault(name);
    for (const [name, time] of Object.entries(this.#times)) {
      if (!(time > 0)) throw new RangeError(`${name} must be above 0, not ${time}`);
    }
    const onEvent = (event: KeyServerEvent) => this.#hear(event);
    const { delay, idleTimeout } = options;
    const [fault, nextFault] = this.#faults;
    this.#server = startKeyServer({ hostname, port, fault, delay, idleTimeout, onEvent });
    this.#server.nextFault = nextFault;
    this.addr = this.#server.addr;
    const period = Math.min(50, quiet / 4);
    const timer = setInterval(() => this.#tick(period), period);
    const stop = () => this.stop();
    signal?.addEventListener("abort", stop, { once: true });
    this.finished = this.#ended.promise.then(async () => {
      clearInterval(timer);
      signal?.removeEventListener("abort", stop);
      await this.#server.shutdown();
      return this.#results;
    });
    queueMicrotask(() => notify(options.onWaiting, this.#faults[0])); // when we have returned
    if (signal?.aborted) stop();
  }

  stop({ now = false } = {}): Promise<DrillResult[]> {
    if (now || !this.#trial) this.#finish();
    this.#stopped ??= this.#clock;
    return this.finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #hear(event: KeyServerEvent): void {
    notify(this.#options.onEvent, event);
    if (this.#isOver) return;
    const { connection } = event;
    if (event.type === "request" && this.#isNext(event)) { // now: its answer has the next fault
      const isSame = connection === this.#trial!.connection;
      const events = this.#events.all;
      const isTheirs = (event: KeyServerEvent) => !isSame && event.connection === connection;
      this.#events.all = events.filter((event) => !isTheirs(event));
      this.#endWithoutPut(true);
      this.#events.all = events.filter(isTheirs);
    }
    this.#events.add(event, this.#trial !== undefined); // a KEY, which came first, tells the most
    const trial = this.#trial;
    if (trial) { // others may look meanwhile whether there is a server
      const isClient = event.type === "request" && event.bytes.length > 0 && !isProbe(event) ||
        event.type === "remark" && isPut(event.bytes);
      if (isClient) trial.open.add(connection);
      if (trial.open.has(connection)) trial.last = this.#clock;
      if (event.type === "closed") trial.open.delete(connection);
    }
    switch (event.type) {
      case "remark":
        if (event.remark.code === "late-request") this.#hearLate(event.bytes);
        else if (trial?.open.has(connection) && event.remark.severity === "error") {
          trial.hint = event.remark.message;
        }
        break;
      case "answer":
        if (event.status !== 100 && event.request.length > 0) this.#hearRequest(event);
    }
  }

  /** Tells whether a further drill begins with this request, where one is under way. */
  #isNext({ method, connection, bytes }: RequestEvent): boolean {
    const trial = this.#trial;
    if (trial === undefined || method !== "KEY" || isFollowing(trial.fault, bytes)) return false;
    return connection !== trial.connection || FAULTS[trial.fault].isBroken;
  }

  #hearRequest(event: AnswerEvent): void {
    const { method, request, error, userId } = event;
    const trial = this.#trial;
    if (trial && isFollowing(trial.fault, request)) return;
    if (isProbe(event)) return;
    if (method !== "KEY" && (trial || this.#last && isPut(request))) {
      return this.#hearPut(request, error, userId);
    }
    if (!trial) this.#begin(event);
    else trial.userId = userId;
    if (method !== "KEY") {
      const rationale = `the conversation begins with KEY, but this came: ${quote(request)}`;
      this.#end({ rationale, help: FIRST_HELP });
    } else if (error) {
      this.#end({ rationale: `the KEY was refused: ${error.message}`, help: FIRST_HELP });
    }
  }

  #begin({ connection, userId, time, bytes }: AnswerEvent): void {
    this.#events.all = this.#events.all.filter((event) => event.connection === connection);
    const now = this.#clock;
    this.#trial = {
      fault: this.#faults[this.#results.length],
      userId,
      connection,
      open: new Set([connection]),
      start: now,
      last: now,
      time,
      hint: "",
      hasLatePut: false,
      isMissing: false,
      isBlank: bytes.length === 0,
    };
    notify(this.#options.onBegun, this.#trial.fault);
  }

  /** A request over a connection that has ended: it may be sent once more over another one. */
  #hearLate(request: Uint8Array): void {
    if (!isPut(request)) return;
    const trial = this.#trial;
    if (trial && !FAULTS[trial.fault].isBroken) trial.hasLatePut = true;
    else this.#hearPut(request);
  }

  /** Judges a PUT, or what stands in its place. */
  #hearPut(request: Uint8Array, error?: Remark, userId?: string): void {
    const trial = this.#trial ?? this.#last;
    if (!trial) return;
    const isLate = trial === this.#last;
    const { isBroken } = FAULTS[trial.fault];
    let cause: DrillCause | null = null;
    if (isBroken && !isPut(request)) return;
    if (isBroken) {
      const rationale = `there was no key, and yet this came: ${quote(request)}`;
      const isNone = trial.isBlank || NO_KEY_REGEXP.test(requestLine(request));
      cause = { rationale, help: isNone ? NONE_HELP : FAULTS[trial.fault].help };
    } else if (error) {
      const rationale = `${quote(request)} brought no right key back: ${factOf(error)}`;
      cause = { rationale, help: this.#isProven ? FAULTS[trial.fault].help : FIRST_HELP };
    } else if (userId !== trial.userId) {
      const rationale = `the key was asked for \`${trial.userId}\`, and came from \`${userId}\``;
      cause = { rationale, help: "send the same user id in KEY and PUT" };
    } else this.#isProven = true;
    if (isLate) this.#amend(trial, cause);
    else this.#end(cause);
  }

  /** A PUT that comes late, but before the next KEY, makes good what was missing, or breaks a rule. */
  #amend({ fault, start, isMissing }: Trial, cause: DrillCause | null): void {
    const result = this.#results.at(-1)!;
    const isInTime = this.#clock - start < this.#times.timeout;
    const isGood = isMissing && !result.passed && cause === null && isInTime;
    if (FAULTS[fault].isBroken ? !result.passed : !isGood) return;
    const events = [...result.events, ...this.#events.all];
    const amended = { fault, passed: cause === null, cause, events };
    this.#results[this.#results.length - 1] = amended;
    notify(this.#options.onResult, amended);
  }

  #tick(period: number): void {
    this.#clock += period;
    const trial = this.#trial;
    if (!trial) return;
    const { timeout, patience, quiet } = this.#times;
    const { isBroken, help } = FAULTS[trial.fault];
    const isQuiet = trial.open.size === 0 && this.#clock - trial.last >= quiet;
    const isLong = this.#clock - trial.start >= (isBroken ? patience : timeout);
    if (isLong && isBroken) {
      const rationale = `your client has not given up: it still holds its connection after ${
        patience / 1000
      } s`;
      this.#end({ rationale, help });
    } else if (isLong || isQuiet) this.#endWithoutPut();
    else if (trial.open.size > 0 && this.#clock - (this.#stopped ?? Infinity) >= quiet) {
      this.#finish(); // without a verdict
    }
  }

  #endWithoutPut(isNext = false): void {
    const { fault, connection, time, hint, hasLatePut } = this.#trial!;
    const { isBroken, help } = FAULTS[fault];
    if (isBroken && this.#isProven) return this.#end(null);
    if (isBroken) {
      const rationale =
        "not counted: your client has brought no right key back so far, so that no PUT came here proves nothing";
      return this.#end({ rationale, help: FIRST_HELP });
    }
    this.#trial!.isMissing = true;
    if (hasLatePut) {
      return this.#end({
        rationale: "the PUT came over a connection that had ended",
        help: LATE_HELP,
      });
    }
    const closed = this.#events.all.find((event): event is ClosedEvent =>
      event.type === "closed" && event.connection === connection
    );
    const seconds = (((closed?.time ?? Date.now()) - time) / 1000).toFixed(2);
    const fate = closed?.by === "client"
      ? `: your client ended the connection ${seconds} s after its KEY`
      : closed
      ? `: the server ended the connection ${seconds} s after the KEY`
      : isNext
      ? ` before the next KEY, ${seconds} s later`
      : `: your client was still connected ${seconds} s after its KEY`;
    const rationale = `no PUT came${fate}${hint && `; a request is not whole: ${hint}`}`;
    const isFirst = this.#results.length === 0;
    this.#end({ rationale, help: this.#isProven || isFirst ? help : FIRST_HELP });
  }

  #end(cause: DrillCause | null): void {
    const { fault } = this.#trial!;
    const result = { fault, passed: cause === null, cause, events: this.#events.all };
    this.#results.push(result);
    this.#last = this.#trial;
    this.#trial = undefined;
    this.#events.all = [];
    notify(this.#options.onResult, result);
    const [next, afterNext] = this.#faults.slice(this.#results.length);
    if (next === undefined || this.#stopped !== undefined) return this.#finish();
    this.#server.fault = next;
    this.#server.nextFault = afterNext; // a connection of this round may meet it
    notify(this.#options.onWaiting, next);
  }

  #finish(): void {
    this.#isOver = true;
    this.#ended.resolve();
  }
}
