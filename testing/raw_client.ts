import {
  type FaultName,
  type KeyServer,
  type KeyServerEvent,
  type KeyServerOptions,
  startKeyServer,
} from "../practice/server.ts";
import { bytes, delay, text } from "./bytes.ts";
// Deno's own sockets cannot send a TCP reset.
import { connect } from "node:net";

const LIMIT = 30_000; // ms: timeout of every wait
export const SUCCESS = "Success: the key is right";
export const KEY_REQUEST = "KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n";
export const CLOSING_REQUEST = KEY_REQUEST.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");

// ---- A client that can send any bytes

export class Client implements Disposable {
  #isClosed = false;
  #timer = setTimeout(() => this.close(), LIMIT); // then all reads and writes fail
  private constructor(readonly conn: Deno.TcpConn) {}

  static async to(server: { addr: Deno.NetAddr }): Promise<Client> {
    return new Client(await Deno.connect({ port: server.addr.port }));
  }

  async send(wire: string): Promise<void> {
    const data = bytes(wire);
    for (let sent = 0; sent < data.length;) sent += await this.conn.write(data.subarray(sent));
  }

  /** Reads until `size` bytes have arrived or the connection is closed. */
  async read(size = Infinity): Promise<string> {
    const buffer = new Uint8Array(65_536);
    let received = "";
    while (received.length < size) {
      const count = await this.conn.read(buffer);
      if (count === null) break;
      received += text(buffer.subarray(0, count));
    }
    return received;
  }

  /** Reads one response with a Content-Length. */
  async response(): Promise<string> {
    let received = "";
    for (;;) {
      const [head, body] = received.split("\r\n\r\n");
      const length = /Content-Length: (\d+)/.exec(head)?.[1];
      if (body !== undefined && body.length >= Number(length)) return received;
      const more = await this.read(1);
      if (more === "") return received;
      received += more;
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    if (!this.#isClosed) this.conn.close();
    this.#isClosed = true;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Waits until `isTrue` returns true. Rejects if that takes too long. */
export async function until(isTrue: () => boolean): Promise<void> {
  for (const end = performance.now() + LIMIT; !isTrue(); await delay(5)) {
    if (performance.now() > end) throw new Error(`it did not become true: ${isTrue}`);
  }
}

/** Sends the bytes over a new connection, and returns everything received until it closes. */
export async function talk(server: { addr: Deno.NetAddr }, wire: string): Promise<string> {
  using client = await Client.to(server);
  await client.send(wire);
  return await client.read();
}

export function statusOf(response: string): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(response)?.[1]);
}

export function bodyOf(response: string): string {
  return response.slice(response.indexOf("\r\n\r\n") + 4);
}

/** Starts a server, and keeps its events. */
export function listen(options: KeyServerOptions = {}) {
  const events: KeyServerEvent[] = [];
  const waiting = new Set<() => void>();
  const server = startKeyServer({
    port: 0,
    ...options,
    onEvent(event) {
      events.push(event);
      for (const look of waiting) look();
    },
  });
  return Object.assign(server, {
    events,
    /** Resolves with the first event of the type that passes. Rejects if there is none. */
    async event<T extends KeyServerEvent["type"]>(
      type: T,
      passes: (event: Extract<KeyServerEvent, { type: T }>) => boolean = () => true,
    ): Promise<Extract<KeyServerEvent, { type: T }>> {
      const find = () =>
        events.find((event): event is Extract<KeyServerEvent, { type: T }> =>
          event.type === type && passes(event as Extract<KeyServerEvent, { type: T }>)
        );
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const look = () => find() && resolve();
      const timer = setTimeout(() => reject(new Error(`there was no event "${type}"`)), LIMIT);
      waiting.add(look);
      look();
      await promise.finally(() => clearTimeout(timer));
      waiting.delete(look);
      return find()!;
    },
    remarks(): string[] {
      return events.flatMap((event) => event.type === "remark" ? event.remark.code : []);
    },
  });
}

export interface Capture {
  chunks: string[];
  /** When the first chunk arrived, by `Date.now()`. */
  time: number;
  /** All chunks, joined. */
  wire: string;
  /** `"open"`, `"end"` if the server closed the connection, or the code of an error. */
  end: "open" | "end" | string;
}

/** Sends the bytes. Returns what arrives until the connection closes, or the first `size` bytes. */
export async function capture(server: KeyServer, wire: string, size = Infinity): Promise<Capture> {
  const socket = connect(server.addr.port, "127.0.0.1");
  socket.setNoDelay();
  const chunks: string[] = [];
  const { promise, resolve } = Promise.withResolvers<string>();
  let count = 0;
  let time = 0;
  socket.on("data", (data: Uint8Array) => {
    time ||= Date.now();
    chunks.push(text(data));
    count += data.length;
    if (count >= size) resolve("open");
  });
  socket.on("end", () => resolve("end"));
  socket.on("error", (error: Error & { code?: string }) => resolve(error.code ?? "error"));
  socket.write(bytes(wire));
  const end = await promise;
  const closed = new Promise((resolve) => socket.on("close", resolve));
  socket.destroy();
  await closed;
  return { chunks, time, wire: chunks.join(""), end };
}

/** Calls `act` for a server that can send a TCP reset, and for one that cannot. */
export async function withBothSockets(
  fault: FaultName | undefined,
  act: (server: Listening) => Promise<void>,
  options: KeyServerOptions = {},
) {
  for (const nextFault of [undefined, "reset"] as const) {
    await using server = listen({ ...options, fault });
    server.nextFault = nextFault;
    await server.ready;
    await act(server);
  }
}

export type Listening = ReturnType<typeof listen>;

/** Callbacks that fail in different ways. */
export const FAILURES: (() => void)[] = [
  () => {
    throw new Error("thrown");
  },
  () => Promise.reject(new Error("rejected")),
  () => ({
    then: (_: unknown, reject: (reason: Error) => void) => reject(new Error("by thenable")),
  }),
  () => ({
    get then() {
      throw new Error("thrown by then");
    },
  }),
];

/**
 * Returns a function that adds tests, like `Deno.test()`. They run as steps of one test, `lanes` at
 * a time or all at once, because they wait most of the time.
 */
export function concurrentTests(
  name: string,
  lanes = Infinity,
): (name: string, fn: () => Promise<void>) => void {
  const steps: Deno.TestStepDefinition[] = [];
  Deno.test(name, async (t) => {
    const rest = [...steps];
    const runLane = async () => {
      for (let step; (step = rest.shift()) !== undefined;) await t.step(step);
    };
    await Promise.all(Array.from({ length: Math.min(lanes, steps.length) }, runLane));
  });
  const isShared = { sanitizeOps: false, sanitizeResources: false, sanitizeExit: false };
  return (name, fn) => void steps.push({ name, fn, ...isShared });
}
