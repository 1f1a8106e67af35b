import assert from "node:assert/strict";
import { test } from "node:test";

import {
  allMaps,
  cell,
  entropyText,
  fit,
  hasIndex,
  prefixOf,
  scaleCount,
  scaleName,
  tokenName,
} from "../../dsp_viz/ui/view/cells.js";
import { inkOf, limit, ONLY, OPPOSITE, ownScale, SAME, scaleOf, stopsOf } from "../../dsp_viz/ui/view/colours.js";
import { windowBox } from "../../dsp_viz/ui/view/places.js";
import { keyText, saidOf, settings } from "../../dsp_viz/ui/view/shown.js";

const one = (numbers, tone = {}) => {
  const values = Float32Array.from(numbers);
  return { values, seen: values, sign: 1, signed: false, ink: SAME, ...tone };
};
const texts = ({ ticks }) => ticks.map(({ text }) => text);

test("where a scale ends", () => {
  assert.equal(limit([one([0.2, 0.4])]), 1); // never below the uniform map
  assert.equal(limit([one([9, 90])], "fixed"), 8);
  assert.ok(Math.abs(limit([one([-4, 2])]) - 4) < 0.01);
});

test("a side that is passed is marked", () => {
  assert.deepEqual(texts(scaleOf([one([0, 3])], 4)), ["0", "2", "4"]);
  assert.deepEqual(texts(scaleOf([one([0, 5])], 4)), ["0", "2", "≥ 4"]);
  const both = scaleOf([one([3]), one([6], { sign: -1 })], 4);
  assert.deepEqual(texts(both), ["≥ 4", "2", "0", "2", "4"]);
  const signed = scaleOf([one([-5, 3], { signed: true, ink: ONLY })], 4);
  assert.deepEqual(texts(signed), ["≤ −4", "−2", "0", "2", "4"]);
  assert.equal(signed.text, "≤ −4 to 4");
  assert.deepEqual(texts(ownScale([one([3]), one([6], { sign: -1 })])), ["its own end", "0", "its own end"]);
});

test("a bar has the inks of its maps", () => {
  const inks = (scale) => stopsOf(scale, 0.5).map(([at, ink, opacity]) => [at, ink, opacity]);
  assert.deepEqual(inks(scaleOf([one([1])], 1)), [
    [0, SAME, 0],
    [1, SAME, 0.5],
  ]);
  assert.deepEqual(inks(scaleOf([one([1], { sign: -1 })], 1)), [
    [0, OPPOSITE, 0],
    [1, OPPOSITE, 0.5],
  ]);
  const signed = inks(scaleOf([one([1, -1], { signed: true, ink: ONLY })], 1));
  assert.deepEqual(signed, [
    [0, OPPOSITE, 0.5],
    [0.5, OPPOSITE, 0],
    [0.5, ONLY, 0],
    [1, ONLY, 0.5],
  ]);
});

const keys = { H: 1, W: 2, box: [0, 0, 1, 1] };
const streams = [
  { name: "same", role: "same", turn: 0 },
  { name: "opposite", role: "opposite", turn: 1 },
];
const block = (more) => ({
  heads: 1,
  prefix: [],
  grid: { H: 1, W: 2 },
  streams,
  finish: "ratio",
  prefix: [],
  scales: [{ keys, pooled: 1 }],
  ...more,
});
const maps = [[[Float32Array.of(0.75, 0.25), Float32Array.of(0.5, 0.5)]]];
const rowsOf = (made, own = maps, more = {}) => ({
  block: made,
  maps: own,
  prefix: [[[[], []]]],
  window: null,
  ...more,
});
const at = (stream) => ({ head: 0, scale: 0, stream });

test("a map is drawn in its stream's colour, in units of the uniform map", () => {
  const drawn = (made, stream, index) => {
    const { values, sign, ink } = cell(rowsOf(made), at(stream), index);
    return [...values].map((value) => [value, inkOf(sign * value, ink)]);
  };
  assert.deepEqual(drawn(block(), 0), [
    [1.5, SAME],
    [0.5, SAME],
  ]);
  assert.deepEqual(drawn(block(), 1), [
    [1, OPPOSITE],
    [1, OPPOSITE],
  ]);
  assert.deepEqual(drawn(block(), 0, true), [
    [0.5, SAME],
    [-0.5, OPPOSITE],
  ]);
  const only = block({ streams: [{ name: "softmax", role: "only", turn: 0 }], finish: "softmax" });
  assert.deepEqual(drawn(only, 0), [
    [1.5, ONLY],
    [0.5, ONLY],
  ]);
});

