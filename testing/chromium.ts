/**
 * Tests of the page for browsers in a real Chromium. `deno task test` does not run them, because
 * not every machine has a browser. They need `chromium`, `chromium-browser` or `google-chrome`,
 * `curl` and `python3`.
 *
 * ```sh
 * deno test --allow-net --allow-run --allow-read --allow-write testing/chromium.ts
 * deno test --allow-net --allow-run --allow-read --allow-write testing/chromium.ts -- FOLDER
 * ```
 *
 * With a folder, the tests of the layout write pictures to it. If JSR cannot be reached, put
 * `--no-lock --import-map=tools/npm_mirror.json` before the file.
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import type { KeyServerEvent } from "../practice/server.ts";
import { drillOf, pass } from "./drill_clients.ts";
import { Page, talkFrom } from "./browser.ts";
import { bytes, delay, utf8 } from "./bytes.ts";
import { Chromium, type Tab, type TabOptions } from "./chromium_driver.ts";
import { CLOSING_REQUEST, listen, type Listening, talk, until } from "./raw_client.ts";
// Deno's own sockets cannot set their IP address.
import {
  type AddressInfo,
  connect,
  createServer,
  type Server as NetServer,
  type Socket,
} from "node:net";

const [FOLDER] = Deno.args;
const IS_MIRRORED = !import.meta.resolve("@std/assert").includes("jsr");
const MIRROR = IS_MIRRORED ? ["--no-lock", "--import-map=tools/npm_mirror.json"] : [];
const SPARE_TIME = 12_000; // ms after which the server has closed a connection without a request

type Addressed = { addr: { port: number } };

// ---- Servers, clients and pages

function show(options = {}): Listening {
  return listen({ page: true, ...options });
}

function urlOf({ addr }: Addressed, path = "/", host = "127.0.0.1"): string {
  return `http://${host}:${addr.port}${path}`;
}

/** Starts a browser with one tab, which shows the page of the server. */
async function open(
  server: Addressed,
  { path = "/", ...options }: { path?: string } & TabOptions = {},
) {
  const browser = await Chromium.launch();
  try {
    const tab = await browser.open(urlOf(server, path), options);
    await tab.until(IS_LIVE);
    return Object.assign(tab, { [Symbol.asyncDispose]: () => browser[Symbol.asyncDispose]() });
  } catch (error) {
    await browser[Symbol.asyncDispose]();
    throw error;
  }
}

/** Runs a program, and returns its output. */
async function outputOf(command: string, ...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command(command, { args, stderr: "inherit" }).output();
  return new TextDecoder().decode(stdout);
}

const PYTHON_CLIENT = `
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as s:
    s.sendall(sys.argv[2].encode("latin-1").decode("unicode_escape").encode("latin-1"))
    while data := s.recv(1024):
        print(data.decode(), end="")
`;

/** Sends a request with a small Python client. In the text, \r and \n are written as in Python. */
function sendWithPython({ addr }: Addressed, text: string): Promise<string> {
  return outputOf("python3", "-c", PYTHON_CLIENT, String(addr.port), text);
}

/** Starts the command as a user does. */
async function serveCommand() {
  const args = ["run", "--allow-net", ...MIRROR, "main.ts", "--serve", "--port", "0"];
  const cwd = new URL("..", import.meta.url);
  const command = new Deno.Command(Deno.execPath(), { args, cwd, stderr: "piped" });
  const process = command.spawn();
  const reader = process.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let log = "";
  const read = async () => {
    const { value, done } = await reader.read();
    log += value ?? "";
    return !done;
  };
  let url: string | undefined;
  while ((url = /http:\S+/.exec(log)?.[0]) === undefined) assert(await read(), log);
  const drained = (async () => {
    while (await read());
  })();
  return {
    addr: { port: Number(new URL(url).port) },
    log: () => log,
    async [Symbol.asyncDispose]() {
      process.kill("SIGINT");
      await process.status;
      await drained;
    },
  };
}

/** Starts the server of another site. It returns the same document for every path. */
function serveHtml(html: string) {
  const paths: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    paths.push(new URL(request.url).pathname);
    return new Response(html, { headers: { "Content-Type": "text/html" } });
  });
  return Object.assign(server, { paths });
}

/** A proxy between the browser and the server. Its connections can be cut. */
class Proxy implements AsyncDisposable {
  readonly #listener: NetServer;
  readonly #sockets = new Set<Socket>();
  #isCut = false; // then it closes new connections immediately

