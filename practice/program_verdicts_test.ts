import { assertEquals } from "@std/assert";
import type { AnswerEvent, KeyServerEvent, RemarkEvent } from "./events.ts";
import { FAULTS } from "./faults.ts";
import { judgeProgram, type ProgramRun } from "./program_verdicts.ts";
import type { Remark, Severity } from "./remark.ts";
import { roundsOf } from "./rounds.ts";
import type { RemarkCode } from "./rules.ts";
import { SERVE_HELP } from "./verdicts.ts";
import { bytes, KEY } from "../testing/bytes.ts";

const ADDRESS = "127.0.0.1:5010";
const SUCCESS = "Success: the key is right";
const PEER: Deno.NetAddr = { transport: "tcp", hostname: "127.0.0.1", port: 50000 };
const CONNECT =
  `connect to ${ADDRESS}, where the drill listens: its port is in the environment variable KEY_SERVER_PORT`;
const CATCH = "catch it: put the conversation into `try:`, then `except OSError:`";
const NO_PUT = "if there is no key, send no PUT";

// ---- Events

function remark(
  code: RemarkCode,
  fact: string,
  help = "do this",
  severity: Severity = "error",
): Remark {
  return { code, severity, fact, help, start: 0, end: 0 };
}

function remarkEvent(remark: Remark, connection = 1): RemarkEvent {
  return {
    ...{ type: "remark", connection, peer: PEER, time: 0 },
    ...{ remark, bytes: new Uint8Array() },
  };
}

function answer(request: string, about: Partial<AnswerEvent> = {}): AnswerEvent {
  const [method, path = ""] = request.split(" ");
  return {
    ...{ type: "answer", connection: 1, peer: PEER, time: 1000, status: 200, message: "" },
    ...{ bytes: new Uint8Array(), request: bytes(request), method, userId: path.split("/")[2] },
    ...about,
  };
}

function keyAnswer(about: Partial<AnswerEvent> = {}, user = "Ada"): AnswerEvent {
  return answer(`KEY /user/${user}/ HTTP/1.1\r\n\r\n`, { message: KEY, ...about });
}

function putAnswer(about: Partial<AnswerEvent> = {}, key = "0123", user = "Ada"): AnswerEvent {
  return answer(`PUT /key/${user}/${key}/ HTTP/1.1\r\n\r\n`, { message: SUCCESS, ...about });
}

const ISSUED = keyAnswer();
const TAKEN = putAnswer();
const GONE = keyAnswer({ status: 0, message: "" });

// ---- Runs

type Changes = Partial<ProgramRun>;

/** A run of a program that has sent KEY and PUT, has printed the message and has ended. */
function runOf(name: string, changes: Changes = {}): ProgramRun {
  const [round] = roundsOf("command", [name]);
  return {
    ...{ round, address: ADDRESS, status: ended(0), seconds: 0.2, output: `${SUCCESS}\n` },
    ...{ events: [ISSUED, TAKEN], isProven: true },
    ...changes,
  };
}

function ended(code: number, signal: Deno.Signal | null = null): Deno.CommandStatus {
  return { success: code === 0, code, signal };
}

function killed(signal: Deno.Signal, code: number): Changes {
  return { status: ended(code, signal), output: "" };
}

/** A program that hangs, and is killed after 30 s. */
const HUNG: Changes = { status: undefined, seconds: 30.1, output: "" };
const UNPROVEN: Changes = { isProven: false };

type Row = [
  title: string,
  round: string,
  changes: Changes,
  rationale: string | null,
  help?: string,
];

function testRows(rows: Row[]): void {
  for (const [title, name, changes, rationale, help = ""] of rows) {
    Deno.test(`judgeProgram(), ${name}: ${title}`, () => {
      const expected = rationale === null ? null : { rationale, help };
      assertEquals(judgeProgram(runOf(name, changes)), expected);
    });
  }
}

// ---- Crashes

