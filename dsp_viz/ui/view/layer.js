// One attention layer, as its bytes hold it: see docs/format.md. Knows no page, and no attention by name.

/** @typedef {{ H: number, W: number }} Size Rows and columns. */
/** @typedef {Size & { box: number[] }} Grid With its top, left, bottom and right edge, as shares of the picture. */
/** @typedef {{ name: string, role: "same" | "opposite" | "only", turn: number }} Stream */
/** @typedef {"ratio" | "product" | "softmax"} Finish */

/**
 * Which keys a query sees: those of its window, see `windowOf` in maths.js.
 *
 * @typedef {object} Window
 * @property {[number, number]} size rows and columns
 * @property {[number, number]} shift of rows and columns
 * @property {Float32Array} [bias] of a query's score with a key so many rows below and columns to the left of it,
 *   [head][2·rows − 1][2·columns − 1]
 */

/**
 * Queries and keys are the layer's prefix tokens, if it has any, and then the cells of a grid.
 *
 * @typedef {object} Scale
 * @property {Size} queries
 * @property {Grid} keys
 * @property {number} pooled tokens along each side of a key
 * @property {number} width numbers of a factor
 * @property {Float32Array} left [head][query][width]; with `ratio` in stored units
 * @property {Float32Array} right [head][key][width]; with `ratio` in stored units
 * @property {Float64Array} mean of `right` over the keys, [head][width]
 * @property {number[]} epsilon of each head, in the units of left · right
 * @property {Float32Array} [average] mean of all rows, [stream][head][key]: with `softmax` it takes every row
 * @property {Window} [window] where a query does not see all keys
 * @property {Float32Array} [kept] how much of each key is left where a region was left out, with `softmax`
 */

/**
 * @typedef {object} Block One attention layer.
 * @property {string} name path in its model
 * @property {string} kind the attention in words
 * @property {number} stage
 * @property {number} heads
 * @property {string[]} prefix names of tokens without a place
 * @property {Grid} grid its other tokens
 * @property {Stream[]} streams
 * @property {Finish} finish
 * @property {boolean} dynamic whether coefficients and weights are the layer's own
 * @property {Scale[]} scales
 * @property {number} missing how many of the scales, from the first, are still on their way: they have no factors
 * @property {number[][][]} coefficients [head][scale][stream]
 * @property {number[][]} weights [head][scale]
 */

const FORMAT = 4;
const WHOLE = [0, 0, 1, 1];
/** Cells of a grid, at most: those of a picture of 65,536 pixels a side, at 16 a token. */
const MOST = 2 ** 24;
const NOTHING = new Float32Array(0);

/** @type {Float32Array | null} */
let halves = null;

/** float16 → float32, all 65,536 of them, once. */
function halfTable() {
  if (halves) return halves;
  halves = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 31) halves[bits] = fraction ? NaN : sign * Infinity;
    else if (exponent) halves[bits] = sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
    else halves[bits] = sign * 2 ** -14 * (fraction / 1024);
  }
  return halves;
}

/** Bytes that are no layer which this page can read; the message says what to do. */
export class LayerError extends Error {}

/**
 * Bytes of a layer → the layer.
 *
 * @param {ArrayBuffer} buffer
 * @returns {Block}
 * @throws {LayerError} the bytes are of another format, or damaged.
 */
export const decode = (buffer) => /** @type {Block} */ (new Reader(buffer).read(buffer.byteLength));

/** Reads a layer from a buffer that fills from its beginning: each scale once, as soon as it is there. */
export class Reader {
  /** @type {Block | null} */
  #block = null;
  /** @type {any} */
  #header = null;
  /** Where the scale begins that comes next. */
  #offset = 4;

  /** @param {ArrayBuffer} buffer as large as the layer */
  constructor(buffer) {
    this.buffer = buffer;
  }

