import { assert, assertEquals, assertThrows } from "@std/assert";
import { FAULTS } from "./faults.ts";
import {
  type CandidateKind,
  type DrillRound,
  faultOf,
  hasKey,
  isBroken,
  isCutOff,
  isMoved,
  isRefused,
  type RoundName,
  roundsOf,
  targetOf,
} from "./rounds.ts";
import { bytes } from "../testing/bytes.ts";

const COUNTS: [CandidateKind, DrillRound["function"], number][] = [
  ["module", "do_key", 21],
  ["module", "do_put", 20],
  ["command", null, 9],
  ["command", "do_key", 12],
  ["command", "do_put", 10],
  ["wire", null, 9],
  ["wire", "do_key", 12],
  ["wire", "do_put", 4],
];

for (const [kind, fn, count] of COUNTS) {
  Deno.test(`roundsOf() returns ${count} rounds of ${fn} for a ${kind}`, () => {
    assertEquals(roundsOf(kind).filter((round) => round.function === fn).length, count);
  });
}

const DEMANDS: [CandidateKind, string, DrillRound["function"], string][] = [
  ["module", "sound:KEY", "do_key", "do_key() must return the key"],
  ["module", "long-head:KEY", "do_key", "do_key() must return the key"],
  ["module", "status-500:KEY", "do_key", "do_key() must return None"],
  ["module", "reset:KEY", "do_key", "do_key() must return None"],
  ["module", "sound:PUT", "do_put", "do_put() must return the message"],
  ["module", "wrong-key", "do_put", "do_put() must return the message"],
  ["module", "chunked:PUT", "do_put", "do_put() must return the message"],
  ["module", "redirect:PUT", "do_put", "do_put() must return the message"],
  ["module", "silent:PUT", "do_put", "do_put() must end, and must not return half of the message"],
  ["command", "sound", null, "the client must send the key back"],
  ["command", "drip", null, "the client must send the key back"],
  ["command", "reset:KEY", "do_key", "the client must not send PUT, and must give up"],
  ["command", "status-404:PUT", "do_put", "the client must print the message"],
  ["command", "reset:PUT", "do_put", "the client must give up"],
  ["wire", "short-key", "do_key", "the client must not send PUT, and must give up"],
  ["wire", "truncate:PUT", "do_put", "the client must give up"],
];

for (const [kind, name, fn, demand] of DEMANDS) {
  Deno.test(`roundsOf() tells what a ${kind} must do in the round ${name}`, () => {
    const rounds = roundsOf(kind, [name]);
    assertEquals(rounds.map((round) => [round.function, round.demand]), [[fn, demand]]);
  });
}

Deno.test("roundsOf() describes each round", () => {
  assertEquals(
    roundsOf("module", ["wrong-key", "sound", "silent"]).map((round) => round.description),
    [
      "the key is wrong, so the server refuses it",
      "a normal response",
      "a normal response",
      FAULTS.silent.description,
      FAULTS.silent.description,
    ],
  );
});

Deno.test("roundsOf() returns the rounds in the order of the names", () => {
  assertEquals(
    roundsOf("module", ["reset", "drip:PUT"]).map((round) => [round.name, round.function]),
    [["reset", "do_key"], ["reset", "do_put"], ["drip", "do_put"]],
  );
  assertEquals(roundsOf("module", []), []);
});

const UNKNOWN: [CandidateKind, string][] = [
  ["module", "rest"],
  ["module", "reset:key"],
  ["module", "wrong-key:KEY"],
  ["module", "short-key:PUT"],
  ["command", "wrong-key"],
  ["command", "sound:KEY"],
  ["wire", "reset:PUT"],
  ["wire", ""],
  ["wire", "toString"],
];

for (const [kind, name] of UNKNOWN) {
  Deno.test(`roundsOf() rejects the name ${JSON.stringify(name)} for a ${kind}`, () => {
    assertThrows(
      () => roundsOf(kind, ["silent", name]),
      TypeError,
      `Cannot use round ${JSON.stringify(name)}: no round has this name`,
    );
  });
}

const CLASSES: [RoundName, isBroken: boolean, isRefused: boolean, isCutOff: boolean][] = [
  ["sound", false, false, false],
  ["wrong-key", false, true, false],
  ["slow", false, false, false],
  ["interim", false, false, false],
  ["status-400", true, true, false],
  ["status-500", true, true, false],
  ["redirect", true, true, false],
  ["empty", true, false, true],
  ["truncate", true, false, true],
  ["reset", true, false, true],
  ["garbage", true, false, true],
  ["silent", true, false, true],
  ["short-key", true, false, false],
  ["not-a-key", true, false, false],
];

for (const [name, ...expected] of CLASSES) {
  Deno.test(`isBroken(), isRefused() and isCutOff() classify the round ${name}`, () => {
    assertEquals([isBroken(name), isRefused(name), isCutOff(name)], expected);
  });
}

function roundOf(kind: CandidateKind, name: string): DrillRound {
  const [round] = roundsOf(kind, [name]);
  return round;
}

Deno.test("hasKey() tells whether a correct client has a key", () => {
  assert(hasKey(roundOf("module", "sound:KEY")));
  assert(hasKey(roundOf("command", "chunked")));
  assert(hasKey(roundOf("module", "reset:PUT")));
  assert(!hasKey(roundOf("module", "reset:KEY")));
});

Deno.test("faultOf() returns the fault of a round", () => {
  assertEquals(faultOf(roundOf("module", "reset:KEY")), "reset");
  assertEquals(faultOf(roundOf("module", "sound:KEY")), undefined);
  assertEquals(faultOf(roundOf("module", "wrong-key")), undefined);
});

Deno.test("targetOf() returns the request that a round is about", () => {
  assertEquals(targetOf(roundOf("module", "reset:KEY")), "KEY");
  assertEquals(targetOf(roundOf("module", "reset:PUT")), "PUT");
  assertEquals(targetOf(roundOf("wire", "slow")), undefined);
});

Deno.test("isMoved() tells a request that follows the redirect", () => {
  const moved = bytes("PUT /moved/ HTTP/1.1\r\n\r\n");
  assert(isMoved(roundOf("command", "redirect:PUT"), moved));
  assert(!isMoved(roundOf("command", "redirect:PUT"), bytes("PUT /key/Ada/00/ HTTP/1.1\r\n\r\n")));
  assert(!isMoved(roundOf("command", "status-400:PUT"), moved));
  assert(!isMoved(roundOf("command", "sound"), moved));
});