const PYTHON = `Traceback (most recent call last):
  File "/home/ada/client.py", line 4, in <module>
    do_key()
  File "/home/ada/client.py", line 3, in do_key
    data = sock.recv(1024)
           ^^^^^^^^^^^^^^^
ConnectionResetError: [Errno 104] Connection reset by peer
`;
const PYTHON_SYNTAX = `  File "/home/ada/client.py", line 1
    def do_key(:
               ^
SyntaxError: invalid syntax
`;
const PYTHON_CHAIN = `Traceback (most recent call last):
  File "/home/ada/client.py", line 9, in <module>
    read()
KeyError: 'Content-Length'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/home/ada/client.py", line 11, in <module>
    raise ValueError("no length")
ValueError: no length
`;
const PYTHON_LIBRARY = `Traceback (most recent call last):
  File "/home/ada/client.py", line 5, in <module>
    with urlopen("http://127.0.0.1:5010/") as response:
  File "/usr/lib/python3.12/urllib/request.py", line 215, in urlopen
    return opener.open(url, data, timeout)
  File "/usr/lib/python3.12/socket.py", line 707, in readinto
    return self._sock.recv_into(b)
TimeoutError: timed out
`;
const PYTHON_FROZEN = `Traceback (most recent call last):
  File "/home/ada/client.py", line 2, in <module>
    importlib.import_module("x")
  File "<frozen importlib._bootstrap>", line 1324, in _find_and_load_unlocked
ModuleNotFoundError: No module named 'x'
`;
const PYTHON_ONLY_LIBRARY = `Traceback (most recent call last):
  File "/usr/lib/python3.12/runpy.py", line 198, in _run_module_as_main
    return _run_code(code, main_globals, None)
ValueError: no
`;
const RESET_BY_PEER = "ConnectionResetError: [Errno 104] Connection reset by peer";
const withError = (error: string) => PYTHON.replace(RESET_BY_PEER, error);
const JAVA = `Exception in thread "main" java.net.SocketException: Connection reset
\tat java.base/sun.nio.ch.NioSocketImpl.implRead(NioSocketImpl.java:328)
\tat Client.main(Client.java:12)
`;
const GO = `panic: runtime error: index out of range [1] with length 1

goroutine 1 [running]:
main.main()
\t/home/ada/client.go:30 +0x52
exit status 2
`;
const RUST = `
thread 'main' (31375) panicked at src/main.rs:12:57:
called \`Result::unwrap()\` on an \`Err\` value: UnexpectedEof
note: run with \`RUST_BACKTRACE=1\` environment variable to display a backtrace
`;
const OLD_RUST = `thread 'main' panicked at 'no status line', src/main.rs:12:5
note: run with \`RUST_BACKTRACE=1\` environment variable to display a backtrace
`;
const DENO =
  `\x1b[0m\x1b[1m\x1b[31merror\x1b[0m: Uncaught (in promise) ConnectionReset: Connection reset by peer (os error 104)
    at async Object.read (ext:deno_net/01_net.js:1:8642)
    at async file:///home/ada/client.ts:7:15
`;
const NODE = `node:events:502
      throw er; // Unhandled 'error' event
      ^

Error: read ECONNRESET
    at TCP.onStreamRead (node:internal/stream_base_commons:218:20)
Emitted 'error' event on Socket instance at:
    at emitErrorNT (node:internal/streams/destroy:169:8) {
  errno: -104,
  code: 'ECONNRESET',
  syscall: 'read'
}

Node.js v20.20.2
`;
const NODE_TYPE = `/home/ada/client.js:3
const status = head.split(" ")[1].trim();
                                  ^

TypeError: Cannot read properties of undefined (reading 'trim')
    at Socket.<anonymous> (/home/ada/client.js:3:35)

Node.js v20.20.2
`;
const DOTNET =
  `Unhandled exception. System.IO.IOException: Unable to read data from the transport connection.
   at System.Net.Sockets.NetworkStream.Read(Byte[] buffer)
   at Program.Main() in /home/ada/Program.cs:line 9
`;
const OLD_DOTNET =
  `Unhandled exception System.IndexOutOfRangeException: Index was outside the bounds
`;
const PHP = `PHP Fatal error:  Uncaught TypeError: fwrite(): Argument #1 must be of type resource
Stack trace:
#0 /home/ada/client.php(4): fwrite(false, 'KEY /user/Ada/ ...')
  thrown in /home/ada/client.php on line 4
`;
const PHP_STDOUT = `
Parse error: syntax error, unexpected token "}" in /home/ada/client.php on line 3
`;
const RUBY =
  "client.rb:7:in `readpartial': end of file reached: no response (EOFError)\n\tfrom client.rb:7:in `<main>'\n";
