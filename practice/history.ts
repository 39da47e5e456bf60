/**
 * Remembers the last requests of each client, the users and the rounds of a drill, for the page.
 *
 * Each change has a number. A page sends the number of the last change that it got, and gets all
 * later changes. So nothing has to be kept for each page.
 *
 * @module
 */

import type { AnswerEvent, KeyServerEvent, RemarkEvent } from "./events.ts";
import {
  MAX_REQUESTS,
  MAX_SHOWN_BYTES,
  type PageBytes,
  type PageData,
  type PageRemark,
  type PageRequest,
  type PageRound,
} from "./page_data.ts";
import type { Remark } from "./remark.ts";
import { concat } from "./responses.ts";
import type { RemarkCode } from "./rules.ts";
import { cut, escapeControls, excerpt, requestLine, visible } from "./text.ts";
import { type UserRow, UserTable } from "./user_table.ts";

const MAX_SIZE = 67_108_864; // bytes of all requests together, roughly
const MAX_MESSAGE = 131_072; // bytes of the requests in one message, roughly
const MAX_NEW_USERS = 200; // in one message
const MAX_LINES = 200; // of a request or a response; the rest becomes one line
const MAX_USER = 256; // characters
const MAX_ADDRESSES = 10;
const OVERHEAD = 1500; // bytes of an entry, roughly, besides its request and its response
const REMARK_OVERHEAD = 500;
// Remarks that become wrong when the rest of the request arrives.
const INCOMPLETE: RemarkCode[] = [
  "nothing-yet",
  "nothing-sent",
  "no-line-end",
  "no-empty-line",
  "body-incomplete",
  "chunks-incomplete",
];
const NO_BYTES = new Uint8Array();
const LF = 0x0a;
const CR = 0x0d;

/** The first bytes of a message, and its size. */
interface Kept {
  readonly bytes: Uint8Array;
  readonly size: number;
}

/** A request, with its response and its remarks. */
interface Entry {
  readonly id: number;
  readonly time: number;
  readonly connection: number;
  readonly port: number;
  /** The number of its last change. */
  change: number;
  user: string | null;
  request: Kept;
  reads: number | null;
  /** `null` while there is no response. */
  status: number | null;
  fault: string | null;
  response: Kept | undefined;
  remarks: { remark: Remark; excerpt: PageRemark["excerpt"]; isInRequest: boolean }[];
  closedBy: "client" | "server" | null;
  /** Whether a browser has sent it. */
  isWithdrawn: boolean;
  /** Its size in memory in bytes, roughly. */
  size: number;
}

/** The requests from one IP address, the oldest first. */
interface Client {
  readonly entries: Entry[];
  change: number;
}

/** What has changed since a page got the last message. */
export interface News {
  readonly data: PageData;
  /** The number of the last change in `data`. Later changes may follow. */
  readonly change: number;
}

/** What a page may see, and what it has seen. */
export interface View {
  /** Whose requests it shows: an IP address, or `""` for this machine. */
  readonly owner: string;
  /** The number of the last change that it got. */
  readonly change: number;
}

/** The last requests of each client, the users and the rounds of a drill. */
export class History {
  #change = 0; // the number of the last change
  #lastId = 0;
  #clients = new Map<string, Client>(); // by owner, in the order of changes
  #size = 0;
  #last = new Map<number, Entry>(); // by connection: its last request
  #users = new UserTable();
  #userChanges = new WeakMap<UserRow, number>();
  #usersChange = 0;
  #addresses: string[] = [];
  #addressesChange = 0;
  #rounds: readonly PageRound[] | undefined = undefined;
  #roundsChange = 0;

  /** The number of the last change. */
  get change(): number {
    return this.#change;
  }

  /** The IP addresses and ports that clients have connected to. */
  get addresses(): readonly string[] {
    return this.#addresses;
  }

  /** Whether a drill runs. */
  get isDrill(): boolean {
    return this.#rounds !== undefined;
  }

  /** Sets the rounds of the drill. */
  set rounds(rounds: readonly PageRound[]) {
    this.#rounds = rounds;
    this.#roundsChange = ++this.#change;
  }

