// What a head does, in a few numbers, and which other heads do the same: from the factors of its layer. Knows no page,
// and no attention by name. Formulas as in dsp_viz/heads.py. Work is done in steps, so that a page stays free between
// them.

import { entropy, sameShare } from "./maths.js";
import { dot, rowOf, shares, turned } from "./rows.js";

/** @typedef {import("./layer.js").Block} Block */
/** @typedef {import("./layer.js").Size} Size */
/** @typedef {import("./layer.js").Grid} Grid */

/**
 * @typedef {object} Numbers Of one head, scale and stream; NaN where maps may have negative entries.
 * @property {number} distance how far from itself a query looks, in longer sides of the picture, root mean square
 * @property {number} entropy of a row, the mean over `SAMPLED` queries at most
 * @property {number} received entropy of the average map
 * @property {number} own share that a query gives to the key at its own place
 * @property {number} prefix share that it gives to tokens without a place
 * @property {number} row @property {number} column centre of the average map, as shares of the picture
 * @property {number} same share of what features have in common that is same-signed; NaN without such streams
 */

/**
 * @typedef {object} Places Of the queries and keys of a scale.
 * @property {Float64Array[]} queries rows and columns of their middles, in longer sides
 * @property {Float64Array[]} keys what is summed over keys, prefix tokens first: 1, placed, row, column, their squares
 * @property {Int32Array} own the key at the place of each query
 * @property {import("./rows.js").Shares} asked how much all tokens ask of each query
 */

/** Queries at most whose rows give an entropy. */
export const SAMPLED = 16;
/** Queries at most whose rows tell how alike heads are. */
export const COMPARED = 32;

/** Height and width of the picture, the longer is 1, where tokens are square. @param {Grid} grid */
function sidesOf({ H, W, box }) {
  const sides = [H / (box[2] - box[0]), W / (box[3] - box[1])];
  return sides.map((side) => side / Math.max(...sides));
}

/** Middles of cells along an axis, of what lies between two ends. @param {number} n @param {number[]} span @param {number[]} ends */
function middles(n, [start, stop], ends) {
  /** @param {number} i */
  const edge = (i) => Math.min(Math.max(start + ((stop - start) * i) / n, ends[0]), ends[1]);
  return Array.from({ length: n }, (_, i) => (edge(i) + edge(i + 1)) / 2);
}

/** Its span along rows and along columns. @param {number[]} box */
const spans = ([top, left, bottom, right]) => [
  [top, bottom],
  [left, right],
];

/** Of each scale of a layer; the same for all heads. @type {WeakMap<Block, Places[]>} */
const known = new WeakMap();

/** @param {Block} block @returns {Places[]} */
function placesOf(block) {
  const found = known.get(block) ?? block.scales.map((_, s) => placesAt(block, s));
  known.set(block, found);
  return found;
}

/** @param {Block} block @param {number} s scale @returns {Places} */
function placesAt(block, s) {
  const { prefix, grid, scales } = block;
  const { queries, keys } = scales[s];
  const [sides, whole, first] = [sidesOf(grid), spans(grid.box), prefix.length];
  const asking = [queries.H, queries.W].map((n, axis) => middles(n, whole[axis], whole[axis]));
  const seen = [keys.H, keys.W].map((n, axis) => middles(n, spans(keys.box)[axis], whole[axis]));
  // The cell of the keys that the middle of a query lies in; on an edge the one behind it, whatever rounding made of it.
  const cells = [keys.H, keys.W].map((n, axis) => {
    const [start, stop] = spans(keys.box)[axis];
    return asking[axis].map((at) =>
      Math.min(Math.max(Math.floor(((at - start) / (stop - start)) * n + 1e-9), 0), n - 1),
    );
  });
  const count = queries.H * queries.W;
  /** @param {number} axis */
  const at = (axis) =>
    Float64Array.from({ length: count }, (_, i) => {
      return sides[axis] * asking[axis][axis ? i % queries.W : Math.floor(i / queries.W)];
    });
  const own = Int32Array.from({ length: count }, (_, i) => {
    return first + cells[0][Math.floor(i / queries.W)] * keys.W + cells[1][i % queries.W];
  });
  const sums = Array.from({ length: 5 }, () => new Float64Array(first + keys.H * keys.W));
  sums[0].fill(1);
  for (let j = 0; j < keys.H * keys.W; j++) {
    const [y, x] = [sides[0] * seen[0][Math.floor(j / keys.W)], sides[1] * seen[1][j % keys.W]];
    [1, y, x, y * y + x * x].forEach((value, m) => (sums[m + 1][first + j] = value));
  }
  return { queries: [at(0), at(1)], keys: sums, own, asked: allOf(shares(block, s, "all"), first, count) };
}

