import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { run, send, serving, timeless } from "../testing/command.ts";

Deno.test("main() --serve logs each request with its remarks, and prints the users", async () => {
  await using server = await serving([]);
  const { port } = server;
  const { stdout } = await run(["-p", port, "-uAda"]);
  const key = stdout.slice(0, 128);
  await send(port, "KEY /user/Ada L/ HTTP/1.1\r\n\r\n");
  await send(port, `PUT /key/Ada/${key}x/ HTTP/1.1\r\nHost: a\r\n\r\n`);
  await send(port, `PUT /key/Ada/${"é".repeat(90)}%zz/ HTTP/1.1\r\nHost: a\r\n\r\n`);
  await send(port, "GET /user/Ada/ HTTP/1.1\r\nHost: a\r\n\r\n");
  await send(port, "KEY /user/B%0Aob/ HTTP/1.1\nHost: a\n\n");
  const { exit, stdout: out, stderr } = await server.stop();
  assertEquals({ exit, stdout: out }, { exit: 130, stdout: "" });
  const short = `${key.slice(0, 6)}...${key.slice(-4)}`;
  assertEquals(
    timeless(stderr),
    `key_client: listening on HOST, Ctrl-C ends it
key_client: open http://HOST/ to see the requests in a browser
TIME PEER  KEY /user/Ada/ HTTP/1.1  200
TIME PEER  PUT /key/Ada/${short}/ HTTP/1.1  200
TIME PEER  KEY /user/Ada L/ HTTP/1.1  400
  error[space-in-path]: the path contains a space
    KEY /user/Ada L/ HTTP/1.1\\r\\n
                 ^
  help: KEY /user/Ada%20L/ HTTP/1.1
        in Python: \`urllib.parse.quote(user_id, safe="")\`
  warning[no-host]: no Host header; HTTP/1.1 requires one
  help: add this line: Host: HOST
TIME PEER  PUT /key/Ada/${short}x/ HTTP/1.1  400
  error[key-not-hex]: \`x\` in the key is not a hex digit
    PUT /key/Ada/${short}x/ HTTP/1.1\\r\\n
                              ^
  help: send the 128 hex digits as you received them
  note[other-host]: the port in the Host header is missing or wrong
  help: Host: HOST
        write the host and port that your client connects to
TIME PEER  PUT /key/Ada/${"\\xe9".repeat(21)}...  400
  error[bad-percent]: \`%zz\` is not percent-encoding
    ...${"\\xe9".repeat(15)}%zz/ HTTP/1.1\\r\\n
       ${" ".repeat(60)}^^^
  help: put two hex digits after \`%\`; a percent sign itself is \`%25\`
  note[other-host]: the port in the Host header is missing or wrong
TIME PEER  GET /user/Ada/ HTTP/1.1  405
  error[method-get]: method \`GET\` on a path that needs \`KEY\`
    GET /user/Ada/ HTTP/1.1\\r\\n
    ^^^
  help: KEY /user/Ada/ HTTP/1.1
        use \`KEY\` (curl: \`-X KEY\`; Python library requests:
        \`requests.request("KEY", url)\`)
  note[other-host]: the port in the Host header is missing or wrong
TIME PEER  KEY /user/B%0Aob/ HTTP/1.1  200
  warning[lf-alone]: line ending LF (\`\\n\`) without CR (\`\\r\`)
    KEY /user/B%0Aob/ HTTP/1.1\\n
                              ^^
  help: end each line with \`\\r\\n\` (with \`nc\`, use \`nc -C\`); otherwise many
        servers refuse the request
  note[other-host]: the port in the Host header is missing or wrong

user   address    asked  verified  errors  last remark
Ada    127.0.0.1      1         1       4  method \`GET\` on a path that needs \`KEY\`
B\\nob  127.0.0.1      1         0       0  line ending LF (\`\\n\`) without CR (\`\\r\`)
`,
  );
});

