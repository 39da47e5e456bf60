/**
 * The events of the practice server, as lines for people and as JSON.
 *
 * @module
 */

import type { Remark } from "../practice/rules.ts";
import type { KeyServerEvent } from "../practice/server.ts";
import { requestLine, visible } from "../practice/text.ts";
import { authority, cut, jsonLine, type OutputStream } from "./output.ts";

const ENCODER = new TextEncoder();
const MAX_SHOWN_BODY = 4096; // bytes
const MAX_WAITING = 4_194_304; // characters of a log that is not read as fast as it is written
const LF = 0x0a;

/** Writes without ever waiting for who reads: what is too much is dropped, and counted. */
export class Log {
  readonly isColored: boolean;
  #stream: OutputStream;
  #formatLost: (count: number) => string;
  #waiting: string[] = [];
  #size = 0; // characters waiting
  #lost = 0; // prints dropped since the last one that was not
  #isGone = false; // nobody reads it any more
  #writing: Promise<void> | undefined = undefined;
  #onFailure?: (error: unknown) => void;

  constructor(
    stream: OutputStream,
    formatLost: (count: number) => string,
    onFailure?: (error: unknown) => void,
  ) {
    this.#stream = stream;
    this.#formatLost = formatLost;
    this.#onFailure = onFailure;
    this.isColored = stream.isTerminal() && !Deno.noColor;
  }

