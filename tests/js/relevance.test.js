import assert from "node:assert/strict";
import { test } from "node:test";

import { arraysOf } from "../../dsp_viz/ui/view/relevance-take.js";
import { againstText, cellsOf, readText, topsOf } from "../../dsp_viz/ui/view/relevance.js";

const base64 = (...numbers) => Buffer.from(new Float32Array(numbers).buffer).toString("base64");
const account = (name, unit, signed, ...numbers) => ({
  ...{ name, about: "", unit, signed, role: "only", approximate: "", areas: null },
  values: base64(...numbers),
});
const ACCOUNTS = [
  account("received", "× uniform", false, 0, 1, 2, 3, 4, 2),
  account("rollout", "× uniform", false, 1, 1, 1, 1, 1, 1),
  account("gradient × map", "change of the logit", true, 0, -0.25, 0.125, 0, 0, 0),
  account("nothing", "change of the logit", true, 0, 0, 0, 0, 0, 0),
];
const VALUE = { result: { grid: [2, 3] }, box: [0, 0, 1, 1], accounts: ACCOUNTS };

test("numbers arrive as they were sent, row by row", () => {
  const [received, , signed] = cellsOf(VALUE);
  assert.deepEqual([...received.values], [0, 1, 2, 3, 4, 2]);
  assert.deepEqual([received.H, received.W, signed.signed], [2, 3, true]);
  assert.equal(readText(ACCOUNTS[0], received, [1, 0]), "row 2, column 1: 3 × uniform");
  assert.equal(readText(ACCOUNTS[2], signed, [0, 1]), "row 1, column 2: −0.25");
  assert.equal(readText(ACCOUNTS[2], signed, [0, 2]), "row 1, column 3: +0.125");
});

test("shares have one scale together, the others one each, and nothing has a scale too", () => {
  const tops = topsOf(ACCOUNTS, cellsOf(VALUE));
  assert.equal(tops[0], tops[1]);
  assert.ok(Math.abs(tops[0] - 4) < 0.01 && Math.abs(tops[2] - 0.25) < 0.001);
  assert.equal(tops[3], 1);
});

test("small is good for deletion, large for insertion, and only beyond all random orders", () => {
  const random = { mean: [0.2, 0.5], low: [0.1, 0.4], high: [0.3, 0.6] };
  const told = (which, area) => againstText(which, [area, area], random);
  assert.equal(told("deletion", 0.05), "better than every random order");
  assert.equal(told("deletion", 0.35), "worse than every random order");
  assert.equal(told("insertion", 0.65), "better than every random order");
  assert.equal(told("insertion", 0.35), "worse than every random order");
  for (const area of [0.1, 0.15, 0.3]) assert.equal(told("deletion", area), "no better than a random order may be");
});

test("all numbers go into one archive, those not judged yet without areas", () => {
  const value = { ...VALUE, accounts: [{ ...ACCOUNTS[0], areas: [0.25, 0.5] }, ACCOUNTS[2]], random: null };
  const members = arraysOf(value, cellsOf(value));
  assert.deepEqual(
    members.map(({ name }) => name),
    ["settings.npy", "received.npy", "gradient × map.npy"],
  );
  const [settings, received] = members.map(({ data }) => Buffer.from(data));
  assert.match(
    received.toString("latin1", 10, 128),
    /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(2,3,\), \} *\n/,
  );
  assert.deepEqual([...new Float32Array(new Uint8Array(received.subarray(128)).buffer)], [0, 1, 2, 3, 4, 2]);
  const points = [...new Uint32Array(new Uint8Array(settings.subarray(128)).buffer)];
  const told = JSON.parse(String.fromCodePoint(...points)).accounts;
  assert.deepEqual([told[0].deletion, told[0].insertion, told[1].deletion], [0.25, 0.5, null]);
});
