/**
 * The drill that judges whatever client comes, by what goes over the wire.
 *
 * A round begins with KEY. If there is a key, it must come back by PUT within 15 seconds, and the
 * client must read the response to PUT before it closes its connection. If there is none, or if the
 * response to PUT is broken, the client must give up: close its connections within 30 seconds. A
 * round ends with its verdict, 2 seconds after its last connection was closed, or with the next KEY;
 * as long as a PUT is to come, only with one over another connection. A PUT that comes later still
 * counts, up to the next KEY.
 *
 * @module
 */

import { EventBuffer, isFinal, isLost, isProbe, isPut, isUnread, quote } from "./drill_events.ts";
import type { Drill, DrillOptions, DrillResult } from "./drill_types.ts";
import type { AnswerEvent, ClosedEvent, KeyServerEvent, RequestEvent } from "./events.ts";
import { FAULTS } from "./faults.ts";
import { notify } from "./notify.ts";
import type { Remark } from "./remark.ts";
import {
  type DrillRound,
  faultOf,
  hasKey,
  isBroken,
  isMoved,
  roundsOf,
  targetOf,
} from "./rounds.ts";
import { type KeyServer, startKeyServer } from "./server.ts";
import { requestLine } from "./text.ts";
import { type DrillCause, helpOf } from "./verdicts.ts";

const NO_KEY_REGEXP = /\/(?:None|null|undefined)\/? |\/\/ /; // where a key should be
const FIRST_HELP =
  "the fault is not the cause: run your client with `--serve` first, which shows what is wrong with each request";
const NONE_HELP = "send PUT only if there is a key: `if key_val is not None:`";
const LATE_HELP =
  "a closed connection carries no further request, even if `send()` raises no error: make a new one for PUT";
const UNREAD = "your client closed its connection before it had read the response to PUT";
const UNREAD_HELP = "read the response to PUT to its end, then close the connection";

/** A round that is under way. */
interface Trial {
  round: DrillRound;
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
  /** The connection of a correct PUT. Only whether its response is read is still to be seen. */
  put: number | undefined;
  /** What is wrong with a request that is not whole. */
  hint: string;
  /** Whether a PUT came over a connection that was closed. */
  hasLatePut: boolean;
  /** Whether it has ended because no PUT came. */
  isMissing: boolean;
  /** Whether the response was nothing at all. */
  isBlank: boolean;
}

/** A drill of whatever client comes. */
export class WireDrill implements Drill {
  readonly addr: Deno.NetAddr;
  readonly finished: Promise<DrillResult[]>;
  #options: DrillOptions;
  #rounds: DrillRound[];
  #times: { timeout: number; patience: number; quiet: number };
  #server: KeyServer;
  #results: DrillResult[] = []; // none of them is ever changed
  #trial: Trial | undefined = undefined;
  #last: Trial | undefined = undefined; // the one before
  #events = new EventBuffer(); // since the last verdict
  #isProven = false; // a correct key has come back
  /**
   * For how many milliseconds this process has been awake: if the machine is busy or asleep, so that
   * nothing is read, no client fails for that.
   */
  #clock = 0;
  #stopped: number | undefined = undefined; // when, by the clock
  #isOver = false;
  #ended = Promise.withResolvers<void>();