  /** With `from`, the server sees the browser at this IP address of the machine. */
  constructor({ addr: { port } }: Addressed, from?: string) {
    this.#listener = createServer((browser) => {
      if (this.#isCut) return browser.destroy();
      const server = connect({ port, host: "127.0.0.1", localAddress: from });
      browser.pipe(server).pipe(browser);
      for (const [socket, other] of [[browser, server], [server, browser]]) {
        this.#sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => {
          this.#sockets.delete(socket);
          other.destroy();
        });
      }
    });
  }

  /** Starts to listen. */
  async listen(): Promise<Addressed> {
    await new Promise<void>((resolve) => this.#listener.listen(0, "127.0.0.1", resolve));
    return { addr: this.#listener.address() as AddressInfo };
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#listener.close(resolve));
  }
}

// ---- What a page shows

const STATE = `document.querySelector("#connection").textContent`;
// The first message selects a view.
const IS_LIVE = `${STATE} === "Live" && document.querySelector("section:not([hidden])")`;
const ARTICLES = `[...document.querySelectorAll("article")]`;
const ROWS = `[...document.querySelectorAll("#people tr")]`;

function untilArticles(tab: Tab, count: number): Promise<void> {
  return tab.until(`${ARTICLES}.length === ${count} && !document.querySelector(".badge.open")`);
}

/** A request as the page shows it. */
interface Entry {
  badge: string;
  line: string;
  facts: string[];
  helps: string[];
}

/** Returns the requests that the page shows, the newest first. */
function entriesOf(tab: Tab): Promise<Entry[]> {
  return tab.evaluate(`${ARTICLES}.map((article) => {
    const textsOf = (selector) =>
      [...article.querySelectorAll(selector)].map(({ textContent }) => textContent);
    return {
      badge: textsOf(".badge")[0],
      line: textsOf("h3 code")[0],
      facts: textsOf(".fact"),
      helps: textsOf(".help"),
    };
  })`);
}

async function linesOf(tab: Tab): Promise<string[]> {
  return (await entriesOf(tab)).map(({ line }) => line);
}

/** A row of the table of the class. */
type Row = [
  user: string,
  address: string,
  asked: string,
  verified: string,
  errors: string,
  remark: string,
  quiet: string,
];

function rowsOf(tab: Tab): Promise<Row[]> {
  return tab.evaluate(`${ROWS}.map((row) => [...row.children].map(({ innerText }) => innerText))`);
}

/** Where an excerpt has its mark and its caret: CSS pixels. */
interface Pointer {
  before: string;
  /** The marked text; `""` if the caret is between two bytes. */
  marked: string;
  caret: string;
  /** How far the edges of the caret are from those of the marked text. */
  left: number;
  right: number;
  /** How far the top of the caret is below the bottom of the line. */
  below: number;
  /** Whether the caret can be seen without scrolling. */
  isVisible: boolean;
}

function pointersOf(tab: Tab): Promise<Pointer[]> {
  return tab.evaluate(`[...document.querySelectorAll(".excerpt")].map((pre) => {
    const boxOf = (node, start, end) => {
      const range = document.createRange();
      range.setStart(node, start);
      range.setEnd(node, end);
      return range.getBoundingClientRect();
    };
    const before = pre.firstChild;
    const [mark, caret] = ["mark", ".caret"].map((selector) => pre.querySelector(selector));
    const marked = mark ? mark.textContent : "";
    const next = mark ? mark.firstChild : before.nextSibling;
    const over = boxOf(next, 0, marked.length || 1);
    const under = boxOf(caret.firstChild, 0, caret.textContent.length);
    const frame = pre.getBoundingClientRect();
    return {
      before: before.textContent,
      marked,
      caret: caret.textContent,
      left: under.left - over.left,
      right: under.right - over.right,
      below: under.top - over.bottom,
      isVisible: under.left >= frame.left && under.right <= frame.right && under.width > 0,
    };
  })`);
}

/** Asserts that a page is free of elements and attributes that it does not make itself. */
async function assertOnlyText(tab: Tab): Promise<void> {
  const found = await tab.evaluate<Record<"names" | "attributes" | "links", string[]>>(`(() => {
    const all = [...document.querySelectorAll("*")];
    return {
      names: [...new Set(all.map(({ localName }) => localName))],
      attributes: [...new Set(all.flatMap((element) => element.getAttributeNames()))],
      links: [...document.querySelectorAll("a, link")].map((link) => link.getAttribute("href")),
    };
  })()`);
  const expected = "html head meta title link style body header h1 nav a p button noscript main " +
    "section h2 div label input details summary h3 code span pre mark figure figcaption article " +
    "strong table caption thead tr th tbody td bdi ol li script";
  const names = expected.split(" ");
  assertEquals(found.names.filter((name) => !names.includes(name)), []);
  assertEquals(found.attributes.filter((name) => /^on|^style$|^src/.test(name)), []);
  assertEquals(found.links, ["data:,", "#requests", "#class", "#drill"]);
  assertEquals(await tab.evaluate("document.scripts.length"), 1);
  assertEquals(await tab.evaluate("typeof hacked"), "undefined");
}

// ---- Requests

Deno.test("the page shows requests of curl and Python within a second", async () => {
  await using server = await serveCommand();
  await using tab = await open(server);
  const expectWithinSecond = async (answer: Promise<string>, count: number) => {
    const response = await answer;
    const start = performance.now();
    await untilArticles(tab, count);
    const time = performance.now() - start;
    assert(time < 1000, `${time} ms`);
    return response;
  };
  await tab.until(`!document.querySelector("#none").hidden`);
  const text = await tab.evaluate<string>("document.querySelector('main').innerText");
  assertStringIncludes(text, `Run your client against 127.0.0.1:${server.addr.port}.`);

  const curl = (...args: string[]) => outputOf("curl", "-s", ...args);
  const key = await expectWithinSecond(curl("-X", "KEY", urlOf(server, "/user/Ada/")), 1);
  assertMatch(key, /^[\da-f]{128}$/);
  await expectWithinSecond(curl("-X", "PUT", urlOf(server, `/key/Ada/${key}/`)), 2);
  const wrong = String.raw`KEY /user/Ada HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
  assertMatch(await expectWithinSecond(sendWithPython(server, wrong), 3), /^HTTP\/1.1 404 /);
  const bare = String.raw`KEY /user/Ada/ HTTP/1.1\nHost: a\nConnection: close\n\n`;
  await expectWithinSecond(sendWithPython(server, bare), 4);

  const [newest, refused, put, asked] = await entriesOf(tab);
  assertEquals([asked.badge, asked.line, asked.facts], [
    "status 200",
    "KEY /user/Ada/ HTTP/1.1",
    [],
  ]);
  assertEquals([put.badge, put.facts], ["status 200", []]);
  assertMatch(put.line, /^PUT \/key\/Ada\/[\da-f]+\.\.\./);
  assertEquals([refused.badge, refused.line], ["status 404", "KEY /user/Ada HTTP/1.1"]);
  const fact = "error: the path does not end with a slash [no-final-slash]";
  assertStringIncludes(refused.facts.join("\n"), fact);
  assert(!refused.helps.includes(""));
  assertEquals(newest.badge, "status 200");
  assertStringIncludes(newest.facts.join("\n"), "warning: ");
  assertEquals(await tab.evaluate("document.title"), "200 · Key server");
  assertEquals(tab.problems(), []);
  // The log of the command has the clients, but not the browser.
  assertStringIncludes(server.log(), "KEY /user/Ada HTTP/1.1  404");
  assert(!server.log().includes("GET "), server.log());
});

Deno.test("the caret is exactly under the offending bytes", async () => {
  await using server = show();
  const user = "x".repeat(150);
  const rows: [line: string, before: string, marked: string][] = [
    ["KEY /user/Ada HTTP/1.1", "KEY /user/Ada", " "],
    ["KEYS /user/Ada/ HTTP/1.1", "", "KEYS"],
    ["KEY /user/Ada Lovelace/ HTTP/1.1", "KEY /user/Ada", " "],
    ["KEY /user/Ad\x00a/ HTTP/1.1", "KEY /user/Ad", "\\x00"],
    [`KEY /user/${user} y/ HTTP/1.1`, user.slice(-20), " "],
  ];
  for (const [line] of rows) await talk(server, CLOSING_REQUEST.replace(/.*/, line));
  await using tab = await open(server);
  for (const width of [1920, 360]) {
    await tab.show({ width });
    await tab.reload();
    await untilArticles(tab, rows.length);
    await delay(200); // the page scrolls to a mark after the layout
    const pointers = await pointersOf(tab);
    for (const [, before, marked] of rows) {
      const pointer = pointers.find((pointer) =>
        pointer.before.endsWith(before) && pointer.marked === marked
      );
      assert(pointer, `${before}^: ${JSON.stringify(pointers)}`);
    }
    for (const pointer of pointers) {
      const about = `${width}: ${JSON.stringify(pointer)}`;
      assertEquals(pointer.caret, "^".repeat(pointer.marked.length || 1), about);
      assert(Math.abs(pointer.left) < 0.5 && Math.abs(pointer.right) < 0.5, about);
      assert(Math.abs(pointer.below) < 8, about);
      assert(pointer.isVisible, about);
    }
  }
  assertEquals(tab.problems(), []);
});

Deno.test("hostile input stays text", async () => {
  await using server = show();
  await using tab = await open(server);
  const markup = [
    "<script>hacked=1</script>",
    "<img/src=x/onerror=hacked=1>",
    "</code></pre><iframe/src=javascript:parent.hacked=1>",
    "<a/href=javascript:hacked=1>x</a>",
    `"'><svg/onload=alert(1)>`,
    "`<b>`${hacked=1}",
  ];
  const controls = [
    "\0",
    "\x07\x1b[31m\x1b]0;x\x07",
    "\x7f\x80\x9b\xff",
    "\b\f\v\t",
    "\r",
    "\r\r\n",
  ];
  const bidi = ["\u202e", "\u2066\u2067\u2068\u2069", "\u200f", "\u061c", "\u2028\u2029"].map(utf8);
  const parts = [...markup, ...controls, ...bidi];
  for (const part of parts) {
    const path = encodeURIComponent(new TextDecoder().decode(bytes(part)));
    await talk(server, CLOSING_REQUEST.replace("Ada", part));
    await talk(server, CLOSING_REQUEST.replace("Ada", path));
    await talk(server, CLOSING_REQUEST.replace("KEY", part));
    await talk(server, CLOSING_REQUEST.replace("Host: a", `Host: ${part}\r\n${part}: a`));
  }
  for (const size of [4096, 1_000_000]) {
    const long = "<b>".repeat(size / 3);
    await talk(server, CLOSING_REQUEST.replace("Ada", long)).catch(() => {});
    await talk(server, CLOSING_REQUEST.replace("Host: a", `X: ${long}`)).catch(() => {});
  }
  await untilArticles(tab, 4 * parts.length + 4);
  await assertOnlyText(tab);
  const lines = await linesOf(tab);
  for (const part of markup) assert(lines.some((line) => line.includes(part)), part);
  assertMatch(await tab.evaluate("document.title"), /^\d{3} · Key server$/);
  // The characters of a request line are visible ASCII.
  for (const line of lines) assertMatch(line, /^[ -~]*$/);

  await tab.evaluate(`void (location.hash = "#class")`);
  await tab.until(`${ROWS}.length > 0`);
  await assertOnlyText(tab);
  const users = (await rowsOf(tab)).map(([user]) => user);
  for (const part of markup) assert(users.includes(part), part);
  assertEquals(await tab.evaluate("document.title"), "Class · Key server");
  // A user id with right-to-left characters does not change the order of the cells.
  assert(
    await tab.evaluate(`${ROWS}.every(({ children }) => [...children].every((cell, at) =>
      at === 0 || cell.offsetLeft >= children[at - 1].offsetLeft + children[at - 1].offsetWidth - 1
    ))`),
  );
  assertEquals(tab.problems(), []);
});