  /**
   * @param {number} here bytes that have come
   * @returns {Block | null} the same as long as no other scale has come; null: not even one has
   * @throws {LayerError} the bytes are of another format, or damaged.
   */
  read(here) {
    try {
      this.#readHeader(here);
      while (this.#header && this.#left() && this.#offset + this.#next().bytes <= here) this.#readScale();
      if (here === this.buffer.byteLength) need(this.#header && this.#left() === 0 && this.#offset === here);
      return this.#header && this.#left() < this.#header.scales.length ? this.#block : null;
    } catch (error) {
      if (error instanceof LayerError) throw error;
      throw new LayerError("A layer came damaged. Load the page again.", { cause: error });
    }
  }

  /** How many scales are still to be read. */
  #left() {
    return this.#block?.missing ?? 0;
  }

  #next() {
    return this.#header.scales[this.#left() - 1];
  }

  /** @param {number} here */
  #readHeader(here) {
    if (this.#header || here < 4) return;
    const end = 4 + new DataView(this.buffer).getUint32(0, true);
    if (end > here) return;
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(this.buffer, 4, end - 4)));
    const { format = 1, scales, grid, box = WHOLE, ...rest } = header;
    if (format !== FORMAT)
      throw new LayerError(
        `This page reads layers of format ${FORMAT}; this one is of format ${format}. Load the page again.`,
      );
    check(header);
    const none = { left: NOTHING, right: NOTHING };
    this.#offset = end;
    this.#header = header;
    this.#block = {
      ...rest,
      grid: { ...sizeOf(grid), box },
      missing: scales.length,
      scales: scales.map((/** @type {any} */ scale) => scaleFrom(header, scale, none)),
    };
  }

  #readScale() {
    const { missing, scales, ...rest } = /** @type {Block} */ (this.#block);
    const scale = this.#next();
    const found = scaleFrom(this.#header, scale, factorsOf(this.#header, scale, this.buffer, this.#offset));
    this.#offset += scale.bytes;
    this.#block = { ...rest, missing: missing - 1, scales: scales.with(missing - 1, found) };
  }
}

/**
 * @typedef {object} Arrays Of one scale, as they are stored but for their types.
 * @property {Float32Array} left @property {Float32Array} right
 * @property {[Float32Array, Float32Array]} [units] of `left` and `right`
 * @property {Float32Array} [average] @property {Float32Array} [bias] @property {Float32Array} [kept]
 */

/** @param {any} header @param {any} scale of it @param {ArrayBuffer} buffer @param {number} offset @returns {Arrays} */
function factorsOf({ heads, finish, prefix, streams }, scale, buffer, offset) {
  const { queries, keys, width, signed, window, bytes } = scale;
  const end = offset + bytes;
  /** @template T @param {new (buffer: ArrayBuffer, offset: number, size: number) => T} type @param {number} size */
  const take = (type, size) => {
    const values = new type(buffer, offset, size);
    offset += 4 * Math.ceil((size * /** @type {any} */ (type).BYTES_PER_ELEMENT) / 4);
    return values;
  };
  /** @param {number} count of queries or keys */
  const factor = (count) => {
    const stored = signed ? width / 2 : width;
    if (finish !== "ratio")
      return inUnits(take(Float32Array, heads * stored), take(Int16Array, heads * count * stored), heads);
    // Kept in stored units, which cancel in a row but for ε.
    const units = take(Float32Array, heads);
    const values = fromHalves(take(Uint16Array, heads * count * stored));
    return { units, values: signed ? partsOf(values, stored) : values };
  };
  const [asking, seen] = [queries, keys].map(([H, W]) => prefix.length + H * W);
  const [left, right] = [factor(asking), factor(seen)];
  const average = finish === "softmax" ? take(Float32Array, streams.length * heads * seen) : undefined;
  const cells = window?.bias ? heads * (2 * window.size[0] - 1) * (2 * window.size[1] - 1) : 0;
  const bias = cells ? inUnits(take(Float32Array, heads), take(Int16Array, cells), heads).values : undefined;
  const kept = scale.kept ? take(Float32Array, seen) : undefined;
  need(offset === end);
  return { left: left.values, right: right.values, units: [left.units, right.units], average, bias, kept };
}