  print(text: string): void {
    if (this.#size > MAX_WAITING) this.#lost++;
    else this.#add(text);
  }

  /** Prints something last, whatever is waiting, and gives it a moment. */
  async end(text: string): Promise<void> {
    this.#add(text);
    const moment = Promise.withResolvers<void>();
    const timer = setTimeout(moment.resolve, 200);
    await Promise.race([this.#writing, moment.promise]);
    clearTimeout(timer);
  }

  #add(text: string): void {
    if (this.#isGone) return;
    if (this.#lost > 0) this.#waiting.push(this.#formatLost(this.#lost));
    this.#lost = 0;
    this.#waiting.push(text);
    this.#size += text.length;
    this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const bytes = ENCODER.encode(this.#waiting.join(""));
        this.#waiting = [];
        this.#size = 0;
        for (let sent = 0; sent < bytes.length;) {
          const rest = bytes.subarray(sent);
          sent += await (this.#stream.write?.(rest) ?? this.#stream.writeSync(rest));
        }
      }
    } catch (error) {
      this.#isGone = true;
      this.#onFailure?.(error);
    }
    this.#writing = undefined;
  }
}

/** Shows what happens: a line for each request, and what there is to say about it. */
export function logger(
  log: Pick<Log, "isColored" | "print">,
  isVerbose: boolean,
): (event: KeyServerEvent) => void {
  const paint = (code: number, text: string) =>
    log.isColored ? `\x1b[${code}m${text}\x1b[0m` : text;
  const requests = new Map<number, { reads: number; remarks: Remark[] }>(); // being answered
  let heading = ""; // the last one, of what is about no answer

  const head = ({ time, peer }: KeyServerEvent) =>
    `${new Date(time).toTimeString().slice(0, 8)} ${authority(peer.hostname, peer.port)}  `;
  const remarkLines = ({ severity, message, start, end }: Remark, bytes: Uint8Array) => {
    const color = { error: 31, warning: 33, note: 36 }[severity];
    const lines = severity === "note" ? [] : excerpt(bytes, start, end, isVerbose);
    const caret = lines.pop();
    return `  ${paint(color, severity)}: ${message}\n` +
      lines.map((line) => `    ${line}\n`).join("") +
      (caret === undefined ? "" : `    ${paint(color, caret)}\n`);
  };
  return (event) => {
    let text = "";
    switch (event.type) {
      case "connected":
        if (isVerbose) text = `${head(event)}connected\n`;
        break;
      case "request":
        requests.set(event.connection, { reads: event.reads, remarks: [] });
        break;
      case "remark": {
        const request = requests.get(event.connection);
        if (request) {
          request.remarks.push(event.remark);
          break;
        }
        const line = requestLine(event.bytes);
        const isUnfinished = event.remark.severity === "error"; // which comes before its warnings
        if (heading !== `${event.connection} ${line}`) {
          heading = `${event.connection} ${line}`;
          text = `${head(event)}${line}${isUnfinished ? "  unfinished" : ""}\n`;
          if (isVerbose && isUnfinished) text += wireLines(">", event.bytes);
        }
        log.print(text + remarkLines(event.remark, event.bytes));
        return;
      }
      case "answer": {
        const { status, request, bytes } = event;
        if (status === 100) { // the answer itself is still to come
          if (isVerbose) {
            text = `${head(event)}${requestLine(request)}\n${wireLines("<", bytes)}`;
          }
          break;
        }
        const outcome = status === 0 ? "no answer" : `${status}`;
        const fault = event.fault ? ` (${event.fault})` : "";
        const color = status < 400 && status > 0 ? 32 : 31;
        text = `${head(event)}${requestLine(request)}  ${paint(color, outcome)}${fault}\n`;
        const { reads, remarks } = requests.get(event.connection) ?? { reads: 0, remarks: [] };
        if (isVerbose) {
          const pieces = reads === 1 ? "in one read" : `in ${reads} reads`;
          text += `${wireLines(">", request)}   (${request.length} bytes, ${pieces})\n`;
        }
        if (event.error && remarks.every(({ severity }) => severity !== "error")) {
          text += `  ${paint(31, "error")}: ${event.error.message}\n`; // said before, of the unfinished request
        }
        for (const remark of remarks) text += remarkLines(remark, request);
        if (isVerbose && bytes.length > 0) text += wireLines("<", bytes);
        requests.delete(event.connection);
        break;
      }
      case "closed":
        requests.delete(event.connection);
        if (isVerbose) text = `${head(event)}closed by the ${event.by}\n`;
    }
    if (text === "") return;
    heading = "";
    log.print(text);
  };
}

/** The line of a request that a remark is about, and carets under what it is about. */
function excerpt(request: Uint8Array, start: number, end: number, isVerbose: boolean): string[] {
  const lineStart = start === 0 ? 0 : request.lastIndexOf(LF, start - 1) + 1;
  const lineEnd = request.indexOf(LF, start) + 1 || request.length;
  const line = visible(request.subarray(lineStart, lineEnd), isVerbose);
  const isEmpty = line.every((char) => char === "\\r" || char === "\\n");
  if (start === 0 && end === 0 || start === end && isEmpty) return [];
  const before = line.slice(0, start - lineStart).join("");
  const marked = line.slice(start - lineStart, end - lineStart).join("");
  const from = Math.max(0, before.length - 60); // a long line is cut on both sides
  const shown = (from > 0 ? "..." : "") + line.join("").slice(from);
  const indent = before.length - from + (from > 0 ? 3 : 0);
  return [
    cut(shown, 100),
    " ".repeat(indent) + "^".repeat(Math.min(Math.max(1, marked.length), 100 - indent)),
  ];
}

/** The wire, a line each, with its line ends. */
function wireLines(arrow: string, bytes: Uint8Array): string {
  const more = bytes.length - MAX_SHOWN_BODY;
  let text = "";
  for (let at = 0; at < bytes.length && at < MAX_SHOWN_BODY;) {
    const end = bytes.indexOf(LF, at) + 1 || bytes.length;
    text += `   ${arrow} ${
      visible(bytes.subarray(at, Math.min(end, MAX_SHOWN_BODY)), true).join("")
    }\n`;
    at = end;
  }
  return more > 0 ? `${text}   (${more} more bytes)\n` : text;
}

/** An event as one JSON object on a line; bytes become characters, as ISO 8859-1 has it. */
export function eventLine(event: KeyServerEvent): string {
  const { type, connection, peer, time } = event;
  const common = {
    event: type,
    connection,
    peer: authority(peer.hostname, peer.port),
    time: new Date(time).toISOString(),
  };
  switch (event.type) {
    case "request": {
      const { method, userId, reads, bytes } = event;
      return jsonLine({ ...common, method, user: userId ?? null, reads, wire: latin1(bytes) });
    }
    case "remark":
      return jsonLine({ ...common, ...event.remark });
    case "answer": {
      const { method, userId, status, message, bytes } = event;
      const about = { user: userId ?? null, status, message, fault: event.fault ?? null };
      return jsonLine({ ...common, method, ...about, wire: latin1(bytes) });
    }
    case "closed":
      return jsonLine({ ...common, by: event.by });
    default:
      return jsonLine(common);
  }
}

function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}
