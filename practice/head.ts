/**
 * Reads the head of a request: RFC 9112 sections 2, 3 and 5.
 *
 * @module
 */

import type { RemarkList } from "./remark.ts";
import { trim } from "./text.ts";

/** The head of a request, parsed. */
export interface RequestHead {
  /** The method, or `""` if there is no request line. */
  readonly method: string;
  /** The request target, exactly as sent. */
  readonly target: string;
  /** The method that the path allows, if the path is one of the two paths of this server. */
  readonly allow?: "KEY" | "PUT";
  /** The user id in the path, decoded, if there is one. */
  readonly userId?: string;
  /** The position of the user id in the request. */
  readonly userSpan: Span;
  /** The 128 hex digits of the key in a PUT request, uppercase or lowercase as sent. */
  readonly key?: string;
  /** The digits in a PUT request, if they are fewer than 128. */
  readonly keyPart?: string;
  /** The position of the key in the request. */
  readonly keySpan: Span;
  /** Whether the version is HTTP/1.0: Host is optional, and by default the connection closes. */
  readonly isHttp10: boolean;
  /** Whether the connection is persistent (RFC 9112 section 9.3). */
  readonly isPersistent: boolean;
  /** Whether the client waits for a 100 before it sends the body (RFC 9110 section 10.1.1). */
  readonly expectsContinue: boolean;
  /** The size of the body in bytes, if Content-Length gives it. */
  readonly length?: number;
  /** Whether the body is chunked. */
  readonly isChunked: boolean;
  /** The position of the header field that announces a body: its offset and its size. */
  readonly framing: readonly [start: number, size: number];
  /** Whether the head is so wrong that the meaning or the end of the request is unknown. */
  readonly isBroken: boolean;
  /** Whether no header field can be recognized. */
  readonly isGarbled: boolean;
}

/** The offset of the first byte, and of the byte after the last one. */
export type Span = readonly [start: number, end: number];

/** The head of a request that cannot be parsed at all. */
export const NO_HEAD: RequestHead = {
  method: "",
  target: "",
  userSpan: [0, 0],
  keySpan: [0, 0],
  isHttp10: false,
  isPersistent: false,
  expectsContinue: false,
  isChunked: false,
  framing: [0, 0],
  isBroken: true,
  isGarbled: true,
};

