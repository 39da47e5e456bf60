/**
 * The drill at a terminal.
 *
 * @module
 */

import {
  CandidateError,
  type DrillCause,
  type DrillOptions,
  type DrillResult,
  type DrillRound,
  type Remark,
  startDrill,
} from "../practice/drill.ts";
import { driverOf } from "../practice/driver.ts";
import { type CandidateKind, labelOf, roundsOf } from "../practice/rounds.ts";
import type { KeyServerEvent } from "../practice/server.ts";
import { cut, escapeControls } from "../practice/text.ts";
import { EventLog } from "./event_log.ts";
import { checkRound } from "./faults.ts";
import { type Flags, quoteForShell } from "./flags.ts";
import { listen, onInterrupt, pageOf } from "./listening.ts";
import {
  authority,
  columnsOf,
  complain,
  jsonLine,
  type MainIo,
  type OutputStream,
  type Paint,
  painter,
  print,
  printError,
  shown,
  wrap,
} from "./output.ts";
import { QueuedOutput } from "./queued_output.ts";

/** How long the drill waits, and its rounds. The command line has no flags for them. */
export type DrillSettings = Pick<
  DrillOptions,
  "delay" | "idleTimeout" | "patience" | "quiet" | "rounds" | "timeout"
>;

/** Runs the drill until all rounds are over, or it is interrupted; returns the exit status. */
export async function drill(
  flags: Flags,
  io: MainIo,
  settings: DrillSettings = {},
): Promise<number> {
  const { host, port, json, page, verbose, candidate } = flags;
  const kind = kindOf(candidate);
  const names = flags.fault === undefined ? settings.rounds : [checkRound(flags.fault, kind)];
  const rounds = roundsOf(kind, names);
  let failure: unknown; // of stdout
  const put = (text: string) => {
    try {
      if (failure === undefined) print(io.stdout, text);
    } catch (error) {
      failure = error;
      drill?.stop({ now: true }); // nobody can read the rest
    }
  };
  const report = json ? new JsonReport(put, rounds) : new TextReport(put, rounds, io.stdout, flags);
  const log = new QueuedOutput(
    io.stderr,
    (count) => `(${count} log entries dropped: output too slow)\n`,
  );
  const eventLog = new EventLog(
    (text) => log.print(text),
    painter(io.stderr),
    true,
    io.stderr.isTerminal() ? columnsOf(io.stderr) : undefined,
  );
  if (candidate !== undefined) {
    const command = typeof candidate === "string" ? driverOf(candidate)!.command : candidate[0];
    await Deno.permissions.request({ name: "run", command }); // a prompt would spoil the report
  }
  const start = () =>
    startDrill({
      ...settings,
      candidate,
      hostname: host,
      port,
      page,
      rounds: names,
      onWaiting: (round) => report.waiting(round),
      onBegun: (round) => report.begun(round),
      onResult(result) {
        report.result(result);
        if (verbose && result.output) log.print(quoted(shown(io.stderr, result.output)));
      },
      onEvent: verbose ? (event: KeyServerEvent) => eventLog.add(event) : undefined,
    });
  const drill = listen(start, flags, io);
  if (!drill) return 2;
  const where = authority(drill.addr.hostname, drill.addr.port);
  const line = greeting(where, candidate, rounds.length);
  complain(io, line);
  if (page && !json) complain(io, `open ${pageOf(drill.addr)} to see the rounds in a browser`);
  let isStopping = false;
  const release = onInterrupt(io, () => {
    drill.stop({ now: isStopping }).catch(() => {}); // it is awaited below
    isStopping = true;
  }, { hangup: true });
  try {
    const results = await drill.finished;
    report.end(results);
    await log.end("");
    if (failure !== undefined) throw failure;
    const { failed, missing } = count(results, rounds);
    return missing > 0 ? 130 : failed > 0 ? 1 : 0;
  } catch (error) {
    if (!(error instanceof CandidateError)) throw error;
    report.clear();
    await log.end("");
    if (json) printError(io, error.message);
    complain(io, error.message);
    return 2;
  } finally {
    release(); // until then, an interrupt must not end the process
  }
}

function kindOf(candidate: Flags["candidate"]): CandidateKind {
  if (candidate === undefined) return "wire";
  return typeof candidate === "string" ? "module" : "command";
}

