import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { startKeyServer } from "../practice/server.ts";
import { main } from "../main.ts";
import { KEY } from "../testing/bytes.ts";
import { answering, capture, failing, freePort, NOT_PERMITTED, run } from "../testing/command.ts";

Deno.test("main() runs the whole conversation", async () => {
  await using server = startKeyServer({ port: 0 });
  const { exit, stdout, stderr } = await run(["--port", `${server.addr.port}`]);
  assertMatch(stdout, /^[\da-f]{128}\nSuccess: the key is right\n$/);
  assertEquals({ exit, stderr }, { exit: 0, stderr: "" });
});

Deno.test("main() runs half of the conversation", async () => {
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

Deno.test("main() sends a key as one path segment, with any characters", async () => {
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

Deno.test("main() returns an exit status that depends on the status of the response", async () => {
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

Deno.test("main() says in one line why there is no usable response", async () => {
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
    /^key_client: Cannot connect to 127\.0\.0\.1:\d+: Conn.* refused.*\nhelp: start the server, .*\n$/,
  );
  const unknown = await run(["--host", "no-such-host.invalid"]);
  assertEquals(unknown.exit, 1);
  assertMatch(
    unknown.stderr,
    /^key_client: Cannot connect to no-such-host\.invalid:5000: .*\nhelp: check --host, .*\n$/,
  );
});

Deno.test("main() shows the first line of a message, and the title or the first text of an HTML page", async () => {
  const flask =
    "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n";
  const pages: [body: string, line: string, isAll: boolean][] = [
    [flask, "404 Not Found", false],
    ["<html>\r\n<head><title>403 Forbidden</title></head>\r\n", "403 Forbidden", false],
    ["<html>\n<style>\nbody{color:red}\n</style><title>\nno\n</title>", "no", false],
    ["<html><body><h1>No</h1>\n<p>not here", "No", false],
    ["\n <HTML><b>no</b>", "no", false],
    ["<html><body></body></html>", "", false],
    [`<html>${"<title".repeat(100_000)}`, "<title".repeat(100).slice(0, 497) + "...", false],
    ["\r\n  no such user\r\n\n", "no such user", true],
    ["use /user/<user_id>/\n", "use /user/<user_id>/", true],
    ["<user_id> is unknown", "<user_id> is unknown", true],
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

Deno.test("main() accepts microseconds in --timeout", async () => {
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

Deno.test("main() sends Connection: close if it sends only one request", async () => {
  await using server = answering("HTTP/1.1 404 x\r\n\r\n");
  for (const args of [["--key"], ["--put", KEY]]) {
    const { stderr } = await run(["-vp", server.port, ...args]);
    assertStringIncludes(stderr, "\n   > Connection: close\\r\\n\n");
  }
  const { stderr } = await run(["-vp", server.port]);
  assertEquals(stderr.includes("Connection"), false);
});

Deno.test("main() --json always prints one object", async () => {
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
        "wrong key: not the one issued to `User1`\nhelp: send the digits as you received them",
      error: { code: "refused", message: "The server answered with status 400", help: null },
    }],
    [["-p", missing.port], {
      exit: 4,
      port: Number(missing.port),
      status: 404,
      message: "nobody\n",
      error: {
        code: "refused",
        message: "The server answered with status 404: nobody",
        help: null,
      },
    }],
    [["-p", page.port, "-u", "Ada"], {
      exit: 1,
      user: "Ada",
      port: Number(page.port),
      status: 200,
      message: "<p>hi",
      error: {
        code: "not-a-key",
        message: 'The server did not answer with a key: "<p>hi"',
        help: null,
      },
    }],
    [["-p", free], {
      exit: 1,
      port: Number(free),
      error: {
        code: "connect-failed",
        message: `Cannot connect to 127.0.0.1:${free}: Connection refused (os error 111)`,
        help: "start the server, or check --host and --port; --serve runs a practice server",
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
    error: {
      code: "usage",
      message: '--port must be a number from 1 to 65535, not "x"',
      help: null,
    },
    ms: null,
  });
  assertEquals({ ...usage, stdout: "" }, { exit: 2, stdout: "", stderr: "" });
});

Deno.test("main() --offline prints the request without sending it", async () => {
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

Deno.test("main() --put - rejects an empty stdin and one that is too long", async () => {
  for (const stdin of ["", " \r\n\t"]) {
    const { exit, stderr } = await run(["--put", "-"], { stdin });
    assertEquals(exit, 2);
    assertStringIncludes(stderr, "--put must be a key, but standard input is empty");
  }
  const { exit, stderr } = await run(["--put", "-"], { stdin: "x".repeat(5000) });
  assertEquals(exit, 2);
  assertStringIncludes(stderr, "--put must be at most 4096 bytes, but standard input has more");
});

Deno.test("main() --put - reads up to 4096 bytes from stdin, and trims HTTP white space", async () => {
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

Deno.test("main() says in one line that it cannot read stdin", async () => {
  const stdin = failing(new Error("Is a directory\r\n(os error 21)"));
  const message = "Cannot read standard input: Is a directory\r\n(os error 21)";
  const [stdout, stderr] = [capture(), capture()];
  assertEquals(await main(["--put", "-"], { stdin, stdout, stderr }), 1);
  const line = message.replace("\r\n", "\\r\\n");
  assertEquals([stdout.text, stderr.text], ["", `key_client: ${line}\n`]);
  assertEquals(await main(["--put", "-", "--json"], { stdin, stdout, stderr }), 1);
  const { exit, error } = JSON.parse(stdout.text);
  assertEquals({ exit, error }, { exit: 1, error: { code: "failed", message, help: null } });
});

Deno.test("main() --put - says what to type if stdin is a terminal", async () => {
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
      stderr.text.startsWith("key_client: type the key, press Enter, then Ctrl-D"),
      isTerminal,
    );
  }
});

Deno.test({
  name: "main() names the address if it may not connect",
  permissions: { net: ["127.0.0.1:1"] },
  sanitizeResources: false, // Deno before 2.9.4 leaks a resource here
  async fn() {
    const { exit, stdout, stderr } = await run([]);
    assertEquals({ exit, stdout }, { exit: 1, stdout: "" });
    assertMatch(stderr, NOT_PERMITTED);
  },
});
