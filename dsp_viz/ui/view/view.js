// The polarity view: draws what DspMaths computes. Runs once when the component is mounted; `element`, `props`, `trigger`
// and `watch` are Gradio's.
const root = element.querySelector(".dv");
const $ = (selector) => root.querySelector(selector);
const stage = $(".dv-stage");
const panel = $(".dv-panel");
const key = $(".dv-key");

const state = { block: 0, head: 0, scale: 0, stream: 0, query: [0, 0], all: false, show: "maps", colours: "shared", opacity: 0.85, smooth: false };
let result = null; // manifest of the analysis that is shown
let picture = null; // { image, muted } as the model saw it
let block = null; // decoded factors of the block that is shown
let maps = null; // maps[scale][head][stream]; the last "scale" is the effective map of the layer
let hovered = null;
let requested = 0; // number of the newest request; answers to older ones are dropped

// ---- data ----------------------------------------------------------------------------------------------------------

async function showBlock(index) {
  const number = ++requested;
  root.setAttribute("aria-busy", "true");
  state.block = index;
  try {
    const loaded = await loadBlock(result, index);
    if (number !== requested) return;
    block = loaded;
    update();
    root.setAttribute("aria-busy", "false");
    for (const near of [index + 1, index - 1]) if (near >= 0 && near < result.blocks) loadBlock(result, near).catch(() => {});
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
  const [loaded] = await Promise.all([loadPicture(manifest), showBlock(state.block)]);
  if (result !== manifest) return; // a newer picture came in between
  picture = loaded;
  note("");
  draw();
}

// ---- what is shown ---------------------------------------------------------------------------------------------------

const showsIndex = () => state.show === "index" && block.kind === "linear";

function update() {
  if (!block) return;
  maps = allMaps(block, state.all ? "all" : state.query);
  state.head = clamp(state.head, 0, block.heads - 1);
  state.scale = clamp(state.scale, 0, scaleCount(block) - 1);
  state.stream = clamp(state.stream, 0, streamsOf(block).length - 1);
  draw();
}

function columns() {
  const streams = showsIndex() ? [0] : streamsOf(block).map((_, i) => i);
  return Array.from({ length: scaleCount(block) }, (_, scale) => streams.map((stream) => ({ scale, stream }))).flat();
}

const shown = (place) => cell({ block, maps }, place, state.show);