function greeting(where: string, candidate: Flags["candidate"], count: number): string {
  if (candidate === undefined) {
    const times = count === 1 ? "once" : `${count} times`;
    return `drill on ${where}: run your client ${times}, Ctrl-C ends it`;
  }
  const name = typeof candidate === "string" ? candidate : candidate.join(" ");
  const rounds = count === 1 ? "1 round" : `${count} rounds`;
  return `drill on ${where}: ${rounds} with ${name}, Ctrl-C ends it`;
}

/** What a candidate has printed, each line behind a bar. */
function quoted(output: string): string {
  return output.trimEnd().replace(/^/gm, "   | ") + "\n";
}

function count(results: DrillResult[], rounds: DrillRound[]) {
  const passed = results.filter((result) => result.passed).length;
  return { passed, failed: results.length - passed, missing: rounds.length - results.length };
}

/** What is printed about the rounds. */
interface Report {
  waiting(round: DrillRound): void;
  begun(round: DrillRound): void;
  /** Takes the result of a round. If a PUT came late, it replaces the one before. */
  result(result: DrillResult): void;
  end(results: DrillResult[]): void;
  /** Removes what is not yet complete. */
  clear(): void;
}

/** A line for each result, with help for a client that failed, and a table at the end. */
class TextReport implements Report {
  readonly #put: (text: string) => void;
  readonly #rounds: DrillRound[];
  readonly #candidate: Flags["candidate"];
  readonly #portFlag: string;
  readonly #columns: number;
  readonly #paint: Paint;
  readonly #isLive: boolean; // the line of the round under way changes
  readonly #erase: string;
  readonly #judged = new Set<string>();
  #cause: DrillCause | null = null; // of the last round

  constructor(
    put: (text: string) => void,
    rounds: DrillRound[],
    stdout: OutputStream,
    { candidate, port, verbose: isVerbose }: Flags,
  ) {
    this.#put = put;
    this.#rounds = rounds;
    this.#candidate = candidate;
    this.#portFlag = port === 5000 || port === 0 ? "" : ` --port ${port}`;
    this.#columns = columnsOf(stdout);
    this.#paint = painter(stdout);
    this.#isLive = stdout.isTerminal() && !isVerbose; // else the log may come in between
    this.#erase = this.#isLive ? "\r\x1b[K" : "";
  }

