import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { doKey, doPut } from "../key_client.ts";
import { type DrillRound, roundsOf } from "../practice/rounds.ts";
import { FAULTS } from "../practice/server.ts";
import {
  capture,
  CLOSED,
  drilling,
  failing,
  freePort,
  FULL,
  run,
  runMode,
  send,
  timeless,
} from "../testing/command.ts";
import { delay } from "../testing/bytes.ts";
import { OutputError } from "./output.ts";

const QUIET = { quiet: 100 };
/** One fault of each kind. */
const FEW = ["chunked", "no-length", "status-400", "empty:KEY", "short-key", "truncate:PUT"];
const FEW_ROUNDS = roundsOf("wire", FEW);
const ROUNDS = roundsOf("wire");

/** Runs a client once for each round: a good one, or one that sends a PUT without a key. */
async function playRounds(port: number, rounds: DrillRound[], isGood: boolean): Promise<void> {
  for (const { name } of rounds) {
    const options = { port, timeout: name === "silent" ? 300 : 10_000 };
    const key = await doKey(options);
    if (key || !isGood) await doPut(key ?? "None", options).catch(() => {});
  }
}

/** The line of a round that has passed. */
function lineOf({ name, function: fn, description }: DrillRound): string {
  const label = { do_key: `${name}:KEY`, do_put: `${name}:PUT` }[fn!] ?? name;
  return `✔ ${label.padEnd(14)} ${description}`;
}

Deno.test("main() --drill passes a good client with exit status 0", async () => {
  const { port, finished } = await drilling([], { settings: { ...QUIET, delay: 20 } });
  await playRounds(Number(port), ROUNDS, true);
  const { exit, stdout } = await finished;
  assertEquals(exit, 0);
  assertEquals(stdout.trimEnd().split("\n"), [...ROUNDS.map(lineOf), "25 of 25 passed"]);
  for (const line of stdout.split("\n")) assert(line.length <= 79, line);
});

Deno.test("main() --drill says what is wrong with a flawed client, with exit status 1", async () => {
  const { port, finished } = await drilling([], { settings: { ...QUIET, rounds: FEW } });
  await playRounds(Number(port), FEW_ROUNDS, false);
  const { exit, stdout } = await finished;
  assertEquals(exit, 1);
  assertEquals(stdout.match(/^ {4}error: there was no key, but this was sent:/gm)?.length, 1);
  assertEquals(stdout.match(/^ {4}as above\n/gm)?.length, 2);
  assertMatch(
    stdout,
    /\n3 of 6 passed\nto try one round again: --drill --fault status-400\n$/,
  );
});

Deno.test("main() --drill --json prints an object for each round, and the counts", async () => {
  const { port, finished } = await drilling(["--json"], { settings: { ...QUIET, rounds: FEW } });
  await playRounds(Number(port), FEW_ROUNDS, false);
  const { exit, stdout, stderr } = await finished;
  assertEquals([exit, stderr.split("\n").length], [1, 2]);
  const objects = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(objects.pop(), { passed: 3, failed: 3, missing: 0 });
  for (const [at, { log, cause, ...rest }] of objects.entries()) {
    const { function: fn, name, description, demand } = FEW_ROUNDS[at];
    const passed = at < 2 || at === 5;
    assertEquals(rest, {
      ...{ function: fn, name, description: `${description}: ${demand}`, passed },
      ...{ returned: null, raised: null },
    });
    assertMatch(timeless(log[0]), /^TIME PEER {2}KEY \/user\/User1\/ HTTP\/1\.1 {2}/);
    if (passed) assertEquals(cause, null);
    else {
      assertEquals(Object.keys(cause), ["rationale", "help"]);
      assertStringIncludes(cause.rationale, "PUT /key/User1/None/ HTTP/1.1");
    }
  }
});

Deno.test("main() --drill prints the verdicts so far when it is interrupted", async () => {
  const { port, stop } = await drilling([], { settings: QUIET });
  await doKey({ port: Number(port), timeout: 20 });
  const { exit, stdout } = await stop();
  assertEquals(exit, 130);
  assertMatch(
    stdout,
    RegExp(`^✘ sound          a normal response
    error: your client sent no PUT: [^\n]*\n           [^\n]*
    help: run your client against \`key_client --serve\` first: [^\n]*\n          [^\n]*
0 of 25 passed, 24 without a verdict
to try one round again: --drill --fault sound
$`),
  );
  const text = await drilling([]);
  assertEquals((await text.stop()).stdout, "0 of 25 passed, 25 without a verdict\n");
  const json = await drilling(["--json"]);
  const { exit: status, stdout: counts } = await json.stop();
  assertEquals([status, counts], [130, '{"passed":0,"failed":0,"missing":25}\n']);
});

