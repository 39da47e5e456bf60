import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { main } from "../main.ts";
import { delay } from "../testing/bytes.ts";
import {
  capture,
  CLOSED,
  failing,
  FULL,
  run,
  send,
  serving,
  timeless,
} from "../testing/command.ts";

Deno.test("main() --serve --json prints a line for each event, and the users", async () => {
  await using server = await serving(["--json"]);
  await send(server.port, "KEY /user/\x9b/ HTTP/1.0\r\n\r\n", false);
  const { exit, stdout, stderr } = await server.stop();
  assertEquals(exit, 130);
  assertEquals(
    timeless(stderr),
    "key_client: listening on HOST, Ctrl-C ends it\n" +
      "key_client: open http://HOST/ to see the requests in a browser\n",
  );
  assertEquals(stdout.includes("\x9b"), false); // it is escaped
  const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  const { peer, time } = lines[1];
  assertMatch(peer, /^127\.0\.0\.1:\d+$/);
  assertMatch(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const common = { connection: 1, peer };
  const fact = "the decoded user id is not UTF-8";
  const help = 'encode it as UTF-8: `urllib.parse.quote(user_id, safe="")`';
  const message = `${fact}\nhelp: ${help}`;
  assertEquals(
    lines.map(({ time: _, ...line }) => line),
    [
      {
        event: "listening",
        host: "127.0.0.1",
        port: Number(server.port),
        page: `http://127.0.0.1:${server.port}/`,
      },
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
        fact,
        help,
        start: 10,
        end: 11,
      },
      { event: "remark", ...common, ...lines[4], time: undefined },
      { event: "remark", ...common, ...lines[5], time: undefined },
      {
        event: "answer",
        ...common,
        method: "KEY",
        user: null,
        status: 400,
        message,
        fault: null,
        wire: lines[6].wire,
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
          remark: fact,
          time: lines[8].users[0].time,
        }],
      },
    ].map((line) => JSON.parse(JSON.stringify(line))),
  );
  assertStringIncludes(lines[6].wire, `\r\n\r\n${message}`);
  assertMatch(lines[8].users[0].time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
});

/** Runs --serve, which writes with `write`, and runs a client three times. */
async function serveThree(args: string[], write: (text: string) => Promise<number> | number) {
  const abort = new AbortController();
  const port = Promise.withResolvers<string>();
  const stream = {
    isTerminal: () => false,
    writeSync: () => 0,
    async write(p: Uint8Array): Promise<number> {
      const text = new TextDecoder().decode(p);
      const match = /listening on 127\.0\.0\.1:(\d+)/.exec(text);
      if (match) port.resolve(match[1]);
      return await write(text);
    },
  };
  const io = { stdout: stream, stderr: stream, signal: abort.signal };
  const serving = main(["--serve", "--port", "0", ...args], io);
  for (let n = 0; n < 3; n++) assertEquals((await run(["-p", await port.promise])).exit, 0);
  abort.abort();
  return await serving;
}

Deno.test("main() --serve continues if stdout and stderr are closed", async () => {
  for (const args of [[], ["-v"], ["--json"]]) {
    assertEquals(await serveThree(args, () => Promise.reject(CLOSED)), 130);
  }
});

Deno.test("main() --serve does not wait for a reader that hangs", async () => {
  assertEquals(await serveThree([], () => new Promise(() => {})), 130);
});

Deno.test("main() --serve --json continues if stdout is full, and reports it once", async () => {
  const abort = new AbortController();
  const failed = Promise.withResolvers<string>();
  const onText = (text: string) => {
    const match = /127\.0\.0\.1:(\d+)/.exec(text);
    if (match && text.includes("Cannot")) failed.resolve(match[1]);
  };
  const stderr = capture({ onText });
  const io = { stdout: failing(FULL), stderr, signal: abort.signal };
  const running = main(["--serve", "--json", "--port", "0"], io);
  assertEquals((await run(["-p", await failed.promise])).exit, 0);
  abort.abort();
  assertEquals(await running, 1);
  assertEquals(stderr.text.split("Cannot write to standard output: No space left").length, 2);
});

