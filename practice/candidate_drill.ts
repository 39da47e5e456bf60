/**
 * The drill that runs the client itself. For each round, it calls one function of a module, or runs
 * a program.
 *
 * @module
 */

import { CandidateError, importFailure, ModuleProcess, type Outcome, start } from "./candidate.ts";
import { type CallReport, type Driver, driverOf, type FoundFunction } from "./driver.ts";
import { EventBuffer, pageRoundsOf } from "./drill_events.ts";
import type { Drill, DrillOptions, DrillResult } from "./drill_types.ts";
import type { CandidateProcess } from "./process.ts";
import { judgeProgram } from "./program_verdicts.ts";
import { notify } from "./notify.ts";
import { type DrillRound, faultOf, hasKey, roundsOf, targetOf } from "./rounds.ts";
import type { KeyServerEvent } from "./events.ts";
import { Server } from "./key_server.ts";
import { type DrillCause, judgeCall, judgeSignature } from "./verdicts.ts";

const PRELUDE_TIME = 10_000; // ms for `do_key` before a round of `do_put`
const HANGING_TIME = 5_000; // ms for the connections of a hanging process to close
const CLOSING_TIME = 1_000; // ms for the connections of an ended process to close

/** The outcome of a round, from which its result is made. */
type Played = Pick<DrillResult, "cause" | "returned" | "raised" | "output" | "events">;

const NOTHING = { cause: null, returned: null, raised: null, events: [] };

/** A drill of a module or a program. */
export class CandidateDrill implements Drill {
  readonly addr: Deno.NetAddr;
  readonly finished: Promise<DrillResult[]>;
  #options: DrillOptions;
  #rounds: DrillRound[];
  #idleTimeout: number;
  #server: Server;
  #results: DrillResult[] = [];
  #events = new EventBuffer();
  #open = new Set<number>(); // connections
  #onClosed: () => void = () => {};
  #process: { kill(): Promise<void> } | undefined = undefined;
  #isStopped = false;
  #userId: string | undefined = undefined; // the user id in the last KEY request
  #issued = ""; // the last key
  #unfit = new Map<DrillRound["function"], DrillCause>(); // functions that cannot be called
  #proven = new Set<DrillRound["function"]>(); // functions that have returned a key, or a message
  #interpreter: string | undefined = undefined; // the path of the interpreter for the module
  #hasPrelude = true; // whether to call `do_key` before `do_put`

