/**
 * Reads one request as it comes: RFC 9112 sections 2, 3, 5, 6 and 7.
 *
 * @module
 */

import { type About, type Part, RULES } from "./rules.ts";
import { makeRemark, type Remark, remarkOf } from "./remark.ts";
import { decodeLatin1, trim } from "./text.ts";

/** Bytes of a whole request, body and all, that are accepted. */
export const MAX_REQUEST_SIZE = 65_536;

// RFC 9112 section 3: method SP request-target SP HTTP-version.
const LINE_REGEXP = /^([\w!#$%&'*+.^`|~-]+) ([!-~\x80-\xff]+) HTTP\/1\.(\d)$/;
// RFC 9112 section 5: field-name ":" OWS field-value OWS.
const FIELD_REGEXP = /^([\w!#$%&'*+.^`|~-]+):([\t\x20-\x7e\x80-\xff]*)$/;
// RFC 9112 section 3.2.2: absolute-form, of which only the path matters here.
const ORIGIN_REGEXP = /^https?:\/\/[^/?#]+/i;
// RFC 3986 section 3.3: pchar and "/".
const PATH_REGEXP = /^(?:[\w.~!$&'()*+,;=:@/-]|%[\da-fA-F]{2})*$/;
const ROUTE_REGEXP = /^\/(?:user\/([^/]*)|key\/([^/]*)\/([^/]*))\/$/;
const NAMED_REGEXP = /\/(?:user|key)\/(?![\da-f]{100})([!-.0-\xff]{1,256})/i;
const KEY_REGEXP = /^[\da-f]{128}$/i;
// RFC 9110 section 7.2: uri-host [ ":" port ].
const HOST_REGEXP = /^(?:[\w.~%!$&'()*+,;=-]+|\[[\da-f:.%\w-]+\])(?::\d*)?$/i;
// What can never become a request, whatever follows: TLS, UTF-16 and the like; line ends spelt out.
const HOPELESS_START_REGEXP =
  // deno-lint-ignore no-control-regex
  /^(?=[^]{4})(?:\x16\x03|\xff\xfe|\xfe\xff|\0|[!-~]\0|\x80[\x02-\x05]|["'`{[<(]|b["'])|^PRI \*/;
const HOPELESS_END_REGEXP = /(?:\\r\\n\\r\\n|\/r\/n\/r\/n|[!-~]\r\r)$/;
const FURTHER_REQUEST_REGEXP =
  /^[\r\n]{0,8}(?:[A-Z]{1,16} ?$|[A-Za-z]{1,16} (?:[/*]|https?:|user|key)|[^\n]* HTTP\/)/;
const CHUNK_LINE_REGEXP = /^[\da-fA-F]+[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?\r\n$/;
const MAX_EXPLAINED = 4096; // characters that the patterns of the table see
const LF = 0x0a;
const CR = 0x0d;

/**
 * One request as it comes in: {@linkcode IncomingRequest.read} is called with all the bytes so far,
 * as often as there are more, at a cost that is linear in their number.
 *
 * @example Usage
 * ```ts
 * import { IncomingRequest } from "./request.ts";
 *
 * const request = new IncomingRequest();
 * const bytes = new TextEncoder().encode("KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\n\r\n");
 * console.log(request.read(bytes.subarray(0, 20))); // false
 * console.log(request.read(bytes), request.method, request.userId); // true KEY Ada
 * ```
 */
export class IncomingRequest {
  /** What is to be said about it, the errors first. */
  remarks: Remark[] = [];
  /** The method, or `""` as long as there is no request line. */
  method = "";
  /** The request target, as it was sent. */
  target = "";
  /** The method that the path takes, if it is one of the two that there are. */
  allow: "KEY" | "PUT" | undefined = undefined;
  /** The user id, decoded, if the request names one. */
  userId: string | undefined = undefined;
  /** Where the user id stands in the request. */
  userSpan: [start: number, end: number] = [0, 0];
  /** The 128 hex digits of the key that a PUT brings, as they were spelt. */
  key: string | undefined = undefined;
  /** Fewer digits than that, if a PUT brings those. */
  keyPart: string | undefined = undefined;
  /** Where the key stands in the request. */
  keySpan: [start: number, end: number] = [0, 0];
  /** Bytes of the whole request, body and all; 0 until they are known. */
  size = 0;
  /** Whether it cannot be known where it ends, or what it means. */
  isBroken = false;
  /** Whether the connection is for further requests (RFC 9112 section 9.3). */
  isPersistent = false;
  /** Whether it is one of HTTP/1.0: without Host, and the connection ends with the answer. */
  isHttp10 = false;
  /** Whether the client waits for a 100 before it sends its body (RFC 9110 section 10.1.1). */
  expectsContinue = false;
  #isGarbled = false; // so much that no field can be made out
  #hasLine = false;
  #lineStart = 0;
  #scanned = 0;
  #headSize = 0;
  #length: number | undefined = undefined;
  #isChunked = false;
  #framingSpan: [start: number, size: number] = [0, 0]; // of the field that tells of a body
  #chunksEnd = 0;
  #isLastChunkRead = false;
  #bodySize = 0;

  /** The first error, which is the answer. */
  get error(): Remark | undefined {
    return this.remarks.find(({ severity }) => severity === "error");
  }

  /**
   * Reads on.
   *
   * @param bytes All that has come since the request began.
   * @returns Whether there is nothing to wait for: the request is whole, or beyond hope.
   */
  read(bytes: Uint8Array): boolean {
    let isWhole = this.#read(bytes);
    const size = isWhole ? this.size : bytes.length;
    if (size > MAX_REQUEST_SIZE && !this.isBroken) isWhole = this.#break("too-large");
    if (isWhole) this.#finish(bytes);
    return isWhole;
  }

  /** Ends the request here: its body is not read. */
  refuse(bytes: Uint8Array): void {
    this.isBroken = true;
    this.#finish(bytes);
  }

  /** Adds what is missing, as no more will come. */
  end(bytes: Uint8Array): void {
    if (this.#headSize === 0) this.#endWithinHead(decodeLatin1(bytes));
    else {
      const about = { came: bytes.length - this.#headSize, length: this.#length };
      const code = this.#isChunked ? "chunks-incomplete" : "body-incomplete";
      this.#say(code, ...this.#framingSpan, about);
    }
    this.refuse(bytes);
  }

  #read(bytes: Uint8Array): boolean {
    if (this.#headSize === 0) {
      if (!this.#findHead(bytes)) return this.#isHopeless(bytes);
      this.#parseHead(decodeLatin1(bytes.subarray(0, this.#headSize)));
      if (this.isBroken) return true;
      this.size = this.#headSize + (this.#length ?? 0);
      if (this.size > MAX_REQUEST_SIZE) return this.#break("too-large");
    }
    if (this.#isChunked) return this.#readChunks(bytes);
    return bytes.length >= this.size;
  }

  /** The head ends with the first empty line behind one that is not; white space is taken for empty. */
  #findHead(bytes: Uint8Array): boolean {
    for (let lf; (lf = bytes.indexOf(LF, this.#scanned)) >= 0;) {
      let at = this.#lineStart;
      while (bytes[at] === 0x20 || bytes[at] === 0x09 || bytes[at] === CR) at++;
      this.#lineStart = this.#scanned = lf + 1;
      if (at < lf) this.#hasLine = true;
      else if (this.#hasLine) {
        this.#headSize = lf + 1;
        return true;
      }
    }
    this.#scanned = bytes.length;
    return false;
  }

  #isHopeless(bytes: Uint8Array): boolean {
    this.isBroken = HOPELESS_START_REGEXP.test(decodeLatin1(bytes.subarray(0, 5))) ||
      !this.#hasLine && HOPELESS_END_REGEXP.test(decodeLatin1(bytes.subarray(-8)));
    if (this.isBroken) this.#endWithinHead(decodeLatin1(bytes));
    return this.isBroken;
  }

  #endWithinHead(text: string): void {
    if (text === "") return this.#say("nothing-sent", 0);
    const rest = text.lastIndexOf("\n") + 1; // of which no line end has come
    const blank = /^[\r\n]*/.exec(text)![0].length;
    if (rest > blank) this.#parseHead(text.slice(0, rest));
    else if (this.#explain("split", text.slice(blank), blank)) return;
    else if (this.#explain("start", text.slice(blank), blank)) return;
    else if (!/^(?:$|[A-Z]{1,16}(?: |$))/.test(text.slice(blank))) {
      return void this.#explain("line", text.slice(blank), blank); // it never begins like a request
    }
    if (this.#isGarbled) return;
    const literal = /(?:\\r)?\\n|\/r\/n/.test(text.slice(rest));
    if (literal) return void this.#explain("start", text.slice(rest), rest);
    this.#say(text.endsWith("\n") ? "no-empty-line" : "no-line-end", text.length, 0, {
      came: text.length,
    });
    if (rest > blank) this.remarks.unshift(this.remarks.pop()!); // why there is no answer
  }

  #parseHead(text: string): void {
    const lineAt = /^(?:[ \t]*\r?\n)*/.exec(text)![0].length;
    if (lineAt > 0) this.#say("blank-line-first", 0, lineAt);
    if (!this.#parseLine(text, lineAt)) return;
    let at = text.indexOf("\n", lineAt) + 1;
    let lfAlone = text[at - 2] === "\r" ? -1 : at - 1;
    let hosts = 0;
    let isHostMeant = false;
    let connection = "";
    for (let lf; (lf = text.indexOf("\n", at)) >= 0; at = lf + 1) {
      const isCrLf = text[lf - 1] === "\r" && lf > at;
      if (!isCrLf && lfAlone < 0) lfAlone = lf;
      const line = text.slice(at, isCrLf ? lf - 1 : lf);
      if (line === "") break;
      const [, name, value] = FIELD_REGEXP.exec(line) ?? [];
      if (name === undefined) {
        this.isBroken = true;
        isHostMeant ||= /^\W*host\b/i.test(line);
        if (this.#explain("field", line, at) === "second-request-line") break;
        continue;
      }
      const content = trim(value);
      const valueAt = at + line.indexOf(content, name.length + 1);
      const literal = /\\r\\n|\\n$/.exec(line);
      if (literal) this.#say("value-line-end", at + literal.index, literal[0].length);
      switch (name.toLowerCase()) {
        case "host":
          if (++hosts === 2) this.#say("two-hosts", at, line.length);
          else if (!literal && !HOST_REGEXP.test(content)) this.#explain("host", content, valueAt);
          break;
        case "connection":
          connection += `,${content.toLowerCase()}`;
          this.#explain("connection", content, valueAt);
          break;
        case "expect":
          this.expectsContinue = content.toLowerCase() === "100-continue" && !this.isHttp10;
          break;
        case "content-length":
          this.#parseLength(content, valueAt);
          this.#framingSpan = [at, line.length];
          break;
        case "transfer-encoding":
          if (this.#isChunked || content.toLowerCase() !== "chunked" || this.isHttp10) {
            this.#break("unknown-coding", valueAt, content.length);
          }
          this.#isChunked = true;
          this.#framingSpan = [at, line.length];
          break;
        default:
          isHostMeant ||= this.#explain("name", name, at) !== "" && /^h/i.test(name);
      }
    }
    if (this.#headSize && !hosts && !isHostMeant && !this.isHttp10) this.#say("no-host", at);
    if (lfAlone >= 0) this.#say("lf-alone", lfAlone, 1);
    if (this.#isChunked && this.#length !== undefined) {
      this.#break("length-and-chunked", ...this.#framingSpan);
    }
    if (this.target !== "") {
      this.userId = nameOf(this.target); // also where the rest of the path is wrong
      this.#parseTarget(lineAt);
    }
    this.#chunksEnd = text.length;
    const options = connection.split(",").map(trim);
    this.isPersistent = this.isHttp10 ? options.includes("keep-alive") : !options.includes("close");
  }

  /** Gives `false` if nothing behind the line can be made out. */
  #parseLine(head: string, at: number): boolean {
    const line = head.slice(at, head.indexOf("\n", at)).replace(/\r$/, "");
    const match = HOPELESS_START_REGEXP.test(head) ? null : LINE_REGEXP.exec(line);
    if (match !== null) {
      [, this.method, this.target] = match;
      this.isHttp10 = match[3] === "0";
      return true;
    }
    this.isBroken = true;
    this.userId = nameOf(line);
    this.#isGarbled = this.#explain("split", head.slice(at), at) !== "" ||
      this.#explain("start", line, at) !== "" ||
      this.#explain("line", line, at) === "no-request-line";
    return !this.#isGarbled;
  }

  #parseLength(content: string, at: number): void {
    if (!/^\d+$/.test(content)) return void this.#break("length-not-a-number", at, content.length);
    const length = Number(content);
    if ((this.#length ??= length) !== length) this.#break("two-lengths", at, content.length);
  }

  #parseTarget(lineAt: number): void {
    const origin = ORIGIN_REGEXP.exec(this.target)?.[0] ?? "";
    const at = lineAt + this.method.length + 1 + origin.length;
    const target = this.target.slice(origin.length) || (origin && "/");
    if (!target.startsWith("/")) {
      this.isBroken = true;
      return void this.#explain("target", target, at);
    }
    const path = /^[^?]*/.exec(target)![0];
    if (target.endsWith("/") && !path.endsWith("/")) {
      return this.#say("question-mark", at + path.length, 1);
    }
    if (path !== target) this.#say("query", at + path.length, target.length - path.length);
    if (!PATH_REGEXP.test(path)) {
      this.#explain("characters", path, at);
      if (this.remarks.at(-1)?.severity === "error") return;
    }
    const match = ROUTE_REGEXP.exec(path);
    if (match === null) return void this.#explain("path", path, at);
    const [, keyUser, putUser, keyText] = match;
    const allow = this.allow = keyUser === undefined ? "PUT" : "KEY";
    if (this.method !== allow) {
      return void this.#explain("method", `${this.method} ${path}`, lineAt, { allow });
    }
    const user = keyUser ?? putUser;
    const userAt = at + "/user/".length - (keyUser === undefined ? 1 : 0);
    this.userSpan = [userAt, userAt + user.length];
    this.keySpan = [userAt + user.length + 1, userAt + user.length + 1 + (keyText?.length ?? 0)];
    const said = this.remarks.length;
    this.#explain("user", user, userAt);
    this.userId = decodeUtf8(user);
    if (this.userId === undefined) this.#say("user-not-utf-8", userAt, user.length);
    if (keyUser === undefined) this.#parseKey(keyText);
    if (this.remarks.length > said) this.#unsay("odd-character"); // which was a part of that
  }

  #parseKey(text: string): void {
    const key = text.replace(/%([\da-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
    if (KEY_REGEXP.test(key)) this.key = key;
    else if (this.remarks.at(-1)?.code !== "swapped") {
      const code = this.#explain("key", key, this.keySpan[0], {}, text.length);
      if (code === "short-key") this.keyPart = key;
    }
  }

  /** RFC 9112 section 7.1. */
  #readChunks(bytes: Uint8Array): boolean {
    for (;;) {
      const lf = bytes.indexOf(LF, this.#chunksEnd);
      if (lf < 0) return false;
      const line = decodeLatin1(bytes.subarray(this.#chunksEnd, lf + 1));
      if (this.#isLastChunkRead) { // a trailer field, or the empty line
        this.#chunksEnd = lf + 1;
        if (line !== "\r\n") continue;
        this.size = lf + 1;
        return true;
      }
      const size = line.length <= MAX_EXPLAINED && CHUNK_LINE_REGEXP.test(line)
        ? parseInt(line, 16)
        : NaN;
      if (Number.isNaN(size)) return this.#break("bad-chunk", this.#chunksEnd, line.length);
      if (size > MAX_REQUEST_SIZE) return this.#break("too-large");
      const end = lf + 1 + size;
      if (size > 0 && bytes.length < end + 2) return false;
      if (size > 0 && (bytes[end] !== CR || bytes[end + 1] !== LF)) {
        return this.#break("bad-chunk", end, 2);
      }
      this.#isLastChunkRead = size === 0;
      this.#bodySize += size;
      this.#chunksEnd = size === 0 ? end : end + 2;
    }
  }

  #finish(bytes: Uint8Array): void {
    if (this.isBroken) {
      this.size = bytes.length;
      this.isPersistent = false;
    } else {
      const length = this.#isChunked ? this.#bodySize : this.#length ?? 0;
      if (length > 0) {
        this.#say("body-ignored", this.#headSize, this.size - this.#headSize, { length });
      }
      const rest = bytes.subarray(this.size);
      if (rest.length > 0 && !isRequestStart(rest)) {
        const rule = this.#explain("rest", decodeLatin1(rest), this.size);
        if (rule !== "extra-line-end") this.isPersistent = false;
        this.size = bytes.length;
      }
    }
    const order = ["error", "warning", "note"];
    this.remarks.sort((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity));
  }

  /** Gives up: where the request ends cannot be known. */
  #break(code: string, start = 0, size = 0): true {
    this.isBroken = true;
    this.#say(code, start, size);
    return true;
  }

  /** Says what the first row of that part says that matches; gives its code, or `""`. */
  #explain(
    part: Part,
    text: string,
    at: number,
    context: Partial<About> = {},
    size = text.length,
  ): string {
    const shown = text.slice(0, MAX_EXPLAINED);
    const rule = RULES[part].find(([, , pattern]) => pattern!.test(shown));
    if (rule === undefined) return "";
    const [code, , pattern] = rule;
    const match = new RegExp(pattern!, "d" + pattern!.flags).exec(shown)!;
    let [start, end] = match.indices!.groups?.here ?? match.indices![0]!;
    const found = shown.slice(start, end);
    if (size !== text.length) [start, end] = [0, size]; // the text is not what was sent
    if (this.remarks.some((remark) => remark.code === code)) return code; // once is enough
    const about = { ...context, size: found.length, partSize: text.length };
    const ascii = found.replace(/[\x80-\xff]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`);
    this.remarks.push(makeRemark(rule, at + start, at + end, ascii, about));
    return code;
  }

  #unsay(code: string): void {
    this.remarks = this.remarks.filter((remark) => remark.code !== code);
  }

  #say(code: string, start: number, size = 0, about: Partial<About> = {}): void {
    if (this.remarks.some((remark) => remark.code === code)) return;
    this.remarks.push(remarkOf(code, start, start + size, "", about));
  }
}

/**
 * Whether a request may begin with these bytes.
 *
 * @param bytes What came behind another request, or behind its answer.
 * @returns Whether it looks like one.
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

/** Tells the user that a line or a path names, as far as it can be made out. */
function nameOf(text: string): string | undefined {
  const segment = NAMED_REGEXP.exec(text)?.[1];
  return segment && decodeUtf8(segment);
}

/** Percent-decodes; bytes that were not encoded are taken as they are. `undefined` if it is no UTF-8. */
function decodeUtf8(segment: string): string | undefined {
  const ascii = segment.replace(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16)}`);
  try {
    return decodeURIComponent(ascii);
  } catch {
    return undefined;
  }
}