/** @param {any} header @param {any} scale of it @param {Arrays} arrays @returns {Scale} */
function scaleFrom({ heads, finish, epsilon }, scale, { left, right, units, average, bias, kept }) {
  const { queries, keys, box, pooled, width, window } = scale;
  return {
    queries: sizeOf(queries),
    keys: { ...sizeOf(keys), box },
    pooled,
    width,
    left,
    right,
    mean: units ? meanOf(right, heads, width) : new Float64Array(),
    epsilon: Array.from({ length: heads }, (_, h) =>
      finish === "ratio" && units ? epsilon / (units[0][h] * units[1][h]) : 0,
    ),
    average,
    window: window && { size: window.size, shift: window.shift, bias },
    kept,
  };
}

/** @param {unknown} right whether it is */
function need(right) {
  if (!right) throw new TypeError("the bytes of a layer are damaged");
}

/** Refuses a header with which the rest cannot be read, or no row be computed. @param {any} header */
function check({ heads, prefix, grid, box, streams, finish, epsilon, coefficients, weights, scales }) {
  const count = (/** @type {any} */ n) => Number.isInteger(n) && n > 0;
  const number = (/** @type {any} */ n) => typeof n === "number";
  const some = (/** @type {any} */ list, /** @type {(item: any) => boolean} */ is, n = list?.length) =>
    Array.isArray(list) && list.length === n && list.every(is);
  const size = (/** @type {any} */ sides) => some(sides, count, 2) && sides[0] * sides[1] <= MOST;
  need(count(heads) && size(grid) && (box === undefined || some(box, number, 4)));
  need(some(prefix, (name) => typeof name === "string"));
  need(["ratio", "product", "softmax"].includes(finish) && (finish !== "ratio" || number(epsilon)));
  need(some(streams, (stream) => typeof stream?.name === "string" && Number.isInteger(stream.turn)) && streams.length);
  need(some(scales, (scale) => typeof scale === "object" && scale !== null) && scales.length);
  for (const { bytes, queries, keys, box: place, pooled, width, signed, window } of scales) {
    need(count(bytes) && bytes % 4 === 0);
    need(size(queries) && size(keys) && some(place, number, 4) && count(pooled));
    need(count(width) && (!signed || (finish === "ratio" && width % 2 === 0)));
    need(streams.every((/** @type {Stream} */ { turn }) => turn >= 0 && turn < width));
    need(!window || (size(window.size) && some(window.shift, Number.isInteger, 2)));
  }
  const [S, T] = [scales.length, streams.length];
  need(some(weights, (of) => some(of, number, S), heads));
  need(some(coefficients, (of) => some(of, (each) => some(each, number, T), S), heads));
}

/** @param {[number, number]} size @returns {Size} */
const sizeOf = ([H, W]) => ({ H, W });

/** @param {Uint16Array} bits */
function fromHalves(bits) {
  const table = halfTable();
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) values[i] = table[bits[i]];
  return values;
}

/**
 * Whole numbers of units, one unit for each channel of a head.
 *
 * @param {Float32Array} units @param {Int16Array} stored @param {number} heads
 */
function inUnits(units, stored, heads) {
  const values = new Float32Array(stored.length);
  const width = units.length / heads;
  for (let h = 0, at = 0; h < heads; h++)
    for (const end = (values.length / heads) * (h + 1); at < end;)
      for (let c = 0; c < width; c++, at++) values[at] = units[h * width + c] * stored[at];
  return { units, values };
}

/**
 * Signed numbers → their positive parts, then their negative ones, for each token.
 *
 * @param {Float32Array} signed @param {number} width
 */
function partsOf(signed, width) {
  const values = new Float32Array(2 * signed.length);
  for (let i = 0, at = 0; i < signed.length; i += width, at += 2 * width)
    for (let c = 0; c < width; c++) values[signed[i + c] > 0 ? at + c : at + width + c] = Math.abs(signed[i + c]);
  return values;
}

/** @param {Float32Array} right @param {number} heads @param {number} width */
function meanOf(right, heads, width) {
  const mean = new Float64Array(heads * width);
  const keys = right.length / (heads * width);
  for (let h = 0, at = 0; h < heads; h++)
    for (let j = 0; j < keys; j++) for (let c = 0; c < width; c++) mean[h * width + c] += right[at++] / keys;
  return mean;
}