Deno.test("main() --serve prints how many entries it drops, in their place", async () => {
  for (const [flag, requests] of [["-v", 10_000], ["--json", 6_000]] as const) {
    const abort = new AbortController();
    const port = Promise.withResolvers<string>();
    const release = Promise.withResolvers<void>();
    let text = "";
    const slow = {
      isTerminal: () => false,
      writeSync: () => 0,
      async write(p: Uint8Array): Promise<number> {
        text += new TextDecoder().decode(p);
        const match = /listening on 127\.0\.0\.1:(\d+)/.exec(text);
        if (match) port.resolve(match[1]);
        await release.promise;
        return p.length;
      },
    };
    const io = { stdout: slow, stderr: slow, signal: abort.signal };
    const serving = main(["--serve", "--port", "0", flag], io);
    const request = `KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(50)}\r\n`;
    await send(await port.promise, `${request}\r\n`.repeat(requests)); // the queue holds 4 MiB
    release.resolve();
    await delay(50);
    assertEquals((await run(["-p", await port.promise])).exit, 0);
    abort.abort();
    assertEquals(await serving, 130);
    if (flag === "-v") {
      assertMatch(text, /\n\(\d+ log entries dropped: output too slow\)\n.* {2}connected\n/);
    } else {
      const lines = text.split("\n").filter((line) => line.startsWith("{"));
      const events = lines.map((line) => JSON.parse(line));
      const lost = events.findIndex(({ event }) => event === "lost");
      assertEquals(events[lost + 1].event, "connected"); // by the client after the gap
      assert(events[lost].count > 100, `${events[lost].count}`);
      assertEquals(events.at(-1).event, "users");
    }
  }
});

Deno.test("main() --serve --json --verbose prints the events and the log", async () => {
  await using server = await serving(["--json", "-v"]);
  await send(server.port, "KEY /user/Ada/ HTTP/1.0\r\n\r\n");
  const { stdout, stderr } = await server.stop();
  const events = stdout.trimEnd().split("\n").map((line) => JSON.parse(line).event);
  assertEquals(events, [
    ...["listening", "connected", "request", "remark", "answer", "closed", "users"],
  ]);
  assertStringIncludes(stderr, "   > KEY /user/Ada/ HTTP/1.0\\r\\n\n");
  assertMatch(stderr, /\nAda +127\.0\.0\.1 +1 +0 +0\n$/);
});

Deno.test("main() --serve --fault adds the fault to every response, and logs it", async () => {
  await using server = await serving(["--fault", "short-key"]);
  const { exit, stdout } = await run(["-p", server.port, "--key", "-uAda"]);
  assertEquals({ exit, stdout }, { exit: 1, stdout: "" });
  await send(server.port, "KEY /user/Ada HTTP/1.1\r\nHost: a\r\n\r\n");
  const { stderr } = await server.stop();
  assertMatch(
    timeless(stderr),
    RegExp(`^key_client: listening on HOST, Ctrl-C ends it
key_client: short-key: status 200 and a key of 127 digits; a good client counts the digits
key_client: open http://HOST/ to see the requests in a browser
TIME PEER  KEY /user/Ada/ HTTP/1\\.1  200 \\(short-key\\)
TIME PEER  KEY /user/Ada HTTP/1\\.1  404 \\(short-key\\)
  error\\[no-final-slash\\]: the path does not end with a slash
    KEY [^\n]*
 *\\^
  help: KEY /user/Ada/ HTTP/1\\.1
        end the path with \`/\`
  note\\[other-host\\]: the port in the Host header is missing or wrong
  help: [^\n]*
        [^\n]*

user {2}address    asked  verified  errors  last remark
Ada   127\\.0\\.0\\.1      1         0       1  the path does not end with a slash
$`),
  );
});

Deno.test("main() --serve --fault NAME:KEY and NAME:PUT add the fault to one response", async () => {
  for (
    const [method, greeting, statuses] of [
      ["KEY", "chunked on responses to KEY: the body in chunks, without Content-Length; a good", [
        "KEY /user/User1/ HTTP/1.1  200 (chunked)",
        "HTTP/1.1  200\n",
      ]],
      ["PUT", "chunked on responses to PUT: the body in chunks, without Content-Length; a good", [
        "KEY /user/User1/ HTTP/1.1  200\n",
        "HTTP/1.1  200 (chunked)",
      ]],
    ] as const
  ) {
    await using server = await serving(["--fault", `chunked:${method}`]);
    assertEquals((await run(["-p", server.port])).exit, 0);
    const { stderr } = await server.stop();
    assertStringIncludes(stderr, `\nkey_client: ${greeting} client joins the chunks\n`);
    for (const status of statuses) assertStringIncludes(stderr, status);
    assertEquals(stderr.split("(chunked)").length, 2);
  }
});

Deno.test("main() --serve --fault NAME:PUT gives no advice for a client without a key", async () => {
  await using server = await serving(["--fault", "status-500:PUT"]);
  assertEquals((await run(["-p", server.port])).exit, 5);
  const { stderr } = await server.stop();
  const description = "status 500 and a message that looks like a key";
  assertStringIncludes(stderr, `\nkey_client: status-500 on responses to PUT: ${description}\n`);
});

