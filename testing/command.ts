/** What the tests of the command line share: they run it in this process, with streams of their own. */

import { type FaultName, FAULTS } from "../practice/server.ts";
import { main, type MainIo } from "../main.ts";

const decoder = new TextDecoder();

export interface Run {
  exit: number;
  stdout: string;
  stderr: string;
}

export interface Streams {
  stdin?: string;
  terminal?: boolean;
  signal?: AbortSignal;
  /** Called with all of stderr so far, whenever it grows. */
  onStderr?: (text: string) => void;
}

/** Runs main() with streams of its own. */
export async function run(
  args: string[],
  { stdin = "", terminal = false, signal, onStderr }: Streams = {},
): Promise<Run> {
  const input = new TextEncoder().encode(stdin);
  let given = 0;
  const capture = (onText?: (text: string) => void) => {
    const bytes: number[] = [];
    return {
      bytes,
      isTerminal: () => terminal,
      writeSync(p: Uint8Array) {
        const part = p.subarray(0, 1000); // short writes are in order
        bytes.push(...part);
        onText?.(decoder.decode(new Uint8Array(bytes)));
        return part.length;
      },
    };
  };
  const io = {
    stdin: {
      read(p: Uint8Array): Promise<number | null> {
        const part = input.subarray(given, given + Math.min(p.length, 50));
        p.set(part);
        given += part.length;
        return Promise.resolve(part.length || null);
      },
    },
    stdout: capture(),
    stderr: capture(onStderr),
    signal,
  } satisfies MainIo;
  const exit = await main(args, io);
  const [stdout, stderr] = [io.stdout, io.stderr]
    .map(({ bytes }) => decoder.decode(new Uint8Array(bytes)));
  return { exit, stdout, stderr };
}

/** A server that answers each connection with these bytes and closes it. */
export function answering(wire: string): AsyncDisposable & { port: string } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (const conn of listener) {
      await conn.read(new Uint8Array(4096));
      await conn.write(new TextEncoder().encode(wire));
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

/** What fails whenever it is written to or read from. */
export function failing(error: Error) {
  const fail = (): never => {
    throw error;
  };
  return { isTerminal: () => false, writeSync: fail, read: () => Promise.reject(error) };
}

/** A stream, and what has been written to it. */
export function capture() {
  const stream = {
    text: "",
    isTerminal: () => false,
    writeSync(p: Uint8Array) {
      stream.text += decoder.decode(p);
      return p.length;
    },
  };
  return stream;
}

export const FULL = new Error("No space left on device (os error 28)");
export const CLOSED = new Deno.errors.BrokenPipe("Broken pipe (os error 32)");

/** Runs --serve until the end of the block, or until it is stopped. */
export async function serving(args: string[], streams: Streams = {}) {
  const abort = new AbortController();
  const listening = Promise.withResolvers<string>();
  const running = run(["--serve", "--port", "0", ...args], {
    ...streams,
    signal: abort.signal,
    onStderr(text) {
      const port = /^key_client: listening on 127\.0\.0\.1:(\d+), Ctrl-C ends it\n/.exec(text)?.[1];
      if (port) listening.resolve(port);
      streams.onStderr?.(text);
    },
  });
  const stop = () => {
    abort.abort();
    return running;
  };
  const port = await listening.promise;
  return { port, stop, [Symbol.asyncDispose]: () => stop().then(() => {}) };
}

/** Sends this, and reads to the close. */
export async function send(port: string, wire: string, isAll = true): Promise<string> {
  using conn = await Deno.connect({ port: Number(port) });
  const response = new Response(conn.readable).text();
  const data = Uint8Array.from(wire, (char) => char.charCodeAt(0));
  for (let sent = 0; sent < data.length;) sent += await conn.write(data.subarray(sent));
  if (isAll) await conn.closeWrite();
  return await response;
}

/** The log without what is another one each time. */
export function timeless(log: string): string {
  return log.replace(/\d\d:\d\d:\d\d 127\.0\.0\.1:\d+/g, "TIME PEER").replace(
    /Date: .*GMT/g,
    "DATE",
  )
    .replace(/127\.0\.0\.1:\d+/g, "HOST");
}

/** Runs --drill until it is over, or until it is stopped. */
export async function drilling(args: string[], streams: Streams = {}) {
  const abort = new AbortController();
  const listening = Promise.withResolvers<number>();
  const running = run(["--drill", "--port", "0", ...args], {
    ...streams,
    signal: abort.signal,
    onStderr(text) {
      const port = /^key_client: drill on 127\.0\.0\.1:(\d+): run your client 20 times/.exec(text)
        ?.[1];
      if (port) listening.resolve(Number(port));
    },
  });
  const port = await listening.promise;
  return { port, running, stop: () => abort.abort() };
}

export const NAMES = Object.keys(FAULTS) as FaultName[];

export const NOT_PERMITTED =
  /^key_client: .*Requires net access to "127\.0\.0\.1:\d+", run again with the --allow-net flag\n$/;
