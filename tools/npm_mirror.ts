/**
 * Prints the flags that Deno needs to load the given files: none, or the flags to load the same
 * modules from npm. Without this tool, Deno waits for minutes if a firewall drops its packets.
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

/** Runs Deno. Returns why it failed, or `undefined` if it did not. */
async function failure(args: string[], patience: number): Promise<string | undefined> {
  const deadline = AbortSignal.timeout(1000 * patience);
  const options = { args, env: { NO_COLOR: "1" }, signal: deadline };
  const { success, stderr } = await new Deno.Command(Deno.execPath(), options).output();
  if (success) return undefined;
  if (deadline.aborted) return `took longer than ${patience} s`;
  const text = new TextDecoder().decode(stderr);
  const [message] = text.split("Stack backtrace");
  const [, cause] = /^\s*\d+: (?:.*\): )?(.*)/m.exec(message) ?? []; // such as a certificate
  const about = cause ? ` (${cause})` : "";
  if (/failed to load|failed loading/i.test(text)) return `cannot be reached${about}`;
  return `failed (${text.replace(/\n[^]*/, "")})`;
}

function use(message: string, flags: string[]): never {
  console.error(message);
  console.log(flags.join(" "));
  Deno.exit();
}

for (const { name, flags, patience } of SOURCES) { // first without the network
  const args = ["test", "--no-run", "--no-check", "--cached-only", ...flags, ...Deno.args];
  if (await failure(args, patience) === undefined) {
    use(`Modules from Deno's cache (first loaded from ${name})`, flags);
  }
}
let reason = "";
for (const { name, flags, patience } of SOURCES) {
  if (reason) console.error(`${reason}, trying ${name}`);
  const why = await failure(["cache", "--quiet", ...flags, ...Deno.args], patience);
  if (why === undefined) use(`Modules from ${name}`, flags);
  reason = `${name} ${why}`;
}
use(`${reason}: see docs/offline.md`, ["--cached-only"]);
