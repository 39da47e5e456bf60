/**
 * The script of the page, as a string: it runs in the browser.
 *
 * Text from the network only becomes text nodes, never HTML.
 *
 * @module
 */

import { MAX_REQUESTS, MAX_SHOWN_BYTES } from "./page_data.ts";

/** The script of the page. It has no backquotes, because it is a template literal itself. */
export const SCRIPT: string = String.raw`
"use strict";

const MAX_REQUESTS = ${MAX_REQUESTS};
const MAX_ROWS = 500;
const MAX_PEOPLE = 10000; // as many as the server remembers
const MAX_SHOWN_BYTES = ${MAX_SHOWN_BYTES}; // of a request or a response; the server sends no more
const MAX_DIMMED = 100; // lines whose line ending is an element; thousands would be slow
const QUIET_INTERVAL = 5000; // ms
const ANNOUNCE_DELAY = 1000; // ms; only the last request in this time is announced
const RECONNECT_DELAY = 3000; // ms
const SILENT_TIME = 40000; // ms; the server sends something every 15 s
const HIDDEN_TIME = 5000; // ms; a browser has only 6 connections to a server, for all tabs

const byId = (id) => document.getElementById(id);
const port = location.port || 80;
let hello = null;
let defaultView = "";
let view = "";
let clockOffset = 0; // ms between the server's clock and this one
let isPaused = false;
let isConnected = false;
let hasRestarted = false; // whether the server has started again since the page was loaded
let addresses = []; // at which clients have reached the server

// ---- Elements

/** Makes an element. A child that is a string becomes text; null is left out. */
function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Makes an element that screen readers skip. */
function makeSign(...children) {
  const sign = make("span", "", ...children);
  sign.setAttribute("aria-hidden", "true");
  return sign;
}

/** Shows text from the network. Text in backquotes becomes code. */
function rich(text) {
  const parts = text.split(/\x60([^\x60]+)\x60/);
  return make("span", "text", ...parts.map((part, at) => at % 2 ? make("code", "", part) : part));
}

/** Makes a paragraph such as "help: ...". */
function labelled(className, label, text, labelClass = "dim") {
  return make("p", className, make("span", labelClass, label + ": "), text);
}

/** Sets the text only if it differs, so that a selection stays. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function count(number, noun) {
  return number + " " + noun + (number === 1 ? "" : "s");
}

/** If an element scrolls, lets the keyboard reach it, and scrolls to its marked part once. */
const overflow = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const { scrollWidth, clientWidth, scrollHeight, clientHeight } = target;
    if (scrollWidth <= clientWidth && scrollHeight <= clientHeight) {
      target.removeAttribute("tabindex");
    } else if (!target.hasAttribute("tabindex")) {
      target.tabIndex = 0;
      const mark = target.querySelector("mark, .caret");
      if (!mark) continue;
      target.scrollTop = mark.offsetTop - clientHeight / 2;
      target.scrollLeft = mark.offsetLeft + mark.offsetWidth - 0.7 * clientWidth;
    }
  }
});

/** Makes a named block of text that may scroll. */
function makePre(className, label, ...children) {
  const pre = make("pre", className, ...children);
  pre.setAttribute("role", "group");
  pre.setAttribute("aria-label", label);
  overflow.observe(pre);
  return pre;
}

// ---- Requests

const requests = new Map(); // the last ones, by id
const changedIds = new Set(); // of requests that the page does not show yet
const articles = new Map(); // what the page shows, by id

function outcomeOf({ status, response, closedBy }) {
  if (status > 0) return String(status);
  if (status === null) return closedBy === null ? "incomplete" : "no response";
  return response.size > 0 ? "not HTTP" : "no response";
}

/** Returns whether the filter shows a request. Without a user id, a request may be anyone's. */
function isVisible({ user }) {
  const wanted = byId("filter").value.trim().toLowerCase();
  return wanted === "" || user === null || user.toLowerCase() === wanted;
}

function storeRequest(request) {
  if (request.isWithdrawn) return requests.delete(request.id);
  requests.set(request.id, request);
  changedIds.add(request.id);
  if (requests.size <= MAX_REQUESTS) return;
  const oldest = Math.min(...requests.keys());
  requests.delete(oldest);
  changedIds.delete(oldest);
}

function headOf(request) {
  const { id, time, line, status, fault, closedBy } = request;
  const isOpen = status === null && closedBy === null;
  const tone = isOpen ? "open" : status >= 200 && status < 300 ? "good" : "bad";
  const word = make("span", "unseen", "status ");
  const badge = make("span", "badge " + tone, word, outcomeOf(request));
  const heading = make("h3", "", badge, " ", make("code", "", line));
  heading.id = "request-" + id;
  const clock = new Date(time).toTimeString().slice(0, 8);
  return make("div", "head", heading, make("span", "dim", clock, fault && " · fault: " + fault));
}

function excerptOf([before, marked, after]) {
  const caret = make("span", "caret", "^".repeat(Math.max(1, marked.length)));
  const mark = marked === "" ? null : make("mark", "", marked);
  const pointer = makeSign(" ".repeat(before.length), caret);
  return makePre("excerpt", "Excerpt", before, mark, after, "\n", pointer);
}

function remarkOf({ severity, code, fact, help, fix, excerpt }) {
  const headline = labelled("fact", severity, rich(fact), "severity");
  headline.append(" ", make("code", "dim", "[" + code + "]"));
  return make("div", "remark " + severity, headline,
    excerpt && excerptOf(excerpt),
    fix && labelled("", "fix", make("code", "", fix)),
    help && labelled("help", "help", rich(help)));
}

/** Makes lines of bytes. Joins plain text, because thousands of elements would be slow. */
function bytesOf(lines, label) {
  const children = [""];
  lines.forEach((segments, at) => {
    if (at > 0) children.push(children.pop() + "\n");
    for (const [text, kind] of segments) {
      if (kind === "mark") children.push(make("mark", "", text), "");
      else if (kind === "end" && at < MAX_DIMMED) children.push(make("span", "end", text), "");
      else children.push(children.pop() + text);
    }
  });
  return makePre("bytes", label, ...children);
}

function figureOf(name, bytes, details) {
  const isCut = bytes.size > MAX_SHOWN_BYTES;
  const more = isCut ? " (only the first " + MAX_SHOWN_BYTES + " bytes)" : "";
  const caption = make("figcaption", "", name + ": " + count(bytes.size, "byte") + details + more);
  const pre = bytes.size > 0 ? bytesOf(bytes.lines, name + ", bytes") : null;
  return make("figure", "", caption, pre);
}

function requestOf({ request, reads, closedBy }) {
  const isOpen = reads === null && closedBy === null;
  return figureOf("Request", request, isOpen ? " so far" : reads ? " in " + count(reads, "read") : "");
}

function responseOf({ response }) {
  if (response && response.size > 0) return figureOf("Response", response, "");
  return make("figure", "", make("figcaption", "", "Response: none"));
}

function connectionOf({ connection, port, closedBy }) {
  const state = closedBy === null ? "still open" : "closed by the " + closedBy;
  return make("div", "dim", "Connection " + connection + " from port " + port + ": " + state);
}

/** The parts of an article: what each depends on, and how it is made. */
const PARTS = [
  [({ line, fault, ...rest }) => [line, fault, outcomeOf(rest)], headOf],
  [({ remarks }) => remarks, ({ remarks }) => make("div", "", ...remarks.map(remarkOf))],
  [({ request, reads, closedBy }) => [request, reads, closedBy], requestOf],
  [({ response }) => response, responseOf],
  [({ closedBy }) => closedBy, connectionOf],
];

/** Shows a request. Replaces only the parts that have changed, so that a selection stays. */
function showRequest(request) {
  const shown = articles.get(request.id) || addArticle(request.id);
  shown.request = request;
  PARTS.forEach(([pick, build], at) => {
    const key = JSON.stringify(pick(request));
    if (shown.keys[at] === key) return;
    shown.keys[at] = key;
    const part = shown.article.children[at];
    if (part) part.replaceWith(build(request));
    else shown.article.append(build(request));
  });
}

/** Adds an empty article above all older ones. */
function addArticle(id) {
  const article = make("article", "");
  article.setAttribute("aria-labelledby", "request-" + id);
  article.dataset.id = id;
  const older = [...byId("list").children].find((other) => Number(other.dataset.id) < id);
  byId("list").insertBefore(article, older || null);
  const shown = { article, keys: [], request: null };
  articles.set(id, shown);
  return shown;
}

function renderRequests() {
  for (const [id, { article }] of articles) {
    if (requests.has(id)) continue;
    article.remove();
    articles.delete(id);
  }
  for (const id of [...changedIds].sort((a, b) => a - b)) {
    if (requests.has(id)) showRequest(requests.get(id));
  }
  changedIds.clear();
  applyFilter();
}

function applyFilter() {
  let isEmpty = true;
  for (const { article, request } of articles.values()) {
    article.hidden = !isVisible(request);
    if (!article.hidden) isEmpty = false;
  }
  const noMatch = "No requests with this user id. To see all requests, clear the field above.";
  const address = location.hostname + ":" + port;
  const noRequests = (hasRestarted ? "The server has started again. " : "") +
    "No requests yet. Run your client against " + address + ".";
  byId("none").hidden = !isEmpty;
  setText(byId("none"), articles.size > 0 ? noMatch : noRequests);
}

// ---- Title and announcements

let announcement = "";

function updateTitle() {
  const finished = [...requests.values()].filter((request) =>
    request.status !== null && isVisible(request)
  );
  const last = Math.max(...finished.map(({ id }) => id));
  const outcome = finished.length > 0 ? outcomeOf(requests.get(last)) : "";
  const title = { class: "Class", drill: "Drill" }[view] || outcome;
  document.title = (title && title + " · ") + "Key server";
}

/** Announces a request to screen readers. */
function announce(request) {
  if (announcement === "") setTimeout(endAnnouncement, ANNOUNCE_DELAY);
  const { line, status, remarks } = request;
  announcement = line.replace(/ HTTP\/1\.\d$/, "") + ", " + (status > 0 ? "status " : "") +
    outcomeOf(request) + (remarks.length > 0 ? ", " + remarks[0].fact : "");
}

function endAnnouncement() {
  byId("announcement").textContent = announcement;
  announcement = "";
}

// ---- Class

const people = []; // sorted
const peopleByKey = new Map();
const collator = new Intl.Collator(undefined, { numeric: true });
let column = "user";
let isDescending = false;

function keyOf({ user, address }) {
  return JSON.stringify([user, address]);
}

function storeUser(user) {
  const key = keyOf(user);
  const person = peopleByKey.get(key) || { row: null, cells: [], shown: null };
  if (!peopleByKey.has(key)) people.push(person);
  peopleByKey.set(key, person);
  person.user = user;
}

/** Forgets the users whose last event is longest ago. */
function forgetQuietest() {
  people.sort((a, b) => b.user.time - a.user.time);
  for (const { user } of people.splice(MAX_PEOPLE)) peopleByKey.delete(keyOf(user));
}

/** Compares by a column. Missing values come last. */
function compareBy(name, first, second) {
  const [a, b] = [first.user[name], second.user[name]];
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  const order = typeof a === "number" ? a - b : collator.compare(a, b);
  return name === column && isDescending ? -order : order;
}

function comparePeople(a, b) {
  return compareBy(column, a, b) || compareBy("user", a, b) || compareBy("address", a, b);
}

function quietText(user) {
  const seconds = Math.max(0, Math.round((Date.now() + clockOffset - user.time) / 1000));
  if (seconds < 60) return seconds + " s";
  return seconds < 3600 ? Math.floor(seconds / 60) + " min" : Math.floor(seconds / 3600) + " h";
}

function addRow(person) {
  const name = make("bdi", "");
  const head = make("th", "", name);
  head.scope = "row";
  const kinds = ["", "number", "number", "number", "", "number"];
  const cells = kinds.map((kind) => make("td", kind));
  person.cells = [name, ...cells];
  person.row = make("tr", "", head, ...cells);
}

/** Returns the row of a person. Changes only what differs. */
function rowOf(person) {
  if (!person.row) addRow(person);
  const { user, cells: [name, address, asked, verified, errors, remark, quiet] } = person;
  setText(quiet, quietText(user));
  if (person.shown === user) return person.row;
  person.shown = user;
  name.title = user.user === null ? "(unknown)" : user.user || "(empty)";
  setText(name, name.title);
  setText(address, user.address);
  setText(asked, String(user.asked));
  setText(errors, String(user.errors));
  remark.replaceChildren(user.remark === null ? "" : rich(user.remark));
  const isDone = user.verified > 0;
  const signs = isDone ? [makeSign("✔ "), make("span", "unseen", "has verified a key: ")] : [];
  verified.classList.toggle("done", isDone);
  verified.replaceChildren(...signs, String(user.verified));
  return person.row;
}

/** Puts rows in order. Moves as few as possible, so that a selection stays. */
function arrange(body, rows) {
  const wanted = new Set(rows);
  for (const row of [...body.children]) if (!wanted.has(row)) row.remove();
  let next = body.firstElementChild;
  for (const row of rows) {
    // If the row after the next one is wanted, the next one moves down later.
    if (next && next.nextElementSibling === row) next = row;
    if (next === row) next = row.nextElementSibling;
    else body.insertBefore(row, next);
  }
}

function renderClass() {
  people.sort(comparePeople);
  arrange(byId("people"), people.slice(0, MAX_ROWS).map(rowOf));
  const users = people.filter(({ user }) => user.user !== null).length;
  const verified = people.filter(({ user }) => user.verified > 0).length;
  const errors = people.reduce((sum, { user }) => sum + user.errors, 0);
  const verb = verified === 1 ? " has" : " have";
  const totals = count(users, "user") + ", " + verified + verb + " verified a key, " +
    count(errors, "error");
  setText(byId("totals"), people.length > 0 ? totals : "No users yet.");
  const hiddenCount = people.length - MAX_ROWS;
  setText(byId("more"), hiddenCount > 0 ? "and " + hiddenCount + " more" : "");
}

/** Sorts by a column. A column of numbers begins with the highest one. */
function sortBy(head) {
  const name = head.dataset.column;
  const isReversed = name === "time"; // the longest quiet is the lowest time
  const isNumber = head.classList.contains("number");
  isDescending = name === column ? !isDescending : isNumber && !isReversed;
  column = name;
  document.querySelector("[aria-sort]").removeAttribute("aria-sort");
  head.setAttribute("aria-sort", isDescending !== isReversed ? "descending" : "ascending");
  renderClass();
}

// ---- Drill

const STATES = { later: "waiting", next: "next" };
const VERDICTS = ["passed", "failed"];
const SIGNS = { later: "·", next: "…", running: "…", passed: "✔", failed: "✘" };
const roundKeys = []; // what the page shows
let rounds = [];

function roundOf({ label, description, state, rationale, help }) {
  const sign = makeSign(SIGNS[state] + " ");
  const word = make("span", "state", sign, STATES[state] || state);
  return make("li", state,
    make("div", "", word, make("code", "round", label), rich(description)),
    rationale && labelled("error", "error", rich(rationale), "severity"),
    help && labelled("", "help", rich(help)));
}

function renderDrill() {
  const list = byId("rounds");
  rounds.forEach((round, at) => {
    const key = JSON.stringify(round);
    if (roundKeys[at] === key) return;
    roundKeys[at] = key;
    if (list.children[at]) list.children[at].replaceWith(roundOf(round));
    else list.append(roundOf(round));
  });
  while (list.children.length > rounds.length) list.lastElementChild.remove();
  roundKeys.length = rounds.length;
  const passed = rounds.filter(({ state }) => state === "passed").length;
  const failed = rounds.filter(({ state }) => state === "failed").length;
  const others = rounds.length - passed - failed;
  setText(byId("summary"), passed + " passed, " + failed + " failed, " + others + " left");
}

// ---- Views

const RENDER = { requests: renderRequests, class: renderClass, drill: renderDrill };
const changedViews = new Set();
let isScheduled = false;

function isLoopback(address) {
  return /^(?:127\.|\[::1\]|\[::ffff:127\.|localhost)/.test(address);
}

/** Returns the default view: the class, if the server was reached from other machines. */
function defaultViewOf({ isLocal, isDrill }) {
  if (!isLocal) return "requests";
  return isDrill ? "drill" : addresses.every(isLoopback) ? "requests" : "class";
}

function showView() {
  if (!hello) return;
  const names = hello.isLocal ? ["requests", hello.isDrill ? "drill" : "class"] : ["requests"];
  const name = location.hash.slice(1);
  view = names.includes(name) ? name : defaultView;
  for (const section of document.querySelectorAll("section")) {
    section.hidden = section.id !== "view-" + view;
  }
  for (const link of document.querySelectorAll("nav a")) {
    link.hidden = !names.includes(link.hash.slice(1));
    if (link.hash === "#" + view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.querySelector("nav").hidden = names.length < 2;
  updateTitle();
  changedViews.add(view);
  schedule();
}

/** Renders with the next frame. After a slow frame, waits longer, so that the page stays usable. */
function schedule() {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    const start = performance.now();
    if (!isPaused && changedViews.delete(view)) RENDER[view]();
    setTimeout(() => setTimeout(endFrame, 2 * (performance.now() - start))); // after the layout
  });
}

function endFrame() {
  isScheduled = false;
  if (!isPaused && changedViews.has(view)) schedule();
}

function showStatus() {
  const isEnded = rounds.length > 0 && rounds.every(({ state }) => VERDICTS.includes(state));
  const failure = "Not connected. The server may have stopped. Trying again…";
  const state = isConnected ? isPaused ? "Paused" : "Live" : isEnded ? "The drill has ended." : failure;
  setText(byId("connection"), state);
  byId("connection").className = !isConnected && !isEnded ? "failed" : isPaused ? "" : "live";
  const news = changedIds.size > 0 ? " (" + changedIds.size + " new)" : "";
  setText(byId("pause"), isPaused ? "Continue" + news : "Pause");
  byId("pause").hidden = false;
}

// ---- The stream

function receive(data) {
  if (data.hello && hello && hello.run !== data.hello.run) forgetAll(); // the server has restarted
  if (data.addresses) showAddresses(data.addresses);
  if (data.hello) start(data.hello);
  let finished = null;
  for (const request of data.requests || []) {
    const before = requests.get(request.id);
    const isNew = request.status !== null && (!before || before.status === null);
    const isLater = request.time >= hello.time; // than the stream began
    if (isNew && isLater && isVisible(request)) finished = request;
    storeRequest(request);
  }
  for (const user of data.users || []) storeUser(user);
  if (people.length > 1.1 * MAX_PEOPLE) forgetQuietest();
  rounds = data.rounds || rounds;
  if (data.requests) changedViews.add("requests");
  if (data.users) changedViews.add("class");
  if (data.rounds) changedViews.add("drill");
  if (finished && view === "requests" && !isPaused) announce(finished);
  if (data.requests) updateTitle();
  if (isPaused) showStatus();
  schedule();
}

function start(newHello) {
  if (!hello || hello.run !== newHello.run) defaultView = defaultViewOf(newHello);
  hello = newHello;
  clockOffset = hello.time - Date.now();
  byId("invitation").hidden = !hello.isShared;
  setText(byId("whose"), "Requests from " + (hello.isLocal ? "this machine" : hello.address));
  showView();
}

/** Shows the address that students open. It is known only after a client has used it. */
function showAddresses(newAddresses) {
  addresses = newAddresses;
  const address = addresses.find((address) => !isLoopback(address));
  const anyAddress = "<IP address of this machine>:" + port;
  setText(byId("students"), "http://" + (address || anyAddress) + "/");
}

/** Forgets the last run of the server. */
function forgetAll() {
  hasRestarted = true;
  isPaused = false;
  for (const collection of [requests, changedIds, articles, peopleByKey]) collection.clear();
  people.length = roundKeys.length = 0;
  rounds = [];
  showAddresses([]);
  for (const id of ["list", "people", "rounds"]) byId(id).replaceChildren();
}

let source = null; // while it is connected or tries to connect
let lastId = ""; // of the last message
let heardAt = 0; // when the last message came
let reconnectTimer = 0;
let hiddenTimer = 0;

/** Connects. The browser connects again by itself, except after some errors. */
function connect() {
  clearTimeout(reconnectTimer);
  heardAt = Date.now();
  source = new EventSource("/events" + (lastId && "?since=" + encodeURIComponent(lastId)));
  source.onopen = () => {
    isConnected = true;
    showStatus();
  };
  source.onmessage = (event) => {
    heardAt = Date.now();
    lastId = event.lastEventId || lastId;
    receive(JSON.parse(event.data));
  };
  source.onerror = () => {
    isConnected = false;
    showStatus();
    if (source.readyState !== EventSource.CLOSED) return;
    disconnect();
    reconnectTimer = setTimeout(followVisibility, RECONNECT_DELAY);
  };
}

function disconnect() {
  clearTimeout(reconnectTimer);
  if (source) source.close();
  source = null;
}

/** Connects again if nothing comes, for example because the machine slept. */
function checkSilence() {
  if (!source || Date.now() - heardAt < SILENT_TIME) return;
  isConnected = false;
  showStatus();
  disconnect();
  connect();
}

/** Disconnects while nobody can see the page, so that other tabs can connect. */
function followVisibility() {
  clearTimeout(hiddenTimer);
  if (document.hidden) hiddenTimer = setTimeout(disconnect, HIDDEN_TIME);
  else if (source) checkSilence();
  else connect();
}

addEventListener("hashchange", showView);
byId("filter").addEventListener("input", () => {
  applyFilter();
  updateTitle();
});
byId("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  showStatus();
  schedule();
});
for (const head of document.querySelectorAll("[data-column]")) {
  head.firstElementChild.addEventListener("click", () => sortBy(head));
}
overflow.observe(document.querySelector(".scroll"));
document.addEventListener("visibilitychange", followVisibility);
setInterval(checkSilence, QUIET_INTERVAL);
setInterval(() => {
  if (view === "class" && !isPaused) people.slice(0, MAX_ROWS).forEach(rowOf);
}, QUIET_INTERVAL);
setText(byId("connection"), "Connecting…");
showAddresses([]);
connect();
followVisibility(); // the page may be in the background
`;
