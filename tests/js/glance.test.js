import assert from "node:assert/strict";
import { test } from "node:test";

import { SAME } from "../../dsp_viz/ui/view/colours.js";
import { colouring, headText, rowOf, scaleChoices, scaleFor, sizeOf, spotAfter } from "../../dsp_viz/ui/view/glance.js";
import { decode } from "../../dsp_viz/ui/view/layer.js";
import { effective, maps, prefixShares } from "../../dsp_viz/ui/view/maths.js";
import { settings, stateOf } from "../../dsp_viz/ui/view/shown.js";
import { encode, layer } from "./bytes.js";

const WHOLE = [0, 0, 1, 1];
const TWO = [
  { name: "same", role: "same", turn: 0 },
  { name: "opposite", role: "opposite", turn: 3 },
];
const ONE = [{ name: "all", role: "only", turn: 0 }];
const SCALES = layer("ratio", {
  streams: TWO,
  epsilon: 0.03,
  scales: [
    { queries: [7, 5], keys: [7, 5], box: WHOLE, pooled: 1, width: 6 },
    { queries: [3, 2], keys: [3, 2], box: [0, 0, 9 / 7, 6 / 5], pooled: 3, width: 6 },
  ],
});
const PREFIX = layer("softmax", {
  streams: ONE,
  prefix: ["class", "register 1"],
  scales: [{ queries: [7, 5], keys: [7, 5], box: WHOLE, pooled: 1, width: 3 }],
});
const BLOCKS = [SCALES, PREFIX].map(({ header, arrays }) => decode(encode(header, arrays)));
const RESULT = {
  layers: BLOCKS.map(({ heads, kind }, stage) => ({ stage, grid: [7, 5], heads, kind })),
  grid: [7, 5],
};
const near = (got, want) => {
  assert.equal(got.length, want.length);
  got.forEach((value, i) => assert.ok(Math.abs(value - want[i]) < 1e-5 * (1 + Math.abs(want[i])), `[${i}]: ${value}`));
};
/** The rows of both layers as the state says. */
const rowsFor = (said, choice = 0) => BLOCKS.map((block, i) => rowOf(RESULT, i, block, stateOf(RESULT, said), choice));

test("a head's cells are its effective map, in units of the uniform one", () => {
  const [row] = rowsFor({ query: [5, 1] });
  assert.deepEqual([row.streams, row.scale, row.scaleName], [[0, 1], 2, "layer"]);
  assert.deepEqual(
    row.cells.map(({ length }) => length),
    [2, 2, 2],
  );
  const all = maps(BLOCKS[0], [5, 1]);
  row.cells.forEach((cells, head) =>
    effective(BLOCKS[0], all, head).forEach((map, stream) =>
      near(
        cells[stream].values,
        map.map((v) => 35 * v),
      ),
    ),
  );
  assert.deepEqual(
    row.cells[1].map(({ sign, ink }) => [sign, ink]),
    [
      [1, SAME],
      [-1, SAME],
    ],
  );
});

test("one scale, or the coarsest that a layer has", () => {
  assert.deepEqual(
    [0, 1, 2, 3].map((choice) => scaleFor(BLOCKS[0], choice)),
    [2, 0, 1, 1],
  );
  assert.deepEqual(
    [0, 1, 2].map((choice) => scaleFor(BLOCKS[1], choice)),
    [0, 0, 0],
  );
  const rows = rowsFor({ query: "all" }, 2);
  near(
    rows[0].cells[2][1].values,
    maps(BLOCKS[0], "all")[1][2][1].map((v) => 6 * v),
  );
  assert.deepEqual(
    rows.map(({ scaleName }) => scaleName),
    ["3×", ""],
  );
  assert.deepEqual(scaleChoices(rows), ["whole layer", "1×", "3×"]);
  assert.deepEqual(scaleChoices(rows.slice(1)), []);
});

test("a difference is drawn where there is one", () => {
  const [two, one] = rowsFor({ query: [0, 4], show: "index" });
  assert.deepEqual([two.streams, one.streams], [[0], [0]]);
  const [same, opposite] = effective(BLOCKS[0], maps(BLOCKS[0], [0, 4]), 1);
  near(
    two.cells[1][0].values,
    same.map((v, i) => 35 * (v - opposite[i])),
  );
  assert.ok(two.cells[1][0].signed && !one.cells[1][0].signed);
});

