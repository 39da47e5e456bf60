/**
 * What is wrong with a request to the key server: bytes in, remarks out; no socket, no clock.
 *
 * What a strict reader of RFC 9112 takes passes without a word. Whatever else comes is looked up in
 * one table, {@linkcode RULES}, which knows the mistakes that people make who write HTTP by hand.
 *
 * @example Usage
 * ```ts
 * import { checkRequest } from "./rules.ts";
 *
 * const request = new TextEncoder().encode("KEY /user/Ada L/ HTTP/1.1\r\n\r\n");
 * for (const { severity, message } of checkRequest(request)) console.log(`${severity}: ${message}`);
 * ```
 *
 * @module
 */

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
 * import { checkRequest, type Remark } from "./rules.ts";
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

// ---- The table

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

/**
 * A pattern, and what is said where it matches: of a part's rows the first one that does. The
 * verdict is the status of an error, or a lesser severity. A group named `here` is what the remark
 * points at, otherwise it is the whole match. Rows without a pattern are found by code, further
 * below or in `server.ts`.
 */
export type Rule = [
  code: string,
  verdict: 400 | 404 | 405 | "warning" | "note",
  pattern: RegExp | null,
  message: string | ((found: string, about: About) => string),
];

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
}

const KEY_SIZE = 128; // hex digits
const MAX_USER_ID_LENGTH = 256; // characters

/**
 * Everything that this project knows to be wrong with a request. To teach it something new, add a
 * row here, and one to `check_test.ts`. Patterns see at most 4,096 characters, a byte each.
 */