// ---- Other sites

Deno.test("the policy of the page holds", async () => {
  await using server = show();
  const other = serveHtml("x");
  await using tab = await open(server);
  const evaluate = (expression: string) => tab.evaluate(expression);
  await assertRejects(() => evaluate(`document.body.innerHTML = "<b>x"`), Error, "TrustedHTML");
  await assertRejects(() => evaluate(`document.write("<b>x")`), Error, "TrustedHTML");
  await assertRejects(() => evaluate(`setTimeout("window.injected = 1")`), Error, "TrustedScript");
  await evaluate(`(() => {
    const script = document.createElement("script");
    script.append("window.injected = 1");
    document.body.append(script);
    const button = document.createElement("button");
    document.body.append(button);
    try {
      button.setAttribute("onclick", "window.injected = 1");
    } catch {
      // Trusted Types
    }
    button.click();
    const link = document.createElement("a");
    link.href = "javascript:window.injected = 1";
    document.body.append(link);
    link.click();
  })()`);
  const url = urlOf(other);
  await assertRejects(() => evaluate(`fetch("${url}").then(() => "")`), Error, "Failed to fetch");
  for (const tag of ["img", "iframe", "script"]) {
    await evaluate(`(() => {
      const element = document.createElement("${tag}");
      try {
        element.src = "${url}";
      } catch {
        return; // Trusted Types
      }
      document.body.append(element);
    })()`);
  }
  await delay(300);
  assertEquals(await evaluate("typeof injected"), "undefined");
  assertEquals(other.paths, []);
  assert(tab.problems().length > 4); // each violation is reported
  await other.shutdown();
});

