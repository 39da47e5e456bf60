import { assertEquals } from "@std/assert";
import conversation from "../cli/conversation.ts" with { type: "text" };
import flags from "../cli/flags.ts" with { type: "text" };
import output from "../cli/output.ts" with { type: "text" };
import main from "../main.ts" with { type: "text" };
import connection from "../practice/connection.ts" with { type: "text" };
import history from "../practice/history.ts" with { type: "text" };
import server from "../practice/key_server.ts" with { type: "text" };
import text from "../practice/text.ts" with { type: "text" };
import viewer from "../practice/viewer.ts" with { type: "text" };

/** Returns the modules that a source text imports statically. */
function imports(source: string): string[] {
  const code = source.replace(/^ \*.*$/gm, ""); // examples
  return [...code.matchAll(/^import (?!type)[^;]* from "(.*)"/gm)].map(([, name]) => name).sort();
}

Deno.test("main.ts loads only the modules that a conversation needs", () => {
  assertEquals(imports(main), ["./cli/flags.ts", "./cli/output.ts"]);
  assertEquals(imports(flags), ["../practice/text.ts", "jsr:@std/cli@1/parse-args"]);
  assertEquals(imports(output), ["../practice/text.ts"]);
  assertEquals(imports(text), []);
  const loaded = ["../key_client.ts", "../practice/text.ts", "./flags.ts", "./output.ts"];
  assertEquals(imports(conversation), loaded);
});

Deno.test("startKeyServer() loads the modules of the page if needed", () => {
  const isPage = (name: string) => /viewer|history|page|user_table/.test(name);
  for (const source of [server, connection]) assertEquals(imports(source).filter(isPage), []);
  assertEquals(imports(viewer).filter(isPage), ["./history.ts"]);
  assertEquals(imports(history).filter(isPage), ["./page_data.ts", "./user_table.ts"]);
});
