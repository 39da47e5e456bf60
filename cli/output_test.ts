import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { startKeyServer } from "../practice/server.ts";
import { main } from "../main.ts";
import { KEY } from "../testing/bytes.ts";
import { columnsOf, complain, jsonLine, wrap } from "./output.ts";
import { answering, capture, CLOSED, failing, freePort, FULL, run } from "../testing/command.ts";

Deno.test("main() escapes control characters on a terminal only", async () => {
  const hostile = "\x1b[31m\x9b2J\u202ered\x07\u200b\ufeff\u{e0041}\rx\tä\r\nnext";
  const body = new TextEncoder().encode(hostile);
  const head = `HTTP/1.1 400 x\r\nX: \xe9\r\nContent-Length: ${body.length}\r\n\r\n`;
  await using server = answering(`${head}${hostile}`);
  const args = ["-p", server.port, "--put", KEY];
  assertEquals((await run(args)).stdout, `${hostile}\n`);
  const escaped = "\\u{1b}[31m\\u{9b}2J\\u{202e}red\\u{7}\\u{200b}\\u{feff}\\u{e0041}\\rx\tä";
  const { stdout } = await run(args, { terminal: true });
  assertEquals(stdout, `${escaped}\r\nnext\n`);
  for (const mode of [["--key"], ["--put", KEY, "-v"]]) {
    const { stderr } = await run(["-p", server.port, ...mode], { terminal: true });
    assertStringIncludes(stderr, escaped);
    // deno-lint-ignore no-control-regex
    const rest = stderr.replace(/\x1b\[\d+m|\r\n/g, "");
    assertEquals(/(?![\t\n])[\p{Cc}\p{Cf}]/u.exec(rest), null);
  }
});

Deno.test("main() escapes the same characters in a 404 as in a wrong key", async () => {
  for (const status of [404, 200]) {
    await using server = answering(`HTTP/1.1 ${status} x\r\n\r\nno\u200bkey`);
    const { stderr } = await run(["-p", server.port], { terminal: true });
    assertMatch(stderr, /no\\u\{?200b\}?key/);
  }
});

Deno.test("main() --json prints no character that could move a terminal's cursor", async () => {
  const odd = "\x00\x1b[2J\x7f\x80\x9b\x9f\xad\u061c\u200b\u200e\u202e\u2066\u2028\u2029\ufeff" +
    "\u{1d173}\u{e0041}";
  await using server = answering(`HTTP/1.1 404 x\r\n\r\n${odd}\u{1f511}é`);
  for (const terminal of [false, true]) {
    const { stdout } = await run(["--json", "-p", server.port, "-u", odd], { terminal });
    const { message, user } = JSON.parse(stdout);
    assertEquals([message, user], [`${odd}\u{1f511}é`, odd]);
    assertEquals(stdout.match(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu), ["\n"]);
    assertStringIncludes(stdout, "\\u007f\\u0080\\u009b");
    assertStringIncludes(stdout, "\\ufeff\\ud834\\udd73\\udb40\\udc41\u{1f511}é");
  }
});

Deno.test("jsonLine() does not escape twice", () => {
  assertEquals(
    jsonLine({ "\x00\\u200b\u200b": "\n\ud800" }),
    '{"\\u0000\\\\u200b\\u200b":"\\n\\ud800"}\n',
  );
});

Deno.test("main() prints one line if stdout is full, and nothing if it is closed", async () => {
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

Deno.test("main() keeps the result and the exit status if stderr fails", async () => {
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

Deno.test("columnsOf() returns the width of the stream, or 80", () => {
  assertEquals(columnsOf({ ...capture(), columns: () => 40 }), 40);
  assertEquals(columnsOf(capture()), 80);
  assertEquals(columnsOf(capture({ terminal: true })), 80);
});

Deno.test("wrap() breaks text only between words", () => {
  assertEquals(wrap("a: ", "one two three", 12), "a: one two\n   three\n");
  assertEquals(wrap("a: ", "one  two `three four`", 12), "a: one  two\n   `three four`\n");
  assertEquals(wrap("a: ", "x".repeat(20), 12), `a: ${"x".repeat(20)}\n`);
  assertEquals(wrap("a: ", `one ${"x".repeat(20)}`, 12), `a: one\n   ${"x".repeat(20)}\n`);
  for (const line of wrap("help: ", "word ".repeat(100).trim()).split("\n")) {
    assertEquals(line.length < 80, true, line);
  }
});

Deno.test("complain() wraps a message at the width of a terminal, and nowhere else", () => {
  const message = "word ".repeat(30).trim();
  for (const terminal of [true, false]) {
    const stderr = capture({ terminal });
    complain({ stdin: Deno.stdin, stdout: capture(), stderr }, message, "a\nb");
    const lines = stderr.text.trimEnd().split("\n");
    assertEquals(lines.length, terminal ? 4 : 2);
    assertEquals(lines.at(-1), "help: a\\nb");
    for (const line of lines) assertEquals(line.length < 80, terminal || line.startsWith("help"));
  }
});
