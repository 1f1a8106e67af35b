import assert from "node:assert/strict";
import { test } from "node:test";

import { decode } from "../../dsp_viz/ui/view/layer.js";
import {
  effective,
  entropy,
  maps,
  prefixShares,
  quantile,
  sameShare,
  spread,
  windowOf,
} from "../../dsp_viz/ui/view/maths.js";
import { shares } from "../../dsp_viz/ui/view/rows.js";
import { encode, half, layer, slowRow } from "./bytes.js";

const WHOLE = [0, 0, 1, 1];
const TWO = [
  { name: "same", role: "same", turn: 0 },
  { name: "opposite", role: "opposite", turn: 3 },
];
const ONE = [{ name: "all", role: "only", turn: 0 }];
const near = (got, want, tolerance) =>
  got.forEach((value, i) => assert.ok(Math.abs(value - want[i]) <= tolerance, `[${i}]: ${value}, wanted ${want[i]}`));
const total = (values) => values.reduce((a, b) => a + b, 0);

const LAYERS = {
  ratio: layer("ratio", {
    streams: TWO,
    epsilon: 0.03,
    scales: [
      { queries: [7, 5], keys: [7, 5], box: WHOLE, pooled: 1, width: 7 },
      { queries: [3, 2], keys: [3, 2], box: [0, 0, 9 / 7, 6 / 5], pooled: 3, width: 6 },
    ],
  }),
  product: layer("product", {
    streams: ONE,
    scales: [{ queries: [7, 5], keys: [3, 2], box: WHOLE, pooled: 2, width: 5 }],
  }),
  softmax: layer("softmax", {
    streams: ONE,
    scales: [{ queries: [7, 5], keys: [2, 3], box: WHOLE, pooled: 3, width: 7 }],
  }),
  "signed ratio": layer("ratio", {
    streams: TWO,
    epsilon: 0.03,
    prefix: ["class"],
    scales: [{ queries: [7, 5], keys: [7, 5], box: WHOLE, pooled: 1, width: 6, signed: true }],
  }),
  "product with prefix tokens": layer("product", {
    streams: ONE,
    prefix: ["class", "register 1"],
    scales: [{ queries: [7, 5], keys: [7, 5], box: WHOLE, pooled: 1, width: 3 }],
  }),
  "softmax with prefix tokens and what is left of a region": layer("softmax", {
    streams: TWO,
    prefix: ["class", "register 1"],
    scales: [{ queries: [7, 5], keys: [3, 2], box: WHOLE, pooled: 2, width: 6, kept: true }],
  }),
  "shifted windows": layer("softmax", {
    streams: ONE,
    grid: [6, 10],
    scales: [
      {
        queries: [6, 10],
        keys: [6, 10],
        box: WHOLE,
        pooled: 1,
        width: 3,
        window: { size: [3, 5], shift: [1, 2], bias: true },
      },
    ],
  }),
};

for (const [name, made] of Object.entries(LAYERS))
  test(`every row of ${name} is that of its definition`, () => {
    const block = decode(encode(made.header, made.arrays));
    const count = block.prefix.length;
    const [H, W] = made.header.grid;
    for (const query of [[0, 0], [H - 1, W - 1], [3, 1], [2, 4], ...block.prefix]) {
      const beside = prefixShares(block, query);
      maps(block, query).forEach((heads, scale) =>
        heads.forEach((streams, head) =>
          streams.forEach((row, stream) => {
            const want = slowRow(made, { scale, head, stream }, query);
            assert.equal(row.length + count, want.length);
            near([...beside[scale][head][stream], ...row], want, 2e-6 * Math.max(...want.map(Math.abs)));
          }),
        ),
      );
    }
  });

test("a name that a layer does not have is refused", () => {
  const { header, arrays } = LAYERS["signed ratio"];
  assert.throws(() => maps(decode(encode(header, arrays)), "register 1"), /has no register 1/);
});

