// The arithmetic of the views: the factors of one layer → any row of any map. Knows no page, and no attention by name.
// Formulas as in dsp_viz/maps.py. A map is a Float32Array, row-major.

/** @typedef {import("./layer.js").Block} Block */
/** @typedef {import("./layer.js").Finish} Finish */
/** @typedef {import("./layer.js").Scale} Scale */
/** @typedef {import("./layer.js").Stream} Stream */
/** @typedef {[row: number, column: number]} Place From 0. */
/** @typedef {Place | "all"} Query A place on the layer's grid, or the average over all of them. */
/** @typedef {[at: number, share: number][]} Shares What is taken of which position. */
/** @typedef {Float32Array[][][]} Maps [scale][head][stream] */

/**
 * Linear interpolation with half-pixel centres: which coarse positions a fine one reads.
 *
 * @param {number} coarse @param {number} fine @param {number} at
 * @returns {Shares}
 */
function taps(coarse, fine, at) {
  const x = Math.min(Math.max(((at + 0.5) * coarse) / fine - 0.5, 0), coarse - 1);
  const low = Math.floor(x);
  const high = Math.min(low + 1, coarse - 1);
  if (high === low || x === low) return [[low, 1]];
  return [
    [low, 1 - (x - low)],
    [high, x - low],
  ];
}

/**
 * How much of each query of a scale a token of the layer asks; shares add up to 1.
 *
 * @param {Pick<Block, "grid"> & { scales: Pick<Scale, "queries">[] }} block @param {number} scale @param {Query} query
 * @returns {Shares}
 */
export function shares({ grid, scales }, scale, query) {
  const { H, W } = scales[scale].queries;
  if (query !== "all") {
    const columns = taps(W, grid.W, query[1]);
    return taps(H, grid.H, query[0]).flatMap(([r, a]) =>
      columns.map(([c, b]) => /** @type {Place} */ ([r * W + c, a * b])),
    );
  }
  /** @param {number} coarse @param {number} fine */
  const along = (coarse, fine) => {
    const total = new Float64Array(coarse);
    for (let i = 0; i < fine; i++) for (const [at, share] of taps(coarse, fine, i)) total[at] += share / fine;
    return total;
  };
  const [rows, columns] = [along(H, grid.H), along(W, grid.W)];
  return Array.from({ length: H * W }, (_, i) => [i, rows[Math.floor(i / W)] * columns[i % W]]);
}

/**
 * `left` of one query, turned for a stream, times a vector.
 *
 * @param {Scale} scale @param {number} head @param {number} query @param {number} turn
 * @param {Float32Array | Float64Array} vector @param {number} from where in it the other factor begins
 */
function dot({ queries, width, left }, head, query, turn, vector, from) {
  const at = (head * queries.H * queries.W + query) * width;
  let sum = 0;
  for (let c = 0; c < width; c++) sum += left[at + ((c + turn) % width)] * vector[from + c];
  return sum;
}

/**
 * Row of one head and stream under the rules `ratio` and `product`, which are linear in `left`: one vector asks.
 *
 * @param {Scale} scale @param {Finish} finish @param {number} head @param {number} turn @param {Shares} asked
 */
function linearRow(scale, finish, head, turn, asked) {
  const { queries, keys, width, left, right, mean, epsilon } = scale;
  const N = keys.H * keys.W;
  const vector = new Float64Array(width);
  for (const [query, share] of asked) {
    const normaliser = finish === "ratio" ? N * (epsilon[head] + dot(scale, head, query, turn, mean, head * width)) : 1;
    const at = (head * queries.H * queries.W + query) * width;
    for (let c = 0; c < width; c++) vector[c] += (share / normaliser) * left[at + ((c + turn) % width)];
  }
  const row = new Float32Array(N);
  for (let j = 0, at = head * N * width; j < N; j++) {
    let sum = 0;
    for (let c = 0; c < width; c++) sum += vector[c] * right[at++];
    row[j] = sum;
  }
  return row;
}

