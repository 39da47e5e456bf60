/**
 * The key client's command line: holds the conversation with a key server, or one half of it,
 * shows it on the wire, plays the server, or judges another client.
 *
 * ```sh
 * deno run --allow-net main.ts --help
 * ```
 *
 * @module
 */

import config from "./deno.json" with { type: "json" };
import { converse, printRequest, toUsageError } from "./cli/conversation.ts";
import { parseFlags, UsageError } from "./cli/flags.ts";
import { complain, type MainIo, OutputError, print, printError, printJson } from "./cli/output.ts";

export type { MainIo, OutputStream } from "./cli/output.ts";

/**
 * Runs the command line.
 *
 * @param args The arguments, without the program's name.
 * @param io What to read and write, and what interrupts it; by default the process's own streams.
 * @returns The exit status: 0 done; 1 no usable answer; 2 usage, or it cannot listen there; 3, 4, 5
 * the server's answer was another non-2xx, a 4xx, a 5xx; 130 interrupted; 141 standard output was
 * closed.
 *
 * @example Usage
 * ```ts
 * import { main } from "./main.ts";
 *
 * console.log("exit status", await main(["--demo"]));
 * ```
 */
export async function main(args: string[], io: Partial<MainIo> = {}): Promise<number> {
  const { stdin, stdout, stderr } = Deno;
  const whole: MainIo = { stdin, stdout, stderr, ...io };
  try {
    return await run(args, whole).catch((error) => fail(error, args, whole));
  } catch (error) {
    const { cause } = error as OutputError; // nothing else is left
    if (cause instanceof Deno.errors.BrokenPipe) return 141; // as if by SIGPIPE
    complain(whole, (error as Error).message);
    return 1;
  }
}

async function run(args: string[], io: MainIo): Promise<number> {
  const flags = await parseFlags(args);
  switch (flags.mode) {
    case "help":
      print(io.stdout, await (await import("./cli/help.ts")).formatHelp());
      return 0;
    case "version":
      print(io.stdout, `key_client ${config.version}\n`);
      return 0;
    case "serve":
      return await (await import("./cli/serve.ts")).serve(flags, io);
    case "drill":
      return await (await import("./cli/drill.ts")).drill(flags, io);
    case "faults":
      print(io.stdout, await (await import("./cli/help.ts")).formatFaults(flags.json));
      return 0;
    case "demo": {
      const { startKeyServer } = await import("./practice/server.ts");
      await using server = startKeyServer({ port: 0 });
      const { port } = server.addr;
      const hint = flags.verbose ? "" : " (-v shows every byte)";
      complain(io, `practice server on 127.0.0.1:${port}${hint}`);
      return await converse({ ...flags, port }, io);
    }
    default:
      return flags.offline ? await printRequest(flags, io) : await converse(flags, io);
  }
}

/** Says in one line what went wrong, and gives the exit status. */
function fail(error: unknown, args: string[], io: MainIo): number {
  if (error instanceof OutputError) throw error;
  if (io.signal?.aborted && error === io.signal.reason) return 130;
  const mistake = toUsageError(error);
  const [exit, code] = mistake instanceof UsageError ? [2, "usage"] : [1, "failed"];
  const message = mistake instanceof Error ? mistake.message : String(mistake);
  const isJson = args.includes("--json");
  const isServer = args.includes("--serve") || args.includes("--drill");
  if (!isJson || isServer) complain(io, exit === 2 ? `${message}; see --help` : message);
  if (isJson && isServer) printError(io, message);
  else if (isJson) printJson(io, { exit, error: { code, message } });
  return exit;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
