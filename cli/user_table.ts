/**
 * Formats the table of users, for the teacher.
 *
 * @module
 */

import { cut, escapeControls } from "../practice/text.ts";
import type { UserRow } from "../practice/user_table.ts";

const MAX_SHOWN_USERS = 200;

/** Formats the last rows as a table. */
export function formatUsers(all: readonly UserRow[]): string {
  if (all.length === 0) return "\nkey_client: no requests\n";
  const rows = all.slice(-MAX_SHOWN_USERS);
  const head = ["user", "address", "asked", "verified", "errors", "last remark"];
  const table = [head, ...rows.map(cells)];
  const widths = head.map((_, at) => Math.max(...table.map((row) => row[at].length)));
  const lines = table.map((row) =>
    row.map((cell, at) => at > 1 && at < 5 ? cell.padStart(widths[at]) : cell.padEnd(widths[at]))
      .join("  ").trimEnd()
  );
  const more = all.length - rows.length;
  if (more > 0) lines.push(`(and ${more} more users)`);
  return `\n${lines.join("\n")}\n`;
}

function cells({ user, address, asked, verified, errors, remark }: UserRow): string[] {
  const name = user === null ? "(unknown)" : user === "" ? "(empty)" : escapeControls(user);
  return [cut(name, 24), address, `${asked}`, `${verified}`, `${errors}`, remark ?? ""];
}
