import {
  assert,
  assertEquals,
  assertLess,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import {
  doKey,
  doPut,
  formatRequest,
  KeyClient,
  KeyClientError,
  type KeyClientErrorCode,
  type KeyClientOptions,
  type WireMessage,
} from "./key_client.ts";
import * as keyClient from "./key_client.ts";
import { startKeyServer } from "./practice/server.ts";
import { bytes, delay, FUZZ_ROUNDS, random, text, utf8 } from "./testing/bytes.ts";
import {
  answering,
  keeping,
  Peer,
  type Script,
  ScriptedServer,
  silent,
} from "./testing/scripted_server.ts";
// Deno's own sockets cannot be reset.
import { type AddressInfo, createServer } from "node:net";

const KEY = "0123456789abcdefABCDEF0123456789".repeat(4);
const KEY_RESPONSE = `HTTP/1.1 200 OK\r\nContent-Length: 128\r\n\r\n${KEY}`;
const H = "HTTP/1.1 200 OK\r\n";
const CHUNKED = `${H}Transfer-Encoding: chunked\r\n\r\n`;
const OK_RESPONSE = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async function codeOf(promise: Promise<unknown>): Promise<KeyClientErrorCode> {
  const error = await assertRejects(() => promise, KeyClientError);
  return error.code;
}

// ---- doKey() and doPut()

Deno.test("the module exports only the documented names", () => {
  assertEquals(Object.keys(keyClient).sort(), [
    "KeyClient",
    "KeyClientError",
    "doKey",
    "doPut",
    "formatRequest",
    "readResponse",
  ]);
});

Deno.test("doKey() and doPut() hold the conversation with the practice server", async () => {
  await using server = startKeyServer({ port: 0 });
  const options = { port: server.addr.port, userId: "Ada" };
  const keyVal = await doKey(options);
  assertEquals(keyVal?.length, 128);
  assertEquals(await doPut(keyVal!, options), "Success: the key is right");
  assertEquals(await doPut(text(keyVal!), options), "Success: the key is right");
  assertStringIncludes(await doPut("0".repeat(128), options), "wrong key");
  assertStringIncludes(await doPut("abc", options), "the key is `abc`");
});

Deno.test("doKey() writes exactly the documented bytes", async () => {
  await using server = new ScriptedServer(answering(KEY_RESPONSE));
  assertEquals(await doKey({ port: server.port }), bytes(KEY));
  assertEquals(server.requests, [
    `KEY /user/User1/ HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n` +
    "User-Agent: key_client\r\nAccept: */*\r\nConnection: close\r\n\r\n",
  ]);
});

Deno.test("doPut() writes exactly the documented bytes", async () => {
  await using server = new ScriptedServer(answering(OK_RESPONSE));
  assertEquals(await doPut(bytes(KEY), { port: server.port, userId: "Ada" }), "ok");
  assertEquals(server.requests, [
    `PUT /key/Ada/${KEY}/ HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n` +
    "User-Agent: key_client\r\nAccept: */*\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
  ]);
});

Deno.test("KeyClient does not send Connection: close", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE));
  using client = new KeyClient({ port: server.port });
  await client.requestKey();
  assertEquals(server.requests, [
    `KEY /user/User1/ HTTP/1.1\r\nHost: 127.0.0.1:${server.port}\r\n` +
    "User-Agent: key_client\r\nAccept: */*\r\n\r\n",
  ]);
});

Deno.test("doKey() and doPut() do not wait for the server to close", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE), keeping(OK_RESPONSE));
  assertEquals(await doKey({ port: server.port }), bytes(KEY));
  assertEquals(await doPut(KEY, { port: server.port }), "ok");
});

Deno.test("the user id and the key are one path segment each", async () => {
  await using server = new ScriptedServer(answering(OK_RESPONSE));
  const ids = [
    "a b",
    "a/b",
    "a?b#c",
    "%41",
    "é€😀",
    "\r\nHost: evil\r\n\r\n",
    "...",
    "-_.!~*'()",
    "\0",
  ];
  for (const id of ids) {
    await doKey({ port: server.port, userId: id });
    await doPut(id, { port: server.port, userId: id });
  }
  for (const [at, id] of ids.entries()) {
    for (const request of server.requests.slice(2 * at, 2 * at + 2)) {
      const [line, host] = request.split("\r\n");
      assertEquals(host, `Host: 127.0.0.1:${server.port}`);
      const [method, target, version] = line.split(" ");
      const segments = target.split("/").map(decodeURIComponent);
      assertEquals(segments, method === "KEY" ? ["", "user", id, ""] : ["", "key", id, id, ""]);
      assertEquals(version, "HTTP/1.1");
    }
  }
  assertEquals(server.requests.length, 2 * ids.length);
});

Deno.test("doPut() percent-encodes each byte of a key in a Uint8Array", async () => {
  await using server = new ScriptedServer(answering(OK_RESPONSE));
  const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  await doPut(all, { port: server.port });
  const segment = server.requests[0].split(" ")[1].split("/")[3];
  const decoded = segment.replace(/%(..)/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  assertEquals(bytes(decoded), all);
  await doPut(new TextEncoder().encode("é€😀"), { port: server.port });
  assertEquals(decodeURIComponent(server.requests[1].split(" ")[1].split("/")[3]), "é€😀");
});

Deno.test("the Host header contains the host and the port", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE));
  await doKey({ port: server.port, hostname: "localhost" });
  assertStringIncludes(server.requests[0], `\r\nHost: localhost:${server.port}\r\n`);
});

const HOSTS: [hostname: string, host: string][] = [
  ["a_b-c.example", "a_b-c.example"],
  ["::1", "[::1]"],
  ["[::1]", "[::1]"],
  ["2001:DB8::7:192.0.2.1", "[2001:DB8::7:192.0.2.1]"],
  ["fe80::1%eth-0.1_a", "[fe80::1]"], // the zone id is valid only on this machine
];

Deno.test("the Host header follows RFC 9110 for every kind of host", () => {
  for (const [hostname, host] of HOSTS) {
    const request = text(formatRequest("KEY", { hostname, port: 80 }));
    assertStringIncludes(request, `\r\nHost: ${host}:80\r\n`);
  }
});

