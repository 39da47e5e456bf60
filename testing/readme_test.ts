import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { roundsOf } from "../practice/rounds.ts";
import { main } from "../main.ts";
import { checkRequest } from "../practice/check.ts";
import { remarkOf } from "../practice/remark.ts";
import type { RemarkCode } from "../practice/rules.ts";
import command from "../docs/command.md" with { type: "text" };
import drill from "../docs/drill.md" with { type: "text" };
import practiceServer from "../docs/practice-server.md" with { type: "text" };
import teaching from "../docs/teaching.md" with { type: "text" };
import troubleshooting from "../docs/troubleshooting.md" with { type: "text" };
import readme from "../README.md" with { type: "text" };

/** Returns what main() prints, on both streams, until it ends or is aborted. */
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

/** Replaces everything that changes from run to run. */
function timeless(text: string): string {
  return text.replace(/\d\d:\d\d:\d\d (?=127)/g, "TIME ").replace(/(127\.0\.0\.1):\d+/g, "$1:PORT")
    .replace(/\d+\.\d ms/g, "# ms").replace(/[\da-f]{6}\.\.\.[\da-f]{4}/g, "KEY")
    .replace(/^[\da-f]{6}([\da-f]{118}|\(.*\))[\da-f]{4}$/gm, "KEY");
}

/** Returns the block of a page that starts with this text. */
function block(page: string, start: string): string {
  const at = page.indexOf(`\n\`\`\`text\n${start}`) + "\n```text\n".length;
  assert(at > 100, start);
  return page.slice(at, page.indexOf("```\n", at));
}

Deno.test("docs/command.md shows the help", async () => {
  assertEquals(block(command, "key_client 0"), await outputOf(["--help"]));
});

Deno.test("README.md and docs/command.md show the demonstration", async () => {
  const output = timeless(await outputOf(["--demo"]));
  assertEquals(timeless(block(command, "key_client: practice server")), output);
  const end = timeless(block(readme, "4. CLIENT"));
  assertEquals(end, output.slice(-end.length));
});

Deno.test("docs/practice-server.md shows the list of faults", async () => {
  const list = await outputOf(["--fault", "list"]);
  assertEquals(block(practiceServer, "delivered oddly"), list);
  assertStringIncludes(readme, `${list.match(/^ {2}[a-z]/gm)!.length} faults`);
});

Deno.test("README.md and docs/drill.md show the lines of a drill as they are", () => {
  const rounds = roundsOf("module");
  const known = rounds.map((round) =>
    `${round.function} ${round.name.padEnd(11)} ${round.description}`
  );
  const whole = block(drill, "key_client: drill on");
  for (const [shown, count] of [[whole, 4], [block(readme, "✔ do_key"), 2]] as const) {
    const lines = shown.match(/^[✔✘] .*/gm)!;
    for (const line of lines) assert(known.includes(line.slice(2)), line);
    assertEquals(lines.length, count);
    for (const words of ["do_key: 16 of 21 passed", "do_put: 20 of 20 passed"]) {
      assertStringIncludes(shown, words);
    }
    for (const part of shown.split("[...]\n")) assertStringIncludes(whole, part);
  }
  for (const { name } of rounds) {
    assertMatch(whole, RegExp(`(?:^|  )${name} +[✔✘ ]`, "m"));
  }
  assertStringIncludes(whole, " 41 rounds ");
  assertEquals(whole.match(/✘/g)!.length, 6); // one in a line, five in the table
});

Deno.test("docs/drill.md and README.md have the right numbers of rounds", () => {
  for (const [kind, words] of [["module", "client.py"], ["command", "-- ./client"]] as const) {
    assertMatch(drill, RegExp(`--drill ${words}.*\\| ${roundsOf(kind).length} +\\|`));
  }
  assertMatch(drill, RegExp(`--drill\`.*\\| ${roundsOf("wire").length} +\\|`));
  const text = readme.replace(/\s+/g, " ");
  assertStringIncludes(text, `${roundsOf("module").length} rounds`);
  assertStringIncludes(text, `${roundsOf("command").length} rounds`);
  assertStringIncludes(text, `your client ${roundsOf("wire").length} times`);
});

