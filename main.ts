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

import { parseArgs } from "jsr:@std/cli@1/parse-args";
import config from "./deno.json" with { type: "json" };
import {
  formatRequest,
  KeyClient,
  KeyClientError,
  type KeyClientOptions,
  type KeyServerResponse,
  type WireMessage,
} from "./key_client.ts";
import type { DrillCause, DrillResult } from "./practice/drill.ts";
import type { Fault, FaultName, KeyServerEvent } from "./practice/server.ts";
import type { Remark } from "./practice/rules.ts";

/**
 * What {@linkcode main} reads and writes, in place of the process's own.
 *
 * @example Usage
 * ```ts
 * import { main, type MainIo } from "./main.ts";
 *
 * const quiet = { isTerminal: () => false, writeSync: (p: Uint8Array) => p.length };
 * const io: MainIo = { stdin: Deno.stdin, stdout: quiet, stderr: quiet };
 * console.log("exit status", await main(["--version"], io));
 * ```
 */
export interface MainIo {
  /** Where `--put -` reads the key. */
  stdin: { read(p: Uint8Array): Promise<number | null>; isTerminal?(): boolean };
  /** Where results go. */
  stdout: OutputStream;
  /** Where everything else goes. */
  stderr: OutputStream;
  /** Interrupts, as Ctrl-C does. */
  signal?: AbortSignal;
}

/** Where {@linkcode main} writes. */
export interface OutputStream {
  /** Writes, and waits until it is done. */
  writeSync(p: Uint8Array): number;
  /** Writes; `--serve` does so if it can, so that a reader who is slow stops nobody. */
  write?(p: Uint8Array): Promise<number>;
  /** Whether a person may be looking. */
  isTerminal(): boolean;
}

interface Flag {
  letter?: string;
  /** What its value is called, if it takes one. */
  value?: string;
  default?: string;
  /** What it cannot be combined with. */
  contradicts?: string[];
  /** What it means nothing without. */
  needs?: string;
  help?: string;
}

/** All there is to know of each flag. */
const FLAGS: Record<string, Flag> = {
  key: { contradicts: ["put"], help: "stages 1 and 2 only: prints the key" },
  put: { value: "KEY", help: 'stages 3 and 4 only; "-" reads KEY from stdin' },
  host: { letter: "H", value: "HOST", default: "127.0.0.1" },
  port: { letter: "p", value: "PORT", default: "5000" },
  user: { letter: "u", value: "USER_ID", default: "User1" },
  timeout: {
    letter: "t",
    value: "SECONDS",
    default: "10",
    help: "for each request, connecting included",
  },
  verbose: { letter: "v", help: "shows the conversation on stderr" },
  json: { help: "prints JSON: an object, or with --serve events" },
  offline: { contradicts: ["json", "verbose"], help: "prints the request, and sends nothing" },
  demo: {
    contradicts: ["key", "put", "host", "port", "offline"],
    help: "converses with a practice server of its own",
  },
  serve: {
    contradicts: ["key", "put", "user", "timeout", "offline", "demo", "drill"],
    help: "is the practice server, until Ctrl-C",
  },
  fault: { value: "NAME", needs: "serve", help: 'with --serve: in every answer; "list" explains' },
  drill: {
    contradicts: ["key", "put", "user", "timeout", "offline", "demo", "fault"],
    help: "tries your client with one fault after another",
  },
  help: { letter: "h" },
  version: { letter: "V" },
};
const NAMES = Object.keys(FLAGS);

async function formatHelp(): Promise<string> {
  const rows = Object.entries(FLAGS).map(([name, flag]) => {
    const { letter, value, help, default: fallback } = flag;
    const names = `${letter ? `-${letter},` : "   "} --${name}${value ? ` ${value}` : ""}`;
    const about = [help ?? [], fallback ? `[${fallback}]` : []].flat().join(" ");
    return about ? `  ${names.padEnd(30)}${about}\n` : `  ${names}  `;
  });
  return `key_client ${config.version}: a client for the key server exercise
1. CLIENT ──▶ SERVER   KEY /user/<user_id>/
2. CLIENT ◀── SERVER   a key of 128 hex digits
3. CLIENT ──▶ SERVER   PUT /key/<user_id>/<key_val>/
4. CLIENT ◀── SERVER   a message
Usage: key_client [OPTIONS]     all four stages: prints key and message
${rows.join("").trimEnd()}
Faults: ${await faultNames()}
Exit status: 0 done, 1 no usable answer, 2 usage, 3 answer not 2xx, 4 4xx, 5 5xx
`;
}

/** The command line cannot be carried out as it is. */
class UsageError extends Error {}

/** Standard output has failed. */
class OutputError extends Error {}

