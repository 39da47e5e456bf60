import { assertEquals, assertGreater, assertMatch, assertThrows } from "@std/assert";
import { type DrillResult, startDrill } from "./drill.ts";
import type { FaultName } from "./server.ts";
import { delay } from "../testing/bytes.ts";
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
} from "../testing/drill_clients.ts";
import { concurrentTests, FAILURES, until } from "../testing/raw_client.ts";

const test = concurrentTests("startDrill() and stop()");

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
    assertThrows(
      () => startDrill({ port: 0, [name]: 0 }),
      RangeError,
      `${name} must be above 0, not 0`,
    );
  }
  assertThrows(() => startDrill({ port: 0, faults: [] }), RangeError, "at least one");
  const faults = ["slow", "drop"] as FaultName[];
  assertThrows(() => startDrill({ port: 0, faults }), TypeError, 'Cannot use fault "drop"');
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
