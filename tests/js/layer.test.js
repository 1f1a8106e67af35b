// A layer whose bytes are on their way: what of it can be drawn, and when.

import assert from "node:assert/strict";
import { test } from "node:test";

import { allMaps, isHere, scaleCount } from "../../dsp_viz/ui/view/cells.js";
import { decode, LayerError, Reader } from "../../dsp_viz/ui/view/layer.js";
import { encode, layer } from "./bytes.js";

const sizes = [
  [8, 6],
  [4, 3],
  [2, 2],
];
const made = layer("ratio", {
  streams: [
    { name: "same", role: "same", turn: 0 },
    { name: "opposite", role: "opposite", turn: 3 },
  ],
  grid: [8, 6],
  scales: sizes.map((size, s) => ({ queries: size, keys: size, box: [0, 0, 1, 1], pooled: 2 ** s, width: 6 })),
  epsilon: 1e-6,
});
const bytes = encode(made.header, made.arrays);

/** Where the bytes of each scale end, computed by hand: 3 heads; of each factor its units, and 2 bytes a number. */
const lengths = sizes.map(([H, W]) => 2 * (4 * 3 + 2 * 3 * H * W * 6));
const start = bytes.byteLength - lengths.reduce((a, b) => a + b);
const ends = { 2: start + lengths[2], 1: start + lengths[2] + lengths[1], 0: bytes.byteLength };

test("the coarse scales can be drawn first, each as soon as its last byte is there", () => {
  const whole = decode(bytes);
  const want = allMaps(whole, [5, 2]);
  assert.equal(whole.missing, 0);
  const filling = new Uint8Array(bytes.byteLength);
  const reader = new Reader(filling.buffer);
  const seen = [];
  for (let here = 0; here <= bytes.byteLength; here++) {
    if (here) filling[here - 1] = new Uint8Array(bytes)[here - 1];
    const block = reader.read(here);
    const last = seen.at(-1);
    if (block === (last?.block ?? null)) continue;
    seen.push({ here, block });
    const got = allMaps(block, [5, 2]);
    assert.equal(scaleCount(block), 4);
    for (let scale = 0; scale < 4; scale++) {
      const there = isHere(block, scale);
      assert.equal(there, scale < 3 ? scale >= block.missing : block.missing === 0);
      if (there) assert.deepEqual(got[scale], want[scale]);
      else assert.deepEqual(got[scale].flat(), Array(6).fill(new Float32Array()));
    }
    if (last) assert.equal(block.scales[2], last.block.scales[2]); // read once
  }
  assert.deepEqual(
    seen.map(({ here, block }) => [block.missing, here]),
    [2, 1, 0].map((missing) => [missing, ends[missing]]),
  );
});

test("bytes that are too few, too many or counted wrongly are damaged", () => {
  const { header, arrays } = made;
  const more = new Uint8Array(bytes.byteLength + 4);
  more.set(new Uint8Array(bytes));
  const shifts = [
    [0, 4],
    [0, -4],
    [4, -4],
  ]; // the last keep the sum
  const wrong = shifts.map((by) => {
    const scales = header.scales.map((scale, s) => ({ ...scale, bytes: lengths[s] + (by[s] ?? 0) }));
    return encode({ ...header, scales }, arrays);
  });
  for (const data of [bytes.slice(0, -4), more.buffer, ...wrong]) assert.throws(() => decode(data), LayerError);
});