/** Of all queries in order, also such as nobody asks. @param {import("./rows.js").Shares} some @param {number} first @param {number} count */
function allOf(some, first, count) {
  const share = new Float64Array(count);
  some.at.forEach((at, i) => (share[at - first] += some.share[i]));
  return { at: Int32Array.from(share, (_, i) => first + i), share };
}

/** At most so many cells of a grid, spread evenly; all where there are no more. @param {Size} size @param {number} most */
export function lattice({ H, W }, most) {
  let down = Math.min(H, Math.floor(Math.sqrt(most)));
  const across = Math.min(W, Math.floor(most / down));
  down = Math.min(H, Math.floor(most / across));
  /** @param {number} count @param {number} n */
  const along = (count, n) => Array.from({ length: count }, (_, i) => Math.floor(((2 * i + 1) * n) / (2 * count)));
  return along(down, H).flatMap((row) => along(across, W).map((column) => row * W + column));
}

// Each loop meets arrays of one kind only: engines make slow code of one that meets several.

/** A row's sum, each entry times that of a channel. @param {Float64Array} channel @param {Float32Array} row */
function over(channel, row) {
  let sum = 0;
  for (let j = 0; j < row.length; j++) sum += channel[j] * row[j];
  return sum;
}

/** @param {Float32Array} row @param {Float32Array} other */
function product(row, other) {
  let sum = 0;
  for (let j = 0; j < row.length; j++) sum += row[j] * other[j];
  return sum;
}

/** One query alone. @param {number} at */
const only = (at) => ({ at: Int32Array.of(at), share: Float64Array.of(1) });

/** Means over queries that have a row: how far, and the shares. */
class Means {
  constructor() {
    this.square = this.placed = this.own = this.prefix = this.rows = 0;
  }

  /**
   * @param {number} share of the query @param {number[]} sums over its row, see `Places`
   * @param {number} own its entry at its own place @param {number} y @param {number} x
   */
  add(share, [total, placed, down, across, square], own, y, x) {
    if (placed > 0) {
      this.square += (share * (square - 2 * (y * down + x * across) + (y * y + x * x) * placed)) / placed;
      this.placed += share;
    }
    if (!(total > 0)) return;
    this.own += (share * own) / total;
    this.prefix += (share * (total - placed)) / total;
    this.rows += share;
  }

  /** Where no query has a row, there are none: NaN. */
  told() {
    const distance = Math.sqrt(Math.max(0, this.square / this.placed)); // rounding may leave a little less than 0
    return { distance, own: this.own / this.rows, prefix: this.prefix / this.rows };
  }
}

/**
 * @param {Block} block @param {number} s @param {number} head @param {number} t
 * @returns {Generator<void, Means>}
 */
function* linearMeans(block, s, head, t) {
  const { width, left, right, mean } = block.scales[s];
  const { queries, keys, own, asked } = placesOf(block)[s];
  const count = right.length / mean.length;
  const from = (left.length / mean.length) * head; // of the head's queries
  // Linear in the keys: these are summed first, and turned back in place of each query.
  const sums = keys.map((channel) => {
    const sum = new Float64Array(width);
    for (let j = 0, at = head * count * width; j < count; j++)
      for (let c = 0; c < width; c++, at++) sum[c] += channel[j] * right[at];
    return turned(sum, 0, width, width - block.streams[t].turn);
  });
  yield;
  const means = new Means();
  const row = new Float64Array(width);
  for (let i = 0; i < own.length; i++) {
    const at = (from + asked.at[i]) * width;
    for (let c = 0; c < width; c++) row[c] = left[at + ((c + block.streams[t].turn) % width)];
    const entry = dot(row, right, (head * count + own[i]) * width);
    const whole = sums.map((sum) => dot(sum, left, at));
    means.add(asked.share[i], whole, entry, queries[0][i], queries[1][i]);
  }
  return means;
}

/**
 * @param {Block} block @param {number} s @param {number} head @param {number} t
 * @returns {Generator<void, Means>}
 */
function* softmaxMeans(block, s, head, t) {
  const { queries, keys, own, asked } = placesOf(block)[s];
  const means = new Means();
  for (let i = 0; i < own.length; i++) {
    const row = rowOf(block, s, head, t, only(asked.at[i]));
    const sums = keys.map((channel) => over(channel, row));
    means.add(asked.share[i], sums, row[own[i]], queries[0][i], queries[1][i]);
    yield;
  }
  return means;
}

