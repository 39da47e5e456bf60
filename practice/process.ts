/**
 * A process that the drill runs. Its output is limited, and ending it also ends its children.
 *
 * @module
 */

const MAX_OUTPUT = 1_048_576; // characters of output that are kept: the first and the last half
const GRACE_TIME = 500; // ms for output after the end of the process
const ENCODER = new TextEncoder();

/** The options of a process. */
export interface ProcessOptions {
  command: string;
  args: readonly string[];
  env: Record<string, string>;
  /** Called with each line of standard output. By default, the lines are part of the output. */
  onLine?: (line: string) => void;
}

/** A running process. It is the leader of a new process group. */
export class CandidateProcess {
  /** Resolves when the process has ended and its output has been read. */
  readonly ended: Promise<Deno.CommandStatus>;
  /** Its output: standard output and standard error, in the order in which they were received. */
  get output(): string {
    return this.#start + this.#rest;
  }

  #start = "";
  #rest = "";
  /** Whether another process that it started was still running after its end. */
  hasLeft = false;
  #child: Deno.ChildProcess;
  #stdin: WritableStreamDefaultWriter<Uint8Array> | undefined;

  /**
   * Starts a process.
   *
   * @throws {Deno.errors.NotFound} If the command does not exist.
   * @throws {Deno.errors.NotCapable} If there is no permission to run it.
   */
  constructor({ command, args, env, onLine }: ProcessOptions) {
    this.#child = new Deno.Command(command, {
      args: [...args],
      env,
      detached: true, // Ctrl-C reaches only the drill, which then ends the whole group
      stdin: onLine ? "piped" : "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#stdin = onLine && this.#child.stdin.getWriter();
    const keep = (text: string) => {
      const room = MAX_OUTPUT / 2 - this.#start.length;
      this.#start += text.slice(0, room);
      this.#rest = (this.#rest + text.slice(room)).slice(-MAX_OUTPUT / 2);
    };
    const streams = [
      new OutputReader(this.#child.stdout, onLine ? byLine(onLine) : keep),
      new OutputReader(this.#child.stderr, keep),
    ];
    this.ended = this.#end(streams);
  }

  /** Writes a line to its standard input. */
  tell(line: string): void {
    this.#stdin?.write(ENCODER.encode(`${line}\n`)).catch(() => {}); // it may have ended
  }

  /** Ends the process and all processes that it has started, and waits until it has ended. */
  async kill(): Promise<void> {
    this.#stdin?.close().catch(() => {});
    // The drill may lack permission to kill a group. Then the driver does it when stdin closes.
    if (!this.#killGroup() && this.#stdin) await this.#endWithin(GRACE_TIME);
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // The process has already ended.
    }
    await this.ended;
  }

  async #endWithin(time: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, time);
    await Promise.race([this.ended, promise]);
    clearTimeout(timer);
  }

  /** Kills the group. Returns whether there was a process to kill. */
  #killGroup(): boolean {
    try {
      Deno.kill(-this.#child.pid, "SIGKILL");
      return true;
    } catch {
      return false; // no process is left, or there is no permission
    }
  }

  async #end(streams: OutputReader[]): Promise<Deno.CommandStatus> {
    const status = await this.#child.status;
    const timer = setTimeout(() => {
      this.hasLeft = this.#killGroup();
      for (const stream of streams) stream.cancel();
    }, GRACE_TIME);
    await Promise.all(streams.map((stream) => stream.ended));
    clearTimeout(timer);
    if (this.#killGroup()) this.hasLeft = true;
    await this.#stdin?.close().catch(() => {});
    return status;
  }
}

/** Reads a stream to its end. */
class OutputReader {
  readonly ended: Promise<void>;
  #reader: ReadableStreamDefaultReader<Uint8Array>;

  constructor(stream: ReadableStream<Uint8Array>, onText: (text: string) => void) {
    this.#reader = stream.getReader();
    this.ended = this.#read(onText);
  }

  /** Stops reading: a process outside the group may keep the stream open. */
  cancel(): void {
    this.#reader.cancel().catch(() => {});
  }

  async #read(onText: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for (;;) {
      const { value, done } = await this.#reader.read();
      if (done) return;
      onText(decoder.decode(value, { stream: true }));
    }
  }
}

/** Splits text into lines. Drops the last line if it has no line ending. */
function byLine(onLine: (line: string) => void): (text: string) => void {
  let rest = "";
  return (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!.slice(-MAX_OUTPUT);
    for (const line of lines) onLine(line);
  };
}
