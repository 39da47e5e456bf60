/**
 * The drill at a terminal.
 *
 * @module
 */

import {
  type DrillCause,
  type DrillOptions,
  type DrillResult,
  startDrill,
} from "../practice/drill.ts";
import { type FaultName, FAULTS } from "../practice/faults.ts";
import type { KeyServerEvent } from "../practice/server.ts";
import { EventLog } from "./event_log.ts";
import type { Flags } from "./flags.ts";
import { listen, onInterrupt } from "./listening.ts";
import {
  authority,
  complain,
  jsonLine,
  type MainIo,
  type OutputStream,
  type Paint,
  painter,
  print,
} from "./output.ts";
import { QueuedOutput } from "./queued_output.ts";

/** How long the drill waits, and for which faults. The command line has no flags for them. */
export type DrillSettings = Pick<
  DrillOptions,
  "delay" | "faults" | "patience" | "quiet" | "timeout"
>;

/** Runs the drill until all rounds are over, or it is interrupted; returns the exit status. */
export async function drill(
  flags: Flags,
  io: MainIo,
  settings: DrillSettings = {},
): Promise<number> {
  const { host, port, json, verbose } = flags;
  const faults = settings.faults ?? Object.keys(FAULTS) as FaultName[];
  let failure: unknown; // of stdout
  const put = (text: string) => {
    try {
      if (failure === undefined) print(io.stdout, text);
    } catch (error) {
      failure = error;
      drill?.stop({ now: true }); // nobody can read the rest
    }
  };
  const report = json
    ? new JsonReport(put, faults)
    : new TextReport(put, faults, io.stdout, verbose);
  const log = new QueuedOutput(
    io.stderr,
    (count) => `(${count} entries were not read in time)\n`,
  );
  const eventLog = new EventLog((text) => log.print(text), painter(io.stderr), true);
  const start = () =>
    startDrill({
      ...settings,
      hostname: host,
      port,
      faults,
      onWaiting: (fault) => report.waiting(fault),
      onBegun: (fault) => report.begun(fault),
      onResult: (result) => report.result(result),
      onEvent: verbose ? (event: KeyServerEvent) => eventLog.add(event) : undefined,
    });
  const drill = listen(start, flags, io);
  if (!drill) return 2;
  const where = authority(drill.addr.hostname, drill.addr.port);
  complain(io, `drill on ${where}: run your client ${faults.length} times, Ctrl-C ends it`);
  let isStopping = false;
  const release = onInterrupt(io, () => {
    drill.stop({ now: isStopping });
    isStopping = true;
  });
  const results = await drill.finished;
  report.end(results);
  await log.end("");
  release(); // until then, an interrupt must not end the process
  if (failure !== undefined) throw failure;
  const { failed, missing } = count(results, faults);
  return missing > 0 ? 130 : failed > 0 ? 1 : 0;
}

function count(results: DrillResult[], faults: FaultName[]) {
  const passed = results.filter((result) => result.passed).length;
  return { passed, failed: results.length - passed, missing: faults.length - results.length };
}

/** What is printed about the rounds. */
interface Report {
  waiting(fault: FaultName): void;
  begun(fault: FaultName): void;
  /** Takes the result of a round. If a PUT came late, it replaces the one before. */
  result(result: DrillResult): void;
  end(results: DrillResult[]): void;
}

/** A line for each result, with help for a client that failed, and a table at the end. */
class TextReport implements Report {
  readonly #put: (text: string) => void;
  readonly #faults: FaultName[];
  readonly #paint: Paint;
  readonly #isLive: boolean; // the line of the round under way changes
  readonly #erase: string;
  readonly #judged = new Set<FaultName>();
  #cause: DrillCause | null = null; // the last one

  constructor(
    put: (text: string) => void,
    faults: FaultName[],
    stdout: OutputStream,
    isVerbose: boolean,
  ) {
    this.#put = put;
    this.#faults = faults;
    this.#paint = painter(stdout);
    this.#isLive = stdout.isTerminal() && !isVerbose; // else the log may come in between
    this.#erase = this.#isLive ? "\r\x1b[K" : "";
  }

  waiting(fault: FaultName): void {
    if (this.#isLive) this.#put(`? ${summary(fault)}`);
  }

  begun(fault: FaultName): void {
    if (this.#isLive) this.#put(`${this.#erase}… ${summary(fault)}`);
  }

  result({ fault, passed, cause }: DrillResult): void {
    const isLate = this.#judged.has(fault);
    this.#judged.add(fault);
    const late = isLate ? " (a PUT came late)" : "";
    let text = `${this.#erase}${this.#mark(passed)} ${summary(fault)}${late}\n`;
    for (const [name, part] of [["cause", "rationale"], ["cure", "help"]] as const) {
      if (!cause) continue;
      text += wrap(`${name}: ${cause[part] === this.#cause?.[part] ? "as above" : cause[part]}`);
    }
    this.#cause = cause ?? this.#cause;
    this.#put(text);
    if (isLate) this.waiting(this.#faults[this.#judged.size]);
  }

  end(results: DrillResult[]): void {
    const { passed, missing } = count(results, this.#faults);
    const rows = results.map(({ fault, passed }) =>
      `${this.#mark(passed)} ${fault.padEnd(11)} ${FAULTS[fault].good}\n`
    );
    let text = this.#erase;
    if (rows.length > 0) text += `\n  ${"drill".padEnd(11)} a good client\n${rows.join("")}`;
    text += `${passed} of ${this.#faults.length} passed`;
    text += `${missing > 0 ? `, ${missing} without a verdict` : ""}\n`;
    const flaw = results.find((result) => !result.passed);
    if (flaw) text += `to try a fault by itself: --serve --fault ${flaw.fault}\n`;
    if (passed > 0) {
      text += "not judged: whether your client showed what it heard, and no traceback\n";
    }
    this.#put(text);
  }

  #mark(passed: boolean): string {
    return passed ? this.#paint(32, "✔") : this.#paint(31, "✘");
  }
}

function summary(fault: FaultName): string {
  return `${fault.padEnd(11)} ${FAULTS[fault].description}`;
}

/** Wraps text for a terminal of 80 columns, indented. */
function wrap(text: string): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = `${lines.at(-1)} ${word}`;
    if (line.length > 76) lines.push(word);
    else lines[lines.length - 1] = line.trimStart();
  }
  return lines.map((line) => `    ${line}\n`).join("");
}

/** A JSON object for each result, as check50 has it, and one with the counts at the end. */
class JsonReport implements Report {
  readonly #put: (text: string) => void;
  readonly #faults: FaultName[];
  #pending?: DrillResult; // printed when the next round begins: a late PUT may replace it

  constructor(put: (text: string) => void, faults: FaultName[]) {
    this.#put = put;
    this.#faults = faults;
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
    this.#put(jsonLine(count(results, this.#faults)));
  }
}

function resultLine({ fault, passed, cause, events }: DrillResult): string {
  const lines: string[] = [];
  const eventLog = new EventLog((text) => lines.push(text), (_, text) => text, false);
  for (const event of events) eventLog.add(event);
  const description = `${FAULTS[fault].description}: a good client ${FAULTS[fault].good}`;
  const log = lines.join("").trimEnd().split("\n");
  return jsonLine({ name: fault, description, passed, log, cause });
}
