/**
 * The practice server at a terminal.
 *
 * @module
 */

import { FAULTS, type KeyServerEvent, startKeyServer } from "../practice/server.ts";
import { eventLine, EventLog } from "./event_log.ts";
import { checkFault } from "./faults.ts";
import type { Flags } from "./flags.ts";
import { listen, onInterrupt } from "./listening.ts";
import { authority, jsonLine, type MainIo, outputFailure, painter } from "./output.ts";
import { QueuedOutput } from "./queued_output.ts";
import { UserTable } from "./user_table.ts";

export async function serve(flags: Flags, io: MainIo): Promise<number> {
  const { host, port, json, verbose } = flags;
  const fault = checkFault(flags.fault);
  const interrupts = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let exit = 130;
  const out = new QueuedOutput(
    io.stdout,
    (count) => jsonLine({ event: "lost", count }),
    (error) => {
      if (error instanceof Deno.errors.BrokenPipe) return; // nobody wants it any more
      log.print(`key_client: ${outputFailure(error)}\n`);
      exit = 1;
    },
  );
  const log = new QueuedOutput(io.stderr, (count) => `(${count} entries were not read in time)\n`);
  const table = new UserTable();
  const paint = painter(io.stderr);
  const eventLog = json && !verbose
    ? undefined
    : new EventLog((text) => log.print(text), paint, verbose);
  const onEvent = (event: KeyServerEvent) => {
    table.add(event);
    if (json) out.print(eventLine(event));
    eventLog?.add(event);
  };
  const start = () => startKeyServer({ hostname: host, port, fault, onEvent });
  const server = listen(start, { host, port, json }, io);
  if (!server) return 2;
  const [interrupted, again] = interrupts.map(({ promise }) => promise);
  const release = onInterrupt(io, () => interrupts.shift()?.resolve());
  const { hostname, port: actualPort } = server.addr;
  if (json) {
    out.print(jsonLine({ event: "listening", host: hostname, port: actualPort }));
  }
  const isAll = ["0.0.0.0", "::"].includes(hostname);
  const where = `${authority(hostname, actualPort)}${isAll ? " (all addresses it has)" : ""}`;
  log.print(`key_client: listening on ${where}, Ctrl-C ends it\n`);
  if (fault) {
    const { description, good } = FAULTS[fault];
    log.print(`key_client: ${fault}: ${description}; a good client ${good}\n`);
  }
  await interrupted;
  await Promise.race([server.shutdown(), again]);
  if (json) await out.end(jsonLine({ event: "users", users: table.rows() }));
  if (eventLog) await log.end(table.format());
  release(); // not before all is said
  return exit;
}
