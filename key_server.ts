/**
 * A key server to practise with, for clients in any language.
 *
 * ```text
 * KEY /user/<user_id>/            200 and a key of 128 hex digits, new with each request
 * PUT /key/<user_id>/<key_val>/   200 if it is the key last issued to that user, 400 if not
 * ```
 *
 * Whatever else a client sends is answered with 400, 404 or 405 and a message telling why.
 *
 * @example Usage
 * ```ts
 * import { startKeyServer } from "./key_server.ts";
 *
 * await using server = startKeyServer({ port: 0 });
 * console.log(`listening on port ${server.addr.port}`);
 * ```
 *
 * @module
 */

/**
 * Options of {@linkcode startKeyServer}.
 *
 * @example Usage
 * ```ts
 * import { type KeyServerOptions, startKeyServer } from "./key_server.ts";
 *
 * const options: KeyServerOptions = { port: 0, signal: AbortSignal.timeout(100) };
 * await startKeyServer(options).finished;
 * ```
 */
export interface KeyServerOptions {
  /**
   * The address to listen on: with `"0.0.0.0"` the whole network can reach the server.
   * @default {"127.0.0.1"}
   */
  hostname?: string;
  /**
   * The TCP port to listen on; 0 picks a free one.
   * @default {5000}
   */
  port?: number;
  /** Shuts the server down, as soon as the requests under way are answered. */
  signal?: AbortSignal;
  /** Called with each answer as it is given, for logs. */
  onAnswer?: (answer: KeyServerAnswer) => void;
}

/**
 * One request and the answer to it.
 *
 * @example Usage
 * ```ts
 * import { type KeyServerAnswer, startKeyServer } from "./key_server.ts";
 *
 * const log: KeyServerAnswer[] = [];
 * await using server = startKeyServer({ port: 0, onAnswer: (answer) => log.push(answer) });
 * ```
 */
export interface KeyServerAnswer {
  /** The method of the request. */
  method: string;
  /** The request target, as it was sent. */
  target: string;
  /** The status code of the answer. */
  status: number;
  /** The body of the answer: a key or a message. */
  message: string;
}

const MAX_USERS = 10_000;
const MAX_USER_ID_LENGTH = 256;
const KEY_SIZE = 64; // bytes, twice as many hex digits
const KEY_REGEXP = /^[\da-f]{128}$/i;
const PATH_REGEXP = /^\/(?:user\/(?<keyUser>[^/]*)|key\/(?<putUser>[^/]*)\/(?<keyVal>[^/]*))\/$/;

/**
 * Starts the practice server. It prints nothing.
 *
 * @param options Where to listen, and what to call.
 * @returns The running server; `shutdown()`, or the end of an `await using` block, stops it.
 * @throws {Deno.errors.AddrInUse} If another server listens there.
 *
 * @example Usage
 * ```ts
 * import { startKeyServer } from "./key_server.ts";
 *
 * await using server = startKeyServer({ port: 0 });
 * const url = `http://127.0.0.1:${server.addr.port}`;
 * const key = await (await fetch(`${url}/user/Ada/`, { method: "KEY" })).text();
 * const response = await fetch(`${url}/key/Ada/${key}/`, { method: "PUT" });
 * console.log(response.status, await response.text());
 * ```
 */
export function startKeyServer(options: KeyServerOptions = {}): Deno.HttpServer<Deno.NetAddr> {
  const { hostname = "127.0.0.1", port = 5000, signal, onAnswer } = options;
  const keys = new Map<string, string>();
  return Deno.serve({ hostname, port, signal, onListen() {} }, (request) => {
    const target = request.url.replace(/^[^/]*\/\/[^/]*/, "");
    const { status, message, allow } = answer(request.method, target, keys);
    onAnswer?.({ method: request.method, target, status, message });
    return new Response(message, {
      status,
      headers: { "content-type": "text/plain; charset=utf-8", ...(allow && { allow }) },
    });
  });
}

interface Answer {
  status: number;
  message: string;
  allow?: string;
}

function answer(method: string, target: string, keys: Map<string, string>): Answer {
  const path = target.replace(/\?.*/s, "");
  const groups = PATH_REGEXP.exec(path)?.groups;
  if (groups === undefined) {
    const message = PATH_REGEXP.test(`${path}/`) && !path.endsWith("/")
      ? "Not found. The path must end in a slash"
      : "Not found. Send KEY /user/<user_id>/ or PUT /key/<user_id>/<key_val>/";
    return { status: 404, message };
  }
  const { keyUser, putUser, keyVal } = groups;
  const allow = keyUser === undefined ? "PUT" : "KEY";
  if (method !== allow) {
    return { status: 405, message: `Method not allowed. Send ${allow}, not ${method}`, allow };
  }
  const userId = decode(keyUser ?? putUser);
  if (userId === undefined) {
    return { status: 400, message: "The user id is not valid percent-encoded UTF-8" };
  }
  if (userId === "") return { status: 400, message: "The user id is empty" };
  if (userId.length > MAX_USER_ID_LENGTH) {
    const message = `The user id is too long: at most ${MAX_USER_ID_LENGTH} characters`;
    return { status: 400, message };
  }
  return method === "KEY" ? issueKey(userId, keys) : verifyKey(userId, keyVal, keys);
}

function issueKey(userId: string, keys: Map<string, string>): Answer {
  const key = crypto.getRandomValues(new Uint8Array(KEY_SIZE)).toHex();
  keys.delete(userId); // a Map keeps its order: the user issued a key last comes last
  keys.set(userId, key);
  if (keys.size > MAX_USERS) keys.delete(keys.keys().next().value!);
  return { status: 200, message: key };
}

function verifyKey(userId: string, keyVal: string, keys: Map<string, string>): Answer {
  const given = decode(keyVal);
  if (given === undefined || !KEY_REGEXP.test(given)) {
    const message = `The key is not ${2 * KEY_SIZE} hex digits: send it just as you got it`;
    return { status: 400, message };
  }
  const issued = keys.get(userId);
  if (issued === undefined) {
    return { status: 404, message: "No key was issued to this user. Send KEY first" };
  }
  if (!equal(given, issued)) {
    return { status: 400, message: "The key is wrong: it is not the one last issued to this user" };
  }
  return { status: 200, message: "Success: the key is right" };
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

/** Compares two texts of the same length in constant time. */
function equal(a: string, b: string): boolean {
  let difference = 0;
  for (let at = 0; at < a.length; at++) difference |= a.charCodeAt(at) ^ b.charCodeAt(at);
  return difference === 0;
}
