import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
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
 * The codes of all the remarks, and of the first one: its status or severity, a part of its message,
 * and, by marks in the request, what it points at.
 */
type Row = [
  name: string,
  codes: string,
  verdict: 400 | 404 | 405 | "warning" | "note",
  piece: string,
  request: string,
];

// deno-fmt-ignore
const ROWS: Row[] = [
  // What is no HTTP at all, and how text becomes bytes
  ["https:// instead of http://", "tls", 400, "`http://`, not `https://`", "‹\x16\x03›\x01\x02‖\0\x01\0\x01\xfc\x03\x03\x8f\x1a\r\n\xd1\x9b"],
  ["HTTP/2 without asking", "http2", 400, "`--http1.1`", "‹PRI *›‖ HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64"],
  ["encode('utf-16')", "utf-16", 400, "`.encode()`, which is UTF-8", `‹\xff\xfe›K\0‖${utf16(`${L}${H}${E}`.slice(1))}`],
  ["encode('utf-16-le')", "utf-16", 400, "`.encode()`, which is UTF-8", `‹K\0E\0›‖${utf16(`Y /user/Ada/${V}`)}`],
  ["encode('utf-16-be')", "utf-16", 400, "`.encode()`, which is UTF-8", `‹\0K\0E›‖\0Y\0 \0/\0u\0s\0e\0r\0/\0A\0d\0a\0/\0 \0H\0T\0T\0P\0/\x001\0.\x001\0\r\0\n\0\r\0\n`],
  ["UTF-16 with a mark, big-endian", "utf-16", 400, "`.encode()`, which is UTF-8", "‹\xfe\xff›\0K‖\0E\0Y\0 \0/\0u\0s\0e\0r\0/\0A\0d\0a\0/"],
  ["encode('utf-32')", "utf-16", 400, "zero byte", "‹\xff\xfe›\0\0‖K\0\0\0E\0\0\0Y\0\0\0 \0\0\0/\0\0\0"],
  ["its length before it, in two bytes (Java: writeUTF)", "nul", 400, "without its length before it", `‹\0›\x1bKE‖${L.slice(2)}${E}`],
  ["its length before it, in four bytes", "nul", 400, "without its length before it", `‹\0\0\0›\x1b‖${L}${E}`],
  ["its length before it, which looks like a character", "nul", 400, "without its length before it", `‹\0›1KE‖${L.slice(2)}${H}${E}`],
  ["its length before it, the other way round", "nul", 400, "without its length before it", `1‹\0\0\0›‖${L}${H}${E}`],
  ["encode('utf-8-sig')", "byte-order-mark", 400, "not `utf-8-sig`", `‹\xef\xbb\xbf›${L}${H}${E}`],
  ["pickle.dumps()", "pickle", 400, "pickled object", `‹\x80\x04›\x95\x35‖\0\0\0\0\0\0\0\x8c\x31KEY /user/Ada/${V}\x94.`],
  ["telnet's options before it (PuTTY)", "telnet", 400, "PuTTY in raw mode", `‹\xff\xfb\x1f›\xff\xfb\x20\xff\xfb\x18\xff\xfd\x03KEY /user/Ada/${V}`],
  ["str() of bytes", "bytes-literal", 400, "send the bytes as they are", "‹b›'KE‖Y /user/Ada/ HTTP/1.1\\r\\nHost: 127.0.0.1:5000\\r\\n\\r\\n'"],
  ["str() of bytes with quotes in them", "bytes-literal", 400, "`.decode()`", `‹b›"KE‖Y /user/O'Neil/ HTTP/1.1\\r\\nHost: 127.0.0.1:5000\\r\\n\\r\\n"`],
  ["bytes in an f-string, line ends outside of them", "bytes-literal", 400, "`.decode()`", `‹b›'KE‖Y /user/Ada/ HTTP/1.1'\r\n${H}${E}`],
  ["repr() of a text", "quoted", 400, "without the marks around it", "‹'›KEY‖ /user/Ada/ HTTP/1.1\\r\\nHost: 127.0.0.1:5000\\r\\n\\r\\n'"],
  ["json.dumps() of a text", "quoted", 400, "without the marks around it", '‹"›KEY‖ /user/Ada/ HTTP/1.1\\r\\nHost: 127.0.0.1:5000\\r\\n\\r\\n"'],
  ["quotes of the shell sent along (Windows: echo)", "quoted", 400, "without the marks around it", '‹"›KEY‖ /user/Ada/ HTTP/1.1"\r\n'],
  ["a quoted request line", "quoted", 400, "without the marks around it", `‹'›KEY‖ /user/Ada/ HTTP/1.1'\r\n${H}${E}`],
  ["JSON instead of HTTP", "data-first", 400, "looks like data", '‹{›"me‖thod": "KEY", "user_id": "Ada"}'],
  ["a list of the parts", "data-first", 400, "looks like data", "‹[›'KE‖Y', '/user/Ada/', 'HTTP/1.1']"],
  ["the user id alone", "no-request-line", 400, "the first line is method, path and version", "‹Ada›"],
  ["an SSH client", "no-request-line", 400, "no request line", "‹SSH-2.0-OpenSSH_9.2p1›\r\n"],
  ["a greeting", "no-request-line", 400, "the first line is method, path and version", "‹hello›\r\n\r\n"],
  ["FTP", "no-empty-line no-version", 400, "no empty line yet", "USER Ada\r\n‹›"],
  ["a Cyrillic letter in the method", "method-name", 400, "it is `KEY` or `PUT`", `‹${utf8("К")}EY› /user/Ada/${V}`],

  // Line ends
  ["a raw string", "literal-line-end", 400, "raw string", "KEY /user/Ada/ HTTP/1.1‹\\r\\n›Host: 127.0.0.1:5000\\r\\n\\r\\n"],
  ["a raw string without Host", "literal-line-end", 400, "doubled backslash", "KEY /user/Ada/ HTTP/1.1‹\\r\\n›\\r\\n"],
  ["a raw string with \\n alone", "literal-line-end", 400, "`\\n` stand in the request", "KEY /user/Ada/ HTTP/1.1‹\\n›Host: 127.0.0.1:5000\\n\\n"],
  ["echo without -e", "literal-line-end", 400, "stand in the request", "KEY /user/Ada/ HTTP/1.1‹\\r\\n›Host: 127.0.0.1:5000\\r\\n\\r\\n‖\n"],
  ["echo without -e, in pieces", "literal-line-end", 400, "stand in the request", "KEY /user/Ada/ HTTP/1.1‹\\r\\n›Host: 127.0.0.1:5000\\r\\n\n"],
  ["a raw string for the first line only", "literal-line-end", 400, "raw string", "KEY /user/Ada/ HTTP/1.1‹\\r\\n›Host: 127.0.0.1:5000\r\n\r\n"],
  ["a raw string for the first line only, Host in another", "literal-line-end", 400, "raw string", `KEY /user/Ada/ HTTP/1.1‹\\r\\n›\r\n${H}${E}`],
  ["a raw string for Host only", "literal-line-end", 400, "raw string", `${L}Host: 127.0.0.1:5000‹\\r\\n›\\r\\n`],
  ["a raw string for one field of several", "value-line-end", "warning", "raw string", `${L}${H}Connection: close‹\\r\\n›\r\n\r\n`],
  ["a raw string between two fields", "value-line-end", "warning", "raw string", `${L}Host: 127.0.0.1:5000‹\\r\\n›Connection: close\r\n\r\n`],
  ["\\n in a field, with a backslash", "value-line-end", "warning", "raw string", `${L}User-Agent: mine‹\\n›\r\n${H}${E}`],
  ["slashes for backslashes", "slash-line-end", 400, "with backslashes", "KEY /user/Ada/ HTTP/1.1‹/r/n›Host: 127.0.0.1:5000/r/n/r/n"],
  ["slashes for backslashes, real line ends behind", "slash-line-end", 400, "with backslashes", `KEY /user/Ada/ HTTP/1.1‹/r/n›\r\n${H}${E}`],
  ["slashes for backslashes in the last line", "slash-line-end", 400, "with backslashes", `${L}Host: 127.0.0.1:5000‹/r/n›/r/n`],
  ["slashes for backslashes, \\n alone", "slash-line-end", 400, "with backslashes", "KEY /user/Ada/ HTTP/1.1‹/n›Host: 127.0.0.1:5000/n/n"],
  ["backslashes lost in the shell", "lost-backslashes", 400, "", "KEY /user/Ada/ HTTP/1.1‹rn›rn\n"],
  ["CR alone", "bare-cr", 400, "in this order", "KEY /user/Ada/ HTTP/1.1‹\r›Host: 127.0.0.1:5000\r\r"],
  ["CR alone behind the first line", "bare-cr", 400, "in this order", "KEY /user/Ada/ HTTP/1.1‹\r›Host: 127.0.0.1:5000\r\n\r\n"],
  ["CR CR LF (Windows: a text file for a socket)", "bare-cr", 400, "CR", "KEY /user/Ada/ HTTP/1.1‹\r›\r‖\nHost: 127.0.0.1:5000\r\r\n\r\r\n"],
  ["CR alone between two fields", "field-bare-cr", 400, "in this order", `${L}Host: 127.0.0.1:5000‹\r›Connection: close\r\n\r\n`],
  ["LF CR", "lf-cr lf-alone", 400, "not `\\n\\r`", "KEY /user/Ada/ HTTP/1.1\n‹\r›Host: 127.0.0.1:5000\n\r\n‖\r"],
  ["LF CR without Host", "no-host lf-alone lf-cr-behind", "warning", "requires one", "KEY /user/Ada/ HTTP/1.1\n‹›\r\n‖\r"],
  ["LF alone", "lf-alone", "warning", "write `\\r\\n`", "KEY /user/Ada/ HTTP/1.1‹\n›Host: 127.0.0.1:5000\n\n"],
  ["LF alone at the end", "lf-alone", "warning", "write `\\r\\n`", `${L}${H}‹\n›`],
  ["typed into nc", "no-host lf-alone", "warning", "HTTP/1.1 requires one", "KEY /user/Ada/ HTTP/1.1\n‹›\n"],
  ["typed into nc without a version", "no-version no-host lf-alone", 400, "the version is missing", "KEY /user/Ada/‹›\n\n"],
  ["no line end at all", "no-line-end", 400, "its last bytes are `\\r\\n\\r\\n`", "KEY /user/Ada/ HTTP/1.1‹›"],
  ["lines joined, and no more", "no-line-end", 400, "its last bytes are `\\r\\n\\r\\n`", `${L}Host: 127.0.0.1:5000‹›`],
  ["lines joined with LF, and no more", "no-line-end lf-alone", 400, "its last bytes are `\\r\\n\\r\\n`", "KEY /user/Ada/ HTTP/1.1\nHost: 127.0.0.1:5000‹›"],
  ["cut off in the last line end", "no-line-end", 400, "its last bytes are `\\r\\n\\r\\n`", `${L}${H}\r‹›`],
  ["path alone, no line end", "no-line-end", 400, "its last bytes are `\\r\\n\\r\\n`", "KEY /user/Ada/‹›"],
  ["one line end", "no-empty-line", 400, "one for the last line and one for the empty line", `${L}‹›`],
  ["no empty line behind the fields", "no-empty-line", 400, "no empty line yet", `${L}${H}‹›`],
  ["no empty line behind the fields, LF alone", "no-empty-line lf-alone", 400, "no empty line yet", "KEY /user/Ada/ HTTP/1.1\nHost: 127.0.0.1:5000\n‹›"],
  ["input() sent as it is", "no-empty-line no-version lf-alone", 400, "no empty line yet", "KEY /user/Ada/\n‹›"],
  ["println() of the path alone", "no-empty-line no-version", 400, "no empty line yet", "KEY /user/Ada/\r\n‹›"],
  ["connected, nothing sent", "nothing-sent", 400, "`sendall()` comes before `recv()`", "‹›"],
  ["line ends alone", "no-empty-line", 400, "no empty line yet", "\r\n\r\n‹›"],
  ["a line end before it", "blank-line-first", "warning", "begins with one", `‹\r\n›${L}${H}${E}`],
  ["triple quotes", "blank-line-first lf-alone", "warning", "begins with one", "‹\n›KEY /user/Ada/ HTTP/1.1\nHost: 127.0.0.1:5000\n\n"],
  ["triple quotes within a function", "indented-line indented-field blank-line-first lf-alone", 400, "keeps its indentation", "\n‹    ›KEY /user/Ada/ HTTP/1.1\n    Host: 127.0.0.1:5000\n\n‖    "],
  ["triple quotes with a backslash first", "indented-line indented-field blank-line lf-alone", 400, "keeps its indentation", "‹    ›KEY /user/Ada/ HTTP/1.1\n    Host: 127.0.0.1:5000\n    \n"],
  ["triple quotes that begin with the method", "indented-field lf-alone", 400, "keeps its indentation", "KEY /user/Ada/ HTTP/1.1\n‹    ›Host: 127.0.0.1:5000\n\n"],
  ["triple quotes with \\r", "indented-field", 400, "keeps its indentation", "KEY /user/Ada/ HTTP/1.1\r\n‹        ›Host: 127.0.0.1:5000\r\n\r\n"],
  ["triple quotes, the empty line indented", "blank-line lf-alone", 400, "white space in it", "KEY /user/Ada/ HTTP/1.1\nHost: 127.0.0.1:5000\n‹    ›\n"],
  ["a space between the line ends", "blank-line", 400, "the head ends with", `${L}${H}‹ ›\r\n`],
  ["a line end and a space", "indented-field", 400, "before the field", `${L}‹ ›Host: 127.0.0.1:5000\r\n\r\n`],
  ["a space before the method", "indented-line", 400, "before the method", `‹ ›${L}${H}${E}`],
  ["one empty line too many", "extra-line-end", "warning", "a line end too many", `${L}${H}${E}‖‹\r\n›`],
  ["print() of a whole request", "extra-line-end", "warning", "a line end too many", `${L}${H}${E}‖‹\n›`],
  ["CR LF in the wrong place, all four twice", "extra-line-end", "warning", "one empty line", `${L}${H}${E}‖‹\r\n\r\n›`],
  ["an empty line behind the request line", "no-host fields-behind", "warning", "requires one", `${L}‹›\r\n‖${H}${E}`],
  ["no line end behind the request line", "line-goes-on", 400, "`\\r\\n`", `KEY /user/Ada/ HTTP/1.1‹›${H}${E}`],
  ["a space for a line end behind the request line", "line-goes-on", 400, "`\\r\\n`", `KEY /user/Ada/ HTTP/1.1‹ ›${H}${E}`],
  ["no line end between two fields", "host-invalid", "warning", "`Host: 127.0.0.1:5000`", `${L}Host: ‹127.0.0.1:5000Connection: close›\r\n\r\n`],
  ["a zero byte at the end (C: sizeof)", "nul-behind", "warning", "zero byte", `${L}${H}${E}‖‹\0›`],
  ["a whole buffer (C)", "nul-behind", "warning", "zero byte", `${L}${H}${E}‖‹${"\0".repeat(200)}›`],

  // The parts of the first line
  ["no space behind the method", "no-space", 400, "no space between", `KEY‹/›user/Ada/${V}`],
  ["no space behind the method, PUT", "no-space", 400, "no space between", `PUT‹/›key/Ada/${KEY}/${V}`],
  ["no space before the version", "no-space-before-version", 400, "no space between", `KEY /user/Ada/‹HTTP/1.1›\r\n${H}${E}`],
  ["two spaces behind the method", "two-spaces", 400, "here are 2 spaces", `KEY‹  ›/user/Ada/${V}`],
  ["two spaces before the version", "two-spaces", 400, "here are 2 spaces", `KEY /user/Ada/‹  ›HTTP/1.1\r\n${H}${E}`],
  ["an empty path", "two-spaces", 400, "is a variable empty?", `KEY‹  ›HTTP/1.1\r\n${H}${E}`],
  ["an empty method", "indented-line", 400, "before the method", `‹ ›/user/Ada/${V}`],
  ["a tab for a space", "tab", 400, "one space each", `KEY‹\t›/user/Ada/${V}`],
  ["a tab before the version", "tab", 400, "one space each", `KEY /user/Ada/‹\t›HTTP/1.1\r\n${H}${E}`],
  ["a tab at the end", "tab", 400, "tab", `KEY /user/Ada/ HTTP/1.1‹\t›\r\n${H}${E}`],
  ["a space copied from a web page", "method-name", 400, "is no method", `‹${utf8("KEY\u00a0/user/Ada/")}›${V}`],
  ["a space at the end", "space-at-end", 400, "right after `HTTP/1.1`", `KEY /user/Ada/ HTTP/1.1‹ ›\r\n${H}${E}`],
  ["spaces at the end", "space-at-end", 400, "right after `HTTP/1.1`", `KEY /user/Ada/ HTTP/1.1‹   ›\r\n${H}${E}`],
  ["a space in the user id", "space-in-path", 400, "write it as `%20`", `KEY /user/Ada‹ ›Lovelace/${V}`],
  ["two spaces in the user id", "space-in-path", 400, "write it as `%20`", `KEY /user/Ada‹ ›King Lovelace/${V}`],
  ["a space behind an à, of which one byte is 0xa0", "space-in-path", 400, "write it as `%20`", `KEY /user/${utf8("Voilà")}‹ ›Ada/${V}`],
  ["a space before the user id", "user-space", 400, "use `.strip()`", `KEY /user/‹ ›Ada/${V}`],
  ["a space behind the user id", "user-space", 400, "use `.strip()`", `KEY /user/Ada‹ ›/${V}`],
  ["a space in the user id of PUT", "space-in-path", 400, "`urllib.parse.quote(user_id, safe='')`", `PUT /key/Ada‹ ›L/${KEY}/${V}`],
  ["a space in the user id, no version", "space-in-path", 400, "a space in the path", `KEY /user/Ada‹ ›L/\r\n${H}${E}`],
  ["a space in the user id, version in small letters", "version-case", 400, "in capitals", `KEY /user/Ada L/ ‹http/1.1›\r\n${H}${E}`],
  ["a user id from a file, with its line end", "line-end-in-path", 400, "use `.strip()`", "KEY /user/Ada‹\n›/ HTTP/1.1\nHost: 127.0.0.1:5000\n\n"],
  ["a user id with its line end", "line-end-in-path", 400, "use `.strip()`", `KEY /user/Ada‹\n›/${V}`],
  ["a user id with Windows' line end", "line-end-in-path", 400, "use `.strip()`", `KEY /user/Ada‹\r\n›/${V}`],
  ["a line end before the user id", "line-end-in-path", 400, "use `.strip()`", `KEY /user/‹\n›Ada/${V}`],
  ["a key with a line end", "line-end-in-path", 400, "use `.strip()`", `PUT /key/Ada/${KEY}‹\r\n›/${V}`],
  ["a key with an empty line", "line-end-in-path", 400, "use `.strip()`", `PUT /key/Ada/${KEY}‹\r\n›\r\n‖/${V}`],
  ["the whole response for a key", "response-in-line", 400, "take the body alone", `PUT /key/Ada/${RESPONSE.replace(KEY, "‖")}${KEY}/${V}`],
  ["the response without its first line, for a key", "response-in-line", 400, "take the body alone", `PUT /key/Ada/‹Content-›Type: text/plain\r\nContent-Length: 128\r\n\r\n‖${KEY}/${V}`],
  ["one line of the response's head, for a key", "response-in-line", 400, "take the body alone", `PUT /key/Ada/‹Content-›Type: text/plain\r/${V}`],
  ["what is behind the last space of the response", "response-in-line", 400, "take the body alone", `PUT /key/Ada/‹close›\r\n\r\n‖${KEY}/${V}`],
  ["the body with the empty line before it", "line-end-in-path", 400, "use `.strip()`", `PUT /key/Ada/‹\r\n›\r\n‖${KEY}/${V}`],
  ["int(key, 16)", "key-decimal", 400, "without `int()`", `PUT /key/Ada/‹${"1234567890".repeat(15)}1234›/${V}`],
  ["an error message for a key, as bytes", "bytes-in-line", 400, "take the key alone", `PUT /key/Ada/‹b›'no such user'/${V}`],
  ["bytes.fromhex(), as it is", "raw-key", 400, "without `bytes.fromhex()`", `PUT /key/Ada/‹\xcd\x88a\x01›\xff\x80/${V}`],
  ["bytes.fromhex() in an f-string", "raw-bytes-in-line", 400, "without `bytes.fromhex()`", `PUT /key/Ada/‹b'\\x›cd\\x88 a'/${V}`],
  ["the version twice", "version-twice", 400, "there twice", `KEY /user/Ada/ ‹HTTP/1.1 ›HTTP/1.1\r\n${H}${E}`],
  ["slash and space in the wrong order", "slash-and-space", 400, "changed places", `KEY /user/Ada‹ /›HTTP/1.1\r\n${H}${E}`],
  ["a comma for a line end behind the request line", "line-goes-on", 400, "a line of its own", `KEY /user/Ada/ HTTP/1.1‹, ›${H}${E}`],
  ["no path", "no-path", 400, "the path is missing", `KEY‹ HTTP/1.1›\r\n${H}${E}`],
  ["the length as text before the request", "number-first", 400, "without its length", `‹81        ›KEY /user/Ada/${V}`],
  ["a label before the request", "label-first", 400, "leave out `REQUEST:`", `‹REQUEST: ›KEY /user/Ada/${V}`],
  ["XML", "data-first", 400, "looks like data", "‹<›req‖uest/>"],
  ["the names of line ends", "crlf-spelt-out", 400, "only the name of a line end", "KEY /user/Ada/ HTTP/1.1 ‹CRLF› CRLF\n"],
  ["key= before the key", "key-name", 400, "send the digits alone", `PUT /key/Ada/‹key=›${KEY}/${V}`],
  ["a word for a key", "key-word", 400, "is a word and no key", `PUT /key/Ada/‹Error›/${V}`],
  ["no slash between user id and key", "no-slash-before-key", 404, "no slash between", `PUT /key/Bob‹›${KEY}/${V}`],
  ["a colon between user id and key", "no-slash-before-key", 404, "no slash between", `PUT /key/Ada‹:›${KEY}/${V}`],
  ["two fields on one line", "host-comma", "warning", "a line of its own", `${L}Host: 127.0.0.1:5000‹, Connection: close›\r\n\r\n`],
  ["the whole response for a key, as bytes", "response-in-line", 400, "take the body alone", `PUT /key/Ada/‹b'HTTP/1.1 200› ${RESPONSE.slice(13).replaceAll("\r\n", "\\r\\n").replace(KEY, "‖")}${KEY}'/${V}`],
  ["chunks for a key", "chunks-in-line", 400, "take the chunks alone", `PUT /key/Ada/‹80\r\n›${KEY}\r\n0\r\n\r\n‖/${V}`],
  ["the version first", "order", 400, "the order is method, path, version", `‹HTTP/1.1› KEY /user/Ada/\r\n${H}${E}`],
  ["the version before the path", "order", 400, "the order is method, path, version", `‹KEY HTTP/1.1› /user/Ada/\r\n${H}${E}`],
  ["the path first", "no-method", 400, "the method comes first", `‹/user/Ada/› KEY HTTP/1.1\r\n${H}${E}`],
  ["no method", "no-method", 400, "the method comes first", `‹/user/Ada/›${V}`],
  ["a URL alone", "no-method", 400, "the method comes first", `‹http://127.0.0.1:5000/user/Ada/›\r\n${H}${E}`],
  ["no method and no slash", "no-method", 400, "the method comes first", `‹user/Ada/›${V}`],
  ["two methods", "two-methods", 400, "method", `GET KEY /user/Ada/${V}`],
  ["the server's address before the path", "address-in-line", 400, "Host field", `KEY ‹127.0.0.1:5000› /user/Ada/${V}`],
  ["a colon behind the method", "method-punctuation", 400, "nothing but one space", `KEY‹:› /user/Ada/${V}`],
  ["commas between the parts", "method-punctuation", 400, "nothing but one space", `KEY‹,› /user/Ada/, HTTP/1.1\r\n${H}${E}`],
  ["the method in small letters", "method-case", 405, "`KEY`, in capitals", `‹key› /user/Ada/${V}`],
  ["the method with a capital", "method-case", 405, "`KEY`, in capitals", `‹Key› /user/Ada/${V}`],
  ["put in small letters", "method-case", 405, "`PUT`, in capitals", `‹put› /key/Ada/${KEY}/${V}`],
  ["no version", "no-version", 400, "the line ends in ` HTTP/1.1`", `KEY /user/Ada/‹›\r\n${H}${E}`],
  ["no version and no fields", "no-version no-host", 400, "the version is missing", "KEY /user/Ada/‹›\r\n\r\n"],
  ["no version, PUT", "no-version", 400, "the version is missing", `PUT /key/Ada/${KEY}/‹›\r\n${H}${E}`],
  ["http/1.1", "version-case", 400, "`HTTP/1.1`, in capitals", `KEY /user/Ada/ ‹http/1.1›\r\n${H}${E}`],
  ["Http/1.1", "version-case", 400, "`HTTP/1.1`, in capitals", `KEY /user/Ada/ ‹Http/1.1›\r\n${H}${E}`],
  ["HTTP 1.1", "wrong-version", 400, "written `HTTP 1.1`", `KEY /user/Ada/ ‹HTTP 1.1›\r\n${H}${E}`],
  ["HTTP1.1", "wrong-version", 400, "written `HTTP1.1`", `KEY /user/Ada/ ‹HTTP1.1›\r\n${H}${E}`],
  ["HTTP-1.1", "wrong-version", 400, "`HTTP/1.1`, spelt just so", `KEY /user/Ada/ ‹HTTP-1.1›\r\n${H}${E}`],
  ["HTTP/1", "wrong-version", 400, "written `HTTP/1`", `KEY /user/Ada/ ‹HTTP/1›\r\n${H}${E}`],
  ["HTTP", "wrong-version", 400, "written `HTTP`", `KEY /user/Ada/ ‹HTTP›\r\n${H}${E}`],
  ["HTTP/2", "wrong-version", 400, "written `HTTP/2`", `KEY /user/Ada/ ‹HTTP/2›\r\n${H}${E}`],
  ["HTTP/2.0", "wrong-version", 400, "written `HTTP/2.0`", `KEY /user/Ada/ ‹HTTP/2.0›\r\n${H}${E}`],
  ["HTTPS/1.1", "wrong-version", 400, "written `HTTPS/1.1`", `KEY /user/Ada/ ‹HTTPS/1.1›\r\n${H}${E}`],
  ["HTTP/1,1", "wrong-version", 400, "written `HTTP/1,1`", `KEY /user/Ada/ ‹HTTP/1,1›\r\n${H}${E}`],
  ["HTTP/1.1.", "wrong-version", 400, "written `HTTP/1.1.`", `KEY /user/Ada/ ‹HTTP/1.1.›\r\n${H}${E}`],
  ["HTTP/1.l, with a letter", "wrong-version", 400, "written `HTTP/1.l`", `KEY /user/Ada/ ‹HTTP/1.l›\r\n${H}${E}`],
  ["HTTP\\1.1", "wrong-version", 400, "written `HTTP\\1.1`", `KEY /user/Ada/ ‹HTTP\\1.1›\r\n${H}${E}`],
  ["HTTP\\1.1, and the string made a character of it", "control-character", 400, "control character", `KEY /user/Ada/ HTTP‹\x01›.1\r\n${H}${E}`],
  ["HTTP /1.1", "wrong-version", 400, "written `HTTP /1.1`", `KEY /user/Ada/ ‹HTTP /1.1›\r\n${H}${E}`],
  ["HTTP / 1.1", "wrong-version", 400, "`HTTP/1.1`, spelt just so", `KEY /user/Ada/ ‹HTTP / 1.1›\r\n${H}${E}`],
  ["HTTP/ 1.1", "wrong-version", 400, "`HTTP/1.1`, spelt just so", `KEY /user/Ada/ ‹HTTP/ 1.1›\r\n${H}${E}`],
  ["HTPP/1.1", "wrong-version", 400, "`HTTP/1.1`, spelt just so", `KEY /user/Ada/ ‹HTPP/1.1›\r\n${H}${E}`],
  ["HTTTP/1.1", "wrong-version", 400, "`HTTP/1.1`, spelt just so", `KEY /user/Ada/ ‹HTTTP/1.1›\r\n${H}${E}`],
  ["1.1", "wrong-version", 400, "`HTTP/1.1`, spelt just so", `KEY /user/Ada/ ‹1.1›\r\n${H}${E}`],
  ["a response instead of a request", "response-line", 400, "a request begins with its method", "‹HTTP/1.1› 200 OK\r\nContent-Length: 2\r\n\r\n‖ok"],
  ["a control character from a backslash (\"DOMAIN\\ada\")", "control-character", 400, "backslash", `KEY /user/DOMAIN‹\x07›da/${V}`],

  // What stands where the path belongs
  ["no slash before the path", "no-leading-slash", 400, "begins without a slash", `KEY ‹›user/Ada/${V}`],
  ["the user id for a path", "no-leading-slash", 400, "`/user/<user_id>/`", `KEY ‹›Ada${V}`],
  ["a path that was quoted whole", "path-encoded", 400, "%2F", `KEY ‹%2F›user%2FAda%2F${V}`],
  ["a quoted path", "path-quoted", 400, "send it without", `KEY ‹"›/user/Ada/"${V}`],
  ["a path in single quotes", "path-quoted", 400, "send it without", `KEY ‹'›/user/Ada/'${V}`],
  ["a path in bytes", "path-bytes-literal", 400, "use `.decode()`", `KEY ‹b›'/user/Ada/'${V}`],
  ["a path of Windows", "path-backslash", 400, "by `/`", `KEY ‹\\›user\\Ada\\${V}`],
  ["os.path.join() on Windows", "backslash", 400, "by `/`", `KEY /user‹\\›Ada\\${V}`],
  ["a URL without its scheme", "no-scheme", 400, "goes into the Host field", `KEY ‹127.0.0.1:5000›/user/Ada/${V}`],
  ["localhost before the path", "no-scheme", 400, "`localhost:5000` does not belong here", `KEY ‹localhost:5000›/user/Ada/${V}`],
  ["a name without a port before the path", "no-scheme", 400, "the path alone into this line", `KEY ‹keys.example.com›/user/Ada/${V}`],
  ["CONNECT, as to a proxy", "no-scheme", 400, "does not belong here", `CONNECT ‹127.0.0.1:5000›${V}`],
  ["http:/ with one slash", "bad-url", 400, "the path alone goes here", `KEY ‹http:/›user/Ada/${V}`],
  ["http:/// with an empty server", "bad-url", 400, "no server in it", `KEY ‹http:///›user/Ada/${V}`],
  ["http// without its colon", "bad-url", 400, "", `KEY ‹http//›127.0.0.1:5000/user/Ada/${V}`],
  ["<user_id> left in the path", "placeholder", 400, "put the value there", `KEY /user/‹<user_id>›/${V}`],
  ["{user_id}, without the f", "placeholder", 400, "an f before the quotation mark", `KEY /user/‹{user_id}›/${V}`],
  ["{self.user_id}, without the f", "placeholder", 400, "an f before the quotation mark", `KEY /user/‹{self.user_id}›/${V}`],
  ["{name}, without the f", "placeholder", 400, "an f before the quotation mark", `KEY /user/‹{name}›/${V}`],
  ["${user_id} in plain quotes (JavaScript)", "placeholder", 400, "put the value there", `KEY /user/$‹{user_id}›/${V}`],
  ["{user_id} and {key}, without the f", "placeholder", 400, "`{user_id}`", `PUT /key/‹{user_id}›/{key}/${V}`],
  ["<key_val> left in the path", "placeholder", 400, "`<key_val>`", `PUT /key/Ada/‹<key_val>›/${V}`],
  ["angle brackets kept around the user id", "angle-brackets", 400, "without", `KEY /user/‹<Ada>›/${V}`],
  ["angle brackets kept around the key", "angle-brackets", 400, "without", `PUT /key/Ada/‹<${KEY}>›/${V}`],
  ["%s left in the path", "format-left", 400, "the value was never put there", `KEY /user/‹%s›/${V}`],
  ["%(user)s left in the path", "format-left", 400, "`%(user)s`", `KEY /user/‹%(user)s›/${V}`],
  ["{} left in the path", "format-left", 400, "`.format()`", `KEY /user/‹{}›/${V}`],
  ["{0} left in the path", "format-left", 400, "`.format()`", `PUT /key/‹{0}›/{1}/${V}`],
  ["%d left in the path (C)", "format-left", 400, "`%d`", `KEY /user/‹%d›/${V}`],
  ["%USERNAME% left in the path (Windows)", "format-left", 400, "`%USERNAME%`", `KEY /user/‹%USERNAME%›/${V}`],
  ["a line end in the path, with a backslash", "path-literal-line-end", 400, "use `.strip()`", `KEY /user/Ada‹\\n›/${V}`],
  ["a backslash in the user id", "backslash", 400, "backslash", `KEY /user/DOMAIN‹\\›Ada/${V}`],
  ["a percent sign in the user id", "bad-percent", 400, "`%25`", `KEY /user/100‹%›/${V}`],
  ["half a percent-encoding", "bad-percent", 400, "two hex digits", `KEY /user/Ada‹%2›/${V}`],
  ["a percent sign before letters", "bad-percent", 400, "`%zz` is no percent-encoding", `KEY /user/‹%zz›/${V}`],
  ["a # in the user id", "fragment", 400, "`%23`", `KEY /user/C‹#/›${V}`],
  ["a letter with an accent", "not-ascii", "warning", "percent-encode them", `KEY /user/‹${utf8("é")}›lodie/${V}`],
  ["a user id in Greek", "not-ascii", "warning", "many servers refuse", `KEY /user/‹${utf8("Ἄδα")}›/${V}`],
  ["an emoji", "not-ascii", "warning", "percent-encode them", `KEY /user/‹${utf8("😀")}›/${V}`],
  ["encode('latin-1')", "user-not-utf-8 not-ascii", 400, "encode it as UTF-8", `KEY /user/‹\xe9lodie›/${V}`],
  ["percent-encoded ISO 8859-1", "user-not-utf-8", 400, "encode it as UTF-8", `KEY /user/‹%E9lodie›/${V}`],
  ["a | in the user id", "odd-character", "warning", "write it as `%7C`", `KEY /user/Ada‹|›L/${V}`],
  ["a ^ in the user id", "odd-character", "warning", "write it as `%5E`", `KEY /user/Ada‹^›/${V}`],
  ["square brackets in the user id", "odd-character", "warning", "write it as `%5B`", `KEY /user/Ada‹[›1]/${V}`],

  // Paths that there are not
  ["no slash at the end", "no-final-slash", 404, "does not end in a slash", `KEY /user/Ada‹›${V}`],
  ["no slash at the end of PUT", "no-final-slash", 404, "`/key/<user_id>/<key_val>/`", `PUT /key/Ada/${KEY}‹›${V}`],
  ["the key in the path of KEY", "key-in-user-path", 404, "sent with `PUT /key/", `PUT /user/Ada/‹${KEY}›/${V}`],
  ["the key in the path of KEY, by KEY", "key-in-user-path", 404, "sent with `PUT /key/", `KEY /user/Ada/‹${KEY}›${V}`],
  ["two slashes at the beginning", "two-slashes", 404, "a slash too many", `KEY ‹//›user/Ada/${V}`],
  ["two slashes at the end", "two-slashes", 404, "a slash too many", `KEY /user/Ada‹//›${V}`],
  ["no user id", "no-user-id", 404, "the user id is missing", `KEY ‹/user/›${V}`],
  ["no user id and no slash", "no-user-id", 404, "the user id is missing", `KEY ‹/user›${V}`],
  ["a key without a user id", "no-user-id", 404, "the user id is missing", `PUT ‹/key/›${KEY}/${V}`],
  ["the user id behind a ?", "no-user-id query", 404, "the user id is missing", `KEY ‹/user›?id=Ada${V}`],
  ["the user id behind a /?", "no-user-id query", 404, "the user id is missing", `KEY ‹/user/›?user_id=Ada${V}`],
  ["a ? in the user id", "question-mark", 404, "%3F", `KEY /user/who‹?›/${V}`],
  ["no key", "no-key-in-path", 404, "there is no key in the path", `PUT /key/Ada/‹›${V}`],
  ["asking /key/ for a key", "no-key-in-path", 404, "send `KEY /user/<user_id>/`", `KEY /key/Ada/‹›${V}`],
  ["the key in the body", "no-key-in-path body-ignored", 404, "there is no key in the path", `PUT /key/Ada/‹› HTTP/1.1\r\n${H}Content-Length: 128\r\n\r\n${KEY}`],
  ["the key in a body without a length", "no-key-in-path bytes-behind", 404, "there is no key in the path", `PUT /key/Ada/‹›${V}‖${KEY}`],
  ["/User/", "path-case", 404, "`/User` is not `/user`", `KEY ‹/User›/Ada/${V}`],
  ["/Key/", "path-case", 404, "`/Key` is not `/key`", `PUT ‹/Key›/Ada/${KEY}/${V}`],
  ["/users/", "path-plural", 404, "it is `/user`", `KEY ‹/users›/Ada/${V}`],
  ["/keys/", "path-plural", 404, "it is `/key`", `PUT ‹/keys›/Ada/${KEY}/${V}`],
  ["a slash in the user id", "slash-in-user-id", 404, "written `%2F`", `KEY /user/Ada‹/›Lovelace/${V}`],
  ["a date for a user id", "slash-in-user-id", 404, "written `%2F`", `PUT /key/12‹/›10/1815/${KEY}/${V}`],
  ["a file's name behind the path", "slash-in-user-id", 404, "a part too many", `KEY /user/Ada‹/›index.html${V}`],
  ["base64 with a slash in it", "slash-in-key", 404, "just as it came", `PUT /key/Ada/ASNFZ4mrze8BI0Vniav‹/›N7wEjRWeJq83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4mrze8w==/${V}`],
  ["curl -T, which adds the file's name", "behind-key", 404, "`curl -T` adds the name of its file", `PUT /key/Ada/${KEY}/‹null›${V}`],
  ["the method in the path", "method-in-path", 404, "the method stands before it", `KEY ‹/KEY›/user/Ada/${V}`],
  ["GET of the method", "method-in-path", 404, "the method stands before it", `GET ‹/KEY›/user/Ada/${V}`],
  ["no /user", "no-such-path", 404, "this server knows `KEY /user/<user_id>/`", `KEY ‹/Ada/›${V}`],
  ["nothing but a slash", "no-such-path", 404, "there is no such path", `GET ‹/›${V}`],
  ["a browser's favicon", "no-such-path", 404, "there is no such path", `GET ‹/favicon.ico›${V}`],
  ["a slash before the server's address", "address-in-path", 404, "Host field", `KEY ‹/127.0.0.1:5000›/user/Ada/${V}`],
  ["two slashes before the server's address", "address-in-path", 404, "Host field", `KEY ‹//127.0.0.1:5000›/user/Ada/${V}`],
  ["a ? behind the path", "query", "warning", "ignores what stands behind `?`", `KEY /user/Ada/‹?format=text›${V}`],
  ["the key behind a ?", "no-key-in-path query", 404, "there is no key in the path", `PUT /key/Ada/‹›?key=${KEY}${V}`],

  // Methods
  ["GET for KEY", "method-get", 405, "`requests.request(\"KEY\", url)`", `‹GET› /user/Ada/${V}`],
  ["HEAD for KEY", "method-get", 405, "curl: `-X KEY`", `‹HEAD› /user/Ada/${V}`],
  ["GET for PUT", "method-get", 405, "curl: `-X PUT`", `‹GET› /key/Ada/${KEY}/${V}`],
  ["a WebSocket", "method-get", 405, "this path takes `KEY`", `‹GET› /user/Ada/ HTTP/1.1\r\n${H}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`],
  ["POST for KEY", "wrong-method body-ignored", 405, "`KEY`, not `POST`", `‹POST› /user/Ada/ HTTP/1.1\r\n${H}Content-Length: 6\r\n\r\nid=Ada`],
  ["POST for PUT", "wrong-method", 405, "`PUT`, not `POST`", `‹POST› /key/Ada/${KEY}/${V}`],
  ["a browser's question first (CORS)", "wrong-method", 405, "`KEY`, not `OPTIONS`", `‹OPTIONS› /user/Ada/ HTTP/1.1\r\n${H}Access-Control-Request-Method: KEY\r\nOrigin: http://localhost\r\n\r\n`],
  ["KEYS", "wrong-method", 405, "`KEY`, not `KEYS`", `‹KEYS› /user/Ada/${V}`],
  ["PUT for KEY", "put-to-user", 405, "with the method `KEY`", `‹PUT› /user/Ada/${V}`],
  ["KEY for PUT", "key-to-key", 405, "with the method `PUT`", `‹KEY› /key/Ada/${KEY}/${V}`],
  ["get in small letters", "method-get", 405, "this path takes `KEY`", `‹get› /user/Ada/${V}`],

  // User ids
  ["an empty user id", "empty-user-id", 400, "was the variable ever set?", `KEY /user/‹›/${V}`],
  ["an empty user id and a key", "empty-user-id", 400, "nothing between the slashes", `PUT /key/‹›/${KEY}/${V}`],
  ["user id and key swapped", "swapped", 400, "changed places", `PUT /key/‹${KEY}›/Ada/${V}`],
  ["a user id of 257 bytes", "long-user-id", 400, "longer than 256 bytes", `KEY /user/‹${"a".repeat(257)}›/${V}`],
  ["<user_id>, sent by a library", "placeholder-encoded", 400, "put the user id there", `KEY /user/‹%3Cuser_id%3E›/${V}`],
  ["{user_id}, sent by a library", "placeholder-encoded", 400, "an f before the quotation mark", `KEY /user/‹%7Buser_id%7D›/${V}`],
  ["a user id in bytes", "user-bytes-literal", "warning", "use `.decode()`", `KEY /user/‹b'Ada'›/${V}`],
  ["a user id in bytes, sent by a library", "user-bytes-literal", "warning", "use `.decode()`", `KEY /user/‹b%27Ada%27›/${V}`],
  ["a quoted user id", "user-quoted", "warning", "as a part of it", `KEY /user/‹'Ada'›/${V}`],
  ["a quoted user id, sent by a library", "user-quoted", "warning", "quotation marks", `KEY /user/‹%22Ada%22›/${V}`],
  ["a tuple of one user id", "user-quoted", "warning", "as a part of it", `KEY /user/‹('Ada',)›/${V}`],
  ["a user id in double quotes", "user-quoted", "warning", "quotation marks", `KEY /user/‹"Ada"›/${V}`],
  ["a user id with its line end, sent by a library", "user-white-space", "warning", "use `.strip()`", `KEY /user/Ada‹%0A›/${V}`],
  ["a user id with a space first, sent by a library", "user-white-space", "warning", "use `.strip()`", `KEY /user/‹%20›Ada/${V}`],
  ["None for a user id", "user-none", "warning", "was the variable ever set?", `KEY /user/‹None›/${V}`],
  ["undefined for a user id", "user-none", "warning", "the user id is `undefined`", `KEY /user/‹undefined›/${V}`],
  ["user_id for a user id", "user-placeholder", "warning", "put the user id there", `KEY /user/‹user_id›/${V}`],
  [":user_id for a user id", "user-placeholder", "warning", "looks like a placeholder", `KEY /user/‹:user_id›/${V}`],
  ["$user_id in single quotes", "user-placeholder", "warning", "looks like a placeholder", `KEY /user/‹$user_id›/${V}`],
  ["$USER in single quotes", "user-placeholder", "warning", "looks like a placeholder", `KEY /user/‹$USER›/${V}`],
  ["[user_id] for a user id", "placeholder", 400, "put the value there", `KEY /user/‹[user_id]›/${V}`],
  ["an object for a user id, sent by a library", "user-object", "warning", "object", `KEY /user/‹[object%20Object]›/${V}`],

  // Keys
  ["an empty key", "empty-key", 400, "was the variable ever set, had the body come", `PUT /key/Ada/‹›/${V}`],
  ["the whole response for a key, quoted", "whole-response", 400, "`response.split(\"\\r\\n\\r\\n\", 1)[1]`", `PUT /key/Ada/‹${encodeURIComponent(RESPONSE)}›/${V}`],
  ["the whole response for a key, quoted by default", "response-in-path", 404, "take the body alone", `PUT /key/Ada/‹HTTP/1.1›${encodeURIComponent(RESPONSE.slice(8)).replaceAll("%2F", "/")}/${V}`],
  ["the head of the response for a key, quoted", "whole-response", 400, "take the body alone", `PUT /key/Ada/‹Content-Length%3A%20128›/${V}`],
  ["small chunks for a key", "chunks-in-line", 400, "take the chunks alone", `PUT /key/Ada/‹3c\r\n›${KEY.slice(0, 60)}\r\n3c\r\n${KEY.slice(0, 60)}\r\n8\r\n01234567\r\n0\r\n\r\n‖/${V}`],
  ["the end of chunks for a key", "chunks-in-line", 400, "take the chunks alone", `PUT /key/Ada/‹${KEY.slice(0, 60)}\r\n8\r\n›01234567\r\n0\r\n\r\n‖/${V}`],
  ["small chunks for a key, quoted", "chunked-key", 400, "take the chunks alone", `PUT /key/Ada/‹3C%0D%0A${KEY.slice(0, 60)}%0D%0A8%0D%0A01234567%0D%0A›/${V}`],
  ["chunks for a key, quoted", "chunked-key", 400, "take the chunks alone", `PUT /key/Ada/‹80%0D%0A${KEY}%0D%0A0%0D%0A%0D%0A›/${V}`],
  ["chunks for a key, stripped and quoted", "chunked-key", 400, "take the chunks alone", `PUT /key/Ada/‹80%0D%0A${KEY}%0D%0A0›/${V}`],
  ["a key in bytes", "key-bytes-literal", 400, "use `key.decode()`", `PUT /key/Ada/‹b'›${KEY}'/${V}`],
  ["a key in bytes, sent by a library", "key-bytes-literal", 400, "use `key.decode()`", `PUT /key/Ada/‹b%27${KEY}%27›/${V}`],
  ["a bytearray for a key", "key-bytearray", 400, "with `key.decode()`", `PUT /key/Ada/‹bytearray›(b'${KEY}')/${V}`],
  ["a quoted key", "key-quoted", 400, "send the digits alone", `PUT /key/Ada/‹'›${KEY}'/${V}`],
  ["a quoted key, sent by a library", "key-quoted", 400, "send the digits alone", `PUT /key/Ada/‹%22${KEY}%22›/${V}`],
  ["a key in double quotes", "key-quoted", 400, "send the digits alone", `PUT /key/Ada/‹"›${KEY}"/${V}`],
  ["None for a key", "key-none", 400, "send no PUT without a key", `PUT /key/Ada/‹None›/${V}`],
  ["undefined for a key", "key-none", 400, "the key is `undefined`", `PUT /key/Ada/‹undefined›/${V}`],
  ["a promise for a key (no await)", "key-object", 400, "shows an object", `PUT /key/Ada/‹[object%20Promise]›/${V}`],
  ["a response object for a key, sent by a library", "key-object", 400, "take the text of the response", `PUT /key/Ada/‹%3CResponse%20%5B200%5D%3E›/${V}`],
  ["a response object for a key, by requests", "key-object", 400, "take the text of the response", `PUT /key/Ada/‹%3CResponse%20[200]%3E›/${V}`],
  ["a response object for a key, as it is", "object-in-line", 400, "take the text out of it", `PUT /key/Ada/‹<Response [200]>›/${V}`],
  ["a method for a key, not called", "object-in-line", 400, "were the `()` forgotten", `PUT /key/Ada/‹<built-in method decode of bytes object at 0x7f>›/${V}`],
  ["a coroutine for a key, as it is", "object-in-line", 400, "this is how a program shows an object", `PUT /key/Ada/‹<coroutine object get_key at 0x7f3a5c0b2d30>›/${V}`],
  ["a method for a key (no parentheses), by a library", "key-object", 400, "shows an object", `PUT /key/Ada/‹%3Cbound%20method%20HTTPResponse.read%20of%20%3Chttp.client.HTTPResponse%20object%20at%200x7f%3E%3E›/${V}`],
  ["key_val for a key", "key-placeholder", 400, "put the key there", `PUT /key/Ada/‹key_val›/${V}`],
  ["key for a key", "key-placeholder", 400, "the key is `key`", `PUT /key/Ada/‹key›/${V}`],
  ["<key_val>, sent by a library", "key-placeholder", 400, "put the key there", `PUT /key/Ada/‹%3Ckey_val%3E›/${V}`],
  ["an array of bytes for a key (JavaScript)", "key-list", 400, "list of numbers", `PUT /key/Ada/‹${[...bytes(KEY)].join()}›/${V}`],
  ["a list of bytes for a key, as it is", "space-in-key", 400, "look at what the answer to KEY was", `PUT /key/Ada/[${[...bytes(KEY)].join(", ")}]/${V}`],
  ["a list of one key", "key-in-list", 400, "list", `PUT /key/Ada/‹['${KEY}']›/${V}`],
  ["a tuple of one key", "key-in-list", 400, "", `PUT /key/Ada/‹('${KEY}',)›/${V}`],
  ["JSON for a key", "key-json", 400, "", `PUT /key/Ada/‹{"key":"${KEY}"}›/${V}`],
  ["a key with its line end, sent by a library", "key-white-space", 400, "use `key.strip()`", `PUT /key/Ada/‹${KEY}%0D%0A›/${V}`],
  ["a key with a space first, sent by a library", "key-white-space", 400, "use `key.strip()`", `PUT /key/Ada/‹%20${KEY}›/${V}`],
  ["a key with a space behind it", "space-in-key", 400, "look at what the answer to KEY was", `PUT /key/Ada/${KEY}‹ ›/${V}`],
  ["a key with a space before it", "space-in-key", 400, "look at what the answer to KEY was", `PUT /key/Ada/‹ ›${KEY}/${V}`],
  ["hex() of a key", "key-hex-prefix", 400, "send the digits alone", `PUT /key/Ada/‹0x›${KEY}/${V}`],
  ["a key quoted twice", "key-encoded-twice", 400, "percent-encoded twice", `PUT /key/Ada/‹%2522${KEY}%2522›/${V}`],
  ["a key with an end of line, quoted twice", "key-encoded-twice", 400, "quote it once", `PUT /key/Ada/‹${KEY}%250A›/${V}`],
  ["the insides of str() of bytes", "key-escapes", 400, "not its bytes", `PUT /key/Ada/‹${"%5Cx9f%5Cx86%5Cxd0%5Cx81".repeat(16)}›/${V}`],
  ["key.hex()", "key-hex-twice", 400, "not `key.hex()`", `PUT /key/Ada/‹${[...bytes(KEY)].map((byte) => byte.toString(16)).join("")}›/${V}`],
  ["colons between the digits", "key-separators", 400, "send them as they came", `PUT /key/Ada/‹${KEY.replace(/..(?=.)/g, "$&:")}›/${V}`],
  ["spaces between the digits, sent by a library", "key-separators", 400, "send them as they came", `PUT /key/Ada/‹${KEY.replace(/.{8}(?=.)/g, "$&%20")}›/${V}`],
  ["hyphens as in a UUID", "key-separators", 400, "send them as they came", `PUT /key/Ada/‹${KEY.replace(/.{4}(?=.)/g, "$&-")}›/${V}`],
  ["bytes.fromhex() of a key, quoted", "key-raw-bytes", 400, "not the 64 bytes", `PUT /key/Ada/‹${"%01%23Eg%89%AB%CD%EF".repeat(8)}›/${V}`],
  ["base64 of a key", "key-base64", 400, "looks like base64", `PUT /key/Ada/‹${btoa("\x01\x23\x45\x67\x89\xab\xcd\xef".repeat(8))}›/${V}`],
  ["recv(100)", "short-key", 400, "60 of 128 digits", `PUT /key/Ada/${KEY.slice(0, 60)}‹›/${V}`],
  ["SHA-256 of a key", "short-key", 400, "64 of 128 digits", `PUT /key/Ada/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855‹›/${V}`],
  ["two keys", "long-key", 400, "256 digits, a key has 128", `PUT /key/Ada/‹${KEY}${KEY}›/${V}`],
  ["one digit too many", "long-key", 400, "129 digits", `PUT /key/Ada/‹${KEY}0›/${V}`],
  ["OK for a key", "key-word", 400, "is a word and no key", `PUT /key/Ada/‹OK›/${V}`],
  ["a status for a key", "key-status", 400, "status", `PUT /key/Ada/‹200›/${V}`],
  ["a letter O for a zero", "key-not-hex", 400, "`O` is no hex digit", `PUT /key/Ada/‹O›${KEY.slice(1)}/${V}`],
  ["the server's complaint for a key", "sentence-in-line", 400, "this is a sentence and no key", `PUT /key/Ada/‹the path does not end in a slash›/${V}`],
  ["a message of Flask for a key", "sentence-in-line", 400, "look at the status", `PUT /key/Ada/‹404 Not Found: no such user›/${V}`],
  ["a list with spaces for a key", "space-in-key", 400, "a list, an error message", `PUT /key/Ada/[49,‹ ›50, 51]/${V}`],
  ["a word and a space for a key", "space-in-key", 400, "goes with `.strip()`", `PUT /key/Ada/no‹ ›key/${V}`],
  ["the size of a chunk for a key", "tiny-key", 400, "is it the size of a chunk", `PUT /key/Ada/‹3c›/${V}`],
  ["a short word of hex digits for a key", "tiny-key", 400, "or another variable", `PUT /key/Ada/‹Ada›/${V}`],
  ["four digits for a key", "short-key", 400, "4 of 128 digits", `PUT /key/Ada/12ab‹›/${V}`],
  ["a key with the end of a bytes literal", "key-end-quote", 400, "the rest of a b'...'", `PUT /key/Ada/${KEY}‹'›/${V}`],
  ["the server's complaint for a key, quoted", "key-sentence", 400, "status", `PUT /key/Ada/‹the%20path%20does%20not%20end%20in%20a%20slash›/${V}`],

  // Fields
  ["no Host", "no-host", "warning", "HTTP/1.1 requires one", `${L}‹›\r\n`],
  ["no Host, but another field", "no-host", "warning", "add one with the server's address, as in `Host: 127.0.0.1:5000\\r\\n`", `${L}Connection: close\r\n‹›\r\n`],
  ["two Host fields", "two-hosts", "warning", "there must be one", `${L}${H}‹Host: 127.0.0.1:5000›\r\n\r\n`],
  ["no colon behind Host", "no-colon", 400, "no colon", `${L}‹Host 127.0.0.1›\r\n\r\n`],
  ["no colon behind Host, but one before the port", "no-colon", 400, "no colon", `${L}‹Host 127.0.0.1:5000›\r\n\r\n`],
  ["a semicolon for a colon", "no-colon", 400, "`Name: value`", `${L}‹Host; 127.0.0.1›\r\n\r\n`],
  ["the body before the empty line", "no-colon", 400, "no colon in this line", `${L}${H}‹Ada›\r\n\r\n`],
  ["JSON before the empty line", "body-in-head", 400, "looks like a body", `${L}${H}‹{"›user_id": "Ada"}\r\n\r\n`],
  ["a comment among the fields", "no-colon", 400, "`Name: value`", `${L}${H}‹# and so on›\r\n\r\n`],
  ["the address without Host:", "no-colon no-host", 400, "no colon", `${L}‹127.0.0.1›\r\n\r\n`],
  ["address and port without Host:", "no-host", "warning", "HTTP/1.1 requires one", `${L}127.0.0.1:5000\r\n‹›\r\n`],
  ["= for a colon", "field-equals", 400, "written `Name: value`", `${L}Host ‹=› localhost\r\n\r\n`],
  ["= for a colon, with a port", "field-equals", 400, "written `Name: value`", `${L}Host‹=›127.0.0.1:5000\r\n\r\n`],
  ["a form before the empty line", "field-equals", 400, "`Name: value`", `${L}${H}user_id‹=›Ada\r\n\r\n`],
  ["a space before the colon", "space-before-colon", 400, "right behind the name", `${L}Host‹ ›: 127.0.0.1:5000\r\n\r\n`],
  ["no name", "no-field-name", 400, "no name before the colon", `${L}${H}‹:› close\r\n\r\n`],
  ["a dict for the fields", "field-quoted", 400, "what Python shows of a dict", `${L}‹{'Host'›: '127.0.0.1:5000'}\r\n\r\n`],
  ["a quoted name", "field-quoted", 400, "in quotation marks", `${L}‹"Host"›: "127.0.0.1:5000"\r\n\r\n`],
  ["a space in a name", "field-name", 400, "without a space", `${L}${H}‹User Agent›: mine\r\n\r\n`],
  ["a dash from a word processor in a name", "field-name", 400, "letters, digits and `-`", `${L}${H}‹${utf8("User–Agent")}›: mine\r\n\r\n`],
  ["a zero byte in a value (C)", "field-value", 400, "control character", `${L}Host: 127.0.0.1:5000‹\0›\r\n\r\n`],
  ["a color in a value", "field-value", 400, "control character", `${L}${H}User-Agent: ‹\x1b›[32mmine\x1b[0m\r\n\r\n`],
  ["another request before the end of this one", "second-request-line", 400, "the one before has no end", `${L}${H}‹PUT /key/Ada/${KEY}/ HTTP/1.1›\r\n${H}${E}`],
  ["two request lines in one head", "second-request-line", 400, "an empty line ends the head", `${L}${H}‹PUT /key/Ada/${KEY}/ HTTP/1.1›\r\n\r\n`],
  ["Hosts", "misspelt-field", "warning", "check the spelling", `${L}‹Hosts›: 127.0.0.1:5000\r\n\r\n`],
  ["Content_Length", "misspelt-field", "warning", "check the spelling", `${L}${H}‹Content_Length›: 0\r\n\r\n`],
  ["Content-Lenght", "misspelt-field", "warning", "`Content-Lenght` is no field", `${L}${H}‹Content-Lenght›: 0\r\n\r\n`],
  ["Conection", "misspelt-field", "warning", "check the spelling", `${L}${H}‹Conection›: close\r\n\r\n`],
  ["Hots", "misspelt-field", "warning", "check the spelling", `${L}‹Hots›: 127.0.0.1:5000\r\n\r\n`],
  ["Connections", "misspelt-field", "warning", "check the spelling", `${L}${H}‹Connections›: close\r\n\r\n`],
  ["an empty Host", "host-empty", "warning", "as in `Host: 127.0.0.1:5000`", `${L}Host:‹› \r\n\r\n`],
  ["a URL for a Host", "host-scheme", "warning", "name and port alone", `${L}Host: ‹http://›127.0.0.1:5000\r\n\r\n`],
  ["a URL with a path for a Host", "host-scheme", "warning", "name and port alone", `${L}Host: ‹http://›127.0.0.1:5000/user/Ada/\r\n\r\n`],
  ["a path behind the Host", "host-path", "warning", "a path in the Host field", `${L}Host: 127.0.0.1:5000‹/user/Ada/›\r\n\r\n`],
  ["a slash behind the Host", "host-path", "warning", "a path in the Host field", `${L}Host: 127.0.0.1:5000‹/›\r\n\r\n`],
  ["an address as Python has it for a Host", "host-tuple", "warning", "write f\"{host}:{port}\"", `${L}Host: ‹('127.0.0.1', 5000)›\r\n\r\n`],
  ["a quoted Host", "host-tuple", "warning", "`Host: 127.0.0.1:5000`", `${L}Host: ‹"127.0.0.1:5000"›\r\n\r\n`],
  ["a space for the colon before the port", "host-invalid", "warning", "as in `Host: 127.0.0.1:5000`", `${L}Host: ‹127.0.0.1 5000›\r\n\r\n`],
  ["a placeholder for the Host", "host-invalid", "warning", "no name or address", `${L}Host: ‹<host>:<port>›\r\n\r\n`],
  ["{host}:{port} without the f", "host-invalid", "warning", "no name or address", `${L}Host: ‹{host}:{port}›\r\n\r\n`],
  ["a name for a port", "host-invalid", "warning", "no name or address", `${L}Host: ‹localhost:port›\r\n\r\n`],
  ["Connection: closed", "connection-option", "warning", "it is `Connection: close`", `${L}${H}Connection: ‹closed›\r\n\r\n`],
  ["Connection: Closing", "connection-option", "warning", "`Connection: keep-alive`", `${L}${H}Connection: ‹Closing›\r\n\r\n`],
  ["Connection: keep alive", "connection-option", "warning", "says nothing to a server", `${L}${H}Connection: ‹keep alive›\r\n\r\n`],
  ["Connection: keepalive", "connection-option", "warning", "says nothing to a server", `${L}${H}Connection: ‹keepalive›\r\n\r\n`],

  // Bodies
  ["a body", "body-ignored", "note", "12 bytes of body", `KEY /user/Ada/ HTTP/1.1\r\n${H}Content-Length: 12\r\n\r\n‹user_id: Ada›`],
  ["a body of JSON", "body-ignored", "note", "user id and key stand in the path", `KEY /user/Ada/ HTTP/1.1\r\n${H}Content-Type: application/json\r\nContent-Length: 18\r\n\r\n‹{"user_id": "Ada"}›`],
  ["a body in chunks", "body-ignored", "note", "3 bytes of body", `${L}${H}Transfer-Encoding: chunked\r\n\r\n‹3\r\nAda\r\n0\r\n\r\n›`],
  ["a body without a length", "bytes-behind", "warning", "`Content-Length: 3`", `${L}${H}${E}‖‹Ada›`],
  ["a body longer than its length", "bytes-behind body-ignored", "warning", "4 bytes too many behind", `${L}${H}Content-Length: 3\r\n\r\nAda‖‹ Lov›`],
  ["a body shorter than its length", "body-incomplete", 400, "Content-Length says 5 and 3 bytes of body came", `${L}${H}‹Content-Length: 5›\r\n\r\nAda`],
  ["the length of a body that is none", "body-incomplete", 400, "neither KEY nor PUT needs one", `PUT /key/Ada/${KEY}/ HTTP/1.1\r\n${H}‹Content-Length: 128›\r\n\r\n`],
  ["a length of None", "length-not-a-number", 400, "in decimal digits", `${L}${H}Content-Length: ‹None›\r\n\r\n`],
  ["an empty length", "length-not-a-number", 400, "in decimal digits", `${L}${H}Content-Length:‹› \r\n\r\n`],
  ["a length below zero", "length-not-a-number", 400, "in decimal digits", `${L}${H}Content-Length: ‹-1›\r\n\r\n`],
  ["a length with its unit", "length-not-a-number", 400, "in decimal digits", `${L}${H}Content-Length: ‹3 bytes›\r\n\r\n‖Ada`],
  ["{len(body)} without the f", "length-not-a-number", 400, "in decimal digits", `${L}${H}Content-Length: ‹{len(body)}›\r\n\r\n‖Ada`],
  ["two lengths", "two-lengths", 400, "is there twice", `${L}${H}Content-Length: 0\r\nContent-Length: ‹3›\r\n\r\n‖Ada`],
  ["a length and chunks", "length-and-chunked", 400, "send one of them", `${L}${H}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n‖3\r\nAda\r\n0\r\n\r\n`],
  ["a compressed body", "unknown-coding", 400, "send the body as it is", `${L}${H}Transfer-Encoding: ‹gzip›\r\n\r\n‖\x1f\x8b\x08\0`],
  ["Transfer-Encoding: identity", "unknown-coding", 400, "with a Content-Length", `${L}${H}Transfer-Encoding: ‹identity›\r\n\r\n`],
  ["UTF-8 for a transfer coding", "unknown-coding", 400, "`chunked`, once", `${L}${H}Transfer-Encoding: ‹utf-8›\r\n\r\n`],
  ["chunks in HTTP/1.0", "unknown-coding", 400, "with a Content-Length", `KEY /user/Ada/ HTTP/1.0\r\n${H}Transfer-Encoding: ‹chunked›\r\n\r\n‖0\r\n\r\n`],
  ["no last chunk", "chunks-incomplete", 400, "there is no last chunk", `${L}${H}‹Transfer-Encoding: chunked›\r\n\r\n3\r\nAda\r\n`],
  ["a chunk's size in decimal digits", "chunks-incomplete", 400, "chunk", `PUT /key/Ada/${KEY}/ HTTP/1.1\r\n${H}‹Transfer-Encoding: chunked›\r\n\r\n128\r\n${KEY}\r\n0\r\n\r\n`],
  ["the field of chunks, and none", "chunks-incomplete", 400, "`0\\r\\n\\r\\n`", `${L}${H}‹Transfer-Encoding: chunked›\r\n\r\n`],
  ["the field of chunks, and a body without", "bad-chunk", 400, "a size in hex digits", `${L}${H}Transfer-Encoding: chunked\r\n\r\n‹user_id=Ada\r\n›`],
  ["chunks with LF alone", "bad-chunk", 400, "this is no chunk", `${L}${H}Transfer-Encoding: chunked\r\n\r\n‹3\n›‖Ada\n0\n\n`],
  ["a chunk's size that is too small", "bad-chunk", 400, "so many bytes", `${L}${H}Transfer-Encoding: chunked\r\n\r\n2\r\nAd‹a\r›‖\n0\r\n\r\n`],
  ["a file instead of a request", "too-large", 400, "no more", `‹›GET /user/${"a".repeat(MAX_REQUEST_SIZE - 9)}‖aaa`],
  ["a body of a megabyte", "too-large", 400, "65536 bytes", `‹›${L}${H}Content-Length: 1000000\r\n\r\n‖xxxxxxxx`],
  ["a chunk of a megabyte", "too-large", 400, "65536 bytes", `‹›${L}${H}Transfer-Encoding: chunked\r\n\r\nf4240\r\n‖xxxxxxxx`],

  // Several at once
  ["GET without a version", "no-version no-host", 400, "the version is missing", "GET /user/Ada/‹›\r\n\r\n"],
  ["GET without a slash at the end", "no-final-slash", 404, "does not end in a slash", `GET /user/Ada‹›${V}`],
  ["no Host, and a path without its slash", "no-final-slash no-host", 404, "does not end in a slash", "KEY /user/Ada‹› HTTP/1.1\r\n\r\n"],
  ["a short key, no Host, LF alone", "short-key no-host lf-alone", 400, "`recv()`", `PUT /key/Ada/${KEY.slice(99)}‹›/ HTTP/1.1\n\n`],
];

