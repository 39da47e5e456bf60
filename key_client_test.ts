import {
  assert,
  assertEquals,
  assertLess,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  doKey,
  doPut,
  KeyClient,
  KeyClientError,
  type KeyClientErrorCode,
  type KeyClientOptions,
  readResponse,
  type WireMessage,
} from "./key_client.ts";
import * as keyClient from "./key_client.ts";
import { startKeyServer } from "./key_server.ts";
// Deno's own sockets cannot be reset.
import { type AddressInfo, createServer } from "node:net";

const KEY = "0123456789abcdefABCDEF0123456789".repeat(4);
const KEY_RESPONSE = `HTTP/1.1 200 OK\r\nContent-Length: 128\r\n\r\n${KEY}`;
const OK_RESPONSE = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const FUZZ_ROUNDS = Number(Deno.args[0] ?? 2000); // deno test --allow-net -- 1000000

// ---- Responses without a socket

/** One byte for each character, as ISO 8859-1 has it. */
function bytes(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

function text(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** A source that gives these parts, one a read where they fit, and then ends or fails. */
function sourceOf(parts: Iterable<Uint8Array>, failure?: Error) {
  const iterator = parts[Symbol.iterator]();
  let part: Uint8Array = new Uint8Array();
  return {
    given: 0,
    asked: 0,
    read(p: Uint8Array): Promise<number | null> {
      this.asked = Math.max(this.asked, p.length);
      while (part.length === 0) {
        const next = iterator.next();
        if (next.done) return failure ? Promise.reject(failure) : Promise.resolve(null);
        part = next.value;
      }
      const given = part.subarray(0, p.length);
      p.set(given);
      part = part.subarray(given.length);
      this.given += given.length;
      return Promise.resolve(given.length);
    },
  };
}

interface Outcome {
  status?: number;
  reason?: string;
  fields?: [string, string][];
  body?: string;
  error?: string;
}

async function outcomeOf(
  parts: Iterable<Uint8Array>,
  options?: { maxBodySize?: number },
): Promise<Outcome> {
  try {
    const { status, reason, fields, body } = await readResponse(sourceOf(parts), options);
    return { status, reason, fields, body: text(body) };
  } catch (error) {
    if (!(error instanceof KeyClientError)) throw error;
    return { error: `${error.code}: ${error.message}` };
  }
}

/**
 * A response and what comes of it: a body, more than a body, or an error. `toEnd` where the end
 * of the connection is part of the message, so that nothing can stand behind it.
 */
type Case = [name: string, wire: string, expected: string | Outcome, toEnd?: "toEnd"];

const H = "HTTP/1.1 200 OK\r\n";
const CHUNKED = `${H}Transfer-Encoding: chunked\r\n\r\n`;
const badStatus = (line: string) => ({ error: `malformed: Cannot parse the status line: ${line}` });
const badField = (line: string) => ({ error: `malformed: Cannot parse the field line: ${line}` });
const badLength = (text: string) => ({
  error: `malformed: Cannot parse the content length: ${text}`,
});
const badCoding = (text: string) => ({
  error: `malformed: Cannot parse the transfer coding: ${text}`,
});
const badSize = (line: string) => ({
  error: `malformed: Cannot parse the size of a chunk: ${line}`,
});
const badEnd = (text: string) => ({ error: `malformed: Cannot parse the end of a chunk: ${text}` });
const tooLarge = (part: string, limit: number) => ({
  error: `too-large: The ${part} is larger than ${limit} bytes`,
});
const closed = (count: number, missing: string) => ({
  error:
    `closed-early: Cannot read the response: the connection closed after ${count} bytes, without ${missing}`,
});

/** The wire policy. */
const CASES: Case[] = [
  // Status line
  ["reason phrase", "HTTP/1.1 200 All is well\r\nContent-Length: 0\r\n\r\n", {
    status: 200,
    reason: "All is well",
    fields: [["Content-Length", "0"]],
    body: "",
  }],
  ["empty reason phrase", "HTTP/1.1 200 \r\n\r\n", { reason: "", body: "" }, "toEnd"],
  ["no reason phrase, no space", "HTTP/1.1 200\r\n\r\n", { reason: "", body: "" }, "toEnd"],
  [
    "bytes above 0x7f in the reason",
    "HTTP/1.1 200 \xe9\x80\r\n\r\n",
    { reason: "\xe9\x80" },
    "toEnd",
  ],
  ["tab in the reason", "HTTP/1.1 200 a\tb\r\n\r\n", { reason: "a\tb" }, "toEnd"],
  ["HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", "hi"],
  ["HTTP/1.9", "HTTP/1.9 200 OK\r\nContent-Length: 2\r\n\r\nhi", "hi"],
  ["status 999", "HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n", { status: 999 }],
  ["status 099", "HTTP/1.1 099 x\r\n\r\n", badStatus('"HTTP/1.1 099 x"')],
  ["status of two digits", "HTTP/1.1 20 x\r\n\r\n", badStatus('"HTTP/1.1 20 x"')],
  ["status of four digits", "HTTP/1.1 2000 x\r\n\r\n", badStatus('"HTTP/1.1 2000 x"')],
  ["status with letters", "HTTP/1.1 2x0 x\r\n\r\n", badStatus('"HTTP/1.1 2x0 x"')],
  ["no status", "HTTP/1.1\r\n\r\n", badStatus('"HTTP/1.1"')],
  ["two spaces before the status", "HTTP/1.1  200 OK\r\n\r\n", badStatus('"HTTP/1.1  200 OK"')],
  ["tab before the status", "HTTP/1.1\t200 OK\r\n\r\n", badStatus('"HTTP/1.1\\t200 OK"')],
  ["tab behind the status", "HTTP/1.1 200\tOK\r\n\r\n", badStatus('"HTTP/1.1 200\\tOK"')],
  [
    "control character in the reason",
    "HTTP/1.1 200 a\0b\r\n\r\n",
    badStatus('"HTTP/1.1 200 a\\u0000b"'),
  ],
  ["DEL in the reason", "HTTP/1.1 200 \x7f\r\n\r\n", badStatus('"HTTP/1.1 200 \\u{7f}"')],
  ["bare CR in the status line", "HTTP/1.1 200 a\rb\r\n\r\n", badStatus('"HTTP/1.1 200 a\\rb"')],
  [
    "two CRs behind the status line",
    "HTTP/1.1 200 OK\r\r\n\r\n",
    badStatus('"HTTP/1.1 200 OK\\r"'),
  ],
  ["lower-case name", "http/1.1 200 OK\r\n\r\n", badStatus('"http/1.1 200 OK"')],
  ["two-digit minor version", "HTTP/1.10 200 OK\r\n\r\n", badStatus('"HTTP/1.10 200 OK"')],
  ["HTTP/2 in words", "HTTP/2 200\r\n\r\n", badStatus('"HTTP/2 200"')],
  ["HTTP/3 huh", "HTTP/3 huh\r\n", badStatus('"HTTP/3 huh"')],
  ["HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", badStatus('"PRI * HTTP/2.0"')],
  ["space before the status line", ` ${H}\r\n`, badStatus('" HTTP/1.1 200 OK"')],
  ["blank line before the status line", `\r\n${H}\r\n`, badStatus('""')],
  ["byte order mark", `\xef\xbb\xbf${H}\r\n`, badStatus('"ï»¿HTTP/1.1 200 OK"')],
  ["another protocol's greeting", "SSH-2.0-OpenSSH_9.2\r\n", badStatus('"SSH-2.0-OpenSSH_9.2"')],
  ["HTTP/0.9", "<p>hello", badStatus('"<p>hello"'), "toEnd"],
  [
    "TLS alert",
    "\x15\x03\x01\0\x02\x02\x46",
    badStatus('"\\u0015\\u0003\\u0001\\u0000\\u0002\\u0002F"'),
    "toEnd",
  ],
  ["long line, cut short", `${"x".repeat(100)}\r\n`, badStatus(`"${"x".repeat(80)}…"`)],
  ["nothing", "", closed(0, "the end of the status line"), "toEnd"],
  ["part of a status line", "HTTP/1.1 2", closed(10, "the end of the status line"), "toEnd"],
  ["part of the version", "HT", closed(2, "the end of the status line"), "toEnd"],

  // Line ends
  ["LF alone", "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", "hi"],
  ["LF and CRLF mixed", "HTTP/1.1 200 OK\nA: b\r\nContent-Length: 2\n\r\nhi", "hi"],
  ["bare CR in a value", `${H}A: b\rc\r\n\r\n`, badField('"A: b\\rc"')],
  ["bare CR for an empty line", `${H}A: b\r\n\r\r\n`, badField('"\\r"')],

  // Field lines
  ["fields in order, repeated, as spelt", `${H}b: 1\r\nA: 2\r\nB:3\r\nContent-Length: 0\r\n\r\n`, {
    fields: [["b", "1"], ["A", "2"], ["B", "3"], ["Content-Length", "0"]],
  }],
  ["white space around a value", `${H}A: \t b \t c\t \r\nContent-Length:0\r\n\r\n`, {
    fields: [["A", "b \t c"], ["Content-Length", "0"]],
  }],
  ["other white space is part of a value", `${H}A: \xa0b\x85\r\nContent-Length: 0\r\n\r\n`, {
    fields: [["A", "\xa0b\x85"], ["Content-Length", "0"]],
  }],
  ["empty value", `${H}A:\r\nB: \t\r\nContent-Length: 0\r\n\r\n`, {
    fields: [["A", ""], ["B", ""], ["Content-Length", "0"]],
  }],
  ["every character of a token", `${H}!#$%&'*+-.^_\`|~09azAZ: x\r\nContent-Length: 0\r\n\r\n`, {
    fields: [["!#$%&'*+-.^_`|~09azAZ", "x"], ["Content-Length", "0"]],
  }],
  ["no fields", `${H}\r\nhi`, { fields: [], body: "hi" }, "toEnd"],
  ["space before the colon", `${H}A : b\r\n\r\n`, badField('"A : b"')],
  ["tab before the colon", `${H}A\t: b\r\n\r\n`, badField('"A\\t: b"')],
  ["no colon", `${H}A b\r\n\r\n`, badField('"A b"')],
  ["empty name", `${H}: b\r\n\r\n`, badField('": b"')],
  ["name with a byte above 0x7f", `${H}\xe9: b\r\n\r\n`, badField('"é: b"')],
  ["name with a separator", `${H}A(b): c\r\n\r\n`, badField('"A(b): c"')],
  ["NUL in a value", `${H}A: b\0c\r\n\r\n`, badField('"A: b\\u0000c"')],
  ["DEL in a value", `${H}A: \x7f\r\n\r\n`, badField('"A: \\u{7f}"')],
  ["vertical tab in a value", `${H}A: b\x0bc\r\n\r\n`, badField('"A: b\\u000bc"')],
  ["folded line", `${H}A: b \r\n \t c\r\nContent-Length: 0\r\n\r\n`, {
    fields: [["A", "b c"], ["Content-Length", "0"]],
  }],
  ["folded lines, some empty", `${H}A:\r\n\tb\n \r\n  c\r\nContent-Length: 0\r\n\r\n`, {
    fields: [["A", "b c"], ["Content-Length", "0"]],
  }],
  ["folded length", `${H}Content-Length:\r\n 2\r\n\r\nhi`, "hi"],
  ["folded line first", `${H} A: b\r\n\r\n`, badField('" A: b"')],
  ["control character in a folded line", `${H}A: b\r\n c\0\r\n\r\n`, badField('" c\\u0000"')],
  ["head cut off", `${H}A: b\r\n`, closed(23, "the empty line behind the fields"), "toEnd"],

  // Interim responses
  ["100", `HTTP/1.1 100 Continue\r\n\r\n${OK_RESPONSE}`, "ok"],
  [
    "103 with fields, twice",
    `${"HTTP/1.1 103 Early\r\nContent-Length: 9\r\n\r\n".repeat(2)}${OK_RESPONSE}`,
    "ok",
  ],
  ["199", `HTTP/1.1 199\n\n${OK_RESPONSE}`, "ok"],
  ["101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", {
    error: "malformed: Cannot parse a switch of protocols that nobody asked for: " +
      '"HTTP/1.1 101 Switching Protocols"',
  }],
  [
    "nothing behind 100",
    "HTTP/1.1 100 Continue\r\n\r\n",
    closed(25, "the end of the status line"),
    "toEnd",
  ],
  ["other bytes behind 100", `HTTP/1.1 100 Continue\r\n\r\n\r\n${H}`, badStatus('""')],

  // No body
  ["204", "HTTP/1.1 204 No Content\r\n\r\n", { status: 204, body: "" }],
  ["204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", ""],
  ["304 with a coding", "HTTP/1.1 304 x\r\nTransfer-Encoding: gzip\r\n\r\n", {
    status: 304,
    body: "",
  }],
  ["204 with a bad length", "HTTP/1.1 204 x\r\nContent-Length: x\r\n\r\n", ""],

  // Content-Length
  ["length", `${H}Content-Length: 5\r\n\r\nhello`, "hello"],
  ["length in another case", `${H}cONTENT-lENGTH: 5\r\n\r\nhello`, "hello"],
  ["length 0", `${H}Content-Length: 0\r\n\r\n`, ""],
  ["length with zeros in front", `${H}Content-Length: 0005\r\n\r\nhello`, "hello"],
  ["bytes of all values", `${H}Content-Length: 6\r\n\r\n\0\r\n\x80\xff\n`, "\0\r\n\x80\xff\n"],
  ["the same length in a list", `${H}Content-Length: 2, 2\r\n\r\nhi`, "hi"],
  ["the same length in two fields", `${H}Content-Length: 2\r\nContent-Length: 02\r\n\r\nhi`, "hi"],
  ["two lengths in a list", `${H}Content-Length: 2, 3\r\n\r\nhi`, badLength('"2, 3"')],
  [
    "two lengths in two fields",
    `${H}Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi`,
    badLength('"2, 3"'),
  ],
  ["negative length", `${H}Content-Length: -1\r\n\r\n`, badLength('"-1"')],
  ["length with a sign", `${H}Content-Length: +1\r\n\r\nx`, badLength('"+1"')],
  ["hexadecimal length", `${H}Content-Length: 0x5\r\n\r\nhello`, badLength('"0x5"')],
  ["length with an exponent", `${H}Content-Length: 1e1\r\n\r\nhello`, badLength('"1e1"')],
  ["length with a fraction", `${H}Content-Length: 5.0\r\n\r\nhello`, badLength('"5.0"')],
  ["length with a space in it", `${H}Content-Length: 1 2\r\n\r\nhello`, badLength('"1 2"')],
  [
    "length with white space that HTTP does not know",
    `${H}Content-Length: \xa05\r\n\r\nhello`,
    badLength('"\u{a0}5"'),
  ],
  ["empty length", `${H}Content-Length:\r\n\r\n`, badLength('""')],
  ["length with an empty member", `${H}Content-Length: 5,\r\n\r\nhello`, badLength('"5, "')],
  [
    "body cut off",
    `${H}Content-Length: 128\r\n\r\nhello`,
    closed(45, "123 of 128 bytes of the body"),
    "toEnd",
  ],
  ["length above the limit", `${H}Content-Length: 1048577\r\n\r\n`, tooLarge("body", 2 ** 20)],
  ["length 10 ** 15", `${H}Content-Length: 1000000000000000\r\n\r\n`, tooLarge("body", 2 ** 20)],
  ["length 2 ** 65", `${H}Content-Length: 36893488147419103232\r\n\r\n`, tooLarge("body", 2 ** 20)],
  [
    "length of 400 digits",
    `${H}Content-Length: ${"9".repeat(400)}\r\n\r\n`,
    tooLarge("body", 2 ** 20),
  ],

  // To the close
  ["neither length nor chunks", `${H}A: b\r\n\r\nhello`, "hello", "toEnd"],
  ["nothing to the close", `${H}\r\n`, "", "toEnd"],
  ["identity, to the close", `${H}Transfer-Encoding: identity\r\n\r\nhello`, "hello", "toEnd"],

  // Transfer-Encoding
  ["chunks", `${CHUNKED}5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n`, "hello!"],
  ["no chunk", `${CHUNKED}0\r\n\r\n`, ""],
  ["coding in another case", `${H}transfer-encoding: CHUNKED\r\n\r\n2\r\nhi\r\n0\r\n\r\n`, "hi"],
  [
    "identity and empty members beside it",
    `${H}Transfer-Encoding: ,identity\r\nTransfer-Encoding: , chunked,\r\n\r\n2\r\nhi\r\n0\r\n\r\n`,
    "hi",
  ],
  [
    "chunks win over a length",
    `${H}Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n`,
    "hi",
  ],
  [
    "chunks win over a bad length",
    `${H}Transfer-Encoding: chunked\r\nContent-Length: x\r\n\r\n2\r\nhi\r\n0\r\n\r\n`,
    "hi",
  ],
  [
    "length beside identity",
    `${H}Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nhi`,
    "hi",
  ],
  ["gzip", `${H}Transfer-Encoding: gzip\r\n\r\n`, badCoding('"gzip"')],
  ["gzip, chunked", `${H}Transfer-Encoding: gzip, chunked\r\n\r\n`, badCoding('"gzip, chunked"')],
  [
    "gzip and chunked in two fields",
    `${H}Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n`,
    badCoding('"gzip, chunked"'),
  ],
  [
    "chunked twice",
    `${H}Transfer-Encoding: chunked, chunked\r\n\r\n`,
    badCoding('"chunked, chunked"'),
  ],
  [
    "chunked with a parameter",
    `${H}Transfer-Encoding: chunked;q=1\r\n\r\n`,
    badCoding('"chunked;q=1"'),
  ],
  [
    "chunked behind white space that HTTP does not know",
    `${H}Transfer-Encoding: \xa0chunked\r\n\r\n`,
    badCoding('"\u{a0}chunked"'),
  ],
  [
    "HTTP/1.0 with chunks",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "hi",
  ],

  // Chunks
  [
    "size in both cases, with zeros",
    `${CHUNKED}000A\r\n0123456789\r\n0a\r\n0123456789\r\n00\r\n\r\n`,
    "0123456789".repeat(2),
  ],
  ["white space behind the size", `${CHUNKED}2 \t \r\nhi\r\n0 \r\n\r\n`, "hi"],
  ["chunk extensions", `${CHUNKED}2;a=b;c="d \xe9\t"\r\nhi\r\n0 ; e\r\n\r\n`, "hi"],
  ["line ends in chunk data", `${CHUNKED}4\r\n\r\n\r\n\r\n0\r\n\r\n`, "\r\n\r\n"],
  ["LF behind the size", `${CHUNKED}2\nhi\r\n0\r\n\r\n`, badSize('"2"')],
  ["LF behind the last size", `${CHUNKED}2\r\nhi\r\n0\n\r\n`, badSize('"0"')],
  ["no size", `${CHUNKED}\r\nhi\r\n0\r\n\r\n`, badSize('""')],
  ["size with 0x", `${CHUNKED}0x2\r\nhi\r\n0\r\n\r\n`, badSize('"0x2"')],
  ["size with a sign", `${CHUNKED}+2\r\nhi\r\n0\r\n\r\n`, badSize('"+2"')],
  ["negative size", `${CHUNKED}-0\r\n\r\n`, badSize('"-0"')],
  ["size with other letters", `${CHUNKED}5xyz\r\nhello\r\n0\r\n\r\n`, badSize('"5xyz"')],
  ["space before the size", `${CHUNKED} 2\r\nhi\r\n0\r\n\r\n`, badSize('" 2"')],
  ["space in the size", `${CHUNKED}1 2\r\nhi\r\n0\r\n\r\n`, badSize('"1 2"')],
  [
    "control character in an extension",
    `${CHUNKED}2;a\0\r\nhi\r\n0\r\n\r\n`,
    badSize('"2;a\\u0000"'),
  ],
  ["bare CR in an extension", `${CHUNKED}2;a\rb\r\nhi\r\n0\r\n\r\n`, badSize('"2;a\\rb"')],
  ["data longer than the size", `${CHUNKED}2\r\nhi!\r\n0\r\n\r\n`, badEnd('"!\\r"')],
  ["LF behind the data", `${CHUNKED}2\r\nhi\n0\r\n\r\n`, badEnd('"\\n0"')],
  ["nothing behind the data", `${CHUNKED}2\r\nhi0\r\n\r\n`, badEnd('"0\\r"')],
  ["size above the limit", `${CHUNKED}100001\r\n`, tooLarge("body", 2 ** 20)],
  ["size ffffffffffffffff", `${CHUNKED}ffffffffffffffff\r\n`, tooLarge("body", 2 ** 20)],
  ["sizes above the limit together", `${CHUNKED}1\r\nx\r\n100000\r\n`, tooLarge("body", 2 ** 20)],
  [
    "closed before a chunk",
    `${CHUNKED}2\r\nhi\r\n`,
    closed(54, "the size of the next chunk"),
    "toEnd",
  ],
  ["closed in a chunk", `${CHUNKED}a\r\nhello`, closed(55, "5 of 10 bytes of a chunk"), "toEnd"],
  ["closed behind a chunk", `${CHUNKED}2\r\nhi\r`, closed(53, "the end of a chunk"), "toEnd"],

  // Trailer fields
  ["trailer fields", `${CHUNKED}2\r\nhi\r\n0\r\nA: b\r\nC: d\n\r\n`, {
    fields: [["Transfer-Encoding", "chunked"]],
    body: "hi",
  }],
  ["bad trailer field", `${CHUNKED}0\r\nA b\r\n\r\n`, badField('"A b"')],
  ["bare CR in a trailer field", `${CHUNKED}0\r\nA: \rb\r\n\r\n`, badField('"A: \\rb"')],
  ["folded trailer field first", `${CHUNKED}0\r\n A: b\r\n\r\n`, badField('" A: b"')],
  [
    "closed in the trailer section",
    `${CHUNKED}0\r\nA: b\r\n`,
    closed(56, "the empty line behind the fields"),
    "toEnd",
  ],
  [
    "closed before the last empty line",
    `${CHUNKED}0\r\n`,
    closed(50, "the empty line behind the fields"),
    "toEnd",
  ],
];

for (const [name, wire, expected, toEnd] of CASES) {
  Deno.test(`readResponse() takes: ${name}`, async () => {
    const whole = bytes(wire);
    const outcome = await outcomeOf([whole]);
    const wanted = typeof expected === "string" ? { body: expected } : expected;
    assertEquals({ ...outcome, ...wanted }, outcome);
    assertEquals(outcome.error, wanted.error);

    const bytewise = Array.from(whole, (_, at) => whole.subarray(at, at + 1));
    assertEquals(await outcomeOf(bytewise), outcome, "byte by byte");
    for (let cut = 1; cut < whole.length; cut++) {
      const parts = [whole.subarray(0, cut), whole.subarray(cut)];
      assertEquals(await outcomeOf(parts), outcome, `in two at ${cut}`);
    }
    if (toEnd) return;
    for (const rest of [H, "\r\n", "\0"]) {
      assertEquals(await outcomeOf([bytes(wire + rest)]), outcome, "with bytes behind it");
      assertEquals(await outcomeOf([whole, bytes(rest)]), outcome, "with bytes behind it");
    }
  });
}

Deno.test("readResponse() never takes a part of a response for the whole", async () => {
  for (const [name, wire, , toEnd] of CASES) {
    const whole = await outcomeOf([bytes(wire)]);
    if (whole.error) continue;
    for (let end = 0; end < wire.length; end++) {
      const part = await outcomeOf([bytes(wire.slice(0, end))]);
      const where = `${name}, cut off at ${end}`;
      if (part.error === undefined) {
        // Where the body runs to the close, nobody can tell; the head is whole in any case.
        assert(toEnd && whole.body!.startsWith(part.body!), where);
        assertEquals({ ...part, body: "" }, { ...whole, body: "" }, where);
      } else {
        const received =
          `closed-early: Cannot read the response: the connection closed after ${end} bytes, without `;
        assertStringIncludes(part.error, received, where);
      }
    }
  }
});

Deno.test("readResponse() tells what the source failed with, and takes no failure for an end", async () => {
  for (const wire of ["", H, `${H}\r\nhello`, `${H}Content-Length: 9\r\n\r\nhello`]) {
    const cause = new Error("cable cut");
    const error = await assertRejects(
      () => readResponse(sourceOf([bytes(wire)], cause)),
      KeyClientError,
      `after ${wire.length} bytes`,
    );
    assertEquals(error.code, "closed-early");
    assertStrictEquals(error.cause, cause);
    assertStringIncludes(error.message, ": cable cut");
  }
});

Deno.test("readResponse() puts up with empty reads, but not for ever", async () => {
  let reads = 0;
  const source = {
    read(p: Uint8Array): Promise<number | null> {
      if (reads++ % 5 !== 0) return Promise.resolve(0);
      p.set(bytes(OK_RESPONSE));
      return Promise.resolve(OK_RESPONSE.length);
    },
  };
  assertEquals(text((await readResponse(source)).body), "ok");
  const error = await assertRejects(
    () => readResponse({ read: () => Promise.resolve(0) }),
    KeyClientError,
  );
  assertEquals(error.code, "closed-early");
});

Deno.test("readResponse() checks maxBodySize", async () => {
  const read = (maxBodySize: unknown) =>
    readResponse(sourceOf([bytes(OK_RESPONSE)]), { maxBodySize: maxBodySize as number });
  await assertRejects(() => read("1"), TypeError, 'Cannot use maxBodySize "1"');
  await assertRejects(() => read(-1), RangeError, "Cannot use maxBodySize -1");
  assertEquals(text((await read(2)).body), "ok");
  await assertRejects(() => read(1), KeyClientError, "The body is larger than 1 bytes");
  await assertRejects(() => read(0), KeyClientError, "The body is larger than 0 bytes");
});

// ---- Limits

/** The parts again and again, until the reader has enough. */
function* endless(first: string, again: string): Generator<Uint8Array> {
  yield bytes(first);
  const part = bytes(again);
  for (;;) yield part;
}

const HEAD_LIMIT = 65_536;
const BODY_LIMIT = 100_000;
const ENDLESS: [name: string, first: string, again: string, part: "head" | "body"][] = [
  ["a status line", "HTTP/1.1 200 ", "x", "head"],
  ["a field line", `${H}A: `, "x".repeat(999), "head"],
  ["field lines", H, "A: b\r\n", "head"],
  ["folded lines", `${H}A: b\r\n`, " c\r\n", "head"],
  ["interim responses", "", "HTTP/1.1 100 Continue\r\n\r\n", "head"],
  ["a body to the close", `${H}\r\n`, "x".repeat(999), "body"],
  ["chunks", CHUNKED, "3e7\r\n" + "x".repeat(999) + "\r\n", "body"],
  ["chunks of one byte", CHUNKED, "1\r\nx\r\n", "body"],
  ["a chunk size", CHUNKED, "0", "head"],
  ["a chunk extension", `${CHUNKED}1;`, "x", "head"],
  ["chunk extensions", CHUNKED, `1;${"x".repeat(30)}\r\nx\r\n`, "head"],
  ["trailer fields", `${CHUNKED}0\r\n`, "A: b\r\n", "head"],
  ["blanks in a value", `${H}A: x`, " ".repeat(999), "head"],
];

for (const [name, first, again, part] of ENDLESS) {
  Deno.test(`readResponse() gives up on endless ${name}`, async () => {
    const source = sourceOf(endless(first, again));
    const error = await assertRejects(
      () => readResponse(source, { maxBodySize: BODY_LIMIT }),
      KeyClientError,
      `The ${part} is larger than ${part === "head" ? HEAD_LIMIT : BODY_LIMIT} bytes`,
    );
    assertEquals(error.code, "too-large");
    // A chunk of one byte takes six on the wire.
    assertLess(source.given, 6 * BODY_LIMIT + 300_000);
  });
}

Deno.test("readResponse() takes a head of 64 KiB and no byte more", async () => {
  const interim = "HTTP/1.1 100 Continue\r\n\r\n";
  const fixed = `${interim}${H}Content-Length: 2\r\nA: \r\n\r\n`.length;
  const value = "x".repeat(HEAD_LIMIT - fixed);
  const wire = `${interim}${H}Content-Length: 2\r\nA: ${value}\r\n\r\nok`;
  assertEquals((await outcomeOf([bytes(wire)])).body, "ok");
  const longer = wire.replace("A: ", "A: x");
  assertEquals(await outcomeOf([bytes(longer)]), tooLarge("head", HEAD_LIMIT));
});

Deno.test("readResponse() takes a body of the limit and no byte more, in every framing", async () => {
  const options = { maxBodySize: 5 };
  const body = (text: string) => [
    `${H}Content-Length: ${text.length}\r\n\r\n${text}`,
    `${H}\r\n${text}`,
    `${CHUNKED}${text.length}\r\n${text}\r\n0\r\n\r\n`,
    `${CHUNKED}${Array.from(text, (char) => `1\r\n${char}\r\n`).join("")}0\r\n\r\n`,
  ];
  for (const wire of body("hello")) {
    assertEquals((await outcomeOf([bytes(wire)], options)).body, "hello");
  }
  for (const wire of body("hello!")) {
    assertEquals(await outcomeOf([bytes(wire)], options), tooLarge("body", 5));
  }
});

Deno.test("readResponse() takes a body of one-byte chunks of the limit", async () => {
  const size = 300_000;
  const wire = bytes(`${CHUNKED}${"1\r\nx\r\n".repeat(size)}0\r\n\r\n`);
  const { body } = await readResponse(sourceOf([wire]), { maxBodySize: size });
  assertEquals(body.length, size);
});

Deno.test("readResponse() allocates nothing on a server's word", async () => {
  const announced = 2 ** 31 - 1;
  for (
    const [wire, sent] of [
      [`${H}Content-Length: ${announced}\r\n\r\n`, 10],
      [`${H}Content-Length: ${announced}\r\n\r\n`, 3_000_000],
      [`${CHUNKED}${announced.toString(16)}\r\n`, 3_000_000],
    ] as const
  ) {
    const source = sourceOf([bytes(wire), new Uint8Array(sent)]);
    const error = await assertRejects(
      () => readResponse(source, { maxBodySize: announced }),
      KeyClientError,
      `without ${announced - sent} of ${announced} bytes`,
    );
    assertEquals(error.code, "closed-early");
    assertLess(source.asked, 4 * sent + 300_000);
  }
});

Deno.test("readResponse() reads large bodies in every framing", async () => {
  const size = 3_000_000;
  const body = crypto.getRandomValues(new Uint8Array(60_000));
  const repeated = Array.from({ length: size / body.length }, () => body);
  const chunks = repeated.flatMap((part) => [bytes("ea60\r\n"), part, bytes("\r\n")]);
  for (
    const parts of [
      [bytes(`${H}Content-Length: ${size}\r\n\r\n`), ...repeated],
      [bytes(`${H}\r\n`), ...repeated],
      [bytes(CHUNKED), ...chunks, bytes("0\r\n\r\n")],
      [bytes(`${CHUNKED}${size.toString(16)}\r\n`), ...repeated, bytes("\r\n0\r\n\r\n")],
    ]
  ) {
    const response = await readResponse(sourceOf(parts), { maxBodySize: size });
    assertEquals(response.body.length, size);
    for (let at = 0; at < size; at += body.length) {
      assertEquals(response.body.subarray(at, at + body.length), body);
    }
  }
});

// ---- A listener that plays scripted bytes

/** One end of a connection, as the script of a server sees it. */
class Peer {
  #rest = "";
  constructor(readonly conn: Deno.TcpConn, readonly requests: string[]) {}

  /** Reads a whole request, and notes it. */
  async request(): Promise<string> {
    const buffer = new Uint8Array(65_536);
    while (!this.#rest.includes("\r\n\r\n")) {
      const count = await this.conn.read(buffer);
      if (count === null) throw new Error("the client closed the connection");
      this.#rest += text(buffer.subarray(0, count));
    }
    const end = this.#rest.indexOf("\r\n\r\n") + 4;
    const request = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end);
    this.requests.push(request);
    return request;
  }

  async send(wire: string): Promise<void> {
    const data = bytes(wire);
    for (let sent = 0; sent < data.length;) sent += await this.conn.write(data.subarray(sent));
  }

  async answer(wire: string): Promise<void> {
    await this.request();
    await this.send(wire);
  }

  /** Waits until the client has closed the connection. */
  async closed(): Promise<void> {
    const buffer = new Uint8Array(65_536);
    try {
      while (await this.conn.read(buffer) !== null);
    } catch {
      // reset
    }
  }
}

type Script = (peer: Peer) => Promise<void>;

/** Plays one script for each connection, the last one for all that follow. */
class ScriptedServer implements AsyncDisposable {
  readonly requests: string[] = [];
  connections = 0;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #open = new Set<Deno.TcpConn>();
  readonly #playing = new Set<Promise<void>>();
  readonly #accepting: Promise<void>;

  constructor(...scripts: Script[]) {
    this.#accepting = this.#accept(scripts);
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async #accept(scripts: Script[]): Promise<void> {
    for await (const conn of this.#listener) {
      const script = scripts[Math.min(this.connections++, scripts.length - 1)];
      this.#open.add(conn);
      const playing = script(new Peer(conn, this.requests)).catch(() => {}).finally(() => {
        if (this.#open.delete(conn)) conn.close();
        this.#playing.delete(playing);
      });
      this.#playing.add(playing);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#accepting;
    for (const conn of this.#open) conn.close();
    this.#open.clear();
    await Promise.all(this.#playing);
  }
}

const answering = (wire: string): Script => (peer) => peer.answer(wire);
/** Answers as long as requests come. */
const keeping = (...wires: string[]): Script => async (peer) => {
  for (const wire of wires) await peer.answer(wire);
  await peer.closed();
};
const silent: Script = (peer) => peer.closed();
const delay = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function codeOf(promise: Promise<unknown>): Promise<KeyClientErrorCode> {
  const error = await assertRejects(() => promise, KeyClientError);
  return error.code;
}

// ---- doKey() and doPut()

Deno.test("the module exports what its documentation lists, and no more", () => {
  assertEquals(Object.keys(keyClient).sort(), [
    "KeyClient",
    "KeyClientError",
    "doKey",
    "doPut",
    "readResponse",
  ]);
});

Deno.test("doKey() and doPut() hold the conversation with the practice server", async () => {
  await using server = startKeyServer({ port: 0 });
  const options = { port: server.addr.port, userId: "Ada" };
  const keyVal = await doKey(options);
  assertEquals(keyVal?.length, 128);
  assertEquals(await doPut(keyVal!, options), "Success: the key is right");
  assertEquals(await doPut(text(keyVal!), options), "Success: the key is right");
  assertStringIncludes(await doPut("0".repeat(128), options), "The key is wrong");
  assertStringIncludes(await doPut("abc", options), "The key is not 128 hex digits");
});

Deno.test("doKey() writes exactly these bytes", async () => {
  await using server = new ScriptedServer(answering(KEY_RESPONSE));
  assertEquals(await doKey({ port: server.port }), bytes(KEY));
  assertEquals(server.requests, [
    `KEY /user/User1/ HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n` +
    "User-Agent: key_client\r\nAccept: */*\r\nConnection: close\r\n\r\n",
  ]);
});

Deno.test("doPut() writes exactly these bytes", async () => {
  await using server = new ScriptedServer(answering(OK_RESPONSE));
  assertEquals(await doPut(bytes(KEY), { port: server.port, userId: "Ada" }), "ok");
  assertEquals(server.requests, [
    `PUT /key/Ada/${KEY}/ HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n` +
    "User-Agent: key_client\r\nAccept: */*\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
  ]);
});

Deno.test("KeyClient asks for no close", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE));
  using client = new KeyClient({ port: server.port });
  await client.requestKey();
  assertEquals(server.requests, [
    `KEY /user/User1/ HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n` +
    "User-Agent: key_client\r\nAccept: */*\r\n\r\n",
  ]);
});

Deno.test("doKey() and doPut() do not wait for the server to close", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE), keeping(OK_RESPONSE));
  assertEquals(await doKey({ port: server.port }), bytes(KEY));
  assertEquals(await doPut(KEY, { port: server.port }), "ok");
});

