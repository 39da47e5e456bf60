/**
 * The flags of the command line: one table, from which parsing, contradictions, suggestions and the
 * help follow.
 *
 * @module
 */

import { parseArgs } from "jsr:@std/cli@1/parse-args";
import type { FaultName } from "../practice/server.ts";
import { cut } from "./output.ts";

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
export const FLAGS: Record<string, Flag> = {
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

/** The command line cannot be carried out as it is. */
export class UsageError extends Error {}

export interface Flags {
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

export async function parseFlags(args: string[]): Promise<Flags> {
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
  const { FAULTS } = await import("../practice/server.ts");
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
