import {
  assert,
  assertEquals,
  assertLess,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
} from "@std/assert";
import { doPut, KeyClientError, readResponse } from "../key_client.ts";
import { bytes, FUZZ_ROUNDS, random, text } from "./bytes.ts";

const HEAD_LIMIT = 65_536;

/** A source that returns one part per read if it fits, and then ends or fails. */
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

/** The result of a response: either an error, or all other properties. */
interface Outcome {
  minorVersion?: number;
  status?: number;
  reason?: string;
  fields?: [name: string, value: string][];
  body?: string;
  error?: string;
}

async function outcomeOf(
  parts: Iterable<Uint8Array>,
  options?: { maxBodySize?: number },
): Promise<Outcome> {
  try {
    const response = await readResponse(sourceOf(parts), options);
    return { ...response, body: text(response.body) };
  } catch (error) {
    if (!(error instanceof KeyClientError)) throw error;
    return { error: `${error.code}: ${error.message}` };
  }
}

// ---- Helpers for the rows of the wire policy

const H = "HTTP/1.1 200 OK\r\n";
const EMPTY = "Content-Length: 0\r\n\r\n"; // the end of a head
const OK_RESPONSE = `${H}Content-Length: 2\r\n\r\nok`;
const CHUNKED = `${H}Transfer-Encoding: chunked\r\n\r\n`;
const TE = "Transfer-Encoding: ";
const HI = "2\r\nhi\r\n0\r\n\r\n"; // in one chunk

interface Row {
  verb: "accepts" | "refuses";
  name: string;
  wire: string;
  /** The part of the outcome that the row tests. */
  wanted: Outcome;
  /** Whether the end of the connection is part of the message, so that no bytes can follow it. */
  toEnd: boolean;
}

type Refusal = Pick<Row, "wire"> & { error: string; toEnd?: boolean };

function accepts(name: string, wire: string, wanted: string | Outcome, toEnd = false): Row {
  if (typeof wanted === "string") wanted = { body: wanted };
  return { verb: "accepts", name, wire, wanted, toEnd };
}

const acceptsToEnd = (name: string, wire: string, wanted: string | Outcome) =>
  accepts(name, wire, wanted, true);

const acceptsFields = (name: string, lines: string, ...fields: [string, string][]) =>
  accepts(name, `${H}${lines}\r\n${EMPTY}`, { fields: [...fields, ["Content-Length", "0"]] });

function refuses(name: string, { wire, error, toEnd = false }: Refusal): Row {
  return { verb: "refuses", name, wire, wanted: { error }, toEnd };
}