/** Requests that show the symptoms of docs/troubleshooting.md, the first line with its ending. */
const SYMPTOMS: [code: RemarkCode, start: string][] = [
  ["no-empty-line", "KEY /user/Ada/ HTTP/1.1\r\nHost: 127.0.0.1:5000\r\n"],
  ["empty-key", "PUT /key/Ada// HTTP/1.1\r\n"],
  ["response-in-line", "PUT /key/Ada/HTTP/1.1 200 OK/ HTTP/1.1\r\n"],
  ["key-bytes-literal", "PUT /key/Ada/b'12'/ HTTP/1.1\r\n"],
  [
    "chunks-in-line",
    `PUT /key/Ada/3c\r\n${"7".repeat(60)}\r\n8\r\n01234567\r\n0\r\n\r\n/ HTTP/1.1\r\n`,
  ],
  ["key-none", "PUT /key/Ada/None/ HTTP/1.1\r\n"],
  ["sentence-in-line", "PUT /key/Ada/there is no such user/ HTTP/1.1\r\n"],
  ["no-final-slash", "KEY /user/Ada HTTP/1.1\r\n"],
  ["space-in-path", "KEY /user/Ada L/ HTTP/1.1\r\n"],
  ["line-end-in-path", "PUT /key/Ada/12\r\n/ HTTP/1.1\r\n"],
  ["line-end-in-path", "KEY /user/Ada\n/ HTTP/1.1\r\n"],
  ["no-host", "KEY /user/Ada/ HTTP/1.1\r\n\r\n"],
  ["lf-alone", "KEY /user/Ada/ HTTP/1.1\n"],
];

/** Symptoms that depend on more than the request, and what they depend on. */
const SYMPTOMS_OF_CONNECTION: Record<string, { length?: number; seconds?: number }> = {
  "idle": { seconds: 2 },
  "key-start": { length: 60 },
};

Deno.test("docs/troubleshooting.md quotes what the practice server says", () => {
  const headings = [...troubleshooting.matchAll(/^### `(\w+)\[(\S+)\]`: (.*)$/gm)];
  const codes = new Set(headings.map(([, , code]) => code));
  const tried = [...SYMPTOMS.map(([code]) => code), ...Object.keys(SYMPTOMS_OF_CONNECTION)];
  assertEquals([...codes].sort(), [...new Set<string>(tried)].sort());
  for (const [, severity, code, words] of headings) {
    const about = SYMPTOMS_OF_CONNECTION[code] ?? {};
    const remark = remarkOf(code as RemarkCode, 0, 0, "None", about);
    assertEquals(remark.severity, severity);
    assert(remark.fact.startsWith(words), `${words} is not ${remark.fact}`);
  }
  for (const [code, start] of SYMPTOMS) {
    const isWhole = code !== "no-empty-line";
    const host = code === "no-host" ? "" : "Host: 127.0.0.1\r\n\r\n";
    const request = new TextEncoder().encode(isWhole ? `${start}${host}` : start);
    const remarks = checkRequest(request);
    assert(remarks.some((remark) => remark.code === code), `${code}: ${start}`);
  }
});

Deno.test("README.md and docs show the practice server's log of a client that is corrected, and its table", async () => {
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
  const send = async (request: string, headers: string, unfinished?: Promise<void>) => {
    using conn = await Deno.connect({ port });
    await conn.write(new TextEncoder().encode(`${request} HTTP/1.1\r\n${headers}`));
    await unfinished;
    if (unfinished) await conn.closeWrite();
    const response = await new Response(conn.readable).text();
    return response.slice(-128);
  };
  await send("KEY /user/Ada", `${host}${close}`);
  await send("KEY /user/Ada/", "", unfinished);
  const key = await send("KEY /user/Ada/", `${host}${close}`);
  await send(`PUT /key/Ada/b'${key}'/`, `${host}${close}`);
  await send("KEY /user/Ada/", "\r\n"); // reads until the server closes the connection
  const last = await send("KEY /user/Ada/", `${host}${close}`);
  await send(`PUT /key/Ada/${last}/`, `${host}${close}`);
  abort.abort();
  const [log, table] = (await serving).split("\n\n");
  assertEquals(timeless(block(practiceServer, "key_client: listening on")), `${timeless(log)}\n`);
  assertEquals(block(teaching, "user  address"), table);
  for (const entry of timeless(block(readme, "20:")).split(/(?=^TIME)/m)) {
    assertStringIncludes(`${timeless(log)}\n`, entry);
  }
});
