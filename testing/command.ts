/** Helpers for tests of the command line, which run it in this process with their own streams. */

import { drill, type DrillSettings } from "../cli/drill.ts";
import { checkFlags, readFlags } from "../cli/flags.ts";
import { serve, type ServeTimes } from "../cli/serve.ts";
import { main, type MainIo } from "../main.ts";
import { type FaultName, FAULTS } from "../practice/server.ts";
import { bytes } from "./bytes.ts";

export const NAMES = Object.keys(FAULTS) as FaultName[];
export const FULL = new Error("No space left on device (os error 28)");
export const CLOSED = new Deno.errors.BrokenPipe("Broken pipe (os error 32)");
export const NOT_PERMITTED =
  /^key_client: .*Requires net access to "127\.0\.0\.1:\d+", run again with the --allow-net flag\n$/;

export interface Run {
  exit: number;
  stdout: string;
  stderr: string;
}

export interface Streams {
  stdin?: string;
  /** Whether stdout and stderr are a terminal. */
  terminal?: boolean;
  signal?: AbortSignal;
  /** Settings of the practice server and the drill that no flag can change. */
  settings?: ServeTimes & DrillSettings;
  /** Called with all text so far, after each write. */
  onStdout?: (text: string) => void;
  onStderr?: (text: string) => void;
}

/** Runs main(). If there are `settings`, calls the mode itself, because main() cannot pass them. */
export async function run(args: string[], streams: Streams = {}): Promise<Run> {
  const { stdin = "", terminal, signal, settings, onStdout, onStderr } = streams;
  const input = new TextEncoder().encode(stdin);
  let given = 0;
  const read = (p: Uint8Array): Promise<number | null> => {
    const part = input.subarray(given, given + Math.min(p.length, 50));
    p.set(part);
    given += part.length;
    return Promise.resolve(part.length || null);
  };
  const stdout = capture({ terminal, onText: onStdout });
  const stderr = capture({ terminal, onText: onStderr });
  const io = { stdin: { read }, stdout, stderr, signal };
  const exit = settings ? await runMode(args, io, settings) : await main(args, io);
  return { exit, stdout: stdout.text, stderr: stderr.text };
}

/** Runs --serve or --drill. */
export async function runMode(
  args: string[],
  io: MainIo,
  settings: ServeTimes & DrillSettings,
): Promise<number> {
  const flags = checkFlags(readFlags(args));
  return flags.mode === "drill"
    ? await drill(flags, io, settings)
    : await serve(flags, io, settings);
}

/** Returns a stream that keeps all text. */
export function capture(
  { terminal = false, onText }: { terminal?: boolean; onText?: (text: string) => void } = {},
) {
  const decoder = new TextDecoder();
  const stream = {
    text: "",
    isTerminal: () => terminal,
    writeSync(p: Uint8Array) {
      const part = p.subarray(0, 1000); // a short write is allowed
      stream.text += decoder.decode(part, { stream: true });
      onText?.(stream.text);
      return part.length;
    },
  };
  return stream;
}

/** Returns a stream whose reads and writes fail. */
export function failing(error: Error) {
  const fail = (): never => {
    throw error;
  };
  return { isTerminal: () => false, writeSync: fail, read: () => Promise.reject(error) };
}

/** Starts a server that sends this response over each connection and closes it. */
export function answering(wire: string): AsyncDisposable & { port: string } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (const conn of listener) {
      await conn.read(new Uint8Array(4096));
      const data = new TextEncoder().encode(wire);
      for (let sent = 0; sent < data.length;) sent += await conn.write(data.subarray(sent));
      conn.close();
    }
  })();
  return {
    port: String(listener.addr.port),
    async [Symbol.asyncDispose]() {
      listener.close();
      await serving;
    },
  };
}

export function freePort(): string {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return String(listener.addr.port);
}

/** Runs --serve until `stop()` or the end of the block. */
export async function serving(args: string[], streams: Streams = {}) {
  const running = await listening(["--serve", ...args], /listening on .*:(\d+)(?:,| )/, streams);
  return { ...running, [Symbol.asyncDispose]: () => running.stop().then(() => {}) };
}

/** Runs --drill until it is finished or stopped. */
export function drilling(args: string[], streams: Streams = {}) {
  return listening(
    ["--drill", ...args],
    /drill on .*:(\d+): run your client (?:once|\d+ times)/,
    streams,
  );
}

async function listening(args: string[], pattern: RegExp, streams: Streams) {
  const abort = new AbortController();
  const port = Promise.withResolvers<string>();
  const finished = run([...args, "--port", "0"], {
    ...streams,
    signal: abort.signal,
    onStderr(text) {
      const match = pattern.exec(text.slice(0, 200));
      if (match) port.resolve(match[1]);
      streams.onStderr?.(text);
    },
  });
  const stop = () => {
    abort.abort();
    return finished;
  };
  return { port: await port.promise, finished, stop };
}

/** Sends the bytes, and reads until the connection closes. */
export async function send(port: string, wire: string, isAll = true): Promise<string> {
  using conn = await Deno.connect({ port: Number(port) });
  const response = new Response(conn.readable).text();
  const data = bytes(wire);
  for (let sent = 0; sent < data.length;) sent += await conn.write(data.subarray(sent));
  if (isAll) await conn.closeWrite();
  return await response;
}

/** Replaces times and ports, which differ in each run. */
export function timeless(log: string): string {
  return log.replace(/\d\d:\d\d:\d\d 127\.0\.0\.1:\d+/g, "TIME PEER")
    .replace(/Date: .*GMT/g, "DATE").replace(/127\.0\.0\.1:\d+/g, "HOST");
}