Deno.test("main() --drill shows on a terminal which round it waits for, in colour", async () => {
  const { port, stop } = await drilling([], { terminal: true, settings: QUIET });
  await doKey({ port: Number(port), timeout: 20 });
  const { stdout } = await stop();
  const sound = `${"sound".padEnd(14)} a normal response`;
  const cross = Deno.noColor ? "✘" : "\x1b[31m✘\x1b[0m";
  const start = `\r\x1b[K… waiting for 1 of 25: ${sound}` +
    `\r\x1b[K… round 1 of 25: ${sound}\r\x1b[K${cross} ${sound}\n    error: `;
  assertEquals(stdout.slice(0, start.length), start);
  assertEquals(stdout.includes("2 of 25"), false); // the drill has stopped
});

Deno.test("main() --drill --verbose shows the wire", async () => {
  const { port, stop } = await drilling(["-v"], { settings: QUIET });
  await doKey({ port: Number(port), timeout: 20 });
  const { stderr } = await stop();
  assertStringIncludes(
    timeless(stderr),
    "TIME PEER  KEY /user/User1/ HTTP/1.1  200\n   > KEY ",
  );
});

Deno.test("drill() stops if stdout fails", async () => {
  for (const cause of [CLOSED, FULL]) {
    const port = Promise.withResolvers<number>();
    const onText = (text: string) => port.resolve(Number(/:(\d+): run/.exec(text)![1]));
    const stderr = capture({ onText });
    const io = { stdin: Deno.stdin, stdout: failing(cause), stderr };
    const running = runMode(["--drill", "--port", "0"], io, QUIET);
    const rejection = assertRejects(() => running, OutputError, "Cannot write to standard output");
    await doKey({ port: await port.promise, timeout: 20 });
    assertEquals((await rejection).cause, cause); // at the first verdict
    assertEquals(stderr.text.split("\n").length, 3);
  }
});

Deno.test("main() --drill --verbose waits until its log is written", async () => {
  const abort = new AbortController();
  const port = Promise.withResolvers<number>();
  const connected = Promise.withResolvers<void>();
  const text = capture({
    onText(text) {
      port.resolve(Number(/:(\d+): run/.exec(text)![1]));
      if (text.includes("connected")) connected.resolve();
    },
  });
  const write = async (p: Uint8Array) => {
    await delay(50);
    return text.writeSync(p);
  };
  const io = { stdin: Deno.stdin, stdout: capture(), stderr: { ...text, write } };
  const running = runMode(["--drill", "--port", "0", "-v"], { ...io, signal: abort.signal }, QUIET);
  using _conn = await Deno.connect({ port: await port.promise });
  await connected.promise;
  abort.abort();
  assertEquals(await running, 130);
  assertMatch(text.text, /closed by the server\n$/);
});

Deno.test("main() --drill runs without stderr", async () => {
  const abort = new AbortController();
  const writeSync = () => {
    abort.abort();
    throw FULL;
  };
  const stderr = { isTerminal: () => false, writeSync };
  const io = { stdin: Deno.stdin, stdout: capture(), stderr, signal: abort.signal };
  assertEquals(await runMode(["--drill", "--port", "0"], io, QUIET), 130);
  assertEquals(io.stdout.text, "0 of 25 passed, 25 without a verdict\n");
});

/** Runs a drill whose client sends its PUT after the verdict. */
async function playLate(args: string[], terminal: boolean) {
  const isOver = Promise.withResolvers<void>();
  const streams = {
    terminal,
    settings: { ...QUIET, rounds: FEW },
    onStdout: (text: string) => text.includes("✘") && isOver.resolve(),
    onStderr: (text: string) => text.includes("closed by the ") && isOver.resolve(),
  };
  const { port, stop } = await drilling(args, streams);
  const key = await doKey({ port: Number(port) });
  await isOver.promise;
  if (!terminal) await delay(500); // without a terminal, no output shows the verdict
  await doPut(key!, { port: Number(port) });
  return await stop();
}

