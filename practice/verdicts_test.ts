import { assertEquals } from "@std/assert";
import type { CallReport, FoundFunction } from "./driver.ts";
import type { AnswerEvent, KeyServerEvent, RemarkEvent } from "./events.ts";
import { FAULTS } from "./faults.ts";
import type { Remark, Severity } from "./remark.ts";
import { roundsOf } from "./rounds.ts";
import type { RemarkCode } from "./rules.ts";
import { type Call, connectHelp, judgeCall, judgeSignature, SERVE_HELP } from "./verdicts.ts";
import { bytes, KEY } from "../testing/bytes.ts";

const ADDRESS = "127.0.0.1:5010";
const OLD_KEY = "fedcba9876543210".repeat(8);
const ZEROS = "0".repeat(128);
const SUCCESS = "Success: the key is right";
const PEER: Deno.NetAddr = { transport: "tcp", hostname: "127.0.0.1", port: 50000 };
const FIRST = "make the round `sound` pass first";
const CONNECT =
  `connect to ${ADDRESS}, where the drill listens: its port is in the environment variable KEY_SERVER_PORT`;
const STOP =
  "stop when the body has Content-Length bytes, or when `recv()` returns `b''`: `if not data: break`";

// ---- Events

function remark(
  code: RemarkCode,
  fact: string,
  help = "do this",
  severity: Severity = "error",
): Remark {
  return { code, severity, fact, help, start: 0, end: 0 };
}

function remarkEvent(remark: Remark, request = "", connection = 1): RemarkEvent {
  return {
    ...{ type: "remark", connection, peer: PEER, time: 0 },
    ...{ remark, bytes: bytes(request) },
  };
}

function answer(request: string, about: Partial<AnswerEvent> = {}): AnswerEvent {
  const [method, path = ""] = request.split(" ");
  const { status = 200, message = "" } = about;
  return {
    ...{ type: "answer", connection: 1, peer: PEER, time: 0, status, message },
    bytes: bytes(`HTTP/1.1 ${status} -\r\n\r\n${message}`),
    ...{ request: bytes(request), method, userId: path.split("/")[2] },
    ...about,
  };
}

function keyRequest(user = "Ada"): string {
  return `KEY /user/${user}/ HTTP/1.1\r\n\r\n`;
}

function putRequest(key = KEY): string {
  return `PUT /key/Ada/${key}/ HTTP/1.1\r\n\r\n`;
}

const ISSUED = answer(keyRequest(), { message: KEY });
const TAKEN = answer(putRequest(), { message: SUCCESS });
const NO_ANSWER = { status: 0, message: "", bytes: new Uint8Array() };
const UNREAD = remarkEvent(remark("gone", "the client was gone", undefined, "note"));

// ---- What functions return or raise

const NONE: CallReport = { type: "NoneType", kind: "none", shown: "None" };
const UNDEFINED: CallReport = { type: "undefined", kind: "other", shown: "undefined" };
const COROUTINE: CallReport = other("coroutine", "<coroutine object do_key at 0x7f>");

function returned(value: string, type = "bytes"): CallReport {
  const isText = type === "str" || type === "string";
  const kind = isText ? "text" : "bytes";
  const quoted = type === "bytes" || type === "str" ? `'${value}'` : `"${value}"`;
  return { type, kind, value, size: value.length, shown: type === "bytes" ? `b${quoted}` : quoted };
}

function other(type: string, shown: string): CallReport {
  return { type, kind: "other", shown };
}

function raised(text: string, source?: string, line = source && 9, file = "client.py"): CallReport {
  const [, type, message] = /^(\w+)(?:: (.*))?$/.exec(text)!;
  const place = line ? { file, line: Number(line), source } : {};
  return { raised: { type, message: message ?? "", ...place } };
}

// ---- Calls

type Changes = Partial<Call>;

/** A call of a function that has sent its request. Without a report, it has not come to its end. */
function callOf(name: string, report?: CallReport, changes: Changes = {}): Call {
  const [round] = roundsOf("module", [name]);
  const fn = round.function!;
  const event = fn === "do_key" ? ISSUED : TAKEN;
  const isScript = changes.file?.endsWith(".ts");
  const found = isScript ? { name: fn === "do_key" ? "doKey" : "doPut" } : { name: fn };
  return {
    ...{ round, file: "client.py", found, address: ADDRESS, report, seconds: 0.1, output: "" },
    ...{ events: [event], key: KEY, isUserKnown: true, isProven: true },
    ...changes,
  };
}

const SCRIPT: Changes = { file: "client.ts" };
const UNPROVEN: Changes = { isProven: false };

type Row = [
  title: string,
  round: string,
  report: CallReport | undefined,
  rationale: string | null,
  help?: string,
  changes?: Changes,
];

function testRows(rows: Row[]): void {
  for (const [title, name, report, rationale, help = "", changes] of rows) {
    Deno.test(`judgeCall(), ${name}: ${title}`, () => {
      const expected = rationale === null ? null : { rationale, help };
      assertEquals(judgeCall(callOf(name, report, changes)), expected);
    });
  }
}

// ---- Where to connect

const WHERE: [address: string, help: string][] = [
  [ADDRESS, CONNECT],
  ["127.0.0.1:5000", "connect to 127.0.0.1:5000, where the drill listens"],
  [
    "127.0.0.1:15000",
    "connect to 127.0.0.1:15000, where the drill listens: its port is in the environment variable KEY_SERVER_PORT",
  ],
];

for (const [address, help] of WHERE) {
  Deno.test(`connectHelp() tells where to connect: ${address}`, () => {
    assertEquals(connectHelp(address), help);
    assertEquals(judgeCall(callOf("sound:KEY", NONE, { address, events: [] }))!.help, help);
  });
}

// ---- What a function must be

