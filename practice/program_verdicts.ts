/**
 * Verdicts on a program: judges what it sent, how it ended, and what it printed.
 *
 * @module
 */

import { answersOf, isPut, isUnread, quote } from "./drill_events.ts";
import type { AnswerEvent, KeyServerEvent } from "./events.ts";
import { FAULTS } from "./faults.ts";
import {
  type DrillRound,
  faultOf,
  hasKey,
  isBroken,
  isCutOff,
  isMoved,
  isRefused,
} from "./rounds.ts";
import { cut, escapeControls } from "./text.ts";
import { connectHelp, type DrillCause, helpOf, SERVE_HELP } from "./verdicts.ts";

/** A run of a program, and its outcome. */
export interface ProgramRun {
  readonly round: DrillRound;
  /** The IP address and the port of the drill. */
  readonly address: string;
  /** How the program ended; `undefined` if it did not. */
  readonly status?: Deno.CommandStatus;
  /** Whether a process that it started was still running after its end. */
  readonly hasLeft?: boolean;
  /** How long it took. */
  readonly seconds: number;
  /** What it printed. */
  readonly output: string;
  /** The events of the server. */
  readonly events: readonly KeyServerEvent[];
  /** Whether an earlier round has shown that the program can send a key back. */
  readonly isProven: boolean;
}

const MAX_SEARCHED = 65_536; // characters of output that are searched for a crash
const MAX_TIME = 15_000; // ms from KEY to PUT

/** Matches the output of a program that was ended by an uncaught error, in several languages. */
const CRASH_REGEXPS = [
  /^ {2}File "[^\n]*", line \d+\n(?: {4}[^\n]*\n)*(?<error>\w+Error: [^\n]*)/m, // Python, error before the start
  /^Traceback \(most recent call last\):[^]*?^(?<error>\w[^\n]*)/m, // Python
  /^Exception in thread "[^"]*" (?<error>[^\n]*)/m, // Java
  /^(?<error>panic: [^\n]*)/m, // Go
  /^thread '[^\n]*' (?:\(\d+\) )?(?<error>panicked at (?:[^\n]*:\n[^\n]+|[^\n]*))/m, // Rust
  // deno-lint-ignore no-control-regex
  /^(?:\x1b\[[\d;]*m)*error(?:\x1b\[[\d;]*m)*: (?<error>Uncaught [^\n]*)/m, // Deno
  /^(?<error>\w*Error\b[^\n]*\n)(?:(?! {4}at )[^\n]*\n){0,5}?(?: {4}at [^\n]*\n)+(?:[^\n]*\n){0,15}?Node\.js v/m, // Node.js
  /^(?<error>Unhandled exception\.? [^\n]*)/m, // .NET
  /^(?:PHP )?(?<error>(?:Fatal|Parse) error: [^\n]*)/m, // PHP
  /^[^\n]*\.rb:\d+:in [`'][^\n]*?': (?<error>[^\n]*\([\w:]+\))/m, // Ruby
  /^terminate called [^\n]*\n\s*what\(\): +(?<error>[^\n]*)/m, // C++
];

/** Judges a run. Returns `null` if the program did what it must do. */
export function judgeProgram(run: ProgramRun): DrillCause | null {
  const cause = judgeRun(run);
  if (cause === null || !run.hasLeft || run.status === undefined) return cause;
  return {
    rationale: `${cause.rationale}; the program ended before a process that it had started`,
    help: "wait in the program for the processes that it starts",
  };
}

function judgeRun(run: ProgramRun): DrillCause | null {
  const { round } = run;
  const put = puts(run)[0];
  const crash = judgeEnd(run);
  const isHung = run.status === undefined;
  if (crash && requests(run).length === 0) {
    return isHung ? crash : { ...crash, help: startHelp(run, crash) };
  }
  if (!hasKey(round)) {
    if (put) {
      return {
        rationale: `there was no key, but the program sent ${quote(put.request)}`,
        help: FAULTS[faultOf(round)!].help + NO_PUT,
      };
    }
    return crash ?? judgeKeyRequest(run) ?? judgeProof(run);
  }
  const sent = judgeKeyRequest(run) ?? judgePutRequest(run);
  if (isHung && put) return crash;
  if (crash && !put) {
    const isAnyRefused = requests(run).some(({ error }) => error);
    return isAnyRefused && !isHung ? sent : { ...crash, help: sent!.help };
  }
  return sent ?? crash ?? judgeOutput(run);
}

/** Returns what to do about a crash before the first request. */
function startHelp({ address }: ProgramRun, { rationale, help }: DrillCause): string {
  if (rationale.startsWith("the program crashed with SIG")) return help;
  return /refused/i.test(rationale) ? connectHelp(address) : "correct this error first";
}

const NO_PUT = "; if there is no key, send no PUT";

function judgeProof({ isProven }: ProgramRun): DrillCause | null {
  if (isProven) return null;
  return {
    rationale: "not counted: the program has not sent a correct key back in any round so far",
    help: "make the round `sound` pass first",
  };
}

/** Judges whether the program ended by itself and did not crash. */
function judgeEnd(run: ProgramRun): DrillCause | null {
  const { status, seconds, output, address } = run;
  if (status === undefined) {
    const rationale = `the program has not ended after ${Math.round(seconds)} s`;
    const [first] = requests(run);
    const remark = unfinished(run);
    if (remark) return { rationale: `${rationale}: ${remark.fact}`, help: helpOf(remark) };
    return first
      ? { rationale, help: helpFor(run) }
      : { rationale: `${rationale}, and sent no request`, help: connectHelp(address) };
  }
  const signal = status.signal ?? SHELL_SIGNALS[status.code];
  const tail = output.slice(-MAX_SEARCHED);
  for (const pattern of status.success ? [] : CRASH_REGEXPS) { // after success, the error was caught
    const match = pattern.exec(tail);
    const error = match?.groups?.error;
    if (error === undefined) continue;
    const about = escapeControls(error.trim().replace(/\s+/g, " "));
    const rationale = `the program crashed${lineOf(match![0])}: ${cut(about, 100)}`;
    const isCaught = isCutOff(run.round.name) && SOCKET_ERROR_REGEXP.test(error);
    const help = isCaught ? CATCH_HELP + (hasKey(run.round) ? "" : NO_PUT) : helpFor(run);
    return { rationale, help };
  }
  if (!signal) return null;
  const help = signal === "SIGPIPE"
    ? "ignore SIGPIPE, and check what `send()` returns"
    : "check what each call returns: after an error there is no data";
  return { rationale: `the program crashed with ${signal}`, help };
}

const SOCKET_ERROR_REGEXP = /^(?:Connection\w+|BrokenPipeError|TimeoutError|OSError|socket\.)/;
const CATCH_HELP = "catch it: put the conversation into `try:`, then `except OSError:`";

/** Returns the last line of the program that a Python traceback mentions. */
function lineOf(traceback: string): string {
  const lines = traceback.matchAll(/^ {2}File "(?!.*[\\/]lib[\\/]|<).*?([^\\/"]+)", line (\d+)/gim);
  const [, file, line] = [...lines].at(-1) ?? [];
  return line === undefined ? "" : ` in line ${line} of ${file}`;
}

/** The signals that a shell reports as its exit status. */
const SHELL_SIGNALS: Record<number, Deno.Signal> = {
  132: "SIGILL",
  134: "SIGABRT",
  136: "SIGFPE",
  139: "SIGSEGV",
  141: "SIGPIPE",
};

function judgeKeyRequest(run: ProgramRun): DrillCause | null {
  const key = requests(run).find(({ method }) => method === "KEY");
  if (!key) {
    const [first] = requests(run);
    const remark = unfinished(run) ?? first?.error;
    return {
      rationale: `the program sent no KEY request${
        first ? ` but ${quote(first.request)}` : remark ? "" : exitOf(run)
      }${remark ? `: ${remark.fact}` : ""}`,
      help: remark ? helpOf(remark) : first ? "send KEY first" : connectHelp(run.address),
    };
  }
  if (!key.error) return null;
  return {
    rationale: `the server refused the KEY request: ${key.error.fact}`,
    help: helpOf(key.error),
  };
}

/** Returns how a program that sent nothing has ended, and the last line that it printed. */
function exitOf({ status, output }: ProgramRun): string {
  if (status!.success) return "";
  const last = output.trimEnd().split("\n").at(-1)!;
  const about = last && `: ${cut(escapeControls(last), 100)}`;
  return ` and ended with exit status ${status!.code}${about}`;
}

/** Judges the PUT request in a round that has a key. */
function judgePutRequest(run: ProgramRun): DrillCause | null {
  const { round, isProven } = run;
  const put = puts(run).at(-1);
  const key = requests(run).findLast(({ method }) => method === "KEY")!;
  const help = isProven || round.name === "sound" ? helpFor(run) : SERVE_HELP;
  if (!put) return { rationale: "the program sent no PUT request", help };
  const { error } = put;
  if (error) {
    return {
      rationale: `the server refused ${quote(put.request)}: ${error.fact}`,
      help: faultOf(round) && isProven && !isBroken(round.name) ? help : helpOf(error),
    };
  }
  if (put.userId !== key.userId) {
    return {
      rationale: `the user id is \`${key.userId}\` in KEY, but \`${put.userId}\` in PUT`,
      help: "send the same user id in KEY and PUT",
    };
  }
  if (put.time - key.time <= MAX_TIME) return null;
  const seconds = Math.round((put.time - key.time) / 1000);
  return {
    rationale: `the program sent PUT ${seconds} s after KEY, must send it within 15 s`,
    help,
  };
}

