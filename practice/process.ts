/**
 * A process that the drill runs: with bounded output, and an end that includes its children.
 *
 * @module
 */

const MAX_OUTPUT = 1_048_576; // characters of output that are kept: the first and the last half
const GRACE_TIME = 500; // ms for output that comes after the end of the process
const ENCODER = new TextEncoder();

/** What a process is started with. */
export interface ProcessOptions {
  command: string;
  args: readonly string[];
  env: Record<string, string>;
  /** Called with each line of standard output. By default the lines belong to the output. */
  onLine?: (line: string) => void;
}

/** A running process, the leader of a group of its own. */
export class CandidateProcess {
  /** Resolves when it has ended and its output has been read. */
  readonly ended: Promise<Deno.CommandStatus>;
  /** What it has written, standard output and standard error as they came. */
  get output(): string {
    return this.#start + this.#rest;
  }

  #start = "";
  #rest = "";
  /** Whether a process that it has started was still running after its end. */
  hasLeft = false;
  #child: Deno.ChildProcess;
  #stdin: WritableStreamDefaultWriter<Uint8Array> | undefined;

  /**
   * Starts a process.
   *
   * @throws {Deno.errors.NotFound} If the command does not exist.
   * @throws {Deno.errors.NotCapable} If it must not be run.
   */
  constructor({ command, args, env, onLine }: ProcessOptions) {
    this.#child = new Deno.Command(command, {
      args: [...args],
      env,
      detached: true, // Ctrl-C at the terminal is for the drill alone, which ends the whole group
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

  /** Ends the process with all that it has started, and waits until they have ended. */
  async kill(): Promise<void> {
    this.#stdin?.close().catch(() => {});
    // A driver then ends its group itself, if the drill may run this program, but not kill groups.
    if (!this.#killGroup() && this.#stdin) await this.#endWithin(GRACE_TIME);
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await this.ended;
  }

  async #endWithin(time: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, time);
    await Promise.race([this.ended, promise]);
    clearTimeout(timer);
  }

  /** Returns whether there was somebody to kill. */
  #killGroup(): boolean {
    try {
      Deno.kill(-this.#child.pid, "SIGKILL");
      return true;
    } catch {
      return false; // nobody is left, or only some programs may be run
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

  /** Gives up: a process that has left the group may hold the stream open. */
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

/** Cuts text into lines. A line that does not end is dropped. */
function byLine(onLine: (line: string) => void): (text: string) => void {
  let rest = "";
  return (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!.slice(-MAX_OUTPUT);
    for (const line of lines) onLine(line);
  };
}