const FOUND: [
  title: string,
  file: string,
  round: string,
  found: FoundFunction,
  rationale: string | null,
  help?: string,
][] = [
  ["no parameter", "client.py", "sound:KEY", { name: "do_key", required: 0, allowed: 0 }, null],
  ["nothing is known", "client.py", "sound:PUT", { name: "do_put" }, null],
  ["defaults", "client.py", "sound:KEY", { name: "do_key", required: 0, allowed: 2 }, null],
  ["any count", "client.py", "sound:PUT", { name: "do_put", required: 0 }, null],
  [
    "no do_key in Python",
    "client.py",
    "sound:KEY",
    { name: null },
    "client.py has no function do_key",
    "write `def do_key():` at the start of a line, outside of any class",
  ],
  [
    "do_key in other letters",
    "client.py",
    "sound:KEY",
    { name: null, similar: "Do_Key" },
    "client.py has no function do_key but Do_Key",
    "rename Do_Key to do_key",
  ],
  [
    "do_put in other letters counts more than one in a class",
    "client.py",
    "sound:PUT",
    { name: null, similar: "doput", owner: "Client" },
    "client.py has no function do_put but doput",
    "rename doput to do_put",
  ],
  [
    "do_put in a class",
    "client.py",
    "sound:PUT",
    { name: null, owner: "Client" },
    "client.py has no function do_put; class Client has a method of this name",
    "write `def do_put(key_val):` at the start of a line, outside of any class",
  ],
  [
    "no doKey in TypeScript",
    "client.ts",
    "sound:KEY",
    { name: null },
    "client.ts has no function doKey",
    "write `export function doKey()`",
  ],
  [
    "no doPut in JavaScript",
    "client.mjs",
    "sound:PUT",
    { name: null },
    "client.mjs has no function doPut",
    "write `export function doPut(key_val)`",
  ],
  [
    "do_key with one parameter",
    "client.py",
    "sound:KEY",
    { name: "do_key", required: 1, allowed: 1 },
    "do_key() takes 1 parameter, must take none",
    "write `def do_key():`; give other parameters a default value",
  ],
  [
    "doKey with two parameters",
    "client.py",
    "reset:KEY",
    { name: "doKey", required: 2, allowed: 3 },
    "doKey() takes 2 parameters, must take none",
    "write `def do_key():`; give other parameters a default value",
  ],
  [
    "do_put with two parameters",
    "client.py",
    "sound:PUT",
    { name: "do_put", required: 2, allowed: 2 },
    "do_put() takes 2 parameters, must take 1",
    "write `def do_put(key_val):`; give other parameters a default value",
  ],
  [
    "do_put without a parameter",
    "client.py",
    "sound:PUT",
    { name: "do_put", required: 0, allowed: 0 },
    "do_put() takes 0 parameters, must take 1",
    "write `def do_put(key_val):`",
  ],
];

for (const [title, file, name, found, rationale, help = ""] of FOUND) {
  Deno.test(`judgeSignature(), ${name}: ${title}`, () => {
    const [round] = roundsOf("module", [name]);
    const expected = rationale === null ? null : { rationale, help };
    assertEquals(judgeSignature({ round, file, found }), expected);
  });
}

Deno.test("judgeCall() judges the function before the call", () => {
  const changes = { found: { name: null }, events: [] };
  assertEquals(
    judgeCall(callOf("sound:KEY", NONE, changes))!.rationale,
    "client.py has no function do_key",
  );
});

// ---- Calls that do not end, or take too long

const NO_EMPTY_LINE = remark("no-empty-line", "no empty line", "end the head with `\\r\\n\\r\\n`");
const NO_HOST = remark("no-host", "no Host header", "add one", "warning");
const NO_SLASH = remark("no-final-slash", "the path does not end with a slash", "add it");
const NO_LINE = remark("no-request-line", "not an HTTP request line", "start with the method");
const HALF = "KEY /user/Ada/ HTTP/1.1\r\n";
const LIMIT = { seconds: 30.2 };

testRows([
  [
    "the process ends with a status",
    "sound:KEY",
    undefined,
    "do_key() ended the process (exit status 3)",
    "return from the function: remove calls that end the program",
    { end: "exit status 3" },
  ],
  [
    "the process ends by a signal",
    "reset:PUT",
    undefined,
    "doPut() ended the process (signal SIGSEGV)",
    "return from the function: remove calls that end the program",
    { end: "signal SIGSEGV", ...SCRIPT },
  ],
  [
    "no end, nothing sent",
    "sound:KEY",
    undefined,
    "do_key() has not ended after 30 s, and sent no request",
    SERVE_HELP,
    { ...LIMIT, events: [] },
  ],
  [
    "no end, request not whole",
    "sound:KEY",
    undefined,
    "do_key() has not ended after 30 s: no empty line",
    "end the head with `\\r\\n\\r\\n`",
    { ...LIMIT, events: [remarkEvent(NO_HOST, HALF), remarkEvent(NO_EMPTY_LINE, HALF)] },
  ],
  [
    "no end, KEY refused",
    "sound:KEY",
    undefined,
    "do_key() has not ended after 30 s: no empty line",
    "end the head with `\\r\\n\\r\\n`",
    {
      ...LIMIT,
      events: [
        remarkEvent(NO_EMPTY_LINE, HALF),
        answer(HALF, { status: 400, error: NO_EMPTY_LINE }),
      ],
    },
  ],
  [
    "no end, whole request",
    "sound:KEY",
    undefined,
    "do_key() has not ended after 30 s",
    STOP,
    LIMIT,
  ],
  [
    "no end, no response",
    "silent:KEY",
    undefined,
    "do_key() has not ended after 30 s",
    FAULTS.silent.help,
    LIMIT,
  ],
  [
    "no end in an odd round, never a key before",
    "keep-open:KEY",
    undefined,
    "do_key() has not ended after 30 s",
    FAULTS["keep-open"].help,
    { ...LIMIT, ...UNPROVEN },
  ],
  [
    "no end, no response to PUT",
    "silent:PUT",
    undefined,
    "do_put() has not ended after 30 s",
    FAULTS.silent.help,
    LIMIT,
  ],
  [
    "no end, the request repeated",
    "empty:KEY",
    undefined,
    "do_key() has not ended after 30 s, and sent 6 requests",
    "send the request once: if there is no whole response, return",
    { ...LIMIT, events: Array(6).fill(answer(keyRequest(), NO_ANSWER)) },
  ],
  [
    "no end, key refused",
    "wrong-key",
    undefined,
    "do_put() has not ended after 30 s",
    STOP,
    {
      ...LIMIT,
      events: [
        remarkEvent(remark("wrong-key", "the key is wrong"), putRequest(ZEROS)),
        answer(putRequest(ZEROS), { status: 400, error: remark("wrong-key", "the key is wrong") }),
      ],
    },
  ],
  [
    "the key comes late",
    "slow:KEY",
    returned(KEY),
    "do_key() returned after 17 s, must return within 15 s",
    FAULTS.slow.help,
    { seconds: 16.8 },
  ],
  [
    "the message comes late",
    "sound:PUT",
    returned(SUCCESS, "str"),
    "do_put() returned after 16 s, must return within 15 s",
    SERVE_HELP,
    { seconds: 16 },
  ],
  ["None comes late", "silent:KEY", NONE, null, "", { seconds: 29 }],
  [
    "a late refusal counts more than the time",
    "sound:KEY",
    NONE,
    "the server refused the KEY request: no empty line",
    "end the head with `\\r\\n\\r\\n`",
    {
      seconds: 15.6,
      events: [
        remarkEvent(NO_EMPTY_LINE, HALF),
        answer(HALF, { status: 400, error: NO_EMPTY_LINE }),
      ],
    },
  ],
  [
    "a late exception counts more than the time",
    "sound:KEY",
    raised("TimeoutError: timed out", "data = sock.recv(1024)"),
    "do_key() raised TimeoutError in line 9, must return bytes: data = sock.recv(1024) (timed out)",
    SERVE_HELP,
    { seconds: 20 },
  ],
  [
    "async do_key",
    "sound:KEY",
    COROUTINE,
    "do_key() returned a coroutine, must return bytes",
    "write `def` without `async`; call asynchronous code with `return asyncio.run(...)`",
    { events: [] },
  ],
  [
    "async do_put",
    "sound:PUT",
    COROUTINE,
    "do_put() returned a coroutine, must return str",
    "write `def` without `async`; call asynchronous code with `return asyncio.run(...)`",
    { events: [] },
  ],
]);

