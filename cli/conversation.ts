/**
 * Runs the conversation, or half of it, and prints the result.
 *
 * @module
 */

import {
  formatRequest,
  KeyClient,
  KeyClientError,
  type KeyClientOptions,
  type KeyServerResponse,
  type WireMessage,
} from "../key_client.ts";
import { cut } from "../practice/text.ts";
import { type Flags, UsageError } from "./flags.ts";
import { authority, complain, type MainIo, print, printJson, shown } from "./output.ts";

const DECODER = new TextDecoder("utf-8", { ignoreBOM: true }); // keeps a BOM
const MAX_STDIN_SIZE = 4096; // bytes; a key has 128
const MAX_LINE = 500; // characters of a message on stderr

/** Runs all four stages or half of them, or only prints the request. Returns the exit status. */
export async function converse(flags: Flags, io: MainIo): Promise<number> {
  try {
    if (flags.mode === "demo") return await demonstrate(flags, io);
    return flags.offline ? await printRequest(flags, io) : await runStages(flags, io);
  } catch (error) {
    throw toUsageError(error);
  }
}

/** Runs the four stages against a practice server in this process. */
async function demonstrate(flags: Flags, io: MainIo): Promise<number> {
  const { startKeyServer } = await import("../practice/server.ts");
  await using server = startKeyServer({ port: 0 });
  const { port } = server.addr;
  const hint = flags.verbose ? "" : " (-v shows every byte)";
  complain(io, `practice server on 127.0.0.1:${port}${hint}`);
  return await runStages({ ...flags, port }, io);
}

async function runStages(flags: Flags, io: MainIo): Promise<number> {
  const { mode, json, host, port, user, verbose } = flags;
  const start = performance.now();
  let key: string | null = null;
  let response: KeyServerResponse | undefined;
  let error: { code: string; message: string; help: string | null } | null = null;
  try {
    const transcript = verbose || mode === "demo" ? await import("./transcript.ts") : undefined;
    const onMessage = transcript && ((message: WireMessage) => show?.(message));
    using client = new KeyClient({ ...clientOptions(flags, io), onMessage });
    const given = mode === "put" ? await readKey(flags.put, io) : undefined;
    if (verbose && mode !== "demo") complain(io, `connecting to ${authority(host, port)}`);
    const show = transcript?.transcriber(io, verbose); // starts its clock
    const keyVal = given ?? await client.requestKey();
    if (mode !== "put") {
      key = DECODER.decode(keyVal as Uint8Array);
      if (!json) print(io.stdout, `${key}\n`);
    }
    if (mode !== "key") {
      response = await client.verifyKey(keyVal);
      if (!json) print(io.stdout, shown(io.stdout, response.message.replace(/\n?$/, "\n")));
      if (!response.ok) error = { code: "refused", message: refusal(response), help: null };
      if (error && !json) complain(io, error.message);
    }
  } catch (caught) {
    if (!(caught instanceof KeyClientError)) throw caught;
    response = caught.response;
    const { message, help } = explain(caught, verbose);
    if (!json) complain(io, message, help);
    error = { code: caught.code, message: caught.message, help: help ?? null };
    // The library shortens the message, but JSON contains all of it.
    if (caught.code === "refused") error.message = refusal(response!, response!.message.trimEnd());
  }
  const exit = !error ? 0 : error.code === "refused" ? exitStatus(response!.status) : 1;
  if (json) {
    const { status, message } = response ?? {};
    const ms = Math.round(1000 * (performance.now() - start)) / 1000;
    printJson(io, { exit, host, port, user, key, status, message, error, ms });
  }
  return exit;
}

function refusal({ status }: KeyServerResponse, message = ""): string {
  return `The server answered with status ${status}${message && `: ${message}`}`;
}

/** Returns the message for stderr, and a help. */
function explain({ code, message, cause, response }: KeyClientError, isVerbose: boolean) {
  if (code === "connect-failed") return { message, help: connectHelp(cause) };
  if (code !== "refused") return { message };
  const [, fact, help] = /^([^\n]*)\nhelp: ([^\n]*)\n?$/.exec(response!.message) ?? [];
  const line = firstLine(fact ?? response!.message, isVerbose);
  return { message: refusal(response!, line), help: help && cut(help, MAX_LINE) };
}

