import {
  assert,
  assertEquals,
  assertGreater,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { startKeyServer } from "./server.ts";
import { delay, text } from "../testing/bytes.ts";
import {
  bodyOf,
  Client,
  CLOSING_REQUEST,
  concurrentTests,
  KEY_REQUEST,
  listen,
  statusOf,
  talk,
  withBothSockets,
} from "../testing/raw_client.ts";
// Deno's own sockets choose their address themselves, and cannot be reset.
import { connect, type Socket } from "node:net";

// ---- Bodies

const BODIES: [name: string, fields: string, body: string][] = [
  ["a length", "Content-Length: 12\r\n", "some\r\n\r\nbody"],
  ["chunks", "Transfer-Encoding: chunked\r\n", "5;a=b\r\nsome \r\n4\r\nbody\r\n0\r\nA: b\r\n\r\n"],
];

Deno.test.each(BODIES)(
  "startKeyServer() reads a body with %s, and goes on",
  async (_, fields, body) => {
    await using server = listen();
    using client = await Client.to(server);
    const request = KEY_REQUEST.replace("\r\n\r\n", `\r\n${fields}\r\n${body}`);
    await client.send(request + request);
    assertEquals(statusOf(await client.response()), 200);
    for (const byte of request + KEY_REQUEST) await client.send(byte);
    await server.event("request", (event) => text(event.bytes) === KEY_REQUEST);
    assertEquals(
      server.events.flatMap((event) => event.type === "answer" ? [event.status] : []),
      [200, 200, 200, 200],
    );
    assertEquals(server.remarks(), ["body-ignored", "body-ignored", "body-ignored"]);
  },
);

Deno.test("startKeyServer() asks for the body of who expects a 100, unless it refuses", async () => {
  await using server = listen();
  using client = await Client.to(server);
  const fields = "Content-Length: 4\r\nExpect: 100-continue\r\n";
  const head = KEY_REQUEST.replace("\r\n\r\n", `\r\n${fields}\r\n`);
  using refused = await Client.to(server);
  await refused.send(head.replace("/user/", "/nowhere/").replace("Host: a\r\n", ""));
  assertEquals(statusOf(await refused.read()), 404);
  server.events.length = 0;
  await client.send(head);
  assertEquals(await client.read(25), "HTTP/1.1 100 Continue\r\n\r\n");
  await client.send("bo");
  await client.send("dy");
  assertEquals(statusOf(await client.response()), 200);
  await client.send(`${head}body`); // which does not wait
  assertEquals(statusOf(await client.response()), 200);
  await client.send(head.replace("KEY", "POST"));
  const refusal = await client.read();
  assertEquals(statusOf(refusal), 405);
  assertStringIncludes(refusal, "\r\nConnection: close\r\n");
  assertEquals(server.remarks(), ["body-ignored", "body-ignored", "wrong-method"]);
  const statuses = server.events.flatMap((event) => event.type === "answer" ? [event.status] : []);
  assertEquals(statuses, [100, 200, 200, 405]);
});

Deno.test("startKeyServer() sends no 100 to a client of HTTP/1.0", async () => {
  await using server = listen();
  using client = await Client.to(server);
  await client.send("KEY /user/Ada/ HTTP/1.0\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
  await delay(20);
  await client.send("body");
  assertEquals(statusOf(await client.read()), 200);
});

Deno.test("startKeyServer() gives one answer to chunks that are too many, however they come", async () => {
  await using server = listen();
  const head = KEY_REQUEST.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (const end of ["", "0\r\n\r\n"]) {
    for (const pause of [0, 10]) {
      using client = await Client.to(server);
      await client.send(head);
      await delay(pause);
      await client.send(`3e8\r\n${"a".repeat(1000)}\r\n`.repeat(70) + end);
      const response = await client.read();
      assertEquals(response.match(/HTTP\/1\.1 .*/g), ["HTTP/1.1 400 Bad Request"]);
      assertStringIncludes(response, "\r\nConnection: close\r\n");
    }
  }
  assertEquals(server.remarks(), Array(4).fill("too-large"));
});

const ENDLESS: [name: string, start: string, more: string, message: string][] = [
  ["head", "KEY /user/Ada/ HTTP/1.1\r\n", "A: b\r\n", "larger than 65536 bytes"],
  ["line", "KEY /user/", "a", "larger than 65536 bytes"],
  ["empty lines", "", "\r\n", "larger than 65536 bytes"],
  [
    "chunks",
    KEY_REQUEST.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "1\r\na\r\n",
    "larger than 65536 bytes",
  ],
  [
    "body",
    KEY_REQUEST.replace("\r\n\r\n", "\r\nContent-Length: 99999999999\r\n\r\n"),
    "a",
    "larger than 65536 bytes",
  ],
];

Deno.test.each(ENDLESS)(
  "startKeyServer() ends a request without end: %s",
  async (_, start, more, message) => {
    await using server = listen();
    using client = await Client.to(server);
    const sending = client.send(start + more.repeat(500_000 / more.length)).catch(() => {});
    const response = await client.read();
    assertEquals(statusOf(response), 400);
    assertStringIncludes(bodyOf(response), message);
    await sending;
    assertEquals(statusOf(await talk(server, CLOSING_REQUEST)), 200);
  },
);

// ---- Who waits

const test = concurrentTests("startKeyServer() and who waits");

test("startKeyServer() closes an idle connection with a note", async () => {
  await using server = listen({ idleTimeout: 50 });
  const start = performance.now();
  const response = await talk(server, KEY_REQUEST); // which reads to the close
  assertGreater(performance.now() - start, 45);
  assertEquals(bodyOf(response).length, 128);
  const { remark } = await server.event("remark", ({ remark }) => remark.code === "idle");
  assertEquals(remark.severity, "note");
  assertEquals(remark.fact, "connection closed: no request for 0.05 s after the response");
  assertStringIncludes(remark.help, "stop after Content-Length (128 bytes)");
  assertEquals((await server.event("closed")).by, "server");
});

Deno.test("startKeyServer() reads what came while the process was busy before it looks at the clock", async () => {
  await using server = listen({ idleTimeout: 40 });
  using client = await Client.to(server);
  await server.event("connected");
  const sending = client.send(KEY_REQUEST);
  for (const end = performance.now() + 200; performance.now() < end;);
  await sending;
  assertEquals(statusOf(await client.response()), 200);
  assertEquals(server.remarks(), []);
});

test("startKeyServer() ignores line ends behind an answer, and refuses other bytes", async () => {
  await using server = listen({ idleTimeout: 200 });
  using client = await Client.to(server);
  await client.send(KEY_REQUEST);
  await client.response();
  await client.send("\r\n");
  await server.event("remark");
  await client.send(KEY_REQUEST);
  assertEquals(statusOf(await client.response()), 200);
  await client.send("hello");
  assertEquals(await client.read(), "");
  client.close();
  assertEquals(server.remarks(), ["extra-line-end", "bytes-behind"]);
  using idle = await Client.to(server);
  await idle.send(KEY_REQUEST);
  await idle.response();
  await delay(100);
  await idle.send("\r\n"); // does not keep it alive
  assertEquals(await idle.read(), "");
  assertEquals(server.remarks().slice(2), ["extra-line-end", "idle"]);
});

test("startKeyServer() takes a further request for one, however mistaken it is", async () => {
  await using server = listen();
  for (
    const line of [
      "PUT key/Ada/abc/ HTTP/1.1",
      "Key /user/Ada/ HTTP/1.1",
      "b'KEY /user/Ada/ HTTP/1.1",
    ]
  ) {
    for (const pause of [0, 10]) {
      using client = await Client.to(server);
      await client.send(
        KEY_REQUEST + (pause ? "" : `${line}\r\nHost: a\r\nConnection: close\r\n\r\n`),
      );
      await delay(pause);
      if (pause) await client.send(`${line}\r\nHost: a\r\nConnection: close\r\n\r\n`);
      assertMatch(await client.read(), /^HTTP\/1\.1 200 [^]*HTTP\/1\.1 40[05] /);
    }
  }
});

test("startKeyServer() tells of a request that comes too late", async () => {
  await using server = listen({ idleTimeout: 400 });
  for (const moment of ["at once", "after the response", "after the note"]) {
    server.events.length = 0;
    using client = await Client.to(server);
    if (moment === "at once") await client.send(`${CLOSING_REQUEST}${KEY_REQUEST}`);
    else {
      await client.send(moment === "after the note" ? KEY_REQUEST : CLOSING_REQUEST);
      if (moment === "after the note") {
        await server.event("remark", ({ remark }) => remark.code === "idle");
      } else await server.event("answer");
      await delay(5);
      await client.send(KEY_REQUEST);
    }
    const { bytes } = await server.event(
      "remark",
      ({ remark }) => remark.code === "late-request",
    );
    assertEquals(text(bytes), KEY_REQUEST);
    assertEquals((await client.read()).match(/HTTP/g)?.length, 1);
  }
});

test("startKeyServer() lets a kept connection idle for 2 s by default", async () => {
  await using server = listen();
  using client = await Client.to(server);
  await client.send(KEY_REQUEST);
  await client.response();
  await delay(500);
  await client.send(KEY_REQUEST);
  assertEquals(statusOf(await client.response()), 200);
  assertEquals(server.remarks(), []);
});

Deno.test("startKeyServer() notes a Host header with another port, written by hand", async () => {
  await using server = listen();
  await talk(server, CLOSING_REQUEST.replace("User-Agent: b\r\n", ""));
  const { remark } = await server.event("remark");
  assertEquals([remark.code, remark.fix], ["other-host", `Host: 127.0.0.1:${server.addr.port}`]);
});

const UNFINISHED: [name: string, wire: string, code: string, fact: string][] = [
  ["nothing", "", "nothing-sent", "no bytes received"],
  [
    "half a line",
    "KEY /user",
    "no-line-end",
    "no line ending after the last line (9 bytes received)",
  ],
  [
    "no empty line",
    "KEY /user/Ada/ HTTP/1.1\r\n",
    "no-empty-line",
    "no empty line after the headers (25 bytes received)",
  ],
  [
    "half a body",
    KEY_REQUEST.replace("\r\n\r\n", "\r\nContent-Length: 9\r\n\r\nhalf"),
    "body-incomplete",
    "received only 4 of 9 bytes of the body",
  ],
  [
    "half a chunk",
    KEY_REQUEST.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"),
    "chunks-incomplete",
    "no last chunk (7 bytes of body received)",
  ],
];

for (const [name, wire, code, fact] of UNFINISHED) {
  test(`startKeyServer() remarks on an unfinished request, and then answers it: ${name}`, async () => {
    await using server = listen({ idleTimeout: 40 });
    const start = performance.now();
    using client = await Client.to(server);
    await client.send(wire);
    const { remark, bytes } = await server.event("remark", ({ remark }) => remark.code === code);
    assertGreater(performance.now() - start, 39);
    assertEquals(text(bytes), wire);
    assertEquals(remark.fact, fact);
    const response = await client.read();
    const took = performance.now() - start;
    assert(took > 5 * 40 - 1 && took < 15 * 40, `${took} ms`);
    assertEquals([statusOf(response), bodyOf(response)], [400, `${fact}\nhelp: ${remark.help}`]);
    const types = server.events.map(({ type }) => type);
    assert(types.indexOf("remark") < types.indexOf("request"));
    const codes = server.remarks();
    assertEquals(new Set(codes).size, codes.length); // nothing is said twice
    assertEquals((await server.event("closed")).by, "server");
  });
}

for (const [name, wire, code, fact] of UNFINISHED) {
  test(`startKeyServer() answers who has ended its half of the connection at once: ${name}`, async () => {
    await using server = listen({ idleTimeout: 60_000 });
    using client = await Client.to(server);
    await client.send(wire);
    await client.conn.closeWrite();
    const response = await client.read();
    assertEquals(statusOf(response), 400);
    assertStringIncludes(bodyOf(response), `${fact}\nhelp: `);
    assertEquals(server.remarks()[0], code);
    assertEquals((await server.event("closed")).by, "client");
  });
}

test("startKeyServer() answers a whole request of who has ended its half", async () => {
  await using server = listen({ idleTimeout: 60_000 });
  using client = await Client.to(server);
  await client.send(KEY_REQUEST);
  await client.conn.closeWrite();
  assertEquals(statusOf(await client.read()), 200);
  assertEquals(server.remarks(), []);
});

test("startKeyServer() takes a request that is typed slowly", async () => {
  await using server = listen({ idleTimeout: 150 });
  using client = await Client.to(server);
  for (const line of KEY_REQUEST.split(/(?<=\n)/)) {
    await client.send(line);
    await delay(160);
  }
  assertEquals(statusOf(await client.response()), 200);
  assert(server.remarks().includes("no-empty-line"));
  assertGreater((await server.event("request")).reads, 2);
});

test("startKeyServer() remarks on a request that is unfinished after another remark", async () => {
  await using server = listen({ idleTimeout: 60 });
  using slow = await Client.to(server);
  await server.event("remark", ({ remark }) => remark.code === "nothing-sent");
  await slow.send("KEY /user");
  await server.event("remark", ({ remark }) => remark.code === "no-line-end");
  assertEquals(server.events.some(({ type }) => type === "answer"), false);
  using client = await Client.to(server);
  await client.send(KEY_REQUEST);
  await client.response();
  await client.send("\r\n");
  await client.send("PUT /key");
  await server.event("remark", ({ bytes }) => text(bytes) === "PUT /key");
  const statuses = server.events.flatMap((event) =>
    event.type === "answer" && event.connection === 2 ? [event.status] : []
  );
  assertEquals(statuses, [200]); // and not yet the 400
});

test("startKeyServer() ends a request that comes a byte at a time without end", async () => {
  await using server = listen({ idleTimeout: 5 });
  using client = await Client.to(server);
  const reading = client.read();
  let isAnswered = false;
  reading.finally(() => isAnswered = true);
  while (!isAnswered) {
    await client.send("a").catch(() => {});
    await delay(5);
  }
  assertEquals(statusOf(await reading), 400);
});

Deno.test("startKeyServer() gives up a client that does not read its answers", async () => {
  await using server = listen({ idleTimeout: 20, fault: "long-head" });
  const flood = KEY_REQUEST.repeat(10_000);
  const socket: Socket = connect({ port: server.addr.port, host: "127.0.0.1" });
  socket.pause();
  socket.on("error", () => {});
  socket.write(flood); // more answers than a connection has room for
  assertEquals((await server.event("closed")).by, "server");
  socket.resetAndDestroy(); // Deno 2.9.2 cannot break off a write, and keeps its socket until then
});

Deno.test("startKeyServer() does not destroy its answer with a reset", async () => {
  await using server = listen();
  for (let n = 0; n < 8; n++) {
    using client = await Client.to(server);
    const sending = client.send(`no request\r\n\r\n${"x".repeat(300_000)}`);
    await delay(5); // the answer is there, and much has come since that nobody asked for
    const response = await client.read();
    assertEquals(statusOf(response), 400);
    assertStringIncludes(bodyOf(response), "no version in the request line");
    await sending;
  }
});

Deno.test("startKeyServer() tells of a client that resets the connection", async () => {
  await using server = listen();
  const socket: Socket = connect({ port: server.addr.port, host: "127.0.0.1" });
  socket.write(KEY_REQUEST);
  await server.event("answer");
  socket.resetAndDestroy();
  assertEquals((await server.event("closed")).by, "client");
  assertEquals(server.remarks(), ["reset"]);
});

Deno.test("startKeyServer() tells of a client that was gone before its answer", async () => {
  await using server = listen({ fault: "long-head" });
  const socket: Socket = connect({ port: server.addr.port, host: "127.0.0.1" });
  socket.pause();
  socket.write(KEY_REQUEST.repeat(10_000)); // more answers than a connection has room for
  await server.event("answer");
  await delay(100);
  socket.resetAndDestroy();
  assertEquals((await server.event("closed")).by, "client");
  assertEquals(server.remarks(), ["gone"]);
});

test("startKeyServer() closes a connection that its client leaves open", async () => {
  await using server = listen({ idleTimeout: 100 });
  using client = await Client.to(server);
  await client.send(CLOSING_REQUEST);
  await client.read();
  const end = performance.now();
  await server.event("closed");
  const took = performance.now() - end;
  assert(took > 50 && took < 5 * 100, `${took} ms`);
  const { remark, bytes } = await server.event(
    "remark",
    ({ remark }) => remark.code === "still-open",
  );
  assertEquals(text(bytes), CLOSING_REQUEST);
  assertStringIncludes(remark.help, "if `recv()` returns `b''`");
});

Deno.test("startKeyServer() reads no more than a megabyte behind its last answer", async () => {
  await using server = listen({ idleTimeout: 60_000 });
  using client = await Client.to(server);
  await client.send("no request\r\n\r\n");
  const more = "x".repeat(100_000);
  let sent = 0;
  for (let isOpen = true; isOpen; sent += more.length) {
    isOpen = await client.send(more).then(() => true, () => false);
  }
  assertGreater(sent, 2 ** 20);
  assertEquals((await server.event("closed")).by, "server");
});

// ---- Who has hung up

const hangUpTest = concurrentTests("startKeyServer() and who has hung up");

/** A request of each kind: after its response the connection stays open, or the server closes it. */
const KINDS = [KEY_REQUEST, CLOSING_REQUEST, "KEY /user/Ada/ HTTP/1.0\r\nUser-Agent: a\r\n\r\n"];

hangUpTest("startKeyServer() tells of a client that closes before its response comes", async () => {
  for (const request of KINDS) {
    await withBothSockets(undefined, async (server) => {
      using client = await Client.to(server);
      await client.send(request);
      client.close();
      assertEquals((await server.event("closed")).by, "client");
      assertEquals(server.remarks(), ["reset"]);
      const { remark, bytes } = await server.event("remark");
      assertEquals(remark.fact, "your client closed the connection with data unread");
      assertEquals(text(bytes), request);
    });
  }
});

hangUpTest(
  "startKeyServer() tells of a client that closes when it has read a part of its response",
  async () => {
    for (const request of KINDS) {
      await withBothSockets(undefined, async (server) => {
        const socket: Socket = connect({ port: server.addr.port, host: "127.0.0.1" });
        socket.write(request);
        const { promise, resolve } = Promise.withResolvers<void>();
        socket.once("readable", resolve);
        await promise;
        socket.resetAndDestroy(); // as a close does if there is something unread
        await server.event("closed");
        assertEquals(server.remarks(), ["reset"]);
      });
    }
    await withBothSockets(undefined, async (server) => {
      using client = await Client.to(server);
      await client.send(KEY_REQUEST);
      await client.conn.read(new Uint8Array(100));
      client.close(); // half-closes first
      assertEquals((await server.event("closed")).by, "client");
      assertEquals(server.remarks(), ["reset"]);
    });
  },
);

hangUpTest(
  "startKeyServer() says nothing of a client that closes when it has read its response",
  async () => {
    for (const request of KINDS) {
      await withBothSockets(undefined, async (server) => {
        using client = await Client.to(server);
        await client.send(request);
        assertEquals(statusOf(await client.response()), 200);
        client.close();
        await server.event("closed");
        assertEquals(server.remarks(), []);
      });
    }
  },
);

hangUpTest(
  "startKeyServer() says nothing of a client that half-closes and reads its response",
  async () => {
    for (const request of KINDS) {
      for (const isLate of [false, true]) {
        await withBothSockets(undefined, async (server) => {
          using client = await Client.to(server);
          await client.send(request);
          const start = isLate ? await client.read(1) : "";
          await client.conn.closeWrite();
          assertEquals(bodyOf(start + await client.read()).length, 128);
          await server.event("closed");
          assertEquals(server.remarks(), []);
        });
      }
    }
  },
);

hangUpTest(
  "startKeyServer() tells of a client that closes after the PUT of a whole conversation",
  async () => {
    await withBothSockets(undefined, async (server) => {
      using client = await Client.to(server);
      await client.send(KEY_REQUEST);
      const put = `PUT /key/Ada/${
        bodyOf(await client.response())
      }/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n`;
      await client.send(put);
      client.close();
      await server.event("closed");
      assertEquals(server.remarks(), ["reset"]);
      assertEquals(text((await server.event("remark")).bytes), put);
    });
  },
);

hangUpTest("startKeyServer() says nothing of a client that closes without a request", async () => {
  await withBothSockets(undefined, async (server) => {
    using client = await Client.to(server);
    client.close();
    await server.event("closed");
    assertEquals(server.remarks(), ["nothing-sent"]);
  });
});

for (const fault of ["slow", "drip", "split", "interim"] as const) {
  const kinds = fault === "interim" ? KINDS.slice(0, 2) : KINDS; // HTTP/1.0 knows no 100
  hangUpTest(
    `startKeyServer() tells of a client that closes while its response is delayed: ${fault}`,
    async () => {
      for (const request of kinds) {
        for (const size of fault === "slow" ? [0] : [0, 1]) {
          await withBothSockets(fault, async (server) => {
            using client = await Client.to(server);
            await client.send(request);
            await server.event("answer");
            await client.read(size);
            client.close();
            assertEquals((await server.event("closed")).by, "client");
            const codes = server.remarks();
            assert(codes.length === 1 && /^(?:gone|reset)$/.test(codes[0]), `${codes}`);
          }, { delay: 60_000 });
        }
      }
    },
  );

  hangUpTest(
    `startKeyServer() delivers a delayed response to a client that half-closes: ${fault}`,
    async () => {
      for (const request of kinds) {
        await withBothSockets(fault, async (server) => {
          using client = await Client.to(server);
          await client.send(request);
          await server.event("answer");
          await client.conn.closeWrite();
          assertMatch(await client.read(), /\r\n\r\n[\da-f]{128}$/);
          assertEquals((await server.event("closed")).by, "client");
          assertEquals(server.remarks(), []);
        }, { delay: 60_000 });
      }
    },
  );
}

/** Calls this before the connections that the server accepts write no bytes. */
function onProbe(act: () => void): Disposable {
  const { listen } = Deno;
  Deno.listen = ((options: Deno.TcpListenOptions) => {
    const listener = listen(options);
    const accept = listener.accept.bind(listener);
    listener.accept = async () => {
      const conn = await accept();
      const write = conn.write.bind(conn);
      conn.write = async (bytes) => {
        if (bytes.length === 0) act();
        return await write(bytes);
      };
      return conn;
    };
    return listener;
  }) as typeof Deno.listen;
  return { [Symbol.dispose]: () => Deno.listen = listen };
}

Deno.test("startKeyServer() looks whether a client has hung up only if somebody is told", async () => {
  let count = 0;
  using _patched = onProbe(() => count++);
  for (const onEvent of [undefined, () => {}]) {
    await using server = startKeyServer({ port: 0, onEvent });
    await talk(server, CLOSING_REQUEST);
    assertEquals(count, onEvent ? 1 : 0);
  }
});

Deno.test("startKeyServer() looks twice, as a client may half-close just before it closes", async () => {
  let count = 0;
  using _patched = onProbe(() => {
    if (++count === 2) throw new Deno.errors.BrokenPipe();
  });
  await using server = listen();
  using client = await Client.to(server);
  await client.send(KEY_REQUEST);
  await client.response();
  client.close();
  assertEquals((await server.event("closed")).by, "client");
  assertEquals(server.remarks(), ["reset"]);
});
