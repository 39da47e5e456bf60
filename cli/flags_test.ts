import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { KEY } from "../testing/bytes.ts";
import { answering, run } from "../testing/command.ts";
import { quoteForShell } from "./flags.ts";

/** Wrong command lines, their messages and their help. */
const USAGE: [args: string[], message: string, help?: string][] = [
  [["--prot", "5000"], 'unknown option "--prot"', "did you mean --port?"],
  [["--Verbose"], 'unknown option "--Verbose"', "did you mean --verbose?"],
  [["--user-id=Ada"], 'unknown option "--user-id"', "did you mean --user?"],
  [["--frobnicate"], 'unknown option "--frobnicate"', "run key_client --help to see all options"],
  [["-j"], 'unknown option "-j"', "did you mean --json?"],
  [["-x"], 'unknown option "-x"', "run key_client --help to see all options"],
  [["-vx"], 'unknown option "-x" in "-vx"', "run key_client --help to see all options"],
  [["--no-verbose"], 'unknown option "--no-verbose"', "run key_client --help to see all options"],
  [["--KEY"], 'unknown option "--KEY"', "did you mean --key?"],
  [["-VERSION"], 'unknown option "-VERSION"', "did you mean --version?"],
  [["-v-p5000"], 'unknown option "--" in "-v-p5000"', "run key_client --help to see all options"],
  [["--__proto__=x"], 'unknown option "--__proto__"', "run key_client --help to see all options"],
  [["--user.x", "y"], 'unknown option "--user.x"', "did you mean --user?"],
  [["-v5"], 'unknown option "-5" in "-v5"', "run key_client --help to see all options"],
  [["-h5"], 'unknown option "-5" in "-h5"', "run key_client --help to see all options"],
  [["-vx=1"], 'unknown option "-x" in "-vx=1"', "run key_client --help to see all options"],
  [["-v\u{1f511}"], 'unknown option "-🔑" in "-v🔑"', "run key_client --help to see all options"],
  [["-user", "Ada"], 'unknown option "-user"', "did you mean --user?"],
  [["-port=1"], 'unknown option "-port"', "did you mean --port?"],
  [["-key"], 'unknown option "-key"', "did you mean --key?"],
  [["-P", "1"], 'unknown option "-P"', "did you mean --port?"],
  [["-T", "1"], 'unknown option "-T"', "did you mean --timeout?"],
  [["-s"], 'unknown option "-s"', "did you mean --serve?"],
  [["--ho", "a"], 'unknown option "--ho"', "did you mean --host?"],
  [["--o"], 'unknown option "--o"', "did you mean --offline?"],
  [["--ver"], 'unknown option "--ver"', "run key_client --help to see all options"], // verbose or version?
  [["--drills"], 'unknown option "--drills"', "did you mean --drill?"],
  [["--timeouts", "1"], 'unknown option "--timeouts"', "did you mean --timeout?"],
  [["--jso", "1"], 'unknown option "--jso"', "did you mean --json?"],
  [["--pot", "1"], 'unknown option "--pot"', "did you mean --put?"], // which comes before --port
  [["--hoost", "a"], 'unknown option "--hoost"', "did you mean --host?"],
  [["--pord", "1"], 'unknown option "--pord"', "did you mean --port?"],
  [["--jsno"], 'unknown option "--jsno"', "did you mean --json?"],
  [["--jons"], 'unknown option "--jons"', "run key_client --help to see all options"],
  [["--poxx", "1"], 'unknown option "--poxx"', "run key_client --help to see all options"],
  [["--_=x"], 'unknown option "--_"', "run key_client --help to see all options"],
  [["--_"], 'unknown option "--_"', "run key_client --help to see all options"],
  [["--=x"], 'unknown option "--"', "run key_client --help to see all options"],
  [["---"], 'unknown option "---"', "run key_client --help to see all options"],
  [["--port\n", "1"], 'unknown option "--port\\n"', "did you mean --port?"],
  [
    [`--${"x".repeat(1000)}=1`],
    'unknown option "--xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."',
    "run key_client --help to see all options",
  ],
  [
    [`-v5${"x".repeat(1000)}`],
    'unknown option "-5" in "-v5xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."',
    "run key_client --help to see all options",
  ],

  [["--port"], "--port needs a value", "write --port PORT"],
  [["--json=", "--port", "1"], "--json takes no value"],
  [
    ["--port", "--json="],
    "--port needs a value",
    'if the value starts with "-", write --port=VALUE',
  ],
  [["--user", "--key"], "--user needs a value", 'if the value starts with "-", write --user=VALUE'],
  [["--user", "-\n"], "--user needs a value", 'if the value starts with "-", write --user=VALUE'],
  [["-t", "-5"], "--timeout needs a value", 'if the value starts with "-", write --timeout=VALUE'],
  [["-p", "--", "5000"], "--port needs a value", "write --port PORT"],
  [["--user="], "--user needs a value", "write --user USER_ID"],
  [["-u", ""], "--user needs a value", "write --user USER_ID"],
  [["--put"], "--put needs a value", "write --put KEY"],
  [["-p"], "--port needs a value", "write --port PORT"],
  [["-vp"], "--port needs a value", "write --port PORT"],
  [["-p="], "--port needs a value", "write --port PORT"],
  [["--serve", "--fault"], "--fault needs a value", "write --fault NAME"],
  [["-p", "1", "--port", "2"], "--port is given 2 times", "write it once"],
  [["-v", "--verbose"], "--verbose is given 2 times", "write it once"],
  [["--verbose=no"], "--verbose takes no value"],
  [["-v=no"], "--verbose takes no value"],
  [["-v="], "--verbose takes no value"],

  [[""], 'unexpected argument ""', "run key_client --help to see all options"],
  [["-uAda", "Bob"], 'unexpected argument "Bob"', "run key_client --help to see all options"],
  [["--verbose", "true"], 'unexpected argument "true"', "run key_client --help to see all options"],
  [["--key", "false"], 'unexpected argument "false"', "run key_client --help to see all options"],
  [["Ada"], 'unexpected argument "Ada"', "run key_client --help to see all options"],
  [["Ada", "--prot"], 'unknown option "--prot"', "did you mean --port?"], // the first mistake of a flag
  [
    ["--key", KEY],
    'unexpected argument "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abc..."',
    "run key_client --help to see all options",
  ],
  [
    ["x".repeat(1000)],
    'unexpected argument "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."',
    "run key_client --help to see all options",
  ],
  [["serve"], 'unexpected argument "serve"', "write --serve"],
  [["toString"], 'unexpected argument "toString"', "run key_client --help to see all options"],
  [["-"], 'unexpected argument "-"', "run key_client --help to see all options"],
  [["--", "--help"], 'unexpected argument "--help"', "run key_client --help to see all options"],

  [["--port", "0"], '--port must be a number from 1 to 65535, not "0"'],
  [["--port", "70000"], '--port must be a number from 1 to 65535, not "70000"'],
  [["--port", "65536"], '--port must be a number from 1 to 65535, not "65536"'],
  [["--serve", "--port", "65536"], '--port must be a number from 0 to 65535, not "65536"'],
  [["--port", "abc"], '--port must be a number from 1 to 65535, not "abc"'],
  [["--port", "1e3"], '--port must be a number from 1 to 65535, not "1e3"'],
  [["--port=-1"], '--port must be a number from 1 to 65535, not "-1"'],
  [["-p50\n00"], '--port must be a number from 1 to 65535, not "50\\n00"'],
  [["-p", "5000\n"], '--port must be a number from 1 to 65535, not "5000\\n"'],
  [
    ["-p", "1".repeat(1000)],
    '--port must be a number from 1 to 65535, not "11111111111111111111111111111111111111111111111111111111111111111111111111111..."',
  ],

  [
    ["--timeout", "0"],
    '--timeout must be a number of seconds above 0 and at most 2147483.647, not "0"',
  ],
  [
    ["--timeout", "1s"],
    '--timeout must be a number of seconds above 0 and at most 2147483.647, not "1s"',
  ],
  [
    ["-t", "1\n"],
    '--timeout must be a number of seconds above 0 and at most 2147483.647, not "1\\n"',
  ],
  [
    ["--timeout", "2147484"],
    '--timeout must be a number of seconds above 0 and at most 2147483.647, not "2147484"',
  ],
  [
    ["--timeout", "2147483.6475"],
    '--timeout must be a number of seconds above 0 and at most 2147483.647, not "2147483.6475"',
  ],
  [
    ["-t", `.${"0".repeat(400)}1`],
    '--timeout must be a number of seconds above 0 and at most 2147483.647, not ".0000000000000000000000000000000000000000000000000000000000000000000000000000..."',
  ],
  [["-t", "."], '--timeout must be a number of seconds above 0 and at most 2147483.647, not "."'],
  [
    ["-t", "1..2"],
    '--timeout must be a number of seconds above 0 and at most 2147483.647, not "1..2"',
  ],
  [
    ["-t", "0x10"],
    '--timeout must be a number of seconds above 0 and at most 2147483.647, not "0x10"',
  ],
  [
    ["-t", "1e3"],
    '--timeout must be a number of seconds above 0 and at most 2147483.647, not "1e3"',
  ],
  [
    ["-t", "Infinity"],
    '--timeout must be a number of seconds above 0 and at most 2147483.647, not "Infinity"',
  ],
  [
    ["-t", `${"1".repeat(200_000)}x`],
    '--timeout must be a number of seconds above 0 and at most 2147483.647, not "11111111111111111111111111111111111111111111111111111111111111111111111111111..."',
  ],

  [["--user", ".."], '--user must be a string other than "", "." and "..", not ".."'],
  [["--user", "\ud800"], '--user must be a string without lone surrogates, not "\\ud800"'],
  [["--put", ".."], '--put must be a string other than "", "." and "..", not ".."'],
  [["--offline", "--put", "."], '--put must be a string other than "", "." and "..", not "."'],

  [["--host", "a b"], '--host must be a host name or an IP address, not "a b"'],
  [
    ["--host", "http://a"],
    '--host must be a host name or an IP address, not "http://a"',
    "write --host a",
  ],
  [
    ["--host", "HTTPS://a.b:80/c"],
    '--host must be a host name or an IP address, not "HTTPS://a.b:80/c"',
    "write --host a.b --port 80",
  ],
  [
    ["--host", "127.0.0.1:5000"],
    '--host must be a host name or an IP address, not "127.0.0.1:5000"',
    "write --host 127.0.0.1 --port 5000",
  ],
  [
    ["--host", "[::1]:5000"],
    '--host must be a host name or an IP address, not "[::1]:5000"',
    "write --host ::1 --port 5000",
  ],
  [
    ["--host", "[::ffff:1.2.3.4]:5000"],
    '--host must be a host name or an IP address, not "[::ffff:1.2.3.4]:5000"',
    "write --host ::ffff:1.2.3.4 --port 5000",
  ],
  [["--host", "a:0"], '--host must be a host name or an IP address, not "a:0"'],
  [["--host", "a:65536"], '--host must be a host name or an IP address, not "a:65536"'],
  [
    ["--host", "a:65535"],
    '--host must be a host name or an IP address, not "a:65535"',
    "write --host a --port 65535",
  ],
  [["--host", "[...]:5000"], '--host must be a host name or an IP address, not "[...]:5000"'],
  [
    ["--host", `${"x".repeat(100)}/`],
    '--host must be a host name or an IP address, not "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."',
    "write --host xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
  ],
  [
    ["--host", "localhost:"],
    '--host must be a host name or an IP address, not "localhost:"',
    "write --host localhost",
  ],
  [
    ["--host", "localhost/"],
    '--host must be a host name or an IP address, not "localhost/"',
    "write --host localhost",
  ],
  [["--host", "http://a b"], '--host must be a host name or an IP address, not "http://a b"'],
  [["--host", "a:b"], '--host must be a host name or an IP address, not "a:b"'],
  [["--host", ":5000"], '--host must be a host name or an IP address, not ":5000"'],

  [["--fault", "drip"], "--fault needs --serve or --drill", "add --serve or --drill"],
  [["--fault", "drip", "--demo"], "--fault needs --serve or --drill", "add --serve or --drill"],
  [["--serve", "--fault", "dirp"], 'unknown fault "dirp"', "did you mean drip?"],
  [["--serve", "--fault", "DRIP"], 'unknown fault "DRIP"', "did you mean drip?"],
  [["--serve", "--fault", "status404"], 'unknown fault "status404"', "did you mean status-404?"],
  [["--serve", "--fault", "lits"], 'unknown fault "lits"', "did you mean list?"],
  [
    ["--serve", "--fault", "404"],
    'unknown fault "404"',
    "run key_client --fault list to see all faults",
  ],
  [
    ["--serve", "--fault", "xyz"],
    'unknown fault "xyz"',
    "run key_client --fault list to see all faults",
  ],
  [
    ["--serve", "--fault", "toString"],
    'unknown fault "toString"',
    "run key_client --fault list to see all faults",
  ],
  [["--drill", "--fault", "sond"], 'unknown fault "sond"', "did you mean sound?"],
  [
    ["--drill", "--fault", "drip:KEY"],
    "--fault drip:KEY is not a round of this drill",
    "run key_client --fault list to see all faults",
  ],
  [
    ["--drill", "a.py", "--fault", "wrong-key:KEY"],
    "--fault wrong-key:KEY is not a round of this drill",
    "run key_client --fault list to see all faults",
  ],
  [
    ["--serve", "--fault", "sound"],
    'unknown fault "sound"',
    "run key_client --fault list to see all faults",
  ],

  [["client.py"], 'unexpected argument "client.py"', "write --drill client.py"],
  [["--serve", "a b.TS"], 'unexpected argument "a b.TS"', 'write --drill "a b.TS"'],
  [["--", "x"], 'unexpected argument "x"', "run key_client --help to see all options"],
  [["--serve", "--", "x"], 'unexpected argument "x"', "run key_client --help to see all options"],
  [["--drill", "--"], "--drill -- needs a command", "write it after --"],
  [["--drill", "a.py", "--", "b"], "--drill judges a file or a command, not both"],
  [
    ["--drill", "python3", "a.py"],
    "--drill judges one file",
    "for a program, write --drill -- python3 a.py",
  ],
  [
    ["--drill", "./client"],
    "--drill judges .py, .ts, .js and .mjs files",
    "for a program, write --drill -- ./client",
  ],
  [
    ["--serve", "--fault", "x".repeat(1000)],
    'unknown fault "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."',
    "run key_client --fault list to see all faults",
  ],
];

