/**
 * The page for browsers: it shows live what the server has received. The server sends
 * {@linkcode PAGE} once. Everything else comes over a stream of events, as `PageData`.
 *
 * The page is one document without other files. The server allows its style and its script by their
 * hashes, so the page has no `style` and no `on...` attributes.
 *
 * @module
 */

import { SCRIPT } from "./page_script.ts";
import { STYLE } from "./page_style.ts";

/** Returns the start of a document. */
function headOf(title: string): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>${title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>`;
}

/** Returns the head of a column. Its button sorts by the property with this name. */
function columnHead(text: string, name: string, attributes: string): string {
  const button = `<button type="button">${text}</button>`;
  return `<th scope="col" data-column="${name}" ${attributes}>${button}</th>`;
}

/** The page. It gets its data from `/events`. */
export const PAGE: string = `${headOf("Key server")}
<body>
<header>
  <h1>Key server</h1>
  <nav aria-label="Views" hidden>
    <a href="#requests">Requests</a> <a href="#class">Class</a> <a href="#drill">Drill</a>
  </nav>
  <p id="connection" role="status"></p>
  <button type="button" id="pause" hidden>Pause</button>
</header>
<noscript><p>This page needs JavaScript. Allow it, then load the page again.</p></noscript>
<main>
<section id="view-requests" aria-labelledby="whose" hidden>
  <h2 id="whose">Requests</h2>
  <div class="bar">
    <label for="filter">Show only user id</label>
    <input type="search" id="filter" autocapitalize="off" spellcheck="false">
    <details>
      <summary>Not your requests?</summary>
      <p>This page shows all requests from one IP address: the address of this browser.</p>
      <p>If other people share your IP address (one machine, NAT, a container or a proxy), use your
        own user id, and enter it under “Show only user id”. Requests without a user id stay
        visible, because they may be yours.</p>
      <p>If your requests are missing, your client uses another IP address than this browser. Open
        this page on the machine that your client runs on.</p>
    </details>
  </div>
  <p id="none" class="lead" hidden></p>
  <div id="list"></div>
</section>
<section id="view-class" aria-labelledby="class-title" hidden>
  <div class="bar lead">
    <h2 id="class-title">Class</h2>
    <span id="invitation">Students open <strong id="students"></strong></span>
    <span id="totals"></span>
  </div>
  <div class="scroll" role="group" aria-label="Table of users">
    <table>
      <caption class="unseen">Table of users. Use the column buttons to sort it.</caption>
      <thead>
        <tr>
          ${columnHead("User id", "user", 'class="user" aria-sort="ascending"')}
          ${columnHead("IP address", "address", 'class="address"')}
          ${columnHead("Asked", "asked", 'class="number"')}
          ${columnHead("Verified", "verified", 'class="number"')}
          ${columnHead("Errors", "errors", 'class="number"')}
          ${columnHead("Last remark", "remark", "")}
          ${columnHead("Quiet for", "time", 'class="number"')}
        </tr>
      </thead>
      <tbody id="people"></tbody>
    </table>
  </div>
  <p id="more"></p>
</section>
<section id="view-drill" aria-labelledby="drill-title" hidden>
  <div class="bar lead">
    <h2 id="drill-title">Drill</h2>
    <span id="summary"></span>
  </div>
  <ol id="rounds"></ol>
</section>
</main>
<div id="announcement" class="unseen" role="status"></div>
<script>${SCRIPT}</script>
</body>
</html>
`;

/**
 * Returns a small page with a message, such as "A browser cannot send KEY".
 *
 * @param title The title.
 * @param paragraphs The text. Text in backquotes becomes code.
 * @param link The address of the page with all requests, if the message should have a link to it.
 * @returns The document.
 */
export function messagePage(title: string, paragraphs: string[], link?: string): string {
  const texts = paragraphs.map((text) => escapeHtml(text).replace(/`([^`]+)`/g, "<code>$1</code>"));
  if (link !== undefined) {
    const label = "See what the server has received from your client";
    texts.push(`<a href="${escapeHtml(link)}">${label}</a>`);
  }
  return `${headOf(escapeHtml(title))}
<body class="message">
<h1>${escapeHtml(title)}</h1>
${texts.map((text) => `<p>${text}</p>\n`).join("")}</body>
</html>
`;
}

/** Escapes text for HTML, also within attributes. */
function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
