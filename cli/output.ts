/**
 * Writes the output of the command line: streams, escapes, colours, JSON.
 *
 * @module
 */

import { escapeControls, UNSAFE_REGEXP } from "../practice/text.ts";

/** The streams that `main` uses instead of the process's own streams. */
export interface MainIo {
  /** The input of `--put -`: the key. */
  stdin: { read(p: Uint8Array): Promise<number | null>; isTerminal?(): boolean };
  /** The results. */
  stdout: OutputStream;
  /** All other output. */
  stderr: OutputStream;
  /** Interrupts `main`, like Ctrl-C. */
  signal?: AbortSignal;
}

/** A stream that `main` writes to. */
export interface OutputStream {
  /** Writes synchronously. */
  writeSync(p: Uint8Array): number;
  /** Writes asynchronously. `--serve` prefers it, so a slow reader does not block the server. */
  write?(p: Uint8Array): Promise<number>;
  /** Whether the stream is a terminal. */
  isTerminal(): boolean;
  /** The width of a line in characters. By default the width of the terminal, or 80. */
  columns?(): number;
}

/** The error if standard output fails. */
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

/** Returns the message for a failure of stdout. */
export function outputFailure(error: unknown): string {
  return `Cannot write to standard output: ${(error as Error).message}`;
}

/** Writes to stderr. If that fails, the result and the exit status stay the same. */
export function say({ stderr }: MainIo, text: string): void {
  try {
    write(stderr, text);
  } catch {
    // stderr is full or closed, and there is no other place to report it.
  }
}

/** Writes the message to stderr, and the help on a second line. Only a terminal gets them wrapped. */
export function complain(io: MainIo, message: string, help?: string): void {
  const { stderr } = io;
  const columns = stderr.isTerminal() ? columnsOf(stderr) : Infinity;
  const line = (start: string, text: string) =>
    wrap(start, text.replaceAll("\r", "\\r").replaceAll("\n", "\\n"), columns);
  const text = line("key_client: ", message) + (help === undefined ? "" : line("help: ", help));
  say(io, shown(stderr, text));
}

function write(stream: OutputStream, content: string | Uint8Array): void {
  const bytes = typeof content === "string" ? ENCODER.encode(content) : content;
  for (let sent = 0; sent < bytes.length;) sent += stream.writeSync(bytes.subarray(sent));
}

/** Returns the text. For a terminal, escapes characters that could move its cursor. */
export function shown(stream: OutputStream, text: string): string {
  return stream.isTerminal() ? escapeControls(text, { keepLines: true }) : text;
}

/** Adds a colour or a style to text, by its ECMA-48 number, if the stream shows colours. */
export type Paint = (code: number, text: string) => string;

/** Returns a function that colours text if the stream is a terminal. */
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

/** Wraps text between words. Puts `start` before the first line, and indents the others. */
export function wrap(start: string, text: string, columns = 80): string {
  const indent = " ".repeat(start.length);
  const lines = [start];
  for (const word of text.match(WORD_REGEXP) ?? []) {
    const isFirst = lines.at(-1)!.length === indent.length;
    if (!isFirst && (lines.at(-1) + word).trimEnd().length >= columns) lines.push(indent);
    lines[lines.length - 1] += word;
  }
  return lines.map((line) => `${line.trimEnd()}\n`).join("");
}

// A word and the spaces after it. Code in backquotes is one word.
const WORD_REGEXP = /(?:[^ `]|`[^`]*(?:`|$))+ *| +/g;

/** Prints the JSON object of a conversation, which always has the same names. */
export function printJson(io: MainIo, values: Record<string, unknown>): void {
  const names = ["exit", "host", "port", "user", "key", "status", "message", "error", "ms"];
  const object = Object.fromEntries(names.map((name) => [name, values[name] ?? null]));
  print(io.stdout, jsonLine(object));
}

/** Prints an error of `--serve` or `--drill` as a JSON object. */
export function printError(io: MainIo, message: string, help?: string): void {
  print(io.stdout, jsonLine({ event: "error", message, help: help ?? null }));
}

/** Returns a line of JSON. Escapes characters that could move a terminal's cursor. */
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