Deno.test("main() rejects a wrong command line, and prints a help", async () => {
  for (const [args, message, help] of USAGE) {
    const stderr = `key_client: ${message}\n${help ? `help: ${help}\n` : ""}`;
    assertEquals(await run(args), { exit: 2, stdout: "", stderr });
  }
});

/** Wrong command lines, and whether the message is JSON. */
const JSON_USAGE: [args: string[], isJson: boolean][] = [
  [["--json", "--prot"], true],
  [["--prot", "--json"], true],
  [["Ada", "--json", "--prot"], true],
  [["--json", "--json"], true],
  [["--json", "-t"], true],
  [["--port", "x", "--json"], true],
  [["--json", "--user", ".."], true],
  [["--put", "--json"], false], // here --json is the KEY
  [["--put", "--json", "--prot"], false],
  [["--put=--json", "--prot"], false],
  [["--json=", "--prot"], false],
  [["--prot", "--", "--json"], false],
];

Deno.test("main() obeys --json, --serve and --drill even if another flag is wrong", async () => {
  for (const [args, isJson] of JSON_USAGE) {
    const { exit, stdout, stderr } = await run(args);
    assertEquals(exit, 2, args.join(" "));
    assertEquals([stdout !== "", stderr === ""], [isJson, isJson], args.join(" "));
    if (isJson) assertEquals(JSON.parse(stdout).error.code, "usage");
  }
  for (const mode of ["--serve", "--drill"]) {
    const message = 'unknown option "--prot"';
    const help = "did you mean --port?";
    assertEquals(await run(["--prot", "--json", mode]), {
      exit: 2,
      stdout: `${JSON.stringify({ event: "error", message, help })}\n`,
      stderr: `key_client: ${message}\nhelp: ${help}\n`,
    });
    const { exit, stdout } = await run(["--json", "--prot", "--put", mode]);
    assertEquals([exit, JSON.parse(stdout).error.message], [2, message]);
  }
});