  /** Adds an IP address and port that a client has used. */
  addAddress(address: string): void {
    if (this.#addresses.length >= MAX_ADDRESSES || this.#addresses.includes(address)) return;
    this.#addresses.push(address);
    this.#addressesChange = ++this.#change;
  }

  /**
   * Adds an event of a client.
   *
   * @param event The event.
   * @param owner The client's IP address, or `""` for this machine.
   */
  add(event: KeyServerEvent, owner: string): void {
    const row = this.#users.add(event);
    if (row) this.#userChanges.set(row, this.#usersChange = ++this.#change);
    const entry = this.#addToEntry(event, owner);
    if (!entry) return;
    const size = sizeOf(entry);
    this.#size += size - entry.size;
    entry.size = size;
    entry.change = ++this.#change;
    const client = this.#clients.get(owner)!;
    client.change = this.#change;
    this.#clients.delete(owner); // so that it moves to the end
    this.#clients.set(owner, client);
    while (this.#size > MAX_SIZE && this.#clients.size > 1) this.#forgetClient();
  }

  /**
   * Returns what has changed since a page got the last message, as much as fits into one message.
   *
   * @param view Whose requests the page shows, and what it knows.
   * @returns The oldest changes; `undefined` if nothing has changed.
   */
  since({ owner, change }: View): News | undefined {
    const data: PageData = {};
    let last = this.#change;
    const entries = this.#entriesSince(owner, change);
    const taken = entries.slice(0, countOf(entries));
    if (taken.length > 0) data.requests = taken.map(requestOf).sort((a, b) => a.id - b.id);
    if (taken.length < entries.length) last = taken.at(-1)!.change;
    const isLocal = owner === "";
    if (isLocal && this.#addressesChange > change) data.addresses = [...this.#addresses];
    if (isLocal && this.#roundsChange > change) data.rounds = [...this.#rounds!];
    if (isLocal && !this.#rounds && this.#usersChange > change) {
      const rows = this.#rowsSince(change);
      const users = rows.slice(0, MAX_NEW_USERS);
      data.users = users.map(userOf);
      if (users.length < rows.length) last = Math.min(last, this.#userChanges.get(users.at(-1)!)!);
    }
    return Object.keys(data).length > 0 ? { data, change: last } : undefined;
  }

  /** Returns the changed requests, in the order of their changes. */
  #entriesSince(owner: string, change: number): Entry[] {
    const client = this.#clients.get(owner);
    if (!client || client.change <= change) return [];
    return client.entries.filter((entry) => entry.change > change)
      .sort((a, b) => a.change - b.change);
  }

  /** Returns the changed users, in the order of their changes. */
  #rowsSince(change: number): UserRow[] {
    const rows = this.#users.rows();
    let at = rows.length;
    while (at > 0 && this.#userChanges.get(rows[at - 1])! > change) at--;
    return rows.slice(at);
  }

  /** Returns the entry that an event has changed, if any. */
  #addToEntry(event: KeyServerEvent, owner: string): Entry | undefined {
    const { connection } = event;
    const last = this.#last.get(connection);
    if (event.isBrowser && event.type === "request" && event.bytes.length > 0) {
      this.#last.delete(connection);
      if (!isOpen(last)) return undefined;
      last.isWithdrawn = true;
      return last;
    }
    if (event.isBrowser && (event.type === "request" || event.type === "answer")) return undefined;
    switch (event.type) {
      case "remark":
        return this.#addRemark(event, owner);
      case "request": {
        const entry = isOpen(last) ? last : this.#addEntry(event, owner);
        entry.user = event.userId === undefined ? null : cut(event.userId, MAX_USER);
        entry.reads = event.reads;
        entry.request = keep(event.bytes);
        return entry;
      }
      case "answer": {
        const isInterim = event.status === 100; // it comes before the request is complete
        const entry = isInterim && !isOpen(last) ? this.#addEntry(event, owner) : last;
        if (entry && isInterim) entry.request = keep(event.request);
        return entry && setResponse(entry, event);
      }
      case "closed":
        this.#last.delete(connection);
        if (last) last.closedBy = event.by;
        return last;
    }
  }

  #addRemark(event: RemarkEvent, owner: string): Entry | undefined {
    const { connection, remark, bytes } = event;
    const last = this.#last.get(connection);
    // A note after the response is about the last request. An error is about the next one.
    const isNext = !isOpen(last) && (remark.severity === "error" || remark.code === "nothing-yet");
    const entry = isNext ? this.#addEntry(event, owner) : last;
    if (!entry) return undefined;
    if (isNext) entry.request = keep(bytes);
    if (remark.code === "nothing-sent") entry.remarks = []; // it replaces "nothing-yet"
    const { start, end } = remark;
    const line = excerpt(bytes, start, end, false) ?? null;
    entry.remarks.push({ remark, excerpt: line, isInRequest: isOpen(entry) });
    return entry;
  }

  #addEntry({ connection, time, peer }: KeyServerEvent, owner: string): Entry {
    const entry: Entry = {
      id: ++this.#lastId,
      time,
      connection,
      port: peer.port,
      change: 0,
      user: null,
      request: NOTHING,
      reads: null,
      status: null,
      fault: null,
      response: undefined,
      remarks: [],
      closedBy: null,
      isWithdrawn: false,
      size: 0,
    };
    this.#last.set(connection, entry);
    const client = this.#clients.get(owner) ?? { entries: [], change: 0 };
    client.entries.push(entry);
    if (client.entries.length > MAX_REQUESTS) this.#forget(client.entries.shift()!);
    this.#clients.set(owner, client);
    return entry;
  }

  /** Forgets the client whose last change is longest ago. */
  #forgetClient(): void {
    const [owner, { entries }] = this.#clients.entries().next().value!;
    this.#clients.delete(owner);
    for (const entry of entries) this.#forget(entry);
  }

