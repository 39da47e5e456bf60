/**
 * A listener whose connections can be reset.
 *
 * Deno's own sockets cannot be reset: they send FIN before they close, so the client sees a normal
 * end. Node's sockets can, so this listener uses them. It serves only the fault `reset`, because
 * Node's server has a problem: once all file descriptors have been used up, it never accepts a
 * client again, and reports no error.
 *
 * @module
 */

import type { Server as NodeServer, Socket } from "node:net";
import type { Conn } from "./connection.ts";

/** The maximum number of connections of clients. If there are more, an idle one is closed. */
export const MAX_RESETTABLE = 50;
/** The maximum number of pages that browsers keep open, in addition. */
export const MAX_PAGES = 300;

/** A listener that a server accepts connections from. */
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
   * Creates the listener. Clients can connect as soon as this returns.
   *
   * @param addr The IP address and the port.
   * @throws {Deno.errors.AddrInUse} If the system does not allow it.
   */
  constructor({ hostname, port }: Deno.NetAddr) {
    const { process } = globalThis as unknown as NodeGlobals; // an import would slow down every start
    const net = process.getBuiltinModule("node:net");
    // With an address, listen() would start later, and a client that connects now would be refused.
    // A handle is bound immediately.
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
    this.#server.on("error", () => {}); // a client could not be accepted
    this.#server.maxConnections = 2 * MAX_RESETTABLE + MAX_PAGES;
    this.#server.listen(handle);
    if (!this.#server.listening) refuse(port); // the "error" event would come too late
  }

  /** Returns the next connection. Rejects if the listener is closed and no connection is left. */
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
      /** Returns a bound handle, or an error number. */
      _createServerHandle(address: string, port: number, family: 4 | 6): object | number;
    };
  };
}

interface NodeSocket {
  /** `null` after the end. `getpeername()` returns 0, or an error number. */
  _handle: { getpeername(out: { address?: string }): number } | null;
}

/** A socket of Node with the interface of Deno. */
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
   * Rejects if the client has reset the connection, like a write of 0 bytes to a Deno socket. Node
   * does not pass such a write on to the system, so this asks the system for the peer instead.
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
