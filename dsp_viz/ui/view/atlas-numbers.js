// What the survey's numbers are called, how they are ordered, and where they lie on an axis. No page is needed.

import { minus } from "./numbers.js";

/**
 * @typedef {object} Layer
 * @property {string} name in words
 * @property {number} stage
 * @property {number} heads
 * @property {number[]} pooled tokens along a side of a key, of each scale
 * @property {string[]} streams
 * @property {string[]} roles
 */
/** @typedef {{ of: string, name: string, n: number }} Group pictures of a class, or of a group of classes */
/**
 * @typedef {object} Facts
 * @property {number} pictures
 * @property {number} count of them once the survey is done
 * @property {number} errors
 * @property {number} unlabelled
 * @property {boolean} shown whether the pictures' folder is known
 * @property {Group[]} classes
 * @property {Group[]} groups
 * @property {{ name: string, title: string, about: string }[]} quantities
 * @property {Layer[]} layers
 * @property {{ constant: number, class: number, enough: number }} bounds
 */
/** @typedef {(number | null)[]} Column null: there is no such number */
/**
 * @typedef {object} Numbers One quantity: columns of one length, an entry for each cell: a head, scale and stream.
 * @property {number[]} layer
 * @property {number[]} head
 * @property {number[]} scale
 * @property {number[]} stream
 * @property {Column} mean
 * @property {Column} std
 * @property {number[]} n
 * @property {Column} omega
 * @property {string[]} kind
 * @property {number[][]} counts pictures in equal parts of the range
 * @property {[number, number]} range
 * @property {{ scales: boolean, streams: boolean }} together which of them a cell is all of
 */
/** @typedef {{ d: Column, low: Column, high: Column, n: number[] }} Effects of a group, for each cell */
/** @typedef {{ by: string, down: boolean }} Order */

/** Three digits, or a dash. @param {number | null | undefined} value */
export function digits(value) {
  if (value == null) return "–";
  if (value === 0) return "0";
  const text = Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5 ? value.toExponential(1) : value.toPrecision(3);
  return minus(text);
}

/** @param {number} count */
export const many = (count) => count.toLocaleString("en");

/** A cell in words, its layer, head, scale and stream. @param {Facts} facts @param {Numbers} numbers @param {number} i */
export function cellName({ layers }, { layer, head, scale, stream, together }, i) {
  const { name, pooled, streams } = layers[layer[i]];
  const parts = [name, `head ${head[i] + 1}`];
  if (!together.scales && pooled.length > 1) parts.push(`${pooled[scale[i]]}×`);
  if (!together.streams && streams[stream[i]]) parts.push(streams[stream[i]]);
  return parts.join(", ");
}

/** What cells are, many of them. @param {Numbers} numbers */
export function cellsText({ scale, stream, together }) {
  const names = ["heads"];
  if (!together.scales && scale.some(Boolean)) names.push("scales");
  if (!together.streams && stream.some(Boolean)) names.push("streams");
  return new Intl.ListFormat("en-GB").format(names);
}

/** Role of what a cell is of, or "all". @param {Facts} facts @param {Numbers} numbers @param {number} i */
export const roleOf = ({ layers }, { layer, stream, together }, i) =>
  together.streams ? "all" : layers[layer[i]].roles[stream[i]];

/**
 * The cells in the order of a table; those without a number come last.
 *
 * @param {Numbers} numbers @param {Effects | null} effects @param {Order} order
 */
export function ordered(numbers, effects, { by, down }) {
  /** @type {Record<string, (i: number) => number | null>} */
  const values = {
    mean: (i) => numbers.mean[i],
    std: (i) => numbers.std[i],
    omega: (i) => numbers.omega[i],
    kind: (i) => ["constant", "by picture", "by class"].indexOf(numbers.kind[i]),
    effect: (i) => (effects?.d[i] == null ? null : Math.abs(effects.d[i])),
    place: (i) => -i,
  };
  const value = values[by];
  const all = numbers.n.map((_, i) => i);
  return all.toSorted((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return Number(x === null) - Number(y === null) || a - b;
    return (down ? y - x : x - y) || a - b;
  });
}

/**
 * The cell that is reached from another: along the layers, or by value.
 *
 * @param {Numbers} numbers @param {number} from @param {string} key
 * @returns {number | null} null where the key means nothing
 */
export function reached(numbers, from, key) {
  const order =
    key === "ArrowLeft" || key === "ArrowRight" ? null : ordered(numbers, null, { by: "mean", down: false });
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: 1, ArrowDown: -1 }[key];
  if (step === undefined) return null;
  const last = numbers.n.length - 1;
  const at = order ? order.indexOf(from) : from;
  const next = Math.min(last, Math.max(0, at + step));
  return order ? order[next] : next;
}

/**
 * Round numbers along an axis, some five of them.
 *
 * @param {number} low @param {number} high
 */
export function ticksOf(low, high) {
  if (!(high > low)) return [low];
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((n) => n * power >= rough) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** The range of an axis that shows means with a deviation to either side. @param {Numbers} numbers */
export function reachOf({ mean, std }) {
  const ends = mean.flatMap((m, i) => (m === null ? [] : [m - (std[i] ?? 0), m + (std[i] ?? 0)]));
  const [low, high] = ends.length ? [Math.min(...ends), Math.max(...ends)] : [0, 1];
  const more = high > low ? 0.04 * (high - low) : Math.abs(high) * 0.04 || 0.5;
  return { low: low >= 0 && low - more < 0 ? 0 : low - more, high: high + more };
}

/** Where cells stand side by side: of each the share of the width. @param {Facts} facts @param {Numbers} numbers */
export function placesOf({ layers }, { layer }) {
  const count = layers.map((_, index) => layer.filter((each) => each === index).length);
  const seen = layers.map(() => 0);
  return layer.map((index) => (index + 0.14 + (0.72 * (seen[index]++ + 0.5)) / count[index]) / layers.length);
}