// RFC 9112 section 3: method SP request-target SP HTTP-version.
const LINE_REGEXP = /^([\w!#$%&'*+.^`|~-]+) ([!-~\x80-\xff]+) HTTP\/1\.(\d)$/;
// RFC 9112 section 5: field-name ":" OWS field-value OWS.
const FIELD_REGEXP = /^([\w!#$%&'*+.^`|~-]+):([\t\x20-\x7e\x80-\xff]*)$/;
// RFC 9112 section 3.2.2: absolute-form. Only its path is used.
const ORIGIN_REGEXP = /^https?:\/\/[^/?#]+/i;
// RFC 3986 section 3.3: pchar and "/".
const PATH_REGEXP = /^(?:[\w.~!$&'()*+,;=:@/-]|%[\da-fA-F]{2})*$/;
const ROUTE_REGEXP = /^\/(?:user\/([^/]*)|key\/([^/]*)\/([^/]*))\/$/;
const NAMED_REGEXP = /\/(?:user|key)\/(?![\da-f]{100})([!-.0-\xff]{1,256})/i;
const KEY_REGEXP = /^[\da-f]{128}$/i;
// RFC 9110 section 7.2: uri-host [ ":" port ].
const HOST_REGEXP = /^(?:[\w.~%!$&'()*+,;=-]+|\[[\da-f:.%\w-]+\])(?::\d*)?$/i;
// A start that no request can have: TLS, UTF-16 and similar.
export const HOPELESS_START_REGEXP =
  // deno-lint-ignore no-control-regex
  /^(?=[^]{4})(?:\x16\x03|\xff\xfe|\xfe\xff|\0|[!-~]\0|\x80[\x02-\x05]|["'`{[<(]|b["'])|^PRI \*/;

/**
 * Parses the head of a request.
 *
 * @param text The head, one character for each byte. It includes the empty line, if that has been
 * received.
 * @param isWhole Whether the empty line has been received.
 * @param remarks The list to which remarks are added.
 * @returns The parsed head.
 */
export function parseHead(text: string, isWhole: boolean, remarks: RemarkList): RequestHead {
  const lineAt = /^(?:[ \t]*\r?\n)*/.exec(text)![0].length;
  if (lineAt > 0) remarks.say("blank-line-first", 0, lineAt);
  const line = parseLine(text, lineAt, remarks);
  if (line.isGarbled) return { ...NO_HEAD, ...line };
  const fields = parseFields(text, lineAt, line.isHttp10, isWhole, remarks);
  const { hasUserAgent: _, host: __, ...framing } = fields;
  const path = line.target === "" ? {} : parseTarget(line.target, line.method, lineAt, remarks);
  if (isWhole && !fields.hasUserAgent) noteHandwriting(line, fields, lineAt, remarks);
  return {
    ...NO_HEAD,
    ...line,
    ...framing,
    ...path,
    isBroken: line.isBroken || fields.isBroken || path.isBroken === true,
  };
}

type Line = Pick<
  RequestHead,
  "method" | "target" | "isHttp10" | "isBroken" | "isGarbled" | "userId"
>;

/** Adds notes on details that occur only in requests written by hand. */
function noteHandwriting(
  { method, target, isHttp10 }: Line,
  { host }: Fields,
  lineAt: number,
  remarks: RemarkList,
): void {
  const targetAt = lineAt + method.length + 1;
  if (isHttp10) remarks.say("http-1.0", targetAt + target.length + 1, "HTTP/1.0".length);
  const origin = ORIGIN_REGEXP.exec(target)?.[0] ?? "";
  if (origin) remarks.say("absolute-form", targetAt, origin.length);
  if (host && remarks.port && remarks.port !== (/:(\d+)$/.exec(host.text)?.[1] ?? "80")) {
    remarks.say("other-host", host.at, host.text.length);
  }
}

function parseLine(head: string, at: number, remarks: RemarkList): Line {
  const line = head.slice(at, head.indexOf("\n", at)).replace(/\r$/, "");
  const match = HOPELESS_START_REGEXP.test(head) ? null : LINE_REGEXP.exec(line);
  if (match !== null) {
    const [, method, target, minor] = match;
    return { method, target, isHttp10: minor === "0", isBroken: false, isGarbled: false };
  }
  const isGarbled = remarks.explain("split", head.slice(at), at) !== undefined ||
    remarks.explain("start", line, at) !== undefined ||
    remarks.explain("line", line, at) === "no-request-line";
  const userId = nameOf(line);
  return { method: "", target: "", isHttp10: false, isBroken: true, isGarbled, userId };
}

interface Fields extends
  Pick<
    RequestHead,
    "isPersistent" | "expectsContinue" | "length" | "isChunked" | "framing" | "isBroken"
  > {
  hasUserAgent: boolean;
  /** A valid Host header field, and its offset. */
  host?: { text: string; at: number };
}

function parseFields(
  text: string,
  lineAt: number,
  isHttp10: boolean,
  isWhole: boolean,
  remarks: RemarkList,
): Fields {
  let at = text.indexOf("\n", lineAt) + 1;
  let lfAlone = text[at - 2] === "\r" ? -1 : at - 1;
  let hosts = 0;
  let isHostMeant = false;
  let host: Fields["host"];
  let hasUserAgent = false;
  let connection = "";
  let expectsContinue = false;
  let length: number | undefined;
  let isChunked = false;
  let framing: [start: number, size: number] = [0, 0];
  let isBroken = false;
  for (let lf; (lf = text.indexOf("\n", at)) >= 0; at = lf + 1) {
    const isCrLf = text[lf - 1] === "\r" && lf > at;
    if (!isCrLf && lfAlone < 0) lfAlone = lf;
    const line = text.slice(at, isCrLf ? lf - 1 : lf);
    if (line === "") break;
    const [, name, value] = FIELD_REGEXP.exec(line) ?? [];
    if (name === undefined) {
      isBroken = true;
      isHostMeant ||= /^\W*host\b/i.test(line);
      if (remarks.explain("field", line, at) === "second-request-line") break;
      continue;
    }
    const content = trim(value);
    const valueAt = at + line.indexOf(content, name.length + 1);
    const literal = /\\r\\n|\\n$/.exec(line);
    if (literal) remarks.say("value-line-end", at + literal.index, literal[0].length);
    switch (name.toLowerCase()) {
      case "host":
        if (++hosts === 2) remarks.say("two-hosts", at, line.length);
        else if (literal || HOST_REGEXP.test(content)) host = { text: content, at: valueAt };
        else remarks.explain("host", content, valueAt);
        break;
      case "user-agent":
        hasUserAgent = true;
        break;
      case "connection":
        connection += `,${content.toLowerCase()}`;
        remarks.explain("connection", content, valueAt);
        break;
      case "expect":
        expectsContinue = content.toLowerCase() === "100-continue" && !isHttp10;
        break;
      case "content-length": {
        framing = [at, line.length];
        const isNumber = /^\d+$/.test(content);
        if (isNumber && (length ??= Number(content)) === Number(content)) break;
        remarks.say(isNumber ? "two-lengths" : "length-not-a-number", valueAt, content.length);
        isBroken = true;
        break;
      }
      case "transfer-encoding":
        framing = [at, line.length];
        if (isChunked || content.toLowerCase() !== "chunked" || isHttp10) {
          remarks.say("unknown-coding", valueAt, content.length);
          isBroken = true;
        }
        isChunked = true;
        break;
      default:
        isHostMeant ||= remarks.explain("name", name, at) !== undefined && /^h/i.test(name);
    }
  }
  if (isWhole && !hosts && !isHostMeant && !isHttp10) remarks.say("no-host", at);
  if (lfAlone >= 0) remarks.say("lf-alone", lfAlone, 1);
  if (isChunked && length !== undefined) {
    remarks.say("length-and-chunked", ...framing);
    isBroken = true;
  }
  const options = connection.split(",").map(trim);
  const isPersistent = isHttp10 ? options.includes("keep-alive") : !options.includes("close");
  const body = { length, isChunked, framing };
  return { isPersistent, expectsContinue, ...body, isBroken, hasUserAgent, host };
}

type Path = Partial<
  Pick<
    RequestHead,
    "allow" | "userId" | "userSpan" | "key" | "keyPart" | "keySpan" | "isBroken"
  >
>;

function parseTarget(whole: string, method: string, lineAt: number, remarks: RemarkList): Path {
  const named = { userId: nameOf(whole) }; // even if the rest of the path is wrong
  const origin = ORIGIN_REGEXP.exec(whole)?.[0] ?? "";
  const at = lineAt + method.length + 1 + origin.length;
  const target = whole.slice(origin.length) || (origin && "/");
  if (!target.startsWith("/")) {
    remarks.explain("target", target, at);
    return { ...named, isBroken: true };
  }
  const path = /^[^?]*/.exec(target)![0];
  if (target.endsWith("/") && !path.endsWith("/")) {
    remarks.say("question-mark", at + path.length, 1);
    return named;
  }
  if (path !== target) remarks.say("query", at + path.length, target.length - path.length);
  if (!PATH_REGEXP.test(path)) {
    remarks.explain("characters", path, at);
    if (remarks.last?.severity === "error") return named;
  }
  const match = ROUTE_REGEXP.exec(path);
  if (match === null) {
    remarks.explain("path", path, at);
    return named;
  }
  const [, keyUser, putUser, keyText] = match;
  const allow = keyUser === undefined ? "PUT" : "KEY";
  if (method !== allow) {
    remarks.explain("method", `${method} ${path}`, lineAt, { allow });
    return { ...named, allow };
  }
  const user = keyUser ?? putUser;
  const userAt = at + (allow === "PUT" ? "/key/" : "/user/").length;
  const keyAt = userAt + user.length + 1;
  const count = remarks.count;
  remarks.explain("user", user, userAt);
  const userId = decodeUtf8(user);
  if (userId === undefined) remarks.say("user-not-utf-8", userAt, user.length);
  const key = allow === "PUT" ? parseKey(keyText, keyAt, remarks) : {};
  if (remarks.count > count) remarks.withdraw("odd-character"); // another remark covers it
  return {
    allow,
    userId,
    userSpan: [userAt, userAt + user.length],
    ...key,
    keySpan: [keyAt, keyAt + (keyText?.length ?? 0)],
  };
}

function parseKey(text: string, at: number, remarks: RemarkList): Pick<Path, "key" | "keyPart"> {
  const key = text.replace(/%([\da-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  if (KEY_REGEXP.test(key)) return { key };
  if (remarks.last?.code === "swapped") return {};
  const code = remarks.explain("key", key, at, {}, text.length);
  return code === "short-key" ? { keyPart: key } : {};
}

/** Returns the user id in a line or a path, if one can be recognized. */
function nameOf(text: string): string | undefined {
  const segment = NAMED_REGEXP.exec(text)?.[1];
  return segment && decodeUtf8(segment);
}

/**
 * Decodes percent-encoding and UTF-8. Bytes above 0x7f may also be unencoded. Returns `undefined`
 * if the bytes are not UTF-8.
 */
function decodeUtf8(segment: string): string | undefined {
  const ascii = segment.replace(/[\x80-\xff]/g, (byte) => `%${byte.charCodeAt(0).toString(16)}`);
  try {
    return decodeURIComponent(ascii);
  } catch {
    return undefined;
  }
}
