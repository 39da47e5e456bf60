/**
 * The flags of the command line: parsing, contradictions and suggestions all come from one table.
 *
 * @module
 */

import { parseArgs } from "jsr:@std/cli@1/parse-args";
import { cut } from "../practice/text.ts";

interface Flag {
  letter?: string;
  /** The name of its value, if it takes one. */
  value?: string;
  default?: string;
  /** Flags that it cannot be combined with. */
  contradicts?: string[];
  /** Flags of which it requires one. */
  needs?: string[];
  /** The part of `--help` that it belongs to. */
  group: "Conversation" | "Practice server and drill" | "Connection" | "Output";
  help: string;
}

/** All flags. A new flag is a new row. */
export const FLAGS: Record<string, Flag> = {
  key: { contradicts: ["put"], group: "Conversation", help: "ask for a key only, and print it" },
  put: {
    value: "KEY",
    group: "Conversation",
    help: 'send KEY back only, and print the response; "-" reads KEY from stdin',
  },
  demo: {
    contradicts: ["key", "put", "host", "port", "offline"],
    group: "Conversation",
    help: "run against a built-in practice server",
  },
  offline: {
    contradicts: ["json", "verbose"],
    group: "Conversation",
    help: "print the request and send nothing",
  },
  serve: {
    contradicts: ["key", "put", "user", "timeout", "offline", "demo", "drill"],
    group: "Practice server and drill",
    help: "run a practice server until Ctrl-C; it explains mistakes",
  },
  drill: {
    contradicts: ["key", "put", "user", "timeout", "offline", "demo"],
    group: "Practice server and drill",
    help: "judge FILE, COMMAND, or a client that you run yourself",
  },
  fault: {
    value: "NAME",
    needs: ["serve", "drill"],
    group: "Practice server and drill",
    help: 'with --serve: add this fault; with --drill: run only this round; "list" shows all',
  },
  "no-page": {
    needs: ["serve", "drill"],
    group: "Practice server and drill",
    help: "turn off the page that shows the requests in a browser",
  },
  host: { letter: "H", value: "HOST", default: "127.0.0.1", group: "Connection", help: "" },
  port: { letter: "p", value: "PORT", default: "5000", group: "Connection", help: "" },
  user: { letter: "u", value: "USER_ID", default: "User1", group: "Connection", help: "" },
  timeout: {
    letter: "t",
    value: "SECONDS",
    default: "10",
    group: "Connection",
    help: "for each request, including connecting",
  },
  verbose: { letter: "v", group: "Output", help: "show all bytes sent and received, on stderr" },
  json: { group: "Output", help: "print JSON" },
  help: { letter: "h", group: "Output", help: "print this text" },
  version: { letter: "V", group: "Output", help: "print the version" },
};
const NAMES = Object.keys(FLAGS);

/** The command line is wrong. */
export class UsageError extends Error {
  /** What to try. */
  readonly help: string | undefined;

  constructor(message: string, help?: string) {
    super(message);
    this.help = help;
  }
}

/** The flags on a command line, also on a wrong one. */
export interface GivenFlags {
  /** The value of each flag, or `"true"`. */
  values: Map<string, string>;
  /** The words that belong to no flag. */
  files: string[];
  /** The words after `--`, if it is there. */
  command?: string[];
  /** The first mistake. */
  mistake?: Error;
}

/** What a correct command line asks for. */
export interface Flags {
  mode: "all" | "key" | "put" | "demo" | "serve" | "drill" | "faults" | "help" | "version";
  put: string;
  host: string;
  port: number;
  user: string;
  /** In milliseconds. */
  timeout: number;
  /** As it was typed, as only the practice server knows the names. */
  fault: string | undefined;
  verbose: boolean;
  json: boolean;
  offline: boolean;
  /** Whether the server shows browsers a page. */
  page: boolean;
  /** What the drill judges: a file, a command, or by default any client that connects. */
  candidate: string | string[] | undefined;
}

/** Reads the arguments to the end, so that `--json` is known even if another flag is wrong. */
export function readFlags(args: string[]): GivenFlags {
  const end = args.indexOf("--");
  const rest = end < 0 ? [...args] : args.slice(0, end);
  const command = end < 0 ? undefined : args.slice(end + 1);
  const files: string[] = [];
  const words: string[] = [];
  let mistake: Error | undefined;
  while (rest.length > 0) {
    try {
      takeWord(rest, words, files);
    } catch (error) {
      mistake ??= error as Error;
    }
  }
  const parsed: Record<string, unknown> = parseArgs(words, {
    string: NAMES.filter((name) => FLAGS[name].value),
    boolean: NAMES.filter((name) => !FLAGS[name].value),
    collect: NAMES,
  });
  const values = new Map<string, string>();
  for (const name of NAMES) {
    const all = parsed[name] as unknown[];
    if (all.length > 1) {
      mistake ??= new UsageError(`--${name} is given ${all.length} times`, "write it once");
    }
    if (all.length > 0) values.set(name, String(all[0]));
  }
  return { values, files, command, mistake };
}

