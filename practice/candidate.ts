/**
 * Runs the client that the drill judges: the two functions of a module, or a program.
 *
 * @module
 */

import {
  type CallReport,
  type Driver,
  driverOf,
  type Exception,
  type ImportReport,
} from "./driver.ts";
import { CandidateProcess, type ProcessOptions } from "./process.ts";
import { cut, escapeControls, lastError } from "./text.ts";

/**
 * The candidate cannot be judged: it does not exist, cannot be run or imported, or has neither of
 * the two functions. The message gives the reason.
 *
 * @example Usage
 * ```ts
 * import { CandidateError, startDrill } from "./drill.ts";
 *
 * const drill = startDrill({ port: 0, candidate: ["./no-such-program"] });
 * await drill.finished.catch((error) => console.log(error instanceof CandidateError)); // true
 * ```
 */
export class CandidateError extends Error {
  /** The name of the class. */
  override readonly name = "CandidateError";
}

/** Starts a process. If this fails, throws a {@linkcode CandidateError} that gives the reason. */
export function start(options: ProcessOptions): CandidateProcess {
  const { command } = options;
  try {
    return new CandidateProcess(options);
  } catch (cause) {
    throw new CandidateError(startFailure(command, cause as Error), { cause });
  }
}

function startFailure(command: string, error: Error): string {
  if (error instanceof Deno.errors.NotCapable) {
    return `Cannot run ${command}: add --allow-run before main.ts`;
  }
  const isMissing = error instanceof Deno.errors.NotFound;
  if (isMissing && /^(?:python3?|deno)$/.test(command)) {
    return `Cannot run ${command}: install it, or add its folder to PATH`;
  }
  const isFile = driverOf(command) !== undefined;
  if (isMissing || error instanceof Deno.errors.PermissionDenied) {
    const why = isMissing ? "no such program" : "it is not an executable file";
    const hint = isFile ? `; to judge its two functions, write --drill ${command}` : "";
    return `Cannot run ${command}: ${why}${hint}`;
  }
  return `Cannot run ${command}: ${error.message}`;
}

/** What a driver did: it sent a report, it ended, or (if neither is set) it did nothing in time. */
export interface Outcome<T> {
  report?: T;
  end?: string;
}

/** A module that runs in a separate process. */
export class ModuleProcess {
  #process: CandidateProcess;
  #reports: unknown[] = [];
  #mark = crypto.randomUUID(); // tells the driver's reports from the module's output
  #wake: () => void = () => {};
  #end: string | undefined = undefined;

  /**
   * Starts the import of the module.
   *
   * @throws {CandidateError} If the interpreter cannot be run.
   */
  constructor(file: string, driver: Driver, env: Record<string, string>) {
    const { command, args } = driver;
    const onLine = (line: string) => this.#take(line);
    this.#process = start({ command, args: [...args, file, this.#mark], env, onLine });
    this.#process.ended.then(({ code, signal }) => {
      this.#end = signal ? `signal ${signal}` : `exit status ${code}`;
      this.#wake();
    });
  }

  /** What the module has printed. */
  get output(): string {
    return this.#process.output;
  }

  /** Waits until the import has ended. */
  imported(time: number): Promise<Outcome<ImportReport>> {
    return this.#next<ImportReport>(time);
  }

  /** Calls a function and waits until it has ended. */
  call(
    name: "do_key" | "do_put",
    key: string | undefined,
    time: number,
  ): Promise<Outcome<CallReport>> {
    this.#reports = []; // drops reports of processes that the module has forked
    this.#process.tell(JSON.stringify({ function: name, key }));
    return this.#next<CallReport>(time);
  }

  /** Ends the process and all processes that it has started. */
  async kill(): Promise<void> {
    await this.#process.kill();
  }

  #take(line: string): void {
    const at = line.indexOf(this.#mark);
    if (at < 0) return; // not from the driver
    this.#reports.push(JSON.parse(line.slice(at + this.#mark.length)));
    this.#wake();
  }

  async #next<T>(time: number): Promise<Outcome<T>> {
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(timeout.resolve, time);
    if (this.#reports.length === 0 && this.#end === undefined) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await Promise.race([promise, timeout.promise]);
    }
    clearTimeout(timer);
    const report = this.#reports.shift() as T | undefined;
    return report ? { report } : { end: this.#end };
  }
}

/** Returns the reason why a module cannot be judged, or `undefined` if it can. */
export function importFailure(
  file: string,
  { report, end }: Outcome<ImportReport>,
  seconds: number,
  output: string,
) {
  if (end !== undefined) {
    const error = lastError(output);
    return `Cannot import ${file}: it ends the process (${end})${
      error ? `: ${error}` : "; remove calls that end the program"
    }`;
  }
  if (!report) {
    return `Cannot import ${file}: the import has not ended after ${seconds} s; put what runs there under \`if __name__ == "__main__":\``;
  }
  const { problem, raised, functions } = report;
  if (problem === "missing") return `Cannot import ${file}: no such file`;
  if (problem === "folder") return `Cannot import ${file}: it is a folder; name the file in it`;
  if (raised) return `Cannot import ${file}: ${importProblem(file, raised)}`;
  const isAny = Object.values(functions!).some(({ name, owner, similar }) =>
    name ?? owner ?? similar
  );
  if (isAny) return undefined;
  return `Cannot judge ${file}: it has neither a function do_key nor a function do_put`;
}

function importProblem(
  name: string,
  { type, message, file, line, source }: Exception,
): string {
  if (type === "SystemExit") {
    return 'it ends the program when it is imported; remove `exit()`, or put it under `if __name__ == "__main__":`';
  }
  const of = file && file !== name ? ` of ${file}` : "";
  const place = line === undefined ? "" : ` in line ${line}${of}`;
  const about = cut(message, 100);
  const isInput = type === "EOFError";
  const help = isInput ? "; remove `input()`: nobody types an answer when it is imported" : "";
  return escapeControls(
    `${type}${place}: ${about}${source && !isInput ? ` (${cut(source, 60)})` : ""}${help}`,
  );
}
