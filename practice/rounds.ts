/**
 * The rounds of a drill: which function is judged, and with which fault.
 *
 * @module
 */

import { type FaultName, FAULTS, isFollowing } from "./faults.ts";

/** The name of a round: `"sound"`, `"wrong-key"`, or the name of a fault. */
export type RoundName = FaultName | "sound" | "wrong-key";

/**
 * One round of a drill.
 *
 * @example Usage
 * ```ts
 * import { startDrill } from "./drill.ts";
 *
 * await using drill = startDrill({
 *   port: 0,
 *   onWaiting: (round) => console.log(round.function, round.name, round.description),
 * });
 * ```
 */
export interface DrillRound {
  /** The function that the round judges; `null` if it judges both together. */
  readonly function: "do_key" | "do_put" | null;
  /** The name: `"sound"` (a normal response), `"wrong-key"`, or the name of a fault. */
  readonly name: RoundName;
  /** What happens on the wire. */
  readonly description: string;
  /** What the client must do. */
  readonly demand: string;
}

/** What the drill judges: two functions, a program that it runs, or any client that connects. */
export type CandidateKind = "module" | "command" | "wire";

/** Returns whether the client gets a key in this round, and must send it back. */
export function hasKey({ function: name, name: fault }: DrillRound): boolean {
  return name === "do_put" || !isBroken(fault);
}

/** Returns whether the response is incomplete or has no key, so that no client can succeed. */
export function isBroken(name: RoundName): boolean {
  return Object.hasOwn(FAULTS, name) && FAULTS[name as FaultName].isBroken;
}

/** Returns the fault of a round, if it has one. */
export function faultOf({ name }: DrillRound): FaultName | undefined {
  return Object.hasOwn(FAULTS, name) ? name as FaultName : undefined;
}

/** Returns whether the response is complete, but refuses the request or redirects it. */
export function isRefused(name: RoundName): boolean {
  return name === "wrong-key" || name === "redirect" || name.startsWith("status-");
}

/** Returns whether a request follows the redirect of this round's fault. */
export function isMoved(round: DrillRound, request: Uint8Array): boolean {
  const fault = faultOf(round);
  return fault !== undefined && isFollowing(fault, request);
}

/** Returns whether there is no complete response. */
export function isCutOff(name: RoundName): boolean {
  return CUT_OFF.includes(name);
}

const NAMES = Object.keys(FAULTS) as FaultName[];
const ODD = NAMES.filter((name) => !FAULTS[name].isBroken);
const BROKEN = NAMES.filter((name) => FAULTS[name].isBroken);
const REFUSED = BROKEN.filter(isRefused);
const CUT_OFF: RoundName[] = ["empty", "truncate", "reset", "garbage", "silent"];

/** The rounds for each kind of candidate, in this order. */
const ROUNDS: Record<CandidateKind, [DrillRound["function"], RoundName[]][]> = {
  module: [
    ["do_key", ["sound", ...NAMES]],
    ["do_put", ["sound", "wrong-key", ...ODD, ...REFUSED, ...CUT_OFF]],
  ],
  command: [
    [null, ["sound", ...ODD]],
    ["do_key", BROKEN],
    ["do_put", [...REFUSED, ...CUT_OFF]],
  ],
  wire: [
    [null, ["sound", ...ODD]],
    ["do_key", BROKEN],
    ["do_put", ["empty", "truncate", "garbage", "silent"]],
  ],
};

/**
 * Returns the rounds for a kind of candidate.
 *
 * @param kind The kind.
 * @param names The names of the rounds; by default all. `reset` selects each round with that name,
 * `reset:KEY` only the one for `do_key`, and `reset:PUT` only the one for `do_put`.
 * @returns The rounds, in the order of the names.
 * @throws {TypeError} If no round has one of the names.
 */
export function roundsOf(kind: CandidateKind, names?: readonly string[]): DrillRound[] {
  const all = ROUNDS[kind].flatMap(([fn, names]) =>
    names.map((name) => ({
      function: fn,
      name,
      description: describe(name),
      demand: demand(kind, fn, name),
    }))
  );
  return names?.flatMap((name) => find(all, name)) ?? all;
}

function find(rounds: DrillRound[], text: string): DrillRound[] {
  const [name, target] = text.split(":");
  const found = rounds.filter((round) =>
    round.name === name && (target === undefined || targetOf(round) === target)
  );
  if (found.length > 0) return found;
  throw new TypeError(`Cannot use round ${JSON.stringify(text)}: no round has this name`);
}

/** Returns the method whose responses have the fault; `undefined` if all have it. */
export function targetOf(round: DrillRound): "KEY" | "PUT" | undefined {
  return round.function === null ? undefined : round.function === "do_key" ? "KEY" : "PUT";
}

/** Returns the short name of a round, with its function (in a module) or its method. */
export function labelOf(round: DrillRound, isModule: boolean): string {
  if (isModule) return `${round.function} ${round.name}`;
  const target = targetOf(round);
  return target === undefined ? round.name : `${round.name}:${target}`;
}

function describe(name: RoundName): string {
  if (name === "sound") return "a normal response";
  if (name === "wrong-key") return "the key is wrong, so the server refuses it";
  return FAULTS[name].description;
}

/** Returns what the client must do in a round. */
function demand(kind: CandidateKind, fn: DrillRound["function"], name: RoundName): string {
  if (kind !== "module") {
    if (fn === null) return "the client must send the key back";
    if (fn === "do_key") return "the client must not send PUT, and must give up";
    return isRefused(name) ? "the client must print the message" : "the client must give up";
  }
  if (fn === "do_key") return `do_key() must return ${isBroken(name) ? "None" : "the key"}`;
  const mayRaise = isBroken(name) && !isRefused(name);
  return mayRaise
    ? "do_put() must end, and must not return half of the message"
    : "do_put() must return the message";
}
