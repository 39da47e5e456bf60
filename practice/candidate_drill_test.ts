import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import {
  CandidateError,
  type DrillOptions,
  type DrillResult,
  type KeyServerEvent,
  startDrill,
} from "./drill.ts";
import { delay } from "../testing/bytes.ts";
import { browse, Page } from "../testing/browser.ts";
import { concurrentTests, until } from "../testing/raw_client.ts";

/** What a program prints; `undefined` if it does not exist. `deno test --allow-net` may run none. */
function outputOf(command: string, ...args: string[]): string | undefined {
  if (Deno.permissions.querySync({ name: "run", command }).state !== "granted") return undefined;
  try {
    return new TextDecoder().decode(new Deno.Command(command, { args }).outputSync().stdout).trim();
  } catch {
    return undefined;
  }
}

/** The interpreter itself: what is found in PATH may be a script that starts it, but slowly. */
const PYTHON = outputOf("python3", "-c", "import sys; print(sys.executable)");
const DENO = outputOf(Deno.execPath(), "--version");

type Test = (name: string, fn: () => Promise<void>) => void;
const test: Test = PYTHON || DENO ? concurrentTests("startDrill() with a candidate", 3) : () => {};
const ignored = (what: string): Test => (name) =>
  Deno.test.ignore(`${name} (needs ${what})`, () => {});
const python = PYTHON ? test : ignored("python3");
const deno = DENO ? test : ignored("deno");

const FOLDER = `${import.meta.dirname}/../testing/candidates`;
const WAITS = { delay: 50, patience: 10_000 };

function drillOf(candidate: string | string[], rounds?: string[], options: DrillOptions = {}) {
  return startDrill({ port: 0, candidate, rounds, ...WAITS, ...options });
}

/** Runs a drill of a file, and returns what its rounds have come to. */
async function play(file: string, rounds: string[], options: DrillOptions = {}) {
  await using drill = drillOf(`${FOLDER}/${file}`, rounds, options);
  return (await drill.finished).map(told);
}

function told({ function: fn, name, cause }: DrillResult): string {
  return `${fn} ${name}: ${cause?.rationale ?? "passed"}`;
}

// ---- Modules