Deno.test("main() --serve shows each byte of a request line, and shortens long lines", async () => {
  await using server = await serving([]);
  await send(server.port, "\r\nKEY\t/user/Ada/ HTTP/1.1\r\n\r\n");
  await send(server.port, `KEY /user/${"0".repeat(31)}/ HTTP/1.0\r\n\r\n`);
  await send(server.port, `KEY /user/${"0".repeat(32)}/ HTTP/1.0\r\n\r\n`);
  await send(server.port, `KEY /user/${"x".repeat(300)} HTTP/1.0\r\n\r\n`);
  await send(server.port, `${"x".repeat(120)} /user/Ada/ HTTP/1.0\r\n\r\n`);
  await send(server.port, "KEY 127.0.0.1:5000/user/Ada/ HTTP/1.0\r\n\r\n");
  const { stderr } = await server.stop();
  const lines = timeless(stderr).split("\n");
  const logged = lines.flatMap((line) => /^TIME PEER {2}(.*) {2}\d+$/.exec(line)?.[1] ?? []);
  assertEquals(logged, [
    "KEY\\t/user/Ada/ HTTP/1.1",
    `KEY /user/${"0".repeat(31)}/ HTTP/1.0`,
    "KEY /user/000000...0000/ HTTP/1.0",
    `KEY /user/${"x".repeat(87)}...`,
    `${"x".repeat(97)}...`,
    "KEY HOST/user/Ada/ HTTP/1.0",
  ]);
  assertEquals(lines[lines.indexOf("    KEY\\t/user/Ada/ HTTP/1.1\\r\\n") + 1], "       ^^");
  assertEquals(lines[lines.indexOf(`    ${"x".repeat(97)}...`) + 1], `    ${"^".repeat(100)}`);
  assertMatch(stderr, / 3 {2}the address `127\.0\.0\.1:5000` before the path\n/);
});

Deno.test("main() --serve is colored on a terminal", async () => {
  await using server = await serving([], { terminal: true });
  await send(server.port, "KEY /user/A a/ HTTP/1.1\r\nContent-Length: 1\r\n\r\na");
  await send(server.port, "KEY /user/Ada/ HTTP/1.0\r\nContent-Length: 1\r\n\r\na");
  const { stderr } = await server.stop();
  const paint = (code: number, text: string) => Deno.noColor ? text : `\x1b[${code}m${text}\x1b[0m`;
  assertStringIncludes(stderr, `KEY /user/A a/ HTTP/1.1  ${paint(31, "400")}\n`);
  assertStringIncludes(stderr, `\n  ${paint(31, "error[space-in-path]")}: the path`);
  assertStringIncludes(stderr, `\n    ${paint(31, "           ^")}\n`);
  assertStringIncludes(stderr, `\n  ${paint(33, "warning[no-host]")}: no Host`);
  assertStringIncludes(stderr, `KEY /user/Ada/ HTTP/1.0  ${paint(32, "200")}\n`);
  assertStringIncludes(stderr, `\n  ${paint(36, "note[body-ignored]")}: body of 1 byte`);
});

