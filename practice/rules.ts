/**
 * The table of mistakes that people make who write HTTP by hand: data only.
 *
 * @module
 */

/** What a row of the table is matched against. */
export type Part =
  | "split"
  | "start"
  | "line"
  | "target"
  | "characters"
  | "path"
  | "method"
  | "user"
  | "key"
  | "field"
  | "name"
  | "host"
  | "connection"
  | "rest"
  | "whole";

/** What a remark is about, for programs: the code of a row of the table. */
// deno-fmt-ignore
export type RemarkCode =
  | "chunks-in-line" | "response-in-line" | "line-end-in-path"
  | "tls" | "http2" | "utf-16" | "pickle" | "data-first" | "telnet" | "nul" | "bytes-literal"
  | "quoted" | "raw-bytes-in-line" | "raw-key" | "bytes-in-line" | "crlf-spelt-out"
  | "literal-line-end" | "slash-line-end" | "lost-backslashes" | "bare-cr" | "response-line"
  | "line-goes-on"
  | "byte-order-mark" | "indented-line" | "no-method" | "order" | "two-methods"
  | "address-in-line" | "number-first" | "label-first" | "method-punctuation" | "no-space"
  | "no-space-before-version" | "control-character" | "tab" | "two-spaces" | "space-at-end"
  | "version-case" | "wrong-version" | "user-space" | "version-twice" | "slash-and-space"
  | "object-in-line" | "sentence-in-line" | "space-in-key" | "space-in-path" | "no-path"
  | "no-version" | "method-name" | "no-request-line"
  | "path-quoted" | "path-bytes-literal" | "path-backslash" | "no-scheme" | "path-encoded"
  | "bad-url" | "no-leading-slash"
  | "placeholder" | "format-left" | "angle-brackets" | "path-literal-line-end" | "backslash"
  | "bad-percent" | "fragment" | "not-ascii" | "odd-character"
  | "sentence-in-path" | "response-in-path" | "address-in-path" | "no-final-slash" | "key-in-user-path" | "two-slashes"
  | "no-user-id" | "no-slash-before-key" | "no-key-in-path" | "method-in-path" | "path-case"
  | "path-plural" | "slash-in-user-id" | "behind-key" | "slash-in-key" | "no-such-path"
  | "method-case" | "put-to-user" | "key-to-key" | "method-get" | "wrong-method"
  | "empty-user-id" | "swapped" | "long-user-id" | "placeholder-encoded" | "user-bytes-literal"
  | "user-quoted" | "user-white-space" | "user-none" | "user-object" | "user-placeholder"
  | "empty-key" | "whole-response" | "chunked-key" | "key-bytes-literal" | "key-bytearray"
  | "key-quoted" | "key-none" | "key-object" | "key-name" | "key-placeholder" | "key-list"
  | "key-in-list" | "key-json" | "key-status" | "key-sentence" | "key-white-space"
  | "key-hex-prefix" | "key-encoded-twice" | "key-escapes" | "key-hex-twice" | "key-separators"
  | "key-raw-bytes" | "key-base64" | "key-decimal" | "long-key" | "tiny-key" | "short-key"
  | "key-word" | "key-end-quote" | "key-not-hex"
  | "blank-line" | "indented-field" | "lf-cr" | "field-bare-cr" | "second-request-line"
  | "body-in-head" | "field-quoted" | "space-before-colon" | "no-field-name" | "field-equals"
  | "no-colon" | "field-name" | "field-value"
  | "misspelt-field"
  | "host-empty" | "host-scheme" | "host-path" | "host-tuple" | "host-comma" | "host-invalid"
  | "connection-option"
  | "lf-cr-behind" | "extra-line-end" | "nul-behind" | "fields-behind" | "bytes-behind"
  | "nothing-sent" | "nothing-yet" | "no-line-end" | "no-empty-line" | "too-large" | "body-incomplete"
  | "chunks-incomplete" | "bad-chunk" | "length-not-a-number" | "two-lengths"
  | "length-and-chunked" | "unknown-coding" | "user-not-utf-8" | "no-host" | "two-hosts"
  | "blank-line-first" | "lf-alone" | "value-line-end" | "question-mark" | "query"
  | "http-1.0" | "absolute-form" | "other-host" | "body-ignored" | "idle" | "still-open" | "reset" | "late-request" | "gone" | "kept-open"
  | "crowded" | "no-key-issued" | "wrong-key" | "old-key" | "key-of-another"
  | "key-from-another-address" | "key-case" | "key-start" | "key-end" | "key-part";

/**
 * A pattern, and what is said where it matches: of a part's rows the first one that does. The
 * verdict is the status of an error, or a lesser severity. A group named `here` is what the remark
 * points at, otherwise it is the whole match. Rows without a pattern are found by code, in
 * `head.ts`, `request.ts`, `responses.ts` and `connection.ts`.
 */
export type Rule = readonly [
  code: RemarkCode,
  verdict: 400 | 404 | 405 | "warning" | "note",
  pattern: RegExp | null,
  fact: Text,
  help: Text,
  /** What to put in place of the text that was found, if that mends the line. */
  fix?: Text,
];

type Text = string | ((found: string, about: About) => string);

/** What a message may speak of beside the text that was found, which is cut short and harmless. */
export interface About {
  /** Characters of what was found. */
  size: number;
  /** Characters of the part that the pattern was matched against. */
  partSize: number;
  /** The method that the path takes. */
  allow: string;
  /** Bytes that came. */
  came: number;
  /** Bytes of body that were announced. */
  length: number;
  /** The user whose key it is. */
  owner: string;
  /** How long the server waited. */
  seconds: number;
  /** The address of this server. */
  host: string;
}

const KEY_SIZE = 128; // hex digits
const MAX_USER_ID_LENGTH = 256; // characters

/** The key is the body of a refusal, or of another error response. */
const SENTENCE = [
  "the key is an error message",
  "first correct the error in your KEY request; send PUT only if the response to KEY has status 200",
] as const;