function hasIPv6(): boolean {
  try {
    Deno.listen({ hostname: "::1", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}

Deno.test("the Host header has an IPv6 address in brackets", { ignore: !hasIPv6() }, async () => {
  const v6 = Deno.listen({ hostname: "::1", port: 0 });
  for (const hostname of ["::1", "[::1]", "0:0:0:0:0:0:0:1"]) {
    const [peer, keyVal] = await Promise.all([
      v6.accept().then(async (conn) => {
        const peer = new Peer(conn, []);
        await peer.answer(KEY_RESPONSE);
        conn.close();
        return peer;
      }),
      doKey({ hostname, port: v6.addr.port }),
    ]);
    assertEquals(keyVal, bytes(KEY));
    const host = hostname.replace(/[[\]]/g, "");
    assertStringIncludes(peer.requests[0], `\r\nHost: [${host}]:${v6.addr.port}\r\n`);
  }
  v6.close();
});

Deno.test("doKey() accepts only HTTP white space around the key", async () => {
  const answer = (body: string, status = "200 OK") =>
    `HTTP/1.1 ${status}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const cases: [wire: string, isKey: boolean][] = [
    [answer(`${KEY}\n`), true],
    [answer(` \t\r\n${KEY}\r\n\t `), true],
    [answer(KEY, "299 x"), true],
    [answer(KEY.toUpperCase()), true],
    [answer(KEY.slice(1)), false],
    [answer(`${KEY}0`), false],
    [answer(KEY.replace("0", "g")), false],
    [answer(KEY.replace("0", " ")), false],
    [answer(`\xa0${KEY}`), false],
    [answer(`\x0b${KEY}`), false],
    [answer(`\xef\xbb\xbf${KEY}`), false],
    [answer(`"${KEY}"`), false],
    [answer(KEY.replace("0", "\xd9\xa0")), false],
    [answer(""), false],
    [answer(KEY, "300 x"), false],
    [answer(KEY, "302 Found"), false],
    [answer(KEY, "404 x"), false],
    [answer(KEY, "600 x"), false],
    ["HTTP/1.1 204 No Content\r\n\r\n", false],
  ];
  for (const [wire, isKey] of cases) {
    await using server = new ScriptedServer(answering(wire));
    const keyVal = await doKey({ port: server.port });
    assertEquals(keyVal && text(keyVal), isKey ? /[\da-f]{128}/i.exec(wire)![0] : null, wire);
  }
});

Deno.test("doPut() returns the text of a response with any status, decoded as a whole", async () => {
  const message = new TextEncoder().encode("\ufeffé€😀\xa0 ok \r\n");
  const body = `${text(message)}\xff\xe2\x82`;
  for (const status of [200, 201, 302, 400, 404, 405, 500, 999]) {
    await using server = new ScriptedServer(async (peer) => {
      await peer.request();
      await peer.send(`HTTP/1.1 ${status} x\r\nContent-Length: ${body.length}\r\n\r\n`);
      for (const char of body) await peer.send(char);
    });
    assertEquals(await doPut(KEY, { port: server.port }), "\ufeffé€😀\xa0 ok \r\n\ufffd\ufffd");
  }
});

Deno.test("doKey() returns null and doPut() rejects if there is no usable response", async () => {
  const refusing = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = refusing.addr;
  refusing.close();
  assertEquals(await doKey({ port }), null);
  const error = await assertRejects(() => doPut(KEY, { port }), KeyClientError);
  assertEquals(error.code, "connect-failed");
  assertStringIncludes(error.message, `Cannot connect to 127.0.0.1:${port}: Connection refused`);
  assert(error.cause instanceof Deno.errors.ConnectionRefused);

  const unknown = { port, hostname: "no-such-host.invalid" };
  assertEquals(await doKey(unknown), null);
  assertEquals(await codeOf(doPut(KEY, unknown)), "connect-failed");

  const scripts: [Script, KeyClientErrorCode][] = [
    [async () => {}, "closed-early"],
    [async (peer) => void await peer.request(), "closed-early"],
    [answering("HTTP/1.1 200 OK\r\n"), "closed-early"],
    [answering("hello\r\n"), "malformed"],
    [answering("hello"), "malformed"],
    [answering(`${H}Content-Length: 9999999\r\n\r\n`), "too-large"],
  ];
  for (const [script, code] of scripts) {
    await using server = new ScriptedServer(script);
    assertEquals(await doKey({ port: server.port }), null);
    assertEquals(await codeOf(doPut(KEY, { port: server.port })), code);
    assertEquals(server.connections, 2);
  }
});

Deno.test("KeyClient reports why a request failed, with the server's whole message", async () => {
  const long = "no such user\n".repeat(50);
  await using server = new ScriptedServer(
    answering(`HTTP/1.1 404 Not Found\r\n\r\n${long}`),
    answering(`${H}\r\nyou are\x1b[31m welcome${utf8("\u2028\u2029\u202e")}`),
  );
  using client = new KeyClient({ port: server.port });
  const refused = await assertRejects(() => client.requestKey(), KeyClientError);
  assertEquals(refused.code, "refused");
  assertEquals(refused.status, 404);
  assertEquals(refused.response, { status: 404, ok: false, message: long });
  assertEquals("cause" in refused, false);
  assertStringIncludes(refused.message, 'The server answered with status 404: "no such user\\n');
  assertLess(refused.message.length, 200);
  const notKey = await assertRejects(() => client.requestKey(), KeyClientError);
  assertEquals(notKey.code, "not-a-key");
  assertEquals(notKey.status, 200);
  assertEquals(
    notKey.message,
    'The server did not answer with a key: "you are\\u001b[31m welcome\\u{2028}\\u{2029}\\u{202e}"',
  );
  assertEquals(notKey.name, "KeyClientError");
  assertEquals(notKey.response?.ok, true);
  assertEquals(new KeyClientError("closed-early", "x").status, undefined);
});

Deno.test("KeyClient reports how many digits a wrong key has", async () => {
  const counts = [1, 127, 129, 1000];
  const answers = counts.map((count) => answering(`${H}\r\n \r\n${"F".repeat(count)}\n`));
  await using server = new ScriptedServer(
    ...answers,
    answering(`${H}\r\n${"f".repeat(64)} ${"f".repeat(64)}`),
    answering(`HTTP/1.1 404 x\r\n\r\n${"f".repeat(127)}`),
  );
  using client = new KeyClient({ port: server.port });
  const message = async () =>
    (await assertRejects(() => client.requestKey(), KeyClientError)).message.replace(/:.*/, "");
  for (const count of counts) {
    assertEquals(
      await message(),
      `The server did not answer with a key, but with ${count} hex digits`,
    );
  }
  assertEquals(await message(), "The server did not answer with a key");
  assertEquals(await message(), "The server answered with status 404");
});

Deno.test("KeyClient shows a wrong value on one shortened line", () => {
  const mistakes: [value: unknown, shown: string][] = [
    [{ first: 1 }, "[object Object]"],
    [["a"], "[object Array]"],
    ["a\r\nb\x1b", '"a\\r\\nb\\u001b"'],
    ["x".repeat(81), `"${"x".repeat(80)}..."`],
  ];
  for (const [value, shown] of mistakes) {
    const error = assertThrows(() => new KeyClient({ port: value as number }), TypeError);
    assertEquals(error.message, `port must be a number from 1 to 65535, not ${shown}`);
  }
});

Deno.test("KeyClient says that it needs Deno if it runs elsewhere", async () => {
  const descriptor = Object.getOwnPropertyDescriptor(globalThis, "Deno")!;
  const client = new KeyClient({ port: 1 });
  let outcomes: PromiseSettledResult<unknown>[] = [];
  const mistakes: string[] = [];
  try {
    Reflect.deleteProperty(globalThis, "Deno");
    outcomes = await Promise.allSettled([client.requestKey(), doKey({ port: 1 })]);
    for (const port of [70_000, null, Object.create(null), ["5000"], Symbol("a")]) {
      try {
        new KeyClient({ port: port as number });
      } catch (error) {
        mistakes.push(`${error}`);
      }
    }
  } finally {
    Object.defineProperty(globalThis, "Deno", descriptor);
  }
  const [requested, given] = outcomes as [PromiseRejectedResult, PromiseFulfilledResult<null>];
  assertEquals(requested.reason.code, "connect-failed");
  assertEquals(requested.reason.message, "Cannot connect to 127.0.0.1:1: this module needs Deno");
  assertEquals(given.value, null);
  assertEquals(mistakes, [
    "RangeError: port must be a number from 1 to 65535, not 70000",
    ...["null", "[object Object]", "[object Array]", "Symbol(a)"].map((value) =>
      `TypeError: port must be a number from 1 to 65535, not ${value}`
    ),
  ]);
});

Deno.test("doPut() reads a response that is followed by a TCP reset", async () => {
  await using server = new ScriptedServer(async (peer) => {
    await peer.send("HTTP/1.1 414 URI Too Long\r\nContent-Length: 8\r\n\r\ntoo long");
  });
  for (const size of [128, 65_536]) {
    assertEquals(await doPut("x".repeat(size), { port: server.port }), "too long");
  }
});

Deno.test("doPut() does not treat a TCP reset as the end of a body", async () => {
  const server = createServer((socket) => {
    socket.once("data", () => {
      socket.write(`${H}\r\nhel`, () => setTimeout(() => socket.resetAndDestroy(), 20));
    });
  });
  const { port } = await new Promise<AddressInfo>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve(server.address() as AddressInfo));
  });
  const error = await assertRejects(() => doPut(KEY, { port }), KeyClientError);
  assertEquals(error.code, "closed-early");
  assert(error.cause instanceof Deno.errors.ConnectionReset);
  await new Promise((resolve) => server.close(resolve));
});

// ---- KeyClient and its connection

Deno.test("KeyClient sends both stages over one connection", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE, OK_RESPONSE, OK_RESPONSE));
  using client = new KeyClient({ port: server.port });
  const keyVal = await client.requestKey();
  assertEquals(await client.verifyKey(keyVal), { status: 200, ok: true, message: "ok" });
  await client.verifyKey(keyVal);
  assertEquals(server.connections, 1);
  assertEquals(server.requests.map((request) => request.slice(0, 4)), ["KEY ", "PUT ", "PUT "]);
});

Deno.test("KeyClient sends KEY over a new connection each time", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE, OK_RESPONSE));
  using client = new KeyClient({ port: server.port });
  for (let round = 1; round <= 3; round++) {
    await client.verifyKey(await client.requestKey());
    assertEquals(server.connections, round);
  }
});

Deno.test("KeyClient sends KEY reliably to a server that closes without Connection: close", async () => {
  await using server = new ScriptedServer(async (peer) => {
    await peer.answer(KEY_RESPONSE);
    await peer.answer(OK_RESPONSE); // then closes, although it did not send "Connection: close"
  });
  using client = new KeyClient({ port: server.port });
  for (let round = 0; round < 200; round++) {
    assertEquals((await client.verifyKey(await client.requestKey())).message, "ok");
  }
});

Deno.test("KeyClient sends PUT over a new connection after a pause of 100 ms", async () => {
  for (const [pause, connections] of [[10, 1], [120, 2]]) {
    await using server = new ScriptedServer(
      keeping(KEY_RESPONSE, OK_RESPONSE),
      keeping(OK_RESPONSE),
    );
    using client = new KeyClient({ port: server.port });
    await client.requestKey();
    await withClockAhead(pause, async () => {
      assertEquals((await client.verifyKey(KEY)).message, "ok");
    });
    assertEquals(server.connections, connections);
  }
});

/** Advances performance.now() while `use` runs, so that tests do not depend on real time. */
async function withClockAhead(ms: number, use: () => Promise<void>): Promise<void> {
  const { now } = performance;
  const start = now.call(performance);
  performance.now = () => start + ms;
  try {
    await use();
  } finally {
    performance.now = now;
  }
}

const HELLO = "\r\nContent-Length: 5\r\n\r\nhello";
const KEPT: [name: string, wire: string, isKept: boolean][] = [
  ["HTTP/1.1", `HTTP/1.1 200 OK${HELLO}`, true],
  ["HTTP/1.1 with chunks", `${CHUNKED}5\r\nhello\r\n0\r\n\r\n`, true],
  ["HTTP/1.1 with trailer fields", `${CHUNKED}5\r\nhello\r\n0\r\nConnection: close\r\n\r\n`, true],
  [
    "an interim response before",
    `HTTP/1.1 103 x\r\nConnection: close\r\n\r\nHTTP/1.1 200${HELLO}`,
    true,
  ],
  ["204", "HTTP/1.1 204 x\r\n\r\n", true],
  ["a 4xx", `HTTP/1.1 404 x${HELLO}`, true],
  ["HTTP/1.0 with keep-alive", `HTTP/1.0 200 OK\r\nConnection: Keep-Alive${HELLO}`, true],
  ["keep-alive among other options", `HTTP/1.0 200 OK\r\nConnection: a ,keep-alive${HELLO}`, true],
  [
    "close in a field with a similar name",
    `HTTP/1.1 200 OK\r\nConnectioo: close${HELLO}`,
    true,
  ],
  ["an option that only begins with close", `HTTP/1.1 200 OK\r\nConnection: closed${HELLO}`, true],
  ["chunked twice", `${H}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`, true],
  ["identity with a length", `HTTP/1.1 200 OK\r\nTransfer-Encoding: identity${HELLO}`, false],
  [
    "HTTP/1.0 204 with a coding",
    "HTTP/1.0 204 x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n",
    false,
  ],
  ["HTTP/1.0", `HTTP/1.0 200 OK${HELLO}`, false],
  ["Connection: close", `HTTP/1.1 200 OK\r\nConnection: close${HELLO}`, false],
  [
    "HTTP/1.0 with chunks",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    false,
  ],
  ["close in another case, in a list", `HTTP/1.1 200 OK\r\nConnection: a,\tCLOSE${HELLO}`, false],
  [
    "close in a second field",
    `HTTP/1.1 200 OK\r\nConnection: a\r\nConnection: close${HELLO}`,
    false,
  ],
  ["close and keep-alive", `HTTP/1.1 200 OK\r\nConnection: keep-alive, close${HELLO}`, false],
  [
    "chunks and a length",
    `${H}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
    false,
  ],
  ["bytes after the message", `HTTP/1.1 200 OK${HELLO}\n`, false],
  ["a second response after the first", `HTTP/1.1 200 OK${HELLO}${KEY_RESPONSE}`, false],
  ["a 204 that announces a body", "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", false],
  ["a 304 that announces chunks", "HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n", false],
  ["bytes after a 204", "HTTP/1.1 204 x\r\n\r\nhello", false],
];

for (const [name, wire, isKept] of KEPT) {
  Deno.test(`KeyClient ${isKept ? "keeps" : "does not keep"} the connection: ${name}`, async () => {
    await using server = new ScriptedServer(keeping(wire, OK_RESPONSE), keeping(OK_RESPONSE));
    using client = new KeyClient({ port: server.port });
    await client.verifyKey("x");
    assertEquals((await client.verifyKey("x")).message, "ok");
    assertEquals(server.connections, isKept ? 1 : 2);
    assertEquals(server.requests.length, 2);
  });
}

Deno.test("KeyClient does not keep the connection after a body without a length", async () => {
  await using server = new ScriptedServer(answering(`${H}\r\nhello`), keeping(OK_RESPONSE));
  using client = new KeyClient({ port: server.port });
  assertEquals((await client.verifyKey("x")).message, "hello");
  assertEquals((await client.verifyKey("x")).message, "ok");
  assertEquals(server.connections, 2);
});

Deno.test("KeyClient does not keep a connection if bytes follow a large body", async () => {
  const size = 1_000_000;
  const large = `${H}Content-Length: ${size}\r\n\r\n${"x".repeat(size)}${KEY_RESPONSE}`;
  await using server = new ScriptedServer(keeping(large), keeping(OK_RESPONSE));
  using client = new KeyClient({ port: server.port });
  assertEquals((await client.verifyKey("x")).message.length, size);
  assertEquals((await client.verifyKey("x")).message, "ok");
  assertEquals(server.connections, 2);
});

Deno.test("KeyClient notices that the server has closed the idle connection", async () => {
  for (const again of ["KEY", "PUT"]) {
    await using server = new ScriptedServer(answering(KEY_RESPONSE), keeping(KEY_RESPONSE));
    using client = new KeyClient({ port: server.port });
    await client.requestKey();
    await delay(20);
    if (again === "KEY") await client.requestKey();
    else await client.verifyKey(KEY);
    assertEquals(server.connections, 2);
    assertEquals(server.requests.length, 2);
  }
});

/** Keeps the connection open until the second request has arrived, then closes it. */
const closing = (second: (peer: Peer) => Promise<void>): Script => async (peer) => {
  await peer.answer(KEY_RESPONSE);
  await second(peer);
};
const afterRequest = closing(async (peer) => void await peer.request());
const duringRequest = closing(async (peer) => void await peer.conn.read(new Uint8Array(1)));

Deno.test("KeyClient sends PUT again if a persistent connection closes without a response", async () => {
  for (const script of [afterRequest, duringRequest]) {
    await using server = new ScriptedServer(script, keeping(OK_RESPONSE));
    using client = new KeyClient({ port: server.port });
    const keyVal = await client.requestKey();
    assertEquals((await client.verifyKey(keyVal)).message, "ok");
    assertEquals(server.connections, 2);
  }
});

Deno.test("KeyClient sends PUT at most twice", async () => {
  await using server = new ScriptedServer(afterRequest, async (peer) => void await peer.request());
  using client = new KeyClient({ port: server.port });
  await client.requestKey();
  assertEquals(await codeOf(client.verifyKey(KEY)), "closed-early");
  assertEquals(server.requests.map((request) => request.slice(0, 3)), ["KEY", "PUT", "PUT"]);
});

Deno.test("KeyClient sends a request only once if the connection is new or a byte has arrived", async () => {
  const scripts: [Script, KeyClientErrorCode][] = [
    [async (peer) => void await peer.request(), "closed-early"],
    [keeping(), "timed-out"],
    [answering("H"), "closed-early"],
    [answering("h\n"), "malformed"],
  ];
  for (const [script, code] of scripts) {
    await using fresh = new ScriptedServer(script);
    using first = new KeyClient({ port: fresh.port, timeout: 300 });
    assertEquals(await codeOf(first.verifyKey(KEY)), code);
    assertEquals(fresh.connections, 1);
    if (code === "closed-early" && script === scripts[0][0]) continue;
    await using kept = new ScriptedServer(closing(script));
    using second = new KeyClient({ port: kept.port, timeout: 300 });
    await second.requestKey();
    assertEquals(await codeOf(second.verifyKey(KEY)), code);
    assertEquals(kept.connections, 1);
  }
});

Deno.test("KeyClient reads a response that precedes a TCP reset on a persistent connection", async () => {
  const script = closing(async (peer) => {
    await peer.conn.read(new Uint8Array(1));
    await peer.send(OK_RESPONSE);
  });
  await using server = new ScriptedServer(script, keeping(KEY_RESPONSE));
  using client = new KeyClient({ port: server.port });
  await client.requestKey();
  assertEquals((await client.verifyKey(KEY)).message, "ok");
  await delay(20);
  assertEquals(await client.requestKey(), bytes(KEY));
  assertEquals(server.connections, 2);
});

Deno.test("KeyClient sends the next request over a new connection after every kind of failure", async () => {
  const abort = new AbortController();
  const failures: Script[] = [
    answering("HTTP/1.1 200"),
    answering("\r\n"),
    answering(`${H}Content-Length: 9999999\r\n\r\n`),
    silent,
    keeping(`${H}Content-Length: 9\r\n\r\nlate`),
  ];
  for (const script of failures) {
    await using server = new ScriptedServer(script, keeping(KEY_RESPONSE, OK_RESPONSE));
    using client = new KeyClient({ port: server.port, timeout: 200, signal: abort.signal });
    await assertRejects(() => client.requestKey(), KeyClientError);
    assertEquals(await client.requestKey(), bytes(KEY));
    assertEquals((await client.verifyKey(KEY)).message, "ok");
    assertEquals(server.connections, 2);
  }
});

Deno.test("KeyClient allows each response a head of 64 KiB", async () => {
  const large = OK_RESPONSE.replace("\r\n", `\r\nA: ${"x".repeat(60_000)}\r\n`);
  await using server = new ScriptedServer(keeping(large, large, large));
  using client = new KeyClient({ port: server.port });
  for (let n = 0; n < 3; n++) assertEquals((await client.verifyKey("x")).message, "ok");
  assertEquals(server.connections, 1);
});

Deno.test("KeyClient rejects a second exchange while one is in progress", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE));
  using client = new KeyClient({ port: server.port });
  const first = client.requestKey();
  const message = "Cannot send: another exchange is in progress";
  await assertRejects(() => client.requestKey(), TypeError, message);
  await assertRejects(() => client.verifyKey(KEY), TypeError, message);
  assertEquals(await first, bytes(KEY));
  assertEquals(server.requests.length, 1);
});

Deno.test("KeyClient.close() stops the exchange and closes the client", async () => {
  await using server = new ScriptedServer(silent);
  const client = new KeyClient({ port: server.port });
  client.close();
  client.close();
  await assertRejects(() => client.requestKey(), TypeError, "Cannot send: the client is closed");
  for (const wait of [0, 20]) {
    const other = new KeyClient({ port: server.port });
    const pending = other.requestKey();
    if (wait) await delay(wait);
    other[Symbol.dispose]();
    const error = await assertRejects(() => pending, DOMException, "The client was closed");
    assertEquals(error.name, "AbortError");
  }
});

Deno.test("onMessage gets the exact bytes of each message", async () => {
  const early = "HTTP/1.1 103 Early\nA: b\n\n";
  const chunked = `${CHUNKED}5;x\r\nhello\r\n0\r\nT: u\r\n\r\n`;
  await using server = new ScriptedServer(keeping(KEY_RESPONSE, early + chunked));
  const messages: WireMessage[] = [];
  using client = new KeyClient({
    port: server.port,
    onMessage: (message) => messages.push(message),
  });
  const start = performance.now();
  await client.requestKey();
  await client.verifyKey(KEY);
  const [keyRequest, putRequest] = server.requests;
  assertEquals(
    messages.map(({ direction, head, body }) => [direction, text(head), text(body)]),
    [
      ["request", keyRequest, ""],
      ["response", KEY_RESPONSE.slice(0, -128), KEY],
      ["request", putRequest, ""],
      ["response", early, ""],
      ["response", CHUNKED, chunked.slice(CHUNKED.length)],
    ],
  );
  const times = [start, ...messages.map(({ time }) => time), performance.now()];
  assertEquals(times, times.toSorted((a, b) => a - b));
});

Deno.test("onMessage gets the bytes received of a response that failed", async () => {
  for (
    const [head, body] of [["HTTP/1.1 200 OK\r\nA b\r\n\r\n", ""], [CHUNKED, "2\r\nhi\r\nx\r\n"]]
  ) {
    await using server = new ScriptedServer(answering(head + body));
    const messages: string[] = [];
    using client = new KeyClient({
      port: server.port,
      onMessage: ({ head, body }) => messages.push(text(head), text(body)),
    });
    assertEquals(await codeOf(client.requestKey()), "malformed");
    assertEquals(messages.slice(2).join(""), head + body);
  }
});

Deno.test("onMessage is not called again after it has thrown", async () => {
  await using server = new ScriptedServer(keeping(`${KEY_RESPONSE}more`));
  let calls = 0;
  using client = new KeyClient({
    port: server.port,
    onMessage({ direction }) {
      if (direction === "response") throw new Error(`call ${++calls}`);
    },
  });
  await assertRejects(() => client.requestKey(), Error, "call 1");
  assertEquals(calls, 1);
});

Deno.test("an error thrown by onMessage makes the exchange fail, and closes the connection", async () => {
  for (const direction of ["request", "response"]) {
    await using server = new ScriptedServer(keeping(KEY_RESPONSE));
    const mistake = new Error("mistake");
    using client = new KeyClient({
      port: server.port,
      onMessage(message) {
        if (message.direction === direction) throw mistake;
      },
    });
    assertStrictEquals(await client.requestKey().catch((error) => error), mistake);
  }
});

Deno.test("a rejected promise from onMessage is ignored", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE, OK_RESPONSE));
  const thenable = {
    then: (_: unknown, reject: (reason: Error) => void) => reject(new Error("2")),
  };
  const rejecting = [() => Promise.reject(new Error("1")), () => thenable] as (() => void)[];
  for (const onMessage of rejecting) {
    using client = new KeyClient({ port: server.port, onMessage });
    assertEquals((await client.verifyKey(await client.requestKey())).message, "ok");
  }
  await delay(5); // an unhandled rejection would fail this test
});

