import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { KeyClient } from "./key_client.ts";
import { type KeyServerAnswer, startKeyServer } from "./key_server.ts";

/** Sends a request with exactly this target, and returns the whole response. */
async function send(port: number, method: string, target: string): Promise<string> {
  using conn = await Deno.connect({ port });
  const request = `${method} ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
  await conn.write(new TextEncoder().encode(request));
  return await new Response(conn.readable).text();
}

const KEY = "0".repeat(128);

Deno.test("startKeyServer() issues a new key of 128 hex digits with each request", async () => {
  await using server = startKeyServer({ port: 0 });
  const keys = new Set<string>();
  for (let n = 0; n < 10; n++) {
    const response = await send(server.addr.port, "KEY", "/user/Ada/");
    assertMatch(response, /^HTTP\/1\.1 200 OK\r\n/);
    assertMatch(response, /\r\ncontent-type: text\/plain; charset=utf-8\r\n/);
    const key = response.split("\r\n\r\n")[1];
    assertMatch(key, /^[\da-f]{128}$/);
    keys.add(key);
  }
  assertEquals(keys.size, 10);
});

Deno.test("startKeyServer() accepts the key last issued to a user, and no other", async () => {
  await using server = startKeyServer({ port: 0 });
  const { port } = server.addr;
  using ada = new KeyClient({ port, userId: "Ada" });
  using bob = new KeyClient({ port, userId: "Bob" });
  const none = await ada.verifyKey(KEY);
  assertEquals(none.status, 404);
  assertStringIncludes(none.message, "No key was issued to this user. Send KEY first");
  const first = await ada.requestKey();
  assertEquals((await bob.verifyKey(first)).status, 404);
  await bob.requestKey();
  assertEquals((await bob.verifyKey(first)).status, 400);
  assertEquals((await ada.verifyKey(first)).status, 200);
  assertEquals((await ada.verifyKey(first)).status, 200); // PUT is idempotent
  const second = await ada.requestKey();
  assertEquals((await ada.verifyKey(first)).status, 400);
  assertEquals(await ada.verifyKey(second), {
    status: 200,
    ok: true,
    message: "Success: the key is right",
  });
});

const ANSWERS: [method: string, target: string, status: number, message: string][] = [
  ["KEY", "/user//", 400, "The user id is empty"],
  ["PUT", `/key//${KEY}/`, 400, "The user id is empty"],
  ["KEY", `/user/${"a".repeat(257)}/`, 400, "The user id is too long: at most 256 characters"],
  ["KEY", "/user/%zz/", 400, "The user id is not valid percent-encoded UTF-8"],
  ["KEY", "/user/%ff/", 400, "The user id is not valid percent-encoded UTF-8"],
  ["PUT", `/key/%/${KEY}/`, 400, "The user id is not valid percent-encoded UTF-8"],
  ["PUT", "/key/Ada//", 400, "The key is not 128 hex digits"],
  ["PUT", "/key/Ada/abc/", 400, "The key is not 128 hex digits"],
  ["PUT", `/key/Ada/${KEY}0/`, 400, "The key is not 128 hex digits"],
  ["PUT", "/key/Ada/%zz/", 400, "The key is not 128 hex digits"],
  ["PUT", `/key/Ada/${KEY}/`, 400, "The key is wrong: it is not the one last issued to this user"],
  ["PUT", `/key/Bob/${KEY}/`, 404, "No key was issued to this user"],
  ["KEY", "/", 404, "Not found. Send KEY /user/<user_id>/ or PUT"],
  ["KEY", "/user/", 404, "Not found. Send KEY"],
  ["KEY", "/users/Ada/", 404, "Not found. Send KEY"],
  ["KEY", "/user/Ada/more/", 404, "Not found. Send KEY"],
  ["KEY", "/user/Ada", 404, "Not found. The path must end in a slash"],
  ["PUT", `/key/Ada/${KEY}`, 404, "Not found. The path must end in a slash"],
  ["GET", "/user/Ada/", 405, "Method not allowed. Send KEY, not GET"],
  ["key", "/user/Ada/", 405, "Method not allowed. Send KEY, not key"],
  ["PUT", "/user/Ada/", 405, "Method not allowed. Send KEY, not PUT"],
  ["KEY", `/key/Ada/${KEY}/`, 405, "Method not allowed. Send PUT, not KEY"],
  ["DELETE", `/key/Ada/${KEY}/`, 405, "Method not allowed. Send PUT, not DELETE"],
];

Deno.test("startKeyServer() says what is wrong with a request, and tells onAnswer", async () => {
  const answers: KeyServerAnswer[] = [];
  await using server = startKeyServer({ port: 0, onAnswer: (answer) => answers.push(answer) });
  const { port } = server.addr;
  await send(port, "KEY", "/user/Ada/?some=query");
  for (const [method, target, status, message] of ANSWERS) {
    const response = await send(port, method, target);
    const [head, body] = response.split("\r\n\r\n");
    assertStringIncludes(head, `HTTP/1.1 ${status} `);
    assertStringIncludes(body, message);
    const allow = /\r\nallow: (.*)/.exec(head)?.[1];
    assertEquals(allow, status !== 405 ? undefined : target.startsWith("/user") ? "KEY" : "PUT");
    assertEquals(answers.at(-1), { method, target, status, message: body });
  }
  assertEquals(answers.length, 1 + ANSWERS.length);
  assertEquals(answers[0].target, "/user/Ada/?some=query");
});

Deno.test("startKeyServer() takes user ids that need percent-encoding", async () => {
  await using server = startKeyServer({ port: 0 });
  for (const userId of ["a/b", "é€😀", "%", "\0\r\n", "x".repeat(256)]) {
    using client = new KeyClient({ port: server.addr.port, userId });
    assertEquals((await client.verifyKey(await client.requestKey())).status, 200);
  }
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
  for (let n = 0; n < 9_998; n++) {
    await fetch(`http://127.0.0.1:${port}/user/${n}/`, { method: "KEY" }).then((r) =>
      r.body?.cancel()
    );
  }
  assertEquals(await statusOf("old", old), 200);
  const renewed = await issue("renewed");
  await issue("one more");
  assertEquals(await statusOf("old", old), 404);
  assertEquals(await statusOf("renewed", renewed), 200);
});

Deno.test("startKeyServer() listens on 127.0.0.1, and stops by its signal", async () => {
  const abort = new AbortController();
  const server = startKeyServer({ port: 0, signal: abort.signal });
  assertEquals(server.addr.hostname, "127.0.0.1");
  abort.abort();
  await server.finished;
  assert(await Deno.connect({ port: server.addr.port }).then(() => false, () => true));
});
