import { assertEquals, assertStringIncludes } from "@std/assert";
import { KEY } from "../testing/bytes.ts";
import { answering, run } from "../testing/command.ts";

const HOST = "--host must be a host name or an IP address, not";
const PORT = "--port must be a number from 1 to 65535, not";
const TIMEOUT = "--timeout must be a number of seconds above 0 and at most 2147483.647, not";
const STRING = 'must be a string other than "", "." and "..", not';
const NO_FAULT = "--fault list tells which there are";

/** Wrong command lines, and what is said about them. */
const USAGE: [args: string[], message: string][] = [
  [["--prot", "5000"], 'Unknown option "--prot", did you mean --port?'],
  [["--Verbose"], 'Unknown option "--Verbose", did you mean --verbose?'],
  [["--user-id=Ada"], 'Unknown option "--user-id", did you mean --user?'],
  [["--frobnicate"], 'Unknown option "--frobnicate"'],
  [["-j"], 'Unknown option "-j", did you mean --json?'],
  [["-x"], 'Unknown option "-x"'],
  [["-vx"], 'Unknown option "-x" in "-vx"'],
  [["--no-verbose"], 'Unknown option "--no-verbose"'],
  [["--KEY"], 'Unknown option "--KEY", did you mean --key?'],
  [["-VERSION"], 'Unknown option "-VERSION", did you mean --version?'],
  [["-v-p5000"], 'Unknown option "--" in "-v-p5000"'],
  [["--__proto__=x"], 'Unknown option "--__proto__"'],
  [["--user.x", "y"], 'Unknown option "--user.x", did you mean --user?'],
  [["-v5"], 'Unknown option "-5" in "-v5"'],
  [["-h5"], 'Unknown option "-5" in "-h5"'],
  [["-vx=1"], 'Unknown option "-x" in "-vx=1"'],
  [["-v\u{1f511}"], 'Unknown option "-\u{1f511}" in "-v\u{1f511}"'],
  [["-user", "Ada"], 'Unknown option "-user", did you mean --user?'],
  [["-port=1"], 'Unknown option "-port", did you mean --port?'],
  [["-key"], 'Unknown option "-key", did you mean --key?'],
  [["-P", "1"], 'Unknown option "-P", did you mean --port?'],
  [["-T", "1"], 'Unknown option "-T", did you mean --timeout?'],
  [["-s"], 'Unknown option "-s", did you mean --serve?'],
  [["--ho", "a"], 'Unknown option "--ho", did you mean --host?'],
  [["--o"], 'Unknown option "--o", did you mean --offline?'],
  [["--ver"], 'Unknown option "--ver"'], // verbose or version?
  [["--drills"], 'Unknown option "--drills", did you mean --drill?'],
  [["--timeouts", "1"], 'Unknown option "--timeouts", did you mean --timeout?'],
  [["--jso", "1"], 'Unknown option "--jso", did you mean --json?'],
  [["--pot", "1"], 'Unknown option "--pot", did you mean --put?'], // which comes before --port
  [["--hoost", "a"], 'Unknown option "--hoost", did you mean --host?'],
  [["--pord", "1"], 'Unknown option "--pord", did you mean --port?'],
  [["--jsno"], 'Unknown option "--jsno", did you mean --json?'],
  [["--jons"], 'Unknown option "--jons"'],
  [["--poxx", "1"], 'Unknown option "--poxx"'],
  [["--_=x"], 'Unknown option "--_"'],
  [["--_"], 'Unknown option "--_"'],
  [["--=x"], 'Unknown option "--"'],
  [["---"], 'Unknown option "---"'],
  [["--port\n", "1"], 'Unknown option "--port\\n", did you mean --port?'],
  [[`--${"x".repeat(1000)}=1`], `Unknown option "--${"x".repeat(75)}..."`],
  [[`-v5${"x".repeat(1000)}`], `Unknown option "-5" in "-v5${"x".repeat(74)}..."`],

  [["--port"], "Option --port needs a value"],
  [["--json=", "--port", "1"], "Option --json takes no value"],
  [
    ["--port", "--json="],
    'Option --port needs a value (if it starts with "-", write --port=VALUE)',
  ],
  [["--user", "--key"], 'Option --user needs a value (if it starts with "-", write --user=VALUE)'],
  [["--user", "-\n"], 'Option --user needs a value (if it starts with "-", write --user=VALUE)'],
  [["-t", "-5"], 'Option --timeout needs a value (if it starts with "-", write --timeout=VALUE)'],
  [["-p", "--", "5000"], "Option --port needs a value"],
  [["--user="], "Option --user needs a value"],
  [["-u", ""], "Option --user needs a value"],
  [["--put"], "Option --put needs a value"],
  [["-p"], "Option --port needs a value"],
  [["-vp"], "Option --port needs a value"],
  [["-p="], "Option --port needs a value"],
  [["--serve", "--fault"], "Option --fault needs a value"],
  [["-p", "1", "--port", "2"], "Option --port is given 2 times"],
  [["-v", "--verbose"], "Option --verbose is given 2 times"],
  [["--verbose=no"], "Option --verbose takes no value"],
  [["-v=no"], "Option --verbose takes no value"],
  [["-v="], "Option --verbose takes no value"],

  [[""], 'Unexpected argument ""'],
  [["-uAda", "Bob"], 'Unexpected argument "Bob"'],
  [["--verbose", "true"], 'Unexpected argument "true"'],
  [["--key", "false"], 'Unexpected argument "false"'],
  [["Ada"], 'Unexpected argument "Ada"'],
  [["Ada", "--prot"], 'Unknown option "--prot", did you mean --port?'], // the first mistake of a flag
  [["--key", KEY], `Unexpected argument "${KEY.slice(0, 77)}..."`],
  [["x".repeat(1000)], `Unexpected argument "${"x".repeat(77)}..."`],
  [["serve"], 'Unexpected argument "serve", did you mean --serve?'],
  [["toString"], 'Unexpected argument "toString"'],
  [["-"], 'Unexpected argument "-"'],
  [["--", "--help"], 'Unexpected argument "--help"'],

  [["--port", "0"], `${PORT} "0"`],
  [["--port", "70000"], `${PORT} "70000"`],
  [["--port", "65536"], `${PORT} "65536"`],
  [["--serve", "--port", "65536"], '--port must be a number from 0 to 65535, not "65536"'],
  [["--port", "abc"], `${PORT} "abc"`],
  [["--port", "1e3"], `${PORT} "1e3"`],
  [["--port=-1"], `${PORT} "-1"`],
  [["-p50\n00"], `${PORT} "50\\n00"`],
  [["-p", "5000\n"], `${PORT} "5000\\n"`],
  [["-p", "1".repeat(1000)], `${PORT} "${"1".repeat(77)}..."`],

  [["--timeout", "0"], `${TIMEOUT} "0"`],
  [["--timeout", "1s"], `${TIMEOUT} "1s"`],
  [["-t", "1\n"], `${TIMEOUT} "1\\n"`],
  [["--timeout", "2147484"], `${TIMEOUT} "2147484"`],
  [["--timeout", "2147483.6475"], `${TIMEOUT} "2147483.6475"`],
  [["-t", `.${"0".repeat(400)}1`], `${TIMEOUT} ".${"0".repeat(76)}..."`],
  [["-t", "."], `${TIMEOUT} "."`],
  [["-t", "1..2"], `${TIMEOUT} "1..2"`],
  [["-t", "0x10"], `${TIMEOUT} "0x10"`],
  [["-t", "1e3"], `${TIMEOUT} "1e3"`],
  [["-t", "Infinity"], `${TIMEOUT} "Infinity"`],
  [["-t", `${"1".repeat(200_000)}x`], `${TIMEOUT} "${"1".repeat(77)}..."`],

  [["--user", ".."], `--user ${STRING} ".."`],
  [["--user", "\ud800"], '--user must be a string without lone surrogates, not "\\ud800"'],
  [["--put", ".."], `--put ${STRING} ".."`],
  [["--offline", "--put", "."], `--put ${STRING} "."`],

  [["--host", "a b"], `${HOST} "a b"`],
  [["--host", "http://a"], `${HOST} "http://a": write --host a`],
  [["--host", "HTTPS://a.b:80/c"], `${HOST} "HTTPS://a.b:80/c": write --host a.b --port 80`],
  [
    ["--host", "127.0.0.1:5000"],
    `${HOST} "127.0.0.1:5000": write --host 127.0.0.1 --port 5000`,
  ],
  [["--host", "[::1]:5000"], `${HOST} "[::1]:5000": write --host ::1 --port 5000`],
  [
    ["--host", "[::ffff:1.2.3.4]:5000"],
    `${HOST} "[::ffff:1.2.3.4]:5000": write --host ::ffff:1.2.3.4 --port 5000`,
  ],
  [["--host", "a:0"], `${HOST} "a:0"`],
  [["--host", "a:65536"], `${HOST} "a:65536"`],
  [["--host", "a:65535"], `${HOST} "a:65535": write --host a --port 65535`],
  [["--host", "[...]:5000"], `${HOST} "[...]:5000"`],
  [
    ["--host", `${"x".repeat(100)}/`],
    `${HOST} "${"x".repeat(77)}...": write --host ${"x".repeat(100)}`,
  ],
  [["--host", "localhost:"], `${HOST} "localhost:": write --host localhost`],
  [["--host", "localhost/"], `${HOST} "localhost/": write --host localhost`],
  [["--host", "http://a b"], `${HOST} "http://a b"`],
  [["--host", "a:b"], `${HOST} "a:b"`],
  [["--host", ":5000"], `${HOST} ":5000"`],

  [["--fault", "drip"], "Option --fault needs --serve or --drill"],
  [["--fault", "drip", "--demo"], "Option --fault needs --serve or --drill"],
  [["--serve", "--fault", "dirp"], 'Unknown fault "dirp", did you mean drip?'],
  [["--serve", "--fault", "DRIP"], 'Unknown fault "DRIP", did you mean drip?'],
  [["--serve", "--fault", "status404"], 'Unknown fault "status404", did you mean status-404?'],
  [["--serve", "--fault", "lits"], 'Unknown fault "lits", did you mean list?'],
  [["--serve", "--fault", "404"], `Unknown fault "404", ${NO_FAULT}`],
  [["--serve", "--fault", "xyz"], `Unknown fault "xyz", ${NO_FAULT}`],
  [["--serve", "--fault", "toString"], `Unknown fault "toString", ${NO_FAULT}`],
  [["--drill", "--fault", "sond"], 'Unknown fault "sond", did you mean sound?'],
  [["--drill", "--fault", "drip:KEY"], "--fault drip:KEY is not a round of this drill"],
  [
    ["--drill", "a.py", "--fault", "wrong-key:KEY"],
    "--fault wrong-key:KEY is not a round of this drill",
  ],
  [["--serve", "--fault", "sound"], `Unknown fault "sound", ${NO_FAULT}`],

  [["client.py"], 'Unexpected argument "client.py", did you mean --drill client.py?'],
  [["--serve", "a b.TS"], 'Unexpected argument "a b.TS", did you mean --drill "a b.TS"?'],
  [["--", "x"], 'Unexpected argument "x"'],
  [["--serve", "--", "x"], 'Unexpected argument "x"'],
  [["--drill", "--"], "--drill -- needs a command"],
  [["--drill", "a.py", "--", "b"], "--drill judges a file or a command, not both"],
  [
    ["--drill", "python3", "a.py"],
    "--drill judges one file; for a program, write --drill -- python3 a.py",
  ],
  [
    ["--drill", "./client"],
    "--drill judges .py, .ts, .js and .mjs files; for a program, write --drill -- ./client",
  ],
  [["--serve", "--fault", "x".repeat(1000)], `Unknown fault "${"x".repeat(77)}...", ${NO_FAULT}`],
];

