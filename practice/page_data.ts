/**
 * What the page for browsers gets over its stream of events. Each message is a {@linkcode PageData}
 * as JSON. It has what is new since the last message.
 *
 * @module
 */

import type { Severity } from "./remark.ts";
import type { UserRow } from "./user_table.ts";

/** How many requests from one machine the page shows. */
export const MAX_REQUESTS = 100;
/** How many bytes of a request, and of its response, the page shows. */
export const MAX_SHOWN_BYTES = 4096;

/** One message. What has not changed is absent. */
export interface PageData {
  /** Only in the first message of a stream. */
  hello?: PageHello;
  /**
   * The IP addresses and ports that clients have connected to. Only on the machine that
   * the server runs on.
   */
  addresses?: string[];
  /** New and changed requests, the oldest first. At most the last 100. */
  requests?: PageRequest[];
  /** New and changed users. Only on the machine that the server runs on, and not during a drill. */
  users?: UserRow[];
  /** All rounds of the drill. Only on the machine that the server runs on. */
  rounds?: PageRound[];
}

/** What a page must know first. */
export interface PageHello {
  /** Identifies this run of the server. If it differs from the last one, the page starts again. */
  run: string;
  /** The IP address whose requests the page gets. */
  address: string;
  /** Whether the browser runs on the same machine as the server. */
  isLocal: boolean;
  /** Whether a drill is running. */
  isDrill: boolean;
  /** Whether other machines can connect. */
  isShared: boolean;
  /** The server's clock: milliseconds, like `Date.now()`. */
  time: number;
}

/** A request, with its response. */
export interface PageRequest {
  /** Its number. A later request has a higher one. */
  id: number;
  /** When it came: milliseconds, like `Date.now()`. */
  time: number;
  /** The number of its connection. */
  connection: number;
  /** The port of the client. */
  port: number;
  /** Its first line as ASCII, at most 100 characters, without the middle of a key. */
  line: string;
  /** The user id, if one could be read. */
  user: string | null;
  /** The status of the response; 0 if the client gets none; `null` while the request is incomplete. */
  status: number | null;
  /** The name of the fault that the response has. */
  fault: string | null;
  remarks: PageRemark[];
  /** The bytes of the request. */
  request: PageBytes;
  /** How many reads it took to receive the request; `null` while it is incomplete. */
  reads: number | null;
  /** The bytes of the response. */
  response: PageBytes | null;
  /** Which side closed the connection; `null` while it is open. */
  closedBy: "client" | "server" | null;
  /** Whether a browser has sent it. Then the page removes it. */
  isWithdrawn: boolean;
}

/** A remark on a request or its connection. */
export interface PageRemark {
  severity: Severity;
  code: string;
  fact: string;
  help: string;
  /** The client's own line, corrected. */
  fix: string | null;
  /** The line that it is about, in three parts: before, the marked part (maybe `""`), and after. */
  excerpt: [before: string, marked: string, after: string] | null;
}

/** Bytes as ASCII text, with escape sequences. */
export interface PageBytes {
  /** How many bytes it has. The lines have at most the first {@linkcode MAX_SHOWN_BYTES}. */
  size: number;
  lines: PageSegment[][];
}

/** A part of a line. `end` is its line ending, as `\r\n`. `mark` is what a remark is about. */
export type PageSegment = [text: string, kind: "" | "end" | "mark"];

/** A round of a drill. */
export interface PageRound {
  /** Such as `do_key drip`, or `drip`. */
  label: string;
  /** What the server does in this round. */
  description: string;
  /** `later`; `next` (waits for a client); `running`; the verdict. */
  state: "later" | "next" | "running" | "passed" | "failed";
  /** Why it failed. */
  rationale: string | null;
  help: string | null;
}
