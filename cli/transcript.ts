/**
 * The conversation as the map has it, with the wire beneath.
 *
 * @module
 */

import type { WireMessage } from "../key_client.ts";
import { type MainIo, say, shown } from "./output.ts";

const DECODER = new TextDecoder("utf-8", { ignoreBOM: true }); // keeps a BOM
const MAX_SHOWN_BODY = 4096; // bytes

/**
 * Shows messages as the map does, with the wire beneath: each line with its end, or in brief the
 * fields in one line, and a key cut short.
 */
export function transcriber(io: MainIo, isWhole: boolean): (message: WireMessage) => void {
  const { stderr } = io;
  const isColored = stderr.isTerminal() && !Deno.noColor;
  const paint = (code: number, text: string) => isColored ? `\x1b[${code}m${text}\x1b[0m` : text;
  let last = performance.now();
  let stage = 0;
  return ({ direction, head, body, time }) => {
    const isRequest = direction === "request";
    const isInterim = /^HTTP\/1\.\d 1/.test(DECODER.decode(head.subarray(0, 10)));
    if (isRequest) stage = head[0] === "K".charCodeAt(0) ? 1 : 3;
    const title = isRequest
      ? `${stage}. CLIENT ──▶ SERVER   ${stage === 1 ? "asks for a key" : "sends the key back"}`
      : `${stage + 1}. CLIENT ◀── SERVER   ${isInterim ? "will answer" : "answers"}`;
    const took = `${(time - last).toFixed(1)} ms`;
    last = time;
    const lines = isWhole
      ? [...wire(head), ...wire(body.subarray(0, MAX_SHOWN_BODY))]
      : brief(DECODER.decode(head), DECODER.decode(body));
    const arrow = isRequest ? ">" : "<";
    const text = lines.map((line) => `   ${arrow} ${shown(stderr, line)}\n`).join("");
    const more = body.length - MAX_SHOWN_BODY;
    const rest = isWhole && more > 0 ? `   (${more} more bytes)\n` : "";
    say(io, `${paint(1, title)}   ${paint(2, took)}\n${text}${rest}`);
  };
}

/** A part of a message, a line each, with its line ends. */
function wire(bytes: Uint8Array): string[] {
  return (DECODER.decode(bytes).match(/[^\n]*\n|[^\n]+$/g) ?? [])
    .map((line) => line.replaceAll("\r", "\\r").replace("\n", "\\n"));
}

/** A message in three lines, for one screen: without most values, and with a key cut short. */
function brief(head: string, body: string): string[] {
  const [start, ...fields] = head.trimEnd().split("\r\n");
  const names = fields.map((field) => field.replace(/^(?!Host|Content-Length)(.*?:).*/, "$1 ..."));
  return [start, names.join(" · "), body].filter((line) => line !== "")
    .map((line) => line.replace(/([\da-f]{6})[\da-f]{118}([\da-f]{4})/, "$1...$2"));
}
