import { KeyClient } from "../../key_client.ts";

const port = Number(Deno.env.get("KEY_SERVER_PORT"));

/** Returns the key, or null. */
export async function do_key() {
  console.log("do_key() prints");
  using client = new KeyClient({ port, timeout: 4000 });
  return await client.requestKey().catch(() => null);
}

/** Returns the server's message. */
export async function do_put(keyVal) {
  using client = new KeyClient({ port, timeout: 4000 });
  return (await client.verifyKey(keyVal)).message;
}
