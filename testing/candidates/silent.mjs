const port = Number(Deno.env.get("KEY_SERVER_PORT"));

/** Connects, sends nothing, and waits for a response. */
export async function do_key() {
  using conn = await Deno.connect({ port });
  await conn.read(new Uint8Array(1024));
  return null;
}