test("tokens without a place ask where they are, and what they get is told", () => {
  const [other, row] = rowsFor({ query: "class" });
  near(
    other.cells[0][0].values,
    effective(BLOCKS[0], maps(BLOCKS[0], [3, 2]), 0)[0].map((v) => 35 * v),
  ); // the patch
  near(
    row.cells[2][0].values,
    maps(BLOCKS[1], "class")[0][2][0].map((v) => 37 * v),
  );
  assert.deepEqual(other.captions, ["", "", ""]);
  const shares = prefixShares(BLOCKS[1], "class")[0].map(([stream]) => stream[0] + stream[1]);
  assert.deepEqual(
    row.captions,
    shares.map((share) => `${Math.round(100 * share)} %`),
  );
});

test("a head in words", () => {
  const { name, lines } = headText(RESULT, 0, BLOCKS[0], settings(2, { H: 7, W: 5 }), 0, 1);
  assert.equal(name, "stage 1 · block 1 · head 2");
  assert.equal(lines.length, 2);
  assert.match(lines[1], /^layer, opposite: peak [\d.]+ × uniform, entropy 0\.\d{3}$/);
});

test("layers whose colours mean the same share a bar, and all bars one end", () => {
  const rows = rowsFor({ query: [2, 2] });
  const { topOf, bars } = colouring([...rows, rows[1]], "shared");
  assert.deepEqual(
    bars.map(({ title }) => title),
    ["opposite  ← × uniform →  same", `${BLOCKS[1].kind}, × uniform`],
  );
  const top = topOf(rows[0].cells[0][0]);
  assert.equal(topOf(rows[1].cells[2][0]), top);
  for (const { scale } of bars)
    assert.equal(Number(scale.ticks.at(-1).text.replace("≥ ", "")), Number(top.toPrecision(3)));
  assert.deepEqual(
    bars.map(({ scale }) => scale.low),
    [-1, 0],
  );
  assert.notDeepEqual(bars[1].scale.ink, bars[0].scale.ink);
  assert.equal(colouring(rows, "fixed").topOf(rows[1].cells[0][0]), 8);
  const own = rows.flatMap(({ cells }) => cells.flat()).map(colouring(rows, "own").topOf);
  assert.ok(new Set(own).size > 2);
});

test("maps fit the room in as few lines as can be", () => {
  const gaps = { head: 10, map: 2 };
  assert.equal(sizeOf(700, 96, [{ heads: 4, beside: 2 }], gaps), 81); // (700 − 4·12) / 8
  assert.equal(sizeOf(2000, 96, [{ heads: 4, beside: 2 }], gaps), 96);
  assert.equal(sizeOf(330, 96, [{ heads: 4, beside: 2 }], gaps), 76); // two lines: (330 − 2·12) / 4
  assert.equal(
    sizeOf(
      330,
      96,
      [
        { heads: 7, beside: 1 },
        { heads: 1, beside: 2 },
      ],
      gaps,
    ),
    72,
  ); // (330 − 4·10) / 4
  assert.equal(sizeOf(20, 96, [{ heads: 3, beside: 1 }], gaps), 42); // no room: not below what can be seen
});

test("keys lead from head to head", () => {
  const heads = [3, 3, 5];
  const from = (spot, key) => spotAfter(heads, spot, key);
  assert.deepEqual(from([0, 1], "ArrowRight"), [0, 2]);
  assert.deepEqual(from([0, 2], "ArrowRight"), [0, 2]);
  assert.deepEqual(from([1, 0], "ArrowLeft"), [1, 0]);
  assert.deepEqual(from([1, 2], "ArrowDown"), [2, 2]);
  assert.deepEqual(from([2, 4], "ArrowUp"), [1, 2]); // it has no fifth
  assert.deepEqual(from([0, 0], "ArrowUp"), [0, 0]);
  assert.deepEqual(from([2, 1], "End"), [2, 4]);
  assert.deepEqual(from([2, 1], "Home"), [2, 0]);
  assert.equal(from([2, 1], "x"), null);
});
