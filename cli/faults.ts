/**
 * The faults of the practice server, at the command line.
 *
 * @module
 */

import { type FaultName, FAULTS } from "../practice/faults.ts";
import { quote, suggest, UsageError } from "./flags.ts";
import { jsonLine } from "./output.ts";

/**
 * Checks the value of `--fault`.
 *
 * @throws {UsageError} If no fault has this name.
 */
export function checkFault(name: string | undefined): FaultName | undefined {
  if (name === undefined || Object.hasOwn(FAULTS, name)) return name as FaultName | undefined;
  const nearest = suggest(name, [...Object.keys(FAULTS), "list"]);
  const cure = nearest ? `did you mean ${nearest}?` : "--fault list tells which there are";
  throw new UsageError(`Unknown fault ${quote(name)}, ${cure}`);
}

/** Formats `--fault list`. */
export function formatFaults(isJson: boolean): string {
  const faults = Object.entries(FAULTS);
  if (isJson) return faults.map(([name, fault]) => jsonLine({ name, ...fault })).join("");
  const list = (isWanted: boolean) =>
    faults.filter(([, { isBroken }]) => isBroken === isWanted)
      .map(([name, { description }]) => `  ${name.padEnd(11)} ${description}\n`).join("");
  return `delivered oddly: a good client is not disturbed\n${list(false)}` +
    `broken: a good client gives no key, and sends no PUT\n${list(true)}`;
}
