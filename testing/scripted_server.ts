import { bytes, text } from "./bytes.ts";

/** A connection of the server, for a script. */
export class Peer {
  #rest = "";
  constructor(readonly conn: Deno.TcpConn, readonly requests: string[]) {}

  /** Reads a whole request, and adds it to `requests`. */
  async request(): Promise<string> {
    const buffer = new Uint8Array(65_536);
    while (!this.#rest.includes("\r\n\r\n")) {
      const count = await this.conn.read(buffer);
      if (count === null) throw new Error("the client closed the connection");
      this.#rest += text(buffer.subarray(0, count));
    }
    const end = this.#rest.indexOf("\r\n\r\n") + 4;
    const request = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end);
    this.requests.push(request);
    return request;
  }

  async send(wire: string): Promise<void> {
    const data = bytes(wire);
    for (let sent = 0; sent < data.length;) sent += await this.conn.write(data.subarray(sent));
  }

  async answer(wire: string): Promise<void> {
    await this.request();
    await this.send(wire);
  }

  /** Waits until the client has closed the connection. */
  async closed(): Promise<void> {
    const buffer = new Uint8Array(65_536);
    try {
      while (await this.conn.read(buffer) !== null);
    } catch {
      // reset
    }
  }
}

/** What the server does with one connection. */
export type Script = (peer: Peer) => Promise<void>;

/** A server that runs one script for each connection, and the last script for all others. */
export class ScriptedServer implements AsyncDisposable {
  readonly requests: string[] = [];
  connections = 0;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #open = new Set<Deno.TcpConn>();
  readonly #playing = new Set<Promise<void>>();
  readonly #accepting: Promise<void>;

  constructor(...scripts: Script[]) {
    this.#accepting = this.#accept(scripts);
  }

  get port(): number {
    return this.#listener.addr.port;
  }

  async #accept(scripts: Script[]): Promise<void> {
    for await (const conn of this.#listener) {
      const script = scripts[Math.min(this.connections++, scripts.length - 1)];
      this.#open.add(conn);
      const playing = script(new Peer(conn, this.requests)).catch(() => {}).finally(() => {
        if (this.#open.delete(conn)) conn.close();
        this.#playing.delete(playing);
      });
      this.#playing.add(playing);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#accepting;
    for (const conn of this.#open) conn.close();
    this.#open.clear();
    await Promise.all(this.#playing);
  }
}

/** Answers one request. */
export const answering = (wire: string): Script => (peer) => peer.answer(wire);
/** Answers one request after another, then waits until the client closes the connection. */
export const keeping = (...wires: string[]): Script => async (peer) => {
  for (const wire of wires) await peer.answer(wire);
  await peer.closed();
};
/** Reads, but never responds. */
export const silent: Script = (peer) => peer.closed();
