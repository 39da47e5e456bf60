/**
 * Finds out what is wrong with a request to the key server. It needs no network: it takes bytes and
 * returns remarks.
 *
 * A valid KEY or PUT request gets no error and no warning. All remarks come from one table, `RULES`
 * in `rules.ts`: it lists the mistakes that people make when they write HTTP by hand.
 *
 * @example Usage
 * ```ts
 * import { checkRequest } from "./check.ts";
 *
 * const request = new TextEncoder().encode("KEY /user/Ada L/ HTTP/1.1\r\n\r\n");
 * for (const { severity, fact, help } of checkRequest(request)) console.log(severity, fact, help);
 * ```
 *
 * @module
 */

import { RequestReader } from "./request.ts";
import type { Remark } from "./remark.ts";

export type { RemarkCode } from "./rules.ts";
export type { Remark, Severity } from "./remark.ts";

/**
 * Checks one request, and the bytes after it, as if the client sends nothing more.
 *
 * @param bytes Everything that a client sent.
 * @param options The address of the server, which the help mentions. By default `127.0.0.1:5000`.
 * @returns The remarks on the request, the errors first. The server would respond with the first
 * error. If nothing is wrong, the array is empty.
 *
 * @example Usage
 * ```ts
 * import { checkRequest } from "./check.ts";
 *
 * const [remark] = checkRequest(new TextEncoder().encode("KEY /user/Ada/ HTTP/1.1\r\n"));
 * console.log(remark.fact); // no empty line after the headers (25 bytes received)
 * ```
 */
export function checkRequest(bytes: Uint8Array, { host }: { host?: string } = {}): Remark[] {
  const reader = new RequestReader(host);
  return [...(reader.read(bytes) ?? reader.end(bytes)).remarks];
}
