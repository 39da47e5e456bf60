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
import {
  type FaultName,
  FAULTS,
  type FaultTarget,
  type KeyServer,
  startKeyServer,
} from "./server.ts";
import { bytes, delay, KEY, text } from "../testing/bytes.ts";
import {
  bodyOf,
  capture,
  Client,
  CLOSING_REQUEST,
  concurrentTests,
  KEY_REQUEST,
  listen,
  statusOf,
  SUCCESS,
  talk,
} from "../testing/raw_client.ts";

// ---- Our own client under each fault

const NAMES = Object.keys(FAULTS) as FaultName[];

const test = concurrentTests("startKeyServer() with each fault");

/** What comes of a KEY and of a PUT: a key or a text, or the code of the error and the status. */
const OUTCOMES: Record<FaultName, [key: string, put: RegExp | string]> = {
  "slow": ["key", /^your IP address has no key/],
  "drip": ["key", /^your IP address has no key/],
  "split": ["key", /^your IP address has no key/],
  "chunked": ["key", /^your IP address has no key/],
  "no-length": ["key", /^your IP address has no key/],
  "keep-open": ["key", /^your IP address has no key/],
  "interim": ["key", /^your IP address has no key/],
  "long-head": ["key", /^your IP address has no key/],
  "status-400": ["refused 400", /Its status is 400/],
  "status-404": ["refused 404", /Its status is 404/],
  "status-405": ["refused 405", /Its status is 405/],
  "status-500": ["refused 500", /^[\da-f]{128}$/],
  "redirect": ["refused 308", /Status 308 is a redirect/],
  "empty": ["closed-early undefined", "closed-early"],
  "truncate": ["closed-early undefined", "closed-early"],
  "reset": ["closed-early undefined", "closed-early"],
  "garbage": ["malformed undefined", "malformed"],
  "silent": ["timed-out undefined", "timed-out"],
  "short-key": ["not-a-key 200", /^your IP address has no key/],
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
const NO_KEY = "No key here, though this text has 128 characters like a key, and contains a 200. ";

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
    await using server = listen({ idleTimeout: 200, delay: 50, fault: fault as FaultName });
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
  await using server = listen({ idleTimeout: 100, fault: "keep-open" });
  using client = await Client.to(server);
  await client.send(KEY_REQUEST);
  const key = bodyOf(await client.read(246));
  const { remark } = await server.event("remark", ({ remark }) => remark.code === "kept-open");
  await delay(200);
  assertEquals(server.remarks().filter((code) => code === "kept-open").length, 1); // once
  assertStringIncludes(remark.help, "stop after Content-Length (128 bytes)");
  await client.send(`PUT /key/Ada/${key}/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n`);
  assertEquals(bodyOf(await client.read(1)), SUCCESS);
  assertEquals(server.events.filter(({ type }) => type === "closed"), []);
  server.fault = "split"; // which holds nothing open
  assertEquals(await client.read(), "");
  server.fault = "keep-open";
  assertMatch(await talk(server, CLOSING_REQUEST), /connection: close\r\n\r\n[\da-f]{128}$/);
});