Deno.test("main() --serve --verbose shows the wire, the number of reads, and who closed", async () => {
  await using server = await serving(["-v"]);
  {
    using conn = await Deno.connect({ port: Number(server.port) });
    for (
      const piece of ["KEY /user/", "Ada/ HTTP/1.1\r\nConnection: close\r\n", "Host: a\r\n\r\n"]
    ) {
      await conn.write(new TextEncoder().encode(piece));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await new Response(conn.readable).text();
  }
  await send(server.port, "KEY /user");
  await send(server.port, "");
  const fields = "Connection: close\r\nExpect: 100-continue\r\nContent-Length: 5000\r\n";
  const head = `KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;
  {
    using conn = await Deno.connect({ port: Number(server.port) });
    await conn.write(new TextEncoder().encode(head));
    await conn.read(new Uint8Array(100));
    await conn.write(new TextEncoder().encode("x".repeat(5000)));
    await new Response(conn.readable).text();
  }
  const { stderr } = await server.stop();
  assertEquals(
    timeless(stderr).replace(/\nuser[^]*/, "").replace(/[\da-f]{128}/g, "KEY"),
    `key_client: listening on HOST, Ctrl-C ends it
key_client: open http://HOST/ to see the requests in a browser
TIME PEER  connected
TIME PEER  KEY /user/Ada/ HTTP/1.1  200
   > KEY /user/Ada/ HTTP/1.1\\r\\n
   > Connection: close\\r\\n
   > Host: a\\r\\n
   > \\r\\n
   (55 bytes, in 3 reads)
  note[other-host]: the port in the Host header is missing or wrong
  help: Host: HOST
        write the host and port that your client connects to
   < HTTP/1.1 200 OK\\r\\n
   < Content-Type: text/plain; charset=utf-8\\r\\n
   < Content-Length: 128\\r\\n
   < DATE\\r\\n
   < Connection: close\\r\\n
   < \\r\\n
   < KEY
TIME PEER  closed by the server
TIME PEER  connected
TIME PEER  KEY /user  400
   > KEY /user
   (9 bytes, in one read)
  error[no-line-end]: no line ending after the last line (9 bytes received)
    KEY /user
             ^
  help: add \`"\\r\\n\\r\\n"\` to the end of the request
   < HTTP/1.1 400 Bad Request\\r\\n
   < Content-Type: text/plain; charset=utf-8\\r\\n
   < Content-Length: 102\\r\\n
   < DATE\\r\\n
   < Connection: close\\r\\n
   < \\r\\n
   < no line ending after the last line (9 bytes received)\\n
   < help: add \`"\\\\r\\\\n\\\\r\\\\n"\` to the end of the request
TIME PEER  closed by the client
TIME PEER  connected
TIME PEER  (nothing)  400
   (0 bytes, in 0 reads)
  error[nothing-sent]: no bytes received
  help: call \`sendall()\` before \`recv()\`; after \`makefile()\` and \`write()\`,
        call \`flush()\`
   < HTTP/1.1 400 Bad Request\\r\\n
   < Content-Type: text/plain; charset=utf-8\\r\\n
   < Content-Length: 106\\r\\n
   < DATE\\r\\n
   < Connection: close\\r\\n
   < \\r\\n
   < no bytes received\\n
   < help: call \`sendall()\` before \`recv()\`; after \`makefile()\` and \`write()\`, call \`flush()\`
TIME PEER  closed by the client
TIME PEER  connected
TIME PEER  KEY /user/Ada/ HTTP/1.1
   < HTTP/1.1 100 Continue\\r\\n
   < \\r\\n
TIME PEER  KEY /user/Ada/ HTTP/1.1  200
   > KEY /user/Ada/ HTTP/1.1\\r\\n
   > Host: a\\r\\n
   > Connection: close\\r\\n
   > Expect: 100-continue\\r\\n
   > Content-Length: 5000\\r\\n
   > \\r\\n
   > ${"x".repeat(4096 - head.length)}
   (${head.length + 904} more bytes)
   (${head.length + 5000} bytes, in 2 reads)
  note[other-host]: the port in the Host header is missing or wrong
  note[body-ignored]: body of 5000 bytes, which this server ignores
  help: put the user id and the key into the path
   < HTTP/1.1 200 OK\\r\\n
   < Content-Type: text/plain; charset=utf-8\\r\\n
   < Content-Length: 128\\r\\n
   < DATE\\r\\n
   < Connection: close\\r\\n
   < \\r\\n
   < KEY
TIME PEER  closed by the server
`,
  );
});

Deno.test("main() --serve says what an unfinished request lacks, and why it closes the connection", async () => {
  const seen = Promise.withResolvers<void>();
  const onStderr = (text: string) => {
    if (text.includes("unfinished") && text.includes("note[idle]")) seen.resolve();
  };
  await using server = await serving([], { onStderr, settings: { idleTimeout: 200 } });
  using unfinished = await Deno.connect({ port: Number(server.port) });
  await unfinished.write(new TextEncoder().encode("KEY /user/Ada/ HTTP/1.1\nHost: a\n"));
  using idle = await Deno.connect({ port: Number(server.port) });
  await idle.write(new TextEncoder().encode("KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\n\r\n"));
  await seen.promise;
  const { stderr } = await server.stop();
  assertStringIncludes(
    timeless(stderr),
    `TIME PEER  KEY /user/Ada/ HTTP/1.1  unfinished
  error[no-empty-line]: no empty line after the headers (32 bytes received)
  help: add \`"\\r\\n"\` to the end of the request: it must end with \`"\\r\\n\\r\\n"\`
  warning[lf-alone]: line ending LF`,
  );
  assertStringIncludes(
    timeless(stderr),
    "TIME PEER  KEY /user/Ada/ HTTP/1.1\n" +
      "  note[idle]: connection closed: no request for 0.2 s after the response\n" +
      "  help: if your client was still waiting, stop after Content-Length (128\n" +
      "        bytes), or send this header: Connection: close\n",
  );
  assertMatch(
    stderr,
    /\nAda +127\.0\.0\.1 +1 +0 +0 {2}connection closed: no request for 0.2 s after the response\n/,
  );
  assertMatch(
    stderr,
    /\(unknown\)  +127\.0\.0\.1 +0 +0 +1 {2}no empty line after the headers \(32 bytes received\)\n/,
  );
});

