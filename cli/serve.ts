/**
 * Runs the practice server for `--serve`.
 *
 * @module
 */

import { FAULTS } from "../practice/faults.ts";
import { type KeyServerEvent, type KeyServerOptions, startKeyServer } from "../practice/server.ts";
import { type UserRow, UserTable } from "../practice/user_table.ts";
import { eventLine, EventLog } from "./event_log.ts";
import { checkFault, type FaultFlag } from "./faults.ts";
import type { Flags } from "./flags.ts";
import { isOnAll, listen, onInterrupt, pageOf } from "./listening.ts";
import { authority, columnsOf, jsonLine, type MainIo, outputFailure, painter } from "./output.ts";
import { QueuedOutput } from "./queued_output.ts";
import { formatUsers } from "./user_table.ts";

/** The server's waiting times, which only tests change. */
export type ServeTimes = Pick<KeyServerOptions, "delay" | "idleTimeout">;

/** Runs the practice server until it is interrupted. Returns the exit status. */
export async function serve(flags: Flags, io: MainIo, times?: ServeTimes): Promise<number> {
  const { host, port, json, page, verbose } = flags;
  const setting = checkFault(flags.fault);
  let exit = 130;
  const log = new QueuedOutput(
    io.stderr,
    (count) => `(${count} log entries dropped: output too slow)\n`,
  );
  const out = new QueuedOutput(
    io.stdout,
    (count) => jsonLine({ event: "lost", count }),
    (error) => {
      if (error instanceof Deno.errors.BrokenPipe) return; // the reader has closed it
      log.print(`key_client: ${outputFailure(error)}\n`);
      exit = 1;
    },
  );
  const hasLog = verbose || !json;
  const eventLog = new EventLog(
    (text) => log.print(text),
    painter(io.stderr),
    verbose,
    io.stderr.isTerminal() ? columnsOf(io.stderr) : undefined,
  );
  const table = new UserTable();
  const onEvent = (event: KeyServerEvent) => {
    table.add(event);
    if (json && (verbose || !event.isBrowser || event.type === "closed")) {
      out.print(eventLine(event));
    }
    if (hasLog) eventLog.add(event);
  };
  const start = () => startKeyServer({ ...times, hostname: host, port, page, ...setting, onEvent });
  const server = listen(start, flags, io);
  if (!server) return 2;
  const interrupts = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const [interrupted, again] = interrupts.map(({ promise }) => promise);
  const release = onInterrupt(io, () => interrupts.shift()?.resolve());
  const { addr } = server;
  if (json) {
    const { hostname: host, port } = addr;
    out.print(jsonLine({ event: "listening", host, port, page: page ? pageOf(addr) : null }));
  }
  log.print(greeting(addr, setting) + (page ? invitation(addr) : ""));
  await interrupted;
  await Promise.race([server.shutdown(), again]);
  if (json) await out.end(jsonLine({ event: "users", users: table.rows().map(userOf) }));
  if (hasLog) await log.end(formatUsers(table.rows()));
  release(); // last, so that an interrupt cannot end the process earlier
  return exit;
}

/** Says where the page is. */
function invitation(addr: Deno.NetAddr): string {
  const page = pageOf(addr);
  if (!isOnAll(addr)) return `key_client: open ${page} to see the requests in a browser\n`;
  const students = `http://${authority("IP_ADDRESS", addr.port)}/`;
  return `key_client: open ${page}#class to see the class in a browser\n` +
    `key_client: students open ${students}, with the IP address of this machine\n`;
}

/** Returns a row for JSON. */
function userOf({ time, ...row }: UserRow) {
  return { ...row, time: new Date(time).toISOString() };
}

function greeting(addr: Deno.NetAddr, { fault, faultOn }: FaultFlag): string {
  const all = isOnAll(addr) ? " (all IP addresses of this machine)" : "";
  const where = `${authority(addr.hostname, addr.port)}${all}`;
  const line = `key_client: listening on ${where}, Ctrl-C ends it\n`;
  if (!fault) return line;
  const { isBroken, description, good } = FAULTS[fault];
  const place = faultOn ? ` on responses to ${faultOn}` : "";
  const advice = faultOn === "PUT" && isBroken ? "" : `; a good client ${good}`; // it has a key by then
  return `${line}key_client: ${fault}${place}: ${description}${advice}\n`;
}
