import { assert, assertEquals, assertMatch } from "@std/assert";
import { checkRequest, type Remark } from "./check.ts";
import { remarkOf } from "./remark.ts";
import { MAX_REQUEST_SIZE, RequestReader } from "./request.ts";
import { RULES } from "./rules.ts";
import { bytes, FUZZ_ROUNDS, KEY, random, utf8 } from "../testing/bytes.ts";

/** The bytes of a text in UTF-16, as characters. */
function utf16(text: string): string {
  return Array.from(text, (char) => `${char}\0`).join("");
}

// ---- How the rows are written

const MARKS = /[‹›‖]/g; // none of them is a byte

/**
 * Takes the marks out of a request: `‹›` are around what the first remark points at, `‖` is where
 * nothing more needs to come, if that is not the end.
 */
function unmark(marked: string) {
  const wire = bytes(marked.replace(MARKS, ""));
  const offsetOf = (mark: string) => {
    const at = marked.indexOf(mark);
    return at < 0 ? undefined : marked.slice(0, at).replace(MARKS, "").length;
  };
  const start = offsetOf("‹");
  const span = start === undefined ? undefined : [start, offsetOf("›")];
  return { wire, span, settled: offsetOf("‖") ?? wire.length };
}

const codesOf = (remarks: readonly Remark[]) => remarks.map(({ code }) => code).join(" ");

/** Without what is said of bytes behind the request, which can be seen only if they come with it. */
const ofRequest = (remarks: readonly Remark[]) =>
  remarks.filter(({ code }) => !RULES.rest.some(([rest]) => rest === code));

/** Reads byte by byte, as far as there is something to wait for. */
function readSlowly(
  wire: Uint8Array,
): { remarks: readonly Remark[]; isDone: boolean; size: number } {
  const reader = new RequestReader();
  for (let size = 1; size <= wire.length; size++) {
    const request = reader.read(wire.subarray(0, size));
    if (request) return { remarks: request.remarks, isDone: true, size };
  }
  return { remarks: reader.end(wire).remarks, isDone: false, size: wire.length };
}

const L = "KEY /user/Ada/ HTTP/1.1\r\n";
const H = "Host: 127.0.0.1:5000\r\n";
const E = "\r\n"; // the end of a head
const V = ` HTTP/1.1\r\n${H}${E}`; // all that comes behind the path
const RESPONSE = `HTTP/1.1 200 OK\r\nContent-Length: 128\r\nContent-Type: text/plain\r\n\r\n${KEY}`;

// ---- Mistakes

/**
 * The codes of all the remarks, and of the first one: its status or severity, its fact, and, by
 * marks in the request, what it points at.
 */
type Row = [
  name: string,
  codes: string,
  verdict: 400 | 404 | 405 | "warning" | "note",
  fact: string,
  request: string,
];

