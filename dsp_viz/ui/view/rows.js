// Rows of maps from the factors of a layer: the arithmetic of the three rules, as in dsp_viz/rows.py. Knows no page,
// and no attention by name. A row is a Float32Array over all keys: prefix tokens first, then a grid, row-major.

/** @typedef {import("./layer.js").Block} Block */
/** @typedef {import("./layer.js").Finish} Finish */
/** @typedef {import("./layer.js").Scale} Scale */
/** @typedef {[row: number, column: number]} Place From 0. */
/** @typedef {Place | "all" | string} Query A place on the layer's grid, the average of these, or a prefix token's name. */
/** @typedef {{ at: Int32Array, share: Float64Array }} Shares How much is asked of which query. */
/** @typedef {{ rows: [number, number], columns: [number, number] }} Box From, and to before which; in tokens. */

/**
 * Linear interpolation with half-pixel centres: which coarse positions a fine one reads, and how much of each.
 *
 * @param {number} coarse @param {number} fine @param {number} at
 * @returns {[at: number, share: number][]}
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

/** The mean of all positions of a fine axis. @param {number} coarse @param {number} fine */
function meanTaps(coarse, fine) {
  const total = new Float64Array(coarse);
  for (let i = 0; i < fine; i++) for (const [at, share] of taps(coarse, fine, i)) total[at] += share / fine;
  return Array.from(total, (share, at) => /** @type {[number, number]} */ ([at, share]));
}

/**
 * How much of each query of a scale is asked; shares add up to 1.
 *
 * @param {Pick<Block, "grid" | "prefix"> & { scales: Pick<Scale, "queries">[] }} block @param {number} scale
 * @param {Query} query
 * @returns {Shares}
 */
export function shares({ grid, prefix, scales }, scale, query) {
  const { H, W } = scales[scale].queries;
  const named = typeof query === "string" ? prefix.indexOf(query) : -1;
  if (named >= 0) return { at: Int32Array.of(named), share: Float64Array.of(1) };
  if (typeof query === "string" && query !== "all") throw new Error(`This layer has no ${query}.`);
  const [rows, columns] =
    typeof query === "string"
      ? [meanTaps(H, grid.H), meanTaps(W, grid.W)]
      : [taps(H, grid.H, query[0]), taps(W, grid.W, query[1])];
  const at = new Int32Array(rows.length * columns.length);
  const share = new Float64Array(at.length);
  rows.forEach(([r, a], i) =>
    columns.forEach(([c, b], j) => {
      at[i * columns.length + j] = prefix.length + r * W + c;
      share[i * columns.length + j] = a * b;
    }),
  );
  return { at, share };
}

/**
 * A part of an array that begins so many places later, and goes round.
 *
 * @param {Float32Array | Float64Array} values @param {number} from @param {number} width @param {number} turn
 */
export function turned(values, from, width, turn) {
  const result = new Float64Array(width);
  for (let c = 0; c < width; c++) result[c] = values[from + ((c + turn) % width)];
  return result;
}

/**
 * @param {ArrayLike<number>} vector
 * @param {Float32Array} factors @param {number} from where in them the other one begins
 */
export function dot(vector, factors, from) {
  let sum = 0;
  for (let c = 0; c < vector.length; c++) sum += vector[c] * factors[from + c];
  return sum;
}

/**
 * What the features of a query and of the keys have in common, the mean over all keys, in stored units.
 *
 * @param {Scale} scale @param {number} head @param {number} turn of the stream
 * @returns {(query: number) => number}
 */
export function common({ width, left, mean }, head, turn) {
  const keys = turned(mean, head * width, width, width - turn); // in place of turning each query
  const queries = left.length / mean.length;
  return (query) => dot(keys, left, (head * queries + query) * width);
}

/**
 * Row of one head and stream under the rules `ratio` and `product`, which are linear in `left`: one vector asks.
 *
 * @param {Scale} scale @param {Finish} finish @param {number} head @param {number} turn @param {Shares} asked
 */
function linearRow(scale, finish, head, turn, { at, share }) {
  const { width, left, right, mean, epsilon } = scale;
  const [queries, keys] = [left.length / mean.length, right.length / mean.length];
  const normaliser = common(scale, head, turn);
  const total = new Float64Array(width);
  for (let i = 0; i < at.length; i++) {
    const part = finish === "ratio" ? share[i] / (keys * (epsilon[head] + normaliser(at[i]))) : share[i];
    const from = (head * queries + at[i]) * width;
    for (let c = 0; c < width; c++) total[c] += part * left[from + c];
  }
  const vector = turned(total, 0, width, turn);
  const row = new Float32Array(keys);
  for (let j = 0, from = head * keys * width; j < keys; j++, from += width) row[j] = dot(vector, right, from);
  return row;
}

