/**
 * Sockets that can be reset.
 *
 * @module
 */

import type { Server as NodeServer, Socket } from "node:net";
import type { Conn } from "./connection.ts";

export const MAX_RESETTABLE = 50; // connections, beyond which idle ones are closed

export interface Listener {
  readonly addr: Deno.NetAddr;
  accept(): Promise<Conn>;
  close(): void;
}

/**
 * Takes the place of a listener with sockets of Node's: those of Deno end their half of a connection
 * before they close it, so that a client sees its proper end where it should see a reset. They are
 * not for everybody: once descriptors were used up, they accept nobody any more, without a word.
 */
export class ResettingListener implements Listener {
  readonly addr: Deno.NetAddr;
  #server: NodeServer;
  #queue: Conn[] = [];
  #next: PromiseWithResolvers<Conn> | undefined = undefined;

  constructor(listener: Deno.TcpListener) {
    this.addr = listener.addr;
    listener.close();
    const { process } = globalThis as unknown as NodeGlobals; // an import would slow down every start
    this.#server = process.getBuiltinModule("node:net").createServer({ allowHalfOpen: true });
    this.#server.on("connection", (socket) => {
      this.#queue.push(new ResettableConn(socket));
      if (this.#next) this.#next.resolve(this.#queue.shift()!);
      this.#next = undefined;
    });
    this.#server.on("error", () => {}); // some client could not be let in
    this.#server.maxConnections = 2 * MAX_RESETTABLE;
    // listen() with an address begins only later, and who connects at once would be refused.
    const { TCP, constants } = process.binding("tcp_wrap");
    const handle = new TCP(constants.SERVER);
    const { hostname, port } = this.addr;
    const error = hostname.includes(":")
      ? handle.bind6(hostname, port, 0)
      : handle.bind(hostname, port);
    if (error !== 0) throw new Deno.errors.AddrInUse(`Cannot listen on port ${port}`);
    this.#server.listen(handle);
  }

  accept(): Promise<Conn> {
    const conn = this.#queue.shift();
    if (conn) return Promise.resolve(conn);
    this.#next = Promise.withResolvers();
    return this.#next.promise;
  }

  close(): void {
    this.#server.close();
    for (const conn of this.#queue) conn.close();
    this.#next?.reject(new Deno.errors.Interrupted());
  }
}

interface NodeGlobals {
  process: {
    getBuiltinModule(name: "node:net"): typeof import("node:net");
    binding(name: "tcp_wrap"): {
      TCP: new (type: number) => {
        bind(hostname: string, port: number): number;
        bind6(hostname: string, port: number, flags: number): number;
      };
      constants: { SERVER: number };
    };
  };
}

/** One of Node's sockets in the guise of one of Deno's. */
class ResettableConn implements Conn {
  readonly remoteAddr: Deno.NetAddr;
  #socket: Socket;
  #isEnded = false;
  #error: Error | undefined = undefined;
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    const { remoteAddress = "", remotePort = 0 } = socket;
    this.remoteAddr = { transport: "tcp", hostname: remoteAddress, port: remotePort };
    this.#socket = socket;
    socket.on("readable", () => this.#wake());
    socket.on("end", () => {
      this.#isEnded = true;
      this.#wake();
    });
    socket.on("error", (error) => this.#error = error);
    socket.on("close", () => {
      this.#error ??= new Deno.errors.Interrupted();
      this.#wake();
    });
  }

  async read(p: Uint8Array): Promise<number | null> {
    for (;;) {
      const data: Uint8Array | null = this.#socket.read(
        Math.min(p.length, this.#socket.readableLength) || undefined,
      );
      if (data) {
        p.set(data);
        return data.length;
      }
      if (this.#isEnded) return null;
      if (this.#error) throw this.#error;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  write(p: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#socket.write(p, (error) => error ? reject(error) : resolve(p.length));
    });
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve) => this.#socket.end(resolve));
  }

  setNoDelay(): void {
    this.#socket.setNoDelay();
  }

  close(): void {
    this.#socket.destroy();
  }

  reset(): void {
    this.#socket.resetAndDestroy();
  }
}
