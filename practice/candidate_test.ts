import { assertEquals } from "@std/assert";
import { importFailure } from "./candidate.ts";
import { driverOf, type ImportReport } from "./driver.ts";
import { lastError } from "./text.ts";

const FOUND = { name: "do_key" };
const NONE = { name: null };
const MAIN = 'if __name__ == "__main__":';

/** What a driver has told, and why there is nothing to judge. */
const FAILURES: [report: ImportReport | undefined, failure: string | undefined][] = [
  [{ functions: { do_key: FOUND, do_put: NONE } }, undefined],
  [{ functions: { do_key: NONE, do_put: { name: null, owner: "Client" } } }, undefined],
  [{ functions: { do_key: { name: null, similar: "Do_Key" }, do_put: NONE } }, undefined],
  [
    { functions: { do_key: NONE, do_put: NONE } },
    "Cannot judge client.py: it has neither a function do_key nor a function do_put",
  ],
  [{ problem: "missing" }, "Cannot import client.py: no such file"],
  [{ problem: "folder" }, "Cannot import client.py: it is a folder; name the file in it"],
  [
    { problem: "raised", raised: { type: "ValueError", message: "no \x1b[1m" } },
    "Cannot import client.py: ValueError: no \\u{1b}[1m",
  ],
  [
    {
      problem: "raised",
      raised: {
        ...{ type: "SyntaxError", message: "'(' was never closed" },
        ...{ file: "helper.py", line: 1, source: "x = (" },
      },
    },
    "Cannot import client.py: SyntaxError in line 1 of helper.py: '(' was never closed (x = ()",
  ],
  [
    {
      problem: "raised",
      raised: {
        ...{ type: "EOFError", message: "EOF when reading a line" },
        ...{ file: "client.py", line: 3, source: "key = input()" },
      },
    },
    "Cannot import client.py: EOFError in line 3: EOF when reading a line; remove `input()`: nobody types an answer when it is imported",
  ],
  [
    { problem: "raised", raised: { type: "SystemExit", message: "1" } },
    `Cannot import client.py: it ends the program when it is imported; remove \`exit()\`, or put it under \`${MAIN}\``,
  ],
  [
    undefined,
    `Cannot import client.py: the import has not ended after 30 s; put what runs there under \`${MAIN}\``,
  ],
];

for (const [report, failure] of FAILURES) {
  Deno.test(`importFailure() says ${failure ?? `nothing of ${JSON.stringify(report)}`}`, () => {
    assertEquals(importFailure("client.py", { report }, 30, ""), failure);
  });
}

Deno.test("importFailure() names the last error of a process that ended", () => {
  const ended = (output: string) =>
    importFailure("client.py", { end: "exit status 1" }, 30, output);
  const start = "Cannot import client.py: it ends the process (exit status 1)";
  assertEquals(ended("hello\n"), `${start}; remove calls that end the program`);
  assertEquals(ended("a\nValueError: no\n"), `${start}: ValueError: no`);
});

Deno.test("lastError() finds the error that ended a program", () => {
  const rows: [output: string, error: string | undefined][] = [
    ["", undefined],
    ["done\n", undefined],
    ["Traceback (most recent call last):\n  File ...\nKeyError: 'x'\n", "KeyError: 'x'"],
    ["http.client.RemoteDisconnected: closed\n", undefined],
    ["json.decoder.JSONDecodeError: no\n", "json.decoder.JSONDecodeError: no"],
    [
      "\x1b[31merror\x1b[0m: Uncaught (in promise) Error: no\n    at file:///a.ts:1:2\n",
      "error: Uncaught (in promise) Error: no",
    ],
    [`ValueError: ${"x".repeat(200)}`, `ValueError: ${"x".repeat(85)}...`],
  ];
  for (const [output, error] of rows) assertEquals(lastError(output), error, output);
});

Deno.test("driverOf() knows the endings of Python, JavaScript and TypeScript", () => {
  for (const file of ["a.py", "A.PY", "b c.py"]) {
    assertEquals(driverOf(file)!.args.slice(0, 2), ["-B", "-c"]);
  }
  for (const file of ["a.ts", "a.js", "a.mjs"]) assertEquals(driverOf(file)!.args[0], "run");
  for (const file of ["a", "a.rb", "py", "a.py/"]) assertEquals(driverOf(file), undefined);
});
