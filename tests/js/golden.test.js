// What Python wrote: small layers, one of each rule, with their rows as tests/golden.py computed them in float64.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { decode, LayerError } from "../../dsp_viz/ui/view/layer.js";
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

test("a grid is all of the picture, or where its layer says", () => {
  const bytes = readFileSync(new URL("softmax.bin", FOLDER));
  assert.deepEqual(
    decode(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)).grid.box,
    [0, 0, 1, 1],
  );
  const length = bytes.readUInt32LE(0);
  const header = JSON.stringify({ ...JSON.parse(bytes.toString("utf8", 4, 4 + length)), box: [0, 0, 1.25, 1] });
  const text = Buffer.from(header.padEnd(4 * Math.ceil(header.length / 4)));
  const start = Buffer.alloc(4);
  start.writeUInt32LE(text.length);
  const padded = Uint8Array.from(Buffer.concat([start, text, bytes.subarray(4 + length)]));
  assert.deepEqual(decode(padded.buffer).grid.box, [0, 0, 1.25, 1]);
});

test("damaged bytes are one kind of error", () => {
  const bytes = readFileSync(new URL("window.bin", FOLDER));
  const end = 4 + bytes.readUint32LE(0);
  /** @param {(header: any) => void} harm */
  const harmed = (harm) => {
    const header = JSON.parse(bytes.subarray(4, end).toString());
    harm(header);
    const text = Buffer.from(JSON.stringify(header).padEnd(end - 4 + 400, " "));
    const length = Buffer.alloc(4);
    length.writeUint32LE(text.length);
    return Buffer.concat([length, text, bytes.subarray(end)]);
  };
  const cases = [
    Buffer.alloc(0),
    Buffer.alloc(4, 1), // a header is announced, and nothing comes
    bytes.subarray(0, 99),
    bytes.subarray(0, end + 8),
    harmed((header) => (header.format = 2)),
    harmed((header) => (header.heads = 0.5)),
    harmed((header) => (header.grid = [1e30, 3])), // a loop over its rows would not end
    harmed((header) => (header.streams = [null])),
    harmed((header) => (header.scales = [])),
    harmed((header) => (header.scales[0].width = 0)),
    harmed((header) => delete header.scales[0].window.shift),
    harmed((header) => (header.coefficients = [])),
  ];
  assert.ok(decode(new Uint8Array(harmed(() => {})).buffer));
  for (const data of cases) assert.throws(() => decode(new Uint8Array(data).buffer), LayerError);
});