const NEW_RUBY =
  "client.rb:3:in 'Integer#/': divided by 0 (ZeroDivisionError)\n\tfrom client.rb:3:in '<main>'\n";
const CPP = `terminate called after throwing an instance of 'std::runtime_error'
  what():  no response
`;

const CRASHES: [
  language: string,
  output: string,
  status: Deno.CommandStatus,
  error: string,
  line?: number,
  help?: string,
][] = [
  ["Python", PYTHON, ended(1), RESET_BY_PEER, 3, CATCH],
  ["Python, after another exception", PYTHON_CHAIN, ended(1), "KeyError: 'Content-Length'", 9],
  ["Python, syntax error", PYTHON_SYNTAX, ended(1), "SyntaxError: invalid syntax", 1],
  ["Python, in a library", PYTHON_LIBRARY, ended(1), "TimeoutError: timed out", 5, CATCH],
  [
    "Python, in frozen code",
    PYTHON_FROZEN,
    ended(1),
    "ModuleNotFoundError: No module named 'x'",
    2,
  ],
  ["Python, only in a library", PYTHON_ONLY_LIBRARY, ended(1), "ValueError: no"],
  [
    "Python, pipe",
    withError("BrokenPipeError: [Errno 32]"),
    ended(1),
    "BrokenPipeError: [Errno 32]",
    3,
    CATCH,
  ],
  ["Python, OSError", withError("OSError: [Errno 9]"), ended(1), "OSError: [Errno 9]", 3, CATCH],
  [
    "Python before 3.10, timeout",
    withError("socket.timeout: timed out"),
    ended(1),
    "socket.timeout: timed out",
    3,
    CATCH,
  ],
  ["Python, not of the socket", withError("IndexError: no"), ended(1), "IndexError: no", 3],
  ["Java", JAVA, ended(1), "java.net.SocketException: Connection reset"],
  ["Go", GO, ended(2), "panic: runtime error: index out of range [1] with length 1"],
  [
    "Rust",
    RUST,
    ended(101),
    "panicked at src/main.rs:12:57: called `Result::unwrap()` on an `Err` value: UnexpectedEof",
  ],
  [
    "Rust before 1.73",
    OLD_RUST,
    ended(101),
    "panicked at 'no status line', src/main.rs:12:5",
  ],
  [
    "Deno",
    DENO,
    ended(1),
    "Uncaught (in promise) ConnectionReset: Connection reset by peer (os error 104)",
  ],
  ["Node.js, event", NODE, ended(1), "Error: read ECONNRESET"],
  [
    "Node.js, exception",
    NODE_TYPE,
    ended(1),
    "TypeError: Cannot read properties of undefined (reading 'trim')",
  ],
  [
    ".NET",
    DOTNET,
    ended(134, "SIGABRT"),
    "Unhandled exception. System.IO.IOException: Unable to read data from the transport connection.",
  ],
  [
    ".NET without a full stop",
    OLD_DOTNET,
    ended(134),
    "Unhandled exception System.IndexOutOfRangeException: Index was outside the bounds",
  ],
  [
    "PHP",
    PHP,
    ended(255),
    "Fatal error: Uncaught TypeError: fwrite(): Argument #1 must be of type resource",
  ],
  [
    "PHP, on standard output",
    PHP_STDOUT,
    ended(255),
    'Parse error: syntax error, unexpected token "}" in /home/ada/client.php on line 3',
  ],
  ["Ruby", RUBY, ended(1), "end of file reached: no response (EOFError)"],
  ["Ruby 3.4", NEW_RUBY, ended(1), "divided by 0 (ZeroDivisionError)"],
  ["C++", CPP, ended(134, "SIGABRT"), "no response"],
];

for (const [language, output, status, error, line, help] of CRASHES) {
  Deno.test(`judgeProgram() recognizes a crash of ${language}`, () => {
    const events = [GONE];
    const run = runOf("empty:KEY", { output: `connecting...\n${output}`, status, events });
    assertEquals(judgeProgram(run), {
      rationale: `the program crashed${line ? ` in line ${line} of client.py` : ""}: ${error}`,
      help: `${help ?? FAULTS.empty.help}; ${NO_PUT}`,
    });
  });
}

