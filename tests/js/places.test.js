import assert from "node:assert/strict";
import { test } from "node:test";

import {
  boxOf,
  centre,
  inPicture,
  keyAt,
  middle,
  moved,
  onGrid,
  rounded,
  tokenAt,
  tokenBox,
  within,
} from "../../dsp_viz/ui/view/places.js";

const size = (H, W) => ({ H, W });

test("a place of the page on a layer's own grid", () => {
  for (let row = 0; row < 13; row++)
    for (const H of [1, 2, 5, 7, 13]) {
      const [got] = rounded([row, 0], size(13, 3), size(H, 2));
      assert.equal(got, Math.floor(((row + 0.5) * H) / 13));
    }
  assert.deepEqual(rounded([8, 8], size(16, 16), size(4, 2)), [2, 1]);
  assert.deepEqual(rounded([3, 1], size(5, 3), size(5, 3)), [3, 1]);
});

test("a middle that lies on an edge belongs to the token after it, as in Python", () => {
  assert.deepEqual(rounded([2, 2], size(5, 5), size(90, 6)), [45, 3]);
  assert.deepEqual(rounded([5, 0], size(11, 3), size(22, 7)), [11, 1]);
  for (let H = 1; H <= 40; H++)
    for (let row = 0; row < H; row++)
      for (const to of [2 * H, 6 * H, 18 * H])
        assert.equal(rounded([row, 0], size(H, 1), size(to, 1))[0], ((2 * row + 1) * to) / (2 * H));
});

test("a step on a coarse grid leaves a place as exact as it was", () => {
  const [page, coarse] = [size(56, 56), size(7, 7)];
  const at = centre(page, [29, 3]);
  const right = moved(at, page, coarse, [0, 1]);
  assert.deepEqual(tokenAt(page, right), [29, 11]);
  assert.deepEqual(tokenAt(page, moved(right, page, coarse, [0, -1])), [29, 3]);
  assert.deepEqual(tokenAt(page, moved(at, page, coarse, [0, -1])), [29, 3]); // there is no token to the left
  assert.deepEqual(tokenAt(page, moved(inPicture([1.2, -1]), page, page, [-1, 1])), [54, 1]);
});

test("a step goes one token of the layer further where grids do not divide each other", () => {
  const [page, own] = [size(16, 11), size(7, 5)];
  const tokenOf = (at) => rounded(tokenAt(page, at), page, own);
  for (let row = 0; row < 16; row++)
    for (let column = 0; column < 11; column++) {
      const at = centre(page, [row, column]);
      const [down, right] = tokenOf(at);
      assert.deepEqual(tokenOf(moved(at, page, own, [1, -1])), within(own, [down + 1, right - 1]));
    }
});

test("tokens", () => {
  assert.deepEqual(middle(size(5, 4)), [2, 2]);
  assert.deepEqual(within(size(5, 4), [-1, 9]), [0, 3]);
  assert.deepEqual(tokenAt(size(5, 4), [0.39, 1]), [1, 3]);
  assert.deepEqual(centre(size(2, 4), [1, 0]), [0.75, 0.125]);
});

test("keys of a grid that reaches beyond the picture, and of one that covers a part of it", () => {
  const beyond = { ...size(2, 3), box: [0, 0, 4 / 3, 1] };
  assert.deepEqual(keyAt(beyond, [0.6, 0.99]), [0, 2]);
  assert.deepEqual(keyAt(beyond, [0.7, 0.34]), [1, 1]);
  assert.deepEqual(boxOf(beyond, 300, 30), [0, 0, 300, 40]);
  const part = { ...size(2, 2), box: [0.5, 0.25, 1, 0.75] };
  assert.equal(keyAt(part, [0.4, 0.5]), null);
  assert.equal(keyAt(part, [0.6, 0.8]), null);
  assert.deepEqual(keyAt(part, [0.8, 0.3]), [1, 0]);
});

test("every token of a pooled grid lies in the key that pools it", () => {
  for (const [tokens, factor] of [
    [11, 4],
    [7, 2],
    [13, 3],
    [16, 4],
  ]) {
    const keys = Math.ceil(tokens / factor);
    const grid = { ...size(keys, keys), box: [0, 0, (keys * factor) / tokens, (keys * factor) / tokens] };
    for (let i = 0; i < tokens; i++) {
      const key = Math.floor(i / factor);
      assert.deepEqual(keyAt(grid, centre(size(tokens, tokens), [i, i])), [key, key]);
    }
  }
});

test("a grid whose cells reach beyond the picture: stages that are padded at the right and the bottom", () => {
  const [page, coarse] = [size(50, 18), { ...size(7, 3), box: [0, 0, 224 / 200, 96 / 72] }]; // 200×72 pixels, by 4 and 32
  for (let row = 0; row < 50; row++)
    for (let column = 0; column < 18; column++)
      assert.deepEqual(rounded([row, column], page, coarse), [Math.floor(row / 8), Math.floor(column / 8)]);
  assert.deepEqual(rounded([4, 2], coarse, coarse), [4, 2]);
  const box = tokenBox(coarse, [2, 1], 72, 200);
  for (const [i, edge] of [32, 64, 32, 32].entries()) assert.ok(Math.abs(box[i] - edge) < 1e-9);
  const at = centre(page, [20, 9]);
  assert.deepEqual(rounded(tokenAt(page, moved(at, page, coarse, [1, 1])), page, coarse), [3, 2]);
  assert.deepEqual(tokenAt(page, moved(moved(at, page, coarse, [1, -1]), page, coarse, [-1, 1])), [20, 9]);
});

test("a map on another grid", () => {
  const map = { ...size(2, 1), box: [0, 0, 4 / 3, 1], values: [5, 7] };
  assert.deepEqual([...onGrid(map, size(3, 2))], [5, 5, 5, 5, 7, 7]);
  const part = { ...size(1, 1), box: [0, 0, 1, 0.5], values: [3] };
  assert.deepEqual([...onGrid(part, size(1, 2))], [3, 0]);
});
