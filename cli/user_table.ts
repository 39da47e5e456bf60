/**
 * What became of each user of the practice server.
 *
 * @module
 */

import { factOf, type Remark } from "../practice/rules.ts";
import type { KeyServerEvent } from "../practice/server.ts";
import { cut, escapeControls } from "./output.ts";

const MAX_USERS = 10_000; // that the server's table knows
const MAX_SHOWN_USERS = 200;

interface UserRow {
  /** `null` for requests that name nobody. */
  user: string | null;
  address: string;
  asked: number;
  verified: number;
  errors: number;
  remark: string | null;
}

/** What became of each user, for who runs the exercise. */
export class UserTable {
  #rows = new Map<string, UserRow>();
  #remarks = new Map<number, Remark>(); // of connections: the first one that is not yet answered
  #users = new Map<number, string | null>(); // of connections: the last one

  add(event: KeyServerEvent): void {
    const { connection, peer } = event;
    if (event.type === "remark" && event.remark.severity === "note") {
      // Of one who has not come through it tells why.
      const row = this.#row(this.#users.get(connection) ?? null, peer.hostname);
      if (row.verified === 0) row.remark ??= event.remark.message;
    } else if (event.type === "remark") {
      if (!this.#remarks.has(connection)) this.#remarks.set(connection, event.remark);
    } else if (event.type === "request") {
      this.#remarks.delete(connection); // it was unfinished when that was said
      this.#users.set(connection, event.userId ?? null);
    } else if (event.type === "answer" && event.status !== 100) {
      const row = this.#row(event.userId ?? null, peer.hostname);
      if (event.error) row.errors++;
      else if (event.method === "KEY") row.asked++;
      else row.verified++;
      row.remark = event.error?.message ?? this.#remarks.get(connection)?.message ?? row.remark;
      this.#remarks.delete(connection);
    } else if (event.type === "closed") {
      const remark = this.#remarks.get(connection);
      if (remark !== undefined) {
        const isError = remark.severity === "error"; // of a request that was never answered
        const user = isError ? null : this.#users.get(connection) ?? null;
        const row = this.#row(user, peer.hostname);
        if (isError) row.errors++;
        row.remark = remark.message;
      }
      this.#remarks.delete(connection);
      this.#users.delete(connection);
    }
  }

  rows(): UserRow[] {
    return [...this.#rows.values()];
  }

  format(): string {
    const head = ["user", "address", "asked", "verified", "errors", "last remark"];
    const rows = this.rows().slice(-MAX_SHOWN_USERS).map((row) => [
      cut(
        row.user === null
          ? "(unknown)"
          : row.user === ""
          ? "(empty)"
          : escapeControls(row.user.replace(/[\t\r\n]/g, "?")),
        24,
      ),
      row.address,
      ...[row.asked, row.verified, row.errors].map(String),
      cut(row.remark === null ? "" : factOf({ message: row.remark }), 60),
    ]);
    if (rows.length === 0) return "\nkey_client: nobody came\n";
    const widths = head.map((name, at) =>
      Math.max(name.length, ...rows.map((row) => row[at].length))
    );
    const lines = [head, ...rows].map((row) =>
      row.map((cell, at) => at > 1 && at < 5 ? cell.padStart(widths[at]) : cell.padEnd(widths[at]))
        .join("  ").trimEnd()
    );
    const more = this.#rows.size - rows.length;
    if (more > 0) lines.push(`(and ${more} users more)`);
    return `\n${lines.join("\n")}\n`;
  }

  #row(user: string | null, address: string): UserRow {
    const name = JSON.stringify([user, address]);
    const row = this.#rows.get(name) ??
      { user, address, asked: 0, verified: 0, errors: 0, remark: null };
    this.#rows.delete(name); // who came last is last
    this.#rows.set(name, row);
    if (this.#rows.size > MAX_USERS) this.#rows.delete(this.#rows.keys().next().value!);
    return row;
  }
}
