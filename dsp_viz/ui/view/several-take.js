// What can be taken away of several pictures: the strip, a table, and both with all arrays in one ZIP.

import { find, saveBlob } from "./elements.js";
import { fetched, pieceAddress, tellFault } from "./pieces.js";
import { barShapes, group, originOf, overlayShapes, pngOf, saveSheet, sheetOf, shortened, words } from "./sheet.js";
import { askedText, captionOf, colouring } from "./several-strip.js";
import { pageGrid } from "./shown.js";
import { zipOf } from "./zip.js";

/** @typedef {import("./several.js").Several} Several */
/** @typedef {import("./several-strip.js").Entry} Entry */

const BEST = 5; // classes of a row

/** @param {Several} several @param {string} kind */
export async function save(several, kind) {
  const seen = several.seen();
  if (!seen.length) return;
  const scale = Number(find(several.root, "[data-scale]", HTMLSelectElement).value);
  const name = `${seen.length}-pictures`;
  if (kind === "png" || kind === "svg") return saveSheet(sheetFor(several, seen), kind, name, scale);
  if (kind === "csv") return saveBlob(new Blob([tableOf(seen)], { type: "text/csv" }), `${name}.csv`);
  try {
    saveBlob(await zipFor(several, seen, scale), `${name}.zip`);
    several.note.textContent = "";
  } catch (error) {
    tellFault(several.note, error, () => several.again());
  }
}

/** @param {string | number | boolean} value */
function quoted(value) {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A row for each picture, as RFC 4180 says. @param {Entry[]} entries */
export function tableOf(entries) {
  const best = Array.from({ length: BEST }, (_, i) => [`class ${i + 1}`, `probability ${i + 1}`]).flat();
  const head = ["name", ...best, "unsure", "model", "weights", "side", "map", "entropy"];
  const rows = entries.flatMap(({ name, told, map }) => {
    if (!told || !map) return [];
    const { model, digest, side, unsure } = told.result;
    const classes = Array.from({ length: BEST }, (_, i) => told.top[i] ?? ["", ""]).flat();
    const entropy = Number.isNaN(map.entropy) ? "" : map.entropy;
    return [[name, ...classes, Boolean(unsure), model, digest, side, map.which, entropy]];
  });
  return [head, ...rows].map((row) => `${row.map(quoted).join(",")}\r\n`).join("");
}

/** Names of files, each once, without what file systems take for something else. @param {string[]} names */
export function fileNames(names) {
  /** @type {Set<string>} */
  const taken = new Set();
  return names.map((name) => {
    const stem = name.replace(/\.\w{1,5}$/, "").replace(/[\\/:*?"<>|\p{Cc}]+/gu, "-");
    let own = stem;
    for (let n = 2; taken.has(own.toLowerCase()); n++) own = `${stem}-${n}`;
    taken.add(own.toLowerCase());
    return own;
  });
}

/** @param {Several} several @param {Entry[]} seen @param {number} scale */
async function zipFor(several, seen, scale) {
  const png = await pngOf(sheetFor(several, seen), scale);
  if (!png) throw new Error("So large a picture cannot be drawn here: choose a smaller size.");
  const members = [
    { name: "pictures.png", data: new Uint8Array(await png.arrayBuffer()) },
    { name: "pictures.csv", data: new TextEncoder().encode(tableOf(seen)) },
  ];
  if (find(several.root, "[data-arrays]", HTMLInputElement).checked) {
    const names = fileNames(seen.map(({ name }) => name));
    for (const [i, { told }] of seen.entries()) {
      if (!told) continue;
      several.note.textContent = `Fetching arrays, ${i + 1} of ${seen.length} …`;
      const answer = await fetched(pieceAddress(told.result, "npz"));
      members.push({ name: `arrays/${names[i]}.npz`, data: new Uint8Array(await answer.arrayBuffer()) });
    }
  }
  return zipOf(members);
}

/**
 * All pictures with their maps, in lines, and the one bar.
 *
 * @param {Several} several @param {Entry[]} seen
 */
function sheetFor({ state }, seen) {
  const maps = seen.flatMap(({ map }) => map ?? []);
  const { top, scale } = colouring(maps, state.colours);
  const [margin, head, size, gap, below] = [24, 84, 200, 16, 62];
  const across = Math.min(seen.length, Math.max(2, Math.ceil(Math.sqrt(1.5 * seen.length))));
  const step = size + gap;
  const tiles = seen.map((entry, i) => {
    const { map, told, picture } = entry;
    if (!map || !told) return "";
    const { H, W } = pageGrid(told.result);
    const [width, height] = [size * Math.min(1, W / H), size * Math.min(1, H / W)];
    const { opacity, smooth } = state;
    const shapes = overlayShapes(picture, map.cell, top, { width, height, frames: map.frames, opacity, smooth });
    const { best, probability, unsure, entropy } = captionOf(entry);
    const lines = [shortened(entry.name, 28), `${shortened(best, 20)} ${probability}${unsure ? ", not sure" : ""}`];
    const texts = [...lines, entropy].map((text, line) => words(0, size + 17 * (line + 1), text));
    const [x, y] = [margin + (i % across) * step, head + Math.floor(i / across) * (size + below)];
    return group(x, y, group((size - width) / 2, 0, shapes) + texts.join(""));
  });
  const bottom = head + Math.ceil(seen.length / across) * (size + below);
  const width = Math.max(across * step - gap, 420);
  const { told } = seen[0];
  const title = told ? originOf({ ...told.result, name: `${seen.length} pictures`, verified: null }) : "";
  const asked = `${maps[0].which} · ${askedText(state, maps[0].block.prefix)}`;
  const ground = seen[0].picture?.ground;
  const bar = barShapes(scale, Math.min(width, 480), { title: "× uniform", opacity: state.opacity, ground });
  const content = [words(margin, 32, title, "start", 700), words(margin, 54, asked), ...tiles];
  content.push(group(margin, bottom + 18, bar));
  return sheetOf(width + 2 * margin, bottom + 70, `${title} · ${asked}`, content.join(""));
}
