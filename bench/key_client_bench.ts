/**
 * Compares the client with other clients, in one run. The servers run in a separate process.
 *
 * ```sh
 * deno task bench                # or on one processor: taskset -c 0 deno task bench
 * ```
 */

import { doKey, KeyClient } from "../key_client.ts";
import { startKeyServer } from "../practice/server.ts";

const MIB = 2 ** 20;
const ENCODER = new TextEncoder();

if (Deno.args[0] === "serve") {
  const bodies = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  console.log(startKeyServer({ port: 0 }).addr.port, bodies.addr.port, serveKeys().addr.port);
  for await (const conn of bodies) serveBodies(conn).catch(() => {}).finally(() => conn.close());
}

const servers = new Deno.Command(Deno.execPath(), {
  args: ["run", "--allow-net", "--no-lock", import.meta.url, "serve"],
  stdout: "piped",
}).spawn();
const ports = servers.stdout.getReader();
const line = new TextDecoder().decode((await ports.read()).value);
const [port, bodiesPort, rivalPort] = line.split(" ").map(Number);

// ---- One exchange, one conversation

const keyRequest = (connection: string) =>
  ENCODER.encode(
    `KEY /user/User1/ HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n` +
      `User-Agent: key_client\r\nAccept: */*\r\n${connection}\r\n`,
  );
const putRequest = (key: string) =>
  ENCODER.encode(
    `PUT /key/User1/${key}/ HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n` +
      "User-Agent: key_client\r\nAccept: */*\r\nContent-Length: 0\r\n\r\n",
  );
const keyUrl = `http://127.0.0.1:${port}/user/User1/`;
const WARM = { n: 5000, warmup: 10_000 };

{
  const group = "KEY, each over a new connection";
  const request = keyRequest("Connection: close\r\n");
  Deno.bench("plain socket, without parsing", { group, baseline: true, ...WARM }, async () => {
    const conn = await Deno.connect({ port });
    await conn.write(request);
    const buffer = new Uint8Array(4096);
    while (await conn.read(buffer) !== null);
    conn.close();
  });
  Deno.bench("doKey()", { group, ...WARM }, async () => {
    await doKey({ port });
  });
  Deno.bench("fetch, Connection: close", { group, ...WARM }, async () => {
    const headers = { connection: "close" };
    await (await fetch(keyUrl, { method: "KEY", headers })).bytes();
  });
}

{
  const group = "PUT after PUT, over one connection";
  const conn = await Deno.connect({ port });
  const buffer = new Uint8Array(4096);
  const client = new KeyClient({ port });
  const key = new TextDecoder().decode(await client.requestKey());
  const request = putRequest(key);
  Deno.bench("plain socket, without parsing", { group, baseline: true, ...WARM }, async () => {
    await conn.write(request);
    await conn.read(buffer);
  });
  Deno.bench("KeyClient", { group, ...WARM }, async () => {
    await client.verifyKey(key);
  });
  const url = `http://127.0.0.1:${port}/key/User1/${key}/`;
  Deno.bench("fetch, pooled", { group, ...WARM }, async () => {
    await (await fetch(url, { method: "PUT" })).bytes();
  });
}

{
  const group = "20 conversations, each over a new connection";
  const key = keyRequest("");
  const put = putRequest("0".repeat(128));
  const python = new Deno.Command("python3", {
    args: ["-c", pythonConversations()],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const [pythonIn, pythonOut] = [python.stdin.getWriter(), python.stdout.getReader()];
  const options = { group, n: 100, warmup: 300 };
  Deno.bench("plain socket, without parsing", { ...options, baseline: true }, async () => {
    for (let n = 0; n < 20; n++) {
      const conn = await Deno.connect({ port });
      const buffer = new Uint8Array(4096);
      for (const request of [key, put]) {
        await conn.write(request);
        await conn.read(buffer);
      }
      conn.close();
    }
  });
  Deno.bench("KeyClient", options, async () => {
    for (let n = 0; n < 20; n++) {
      using client = new KeyClient({ port });
      await client.verifyKey(await client.requestKey());
    }
  });
  Deno.bench("fetch, each with a new pool", options, async () => {
    for (let n = 0; n < 20; n++) {
      using client = Deno.createHttpClient({});
      const key = await (await fetch(keyUrl, { method: "KEY", client })).text();
      const url = `http://127.0.0.1:${port}/key/User1/${key}/`;
      await (await fetch(url, { method: "PUT", client })).text();
    }
  });
  Deno.bench("Python's http.client", options, async () => {
    await pythonIn.write(ENCODER.encode("20\n"));
    for (let out = ""; !out.endsWith("done\n");) {
      out += new TextDecoder().decode((await pythonOut.read()).value);
    }
  });
}

function pythonConversations(): string {
  return `
import http.client, sys
for line in sys.stdin:
    for _ in range(int(line)):
        conn = http.client.HTTPConnection("127.0.0.1", ${port})
        conn.request("KEY", "/user/User1/")
        key = conn.getresponse().read().decode()
        conn.request("PUT", f"/key/User1/{key}/")
        conn.getresponse().read()
        conn.close()
    print("done", flush=True)
`;
}

{
  const group = "a whole process";
  const task = new Deno.Command(Deno.execPath(), { args: ["task", "-q", "imports"] });
  const { stdout } = await task.output();
  const imports = new TextDecoder().decode(stdout).split(/\s+/).filter((flag) => flag);
  const run = (...program: string[]) => async () => {
    const args = ["run", "--allow-net", ...imports, ...program];
    await new Deno.Command(Deno.execPath(), { args, stdout: "null", stderr: "null" }).output();
  };
  const main = new URL("../main.ts", import.meta.url).href;
  const options = { group, n: 50, warmup: 5 };
  Deno.bench("an empty program", { ...options, baseline: true }, run("data:text/javascript,"));
  Deno.bench("main.ts --version", options, run(main, "--version"));
  Deno.bench("main.ts --key, one stage", options, run(main, "--key", "--port", `${port}`));
  Deno.bench("main.ts, both stages", options, run(main, "--port", `${port}`));
}

// ---- The practice server

// Many requests in one write, so that the client takes little of the time.
for (const count of [1, 100]) {
  const group = `the practice server, ${count} pipelined`;
  const request = ENCODER.encode(
    `KEY /user/User1/ HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`.repeat(count),
  );
  const buffer = new Uint8Array(65_536);
  const bench = async (name: string, port: number, baseline: boolean) => {
    const conn = await Deno.connect({ port });
    const size = count * await responseSize(port);
    const options = { group, baseline, n: 20_000 / count, warmup: 20_000 / count };
    Deno.bench(name, options, async () => {
      await conn.write(request);
      for (let read = 0; read < size;) read += (await conn.read(buffer))!;
    });
  };
  await bench("Deno.serve, the same responses", rivalPort, true);
  await bench("startKeyServer()", port, false);
}

/** Returns the size of a response with a key. */
async function responseSize(port: number): Promise<number> {
  using conn = await Deno.connect({ port });
  await conn.write(ENCODER.encode(`KEY /user/User1/ HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`));
  return (await conn.read(new Uint8Array(4096)))!;
}

/** Sends the practice server's responses to correct requests, with `Deno.serve`. */
function serveKeys(): Deno.HttpServer<Deno.NetAddr> {
  const keys = new Map<string, string>();
  const path = /^[^/]*\/\/[^/]*\/(?:user\/([^/]*)|key\/([^/]*)\/([^/]*))\/$/;
  const headers = { "content-type": "text/plain; charset=utf-8" };
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ method, url }) => {
    const [, keyUser, putUser, key] = path.exec(url)!;
    const userId = decodeURIComponent(keyUser ?? putUser);
    if (method === "PUT") {
      const isRight = keys.get(userId) === key;
      return new Response(isRight ? "Success: the key is right" : "no", { headers });
    }
    const issued = crypto.getRandomValues(new Uint8Array(64)).toHex();
    keys.set(userId, issued);
    return new Response(issued, { headers });
  });
}

