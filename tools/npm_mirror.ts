/**
 * Prints the flags with which Deno can load the files that are its arguments: none, or those for
 * the same modules from npm. Deno itself waits for minutes where a firewall drops its packets.
 *
 * ```sh
 * deno run --allow-run tools/npm_mirror.ts main.ts
 * ```
 *
 * @module
 */

const SOURCES = [
  { name: "JSR", flags: [], patience: 5 }, // seconds
  { name: "npm", flags: ["--no-lock", "--import-map=tools/npm_mirror.json"], patience: 20 },
];

/** Gives why Deno did not do it, or `undefined` if it did. */
async function failure(args: string[], patience: number): Promise<string | undefined> {
  const deadline = AbortSignal.timeout(1000 * patience);
  const options = { args, env: { NO_COLOR: "1" }, signal: deadline };
  const { success, stderr } = await new Deno.Command(Deno.execPath(), options).output();
  if (success) return undefined;
  if (deadline.aborted) return `was not done within ${patience} s`;
  const text = new TextDecoder().decode(stderr);
  if (/failed to load|failed loading/i.test(text)) return "cannot be reached";
  return `gave none (${text.replace(/\n[^]*/, "")})`;
}

function use(message: string, flags: string[]): never {
  console.error(message);
  console.log(flags.join(" "));
  Deno.exit();
}

for (const { name, flags, patience } of SOURCES) { // without asking a network
  const args = ["test", "--no-run", "--no-check", "--cached-only", ...flags, ...Deno.args];
  if (await failure(args, patience) === undefined) {
    use(`Modules from Deno's cache, where they came from ${name}`, flags);
  }
}
let reason = "";
for (const { name, flags, patience } of SOURCES) {
  if (reason) console.error(`${reason}, asking ${name}`);
  const why = await failure(["cache", "--quiet", ...flags, ...Deno.args], patience);
  if (why === undefined) use(`Modules from ${name}`, flags);
  reason = `${name} ${why}`;
}
use(`${reason}: see "Isolated networks" in README.md`, ["--cached-only"]);