Deno.test("other sites can neither read the events nor show the page in a frame", async () => {
  await using server = show();
  await talk(server, CLOSING_REQUEST);
  const other = serveHtml("<title>Other</title>");
  const hosts = ["127.0.0.1", "localhost", "evil.example"];
  await using browser = await Chromium.launch({ hosts: ["evil.example"] });
  for (const host of hosts) {
    const tab = await browser.open(urlOf(other, "/", host));
    const events = JSON.stringify(urlOf(server, "/events"));
    for (const mode of ["cors", "no-cors", "same-origin"]) {
      const text = await tab.evaluate(
        `fetch(${events}, { mode: "${mode}", headers: { Accept: "text/event-stream" } })
          .then((response) => response.text()).catch(({ name }) => name)`,
      );
      assertEquals(text, mode === "no-cors" ? "" : "TypeError", `${host} ${mode}`);
    }
    const outcome = await tab.evaluate(`new Promise((resolve) => {
      const source = new EventSource(${events});
      source.onmessage = ({ data }) => resolve(data);
      source.onopen = () => resolve("open");
      source.onerror = () => resolve(source.readyState === EventSource.CLOSED ? "closed" : "error");
    })`);
    assertEquals(outcome, "closed", host);
    for (const path of ["/", "/user/Ada/"]) {
      const text = await tab.evaluate(
        `fetch("${urlOf(server, path)}", { mode: "no-cors", headers: { Accept: "text/html" } })
        .then((response) => response.text()).catch(({ name }) => name)`,
      );
      assertMatch(String(text), /^(?:TypeError)?$/, host);
      tab.problems();
      await tab.evaluate(`new Promise((resolve) => {
        const frame = document.createElement("iframe");
        frame.onload = resolve;
        frame.src = "${urlOf(server, path)}";
        document.body.append(frame);
      })`);
      assertMatch(tab.problems().join("\n"), /frame-ancestors 'none'/, host);
    }
  }
  // A name that leads to this server, as in DNS rebinding, shows only how to open the page.
  const tab = await browser.open(urlOf(server, "/", "evil.example"));
  assertEquals(
    await tab.evaluate("document.querySelector('h1').textContent"),
    "Use the IP address of the server",
  );
  const events = `fetch("/events", { headers: { Accept: "text/event-stream" } })`;
  assertEquals(await tab.evaluate(`${events}.then(({ status }) => status)`), 421);
  assertEquals(await tab.evaluate("document.scripts.length"), 0);
  await tab.follow("a");
  assertEquals(await tab.evaluate("location.href"), urlOf(server));
  await untilArticles(tab, 1);
  await other.shutdown();
});