Deno.test("the user id and the key are one path segment each", async () => {
  await using server = new ScriptedServer(answering(OK_RESPONSE));
  const ids = [
    "a b",
    "a/b",
    "a?b#c",
    "%41",
    "é€😀",
    "\r\nHost: evil\r\n\r\n",
    "...",
    "-_.!~*'()",
    "\0",
  ];
  for (const id of ids) {
    await doKey({ port: server.port, userId: id });
    await doPut(id, { port: server.port, userId: id });
  }
  for (const [at, id] of ids.entries()) {
    for (const request of server.requests.slice(2 * at, 2 * at + 2)) {
      const [line, host] = request.split("\r\n");
      assertEquals(host, `Host: 127.0.0.1:${server.port}`);
      const [method, target, version] = line.split(" ");
      const segments = target.split("/").map(decodeURIComponent);
      assertEquals(segments, method === "KEY" ? ["", "user", id, ""] : ["", "key", id, id, ""]);
      assertEquals(version, "HTTP/1.1");
    }
  }
  assertEquals(server.requests.length, 2 * ids.length);
});

Deno.test("doPut() encodes a key of bytes byte by byte", async () => {
  await using server = new ScriptedServer(answering(OK_RESPONSE));
  const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  await doPut(all, { port: server.port });
  const segment = server.requests[0].split(" ")[1].split("/")[3];
  const decoded = segment.replace(/%(..)/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  assertEquals(bytes(decoded), all);
  await doPut(new TextEncoder().encode("é€😀"), { port: server.port });
  assertEquals(decodeURIComponent(server.requests[1].split(" ")[1].split("/")[3]), "é€😀");
});

Deno.test("the Host field names the host as RFC 9110 wants it", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE));
  await doKey({ port: server.port, hostname: "localhost" });
  assertStringIncludes(server.requests[0], `\r\nHost: localhost:${server.port}\r\n`);
  const v6 = Deno.listen({ hostname: "::1", port: 0 });
  for (const hostname of ["::1", "[::1]", "0:0:0:0:0:0:0:1"]) {
    const [peer, keyVal] = await Promise.all([
      v6.accept().then(async (conn) => {
        const peer = new Peer(conn, []);
        await peer.answer(KEY_RESPONSE);
        conn.close();
        return peer;
      }),
      doKey({ hostname, port: v6.addr.port }),
    ]);
    assertEquals(keyVal, bytes(KEY));
    const host = hostname.replace(/[[\]]/g, "");
    assertStringIncludes(peer.requests[0], `\r\nHost: [${host}]:${v6.addr.port}\r\n`);
  }
  v6.close();
});

