import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { doKey, doPut } from "../key_client.ts";
import { type FaultName, FAULTS } from "../practice/server.ts";
import { main, type MainIo } from "../main.ts";
import { drilling, NAMES, timeless } from "../testing/command.ts";

const decoder = new TextDecoder();

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
