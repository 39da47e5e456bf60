/**
 * Makes remarks on a request from the rows of the table of mistakes.
 *
 * @module
 */

import { type About, type Part, type RemarkCode, type Rule, RULES } from "./rules.ts";
import { cut, decodeLatin1, escapeControls, visible } from "./text.ts";

/**
 * How serious a remark is. An `"error"` is the reason why the server refuses a request. A
 * `"warning"` is a mistake that this server accepts, but other servers do not. A `"note"` is useful
 * to know.
 */
export type Severity = "error" | "warning" | "note";

/**
 * A remark on a request.
 *
 * @example Usage
 * ```ts
 * import { checkRequest, type Remark } from "./check.ts";
 *
 * const [remark]: Remark[] = checkRequest(new TextEncoder().encode("key /user/Ada/ HTTP/1.1\r\n\r\n"));
 * console.log(remark.code, remark.status, remark.start, remark.end); // method-case 405 0 3
 * ```
 */
export interface Remark {
  /** Identifies the remark in programs. */
  code: RemarkCode;
  /** How serious it is. */
  severity: Severity;
  /** The status of the response, if this is an error: 400, 404 or 405. */
  status?: number;
  /** What is wrong, in at most 60 characters. */
  fact: string;
  /** What to do about it, in one line. */
  help: string;
  /** The client's own line, corrected, if that can be computed. The middle of a key is left out. */
  fix?: string;
  /** Offset of the first byte that the remark is about. */
  start: number;
  /** Offset after the last of these bytes. It is the same as `start` if something is missing. */
  end: number;
}

/**
 * Makes a remark from a row of the table.
 *
 * @param code The code of the row.
 * @param start Offset of the first byte that the remark is about.
 * @param end Offset of the byte after the last one.
 * @param found The text that the fact or the help quotes.
 * @param about Other values that the fact or the help mentions.
 * @returns The remark.
 *
 * @example Usage
 * ```ts
 * import { remarkOf } from "./remark.ts";
 *
 * console.log(remarkOf("no-key-issued", 9, 12, "Ada").fact);
 * ```
 */
export function remarkOf(
  code: RemarkCode,
  start: number,
  end: number,
  found = "",
  about: Partial<About> = {},
): Remark {
  return fillIn(ruleOf(code), start, end, found, about);
}

function ruleOf(code: RemarkCode): Rule {
  return Object.values(RULES).flat().find((rule) => rule[0] === code)!;
}

function fillIn(
  [code, verdict, , fact, help]: Rule,
  start: number,
  end: number,
  found: string,
  about: Partial<About>,
): Remark {
  const isError = typeof verdict === "number";
  const { owner = "", host = DEFAULT_HOST } = about;
  const all = { ...about, host, owner: show(owner, MAX_QUOTED) } as About;
  return {
    code,
    severity: isError ? "error" : verdict,
    ...isError && { status: verdict },
    fact: textOf(fact, show(found, MAX_QUOTED), all),
    help: textOf(help, show(found), all),
    start,
    end,
  };
}

function textOf(text: Rule[3], found: string, about: About): string {
  return typeof text === "string" ? text : text(found, about);
}

const DEFAULT_HOST = "127.0.0.1:5000";

/** How many characters of a text are matched against the patterns of the table. */
export const MAX_EXPLAINED = 4096;

/** The remarks on one request, each code at most once. */
export class RemarkList {
  #remarks: Remark[] = [];
  #replacements = new Map<RemarkCode, string>();
  #host: string | undefined;

  /** @param host The address of the server, for help texts. */
  constructor(host?: string) {
    this.#host = host;
  }

