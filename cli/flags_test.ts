import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { KEY } from "../testing/bytes.ts";
import { answering, run } from "../testing/command.ts";

const USAGE: [args: string[], message: string][] = [
  [["--prot", "5000"], 'Unknown option "--prot", did you mean --port?'],
  [["--Verbose"], 'Unknown option "--Verbose", did you mean --verbose?'],
  [["--user-id=Ada"], 'Unknown option "--user-id", did you mean --user?'],
  [["--frobnicate"], 'Unknown option "--frobnicate"'],
  [["-j"], 'Unknown option "-j", did you mean --json?'],
  [["-x"], 'Unknown option "-x"'],
  [["-vx"], 'Unknown option "-x" in "-vx"'],
  [["--no-verbose"], 'Unknown option "--no-verbose"; see'],
  [["--KEY"], 'Unknown option "--KEY", did you mean --key?'],
  [["-VERSION"], 'Unknown option "-VERSION", did you mean --version?'],
  [["-v-p5000"], 'Unknown option "--" in "-v-p5000"; see'],
  [["--user", "-\n"], "Option --user needs a value"],
  [["x".repeat(1000)], `Unexpected argument "${"x".repeat(77)}..."; see`],
  [[`--${"x".repeat(1000)}=1`], `Unknown option "--${"x".repeat(75)}..."; see`],
  [[`-v5${"x".repeat(1000)}`], `in "-v5${"x".repeat(74)}..."; see`],
  [["-p", "1".repeat(1000)], `Cannot use --port "${"1".repeat(77)}..."`],
  [["-t", `${"1".repeat(200_000)}x`], `Cannot use --timeout "${"1".repeat(77)}..."`],
  [["--serve", "--fault", "x".repeat(1000)], `Unknown fault "${"x".repeat(77)}..."`],
  [["--__proto__=x"], 'Unknown option "--__proto__"'],
  [["--user.x", "y"], 'Unknown option "--user.x", did you mean --user?'],
  [["--port"], "Option --port needs a value"],
  [["--json=", "--port", "1"], "Option --json takes no value"],
  [["--port", "--json="], "Option --port needs a value"],
  [["--user", "--key"], 'Option --user needs a value (if it starts with "-", write --user=VALUE)'],
  [["-t", "-5"], 'Option --timeout needs a value (if it starts with "-", write --timeout=VALUE)'],
  [["--user="], "Option --user needs a value"],
  [["-u", ""], "Option --user needs a value"],
  [["--put"], "Option --put needs a value"],
  [["-p", "1", "--port", "2"], "Option --port is given 2 times"],
  [["-v", "--verbose"], "Option --verbose is given 2 times"],
  [["--verbose=no"], "Option --verbose takes no value"],
  [["-v=no"], "Option --verbose takes no value"],
  [["-v="], "Option --verbose takes no value"],
  [["-v5"], 'Unknown option "-5" in "-v5"'],
  [["-h5"], 'Unknown option "-5" in "-h5"'],
  [["-vx=1"], 'Unknown option "-x" in "-vx=1"'],
  [["-v\u{1f511}"], 'Unknown option "-\u{1f511}" in'],
  [["-user", "Ada"], 'Unknown option "-user", did you mean --user?'],
  [["-port=1"], 'Unknown option "-port", did you mean --port?'],
  [["-key"], 'Unknown option "-key", did you mean --key?'],
  [["--poxx", "1"], 'Unknown option "--poxx", did you mean --port?'],
  [["--ho", "a"], 'Unknown option "--ho", did you mean --host?'],
  [["--xhxost", "a"], 'Unknown option "--xhxost", did you mean --host?'],
  [["--pxxx"], 'Unknown option "--pxxx"; see'],
  [["--o"], 'Unknown option "--o"; see'],
  [["--xhxxost"], 'Unknown option "--xhxxost"; see'],
  [["--jons"], 'Unknown option "--jons", did you mean --json?'],
  [["--drills"], 'Unknown option "--drills", did you mean --drill?'],
  [["--timeouts", "1"], 'Unknown option "--timeouts", did you mean --timeout?'],
  [["-uAda", "Bob"], 'Unexpected argument "Bob"'],
  [["-P", "1"], 'Unknown option "-P", did you mean --port?'],
  [["-T", "1"], 'Unknown option "-T", did you mean --timeout?'],
  [["-s"], 'Unknown option "-s", did you mean --serve?'],
  [["--_=x"], 'Unknown option "--_"'],
  [["--_"], 'Unknown option "--_"'],
  [["--=x"], 'Unknown option "--"'],
  [["---"], 'Unknown option "---"'],
  [["--port\n", "1"], 'Unknown option "--port\\n", did you mean --port?'],
  [["-p50\n00"], 'Cannot use --port "50\\n00": it must be 1 to 65535'],
  [["-p", "5000\n"], 'Cannot use --port "5000\\n": it must be 1 to 65535'],
  [["-t", "1\n"], 'Cannot use --timeout "1\\n"'],
  [["-p"], "Option --port needs a value"],
  [["-vp"], "Option --port needs a value"],
  [["-p="], "Option --port needs a value"],
  [["-p", "--", "5000"], "Option --port needs a value"],
  [[""], 'Unexpected argument ""'],
  [["--verbose", "true"], 'Unexpected argument "true"'],
  [["--key", "false"], 'Unexpected argument "false"'],
  [["Ada"], 'Unexpected argument "Ada"'],
  [["--key", KEY], `Unexpected argument "${KEY.slice(0, 77)}..."`],
  [["serve"], 'Unexpected argument "serve", did you mean --serve?'],
  [["toString"], 'Unexpected argument "toString"; see'],
  [["-"], 'Unexpected argument "-"'],
  [["--", "--help"], 'Unexpected argument "--help"'],
  [["--port", "0"], 'Cannot use --port "0": it must be 1 to 65535'],
  [["--port", "70000"], 'Cannot use --port "70000": it must be 1 to 65535'],
  [["--port", "65536"], 'Cannot use --port "65536": it must be 1 to 65535'],
  [["--serve", "--port", "65536"], 'Cannot use --port "65536": it must be 0 to 65535'],
  [["--port", "abc"], 'Cannot use --port "abc": it must be 1 to 65535'],
  [["--port", "1e3"], 'Cannot use --port "1e3": it must be'],
  [["--port=-1"], 'Cannot use --port "-1": it must be'],
  [["--timeout", "0"], 'Cannot use --timeout "0": it must be a number of seconds, above 0'],
  [["--timeout", "1s"], 'Cannot use --timeout "1s": it must be a number of seconds'],
  [
    ["--timeout", "2147484"],
    'Cannot use --timeout "2147484": it must be a number of seconds, above 0 and at most 2147483.647',
  ],
  [
    ["--timeout", "2147483.6475"],
    'Cannot use --timeout "2147483.6475": it must be a number of seconds',
  ],
  [["-t", `.${"0".repeat(400)}1`], 'Cannot use --timeout ".00'],
  [["-t", "."], 'Cannot use --timeout "."'],
  [["-t", "1..2"], 'Cannot use --timeout "1..2"'],
  [["-t", "0x10"], 'Cannot use --timeout "0x10"'],
  [["-t", "1e3"], 'Cannot use --timeout "1e3"'],
  [["-t", "Infinity"], 'Cannot use --timeout "Infinity"'],
  [["--user", ".."], 'Cannot use --user "..": it must be other than'],
  [["--user", "\ud800"], 'Cannot use --user "\\ud800": it must be without lone surrogates'],
  [["--host", "a b"], 'Cannot use --host "a b": it must be a host name or an IP address'],
  [["--host", "http://a"], 'Cannot use --host "http://a": write --host a;'],
  [
    ["--host", "HTTPS://a.b:80/c"],
    'Cannot use --host "HTTPS://a.b:80/c": write --host a.b --port 80;',
  ],
  [["--host", "127.0.0.1:5000"], '"127.0.0.1:5000": write --host 127.0.0.1 --port 5000;'],
  [["--host", "[::1]:5000"], '"[::1]:5000": write --host ::1 --port 5000;'],
  [["--host", "[::ffff:1.2.3.4]:5000"], "write --host ::ffff:1.2.3.4 --port 5000;"],
  [["--host", "a:0"], 'Cannot use --host "a:0": it must be a host name'],
  [["--host", "a:65536"], 'Cannot use --host "a:65536": it must be a host name'],
  [["--host", "a:65535"], 'Cannot use --host "a:65535": write --host a --port 65535;'],
  [["--host", "[...]:5000"], 'Cannot use --host "[...]:5000": it must be a host name'],
  [["--host", `${"x".repeat(1000)}/`], `Cannot use --host "${"x".repeat(77)}...": write`],
  [["--host", "localhost:"], '"localhost:": write --host localhost;'],
  [["--host", "localhost/"], '"localhost/": write --host localhost;'],
  [["--host", "http://a b"], 'Cannot use --host "http://a b": it must be a host name'],
  [["--host", "a:b"], 'Cannot use --host "a:b": it must be a host name'],
  [["--host", ":5000"], 'Cannot use --host ":5000": it must be a host name'],
  [["--put", ".."], 'Cannot use --put "..": it must be other than'],
  [["--offline", "--put", "."], 'Cannot use --put ".": it must be other than'],
  [["--fault", "drip"], "Option --fault needs --serve"],
  [["--fault", "drip", "--demo"], "Option --fault needs --serve"],
  [["--serve", "--fault", "dirp"], 'Unknown fault "dirp", did you mean drip?'],
  [["--serve", "--fault", "DRIP"], 'Unknown fault "DRIP", did you mean drip?'],
  [["--serve", "--fault", "status404"], 'Unknown fault "status404", did you mean status-404?'],
  [["--serve", "--fault", "lits"], 'Unknown fault "lits", did you mean list?'],
  [["--serve", "--fault", "404"], 'Unknown fault "404", did you mean status-404?'],
  [["--serve", "--fault", "xyz"], 'Unknown fault "xyz", --fault list tells which there are'],
  [["--serve", "--fault", "toString"], 'Unknown fault "toString", --fault list tells'],
  [["--serve", "--fault"], "Option --fault needs a value"],
];

