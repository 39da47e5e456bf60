import { type DrillOptions, type DrillResult, startDrill } from "../practice/drill.ts";
import { type FaultName, FAULTS, type KeyServerEvent } from "../practice/server.ts";
import { KEY, text } from "./bytes.ts";

const NAMES = Object.keys(FAULTS) as FaultName[];

/** Options of a drill that any client can join. `faults` affect KEY responses or both responses. */
export type WireOptions = DrillOptions & { faults?: FaultName[] };

/** Starts a drill, and keeps its results and events. */
export function drillOf({ faults = NAMES, ...options }: WireOptions = {}) {
  const seen: DrillResult[] = [];
  const events: KeyServerEvent[] = [];
  const drill = startDrill({
    port: 0,
    quiet: 200,
    rounds: faults.map((name) => FAULTS[name].isBroken ? `${name}:KEY` : name),
    ...options,
    onResult: (result) => seen.push(structuredClone(result)),
    onEvent: (event) => events.push(event),
  });
  return Object.assign(drill, { seen, events, port: drill.addr.port });
}

export function verdicts(results: DrillResult[]): string[] {
  return results.map(({ name, passed }) => `${passed ? "✔" : "✘"} ${name}`);
}

/** Sends the bytes over a new connection, and returns everything received until it closes. */
export async function talk(port: number, wire: string): Promise<string> {
  using conn = await Deno.connect({ port });
  await conn.write(new TextEncoder().encode(wire));
  let received = "";
  const buffer = new Uint8Array(4096);
  for (let count; (count = await conn.read(buffer).catch(() => null)) !== null;) {
    received += text(buffer.subarray(0, count));
  }
  return received;
}

export const request = (line: string) =>
  `${line} HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nConnection: close\r\n\r\n`;
export const KEY_REQUEST = request("KEY /user/Ada/");
export const PUT_REQUEST = request(`PUT /key/Ada/${KEY}/`);

/** Asks for a key, and sends it back if it is valid. */
export async function pass(port: number): Promise<void> {
  const [, key] = /\r\n\r\n([\da-f]{128})$/.exec(await talk(port, KEY_REQUEST)) ?? [];
  if (key) await talk(port, request(`PUT /key/Ada/${key}/`));
}

/** Sends the bytes over a new connection, and keeps it open. */
export async function open(port: number, wire: string): Promise<Deno.TcpConn> {
  const conn = await Deno.connect({ port });
  await conn.write(new TextEncoder().encode(wire));
  return conn;
}

export const KEEPING_REQUEST = "KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n";

export async function keyOf(conn: Deno.TcpConn): Promise<string> {
  let received = "";
  const buffer = new Uint8Array(4096);
  for (;;) {
    const [, key] = /\r\n\r\n([\da-f]{128})$/.exec(received) ?? [];
    if (key) return key;
    received += text(buffer.subarray(0, await conn.read(buffer) ?? 0));
  }
}
