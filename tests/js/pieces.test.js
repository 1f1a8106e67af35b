import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { loadBlock, proofOf } from "../../dsp_viz/ui/view/pieces.js";
import { encode, layer } from "./bytes.js";

test("how exactly maps were verified, and with how coarse numbers", () => {
  assert.deepEqual(proofOf({ verified: null, rounded: "" }), []);
  assert.deepEqual(proofOf({ verified: 1.234e-6, rounded: "" }), ["maps verified: 1.2e-6"]);
  assert.deepEqual(proofOf({ verified: 0.0123, rounded: "bfloat16" }), ["maps verified: 1.2e-2, rounded to bfloat16"]);
});

test("a large layer that is packed is unpacked, whether or not its length is told", async () => {
  const size = [64, 64];
  const scale = { queries: size, keys: size, box: [0, 0, 1, 1], pooled: 1, width: 48 };
  const streams = [{ name: "all", role: "only", turn: 0 }];
  const { header, arrays } = layer("ratio", { streams, grid: size, scales: [scale] });
  const packed = gzipSync(new Uint8Array(encode(header, arrays)), { level: 1 });
  assert.ok(packed.length > 2 ** 20); // as large as those that are read as they come
  for (const headers of [{}, { "content-length": String(packed.length) }]) {
    globalThis.fetch = async () => new Response(packed, { headers }); // some browsers tell the length of a data URL
    const pieces = { 0: "" };
    const token = Object.keys(headers).join(); // each is asked for anew
    const block = await loadBlock({ token, layers: [], grid: size, packed: true, pieces }, 0);
    assert.deepEqual([block.name, block.missing, block.grid.H], [header.name, 0, 64]);
  }
});