/** Quotes like the client's messages: on one line, shortened, with control characters escaped. */
function quoted(text: string): string {
  const short = text.length > 80 ? `${text.slice(0, 80)}...` : text;
  return JSON.stringify(short).replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`,
  );
}

const malformed = (wire: string, what: string, text: string): Refusal => ({
  wire,
  error: `malformed: Cannot parse ${what}: ${quoted(text)}`,
});
const tooLarge = (part: string, limit: number) =>
  `too-large: The ${part} is larger than ${limit} bytes`;

// Each returns a response that contains this text, and the error that quotes it. If the error shows
// something else, that is `shown`.
const statusLine = (line: string, rest = "\r\n") =>
  malformed(`${line}\r\n${rest}`, "the status line", line);
const noLine = (wire: string) => ({ ...malformed(wire, "the status line", wire), toEnd: true });
const upgrade = (line: string) =>
  malformed(
    `${line}\r\nUpgrade: h2c\r\n\r\n`,
    "a protocol switch without an Upgrade request",
    line,
  );
const fieldLine = (line: string, before = H) =>
  malformed(`${before}${line}\r\n\r\n`, "the header field", line);
const trailerLine = (line: string, before = "") =>
  malformed(`${CHUNKED}0\r\n${before}${line}\r\n\r\n`, "the trailer field", line);
const length = (value: string, shown = value) =>
  malformed(`${H}Content-Length: ${value}\r\n\r\nhello`, "the content length", shown);
const coding = (value: string, shown = value) =>
  malformed(`${H}Transfer-Encoding: ${value}\r\n\r\n${HI}`, "the transfer coding", shown);
const chunkLine = (line: string, rest = "\r\nhi\r\n0\r\n\r\n", before = "") =>
  malformed(`${CHUNKED}${before}${line}${rest}`, "the size of a chunk", line);
const chunkLineInLf = (line: string, rest: string, before = "") =>
  malformed(
    `${CHUNKED}${before}${line}\n${rest}`,
    "the size of a chunk (its line ends in LF, not CRLF)",
    line,
  );
const afterChunk = (rest: string) =>
  malformed(`${CHUNKED}2\r\nhi${rest}`, "the CRLF after a chunk", rest.slice(0, 2));
const largeBody = (wire: string) => ({ wire, error: tooLarge("body", 2 ** 20) });
const cutOff = (wire: string, missing: string) => ({
  wire,
  error:
    `closed-early: Cannot read the response: the connection closed after ${wire.length} bytes` +
    `, without ${missing}`,
  toEnd: true,
});

// ---- The wire policy

// deno-fmt-ignore
const ROWS: Row[] = [
  // Status line
  accepts("a reason phrase", `HTTP/1.1 200 All is well\r\n${EMPTY}`, { status: 200, reason: "All is well", body: "" }),
  acceptsToEnd("an empty reason phrase", "HTTP/1.1 200 \r\n\r\n", { reason: "", body: "" }),
  acceptsToEnd("no reason phrase, no space", "HTTP/1.1 200\r\n\r\n", { reason: "", body: "" }),
  acceptsToEnd("bytes above 0x7f in the reason", "HTTP/1.1 200 \xe9\x80\xff\r\n\r\n", { reason: "\xe9\x80\xff" }),
  acceptsToEnd("a tab in the reason", "HTTP/1.1 200 a\tb\r\n\r\n", { reason: "a\tb" }),
  accepts("HTTP/1.1", OK_RESPONSE, { minorVersion: 1, status: 200, reason: "OK", fields: [["Content-Length", "2"]], body: "ok" }),
  accepts("HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", { minorVersion: 0, body: "hi" }),
  accepts("HTTP/1.9", "HTTP/1.9 200 OK\r\nContent-Length: 2\r\n\r\nhi", { minorVersion: 9, body: "hi" }),
  accepts("status 600", `HTTP/1.1 600 x\r\n${EMPTY}`, { status: 600 }),
  accepts("status 999", `HTTP/1.1 999 x\r\n${EMPTY}`, { status: 999 }),
  refuses("status 099", statusLine("HTTP/1.1 099 x")),
  refuses("status of two digits", statusLine("HTTP/1.1 20 x")),
  refuses("status of four digits", statusLine("HTTP/1.1 2000 x")),
  refuses("status with letters", statusLine("HTTP/1.1 2x0 x")),
  refuses("no status", statusLine("HTTP/1.1")),
  refuses("two spaces before the status", statusLine("HTTP/1.1  200 OK")),
  refuses("tab before the status", statusLine("HTTP/1.1\t200 OK")),
  refuses("tab after the status", statusLine("HTTP/1.1 200\tOK")),
  refuses("control character in the reason", statusLine("HTTP/1.1 200 a\0b")),
  refuses("DEL in the reason", statusLine("HTTP/1.1 200 \x7f")),
  refuses("bare CR in the status line", statusLine("HTTP/1.1 200 a\rb")),
  refuses("two CRs after the status line", statusLine("HTTP/1.1 200 OK\r")),
  refuses("lowercase protocol name", statusLine("http/1.1 200 OK")),
  refuses("two-digit minor version", statusLine("HTTP/1.10 200 OK")),
  refuses("HTTP/2 with a status", statusLine("HTTP/2 200")),
  refuses("HTTP/3 with text", statusLine("HTTP/3 huh", "")),
  refuses("HTTP/2 preface", statusLine("PRI * HTTP/2.0", "\r\nSM\r\n\r\n")),
  refuses("space before the status line", statusLine(" HTTP/1.1 200 OK")),
  refuses("blank line before the status line", statusLine("", `${H}\r\n`)),
  refuses("byte order mark", statusLine("\xef\xbb\xbfHTTP/1.1 200 OK")),
  refuses("another protocol's greeting", statusLine("SSH-2.0-OpenSSH_9.2", "")),
  refuses("HTTP/0.9", noLine("<p>hello")),
  refuses("a version without a dot", noLine("HTTP/1x")),
  refuses("TLS alert", noLine("\x15\x03\x01\0\x02\x02\x46")),
  refuses("a long line, which the message shortens", statusLine("x".repeat(100), "")),
  refuses("nothing", cutOff("", "the end of the status line")),
  refuses("part of a status line", cutOff("HTTP/1.1 2", "the end of the status line")),
  refuses("part of the version", cutOff("HT", "the end of the status line")),

  // Line endings
  accepts("LF without CR", "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", "hi"),
  accepts("LF without CR in HTTP/1.0", "HTTP/1.0 200 OK\nContent-Length: 2\n\nhi", { minorVersion: 0, reason: "OK", body: "hi" }),
  accepts("LF and CRLF mixed", "HTTP/1.1 200 OK\nA: b\r\nContent-Length: 2\n\r\nhi", "hi"),
  refuses("bare CR in a value", fieldLine("A: b\rc")),
  refuses("bare CR for an empty line", fieldLine("\r", `${H}A: b\r\n`)),

  // Header fields
  acceptsFields("fields in order, repeated, with their case", "b: 1\r\nA: 2\r\nB:3", ["b", "1"], ["A", "2"], ["B", "3"]),
  acceptsFields("white space around a value", "A: \t b \t c\t ", ["A", "b \t c"]),
  acceptsFields("no-break space as part of a value", "A: \xa0b\x85", ["A", "\xa0b\x85"]),
  acceptsFields("an empty value", "A:\r\nB: \t", ["A", ""], ["B", ""]),
  acceptsFields("every character of a token", "!#$%&'*+-.^_`|~09azAZ: x", ["!#$%&'*+-.^_`|~09azAZ", "x"]),
  acceptsToEnd("no fields", `${H}\r\nhi`, { fields: [], body: "hi" }),
  refuses("space before the colon", fieldLine("A : b")),
  refuses("tab before the colon", fieldLine("A\t: b")),
  refuses("no colon", fieldLine("A b")),
  refuses("empty name", fieldLine(": b")),
  refuses("name with a byte above 0x7f", fieldLine("\xe9: b")),
  refuses("name with a separator", fieldLine("A(b): c")),
  refuses("NUL in a value", fieldLine("A: b\0c")),
  refuses("DEL in a value", fieldLine("A: \x7f")),
  refuses("vertical tab in a value", fieldLine("A: b\x0bc")),
  refuses("bad field line after good ones", fieldLine("E f", `${H}A: b\r\nC: d\r\n`)),
  acceptsFields("a folded line", "A: b \r\n \t c", ["A", "b c"]),
  acceptsFields("a folded line after two fields, for the second", "A: b\r\nC: d\r\n e", ["A", "b"], ["C", "d e"]),
  acceptsFields("a folded line with bytes above 0x7f", "A: b\r\n \x80 \xff", ["A", "b \x80 \xff"]),
  acceptsFields("folded lines, some empty", "A:\r\n\tb\n \r\n  c", ["A", "b c"]),
  accepts("a folded length", `${H}Content-Length:\r\n 2\r\n\r\nhi`, "hi"),
  refuses("a folded line as the first field", fieldLine(" A: b")),
  refuses("control character in a folded line", fieldLine(" c\0", `${H}A: b\r\n`)),
  refuses("head cut off", cutOff(`${H}A: b\r\n`, "the empty line after the header fields")),
  refuses("head cut off in a field line", cutOff(`${H}A: b`, "the empty line after the header fields")),

  // Interim responses
  accepts("100", `HTTP/1.1 100 Continue\r\n\r\n${OK_RESPONSE}`, { status: 200, body: "ok" }),
  accepts("103 with fields, twice", `${"HTTP/1.1 103 Early\r\nContent-Length: 9\r\n\r\n".repeat(2)}${OK_RESPONSE}`, "ok"),
  accepts("199", `HTTP/1.1 199\n\n${OK_RESPONSE}`, "ok"),
  refuses("101", upgrade("HTTP/1.1 101 Switching Protocols")),
  refuses("nothing after 100", cutOff("HTTP/1.1 100 Continue\r\n\r\n", "the end of the status line")),
  refuses("other bytes after 100", { ...statusLine(""), wire: `HTTP/1.1 100 Continue\r\n\r\n\r\n${H}` }),

  // No body
  accepts("204", "HTTP/1.1 204 No Content\r\n\r\n", { status: 204, body: "" }),
  accepts("204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", ""),
  accepts("204 with a bad length", "HTTP/1.1 204 x\r\nContent-Length: x\r\n\r\n", ""),
  accepts("304 with a coding", "HTTP/1.1 304 x\r\nTransfer-Encoding: gzip\r\n\r\n", { status: 304, body: "" }),

  // Content-Length
  accepts("length", `${H}Content-Length: 5\r\n\r\nhello`, "hello"),
  accepts("length without a space", `${H}Content-Length:5\r\n\r\nhello`, "hello"),
  accepts("length in another case", `${H}cONTENT-lENGTH: 5\r\n\r\nhello`, "hello"),
  accepts("length 0", `${H}Content-Length: 0\r\n\r\n`, ""),
  accepts("length with leading zeros", `${H}Content-Length: 0005\r\n\r\nhello`, "hello"),
  accepts("NUL, CR, LF and bytes above 0x7f in the body", `${H}Content-Length: 6\r\n\r\n\0\r\n\x80\xff\n`, "\0\r\n\x80\xff\n"),
  accepts("the same length in a list", `${H}Content-Length: 2, 2\r\n\r\nhi`, "hi"),
  accepts("the same length in two fields", `${H}Content-Length: 2\r\nContent-Length: 02\r\n\r\nhi`, "hi"),
  accepts("a field with a similar name before", `${H}Content-Lengti: 3\r\nContent-Length: 5\r\n\r\nhello`, "hello"),
  accepts("a field with a similar name after", `${H}Content-Length: 5\r\nContent-Lengtg: x\r\n\r\nhello`, "hello"),
  acceptsToEnd("only a field with a similar name", `${H}Dontent-Length: 3\r\n\r\nhello`, "hello"),
  refuses("two lengths in a list", length("2, 3")),
  refuses("two lengths in two fields", length("2\r\nContent-Length: 3", "2, 3")),
  refuses("negative length", length("-1")),
  refuses("length with a sign", length("+1")),
  refuses("hexadecimal length", length("0x5")),
  refuses("length with an exponent", length("1e1")),
  refuses("length with a fraction", length("5.0")),
  refuses("length with a space in it", length("1 2")),
  refuses("length with a no-break space", length("\xa05")),
  refuses("empty length", length("")),
  refuses("length with an empty member", length("5,", "5, ")),
  refuses("body cut off", cutOff(`${H}Content-Length: 128\r\n\r\nhello`, "123 of 128 bytes of the body")),
  refuses("length above the limit", largeBody(`${H}Content-Length: 1048577\r\n\r\n`)),
  refuses("length 10 ** 15", largeBody(`${H}Content-Length: 1000000000000000\r\n\r\n`)),
  refuses("length 2 ** 65", largeBody(`${H}Content-Length: 36893488147419103232\r\n\r\n`)),
  refuses("length of 400 digits", largeBody(`${H}Content-Length: ${"9".repeat(400)}\r\n\r\n`)),

  // Body until the close
  acceptsToEnd("neither length nor chunks", `${H}A: b\r\n\r\nhello`, "hello"),
  acceptsToEnd("an empty body until the close", `${H}\r\n`, ""),
  acceptsToEnd("identity, until the close", `${H}Transfer-Encoding: identity\r\n\r\nhello`, "hello"),

  // Transfer-Encoding
  accepts("chunks", `${CHUNKED}5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n`, "hello!"),
  accepts("no chunk", `${CHUNKED}0\r\n\r\n`, ""),
  accepts("coding in another case", `${H}transfer-encoding: CHUNKED\r\n\r\n${HI}`, "hi"),
  accepts("coding in mixed case", `${H}tRaNsFeR-eNcOdInG: Identity, cHuNkEd\r\n\r\n${HI}`, "hi"),
  accepts("chunked with identity and empty members", `${H}${TE},identity\r\n${TE}, chunked,\r\n\r\n${HI}`, "hi"),
  accepts("chunked twice in a list", `${H}${TE}chunked, chunked\r\n\r\n${HI}`, "hi"),
  accepts("chunked twice in two fields", `${H}${TE}chunked\r\n${TE}chunked\r\n\r\n${HI}`, "hi"),
  accepts("chunked twice with identity between", `${H}${TE}chunked, identity, chunked\r\n\r\n${HI}`, "hi"),
  accepts("chunked five times", `${H}${TE}chunked${", Chunked".repeat(4)}\r\n\r\n${HI}`, "hi"),
  accepts("chunks and a length, which is ignored", `${H}Content-Length: 9\r\n${TE}chunked\r\n\r\n${HI}`, "hi"),
  accepts("chunks and a bad length, which is ignored", `${H}${TE}chunked\r\nContent-Length: x\r\n\r\n${HI}`, "hi"),
  accepts("length with identity", `${H}${TE}identity\r\nContent-Length: 2\r\n\r\nhi`, "hi"),
  accepts("a coding in a field with a similar name", `${H}Transfer-Encodinf: gzip\r\n${TE}chunked\r\n\r\n${HI}`, "hi"),
  accepts("chunked in a field with a similar name", `${H}Transfer-Encodinh: chunked\r\nContent-Length: 2\r\n\r\nhi`, "hi"),
  accepts("options in a field with a similar name", `${H}Connectioo: close\r\nContent-Length: 2\r\n\r\nhi`, "hi"),
  refuses("gzip", coding("gzip")),
  refuses("gzip, chunked", coding("gzip, chunked")),
  refuses("gzip and chunked in two fields", coding(`gzip\r\n${TE}chunked`, "gzip, chunked")),
  refuses("chunked twice with gzip between", coding("chunked, gzip, chunked")),
  refuses("chunked with a parameter", coding("chunked;q=1")),
  refuses("chunked after a no-break space", coding("\xa0chunked")),
  accepts("HTTP/1.0 with chunks", `HTTP/1.0 200 OK\r\n${TE}chunked\r\n\r\n${HI}`, "hi"),

  // Chunks
  accepts("sizes in any case, with zeros", `${CHUNKED}00A\r\nabcdefghij\r\n0a\r\nklmnopqrst\r\n00\r\n\r\n`, "abcdefghijklmnopqrst"),
  accepts("white space after the size", `${CHUNKED}2 \t \r\nhi\r\n0 \r\n\r\n`, "hi"),
  accepts("chunk extensions", `${CHUNKED}2;a=b;c="d \xe9\t"\r\nhi\r\n0 ; e\r\n\r\n`, "hi"),
  accepts("byte 0xff in a chunk extension", `${CHUNKED}2;a=\xff\r\nhi\r\n0;\xff\r\n\r\n`, "hi"),
  accepts("line endings in chunk data", `${CHUNKED}4\r\n\r\n\r\n\r\n0\r\n\r\n`, "\r\n\r\n"),
  refuses("LF after the size", chunkLineInLf("2", "hi\r\n0\r\n\r\n")),
  refuses("LF after the last size", chunkLineInLf("0", "\r\n", "2\r\nhi\r\n")),
  refuses("no size", chunkLine("")),
  refuses("size with 0x", chunkLine("0x2")),
  refuses("size with a sign", chunkLine("+2")),
  refuses("negative size", chunkLine("-0")),
  refuses("size with other letters", chunkLine("5xyz")),
  refuses("space before the size", chunkLine(" 2")),
  refuses("space in the size", chunkLine("1 2")),
  refuses("control character in an extension", chunkLine("2;a\0")),
  refuses("bare CR in an extension", chunkLine("2;a\rb")),
  refuses("data longer than the size", afterChunk("!\r\n0\r\n\r\n")),
  refuses("LF after the data", afterChunk("\n0\r\n\r\n")),
  refuses("nothing after the data", afterChunk("0\r\n\r\n")),
  refuses("size above the limit", largeBody(`${CHUNKED}100001\r\n`)),
  refuses("size ffffffffffffffff", largeBody(`${CHUNKED}ffffffffffffffff\r\n`)),
  refuses("sizes whose sum is above the limit", largeBody(`${CHUNKED}1\r\nx\r\n100000\r\n`)),
  refuses("chunks cut off before a size", cutOff(`${CHUNKED}2\r\nhi\r\n`, "the size of the next chunk")),
  refuses("chunks cut off in a chunk", cutOff(`${CHUNKED}a\r\nhello`, "5 of 10 bytes of a chunk")),
  refuses("chunks cut off after the data", cutOff(`${CHUNKED}2\r\nhi`, "2 of 2 bytes of the CRLF after a chunk")),
  refuses("chunks cut off after the CR", cutOff(`${CHUNKED}2\r\nhi\r`, "1 of 2 bytes of the CRLF after a chunk")),

  // Trailer fields
  accepts("trailer fields", `${CHUNKED}0\r\nA: b\r\nC: d\n\r\n`, { fields: [["Transfer-Encoding", "chunked"]], body: "" }),
  refuses("bad trailer field", trailerLine("A b")),
  refuses("bad trailer field after a good one", trailerLine("C d", "A: b\r\n")),
  refuses("bare CR in a trailer field", trailerLine("A: \rb")),
  refuses("a folded line as the first trailer field", trailerLine(" A: b")),
  refuses("chunks cut off in the trailer section", cutOff(`${CHUNKED}0\r\nA: b\r\n`, "the empty line after the trailer fields")),
  refuses("chunks cut off before the last empty line", cutOff(`${CHUNKED}0\r\n`, "the empty line after the trailer fields")),
];

