import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { roundsOf } from "../practice/rounds.ts";
import { main } from "../main.ts";
import { checkRequest } from "../practice/check.ts";
import rules from "../docs/drill.md" with { type: "text" };
import readme from "../README.md" with { type: "text" };

/** What main() prints, on both streams, until it ends or until it is told to. */
async function outputOf(args: string[], onText?: (text: string) => void, signal?: AbortSignal) {
  let text = "";
  const stream = {
    isTerminal: () => false,
    writeSync(p: Uint8Array) {
      text += new TextDecoder().decode(p);
      onText?.(text);
      return p.length;
    },
  };
  await main(args, { stdout: stream, stderr: stream, signal });
  return text;
}

/** A transcript without what is another one each time. */
function timeless(text: string): string {
  return text.replace(/\d\d:\d\d:\d\d (?=127)/g, "TIME ").replace(/(127\.0\.0\.1):\d+/g, "$1:PORT")
    .replace(/\d+\.\d ms/g, "# ms").replace(/[\da-f]{6}\.\.\.[\da-f]{4}/g, "KEY")
    .replace(/^[\da-f]{6}([\da-f]{118}|\(.*\))[\da-f]{4}$/gm, "KEY");
}

/** The block of the README that begins like this. */
function block(start: string): string {
  const at = readme.indexOf(`\n\`\`\`text\n${start}`) + "\n```text\n".length;
  assert(at > 100, start);
  return readme.slice(at, readme.indexOf("```\n", at));
}

Deno.test("README.md shows the help", async () => {
  assertEquals(block("key_client 0"), await outputOf(["--help"]));
});

Deno.test("README.md shows the demonstration", async () => {
  assertEquals(
    timeless(block("key_client: practice server")),
    timeless(await outputOf(["--demo"])),
  );
});

Deno.test("README.md shows the list of faults", async () => {
  assertEquals(block("delivered oddly"), await outputOf(["--fault", "list"]));
});

Deno.test("README.md shows the lines of a drill as they are", () => {
  const shown = block("key_client: drill on");
  const rounds = roundsOf("module");
  const known = rounds.map((round) =>
    `${round.function} ${round.name.padEnd(11)} ${round.description}`
  );
  const lines = shown.match(/^[✔✘] .*/gm)!;
  for (const line of lines) assert(known.includes(line.slice(2)), line);
  assertEquals(lines.length, 4);
  for (const { name } of rounds) {
    assertMatch(shown, RegExp(`(?:^|  )${name} +[✔✘ ]`, "m"));
  }
  const counts = [" 41 rounds ", "do_key: 16 of 21 passed", "do_put: 20 of 20 passed"];
  for (const words of counts) assertStringIncludes(shown, words);
  assertEquals(shown.match(/✘/g)!.length, 6); // one in a line, five in the table
});

Deno.test("docs/drill.md and README.md have the right numbers of rounds", () => {
  for (const [kind, words] of [["module", "client.py"], ["command", "-- ./client"]] as const) {
    assertMatch(rules, RegExp(`--drill ${words}.*\\| ${roundsOf(kind).length} +\\|`));
  }
  assertMatch(rules, RegExp(`--drill\`.*\\| ${roundsOf("wire").length} +\\|`));
  assertStringIncludes(readme, `${roundsOf("module").length} rounds`);
  assertStringIncludes(readme, `${roundsOf("command").length} rounds`);
  assertStringIncludes(readme, `your client ${roundsOf("wire").length} times`);
});

/** What the table of symptoms quotes, and a request of which it is said. */
const SYMPTOMS: [words: string, line: string][] = [
  ["the key is empty", "PUT /key/Ada// HTTP/1.1"],
  ["the key has a part of the response's head with it", "PUT /key/Ada/HTTP/1.1 200 OK"],
  ["the key is wrapped in b'...'", "PUT /key/Ada/b'12'/ HTTP/1.1"],
  ["here the line ends in the middle of the path", "PUT /key/Ada/12\r\n/ HTTP/1.1"],
  ["here the line ends in the middle of the path", "KEY /user/Ada\n/ HTTP/1.1"],
  ["there is a space in the path", "KEY /user/Ada L/ HTTP/1.1"],
  ["the path does not end in a slash", "KEY /user/Ada HTTP/1.1"],
  ["the key is `None`", "PUT /key/Ada/None/ HTTP/1.1"],
  ["this is a sentence and no key", "PUT /key/Ada/there is no such user/ HTTP/1.1"],
];

Deno.test("README.md quotes in its table of symptoms what the practice server says", () => {
  const table = readme.slice(readme.indexOf("### Symptoms"), readme.indexOf("```python"));
  for (const [words, line] of SYMPTOMS) {
    assertStringIncludes(table, words);
    const request = new TextEncoder().encode(`${line}\r\nHost: 127.0.0.1\r\n\r\n`);
    assertStringIncludes(checkRequest(request)[0].message, words);
  }
  assertEquals(table.match(/(?<=\| 40\d `)[^|]*/g)?.length, 6);
});

Deno.test("README.md shows the practice server's log of a client that is mended, and its table", async () => {
  const { promise: listening, resolve: listen } = Promise.withResolvers<number>();
  const { promise: unfinished, resolve: said } = Promise.withResolvers<void>();
  const abort = new AbortController();
  const serving = outputOf(["--serve", "--port", "0"], (text) => {
    const port = /listening on 127\.0\.0\.1:(\d+)/.exec(text)?.[1];
    if (port) listen(Number(port));
    if (text.includes("unfinished")) said();
  }, abort.signal);
  const port = await listening;
  const host = `Host: 127.0.0.1:${port}\r\n`;
  const close = "Connection: close\r\n\r\n";
  const send = async (request: string, fields: string, unfinished?: Promise<void>) => {
    using conn = await Deno.connect({ port });
    await conn.write(new TextEncoder().encode(`${request} HTTP/1.1\r\n${fields}`));
    await unfinished;
    if (unfinished) await conn.closeWrite();
    const answer = await new Response(conn.readable).text();
    return answer.slice(-128);
  };
  await send("KEY /user/Ada", `${host}${close}`);
  await send("KEY /user/Ada/", "", unfinished);
  const key = await send("KEY /user/Ada/", `${host}${close}`);
  await send(`PUT /key/Ada/b'${key}'/`, `${host}${close}`);
  await send("KEY /user/Ada/", "\r\n"); // to the close
  const last = await send("KEY /user/Ada/", `${host}${close}`);
  await send(`PUT /key/Ada/${last}/`, `${host}${close}`);
  abort.abort();
  const [log, table] = (await serving).split("\n\n");
  assertEquals(timeless(block("key_client: listening on")), `${timeless(log)}\n`);
  assertEquals(block("user  address"), table);
});
