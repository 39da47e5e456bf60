import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import config from "../deno.json" with { type: "json" };
import { doKey, doPut } from "../key_client.ts";
import { type FaultName, FAULTS, startKeyServer } from "../practice/server.ts";
import { main, type MainIo } from "../main.ts";
import { KEY } from "../testing/bytes.ts";

const decoder = new TextDecoder();

interface Run {
  exit: number;
  stdout: string;
  stderr: string;
}

interface Streams {
  stdin?: string;
  terminal?: boolean;
  signal?: AbortSignal;
  /** Called with all of stderr so far, whenever it grows. */
  onStderr?: (text: string) => void;
}

/** Runs main() with streams of its own. */
async function run(
  args: string[],
  { stdin = "", terminal = false, signal, onStderr }: Streams = {},
): Promise<Run> {
  const input = new TextEncoder().encode(stdin);
  let given = 0;
  const capture = (onText?: (text: string) => void) => {
    const bytes: number[] = [];
    return {
      bytes,
      isTerminal: () => terminal,
      writeSync(p: Uint8Array) {
        const part = p.subarray(0, 1000); // short writes are in order
        bytes.push(...part);
        onText?.(decoder.decode(new Uint8Array(bytes)));
        return part.length;
      },
    };
  };
  const io = {
    stdin: {
      read(p: Uint8Array): Promise<number | null> {
        const part = input.subarray(given, given + Math.min(p.length, 50));
        p.set(part);
        given += part.length;
        return Promise.resolve(part.length || null);
      },
    },
    stdout: capture(),
    stderr: capture(onStderr),
    signal,
  } satisfies MainIo;
  const exit = await main(args, io);
  const [stdout, stderr] = [io.stdout, io.stderr]
    .map(({ bytes }) => decoder.decode(new Uint8Array(bytes)));
  return { exit, stdout, stderr };
}

/** A server that answers each connection with these bytes and closes it. */
function answering(wire: string): AsyncDisposable & { port: string } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (const conn of listener) {
      await conn.read(new Uint8Array(4096));
      await conn.write(new TextEncoder().encode(wire));
      conn.close();
    }
  })();
  return {
    port: String(listener.addr.port),
    async [Symbol.asyncDispose]() {
      listener.close();
      await serving;
    },
  };
}

function freePort(): string {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return String(listener.addr.port);
}

// ---- The conversation

Deno.test("main() holds the whole conversation", async () => {
  await using server = startKeyServer({ port: 0 });
  const { exit, stdout, stderr } = await run(["--port", `${server.addr.port}`]);
  assertMatch(stdout, /^[\da-f]{128}\nSuccess: the key is right\n$/);
  assertEquals({ exit, stderr }, { exit: 0, stderr: "" });
});

Deno.test("main() runs one half of the conversation", async () => {
  await using server = startKeyServer({ port: 0 });
  const port = `-p${server.addr.port}`;
  const key = await run([port, "-u", "Ada", "--key"]);
  assertMatch(key.stdout, /^[\da-f]{128}\n$/);
  assertEquals(key.exit, 0);
  for (const args of [["--put", key.stdout.trim()], ["--put", "-"], ["--put=-"]]) {
    const put = await run([port, "-uAda", ...args], { stdin: ` \r\n${key.stdout}\n` });
    assertEquals(put, { exit: 0, stdout: "Success: the key is right\n", stderr: "" });
  }
});

Deno.test("main() passes a key of odd bytes on as one segment", async () => {
  await using server = answering("HTTP/1.1 400 x\r\n\r\nodd");
  const key = "\x07 é/../\\%00?#";
  const put = await run(["-p", server.port, "--put", key, "-v"]);
  assertEquals(put.exit, 4);
  assertEquals(put.stdout, "odd\n");
  assertStringIncludes(put.stderr, `PUT /key/User1/${encodeURIComponent(key)}/ HTTP/1.1\\r\\n\n`);
  const piped = await run(["-p", server.port, "--put", "-", "-v"], { stdin: `\n${key}\n` });
  assertStringIncludes(piped.stderr, `PUT /key/User1/${encodeURIComponent(key)}/ HTTP/1.1\\r\\n\n`);
});

const STATUSES: [status: number, exit: number][] = [
  [300, 3],
  [399, 3],
  [400, 4],
  [405, 4],
  [499, 4],
  [500, 5],
  [999, 5],
];

Deno.test("main() tells by its exit status what the server answered", async () => {
  for (const [status, exit] of STATUSES) {
    await using server = answering(`HTTP/1.1 ${status} x\r\n\r\nno such\nuser`);
    const told = `key_client: The server answered with status ${status}`;
    const key = await run(["-p", server.port]);
    const hint = "(--verbose shows more)";
    assertEquals(key, { exit, stdout: "", stderr: `${told}: no such ${hint}\n` });
    const put = await run(["-p", server.port, "--put", KEY]);
    assertEquals(put, { exit, stdout: "no such\nuser\n", stderr: `${told}\n` });
    await using empty = answering(`HTTP/1.1 ${status} x\r\n\r\n`);
    assertEquals((await run(["-p", empty.port])).stderr, `${told}\n`);
  }
});

Deno.test("main() says in one line why there is no usable answer", async () => {
  const port = freePort();
  const failures: [wire: string, message: string][] = [
    [
      "",
      "Cannot read the response: the connection closed after 0 bytes, without the end of the status line",
    ],
    ["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "without 7 of 9 bytes of the body"],
    ["SSH-2.0-x\r\n", 'Cannot parse the status line: "SSH-2.0-x"'],
    ["HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", "larger than 1048576 bytes"],
    ["HTTP/1.1 200 OK\r\n\r\n<p>hi\n", 'did not answer with a key: "<p>hi\\n"'],
  ];
  for (const [wire, message] of failures) {
    await using server = answering(wire);
    const { exit, stdout, stderr } = await run(["-p", server.port]);
    assertEquals({ exit, stdout }, { exit: 1, stdout: "" });
    assertMatch(stderr, /^key_client: .*\n$/);
    assertStringIncludes(stderr, message);
  }
  const refused = await run(["--port", port]);
  assertEquals(refused.exit, 1);
  assertMatch(
    refused.stderr,
    /^key_client: Cannot connect to 127\.0\.0\.1:\d+: Conn.* refused.*: nothing listens there; .*--serve runs a practice server\)\n$/,
  );
  const unknown = await run(["--host", "no-such-host.invalid"]);
  assertEquals(unknown.exit, 1);
  assertMatch(
    unknown.stderr,
    /^key_client: Cannot connect to no-such-host\.invalid:5000: .*; is --host right, and .*\n$/,
  );
});

Deno.test("main() shows of a page or a long message the first line that says something", async () => {
  const flask =
    "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n";
  const pages: [body: string, line: string, isAll: boolean][] = [
    [flask, "404 Not Found", false],
    ["<html>\r\n<head><title>403 Forbidden</title></head>\r\n", "403 Forbidden", false],
    ["\n <HTML><b>no</b>", "no", false],
    ["\r\n  no such user\r\n\n", "no such user", true],
    ["use /user/<user_id>/\n", "use /user/<user_id>/", true],
    ["<htmlx> is no tag", "<htmlx> is no tag", true],
    ['<?xml version="1.0"?>\n<!DOCTYPE html>\n<html><p\n>a</p>', "a", false],
    ["<!-- a <b>page</b> --><html>b", "b", false],
    ["<html>\n<STYLE>\nbody{color:red}\n</STYLE><script>x()</script>\n<p>c", "c", false],
    ["<title>404 Not Found</title><h1>Not Found</h1><p>x", "404 Not Found", false],
    ["<h1>d</h1>e", "d", false],
    ["<pre>f\ng</pre>", "f", false],
    ["<html><body></body></html>", "", false],
    [`<html>${"<style>".repeat(100_000)}h`, "", false],
    [`${"i".repeat(496)}\u{1f511}\u{1f511}${"i".repeat(5)}`, `${"i".repeat(496)}...`, false],
    ["one\ntwo", "one", false],
    ["x".repeat(500), "x".repeat(500), true],
    ["x".repeat(501), `${"x".repeat(497)}...`, false],
  ];
  for (const [body, line, isAll] of pages) {
    await using server = answering(`HTTP/1.1 404 x\r\n\r\n${body}`);
    const told = `key_client: The server answered with status 404: ${line}`;
    const { stderr } = await run(["-p", server.port]);
    const hint = isAll ? "" : " (--verbose shows more)";
    assertEquals(stderr, `${told}${hint}`.replace(":  ", ": ") + "\n");
    const verbose = await run(["-v", "-p", server.port]);
    assertEquals(verbose.stderr.endsWith(`\n${told.replace(/: $/, "")}\n`), true);
    const { stdout } = await run(["--json", "-p", server.port]);
    assertEquals(JSON.parse(stdout).message, body);
    assertStringIncludes(JSON.parse(stdout).error.message, body.trimEnd());
  }
});

Deno.test("main() does not take for ever over a page of nothing but brackets", async () => {
  await using server = answering(`HTTP/1.1 404 x\r\n\r\n<html ${"<".repeat(1_000_000)}`);
  const { stderr } = await run(["-p", server.port]);
  assertMatch(stderr, /status 404: <html <{491}\.\.\. \(--verbose shows more\)\n$/);
});

Deno.test("main() takes --timeout to the microsecond", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  for (
    const [seconds, ms] of [[".0041", "4.1"], ["0.0059", "5.9"], [".0005", "0.5"], ["00.01", "10"]]
  ) {
    const { stderr } = await run(["-p", `${listener.addr.port}`, "-t", seconds]);
    assertStringIncludes(stderr, `timed out after ${ms} ms, `);
  }
  await using server = answering("HTTP/1.1 404 x\r\n\r\n");
  for (const seconds of ["2147483.647", "2147483", "9.", "1.001"]) {
    assertEquals((await run(["-p", server.port, "-t", seconds])).exit, 4, seconds);
  }
});

Deno.test("main() gives up after --timeout seconds", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { exit, stderr } = await run(["-p", `${listener.addr.port}`, "-t", ".05"]);
  assertEquals(exit, 1);
  assertEquals(
    stderr,
    "key_client: Cannot get a response: timed out after 50 ms, with 0 bytes received\n",
  );
});

Deno.test("main() --demo shows the conversation with a server of its own, on one screen", async () => {
  const { exit, stdout, stderr } = await run(["--demo", "--user", "Ada"]);
  assertEquals(exit, 0);
  assertMatch(stdout, /^[\da-f]{128}\nSuccess: the key is right\n$/);
  const key = `${stdout.slice(0, 6)}...${stdout.slice(124, 128)}`;
  const shown = stderr.replaceAll(/:\d{4,5}/g, ":PORT").replace(/\d+\.\d ms$/gm, "# ms");
  assertEquals(
    shown,
    `key_client: practice server on 127.0.0.1:PORT (-v shows every byte)
1. CLIENT ──▶ SERVER   asks for a key   # ms
   > KEY /user/Ada/ HTTP/1.1
   > Host: 127.0.0.1:PORT · User-Agent: ... · Accept: ...
2. CLIENT ◀── SERVER   answers   # ms
   < HTTP/1.1 200 OK
   < Content-Type: ... · Content-Length: 128 · Date: ...
   < ${key}
3. CLIENT ──▶ SERVER   sends the key back   # ms
   > PUT /key/Ada/${key}/ HTTP/1.1
   > Host: 127.0.0.1:PORT · User-Agent: ... · Accept: ... · Content-Length: 0
4. CLIENT ◀── SERVER   answers   # ms
   < HTTP/1.1 200 OK
   < Content-Type: ... · Content-Length: 25 · Date: ...
   < Success: the key is right
`,
  );
  for (const line of stderr.split("\n")) assert(line.length <= 80, line);
});

