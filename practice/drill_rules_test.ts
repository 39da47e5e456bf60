import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { DrillResult } from "./drill.ts";
import { type FaultName, FAULTS, type KeyServerEvent } from "./server.ts";
import { delay, KEY, text } from "../testing/bytes.ts";
import {
  drillOf,
  KEEPING_REQUEST,
  KEY_REQUEST,
  keyOf,
  open,
  pass,
  PUT_REQUEST,
  request,
  talk,
  verdicts,
} from "../testing/drill_clients.ts";
import { concurrentTests, until } from "../testing/raw_client.ts";

const test = concurrentTests("startDrill() and its verdicts");

/** What comes to pass after a right key was brought back, and before the drill is over. */
const BROKEN_RULES: [
  name: string,
  fault: FaultName,
  act: (port: number) => Promise<unknown>,
  rationale: RegExp | null,
][] = [
  ["passes when nothing comes", "status-404", () => Promise.resolve(), null],
  [
    "fails for a PUT",
    "status-404",
    (port) => talk(port, PUT_REQUEST),
    /but this was sent: PUT \/key\/Ada\/01234/,
  ],
  [
    "fails for a PUT that is none of HTTP",
    "status-404",
    (port) => talk(port, "PUT /key/Ada/No such user/ HTTP/1.1\r\n\r\n"),
    /but this was sent: PUT \/key\/Ada\/No such user\/ HTTP\/1\.1$/,
  ],
  [
    "fails for a lower-case put",
    "status-404",
    (port) => talk(port, request("put /key/Ada/x/")),
    /: put /,
  ],
  [
    "passes a client that follows",
    "redirect",
    async (port) => {
      await talk(port, request("KEY /moved/"));
      await talk(port, request("GET /moved/"));
      await talk(port, request(`KEY http://127.0.0.1:${port}/moved/`));
    },
    null,
  ],
  [
    "fails for a PUT that only looks like one that follows",
    "redirect",
    (port) => talk(port, request("PUT /key/Ada//moved/")),
    /but this was sent/,
  ],
  ["passes a GET", "status-405", (port) => talk(port, request("GET /user/Ada/")), null],
  [
    "fails for a PUT after a redirect",
    "redirect",
    (port) => talk(port, PUT_REQUEST),
    /but this was sent/,
  ],
];

for (const [name, fault, act, rationale] of BROKEN_RULES) {
  test(`startDrill() ${name}`, async () => {
    await using drill = drillOf({ faults: ["no-length", fault] });
    await pass(drill.port);
    await talk(drill.port, KEY_REQUEST);
    await act(drill.port);
    const [first, second] = await drill.finished;
    assertEquals(first.passed, true);
    assertEquals(second.passed, rationale === null);
    if (rationale) {
      assertMatch(second.cause!.rationale, rationale);
      assertEquals(second.cause!.help, `${FAULTS[fault].help}; if there is no key, send no PUT`);
    } else assertEquals(second.cause, null);
  });
}

test("startDrill() fails a client whose PUT does not bring the key back", async () => {
  await using drill = drillOf({ faults: ["long-head", "long-head", "long-head"] });
  await talk(drill.port, KEY_REQUEST);
  await talk(drill.port, PUT_REQUEST);
  await talk(drill.port, KEY_REQUEST);
  await talk(drill.port, request("PUT /key/Ada/None/"));
  await talk(drill.port, KEY_REQUEST);
  await talk(drill.port, "GET /key/Ada/ HTTP/1.1\r\n\r\n");
  const [wrong, none, other] = await drill.finished;
  assertMatch(
    wrong.cause!.rationale,
    /^the server refused PUT \/key\/Ada\/012345\.\.\.cdef\/ HTTP\/1\.1: wrong key/,
  );
  assertMatch(none.cause!.rationale, /^the server refused PUT .*: the key is `None`/);
  assertMatch(
    other.cause!.rationale,
    /^the server refused GET .*: no key in the path/,
  );
});