Deno.test.each(ROWS)("readResponse() $verb $name", async ({ wire, wanted, toEnd }) => {
  const whole = bytes(wire);
  const outcome = await outcomeOf([whole]);
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
    assertEquals(await outcomeOf([bytes(wire + rest)]), outcome, "with bytes after it");
    assertEquals(await outcomeOf([whole, bytes(rest)]), outcome, "with bytes after it");
  }
});

Deno.test("readResponse() never accepts a part of a response as the whole", async () => {
  for (const { verb, name, wire, toEnd } of ROWS) {
    if (verb === "refuses") continue;
    const whole = await outcomeOf([bytes(wire)]);
    for (let end = 0; end < wire.length; end++) {
      const part = await outcomeOf([bytes(wire.slice(0, end))]);
      const where = `${name}, cut off at ${end}`;
      if (part.error === undefined) {
        // A body until the close may be cut off unnoticed, but the head must be complete.
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

/** Returns what `doPut()` returns for a response that is sent in parts of `step` bytes. */
async function overSocket(wire: string, step: number): Promise<Outcome> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serve = async () => {
    using conn = await listener.accept();
    conn.setNoDelay();
    const buffer = new Uint8Array(4096);
    for (let request = ""; !request.includes("\r\n\r\n");) {
      request += text(buffer.subarray(0, await conn.read(buffer) ?? 0));
    }
    for (let at = 0; at < wire.length; at += step) {
      await conn.write(bytes(wire.slice(at, at + step)));
    }
  };
  const serving = serve().catch(() => {}); // the client may close before the end
  const outcome = await doPut("x", { port: listener.addr.port })
    .then((body) => ({ body }), (error) => ({ error: `${error.code}: ${error.message}` }));
  listener.close();
  await serving;
  return outcome;
}

Deno.test("some rows of the wire policy hold over a socket, as a whole and byte by byte", async () => {
  for (const { name, wire, wanted } of ROWS.filter((_, at) => at % 6 === 0)) {
    for (const step of [wire.length, 1]) {
      const outcome = await overSocket(wire, step);
      assertEquals(outcome.error, wanted.error, name);
      if (wanted.body === undefined) continue;
      assertEquals(outcome.body, new TextDecoder().decode(bytes(wanted.body)), name);
    }
  }
});

Deno.test("readResponse() quotes on one shortened line without control characters", async () => {
  const cases = [
    ["HTTP/3 huh", '"HTTP/3 huh"'],
    ["\x15\x03\0\x1b[31m \x7f\x9b\xad", '"\\u0015\\u0003\\u0000\\u001b[31m \\u{7f}\\u{9b}\\u{ad}"'],
    ['a\t"\\\r', '"a\\t\\"\\\\\\r"'],
    ["\xef\xbb\xbf\xe9", '"ï»¿é"'],
    ["x".repeat(80), `"${"x".repeat(80)}"`],
    ["x".repeat(81), `"${"x".repeat(80)}..."`],
  ];
  for (const [line, shown] of cases) {
    const error = `malformed: Cannot parse the status line: ${shown}`;
    assertEquals(await outcomeOf([bytes(`${line}\r\n`)]), { error });
  }
});

// ---- Sources and options

Deno.test("readResponse() reports the source's error, and never treats it as the end of a body", async () => {
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

Deno.test("readResponse() accepts some empty reads, but not forever", async () => {
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

Deno.test("readResponse() does not treat endless empty reads as the end of a body", async () => {
  const wire = bytes(`${H}\r\nhello`);
  let reads = 0;
  const source = {
    read(p: Uint8Array): Promise<number | null> {
      if (reads++ > 0) return Promise.resolve(0);
      p.set(wire);
      return Promise.resolve(wire.length);
    },
  };
  const error = await assertRejects(() => readResponse(source), KeyClientError);
  assertEquals(error.code, "closed-early");
});

Deno.test("readResponse() rejects a source without a read method", async () => {
  for (const source of [null, undefined, {}, { read: null }, "HTTP/1.1 200 OK", 5]) {
    await assertRejects(() => readResponse(source as never), TypeError);
  }
});

Deno.test("readResponse() rejects a count that read() cannot return", async () => {
  const counts: ((room: number) => number)[] = [
    (room) => room + 1,
    () => Infinity,
    () => -1,
    () => 0.5,
    () => 1.5,
    () => NaN,
  ];
  for (const count of counts) {
    for (const first of [null, "HTTP/1.1 ", `${H}\r\n`, `${H}Content-Length: 9\r\n\r\n`, CHUNKED]) {
      let rest = first;
      const source = {
        read(p: Uint8Array): Promise<number | null> {
          if (rest === null) return Promise.resolve(count(p.length));
          p.set(bytes(rest));
          rest = null;
          return Promise.resolve(first!.length);
        },
      };
      await assertRejects(() => readResponse(source), TypeError, undefined, `${count}, ${first}`);
    }
  }
});

Deno.test("readResponse() checks maxBodySize", async () => {
  const read = (maxBodySize: unknown) =>
    readResponse(sourceOf([bytes(OK_RESPONSE)]), { maxBodySize: maxBodySize as number });
  await assertRejects(() => read("1"), TypeError, "maxBodySize must be a number");
  await assertRejects(() => read(-1), RangeError, "maxBodySize must be a number from 0 to");
  const source = sourceOf([bytes(OK_RESPONSE)]);
  await assertRejects(() => readResponse(source, null as never), TypeError, "options must be");
  assertEquals(text((await read(2)).body), "ok");
  await assertRejects(() => read(1), KeyClientError, "The body is larger than 1 bytes");
  await assertRejects(() => read(0), KeyClientError, "The body is larger than 0 bytes");
});

Deno.test("readResponse() returns a body in its own memory", async () => {
  const wires = [
    "HTTP/1.1 204 No Content\r\n\r\n",
    `${H}${EMPTY}`,
    `${CHUNKED}0\r\n\r\n`,
    OK_RESPONSE,
    `${CHUNKED}${HI}`,
    `${CHUNKED}1\r\nh\r\n1\r\ni\r\n1\r\n!\r\n0\r\n\r\n`,
    `${H}\r\nhello`,
    `${H}\r\n`,
  ];
  for (const wire of wires) {
    const { body: wanted } = await outcomeOf([bytes(wire)]);
    for (let times = 0; times < 2; times++) {
      const { body } = await readResponse(sourceOf([bytes(wire)]));
      assertEquals(text(body), wanted, wire);
      assertEquals(body.buffer.byteLength, body.byteLength, wire);
      structuredClone(body, { transfer: [body.buffer as ArrayBuffer] });
    }
  }
});

// ---- Limits

/** Yields `first`, then `again` without end. */
function* endless(first: string, again: string): Generator<Uint8Array> {
  yield bytes(first);
  const part = bytes(again);
  for (;;) yield part;
}

const BODY_LIMIT = 100_000;

// deno-fmt-ignore
const ENDLESS: [name: string, first: string, again: string, part: "head" | "body"][] = [
  ["a status line", "HTTP/1.1 200 ", "x", "head"],
  ["a field line", `${H}A: `, "x".repeat(999), "head"],
  ["field lines", H, "A: b\r\n", "head"],
  ["folded lines", `${H}A: b\r\n`, " c\r\n", "head"],
  ["interim responses", "", "HTTP/1.1 100 Continue\r\n\r\n", "head"],
  ["a body until the close", `${H}\r\n`, "x".repeat(999), "body"],
  ["chunks", CHUNKED, `3e7\r\n${"x".repeat(999)}\r\n`, "body"],
  ["chunks of one byte", CHUNKED, "1\r\nx\r\n", "body"],
  ["a chunk size", CHUNKED, "0", "head"],
  ["a chunk extension", `${CHUNKED}1;`, "x", "head"],
  ["chunk extensions", CHUNKED, `1;${"x".repeat(30)}\r\nx\r\n`, "head"],
  ["trailer fields", `${CHUNKED}0\r\n`, "A: b\r\n", "head"],
  ["spaces in a value", `${H}A: x`, " ".repeat(999), "head"],
];

Deno.test.each(ENDLESS)("readResponse() gives up on endless: %s", async (_, first, again, part) => {
  const source = sourceOf(endless(first, again));
  const error = await assertRejects(
    () => readResponse(source, { maxBodySize: BODY_LIMIT }),
    KeyClientError,
    `The ${part} is larger than ${part === "head" ? HEAD_LIMIT : BODY_LIMIT} bytes`,
  );
  assertEquals(error.code, "too-large");
  // A chunk of one byte has six bytes on the wire.
  assertLess(source.given, 6 * BODY_LIMIT + 300_000);
});

Deno.test("readResponse() accepts a head of 64 KiB, but not one more byte", async () => {
  const interim = "HTTP/1.1 100 Continue\r\n\r\n";
  const fixed = `${interim}${H}Content-Length: 2\r\nA: \r\n\r\n`.length;
  const value = "x".repeat(HEAD_LIMIT - fixed);
  const wire = `${interim}${H}Content-Length: 2\r\nA: ${value}\r\n\r\nok`;
  assertEquals((await outcomeOf([bytes(wire)])).body, "ok");
  const longer = wire.replace("A: ", "A: x");
  assertEquals(await outcomeOf([bytes(longer)]), { error: tooLarge("head", HEAD_LIMIT) });
});

Deno.test("readResponse() accepts 64 KiB of white space after a value", async () => {
  for (const blank of [" ", "\t", "\t "]) {
    const size = HEAD_LIMIT - `${H}A: x\r\n${EMPTY}`.length;
    const wire = bytes(`${H}A: x${blank.repeat(size / blank.length)}\r\n${EMPTY}`);
    const { fields } = await readResponse(sourceOf([wire]));
    assertEquals(fields, [["A", "x"], ["Content-Length", "0"]]);
  }
});

Deno.test("readResponse() keeps each byte of a long value", async () => {
  const all = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).join("");
  const value = all.replace(/[\0-\x20\x7f]/g, "").repeat(100);
  const whole = bytes(`${H}A: ${value}\r\nB: \xff${value}\r\n${EMPTY}`);
  const fields = [["A", value], ["B", `\xff${value}`], ["Content-Length", "0"]];
  for (const size of [whole.length, 8191, 8192, 1000, 1]) {
    const count = Math.ceil(whole.length / size);
    const parts = Array.from(
      { length: count },
      (_, at) => whole.subarray(at * size).slice(0, size),
    );
    const response = await readResponse(sourceOf(parts));
    assert(JSON.stringify(response.fields) === JSON.stringify(fields), `parts of ${size} bytes`);
  }
});

Deno.test("readResponse() accepts a body of the maximum size, but not one more byte, in every framing", async () => {
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
    assertEquals(await outcomeOf([bytes(wire)], options), { error: tooLarge("body", 5) });
    const last = [bytes(wire.slice(0, -1)), bytes(wire.slice(-1))];
    assertEquals(await outcomeOf(last, options), { error: tooLarge("body", 5) });
  }
});

Deno.test("readResponse() accepts a body of the maximum size in one-byte chunks", async () => {
  const size = 300_000;
  const wire = bytes(`${CHUNKED}${"1\r\nx\r\n".repeat(size)}0\r\n\r\n`);
  const { body } = await readResponse(sourceOf([wire]), { maxBodySize: size });
  assertEquals(body.length, size);
});

Deno.test("readResponse() accepts a list as long as the head allows", async () => {
  const list = ",".repeat(65_000);
  for (const name of ["Connection", "Transfer-Encoding"]) {
    const { body } = await outcomeOf([
      bytes(`${H}${name}: ${list}\r\nContent-Length: 2\r\n\r\nok`),
    ]);
    assertEquals(body, "ok");
  }
});

Deno.test("readResponse() accepts any number of chunk lines of 18 bytes", async () => {
  const count = 100_000; // if one byte of each counted, the head would be too large
  const line = "0000000000000001\r\n";
  assertEquals(line.length, 18);
  const wire = bytes(`${CHUNKED}${`${line}x\r\n`.repeat(count)}0\r\n\r\n`);
  const { body } = await readResponse(sourceOf([wire]));
  assertEquals(body.length, count);
});

Deno.test("readResponse() counts the rest of a longer chunk line as head", async () => {
  const error = tooLarge("head", HEAD_LIMIT);
  const respond = (padding: number, extension: number) =>
    outcomeOf([bytes(
      `${H}A: ${"x".repeat(padding)}\r\nTransfer-Encoding: chunked\r\n\r\n` +
        `2;${"y".repeat(extension)}\r\nhi\r\n0\r\n\r\n`,
    )]);
  const padding = 65_000;
  const left = HEAD_LIMIT - `${CHUNKED}A: \r\n`.length - padding;
  const fixed = "2;\r\n".length;
  // The 2 bytes of the last empty line count too.
  assertEquals((await respond(padding, left + 18 - fixed - 2)).body, "hi");
  assertEquals(await respond(padding, left + 18 - fixed + 1), { error });
  assertEquals(await respond(padding, 1000), { error });
  assertEquals((await respond(0, 1000)).body, "hi");
});

// ---- Large bodies

Deno.test("readResponse() does not allocate memory for a body that was only announced", async () => {
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

Deno.test("readResponse() continues after single bytes within a large body", async () => {
  const content = Array.from({ length: 300_000 }, (_, at) => String.fromCharCode(at % 251)).join(
    "",
  );
  const chunk = (data: string) => `${data.length.toString(16)}\r\n${data}\r\n`;
  // With this cut, the line between two chunks arrives byte by byte.
  const cut = 100_002 - `${CHUNKED}18000\r\n`.length;
  const wires = [
    `${H}Content-Length: ${content.length}\r\n\r\n${content}`,
    `${H}\r\n${content}`,
    `${CHUNKED}${chunk(content)}0\r\n\r\n`,
    `${CHUNKED}${chunk(content.slice(0, cut))}${chunk(content.slice(cut))}0\r\n\r\n`,
  ];
  for (const wire of wires) {
    const whole = bytes(wire);
    const single = Array.from({ length: 10 }, (_, at) => whole.subarray(100_000 + at).slice(0, 1));
    const parts = [whole.subarray(0, 100_000), ...single, whole.subarray(100_010)];
    const { body } = await readResponse(sourceOf(parts));
    assert(text(body) === content, wire.slice(0, 100));
  }
});

// ---- Fuzz

// deno-fmt-ignore
const MUTANTS = [
  "\r", "\n", "\r\n", "\0", " ", "\t", ":", ";", ",", "0", "1", "f", "-", "\xff", "\x80", "x",
  "HTTP/1.1 ", "100", "200", "204", "chunked", "identity", "ffffffff", "0123456789abcdef".repeat(8),
  "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Connection: close\r\n",
];

Deno.test(`${FUZZ_ROUNDS} mutated responses have the same outcome, whole and split`, async () => {
  const next = random(1);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)];
  const seeds = ROWS.map(({ wire }) => wire).filter((wire) => wire.length < 400);
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
