import { assert, assertEquals, assertGreater, assertMatch, assertThrows } from "@std/assert";
import { type DrillResult, startDrill } from "./drill.ts";
import { doKey, doPut, KeyClient, KeyClientError } from "../key_client.ts";
import { type FaultName, FAULTS } from "./server.ts";
import { browse, Page } from "../testing/browser.ts";
import { delay, text } from "../testing/bytes.ts";
import {
  drillOf,
  KEEPING_REQUEST,
  KEY_REQUEST,
  open,
  pass,
  PUT_REQUEST,
  request,
  talk,
  verdicts,
  type WireOptions,
} from "../testing/drill_clients.ts";
import { concurrentTests, FAILURES, SUCCESS, until } from "../testing/raw_client.ts";

const test = concurrentTests("startDrill() and stop()");

// ---- Clients of others

const NAMES = Object.keys(FAULTS) as FaultName[];

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
    await conn.write(
      new TextEncoder().encode(`${line} HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n${close}\r\n`),
    );
    let data = "";
    let isEnded = false;
    const more = async () => {
      const part = new Uint8Array(4096);
      const count = await conn.read(part);
      if (count === null) isEnded = true;
      else data += text(part.subarray(0, count));
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
const BUSY: WireOptions = { delay: 100, idleTimeout: 300, quiet: 300 };

/** Goes through all rounds with doKey() and doPut(). */
async function passWithFunctions() {
  await using drill = drillOf(BUSY);
  for (const fault of NAMES) {
    const options = { port: drill.port, timeout: fault === "silent" ? 300 : 10_000 };
    const key = await doKey(options);
    if (key) assertEquals(await doPut(key, options), SUCCESS);
  }
  assertEquals(verdicts(await drill.finished), NAMES.map((name) => `✔ ${name}`));
}

/** Goes through all rounds with KeyClient. */
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

test("our own clients pass all rounds, and each flawed one fails just where it should", async () => {
  const runs = FLAWS.map(async ([flaw, faults, failed]) => {
    const patience = flaw === "no time-out" ? 600 : 30_000;
    await using drill = drillOf({ faults, patience, ...BUSY });
    for (const fault of faults) await converse(drill.port, flaw, fault);
    const results = await drill.finished;
    assertEquals(results.map(({ name }) => name), faults, flaw);
    assertEquals(results.filter(({ passed }) => !passed).map(({ name }) => name), failed, flaw);
    for (const { passed, cause } of results) {
      assertEquals(cause === null, passed);
      if (cause) assert(cause.rationale.length > 10 && cause.help.length > 10);
    }
  });
  await Promise.all([passWithFunctions(), passWithClient(), ...runs]);
});

// ---- The drill

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
    await using drill = startDrill({ port: 0, rounds: ["no-length", "no-length"], ...calls });
    await pass(drill.addr.port);
    await pass(drill.addr.port);
    assertEquals((await drill.finished).map(({ passed }) => passed), [true, true]);
  }
});

test("startDrill() never changes a result that it has handed out", async () => {
  const handed: DrillResult[] = [];
  const rounds = ["no-length", "no-length", "status-404:KEY"];
  await using drill = startDrill({
    ...{ port: 0, quiet: 200, rounds },
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
    onWaiting: ({ name }) => waiting.push(name),
  });
  assertEquals(waiting, []); // not before it has returned
  await Promise.resolve();
  assertEquals(waiting, ["no-length"]);
  await pass(drill.port);
  await until(() => waiting.length === 2);
  assertEquals(waiting, ["no-length", "status-404"]);
  await talk(drill.port, KEY_REQUEST);
  const [first, second] = await drill.finished;
  assertEquals(drill.seen.map(({ name }) => name), ["no-length", "status-404"]);
  const types = (result: DrillResult) => result.events.map(({ type }) => type).join(" ");
  assertMatch(types(first), /^connected request answer .*request answer closed$/);
  assertEquals(types(second), "connected request answer closed");
});

Deno.test("startDrill() refuses options that make no sense", async () => {
  for (const name of ["timeout", "patience", "quiet"]) {
    assertThrows(
      () => startDrill({ port: 0, [name]: 0 }),
      RangeError,
      `${name} must be above 0 and at most 2147483647, not 0`,
    );
  }
  assertThrows(() => startDrill({ port: 0, rounds: [] }), RangeError, "rounds must not be empty");
  const rounds = ["slow", "drop"];
  assertThrows(() => startDrill({ port: 0, rounds }), TypeError, 'Cannot use round "drop"');
  await using drill = drillOf();
  assertThrows(() => startDrill({ port: drill.port }), Deno.errors.AddrInUse);
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

// ---- The page

test("startDrill() shows rounds and requests on the page, and ignores the browser", async () => {
  await using drill = drillOf({ faults: ["drip", "status-404", "chunked"], page: true });
  using page = new Page(drill);
  const states = () => page.rounds?.map(({ label, state }) => `${label} ${state}`);
  const shows = (...wanted: string[]) =>
    until(() => JSON.stringify(states()) === JSON.stringify(wanted));
  await shows("drip next", "status-404:KEY later", "chunked later");
  await browse(drill);
  await pass(drill.port);
  await browse(drill, "/user/Ada/"); // between two rounds
  await shows("drip passed", "status-404:KEY next", "chunked later");
  await talk(drill.port, KEY_REQUEST);
  await browse(drill, "/user/Ada/"); // within a round
  await talk(drill.port, PUT_REQUEST);
  await shows("drip passed", "status-404:KEY failed", "chunked next");
  const { rationale, help } = page.rounds![1];
  assertMatch(rationale!, /^there was no key, but this was sent: PUT /);
  assertMatch(help!, /send no PUT/);
  await talk(drill.port, KEY_REQUEST);
  await shows("drip passed", "status-404:KEY failed", "chunked running");
  await page.untilRequests(5);
  assertEquals(page.messages[0].hello!.isDrill, true);
  await drill.stop({ now: true });
  await until(() => page.isClosed);
  const events = drill.seen.flatMap(({ events }) => events);
  assertEquals(events.some(({ type, isBrowser }) => isBrowser || type === "remark"), true);
  assertEquals(events.some(({ isBrowser }) => isBrowser), false);
});

test("startDrill() ends a round although the client asks for the page on its connection", async () => {
  await using drill = drillOf({ faults: ["split"], page: true });
  using conn = await open(drill.port, KEEPING_REQUEST);
  const buffer = new Uint8Array(4096);
  let received = "";
  let key: RegExpExecArray | null = null;
  while (!(key = /[\da-f]{128}/.exec(received))) {
    received += text(buffer.subarray(0, await conn.read(buffer) ?? 0));
  }
  const accept = "Host: 127.0.0.1\r\nAccept: text/html\r\nConnection: close\r\n\r\n";
  const put = `PUT /key/Ada/${key}/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n`;
  await conn.write(new TextEncoder().encode(`${put}GET / HTTP/1.1\r\n${accept}`));
  assertEquals(verdicts(await drill.finished), ["✔ split"]);
});

test("startDrill() treats a browser like any other client without the option `page`", async () => {
  await using drill = drillOf({ faults: ["drip"] });
  assertMatch(await browse(drill, "/", { Connection: "close" }), /^HTTP\/1\.1 404 /);
  assertEquals(drill.events.some(({ isBrowser }) => isBrowser), false);
});
