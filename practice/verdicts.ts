/**
 * Verdicts on a function: judges what it returned or raised, and what it sent.
 *
 * @module
 */

import { answersOf, isPut, isUnread, quote } from "./drill_events.ts";
import type { CallReport, Exception, FoundFunction } from "./driver.ts";
import type { AnswerEvent, KeyServerEvent } from "./events.ts";
import { FAULTS } from "./faults.ts";
import type { Remark } from "./remark.ts";
import { type DrillRound, faultOf, isBroken, isCutOff, isRefused } from "./rounds.ts";
import { cut, decodeLatin1, escapeControls, lastError } from "./text.ts";

/** Why a client did not pass a round. */
export interface DrillCause {
  /** What the client did. */
  rationale: string;
  /** What to do about it. */
  help: string;
}

/** A call of a function, and its outcome. */
export interface Call {
  readonly round: DrillRound;
  /** The name of the module's file, and what the driver found for the function. */
  readonly file: string;
  readonly found: FoundFunction;
  /** The IP address and the port of the drill. */
  readonly address: string;
  /** What the driver reported; `undefined` if the function did not end. */
  readonly report?: CallReport;
  /** How the process ended, if it ended during the call. */
  readonly end?: string;
  /** How long the call took. */
  readonly seconds: number;
  /** What the module printed during the call. */
  readonly output: string;
  /** The events of the server during the call. */
  readonly events: readonly KeyServerEvent[];
  /** The key that `do_put` was given. */
  readonly key: string;
  /** Whether the key was issued to the user that the module's own KEY named. */
  readonly isUserKnown: boolean;
  /** Whether an earlier round has shown that the function can return a key, or a message. */
  readonly isProven: boolean;
}

/** The names of types and the help texts for the language of a module. */
interface Words {
  none: string;
  ifKey: string;
  bytes: string;
  text: string;
  /** How to return bytes instead of text, or instead of another object that has the bytes. */
  toBytes: string;
  copy: string;
  toText: string;
  /** How to read the response, and how to get its body, from bytes or text. */
  read: string;
  bodyOfBytes: string;
  bodyOfText: string;
  textOfBytes: string;
  /** How to remove white space around bytes or text. */
  trimBytes: string;
  trimText: string;
  stop: string;
  append: string;
  fromHex: string;
}

const PYTHON_WORDS: Words = {
  none: "None",
  ifKey: "`if key_val is not None:`",
  bytes: "bytes",
  text: "str",
  toBytes: "return the body as it was received, without `.decode()`",
  copy: "`return bytes(body)`",
  toText: "`return body.decode()`",
  read: "call `recv()` after the request",
  bodyOfBytes: 'use only the body: `response.partition(b"\\r\\n\\r\\n")[2]`',
  bodyOfText: 'use only the body: `response.partition("\\r\\n\\r\\n")[2]`',
  textOfBytes: 'use only the body: `response.decode().partition("\\r\\n\\r\\n")[2]`',
  trimBytes: "`return body.strip()`",
  trimText: "`return body.strip()`",
  stop:
    "stop when the body has Content-Length bytes, or when `recv()` returns `b''`: `if not data: break`",
  append: "add each part to what has been received: `response += data`",
  fromHex: "remove `bytes.fromhex()`",
};
const SCRIPT_WORDS: Words = {
  none: "null",
  ifKey: "`if (key !== null)`",
  bytes: "Uint8Array",
  text: "string",
  toBytes: "`return new TextEncoder().encode(key)`",
  copy: "`return new Uint8Array(body)`",
  toText: "`return new TextDecoder().decode(body)`",
  read: "read from the connection after the request",
  bodyOfBytes: "use only the body: the bytes after `\\r\\n\\r\\n`",
  bodyOfText: 'use only the body: `response.split("\\r\\n\\r\\n")[1]`',
  textOfBytes: 'use only the body: `new TextDecoder().decode(response).split("\\r\\n\\r\\n")[1]`',
  trimBytes: "return only the 128 digits",
  trimText: "`return body.trim()`",
  stop: "stop when the body has Content-Length bytes, or when the connection ends",
  append: "add each part to what has been received",
  fromHex: "remove `Uint8Array.fromHex()`",
};

