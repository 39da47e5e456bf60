import { assert, assertEquals } from "@std/assert";
import { bytes, FUZZ_ROUNDS, random } from "../testing/bytes.ts";
import { listen, until } from "../testing/raw_client.ts";
import { Page } from "../testing/browser.ts";
import type { KeyServerEvent, RemarkEvent } from "./events.ts";
import { History } from "./history.ts";
import type { PageData, PageRequest } from "./page_data.ts";
import { remarkOf } from "./remark.ts";
import { UNSAFE_REGEXP } from "./text.ts";

const NO_CHANGE = 0;

/** Makes the events of one connection. */
class Events {
  #common;

  constructor(connection: number, hostname = "192.0.2.1") {
    const peer: Deno.NetAddr = { transport: "tcp", hostname, port: 1 };
    this.#common = { connection, peer, time: 0, method: "KEY", userId: "Ada" };
  }

  request(content: Uint8Array): KeyServerEvent {
    return { ...this.#common, type: "request", bytes: content, reads: 1 };
  }

  answer(request: Uint8Array, status = 200, content = new Uint8Array()): KeyServerEvent {
    return { ...this.#common, type: "answer", status, message: "", bytes: content, request };
  }

  remark(content: Uint8Array, code: "idle" | "lf-alone", at = 0): RemarkEvent {
    const remark = remarkOf(code, at, at + (at > 0 ? 1 : 0));
    return { ...this.#common, type: "remark", remark, bytes: content };
  }

  get closed(): KeyServerEvent {
    return { ...this.#common, type: "closed", by: "client" };
  }
}

function requestsOf(history: History, owner = "192.0.2.1", change = NO_CHANGE): PageRequest[] {
  return history.since({ owner, change })?.data.requests ?? [];
}

const REQUEST = bytes("KEY /user/Ada/ HTTP/1.1\r\n\r\n");

Deno.test("History.since() returns only what has changed", () => {
  const history = new History();
  const view = { owner: "192.0.2.1", change: 0 };
  assertEquals(history.since(view), undefined);
  const [first, second] = [new Events(1), new Events(2)];
  history.add(first.request(REQUEST), view.owner);
  history.add(first.answer(REQUEST), view.owner);
  history.add(second.request(REQUEST), view.owner);
  const { change } = history;
  assertEquals(requestsOf(history).map(({ id, status }) => [id, status]), [[1, 200], [2, null]]);
  assertEquals(history.since({ ...view, change }), undefined);
  assertEquals(history.since({ owner: "192.0.2.2", change: 0 }), undefined);
  history.add(first.closed, view.owner);
  assertEquals(requestsOf(history, view.owner, change).map(({ id }) => id), [1]);
});

Deno.test("History adds a note after a response to its request", () => {
  const history = new History();
  const events = new Events(1);
  for (const event of [events.request(REQUEST), events.answer(REQUEST)]) history.add(event, "a");
  history.add(events.remark(REQUEST, "idle"), "a");
  history.add(new Events(2).remark(new Uint8Array(), "idle"), "a"); // about no request
  const [request, ...rest] = requestsOf(history, "a");
  assertEquals(rest, []);
  assertEquals(request.remarks.map(({ code }) => code), ["idle"]);
});

Deno.test("History keeps the first 4096 bytes, and an excerpt if the mark comes later", () => {
  const history = new History();
  const events = new Events(1);
  const content = bytes(`KEY /user/Ada/ HTTP/1.1\r\nX: ${"x".repeat(9000)}\nHost: a\r\n\r\n`);
  const at = content.indexOf(0x0a, 30);
  history.add(events.request(content), "a");
  history.add(events.remark(content, "lf-alone", at), "a");
  history.add(events.answer(content, 200, content), "a");
  const [{ request, response, remarks }] = requestsOf(history, "a");
  for (const { size, lines } of [request, response!]) {
    assertEquals(size, content.length);
    assertEquals(lines.flat().map(([text]) => text).join("").length, 4096 + 2); // "\\r\\n"
  }
  assertEquals(remarks[0].excerpt, [`...${"x".repeat(60)}`, "\\n", ""]);
});

Deno.test("History remembers at most about 64 MiB, and forgets the quietest clients first", () => {
  const history = new History();
  const content = new Uint8Array(4096);
  const requests = 12_000;
  for (let n = 0; n < requests; n++) {
    const owner = `192.0.2.${Math.floor(n / 100)}`;
    const events = new Events(n, owner);
    history.add(events.request(content), owner);
    history.add(events.answer(content, 400, content), owner);
    if (n % 2 === 0) history.add(events.closed, owner);
  }
  const owners = Array.from({ length: 120 }, (_, at) => `192.0.2.${at}`);
  const kept = owners.filter((owner) => requestsOf(history, owner).length > 0);
  assertEquals(kept, owners.slice(-kept.length));
  const size = kept.length * 100 * (2 * 4096 + 1500);
  assert(size <= 67_108_864 && size > 60_000_000, String(size));
});

Deno.test("History gives a page the users only on this machine, and only without a drill", () => {
  const history = new History();
  history.add(new Events(1).answer(REQUEST), "192.0.2.1");
  const view = { owner: "", change: 0 };
  assertEquals(history.since(view)?.data.users?.map(({ address }) => address), ["192.0.2.1"]);
  const round = { label: "sound", description: "a normal response", rationale: null, help: null };
  history.rounds = [{ ...round, state: "running" }];
  assertEquals(history.since(view)?.data, { rounds: [{ ...round, state: "running" }] });
  assertEquals(history.since({ ...view, owner: "192.0.2.1" }), undefined);
  const { change } = history;
  assertEquals(history.since({ ...view, change }), undefined);
  history.rounds = [{ ...round, state: "passed" }];
  assertEquals(history.since({ ...view, change })?.data.rounds?.[0].state, "passed");
});

Deno.test("History.since() returns many changes in several parts, and loses none", () => {
  const history = new History();
  const content = new Uint8Array(4096);
  for (let n = 0; n < 100; n++) {
    const events = new Events(n, "127.0.0.1");
    history.add({ ...events.request(content), userId: `u${n}` } as KeyServerEvent, "");
    for (let user = 0; user < 6; user++) {
      const answer = { ...events.answer(content), userId: `u${n}-${user}` } as KeyServerEvent;
      history.add(answer, "");
    }
  }
  const seen = { ids: new Set<number>(), users: new Set<string | null>() };
  let parts = 0;
  for (let change = 0;; parts++) {
    const news = history.since({ owner: "", change });
    if (!news) break;
    assert(news.change > change);
    change = news.change;
    assert(JSON.stringify(news.data).length < 2_000_000);
    for (const { id } of news.data.requests ?? []) seen.ids.add(id);
    for (const { user } of news.data.users ?? []) seen.users.add(user);
  }
  assert(parts > 2);
  assertEquals([seen.ids.size, seen.users.size], [100, 600]);
});

Deno.test("History bounds the number of lines, and the length of a user id", () => {
  const history = new History();
  const content = bytes("\n".repeat(4096));
  const events = new Events(1);
  const userId = "\x01".repeat(20_000);
  history.add({ ...events.request(content), userId } as KeyServerEvent, "a");
  history.add({ ...events.answer(content, 400, content), userId } as KeyServerEvent, "a");
  const [{ request, user }] = requestsOf(history, "a");
  assertEquals(request.lines.length, 201);
  assertEquals(request.lines.flat().map(([text]) => text).join(""), "\\n".repeat(4096));
  assertEquals(user!.length, 256);
  const [row] = history.since({ owner: "", change: 0 })!.data.users!;
  assertEquals(row.user!.length, 256);
});

Deno.test("History drops the error of an incomplete request when the rest has come", () => {
  for (
    const [error, codes] of [
      ["no-final-slash", ["no-final-slash"]],
      ["no-empty-line", ["no-final-slash", "no-empty-line"]],
      [undefined, []],
    ] as const
  ) {
    const history = new History();
    const events = new Events(1);
    for (const code of ["no-final-slash", "no-empty-line"] as const) {
      history.add({ ...events.remark(REQUEST, "idle"), remark: remarkOf(code, 1, 1) }, "a");
    }
    history.add(events.request(REQUEST), "a");
    const about = error && { error: remarkOf(error, 1, 1) };
    history.add({ ...events.answer(REQUEST, 404), ...about } as KeyServerEvent, "a");
    assertEquals(requestsOf(history, "a")[0].remarks.map(({ code }) => code), [...codes]);
  }
});

// ---- Hostile clients

const PIECES = [
  "<script>alert(1)</script>",
  "</script><img src=x onerror=alert(1)>",
  "\r\n\r\ndata: {}\n\nid: 1\n\n",
  "\x00\x1b[2J\x07\x7f\x80\xff",
  "%E2%80%AE%E2%81%A6%E2%80%8B%EF%BB%BF", // bidirectional and invisible characters
  "%1B%00%0A%0D%22%27%3C%3E",
  "\xe2\x80\xae\xc2\x85\xed\xa0\x80",
  "%CC%81".repeat(50), // combining characters
  "KEY /user/",
  "PUT /key/Ada/",
  "/ HTTP/1.1\r\nHost: a\r\n\r\n",
  "Last-Event-ID: 1\r\n",
  "javascript:alert(1)",
  "A".repeat(300),
];

/** Returns everything that a page shows as text. */
function textsOf(data: PageData): string[] {
  const requests = data.requests ?? [];
  return [
    ...requests.flatMap(({ line, user, remarks, request, response }) => [
      line,
      user ?? "",
      ...remarks.flatMap(({ code, fact, help, fix, excerpt }) => [
        code,
        fact,
        help,
        fix ?? "",
        ...excerpt ?? [],
      ]),
      ...[request, response].flatMap((part) => part?.lines.flat().map(([text]) => text) ?? []),
    ]),
    ...(data.users ?? []).flatMap(({ user, remark }) => [user ?? "", remark ?? ""]),
  ];
}

Deno.test("startKeyServer() streams hostile bytes only as harmless text, on one line", async () => {
  const next = random(20);
  await using server = listen({ page: true, idleTimeout: 20_000 });
  using page = new Page(server);
  const pick = () => PIECES[Math.floor(next() * PIECES.length)];
  for (let n = 0; n < FUZZ_ROUNDS / 20; n++) {
    const isKey = next() < 0.5;
    const wire = Array.from({ length: 1 + Math.floor(next() * 6) }, pick).join("");
    using conn = await Deno.connect({ port: server.addr.port });
    await conn.write(bytes(isKey ? `KEY /user/${wire}/ HTTP/1.1\r\n\r\n` : `${wire}\r\n\r\n`));
    await conn.closeWrite();
    await new Response(conn.readable).text();
  }
  const users = [
    ...new Set(
      server.events.flatMap((event) =>
        event.type === "answer" ? JSON.stringify(event.userId ?? null) : []
      ),
    ),
  ];
  await until(() => page.users.length === users.length);
  const texts = page.messages.flatMap(textsOf);
  assert(texts.length > 1000);
  assertEquals(texts.filter((text) => text.search(UNSAFE_REGEXP) >= 0), []);
  assertEquals(texts.filter((text) => !text.isWellFormed()), []);
  assert(texts.some((text) => text.includes("<script>")));
});

Deno.test("startKeyServer() streams a megabyte of a request in bounded size", async () => {
  await using server = listen({ page: true });
  using page = new Page(server);
  await until(() => page.messages.length > 0);
  using conn = await Deno.connect({ port: server.addr.port });
  const response = new Response(conn.readable).text();
  const data = bytes(`KEY /user/${"\0".repeat(1_000_000)}/ HTTP/1.1\r\n\r\n`);
  for (let sent = 0; sent < data.length;) {
    sent += await conn.write(data.subarray(sent)).catch(() => data.length);
  }
  await response.catch(() => {});
  await until(() => page.requests[0]?.status === 400);
  const [{ request, remarks }] = page.requests;
  assertEquals(remarks[0].code, "too-large");
  assert(request.size > 65_536 && request.size < 200_000);
  assert(JSON.stringify(page.messages).length < 50_000);
});
