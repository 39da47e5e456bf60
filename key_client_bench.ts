/**
 * The client beside its rivals, in one run, against servers in a process of their own.
 *
 * `deno task bench`, or on one processor `taskset -c 0 deno task bench`.
 */
import { doKey, KeyClient } from "./key_client.ts";
import { startKeyServer } from "./key_server.ts";

if (Deno.args[0] === "serve") {
  console.log(startKeyServer({ port: 0 }).addr.port);
  await serveBodies();
}

const ENCODER = new TextEncoder();
const serving = new Deno.Command(Deno.execPath(), {
  args: ["run", "--allow-net", "--no-lock", import.meta.url, "serve"],
  stdout: "piped",
}).spawn();
const lines = serving.stdout.pipeThrough(new TextDecoderStream()).getReader();
let printed = "";
while (printed.split("\n").length < 3) printed += (await lines.read()).value;
const [port, bodiesPort] = printed.split("\n").map(Number);
serving.unref();
addEventListener("unload", () => serving.kill());

const url = `http://127.0.0.1:${port}`;
const keyRequest = (connection: string) =>
  ENCODER.encode(
    `KEY /user/User1/ HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: ${connection}\r\n\r\n`,
  );

{
  const group = "KEY, each over a new connection";
  const request = keyRequest("close");
  Deno.bench("bare socket, nothing parsed", { group, baseline: true }, async () => {
    const conn = await Deno.connect({ port });
    await conn.write(request);
    const buffer = new Uint8Array(4096);
    while (await conn.read(buffer) !== null);
    conn.close();
  });
  Deno.bench("doKey()", { group }, async () => {
    await doKey({ port });
  });
  Deno.bench("fetch, Connection: close", { group }, async () => {
    const headers = { connection: "close" };
    await (await fetch(`${url}/user/User1/`, { method: "KEY", headers })).bytes();
  });
}

{
  const group = "KEY, over a kept connection";
  const request = keyRequest("keep-alive");
  const conn = await Deno.connect({ port });
  const buffer = new Uint8Array(4096);
  const client = new KeyClient({ port });
  Deno.bench("bare socket, nothing parsed", { group, baseline: true }, async () => {
    await conn.write(request);
    await conn.read(buffer);
  });
  Deno.bench("KeyClient", { group }, async () => {
    await client.requestKey();
  });
  Deno.bench("fetch, pooled", { group }, async () => {
    await (await fetch(`${url}/user/User1/`, { method: "KEY" })).bytes();
  });
}

{
  const group = "KEY and PUT, 20 conversations, each over a new connection";
  const python = new Deno.Command("python3", {
    args: ["-c", await pythonConversations()],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const pythonIn = python.stdin.getWriter();
  const pythonOut = python.stdout.getReader();
  addEventListener("unload", () => python.kill());
  python.unref();
  Deno.bench("KeyClient", { group, baseline: true }, async () => {
    for (let n = 0; n < 20; n++) {
      using client = new KeyClient({ port });
      await client.verifyKey(await client.requestKey());
    }
  });
  Deno.bench("fetch, new pool", { group }, async () => {
    for (let n = 0; n < 20; n++) {
      using client = Deno.createHttpClient({});
      const key = await (await fetch(`${url}/user/User1/`, { method: "KEY", client })).text();
      await (await fetch(`${url}/key/User1/${key}/`, { method: "PUT", client })).text();
    }
  });
  Deno.bench("Python's http.client", { group }, async () => {
    await pythonIn.write(ENCODER.encode("20\n"));
    await pythonOut.read();
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

for (
  const framing of ["length", "close", "chunks-4096", "chunks-1048576"]
) {
  for (const mebibytes of [1, 8, 64]) {
    const group = `${mebibytes} MiB, ${framing}`;
    const path = `${framing}-${mebibytes * 2 ** 20}`;
    const client = new KeyClient({ port: bodiesPort, userId: path, maxBodySize: 2 ** 27 });
    Deno.bench(`fetch, ${group}`, { group, baseline: true }, async () => {
      await (await fetch(`http://127.0.0.1:${bodiesPort}/user/${path}/`)).text();
    });
    Deno.bench(`KeyClient, ${group}`, { group }, async () => {
      await client.verifyKey("x");
    });
  }
}

/** Answers `/user/<framing>-<size>/`, `/key/<framing>-<size>/x/` with a body of that size. */
async function serveBodies(): Promise<never> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  console.log(listener.addr.port);
  for await (const conn of listener) {
    (async () => {
      const request = new Uint8Array(4096);
      while (await conn.read(request)) {
        const [, framing, step, size] = /\/(\w+)(?:-(\d+))?-(\d+)\//.exec(
          new TextDecoder().decode(request),
        )!;
        const parts = body(framing, Number(step), Number(size));
        for (const part of parts) {
          for (let sent = 0; sent < part.length;) sent += await conn.write(part.subarray(sent));
        }
        if (framing === "close") break;
      }
      conn.close();
    })().catch(() => conn.close());
  }
  throw new Error("unreachable");
}

function* body(framing: string, step: number, size: number): Generator<Uint8Array<ArrayBuffer>> {
  const field = framing === "length"
    ? `Content-Length: ${size}\r\n`
    : framing === "chunks"
    ? "Transfer-Encoding: chunked\r\n"
    : "Connection: close\r\n";
  yield new TextEncoder().encode(`HTTP/1.1 200 OK\r\n${field}\r\n`);
  const data = framing === "chunks"
    ? new TextEncoder().encode(
      `${step.toString(16)}\r\n${"x".repeat(step)}\r\n`.repeat(Math.ceil(65536 / step)),
    )
    : new Uint8Array(65536).fill(120);
  const perPart = framing === "chunks" ? step * Math.ceil(65536 / step) : 65536;
  for (let left = size; left > 0; left -= perPart) yield data;
  if (framing === "chunks") yield new TextEncoder().encode("0\r\n\r\n");
}