// ---- Connections

Deno.test("the page connects again to a new server, and shows only its requests", async () => {
  const first = show();
  const { port } = first.addr;
  await talk(first, CLOSING_REQUEST);
  await using tab = await open(first);
  await untilArticles(tab, 1);
  const start = performance.now();
  await first.shutdown();
  assert(performance.now() - start < 1000);
  await tab.until(`${STATE}.startsWith("Not connected.")`, 1000);
  assertEquals((await entriesOf(tab)).length, 1);
  await delay(3000); // meanwhile, the page cannot connect
  await using second = show({ port });
  await talk(second, CLOSING_REQUEST.replace("Ada", "Bob"));
  await tab.until(IS_LIVE, 10_000);
  await tab.until(`document.querySelector("h3 code")?.textContent.includes("Bob")`);
  assertEquals(await linesOf(tab), ["KEY /user/Bob/ HTTP/1.1"]);
});

Deno.test("after a break, the page shows what came in the meantime, once", async () => {
  await using server = show();
  await using proxy = new Proxy(server);
  const send = (user: string) => talk(server, CLOSING_REQUEST.replace("Ada", user));
  await send("A");
  await using tab = await open(await proxy.listen());
  await send("B");
  await untilArticles(tab, 2);
  await tab.evaluate(`void (window.kept = document.querySelector("article"))`);
  for (const [at, user] of ["C", "D"].entries()) {
    proxy.cut();
    await tab.until(`${STATE}.startsWith("Not connected.")`, 1000);
    await send(user);
    await delay(500);
    assertEquals((await entriesOf(tab)).length, 2 + at);
    proxy.mend();
    await untilArticles(tab, 3 + at);
    assertEquals(await tab.evaluate(STATE), "Live");
  }
  await send("E");
  await untilArticles(tab, 5);
  const lines = ["E", "D", "C", "B", "A"].map((user) => `KEY /user/${user}/ HTTP/1.1`);
  assertEquals(await linesOf(tab), lines);
  assertEquals(await tab.evaluate("kept.isConnected"), true); // the element is kept
});

/** Counts the streams of events that a browser has opened. */
function streamsOf({ events }: Listening): number {
  return events.filter((event) =>
    event.type === "answer" && new TextDecoder().decode(event.request).includes("GET /events")
  ).length;
}

Deno.test("the page connects again if nothing has come for 40 seconds, as after sleep", async () => {
  await using server = show();
  await using tab = await open(server);
  await talk(server, CLOSING_REQUEST);
  await tab.until(`document.querySelector("article")?.textContent.includes("closed by")`);
  assertEquals(streamsOf(server), 1);
  await tab.evaluate("void (Date.now = () => performance.timeOrigin + performance.now() + 50000)");
  await until(() => streamsOf(server) === 2);
  await tab.until(IS_LIVE);
});

