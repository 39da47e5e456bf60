/**
 * What the drill makes of the events of its server.
 *
 * @module
 */

import type { AnswerEvent, KeyServerEvent, RemarkEvent, RequestEvent } from "./events.ts";
import { cut, requestLine } from "./text.ts";

const MAX_EVENTS = 1000;
const MAX_SIZE = 1_048_576; // bytes in them

/** The events since the last verdict, as many as fit. */
export class EventBuffer {
  #events: KeyServerEvent[] = [];
  #size = 0; // bytes in them

  /** A copy of the events. */
  get all(): KeyServerEvent[] {
    return [...this.#events];
  }

  /** Replaces all of them. */
  set all(events: KeyServerEvent[]) {
    this.#events = events;
    this.#size = events.reduce((size, event) => size + sizeOf(event), 0);
  }

  /** Adds an event; if there are too many, drops it, or the oldest ones instead. */
  add(event: KeyServerEvent, dropsNew: boolean): void {
    const isFull = this.#events.length >= MAX_EVENTS || this.#size + sizeOf(event) > MAX_SIZE;
    if (isFull && dropsNew) return;
    if (isFull) this.all = this.#events.slice(MAX_EVENTS / 2);
    this.#events.push(event);
    this.#size += sizeOf(event);
  }
}

function sizeOf(event: KeyServerEvent): number {
  return "bytes" in event ? event.bytes.length : 0;
}

/** Tells whether a request is a browser's, or only looks whether the server is there. */
export function isProbe({ method, userId }: RequestEvent | AnswerEvent): boolean {
  return userId === undefined && /^(?:GET|HEAD|OPTIONS)$/.test(method);
}

/** Returns the request line, cut short. */
export function quote(request: Uint8Array): string {
  return cut(requestLine(request), 60);
}

/** Tells whether a request is a PUT, or is meant to be one. */
export function isPut(request: Uint8Array): boolean {
  return /^\W*PUT\b/i.test(requestLine(request));
}

/** The requests that got a response, or nothing in its place. */
export function answersOf(events: readonly KeyServerEvent[]): AnswerEvent[] {
  return events.filter((event) => event.type === "answer").filter(isFinal);
}

/** Whether an answer is to a request, and not the `100 Continue` before its body. */
export function isFinal({ status, request }: AnswerEvent): boolean {
  return status !== 100 && request.length > 0;
}

/** Whether the client closed a connection before it had read the last response. */
export function isUnread(events: readonly KeyServerEvent[], connection?: number): boolean {
  return events.some((event) =>
    event.connection === connection && event.type === "remark" && isLost(event)
  );
}

/** Whether a remark says that the client closed before it had read the response. */
export function isLost({ remark }: RemarkEvent): boolean {
  return remark.code === "gone" || remark.code === "reset";
}
