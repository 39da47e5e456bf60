/**
 * What is wrong with a request to the key server: bytes in, remarks out; no socket, no clock.
 *
 * A request that a strict reader of RFC 9112 accepts gets no remark. Anything else is looked up in
 * one table, `RULES` in `rules.ts`: the mistakes that people make when they write HTTP by hand.
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
 * Checks one request, and the bytes after it, as if nothing more will come.
 *
 * @param bytes All that a client sent.
 * @param options The address of the server that the advice names; by default `127.0.0.1:5000`.
 * @returns What is to be said about it, the errors first; the first error is the answer. Empty for a
 * request without a fault.
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