Deno.test("the page disconnects while it is hidden, and then shows what it has missed", async () => {
  await using server = show();
  await using tab = await open(server);
  const setHidden = (isHidden: boolean) =>
    tab.evaluate(`
      Object.defineProperty(document, "hidden", { value: ${isHidden}, configurable: true });
      void document.dispatchEvent(new Event("visibilitychange"));
    `);
  await setHidden(true);
  await server.event("closed", ({ connection, isBrowser }) => {
    const isStream = server.events.some((event) =>
      event.type === "answer" && event.connection === connection && event.message === ""
    );
    return isBrowser === true && isStream;
  });
  await talk(server, CLOSING_REQUEST);
  await delay(500);
  assertEquals((await entriesOf(tab)).length, 0);
  await setHidden(false);
  await untilArticles(tab, 1);
  assertEquals(await tab.evaluate(STATE), "Live");
});

Deno.test("the connections of a browser cause no errors", async () => {
  await using server = show();
  const preconnect = `<link rel="preconnect" href="${urlOf(server)}">`;
  const other = serveHtml(`<title>Other</title>${preconnect}`);
  await using tab = await open(server);
  for (let round = 0; round < 3; round++) await tab.reload();
  await tab.navigate(urlOf(server, "/user/Ada/"));
  assertEquals(
    await tab.evaluate("document.querySelector('h1').textContent"),
    "A browser cannot send KEY",
  );
  await tab.follow("a");
  await tab.until(IS_LIVE);
  await tab.navigate(urlOf(server, "/nothing"));
  await tab.navigate(urlOf(other)); // the browser may open a connection on which it sends nothing
  await delay(SPARE_TIME);
  await tab.navigate(urlOf(server, "/#class"));
  await tab.until(IS_LIVE);
  const clients = server.events.filter(({ type, isBrowser }) => type !== "connected" && !isBrowser);
  assertEquals(clients, []);
  // Only the page has this note:
  assertEquals(server.remarks().filter((code) => code !== "nothing-yet"), []);
  await tab.until(`document.querySelector("#totals").textContent === "No users yet."`);
  assertEquals(await rowsOf(tab), []);
  await other.shutdown();
});

// ---- Layout, keyboard, accessibility

/** Sends what a class sends: right and wrong requests of many users from several addresses. */
async function sendClass(server: Listening, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, async (_, at) => {
    const from = `127.0.0.${2 + at % 7}`;
    const user = `user-${String(at).padStart(2, "0")}`;
    const request = CLOSING_REQUEST.replace("Ada", user);
    if (at % 3 === 1) await talkFrom(from, server, request.replace(`${user}/`, user));
    if (at % 5 === 2) await talkFrom(from, server, request.replace("Host: a\r\n", ""));
    const [, key] = /([\da-f]{128})$/.exec(await talkFrom(from, server, request)) ?? [];
    const put = request.replace(/.*/, `PUT /key/${user}/${key}/ HTTP/1.1`);
    if (at % 2 === 0) await talkFrom(from, server, put);
  }));
}

const SIZES: TabOptions[] = [
  { width: 360, height: 740 },
  { width: 1920, height: 1080 },
  { width: 960, height: 540, scale: 2 }, // 1920 x 1080 at a zoom of 200 %
];

/** Asserts that a page never scrolls sideways. */
async function assertFits(tab: Tab, name: string): Promise<void> {
  for (const size of SIZES) {
    for (const dark of [false, true]) {
      await tab.show({ ...size, dark });
      await delay(200);
      const about = `${name}-${size.width}${dark ? "-dark" : ""}`;
      const [scrolled, visible] = await tab.evaluate<[number, number]>(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]",
      );
      assertEquals(scrolled, visible, about);
      assertEquals(
        await tab.evaluate("getComputedStyle(document.body).backgroundColor"),
        dark ? "rgb(20, 23, 26)" : "rgb(255, 255, 255)",
      );
      if (FOLDER) await Deno.writeFile(`${FOLDER}/${about}.png`, await tab.screenshot());
    }
  }
}

Deno.test("the page fits into narrow and wide windows", async () => {
  await using server = show();
  await using tab = await open(server);
  await assertFits(tab, "empty");
  await sendClass(server, 30);
  for (const path of ["/user/Ada", `/user/${"long".repeat(50)}/`, "/user/Ada Lovelace/"]) {
    await talk(server, CLOSING_REQUEST.replace("/user/Ada/", path));
  }
  await untilArticles(tab, 3);
  await assertFits(tab, "requests");
  await tab.evaluate(`void (location.hash = "#class")`);
  await tab.until(`${ROWS}.length > 30`);
  await assertFits(tab, "class");
  await tab.navigate(urlOf(server, "/user/Ada/"));
  await assertFits(tab, "message");
});

