import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { KeyServerEvent } from "../practice/server.ts";
import { run, send, serving } from "../testing/command.ts";
import { UserTable } from "../practice/user_table.ts";
import { formatUsers } from "./user_table.ts";

Deno.test("main() --serve prints the users, escapes control characters and shortens long names", async () => {
  await using server = await serving([]);
  const users = [
    "",
    "a".repeat(24),
    "b".repeat(25),
    `${"c".repeat(20)}%F0%9F%94%91ccc`,
    "d%1B%0Ad",
  ];
  for (const user of users) await send(server.port, `KEY /user/${user}/ HTTP/1.0\r\n\r\n`);
  const { stderr } = await server.stop();
  const names = stderr.split("\n\n")[1].split("\n").map((line) => line.replace(/ .*/, ""));
  assertEquals(names.slice(1, 6), [
    "(empty)",
    "a".repeat(24),
    `${"b".repeat(21)}...`,
    `${"c".repeat(20)}...`,
    "d\\u{1b}\\nd",
  ]);
});

Deno.test("main() --serve says that there were no requests", async () => {
  const { stderr } = await run(["--serve", "--port", "0"], { signal: AbortSignal.abort() });
  assertMatch(stderr, /in a browser\n\nkey_client: no requests\n$/);
});

/** The events of one request. */
function* requestOf(userId: string, connection: number): Generator<KeyServerEvent> {
  const peer: Deno.NetAddr = { transport: "tcp", hostname: "127.0.0.1", port: 1 };
  const common = { connection, peer, time: 0, method: "KEY", userId };
  const bytes = new Uint8Array();
  yield { ...common, type: "request", bytes, reads: 1 };
  yield { ...common, type: "answer", bytes, request: bytes, status: 200, message: "" };
  yield { ...common, type: "closed", by: "client" };
}

Deno.test("formatUsers() prints the last 200 of the 10,000 users that UserTable remembers", () => {
  const table = new UserTable();
  for (let n = 0; n < 10_050; n++) for (const event of requestOf(`u${n}`, n)) table.add(event);
  for (const event of requestOf("u60", 10_050)) table.add(event);
  assertEquals(table.rows().length, 10_000);
  assertEquals(table.rows()[0].user, "u50");
  const text = formatUsers(table.rows());
  assertEquals(text.match(/ {2}127\.0\.0\.1 +1 +0 +0\n/g)?.length, 199);
  assertStringIncludes(
    text,
    "\nu60     127.0.0.1      2         0       0\n(and 9800 more users)\n",
  );
});