Deno.test("main() --demo tells what the practice server has against a user", async () => {
  const { exit, stderr } = await run(["--demo", "-u", "x".repeat(257)]);
  assertEquals(exit, 4);
  assertMatch(stderr, /\n {3}< HTTP\/1\.1 400 Bad Request\n {3}< Content-Type: /);
  assertMatch(stderr, /\n {3}< the user id is longer .*\nkey_client: The server answered .*\n$/);
});

Deno.test("main() --demo --verbose shows every byte", async () => {
  const { exit, stdout, stderr } = await run(["--demo", "-vu", "Ada"]);
  assertEquals(exit, 0);
  const port = /^key_client: practice server on 127\.0\.0\.1:(\d+)\n/.exec(stderr)?.[1];
  const key = stdout.slice(0, 128);
  const shown = stderr.replace(/.*\n/, "").replace(/\d+\.\d ms$/gm, "# ms")
    .replace(/Date: .*GMT/g, "DATE");
  assertEquals(
    shown,
    `1. CLIENT ──▶ SERVER   asks for a key   # ms
   > KEY /user/Ada/ HTTP/1.1\\r\\n
   > Host: 127.0.0.1:${port}\\r\\n
   > User-Agent: key_client\\r\\n
   > Accept: */*\\r\\n
   > \\r\\n
2. CLIENT ◀── SERVER   answers   # ms
   < HTTP/1.1 200 OK\\r\\n
   < Content-Type: text/plain; charset=utf-8\\r\\n
   < Content-Length: 128\\r\\n
   < DATE\\r\\n
   < \\r\\n
   < ${key}
3. CLIENT ──▶ SERVER   sends the key back   # ms
   > PUT /key/Ada/${key}/ HTTP/1.1\\r\\n
   > Host: 127.0.0.1:${port}\\r\\n
   > User-Agent: key_client\\r\\n
   > Accept: */*\\r\\n
   > Content-Length: 0\\r\\n
   > \\r\\n
4. CLIENT ◀── SERVER   answers   # ms
   < HTTP/1.1 200 OK\\r\\n
   < Content-Type: text/plain; charset=utf-8\\r\\n
   < Content-Length: 25\\r\\n
   < DATE\\r\\n
   < \\r\\n
   < Success: the key is right
`,
  );
});

Deno.test("main() --verbose says where it connects before it waits", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  for (const args of [["-v"], ["-v", "--put", KEY]]) {
    const { stderr } = await run([...args, "-p", `${port}`, "-t", ".05"]);
    assertEquals(stderr.split("\n")[0], `key_client: connecting to 127.0.0.1:${port}`);
  }
  const { stderr } = await run(["-v", "-H", "::1", "-p", freePort()]);
  assertMatch(stderr, /^key_client: connecting to \[::1\]:\d+\nkey_client: Cannot connect to /);
  const bracketed = await run(["-v", "-H", "[::1]", "-p", freePort()]);
  assertMatch(bracketed.stderr, /^key_client: connecting to \[::1\]:\d+\n/);
});

Deno.test("main() --verbose tells the time between the messages, --json the time of all", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (const conn of listener) {
      await conn.read(new Uint8Array(4096));
      await new Promise((resolve) => setTimeout(resolve, 60));
      await conn.write(new TextEncoder().encode(`HTTP/1.0 200 x\r\n\r\n${KEY}`));
      conn.close();
    }
  })();
  const port = `${listener.addr.port}`;
  const start = performance.now();
  const { stderr } = await run(["-v", "-p", port]);
  const end = performance.now();
  const { stdout } = await run(["--json", "-p", port]);
  const total = performance.now() - end;
  listener.close();
  await serving.catch(() => {});
  const times = [...stderr.matchAll(/ {3}(\d+\.\d) ms\n/g)].map(([, time]) => Number(time));
  assertEquals(times.length, 4);
  assert(times[1] >= 55 && times[3] >= 55, `${times}`);
  const sum = times.reduce((sum, time) => sum + time);
  assert(
    times.every((time) => time >= 0) && sum <= end - start + 0.2,
    `${times} of ${end - start}`,
  );
  const { ms } = JSON.parse(stdout);
  assert(ms >= 115 && ms <= total + 1, `${ms} of ${total}`);
  assertMatch(`${ms}`, /^\d+(\.\d{1,3})?$/);
});

Deno.test("main() --put - starts its clock when it has read the key", async () => {
  await using server = answering("HTTP/1.1 404 x\r\n\r\n");
  let given = 0;
  const stdin = {
    async read(p: Uint8Array) {
      if (given > 0) return null;
      await new Promise((resolve) => setTimeout(resolve, 80));
      given = performance.now();
      p.set([0x61]);
      return 1;
    },
  };
  const stderr = capture();
  await main(["--put", "-", "-vp", server.port], { stdin, stdout: capture(), stderr });
  const time = Number(/sends the key back {3}(\d+\.\d) ms/.exec(stderr.text)?.[1]);
  assert(time <= performance.now() - given + 0.1, `${time}`);
});

Deno.test("main() asks for the close of the connection where it sends one request alone", async () => {
  await using server = answering("HTTP/1.1 404 x\r\n\r\n");
  for (const args of [["--key"], ["--put", KEY]]) {
    const { stderr } = await run(["-vp", server.port, ...args]);
    assertStringIncludes(stderr, "\n   > Connection: close\\r\\n\n");
  }
  const { stderr } = await run(["-vp", server.port]);
  assertEquals(stderr.includes("Connection"), false);
});

Deno.test("main() --verbose shows what came of a response that failed", async () => {
  await using server = answering("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA b\r\n");
  const { exit, stderr } = await run(["-v", "--put", KEY, "-p", server.port]);
  assertEquals(exit, 1);
  const lines = stderr.split("\n").map((line) => line.replace(/\d+\.\d ms$/, "# ms"));
  assertEquals(lines[1], "3. CLIENT ──▶ SERVER   sends the key back   # ms");
  assertEquals(lines.slice(9), [
    "4. CLIENT ◀── SERVER   will answer   # ms",
    "   < HTTP/1.1 100 Continue\\r\\n",
    "   < \\r\\n",
    "4. CLIENT ◀── SERVER   answers   # ms",
    "   < HTTP/1.1 200 OK\\r\\n",
    "   < A b\\r\\n",
    'key_client: Cannot parse the field line: "A b"',
    "",
  ]);
});

Deno.test("main() --verbose shows every line end", async () => {
  await using server = answering("HTTP/1.1 200 OK\nA: b \r\n\nline\r\n\n\rend\n");
  const { stderr } = await run(["-v", "--put", KEY, "-p", server.port]);
  assertEquals(stderr.split("\n").slice(10), [
    "   < HTTP/1.1 200 OK\\n",
    "   < A: b \\r\\n",
    "   < \\n",
    "   < line\\r\\n",
    "   < \\n",
    "   < \\rend\\n",
    "",
  ]);
});

Deno.test("main() --verbose shows the start of a large body only", async () => {
  await using server = answering(`HTTP/1.1 200 OK\r\n\r\n${"x".repeat(5000)}`);
  const { stdout, stderr } = await run(["-v", "--put", KEY, "-p", server.port]);
  assertEquals(stdout.length, 5001);
  assertMatch(stderr, /\n {3}< x{4096}\n {3}\(904 more bytes\)\n$/);
  await using full = answering(`HTTP/1.1 200 OK\r\n\r\n\ufeff${"x".repeat(4093)}`);
  const whole = await run(["-v", "--put", KEY, "-p", full.port]);
  assertMatch(whole.stderr, /\n {3}< \ufeffx{4093}\n$/);
});