Deno.test("the keyboard reaches everything", async () => {
  await using server = show();
  await sendClass(server, 5);
  await talk(server, CLOSING_REQUEST);
  await using tab = await open(server, { path: "/#requests" });
  await untilArticles(tab, 1);
  const focused = () =>
    tab.evaluate<string>(`(({ localName, id, innerText }) =>
      localName + " " + (id || innerText))(document.activeElement)`);
  const press = async (key: "Tab" | "Enter") => {
    await tab.press(key);
    return await focused();
  };
  assertEquals(await press("Tab"), "a Requests");
  assertEquals(await press("Tab"), "a Class");
  assertEquals(await press("Tab"), "button pause");
  await press("Enter");
  assertEquals(await tab.evaluate(STATE), "Paused");
  await press("Enter");
  assertEquals(await tab.evaluate(STATE), "Live");
  assertEquals(await press("Tab"), "input filter");
  await tab.type("Bob");
  await tab.until(`document.querySelector("article").hidden`);
  assertEquals(await press("Tab"), "summary Not your requests?");
  await press("Enter");
  assertEquals(await tab.evaluate("document.querySelector('details').open"), true);

  await tab.reload();
  await tab.until(IS_LIVE);
  await press("Tab");
  await press("Tab");
  await press("Enter"); // Class
  await tab.until(`${ROWS}.length > 0`);
  for (const name of ["button pause", "button User id", "button IP address", "button Asked"]) {
    assertStringIncludes(await press("Tab"), name);
  }
  await press("Tab");
  assertStringIncludes(await press("Tab"), "button Errors");
  const sorted = () =>
    tab.evaluate(`[...document.querySelectorAll("[aria-sort]")].map((head) =>
      head.dataset.column + " " + head.getAttribute("aria-sort"))`);
  const errors = async () => (await rowsOf(tab)).map((row) => Number(row[4]));
  assertEquals(await sorted(), ["user ascending"]);
  await press("Enter");
  assertEquals(await sorted(), ["errors descending"]);
  assertEquals(await errors(), (await errors()).toSorted((a, b) => b - a));
  await press("Enter");
  assertEquals(await sorted(), ["errors ascending"]);
  assertEquals(await errors(), (await errors()).toSorted((a, b) => a - b));
  assertEquals(tab.problems(), []);
});

Deno.test("the accessibility tree has headings, table headers and live regions", async () => {
  await using server = show();
  await sendClass(server, 5);
  await talk(server, CLOSING_REQUEST.replace("Ada/", "Ada"));
  await using tab = await open(server, { path: "/#requests" });
  await untilArticles(tab, 1);
  let nodes = await tab.accessibleNodes();
  const named = (role: string) =>
    nodes.filter((node) => node.role === role).map(({ name }) => name);
  const headings = () =>
    nodes.filter(({ role }) => role === "heading").map(({ name, properties }) =>
      `${properties.level} ${name}`
    );
  assertEquals(headings(), [
    "1 Key server",
    "2 Requests from this machine",
    "3 status 404 KEY /user/Ada HTTP/1.1",
  ]);
  assertEquals(named("article"), ["status 404 KEY /user/Ada HTTP/1.1"]);
  assertEquals(named("navigation"), ["Views"]);
  assertEquals(named("searchbox"), ["Show only user id"]);
  const live = nodes.filter(({ role }) => role === "status");
  assertEquals(live.map(({ properties }) => properties.live), ["polite", "polite"]);
  await talk(server, CLOSING_REQUEST);
  await tab.until(`document.querySelector("#announcement").textContent !== ""`);
  assertEquals(
    await tab.evaluate(`document.querySelector("#announcement").textContent`),
    "KEY /user/Ada/, status 200",
  );

  await tab.evaluate(`void (location.hash = "#class")`);
  await tab.until(`${ROWS}.length > 0`);
  nodes = await tab.accessibleNodes();
  assertEquals(headings(), ["1 Key server", "2 Class"]);
  assertEquals(named("columnheader").map((name) => name.replace(/ [▲▼]$/, "")), [
    "User id",
    "IP address",
    "Asked",
    "Verified",
    "Errors",
    "Last remark",
    "Quiet for",
  ]);
  assertEquals(named("rowheader").length, (await rowsOf(tab)).length);
});

// ---- The class and the drill

