// Stages and blocks, by hand: a pyramid, and one whose stages come back.

import assert from "node:assert/strict";
import { test } from "node:test";

import { blockText, levelsOf, stageNames, stagesOf } from "../../dsp_viz/ui/view/stages.js";

/** @param {number} stage @param {number} side */
const layer = (stage, side) => ({ stage, grid: /** @type {[number, number]} */ ([side, side + 1]) });

test("stages of a pyramid", () => {
  const layers = [layer(0, 8), layer(0, 8), layer(1, 4), layer(2, 2)];
  const stages = stagesOf(layers);
  assert.deepEqual(stageNames(stages), ["1: 8×9", "2: 4×5", "3: 2×3"]);
  assert.deepEqual(levelsOf(stages, 1), { stage: 0, block: 1 });
  assert.deepEqual(levelsOf(stages, 3), { stage: 2, block: 0 });
  assert.equal(blockText(layers, 1), "stage 1 · block 2");
  assert.equal(blockText(layers.slice(0, 2), 1), "block 2");
});

test("stages that come back are the same ones", () => {
  const stages = stagesOf([layer(0, 8), layer(1, 4), layer(0, 8), layer(1, 4)]);
  assert.deepEqual(
    stages.map(({ layers }) => layers),
    [
      [0, 2],
      [1, 3],
    ],
  );
  assert.deepEqual(levelsOf(stages, 2), { stage: 0, block: 1 });
});