interface Flags {
  mode: "all" | "key" | "put" | "demo" | "serve" | "drill" | "faults" | "help" | "version";
  put: string;
  host: string;
  port: number;
  user: string;
  timeout: number;
  fault: FaultName | undefined;
  verbose: boolean;
  json: boolean;
  offline: boolean;
}

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
      print(io.stdout, await formatHelp());
      return 0;
    case "version":
      print(io.stdout, `key_client ${config.version}\n`);
      return 0;
    case "serve":
      return await serve(flags, io);
    case "drill":
      return await drill(flags, io);
    case "faults":
      print(io.stdout, await formatFaults(flags.json));
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

// ---- Flags

async function parseFlags(args: string[]): Promise<Flags> {
  const parsed: Record<string, unknown> = parseArgs(canonicalWords(args), {
    string: NAMES.filter((name) => FLAGS[name].value),
    boolean: NAMES.filter((name) => !FLAGS[name].value),
    collect: NAMES,
  });
  const given = new Map<string, string>();
  for (const name of NAMES) {
    const values = parsed[name] as unknown[];
    if (values.length > 1) throw new UsageError(`Option --${name} is given ${values.length} times`);
    if (values.length === 1) given.set(name, String(values[0]));
  }
  const isList = given.get("fault") === "list";
  const modes = ["help", "version", "serve", "drill", "demo", "put", "key"] as const;
  const first = modes.find((mode) => given.has(mode)) ?? "all";
  const isAsked = first === "help" || first === "version"; // whatever else is given
  if (!isAsked) checkCombination(given, isList);
  const value = (name: string) => (isAsked ? undefined : given.get(name)) ?? FLAGS[name].default;
  return {
    mode: isList && !isAsked ? "faults" : first,
    put: value("put") ?? "",
    host: parseHost(value("host")!),
    port: parsePort(value("port")!, first === "serve" || first === "drill" ? 0 : 1),
    user: value("user")!,
    timeout: parseTimeout(value("timeout")!),
    fault: isList ? undefined : await parseFault(value("fault")),
    verbose: given.has("verbose"),
    json: given.has("json"),
    offline: given.has("offline"),
  };
}

