/**
 * The style of the page for browsers.
 *
 * @module
 */

/** The style of the page and of `messagePage()`. Text has a contrast of at least 4.5:1. */
export const STYLE: string = `
:root {
  --back: #fff; --panel: #f5f6f8; --line: #c9ced5; --text: #1b1f24; --dim: #59636e; --link: #0b57a4;
  --good: #17692f; --good-back: #e3f4e7; --bad: #b3261e; --warn: #855300; --note: #0b5a86;
  --on-badge: #fff; --mark: #6f0d07; --mark-back: #ffd6d1;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #14171a; --panel: #1e2327; --line: #49525b; --text: #e8eaec; --dim: #a5aeb7;
    --link: #8cc2ff; --good: #7fd694; --good-back: #1b3524; --bad: #ff9a90; --warn: #f0bd62;
    --note: #83c9f2; --on-badge: #14171a; --mark: #ffe9e6; --mark-back: #7a211a;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body {
  margin: 0 auto; padding: 0.5rem 1rem 1rem; max-width: 120rem; overflow-wrap: anywhere;
  background: var(--back); color: var(--text); font: 1rem/1.45 system-ui, sans-serif;
}
h1, h2, h3, pre, figure, ol { margin: 0; padding: 0; }
h1 { font-size: 1.375rem; }
h2, .lead { font-size: 1.25rem; }
p { margin: 0.25rem 0; }
a, summary { color: var(--link); }
code, pre { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { font-size: 0.95em; white-space: pre-wrap; }
code, .text { unicode-bidi: isolate; }
button, input {
  padding: 0.2rem 0.6rem; border: 1px solid var(--dim); border-radius: 4px;
  background: var(--back); color: inherit; font: inherit;
}
button, summary { cursor: pointer; }
input { width: 14rem; max-width: 100%; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 1px; }
mark { background: var(--mark-back); color: var(--mark); border-bottom: 2px solid var(--bad); }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.dim, .end, figcaption { color: var(--dim); }

header, nav, .bar { display: flex; flex-wrap: wrap; align-items: center; gap: 0.25rem 1rem; }
header { margin-bottom: 0.5rem; padding-bottom: 0.4rem; border-bottom: 1px solid var(--line); }
nav a { padding: 0.25rem 0; border-bottom: 3px solid transparent; }
nav a[aria-current] { border-color: currentcolor; font-weight: bold; text-decoration: none; }
#connection { margin: 0 0 0 auto; font-weight: bold; }
#connection.failed { color: var(--bad); }
#connection.live { color: var(--good); }
.bar { margin: 0.25rem 0 0.5rem; align-items: baseline; }
details { flex: 1 1 20rem; }
.message, details p { max-width: 48rem; }

article {
  display: grid; gap: 0.5rem 1rem; margin-bottom: 0.75rem; padding: 0.75rem 1rem;
  border: 1px solid var(--line); border-radius: 6px; background: var(--panel);
}
article > * { min-width: 0; }
.head { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 1.5rem; }
h3, h3 code { font-size: 1.25rem; }
.badge { padding: 0.1rem 0.5rem; border-radius: 4px; color: var(--on-badge); }
.badge.open { background: var(--dim); }
.badge.good { background: var(--good); }
.badge.bad { background: var(--bad); }
.remark { margin: 0.25rem 0 0.75rem; padding-left: 0.75rem; border-left: 4px solid var(--tone); }
.error { --tone: var(--bad); }
.warning { --tone: var(--warn); }
.note { --tone: var(--note); }
.fact { font-size: 1.125rem; font-weight: 600; }
.fact code { font-weight: normal; }
.severity, .caret { color: var(--tone); font-weight: bold; }
.help { white-space: pre-line; }
pre {
  position: relative; padding: 0.4rem 0.6rem; overflow: auto; border: 1px solid var(--line);
  border-radius: 4px; background: var(--back); line-height: 1.35;
}
.excerpt { width: fit-content; max-width: 100%; padding-bottom: 0; }
.bytes { max-height: 18rem; white-space: pre-wrap; word-break: break-all; font-size: 0.875rem; }
@media (min-width: 60rem) {
  article { grid-template-columns: 1fr 1fr; }
  article > :not(figure) { grid-column: 1 / -1; }
}

.scroll { position: relative; overflow-x: auto; }
table {
  width: 100%; min-width: 56rem; table-layout: fixed; border-collapse: collapse; line-height: 1.3;
  font-variant-numeric: tabular-nums;
}
th, td { padding: 0.05rem 0.5rem; border-bottom: 1px solid var(--line); text-align: left; }
td { overflow: hidden; }
thead th { padding: 0; border-bottom: 2px solid var(--dim); vertical-align: bottom; }
thead button {
  width: 100%; padding: 0.1rem 0.5rem; border: 0; text-align: inherit; font-weight: bold;
  white-space: nowrap;
  outline-offset: -3px;
}
[aria-sort] button::after { content: " ▲"; font-size: 0.75em; }
[aria-sort="descending"] button::after { content: " ▼"; }
.number { width: 5.5rem; text-align: right; }
.number[data-column="time"] { width: 8rem; }
.user { width: 18%; }
.address { width: 10rem; }
/* A user id can be anything. It must not cover other rows. */
th bdi { display: block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.done { background: var(--good-back); color: var(--good); font-weight: bold; }
@media (max-width: 40rem) { /* the columns "IP address" and "Asked" are left out */
  table { min-width: 36rem; }
  th:nth-child(2), td:nth-child(2), th:nth-child(3), td:nth-child(3) { display: none; }
}
@media (min-width: 80rem) {
  table { font-size: 1.125rem; }
  .number { width: 6.5rem; }
  .user { width: 16%; }
  .address { width: 13%; }
}

ol { columns: 2 44rem; list-style: none; font-size: 1.125rem; }
li { break-inside: avoid; padding: 0.05rem 0; border-bottom: 1px solid var(--line); }
li > div { display: flex; flex-wrap: wrap; gap: 0 1rem; }
li p { margin-left: 1.5rem; font-size: 1rem; white-space: pre-line; }
.state { min-width: 6.5rem; font-weight: bold; }
.round { min-width: 11rem; }
.later .state { color: var(--dim); font-weight: normal; }
.passed .state { color: var(--good); }
.failed .state { color: var(--bad); }
`;