// ---- What was sent

const GET = "GET /user/Ada/ HTTP/1.1\r\n\r\n";
const UNKNOWN_METHOD = remark("wrong-method", "unknown method `GET`", "use `KEY`");
const REFUSED_GET = [
  remarkEvent(UNKNOWN_METHOD, GET),
  answer(GET, { status: 405, error: UNKNOWN_METHOD }),
];

testRows([
  [
    "nothing sent",
    "sound:KEY",
    NONE,
    "do_key() sent no KEY request",
    CONNECT,
    { events: [] },
  ],
  [
    "connected, nothing sent",
    "sound:KEY",
    NONE,
    "do_key() sent no KEY request: nothing was sent",
    "call `sendall()`",
    {
      events: [
        remarkEvent(remark("nothing-sent", "nothing was sent", "call `sendall()`")),
        answer("", { status: 400 }),
      ],
    },
  ],
  [
    "another method",
    "sound:KEY",
    NONE,
    "do_key() sent no KEY request but GET /user/Ada/ HTTP/1.1: unknown method `GET`",
    "use `KEY`",
    { events: REFUSED_GET },
  ],
  [
    "another method, then an exception",
    "sound:KEY",
    raised("ValueError: status 405", "raise ValueError(status)"),
    "do_key() sent no KEY request but GET /user/Ada/ HTTP/1.1: unknown method `GET`",
    "use `KEY`",
    { events: REFUSED_GET },
  ],
  [
    "an exception before anything was sent",
    "sound:KEY",
    raised("NameError: name 'sockt' is not defined", "sock = sockt.socket()"),
    "do_key() raised NameError in line 9: sock = sockt.socket() (name 'sockt' is not defined)",
    "correct this line first",
    { events: [remarkEvent(remark("nothing-sent", "nothing was sent", "call `sendall()`"))] },
  ],
  [
    "do_put sends only KEY",
    "sound:PUT",
    returned(KEY, "str"),
    "do_put() sent no PUT request but KEY /user/Ada/ HTTP/1.1",
    "send the PUT request",
    { events: [ISSUED] },
  ],
  [
    "do_put sends KEY, then raises",
    "sound:PUT",
    raised('TypeError: can only concatenate str (not "bytes") to str', "path = '/key/' + key"),
    "do_put() raised TypeError in line 9: path = '/key/' + key (can only concatenate str (not \"bytes\") to str)",
    "do not mix bytes and str: use `.decode()` or `.encode()`",
    { events: [ISSUED] },
  ],
  [
    "KEY refused",
    "sound:KEY",
    NONE,
    "the server refused the KEY request: the path does not end with a slash",
    "add it",
    { events: [answer("KEY /user/Ada HTTP/1.1\r\n\r\n", { status: 404, error: NO_SLASH })] },
  ],
  [
    "KEY refused, then an exception",
    "drip:KEY",
    raised("IndexError: list index out of range", "key = parts[1]"),
    "the server refused the KEY request: not an HTTP request line",
    "start with the method",
    { events: [answer(keyRequest(), { status: 400, error: NO_LINE })] },
  ],
  [
    "KEY refused, then accepted",
    "sound:KEY",
    returned(KEY),
    null,
    "",
    { events: [answer(keyRequest(), { status: 400, error: NO_SLASH }), ISSUED] },
  ],
  [
    "PUT refused",
    "sound:PUT",
    returned("the path does not end with a slash", "str"),
    "the server refused the PUT request: the path does not end with a slash",
    "add it",
    { events: [answer(putRequest(), { status: 404, error: NO_SLASH, message: "no" })] },
  ],
  [
    "the key of another user",
    "sound:PUT",
    returned("no", "str"),
    "the server refused the PUT request: key of `Bob`, not of `Ada`",
    "send the same user id in KEY and PUT",
    { events: foreign("key-of-another") },
  ],
  [
    "the user without a key",
    "drip:PUT",
    raised("ValueError: no"),
    "the server refused the PUT request: key of `Bob`, not of `Ada`",
    "send the same user id in KEY and PUT",
    { events: foreign("no-key-issued") },
  ],
  [
    "the user is unknown, and the message returned",
    "sound:PUT",
    returned("key of `Bob`, not of `Ada`", "str"),
    null,
    "",
    { events: foreign("key-of-another"), isUserKnown: false },
  ],
  [
    "the user is unknown, and the message not returned",
    "sound:PUT",
    NONE,
    "do_put() returned None, must return the message as str",
    SERVE_HELP,
    { events: foreign("no-key-issued"), isUserKnown: false },
  ],
  [
    "the user is unknown, and PUT is refused for another reason",
    "sound:PUT",
    returned("no", "str"),
    "the server refused the PUT request: the path does not end with a slash",
    "add it",
    {
      events: [answer(putRequest(), { status: 404, error: NO_SLASH, message: "no" })],
      isUserKnown: false,
    },
  ],
  [
    "another key than the given one",
    "wrong-key",
    returned(SUCCESS, "str"),
    "do_put() sent another key than the one that it was given",
    "send the key in the parameter `key_val`",
    { events: [ISSUED, TAKEN], key: ZEROS },
  ],
  [
    "the given key in uppercase",
    "sound:PUT",
    returned("no", "str"),
    "the server refused the PUT request: the key is right, but in uppercase",
    "send it as it was received",
    {
      events: [answer(putRequest(KEY.toUpperCase()), {
        status: 400,
        error: remark(
          "key-case",
          "the key is right, but in uppercase",
          "send it as it was received",
        ),
      })],
    },
  ],
]);