Deno.test("main() refuses what it does not understand, in one line", async () => {
  for (const [args, message] of USAGE) {
    const { exit, stdout, stderr } = await run(args);
    assertEquals({ exit, stdout }, { exit: 2, stdout: "" }, args.join(" "));
    assertMatch(stderr, /^key_client: [^\n]*; see --help\n$/);
    assertStringIncludes(stderr, message);
  }
});

/** What cannot be combined with what. */
const CONTRADICTIONS: Record<string, string[]> = {
  "--key": ["--put"],
  "--offline": ["--json", "--verbose"],
  "--demo": ["--key", "--put", "--host", "--port", "--offline"],
  "--serve": ["--key", "--put", "--user", "--timeout", "--offline", "--demo", "--drill"],
  "--drill": ["--key", "--put", "--user", "--timeout", "--offline", "--demo", "--fault"],
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

Deno.test("main() refuses what contradicts each other, in either order", async () => {
  for (const [flag, others] of Object.entries(CONTRADICTIONS)) {
    for (const other of others) {
      const [one, two] = [flag.split(" "), [other, VALUES[other] ?? []].flat()];
      const message = `Options ${flag} and ${other} contradict each other`;
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

Deno.test("main() drops nothing of a value, however it is written", async () => {
  await using server = answering("HTTP/1.1 404 x\r\n\r\n");
  for (const [args, ...wire] of ATTACHED) {
    const { exit, stderr } = await run(args(server.port));
    assertEquals(exit, 4, args("PORT").join(" "));
    for (const part of wire) assertStringIncludes(stderr, `   > ${part}`);
  }
});