deno("startDrill() passes a correct module in all 41 rounds", async () => {
  await using drill = drillOf(`${FOLDER}/right.mjs`);
  const results = await drill.finished;
  assertEquals(results.filter(({ passed }) => !passed).map(told), []);
  assertEquals(results.length, 41);
  assertMatch(results[0].returned!, /^"[\da-f]{10,}/);
  assertEquals(results[0].raised, null);
  const last = results.at(-1)!;
  assertEquals([last.function, last.name, last.returned], ["do_put", "silent", null]);
  assertMatch(last.raised!, /^KeyClientError: .*timed out/);
});

deno(
  "startDrill() with a module shows its rounds on the page, and is not held up by it",
  async () => {
    await using drill = drillOf(`${FOLDER}/flawed.ts`, ["sound", "status-404"], { page: true });
    using page = new Page(drill);
    await until(() => page.rounds?.some(({ state }) => state === "running") === true);
    for (let n = 0; n < 5; n++) await browse(drill, "/user/Ada/");
    const begin = performance.now();
    const results = await drill.finished;
    assert(performance.now() - begin < 20_000); // each round would wait a second for the page
    await until(() => page.isClosed);
    assertEquals(page.messages[0].hello!.isDrill, true);
    assertEquals(page.users, []);
    const label = ({ function: fn, name }: DrillResult) => `${fn} ${name}`;
    assertEquals(page.rounds!.map(({ label }) => label), results.map(label));
    const passed = page.rounds!.map(({ state }) => state === "passed");
    assertEquals(passed, results.map(({ passed }) => passed)); // also of the last round
    assertEquals(results.some(({ events }) => events.some(({ isBrowser }) => isBrowser)), false);
  },
);

deno(
  "startDrill() judges a module that sends nothing, also while a browser loads the page",
  async () => {
    const onEvent = (event: KeyServerEvent) => {
      if (event.type === "connected" && event.connection === 1) browse(drill);
    };
    await using drill = drillOf(`${FOLDER}/silent.mjs`, ["sound:KEY"], { page: true, onEvent });
    const [{ cause }] = await drill.finished;
    assertEquals(cause?.rationale, "do_key() sent no KEY request: no bytes received");
  },
);

python("startDrill() passes a correct module in Python", async () => {
  const rounds = ["sound", "reset", "truncate", "silent:KEY"];
  const passed = rounds.slice(0, -1).flatMap((name) => [
    `do_key ${name}: passed`,
    `do_put ${name}: passed`,
  ]);
  const all = [...passed, "do_key silent: passed", "do_put wrong-key: passed"];
  assertEquals(await play("right.py", [...rounds, "wrong-key"]), all);
});

deno("startDrill() judges a module in TypeScript", async () => {
  assertEquals(await play("flawed.ts", ["sound", "status-404:KEY"]), [
    "do_key sound: passed",
    "do_put sound: flawed.ts has no function doPut; class Client has a method of this name",
    "do_key status-404: doKey() returned undefined, must return null",
  ]);
});

python("startDrill() passes a module that holds the conversation when it is imported", async () => {
  const rounds = ["sound", "reset"];
  const passed = rounds.flatMap((name) => [`do_key ${name}: passed`, `do_put ${name}: passed`]);
  await using drill = drillOf(`${FOLDER}/whole_conversation.py`, rounds);
  const results = await drill.finished;
  assertEquals(results.map(told), passed);
  assertMatch(results[0].output!, /key: b'[\da-f]{128}'/);
  assertMatch(results[0].output!, /message: Success/);
  const [{ events }] = results; // only those of the call
  assertEquals(events.filter(({ type }) => type === "request").length, 2);
});

/** Modules with a flaw, and what is said about them. */
const FLAWED: [file: string, rounds: string[], told: (string | RegExp)[]][] = [
  ["returns_str.py", ["sound:KEY", "status-400:KEY"], [
    "do_key sound: do_key() returned str, must return bytes",
    "do_key status-400: do_key() returned '', must return None",
  ]],
  ["raises.py", ["sound:KEY", "reset:KEY", "status-500:KEY"], [
    "do_key sound: passed",
    /^do_key reset: do_key\(\) raised ConnectionResetError in line \d+ of right\.py, must return None: while piece := sock\.recv/,
    /^do_key status-500: do_key\(\) returned b'0123456789abcdef.*, must return None$/,
  ]],
  ["prints.py", ["sound"], [
    "do_key sound: do_key() printed the key and returned None",
    "do_put sound: do_put() printed the message and returned None",
  ]],
  ["returns_bytes.py", ["sound:PUT", "wrong-key"], [
    "do_put sound: do_put() returned bytes, must return str",
    "do_put wrong-key: do_put() returned bytes, must return str",
  ]],
  ["never_reads.py", ["sound:PUT", "drip:PUT"], [
    "do_put sound: do_put() returned 'OK' and did not read the response",
    "do_put drip: do_put() returned 'OK' and did not read the response",
  ]],
  ["coroutines.py", ["sound"], [
    "do_key sound: do_key() returned a coroutine, must return bytes",
    "do_put sound: do_put() returned a coroutine, must return str",
  ]],
  ["methods.py", ["sound"], [
    "do_key sound: methods.py has no function do_key; class Client has a method of this name",
    "do_put sound: do_put() takes 2 parameters, must take 1",
  ]],
  ["exits.py", ["sound"], [
    "do_key sound: do_key() ended the process (exit status 3)",
    /^do_put sound: do_put\(\) raised SystemExit in line \d+, must return the message: sys\.exit/,
  ]],
  ["half.py", ["sound:PUT", "truncate:PUT"], [
    "do_put sound: passed",
    "do_put truncate: do_put() returned 'Success: the', half of the message",
  ]],
];

for (const [file, rounds, expected] of FLAWED) {
  python(`startDrill() says what is wrong with ${file}`, async () => {
    const results = await play(file, rounds);
    assertEquals(results.length, expected.length);
    for (const [at, result] of results.entries()) {
      const words = expected[at];
      if (typeof words === "string") assertEquals(result, words);
      else assertMatch(result, words);
    }
  });
}

/** Modules that cannot be judged, and why. */
const UNFIT: [file: string, message: string][] = [
  ["nowhere.py", "Cannot import nowhere.py: no such file"],
  ["syntax_error.py", "Cannot import syntax_error.py: SyntaxError"],
  ["exits_at_import.py", "Cannot import exits_at_import.py: it ends the program"],
  ["never_imports.py", "Cannot import never_imports.py: the import has not ended after 1 s"],
];

python("startDrill() rejects if there is nothing to judge", async () => {
  for (const [file, message] of UNFIT) {
    const patience = file === "never_imports.py" ? 1_000 : 10_000;
    const drill = drillOf(`${FOLDER}/${file}`, ["sound"], { patience });
    await assertRejects(() => drill.finished, CandidateError, message);
  }
});

deno("startDrill() rejects if a script cannot be imported", async () => {
  const drill = drillOf(`${FOLDER}/nowhere.ts`, ["sound"]);
  await assertRejects(
    () => drill.finished,
    CandidateError,
    "Cannot import nowhere.ts: no such file",
  );
});

python(
  "startDrill() and stop() end a function that hangs, with its children",
  async () => {
    const rounds = ["sound", "drip:KEY", "reset:PUT"];
    const results = await play("hangs.py", rounds, { patience: 4_000 });
    assertEquals(results, [
      "do_key sound: do_key() has not ended after 4 s, and sent no request",
      "do_put sound: do_put() has not ended after 4 s, and sent no request",
      "do_key drip: not tried: do_key() did not end in the round `sound`",
      "do_put reset: not tried: do_put() did not end in the round `sound`",
    ]);
    assertEquals(await countProcesses("sleep 600"), 0);

    await using drill = drillOf(`${FOLDER}/hangs.py`, ["drip"]);
    while (await countProcesses("sleep 600") === 0) await delay(10);
    assertEquals(await drill.stop(), []);
    assertEquals(await countProcesses("sleep 600"), 0);
  },
);

/** How many processes with these arguments there are. */
async function countProcesses(args: string): Promise<number> {
  const { stdout } = await new Deno.Command("ps", { args: ["-eo", "args"] }).output();
  return new TextDecoder().decode(stdout).split("\n").filter((line) => line === args).length;
}

// ---- Programs

/** Flaws of program.py, and what is said about them. */
const PROGRAMS: [flaw: string, rounds: string[], told: (string | RegExp)[]][] = [
  ["none", ["sound", "status-404"], [
    "null sound: passed",
    "do_key status-404: passed",
    "do_put status-404: passed",
  ]],
  ["reads", ["sound"], ["null sound: passed"]],
  ["verbose", ["sound"], ["null sound: passed"]],
  ["silent", ["sound", "status-404:PUT"], [
    'null sound: the program did not print "Success: the key is right"',
    /^do_put status-404: the program did not print "No key here/,
  ]],
  ["always", ["sound", "empty:KEY"], [
    "null sound: passed",
    /^do_key empty: there was no key, but the program sent PUT \/key\/Ada\/None\/ HTTP\/1\.1$/,
  ]],
  ["crashes", ["sound", "reset:KEY"], [
    "null sound: passed",
    "do_key reset: the program crashed with SIGSEGV",
  ]],
  ["raises", ["sound", "garbage:KEY"], [
    "null sound: passed",
    /^do_key garbage: the program crashed in line \d+ of right\.py: ValueError: this is not an HTTP response$/,
  ]],
  ["forks", ["sound"], [
    /^null sound: the program sent no KEY request.*; the program ended before a process that it had started$/,
  ]],
  ["hangs", ["sound", "reset"], [
    "null sound: the program has not ended after 2 s, and sent no request",
    "do_key reset: not tried: the program did not end in the round `sound`",
    "do_put reset: not tried: the program did not end in the round `sound`",
  ]],
];

for (const [flaw, rounds, expected] of PROGRAMS) {
  python(`startDrill() judges a program: ${flaw}`, async () => {
    const words = [PYTHON!, `${FOLDER}/program.py`, "{port}", flaw];
    const patience = flaw === "hangs" ? 1_500 : 10_000;
    await using drill = drillOf(words, rounds, { patience });
    const results = (await drill.finished).map(told);
    if (flaw === "hangs") assertEquals(await countProcesses("sleep 601"), 0);
    assertEquals(results.length, expected.length, results.join("\n"));
    for (const [at, result] of results.entries()) {
      if (typeof expected[at] === "string") assertEquals(result, expected[at]);
      else assertMatch(result, expected[at]);
    }
  });
}

python("startDrill() rejects if a program cannot be run", async () => {
  for (
    const [words, message] of [
      [["./no-such-program"], "Cannot run ./no-such-program: no such program"],
      [
        [`${FOLDER}/right.py`],
        `Cannot run ${FOLDER}/right.py: it is not an executable file; to judge`,
      ],
      [
        ["right.py"],
        "Cannot run right.py: no such program; to judge its two functions, write --drill",
      ],
    ] as const
  ) {
    const drill = drillOf([...words], ["sound"]);
    await assertRejects(() => drill.finished, CandidateError, message);
  }
});

// ---- Without permission

const isAllowed =
  Deno.permissions.querySync({ name: "run", command: "python3" }).state === "granted";

Deno.test(
  "startDrill() names the flag that running a candidate needs",
  { ignore: isAllowed },
  async () => {
    for (const candidate of ["client.py", "client.ts", ["./client"]]) {
      const drill = drillOf(candidate, ["sound"]);
      await assertRejects(() => drill.finished, CandidateError, "add --allow-run before main.ts");
    }
  },
);

Deno.test("startDrill() refuses a candidate that it cannot judge", () => {
  for (const candidate of ["client", "client.rb"]) {
    assertThrows(
      () => drillOf(candidate),
      TypeError,
      "candidate must be a .py, .ts, .js or .mjs file",
    );
  }
  assertThrows(() => drillOf([]), RangeError, "candidate must not be empty");
  assertThrows(() => drillOf("client.py", []), RangeError, "rounds must not be empty");
  for (const patience of [0, NaN, Infinity]) {
    assertThrows(
      () => drillOf("client.py", ["sound"], { patience }),
      RangeError,
      "patience must be",
    );
  }
  assertThrows(() => drillOf("client.py", ["nope"]), TypeError, 'Cannot use round "nope"');
});

Deno.test("stop() ends a drill that has not begun", async () => {
  const signal = AbortSignal.abort();
  const drill = drillOf("client.py", ["sound"], { signal });
  assertEquals(await drill.finished, []);
  assert(drill.addr.port > 0);
});
