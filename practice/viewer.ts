/**
 * Shows browsers what the server has received: recognizes their requests, responds to them, and
 * feeds the pages that are open.
 *
 * @module
 */

import type { KeyServerEvent } from "./events.ts";
import { History, type View } from "./history.ts";
import type { PageData, PageRound } from "./page_data.ts";
import type { ReceivedRequest } from "./request.ts";
import { encode, ENCODER } from "./responses.ts";
import { decodeLatin1, trim } from "./text.ts";

const INTERVAL = 100; // ms between two messages to a page
const IDLE_SHARE = 9; // how many times as long as the last messages took, the next ones wait
const BEAT_TIME = 15_000; // ms without a message after which a comment is sent
const STUCK_TIME = 60_000; // ms after which a page that reads nothing is given up
const SPARE_TIME = 10_000; // ms around a browser's visit in which it opens spare connections
const MAX_STREAMS = 500;
const MAX_VISITORS = 10_000;
const RECONNECT_TIME = 2_000; // ms

// A host that DNS cannot point to another machine: an IP address, or `localhost`.
const SAFE_HOST_REGEXP = /^(?:\d+\.\d+\.\d+\.\d+|\[[\da-f:.]+\]|localhost)(?::\d+)?$/i;
// What browsers ask for on their own.
const ICON_REGEXP = /^\/(?:favicon\.ico|apple-touch-icon[\w-]*\.png|\.well-known\/.*)$/;

/** What the server knows about the connection of a browser. */
export interface Visitor {
  /** Whose requests it may see: its IP address, or `""` on the machine of the server. */
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
  /** Whether the page is still reading the last message. */
  isBusy = false;
  /** The number of the last change that the page got. */
  change = 0;
  #send: Send;
  #sent = performance.now();

  constructor(visitor: Visitor, send: Send) {
    this.visitor = visitor;
    this.#send = send;
  }

