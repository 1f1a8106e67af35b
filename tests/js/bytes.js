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

/** The bytes of a layer: `header`, with the bytes of each scale, and for each of these its arrays, the last scale first. */
export function encode(header, arrays) {
  const factors = header.finish === "ratio" ? (values) => Uint16Array.from(values, (v) => half(v).bits) : whole;
  const scales = arrays.map(({ units, left, right, average, bias, kept }) => [
    ...padded(Float32Array.from(units[0]), factors(left), Float32Array.from(units[1]), factors(right)),
    ...padded(Float32Array.from(average ?? [])),
    ...(bias ? padded(Float32Array.from(bias.units), whole(bias.values)) : []),
    ...padded(Float32Array.from(kept ?? [])),
  ]);
  const told = { ...header, scales: header.scales.map((scale, s) => ({ bytes: scales[s].length, ...scale })) };
  let text = JSON.stringify(told);
  while ((4 + text.length) % 4) text += " ";
  const start = [...new Uint8Array(new Uint32Array([text.length]).buffer), ...new TextEncoder().encode(text)];
  return new Uint8Array([...start, ...scales.toReversed().flat()]).buffer;
}

/** Arrays as bytes, each to a multiple of 4. */
function padded(...arrays) {
  return arrays.flatMap((array) => {
    const bytes = [...new Uint8Array(array.buffer, array.byteOffset, array.byteLength)];
    return [...bytes, ...Array(-bytes.length & 3).fill(0)];
  });
}

const whole = (values) => Int16Array.from(values);

/** A layer of random factors, on grids of unequal prime sides: its header and its arrays, as they are stored. */
export function layer(finish, { streams, scales, heads = 3, grid = [7, 5], prefix = [], epsilon = 0, seed = 1 }) {
  const next = random(seed);
  const numbers = (count, make) => Array.from({ length: count }, make);
  const integer = () => Math.round(32767 * (2 * next() - 1));
  const factor = (signed) => () => {
    if (finish !== "ratio") return integer();
    const value = half(next() < 0.3 ? 0 : next() * 20).value; // features are not negative
    return signed && next() < 0.5 ? -value : value;
  };
  const arrays = scales.map(({ queries, keys, width, signed, window, kept }) => {
    const [asking, seen] = [queries, keys].map((size) => prefix.length + size[0] * size[1]);
    const stored = signed ? width / 2 : width;
    const unit = () => Math.fround(finish === "ratio" ? 0.1 + next() : (0.5 + next()) / 32767);
    return {
      units: [0, 1].map(() => numbers(finish === "ratio" ? heads : heads * stored, unit)),
      left: numbers(heads * asking * stored, factor(signed)),
      right: numbers(heads * seen * stored, factor(signed)),
      ...(finish === "softmax" && { average: numbers(streams.length * heads * seen, () => Math.fround(next())) }),
      ...(window?.bias && {
        bias: {
          units: numbers(heads, unit),
          values: numbers(heads * (2 * window.size[0] - 1) * (2 * window.size[1] - 1), integer),
        },
      }),
      ...(kept && { kept: numbers(seen, (_, i) => [0, 0.25, 1][i % 3]) }),
    };
  });
  const header = {
    format: 4,
    name: "blocks.1.attn",
    kind: "test attention",
    stage: 0,
    heads,
    prefix,
    grid,
    streams,
    finish,
    epsilon,
    dynamic: true,
    coefficients: numbers(heads, () => scales.map(() => streams.map(() => 2 * next()))),
    weights: numbers(heads, () => scales.map(() => next())),
    scales: scales.map((scale) => ({ signed: false, kept: false, ...scale })),
  };
  return { header, arrays };
}

/** How much of each position along a coarse axis a fine one reads: the definition of linear interpolation. */
function hats(coarse, fine, at) {
  const x = Math.min(Math.max(((at + 0.5) * coarse) / fine - 0.5, 0), coarse - 1);
  return Array.from({ length: coarse }, (_, i) => Math.max(0, 1 - Math.abs(x - i)));
}

/** One number of a factor in true units: of head, token and place along the width. */
function number(finish, heads, { width, signed }, stored, units, head, token, c) {
  const own = signed ? width / 2 : width;
  const at = (head * (stored.length / (heads * own)) + token) * own + (c % own);
  const value = stored[at] * units[finish === "ratio" ? head : head * own + (c % own)];
  return signed ? Math.max(0, c < own ? value : -value) : value;
}

/** Whether a key is in a query's window and came around the same edges, from the definition. */
function together({ window }, [H, W], i, j) {
  if (!window) return true;
  const at = (token) =>
    [
      [Math.floor(token / W), H],
      [token % W, W],
    ].map(([n, side], axis) => {
      const back = (n - window.shift[axis] + side) % side;
      return [Math.floor(back / window.size[axis]), n < window.shift[axis]];
    });
  return JSON.stringify(at(i)) === JSON.stringify(at(j));
}

/** The row of a token of the grid, or of a prefix token by its name, slowly: all rows by the rule, then their mean. */
export function slowRow({ header, arrays }, { scale: s, head, stream }, query) {
  const { finish, heads, prefix } = header;
  const scale = header.scales[s];
  const { queries, keys, width, window } = scale;
  const { turn } = header.streams[stream];
  const { units, left, right, bias, kept } = arrays[s];
  const N = prefix.length + keys[0] * keys[1];
  const named = typeof query === "string";
  const down = named ? [] : hats(queries[0], header.grid[0], query[0]);
  const across = named ? [] : hats(queries[1], header.grid[1], query[1]);
  const total = Array(N).fill(0);
  for (let i = 0; i < prefix.length + queries[0] * queries[1]; i++) {
    const cell = i - prefix.length;
    const placed = cell < 0 || named ? 0 : down[Math.floor(cell / queries[1])] * across[cell % queries[1]];
    const share = named ? Number(prefix[i] === query) : placed;
    if (!share) continue;
    const scores = total.map((_, j) => {
      let sum = 0;
      for (let c = 0; c < width; c++)
        sum +=
          number(finish, heads, scale, left, units[0], head, i, (c + turn) % width) *
          number(finish, heads, scale, right, units[1], head, j, c);
      if (!bias) return sum;
      const [R, C] = window.size;
      const below = Math.floor(i / keys[1]) - Math.floor(j / keys[1]);
      const beside = (i % keys[1]) - (j % keys[1]);
      if (Math.abs(below) >= R || Math.abs(beside) >= C) return sum;
      return sum + bias.units[head] * bias.values[(head * (2 * R - 1) + R - 1 + below) * (2 * C - 1) + C - 1 + beside];
    });
    const powers = scores.map((score, j) => (together(scale, keys, i, j) ? Math.exp(score) * (kept?.[j] ?? 1) : 0));
    const [sum, exponents] = [scores, powers].map((all) => all.reduce((a, b) => a + b, 0));
    const rules = {
      ratio: (j) => scores[j] / (sum + N * header.epsilon),
      product: (j) => scores[j],
      softmax: (j) => powers[j] / exponents,
    };
    for (let j = 0; j < N; j++) total[j] += share * rules[finish](j);
  }
  return total;
}
