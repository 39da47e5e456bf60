import {
  assert,
  assertEquals,
  assertLess,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { KeyClient } from "../key_client.ts";
import { type KeyServerEvent, type KeyServerOptions, startKeyServer } from "./server.ts";
import { bytes, delay, FUZZ_ROUNDS, KEY, random } from "../testing/bytes.ts";
import {
  bodyOf,
  Client,
  CLOSING_REQUEST,
  FAILURES,
  KEY_REQUEST,
  listen,
  statusOf,
  talk,
} from "../testing/raw_client.ts";

// ---- Events

Deno.test("startKeyServer() tells all that happens, in order", async () => {
  await using server = listen();
  const before = Date.now();
  using client = await Client.to(server);
  const { port } = client.conn.localAddr as Deno.NetAddr;
  const request = "PUT /key/Ada/a-/ HTTP/1.1\r\n\r\n";
  await client.send(request);
  const response = await client.response();
  client.close();
  await server.event("closed");
  const common = { connection: 1, method: "PUT", userId: "Ada" };
  const message = bodyOf(response);
  const remark = {
    code: "key-not-hex",
    severity: "error",
    status: 400,
    fact: "`-` in the key is not a hex digit",
    help: "send the 128 hex digits as you received them",
    start: 14,
    end: 15,
  } as const;
  assertEquals(message, `${remark.fact}\nhelp: ${remark.help}`);
  const events = server.events.map(({ time, peer, ...event }) => {
    assert(time >= before && time <= Date.now());
    assertEquals([peer.hostname, peer.port], ["127.0.0.1", port]);
    return event;
  });
  assertEquals(events.map(({ type }) => type), [
    "connected",
    "request",
    "remark",
    "remark",
    "answer",
    "closed",
  ]);
  assertEquals(events[1], { type: "request", bytes: bytes(request), reads: 1, ...common });
  assertEquals(events[2], {
    type: "remark",
    connection: 1,
    bytes: bytes(request),
    remark,
  } as unknown);
  const answer = {
    status: 400,
    message,
    bytes: bytes(response),
    request: bytes(request),
    error: remark,
  } as const;
  assertEquals(events[4], { type: "answer", ...answer, ...common });
  assertEquals(events[5], { type: "closed", connection: 1, by: "client" });
});

Deno.test("startKeyServer() serves on, whatever onEvent throws or rejects with", async () => {
  for (const fail of FAILURES) {
    await using server = startKeyServer({ port: 0, onEvent: fail });
    assertEquals(statusOf(await talk(server, CLOSING_REQUEST)), 200);
  }
});

// ---- It stays up

Deno.test("startKeyServer() serves others beside many idle connections", async () => {
  await using server = listen();
  const idle = await Promise.all(Array.from({ length: 500 }, () => Client.to(server)));
  const clients = Array.from({ length: 50 }, async (_, n) => {
    using client = new KeyClient({ port: server.addr.port, userId: `user${n}` });
    for (let m = 0; m < 10; m++) {
      assertEquals((await client.verifyKey(await client.requestKey())).ok, true);
    }
  });
  await Promise.all(clients);
  for (const client of idle) client.close();
});

Deno.test("startKeyServer() goes on when file descriptors are used up", async () => {
  const listen = Deno.listen;
  let failures = 0;
  // As many connections as that cannot be made here, so the system's refusal is played.
  Deno.listen = ((options: Deno.TcpListenOptions) => {
    const listener = listen(options);
    const accept = listener.accept.bind(listener);
    listener.accept = () =>
      failures-- > 0 ? Promise.reject(new Error("Too many open files (os error 24)")) : accept();
    return listener;
  }) as typeof Deno.listen;
  const events: KeyServerEvent[] = [];
  await using server = startKeyServer({ port: 0, onEvent: (event) => events.push(event) });
  Deno.listen = listen;
  const closed = () =>
    events.flatMap((event) => event.type === "closed" ? [`${event.by} ${event.connection}`] : []);
  using used = await Client.to(server);
  await used.send(KEY_REQUEST);
  await used.response();
  await delay(5);
  using _fresh = await Client.to(server);
  await delay(120); // until then they may be about to ask
  using busy = await Client.to(server);
  await busy.send("KEY");
  failures = 3; // of which the first is for room that "used" has, the second for that of the fresh one
  using next = await Client.to(server); // comes to the accept that is waiting
  await next.send(CLOSING_REQUEST);
  assertEquals(statusOf(await next.read()), 200);
  using last = await Client.to(server);
  await last.send(CLOSING_REQUEST);
  assertEquals(statusOf(await last.read()), 200);
  assertEquals(closed().slice(0, 2).toSorted(), ["server 1", "server 2"]);
  const crowded = events.filter((event) => event.type === "remark");
  assertEquals(crowded.map(({ remark }) => remark.code), ["crowded", "crowded"]);
  await busy.send(KEY_REQUEST.slice(3));
  assertEquals(statusOf(await busy.response()), 200);
});

Deno.test("startKeyServer() answers or remarks on whatever comes, and goes on", async () => {
  const next = random(9);
  const below = (limit: number) => Math.floor(next() * limit);
  await using server = listen({ idleTimeout: 5_000 });
  const pieces = [
    KEY_REQUEST,
    CLOSING_REQUEST,
    "KEY",
    "PUT",
    " ",
    "/",
    "\r\n",
    "\n",
    "\r",
    ":",
    "\0",
  ];
  pieces.push(
    "/user/Ada/",
    `/key/Ada/${KEY}/`,
    "HTTP/1.1",
    "Host: a",
    "Content-Length: 3",
    "\x16\x03",
  );
  pieces.push(
    "Transfer-Encoding: chunked",
    "5\r\nabcde\r\n",
    "0\r\n\r\n",
    "Expect: 100-continue",
    "\\r\\n",
  );
  for (let round = 0; round < FUZZ_ROUNDS / 4; round++) {
    let wire = "";
    for (let n = below(12); n >= 0; n--) {
      wire += below(4) > 0 ? pieces[below(pieces.length)] : String.fromCharCode(below(256));
    }
    server.events.length = 0;
    using client = await Client.to(server);
    await client.send(wire);
    await client.conn.closeWrite();
    const response = await client.read();
    await server.event("closed");
    const isTold = response.length > 0 || server.remarks().length > 0;
    assert(isTold, `nothing came of ${JSON.stringify(wire)}`);
    for (const status of response.matchAll(/^HTTP\/1\.1 (\d+)/gm)) {
      assertStringIncludes("100 200 400 404 405", status[1]);
    }
  }
  assertEquals(statusOf(await talk(server, CLOSING_REQUEST)), 200);
});

// ---- Start and end

Deno.test("startKeyServer() listens on 127.0.0.1, and stops by its signal", async () => {
  const abort = new AbortController();
  const server = startKeyServer({ port: 0, signal: abort.signal });
  assertEquals(server.addr.hostname, "127.0.0.1");
  abort.abort();
  await server.finished;
  const { port } = server.addr;
  await assertRejects(() => Deno.connect({ port }), Deno.errors.ConnectionRefused);
});

Deno.test("startKeyServer() ends at once by a signal that is aborted", async () => {
  const { finished, addr } = startKeyServer({ port: 0, signal: AbortSignal.abort() });
  await finished;
  await assertRejects(() => Deno.connect({ port: addr.port }), Deno.errors.ConnectionRefused);
});

Deno.test("startKeyServer() refuses a port in use and a time that is none", async () => {
  await using server = startKeyServer({ port: 0 });
  const { port } = server.addr;
  assertThrows(() => startKeyServer({ port }), Deno.errors.AddrInUse);
  for (const time of [0, -1, NaN]) {
    const refuses = (options: KeyServerOptions, words: string) =>
      assertThrows(() => startKeyServer({ port: 0, ...options }), RangeError, words);
    refuses({ idleTimeout: time }, `idleTimeout must be above 0, not ${time}`);
    refuses({ delay: time }, `delay must be above 0 and at most 2147483647, not ${time}`);
  }
  assertThrows(() => startKeyServer({ port: 0, delay: 2 ** 31 }), RangeError, "at most 2147483647");
});

Deno.test("shutdown() answers what has come, also if it has not been read yet", async () => {
  for (let n = 0; n < 10; n++) {
    const server = listen();
    using client = await Client.to(server);
    await server.event("connected");
    await client.send(KEY_REQUEST);
    const ended = server.shutdown();
    assertEquals(statusOf(await client.read()), 200);
    client.close();
    await ended;
  }
});

Deno.test("shutdown() can be called by onEvent", async () => {
  const server = startKeyServer({ port: 0, onEvent: () => server.shutdown() });
  using client = await Client.to(server);
  await server.finished;
  assertEquals(await client.read().catch(() => "reset"), "");
});

Deno.test("shutdown() waits for no client", async () => {
  const server = listen();
  const wires = ["", "KEY /user", KEY_REQUEST, `${KEY_REQUEST}KEY`, "no request\r\n\r\n"];
  const clients = [];
  for (const wire of wires) {
    const client = await Client.to(server);
    await client.send(wire);
    clients.push(client);
  }
  await server.event("answer", ({ status }) => status === 400);
  const start = performance.now();
  const ended = server.shutdown();
  await delay(50); // whoever is owed nothing is not waited for
  const closed = server.events.flatMap((event) =>
    event.type === "closed" ? [event.connection] : []
  );
  assertEquals(closed, [1, 2, 3, 4]);
  await ended;
  assertLess(performance.now() - start, 1000);
  const received = await Promise.all(clients.map((client) => client.read().catch(() => "reset")));
  assertEquals(received.slice(2).map(statusOf), [200, 200, 400]);
  assertEquals(server.events.filter(({ type }) => type === "closed").length, wires.length);
  for (const client of clients) client.close();
  await server.shutdown(); // is nothing new
  await server.finished;
});
