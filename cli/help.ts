/**
 * What `--help` prints.
 *
 * @module
 */

import config from "../deno.json" with { type: "json" };
import { FLAGS } from "./flags.ts";
import { wrap } from "./output.ts";

const USAGE = `Usage:
  key_client [OPTIONS]               ask for a key, send it back, print key and
                                     message
  key_client --serve [OPTIONS]       run a practice server
  key_client --drill FILE            judge do_key and do_put in FILE
  key_client --drill -- COMMAND ...  judge a program in any language
`;

const END = `
Exit status:
  0    done; with --drill: all rounds have passed
  1    no usable response; with --drill: a round has failed
  2    wrong command line, cannot listen, or nothing to judge
  3-5  the server refused: 4 for a status 4xx, 5 for 5xx, 3 for others
  130  interrupted by Ctrl-C

Examples:
  key_client --host 192.0.2.7 --user Ada   talk to a real key server
  key_client --serve --fault drip          practise with a difficult server
  key_client --drill client.py             grade client.py
`;

/** Returns the text of `--help`, for 80 columns. */
export function formatHelp(): string {
  const groups = Map.groupBy(Object.entries(FLAGS), ([, { group }]) => group);
  const parts = [...groups].map(([group, flags]) =>
    `\n${group}:\n${
      flags.map(([name, flag]) => {
        const { letter, value, help, default: fallback } = flag;
        const short = letter ? `-${letter}, ` : "    ";
        const names = `  ${short}--${name}${value ? ` ${value}` : ""}`;
        const about = [help, fallback ? `[default: ${fallback}]` : ""].filter((text) => text);
        return wrap(names.padEnd(25), about.join(" "));
      }).join("")
    }`
  );
  return `key_client ${config.version}: a client for the key server exercise\n\n` +
    USAGE + parts.join("") + END;
}