Deno.test("KeyClient does not send PUT again if onMessage throws a KeyClientError", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE, OK_RESPONSE));
  const mistake = new KeyClientError("closed-early", "thrown by the caller");
  let isBroken = false;
  using client = new KeyClient({
    port: server.port,
    onMessage() {
      if (isBroken) throw mistake;
    },
  });
  await client.requestKey();
  isBroken = true;
  assertStrictEquals(await client.verifyKey(KEY).catch((error) => error), mistake);
  assertEquals(server.connections, 1);
});

Deno.test("the cause of a KeyClientError is an Error, even if something else was thrown", async () => {
  const { connect } = Deno;
  Deno.connect = (() => Promise.reject("no network")) as unknown as typeof connect;
  try {
    const error = await assertRejects(() => doPut(KEY), KeyClientError, "5000: no network");
    assertEquals(error.cause instanceof Error, true);
  } finally {
    Deno.connect = connect;
  }
});

// ---- Timeouts and aborts

/** A listener with a full backlog. On Linux, connecting to it does not end. */
async function fullBacklog(): Promise<Disposable & { port: number }> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
  const { port } = listener.addr;
  const conns = await Promise.all([Deno.connect({ port }), Deno.connect({ port })]);
  return {
    port,
    [Symbol.dispose]() {
      for (const conn of conns) conn.close();
      listener.close();
    },
  };
}