function foreign(code: RemarkCode): KeyServerEvent[] {
  const error = remark(code, "key of `Bob`, not of `Ada`", "send this key");
  return [
    answer(putRequest(), { status: 400, error, message: "key of `Bob`, not of `Ada`" }),
  ];
}

// ---- Exceptions

const EXCEPTIONS: [text: string, source: string | undefined, help: string, round?: string][] = [
  [
    "ConnectionRefusedError: [Errno 111] Connection refused",
    "sock.connect(('127.0.0.1', 80))",
    CONNECT,
  ],
  [
    "URLError: <urlopen error [Errno 111] Connection refused>",
    "urlopen(request)",
    CONNECT,
  ],
  [
    "Error: connect ECONNREFUSED 127.0.0.1:80",
    undefined,
    CONNECT,
  ],
  [
    "AttributeError: 'bytes' object has no attribute 'encode'",
    "path = key_val.encode()",
    "the key is bytes: use `key_val.decode()`",
    "sound:PUT",
  ],
  [
    "AttributeError: 'bytes' object has no attribute 'encode'",
    "sock.sendall(request.encode())",
    "remove `.encode()`: this is bytes already",
  ],
  [
    "AttributeError: 'str' object has no attribute 'decode'",
    "return body.decode()",
    "remove `.decode()`: this is a str already",
  ],
  [
    "TypeError: a bytes-like object is required, not 'str'",
    "sock.send(request)",
    "a socket sends bytes: use `request.encode()`",
  ],
  [
    "TypeError: a bytes-like object is required, not 'str'",
    undefined,
    "a socket sends bytes: use `request.encode()`",
  ],
  [
    "TypeError: a bytes-like object is required, not 'str'",
    "head, body = response.split('\\r\\n\\r\\n')",
    "do not mix bytes and str: use `.decode()` or `.encode()`",
  ],
  [
    "TypeError: can't concat str to bytes",
    "response += ''",
    "do not mix bytes and str: use `.decode()` or `.encode()`",
  ],
  [
    "TypeError: must be str or None, not bytes",
    "text.split(b'\\r\\n')",
    "do not mix bytes and str: use `.decode()` or `.encode()`",
  ],
  [
    "TypeError: sequence item 0: expected str instance, bytes found",
    "''.join(parts)",
    "do not mix bytes and str: use `.decode()` or `.encode()`",
  ],
  [
    "TypeError: cannot use a string pattern on a bytes-like object",
    "re.search('\\d+', head)",
    "do not mix bytes and str: use `.decode()` or `.encode()`",
  ],
  [
    "TypeError: 'str' object cannot be interpreted as an integer",
    "sock.connect(('127.0.0.1', '5000'))",
    "the port must be a number: `int(port)`",
  ],
  [
    "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xc3",
    "text += data.decode()",
    "decode once, when the whole body has been received",
  ],
  [
    "OSError: [Errno 98] Address already in use",
    "sock.bind(('', 4000))",
    "remove `sock.bind(...)`: a client does not need a port of its own, and its port stays in use for a minute",
  ],
  [
    "EOFError: EOF when reading a line",
    "name = input()",
    "remove `input()`: nobody types an answer when a test runs",
  ],
  ["SystemExit: 1", "sys.exit(1)", "remove `exit()`: return from the function"],
  ["NameError: name 'x' is not defined", "return x", "correct this line first"],
  ["ReferenceError: x is not defined", undefined, "correct this line first"],
  ["SyntaxError: invalid syntax", undefined, "correct this line first"],
  ["ImportError: cannot import name 'x'", "from right import x", "correct this line first"],
  ["ModuleNotFoundError: No module named 'x'", "import x", "correct this line first"],
  ["UnboundLocalError: x", "return x", "correct this line first"],
  ["KeyError: 'x'", "return headers['x']", SERVE_HELP],
  ["AssertionError", undefined, SERVE_HELP],
];

for (const [text, source, help, round = "sound:KEY"] of EXCEPTIONS) {
  Deno.test(`judgeCall() helps with ${text}${source ? ` in ${source}` : ""}`, () => {
    assertEquals(judgeCall(callOf(round, raised(text, source)))!.help, help);
  });
  if (help === SERVE_HELP) continue;
  Deno.test(`judgeCall() helps with ${text}${source ? ` in ${source}` : ""} if there is no key`, () => {
    if (round === "sound:KEY") {
      assertEquals(judgeCall(callOf("reset:KEY", raised(text, source)))!.help, help);
    }
  });
}