test("startDrill() fails a client that brings back what another user got", async () => {
  await using drill = drillOf({ faults: ["long-head", "long-head"] });
  const bob = await open(drill.port, KEEPING_REQUEST.replace("Ada", "Bob"));
  const key = await keyOf(bob);
  bob.close();
  await talk(drill.port, KEY_REQUEST);
  await talk(drill.port, request(`PUT /key/Bob/${key}/`));
  const [, second] = await drill.finished;
  assertEquals(second.cause!.rationale, "the user id is `Ada` in KEY, but `Bob` in PUT");
});

test("startDrill() fails a client that asks for no key, and says why", async () => {
  await using drill = drillOf({ faults: ["long-head", "long-head", "status-400", "long-head"] });
  await talk(drill.port, PUT_REQUEST);
  await talk(drill.port, request("KEY /user/Ada"));
  await talk(drill.port, request("key /user/Ada/"));
  await talk(drill.port, KEY_REQUEST.replace("Host", "Ho st"));
  const rationales = (await drill.finished).map(({ cause }) => cause!.rationale);
  assertEquals(
    rationales[0],
    "the first request is not KEY: PUT /key/Ada/012345...cdef/ HTTP/1.1",
  );
  assertMatch(rationales[1], /^KEY was refused: the path does not end with a slash/);
  assertMatch(
    rationales[2],
    /^the first request is not KEY: key \/user\/Ada\//,
  );
  assertMatch(rationales[3], /^KEY was refused: /);
});

test("startDrill() takes no silence for a proof", async () => {
  await using drill = drillOf({ faults: ["status-404", "long-head", "status-404"] });
  await talk(drill.port, KEY_REQUEST);
  await pass(drill.port);
  await talk(drill.port, KEY_REQUEST);
  const results = await drill.finished;
  assertEquals(verdicts(results), ["✘ status-404", "✔ long-head", "✔ status-404"]);
  assertStringIncludes(
    results[0].cause!.rationale,
    "has not sent a correct key back in any round so far",
  );
});

test("startDrill() takes a late PUT into account, up to the next KEY", async () => {
  await using drill = drillOf({ faults: ["no-length", "status-404", "status-500", "no-length"] });
  await pass(drill.port);
  await talk(drill.port, request("PUT /key/Ada/None/")); // after one that is over, and was right
  await talk(drill.port, KEY_REQUEST);
  await until(() => drill.seen.length >= 2);
  await talk(drill.port, PUT_REQUEST);
  await talk(drill.port, PUT_REQUEST);
  assertEquals(verdicts(drill.seen), ["✔ no-length", "✔ status-404", "✘ status-404"]);
  const isPut = (event: KeyServerEvent) => event.type === "request" && event.method === "PUT";
  assertEquals(drill.seen.map(({ events }) => events.some(isPut)), [true, false, true]);
  await talk(drill.port, KEY_REQUEST);
  await talk(drill.port, PUT_REQUEST);
  await pass(drill.port);
  assertEquals(verdicts(await drill.finished), [
    "✔ no-length",
    "✘ status-404",
    "✘ status-500",
    "✔ no-length",
  ]);
  assertEquals(drill.seen.length, 5);
});

test("startDrill() ends a drill with the next KEY, whose answer has the next fault", async () => {
  await using drill = drillOf({ faults: ["no-length", "status-404", "status-500", "short-key"] });
  await pass(drill.port);
  using first = await open(drill.port, KEEPING_REQUEST);
  await first.read(new Uint8Array(1000));
  assertMatch(await talk(drill.port, KEY_REQUEST), / 500 Internal Server Error/);
  assertMatch(await talk(drill.port, KEY_REQUEST), /\r\n\r\n[\da-f]{127}$/);
  const results = await drill.finished;
  assertEquals(results.map(({ passed }) => passed), [true, true, true, true]);
  for (const { events } of results) { // each has its own
    assertEquals(
      new Set(events.flatMap((event) => event.type === "answer" ? event.fault : [])).size,
      1,
    );
    assertEquals(events[0].type, "connected");
  }
});

