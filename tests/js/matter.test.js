import assert from "node:assert/strict";
import { test } from "node:test";

import { columnsOf } from "../../dsp_viz/ui/view/matter.js";

test("the columns are what any layer has, heads first", () => {
  const worth = (part, name) => ({ part, name, index: 0, change: 0 });
  const rows = [
    [worth("head", "head 1"), worth("scale", "1×"), worth("stream", "same")],
    [worth("head", "head 1"), worth("head", "head 2"), worth("scale", "2×"), worth("stream", "only")],
  ];
  const names = columnsOf(rows).map(({ name }) => name);
  assert.deepEqual(names, ["head 1", "head 2", "1×", "2×", "same", "only"]);
});