const CALM = [
  ["a caught exception that is printed", PYTHON, 0],
  ["a message with an error in it", "error: no key\n", 1],
  ["an Error that is printed", "Error: no key\n    at main (client.js:3:4)\n", 1],
  ["an exit status without a signal", "", 128],
] as const;

for (const [title, output, code] of CALM) {
  Deno.test(`judgeProgram() does not take for a crash: ${title}`, () => {
    const run = runOf("empty:KEY", { output, status: ended(code), events: [GONE] });
    assertEquals(judgeProgram(run), null);
  });
}

Deno.test("judgeProgram() takes little time for much output", () => {
  const lines = `Error: no key\n  File "x", line 1\n`.repeat(30_000);
  const run = runOf("empty:KEY", { output: lines, status: ended(1), events: [GONE] });
  const start = performance.now();
  assertEquals(judgeProgram(run), null);
  assertEquals(performance.now() - start < 3000, true);
});

const CHECK_HELP = "check what each call returns: after an error there is no data";
const SEND_HELP = "ignore SIGPIPE, and check what `send()` returns";

testRows([
  [
    "a signal",
    "reset:KEY",
    { ...killed("SIGSEGV", 139), events: [GONE] },
    "the program crashed with SIGSEGV",
    CHECK_HELP,
  ],
  [
    "SIGPIPE",
    "reset:PUT",
    killed("SIGPIPE", 141),
    "the program crashed with SIGPIPE",
    SEND_HELP,
  ],
  [
    "SIGPIPE in a shell",
    "reset:PUT",
    { status: ended(141), output: "" },
    "the program crashed with SIGPIPE",
    SEND_HELP,
  ],
  [
    "SIGSEGV in a shell",
    "garbage:PUT",
    { status: ended(139), output: "Segmentation fault\n" },
    "the program crashed with SIGSEGV",
    CHECK_HELP,
  ],
  ["status 1", "reset:PUT", { status: ended(1), output: "no response\n" }, null],
  [
    "a crash after the response to PUT",
    "sound",
    { status: ended(1), output: PYTHON },
    `the program crashed in line 3 of client.py: ${RESET_BY_PEER}`,
    SERVE_HELP,
  ],
  [
    "a crash after the response to PUT, not of the socket",
    "sound",
    { status: ended(1), output: withError("IndexError: list index out of range") },
    "the program crashed in line 3 of client.py: IndexError: list index out of range",
    SERVE_HELP,
  ],
  [
    "a crash of the socket between KEY and PUT",
    "slow",
    { status: ended(1), output: withError("TimeoutError: timed out"), events: [ISSUED] },
    "the program crashed in line 3 of client.py: TimeoutError: timed out",
    FAULTS.slow.help,
  ],
  [
    "a crash between KEY and PUT",
    "chunked",
    { status: ended(1), output: NODE_TYPE, events: [ISSUED] },
    "the program crashed: TypeError: Cannot read properties of undefined (reading 'trim')",
    FAULTS.chunked.help,
  ],
  [
    "a crash between KEY and PUT, never a key before",
    "chunked",
    { status: ended(1), output: NODE_TYPE, events: [ISSUED], ...UNPROVEN },
    "the program crashed: TypeError: Cannot read properties of undefined (reading 'trim')",
    SERVE_HELP,
  ],
  [
    "a crash before the first request",
    "sound",
    { status: ended(1), output: PYTHON_SYNTAX, events: [] },
    "the program crashed in line 1 of client.py: SyntaxError: invalid syntax",
    "correct this error first",
  ],
  [
    "a crash before the first request, if there is no key",
    "reset:KEY",
    { status: ended(2), output: "panic: no argument\n", events: [] },
    "the program crashed: panic: no argument",
    "correct this error first",
  ],
  [
    "a signal before the first request",
    "sound",
    { ...killed("SIGSEGV", 139), events: [] },
    "the program crashed with SIGSEGV",
    CHECK_HELP,
  ],
  [
    "a crash because nothing listens there",
    "sound",
    {
      status: ended(1),
      output: withError("ConnectionRefusedError: [Errno 111] Connection refused"),
      events: [],
    },
    "the program crashed in line 3 of client.py: ConnectionRefusedError: [Errno 111] Connection refused",
    CONNECT,
  ],
  [
    "a crash because nothing listens there, and the drill on port 5000",
    "sound",
    {
      status: ended(1),
      output: withError("ConnectionRefusedError: [Errno 111] Connection refused"),
      events: [],
      address: "127.0.0.1:5000",
    },
    "the program crashed in line 3 of client.py: ConnectionRefusedError: [Errno 111] Connection refused",
    "connect to 127.0.0.1:5000, where the drill listens",
  ],
]);

