import assert from "node:assert/strict";
import { test } from "node:test";

import { readAddress, writeAddress } from "../../dsp_viz/ui/view/address.js";

const PART = { block: 3, head: 1, scale: 2, stream: 1 };

test("an address says what was said", () => {
  const said = {
    picture: "cat-chelsea",
    model: "dsp_tiny",
    side: 256,
    whole: true,
    class: "French horn",
    tab: "compare",
    block: 0,
    head: 3,
    scale: 1,
    stream: 1,
    query: [3, 12],
    show: "index",
    colours: "own",
    opacity: 0.35,
    smooth: true,
    overview: 2,
    pictureA: "the picture on the left",
    modelA: "a&b=c",
    pictureB: "é ²#",
    modelB: "x",
    a: PART,
    b: { ...PART, block: 0 },
    interventions: '[{"kind": "set_coefficient", "value": 0}]',
  };
  assert.deepEqual(readAddress(writeAddress(said)), said);
  for (const query of ["all", "class", "CLS", "Register_1", "_jeton é.2"])
    assert.deepEqual(readAddress(writeAddress({ query, block: 2 })), { query, block: 2 });
});

test("what goes without saying is not said", () => {
  assert.equal(writeAddress({ head: 0, opacity: 0.85, tab: "maps", show: undefined }), "");
  assert.equal(writeAddress({ block: 0 }), "block=0");
  assert.equal(writeAddress({ model: "x".repeat(201) }), "");
});

const UNREADABLE =
  `block=² block=-1 block=1e3 block=999999 block= block=٣ head=NaN query=1 query=1,2,3 query=1,-2 query=a,b
  query=% whole=True whole=constructor tab=__proto__ tab=weights2 show=toString colours=<img> opacity=2
  opacity=Infinity opacity=0x1 smooth=1 a=1,2,3 b=1,2,3,x interventions={} interventions=[ interventions=null
  __proto__=1 constructor=1 picture= %E0%A4%A &&&===`.split(/\s+/);

for (const text of [...UNREADABLE, `model=${"x".repeat(201)}`])
  test(`what cannot be read is not said: ${text.slice(0, 30)}`, () => {
    assert.deepEqual(readAddress(text), {});
    assert.deepEqual(readAddress(`${text}&modelB=x`), { modelB: "x" });
  });