Deno.test("main() --serve --fault names a wrong fault or method, and suggests the right one", async () => {
  const target = "--fault must end with :KEY or :PUT, not";
  for (
    const [value, message, help] of [
      ["reset:GET", `${target} ":GET"`, "write reset:KEY or reset:PUT"],
      ["reset:", `${target} ":"`, "write reset:KEY or reset:PUT"],
      ["reset:KEY:PUT", `${target} ":KEY:PUT"`, "write reset:KEY or reset:PUT"],
      ["reset:put", `${target} ":put"`, "did you mean reset:PUT?"],
      ["rset:PUT", 'unknown fault "rset:PUT"', "did you mean reset:PUT?"],
      ["rset:key", 'unknown fault "rset:key"', "did you mean reset:KEY?"],
      ["rset:GET", 'unknown fault "rset:GET"', "did you mean reset?"],
      ["rset", 'unknown fault "rset"', "did you mean reset?"],
      ["list:KEY", 'unknown fault "list:KEY"', "did you mean list?"],
      [":KEY", 'unknown fault ":KEY"', "run key_client --fault list to see all faults"],
    ]
  ) {
    const { exit, stderr } = await run(["--serve", "--port", "0", "--fault", value]);
    assertEquals({ exit, stderr }, { exit: 2, stderr: `key_client: ${message}\nhelp: ${help}\n` });
  }
});

Deno.test("main() --fault list says how to add a fault to one response", async () => {
  const { stdout } = await run(["--fault", "list"]);
  const last = "NAME:KEY and NAME:PUT put the fault on one response only, as in reset:PUT\n";
  assertEquals(stdout.split(/(?<=\n)/).at(-1), last);
  assertEquals((await run(["--fault", "list", "--json"])).stdout.includes("NAME"), false);
});

Deno.test("main() --serve --fault logs the response that the client got, if any", async () => {
  for (
    const [fault, outcome] of [
      ["empty", "no response (empty)"],
      ["garbage", "no response (garbage)"],
      ["status-500", "500 (status-500)"],
    ]
  ) {
    await using server = await serving(["--fault", fault, "-v"]);
    const host = `Host: 127.0.0.1:${server.port}`;
    await send(server.port, `KEY /user/Ada/ HTTP/1.1\r\n${host}\r\n\r\n`);
    const { stderr } = await server.stop();
    assertStringIncludes(timeless(stderr), `TIME PEER  KEY /user/Ada/ HTTP/1.1  ${outcome}\n`);
    assertEquals(stderr.includes("   < "), fault !== "empty");
    assertEquals(stderr.includes("error["), false);
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

Deno.test("main() --serve counts no browser, and logs one only with -v", async () => {
  for (const isVerbose of [false, true]) {
    await using server = await serving(isVerbose ? ["-v"] : []);
    const wire = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/html\r\n\r\n";
    assertMatch(await send(server.port, wire), /^HTTP\/1\.1 200 OK\r\n[^]*<\/html>\n$/);
    const path = "GET /user/Ada/ HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/html\r\n\r\n";
    assertMatch(await send(server.port, path), /^HTTP\/1\.1 405 /);
    const { stderr } = await server.stop();
    assertEquals(stderr.includes("GET / HTTP/1.1"), isVerbose);
    assertMatch(stderr, /\n\nkey_client: no requests\n$/);
  }
});

Deno.test("main() --serve --json prints requests of a browser only with -v", async () => {
  for (const isVerbose of [false, true]) {
    await using server = await serving(isVerbose ? ["--json", "-v"] : ["--json"]);
    const wire = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/html\r\n\r\n";
    await send(server.port, wire);
    const { stdout } = await server.stop();
    const lines = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
    const events = lines.map(({ event, browser }) => browser ? `${event} of a browser` : event);
    const shown = isVerbose ? ["request of a browser", "answer of a browser"] : [];
    const closed = "closed of a browser";
    assertEquals(events, ["listening", "connected", ...shown, closed, "users"]);
    assertEquals(lines.at(-1).users, []);
  }
});

Deno.test("main() --serve --no-page treats a browser like any other client", async () => {
  await using server = await serving(["--no-page", "--json"]);
  const wire = "GET / HTTP/1.0\r\nHost: 127.0.0.1\r\nAccept: text/html\r\n\r\n";
  assertMatch(await send(server.port, wire), /^HTTP\/1\.1 404 /);
  const { stdout, stderr } = await server.stop();
  assertEquals(timeless(stderr), "key_client: listening on HOST, Ctrl-C ends it\n");
  assertEquals(JSON.parse(stdout.split("\n")[0]).page, null);
});

Deno.test("main() --serve says where students find the page", async () => {
  await using server = await serving(["--host", "0.0.0.0"]);
  const { stderr } = await server.stop();
  assertStringIncludes(
    stderr,
    `key_client: open http://127.0.0.1:${server.port}/#class to see the class in a browser\n` +
      `key_client: students open http://IP_ADDRESS:${server.port}/, with the IP address of this machine\n`,
  );
});
