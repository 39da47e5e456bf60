/** Drives Chromium without a window, over the DevTools protocol. */

import { delay } from "./bytes.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const LIMIT = 30_000; // ms: timeout of every wait
const KEY_CODES: Record<string, number> = { Tab: 9, Enter: 13 };
const SHIFT = 8;

/** A message from the browser: a response if it has an `id`, or else an event. */
interface Message {
  id?: number;
  result?: unknown;
  error?: { message: string };
  sessionId?: string;
}

/** An event of a tab that is of interest here. */
type TabEvent =
  | { method: "Page.lifecycleEvent"; params: LifecycleEvent }
  | { method: "Page.javascriptDialogOpening"; params: { message: string } }
  | { method: "Runtime.exceptionThrown"; params: { exceptionDetails: ExceptionDetails } }
  | { method: "Runtime.consoleAPICalled"; params: { args: RemoteObject[] } }
  | { method: "Log.entryAdded"; params: { entry: { text: string; url?: string } } };

interface LifecycleEvent {
  name: string;
  frameId: string;
  /** Identifies the document. */
  loaderId: string;
}

interface ExceptionDetails {
  text: string;
  exception?: RemoteObject;
}

interface RemoteObject {
  value?: unknown;
  description?: string;
}

interface ProtocolNode {
  nodeId: string;
  childIds: string[];
  ignored: boolean;
  role: { value: string };
  name?: { value: string };
  properties?: { name: string; value: { value: unknown } }[];
}

/** How a tab is shown. */
export interface TabOptions {
  /** CSS pixels. */
  width?: number;
  height?: number;
  dark?: boolean;
  /** Device pixels per CSS pixel. */
  scale?: number;
}

/** A node of the accessibility tree. */
export interface AccessibleNode {
  role: string;
  name: string;
  /** Such as `level` of a heading, or `live` of a live region. */
  properties: Record<string, unknown>;
}

/** A running browser with an empty profile. */
export class Chromium implements AsyncDisposable {
  readonly #tabs = new Map<string, Tab>(); // by session
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #closed = Promise.withResolvers<void>();
  readonly #socket: WebSocket;
  #count = 0;

  private constructor(
    readonly process: Deno.ChildProcess,
    readonly profile: string,
    readonly drained: Promise<void>,
    socket: WebSocket,
  ) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    socket.onclose = () => {
      this.#closed.resolve();
      for (const { reject } of this.#pending.values()) reject(new Error("the browser has closed"));
    };
  }

  /** Starts the browser. `hosts` are the names that it resolves to 127.0.0.1. */
  static async launch({ hosts = [] }: { hosts?: string[] } = {}): Promise<Chromium> {
    const profile = await Deno.makeTempDir({ prefix: "key_client_chromium_" });
    const args = [
      "--headless=new",
      "--no-sandbox", // the sandbox needs rights that a container does not have
      "--disable-gpu",
      "--no-first-run",
      "--remote-debugging-port=0",
      `--host-resolver-rules=${hosts.map((host) => `MAP ${host} 127.0.0.1`).join(",")}`,
      `--user-data-dir=${profile}`,
      "about:blank",
    ];
    let process;
    try {
      process = start(args);
    } catch (error) {
      await remove(profile);
      throw error;
    }
    const { address, drained } = await addressOf(process);
    const socket = new WebSocket(address);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error(`cannot connect to ${address}`));
    await promise;
    return new Chromium(process, profile, drained, socket);
  }

  /** Opens a page in a new tab, and waits until it has loaded. */
  async open(url: string, options: TabOptions = {}): Promise<Tab> {
    const { targetId } = await this.call<{ targetId: string }>("Target.createTarget", {
      url: "about:blank",
    });
    const { sessionId } = await this.call<{ sessionId: string }>("Target.attachToTarget", {
      targetId,
      flatten: true,
    });
    const tab = new Tab((method, params) => this.call(method, params, sessionId), targetId);
    this.#tabs.set(sessionId, tab);
    for (const domain of ["Page", "Runtime", "Log", "Accessibility"]) {
      await tab.call(`${domain}.enable`);
    }
    await tab.call("Page.setLifecycleEventsEnabled", { enabled: true });
    await tab.show(options);
    await tab.navigate(url);
    return tab;
  }

  /** Calls a method of the protocol. */
  call<T>(method: string, params: object = {}, sessionId?: string): Promise<T> {
    const id = ++this.#count;
    const response = Promise.withResolvers<unknown>();
    this.#pending.set(id, response);
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    return response.promise as Promise<T>;
  }

  #take(message: Message): void {
    const { id, result, error, sessionId = "" } = message;
    if (id === undefined) return this.#tabs.get(sessionId)?.take(message as unknown as TabEvent);
    const response = this.#pending.get(id);
    this.#pending.delete(id);
    if (error) response?.reject(new Error(error.message));
    else response?.resolve(result);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.call("Browser.close").catch(() => {}); // it may close before it responds
    await this.process.status;
    await this.drained;
    this.#socket.close();
    await this.#closed.promise;
    await remove(this.profile);
  }
}

