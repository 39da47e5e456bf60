/**
 * The drill that judges any client that connects, by the bytes that it sends.
 *
 * A round begins with KEY. If there is a key, the client must send it back with PUT within 15
 * seconds, and must read the response to PUT before it closes its connection. If there is no key,
 * or if the response to PUT is broken, the client must give up: it must close its connections
 * within 30 seconds.
 *
 * A round ends as soon as it has a verdict, or 2 seconds after its last connection was closed, or
 * with the next KEY. While the drill waits for PUT, another KEY on the same connection does not end
 * the round. If PUT comes after the end of the round, but before the next KEY, it still counts.
 *
 * @module
 */

import {
  EventBuffer,
  isFinal,
  isLost,
  isProbe,
  isPut,
  isUnread,
  pageRoundsOf,
  quote,
} from "./drill_events.ts";
import type { Drill, DrillOptions, DrillResult } from "./drill_types.ts";
import type { AnswerEvent, ClosedEvent, KeyServerEvent, RequestEvent } from "./events.ts";
import { FAULTS } from "./faults.ts";
import { Server } from "./key_server.ts";
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
import { requestLine } from "./text.ts";
import { type DrillCause, helpOf } from "./verdicts.ts";

const NO_KEY_REGEXP = /\/(?:None|null|undefined)\/? |\/\/ /; // where a key should be
const FIRST_HELP =
  "run your client against `key_client --serve` first: its log explains each mistake";
const NONE_HELP = "send PUT only if there is a key: `if key_val is not None:`";
const LATE_HELP =
  "a closed connection carries no further request, even if `send()` raises no error: make a new one for PUT";
const UNREAD = "your client closed its connection before it had read the response to PUT";
const UNREAD_HELP = "read the response to PUT to its end, then close the connection";

/** The current round. */
interface Trial {
  round: DrillRound;
  userId: string | undefined;
  /** The connection of the KEY request. */
  connection: number;
  /** The open connections of this round. */
  open: Set<number>;
  /** When KEY arrived: by `#clock`, and by `Date.now()`. */
  start: number;
  time: number;
  /** The time of the last event, by `#clock`. */
  last: number;
  /** The connection of a correct PUT. The client must still read its response. */
  put: number | undefined;
  /** What is wrong with an incomplete request. */
  hint: string;
  /** Whether the client sent PUT on a connection that the server had closed. */
  hasLatePut: boolean;
  /** Whether the round ended because there was no PUT. */
  isMissing: boolean;
  /** Whether the response to KEY had no bytes. */
  isBlank: boolean;
}

/** A drill of any client that connects. */
export class WireDrill implements Drill {
  readonly addr: Deno.NetAddr;
  readonly finished: Promise<DrillResult[]>;
  #options: DrillOptions;
  #rounds: DrillRound[];
  #times: { timeout: number; patience: number; quiet: number };
  #server: Server;
  #results: DrillResult[] = []; // a result may be replaced, but is never modified
  #trial: Trial | undefined = undefined;
  #last: Trial | undefined = undefined; // the round before this one
  #events = new EventBuffer(); // since the last verdict
  #isProven = false; // whether the client has sent a correct key back
  /**
   * The milliseconds that this process has been running, counted by a timer. The timer stops while
   * the machine sleeps or the process is blocked. So no client fails because the drill could not
   * read.
   */
  #clock = 0;
  #stopped: number | undefined = undefined; // when it was stopped, by `#clock`
  #isOver = false;
  #ended = Promise.withResolvers<void>();

