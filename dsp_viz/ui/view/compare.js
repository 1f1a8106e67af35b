// Comparison: any map of one result beside any map of another, for the same place of the picture. Follows maths.js,
// colours.js, parts.js, sheet.js and address.js in a scope of its own; `element`, `props`, `trigger` and `watch` are
// Gradio's.
const root = element.querySelector(".dc");
const canvases = root.querySelectorAll(".dc-sides canvas:not(.dc-scale)");
const bars = root.querySelectorAll(".dc-scale");
const lines = root.querySelectorAll(".dc-sides p");
const note = root.querySelector(".dv-note");
const look = { opacity: 0.85, smooth: false };
const state = { at: null, all: false, together: true }; // the query as shares of the picture's height and width
const sides = [0, 1].map(() => ({ result: null, picture: null, block: null, maps: null, asked: null, index: 2, head: 0, scale: 0, stream: 0 }));
let titles = ["A", "B"];
let wanted = null; // token that a link asks of, on the grid of A, until that is known
let requested = 0; // number of the newest value; what older ones bring is dropped

async function show(value) {
  if (!value) return;
  const number = ++requested;
  root.setAttribute("aria-busy", "true");
  try {
    const loaded = await Promise.all(
      [value.a, value.b].map(async (result, i) => {
        const index = Math.min(sides[i].index, result.blocks - 1);
        const [picture, block] = await Promise.all([loadPicture(result), loadBlock(result, index)]);
        return { result, picture, block, index };
      }),
    );
    if (number !== requested) return;
    loaded.forEach((side, i) => Object.assign(sides[i], side));
    name(value.names || ["A", "B"]);
    note.textContent = "";
    if (wanted || !state.at) state.at = shareOfPicture(wanted || middle(value.a.grid), value.a.grid);
    wanted = null;
    update();
    root.setAttribute("aria-busy", "false");
  } catch (error) {
    if (number === requested) tellFault(note, error);
  }
}

function name([a, b]) {
  titles = [a, b];
  root.querySelectorAll(".dc-choice b").forEach((title, i) => (title.textContent = [a, b, `${b} − ${a}`][i]));
  root.querySelectorAll("thead th").forEach((th, i) => (th.textContent = ["for the same query", a, b][i]));
}

const tokenOf = ({ H, W }) => [Math.floor(state.at[0] * H), Math.floor(state.at[1] * W)];
const shareOfPicture = (token, grid) => token.map((at, axis) => (clamp(at, 0, grid[axis] - 1) + 0.5) / grid[axis]);

function update() {
  for (const side of sides) {
    if (!side.block) return;
    side.asked = tokenOf(side.block.scales[0]);
    side.maps = allMaps(side.block, state.all ? "all" : side.asked);
    side.head = clamp(side.head, 0, side.block.heads - 1);
    side.scale = clamp(side.scale, 0, scaleCount(side.block) - 1);
    side.stream = clamp(side.stream, 0, streamsOf(side.block).length - 1);
  }
  draw();
}

// A map on another full grid: the value of the token that lies at the same place of the picture.
function onGrid(map, { H, W }) {
  const values = new Float32Array(H * W);
  for (let r = 0; r < H; r++)
    for (let c = 0; c < W; c++) {
      const row = Math.floor((((r + 0.5) * map.full.H) / H) / map.factor);
      const column = Math.floor((((c + 0.5) * map.full.W) / W) / map.factor);
      values[r * W + c] = map.values[row * map.W + column];
    }
  return values;
}

// What is drawn, for each of A, B and B − A: { map, top, scale, picture, asking, look, text }.
function allShown() {
  const maps = sides.map((side) => cell(side, side, "maps"));
  const full = maps[maps[1].full.H > maps[0].full.H ? 1 : 0].full; // the finer grid
  const values = onGrid(maps[1], full);
  onGrid(maps[0], full).forEach((value, i) => (values[i] -= value));
  const difference = { values, H: full.H, W: full.W, full, factor: 1, sign: 1, signed: true, ink: SAME };
  const top = limit(maps, "shared");
  const asking = (asked) => (state.all ? null : asked);
  const drawn = maps.map((map, i) => {
    const scale = scaleOf([map], top);
    return { map, top, scale, picture: sides[i].picture, asking: asking(sides[i].asked), look, text: `${scale.text} × uniform, one scale for both` };
  });
  const end = limit([difference], "shared");
  const scale = scaleOf([difference], end);
  const equal = `the two maps are equal${props.value.names ? ": look at layer, or at a later block" : ""}`;
  const text = values.every((value) => value === 0) ? equal : `orange ${scale.ticks[0].text}, teal ${scale.ticks.at(-1).text} × uniform`;
  return [...drawn, { map: difference, top: end, scale, picture: null, asking: asking(tokenOf(full)), look: { ...look, opacity: 1 }, text }];
}

function draw() {
  if (!sides.every((side) => side.maps) || !root.clientWidth) return;
  const width = canvases[0].parentElement.clientWidth;
  const drawn = allShown();
  drawn.forEach(({ map, top, scale, picture, asking, look: how, text }, i) => {
    drawOverlay(canvases[i], picture, map, top, width, [null, asking], how);
    drawBar(bars[i], scale, width, { opacity: how.opacity, ground: picture?.ground });
    lines[i].textContent = text;
  });
  const columns = sides.map((side, i) => numbers(side, drawn[i].map));
  root.querySelectorAll("tbody tr").forEach((row, i) => row.querySelectorAll("td").forEach((td, j) => (td.textContent = columns[j][i])));
  root.querySelectorAll("select[data-key]").forEach(fill);
}

const mapName = ({ block, index, head, scale, stream }) => `block ${index + 1}, head ${head + 1}, ${scaleName(block, scale)}, ${streamsOf(block)[stream]}`;

function numbers(side, map) {
  const { result, block, maps, head, scale, stream, asked } = side;
  const layer = scale === block.scales.length;
  const linear = block.kind === "linear" && !layer;
  const dynamic = linear && result.attention === "dsp";
  return [
    `${result.name}, ${result.model}`,
    `${result.best[0]} ${(100 * result.best[1]).toFixed(1)} %`,
    mapName(side),
    map.values.some(Boolean) ? DspMaths.entropy(maps[scale][head][stream]).toFixed(3) : "–", // left out: no map
    Math.max(...map.values).toPrecision(3),
    linear ? DspMaths.sameShare(block, scale, head, state.all ? "all" : asked).toFixed(3) : "–",
    dynamic ? block.coefficients[head][scale][stream].toFixed(3) : "–",
    dynamic ? block.weights[head][scale].toFixed(3) : "–",
  ];
}