const MOMENTS: [name: string, script: Script][] = [
  ["before the first byte", silent],
  ["in the status line", keeping("HTTP/1.1 2")],
  ["in the head", keeping("HTTP/1.1 200 OK\r\nA: b\r\n")],
  ["after an interim response", keeping("HTTP/1.1 100 x\r\n\r\n")],
  ["in a body with a length", keeping(`${H}Content-Length: 9\r\n\r\nhello`)],
  ["in a body until the close", keeping(`${H}\r\nhello`)],
  ["in a chunk size", keeping(`${CHUNKED}5`)],
  ["in a chunk", keeping(`${CHUNKED}5\r\nhel`)],
  ["between two chunks", keeping(`${CHUNKED}5\r\nhello\r\n`)],
  ["in the trailer section", keeping(`${CHUNKED}0\r\nA: b\r\n`)],
];

for (const [name, script] of MOMENTS) {
  Deno.test(`a timeout and an abort stop an exchange ${name}`, async () => {
    await using server = new ScriptedServer(script);
    const { port } = server;
    const abort = new AbortController();
    setTimeout(() => abort.abort("enough"), 50);
    const [error, onTimeout, reason, onSignal] = await Promise.all([
      assertRejects(() => doPut(KEY, { port, timeout: 300 }), KeyClientError),
      doKey({ port, timeout: 300 }),
      doPut(KEY, { port, signal: abort.signal }).catch((reason) => reason),
      doKey({ port, signal: AbortSignal.timeout(50) }),
    ]);
    assertEquals(error.code, "timed-out");
    assertStringIncludes(error.message, "Cannot get a response: timed out after 300 ms, with ");
    assertEquals([onTimeout, reason, onSignal], [null, "enough", null]);
  });
}

