import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { KeyClient } from "../key_client.ts";
import { RequestReader } from "./request.ts";
import { decide, IssuedKeys } from "./responses.ts";
import { startKeyServer } from "./server.ts";
import { bytes, delay, KEY, text } from "../testing/bytes.ts";
import {
  bodyOf,
  Client,
  CLOSING_REQUEST,
  KEY_REQUEST,
  listen,
  statusOf,
  SUCCESS,
  talk,
} from "../testing/raw_client.ts";
// Deno's own sockets choose their address themselves, and cannot be reset.
import { connect, type Socket } from "node:net";

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
  assertStringIncludes(none.message, "your IP address has no key for `Ada` yet\nhelp: send KEY");
  const first = await ada.requestKey();
  const wrong = await ada.verifyKey(KEY);
  assertEquals(wrong.status, 400);
  assertStringIncludes(wrong.message, "wrong key: not the one issued to `Ada`\nhelp: send");
  for (const isKnown of [false, true]) {
    if (isKnown) await bob.requestKey();
    const other = await bob.verifyKey(first);
    assertEquals(other.status, 400);
    assertStringIncludes(other.message, "key of `Ada`, not of `Bob`\nhelp: send the same user id");
  }
  assertEquals((await ada.verifyKey(first)).status, 200);
  assertEquals((await ada.verifyKey(first)).status, 200); // PUT is idempotent
  const upper = await ada.verifyKey(text(first).toUpperCase());
  assertEquals(upper.status, 400);
  assertStringIncludes(upper.message, "the case of the letters in the key was changed\nhelp: send");
  const second = await ada.requestKey();
  const old = await ada.verifyKey(first);
  assertEquals(old.status, 400);
  assertStringIncludes(old.message, "old key: `Ada` has a newer one\nhelp: use");
  assertEquals(await ada.verifyKey(second), { status: 200, ok: true, message: SUCCESS });
});