testRows([
  [
    "an exception without a line",
    "sound:KEY",
    raised("ValueError: no status line"),
    "do_key() raised ValueError, must return bytes: no status line",
    SERVE_HELP,
  ],
  [
    "an exception without a line and a message",
    "sound:PUT",
    raised("AssertionError"),
    "do_put() raised AssertionError, must return the message",
    SERVE_HELP,
  ],
  [
    "an exception with a line and without a message",
    "sound:KEY",
    raised("AssertionError", "assert len(key) == 128"),
    "do_key() raised AssertionError in line 9, must return bytes: assert len(key) == 128",
    SERVE_HELP,
  ],
  [
    "an exception whose message is in the line",
    "sound:KEY",
    raised("ValueError: no status line", 'raise ValueError("no status line")'),
    'do_key() raised ValueError in line 9, must return bytes: raise ValueError("no status line")',
    SERVE_HELP,
  ],
  [
    "an exception whose message has more than the line",
    "sound:KEY",
    raised("ValueError: status 405", 'raise ValueError(f"status {status}")'),
    'do_key() raised ValueError in line 9, must return bytes: raise ValueError(f"status {status}") (status 405)',
    SERVE_HELP,
  ],
  [
    "an exception in another file",
    "drip:KEY",
    raised("IndexError: list index out of range", "return parts[1]", 7, "http.py"),
    "do_key() raised IndexError in line 7 of http.py, must return bytes: return parts[1] (list index out of range)",
    FAULTS.drip.help,
  ],
  [
    "control characters in an exception",
    "sound:KEY",
    raised("ValueError: \x1b[2Jgone"),
    "do_key() raised ValueError, must return bytes: \\u{1b}[2Jgone",
    SERVE_HELP,
  ],
  [
    "a long line and a long message",
    "sound:KEY",
    raised(`ValueError: ${"m".repeat(90)}`, "s".repeat(70)),
    `do_key() raised ValueError in line 9, must return bytes: ${"s".repeat(57)}... (${
      "m".repeat(77)
    }...)`,
    SERVE_HELP,
  ],
  [
    "an exception of JavaScript",
    "sound:KEY",
    raised("TypeError: key.slice is not a function", undefined, 12, "client.ts"),
    "doKey() raised TypeError in line 12, must return Uint8Array: key.slice is not a function",
    SERVE_HELP,
    SCRIPT,
  ],
  [
    "an exception because the status is not 200",
    "status-400:PUT",
    raised("HTTPError: HTTP Error 400: Bad Request", "urlopen(request)"),
    "do_put() raised HTTPError in line 9, must return the message: urlopen(request) (HTTP Error 400: Bad Request)",
    "return the body of the response, whatever its status is",
  ],
  [
    "an exception because the key is wrong",
    "wrong-key",
    raised("ValueError: wrong", "raise ValueError"),
    "do_put() raised ValueError in line 9, must return the message: raise ValueError (wrong)",
    "return the body of the response, whatever its status is",
    {
      events: [answer(putRequest(ZEROS), {
        ...{ status: 400, message: "the key is wrong" },
        error: remark("wrong-key", "the key is wrong"),
      })],
      key: ZEROS,
    },
  ],
  ["an exception instead of half a message", "truncate:PUT", raised("ValueError: short"), null],
  ["an exception after a reset", "reset:PUT", raised("ConnectionResetError: reset"), null],
]);

// ---- do_key without a key

const RESET = { events: [answer(keyRequest(), NO_ANSWER)] };

testRows([
  ["None", "reset:KEY", NONE, null, "", RESET],
  [
    "None after the key of another request",
    "short-key:KEY",
    NONE,
    null,
    "",
    { events: [answer(keyRequest(), { message: KEY.slice(1) })] },
  ],
  [
    "None, but never a key before",
    "reset:KEY",
    NONE,
    "not counted: do_key() has returned no key in any round so far",
    FIRST,
    { ...RESET, ...UNPROVEN },
  ],
  [
    "an exception of the socket",
    "reset:KEY",
    raised("ConnectionResetError: [Errno 104] Connection reset by peer", "data = sock.recv(1024)"),
    "do_key() raised ConnectionResetError in line 9, must return None: data = sock.recv(1024) ([Errno 104] Connection reset by peer)",
    "catch it in do_key(), and return None: put the conversation into `try:`, then `except OSError:`",
    RESET,
  ],
  [
    "an exception of Python",
    "garbage:KEY",
    raised("IndexError: list index out of range", "status = head.split()[1]"),
    "do_key() raised IndexError in line 9, must return None: status = head.split()[1] (list index out of range)",
    `${FAULTS.garbage.help}; if there is no key, return None`,
    RESET,
  ],
  [
    "an exception of the client, never a key before",
    "short-key:KEY",
    raised("ValueError: no key", "raise ValueError(problem)"),
    "do_key() raised ValueError in line 9, must return None: raise ValueError(problem) (no key)",
    `${FAULTS["short-key"].help}; if there is no key, return None`,
    UNPROVEN,
  ],
  [
    "an exception of JavaScript",
    "reset:KEY",
    raised("ConnectionReset: Connection reset by peer", undefined, 5, "client.ts"),
    "doKey() raised ConnectionReset in line 5, must return null: Connection reset by peer",
    "catch it in doKey(): `catch { return null; }`",
    { ...RESET, ...SCRIPT },
  ],
  [
    "bytes that look like a key",
    "status-500:KEY",
    returned(KEY),
    `do_key() returned b'${KEY.slice(0, 45)}..., must return None`,
    `${FAULTS["status-500"].help}; if there is no key, return None`,
  ],
  [
    "a key that is too short",
    "short-key:KEY",
    returned(KEY.slice(1), "Uint8Array"),
    `doKey() returned "${KEY.slice(1, 47)}..., must return null`,
    `${FAULTS["short-key"].help}; if there is no key, return null`,
    SCRIPT,
  ],
  [
    "empty bytes",
    "empty:KEY",
    returned(""),
    "do_key() returned b'', must return None",
    "if there is no key, `return None`",
    RESET,
  ],
  [
    "a string",
    "status-404:KEY",
    returned("error", "str"),
    "do_key() returned 'error', must return None",
    `${FAULTS["status-404"].help}; if there is no key, return None`,
  ],
  [
    "an empty string",
    "status-404:KEY",
    returned("", "str"),
    "do_key() returned '', must return None",
    "if there is no key, `return None`",
  ],
  [
    "False",
    "status-404:KEY",
    other("bool", "False"),
    "do_key() returned False, must return None",
    "if there is no key, `return None`",
  ],
  [
    "undefined",
    "reset:KEY",
    UNDEFINED,
    "doKey() returned undefined, must return null",
    "if there is no key, `return null`",
    { ...RESET, ...SCRIPT },
  ],
  [
    "PUT without a key",
    "status-404:KEY",
    NONE,
    "there was no key, but do_key() sent PUT /key/Ada/None/ HTTP/1.1",
    "send PUT only if there is a key: `if key_val is not None:`",
    { events: [ISSUED, answer(putRequest("None"))] },
  ],
  [
    "PUT without a key in JavaScript",
    "reset:KEY",
    raised("ConnectionReset: reset"),
    "there was no key, but doKey() sent PUT /key/Ada/null/ HTTP/1.1",
    "send PUT only if there is a key: `if (key !== null)`",
    { events: [...RESET.events, answer(putRequest("null"))], ...SCRIPT },
  ],
]);

