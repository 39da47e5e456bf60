import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ACCEPT, browse, Page, requestOf, talkFrom } from "../testing/browser.ts";
import { bytes, delay, KEY, text } from "../testing/bytes.ts";
import {
  bodyOf,
  Client,
  CLOSING_REQUEST,
  concurrentTests,
  KEY_REQUEST,
  listen,
  type Listening,
  statusOf,
  talk,
  until,
} from "../testing/raw_client.ts";
import type { FaultName } from "./faults.ts";
import { startKeyServer } from "./server.ts";
import { Viewer, type Visitor } from "./viewer.ts";

const test = concurrentTests("startKeyServer() with a page", 4);

function show(options = {}): Listening {
  return listen({ page: true, ...options });
}

/** Returns the events about requests of clients, without those of browsers. */
function clientEvents({ events }: Listening) {
  return events.filter(({ type, isBrowser }) => type !== "connected" && !isBrowser);
}

/** Returns a header field of a response. */
function fieldOf(response: string, name: string): string | undefined {
  return new RegExp(`^${name}: (.*)\r$`, "mi").exec(response)?.[1];
}

async function hashOf(content: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", bytes(content));
  return `'sha256-${new Uint8Array(hash).toBase64()}'`;
}

// ---- Responses

test("startKeyServer() shows a browser the page, which runs only its own script", async () => {
  await using server = show();
  const response = await browse(server);
  assertEquals(statusOf(response), 200);
  assertEquals(fieldOf(response, "Content-Type"), "text/html; charset=utf-8");
  assertEquals(Number(fieldOf(response, "Content-Length")), bodyOf(response).length);
  assertEquals(fieldOf(response, "X-Content-Type-Options"), "nosniff");
  assertEquals(fieldOf(response, "Cross-Origin-Resource-Policy"), "same-origin");
  assertEquals(fieldOf(response, "Access-Control-Allow-Origin"), undefined);
  const page = bodyOf(response);
  const [, style] = /<style>(.*?)<\/style>/s.exec(page)!;
  const [, script] = /<script>(.*?)<\/script>/s.exec(page)!;
  const policy = fieldOf(response, "Content-Security-Policy")!.split("; ");
  assertEquals(policy, [
    "default-src 'none'",
    `style-src ${await hashOf(style)}`,
    `script-src ${await hashOf(script)}`,
    "connect-src 'self'",
    "img-src data:",
    "require-trusted-types-for 'script'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ]);
});

test("startKeyServer() tells a browser that it cannot send KEY or PUT, and links to the page", async () => {
  await using server = show();
  for (
    const [path, status, allow, words] of [
      ["/user/Ada/", 405, "KEY", "A browser cannot send KEY"],
      [`/key/Ada/${KEY}/`, 405, "PUT", "The address bar cannot send PUT"],
      ["/%3Cscript%3E", 404, undefined, "Nothing is here"],
    ] as const
  ) {
    const response = await browse(server, path);
    assertEquals(statusOf(response), status);
    assertEquals(fieldOf(response, "Allow"), allow);
    assertStringIncludes(response, `<h1>${words}`);
    assertStringIncludes(response, '<a href="/">');
    assertEquals(/<script|%3C/i.test(response), false);
  }
  assertEquals(statusOf(await browse(server, "/favicon.ico", { Accept: "image/avif" })), 404);
  assertEquals(statusOf(await browse(server, "/apple-touch-icon.png", { Accept: "*/*" })), 404);
  const foreign = { Accept: "*/*", "Sec-Fetch-Mode": "no-cors" }; // another site's page
  assertEquals(statusOf(await browse(server, "/x.js", foreign)), 404);
  assertEquals(clientEvents(server), []);
});

test("startKeyServer() shows a page only if Host is an IP address or localhost", async () => {
  await using server = show();
  const { port } = server.addr;
  const good = [`127.0.0.1:${port}`, "192.0.2.7", "192.0.2.7:80", "localhost:8080", "[::1]:5000"];
  const bad = ["", "evil.example", `evil.example:${port}`, "127.0.0.1.evil.example", "1.2.3.4, a"];
  for (const Host of good) assertEquals(statusOf(await browse(server, "/", { Host })), 200, Host);
  for (const Host of [...bad, "localhost.evil.example", "127.0.0.1@evil.example"]) {
    const response = await browse(server, "/", { Host });
    assertEquals(statusOf(response), 421, Host);
    assertStringIncludes(response, `<a href="http://127.0.0.1:${port}/">`);
    const events = await browse(server, "/events", { Host, Accept: "text/event-stream" });
    assertEquals(statusOf(events), 421);
    assertEquals(bodyOf(events), "");
  }
  const bare = `GET / HTTP/1.1\r\nAccept: ${ACCEPT}\r\n\r\n`; // without Host
  assertEquals(statusOf(await talk(server, bare)), 421);
});

test("startKeyServer() gives no other site the stream of events", async () => {
  await using server = show();
  const { port } = server.addr;
  const fields: Record<string, string>[] = [
    { "Sec-Fetch-Site": "cross-site" },
    { "Sec-Fetch-Site": "same-site" },
    { Origin: "http://evil.example" },
    { Origin: `http://127.0.0.1:${port + 1}` },
    { Origin: "null" },
  ];
  for (const field of fields) {
    const Accept = "text/event-stream";
    const response = await browse(server, "/events", { Accept, ...field });
    assertEquals(statusOf(response), 403);
    assertEquals(bodyOf(response), "");
  }
  const Origin = `http://127.0.0.1:${port}`;
  using page = new Page(server, { fields: { Origin, "Sec-Fetch-Site": "same-origin" } });
  await until(() => page.messages.length > 0);
  assertEquals(fieldOf(page.head, "Content-Type"), "text/event-stream; charset=utf-8");
  assertEquals(fieldOf(page.head, "Access-Control-Allow-Origin"), undefined);
});

test("startKeyServer() responds to a client's GET as if it had no page", async () => {
  await using server = show();
  await using plain = listen();
  const requests = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nUser-Agent: curl\r\n\r\n",
    "GET /events HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
    "GET /user/Ada/ HTTP/1.1\r\nHost: a\r\n\r\n",
    `POST / HTTP/1.1\r\nHost: a\r\nAccept: ${ACCEPT}\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: a\r\nAccept: ${ACCEPT}\r\nContent-Length: 1\r\n\r\nx`,
    `GET  / HTTP/1.1\r\nHost: a\r\nAccept: ${ACCEPT}\r\n\r\n`,
  ];
  const dateless = (response: string) => response.replace(/Date: .*/, "").replace(/:\d+/g, "");
  for (const request of requests) {
    const closing = request.replace("Host: a", "Connection: close\r\nHost: a");
    const [response, other] = [await talk(server, closing), await talk(plain, closing)];
    assertEquals(dateless(response), dateless(other));
  }
  const answers = clientEvents(server).filter(({ type }) => type === "answer");
  assertEquals(answers.length, requests.length);
});

test("startKeyServer() treats browsers like any other client without the option `page`", async () => {
  await using server = listen();
  const fields = { Connection: "close" };
  assertEquals(statusOf(await browse(server, "/", fields)), 404);
  assertEquals(statusOf(await browse(server, "/user/Ada/", fields)), 405);
  const Accept = "text/event-stream";
  assertEquals(statusOf(await browse(server, "/events", { Accept, ...fields })), 404);
  assertEquals(server.events.some(({ isBrowser }) => isBrowser), false);
});

test("startKeyServer() takes GET after another request as a client's", async () => {
  await using server = show();
  const request = requestOf(server, "/", { Connection: "close" });
  const response = await talk(server, KEY_REQUEST + request);
  assertMatch(response, /^HTTP\/1\.1 200 OK\r\n[^]*[\da-f]{128}HTTP\/1\.1 404 [^]*\nhelp: [^]*$/);
  assertEquals(server.events.some(({ isBrowser }) => isBrowser), false);
  using page = await new Page(server).untilRequests(2);
  assertEquals(page.requests.map(({ status }) => status), [200, 404]);
});

test("startKeyServer() withdraws an incomplete request that is a browser's", async () => {
  await using server = show({ idleTimeout: 200 });
  using page = new Page(server, { from: "127.0.0.1" });
  using client = await Client.to(server);
  await client.send(`GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n`);
  await until(() => page.requests[0]?.remarks.length > 0);
  await client.send(`Accept: ${ACCEPT}\r\n\r\n`);
  assertEquals(statusOf(await client.read()), 200);
  await until(() => page.requests[0].isWithdrawn);
  assertEquals(page.users, []);
});

// ---- Events

test("startKeyServer() marks the events of browsers, and makes no remarks on them", async () => {
  await using server = show({ idleTimeout: 200 });
  await browse(server);
  await browse(server, "/nothing");
  await browse(server, "/favicon.ico", { Accept: "image/avif" });
  {
    using page = new Page(server);
    await until(() => page.messages.length > 0);
    await delay(500); // longer than the idle timeout: the server may find nothing wrong
    assertEquals(page.isClosed, false);
  }
  await server.event("closed", ({ connection }) => connection === 4);
  assertEquals(clientEvents(server), []);
  for (const type of ["connected", "request", "answer", "closed"]) {
    assertEquals(server.events.filter((event) => event.type === type).length, 4, type);
  }
});

test("startKeyServer() shows a spare connection only on the page", async () => {
  await using server = show({ idleTimeout: 100 });
  using before = await Client.to(server);
  await browse(server);
  using after = await Client.to(server);
  using closed = await Client.to(server);
  closed.close();
  assertEquals(await before.read(), ""); // no response: a browser would misuse it
  assertEquals(await after.read(), "");
  assertEquals(clientEvents(server), []);
  assertEquals(server.remarks(), ["nothing-yet", "nothing-yet"]); // only for the page
  using page = new Page(server);
  await until(() => page.requests.length === 2);
  for (const { closedBy, remarks, status } of page.requests) {
    assertEquals([closedBy, status, remarks[0].severity], ["server", null, "note"]);
  }
  assertEquals(page.users, []);
});

test("startKeyServer() takes a request over a connection that looked like a spare one", async () => {
  await using server = show({ idleTimeout: 100 });
  await browse(server);
  using client = await Client.to(server);
  await delay(200);
  await client.send("KEY /user/Ada HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n");
  assertEquals(statusOf(await client.read()), 404);
  assertEquals(server.remarks().slice(0, 2), ["nothing-yet", "no-final-slash"]);
  assertEquals(clientEvents(server)[0].type, "request");
  using page = await new Page(server).untilRequests(1);
  assertEquals(page.requests[0].remarks[0].code, "no-final-slash");
});

test("startKeyServer() remarks on a connection without a byte if no browser has come", async () => {
  await using server = show({ idleTimeout: 100 });
  using page = new Page(server, { from: "127.0.0.2" }); // another machine
  await until(() => page.messages.length > 0);
  assertEquals(statusOf(await talk(server, "")), 400);
  assertEquals(server.remarks()[0], "nothing-sent");
});

// ---- The stream

test("startKeyServer() streams each request with its remarks, bytes and response", async () => {
  await using server = show();
  const { port } = server.addr;
  using page = new Page(server);
  await until(() => page.messages.length > 0);
  const hello = page.messages[0].hello!;
  assertEquals(hello.address, "127.0.0.1");
  assertEquals([hello.isLocal, hello.isDrill, hello.isShared], [true, false, false]);
  assert(Math.abs(hello.time - Date.now()) < 60_000);
  const received = await talk(server, "KEY /user/Ada HTTP/1.1\r\nConnection: close\r\n\r\n");
  await until(() => page.requests[0]?.closedBy != null);
  const { time, response, ...request } = page.requests[0];
  assert(Math.abs(time - Date.now()) < 60_000);
  const { port: clientPort, ...rest } = request;
  assert(clientPort > 0);
  const help = "end the path with `/`";
  assertEquals(rest, {
    id: 1,
    connection: 2,
    line: "KEY /user/Ada HTTP/1.1",
    user: "Ada",
    status: 404,
    fault: null,
    reads: 1,
    closedBy: "server",
    isWithdrawn: false,
    remarks: [{
      severity: "error",
      code: "no-final-slash",
      fact: "the path does not end with a slash",
      help,
      fix: "KEY /user/Ada/ HTTP/1.1",
      excerpt: ["KEY /user/Ada", "", " HTTP/1.1\\r\\n"],
    }, {
      severity: "warning",
      code: "no-host",
      fact: "no Host header; HTTP/1.1 requires one",
      help: `add this line: Host: 127.0.0.1:${port}`,
      fix: null,
      excerpt: null,
    }],
    request: {
      size: 45,
      lines: [
        [["KEY /user/Ada HTTP/1.1", ""], ["\\r\\n", "end"]],
        [["Connection: close", ""], ["\\r\\n", "end"]],
        [["\\r\\n", "end"]],
      ],
    },
  });
  assertEquals(response!.size, received.length);
  const shown = response!.lines.map((line) => line.map(([text]) => text).join("")).join("");
  const escaped = received.replaceAll("\r", "\\r").replaceAll("\n", "\\n");
  assertEquals(shown, escaped);
});

test("startKeyServer() marks the bytes that a remark is about", async () => {
  await using server = show();
  await talk(server, `PUT /key/Ada/b'${KEY}'/ HTTP/1.1\nHost: a b\r\n\r\n`);
  using page = await new Page(server).untilRequests(1);
  const [first, second] = page.requests[0].request.lines;
  assertEquals(first, [
    ["PUT /key/Ada/", ""],
    ["b'", "mark"],
    [`${KEY}'/ HTTP/1.1`, ""],
    ["\\n", "mark"],
  ]);
  assertEquals(second.map(([, kind]) => kind), ["", "mark", "end"]);
  const [{ excerpt }] = page.requests[0].remarks;
  assertEquals(excerpt, ["PUT /key/Ada/", "b'", "012345...cdef'/ HTTP/1.1\\n"]);
});

test("startKeyServer() streams a request while it is incomplete, and completes it later", async () => {
  await using server = show({ idleTimeout: 200 });
  using page = new Page(server);
  using client = await Client.to(server);
  await client.send("KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n");
  await until(() => page.requests.length > 0);
  const [incomplete] = page.requests;
  assertEquals([incomplete.status, incomplete.reads, incomplete.response], [null, null, null]);
  assertEquals(incomplete.remarks.map(({ code }) => code), ["no-empty-line"]);
  await client.send("\r\n");
  await page.untilRequests(1);
  const [complete] = page.requests;
  assertEquals([complete.id, complete.status, complete.remarks], [incomplete.id, 200, []]);
  assertEquals(complete.reads, 2);
  await until(() => page.requests[0].closedBy !== null); // then it was idle
  assertEquals(page.requests[0].remarks.map(({ code }) => code), ["idle"]);
  await client.read();
});

test("startKeyServer() streams a refused request that was never completed, with its error once", async () => {
  await using server = show({ idleTimeout: 50 });
  using client = await Client.to(server);
  await client.send("KEY /user/Ada HTTP/1.1\r\n");
  assertEquals(statusOf(await client.read()), 400);
  using page = await new Page(server).untilRequests(1);
  assertEquals(page.requests.length, 1);
  const codes = page.requests[0].remarks.map(({ code }) => code);
  assertEquals(codes, ["no-empty-line", "no-final-slash"]);
});

test("startKeyServer() streams an interim response together with the final one", async () => {
  await using server = show();
  using client = await Client.to(server);
  await client.send(
    "KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
  );
  await client.read(25);
  await client.send("x");
  using page = await new Page(server).untilRequests(1);
  const [{ response, status }] = page.requests;
  assertEquals(status, 200);
  assertEquals(response!.lines.filter(([[text]]) => text.startsWith("HTTP/1.1")).length, 2);
});

test("startKeyServer() streams what a page has missed", async () => {
  await using server = show();
  await talk(server, CLOSING_REQUEST);
  using first = await new Page(server).untilRequests(1);
  await until(() => first.requests[0].closedBy !== null);
  const id = first.ids.at(-1)!;
  await talk(server, CLOSING_REQUEST);
  await talk(server, CLOSING_REQUEST);
  await first.untilRequests(3);
  for (
    const options of [
      { fields: { "Last-Event-ID": id } },
      { path: `/events?since=${encodeURIComponent(id)}` },
    ]
  ) {
    using later = await new Page(server, options).untilRequests(2);
    assertEquals(later.requests.map(({ id }) => id), [2, 3]);
    assertEquals(later.messages[0].hello!.run, first.messages[0].hello!.run);
  }
  for (
    const lastId of ["", "other-5", "x", "-", `${id.split("-")[0]}-x`, `other-${"9".repeat(400)}`]
  ) {
    using all = await new Page(server, { fields: { "Last-Event-ID": lastId } }).untilRequests(3);
    assertEquals(all.requests.length, 3);
  }
  const future = `${id.split("-")[0]}-999999999`; // it must not miss what comes next
  using page = new Page(server, { fields: { "Last-Event-ID": future } });
  await until(() => page.messages.length > 0);
  await talk(server, CLOSING_REQUEST);
  await page.untilRequests(1);
});

test("startKeyServer() resets a page after a restart of the server", async () => {
  const ids: string[] = [];
  for (let run = 0; run < 2; run++) {
    await using server = show();
    await talk(server, CLOSING_REQUEST);
    const fields: Record<string, string> = ids.length > 0 ? { "Last-Event-ID": ids[0] } : {};
    using page = await new Page(server, { fields }).untilRequests(1);
    ids.push(page.ids.at(-1)!);
    assertEquals(page.messages[0].hello!.run, ids[run].split("-")[0]);
  }
  assert(ids[0].split("-")[0] !== ids[1].split("-")[0]);
});

test("startKeyServer() streams the last 100 requests", async () => {
  await using server = show();
  using early = new Page(server);
  for (let n = 0; n < 12; n++) await talk(server, KEY_REQUEST.repeat(9) + CLOSING_REQUEST);
  using page = await new Page(server).untilRequests(100);
  assertEquals(page.requests.map(({ id }) => id), Array.from({ length: 100 }, (_, at) => at + 21));
  await until(() => early.requests.at(-1)?.id === 120);
});

test("startKeyServer() shows each machine only its own requests, and no users", async () => {
  await using server = show();
  await talk(server, CLOSING_REQUEST);
  await talkFrom("127.0.0.2", server, CLOSING_REQUEST.replace("Ada", "Two"));
  await talkFrom("127.0.0.3", server, CLOSING_REQUEST.replace("Ada", "Three"));
  using two = await new Page(server, { from: "127.0.0.2" }).untilRequests(1);
  using here = await new Page(server).untilRequests(1);
  assertEquals(two.requests.map(({ user }) => user), ["Two"]);
  assertEquals(here.requests.map(({ user }) => user), ["Ada"]);
  const { address, isLocal } = two.messages[0].hello!;
  assertEquals([address, isLocal], ["127.0.0.2", false]);
  assertEquals(here.messages[0].addresses, [`127.0.0.1:${server.addr.port}`]);
  await talkFrom("127.0.0.3", server, CLOSING_REQUEST.replace("Ada", "Four"));
  await talkFrom("127.0.0.2", server, CLOSING_REQUEST.replace("Ada", "Five"));
  await two.untilRequests(2);
  assertEquals(two.requests.map(({ user }) => user), ["Two", "Five"]);
  assertEquals(
    two.messages.some(({ addresses, rounds, users }) => addresses || rounds || users),
    false,
  );
  await until(() => here.users.length === 5);
  assertEquals(here.users.map(({ user, address }) => `${user} ${address}`).sort(), [
    "Ada 127.0.0.1",
    "Five 127.0.0.2",
    "Four 127.0.0.3",
    "Three 127.0.0.3",
    "Two 127.0.0.2",
  ]);
});

test("startKeyServer() counts the users for the page, without browsers", async () => {
  await using server = show();
  using page = new Page(server);
  await browse(server, "/user/Eve/");
  const key = bodyOf(await talk(server, CLOSING_REQUEST));
  await talk(server, `PUT /key/Ada/${key}/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  await talk(server, "KEY /user/Ada HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  await until(() => page.users[0]?.errors === 1);
  const [{ time, ...row }] = page.users;
  assertEquals(page.users.length, 1);
  assert(Math.abs(time - Date.now()) < 60_000);
  const remark = "the path does not end with a slash";
  assertEquals(row, {
    user: "Ada",
    address: "127.0.0.1",
    asked: 1,
    verified: 1,
    errors: 1,
    remark,
  });
});

test("startKeyServer() serves browsers without a fault", async () => {
  for (const fault of ["silent", "reset", "drip", "status-500"] satisfies FaultName[]) {
    await using server = show({ fault });
    assertMatch(await browse(server), /^HTTP\/1\.1 200 OK\r\n[^]*<\/html>\n?$/);
    using page = new Page(server);
    using client = await Client.to(server);
    await client.send(KEY_REQUEST);
    await until(() => page.requests[0]?.fault === fault);
    const { status } = page.requests[0];
    assertEquals(status, fault === "drip" ? 200 : fault === "status-500" ? 500 : 0);
  }
});

Deno.test("startKeyServer() keeps a page open while the fault `reset` comes and goes", async () => {
  await using server = show();
  using page = new Page(server);
  for (const fault of ["reset", undefined, "reset"] as const) {
    server.fault = fault;
    await server.ready;
    await talkFrom("127.0.0.1", server, CLOSING_REQUEST);
  }
  await page.untilRequests(3);
  assertEquals(page.isClosed, false);
});

// ---- Load

Deno.test("startKeyServer() reports a silent connection at its end if a browser came long ago", async () => {
  await using server = show({ idleTimeout: 100 });
  const { now } = performance;
  performance.now = () => now.call(performance) - 20_000;
  await browse(server);
  performance.now = now;
  using client = await Client.to(server);
  const begin = performance.now();
  await server.event("remark", ({ isBrowser }) => !isBrowser);
  assert(performance.now() - begin >= 400); // not after the first idle timeout
  assertEquals(await client.read(), "");
  assertEquals(server.remarks(), ["nothing-yet", "nothing-sent"]);
  using page = new Page(server);
  await until(() => page.users[0]?.errors === 1);
  const [{ closedBy, remarks }] = page.requests;
  assertEquals([closedBy, remarks.map(({ code }) => code)], ["server", ["nothing-sent"]]);
});

Deno.test("startKeyServer() shuts down in time although pages are open", async () => {
  const server = show();
  const pages = Array.from({ length: 20 }, () => new Page(server));
  await until(() => pages.every(({ messages }) => messages.length > 0));
  await server.shutdown();
  await until(() => pages.every(({ isClosed }) => isClosed));
  for (const page of pages) page.socket.destroy();
});

Deno.test("startKeyServer() closes a stream over which a browser sends more than 1 MiB", async () => {
  await using server = show();
  using page = new Page(server);
  await until(() => page.messages.length > 0);
  page.socket.write(new Uint8Array(1_000_000));
  await delay(100);
  assertEquals(page.isClosed, false);
  page.socket.write(new Uint8Array(100_000));
  await until(() => page.isClosed);
});

Deno.test("startKeyServer() sends the last news to each page before it shuts down", async () => {
  const server = show();
  using page = new Page(server);
  await until(() => page.messages.length > 0);
  await talk(server, CLOSING_REQUEST);
  await server.shutdown();
  await until(() => page.isClosed);
  assertEquals(page.requests.map(({ status }) => status), [200]);
});

Deno.test("startKeyServer() can shut down before it has loaded the page", async () => {
  const server = startKeyServer({ port: 0, page: true });
  await server.shutdown();
  const signal = AbortSignal.abort();
  await startKeyServer({ port: 0, page: true, signal }).finished;
});

Deno.test("startKeyServer() serves clients and a hundred pages at the same time", async () => {
  await using server = show();
  const pages = Array.from({ length: 100 }, (_, at) => {
    return new Page(server, { from: at % 2 === 0 ? "127.0.0.1" : "127.0.0.2" });
  });
  const clients = Array.from({ length: 200 }, async (_, at) => {
    const from = at % 2 === 0 ? "127.0.0.1" : "127.0.0.2";
    assertEquals(statusOf(await talkFrom(from, server, CLOSING_REQUEST)), 200);
  });
  await Promise.all(clients);
  for (const page of pages) {
    await until(() => new Set(page.requests.map(({ id }) => id)).size === 100);
    page.socket.destroy();
  }
});

Deno.test("startKeyServer() with the fault `reset` refuses no client because of open pages", async () => {
  await using server = show({ fault: "reset", faultOn: "PUT" });
  const pages = Array.from({ length: 150 }, () => new Page(server));
  await until(() => pages.every(({ messages }) => messages.length > 0));
  for (let n = 0; n < 60; n++) assertEquals(statusOf(await talk(server, CLOSING_REQUEST)), 200);
  assertEquals(pages.filter(({ isClosed }) => isClosed).length, 0);
  for (const page of pages) page.socket.destroy();
});

// ---- The viewer by itself

const VISITOR = { owner: "192.0.2.1", address: "192.0.2.1", host: "192.0.2.7:5000" };

/** Adds a request with its response. */
function addRequest(
  viewer: Viewer,
  connection: number,
  visitor: Visitor = VISITOR,
  request = bytes(CLOSING_REQUEST),
): void {
  const peer: Deno.NetAddr = { transport: "tcp", hostname: visitor.address, port: 1 };
  const common = { connection, peer, time: 0, method: "KEY", userId: "Ada" };
  viewer.add({ ...common, type: "request", bytes: request, reads: 1 }, visitor);
  const about = { status: 200, message: "", bytes: bytes("HTTP/1.1 200 OK\r\n\r\n"), request };
  viewer.add({ ...common, type: "answer", ...about }, visitor);
}

Deno.test("Viewer keeps nothing for a page that does not read", async () => {
  const viewer = new Viewer("127.0.0.1");
  const sent: Uint8Array[] = [];
  const reading = Promise.withResolvers<boolean>();
  const send = (message: Uint8Array) => {
    sent.push(message);
    return sent.length === 2 ? reading.promise : Promise.resolve(true);
  };
  const stream = viewer.open(VISITOR, "", send, () => {});
  for (let n = 0; n < 5; n++) {
    addRequest(viewer, n);
    await delay(130);
  }
  assertEquals(sent.length, 2); // hello, and the first request
  assertEquals(stream.beat(performance.now() + 59_000), true);
  assertEquals(stream.beat(performance.now() + 61_000), false); // it can be closed
  reading.resolve(true);
  await until(() => sent.length === 3);
  const [, json] = /^data: (.*)$/m.exec(text(sent[2]))!;
  assertEquals(JSON.parse(json).requests.map(({ id }: { id: number }) => id), [2, 3, 4, 5]);
  await viewer.stop();
});

Deno.test("Viewer sends an empty message to a page that gets nothing else", async () => {
  const viewer = new Viewer("127.0.0.1");
  const sent: string[] = [];
  const send = (message: Uint8Array) => Promise.resolve(sent.push(text(message)) > 0);
  const stream = viewer.open(VISITOR, "", send, () => {});
  await Promise.resolve();
  stream.beat(performance.now() + 14_000);
  assertEquals(sent.length, 1);
  stream.beat(performance.now() + 16_000);
  assertEquals(sent[1], "data: {}\n\n");
  await viewer.stop();
});

Deno.test("Viewer closes the oldest page of the machine with the most if too many are open", async () => {
  const viewer = new Viewer("127.0.0.1");
  const closed: string[] = [];
  const open = (owner: string, name: string) => {
    const visitor = { ...VISITOR, owner };
    const close = () => {
      closed.push(name);
      viewer.close(stream);
    };
    const stream = viewer.open(visitor, "", () => Promise.resolve(true), close);
  };
  for (let n = 0; n < 120; n++) open("192.0.2.1", `a${n}`);
  for (let n = 0; n < 180; n++) open("192.0.2.2", `b${n}`);
  open("192.0.2.3", "c");
  open("192.0.2.1", "a");
  assertEquals(closed, ["b0", "b1"]);
  await viewer.stop();
  assertEquals(closed.length, 302);
});

Deno.test("Viewer makes one message for all pages that need the same", async () => {
  const viewer = new Viewer("127.0.0.1");
  const sent: Uint8Array[] = [];
  const send = (message: Uint8Array) => Promise.resolve(sent.push(message) > 0);
  for (let n = 0; n < 100; n++) addRequest(viewer, n);
  for (let n = 0; n < 10; n++) viewer.open(VISITOR, "", send, () => {});
  await until(() => sent.length === 20);
  assertEquals(new Set(sent).size, 11); // ten greetings, and one message
  await viewer.stop();
});

Deno.test("Viewer stops after a while so that clients come first, and continues later", async () => {
  const viewer = new Viewer("127.0.0.1");
  const content = bytes("\0".repeat(4096));
  const sent: string[] = [];
  for (let n = 0; n < 8; n++) {
    const visitor = { ...VISITOR, owner: `192.0.2.${n}` };
    for (let id = 0; id < 100; id++) addRequest(viewer, 100 * n + id, visitor, content);
    const send = (message: Uint8Array) => {
      if (message.length > 1000) sent.push(visitor.owner);
      return Promise.resolve(true);
    };
    viewer.open(visitor, "", send, () => {});
  }
  await until(() => sent.length >= 8);
  assertEquals(new Set(sent.slice(0, 8)).size, 8); // nobody gets a second part before the others
  await viewer.stop();
});

Deno.test("Viewer sends no more over a closed connection", async () => {
  const viewer = new Viewer("127.0.0.1");
  let count = 0;
  const stream = viewer.open(VISITOR, "", () => Promise.resolve(++count < 0), () => {});
  addRequest(viewer, 1);
  await delay(150);
  assertEquals([count, stream.isBusy], [1, true]);
  await viewer.stop();
});

Deno.test("Viewer sends nothing after it was stopped", async () => {
  const viewer = new Viewer("127.0.0.1");
  let count = 0;
  const send = () => Promise.resolve(++count > 0);
  viewer.open(VISITOR, "", send, () => {});
  await Promise.resolve();
  await viewer.stop();
  addRequest(viewer, 2);
  await delay(150);
  assertEquals(count, 1);
});