Deno.test("doKey() takes white space of HTTP around the key, and nothing else", async () => {
  const answer = (body: string, status = "200 OK") =>
    `HTTP/1.1 ${status}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const cases: [wire: string, isKey: boolean][] = [
    [answer(`${KEY}\n`), true],
    [answer(` \t\r\n${KEY}\r\n\t `), true],
    [answer(KEY, "299 x"), true],
    [answer(KEY.toUpperCase()), true],
    [answer(KEY.slice(1)), false],
    [answer(`${KEY}0`), false],
    [answer(KEY.replace("0", "g")), false],
    [answer(KEY.replace("0", " ")), false],
    [answer(`\xa0${KEY}`), false],
    [answer(`\x0b${KEY}`), false],
    [answer(`\xef\xbb\xbf${KEY}`), false],
    [answer(`"${KEY}"`), false],
    [answer(KEY.replace("0", "\xd9\xa0")), false],
    [answer(""), false],
    [answer(KEY, "300 x"), false],
    [answer(KEY, "302 Found"), false],
    [answer(KEY, "404 x"), false],
    [answer(KEY, "600 x"), false],
    ["HTTP/1.1 204 No Content\r\n\r\n", false],
  ];
  for (const [wire, isKey] of cases) {
    await using server = new ScriptedServer(answering(wire));
    const keyVal = await doKey({ port: server.port });
    assertEquals(keyVal && text(keyVal), isKey ? /[\da-f]{128}/i.exec(wire)![0] : null, wire);
  }
});

Deno.test("doPut() returns the text of any status, decoded as a whole", async () => {
  const message = new TextEncoder().encode("\ufeffé€😀\xa0 ok \r\n");
  const body = `${text(message)}\xff\xe2\x82`;
  for (const status of [200, 201, 302, 400, 404, 405, 500, 999]) {
    await using server = new ScriptedServer(async (peer) => {
      await peer.request();
      await peer.send(`HTTP/1.1 ${status} x\r\nContent-Length: ${body.length}\r\n\r\n`);
      for (const char of body) await peer.send(char);
    });
    assertEquals(await doPut(KEY, { port: server.port }), "\ufeffé€😀\xa0 ok \r\n\ufffd\ufffd");
  }
});

Deno.test("doKey() is null and doPut() rejects where nothing usable comes", async () => {
  const refusing = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = refusing.addr;
  refusing.close();
  assertEquals(await doKey({ port }), null);
  const error = await assertRejects(() => doPut(KEY, { port }), KeyClientError);
  assertEquals(error.code, "connect-failed");
  assertStringIncludes(error.message, `Cannot connect to 127.0.0.1:${port}: Connection refused`);
  assert(error.cause instanceof Deno.errors.ConnectionRefused);

  const unknown = { port, hostname: "no-such-host.invalid" };
  assertEquals(await doKey(unknown), null);
  assertEquals(await codeOf(doPut(KEY, unknown)), "connect-failed");

  const scripts: [Script, KeyClientErrorCode][] = [
    [async () => {}, "closed-early"],
    [async (peer) => void await peer.request(), "closed-early"],
    [answering("HTTP/1.1 200 OK\r\n"), "closed-early"],
    [answering("hello\r\n"), "malformed"],
    [answering("hello"), "malformed"],
    [answering(`${H}Content-Length: 9999999\r\n\r\n`), "too-large"],
  ];
  for (const [script, code] of scripts) {
    await using server = new ScriptedServer(script);
    assertEquals(await doKey({ port: server.port }), null);
    assertEquals(await codeOf(doPut(KEY, { port: server.port })), code);
    assertEquals(server.connections, 2);
  }
});

Deno.test("KeyClient gives the reason, with the server's whole message", async () => {
  const long = "no such user\n".repeat(50);
  await using server = new ScriptedServer(
    answering(`HTTP/1.1 404 Not Found\r\n\r\n${long}`),
    answering(`${H}\r\nyou are\x1b[31m welcome`),
  );
  using client = new KeyClient({ port: server.port });
  const refused = await assertRejects(() => client.requestKey(), KeyClientError);
  assertEquals(refused.code, "refused");
  assertEquals(refused.status, 404);
  assertEquals(refused.cause, { status: 404, ok: false, message: long });
  assertStringIncludes(refused.message, 'The server answered with status 404: "no such user\\n');
  assertLess(refused.message.length, 200);
  const notKey = await assertRejects(() => client.requestKey(), KeyClientError);
  assertEquals(notKey.code, "not-a-key");
  assertEquals(notKey.status, 200);
  assertEquals(
    notKey.message,
    'The server did not answer with a key: "you are\\u001b[31m welcome"',
  );
  assertEquals(notKey.name, "KeyClientError");
});

Deno.test("a selection of the wire policy holds over a socket, byte by byte too", async () => {
  const selection = CASES.filter((_, at) => at % 7 === 0);
  for (const [name, wire, expected] of selection) {
    const wanted = typeof expected === "string" ? { body: expected } : expected;
    for (const step of [wire.length, 1]) {
      await using server = new ScriptedServer(async (peer) => {
        peer.conn.setNoDelay();
        await peer.request();
        for (let at = 0; at < wire.length; at += step) await peer.send(wire.slice(at, at + step));
      });
      const result = await doPut(KEY, { port: server.port })
        .then((body) => ({ body }), (error) => ({ error: `${error.code}: ${error.message}` }));
      if (wanted.error) assertEquals(result, { error: wanted.error }, name);
      else if (wanted.body !== undefined) assertEquals(result, { body: wanted.body }, name);
    }
  }
});

Deno.test("doPut() writes a request that takes many writes whole", async () => {
  await using server = new ScriptedServer(async (peer) => {
    await delay(20); // the client fills all buffers on the way
    await peer.answer(OK_RESPONSE);
  });
  const keyVal = "x".repeat(10_000_000);
  assertEquals(await doPut(keyVal, { port: server.port }), "ok");
  assertStringIncludes(server.requests[0].slice(0, 20), "PUT /key/User1/xxx");
  assertStringIncludes(server.requests[0].slice(10_000_000), "x/ HTTP/1.1\r\nHost: 127.0.0.1");
  assertEquals(server.requests[0].match(/x+(?=\/)/)?.[0].length, keyVal.length);
});

Deno.test("doPut() hears a server that answers without reading everything, and resets", async () => {
  await using server = new ScriptedServer(async (peer) => {
    await peer.send("HTTP/1.1 414 URI Too Long\r\nContent-Length: 8\r\n\r\ntoo long");
  });
  for (const size of [128, 10_000_000]) {
    assertEquals(await doPut("x".repeat(size), { port: server.port }), "too long");
  }
});

Deno.test("doPut() takes no reset for the end of a body", async () => {
  const server = createServer((socket) => {
    socket.once("data", () => {
      socket.write(`${H}\r\nhel`, () => setTimeout(() => socket.resetAndDestroy(), 20));
    });
  });
  const { port } = await new Promise<AddressInfo>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve(server.address() as AddressInfo));
  });
  const error = await assertRejects(() => doPut(KEY, { port }), KeyClientError);
  assertEquals(error.code, "closed-early");
  assert(error.cause instanceof Deno.errors.ConnectionReset);
  await new Promise((resolve) => server.close(resolve));
});

// ---- KeyClient and its connection

Deno.test("KeyClient sends both stages over one connection", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE, OK_RESPONSE, KEY_RESPONSE));
  using client = new KeyClient({ port: server.port });
  const keyVal = await client.requestKey();
  assertEquals(await client.verifyKey(keyVal), { status: 200, ok: true, message: "ok" });
  await client.requestKey();
  assertEquals(server.connections, 1);
  assertEquals(server.requests.map((request) => request.slice(0, 4)), ["KEY ", "PUT ", "KEY "]);
});

const HELLO = "\r\nContent-Length: 5\r\n\r\nhello";
const KEPT: [name: string, wire: string, isKept: boolean][] = [
  ["HTTP/1.1", `HTTP/1.1 200 OK${HELLO}`, true],
  ["HTTP/1.1 with chunks", `${CHUNKED}5\r\nhello\r\n0\r\n\r\n`, true],
  ["HTTP/1.1 with trailer fields", `${CHUNKED}5\r\nhello\r\n0\r\nConnection: close\r\n\r\n`, true],
  [
    "an interim response before",
    `HTTP/1.1 103 x\r\nConnection: close\r\n\r\nHTTP/1.1 200${HELLO}`,
    true,
  ],
  ["204", "HTTP/1.1 204 x\r\n\r\n", true],
  ["a 4xx", `HTTP/1.1 404 x${HELLO}`, true],
  ["HTTP/1.0 with keep-alive", `HTTP/1.0 200 OK\r\nConnection: Keep-Alive${HELLO}`, true],
  ["keep-alive among other options", `HTTP/1.0 200 OK\r\nConnection: a ,keep-alive${HELLO}`, true],
  ["HTTP/1.0", `HTTP/1.0 200 OK${HELLO}`, false],
  ["Connection: close", `HTTP/1.1 200 OK\r\nConnection: close${HELLO}`, false],
  [
    "HTTP/1.0 with chunks",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    false,
  ],
  ["close in another case, in a list", `HTTP/1.1 200 OK\r\nConnection: a,\tCLOSE${HELLO}`, false],
  [
    "close in a second field",
    `HTTP/1.1 200 OK\r\nConnection: a\r\nConnection: close${HELLO}`,
    false,
  ],
  ["close and keep-alive", `HTTP/1.1 200 OK\r\nConnection: keep-alive, close${HELLO}`, false],
  [
    "chunks and a length",
    `${H}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    false,
  ],
  ["bytes behind the message", `HTTP/1.1 200 OK${HELLO}\n`, false],
  ["a second response behind the first", `HTTP/1.1 200 OK${HELLO}${KEY_RESPONSE}`, false],
  ["bytes behind a 204", "HTTP/1.1 204 x\r\n\r\nhello", false],
];

for (const [name, wire, isKept] of KEPT) {
  Deno.test(`KeyClient ${isKept ? "keeps" : "does not keep"} the connection: ${name}`, async () => {
    await using server = new ScriptedServer(keeping(wire, KEY_RESPONSE), keeping(KEY_RESPONSE));
    using client = new KeyClient({ port: server.port });
    await client.verifyKey("x");
    assertEquals(await client.requestKey(), bytes(KEY));
    assertEquals(server.connections, isKept ? 1 : 2);
    assertEquals(server.requests.length, 2);
  });
}

Deno.test("KeyClient does not keep the connection of a body to the close", async () => {
  await using server = new ScriptedServer(answering(`${H}\r\nhello`), keeping(KEY_RESPONSE));
  using client = new KeyClient({ port: server.port });
  assertEquals((await client.verifyKey("x")).message, "hello");
  assertEquals(await client.requestKey(), bytes(KEY));
  assertEquals(server.connections, 2);
});

Deno.test("KeyClient does not keep a connection with bytes behind a large body", async () => {
  const size = 1_000_000;
  const large = `${H}Content-Length: ${size}\r\n\r\n${"x".repeat(size)}${KEY_RESPONSE}`;
  await using server = new ScriptedServer(keeping(large), keeping(OK_RESPONSE));
  using client = new KeyClient({ port: server.port });
  assertEquals((await client.verifyKey("x")).message.length, size);
  assertEquals((await client.verifyKey("x")).message, "ok");
  assertEquals(server.connections, 2);
});

Deno.test("KeyClient takes bytes that come between two requests for no response", async () => {
  await using server = new ScriptedServer(async (peer) => {
    await peer.answer(KEY_RESPONSE);
    await delay(5);
    await peer.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
    await peer.closed();
  }, keeping(OK_RESPONSE));
  using client = new KeyClient({ port: server.port });
  await client.requestKey();
  await delay(30);
  assertEquals((await client.verifyKey(KEY)).message, "ok");
  assertEquals(server.connections, 2);
});

Deno.test("KeyClient sees that the server has closed the idle connection", async () => {
  for (const again of ["KEY", "PUT"]) {
    await using server = new ScriptedServer(answering(KEY_RESPONSE), keeping(KEY_RESPONSE));
    using client = new KeyClient({ port: server.port });
    await client.requestKey();
    await delay(20);
    if (again === "KEY") await client.requestKey();
    else await client.verifyKey(KEY);
    assertEquals(server.connections, 2);
    assertEquals(server.requests.length, 2);
  }
});

/** Keeps the connection until a second request has come, and closes then. */
const closing = (second: (peer: Peer) => Promise<void>): Script => async (peer) => {
  await peer.answer(KEY_RESPONSE);
  await second(peer);
};
const afterRequest = closing(async (peer) => void await peer.request());
const duringRequest = closing(async (peer) => void await peer.conn.read(new Uint8Array(1)));

Deno.test("KeyClient sends PUT once more if a kept connection closes unanswered", async () => {
  for (const script of [afterRequest, duringRequest]) {
    await using server = new ScriptedServer(script, keeping(OK_RESPONSE));
    using client = new KeyClient({ port: server.port });
    const keyVal = await client.requestKey();
    assertEquals((await client.verifyKey(keyVal)).message, "ok");
    assertEquals(server.connections, 2);
  }
});

Deno.test("KeyClient sends PUT twice at the most", async () => {
  await using server = new ScriptedServer(afterRequest, async (peer) => void await peer.request());
  using client = new KeyClient({ port: server.port });
  await client.requestKey();
  assertEquals(await codeOf(client.verifyKey(KEY)), "closed-early");
  assertEquals(server.requests.map((request) => request.slice(0, 3)), ["KEY", "PUT", "PUT"]);
});

Deno.test("KeyClient sends KEY once, whatever happens", async () => {
  for (const script of [afterRequest, duringRequest]) {
    await using server = new ScriptedServer(script, keeping(KEY_RESPONSE));
    using client = new KeyClient({ port: server.port });
    await client.requestKey();
    assertEquals(await codeOf(client.requestKey()), "closed-early");
    assertEquals(server.connections, 1);
    assertEquals(await client.requestKey(), bytes(KEY));
  }
});

Deno.test("KeyClient sends nothing twice over a new connection, or once a byte has come", async () => {
  const scripts: [Script, KeyClientErrorCode][] = [
    [async (peer) => void await peer.request(), "closed-early"],
    [keeping(), "timed-out"],
    [answering("H"), "closed-early"],
    [answering("h\n"), "malformed"],
  ];
  for (const [script, code] of scripts) {
    await using fresh = new ScriptedServer(script);
    using first = new KeyClient({ port: fresh.port, timeout: 300 });
    assertEquals(await codeOf(first.verifyKey(KEY)), code);
    assertEquals(fresh.connections, 1);
    if (code === "closed-early" && script === scripts[0][0]) continue;
    await using kept = new ScriptedServer(closing(script));
    using second = new KeyClient({ port: kept.port, timeout: 300 });
    await second.requestKey();
    assertEquals(await codeOf(second.verifyKey(KEY)), code);
    assertEquals(kept.connections, 1);
  }
});

Deno.test("KeyClient hears a server that answers over a kept connection and resets", async () => {
  const script = closing(async (peer) => {
    await peer.conn.read(new Uint8Array(1));
    await peer.send(OK_RESPONSE);
  });
  await using server = new ScriptedServer(script, keeping(KEY_RESPONSE));
  using client = new KeyClient({ port: server.port });
  await client.requestKey();
  assertEquals((await client.verifyKey(KEY)).message, "ok");
  await delay(20);
  assertEquals(await client.requestKey(), bytes(KEY));
  assertEquals(server.connections, 2);
});

Deno.test("KeyClient goes on after every kind of failure, over a new connection", async () => {
  const abort = new AbortController();
  const failures: Script[] = [
    answering("HTTP/1.1 200"),
    answering("\r\n"),
    answering(`${H}Content-Length: 9999999\r\n\r\n`),
    silent,
    keeping(`${H}Content-Length: 9\r\n\r\nlate`),
  ];
  for (const script of failures) {
    await using server = new ScriptedServer(script, keeping(KEY_RESPONSE, OK_RESPONSE));
    using client = new KeyClient({ port: server.port, timeout: 200, signal: abort.signal });
    await assertRejects(() => client.requestKey(), KeyClientError);
    assertEquals(await client.requestKey(), bytes(KEY));
    assertEquals((await client.verifyKey(KEY)).message, "ok");
    assertEquals(server.connections, 2);
  }
});

Deno.test("KeyClient allows each response a head of 64 KiB", async () => {
  const large = KEY_RESPONSE.replace("\r\n", `\r\nA: ${"x".repeat(60_000)}\r\n`);
  await using server = new ScriptedServer(keeping(large, large, large));
  using client = new KeyClient({ port: server.port });
  for (let n = 0; n < 3; n++) assertEquals(await client.requestKey(), bytes(KEY));
  assertEquals(server.connections, 1);
});

Deno.test("KeyClient does one exchange at a time", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE));
  using client = new KeyClient({ port: server.port });
  const first = client.requestKey();
  const message = "Cannot send: another exchange is under way";
  await assertRejects(() => client.requestKey(), TypeError, message);
  await assertRejects(() => client.verifyKey(KEY), TypeError, message);
  assertEquals(await first, bytes(KEY));
  assertEquals(server.requests.length, 1);
});

