import { assertEquals } from "@std/assert";
import main from "../main.ts" with { type: "text" };
import text from "../practice/text.ts" with { type: "text" };
import conversation from "./conversation.ts" with { type: "text" };
import flags from "./flags.ts" with { type: "text" };
import output from "./output.ts" with { type: "text" };

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