/** @param {Scale} scale @param {number} head @param {number} turn @param {Shares} asked */
function softmaxRow(scale, head, turn, asked) {
  const { keys, width, right } = scale;
  const N = keys.H * keys.W;
  const total = new Float32Array(N);
  const scores = new Float64Array(N);
  for (const [query, share] of asked) {
    let top = -Infinity;
    for (let j = 0; j < N; j++) {
      scores[j] = dot(scale, head, query, turn, right, (head * N + j) * width);
      top = Math.max(top, scores[j]);
    }
    let sum = 0;
    for (let j = 0; j < N; j++) sum += scores[j] = Math.exp(scores[j] - top);
    for (let j = 0; j < N; j++) total[j] += (share * scores[j]) / sum;
  }
  return total;
}

/**
 * All maps of a layer for a query.
 *
 * @param {Block} block @param {Query} query
 * @returns {Maps}
 */
export function maps(block, query) {
  return block.scales.map((scale, s) => {
    const { average, keys } = scale;
    const N = keys.H * keys.W;
    const asked = average && query === "all" ? [] : shares(block, s, query);
    /** @param {number} h @param {Stream} stream @param {number} t */
    const row = (h, { turn }, t) => {
      if (block.finish !== "softmax") return linearRow(scale, block.finish, h, turn, asked);
      const at = (t * block.heads + h) * N;
      return average && query === "all" ? average.slice(at, at + N) : softmaxRow(scale, h, turn, asked);
    };
    return Array.from({ length: block.heads }, (_, h) => block.streams.map((stream, t) => row(h, stream, t)));
  });
}

/**
 * Share of what a query's features and those of all keys have in common that is same-signed: ½ if there is nothing.
 *
 * @param {Block} block of the rule `ratio`, with streams of both roles
 * @param {number} s scale @param {number} head @param {Query} query
 */
export function sameShare(block, s, head, query) {
  const scale = block.scales[s];
  const turns = ["same", "opposite"].map((role) => block.streams.find((stream) => stream.role === role)?.turn ?? 0);
  let total = 0;
  for (const [at, share] of shares(block, s, query)) {
    const [same, opposite] = turns.map((turn) => dot(scale, head, at, turn, scale.mean, head * scale.width));
    total += share * (same + opposite > 0 ? same / (same + opposite) : 0.5);
  }
  return total;
}

/**
 * How keys along one axis are divided among tokens, in proportion to what they cover of each.
 *
 * @param {number} keys @param {number} low @param {number} high their edges, as shares of the picture
 * @param {number} tokens
 * @returns {Shares[]} of each key; empty where it lies beyond the picture
 */
export function spread(keys, low, high, tokens) {
  return Array.from({ length: keys }, (_, i) => {
    const [from, to] = [i, i + 1].map((edge) => (low + ((high - low) * edge) / keys) * tokens);
    /** @type {Shares} */
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

/** @param {Scale["keys"]} keys @param {number} H @param {number} W @returns {{ rows: Shares[], columns: Shares[] }} */
function spreadOf(keys, H, W) {
  const known = spreads.get(keys);
  if (known?.H === H && known.W === W) return known;
  const [top, left, bottom, right] = keys.box;
  const found = { H, W, rows: spread(keys.H, top, bottom, H), columns: spread(keys.W, left, right, W) };
  spreads.set(keys, found);
  return found;
}

/**
 * Adds a map, spread over `total`, `weight` times.
 *
 * @param {Float32Array} total on a grid of H×W @param {number} H @param {number} W @param {number} weight
 * @param {ArrayLike<number>} map @param {Scale["keys"]} keys
 */
function addSpread(total, H, W, weight, map, keys) {
  if (keys.H === H && keys.W === W && keys.box.every((edge, i) => edge === (i < 2 ? 0 : 1))) {
    for (let i = 0; i < total.length; i++) total[i] += weight * map[i];
    return;
  }
  const { rows, columns } = spreadOf(keys, H, W);
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
export function effective({ grid: { H, W }, weights, coefficients, scales }, all, head) {
  return all[0][head].map((_, stream) => {
    const total = new Float32Array(H * W);
    scales.forEach(({ keys }, s) =>
      addSpread(total, H, W, weights[head][s] * coefficients[head][s][stream], all[s][head][stream], keys),
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