/** Starts the first browser that is installed. */
function start(args: string[]): Deno.ChildProcess {
  for (const name of NAMES) {
    try {
      return new Deno.Command(name, { args, stdout: "null", stderr: "piped" }).spawn();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  throw new Error(`These tests need a browser. Install Chromium (not found: ${NAMES.join(", ")})`);
}

/** Waits until the browser says where it listens, then discards the rest of its output. */
async function addressOf(process: Deno.ChildProcess) {
  const reader = process.stderr.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = "";;) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`the browser does not start: ${text}`);
    text += value;
    const [, address] = /DevTools listening on (ws:\S+)\n/.exec(text) ?? [];
    if (address === undefined) continue;
    const drain = async () => {
      while (!(await reader.read()).done);
    };
    return { address, drained: drain() };
  }
}

/** Removes the profile. Helpers of the browser may still write to it for a moment. */
async function remove(folder: string): Promise<void> {
  for (let tries = 1; tries < 20; tries++) {
    try {
      return await Deno.remove(folder, { recursive: true });
    } catch {
      await delay(50);
    }
  }
  await Deno.remove(folder, { recursive: true });
}

/** A tab of the browser. */
export class Tab {
  /** Console messages, exceptions, dialogs and log entries since the last `problems()`. */
  #problems: string[] = [];
  #loaded = Promise.withResolvers<void>();
  #oldLoader = ""; // of the document before this one

  constructor(
    /** Calls a method of the protocol. */
    readonly call: <T>(method: string, params?: object) => Promise<T>,
    readonly targetId: string,
  ) {}

