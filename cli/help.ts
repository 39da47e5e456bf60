/**
 * What `--help` prints.
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };
import { FAULTS } from "../practice/faults.ts";
import { FLAGS } from "./flags.ts";

export function formatHelp(): string {
  const rows = Object.entries(FLAGS).map(([name, flag]) => {
    const { letter, value, help, default: fallback } = flag;
    const names = `${letter ? `-${letter},` : "   "} --${name}${value ? ` ${value}` : ""}`;
    const about = [help ?? [], fallback ? `[${fallback}]` : []].flat().join(" ");
    return about ? `  ${names.padEnd(30)}${about}\n` : `  ${names}  `;
  });
  const faults = Object.keys(FAULTS).join(", ");
  const lines = faults.replace(/(.{1,71})(?:, |$)/g, "$1,\n        ").trimEnd().slice(0, -1);
  return `key_client ${config.version}: a client for the key server exercise
1. CLIENT ──▶ SERVER   KEY /user/<user_id>/
2. CLIENT ◀── SERVER   a key of 128 hex digits
3. CLIENT ──▶ SERVER   PUT /key/<user_id>/<key_val>/
4. CLIENT ◀── SERVER   a message
Usage: key_client [OPTIONS]     all four stages: prints key and message
${rows.join("").trimEnd()}
Faults: ${lines}
Exit status: 0 done, 1 no usable answer, 2 usage, 3 answer not 2xx, 4 4xx, 5 5xx
`;
}