test("startKeyServer() with the fault silent hears all, never answers, and ends when it should", async () => {
  const server = listen({ idleTimeout: 100, fault: "silent" });
  using client = await Client.to(server);
  await client.send(KEY_REQUEST);
  await server.event("answer");
  await delay(200);
  await client.send("PUT /key/Ada/None/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n");
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

test("startKeyServer() answers a client that follows its redirect with 404", async () => {
  await using server = listen({ fault: "redirect" });
  const first = await talk(server, CLOSING_REQUEST);
  const [, path] = /\r\nLocation: (\S+)\r\n/.exec(first)!;
  for (const target of [path, `http://127.0.0.1:${server.addr.port}${path}`]) {
    server.events.length = 0;
    const second = await talk(server, CLOSING_REQUEST.replace("/user/Ada/", target));
    assertEquals([statusOf(second), second.includes("\r\nLocation:")], [404, false]);
    assertStringIncludes(bodyOf(second), "unknown path");
    const answer = await server.event("answer");
    assertEquals([answer.fault, answer.error?.code], [undefined, "no-such-path"]);
  }
  server.fault = "status-404";
  const other = await talk(server, CLOSING_REQUEST.replace("/user/Ada/", path));
  assertStringIncludes(other, NO_KEY);
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
      ["long-head", 404, "the path does not end with a slash"],
      ["status-404", 404, NO_KEY],
      ["not-a-key", 200, "<!doctype html>"],
      ["short-key", 404, "the path does not end with a slash"], // there is no key in it
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
    if (fault === "chunked") await server.event("answer", ({ status }) => status === 100);
    else await delay(30);
    await client.send("abc");
    const response = await client.read();
    assertEquals(response.slice(0, start.length || 1), start);
  }
});

test("startKeyServer() with the fault silent is so to a client that has ended its half", async () => {
  await using server = listen({ idleTimeout: 100, fault: "silent" });
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

// ---- Faults on one method

const targetTest = concurrentTests("startKeyServer() with a fault on one method");

/** Sends KEY, and if a key comes PUT, over one connection or two. */
async function converse(server: KeyServer, isKept: boolean): Promise<string[]> {
  const closing = isKept ? "" : "Connection: close\r\n";
  const tail = ` HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n${closing}\r\n`;
  using client = await Client.to(server);
  await client.send(`KEY /user/Ada/${tail}`);
  const key = isKept ? await client.response() : await client.read();
  using other = isKept ? client : await Client.to(server);
  await other.send(`PUT /key/Ada/${bodyOf(key)}/${tail}`);
  return [key, isKept ? await other.response() : await other.read()];
}

targetTest("startKeyServer() limits its fault to the responses to KEY, or to PUT", async () => {
  for (const isKept of [true, false]) {
    await using server = listen({ fault: "status-500", faultOn: "PUT" });
    assertEquals(server.faultOn, "PUT");
    assertEquals((await converse(server, isKept)).map(statusOf), [200, 500]);
    server.faultOn = "KEY";
    assertEquals((await converse(server, isKept)).map(statusOf), [500, 400]);
    server.faultOn = undefined;
    assertEquals((await converse(server, isKept)).map(statusOf), [500, 500]);
    const answers = server.events.flatMap((event) => event.type === "answer" ? event : []);
    assertEquals(answers.map(({ method, fault = "" }) => method + fault), [
      "KEY",
      "PUTstatus-500",
      "KEYstatus-500",
      "PUT",
      "KEYstatus-500",
      "PUTstatus-500",
    ]);
    assertEquals("fault" in answers[0], false);
  }
});

targetTest("startKeyServer() limits its fault to a method however the requests come", async () => {
  for (const [faultOn, pattern] of [["KEY", /^[a-f\d]{60}$/], ["PUT", /no key/]] as const) {
    await using server = listen({ fault: "chunked", faultOn });
    const put = `PUT /key/Bob/${KEY}/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n`;
    const wire = await talk(server, KEY_REQUEST + put + KEY_REQUEST + put + CLOSING_REQUEST);
    const responses = wire.split(/(?=HTTP\/1\.1 )/);
    assertEquals(responses.map(statusOf), [200, 404, 200, 404, 200]);
    for (const [at, response] of responses.entries()) {
      const isMeant = (at % 2 === 0) === (faultOn === "KEY");
      assertEquals(response.includes("\r\nTransfer-Encoding: chunked\r\n"), isMeant);
      if (isMeant) assertMatch(bodyOf(response).split("\r\n")[1], pattern);
    }
  }
});

targetTest(
  "startKeyServer() with a fault on one method responds to all others without it",
  async () => {
    await using server = listen({ fault: "empty", faultOn: "KEY" });
    for (
      const [wire, status] of [
        [CLOSING_REQUEST.replace("KEY", "GET"), 405],
        [CLOSING_REQUEST.replace("KEY", "key"), 405],
        ["no request\r\n\r\n", 400],
      ] as const
    ) {
      assertEquals(statusOf(await talk(server, wire)), status);
    }
    assertEquals(await talk(server, CLOSING_REQUEST.replace("/user/Ada/", "/nowhere/")), "");
  },
);

targetTest("startKeyServer() resets a connection only for the method of its fault", async () => {
  await using server = listen({ fault: "reset", faultOn: "PUT" });
  const { wire, end } = await capture(server, CLOSING_REQUEST);
  assertEquals([statusOf(wire), end], [200, "end"]);
  const put = `PUT /key/Ada/${bodyOf(wire)}/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n`;
  const { chunks, end: fate } = await capture(server, KEY_REQUEST + put);
  assertEquals([chunks.map(statusOf), fate], [[200], "ECONNRESET"]);
  server.faultOn = "KEY"; // connections can still be reset
  assertEquals((await capture(server, KEY_REQUEST)).end, "ECONNRESET");
});

targetTest(
  "startKeyServer() closes a connection as without a fault if its last response was sound",
  async () => {
    for (const fault of ["silent", "keep-open"] as const) {
      await using server = listen({ idleTimeout: 100, fault, faultOn: "PUT" });
      assertEquals(bodyOf(await talk(server, KEY_REQUEST)).length, 128); // which reads to the close
      assertEquals(server.remarks().at(-1), "idle");
      using held = await Client.to(server);
      await held.send(`PUT /key/Ada/${KEY}/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n`);
      await server.event("answer", (event) => event.fault === fault);
      using later = await Client.to(server); // is closed for being idle, when the other could be too
      await later.send(KEY_REQUEST);
      assertEquals(bodyOf(await later.read()).length, 128);
      assertEquals(
        server.events.some((event) => event.type === "closed" && event.connection === 2),
        false,
      );
      server.faultOn = "KEY"; // the fault holds it open no longer
      await held.read();
    }
  },
);

targetTest(
  "startKeyServer() does not hold a sound connection open under a fault on the other method",
  async () => {
    await using server = listen({ idleTimeout: 100, fault: "truncate", faultOn: "PUT" });
    using sound = await Client.to(server);
    await sound.send(CLOSING_REQUEST);
    await sound.read();
    await server.event("remark", ({ remark }) => remark.code === "still-open");
    await server.event("closed", ({ connection }) => connection === 1);
    using broken = await Client.to(server);
    await broken.send(`PUT /key/Ada/${KEY}/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n`);
    await broken.read();
    using later = await Client.to(server);
    await later.send(CLOSING_REQUEST);
    await later.read();
    await server.event("closed", ({ connection }) => connection === 3);
    assertEquals(server.events.filter(({ type }) => type === "closed").length, 2);
  },
);

targetTest(
  "startKeyServer() holds a connection open only for a fault that its last response had",
  async () => {
    await using server = listen({ idleTimeout: 100 });
    using client = await Client.to(server);
    await client.send(KEY_REQUEST);
    await client.response();
    server.fault = "keep-open"; // for the responses from now on
    assertEquals(await client.read(), "");
    assertEquals(server.remarks().at(-1), "idle");
  },
);

targetTest(
  "startKeyServer() closes after half-closing if its response was sound, not silent",
  async () => {
    await using server = listen({ idleTimeout: 60_000, fault: "silent", faultOn: "PUT" });
    using client = await Client.to(server);
    await client.send(KEY_REQUEST);
    await client.response();
    await client.conn.closeWrite();
    assertEquals(await client.read(), "");
  },
);

targetTest(
  "startKeyServer() sends a 100 before a response that is sound, whatever the fault of others",
  async () => {
    const fields = "\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    await using server = listen({ fault: "empty", faultOn: "PUT" });
    using client = await Client.to(server);
    await client.send(CLOSING_REQUEST.replace("\r\n\r\n", fields));
    assertEquals(await client.read(25), "HTTP/1.1 100 Continue\r\n\r\n");
    await client.send("abc");
    assertEquals(statusOf(await client.read()), 200);
  },
);

Deno.test("startKeyServer() refuses a fault on a method that is neither KEY nor PUT", async () => {
  await using server = startKeyServer({ port: 0, fault: "slow", faultOn: "PUT" });
  for (const method of ["GET", "put", "", null] as unknown as FaultTarget[]) {
    const words = `faultOn must be "KEY" or "PUT", not ${JSON.stringify(method)}`;
    assertThrows(() => startKeyServer({ port: 0, faultOn: method }), TypeError, words);
    assertThrows(() => server.faultOn = method, TypeError, words);
  }
  assertEquals(server.faultOn, "PUT");
});