  constructor(options: DrillOptions) {
    const { hostname, port, signal, timeout = 15_000, patience = 30_000, quiet = 2_000 } = options;
    this.#options = options;
    this.#rounds = roundsOf("wire", options.rounds);
    this.#times = { timeout, patience, quiet };
    const onEvent = (event: KeyServerEvent) => this.#hear(event);
    const { delay, idleTimeout, page } = options;
    const [first] = this.#rounds;
    this.#server = new Server({
      hostname,
      port,
      page,
      fault: faultOf(first),
      faultOn: targetOf(first),
      delay,
      idleTimeout,
      onEvent,
    });
    this.#server.nextFault = this.#faultAfter(0);
    this.#showRounds("next");
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
    queueMicrotask(() => notify(options.onWaiting, first)); // after the constructor has returned
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
    if (event.isBrowser && event.type === "remark") return; // it may be the client's
    if (event.isBrowser) return this.#events.drop(connection);
    // At once, because the response to this request must have the next fault.
    if (event.type === "request" && this.#isNext(event)) {
      const isSame = connection === this.#trial!.connection;
      const events = this.#events.all;
      const isTheirs = (event: KeyServerEvent) => !isSame && event.connection === connection;
      this.#events.all = events.filter((event) => !isTheirs(event));
      if (this.#trial!.put === undefined) this.#endWithoutPut(true);
      else this.#endWithPut();
      this.#events.all = events.filter(isTheirs);
    }
    this.#events.add(event, this.#trial !== undefined); // keeps the first events, such as KEY
    const trial = this.#trial;
    if (trial) { // other clients may check whether the server is running
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

  /** Returns whether this request ends the current round and begins the next one. */
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
      const rationale = `the first request is not KEY: ${quote(request)}`;
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
    this.#showRounds("running");
  }

  #showRounds(state: "next" | "running"): void {
    if (!this.#options.page) return;
    this.#server.showRounds(pageRoundsOf(this.#rounds, this.#results, state, false));
  }

  /** Handles a request on a closed connection. The client may send it again on another one. */
  #hearLate(request: Uint8Array): void {
    if (!isPut(request)) return;
    const trial = this.#trial;
    if (trial && trial.put === undefined && hasKey(trial.round)) trial.hasLatePut = true;
    else if (trial?.put === undefined) this.#hearPut(request);
  }

  /** Judges PUT, or another request in its place. */
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
      const rationale = `the server refused ${quote(request)}: ${error.fact}`;
      cause = { rationale, help: this.#isProven ? helpFor(trial.round) : helpOf(error) };
    } else if (userId !== trial.userId) {
      const rationale = `the user id is \`${trial.userId}\` in KEY, but \`${userId}\` in PUT`;
      cause = { rationale, help: "send the same user id in KEY and PUT" };
    } else this.#isProven = true;
    if (isLate) this.#amend(trial, cause);
    else if (cause === null && connection !== undefined) trial.put = connection;
    else this.#end(cause);
  }

  /** Changes the last verdict after a late PUT, which was missing or must not have been sent. */
  #amend({ round, start, isMissing }: Trial, cause: DrillCause | null): void {
    const result = this.#results.at(-1)!;
    const isInTime = this.#clock - start < this.#times.timeout;
    const isGood = isMissing && !result.passed && cause === null && isInTime;
    if (hasKey(round) ? !isGood : !result.passed) return;
    const events = [...result.events, ...this.#events.all];
    const amended = resultOf(round, cause, events);
    this.#results[this.#results.length - 1] = amended;
    this.#report(amended);
  }

  /** Changes the last verdict: the client has not read the response to its PUT. */
  #hearLoss(): void {
    const { round } = this.#last!;
    const result = this.#results.at(-1)!;
    if (!result.passed || isBroken(round.name)) return;
    const events = [...result.events, ...this.#events.all];
    const amended = resultOf(round, { rationale: UNREAD, help: UNREAD_HELP }, events);
    this.#results[this.#results.length - 1] = amended;
    this.#report(amended);
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
      // The server does not close these connections, and the client may keep them open.
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

  /** Ends a round with a correct PUT, after its response was sent or was broken by the fault. */
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
      hint && `; a request is incomplete: ${hint}`
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
    this.#report(result);
    const next = this.#rounds[this.#results.length];
    if (next === undefined || this.#stopped !== undefined) return this.#finish();
    this.#server.faultOn = targetOf(next);
    this.#server.fault = faultOf(next);
    // Early, because a connection may last until the next round.
    this.#server.nextFault = this.#faultAfter(this.#results.length);
    notify(this.#options.onWaiting, next);
  }

  #report(result: DrillResult): void {
    notify(this.#options.onResult, result);
    this.#showRounds(this.#trial ? "running" : "next");
  }

  #finish(): void {
    this.#isOver = true;
    this.#ended.resolve();
  }
}

/** Returns whether the client must close its connections, because PUT will get no response. */
function isGivingUp({ round, put }: Trial): boolean {
  return put !== undefined && round.function === "do_put" && isBroken(round.name);
}

function resultOf(round: DrillRound, cause: DrillCause | null, events: KeyServerEvent[]) {
  return { ...round, passed: cause === null, cause, returned: null, raised: null, events };
}

/** Returns what to do about the fault of a round. */
function helpFor(round: DrillRound): string {
  const fault = faultOf(round);
  if (fault === undefined) return FIRST_HELP;
  const { help } = FAULTS[fault];
  return hasKey(round) ? help : `${help}; if there is no key, send no PUT`;
}