// ---- Large responses

const FRAMINGS: [framing: string, mebibytes: number[], runs: { n: number; warmup: number }][] = [
  ["length", [1, 8, 64], { n: 20, warmup: 20 }],
  ["close", [1, 8, 64], { n: 20, warmup: 20 }],
  ["chunks-1048576", [1, 8, 64], { n: 20, warmup: 20 }],
  ["chunks-4096", [1, 8, 64], { n: 20, warmup: 20 }],
  ["chunks-1", [1 / 16, 1 / 4, 1], { n: 5, warmup: 2 }], // fetch needs almost a second for a MiB
  ["fields-10", [0], { n: 5000, warmup: 5000 }],
  ["fields-50", [0], { n: 5000, warmup: 5000 }],
  ["fields-90", [0], { n: 5000, warmup: 5000 }],
  ["fields-500", [0], { n: 5000, warmup: 5000 }], // fetch fails if there are more than 100
];

for (const [framing, sizes, runs] of FRAMINGS) {
  for (const mebibytes of sizes) {
    const userId = `${framing}-${mebibytes * MIB}`;
    const options = { group: mebibytes ? `${mebibytes} MiB, ${framing}` : framing, ...runs };
    const client = new KeyClient({ port: bodiesPort, userId, maxBodySize: 64 * MIB });
    if (framing !== "fields-500") {
      Deno.bench("fetch", { ...options, baseline: true }, async () => {
        await (await fetch(`http://127.0.0.1:${bodiesPort}/user/${userId}/`)).text();
      });
    }
    Deno.bench("KeyClient", options, async () => {
      await client.verifyKey("x");
    });
  }
}

/** Answers `/user/<framing>-<step>-<size>/` with a body that has this framing and size. */
async function serveBodies(conn: Deno.TcpConn): Promise<void> {
  const request = new Uint8Array(4096);
  while (await conn.read(request)) {
    const [, path] = new TextDecoder().decode(request).split(" ");
    const [, framing, step, size] = /(\w+)-(?:(\d+)-)?(\d+)\//.exec(path)!;
    for (const part of response(framing, Number(step ?? 0), Number(size))) {
      for (let sent = 0; sent < part.length;) sent += await conn.write(part.subarray(sent));
    }
    if (framing === "close") return;
  }
}

function* response(framing: string, step: number, size: number): Generator<Uint8Array> {
  const fields: Record<string, string> = {
    length: `Content-Length: ${size}\r\n`,
    close: "Connection: close\r\n",
    chunks: "Transfer-Encoding: chunked\r\n",
    fields: `Content-Length: 0\r\n${"Some-Field: some value\r\n".repeat(step)}`,
  };
  yield ENCODER.encode(`HTTP/1.1 200 OK\r\n${fields[framing]}\r\n`);
  const unit = framing === "chunks" ? step : 1;
  const count = Math.max(1, 65_536 / unit); // at least 64 KiB of body in one write
  const wire = "x".repeat(unit);
  const part = framing === "chunks" ? `${unit.toString(16)}\r\n${wire}\r\n` : wire;
  const block = ENCODER.encode(part.repeat(count));
  for (let left = size; left > 0; left -= count * unit) yield block;
  if (framing === "chunks") yield ENCODER.encode("0\r\n\r\n");
}