Deno.test("KeyClient.close() ends an exchange, and the client for good", async () => {
  await using server = new ScriptedServer(silent);
  const client = new KeyClient({ port: server.port });
  client.close();
  client.close();
  await assertRejects(() => client.requestKey(), TypeError, "Cannot send: the client is closed");
  for (const wait of [0, 20]) {
    const other = new KeyClient({ port: server.port });
    const pending = other.requestKey();
    if (wait) await delay(wait);
    other[Symbol.dispose]();
    const error = await assertRejects(() => pending, DOMException, "The client was closed");
    assertEquals(error.name, "AbortError");
  }
});

Deno.test("onMessage gets each message as it was on the wire", async () => {
  const early = "HTTP/1.1 103 Early\nA: b\n\n";
  const chunked = `${CHUNKED}5;x\r\nhello\r\n0\r\nT: u\r\n\r\n`;
  await using server = new ScriptedServer(keeping(KEY_RESPONSE, early + chunked));
  const messages: WireMessage[] = [];
  using client = new KeyClient({
    port: server.port,
    onMessage: (message) => messages.push(message),
  });
  const start = performance.now();
  await client.requestKey();
  await client.verifyKey(KEY);
  const [keyRequest, putRequest] = server.requests;
  assertEquals(
    messages.map(({ direction, head, body }) => [direction, text(head), text(body)]),
    [
      ["request", keyRequest, ""],
      ["response", KEY_RESPONSE.slice(0, -128), KEY],
      ["request", putRequest, ""],
      ["response", early, ""],
      ["response", CHUNKED, chunked.slice(CHUNKED.length)],
    ],
  );
  const times = [start, ...messages.map(({ time }) => time), performance.now()];
  assertEquals(times, times.toSorted((a, b) => a - b));
});