const MANY = 5; // requests in one call
const MAX_TIME = 15; // seconds within which a function must return a complete response
export const SERVE_HELP =
  "run `--serve` and your client beside it: its log shows what was received";

/** Judges a call. Returns `null` if the function did what it must do. */
export function judgeCall(call: Call): DrillCause | null {
  return judgeSignature(call) ?? judgeEnd(call) ?? judgeCoroutine(call) ??
    (call.round.function === "do_key" ? judgeKey(call) : judgePut(call)) ?? judgeTime(call);
}

// ---- Both functions

/** Judges whether the function exists and takes the right number of arguments. */
export function judgeSignature(
  { round, found, file }: Pick<Call, "round" | "found" | "file">,
): DrillCause | null {
  const name = round.function!;
  const words = wordsOf(file);
  const isPython = words === PYTHON_WORDS;
  const wanted = name === "do_key" ? "do_key()" : "do_put(key_val)";
  if (found.name === null) {
    const method = found.similar
      ? ` but ${found.similar}`
      : found.owner && `; class ${found.owner} has a method of this name`;
    const own = isPython ? name : name === "do_key" ? "doKey" : "doPut";
    return {
      rationale: `${file} has no function ${own}${method ?? ""}`,
      help: found.similar
        ? `rename ${found.similar} to ${own}`
        : isPython
        ? `write \`def ${wanted}:\` at the start of a line, outside of any class`
        : `write \`export function ${
          wanted.replace("do_key", "doKey").replace("do_put", "doPut")
        }\``,
    };
  }
  const count = name === "do_key" ? 0 : 1;
  const { required = count, allowed = Infinity } = found;
  if (required <= count && allowed >= count) return null;
  const has = required > count ? required : allowed;
  return {
    rationale: `${found.name}() takes ${has} parameter${has === 1 ? "" : "s"}, must take ${
      count === 0 ? "none" : "1"
    }`,
    help: `write \`def ${wanted}:\`${
      required > count ? "; give other parameters a default value" : ""
    }`,
  };
}

/** Judges whether the function ended. */
function judgeEnd(call: Call): DrillCause | null {
  const { round, report, end, seconds, events } = call;
  const name = nameOf(call);
  if (report) return null;
  if (end !== undefined) {
    const error = lastError(call.output);
    return {
      rationale: `${name} ended the process (${end})${error ? `: ${error}` : ""}`,
      help: error
        ? "correct this error first"
        : "return from the function: remove calls that end the program",
    };
  }
  const count = requests(call).length;
  const unfinished = events.findLast((event) =>
    event.type === "remark" && event.remark.severity === "error" && !isAnswered(call, event.bytes)
  );
  const refusal = requests(call).find(({ error }) => error)?.error;
  const problem = unfinished?.type === "remark"
    ? unfinished.remark
    : round.function === "do_key"
    ? refusal
    : undefined;
  const rationale = `${name} has not ended after ${Math.round(seconds)} s`;
  if (problem) return { rationale: `${rationale}: ${problem.fact}`, help: helpOf(problem) };
  if (count === 0) return { rationale: `${rationale}, and sent no request`, help: SERVE_HELP };
  if (count > MANY) {
    const help = "send the request once: if there is no whole response, return";
    return { rationale: `${rationale}, and sent ${count} requests`, help };
  }
  const fault = faultOf(round);
  const isWhole = fault === undefined || FAULTS[fault].isBroken && !isCutOff(round.name);
  return { rationale, help: isWhole ? wordsOf(call.file).stop : FAULTS[fault].help };
}

/** Judges how long the function took. */
function judgeTime(call: Call): DrillCause | null {
  const { round, seconds } = call;
  if (seconds <= MAX_TIME || isBroken(round.name)) return null;
  return {
    rationale: `${nameOf(call)} returned after ${
      Math.round(seconds)
    } s, must return within ${MAX_TIME} s`,
    help: helpFor(call),
  };
}

