/** A key: 128 hex digits. */
export const KEY = "0123456789abcdef".repeat(8);

/** The number of rounds of a fuzz test. For a million: `deno test --allow-net -- 1000000`. */
export const FUZZ_ROUNDS = Number(Deno.args[0] ?? 2000);

/** Encodes a string as ISO 8859-1. */
export function bytes(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

/** Decodes bytes as ISO 8859-1. */
export function text(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** Returns one character for each byte of the string in UTF-8. */
export function utf8(string: string): string {
  return text(new TextEncoder().encode(string));
}

export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Returns a generator of numbers from 0 to below 1, which depend only on the seed. */
export function random(seed: number): () => number {
  return () => {
    seed = seed + 0x6d2b79f5 | 0;
    let t = Math.imul(seed ^ seed >>> 15, 1 | seed);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) / 2 ** 32;
  };
}
