/**
 * What is to be said about a request: a row of the table of mistakes, filled in.
 *
 * @module
 */

import { type About, type Rule, RULES } from "./rules.ts";

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
  /** Which row of the table it comes from, for programs. */
  code: string;
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
 * Makes a remark of the row with that code.
 *
 * @param code The code of the row.
 * @param start Offset of the first byte that it is about.
 * @param end Offset behind the last one.
 * @param found What the message speaks of.
 * @param about What else it speaks of.
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
  code: string,
  start: number,
  end: number,
  found = "",
  about: Partial<About> = {},
): Remark {
  const rule = Object.values(RULES).flat().find((rule) => rule[0] === code)!;
  return makeRemark(rule, start, end, found, about);
}

export function makeRemark(
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

/** Cuts a text short, and shows what could move a terminal or end the line as an escape. */
function show(text: string): string {
  const shown = text.slice(0, MAX_SHOWN).toWellFormed().replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (char) => ESCAPES[char] ?? `\\u{${char.codePointAt(0)!.toString(16)}}`,
  );
  const isCut = text.length > MAX_SHOWN || shown.length > MAX_SHOWN;
  return isCut ? `${shown.slice(0, MAX_SHOWN)}...` : shown;
}

const MAX_SHOWN = 60; // characters
const ESCAPES: Record<string, string> = { "\r": "\\r", "\n": "\\n", "\t": "\\t", "\0": "\\0" };