  constructor(options: DrillOptions, candidate: string | readonly string[]) {
    const { hostname, port, signal, delay, idleTimeout = 1_000, page } = options;
    this.#idleTimeout = idleTimeout;
    const isModule = typeof candidate === "string";
    this.#options = options;
    this.#rounds = roundsOf(isModule ? "module" : "command", options.rounds);
    const driver = isModule ? driverOf(candidate) : undefined;
    if (isModule && driver === undefined) {
      throw new TypeError(
        `candidate must be a .py, .ts, .js or .mjs file, or a list of words, not ${
          JSON.stringify(candidate)
        }`,
      );
    }
    const onEvent = (event: KeyServerEvent) => this.#hear(event);
    this.#server = new Server({ hostname, port, delay, idleTimeout, page, onEvent });
    this.addr = this.#server.addr;
    const stop = () => this.stop();
    signal?.addEventListener("abort", stop, { once: true });
    const play = isModule
      ? (round: DrillRound) => this.#playModule(round, candidate, driver!)
      : (round: DrillRound) => this.#playProgram(round, candidate);
    this.finished = this.#run(play).finally(async () => {
      signal?.removeEventListener("abort", stop);
      await this.#process?.kill();
      await this.#server.shutdown();
    });
    this.finished.catch(() => {}); // without this, a rejection that nobody awaits ends the process
    if (signal?.aborted) stop();
  }

  stop(): Promise<DrillResult[]> {
    this.#isStopped = true;
    this.#process?.kill();
    return this.finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => {});
  }

  async #run(play: (round: DrillRound) => Promise<Played>): Promise<DrillResult[]> {
    await Promise.resolve(); // waits until the constructor has returned
    for (const [at, round] of this.#rounds.entries()) {
      if (this.#isStopped) break;
      notify(this.#options.onWaiting, round);
      notify(this.#options.onBegun, round);
      this.#showRounds("running");
      const unfit = this.#unfit.get(round.function);
      const played = unfit ? { ...NOTHING, cause: unfit } : await play(round);
      if (this.#isStopped) break; // the process was killed: no verdict
      const passed = played.cause === null;
      const result = { ...round, passed, ...played };
      this.#results.push(result);
      notify(this.#options.onResult, result);
      this.#showRounds("next");
      await this.#prepare(undefined, this.#rounds[at + 1]);
    }
    return this.#results;
  }

  #showRounds(state: "next" | "running"): void {
    const { candidate, page } = this.#options;
    if (!page) return;
    const rounds = pageRoundsOf(this.#rounds, this.#results, state, typeof candidate === "string");
    this.#server.showRounds(rounds);
  }

  #hear(event: KeyServerEvent): void {
    notify(this.#options.onEvent, event);
    const { connection, isBrowser, type } = event;
    if (isBrowser && type === "remark") return; // it may be the candidate's
    if (isBrowser) this.#events.drop(connection);
    else this.#events.add(event, true);
    if (type === "connected") this.#open.add(connection);
    if (type === "closed" || isBrowser) { // a page stays connected for longer than a round
      this.#open.delete(connection);
      if (this.#open.size === 0) this.#onClosed();
    }
    if (isBrowser) return;
    if (event.type !== "answer" || event.method !== "KEY" || event.status !== 200) return;
    this.#userId = event.userId;
    this.#issued = event.message;
  }

  /** Sets the fault of a round, and announces the fault of the next one. */
  async #prepare(round: DrillRound | undefined, next?: DrillRound): Promise<void> {
    this.#server.faultOn = round && targetOf(round);
    if (next) this.#server.nextFault = faultOf(next);
    this.#server.fault = round && faultOf(round);
    await this.#server.ready;
  }

  /** Ends a process, waits until the server has seen all its requests, and returns the events. */
  async #settle(process: { kill(): Promise<void> }, isHung: boolean): Promise<KeyServerEvent[]> {
    const events = this.#events.all;
    if (isHung) { // the server closes first: otherwise the client's port stays in use for a minute
      this.#server.fault = undefined;
      await this.#closed(this.#idleTimeout + HANGING_TIME);
    }
    await process.kill();
    await this.#closed(CLOSING_TIME);
    return isHung ? events : this.#events.all;
  }

  /** Waits until all connections are closed. */
  async #closed(time: number): Promise<void> {
    if (this.#open.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onClosed = resolve;
    const timer = setTimeout(resolve, time);
    await promise;
    clearTimeout(timer);
  }

  get #patience(): number {
    return this.#options.patience ?? 30_000;
  }

  get #env(): Record<string, string> {
    return { KEY_SERVER_PORT: String(this.addr.port) };
  }

  get #address(): string {
    const { hostname, port } = this.addr;
    return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
  }

  /** Returns whether an earlier round has shown that the client works, or no round could yet. */
  #isProven({ function: name }: DrillRound): boolean {
    const before = this.#rounds.slice(0, this.#results.length).filter(hasKey);
    const isFirst = !before.some((round) => round.function === name || round.function === null);
    return isFirst || this.#proven.has(name) || this.#proven.has(null);
  }

  /** Skips the other rounds if the client hangs without any fault: they would only take long. */
  #hangs({ function: name, name: fault }: DrillRound): void {
    if (fault !== "sound") return;
    const who = name === null ? "the program" : `${name}()`;
    const rationale = `not tried: ${who} did not end in the round \`sound\``;
    const cause = { rationale, help: "make the round `sound` pass first" };
    for (const unfit of name === null ? [null, "do_key", "do_put"] as const : [name]) {
      this.#unfit.set(unfit, cause);
    }
  }

  // ---- Modules

  async #playModule(round: DrillRound, path: string, driver: Driver): Promise<Played> {
    await this.#prepare(undefined, round);
    const file = path.split(/[\\/]/).at(-1)!;
    let module = this.#load(path, driver);
    const imported = await module.imported(this.#patience);
    const failure = importFailure(file, imported, this.#patience / 1000, module.output);
    if (failure && !this.#isStopped && this.#results.length === 0) {
      throw new CandidateError(failure);
    }
    if (failure) {
      await module.kill();
      return { ...NOTHING, cause: { rationale: failure, help: "make each import work" } };
    }
    const { functions, executable } = imported.report!;
    if (executable && mayRun(executable)) this.#interpreter = executable;
    const found = functions![round.function!];
    const about = { round, file, found, address: this.#address };
    const unfit = judgeSignature(about);
    if (unfit) {
      await module.kill();
      this.#unfit.set(round.function, unfit);
      return { ...NOTHING, cause: unfit };
    }
    this.#issued = "";
    if (
      round.function === "do_put" && this.#hasPrelude && this.#canCall(functions!.do_key, round)
    ) {
      const { report } = await module.call("do_key", undefined, PRELUDE_TIME);
      if (!report && !this.#isStopped) { // it hangs or ends the process: do not call it again
        this.#hasPrelude = false;
        await module.kill();
        module = this.#load(path, driver);
        await module.imported(this.#patience);
      }
    }
    const isUserKnown = this.#userId !== undefined;
    const key = round.name === "wrong-key" ? "0".repeat(128) : this.#issued || this.#issue();
    await this.#prepare(round);
    this.#events.all = [];
    const begin = performance.now();
    const argument = round.function === "do_put" ? key : undefined;
    const ended = await module.call(round.function!, argument, this.#patience);
    const seconds = (performance.now() - begin) / 1000;
    const isHung = !ended.report && ended.end === undefined;
    if (isHung) this.#hangs(round);
    const events = await this.#settle(module, isHung);
    const { output } = module;
    const isProven = this.#isProven(round);
    const call = { ...about, ...ended, seconds, output, events, key, isUserKnown, isProven };
    const cause = judgeCall(call);
    const isValue = round.function === "do_key"
      ? hasValue(ended) || this.#hasPrinted(output)
      : !cause;
    if (hasKey(round) && isValue) this.#proven.add(round.function);
    return { cause, ...told(ended), output, events };
  }

  #load(path: string, driver: Driver): ModuleProcess {
    const { args, command } = driver;
    const module = new ModuleProcess(
      path,
      { args, command: this.#interpreter ?? command },
      this.#env,
    );
    this.#process = module;
    if (this.#isStopped) module.kill();
    return module;
  }

  /** Returns whether `do_key` can be called before `do_put`, as the test of the exercise does. */
  #canCall(found: FoundFunction, round: DrillRound): boolean {
    const isFit = judgeSignature({ round: { ...round, function: "do_key" }, found, file: "" });
    return isFit === null && !this.#unfit.has("do_key");
  }

  /** Returns whether the module has printed the key of this round. */
  #hasPrinted(output: string): boolean {
    return this.#issued !== "" && output.includes(this.#issued);
  }

  /** Issues a key to the user id that the module has used, or to `User1`. */
  #issue(): string {
    const { hostname } = this.addr;
    const address = ["0.0.0.0", "::"].includes(hostname) ? undefined : hostname;
    return this.#server.issueKey(this.#userId ?? "User1", address);
  }

  // ---- Programs

  async #playProgram(round: DrillRound, words: readonly string[]): Promise<Played> {
    await this.#prepare(round, round);
    this.#events.all = [];
    const [command, ...args] = words.map((word) =>
      word.replaceAll("{port}", String(this.addr.port)).replaceAll("{host}", this.addr.hostname)
    );
    const begin = performance.now();
    const process = start({ command, args, env: this.#env });
    this.#process = process;
    if (this.#isStopped) process.kill();
    const status = await this.#end(process);
    const seconds = (performance.now() - begin) / 1000;
    if (!status) this.#hangs(round);
    const events = await this.#settle(process, !status);
    const isProven = this.#isProven(round);
    const { output } = process;
    const { hasLeft } = process;
    const run = {
      round,
      address: this.#address,
      status,
      hasLeft,
      seconds,
      output,
      events,
      isProven,
    };
    const cause = judgeProgram(run);
    const isBack = events.some((event) =>
      event.type === "answer" && event.method === "PUT" && !event.error
    );
    if (isBack && hasKey(round)) this.#proven.add(null);
    return { ...NOTHING, cause, output, events };
  }

  /** Waits until a process has ended. Returns `undefined` if it does not end in time. */
  async #end(process: CandidateProcess): Promise<Deno.CommandStatus | undefined> {
    const timeout = Promise.withResolvers<undefined>();
    const timer = setTimeout(timeout.resolve, this.#patience, undefined);
    const status = await Promise.race([process.ended, timeout.promise]);
    clearTimeout(timer);
    return status;
  }
}

function mayRun(command: string): boolean {
  return Deno.permissions.querySync({ name: "run", command }).state === "granted";
}

/** Returns whether a function has returned something that may be a key. */
function hasValue({ report }: Outcome<CallReport>): boolean {
  return report !== undefined && !report.raised && report.kind !== "none" && report.size !== 0;
}

/** Returns what a function returned or raised, as text. */
function told({ report }: Outcome<CallReport>): Pick<Played, "returned" | "raised"> {
  const { raised, shown } = report ?? {};
  return {
    returned: shown ?? null,
    raised: raised ? `${raised.type}: ${raised.message}` : null,
  };
}