// ---- KEY

const GET = "GET /user/Ada/ HTTP/1.1\r\n\r\n";
const UNKNOWN_METHOD = remark("wrong-method", "unknown method `GET`", "use `KEY`");
const NO_SLASH = remark("no-final-slash", "the path does not end with a slash", "add it");
const NOTHING_SENT = remark("nothing-sent", "nothing was sent", "call `sendall()`");
const NO_HOST = remark("no-host", "no Host header", "add one", "warning");
const NO_EMPTY_LINE = remark("no-empty-line", "no empty line", "end the headers with one");

testRows([
  [
    "nothing sent",
    "sound",
    { events: [], output: "" },
    "the program sent no KEY request",
    CONNECT,
  ],
  [
    "nothing sent, an error printed",
    "sound",
    {
      events: [],
      status: ended(2),
      output: "usage: client PORT\npython3: can't open file 'client.py'\n",
    },
    "the program sent no KEY request and ended with exit status 2: python3: can't open file 'client.py'",
    CONNECT,
  ],
  [
    "nothing sent and printed, another status",
    "reset:KEY",
    { events: [], status: ended(1), output: "" },
    "the program sent no KEY request and ended with exit status 1",
    CONNECT,
  ],
  [
    "connected, nothing sent",
    "sound",
    {
      events: [remarkEvent(NOTHING_SENT), answer("", { status: 400 })],
      status: ended(1),
      output: "",
    },
    "the program sent no KEY request: nothing was sent",
    "call `sendall()`",
  ],
  [
    "another method",
    "sound",
    { events: [remarkEvent(NO_HOST), answer(GET, { status: 405, error: UNKNOWN_METHOD })] },
    "the program sent no KEY request but GET /user/Ada/ HTTP/1.1: unknown method `GET`",
    "use `KEY`",
  ],
  [
    "another method, then a crash",
    "sound",
    {
      events: [remarkEvent(UNKNOWN_METHOD), answer(GET, { status: 405, error: UNKNOWN_METHOD })],
      ...{ status: ended(1), output: PYTHON },
    },
    "the program sent no KEY request but GET /user/Ada/ HTTP/1.1: unknown method `GET`",
    "use `KEY`",
  ],
  [
    "only PUT",
    "sound",
    { events: [TAKEN] },
    "the program sent no KEY request but PUT /key/Ada/0123/ HTTP/1.1",
    "send KEY first",
  ],
  [
    "KEY refused",
    "sound",
    { events: [keyAnswer({ status: 404, error: NO_SLASH })] },
    "the server refused the KEY request: the path does not end with a slash",
    "add it",
  ],
  [
    "KEY refused, then a crash",
    "sound",
    {
      events: [keyAnswer({ status: 404, error: NO_SLASH })],
      ...{ status: ended(1), output: PYTHON },
    },
    "the server refused the KEY request: the path does not end with a slash",
    "add it",
  ],
  [
    "KEY refused, then no end",
    "sound",
    { ...HUNG, events: [remarkEvent(NO_SLASH), keyAnswer({ status: 404, error: NO_SLASH })] },
    "the program has not ended after 30 s: the path does not end with a slash",
    "add it",
  ],
  [
    "KEY refused, if there is no key",
    "reset:KEY",
    { events: [keyAnswer({ status: 0, error: NO_SLASH })], output: "" },
    "the server refused the KEY request: the path does not end with a slash",
    "add it",
  ],
]);

// ---- No key

