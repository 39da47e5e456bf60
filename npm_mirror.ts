/**
 * Prints the flags with which Deno can load the files that are its arguments: none, or those for
 * the same modules from npm. Deno itself waits for minutes where a firewall drops its packets.
 *
 * ```sh
 * deno run --allow-run npm_mirror.ts main.ts
 * ```
 *
 * @module
 */

const SOURCES = [
  { name: "JSR", flags: [], patience: 5 }, // seconds
  { name: "npm", flags: ["--no-lock", "--import-map=npm_mirror.json"], patience: 20 },
];

const failures: string[] = [];
for (const { name, flags, patience } of SOURCES) {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["cache", "--quiet", ...flags, ...Deno.args], // asks no network for what is in the cache
    env: { NO_COLOR: "1" },
    signal: AbortSignal.timeout(1000 * patience),
  });
  const { success, signal, stderr } = await command.output();
  if (success) {
    const reason = failures.length > 0 ? `, as ${failures.join(", ")}` : "";
    console.error(`Modules from ${name} or Deno's cache${reason}`);
    console.log(flags.join(" "));
    Deno.exit();
  }
  const text = new TextDecoder().decode(stderr);
  const reason = signal
    ? `does not answer within ${patience} s`
    : /failed to load|failed loading/i.test(text)
    ? "cannot be reached"
    : `gives none (${text.replace(/\n[^]*/, "")})`;
  failures.push(`${name} ${reason}`);
}
console.error(`No modules, as ${failures.join(", ")}: see "Isolated networks" in README.md`);
console.log("--cached-only");