Deno.test("main() --serve repeats what a request lacked only if it fails", async () => {
  const unfinished = Promise.withResolvers<void>();
  const onStderr = (text: string) => {
    if (text.match(/unfinished/g)?.length === 2) unfinished.resolve();
  };
  await using server = await serving(["-v"], { onStderr, settings: { idleTimeout: 200 } });
  using good = await Deno.connect({ port: Number(server.port) });
  await good.write(new TextEncoder().encode("KEY /user/Ada/ HTTP/1.1\r\nHost: a\r\n"));
  using bad = await Deno.connect({ port: Number(server.port) });
  await bad.write(new TextEncoder().encode("KEY /user/Bob/ HTTP/1.1\r\nHost: a\r\n"));
  await unfinished.promise;
  await good.write(new TextEncoder().encode("Connection: close\r\n\r\n"));
  await new Response(good.readable).text();
  await bad.closeWrite();
  await new Response(bad.readable).text();
  const { stderr } = await server.stop();
  const words = "error[no-empty-line]: no empty line after the headers (34 bytes received)";
  assertStringIncludes(
    stderr,
    `unfinished\n   > KEY /user/Bob/ HTTP/1.1\\r\\n\n   > Host: a\\r\\n\n  ${words}`,
  );
  assertEquals(stderr.split(words).length, 4); // to Ada, to Bob, and to Bob again
  assertMatch(stderr, /\nAda +127\.0\.0\.1 +1 +0 +0\n/);
  assertMatch(
    stderr,
    /\nBob +127\.0\.0\.1 +0 +0 +1 {2}no empty line after the headers \(34 bytes received\)\n/,
  );
});

Deno.test("main() --serve does not log stray bytes after a response as an unfinished request", async () => {
  await using server = await serving([]);
  for (const [user, stray] of [["Ada", "\r\n"], ["Bob", "hello"]]) {
    using conn = await Deno.connect({ port: Number(server.port) });
    await conn.write(new TextEncoder().encode(`KEY /user/${user}/ HTTP/1.1\r\nHost: a\r\n\r\n`));
    await conn.read(new Uint8Array(4096));
    await conn.write(new TextEncoder().encode(stray));
    await conn.closeWrite();
    await new Response(conn.readable).text();
  }
  const { stderr } = await server.stop();
  assertEquals(stderr.includes("unfinished"), false);
  assertMatch(stderr, /\n {2}warning\[extra-line-end\]: extra line ending after the request/);
  assertMatch(stderr, /\n {2}warning\[bytes-behind\]: 5 bytes after the end of the request/);
  assertMatch(stderr, /\nAda +127\.0\.0\.1 +1 +0 +0 {2}extra line ending after the request\n/);
  assertMatch(stderr, /\nBob +127\.0\.0\.1 +1 +0 +0 {2}5 bytes after the end of the request\n/);
  assertEquals(stderr.includes("(unknown)"), false);
});

Deno.test("main() --serve prints no character that could move a terminal's cursor", async () => {
  await using server = await serving(["-v"], { terminal: true });
  const nasty = "\x1b[2J\x9b\u202e\x07".replace("\u202e", "\xe2\x80\xae");
  await send(server.port, `KEY /user/${nasty}/ HTTP/1.1\r\nHost: ${nasty}\r\n\r\n`);
  await send(server.port, `KEY /user/${encodeURIComponent("\x1b[2J\u202e")}/ HTTP/1.1\r\n\r\n`);
  await send(server.port, `${nasty}: ${nasty}\r\n\r\n`);
  const { stderr } = await server.stop();
  assertEquals(stderr.replaceAll("\x1b[", "").match(/[^\x20-\x7e\n]/g), null);
});

Deno.test("main() --serve cuts a request line at the width of the terminal", async () => {
  for (const terminal of [true, false]) {
    await using server = await serving([], { terminal });
    await send(server.port, `KEY /user/${"x".repeat(80)} HTTP/1.1\r\nUser-Agent: a\r\n\r\n`);
    const { stderr } = await server.stop();
    const line = stderr.split("\n").find((line) => line.includes("KEY /user/x"))!
      // deno-lint-ignore no-control-regex
      .replace(/\x1b\[\d+m/g, "");
    assertEquals(line.length < 80, terminal);
    assertMatch(line, terminal ? /x\.\.\. {2}404$/ : /x HTTP\/1\.1 {2}404$/);
  }
});