  /** Sends a message. Does not wait until the page has read it. */
  async send(bytes: Uint8Array, onSent?: () => void): Promise<void> {
    this.isBusy = true;
    this.#sent = performance.now();
    if (!await this.#send(bytes)) return;
    this.isBusy = false;
    onSent?.();
  }

  /** Keeps the connection alive. Returns `false` if the page does not read. */
  beat(now: number): boolean {
    if (this.isBusy) return now - this.#sent < STUCK_TIME;
    if (now - this.#sent >= BEAT_TIME) this.send(COMMENT);
    return true;
  }
}

const COMMENT = ENCODER.encode(":\n\n");

/** Shows browsers what the server has received. */
export class Viewer {
  #history = new History();
  #run = crypto.randomUUID().slice(0, 8); // identifies this run of the server
  #streams = new Map<EventStream, () => void>(); // with the function that closes its connection
  #visits = new Map<string, number>(); // by owner: when a browser came last
  #timer: ReturnType<typeof setTimeout> | undefined = undefined;
  #nextTime = 0; // when messages may be sent again
  #isStopped = false;

  /** Adds an event of a client. */
  add(event: KeyServerEvent, { owner, host }: Visitor): void {
    if (event.type === "request") this.#history.addAddress(host);
    this.#history.add(event, owner);
    if (this.#streams.size > 0) this.#schedule();
  }

  /** Sets the rounds of the drill. */
  set rounds(rounds: readonly PageRound[]) {
    this.#history.rounds = rounds;
    this.#schedule();
  }

  /** Returns whether a request comes from a browser that wants to show something. */
  isBrowser(request: ReceivedRequest, bytes: Uint8Array): boolean {
    const { method, target, isBroken, length, isChunked } = request;
    if (method !== "GET" || isBroken || length || isChunked || !target.startsWith("/")) {
      return false;
    }
    const accept = fieldsOf(bytes).get("accept") ?? "";
    return accept.includes("text/html") || ICON_REGEXP.test(target) ||
      accept.includes("text/event-stream") && pathOf(target) === "/events";
  }

  /** Returns whether a browser has already come from there. */
  knows({ owner }: Visitor): boolean {
    return this.#visits.has(owner);
  }

  /**
   * Returns whether a connection on which nothing has been sent is probably a browser's. Browsers
   * open spare connections when they load a page.
   */
  isSpare({ owner }: Visitor, connectedAt: number): boolean {
    return (this.#visits.get(owner) ?? -Infinity) > connectedAt - SPARE_TIME;
  }

  /** Responds to a browser. Loads the page when the first browser comes. */
  async respond(
    { target, isHttp10 }: ReceivedRequest,
    bytes: Uint8Array,
    { owner, host }: Visitor,
  ): Promise<BrowserResponse> {
    this.#remember(owner);
    const fields = fieldsOf(bytes);
    const path = pathOf(target);
    const isSafe = SAFE_HOST_REGEXP.test(fields.get("host") ?? "");
    if (path === "/events" && isSafe && isSameOrigin(fields)) {
      const query = new URLSearchParams(target.slice(path.length));
      const lastId = fields.get("last-event-id") ?? query.get("since") ?? "";
      return { ...response(200, "", isHttp10, STREAM_HEADERS), lastId };
    }
    if (path === "/events") return response(isSafe ? 403 : 421, "", isHttp10, "");
    if (ICON_REGEXP.test(path)) return response(404, "", isHttp10, "");
    const { pageFor } = await import("./page_responses.ts");
    const { status, message, headers } = await pageFor(isSafe ? path : undefined, host);
    return response(status, message, isHttp10, headers);
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
    if (this.#streams.size >= MAX_STREAMS) this.#makeRoom();
    const stream = new EventStream(visitor, send);
    this.#streams.set(stream, close);
    const [run, change] = lastId.split("-");
    if (run === this.#run && /^\d+$/.test(change)) {
      stream.change = Math.min(Number(change), this.#history.change);
    }
    const { address, owner } = visitor;
    const hello = {
      run: this.#run,
      address,
      isLocal: owner === "",
      isDrill: this.#history.isDrill,
      time: Date.now(),
    };
    const data = this.#history.since({ owner, change: stream.change });
    this.#send(stream, this.#encode({ hello, ...data }));
    return stream;
  }

  close(stream: EventStream): void {
    this.#streams.delete(stream);
  }

  /** Closes all streams. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    for (const close of this.#streams.values()) close();
  }

  #remember(owner: string): void {
    this.#visits.delete(owner); // so that it moves to the end
    this.#visits.set(owner, performance.now());
    if (this.#visits.size > MAX_VISITORS) this.#visits.delete(this.#visits.keys().next().value!);
  }

  /** Sends what is new a moment later, together with what comes until then. */
  #schedule(): void {
    if (this.#timer !== undefined || this.#isStopped) return;
    const wait = Math.max(INTERVAL, this.#nextTime - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const begin = performance.now();
      this.#sendNews();
      const end = performance.now();
      // However many pages are open, they take at most a tenth of the server's time.
      this.#nextTime = end + IDLE_SHARE * (end - begin);
    }, wait);
  }

  #sendNews(): void {
    const messages = new Map<string, Uint8Array | undefined>(); // many pages need the same one
    for (const stream of this.#streams.keys()) {
      if (stream.isBusy) continue;
      const view: View = { owner: stream.visitor.owner, change: stream.change };
      const key = `${view.change} ${view.owner}`;
      if (!messages.has(key)) {
        const data = this.#history.since(view);
        messages.set(key, data && this.#encode(data));
      }
      const message = messages.get(key);
      if (message) this.#send(stream, message);
    }
  }

  #send(stream: EventStream, message: Uint8Array): void {
    stream.change = this.#history.change;
    stream.send(message, () => {
      if (stream.change < this.#history.change) this.#schedule();
    });
  }

  /** Encodes a message. JSON is one line, as the format of event streams requires. */
  #encode(data: PageData): Uint8Array {
    const id = `${this.#run}-${this.#history.change}`;
    return ENCODER.encode(`retry: ${RECONNECT_TIME}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  /** Closes the oldest stream of the visitor who has most of them. */
  #makeRoom(): void {
    const counts = new Map<string, number>();
    for (const { visitor: { owner } } of this.#streams.keys()) {
      counts.set(owner, (counts.get(owner) ?? 0) + 1);
    }
    const [greedy] = [...counts].reduce((most, entry) => entry[1] > most[1] ? entry : most);
    for (const [stream, close] of this.#streams) {
      if (stream.visitor.owner === greedy) return close();
    }
  }
}

const STREAM_HEADERS = "Cache-Control: no-store\r\n" +
  "Cross-Origin-Resource-Policy: same-origin\r\n" +
  "X-Content-Type-Options: nosniff\r\n";

function response(
  status: number,
  message: string,
  isHttp10: boolean,
  headers: string,
): BrowserResponse {
  const isStream = headers === STREAM_HEADERS;
  const type = isStream ? "text/event-stream" : message === "" ? "text/plain" : "text/html";
  const framing = isStream ? "" : `Content-Length: ${ENCODER.encode(message).length}\r\n`;
  const about = { type: `${type}; charset=utf-8`, framing, headers, isHttp10 };
  return {
    status,
    message,
    bytes: encode({ status, message, ...about, isLast: true, isHead: false }),
  };
}

/** Returns the header fields of a request that is correct, by lowercase name. */
function fieldsOf(bytes: Uint8Array): Map<string, string> {
  const lines = decodeLatin1(bytes).split(/\r?\n/).slice(1);
  return new Map(lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), trim(line.slice(colon + 1))];
  }));
}

function pathOf(target: string): string {
  return /^[^?]*/.exec(target)![0];
}

/** Returns whether the page of this server has sent a request, and not another site's. */
function isSameOrigin(fields: Map<string, string>): boolean {
  const site = fields.get("sec-fetch-site") ?? "none";
  const origin = fields.get("origin") ?? `http://${fields.get("host")}`;
  return ["same-origin", "none"].includes(site) && origin === `http://${fields.get("host")}`;
}
