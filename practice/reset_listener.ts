/**
 * A listener whose connections can be reset.
 *
 * Deno's sockets cannot: they send FIN before they close, so that the client sees a proper end.
 * Node's can, so this listener is made of them, for the fault `reset` only. They are not for
 * everybody: once file descriptors have been used up, they accept no client any more, without an
 * error.
 *
 * @module
 */

import type { Server as NodeServer, Socket } from "node:net";
import type { Conn } from "./connection.ts";

/** How many connections it serves, before idle ones are closed. */
export const MAX_RESETTABLE = 50;

/** What a server accepts connections from. */
export interface Listener {
  accept(): Promise<Conn>;
  close(): void;
}

/** A listener whose connections can be reset. */
export class ResetListener implements Listener {
  #server: NodeServer;
  #queue: Conn[] = [];
  #next: PromiseWithResolvers<Conn> | undefined = undefined;
  #isClosed = false;

  /**
   * Starts to listen, before it returns.
   *
   * @param addr The IP address and the port.
   * @throws {Deno.errors.AddrInUse} If the system refuses.
   */
  constructor({ hostname, port }: Deno.NetAddr) {
    const { process } = globalThis as unknown as NodeGlobals; // an import would slow down every start
    const net = process.getBuiltinModule("node:net");
    // With an address, listen() would begin only later, and a client that connects at once would be
    // refused. A handle is bound at once.
    const handle = net._createServerHandle(hostname, port, hostname.includes(":") ? 6 : 4);
    if (typeof handle === "number") {
      throw new Deno.errors.AddrInUse(`Cannot listen on port ${port}`);
    }
    this.#server = net.createServer({ allowHalfOpen: true });
    this.#server.on("connection", (socket) => {
      this.#queue.push(new ResettableConn(socket));
      if (this.#next) this.#next.resolve(this.#queue.shift()!);
      this.#next = undefined;
    });
    this.#server.on("error", () => {}); // a client could not be let in
    this.#server.maxConnections = 2 * MAX_RESETTABLE;
    this.#server.listen(handle);
    if (!this.#server.listening) refuse(port); // "error" would come only later
  }

  /** Returns the next connection; rejects when the listener is closed and none is left. */
  accept(): Promise<Conn> {
    const conn = this.#queue.shift();
    if (conn) return Promise.resolve(conn);
    if (this.#isClosed) return Promise.reject(new Deno.errors.Interrupted());
    this.#next = Promise.withResolvers();
    return this.#next.promise;
  }

  close(): void {
    this.#isClosed = true;
    this.#server.close();
    this.#next?.reject(new Deno.errors.Interrupted());
  }
}

function refuse(port: number): never {
  throw new Deno.errors.AddrInUse(`Cannot listen on port ${port}`);
}

interface NodeGlobals {
  process: {
    getBuiltinModule(name: "node:net"): typeof import("node:net") & {
      /** Returns a handle that is bound, or the number of an error. */
      _createServerHandle(address: string, port: number, family: 4 | 6): object | number;
    };
  };
}

interface NodeSocket {
  /** `null` after the end. Its function returns 0, or the number of an error. */
  _handle: { getpeername(out: { address?: string }): number } | null;
}

/** One of Node's sockets in the guise of one of Deno's. */
class ResettableConn implements Conn {
  readonly localAddr: Deno.NetAddr;
  readonly remoteAddr: Deno.NetAddr;
  #socket: Socket;
  #isEnded = false;
  #error: Error | undefined = undefined;
  #wake: () => void = () => {};

  constructor(socket: Socket) {
    const { localAddress = "", localPort = 0, remoteAddress = "", remotePort = 0 } = socket;
    this.localAddr = { transport: "tcp", hostname: localAddress, port: localPort };
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
    if (p.length === 0) return this.#writeNothing();
    return new Promise((resolve, reject) => {
      this.#socket.write(p, (error) => error ? reject(error) : resolve(p.length));
    });
  }

  /**
   * Fails if the client has reset the connection, as a write of no bytes does. Node's sockets do not
   * pass such a write on, but the system knows no peer any more.
   */
  #writeNothing(): Promise<number> {
    const { _handle: handle } = this.#socket as unknown as NodeSocket;
    const isReset = handle?.getpeername({}) !== 0;
    return isReset ? Promise.reject(new Deno.errors.BrokenPipe()) : Promise.resolve(0);
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
    const { resetAndDestroy, destroy }: Partial<Socket> = this.#socket;
    (resetAndDestroy ?? destroy)!.call(this.#socket); // Deno 2.5 and 2.6 cannot reset
  }
}
