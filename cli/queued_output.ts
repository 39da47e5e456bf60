/**
 * Output that never waits for its reader.
 *
 * @module
 */

import type { OutputStream } from "./output.ts";

const ENCODER = new TextEncoder();
const MAX_WAITING = 4_194_304; // characters
const LAST_MOMENT = 200; // milliseconds

/** Writes as fast as the reader reads. If too much text is waiting, drops and counts new texts. */
export class QueuedOutput {
  readonly #stream: OutputStream;
  readonly #formatLost: (count: number) => string;
  readonly #onFailure?: (error: unknown) => void;
  #waiting: string[] = [];
  #size = 0; // characters waiting
  #lost = 0; // texts dropped since the last text in the queue
  #hasFailed = false;
  #writing?: Promise<void>;

  constructor(
    stream: OutputStream,
    formatLost: (count: number) => string,
    onFailure?: (error: unknown) => void,
  ) {
    this.#stream = stream;
    this.#formatLost = formatLost;
    this.#onFailure = onFailure;
  }

  print(text: string): void {
    if (this.#size > MAX_WAITING) this.#lost++;
    else this.#add(text);
  }

  /** Prints the last text, even if the queue is full. Gives the reader a short time to read it. */
  async end(text: string): Promise<void> {
    this.#add(text);
    const moment = Promise.withResolvers<void>();
    const timer = setTimeout(moment.resolve, LAST_MOMENT);
    await Promise.race([this.#writing, moment.promise]);
    clearTimeout(timer);
  }

  #add(text: string): void {
    if (this.#hasFailed) return;
    if (this.#lost > 0) this.#waiting.push(this.#formatLost(this.#lost));
    this.#lost = 0;
    this.#waiting.push(text);
    this.#size += text.length;
    this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const bytes = ENCODER.encode(this.#waiting.join(""));
        this.#waiting = [];
        this.#size = 0;
        for (let sent = 0; sent < bytes.length;) {
          const rest = bytes.subarray(sent);
          sent += await (this.#stream.write?.(rest) ?? this.#stream.writeSync(rest));
        }
      }
    } catch (error) {
      this.#hasFailed = true;
      this.#onFailure?.(error);
    }
    this.#writing = undefined;
  }
}
