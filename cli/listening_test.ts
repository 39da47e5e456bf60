import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { startKeyServer } from "../practice/server.ts";
import { main } from "../main.ts";
import { capture, NOT_PERMITTED, run, serving } from "../testing/command.ts";

Deno.test({
  name: "main() names the address if it may not listen",
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

Deno.test("main() returns 130 if its signal interrupts the conversation", async () => {
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
});

Deno.test("main() --serve and --drill stop at once if they are interrupted before they start", async () => {
  for (const [mode, last] of [["--serve", "no requests"], ["--drill", "25 without a verdict"]]) {
    const streams = { signal: AbortSignal.abort() };
    const { exit, stdout, stderr } = await run([mode, "--port", "0"], streams);
    assertEquals(exit, 130);
    assertEquals(`${stderr}${stdout}`.trimEnd().endsWith(last), true);
    const port = /127\.0\.0\.1:(\d+)/.exec(stderr)![1];
    await assertRejects(() => Deno.connect({ port: Number(port) }), Deno.errors.ConnectionRefused);
  }
});

Deno.test("main() --serve prints its address as in a URL, and says if it listens on all", async () => {
  for (const [host, shown] of [["0.0.0.0", "0\\.0\\.0\\.0"], ["::", "\\[::\\]"]]) {
    const abort = new AbortController();
    const onStderr = (text: string) => {
      if (text.endsWith("\n")) abort.abort();
    };
    const args = ["--serve", "--host", host, "--port", "0"];
    const { stderr } = await run(args, { signal: abort.signal, onStderr });
    // Without IPv6, it cannot listen on `::`.
    const pattern =
      `^key_client: (listening on ${shown}:\\d+ \\(all|Cannot listen on ${shown}:\\d+:) `;
    assertMatch(stderr, RegExp(pattern));
  }
});

Deno.test("main() --serve says why it cannot listen", async () => {
  await using server = await serving([]);
  assertEquals(await run(["--serve", "--port", server.port]), {
    exit: 2,
    stdout: "",
    stderr: `key_client: Cannot listen on 127.0.0.1:${server.port}: the port is in use\n` +
      "help: stop the program that uses it, or choose another one with --port\n",
  });
  const { stdout } = await run(["--serve", "--json", "--port", server.port]);
  const { event, message } = JSON.parse(stdout);
  assertEquals(event, "error");
  assertMatch(message, /^Cannot listen on 127\.0\.0\.1:\d+: the port is in use/);
  const other = await run(["--serve", "--host", "192.0.2.1"]); // RFC 5737: not assigned
  assertMatch(
    other.stderr,
    /^key_client: Cannot listen on 192\.0\.2\.1:5000: this machine does not have/,
  );
  const { exit, stderr } = await run(["--serve", "--host", "no-such-host.invalid"]);
  assertEquals(exit, 2);
  assertMatch(stderr, /^key_client: Cannot listen on no-such-host\.invalid:5000: .*\n$/);
});

Deno.test("main() --drill says in one line that it cannot listen", async () => {
  await using server = startKeyServer({ port: 0 });
  const { exit, stdout, stderr } = await run(["--drill", "-p", `${server.addr.port}`]);
  assertEquals({ exit, stdout }, { exit: 2, stdout: "" });
  assertMatch(
    stderr,
    /^key_client: Cannot listen on 127\.0\.0\.1:\d+: the port is in use\nhelp: stop [^\n]*\n$/,
  );
});