Deno.test("onMessage gets what came of a response that failed", async () => {
  for (
    const [head, body] of [["HTTP/1.1 200 OK\r\nA b\r\n\r\n", ""], [CHUNKED, "2\r\nhi\r\nx\r\n"]]
  ) {
    await using server = new ScriptedServer(answering(head + body));
    const messages: string[] = [];
    using client = new KeyClient({
      port: server.port,
      onMessage: ({ head, body }) => messages.push(text(head), text(body)),
    });
    assertEquals(await codeOf(client.requestKey()), "malformed");
    assertEquals(messages.slice(2).join(""), head + body);
  }
});

Deno.test("onMessage is not called again once it has thrown", async () => {
  await using server = new ScriptedServer(keeping(`${KEY_RESPONSE}more`));
  let calls = 0;
  using client = new KeyClient({
    port: server.port,
    onMessage({ direction }) {
      if (direction === "response") throw new Error(`call ${++calls}`);
    },
  });
  await assertRejects(() => client.requestKey(), Error, "call 1");
  assertEquals(calls, 1);
});

Deno.test("what onMessage throws fails the exchange, and closes the connection", async () => {
  for (const direction of ["request", "response"]) {
    await using server = new ScriptedServer(keeping(KEY_RESPONSE));
    const mistake = new Error("mistake");
    using client = new KeyClient({
      port: server.port,
      onMessage(message) {
        if (message.direction === direction) throw mistake;
      },
    });
    assertStrictEquals(await client.requestKey().catch((error) => error), mistake);
  }
});

