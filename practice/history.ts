/**
 * Remembers the last requests of each client, the users and the rounds of a drill, for the page.
 *
 * Each change has a number. A page that knows the number of the last change that it got can ask for
 * all later changes. So nothing has to be kept for each page.
 *
 * @module
 */

import type { AnswerEvent, KeyServerEvent, RemarkEvent } from "./events.ts";
import type { PageBytes, PageData, PageRemark, PageRequest, PageRound } from "./page_data.ts";
import type { Remark } from "./remark.ts";
import { concat } from "./responses.ts";
import { escapeControls, excerpt, requestLine, visible } from "./text.ts";
import { type UserRow, UserTable } from "./user_table.ts";

const MAX_REQUESTS = 100; // of each client
const MAX_KEPT = 4096; // bytes of a request, and of its response
const MAX_SIZE = 67_108_864; // bytes of all requests together, roughly
const MAX_ADDRESSES = 10;
const MAX_NEW_USERS = 1000; // in one message
const OVERHEAD = 500; // bytes of an entry, roughly, besides its requests and responses
const NO_BYTES = new Uint8Array();
const LF = 0x0a;
const CR = 0x0d;

/** The first bytes of a message, and how many it has. */
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
  /** Its size in memory in bytes, roughly. */
  size: number;
}

/** The requests from one IP address, the oldest first. */
interface Client {
  readonly entries: Entry[];
  change: number;
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
  #clients = new Map<string, Client>(); // by owner; the last one has changed last
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

  /** Whether there is a drill. */
  get isDrill(): boolean {
    return this.#rounds !== undefined;
  }

  /** Sets the rounds of the drill. */
  set rounds(rounds: readonly PageRound[]) {
    this.#rounds = rounds;
    this.#roundsChange = ++this.#change;
  }

  /** Adds an address at which a client has reached the server. */
  addAddress(address: string): void {
    if (this.#addresses.length >= MAX_ADDRESSES || this.#addresses.includes(address)) return;
    this.#addresses.push(address);
    this.#addressesChange = ++this.#change;
  }

  /** Adds an event of a client. */
  add(event: KeyServerEvent, owner: string): void {
    const row = this.#users.add(event);
    if (row) this.#userChanges.set(row, this.#usersChange = ++this.#change);
    const entry = this.#addToEntry(event, owner);
    if (!entry) return;
    const size = sizeOf(entry);
    this.#size += size - entry.size;
    entry.size = size;
    entry.change = ++this.#change;
    this.#clients.get(owner)!.change = this.#change;
    while (this.#size > MAX_SIZE && this.#clients.size > 1) this.#forgetClient();
  }

  /** Returns what has changed since a page has last got something; `undefined` if nothing has. */
  since({ owner, change }: View): PageData | undefined {
    const data: PageData = {};
    const client = this.#clients.get(owner);
    if (client && client.change > change) {
      data.requests = client.entries.filter((entry) => entry.change > change).map(requestOf);
    }
    const isLocal = owner === "";
    if (isLocal && this.#addressesChange > change) data.addresses = [...this.#addresses];
    if (isLocal && this.#roundsChange > change) data.rounds = [...this.#rounds!];
    if (isLocal && !this.#rounds && this.#usersChange > change) {
      data.users = this.#users.rows().slice(-MAX_NEW_USERS)
        .filter((row) => this.#userChanges.get(row)! > change)
        .map((row) => ({ ...row, user: row.user && escapeControls(row.user) }));
    }
    return Object.keys(data).length > 0 ? data : undefined;
  }

  /** Returns the entry that an event has changed, if any. */
  #addToEntry(event: KeyServerEvent, owner: string): Entry | undefined {
    const { connection } = event;
    const last = this.#last.get(connection);
    if (event.isBrowser || event.type === "closed") {
      this.#last.delete(connection);
      if (event.isBrowser || !last) return undefined;
      last.closedBy = event.type === "closed" ? event.by : null;
      return last;
    }
    switch (event.type) {
      case "remark":
        return this.#addRemark(event, owner);
      case "request": {
        const entry = isOpen(last) ? last : this.#addEntry(event, owner);
        entry.user = event.userId ?? null;
        entry.reads = event.reads;
        setRequest(entry, event.bytes);
        return entry;
      }
      case "answer": {
        const isInterim = event.status === 100; // it comes before the request is complete
        const entry = isInterim && !isOpen(last) ? this.#addEntry(event, owner) : last;
        if (entry && isInterim) setRequest(entry, event.request);
        return entry && setResponse(entry, event);
      }
    }
  }

  #addRemark(event: RemarkEvent, owner: string): Entry | undefined {
    const { connection, remark, bytes } = event;
    const last = this.#last.get(connection);
    // A note after the response is about the last request. An error is about the next one.
    const isNext = !isOpen(last) && remark.severity === "error";
    const entry = isNext ? this.#addEntry(event, owner) : last;
    if (!entry) return undefined;
    if (isNext) setRequest(entry, bytes);
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
      size: 0,
    };
    this.#last.set(connection, entry);
    const client = this.#clients.get(owner) ?? { entries: [], change: 0 };
    client.entries.push(entry);
    if (client.entries.length > MAX_REQUESTS) this.#forget(client.entries.shift()!);
    this.#clients.delete(owner); // so that it moves to the end
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

/** Returns the size of an entry in memory, roughly. */
function sizeOf({ request, response, remarks }: Entry): number {
  return request.bytes.length + (response?.bytes.length ?? 0) + OVERHEAD * (1 + remarks.length);
}

function setRequest(entry: Entry, bytes: Uint8Array): void {
  entry.request = { bytes: bytes.slice(0, MAX_KEPT), size: bytes.length };
}

function setResponse(entry: Entry, { status, bytes, fault, error }: AnswerEvent): Entry {
  const before = entry.response ?? NOTHING; // a `100 Continue`, if anything
  entry.response = {
    bytes: concat([before.bytes, bytes]).slice(0, MAX_KEPT),
    size: before.size + bytes.length,
  };
  if (status === 100) return entry;
  entry.status = status;
  entry.fault = fault ?? null;
  // The rest of the request has come late, and nothing is missing now.
  if (!error) entry.remarks = entry.remarks.filter(({ remark }) => remark.severity !== "error");
  return entry;
}

/** Returns an entry as the page gets it. */
function requestOf(entry: Entry): PageRequest {
  const { change: _, size: __, user, request, response, remarks, ...rest } = entry;
  const marks = remarks.filter(({ isInRequest }) => isInRequest).map(({ remark }) => remark);
  return {
    ...rest,
    line: requestLine(request.bytes),
    user: user && escapeControls(user),
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
    const part = line.at(-1);
    if (part?.[1] === kind) part[0] += text;
    else line.push([text, kind]);
    if (line.length === 1 && part === undefined) lines.push(line);
    if (bytes[at] === LF) line = [];
  }
  return { size, lines };
}