/** One word for each flag, `--name` or `--name=value`: of other forms parseArgs loses values. */
function canonicalWords(args: string[]): string[] {
  const words = [...args];
  const canonical: string[] = [];
  const add = (name: string, attached?: string) => {
    if (FLAGS[name].value === undefined) {
      if (attached !== undefined) throw new UsageError(`Option --${name} takes no value`);
      return canonical.push(`--${name}`);
    }
    const isFlag = attached === undefined && /^-./s.test(words[0] ?? "");
    const value = isFlag ? undefined : attached ?? words.shift();
    if (value) return canonical.push(`--${name}=${value}`);
    const hint = isFlag ? ` (if it starts with "-", write --${name}=VALUE)` : "";
    throw new UsageError(`Option --${name} needs a value${hint}`);
  };
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const [, dashes, name, attached] = /^(--?)([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    if (word === "--" && words.length > 0) throw unexpected(words[0]);
    if (word === "--") break;
    if (!dashes || word === "-") throw unexpected(word);
    const isLong = dashes === "--";
    // One dash before a long name: `-user` would be the user `ser`.
    const isName = Object.hasOwn(FLAGS, isLong ? name : name.toLowerCase());
    if (isLong !== isName) throw unknownName(dashes + name);
    if (isLong) {
      add(name, attached);
      continue;
    }
    for (let rest = word.slice(1); rest !== "";) {
      const letter = String.fromCodePoint(rest.codePointAt(0)!);
      rest = rest.slice(letter.length);
      const flag = NAMES.find((name) => FLAGS[name].letter === letter);
      if (flag === undefined) throw unknownLetter(letter, word);
      const takesRest = FLAGS[flag].value !== undefined || rest.startsWith("=");
      add(flag, takesRest && rest ? rest.replace(/^=/, "") : undefined);
      if (takesRest) rest = "";
    }
  }
  return canonical;
}

function checkCombination(given: Map<string, string>, isList: boolean): void {
  const allowed = ["fault", "serve", "json"]; // beside `--fault list`
  for (const name of given.keys()) {
    const other = FLAGS[name].contradicts?.find((name) => given.has(name));
    if (other) throw new UsageError(`Options --${name} and --${other} contradict each other`);
    if (isList && !allowed.includes(name)) {
      throw new UsageError(`Options --fault list and --${name} contradict each other`);
    }
  }
  for (const name of given.keys()) {
    const { needs } = FLAGS[name];
    if (needs && !given.has(needs) && !isList) {
      throw new UsageError(`Option --${name} needs --${needs}`);
    }
  }
}

/** Finds what belongs into `--port`, or nowhere; all else the library checks. */
function parseHost(text: string): string {
  const bare = /^\[[\da-f.]*:[\da-f.:]*\]$/i.test(text) ? text.slice(1, -1) : text;
  const match = /^(\w+:\/\/)?(\[[\da-f.]*:[\da-f.:]*\]|[\w.-]+)(?::(\d*))?(\/(?!\/).*)?$/i.exec(
    bare,
  );
  const [, scheme, host, port, path] = match ?? [];
  const isPort = !port || Number(port) > 0 && Number(port) <= 65535;
  if (!isPort || scheme === undefined && port === undefined && path === undefined) return bare;
  const flags = `--host ${host.replace(/^\[|\]$/g, "")}${port ? ` --port ${port}` : ""}`;
  throw new UsageError(`Cannot use --host ${quote(text)}: write ${flags}`);
}

function parsePort(text: string, least: number): number {
  const port = /^\d+$/.test(text) ? Number(text) : NaN;
  if (port >= least && port <= 65535) return port;
  throw new UsageError(`Cannot use --port ${quote(text)}: it must be ${least} to 65535`);
}

/** Seconds to milliseconds. */
function parseTimeout(text: string): number {
  // Moving the point is exact, where 1.001 * 1000 is not.
  const timeout = /^(\d+(\.\d*)?|\.\d+)$/.test(text) ? Number(`${text}e3`) : NaN;
  if (timeout > 0 && timeout <= 2 ** 31 - 1) return timeout;
  const range = "a number of seconds, above 0 and at most 2147483.647";
  throw new UsageError(`Cannot use --timeout ${quote(text)}: it must be ${range}`);
}

async function parseFault(name: string | undefined): Promise<FaultName | undefined> {
  if (name === undefined) return undefined;
  const { FAULTS } = await import("./practice/server.ts");
  if (Object.hasOwn(FAULTS, name)) return name as FaultName;
  const names = [...Object.keys(FAULTS), "list"];
  const hint = names.find((other) => other.includes(name)) ?? suggest(name.toLowerCase(), names);
  const cure = hint ? `did you mean ${hint}?` : "--fault list tells which there are";
  throw new UsageError(`Unknown fault ${quote(name)}, ${cure}`);
}

function unexpected(word: string): UsageError {
  const hint = Object.hasOwn(FLAGS, word) ? `, did you mean --${word}?` : "";
  return new UsageError(`Unexpected argument ${quote(word)}${hint}`);
}

function unknownName(option: string): UsageError {
  const name = option.replace(/^-*/, "").toLowerCase();
  const nearest = name.startsWith("no-") ? undefined : suggest(name, NAMES);
  const hint = nearest ? `, did you mean --${nearest}?` : "";
  return new UsageError(`Unknown option ${quote(option)}${hint}`);
}

function unknownLetter(letter: string, word: string): UsageError {
  const lower = letter.toLowerCase();
  const nearest = NAMES.find((name) => FLAGS[name].letter?.toLowerCase() === lower) ??
    NAMES.find((name) => name[0] === lower);
  const option = `-${letter}`;
  const place = word === option ? "" : ` in ${quote(word)}`;
  const hint = nearest ? `, did you mean --${nearest}?` : "";
  return new UsageError(`Unknown option ${quote(option)}${place}${hint}`);
}

/** Shows a word of the command line, cut short. */
function quote(word: string): string {
  return JSON.stringify(cut(word, 80));
}

/** The name that somebody may have meant, if one is near. */
function suggest(word: string, names: string[]): string | undefined {
  const edits = (name: string) => word.startsWith(name) ? 0 : editDistance(word, name);
  return names.filter((name) => edits(name) <= name.length / 2)
    .sort((a, b) => edits(a) - edits(b))[0];
}

/** How many characters must be added, dropped or changed to make one text of the other. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (const [at, char] of [...from.slice(0, 32)].entries()) {
    const next = [at + 1];
    for (let column = 0; column < to.length; column++) {
      const change = row[column] + (char === to[column] ? 0 : 1);
      next.push(Math.min(change, row[column + 1] + 1, next[column] + 1));
    }
    row = next;
  }
  return row[to.length];
}

// ---- The conversation

async function converse(flags: Flags, io: MainIo): Promise<number> {
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

async function printRequest(flags: Flags, io: MainIo): Promise<number> {
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
function toUsageError(error: unknown): unknown {
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

// ---- The practice server

/** Loaded when they are needed: they would slow down every other start. */
let check: typeof import("./practice/rules.ts");

async function serve({ host, port, fault, json, verbose }: Flags, io: MainIo): Promise<number> {
  const { FAULTS, startKeyServer } = await import("./practice/server.ts");
  check = await import("./practice/rules.ts");
  const interrupts = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let exit = 130;
  const out = new Log(io.stdout, (count) => jsonLine({ event: "lost", count }), (error) => {
    if (error instanceof Deno.errors.BrokenPipe) return; // nobody wants it any more
    log.print(`key_client: ${outputFailure(error)}\n`);
    exit = 1;
  });
  const log = new Log(io.stderr, (count) => `(${count} entries were not read in time)\n`);
  const table = new UserTable();
  const show = json && !verbose ? undefined : logger(log, verbose);
  const onEvent = (event: KeyServerEvent) => {
    table.add(event);
    if (json) out.print(eventLine(event));
    show?.(event);
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
  if (show) await log.end(table.format());
  release(); // not before all is said
  return exit;
}

/** Starts something that listens, or says why it cannot. */
function listen<T>(
  start: () => T,
  { host, port, json }: Pick<Flags, "host" | "port" | "json">,
  io: MainIo,
): T | undefined {
  try {
    return start();
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) throw error;
    const reason = error instanceof Deno.errors.AddrInUse
      ? "the port is in use, choose another one with --port"
      : error instanceof Deno.errors.AddrNotAvailable
      ? "that is no address of this machine; --host 0.0.0.0 is all of them"
      : error instanceof Error
      ? error.message
      : String(error);
    const message = `Cannot listen on ${authority(host, port)}: ${reason}`;
    if (json) printError(io, message);
    complain(io, message); // also to who looks at the output only when it is over
  }
}

/** Calls this whenever Ctrl-C, `kill` or the signal interrupts; gives what ends that. */
function onInterrupt({ signal: abort }: MainIo, interrupt: () => void): () => void {
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  let last = -Infinity;
  const listener = () => {
    const now = performance.now();
    if (now - last > 200) interrupt(); // `deno task` sends once more what the terminal has sent
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

/** Host and port as they stand in a URL. */
function authority(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Writes without ever waiting for who reads: what is too much is dropped, and counted. */
class Log {
  readonly isColored: boolean;
  #stream: OutputStream;
  #formatLost: (count: number) => string;
  #waiting: string[] = [];
  #size = 0; // characters waiting
  #lost = 0; // prints dropped since the last one that was not
  #isGone = false; // nobody reads it any more
  #writing: Promise<void> | undefined = undefined;
  #onFailure?: (error: unknown) => void;

  constructor(
    stream: OutputStream,
    formatLost: (count: number) => string,
    onFailure?: (error: unknown) => void,
  ) {
    this.#stream = stream;
    this.#formatLost = formatLost;
    this.#onFailure = onFailure;
    this.isColored = stream.isTerminal() && !Deno.noColor;
  }

  print(text: string): void {
    if (this.#size > MAX_WAITING) this.#lost++;
    else this.#add(text);
  }

  /** Prints something last, whatever is waiting, and gives it a moment. */
  async end(text: string): Promise<void> {
    this.#add(text);
    const moment = Promise.withResolvers<void>();
    const timer = setTimeout(moment.resolve, 200);
    await Promise.race([this.#writing, moment.promise]);
    clearTimeout(timer);
  }

  #add(text: string): void {
    if (this.#isGone) return;
    if (this.#lost > 0) this.#waiting.push(this.#formatLost(this.#lost));
    this.#lost = 0;
    this.#waiting.push(text);
    this.#size += text.length;
    this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const bytes = ENCODER.encode(this.#waiting.join(""));
        this.#waiting = [];
        this.#size = 0;
        for (let sent = 0; sent < bytes.length;) {
          const rest = bytes.subarray(sent);
          sent += await (this.#stream.write?.(rest) ?? this.#stream.writeSync(rest));
        }
      }
    } catch (error) {
      this.#isGone = true;
      this.#onFailure?.(error);
    }
    this.#writing = undefined;
  }
}

/** Shows what happens: a line for each request, and what there is to say about it. */
function logger(
  log: Pick<Log, "isColored" | "print">,
  isVerbose: boolean,
): (event: KeyServerEvent) => void {
  const paint = (code: number, text: string) =>
    log.isColored ? `\x1b[${code}m${text}\x1b[0m` : text;
  const requests = new Map<number, { reads: number; remarks: Remark[] }>(); // being answered
  let heading = ""; // the last one, of what is about no answer

  const head = ({ time, peer }: KeyServerEvent) =>
    `${new Date(time).toTimeString().slice(0, 8)} ${authority(peer.hostname, peer.port)}  `;
  const remarkLines = ({ severity, message, start, end }: Remark, bytes: Uint8Array) => {
    const color = { error: 31, warning: 33, note: 36 }[severity];
    const lines = severity === "note" ? [] : excerpt(bytes, start, end, isVerbose);
    const caret = lines.pop();
    return `  ${paint(color, severity)}: ${message}\n` +
      lines.map((line) => `    ${line}\n`).join("") +
      (caret === undefined ? "" : `    ${paint(color, caret)}\n`);
  };
  return (event) => {
    let text = "";
    switch (event.type) {
      case "connected":
        if (isVerbose) text = `${head(event)}connected\n`;
        break;
      case "request":
        requests.set(event.connection, { reads: event.reads, remarks: [] });
        break;
      case "remark": {
        const request = requests.get(event.connection);
        if (request) {
          request.remarks.push(event.remark);
          break;
        }
        const line = check.requestLine(event.bytes);
        const isUnfinished = event.remark.severity === "error"; // which comes before its warnings
        if (heading !== `${event.connection} ${line}`) {
          heading = `${event.connection} ${line}`;
          text = `${head(event)}${line}${isUnfinished ? "  unfinished" : ""}\n`;
          if (isVerbose && isUnfinished) text += wireLines(">", event.bytes);
        }
        log.print(text + remarkLines(event.remark, event.bytes));
        return;
      }
      case "answer": {
        const { status, request, bytes } = event;
        if (status === 100) { // the answer itself is still to come
          if (isVerbose) {
            text = `${head(event)}${check.requestLine(request)}\n${wireLines("<", bytes)}`;
          }
          break;
        }
        const outcome = status === 0 ? "no answer" : `${status}`;
        const fault = event.fault ? ` (${event.fault})` : "";
        const color = status < 400 && status > 0 ? 32 : 31;
        text = `${head(event)}${check.requestLine(request)}  ${paint(color, outcome)}${fault}\n`;
        const { reads, remarks } = requests.get(event.connection) ?? { reads: 0, remarks: [] };
        if (isVerbose) {
          const pieces = reads === 1 ? "in one read" : `in ${reads} reads`;
          text += `${wireLines(">", request)}   (${request.length} bytes, ${pieces})\n`;
        }
        if (event.error && remarks.every(({ severity }) => severity !== "error")) {
          text += `  ${paint(31, "error")}: ${event.error.message}\n`; // said before, of the unfinished request
        }
        for (const remark of remarks) text += remarkLines(remark, request);
        if (isVerbose && bytes.length > 0) text += wireLines("<", bytes);
        requests.delete(event.connection);
        break;
      }
      case "closed":
        requests.delete(event.connection);
        if (isVerbose) text = `${head(event)}closed by the ${event.by}\n`;
    }
    if (text === "") return;
    heading = "";
    log.print(text);
  };
}

/** The line of a request that a remark is about, and carets under what it is about. */
function excerpt(request: Uint8Array, start: number, end: number, isVerbose: boolean): string[] {
  const lineStart = start === 0 ? 0 : request.lastIndexOf(LF, start - 1) + 1;
  const lineEnd = request.indexOf(LF, start) + 1 || request.length;
  const line = check.visible(request.subarray(lineStart, lineEnd), isVerbose);
  const isEmpty = line.every((char) => char === "\\r" || char === "\\n");
  if (start === 0 && end === 0 || start === end && isEmpty) return [];
  const before = line.slice(0, start - lineStart).join("");
  const marked = line.slice(start - lineStart, end - lineStart).join("");
  const from = Math.max(0, before.length - 60); // a long line is cut on both sides
  const shown = (from > 0 ? "..." : "") + line.join("").slice(from);
  const indent = before.length - from + (from > 0 ? 3 : 0);
  return [
    cut(shown, 100),
    " ".repeat(indent) + "^".repeat(Math.min(Math.max(1, marked.length), 100 - indent)),
  ];
}

/** The wire, a line each, with its line ends. */
function wireLines(arrow: string, bytes: Uint8Array): string {
  const more = bytes.length - MAX_SHOWN_BODY;
  let text = "";
  for (let at = 0; at < bytes.length && at < MAX_SHOWN_BODY;) {
    const end = bytes.indexOf(LF, at) + 1 || bytes.length;
    text += `   ${arrow} ${
      check.visible(bytes.subarray(at, Math.min(end, MAX_SHOWN_BODY)), true).join("")
    }\n`;
    at = end;
  }
  return more > 0 ? `${text}   (${more} more bytes)\n` : text;
}

function cut(text: string, width: number): string {
  return text.length > width
    ? `${text.slice(0, width - 3).replace(/[\ud800-\udbff]$/, "")}...`
    : text;
}

interface UserRow {
  /** `null` for requests that name nobody. */
  user: string | null;
  address: string;
  asked: number;
  verified: number;
  errors: number;
  remark: string | null;
}

/** What became of each user, for who runs the exercise. */
class UserTable {
  #rows = new Map<string, UserRow>();
  #remarks = new Map<number, Remark>(); // of connections: the first one that is not yet answered
  #users = new Map<number, string | null>(); // of connections: the last one

  add(event: KeyServerEvent): void {
    const { connection, peer } = event;
    if (event.type === "remark" && event.remark.severity === "note") {
      // Of one who has not come through it tells why.
      const row = this.#row(this.#users.get(connection) ?? null, peer.hostname);
      if (row.verified === 0) row.remark ??= event.remark.message;
    } else if (event.type === "remark") {
      if (!this.#remarks.has(connection)) this.#remarks.set(connection, event.remark);
    } else if (event.type === "request") {
      this.#remarks.delete(connection); // it was unfinished when that was said
      this.#users.set(connection, event.userId ?? null);
    } else if (event.type === "answer" && event.status !== 100) {
      const row = this.#row(event.userId ?? null, peer.hostname);
      if (event.error) row.errors++;
      else if (event.method === "KEY") row.asked++;
      else row.verified++;
      row.remark = event.error?.message ?? this.#remarks.get(connection)?.message ?? row.remark;
      this.#remarks.delete(connection);
    } else if (event.type === "closed") {
      const remark = this.#remarks.get(connection);
      if (remark !== undefined) {
        const isError = remark.severity === "error"; // of a request that was never answered
        const user = isError ? null : this.#users.get(connection) ?? null;
        const row = this.#row(user, peer.hostname);
        if (isError) row.errors++;
        row.remark = remark.message;
      }
      this.#remarks.delete(connection);
      this.#users.delete(connection);
    }
  }

  rows(): UserRow[] {
    return [...this.#rows.values()];
  }

  format(): string {
    const head = ["user", "address", "asked", "verified", "errors", "last remark"];
    const rows = this.rows().slice(-MAX_SHOWN_USERS).map((row) => [
      cut(
        row.user === null
          ? "(unknown)"
          : row.user === ""
          ? "(empty)"
          : escapeControls(row.user.replace(/[\t\r\n]/g, "?")),
        24,
      ),
      row.address,
      ...[row.asked, row.verified, row.errors].map(String),
      cut(row.remark === null ? "" : check.factOf({ message: row.remark }), 60),
    ]);
    if (rows.length === 0) return "\nkey_client: nobody came\n";
    const widths = head.map((name, at) =>
      Math.max(name.length, ...rows.map((row) => row[at].length))
    );
    const lines = [head, ...rows].map((row) =>
      row.map((cell, at) => at > 1 && at < 5 ? cell.padStart(widths[at]) : cell.padEnd(widths[at]))
        .join("  ").trimEnd()
    );
    const more = this.#rows.size - rows.length;
    if (more > 0) lines.push(`(and ${more} users more)`);
    return `\n${lines.join("\n")}\n`;
  }

  #row(user: string | null, address: string): UserRow {
    const name = JSON.stringify([user, address]);
    const row = this.#rows.get(name) ??
      { user, address, asked: 0, verified: 0, errors: 0, remark: null };
    this.#rows.delete(name); // who came last is last
    this.#rows.set(name, row);
    if (this.#rows.size > MAX_USERS) this.#rows.delete(this.#rows.keys().next().value!);
    return row;
  }
}

/** An event as one JSON object on a line; bytes become characters, as ISO 8859-1 has it. */
function eventLine(event: KeyServerEvent): string {
  const { type, connection, peer, time } = event;
  const common = {
    event: type,
    connection,
    peer: authority(peer.hostname, peer.port),
    time: new Date(time).toISOString(),
  };
  switch (event.type) {
    case "request": {
      const { method, userId, reads, bytes } = event;
      return jsonLine({ ...common, method, user: userId ?? null, reads, wire: latin1(bytes) });
    }
    case "remark":
      return jsonLine({ ...common, ...event.remark });
    case "answer": {
      const { method, userId, status, message, bytes } = event;
      const about = { user: userId ?? null, status, message, fault: event.fault ?? null };
      return jsonLine({ ...common, method, ...about, wire: latin1(bytes) });
    }
    case "closed":
      return jsonLine({ ...common, by: event.by });
    default:
      return jsonLine(common);
  }
}

function latin1(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

// ---- Faults and the drill

/** The names of all faults, in lines that fit into the help. */
async function faultNames(): Promise<string> {
  const { FAULTS } = await import("./practice/server.ts");
  const names = Object.keys(FAULTS).join(", ");
  return names.replace(/(.{1,71})(?:, |$)/g, "$1,\n        ").trimEnd().slice(0, -1);
}

async function formatFaults(isJson: boolean): Promise<string> {
  const { FAULTS } = await import("./practice/server.ts");
  const faults = Object.entries(FAULTS);
  if (isJson) return faults.map(([name, fault]) => jsonLine({ name, ...fault })).join("");
  const list = (isWanted: boolean) =>
    faults.filter(([, { isBroken }]) => isBroken === isWanted)
      .map(([name, { description }]) => `  ${name.padEnd(11)} ${description}\n`).join("");
  return `delivered oddly: a good client is not disturbed\n${list(false)}` +
    `broken: a good client gives no key, and sends no PUT\n${list(true)}`;
}

/** Breaks a text into lines that fit a terminal, indented. */
function wrap(text: string): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = `${lines.at(-1)} ${word}`;
    if (line.length > 76) lines.push(word);
    else lines[lines.length - 1] = line.trimStart();
  }
  return lines.map((line) => `    ${line}\n`).join("");
}

/** A verdict as one JSON object on a line, as check50 has it. */
function resultLine({ fault, passed, cause, events }: DrillResult, about: Fault): string {
  const lines: string[] = [];
  events.forEach(logger({ isColored: false, print: (text) => lines.push(text) }, false));
  const description = `${about.description}: a good client ${about.good}`;
  const log = lines.join("").trimEnd().split("\n");
  return jsonLine({ name: fault, description, passed, log, cause });
}

async function drill({ host, port, json, verbose }: Flags, io: MainIo): Promise<number> {
  const { startDrill } = await import("./practice/drill.ts");
  const { FAULTS } = await import("./practice/server.ts");
  check = await import("./practice/rules.ts");
  const isTerminal = io.stdout.isTerminal();
  const isLive = isTerminal && !json && !verbose; // else something may come in between
  const [bad, good] = isTerminal && !Deno.noColor
    ? ["\x1b[31m✘\x1b[0m", "\x1b[32m✔\x1b[0m"]
    : ["✘", "✔"];
  const stop = () => void drill?.stop();
  let failure: unknown; // of standard output: then nobody wants to know the rest
  const put = (text: string) => {
    try {
      if (failure === undefined) print(io.stdout, text);
    } catch (error) {
      failure = error;
      stop();
      stop();
    }
  };
  const names = Object.keys(FAULTS) as FaultName[];
  const line = (name: FaultName) => `${name.padEnd(11)} ${FAULTS[name].description}`;
  const erase = isLive ? "\r\x1b[K" : "";
  let count = 0;
  let pending: DrillResult | undefined = undefined; // a late PUT may still change it
  const printPending = () => {
    if (pending) put(resultLine(pending, FAULTS[pending.fault]));
    pending = undefined;
  };
  const onWaiting = (name: FaultName) => {
    if (isLive) put(`? ${line(name)}`);
  };
  const onBegun = (name: FaultName) => {
    printPending();
    if (isLive) put(`${erase}… ${line(name)}`);
  };
  let last: DrillCause | null = null;
  const onResult = (result: DrillResult) => {
    if (json) return void (pending = result);
    const { fault, passed, cause } = result;
    const isLate = names.indexOf(fault) < count;
    if (!isLate) count++;
    let text = `${erase}${passed ? good : bad} ${line(fault)}`;
    text += isLate ? " (a PUT came late)\n" : "\n";
    for (const [name, part] of [["cause", "rationale"], ["cure", "help"]] as const) {
      if (cause) {
        text += wrap(`${name}: ${cause[part] === last?.[part] ? "as above" : cause[part]}`);
      }
    }
    last = cause ?? last;
    put(text);
    if (isLate) onWaiting(names[count]);
  };
  const log = new Log(io.stderr, (count) => `(${count} entries were not read in time)\n`);
  const onEvent = verbose ? logger(log, true) : undefined;
  const start = () => startDrill({ hostname: host, port, onWaiting, onBegun, onResult, onEvent });
  const drill = listen(start, { host, port, json }, io);
  if (!drill) return 2;
  const { hostname, port: actualPort } = drill.addr;
  const where = authority(hostname, actualPort);
  const total = names.length;
  complain(io, `drill on ${where}: run your client ${total} times, Ctrl-C ends it`);
  const release = onInterrupt(io, stop);
  const results = await drill.finished;
  const passed = results.filter((result) => result.passed).length;
  const failed = results.length - passed;
  const missing = total - results.length;
  if (json) {
    printPending();
    put(jsonLine({ passed, failed, missing }));
  } else {
    const rows = results.map(({ fault, passed }) =>
      `${passed ? good : bad} ${fault.padEnd(11)} ${FAULTS[fault].good}\n`
    );
    let text = erase;
    if (rows.length > 0) text += `\n  ${"drill".padEnd(11)} a good client\n${rows.join("")}`;
    text += `${passed} of ${total} passed${missing > 0 ? `, ${missing} without a verdict` : ""}\n`;
    const flaw = results.find((result) => !result.passed);
    if (flaw) text += `to try a fault by itself: --serve --fault ${flaw.fault}\n`;
    if (passed > 0) {
      text += "not judged: whether your client showed what it heard, and no traceback\n";
    }
    put(text);
  }
  await log.end("");
  release(); // not before all is said
  if (failure !== undefined) throw failure;
  return missing > 0 ? 130 : failed > 0 ? 1 : 0;
}

// ---- Output

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { ignoreBOM: true }); // keeps a BOM
const MAX_STDIN_SIZE = 4096; // bytes, a key has 128
const MAX_SHOWN_BODY = 4096; // bytes
const MAX_LINE = 500; // characters of a message in a line of standard error
const MAX_WAITING = 4_194_304; // characters of a log that is not read as fast as it is written
const MAX_USERS = 10_000; // that the server's table knows
const MAX_SHOWN_USERS = 200;
const LF = 0x0a;

/**
 * Shows messages as the map does, with the wire beneath: each line with its end, or in brief the
 * fields in one line, and a key cut short.
 */
function transcriber(io: MainIo, isWhole: boolean): (message: WireMessage) => void {
  const { stderr } = io;
  const isColored = stderr.isTerminal() && !Deno.noColor;
  const paint = (code: number, text: string) => isColored ? `\x1b[${code}m${text}\x1b[0m` : text;
  let last = performance.now();
  let stage = 0;
  return ({ direction, head, body, time }) => {
    const isRequest = direction === "request";
    const isInterim = /^HTTP\/1\.\d 1/.test(DECODER.decode(head.subarray(0, 10)));
    if (isRequest) stage = head[0] === "K".charCodeAt(0) ? 1 : 3;
    const title = isRequest
      ? `${stage}. CLIENT ──▶ SERVER   ${stage === 1 ? "asks for a key" : "sends the key back"}`
      : `${stage + 1}. CLIENT ◀── SERVER   ${isInterim ? "will answer" : "answers"}`;
    const took = `${(time - last).toFixed(1)} ms`;
    last = time;
    const lines = isWhole
      ? [...wire(head), ...wire(body.subarray(0, MAX_SHOWN_BODY))]
      : brief(DECODER.decode(head), DECODER.decode(body));
    const arrow = isRequest ? ">" : "<";
    const text = lines.map((line) => `   ${arrow} ${shown(stderr, line)}\n`).join("");
    const more = body.length - MAX_SHOWN_BODY;
    const rest = isWhole && more > 0 ? `   (${more} more bytes)\n` : "";
    say(io, `${paint(1, title)}   ${paint(2, took)}\n${text}${rest}`);
  };
}

/** A part of a message, a line each, with its line ends. */
function wire(bytes: Uint8Array): string[] {
  return (DECODER.decode(bytes).match(/[^\n]*\n|[^\n]+$/g) ?? [])
    .map((line) => line.replaceAll("\r", "\\r").replace("\n", "\\n"));
}

/** A message in three lines, for one screen: without most values, and with a key cut short. */
function brief(head: string, body: string): string[] {
  const [start, ...fields] = head.trimEnd().split("\r\n");
  const names = fields.map((field) => field.replace(/^(?!Host|Content-Length)(.*?:).*/, "$1 ..."));
  return [start, names.join(" · "), body].filter((line) => line !== "")
    .map((line) => line.replace(/([\da-f]{6})[\da-f]{118}([\da-f]{4})/, "$1...$2"));
}

function complain(io: MainIo, message: string): void {
  const line = message.replaceAll("\r", "\\r").replaceAll("\n", "\\n");
  say(io, `key_client: ${shown(io.stderr, line)}\n`);
}

/** Writes to standard error, which costs no result if it fails. */
function say({ stderr }: MainIo, text: string): void {
  try {
    write(stderr, text);
  } catch {
    // Full, or closed: there is no other place to say so.
  }
}

/** One object on one line, with the same names whatever happened. */
function printJson(io: MainIo, values: Record<string, unknown>): void {
  const names = ["exit", "host", "port", "user", "key", "status", "message", "error", "ms"];
  const object = Object.fromEntries(names.map((name) => [name, values[name] ?? null]));
  print(io.stdout, jsonLine(object));
}

/** What happens instead of events, and of drills. */
function printError(io: MainIo, message: string): void {
  print(io.stdout, jsonLine({ event: "error", message }));
}

/** A line of JSON that can move no terminal: what might is an escape, which means the same. */
function jsonLine(value: unknown): string {
  const json = JSON.stringify(value).replace(
    /[\x7f-\x9f\p{Bidi_Control}\u2028\u2029]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `${json}\n`;
}

/** Makes control characters visible where they could drive somebody's terminal. */
function shown(stream: MainIo["stdout"], text: string): string {
  return stream.isTerminal() ? escapeControls(text) : text;
}

function escapeControls(text: string): string {
  return text.replace(
    /(?!\t|\r?\n)[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu,
    (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`,
  );
}

/** Writes to standard output. */
function print(stdout: OutputStream, content: string | Uint8Array): void {
  try {
    write(stdout, content);
  } catch (cause) {
    throw new OutputError(outputFailure(cause), { cause });
  }
}

function outputFailure(error: unknown): string {
  return `Cannot write to standard output: ${(error as Error).message}`;
}

function write(stream: OutputStream, content: string | Uint8Array): void {
  const bytes = typeof content === "string" ? ENCODER.encode(content) : content;
  for (let sent = 0; sent < bytes.length;) sent += stream.writeSync(bytes.subarray(sent));
}

if (import.meta.main) Deno.exit(await main(Deno.args));
