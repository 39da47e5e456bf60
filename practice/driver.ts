/**
 * The drivers. A driver is a script that imports a module in a separate process and calls its
 * functions. It is passed to the interpreter as text, so nothing is written to disk.
 *
 * For each call, the driver reads a line of JSON. It writes a line of JSON after the import, and
 * after each call. When the drill closes its standard input, the driver ends the process.
 *
 * @module
 */

/** What a driver reports after the import of a module. */
export interface ImportReport {
  /** Why the import failed: `"missing"`, `"folder"`, or `"raised"`. */
  problem?: string;
  /** The exception, if the import raised one. */
  raised?: Exception;
  /** What was found for `do_key` and `do_put`. */
  functions?: Record<"do_key" | "do_put", FoundFunction>;
  /** The real path of the interpreter. The one in PATH may be a script that starts it slowly. */
  executable?: string;
}

/** What a driver found for a function. */
export interface FoundFunction {
  /** Its name; `null` if the module has no such function. */
  name: string | null;
  /** A function whose name differs in case or underscores. */
  similar?: string;
  /** The class of the module that has a method with this name. */
  owner?: string;
  /** How many arguments it requires, if that is known. */
  required?: number;
  /** How many arguments it can take, if that is known. */
  allowed?: number;
}

/** What a function raised. */
export interface Exception {
  /** The name of its class. */
  type: string;
  message: string;
  /** The file and line in the candidate's own code, and the text of that line. */
  file?: string;
  line?: number;
  source?: string;
}

/** The result of a call. */
export interface CallReport {
  raised?: Exception;
  /** The type of the value that was returned. */
  type?: string;
  /** The kind of value: bytes, text, `None` or `null`, or anything else. */
  kind?: "bytes" | "text" | "none" | "other";
  /** The first 10,000 characters of bytes (decoded as ISO 8859-1) or text. */
  value?: string;
  /** Its length. */
  size?: number;
  /** The value as code, cut to 100 characters. */
  shown?: string;
}

/** How a driver is run. */
export interface Driver {
  /** The interpreter. */
  command: string;
  /** Its arguments. After them come the file, and the mark that starts each line of a report. */
  args: string[];
}

const PYTHON = String.raw`
import sys
sys.path.pop(0)  # the current folder: its files must not hide Python's own modules
import json, linecache, os, queue, signal, threading, types

report, control = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(0))
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the module's standard input is empty
os.dup2(2, 1)  # what it prints goes to standard error, not to the reports
path, mark = os.path.abspath(sys.argv[1]), sys.argv[2]
folder, file = os.path.split(path)
lines = queue.SimpleQueue()

def listen():
    for line in control:
        lines.put(line)
    if hasattr(os, "getpgrp") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # also ends the processes that the module started
    os._exit(0)

def tell(**values):
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    report.write(mark + json.dumps(values) + "\n")
    report.flush()

def explain(error):
    kind = type(error)
    own = kind.__module__ in ("builtins", file[:-3])
    name = kind.__qualname__ if own else f"{kind.__module__}.{kind.__qualname__}"
    try:
        about = {"type": name, "message": str(error)[:300]}
    except Exception:
        about = {"type": name, "message": ""}
    trace = error.__traceback__
    while trace:
        where = trace.tb_frame.f_code.co_filename
        if not where.startswith("<") and os.path.dirname(os.path.abspath(where)) == folder:
            about.update(file=os.path.basename(where), line=trace.tb_lineno,
                         source=linecache.getline(where, trace.tb_lineno).strip()[:200])
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        about.update(message=str(error.msg), file=os.path.basename(error.filename),
                     line=error.lineno, source=(error.text or "").strip()[:200])
    return about

def attempt(action):
    try:
        value = action()
    except BaseException as error:
        return {"raised": explain(error)}
    about = {"type": type(value).__name__, "kind": "other"}
    if value is None:
        about["kind"] = "none"
    if isinstance(value, bytes):
        about.update(kind="bytes", value=value[:10000].decode("latin-1"), size=len(value))
    if isinstance(value, str):
        about.update(kind="text", value=value[:10000], size=len(value))
    if isinstance(value, types.CoroutineType):
        value.close()
    try:
        shown = repr(value[:100] if isinstance(value, (bytes, str)) else value)
        about["shown"] = shown if len(shown) <= 100 else shown[:97] + "..."
    except BaseException:
        about["shown"] = about["type"]
    return about

def load():
    from importlib.util import module_from_spec, spec_from_file_location
    spec = spec_from_file_location(file[:-3], path)
    module = sys.modules[file[:-3]] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

def find(module, *names):
    public = getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")])
    for name in names:
        function = getattr(module, name, None)
        if name in list(public) and callable(function):
            about, code = {"name": name}, getattr(function, "__code__", None)
            if isinstance(function, types.FunctionType):
                count = code.co_argcount
                about["required"] = count - len(function.__defaults__ or ())
                about["required"] += code.co_kwonlyargcount - len(function.__kwdefaults__ or ())
                if not code.co_flags & 4:
                    about["allowed"] = count
            return function, about
    for name in public:
        if name.replace("_", "").lower() == names[1].lower() and callable(getattr(module, name)):
            return None, {"name": None, "similar": name}
    for owner in vars(module).values():
        if isinstance(owner, type) and any(hasattr(owner, name) for name in names):
            return None, {"name": None, "owner": owner.__name__}
    return None, {"name": None}

def main():
    threading.Thread(target=listen, daemon=True).start()
    if not os.path.isfile(path):
        return tell(problem="folder" if os.path.isdir(path) else "missing")
    sys.argv[:] = [file]
    sys.path.insert(0, folder)
    os.chdir(folder)
    found = {}
    def imported():
        module = load()
        found["do_key"] = find(module, "do_key", "doKey")
        found["do_put"] = find(module, "do_put", "doPut")
    raised = attempt(imported).get("raised")
    if raised:
        return tell(problem="raised", raised=raised)
    tell(functions={name: about for name, (_, about) in found.items()}, executable=sys.executable)
    while True:
        call = json.loads(lines.get())
        arguments = [call["key"].encode("latin-1")] if "key" in call else []
        tell(**attempt(lambda: found[call["function"]][0](*arguments)))

main()
threading.Event().wait()  # until the drill has read the report
`;