/** Flags that cannot be combined. */
const CONTRADICTIONS: Record<string, string[]> = {
  "--key": ["--put"],
  "--offline": ["--json", "--verbose"],
  "--demo": ["--key", "--put", "--host", "--port", "--offline"],
  "--serve": ["--key", "--put", "--user", "--timeout", "--offline", "--demo", "--drill"],
  "--drill": ["--key", "--put", "--user", "--timeout", "--offline", "--demo"],
  "--fault list": ["--key", "--put", "--host", "--port", "--user", "--timeout", "--verbose"]
    .concat(["--offline", "--demo"]),
};

const VALUES: Record<string, string> = {
  "--put": KEY,
  "--host": "localhost",
  "--port": "5000",
  "--user": "Ada",
  "--timeout": "1",
  "--fault": "drip",
};

Deno.test("main() rejects flags that cannot be combined, in either order", async () => {
  for (const [flag, others] of Object.entries(CONTRADICTIONS)) {
    for (const other of others) {
      const [one, two] = [flag.split(" "), [other, VALUES[other] ?? []].flat()];
      const message = `${flag} cannot be combined with ${other}`;
      for (const args of [[...one, ...two], [...two, ...one]]) {
        const { exit, stdout, stderr } = await run(args);
        assertEquals(exit, 2, args.join(" "));
        if (other === "--json") assertEquals(JSON.parse(stdout).error.message, message);
        else assertMatch(stderr, /^key_client: [^\n]*\nhelp: remove [^\n]*\n$/);
        if (other !== "--json") {
          assertEquals([stdout, stderr.split("\n")[0]], ["", `key_client: ${message}`]);
        }
      }
    }
  }
});