test("startDrill() lets a client ask again over the same connection", async () => {
  await using drill = drillOf({ faults: ["long-head", "long-head"] });
  using conn = await open(drill.port, KEEPING_REQUEST);
  await keyOf(conn);
  await conn.write(new TextEncoder().encode(KEEPING_REQUEST));
  const key = await keyOf(conn);
  await talk(drill.port, request(`PUT /key/Ada/${key}/`));
  await talk(drill.port, KEY_REQUEST);
  const [again, none] = await drill.finished;
  assertEquals(again.passed, true);
  assertMatch(
    none.cause!.rationale,
    /^your client sent no PUT: the server closed the connection \d+\.\d\d s after/,
  );
});

test("startDrill() says what became of a client that sends no PUT", async () => {
  const faults: FaultName[] = ["keep-open", "keep-open", "keep-open"];
  await using drill = drillOf({ faults, timeout: 400, quiet: 100 });
  const gone = await open(drill.port, KEEPING_REQUEST);
  await keyOf(gone);
  gone.close();
  await until(() => drill.seen.length >= 1);
  using kept = await open(drill.port, KEEPING_REQUEST);
  await keyOf(kept);
  await until(() => drill.seen.length >= 2);
  using third = await open(drill.port, KEEPING_REQUEST);
  await keyOf(third);
  assertEquals((await drill.stop()).length, 2); // the third has its connection still open
  assertMatch(
    drill.seen[0].cause!.rationale,
    /^your client sent no PUT: your client closed its connection \d+\.\d\d s after KEY$/,
  );
  assertMatch(
    drill.seen[1].cause!.rationale,
    /^your client sent no PUT: your client was still connected \d+\.\d\d s after KEY$/,
  );
});

test("startDrill() says of a client that goes on to its next KEY that it did", async () => {
  await using drill = drillOf({ faults: ["keep-open", "no-length"] });
  using first = await open(drill.port, KEEPING_REQUEST);
  await keyOf(first);
  await talk(drill.port, KEY_REQUEST);
  const [result] = await drill.stop();
  assertMatch(
    result.cause!.rationale,
    /^your client sent no PUT before the next KEY, \d+\.\d\d s later$/,
  );
});

test("startDrill() says of a PUT without an end that it has none", async () => {
  await using drill = drillOf({ faults: ["keep-open"], timeout: 600, idleTimeout: 200 });
  using conn = await open(drill.port, KEEPING_REQUEST);
  const key = await keyOf(conn);
  await conn.write(
    new TextEncoder().encode(`PUT /key/Ada/${key}/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n`),
  );
  const [{ cause }] = await drill.finished;
  assertMatch(
    cause!.rationale,
    /; a request is incomplete: no empty line after the headers \(\d+ bytes received\)/,
  );
});

test("startDrill() waits for a client to give up, and lets go of one that does not", async () => {
  await using drill = drillOf({ faults: ["no-length", "silent", "silent"], patience: 1_500 });
  await pass(drill.port);
  const client = await open(drill.port, KEEPING_REQUEST);
  await delay(250); // a client that closes sooner may only have half-closed
  client.close();
  await until(() => drill.seen.length >= 2);
  assertEquals(await talk(drill.port, KEY_REQUEST), ""); // it ends, after all
  const [, patient, endless] = await drill.finished;
  assertEquals(patient.passed, true);
  assertEquals(endless.cause, {
    rationale: "your client has not given up: its connection is still open after 1.5 s",
    help: `${FAULTS["silent"].help}; if there is no key, send no PUT`,
  });
});

