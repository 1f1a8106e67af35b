// The arithmetic of the views: rows of one layer → maps, on the grids they have, and numbers about them. Knows no page,
// and no attention by name. Formulas as in dsp_viz/maps.py. A map is a Float32Array, row-major.

import { boxOf, common, rows, shares } from "./rows.js";

/** @typedef {import("./layer.js").Block} Block */
/** @typedef {import("./layer.js").Scale} Scale */
/** @typedef {import("./rows.js").Box} Box */
/** @typedef {import("./rows.js").Place} Place */
/** @typedef {import("./rows.js").Query} Query */
/** @typedef {[at: number, share: number][]} Spread What of a key belongs to which token. */
/** @typedef {Float32Array[][][]} Maps [scale][head][stream] */

/**
 * All maps of a layer for a query. Keys that it does not see have 0.
 *
 * @param {Block} block @param {Query} query
 * @returns {Maps}
 */
export function maps(block, query) {
  const first = block.prefix.length;
  return rows(block, query).map((heads) => heads.map((streams) => streams.map((row) => row.subarray(first))));
}

/**
 * What each prefix token gets of a query's rows, which is in no map: [scale][head][stream][prefix token].
 *
 * @param {Block} block @param {Query} query
 * @returns {number[][][][]}
 */
export function prefixShares(block, query) {
  const none = block.scales.map(() => Array.from({ length: block.heads }, () => block.streams.map(() => [])));
  const count = block.prefix.length;
  if (!count) return none;
  return rows(block, query).map((heads) => heads.map((streams) => streams.map((row) => [...row.subarray(0, count)])));
}

/**
 * The tokens that a place of the layer's grid sees, where it does not see all.
 *
 * @param {Block} block @param {Query} query
 * @returns {Box | null}
 */
export function windowOf({ grid, scales }, query) {
  const { window } = scales[0];
  if (!window || typeof query === "string") return null;
  const box = boxOf(window, grid, query);
  const all = [box.rows, box.columns].every(([from, to], axis) => from === 0 && to === [grid.H, grid.W][axis]);
  return all ? null : box;
}

/**
 * Share of what a query's features and those of all keys have in common that is same-signed: ½ if there is nothing.
 *
 * @param {Block} block of the rule `ratio`, with streams of both roles
 * @param {number} s scale @param {number} head @param {Query} query
 */
export function sameShare(block, s, head, query) {
  const scale = block.scales[s];
  const [same, opposite] = ["same", "opposite"].map((role) =>
    common(scale, head, block.streams.find((stream) => stream.role === role)?.turn ?? 0),
  );
  const { at, share } = shares(block, s, query);
  let total = 0;
  for (let i = 0; i < at.length; i++) {
    const [mine, other] = [same(at[i]), opposite(at[i])];
    total += share[i] * (mine + other > 0 ? mine / (mine + other) : 0.5);
  }
  return total;
}

/**
 * How keys along one axis are divided among tokens, in proportion to what they cover of each.
 *
 * @param {number} keys @param {number} low @param {number} high their edges, as shares of the picture
 * @param {number} tokens
 * @returns {Spread[]} of each key; empty where it lies beyond the picture
 */
export function spread(keys, low, high, tokens) {
  return Array.from({ length: keys }, (_, i) => {
    const [from, to] = [i, i + 1].map((edge) => (low + ((high - low) * edge) / keys) * tokens);
    /** @type {Spread} */
    const covered = [];
    let all = 0;
    for (let t = Math.max(0, Math.floor(from)); t < Math.min(tokens, Math.ceil(to)); t++) {
      const part = Math.min(to, t + 1) - Math.max(from, t);
      if (part < 1e-6) continue; // edges are rounded
      covered.push([t, part]);
      all += part;
    }
    return covered.map(([t, part]) => [t, part / all]);
  });
}

/** Of each key grid how it spreads over its layer's: the same for every head, stream and query. */
const spreads = new WeakMap();

