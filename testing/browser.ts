/** What a browser does, over sockets. */

import type { PageData } from "../practice/page_data.ts";
import { bytes, text } from "./bytes.ts";
import { talk, until } from "./raw_client.ts";
// Deno's own sockets cannot set their IP address.
import { connect, type Socket } from "node:net";

type Addressed = { addr: Deno.NetAddr };

export const ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";

/** Returns a request as a browser sends it. */
export function requestOf(
  { addr }: Addressed,
  path: string,
  fields: Record<string, string> = {},
): string {
  const all = { Host: `127.0.0.1:${addr.port}`, Accept: ACCEPT, ...fields };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

/** Sends a browser's request, and returns the response. */
export function browse(
  server: Addressed,
  path = "/",
  fields?: Record<string, string>,
): Promise<string> {
  return talk(server, requestOf(server, path, fields));
}

/** A page that is open: it gets the stream of events. */
export class Page implements Disposable {
  /** All messages, and their ids. */
  readonly messages: PageData[] = [];
  readonly ids: string[] = [];
  head = "";
  isClosed = false;
  readonly socket: Socket;
  #received = "";

  /** With `from`, the connection comes from this IP address of the machine. */
  constructor(
    server: Addressed,
    { from, path = "/events", fields = {} }: {
      from?: string;
      path?: string;
      fields?: Record<string, string>;
    } = {},
  ) {
    const { port } = server.addr;
    this.socket = connect({ port, host: "127.0.0.1", localAddress: from });
    this.socket.on("data", (data: Uint8Array) => this.#take(text(data)));
    this.socket.on("end", () => this.isClosed = true);
    this.socket.on("error", () => this.isClosed = true);
    this.socket.write(bytes(requestOf(server, path, { Accept: "text/event-stream", ...fields })));
  }

  #take(data: string): void {
    this.#received += data;
    this.head ||= /^.*?\r\n\r\n/s.exec(this.#received)?.[0] ?? "";
    const whole = /^.*\n\n/s.exec(this.#received)?.[0] ?? ""; // complete messages
    this.#received = this.#received.slice(whole.length);
    for (const [, id, json] of whole.matchAll(/^retry: \d+\nid: (.*)\ndata: (.*)$/gm)) {
      this.ids.push(id);
      this.messages.push(JSON.parse(new TextDecoder().decode(bytes(json))));
    }
  }

  /** What the page shows: the last state of each request, by id, and of each user. */
  get requests() {
    const all = this.messages.flatMap(({ requests = [] }) => requests);
    return [...new Map(all.map((request) => [request.id, request])).values()]
      .sort((a, b) => a.id - b.id);
  }

  get users() {
    const all = this.messages.flatMap(({ users = [] }) => users);
    return [...new Map(all.map((row) => [`${row.user} ${row.address}`, row])).values()];
  }

  get rounds() {
    return this.messages.findLast(({ rounds }) => rounds)?.rounds;
  }

  /** Waits until this many requests have ended. */
  async untilRequests(count: number): Promise<this> {
    await until(() =>
      this.requests.length >= count && this.requests.every(({ status }) => status !== null)
    );
    return this;
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/** Sends the bytes from this IP address of the machine, and returns what comes back. */
export async function talkFrom(from: string, server: Addressed, wire: string): Promise<string> {
  const socket = connect({ port: server.addr.port, host: "127.0.0.1", localAddress: from });
  const { promise, resolve } = Promise.withResolvers<void>();
  let received = "";
  socket.on("data", (data: Uint8Array) => received += text(data));
  socket.on("close", () => resolve());
  socket.on("error", () => {});
  socket.write(bytes(wire));
  await promise;
  return received;
}