Deno.test("the page shows a class of 30 users", async () => {
  await using server = show();
  await using tab = await open(server, { path: "/#class" });
  await sendClass(server, 30);
  // The path of the wrong requests still names the user.
  await tab.until(`${ROWS}.length >= 30`);
  await delay(500);
  const rows = (await rowsOf(tab)).filter(([user]) => user.startsWith("user-"));
  assertEquals(rows.length, 30);
  for (const [at, [user, address, asked, verified]] of rows.entries()) {
    assertEquals(user, `user-${String(at).padStart(2, "0")}`);
    assertEquals(address, `127.0.0.${2 + at % 7}`);
    assertEquals(asked, at % 5 === 2 ? "2" : "1");
    assertEquals(verified.endsWith(at % 2 === 0 ? "1" : "0"), true, verified);
    assertEquals(verified.includes("✔"), at % 2 === 0);
  }
  assertMatch(
    await tab.evaluate("document.querySelector('#totals').textContent"),
    /^3\d users, 15 have verified a key, \d+ errors$/,
  );
  assertEquals(tab.problems(), []);
});

Deno.test("a student sees only requests from one IP address", async () => {
  await using server = show();
  await sendClass(server, 14);
  await using proxy = new Proxy(server, "127.0.0.3");
  await using tab = await open(await proxy.listen(), { path: "/#class" });
  await tab.until(`${ARTICLES}.length > 0`);
  const text = await tab.evaluate<string>("document.querySelector('main').innerText");
  assertStringIncludes(text, "Requests from 127.0.0.3");
  const isVisible = (selector: string) =>
    tab.evaluate(`document.querySelector("${selector}").checkVisibility()`);
  assertEquals(await isVisible("#view-class"), false);
  assertEquals(await isVisible("nav"), false);
  await delay(300);
  // Two users: one without a final slash, and one with PUT.
  assertEquals((await entriesOf(tab)).length, 4);
  for (const line of await linesOf(tab)) assertMatch(line, /user-0[18]|\/key\/user-08\//);
  await talkFrom("127.0.0.2", server, CLOSING_REQUEST);
  await talkFrom("127.0.0.3", server, CLOSING_REQUEST);
  await untilArticles(tab, 5);
  assertEquals(await rowsOf(tab), []);
  assertEquals(tab.problems(), []);
});

Deno.test("the page shows the rounds of a drill", async () => {
  await using drill = drillOf({ faults: ["drip", "chunked", "silent"], page: true });
  await using tab = await open(drill);
  assertEquals(await tab.evaluate("document.title"), "Drill · Key server");
  const states = () =>
    tab.evaluate<string[]>(`[...document.querySelectorAll("#rounds > li")].map((round) =>
      round.className)`);
  await tab.until(`document.querySelector("#rounds > .later")`);
  assertEquals(await states(), ["next", "later", "later"]);
  await pass(drill.port);
  await tab.until(`document.querySelector("#rounds > .passed")`, 2000);
  await tab.until(`document.querySelector("#rounds > .next")`, 2000);
  assertEquals(await states(), ["passed", "next", "later"]);
  await talk(drill, CLOSING_REQUEST.replace("KEY", "GET"));
  await tab.until(`document.querySelector("#rounds > .failed")`, 20_000);
  const failed = await tab.evaluate("document.querySelector('#rounds > .failed').innerText");
  assertMatch(String(failed), /error: .*help: /s);
  assertMatch(
    await tab.evaluate("document.querySelector('#summary').textContent"),
    /^1 passed, 1 failed, 1 left$/,
  );
  await assertFits(tab, "drill");
  await assertOnlyText(tab);
  await talk(drill, CLOSING_REQUEST.replace("KEY", "GET"));
  await drill.finished;
  await tab.until(
    `document.querySelector("#summary").textContent === "1 passed, 2 failed, 0 left"`,
  );
  await tab.until(`${STATE} === "The drill has ended."`);
});

// ---- Load

Deno.test("the page follows 200 clients while 100 pages are open", async () => {
  await using server = show();
  await using tab = await open(server);
  using pages = new DisposableStack();
  for (let count = 0; count < 100; count++) pages.use(new Page(server));
  const isPage = ({ type, isBrowser }: KeyServerEvent) => type === "request" && isBrowser;
  await until(() => server.events.filter(isPage).length > 100);
  await Promise.all(Array.from({ length: 200 }, async (_, at) => {
    for (let round = 0; round < 2; round++) {
      await talk(server, CLOSING_REQUEST.replace("Ada", `user-${at}`));
    }
  }));
  await talk(server, CLOSING_REQUEST.replace("Ada", "last"));
  const start = performance.now();
  await tab.until(`document.querySelector("h3 code")?.textContent.includes("/user/last/")`);
  const time = performance.now() - start;
  assert(time < 5000, `${time} ms`);
  assertEquals((await entriesOf(tab)).length, 100);
  assertEquals(tab.problems(), []);
});
