/**
 * The events that a key server reports.
 *
 * @module
 */

import type { FaultName } from "./faults.ts";
import type { Remark } from "./remark.ts";

/**
 * Something that happened to a connection.
 *
 * @example Usage
 * ```ts
 * import { type KeyServerEvent, startKeyServer } from "./server.ts";
 *
 * const events: KeyServerEvent[] = [];
 * await using server = startKeyServer({ port: 0, onEvent: (event) => events.push(event) });
 * await fetch(`http://127.0.0.1:${server.addr.port}/user/Ada/`).then((response) => response.text());
 * console.log(events.map(({ type }) => type)); // connected, request, remark, answer
 * ```
 */
export type KeyServerEvent =
  | ConnectedEvent
  | RequestEvent
  | RemarkEvent
  | AnswerEvent
  | ClosedEvent;

/** The properties that all events have. */
export interface ConnectionEvent {
  /** The number of the connection: 1 for the first one, then 2, and so on. */
  connection: number;
  /** The IP address and the port of the client. */
  peer: Deno.NetAddr;
  /** When it happened: the milliseconds that `Date.now()` returns. */
  time: number;
  /**
   * `true` if a browser has sent the request, or if the connection may be a spare one of a browser.
   * Such an event is not a client's mistake. The event `connected` never has `isBrowser`: then
   * the server cannot know yet what the client is.
   */
  isBrowser?: true;
}

/** A client has connected. */
export interface ConnectedEvent extends ConnectionEvent {
  /** Which event it is. */
  type: "connected";
}

/** The server has received a request. It may be incomplete. */
export interface RequestEvent extends ConnectionEvent {
  /** Which event it is. */
  type: "request";
  /** The bytes of the request, with its body. */
  bytes: Uint8Array;
  /** The number of reads that it took to receive the request. */
  reads: number;
  /** The method, or `""` if the request line cannot be parsed. */
  method: string;
  /** The user id in the path, decoded. */
  userId?: string;
}

/** The server has a remark on a request or a connection. */
export interface RemarkEvent extends ConnectionEvent {
  /** Which event it is. */
  type: "remark";
  /** The remark. */
  remark: Remark;
  /** The request, as far as it has been received. The offsets of the remark point into it. */
  bytes: Uint8Array;
}

/** The server is sending a response. */
export interface AnswerEvent extends ConnectionEvent {
  /** Which event it is. */
  type: "answer";
  /**
   * The status: 200, 400, 404 or 405. It is 100 if the client waits for `100 Continue` before it
   * sends the body. With a fault, it can be another status, or 0 if the client gets no status.
   */
  status: number;
  /** The body: a key, or a message. */
  message: string;
  /** The bytes of the response that are sent. */
  bytes: Uint8Array;
  /** What is wrong with the request, if anything. It is the same with and without a fault. */
  error?: Remark;
  /** The fault of this response; absent if it has none. */
  fault?: FaultName;
  /** The request. If the status is 100, only the part that has been received. */
  request: Uint8Array;
  /** The method of the request, or `""` if the request line cannot be parsed. */
  method: string;
  /** The user id in the path of the request, decoded. */
  userId?: string;
}

/** A connection has closed. */
export interface ClosedEvent extends ConnectionEvent {
  /** Which event it is. */
  type: "closed";
  /** Which side closed it: the first to shut down its sending side or to reset the connection. */
  by: "client" | "server";
}
