import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertMatch,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { KeyClient } from "../key_client.ts";
import {
  type FaultName,
  FAULTS,
  type KeyServer,
  type KeyServerEvent,
  type KeyServerOptions,
  startKeyServer,
} from "./server.ts";
import { bytes, delay, FUZZ_ROUNDS, KEY, random, text } from "../testing/bytes.ts";
// Deno's own sockets choose their address themselves, and cannot be reset.
import { connect, type Socket } from "node:net";

const SUCCESS = "Success: the key is right";
const KEY_REQUEST = "KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\n\r\n";
const CLOSING_REQUEST = KEY_REQUEST.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");

// ---- A client without any manners

class Client implements Disposable {
  #isClosed = false;
  private constructor(readonly conn: Deno.TcpConn) {}

  static async to(server: { addr: Deno.NetAddr }): Promise<Client> {
    return new Client(await Deno.connect({ port: server.addr.port }));
  }

  async send(wire: string): Promise<void> {
    const data = bytes(wire);
    for (let sent = 0; sent < data.length;) sent += await this.conn.write(data.subarray(sent));
  }

  /** Reads until that many bytes have come, or the end. */
  async read(size = Infinity): Promise<string> {
    const buffer = new Uint8Array(65_536);
    let received = "";
    while (received.length < size) {
      const count = await this.conn.read(buffer);
      if (count === null) break;
      received += text(buffer.subarray(0, count));
    }
    return received;
  }

  /** Reads one response with a length. */
  async response(): Promise<string> {
    let received = "";
    for (;;) {
      const [head, body] = received.split("\r\n\r\n");
      const length = /Content-Length: (\d+)/.exec(head)?.[1];
      if (body !== undefined && body.length >= Number(length)) return received;
      const more = await this.read(1);
      if (more === "") return received;
      received += more;
    }
  }