test("startDrill() lets a PUT that came over an ended connection be sent once more", async () => {
  const faults: FaultName[] = ["no-length", "no-length", "status-404", "status-404"];
  await using drill = drillOf({ faults, idleTimeout: 800 });
  for (const fault of faults) {
    using conn = await open(drill.port, KEY_REQUEST);
    let received = "";
    const buffer = new Uint8Array(4096);
    for (let count; (count = await conn.read(buffer)) !== null;) {
      received += text(buffer.subarray(0, count));
    }
    const key = fault === "no-length" ? received.slice(-128) : KEY;
    await conn.write(new TextEncoder().encode(request(`PUT /key/Ada/${key}/`)));
    const { connection } = drill.events.at(-1)!;
    const isLate = (event: KeyServerEvent) =>
      event.connection === connection && event.type === "remark" &&
      event.remark.code === "late-request";
    await until(() => drill.events.some(isLate));
    if (fault !== "no-length") continue;
    if (drill.seen.length === 1) { // this one only later
      await until(() => drill.seen.length >= 2);
      assertEquals(drill.seen[1].cause?.rationale, "PUT was sent over a closed connection");
      assertMatch(drill.seen[1].cause!.help, /make a new one for PUT$/);
    }
    await talk(drill.port, request(`PUT /key/Ada/${key}/`));
  }
  assertEquals(verdicts(await drill.finished), [
    "✔ no-length",
    "✔ no-length",
    "✘ status-404",
    "✘ status-404",
  ]);
});

test("startDrill() takes no notice of who only looks whether it is there", async () => {
  await using drill = drillOf({ faults: ["no-length", "status-404"] });
  (await Deno.connect({ port: drill.port })).close();
  await talk(drill.port, request("GET /"));
  await pass(drill.port);
  await talk(drill.port, request("HEAD /favicon.ico"));
  using _idle = await Deno.connect({ port: drill.port });
  await talk(drill.port, KEY_REQUEST);
  const probing = setInterval(async () => {
    try {
      (await Deno.connect({ port: drill.port })).close();
      await talk(drill.port, request("GET /"));
    } catch {
      // It is over.
    }
  }, 20);
  assertEquals(verdicts(await drill.finished), ["✔ no-length", "✔ status-404"]);
  clearInterval(probing);
});

test("startDrill() says nothing of others to a client", async () => {
  await using drill = drillOf({ faults: ["no-length", "no-length"], timeout: 100 });
  for (let n = 0; n < 400; n++) (await Deno.connect({ port: drill.port })).close();
  await delay(50);
  using _conn = await open(drill.port, KEEPING_REQUEST);
  (await Deno.connect({ port: drill.port })).close(); // of which there is to say that nothing came
  await until(() => drill.seen.length >= 1);
  const [{ cause, events }] = await drill.stop();
  assertMatch(cause!.rationale, /^your client sent no PUT: [^;]*$/);
  const { connection } = events[0];
  const own = events.filter((event) => event.connection === connection);
  assertEquals(own.slice(0, 3).map(({ type }) => type), ["connected", "request", "answer"]);
});

test("startDrill() takes a further KEY over one connection for the next client where there is no key", async () => {
  await using drill = drillOf({ faults: ["no-length", "status-404", "status-500", "not-a-key"] });
  await pass(drill.port);
  using conn = await open(drill.port, KEEPING_REQUEST);
  for (const status of [404, 500, 200]) {
    const buffer = new Uint8Array(4096);
    const answer = text(buffer.subarray(0, await conn.read(buffer) ?? 0));
    assertStringIncludes(answer, `HTTP/1.1 ${status} `);
    if (status !== 200) await conn.write(new TextEncoder().encode(KEEPING_REQUEST));
  }
  conn.close();
  const results = await drill.finished;
  assertEquals(results.map(({ passed }) => passed), [true, true, true, true]);
  const asked = ({ events }: DrillResult) => events.filter(({ type }) => type === "request").length;
  assertEquals(results.map(asked), [2, 1, 1, 1]);
});

