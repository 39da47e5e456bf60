/**
 * Shows browsers what the server has received: recognizes their requests, responds to them, and
 * sends events to open pages.
 *
 * @module
 */

import type { KeyServerEvent } from "./events.ts";
import { History, type View } from "./history.ts";
import type { PageData, PageRound } from "./page_data.ts";
import type { ReceivedRequest } from "./request.ts";
import { MAX_PAGES } from "./reset_listener.ts";
import { encode, ENCODER, lengthOf } from "./responses.ts";
import { decodeLatin1, trim } from "./text.ts";

const INTERVAL = 100; // ms between two messages to a page
const MAX_RUN = 20; // ms in which messages are made and sent; then clients come first
const IDLE_SHARE = 9; // the pause is 9 times as long as the sending
const BEAT_TIME = 15_000; // ms without a message after which an empty one is sent
const STUCK_TIME = 60_000; // ms after which a page that reads nothing is closed
const SPARE_TIME = 2_000; // ms after a browser's visit in which it may open connections
const LAST_TIME = 200; // ms for the last messages when the server stops
const MAX_VISITORS = 10_000;
const RECONNECT_TIME = 2_000; // ms

// A host that DNS cannot point to another machine: an IP address, or `localhost`.
const SAFE_HOST_REGEXP = /^(?:\d+\.\d+\.\d+\.\d+|\[[\da-f:.]+\]|localhost)(?::\d+)?$/i;
// What browsers ask for on their own.
const ICON_REGEXP = /^\/(?:favicon\.ico|apple-touch-icon[\w-]*\.png|\.well-known\/.*)$/;

/** What the server knows about a connection. */
export interface Visitor {
  /** The owner of its requests: its IP address, or `""` on the machine of the server. */
  readonly owner: string;
  /** Its IP address. */
  readonly address: string;
  /** The IP address and the port that it has connected to, as in a Host header. */
  readonly host: string;
}

/** The response to a browser. */
export interface BrowserResponse {
  readonly status: number;
  readonly message: string;
  readonly bytes: Uint8Array;
  /** If a stream of events follows: the id of the last event that the page got, or `""`. */
  readonly lastId?: string;
}

/** Sends bytes to a page. Resolves with `false` if the connection is closed. */
type Send = (bytes: Uint8Array) => Promise<boolean>;

/** A stream of events to one page. It has no queue: it knows only what the page got last. */
export class EventStream {
  readonly visitor: Visitor;
  /** Closes the connection. */
  readonly close: () => void;
  /** Whether the page is still reading the last message. */
  isBusy = false;
  /** The number of the last change that the page got. */
  change: number;
  #send: Send;
  #onSent: () => void;
  /** Resolves when the last message is sent. It never rejects. */
  sent: Promise<void> = Promise.resolve();
  #sentAt = performance.now();

  constructor(visitor: Visitor, change: number, send: Send, close: () => void, onSent: () => void) {
    this.visitor = visitor;
    this.change = change;
    this.close = close;
    this.#send = send;
    this.#onSent = onSent;
  }

  /** Sends a message. Does not wait until the page has read it. */
  send(bytes: Uint8Array): void {
    this.isBusy = true;
    this.#sentAt = performance.now();
    this.sent = this.#send(bytes).then((isSent) => {
      if (!isSent) return;
      this.isBusy = false;
      this.#onSent();
    });
  }

  /** Tells the page that it is still connected. Returns `false` if the page does not read. */
  beat(now: number): boolean {
    if (this.isBusy) return now - this.#sentAt < STUCK_TIME;
    if (now - this.#sentAt >= BEAT_TIME) this.send(BEAT);
    return true;
  }
}

const BEAT = ENCODER.encode("data: {}\n\n"); // without an id, so the last one stays valid

/** The pages that are open, and what they show. */
export class Viewer {
  #history = new History();
  #run = crypto.randomUUID().slice(0, 8); // identifies this run of the server
  #streams = new Set<EventStream>(); // the first one has waited longest
  #visits = new Map<string, number>(); // by owner: when a browser came last
  #timer: ReturnType<typeof setTimeout> | undefined = undefined;
  #nextTime = 0; // when messages may be sent again
  #isStopped = false;
  #isShared: boolean;

  /** @param hostname The IP address that the server listens on. */
  constructor(hostname: string) {
    this.#isShared = !isLoopback(hostname);
  }

  /** How many pages are open. */
  get size(): number {
    return this.#streams.size;
  }

  /**
   * Adds an event of a client.
   *
   * @param event The event.
   * @param visitor What is known about its connection.
   */
  add(event: KeyServerEvent, { owner, host }: Visitor): void {
    if (event.type === "request") this.#history.addAddress(host);
    this.#history.add(event, owner);
    this.#schedule();
  }