  constructor(options: DrillOptions) {
    const { hostname, port, signal, timeout = 15_000, patience = 30_000, quiet = 2_000 } = options;
    this.#options = options;
    this.#rounds = roundsOf("wire", options.rounds);
    this.#times = { timeout, patience, quiet };
    const onEvent = (event: KeyServerEvent) => this.#hear(event);
    const { delay, idleTimeout } = options;
    const [first] = this.#rounds;
    this.#server = startKeyServer({
      hostname,
      port,
      fault: faultOf(first),
      faultOn: targetOf(first),
      delay,
      idleTimeout,
      onEvent,
    });
    this.#server.nextFault = this.#faultAfter(0);
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
    queueMicrotask(() => notify(options.onWaiting, first)); // when we have returned
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

  #faultAfter(at: number) {
    const next = this.#rounds[at + 1];
    return next && faultOf(next);
  }

  #hear(event: KeyServerEvent): void {
    notify(this.#options.onEvent, event);
    if (this.#isOver) return;
    const { connection } = event;
    if (event.type === "request" && this.#isNext(event)) { // now: its response has the next fault
      const isSame = connection === this.#trial!.connection;
      const events = this.#events.all;
      const isTheirs = (event: KeyServerEvent) => !isSame && event.connection === connection;
      this.#events.all = events.filter((event) => !isTheirs(event));
      if (this.#trial!.put === undefined) this.#endWithoutPut(true);
      else this.#endWithPut();
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
        else if (isLost(event) && connection === this.#last?.put) this.#hearLoss();
        else if (trial?.open.has(connection) && event.remark.severity === "error") {
          trial.hint = event.remark.fact;
        }
        break;
      case "answer":
        if (isFinal(event)) this.#hearRequest(event);
        break;
      case "closed":
        if (trial?.put === connection) this.#endWithPut();
    }
  }

  /** Tells whether a further round begins with this request, where one is under way. */
  #isNext({ method, connection, bytes }: RequestEvent): boolean {
    const trial = this.#trial;
    if (trial === undefined || method !== "KEY" || isMoved(trial.round, bytes)) {
      return false;
    }
    return connection !== trial.connection || !hasKey(trial.round) || trial.put !== undefined;
  }

  #hearRequest(event: AnswerEvent): void {
    const { method, request, error, userId } = event;
    const trial = this.#trial;
    if (trial && isMoved(trial.round, request)) return;
    if (isProbe(event) || trial?.put !== undefined) return;
    if (method !== "KEY" && (trial || this.#last && isPut(request))) {
      return this.#hearPut(request, error, userId, event.connection);
    }
    if (!trial) this.#begin(event);
    else trial.userId = userId;
    if (method !== "KEY") {
      const rationale = `the conversation must begin with KEY, but it began with ${quote(request)}`;
      this.#end({ rationale, help: FIRST_HELP });
    } else if (error) {
      this.#end({ rationale: `KEY was refused: ${error.fact}`, help: helpOf(error) });
    }
  }

  #begin({ connection, userId, time, bytes }: AnswerEvent): void {
    this.#events.all = this.#events.all.filter((event) => event.connection === connection);
    const now = this.#clock;
    this.#trial = {
      round: this.#rounds[this.#results.length],
      userId,
      connection,
      open: new Set([connection]),
      start: now,
      last: now,
      time,
      put: undefined,
      hint: "",
      hasLatePut: false,
      isMissing: false,
      isBlank: bytes.length === 0,
    };
    notify(this.#options.onBegun, this.#trial.round);
  }

  /** A request over a connection that was closed: it may be sent once more over another one. */
  #hearLate(request: Uint8Array): void {
    if (!isPut(request)) return;
    const trial = this.#trial;
    if (trial && trial.put === undefined && hasKey(trial.round)) trial.hasLatePut = true;
    else if (trial?.put === undefined) this.#hearPut(request);
  }

  /** Judges a PUT, or what stands in its place. */
  #hearPut(request: Uint8Array, error?: Remark, userId?: string, connection?: number): void {
    const trial = this.#trial ?? this.#last;
    if (!trial) return;
    const isLate = trial === this.#last;
    let cause: DrillCause | null = null;
    if (!hasKey(trial.round)) {
      if (!isPut(request)) return;
      const rationale = `there was no key, but this was sent: ${quote(request)}`;
      const isNone = trial.isBlank || NO_KEY_REGEXP.test(requestLine(request));
      cause = { rationale, help: isNone ? NONE_HELP : helpFor(trial.round) };
    } else if (error) {
      const rationale = `${quote(request)} has not the correct key: ${error.fact}`;
      cause = { rationale, help: this.#isProven ? helpFor(trial.round) : FIRST_HELP };
    } else if (userId !== trial.userId) {
      const rationale = `the user id is \`${trial.userId}\` in KEY, but \`${userId}\` in PUT`;
      cause = { rationale, help: "send the same user id in KEY and PUT" };
    } else this.#isProven = true;
    if (isLate) this.#amend(trial, cause);
    else if (cause === null && connection !== undefined) trial.put = connection;
    else this.#end(cause);
  }

  /** A PUT that comes late, but before the next KEY, makes good what was missing, or breaks a rule. */
  #amend({ round, start, isMissing }: Trial, cause: DrillCause | null): void {
    const result = this.#results.at(-1)!;
    const isInTime = this.#clock - start < this.#times.timeout;
    const isGood = isMissing && !result.passed && cause === null && isInTime;
    if (hasKey(round) ? !isGood : !result.passed) return;
    const events = [...result.events, ...this.#events.all];
    const amended = resultOf(round, cause, events);
    this.#results[this.#results.length - 1] = amended;
    notify(this.#options.onResult, amended);
  }

  /** The client has not read the response to the PUT of the round before. */
  #hearLoss(): void {
    const { round } = this.#last!;
    const result = this.#results.at(-1)!;
    if (!result.passed || isBroken(round.name)) return;
    const events = [...result.events, ...this.#events.all];
    const amended = resultOf(round, { rationale: UNREAD, help: UNREAD_HELP }, events);
    this.#results[this.#results.length - 1] = amended;
    notify(this.#options.onResult, amended);
  }

  #tick(period: number): void {
    this.#clock += period;
    const trial = this.#trial;
    if (!trial) return;
    const { timeout, patience, quiet } = this.#times;
    const { round, open, put } = trial;
    const isQuiet = this.#clock - trial.last >= quiet;
    const mayHold = hasKey(round) && !isGivingUp(trial);
    const isLong = this.#clock - trial.start >= (mayHold ? timeout : patience);
    if (put !== undefined && mayHold) {
      // The server itself closes all connections but these, and a client may keep them.
      if (round.name === "keep-open" && isQuiet) this.#endWithPut();
    } else if (isLong && !mayHold) {
      const seconds = patience / 1000;
      const rationale =
        `your client has not given up: its connection is still open after ${seconds} s`;
      this.#end({ rationale, help: helpFor(round) });
    } else if (put === undefined && (isLong || isQuiet && open.size === 0)) this.#endWithoutPut();
    else if (open.size > 0 && this.#clock - (this.#stopped ?? Infinity) >= quiet) {
      this.#finish(); // without a verdict
    }
  }

  /** Ends a round whose PUT was correct: its response has been sent, or was meant to be broken. */
  #endWithPut(): void {
    const { round, put } = this.#trial!;
    const isRead = isBroken(round.name) || !isUnread(this.#events.all, put!);
    this.#end(isRead ? null : { rationale: UNREAD, help: UNREAD_HELP });
  }

  #endWithoutPut(isNext = false): void {
    const { round, connection, time, hint, hasLatePut } = this.#trial!;
    if (!hasKey(round) && this.#isProven) return this.#end(null);
    if (!hasKey(round)) {
      const rationale =
        "not counted: your client has not sent a correct key back in any round so far, so no PUT proves nothing";
      return this.#end({ rationale, help: FIRST_HELP });
    }
    this.#trial!.isMissing = true;
    if (hasLatePut) {
      return this.#end({ rationale: "PUT was sent over a closed connection", help: LATE_HELP });
    }
    const closed = this.#events.all.find((event): event is ClosedEvent =>
      event.type === "closed" && event.connection === connection
    );
    const seconds = (((closed?.time ?? Date.now()) - time) / 1000).toFixed(2);
    const fate = closed?.by === "client"
      ? `: your client closed its connection ${seconds} s after KEY`
      : closed
      ? `: the server closed the connection ${seconds} s after KEY`
      : isNext
      ? ` before the next KEY, ${seconds} s later`
      : `: your client was still connected ${seconds} s after KEY`;
    const rationale = `your client sent no PUT${fate}${
      hint && `; a request is not whole: ${hint}`
    }`;
    const isFirst = this.#results.length === 0 && faultOf(round) !== undefined;
    this.#end({ rationale, help: this.#isProven || isFirst ? helpFor(round) : FIRST_HELP });
  }

  #end(cause: DrillCause | null): void {
    const result = resultOf(this.#trial!.round, cause, this.#events.all);
    this.#results.push(result);
    this.#last = this.#trial;
    this.#trial = undefined;
    this.#events.all = [];
    notify(this.#options.onResult, result);
    const next = this.#rounds[this.#results.length];
    if (next === undefined || this.#stopped !== undefined) return this.#finish();
    this.#server.faultOn = targetOf(next);
    this.#server.fault = faultOf(next);
    this.#server.nextFault = this.#faultAfter(this.#results.length); // a connection may last till then
    notify(this.#options.onWaiting, next);
  }

  #finish(): void {
    this.#isOver = true;
    this.#ended.resolve();
  }
}

/** Whether the client must close its connections, as the response to its PUT will not come. */
function isGivingUp({ round, put }: Trial): boolean {
  return put !== undefined && round.function === "do_put" && isBroken(round.name);
}

function resultOf(round: DrillRound, cause: DrillCause | null, events: KeyServerEvent[]) {
  return { ...round, passed: cause === null, cause, returned: null, raised: null, events };
}

/** What to do about the fault of a round. */
function helpFor(round: DrillRound): string {
  const fault = faultOf(round);
  if (fault === undefined) return FIRST_HELP;
  const { help } = FAULTS[fault];
  return hasKey(round) ? help : `${help}; if there is no key, send no PUT`;
}
