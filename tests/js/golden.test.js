// What Python wrote: small layers, one of each rule, with their rows as tests/golden.py computed them in float64.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { decode } from "../../dsp_viz/ui/view/layer.js";
import { maps, prefixShares } from "../../dsp_viz/ui/view/maths.js";

const FOLDER = new URL("../data/layers/", import.meta.url);
const names = readdirSync(FOLDER).filter((name) => name.endsWith(".bin"));

test("there is a layer of each form", () => {
  assert.deepEqual(names, ["product.bin", "ratio.bin", "signed.bin", "softmax.bin", "window.bin"]);
});

for (const name of names)
  test(`${name} gives the rows that Python wrote`, () => {
    const bytes = readFileSync(new URL(name, FOLDER));
    const block = decode(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    const { rows } = JSON.parse(readFileSync(new URL(name.replace(".bin", ".json"), FOLDER), "utf8"));
    for (const [query, scales] of Object.entries(rows)) {
      const asked = query.includes(",") ? query.split(",").map(Number) : query;
      const [got, beside] = [maps(block, asked), prefixShares(block, asked)];
      scales.forEach((streams, s) =>
        streams.forEach((heads, stream) =>
          heads.forEach((row, head) =>
            row.forEach((want, j) => {
              const value = [...beside[s][head][stream], ...got[s][head][stream]][j];
              assert.ok(Math.abs(value - want) <= 1e-6 + 3e-3 * Math.abs(want), `${query}: ${value}, wanted ${want}`);
            }),
          ),
        ),
      );
    }
  });