  /** The port of the server, if its address is known. */
  get port(): string | undefined {
    return /\d+$/.exec(this.#host ?? "")?.[0];
  }

  /** All remarks, in the order in which they were found. */
  get all(): readonly Remark[] {
    return this.#remarks;
  }

  /** The number of remarks. */
  get count(): number {
    return this.#remarks.length;
  }

  /** The last remark. */
  get last(): Remark | undefined {
    return this.#remarks.at(-1);
  }

  /**
   * Adds the remark with this code.
   *
   * @param code The code of the row.
   * @param start Offset of the first byte that the remark is about.
   * @param size How many bytes it is about.
   * @param about Values that the remark mentions.
   */
  say(code: RemarkCode, start: number, size = 0, about: Partial<About> = {}): void {
    if (this.#has(code)) return;
    const all = { ...about, host: this.#host ?? DEFAULT_HOST };
    this.#remarks.push(remarkOf(code, start, start + size, "", all));
    const replacement = ruleOf(code)[5];
    if (replacement !== undefined) {
      this.#replacements.set(code, textOf(replacement, "", all as About));
    }
  }

  /**
   * Matches a text against a part of the table. Adds the remark of the first row that matches.
   *
   * @param part The part of the table.
   * @param text The text to match.
   * @param at Its offset in the request.
   * @param context Values that the remark mentions.
   * @param size The number of bytes of the text in the request. It differs if the text was decoded.
   * @returns The code of the row that matches, if any.
   */
  explain(
    part: Part,
    text: string,
    at: number,
    context: Partial<About> = {},
    size: number = text.length,
  ): RemarkCode | undefined {
    const shown = text.slice(0, MAX_EXPLAINED);
    const rule = RULES[part].find(([, , pattern]) => pattern!.test(shown));
    if (rule === undefined) return undefined;
    const [code, , pattern] = rule;
    if (this.#has(code)) return code;
    const match = new RegExp(pattern!, "d" + pattern!.flags).exec(shown)!;
    let [start, end] = match.indices!.groups?.here ?? match.indices![0]!;
    const found = shown.slice(start, end);
    if (size !== text.length) [start, end] = [0, size]; // offsets in decoded text are of no use
    const host = this.#host ?? DEFAULT_HOST;
    const about = { ...context, size: found.length, partSize: text.length, host };
    const replacement = rule[5];
    if (replacement !== undefined && size === text.length) {
      this.#replacements.set(code, textOf(replacement, found, { ...about } as About));
    }
    const ascii = found.replace(/[\x80-\xff]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`);
    this.#remarks.push(fillIn(rule, at + start, at + end, ascii, about));
    return code;
  }

  /** Moves the remark with this code to the front. */
  putFirst(code: RemarkCode): void {
    const at = this.#remarks.findIndex((remark) => remark.code === code);
    this.#remarks.unshift(...this.#remarks.splice(at, 1));
  }

  /** Removes the remark with this code. */
  withdraw(code: RemarkCode): void {
    this.#remarks = this.#remarks.filter((remark) => remark.code !== code);
  }

  /** Returns the remarks, with corrected lines if they can be computed. */
  withFixes(request: Uint8Array): Remark[] {
    return this.#remarks.map((remark) => {
      const replacement = this.#replacements.get(remark.code);
      const fix = replacement === undefined ? undefined : fixOf(remark, replacement, request);
      return fix === undefined ? remark : { ...remark, fix };
    });
  }

  #has(code: RemarkCode): boolean {
    return this.#remarks.some((remark) => remark.code === code);
  }
}

/** Returns the line that a remark is about, with the replacement in it. */
function fixOf({ start, end }: Remark, replacement: string, request: Uint8Array) {
  const lineStart = start === 0 ? 0 : request.lastIndexOf(LF, start - 1) + 1;
  const next = request.indexOf(LF, end);
  const lineEnd = next < 0 ? request.length : next;
  if (lineEnd - lineStart > MAX_FIXED) return undefined;
  const before = decodeLatin1(request.subarray(lineStart, start));
  const line = (before + replacement + decodeLatin1(request.subarray(end, lineEnd))).trimEnd();
  if (!SOUND_LINE_REGEXP.test(line)) return undefined; // the line has another mistake
  const shown = visible(Uint8Array.from(line, (char) => char.charCodeAt(0)), false).join("");
  return shown.length > MAX_FIXED ? undefined : shown;
}

/** Cuts text and escapes what could move a terminal's cursor or end the line. */
function show(text: string, length = MAX_SHOWN): string {
  return cut(escapeControls(text.slice(0, length + 1).toWellFormed()), length);
}

const MAX_SHOWN = 60; // characters in a help
const MAX_QUOTED = 20; // characters in a fact
const MAX_FIXED = 400; // characters of a corrected line
const LF = 0x0a;
// A correct request line for this server, or a header field.
const SOUND_LINE_REGEXP =
  /^(?:KEY \/user\/[\w.~!$&'()*+,;=:@%-]+|PUT \/key\/[\w.~!$&'()*+,;=:@%-]+\/[\da-fA-F]{128})\/ HTTP\/1\.1$|^[\w-]+:[ -~]*[!-~]$/;