/** @param {number} at @param {number} n @param {number} size @param {number} shift @returns {[number, number]} */
function run(at, n, size, shift) {
  const second = shift || size; // where the second run begins
  if (at < second) return [0, Math.min(second, n)];
  const from = second + Math.floor((at - second) / size) * size;
  return [from, Math.min(from + size, n)];
}

/**
 * The tokens that a token sees where there are windows: those of its own that came around the same edges.
 *
 * @param {NonNullable<Scale["window"]>} window @param {import("./layer.js").Size} grid @param {Place} place
 * @returns {Box}
 */
export function boxOf({ size, shift }, { H, W }, [row, column]) {
  return { rows: run(row, H, size[0], shift[0]), columns: run(column, W, size[1], shift[1]) };
}

/**
 * The keys that a query sees, and what is added to its scores with them; null: all, and nothing.
 *
 * @param {Scale} scale @param {number} head @param {number} query
 */
function seenBy({ window, keys }, head, query) {
  if (!window) return null;
  const [row, column] = [Math.floor(query / keys.W), query % keys.W];
  const { rows, columns } = boxOf(window, keys, [row, column]);
  const at = new Int32Array((rows[1] - rows[0]) * (columns[1] - columns[0]));
  const bias = new Float64Array(at.length);
  const [tall, wide] = window.size.map((side) => 2 * side - 1);
  for (let r = rows[0], i = 0; r < rows[1]; r++)
    for (let c = columns[0]; c < columns[1]; c++, i++) {
      at[i] = r * keys.W + c;
      const [below, right] = [(tall - 1) / 2 + row - r, (wide - 1) / 2 + column - c];
      if (window.bias) bias[i] = window.bias[(head * tall + below) * wide + right];
    }
  return { at, bias };
}

/** @param {Scale} scale @param {number} head @param {number} turn @param {Shares} asked */
function softmaxRow(scale, head, turn, { at, share }) {
  const { width, left, right, mean, kept } = scale;
  const [queries, keys] = [left.length / mean.length, right.length / mean.length];
  const total = new Float32Array(keys);
  const scores = new Float64Array(keys);
  for (let i = 0; i < at.length; i++) {
    const vector = turned(left, (head * queries + at[i]) * width, width, turn);
    const seen = seenBy(scale, head, at[i]);
    const count = seen ? seen.at.length : keys;
    let top = -Infinity;
    for (let n = 0; n < count; n++) {
      const j = seen ? seen.at[n] : n;
      scores[n] = dot(vector, right, (head * keys + j) * width) + (seen ? seen.bias[n] : 0);
      if (!kept || kept[j] > 0) top = Math.max(top, scores[n]);
    }
    let sum = 0;
    for (let n = 0; n < count; n++) {
      const part = kept ? kept[seen ? seen.at[n] : n] : 1;
      sum += scores[n] = part > 0 ? part * Math.exp(scores[n] - top) : 0;
    }
    if (sum > 0) for (let n = 0; n < count; n++) total[seen ? seen.at[n] : n] += (share[i] * scores[n]) / sum;
  }
  return total;
}

/**
 * The row of one head, scale and stream.
 *
 * @param {Block} block @param {number} s scale @param {number} head @param {number} t stream @param {Shares} asked
 */
export function rowOf({ finish, scales, streams }, s, head, t, asked) {
  const { turn } = streams[t];
  return finish === "softmax"
    ? softmaxRow(scales[s], head, turn, asked)
    : linearRow(scales[s], finish, head, turn, asked);
}

/**
 * All rows of a layer for a query: [scale][head][stream]. Those of a scale that is still on its way are empty.
 *
 * @param {Block} block @param {Query} query
 * @returns {Float32Array[][][]}
 */
export function rows(block, query) {
  return block.scales.map((scale, s) => {
    if (s < block.missing)
      return Array.from({ length: block.heads }, () => block.streams.map(() => new Float32Array()));
    const average = query === "all" ? scale.average : undefined;
    const asked = average ? null : shares(block, s, query);
    const keys = scale.right.length / scale.mean.length;
    return Array.from({ length: block.heads }, (_, h) =>
      block.streams.map((_, t) => {
        const at = (t * block.heads + h) * keys;
        return asked ? rowOf(block, s, h, t, asked) : /** @type {Float32Array} */ (average).slice(at, at + keys);
      }),
    );
  });
}
