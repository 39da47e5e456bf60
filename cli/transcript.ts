/**
 * Shows the conversation as the four stages of the exercise, with the bytes of each message.
 *
 * @module
 */

import type { WireMessage } from "../key_client.ts";
import { type MainIo, painter, say, shown } from "./output.ts";

const DECODER = new TextDecoder("utf-8", { ignoreBOM: true }); // keeps a BOM
const MAX_SHOWN_BODY = 4096; // bytes

/**
 * Returns a function that shows each message: either every byte, or in brief, with the headers on
 * one line and a shortened key. The time of the first message is measured from this call.
 */
export function transcriber(io: MainIo, isWhole: boolean): (message: WireMessage) => void {
  const { stderr } = io;
  const paint = painter(stderr);
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

/** Splits a part of a message into lines, and shows their line endings. */
function wire(bytes: Uint8Array): string[] {
  return (DECODER.decode(bytes).match(/[^\n]*\n|[^\n]+$/g) ?? [])
    .map((line) => line.replaceAll("\r", "\\r").replace("\n", "\\n"));
}

/** Formats a message on at most three lines. Omits most header values, and shortens the key. */
function brief(head: string, body: string): string[] {
  const [start, ...fields] = head.trimEnd().split("\r\n");
  const names = fields.map((field) => field.replace(/^(?!Host|Content-Length)(.*?:).*/, "$1 ..."));
  return [start, names.join(" · "), ...body.split("\n")].filter((line) => line !== "")
    .map((line) => line.replace(/([\da-f]{6})[\da-f]{118}([\da-f]{4})/, "$1...$2"));
}
