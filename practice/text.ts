/**
 * Makes bytes and strings readable for people: decodes, escapes and cuts them.
 *
 * @module
 */

const CR = 0x0d;
const LF = 0x0a;

/**
 * Decodes ISO 8859-1: one character for each byte, so that offsets stay the same.
 * `TextDecoder("latin1")` would decode windows-1252.
 */
export function decodeLatin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode.apply(null, bytes.subarray(at, at + 8192) as unknown as number[]);
  }
  return text;
}

/** Trims spaces and tabs: the white space of RFC 9110 section 5.6.3. */
export function trim(text: string): string {
  return /[^\t ](?:.*[^\t ])?/.exec(text)?.[0] ?? "";
}

/**
 * Escapes every character that could move a terminal's cursor, hide or reorder text, or end a line.
 * With `keepLines`, tabs and line endings stay as they are.
 */
export function escapeControls(text: string, { keepLines = false } = {}): string {
  return text.replace(
    keepLines ? UNSAFE_BUT_LINES_REGEXP : UNSAFE_REGEXP,
    (char) => ESCAPES[char] ?? `\\u{${char.codePointAt(0)!.toString(16)}}`,
  );
}

/** Characters that {@linkcode escapeControls} escapes: control, format and line separators. */
export const UNSAFE_REGEXP = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
const UNSAFE_BUT_LINES_REGEXP = /(?!\t|\r?\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
const ESCAPES: Record<string, string> = { "\r": "\\r", "\n": "\\n", "\t": "\\t", "\0": "\\0" };

/** Cuts text to at most `length` UTF-16 code units. Text that was cut ends with `...`. */
export function cut(text: string, length: number): string {
  if (text.length <= length) return text;
  return `${text.slice(0, length - 3).replace(/[\ud800-\udbff]$/, "")}...`;
}

/**
 * Returns the first line of a request as ASCII, at most 100 characters. The middle of a key is left
 * out.
 */
export function requestLine(request: Uint8Array): string {
  const start = Math.max(0, request.findIndex((byte) => byte !== CR && byte !== LF));
  const line = request.subarray(start, start + 1024);
  const end = line.findIndex((byte) => byte === CR || byte === LF);
  const text = visible(line.subarray(0, end < 0 ? line.length : end), false).join("");
  return cut(text, 100) || "(nothing)";
}

/** How each byte is shown. */
const VISIBLE = Array.from({ length: 256 }, (_, byte) => {
  const char = String.fromCharCode(byte);
  if (char === "\\" || char === "\r" || char === "\n" || char === "\t") {
    return JSON.stringify(char).slice(1, -1);
  }
  return byte >= 0x20 && byte < 0x7f ? char : `\\x${byte.toString(16).padStart(2, "0")}`;
});

/**
 * Returns one ASCII string for each byte: a character, an escape sequence, or `""` if the byte is
 * left out. Unless `isWhole` is set, the middle of a key is left out.
 */
export function visible(bytes: Uint8Array, isWhole: boolean): string[] {
  const chars = Array.from(bytes, (byte) => VISIBLE[byte]);
  if (isWhole) return chars;
  let digits = 0;
  for (let at = 0; at <= chars.length; at++) {
    if (/^[\da-fA-F]$/.test(chars[at] ?? "")) {
      digits++;
      continue;
    }
    if (digits >= 32) chars.fill("", at - digits + 6, at - 4)[at - digits + 6] = "...";
    digits = 0;
  }
  return chars;
}

/** A line of a request, in three parts. The middle one is what a remark is about. */
export type Excerpt = [before: string, marked: string, after: string];

const MAX_EXCERPT = 100; // characters
const MAX_BEFORE = 60; // characters before the marked part
const MAX_READ = 1024; // bytes before and after the start of the marked part

/**
 * Returns the line of a request that a remark is about, as ASCII. Long lines are cut at both ends.
 * Returns `undefined` if there is nothing to show: the remark is not about a place in the request,
 * or it is about an empty line.
 */
export function excerpt(
  request: Uint8Array,
  start: number,
  end: number,
  isWhole: boolean,
): Excerpt | undefined {
  const lineStart = start === 0 ? 0 : request.lastIndexOf(LF, start - 1) + 1;
  const lineEnd = request.indexOf(LF, start) + 1 || request.length;
  const from = Math.max(lineStart, start - MAX_READ);
  const line = visible(request.subarray(from, Math.min(lineEnd, start + MAX_READ)), isWhole);
  const isEmpty = line.every((char) => char === "\\r" || char === "\\n");
  if (start === 0 && end === 0 || start === end && isEmpty) return undefined;
  const before = line.slice(0, start - from).join("");
  const marked = line.slice(start - from, end - from).join("");
  const cutAt = Math.max(0, before.length - MAX_BEFORE);
  const text = cut((cutAt > 0 ? "..." : "") + line.join("").slice(cutAt), MAX_EXCERPT);
  const markAt = before.length - cutAt + (cutAt > 0 ? 3 : 0);
  const markEnd = markAt + marked.length;
  return [text.slice(0, markAt), text.slice(markAt, markEnd), text.slice(markEnd)];
}

/** Returns the last line of the output of a program, if it is an error. */
export function lastError(output: string): string | undefined {
  // deno-lint-ignore no-control-regex
  const plain = output.replace(/\x1b\[[\d;]*m/g, "").trimEnd();
  const line = plain.slice(plain.lastIndexOf("\n") + 1);
  const error = /^(?:error: )?(?:Uncaught .*|[\w.]*(?:Error|Exception|Exit)\b.*)/.exec(line)?.[0] ??
    /^error: .*/m.exec(plain.slice(-4096))?.[0];
  return error && escapeControls(cut(error, 100));
}