Deno.test("a timeout and an abort stop connecting", {
  ignore: Deno.build.os !== "linux",
}, async () => {
  using server = await fullBacklog();
  const { port } = server;
  const error = await assertRejects(() => doPut(KEY, { port, timeout: 100 }), KeyClientError);
  assertEquals(error.code, "timed-out");
  assertEquals(error.message, "Cannot get a response: timed out after 100 ms, while connecting");
  assertEquals(await doKey({ port, timeout: 100 }), null);
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 30);
  const reason = await assertRejects(
    () => doPut(KEY, { port, signal: abort.signal }),
    DOMException,
  );
  assertStrictEquals(reason, abort.signal.reason);
  using client = new KeyClient({ port });
  const pending = client.requestKey();
  await delay(10);
  client.close();
  await assertRejects(() => pending, DOMException, "The client was closed");
});

Deno.test("the timeout is for the whole exchange, even if bytes keep arriving", async () => {
  await using server = new ScriptedServer(async (peer) => {
    await peer.request();
    for (;;) {
      await peer.send("HTTP/1.1 100 Continue\r\n\r\n");
      await delay(5);
    }
  });
  assertEquals(await codeOf(doPut(KEY, { port: server.port, timeout: 60 })), "timed-out");
});

Deno.test("an abort before the call prevents the connection", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE));
  const options = { port: server.port, signal: AbortSignal.abort("no") };
  assertEquals(await doPut(KEY, options).catch((reason) => reason), "no");
  assertEquals(await doKey(options), null);
  assertEquals(server.connections, 0);
});

Deno.test("an abort after the response changes nothing", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE), keeping(OK_RESPONSE));
  const abort = new AbortController();
  using client = new KeyClient({ port: server.port, signal: abort.signal });
  assertEquals(await client.requestKey(), bytes(KEY));
  abort.abort("late");
  assertEquals(await client.verifyKey(KEY).catch((reason) => reason), "late");
});

/** Calls `use` while `change` replaces the connections of Deno.connect. */
async function withConnect(
  change: (conn: Deno.TcpConn) => void,
  use: () => Promise<void>,
): Promise<void> {
  const { connect } = Deno;
  Deno.connect = (async (options: Deno.ConnectOptions) => {
    const conn = await connect(options);
    change(conn);
    return conn;
  }) as typeof connect;
  try {
    await use();
  } finally {
    Deno.connect = connect;
  }
}

Deno.test("an abort at the moment of connecting closes the connection", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE));
  const abort = new AbortController();
  await withConnect(() => abort.abort("now"), async () => {
    const options = { port: server.port, signal: abort.signal };
    assertEquals(await doPut(KEY, options).catch((reason) => reason), "now");
  });
  assertEquals(server.requests, []);
});

Deno.test("an abort while an idle connection is checked does not open another one", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE, OK_RESPONSE));
  const abort = new AbortController();
  using client = new KeyClient({ port: server.port, signal: abort.signal });
  await client.requestKey();
  const pending = client.verifyKey(KEY);
  abort.abort("now");
  assertEquals(await pending.catch((reason) => reason), "now");
  await delay(20);
  assertEquals(server.connections, 1);
});

Deno.test("only the first reason to stop counts", async () => {
  await using server = new ScriptedServer(silent);
  for (const order of ["abort first", "close first"]) {
    const abort = new AbortController();
    const client = new KeyClient({ port: server.port, signal: abort.signal });
    const pending = client.requestKey();
    const stops = [() => abort.abort("aborted"), () => client.close()];
    for (const stop of order === "abort first" ? stops : stops.toReversed()) stop();
    const reason = await pending.catch((reason) => reason);
    assertEquals(reason.name ?? reason, order === "abort first" ? "aborted" : "AbortError");
  }
});

Deno.test("a stop in the same turn as the call prevents the request", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE, OK_RESPONSE));
  for (const method of ["KEY", "PUT"]) {
    const client = new KeyClient({ port: server.port });
    if (method === "PUT") await client.requestKey();
    const pending = method === "PUT" ? client.verifyKey(KEY) : client.requestKey();
    client.close();
    await assertRejects(() => pending, DOMException);
  }
  await delay(20);
  assertEquals(server.requests.length, 1);
});

Deno.test("a stop just after connecting prevents the request", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE));
  for (let turns = 0; turns < 3; turns++) {
    let client: KeyClient | undefined;
    const stop = async () => {
      for (let turn = 0; turn < turns; turn++) await undefined;
      client!.close();
    };
    await withConnect(() => void stop(), async () => {
      client = new KeyClient({ port: server.port });
      await assertRejects(() => client!.requestKey(), DOMException);
    });
  }
  await delay(20);
  assertEquals(server.requests, []);
});

Deno.test("close() in any microtask after the last message closes the connection", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE));
  for (let turns = 0; turns < 20; turns++) {
    const client = new KeyClient({
      port: server.port,
      async onMessage({ direction }) {
        if (direction === "request") return;
        for (let turn = 0; turn < turns; turn++) await undefined;
        client.close();
      },
    });
    await client.requestKey().catch((error) => assertEquals(error.name, "AbortError"));
  } // the sanitizer fails if a connection is still open
});

Deno.test("an abort at any time does not leak a socket", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE));
  for (let round = 0; round < 40; round++) {
    const keys = await Promise.all(Array.from({ length: 50 }, (_, at) => {
      const abort = new AbortController();
      setTimeout(() => abort.abort(), at % 3);
      return doKey({ port: server.port, signal: abort.signal });
    }));
    assert(keys.every((key) => key === null || key.length === 128));
  }
});

Deno.test("a long-lived signal does not keep a listener", async () => {
  await using server = startKeyServer({ port: 0 });
  const { signal } = new AbortController();
  let listeners = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    listeners++;
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
    listeners--;
    removeEventListener.apply(signal, args);
  };
  using client = new KeyClient({ port: server.addr.port, signal });
  let most = 0;
  for (let call = 0; call < 1000; call++) {
    const pending = call % 2 ? doKey({ port: server.addr.port, signal }) : client.requestKey();
    most = Math.max(most, listeners);
    await pending;
    assertEquals(listeners, 0);
  }
  assertEquals(most, 1);
});

Deno.test("2,000 calls in a row and 500 at once do not leak", async () => {
  await using server = startKeyServer({ port: 0 });
  const { port } = server.addr;
  for (let call = 0; call < 2000; call++) {
    assertEquals((await doKey({ port }))?.length, 128);
  }
  const keys = await Promise.all(
    Array.from({ length: 500 }, (_, at) => doKey({ port, userId: `user ${at}` })),
  );
  assert(keys.every((key) => key?.length === 128));
});

/** Blocks the event loop. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** Counts the calls of AbortSignal.timeout while `use` runs. */
async function timeoutsOf(use: () => Promise<void>): Promise<number[]> {
  const { timeout } = AbortSignal;
  const calls: number[] = [];
  AbortSignal.timeout = (ms) => {
    calls.push(ms);
    return timeout.call(AbortSignal, ms);
  };
  try {
    await use();
  } finally {
    AbortSignal.timeout = timeout;
  }
  return calls;
}

// ---- keepAlive and formatRequest()

Deno.test("keepAlive: false opens a connection for each request", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE), keeping(OK_RESPONSE));
  using client = new KeyClient({ port: server.port, keepAlive: false });
  await client.verifyKey(await client.requestKey());
  assertEquals(server.connections, 2);
  for (const request of server.requests) {
    assertStringIncludes(request, "\r\nConnection: close\r\n\r\n");
  }
});

Deno.test("doKey() and doPut() send Connection: close for any value of keepAlive", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE), keeping(OK_RESPONSE));
  const options = { port: server.port, keepAlive: true };
  await doPut((await doKey(options))!, options);
  for (const request of server.requests) assertStringIncludes(request, "\r\nConnection: close");
});

Deno.test("doKey() and doPut() accept inherited options", async () => {
  await using server = new ScriptedServer(answering(KEY_RESPONSE), answering(OK_RESPONSE));
  const options = Object.create({ port: server.port, userId: "Ada" });
  assertEquals(await doKey(options), bytes(KEY));
  assertEquals(await doPut(KEY, options), "ok");
  assertStringIncludes(server.requests[1], "PUT /key/Ada/");
});

