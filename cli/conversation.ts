/**
 * The four stages at a terminal, or a half of them.
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
import { type Flags, UsageError } from "./flags.ts";
import { authority, complain, cut, type MainIo, print, printJson, shown } from "./output.ts";
import { transcriber } from "./transcript.ts";

const DECODER = new TextDecoder("utf-8", { ignoreBOM: true }); // keeps a BOM
const MAX_STDIN_SIZE = 4096; // bytes, a key has 128
const MAX_LINE = 500; // characters of a message in a line of standard error

export async function converse(flags: Flags, io: MainIo): Promise<number> {
  const { mode, json, host, port, user, verbose } = flags;
  const start = performance.now();
  let key: string | null = null;
  let response: KeyServerResponse | undefined;
  let error: { code: string; message: string } | null = null;
  try {
    const isShown = verbose || mode === "demo";
    const onMessage = isShown ? (message: WireMessage) => show(message) : undefined;
    using client = new KeyClient({ ...clientOptions(flags, io), onMessage });
    const given = mode === "put" ? await readKey(flags.put, io) : undefined;
    if (verbose && mode !== "demo") complain(io, `connecting to ${authority(host, port)}`);
    const show = transcriber(io, verbose); // whose clock starts
    const keyVal = given ?? await client.requestKey();
    if (mode !== "put") {
      key = DECODER.decode(keyVal as Uint8Array);
      if (!json) print(io.stdout, `${key}\n`);
    }
    if (mode !== "key") {
      response = await client.verifyKey(keyVal);
      if (!json) print(io.stdout, shown(io.stdout, response.message.replace(/\n?$/, "\n")));
      if (!response.ok) error = { code: "refused", message: refusal(response) };
      if (error && !json) complain(io, error.message);
    }
  } catch (caught) {
    if (!(caught instanceof KeyClientError)) throw caught;
    error = { code: caught.code, message: caught.message };
    if (caught.status !== undefined) response = caught.cause as KeyServerResponse;
    // Whole, where the library's sentence has it cut short.
    if (caught.code === "refused") error.message = refusal(response!, response!.message.trimEnd());
    if (!json) complain(io, explain(caught, verbose));
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

/** What standard error says of it: a line, with a hint. */
function explain({ code, message, cause }: KeyClientError, isVerbose: boolean): string {
  if (code === "connect-failed") return `${message}${connectHint(cause)}`;
  if (code !== "refused") return message;
  const response = cause as KeyServerResponse;
  return refusal(response, firstLine(response.message, isVerbose));
}

/** The first line that says something; of a page of HTML what is not markup. */
function firstLine(text: string, isVerbose: boolean): string {
  const isPage = PAGE_REGEXP.test(text);
  const content = isPage
    ? text.slice(0, MAX_PAGE_SIZE).replace(HIDDEN_REGEXP, "").replace(BLOCK_REGEXP, "\n")
      .replace(/<[^<>]*(?:>|$)/g, "")
    : text;
  const [line = "", ...more] = content.split("\n")
    .map((line) => line.trim()).filter((line) => line !== "");
  const isAll = isVerbose || line.length <= MAX_LINE && more.length === 0 && !isPage;
  return `${cut(line, MAX_LINE)}${isAll ? "" : " (--verbose shows more)"}`.trimStart();
}

const PAGE_REGEXP = /^\s*<(?:!--|(?:!doctype|\?xml|html|head|title|body|h1|div|p|pre)\b)/i;
const HIDDEN_REGEXP = /<!--[^]*?-->|<(style|script)\b[^]*?<\/\1>/gi;
const BLOCK_REGEXP = /<\/?(?:title|body|h\d|div|p|pre|li|tr|br)\b[^<>]*>/gi; // a line of its own
const MAX_PAGE_SIZE = 16_384; // characters, which have the title in them

function connectHint(cause: unknown): string {
  if (cause instanceof Deno.errors.NotCapable) return "";
  return cause instanceof Deno.errors.ConnectionRefused
    ? ": nothing listens there; is the server running, are --host and --port right? " +
      "(--serve runs a practice server)"
    : "; is --host right, and that machine on this network?";
}

function exitStatus(status: number): number {
  return status >= 500 ? 5 : status >= 400 ? 4 : 3;
}

export async function printRequest(flags: Flags, io: MainIo): Promise<number> {
  const options = clientOptions(flags, io);
  const request = flags.mode === "put"
    ? formatRequest("PUT", options, await readKey(flags.put, io))
    : formatRequest("KEY", { ...options, keepAlive: false });
  print(io.stdout, request);
  return 0;
}

/** Single stages have no use for a connection that is kept. */
function clientOptions(
  { mode, host, port, user, timeout }: Flags,
  { signal }: MainIo,
): KeyClientOptions {
  const keepAlive = mode !== "key" && mode !== "put";
  return { hostname: host, port, userId: user, timeout, keepAlive, signal };
}

/** The library names the option, a person at the command line wants to read the flag. */
export function toUsageError(error: unknown): unknown {
  const isMistake = error instanceof TypeError || error instanceof RangeError;
  if (!isMistake || !error.message.startsWith("Cannot use ")) return error;
  const flags: Record<string, string> = { hostname: "--host", userId: "--user", keyVal: "--put" };
  return new UsageError(error.message.replace(/hostname|userId|keyVal/, (name) => flags[name]));
}

/** Reads the key from standard input if it is `-`, without the white space around it. */
async function readKey(put: string, io: MainIo): Promise<Uint8Array | string> {
  if (put !== "-") return put;
  if (io.stdin.isTerminal?.()) {
    complain(io, "type the key, Enter, and Ctrl-D (on Windows Ctrl-Z and Enter)");
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
      `Cannot use --put -: standard input has more than ${MAX_STDIN_SIZE} bytes`,
    );
  }
  const isText = (byte: number) => !" \t\r\n".includes(String.fromCharCode(byte));
  const bytes = input.subarray(0, size);
  const key = bytes.slice(bytes.findIndex(isText), bytes.findLastIndex(isText) + 1);
  if (key.length === 0) {
    throw new UsageError("Cannot use --put -: there is no key in standard input");
  }
  return key;
}