// ---- Time-outs and aborts

/** A listener whose backlog is full, so that connecting to it does not end. */
async function fullBacklog(): Promise<Disposable & { port: number }> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
  const { port } = listener.addr;
  const conns = await Promise.all([Deno.connect({ port }), Deno.connect({ port })]);
  return {
    port,
    [Symbol.dispose]() {
      for (const conn of conns) conn.close();
      listener.close();
    },
  };
}

const MOMENTS: [name: string, script: Script][] = [
  ["before the first byte", silent],
  ["in the status line", keeping("HTTP/1.1 2")],
  ["in the head", keeping("HTTP/1.1 200 OK\r\nA: b\r\n")],
  ["behind an interim response", keeping("HTTP/1.1 100 x\r\n\r\n")],
  ["in a body with a length", keeping(`${H}Content-Length: 9\r\n\r\nhello`)],
  ["in a body to the close", keeping(`${H}\r\nhello`)],
  ["in a chunk size", keeping(`${CHUNKED}5`)],
  ["in a chunk", keeping(`${CHUNKED}5\r\nhel`)],
  ["between two chunks", keeping(`${CHUNKED}5\r\nhello\r\n`)],
  ["in the trailer section", keeping(`${CHUNKED}0\r\nA: b\r\n`)],
];

for (const [name, script] of MOMENTS) {
  Deno.test(`a time-out and an abort end an exchange ${name}`, async () => {
    await using server = new ScriptedServer(script);
    const { port } = server;
    const error = await assertRejects(() => doPut(KEY, { port, timeout: 100 }), KeyClientError);
    assertEquals(error.code, "timed-out");
    assertStringIncludes(error.message, "Cannot get a response: timed out after 100 ms, with ");
    assertEquals(await doKey({ port, timeout: 100 }), null);

    const abort = new AbortController();
    setTimeout(() => abort.abort("enough"), 50);
    const reason = await doPut(KEY, { port, signal: abort.signal }).catch((reason) => reason);
    assertEquals(reason, "enough");
    const timeout = AbortSignal.timeout(50);
    assertEquals(await doKey({ port, signal: timeout }), null);
  });
}