Deno.test("main() --drill corrects a verdict if a PUT arrives late", async () => {
  const { stdout } = await playLate([], true);
  const lines = stdout.replaceAll("\x1b[31m", "").replaceAll("\x1b[32m", "")
    .replaceAll("\x1b[0m", "").replaceAll("\r\x1b[K", "\n").split("\n");
  const chunked = `chunked        ${FAULTS["chunked"].description}`;
  const noLength = `no-length      ${FAULTS["no-length"].description}`;
  assertEquals(lines.filter((line) => /^[^ ] /.test(line)), [
    `… waiting for 1 of 6: ${chunked}`,
    `… round 1 of 6: ${chunked}`,
    `✘ ${chunked}`,
    `… waiting for 2 of 6: ${noLength}`.slice(0, 76) + "...",
    `✔ ${chunked} (corrected)`,
    `… waiting for 2 of 6: ${noLength}`.slice(0, 76) + "...",
    "1 of 6 passed, 5 without a verdict",
  ]);
});

Deno.test("main() --drill --json prints one object for a round whose PUT arrives late", async () => {
  const { stdout } = await playLate(["--json", "-v"], false);
  const [first, counts] = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals([first.name, first.passed, first.cause], ["chunked", true, null]);
  assertEquals(counts, { passed: 1, failed: 0, missing: 5 });
});

// ---- Candidates

const FOLDER = `${import.meta.dirname}/../testing/candidates`;
const DENO = Deno.execPath();
const isAllowed = Deno.permissions.querySync({ name: "run", command: DENO }).state === "granted";
const candidate = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name, fn, ignore: !isAllowed });

candidate("main() --drill FILE prints a table and a score for each function", async () => {
  const settings = { rounds: ["sound", "status-404", "wrong-key"] };
  const { exit, stdout, stderr } = await run(["--drill", `${FOLDER}/flawed.ts`, "-p0"], {
    settings,
  });
  assertEquals(exit, 1);
  assertMatch(
    timeless(stderr),
    /^key_client: drill on HOST: 5 rounds with .*flawed\.ts, Ctrl-C ends it\n.*in a browser\n$/,
  );
  assertEquals(
    stdout.replace(FOLDER, "").replace('"/flawed.ts"', "/flawed.ts"), // a folder may have spaces
    `✔ do_key sound       a normal response
✘ do_put sound       a normal response
    error: flawed.ts has no function doPut; class Client has a method of this
           name
    help: write \`export function doPut(key_val)\`
✘ do_key status-404  status 404 and a message
    error: doKey() returned undefined, must return null
    help: if there is no key, \`return null\`
✘ do_put status-404  status 404 and a message
    error: flawed.ts has no function doPut; class Client has a method of this
           name
    help: write \`export function doPut(key_val)\`
✘ do_put wrong-key   the key is wrong, so the server refuses it
    as above

            do_key  do_put
sound       ✔       ✘
status-404  ✘       ✘
wrong-key           ✘

do_key: 1 of 2 passed
do_put: 0 of 3 passed
to try one round again: --drill /flawed.ts --fault sound
`,
  );
});

candidate("main() --drill FILE --fault NAME runs the rounds with this name", async () => {
  const file = `${FOLDER}/right.mjs`;
  const { exit, stdout } = await run(["--drill", file, "-p0", "--fault", "reset:PUT"]);
  assertEquals(exit, 0);
  assertEquals(
    stdout,
    "✔ do_put reset       the connection is reset instead of a response\ndo_put: 1 of 1 passed\n",
  );
});

candidate("main() --drill FILE says on a terminal how far it is", async () => {
  const settings = { rounds: ["sound:KEY", "split:KEY"] };
  const { stdout } = await run(["--drill", `${FOLDER}/right.mjs`, "-p0"], {
    settings,
    terminal: true,
  });
  assertStringIncludes(
    stdout,
    "\r\x1b[K… round 1 of 2: do_key sound       a normal response\r\x1b[K",
  );
  assertStringIncludes(stdout, "\r\x1b[K… round 2 of 2: do_key split");
});