  /** Sets the rounds of the drill. */
  set rounds(rounds: readonly PageRound[]) {
    this.#history.rounds = rounds;
    this.#schedule();
  }

  /**
   * Returns whether a browser has sent a request: for the page, its icon or its events, or for
   * the page of another site.
   *
   * @param request The request.
   * @param bytes Its bytes.
   * @returns Whether a browser has sent it.
   */
  isBrowser(request: ReceivedRequest, bytes: Uint8Array): boolean {
    const { method, target, isBroken, length, isChunked } = request;
    const hasBody = length || isChunked;
    if (method !== "GET" || isBroken || hasBody || !target.startsWith("/")) return false;
    const fields = fieldsOf(bytes);
    const accept = fields.get("accept") ?? "";
    const path = pathOf(target);
    return accept.includes("text/html") || ICON_REGEXP.test(path) || fields.has("sec-fetch-mode") ||
      accept.includes(EVENTS_TYPE) && path === "/events";
  }

  /** Returns whether a browser has come from this IP address. */
  knows({ owner }: Visitor): boolean {
    return this.#visits.has(owner);
  }

  /**
   * Returns whether a connection on which nothing has been sent is probably a browser's. Browsers
   * open spare connections when they load a page. Always `false` during a drill, which must judge a
   * client that sends nothing.
   *
   * @param visitor What is known about the connection.
   * @param connectedAt When it was opened, from `performance.now()`.
   * @returns Whether a browser came less than 2 s before, or later.
   */
  isSpare({ owner }: Visitor, connectedAt: number): boolean {
    const visit = this.#visits.get(owner) ?? -Infinity;
    return !this.#history.isDrill && visit > connectedAt - SPARE_TIME;
  }

  /**
   * Makes the response to a browser. Loads the page when the first browser comes.
   *
   * @param request The request.
   * @param bytes Its bytes.
   * @param visitor What is known about the connection.
   * @returns The response.
   */
  async respond(
    { target, isHttp10 }: ReceivedRequest,
    bytes: Uint8Array,
    { owner, host }: Visitor,
  ): Promise<BrowserResponse> {
    const fields = fieldsOf(bytes);
    const path = pathOf(target);
    const isSafe = SAFE_HOST_REGEXP.test(fields.get("host") ?? "");
    if (path === "/events" && fields.get("accept")?.includes(EVENTS_TYPE)) {
      if (!isSafe || !isSameOrigin(fields)) return respondWith(isSafe ? 403 : 421, isHttp10);
      const query = new URLSearchParams(target.slice(path.length));
      const lastId = fields.get("last-event-id") ?? query.get("since") ?? "";
      const framing = ""; // the stream ends when the connection closes
      const about = { type: EVENTS_TYPE, framing, headers: STREAM_HEADERS };
      return { ...respondWith(200, isHttp10, about), lastId };
    }
    this.#remember(owner);
    if (ICON_REGEXP.test(path)) return respondWith(404, isHttp10);
    const { pageFor } = await import("./page_responses.ts");
    const { status, ...about } = await pageFor(isSafe ? path : undefined, host);
    return respondWith(status, isHttp10, { type: "text/html", ...about });
  }

