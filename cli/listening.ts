/**
 * Shared by the practice server and the drill: both listen until they are interrupted.
 *
 * @module
 */

import type { Flags } from "./flags.ts";
import { authority, complain, type MainIo, printError } from "./output.ts";

const DOUBLE_TIME = 200; // milliseconds

/** Starts a server. If it cannot listen, prints why and returns `undefined`. */
export function listen<T>(
  start: () => T,
  { host, port, json }: Pick<Flags, "host" | "port" | "json">,
  io: MainIo,
): T | undefined {
  try {
    return start();
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    const [reason, help] = error instanceof Deno.errors.AddrInUse
      ? ["the port is in use", "stop the program that uses it, or choose another one with --port"]
      : error instanceof Deno.errors.AddrNotAvailable
      ? ["this machine does not have this IP address", "use --host 0.0.0.0 for all its addresses"]
      : [error instanceof Error ? error.message : String(error)];
    const message = `Cannot listen on ${authority(host, port)}: ${reason}`;
    if (json) printError(io, message, help);
    complain(io, message, help); // also with --json: a program may read stdout only at the end
  }
}

/** Returns whether a server listens on all IP addresses of this machine. */
export function isOnAll({ hostname }: Deno.NetAddr): boolean {
  return hostname === "0.0.0.0" || hostname === "::";
}

/** Returns the URL at which a browser on this machine finds the page of a server. */
export function pageOf(addr: Deno.NetAddr): string {
  const { hostname, port } = addr;
  const host = isOnAll(addr) ? hostname === "::" ? "::1" : "127.0.0.1" : hostname;
  return `http://${authority(host, port)}/`;
}

/**
 * Calls `interrupt` on each Ctrl-C, `kill` or abort of the signal. If `hangup` is true, also calls
 * it when the terminal is closed.
 *
 * @returns A function that removes the listeners.
 */
export function onInterrupt(
  { signal: abort }: MainIo,
  interrupt: () => void,
  { hangup = false } = {},
): () => void {
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  if (hangup && Deno.build.os !== "windows") signals.push("SIGHUP");
  let last = -Infinity;
  const listener = () => {
    const now = performance.now();
    if (now - last > DOUBLE_TIME) interrupt(); // `deno task` repeats the terminal's Ctrl-C
    last = now;
  };
  for (const signal of signals) Deno.addSignalListener(signal, listener);
  abort?.addEventListener("abort", listener, { once: true });
  if (abort?.aborted) listener();
  return () => {
    for (const signal of signals) Deno.removeSignalListener(signal, listener);
    abort?.removeEventListener("abort", listener);
  };
}
