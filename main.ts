/**
 * The key client's command line: runs the conversation with a key server, or half of it, runs a
 * practice server, or judges another client.
 *
 * ```sh
 * deno run --allow-net main.ts --help
 * ```
 *
 * @module
 */

import { checkFlags, type Flags, type GivenFlags, readFlags, UsageError } from "./cli/flags.ts";
import { complain, type MainIo, OutputError, print, printError, printJson } from "./cli/output.ts";

export type { MainIo, OutputStream } from "./cli/output.ts";

/**
 * Runs the command line.
 *
 * @param args The arguments, without the program's name.
 * @param io The streams to use, by default those of the process, and a signal that interrupts.
 * @returns The exit status: 0 done, 1 no usable response or a failed round, 2 wrong command line or
 * cannot listen, 4 for a status 4xx, 5 for 5xx, 3 for others, 130 interrupted, 141 stdout closed.
 *
 * @example Usage
 * ```ts
 * import { main } from "./main.ts";
 *
 * console.log("exit status", await main(["--demo"]));
 * ```
 *
 * @example Capture the output
 * ```ts
 * import { main, type OutputStream } from "./main.ts";
 *
 * let text = "";
 * const stdout: OutputStream = {
 *   isTerminal: () => false,
 *   writeSync(p) {
 *     text += new TextDecoder().decode(p);
 *     return p.length;
 *   },
 * };
 * await main(["--version"], { stdout });
 * console.log(text); // key_client and the version
 * ```
 */
export async function main(args: string[], io: Partial<MainIo> = {}): Promise<number> {
  const { stdin, stdout, stderr } = Deno;
  const streams: MainIo = { stdin, stdout, stderr, ...io };
  const given = readFlags(args);
  try {
    return await run(given, streams).catch((error) => fail(error, given, streams));
  } catch (error) {
    const { message, cause } = error as OutputError; // `fail` throws only OutputError
    if (cause instanceof Deno.errors.BrokenPipe) return 141; // as if by SIGPIPE
    complain(streams, message);
    return 1;
  }
}

/** Loads only the modules of one mode, because parsing takes a large part of a short run. */
async function run(given: GivenFlags, io: MainIo): Promise<number> {
  const flags = checkFlags(given);
  switch (flags.mode) {
    case "help":
    case "version":
    case "faults":
      print(io.stdout, await explain(flags));
      return 0;
    case "serve": {
      const { serve } = await import("./cli/serve.ts");
      return await serve(flags, io);
    }
    case "drill": {
      const { drill } = await import("./cli/drill.ts");
      return await drill(flags, io);
    }
    default: {
      const { converse } = await import("./cli/conversation.ts");
      return await converse(flags, io);
    }
  }
}

async function explain({ mode, json }: Flags): Promise<string> {
  if (mode === "help") {
    const { formatHelp } = await import("./cli/help.ts");
    return formatHelp();
  }
  if (mode === "faults") {
    const { formatFaults } = await import("./cli/faults.ts");
    return formatFaults(json);
  }
  const { default: config } = await import("./deno.json", { with: { type: "json" } });
  return `key_client ${config.version}\n`;
}

/** Prints the error message, and returns the exit status. */
function fail(error: unknown, { values }: GivenFlags, io: MainIo): number {
  if (error instanceof OutputError) throw error;
  if (io.signal?.aborted && error === io.signal.reason) return 130;
  const [exit, code] = error instanceof UsageError ? [2, "usage"] : [1, "failed"];
  const message = error instanceof Error ? error.message : String(error);
  const help = error instanceof UsageError ? error.help : undefined;
  const isJson = values.has("json");
  const isServer = values.has("serve") || values.has("drill");
  if (!isJson || isServer) complain(io, message, help);
  if (isJson && isServer) printError(io, message, help);
  else if (isJson) printJson(io, { exit, error: { code, message, help: help ?? null } });
  return exit;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
