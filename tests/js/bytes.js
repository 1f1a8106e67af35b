// Writes the bytes of a layer as docs/format.md says, and computes its rows slowly, in doubles, from the same numbers.

/** A pseudo-random generator, uniform in 0 … 1 (mulberry32). */
export function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A number as its nearest float16, and the bits of that; for what is neither too large nor too small for one. */
export function half(value) {
  const exponent = value === 0 ? 0 : Math.max(Math.floor(Math.log2(Math.abs(value))), -14);
  const unit = 2 ** (exponent - 10);
  const steps = Math.round(Math.abs(value) / unit); // 1024 … 2048, or fewer below 2^-14
  const bits = steps < 1024 ? steps : steps === 2048 ? (exponent + 16) << 10 : ((exponent + 15) << 10) | (steps - 1024);
  return { value: Math.sign(value) * steps * unit, bits: bits | (value < 0 ? 0x8000 : 0) };
}

/** The bytes of a layer: `header` as it is, and for each scale its arrays of plain numbers. */
export function encode(header, arrays) {
  let text = JSON.stringify(header);
  while ((4 + text.length) % 4) text += " ";
  const parts = [new Uint8Array(new Uint32Array([text.length]).buffer), new TextEncoder().encode(text)];
  for (const { left, right, average } of arrays) {
    for (const values of [left, right])
      parts.push(header.finish === "ratio" ? Uint16Array.from(values, (v) => half(v).bits) : Float32Array.from(values));
    if (average) parts.push(Float32Array.from(average));
  }
  const padded = parts.map((part) => {
    const bytes = new Uint8Array(4 * Math.ceil(part.byteLength / 4));
    bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength));
    return bytes;
  });
  return new Uint8Array(padded.flatMap((part) => [...part])).buffer;
}

/** A layer of random factors, on grids of unequal prime sides: its header and its arrays, as they are stored. */
export function layer(finish, { streams, scales, heads = 3, grid = [7, 5], epsilon = 0, seed = 1 }) {
  const next = random(seed);
  const numbers = (count, make) => Array.from({ length: count }, make);
  const factor = () => {
    if (finish === "ratio") return half(next() < 0.3 ? 0 : next() * 20).value; // features are not negative
    return Math.fround(2 * next() - 1);
  };
  const arrays = scales.map(({ queries, keys, width }) => ({
    left: numbers(heads * queries[0] * queries[1] * width, factor),
    right: numbers(heads * keys[0] * keys[1] * width, factor),
    ...(finish === "softmax" && {
      average: numbers(streams.length * heads * keys[0] * keys[1], () => Math.fround(next())),
    }),
  }));
  const header = {
    format: 2,
    name: "blocks.1.attn",
    kind: "test attention",
    stage: 0,
    heads,
    grid,
    streams,
    finish,
    epsilon,
    dynamic: true,
    coefficients: numbers(heads, () => scales.map(() => streams.map(() => 2 * next()))),
    weights: numbers(heads, () => scales.map(() => next())),
    scales: scales.map((scale) => ({
      units: [numbers(heads, () => 0.1 + next()), numbers(heads, () => 0.1 + next())],
      ...scale,
    })),
  };
  if (finish !== "ratio") for (const scale of header.scales) scale.units = [1, 1].map((one) => Array(heads).fill(one));
  return { header, arrays };
}

/** How much of each position along a coarse axis a fine one reads: the definition of linear interpolation. */
function hats(coarse, fine, at) {
  const x = Math.min(Math.max(((at + 0.5) * coarse) / fine - 0.5, 0), coarse - 1);
  return Array.from({ length: coarse }, (_, i) => Math.max(0, 1 - Math.abs(x - i)));
}

/** The row of a token, slowly: all rows of all queries by the rule, then their mean. */
export function slowRow({ header, arrays }, { scale: s, head, stream }, [row, column]) {
  const { queries, keys, width, units } = header.scales[s];
  const { turn } = header.streams[stream];
  const { left, right } = arrays[s];
  const N = keys[0] * keys[1];
  const down = hats(queries[0], header.grid[0], row);
  const across = hats(queries[1], header.grid[1], column);
  const total = Array(N).fill(0);
  for (let i = 0; i < queries[0] * queries[1]; i++) {
    const share = down[Math.floor(i / queries[1])] * across[i % queries[1]];
    const scores = total.map((_, j) => {
      let sum = 0;
      for (let c = 0; c < width; c++) {
        const l = left[(head * queries[0] * queries[1] + i) * width + ((c + turn) % width)] * units[0][head];
        sum += l * right[(head * N + j) * width + c] * units[1][head];
      }
      return sum;
    });
    const sum = scores.reduce((a, b) => a + b, 0);
    const exponents = scores.reduce((a, b) => a + Math.exp(b), 0);
    const rules = {
      ratio: (score) => score / (sum + N * header.epsilon),
      product: (score) => score,
      softmax: (score) => Math.exp(score) / exponents,
    };
    scores.forEach((score, j) => (total[j] += share * rules[header.finish](score)));
  }
  return total;
}