Deno.test.each(ROWS)("checkRequest() explains %s", (_, codes, verdict, piece, marked) => {
  const { wire, span } = unmark(marked);
  const remarks = checkRequest(wire);
  assertEquals(codesOf(remarks), codes);
  const [first] = remarks;
  assertStringIncludes(first.message, piece);
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
  ["HTTP/1.0 without Host", "KEY /user/Ada/ HTTP/1.0\r\n\r\n"],
  ["HTTP/1.0 without Host, PUT", `PUT /key/Ada/${KEY}/ HTTP/1.0\r\n\r\n`],
  ["HTTP/1.0 with keep-alive", "KEY /user/Ada/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"],
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
  ["a whole URL", `KEY http://127.0.0.1:5000/user/Ada/${V}`],
  ["a whole URL, PUT", `PUT http://localhost:5000/key/Ada/${KEY}/${V}`],
  ["a whole URL with IPv6", "KEY HTTP://[::1]:5000/user/Ada/ HTTP/1.1\r\nHost: [::1]:5000\r\n\r\n"],
  ["a whole URL of https", `KEY https://example.com/user/Ada/ HTTP/1.1\r\nHost: example.com\r\n\r\n`],
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

/** Those that need memory of keys, or a connection. */
const OF_THE_SERVER = [
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
  assertEquals(codes.filter((code, at) => codes.indexOf(code) !== at), []);
  const seen = new Set(ROWS.flatMap(([, codes]) => codes.split(" ")));
  const missing = codes.filter((code) => !seen.has(code));
  assertEquals(missing.toSorted(), OF_THE_SERVER.toSorted());
});

Deno.test("RULES has messages of one line in ASCII, small at the beginning, open at the end", () => {
  const about = {
    ...{ size: 1, partSize: 2, allow: "KEY", came: 3, length: 4, owner: "Bob", seconds: 5 },
  };
  for (const [code, , , message] of Object.values(RULES).flat()) {
    const text = typeof message === "string" ? message : message("Ada", about);
    assertMatch(text, /^(?:(?![A-Z])|(?=Content-Length ))[\x20-\x7e]+[^.\s]$/, code);
    assertEquals(/undefined|NaN/.test(text.replace(/`[^`]*`/g, "")), false, code);
  }
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
function assertHarmless(message: string, where: string): void {
  assertMatch(message, /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+$/u, where);
  assert(message.length <= 450, `${where}: ${message.length} characters: ${message}`);
}

Deno.test.each(PLACES)("checkRequest() has harmless messages, whatever is in %s", (_, request) => {
  for (const text of HARMFUL) {
    const isLong = ["a", " ", "\x1b", "%1B", "\r\n"].includes(text);
    for (const size of isLong ? [1, 100, 5000, 100_000] : [1, 100]) {
      const times = Math.ceil(size / text.length);
      const wire = bytes(request(text.repeat(times)));
      for (const { code, message } of checkRequest(wire)) {
        assertHarmless(message, `${code} of ${times} ${JSON.stringify(text)}`);
      }
    }
  }
});

Deno.test("remarkOf() has harmless messages, whatever a user is called", () => {
  for (
    const text of ["\0", "\x1b[31m", "\r\n", "\x9b", "\u202e", "\u2028", "\u{e0001}", "😀", "é"]
  ) {
    for (const name of [text, text.repeat(1000)]) {
      for (const [code] of RULES.whole) {
        const about = { came: 1, length: 2, seconds: 3, owner: name };
        const { message } = remarkOf(code, 0, 0, name, about);
        assertHarmless(message, `${code} of ${JSON.stringify(name.slice(0, 9))}`);
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
    for (const { severity, status, start, end, message, code } of remarks) {
      assert(0 <= start && start <= end && end <= wire.length, `${code} ${start}-${end} ${where}`);
      assertEquals(severity === "error", [400, 404, 405].includes(status!), where);
      assertEquals(severity === "error", status !== undefined, where);
      assertHarmless(message, where);
    }
    const ranks = remarks.map(({ severity }) => ["error", "warning", "note"].indexOf(severity));
    assertEquals(ranks, ranks.toSorted(), where);
    if (!STRICT_HEAD.test(text)) assert(remarks.length > 0, where);
    const slow = readSlowly(wire);
    assertEquals(slow.remarks, ofRequest(checkRequest(wire.subarray(0, slow.size))), where);
    if (!isHopeless(slow.remarks)) assertEquals(slow.remarks, ofRequest(remarks), where);
  }
});