test("startDrill() takes a right key that comes late for what it is", async () => {
  const faults: FaultName[] = ["no-length", "no-length", "no-length", "status-404"];
  await using drill = drillOf({ faults });
  for (let n = 1; n <= 3; n++) {
    const [, key] = /\r\n\r\n([\da-f]{128})$/.exec(await talk(drill.port, KEY_REQUEST))!;
    await until(() => drill.seen.at(-1)?.passed === false); // nothing came for a while
    await talk(drill.port, request(`PUT /key/Ada/${n === 2 ? KEY : key}/`));
    if (n === 2) await talk(drill.port, request(`PUT /key/Bob/${key}/`));
  }
  await talk(drill.port, KEY_REQUEST);
  assertEquals(verdicts(await drill.finished), [
    "✔ no-length",
    "✘ no-length",
    "✔ no-length",
    "✔ status-404",
  ]);
});

test("startDrill() takes no right key behind a wrong one", async () => {
  await using drill = drillOf({ faults: ["no-length", "no-length"] });
  const [, key] = /\r\n\r\n([\da-f]{128})$/.exec(await talk(drill.port, KEY_REQUEST))!;
  await talk(drill.port, PUT_REQUEST);
  await talk(drill.port, request(`PUT /key/Ada/${key}/`));
  assertEquals(verdicts(await drill.stop()), ["✘ no-length"]);
});

test("startDrill() takes no 100 for the answer to a PUT", async () => {
  await using drill = drillOf({ faults: ["no-length"] });
  await talk(drill.port, KEY_REQUEST);
  using conn = await open(
    drill.port,
    PUT_REQUEST.replace(/\r\n\r\n$/, "\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"),
  );
  await conn.read(new Uint8Array(100)); // the 100
  await conn.write(new TextEncoder().encode("abc"));
  assertEquals(verdicts(await drill.finished), ["✘ no-length"]);
});

test("startDrill() takes a right key that comes too late for none", async () => {
  await using drill = drillOf({ faults: ["no-length", "no-length"], timeout: 100 });
  const [, key] = /\r\n\r\n([\da-f]{128})$/.exec(await talk(drill.port, KEY_REQUEST))!;
  await until(() => drill.seen.length >= 1);
  await delay(100);
  await talk(drill.port, request(`PUT /key/Ada/${key}/`));
  assertEquals(verdicts(await drill.stop()), ["✘ no-length"]);
});

test("startDrill() ends with the last verdict, whatever comes then", async () => {
  await using drill = drillOf({ faults: ["status-404"] });
  using first = await open(drill.port, KEEPING_REQUEST);
  await first.read(new Uint8Array(1000));
  using second = await Deno.connect({ port: drill.port });
  const wire = new TextEncoder();
  await Promise.all([
    first.write(wire.encode(request("PUT /key/Ada/None/"))),
    second.write(wire.encode(request("KEY /user/Ada"))),
  ]);
  assertEquals(verdicts(await drill.finished), ["✘ status-404"]);
});

test("startDrill() says what to do about what is wrong, not about the fault", async () => {
  const faults: FaultName[] = [
    "long-head",
    "long-head",
    "no-length",
    "split",
    "status-404",
    "empty",
    "status-404",
    "not-a-key",
  ];
  await using drill = drillOf({ faults });
  await talk(drill.port, KEY_REQUEST);
  await talk(drill.port, PUT_REQUEST); // refused, and there was no right one so far
  await talk(drill.port, KEY_REQUEST); // no PUT, and that is not the first time
  await pass(drill.port);
  await talk(drill.port, KEY_REQUEST); // no PUT
  await talk(drill.port, KEY_REQUEST);
  await talk(drill.port, request("PUT /key/Ada/None/"));
  await talk(drill.port, KEY_REQUEST);
  await talk(drill.port, PUT_REQUEST);
  await talk(drill.port, KEY_REQUEST);
  await talk(drill.port, request("PUT /key/Ada/null/"));
  await talk(drill.port, KEY_REQUEST);
  await talk(drill.port, request("PUT /key/Ada//"));
  const helps = (await drill.finished).map(({ cause }) => cause?.help ?? "");
  assertEquals(helps[0], "send the digits as you received them");
  assertMatch(helps[1], /^run your client against `key_client --serve`/);
  assertEquals(helps[2], "");
  assertEquals(helps[3], FAULTS["split"].help);
  for (const help of helps.slice(4)) assertMatch(help, /^send PUT only if there is a key/);
});