/** @param {Block} block @param {number} s @param {number} head */
function isSigned({ finish, heads, scales }, s, head) {
  /** @param {Float32Array} factor */
  const negative = (factor) => factor.subarray((factor.length / heads) * head, (factor.length / heads) * (head + 1));
  return finish === "product" && [scales[s].left, scales[s].right].some((f) => negative(f).some((value) => value < 0));
}

/** @param {Block} block */
const hasRoles = ({ finish, streams }) =>
  finish === "ratio" && ["same", "opposite"].every((role) => streams.some((stream) => stream.role === role));

/**
 * @param {Block} block @param {number} s @param {number} head @param {number} t
 * @returns {Generator<void, Numbers>}
 */
function* numbersAt(block, s, head, t) {
  const same = hasRoles(block) ? sameShare(block, s, head, "all") : NaN;
  if (isSigned(block, s, head)) {
    const none = { distance: NaN, entropy: NaN, received: NaN, own: NaN, prefix: NaN, row: NaN, column: NaN };
    return { ...none, same };
  }
  const scale = block.scales[s];
  const [first, { keys, asked }] = [block.prefix.length, placesOf(block)[s]];
  const softmax = block.finish === "softmax";
  const means = yield* softmax ? softmaxMeans(block, s, head, t) : linearMeans(block, s, head, t);
  const length = keys[0].length;
  const at = (t * block.heads + head) * length;
  const average = scale.average?.subarray(at, at + length) ?? rowOf(block, s, head, t, asked);
  const [, placed, down, across] = keys.map((channel) => over(channel, average));
  const sides = sidesOf(block.grid);
  yield;
  const sampled = lattice(scale.queries, SAMPLED);
  let total = 0;
  for (const query of sampled) {
    total += entropy(rowOf(block, s, head, t, only(first + query)).subarray(first));
    yield;
  }
  return {
    ...means.told(),
    entropy: total / sampled.length,
    received: entropy(average.subarray(first)),
    row: down / placed / sides[0],
    column: across / placed / sides[1],
    same,
  };
}

/**
 * The numbers of a head, [scale][stream].
 *
 * @param {Block} block @param {number} head
 * @returns {Generator<void, Numbers[][]>}
 */
export const numbersOf = function* (block, head) {
  const found = [];
  for (let s = 0; s < block.scales.length; s++) {
    const streams = [];
    for (let t = 0; t < block.streams.length; t++) streams.push(yield* numbersAt(block, s, head, t));
    found.push(streams);
  }
  return found;
};

/**
 * What the numbers of a scale would be if all keys were alike.
 *
 * @param {Block} block @param {number} s
 */
export function uniformOf(block, s) {
  const { queries, keys, asked } = placesOf(block)[s];
  const means = new Means();
  const sums = keys.map((channel) => channel.reduce((all, value) => all + value, 0));
  asked.share.forEach((share, i) => means.add(share, sums, 1, queries[0][i], queries[1][i]));
  return { ...means.told(), entropy: 1, received: 1 };
}

/**
 * How alike the maps of all heads are, [head][head]: the correlation of their entries over `COMPARED` queries of the
 * finest scale, each row less its mean, all streams together.
 *
 * @param {Block} block
 * @returns {Generator<void, number[][]>}
 */
export const alike = function* (block) {
  const { heads, streams, prefix } = block;
  const products = Array.from({ length: heads }, () => new Float64Array(heads));
  for (const query of lattice(block.scales[0].queries, COMPARED))
    for (let t = 0; t < streams.length; t++) {
      const asked = only(prefix.length + query);
      const all = products.map((_, head) => centred(rowOf(block, 0, head, t, asked).subarray(prefix.length)));
      products.forEach((sums, a) => {
        for (let b = 0; b <= a; b++) sums[b] += product(all[a], all[b]);
      });
      yield;
    }
  /** @param {number} a @param {number} b */
  const of = (a, b) => products[Math.max(a, b)][Math.min(a, b)] / Math.sqrt(products[a][a] * products[b][b]);
  return products.map((sums, a) => Array.from(sums, (_, b) => of(a, b)));
};

/** Takes away its mean. @param {Float32Array} row */
function centred(row) {
  let sum = 0;
  for (let j = 0; j < row.length; j++) sum += row[j];
  for (let j = 0; j < row.length; j++) row[j] -= sum / row.length;
  return row;
}
