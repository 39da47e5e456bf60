/**
 * The drill at a terminal.
 *
 * @module
 */

import { type DrillCause, type DrillResult, startDrill } from "../practice/drill.ts";
import { type Fault, type FaultName, FAULTS, type KeyServerEvent } from "../practice/server.ts";
import { EventLog } from "./event_log.ts";
import type { Flags } from "./flags.ts";
import { listen, onInterrupt } from "./listening.ts";
import { authority, complain, jsonLine, type MainIo, painter, print } from "./output.ts";
import { QueuedOutput } from "./queued_output.ts";

/** Breaks a text into lines that fit a terminal, indented. */
function wrap(text: string): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = `${lines.at(-1)} ${word}`;
    if (line.length > 76) lines.push(word);
    else lines[lines.length - 1] = line.trimStart();
  }
  return lines.map((line) => `    ${line}\n`).join("");
}

/** A verdict as one JSON object on a line, as check50 has it. */
function resultLine({ fault, passed, cause, events }: DrillResult, about: Fault): string {
  const lines: string[] = [];
  const eventLog = new EventLog((text) => lines.push(text), (_, text) => text, false);
  for (const event of events) eventLog.add(event);
  const description = `${about.description}: a good client ${about.good}`;
  const log = lines.join("").trimEnd().split("\n");
  return jsonLine({ name: fault, description, passed, log, cause });
}

export async function drill({ host, port, json, verbose }: Flags, io: MainIo): Promise<number> {
  const isTerminal = io.stdout.isTerminal();
  const isLive = isTerminal && !json && !verbose; // else something may come in between
  const paint = painter(io.stdout);
  const [bad, good] = [paint(31, "✘"), paint(32, "✔")];
  const stop = () => void drill?.stop();
  let failure: unknown; // of standard output: then nobody wants to know the rest
  const put = (text: string) => {
    try {
      if (failure === undefined) print(io.stdout, text);
    } catch (error) {
      failure = error;
      stop();
      stop();
    }
  };
  const names = Object.keys(FAULTS) as FaultName[];
  const line = (name: FaultName) => `${name.padEnd(11)} ${FAULTS[name].description}`;
  const erase = isLive ? "\r\x1b[K" : "";
  let count = 0;
  let pending: DrillResult | undefined = undefined; // a late PUT may still change it
  const printPending = () => {
    if (pending) put(resultLine(pending, FAULTS[pending.fault]));
    pending = undefined;
  };
  const onWaiting = (name: FaultName) => {
    if (isLive) put(`? ${line(name)}`);
  };
  const onBegun = (name: FaultName) => {
    printPending();
    if (isLive) put(`${erase}… ${line(name)}`);
  };
  let last: DrillCause | null = null;
  const onResult = (result: DrillResult) => {
    if (json) return void (pending = result);
    const { fault, passed, cause } = result;
    const isLate = names.indexOf(fault) < count;
    if (!isLate) count++;
    let text = `${erase}${passed ? good : bad} ${line(fault)}`;
    text += isLate ? " (a PUT came late)\n" : "\n";
    for (const [name, part] of [["cause", "rationale"], ["cure", "help"]] as const) {
      if (cause) {
        text += wrap(`${name}: ${cause[part] === last?.[part] ? "as above" : cause[part]}`);
      }
    }
    last = cause ?? last;
    put(text);
    if (isLate) onWaiting(names[count]);
  };
  const log = new QueuedOutput(io.stderr, (count) => `(${count} entries were not read in time)\n`);
  const eventLog = new EventLog((text) => log.print(text), painter(io.stderr), true);
  const onEvent = verbose ? (event: KeyServerEvent) => eventLog.add(event) : undefined;
  const start = () => startDrill({ hostname: host, port, onWaiting, onBegun, onResult, onEvent });
  const drill = listen(start, { host, port, json }, io);
  if (!drill) return 2;
  const { hostname, port: actualPort } = drill.addr;
  const where = authority(hostname, actualPort);
  const total = names.length;
  complain(io, `drill on ${where}: run your client ${total} times, Ctrl-C ends it`);
  const release = onInterrupt(io, stop);
  const results = await drill.finished;
  const passed = results.filter((result) => result.passed).length;
  const failed = results.length - passed;
  const missing = total - results.length;
  if (json) {
    printPending();
    put(jsonLine({ passed, failed, missing }));
  } else {
    const rows = results.map(({ fault, passed }) =>
      `${passed ? good : bad} ${fault.padEnd(11)} ${FAULTS[fault].good}\n`
    );
    let text = erase;
    if (rows.length > 0) text += `\n  ${"drill".padEnd(11)} a good client\n${rows.join("")}`;
    text += `${passed} of ${total} passed${missing > 0 ? `, ${missing} without a verdict` : ""}\n`;
    const flaw = results.find((result) => !result.passed);
    if (flaw) text += `to try a fault by itself: --serve --fault ${flaw.fault}\n`;
    if (passed > 0) {
      text += "not judged: whether your client showed what it heard, and no traceback\n";
    }
    put(text);
  }
  await log.end("");
  release(); // not before all is said
  if (failure !== undefined) throw failure;
  return missing > 0 ? 130 : failed > 0 ? 1 : 0;
}
