import assert from "node:assert/strict";
import { test } from "node:test";

import { blockText, levelsOf, stageNames, stagesOf } from "../../dsp_viz/ui/view/stages.js";

const layer = (stage, H, W) => ({ stage, grid: [H, W], heads: 1, kind: "" });
const PYRAMID = [layer(0, 13, 11), layer(0, 13, 11), layer(1, 7, 6), layer(2, 4, 3), layer(2, 4, 3), layer(2, 4, 3)];

test("layers by stage and block", () => {
  const stages = stagesOf(PYRAMID);
  assert.deepEqual(
    stages.map(({ layers }) => layers),
    [[0, 1], [2], [3, 4, 5]],
  );
  assert.deepEqual(stageNames(stages), ["1: 13×11", "2: 7×6", "3: 4×3"]);
  assert.deepEqual(
    PYRAMID.map((_, i) => Object.values(levelsOf(stages, i))),
    [
      [0, 0],
      [0, 1],
      [1, 0],
      [2, 0],
      [2, 1],
      [2, 2],
    ],
  );
});

test("layers of one grid are one stage, also where others lie between them", () => {
  const between = [layer(0, 2, 2), layer(1, 1, 1), layer(0, 2, 2)];
  assert.equal(blockText(between, 2), "stage 1 · block 2");
});

test("nobody speaks of one stage", () => {
  assert.equal(blockText(PYRAMID, 4), "stage 3 · block 2");
  assert.equal(blockText(PYRAMID.slice(0, 2), 1), "block 2");
});
