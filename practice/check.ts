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
 * for (const { severity, message } of checkRequest(request)) console.log(`${severity}: ${message}`);
 * ```
 *
 * @module
 */

import { RequestReader } from "./request.ts";
import type { Remark } from "./remark.ts";

export type { RemarkCode } from "./rules.ts";
export { factOf, type Remark, type Severity } from "./remark.ts";

/**
 * Checks one request, and the bytes after it, as if nothing more will come.
 *
 * @param bytes All that a client sent.
 * @returns What is to be said about it, the errors first; the first error is the answer. Empty for a
 * request without a fault.
 *
 * @example Usage
 * ```ts
 * import { checkRequest } from "./check.ts";
 *
 * const [remark] = checkRequest(new TextEncoder().encode("KEY /user/Ada/ HTTP/1.1\r\n"));
 * console.log(remark.message); // 25 bytes, and no empty line yet: …
 * ```
 */
export function checkRequest(bytes: Uint8Array): Remark[] {
  const reader = new RequestReader();
  return [...(reader.read(bytes) ?? reader.end(bytes)).remarks];
}