testRows([
  ["no PUT", "reset:KEY", { events: [GONE], output: "no response\n" }, null],
  [
    "no PUT, but never one before",
    "reset:KEY",
    { events: [GONE], output: "", ...UNPROVEN },
    "not counted: the program has not sent a correct key back in any round so far",
    "make the round `sound` pass first",
  ],
  [
    "PUT without a key",
    "status-404:KEY",
    { events: [keyAnswer({ status: 404 }), putAnswer({ status: 400 }, "None")] },
    "there was no key, but the program sent PUT /key/Ada/None/ HTTP/1.1",
    `${FAULTS["status-404"].help}; ${NO_PUT}`,
  ],
  [
    "PUT without a key, then no end",
    "silent:KEY",
    { ...HUNG, events: [GONE, putAnswer({ status: 400 }, "None")] },
    "there was no key, but the program sent PUT /key/Ada/None/ HTTP/1.1",
    `${FAULTS.silent.help}; ${NO_PUT}`,
  ],
  [
    "the redirect followed",
    "redirect:KEY",
    {
      events: [
        keyAnswer({ status: 308 }),
        answer("KEY /moved/ HTTP/1.1\r\n\r\n", { status: 404, error: NO_SLASH }),
      ],
    },
    null,
  ],
  [
    "no end",
    "silent:KEY",
    { ...HUNG, events: [GONE] },
    "the program has not ended after 30 s",
    `${FAULTS.silent.help}; ${NO_PUT}`,
  ],
]);

// ---- PUT

const WRONG = remark("wrong-key", "the key is wrong", "send it as it was received");

testRows([
  ["KEY and PUT", "sound", {}, null],
  ["KEY and PUT, never before", "slow", UNPROVEN, null],
  [
    "two keys, the second one sent back",
    "sound",
    { events: [keyAnswer({}, "Bob"), ISSUED, putAnswer({}, KEY)] },
    null,
  ],
  [
    "KEY after 100",
    "interim",
    { events: [answer(GET, { status: 100 }), ISSUED, TAKEN] },
    null,
  ],
  [
    "no PUT",
    "sound",
    { events: [ISSUED], output: "" },
    "the program sent no PUT request",
    SERVE_HELP,
  ],
  [
    "no PUT in an odd round",
    "drip",
    { events: [ISSUED], output: "" },
    "the program sent no PUT request",
    FAULTS.drip.help,
  ],
  [
    "no PUT in an odd round, and never before",
    "drip",
    { events: [ISSUED], output: "", ...UNPROVEN },
    "the program sent no PUT request",
    SERVE_HELP,
  ],
  [
    "PUT refused",
    "sound",
    { events: [ISSUED, putAnswer({ status: 400, error: WRONG })] },
    "the server refused PUT /key/Ada/0123/ HTTP/1.1: the key is wrong",
    "send it as it was received",
  ],
  [
    "PUT refused in an odd round",
    "chunked",
    { events: [ISSUED, putAnswer({ status: 400, error: WRONG })] },
    "the server refused PUT /key/Ada/0123/ HTTP/1.1: the key is wrong",
    FAULTS.chunked.help,
  ],
  [
    "PUT refused in an odd round, and never accepted before",
    "chunked",
    { events: [ISSUED, putAnswer({ status: 400, error: WRONG })], ...UNPROVEN },
    "the server refused PUT /key/Ada/0123/ HTTP/1.1: the key is wrong",
    "send it as it was received",
  ],
  [
    "PUT refused before it fails",
    "reset:PUT",
    { events: [ISSUED, putAnswer({ status: 0, error: WRONG })] },
    "the server refused PUT /key/Ada/0123/ HTTP/1.1: the key is wrong",
    "send it as it was received",
  ],
  [
    "PUT refused, then accepted",
    "sound",
    { events: [ISSUED, putAnswer({ status: 400, error: WRONG }), TAKEN] },
    null,
  ],
  [
    "another user",
    "sound",
    { events: [ISSUED, keyAnswer({}, "Bob"), TAKEN] },
    "the user id is `Bob` in KEY, but `Ada` in PUT",
    "send the same user id in KEY and PUT",
  ],
  [
    "a late PUT",
    "slow",
    { events: [ISSUED, putAnswer({ time: 18_400 })] },
    "the program sent PUT 17 s after KEY, must send it within 15 s",
    FAULTS.slow.help,
  ],
  [
    "no end before PUT",
    "no-length",
    { ...HUNG, events: [ISSUED] },
    "the program has not ended after 30 s",
    FAULTS["no-length"].help,
  ],
  [
    "no end after PUT",
    "sound",
    HUNG,
    "the program has not ended after 30 s",
    SERVE_HELP,
  ],
  [
    "no end after PUT without a response",
    "silent:PUT",
    HUNG,
    "the program has not ended after 30 s",
    FAULTS.silent.help,
  ],
  [
    "no end, nothing sent",
    "sound",
    { ...HUNG, events: [] },
    "the program has not ended after 30 s, and sent no request",
    CONNECT,
  ],
  [
    "no end, request not whole",
    "reset:KEY",
    { ...HUNG, events: [remarkEvent(NO_HOST), remarkEvent(NO_EMPTY_LINE)] },
    "the program has not ended after 30 s: no empty line",
    "end the headers with one",
  ],
]);