Deno.test("formatRequest() returns the bytes that a KeyClient sends", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE, OK_RESPONSE, OK_RESPONSE));
  for (const keepAlive of [true, false]) {
    const options = { port: server.port, userId: "a/b", keepAlive };
    using client = new KeyClient(options);
    await client.requestKey();
    await client.verifyKey(bytes("\xe9"));
    const [key, put] = server.requests.splice(0);
    assertEquals(text(formatRequest("KEY", options)), key);
    assertEquals(text(formatRequest("PUT", options, bytes("\xe9"))), put);
  }
  assertStringIncludes(
    text(formatRequest("KEY")),
    "KEY /user/User1/ HTTP/1.1\r\nHost: 127.0.0.1:5000",
  );
});

Deno.test("formatRequest() reports mistakes of the caller", () => {
  const wrong = "GET" as "KEY";
  assertThrows(
    () => formatRequest(wrong),
    TypeError,
    'method must be "KEY" or "PUT", not "GET"',
  );
  assertThrows(
    () => formatRequest("PUT"),
    TypeError,
    "keyVal must be a string, not undefined",
  );
  assertThrows(
    () => formatRequest("KEY", {}, KEY),
    TypeError,
    'keyVal must be undefined with method "KEY", not "0123',
  );
  assertThrows(() => formatRequest("KEY", { port: 0 }), RangeError, "port must be");
  assertThrows(() => formatRequest("KEY", null as never), TypeError, "options must be");
});

Deno.test("a KeyClient has only the documented properties", () => {
  using client = new KeyClient();
  assertEquals(Reflect.ownKeys(client), []);
  assertEquals(Reflect.ownKeys(KeyClient.prototype), [
    "constructor",
    "requestKey",
    "verifyKey",
    "close",
    Symbol.dispose,
  ]);
});

// ---- Long and short writes

Deno.test("a user id and a key may have at most 65,536 bytes", async () => {
  await using server = new ScriptedServer(answering(OK_RESPONSE));
  const { port } = server;
  const longest = "x".repeat(65_536);
  assertEquals(await doPut(longest, { port, userId: longest }), "ok");
  assertEquals(server.requests[0].split("\r\n")[0], `PUT /key/${longest}/${longest}/ HTTP/1.1`);
  const rule = "keyVal must be at most 65536 bytes long when percent-encoded";
  const encodedLonger = new Uint8Array(21_846).fill(0xff); // three bytes each
  for (const key of [`${longest}x`, "é".repeat(10_923), encodedLonger, "x".repeat(5_000_000)]) {
    await assertRejects(() => doPut(key, { port }), RangeError, rule);
  }
  assertEquals(await doPut(encodedLonger.subarray(1), { port }), "ok");
  const tooLong = { port, userId: `${longest}x` };
  assertThrows(() => new KeyClient(tooLong), RangeError, 'not "xxx');
  assertEquals(await doKey(tooLong), null);
  assertEquals(server.connections, 2);
});

Deno.test("a request is sent completely, even by short writes", async () => {
  await using server = new ScriptedServer(answering(OK_RESPONSE));
  const change = (conn: Deno.TcpConn) => {
    const write = conn.write.bind(conn);
    conn.write = (p) => write(p.subarray(0, 7));
  };
  await withConnect(change, async () => {
    assertEquals(await doPut(KEY, { port: server.port }), "ok");
  });
  const options = { port: server.port, keepAlive: false };
  assertEquals(server.requests, [text(formatRequest("PUT", options, KEY))]);
});

/** Makes writes fail with `cause` after some bytes. */
const breaking = (cause: Error, after = 0) => (conn: Deno.TcpConn) => {
  const write = conn.write.bind(conn);
  let left = after;
  conn.write = async (p) => {
    if (left === 0) throw cause;
    const sent = await write(p.subarray(0, left));
    left -= sent;
    return sent;
  };
};

Deno.test("the error says why writing failed if no response follows", async () => {
  await using server = new ScriptedServer(async () => {});
  const cause = new Deno.errors.BrokenPipe("Broken pipe (os error 32)");
  await withConnect(breaking(cause), async () => {
    const messages: WireMessage[] = [];
    const onMessage = (message: WireMessage) => void messages.push(message);
    const options = { port: server.port, onMessage };
    const error = await assertRejects(() => doPut(KEY, options), KeyClientError);
    assertEquals(error.code, "closed-early");
    assertEquals(messages, []); // nothing was sent or received
    assertStrictEquals(error.cause, cause);
    assertStringIncludes(
      error.message,
      "after 0 bytes, without the end of the status line: Broken",
    );
  });
});

Deno.test("a response counts even if writing failed, unless its body ends with the connection", async () => {
  const cause = new Error("broken");
  await using whole = new ScriptedServer(async (peer) => await peer.send(OK_RESPONSE));
  await withConnect(breaking(cause, 10), async () => {
    const messages: string[] = [];
    const onMessage = ({ head, body }: WireMessage) => messages.push(text(head), text(body));
    using client = new KeyClient({ port: whole.port, onMessage });
    assertEquals((await client.verifyKey(KEY)).message, "ok");
    assertEquals(messages, ["PUT /key/U", "", OK_RESPONSE.slice(0, -2), "ok"]);
    assertEquals((await client.verifyKey(KEY)).message, "ok");
    assertEquals(whole.connections, 2);
  });
  await using open = new ScriptedServer(async (peer) => await peer.send(`${H}\r\nok`));
  await withConnect(breaking(cause, 10), async () => {
    const error = await assertRejects(() => doPut(KEY, { port: open.port }), KeyClientError);
    assertEquals(error.code, "closed-early");
    assertStrictEquals(error.cause, cause);
  });
});

// ---- onMessage

Deno.test("the caller may change all returned bytes", async () => {
  await using server = startKeyServer({ port: 0 });
  const { port } = server.addr;
  const onMessage = (m: WireMessage) => {
    assertEquals(m.head.buffer.byteLength, m.head.length);
    assertEquals(m.body.buffer.byteLength, m.body.length);
    m.head.fill(0);
    m.body.fill(0);
    structuredClone(m, { transfer: [m.head.buffer as ArrayBuffer, m.body.buffer as ArrayBuffer] });
  };
  using client = new KeyClient({ port, onMessage });
  for (let n = 0; n < 2; n++) {
    const keyVal = await client.requestKey();
    assertEquals((await client.verifyKey(keyVal)).status, 200);
    structuredClone(keyVal, { transfer: [keyVal.buffer as ArrayBuffer] });
    assertEquals((await doKey({ port, onMessage }))?.length, 128);
    assertEquals((await doKey({ port }))?.length, 128);
  }
});

const INTERIM = "HTTP/1.1 103 Early\r\n\r\n";
const STOPS: [name: string, stop: (client: KeyClient, abort: AbortController) => void][] = [
  ["close()", (client) => client.close()],
  ["an abort", (_, abort) => abort.abort(new DOMException("enough", "AbortError"))],
];

for (const [name, stop] of STOPS) {
  Deno.test(`${name} in onMessage makes the exchange reject, at every message`, async () => {
    for (let last = 1; last <= 3; last++) {
      await using server = new ScriptedServer(keeping(`${INTERIM}${KEY_RESPONSE}`));
      const abort = new AbortController();
      let calls = 0;
      const client = new KeyClient({
        port: server.port,
        signal: abort.signal,
        onMessage() {
          if (++calls === last) stop(client, abort);
        },
      });
      const error = await assertRejects(() => client.requestKey(), DOMException);
      assertEquals(error.name, "AbortError");
      await delay(5);
      assertEquals(calls, last);
      client.close();
    }
  });
}

Deno.test("onMessage gets the bytes received before a timeout", async () => {
  const part = `${H}Content-Length: 9\r\n\r\nhello`;
  await using server = new ScriptedServer(keeping(`${INTERIM}${part}`));
  const messages: string[] = [];
  using client = new KeyClient({
    port: server.port,
    timeout: 100,
    onMessage: ({ head, body }) => messages.push(text(head), text(body)),
  });
  assertEquals(await codeOf(client.requestKey()), "timed-out");
  assertEquals(messages.slice(2), [INTERIM, "", part.slice(0, -5), "hello"]);
});

Deno.test("onMessage gets a response that arrives byte by byte", async () => {
  await using server = new ScriptedServer(async (peer) => {
    await peer.request();
    for (const char of `${INTERIM}${KEY_RESPONSE}`) {
      await peer.send(char);
      await delay(0);
    }
    await peer.closed();
  });
  const messages: string[] = [];
  using client = new KeyClient({
    port: server.port,
    onMessage: ({ head, body }) => messages.push(text(head), text(body)),
  });
  await client.requestKey();
  assertEquals(messages.slice(2), [INTERIM, "", KEY_RESPONSE.slice(0, -128), KEY]);
});

