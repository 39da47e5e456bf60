import { assertEquals } from "@std/assert";
import { send, serving } from "../testing/command.ts";

Deno.test("main() --serve cuts long names in its table", async () => {
  await using server = await serving([]);
  for (const user of ["a".repeat(24), "b".repeat(25), `${"c".repeat(20)}%F0%9F%94%91ccc`]) {
    await send(server.port, `KEY /user/${user}/ HTTP/1.0\r\n\r\n`);
  }
  const { stderr } = await server.stop();
  const names = stderr.split("\n\n")[1].split("\n").map((line) => line.replace(/ .*/, ""));
  assertEquals(names.slice(1, 4), [
    "a".repeat(24),
    `${"b".repeat(21)}...`,
    `${"c".repeat(20)}...`,
  ]);
});