test("a window is a box of tokens, cut where the grid's edge was crossed", () => {
  const { header, arrays } = LAYERS["shifted windows"];
  const block = decode(encode(header, arrays));
  assert.deepEqual(windowOf(block, [0, 0]), { rows: [0, 1], columns: [0, 2] });
  assert.deepEqual(windowOf(block, [3, 6]), { rows: [1, 4], columns: [2, 7] });
  assert.deepEqual(windowOf(block, [5, 9]), { rows: [4, 6], columns: [7, 10] });
  assert.equal(windowOf(block, "all"), null);
  const whole = { ...block, scales: [{ ...block.scales[0], window: { size: [6, 10], shift: [0, 0] } }] };
  assert.equal(windowOf(whole, [3, 6]), null);
  assert.equal(windowOf(decode(encode(LAYERS.ratio.header, LAYERS.ratio.arrays)), [0, 0]), null);
  const [row] = maps(block, [3, 6])[0][0];
  row.forEach((value, j) => {
    const [r, c] = [Math.floor(j / 10), j % 10];
    assert.equal(value > 0, r >= 1 && r < 4 && c >= 2 && c < 7);
  });
});

test("rows of product may be negative, and those of ratio lack what ε takes", () => {
  const rows = (finish) => maps(decode(encode(LAYERS[finish].header, LAYERS[finish].arrays)), [2, 2])[0][0];
  assert.ok(Math.min(...rows("product")[0]) < 0);
  for (const row of rows("ratio")) assert.ok(total(row) < 1 && total(row) > 0.5);
  near([total(rows("softmax")[0])], [1], 1e-6);
});

test("the average over all queries is the mean of all rows", () => {
  for (const finish of ["ratio", "product"]) {
    const { header, arrays } = LAYERS[finish];
    const block = decode(encode(header, arrays));
    const queries = Array.from({ length: 35 }, (_, i) => [Math.floor(i / 5), i % 5]);
    maps(block, "all").forEach((heads, scale) =>
      heads.forEach((streams, head) =>
        streams.forEach((row, stream) => {
          const rows = queries.map((query) => slowRow({ header, arrays }, { scale, head, stream }, query));
          const want = rows[0].map((_, j) => total(rows.map((each) => each[j])) / 35);
          near(row, want, 2e-6 * Math.max(...want.map(Math.abs)));
        }),
      ),
    );
  }
});

test("that of softmax comes ready", () => {
  const { header, arrays } = LAYERS.softmax;
  const all = maps(decode(encode(header, arrays)), "all");
  all[0].forEach(([row], head) => assert.deepEqual([...row], arrays[0].average.slice(6 * head, 6 * head + 6)));
});

test("a large score does not overflow", () => {
  const { header } = layer("softmax", {
    streams: ONE,
    heads: 1,
    grid: [1, 1],
    scales: [{ queries: [1, 1], keys: [1, 2], box: WHOLE, pooled: 1, width: 1 }],
  });
  const arrays = [{ units: [[1], [1]], left: [1000], right: [1, 2], average: [0.5, 0.5] }];
  const block = decode(encode(header, arrays));
  assert.deepEqual([...maps(block, [0, 0])[0][0][0]], [0, 1]);
});

test("same-signed share", () => {
  const { header } = layer("ratio", {
    streams: TWO.map((s, i) => ({ ...s, turn: i })),
    heads: 1,
    grid: [1, 2],
    scales: [{ queries: [1, 2], keys: [1, 2], box: WHOLE, pooled: 1, width: 2 }],
  });
  // Keys: (1, 0) and (3, 2), together (4, 2). Queries (3, 1): same 14, opposite 10; nothing.
  const block = decode(encode(header, [{ units: [[1], [1]], left: [3, 1, 0, 0], right: [1, 0, 3, 2] }]));
  near([sameShare(block, 0, 0, [0, 0]), sameShare(block, 0, 0, [0, 1])], [14 / 24, 0.5], 1e-12);
  near([sameShare(block, 0, 0, "all")], [(14 / 24 + 0.5) / 2], 1e-12);
});

test("half precision is decoded exactly", () => {
  const bits = [0, 1, 0x3ff, 0x400, 0x3c00, 0x7bff, 0x1234, 0x0155];
  const values = [
    0,
    2 ** -24,
    1023 * 2 ** -24,
    2 ** -14,
    1,
    65504,
    564 * 2 ** -10 * 2 ** -11 + 2 ** -11,
    341 * 2 ** -24,
  ];
  assert.deepEqual(
    values.map((value) => half(value).bits),
    bits,
  );
  const { header } = layer("ratio", {
    streams: ONE,
    heads: 1,
    grid: [1, 1],
    scales: [{ queries: [1, 1], keys: [1, 1], box: WHOLE, pooled: 1, width: 8 }],
  });
  const arrays = [{ units: [[1], [1]], left: values, right: values }];
  assert.deepEqual([...decode(encode(header, arrays)).scales[0].left], values);
});

