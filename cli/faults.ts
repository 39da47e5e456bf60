/**
 * The faults of the practice server, at the command line.
 *
 * @module
 */

import { type FaultName, FAULTS, type FaultTarget } from "../practice/faults.ts";
import { type CandidateKind, roundsOf } from "../practice/rounds.ts";
import type { KeyServerOptions } from "../practice/server.ts";
import { quote, suggest, UsageError } from "./flags.ts";
import { jsonLine } from "./output.ts";

/** The fault that `--fault` asks for, and the method that it is limited to. */
export type FaultFlag = Pick<KeyServerOptions, "fault" | "faultOn">;

/**
 * Checks the value of `--fault` for the practice server: `NAME`, `NAME:KEY` or `NAME:PUT`.
 *
 * @throws {UsageError} If no fault has this name, or another method follows.
 */
export function checkFault(text: string | undefined): FaultFlag {
  if (text === undefined) return {};
  const [fault, faultOn] = split(text, Object.keys(FAULTS));
  return { fault: fault as FaultName, faultOn };
}

/**
 * Checks the value of `--fault` for a drill, where it names one or two rounds.
 *
 * @throws {UsageError} If no round has this name, or another method follows.
 */
export function checkRound(text: string, kind: CandidateKind): string {
  const [name, target] = split(text, [...Object.keys(FAULTS), "sound", "wrong-key"]);
  const round = target ? `${name}:${target}` : name;
  try {
    roundsOf(kind, [round]);
  } catch {
    throw new UsageError(`--fault ${round} is not a round of this drill`, LIST_HELP);
  }
  return round;
}

function split(text: string, names: string[]): [name: string, target: FaultTarget | undefined] {
  const [, name, end] = /^([^:]*)(.*)$/s.exec(text)!;
  const target = TARGETS.find((method) => `:${method}` === end.toUpperCase());
  const right = target ? `:${target}` : "";
  if (!names.includes(name)) {
    const nearest = suggest(name, [...names, "list"]);
    const suggestion = nearest && nearest !== "list" ? nearest + right : nearest;
    const help = suggestion ? `did you mean ${suggestion}?` : LIST_HELP;
    throw new UsageError(`unknown fault ${quote(text)}`, help);
  }
  if (end !== right) {
    const help = target ? `did you mean ${name}${right}?` : `write ${name}:KEY or ${name}:PUT`;
    throw new UsageError(`--fault must end with :KEY or :PUT, not ${quote(end)}`, help);
  }
  return [name, target];
}

const LIST_HELP = "run key_client --fault list to see all faults";
const TARGETS: FaultTarget[] = ["KEY", "PUT"];

/** Formats `--fault list`. */
export function formatFaults(isJson: boolean): string {
  const faults = Object.entries(FAULTS);
  if (isJson) return faults.map(([name, fault]) => jsonLine({ name, ...fault })).join("");
  const list = (isWanted: boolean) =>
    faults.filter(([, { isBroken }]) => isBroken === isWanted)
      .map(([name, { description }]) => `  ${name.padEnd(11)} ${description}\n`).join("");
  return `delivered oddly: a good client is not disturbed\n${list(false)}` +
    `broken: a good client gives up, and returns no key\n${list(true)}` +
    "NAME:KEY and NAME:PUT put the fault on one response only, as in reset:PUT\n";
}