candidate(
  "main() --drill FILE --json prints what was returned, and -v what was printed",
  async () => {
    const settings = { rounds: ["sound:KEY", "wrong-key"] };
    const args = ["--drill", `${FOLDER}/right.mjs`, "-p0", "--json", "-v"];
    const { exit, stdout, stderr } = await run(args, { settings });
    assertEquals(exit, 0);
    const [key, put, counts] = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
    assertEquals([key.function, key.name, key.passed, key.raised, key.cause], [
      ...["do_key", "sound", true, null, null],
    ]);
    assertMatch(key.returned, /^"[\da-f]{96}\.\.\.$/);
    assertEquals(key.description, "a normal response: do_key() must return the key");
    assertMatch(put.returned, /^"wrong key: not the one issued to /);
    assertEquals(counts, { passed: 2, failed: 0, missing: 0 });
    assertStringIncludes(stderr, "\n   | do_key() prints\n");
  },
);

candidate("main() --drill FILE has exit status 2 if there is nothing to judge", async () => {
  for (const json of [[], ["--json"]]) {
    const args = ["--drill", `${FOLDER}/nowhere.ts`, "-p0", ...json];
    const { exit, stdout, stderr } = await run(args);
    assertEquals(exit, 2);
    const message = "Cannot import nowhere.ts: no such file";
    assertEquals(stderr.trimEnd().split("\n").at(-1), `key_client: ${message}`);
    assertEquals(
      stdout,
      json.length ? `${JSON.stringify({ event: "error", message, help: null })}\n` : "",
    );
  }
});

candidate("main() --drill -- COMMAND runs a program, and an interrupt ends it", async () => {
  const program = "console.log(Deno.args.join()); setInterval(() => {}, 1000)";
  const args = ["--drill", "--", DENO, "eval", program, "{host}:{port}"];
  const abort = new AbortController();
  const { exit, stdout } = await run(["-p0", ...args], {
    signal: abort.signal,
    settings: {},
    onStderr: (text) => text.includes("31 rounds with") && setTimeout(() => abort.abort(), 300),
  });
  assertEquals([exit, stdout], [130, "0 of 31 passed, 31 without a verdict\n"]);
});

Deno.test("main() --drill prints each warning once, at the end", async () => {
  const settings = { ...QUIET, rounds: ["no-length", "no-length"] };
  const { port, finished } = await drilling([], { settings });
  for (let n = 0; n < 2; n++) {
    const response = await send(
      port,
      "KEY /user/Ada/ HTTP/1.1\r\nConnection: close\r\n\r\n",
      false,
    );
    const key = response.slice(-128);
    await send(port, `PUT /key/Ada/${key}/ HTTP/1.1\r\nConnection: close\r\n\r\n`, false);
  }
  const { stdout, exit } = await finished;
  assertEquals(exit, 0);
  assertEquals(stdout.match(/^warning\[no-host\]: no Host/gm)?.length, 1);
});

Deno.test("main() --drill --fault names the port in its last line, and quotes words for the shell", async () => {
  const port = freePort();
  const { promise: listening, resolve: listen } = Promise.withResolvers<void>();
  const running = run(["--drill", "--fault", "drip", "-p", port], {
    settings: QUIET,
    onStderr: (text) => text.includes("run your client once") && listen(),
  });
  await listening;
  await doKey({ port: Number(port), timeout: 20 });
  const { stdout } = await running;
  const last = stdout.trimEnd().split("\n").at(-1);
  assertEquals(last, `to try one round again: --drill --fault drip --port ${port}`);
});

candidate("main() --drill -- COMMAND lists what has failed by name and method", async () => {
  const settings = { rounds: ["sound", "empty:PUT"] };
  const args = ["-p0", "--drill", "--", DENO, "eval", "console.log(1)"];
  const { exit, stdout } = await run(args, { settings });
  assertEquals(exit, 1);
  assertMatch(
    stdout,
    /^✘ sound {10}a normal response\n {4}error: the program sent no KEY request\n {4}help: connect to 127/,
  );
  assertStringIncludes(stdout, "\n✘ empty:PUT      the connection closes without a byte\n");
  assertMatch(stdout, /\n0 of 2 passed\nto try one round again: --drill --fault sound -- .*\n$/);
});

Deno.test("main() --drill FILE needs --allow-run", { ignore: isAllowed }, async () => {
  const { exit, stdout, stderr } = await run(["--drill", "client.py", "-p0"]);
  assertEquals([exit, stdout], [2, ""]);
  const message = "key_client: Cannot run python3: add --allow-run before main.ts";
  assertEquals(stderr.trimEnd().split("\n")[2], message);
});
