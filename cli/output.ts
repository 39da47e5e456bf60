/**
 * What the command line writes: streams, escapes, JSON.
 *
 * @module
 */

/**
 * What {@linkcode main} reads and writes, in place of the process's own.
 *
 * @example Usage
 * ```ts
 * import { main, type MainIo } from "../main.ts";
 *
 * const quiet = { isTerminal: () => false, writeSync: (p: Uint8Array) => p.length };
 * const io: MainIo = { stdin: Deno.stdin, stdout: quiet, stderr: quiet };
 * console.log("exit status", await main(["--version"], io));
 * ```
 */
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

/** Where {@linkcode main} writes. */
export interface OutputStream {
  /** Writes, and waits until it is done. */
  writeSync(p: Uint8Array): number;
  /** Writes; `--serve` does so if it can, so that a reader who is slow stops nobody. */
  write?(p: Uint8Array): Promise<number>;
  /** Whether a person may be looking. */
  isTerminal(): boolean;
}

/** Standard output has failed. */
export class OutputError extends Error {}

const ENCODER = new TextEncoder();

export function complain(io: MainIo, message: string): void {
  const line = message.replaceAll("\r", "\\r").replaceAll("\n", "\\n");
  say(io, `key_client: ${shown(io.stderr, line)}\n`);
}

/** Writes to standard error, which costs no result if it fails. */
export function say({ stderr }: MainIo, text: string): void {
  try {
    write(stderr, text);
  } catch {
    // Full, or closed: there is no other place to say so.
  }
}

/** One object on one line, with the same names whatever happened. */
export function printJson(io: MainIo, values: Record<string, unknown>): void {
  const names = ["exit", "host", "port", "user", "key", "status", "message", "error", "ms"];
  const object = Object.fromEntries(names.map((name) => [name, values[name] ?? null]));
  print(io.stdout, jsonLine(object));
}

/** What happens instead of events, and of drills. */
export function printError(io: MainIo, message: string): void {
  print(io.stdout, jsonLine({ event: "error", message }));
}

/** A line of JSON that can move no terminal: what might is an escape, which means the same. */
export function jsonLine(value: unknown): string {
  const json = JSON.stringify(value).replace(
    /[\x7f-\x9f\p{Bidi_Control}\u2028\u2029]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `${json}\n`;
}

/** Makes control characters visible where they could drive somebody's terminal. */
export function shown(stream: MainIo["stdout"], text: string): string {
  return stream.isTerminal() ? escapeControls(text) : text;
}

export function escapeControls(text: string): string {
  return text.replace(
    /(?!\t|\r?\n)[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu,
    (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`,
  );
}

export function cut(text: string, width: number): string {
  return text.length > width
    ? `${text.slice(0, width - 3).replace(/[\ud800-\udbff]$/, "")}...`
    : text;
}

/** Host and port as they stand in a URL. */
export function authority(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Writes to standard output. */
export function print(stdout: OutputStream, content: string | Uint8Array): void {
  try {
    write(stdout, content);
  } catch (cause) {
    throw new OutputError(outputFailure(cause), { cause });
  }
}

export function outputFailure(error: unknown): string {
  return `Cannot write to standard output: ${(error as Error).message}`;
}

function write(stream: OutputStream, content: string | Uint8Array): void {
  const bytes = typeof content === "string" ? ENCODER.encode(content) : content;
  for (let sent = 0; sent < bytes.length;) sent += stream.writeSync(bytes.subarray(sent));
}