/**
 * Everything that this project knows to be wrong with a request. To teach it something new, add a
 * row here, its code to {@linkcode RemarkCode}, and a row to `check_test.ts`. Patterns see at most 4,096 characters, a byte each.
 */
// deno-fmt-ignore
const TABLE = {
  // The first line with what follows, where it ends in the middle of the path.
  split: [
    ["sentence-in-line", 400, /(?<=^[A-Z]+ \/key\/[^/\r\n]*\/)[^\r\n]+(?=\r?\nhelp: )/, ...SENTENCE],
    ["chunks-in-line", 400, /(?<=^[A-Z]+ \/key\/[^/ ]*\/)(?:[\da-f]{1,3}\r?\n(?=[\da-f]{8})|[\da-f]{4,}\r?\n[\da-f]{1,3}\r?\n)/i,
      "the key contains chunk sizes",
      "decode the chunks: read a line with the size (hex), that many bytes, and `\\r\\n`; repeat until the size is 0, and join the data"],
    ["response-in-line", 400, /(?<=^[A-Z]+ \/key\/[^/ \r\n]*\/) ?[^\r\n]*?(?:HTTP\/1\.\d \d{3}|Content-|charset=|Connection:|Date:|Server:|GMT|close)/i,
      "the key contains the headers of the response",
      "use only the body: `body = response.split(b\"\\r\\n\\r\\n\", 1)[1]`"],
    ["line-end-in-path", 400, /(?<=^[A-Z]+ \/[!-\xff]*)\r?\n(?=[!-\xff]* HTTP\/1\.\d\r?\n)|(?<=^[A-Z]+ \/key\/[^/ \r\n]*\/(?:[\da-fA-F]{128})?)\r?\n/,
      "line ending in the middle of the path",
      "remove the line ending from the value: `value.strip()`", ""],
  ],
  // The first line, without its end, where nothing behind it can be made out.
  start: [
    // deno-lint-ignore no-control-regex
    ["tls", 400, /^\x16\x03/,
      "TLS handshake; this server uses plain HTTP",
      "write `http://` instead of `https://`; in Python, use the socket without `ssl`"],
    ["http2", 400, /^PRI \*/,
      "HTTP/2 preface; this server uses HTTP/1.1",
      "switch your client to HTTP/1.1 (curl: `--http1.1`)"],
    ["utf-16", 400, /^(?:\xff\xfe|\xfe\xff|[!-~]\0[!-~]\0|\0[!-~]\0[!-~])/,
      "NUL bytes between the characters, as in UTF-16",
      "encode the request as UTF-8: `request.encode()`"],
    // deno-lint-ignore no-control-regex
    ["pickle", 400, /^\x80[\x02-\x05]/,
      "pickled Python object instead of a request",
      "send the text itself: `sock.sendall(request.encode())`"],
    ["data-first", 400, /^[{[<(]/,
      "data (JSON, XML, a list) instead of a request line",
      "start with the request line: `KEY /user/<user_id>/ HTTP/1.1`"],
    ["telnet", 400, /^\xff[\xfb-\xfe][^]/,
      "telnet options instead of a request",
      "use `nc` instead of `telnet`, or PuTTY in raw mode"],
    ["nul", 400, /(?<=^[^]?)\0+/,
      "NUL bytes before the method",
      "send only the text; do not put its length in front of it"],
    ["bytes-literal", 400, /^b(?=["'])/,
      "the request is inside b'...'",
      "use `sock.sendall(request.encode())`; do not put bytes into `str()` or `f\"...\"`"],
    ["quoted", 400, /^["'`]/,
      "quotation mark before the method",
      "send the text without quotation marks"],
    ["raw-bytes-in-line", 400, /(?<=^[A-Z]+ \/key\/[^/ ]*\/)b["'][^"']*?\\x/,
      "the key is a printed bytes object, with `\\x..` escapes",
      "send the 128 digits as you received them, without `bytes.fromhex()`"],
    // deno-lint-ignore no-control-regex
    ["raw-key", 400, /(?<=^PUT \/key\/[^/ ]*\/)(?! ?[\da-fA-F]{100})[!-\xff]*[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]/,
      "the key contains bytes that are not text",
      "send the 128 digits as you received them, without `bytes.fromhex()`"],
    ["bytes-in-line", 400, /(?<=^[A-Z]+ \/\w+\/[^/ ]*\/?)b(?=["'])/,
      "the path contains b'...'",
      "convert bytes to text before you put them into a string: `key.decode()`"],
    ["crlf-spelt-out", 400, /\b(?:CRLF|<CR><LF>|\[CRLF\])/,
      (found) => `\`${found}\` instead of a line ending`,
      "write `\"\\r\\n\"` in its place"],
    ["literal-line-end", 400, /\\r(?:\\n)?|\\n/,
      (found) => `characters \`${found}\` instead of a line ending`,
      "write `\"\\r\\n\"` with single backslashes, in a normal string, not in `r\"...\"`"],
    ["slash-line-end", 400, /\/r\/n|(?<=HTTP\/1\.\d)\/n/,
      (found) => `\`${found}\` instead of a line ending`,
      "use backslashes: `\\r\\n`"],
    ["lost-backslashes", 400, /(?<=HTTP\/1\.\d)r?n(?=r?n|[A-Z]|$)/,
      (found) => `\`${found}\` instead of a line ending`,
      "in a shell, use printf: `printf 'KEY /user/Ada/ HTTP/1.1\\r\\n...'`"],
    ["bare-cr", 400, /\r/,
      "CR (`\\r`) without LF (`\\n`)",
      "end each line with `\\r\\n`, in this order"],
    ["response-line", 400, /^HTTP\/[!-\xff]*(?= \d{3}\b)/,
      "status line of a response instead of a request line",
      "start with the method: `KEY /user/<user_id>/ HTTP/1.1`"],
    ["line-goes-on", 400, /(?<=HTTP\/1\.\d)[ ,;]*(?=[A-Za-z][\w-]*:)/,
      "text after `HTTP/1.1` in the request line",
      "end the request line with `\\r\\n`; each header needs a line of its own"],
  ],
  // The first line, without its end, if it is not `METHOD target HTTP/1.x`.
  line: [
    ["byte-order-mark", 400, /^\xef\xbb\xbf/,
      "byte order mark before the method",
      "encode with `utf-8`, not `utf-8-sig`: `request.encode()`"],
    ["indented-line", 400, /^[ \t]+/,
      "white space before the method",
      "use `\"\\r\\n\".join(lines)` instead of a triple-quoted string, which keeps its indentation",
      ""],
    ["no-method", 400, /^(?:https?:\/\/|\/|user\/|key\/)[!-\xff]*/,
      "no method before the path",
      "start with the method: `KEY /user/<user_id>/ HTTP/1.1`"],
    ["order", 400, /^(?:HTTP\/[!-\xff]+|[A-Za-z]+ HTTP\/[!-\xff]+(?= [!-\xff]))/i,
      "the version is before the path",
      "use this order: method, path, version, as in `KEY /user/<user_id>/ HTTP/1.1`"],
    ["two-methods", 400, /^[A-Z]+ (?=(?:KEY|PUT) \/)/,
      "two methods in the request line",
      "send one method: `KEY /user/<user_id>/ HTTP/1.1`", ""],
    ["address-in-line", 400, /(?<=^[A-Z]+ )[\w.-]+:\d+ (?=\/)/,
      (found) => `the address \`${found.trim()}\` in the request line`,
      "send only the path here; the address belongs in the Host header", ""],
    ["number-first", 400, /^\d+\s*(?=[A-Z]+ \/)/,
      "number before the method",
      "send only the text; do not put its length in front of it", ""],
    ["label-first", 400, /^\w+:\s*(?=[A-Z]+ \/)/,
      (found) => `\`${found.trim()}\` before the method`,
      "start the line with the method", ""],
    ["method-punctuation", 400, /^[A-Za-z]+(?<here>\s?[:,;|]+)/,
      (found) => `\`${found.trim()}\` after the method`,
      "put exactly one space after the method", ""],
    ["no-space", 400, /^(?:KEY|PUT|GET|POST)(?<here>\/)/i,
      "no space between the method and the path",
      "put one space between them", " /"],
    ["no-space-before-version", 400, /(?<=^[!-\xff]+ \/[!-\xff]*\/)HTTP\/\d\.\d$/,
      "no space between the path and the version",
      "put one space between them", (found) => ` ${found}`],
    // deno-lint-ignore no-control-regex
    ["control-character", 400, /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/,
      "control character in the request line",
      "write `/` in the path, not a backslash: in a string, `\"\\a\"` and `\"\\b\"` are control characters"],
    ["tab", 400, /\t/,
      "tab in the request line",
      "separate method, path and version by one space", " "],
    ["two-spaces", 400, /(?<=^[!-\xff]+) {2,}| {2,}(?=HTTP\/[!-\xff]+$)/,
      (_, { size }) => `${size} spaces in a row`,
      "separate method, path and version by one space; check that no variable is empty", " "],
    ["space-at-end", 400, /HTTP\/\d\.\d(?<here> +)$/,
      "space after the version",
      "end the line right after `HTTP/1.1`", ""],
    ["version-case", 400, /(?<= )(?!HTTP)[Hh][Tt][Tt][Pp]\/1\.\d$/,
      (found) => `version \`${found}\` instead of \`HTTP/1.1\``,
      "write the version in uppercase", "HTTP/1.1"],
    ["wrong-version", 400, /(?<= )(?!HTTP\/1\.\d$)(?:HTTPS?(?: ?\/ ?| |)[\d.,]*|H[TP]{2,5}\/[\d.]+|HTTP[!-~]*|\d\.\d)$/i,
      (found) => `unknown version \`${found}\``,
      "write `HTTP/1.1`", "HTTP/1.1"],
    ["user-space", 400, /(?<=^[!-\xff]+ \/user\/[^/ ]*) +(?=\/ )|(?<=^[!-\xff]+ \/user\/) +/,
      "space before or after the user id",
      "remove it: `user_id.strip()`", ""],
    ["version-twice", 400, /HTTP\/1\.\d (?=HTTP\/1\.\d$)/,
      "two versions in the request line",
      "end the line after the first `HTTP/1.1`", ""],
    ["slash-and-space", 400, /(?<=^[!-\xff]+ \/[!-\xff]*) \/(?=HTTP\/\d)/,
      "space before the final slash of the path",
      "put the slash before the space: `/user/<user_id>/ HTTP/1.1`", "/ "],
    ["object-in-line", 400, /(?<=^[A-Z]+ \/key\/[^/ ]*\/)<[^/]* [^/]*>(?=\/)/,
      "the key is a printed object, not its text",
      "send the text, not the object; check that `()` is not missing, as in `key.decode()`"],
    ["sentence-in-line", 400, /(?<=^[A-Z]+ \/key\/[^/ ]*\/)(?=.*[g-z])[\w`'"][!-~]* [!-~]+ .*(?=\/ HTTP\/1\.\d$)/i,
      ...SENTENCE],
    ["space-in-key", 400, /(?<=^[A-Z]+ \/key\/[^/ ]*\/[^ ]*) (?=.* HTTP\/[!-\xff]+$)/,
      "the key contains a space",
      "use `key.strip()`; if the text is not a key, check that the response to KEY has status 200"],
    ["space-in-path", 400, /^[!-\xff]+ [!-\xff]+(?<here> )[!-\xff].*(?: HTTP\/[!-\xff]+|\/)$/i,
      "the path contains a space",
      "in Python: `urllib.parse.quote(user_id, safe=\"\")`", "%20"],
    ["no-path", 400, /(?<=^[A-Z]+) HTTP\/1\.\d$/,
      "no path in the request line",
      "put the path between method and version: `KEY /user/<user_id>/ HTTP/1.1`"],
    ["no-version", 400, /^[!-~]+ [!-~\x80-\xff]+(?<here>)$/,
      "no version in the request line",
      "end the line with ` HTTP/1.1`", " HTTP/1.1"],
    ["method-name", 400, /^(?![{[(<])[^ ]*[^\w!#$%&'*+.^`|~ -][^ ]*(?= )/,
      (found) => `invalid method \`${found}\``,
      "use `KEY` or `PUT`"],
    ["no-request-line", 400, /^[^]*/,
      "not an HTTP request line",
      "start with method, path and version: `KEY /user/<user_id>/ HTTP/1.1`"],
  ],
  // The request target, if it is neither a path nor a whole URL.
  target: [
    ["path-quoted", 400, /^["'`]/,
      "quotation marks around the path",
      "send the path without quotation marks"],
    ["path-bytes-literal", 400, /^b(?=["'])/,
      "the path is inside b'...'",
      "convert bytes to text before you put them into a string: `path.decode()`"],
    ["path-backslash", 400, /\\/,
      "backslash in the path",
      "separate the parts of the path by `/`", "/"],
    ["no-scheme", 400, /^(?:localhost|[\w-]+(?:\.[\w-]+)+)(?::\d+)?(?=\/|$)|^[\w.-]+:\d+/,
      (found) => `the address \`${found}\` before the path`,
      "send only the path here; the address belongs in the Host header", ""],
    ["path-encoded", 400, /^%2F/i,
      "the slashes of the path are percent-encoded",
      "encode only the user id, not the whole path: `quote(user_id, safe=\"\")`"],
    ["bad-url", 400, /^https?(?::\/*|\/\/)/i,
      "URL without a server",
      "send only the path: `/user/<user_id>/`"],
    ["no-leading-slash", 400, /^/,
      "the path does not start with a slash",
      "start the path with `/user/` or `/key/`", "/"],
  ],
  // A path with characters in it that no path has.
  characters: [
    ["placeholder", 400, /(?:[<{[]|%3C|%7B){1,2}[\w.]{0,40}?(?:user|id|key|val|name)[\w.]{0,40}(?:[>}\]]|%3E|%7D){1,2}/i,
      (found) => `the placeholder \`${found}\` in the path`,
      "replace it by the value; in Python, put `f` before the string: `f\"/user/{user_id}/\"`"],
    ["format-left", 400, /%(?:s|d|\(\w+\)s)(?=\/)|\{\d?\}|%[A-Z_]*[G-Z_][A-Z_]*%/,
      (found) => `the placeholder \`${found}\` in the path`,
      "replace it by the value; in Python, use `f\"...\"`, `%` or `.format()`"],
    ["angle-brackets", 400, /<[^<>/]*>/,
      "angle brackets in the path",
      "remove `<` and `>`: they only mark where the value goes"],
    ["path-literal-line-end", 400, /\\r|\\n/,
      (found) => `the characters \`${found}\` in the path`,
      "remove the line ending from the value: `value.strip()`", ""],
    ["backslash", 400, /\\/,
      "backslash in the path",
      "separate the parts of the path by `/`", "/"],
    ["bad-percent", 400, /%(?![\da-fA-F]{2})[^/]{0,2}/,
      (found) => `\`${found}\` is not percent-encoding`,
      "put two hex digits after `%`; a percent sign itself is `%25`"],
    ["fragment", 400, /#.*/,
      (found) => `\`${found}\` in the path starts a fragment`,
      "encode `#` in a user id as `%23`"],
    ["not-ascii", "warning", /[\x80-\xff]+/,
      "characters in the path that are not ASCII",
      "encode them: `urllib.parse.quote(user_id, safe=\"\")`; otherwise many servers refuse the request"],
    ["odd-character", "warning", /[^\w.~!$&'()*+,;=:@/%-]/,
      (found) => `\`${found}\` is not allowed in a path`,
      "encode it: `urllib.parse.quote(user_id, safe=\"\")`; otherwise many servers refuse the request",
      (found) => encodeURIComponent(found)],
  ],
  // A path that is neither `/user/<user_id>/` nor `/key/<user_id>/<key_val>/`.
  path: [
    ["sentence-in-path", 404, /(?<=^\/key\/[^/]+\/).+(?=%0Ahelp(?::|%3A)(?:%20|\+))/i, ...SENTENCE],
    ["response-in-path", 404, /(?<=^\/key\/[^/]+\/)HTTP\/1\.\d/,
      "the key contains the headers of the response",
      "use only the body: `body = response.split(b\"\\r\\n\\r\\n\", 1)[1]`"],
    ["address-in-path", 404, /^\/{1,2}(?:[\w.-]+:\d+|localhost|\d+(?:\.\d+){3})(?=\/)/,
      (found) => `the address \`${found}\` in the path`,
      "start the path with `/user/` or `/key/`; the address belongs in the Host header"],
    ["no-final-slash", 404, /^\/(?:user\/[^/]+|key\/[^/]+\/[^/]+)(?<here>)$/,
      "the path does not end with a slash",
      "end the path with `/`", "/"],
    ["key-in-user-path", 404, /^\/user\/[^/]*\/(?<here>[^/]{100,})\/?$/,
      "the path of `/user/` contains a key",
      "send a key back with `PUT /key/<user_id>/<key_val>/`"],
    ["two-slashes", 404, /\/{2,}/,
      "two slashes in a row",
      "write `/user/<user_id>/` or `/key/<user_id>/<key_val>/`; check that no variable is empty or contains a slash"],
    ["no-user-id", 404, /^\/(?:user|key)\/?$|^\/key\/(?=[\da-f]{64,}\/?$)/i,
      "no user id in the path",
      "write `/user/<user_id>/` or `/key/<user_id>/<key_val>/`"],
    ["no-slash-before-key", 404, /(?<=^\/key\/[^/]*?)[:=]?(?=[\da-fA-F]{128}\/?$)/,
      "no slash between the user id and the key",
      "write `/key/<user_id>/<key_val>/`", "/"],
    ["no-key-in-path", 404, /^\/key\/[^/]+\/?(?<here>)$/,
      "no key in the path",
      "write `/key/<user_id>/<key_val>/`; to ask for a key, send `KEY /user/<user_id>/`"],
    ["method-in-path", 404, /^\/(?:KEY|PUT)(?=\/(?:user|key)\/|\/?$)/,
      (found) => `the method \`${found.slice(1)}\` in the path`,
      "put the method before the path: `KEY /user/<user_id>/ HTTP/1.1`"],
    ["path-case", 404, /^\/(?!user\/|key\/)(?:[Uu][Ss][Ee][Rr]|[Kk][Ee][Yy])(?=\/)/,
      (found) => `\`${found}\` instead of \`${found.toLowerCase()}\``,
      "write the path in lowercase", (found) => found.toLowerCase()],
    ["path-plural", 404, /^\/(?:users|keys)(?=\/)/i,
      (found) => `\`${found}\` instead of \`${found.toLowerCase().slice(0, -1)}\``,
      "use the singular: `/user/` or `/key/`", (found) => found.toLowerCase().slice(0, -1)],
    ["slash-in-user-id", 404, /(?<=^\/user\/[^/]+)\/(?=[^/])|(?<=^\/key\/[^/]+)\/(?=.*\/[^/]{100,}\/?$)/,
      "the path has too many parts",
      "write `/user/<user_id>/` or `/key/<user_id>/<key_val>/`; encode a slash in a user id as `%2F`"],
    ["behind-key", 404, /(?<=^\/key\/[^/]+\/[\da-fA-F]{128}\/)[^]+$/,
      "text after the key",
      "end the path with the slash after the key; with curl, use `-X PUT` instead of `-T`", ""],
    ["slash-in-key", 404, /^\/key\/[^/]+\/[^/]+(?<here>\/)[^/]/,
      "the key contains a slash",
      "send the 128 digits as you received them"],
    ["no-such-path", 404, /^[^]*/,
      "unknown path",
      "use `KEY /user/<user_id>/` or `PUT /key/<user_id>/<key_val>/`"],
  ],
  // Method, space and path, where the path takes another method.
  method: [
    ["method-case", 405, /^(?!KEY|PUT)(?:[Kk][Ee][Yy](?= \/user)|[Pp][Uu][Tt](?= \/key))/,
      (found) => `method \`${found}\` instead of \`${found.toUpperCase()}\``,
      "write the method in uppercase", (found) => found.toUpperCase()],
    ["put-to-user", 405, /^PUT(?= \/user)/i,
      "method `PUT` on a path that needs `KEY`",
      "use `KEY` to ask for a key; to send one back, use `PUT /key/<user_id>/<key_val>/`"],
    ["key-to-key", 405, /^KEY(?= \/key)/i,
      "method `KEY` on a path that needs `PUT`",
      "use `PUT` to send a key back; to ask for one, use `KEY /user/<user_id>/`"],
    ["method-get", 405, /^(?:GET|HEAD)(?= )/i,
      (found, { allow }) => `method \`${found}\` on a path that needs \`${allow}\``,
      (_, { allow }) => `use \`${allow}\` (curl: \`-X ${allow}\`; Python library requests: \`requests.request("${allow}", url)\`)`,
      (_, { allow }) => allow],
    ["wrong-method", 405, /^[!-\xff]+/,
      (found, { allow }) => `method \`${found}\` on a path that needs \`${allow}\``,
      (_, { allow }) => `use \`${allow}\``, (_, { allow }) => allow],
  ],
  // The user id, as it was sent.
  user: [
    ["empty-user-id", 400, /^$/,
      "the user id is empty",
      "put the user id between the slashes; check that the variable is set"],
    ["swapped", 400, /^[\da-f]{128}$/i,
      "user id and key are in the wrong order",
      "write `/key/<user_id>/<key_val>/`"],
    ["long-user-id", 400, new RegExp(`^(?:%..|[^%]){${MAX_USER_ID_LENGTH + 1}}`),
      `the user id is longer than ${MAX_USER_ID_LENGTH} bytes`,
      "use a shorter one"],
    ["placeholder-encoded", 400, /^(?:%3C|%7B|%5B)+\w*(?:user|id|name)\w*(?:%3E|%7D|%5D)+$/i,
      "placeholder instead of the user id",
      "replace it by the user id; in Python, put `f` before the string: `f\"/user/{user_id}/\"`"],
    ["user-bytes-literal", "warning", /^b(?:'.*'|".*"|%27.*%27|%22.*%22)$/,
      "the user id is inside b'...'",
      "convert bytes to text before you put them into a string: `user_id.decode()`"],
    ["user-quoted", "warning", /^(?:\(|%28)?(?:['"]|%27|%22).*(?:['"]|%27|%22)(?:,|%2C)?(?:\)|%29)?$/i,
      "quotation marks around the user id",
      "remove them; in Python, `!r` and `repr()` add them"],
    ["user-white-space", "warning", /^(?:%20|%09|%0D|%0A)+|(?:%20|%09|%0D|%0A)+$/i,
      "white space around the user id",
      "remove it: `user_id.strip()`", ""],
    ["user-none", "warning", /^(?:None|null|undefined|NaN)$/,
      (found) => `the user id is \`${found}\``,
      "check that the variable is set"],
    ["user-object", "warning", /^(?:\[|%5B)object(?: |\+|%20).*/i,
      "the user id is a printed object, not its text",
      "send the id itself, such as `user.id`, not the object"],
    ["user-placeholder", "warning", /^(?:[:$]?(?:user_?id|id|user_?name)|\$\w+)$/i,
      (found) => `the user id \`${found}\` looks like a placeholder`,
      "replace it by the user id"],
  ],
  // The key, percent-decoded byte by byte, if it is not 128 hex digits.
  key: [
    ["empty-key", 400, /^(?:|b''|b"")$/,
      "the key is empty",
      "read the body before you use it: call `recv()` until the body has Content-Length bytes"],
    ["key-sentence", 400, /^[^\n]+(?=\r?\nhelp:[ +])/, ...SENTENCE],
    ["whole-response", 400, /HTTP\/1\.|content-(?:type|length):/i,
      "the key contains the headers of the response",
      "use only the body: `body = response.split(b\"\\r\\n\\r\\n\", 1)[1]`"],
    ["chunked-key", 400, /^[\da-f]{1,3}\r?\n(?=[\da-f]{8})|\r?\n0(?:\r?\n)*$/i,
      "the key contains chunk sizes",
      "decode the chunks: read a line with the size (hex), that many bytes, and `\\r\\n`; repeat until the size is 0, and join the data"],
    ["key-bytes-literal", 400, /^b['"]/,
      "the key is inside b'...'",
      "convert bytes to text before you put them into a string: `key.decode()`"],
    ["key-bytearray", 400, /^(?:bytearray|memoryview|Uint8Array|Buffer)\b/,
      "the key is a printed object of bytes, not its text",
      "convert it to text: `key.decode()`"],
    ["key-quoted", 400, /^["'`]/,
      "quotation marks around the key",
      "send only the digits", ""],
    ["key-none", 400, /^(?:None|null|undefined|nil|NaN|True|False)$/,
      (found) => `the key is \`${found}\``,
      "send PUT only if there is a key: `if key_val is not None:`"],
    ["key-object", 400, /^<.*(?: at 0x|object|Response|function|coroutine|method).*>$|^\[object/,
      "the key is a printed object, not its text",
      "use the body of the response"],
    ["key-name", 400, /^(?:key|key_?val|value)[=:]/i,
      (found) => `\`${found}\` before the key`,
      "send only the digits", ""],
    ["key-placeholder", 400, /^[<{[$:]*key(?:_?val(?:ue)?)?[>}\]]*$/i,
      (found) => `the placeholder \`${found}\` instead of the key`,
      "replace it by the key"],
    ["key-list", 400, /^[[(]?\d+(?:, ?\d+)+[\])]?$/,
      "the key is a list of numbers",
      "convert the numbers to text: `bytes(key).decode()`"],
    ["key-in-list", 400, /^[[(]["'].*[\])]$/,
      "the key is inside a list",
      "use the element of the list: `keys[0]`"],
    ["key-json", 400, /^\{.*\}$/,
      "the key is inside JSON",
      "send only the 128 digits"],
    ["key-status", 400, /^[1-5]\d\d$/,
      (found) => `the key is \`${found}\`, a status code`,
      "send the body of the response to KEY, and only if its status is 200"],
    ["key-sentence", 400, /[g-z]\w* \w+ \w+/i,
      ...SENTENCE],
    ["key-white-space", 400, /^\s+(?=[!-\xff])|(?<=[!-\xff])\s+$/,
      "white space around the key",
      "remove it: `key.strip()`", ""],
    ["key-hex-prefix", 400, /^0x/i,
      "`0x` before the key",
      "send only the digits, as you received them", ""],
    ["key-encoded-twice", 400, /%[\da-f]{2}/i,
      "the key is percent-encoded twice",
      "send the digits without encoding: hex digits need none"],
    ["key-escapes", 400, /(?:\\x[\da-f]{2})+/i,
      "the key contains Python escapes such as `\\x4f`",
      "convert bytes to text with `key.decode()`, not with `str(key)`"],
    ["key-hex-twice", 400, /^(?:3\d|[46][1-6]){128}$/,
      "256 digits: the key is hex-encoded twice",
      "use `key.decode()` instead of `key.hex()`"],
    ["key-separators", 400, /^[\da-f]{2,8}(?:[ :_-][\da-f]{2,8})+$/i,
      "separators between the digits of the key",
      "send the digits as you received them"],
    ["key-raw-bytes", 400, /[^\t\n\r\x20-\x7e]/,
      "the key contains bytes that are not text",
      "send the 128 digits as you received them, not the 64 bytes that they encode"],
    ["key-base64", 400, /^[\w+/-]{86}(?:==)?$/,
      "the key is base64",
      "send the 128 hex digits as you received them"],
    ["key-decimal", 400, /^\d{150,156}$/,
      (_, { partSize }) => `${partSize} decimal digits instead of ${KEY_SIZE} hex digits`,
      "send the text as you received it, without `int()`"],
    ["long-key", 400, /^[\da-f]{129,}$/i,
      (_, { size }) => `the key has ${size} digits instead of ${KEY_SIZE}`,
      "stop reading after Content-Length bytes of the body"],
    ["tiny-key", 400, /^[\da-f]{1,3}$/i,
      (found) => `the key is \`${found}\`, not ${KEY_SIZE} digits`,
      "if the response has `Transfer-Encoding: chunked`, this is a chunk size: read the key from the next line"],
    ["short-key", 400, /^[\da-f]+(?<here>)$/i,
      (_, { partSize }) => `the key has ${partSize} of ${KEY_SIZE} digits`,
      "one `recv()` may return part of the response: call it until the body has Content-Length bytes, and give up if it returns `b''`"],
    ["key-word", 400, /^[A-Za-z]*[g-z][A-Za-z]*$/i,
      (found) => `the key is \`${found}\`, a word`,
      `send the ${KEY_SIZE} hex digits as you received them`],
    ["key-end-quote", 400, /(?<=^[\da-f]+)["']$/i,
      "closing quotation mark of b'...' after the key",
      "use `key.decode()`; do not cut off `b'` with a slice", ""],
    ["key-not-hex", 400, /[^\da-f]+/i,
      (found) => `\`${found}\` in the key is not a hex digit`,
      `send the ${KEY_SIZE} hex digits as you received them`],
  ],
  // A field line, without its end, if it is not `Name: value`.
  field: [
    ["blank-line", 400, /^[ \t]+$/,
      "space or tab in the empty line after the headers",
      "end the headers with `\"\\r\\n\\r\\n\"`, not with a triple-quoted string, which keeps its indentation"],
    ["indented-field", 400, /^[ \t]+/,
      "white space before the header",
      "use `\"\\r\\n\".join(lines)` instead of a triple-quoted string, which keeps its indentation",
      ""],
    ["lf-cr", 400, /^\r/,
      "line ending LF CR instead of CR LF",
      "write `\\r\\n`, not `\\n\\r`"],
    ["field-bare-cr", 400, /\r/,
      "CR (`\\r`) without LF (`\\n`)",
      "end each line with `\\r\\n`, in this order"],
    ["second-request-line", 400, /^[A-Z]+ [!-\xff]+ HTTP\/1\.\d$/,
      "second request line, but no empty line before it",
      "end the headers of each request with an empty line: `\\r\\n\\r\\n`"],
    ["body-in-head", 400, /^(?:\{"|\[)/,
      "body before the empty line",
      "remove the body: neither KEY nor PUT needs one here"],
    ["field-quoted", 400, /^[{(]?["'][^:]*["'](?=\s*:)/,
      "quotation marks around the header name",
      (_, { host }) => `write it without quotation marks: \`Host: ${host}\``],
    ["space-before-colon", 400, /^[^\s:]+(?<here>[ \t]+):/,
      "space before the colon",
      "put the colon right after the header name", ""],
    ["no-field-name", 400, /^:/,
      "no header name before the colon",
      "write a header as `Name: value`"],
    ["field-equals", 400, /^[\w-]+\s*(?<here>=)/,
      "`=` instead of `:` in a header",
      "write a header as `Name: value`", ":"],
    ["no-colon", 400, /^[^:]*$|^[\w-]+ [\w.-]+:\d+$/,
      "no colon in a header line",
      "write a header as `Name: value`"],
    ["field-name", 400, /^[^:]*[^\w!#$%&'*+.^`|~:-][^:]*(?=:)/,
      "invalid header name",
      "use only letters, digits and `-` in a header name"],
    ["field-value", 400, /[^\t\x20-\x7e\x80-\xff]/,
      "control character in the value of a header",
      "remove it", ""],
  ],
  // The name of a field.
  name: [
    ["misspelt-field", "warning", /^(?:hosts|hots|hsot|con+ections?|content_?len(?:gth|ght)|content-lenght|user_?agent|transfer_?encoding)$/i,
      (found) => `unknown header \`${found}\``,
      "check the spelling"],
  ],
  // The value of Host.
  host: [
    ["host-empty", "warning", /^$/,
      "the Host header is empty",
      (_, { host }) => `write \`Host: ${host}\``, (_, { host }) => ` ${host}`],
    ["host-scheme", "warning", /^\w+:\/\//,
      (found) => `the Host header contains \`${found}\``,
      (_, { host }) => `write \`Host: ${host}\`; otherwise many servers refuse the request`],
    ["host-path", "warning", /[/?#].*/,
      "the Host header contains a path",
      (_, { host }) => `write \`Host: ${host}\`; otherwise many servers refuse the request`],
    ["host-tuple", "warning", /^\(?["'].*/,
      "the Host header is a Python tuple",
      (_, { host }) => `use \`f"Host: {host}:{port}"\`, which gives \`Host: ${host}\``],
    ["host-comma", "warning", /,.*/,
      "comma in the Host header",
      "write each header on a line of its own"],
    ["host-invalid", "warning", /^[^]*/,
      "the Host header is not a host name or IP address",
      (_, { host }) => `write \`Host: ${host}\`; otherwise many servers refuse the request`],
  ],
  // The value of Connection.
  connection: [
    ["connection-option", "warning", /^(?:closed|closing|close[;,.]|["']close["']|end|quit|keepalive|keep_alive|keep alive)$/i,
      (found) => `unknown connection option \`${found}\``,
      "write `Connection: close` or `Connection: keep-alive`"],
  ],
  // What is behind the request, if that is no further one.
  rest: [
    ["lf-cr-behind", "warning", /^\r$/,
      "line ending LF CR instead of CR LF",
      "write `\\r\\n`, not `\\n\\r`"],
    ["extra-line-end", "warning", /^[\r\n]+$/,
      "extra line ending after the request",
      "remove it: a request without a body ends with exactly one `\\r\\n\\r\\n`"],
    ["nul-behind", "warning", /^\0+/,
      "NUL bytes after the request",
      "send only the text: in C `strlen(text)` bytes, not `sizeof buffer`"],
    ["fields-behind", "warning", /^(?:host|connection|user-agent|accept|content-[\w-]+):[^\n]*\n/i,
      "headers after the empty line",
      "put all headers before the empty line"],
    ["bytes-behind", "warning", /^[^]+/,
      (_, { partSize }) => `${octets(partSize)} after the end of the request`,
      "remove them: neither KEY nor PUT needs a body here"],
  ],
  // Found by code.
  whole: [
    ["nothing-sent", 400, null,
      "no bytes received",
      "call `sendall()` before `recv()`; after `makefile()` and `write()`, call `flush()`"],
    ["nothing-yet", "note", null, // only on the page
      "no bytes received yet",
      "if this is your client, call `sendall()` before `recv()`; browsers open such connections too"],
    ["no-line-end", 400, null,
      (_, { came }) => `no line ending after the last line (${octets(came)} received)`,
      "add `\"\\r\\n\\r\\n\"` to the end of the request"],
    ["no-empty-line", 400, null,
      (_, { came }) => `no empty line after the headers (${octets(came)} received)`,
      "add `\"\\r\\n\"` to the end of the request: it must end with `\"\\r\\n\\r\\n\"`"],
    ["too-large", 400, null,
      "the request is larger than 65536 bytes",
      "send a smaller request"],
    ["body-incomplete", 400, null,
      (_, { came, length }) => `received only ${came} of ${length} bytes of the body`,
      "remove Content-Length: neither KEY nor PUT needs a body"],
    ["chunks-incomplete", 400, null,
      (_, { came }) => `no last chunk (${octets(came)} of body received)`,
      "end a chunked body with `0\\r\\n\\r\\n`, or remove Transfer-Encoding: neither KEY nor PUT needs a body"],
    ["bad-chunk", 400, null,
      "invalid chunk",
      "send each chunk as size in hex, `\\r\\n`, data, `\\r\\n`; after the last one, send `0\\r\\n\\r\\n`"],
    ["length-not-a-number", 400, null,
      "Content-Length is not a number",
      "send the number of bytes of the body, in decimal digits"],
    ["two-lengths", 400, null,
      "two different Content-Length headers",
      "send only one"],
    ["length-and-chunked", 400, null,
      "both Content-Length and Transfer-Encoding",
      "send only one of them"],
    ["unknown-coding", 400, null,
      "unknown Transfer-Encoding",
      "remove Transfer-Encoding: neither KEY nor PUT needs a body"],
    ["user-not-utf-8", 400, null,
      "the decoded user id is not UTF-8",
      "encode it as UTF-8: `urllib.parse.quote(user_id, safe=\"\")`"],
    ["no-host", "warning", null,
      "no Host header; HTTP/1.1 requires one",
      (_, { host }) => `add this line: Host: ${host}`],
    ["two-hosts", "warning", null,
      "two Host headers; HTTP/1.1 requires one",
      "remove one of them"],
    ["blank-line-first", "warning", null,
      "empty line before the request",
      "remove the line ending before the method; a triple-quoted string often starts with one"],
    ["lf-alone", "warning", null,
      "line ending LF (`\\n`) without CR (`\\r`)",
      "end each line with `\\r\\n` (with `nc`, use `nc -C`); otherwise many servers refuse the request"],
    ["value-line-end", "warning", null,
      "the characters `\\r\\n` in a header",
      "write `\"\\r\\n\"` with single backslashes, in a normal string, not in `r\"...\"`"],
    ["question-mark", 404, null,
      "the path ends at `?`, before its final slash",
      "encode `?` in a user id as `%3F`", "%3F"],
    ["query", "warning", null,
      "this server ignores the text after `?`",
      "put the user id and the key into the path", ""],
    ["http-1.0", "note", null,
      "HTTP/1.0 instead of HTTP/1.1",
      "write `HTTP/1.1`, as the exercise says", "HTTP/1.1"],
    ["absolute-form", "note", null,
      "URL instead of a path in the request line",
      "send only the path; the address belongs in the Host header", ""],
    ["other-host", "note", null,
      "the port in the Host header is missing or wrong",
      "write the host and port that your client connects to", (_, { host }) => host],
    ["body-ignored", "note", null,
      (_, { length }) => `body of ${octets(length)}, which this server ignores`,
      "put the user id and the key into the path"],
    // Of the connection, by who has it.
    ["idle", "note", null,
      (_, { seconds }) => `connection closed: no request for ${seconds} s after the response`,
      (found, { length }) => `if your client was still waiting, stop after ${found === "chunked" ? "the last chunk, `0\\r\\n\\r\\n`" : `Content-Length (${octets(length)})`}, or send this header: Connection: close`],
    ["still-open", "note", null,
      "the server closed the connection; your client has not",
      "leave the loop if `recv()` returns `b''`: `if not data: break`; then call `close()`"],
    ["reset", "note", null,
      "your client closed the connection with data unread",
      "one `recv()` may return part of the response: call it until the body has Content-Length bytes"],
    ["late-request", "note", null,
      "request sent after the server closed the connection",
      "open a new connection for each request"],
    ["gone", "note", null,
      "your client closed the connection before the response",
      "call `recv()` before `close()`; check that your client did not crash after sending"],
    ["kept-open", "note", null,
      "response sent; this test leaves the connection open",
      (_, { length }) => `if your client is still waiting, stop after Content-Length (${octets(length)})`],
    ["crowded", "note", null,
      "too many connections; the server closed this one",
      "close your connections when you have the response"],
    // Of the key, by who remembers which one was issued.
    ["no-key-issued", 404, null,
      (found) => `your IP address has no key for \`${found}\` yet`,
      "send KEY first, with the same user id"],
    ["wrong-key", 400, null,
      (found) => `wrong key: not the one issued to \`${found}\``,
      "send the digits as you received them"],
    ["old-key", 400, null,
      (found) => `old key: \`${found}\` has a newer one`,
      "use the key from the last response to KEY: each KEY request replaces the key before it"],
    ["key-of-another", 400, null,
      (found, { owner }) => `key of \`${owner}\`, not of \`${found}\``,
      "send the same user id in KEY and PUT"],
    ["key-from-another-address", 400, null,
      (found) => `key issued to \`${found}\` at another IP address`,
      "send KEY and PUT from the same machine"],
    ["key-case", 400, null,
      "the case of the letters in the key was changed",
      "send the digits as you received them, without `.upper()` or `.lower()`"],
    ["key-start", 400, null,
      (_, { length }) => `the key has only the first ${length} of ${KEY_SIZE} digits`,
      (_, { length }) => length === KEY_SIZE - 1 ? "do not cut the last digit off, as `[:-1]` does" : "one `recv()` may return part of the response; call it until the body has Content-Length bytes, and give up if it returns `b''`"],
    ["key-end", 400, null,
      (_, { length }) => `the key has only the last ${length} of ${KEY_SIZE} digits`,
      "use `key.decode()`: `strip(\"b'\")` also removes a digit `b` at the start or end of the key"],
    ["key-part", 400, null,
      (_, { length }) => `wrong key, and only ${length} of ${KEY_SIZE} digits`,
      "send the key as you received it"],
  ],
} as const satisfies Record<Part, readonly Rule[]>;

/** The rows of each part. */
export const RULES: Readonly<Record<Part, readonly Rule[]>> = TABLE;

// Does not compile if a code has no row.
[] as Exclude<RemarkCode, (typeof TABLE)[Part][number][0]>[] satisfies never[];

function octets(count: number): string {
  return count === 1 ? "1 byte" : `${count} bytes`;
}