Deno.test("main() makes control characters visible on a terminal only", async () => {
  const hostile = "\x1b[31m\x9b2J\u202ered\x07\rx\tä\r\nnext";
  const body = new TextEncoder().encode(hostile);
  const wire = `HTTP/1.1 400 x\r\nX: \xe9\r\nContent-Length: ${body.length}\r\n\r\n${hostile}`;
  await using server = answering(wire);
  const args = ["-p", server.port, "--put", KEY];
  assertEquals((await run(args)).stdout, `${hostile}\n`);
  const visible = "\\u{1b}[31m\\u{9b}2J\\u{202e}red\\u{7}\\u{d}x\tä\r\nnext\n";
  const { stdout } = await run(args, { terminal: true });
  assertEquals(stdout, visible);
  for (const mode of [["--key"], ["--put", KEY, "-v"]]) {
    const { stderr } = await run(["-p", server.port, ...mode], { terminal: true });
    assertMatch(stderr, /\\u\{1b\}\[31m\\u\{9b\}2J\\u\{202e\}red\\u\{7\}(\\u\{d\}|\\r)x\tä/);
    // deno-lint-ignore no-control-regex
    const rest = stderr.replace(/\x1b\[\d+m|\r\n/g, "");
    assertEquals(/(?![\t\n])\p{Cc}/u.exec(rest), null);
  }
});

Deno.test("main() colours the conversation on a terminal only", async () => {
  const colored = await run(["--demo"], { terminal: true });
  assertEquals(colored.stderr.includes("\x1b[1m1. CLIENT"), !Deno.noColor);
  // deno-lint-ignore no-control-regex
  assertEquals(/ {3}\x1b\[2m\d+\.\d ms\x1b\[0m\n {3}> KEY/.test(colored.stderr), !Deno.noColor);
  assertEquals((await run(["--demo"])).stderr.includes("\x1b"), false);
});

// ---- --json and --offline

Deno.test("main() --json prints one object, whatever happens", async () => {
  await using server = startKeyServer({ port: 0 });
  await using missing = answering("HTTP/1.1 404 x\r\n\r\nnobody\n");
  await using page = answering("HTTP/1.1 200 x\r\n\r\n<p>hi");
  const free = freePort();
  const port = String(server.addr.port);
  const common = { host: "127.0.0.1", user: "User1", key: null, status: null, message: null };
  const cases: [args: string[], expected: Record<string, unknown>][] = [
    [["-p", port], {
      exit: 0,
      port: server.addr.port,
      key: "KEY",
      status: 200,
      message: "Success: the key is right",
      error: null,
    }],
    [["-p", port, "--key"], { exit: 0, port: server.addr.port, key: "KEY", error: null }],
    [["-p", port, "--put", KEY], {
      exit: 4,
      port: server.addr.port,
      status: 400,
      message:
        "the key is wrong: 128 digits, but not those that were issued to the user `User1`; " +
        "send them just as they came",
      error: { code: "refused", message: "The server answered with status 400" },
    }],
    [["-p", missing.port], {
      exit: 4,
      port: Number(missing.port),
      status: 404,
      message: "nobody\n",
      error: { code: "refused", message: "The server answered with status 404: nobody" },
    }],
    [["-p", page.port, "-u", "Ada"], {
      exit: 1,
      user: "Ada",
      port: Number(page.port),
      status: 200,
      message: "<p>hi",
      error: { code: "not-a-key", message: 'The server did not answer with a key: "<p>hi"' },
    }],
    [["-p", free], {
      exit: 1,
      port: Number(free),
      error: {
        code: "connect-failed",
        message: `Cannot connect to 127.0.0.1:${free}: Connection refused (os error 111)`,
      },
    }],
  ];
  for (const [args, expected] of cases) {
    const { exit, stdout, stderr } = await run(["--json", ...args]);
    assertMatch(stdout, /^\{.*\}\n$/);
    const { ms, ...rest } = JSON.parse(stdout);
    assert(ms > 0);
    if (rest.key !== null) {
      assertMatch(rest.key, /^[\da-f]{128}$/);
      rest.key = "KEY";
    }
    // Systems number this error differently.
    if (rest.error) {
      rest.error.message = rest.error.message.replace(/\(os error \d+\)$/, "(os error 111)");
    }
    assertEquals(rest, { ...common, ...expected });
    assertEquals({ exit, stderr }, { exit: expected.exit, stderr: "" });
  }
  const usage = await run(["--json", "--port", "x"]);
  assertEquals(JSON.parse(usage.stdout), {
    exit: 2,
    host: null,
    port: null,
    user: null,
    key: null,
    status: null,
    message: null,
    error: { code: "usage", message: 'Cannot use --port "x": it must be 1 to 65535' },
    ms: null,
  });
  assertEquals({ ...usage, stdout: "" }, { exit: 2, stdout: "", stderr: "" });
});

Deno.test("main() --json has no character that could move a terminal", async () => {
  const odd = "\x00\x1b[2J\x7f\x80\x9b\x9f\u061c\u200e\u200f\u202a\u202e\u2066\u2069\u2028\u2029";
  await using server = answering(`HTTP/1.1 404 x\r\n\r\n${odd}\u{1f511}é`);
  for (const terminal of [false, true]) {
    const { stdout } = await run(["--json", "-p", server.port, "-u", odd], { terminal });
    const { message, user } = JSON.parse(stdout);
    assertEquals([message, user], [`${odd}\u{1f511}é`, odd]);
    assertEquals(stdout.match(/[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/gu), ["\n"]);
    assertStringIncludes(stdout, "\\u007f\\u0080\\u009b");
  }
});

Deno.test("main() --offline prints the request that would be sent, and sends nothing", async () => {
  const rest = "User-Agent: key_client\r\nAccept: */*\r\n";
  const close = "Connection: close\r\n\r\n";
  const keyRequest = `KEY /user/User1/ HTTP/1.1\r\nHost: 127.0.0.1:5000\r\n${rest}${close}`;
  for (const args of [["--offline"], ["--offline", "--key"]]) {
    assertEquals(await run(args), { exit: 0, stdout: keyRequest, stderr: "" });
  }
  for (const port of ["1", "65535"]) {
    const { stdout } = await run(["--offline", "--port", port]);
    assertStringIncludes(stdout, `\r\nHost: 127.0.0.1:${port}\r\n`);
  }
  for (const key of [KEY, "-"]) {
    const args = ["--offline", "-H", "::1", "-p", "80", "-u", "é", "--put", key];
    assertEquals(await run(args, { stdin: KEY }), {
      exit: 0,
      stdout: `PUT /key/%C3%A9/${KEY}/ HTTP/1.1\r\nHost: [::1]:80\r\n${rest}` +
        `Content-Length: 0\r\n${close}`,
      stderr: "",
    });
  }
});

// ---- Usage

Deno.test("main() --help fits a terminal and shows the defaults; --version the version", async () => {
  for (const flag of ["--help", "-h"]) {
    const { exit, stdout, stderr } = await run([flag]);
    assertEquals({ exit, stderr }, { exit: 0, stderr: "" });
    const lines = stdout.split("\n");
    assert(lines.length <= 25, `${lines.length} lines`);
    for (const line of lines) assert(line.length <= 80, line);
    for (const value of ["127.0.0.1", "5000", "User1", "10"]) {
      assertStringIncludes(stdout, `[${value}]`);
    }
  }
  for (const flag of ["--version", "-V"]) {
    const version = { exit: 0, stdout: `key_client ${config.version}\n`, stderr: "" };
    assertEquals(await run([flag]), version);
  }
});

const USAGE: [args: string[], message: string][] = [
  [["--prot", "5000"], 'Unknown option "--prot", did you mean --port?'],
  [["--Verbose"], 'Unknown option "--Verbose", did you mean --verbose?'],
  [["--user-id=Ada"], 'Unknown option "--user-id", did you mean --user?'],
  [["--frobnicate"], 'Unknown option "--frobnicate"'],
  [["-j"], 'Unknown option "-j", did you mean --json?'],
  [["-x"], 'Unknown option "-x"'],
  [["-vx"], 'Unknown option "-x" in "-vx"'],
  [["--no-verbose"], 'Unknown option "--no-verbose"; see'],
  [["--KEY"], 'Unknown option "--KEY", did you mean --key?'],
  [["-VERSION"], 'Unknown option "-VERSION", did you mean --version?'],
  [["-v-p5000"], 'Unknown option "--" in "-v-p5000"; see'],
  [["--user", "-\n"], "Option --user needs a value"],
  [["x".repeat(1000)], `Unexpected argument "${"x".repeat(77)}..."; see`],
  [[`--${"x".repeat(1000)}=1`], `Unknown option "--${"x".repeat(75)}..."; see`],
  [[`-v5${"x".repeat(1000)}`], `in "-v5${"x".repeat(74)}..."; see`],
  [["-p", "1".repeat(1000)], `Cannot use --port "${"1".repeat(77)}..."`],
  [["-t", `${"1".repeat(200_000)}x`], `Cannot use --timeout "${"1".repeat(77)}..."`],
  [["--serve", "--fault", "x".repeat(1000)], `Unknown fault "${"x".repeat(77)}..."`],
  [["--__proto__=x"], 'Unknown option "--__proto__"'],
  [["--user.x", "y"], 'Unknown option "--user.x", did you mean --user?'],
  [["--port"], "Option --port needs a value"],
  [["--json=", "--port", "1"], "Option --json takes no value"],
  [["--port", "--json="], "Option --port needs a value"],
  [["--user", "--key"], 'Option --user needs a value (if it starts with "-", write --user=VALUE)'],
  [["-t", "-5"], 'Option --timeout needs a value (if it starts with "-", write --timeout=VALUE)'],
  [["--user="], "Option --user needs a value"],
  [["-u", ""], "Option --user needs a value"],
  [["--put"], "Option --put needs a value"],
  [["-p", "1", "--port", "2"], "Option --port is given 2 times"],
  [["-v", "--verbose"], "Option --verbose is given 2 times"],
  [["--verbose=no"], "Option --verbose takes no value"],
  [["-v=no"], "Option --verbose takes no value"],
  [["-v="], "Option --verbose takes no value"],
  [["-v5"], 'Unknown option "-5" in "-v5"'],
  [["-h5"], 'Unknown option "-5" in "-h5"'],
  [["-vx=1"], 'Unknown option "-x" in "-vx=1"'],
  [["-v\u{1f511}"], 'Unknown option "-\u{1f511}" in'],
  [["-user", "Ada"], 'Unknown option "-user", did you mean --user?'],
  [["-port=1"], 'Unknown option "-port", did you mean --port?'],
  [["-key"], 'Unknown option "-key", did you mean --key?'],
  [["--poxx", "1"], 'Unknown option "--poxx", did you mean --port?'],
  [["--ho", "a"], 'Unknown option "--ho", did you mean --host?'],
  [["--xhxost", "a"], 'Unknown option "--xhxost", did you mean --host?'],
  [["--pxxx"], 'Unknown option "--pxxx"; see'],
  [["--o"], 'Unknown option "--o"; see'],
  [["--xhxxost"], 'Unknown option "--xhxxost"; see'],
  [["--jons"], 'Unknown option "--jons", did you mean --json?'],
  [["--drills"], 'Unknown option "--drills", did you mean --drill?'],
  [["--timeouts", "1"], 'Unknown option "--timeouts", did you mean --timeout?'],
  [["-uAda", "Bob"], 'Unexpected argument "Bob"'],
  [["-P", "1"], 'Unknown option "-P", did you mean --port?'],
  [["-T", "1"], 'Unknown option "-T", did you mean --timeout?'],
  [["-s"], 'Unknown option "-s", did you mean --serve?'],
  [["--_=x"], 'Unknown option "--_"'],
  [["--_"], 'Unknown option "--_"'],
  [["--=x"], 'Unknown option "--"'],
  [["---"], 'Unknown option "---"'],
  [["--port\n", "1"], 'Unknown option "--port\\n", did you mean --port?'],
  [["-p50\n00"], 'Cannot use --port "50\\n00": it must be 1 to 65535'],
  [["-p", "5000\n"], 'Cannot use --port "5000\\n": it must be 1 to 65535'],
  [["-t", "1\n"], 'Cannot use --timeout "1\\n"'],
  [["-p"], "Option --port needs a value"],
  [["-vp"], "Option --port needs a value"],
  [["-p="], "Option --port needs a value"],
  [["-p", "--", "5000"], "Option --port needs a value"],
  [[""], 'Unexpected argument ""'],
  [["--verbose", "true"], 'Unexpected argument "true"'],
  [["--key", "false"], 'Unexpected argument "false"'],
  [["Ada"], 'Unexpected argument "Ada"'],
  [["--key", KEY], `Unexpected argument "${KEY.slice(0, 77)}..."`],
  [["serve"], 'Unexpected argument "serve", did you mean --serve?'],
  [["toString"], 'Unexpected argument "toString"; see'],
  [["-"], 'Unexpected argument "-"'],
  [["--", "--help"], 'Unexpected argument "--help"'],
  [["--port", "0"], 'Cannot use --port "0": it must be 1 to 65535'],
  [["--port", "70000"], 'Cannot use --port "70000": it must be 1 to 65535'],
  [["--port", "65536"], 'Cannot use --port "65536": it must be 1 to 65535'],
  [["--serve", "--port", "65536"], 'Cannot use --port "65536": it must be 0 to 65535'],
  [["--port", "abc"], 'Cannot use --port "abc": it must be 1 to 65535'],
  [["--port", "1e3"], 'Cannot use --port "1e3": it must be'],
  [["--port=-1"], 'Cannot use --port "-1": it must be'],
  [["--timeout", "0"], 'Cannot use --timeout "0": it must be a number of seconds, above 0'],
  [["--timeout", "1s"], 'Cannot use --timeout "1s": it must be a number of seconds'],
  [
    ["--timeout", "2147484"],
    'Cannot use --timeout "2147484": it must be a number of seconds, above 0 and at most 2147483.647',
  ],
  [
    ["--timeout", "2147483.6475"],
    'Cannot use --timeout "2147483.6475": it must be a number of seconds',
  ],
  [["-t", `.${"0".repeat(400)}1`], 'Cannot use --timeout ".00'],
  [["-t", "."], 'Cannot use --timeout "."'],
  [["-t", "1..2"], 'Cannot use --timeout "1..2"'],
  [["-t", "0x10"], 'Cannot use --timeout "0x10"'],
  [["-t", "1e3"], 'Cannot use --timeout "1e3"'],
  [["-t", "Infinity"], 'Cannot use --timeout "Infinity"'],
  [["--user", ".."], 'Cannot use --user "..": it must be other than'],
  [["--user", "\ud800"], 'Cannot use --user "\\ud800": it must be without lone surrogates'],
  [["--host", "a b"], 'Cannot use --host "a b": it must be a host name or an IP address'],
  [["--host", "http://a"], 'Cannot use --host "http://a": write --host a;'],
  [
    ["--host", "HTTPS://a.b:80/c"],
    'Cannot use --host "HTTPS://a.b:80/c": write --host a.b --port 80;',
  ],
  [["--host", "127.0.0.1:5000"], '"127.0.0.1:5000": write --host 127.0.0.1 --port 5000;'],
  [["--host", "[::1]:5000"], '"[::1]:5000": write --host ::1 --port 5000;'],
  [["--host", "[::ffff:1.2.3.4]:5000"], "write --host ::ffff:1.2.3.4 --port 5000;"],
  [["--host", "a:0"], 'Cannot use --host "a:0": it must be a host name'],
  [["--host", "a:65536"], 'Cannot use --host "a:65536": it must be a host name'],
  [["--host", "a:65535"], 'Cannot use --host "a:65535": write --host a --port 65535;'],
  [["--host", "[...]:5000"], 'Cannot use --host "[...]:5000": it must be a host name'],
  [["--host", `${"x".repeat(1000)}/`], `Cannot use --host "${"x".repeat(77)}...": write`],
  [["--host", "localhost:"], '"localhost:": write --host localhost;'],
  [["--host", "localhost/"], '"localhost/": write --host localhost;'],
  [["--host", "http://a b"], 'Cannot use --host "http://a b": it must be a host name'],
  [["--host", "a:b"], 'Cannot use --host "a:b": it must be a host name'],
  [["--host", ":5000"], 'Cannot use --host ":5000": it must be a host name'],
  [["--put", ".."], 'Cannot use --put "..": it must be other than'],
  [["--offline", "--put", "."], 'Cannot use --put ".": it must be other than'],
  [["--fault", "drip"], "Option --fault needs --serve"],
  [["--fault", "drip", "--demo"], "Option --fault needs --serve"],
  [["--serve", "--fault", "dirp"], 'Unknown fault "dirp", did you mean drip?'],
  [["--serve", "--fault", "DRIP"], 'Unknown fault "DRIP", did you mean drip?'],
  [["--serve", "--fault", "status404"], 'Unknown fault "status404", did you mean status-404?'],
  [["--serve", "--fault", "lits"], 'Unknown fault "lits", did you mean list?'],
  [["--serve", "--fault", "404"], 'Unknown fault "404", did you mean status-404?'],
  [["--serve", "--fault", "xyz"], 'Unknown fault "xyz", --fault list tells which there are'],
  [["--serve", "--fault", "toString"], 'Unknown fault "toString", --fault list tells'],
  [["--serve", "--fault"], "Option --fault needs a value"],
];

/** What cannot be combined with what. */
const CONTRADICTIONS: Record<string, string[]> = {
  "--key": ["--put"],
  "--offline": ["--json", "--verbose"],
  "--demo": ["--key", "--put", "--host", "--port", "--offline"],
  "--serve": ["--key", "--put", "--user", "--timeout", "--offline", "--demo", "--drill"],
  "--drill": ["--key", "--put", "--user", "--timeout", "--offline", "--demo", "--fault"],
  "--fault list": ["--key", "--put", "--host", "--port", "--user", "--timeout", "--verbose"]
    .concat(["--offline", "--demo"]),
};
const VALUES: Record<string, string> = {
  "--put": KEY,
  "--host": "localhost",
  "--port": "5000",
  "--user": "Ada",
  "--timeout": "1",
  "--fault": "drip",
};

Deno.test("main() refuses what contradicts each other, in either order", async () => {
  for (const [flag, others] of Object.entries(CONTRADICTIONS)) {
    for (const other of others) {
      const [one, two] = [flag.split(" "), [other, VALUES[other] ?? []].flat()];
      const message = `Options ${flag} and ${other} contradict each other`;
      for (const args of [[...one, ...two], [...two, ...one]]) {
        const { exit, stdout, stderr } = await run(args);
        assertEquals(exit, 2, args.join(" "));
        if (other === "--json") assertEquals(JSON.parse(stdout).error.message, message);
        else assertEquals([stdout, stderr], ["", `key_client: ${message}; see --help\n`]);
      }
    }
  }
});

Deno.test("main() answers --help and --version whatever else is given", async () => {
  const help = await run(["--help"]);
  for (
    const args of [["--key", "--put", "x"], ["--fault", "drip"], ["--demo", "--serve"], [
      "--port",
      "x",
    ]]
  ) {
    assertEquals(await run([...args, "-h"]), help);
    assertEquals((await run(["-V", ...args])).stdout, `key_client ${config.version}\n`);
  }
  for (const args of [["-hpx"], ["-h", "--host", "a:1"], ["-ht", "x"], ["-h", "--fault", "x"]]) {
    assertEquals(await run(args), help);
  }
  assertEquals(await run(["-Vh"]), help);
});

/** Command lines, and what of them is on the wire. */
const ATTACHED: [args: (port: string) => string[], ...wire: string[]][] = [
  [(port) => [`-vp${port}`], "KEY /user/User1/ HTTP/1.1"],
  [(port) => [`-vp=${port}`], "KEY /user/User1/ HTTP/1.1"],
  [(port) => ["-vp", port], "KEY /user/User1/ HTTP/1.1"],
  [(port) => ["-vHlocalhost", `-p${port}`], "KEY /user/User1/ HTTP/1.1", "Host: localhost:"],
  [(port) => ["-vH=localhost", "-p", port], "KEY /user/User1/ HTTP/1.1", "Host: localhost:"],
  [(port) => ["-vuAda", `-p=${port}`], "KEY /user/Ada/ HTTP/1.1"],
  [(port) => ["-vu=Ada", "--port", port], "KEY /user/Ada/ HTTP/1.1"],
  [(port) => ["-vu7", `--port=${port}`], "KEY /user/7/ HTTP/1.1"],
  [(port) => ["-v", "-u==Ada", "-p", port], "KEY /user/%3DAda/ HTTP/1.1"],
  [(port) => ["-v", "-uvVh", "-p", port], "KEY /user/vVh/ HTTP/1.1"],
  [(port) => ["-v", "-u", "-", "-p", port], "KEY /user/-/ HTTP/1.1"],
  [(port) => ["-v", "-uAda\nBob", "-p", port], "KEY /user/Ada%0ABob/ HTTP/1.1"],
  [(port) => ["-vu=Ada\nBob", "-p", port], "KEY /user/Ada%0ABob/ HTTP/1.1"],
  [(port) => ["-v", "--user=\nAda=\r\n", "-p", port], "KEY /user/%0AAda%3D%0D%0A/ HTTP/1.1"],
  [(port) => ["-v", "--user", "\n", "-p", port], "KEY /user/%0A/ HTTP/1.1"],
  [(port) => ["-v", "--user=--key", "-p", port], "KEY /user/--key/ HTTP/1.1"],
  [(port) => ["-v", "--user", "true", "-p", port], "KEY /user/true/ HTTP/1.1"],
  [(port) => ["-v", "-u007", "-p", port, "--"], "KEY /user/007/ HTTP/1.1"],
  [(port) => ["-v", "--put=--\n", "-p", port], "PUT /key/User1/--%0A/ HTTP/1.1"],
];

Deno.test("main() drops nothing of a value, however it is written", async () => {
  await using server = answering("HTTP/1.1 404 x\r\n\r\n");
  for (const [args, ...wire] of ATTACHED) {
    const { exit, stderr } = await run(args(server.port));
    assertEquals(exit, 4, args("PORT").join(" "));
    for (const part of wire) assertStringIncludes(stderr, `   > ${part}`);
  }
});

Deno.test("main() refuses what it does not understand, in one line", async () => {
  for (const [args, message] of USAGE) {
    const { exit, stdout, stderr } = await run(args);
    assertEquals({ exit, stdout }, { exit: 2, stdout: "" }, args.join(" "));
    assertMatch(stderr, /^key_client: [^\n]*; see --help\n$/);
    assertStringIncludes(stderr, message);
  }
});

Deno.test("main() --put - refuses an empty and an over-long standard input", async () => {
  for (const stdin of ["", " \r\n\t"]) {
    const { exit, stderr } = await run(["--put", "-"], { stdin });
    assertEquals(exit, 2);
    assertStringIncludes(stderr, "Cannot use --put -: there is no key in standard input");
  }
  const { exit, stderr } = await run(["--put", "-"], { stdin: "x".repeat(5000) });
  assertEquals(exit, 2);
  assertStringIncludes(stderr, "Cannot use --put -: standard input has more than 4096 bytes");
});

Deno.test("main() --put - takes a standard input of 4096 bytes, and the white space of HTTP from it", async () => {
  await using server = answering("HTTP/1.1 404 x\r\n\r\n");
  const key = `\u00a0${"x".repeat(4088)}\u00a0`; // 4092 bytes
  const { exit, stderr } = await run(["--put", "-", "-vp", server.port], {
    stdin: `\t${key}\r\n `,
  });
  assertEquals(exit, 4);
  assertStringIncludes(stderr, `PUT /key/User1/%C2%A0${"x".repeat(4088)}%C2%A0/ HTTP/1.1`);
  const longer = await run(["--put", "-"], { stdin: `${key}12345` });
  assertEquals(longer.exit, 2);
});

/** What fails whenever it is written to or read from. */
function failing(error: Error) {
  const fail = (): never => {
    throw error;
  };
  return { isTerminal: () => false, writeSync: fail, read: () => Promise.reject(error) };
}

/** A stream, and what has been written to it. */
function capture() {
  const stream = {
    text: "",
    isTerminal: () => false,
    writeSync(p: Uint8Array) {
      stream.text += decoder.decode(p);
      return p.length;
    },
  };
  return stream;
}

const FULL = new Error("No space left on device (os error 28)");
const CLOSED = new Deno.errors.BrokenPipe("Broken pipe (os error 32)");

Deno.test("main() ends with one line if standard output is full, and quietly if it is closed", async () => {
  await using server = startKeyServer({ port: 0 });
  const port = `${server.addr.port}`;
  const lines = [
    ["--help"],
    ["--version"],
    ["--offline"],
    ["--fault", "list"],
    ["-p", port],
    ["-p", port, "--json"],
    ["-p", port, "--put", KEY],
    ["--json", "--prot"],
  ];
  for (const args of lines) {
    const stderr = capture();
    assertEquals(await main(args, { stderr, stdout: failing(CLOSED) }), 141, args.join(" "));
    assertEquals(stderr.text, "");
    assertEquals(await main(args, { stderr, stdout: failing(FULL) }), 1, args.join(" "));
    assertEquals(stderr.text, `key_client: Cannot write to standard output: ${FULL.message}\n`);
  }
  assertEquals(await main(["--help"], { stdout: failing(FULL), stderr: failing(FULL) }), 1);
});

Deno.test("main() loses no result if standard error fails", async () => {
  await using server = startKeyServer({ port: 0 });
  await using missing = answering("HTTP/1.1 404 x\r\n\r\nnobody");
  for (const error of [FULL, CLOSED]) {
    const stderr = failing(error);
    for (const args of [["-vp", `${server.addr.port}`], ["--demo"], ["--demo", "-v"]]) {
      const stdout = capture();
      assertEquals(await main(args, { stdout, stderr }), 0, args.join(" "));
      assertMatch(stdout.text, /^[\da-f]{128}\nSuccess: the key is right\n$/);
    }
    const stdout = capture();
    assertEquals(await main(["-p", missing.port], { stdout, stderr }), 4);
    assertEquals(await main(["-p", freePort()], { stdout, stderr }), 1);
    assertEquals(await main(["--prot"], { stdout, stderr }), 2);
    assertEquals(stdout.text, "");
  }
});

Deno.test("main() says in one line that standard input cannot be read", async () => {
  const stdin = failing(new Error("Is a directory\r\n(os error 21)"));
  const message = "Cannot read standard input: Is a directory\r\n(os error 21)";
  const [stdout, stderr] = [capture(), capture()];
  assertEquals(await main(["--put", "-"], { stdin, stdout, stderr }), 1);
  const line = message.replace("\r\n", "\\r\\n");
  assertEquals([stdout.text, stderr.text], ["", `key_client: ${line}\n`]);
  assertEquals(await main(["--put", "-", "--json"], { stdin, stdout, stderr }), 1);
  const { exit, error } = JSON.parse(stdout.text);
  assertEquals({ exit, error }, { exit: 1, error: { code: "failed", message } });
});

Deno.test("main() --put - says on a terminal what it waits for", async () => {
  await using server = answering("HTTP/1.1 404 x\r\n\r\n");
  const given = [new TextEncoder().encode(`${KEY}\n`)];
  const read = (p: Uint8Array) => {
    const part = given.pop();
    if (part) p.set(part);
    return Promise.resolve(part?.length ?? null);
  };
  for (const isTerminal of [true, false]) {
    const stderr = capture();
    const stdin = { read, isTerminal: () => isTerminal };
    const args = ["--put", "-", "-p", server.port];
    assertEquals(await main(args, { stdin, stdout: capture(), stderr }), isTerminal ? 4 : 2);
    assertEquals(
      stderr.text.startsWith("key_client: type the key, Enter, and Ctrl-D"),
      isTerminal,
    );
  }
});

const NOT_PERMITTED =
  /^key_client: .*Requires net access to "127\.0\.0\.1:\d+", run again with the --allow-net flag\n$/;

Deno.test({
  name: "main() says in one line where it is not permitted to listen",
  permissions: { net: ["127.0.0.1:1"] },
  async fn() {
    for (const mode of ["--demo", "--serve", "--drill"]) {
      const { exit, stdout, stderr } = await run([mode]);
      assertEquals({ exit, stdout }, { exit: 1, stdout: "" });
      assertMatch(stderr, NOT_PERMITTED);
    }
    const { exit, stdout, stderr } = await run(["--demo", "--json"]);
    assertEquals({ exit, stderr }, { exit: 1, stderr: "" });
    assertMatch(JSON.parse(stdout).error.message, /^Requires net access/);
    const { event, message } = JSON.parse((await run(["--serve", "--json"])).stdout);
    assertEquals(event, "error");
    assertMatch(message, /^Requires net access/);
  },
});

Deno.test({
  name: "main() says in one line where it is not permitted to connect",
  permissions: { net: ["127.0.0.1:1"] },
  sanitizeResources: false, // before 2.9.4 Deno loses something of its own here
  async fn() {
    const { exit, stdout, stderr } = await run([]);
    assertEquals({ exit, stdout }, { exit: 1, stdout: "" });
    assertMatch(stderr, NOT_PERMITTED);
  },
});

Deno.test("main() is interrupted by its signal, in every mode", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const port = `${listener.addr.port}`;
  const { stdout, stderr } = { stdout: capture(), stderr: capture() };
  for (const args of [["-p", port], ["-p", port, "--json"], ["--demo"]]) {
    assertEquals(await main(args, { stdout, stderr, signal: AbortSignal.abort() }), 130);
  }
  const abort = new AbortController();
  const running = main(["--key", "-p", port], { stdout, stderr, signal: abort.signal });
  using conn = await listener.accept();
  abort.abort(new Error("enough"));
  assertEquals(await running, 130);
  assertEquals(conn.remoteAddr.transport, "tcp");
  assertEquals(stdout.text, "");
  assertMatch(stderr.text, /^key_client: practice server on [^\n]*\n$/);
  const stdin = { read: () => new Promise<never>(() => {}) }; // nobody types
  for (const args of [["--put", "-"], ["--put", "-", "--offline"]]) {
    for (const signal of [AbortSignal.abort(), AbortSignal.timeout(10)]) {
      assertEquals(await main(args, { stdin, stdout, stderr, signal }), 130);
    }
  }
  assertEquals(
    await main(["--prot"], { stdout, stderr: capture(), signal: AbortSignal.abort() }),
    2,
  );
  for (const mode of ["--serve", "--drill"]) {
    const io = { stdout, stderr, signal: AbortSignal.abort() };
    assertEquals(await main([mode, "--port", "0"], io), 130);
  }
});

// ---- --serve

/** Runs --serve until the end of the block, or until it is stopped. */
async function serving(args: string[], streams: Streams = {}) {
  const abort = new AbortController();
  const listening = Promise.withResolvers<string>();
  const running = run(["--serve", "--port", "0", ...args], {
    ...streams,
    signal: abort.signal,
    onStderr(text) {
      const port = /^key_client: listening on 127\.0\.0\.1:(\d+), Ctrl-C ends it\n/.exec(text)?.[1];
      if (port) listening.resolve(port);
      streams.onStderr?.(text);
    },
  });
  const stop = () => {
    abort.abort();
    return running;
  };
  const port = await listening.promise;
  return { port, stop, [Symbol.asyncDispose]: () => stop().then(() => {}) };
}

/** Sends this, and reads to the close. */
async function send(port: string, wire: string, isAll = true): Promise<string> {
  using conn = await Deno.connect({ port: Number(port) });
  const response = new Response(conn.readable).text();
  const data = Uint8Array.from(wire, (char) => char.charCodeAt(0));
  for (let sent = 0; sent < data.length;) sent += await conn.write(data.subarray(sent));
  if (isAll) await conn.closeWrite();
  return await response;
}

/** The log without what is another one each time. */
function timeless(log: string): string {
  return log.replace(/\d\d:\d\d:\d\d 127\.0\.0\.1:\d+/g, "TIME PEER").replace(
    /Date: .*GMT/g,
    "DATE",
  )
    .replace(/127\.0\.0\.1:\d+/g, "HOST");
}

Deno.test("main() --serve logs each request with what is wrong, and tells of the users", async () => {
  await using server = await serving([]);
  const { port } = server;
  const { stdout } = await run(["-p", port, "-uAda"]);
  const key = stdout.slice(0, 128);
  await send(port, "KEY /user/Ada L/ HTTP/1.1\r\n\r\n");
  await send(port, `PUT /key/Ada/${key}x/ HTTP/1.1\r\nHost: a\r\n\r\n`);
  await send(port, `PUT /key/Ada/${"é".repeat(90)}%zz/ HTTP/1.1\r\nHost: a\r\n\r\n`);
  await send(port, "GET /user/Ada/ HTTP/1.1\r\nHost: a\r\n\r\n");
  await send(port, "KEY /user/B%0Aob/ HTTP/1.1\nHost: a\n\n");
  const { exit, stdout: out, stderr } = await server.stop();
  assertEquals({ exit, stdout: out }, { exit: 130, stdout: "" });
  const short = `${key.slice(0, 6)}...${key.slice(-4)}`;
  assertEquals(
    timeless(stderr),
    `key_client: listening on HOST, Ctrl-C ends it
TIME PEER  KEY /user/Ada/ HTTP/1.1  200
TIME PEER  PUT /key/Ada/${short}/ HTTP/1.1  200
TIME PEER  KEY /user/Ada L/ HTTP/1.1  400
  error: there is a space in the path: write it as \`%20\` (in Python: \`urllib.parse.quote(user_id, safe='')\`)
    KEY /user/Ada L/ HTTP/1.1\\r\\n
                 ^
  warning: no Host field: HTTP/1.1 requires one (RFC 9112 section 3.2), many servers refuse the request; add one with the server's address, as in \`Host: HOST\\r\\n\`
TIME PEER  PUT /key/Ada/${short}x/ HTTP/1.1  400
  error: \`x\` is no hex digit: a key is 128 of 0-9 and a-f, sent just as it came
    PUT /key/Ada/${short}x/ HTTP/1.1\\r\\n
                              ^
TIME PEER  PUT /key/Ada/${"\\xe9".repeat(21)}...  400
  error: \`%zz\` is no percent-encoding: behind a \`%\` stand two hex digits; a percent sign itself is \`%25\`
    ...${"\\xe9".repeat(15)}%zz/ HTTP/1.1\\r\\n
       ${" ".repeat(60)}^^^
TIME PEER  GET /user/Ada/ HTTP/1.1  405
  error: this path takes \`KEY\`, and \`GET\` is what a browser or a library sends unless it is told otherwise: write \`KEY\` in its place (curl: \`-X KEY\`; requests: \`requests.request("KEY", url)\`)
    GET /user/Ada/ HTTP/1.1\\r\\n
    ^^^
TIME PEER  KEY /user/B%0Aob/ HTTP/1.1  200
  warning: this line ends in LF (\`\\n\`) alone: write \`\\r\\n\` (with \`nc\`: \`nc -C\`), many servers refuse the request
    KEY /user/B%0Aob/ HTTP/1.1\\n
                              ^^

user  address    asked  verified  errors  last remark
Ada   127.0.0.1      1         1       4  this path takes \`KEY\`, and \`GET\` is what a browser or a l...
B?ob  127.0.0.1      1         0       0  this line ends in LF (\`\\n\`) alone
`,
  );
});

Deno.test("main() --serve shows each byte of a request line, cut short where it is long", async () => {
  await using server = await serving([]);
  await send(server.port, "\r\nKEY\t/user/Ada/ HTTP/1.1\r\n\r\n");
  await send(server.port, `KEY /user/${"0".repeat(31)}/ HTTP/1.0\r\n\r\n`);
  await send(server.port, `KEY /user/${"0".repeat(32)}/ HTTP/1.0\r\n\r\n`);
  await send(server.port, `KEY /user/${"x".repeat(300)} HTTP/1.0\r\n\r\n`);
  await send(server.port, `${"x".repeat(120)} /user/Ada/ HTTP/1.0\r\n\r\n`);
  await send(server.port, "KEY 127.0.0.1:5000/user/Ada/ HTTP/1.0\r\n\r\n");
  const { stderr } = await server.stop();
  const lines = timeless(stderr).split("\n");
  const logged = lines.flatMap((line) => /^TIME PEER {2}(.*) {2}\d+$/.exec(line)?.[1] ?? []);
  assertEquals(logged, [
    "KEY\\t/user/Ada/ HTTP/1.1",
    `KEY /user/${"0".repeat(31)}/ HTTP/1.0`,
    "KEY /user/000000...0000/ HTTP/1.0",
    `KEY /user/${"x".repeat(87)}...`,
    `${"x".repeat(97)}...`,
    "KEY HOST/user/Ada/ HTTP/1.0",
  ]);
  assertEquals(lines[lines.indexOf("    KEY\\t/user/Ada/ HTTP/1.1\\r\\n") + 1], "       ^^");
  assertEquals(lines[lines.indexOf(`    ${"x".repeat(97)}...`) + 1], `    ${"^".repeat(100)}`);
  assertMatch(stderr, / 3 {2}`127\.0\.0\.1:5000` does not belong here\n/);
});

Deno.test("main() --serve is colored on a terminal", async () => {
  await using server = await serving([], { terminal: true });
  await send(server.port, "KEY /user/A a/ HTTP/1.1\r\nContent-Length: 1\r\n\r\na");
  await send(server.port, "KEY /user/Ada/ HTTP/1.0\r\nContent-Length: 1\r\n\r\na");
  const { stderr } = await server.stop();
  const paint = (code: number, text: string) => Deno.noColor ? text : `\x1b[${code}m${text}\x1b[0m`;
  assertStringIncludes(stderr, `KEY /user/A a/ HTTP/1.1  ${paint(31, "400")}\n`);
  assertStringIncludes(stderr, `\n  ${paint(31, "error")}: there is a space`);
  assertStringIncludes(stderr, `\n    ${paint(31, "           ^")}\n`);
  assertStringIncludes(stderr, `\n  ${paint(33, "warning")}: no Host`);
  assertStringIncludes(stderr, `KEY /user/Ada/ HTTP/1.0  ${paint(32, "200")}\n`);
  assertStringIncludes(stderr, `\n  ${paint(36, "note")}: 1 byte of body`);
});

Deno.test("main() --serve --verbose shows the wire, how it came, and who ended it", async () => {
  await using server = await serving(["-v"]);
  {
    using conn = await Deno.connect({ port: Number(server.port) });
    for (
      const piece of ["KEY /user/", "Ada/ HTTP/1.1\r\nConnection: close\r\n", "Host: a\r\n\r\n"]
    ) {
      await conn.write(new TextEncoder().encode(piece));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await new Response(conn.readable).text();
  }
  await send(server.port, "KEY /user");
  await send(server.port, "");
  const fields = "Connection: close\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n";
  const head = `KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;
  {
    using conn = await Deno.connect({ port: Number(server.port) });
    await conn.write(new TextEncoder().encode(head));
    await conn.read(new Uint8Array(100));
    await conn.write(new TextEncoder().encode("x".repeat(5000)));
    await new Response(conn.readable).text();
  }
  const { stderr } = await server.stop();
  assertEquals(
    timeless(stderr).replace(/\nuser[^]*/, "").replace(/[\da-f]{128}/g, "KEY"),
    `key_client: listening on HOST, Ctrl-C ends it
TIME PEER  connected
TIME PEER  KEY /user/Ada/ HTTP/1.1  200
   > KEY /user/Ada/ HTTP/1.1\\r\\n
   > Connection: close\\r\\n
   > Host: a\\r\\n
   > \\r\\n
   (55 bytes, in 3 reads)
   < HTTP/1.1 200 OK\\r\\n
   < Content-Type: text/plain; charset=utf-8\\r\\n
   < Content-Length: 128\\r\\n
   < DATE\\r\\n
   < Connection: close\\r\\n
   < \\r\\n
   < KEY
TIME PEER  closed by the server
TIME PEER  connected
TIME PEER  KEY /user  400
   > KEY /user
   (9 bytes, in one read)
  error: 9 bytes, and the last line has no end: each line ends in \`\\r\\n\`, and an empty line ends the head, so its last bytes are \`\\r\\n\\r\\n\`
    KEY /user
             ^
   < HTTP/1.1 400 Bad Request\\r\\n
   < Content-Type: text/plain; charset=utf-8\\r\\n
   < Content-Length: 130\\r\\n
   < DATE\\r\\n
   < Connection: close\\r\\n
   < \\r\\n
   < 9 bytes, and the last line has no end: each line ends in \`\\\\r\\\\n\`, and an empty line ends the head, so its last bytes are \`\\\\r\\\\n\\\\r\\\\n\`
TIME PEER  closed by the client
TIME PEER  connected
TIME PEER  (nothing)  400
   (0 bytes, in 0 reads)
  error: nothing came: the client connected and sent no byte (\`sendall()\` comes before \`recv()\`; after \`makefile()\` and \`write()\` also \`flush()\`)
   < HTTP/1.1 400 Bad Request\\r\\n
   < Content-Type: text/plain; charset=utf-8\\r\\n
   < Content-Length: 136\\r\\n
   < DATE\\r\\n
   < Connection: close\\r\\n
   < \\r\\n
   < nothing came: the client connected and sent no byte (\`sendall()\` comes before \`recv()\`; after \`makefile()\` and \`write()\` also \`flush()\`)
TIME PEER  closed by the client
TIME PEER  connected
TIME PEER  KEY /user/Ada/ HTTP/1.1
   < HTTP/1.1 100 Continue\\r\\n
   < \\r\\n
TIME PEER  KEY /user/Ada/ HTTP/1.1  200
   > KEY /user/Ada/ HTTP/1.1\\r\\n
   > Host: a\\r\\n
   > Connection: close\\r\\n
   > Expect: 100-continue\\r\\n
   > Content-Length: 5000\\r\\n
   > \\r\\n
   > ${"x".repeat(4096 - head.length)}
   (${head.length + 904} more bytes)
   (${head.length + 5000} bytes, in 2 reads)
  note: 5000 bytes of body, which this server ignores: user id and key stand in the path
   < HTTP/1.1 200 OK\\r\\n
   < Content-Type: text/plain; charset=utf-8\\r\\n
   < Content-Length: 128\\r\\n
   < DATE\\r\\n
   < Connection: close\\r\\n
   < \\r\\n
   < KEY
TIME PEER  closed by the server
`,
  );
});

Deno.test("main() --serve says at once what an unfinished request lacks, and why it closes", async () => {
  const seen = Promise.withResolvers<void>();
  const onStderr = (text: string) => {
    if (text.includes("unfinished") && text.includes("idle for 2 s")) seen.resolve();
  };
  await using server = await serving([], { onStderr });
  using unfinished = await Deno.connect({ port: Number(server.port) });
  await unfinished.write(new TextEncoder().encode("KEY /user/Ada/ HTTP/1.1\nHost: a\n"));
  using idle = await Deno.connect({ port: Number(server.port) });
  await idle.write(new TextEncoder().encode("KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\n\r\n"));
  await seen.promise;
  const { stderr } = await server.stop();
  assertStringIncludes(
    timeless(stderr),
    `TIME PEER  KEY /user/Ada/ HTTP/1.1  unfinished
  error: 32 bytes, and no empty line yet: end the head with \`\\r\\n\\r\\n\`, one for the last line and one for the empty line
  warning: this line ends in LF`,
  );
  assertStringIncludes(
    timeless(stderr),
    "TIME PEER  KEY /user/Ada/ HTTP/1.1\n  note: idle for 2 s after the whole answer, so closed; if your client",
  );
  assertMatch(
    stderr,
    /\nAda +127\.0\.0\.1 +1 +0 +0 {2}idle for 2 s after the whole answer, so closed\n/,
  );
  assertMatch(stderr, /\(unknown\)  +127\.0\.0\.1 +0 +0 +1 {2}32 bytes, and no empty line yet\n/);
});

Deno.test("main() --serve forgets what a request lacked when it is whole, and says again why it failed", async () => {
  const unfinished = Promise.withResolvers<void>();
  const onStderr = (text: string) => {
    if (text.match(/unfinished/g)?.length === 2) unfinished.resolve();
  };
  await using server = await serving(["-v"], { onStderr });
  using good = await Deno.connect({ port: Number(server.port) });
  await good.write(new TextEncoder().encode("KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\n"));
  using bad = await Deno.connect({ port: Number(server.port) });
  await bad.write(new TextEncoder().encode("KEY /user/Bob/ HTTP/1.1\r\nHost: a\r\n"));
  await unfinished.promise;
  await good.write(new TextEncoder().encode("Connection: close\r\n\r\n"));
  await new Response(good.readable).text();
  await bad.closeWrite();
  await new Response(bad.readable).text();
  const { stderr } = await server.stop();
  const words = "error: 34 bytes, and no empty line yet: end the head";
  assertStringIncludes(
    stderr,
    `unfinished\n   > KEY /user/Bob/ HTTP/1.1\\r\\n\n   > Host: a\\r\\n\n  ${words}`,
  );
  assertEquals(stderr.split(words).length, 4); // to Ada, to Bob, and to Bob again
  assertMatch(stderr, /\nAda +127\.0\.0\.1 +1 +0 +0\n/);
  assertMatch(stderr, /\nBob +127\.0\.0\.1 +0 +0 +1 {2}34 bytes, and no empty line yet\n/);
});

Deno.test("main() --serve takes stray bytes behind an answer for no unfinished request", async () => {
  await using server = await serving([]);
  for (const [user, stray] of [["Ada", "\r\n"], ["Bob", "hello"]]) {
    using conn = await Deno.connect({ port: Number(server.port) });
    await conn.write(new TextEncoder().encode(`KEY /user/${user}/ HTTP/1.1\r\nHost: a\r\n\r\n`));
    await conn.read(new Uint8Array(4096));
    await conn.write(new TextEncoder().encode(stray));
    await conn.closeWrite();
    await new Response(conn.readable).text();
  }
  const { stderr } = await server.stop();
  assertEquals(stderr.includes("unfinished"), false);
  assertMatch(stderr, /\n {2}warning: there is a line end too many/);
  assertMatch(stderr, /\n {2}warning: 5 bytes too many behind the request/);
  assertMatch(stderr, /\nAda +127\.0\.0\.1 +1 +0 +0 {2}there is a line end too many\n/);
  assertMatch(stderr, /\nBob +127\.0\.0\.1 +1 +0 +0 {2}5 bytes too many behind the request\n/);
  assertEquals(stderr.includes("(unknown)"), false);
});

Deno.test("main() --serve cuts long names in its table", async () => {
  await using server = await serving([]);
  for (const user of ["a".repeat(24), "b".repeat(25), `${"c".repeat(20)}%F0%9F%94%91ccc`]) {
    await send(server.port, `KEY /user/${user}/ HTTP/1.0\r\n\r\n`);
  }
  const { stderr } = await server.stop();
  const names = stderr.split("\n\n")[1].split("\n").map((line) => line.replace(/ .*/, ""));
  assertEquals(names.slice(1, 4), [
    "a".repeat(24),
    `${"b".repeat(21)}...`,
    `${"c".repeat(20)}...`,
  ]);
});

Deno.test("main() --serve --json prints a line for each event, and the users", async () => {
  await using server = await serving(["--json"]);
  await send(server.port, "KEY /user/\x9b/ HTTP/1.0\r\n\r\n", false);
  const { exit, stdout, stderr } = await server.stop();
  assertEquals(exit, 130);
  assertEquals(timeless(stderr), "key_client: listening on HOST, Ctrl-C ends it\n");
  assertEquals(stdout.includes("\x9b"), false); // it is an escape
  const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  const { peer, time } = lines[1];
  assertMatch(peer, /^127\.0\.0\.1:\d+$/);
  assertMatch(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const common = { connection: 1, peer };
  const message = "the user id is not UTF-8 when percent-decoded: encode it as UTF-8 first, " +
    "as \`urllib.parse.quote()\` does";
  assertEquals(
    lines.map(({ time: _, ...line }) => line),
    [
      { event: "listening", host: "127.0.0.1", port: Number(server.port) },
      { event: "connected", ...common },
      {
        event: "request",
        ...common,
        method: "KEY",
        user: null,
        reads: 1,
        wire: "KEY /user/\x9b/ HTTP/1.0\r\n\r\n",
      },
      {
        event: "remark",
        ...common,
        code: "user-not-utf-8",
        severity: "error",
        status: 400,
        message,
        start: 10,
        end: 11,
      },
      { event: "remark", ...common, ...lines[4], time: undefined },
      {
        event: "answer",
        ...common,
        method: "KEY",
        user: null,
        status: 400,
        message,
        fault: null,
        wire: lines[5].wire,
      },
      { event: "closed", ...common, by: "server" },
      {
        event: "users",
        users: [{
          user: null,
          address: "127.0.0.1",
          asked: 0,
          verified: 0,
          errors: 1,
          remark: message,
        }],
      },
    ].map((line) => JSON.parse(JSON.stringify(line))),
  );
  assertStringIncludes(lines[5].wire, `\r\n\r\n${message}`);
});

Deno.test("main() --serve shows nothing on a terminal that could move it", async () => {
  await using server = await serving(["-v"], { terminal: true });
  const nasty = "\x1b[2J\x9b\u202e\x07".replace("\u202e", "\xe2\x80\xae");
  await send(server.port, `KEY /user/${nasty}/ HTTP/1.1\r\nHost: ${nasty}\r\n\r\n`);
  await send(server.port, `KEY /user/${encodeURIComponent("\x1b[2J\u202e")}/ HTTP/1.1\r\n\r\n`);
  await send(server.port, `${nasty}: ${nasty}\r\n\r\n`);
  const { stderr } = await server.stop();
  assertEquals(stderr.replaceAll("\x1b[", "").match(/[^\x20-\x7e\n]/g), null);
});

Deno.test("main() --serve serves on when nobody reads its log", async () => {
  for (const args of [[], ["-v"], ["--json"]]) {
    const abort = new AbortController();
    const listening = Promise.withResolvers<string>();
    const gone = {
      isTerminal: () => false,
      writeSync(p: Uint8Array): number {
        const port = /listening on 127\.0\.0\.1:(\d+)/.exec(decoder.decode(p))?.[1];
        if (port) listening.resolve(port);
        throw new Deno.errors.BrokenPipe("Broken pipe (os error 32)");
      },
    };
    const io = { stdin: Deno.stdin, stdout: gone, stderr: gone, signal: abort.signal };
    const serving = main(["--serve", "--port", "0", ...args], io);
    const port = await listening.promise;
    for (let n = 0; n < 3; n++) assertEquals((await run(["-p", port])).exit, 0);
    abort.abort();
    assertEquals(await serving, 130);
  }
});

Deno.test("main() --serve --json says that standard output is full, and serves on", async () => {
  const abort = new AbortController();
  const stderr = capture();
  const io = { stdout: failing(FULL), stderr, signal: abort.signal };
  const running = main(["--serve", "--json", "--port", "0"], io);
  for (let n = 0; n < 2000 && !stderr.text.includes("Cannot"); n++) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const port = /127\.0\.0\.1:(\d+)/.exec(stderr.text)![1];
  assertEquals((await run(["-p", port])).exit, 0);
  abort.abort();
  assertEquals(await running, 1);
  assertEquals(stderr.text.split("Cannot write to standard output: No space left").length, 2);
});

Deno.test("main() --serve counts what was not read in time, where it is missing", async () => {
  for (const args of [["-v"], ["--json"]]) {
    const abort = new AbortController();
    const listening = Promise.withResolvers<string>();
    const release = Promise.withResolvers<void>();
    let log = "";
    const slow = {
      isTerminal: () => false,
      writeSync: () => 0,
      async write(p: Uint8Array): Promise<number> {
        log += decoder.decode(p);
        const port = /listening on 127\.0\.0\.1:(\d+)/.exec(log)?.[1];
        if (port) listening.resolve(port);
        await release.promise;
        return p.length;
      },
    };
    const io = { stdin: Deno.stdin, stdout: slow, stderr: slow, signal: abort.signal };
    const serving = main(["--serve", "--port", "0", ...args], io);
    const port = await listening.promise;
    const requests = Array.from({ length: 10_050 }, (_, n) => `KEY /user/u${n}/ HTTP/1.0\r\n`);
    await send(port, requests.join("Connection: keep-alive\r\n\r\n") + "\r\n");
    release.resolve();
    await new Promise((resolve) => setTimeout(resolve, 50));
    assertEquals((await run(["-p", port])).exit, 0);
    abort.abort();
    assertEquals(await serving, 130);
    if (args[0] === "-v") {
      assertMatch(log, /\n\(\d+ entries were not read in time\)\n.* {2}connected\n/);
      assertStringIncludes(log, "\n(and 9800 users more)\n");
      const table = log.slice(log.lastIndexOf("last remark"));
      assertEquals(table.match(/ {2}127\.0\.0\.1 +1 +\d +0\n/g)?.length, 200);
    } else {
      const lines = log.split("\n").filter((line) => line.startsWith("{"));
      const events = lines.map((line) => JSON.parse(line));
      const lost = events.findIndex(({ event }) => event === "lost");
      assertEquals(events[lost + 1].event, "connected"); // of main(), after the gap
      assert(events[lost].count > 1000);
      assertEquals(events.at(-1).event, "users");
    }
  }
});

Deno.test("main() --serve waits for nobody who reads its log slowly", async () => {
  const abort = new AbortController();
  const listening = Promise.withResolvers<string>();
  const stuck = {
    isTerminal: () => false,
    writeSync: () => 0,
    write(p: Uint8Array): Promise<number> {
      const port = /listening on 127\.0\.0\.1:(\d+)/.exec(decoder.decode(p))?.[1];
      if (port) listening.resolve(port);
      return new Promise(() => {}); // never done
    },
  };
  const io = { stdin: Deno.stdin, stdout: stuck, stderr: stuck, signal: abort.signal };
  const serving = main(["--serve", "--port", "0"], io);
  const port = await listening.promise;
  for (let n = 0; n < 3; n++) assertEquals((await run(["-p", port])).exit, 0);
  abort.abort();
  assertEquals(await serving, 130);
});

Deno.test("main() --serve does not start if it is interrupted before", async () => {
  const { exit } = await run(["--serve", "--port", "0"], { signal: AbortSignal.abort() });
  assertEquals(exit, 130);
});

Deno.test("main() --serve writes addresses as a URL has them, and says which are all", async () => {
  for (const [host, shown] of [["0.0.0.0", "0\\.0\\.0\\.0"], ["::", "\\[::\\]"]]) {
    const abort = new AbortController();
    const onStderr = (text: string) => {
      if (text.endsWith("\n")) abort.abort();
    };
    const args = ["--serve", "--host", host, "--port", "0"];
    const { stderr } = await run(args, { signal: abort.signal, onStderr });
    // Where there is no IPv6, it says so of the same address.
    const pattern =
      `^key_client: (listening on ${shown}:\\d+ \\(all|Cannot listen on ${shown}:\\d+:) `;
    assertMatch(stderr, RegExp(pattern));
  }
});

Deno.test("main() --serve --json --verbose has both, the events and the log", async () => {
  await using server = await serving(["--json", "-v"]);
  await send(server.port, "KEY /user/Ada/ HTTP/1.0\r\n\r\n");
  const { stdout, stderr } = await server.stop();
  const events = stdout.trimEnd().split("\n").map((line) => JSON.parse(line).event);
  assertEquals(events, ["listening", "connected", "request", "answer", "closed", "users"]);
  assertStringIncludes(stderr, "   > KEY /user/Ada/ HTTP/1.0\\r\\n\n");
  assertMatch(stderr, /\nAda +127\.0\.0\.1 +1 +0 +0\n$/);
});

Deno.test("main() --serve says why it cannot listen", async () => {
  await using server = await serving([]);
  assertEquals(await run(["--serve", "--port", server.port]), {
    exit: 2,
    stdout: "",
    stderr: `key_client: Cannot listen on 127.0.0.1:${server.port}: the port is in use, ` +
      "choose another one with --port\n",
  });
  const { stdout } = await run(["--serve", "--json", "--port", server.port]);
  const { event, message } = JSON.parse(stdout);
  assertEquals(event, "error");
  assertMatch(message, /^Cannot listen on 127\.0\.0\.1:\d+: the port is in use/);
  for (const mode of ["--serve", "--drill"]) {
    const wrong = await run([mode, "--json", "--prot"]);
    const error = { event: "error", message: 'Unknown option "--prot", did you mean --port?' };
    assertEquals([wrong.exit, JSON.parse(wrong.stdout)], [2, error]);
    assertEquals(wrong.stderr, `key_client: ${error.message}; see --help\n`);
  }
  const other = await run(["--serve", "--host", "192.0.2.1"]); // of the documentation (RFC 5737)
  assertMatch(
    other.stderr,
    /^key_client: Cannot listen on 192\.0\.2\.1:5000: that is no address of this/,
  );
  const { exit, stderr } = await run(["--serve", "--host", "no-such-host.invalid"]);
  assertEquals(exit, 2);
  assertMatch(stderr, /^key_client: Cannot listen on no-such-host\.invalid:5000: .*\n$/);
});

// ---- Faults and the drill

const NAMES = Object.keys(FAULTS) as FaultName[];

Deno.test("main() --fault list explains each fault, and --help names them", async () => {
  for (const args of [["--fault", "list"], ["--fault=list", "--serve"]]) {
    const { exit, stdout, stderr } = await run(args);
    assertEquals({ exit, stderr }, { exit: 0, stderr: "" });
    const lines = stdout.trimEnd().split("\n");
    assertEquals(lines.length, 22);
    assertEquals(lines[0], "delivered oddly: a good client is not disturbed");
    assertEquals(lines[9], "broken: a good client gives no key, and sends no PUT");
    const rows = [...lines.slice(1, 9), ...lines.slice(10)];
    assertEquals(
      rows,
      NAMES.map((name) => `  ${name.padEnd(11)} ${FAULTS[name].description}`),
    );
  }
  const { stdout } = await run(["--fault", "list", "--json"]);
  const objects = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(objects.map(({ name }) => name), NAMES);
  assertEquals(objects[1].description, FAULTS["drip"].description);
  const help = (await run(["--help", "--fault", "list"])).stdout;
  assertEquals(/Faults: ([^:]*)\nExit/.exec(help)![1].split(/,\s+/), NAMES);
});

Deno.test("main() --serve --fault gives every answer the fault, and logs it", async () => {
  await using server = await serving(["--fault", "short-key"]);
  const { exit, stdout } = await run(["-p", server.port, "--key", "-uAda"]);
  assertEquals({ exit, stdout }, { exit: 1, stdout: "" });
  await send(server.port, "KEY /user/Ada HTTP/1.1\r\nHost: a\r\n\r\n");
  const { stderr } = await server.stop();
  assertMatch(
    timeless(stderr),
    RegExp(`^key_client: listening on HOST, Ctrl-C ends it
key_client: short-key: 200 and a key of 127 digits; a good client counts them
TIME PEER  KEY /user/Ada/ HTTP/1\\.1  200 \\(short-key\\)
TIME PEER  KEY /user/Ada HTTP/1\\.1  404 \\(short-key\\)
  error: the path does not end in a slash[^\n]*
    KEY [^\n]*
 *\\^

user {2}address    asked  verified  errors  last remark
Ada   127\\.0\\.0\\.1      1         0       1  the path does not end in a slash
$`),
  );
});

Deno.test("main() --serve --fault says where there is no answer, or another one", async () => {
  for (
    const [fault, outcome] of [
      ["empty", "no answer (empty)"],
      ["garbage", "no answer (garbage)"],
      ["status-500", "500 (status-500)"],
    ]
  ) {
    await using server = await serving(["--fault", fault, "-v"]);
    await send(server.port, "KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\n\r\n");
    const { stderr } = await server.stop();
    assertStringIncludes(timeless(stderr), `TIME PEER  KEY /user/Ada/ HTTP/1.1  ${outcome}\n`);
    assertEquals(stderr.includes("   < "), fault !== "empty");
    assertEquals(stderr.includes("error:"), false);
    assertEquals(stderr.endsWith("\nAda   127.0.0.1      1         0       0\n"), true);
  }
  await using server = await serving(["--fault", "empty", "--json"]);
  await send(server.port, "KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\n\r\n");
  const { stdout } = await server.stop();
  const answer = stdout.split("\n").map((line) => JSON.parse(line || "{}"))
    .find(({ event }) => event === "answer");
  const { status, message, fault, wire } = answer;
  assertEquals({ status, message, fault, wire }, {
    status: 0,
    message: "",
    fault: "empty",
    wire: "",
  });
});

/** Runs --drill until it is over, or until it is stopped. */
async function drilling(args: string[], streams: Streams = {}) {
  const abort = new AbortController();
  const listening = Promise.withResolvers<number>();
  const running = run(["--drill", "--port", "0", ...args], {
    ...streams,
    signal: abort.signal,
    onStderr(text) {
      const port = /^key_client: drill on 127\.0\.0\.1:(\d+): run your client 20 times/.exec(text)
        ?.[1];
      if (port) listening.resolve(Number(port));
    },
  });
  const port = await listening.promise;
  return { port, running, stop: () => abort.abort() };
}

Deno.test("main() --drill tells a good client by exit status 0, and a flawed one what it lacks", async () => {
  async function good() {
    const { port, running } = await drilling([]);
    for (const _ of NAMES) {
      const key = await doKey({ port, timeout: 2500 });
      if (key) await doPut(key, { port, timeout: 2500 });
    }
    const { exit, stdout } = await running;
    assertEquals(exit, 0);
    const [lines, table] = stdout.split("\n\n");
    assertEquals(
      lines.split("\n"),
      NAMES.map((name) => `✔ ${name.padEnd(11)} ${FAULTS[name].description}`),
    );
    const rows = table.trimEnd().split("\n");
    assertEquals(rows, [
      "  drill       a good client",
      ...NAMES.map((name) => `✔ ${name.padEnd(11)} ${FAULTS[name].good}`),
      "20 of 20 passed",
      "not judged: whether your client showed what it heard, and no traceback",
    ]);
    for (const line of stdout.split("\n")) assert(line.length <= 79, line);
  }
  async function flawed(args: string[]) {
    const { port, running } = await drilling(args);
    for (const _ of NAMES) {
      const key = await doKey({ port, timeout: 2500 });
      await doPut(key ?? "None", { port, timeout: 2500 }).catch(() => {});
    }
    const run = await running;
    assertEquals(run.exit, 1);
    return run;
  }
  async function flawedInText() {
    const { stdout } = await flawed([]);
    assertEquals(stdout.match(/^ {4}cause: there was no key, and yet this came: PUT/gm)?.length, 1);
    assertEquals(stdout.match(/^ {4}cause: as above\n {4}cure: as above\n/gm)?.length, 11);
    assertMatch(
      stdout,
      /\n8 of 20 passed\nto try a fault by itself: --serve --fault status-400\nnot judged: .*\n$/,
    );
  }
  async function flawedInJson() {
    const { stdout, stderr } = await flawed(["--json"]);
    assertEquals(stderr.split("\n").length, 2);
    const objects = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
    assertEquals(objects.pop(), { passed: 8, failed: 12, missing: 0 });
    assertEquals(objects.map(({ name }) => name), NAMES);
    for (const [at, { name, description, passed, log, cause, ...rest }] of objects.entries()) {
      const fault = FAULTS[name as FaultName];
      assertEquals(description, `${fault.description}: a good client ${fault.good}`);
      assertEquals(passed, at < 8);
      assertEquals(rest, {});
      assertMatch(timeless(log[0]), /^TIME PEER {2}KEY \/user\/User1\/ HTTP\/1\.1 {2}/);
      if (passed) assertEquals(cause, null);
      else {
        const rationale = "there was no key, and yet this came: PUT /key/User1/None/ HTTP/1.1";
        const help =
          "send PUT only if there is a key: where there is none, the conversation is over";
        assertEquals(cause, { rationale, help });
      }
    }
  }
  await Promise.all([good(), flawedInText(), flawedInJson()]);
});

Deno.test("main() --drill prints what there is so far when it is interrupted", async () => {
  const { port, running, stop } = await drilling([]);
  await doKey({ port, timeout: 100 });
  stop();
  const { exit, stdout } = await running;
  assertEquals(exit, 130);
  const { description, good } = FAULTS["slow"];
  assertMatch(
    stdout,
    RegExp(`^✘ slow        ${description}
    cause: no PUT came: [^\n]*
    cure: wait longer: [^\n]*
    \`socket.settimeout\\(10\\)\`; the answer comes after 2 s[^\n]*
    follow

  drill       a good client
✘ slow        ${good}
0 of 20 passed, 19 without a verdict
to try a fault by itself: --serve --fault slow
$`),
  );
  const nowhere = await drilling([]);
  nowhere.stop();
  assertEquals((await nowhere.running).stdout, "0 of 20 passed, 20 without a verdict\n");
  const nobody = await drilling(["--json"]);
  nobody.stop();
  const { exit: status, stdout: json } = await nobody.running;
  assertEquals([status, json], [130, '{"passed":0,"failed":0,"missing":20}\n']);
});

Deno.test("main() --drill shows on a terminal what it waits for, in color", async () => {
  const { port, running, stop } = await drilling([], { terminal: true });
  await doKey({ port, timeout: 100 });
  stop();
  const { stdout } = await running;
  const [slow, drip] = ["slow", "drip"].map((name) =>
    `${name.padEnd(11)} ${FAULTS[name as FaultName].description}`
  );
  const cross = Deno.noColor ? "✘" : "\x1b[31m✘\x1b[0m";
  assertEquals(
    stdout.startsWith(`? ${slow}\r\x1b[K… ${slow}\r\x1b[K${cross} ${slow}\n    cause: `),
    true,
  );
  assertEquals(stdout.includes(`? ${drip}`), false); // nobody is waited for any more
});

Deno.test("main() --drill --verbose shows the wire", async () => {
  const { port, running, stop } = await drilling(["-v"]);
  await doKey({ port, timeout: 100 });
  stop();
  const { stderr } = await running;
  assertStringIncludes(
    timeless(stderr),
    "TIME PEER  KEY /user/User1/ HTTP/1.1  200 (slow)\n   > KEY ",
  );
});

Deno.test("main() --drill tells by its exit status that standard output has failed", async () => {
  for (
    const [error, exit, message] of [
      [new Deno.errors.BrokenPipe(), 141, ""],
      [
        new Error("disk full"),
        1,
        "key_client: Cannot write to standard output: disk full\n",
      ],
    ] as const
  ) {
    const said: string[] = [];
    const io: MainIo = {
      stdin: Deno.stdin,
      stdout: {
        isTerminal: () => false,
        writeSync() {
          throw error;
        },
      },
      stderr: {
        isTerminal: () => false,
        writeSync(p) {
          said.push(decoder.decode(p));
          return p.length;
        },
      },
    };
    const running = main(["--drill", "--port", "0"], io);
    while (said.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(said[0])![1]);
    await doKey({ port, timeout: 100 });
    assertEquals(await running, exit); // with the first verdict
    assertEquals(said.slice(1).join(""), message);
  }
});

Deno.test("main() --drill --verbose ends when its log is written", async () => {
  const abort = new AbortController();
  let said = "";
  const io: MainIo = {
    stdin: Deno.stdin,
    stdout: { isTerminal: () => false, writeSync: (p) => p.length },
    stderr: {
      isTerminal: () => false,
      writeSync(p) {
        said += decoder.decode(p);
        return p.length;
      },
      async write(p) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        said += decoder.decode(p);
        return p.length;
      },
    },
    signal: abort.signal,
  };
  const running = main(["--drill", "--port", "0", "-v"], io);
  while (said === "") await new Promise((resolve) => setTimeout(resolve, 5));
  using conn = await Deno.connect({ port: Number(/127\.0\.0\.1:(\d+)/.exec(said)![1]) });
  while (!said.includes("connected")) await new Promise((resolve) => setTimeout(resolve, 5));
  abort.abort();
  assertEquals(await running, 130);
  assertMatch(said, /closed by the server\n$/);
  assertEquals(conn.remoteAddr.transport, "tcp");
});

Deno.test("main() --drill needs no standard error", async () => {
  const abort = new AbortController();
  const io: MainIo = {
    stdin: Deno.stdin,
    stdout: { isTerminal: () => false, writeSync: (p) => p.length },
    stderr: {
      isTerminal: () => false,
      writeSync() {
        abort.abort();
        throw new Error("disk full");
      },
    },
    signal: abort.signal,
  };
  assertEquals(await main(["--drill", "--port", "0"], io), 130);
});

Deno.test("main() --drill corrects itself when a PUT comes late", async () => {
  const { port, running, stop } = await drilling([], { terminal: true });
  const key = await doKey({ port }); // in a process of its own, say
  await new Promise((resolve) => setTimeout(resolve, 2300));
  await doPut(key!, { port });
  stop();
  const { stdout } = await running;
  const lines = stdout.replaceAll("\x1b[31m", "").replaceAll("\x1b[32m", "")
    .replaceAll("\x1b[0m", "").replaceAll("\r\x1b[K", "\n").split("\n");
  const slow = `slow        ${FAULTS["slow"].description}`;
  const drip = `drip        ${FAULTS["drip"].description}`;
  assertEquals(lines.filter((line) => /^[^ ] /.test(line)), [
    `? ${slow}`,
    `… ${slow}`,
    `✘ ${slow}`,
    `? ${drip}`,
    `✔ ${slow} (a PUT came late)`,
    `? ${drip}`,
    `✔ slow        ${FAULTS["slow"].good}`,
    "1 of 20 passed, 19 without a verdict",
  ]);
});

Deno.test("main() --drill says in one line that it cannot listen", async () => {
  await using server = startKeyServer({ port: 0 });
  const { exit, stdout, stderr } = await run(["--drill", "-p", `${server.addr.port}`]);
  assertEquals({ exit, stdout }, { exit: 2, stdout: "" });
  assertMatch(
    stderr,
    /^key_client: Cannot listen on 127\.0\.0\.1:\d+: the port is in use[^\n]*\n$/,
  );
});