const DENO = String.raw`
const [path, mark] = Deno.args;
const report = Deno.stdout;
const control = Deno.stdin.readable.pipeThrough(new TextDecoderStream()).getReader();
const empty = {
  read: () => Promise.resolve(null),
  readSync: () => null,
  isTerminal: () => false,
  readable: new ReadableStream({ start: (controller) => controller.close() }),
};
Object.defineProperty(Deno, "stdin", { value: empty }); // the module's standard input is empty
Object.defineProperty(Deno, "stdout", { value: Deno.stderr }); // what it prints is not a report
console.log = console.info = console.debug = console.error;

function tell(values) {
  const line = new TextEncoder().encode(mark + JSON.stringify(values) + "\n");
  for (let sent = 0; sent < line.length;) sent += report.writeSync(line.subarray(sent));
}

function explain(error) {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error).slice(0, 300) };
  const about = { type: error.constructor.name, message: error.message.slice(0, 300) };
  const place = String(error.stack).split("\n").map((text) => /(file:.*):(\d+):\d+\)?$/.exec(text))
    .find((match) => match && new URL(".", match[1]).href === folder);
  return place ? { ...about, file: place[1].split("/").at(-1), line: Number(place[2]) } : about;
}

const cut = (text) => text.length <= 100 ? text : text.slice(0, 97) + "...";
const kinds = {
  bytes: (value) => value instanceof Uint8Array,
  text: (value) => typeof value === "string",
  none: (value) => value === null,
  other: () => true,
};

async function attempt(action) {
  try {
    const value = await action();
    const kind = Object.keys(kinds).find((kind) => kinds[kind](value));
    const isObject = typeof value === "object" && value !== null;
    const type = isObject ? value.constructor?.name ?? "object" : value === null ? "null" : typeof value;
    const text = kind === "bytes"
      ? Array.from(value.subarray(0, 10_000), (byte) => String.fromCharCode(byte)).join("")
      : value;
    return {
      type,
      kind,
      ...(kind === "bytes" || kind === "text") && { value: text.slice(0, 10_000), size: value.length },
      shown: cut(kind === "bytes" || kind === "text" ? JSON.stringify(text.slice(0, 100)) : Deno.inspect(value)),
    };
  } catch (error) {
    return { raised: explain(error) };
  }
}

function find(module, ...names) {
  const name = names.find((name) => typeof module[name] === "function");
  if (name) return { name };
  const owner = Object.entries(module).find(([, value]) =>
    typeof value === "function" && names.some((name) => value.prototype && name in value.prototype || name in value)
  );
  return owner ? { name: null, owner: owner[0] } : { name: null };
}

let folder = "";
async function main() {
  const info = await Deno.stat(path).catch(() => undefined);
  if (!info?.isFile) return tell({ problem: info ? "folder" : "missing" });
  const file = await Deno.realPath(path);
  const url = "file://" + (file.startsWith("/") ? "" : "/") + encodeURI(file.replaceAll("\\", "/")).replace(/[?#]/g, encodeURIComponent);
  folder = new URL(".", url).href;
  Deno.chdir(new URL(".", url));
  let module;
  const imported = await attempt(async () => {
    module = { ...await import(url) };
  });
  if (imported.raised) return tell({ problem: "raised", raised: imported.raised });
  const functions = { do_key: find(module, "do_key", "doKey"), do_put: find(module, "do_put", "doPut") };
  tell({ functions });
  for (let text = "";;) {
    const { value, done } = await control.read();
    if (done) Deno.exit();
    text += value;
    for (let end; (end = text.indexOf("\n")) >= 0; text = text.slice(end + 1)) {
      const { function: name, key } = JSON.parse(text.slice(0, end));
      const args = key === undefined ? [] : [new TextEncoder().encode(key)];
      tell(await attempt(() => module[functions[name].name](...args)));
    }
  }
}

await main();
for (;;) if ((await control.read()).done) Deno.exit(); // when the drill has read the report
`;

/**
 * Returns the driver for the module in a file.
 *
 * @param file The name of the file.
 * @returns The driver; `undefined` if the file name has an unknown ending.
 */
export function driverOf(file: string): Driver | undefined {
  const [ending] = /\.\w+$/.exec(file.toLowerCase()) ?? [];
  if (ending === ".py") {
    const command = Deno.build.os === "windows" ? "python" : "python3";
    return { command, args: ["-B", "-c", PYTHON] };
  }
  if (ending === ".ts" || ending === ".js" || ending === ".mjs") {
    const command = Deno.build.standalone ? "deno" : Deno.execPath();
    const url = `data:text/javascript,${encodeURIComponent(DENO)}`;
    const permissions = [
      "--allow-net",
      "--allow-read",
      "--allow-env",
      "--allow-sys",
      "--no-prompt",
    ];
    return { command, args: ["run", "--quiet", "--no-lock", ...permissions, url] };
  }
}