// deno-fmt-ignore
export const RULES: Record<Part, Rule[]> = {
  // The first line with what follows, where it ends in the middle of the path.
  split: [
    ["chunks-in-line", 400, /(?<=^[A-Z]+ \/key\/[^/ ]*\/)(?:[\da-f]{1,3}\r?\n(?=[\da-f]{8})|[\da-f]{4,}\r?\n[\da-f]{1,3}\r?\n)/i,
      "the key has the sizes of its chunks with it: with `Transfer-Encoding: chunked` a body comes in chunks, each behind a line with its size in hex; take the chunks alone"],
    ["response-in-line", 400, /(?<=^[A-Z]+ \/key\/[^/ \r\n]*\/) ?[^\r\n]*?(?:HTTP\/1\.\d \d{3}|Content-|charset=|Connection:|Date:|Server:|GMT|close)/i,
      "the key has a part of the response's head with it: take the body alone, which begins behind the first empty line: `response.split(\"\\r\\n\\r\\n\", 1)[1]`, of bytes with `b` before the quotation mark"],
    ["line-end-in-path", 400, /(?<=^[A-Z]+ \/[!-\xff]*)\r?\n(?=[!-\xff]* HTTP\/1\.\d\r?\n)|(?<=^[A-Z]+ \/key\/[^/ \r\n]*\/(?:[\da-fA-F]{128})?)\r?\n/,
      "here the line ends in the middle of the path: a value still had its line end (from `input()`, a file or the response); use `.strip()`"],
  ],
  // The first line, without its end, where nothing behind it can be made out.
  start: [
    // deno-lint-ignore no-control-regex
    ["tls", 400, /^\x16\x03/,
      "this is the first message of TLS, and this server speaks plain HTTP: write `http://`, not `https://`, or leave out `ssl.wrap_socket()`"],
    ["http2", 400, /^PRI \*/,
      "this is how HTTP/2 begins, and this server speaks HTTP/1.1: switch your client to it (curl: `--http1.1`)"],
    ["utf-16", 400, /^(?:\xff\xfe|\xfe\xff|[!-~]\0[!-~]\0|\0[!-~]\0[!-~])/,
      "there is a zero byte with each character, as UTF-16 has it: encode the request with `.encode()`, which is UTF-8"],
    // deno-lint-ignore no-control-regex
    ["pickle", 400, /^\x80[\x02-\x05]/,
      "this is a pickled object of Python: send the text itself, with `request.encode()`"],
    ["data-first", 400, /^[{[<(]/,
      "this looks like data (JSON, XML, a list): the first line of a request is `KEY /user/<user_id>/ HTTP/1.1`"],
    ["telnet", 400, /^\xff[\xfb-\xfe][^]/,
      "these are the options of telnet, and this server speaks plain HTTP: use `nc`, or PuTTY in raw mode"],
    ["nul", 400, /(?<=^[^]?)\0+/,
      "there are zero bytes before the method: send the text alone, without its length before it"],
    ["bytes-literal", 400, /^b(?=["'])/,
      "the request is wrapped in b'...': Python put the bytes object itself into the text; send the bytes as they are, or use `.decode()` to make text of them"],
    ["quoted", 400, /^["'`]/,
      "the request begins with a quotation mark: send the text alone, without the marks around it"],
    ["raw-bytes-in-line", 400, /(?<=^[A-Z]+ \/key\/[^/ ]*\/)b["'][^"']*?\\x/,
      "the key was made bytes and then shown as Python shows them: send the 128 digits as they came, without `bytes.fromhex()`"],
    // deno-lint-ignore no-control-regex
    ["raw-key", 400, /(?<=^PUT \/key\/[^/ ]*\/)(?! ?[\da-fA-F]{100})[!-\xff]*[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]/,
      "there are bytes in the key that are no text: send the 128 hex digits as they came, without `bytes.fromhex()`"],
    ["bytes-in-line", 400, /(?<=^[A-Z]+ \/\w+\/[^/ ]*\/?)b(?=["'])/,
      "here begins b'...': Python put a bytes object itself into the text; use `.decode()` to make text of it, and take the key alone"],
    ["crlf-spelt-out", 400, /\b(?:CRLF|<CR><LF>|\[CRLF\])/,
      (found) => `\`${found}\` is only the name of a line end: write "\\r\\n" in its place`],
    ["literal-line-end", 400, /\\r(?:\\n)?|\\n/,
      (found) => `the characters \`${found}\` stand in the request, where a line should end: in Python a raw string (r"...") or a doubled backslash does that; write "\\r\\n" in a plain string`],
    ["slash-line-end", 400, /\/r\/n|(?<=HTTP\/1\.\d)\/n/,
      (found) => `here stands \`${found}\`, with slashes: a line end is written with backslashes, \`\\r\\n\``],
    ["lost-backslashes", 400, /(?<=HTTP\/1\.\d)r?n(?=r?n|[A-Z]|$)/,
      (found) => `here stands \`${found}\`, a line end without its backslashes: in a shell use \`printf 'KEY /user/Ada/ HTTP/1.1\\r\\n...'\``],
    ["bare-cr", 400, /\r/,
      "here is a CR (`\\r`) without its LF: each line ends in the two characters `\\r\\n`, in this order"],
    ["response-line", 400, /^HTTP\/[!-\xff]*(?= \d{3}\b)/,
      "this is how a response begins: a request begins with its method, `KEY /user/<user_id>/ HTTP/1.1`"],
    ["line-goes-on", 400, /(?<=HTTP\/1\.\d)[ ,;]*(?=[A-Za-z][\w-]*:)/,
      "the line goes on behind the version: it ends there, with `\\r\\n`, and each field has a line of its own"],
  ],
  // The first line, without its end, if it is not `METHOD target HTTP/1.x`.
  line: [
    ["byte-order-mark", 400, /^\xef\xbb\xbf/,
      "there is a byte order mark before the method: encode with `utf-8`, not `utf-8-sig`"],
    ["indented-line", 400, /^[ \t]+/,
      'there is white space before the method: the line begins with the method (a text in """triple quotes""" keeps its indentation; put the lines together with "\\r\\n" instead)'],
    ["no-method", 400, /^(?:https?:\/\/|\/|user\/|key\/)[!-\xff]*/,
      "the line begins with the path: the method comes first, as in `KEY /user/<user_id>/ HTTP/1.1`"],
    ["order", 400, /^(?:HTTP\/[!-\xff]+|[A-Za-z]+ HTTP\/[!-\xff]+(?= [!-\xff]))/i,
      "the version stands too early: the order is method, path, version, as in `KEY /user/<user_id>/ HTTP/1.1`"],
    ["two-methods", 400, /^[A-Z]+ (?=(?:KEY|PUT) \/)/,
      "there are two methods: the line has one, as in `KEY /user/<user_id>/ HTTP/1.1`"],
    ["address-in-line", 400, /(?<=^[A-Z]+ )[\w.-]+:\d+(?= \/)/,
      (found) => `\`${found}\` does not belong here: the server's address goes into the Host field`],
    ["number-first", 400, /^\d+\s*(?=[A-Z]+ \/)/,
      "a number stands before the method: send the text alone, without its length before it"],
    ["label-first", 400, /^\w+:\s*(?=[A-Z]+ \/)/,
      (found) => `leave out \`${found.trim()}\`: the line begins with the method`],
    ["method-punctuation", 400, /^[A-Za-z]+(?<here>\s?[:,;|]+)/,
      (found) => `there is a \`${found.trim()}\` behind the method: nothing but one space comes there, as in \`KEY /user/<user_id>/ HTTP/1.1\``],
    ["no-space", 400, /^(?:KEY|PUT|GET|POST)(?<here>\/)/i,
      "there is no space between the method and the path"],
    ["no-space-before-version", 400, /(?<=^[!-\xff]+ \/[!-\xff]*\/)HTTP\/\d\.\d$/,
      "there is no space between the path and the version"],
    // deno-lint-ignore no-control-regex
    ["control-character", 400, /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/,
      "there is a control character in the line: a backslash in a string makes one (\"\\a\", \"\\b\", \"\\f\"); write it twice, or begin the string with r"],
    ["tab", 400, /\t/,
      "here is a tab: the parts of this line stand apart by one space each"],
    ["two-spaces", 400, /(?<=^[!-\xff]+) {2,}| {2,}(?=HTTP\/[!-\xff]+$)/,
      (_, { size }) => `here are ${size} spaces: the parts of this line stand apart by one space each (is a variable empty?)`],
    ["space-at-end", 400, /HTTP\/\d\.\d(?<here> +)$/,
      "there is a space behind the version: the line ends right after `HTTP/1.1`"],
    ["version-case", 400, /(?<= )(?!HTTP)[Hh][Tt][Tt][Pp]\/1\.\d$/,
      (found) => `the version is written \`${found}\`: it is \`HTTP/1.1\`, in capitals`],
    ["wrong-version", 400, /(?<= )(?!HTTP\/1\.\d$)(?:HTTPS?(?: ?\/ ?| |)[\d.,]*|H[TP]{2,5}\/[\d.]+|HTTP[!-~]*|\d\.\d)$/i,
      (found) => `the version is written \`${found}\`: this server speaks \`HTTP/1.1\`, spelt just so`],
    ["user-space", 400, /(?<=^[!-\xff]+ \/user\/[^/ ]*) +(?=\/ )|(?<=^[!-\xff]+ \/user\/) +/,
      "there is white space at the beginning or the end of the user id: `input()` or a file left it there; use `.strip()`"],
    ["version-twice", 400, /HTTP\/1\.\d (?=HTTP\/1\.\d$)/,
      "the version is there twice: the line ends in one"],
    ["slash-and-space", 400, /(?<=^[!-\xff]+ \/[!-\xff]*) \/(?=HTTP\/\d)/,
      "slash and space have changed places: the path ends in a slash, and then there is a space, as in `/user/Ada/ HTTP/1.1`"],
    ["object-in-line", 400, /(?<=^[A-Z]+ \/key\/[^/ ]*\/)<[^/]* [^/]*>(?=\/)/,
      "this is how a program shows an object or a function: take the text out of it (were the `()` forgotten, as in `key.decode()`?)"],
    ["sentence-in-line", 400, /(?<=^[A-Z]+ \/key\/[^/ ]*\/)(?=.*[g-z])[\w`'"][!-~]* [!-~]+ .*(?=\/ HTTP\/1\.\d$)/i,
      "this is a sentence and no key: an error message was sent back, it seems; look at the status of the answer to KEY, and send no PUT without a key"],
    ["space-in-key", 400, /(?<=^[A-Z]+ \/key\/[^/ ]*\/[^ ]*) (?=.* HTTP\/[!-\xff]+$)/,
      "there is a space in the key, and a key is 128 hex digits: white space around it goes with `.strip()`; if it is no key at all (a list, an error message), look at what the answer to KEY was"],
    ["space-in-path", 400, /^[!-\xff]+ [!-\xff]+(?<here> )[!-\xff].*(?: HTTP\/[!-\xff]+|\/)$/i,
      "there is a space in the path: write it as `%20` (in Python: `urllib.parse.quote(user_id, safe='')`)"],
    ["no-path", 400, /(?<=^[A-Z]+) HTTP\/1\.\d$/,
      "the path is missing: it stands between the method and the version, as in `KEY /user/<user_id>/ HTTP/1.1`"],
    ["no-version", 400, /^[!-~]+ [!-~\x80-\xff]+(?<here>)$/,
      "the version is missing: the line ends in ` HTTP/1.1`, as in `KEY /user/<user_id>/ HTTP/1.1`"],
    ["method-name", 400, /^(?![{[(<])[^ ]*[^\w!#$%&'*+.^`|~ -][^ ]*(?= )/,
      (found) => `\`${found}\` is no method: it is \`KEY\` or \`PUT\`, letters alone`],
    ["no-request-line", 400, /^[^]*/,
      "this is no request line: the first line is method, path and version, as in `KEY /user/<user_id>/ HTTP/1.1`"],
  ],
  // The request target, if it is neither a path nor a whole URL.
  target: [
    ["path-quoted", 400, /^["'`]/,
      "there is a quotation mark around the path: send it without"],
    ["path-bytes-literal", 400, /^b(?=["'])/,
      "the path is wrapped in b'...': Python put the bytes object itself into the text; use `.decode()`"],
    ["path-backslash", 400, /\\/,
      "there is a backslash in the path: the parts of a path stand apart by `/`"],
    ["no-scheme", 400, /^(?:localhost|[\w-]+(?:\.[\w-]+)+)(?::\d+)?(?=\/|$)|^[\w.-]+:\d+/,
      (found) => `\`${found}\` does not belong here: the server's address goes into the Host field, the path alone into this line`],
    ["path-encoded", 400, /^%2F/i,
      "the slashes of the path are percent-encoded as `%2F`: quote the user id alone, not the whole path"],
    ["bad-url", 400, /^https?(?::\/*|\/\/)/i,
      "this URL has no server in it: leave it out, the path alone goes here, as in `/user/<user_id>/`"],
    ["no-leading-slash", 400, /^/,
      "the path begins without a slash: it is `/user/<user_id>/` or `/key/<user_id>/<key_val>/`"],
  ],
  // A path with characters in it that no path has.
  characters: [
    ["placeholder", 400, /(?:[<{[]|%3C|%7B){1,2}[\w.]{0,40}?(?:user|id|key|val|name)[\w.]{0,40}(?:[>}\]]|%3E|%7D){1,2}/i,
      (found) => `the placeholder \`${found}\` was left as it is: put the value there (in Python an f before the quotation mark: f"...{user_id}...")`],
    ["format-left", 400, /%(?:s|d|\(\w+\)s)(?=\/)|\{\d?\}|%[A-Z_]*[G-Z_][A-Z_]*%/,
      (found) => `\`${found}\` was left as it is: the value was never put there (in Python: f"...", \`%\` or \`.format()\`)`],
    ["angle-brackets", 400, /<[^<>/]*>/,
      "send the path without the brackets `<` and `>`: they only mark what is to be put there"],
    ["path-literal-line-end", 400, /\\r|\\n/,
      (found) => `the characters \`${found}\` stand in the path: a value still had its line end; use \`.strip()\``],
    ["backslash", 400, /\\/,
      "there is a backslash in the path: the parts of a path stand apart by `/`"],
    ["bad-percent", 400, /%(?![\da-fA-F]{2})[^/]{0,2}/,
      (found) => `\`${found}\` is no percent-encoding: behind a \`%\` stand two hex digits; a percent sign itself is \`%25\``],
    ["fragment", 400, /#.*/,
      (found) => `\`${found}\` begins with a \`#\`, which ends a path: it is never sent to a server; within a user id write \`%23\``],
    ["not-ascii", "warning", /[\x80-\xff]+/,
      "there are characters in the path that are not ASCII: percent-encode them (in Python: `urllib.parse.quote(user_id, safe='')`), many servers refuse the request"],
    ["odd-character", "warning", /[^\w.~!$&'()*+,;=:@/%-]/,
      (found) => `\`${found}\` may not stand in a path: write it as \`${encodeURIComponent(found)}\`, many servers refuse the request`],
  ],
  // A path that is neither `/user/<user_id>/` nor `/key/<user_id>/<key_val>/`.
  path: [
    ["response-in-path", 404, /(?<=^\/key\/[^/]+\/)HTTP\/1\.\d/,
      "the key has the head of the response with it: take the body alone, which begins behind the first empty line"],
    ["address-in-path", 404, /^\/{1,2}(?:[\w.-]+:\d+|localhost|\d+(?:\.\d+){3})(?=\/)/,
      (found) => `\`${found}\` does not belong here: the server's address goes into the Host field, the path begins with \`/user/\` or \`/key/\``],
    ["no-final-slash", 404, /^\/(?:user\/[^/]+|key\/[^/]+\/[^/]+)(?<here>)$/,
      "the path does not end in a slash: it is `/user/<user_id>/` or `/key/<user_id>/<key_val>/`"],
    ["key-in-user-path", 404, /^\/user\/[^/]*\/(?<here>[^/]{100,})\/?$/,
      "there is a key in the path of `/user/`: a key is sent with `PUT /key/<user_id>/<key_val>/`"],
    ["two-slashes", 404, /\/{2,}/,
      "there is a slash too many: the path is `/user/<user_id>/` or `/key/<user_id>/<key_val>/` (is a variable empty, or does it have a slash in it?)"],
    ["no-user-id", 404, /^\/(?:user|key)\/?$|^\/key\/(?=[\da-f]{64,}\/?$)/i,
      "the user id is missing: the path is `/user/<user_id>/` or `/key/<user_id>/<key_val>/`"],
    ["no-slash-before-key", 404, /(?<=^\/key\/[^/]*?)[:=]?(?=[\da-fA-F]{128}\/?$)/,
      "there is no slash between the user id and the key: the path is `/key/<user_id>/<key_val>/`"],
    ["no-key-in-path", 404, /^\/key\/[^/]+\/?(?<here>)$/,
      "there is no key in the path: it is `/key/<user_id>/<key_val>/`; to ask for a key send `KEY /user/<user_id>/`"],
    ["method-in-path", 404, /^\/(?:KEY|PUT)(?=\/(?:user|key)\/|\/?$)/,
      (found) => `\`${found}\` stands in the path: the method stands before it, as in \`KEY /user/<user_id>/ HTTP/1.1\``],
    ["path-case", 404, /^\/(?!user\/|key\/)(?:[Uu][Ss][Ee][Rr]|[Kk][Ee][Yy])(?=\/)/,
      (found) => `\`${found}\` is not \`${found.toLowerCase()}\`: capitals and small letters are different in a path`],
    ["path-plural", 404, /^\/(?:users|keys)(?=\/)/i,
      (found) => `the path begins with \`${found}\`: it is \`${found.toLowerCase().slice(0, -1)}\``],
    ["slash-in-user-id", 404, /(?<=^\/user\/[^/]+)\/(?=[^/])|(?<=^\/key\/[^/]+)\/(?=.*\/[^/]{100,}\/?$)/,
      "the path has a part too many: `/user/<user_id>/` or `/key/<user_id>/<key_val>/`; a slash within a user id is written `%2F`"],
    ["behind-key", 404, /(?<=^\/key\/[^/]+\/[\da-fA-F]{128}\/)[^]+$/,
      "something stands behind the key: the path ends with the slash right after it (`curl -T` adds the name of its file there; use `-X PUT`)"],
    ["slash-in-key", 404, /^\/key\/[^/]+\/[^/]+(?<here>\/)[^/]/,
      "there is a slash within the key: a key is 128 hex digits, sent just as it came"],
    ["no-such-path", 404, /^[^]*/,
      "there is no such path: this server knows `KEY /user/<user_id>/` and `PUT /key/<user_id>/<key_val>/`"],
  ],
  // Method, space and path, where the path takes another method.
  method: [
    ["method-case", 405, /^(?!KEY|PUT)(?:[Kk][Ee][Yy](?= \/user)|[Pp][Uu][Tt](?= \/key))/,
      (found) => `the method is written \`${found}\`: it is \`${found.toUpperCase()}\`, in capitals`],
    ["put-to-user", 405, /^PUT(?= \/user)/i,
      "this path gives a key, with the method `KEY`: to send one back, use `PUT /key/<user_id>/<key_val>/`"],
    ["key-to-key", 405, /^KEY(?= \/key)/i,
      "this path takes a key, with the method `PUT`: to ask for one, use `KEY /user/<user_id>/`"],
    ["method-get", 405, /^(?:GET|HEAD)(?= )/i,
      (found, { allow }) => `this path takes \`${allow}\`, and \`${found}\` is what a browser or a library sends unless it is told otherwise: write \`${allow}\` in its place (curl: \`-X ${allow}\`; requests: \`requests.request("${allow}", url)\`)`],
    ["wrong-method", 405, /^[!-\xff]+/,
      (found, { allow }) => `this path takes the method \`${allow}\`, not \`${found}\``],
  ],
  // The user id, as it was sent.
  user: [
    ["empty-user-id", 400, /^$/,
      "the user id is empty: there is nothing between the slashes (was the variable ever set?)"],
    ["swapped", 400, /^[\da-f]{128}$/i,
      "user id and key have changed places: the path is `/key/<user_id>/<key_val>/`"],
    ["long-user-id", 400, new RegExp(`^(?:%..|[^%]){${MAX_USER_ID_LENGTH + 1}}`),
      `the user id is longer than ${MAX_USER_ID_LENGTH} bytes: take a shorter one`],
    ["placeholder-encoded", 400, /^(?:%3C|%7B|%5B)+\w*(?:user|id|name)\w*(?:%3E|%7D|%5D)+$/i,
      "there is a placeholder where the user id belongs: put the user id there (in Python an f before the quotation mark: f\"...{user_id}...\")"],
    ["user-bytes-literal", "warning", /^b(?:'.*'|".*"|%27.*%27|%22.*%22)$/,
      "the user id is wrapped in b'...': Python put the bytes object itself into the text; use `.decode()`"],
    ["user-quoted", "warning", /^(?:\(|%28)?(?:['"]|%27|%22).*(?:['"]|%27|%22)(?:,|%2C)?(?:\)|%29)?$/i,
      "there are quotation marks around the user id, as a part of it: leave them out (in Python `!r` and `repr()` add them)"],
    ["user-white-space", "warning", /^(?:%20|%09|%0D|%0A)+|(?:%20|%09|%0D|%0A)+$/i,
      "there is white space around the user id, as a part of it: `input()` or a file left it there; use `.strip()`"],
    ["user-none", "warning", /^(?:None|null|undefined|NaN)$/,
      (found) => `the user id is \`${found}\`: was the variable ever set?`],
    ["user-object", "warning", /^(?:\[|%5B)object(?: |\+|%20).*/i,
      "this is how a program shows an object: take the text out of it"],
    ["user-placeholder", "warning", /^(?:[:$]?(?:user_?id|id|user_?name)|\$\w+)$/i,
      (found) => `the user id is \`${found}\`: that looks like a placeholder, put the user id there`],
  ],
  // The key, percent-decoded byte by byte, if it is not 128 hex digits.
  key: [
    ["empty-key", 400, /^$/,
      "the key is empty: there is nothing between the slashes (was the variable ever set, had the body come already, was the head cut off at `\\r\\n\\r\\n`?)"],
    ["whole-response", 400, /HTTP\/1\.|content-(?:type|length):/i,
      "the key has the head of the response with it: take the body alone, which begins behind the first empty line: `response.split(\"\\r\\n\\r\\n\", 1)[1]`, of bytes with `b` before the quotation mark"],
    ["chunked-key", 400, /^[\da-f]{1,3}\r?\n(?=[\da-f]{8})|\r?\n0(?:\r?\n)*$/i,
      "the key has the sizes of its chunks with it: with `Transfer-Encoding: chunked` a body comes in chunks, each behind a line with its size in hex; take the chunks alone"],
    ["key-bytes-literal", 400, /^b['"]/,
      "the key is wrapped in b'...': Python put the bytes object itself into the text; use `key.decode()`"],
    ["key-bytearray", 400, /^(?:bytearray|memoryview|Uint8Array|Buffer)\b/,
      "this is how a program shows an object of bytes: make text of it, in Python with `key.decode()`"],
    ["key-quoted", 400, /^["'`]/,
      "there are quotation marks around the key: send the digits alone"],
    ["key-none", 400, /^(?:None|null|undefined|nil|NaN|True|False)$/,
      (found) => `the key is \`${found}\`, so there was none: look at what the answer to KEY was, and send no PUT without a key`],
    ["key-object", 400, /^<.*(?: at 0x|object|Response|function|coroutine|method).*>$|^\[object/,
      "this is how a program shows an object: take the text of the response out of it"],
    ["key-name", 400, /^(?:key|key_?val|value)[=:]/i,
      (found) => `leave out \`${found}\`: send the digits alone`],
    ["key-placeholder", 400, /^[<{[$:]*key(?:_?val(?:ue)?)?[>}\]]*$/i,
      (found) => `the key is \`${found}\`: that is the placeholder, put the key there`],
    ["key-list", 400, /^[[(]?\d+(?:, ?\d+)+[\])]?$/,
      "the key was sent as a list of numbers: make text of the bytes, in Python with `key.decode()`"],
    ["key-in-list", 400, /^[[(]["'].*[\])]$/,
      "the key was sent with the list around it: take it out of the list, as with `keys[0]`"],
    ["key-json", 400, /^\{.*\}$/,
      "this looks like JSON: the key is 128 hex digits alone"],
    ["key-status", 400, /^[1-5]\d\d$/,
      (found) => `\`${found}\` is a status: the key is the body of the answer, which begins behind the first empty line`],
    ["key-sentence", 400, /[g-z]\w* \w+ \w+/i,
      "this is a sentence and no key: an error message was sent back, it seems; look at the status of the answer to KEY, and send no PUT without a key"],
    ["key-white-space", 400, /^\s+(?=[!-\xff])|(?<=[!-\xff])\s+$/,
      "there is white space around the key (a line end, mostly): use `key.strip()`"],
    ["key-hex-prefix", 400, /^0x/i,
      "the key begins with `0x`: send the digits alone, as they came"],
    ["key-encoded-twice", 400, /%[\da-f]{2}/i,
      "the key was percent-encoded twice: quote it once, or not at all, as hex digits need no quoting"],
    ["key-escapes", 400, /(?:\\x[\da-f]{2})+/i,
      "the key has Python's escapes in it: the text of a bytes object was sent, not its bytes; use `key.decode()`"],
    ["key-hex-twice", 400, /^(?:3\d|[46][1-6]){128}$/,
      "256 digits, which are the hex of the right 128: the key is hex already; use `key.decode()`, not `key.hex()`"],
    ["key-separators", 400, /^[\da-f]{2,8}(?:[ :_-][\da-f]{2,8})+$/i,
      "there are separators between the digits: send them as they came"],
    ["key-raw-bytes", 400, /[^\t\n\r\x20-\x7e]/,
      "there are bytes in the key that are no text: send the 128 hex digits as they came, not the 64 bytes that they stand for"],
    ["key-base64", 400, /^[\w+/-]{86}(?:==)?$/,
      "the key looks like base64: send the 128 hex digits as they came"],
    ["key-decimal", 400, /^\d{150,156}$/,
      (_, { partSize }) => `${partSize} decimal digits: the key was made a number; send the text as it came, without \`int()\``],
    ["long-key", 400, /^[\da-f]{129,}$/i,
      (_, { size }) => `${size} digits, a key has ${KEY_SIZE}: something else came with it; the body ends after as many bytes as Content-Length says`],
    ["tiny-key", 400, /^[\da-f]{1,3}$/i,
      (found) => `\`${found}\` is no key, which has ${KEY_SIZE} digits: is it the size of a chunk (with \`Transfer-Encoding: chunked\` the key stands behind it), or another variable?`],
    ["short-key", 400, /^[\da-f]+(?<here>)$/i,
      (_, { partSize }) => `${partSize} of ${KEY_SIZE} digits: \`recv()\` returned before everything had come; call it again until the body has as many bytes as Content-Length says (if it returns \`b''\` before, there is no key)`],
    ["key-word", 400, /^[A-Za-z]*[g-z][A-Za-z]*$/i,
      (found) => `\`${found}\` is a word and no key: a key is ${KEY_SIZE} of 0-9 and a-f, sent just as it came`],
    ["key-end-quote", 400, /(?<=^[\da-f]+)["']$/i,
      "the rest of a b'...' stands behind the key: make text of the bytes with `key.decode()`, instead of cutting it out"],
    ["key-not-hex", 400, /[^\da-f]+/i,
      (found) => `\`${found}\` is no hex digit: a key is ${KEY_SIZE} of 0-9 and a-f, sent just as it came`],
  ],
  // A field line, without its end, if it is not `Name: value`.
  field: [
    ["blank-line", 400, /^[ \t]+$/,
      'the line that should be empty has white space in it: a text in """triple quotes""" keeps its indentation; the head ends with "\\r\\n\\r\\n"'],
    ["indented-field", 400, /^[ \t]+/,
      'there is white space before the field: a text in """triple quotes""" keeps its indentation; put the lines together with "\\r\\n" instead'],
    ["lf-cr", 400, /^\r/,
      "line ends are the wrong way round, LF CR: write `\\r\\n`, not `\\n\\r`"],
    ["field-bare-cr", 400, /\r/,
      "here is a CR (`\\r`) without its LF: each line ends in the two characters `\\r\\n`, in this order"],
    ["second-request-line", 400, /^[A-Z]+ [!-\xff]+ HTTP\/1\.\d$/,
      "here another request begins, and the one before has no end: an empty line ends the head, `\\r\\n\\r\\n`"],
    ["body-in-head", 400, /^(?:\{"|\[)/,
      "this looks like a body, before the empty line: a body comes behind it, with its Content-Length (and neither KEY nor PUT has one here)"],
    ["field-quoted", 400, /^[{(]?["'][^:]*["'](?=\s*:)/,
      "the name of the field is in quotation marks: write `Host: 127.0.0.1:5000`, not what Python shows of a dict"],
    ["space-before-colon", 400, /^[^\s:]+(?<here>[ \t]+):/,
      "there is a space before the colon: it must stand right behind the name"],
    ["no-field-name", 400, /^:/,
      "there is no name before the colon: a field is `Name: value`"],
    ["field-equals", 400, /^[\w-]+\s*(?<here>=)/,
      "here is a `=`: a field is written `Name: value`"],
    ["no-colon", 400, /^[^:]*$|^[\w-]+ [\w.-]+:\d+$/,
      "there is no colon in this line: a field is `Name: value`"],
    ["field-name", 400, /^[^:]*[^\w!#$%&'*+.^`|~:-][^:]*(?=:)/,
      "this is no name of a field: letters, digits and `-`, without a space"],
    ["field-value", 400, /[^\t\x20-\x7e\x80-\xff]/,
      "there is a control character in the value of this field"],
  ],
  // The name of a field.
  name: [
    ["misspelt-field", "warning", /^(?:hosts|hots|hsot|con+ections?|content_?len(?:gth|ght)|content-lenght|user_?agent|transfer_?encoding)$/i,
      (found) => `\`${found}\` is no field that a server knows: check the spelling`],
  ],
  // The value of Host.
  host: [
    ["host-empty", "warning", /^$/,
      "the Host field is empty: put the server's name and port there, as in `Host: 127.0.0.1:5000`"],
    ["host-scheme", "warning", /^\w+:\/\//,
      (found) => `there is \`${found}\` in the Host field: it has the server's name and port alone, as in \`Host: 127.0.0.1:5000\`; many servers refuse the request`],
    ["host-path", "warning", /[/?#].*/,
      "there is a path in the Host field: it has the server's name and port alone, as in `Host: 127.0.0.1:5000`; many servers refuse the request"],
    ["host-tuple", "warning", /^\(?["'].*/,
      "the Host field has what Python shows of an address: write f\"{host}:{port}\", as in `Host: 127.0.0.1:5000`"],
    ["host-comma", "warning", /,.*/,
      "there is a comma in the Host field: each field has a line of its own"],
    ["host-invalid", "warning", /^[^]*/,
      "this is no name or address of a server: it is written as in `Host: 127.0.0.1:5000`; many servers refuse the request"],
  ],
  // The value of Connection.
  connection: [
    ["connection-option", "warning", /^(?:closed|closing|close[;,.]|["']close["']|end|quit|keepalive|keep_alive|keep alive)$/i,
      (found) => `\`Connection: ${found}\` says nothing to a server: it is \`Connection: close\` or \`Connection: keep-alive\``],
  ],
  // What is behind the request, if that is no further one.
  rest: [
    ["lf-cr-behind", "warning", /^\r$/,
      "line ends are the wrong way round, LF CR: write `\\r\\n`, not `\\n\\r`"],
    ["extra-line-end", "warning", /^[\r\n]+$/,
      "there is a line end too many: the head ends with one empty line, `\\r\\n\\r\\n`"],
    ["nul-behind", "warning", /^\0+/,
      "there are zero bytes behind the request: send the text alone, in C `strlen(text)` bytes and not `sizeof buffer`"],
    ["fields-behind", "warning", /^(?:host|connection|user-agent|accept|content-[\w-]+):[^\n]*\n/i,
      "fields come behind the empty line, which ends the head: there is one, behind the last field"],
    ["bytes-behind", "warning", /^[^]+/,
      (_, { partSize }) => `${octets(partSize)} too many behind the request: a body needs its length in the head, \`Content-Length: ${partSize}\` (and neither KEY nor PUT has one here)`],
  ],
  // Found by code.
  whole: [
    ["nothing-sent", 400, null,
      "nothing came: the client connected and sent no byte (`sendall()` comes before `recv()`; after `makefile()` and `write()` also `flush()`)"],
    ["no-line-end", 400, null,
      (_, { came }) => `${octets(came)}, and the last line has no end: each line ends in \`\\r\\n\`, and an empty line ends the head, so its last bytes are \`\\r\\n\\r\\n\``],
    ["no-empty-line", 400, null,
      (_, { came }) => `${octets(came)}, and no empty line yet: end the head with \`\\r\\n\\r\\n\`, one for the last line and one for the empty line`],
    ["too-large", 400, null,
      "the request is larger than 65536 bytes: this server takes no more"],
    ["body-incomplete", 400, null,
      (_, { came, length }) => `Content-Length says ${length} and ${octets(came)} of body came: it is the number of bytes of the body, and neither KEY nor PUT needs one`],
    ["chunks-incomplete", 400, null,
      (_, { came }) => `the head says \`Transfer-Encoding: chunked\`, and after ${octets(came)} of body there is no last chunk: it is \`0\\r\\n\\r\\n\``],
    ["bad-chunk", 400, null,
      "this is no chunk: it is a size in hex digits, `\\r\\n`, so many bytes, `\\r\\n`, and the last one has the size 0"],
    ["length-not-a-number", 400, null,
      "Content-Length is no number: it is the number of bytes of the body, in decimal digits"],
    ["two-lengths", 400, null,
      "Content-Length is there twice and says different things: nobody can tell where this request ends"],
    ["length-and-chunked", 400, null,
      "there are both Content-Length and Transfer-Encoding: nobody can tell where this request ends; send one of them"],
    ["unknown-coding", 400, null,
      "of the transfer codings this server knows `chunked`, once, in HTTP/1.1: send the body as it is, with a Content-Length"],
    ["user-not-utf-8", 400, null,
      "the user id is not UTF-8 when percent-decoded: encode it as UTF-8 first, as `urllib.parse.quote()` does"],
    ["no-host", "warning", null,
      "no Host field: HTTP/1.1 requires one (RFC 9112 section 3.2), many servers refuse the request; add one with the server's address, as in `Host: 127.0.0.1:5000\\r\\n`"],
    ["two-hosts", "warning", null,
      "there are two Host fields: there must be one (RFC 9112 section 3.2), many servers refuse the request"],
    ["blank-line-first", "warning", null,
      'there is an empty line before the request: a text in """triple quotes""" begins with one; many servers refuse the request'],
    ["lf-alone", "warning", null,
      "this line ends in LF (`\\n`) alone: write `\\r\\n` (with `nc`: `nc -C`), many servers refuse the request"],
    ["value-line-end", "warning", null,
      "the characters `\\r\\n` stand in this field, with backslashes: a raw string (r\"...\") or a doubled backslash does that"],
    ["question-mark", 404, null,
      "a `?` ends the path, before its final slash: within a user id it is written `%3F`"],
    ["query", "warning", null,
      "this server ignores what stands behind `?`: the user id and the key stand in the path"],
    ["body-ignored", "note", null,
      (_, { length }) => `${octets(length)} of body, which this server ignores: user id and key stand in the path`],
    // Of the connection, by who has it.
    ["idle", "note", null,
      (found, { seconds, length }) => `idle for ${seconds} s after the whole answer, so closed; if your client was still waiting: stop reading after ${found === "chunked" ? "the last chunk, `0\\r\\n\\r\\n`" : `Content-Length, ${length} bytes of body`}, or send \`Connection: close\`; if it has another request: make a new connection`],
    ["still-open", "note", null,
      "the whole answer was sent and the connection ended, and the client has not closed its end since: `recv()` gives b'' when there is no more, leave the loop then (`if not data: break`)"],
    ["reset", "note", null,
      "the client reset the connection, as a socket does that is closed before all of the answer has been read (one `recv()` may give a part of it)"],
    ["late-request", "note", null,
      "a further request came on a connection that had its last answer: make a new connection, or send the next request sooner and without `Connection: close` before it"],
    ["gone", "note", null,
      "the client was gone before all of the answer was sent (one `recv()` may give a part of it)"],
    ["kept-open", "note", null,
      (_, { length }) => `the whole answer has come, and this fault leaves the connection open; if your client is still waiting: stop reading after Content-Length, ${length} bytes of body`],
    ["crowded", "note", null,
      "closed to make room: the server has no more file descriptors, and this connection was the one that waited for longest"],
    // Of the key, by who remembers which one was issued.
    ["no-key-issued", 404, null,
      (found) => `no key was issued to the user \`${found}\` at this address: send KEY first, with the same user id`],
    ["wrong-key", 400, null,
      (found) => `the key is wrong: 128 digits, but not those that were issued to the user \`${found}\`; send them just as they came`],
    ["old-key", 400, null,
      (found) => `this key is an old one: KEY was sent again since, and each KEY gives \`${found}\` a new key in place of the last`],
    ["key-of-another", 400, null,
      (found, { owner }) => `this key was issued to the user \`${owner}\`, not to \`${found}\`: KEY and PUT must name the same user`],
    ["key-from-another-address", 400, null,
      (found) => `this key was issued to \`${found}\` at another address: ask for it from where you send it back`],
    ["key-case", 400, null,
      "the key is right but for capitals and small letters: send the digits just as they came, without `.upper()` or `.lower()`"],
    ["key-start", 400, null,
      (_, { length }) => `the first ${length} of the ${KEY_SIZE} digits: ${length === KEY_SIZE - 1 ? "a slice cut the last one off, as `[:-1]` does, or " : ""}\`recv()\` returned before everything had come; call it again until the body has as many bytes as Content-Length says (if it returns \`b''\` before, there is no key)`],
    ["key-end", 400, null,
      (_, { length }) => `the last ${length} of the ${KEY_SIZE} digits: the beginning was cut off (a slice one too far? \`strip("b'")\` takes a \`b\` off the key as well)`],
    ["key-part", 400, null,
      (found, { length }) => `${length} of ${KEY_SIZE} digits, and not those that were issued to the user \`${found}\`: send the key just as it came`],
  ],
};

/**
 * Checks one request, with whatever came behind it; that nothing more will come is taken as given.
 *
 * @param bytes All that a client sent.
 * @returns What is to be said about it, the errors first; the first error is the answer. Empty for a
 * request without a fault.
 *
 * @example Usage
 * ```ts
 * import { checkRequest } from "./rules.ts";
 *
 * const [remark] = checkRequest(new TextEncoder().encode("KEY /user/Ada/ HTTP/1.1\r\n"));
 * console.log(remark.message); // 25 bytes, and no empty line yet: …
 * ```
 */
export function checkRequest(bytes: Uint8Array): Remark[] {
  const request = new IncomingRequest();
  if (!request.read(bytes)) request.end(bytes);
  return request.remarks;
}

// ---- Reading a request: RFC 9112 sections 2, 3, 5, 6 and 7

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
 * import { IncomingRequest } from "./rules.ts";
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
 * import { remarkOf } from "./rules.ts";
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

function makeRemark(
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
 * Whether a request may begin with these bytes.
 *
 * @param bytes What came behind another request, or behind its answer.
 * @returns Whether it looks like one.
 *
 * @example Usage
 * ```ts
 * import { isRequestStart } from "./rules.ts";
 *
 * console.log(isRequestStart(new TextEncoder().encode("PUT /key/"))); // true
 * ```
 */
export function isRequestStart(bytes: Uint8Array): boolean {
  return FURTHER_REQUEST_REGEXP.test(decodeLatin1(bytes.subarray(0, 1024)));
}

// ---- Text

/**
 * Gives the fact that a remark begins with, without the cause and the cure behind it.
 *
 * @param remark The remark.
 * @returns The message up to its first colon or semicolon.
 *
 * @example Usage
 * ```ts
 * import { checkRequest, factOf } from "./rules.ts";
 *
 * const [remark] = checkRequest(new TextEncoder().encode("KEY /user/Ada HTTP/1.1\r\n\r\n"));
 * console.log(factOf(remark)); // the path does not end in a slash
 * ```
 */
export function factOf({ message }: Pick<Remark, "message">): string {
  return /^(?:`[^`]*`|[^`:;]|[:;](?! ))*/.exec(message)![0];
}

/**
 * Shows the first line of a request, as ASCII that moves no terminal: the middle of a key is left
 * out, and of a long line its end.
 *
 * @param request The request's bytes, or the first of them.
 * @returns At most 100 characters; `"(nothing)"` if there is no line.
 *
 * @example Usage
 * ```ts
 * import { requestLine } from "./rules.ts";
 *
 * const request = new TextEncoder().encode("KEY /user/J\u00fcrgen/ HTTP/1.1\r\n\r\n");
 * console.log(requestLine(request)); // KEY /user/J\xc3\xbcrgen/ HTTP/1.1
 * ```
 */
export function requestLine(request: Uint8Array): string {
  const start = Math.max(0, request.findIndex((byte) => byte !== CR && byte !== LF));
  const line = request.subarray(start, start + 1024);
  const end = line.findIndex((byte) => byte === CR || byte === LF);
  const text = visible(line.subarray(0, end < 0 ? line.length : end), false).join("");
  return text.length > 100 ? `${text.slice(0, 97)}...` : text || "(nothing)";
}

/**
 * Shows bytes as ASCII that moves no terminal.
 *
 * @param bytes The bytes.
 * @param isWhole Whether the middle of a key is shown, too.
 * @returns For each byte what stands for it: a character, an escape, or `""` if it is left out.
 *
 * @example Usage
 * ```ts
 * import { visible } from "./rules.ts";
 *
 * console.log(visible(new TextEncoder().encode("KEY\r\n"), true).join("")); // KEY\r\n, in letters
 * ```
 */
export function visible(bytes: Uint8Array, isWhole: boolean): string[] {
  const chars = Array.from(bytes, (byte) => {
    const escape = { 0x09: "\\t", 0x0a: "\\n", 0x0d: "\\r", 0x5c: "\\\\" }[byte];
    if (escape) return escape;
    const isPrintable = byte >= 0x20 && byte < 0x7f;
    return isPrintable ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
  });
  if (isWhole) return chars;
  let digits = 0;
  for (let at = 0; at <= chars.length; at++) {
    if (/^[\da-fA-F]$/.test(chars[at] ?? "")) {
      digits++;
      continue;
    }
    if (digits >= 32) chars.fill("", at - digits + 6, at - 4)[at - digits + 6] = "...";
    digits = 0;
  }
  return chars;
}

/** Drops white space at both ends: HTTP's, where `trim()` knows more. */
function trim(text: string): string {
  return /[^\t ](?:.*[^\t ])?/.exec(text)?.[0] ?? "";
}

/** Decodes ISO 8859-1: a character is a byte, and the offset of one is that of the other. */
function decodeLatin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode.apply(null, bytes.subarray(at, at + 8192) as unknown as number[]);
  }
  return text;
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

function octets(count: number): string {
  return count === 1 ? "1 byte" : `${count} bytes`;
}
