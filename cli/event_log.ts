/**
 * Formats the events of the practice server: as a log, and as JSON.
 *
 * @module
 */

import type { AnswerEvent, KeyServerEvent, Remark, RemarkEvent } from "../practice/server.ts";
import {
  cut,
  decodeLatin1,
  type Excerpt,
  excerpt,
  requestLine,
  visible,
} from "../practice/text.ts";
import { authority, jsonLine, type Paint, wrap } from "./output.ts";

const MAX_SHOWN_BODY = 4096; // bytes
const MIN_LINE = 20; // characters of a request line, however narrow the terminal is
const MAX_SAID = 10_000;
const LF = 0x0a;

/** Prints a line for each request, then its remarks. If verbose, also prints all bytes. */
export class EventLog {
  readonly #print: (text: string) => void;
  readonly #paint: Paint;
  readonly #isVerbose: boolean;
  readonly #columns: number | undefined; // of a terminal
  readonly #said = new Set<string>(); // client and code of each warning and note so far
  readonly #requests = new Map<number, Request>(); // by connection: without a response yet
  #heading = ""; // the last line above remarks without a response

  constructor(print: (text: string) => void, paint: Paint, isVerbose: boolean, columns?: number) {
    this.#columns = columns;
    this.#print = print;
    this.#paint = paint;
    this.#isVerbose = isVerbose;
  }

  add(event: KeyServerEvent): void {
    if (event.isBrowser && !this.#isVerbose) return void this.#requests.delete(event.connection);
    const text = event.type === "remark" ? this.#formatRemark(event) : this.#format(event);
    if (text === "") return;
    if (event.type !== "remark") this.#heading = "";
    this.#print(text);
  }

  #format(event: Exclude<KeyServerEvent, RemarkEvent>): string {
    switch (event.type) {
      case "connected":
        return this.#isVerbose ? `${start(event)}connected\n` : "";
      case "request":
        this.#requests.set(event.connection, { reads: event.reads, remarks: [] });
        return "";
      case "answer":
        return event.status === 100 ? this.#formatContinue(event) : this.#formatAnswer(event);
      case "closed":
        this.#requests.delete(event.connection);
        return this.#isVerbose ? `${start(event)}closed by the ${event.by}\n` : "";
    }
  }

  /** If a request is waiting for its response, keeps the remark until then. If not, formats it. */
  #formatRemark(event: RemarkEvent): string {
    const { connection, remark, bytes } = event;
    const request = this.#requests.get(connection);
    if (request) {
      request.remarks.push(remark);
      return "";
    }
    const line = this.#fit(requestLine(bytes), `${start(event)}  unfinished`);
    const lines = this.#remarkLines(event);
    if (this.#heading === `${connection} ${line}`) return lines;
    this.#heading = `${connection} ${line}`;
    const isUnfinished = remark.severity === "error"; // the error comes before the warnings
    const wire = this.#isVerbose && isUnfinished ? wireLines(">", bytes) : "";
    return `${start(event)}${line}${isUnfinished ? "  unfinished" : ""}\n${wire}${lines}`;
  }

  #formatContinue(event: AnswerEvent): string {
    if (!this.#isVerbose) return "";
    return `${start(event)}${requestLine(event.request)}\n${wireLines("<", event.bytes)}`;
  }

