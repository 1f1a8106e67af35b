// Bytes of layers with faults, at random, and the page's reader: see fuzz.py. SEED FIRST COUNT; the last line is JSON.

import { readdirSync, readFileSync } from "node:fs";

import { LayerError, Reader } from "../dsp_viz/ui/view/layer.js";
import { maps } from "../dsp_viz/ui/view/maths.js";

const [seed, first, count] = process.argv.slice(2).map(Number);
const slow = Number(process.env.SLOW);
const folder = new URL("../tests/data/layers/", import.meta.url);
const seeds = readdirSync(folder)
  .filter((name) => name.endsWith(".bin"))
  .map((name) => readFileSync(new URL(name, folder)));
const values = [null, true, -1, 0, 0.5, 1, 2, 7, 2 ** 31, 1e30, "", "x", [], {}, [1, 2], [[0]]];

/** Numbers within 0 and 1 that follow from a start: mulberry32. @param {number} state */
function random(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** @param {() => number} rng */
function damaged(rng) {
  const below = (/** @type {number} */ n) => Math.floor(rng() * n);
  let bytes = Buffer.from(seeds[below(seeds.length)]);
  const length = bytes.readUint32LE(0);
  if (rng() < 0.7) {
    const header = JSON.parse(bytes.subarray(4, 4 + length).toString());
    for (let i = 1 + below(2); i > 0; i--) {
      const places = [];
      const waiting = [header];
      for (let each; (each = waiting.pop());)
        for (const key of Object.keys(each)) {
          places.push([each, key]);
          if (each[key] && typeof each[key] === "object") waiting.push(each[key]);
        }
      const [inner, key] = places[below(places.length)];
      if (rng() < 0.2) delete inner[key];
      else if (rng() < 0.3 && typeof inner[key] === "number") inner[key] += rng() < 0.5 ? 1 : -1;
      else inner[key] = values[below(values.length)];
    }
    const text = Buffer.from(JSON.stringify(header));
    const start = Buffer.alloc(4 + 4 * Math.ceil(text.length / 4), " ");
    start.writeUint32LE(start.length - 4);
    text.copy(start, 4);
    bytes = Buffer.concat([start, bytes.subarray(4 + length)]);
  }
  for (let i = below(4); i > 0; i--) bytes[below(rng() < 0.5 ? Math.min(64, bytes.length) : bytes.length)] = below(256);
  if (rng() < 0.2) bytes = bytes.subarray(0, below(bytes.length + 1));
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
}

const found = { worked: 0, refused: 0, wrong: 0, slowest: 0 };
for (let number = first; number < first + count; number++) {
  const start = performance.now();
  let result = "worked";
  try {
    const rng = random(seed * 1e6 + number);
    const bytes = damaged(rng);
    const reader = new Reader(bytes);
    for (const here of [Math.floor(rng() * bytes.byteLength), bytes.byteLength]) {
      const block = reader.read(here); // what of it had come, and all
      if (!block) continue;
      maps(block, "all");
      maps(block, [0, 0]);
    }
  } catch (error) {
    result = error instanceof LayerError ? "refused" : "wrong";
    if (result === "wrong")
      console.log(`layers ${number} (seed ${seed}): ${error.stack.split("\n").slice(0, 4).join("\n")}`);
  }
  const took = (performance.now() - start) / 1000;
  if (took > slow) result = "wrong";
  found[result]++;
  found.slowest = Math.max(found.slowest, took);
}
console.log(JSON.stringify(found));