Deno.test("main() refuses a wrong command line in one line", async () => {
  for (const [args, message] of USAGE) {
    const stderr = `key_client: ${message}; see --help\n`;
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
  [["--put", "--json"], false], // in the place of KEY
  [["--put", "--json", "--prot"], false],
  [["--put=--json", "--prot"], false],
  [["--json=", "--prot"], false],
  [["--prot", "--", "--json"], false],
];

Deno.test("main() knows --json, --serve and --drill even if another flag is wrong", async () => {
  for (const [args, isJson] of JSON_USAGE) {
    const { exit, stdout, stderr } = await run(args);
    assertEquals(exit, 2, args.join(" "));
    assertEquals([stdout !== "", stderr === ""], [isJson, isJson], args.join(" "));
    if (isJson) assertEquals(JSON.parse(stdout).error.code, "usage");
  }
  for (const mode of ["--serve", "--drill"]) {
    const message = 'Unknown option "--prot", did you mean --port?';
    assertEquals(await run(["--prot", "--json", mode]), {
      exit: 2,
      stdout: `${JSON.stringify({ event: "error", message })}\n`,
      stderr: `key_client: ${message}; see --help\n`,
    });
    const { exit, stdout } = await run(["--json", "--prot", "--put", mode]);
    assertEquals([exit, JSON.parse(stdout).error.message], [2, message]);
  }
});

/** What cannot be combined with what. */
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

Deno.test("main() refuses flags that contradict each other, in either order", async () => {
  for (const [flag, others] of Object.entries(CONTRADICTIONS)) {
    for (const other of others) {
      const [one, two] = [flag.split(" "), [other, VALUES[other] ?? []].flat()];
      const message = `${flag} cannot be combined with ${other}`;
      for (const args of [[...one, ...two], [...two, ...one]]) {
        const { exit, stdout, stderr } = await run(args);
        assertEquals(exit, 2, args.join(" "));
        if (other === "--json") assertEquals(JSON.parse(stdout).error.message, message);
        else assertEquals([stdout, stderr], ["", `key_client: ${message}; see --help\n`]);
      }
    }
  }
});

/** Command lines, and what of them is on the wire. */
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

Deno.test("main() keeps every character of a value, however it is attached", async () => {
  await using server = answering("HTTP/1.1 404 x\r\n\r\n");
  for (const [args, ...wire] of ATTACHED) {
    const { exit, stderr } = await run(args(server.port));
    assertEquals(exit, 4, args("PORT").join(" "));
    for (const part of wire) assertStringIncludes(stderr, `   > ${part}`);
  }
});
