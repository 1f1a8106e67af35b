// One attention layer, as its bytes hold it: see docs/format.md. Knows no page, and no attention by name.

/** @typedef {{ H: number, W: number }} Size Rows and columns. */
/** @typedef {Size & { box: number[] }} Grid With its top, left, bottom and right edge, as shares of the picture. */
/** @typedef {{ name: string, role: "same" | "opposite" | "only", turn: number }} Stream */
/** @typedef {"ratio" | "product" | "softmax"} Finish */

/**
 * @typedef {object} Scale
 * @property {Size} queries
 * @property {Grid} keys
 * @property {number} pooled tokens along each side of a key
 * @property {number} width numbers of a factor
 * @property {Float32Array} left [head][query][width], in stored units
 * @property {Float32Array} right [head][key][width], in stored units
 * @property {Float64Array} mean of `right` over the keys, [head][width]
 * @property {number[]} epsilon of each head, in stored units
 * @property {Float32Array} [average] mean of all rows, [stream][head][key]: with `softmax` it takes every row
 */

/**
 * @typedef {object} Block One attention layer.
 * @property {string} name path in its model
 * @property {string} kind the attention in words
 * @property {number} stage
 * @property {number} heads
 * @property {Size} grid its tokens
 * @property {Stream[]} streams
 * @property {Finish} finish
 * @property {boolean} dynamic whether coefficients and weights are the layer's own
 * @property {Scale[]} scales
 * @property {number[][][]} coefficients [head][scale][stream]
 * @property {number[][]} weights [head][scale]
 */

const FORMAT = 2;

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

/**
 * Bytes of a layer → the layer. Factors keep their stored units: in a row of `ratio` they cancel but for ε.
 *
 * @param {ArrayBuffer} buffer
 * @returns {Block}
 */
export function decode(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const { format = 1, scales, grid, ...rest } = header;
  if (format !== FORMAT)
    throw new Error(
      `This page reads layers of format ${FORMAT}; this one is of format ${format}. Load the page again.`,
    );
  const stored = header.finish === "ratio" ? 2 : 4; // bytes of a number
  let offset = 4 + length;
  /** @param {number} size @param {number} bytes */
  const read = (size, bytes) => {
    const values =
      bytes === 4 ? new Float32Array(buffer, offset, size) : fromHalves(new Uint16Array(buffer, offset, size));
    offset += 4 * Math.ceil((size * bytes) / 4);
    return values;
  };
  /** @param {any} scale @returns {Scale} */
  const scaleFrom = ({ queries, keys, box, pooled, width, units }) => {
    const left = read(header.heads * queries[0] * queries[1] * width, stored);
    const right = read(header.heads * keys[0] * keys[1] * width, stored);
    const average =
      header.finish === "softmax" ? read(header.streams.length * header.heads * keys[0] * keys[1], 4) : undefined;
    const [lefts, rights] = /** @type {number[][]} */ (units);
    const epsilon = lefts.map((unit, h) => header.epsilon / (unit * rights[h]));
    const mean = meanOf(right, header.heads, width);
    return {
      queries: sizeOf(queries),
      keys: { ...sizeOf(keys), box },
      pooled,
      width,
      left,
      right,
      mean,
      epsilon,
      average,
    };
  };
  return { ...rest, grid: sizeOf(grid), scales: scales.map(scaleFrom) };
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

/** @param {Float32Array} right @param {number} heads @param {number} width */
function meanOf(right, heads, width) {
  const mean = new Float64Array(heads * width);
  const keys = right.length / (heads * width);
  for (let h = 0, at = 0; h < heads; h++)
    for (let j = 0; j < keys; j++) for (let c = 0; c < width; c++) mean[h * width + c] += right[at++] / keys;
  return mean;
}
