import assert from "node:assert/strict";
import { test } from "node:test";

import { boundsText, faultLines, sorted } from "../../dsp_viz/ui/view/several-files.js";
import { askedText, entryOf, nextOf, ordered, progressText } from "../../dsp_viz/ui/view/several-strip.js";
import { fileNames, tableOf } from "../../dsp_viz/ui/view/several-take.js";
import { crc32, zipOf } from "../../dsp_viz/ui/view/zip.js";

const BOUNDS = { most: 3, largest: 5 * 2 ** 20, side: 128 };
const file = (name, { type = "image/jpeg", size = 7 } = {}) => ({ name, file: { type, size } });
const bytes = (text) => new TextEncoder().encode(text);

test("pictures are taken by name, as numbers count, and others are named", () => {
  const files = [file("b/10.jpg"), file("b/9.jpg"), file("a.txt", { type: "text/plain" }), file(".DS_Store")];
  const large = file("c.png", { type: "image/png", size: 6 * 2 ** 20 });
  const { taken, refused } = sorted([...files, large, file("raw", { type: "" }), file("x/.y/z.jpg")], 3, BOUNDS);
  assert.deepEqual(
    taken.map(({ name }) => name),
    ["b/9.jpg", "b/10.jpg", "raw"],
  );
  assert.deepEqual(refused, [
    { name: "a.txt", fault: "No picture." },
    { name: "c.png", fault: "Larger than 5 MB." },
  ]);
});

test("what there is no room for is left out", () => {
  const { taken, refused } = sorted([file("3"), file("1"), file("2")], 2, BOUNDS);
  assert.deepEqual(
    taken.map(({ name }) => name),
    ["1", "2"],
  );
  assert.deepEqual(refused, [{ name: "3", fault: "Left out: at most 3 pictures are shown at once." }]);
  assert.equal(boundsText(BOUNDS), "Up to 3 pictures at 128 px, each of at most 5 MB.");
  assert.match(boundsText({ ...BOUNDS, most: 1 }), /^Up to one picture at/);
});

test("a file is taken once, unless it was changed", () => {
  const first = [file("1"), file("2")];
  const again = sorted([file("2"), file("1", { size: 8 })], 3, BOUNDS, first);
  assert.deepEqual(
    again.taken.map(({ name, file: { size } }) => [name, size]),
    [["1", 8]],
  );
  assert.deepEqual(again.refused, [{ name: "2", fault: "It is among them already." }]);
});

test("one line for each reason, however many files", () => {
  const many = Array.from({ length: 7 }, (_, i) => ({ name: `${i}`, fault: "No picture." }));
  assert.deepEqual(faultLines([...many, { name: "x", fault: "Damaged." }]), [
    { names: "0, 1, 2, 3 and 3 more", fault: "No picture." },
    { names: "x", fault: "Damaged." },
  ]);
  assert.equal(faultLines(many.slice(2))[0].names, "2, 3, 4, 5, 6");
});

const result = { model: "m", digest: "d", side: 64, unsure: true };
const done = (name, p, entropy) => {
  const told = { result, source: "", top: p === null ? [] : [["cat", p]] };
  return entryOf(name, { state: "done", told, map: { entropy, which: "block 1" } });
};

test("the order of pictures; what has no number comes last", () => {
  const entries = [done("b", 0.2, 0.9), done("a", null, NaN), entryOf("waits", {}), done("c", 0.7, 0.1)];
  const orders = { added: "bac", name: "abc", sure: "cba", unsure: "bca", narrow: "cba", wide: "bca" };
  for (const [order, names] of Object.entries(orders))
    assert.equal(
      ordered(entries, order)
        .map(({ name }) => name)
        .join(""),
      names,
      order,
    );
});

test("how far it is", () => {
  const entries = [done("a", 0.5, 1), entryOf("b", {}), entryOf("c", {}), entryOf("d", { state: "failed" })];
  assert.equal(progressText(entries, "analysing b"), "1 of 3 analysed · 1 could not be used · analysing b");
  assert.equal(progressText(entries, ""), "1 of 3 analysed · 1 could not be used · stopped");
  assert.equal(progressText(entries.slice(0, 1), ""), "1 of 1 analysed");
  assert.equal(nextOf(entries)?.name, "b");
});

test("what asks", () => {
  const state = { all: false, asks: "", at: [0.25, 0.5] };
  assert.equal(askedText(state, []), "the token at 50 % of the width, 25 % of the height");
  assert.equal(askedText({ ...state, asks: "class" }, ["class"]), "class token");
  assert.equal(askedText({ ...state, asks: "class" }, []), "the token at 50 % of the width, 25 % of the height");
  assert.equal(askedText({ ...state, all: true }, []), "all queries, averaged");
});

test("the table quotes what needs it, and leaves empty what is not known", () => {
  const lines = tableOf([done('a "b", c\n.jpg', 0.25, 0.5), done("plain", null, NaN)]).split("\r\n");
  assert.equal(lines[0].split(",").length, 17);
  assert.equal(lines[1], '"a ""b"", c\n.jpg",cat,0.25,,,,,,,,,true,m,d,64,block 1,0.5');
  assert.equal(lines[2], "plain,,,,,,,,,,,true,m,d,64,block 1,");
  assert.equal(lines[3], "");
});

test("names of files are each there once, and lead nowhere else", () => {
  assert.deepEqual(fileNames(["a.jpg", "A.png", "x/../y.jpg", "no ending", "v.2.jpg", "a-2.gif"]), [
    "a",
    "A-2",
    "x-..-y",
    "no ending",
    "v.2",
    "a-2-2",
  ]);
});

test("the checksum is that of the standard", () => {
  assert.equal(crc32(bytes("123456789")), 0xcbf43926);
  assert.equal(crc32(bytes("")), 0);
});

test("an archive lists each member where it is", async () => {
  const members = [
    { name: "ä.txt", data: bytes("one") },
    { name: "b/c", data: bytes("second") },
  ];
  const archive = new DataView(await zipOf(members).arrayBuffer());
  const end = archive.byteLength - 22;
  assert.equal(archive.getUint32(end, true), 0x06054b50);
  let at = archive.getUint32(end + 16, true);
  for (const { name, data } of members) {
    assert.equal(archive.getUint32(at, true), 0x02014b50);
    const local = archive.getUint32(at + 42, true);
    assert.equal(archive.getUint32(local, true), 0x04034b50);
    const length = bytes(name).length;
    assert.deepEqual(new Uint8Array(archive.buffer, local + 30, length), bytes(name));
    assert.deepEqual(new Uint8Array(archive.buffer, local + 30 + length, data.length), data);
    assert.equal(archive.getUint32(at + 16, true), crc32(data));
    at += 46 + length;
  }
  assert.equal(at, end);
});