  /** Handles an event. */
  take(event: TabEvent): void {
    switch (event.method) {
      case "Page.lifecycleEvent": {
        const { name, frameId, loaderId } = event.params;
        const isMain = frameId === this.targetId;
        if (name === "load" && isMain && loaderId !== this.#oldLoader) this.#loaded.resolve();
        return;
      }
      case "Page.javascriptDialogOpening":
        this.#problems.push(`dialog: ${event.params.message}`);
        this.call("Page.handleJavaScriptDialog", { accept: false });
        return;
      case "Runtime.exceptionThrown":
        return void this.#problems.push(`exception: ${describe(event.params.exceptionDetails)}`);
      case "Runtime.consoleAPICalled":
        return void this.#problems.push(`console: ${JSON.stringify(event.params.args)}`);
      case "Log.entryAdded": {
        const { text, url = "" } = event.params.entry;
        this.#problems.push(`log: ${text} ${url}`);
      }
    }
  }

  /** Returns all problems since the last call. */
  problems(): string[] {
    return this.#problems.splice(0);
  }

  /** Changes how the tab is shown. */
  async show({ width = 1280, height = 800, dark = false, scale = 1 }: TabOptions): Promise<void> {
    const size = { width, height, deviceScaleFactor: scale, mobile: false };
    await this.call("Emulation.setDeviceMetricsOverride", size);
    const value = dark ? "dark" : "light";
    const features = [{ name: "prefers-color-scheme", value }];
    await this.call("Emulation.setEmulatedMedia", { features });
  }

  /** Goes to a page, and waits until it has loaded. */
  async navigate(url: string): Promise<void> {
    await this.#load(async () => {
      const { errorText } = await this.call<{ errorText?: string }>("Page.navigate", { url });
      if (errorText) throw new Error(`${url}: ${errorText}`);
    });
  }

  /** Loads the page again, and waits until it has loaded. */
  async reload(): Promise<void> {
    await this.#load(() => this.call("Page.reload"));
  }

  /** Clicks on an element, and waits until the page that it links to has loaded. */
  async follow(selector: string): Promise<void> {
    const expression = `document.querySelector(${JSON.stringify(selector)}).click()`;
    await this.#load(() => this.evaluate(expression));
  }

  /** Calls a function that loads a document, and waits until it has loaded. */
  async #load(act: () => Promise<unknown>): Promise<void> {
    type Tree = { frameTree: { frame: { loaderId: string } } };
    const { frameTree } = await this.call<Tree>("Page.getFrameTree");
    this.#oldLoader = frameTree.frame.loaderId;
    this.#loaded = Promise.withResolvers();
    const timer = setTimeout(() => this.#loaded.reject(new Error("the page does not load")), LIMIT);
    await Promise.all([act(), this.#loaded.promise]).finally(() => clearTimeout(timer));
  }

  /** Evaluates an expression in the page. Its value, or that of its promise, must fit into JSON. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.call<
      { result: RemoteObject; exceptionDetails?: ExceptionDetails }
    >("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(describe(exceptionDetails));
    return result.value as T;
  }

  /** Waits until an expression becomes true. Rejects if that takes too long. */
  async until(expression: string, limit = LIMIT): Promise<void> {
    for (const end = performance.now() + limit; !await this.evaluate(`!!(${expression})`);) {
      if (performance.now() > end) throw new Error(`never became true: ${expression}`);
      await delay(10);
    }
  }

  /** Presses a key. */
  async press(key: "Tab" | "Shift+Tab" | "Enter"): Promise<void> {
    const name = key.replace("Shift+", "");
    const event = {
      key: name,
      code: name,
      windowsVirtualKeyCode: KEY_CODES[name],
      modifiers: name === key ? 0 : SHIFT,
      text: name === "Enter" ? "\r" : undefined,
    };
    await this.call("Input.dispatchKeyEvent", { type: "keyDown", ...event });
    await this.call("Input.dispatchKeyEvent", { type: "keyUp", ...event, text: undefined });
  }

  /** Types text into the element that has the focus. */
  async type(text: string): Promise<void> {
    await this.call("Input.insertText", { text });
  }

  /** Returns a picture of what the tab shows, as PNG. */
  async screenshot(): Promise<Uint8Array> {
    const { data } = await this.call<{ data: string }>("Page.captureScreenshot", { format: "png" });
    return Uint8Array.fromBase64(data);
  }

  /** Returns the accessibility tree, from top to bottom, without nodes that mean nothing. */
  async accessibleNodes(): Promise<AccessibleNode[]> {
    const { nodes } = await this.call<{ nodes: ProtocolNode[] }>("Accessibility.getFullAXTree");
    const nodesById = new Map(nodes.map((node) => [node.nodeId, node]));
    const walk = (node: ProtocolNode | undefined): AccessibleNode[] => {
      if (!node) return [];
      const { role, name, properties = [] } = node;
      const entries = properties.map(({ name, value: { value } }) => [name, value]);
      const own = {
        role: role.value,
        name: name?.value ?? "",
        properties: Object.fromEntries(entries),
      };
      const isMeaningless = node.ignored || /^(?:none|generic|InlineTextBox)$/.test(role.value);
      const children = node.childIds.flatMap((id) => walk(nodesById.get(id)));
      return isMeaningless ? children : [own, ...children];
    };
    return walk(nodes[0]);
  }
}

function describe({ text, exception }: ExceptionDetails): string {
  return exception?.description ?? String(exception?.value ?? text);
}
