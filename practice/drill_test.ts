import {
  assert,
  assertEquals,
  assertGreater,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { type DrillOptions, type DrillResult, startDrill } from "./drill.ts";
import { doKey, doPut, KeyClient, KeyClientError } from "../key_client.ts";
import { type FaultName, FAULTS, type KeyServerEvent } from "./server.ts";
import { delay, KEY } from "../testing/bytes.ts";
import { concurrentTests, FAILURES, until } from "../testing/raw_client.ts";

const NAMES = Object.keys(FAULTS) as FaultName[];
const SUCCESS = "Success: the key is right";

const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

// ---- The drill

/** A drill whose results are kept as they come. */
function drillOf(options: DrillOptions = {}) {
  const seen: DrillResult[] = [];
  const events: KeyServerEvent[] = [];
  const drill = startDrill({
    port: 0,
    quiet: 200,
    ...options,
    onResult: (result) => seen.push(structuredClone(result)),
    onEvent: (event) => events.push(event),
  });
  return Object.assign(drill, { seen, events, port: drill.addr.port });
}

function verdicts(results: DrillResult[]): string[] {
  return results.map(({ fault, passed }) => `${passed ? "✔" : "✘"} ${fault}`);
}

// ---- Clients of others

type Flaw =
  | "none"
  | "one read"
  | "never reads on"
  | "reads to the close"
  | "ignores the status"
  | "takes the last 128 bytes"
  | "one spelling"
  | "no chunks"
  | "sends None"
  | "PUT after a 404"
  | "no time-out"
  | "no PUT"
  | "any length"
  | "two bytes too few";

/** A small client such as people write, right but for its flaw. */
async function converse(port: number, flaw: Flaw, fault: FaultName): Promise<void> {
  const isHanging = fault === "silent" ||
    fault === "keep-open" && (flaw === "reads to the close" || flaw === "one spelling");
  async function exchange(line: string): Promise<{ status: number; body: string }> {
    using conn = await Deno.connect({ port });
    let timer: ReturnType<typeof setTimeout> | undefined;
    if (flaw !== "no time-out") timer = setTimeout(() => conn.close(), isHanging ? 300 : 10_000);
    const close = flaw === "takes the last 128 bytes" ? "Connection: close\r\n" : "";
    await conn.write(new TextEncoder().encode(`${line} HTTP/1.1\r\nHost: a\r\n${close}\r\n`));
    let data = "";
    let isEnded = false;
    const more = async () => {
      const part = new Uint8Array(4096);
      const count = await conn.read(part);
      if (count === null) isEnded = true;
      else data += decode(part.subarray(0, count));
    };
    try {
      if (flaw === "reads to the close" || close) { while (!isEnded) await more(); }
      if (flaw === "takes the last 128 bytes") return { status: 200, body: data.slice(-128) };
      let status = 0;
      let head: string;
      do {
        if (flaw === "one read") await more();
        while (flaw !== "one read" && !data.includes("\r\n\r\n")) {
          if (isEnded) throw new Error("cut off");
          await more();
        }
        [head] = data.split("\r\n\r\n", 1);
        data = data.slice(head.length + 4);
        if (!/^HTTP\/1\.\d \d{3}/.test(head)) throw new Error("no HTTP");
        status = Number(head.slice(9, 12));
      } while (status < 200 && flaw !== "one read" && flaw !== "never reads on");
      if (flaw === "one read" || flaw === "never reads on") return { status, body: data };
      if (/\r\ntransfer-encoding: *chunked/i.test(head) && flaw !== "no chunks") {
        let body = "";
        for (;;) {
          while (!/^[\da-f]+\r\n/.test(data)) await more();
          const size = parseInt(data, 16);
          data = data.slice(data.indexOf("\r\n") + 2);
          while (data.length < size + 2) await more();
          if (size === 0) return { status, body };
          body += data.slice(0, size);
          data = data.slice(size + 2);
        }
      }
      const pattern = flaw === "one spelling"
        ? /\r\nContent-Length: *(\d+)/
        : /\r\ncontent-length: *(\d+)/i;
      const length = pattern.exec(head)?.[1];
      while (data.length < Number(length ?? Infinity) && !isEnded) await more();
      if (length && data.length < Number(length)) throw new Error("cut off");
      return { status, body: data.slice(0, length ? Number(length) : undefined) };
    } finally {
      clearTimeout(timer);
      try {
        conn.close();
      } catch {
        // The timer has done so.
      }
    }
  }

  let key: string | null = null;
  try {
    const { status, body } = await exchange("KEY /user/User1/");
    const isFine = flaw === "ignores the status" || status === 200 ||
      flaw === "PUT after a 404" && status === 404;
    const isKey = ["ignores the status", "PUT after a 404", "any length"].includes(flaw)
      ? body.length > 100
      : flaw === "takes the last 128 bytes" || /^[\da-f]{128}$/.test(body);
    if (isFine && isKey) key = body;
  } catch {
    // There is no key then.
  }
  if (flaw === "no PUT" || key === null && flaw !== "sends None") return;
  if (flaw === "two bytes too few") key = key!.slice(2);
  try {
    await exchange(`PUT /key/User1/${key === null ? "None" : encodeURIComponent(key)}/`);
  } catch {
    // It was sent all the same.
  }
}

const SHORT = NAMES.filter((name) => name !== "slow" && name !== "silent");
const BROKEN = NAMES.filter((name) => FAULTS[name].isBroken);

/** The drills that a client with a flaw goes through, and those that it fails. */
const FLAWS: [flaw: Flaw, faults: FaultName[], failed: FaultName[]][] = [
  ["none", NAMES, []],
  ["one read", SHORT, ["drip", "split", "chunked", "interim", "long-head"]],
  ["never reads on", SHORT, ["drip", "split", "chunked", "interim"]],
  ["reads to the close", ["no-length", "keep-open", ...BROKEN.slice(5)], ["keep-open"]],
  [
    "ignores the status",
    SHORT,
    ["status-400", "status-404", "status-405", "status-500", "redirect", "short-key", "not-a-key"],
  ],
  [
    "takes the last 128 bytes",
    SHORT,
    ["chunked", ...BROKEN.filter((name) => name !== "silent" && name !== "reset")],
  ],
  ["one spelling", SHORT, ["keep-open"]],
  ["no chunks", SHORT, ["chunked"]],
  ["sends None", ["no-length", ...BROKEN], BROKEN],
  ["PUT after a 404", SHORT, ["status-404", "short-key", "not-a-key"]],
  ["no time-out", ["no-length", "silent", "short-key"], ["silent"]],
  ["no PUT", SHORT, SHORT],
  ["any length", SHORT, ["short-key", "not-a-key"]],
  ["two bytes too few", SHORT, SHORT], // no right key has come back, so the rest is no proof
];

/** Options of a drill beside others: there is more to wait for. */
const BUSY: DrillOptions = { delay: 100, idleTimeout: 300, quiet: 300 };

/** Goes through the whole drill with doKey() and doPut(). */
async function passWithFunctions() {
  await using drill = drillOf(BUSY);
  for (const fault of NAMES) {
    const options = { port: drill.port, timeout: fault === "silent" ? 300 : 10_000 };
    const key = await doKey(options);
    if (key) assertEquals(await doPut(key, options), SUCCESS);
  }
  assertEquals(verdicts(await drill.finished), NAMES.map((name) => `✔ ${name}`));
}

/** Goes through the whole drill with KeyClient. */
async function passWithClient() {
  await using drill = drillOf(BUSY);
  for (const fault of NAMES) {
    const timeout = fault === "silent" ? 300 : 10_000;
    using client = new KeyClient({ port: drill.port, timeout });
    try {
      assertEquals((await client.verifyKey(await client.requestKey())).ok, true);
    } catch (error) {
      assert(error instanceof KeyClientError);
    }
  }
  assertEquals(verdicts(await drill.finished), NAMES.map((name) => `✔ ${name}`));
}

// All at once, as each of them waits most of the time.
Deno.test("our own clients pass the whole drill, and each flawed one fails just where it should", async () => {
  const runs = FLAWS.map(async ([flaw, faults, failed]) => {
    const patience = flaw === "no time-out" ? 600 : 30_000;
    await using drill = drillOf({ faults, patience, ...BUSY });
    for (const fault of faults) await converse(drill.port, flaw, fault);
    const results = await drill.finished;
    assertEquals(results.map(({ fault }) => fault), faults, flaw);
    assertEquals(results.filter(({ passed }) => !passed).map(({ fault }) => fault), failed, flaw);
    for (const { passed, cause } of results) {
      assertEquals(cause === null, passed);
      if (cause) assert(cause.rationale.length > 10 && cause.help.length > 10);
    }
  });
  await Promise.all([passWithFunctions(), passWithClient(), ...runs]);
});

// ---- The rules

const test = concurrentTests("startDrill(), in all that takes its time");

/** Sends this over a connection of its own, and gives all that comes back, up to the close. */
async function talk(port: number, wire: string): Promise<string> {
  using conn = await Deno.connect({ port });
  await conn.write(new TextEncoder().encode(wire));
  let received = "";
  const buffer = new Uint8Array(4096);
  for (let count; (count = await conn.read(buffer).catch(() => null)) !== null;) {
    received += decode(buffer.subarray(0, count));
  }
  return received;
}

const request = (line: string) => `${line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
const KEY_REQUEST = request("KEY /user/Ada/");
const PUT_REQUEST = request(`PUT /key/Ada/${KEY}/`);

/** Asks for a key, and brings it back if it is one. */
async function pass(port: number): Promise<void> {
  const [, key] = /\r\n\r\n([\da-f]{128})$/.exec(await talk(port, KEY_REQUEST)) ?? [];
  if (key) await talk(port, request(`PUT /key/Ada/${key}/`));
}

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
    /yet this came: PUT \/key\/Ada\/01234/,
  ],
  [
    "fails for a PUT that is none of HTTP",
    "status-404",
    (port) => talk(port, "PUT /key/Ada/No such user/ HTTP/1.1\r\n\r\n"),
    /yet this came: PUT \/key\/Ada\/No such user\/ HTTP\/1\.1$/,
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
    /yet this came/,
  ],
  ["passes a GET", "status-405", (port) => talk(port, request("GET /user/Ada/")), null],
  [
    "fails for a PUT after a redirect",
    "redirect",
    (port) => talk(port, PUT_REQUEST),
    /yet this came/,
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
      assertEquals(second.cause!.help, FAULTS[fault].help);
    } else assertEquals(second.cause, null);
  });
}

/** A client that holds its connection open. */
async function open(port: number, wire: string): Promise<Deno.TcpConn> {
  const conn = await Deno.connect({ port });
  await conn.write(new TextEncoder().encode(wire));
  return conn;
}

const KEEPING_REQUEST = "KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\n\r\n";

async function keyOf(conn: Deno.TcpConn): Promise<string> {
  let received = "";
  const buffer = new Uint8Array(4096);
  for (;;) {
    const [, key] = /\r\n\r\n([\da-f]{128})$/.exec(received) ?? [];
    if (key) return key;
    received += decode(buffer.subarray(0, await conn.read(buffer) ?? 0));
  }
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
    /^PUT \/key\/Ada\/012345\.\.\.cdef\/ HTTP\/1\.1 brought no right key back: the key is wrong/,
  );
  assertMatch(none.cause!.rationale, /brought no right key back: the key is `None`/);
  assertMatch(
    other.cause!.rationale,
    /^GET .* brought no right key back: there is no key in the path/,
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
  assertEquals(second.cause!.rationale, "the key was asked for `Ada`, and came from `Bob`");
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
    "the conversation begins with KEY, but this came: PUT /key/Ada/012345...cdef/ HTTP/1.1",
  );
  assertMatch(rationales[1], /^the KEY was refused: the path does not end in a slash/);
  assertMatch(rationales[2], /^the conversation begins with KEY, but this came: key \/user\/Ada\//);
  assertMatch(rationales[3], /^the KEY was refused: /);
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
    "has brought no right key back so far",
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
    /^no PUT came: the server ended the connection \d+\.\d\d s after/,
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
    /^no PUT came: your client ended the connection \d+\.\d\d s after its KEY$/,
  );
  assertMatch(
    drill.seen[1].cause!.rationale,
    /^no PUT came: your client was still connected \d+\.\d\d s after its KEY$/,
  );
});

test("startDrill() says of a client that goes on to its next KEY that it did", async () => {
  await using drill = drillOf({ faults: ["keep-open", "no-length"] });
  using first = await open(drill.port, KEEPING_REQUEST);
  await keyOf(first);
  await talk(drill.port, KEY_REQUEST);
  const [result] = await drill.stop();
  assertMatch(result.cause!.rationale, /^no PUT came before the next KEY, \d+\.\d\d s later$/);
});

test("startDrill() says of a PUT without an end that it has none", async () => {
  await using drill = drillOf({ faults: ["keep-open"], timeout: 600, idleTimeout: 100 });
  using conn = await open(drill.port, KEEPING_REQUEST);
  const key = await keyOf(conn);
  await conn.write(new TextEncoder().encode(`PUT /key/Ada/${key}/ HTTP/1.1\r\nHost: a\r\n`));
  const [{ cause }] = await drill.finished;
  assertMatch(cause!.rationale, /; a request is not whole: \d+ bytes, and no empty line yet/);
});

test("startDrill() waits for a client to give up, and lets go of one that does not", async () => {
  await using drill = drillOf({ faults: ["no-length", "silent", "silent"], patience: 500 });
  await pass(drill.port);
  const client = await open(drill.port, KEEPING_REQUEST);
  await delay(250); // a client that closes sooner may only have half-closed
  client.close();
  await until(() => drill.seen.length >= 2);
  assertEquals(await talk(drill.port, KEY_REQUEST), ""); // it ends, after all
  const [, patient, endless] = await drill.finished;
  assertEquals(patient.passed, true);
  assertEquals(endless.cause, {
    rationale: "your client has not given up: it still holds its connection after 0.5 s",
    help: FAULTS["silent"].help,
  });
});

test("startDrill() lets a PUT that came over an ended connection be sent once more", async () => {
  const faults: FaultName[] = ["no-length", "no-length", "status-404", "status-404"];
  await using drill = drillOf({ faults, idleTimeout: 200 });
  for (const fault of faults) {
    using conn = await open(drill.port, KEY_REQUEST);
    let received = "";
    const buffer = new Uint8Array(4096);
    for (let count; (count = await conn.read(buffer)) !== null;) {
      received += decode(buffer.subarray(0, count));
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
      assertEquals(drill.seen[1].cause?.rationale, "the PUT came over a connection that had ended");
      assertMatch(drill.seen[1].cause!.help, /make a new one for the PUT$/);
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
  assertMatch(cause!.rationale, /^no PUT came: [^;]*$/);
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
    const answer = decode(buffer.subarray(0, await conn.read(buffer) ?? 0));
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

Deno.test("startDrill() keeps of a client that never stops only so much", async () => {
  await using drill = drillOf({ faults: ["keep-open", "no-length"], timeout: 60_000 });
  using conn = await open(drill.port, KEEPING_REQUEST.repeat(600));
  const response = new Response(conn.readable).text(); // so that it does not get stuck
  const count = () => drill.events.filter(({ type }) => type === "answer").length;
  await until(() => count() >= 600);
  await talk(drill.port, KEY_REQUEST);
  const [{ events }] = await drill.stop();
  assertEquals(events.length, 1000);
  assertEquals(events.slice(0, 2).map(({ type }) => type), ["connected", "request"]);
  await response.catch(() => {});
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
  assertMatch(helps[0], /^this has nothing to do with the fault/);
  assertMatch(helps[1], /^this has nothing to do with the fault/);
  assertEquals(helps[2], "");
  assertEquals(helps[3], FAULTS["split"].help);
  for (const help of helps.slice(4)) assertMatch(help, /^send PUT only if there is a key/);
});

test("startDrill() fails a client that does not see the end of its connection", async () => {
  await using drill = drillOf({ faults: ["no-length", "truncate"], patience: 100 });
  await pass(drill.port);
  using conn = await open(drill.port, KEEPING_REQUEST); // and holds it, whatever comes
  const [, { cause }] = await drill.finished;
  assertMatch(cause!.rationale, /^your client has not given up: it still holds its connection/);
  assertMatch(cause!.help, /^when `recv\(\)` returns `b''`/);
  conn.close();
});

test("stop() gives what there is so far, and the verdict on who has just gone", async () => {
  const nobody = drillOf();
  assertEquals(await nobody.stop(), []);
  assertEquals(await nobody.stop(), []);

  const some = drillOf({ faults: ["no-length", "status-404", "status-500"] });
  await pass(some.port);
  await talk(some.port, KEY_REQUEST);
  assertEquals(verdicts(await some.stop()), ["✔ no-length", "✔ status-404"]);

  const hung = drillOf({ faults: ["silent"], quiet: 60_000 });
  using _conn = await open(hung.port, KEEPING_REQUEST);
  await until(() => hung.events.some(({ type }) => type === "answer"));
  hung.stop();
  hung.stop(); // said twice, it still waits
  assertEquals(await Promise.race([hung.finished, delay(20)]), undefined);
  assertEquals(await hung.stop({ now: true }), []);

  const controller = new AbortController();
  const aborted = drillOf({ signal: controller.signal });
  controller.abort();
  assertEquals(await aborted.finished, []);
  assertEquals(await drillOf({ signal: AbortSignal.abort() }).finished, []);
});

test("startDrill() goes on, whatever its callbacks throw or reject with", async () => {
  for (const fail of FAILURES) {
    const calls = { onWaiting: fail, onBegun: fail, onResult: fail, onEvent: fail };
    await using drill = startDrill({ port: 0, faults: ["no-length", "no-length"], ...calls });
    await pass(drill.addr.port);
    await pass(drill.addr.port);
    assertEquals((await drill.finished).map(({ passed }) => passed), [true, true]);
  }
});

test("startDrill() never changes a result that it has handed out", async () => {
  const handed: DrillResult[] = [];
  const faults: FaultName[] = ["no-length", "no-length", "status-404"];
  await using drill = startDrill({
    ...{ port: 0, quiet: 200, faults },
    onResult: (result) => handed.push(result),
  });
  const { port } = drill.addr;
  await pass(port);
  const [, key] = /\r\n\r\n([\da-f]{128})$/.exec(await talk(port, KEY_REQUEST))!;
  await until(() => handed.length === 2); // without its PUT
  const first = structuredClone(handed);
  await talk(port, request(`PUT /key/Ada/${key}/`));
  await talk(port, request(`PUT /key/Ada/${key}/`)); // changes nothing more
  await talk(port, KEY_REQUEST);
  await until(() => handed.length === 4);
  const second = structuredClone(handed.slice(2));
  await talk(port, PUT_REQUEST).catch(() => {}); // the drill is over
  const results = await drill.finished;
  assertEquals(verdicts(handed), ["✔ no-length", "✘ no-length", "✔ no-length", "✔ status-404"]);
  assertEquals(handed, [...first, ...second]);
  assertEquals(results.map((result) => handed.indexOf(result)), [0, 2, 3]);
});

test("startDrill() resets the connection of a client, also if it goes on at once", async () => {
  await using drill = drillOf({ faults: ["no-length", "truncate", "reset", "status-404"] });
  await pass(drill.port);
  await talk(drill.port, KEY_REQUEST);
  const ends = [];
  for (let n = 0; n < 2; n++) {
    using conn = await open(drill.port, KEY_REQUEST);
    ends.push(await new Response(conn.readable).text().catch((error) => error.name));
  }
  assertEquals(ends[0], "ConnectionReset");
  assertMatch(ends[1], /^HTTP\/1\.1 404 /);
  assertEquals(verdicts(await drill.finished).map(([mark]) => mark), ["✔", "✔", "✔", "✔"]);
});

Deno.test("startDrill() listens on Node's sockets for the fault reset only", async () => {
  const { process } = globalThis as unknown as { process: typeof import("node:process") };
  const { getBuiltinModule } = process;
  let count = 0;
  process.getBuiltinModule = ((name: string) => {
    count++;
    return getBuiltinModule(name);
  }) as typeof getBuiltinModule;
  try {
    const faults: FaultName[] = ["no-length", "long-head", "truncate", "reset", "status-404"];
    const counts: number[] = [];
    await using drill = drillOf({ faults, onWaiting: () => counts.push(count) });
    for (const _ of faults) await pass(drill.port).catch(() => {});
    assertEquals((await drill.finished).map(({ passed }) => passed), faults.map(() => true));
    assertEquals(counts.slice(0, 2), [0, 0]);
    assertGreater(counts[3], 0); // for "reset"
    assertEquals(counts[4], counts[3]);
  } finally {
    process.getBuiltinModule = getBuiltinModule;
  }
});

test("startDrill() tells what it waits for, and what has happened", async () => {
  const waiting: string[] = [];
  await using drill = drillOf({
    faults: ["no-length", "status-404"],
    onWaiting: (fault) => waiting.push(fault),
  });
  assertEquals(waiting, []); // not before it has returned
  await Promise.resolve();
  assertEquals(waiting, ["no-length"]);
  await pass(drill.port);
  assertEquals(waiting, ["no-length", "status-404"]);
  await talk(drill.port, KEY_REQUEST);
  const [first, second] = await drill.finished;
  assertEquals(drill.seen.map(({ fault }) => fault), ["no-length", "status-404"]);
  const types = (result: DrillResult) => result.events.map(({ type }) => type).join(" ");
  assertMatch(types(first), /^connected request answer .*request answer$/);
  assertEquals(types(second), "connected request answer closed");
});

Deno.test("startDrill() refuses options that make no sense", async () => {
  for (const name of ["timeout", "patience", "quiet"]) {
    assertThrows(() => startDrill({ port: 0, [name]: 0 }), RangeError, `Cannot use ${name} 0`);
  }
  assertThrows(() => startDrill({ port: 0, faults: [] }), RangeError, "there are none");
  const faults = ["slow", "drop"] as FaultName[];
  assertThrows(() => startDrill({ port: 0, faults }), TypeError, 'Cannot use fault "drop"');
  await using drill = drillOf();
  assertThrows(() => startDrill({ port: drill.port }), Deno.errors.AddrInUse);
});
