/**
 * The drill: a key server with one fault after the other, and a verdict on whatever client comes.
 *
 * The client may be written in any language, as it is judged by what goes over the wire alone. It
 * holds the whole conversation once for each fault, with a connection of its own for each:
 *
 * - Where the answers are right but delivered oddly, the key must come back by PUT within 15 seconds.
 * - Where no key is to be had, no PUT may follow, and the client must give up within 30 seconds; and
 *   it must have sent a right key in an earlier drill, as who never sends a PUT has shown nothing.
 *
 * A drill begins with a KEY. It ends with its PUT, 2 seconds after the last connection has ended, or
 * with the next KEY on another connection. A PUT that comes later still counts, up to the next KEY.
 *
 * @example Usage
 * ```ts
 * import { startDrill } from "./drill.ts";
 * import { doKey, doPut } from "./key_client.ts";
 *
 * await using drill = startDrill({ port: 0 });
 * const options = { port: drill.addr.port };
 * const key = await doKey(options); // the first fault: every answer comes 2 s late
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
} from "./key_server.ts";
import { type Remark, requestLine } from "./request_check.ts";

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
  /** Called when the drill waits for a client to try a fault on. */
  onWaiting?: (fault: FaultName) => void;
  /** Called when a drill is over, and again if a late PUT changes the verdict. */
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
  /** Milliseconds from the KEY to the verdict. */
  time: number;
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
  /** Where it listens. */
  readonly addr: Deno.NetAddr;
  /** Resolves with a result for each fault that was tried, when all were, or when it is stopped. */
  readonly finished: Promise<DrillResult[]>;
  /** Stops it; a client that has just ended its connection still gets its verdict. */
  stop(): Promise<DrillResult[]>;
}

