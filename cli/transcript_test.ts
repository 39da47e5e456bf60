import { assert, assertEquals, assertMatch } from "@std/assert";
import { main } from "../main.ts";
import { KEY } from "../testing/bytes.ts";
import { answering, capture, freePort, run } from "../testing/command.ts";

Deno.test("main() --demo shows the conversation with its practice server on one screen", async () => {
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

Deno.test("main() --demo shows what the practice server says about a wrong user id", async () => {
  const { exit, stderr } = await run(["--demo", "-u", "x".repeat(257)]);
  assertEquals(exit, 4);
  assertMatch(stderr, /\n {3}< HTTP\/1\.1 400 Bad Request\n {3}< Content-Type: /);
  assertMatch(
    stderr,
    /\n {3}< the user id is longer .*\n {3}< help: .*\nkey_client: The server answered .*\nhelp: .*\n$/,
  );
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

Deno.test("main() --verbose prints the server's address before it connects", async () => {
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

Deno.test("main() --verbose shows the time between messages, and --json the total", async () => {
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

Deno.test("main() --put - starts its clock after it has read the key", async () => {
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

Deno.test("main() --verbose shows the bytes of a response that failed", async () => {
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
    'key_client: Cannot parse the header field: "A b"',
    "",
  ]);
});

Deno.test("main() --verbose shows every line ending", async () => {
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

Deno.test("main() --verbose shows only the start of a large body", async () => {
  await using server = answering(`HTTP/1.1 200 OK\r\n\r\n${"x".repeat(5000)}`);
  const { stdout, stderr } = await run(["-v", "--put", KEY, "-p", server.port]);
  assertEquals(stdout.length, 5001);
  assertMatch(stderr, /\n {3}< x{4096}\n {3}\(904 more bytes\)\n$/);
  await using full = answering(`HTTP/1.1 200 OK\r\n\r\n\ufeff${"x".repeat(4093)}`);
  const whole = await run(["-v", "--put", KEY, "-p", full.port]);
  assertMatch(whole.stderr, /\n {3}< \ufeffx{4093}\n$/);
});

Deno.test("main() colours the conversation only on a terminal", async () => {
  const colored = await run(["--demo"], { terminal: true });
  assertEquals(colored.stderr.includes("\x1b[1m1. CLIENT"), !Deno.noColor);
  // deno-lint-ignore no-control-regex
  assertEquals(/ {3}\x1b\[2m\d+\.\d ms\x1b\[0m\n {3}> KEY/.test(colored.stderr), !Deno.noColor);
  assertEquals((await run(["--demo"])).stderr.includes("\x1b"), false);
});