/** @param {Scale["keys"]} keys @param {Scale["keys"]} grid @returns {{ rows: Spread[], columns: Spread[] }} */
function spreadOf(keys, grid) {
  const known = spreads.get(keys);
  if (known?.grid === grid) return known;
  // The keys' edges as shares of the grid, which may reach beyond the picture itself.
  const [top, left, bottom, right] = keys.box.map((edge, i) => {
    const [low, high] = [grid.box[i % 2], grid.box[(i % 2) + 2]];
    return (edge - low) / (high - low);
  });
  const found = { grid, rows: spread(keys.H, top, bottom, grid.H), columns: spread(keys.W, left, right, grid.W) };
  spreads.set(keys, found);
  return found;
}

/**
 * Adds a map, spread over `total`, `weight` times.
 *
 * @param {Float32Array} total on the grid @param {Scale["keys"]} grid @param {number} weight
 * @param {ArrayLike<number>} map @param {Scale["keys"]} keys
 */
function addSpread(total, grid, weight, map, keys) {
  const { H, W } = grid;
  if (keys.H === H && keys.W === W && keys.box.every((edge, i) => edge === grid.box[i])) {
    for (let i = 0; i < total.length; i++) total[i] += weight * map[i];
    return;
  }
  const { rows, columns } = spreadOf(keys, grid);
  for (let R = 0; R < keys.H; R++)
    for (let C = 0; C < keys.W; C++) {
      const value = weight * map[R * keys.W + C];
      const [down, across] = [rows[R], columns[C]];
      for (let i = 0; i < down.length; i++)
        for (let j = 0; j < across.length; j++)
          total[down[i][0] * W + across[j][0]] += value * down[i][1] * across[j][1];
    }
}

/**
 * Effective map of a layer in one head, on the layer's grid: Σ_s w_s c_s A_s, each key's share spread over the tokens
 * that it covers. One map a stream.
 *
 * @param {Pick<Block, "grid" | "weights" | "coefficients"> & { scales: Pick<Scale, "keys">[] }} block
 * @param {ArrayLike<number>[][][]} all @param {number} head
 */
export function effective({ grid, weights, coefficients, scales }, all, head) {
  return all[0][head].map((_, stream) => {
    const total = new Float32Array(grid.H * grid.W);
    scales.forEach(({ keys }, s) =>
      addSpread(total, grid, weights[head][s] * coefficients[head][s][stream], all[s][head][stream], keys),
    );
    return total;
  });
}

/**
 * Entropy divided by that of the uniform map: 0 one key, 1 all alike.
 *
 * @param {ArrayLike<number>} map of no negative value
 */
export function entropy(map) {
  if (map.length < 2) return 1;
  let total = 0;
  for (let i = 0; i < map.length; i++) total += map[i];
  if (!(total > 0)) return 1;
  let nats = 0;
  for (let i = 0; i < map.length; i++) if (map[i] > 0) nats -= (map[i] / total) * Math.log(map[i] / total);
  return nats / Math.log(map.length);
}

/**
 * The value below which a share of the area lies, to 1/2048 of the largest; a map counts alike whatever its grid.
 *
 * @param {ArrayLike<number>[]} arrays @param {number} share
 */
export function quantile(arrays, share) {
  const bins = 2048;
  const counts = new Float64Array(bins);
  let top = 0;
  for (const a of arrays) for (let i = 0; i < a.length; i++) if (a[i] > top) top = a[i];
  if (!(top > 0)) return 0;
  for (const a of arrays)
    for (let i = 0; i < a.length; i++)
      counts[Math.min(bins - 1, Math.floor((Math.max(a[i], 0) / top) * bins))] += 1 / a.length;
  for (let i = 0, sum = 0; i < bins; i++)
    if ((sum += counts[i]) >= share * arrays.length) return ((i + 1) / bins) * top;
  return top;
}