/** Command lines, and their part of the request. */
const ATTACHED: [args: (port: string) => string[], ...wire: string[]][] = [
  [(port) => [`-vp${port}`], "KEY /user/User1/ HTTP/1.1"],
  [(port) => [`-vp=${port}`], "KEY /user/User1/ HTTP/1.1"],
  [(port) => ["-vp", port], "KEY /user/User1/ HTTP/1.1"],
  [(port) => ["-vHlocalhost", `-p${port}`], "KEY /user/User1/ HTTP/1.1", "Host: localhost:"],
  [(port) => ["-vH=localhost", "-p", port], "KEY /user/User1/ HTTP/1.1", "Host: localhost:"],
  [(port) => ["-vuAda", `-p=${port}`], "KEY /user/Ada/ HTTP/1.1"],
  [(port) => ["-vu=Ada", "--port", port], "KEY /user/Ada/ HTTP/1.1"],
  [(port) => ["-vu7", `--port=${port}`], "KEY /user/7/ HTTP/1.1"],
  [(port) => ["-v", "-u==Ada", "-p", port], "KEY /user/%3DAda/ HTTP/1.1"],
  [(port) => ["-v", "-uvVh", "-p", port], "KEY /user/vVh/ HTTP/1.1"],
  [(port) => ["-v", "-u", "-", "-p", port], "KEY /user/-/ HTTP/1.1"],
  [(port) => ["-v", "-uAda\nBob", "-p", port], "KEY /user/Ada%0ABob/ HTTP/1.1"],
  [(port) => ["-vu=Ada\nBob", "-p", port], "KEY /user/Ada%0ABob/ HTTP/1.1"],
  [(port) => ["-v", "--user=\nAda=\r\n", "-p", port], "KEY /user/%0AAda%3D%0D%0A/ HTTP/1.1"],
  [(port) => ["-v", "--user", "\n", "-p", port], "KEY /user/%0A/ HTTP/1.1"],
  [(port) => ["-v", "--user=--key", "-p", port], "KEY /user/--key/ HTTP/1.1"],
  [(port) => ["-v", "--user", "true", "-p", port], "KEY /user/true/ HTTP/1.1"],
  [(port) => ["-v", "-u007", "-p", port, "--"], "KEY /user/007/ HTTP/1.1"],
  [(port) => ["-v", "--put=--\n", "-p", port], "PUT /key/User1/--%0A/ HTTP/1.1"],
];

Deno.test("main() keeps every character of a value in --user X, --user=X and -uX", async () => {
  await using server = answering("HTTP/1.1 404 x\r\n\r\n");
  for (const [args, ...wire] of ATTACHED) {
    const { exit, stderr } = await run(args(server.port));
    assertEquals(exit, 4, args("PORT").join(" "));
    for (const part of wire) assertStringIncludes(stderr, `   > ${part}`);
  }
});

Deno.test("quoteForShell() quotes what a shell would change, and cuts nothing", () => {
  for (
    const [word, quoted] of [
      ["../a-b/c.py", "../a-b/c.py"],
      ["a b.py", '"a b.py"'],
      [`it's ${"x".repeat(200)}.py`, `"it's ${"x".repeat(200)}.py"`],
      ["$HOME/`a`.py", "'$HOME/`a`.py'"],
      [`it's "$1"`, `'it'\\''s "$1"'`],
      ["", '""'],
    ]
  ) assertEquals(quoteForShell(word), quoted);
});