/** Judges whether the function is an ordinary function, not a coroutine. */
function judgeCoroutine(call: Call): DrillCause | null {
  if (call.report!.type !== "coroutine") return null;
  const { bytes, text } = wordsOf(call.file);
  return {
    rationale: `${nameOf(call)} returned a coroutine, must return ${
      call.round.function === "do_key" ? bytes : text
    }`,
    help: "write `def` without `async`; call asynchronous code with `return asyncio.run(...)`",
  };
}

/** Judges whether the function sent a request with this method. */
function judgeRequest(call: Call, method: "KEY" | "PUT"): DrillCause | null {
  const { report, events, address } = call;
  const all = requests(call);
  if (all.some((event) => event.method === method)) return null;
  const isAnyRefused = all.some(({ error }) => error);
  if (report?.raised && !isAnyRefused) return judgeRaised(call, report.raised, "");
  const remark = events.find((event) =>
    event.type === "remark" && event.remark.severity === "error"
  );
  const fact = remark?.type === "remark" ? `: ${remark.remark.fact}` : "";
  const sent = all.length > 0 ? ` but ${quote(all[0].request)}` : "";
  return {
    rationale: `${nameOf(call)} sent no ${method} request${sent}${fact}`,
    help: remark?.type === "remark"
      ? helpOf(remark.remark)
      : all.length > 0
      ? `send the ${method} request`
      : connectHelp(address),
  };
}

/** Returns where to connect. If the port is not 5000, mentions the environment variable. */
export function connectHelp(address: string): string {
  const hint = address.endsWith(":5000")
    ? ""
    : ": its port is in the environment variable KEY_SERVER_PORT";
  return `connect to ${address}, where the drill listens${hint}`;
}

const MIXED_HELP = "do not mix bytes and str: use `.decode()` or `.encode()`";

/** What to do about exceptions with a common cause. The first pattern that matches is used. */
const EXCEPTION_HELP: [RegExp, string | ((call: Call, error: Exception) => string)][] = [
  [
    /^ConnectionRefused|Connection refused|ECONNREFUSED/,
    ({ address }) => connectHelp(address),
  ],
  [
    /'bytes' object has no attribute 'encode'/,
    ({ round }) =>
      round.function === "do_put"
        ? "the key is bytes: use `key_val.decode()`"
        : "remove `.encode()`: this is bytes already",
  ],
  [/'str' object has no attribute 'decode'/, "remove `.decode()`: this is a str already"],
  [
    /a bytes-like object is required/,
    (_, { source }) =>
      source && !/send|write/.test(source)
        ? MIXED_HELP
        : "a socket sends bytes: use `request.encode()`",
  ],
  [
    /can only concatenate str|can't concat str|bytes-like object|(?:must be|expected) (?:str|bytes)\b/,
    MIXED_HELP,
  ],
  [
    /'str' object cannot be interpreted as an integer/,
    (_, { source }) =>
      source?.includes("connect") ? "the port must be a number: `int(port)`" : MIXED_HELP,
  ],
  [
    /^AttributeError: (?:partially initialized )?module '\w+' has no attribute/,
    ({ file }, { message }) =>
      message.includes(`module '${file.replace(/\.py$/, "")}'`)
        ? `rename ${file}: it hides Python's own module of this name`
        : "check the name: the module has no such function",
  ],
  [/^UnicodeDecodeError/, "decode once, when the whole body has been received"],
  [
    /Address already in use/,
    "remove `sock.bind(...)`: a client does not need a port of its own, and its port stays in use for a minute",
  ],
  [/EOF when reading a line/, "remove `input()`: nobody types an answer when a test runs"],
  [/^SystemExit/, "remove `exit()`: return from the function"],
  [
    /^(NameError|ReferenceError|SyntaxError|ImportError|ModuleNotFoundError|UnboundLocalError)/,
    "correct this line first",
  ],
];