  /**
   * Opens a stream of events.
   *
   * @param visitor The browser.
   * @param lastId The id of the last event that the page got, or `""`.
   * @param send Sends bytes to the page.
   * @param close Closes the connection.
   * @returns The stream. Call {@linkcode Viewer.close} when its connection is closed.
   */
  open(visitor: Visitor, lastId: string, send: Send, close: () => void): EventStream {
    if (this.#streams.size >= MAX_PAGES) this.#makeRoom();
    const change = this.#changeOf(lastId);
    const stream = new EventStream(visitor, change, send, close, () => {
      if (stream.change < this.#history.change) this.#schedule(); // it was busy in the meantime
    });
    this.#streams.add(stream);
    const { address, owner } = visitor;
    const isLocal = owner === "";
    const { addresses, isDrill } = this.#history;
    const about = { address, isLocal, isDrill, isShared: this.#isShared };
    const hello = { run: this.#run, ...about, time: Date.now() };
    const data = { hello, ...isLocal && { addresses: [...addresses] } };
    stream.send(this.#encode(data, change)); // what it has missed follows, and can be shared
    return stream;
  }

  /** Forgets a stream whose connection is closed. */
  close(stream: EventStream): void {
    this.#streams.delete(stream);
  }

  /** Sends the last news to all pages, and closes their streams. Takes at most 0.2 s. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#sendNews(performance.now() + LAST_TIME);
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, LAST_TIME);
    Promise.all([...this.#streams].map(({ sent }) => sent)).then(() => resolve());
    await promise;
    clearTimeout(timer);
    for (const stream of this.#streams) stream.close();
  }

  /** Returns the number of the change that an id stands for; 0 if it is not from this run. */
  #changeOf(id: string): number {
    const [run, change] = id.split("-");
    if (run !== this.#run || !/^\d+$/.test(change)) return 0;
    return Math.min(Number(change), this.#history.change);
  }

  #remember(owner: string): void {
    this.#visits.delete(owner); // so that it moves to the end
    this.#visits.set(owner, performance.now());
    if (this.#visits.size > MAX_VISITORS) this.#visits.delete(this.#visits.keys().next().value!);
  }

  /** Waits a moment, then sends all news together. */
  #schedule(): void {
    if (this.#timer !== undefined || this.#isStopped || this.#streams.size === 0) return;
    const wait = Math.max(INTERVAL, this.#nextTime - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const begin = performance.now();
      const isDone = this.#sendNews(begin + MAX_RUN);
      const end = performance.now();
      // Pages take at most about a tenth of the server's time, even if many are open.
      this.#nextTime = end + IDLE_SHARE * (end - begin);
      if (!isDone) this.#schedule();
    }, wait);
  }

  /** Sends what is new to each page. Returns `false` if time ran out. */
  #sendNews(deadline: number): boolean {
    const messages = new Map<string, Message | undefined>(); // many pages need the same one
    for (const stream of [...this.#streams]) {
      if (stream.isBusy) continue;
      if (performance.now() > deadline) return false;
      const view: View = { owner: stream.visitor.owner, change: stream.change };
      const key = `${view.change} ${view.owner}`;
      if (!messages.has(key)) messages.set(key, this.#messageFor(view));
      const message = messages.get(key);
      if (!message) continue;
      this.#streams.delete(stream); // so that it moves to the end
      this.#streams.add(stream);
      stream.change = message.change;
      stream.send(message.bytes);
    }
    return true;
  }

  #messageFor(view: View): Message | undefined {
    const news = this.#history.since(view);
    return news && { bytes: this.#encode(news.data, news.change), change: news.change };
  }

  /** Encodes a message. JSON is one line, as the format of event streams requires. */
  #encode(data: PageData, change: number): Uint8Array {
    const id = `${this.#run}-${change}`;
    return ENCODER.encode(`retry: ${RECONNECT_TIME}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  /** Closes a page of the machine with most pages. */
  #makeRoom(): void {
    const counts = new Map<string, number>();
    for (const { visitor: { owner } } of this.#streams) {
      counts.set(owner, (counts.get(owner) ?? 0) + 1);
    }
    const [greedy] = [...counts].reduce((most, entry) => entry[1] > most[1] ? entry : most);
    for (const stream of this.#streams) {
      if (stream.visitor.owner === greedy) return stream.close();
    }
  }
}

interface Message {
  readonly bytes: Uint8Array;
  /** The number of the last change that it includes. */
  readonly change: number;
}

const EVENTS_TYPE = "text/event-stream";
const STREAM_HEADERS = "Cache-Control: no-store\r\n" +
  "Cross-Origin-Resource-Policy: same-origin\r\n" +
  "X-Content-Type-Options: nosniff\r\n";

/** Returns a response. By default it has no body. */
function respondWith(
  status: number,
  isHttp10: boolean,
  { message = "", type = "text/plain", headers = "", framing = lengthOf(message) } = {},
): BrowserResponse {
  const about = { status, message, framing, headers, isHttp10, isLast: true, isHead: false };
  return { status, message, bytes: encode({ ...about, type: `${type}; charset=utf-8` }) };
}

/** Returns the header fields of a request that is correct, by lowercase name. */
function fieldsOf(bytes: Uint8Array): Map<string, string> {
  const lines = decodeLatin1(bytes).split(/\r?\n/).slice(1);
  return new Map(lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), trim(line.slice(colon + 1))];
  }));
}

/** Returns whether only this machine can connect to an IP address. */
function isLoopback(address: string): boolean {
  return /^127\.|^::1$/.test(address);
}

function pathOf(target: string): string {
  return /^[^?]*/.exec(target)![0];
}

/** Returns whether a request is from the page of this server, not from another site. */
function isSameOrigin(fields: Map<string, string>): boolean {
  const site = fields.get("sec-fetch-site") ?? "none";
  const origin = fields.get("origin") ?? `http://${fields.get("host")}`;
  return ["same-origin", "none"].includes(site) && origin === `http://${fields.get("host")}`;
}