test("a map of products has two signs and no entropy", () => {
  const product = block({ streams: [{ name: "all", role: "only", turn: 0 }], finish: "product" });
  const rows = rowsOf(product, [[[Float32Array.of(1.5, -0.5)]]]);
  const { values, signed, sign, ink } = cell(rows, at(0));
  assert.deepEqual([[...values], signed, sign], [[3, -1], true, 1]);
  assert.deepEqual([inkOf(3, ink), inkOf(-1, ink)], [ONLY, OPPOSITE]);
  assert.equal(entropyText(rows, at(0), 2), "–");
  assert.equal(entropyText(rowsOf(block()), at(1), 2), "1.00");
});

test("tokens without a place are keys: they count in the uniform map and in the entropy", () => {
  const only = block({ prefix: ["class", "register 1"], finish: "softmax", streams: streams.slice(0, 1) });
  const rows = rowsOf(only, [[[Float32Array.of(0.3, 0.1)]]], { prefix: [[[[0.5, 0.1]]]] });
  assert.deepEqual(
    [...cell(rows, at(0)).values].map((value) => +value.toFixed(6)),
    [1.2, 0.4],
  ); // of four keys
  assert.deepEqual(prefixOf(rows, at(0)), [0.5, 0.1]);
  const nats = -[0.3, 0.1, 0.5, 0.1].reduce((sum, share) => sum + share * Math.log(share), 0);
  assert.equal(entropyText(rows, at(0), 3), (nats / Math.log(4)).toFixed(3));
  assert.deepEqual(["class", "register 1"].map(tokenName), ["class token", "register 1"]);
});

test("in a window the keys that are seen are all there are", () => {
  const grid = { H: 3, W: 4 };
  const only = block({ grid, scales: [{ keys: { ...grid, box: [0, 0, 1, 1] }, pooled: 1 }], finish: "softmax" });
  const values = Float32Array.from([0, 0, 0, 0, 0, 0.5, 0.25, 0, 0, 0.125, 0.125, 0]);
  const window = { rows: [1, 3], columns: [1, 3] };
  const rows = rowsOf(only, [[[values]]], { window });
  const drawn = cell(rows, at(0));
  assert.deepEqual([...drawn.seen], [2, 1, 0.5, 0.5]); // of four keys
  assert.deepEqual([...drawn.values], [0, 0, 0, 0, 0, 2, 1, 0, 0, 0.5, 0.5, 0]);
  assert.equal(entropyText(rows, at(0), 2), "0.88"); // 1.75 bits of 2
  assert.deepEqual(windowBox(drawn, [10, 20, 40, 30]), [20, 30, 20, 20]);
  assert.equal(keyText(drawn, [0, 1]), "key row 1, column 2: not seen");
  assert.equal(keyText(drawn, [1, 3]), "key row 2, column 4: not seen");
  assert.equal(keyText(drawn, [2, 2]), "key row 3, column 3: 0.500 × uniform");
  assert.equal(limit([drawn]), 2);
});

test("the index is offered where both roles are there and the rule is ratio", () => {
  assert.ok(hasIndex(block()));
  assert.ok(!hasIndex(block({ finish: "product" })));
  assert.ok(!hasIndex(block({ streams: streams.slice(0, 1) })));
});

test("a choice becomes what the layer has", () => {
  const several = block({
    scales: [
      { keys, pooled: 1 },
      { keys, pooled: 4 },
    ],
  });
  assert.deepEqual(
    [0, 1, 2].map((scale) => scaleName(several, scale)),
    ["1×", "4×", "layer"],
  );
  assert.equal(scaleName(block(), 0), "");
  assert.deepEqual([scaleCount(several), scaleCount(block())], [3, 1]);
  const which = { head: 7, scale: 5, stream: 1 };
  fit(several, which);
  assert.deepEqual(which, { head: 0, scale: 2, stream: 1 });
  const flat = { queries: { H: 1, W: 2 }, keys, pooled: 1, width: 1, mean: Float64Array.of(1), epsilon: [0] };
  const ones = { left: Float32Array.of(1, 1), right: Float32Array.of(1, 1) };
  const whole = block({
    streams: streams.slice(0, 1),
    scales: [{ ...flat, ...ones }],
    weights: [[1]],
    coefficients: [[[1]]],
  });
  assert.deepEqual([...allMaps(whole, [0, 1])[0][0][0]], [0.5, 0.5]);
});

test("a link says which token is drawn: one that the layer lacks does not ask", () => {
  const result = { grid: [7, 5] };
  const state = { ...settings(3, { H: 7, W: 5 }), asks: "CLS" };
  assert.equal(saidOf(result, state, ["CLS", "register 1"]), "CLS");
  assert.deepEqual(saidOf(result, state, []), [3, 2]);
  assert.equal(saidOf(result, { ...state, all: true }, ["CLS"]), "all");
  assert.deepEqual(saidOf(result, { ...state, asks: "" }, ["CLS"]), [3, 2]);
});