/**
 * Starts the drill. It prints nothing.
 *
 * @param options Where to listen, and what to call.
 * @returns The running drill.
 * @throws {Deno.errors.AddrInUse} If another server listens there.
 * @throws {RangeError} If a time is not above 0, or there are no faults.
 * @throws {TypeError} If there is no fault of a name.
 *
 * @example Usage
 * ```ts
 * import { startDrill } from "./drill.ts";
 * import { doKey, doPut } from "./key_client.ts";
 *
 * await using drill = startDrill({
 *   port: 0,
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

const MAX_EVENTS = 1000; // that a result has
const UNPROVEN = "no PUT came, but none has brought a right key in any drill before";
const UNPROVEN_HELP =
  "bring a right key back in a drill where there is one: until then it is not known whether your client sends any PUT at all";
const REFUSED_HELP =
  "mend the request first: the practice server (`--serve`) shows what is wrong with it";

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
}

class Examiner implements Drill {
  readonly addr: Deno.NetAddr;
  readonly finished: Promise<DrillResult[]>;
  #options: DrillOptions;
  #faults: FaultName[];
  #times: { timeout: number; patience: number; quiet: number };
  #server: KeyServer;
  #results: DrillResult[] = [];
  #trial: Trial | undefined = undefined;
  #events: KeyServerEvent[] = []; // since the last verdict
  #isProven = false; // a right key has come back
  /**
   * For how many milliseconds this process has been awake: on a machine that is busy or asleep, so
   * that what has come is not read, no client fails for it.
   */
  #clock = 0;
  #stopped: number | undefined = undefined; // when, by the clock
  #isOver = Promise.withResolvers<void>();

  constructor(options: DrillOptions) {
    const { hostname, port, signal, timeout = 15_000, patience = 30_000, quiet = 2_000 } = options;
    this.#options = options;
    this.#faults = options.faults ?? Object.keys(FAULTS) as FaultName[];
    this.#times = { timeout, patience, quiet };
    if (this.#faults.length === 0) throw new RangeError("Cannot use faults: there are none");
    for (const name of this.#faults) {
      if (!Object.hasOwn(FAULTS, name)) throw new TypeError(`Cannot use fault "${name}"`);
    }
    for (const [name, time] of Object.entries(this.#times)) {
      if (!(time > 0)) throw new RangeError(`Cannot use ${name} ${time}`);
    }
    const onEvent = (event: KeyServerEvent) => this.#hear(event);
    const fault = this.#faults.find((name) => name === "reset"); // which can be set only then
    this.#server = startKeyServer({ hostname, port, fault, onEvent });
    this.#server.fault = this.#faults[0];
    this.addr = this.#server.addr;
    const period = Math.min(50, quiet / 4);
    const timer = setInterval(() => this.#tick(period), period);
    const stop = () => this.stop();
    signal?.addEventListener("abort", stop, { once: true });
    this.finished = this.#isOver.promise.then(async () => {
      clearInterval(timer);
      signal?.removeEventListener("abort", stop);
      await this.#server.shutdown();
      return this.#results;
    });
    queueMicrotask(() => this.#call(options.onWaiting, this.#faults[0])); // when we have returned
    if (signal?.aborted) stop();
  }

  stop(): Promise<DrillResult[]> {
    if (this.#stopped !== undefined || !this.#trial) this.#isOver.resolve();
    this.#stopped ??= this.#clock;
    return this.finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #hear(event: KeyServerEvent): void {
    const { connection } = event;
    if (event.type === "request" && this.#isNext(event)) { // now: its answer has the next fault
      const before = Map.groupBy(this.#events, (event) => event.connection === connection);
      this.#events = before.get(false) ?? [];
      this.#endWithoutPut(true);
      this.#events = before.get(true) ?? [];
    }
    if (this.#events.push(event) > MAX_EVENTS) this.#events.shift();
    const trial = this.#trial;
    if (trial) {
      trial.last = this.#clock;
      if (event.type === "closed") trial.open.delete(connection);
      else trial.open.add(connection);
    }
    switch (event.type) {
      case "remark":
        if (event.remark.code === "late-request") this.#hearLate(event.bytes);
        else if (trial && event.remark.severity === "error") trial.hint = event.remark.message;
        break;
      case "answer":
        if (event.status !== 100 && event.request.length > 0) this.#hearRequest(event);
    }
    this.#call(this.#options.onEvent, event);
  }

  /** Tells whether a further drill begins with this request, where one is under way. */
  #isNext({ method, connection, bytes }: RequestEvent): boolean {
    const trial = this.#trial;
    return trial !== undefined && method === "KEY" && connection !== trial.connection &&
      !isFollowing(trial, bytes);
  }

  #hearRequest(event: AnswerEvent): void {
    const { method, request, error, connection, userId } = event;
    const trial = this.#trial;
    if (trial && isFollowing(trial, request)) return;
    if (method !== "KEY" && (trial || this.#results.length > 0 && isPut(request))) {
      return this.#hearPut(request, error, userId);
    }
    if (!trial) {
      const fault = this.#faults[this.#results.length];
      this.#events = this.#events.filter((event) => event.connection === connection);
      const [start, time] = [this.#clock, event.time];
      const open = new Set([connection]);
      this.#trial = { fault, userId, connection, open, start, last: start, time, hint: "" };
    } else trial.userId = userId;
    if (method !== "KEY") {
      const what = `the conversation begins with KEY, but this came: ${requestLine(request)}`;
      this.#end({ rationale: what, help: REFUSED_HELP });
    } else if (error) {
      this.#end({ rationale: `the KEY was refused: ${error.message}`, help: REFUSED_HELP });
    }
  }

  /** A request over a connection that has ended: it may be sent once more over another one. */
  #hearLate(request: Uint8Array): void {
    const fault = this.#trial?.fault;
    if (isPut(request) && !(fault && !FAULTS[fault].isBroken)) this.#hearPut(request);
  }

  /** Judges a PUT, or what stands in its place. */
  #hearPut(request: Uint8Array, error?: Remark, userId?: string): void {
    const trial = this.#trial;
    const fault = trial?.fault ?? this.#results.at(-1)?.fault;
    if (fault === undefined) return;
    const { isBroken, help } = FAULTS[fault];
    const needless = `there was no key, and yet this came: ${requestLine(request)}`;
    if (!trial) { // too late for the last drill to be still under way
      const result = this.#results.at(-1)!;
      if (!result.passed || !isBroken) return;
      Object.assign(result, { passed: false, cause: { rationale: needless, help } });
      return this.#call(this.#options.onResult, result);
    }
    if (isBroken) return this.#end({ rationale: needless, help });
    if (error) {
      const rationale = `${requestLine(request)} brought no right key back: ${error.message}`;
      return this.#end({ rationale, help });
    }
    if (userId !== trial.userId) {
      const rationale = `the key was asked for \`${trial.userId}\`, and came from \`${userId}\``;
      return this.#end({ rationale, help: "send the same user id in KEY and PUT" });
    }
    this.#isProven = true;
    this.#end(null);
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
      const rationale = `your client has not given up after ${patience / 1000} s`;
      this.#end({ rationale, help });
    } else if (isLong || isQuiet) this.#endWithoutPut();
    else if (trial.open.size > 0 && this.#clock - (this.#stopped ?? Infinity) >= quiet) {
      this.#isOver.resolve(); // without a verdict
    }
  }

  #endWithoutPut(isNext = false): void {
    const { fault, connection, time, hint } = this.#trial!;
    const { isBroken, help } = FAULTS[fault];
    if (isBroken && this.#isProven) return this.#end(null);
    if (isBroken) return this.#end({ rationale: UNPROVEN, help: UNPROVEN_HELP });
    const closed = this.#events.find((event): event is ClosedEvent =>
      event.type === "closed" && event.connection === connection
    );
    const seconds = (((closed?.time ?? Date.now()) - time) / 1000).toFixed(2);
    const fate = closed === undefined
      ? isNext
        ? `${seconds} s after its KEY your client sent the next one`
        : `your client was still connected ${seconds} s after its KEY`
      : closed.by === "client"
      ? `your client ended the connection ${seconds} s after its KEY`
      : `the server ended the connection ${seconds} s after the KEY`;
    const rationale = `no PUT came: ${fate}${hint && `; a request is not whole: ${hint}`}`;
    this.#end({ rationale, help });
  }

  #end(cause: DrillCause | null): void {
    const { fault, time } = this.#trial!;
    const events = this.#events;
    const passed = cause === null;
    const result = { fault, passed, cause, time: Date.now() - time, events };
    this.#results.push(result);
    this.#trial = undefined;
    this.#events = [];
    this.#call(this.#options.onResult, result);
    const next = this.#faults[this.#results.length];
    if (next === undefined || this.#stopped !== undefined) return this.#isOver.resolve();
    this.#server.fault = next;
    this.#call(this.#options.onWaiting, next);
  }

  /** What a callback throws is not the drill's problem. */
  #call<T>(callback: ((value: T) => void) | undefined, value: T): void {
    try {
      callback?.(value);
    } catch {
      // It is dropped.
    }
  }
}

/** Tells whether a client goes where the fault `redirect` has sent it. */
function isFollowing({ fault }: Trial, request: Uint8Array): boolean {
  return fault === "redirect" && / \S*\/moved\//.test(requestLine(request));
}

function isPut(request: Uint8Array): boolean {
  return /^\W*PUT\b/i.test(requestLine(request));
}
