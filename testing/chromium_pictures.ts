/**
 * Makes the pictures of the documentation, with the real command and Chromium. Port 5000 must be
 * free.
 *
 * ```sh
 * deno run --allow-net --allow-run --allow-read --allow-write testing/chromium_pictures.ts
 * pngquant --ext .png --force 64 docs/page.png docs/class.png
 * ```
 */

import { talkFrom } from "./browser.ts";
import { delay } from "./bytes.ts";
import { Chromium, type Tab } from "./chromium_driver.ts";

const ROOT = new URL("..", import.meta.url);
const SERVER = { addr: { transport: "tcp", hostname: "127.0.0.1", port: 5000 } as const };
const HOST = "Host: 192.0.2.7:5000\r\n"; // an address for documentation

/** Sends a request, and returns the key of the response. */
async function send(line: string, from = "127.0.0.1", fields = HOST): Promise<string> {
  const request = `${line}\r\n${fields}User-Agent: my-client\r\nConnection: close\r\n\r\n`;
  return /([\da-f]{128})$/.exec(await talkFrom(from, SERVER, request))?.[1] ?? "";
}

async function save(tab: Tab, name: string): Promise<void> {
  await Deno.writeFile(new URL(`docs/${name}.png`, ROOT), await tab.screenshot());
}

const args = ["task", "-q", "start", "--serve"];
const command = { args, cwd: ROOT, stdout: "null", stderr: "piped" } as const;
const server = new Deno.Command(Deno.execPath(), command).spawn();
await server.stderr.getReader().read(); // it listens
await using browser = await Chromium.launch();

const page = await browser.open("http://127.0.0.1:5000/", { width: 1200, height: 760, scale: 1.5 });
await send("KEY /user/Ada/ HTTP/1.1");
await send("KEY /user/Ada HTTP/1.1");
await page.call("Emulation.setScrollbarsHidden", { hidden: true });
await page.until(`document.querySelectorAll("article").length === 2`);
await page.evaluate(`document.querySelector("nav").hidden = true; // as a student sees it
  document.querySelector("#whose").textContent = "Requests from 192.0.2.20";`);
await save(page, "page");

const NAMES = "Amir Anna Ben Chloe David Elif Emma Jonas Lea Luca Mia Noah".split(" ");
for (const [at, name] of NAMES.entries()) {
  const from = `127.0.0.${21 + at}`;
  if (at % 8 === 1) await send(`KEY /user/${name} HTTP/1.1`, from);
  if (at === 2) await send(`KEY /user/${name} Smith/ HTTP/1.1`, from);
  if (at === 10) await send(`KEY /user/${name}/`, from);
  const key = await send(`KEY /user/${name}/ HTTP/1.1`, from, at === 3 ? "" : HOST);
  if (at === 7) await send(`PUT /key/${name}/${key.slice(0, 60)}/ HTTP/1.1`, from);
  if (at % 4 === 0 || at % 4 === 1) await send(`PUT /key/${name}/${key}/ HTTP/1.1`, from);
  await delay(1500);
}
const table = await browser.open("http://127.0.0.1:5000/#class", {
  width: 1200,
  height: 480,
  scale: 1.5,
});
await table.until(`document.querySelectorAll("#people tr").length > 12`);
await table.evaluate(`document.querySelector("#invitation").hidden = false;
  document.querySelector("#students").textContent = "http://192.0.2.7:5000/";
  for (const { children: [, cell] } of document.querySelectorAll("#people tr")) {
    cell.textContent = cell.textContent.replace(/[.]1$/, ".20").replace("127.0.0", "192.0.2");
  }`);
await save(table, "class");
server.kill("SIGINT");
await server.status;
