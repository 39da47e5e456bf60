/**
 * Reads one request while its bytes arrive: RFC 9112.
 *
 * @module
 */

import { HOPELESS_START_REGEXP, NO_HEAD, parseHead, type RequestHead } from "./head.ts";
import { MAX_EXPLAINED, type Remark, RemarkList } from "./remark.ts";
import type { RemarkCode } from "./rules.ts";
import { decodeLatin1 } from "./text.ts";

/** The maximum size of a request in bytes, with its body. */
export const MAX_REQUEST_SIZE = 65_536;

/** A request that has been received. It may be incomplete. */
export interface ReceivedRequest extends RequestHead {
  /** The size in bytes, with the body. */
  readonly size: number;
  /** The remarks on the request, the errors first. */
  readonly remarks: readonly Remark[];
  /** The first error. It becomes the response. */
  readonly error?: Remark;
}

// The client believes that its request ends here, but the line endings are wrong or spelled out.
const HOPELESS_END_REGEXP = /(?:\\r\\n\\r\\n|\/r\/n\/r\/n|[!-~]\r\r)$/;
const FURTHER_REQUEST_REGEXP =
  /^[\r\n]{0,8}(?:[A-Z]{1,16} ?$|[A-Za-z]{1,16} (?:[/*]|https?:|user|key)|[^\n]* HTTP\/)/;
// RFC 9112 section 7.1: chunk-size [ chunk-ext ] CRLF.
const CHUNK_LINE_REGEXP = /^[\da-fA-F]+[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n$/;
const SEVERITIES = ["error", "warning", "note"];
const LF = 0x0a;
const CR = 0x0d;

/**
 * Reads one request while its bytes arrive. Call {@linkcode RequestReader.read} each time that more
 * bytes have arrived, with all bytes of the request so far. The cost is linear in their number.
 *
 * @example Usage
 * ```ts
 * import { RequestReader } from "./request.ts";
 *
 * const reader = new RequestReader();
 * const bytes = new TextEncoder().encode("KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\n\r\n");
 * console.log(reader.read(bytes.subarray(0, 20))); // undefined
 * console.log(reader.read(bytes)?.userId); // Ada
 * ```
 */
export class RequestReader {
  #head: RequestHead | undefined = undefined;
  #headSize = 0;
  #remarks: RemarkList;
  // How far the search for the end of the head has come:
  #scanned = 0;
  #lineStart = 0;
  #hasLine = false;
  // How far chunks have been read:
  #chunksEnd = 0;
  #bodySize = 0;
  #isLastChunkRead = false;

  /** @param host The address of the server, for help texts. */
  constructor(host?: string) {
    this.#remarks = new RemarkList(host);
  }

  /** The head; `undefined` until it is complete. */
  get head(): RequestHead | undefined {
    return this.#headSize > 0 ? this.#head : undefined;
  }

  /** Whether the bytes so far are enough to refuse the request. */
  get isRefused(): boolean {
    return this.#remarks.all.some(({ severity }) => severity === "error");
  }

  /**
   * Continues to read the request.
   *
   * @param bytes All bytes since the request began.
   * @returns The request if it is complete, or cannot become valid; `undefined` if more bytes are
   * needed.
   */
  read(bytes: Uint8Array): ReceivedRequest | undefined {
    if (this.#headSize === 0 && !this.#readHead(bytes)) {
      if (this.#isHopeless(bytes)) return this.end(bytes);
      return bytes.length > MAX_REQUEST_SIZE ? this.#break(bytes, "too-large") : undefined;
    }
    const head = this.#head!;
    if (head.isBroken) return this.refuse(bytes);
    const size = this.#headSize + (head.length ?? 0);
    if (size > MAX_REQUEST_SIZE) return this.#break(bytes, "too-large");
    if (head.isChunked) return this.#readChunks(bytes);
    return bytes.length >= size ? this.#finish(bytes, size, head.length ?? 0) : undefined;
  }

  /**
   * Ends the request here, without the rest of its body.
   *
   * @param bytes All bytes since the request began.
   * @returns The request as far as it has been received.
   */
  refuse(bytes: Uint8Array): ReceivedRequest {
    return this.#result(bytes, { isBroken: true, isPersistent: false, size: bytes.length });
  }

  /**
   * Ends the request here, because no more bytes will come. Remarks on what is missing.
   *
   * @param bytes All bytes since the request began.
   * @returns The request as far as it has been received.
   */
  end(bytes: Uint8Array): ReceivedRequest {
    if (this.#headSize === 0) this.#endWithinHead(decodeLatin1(bytes));
    else {
      const { isChunked, framing, length } = this.#head!;
      const about = { came: bytes.length - this.#headSize, length };
      this.#remarks.say(isChunked ? "chunks-incomplete" : "body-incomplete", ...framing, about);
    }
    return this.refuse(bytes);
  }

  /**
   * Returns whether the head is complete. It ends with the first empty line after a line that is
   * not empty. A line of white space counts as empty.
   */
  #readHead(bytes: Uint8Array): boolean {
    for (let lf; (lf = bytes.indexOf(LF, this.#scanned)) >= 0;) {
      let at = this.#lineStart;
      while (bytes[at] === 0x20 || bytes[at] === 0x09 || bytes[at] === CR) at++;
      this.#lineStart = this.#scanned = lf + 1;
      if (at < lf) this.#hasLine = true;
      else if (this.#hasLine) {
        this.#headSize = this.#chunksEnd = lf + 1;
        const text = decodeLatin1(bytes.subarray(0, this.#headSize));
        this.#head = parseHead(text, true, this.#remarks);
        return true;
      }
    }
    this.#scanned = bytes.length;
    return false;
  }

  #isHopeless(bytes: Uint8Array): boolean {
    return HOPELESS_START_REGEXP.test(decodeLatin1(bytes.subarray(0, 5))) ||
      !this.#hasLine && HOPELESS_END_REGEXP.test(decodeLatin1(bytes.subarray(-8)));
  }

  #endWithinHead(text: string): void {
    const remarks = this.#remarks;
    if (text === "") return remarks.say("nothing-sent", 0);
    const rest = text.lastIndexOf("\n") + 1; // the start of a line without its line ending
    const blank = /^[\r\n]*/.exec(text)![0].length;
    if (rest > blank) this.#head = parseHead(text.slice(0, rest), false, remarks);
    else if (remarks.explain("split", text.slice(blank), blank)) return;
    else if (remarks.explain("start", text.slice(blank), blank)) return;
    else if (!/^(?:$|[A-Z]{1,16}(?: |$))/.test(text.slice(blank))) {
      return void remarks.explain("line", text.slice(blank), blank); // no request starts like this
    }
    if (this.#head?.isGarbled) return;
    const literal = /(?:\\r)?\\n|\/r\/n/.test(text.slice(rest));
    if (literal) return void remarks.explain("start", text.slice(rest), rest);
    const code = text.endsWith("\n") ? "no-empty-line" : "no-line-end";
    remarks.say(code, text.length, 0, { came: text.length });
    if (rest > blank) remarks.putFirst(code); // the reason why there was no response
  }

  /** Reads a chunked body: RFC 9112 section 7.1. */
  #readChunks(bytes: Uint8Array): ReceivedRequest | undefined {
    for (;;) {
      const lf = bytes.indexOf(LF, this.#chunksEnd);
      if (lf < 0) break;
      const line = decodeLatin1(bytes.subarray(this.#chunksEnd, lf + 1));
      if (this.#isLastChunkRead) { // the line is a trailer field or the empty line
        this.#chunksEnd = lf + 1;
        if (line !== "\r\n") continue;
        if (lf >= MAX_REQUEST_SIZE) break;
        return this.#finish(bytes, lf + 1, this.#bodySize);
      }
      const size = line.length <= MAX_EXPLAINED && CHUNK_LINE_REGEXP.test(line)
        ? parseInt(line, 16)
        : NaN;
      if (Number.isNaN(size)) return this.#break(bytes, "bad-chunk", this.#chunksEnd, line.length);
      if (size > MAX_REQUEST_SIZE) return this.#break(bytes, "too-large");
      const end = lf + 1 + size;
      if (size > 0 && bytes.length < end + 2) break;
      if (size > 0 && (bytes[end] !== CR || bytes[end + 1] !== LF)) {
        return this.#break(bytes, "bad-chunk", end, 2);
      }
      this.#isLastChunkRead = size === 0;
      this.#bodySize += size;
      this.#chunksEnd = size === 0 ? end : end + 2;
    }
    return bytes.length > MAX_REQUEST_SIZE ? this.#break(bytes, "too-large") : undefined;
  }

  /** Refuses the request with an error: it is impossible to know where it ends. */
  #break(bytes: Uint8Array, code: RemarkCode, start = 0, size = 0): ReceivedRequest {
    this.#remarks.say(code, start, size);
    return this.refuse(bytes);
  }

  #finish(bytes: Uint8Array, size: number, length: number): ReceivedRequest {
    let { isPersistent } = this.#head!;
    if (length > 0) {
      this.#remarks.say("body-ignored", this.#headSize, size - this.#headSize, { length });
    }
    const rest = bytes.subarray(size);
    if (rest.length > 0 && !isRequestStart(rest)) {
      const code = this.#remarks.explain("rest", decodeLatin1(rest), size);
      if (code !== "extra-line-end") isPersistent = false;
      size = bytes.length;
    }
    return this.#result(bytes, { isBroken: false, isPersistent, size });
  }

  #result(
    bytes: Uint8Array,
    rest: Pick<ReceivedRequest, "isBroken" | "isPersistent" | "size">,
  ): ReceivedRequest {
    const remarks = this.#remarks.withFixes(bytes).toSorted((a, b) =>
      SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity)
    );
    const error = remarks[0]?.severity === "error" ? remarks[0] : undefined;
    return { ...this.#head ?? NO_HEAD, ...rest, remarks, error };
  }
}

/**
 * Returns whether these bytes look like the start of a request.
 *
 * @param bytes The bytes after another request, or after its response.
 * @returns Whether they look like a request.
 *
 * @example Usage
 * ```ts
 * import { isRequestStart } from "./request.ts";
 *
 * console.log(isRequestStart(new TextEncoder().encode("PUT /key/"))); // true
 * ```
 */
export function isRequestStart(bytes: Uint8Array): boolean {
  return FURTHER_REQUEST_REGEXP.test(decodeLatin1(bytes.subarray(0, 1024)));
}
