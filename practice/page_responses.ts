/**
 * The responses with HTML. The server loads this module when the first browser comes.
 *
 * @module
 */

import { messagePage, PAGE } from "./page.ts";
import { SCRIPT } from "./page_script.ts";
import { STYLE } from "./page_style.ts";
import { ENCODER } from "./responses.ts";

/** A response with HTML. */
export interface HtmlResponse {
  readonly status: number;
  readonly message: string;
  /** Header lines, each with its line ending. */
  readonly headers: string;
}

/**
 * Returns the response to a browser.
 *
 * @param path The requested path; `undefined` if Host is not an IP address or `localhost`.
 * @param host The IP address and the port of the server.
 * @returns The response.
 */
export async function pageFor(path: string | undefined, host: string): Promise<HtmlResponse> {
  const headers = await (policy ??= headersOf());
  if (path === "/") return { status: 200, message: PAGE, headers };
  const [status, allow, title, text] = path === undefined
    ? MISDIRECTED
    : path.startsWith("/user/")
    ? NO_KEY
    : path.startsWith("/key/")
    ? NO_PUT
    : NOT_FOUND;
  const link = path === undefined ? `http://${host}/` : "/";
  return { status, message: messagePage(title, [text], link), headers: allow + headers };
}

type Message = readonly [status: number, allow: string, title: string, text: string];

const NO_KEY: Message = [
  405,
  "Allow: KEY\r\n",
  "A browser cannot send KEY",
  "It sends GET, and this path allows only KEY. Write a client that sends KEY over a socket.",
];
const NO_PUT: Message = [
  405,
  "Allow: PUT\r\n",
  "The address bar cannot send PUT",
  "It sends GET, and this path allows only PUT. Write a client that sends PUT over a socket.",
];
const NOT_FOUND: Message = [
  404,
  "",
  "Nothing is here",
  "This key server has only one page.",
];
const MISDIRECTED: Message = [
  421,
  "",
  "Use the IP address of the server",
  "Open the page with the server's IP address, not with a name. With a name, another web site could read what your client sends.",
];

let policy: Promise<string> | undefined; // the same for each response

/** Returns header lines that let a page run only its own script, and let no other site read it. */
async function headersOf(): Promise<string> {
  const [style, script] = await Promise.all([hashOf(STYLE), hashOf(SCRIPT)]);
  const directives = [
    "default-src 'none'",
    `style-src ${style}`,
    `script-src ${script}`,
    "connect-src 'self'",
    "img-src data:",
    "require-trusted-types-for 'script'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ];
  return `Content-Security-Policy: ${directives.join("; ")}\r\n` +
    "Cross-Origin-Resource-Policy: same-origin\r\n" +
    "X-Content-Type-Options: nosniff\r\n" +
    "Referrer-Policy: no-referrer\r\n" +
    "Cache-Control: no-store\r\n";
}

async function hashOf(text: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", ENCODER.encode(text));
  return `'sha256-${new Uint8Array(hash).toBase64()}'`;
}
