// The one law from value to colour, for maps on the screen and on paper and for the bars beside them: the colour says
// which stream (or sign), and its opacity is the value's share of the end of the scale. A map over a picture is painted
// with a further opacity, and so is its bar.

import { quantile } from "./maths.js";

/** @typedef {[red: number, green: number, blue: number]} Ink */

/**
 * @typedef {import("./layer.js").Grid & Tone & {
 *   values: Float32Array, seen: Float32Array, window: import("./rows.js").Box | null,
 * }} Cell
 *   One map as it is drawn: its keys, their values in units of the uniform map, and their colour; the window of those
 *   that the query sees, where it does not see all, and their values.
 */

/**
 * @typedef {object} Tone
 * @property {number} sign 1, or −1 where larger values are drawn to the left
 * @property {boolean} signed whether there may be negative values
 * @property {Ink} ink of positive values
 */

/** @typedef {Tone & { values: ArrayLike<number> }} Toned */
/** @typedef {{ at: number, text: string }} Tick */

/**
 * @typedef {object} ColourScale From `low`, −1 or 0, to 1, in units of its end.
 * @property {number} low
 * @property {Ink} ink
 * @property {Tick[]} ticks
 * @property {string} text
 */

/** @type {Ink} */
export const SAME = [15, 138, 128];
/** @type {Ink} */
export const OPPOSITE = [217, 108, 20];
/** @type {Ink} */
export const ONLY = [92, 86, 178];

const FIXED = 8; // × uniform
const QUANTILE = 0.995; // one outstanding key would otherwise bleach all others

/** @param {number} value @param {Ink} ink */
export const inkOf = (value, ink) => (value < 0 ? OPPOSITE : ink);
/** @param {number} value @param {number} top */
export const shareOf = (value, top) => Math.min(1, Math.abs(value) / top);
/** @param {Ink} ink @param {number} opacity */
export const rgba = (ink, opacity) => `rgba(${ink.join()},${opacity})`;

/**
 * End of the colour scale of some maps that share it.
 *
 * @param {{ seen: Float32Array }[]} cells @param {string} [colours] "fixed" for the one that depends on no map
 */
export function limit(cells, colours) {
  if (colours === "fixed") return FIXED;
  const sizes = cells.map(({ seen }) => seen.map(Math.abs));
  return Math.max(1, quantile(sizes, QUANTILE));
}

/**
 * A colour scale, as it is drawn and told. A side is there if the maps use it, and marked where a value lies beyond its
 * end.
 *
 * @param {Toned[]} cells @param {number} top
 * @returns {ColourScale}
 */
export function scaleOf(cells, top) {
  const reach = [0, 0]; // largest value of each side
  for (const { values, sign } of cells)
    for (let i = 0; i < values.length; i++) {
      const side = sign * values[i] < 0 ? 0 : 1;
      reach[side] = Math.max(reach[side], Math.abs(values[i]));
    }
  const signed = cells.some((c) => c.signed);
  const both = signed || new Set(cells.map(({ sign }) => sign)).size > 1;
  const alone = both ? 1 : cells[0].sign; // one side is drawn to the right, whichever it is
  const minus = signed ? "−" : ""; // the opposite-signed stream is drawn to the left, yet it is positive
  /** @param {number} at */
  const words = (at) => {
    if (at === 0) return "0";
    const beyond = Math.abs(at) === 1 && reach[at * alone < 0 ? 0 : 1] > top * 1.0005;
    const number = `${at < 0 ? minus : ""}${digits(Math.abs(at) * top)}`;
    return beyond ? `${at < 0 && signed ? "≤" : "≥"} ${number}` : number;
  };
  const low = both ? -1 : 0;
  const ticks = [-1, -0.5, 0, 0.5, 1].filter((at) => at >= low).map((at) => ({ at, text: words(at) }));
  return { low, ink: alone < 0 ? OPPOSITE : cells[0].ink, ticks, text: `${words(low)} to ${words(1)}` };
}

/** The scale of maps that have each an end of its own. @param {Toned[]} cells @returns {ColourScale} */
export function ownScale(cells) {
  const scale = scaleOf(cells, 1);
  const whole = scale.ticks.filter(({ at }) => Number.isInteger(at));
  const ticks = whole.map(({ at }) => ({ at, text: at ? "its own end" : "0" }));
  return { ...scale, ticks, text: "each map from 0 to its own end" };
}

/** Three of them. @param {number} value */
function digits(value) {
  return String(Number(value.toPrecision(3)));
}

/** Where on its bar, from 0 to 1, a value of a scale lies. @param {ColourScale} scale @param {number} at */
export const placeOn = ({ low }, at) => (at - low) / (1 - low);

/**
 * A scale's colours along its bar; between two of them opacity is linear.
 *
 * @param {ColourScale} scale @param {number} opacity
 * @returns {[place: number, ink: Ink, opacity: number][]}
 */
export function stopsOf(scale, opacity) {
  const zero = placeOn(scale, 0);
  /** @type {[number, Ink, number][]} */
  const left = [
    [0, OPPOSITE, opacity],
    [zero, OPPOSITE, 0],
  ];
  return [...(scale.low ? left : []), [zero, scale.ink, 0], [1, scale.ink, opacity]];
}

/** A scale with fewer ticks, for a narrow bar on which all would run into each other. @param {ColourScale} scale */
export const sparse = (scale) => ({ ...scale, ticks: scale.ticks.filter(({ at }) => Number.isInteger(at)) });