test("other formats are refused, and said", () => {
  const { header, arrays } = LAYERS.ratio;
  assert.throws(() => decode(encode({ ...header, format: 2 }, arrays)), /format 4; this one is of format 2/);
  assert.throws(() => decode(encode({ ...header, format: undefined }, arrays)), /of format 1\. Load the page again/);
});

test("which queries a token asks", () => {
  const coarse = { grid: { H: 3, W: 4 }, prefix: [], scales: [{ queries: { H: 2, W: 2 } }] };
  const asked = shares(coarse, 0, [1, 1]);
  // Row 1 of 3 lies between both, column 1 of 4 nearer to the first.
  const want = [0.5 * 0.75, 0.5 * 0.25, 0.5 * 0.75, 0.5 * 0.25];
  const got = [0, 0, 0, 0];
  asked.at.forEach((at, i) => (got[at] += asked.share[i]));
  near(got, want, 1e-12);
  const same = { ...coarse, prefix: ["class"], scales: [{ queries: { H: 3, W: 4 } }] };
  assert.deepEqual(shares(same, 0, [1, 2]), { at: Int32Array.of(7), share: Float64Array.of(1) });
  assert.deepEqual(shares(same, 0, "class"), { at: Int32Array.of(0), share: Float64Array.of(1) });
  assert.deepEqual([...shares(same, 0, "all").at], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
});

test("keys are shared out by the area that they cover", () => {
  assert.deepEqual(spread(2, 0, 4 / 3, 3), [
    [
      [0, 0.5],
      [1, 0.5],
    ],
    [[2, 1]],
  ]);
  const [first, second] = spread(2, 0, 1, 3); // one and a half tokens each
  near([first[0][1], first[1][1], second[0][1], second[1][1]], [2 / 3, 1 / 3, 1 / 3, 2 / 3], 1e-12);
  assert.deepEqual(spread(2, 0, 2, 2)[1], []); // beyond the picture
  assert.deepEqual(spread(1, 0.5, 1, 4), [
    [
      [2, 0.5],
      [3, 0.5],
    ],
  ]);
});

test("effective map by hand", () => {
  const block = {
    grid: { H: 3, W: 2, box: WHOLE },
    weights: [[0.5, 0.5]],
    coefficients: [
      [
        [1, 0.5],
        [2, 1],
      ],
    ],
    scales: [{ keys: { H: 3, W: 2, box: WHOLE } }, { keys: { H: 2, W: 1, box: [0, 0, 4 / 3, 1] } }],
  };
  const maps = [
    [
      [
        [1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
      ],
    ],
    [
      [
        [0.75, 0.25],
        [0.5, 0.5],
      ],
    ],
  ];
  const [same, opposite] = effective(block, maps, 0);
  // Same: ½·1·A₀ + ½·2·A₁, the coarse keys spread over 4 and 2 tokens; opposite: ½·½·A₀ + ½·1·A₁.
  near(same, [0.5 + 0.1875, 0.1875, 0.1875, 0.1875, 0.125, 0.125], 1e-7);
  near(opposite, [0.0625, 0.25 + 0.0625, 0.0625, 0.0625, 0.125, 0.125], 1e-7);
  // A grid that reaches beyond the picture itself, and its keys as far: a cell is where it was.
  const [tall, all] = [
    [0, 0, 1.5, 1],
    [0, 0, 2, 1],
  ];
  const scales = [{ keys: { H: 3, W: 2, box: tall } }, { keys: { H: 2, W: 1, box: all } }];
  const [padded] = effective({ ...block, grid: { H: 3, W: 2, box: tall }, scales }, maps, 0);
  near(padded, [...same], 1e-7);
});

test("entropy and quantile by hand", () => {
  assert.equal(entropy([0.25, 0.25, 0.25, 0.25]), 1);
  assert.equal(entropy([0, 1, 0, 0]), 0);
  assert.equal(entropy([0, 0]), 1);
  near([quantile([[1, 2, 3, 4], [8]], 0.5)], [4], 0.01);
  assert.equal(quantile([[0, 0]], 0.995), 0);
});