Deno.test("a time-out and an abort end connecting", async () => {
  using server = await fullBacklog();
  const { port } = server;
  const error = await assertRejects(() => doPut(KEY, { port, timeout: 100 }), KeyClientError);
  assertEquals(error.code, "timed-out");
  assertEquals(error.message, "Cannot get a response: timed out after 100 ms, while connecting");
  assertEquals(await doKey({ port, timeout: 100 }), null);
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 30);
  const reason = await assertRejects(
    () => doPut(KEY, { port, signal: abort.signal }),
    DOMException,
  );
  assertStrictEquals(reason, abort.signal.reason);
  using client = new KeyClient({ port });
  const pending = client.requestKey();
  await delay(10);
  client.close();
  await assertRejects(() => pending, DOMException, "The client was closed");
});

Deno.test("a time-out and an abort end writing", async () => {
  await using server = new ScriptedServer(() => delay(300).then(() => {}));
  const keyVal = "x".repeat(10_000_000);
  const { port } = server;
  assertEquals(await codeOf(doPut(keyVal, { port, timeout: 100 })), "timed-out");
  const abort = new AbortController();
  setTimeout(() => abort.abort(0), 100);
  assertEquals(await doPut(keyVal, { port, signal: abort.signal }).catch((error) => error), 0);
});

Deno.test("the time-out is for the whole exchange, however often bytes come", async () => {
  await using server = new ScriptedServer(async (peer) => {
    await peer.request();
    for (;;) {
      await peer.send("HTTP/1.1 100 Continue\r\n\r\n");
      await delay(5);
    }
  });
  assertEquals(await codeOf(doPut(KEY, { port: server.port, timeout: 60 })), "timed-out");
});

Deno.test("an abort before the call opens no connection", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE));
  const options = { port: server.port, signal: AbortSignal.abort("no") };
  assertEquals(await doPut(KEY, options).catch((reason) => reason), "no");
  assertEquals(await doKey(options), null);
  assertEquals(server.connections, 0);
});

Deno.test("an abort after the answer changes nothing", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE), keeping(OK_RESPONSE));
  const abort = new AbortController();
  using client = new KeyClient({ port: server.port, signal: abort.signal });
  assertEquals(await client.requestKey(), bytes(KEY));
  abort.abort("late");
  assertEquals(await client.verifyKey(KEY).catch((reason) => reason), "late");
});

/** Calls `use` while Deno.connect's connections go through `change` first. */
async function withConnect(
  change: (conn: Deno.TcpConn) => void,
  use: () => Promise<void>,
): Promise<void> {
  const { connect } = Deno;
  Deno.connect = (async (options: Deno.ConnectOptions) => {
    const conn = await connect(options);
    change(conn);
    return conn;
  }) as typeof connect;
  try {
    await use();
  } finally {
    Deno.connect = connect;
  }
}

Deno.test("an abort at the moment that the connection is made closes it", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE));
  const abort = new AbortController();
  await withConnect(() => abort.abort("now"), async () => {
    const options = { port: server.port, signal: abort.signal };
    assertEquals(await doPut(KEY, options).catch((reason) => reason), "now");
  });
  assertEquals(server.requests, []);
});

Deno.test("an abort while a kept connection is looked at opens no other one", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE, OK_RESPONSE));
  const abort = new AbortController();
  using client = new KeyClient({ port: server.port, signal: abort.signal });
  await client.requestKey();
  const pending = client.verifyKey(KEY);
  abort.abort("now");
  assertEquals(await pending.catch((reason) => reason), "now");
  await delay(20);
  assertEquals(server.connections, 1);
});

Deno.test("the first reason to stop is the one that counts", async () => {
  await using server = new ScriptedServer(silent);
  const abort = new AbortController();
  const client = new KeyClient({ port: server.port, signal: abort.signal });
  const pending = client.requestKey();
  abort.abort("first");
  client.close();
  assertEquals(await pending.catch((reason) => reason), "first");
});

Deno.test("an abort at any time loses no socket", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE));
  for (let round = 0; round < 40; round++) {
    const keys = await Promise.all(Array.from({ length: 50 }, (_, at) => {
      const abort = new AbortController();
      setTimeout(() => abort.abort(), at % 3);
      return doKey({ port: server.port, signal: abort.signal });
    }));
    assert(keys.every((key) => key === null || key.length === 128));
  }
});

Deno.test("a long-lived signal keeps no listener", async () => {
  await using server = startKeyServer({ port: 0 });
  const { signal } = new AbortController();
  let listeners = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    listeners++;
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
    listeners--;
    removeEventListener.apply(signal, args);
  };
  using client = new KeyClient({ port: server.addr.port, signal });
  let most = 0;
  for (let call = 0; call < 1000; call++) {
    const pending = call % 2 ? doKey({ port: server.addr.port, signal }) : client.requestKey();
    most = Math.max(most, listeners);
    await pending;
    assertEquals(listeners, 0);
  }
  assertEquals(most, 1);
});

