// Comparison: any map of one result beside any map of another, for the same place of the picture. Follows maths.js and
// parts.js in a scope of its own; `element`, `props` and `watch` are Gradio's.
const root = element.querySelector(".dc");
const [first, second, third] = root.querySelectorAll(".dc-sides canvas");
const lines = root.querySelectorAll(".dc-sides p");
const note = root.querySelector(".dv-note");
const look = { opacity: 0.85, smooth: false };
const state = { at: [0.47, 0.47], all: false, together: true }; // the query as shares of the picture's height and width
const sides = [0, 1].map(() => ({ result: null, picture: null, block: null, maps: null, asked: null, index: 2, head: 0, scale: 0, stream: 0 }));
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
    update();
    root.setAttribute("aria-busy", "false");
  } catch (error) {
    if (number === requested) note.textContent = error.message;
  }
}

function name([a, b]) {
  root.querySelectorAll(".dc-choice b").forEach((title, i) => (title.textContent = [a, b, `${b} − ${a}`][i]));
  root.querySelectorAll("thead th").forEach((th, i) => (th.textContent = ["for the same query", a, b][i]));
}

const tokenOf = ({ H, W }) => [Math.floor(state.at[0] * H), Math.floor(state.at[1] * W)];

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

function draw() {
  if (!sides.every((side) => side.maps) || !root.clientWidth) return;
  const maps = sides.map((side) => cell(side, side, "maps"));
  const full = maps[maps[1].full.H > maps[0].full.H ? 1 : 0].full; // the finer grid
  const values = onGrid(maps[1], full);
  onGrid(maps[0], full).forEach((value, i) => (values[i] -= value));
  const difference = { values, H: full.H, W: full.W, full, factor: 1, sign: 1, ink: SAME };
  const top = limit(maps, "shared");
  const end = limit([difference], "shared");
  const width = first.parentElement.clientWidth;
  const asking = (side) => [null, state.all ? null : side.asked];
  drawOverlay(first, sides[0].picture, maps[0], top, width, asking(sides[0]), look);
  drawOverlay(second, sides[1].picture, maps[1], top, width, asking(sides[1]), look);
  drawOverlay(third, null, difference, end, width, [null, state.all ? null : tokenOf(full)], look);
  lines[0].textContent = lines[1].textContent = `0 to ${top.toPrecision(3)} × uniform, one scale for both`;
  const equal = `the two maps are equal${props.value.names ? ": look at layer, or at a later block" : ""}`;
  lines[2].textContent = difference.values.every((value) => value === 0) ? equal : `orange −${end.toPrecision(3)}, teal +${end.toPrecision(3)} × uniform`;
  const columns = sides.map((side, i) => numbers(side, maps[i]));
  root.querySelectorAll("tbody tr").forEach((row, i) => row.querySelectorAll("td").forEach((td, j) => (td.textContent = columns[j][i])));
  root.querySelectorAll("select").forEach(fill);
}

function numbers({ result, block, maps, index, head, scale, stream, asked }, map) {
  const layer = scale === block.scales.length;
  const linear = block.kind === "linear" && !layer;
  const dynamic = linear && result.attention === "dsp";
  return [
    `${result.name}, ${result.model}`,
    `${result.best[0]} ${(100 * result.best[1]).toFixed(1)} %`,
    `block ${index + 1}, head ${head + 1}, ${scaleName(block, scale)}, ${streamsOf(block)[stream]}`,
    map.values.some(Boolean) ? DspMaths.entropy(maps[scale][head][stream]).toFixed(3) : "–", // left out: no map
    Math.max(...map.values).toPrecision(3),
    linear ? DspMaths.sameShare(block, scale, head, state.all ? "all" : asked).toFixed(3) : "–",
    dynamic ? block.coefficients[head][scale][stream].toFixed(3) : "–",
    dynamic ? block.weights[head][scale].toFixed(3) : "–",
  ];
}

// The choices of a side, as its result has them.
function fill(select) {
  const side = sides[select.dataset.side];
  const { block, result } = side;
  const count = (n) => Array.from({ length: n }, (_, i) => i);
  const names = {
    block: count(result.blocks).map((i) => i + 1),
    head: count(block.heads).map((i) => i + 1),
    scale: count(scaleCount(block)).map((s) => scaleName(block, s)),
    stream: streamsOf(block),
  }[select.dataset.key];
  if (select.options.length !== names.length || [...select.options].some((option, i) => option.text !== String(names[i])))
    select.replaceChildren(...names.map((name, i) => new Option(name, i)));
  select.value = select.dataset.key === "block" ? side.index : side[select.dataset.key];
}

root.addEventListener("input", ({ target }) => {
  if (target.dataset.set) {
    Object.assign(target.dataset.set === "smooth" ? look : state, { [target.dataset.set]: target.checked });
    if (target.dataset.set === "together" && target.checked) {
      const { index, head, scale, stream } = sides[0];
      Object.assign(sides[1], { index, head, scale, stream });
    }
  } else {
    const key = target.dataset.key === "block" ? "index" : target.dataset.key;
    for (const side of state.together ? sides : [sides[target.dataset.side]]) side[key] = Number(target.value);
  }
  if (sides.every((side) => side.result)) show({ ...props.value, a: sides[0].result, b: sides[1].result });
});

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
[first, second].forEach((canvas, i) => {
  const ask = ([row, column]) => {
    const { H, W } = sides[i].block.scales[0];
    state.at = [(clamp(row, 0, H - 1) + 0.5) / H, (clamp(column, 0, W - 1) + 0.5) / W];
    update();
  };
  const point = (event) => sides[i].block && ask(tokenAt(event, canvas, sides[i].block.scales[0]));
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    point(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && canvas.hasPointerCapture(event.pointerId) && point(event));
  canvas.addEventListener("keydown", (event) => {
    if (!MOVES[event.key] || !sides[i].block || event.ctrlKey || event.metaKey || event.altKey) return;
    ask(sides[i].asked.map((at, axis) => at + MOVES[event.key][axis]));
    event.preventDefault();
  });
});

root.querySelector('[data-do="png"]').addEventListener("click", () => {
  if (!sides.every((side) => side.maps)) return;
  const margin = 24;
  const all = [first, second, third];
  const canvas = document.createElement("canvas");
  canvas.width = all.reduce((sum, { width }) => sum + width + margin, margin);
  canvas.height = Math.max(...all.map(({ height }) => height)) + 2 * margin;
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(document.body).backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  all.reduce((x, part) => (context.drawImage(part, x, margin), x + part.width + margin), margin);
  saveCanvas(canvas, `${sides[0].result.name}-${sides[0].result.model}-and-${sides[1].result.name}-${sides[1].result.model}.png`);
});

new ResizeObserver(() => requestAnimationFrame(draw)).observe(root);
new MutationObserver(() => requestAnimationFrame(draw)).observe(document.body, { attributes: true, attributeFilter: ["class"] });
element.dspCompare = { state, sides, look }; // for tests and the curious
watch("value", () => show(props.value));
show(props.value);