// ---- do_key with a key

const RAW_KEY = String.fromCharCode(...Uint8Array.fromHex(KEY));

testRows([
  ["the key", "sound:KEY", returned(KEY), null],
  ["the key, never one before", "drip:KEY", returned(KEY), null, "", UNPROVEN],
  ["the key of JavaScript", "chunked:KEY", returned(KEY, "Uint8Array"), null, "", SCRIPT],
  [
    "the second of two keys",
    "sound:KEY",
    returned(KEY),
    null,
    "",
    { events: [answer(keyRequest(), { message: OLD_KEY }), ISSUED] },
  ],
  [
    "the key after 100",
    "interim:KEY",
    returned(KEY),
    null,
    "",
    { events: [answer(keyRequest(), { status: 100 }), ISSUED] },
  ],
  [
    "the key printed",
    "sound:KEY",
    NONE,
    "do_key() printed the key and returned None",
    "use `return` where it prints",
    { output: `b'${KEY}'\n` },
  ],
  [
    "the key printed in JavaScript",
    "sound:KEY",
    UNDEFINED,
    "doKey() printed the key and returned undefined",
    "use `return` where it prints",
    { output: `${KEY}\n`, ...SCRIPT },
  ],
  [
    "the key as str",
    "sound:KEY",
    returned(KEY, "str"),
    "do_key() returned str, must return bytes",
    "return the body as it was received, without `.decode()`",
  ],
  [
    "the key as string",
    "sound:KEY",
    returned(KEY, "string"),
    "doKey() returned string, must return Uint8Array",
    "`return new TextEncoder().encode(key)`",
    SCRIPT,
  ],
  [
    "None",
    "sound:KEY",
    NONE,
    "do_key() returned None, must return the key as bytes",
    SERVE_HELP,
  ],
  [
    "undefined",
    "sound:KEY",
    UNDEFINED,
    "doKey() returned undefined, must return the key as Uint8Array",
    SERVE_HELP,
    SCRIPT,
  ],
  [
    "None where only this round is odd",
    "chunked:KEY",
    NONE,
    "do_key() returned None, must return the key as bytes",
    FAULTS.chunked.help,
  ],
  [
    "None in an odd round, never a key before",
    "chunked:KEY",
    NONE,
    "do_key() returned None, must return the key as bytes",
    SERVE_HELP,
    UNPROVEN,
  ],
  [
    "an empty str",
    "sound:KEY",
    returned("", "str"),
    "do_key() returned '', must return the key as bytes",
    SERVE_HELP,
  ],
  [
    "empty bytes",
    "split:KEY",
    returned(""),
    "do_key() returned b'', must return the key as bytes",
    FAULTS.split.help,
  ],
  [
    "bytes in a str",
    "sound:KEY",
    { ...returned(`b'${KEY}'`, "str"), shown: `"b'${KEY}'"` },
    `do_key() returned "b'${KEY.slice(0, 44)}..., which is str; must return bytes`,
    "return the body as it was received, without `.decode()`",
  ],
  [
    "a bytearray",
    "sound:KEY",
    other("bytearray", `bytearray(b'${KEY}')`),
    `do_key() returned bytearray(b'${KEY.slice(0, 35)}..., which is bytearray; must return bytes`,
    "`return bytes(body)`",
  ],
  [
    "an ArrayBuffer",
    "sound:KEY",
    other("ArrayBuffer", "ArrayBuffer { byteLength: 128 }"),
    "doKey() returned ArrayBuffer { byteLength: 128 }, which is ArrayBuffer; must return Uint8Array",
    "`return new Uint8Array(body)`",
    SCRIPT,
  ],
  [
    "a tuple",
    "sound:KEY",
    other("tuple", "(200, b'')"),
    "do_key() returned (200, b''), which is tuple; must return bytes",
    "return the body of the response",
  ],
  [
    "the headers too",
    "sound:KEY",
    returned(`HTTP/1.1 200 OK\r\n\r\n${KEY}`),
    "do_key() returned the headers too",
    'use only the body: `response.partition(b"\\r\\n\\r\\n")[2]`',
  ],
  [
    "the headers too, in JavaScript",
    "sound:KEY",
    returned(`HTTP/1.1 200 OK\r\n\r\n${KEY}`, "Uint8Array"),
    "doKey() returned the headers too",
    "use only the body: the bytes after `\\r\\n\\r\\n`",
    SCRIPT,
  ],
  [
    "white space",
    "sound:KEY",
    returned(`${KEY}\r\n`),
    "do_key() returned white space around the key",
    "`return body.strip()`",
  ],
  [
    "white space in JavaScript",
    "sound:KEY",
    returned(`\n${KEY}`, "Uint8Array"),
    "doKey() returned white space around the key",
    "return only the 128 digits",
    SCRIPT,
  ],
  [
    "the first of two keys",
    "sound:KEY",
    returned(OLD_KEY),
    "do_key() returned an older key",
    "return the key of the last response",
    { events: [answer(keyRequest(), { message: OLD_KEY }), ISSUED] },
  ],
  [
    "the first digits",
    "sound:KEY",
    returned(KEY.slice(0, 60)),
    "do_key() returned only the first 60 of 128 digits",
    FAULTS.drip.help,
  ],
  [
    "the first digits in an odd round",
    "split:KEY",
    returned(KEY.slice(0, 60)),
    "do_key() returned only the first 60 of 128 digits",
    FAULTS.split.help,
  ],
  [
    "the first digits in an odd round, never a key before",
    "split:KEY",
    returned(KEY.slice(0, 60)),
    "do_key() returned only the first 60 of 128 digits",
    FAULTS.drip.help,
    UNPROVEN,
  ],
  [
    "the last digits",
    "drip:KEY",
    returned("f"),
    "do_key() returned only the last 1 of 128 digits",
    "add each part to what has been received: `response += data`",
  ],
  [
    "the last digits in JavaScript",
    "drip:KEY",
    returned("ef", "Uint8Array"),
    "doKey() returned only the last 2 of 128 digits",
    "add each part to what has been received",
    SCRIPT,
  ],
  [
    "64 bytes",
    "sound:KEY",
    returned(RAW_KEY),
    "do_key() returned 64 bytes, must return the 128 digits",
    "remove `bytes.fromhex()`",
  ],
  [
    "64 bytes in JavaScript",
    "sound:KEY",
    returned(RAW_KEY, "Uint8Array"),
    "doKey() returned 64 bytes, must return the 128 digits",
    "remove `Uint8Array.fromHex()`",
    SCRIPT,
  ],
  [
    "uppercase",
    "sound:KEY",
    returned(KEY.toUpperCase()),
    "do_key() changed the key to uppercase",
    "return the body as it was received",
  ],
  [
    "something else",
    "sound:KEY",
    returned("200 OK"),
    "do_key() returned b'200 OK' (6 bytes), not the key",
    "return the body, and nothing else",
  ],
  [
    "one byte",
    "sound:KEY",
    returned("2"),
    "do_key() returned b'2' (1 byte), not the key",
    "return the body, and nothing else",
  ],
  [
    "the sizes of the chunks too",
    "chunked:KEY",
    { ...returned(`3c\r\n${KEY}`), shown: "b'3c\\r\\n0123" },
    "do_key() returned b'3c\\r\\n0123 (132 bytes), not the key",
    FAULTS.chunked.help,
  ],
]);