Deno.test("2,000 calls in a row and 500 at once leave nothing behind", async () => {
  await using server = startKeyServer({ port: 0 });
  const { port } = server.addr;
  for (let call = 0; call < 2000; call++) {
    assertEquals((await doKey({ port }))?.length, 128);
  }
  const keys = await Promise.all(
    Array.from({ length: 500 }, (_, at) => doKey({ port, userId: `user ${at}` })),
  );
  assert(keys.every((key) => key?.length === 128));
});

// ---- Mistakes of the caller

const MISTAKES: [options: unknown, type: ErrorConstructor, message: string][] = [
  [null, TypeError, "Cannot use options null: it must be an object"],
  ["127.0.0.1", TypeError, 'Cannot use options "127.0.0.1": it must be an object'],
  [{ port: "5000" }, TypeError, 'Cannot use port "5000": it must be a number'],
  [{ port: null }, TypeError, "Cannot use port null: it must be a number"],
  [{ port: 5000n }, TypeError, "Cannot use port 5000n: it must be a number"],
  [{ port: Symbol("x") }, TypeError, "Cannot use port Symbol(x): it must be a number"],
  [{ port: 0 }, RangeError, "Cannot use port 0: it must be 1 to 65535"],
  [{ port: 65536 }, RangeError, "Cannot use port 65536: it must be 1 to 65535"],
  [{ port: 80.5 }, RangeError, "Cannot use port 80.5: it must be 1 to 65535"],
  [{ port: NaN }, RangeError, "Cannot use port NaN: it must be 1 to 65535"],
  [{ timeout: null }, TypeError, "Cannot use timeout null: it must be a number"],
  [{ timeout: "10" }, TypeError, 'Cannot use timeout "10": it must be a number'],
  [{ timeout: 0 }, RangeError, "Cannot use timeout 0: it must be above 0, at most 2147483647"],
  [{ timeout: -1 }, RangeError, "Cannot use timeout -1"],
  [{ timeout: NaN }, RangeError, "Cannot use timeout NaN"],
  [{ timeout: Infinity }, RangeError, "Cannot use timeout Infinity"],
  [{ timeout: 2 ** 31 }, RangeError, "Cannot use timeout 2147483648"],
  [{ maxBodySize: "1" }, TypeError, 'Cannot use maxBodySize "1": it must be a number'],
  [{ maxBodySize: -1 }, RangeError, "Cannot use maxBodySize -1: it must be 0 to 2147483647"],
  [{ maxBodySize: 1.5 }, RangeError, "Cannot use maxBodySize 1.5"],
  [{ maxBodySize: Infinity }, RangeError, "Cannot use maxBodySize Infinity"],
  [{ hostname: "" }, TypeError, 'Cannot use hostname "": it must be a host name or an IP address'],
  [{ hostname: null }, TypeError, "Cannot use hostname null"],
  [{ hostname: 127 }, TypeError, "Cannot use hostname 127"],
  [{ hostname: "a b" }, TypeError, 'Cannot use hostname "a b"'],
  [{ hostname: "a\r\nX: y" }, TypeError, 'Cannot use hostname "a\\r\\nX: y"'],
  [{ hostname: "http://a/" }, TypeError, 'Cannot use hostname "http://a/"'],
  [{ hostname: "a:80" }, TypeError, 'Cannot use hostname "a:80"'],
  [{ hostname: "user@a" }, TypeError, 'Cannot use hostname "user@a"'],
  [{ hostname: "b\u00fccher" }, TypeError, 'Cannot use hostname "bücher"'],
  [{ hostname: "[::1" }, TypeError, 'Cannot use hostname "[::1"'],
  [{ hostname: "::1%a b" }, TypeError, 'Cannot use hostname "::1%a b"'],
  [{ userId: "" }, TypeError, 'Cannot use userId "": it must be other than "", "." and ".."'],
  [{ userId: "." }, TypeError, 'Cannot use userId ".": it must be other than'],
  [{ userId: ".." }, TypeError, 'Cannot use userId "..": it must be other than'],
  [{ userId: null }, TypeError, "Cannot use userId null: it must be text"],
  [{ userId: 7 }, TypeError, "Cannot use userId 7: it must be text"],
  [{ userId: "a\ud800" }, TypeError, 'Cannot use userId "a\\ud800": it must be without lone'],
  [{ signal: null }, TypeError, "Cannot use signal null: it must be an AbortSignal"],
  [{ signal: new AbortController() }, TypeError, "Cannot use signal AbortController"],
  [{ onMessage: null }, TypeError, "Cannot use onMessage null: it must be a function"],
  [{ onMessage: "x" }, TypeError, 'Cannot use onMessage "x": it must be a function'],
];

Deno.test("mistakes in the options are found and named before a socket is opened", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE));
  for (const [mistake, type, message] of MISTAKES) {
    const isObject = typeof mistake === "object" && mistake !== null;
    const options = (isObject ? { port: server.port, ...mistake } : mistake) as KeyClientOptions;
    assertThrows(() => new KeyClient(options), type, message);
    await assertRejects(() => doPut(KEY, options), type, message);
    assertEquals(await doKey(options), null);
  }
  assertEquals(server.connections, 0);
});

Deno.test("mistakes in the key are found and named before a socket is opened", async () => {
  await using server = new ScriptedServer(keeping(OK_RESPONSE));
  const { port } = server;
  const mistakes: [unknown, string][] = [
    [null, "Cannot use keyVal null: it must be text"],
    [undefined, "Cannot use keyVal undefined: it must be text"],
    [7, "Cannot use keyVal 7: it must be text"],
    [["a"], 'Cannot use keyVal [ "a" ]: it must be text'],
    ["", 'Cannot use keyVal "": it must be other than "", "." and ".."'],
    [new Uint8Array(), 'Cannot use keyVal "": it must be other than'],
    [".", 'Cannot use keyVal ".": it must be other than'],
    [bytes(".."), 'Cannot use keyVal "..": it must be other than'],
    ["a\udc00", 'Cannot use keyVal "a\\udc00": it must be without lone surrogates'],
  ];
  using client = new KeyClient({ port });
  for (const [mistake, message] of mistakes) {
    await assertRejects(() => doPut(mistake as string, { port }), TypeError, message);
    await assertRejects(() => client.verifyKey(mistake as string), TypeError, message);
  }
  assertEquals(server.connections, 0);
  assertEquals((await client.verifyKey("ok")).message, "ok");
});

Deno.test("undefined options mean the defaults", () => {
  using _none = new KeyClient();
  using _undefined = new KeyClient({
    hostname: undefined,
    port: undefined,
    userId: undefined,
    timeout: undefined,
    signal: undefined,
    maxBodySize: undefined,
    onMessage: undefined,
  });
  using _limits = new KeyClient({ port: 65535, timeout: 2 ** 31 - 1, maxBodySize: 0 });
  using _least = new KeyClient({ port: 1, timeout: 0.1, maxBodySize: 2 ** 31 - 1 });
});

// ---- Fuzz

/** A small generator of numbers from 0 to below 1, always the same for a seed. */
function random(seed: number): () => number {
  return () => {
    seed = seed + 0x6d2b79f5 | 0;
    let t = Math.imul(seed ^ seed >>> 15, 1 | seed);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  };
}

const MUTANTS = [
  "\r",
  "\n",
  "\r\n",
  "\0",
  " ",
  "\t",
  ":",
  ";",
  ",",
  "0",
  "1",
  "f",
  "-",
  "\xff",
  "\x80",
  "x",
  "HTTP/1.1 ",
  "100",
  "200",
  "204",
  "Content-Length: 5\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Connection: close\r\n",
  "chunked",
  "identity",
  "ffffffff",
  KEY,
];

Deno.test(`${FUZZ_ROUNDS} mutated responses settle the same way, whole and split`, async () => {
  const next = random(1);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)];
  const seeds = [
    KEY_RESPONSE,
    ...CASES.map(([, wire]) => wire).filter((wire) => wire.length < 400),
  ];
  for (let round = 0; round < FUZZ_ROUNDS; round++) {
    let wire = pick(seeds);
    for (let times = Math.ceil(next() * 3); times > 0; times--) {
      const at = Math.floor(next() * (wire.length + 1));
      const dropped = Math.floor(next() * 4);
      wire = wire.slice(0, at) + (next() < 0.8 ? pick(MUTANTS) : "") + wire.slice(at + dropped);
    }
    const whole = bytes(wire);
    const cuts = [next(), next(), next()].map((n) => Math.floor(n * whole.length)).sort((a, b) =>
      a - b
    );
    const parts = [0, ...cuts].map((from, at) => whole.subarray(from, cuts[at]));
    const outcome = await outcomeOf([whole]); // fails on anything but a KeyClientError
    const where = `seed 1, round ${round}: ${JSON.stringify(wire)}`;
    assertEquals(await outcomeOf(parts), outcome, where);
  }
});

Deno.test("doKey() only ever gives 128 hex digits or null, also for mutated responses", async () => {
  const next = random(2);
  let wire = "";
  await using server = new ScriptedServer(async (peer) => await peer.answer(wire));
  let keys = 0;
  for (let round = 0; round < FUZZ_ROUNDS / 10; round++) {
    const at = Math.floor(next() * KEY_RESPONSE.length);
    const mutant = MUTANTS[Math.floor(next() * MUTANTS.length)];
    wire = KEY_RESPONSE.slice(0, at) + mutant + KEY_RESPONSE.slice(at + mutant.length);
    const keyVal = await doKey({ port: server.port });
    if (keyVal === null) continue;
    keys++;
    assertEquals(/^[\da-fA-F]{128}$/.test(text(keyVal)), true, JSON.stringify(wire));
  }
  assert(keys > 0);
});
