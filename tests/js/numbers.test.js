import assert from "node:assert/strict";
import { test } from "node:test";

import { area, fixed, minus, signed } from "../../dsp_viz/ui/view/numbers.js";

test("a true minus sign, and no zero with a sign", () => {
  assert.equal(minus("-1.2"), "−1.2");
  assert.deepEqual(
    [1.005, -1.25, -0.004, 0.004, NaN].map((value) => fixed(value)),
    ["1.00", "−1.25", "0.00", "0.00", "NaN"],
  );
  assert.deepEqual(
    [1.25, -1.25, -0.004, 0.004, 0].map((value) => signed(value, 1)),
    ["+1.3", "−1.3", "0.0", "0.0", "0.0"],
  );
});

test("an area that is too small for three decimals keeps two digits", () => {
  assert.deepEqual([0, 0.25, 0.0131, 0.00949, 0.000452].map(area), ["0.000", "0.250", "0.013", "0.0095", "0.00045"]);
});
