import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import config from "../deno.json" with { type: "json" };
import { FAULTS } from "../practice/server.ts";
import { FLAGS } from "./flags.ts";
import { NAMES, run } from "../testing/command.ts";

Deno.test("main() --help fits a terminal and shows the defaults; --version prints the version", async () => {
  for (const flag of ["--help", "-h"]) {
    const { exit, stdout, stderr } = await run([flag]);
    assertEquals({ exit, stderr }, { exit: 0, stderr: "" });
    const lines = stdout.split("\n");
    assert(lines.length <= 50, `${lines.length} lines`);
    for (const line of lines) assert(line.length < 80, line);
    for (const value of ["127.0.0.1", "5000", "User1", "10"]) {
      assertStringIncludes(stdout, `[default: ${value}]`);
    }
    for (const name of Object.keys(FLAGS)) assertStringIncludes(stdout, `--${name}`);
  }
  for (const flag of ["--version", "-V"]) {
    const version = { exit: 0, stdout: `key_client ${config.version}\n`, stderr: "" };
    assertEquals(await run([flag]), version);
  }
});

Deno.test("main() --help and --version ignore other flags", async () => {
  const help = await run(["--help"]);
  const contradictions = [["--key", "--put", "x"], ["--fault", "drip"], ["--demo", "--serve"]];
  for (const args of [...contradictions, ["--port", "x"]]) {
    assertEquals(await run([...args, "-h"]), help);
    assertEquals((await run(["-V", ...args])).stdout, `key_client ${config.version}\n`);
  }
  for (const args of [["-hpx"], ["-h", "--host", "a:1"], ["-ht", "x"], ["-h", "--fault", "x"]]) {
    assertEquals(await run(args), help);
  }
  assertEquals(await run(["-Vh"]), help);
});

Deno.test("main() --fault list explains each fault", async () => {
  for (const args of [["--fault", "list"], ["--fault=list", "--serve"]]) {
    const { exit, stdout, stderr } = await run(args);
    assertEquals({ exit, stderr }, { exit: 0, stderr: "" });
    const lines = stdout.trimEnd().split("\n");
    assertEquals(lines.length, 23);
    assertEquals(lines[0], "delivered oddly: a good client is not disturbed");
    assertEquals(lines[9], "broken: a good client gives up, and returns no key");
    const rows = [...lines.slice(1, 9), ...lines.slice(10, 22)];
    assertEquals(
      rows,
      NAMES.map((name) => `  ${name.padEnd(11)} ${FAULTS[name].description}`),
    );
  }
  const { stdout } = await run(["--fault", "list", "--json"]);
  const objects = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assertEquals(objects.map(({ name }) => name), NAMES);
  assertEquals(objects[1].description, FAULTS["drip"].description);
});