// deno-fmt-ignore
const ROWS: Row[] = [
  // What is no HTTP at all, and how text becomes bytes
  ["https:// instead of http://", "tls", 400, "TLS handshake; this server uses plain HTTP", "‹\x16\x03›\x01\x02‖\0\x01\0\x01\xfc\x03\x03\x8f\x1a\r\n\xd1\x9b"],
  ["HTTP/2 without asking", "http2", 400, "HTTP/2 preface; this server uses HTTP/1.1", "‹PRI *›‖ HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64"],
  ["encode('utf-16')", "utf-16", 400, "NUL bytes between the characters, as in UTF-16", `‹\xff\xfe›K\0‖${utf16(`${L}${H}${E}`.slice(1))}`],
  ["encode('utf-16-le')", "utf-16", 400, "NUL bytes between the characters, as in UTF-16", `‹K\0E\0›‖${utf16(`Y /user/Ada/${V}`)}`],
  ["encode('utf-16-be')", "utf-16", 400, "NUL bytes between the characters, as in UTF-16", `‹\0K\0E›‖\0Y\0 \0/\0u\0s\0e\0r\0/\0A\0d\0a\0/\0 \0H\0T\0T\0P\0/\x001\0.\x001\0\r\0\n\0\r\0\n`],
  ["UTF-16 with a mark, big-endian", "utf-16", 400, "NUL bytes between the characters, as in UTF-16", "‹\xfe\xff›\0K‖\0E\0Y\0 \0/\0u\0s\0e\0r\0/\0A\0d\0a\0/"],
  ["encode('utf-32')", "utf-16", 400, "NUL bytes between the characters, as in UTF-16", "‹\xff\xfe›\0\0‖K\0\0\0E\0\0\0Y\0\0\0 \0\0\0/\0\0\0"],
  ["its length before it, in two bytes (Java: writeUTF)", "nul", 400, "NUL bytes before the method", `‹\0›\x1bKE‖${L.slice(2)}${E}`],
  ["its length before it, in four bytes", "nul", 400, "NUL bytes before the method", `‹\0\0\0›\x1b‖${L}${E}`],
  ["its length before it, which looks like a character", "nul", 400, "NUL bytes before the method", `‹\0›1KE‖${L.slice(2)}${H}${E}`],
  ["its length before it, the other way round", "nul", 400, "NUL bytes before the method", `1‹\0\0\0›‖${L}${H}${E}`],
  ["encode('utf-8-sig')", "byte-order-mark", 400, "byte order mark before the method", `‹\xef\xbb\xbf›${L}${H}${E}`],
  ["pickle.dumps()", "pickle", 400, "pickled Python object instead of a request", `‹\x80\x04›\x95\x35‖\0\0\0\0\0\0\0\x8c\x31KEY /user/Ada/${V}\x94.`],
  ["telnet's options before it (PuTTY)", "telnet", 400, "telnet options instead of a request", `‹\xff\xfb\x1f›\xff\xfb\x20\xff\xfb\x18\xff\xfd\x03KEY /user/Ada/${V}`],
  ["str() of bytes", "bytes-literal", 400, "the request is inside b'...'", "‹b›'KE‖Y /user/Ada/ HTTP/1.1\\r\\nHost: 127.0.0.1:5000\\r\\n\\r\\n'"],
  ["str() of bytes with quotes in them", "bytes-literal", 400, "the request is inside b'...'", `‹b›"KE‖Y /user/O'Neil/ HTTP/1.1\\r\\nHost: 127.0.0.1:5000\\r\\n\\r\\n"`],
  ["bytes in an f-string, line ends outside of them", "bytes-literal", 400, "the request is inside b'...'", `‹b›'KE‖Y /user/Ada/ HTTP/1.1'\r\n${H}${E}`],
  ["repr() of a text", "quoted", 400, "quotation mark before the method", "‹'›KEY‖ /user/Ada/ HTTP/1.1\\r\\nHost: 127.0.0.1:5000\\r\\n\\r\\n'"],
  ["json.dumps() of a text", "quoted", 400, "quotation mark before the method", '‹"›KEY‖ /user/Ada/ HTTP/1.1\\r\\nHost: 127.0.0.1:5000\\r\\n\\r\\n"'],
  ["quotes of the shell sent along (Windows: echo)", "quoted", 400, "quotation mark before the method", '‹"›KEY‖ /user/Ada/ HTTP/1.1"\r\n'],
  ["a quoted request line", "quoted", 400, "quotation mark before the method", `‹'›KEY‖ /user/Ada/ HTTP/1.1'\r\n${H}${E}`],
  ["JSON instead of HTTP", "data-first", 400, "data (JSON, XML, a list) instead of a request line", '‹{›"me‖thod": "KEY", "user_id": "Ada"}'],
  ["a list of the parts", "data-first", 400, "data (JSON, XML, a list) instead of a request line", "‹[›'KE‖Y', '/user/Ada/', 'HTTP/1.1']"],
  ["the user id alone", "no-request-line", 400, "not an HTTP request line", "‹Ada›"],
  ["an SSH client", "no-request-line", 400, "not an HTTP request line", "‹SSH-2.0-OpenSSH_9.2p1›\r\n"],
  ["a greeting", "no-request-line", 400, "not an HTTP request line", "‹hello›\r\n\r\n"],
  ["FTP", "no-empty-line no-version", 400, "no empty line after the headers (10 bytes received)", "USER Ada\r\n‹›"],
  ["a Cyrillic letter in the method", "method-name", 400, "invalid method `\\xd0\\x9aEY`", `‹${utf8("К")}EY› /user/Ada/${V}`],

  // Line ends
  ["a raw string", "literal-line-end", 400, "characters `\\r\\n` instead of a line ending", "KEY /user/Ada/ HTTP/1.1‹\\r\\n›Host: 127.0.0.1:5000\\r\\n\\r\\n"],
  ["a raw string without Host", "literal-line-end", 400, "characters `\\r\\n` instead of a line ending", "KEY /user/Ada/ HTTP/1.1‹\\r\\n›\\r\\n"],
  ["a raw string with \\n alone", "literal-line-end", 400, "characters `\\n` instead of a line ending", "KEY /user/Ada/ HTTP/1.1‹\\n›Host: 127.0.0.1:5000\\n\\n"],
  ["echo without -e", "literal-line-end", 400, "characters `\\r\\n` instead of a line ending", "KEY /user/Ada/ HTTP/1.1‹\\r\\n›Host: 127.0.0.1:5000\\r\\n\\r\\n‖\n"],
  ["echo without -e, in pieces", "literal-line-end", 400, "characters `\\r\\n` instead of a line ending", "KEY /user/Ada/ HTTP/1.1‹\\r\\n›Host: 127.0.0.1:5000\\r\\n\n"],
  ["a raw string for the first line only", "literal-line-end", 400, "characters `\\r\\n` instead of a line ending", "KEY /user/Ada/ HTTP/1.1‹\\r\\n›Host: 127.0.0.1:5000\r\n\r\n"],
  ["a raw string for the first line only, Host in another", "literal-line-end", 400, "characters `\\r\\n` instead of a line ending", `KEY /user/Ada/ HTTP/1.1‹\\r\\n›\r\n${H}${E}`],
  ["a raw string for Host only", "literal-line-end", 400, "characters `\\r\\n` instead of a line ending", `${L}Host: 127.0.0.1:5000‹\\r\\n›\\r\\n`],
  ["a raw string for one field of several", "value-line-end", "warning", "the characters `\\r\\n` in a header", `${L}${H}Connection: close‹\\r\\n›\r\n\r\n`],
  ["a raw string between two fields", "value-line-end", "warning", "the characters `\\r\\n` in a header", `${L}Host: 127.0.0.1:5000‹\\r\\n›Connection: close\r\n\r\n`],
  ["\\n in a field, with a backslash", "value-line-end", "warning", "the characters `\\r\\n` in a header", `${L}User-Agent: mine‹\\n›\r\n${H}${E}`],
  ["slashes for backslashes", "slash-line-end", 400, "`/r/n` instead of a line ending", "KEY /user/Ada/ HTTP/1.1‹/r/n›Host: 127.0.0.1:5000/r/n/r/n"],
  ["slashes for backslashes, real line ends behind", "slash-line-end", 400, "`/r/n` instead of a line ending", `KEY /user/Ada/ HTTP/1.1‹/r/n›\r\n${H}${E}`],
  ["slashes for backslashes in the last line", "slash-line-end", 400, "`/r/n` instead of a line ending", `${L}Host: 127.0.0.1:5000‹/r/n›/r/n`],
  ["slashes for backslashes, \\n alone", "slash-line-end", 400, "`/n` instead of a line ending", "KEY /user/Ada/ HTTP/1.1‹/n›Host: 127.0.0.1:5000/n/n"],
  ["backslashes lost in the shell", "lost-backslashes", 400, "`rn` instead of a line ending", "KEY /user/Ada/ HTTP/1.1‹rn›rn\n"],
  ["CR alone", "bare-cr", 400, "CR (`\\r`) without LF (`\\n`)", "KEY /user/Ada/ HTTP/1.1‹\r›Host: 127.0.0.1:5000\r\r"],
  ["CR alone behind the first line", "bare-cr", 400, "CR (`\\r`) without LF (`\\n`)", "KEY /user/Ada/ HTTP/1.1‹\r›Host: 127.0.0.1:5000\r\n\r\n"],
  ["CR CR LF (Windows: a text file for a socket)", "bare-cr", 400, "CR (`\\r`) without LF (`\\n`)", "KEY /user/Ada/ HTTP/1.1‹\r›\r‖\nHost: 127.0.0.1:5000\r\r\n\r\r\n"],
  ["CR alone between two fields", "field-bare-cr", 400, "CR (`\\r`) without LF (`\\n`)", `${L}Host: 127.0.0.1:5000‹\r›Connection: close\r\n\r\n`],
  ["LF CR", "lf-cr lf-alone", 400, "line ending LF CR instead of CR LF", "KEY /user/Ada/ HTTP/1.1\n‹\r›Host: 127.0.0.1:5000\n\r\n‖\r"],
  ["LF CR without Host", "no-host lf-alone lf-cr-behind", "warning", "no Host header; HTTP/1.1 requires one", "KEY /user/Ada/ HTTP/1.1\n‹›\r\n‖\r"],
  ["LF alone", "lf-alone", "warning", "line ending LF (`\\n`) without CR (`\\r`)", "KEY /user/Ada/ HTTP/1.1‹\n›Host: 127.0.0.1:5000\n\n"],
  ["LF alone at the end", "lf-alone", "warning", "line ending LF (`\\n`) without CR (`\\r`)", `${L}${H}‹\n›`],
  ["typed into nc", "no-host lf-alone", "warning", "no Host header; HTTP/1.1 requires one", "KEY /user/Ada/ HTTP/1.1\n‹›\n"],
  ["typed into nc without a version", "no-version no-host lf-alone", 400, "no version in the request line", "KEY /user/Ada/‹›\n\n"],
  ["no line end at all", "no-line-end", 400, "no line ending after the last line (23 bytes received)", "KEY /user/Ada/ HTTP/1.1‹›"],
  ["lines joined, and no more", "no-line-end", 400, "no line ending after the last line (45 bytes received)", `${L}Host: 127.0.0.1:5000‹›`],
  ["lines joined with LF, and no more", "no-line-end lf-alone", 400, "no line ending after the last line (44 bytes received)", "KEY /user/Ada/ HTTP/1.1\nHost: 127.0.0.1:5000‹›"],
  ["cut off in the last line end", "no-line-end", 400, "no line ending after the last line (48 bytes received)", `${L}${H}\r‹›`],
  ["path alone, no line end", "no-line-end", 400, "no line ending after the last line (14 bytes received)", "KEY /user/Ada/‹›"],
  ["one line end", "no-empty-line", 400, "no empty line after the headers (25 bytes received)", `${L}‹›`],
  ["no empty line behind the fields", "no-empty-line", 400, "no empty line after the headers (47 bytes received)", `${L}${H}‹›`],
  ["no empty line behind the fields, LF alone", "no-empty-line lf-alone", 400, "no empty line after the headers (45 bytes received)", "KEY /user/Ada/ HTTP/1.1\nHost: 127.0.0.1:5000\n‹›"],
  ["input() sent as it is", "no-empty-line no-version lf-alone", 400, "no empty line after the headers (15 bytes received)", "KEY /user/Ada/\n‹›"],
  ["println() of the path alone", "no-empty-line no-version", 400, "no empty line after the headers (16 bytes received)", "KEY /user/Ada/\r\n‹›"],
  ["connected, nothing sent", "nothing-sent", 400, "no bytes received", "‹›"],
  ["line ends alone", "no-empty-line", 400, "no empty line after the headers (4 bytes received)", "\r\n\r\n‹›"],
  ["a line end before it", "blank-line-first", "warning", "empty line before the request", `‹\r\n›${L}${H}${E}`],
  ["triple quotes", "blank-line-first lf-alone", "warning", "empty line before the request", "‹\n›KEY /user/Ada/ HTTP/1.1\nHost: 127.0.0.1:5000\n\n"],
  ["triple quotes within a function", "indented-line indented-field blank-line-first lf-alone", 400, "white space before the method", "\n‹    ›KEY /user/Ada/ HTTP/1.1\n    Host: 127.0.0.1:5000\n\n‖    "],
  ["triple quotes with a backslash first", "indented-line indented-field blank-line lf-alone", 400, "white space before the method", "‹    ›KEY /user/Ada/ HTTP/1.1\n    Host: 127.0.0.1:5000\n    \n"],
  ["triple quotes that begin with the method", "indented-field lf-alone", 400, "white space before the header", "KEY /user/Ada/ HTTP/1.1\n‹    ›Host: 127.0.0.1:5000\n\n"],
  ["triple quotes with \\r", "indented-field", 400, "white space before the header", "KEY /user/Ada/ HTTP/1.1\r\n‹        ›Host: 127.0.0.1:5000\r\n\r\n"],
  ["triple quotes, the empty line indented", "blank-line lf-alone", 400, "space or tab in the empty line after the headers", "KEY /user/Ada/ HTTP/1.1\nHost: 127.0.0.1:5000\n‹    ›\n"],
  ["a space between the line ends", "blank-line", 400, "space or tab in the empty line after the headers", `${L}${H}‹ ›\r\n`],
  ["a line end and a space", "indented-field", 400, "white space before the header", `${L}‹ ›Host: 127.0.0.1:5000\r\n\r\n`],
  ["a space before the method", "indented-line", 400, "white space before the method", `‹ ›${L}${H}${E}`],
  ["one empty line too many", "extra-line-end", "warning", "extra line ending after the request", `${L}${H}${E}‖‹\r\n›`],
  ["print() of a whole request", "extra-line-end", "warning", "extra line ending after the request", `${L}${H}${E}‖‹\n›`],
  ["CR LF in the wrong place, all four twice", "extra-line-end", "warning", "extra line ending after the request", `${L}${H}${E}‖‹\r\n\r\n›`],
  ["an empty line behind the request line", "no-host fields-behind", "warning", "no Host header; HTTP/1.1 requires one", `${L}‹›\r\n‖${H}${E}`],
  ["no line end behind the request line", "line-goes-on", 400, "text after `HTTP/1.1` in the request line", `KEY /user/Ada/ HTTP/1.1‹›${H}${E}`],
  ["a space for a line end behind the request line", "line-goes-on", 400, "text after `HTTP/1.1` in the request line", `KEY /user/Ada/ HTTP/1.1‹ ›${H}${E}`],
  ["no line end between two fields", "host-invalid", "warning", "the Host header is not a host name or IP address", `${L}Host: ‹127.0.0.1:5000Connection: close›\r\n\r\n`],
  ["a zero byte at the end (C: sizeof)", "nul-behind", "warning", "NUL bytes after the request", `${L}${H}${E}‖‹\0›`],
  ["a whole buffer (C)", "nul-behind", "warning", "NUL bytes after the request", `${L}${H}${E}‖‹${"\0".repeat(200)}›`],

  // The parts of the first line
  ["no space behind the method", "no-space", 400, "no space between the method and the path", `KEY‹/›user/Ada/${V}`],
  ["no space behind the method, PUT", "no-space", 400, "no space between the method and the path", `PUT‹/›key/Ada/${KEY}/${V}`],
  ["no space before the version", "no-space-before-version", 400, "no space between the path and the version", `KEY /user/Ada/‹HTTP/1.1›\r\n${H}${E}`],
  ["two spaces behind the method", "two-spaces", 400, "2 spaces in a row", `KEY‹  ›/user/Ada/${V}`],
  ["two spaces before the version", "two-spaces", 400, "2 spaces in a row", `KEY /user/Ada/‹  ›HTTP/1.1\r\n${H}${E}`],
  ["an empty path", "two-spaces", 400, "2 spaces in a row", `KEY‹  ›HTTP/1.1\r\n${H}${E}`],
  ["an empty method", "indented-line", 400, "white space before the method", `‹ ›/user/Ada/${V}`],
  ["a tab for a space", "tab", 400, "tab in the request line", `KEY‹\t›/user/Ada/${V}`],
  ["a tab before the version", "tab", 400, "tab in the request line", `KEY /user/Ada/‹\t›HTTP/1.1\r\n${H}${E}`],
  ["a tab at the end", "tab", 400, "tab in the request line", `KEY /user/Ada/ HTTP/1.1‹\t›\r\n${H}${E}`],
  ["a space copied from a web page", "method-name", 400, "invalid method `KEY\\xc2\\xa0/user/...`", `‹${utf8("KEY\u00a0/user/Ada/")}›${V}`],
  ["a space at the end", "space-at-end", 400, "space after the version", `KEY /user/Ada/ HTTP/1.1‹ ›\r\n${H}${E}`],
  ["spaces at the end", "space-at-end", 400, "space after the version", `KEY /user/Ada/ HTTP/1.1‹   ›\r\n${H}${E}`],
  ["a space in the user id", "space-in-path", 400, "the path contains a space", `KEY /user/Ada‹ ›Lovelace/${V}`],
  ["two spaces in the user id", "space-in-path", 400, "the path contains a space", `KEY /user/Ada‹ ›King Lovelace/${V}`],
  ["a space behind an à, of which one byte is 0xa0", "space-in-path", 400, "the path contains a space", `KEY /user/${utf8("Voilà")}‹ ›Ada/${V}`],
  ["a space before the user id", "user-space", 400, "space before or after the user id", `KEY /user/‹ ›Ada/${V}`],
  ["a space behind the user id", "user-space", 400, "space before or after the user id", `KEY /user/Ada‹ ›/${V}`],
  ["a space in the user id of PUT", "space-in-path", 400, "the path contains a space", `PUT /key/Ada‹ ›L/${KEY}/${V}`],
  ["a space in the user id, no version", "space-in-path", 400, "the path contains a space", `KEY /user/Ada‹ ›L/\r\n${H}${E}`],
  ["a space in the user id, version in small letters", "version-case", 400, "version `http/1.1` instead of `HTTP/1.1`", `KEY /user/Ada L/ ‹http/1.1›\r\n${H}${E}`],
  ["a user id from a file, with its line end", "line-end-in-path", 400, "line ending in the middle of the path", "KEY /user/Ada‹\n›/ HTTP/1.1\nHost: 127.0.0.1:5000\n\n"],
  ["a user id with its line end", "line-end-in-path", 400, "line ending in the middle of the path", `KEY /user/Ada‹\n›/${V}`],
  ["a user id with Windows' line end", "line-end-in-path", 400, "line ending in the middle of the path", `KEY /user/Ada‹\r\n›/${V}`],
  ["a line end before the user id", "line-end-in-path", 400, "line ending in the middle of the path", `KEY /user/‹\n›Ada/${V}`],
  ["a key with a line end", "line-end-in-path", 400, "line ending in the middle of the path", `PUT /key/Ada/${KEY}‹\r\n›/${V}`],
  ["a key with an empty line", "line-end-in-path", 400, "line ending in the middle of the path", `PUT /key/Ada/${KEY}‹\r\n›\r\n‖/${V}`],
  ["the whole response for a key", "response-in-line", 400, "the key contains the headers of the response", `PUT /key/Ada/${RESPONSE.replace(KEY, "‖")}${KEY}/${V}`],
  ["the response without its first line, for a key", "response-in-line", 400, "the key contains the headers of the response", `PUT /key/Ada/‹Content-›Type: text/plain\r\nContent-Length: 128\r\n\r\n‖${KEY}/${V}`],
  ["one line of the response's head, for a key", "response-in-line", 400, "the key contains the headers of the response", `PUT /key/Ada/‹Content-›Type: text/plain\r/${V}`],
  ["what is behind the last space of the response", "response-in-line", 400, "the key contains the headers of the response", `PUT /key/Ada/‹close›\r\n\r\n‖${KEY}/${V}`],
  ["the body with the empty line before it", "line-end-in-path", 400, "line ending in the middle of the path", `PUT /key/Ada/‹\r\n›\r\n‖${KEY}/${V}`],
  ["int(key, 16)", "key-decimal", 400, "154 decimal digits instead of 128 hex digits", `PUT /key/Ada/‹${"1234567890".repeat(15)}1234›/${V}`],
  ["an error message for a key, as bytes", "bytes-in-line", 400, "the path contains b'...'", `PUT /key/Ada/‹b›'no such user'/${V}`],
  ["bytes.fromhex(), as it is", "raw-key", 400, "the key contains bytes that are not text", `PUT /key/Ada/‹\xcd\x88a\x01›\xff\x80/${V}`],
  ["bytes.fromhex() in an f-string", "raw-bytes-in-line", 400, "the key is a printed bytes object, with `\\x..` escapes", `PUT /key/Ada/‹b'\\x›cd\\x88 a'/${V}`],
  ["the version twice", "version-twice", 400, "two versions in the request line", `KEY /user/Ada/ ‹HTTP/1.1 ›HTTP/1.1\r\n${H}${E}`],
  ["slash and space in the wrong order", "slash-and-space", 400, "space before the final slash of the path", `KEY /user/Ada‹ /›HTTP/1.1\r\n${H}${E}`],
  ["a comma for a line end behind the request line", "line-goes-on", 400, "text after `HTTP/1.1` in the request line", `KEY /user/Ada/ HTTP/1.1‹, ›${H}${E}`],
  ["no path", "no-path", 400, "no path in the request line", `KEY‹ HTTP/1.1›\r\n${H}${E}`],
  ["the length as text before the request", "number-first", 400, "number before the method", `‹81        ›KEY /user/Ada/${V}`],
  ["a label before the request", "label-first", 400, "`REQUEST:` before the method", `‹REQUEST: ›KEY /user/Ada/${V}`],
  ["XML", "data-first", 400, "data (JSON, XML, a list) instead of a request line", "‹<›req‖uest/>"],
  ["the names of line ends", "crlf-spelt-out", 400, "`CRLF` instead of a line ending", "KEY /user/Ada/ HTTP/1.1 ‹CRLF› CRLF\n"],
  ["key= before the key", "key-name", 400, "`key=` before the key", `PUT /key/Ada/‹key=›${KEY}/${V}`],
  ["a word for a key", "key-word", 400, "the key is `Error`, a word", `PUT /key/Ada/‹Error›/${V}`],
  ["no slash between user id and key", "no-slash-before-key", 404, "no slash between the user id and the key", `PUT /key/Bob‹›${KEY}/${V}`],
  ["a colon between user id and key", "no-slash-before-key", 404, "no slash between the user id and the key", `PUT /key/Ada‹:›${KEY}/${V}`],
  ["two fields on one line", "host-comma", "warning", "comma in the Host header", `${L}Host: 127.0.0.1:5000‹, Connection: close›\r\n\r\n`],
  ["the whole response for a key, as bytes", "response-in-line", 400, "the key contains the headers of the response", `PUT /key/Ada/‹b'HTTP/1.1 200› ${RESPONSE.slice(13).replaceAll("\r\n", "\\r\\n").replace(KEY, "‖")}${KEY}'/${V}`],
  ["chunks for a key", "chunks-in-line", 400, "the key contains chunk sizes", `PUT /key/Ada/‹80\r\n›${KEY}\r\n0\r\n\r\n‖/${V}`],
  ["the version first", "order", 400, "the version is before the path", `‹HTTP/1.1› KEY /user/Ada/\r\n${H}${E}`],
  ["the version before the path", "order", 400, "the version is before the path", `‹KEY HTTP/1.1› /user/Ada/\r\n${H}${E}`],
  ["the path first", "no-method", 400, "no method before the path", `‹/user/Ada/› KEY HTTP/1.1\r\n${H}${E}`],
  ["no method", "no-method", 400, "no method before the path", `‹/user/Ada/›${V}`],
  ["a URL alone", "no-method", 400, "no method before the path", `‹http://127.0.0.1:5000/user/Ada/›\r\n${H}${E}`],
  ["no method and no slash", "no-method", 400, "no method before the path", `‹user/Ada/›${V}`],
  ["two methods", "two-methods", 400, "two methods in the request line", `GET KEY /user/Ada/${V}`],
  ["the server's address before the path", "address-in-line", 400, "the address `127.0.0.1:5000` in the request line", `KEY ‹127.0.0.1:5000 ›/user/Ada/${V}`],
  ["a colon behind the method", "method-punctuation", 400, "`:` after the method", `KEY‹:› /user/Ada/${V}`],
  ["commas between the parts", "method-punctuation", 400, "`,` after the method", `KEY‹,› /user/Ada/, HTTP/1.1\r\n${H}${E}`],
  ["the method in small letters", "method-case", 405, "method `key` instead of `KEY`", `‹key› /user/Ada/${V}`],
  ["the method with a capital", "method-case", 405, "method `Key` instead of `KEY`", `‹Key› /user/Ada/${V}`],
  ["put in small letters", "method-case", 405, "method `put` instead of `PUT`", `‹put› /key/Ada/${KEY}/${V}`],
  ["no version", "no-version", 400, "no version in the request line", `KEY /user/Ada/‹›\r\n${H}${E}`],
  ["no version and no fields", "no-version no-host", 400, "no version in the request line", "KEY /user/Ada/‹›\r\n\r\n"],
  ["no version, PUT", "no-version", 400, "no version in the request line", `PUT /key/Ada/${KEY}/‹›\r\n${H}${E}`],
  ["http/1.1", "version-case", 400, "version `http/1.1` instead of `HTTP/1.1`", `KEY /user/Ada/ ‹http/1.1›\r\n${H}${E}`],
  ["Http/1.1", "version-case", 400, "version `Http/1.1` instead of `HTTP/1.1`", `KEY /user/Ada/ ‹Http/1.1›\r\n${H}${E}`],
  ["HTTP 1.1", "wrong-version", 400, "unknown version `HTTP 1.1`", `KEY /user/Ada/ ‹HTTP 1.1›\r\n${H}${E}`],
  ["HTTP1.1", "wrong-version", 400, "unknown version `HTTP1.1`", `KEY /user/Ada/ ‹HTTP1.1›\r\n${H}${E}`],
  ["HTTP-1.1", "wrong-version", 400, "unknown version `HTTP-1.1`", `KEY /user/Ada/ ‹HTTP-1.1›\r\n${H}${E}`],
  ["HTTP/1", "wrong-version", 400, "unknown version `HTTP/1`", `KEY /user/Ada/ ‹HTTP/1›\r\n${H}${E}`],
  ["HTTP", "wrong-version", 400, "unknown version `HTTP`", `KEY /user/Ada/ ‹HTTP›\r\n${H}${E}`],
  ["HTTP/2", "wrong-version", 400, "unknown version `HTTP/2`", `KEY /user/Ada/ ‹HTTP/2›\r\n${H}${E}`],
  ["HTTP/2.0", "wrong-version", 400, "unknown version `HTTP/2.0`", `KEY /user/Ada/ ‹HTTP/2.0›\r\n${H}${E}`],
  ["HTTPS/1.1", "wrong-version", 400, "unknown version `HTTPS/1.1`", `KEY /user/Ada/ ‹HTTPS/1.1›\r\n${H}${E}`],
  ["HTTP/1,1", "wrong-version", 400, "unknown version `HTTP/1,1`", `KEY /user/Ada/ ‹HTTP/1,1›\r\n${H}${E}`],
  ["HTTP/1.1.", "wrong-version", 400, "unknown version `HTTP/1.1.`", `KEY /user/Ada/ ‹HTTP/1.1.›\r\n${H}${E}`],
  ["HTTP/1.l, with a letter", "wrong-version", 400, "unknown version `HTTP/1.l`", `KEY /user/Ada/ ‹HTTP/1.l›\r\n${H}${E}`],
  ["HTTP\\1.1", "wrong-version", 400, "unknown version `HTTP\\1.1`", `KEY /user/Ada/ ‹HTTP\\1.1›\r\n${H}${E}`],
  ["HTTP\\1.1, and the string made a character of it", "control-character", 400, "control character in the request line", `KEY /user/Ada/ HTTP‹\x01›.1\r\n${H}${E}`],
  ["HTTP /1.1", "wrong-version", 400, "unknown version `HTTP /1.1`", `KEY /user/Ada/ ‹HTTP /1.1›\r\n${H}${E}`],
  ["HTTP / 1.1", "wrong-version", 400, "unknown version `HTTP / 1.1`", `KEY /user/Ada/ ‹HTTP / 1.1›\r\n${H}${E}`],
  ["HTTP/ 1.1", "wrong-version", 400, "unknown version `HTTP/ 1.1`", `KEY /user/Ada/ ‹HTTP/ 1.1›\r\n${H}${E}`],
  ["HTPP/1.1", "wrong-version", 400, "unknown version `HTPP/1.1`", `KEY /user/Ada/ ‹HTPP/1.1›\r\n${H}${E}`],
  ["HTTTP/1.1", "wrong-version", 400, "unknown version `HTTTP/1.1`", `KEY /user/Ada/ ‹HTTTP/1.1›\r\n${H}${E}`],
  ["1.1", "wrong-version", 400, "unknown version `1.1`", `KEY /user/Ada/ ‹1.1›\r\n${H}${E}`],
  ["a response instead of a request", "response-line", 400, "status line of a response instead of a request line", "‹HTTP/1.1› 200 OK\r\nContent-Length: 2\r\n\r\n‖ok"],
  ["a control character from a backslash (\"DOMAIN\\ada\")", "control-character", 400, "control character in the request line", `KEY /user/DOMAIN‹\x07›da/${V}`],

  // What stands where the path belongs
  ["no slash before the path", "no-leading-slash", 400, "the path does not start with a slash", `KEY ‹›user/Ada/${V}`],
  ["the user id for a path", "no-leading-slash", 400, "the path does not start with a slash", `KEY ‹›Ada${V}`],
  ["a path that was quoted whole", "path-encoded", 400, "the slashes of the path are percent-encoded", `KEY ‹%2F›user%2FAda%2F${V}`],
  ["a quoted path", "path-quoted", 400, "quotation marks around the path", `KEY ‹"›/user/Ada/"${V}`],
  ["a path in single quotes", "path-quoted", 400, "quotation marks around the path", `KEY ‹'›/user/Ada/'${V}`],
  ["a path in bytes", "path-bytes-literal", 400, "the path is inside b'...'", `KEY ‹b›'/user/Ada/'${V}`],
  ["a path of Windows", "path-backslash", 400, "backslash in the path", `KEY ‹\\›user\\Ada\\${V}`],
  ["os.path.join() on Windows", "backslash", 400, "backslash in the path", `KEY /user‹\\›Ada\\${V}`],
  ["a URL without its scheme", "no-scheme", 400, "the address `127.0.0.1:5000` before the path", `KEY ‹127.0.0.1:5000›/user/Ada/${V}`],
  ["localhost before the path", "no-scheme", 400, "the address `localhost:5000` before the path", `KEY ‹localhost:5000›/user/Ada/${V}`],
  ["a name without a port before the path", "no-scheme", 400, "the address `keys.example.com` before the path", `KEY ‹keys.example.com›/user/Ada/${V}`],
  ["CONNECT, as to a proxy", "no-scheme", 400, "the address `127.0.0.1:5000` before the path", `CONNECT ‹127.0.0.1:5000›${V}`],
  ["http:/ with one slash", "bad-url", 400, "URL without a server", `KEY ‹http:/›user/Ada/${V}`],
  ["http:/// with an empty server", "bad-url", 400, "URL without a server", `KEY ‹http:///›user/Ada/${V}`],
  ["http// without its colon", "bad-url", 400, "URL without a server", `KEY ‹http//›127.0.0.1:5000/user/Ada/${V}`],
  ["<user_id> left in the path", "placeholder", 400, "the placeholder `<user_id>` in the path", `KEY /user/‹<user_id>›/${V}`],
  ["{user_id}, without the f", "placeholder", 400, "the placeholder `{user_id}` in the path", `KEY /user/‹{user_id}›/${V}`],
  ["{self.user_id}, without the f", "placeholder", 400, "the placeholder `{self.user_id}` in the path", `KEY /user/‹{self.user_id}›/${V}`],
  ["{name}, without the f", "placeholder", 400, "the placeholder `{name}` in the path", `KEY /user/‹{name}›/${V}`],
  ["${user_id} in plain quotes (JavaScript)", "placeholder", 400, "the placeholder `{user_id}` in the path", `KEY /user/$‹{user_id}›/${V}`],
  ["{user_id} and {key}, without the f", "placeholder", 400, "the placeholder `{user_id}` in the path", `PUT /key/‹{user_id}›/{key}/${V}`],
  ["<key_val> left in the path", "placeholder", 400, "the placeholder `<key_val>` in the path", `PUT /key/Ada/‹<key_val>›/${V}`],
  ["angle brackets kept around the user id", "angle-brackets", 400, "angle brackets in the path", `KEY /user/‹<Ada>›/${V}`],
  ["angle brackets kept around the key", "angle-brackets", 400, "angle brackets in the path", `PUT /key/Ada/‹<${KEY}>›/${V}`],
  ["%s left in the path", "format-left", 400, "the placeholder `%s` in the path", `KEY /user/‹%s›/${V}`],
  ["%(user)s left in the path", "format-left", 400, "the placeholder `%(user)s` in the path", `KEY /user/‹%(user)s›/${V}`],
  ["{} left in the path", "format-left", 400, "the placeholder `{}` in the path", `KEY /user/‹{}›/${V}`],
  ["{0} left in the path", "format-left", 400, "the placeholder `{0}` in the path", `PUT /key/‹{0}›/{1}/${V}`],
  ["%d left in the path (C)", "format-left", 400, "the placeholder `%d` in the path", `KEY /user/‹%d›/${V}`],
  ["%USERNAME% left in the path (Windows)", "format-left", 400, "the placeholder `%USERNAME%` in the path", `KEY /user/‹%USERNAME%›/${V}`],
  ["a line end in the path, with a backslash", "path-literal-line-end", 400, "the characters `\\n` in the path", `KEY /user/Ada‹\\n›/${V}`],
  ["a backslash in the user id", "backslash", 400, "backslash in the path", `KEY /user/DOMAIN‹\\›Ada/${V}`],
  ["a percent sign in the user id", "bad-percent", 400, "`%` is not percent-encoding", `KEY /user/100‹%›/${V}`],
  ["half a percent-encoding", "bad-percent", 400, "`%2` is not percent-encoding", `KEY /user/Ada‹%2›/${V}`],
  ["a percent sign before letters", "bad-percent", 400, "`%zz` is not percent-encoding", `KEY /user/‹%zz›/${V}`],
  ["a # in the user id", "fragment", 400, "`#/` in the path starts a fragment", `KEY /user/C‹#/›${V}`],
  ["a letter with an accent", "not-ascii", "warning", "characters in the path that are not ASCII", `KEY /user/‹${utf8("é")}›lodie/${V}`],
  ["a user id in Greek", "not-ascii", "warning", "characters in the path that are not ASCII", `KEY /user/‹${utf8("Ἄδα")}›/${V}`],
  ["an emoji", "not-ascii", "warning", "characters in the path that are not ASCII", `KEY /user/‹${utf8("😀")}›/${V}`],
  ["encode('latin-1')", "user-not-utf-8 not-ascii", 400, "the decoded user id is not UTF-8", `KEY /user/‹\xe9lodie›/${V}`],
  ["percent-encoded ISO 8859-1", "user-not-utf-8", 400, "the decoded user id is not UTF-8", `KEY /user/‹%E9lodie›/${V}`],
  ["a | in the user id", "odd-character", "warning", "`|` is not allowed in a path", `KEY /user/Ada‹|›L/${V}`],
  ["a ^ in the user id", "odd-character", "warning", "`^` is not allowed in a path", `KEY /user/Ada‹^›/${V}`],
  ["square brackets in the user id", "odd-character", "warning", "`[` is not allowed in a path", `KEY /user/Ada‹[›1]/${V}`],

  // Paths that there are not
  ["no slash at the end", "no-final-slash", 404, "the path does not end with a slash", `KEY /user/Ada‹›${V}`],
  ["no slash at the end of PUT", "no-final-slash", 404, "the path does not end with a slash", `PUT /key/Ada/${KEY}‹›${V}`],
  ["the key in the path of KEY", "key-in-user-path", 404, "the path of `/user/` contains a key", `PUT /user/Ada/‹${KEY}›/${V}`],
  ["the key in the path of KEY, by KEY", "key-in-user-path", 404, "the path of `/user/` contains a key", `KEY /user/Ada/‹${KEY}›${V}`],
  ["two slashes at the beginning", "two-slashes", 404, "two slashes in a row", `KEY ‹//›user/Ada/${V}`],
  ["two slashes at the end", "two-slashes", 404, "two slashes in a row", `KEY /user/Ada‹//›${V}`],
  ["no user id", "no-user-id", 404, "no user id in the path", `KEY ‹/user/›${V}`],
  ["no user id and no slash", "no-user-id", 404, "no user id in the path", `KEY ‹/user›${V}`],
  ["a key without a user id", "no-user-id", 404, "no user id in the path", `PUT ‹/key/›${KEY}/${V}`],
  ["the user id behind a ?", "no-user-id query", 404, "no user id in the path", `KEY ‹/user›?id=Ada${V}`],
  ["the user id behind a /?", "no-user-id query", 404, "no user id in the path", `KEY ‹/user/›?user_id=Ada${V}`],
  ["a ? in the user id", "question-mark", 404, "the path ends at `?`, before its final slash", `KEY /user/who‹?›/${V}`],
  ["no key", "no-key-in-path", 404, "no key in the path", `PUT /key/Ada/‹›${V}`],
  ["asking /key/ for a key", "no-key-in-path", 404, "no key in the path", `KEY /key/Ada/‹›${V}`],
  ["the key in the body", "no-key-in-path body-ignored", 404, "no key in the path", `PUT /key/Ada/‹› HTTP/1.1\r\n${H}Content-Length: 128\r\n\r\n${KEY}`],
  ["the key in a body without a length", "no-key-in-path bytes-behind", 404, "no key in the path", `PUT /key/Ada/‹›${V}‖${KEY}`],
  ["/User/", "path-case", 404, "`/User` instead of `/user`", `KEY ‹/User›/Ada/${V}`],
  ["/Key/", "path-case", 404, "`/Key` instead of `/key`", `PUT ‹/Key›/Ada/${KEY}/${V}`],
  ["/users/", "path-plural", 404, "`/users` instead of `/user`", `KEY ‹/users›/Ada/${V}`],
  ["/keys/", "path-plural", 404, "`/keys` instead of `/key`", `PUT ‹/keys›/Ada/${KEY}/${V}`],
  ["a slash in the user id", "slash-in-user-id", 404, "the path has too many parts", `KEY /user/Ada‹/›Lovelace/${V}`],
  ["a date for a user id", "slash-in-user-id", 404, "the path has too many parts", `PUT /key/12‹/›10/1815/${KEY}/${V}`],
  ["a file's name behind the path", "slash-in-user-id", 404, "the path has too many parts", `KEY /user/Ada‹/›index.html${V}`],
  ["base64 with a slash in it", "slash-in-key", 404, "the key contains a slash", `PUT /key/Ada/ASNFZ4mrze8BI0Vniav‹/›N7wEjRWeJq83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze8w==/${V}`],
  ["curl -T, which adds the file's name", "behind-key", 404, "text after the key", `PUT /key/Ada/${KEY}/‹null›${V}`],
  ["the method in the path", "method-in-path", 404, "the method `KEY` in the path", `KEY ‹/KEY›/user/Ada/${V}`],
  ["GET of the method", "method-in-path", 404, "the method `KEY` in the path", `GET ‹/KEY›/user/Ada/${V}`],
  ["no /user", "no-such-path", 404, "unknown path", `KEY ‹/Ada/›${V}`],
  ["nothing but a slash", "no-such-path", 404, "unknown path", `GET ‹/›${V}`],
  ["a browser's favicon", "no-such-path", 404, "unknown path", `GET ‹/favicon.ico›${V}`],
  ["a slash before the server's address", "address-in-path", 404, "the address `/127.0.0.1:5000` in the path", `KEY ‹/127.0.0.1:5000›/user/Ada/${V}`],
  ["two slashes before the server's address", "address-in-path", 404, "the address `//127.0.0.1:5000` in the path", `KEY ‹//127.0.0.1:5000›/user/Ada/${V}`],
  ["a ? behind the path", "query", "warning", "this server ignores the text after `?`", `KEY /user/Ada/‹?format=text›${V}`],
  ["the key behind a ?", "no-key-in-path query", 404, "no key in the path", `PUT /key/Ada/‹›?key=${KEY}${V}`],

  // Methods
  ["GET for KEY", "method-get", 405, "method `GET` on a path that needs `KEY`", `‹GET› /user/Ada/${V}`],
  ["HEAD for KEY", "method-get", 405, "method `HEAD` on a path that needs `KEY`", `‹HEAD› /user/Ada/${V}`],
  ["GET for PUT", "method-get", 405, "method `GET` on a path that needs `PUT`", `‹GET› /key/Ada/${KEY}/${V}`],
  ["a WebSocket", "method-get", 405, "method `GET` on a path that needs `KEY`", `‹GET› /user/Ada/ HTTP/1.1\r\n${H}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`],
  ["POST for KEY", "wrong-method body-ignored", 405, "method `POST` on a path that needs `KEY`", `‹POST› /user/Ada/ HTTP/1.1\r\n${H}Content-Length: 6\r\n\r\nid=Ada`],
  ["POST for PUT", "wrong-method", 405, "method `POST` on a path that needs `PUT`", `‹POST› /key/Ada/${KEY}/${V}`],
  ["a browser's question first (CORS)", "wrong-method", 405, "method `OPTIONS` on a path that needs `KEY`", `‹OPTIONS› /user/Ada/ HTTP/1.1\r\n${H}Access-Control-Request-Method: KEY\r\nOrigin: http://localhost\r\n\r\n`],
  ["KEYS", "wrong-method", 405, "method `KEYS` on a path that needs `KEY`", `‹KEYS› /user/Ada/${V}`],
  ["PUT for KEY", "put-to-user", 405, "method `PUT` on a path that needs `KEY`", `‹PUT› /user/Ada/${V}`],
  ["KEY for PUT", "key-to-key", 405, "method `KEY` on a path that needs `PUT`", `‹KEY› /key/Ada/${KEY}/${V}`],
  ["get in small letters", "method-get", 405, "method `get` on a path that needs `KEY`", `‹get› /user/Ada/${V}`],

  // User ids
  ["an empty user id", "empty-user-id", 400, "the user id is empty", `KEY /user/‹›/${V}`],
  ["an empty user id and a key", "empty-user-id", 400, "the user id is empty", `PUT /key/‹›/${KEY}/${V}`],
  ["user id and key swapped", "swapped", 400, "user id and key are in the wrong order", `PUT /key/‹${KEY}›/Ada/${V}`],
  ["a user id of 257 bytes", "long-user-id", 400, "the user id is longer than 256 bytes", `KEY /user/‹${"a".repeat(257)}›/${V}`],
  ["<user_id>, sent by a library", "placeholder-encoded", 400, "placeholder instead of the user id", `KEY /user/‹%3Cuser_id%3E›/${V}`],
  ["{user_id}, sent by a library", "placeholder-encoded", 400, "placeholder instead of the user id", `KEY /user/‹%7Buser_id%7D›/${V}`],
  ["a user id in bytes", "user-bytes-literal", "warning", "the user id is inside b'...'", `KEY /user/‹b'Ada'›/${V}`],
  ["a user id in bytes, sent by a library", "user-bytes-literal", "warning", "the user id is inside b'...'", `KEY /user/‹b%27Ada%27›/${V}`],
  ["a quoted user id", "user-quoted", "warning", "quotation marks around the user id", `KEY /user/‹'Ada'›/${V}`],
  ["a quoted user id, sent by a library", "user-quoted", "warning", "quotation marks around the user id", `KEY /user/‹%22Ada%22›/${V}`],
  ["a tuple of one user id", "user-quoted", "warning", "quotation marks around the user id", `KEY /user/‹('Ada',)›/${V}`],
  ["a user id in double quotes", "user-quoted", "warning", "quotation marks around the user id", `KEY /user/‹"Ada"›/${V}`],
  ["a user id with its line end, sent by a library", "user-white-space", "warning", "white space around the user id", `KEY /user/Ada‹%0A›/${V}`],
  ["a user id with a space first, sent by a library", "user-white-space", "warning", "white space around the user id", `KEY /user/‹%20›Ada/${V}`],
  ["None for a user id", "user-none", "warning", "the user id is `None`", `KEY /user/‹None›/${V}`],
  ["undefined for a user id", "user-none", "warning", "the user id is `undefined`", `KEY /user/‹undefined›/${V}`],
  ["user_id for a user id", "user-placeholder", "warning", "the user id `user_id` looks like a placeholder", `KEY /user/‹user_id›/${V}`],
  [":user_id for a user id", "user-placeholder", "warning", "the user id `:user_id` looks like a placeholder", `KEY /user/‹:user_id›/${V}`],
  ["$user_id in single quotes", "user-placeholder", "warning", "the user id `$user_id` looks like a placeholder", `KEY /user/‹$user_id›/${V}`],
  ["$USER in single quotes", "user-placeholder", "warning", "the user id `$USER` looks like a placeholder", `KEY /user/‹$USER›/${V}`],
  ["[user_id] for a user id", "placeholder", 400, "the placeholder `[user_id]` in the path", `KEY /user/‹[user_id]›/${V}`],
  ["an object for a user id, sent by a library", "user-object", "warning", "the user id is a printed object, not its text", `KEY /user/‹[object%20Object]›/${V}`],

  // Keys
  ["an empty key", "empty-key", 400, "the key is empty", `PUT /key/Ada/‹›/${V}`],
  ["b'' for a key", "empty-key", 400, "the key is empty", `PUT /key/Ada/‹b''›/${V}`],
  ["the whole response for a key, quoted", "whole-response", 400, "the key contains the headers of the response", `PUT /key/Ada/‹${encodeURIComponent(RESPONSE)}›/${V}`],
  ["the whole response for a key, quoted by default", "response-in-path", 404, "the key contains the headers of the response", `PUT /key/Ada/‹HTTP/1.1›${encodeURIComponent(RESPONSE.slice(8)).replaceAll("%2F", "/")}/${V}`],
  ["the head of the response for a key, quoted", "whole-response", 400, "the key contains the headers of the response", `PUT /key/Ada/‹Content-Length%3A%20128›/${V}`],
  ["small chunks for a key", "chunks-in-line", 400, "the key contains chunk sizes", `PUT /key/Ada/‹3c\r\n›${KEY.slice(0, 60)}\r\n3c\r\n${KEY.slice(0, 60)}\r\n8\r\n01234567\r\n0\r\n\r\n‖/${V}`],
  ["the end of chunks for a key", "chunks-in-line", 400, "the key contains chunk sizes", `PUT /key/Ada/‹${KEY.slice(0, 60)}\r\n8\r\n›01234567\r\n0\r\n\r\n‖/${V}`],
  ["small chunks for a key, quoted", "chunked-key", 400, "the key contains chunk sizes", `PUT /key/Ada/‹3C%0D%0A${KEY.slice(0, 60)}%0D%0A8%0D%0A01234567%0D%0A›/${V}`],
  ["chunks for a key, quoted", "chunked-key", 400, "the key contains chunk sizes", `PUT /key/Ada/‹80%0D%0A${KEY}%0D%0A0%0D%0A%0D%0A›/${V}`],
  ["chunks for a key, stripped and quoted", "chunked-key", 400, "the key contains chunk sizes", `PUT /key/Ada/‹80%0D%0A${KEY}%0D%0A0›/${V}`],
  ["a key in bytes", "key-bytes-literal", 400, "the key is inside b'...'", `PUT /key/Ada/‹b'›${KEY}'/${V}`],
  ["a key in bytes, sent by a library", "key-bytes-literal", 400, "the key is inside b'...'", `PUT /key/Ada/‹b%27${KEY}%27›/${V}`],
  ["a bytearray for a key", "key-bytearray", 400, "the key is a printed object of bytes, not its text", `PUT /key/Ada/‹bytearray›(b'${KEY}')/${V}`],
  ["a quoted key", "key-quoted", 400, "quotation marks around the key", `PUT /key/Ada/‹'›${KEY}'/${V}`],
  ["a quoted key, sent by a library", "key-quoted", 400, "quotation marks around the key", `PUT /key/Ada/‹%22${KEY}%22›/${V}`],
  ["a key in double quotes", "key-quoted", 400, "quotation marks around the key", `PUT /key/Ada/‹"›${KEY}"/${V}`],
  ["None for a key", "key-none", 400, "the key is `None`", `PUT /key/Ada/‹None›/${V}`],
  ["undefined for a key", "key-none", 400, "the key is `undefined`", `PUT /key/Ada/‹undefined›/${V}`],
  ["a promise for a key (no await)", "key-object", 400, "the key is a printed object, not its text", `PUT /key/Ada/‹[object%20Promise]›/${V}`],
  ["a response object for a key, sent by a library", "key-object", 400, "the key is a printed object, not its text", `PUT /key/Ada/‹%3CResponse%20%5B200%5D%3E›/${V}`],
  ["a response object for a key, by requests", "key-object", 400, "the key is a printed object, not its text", `PUT /key/Ada/‹%3CResponse%20[200]%3E›/${V}`],
  ["a response object for a key, as it is", "object-in-line", 400, "the key is a printed object, not its text", `PUT /key/Ada/‹<Response [200]>›/${V}`],
  ["a method for a key, not called", "object-in-line", 400, "the key is a printed object, not its text", `PUT /key/Ada/‹<built-in method decode of bytes object at 0x7f>›/${V}`],
  ["a coroutine for a key, as it is", "object-in-line", 400, "the key is a printed object, not its text", `PUT /key/Ada/‹<coroutine object get_key at 0x7f3a5c0b2d30>›/${V}`],
  ["a method for a key (no parentheses), by a library", "key-object", 400, "the key is a printed object, not its text", `PUT /key/Ada/‹%3Cbound%20method%20HTTPResponse.read%20of%20%3Chttp.client.HTTPResponse%20object%20at%200x7f%3E%3E›/${V}`],
  ["key_val for a key", "key-placeholder", 400, "the placeholder `key_val` instead of the key", `PUT /key/Ada/‹key_val›/${V}`],
  ["key for a key", "key-placeholder", 400, "the placeholder `key` instead of the key", `PUT /key/Ada/‹key›/${V}`],
  ["<key_val>, sent by a library", "key-placeholder", 400, "the placeholder `<key_val>` instead of the key", `PUT /key/Ada/‹%3Ckey_val%3E›/${V}`],
  ["an array of bytes for a key (JavaScript)", "key-list", 400, "the key is a list of numbers", `PUT /key/Ada/‹${[...bytes(KEY)].join()}›/${V}`],
  ["a list of bytes for a key, as it is", "space-in-key", 400, "the key contains a space", `PUT /key/Ada/[${[...bytes(KEY)].join(", ")}]/${V}`],
  ["a list of one key", "key-in-list", 400, "the key is inside a list", `PUT /key/Ada/‹['${KEY}']›/${V}`],
  ["a tuple of one key", "key-in-list", 400, "the key is inside a list", `PUT /key/Ada/‹('${KEY}',)›/${V}`],
  ["JSON for a key", "key-json", 400, "the key is inside JSON", `PUT /key/Ada/‹{"key":"${KEY}"}›/${V}`],
  ["a key with its line end, sent by a library", "key-white-space", 400, "white space around the key", `PUT /key/Ada/‹${KEY}%0D%0A›/${V}`],
  ["a key with a space first, sent by a library", "key-white-space", 400, "white space around the key", `PUT /key/Ada/‹%20${KEY}›/${V}`],
  ["a key with a space behind it", "space-in-key", 400, "the key contains a space", `PUT /key/Ada/${KEY}‹ ›/${V}`],
  ["a key with a space before it", "space-in-key", 400, "the key contains a space", `PUT /key/Ada/‹ ›${KEY}/${V}`],
  ["hex() of a key", "key-hex-prefix", 400, "`0x` before the key", `PUT /key/Ada/‹0x›${KEY}/${V}`],
  ["a key quoted twice", "key-encoded-twice", 400, "the key is percent-encoded twice", `PUT /key/Ada/‹%2522${KEY}%2522›/${V}`],
  ["a key with an end of line, quoted twice", "key-encoded-twice", 400, "the key is percent-encoded twice", `PUT /key/Ada/‹${KEY}%250A›/${V}`],
  ["the insides of str() of bytes", "key-escapes", 400, "the key contains Python escapes such as `\\x4f`", `PUT /key/Ada/‹${"%5Cx9f%5Cx86%5Cxd0%5Cx81".repeat(16)}›/${V}`],
  ["key.hex()", "key-hex-twice", 400, "256 digits: the key is hex-encoded twice", `PUT /key/Ada/‹${[...bytes(KEY)].map((byte) => byte.toString(16)).join("")}›/${V}`],
  ["colons between the digits", "key-separators", 400, "separators between the digits of the key", `PUT /key/Ada/‹${KEY.replace(/..(?=.)/g, "$&:")}›/${V}`],
  ["spaces between the digits, sent by a library", "key-separators", 400, "separators between the digits of the key", `PUT /key/Ada/‹${KEY.replace(/.{8}(?=.)/g, "$&%20")}›/${V}`],
  ["hyphens as in a UUID", "key-separators", 400, "separators between the digits of the key", `PUT /key/Ada/‹${KEY.replace(/.{4}(?=.)/g, "$&-")}›/${V}`],
  ["bytes.fromhex() of a key, quoted", "key-raw-bytes", 400, "the key contains bytes that are not text", `PUT /key/Ada/‹${"%01%23Eg%89%AB%CD%EF".repeat(8)}›/${V}`],
  ["base64 of a key", "key-base64", 400, "the key is base64", `PUT /key/Ada/‹${btoa("\x01\x23\x45\x67\x89\xab\xcd\xef".repeat(8))}›/${V}`],
  ["recv(100)", "short-key", 400, "the key has 60 of 128 digits", `PUT /key/Ada/${KEY.slice(0, 60)}‹›/${V}`],
  ["SHA-256 of a key", "short-key", 400, "the key has 64 of 128 digits", `PUT /key/Ada/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855‹›/${V}`],
  ["two keys", "long-key", 400, "the key has 256 digits instead of 128", `PUT /key/Ada/‹${KEY}${KEY}›/${V}`],
  ["one digit too many", "long-key", 400, "the key has 129 digits instead of 128", `PUT /key/Ada/‹${KEY}0›/${V}`],
  ["OK for a key", "key-word", 400, "the key is `OK`, a word", `PUT /key/Ada/‹OK›/${V}`],
  ["a status for a key", "key-status", 400, "the key is `200`, a status code", `PUT /key/Ada/‹200›/${V}`],
  ["a letter O for a zero", "key-not-hex", 400, "`O` in the key is not a hex digit", `PUT /key/Ada/‹O›${KEY.slice(1)}/${V}`],
  ["the server's complaint for a key", "sentence-in-line", 400, "the key is an error message", `PUT /key/Ada/‹the path does not end in a slash›/${V}`],
  ["a message of Flask for a key", "sentence-in-line", 400, "the key is an error message", `PUT /key/Ada/‹404 Not Found: no such user›/${V}`],
  ["a list with spaces for a key", "space-in-key", 400, "the key contains a space", `PUT /key/Ada/[49,‹ ›50, 51]/${V}`],
  ["a word and a space for a key", "space-in-key", 400, "the key contains a space", `PUT /key/Ada/no‹ ›key/${V}`],
  ["the size of a chunk for a key", "tiny-key", 400, "the key is `3c`, not 128 digits", `PUT /key/Ada/‹3c›/${V}`],
  ["a short word of hex digits for a key", "tiny-key", 400, "the key is `Ada`, not 128 digits", `PUT /key/Ada/‹Ada›/${V}`],
  ["four digits for a key", "short-key", 400, "the key has 4 of 128 digits", `PUT /key/Ada/12ab‹›/${V}`],
  ["a key with the end of a bytes literal", "key-end-quote", 400, "closing quotation mark of b'...' after the key", `PUT /key/Ada/${KEY}‹'›/${V}`],
  ["a refusal of this server for a key", "sentence-in-line", 400, "the key is an error message", `PUT /key/Ada/‹no key issued to \`Ada\` at this IP address›\nhelp: send KEY first, with the same user id/${V}`],
  ["a refusal for a key, in a user id with a space", "sentence-in-line", 400, "the key is an error message", `PUT /key/Ada L/‹the path contains a space›\nhelp: KEY /user/Ada%20L/ HTTP/1.1/${V}`],
  ["a refusal for a key, quoted", "key-sentence", 400, "the key is an error message", `PUT /key/Ada/‹the%20path%20does%20not%20end%20with%20a%20slash%0Ahelp%3A%20KEY%20%2Fuser%2FAda%2F%20HTTP%2F1.1›/${V}`],
  ["a refusal for a key, quoted but for its slashes", "sentence-in-path", 404, "the key is an error message", `PUT /key/Ada/‹the%20path%20does%20not%20end%20with%20a%20slash›%0Ahelp%3A%20KEY%20/user/Ada/%20HTTP/1.1/${V}`],
  ["the server's complaint for a key, quoted", "key-sentence", 400, "the key is an error message", `PUT /key/Ada/‹the%20path%20does%20not%20end%20in%20a%20slash›/${V}`],

  // Fields
  ["no Host", "no-host", "warning", "no Host header; HTTP/1.1 requires one", `${L}‹›\r\n`],
  ["no Host, but another field", "no-host", "warning", "no Host header; HTTP/1.1 requires one", `${L}Connection: close\r\n‹›\r\n`],
  ["two Host fields", "two-hosts", "warning", "two Host headers; HTTP/1.1 requires one", `${L}${H}‹Host: 127.0.0.1:5000›\r\n\r\n`],
  ["no colon behind Host", "no-colon", 400, "no colon in a header line", `${L}‹Host 127.0.0.1›\r\n\r\n`],
  ["no colon behind Host, but one before the port", "no-colon", 400, "no colon in a header line", `${L}‹Host 127.0.0.1:5000›\r\n\r\n`],
  ["a semicolon for a colon", "no-colon", 400, "no colon in a header line", `${L}‹Host; 127.0.0.1›\r\n\r\n`],
  ["the body before the empty line", "no-colon", 400, "no colon in a header line", `${L}${H}‹Ada›\r\n\r\n`],
  ["JSON before the empty line", "body-in-head", 400, "body before the empty line", `${L}${H}‹{"›user_id": "Ada"}\r\n\r\n`],
  ["a comment among the fields", "no-colon", 400, "no colon in a header line", `${L}${H}‹# and so on›\r\n\r\n`],
  ["the address without Host:", "no-colon no-host", 400, "no colon in a header line", `${L}‹127.0.0.1›\r\n\r\n`],
  ["address and port without Host:", "no-host", "warning", "no Host header; HTTP/1.1 requires one", `${L}127.0.0.1:5000\r\n‹›\r\n`],
  ["= for a colon", "field-equals", 400, "`=` instead of `:` in a header", `${L}Host ‹=› localhost\r\n\r\n`],
  ["= for a colon, with a port", "field-equals", 400, "`=` instead of `:` in a header", `${L}Host‹=›127.0.0.1:5000\r\n\r\n`],
  ["a form before the empty line", "field-equals", 400, "`=` instead of `:` in a header", `${L}${H}user_id‹=›Ada\r\n\r\n`],
  ["a space before the colon", "space-before-colon", 400, "space before the colon", `${L}Host‹ ›: 127.0.0.1:5000\r\n\r\n`],
  ["no name", "no-field-name", 400, "no header name before the colon", `${L}${H}‹:› close\r\n\r\n`],
  ["a dict for the fields", "field-quoted", 400, "quotation marks around the header name", `${L}‹{'Host'›: '127.0.0.1:5000'}\r\n\r\n`],
  ["a quoted name", "field-quoted", 400, "quotation marks around the header name", `${L}‹"Host"›: "127.0.0.1:5000"\r\n\r\n`],
  ["a space in a name", "field-name", 400, "invalid header name", `${L}${H}‹User Agent›: mine\r\n\r\n`],
  ["a dash from a word processor in a name", "field-name", 400, "invalid header name", `${L}${H}‹${utf8("User–Agent")}›: mine\r\n\r\n`],
  ["a zero byte in a value (C)", "field-value", 400, "control character in the value of a header", `${L}Host: 127.0.0.1:5000‹\0›\r\n\r\n`],
  ["a color in a value", "field-value", 400, "control character in the value of a header", `${L}${H}User-Agent: ‹\x1b›[32mmine\x1b[0m\r\n\r\n`],
  ["another request before the end of this one", "second-request-line", 400, "second request line, but no empty line before it", `${L}${H}‹PUT /key/Ada/${KEY}/ HTTP/1.1›\r\n${H}${E}`],
  ["two request lines in one head", "second-request-line", 400, "second request line, but no empty line before it", `${L}${H}‹PUT /key/Ada/${KEY}/ HTTP/1.1›\r\n\r\n`],
  ["Hosts", "misspelt-field", "warning", "unknown header `Hosts`", `${L}‹Hosts›: 127.0.0.1:5000\r\n\r\n`],
  ["Content_Length", "misspelt-field", "warning", "unknown header `Content_Length`", `${L}${H}‹Content_Length›: 0\r\n\r\n`],
  ["Content-Lenght", "misspelt-field", "warning", "unknown header `Content-Lenght`", `${L}${H}‹Content-Lenght›: 0\r\n\r\n`],
  ["Conection", "misspelt-field", "warning", "unknown header `Conection`", `${L}${H}‹Conection›: close\r\n\r\n`],
  ["Hots", "misspelt-field", "warning", "unknown header `Hots`", `${L}‹Hots›: 127.0.0.1:5000\r\n\r\n`],
  ["Connections", "misspelt-field", "warning", "unknown header `Connections`", `${L}${H}‹Connections›: close\r\n\r\n`],
  ["an empty Host", "host-empty", "warning", "the Host header is empty", `${L}Host:‹› \r\n\r\n`],
  ["a URL for a Host", "host-scheme", "warning", "the Host header contains `http://`", `${L}Host: ‹http://›127.0.0.1:5000\r\n\r\n`],
  ["a URL with a path for a Host", "host-scheme", "warning", "the Host header contains `http://`", `${L}Host: ‹http://›127.0.0.1:5000/user/Ada/\r\n\r\n`],
  ["a path behind the Host", "host-path", "warning", "the Host header contains a path", `${L}Host: 127.0.0.1:5000‹/user/Ada/›\r\n\r\n`],
  ["a slash behind the Host", "host-path", "warning", "the Host header contains a path", `${L}Host: 127.0.0.1:5000‹/›\r\n\r\n`],
  ["an address as Python has it for a Host", "host-tuple", "warning", "the Host header is a Python tuple", `${L}Host: ‹('127.0.0.1', 5000)›\r\n\r\n`],
  ["a quoted Host", "host-tuple", "warning", "the Host header is a Python tuple", `${L}Host: ‹"127.0.0.1:5000"›\r\n\r\n`],
  ["a space for the colon before the port", "host-invalid", "warning", "the Host header is not a host name or IP address", `${L}Host: ‹127.0.0.1 5000›\r\n\r\n`],
  ["a placeholder for the Host", "host-invalid", "warning", "the Host header is not a host name or IP address", `${L}Host: ‹<host>:<port>›\r\n\r\n`],
  ["{host}:{port} without the f", "host-invalid", "warning", "the Host header is not a host name or IP address", `${L}Host: ‹{host}:{port}›\r\n\r\n`],
  ["a name for a port", "host-invalid", "warning", "the Host header is not a host name or IP address", `${L}Host: ‹localhost:port›\r\n\r\n`],
  ["Connection: closed", "connection-option", "warning", "unknown connection option `closed`", `${L}${H}Connection: ‹closed›\r\n\r\n`],
  ["Connection: Closing", "connection-option", "warning", "unknown connection option `Closing`", `${L}${H}Connection: ‹Closing›\r\n\r\n`],
  ["Connection: keep alive", "connection-option", "warning", "unknown connection option `keep alive`", `${L}${H}Connection: ‹keep alive›\r\n\r\n`],
  ["Connection: keepalive", "connection-option", "warning", "unknown connection option `keepalive`", `${L}${H}Connection: ‹keepalive›\r\n\r\n`],

  // Bodies
  ["a body", "body-ignored", "note", "body of 12 bytes, which this server ignores", `KEY /user/Ada/ HTTP/1.1\r\n${H}Content-Length: 12\r\n\r\n‹user_id: Ada›`],
  ["a body of JSON", "body-ignored", "note", "body of 18 bytes, which this server ignores", `KEY /user/Ada/ HTTP/1.1\r\n${H}Content-Type: application/json\r\nContent-Length: 18\r\n\r\n‹{"user_id": "Ada"}›`],
  ["a body in chunks", "body-ignored", "note", "body of 3 bytes, which this server ignores", `${L}${H}Transfer-Encoding: chunked\r\n\r\n‹3\r\nAda\r\n0\r\n\r\n›`],
  ["a body without a length", "bytes-behind", "warning", "3 bytes after the end of the request", `${L}${H}${E}‖‹Ada›`],
  ["a body longer than its length", "bytes-behind body-ignored", "warning", "4 bytes after the end of the request", `${L}${H}Content-Length: 3\r\n\r\nAda‖‹ Lov›`],
  ["a body shorter than its length", "body-incomplete", 400, "received only 3 of 5 bytes of the body", `${L}${H}‹Content-Length: 5›\r\n\r\nAda`],
  ["the length of a body that is none", "body-incomplete", 400, "received only 0 of 128 bytes of the body", `PUT /key/Ada/${KEY}/ HTTP/1.1\r\n${H}‹Content-Length: 128›\r\n\r\n`],
  ["a length of None", "length-not-a-number", 400, "Content-Length is not a number", `${L}${H}Content-Length: ‹None›\r\n\r\n`],
  ["an empty length", "length-not-a-number", 400, "Content-Length is not a number", `${L}${H}Content-Length:‹› \r\n\r\n`],
  ["a length below zero", "length-not-a-number", 400, "Content-Length is not a number", `${L}${H}Content-Length: ‹-1›\r\n\r\n`],
  ["a length with its unit", "length-not-a-number", 400, "Content-Length is not a number", `${L}${H}Content-Length: ‹3 bytes›\r\n\r\n‖Ada`],
  ["{len(body)} without the f", "length-not-a-number", 400, "Content-Length is not a number", `${L}${H}Content-Length: ‹{len(body)}›\r\n\r\n‖Ada`],
  ["two lengths", "two-lengths", 400, "two different Content-Length headers", `${L}${H}Content-Length: 0\r\nContent-Length: ‹3›\r\n\r\n‖Ada`],
  ["a length and chunks", "length-and-chunked", 400, "both Content-Length and Transfer-Encoding", `${L}${H}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n‖3\r\nAda\r\n0\r\n\r\n`],
  ["a compressed body", "unknown-coding", 400, "unknown Transfer-Encoding", `${L}${H}Transfer-Encoding: ‹gzip›\r\n\r\n‖\x1f\x8b\x08\0`],
  ["Transfer-Encoding: identity", "unknown-coding", 400, "unknown Transfer-Encoding", `${L}${H}Transfer-Encoding: ‹identity›\r\n\r\n`],
  ["UTF-8 for a transfer coding", "unknown-coding", 400, "unknown Transfer-Encoding", `${L}${H}Transfer-Encoding: ‹utf-8›\r\n\r\n`],
  ["chunks in HTTP/1.0", "unknown-coding http-1.0", 400, "unknown Transfer-Encoding", `KEY /user/Ada/ HTTP/1.0\r\n${H}Transfer-Encoding: ‹chunked›\r\n\r\n‖0\r\n\r\n`],
  ["no last chunk", "chunks-incomplete", 400, "no last chunk (8 bytes of body received)", `${L}${H}‹Transfer-Encoding: chunked›\r\n\r\n3\r\nAda\r\n`],
  ["a chunk's size in decimal digits", "chunks-incomplete", 400, "no last chunk (140 bytes of body received)", `PUT /key/Ada/${KEY}/ HTTP/1.1\r\n${H}‹Transfer-Encoding: chunked›\r\n\r\n128\r\n${KEY}\r\n0\r\n\r\n`],
  ["the field of chunks, and none", "chunks-incomplete", 400, "no last chunk (0 bytes of body received)", `${L}${H}‹Transfer-Encoding: chunked›\r\n\r\n`],
  ["the field of chunks, and a body without", "bad-chunk", 400, "invalid chunk", `${L}${H}Transfer-Encoding: chunked\r\n\r\n‹user_id=Ada\r\n›`],
  ["chunks with LF alone", "bad-chunk", 400, "invalid chunk", `${L}${H}Transfer-Encoding: chunked\r\n\r\n‹3\n›‖Ada\n0\n\n`],
  ["a chunk's size that is too small", "bad-chunk", 400, "invalid chunk", `${L}${H}Transfer-Encoding: chunked\r\n\r\n2\r\nAd‹a\r›‖\n0\r\n\r\n`],
  ["a file instead of a request", "too-large", 400, "the request is larger than 65536 bytes", `‹›GET /user/${"a".repeat(MAX_REQUEST_SIZE - 9)}‖aaa`],
  ["a body of a megabyte", "too-large", 400, "the request is larger than 65536 bytes", `‹›${L}${H}Content-Length: 1000000\r\n\r\n‖xxxxxxxx`],
  ["a chunk of a megabyte", "too-large", 400, "the request is larger than 65536 bytes", `‹›${L}${H}Transfer-Encoding: chunked\r\n\r\nf4240\r\n‖xxxxxxxx`],

  // What only people do who write a request by hand
  ["HTTP/1.0 without a User-Agent", "http-1.0", "note", "HTTP/1.0 instead of HTTP/1.1", "KEY /user/Ada/ ‹HTTP/1.0›\r\n\r\n"],
  ["HTTP/1.0 with Host", "http-1.0", "note", "HTTP/1.0 instead of HTTP/1.1", `PUT /key/Ada/${KEY}/ ‹HTTP/1.0›\r\n${H}${E}`],
  ["a whole URL without a User-Agent", "absolute-form", "note", "URL instead of a path in the request line", `KEY ‹http://127.0.0.1:5000›/user/Ada/${V}`],
  ["a whole URL and HTTP/1.0", "http-1.0 absolute-form", "note", "HTTP/1.0 instead of HTTP/1.1", "KEY HTTP://[::1]:5000/user/Ada/ ‹HTTP/1.0›\r\n\r\n"],
  ["a whole URL without its final slash", "no-final-slash absolute-form", 404, "the path does not end with a slash", `KEY http://127.0.0.1:5000/user/Ada‹›${V}`],

  // Several at once
  ["GET without a version", "no-version no-host", 400, "no version in the request line", "GET /user/Ada/‹›\r\n\r\n"],
  ["GET without a slash at the end", "no-final-slash", 404, "the path does not end with a slash", `GET /user/Ada‹›${V}`],
  ["no Host, and a path without its slash", "no-final-slash no-host", 404, "the path does not end with a slash", "KEY /user/Ada‹› HTTP/1.1\r\n\r\n"],
  ["a short key, no Host, LF alone", "short-key no-host lf-alone", 400, "the key has 29 of 128 digits", `PUT /key/Ada/${KEY.slice(99)}‹›/ HTTP/1.1\n\n`],
];