// ---- do_put

const HTML = "No key here, though this text has 128 characters";
const ANY_STATUS = "return the body of the response, whatever its status is";
const READ = "call `recv()` after the request, and return the body of the response";
const CUT_TAKEN: Changes = {
  events: [
    answer(putRequest(), { message: SUCCESS, bytes: bytes("HTTP/1.1 200 OK\r\n\r\nSuccess: the") }),
  ],
};
const MOVED: Changes = {
  events: [
    answer(putRequest(), { status: 308, message: HTML }),
    answer("PUT /moved/ HTTP/1.1\r\n\r\n", { status: 404, message: "no such path" }),
  ],
};

testRows([
  ["the message", "sound:PUT", returned(SUCCESS, "str"), null],
  ["the message in JavaScript", "slow:PUT", returned(SUCCESS, "string"), null, "", SCRIPT],
  [
    "the message of PUT, then KEY",
    "sound:PUT",
    returned(SUCCESS, "str"),
    null,
    "",
    { events: [TAKEN, ISSUED] },
  ],
  [
    "the message of the refusal",
    "wrong-key",
    returned("the key is wrong", "str"),
    null,
    "",
    {
      events: [answer(putRequest(ZEROS), {
        ...{ status: 400, message: "the key is wrong" },
        error: remark("wrong-key", "the key is wrong"),
      })],
      key: ZEROS,
    },
  ],
  ["the message of the redirect", "redirect:PUT", returned(HTML, "str"), null, "", MOVED],
  [
    "the message after the redirect",
    "redirect:PUT",
    returned("no such path", "str"),
    null,
    "",
    MOVED,
  ],
  [
    "another message after the redirect",
    "redirect:PUT",
    returned("moved", "str"),
    "do_put() returned 'moved', must return \"no such path\"",
    "return the body of the response, and nothing else",
    MOVED,
  ],
  [
    "the first of two messages",
    "sound:PUT",
    returned("the first", "str"),
    `do_put() returned 'the first', must return "${SUCCESS}"`,
    "return the body of the response, and nothing else",
    { events: [answer(putRequest(), { message: "the first" }), TAKEN] },
  ],
  [
    "bytes",
    "sound:PUT",
    returned(`${SUCCESS}\n`),
    "do_put() returned bytes, must return str",
    "`return body.decode()`",
  ],
  [
    "bytes in JavaScript",
    "sound:PUT",
    returned(SUCCESS, "Uint8Array"),
    "doPut() returned Uint8Array, must return string",
    "`return new TextDecoder().decode(body)`",
    SCRIPT,
  ],
  [
    "the message printed",
    "sound:PUT",
    NONE,
    "do_put() printed the message and returned None",
    "use `return` where it prints",
    { output: `${SUCCESS}\n` },
  ],
  [
    "the message printed in JavaScript",
    "sound:PUT",
    UNDEFINED,
    "doPut() printed the message and returned undefined",
    "use `return` where it prints",
    { output: `${SUCCESS}\n`, ...SCRIPT },
  ],
  [
    "the message in b'...'",
    "sound:PUT",
    returned(`b'${SUCCESS}'`, "str"),
    "do_put() converted the bytes with str(), so the message is in b'...'",
    "`return body.decode()`",
  ],
  [
    'the message in b"..."',
    "status-400:PUT",
    returned('b"it\'s wrong"', "str"),
    "do_put() converted the bytes with str(), so the message is in b'...'",
    "`return body.decode()`",
    { events: [answer(putRequest(), { status: 400, message: "it's wrong" })] },
  ],
  [
    "None",
    "status-404:PUT",
    NONE,
    "do_put() returned None, must return the message as str",
    ANY_STATUS,
  ],
  [
    "a number",
    "sound:PUT",
    other("int", "200"),
    "do_put() returned 200, must return the message as str",
    "`return body.decode()`",
  ],
  [
    "undefined in an odd round",
    "keep-open:PUT",
    UNDEFINED,
    "doPut() returned undefined, must return the message as string",
    FAULTS["keep-open"].help,
    SCRIPT,
  ],
  [
    "an empty str",
    "sound:PUT",
    returned("", "str"),
    "do_put() returned '', must return the message as str",
    SERVE_HELP,
  ],
  [
    "None, and the response is not read",
    "sound:PUT",
    NONE,
    "do_put() returned None and did not read the response",
    READ,
    { events: [TAKEN, UNREAD] },
  ],
  [
    "another text, and the response is not read",
    "sound:PUT",
    returned("OK", "str"),
    "do_put() returned 'OK' and did not read the response",
    READ,
    {
      events: [
        TAKEN,
        remarkEvent(remark("reset", "closed before it had read", undefined, "note")),
      ],
    },
  ],
  [
    "another text, and the response is not read, in JavaScript",
    "status-500:PUT",
    returned("OK", "string"),
    'doPut() returned "OK" and did not read the response',
    "read from the connection after the request, and return the body of the response",
    { events: [TAKEN, UNREAD], ...SCRIPT },
  ],
  [
    "another text, and the response is not read, in an odd round",
    "drip:PUT",
    returned("", "str"),
    "do_put() returned '' and did not read the response",
    FAULTS.drip.help,
    { events: [TAKEN, UNREAD] },
  ],
  [
    "another text, and the response is not read, in an odd round, never a message before",
    "drip:PUT",
    returned("OK", "str"),
    "do_put() returned 'OK' and did not read the response",
    READ,
    { events: [TAKEN, UNREAD], ...UNPROVEN },
  ],
  [
    "another text, and only another connection is not read",
    "sound:PUT",
    returned("OK", "str"),
    `do_put() returned 'OK', must return "${SUCCESS}"`,
    "return the body of the response, and nothing else",
    { events: [{ ...UNREAD, connection: 2 }, TAKEN, remarkEvent(NO_HOST)] },
  ],
  [
    "the status line",
    "sound:PUT",
    returned("HTTP/1.1 200 OK\r\n", "str"),
    "do_put() returned only the status line",
    "return the body of the response",
  ],
  [
    "the headers too",
    "sound:PUT",
    returned(`HTTP/1.1 200 OK\r\n\r\n${SUCCESS}`, "str"),
    "do_put() returned the headers too",
    'use only the body: `response.partition("\\r\\n\\r\\n")[2]`',
  ],
  [
    "the headers too, as bytes",
    "sound:PUT",
    returned(`HTTP/1.1 200 OK\r\n\r\n${SUCCESS}`),
    "do_put() returned the headers too",
    'use only the body: `response.decode().partition("\\r\\n\\r\\n")[2]`',
  ],
  [
    "the headers too, in JavaScript",
    "sound:PUT",
    returned(`HTTP/1.1 200 OK\r\n\r\n${SUCCESS}`, "string"),
    "doPut() returned the headers too",
    'use only the body: `response.split("\\r\\n\\r\\n")[1]`',
    SCRIPT,
  ],
  [
    "the headers too, as bytes of JavaScript",
    "sound:PUT",
    returned(`HTTP/1.1 200 OK\r\n\r\n${SUCCESS}`, "Uint8Array"),
    "doPut() returned the headers too",
    'use only the body: `new TextDecoder().decode(response).split("\\r\\n\\r\\n")[1]`',
    SCRIPT,
  ],
  [
    "white space",
    "sound:PUT",
    returned(`${SUCCESS}\r\n`, "str"),
    "do_put() returned white space around the message",
    "`return body.strip()`",
  ],
  [
    "white space in JavaScript",
    "sound:PUT",
    returned(`\n${SUCCESS}`, "string"),
    "doPut() returned white space around the message",
    "`return body.trim()`",
    SCRIPT,
  ],
  [
    "empty bytes",
    "sound:PUT",
    returned(""),
    "do_put() returned b'', must return the message as str",
    SERVE_HELP,
  ],
  [
    "the first characters",
    "sound:PUT",
    returned("Success", "str"),
    "do_put() returned only the first 7 of 25 characters",
    FAULTS.drip.help,
  ],
  [
    "the first characters in an odd round",
    "no-length:PUT",
    returned("Success", "str"),
    "do_put() returned only the first 7 of 25 characters",
    FAULTS["no-length"].help,
  ],
  [
    "the first characters of a refusal",
    "status-400:PUT",
    returned(HTML.slice(0, 20), "str"),
    "do_put() returned only the first 20 of 48 characters",
    FAULTS.drip.help,
    { events: [answer(putRequest(), { status: 400, message: HTML })] },
  ],
  [
    "another text",
    "status-400:PUT",
    returned("400", "str"),
    "do_put() returned '400', must return \"No key here, though this text has 128...\"",
    "return the body of the response, and nothing else",
    { events: [answer(putRequest(), { status: 400, message: HTML })] },
  ],
  [
    "another text in an odd round",
    "interim:PUT",
    returned("100 Continue", "str"),
    `do_put() returned '100 Continue', must return "${SUCCESS}"`,
    FAULTS.interim.help,
  ],
  [
    "the headers after 100",
    "interim:PUT",
    returned(`HTTP/1.1 200 OK\r\n\r\n${SUCCESS}`, "str"),
    "do_put() returned the headers of the second response",
    FAULTS.interim.help,
  ],
  [
    "the headers after 100, as bytes, never a message before",
    "interim:PUT",
    returned(`HTTP/1.1 200 OK\r\n\r\n${SUCCESS}`),
    "do_put() returned the headers of the second response",
    SERVE_HELP,
    UNPROVEN,
  ],
  [
    "half of the message",
    "truncate:PUT",
    returned("Success: the", "str"),
    "do_put() returned 'Success: the', half of the message",
    FAULTS.truncate.help,
    CUT_TAKEN,
  ],
  [
    "half of the message, and the headers",
    "truncate:PUT",
    { ...returned("HTTP/1.1 200 OK\r\n\r\nSuccess: the\n"), shown: "b'HTTP" },
    "do_put() returned b'HTTP, half of the message",
    FAULTS.truncate.help,
    CUT_TAKEN,
  ],
  [
    "an error message of its own",
    "truncate:PUT",
    returned("incomplete", "str"),
    null,
    "",
    CUT_TAKEN,
  ],
  ["None instead of half a message", "truncate:PUT", NONE, null, "", CUT_TAKEN],
  [
    "a text instead of a message without a half",
    "truncate:PUT",
    returned("incomplete", "str"),
    null,
    "",
    { events: [answer(putRequest())] },
  ],
  ["a text instead of no response", "garbage:PUT", returned("?!", "str"), null],
  ["None instead of no response", "silent:PUT", NONE, null],
]);
