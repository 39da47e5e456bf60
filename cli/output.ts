/**
 * What the command line writes: streams, escapes, colours, JSON.
 *
 * @module
 */

import { escapeControls, UNSAFE_REGEXP } from "../practice/text.ts";

/** What `main` reads from and writes to, instead of the process's own streams. */
export interface MainIo {
  /** Where `--put -` reads the key. */
  stdin: { read(p: Uint8Array): Promise<number | null>; isTerminal?(): boolean };
  /** Where results go. */
  stdout: OutputStream;
  /** Where everything else goes. */
  stderr: OutputStream;
  /** Interrupts, as Ctrl-C does. */
  signal?: AbortSignal;
}

/** Where `main` writes. */
export interface OutputStream {
  /** Writes, and waits until it is done. */
  writeSync(p: Uint8Array): number;
  /** Writes. `--serve` uses it if it exists, so that a slow reader does not stop the server. */
  write?(p: Uint8Array): Promise<number>;
  /** Whether a person may be looking. */
  isTerminal(): boolean;
  /** How many characters fit into a line. By default as many as into one of the terminal, or 80. */
  columns?(): number;
}

/** Standard output has failed. */
export class OutputError extends Error {}

const ENCODER = new TextEncoder();

/** Writes a result to stdout. */
export function print(stdout: OutputStream, content: string | Uint8Array): void {
  try {
    write(stdout, content);
  } catch (cause) {
    throw new OutputError(outputFailure(cause), { cause });
  }
}

/** Returns the message about a stdout that fails. */
export function outputFailure(error: unknown): string {
  return `Cannot write to standard output: ${(error as Error).message}`;
}

/** Writes to stderr. If that fails, the result and the exit status stay the same. */
export function say({ stderr }: MainIo, text: string): void {
  try {
    write(stderr, text);
  } catch {
    // It is full or closed, and there is no other place to say so.
  }
}

/** Writes a line to stderr, and a second one that says what to try. */
export function complain(io: MainIo, message: string, help?: string): void {
  const lines = [`key_client: ${message}`, help === undefined ? [] : `help: ${help}`].flat()
    .map((line) => line.replaceAll("\r", "\\r").replaceAll("\n", "\\n"));
  say(io, `${shown(io.stderr, lines.join("\n"))}\n`);
}

function write(stream: OutputStream, content: string | Uint8Array): void {
  const bytes = typeof content === "string" ? ENCODER.encode(content) : content;
  for (let sent = 0; sent < bytes.length;) sent += stream.writeSync(bytes.subarray(sent));
}

/** Returns the text as it may be written: a terminal gets no character that could move it. */
export function shown(stream: OutputStream, text: string): string {
  return stream.isTerminal() ? escapeControls(text, { keepLines: true }) : text;
}

/** Adds a colour or a style to text, by its number in ECMA-48, if that is wanted. */
export type Paint = (code: number, text: string) => string;

/** Returns what colours the text for a stream. */
export function painter(stream: OutputStream): Paint {
  const isColored = stream.isTerminal() && !Deno.noColor;
  return (code, text) => isColored ? `\x1b[${code}m${text}\x1b[0m` : text;
}

/** Returns the width of the terminal, or 80. */
export function columnsOf(stream: OutputStream): number {
  if (stream.columns) return stream.columns();
  const isOurs = stream === Deno.stdout || stream === Deno.stderr;
  return isOurs && stream.isTerminal() ? Deno.consoleSize().columns : 80;
}

/** Wraps text by words: `start` comes before the first line, as many spaces before the others. */
export function wrap(start: string, text: string, columns = 80): string {
  const lines: string[] = [];
  let line = start;
  const indent = " ".repeat(start.length);
  for (const word of text.split(" ")) {
    if (line.length > indent.length && line.length + word.length >= columns) {
      lines.push(line.trimEnd());
      line = indent;
    }
    line += `${word} `;
  }
  lines.push(line.trimEnd());
  return `${lines.join("\n")}\n`;
}

/** Prints the JSON object of a conversation: the same names, whatever happened. */
export function printJson(io: MainIo, values: Record<string, unknown>): void {
  const names = ["exit", "host", "port", "user", "key", "status", "message", "error", "ms"];
  const object = Object.fromEntries(names.map((name) => [name, values[name] ?? null]));
  print(io.stdout, jsonLine(object));
}

/** Prints the JSON object of an error instead of events, or of a drill. */
export function printError(io: MainIo, message: string, help?: string): void {
  print(io.stdout, jsonLine({ event: "error", message, help: help ?? null }));
}

/** Returns a line of JSON. What could move a terminal is escaped, which means the same. */
export function jsonLine(value: unknown): string {
  const json = JSON.stringify(value).replace(
    UNSAFE_REGEXP,
    (char) =>
      char.replace(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`),
  );
  return `${json}\n`;
}

/** Returns host and port as in a URL. */
export function authority(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
