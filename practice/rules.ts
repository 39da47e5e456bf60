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
  | "response-in-path" | "address-in-path" | "no-final-slash" | "key-in-user-path" | "two-slashes"
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
  | "nothing-sent" | "no-line-end" | "no-empty-line" | "too-large" | "body-incomplete"
  | "chunks-incomplete" | "bad-chunk" | "length-not-a-number" | "two-lengths"
  | "length-and-chunked" | "unknown-coding" | "user-not-utf-8" | "no-host" | "two-hosts"
  | "blank-line-first" | "lf-alone" | "value-line-end" | "question-mark" | "query"
  | "body-ignored" | "idle" | "still-open" | "reset" | "late-request" | "gone" | "kept-open"
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
 * row here, its code to {@linkcode RemarkCode}, and a row to `check_test.ts`. Patterns see at most 4,096 characters, a byte each.
 */
// deno-fmt-ignore
const TABLE = {
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
      "the client closed before it had read the whole response: one `recv()` may return only a part of it, so call it until the body has Content-Length bytes, then close"],
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
} as const satisfies Record<Part, readonly Rule[]>;

/** The rows of each part. */
export const RULES: Readonly<Record<Part, readonly Rule[]>> = TABLE;

// Does not compile if a code has no row.
[] as Exclude<RemarkCode, (typeof TABLE)[Part][number][0]>[] satisfies never[];

function octets(count: number): string {
  return count === 1 ? "1 byte" : `${count} bytes`;
}
