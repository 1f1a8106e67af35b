// The polarity view: draws what DspMaths computes. Runs once when the component is mounted; `element`, `props`, `trigger`
// and `watch` are Gradio's.
const root = element.querySelector(".dv");
const $ = (selector) => root.querySelector(selector);
const stage = $(".dv-stage");
const panel = $(".dv-panel");
const key = $(".dv-key");

const SAME = [15, 138, 128];
const OPPOSITE = [217, 108, 20];
const FIXED = 8; // × uniform
const QUANTILE = 0.995; // one outstanding token would otherwise bleach all others

const state = { block: 0, head: 0, scale: 0, stream: 0, query: [0, 0], all: false, show: "maps", colours: "shared", opacity: 0.85, smooth: false };
let result = null; // manifest of the analysis that is shown
let picture = null; // { image, muted } as the model saw it
let block = null; // decoded factors of the block that is shown
let maps = null; // maps[scale][head][stream]; the last "scale" is the effective map of the layer
let hovered = null;
let requested = 0; // number of the newest request; answers to older ones are dropped
const cache = new Map();

// ---- data ----------------------------------------------------------------------------------------------------------

// In a page that was taken away the pieces lie in the manifest itself.
function address(piece) {
  if (result.pieces) return `data:application/octet-stream;base64,${result.pieces[piece]}`;
  return new URL(`results/${result.token}/${piece}`, document.baseURI);
}

async function load(index) {
  const name = `${result.token}/${index}`;
  if (!cache.has(name)) {
    cache.set(
      name,
      fetch(address(index)).then((answer) => {
        if (!answer.ok) throw new Error("This result is no longer kept. Analyse the picture again.");
        return answer.arrayBuffer().then(DspMaths.decode);
      }),
    );
    cache.get(name).catch(() => cache.delete(name));
    while (cache.size > 16) cache.delete(cache.keys().next().value);
  }
  return cache.get(name);
}

async function showBlock(index) {
  const number = ++requested;
  root.setAttribute("aria-busy", "true");
  state.block = index;
  try {
    const loaded = await load(index);
    if (number !== requested) return;
    block = loaded;
    update();
    root.setAttribute("aria-busy", "false");
    for (const near of [index + 1, index - 1]) if (near >= 0 && near < result.blocks) load(near).catch(() => {});
  } catch (error) {
    if (number === requested) note(error.message);
  }
}

async function showResult(manifest) {
  if (!manifest || (result && manifest.token === result.token)) return;
  const first = result === null;
  const [H, W] = manifest.grid;
  if (!first) state.query = state.query.map((at, axis) => Math.floor(((at + 0.5) * manifest.grid[axis]) / result.grid[axis]));
  result = manifest;
  if (first) Object.assign(state, { block: Math.min(2, manifest.blocks - 1), query: [Math.floor(H / 2) - 1, Math.floor(W / 2) - 1] });
  if (first && manifest.view) restore(manifest.view);
  state.block = Math.min(state.block, manifest.blocks - 1);
  state.query = [clamp(state.query[0], 0, H - 1), clamp(state.query[1], 0, W - 1)];
  const image = new Image();
  image.src = address("picture");
  await Promise.all([image.decode().catch(() => {}), showBlock(state.block)]);
  if (result !== manifest) return; // a newer picture came in between
  picture = { image, muted: mute(image) };
  note("");
  draw();
}

// The picture fades a little to gray, so that a map's colour is never mistaken for the picture's.
function mute(image) {
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d");
  if (!canvas.width) return canvas;
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const [r, g, b] = pixels.data.subarray(i, i + 3);
    const gray = 0.299 * r + 0.587 * g + 0.114 * b;
    for (let c = 0; c < 3; c++) pixels.data[i + c] += 0.65 * (gray - pixels.data[i + c]);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

// ---- what is shown ---------------------------------------------------------------------------------------------------

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

const scaleCount = () => block.scales.length + 1; // the last is the layer's effective map
const scaleName = (scale) => (scale < block.scales.length ? `${2 ** scale}×` : "layer");
const STREAMS = ["same", "opposite"];

function update() {
  if (!block) return;
  maps = withLayer(block, state.all ? "all" : state.query);
  state.head = clamp(state.head, 0, block.heads - 1);
  state.scale = clamp(state.scale, 0, scaleCount() - 1);
  draw();
}

// All maps of a block for a query, and after its scales the effective maps of the layer.
function withLayer(block, query) {
  const scales = DspMaths.maps(block, query);
  return [...scales, Array.from({ length: block.heads }, (_, h) => DspMaths.effective(block, scales, h))];
}

// One drawn map: values in units of the uniform map, signed where the index is shown.
function cell(head, scale, stream, source = { block, maps }) {
  const [same, opposite] = source.maps[scale][head];
  const layer = scale === source.block.scales.length;
  const full = source.block.scales[0];
  const { H, W } = layer ? full : source.block.scales[scale];
  const values = new Float32Array(H * W);
  for (let i = 0; i < values.length; i++)
    values[i] = H * W * (state.show === "index" ? same[i] - opposite[i] : stream ? opposite[i] : same[i]);
  return { values, H, W, full, factor: layer ? 1 : 2 ** scale, sign: stream && state.show === "maps" ? -1 : 1 };
}

function limit(cells) {
  if (state.colours === "fixed") return FIXED;
  return Math.max(1, DspMaths.quantile(cells.map(({ values }) => values.map(Math.abs)), QUANTILE));
}

function columns() {
  const streams = state.show === "index" ? [0] : [0, 1];
  return Array.from({ length: scaleCount() }, (_, scale) => streams.map((stream) => ({ scale, stream }))).flat();
}
