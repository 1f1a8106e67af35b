// Maps as they are shown: their names, and one of them in units of the uniform map.

import { effective, entropy, maps } from "./maths.js";
import { OPPOSITE, ONLY, SAME } from "./colours.js";

/** @typedef {import("./layer.js").Block} Block */
/** @typedef {import("./maths.js").Maps} Maps */
/** @typedef {import("./maths.js").Query} Query */
/** @typedef {import("./colours.js").Cell} Cell */
/** @typedef {{ head: number, scale: number, stream: number }} Which One map of a layer. */

const INKS = { same: SAME, opposite: OPPOSITE, only: ONLY };
const WHOLE = [0, 0, 1, 1];

/** Whether the streams are two of a kind, whose difference is an index. @param {Block} block */
export function hasIndex({ finish, streams }) {
  const roles = streams.map(({ role }) => role);
  return finish === "ratio" && roles.includes("same") && roles.includes("opposite");
}

/** A layer with several scales has a last one: its effective map. @param {Block} block */
export const scaleCount = ({ scales }) => scales.length + (scales.length > 1 ? 1 : 0);

/** @param {Block} block @param {number} scale */
export const scaleName = ({ scales }, scale) => (scale < scales.length ? `${scales[scale].pooled}×` : "layer");

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
  return [...scales, Array.from({ length: block.heads }, (_, h) => effective(block, scales, h))];
}

/**
 * One map as it is drawn: its values in units of the uniform map, and their colour.
 *
 * @param {Block} block @param {Maps} maps @param {Which} which
 * @param {boolean} [index] same − opposite in place of the map
 * @returns {Cell}
 */
export function cell(block, maps, { head, scale, stream }, index = false) {
  const all = maps[scale][head];
  const grid = scale < block.scales.length ? block.scales[scale].keys : { ...block.grid, box: WHOLE };
  /** @param {string} role */
  const of = (role) => all[block.streams.findIndex((each) => each.role === role)];
  const values = index ? of("same").map((value, i) => value - of("opposite")[i]) : all[stream].slice();
  for (let i = 0; i < values.length; i++) values[i] *= values.length;
  const { role } = block.streams[stream];
  const signed = index || block.finish === "product";
  const left = role === "opposite" && !signed;
  return { ...grid, values, sign: left ? -1 : 1, signed, ink: index || role === "opposite" ? SAME : INKS[role] };
}

/**
 * The entropy of a map for people; one with negative values has none.
 *
 * @param {Block} block @param {ArrayLike<number>} map @param {number} places
 */
export function entropyText({ finish }, map, places) {
  return finish === "product" ? "–" : entropy(map).toFixed(places);
}