  #forget({ connection, id, size }: Entry): void {
    this.#size -= size;
    if (this.#last.get(connection)?.id === id) this.#last.delete(connection);
  }
}

const NOTHING: Kept = { bytes: NO_BYTES, size: 0 };

/** Returns whether a request waits for its response. */
function isOpen(entry: Entry | undefined): entry is Entry {
  return entry !== undefined && entry.status === null;
}

/** Returns the size of an entry in memory in bytes, roughly. */
function sizeOf(entry: Entry): number {
  return shownSizeOf(entry) + OVERHEAD + REMARK_OVERHEAD * entry.remarks.length;
}

function shownSizeOf({ request, response }: Entry): number {
  return request.bytes.length + (response?.bytes.length ?? 0);
}

/** Returns how many of the entries fit into one message. */
function countOf(entries: readonly Entry[]): number {
  let size = 0;
  const at = entries.findIndex((entry) =>
    (size += shownSizeOf(entry) + REMARK_OVERHEAD) > MAX_MESSAGE
  );
  return at < 0 ? entries.length : Math.max(1, at);
}

function keep(bytes: Uint8Array): Kept {
  const { length } = bytes;
  return {
    bytes: length > MAX_SHOWN_BYTES ? bytes.slice(0, MAX_SHOWN_BYTES) : bytes,
    size: length,
  };
}

function setResponse(entry: Entry, { status, bytes, fault, error }: AnswerEvent): Entry {
  const before = entry.response; // only a `100 Continue`
  entry.response = keep(before ? concat([before.bytes, bytes]) : bytes);
  if (status === 100) return entry;
  entry.status = status;
  entry.fault = fault ?? null;
  const isStale = ({ code, severity }: Remark) =>
    error
      ? INCOMPLETE.includes(code) && !INCOMPLETE.includes(error.code)
      : severity === "error" || INCOMPLETE.includes(code);
  entry.remarks = entry.remarks.filter(({ remark }) => !isStale(remark));
  return entry;
}

function shownUser(user: string | null): string | null {
  return user && cut(escapeControls(user), MAX_USER);
}

function userOf(row: UserRow): UserRow {
  return { ...row, user: shownUser(row.user) };
}

/** Returns an entry as the page gets it. */
function requestOf(entry: Entry): PageRequest {
  const { change: _, size: __, request, response, remarks, ...rest } = entry;
  const marks = remarks.filter(({ isInRequest }) => isInRequest).map(({ remark }) => remark);
  return {
    ...rest,
    line: requestLine(request.bytes),
    user: shownUser(entry.user),
    request: bytesOf(request, marks),
    response: response ? bytesOf(response, []) : null,
    remarks: remarks.map(({ remark, excerpt }) => {
      const { severity, code, fact, help, fix = null } = remark;
      return { severity, code, fact, help, fix, excerpt };
    }),
  };
}

/** Cuts bytes into lines, and each line into its line ending, marked parts, and the rest. */
function bytesOf({ bytes, size }: Kept, marks: readonly Remark[]): PageBytes {
  const texts = visible(bytes, true);
  const lines: PageBytes["lines"] = [];
  let line: PageBytes["lines"][number] = [];
  for (const [at, text] of texts.entries()) {
    const isMarked = marks.some(({ start, end }) => at >= start && at < end);
    const isEnd = bytes[at] === LF || bytes[at] === CR && bytes[at + 1] === LF;
    const kind = isMarked ? "mark" : isEnd ? "end" : "";
    if (line.length === 0) lines.push(line);
    const part = line.at(-1);
    if (part?.[1] === kind || part && lines.length > MAX_LINES) part[0] += text;
    else line.push([text, kind]);
    if (bytes[at] === LF && lines.length <= MAX_LINES) line = [];
  }
  return { size, lines };
}
