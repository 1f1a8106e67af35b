// Maps as they are shown: their names, and one of them in units of the uniform map.

import { effective, entropy, maps, prefixShares, windowOf } from "./maths.js";
import { OPPOSITE, ONLY, SAME } from "./colours.js";

/** @typedef {import("./layer.js").Block} Block */
/** @typedef {import("./maths.js").Box} Box */
/** @typedef {import("./maths.js").Maps} Maps */
/** @typedef {import("./rows.js").Query} Query */
/** @typedef {import("./colours.js").Cell} Cell */
/** @typedef {{ head: number, scale: number, stream: number }} Which One map of a layer. */

/**
 * @typedef {object} Rows What a query of a layer sees.
 * @property {Block} block
 * @property {Query} query
 * @property {Maps} maps see `allMaps`
 * @property {number[][][][]} prefix what each token without a place gets, [scale][head][stream][token]
 * @property {Box | null} window the keys that it sees; null: all
 */

const INKS = { same: SAME, opposite: OPPOSITE, only: ONLY };
const WHOLE = [0, 0, 1, 1];

/** Whether the streams are two of a kind, whose difference is an index. @param {Block} block */
export function hasIndex({ finish, streams }) {
  const roles = streams.map(({ role }) => role);
  return finish === "ratio" && roles.includes("same") && roles.includes("opposite");
}

/** A layer with several scales has a last one: its effective map. @param {Block} block */
export const scaleCount = ({ scales }) => scales.length + (scales.length > 1 ? 1 : 0);

/** Whether a scale's maps can be drawn: of the effective one all others are needed. @param {Block} block @param {number} scale */
export const isHere = ({ scales, missing }, scale) => scale >= missing && (scale < scales.length || missing === 0);

/** What a scale is called; "" where a layer has only one. @param {Block} block @param {number} scale */
export function scaleName({ scales }, scale) {
  if (scales.length === 1) return "";
  return scale < scales.length ? `${scales[scale].pooled}×` : "layer";
}

/** Names in a row, without those that go without saying. @param {string[]} names @param {string} between */
export const joined = (names, between) => names.filter(Boolean).join(between);

/** A token without a place in words. @param {string} name */
export const tokenName = (name) => (/\d$/.test(name) ? name : `${name} token`);

/**
 * A choice that was made on another layer, limited to what this one has.
 *
 * @template {Which} T @param {Block} block @param {T} which
 */
export function fit(block, which) {
  which.head = Math.min(which.head, block.heads - 1);
  which.scale = Math.min(which.scale, scaleCount(block) - 1);
  which.stream = Math.min(which.stream, block.streams.length - 1);
}

/** All maps of a layer for a query, see scaleCount. @param {Block} block @param {Query} query @returns {Maps} */
export function allMaps(block, query) {
  const scales = maps(block, query);
  if (scales.length === 1) return scales;
  const whole = block.missing ? scales[0] : Array.from({ length: block.heads }, (_, h) => effective(block, scales, h));
  return [...scales, whole]; // of a layer that is still on its way as empty as its first scale
}

/** @param {Block} block @param {Query} query @returns {Rows} */
export function rowsOf(block, query) {
  const window = windowOf(block, query);
  return { block, query, maps: allMaps(block, query), prefix: prefixShares(block, query), window };
}

/**
 * The values of a map that lie in a window of its grid.
 *
 * @param {Float32Array} values @param {number} W columns of the grid @param {Box | null} window
 */
function inWindow(values, W, window) {
  if (!window) return values;
  const [[top, bottom], [left, right]] = [window.rows, window.columns];
  const found = new Float32Array((bottom - top) * (right - left));
  for (let row = top; row < bottom; row++)
    found.set(values.subarray(row * W + left, row * W + right), (row - top) * (right - left));
  return found;
}

/**
 * One map as it is drawn: its values in units of the uniform map, which gives alike to all keys that the query sees,
 * those without a place among them; and their colour.
 *
 * @param {Rows} rows @param {Which} which
 * @param {boolean} [index] same − opposite in place of the map
 * @returns {Cell}
 */
export function cell({ block, maps, window }, { head, scale, stream }, index = false) {
  const all = maps[scale][head];
  const grid = scale < block.scales.length ? block.scales[scale].keys : block.grid;
  /** @param {string} role */
  const of = (role) => all[block.streams.findIndex((each) => each.role === role)];
  const values = index ? of("same").map((value, i) => value - of("opposite")[i]) : all[stream].slice();
  const keys = inWindow(values, grid.W, window).length + block.prefix.length;
  for (let i = 0; i < values.length; i++) values[i] *= keys;
  const { role } = block.streams[stream];
  const signed = index || block.finish === "product";
  const left = role === "opposite" && !signed;
  const ink = index || role === "opposite" ? SAME : INKS[role];
  const seen = inWindow(values, grid.W, window);
  return { ...grid, values, seen, window, sign: left ? -1 : 1, signed, ink };
}

/** A map with nothing but the keys that are seen, for where there is little room. @param {Cell} map @returns {Cell} */
export function zoomed(map) {
  if (!map.window) return map;
  const [H, W] = [map.window.rows, map.window.columns].map(([from, to]) => to - from);
  return { ...map, H, W, box: WHOLE, values: map.seen, window: null };
}

/** What tokens without a place get of one map's row, by token. @param {Rows} rows @param {Which} which */
export const prefixOf = ({ prefix }, { head, scale, stream }) => prefix[scale]?.[head][stream] ?? [];

/** The same in words. @param {Rows} rows @param {Which} which */
export const prefixText = (rows, which) =>
  prefixOf(rows, which)
    .map((share, i) => `${tokenName(rows.block.prefix[i])}: ${percent(share)}`)
    .join(", ");

/**
 * The entropy of a row, over all keys that the query sees; one with negative values has none: NaN.
 *
 * @param {Rows} rows @param {Which} which
 */
export function entropyOf(rows, which) {
  const { block, maps, window } = rows;
  if (block.finish === "product") return NaN;
  const placed = inWindow(maps[which.scale][which.head][which.stream], block.grid.W, window);
  const without = prefixOf(rows, which);
  return entropy(without.length ? [...placed, ...without] : placed);
}

/** The same for people. @param {Rows} rows @param {Which} which @param {number} places */
export function entropyText(rows, which, places) {
  const found = entropyOf(rows, which);
  return Number.isNaN(found) ? "–" : found.toFixed(places);
}

/** @param {number} share */
export const percent = (share) => `${(100 * share).toFixed(1)} %`;