  waiting(round: DrillRound): void {
    if (this.#candidate === undefined) this.#progress("waiting for", round);
  }

  begun(round: DrillRound): void {
    this.#progress("round", round);
  }

  #progress(what: string, round: DrillRound): void {
    if (!this.#isLive) return;
    const count = `${this.#judged.size + 1} of ${this.#rounds.length}`;
    const line = `… ${what} ${count}: ${this.#summary(round).trimEnd()}`;
    this.#put(`${this.#erase}${cut(line, this.#columns - 1)}`); // a longer one would stay
  }

  result(result: DrillResult): void {
    const { passed, cause } = result;
    const id = this.#label(result);
    const isLate = this.#judged.has(id);
    this.#judged.add(id);
    const late = isLate ? " (corrected)" : "";
    let text = `${this.#erase}${this.#mark(passed)} ${this.#summary(result)}${late}\n`;
    const isSame = cause !== null && cause.rationale === this.#cause?.rationale &&
      cause.help === this.#cause.help;
    if (isSame) text += "    as above\n";
    else if (cause) {
      text += wrap("    error: ", escapeControls(cause.rationale), this.#columns) +
        wrap("    help: ", escapeControls(cause.help), this.#columns);
    }
    this.#cause = cause;
    this.#put(text);
    if (isLate) this.waiting(this.#rounds[this.#judged.size]);
  }

  end(results: DrillResult[]): void {
    this.clear();
    const flaw = results.find((result) => !result.passed);
    let text = typeof this.#candidate === "string" && results.length > 1
      ? this.#table(results)
      : "";
    text += this.#scores(results);
    text += warnings(results);
    if (flaw) text += `to try one round again: ${this.#again(flaw.name)}\n`;
    this.#put(text);
  }

  clear(): void {
    this.#put(this.#erase);
  }

  /** The flags of a further drill. */
  #again(name: string): string {
    const candidate = this.#candidate;
    const flags = `--fault ${name}${this.#portFlag}`;
    if (typeof candidate === "string") return `--drill ${quoteForShell(candidate)} ${flags}`;
    return `--drill ${flags}${candidate ? ` -- ${candidate.map(quoteForShell).join(" ")}` : ""}`;
  }

  /** A row for each fault and a column for each function, in two halves. */
  #table(results: DrillResult[]): string {
    const names = [...new Set(this.#rounds.map(({ name }) => name))];
    const cell = (name: string, fn: string) => {
      const result = results.find((result) => result.name === name && result.function === fn);
      return `${result ? this.#mark(result.passed) : " "}      `;
    };
    const rows = names.map((name) =>
      `${name.padEnd(12)}${cell(name, "do_key")} ${cell(name, "do_put")}`
    );
    const half = names.length > 11 ? Math.ceil(names.length / 2) : names.length;
    const head = `${"".padEnd(12)}do_key  do_put `;
    const heads = half < names.length ? `${head}    ${head}` : head;
    const lines = rows.slice(0, half).map((row, at) => `${row}    ${rows[at + half] ?? ""}`);
    return `\n${[heads, ...lines].map((line) => `${line.trimEnd()}\n`).join("")}\n`;
  }

  #scores(results: DrillResult[]): string {
    const isModule = typeof this.#candidate === "string";
    const groups = isModule ? ["do_key", "do_put"] as const : [undefined];
    return groups.map((group) => {
      const isMine = (round: DrillRound) => group === undefined || round.function === group;
      const rounds = this.#rounds.filter(isMine);
      if (rounds.length === 0) return "";
      const { passed, missing } = count(results.filter(isMine), rounds);
      const rest = missing > 0 ? `, ${missing} without a verdict` : "";
      return `${group ? `${group}: ` : ""}${passed} of ${rounds.length} passed${rest}\n`;
    }).join("");
  }

  #summary(round: DrillRound): string {
    return `${this.#label(round)} ${round.description}`;
  }

  /** The name of a round, in a column. */
  #label(round: DrillRound): string {
    const isModule = typeof this.#candidate === "string";
    return labelOf(round, isModule).padEnd(isModule ? 18 : 14);
  }

  #mark(passed: boolean): string {
    return passed ? this.#paint(32, "✔") : this.#paint(31, "✘");
  }
}

/** What this server puts up with in the requests, and others may not. */
function warnings(results: DrillResult[]): string {
  const remarks = new Map<string, Remark>();
  for (const event of results.flatMap(({ events }) => events)) {
    if (event.type !== "remark" || event.remark.severity !== "warning") continue;
    if (!remarks.has(event.remark.code)) remarks.set(event.remark.code, event.remark);
  }
  return [...remarks.values()].map(({ code, fact, help, fix }) =>
    `warning[${code}]: ${fact}\n${wrap("help: ", fix ?? help)}`
  ).join("");
}

/** A JSON object for each result, as check50 has it, and one with the counts at the end. */
class JsonReport implements Report {
  readonly #put: (text: string) => void;
  readonly #rounds: DrillRound[];
  #pending?: DrillResult; // printed when the next round begins: a late PUT may replace it

  constructor(put: (text: string) => void, rounds: DrillRound[]) {
    this.#put = put;
    this.#rounds = rounds;
  }

  waiting(): void {}

  begun(): void {
    if (this.#pending) this.#put(resultLine(this.#pending));
    this.#pending = undefined;
  }

  result(result: DrillResult): void {
    this.#pending = result;
  }

  end(results: DrillResult[]): void {
    this.begun();
    this.#put(jsonLine(count(results, this.#rounds)));
  }

  clear(): void {}
}

function resultLine({ events, output: _, description, demand, ...result }: DrillResult): string {
  const lines: string[] = [];
  const eventLog = new EventLog((text) => lines.push(text), (_, text) => text, false);
  for (const event of events) eventLog.add(event);
  const log = lines.join("").split("\n").filter((line) => line !== "");
  const { function: fn, name, passed, returned, raised, cause } = result;
  const about = { function: fn, name, description: `${description}: ${demand}`, passed };
  return jsonLine({ ...about, returned, raised, log, cause });
}
