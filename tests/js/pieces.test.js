import assert from "node:assert/strict";
import { test } from "node:test";

import { proofOf } from "../../dsp_viz/ui/view/pieces.js";

test("how exactly maps were verified, and with how coarse numbers", () => {
  assert.deepEqual(proofOf({ verified: null, rounded: "" }), []);
  assert.deepEqual(proofOf({ verified: 1.234e-6, rounded: "" }), ["maps verified: 1.2e-6"]);
  assert.deepEqual(proofOf({ verified: 0.0123, rounded: "bfloat16" }), ["maps verified: 1.2e-2, rounded to bfloat16"]);
});
