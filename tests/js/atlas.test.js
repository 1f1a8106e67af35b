import assert from "node:assert/strict";
import { test } from "node:test";

import { readAddress, writeAddress } from "../../dsp_viz/ui/view/address.js";
import {
  cellName,
  cellsText,
  digits,
  ordered,
  placesOf,
  reached,
  reachOf,
  roleOf,
  ticksOf,
} from "../../dsp_viz/ui/view/atlas-numbers.js";

const facts = {
  layers: [
    { name: "stage 1 · block 1", pooled: [1, 2], streams: ["same", "opposite"], roles: ["same", "opposite"] },
    { name: "stage 2 · block 1", pooled: [1], streams: [""], roles: ["only"] },
  ],
};
const numbers = {
  layer: [0, 0, 0, 1],
  head: [0, 0, 2, 1],
  scale: [0, 1, 1, 0],
  stream: [0, 1, 0, 0],
  mean: [0.5, null, 0.75, 0.25],
  std: [0.1, null, 0.05, 0.3],
  n: [7, 0, 7, 7],
  omega: [0.2, null, 0.4, null],
  kind: ["by class", "by picture", "constant", "by picture"],
  together: { scales: false, streams: false },
};

test("cells are called by what sets them apart", () => {
  const names = [0, 1, 3].map((i) => cellName(facts, numbers, i));
  assert.deepEqual(names, [
    "stage 1 · block 1, head 1, 1×, same",
    "stage 1 · block 1, head 1, 2×, opposite",
    "stage 2 · block 1, head 2",
  ]);
  const whole = { ...numbers, together: { scales: true, streams: true } };
  assert.equal(cellName(facts, whole, 1), "stage 1 · block 1, head 1");
  assert.deepEqual([numbers, whole, { ...numbers, stream: [0, 0, 0, 0] }].map(cellsText), [
    "heads, scales and streams",
    "heads",
    "heads and scales",
  ]);
  assert.deepEqual([roleOf(facts, numbers, 1), roleOf(facts, whole, 1)], ["opposite", "all"]);
});

test("cells without a number come last, whichever way they are sorted", () => {
  assert.deepEqual(ordered(numbers, null, { by: "mean", down: true }), [2, 0, 3, 1]);
  assert.deepEqual(ordered(numbers, null, { by: "mean", down: false }), [3, 0, 2, 1]);
  assert.deepEqual(ordered(numbers, null, { by: "omega", down: true }), [2, 0, 1, 3]);
  assert.deepEqual(ordered(numbers, null, { by: "kind", down: true }), [0, 1, 3, 2]);
  assert.deepEqual(ordered(numbers, null, { by: "place", down: true }), [0, 1, 2, 3]);
  const effects = { d: [0.1, null, -0.9, 0.3] };
  assert.deepEqual(ordered(numbers, effects, { by: "effect", down: true }), [2, 3, 0, 1]);
});

test("keys go along the layers, and by value", () => {
  assert.deepEqual([reached(numbers, 0, "ArrowRight"), reached(numbers, 0, "ArrowLeft")], [1, 0]);
  assert.deepEqual([reached(numbers, 0, "ArrowUp"), reached(numbers, 0, "ArrowDown")], [2, 3]);
  assert.equal(reached(numbers, 0, "a"), null);
});

test("an axis holds all bars, and has round numbers", () => {
  const { low, high } = reachOf(numbers);
  assert.ok(low < -0.05 && low > -0.1 && high > 0.8 && high < 0.85);
  assert.deepEqual(ticksOf(0.13, 0.52), [0.2, 0.3, 0.4, 0.5]);
  assert.deepEqual(ticksOf(-0.3, 0.3), [-0.2, 0, 0.2]);
  assert.deepEqual(ticksOf(3, 3), [3]);
  const same = reachOf({ mean: [1], std: [0] });
  assert.ok(same.low < 1 && same.high > 1);
});

test("dots of a layer stand side by side within its part of the width", () => {
  const places = placesOf(facts, numbers);
  assert.ok(places[0] > 0 && places[0] < places[1] && places[1] < places[2] && places[2] < 0.5);
  assert.equal(places[3], 0.75);
});

test("three digits", () => {
  assert.deepEqual([0, 0.12345, -3, 0.000123, null].map(digits), ["0", "0.123", "−3.00", "1.2e−4", "–"]);
});

test("a link names a picture of the survey and a cell", () => {
  const said = { picture: `survey/cat/${"x".repeat(300)}.webp`, tab: "atlas", quantity: "distance", heads: true };
  const all = { ...said, of: "group/animal & co", cell: { block: 3, head: 1, scale: 2, stream: 1 } };
  assert.deepEqual(readAddress(writeAddress(all)), all);
});