/**
 * Checks the flags.
 *
 * @throws {UsageError} If a flag is unknown, out of range, or contradicts another one.
 */
export function checkFlags(given: GivenFlags): Flags {
  const { values, mistake } = given;
  if (mistake) throw mistake;
  const modes = ["help", "version", "serve", "drill", "demo", "put", "key"] as const;
  const first = modes.find((mode) => values.has(mode)) ?? "all";
  const isAsked = first === "help" || first === "version"; // they ignore all other flags
  const isList = !isAsked && values.get("fault") === "list";
  if (!isAsked) checkCombination(values, isList);
  const value = (name: string) => (isAsked ? undefined : values.get(name)) ?? FLAGS[name].default;
  return {
    mode: isList ? "faults" : first,
    put: value("put") ?? "",
    host: parseHost(value("host")!),
    port: parsePort(value("port")!, first === "serve" || first === "drill" ? 0 : 1),
    user: value("user")!,
    timeout: parseTimeout(value("timeout")!),
    fault: value("fault"),
    verbose: values.has("verbose"),
    json: values.has("json"),
    offline: values.has("offline"),
    page: !values.has("no-page"),
    candidate: parseCandidate(given, first === "drill"),
  };
}

/** Only the drill takes words that are no flags. */
function parseCandidate({ files, command }: GivenFlags, isDrill: boolean) {
  const [file, second] = files;
  if (!isDrill && file !== undefined) throw unexpected(file);
  if (!isDrill && command && command.length > 0) throw unexpected(command[0]);
  if (!isDrill) return undefined;
  if (second !== undefined) {
    const program = files.map(quoteForShell).join(" ");
    throw new UsageError("--drill judges one file", `for a program, write --drill -- ${program}`);
  }
  if (command?.length === 0) {
    throw new UsageError("--drill -- needs a command", "write it after --");
  }
  if (file === undefined) return command;
  if (command) throw new UsageError("--drill judges a file or a command, not both");
  if (/\.(?:py|m?js|ts)$/i.test(file)) return file;
  const program = quoteForShell(file);
  throw new UsageError(
    "--drill judges .py, .ts, .js and .mjs files",
    `for a program, write --drill -- ${program}`,
  );
}

