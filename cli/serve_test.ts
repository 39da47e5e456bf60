import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { main } from "../main.ts";
import { capture, failing, FULL, run, send, serving, timeless } from "../testing/command.ts";

const decoder = new TextDecoder();

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

Deno.test("main() --serve --json --verbose has both, the events and the log", async () => {
  await using server = await serving(["--json", "-v"]);
  await send(server.port, "KEY /user/Ada/ HTTP/1.0\r\n\r\n");
  const { stdout, stderr } = await server.stop();
  const events = stdout.trimEnd().split("\n").map((line) => JSON.parse(line).event);
  assertEquals(events, ["listening", "connected", "request", "answer", "closed", "users"]);
  assertStringIncludes(stderr, "   > KEY /user/Ada/ HTTP/1.0\\r\\n\n");
  assertMatch(stderr, /\nAda +127\.0\.0\.1 +1 +0 +0\n$/);
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