Deno.test.each(ROWS)("checkRequest() explains %s", (_, codes, verdict, fact, marked) => {
  const { wire, span } = unmark(marked);
  const remarks = checkRequest(wire);
  assertEquals(codesOf(remarks), codes);
  const [first] = remarks;
  assertEquals(first.fact, fact);
  assertEquals(first.status ?? first.severity, verdict);
  if (span) assertEquals([first.start, first.end], span);
});

// ---- No mistakes

const PUT = `PUT /key/Ada/${KEY}/ HTTP/1.1\r\n`;

// deno-fmt-ignore
const SOUND: [name: string, request: string][] = [
  // As these programs send it: captured, but for the port and the key
  ["curl -X KEY", `${L}${H}User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n`],
  ["curl -X PUT", `${PUT}${H}User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n`],
  ["curl -X PUT -d ''", `${PUT}${H}User-Agent: curl/7.88.1\r\nAccept: */*\r\nContent-Length: 0\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n`],
  ["curl --http2", `${L}${H}User-Agent: curl/7.88.1\r\nAccept: */*\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n`],
  ["curl --http1.0", `KEY /user/Ada/ HTTP/1.0\r\n${H}User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n`],
  ["curl -x, as to a proxy", "KEY http://example.com/user/Ada/ HTTP/1.1\r\nHost: example.com\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\nProxy-Connection: Keep-Alive\r\n\r\n"],
  ["wget --method=KEY", `${L}${H}User-Agent: Wget/1.21.3\r\nAccept: */*\r\nAccept-Encoding: identity\r\nConnection: Keep-Alive\r\n\r\n`],
  ["wget --method=PUT", `${PUT}${H}User-Agent: Wget/1.21.3\r\nAccept: */*\r\nAccept-Encoding: identity\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n`],
  ["Python's http.client", `${L}${H}Accept-Encoding: identity\r\n\r\n`],
  ["Python's http.client, PUT", `${PUT}${H}Accept-Encoding: identity\r\nContent-Length: 0\r\n\r\n`],
  ["Python's urllib", `${L}Accept-Encoding: identity\r\n${H}User-Agent: Python-urllib/3.11\r\nConnection: close\r\n\r\n`],
  ["Python's urllib, PUT", `${PUT}Accept-Encoding: identity\r\nContent-Length: 0\r\n${H}User-Agent: Python-urllib/3.11\r\nConnection: close\r\n\r\n`],
  ["urllib3", `${L}${H}Accept-Encoding: identity\r\nContent-Length: 0\r\nUser-Agent: python-urllib3/2.8.0\r\n\r\n`],
  ["requests", `${L}${H}User-Agent: python-requests/2.34.2\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n`],
  ["requests, PUT", `${PUT}${H}User-Agent: python-requests/2.34.2\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n`],
  ["httpx", `${L}${H}Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nUser-Agent: python-httpx/0.28.1\r\n\r\n`],
  ["httpx, PUT", `${PUT}${H}Content-Length: 0\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nUser-Agent: python-httpx/0.28.1\r\n\r\n`],
  ["aiohttp", `${L}${H}Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nUser-Agent: Python/3.11 aiohttp/3.14.3\r\nContent-Length: 0\r\n\r\n`],
  ["aiohttp, PUT", `${PUT}${H}Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nUser-Agent: Python/3.11 aiohttp/3.14.3\r\nContent-Length: 0\r\nContent-Type: application/octet-stream\r\n\r\n`],
  ["Node's fetch()", `${L}host: 127.0.0.1:5000\r\nconnection: keep-alive\r\naccept: */*\r\naccept-language: *\r\nsec-fetch-mode: cors\r\nuser-agent: node\r\naccept-encoding: gzip, deflate\r\n\r\n`],
  ["Node's fetch(), PUT", `${PUT}host: 127.0.0.1:5000\r\nconnection: keep-alive\r\naccept: */*\r\naccept-language: *\r\nsec-fetch-mode: cors\r\nuser-agent: node\r\naccept-encoding: gzip, deflate\r\ncontent-length: 0\r\n\r\n`],
  ["Node's http", `${L}${H}Connection: keep-alive\r\nContent-Length: 0\r\n\r\n`],
  ["Node's http, PUT", `${PUT}${H}Connection: keep-alive\r\nContent-Length: 0\r\n\r\n`],
  ["Node's http, PUT without an end()", `${PUT}${H}Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ["Deno's fetch()", `${L}accept: */*\r\naccept-language: *\r\nuser-agent: Deno/2.9.6\r\naccept-encoding: gzip,br\r\nhost: 127.0.0.1:5000\r\n\r\n`],
  ["Deno's fetch(), PUT", `${PUT}content-length: 0\r\naccept: */*\r\naccept-language: *\r\nuser-agent: Deno/2.9.6\r\naccept-encoding: gzip,br\r\nhost: 127.0.0.1:5000\r\n\r\n`],
  ["Ruby's Net::HTTP", `${L}Accept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3\r\nAccept: */*\r\nUser-Agent: Ruby\r\nConnection: close\r\n${H}\r\n`],
  ["Ruby's Net::HTTP, PUT", `${PUT}Accept-Encoding: gzip;q=1.0,deflate;q=0.6,identity;q=0.3\r\nAccept: */*\r\nUser-Agent: Ruby\r\nConnection: close\r\n${H}Content-Length: 0\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n`],
  ["Perl's HTTP::Tiny", `${L}${H}User-Agent: HTTP-Tiny/0.080\r\n\r\n`],
  ["Perl's HTTP::Tiny, PUT", `${PUT}${H}User-Agent: HTTP-Tiny/0.080\r\nContent-Length: 0\r\n\r\n`],
  ["PHP's file_get_contents()", `${L}${H}Connection: close\r\n\r\n`],
  ["PHP's file_get_contents(), PUT", `${PUT}${H}Connection: close\r\n\r\n`],
  ["Go's net/http", `${L}${H}User-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n`],
  ["Go's net/http, PUT", `${PUT}${H}User-Agent: Go-http-client/1.1\r\nContent-Length: 0\r\nAccept-Encoding: gzip\r\n\r\n`],
  ["Java's HttpClient", `${L}Connection: Upgrade, HTTP2-Settings\r\nContent-Length: 0\r\n${H}HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\nUpgrade: h2c\r\nUser-Agent: Java-http-client/17.0.15\r\n\r\n`],
  ["Java's HttpClient, PUT", `${PUT}Connection: Upgrade, HTTP2-Settings\r\nContent-Length: 0\r\n${H}HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\nUpgrade: h2c\r\nUser-Agent: Java-http-client/17.0.15\r\n\r\n`],
  ["Java's HttpURLConnection, PUT", `${PUT}User-Agent: Java/17.0.15\r\n${H}Accept: text/html, image/gif, image/jpeg, */*; q=0.2\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n`],
  ["our own client", `${L}${H}User-Agent: key_client\r\nAccept: */*\r\n\r\n`],
  ["our own client, PUT", `${PUT}${H}User-Agent: key_client\r\nAccept: */*\r\nContent-Length: 0\r\n\r\n`],

  // What else RFC 9112 has
  ["the least that there can be", `${L}Host: a\r\n\r\n`],
  ["the least that there can be, PUT", `${PUT}Host:\ta\r\n\r\n`],
  ["HTTP/1.0 without Host", "KEY /user/Ada/ HTTP/1.0\r\nUser-Agent: a\r\n\r\n"],
  ["HTTP/1.0 without Host, PUT", `PUT /key/Ada/${KEY}/ HTTP/1.0\r\nUser-Agent: a\r\n\r\n`],
  ["HTTP/1.0 with keep-alive", "KEY /user/Ada/ HTTP/1.0\r\nConnection: keep-alive\r\nUser-Agent: a\r\n\r\n"],
  ["no space behind a colon", `${L}Host:127.0.0.1:5000\r\nConnection:close\r\n\r\n`],
  ["spaces around a value", `${L}Host: \t 127.0.0.1:5000 \t\r\n\r\n`],
  ["an empty value", `${L}${H}Accept:\r\nX-Nothing: \r\n\r\n`],
  ["names in capitals", `${L}HOST: 127.0.0.1:5000\r\nCONNECTION: CLOSE\r\n\r\n`],
  ["bytes above 0x7f in a value", `${L}${H}User-Agent: \xe9\xff\x80\r\n\r\n`],
  ["colons, quotes and the like in a value", `${L}${H}User-Agent: a:b "c" (d; e) {f} <g> = \\h %41\r\n\r\n`],
  ["odd names of fields", `${L}${H}!#$%&'*+.^_\`|~9: a\r\n\r\n`],
  ["several options of a connection", `${L}${H}Connection: keep-alive, Upgrade\r\nConnection: close\r\n\r\n`],
  ["the same length twice", `${PUT}${H}Content-Length: 0\r\nContent-Length: 0\r\n\r\n`],
  ["a wait for 100", `${PUT}${H}Expect: 100-continue\r\nContent-Length: 0\r\n\r\n`],
  ["an empty body in chunks", `${PUT}${H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ["an empty body in chunks, in capitals", `${L}${H}transfer-encoding: Chunked\r\n\r\n000\r\n\r\n`],
  ["an extension and a trailer", `${L}${H}Transfer-Encoding: chunked\r\n\r\n0;a="b c"\r\nA: b\r\nC: d\r\n\r\n`],
  ["localhost", `${L}Host: localhost:5000\r\n\r\n`],
  ["a name with an underscore", `${L}Host: ada_pc\r\n\r\n`],
  ["a name with hyphens and dots", `${L}Host: key-server.example.com.:80\r\n\r\n`],
  ["an IPv6 Host", `${L}Host: [::1]:5000\r\n\r\n`],
  ["an IPv6 Host with a zone", `${L}Host: [fe80::1%25eth0]\r\n\r\n`],
  ["an IPv4 address in IPv6", `${PUT}Host: [::ffff:127.0.0.1]:5000\r\n\r\n`],
  ["an empty port", `${L}Host: 127.0.0.1:\r\n\r\n`],
  ["a whole URL", `KEY http://127.0.0.1:5000/user/Ada/ HTTP/1.1\r\n${H}User-Agent: a\r\n\r\n`],
  ["a whole URL, PUT", `PUT http://localhost:5000/key/Ada/${KEY}/ HTTP/1.1\r\n${H}User-Agent: a\r\n\r\n`],
  ["a whole URL with IPv6", "KEY HTTP://[::1]:5000/user/Ada/ HTTP/1.1\r\nHost: [::1]:5000\r\nUser-Agent: a\r\n\r\n"],
  ["a whole URL of https", `KEY https://example.com/user/Ada/ HTTP/1.1\r\nHost: example.com\r\nUser-Agent: a\r\n\r\n`],
  ["a percent-encoded space", `KEY /user/Ada%20Lovelace/${V}`],
  ["percent-encoded UTF-8", `KEY /user/%C3%A9lodie%20%F0%9F%98%80/${V}`],
  ["percent-encoded UTF-8, in small letters", `PUT /key/%c3%a9lodie/${KEY}/${V}`],
  ["a percent-encoded slash", `KEY /user/Ada%2FLovelace/${V}`],
  ["a percent-encoded slash, PUT", `PUT /key/Ada%2FLovelace/${KEY}/${V}`],
  ["a percent-encoded percent sign", `KEY /user/100%25/${V}`],
  ["percent-encoded brackets within", `KEY /user/a%3Cb%3E/${V}`],
  ["each character that may stand in a path", `KEY /user/azAZ09-._~!$&'()*+,;=:@/${V}`],
  ["a mail address", `KEY /user/ada@example.com/${V}`],
  ["an apostrophe", `KEY /user/O'Neil/${V}`],
  ["an apostrophe behind a b", `KEY /user/B'Elanna/${V}`],
  ["a number", `KEY /user/0/${V}`],
  ["a name like a path", `KEY /user/user/${V}`],
  ["a name like a path, PUT", `PUT /key/key/${KEY}/${V}`],
  ["a name like a method", `KEY /user/PUT/${V}`],
  ["a name that begins like a fault", `KEY /user/NoneSuch/${V}`],
  ["a user id of hex digits", `KEY /user/0123456789abcdef/${V}`],
  ["a user id of 256 bytes", `KEY /user/${"a".repeat(256)}/${V}`],
  ["a user id of 256 bytes, encoded", `KEY /user/${"%C3%A9".repeat(128)}/${V}`],
  ["a key in capitals", `PUT /key/Ada/${KEY.toUpperCase()}/${V}`],
  ["a key of zeros", `PUT /key/Ada/${"0".repeat(128)}/${V}`],
  ["a key of the hex of digits", `PUT /key/Ada/${"30".repeat(64)}/${V}`],
  ["another request behind it", `${L}${H}${E}‖${PUT}${H}${E}`],
  ["a piece of another request behind it", `${L}${H}${E}‖PU`],
  ["another request behind an empty body in chunks", `${PUT}${H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n‖${L}${H}${E}`],
];

Deno.test.each(SOUND)("checkRequest() has nothing to say: %s", (_, marked) => {
  assertEquals(checkRequest(unmark(marked).wire), []);
});

Deno.test("RequestReader tells what a request is", () => {
  const read = (text: string) => {
    const request = new RequestReader().read(bytes(text))!;
    const { method, target, allow, userId, userSpan, key, keySpan, size } = request;
    const { isPersistent, expectsContinue, error } = request;
    return {
      ...{ method, target, allow, userId, user: text.slice(...userSpan), key, error, size },
      ...{ sentKey: text.slice(...keySpan), isPersistent, expectsContinue },
    };
  };
  const nothing = { error: undefined, expectsContinue: false, isPersistent: true };
  const ask = `KEY http://[::1]:5000/user/Ada%20%C3%89/${V}`;
  assertEquals(read(`${ask}KEY`), {
    ...nothing,
    method: "KEY",
    target: "http://[::1]:5000/user/Ada%20%C3%89/",
    allow: "KEY",
    userId: "Ada É",
    user: "Ada%20%C3%89",
    key: undefined,
    sentKey: "",
    size: ask.length,
  });
  const give =
    `${PUT}${H}Expect: 100-Continue\r\nConnection: Close\r\nContent-Length: 3\r\n\r\nabc`;
  assertEquals(read(give), {
    ...nothing,
    method: "PUT",
    target: `/key/Ada/${KEY}/`,
    allow: "PUT",
    userId: "Ada",
    user: "Ada",
    key: KEY,
    sentKey: KEY,
    isPersistent: false,
    expectsContinue: true,
    size: give.length,
  });
  assertEquals(read(`GET /user/Ada/${V}`).error?.code, "method-get");
  assertEquals(read("KEY /user/Ada/ HTTP/1.0\r\n\r\n").isPersistent, false);
  assertEquals(
    read("KEY /user/Ada/ HTTP/1.0\r\nConnection: a, Keep-Alive\r\n\r\n").isPersistent,
    true,
  );
  assertEquals(read(`${L}${H}${E}bytes behind it`).isPersistent, false);
  assertEquals(read(`KEY /user/Ada/\r\n${H}${E}`).isPersistent, false);
});

// ---- Byte by byte

const WIRES = [...ROWS.map((row) => [row[0], row.at(-1)] as [string, string]), ...SOUND];

Deno.test.each(WIRES)("RequestReader says the same byte by byte: %s", (_, marked) => {
  const { wire, settled } = unmark(marked);
  const slow = readSlowly(wire);
  assertEquals(slow.remarks, ofRequest(checkRequest(wire)));
  assertEquals(slow.size, settled);
  if (settled < wire.length) return;
  assertEquals(new RequestReader().read(wire) !== undefined, slow.isDone);
});

// ---- The table

/** Those that need memory of keys, a connection, or the address of the server. */
const OF_THE_SERVER = [
  "other-host",
  ...["no-key-issued", "wrong-key", "old-key", "key-of-another", "key-from-another-address"],
  ...[
    "key-case",
    "key-start",
    "key-end",
    "key-part",
    "still-open",
    "idle",
    "reset",
    "late-request",
    "gone",
    "kept-open",
    "crowded",
    "nothing-yet",
  ],
];

Deno.test("checkRequest() points at the right byte of a long request", () => {
  const fields = `A: ${"a".repeat(998)}\r\n`.repeat(40);
  const wire = `${L}${H}${fields}No colon\r\n\r\n`;
  const [{ code, start, end }] = checkRequest(bytes(wire));
  assertEquals([code, wire.slice(start, end)], ["no-colon", "No colon"]);
});

Deno.test("checkRequest() says each thing once", () => {
  const remarks = checkRequest(bytes(`${L}${"no colon\n\tindented\n".repeat(2000)}\r\n`));
  assertEquals(codesOf(remarks), "no-colon indented-field no-host lf-alone");
  assertEquals(remarks[0].start, L.length); // where it is first
});

Deno.test("RULES is covered by the rows above, code by code", () => {
  const codes = Object.values(RULES).flatMap((rules) => rules.map(([code]) => code as string));
  const seen = new Set(ROWS.flatMap(([, codes]) => codes.split(" ")));
  const missing = codes.filter((code) => !seen.has(code));
  assertEquals(missing.toSorted(), OF_THE_SERVER.toSorted());
});

Deno.test("RULES says the same wherever it has the same code", () => {
  const texts = new Map<string, unknown>();
  for (const [code, verdict, , fact, help] of Object.values(RULES).flat()) {
    assertEquals([verdict, fact, help], texts.get(code) ?? [verdict, fact, help], code);
    texts.set(code, [verdict, fact, help]);
  }
});

Deno.test("RULES has facts of at most 60 characters, and a help for each", () => {
  const about = {
    ...{ size: 100, partSize: 100, allow: "KEY", came: 65536, length: 65536, seconds: 10 },
    ...{ owner: "o".repeat(20), host: "127.0.0.1:50000" },
  };
  for (const [code, , , ...texts] of Object.values(RULES).flat()) {
    const found = code === "method-case" ? "Key" : "f".repeat(20);
    const [fact, help] = texts.filter((text) => text !== undefined).map((text) =>
      typeof text === "string" ? text : text(found, about)
    );
    assert(fact.length <= 60, `${code}: ${fact.length} characters`);
    assertMatch(fact, /^(?![A-Z][a-z]+ )[\x20-\x7e]+[^.\s]$/, code);
    assertMatch(help, /^(?![A-Z][a-z]+ )[\x20-\x7e]+[^.\s]$/, code);
    assertEquals(/undefined|NaN/.test((fact + help).replace(/`[^`]*`/g, "")), false, code);
  }
});

// ---- Refusals that come back as keys

/** The bodies of all refusals: of the rows above, and of those that only the server can say. */
const REFUSALS: [code: string, body: string][] = [
  ...ROWS.flatMap((row) => checkRequest(unmark(row[4]).wire)),
  ...RULES.whole.map(([code]) =>
    remarkOf(code, 0, 0, "Ada", { owner: "Bob", came: 9, length: 60 })
  ),
].filter(({ severity }) => severity === "error")
  .map(({ code, fact, help, fix }) => [code, `${fact}\nhelp: ${fix ?? help}`]);

const quote = (text: string) => encodeURIComponent(text).replaceAll("%2F", "/");

/** How a client puts it into the path, and the codes that this may get. */
const WAYS: [name: string, codes: string[], path: (body: string) => string][] = [
  ["as it is", ["sentence-in-line"], (body) => body],
  ["percent-encoded", ["key-sentence"], encodeURIComponent],
  ["percent-encoded but for slashes", ["key-sentence", "sentence-in-path"], quote],
  ["encoded as in a form", ["key-sentence"], (body) => `${new URLSearchParams({ body })}`.slice(5)],
];

Deno.test.each(WAYS)("checkRequest() recognises a refusal for a key: %s", (_, codes, path) => {
  const errors = Object.values(RULES).flat().filter(([, verdict]) => typeof verdict === "number");
  const wrong = new Map<string, string>();
  for (const [code, body] of REFUSALS) {
    const [remark] = checkRequest(bytes(`PUT /key/Ada/${path(body)}/${V}`));
    if (!codes.includes(remark?.code)) wrong.set(code, `${remark?.code} of ${body}`);
  }
  assertEquals(new Set(REFUSALS.map(([code]) => code)), new Set(errors.map(([code]) => code)));
  assertEquals(wrong, new Map());
});

/** Requests, and the lines as they should be. */
const FIXES: [request: string, code: string, fix: string | undefined][] = [
  ["KEY /user/Ada HTTP/1.1\r\n\r\n", "no-final-slash", "KEY /user/Ada/ HTTP/1.1"],
  ["KEY /user/Ada L/ HTTP/1.1\r\n\r\n", "space-in-path", "KEY /user/Ada%20L/ HTTP/1.1"],
  ["key /user/Ada/ HTTP/1.1\r\n\r\n", "method-case", "KEY /user/Ada/ HTTP/1.1"],
  ["KEY  /user/Ada/ HTTP/1.1\r\n\r\n", "two-spaces", "KEY /user/Ada/ HTTP/1.1"],
  ["KEY /user/Ada/ http/1.1\r\n\r\n", "version-case", "KEY /user/Ada/ HTTP/1.1"],
  ["KEY /user/Ada/\r\n\r\n", "no-version", "KEY /user/Ada/ HTTP/1.1"],
  ["KEY/user/Ada/ HTTP/1.1\r\n\r\n", "no-space", "KEY /user/Ada/ HTTP/1.1"],
  ["GET /user/Ada/ HTTP/1.1\r\n\r\n", "method-get", "KEY /user/Ada/ HTTP/1.1"],
  ["KEY /users/Ada/ HTTP/1.1\r\n\r\n", "path-plural", "KEY /user/Ada/ HTTP/1.1"],
  ["KEY /user/Ada\r\n/ HTTP/1.1\r\n\r\n", "line-end-in-path", "KEY /user/Ada/ HTTP/1.1"],
  [`${L}Host : a\r\n\r\n`, "space-before-colon", "Host: a"],
  [`${L}Host= a\r\n\r\n`, "field-equals", "Host: a"],
  [`KEY 127.0.0.1:5000 /user/Ada/${V}`, "address-in-line", "KEY /user/Ada/ HTTP/1.1"],
  ["KEY /user/Ada/ HTTP/1.0\r\n\r\n", "http-1.0", "KEY /user/Ada/ HTTP/1.1"],
  [`KEY http://a/user/Ada/${V}`, "absolute-form", "KEY /user/Ada/ HTTP/1.1"],
  [`KEY /user/Ada/?a=b${V}`, "query", "KEY /user/Ada/ HTTP/1.1"],
  [`${L}Host: \r\n\r\n`, "host-empty", "Host: 127.0.0.1:5000"],
  [
    `PUT /key/Ada/${KEY} HTTP/1.1\r\n\r\n`,
    "no-final-slash",
    `PUT /key/Ada/${KEY.slice(0, 6)}...${KEY.slice(-4)}/ HTTP/1.1`,
  ],
  ["KEY /user/Ada\x01 HTTP/1.1\r\n\r\n", "control-character", undefined],
  [`KEY /user/${"%C3%A9".repeat(99)} HTTP/1.1\r\n\r\n`, "no-final-slash", undefined], // too long
  // What else is wrong with the line would stay wrong:
  ["KEY /user/Ada King L/ HTTP/1.1\r\n\r\n", "space-in-path", undefined],
  [`CONNECT 127.0.0.1:5000${V}`, "no-scheme", undefined],
  ["KEY /user/<user_id>/ http/1.1\r\n\r\n", "version-case", undefined],
  ["PUT /key/Ada/None HTTP/1.1\r\n\r\n", "no-final-slash", undefined],
  [`PUT /key/Ada/"${KEY}"/${V}`, "key-quoted", undefined],
  [`${L}: a\r\n\r\n`, "no-field-name", undefined],
  ["KEY /user/\xff HTTP/1.1\r\n\r\n", "no-final-slash", undefined], // nobody could type it
];

Deno.test.each(FIXES)("checkRequest() corrects the line %j", (request, code, fix) => {
  const remark = checkRequest(bytes(request)).find((remark) => remark.code === code)!;
  assertEquals(remark.fix, fix);
});

Deno.test("checkRequest() names the address of the server", () => {
  const host = "192.0.2.7:6000";
  const [remark] = checkRequest(bytes(`${L}\r\n`), { host });
  assertEquals(remark.help, "add this line: Host: 192.0.2.7:6000");
  const foreign = checkRequest(bytes(`${L}${H}\r\n`), { host });
  assertEquals(codesOf(foreign), "other-host");
  assertEquals(foreign[0].fix, "Host: 192.0.2.7:6000");
  assertEquals(checkRequest(bytes(`${L}Host: localhost:6000\r\n\r\n`), { host }), []);
  assertEquals(checkRequest(bytes(`${L}${H}User-Agent: a\r\n\r\n`), { host }), []);
});

// ---- Messages that are safe to show

const HARMFUL = [
  ...["\0", "\t", "\x1b", "\x1b[31m", "\x1b]0;x\x07", "\b", "\x7f", "\x9b", "\x85", "\xad", "\xff"],
  ...["\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "\u0600", "\ud800"].map(utf8),
  ...["%1B", "%0A", "%E2%80%AE", "%zz", "a", "\\", "<", "'", ":", "/", " ", "\r", "\n", "\r\n"],
];

// deno-fmt-ignore
const PLACES: [name: string, request: (text: string) => string][] = [
  ["the whole", (text) => text],
  ["the method", (text) => `${text} /user/Ada/${V}`],
  ["the method, behind KEY", (text) => `KEY${text} /user/Ada/${V}`],
  ["the target", (text) => `KEY ${text}${V}`],
  ["the path", (text) => `KEY /${text}/Ada/${V}`],
  ["the path, in other letters", (text) => `KEY /USER${text}/Ada/${V}`],
  ["the user id", (text) => `KEY /user/${text}/${V}`],
  ["the user id, in part", (text) => `KEY /user/Ada${text}/${V}`],
  ["a placeholder", (text) => `KEY /user/<user_id${text}>/${V}`],
  ["a fragment", (text) => `KEY /user/Ada#${text}/${V}`],
  ["a query", (text) => `KEY /user/Ada/?${text}${V}`],
  ["the user id of PUT", (text) => `PUT /key/${text}/${KEY}/${V}`],
  ["the key", (text) => `PUT /key/Ada/${text}/${V}`],
  ["the key, in part", (text) => `PUT /key/Ada/${KEY}${text}/${V}`],
  ["the version", (text) => `KEY /user/Ada/ HTTP/${text}\r\n${H}${E}`],
  ["the name of a field", (text) => `${L}${H}${text}: a\r\n\r\n`],
  ["the name of a field, in part", (text) => `${L}${H}Hosts${text}: a\r\n\r\n`],
  ["the value of a field", (text) => `${L}${H}A: ${text}\r\n\r\n`],
  ["Host", (text) => `${L}Host: ${text}\r\n\r\n`],
  ["Host, behind a scheme", (text) => `${L}Host: ${text}://a\r\n\r\n`],
  ["Connection", (text) => `${L}${H}Connection: ${text}\r\n\r\n`],
  ["Content-Length", (text) => `${L}${H}Content-Length: ${text}\r\n\r\n`],
  ["Transfer-Encoding", (text) => `${L}${H}Transfer-Encoding: ${text}\r\n\r\n`],
  ["a chunk", (text) => `${L}${H}Transfer-Encoding: chunked\r\n\r\n${text}\r\n`],
  ["what comes behind", (text) => `${L}${H}${E}${text}`],
];

/** One line of characters that do nothing but stand there, and not too many of them. */
function assertHarmless({ fact, help, fix = "-" }: Remark, where: string): void {
  assert(fact.length <= 60, `${where}: ${fact.length} characters: ${fact}`);
  for (const text of [fact, help, fix]) assertHarmlessText(text, where);
}

function assertHarmlessText(message: string, where: string): void {
  assertMatch(message, /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+$/u, where);
  assert(message.length <= 450, `${where}: ${message.length} characters: ${message}`);
}

Deno.test.each(PLACES)("checkRequest() has harmless texts, whatever is in %s", (_, request) => {
  for (const text of HARMFUL) {
    const isLong = ["a", " ", "\x1b", "%1B", "\r\n"].includes(text);
    for (const size of isLong ? [1, 100, 5000, 100_000] : [1, 100]) {
      const times = Math.ceil(size / text.length);
      const wire = bytes(request(text.repeat(times)));
      for (const remark of checkRequest(wire)) {
        assertHarmless(remark, `${remark.code} of ${times} ${JSON.stringify(text)}`);
      }
    }
  }
});

Deno.test("remarkOf() has harmless texts, whatever a user is called", () => {
  for (
    const text of ["\0", "\x1b[31m", "\r\n", "\x9b", "\u202e", "\u2028", "\u{e0001}", "😀", "é"]
  ) {
    for (const name of [text, text.repeat(1000)]) {
      for (const [code] of RULES.whole) {
        const about = { came: 1, length: 2, seconds: 3, owner: name };
        assertHarmless(
          remarkOf(code, 0, 0, name, about),
          `${code} of ${JSON.stringify(name.slice(0, 9))}`,
        );
      }
    }
  }
});

// ---- Fuzz

// deno-fmt-ignore
const MUTANTS = [
  "\r", "\n", "\r\n", "\r\n\r\n", "\0", " ", "\t", "/", "?", "#", "%", ":", ",", "'", "b'", "<", "\\",
  "\\r\\n", "0", "80", "a", "KEY", "PUT", " HTTP/1.1", "http", "user", "\xff", "\xc3\xa9", "\xfe",
  KEY, H, "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Connection: closed\r\n",
];

/** A head that nothing is to be said about: written anew, and so as not to follow the code. */
const STRICT_HEAD = new RegExp(
  [
    /^(?:KEY(?= [^ ]*\/user\/[^/]+\/ )|PUT(?= [^ ]*\/key\/[^/]+\/(?:[\da-fA-F]|%[346]\d){128}\/ ))/,
    / (?:[hH][tT][tT][pP][sS]?:\/\/[!-"$-.0->@-~\x80-\xff]+)?/,
    /(?:\/(?:[\w.~!$&'()*+,;=:@-]|%[\da-fA-F]{2})+){2,3}\/ HTTP\/1\.\d\r\n/,
    /(?:[\w!#$%&'*+.^`|~-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n/,
  ].map(({ source }) => source).join(""),
);

/** Whether a request is beyond hope before its head ends: there is no telling what else comes. */
const isHopeless = ([first]: readonly Remark[]) =>
  ["tls", "utf-16", "nul", "bytes-literal", "quoted", "literal-line-end", "slash-line-end"]
    .concat("bare-cr", "too-large").includes(first?.code);

Deno.test(`${FUZZ_ROUNDS} mutated requests are explained, whole and byte by byte`, () => {
  const next = random(1);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)];
  const seeds = SOUND.map(([, marked]) => marked.replace(MARKS, ""));
  for (let round = 0; round < FUZZ_ROUNDS; round++) {
    let text = pick(seeds);
    for (let times = Math.ceil(next() * 3); times > 0; times--) {
      const at = Math.floor(next() * (text.length + 1));
      const count = Math.ceil(next() * 4);
      const [before, some, behind] = [
        text.slice(0, at),
        text.slice(at, at + count),
        text.slice(at),
      ];
      text = pick([
        () => before + pick(MUTANTS) + behind,
        () => before + behind.slice(count),
        () => before + pick(MUTANTS) + behind.slice(count),
        () => before + String.fromCharCode(Math.floor(next() * 256)) + behind.slice(1),
        () => before + some + behind,
        () => before,
      ])();
    }
    const wire = bytes(text);
    const where = `seed 1, round ${round}: ${JSON.stringify(text)}`;
    const remarks = checkRequest(wire);
    for (const remark of remarks) {
      const { severity, status, start, end, code } = remark;
      assert(0 <= start && start <= end && end <= wire.length, `${code} ${start}-${end} ${where}`);
      assertEquals(severity === "error", [400, 404, 405].includes(status!), where);
      assertEquals(severity === "error", status !== undefined, where);
      assertHarmless(remark, where);
    }
    const ranks = remarks.map(({ severity }) => ["error", "warning", "note"].indexOf(severity));
    assertEquals(ranks, ranks.toSorted(), where);
    if (!STRICT_HEAD.test(text)) assert(remarks.length > 0, where);
    const slow = readSlowly(wire);
    assertEquals(slow.remarks, ofRequest(checkRequest(wire.subarray(0, slow.size))), where);
    if (!isHopeless(slow.remarks)) assertEquals(slow.remarks, ofRequest(remarks), where);
  }
});
