/**
 * Counts the users of the practice server, for the teacher.
 *
 * @module
 */

import type { Remark } from "../practice/check.ts";
import type { KeyServerEvent } from "../practice/server.ts";
import { cut, escapeControls } from "../practice/text.ts";

const MAX_USERS = 10_000; // in memory
const MAX_SHOWN_USERS = 200;

interface UserRow {
  /** `null` if the request does not name a user. */
  user: string | null;
  address: string;
  asked: number;
  verified: number;
  errors: number;
  /** The fact of the last remark. */
  remark: string | null;
}

/** Counts what each user did. */
export class UserTable {
  readonly #rows = new Map<string, UserRow>();
  readonly #remarks = new Map<number, Remark>(); // by connection: the first one without a response
  readonly #users = new Map<number, string | null>(); // by connection: the last one

  add(event: KeyServerEvent): void {
    const { connection, peer } = event;
    if (event.type === "remark" && event.remark.severity === "note") {
      if (event.remark.end > 0) return; // about the request, which is correct
      // If the user has not verified a key, the note may say why.
      const row = this.#row(this.#users.get(connection) ?? null, peer.hostname);
      if (row.verified === 0) row.remark ??= event.remark.fact;
    } else if (event.type === "remark") {
      if (!this.#remarks.has(connection)) this.#remarks.set(connection, event.remark);
    } else if (event.type === "request") {
      this.#remarks.delete(connection); // sent while this request was incomplete
      this.#users.set(connection, event.userId ?? null);
    } else if (event.type === "answer" && event.status !== 100) {
      const row = this.#row(event.userId ?? null, peer.hostname);
      if (event.error) row.errors++;
      else if (event.method === "KEY") row.asked++;
      else row.verified++;
      row.remark = event.error?.fact ?? this.#remarks.get(connection)?.fact ?? row.remark;
      this.#remarks.delete(connection);
    } else if (event.type === "closed") {
      const remark = this.#remarks.get(connection);
      if (remark !== undefined) {
        const isError = remark.severity === "error"; // about a request without a response
        const user = isError ? null : this.#users.get(connection) ?? null;
        const row = this.#row(user, peer.hostname);
        if (isError) row.errors++;
        row.remark = remark.fact;
      }
      this.#remarks.delete(connection);
      this.#users.delete(connection);
    }
  }

  /** Returns all rows. The last row is the user of the last event. */
  rows(): UserRow[] {
    return [...this.#rows.values()];
  }

  /** Formats the last rows as a table. */
  format(): string {
    const rows = this.rows().slice(-MAX_SHOWN_USERS);
    if (rows.length === 0) return "\nkey_client: no requests\n";
    const head = ["user", "address", "asked", "verified", "errors", "last remark"];
    const table = [head, ...rows.map(cells)];
    const widths = head.map((_, at) => Math.max(...table.map((row) => row[at].length)));
    const lines = table.map((row) =>
      row.map((cell, at) => at > 1 && at < 5 ? cell.padStart(widths[at]) : cell.padEnd(widths[at]))
        .join("  ").trimEnd()
    );
    const more = this.#rows.size - rows.length;
    if (more > 0) lines.push(`(and ${more} more users)`);
    return `\n${lines.join("\n")}\n`;
  }

  #row(user: string | null, address: string): UserRow {
    const name = JSON.stringify([user, address]);
    const row = this.#rows.get(name) ??
      { user, address, asked: 0, verified: 0, errors: 0, remark: null };
    this.#rows.delete(name); // to move it to the end
    this.#rows.set(name, row);
    if (this.#rows.size > MAX_USERS) this.#rows.delete(this.#rows.keys().next().value!);
    return row;
  }
}

function cells({ user, address, asked, verified, errors, remark }: UserRow): string[] {
  const name = user === null ? "(unknown)" : user === "" ? "(empty)" : escapeControls(user);
  return [cut(name, 24), address, `${asked}`, `${verified}`, `${errors}`, remark ?? ""];
}