/** Judges an exception. `must` says what the function must do. `help` is the default help. */
function judgeRaised(
  call: Call,
  error: Exception,
  must: string,
  help = helpFor(call),
): DrillCause {
  const { type, message, file, line, source } = error;
  const place = line === undefined
    ? ""
    : ` in line ${line}${file && file !== call.file ? ` of ${file}` : ""}`;
  const text = `${type}: ${message}`;
  const [, usual] = EXCEPTION_HELP.find(([pattern]) => pattern.test(text)) ?? [];
  const known = typeof usual === "function" ? usual(call, error) : usual;
  const about = cut(message, 80);
  const code = source && cut(source, 60);
  const more = about && !code?.includes(message) ? ` (${about})` : "";
  const detail = code ? code + more : about;
  return {
    rationale: escapeControls(
      `${nameOf(call)} raised ${type}${place}${must && `, ${must}`}${detail && `: ${detail}`}`,
    ),
    help: known ?? help,
  };
}

/** Returns the general help for this round. */
function helpFor({ round, file, isProven }: Call): string {
  const fault = faultOf(round);
  const { none } = wordsOf(file);
  if (round.function === "do_put" && isRefused(round.name)) {
    return "return the body of the response, whatever its status is";
  }
  if (fault === undefined || !isProven && !FAULTS[fault].isBroken) return SERVE_HELP;
  const { help } = FAULTS[fault];
  return round.function === "do_key" && FAULTS[fault].isBroken
    ? `${help}; if there is no key, return ${none}`
    : help;
}

// ---- do_key

function judgeKey(call: Call): DrillCause | null {
  const { round, report, file, isProven } = call;
  const { raised } = report!;
  const { none } = wordsOf(file);
  const name = nameOf(call);
  const unsent = judgeRequest(call, "KEY");
  if (unsent) return unsent;
  const put = requests(call).find(({ request }) => isPut(request));
  if (!isBroken(round.name)) {
    const refused = judgeRefusal(call, "KEY");
    if (refused) return refused;
    const bytes = wordsOf(file).bytes;
    return raised ? judgeRaised(call, raised, `must return ${bytes}`) : judgeValueOfKey(call);
  }
  if (put) {
    const help = `send PUT only if there is a key: ${wordsOf(file).ifKey}`;
    return { rationale: `there was no key, but ${name} sent ${quote(put.request)}`, help };
  }
  if (raised) {
    return judgeRaised(call, raised, `must return ${none}`, catchHelp(call, raised));
  }
  if (report!.kind !== "none") {
    return {
      rationale: `${name} returned ${shown(report!)}, must return ${none}`,
      help: report!.size !== undefined && report!.size > 0
        ? helpFor(call)
        : `if there is no key, \`return ${none}\``,
    };
  }
  if (isProven) return null;
  return {
    rationale: `not counted: ${name} has returned no key in any round so far`,
    help: "make the round `sound` pass first",
  };
}

const OS_ERROR_REGEXP =
  /^(?:Connection|BrokenPipe|Timeout|OSError|socket\.|urllib\.error\.|http\.client\.RemoteDisconnected)/;

/**
 * Returns what to do about an exception if there is no key. In Python, the client should catch only
 * exceptions of the socket: catching others would hide a bug.
 */
function catchHelp(call: Call, { type }: Exception): string {
  const name = nameOf(call);
  if (wordsOf(call.file) === SCRIPT_WORDS) {
    return `catch it in ${name}: \`catch { return null; }\``;
  }
  const isOSError = OS_ERROR_REGEXP.test(type);
  return isOSError
    ? `catch it in ${name}, and return None: put the conversation into \`try:\`, then \`except OSError:\``
    : helpFor(call);
}