/** Judges whether the program has read and printed the message. */
function judgeOutput(run: ProgramRun): DrillCause | null {
  const { round, output, events } = run;
  if (isCutOff(round.name)) return null;
  const all = requests(run).filter(({ method }) => method !== "KEY");
  if (all.some(({ message }) => output.includes(message))) return null;
  const put = all.at(-1)!;
  if (isUnread(events, put.connection)) {
    return {
      rationale: "the program closed its connection before it had read the response to PUT",
      help: "read the whole response to PUT, then close the connection",
    };
  }
  const help = isRefused(round.name)
    ? "print the body of the response, whatever its status is"
    : "print the body of the response to PUT";
  return { rationale: `the program did not print ${JSON.stringify(cut(put.message, 40))}`, help };
}

function helpFor({ round }: ProgramRun): string {
  const fault = faultOf(round);
  if (fault === undefined) return SERVE_HELP;
  const { help } = FAULTS[fault];
  return hasKey(round) ? help : help + NO_PUT;
}

function requests({ events }: ProgramRun): AnswerEvent[] {
  return answersOf(events);
}

function puts(run: ProgramRun): AnswerEvent[] {
  return requests(run).filter(({ request }) => isPut(request) && !isMoved(run.round, request));
}

/** Returns what is wrong with an incomplete request. */
function unfinished({ events }: ProgramRun) {
  const event = events.find((event) =>
    event.type === "remark" && event.remark.severity === "error"
  );
  return event?.type === "remark" ? event.remark : undefined;
}
