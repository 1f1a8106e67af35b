// What can be taken away of the accounts of relevance: a sheet of all maps, and their numbers as NPZ.

import { scaleOf, sparse } from "./colours.js";
import { find, saveBlob } from "./elements.js";
import { area } from "./numbers.js";
import { npyOfNumbers, npyOfText } from "./npy.js";
import { barShapes, group, originOf, overlayShapes, saveSheet, sheetOf, words } from "./sheet.js";
import { zipOf } from "./zip.js";

/** @typedef {import("./relevance.js").Relevance} Relevance */
/** @typedef {import("./relevance.js").Value} Value */
/** @typedef {import("./colours.js").Cell} Cell */

/** @param {Relevance} relevance @param {string} kind "png", "svg" or "npz" */
export function save(relevance, kind) {
  const { root, value, cells } = relevance;
  if (!value) return;
  const name = `${value.result.name}-relevance`;
  if (kind === "npz") return saveBlob(zipOf(arraysOf(value, cells)), `${name}.npz`);
  const scale = Number(find(root, "[data-scale]", HTMLSelectElement).value);
  return saveSheet(sheetFor(relevance, value), kind, name, scale);
}

/**
 * Each account by its name, `(H, W)`, in its unit; `settings` tells the rest as JSON.
 *
 * @param {Value} value @param {Cell[]} cells
 */
export function arraysOf({ accounts, result, box, target, probability, random }, cells) {
  const { name, model, digest, side, whole } = result;
  const told = accounts.map(({ name, unit, signed, approximate, areas }) => {
    const [deletion, insertion] = areas ?? [null, null];
    return { name, unit, signed, approximate, deletion, insertion };
  });
  const settings = { name, model, digest, side, whole, box, target, probability, accounts: told, random };
  return [
    { name: "settings.npy", data: npyOfText(JSON.stringify(settings)) },
    ...accounts.map((account, i) => {
      const { values, H, W } = cells[i];
      return { name: `${account.name}.npy`, data: npyOfNumbers(Float32Array.from(values), [H, W]) };
    }),
  ];
}

/**
 * Every account over the picture, with its bar and its areas, four in a line.
 *
 * @param {Relevance} relevance @param {Value} value
 */
function sheetFor({ cells, tops, picture, look, title }, { accounts, result, random }) {
  const [margin, top, gap, side, below] = [24, 96, 24, 240, 108];
  const [rows, columns] = result.grid;
  const [width, height] = [columns, rows].map((length) => (side * length) / Math.max(rows, columns));
  const across = Math.min(4, accounts.length);
  const cards = accounts.map(({ name, unit, approximate, areas }, i) => {
    const shapes = overlayShapes(picture, cells[i], tops[i], { ...look, width, height, frames: [], unit });
    const scale = sparse(scaleOf([cells[i]], tops[i]));
    const bar = barShapes(scale, width, { title: unit, opacity: picture ? look.opacity : 1, ground: picture?.ground });
    const judged = areas ? `deletion ${area(areas[0])}, insertion ${area(areas[1])}` : "not judged yet";
    const content = [
      words(0, -8, approximate ? `${name} (approximation)` : name, "start", 700),
      shapes,
      group(0, height + 18, bar),
      words(0, height + 72, judged),
    ];
    const [x, y] = [margin + (i % across) * (width + gap), top + Math.floor(i / across) * (height + below)];
    return group(x, y, content.join(""));
  });
  const full = Math.max(across * (width + gap) - gap, 520) + 2 * margin;
  const bottom = top + Math.ceil(accounts.length / across) * (height + below);
  const told = random
    ? `Areas under the curves of deletion (small is good) and insertion (large is good); random orders ${rangeOf(random, 0)} and ${rangeOf(random, 1)}`
    : "";
  const heading = [
    words(margin, 30, originOf(result), "start", 700),
    words(margin, 50, title),
    words(margin, 68, told),
  ];
  return sheetOf(Math.ceil(full), Math.ceil(bottom), `${originOf(result)} · ${title}`, [...heading, ...cards].join(""));
}

/** The mean, the lowest and the highest area. @param {import("./relevance.js").Random} random @param {0 | 1} i */
function rangeOf({ mean, low, high }, i) {
  return `${area(mean[i])} (${area(low[i])} to ${area(high[i])})`;
}