test("startDrill() fails a client that does not see the end of its connection", async () => {
  await using drill = drillOf({ faults: ["no-length", "truncate"], patience: 100 });
  await pass(drill.port);
  using conn = await open(drill.port, KEEPING_REQUEST); // and holds it, whatever comes
  const [, { cause }] = await drill.finished;
  assertMatch(cause!.rationale, /^your client has not given up: its connection is still open/);
  assertMatch(cause!.help, /^after the last `recv\(\)`, compare/);
  conn.close();
});

test("startDrill() fails a client that hangs up later than its next KEY", async () => {
  await using drill = drillOf({ faults: ["long-head", "no-length"] });
  using keyConn = await open(drill.port, KEEPING_REQUEST);
  const key = await keyOf(keyConn);
  const unread = await open(
    drill.port,
    `PUT /key/Ada/${key}/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n`,
  );
  await until(() => drill.events.filter(({ type }) => type === "answer").length === 2);
  await talk(drill.port, KEY_REQUEST); // it ends the round
  assertEquals(verdicts(drill.seen), ["✔ long-head"]);
  unread.close();
  await until(() => drill.seen.length >= 2);
  assertEquals(drill.seen[1].cause!.rationale, UNREAD);
});

test("startDrill() fails a client that closes before it has read the response to PUT", async () => {
  await using drill = drillOf({ faults: ["slow", "long-head"], delay: 200 });
  for (const wait of [0, 50]) {
    using keyConn = await open(drill.port, KEEPING_REQUEST);
    const key = await keyOf(keyConn);
    const conn = await open(
      drill.port,
      `PUT /key/Ada/${key}/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n`,
    );
    await delay(wait);
    conn.close();
    await until(() => drill.seen.length === (wait === 0 ? 1 : 2));
  }
  assertEquals(drill.seen.map(({ cause }) => cause?.rationale), [UNREAD, UNREAD]);
});

test("startDrill() passes a client that shuts down its sending side and reads on", async () => {
  await using drill = drillOf({ faults: ["split"] });
  const wire = await talk(drill.port, KEY_REQUEST);
  const conn = await open(drill.port, request(`PUT /key/Ada/${wire.slice(-128)}/`));
  await conn.closeWrite();
  assertStringIncludes(await new Response(conn.readable).text(), "Success");
  assertEquals(verdicts(await drill.finished), ["✔ split"]);
});

test("startDrill() waits for a client to give up after the response to PUT", async () => {
  const options = { rounds: ["silent:PUT", "truncate:PUT", "empty:PUT"], patience: 1_500 };
  await using drill = drillOf(options);
  const ends: Deno.TcpConn[] = [];
  for (const name of ["silent", "truncate", "empty"]) {
    using keyConn = await open(drill.port, KEEPING_REQUEST);
    const key = await keyOf(keyConn);
    const conn = await open(drill.port, request(`PUT /key/Ada/${key}/`));
    if (name === "truncate") ends.push(conn); // it holds the connection
    else {
      await delay(250);
      conn.close();
    }
    await until(() => drill.seen.some((result) => result.name === name));
  }
  assertEquals(verdicts(drill.seen), ["✔ silent", "✘ truncate", "✔ empty"]);
  assertMatch(drill.seen[1].cause!.rationale, /^your client has not given up: its connection/);
  assertEquals(drill.seen[1].cause!.help, FAULTS["truncate"].help);
  for (const conn of ends) conn.close();
});

const UNREAD = "your client closed its connection before it had read the response to PUT";
