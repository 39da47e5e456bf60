import { assertEquals } from "@std/assert";
import { capture } from "../testing/command.ts";
import { QueuedOutput } from "./queued_output.ts";

/** A stream whose reader reads nothing until `release` is called. */
function held() {
  const release = Promise.withResolvers<void>();
  const taken = capture();
  const write = async (p: Uint8Array) => {
    await release.promise;
    return taken.writeSync(p);
  };
  return { stream: { ...taken, write }, taken, release: release.resolve };
}

const formatLost = (count: number) => `(${count} lost)\n`;

Deno.test("QueuedOutput writes everything in order, even with short writes", async () => {
  const { stream, taken, release } = held();
  const output = new QueuedOutput(stream, formatLost);
  const texts = Array.from({ length: 10 }, (_, n) => `${n}`.repeat(900));
  for (const text of texts) output.print(text);
  release();
  await output.end("end");
  assertEquals(taken.text, `${texts.join("")}end`);
});

Deno.test("QueuedOutput drops texts beyond 4 MiB, and prints their number in their place", async () => {
  const { stream, taken, release } = held();
  const output = new QueuedOutput(stream, formatLost);
  output.print("first\n");
  for (let n = 0; n < 9; n++) output.print("x".repeat(1_048_576));
  release();
  await output.end("end");
  assertEquals(taken.text.replace(/x+/, (xs) => `${xs.length}`), `first\n5242880(4 lost)\nend`);
});

Deno.test("QueuedOutput calls onFailure once, and then prints nothing", async () => {
  const errors: unknown[] = [];
  const failure = new Error("full");
  const write = () => Promise.reject(failure);
  const stream = { ...capture(), write };
  const output = new QueuedOutput(stream, formatLost, (error) => errors.push(error));
  output.print("a");
  await output.end("b");
  output.print("c");
  await output.end("d");
  assertEquals(errors, [failure]);
});

Deno.test("QueuedOutput.end() stops waiting after a short time", async () => {
  const output = new QueuedOutput(held().stream, formatLost);
  const start = performance.now();
  await output.end("never read");
  assertEquals(Math.floor((performance.now() - start) / 10_000), 0);
});