/** Returns the first line that is not blank; if the text is HTML, its title or its first text. */
function firstLine(text: string, isVerbose: boolean): string {
  const isHtml = /^\s*<(?:!doctype|html)\b/i.test(text);
  const title = isHtml && /<title\b[^<>]*>([^<]+)/i.exec(text)?.[1];
  const content = isHtml ? title || text.replace(/<[^<>]*>/g, "\n") : text;
  const [line = "", ...more] = content.split("\n")
    .map((line) => line.trim()).filter((line) => line !== "");
  const isAll = isVerbose || line.length <= MAX_LINE && more.length === 0 && !isHtml;
  return `${cut(line, MAX_LINE)}${isAll ? "" : " (--verbose shows more)"}`.trimStart();
}

function connectHelp(cause: unknown): string | undefined {
  if (cause instanceof Deno.errors.NotCapable) return undefined;
  return cause instanceof Deno.errors.ConnectionRefused
    ? "start the server, or check --host and --port; --serve runs a practice server"
    : "check --host, and that you are on the right network";
}

function exitStatus(status: number): number {
  return status >= 500 ? 5 : status >= 400 ? 4 : 3;
}

async function printRequest(flags: Flags, io: MainIo): Promise<number> {
  const options = clientOptions(flags, io);
  const request = flags.mode === "put"
    ? formatRequest("PUT", options, await readKey(flags.put, io))
    : formatRequest("KEY", { ...options, keepAlive: false });
  print(io.stdout, request);
  return 0;
}

/** A single request does not need a persistent connection. */
function clientOptions(
  { mode, host, port, user, timeout }: Flags,
  { signal }: MainIo,
): KeyClientOptions {
  const keepAlive = mode !== "key" && mode !== "put";
  return { hostname: host, port, userId: user, timeout, keepAlive, signal };
}

/** The flag for each option of the library. */
const FLAG_OF_OPTION: Record<string, string> = {
  hostname: "--host",
  port: "--port",
  userId: "--user",
  timeout: "--timeout",
  keyVal: "--put",
};

/** Replaces the library's option at the start of the message by the flag. */
function toUsageError(error: unknown): unknown {
  const { option, message } = error as { option?: string; message: string };
  const flag = option && FLAG_OF_OPTION[option];
  return flag ? new UsageError(`${flag}${message.slice(option.length)}`) : error;
}

/** Returns the key. If `put` is `-`, reads the key from stdin, and trims the white space. */
async function readKey(put: string, io: MainIo): Promise<Uint8Array | string> {
  if (put !== "-") return put;
  if (io.stdin.isTerminal?.()) {
    complain(io, "type the key, press Enter, then Ctrl-D (on Windows Ctrl-Z, then Enter)");
  }
  const input = new Uint8Array(MAX_STDIN_SIZE + 1);
  let size = 0;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(io.signal!.reason);
  io.signal?.addEventListener("abort", abort);
  try {
    io.signal?.throwIfAborted();
    for (let count: number | null = 0; count !== null && size < input.length;) {
      size += count;
      count = await Promise.race([io.stdin.read(input.subarray(size)), aborted]);
    }
  } catch (cause) {
    io.signal?.throwIfAborted();
    throw new Error(`Cannot read standard input: ${(cause as Error).message}`, { cause });
  } finally {
    io.signal?.removeEventListener("abort", abort);
  }
  if (size === input.length) {
    throw new UsageError(
      `--put must be at most ${MAX_STDIN_SIZE} bytes, but standard input has more`,
    );
  }
  const isText = (byte: number) => !" \t\r\n".includes(String.fromCharCode(byte));
  const bytes = input.subarray(0, size);
  const key = bytes.slice(bytes.findIndex(isText), bytes.findLastIndex(isText) + 1);
  if (key.length === 0) throw new UsageError("--put must be a key, but standard input is empty");
  return key;
}
