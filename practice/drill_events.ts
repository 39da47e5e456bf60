/**
 * Helpers with which the drill reads the events of its server.
 *
 * @module
 */

import type { DrillResult } from "./drill_types.ts";
import type { AnswerEvent, KeyServerEvent, RemarkEvent, RequestEvent } from "./events.ts";
import type { PageRound } from "./page_data.ts";
import { type DrillRound, labelOf } from "./rounds.ts";
import { cut, requestLine } from "./text.ts";

const MAX_EVENTS = 1000;
const MAX_SIZE = 1_048_576; // bytes of requests and responses in the events

/** The events since the last verdict, up to a limit. */
export class EventBuffer {
  #events: KeyServerEvent[] = [];
  #size = 0; // bytes of requests and responses in the events

  /** A copy of the events. */
  get all(): KeyServerEvent[] {
    return [...this.#events];
  }

  /** Replaces all events. */
  set all(events: KeyServerEvent[]) {
    this.#events = events;
    this.#size = events.reduce((size, event) => size + sizeOf(event), 0);
  }

  /** Removes the events of a connection. */
  drop(connection: number): void {
    this.all = this.#events.filter((event) => event.connection !== connection);
  }

  /** Adds an event. If the buffer is full, drops old events or, with `dropsNew`, this event. */
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

/**
 * Returns the rounds as the page shows them.
 *
 * @param rounds All rounds.
 * @param results The results so far.
 * @param state The state of the next round.
 * @param isModule Whether the functions of a module are judged.
 * @returns A row for each round.
 */
export function pageRoundsOf(
  rounds: readonly DrillRound[],
  results: readonly DrillResult[],
  state: "next" | "running",
  isModule: boolean,
): PageRound[] {
  return rounds.map((round, at) => {
    const { passed, cause } = results[at] ?? {};
    const now = at === results.length ? state : "later";
    return {
      label: labelOf(round, isModule),
      description: round.description,
      state: passed === undefined ? now : passed ? "passed" : "failed",
      rationale: cause?.rationale ?? null,
      help: cause?.help ?? null,
    };
  });
}

/** Returns whether a request comes from a browser, or only checks whether the server is running. */
export function isProbe({ method, userId }: RequestEvent | AnswerEvent): boolean {
  return userId === undefined && /^(?:GET|HEAD|OPTIONS)$/.test(method);
}

/** Returns the request line, cut short. */
export function quote(request: Uint8Array): string {
  return cut(requestLine(request), 60);
}

/** Returns whether a request is PUT, or was meant to be PUT. */
export function isPut(request: Uint8Array): boolean {
  return /^\W*PUT\b/i.test(requestLine(request));
}

/** Returns the `answer` event for each request. With some faults, its status is 0. */
export function answersOf(events: readonly KeyServerEvent[]): AnswerEvent[] {
  return events.filter((event) => event.type === "answer").filter(isFinal);
}

/** Returns whether this is the final response to a request, and not `100 Continue`. */
export function isFinal({ status, request }: AnswerEvent): boolean {
  return status !== 100 && request.length > 0;
}

/** Returns whether the client closed a connection before it had read the last response. */
export function isUnread(events: readonly KeyServerEvent[], connection?: number): boolean {
  return events.some((event) =>
    event.connection === connection && event.type === "remark" && isLost(event)
  );
}

/** Returns whether a remark says that the client closed before it had read the response. */
export function isLost({ remark }: RemarkEvent): boolean {
  return remark.code === "gone" || remark.code === "reset";
}