  close(): void {
    if (!this.#isClosed) this.conn.close();
    this.#isClosed = true;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Sends this over a connection of its own, and gives all that comes back, up to the close. */
async function talk(server: { addr: Deno.NetAddr }, wire: string): Promise<string> {
  using client = await Client.to(server);
  await client.send(wire);
  return await client.read();
}

function statusOf(response: string): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(response)?.[1]);
}

function bodyOf(response: string): string {
  return response.slice(response.indexOf("\r\n\r\n") + 4);
}

/** A server whose events are kept. */
function listen(options: KeyServerOptions = {}) {
  const events: KeyServerEvent[] = [];
  const waiting = new Set<() => void>();
  const server = startKeyServer({
    port: 0,
    ...options,
    onEvent(event) {
      events.push(event);
      for (const look of waiting) look();
    },
  });
  return Object.assign(server, {
    events,
    /** Resolves with the first event of that type for which it is true. */
    async event<T extends KeyServerEvent["type"]>(
      type: T,
      passes: (event: Extract<KeyServerEvent, { type: T }>) => boolean = () => true,
    ): Promise<Extract<KeyServerEvent, { type: T }>> {
      for (;;) {
        const event = events.find((event): event is Extract<KeyServerEvent, { type: T }> =>
          event.type === type && passes(event as Extract<KeyServerEvent, { type: T }>)
        );
        if (event) return event;
        await new Promise<void>((resolve) => {
          const look = () => {
            waiting.delete(look);
            resolve();
          };
          waiting.add(look);
        });
      }
    },
    remarks(): string[] {
      return events.flatMap((event) => event.type === "remark" ? event.remark.code : []);
    },
  });
}

// ---- Keys

Deno.test("startKeyServer() issues a new key of 128 hex digits with each request", async () => {
  await using server = listen();
  const keys = new Set<string>();
  for (let n = 0; n < 10; n++) {
    const response = await talk(server, CLOSING_REQUEST);
    assertMatch(
      response,
      /^HTTP\/1\.1 200 OK\r\nContent-Type: text\/plain; charset=utf-8\r\nContent-Length: 128\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\nConnection: close\r\n\r\n[\da-f]{128}$/,
    );
    keys.add(bodyOf(response));
  }
  assertEquals(keys.size, 10);
  assertEquals(server.remarks(), []);
});

Deno.test("startKeyServer() accepts the key last issued to a user, and no other", async () => {
  await using server = startKeyServer({ port: 0 });
  const { port } = server.addr;
  using ada = new KeyClient({ port, userId: "Ada" });
  using bob = new KeyClient({ port, userId: "Bob" });
  const none = await ada.verifyKey(KEY);
  assertEquals(none.status, 404);
  assertStringIncludes(
    none.message,
    "no key was issued to the user `Ada` at this address: send KEY",
  );
  const first = await ada.requestKey();
  const wrong = await ada.verifyKey(KEY);
  assertEquals(wrong.status, 400);
  assertStringIncludes(wrong.message, "the key is wrong: 128 digits, but not those");
  for (const isKnown of [false, true]) {
    if (isKnown) await bob.requestKey();
    const other = await bob.verifyKey(first);
    assertEquals(other.status, 400);
    assertStringIncludes(other.message, "this key was issued to the user `Ada`, not to `Bob`");
  }
  assertEquals((await ada.verifyKey(first)).status, 200);
  assertEquals((await ada.verifyKey(first)).status, 200); // PUT is idempotent
  const upper = await ada.verifyKey(text(first).toUpperCase());
  assertEquals(upper.status, 400);
  assertStringIncludes(upper.message, "right but for capitals and small letters");
  const second = await ada.requestKey();
  const old = await ada.verifyKey(first);
  assertEquals(old.status, 400);
  assertStringIncludes(old.message, "this key is an old one: KEY was sent again since");
  assertEquals(await ada.verifyKey(second), { status: 200, ok: true, message: SUCCESS });
});

Deno.test("startKeyServer() tells which part of the key came back", async () => {
  await using server = startKeyServer({ port: 0 });
  using client = new KeyClient({ port: server.addr.port });
  const other = KEY.slice(0, 63);
  assertStringIncludes((await client.verifyKey(other)).message, "63 of 128 digits: `recv()`");
  const key = text(await client.requestKey());
  for (
    const [part, message] of [
      [
        key.slice(0, 127),
        "the first 127 of the 128 digits: a slice cut the last one off, as `[:-1]`",
      ],
      [key.slice(0, 63), "the first 63 of the 128 digits: `recv()` returned before everything"],
      [key.slice(1), "the last 127 of the 128 digits: the beginning was cut off"],
      [other, "63 of 128 digits, and not those that were issued to the user `User1`"],
    ]
  ) {
    const response = await client.verifyKey(part);
    assertEquals(response.status, 400);
    assertStringIncludes(response.message, message);
  }
});

Deno.test("startKeyServer() keeps users of one name at two addresses apart", async () => {
  await using server = listen();
  const from = (localAddress: string, wire: string) =>
    new Promise<string>((resolve, reject) => {
      const { port } = server.addr;
      const socket: Socket = connect({ port, host: "127.0.0.1", localAddress }, () => {
        socket.write(wire);
      });
      let received = "";
      socket.on("data", (data: Uint8Array) => received += text(data));
      socket.on("close", () => resolve(received));
      socket.on("error", reject);
    });
  const put = (key: string) =>
    `PUT /key/Ada/${key}/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
  const here = bodyOf(await from("127.0.0.2", CLOSING_REQUEST));
  const there = bodyOf(await from("127.0.0.3", CLOSING_REQUEST));
  assertStringIncludes(await from("127.0.0.2", put(here)), SUCCESS);
  assertStringIncludes(await from("127.0.0.3", put(there)), SUCCESS);
  const stolen = await from("127.0.0.3", put(here));
  assertStringIncludes(stolen, "this key was issued to `Ada` at another address");
  assertStringIncludes(await from("127.0.0.4", put(KEY)), "no key was issued to the user `Ada`");
});

Deno.test("startKeyServer() takes user ids that need percent-encoding", async () => {
  await using server = listen();
  for (const userId of ["a/b", "é€😀", "%", "\0\r\nx", "x".repeat(256), "C++", "a b"]) {
    using client = new KeyClient({ port: server.addr.port, userId });
    assertEquals((await client.verifyKey(await client.requestKey())).status, 200);
    const { userId: told } = server.events.findLast((event) => event.type === "answer")!;
    assertEquals(told, userId);
  }
  assertEquals(server.remarks(), []);
});

Deno.test("startKeyServer() forgets the users that were issued a key longest ago", async () => {
  await using server = startKeyServer({ port: 0 });
  const { port } = server.addr;
  const issue = async (userId: string) => {
    using client = new KeyClient({ port, userId });
    return await client.requestKey();
  };
  const statusOf = async (userId: string, key: Uint8Array) => {
    using client = new KeyClient({ port, userId });
    return (await client.verifyKey(key)).status;
  };
  const old = await issue("old");
  await issue("renewed");
  using client = await Client.to(server);
  for (let n = 0; n < 9_998; n++) {
    await client.send(`KEY /user/${n}/ HTTP/1.1\r\nHost: a\r\n\r\n`);
    await client.read(1);
  }
  assertEquals(await statusOf("old", old), 200);
  const renewed = await issue("renewed");
  await issue("one more");
  await issue("and another");
  assertEquals(await statusOf("old", old), 404);
  assertEquals(await statusOf("renewed", renewed), 200);
});

// ---- Answers

const ANSWERS: [line: string, status: number, message: string, allow: string][] = [
  ["KEY /user/Ada/", 400, "the version is missing", ""],
  ["KEY /user/Ada L/ HTTP/1.1", 400, "there is a space in the path: write it as `%20`", ""],
  ["KEY user/Ada/ HTTP/1.1", 400, "the path begins without a slash", ""],
  ["KEY /user/<user_id>/ HTTP/1.1", 400, "the placeholder `<user_id>` was left as it is", ""],
  ["KEY /user// HTTP/1.1", 400, "the user id is empty", ""],
  [`KEY /user/${"a".repeat(257)}/ HTTP/1.1`, 400, "the user id is longer than 256 bytes", ""],
  ["KEY /user/%zz/ HTTP/1.1", 400, "`%zz` is no percent-encoding", ""],
  ["KEY /user/%ff/ HTTP/1.1", 400, "the user id is not UTF-8", ""],
  ["PUT /key/Ada// HTTP/1.1", 400, "the key is empty", ""],
  [`PUT /key/Ada/${KEY.slice(9)}/ HTTP/1.1`, 400, "119 of 128 digits", ""],
  [`PUT /key/Ada/b'${KEY}'/ HTTP/1.1`, 400, "use `key.decode()`", ""],
  [`PUT /key/Ada/${KEY}/ HTTP/1.1`, 404, "no key was issued to the user `Ada`", ""],
  ["KEY / HTTP/1.1", 404, "there is no such path", ""],
  ["KEY /user/Ada HTTP/1.1", 404, "the path does not end in a slash", ""],
  ["GET /user/Ada/ HTTP/1.1", 405, "this path takes `KEY`", "KEY"],
  ["key /user/Ada/ HTTP/1.1", 405, "it is `KEY`, in capitals", "KEY"],
  [`DELETE /key/Ada/${KEY}/ HTTP/1.1`, 405, "this path takes the method `PUT`", "PUT"],
];

Deno.test.each(ANSWERS)("startKeyServer() answers %s", async (line, status, message, allow) => {
  await using server = listen();
  const response = await talk(server, `${line}\r\nHost: a\r\nConnection: close\r\n\r\n`);
  assertEquals(statusOf(response), status);
  assertStringIncludes(bodyOf(response), message);
  assertEquals(/\r\nAllow: (.*)\r\n/.exec(response)?.[1] ?? "", allow);
  const { remark } = await server.event("remark");
  assertEquals([remark.status, remark.message], [status, bodyOf(response)]);
});

Deno.test("startKeyServer() keeps the connection after an answer to a sound request", async () => {
  await using server = listen();
  using client = await Client.to(server);
  for (const line of ["KEY /user/Ada/", "GET /user/Ada/", "KEY /nowhere/", "PUT /key/Ada/x/"]) {
    await client.send(`${line} HTTP/1.1\r\nHost: a\r\n\r\n`);
    assertEquals((await client.response()).includes("\r\nConnection:"), false);
  }
  await client.send("KEY /user/Ada/ http/1.1\r\nHost: a\r\n\r\n"); // whatever that is
  assertStringIncludes(await client.read(), "\r\nConnection: close\r\n");
  assertEquals(server.events.filter(({ type }) => type === "connected").length, 1);
});

Deno.test("startKeyServer() answers pipelined requests in order", async () => {
  await using server = listen();
  using client = await Client.to(server);
  const users = Array.from({ length: 300 }, (_, n) => `user${n}`);
  const requests = users.map((user) => `GET /user/${user}/ HTTP/1.1\r\nHost: a\r\n\r\n`);
  await client.send(requests.join("") + CLOSING_REQUEST);
  const answers = (await client.read()).split(/(?=HTTP\/1\.1 )/);
  assertEquals(answers.map(statusOf), [...users.map(() => 405), 200]);
  const told = server.events.flatMap((event) => event.type === "answer" ? [event.userId] : []);
  assertEquals(told.slice(-1), ["Ada"]);
  assertEquals(
    server.events.filter((event) => event.type === "request").map((event) => text(event.bytes)),
    [...requests, CLOSING_REQUEST],
  );
});

Deno.test("startKeyServer() tells in how many pieces each request came", async () => {
  await using server = listen();
  using client = await Client.to(server);
  for (const piece of [KEY_REQUEST + KEY_REQUEST.slice(0, 9), KEY_REQUEST.slice(9), KEY_REQUEST]) {
    await client.send(piece);
    await client.read(1);
    await delay(10);
  }
  const full = KEY_REQUEST.replace("/Ada/", `/${"a".repeat(256)}/`);
  await client.send(full.replace("Host: a", `Host: a\r\nB: ${"b".repeat(1019 - full.length)}`));
  await client.response(); // of 1024 bytes, for which there was just enough room
  await client.send(KEY_REQUEST);
  await client.response();
  const long = KEY_REQUEST.replace("\r\n\r\n", `\r\nA: ${"a".repeat(20_000)}\r\n\r\n`);
  await client.send(long); // comes at once, however often the server has to make room for it
  await client.response();
  const reads = server.events.flatMap((event) => event.type === "request" ? [event.reads] : []);
  assertEquals(reads, [1, 2, 1, 1, 1, 1]);
});

Deno.test("startKeyServer() speaks HTTP/1.0", async () => {
  await using server = listen();
  assertStringIncludes(await talk(server, "KEY /user/Ada/ HTTP/1.0\r\n\r\n"), " 200 OK\r\n");
  using client = await Client.to(server);
  for (let n = 0; n < 2; n++) {
    await client.send("KEY /user/Ada/ HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    assertStringIncludes(await client.response(), "\r\nConnection: keep-alive\r\n");
  }
  assertEquals(server.remarks(), []);
});

Deno.test("startKeyServer() takes the path from the target, whatever Host says", async () => {
  await using server = listen();
  const absolute =
    `KEY http://example.com:1/user/Ada/ HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n`;
  assertEquals(statusOf(await talk(server, absolute)), 200);
  assertEquals(server.remarks(), []);
  const odd = CLOSING_REQUEST.replace("Host: a", "Host: http://127.0.0.1:5000/other/");
  assertEquals(statusOf(await talk(server, odd)), 200);
  assertEquals(server.remarks(), ["host-scheme"]);
});

Deno.test("startKeyServer() answers HEAD without a body", async () => {
  await using server = listen();
  const response = await talk(server, CLOSING_REQUEST.replace("KEY", "HEAD"));
  assertMatch(response, /^HTTP\/1\.1 405 [^]*\r\nContent-Length: [1-9]\d+\r\n[^]*\r\n\r\n$/);
});

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

Deno.test("startKeyServer() closes an idle connection with a note", async () => {
  await using server = listen({ idleTimeout: 50 });
  const start = performance.now();
  const response = await talk(server, KEY_REQUEST); // which reads to the close
  assertGreater(performance.now() - start, 45);
  assertEquals(bodyOf(response).length, 128);
  const { remark } = await server.event("remark");
  assertEquals([remark.code, remark.severity], ["idle", "note"]);
  assertStringIncludes(remark.message, "idle for 0.05 s after the whole answer, so closed");
  assertStringIncludes(remark.message, "128 bytes of body");
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

Deno.test("startKeyServer() ignores line ends behind an answer, and refuses other bytes", async () => {
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

Deno.test("startKeyServer() takes a further request for one, however mistaken it is", async () => {
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

Deno.test("startKeyServer() tells of a request that comes too late", async () => {
  await using server = listen({ idleTimeout: 50 });
  for (const [first, pause] of [[CLOSING_REQUEST, 0], [CLOSING_REQUEST, 20], [KEY_REQUEST, 80]]) {
    server.events.length = 0;
    using client = await Client.to(server);
    if (pause === 0) await client.send(`${first}${KEY_REQUEST}`);
    else {
      await client.send(`${first}`);
      await delay(Number(pause));
      await client.send(KEY_REQUEST);
    }
    const { remark, bytes } = await server.event("remark", ({ remark }) => remark.code !== "idle");
    assertEquals([remark.code, text(bytes)], ["late-request", KEY_REQUEST]);
    assertEquals((await client.read()).match(/HTTP/g)?.length, 1);
  }
});

Deno.test("startKeyServer() lets a kept connection idle for 2 s by default", async () => {
  await using server = listen();
  using client = await Client.to(server);
  await client.send(KEY_REQUEST);
  await client.response();
  await delay(1000);
  await client.send(KEY_REQUEST);
  assertEquals(statusOf(await client.response()), 200);
  assertEquals(server.remarks(), []);
});

const UNFINISHED: [name: string, wire: string, code: string, message: string][] = [
  ["nothing", "", "nothing-sent", "the client connected and sent no byte"],
  ["half a line", "KEY /user", "no-line-end", "9 bytes, and the last line has no end"],
  [
    "no empty line",
    "KEY /user/Ada/ HTTP/1.1\r\n",
    "no-empty-line",
    "25 bytes, and no empty line",
  ],
  [
    "half a body",
    KEY_REQUEST.replace("\r\n\r\n", "\r\nContent-Length: 9\r\n\r\nhalf"),
    "body-incomplete",
    "Content-Length says 9 and 4 bytes of body came",
  ],
  [
    "half a chunk",
    KEY_REQUEST.replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"),
    "chunks-incomplete",
    "there is no last chunk",
  ],
];

Deno.test.each(UNFINISHED)(
  "startKeyServer() remarks on an unfinished request, and then answers it: %s",
  async (_, wire, code, message) => {
    await using server = listen({ idleTimeout: 30 });
    const start = performance.now();
    using client = await Client.to(server);
    await client.send(wire);
    const { remark, bytes } = await server.event("remark");
    const early = performance.now() - start;
    assertGreater(early, 25);
    assertEquals(server.events.some(({ type }) => type === "answer"), false);
    assertEquals([remark.code, text(bytes)], [code, wire]);
    assertStringIncludes(remark.message, message);
    const response = await client.read();
    assertGreater(performance.now() - start, 15 * 30 - 5);
    assertEquals([statusOf(response), bodyOf(response)], [400, remark.message]);
    const codes = server.remarks();
    assertEquals(new Set(codes).size, codes.length); // nothing is said twice
    assertEquals((await server.event("closed")).by, "server");
  },
);

Deno.test.each(UNFINISHED)(
  "startKeyServer() answers who has ended its half of the connection at once: %s",
  async (_, wire, code, message) => {
    await using server = listen({ idleTimeout: 60_000 });
    using client = await Client.to(server);
    await client.send(wire);
    await client.conn.closeWrite();
    const response = await client.read();
    assertEquals(statusOf(response), 400);
    assertStringIncludes(bodyOf(response), message);
    assertEquals(server.remarks()[0], code);
    assertEquals((await server.event("closed")).by, "client");
  },
);

Deno.test("startKeyServer() answers a whole request of who has ended its half", async () => {
  await using server = listen({ idleTimeout: 60_000 });
  using client = await Client.to(server);
  await client.send(KEY_REQUEST);
  await client.conn.closeWrite();
  assertEquals(statusOf(await client.read()), 200);
  assertEquals(server.remarks(), []);
});

Deno.test("startKeyServer() takes a request that is typed slowly", async () => {
  await using server = listen({ idleTimeout: 40 });
  using client = await Client.to(server);
  for (const line of KEY_REQUEST.split(/(?<=\n)/)) {
    await client.send(line);
    await delay(60);
  }
  assertEquals(statusOf(await client.response()), 200);
  assertEquals(server.remarks()[0], "no-empty-line");
  assertGreater((await server.event("request")).reads, 2);
});

Deno.test("startKeyServer() remarks on a request that is unfinished after another remark", async () => {
  await using server = listen({ idleTimeout: 30 });
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

Deno.test("startKeyServer() ends a request that comes a byte at a time for ever", async () => {
  await using server = listen({ idleTimeout: 20 });
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
  await using server = listen({ idleTimeout: 20 });
  const flood = KEY_REQUEST.repeat(200_000);
  const socket: Socket = connect({ port: server.addr.port, host: "127.0.0.1" });
  socket.pause();
  socket.on("error", () => {});
  socket.write(flood); // more answers than a connection has room for
  assertEquals((await server.event("closed")).by, "server");
  socket.resetAndDestroy(); // Deno 2.9.2 cannot break off a write, and keeps its socket until then
});

Deno.test("startKeyServer() does not destroy its answer with a reset", async () => {
  await using server = listen();
  for (let n = 0; n < 20; n++) {
    using client = await Client.to(server);
    const sending = client.send(`no request\r\n\r\n${"x".repeat(300_000)}`);
    await delay(5); // the answer is there, and much has come since that nobody asked for
    const response = await client.read();
    assertEquals(statusOf(response), 400);
    assertStringIncludes(bodyOf(response), "the version is missing");
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
  await using server = listen();
  const socket: Socket = connect({ port: server.addr.port, host: "127.0.0.1" });
  socket.pause();
  socket.write(KEY_REQUEST.repeat(200_000)); // more answers than a connection has room for
  await server.event("answer");
  await delay(200);
  socket.resetAndDestroy();
  assertEquals((await server.event("closed")).by, "client");
  assertEquals(server.remarks(), ["gone"]);
});

Deno.test("startKeyServer() closes a connection that its client leaves open", async () => {
  await using server = listen({ idleTimeout: 30 });
  using client = await Client.to(server);
  await client.send(CLOSING_REQUEST);
  await client.read();
  const end = performance.now();
  await server.event("closed");
  const took = performance.now() - end;
  assert(took > 25 && took < 15 * 30, `${took} ms`);
  const { remark, bytes } = await server.event("remark");
  assertEquals([remark.code, text(bytes)], ["still-open", CLOSING_REQUEST]);
  assertStringIncludes(remark.message, "`recv()` gives b'' when there is no more");
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
  const remark = { severity: "error", status: 400, message, start: 14, end: 15 } as const;
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
    remark: { code: "key-not-hex", ...remark },
  } as unknown);
  const answer = {
    status: 400,
    message,
    bytes: bytes(response),
    request: bytes(request),
    error: { code: "key-not-hex", ...remark },
  } as const;
  assertEquals(events[4], { type: "answer", ...answer, ...common });
  assertEquals(events[5], { type: "closed", connection: 1, by: "client" });
});

Deno.test("startKeyServer() serves on, whatever onEvent throws", async () => {
  let isRejecting = false;
  await using server = startKeyServer({
    port: 0,
    onEvent() {
      if (isRejecting) return Promise.reject(new Error("nor is this"));
      throw new Error("not the client's problem");
    },
  });
  assertEquals(statusOf(await talk(server, CLOSING_REQUEST)), 200);
  isRejecting = true;
  assertEquals(statusOf(await talk(server, CLOSING_REQUEST)), 200);
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
  assert(await Deno.connect({ port: server.addr.port }).then(() => false, () => true));
});

Deno.test("startKeyServer() ends at once by a signal that is aborted", async () => {
  await startKeyServer({ port: 0, signal: AbortSignal.abort() }).finished;
});

Deno.test("startKeyServer() refuses a port in use and a time that is none", async () => {
  await using server = startKeyServer({ port: 0 });
  const { port } = server.addr;
  assertThrows(() => startKeyServer({ port }), Deno.errors.AddrInUse);
  for (const idleTimeout of [0, -1, NaN]) {
    assertThrows(() => startKeyServer({ port: 0, idleTimeout }), RangeError, "idleTimeout");
  }
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

// ---- Faults

const NAMES = Object.keys(FAULTS) as FaultName[];

interface Capture {
  chunks: string[];
  /** When the first came, as of `Date.now()`. */
  time: number;
  /** All of them. */
  wire: string;
  /** How the server ended the connection: not, by its proper end, or by an error. */
  end: "open" | "end" | string;
}

/** Sends this, and gives what comes back until the connection ends, or until so much has come. */
async function capture(server: KeyServer, wire: string, size = Infinity): Promise<Capture> {
  const socket = connect(server.addr.port, "127.0.0.1");
  socket.setNoDelay();
  const chunks: string[] = [];
  const { promise, resolve } = Promise.withResolvers<string>();
  let count = 0;
  let time = 0;
  socket.on("data", (data: Uint8Array) => {
    time ||= Date.now();
    chunks.push(text(data));
    count += data.length;
    if (count >= size) resolve("open");
  });
  socket.on("end", () => resolve("end"));
  socket.on("error", (error: Error & { code?: string }) => resolve(error.code ?? "error"));
  socket.write(bytes(wire));
  const end = await promise;
  const closed = new Promise((resolve) => socket.on("close", resolve));
  socket.destroy();
  await closed;
  return { chunks, time, wire: chunks.join(""), end };
}

const HEAD = "HTTP/1\\.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n";
const DATE = "Date: [^\r\n]*\r\n";
const NO_KEY = "No key here, though this text has 128 characters, as a key has, and a 200 in it: ";

/** What a KEY gets back under each fault, and how its connection ends. */
const FAULT_WIRES: Record<
  Exclude<FaultName, "silent">,
  [wire: RegExp, end: string, status: number]
> = {
  "slow": [RegExp(`^${HEAD}Content-Length: 128\r\n${DATE}\r\n[\\da-f]{128}$`), "end", 200],
  "drip": [RegExp(`^${HEAD}Content-Length: 128\r\n${DATE}\r\n[\\da-f]{128}$`), "end", 200],
  "split": [
    RegExp(`^${HEAD}Content-Length: 128\r\n${DATE}Cache-Control: no-store\r\n\r\n[\\da-f]{128}$`),
    "end",
    200,
  ],
  "chunked": [
    RegExp(
      `^${HEAD}Transfer-Encoding: chunked\r\n${DATE}\r\n` +
        "3c\r\n[\\da-f]{60}\r\n3c\r\n[\\da-f]{60}\r\n8\r\n[\\da-f]{8}\r\n0\r\n\r\n$",
    ),
    "end",
    200,
  ],
  "no-length": [RegExp(`^${HEAD}${DATE}Connection: close\r\n\r\n[\\da-f]{128}$`), "end", 200],
  "keep-open": [
    /^HTTP\/1\.1 200 OK\r\ncontent-type: [^\r]*\r\ncontent-length: 128\r\ndate: [^\r]*\r\n\r\n[\da-f]{128}$/,
    "open",
    200,
  ],
  "interim": [
    RegExp(
      `^HTTP/1.1 100 Continue\r\n\r\n${HEAD}Content-Length: 128\r\n${DATE}\r\n[\\da-f]{128}$`,
    ),
    "end",
    200,
  ],
  "long-head": [
    RegExp(
      `^${HEAD}Content-Length: 128\r\n${DATE}(?:X-Padding-\\d\\d: x{240}\r\n){32}\r\n[\\da-f]{128}$`,
    ),
    "end",
    200,
  ],
  "status-400": [RegExp(`^HTTP/1.1 400 Bad Request\r\n.*\r\n${NO_KEY}.{47}$`, "s"), "end", 400],
  "status-404": [RegExp(`^HTTP/1.1 404 Not Found\r\n.*\r\n${NO_KEY}.{47}$`, "s"), "end", 404],
  "status-405": [
    RegExp(`^HTTP/1.1 405 Method Not Allowed\r\n.*\r\nAllow: GET\r\n\r\n${NO_KEY}.{47}$`, "s"),
    "end",
    405,
  ],
  "status-500": [
    /^HTTP\/1\.1 500 Internal Server Error\r\n.*\r\n\r\n[\da-f]{128}$/s,
    "end",
    500,
  ],
  "redirect": [
    RegExp(
      `^HTTP/1.1 308 Permanent Redirect\r\n.*\r\nLocation: /moved/\r\n\r\n${NO_KEY}.{47}$`,
      "s",
    ),
    "end",
    308,
  ],
  "empty": [/^$/, "end", 0],
  "truncate": [RegExp(`^${HEAD}Content-Length: 128\r\n${DATE}\r\n[\\da-f]{64}$`), "end", 200],
  "reset": [/^$/, "ECONNRESET", 0],
  "garbage": [/^[!-\/:-@[-`{-~]{128}\r\n\r\n[!-\/:-@[-`{-~]{128}$/, "end", 0],
  "short-key": [RegExp(`^${HEAD}Content-Length: 127\r\n${DATE}\r\n[\\da-f]{127}$`), "end", 200],
  "not-a-key": [
    /^HTTP\/1\.1 200 OK\r\nContent-Type: text\/html; charset=utf-8\r\nContent-Length: 128\r\n.*\r\n\r\n<!doctype html>.*<\/html>$/s,
    "end",
    200,
  ],
};

for (const [fault, [pattern, end, status]] of Object.entries(FAULT_WIRES)) {
  Deno.test(`startKeyServer() with the fault ${fault} does exactly that on the wire`, async () => {
    await using server = listen({ idleTimeout: 50, fault: fault as FaultName });
    const response = await capture(server, KEY_REQUEST, end === "open" ? 246 : Infinity);
    assertMatch(response.wire, pattern);
    assertEquals(response.end, end);
    const answer = await server.event("answer");
    assertEquals([answer.status, answer.fault, answer.error], [status, fault, undefined]);
    assertEquals(answer.message === "", status === 0);
    assertEquals(text(answer.bytes), response.wire);
    if (fault === "slow") assertGreater(response.time - answer.time, 1900); // two clocks may differ
    else if (fault === "split" || fault === "interim") {
      assertEquals(response.chunks.length, 2);
      assertMatch(response.chunks[0], /\r\n\r\n$/);
    } else if (fault === "drip") { // a test that is put to sleep reads two bytes at once
      assertGreater(response.chunks.filter((chunk) => chunk.length === 1).length, 230);
    }
  });
}

Deno.test("startKeyServer() knows the faults in the order of the drill, in words that fit a line", () => {
  assertEquals(NAMES.filter((name) => name !== "silent"), Object.keys(FAULT_WIRES));
  for (const [at, name] of NAMES.entries()) {
    const { isBroken, description, good, help } = FAULTS[name];
    assertEquals(isBroken, at >= 8, name);
    assert(description.length > 0 && description.length <= 60, name);
    assert(good.length > 0 && good.length <= 50, name);
    assertGreater(help.length, 40, name);
  }
});

Deno.test("startKeyServer() with the fault keep-open never closes first", async () => {
  await using server = listen({ idleTimeout: 20, fault: "keep-open" });
  using client = await Client.to(server);
  await client.send(KEY_REQUEST);
  const key = bodyOf(await client.read(246));
  await delay(200);
  assertEquals(server.remarks(), ["kept-open"]); // once
  const { remark } = await server.event("remark");
  assertStringIncludes(remark.message, "stop reading after Content-Length, 128 bytes of body");
  await client.send(`PUT /key/Ada/${key}/ HTTP/1.1\r\nHost: a\r\n\r\n`);
  assertEquals(bodyOf(await client.read(1)), SUCCESS);
  assertEquals(server.events.filter(({ type }) => type === "closed"), []);
  server.fault = "split"; // which holds nothing open
  assertEquals(await client.read(), "");
  server.fault = "keep-open";
  assertMatch(await talk(server, CLOSING_REQUEST), /connection: close\r\n\r\n[\da-f]{128}$/);
});

Deno.test("startKeyServer() with the fault silent hears all, never answers, and ends when it should", async () => {
  const server = listen({ idleTimeout: 20, fault: "silent" });
  using client = await Client.to(server);
  await client.send(KEY_REQUEST);
  await server.event("answer");
  await delay(200);
  await client.send("PUT /key/Ada/None/ HTTP/1.1\r\nHost: a\r\n\r\n");
  const { status, error } = await server.event("answer", ({ method }) => method === "PUT");
  assertEquals([status, error?.code], [0, "key-none"]);
  using other = await Client.to(server);
  await other.send(KEY_REQUEST);
  await server.event("answer", ({ connection }) => connection === 2);
  server.fault = "split";
  assertEquals(await other.read(), ""); // without a word
  assertEquals(server.remarks().includes("idle"), false);
  server.fault = "silent";
  using third = await Client.to(server);
  await third.send(KEY_REQUEST);
  await server.event("answer", ({ connection }) => connection === 3);
  await server.shutdown();
  assertEquals(await third.read(), "");
});

Deno.test("startKeyServer() sees a client go that gets no answer", async () => {
  await using server = listen({ fault: "silent" });
  const client = await Client.to(server);
  await client.send(KEY_REQUEST);
  await server.event("answer");
  await delay(300); // who closes at once may only have ended its half
  client.close();
  assertEquals((await server.event("closed")).by, "client");
});

Deno.test("startKeyServer() sends a client that follows the redirect on for ever", async () => {
  await using server = listen({ fault: "redirect" });
  const first = await talk(server, CLOSING_REQUEST);
  const [, path] = /\r\nLocation: (\S+)\r\n/.exec(first)!;
  const second = await talk(server, CLOSING_REQUEST.replace("/user/Ada/", path));
  assertStringIncludes(second, `HTTP/1.1 308 Permanent Redirect\r\n`);
  assertStringIncludes(second, `\r\nLocation: ${path}\r\n`);
});

Deno.test("startKeyServer() sends nothing to HTTP/1.0 that it does not know", async () => {
  const request = "KEY /user/Ada/ HTTP/1.0\r\n\r\n";
  for (const fault of ["chunked", "interim"] as const) {
    await using server = listen({ fault });
    const response = await talk(server, request);
    assertMatch(response, /^HTTP\/1\.1 200 OK\r\n.*\r\nConnection: close\r\n\r\n[\da-f]{128}$/s);
    assertEquals(response.includes("Transfer-Encoding"), false);
  }
});

Deno.test("startKeyServer() answers HEAD without a body under each fault", async () => {
  for (const fault of ["chunked", "split", "not-a-key", "status-404", "truncate"] as const) {
    await using server = listen({ fault });
    const response = await talk(server, CLOSING_REQUEST.replace("KEY", "HEAD"));
    assertMatch(response, /\r\n\r\n$/, fault);
    assertEquals(response.split("\r\n\r\n").length, 2, fault);
  }
});

Deno.test("startKeyServer() gives each of several requests in one write its faulty answer", async () => {
  for (const fault of ["split", "chunked", "short-key"] as const) {
    await using server = listen({ fault });
    const response = await talk(server, KEY_REQUEST + KEY_REQUEST + CLOSING_REQUEST);
    assertEquals(response.match(/HTTP\/1\.1 200 OK/g)?.length, 3);
    assertEquals(server.events.filter(({ type }) => type === "answer").length, 3);
  }
});

Deno.test("startKeyServer() says what is wrong with a request, whatever the fault answers", async () => {
  await using server = listen({ fault: "drip" });
  const wrong = CLOSING_REQUEST.replace("/user/Ada/", "/user/Ada");
  for (
    const [fault, status, said] of [
      ["drip", 404, "the path does not end in a slash"],
      ["status-404", 404, NO_KEY],
      ["not-a-key", 200, "<!doctype html>"],
      ["short-key", 404, "the path does not end in a slash"], // there is no key in it
      ["garbage", 0, "\r\n\r\n"],
    ] as const
  ) {
    server.fault = fault;
    assertStringIncludes(await talk(server, wrong), said);
    const answer = await server.event("answer", (event) => event.fault === fault);
    assertEquals([answer.status, answer.error?.code], [status, "no-final-slash"]);
  }
});

Deno.test("startKeyServer() changes its fault from one answer to the next", async () => {
  await using server = listen({ fault: "short-key" });
  using client = await Client.to(server);
  for (const [fault, size] of [["short-key", 127], ["chunked", 150], [undefined, 128]] as const) {
    server.fault = fault;
    assertEquals(server.fault, fault);
    await client.send(KEY_REQUEST);
    await server.event("answer", (event) => event.fault === fault);
    const response = await client.read(1);
    assertEquals(bodyOf(response).length, size);
  }
});

Deno.test("startKeyServer() knows the fault of a KEY as late as onEvent sets it", async () => {
  const server: KeyServer = startKeyServer({
    port: 0,
    fault: "silent",
    onEvent(event) {
      if (event.type === "request") server.fault = "short-key";
    },
  });
  assertMatch(await talk(server, CLOSING_REQUEST), /\r\n\r\n[\da-f]{127}$/);
  await server.shutdown();
});

Deno.test("startKeyServer() gives a fault that comes between requests in one write to the second alone", async () => {
  for (const fault of ["drip", "reset"] as const) {
    let count = 0;
    const server: KeyServer = startKeyServer({
      port: 0,
      fault: "reset",
      onEvent(event) {
        if (event.type === "request") server.fault = ++count === 1 ? undefined : fault;
      },
    });
    server.fault = undefined;
    const { chunks, wire, end } = await capture(server, KEY_REQUEST + CLOSING_REQUEST);
    assertMatch(chunks[0], /\r\n\r\n[\da-f]{128}H?$/); // by itself, but for a first byte
    assertEquals(chunks.length > 100, fault === "drip");
    assertEquals(wire.match(/HTTP\/1\.1 200 OK/g)?.length, fault === "drip" ? 2 : 1);
    assertEquals(end, fault === "drip" ? "end" : "ECONNRESET");
    await server.shutdown();
  }
});

Deno.test("startKeyServer() sends no 100 before a broken answer", async () => {
  const request = CLOSING_REQUEST.replace(
    "\r\n\r\n",
    "\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
  );
  for (
    const [fault, start] of [["empty", ""], ["garbage", "?!"], ["drip", "HTTP/1.1 100"]] as const
  ) {
    await using server = listen({ fault });
    using client = await Client.to(server);
    await client.send(request);
    await delay(30);
    await client.send("abc");
    const response = await client.read();
    assertEquals(response.slice(0, start.length || 1), start);
  }
});

Deno.test("startKeyServer() with the fault silent is so to a client that has ended its half", async () => {
  await using server = listen({ idleTimeout: 20, fault: "silent" });
  using client = await Client.to(server);
  await client.send(KEY_REQUEST);
  await client.conn.closeWrite();
  await server.event("answer");
  await delay(100);
  assertEquals(server.events.some(({ type }) => type === "closed"), false);
  server.fault = "split";
  assertEquals(await client.read(), "");
});

Deno.test("startKeyServer() refuses a fault that there is none of", async () => {
  const wrong = "drop" as FaultName;
  const port = 0;
  assertThrows(() => startKeyServer({ port, fault: wrong }), TypeError, 'Cannot use fault "drop"');
  assertThrows(() => startKeyServer({ port, fault: "toString" as FaultName }), TypeError);
  await using server = startKeyServer({ port, fault: "slow" });
  assertThrows(() => server.fault = wrong, TypeError, 'Cannot use fault "drop"');
  assertThrows(() => server.fault = "reset", TypeError, "the server was started without it");
  assertEquals(server.fault, "slow");
});

Deno.test("startKeyServer() with the fault reset listens as one without does", async () => {
  await using server = startKeyServer({ port: 0, fault: "reset" });
  const { port } = server.addr;
  assertThrows(() => startKeyServer({ port, fault: "reset" }), Deno.errors.AddrInUse);
  await using six = startKeyServer({ hostname: "::1", port: 0, fault: "reset" });
  six.fault = undefined;
  using client = new KeyClient({ hostname: "::1", port: six.addr.port });
  assertEquals((await client.verifyKey(await client.requestKey())).message, SUCCESS);
  await using again = startKeyServer({ port: 0, fault: "reset" });
  await again.shutdown();
  await using third = startKeyServer({ port: again.addr.port, fault: "reset" });
  third.fault = "chunked";
  assertEquals(statusOf(await talk(third, CLOSING_REQUEST)), 200);
});

Deno.test("startKeyServer() with the fault reset accepts all who come at once", async () => {
  await using server = listen({ fault: "reset" });
  const captures = Array.from({ length: 30 }, () => capture(server, KEY_REQUEST));
  for (const { end } of await Promise.all(captures)) assertEquals(end, "ECONNRESET");
  assertEquals(server.events.filter(({ type }) => type === "answer").length, 30);
});

Deno.test("startKeyServer() with the fault reset serves others beside many idle connections", async () => {
  await using server = listen({ fault: "reset" });
  const idle: Client[] = [];
  for (let n = 0; n < 60; n++) idle.push(await Client.to(server));
  await delay(150);
  for (let n = 0; n < 60; n++) idle.push(await Client.to(server));
  await server.event("remark", ({ remark }) => remark.code === "crowded");
  assertEquals((await capture(server, KEY_REQUEST)).end, "ECONNRESET");
  for (const client of idle) client.close();
});

/** Does what is to be done with the sockets of either kind: those of Deno, and those of Node. */
async function withBothSockets(
  fault: FaultName | undefined,
  act: (server: Listening) => Promise<void>,
) {
  for (const first of [fault, "reset"] as const) {
    await using server = listen({ fault: first });
    server.fault = fault;
    await act(server);
  }
}

type Listening = ReturnType<typeof listen>;

Deno.test("shutdown() waits for no fault, and delivers what is in flight", async () => {
  for (const fault of ["slow", "split", "drip"] as const) {
    await withBothSockets(fault, async (server) => {
      using client = await Client.to(server);
      await client.send(KEY_REQUEST);
      await server.event("answer");
      const reading = client.read();
      const ended = server.shutdown();
      assertMatch(await reading, /\r\n\r\n[\da-f]{128}$/, fault);
      client.close();
      await ended;
    });
  }
});

Deno.test("startKeyServer() gives up on a client that goes within a faulty answer", async () => {
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

Deno.test("startKeyServer() says of a client that waits where what it gets has its end", async () => {
  for (
    const [fault, said] of [
      ["chunked", "stop reading after the last chunk, `0\\r\\n\\r\\n`, or send"],
      ["split", "stop reading after Content-Length, 128 bytes of body, or send"],
    ] as const
  ) {
    await using server = listen({ idleTimeout: 20, fault });
    using client = await Client.to(server);
    await client.send(KEY_REQUEST);
    const { remark } = await server.event("remark");
    assertStringIncludes(remark.message, said);
  }
});

Deno.test("startKeyServer() notices at once that nobody waits for a late answer", async () => {
  await withBothSockets("slow", async (server) => {
    const client = await Client.to(server);
    await client.send(KEY_REQUEST);
    const answer = await server.event("answer");
    client.close();
    const closed = await server.event("closed");
    assertEquals(closed.by, "client");
    assertLess(closed.time - answer.time, 1900);
  });
});

Deno.test("startKeyServer() hears what comes while it holds an answer back", async () => {
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

Deno.test("startKeyServer() holds nothing back from a client that has ended its half", async () => {
  await withBothSockets("slow", async (server) => {
    using client = await Client.to(server);
    await client.send(KEY_REQUEST);
    const { time } = await server.event("answer");
    await client.conn.closeWrite();
    assertMatch(await client.read(), /\r\n\r\n[\da-f]{128}$/);
    assertLess(Date.now() - time, 1900);
  });
});

Deno.test("startKeyServer() with a broken fault sees whether a client sees the end", async () => {
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

Deno.test("startKeyServer() with a fault reads large requests, and drains what is too large", async () => {
  await withBothSockets("chunked", async (server) => {
    const body = "x".repeat(60_000);
    const head = `KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n`;
    assertEquals(statusOf(await talk(server, `${head}Connection: close\r\n\r\n${body}`)), 200);
    const endless = `KEY /user/${"a".repeat(200_000)}`;
    assertEquals(statusOf(await talk(server, endless)), 400);
  });
});

Deno.test("startKeyServer() notices on either kind of socket what a client does", async () => {
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
