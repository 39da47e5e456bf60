/**
 * What is to be said about a request: a row of the table of mistakes, filled in.
 *
 * @module
 */

import { type About, type Part, type RemarkCode, type Rule, RULES } from "./rules.ts";
import { cut, escapeControls } from "./text.ts";

/**
 * How bad it is: an `"error"` is why a request is refused; a `"warning"` is what this server puts up
 * with and others will not; a `"note"` is worth knowing.
 */
export type Severity = "error" | "warning" | "note";

/**
 * Something that is to be said about a request.
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
  /** What it is about, for programs. */
  code: RemarkCode;
  /** How bad it is. */
  severity: Severity;
  /** The status of the answer, if it is an error: 400, 404 or 405. */
  status?: number;
  /** First the fact, then the likely cause and the cure, in one line. */
  message: string;
  /** Offset of the first byte that it is about. */
  start: number;
  /** Offset behind the last byte that it is about; the same as `start` where something is missing. */
  end: number;
}

/**
 * Makes a remark of a row of the table.
 *
 * @param code The code of the row.
 * @param start Offset of the first byte that the remark is about.
 * @param end Offset of the byte after the last one.
 * @param found The text that the message quotes.
 * @param about What else the message tells.
 * @returns The remark.
 *
 * @example Usage
 * ```ts
 * import { remarkOf } from "./remark.ts";
 *
 * console.log(remarkOf("no-key-issued", 9, 12, "Ada").message);
 * ```
 */
export function remarkOf(
  code: RemarkCode,
  start: number,
  end: number,
  found = "",
  about: Partial<About> = {},
): Remark {
  const rule = Object.values(RULES).flat().find((rule) => rule[0] === code)!;
  return fillIn(rule, start, end, found, about);
}

function fillIn(
  [code, verdict, , message]: Rule,
  start: number,
  end: number,
  found: string,
  about: Partial<About>,
): Remark {
  const isError = typeof verdict === "number";
  return {
    code,
    severity: isError ? "error" : verdict,
    ...isError && { status: verdict },
    message: typeof message === "string"
      ? message
      : message(show(found), { ...about, owner: show(about.owner ?? "") } as About),
    start,
    end,
  };
}

/** Characters of a text that the patterns of the table are matched against. */
export const MAX_EXPLAINED = 4096;

/** The remarks on one request as they are found, each code once. */
export class RemarkList {
  #remarks: Remark[] = [];

  /** All of them, in the order in which they were found. */
  get all(): readonly Remark[] {
    return this.#remarks;
  }

  /** How many there are. */
  get count(): number {
    return this.#remarks.length;
  }

  /** The last one. */
  get last(): Remark | undefined {
    return this.#remarks.at(-1);
  }

  /**
   * Adds the remark with this code.
   *
   * @param code The code of the row.
   * @param start Offset of the first byte that the remark is about.
   * @param size How many bytes it is about.
   * @param about What the message tells.
   */
  say(code: RemarkCode, start: number, size = 0, about: Partial<About> = {}): void {
    if (!this.#has(code)) this.#remarks.push(remarkOf(code, start, start + size, "", about));
  }

  /**
   * Adds the remark of the first row of a part whose pattern matches.
   *
   * @param part The part of the table.
   * @param text The text to match.
   * @param at Its offset in the request.
   * @param context What the message tells.
   * @param size How many bytes of the request stand for the text, if it was decoded.
   * @returns The code of that row, if there is one.
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
    if (size !== text.length) [start, end] = [0, size]; // the text is not what was sent
    const about = { ...context, size: found.length, partSize: text.length };
    const ascii = found.replace(/[\x80-\xff]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`);
    this.#remarks.push(fillIn(rule, at + start, at + end, ascii, about));
    return code;
  }

  /** Moves the remark with this code to the front. */
  putFirst(code: RemarkCode): void {
    const at = this.#remarks.findIndex((remark) => remark.code === code);
    this.#remarks.unshift(...this.#remarks.splice(at, 1));
  }

  /** Takes the remark with this code back. */
  withdraw(code: RemarkCode): void {
    this.#remarks = this.#remarks.filter((remark) => remark.code !== code);
  }

  #has(code: RemarkCode): boolean {
    return this.#remarks.some((remark) => remark.code === code);
  }
}

/**
 * Gives the fact that a remark begins with, without the cause and the cure behind it.
 *
 * @param remark The remark.
 * @returns The message up to its first colon or semicolon.
 *
 * @example Usage
 * ```ts
 * import { checkRequest, factOf } from "./check.ts";
 *
 * const [remark] = checkRequest(new TextEncoder().encode("KEY /user/Ada HTTP/1.1\r\n\r\n"));
 * console.log(factOf(remark)); // the path does not end in a slash
 * ```
 */
export function factOf({ message }: Pick<Remark, "message">): string {
  return /^(?:`[^`]*`|[^`:;]|[:;](?! ))*/.exec(message)![0];
}

/** Cuts text and escapes what could move a terminal's cursor or end the line. */
function show(text: string): string {
  return cut(escapeControls(text.slice(0, MAX_SHOWN + 1).toWellFormed()), MAX_SHOWN);
}

const MAX_SHOWN = 60; // characters
