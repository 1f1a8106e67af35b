// What a head does: as Python says of the same layers, and by hand.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { alike, COMPARED, lattice, numbersOf, SAMPLED, uniformOf } from "../../dsp_viz/ui/view/heads.js";
import { decode } from "../../dsp_viz/ui/view/layer.js";
import { encode, layer } from "./bytes.js";

const FOLDER = new URL("../data/layers/", import.meta.url);
const NAMES = {
  distance: "distance",
  entropy: "entropy",
  received: "received_entropy",
  own: "self_share",
  prefix: "prefix_share",
  row: "centre_row",
  column: "centre_column",
};

/** Runs work to its end. */
function done(work) {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}

function near(got, want, told) {
  if (want === null) assert.ok(Number.isNaN(got), `${told}: ${got}, wanted none`);
  else assert.ok(Math.abs(got - want) <= 2e-4 + 2e-3 * Math.abs(want), `${told}: ${got}, wanted ${want}`);
}

for (const name of readdirSync(FOLDER).filter((file) => file.endsWith(".bin"))) {
  const bytes = readFileSync(new URL(name, FOLDER));
  const block = decode(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const { heads: want } = JSON.parse(readFileSync(new URL(name.replace(".bin", ".json"), FOLDER), "utf8"));

  test(`${name} gives the numbers of heads that Python wrote`, () => {
    for (let head = 0; head < block.heads; head++)
      done(numbersOf(block, head)).forEach((streams, s) =>
        streams.forEach((numbers, t) => {
          for (const [own, theirs] of Object.entries(NAMES))
            near(numbers[own], want[theirs][head][s][t], `${own} of head ${head}, scale ${s}, stream ${t}`);
          near(numbers.same, want.same_share[head][s], `same-signed share of head ${head}, scale ${s}`);
        }),
      );
  });

  test(`${name} gives the similarity of heads that Python wrote`, () => {
    done(alike(block)).forEach((row, a) => row.forEach((value, b) => near(value, want.similarity[a][b], `${a}, ${b}`)));
  });
}

const ONE = [{ name: "all", role: "only", turn: 0 }];
const WHOLE = [0, 0, 1, 1];

/** A layer whose keys are all alike for every query. */
function uniform(grid, keys, prefix) {
  const made = layer("softmax", {
    streams: ONE,
    grid,
    prefix,
    heads: 1,
    scales: [{ queries: grid, keys, box: WHOLE, pooled: 1, width: 3 }],
  });
  for (const values of Object.values(made.arrays[0])) if (values.fill && values.length > 2) values.fill(0);
  const seen = prefix.length + keys[0] * keys[1];
  made.arrays[0].average = Array(seen).fill(1 / seen);
  return decode(encode(made.header, made.arrays));
}

test("what a uniform map would be is what it is", () => {
  const block = uniform([5, 3], [3, 2], ["class"]);
  const [[numbers]] = done(numbersOf(block, 0));
  const told = uniformOf(block, 0);
  for (const [name, value] of Object.entries(told)) near(numbers[name], value, name);
  assert.ok(Math.abs(told.own - 1 / 7) < 1e-12 && Math.abs(told.prefix - 1 / 7) < 1e-12);
  near(numbers.row, 0.5, "row");
  near(numbers.column, 0.5, "column");
});

test("two tokens side by side are half a side apart", () => {
  // Each looks at both: at itself, and half a side away.
  near(uniformOf(uniform([1, 2], [1, 2], []), 0).distance, Math.sqrt(0.5 * 0.25), "distance");
  // Of a picture half as high as wide, two rows: a quarter of the longer side from middle to middle.
  near(uniformOf(uniform([2, 4], [2, 1], []), 0).distance, Math.sqrt(0.5 * 0.0625 + 5 / 64), "distance");
});

test("sampled queries lie all over the grid", () => {
  assert.deepEqual(
    lattice({ H: 5, W: 7 }, SAMPLED),
    [0, 1, 3, 4].flatMap((row) => [0, 2, 4, 6].map((column) => row * 7 + column)),
  );
  for (const most of [SAMPLED, COMPARED])
    for (let H = 1; H < 40; H++)
      for (let W = 1; W < 40; W++) {
        const found = lattice({ H, W }, most);
        assert.equal(new Set(found).size, found.length);
        assert.ok(found.length <= most && (H * W > most || found.length === H * W), `${H}×${W}: ${found.length}`);
        assert.ok(found.every((at) => at >= 0 && at < H * W));
      }
});

test("work is done in steps", () => {
  const bytes = readFileSync(new URL("window.bin", FOLDER));
  const block = decode(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  let steps = 0;
  for (const work = numbersOf(block, 0); !work.next().done;) steps += 1;
  assert.ok(steps >= 24, `${steps} for 24 queries`);
});
