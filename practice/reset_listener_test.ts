import {
  assertEquals,
  assertLess,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { KeyClient } from "../key_client.ts";
import { ResetListener } from "./reset_listener.ts";
import { type KeyServer, startKeyServer } from "./server.ts";
import { bytes, delay } from "../testing/bytes.ts";
import {
  capture,
  Client,
  CLOSING_REQUEST,
  concurrentTests,
  KEY_REQUEST,
  listen,
  type Listening,
  statusOf,
  SUCCESS,
  talk,
  withBothSockets,
} from "../testing/raw_client.ts";
// Deno's own sockets choose their address themselves, and cannot be reset.
import { connect } from "node:net";

const test = concurrentTests("startKeyServer() with connections of either kind");

test("startKeyServer() with the fault reset listens as one without does", async () => {
  await using server = startKeyServer({ port: 0, fault: "reset" });
  const { port } = server.addr;
  assertThrows(() => startKeyServer({ port, fault: "reset" }), Deno.errors.AddrInUse);
  await using six = startKeyServer({ hostname: "::1", port: 0, fault: "reset" });
  six.fault = undefined;
  await six.ready;
  using client = new KeyClient({ hostname: "::1", port: six.addr.port });
  assertEquals((await client.verifyKey(await client.requestKey())).message, SUCCESS);
  await using third = await startAgain();
  third.fault = "chunked";
  await third.ready;
  assertEquals(statusOf(await talk(third, CLOSING_REQUEST)), 200);
});

/** Starts a server on the port of one that has shut down. Another process may take the port first. */
async function startAgain(tries = 5): Promise<KeyServer> {
  await using server = startKeyServer({ port: 0, fault: "reset" });
  await server.shutdown();
  try {
    return startKeyServer({ port: server.addr.port, fault: "reset" });
  } catch (error) {
    if (tries === 1) throw error;
    return startAgain(tries - 1);
  }
}

test("startKeyServer() takes the fault reset at any time", async () => {
  await using server = listen();
  for (const fault of ["reset", undefined, "reset", "reset", "chunked"] as const) {
    server.fault = fault;
    await server.ready;
    const { end, wire } = await capture(server, CLOSING_REQUEST);
    assertEquals(end, fault === "reset" ? "ECONNRESET" : "end");
    assertEquals(wire === "", fault === "reset");
  }
});

test("startKeyServer() can connect a client again that has its response", async () => {
  const server: KeyServer = startKeyServer({
    port: 0,
    onEvent(event) {
      if (event.type === "answer") server.fault = event.fault === "reset" ? undefined : "reset";
    },
  });
  for (let n = 0; n < 20; n++) {
    const { end } = await capture(server, CLOSING_REQUEST);
    assertEquals(end, n % 2 === 0 ? "end" : "ECONNRESET");
  }
  await server.shutdown();
});

test("startKeyServer() closes a connection that it cannot reset, without a byte", async () => {
  await using server = listen();
  using client = await Client.to(server);
  await server.event("connected");
  using other = await Client.to(server);
  await server.event("connected", ({ connection }) => connection === 2);
  server.nextFault = "reset"; // for which connections of another kind are needed
  await client.send(KEY_REQUEST);
  assertMatch(await client.read(), /\r\nConnection: close\r\n\r\n[\da-f]{128}$/);
  server.fault = "reset";
  await other.send(KEY_REQUEST);
  assertEquals(await other.read(), "");
});

test("ResetListener refuses an address in use", async () => {
  await using server = startKeyServer({ port: 0 });
  assertThrows(() => new ResetListener(server.addr), Deno.errors.AddrInUse);
  const { addr, finished } = startKeyServer({ port: 0, signal: AbortSignal.abort() });
  await finished;
  const listener = new ResetListener(addr);
  listener.close();
  await assertRejects(() => listener.accept(), Deno.errors.Interrupted);
});

test("startKeyServer() tries to listen again until it can", async () => {
  await using server = startKeyServer({ port: 0, fault: "reset" });
  const { listen } = Deno;
  let failures = 30;
  Deno.listen = ((options: Deno.TcpListenOptions) => {
    const isOurs = options.port === server.addr.port;
    if (isOurs && failures-- > 0) throw new Error("Too many open files (os error 24)");
    return listen(options);
  }) as typeof Deno.listen;
  try {
    server.fault = "chunked";
    await server.ready;
  } finally {
    Deno.listen = listen;
  }
  assertEquals([failures, server.fault, server.nextFault], [-1, "chunked", undefined]);
  assertEquals(statusOf(await talk(server, CLOSING_REQUEST)), 200);
});

test("shutdown() ends a server that is about to listen anew", async () => {
  const server = startKeyServer({ port: 0 });
  server.fault = "reset";
  await server.shutdown();
  await server.ready;
  await using again = startKeyServer({ port: server.addr.port });
  assertEquals(again.addr, server.addr);
});

test("startKeyServer() with the fault reset accepts all who come at once", async () => {
  await using server = listen({ fault: "reset" });
  const captures = Array.from({ length: 30 }, () => capture(server, KEY_REQUEST));
  for (const { end } of await Promise.all(captures)) assertEquals(end, "ECONNRESET");
  assertEquals(server.events.filter(({ type }) => type === "answer").length, 30);
});

test("startKeyServer() with the fault reset serves others beside many idle connections", async () => {
  await using server = listen({ fault: "reset" });
  const idle: Client[] = [];
  for (let n = 0; n < 60; n++) idle.push(await Client.to(server));
  await delay(150);
  for (let n = 0; n < 60; n++) idle.push(await Client.to(server));
  await server.event("remark", ({ remark }) => remark.code === "crowded");
  assertEquals((await capture(server, KEY_REQUEST)).end, "ECONNRESET");
  for (const client of idle) client.close();
});

test("shutdown() waits for no fault, and delivers what is in flight", async () => {
  for (const fault of ["slow", "split", "drip"] as const) {
    const act = async (server: Listening) => {
      using client = await Client.to(server);
      await client.send(KEY_REQUEST);
      await server.event("answer");
      const reading = client.read();
      const ended = server.shutdown();
      assertMatch(await reading, /\r\n\r\n[\da-f]{128}$/, fault);
      client.close();
      await ended;
    };
    await withBothSockets(fault, act, { delay: 60_000 });
  }
});

test("startKeyServer() gives up on a client that goes within a faulty answer", async () => {
  for (const fault of ["split", "drip"] as const) {
    await withBothSockets(fault, async (server) => {
      const socket = connect(server.addr.port, "127.0.0.1");
      socket.write(bytes(KEY_REQUEST));
      await server.event("answer");
      socket.resetAndDestroy();
      assertEquals((await server.event("closed")).by, "client");
    });
  }
});

test("startKeyServer() says of a client that waits where what it gets has its end", async () => {
  for (
    const [fault, said] of [
      ["chunked", "stop after the last chunk, `0\\r\\n\\r\\n`, or send"],
      ["split", "stop after Content-Length (128 bytes), or send"],
    ] as const
  ) {
    await using server = listen({ idleTimeout: 20, fault });
    using client = await Client.to(server);
    await client.send(KEY_REQUEST);
    const { remark } = await server.event("remark", ({ remark }) => remark.code === "idle");
    assertStringIncludes(remark.help, said);
  }
});

test("startKeyServer() notices at once that nobody waits for a late answer", async () => {
  const act = async (server: Listening) => {
    const client = await Client.to(server);
    await client.send(KEY_REQUEST);
    await server.event("answer");
    client.close();
    assertEquals((await server.event("closed")).by, "client");
  };
  await withBothSockets("slow", act, { delay: 60_000 });
});

test("startKeyServer() hears what comes while it holds an answer back", async () => {
  await withBothSockets("split", async (server) => {
    using client = await Client.to(server);
    await client.send(KEY_REQUEST);
    await server.event("answer");
    await client.send(KEY_REQUEST.slice(0, 10));
    await delay(20);
    await client.send(KEY_REQUEST.slice(10) + CLOSING_REQUEST);
    assertEquals((await client.read()).match(/HTTP\/1\.1 200 OK/g)?.length, 3);
    assertEquals(server.remarks(), []);
  });
});

test("startKeyServer() holds nothing back from a client that has ended its half", async () => {
  const act = async (server: Listening) => {
    using client = await Client.to(server);
    await client.send(KEY_REQUEST);
    const { time } = await server.event("answer");
    await client.conn.closeWrite();
    assertMatch(await client.read(), /\r\n\r\n[\da-f]{128}$/);
    assertLess(Date.now() - time, 30_000);
  };
  await withBothSockets("slow", act, { delay: 60_000 });
});

test("startKeyServer() with a broken fault sees whether a client sees the end", async () => {
  await using server = listen({ idleTimeout: 20, fault: "truncate" });
  const client = await Client.to(server);
  await client.send(KEY_REQUEST);
  await client.read(); // to the end
  await delay(200);
  assertEquals(server.events.filter(({ type }) => type === "closed"), []);
  client.close();
  assertEquals((await server.event("closed")).by, "server"); // which was the first to end its half
  using other = await Client.to(server);
  await other.send(KEY_REQUEST);
  await other.read();
  server.fault = "split";
  await server.event("closed", ({ connection }) => connection === 2);
});

test("startKeyServer() with a fault reads large requests, and drains what is too large", async () => {
  await withBothSockets("chunked", async (server) => {
    const body = "x".repeat(60_000);
    const head = `KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nContent-Length: 60000\r\n`;
    assertEquals(statusOf(await talk(server, `${head}Connection: close\r\n\r\n${body}`)), 200);
    const endless = `KEY /user/${"a".repeat(200_000)}`;
    assertEquals(statusOf(await talk(server, endless)), 400);
  });
});

test("startKeyServer() notices on either kind of socket what a client does", async () => {
  await withBothSockets(undefined, async (server) => {
    using half = await Client.to(server);
    await half.send(CLOSING_REQUEST.slice(0, -2));
    await half.conn.closeWrite();
    assertEquals(statusOf(await half.read()), 400);
    using kept = await Client.to(server);
    for (let n = 0; n < 3; n++) {
      await kept.send(KEY_REQUEST + KEY_REQUEST);
      await kept.response();
    }
    kept.close();
    await server.event("closed", ({ connection, by }) => connection === 2 && by === "client");
    const socket = connect(server.addr.port, "127.0.0.1");
    socket.write(bytes(KEY_REQUEST));
    await server.event("answer", ({ connection }) => connection === 3);
    socket.resetAndDestroy();
    await server.event(
      "remark",
      ({ connection, remark }) => connection === 3 && remark.code === "reset",
    );
    await server.event("closed", ({ connection, by }) => connection === 3 && by === "client");
    using waiting = await Client.to(server);
    await server.event("connected", ({ connection }) => connection === 4);
    const reading = waiting.read();
    await server.shutdown();
    assertEquals(await reading, "");
  });
});
