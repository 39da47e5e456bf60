import {
  assert,
  assertEquals,
  assertGreater,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { doKey, doPut, KeyClient, KeyClientError } from "../key_client.ts";
import { deliver } from "./faults.ts";
import { RequestReader } from "./request.ts";
import { decide, IssuedKeys, respond } from "./responses.ts";
import { type FaultName, FAULTS, type KeyServer, startKeyServer } from "./server.ts";
import { bytes, delay, KEY, text } from "../testing/bytes.ts";
import {
  bodyOf,
  capture,
  Client,
  CLOSING_REQUEST,
  concurrentTests,
  KEY_REQUEST,
  listen,
  SUCCESS,
  talk,
} from "../testing/raw_client.ts";

// ---- Our own client under each fault

const NAMES = Object.keys(FAULTS) as FaultName[];

const test = concurrentTests("startKeyServer() with each fault");

/** What comes of a KEY and of a PUT: a key or a text, or the code of the error and the status. */
const OUTCOMES: Record<FaultName, [key: string, put: RegExp | string]> = {
  "slow": ["key", /^no key was issued/],
  "drip": ["key", /^no key was issued/],
  "split": ["key", /^no key was issued/],
  "chunked": ["key", /^no key was issued/],
  "no-length": ["key", /^no key was issued/],
  "keep-open": ["key", /^no key was issued/],
  "interim": ["key", /^no key was issued/],
  "long-head": ["key", /^no key was issued/],
  "status-400": ["refused 400", /which says 400/],
  "status-404": ["refused 404", /which says 404/],
  "status-405": ["refused 405", /which says 405/],
  "status-500": ["refused 500", /^[\da-f]{128}$/],
  "redirect": ["refused 308", /status 308 sends you elsewhere/],
  "empty": ["closed-early undefined", "closed-early"],
  "truncate": ["closed-early undefined", "closed-early"],
  "reset": ["closed-early undefined", "closed-early"],
  "garbage": ["malformed undefined", "malformed"],
  "silent": ["timed-out undefined", "timed-out"],
  "short-key": ["not-a-key 200", /^no key was issued/],
  "not-a-key": ["not-a-key 200", /^<!doctype html>/],
};

for (const [fault, [outcome, said]] of Object.entries(OUTCOMES)) {
  test(`doKey(), doPut() and KeyClient meet the fault ${fault}`, async () => {
    await using server = startKeyServer({ port: 0, fault: fault as FaultName, delay: 20 });
    const { port } = server.addr;
    const timeout = fault === "silent" ? 100 : 10_000;

    async function stages() {
      const options = { port, timeout, userId: "Ada" };
      const key = await doKey(options);
      if (outcome !== "key") return assertEquals(key, null);
      assertMatch(text(key!), /^[\da-f]{128}$/);
      assertEquals(await doPut(key!, options), SUCCESS);
    }
    async function conversation() {
      using client = new KeyClient({ port, timeout, userId: "Bob" });
      if (outcome === "key") {
        const response = await client.verifyKey(await client.requestKey());
        assertEquals(response, { status: 200, ok: true, message: SUCCESS });
      } else {
        const error = await assertRejects(() => client.requestKey(), KeyClientError);
        assertEquals(`${error.code} ${error.status}`, outcome);
      }
    }
    async function put() {
      const options = { port, timeout, userId: "nobody" };
      if (said instanceof RegExp) return assertMatch(await doPut(KEY, options), said);
      const error = await assertRejects(() => doPut(KEY, options), KeyClientError);
      assertEquals(error.code, said);
    }
    await Promise.all([stages(), conversation(), put()]);
  });
}

// ---- Faults

const HEAD = "HTTP/1\\.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n";
const DATE = "Date: [^\r\n]*\r\n";
const NO_KEY = "No key here, though this text has 128 characters, as a key has, and a 200 in it: ";

/** What a KEY gets back under each fault, and how its connection ends. */
const FAULT_WIRES: Record<
  Exclude<FaultName, "silent">,
  [wire: RegExp, end: string, status: number]
> = {
  "slow": [RegExp(`^${HEAD}Content-Length: 128\r\n${DATE}\r\n[\\da-f]{128}$`), "end", 200],
  "drip": [RegExp(`^${HEAD}Content-Length: 128\r\n${DATE}\r\n[\\da-f]{128}$`), "end", 200],
  "split": [
    RegExp(`^${HEAD}Content-Length: 128\r\n${DATE}Cache-Control: no-store\r\n\r\n[\\da-f]{128}$`),
    "end",
    200,
  ],
  "chunked": [
    RegExp(
      `^${HEAD}Transfer-Encoding: chunked\r\n${DATE}\r\n` +
        "3c\r\n[\\da-f]{60}\r\n3c\r\n[\\da-f]{60}\r\n8\r\n[\\da-f]{8}\r\n0\r\n\r\n$",
    ),
    "end",
    200,
  ],
  "no-length": [RegExp(`^${HEAD}${DATE}Connection: close\r\n\r\n[\\da-f]{128}$`), "end", 200],
  "keep-open": [
    /^HTTP\/1\.1 200 OK\r\ncontent-type: [^\r]*\r\ncontent-length: 128\r\ndate: [^\r]*\r\n\r\n[\da-f]{128}$/,
    "open",
    200,
  ],
  "interim": [
    RegExp(
      `^HTTP/1.1 100 Continue\r\n\r\n${HEAD}Content-Length: 128\r\n${DATE}\r\n[\\da-f]{128}$`,
    ),
    "end",
    200,
  ],
  "long-head": [
    RegExp(
      `^${HEAD}Content-Length: 128\r\n${DATE}(?:X-Padding-\\d\\d: x{240}\r\n){32}\r\n[\\da-f]{128}$`,
    ),
    "end",
    200,
  ],
  "status-400": [RegExp(`^HTTP/1.1 400 Bad Request\r\n.*\r\n${NO_KEY}.{47}$`, "s"), "end", 400],
  "status-404": [RegExp(`^HTTP/1.1 404 Not Found\r\n.*\r\n${NO_KEY}.{47}$`, "s"), "end", 404],
  "status-405": [
    RegExp(`^HTTP/1.1 405 Method Not Allowed\r\n.*\r\nAllow: GET\r\n\r\n${NO_KEY}.{47}$`, "s"),
    "end",
    405,
  ],
  "status-500": [
    /^HTTP\/1\.1 500 Internal Server Error\r\n.*\r\n\r\n[\da-f]{128}$/s,
    "end",
    500,
  ],
  "redirect": [
    RegExp(
      `^HTTP/1.1 308 Permanent Redirect\r\n.*\r\nLocation: /moved/\r\n\r\n${NO_KEY}.{47}$`,
      "s",
    ),
    "end",
    308,
  ],
  "empty": [/^$/, "end", 0],
  "truncate": [RegExp(`^${HEAD}Content-Length: 128\r\n${DATE}\r\n[\\da-f]{64}$`), "end", 200],
  "reset": [/^$/, "ECONNRESET", 0],
  "garbage": [/^[!-\/:-@[-`{-~]{128}\r\n\r\n[!-\/:-@[-`{-~]{128}$/, "end", 0],
  "short-key": [RegExp(`^${HEAD}Content-Length: 127\r\n${DATE}\r\n[\\da-f]{127}$`), "end", 200],
  "not-a-key": [
    /^HTTP\/1\.1 200 OK\r\nContent-Type: text\/html; charset=utf-8\r\nContent-Length: 128\r\n.*\r\n\r\n<!doctype html>.*<\/html>$/s,
    "end",
    200,
  ],
};

for (const [fault, [pattern, end, status]] of Object.entries(FAULT_WIRES)) {
  test(`startKeyServer() with the fault ${fault} does exactly that on the wire`, async () => {
    await using server = listen({ idleTimeout: 20, delay: 50, fault: fault as FaultName });
    const response = await capture(server, KEY_REQUEST, end === "open" ? 246 : Infinity);
    assertMatch(response.wire, pattern);
    assertEquals(response.end, end);
    const answer = await server.event("answer");
    assertEquals([answer.status, answer.fault, answer.error], [status, fault, undefined]);
    assertEquals(answer.message === "", status === 0);
    assertEquals(text(answer.bytes), response.wire);
    if (fault === "slow") assertGreater(response.time - answer.time, 45); // two timers may differ
    else if (fault === "split" || fault === "interim") {
      assertEquals(response.chunks.length, 2);
      assertMatch(response.chunks[0], /\r\n\r\n$/);
    } else if (fault === "drip") { // a test that is put to sleep reads two bytes at once
      assertGreater(response.chunks.filter((chunk) => chunk.length === 1).length, 150);
    }
  });
}

Deno.test("startKeyServer() knows the faults in the order of the drill, in words that fit a line", () => {
  assertEquals(NAMES.filter((name) => name !== "silent"), Object.keys(FAULT_WIRES));
  for (const [at, name] of NAMES.entries()) {
    const { isBroken, description, good, help } = FAULTS[name];
    assertEquals(isBroken, at >= 8, name);
    assert(description.length > 0 && description.length <= 60, name);
    assert(good.length > 0 && good.length <= 50, name);
    assertGreater(help.length, 40, name);
  }
});

Deno.test("FAULTS cannot be changed, and has nothing but data in it", () => {
  assert(Object.isFrozen(FAULTS));
  for (const fault of Object.values(FAULTS)) {
    assert(Object.isFrozen(fault));
    assertEquals(Object.keys(fault), ["isBroken", "description", "good", "help"]);
    assertEquals(structuredClone(fault), fault);
  }
});

Deno.test("deliver() changes nothing", () => {
  const request = new RequestReader().read(bytes(KEY_REQUEST))!;
  const decision = decide(request, "127.0.0.1", new IssuedKeys());
  const response = Object.freeze(respond(decision, request, false));
  const before = structuredClone(response);
  for (const name of NAMES) {
    const { status, message } = deliver(response, name, 1);
    assertEquals(status === 0, message === "", name);
    assertEquals(response, before, name);
  }
});

test("startKeyServer() with the fault keep-open never closes first", async () => {
  await using server = listen({ idleTimeout: 20, fault: "keep-open" });
  using client = await Client.to(server);
  await client.send(KEY_REQUEST);
  const key = bodyOf(await client.read(246));
  await delay(200);
  assertEquals(server.remarks().filter((code) => code === "kept-open").length, 1); // once
  const { remark } = await server.event("remark", ({ remark }) => remark.code === "kept-open");
  assertStringIncludes(remark.message, "stop reading after Content-Length, 128 bytes of body");
  await client.send(`PUT /key/Ada/${key}/ HTTP/1.1\r\nHost: a\r\n\r\n`);
  assertEquals(bodyOf(await client.read(1)), SUCCESS);
  assertEquals(server.events.filter(({ type }) => type === "closed"), []);
  server.fault = "split"; // which holds nothing open
  assertEquals(await client.read(), "");
  server.fault = "keep-open";
  assertMatch(await talk(server, CLOSING_REQUEST), /connection: close\r\n\r\n[\da-f]{128}$/);
});

test("startKeyServer() with the fault silent hears all, never answers, and ends when it should", async () => {
  const server = listen({ idleTimeout: 20, fault: "silent" });
  using client = await Client.to(server);
  await client.send(KEY_REQUEST);
  await server.event("answer");
  await delay(200);
  await client.send("PUT /key/Ada/None/ HTTP/1.1\r\nHost: a\r\n\r\n");
  const { status, error } = await server.event("answer", ({ method }) => method === "PUT");
  assertEquals([status, error?.code], [0, "key-none"]);
  using other = await Client.to(server);
  await other.send(KEY_REQUEST);
  await server.event("answer", ({ connection }) => connection === 2);
  server.fault = "split";
  assertEquals(await other.read(), ""); // without a word
  assertEquals(server.remarks().includes("idle"), false);
  server.fault = "silent";
  using third = await Client.to(server);
  await third.send(KEY_REQUEST);
  await server.event("answer", ({ connection }) => connection === 3);
  await server.shutdown();
  assertEquals(await third.read(), "");
});

test("startKeyServer() sees a client go that gets no answer", async () => {
  await using server = listen({ fault: "silent" });
  const client = await Client.to(server);
  await client.send(KEY_REQUEST);
  await server.event("answer");
  await delay(300); // who closes at once may only have ended its half
  client.close();
  assertEquals((await server.event("closed")).by, "client");
});

test("startKeyServer() redirects a client that follows to the same path again", async () => {
  await using server = listen({ fault: "redirect" });
  const first = await talk(server, CLOSING_REQUEST);
  const [, path] = /\r\nLocation: (\S+)\r\n/.exec(first)!;
  const second = await talk(server, CLOSING_REQUEST.replace("/user/Ada/", path));
  assertStringIncludes(second, `HTTP/1.1 308 Permanent Redirect\r\n`);
  assertStringIncludes(second, `\r\nLocation: ${path}\r\n`);
});

test("startKeyServer() sends nothing to HTTP/1.0 that it does not know", async () => {
  const request = "KEY /user/Ada/ HTTP/1.0\r\n\r\n";
  for (const fault of ["chunked", "interim"] as const) {
    await using server = listen({ fault });
    const response = await talk(server, request);
    assertMatch(response, /^HTTP\/1\.1 200 OK\r\n.*\r\nConnection: close\r\n\r\n[\da-f]{128}$/s);
    assertEquals(response.includes("Transfer-Encoding"), false);
  }
});

test("startKeyServer() answers HEAD without a body under each fault", async () => {
  for (const fault of ["chunked", "split", "not-a-key", "status-404", "truncate"] as const) {
    await using server = listen({ fault });
    const response = await talk(server, CLOSING_REQUEST.replace("KEY", "HEAD"));
    assertMatch(response, /\r\n\r\n$/, fault);
    assertEquals(response.split("\r\n\r\n").length, 2, fault);
  }
});

test("startKeyServer() gives each of several requests in one write its faulty answer", async () => {
  for (const fault of ["chunked", "short-key"] as const) {
    await using server = listen({ fault });
    const response = await talk(server, KEY_REQUEST + KEY_REQUEST + CLOSING_REQUEST);
    assertEquals(response.match(/HTTP\/1\.1 200 OK/g)?.length, 3);
    assertEquals(server.events.filter(({ type }) => type === "answer").length, 3);
  }
});

test("startKeyServer() says what is wrong with a request, whatever the fault answers", async () => {
  await using server = listen({ fault: "long-head" });
  const wrong = CLOSING_REQUEST.replace("/user/Ada/", "/user/Ada");
  for (
    const [fault, status, said] of [
      ["long-head", 404, "the path does not end in a slash"],
      ["status-404", 404, NO_KEY],
      ["not-a-key", 200, "<!doctype html>"],
      ["short-key", 404, "the path does not end in a slash"], // there is no key in it
      ["garbage", 0, "\r\n\r\n"],
    ] as const
  ) {
    server.fault = fault;
    assertStringIncludes(await talk(server, wrong), said);
    const answer = await server.event("answer", (event) => event.fault === fault);
    assertEquals([answer.status, answer.error?.code], [status, "no-final-slash"]);
  }
});

test("startKeyServer() changes its fault from one answer to the next", async () => {
  await using server = listen({ fault: "short-key" });
  using client = await Client.to(server);
  for (const [fault, size] of [["short-key", 127], ["chunked", 150], [undefined, 128]] as const) {
    server.fault = fault;
    assertEquals(server.fault, fault);
    await client.send(KEY_REQUEST);
    await server.event("answer", (event) => event.fault === fault);
    const response = await client.read(1);
    assertEquals(bodyOf(response).length, size);
  }
});

test("startKeyServer() knows the fault of a KEY as late as onEvent sets it", async () => {
  const server: KeyServer = startKeyServer({
    port: 0,
    fault: "silent",
    onEvent(event) {
      if (event.type === "request") server.fault = "short-key";
    },
  });
  assertMatch(await talk(server, CLOSING_REQUEST), /\r\n\r\n[\da-f]{127}$/);
  await server.shutdown();
});

test("startKeyServer() gives a fault that comes between requests in one write to the second alone", async () => {
  for (const fault of ["split", "reset"] as const) {
    let count = 0;
    const server: KeyServer = startKeyServer({
      port: 0,
      onEvent(event) {
        if (event.type === "request") server.fault = ++count === 1 ? undefined : fault;
      },
    });
    server.nextFault = "reset";
    await server.ready;
    const { chunks, wire, end } = await capture(server, KEY_REQUEST + CLOSING_REQUEST);
    assertMatch(chunks[0], /\r\n\r\n[\da-f]{128}(?:HTTP|$)/);
    assertEquals(/^[\da-f]{128}$/.test(chunks.at(-1)!), fault === "split");
    assertEquals(wire.match(/HTTP\/1\.1 200 OK/g)?.length, fault === "split" ? 2 : 1);
    assertEquals(end, fault === "split" ? "end" : "ECONNRESET");
    await server.shutdown();
  }
});

test("startKeyServer() sends no 100 before a broken answer", async () => {
  const request = CLOSING_REQUEST.replace(
    "\r\n\r\n",
    "\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
  );
  for (
    const [fault, start] of [["empty", ""], ["garbage", "?!"], ["chunked", "HTTP/1.1 100"]] as const
  ) {
    await using server = listen({ fault });
    using client = await Client.to(server);
    await client.send(request);
    await delay(30);
    await client.send("abc");
    const response = await client.read();
    assertEquals(response.slice(0, start.length || 1), start);
  }
});

test("startKeyServer() with the fault silent is so to a client that has ended its half", async () => {
  await using server = listen({ idleTimeout: 20, fault: "silent" });
  using client = await Client.to(server);
  await client.send(KEY_REQUEST);
  await client.conn.closeWrite();
  await server.event("answer");
  await delay(100);
  assertEquals(server.events.some(({ type }) => type === "closed"), false);
  server.fault = "split";
  assertEquals(await client.read(), "");
});

test("startKeyServer() refuses a fault that there is none of", async () => {
  const wrong = "drop" as FaultName;
  const port = 0;
  assertThrows(() => startKeyServer({ port, fault: wrong }), TypeError, 'Cannot use fault "drop"');
  assertThrows(() => startKeyServer({ port, fault: "toString" as FaultName }), TypeError);
  await using server = startKeyServer({ port, fault: "slow" });
  assertThrows(() => server.fault = wrong, TypeError, 'Cannot use fault "drop"');
  assertThrows(() => server.nextFault = wrong, TypeError, 'Cannot use fault "drop"');
  assertEquals(server.fault, "slow");
});