Deno.test("PUT is not sent again if onMessage throws", async () => {
  await using server = new ScriptedServer(afterRequest, keeping(OK_RESPONSE));
  const mistake = new KeyClientError("closed-early", "thrown by onMessage");
  const slowly = (conn: Deno.TcpConn) => {
    const write = conn.write.bind(conn);
    conn.write = async (p) => {
      const sent = await write(p);
      await delay(20); // the connection is closed before onMessage is called
      return sent;
    };
  };
  await withConnect(slowly, async () => {
    using client = new KeyClient({
      port: server.port,
      onMessage({ head }) {
        if (text(head).startsWith("PUT")) throw mistake;
      },
    });
    await client.requestKey();
    assertStrictEquals(await client.verifyKey(KEY).catch((error) => error), mistake);
  });
  await delay(10);
  assertEquals(server.connections, 1);
});

// ---- The timeout

Deno.test("the timeout does not count a permission prompt of Deno.connect", async () => {
  await using server = new ScriptedServer(answering(KEY_RESPONSE));
  const { connect } = Deno;
  Deno.connect = ((options: Deno.ConnectOptions) => {
    block(300);
    return connect(options);
  }) as typeof connect;
  try {
    assertEquals(await doKey({ port: server.port, timeout: 200 }), bytes(KEY));
  } finally {
    Deno.connect = connect;
  }
});

Deno.test("concurrent exchanges have separate timeouts", async () => {
  await using server = new ScriptedServer(silent);
  for (const timeouts of [[50, 150, 250], [250, 150, 50], [150, 250, 50]]) {
    const ended: number[] = [];
    await Promise.all(timeouts.map(async (timeout) => {
      const error = await assertRejects(
        () => doPut(KEY, { port: server.port, timeout }),
        KeyClientError,
        `timed out after ${timeout} ms, with 0 bytes received`,
      );
      assertEquals(error.code, "timed-out");
      ended.push(timeout);
    }));
    assertEquals(ended, [50, 150, 250]);
  }
});

Deno.test("a timeout is not early, and the next exchange has its own", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE), silent);
  // The alarm of the first exchange is still set when the second begins.
  assertEquals(await doKey({ port: server.port, timeout: 100 }), bytes(KEY));
  await delay(50);
  for (let n = 0; n < 2; n++) {
    const start = performance.now();
    assertEquals(await codeOf(doPut(KEY, { port: server.port, timeout: 100 })), "timed-out");
    assertLess(99, performance.now() - start);
  }
});

Deno.test("the default timeout is ten seconds", async () => {
  const { doKey } = await import("./key_client.ts?with-another-alarm-of-its-own");
  await using server = new ScriptedServer(answering(KEY_RESPONSE));
  const calls = await timeoutsOf(async () => void await doKey({ port: server.port }));
  assertEquals(calls.length, 1);
  assert(calls[0] === 10_000 || calls[0] === 10_001); // the remaining time, rounded up
});

Deno.test("many exchanges in a row share an alarm", async () => {
  await using server = startKeyServer({ port: 0 });
  const { port } = server.addr;
  const calls = await timeoutsOf(async () => {
    for (let n = 0; n < 200; n++) await doKey({ port, timeout: 600_000 - n });
  });
  assertLess(calls.length, 3);
  assert(calls.every((ms) => ms <= 60_001), `${calls}`); // rounded up; its memory is free after a minute
  const more = await timeoutsOf(async () => {
    for (let n = 0; n < 200; n++) await doKey({ port, timeout: 600_000 });
  });
  assertEquals(more, []);
});

Deno.test("no alarm keeps a listener, even after connecting again", async () => {
  const { KeyClient } = await import("./key_client.ts?with-alarms-of-its-own");
  await using server = new ScriptedServer(
    closing(async (peer) => {
      await peer.request();
      await delay(30);
    }),
    keeping(OK_RESPONSE),
  );
  const listening = new Set<string>();
  const { timeout } = AbortSignal;
  let alarms = 0;
  AbortSignal.timeout = (ms) => {
    const [signal, name] = [timeout.call(AbortSignal, ms), `alarm ${++alarms} of ${ms} ms`];
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
      listening.add(name);
      addEventListener.apply(signal, args);
    };
    signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
      listening.delete(name);
      removeEventListener.apply(signal, args);
    };
    return signal;
  };
  try {
    using client = new KeyClient({ port: server.port, timeout: 10_000 });
    await client.requestKey();
    const pending = client.verifyKey(KEY);
    await delay(5);
    assertEquals(listening.size, 1);
    using other = new KeyClient({ port: server.port, timeout: 5_000 }); // an earlier alarm
    assertEquals((await other.verifyKey(KEY)).message, "ok");
    assertEquals((await pending).message, "ok");
    assertEquals([...listening], []);
  } finally {
    AbortSignal.timeout = timeout;
  }
});

/** A connection whose reads and writes stay pending, as Deno 2.8.3 leaves them on close(). */
const pendingFor = (operation: "read" | "write") => (conn: Deno.TcpConn) => {
  conn[operation] = () => new Promise<never>(() => {});
};

for (const operation of ["read", "write"] as const) {
  Deno.test(`a stop rejects an exchange whose ${operation} never settles`, async () => {
    await using server = new ScriptedServer(silent);
    await withConnect(pendingFor(operation), async () => {
      const abort = new AbortController();
      const { port } = server;
      const stopped = new KeyClient({ port, timeout: 60 });
      assertEquals(await codeOf(stopped.requestKey()), "timed-out");
      const aborted = new KeyClient({ port, signal: abort.signal });
      const closed = new KeyClient({ port });
      const pending = [aborted.requestKey(), closed.requestKey()];
      await delay(20);
      abort.abort("enough");
      closed.close();
      let settled = 0;
      for (const promise of pending) promise.catch(() => settled++);
      for (let turn = 0; turn < 50; turn++) await undefined; // microtasks only
      assertEquals(settled, 2);
      await assertRejects(() => pending[1], DOMException, "The client was closed");
    });
  });
}

Deno.test("a stop lets the process exit, even if Deno leaves the read pending", async () => {
  await using server = new ScriptedServer(silent);
  const calls: string[] = [];
  const spy = (conn: Deno.TcpConn) => {
    for (const name of ["unref", "close"] as const) {
      const call = conn[name].bind(conn);
      conn[name] = () => {
        calls.push(name);
        call();
      };
    }
  };
  await withConnect(spy, async () => {
    assertEquals(await codeOf(doPut(KEY, { port: server.port, timeout: 50 })), "timed-out");
  });
  assertEquals(calls, ["unref", "close"]);
});

Deno.test("a connection that opens after the stop is closed", async () => {
  await using server = new ScriptedServer(silent);
  const { connect } = Deno;
  const made: Deno.TcpConn[] = [];
  const { promise: later, resolve } = Promise.withResolvers<void>();
  Deno.connect = (async (options: Deno.ConnectOptions & { transport?: "tcp" }) => {
    await later;
    made.push(await connect({ ...options, signal: undefined }));
    return made[0];
  }) as typeof connect;
  try {
    const error = await assertRejects(
      () => doPut(KEY, { port: server.port, timeout: 50 }),
      KeyClientError,
    );
    assertEquals(error.message, "Cannot get a response: timed out after 50 ms, while connecting");
    resolve();
    while (made.length === 0) await delay(1);
    await delay(5);
    assertThrows(() => made[0].close(), Deno.errors.BadResource);
  } finally {
    Deno.connect = connect;
  }
});

Deno.test("connecting again for PUT counts toward the timeout", async () => {
  await using server = new ScriptedServer(afterRequest);
  using client = new KeyClient({ port: server.port, timeout: 100 });
  await client.requestKey();
  const { connect } = Deno;
  Deno.connect = (() => new Promise(() => {})) as unknown as typeof connect;
  try {
    const error = await assertRejects(() => client.verifyKey(KEY), KeyClientError);
    assertEquals(error.message, "Cannot get a response: timed out after 100 ms, while connecting");
  } finally {
    Deno.connect = connect;
  }
});

// ---- Mistakes of the caller

