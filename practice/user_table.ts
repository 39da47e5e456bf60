/**
 * Counts what each user of the practice server did.
 *
 * @module
 */

import type { ClosedEvent, ConnectionEvent, KeyServerEvent, RemarkEvent } from "./events.ts";
import type { Remark } from "./remark.ts";
import { cut } from "./text.ts";

const MAX_USERS = 10_000; // in memory
const MAX_NAME = 256; // characters; only refused requests have longer user ids

/** What a user did, at one IP address. */
export interface UserRow {
  /** `null` if the request does not name a user. */
  user: string | null;
  address: string;
  /** How many keys were issued. */
  asked: number;
  /** How many correct keys came back. */
  verified: number;
  errors: number;
  /** The fact of the last remark. */
  remark: string | null;
  /** When the row changed: milliseconds, like `Date.now()`. */
  time: number;
}

/** Counts what each user did. */
export class UserTable {
  readonly #rows = new Map<string, UserRow>();
  readonly #remarks = new Map<number, Remark>(); // by connection: the first one without a response
  readonly #users = new Map<number, string | null>(); // by connection: the last one

  /** Adds an event. Returns the row that it has changed, if any. */
  add(event: KeyServerEvent): UserRow | undefined {
    const { connection } = event;
    if (event.isBrowser) this.#forget(connection);
    else if (event.type === "remark") return this.#addRemark(event);
    else if (event.type === "request") {
      this.#remarks.delete(connection); // sent while this request was incomplete
      this.#users.set(connection, event.userId ?? null);
    } else if (event.type === "answer" && event.status !== 100) {
      const row = this.#row(event.userId ?? null, event);
      if (event.error) row.errors++;
      else if (event.method === "KEY") row.asked++;
      else row.verified++;
      row.remark = event.error?.fact ?? this.#remarks.get(connection)?.fact ?? row.remark;
      this.#remarks.delete(connection);
      return row;
    } else if (event.type === "closed") {
      const row = this.#endConnection(event);
      this.#forget(connection);
      return row;
    }
  }

  /** Returns all rows. The last row is the user of the last event. */
  rows(): UserRow[] {
    return [...this.#rows.values()];
  }

  #addRemark(event: RemarkEvent): UserRow | undefined {
    const { connection, remark } = event;
    if (remark.severity !== "note") {
      if (!this.#remarks.has(connection)) this.#remarks.set(connection, remark);
      return;
    }
    if (remark.end > 0) return; // about the request, which is correct
    // If the user has not verified a key, the note may say why.
    const row = this.#row(this.#users.get(connection) ?? null, event);
    if (row.verified === 0) row.remark ??= remark.fact;
    return row;
  }

  /** Counts an error if the connection ended before its last request got a response. */
  #endConnection(event: ClosedEvent): UserRow | undefined {
    const { connection } = event;
    const remark = this.#remarks.get(connection);
    if (remark === undefined) return;
    const isError = remark.severity === "error";
    const row = this.#row(isError ? null : this.#users.get(connection) ?? null, event);
    if (isError) row.errors++;
    row.remark = remark.fact;
    return row;
  }

  #forget(connection: number): void {
    this.#remarks.delete(connection);
    this.#users.delete(connection);
  }

  #row(name: string | null, { peer, time }: ConnectionEvent): UserRow {
    const user = name && cut(name, MAX_NAME);
    const address = peer.hostname;
    const key = JSON.stringify([user, address]);
    const row = this.#rows.get(key) ??
      { user, address, asked: 0, verified: 0, errors: 0, remark: null, time };
    row.time = time;
    this.#rows.delete(key); // to move it to the end
    this.#rows.set(key, row);
    if (this.#rows.size > MAX_USERS) this.#rows.delete(this.#rows.keys().next().value!);
    return row;
  }
}