/** Judges the return value of `do_key` if there is a key. */
function judgeValueOfKey(call: Call): DrillCause | null {
  const { report, round, output, file } = call;
  const { type, kind, value = "", size } = report!;
  const words = wordsOf(file);
  const { bytes, toBytes } = words;
  const name = nameOf(call);
  const keys = requests(call).filter(({ method, status }) => method === "KEY" && status === 200)
    .map(({ message }) => message);
  const key = keys.at(-1)!;
  if (kind === "bytes" && value === key) return null;
  const fail = (rationale: string, help: string) => ({ rationale: `${name} ${rationale}`, help });
  if (isNothing(report!) && output.includes(key)) {
    return fail(`printed the key and returned ${shown(report!)}`, "use `return` where it prints");
  }
  if (kind === "text" && value === key) {
    return fail(`returned ${type}, must return ${bytes}`, toBytes);
  }
  if (isNothing(report!) || size === 0) {
    return fail(`returned ${shown(report!)}, must return the key as ${bytes}`, helpFor(call));
  }
  if (kind !== "bytes") {
    const isCopied = /^(?:bytearray|memoryview|ArrayBuffer)$/.test(type!);
    return fail(
      `returned ${shown(report!)}, which is ${type}; must return ${bytes}`,
      isCopied ? words.copy : kind === "text" ? toBytes : "return the body of the response",
    );
  }
  if (value.includes("HTTP/1.") && round.name === "interim") {
    return fail("returned the headers of the second response", helpFor(call));
  }
  if (value.includes("HTTP/1.")) return fail("returned the headers too", words.bodyOfBytes);
  if (value.trim() === key) return fail("returned white space around the key", words.trimBytes);
  if (keys.includes(value)) {
    return fail("returned an older key", "return the key of the last response");
  }
  if (key.startsWith(value)) {
    return fail(
      `returned only the first ${size} of 128 digits`,
      oddHelp(call) ?? FAULTS["drip"].help,
    );
  }
  if (key.endsWith(value)) {
    return fail(`returned only the last ${size} of 128 digits`, words.append);
  }
  if (hexOf(value) === key) {
    return fail("returned 64 bytes, must return the 128 digits", words.fromHex);
  }
  if (value.toLowerCase() === key) {
    return fail("changed the key to uppercase", "return the body as it was received");
  }
  return fail(
    `returned ${shown(report!)} (${size} byte${size === 1 ? "" : "s"}), not the key`,
    faultOf(round) ? helpFor(call) : "return the body, and nothing else",
  );
}

function hexOf(text: string): string {
  return Array.from(text, (char) => char.charCodeAt(0).toString(16).padStart(2, "0")).join("");
}

// ---- do_put

function judgePut(call: Call): DrillCause | null {
  const { round, report } = call;
  const { raised } = report!;
  const unsent = judgeRequest(call, "PUT");
  if (unsent) return unsent;
  const other = judgeOtherKey(call);
  if (other) return other;
  if (isCutOff(round.name)) return judgeHalf(call);
  if (!isRefused(round.name)) {
    const refused = judgeRefusal(call, "PUT");
    if (refused) return refused;
  }
  if (raised) return judgeRaised(call, raised, "must return the message");
  return judgeMessage(call);
}

/** Judges whether the function sent a complete key that differs from its argument. */
function judgeOtherKey(call: Call): DrillCause | null {
  const lines = requests(call).filter(({ method }) => method === "PUT")
    .map(({ request }) => decodeLatin1(request).split("\r\n", 1)[0]);
  const keys = lines.map((line) => /\/([\da-f]{128})\/ /i.exec(line)?.[1].toLowerCase());
  if (keys.every((key) => key === undefined || key === call.key)) return null;
  return {
    rationale: `${nameOf(call)} sent another key than the one that it was given`,
    help: "send the key in the parameter `key_val`",
  };
}

/** Judges whether the function returned an incomplete message. */
function judgeHalf(call: Call): DrillCause | null {
  const { round, report } = call;
  if (round.name !== "truncate" || report!.raised || !report!.value) return null;
  const half = halfOf(requests(call).findLast(({ method }) => method !== "KEY")!).trimEnd();
  if (half === "" || !report!.value.trimEnd().endsWith(half)) return null;
  return {
    rationale: `${nameOf(call)} returned ${shown(report!)}, half of the message`,
    help: helpFor(call),
  };
}

/** Returns the part of the message that was sent before the connection was closed. */
function halfOf({ bytes }: AnswerEvent): string {
  const text = decodeLatin1(bytes);
  return text.slice(text.indexOf("\r\n\r\n") + 4);
}

