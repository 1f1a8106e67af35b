// The arithmetic of the polarity view: factors of one block → any row of any map. Knows no page.
// Formulas and axes as in dsp_viz/maps.py; a map is a Float32Array of H·W, row-major.
const DspMaths = (() => {
  "use strict";

  // float16 → float32, all 65,536 of them, once.
  let halves = null;
  function halfTable() {
    if (halves) return halves;
    halves = new Float32Array(65536);
    for (let bits = 0; bits < 65536; bits++) {
      const sign = bits & 0x8000 ? -1 : 1;
      const exponent = (bits >> 10) & 31;
      const fraction = bits & 1023;
      halves[bits] =
        exponent === 31
          ? fraction ? NaN : sign * Infinity
          : exponent
            ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024)
            : sign * 2 ** -14 * (fraction / 1024);
    }
    return halves;
  }

  // Bytes of dsp_viz.factors.encode → a block. Features keep their stored units: in a map the units of φ(k) cancel but
  // for ε, and so do those of φ(q).
  function decode(buffer) {
    const length = new DataView(buffer).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    const table = halfTable();
    const { heads, width } = header;
    const { coefficients, weights } = header;
    if (header.kind === "softmax") {
      // The average over all queries takes all rows: it comes ready.
      const [H, W] = header.grids[0];
      const size = heads * H * W * width;
      const [q, k, average] = [0, size, 2 * size].map((at, i) => new Float32Array(buffer, 4 + length + 4 * at, i < 2 ? size : heads * H * W));
      return { kind: "softmax", heads, width, scales: [{ H, W, N: H * W, q, k }], average, coefficients, weights };
    }
    let offset = 4 + length;
    const scales = header.grids.map(([H, W], s) => {
      const N = H * W;
      const size = heads * N * width;
      const read = () => {
        const bits = new Uint16Array(buffer, offset, size);
        const values = new Float32Array(size);
        for (let i = 0; i < size; i++) values[i] = table[bits[i]];
        offset += 2 * size;
        return values;
      };
      const q = read();
      const k = read();
      const mean = new Float64Array(heads * width);
      for (let h = 0; h < heads; h++)
        for (let j = 0; j < N; j++)
          for (let c = 0, at = (h * N + j) * width; c < width; c++) mean[h * width + c] += k[at + c] / N;
      const epsilon = header.units[s][0].map((unit, h) => header.epsilon / (unit * header.units[s][1][h]));
      return { H, W, N, q, k, mean, epsilon };
    });
    return { kind: "linear", heads, width, scales, coefficients, weights };
  }

  // Linear interpolation with half-pixel centres: which coarse positions a fine one reads, [[index, share], …].
  function taps(coarse, fine, at) {
    const x = Math.min(Math.max(((at + 0.5) * coarse) / fine - 0.5, 0), coarse - 1);
    const low = Math.floor(x);
    const high = Math.min(low + 1, coarse - 1);
    return high === low ? [[low, 1]] : [[low, 1 - (x - low)], [high, x - low]];
  }

  // How much of each token of a scale a query asks, [[token, share], …]; shares add up to 1. Query: [row, column] of the
  // full grid, or "all" for the average over all of them.
  function shares(block, scale, query) {
    const full = block.scales[0];
    const { H, W } = block.scales[scale];
    if (query !== "all") {
      const columns = taps(W, full.W, query[1]);
      return taps(H, full.H, query[0]).flatMap(([r, a]) => columns.map(([c, b]) => [r * W + c, a * b]));
    }
    const along = (coarse, fine) => {
      const total = new Float64Array(coarse);
      for (let i = 0; i < fine; i++) for (const [at, share] of taps(coarse, fine, i)) total[at] += share / fine;
      return total;
    };
    const rows = along(H, full.H);
    const columns = along(W, full.W);
    return Array.from({ length: H * W }, (_, i) => [i, rows[Math.floor(i / W)] * columns[i % W]]);
  }

  // Row of a query in one head: [same, opposite], each H·W, summing to 1 (up to ε).
  function rows(block, scale, head, asked) {
    const { N, q, k, mean, epsilon } = block.scales[scale];
    const width = block.width;
    const half = width / 2;
    const vectors = [new Float64Array(width), new Float64Array(width)];
    for (const [token, share] of asked) {
      const at = (head * N + token) * width;
      for (let stream = 0; stream < 2; stream++) {
        // The opposite-signed stream exchanges the halves of φ(q).
        const turn = stream * half;
        let normaliser = epsilon[head];
        for (let c = 0; c < width; c++) normaliser += q[at + ((c + turn) % width)] * mean[head * width + c];
        const factor = share / (normaliser * N);
        for (let c = 0; c < width; c++) vectors[stream][c] += factor * q[at + ((c + turn) % width)];
      }
    }
    return vectors.map((vector) => {
      const row = new Float32Array(N);
      for (let j = 0, at = head * N * width; j < N; j++) {
        let sum = 0;
        for (let c = 0; c < width; c++) sum += vector[c] * k[at++];
        row[j] = sum;
      }
      return row;
    });
  }

  // Row of a query in one head of softmax attention, H·W, sums to 1.
  function softmaxRow(block, head, asked) {
    const { N, q, k } = block.scales[0];
    const width = block.width;
    const total = new Float32Array(N);
    const scores = new Float64Array(N);
    for (const [token, share] of asked) {
      let top = -Infinity;
      for (let j = 0, at = head * N * width; j < N; j++) {
        let sum = 0;
        for (let c = 0, from = (head * N + token) * width; c < width; c++) sum += q[from++] * k[at++];
        scores[j] = sum / Math.sqrt(width);
        top = Math.max(top, scores[j]);
      }
      let sum = 0;
      for (let j = 0; j < N; j++) sum += scores[j] = Math.exp(scores[j] - top);
      for (let j = 0; j < N; j++) total[j] += (share * scores[j]) / sum;
    }
    return total;
  }

  // Share of what a query's features and those of all keys have in common that is same-signed: ½ if there is nothing.
  function sameShare(block, scale, head, query) {
    const { q, mean, N } = block.scales[scale];
    const width = block.width;
    let total = 0;
    for (const [token, share] of shares(block, scale, query)) {
      const at = (head * N + token) * width;
      const sums = [0, width / 2].map((turn) => {
        let sum = 0;
        for (let c = 0; c < width; c++) sum += q[at + ((c + turn) % width)] * mean[head * width + c];
        return sum;
      });
      total += share * (sums[0] + sums[1] > 0 ? sums[0] / (sums[0] + sums[1]) : 0.5);
    }
    return total;
  }

  // All maps of a block for a query: maps[scale][head] = [same, opposite], or [softmax].
  function maps(block, query) {
    if (block.kind === "softmax") {
      const { N } = block.scales[0];
      const heads = Array.from({ length: block.heads }, (_, h) =>
        query === "all" ? block.average.slice(h * N, (h + 1) * N) : softmaxRow(block, h, shares(block, 0, query)),
      );
      return [heads.map((row) => [row])];
    }
    return block.scales.map((_, s) => {
      const asked = shares(block, s, query);
      return Array.from({ length: block.heads }, (_, h) => rows(block, s, h, asked));
    });
  }

  // Effective map of the layer in one head, on the full grid: Σ_s w_s c_s A_s, a coarse key's share spread evenly over
  // the tokens that it pools. One map a stream.
  function effective(block, all, head) {
    const { H, W } = block.scales[0];
    return all[0][head].map((_, stream) => {
      const total = new Float32Array(H * W);
      block.scales.forEach((scale, s) => {
        const factor = 2 ** s;
        const weight = block.weights[head][s] * block.coefficients[head][s][stream];
        const map = all[s][head][stream];
        for (let r = 0; r < H; r++) {
          const R = Math.floor(r / factor);
          const tall = Math.min(factor, H - R * factor);
          for (let c = 0; c < W; c++) {
            const C = Math.floor(c / factor);
            const wide = Math.min(factor, W - C * factor);
            total[r * W + c] += (weight * map[R * scale.W + C]) / (tall * wide);
          }
        }
      });
      return total;
    });
  }

  // Entropy divided by that of the uniform map: 0 one token, 1 all alike.
  function entropy(map) {
    if (map.length < 2) return 1;
    let total = 0;
    for (const v of map) total += v;
    if (!(total > 0)) return 1;
    let nats = 0;
    for (const v of map) if (v > 0) nats -= (v / total) * Math.log(v / total);
    return nats / Math.log(map.length);
  }

  // The value below which a share of the area lies, to 1/2048 of the largest; a map counts alike whatever its grid.
  function quantile(arrays, share) {
    const bins = 2048;
    const counts = new Float64Array(bins);
    let top = 0;
    for (const a of arrays) for (const v of a) if (v > top) top = v;
    if (!(top > 0)) return 0;
    for (const a of arrays) for (const v of a) counts[Math.min(bins - 1, Math.floor((Math.max(v, 0) / top) * bins))] += 1 / a.length;
    for (let i = 0, sum = 0; i < bins; i++) if ((sum += counts[i]) >= share * arrays.length) return ((i + 1) / bins) * top;
    return top;
  }

  return { decode, shares, sameShare, maps, effective, entropy, quantile };
})();