/** Quotes a word if a shell would change it. */
export function quoteForShell(word: string): string {
  if (/^[\w./:{}=@%+,-]+$/.test(word)) return word;
  return /["$`\\!]/.test(word) ? `'${word.replaceAll("'", "'\\''")}'` : `"${word}"`;
}

/**
 * Moves the next flags from `rest` to `words`, each as one word, `--name` or `--name=value`:
 * `parseArgs` loses values that are written in other ways. A word that is no flag goes to `files`.
 */
function takeWord(rest: string[], words: string[], files: string[]): void {
  const word = rest.shift()!;
  const [, dashes, name, attached] = /^(--?)([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
  if (!dashes || word === "-") {
    files.push(word);
    return;
  }
  const isLong = dashes === "--";
  // One dash before a long name: `-user` would be the user `ser`.
  const isName = Object.hasOwn(FLAGS, isLong ? name : name.toLowerCase());
  if (isLong !== isName) throw unknownName(dashes + name);
  if (isLong) {
    takeFlag(name, attached, rest, words);
    return;
  }
  for (let letters = word.slice(1); letters !== "";) {
    const letter = String.fromCodePoint(letters.codePointAt(0)!);
    letters = letters.slice(letter.length);
    const flag = NAMES.find((name) => FLAGS[name].letter === letter);
    if (flag === undefined) throw unknownLetter(letter, word);
    const takesRest = FLAGS[flag].value !== undefined || letters.startsWith("=");
    takeFlag(flag, takesRest && letters ? letters.replace(/^=/, "") : undefined, rest, words);
    if (takesRest) letters = "";
  }
}

function takeFlag(
  name: string,
  attached: string | undefined,
  rest: string[],
  words: string[],
): void {
  if (FLAGS[name].value === undefined) {
    if (attached !== undefined) throw new UsageError(`--${name} takes no value`);
    words.push(`--${name}`);
    return;
  }
  const value = attached ?? rest.shift(); // what follows `--put` is never a flag
  const isFlag = attached === undefined && /^-./s.test(value ?? "");
  const help = isFlag
    ? `if the value starts with "-", write --${name}=VALUE`
    : `write --${name} ${FLAGS[name].value}`;
  if (!value || isFlag) throw new UsageError(`--${name} needs a value`, help);
  words.push(`--${name}=${value}`);
}

function checkCombination(values: Map<string, string>, isList: boolean): void {
  const allowed = ["fault", "serve", "json"]; // beside `--fault list`
  for (const name of values.keys()) {
    const other = FLAGS[name].contradicts?.find((name) => values.has(name));
    if (other) {
      throw new UsageError(`--${name} cannot be combined with --${other}`, "remove one of them");
    }
    if (isList && !allowed.includes(name)) {
      throw new UsageError(`--fault list cannot be combined with --${name}`, `remove --${name}`);
    }
  }
  for (const name of values.keys()) {
    const { needs } = FLAGS[name];
    if (needs && !needs.some((name) => values.has(name)) && !isList) {
      throw new UsageError(
        `--${name} needs --${needs.join(" or --")}`,
        `add --${needs.join(" or --")}`,
      );
    }
  }
}

/** Finds a port or a path in the host. The library checks everything else. */
function parseHost(text: string): string {
  if (!/[:/]/.test(text)) return text;
  const bare = /^\[[\da-f.]*:[\da-f.:]*\]$/i.test(text) ? text.slice(1, -1) : text;
  const match = /^(\w+:\/\/)?(\[[\da-f.]*:[\da-f.:]*\]|[\w.-]+)(?::(\d*))?(\/(?!\/).*)?$/i.exec(
    bare,
  );
  const [, scheme, host, port, path] = match ?? [];
  const isPort = !port || Number(port) > 0 && Number(port) <= 65535;
  if (!isPort || scheme === undefined && port === undefined && path === undefined) return bare;
  const flags = `--host ${host.replace(/^\[|\]$/g, "")}${port ? ` --port ${port}` : ""}`;
  const expected = "a host name or an IP address";
  throw new UsageError(`--host must be ${expected}, not ${quote(text)}`, `write ${flags}`);
}

function parsePort(text: string, least: number): number {
  const port = /^\d+$/.test(text) ? Number(text) : NaN;
  if (port >= least && port <= 65535) return port;
  throw new UsageError(`--port must be a number from ${least} to 65535, not ${quote(text)}`);
}

/** Converts seconds to milliseconds. */
function parseTimeout(text: string): number {
  // Moving the point is exact, but 1.001 * 1000 is not.
  const timeout = /^(\d+(\.\d*)?|\.\d+)$/.test(text) ? Number(`${text}e3`) : NaN;
  if (timeout > 0 && timeout <= 2 ** 31 - 1) return timeout;
  const expected = "a number of seconds above 0 and at most 2147483.647";
  throw new UsageError(`--timeout must be ${expected}, not ${quote(text)}`);
}

const HELP_HELP = "run key_client --help to see all options";

function unexpected(word: string): UsageError {
  const help = Object.hasOwn(FLAGS, word)
    ? `write --${word}`
    : /\.(?:py|m?js|ts)$/i.test(word)
    ? `write --drill ${quoteForShell(word)}`
    : HELP_HELP;
  return new UsageError(`unexpected argument ${quote(word)}`, help);
}

function unknownName(option: string): UsageError {
  const nearest = suggest(option.replace(/^-*/, ""), NAMES);
  return new UsageError(
    `unknown option ${quote(option)}`,
    nearest ? `did you mean --${nearest}?` : HELP_HELP,
  );
}

function unknownLetter(letter: string, word: string): UsageError {
  const lower = letter.toLowerCase();
  const nearest = NAMES.find((name) => FLAGS[name].letter?.toLowerCase() === lower) ??
    NAMES.find((name) => name[0] === lower);
  const option = `-${letter}`;
  const place = word === option ? "" : ` in ${quote(word)}`;
  const help = nearest ? `did you mean --${nearest}?` : HELP_HELP;
  return new UsageError(`unknown option ${quote(option)}${place}`, help);
}

/** Quotes a word of the command line, cut short. */
export function quote(word: string): string {
  return JSON.stringify(cut(word, 80));
}

/** Returns the name that the word starts with, that alone starts with the word, or one slip away. */
export function suggest(word: string, names: string[]): string | undefined {
  const lower = word.toLowerCase();
  const longer = names.filter((name) => name.startsWith(lower));
  return names.find((name) => lower.startsWith(name)) ??
    (longer.length === 1 ? longer[0] : names.find((name) => isOneSlip(lower, name)));
}

/** Whether one character was added, dropped or changed, or two neighbours swapped. */
function isOneSlip(from: string, to: string): boolean {
  let start = 0;
  while (start < to.length && from[start] === to[start]) start++;
  const [a, b] = [from.slice(start), to.slice(start)];
  return a.slice(1) === b || a === b.slice(1) || a.slice(1) === b.slice(1) ||
    a[0] === b[1] && a[1] === b[0] && a.slice(2) === b.slice(2);
}