  #formatAnswer(event: AnswerEvent): string {
    const { connection, status, request, bytes, error } = event;
    const { reads, remarks } = this.#requests.get(connection) ?? { reads: 0, remarks: [] };
    this.#requests.delete(connection);
    const outcome = status === 0 ? "no response" : `${status}`;
    const fault = event.fault ? ` (${event.fault})` : "";
    const color = status < 400 && status > 0 ? 32 : 31;
    const prefix = start(event);
    const line = this.#fit(requestLine(request), `${prefix}  ${outcome}${fault}`);
    let text = `${prefix}${line}  ${this.#paint(color, outcome)}${fault}\n`;
    if (this.#isVerbose) {
      const pieces = reads === 1 ? "in one read" : `in ${reads} reads`;
      text += `${wireLines(">", request)}   (${request.length} bytes, ${pieces})\n`;
    }
    if (error && remarks.every(({ severity }) => severity !== "error")) {
      // The log already has the whole remark, from when the request was unfinished.
      text += `  ${this.#paint(31, `error[${error.code}]`)}: ${error.fact}\n`;
    }
    const { peer } = event;
    for (const remark of remarks) text += this.#remarkLines({ peer, remark, bytes: request });
    return this.#isVerbose ? `${text}${wireLines("<", bytes)}` : text;
  }

  /** Formats a remark. Repeats only the fact of a warning or note that the client already got. */
  #remarkLines({ peer, remark, bytes }: RemarkOfPeer): string {
    const { severity, code, fact, help, fix, start, end } = remark;
    const color = { error: 31, warning: 33, note: 36 }[severity];
    const headline = `  ${this.#paint(color, `${severity}[${code}]`)}: ${fact}\n`;
    if (severity !== "error" && !this.#isNew(`${peer.hostname} ${code}`)) return headline;
    const parts = severity === "note" ? undefined : excerpt(bytes, start, end, this.#isVerbose);
    const helps = [fix ?? [], help].flat();
    return headline + (parts ? this.#excerptLines(parts, color) : "") +
      helps.map((text, at) => wrap(at === 0 ? "  help: " : " ".repeat(8), text, this.#columns))
        .join("");
  }

  /** Formats a line of the request, with carets under the marked part. */
  #excerptLines([before, marked, after]: Excerpt, color: number): string {
    const carets = " ".repeat(before.length) + "^".repeat(Math.max(1, marked.length));
    return `    ${before}${marked}${after}\n    ${this.#paint(color, carets)}\n`;
  }

  /** Cuts a request line so that it fits into a line of the terminal, beside the rest of that line. */
  #fit(line: string, rest: string): string {
    return this.#columns === undefined
      ? line
      : cut(line, Math.max(MIN_LINE, this.#columns - 1 - rest.length));
  }

  /** Returns whether the name is new, and remembers it. */
  #isNew(name: string): boolean {
    if (this.#said.has(name)) return false;
    if (this.#said.size >= MAX_SAID) this.#said.clear();
    this.#said.add(name);
    return true;
  }
}

type RemarkOfPeer = Pick<RemarkEvent, "peer" | "remark" | "bytes">;

interface Request {
  reads: number;
  remarks: Remark[];
}

/** Returns the start of an event's line: the time and the client. */
function start({ time, peer }: KeyServerEvent): string {
  return `${new Date(time).toTimeString().slice(0, 8)} ${authority(peer.hostname, peer.port)}  `;
}

/** Formats the bytes of a message, each line with its line ending. */
function wireLines(arrow: string, bytes: Uint8Array): string {
  const more = bytes.length - MAX_SHOWN_BODY;
  const shown = bytes.subarray(0, MAX_SHOWN_BODY);
  let text = "";
  for (let at = 0; at < shown.length;) {
    const end = shown.indexOf(LF, at) + 1 || shown.length;
    text += `   ${arrow} ${visible(shown.subarray(at, end), true).join("")}\n`;
    at = end;
  }
  return more > 0 ? `${text}   (${more} more bytes)\n` : text;
}

/** Formats an event as a line of JSON. Decodes bytes as ISO 8859-1. */
export function eventLine(event: KeyServerEvent): string {
  const { type, connection, peer, time } = event;
  const common = {
    event: type,
    connection,
    peer: authority(peer.hostname, peer.port),
    time: new Date(time).toISOString(),
    ...event.isBrowser && { browser: true },
  };
  switch (event.type) {
    case "request": {
      const { method, userId, reads, bytes } = event;
      const wire = decodeLatin1(bytes);
      return jsonLine({ ...common, method, user: userId ?? null, reads, wire });
    }
    case "remark":
      return jsonLine({ ...common, ...event.remark });
    case "answer": {
      const { method, userId, status, message, bytes } = event;
      const about = { user: userId ?? null, status, message, fault: event.fault ?? null };
      return jsonLine({ ...common, method, ...about, wire: decodeLatin1(bytes) });
    }
    case "closed":
      return jsonLine({ ...common, by: event.by });
    default:
      return jsonLine(common);
  }
}
