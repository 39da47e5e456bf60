/**
 * What explains the program: `--help` and `--fault list`.
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };
import { FLAGS } from "./flags.ts";
import { jsonLine } from "./output.ts";

export async function formatHelp(): Promise<string> {
  const rows = Object.entries(FLAGS).map(([name, flag]) => {
    const { letter, value, help, default: fallback } = flag;
    const names = `${letter ? `-${letter},` : "   "} --${name}${value ? ` ${value}` : ""}`;
    const about = [help ?? [], fallback ? `[${fallback}]` : []].flat().join(" ");
    return about ? `  ${names.padEnd(30)}${about}\n` : `  ${names}  `;
  });
  return `key_client ${config.version}: a client for the key server exercise
1. CLIENT ──▶ SERVER   KEY /user/<user_id>/
2. CLIENT ◀── SERVER   a key of 128 hex digits
3. CLIENT ──▶ SERVER   PUT /key/<user_id>/<key_val>/
4. CLIENT ◀── SERVER   a message
Usage: key_client [OPTIONS]     all four stages: prints key and message
${rows.join("").trimEnd()}
Faults: ${await faultNames()}
Exit status: 0 done, 1 no usable answer, 2 usage, 3 answer not 2xx, 4 4xx, 5 5xx
`;
}

/** The names of all faults, in lines that fit into the help. */
async function faultNames(): Promise<string> {
  const { FAULTS } = await import("../practice/server.ts");
  const names = Object.keys(FAULTS).join(", ");
  return names.replace(/(.{1,71})(?:, |$)/g, "$1,\n        ").trimEnd().slice(0, -1);
}

export async function formatFaults(isJson: boolean): Promise<string> {
  const { FAULTS } = await import("../practice/server.ts");
  const faults = Object.entries(FAULTS);
  if (isJson) return faults.map(([name, fault]) => jsonLine({ name, ...fault })).join("");
  const list = (isWanted: boolean) =>
    faults.filter(([, { isBroken }]) => isBroken === isWanted)
      .map(([name, { description }]) => `  ${name.padEnd(11)} ${description}\n`).join("");
  return `delivered oddly: a good client is not disturbed\n${list(false)}` +
    `broken: a good client gives no key, and sends no PUT\n${list(true)}`;
}
