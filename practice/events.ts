/**
 * What can be seen of a key server, as events.
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

/** What all events have. */
export interface ConnectionEvent {
  /** The connection: 1 for the first one, then 2, and so on. */
  connection: number;
  /** The client's end of it. */
  peer: Deno.NetAddr;
  /** When it happened, in milliseconds as of `Date.now()`. */
  time: number;
}

/** A client has connected. */
export interface ConnectedEvent extends ConnectionEvent {
  /** Which event it is. */
  type: "connected";
}

/** A request has come, or all that will ever come of one. */
export interface RequestEvent extends ConnectionEvent {
  /** Which event it is. */
  type: "request";
  /** All of it, as it came. */
  bytes: Uint8Array;
  /** In how many pieces it was read. */
  reads: number;
  /** The method, or `""` if there is no request line that can be made out. */
  method: string;
  /** The user id that the path names, decoded. */
  userId?: string;
}

/** Something is to be said about a request, or about a connection. */
export interface RemarkEvent extends ConnectionEvent {
  /** Which event it is. */
  type: "remark";
  /** What is to be said. */
  remark: Remark;
  /** The request that it is about, into which its offsets point, as far as it has come. */
  bytes: Uint8Array;
}

/** A request is being answered. */
export interface AnswerEvent extends ConnectionEvent {
  /** Which event it is. */
  type: "answer";
  /**
   * The status: 200, 400, 404, 405, or 100 before a body that the client waits to send; with a fault
   * also others, and 0 where the client gets none.
   */
  status: number;
  /** The body: a key, or a message. */
  message: string;
  /** All of it, as it goes over the wire. */
  bytes: Uint8Array;
  /** What is wrong with the request, if something is: whatever the answer is under a fault. */
  error?: Remark;
  /** The fault that this response has; absent if the response is sound. */
  fault?: FaultName;
  /** The request that it answers; before a 100, as far as it has come. */
  request: Uint8Array;
  /** That request's method, or `""` if there is no request line that can be made out. */
  method: string;
  /** The user id that its path names, decoded. */
  userId?: string;
}

/** A connection has ended. */
export interface ClosedEvent extends ConnectionEvent {
  /** Which event it is. */
  type: "closed";
  /** Who ended it: the side that was seen to close its half first, or to reset the connection. */
  by: "client" | "server";
}