/** Judges the return value of `do_put` if there is a message. */
function judgeMessage(call: Call): DrillCause | null {
  const { round, report, output, file } = call;
  const { type, kind, value = "", size } = report!;
  const words = wordsOf(file);
  const { text, toText } = words;
  const messages = requests(call).filter(({ method }) => method !== "KEY")
    .map(({ message }) => message);
  const message = messages.at(-1)!;
  if (
    kind === "text" && (value === message || round.name === "redirect" && messages.includes(value))
  ) {
    return null;
  }
  const name = nameOf(call);
  const fail = (rationale: string, help: string) => ({ rationale: `${name} ${rationale}`, help });
  if (kind === "bytes" && value.trim() === message) {
    return fail(`returned ${type}, must return ${text}`, toText);
  }
  if (isNothing(report!) && output.includes(message)) {
    return fail(
      `printed the message and returned ${shown(report!)}`,
      "use `return` where it prints",
    );
  }
  if (/^b["']/.test(value) && value.slice(2, -1) === message) {
    return fail("converted the bytes with str(), so the message is in b'...'", toText);
  }
  const returned = `returned ${shown(report!)}`;
  const help = oddHelp(call);
  const unread = isUnread(call.events, requests(call).at(-1)?.connection)
    ? fail(
      `${returned} and did not read the response`,
      help ?? `${words.read}, and return the body of the response`,
    )
    : null;
  if (kind !== "text" && kind !== "bytes" || size === 0) {
    const isOther = kind === "other" && !isNothing(report!);
    return unread ?? fail(
      `${returned}, must return the message as ${text}`,
      isOther ? toText : helpFor(call),
    );
  }
  if (/^HTTP\/1\.[^\r\n]*$/.test(value.trim())) {
    return fail("returned only the status line", "return the body of the response");
  }
  if (value.includes("HTTP/1.") && round.name === "interim") {
    return fail("returned the headers of the second response", helpFor(call));
  }
  if (value.includes("HTTP/1.")) {
    const body = kind === "bytes" ? words.textOfBytes : words.bodyOfText;
    return fail("returned the headers too", body);
  }
  if (value.trim() === message) {
    return fail("returned white space around the message", words.trimText);
  }
  if (message.startsWith(value)) {
    return fail(
      `returned only the first ${size} of ${message.length} characters`,
      help ?? FAULTS["drip"].help,
    );
  }
  return unread ?? fail(
    `${returned}, must return ${JSON.stringify(cut(message, 40))}`,
    help ?? "return the body of the response, and nothing else",
  );
}

/** Returns the help on odd delivery, if the function has worked without it. */
function oddHelp(call: Call): string | undefined {
  const fault = faultOf(call.round);
  return fault && !FAULTS[fault].isBroken && call.isProven ? FAULTS[fault].help : undefined;
}

/** Returns whether a function has returned nothing. `return` without a value counts, too. */
function isNothing({ kind, type }: CallReport): boolean {
  return kind === "none" || type === "undefined";
}

// ---- Requests and responses

function requests({ events }: Call): AnswerEvent[] {
  return answersOf(events);
}

function isAnswered(call: Call, bytes: Uint8Array): boolean {
  return requests(call).some(({ request }) => request.length >= bytes.length);
}

/** Codes of remarks on a key that was issued to another user or IP address. */
const FOREIGN_CODES: string[] = ["key-of-another", "no-key-issued", "key-from-another-address"];

/** Judges whether the server refused the last request of this method. */
function judgeRefusal(call: Call, method: "KEY" | "PUT"): DrillCause | null {
  const { error } = requests(call).findLast((event) => event.method === method)!;
  if (!error) return null;
  const isForeign = FOREIGN_CODES.includes(error.code);
  if (isForeign && !call.isUserKnown) return null; // the module has never sent its user id in KEY
  return {
    rationale: `the server refused the ${method} request: ${error.fact}`,
    help: isForeign ? "send the same user id in KEY and PUT" : helpOf(error),
  };
}

/** Returns what to do about a remark: the corrected line, or else the help. */
export function helpOf({ help, fix }: Remark): string {
  return fix ?? help;
}

// ---- Words

function wordsOf(file: string): Words {
  return file.toLowerCase().endsWith(".py") ? PYTHON_WORDS : SCRIPT_WORDS;
}

function nameOf({ round, found }: Call): string {
  return `${found.name ?? round.function}()`;
}

function shown({ shown = "" }: CallReport): string {
  return cut(escapeControls(shown), 50);
}
