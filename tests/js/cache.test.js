import assert from "node:assert/strict";
import { test } from "node:test";

import { Cache, latest } from "../../dsp_viz/ui/view/cache.js";

const settled = () => new Promise((done) => setImmediate(done));

function counting(limit) {
  const loads = [];
  const cache = new Cache(limit, ({ size }) => size);
  const get = async (name, size) => {
    const value = await cache.get(name, async () => {
      loads.push(name);
      return { size };
    });
    await settled();
    return value;
  };
  return { loads, get };
}

test("what is kept is not loaded again, also while it is on its way", async () => {
  const { loads, get } = counting(10);
  await Promise.all([get("a", 1), get("a", 1)]);
  await get("a", 1);
  assert.deepEqual(loads, ["a"]);
});

test("the bytes are bounded, and what was used last is kept", async () => {
  const { loads, get } = counting(10);
  for (const [name, size] of [
    ["a", 4],
    ["b", 4],
    ["a", 4],
    ["c", 4],
  ])
    await get(name, size);
  assert.deepEqual(loads, ["a", "b", "c"]); // b went: a had been used since
  await get("a", 4);
  await get("b", 4);
  assert.deepEqual(loads, ["a", "b", "c", "b"]);
});

test("one that is larger than all room is kept until the next", async () => {
  const { loads, get } = counting(10);
  await get("a", 50);
  await get("a", 50);
  await get("b", 1);
  await get("a", 50);
  assert.deepEqual(loads, ["a", "b", "a"]);
});

test("what failed is asked for again", async () => {
  const cache = new Cache(10, () => 1);
  await assert.rejects(
    cache.get("a", () => Promise.reject(new Error("gone"))),
    /gone/,
  );
  await settled();
  assert.equal(await cache.get("a", async () => "there"), "there");
});

test("answers to older requests are dropped, failures too", async () => {
  const newest = latest();
  const told = [];
  const say = (word) => told.push(word);
  const slow = Promise.withResolvers();
  const bad = Promise.withResolvers();
  const all = [newest(slow.promise, say), newest(bad.promise, say, say), newest(Promise.resolve("new"), say)];
  slow.resolve("old");
  bad.reject("fault");
  await Promise.all(all);
  assert.deepEqual(told, ["new"]);
  await newest(Promise.reject("broken"), say, say);
  assert.deepEqual(told, ["new", "broken"]);
});