Deno.test("startKeyServer() tells which part of the key came back", async () => {
  await using server = startKeyServer({ port: 0 });
  using client = new KeyClient({ port: server.addr.port });
  const other = KEY.slice(0, 63);
  assertStringIncludes(
    (await client.verifyKey(other)).message,
    "the key has 63 of 128 digits\nhelp: one `recv()`",
  );
  const key = text(await client.requestKey());
  for (
    const [part, message] of [
      [
        key.slice(0, 127),
        "the key has only the first 127 of 128 digits\nhelp: do not cut the last digit off, as `[:-1]`",
      ],
      [key.slice(0, 63), "the key has only the first 63 of 128 digits\nhelp: one `recv()`"],
      [key.slice(1), "the key has only the last 127 of 128 digits\nhelp: "],
      [other, "wrong key, and only 63 of 128 digits\nhelp: send"],
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
    `PUT /key/Ada/${key}/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nConnection: close\r\n\r\n`;
  const here = bodyOf(await from("127.0.0.2", CLOSING_REQUEST));
  const there = bodyOf(await from("127.0.0.3", CLOSING_REQUEST));
  assertStringIncludes(await from("127.0.0.2", put(here)), SUCCESS);
  assertStringIncludes(await from("127.0.0.3", put(there)), SUCCESS);
  const stolen = await from("127.0.0.3", put(here));
  assertStringIncludes(stolen, "key issued to `Ada` at another IP address\nhelp: send");
  assertStringIncludes(await from("127.0.0.4", put(KEY)), "your IP address has no key for `Ada`");
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
  for (let n = 0; n < 9_998;) {
    let requests = "";
    for (const end = Math.min(n + 100, 9_998); n < end; n++) {
      requests += `KEY /user/${n}/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n`;
    }
    await client.send(requests);
    await client.read(1); // at least one has come
  }
  await client.send(CLOSING_REQUEST.replace("Ada", "9997"));
  await client.read();
  assertEquals(await statusOf("old", old), 200);
  const renewed = await issue("renewed");
  await issue("one more");
  await issue("and another");
  assertEquals(await statusOf("old", old), 404);
  assertEquals(await statusOf("renewed", renewed), 200);
});

Deno.test("decide() changes nothing: it remembers no key", () => {
  const keys = new IssuedKeys();
  const read = (wire: string) => new RequestReader().read(bytes(wire))!;
  const request = read(KEY_REQUEST);
  const before = structuredClone(request);
  const { status, message, newKey } = decide(request, "127.0.0.1", keys);
  assertEquals([status, message], [200, newKey]);
  const put = read(`PUT /key/Ada/${newKey}/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n`);
  assertEquals(decide(put, "127.0.0.1", keys).error?.code, "no-key-issued");
  keys.add(newKey!, "Ada", "127.0.0.1");
  assertEquals(decide(put, "127.0.0.1", keys).message, SUCCESS);
  assertEquals([request, put.remarks], [before, []]);
});

// ---- Answers

const ANSWERS: [line: string, status: number, message: string, allow: string][] = [
  ["KEY /user/Ada/", 400, "no version in the request line\nhelp: KEY /user/Ada/ HTTP/1.1", ""],
  [
    "KEY /user/Ada L/ HTTP/1.1",
    400,
    "the path contains a space\nhelp: KEY /user/Ada%20L/ HTTP/1.1",
    "",
  ],
  [
    "KEY user/Ada/ HTTP/1.1",
    400,
    "the path does not start with a slash\nhelp: KEY /user/Ada/ HTTP/1.1",
    "",
  ],
  [
    "KEY /user/<user_id>/ HTTP/1.1",
    400,
    "the placeholder `<user_id>` in the path\nhelp: replace it",
    "",
  ],
  ["KEY /user// HTTP/1.1", 400, "the user id is empty", ""],
  [`KEY /user/${"a".repeat(257)}/ HTTP/1.1`, 400, "the user id is longer than 256 bytes", ""],
  ["KEY /user/%zz/ HTTP/1.1", 400, "`%zz` is not percent-encoding", ""],
  ["KEY /user/%ff/ HTTP/1.1", 400, "the decoded user id is not UTF-8", ""],
  ["PUT /key/Ada// HTTP/1.1", 400, "the key is empty", ""],
  [`PUT /key/Ada/${KEY.slice(9)}/ HTTP/1.1`, 400, "119 of 128 digits", ""],
  [`PUT /key/Ada/b'${KEY}'/ HTTP/1.1`, 400, "the key is inside b'...'", ""],
  [`PUT /key/Ada/${KEY}/ HTTP/1.1`, 404, "your IP address has no key for `Ada` yet", ""],
  ["KEY / HTTP/1.1", 404, "unknown path\nhelp: use `KEY /user/<user_id>/` or", ""],
  [
    "KEY /user/Ada HTTP/1.1",
    404,
    "the path does not end with a slash\nhelp: KEY /user/Ada/ HTTP/1.1",
    "",
  ],
  [
    "GET /user/Ada/ HTTP/1.1",
    405,
    "method `GET` on a path that needs `KEY`\nhelp: KEY /user/Ada/ HTTP/1.1",
    "KEY",
  ],
  [
    "key /user/Ada/ HTTP/1.1",
    405,
    "method `key` instead of `KEY`\nhelp: KEY /user/Ada/ HTTP/1.1",
    "KEY",
  ],
  [
    `DELETE /key/Ada/${KEY}/ HTTP/1.1`,
    405,
    "method `DELETE` on a path that needs `PUT`\nhelp: use `PUT`", // nobody could type the fix
    "PUT",
  ],
];

Deno.test.each(ANSWERS)("startKeyServer() answers %s", async (line, status, message, allow) => {
  await using server = listen();
  const response = await talk(
    server,
    `${line}\r\nHost: a\r\nUser-Agent: b\r\nConnection: close\r\n\r\n`,
  );
  assertEquals(statusOf(response), status);
  assertStringIncludes(bodyOf(response), message);
  assertEquals(/\r\nAllow: (.*)\r\n/.exec(response)?.[1] ?? "", allow);
  const { remark } = await server.event("remark");
  const { fact, help, fix } = remark;
  const advice = fix?.includes("...") ? help : fix ?? help;
  assertEquals([remark.status, `${fact}\nhelp: ${advice}`], [status, bodyOf(response)]);
});

Deno.test("startKeyServer() keeps the connection after an answer to a sound request", async () => {
  await using server = listen();
  using client = await Client.to(server);
  for (const line of ["KEY /user/Ada/", "GET /user/Ada/", "KEY /nowhere/", "PUT /key/Ada/x/"]) {
    await client.send(`${line} HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n`);
    assertEquals((await client.response()).includes("\r\nConnection:"), false);
  }
  await client.send("KEY /user/Ada/ http/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n"); // whatever that is
  assertStringIncludes(await client.read(), "\r\nConnection: close\r\n");
  assertEquals(server.events.filter(({ type }) => type === "connected").length, 1);
});

Deno.test("startKeyServer() answers pipelined requests in order", async () => {
  await using server = listen();
  using client = await Client.to(server);
  const users = Array.from({ length: 300 }, (_, n) => `user${n}`);
  const requests = users.map((user) =>
    `GET /user/${user}/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n`
  );
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
  await client.send(
    full.replace("Host: a", `Host: a\r\nUser-Agent: b\r\nB: ${"b".repeat(1019 - full.length)}`),
  );
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
  assertStringIncludes(
    await talk(server, "KEY /user/Ada/ HTTP/1.0\r\nUser-Agent: a\r\n\r\n"),
    " 200 OK\r\n",
  );
  using client = await Client.to(server);
  for (let n = 0; n < 2; n++) {
    await client.send("KEY /user/Ada/ HTTP/1.0\r\nConnection: Keep-Alive\r\nUser-Agent: a\r\n\r\n");
    assertStringIncludes(await client.response(), "\r\nConnection: keep-alive\r\n");
  }
  assertEquals(server.remarks(), []);
});

Deno.test("startKeyServer() takes the path from the target, whatever Host says", async () => {
  await using server = listen();
  const absolute =
    `KEY http://example.com:1/user/Ada/ HTTP/1.1\r\nHost: b\r\nUser-Agent: c\r\nConnection: close\r\n\r\n`;
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

Deno.test("startKeyServer() says where the key is lost if it was issued, but `None` is sent", async () => {
  await using server = listen();
  const none = `PUT /key/Ada/None/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
  const before = bodyOf(await talk(server, none));
  assertStringIncludes(before, "help: send PUT only if there is a key");
  await talk(server, "KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const after = bodyOf(await talk(server, none));
  assertEquals(
    after,
    "the key is `None`\nhelp: return the key from do_key(): the response to KEY had one",
  );
});