const MISTAKES: [options: unknown, type: ErrorConstructor, message: string][] = [
  [null, TypeError, "options must be an object, not null"],
  ["127.0.0.1", TypeError, 'options must be an object, not "127.0.0.1"'],
  [{ port: "5000" }, TypeError, 'port must be a number from 1 to 65535, not "5000"'],
  [{ port: null }, TypeError, "port must be a number from 1 to 65535, not null"],
  [{ port: 5000n }, TypeError, "port must be a number from 1 to 65535, not 5000"],
  [{ port: Symbol("x") }, TypeError, "port must be a number from 1 to 65535, not Symbol(x)"],
  [{ port: 0 }, RangeError, "port must be a number from 1 to 65535, not 0"],
  [{ port: 65536 }, RangeError, "port must be a number from 1 to 65535, not 65536"],
  [{ port: 80.5 }, RangeError, "port must be a number from 1 to 65535, not 80.5"],
  [{ port: NaN }, RangeError, "port must be a number from 1 to 65535, not NaN"],
  [{ timeout: null }, TypeError, "timeout must be a number above 0, at most 2147483647, not null"],
  [{ timeout: "10" }, TypeError, 'timeout must be a number above 0, at most 2147483647, not "10"'],
  [{ timeout: 0 }, RangeError, "timeout must be a number above 0, at most 2147483647, not 0"],
  [{ timeout: -1 }, RangeError, ", not -1"],
  [{ timeout: NaN }, RangeError, ", not NaN"],
  [{ timeout: Infinity }, RangeError, ", not Infinity"],
  [{ timeout: 2 ** 31 }, RangeError, ", not 2147483648"],
  [{ maxBodySize: "1" }, TypeError, 'maxBodySize must be a number from 0 to 2147483647, not "1"'],
  [{ maxBodySize: -1 }, RangeError, "maxBodySize must be a number from 0 to 2147483647, not -1"],
  [{ maxBodySize: 1.5 }, RangeError, ", not 1.5"],
  [{ maxBodySize: Infinity }, RangeError, ", not Infinity"],
  [{ hostname: "" }, TypeError, 'hostname must be a host name or an IP address, not ""'],
  [{ hostname: null }, TypeError, ", not null"],
  [{ hostname: 127 }, TypeError, ", not 127"],
  [{ hostname: "a b" }, TypeError, ', not "a b"'],
  [{ hostname: "a\r\nX: y" }, TypeError, ', not "a\\r\\nX: y"'],
  [{ hostname: "http://a/" }, TypeError, ', not "http://a/"'],
  [{ hostname: "a:80" }, TypeError, ', not "a:80"'],
  [{ hostname: "user@a" }, TypeError, ', not "user@a"'],
  [{ hostname: "b\u00fccher" }, TypeError, ', not "bücher"'],
  [{ hostname: "[::1" }, TypeError, ', not "[::1"'],
  [{ hostname: "[::1]a" }, TypeError, ', not "[::1]a"'],
  [{ hostname: "a[::1]" }, TypeError, ', not "a[::1]"'],
  [{ hostname: "a:b" }, TypeError, ', not "a:b"'],
  [{ hostname: "::1%" }, TypeError, ', not "::1%"'],
  [{ hostname: "::g" }, TypeError, ', not "::g"'],
  [{ hostname: "::1%a b" }, TypeError, ', not "::1%a b"'],
  [{ userId: "" }, TypeError, 'userId must be a string other than "", "." and "..", not ""'],
  [{ userId: "." }, TypeError, ', not "."'],
  [{ userId: ".." }, TypeError, ', not ".."'],
  [{ userId: null }, TypeError, "userId must be a string, not null"],
  [{ userId: ["a", ["b"]] }, TypeError, "userId must be a string, not [object Array]"],
  [{ userId: 7 }, TypeError, "userId must be a string, not 7"],
  [
    { userId: "a\ud800" },
    TypeError,
    'userId must be a string without lone surrogates, not "a\\ud800"',
  ],
  [{ keepAlive: null }, TypeError, "keepAlive must be a boolean, not null"],
  [{ keepAlive: 0 }, TypeError, "keepAlive must be a boolean, not 0"],
  [{ timeout: Symbol("x") }, TypeError, ""],
  [{ signal: null }, TypeError, "signal must be an AbortSignal, not null"],
  [{ signal: new AbortController() }, TypeError, ", not [object AbortController]"],
  [{ onMessage: null }, TypeError, "onMessage must be a function, not null"],
  [{ onMessage: "x" }, TypeError, 'onMessage must be a function, not "x"'],
];

Deno.test("wrong options are reported before a socket is opened", async () => {
  await using server = new ScriptedServer(keeping(KEY_RESPONSE));
  for (const [mistake, type, message] of MISTAKES) {
    const isObject = typeof mistake === "object" && mistake !== null;
    const options = (isObject ? { port: server.port, ...mistake } : mistake) as KeyClientOptions;
    assertThrows(() => new KeyClient(options), type, message);
    await assertRejects(() => doPut(KEY, options), type, message);
    assertThrows(() => formatRequest("KEY", options), type, message);
    assertEquals(await doKey(options), null);
  }
  assertEquals(server.connections, 0);
});

Deno.test("a wrong key is reported before a socket is opened", async () => {
  await using server = new ScriptedServer(keeping(OK_RESPONSE));
  const { port } = server;
  const mistakes: [unknown, string][] = [
    [null, "keyVal must be a string, not null"],
    [undefined, "keyVal must be a string, not undefined"],
    [7, "keyVal must be a string, not 7"],
    [["a"], "keyVal must be a string, not [object Array]"],
    ["", 'keyVal must be a string other than "", "." and "..", not ""'],
    [new Uint8Array(), ', not ""'],
    [".", ', not "."'],
    [bytes(".."), ', not ".."'],
    ["a\udc00", 'keyVal must be a string without lone surrogates, not "a\\udc00"'],
  ];
  using client = new KeyClient({ port });
  for (const [mistake, message] of mistakes) {
    await assertRejects(() => doPut(mistake as string, { port }), TypeError, message);
    await assertRejects(() => client.verifyKey(mistake as string), TypeError, message);
  }
  assertEquals(server.connections, 0);
  assertEquals((await client.verifyKey("ok")).message, "ok");
});

Deno.test("undefined options get the defaults", () => {
  const options = {
    hostname: undefined,
    port: undefined,
    userId: undefined,
    timeout: undefined,
    signal: undefined,
    maxBodySize: undefined,
    keepAlive: undefined,
    onMessage: undefined,
  };
  using _client = new KeyClient(options);
  const request = text(formatRequest("KEY", options));
  assertStringIncludes(request, "KEY /user/User1/ HTTP/1.1\r\nHost: 127.0.0.1:5000\r\n");
  assertEquals(request.includes("Connection"), false);
});

Deno.test("KeyClient accepts the limits of each number", () => {
  for (const port of [1, 65_535]) {
    assertStringIncludes(text(formatRequest("KEY", { port })), `:${port}\r\n`);
  }
  for (const timeout of [Number.MIN_VALUE, 2 ** 31 - 1]) new KeyClient({ timeout });
  for (const maxBodySize of [0, 2 ** 31 - 1]) new KeyClient({ maxBodySize });
});

Deno.test("the error for a wrong option has the option's name in its message and as a property", () => {
  const mistakes: [option: string, options: unknown][] = [
    ["hostname", { hostname: "a b" }],
    ["port", { port: 0 }],
    ["userId", { userId: "" }],
    ["timeout", { timeout: 0 }],
    ["signal", { signal: 1 }],
  ];
  for (const [option, options] of mistakes) {
    const error = assertThrows(() => new KeyClient(options as KeyClientOptions), Error);
    assertEquals((error as Error & { option: string }).option, option);
    assertEquals(error.message.startsWith(`${option} must be `), true, error.message);
  }
});

// ---- Fuzz

// deno-fmt-ignore
const MUTANTS = [
  "\r", "\n", "\r\n", "\0", " ", "\t", ":", ";", ",", "0", "1", "f", "-", "\xff", "\x80", "x",
  "HTTP/1.1 ", "100", "200", "204", "chunked", "identity", "ffffffff", KEY,
  "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Connection: close\r\n",
];

Deno.test("doKey() returns 128 hex digits or null for mutated responses", async () => {
  const next = random(2);
  let wire = "";
  await using server = new ScriptedServer(async (peer) => await peer.answer(wire));
  let keys = 0;
  for (let round = 0; round < FUZZ_ROUNDS / 10; round++) {
    const at = Math.floor(next() * KEY_RESPONSE.length);
    const mutant = MUTANTS[Math.floor(next() * MUTANTS.length)];
    wire = KEY_RESPONSE.slice(0, at) + mutant + KEY_RESPONSE.slice(at + mutant.length);
    const keyVal = await doKey({ port: server.port });
    if (keyVal === null) continue;
    keys++;
    assertEquals(/^[\da-fA-F]{128}$/.test(text(keyVal)), true, JSON.stringify(wire));
  }
  assert(keys > 0);
});