// ---- The message

const MESSAGE = "No key here, though this text has 128 characters";
const REFUSED = putAnswer({ status: 400, message: MESSAGE });
const MOVED: KeyServerEvent[] = [
  ISSUED,
  putAnswer({ status: 308, message: MESSAGE }),
  answer("PUT /moved/ HTTP/1.1\r\n\r\n", {
    ...{ status: 404, message: "no such path" },
    error: NO_SLASH,
  }),
];

testRows([
  ["the message in a line", "sound", { output: `200 b'${SUCCESS}'\n` }, null],
  [
    "the message not printed",
    "sound",
    { output: "done\n" },
    `the program did not print "${SUCCESS}"`,
    "print the body of the response to PUT",
  ],
  [
    "the message of a refusal not printed",
    "status-400:PUT",
    { events: [ISSUED, REFUSED], output: "error 400\n" },
    'the program did not print "No key here, though this text has 128..."',
    "print the body of the response, whatever its status is",
  ],
  [
    "the message of a refusal",
    "status-400:PUT",
    { events: [ISSUED, REFUSED], output: MESSAGE, status: ended(1) },
    null,
  ],
  ["the message of the redirect", "redirect:PUT", { events: MOVED, output: MESSAGE }, null],
  [
    "the message after the redirect",
    "redirect:PUT",
    { events: MOVED, output: "no such path" },
    null,
  ],
  [
    "no message of the two",
    "redirect:PUT",
    { events: MOVED, output: "308" },
    'the program did not print "no such path"',
    "print the body of the response, whatever its status is",
  ],
  [
    "the response not read",
    "sound",
    {
      events: [
        ISSUED,
        putAnswer({ connection: 2 }),
        remarkEvent(remark("reset", "closed before it had read", undefined, "note"), 2),
      ],
      output: "",
    },
    "the program closed its connection before it had read the response to PUT",
    "read the whole response to PUT, then close the connection",
  ],
  [
    "the client gone before the response",
    "sound",
    { events: [ISSUED, TAKEN, remarkEvent(remark("gone", "gone", undefined, "note"))], output: "" },
    "the program closed its connection before it had read the response to PUT",
    "read the whole response to PUT, then close the connection",
  ],
  [
    "only another connection is not read",
    "sound",
    {
      events: [
        remarkEvent(NO_HOST, 2),
        ISSUED,
        putAnswer({ connection: 2 }),
        remarkEvent(remark("gone", "gone", undefined, "note"), 1),
      ],
      output: "",
    },
    `the program did not print "${SUCCESS}"`,
    "print the body of the response to PUT",
  ],
  ["nothing printed without a response", "empty:PUT", { output: "" }, null],
]);

// ---- Processes that a program leaves behind

testRows([
  ["KEY and PUT, and a process is left", "sound", { hasLeft: true }, null],
  [
    "no PUT, and a process is left",
    "sound",
    { hasLeft: true, events: [ISSUED], output: "" },
    "the program sent no PUT request; the program ended before a process that it had started",
    "wait in the program for the processes that it starts",
  ],
]);
