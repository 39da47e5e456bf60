/**
 * The drill: it tests a client against a key server with one fault after another, and gives a
 * verdict for each fault.
 *
 * It judges the two functions of a module, a program, or any client that connects. If a response is
 * delivered oddly but complete, the client must still succeed. If there is no key, `do_key` must
 * return `None`. If the server refuses PUT, `do_put` must return the message. If the response to
 * PUT is broken, `do_put` must end.
 *
 * @example Judge a module
 * ```ts
 * import { startDrill } from "./drill.ts";
 *
 * const run = await Deno.permissions.query({ name: "run" });
 * if (run.state === "granted") { // to run `python3`, or Deno
 *   await using drill = startDrill({ candidate: "key_client.ts", port: 5000, rounds: ["reset"] });
 *   for (const round of await drill.finished) {
 *     console.log(round.function, round.name, round.passed, round.cause?.rationale);
 *   }
 * }
 * ```
 *
 * @example Judge any client that connects
 * ```ts
 * import { startDrill } from "./drill.ts";
 * import { doKey, doPut } from "../key_client.ts";
 *
 * await using drill = startDrill({ port: 0, rounds: ["chunked"] });
 * const options = { port: drill.addr.port };
 * const key = await doKey(options);
 * if (key) await doPut(key, options);
 * const [{ name, passed }] = await drill.finished;
 * console.log(name, passed); // chunked true
 * ```
 *
 * @module
 */

import { CandidateDrill } from "./candidate_drill.ts";
import type { Drill, DrillOptions } from "./drill_types.ts";
import { WireDrill } from "./wire_drill.ts";

export { CandidateError } from "./candidate.ts";
export type { Drill, DrillOptions, DrillResult } from "./drill_types.ts";
export type { DrillRound, RoundName } from "./rounds.ts";
export type { DrillCause } from "./verdicts.ts";
export type {
  AnswerEvent,
  ClosedEvent,
  ConnectedEvent,
  ConnectionEvent,
  FaultName,
  KeyServerEvent,
  Remark,
  RemarkCode,
  RemarkEvent,
  RequestEvent,
  Severity,
} from "./server.ts";

/**
 * Starts the drill. It prints nothing.
 *
 * @param options What to judge, where to listen, and what to call.
 * @returns The running drill.
 * @throws {Deno.errors.AddrInUse} If the port is in use.
 * @throws {RangeError} If a time is not above 0 or too large, or `rounds` or `candidate` is empty.
 * @throws {TypeError} If `rounds` has an unknown name, or `candidate` is not a file that can be
 * judged.
 *
 * @example Usage
 * ```ts
 * import { startDrill } from "./drill.ts";
 * import { doKey, doPut } from "../key_client.ts";
 *
 * await using drill = startDrill({
 *   port: 0,
 *   delay: 100,
 *   onResult: ({ name, passed, cause }) => console.log(name, passed, cause?.rationale),
 * });
 * const options = { port: drill.addr.port };
 * for (let round = 0; round < 3; round++) { // 25 for all rounds
 *   const key = await doKey(options);
 *   if (key) await doPut(key, options);
 * }
 * ```
 */
export function startDrill(options: DrillOptions = {}): Drill {
  const { candidate, rounds, timeout, patience, quiet } = options;
  for (const [name, list] of Object.entries({ rounds, candidate })) {
    if (list?.length === 0) throw new RangeError(`${name} must not be empty`);
  }
  for (const [name, time = 1] of Object.entries({ timeout, patience, quiet })) {
    if (time > 0 && time <= MAX_TIME) continue;
    throw new RangeError(`${name} must be above 0 and at most ${MAX_TIME}, not ${time}`);
  }
  return candidate === undefined ? new WireDrill(options) : new CandidateDrill(options, candidate);
}

const MAX_TIME = 2 ** 31 - 1; // ms; a longer timer fires at once
