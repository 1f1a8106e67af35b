// The polarity view: draws what DspMaths computes. Runs once when the component is mounted; `element`, `props`, `trigger`
// and `watch` are Gradio's.
const root = element.querySelector(".dv");
const $ = (selector) => root.querySelector(selector);
const stage = $(".dv-stage");
const panel = $(".dv-panel");

const settings = (blocks, grid) => ({ block: Math.min(2, blocks - 1), head: 0, scale: 0, stream: 0, query: middle(grid), all: false, show: "maps", colours: "shared", opacity: 0.85, smooth: false });
const state = settings(3, [0, 0]);
let result = null; // manifest of the analysis that is shown
let restored = null; // the part of a link that was applied last
let picture = null; // { image, muted, ground } as the model saw it
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
    note("");
    update();
    root.setAttribute("aria-busy", "false");
    for (const near of [index + 1, index - 1]) if (near >= 0 && near < result.blocks) loadBlock(result, near).catch(() => {});
  } catch (error) {
    if (number === requested) tellFault($(".dv-note"), error);
  }
}

async function showResult(manifest) {
  if (!manifest) return;
  const news = manifest.view && manifest.view !== restored;
  if (result && manifest.token === result.token) return news && restore(manifest.view);
  const first = result === null;
  if (first) Object.assign(state, settings(manifest.blocks, manifest.grid));
  else state.query = state.query.map((at, axis) => Math.floor(((at + 0.5) * manifest.grid[axis]) / result.grid[axis]));
  result = manifest;
  const [loaded] = await Promise.all([loadPicture(manifest), news ? restore(manifest.view) : showBlock(fitted().block)]);
  if (result !== manifest) return; // a newer picture came in between
  picture = loaded;
  draw();
}

// The settings, within what the result has; what depends on a block is fitted when it is there.
function fitted() {
  state.block = clamp(state.block, 0, result.blocks - 1);
  state.query = state.query.map((at, axis) => clamp(at, 0, result.grid[axis] - 1));
  return state;
}

// Sets the view as a link says; what it does not say is as at first.
async function restore(view) {
  restored = view;
  const { query, ...said } = readAddress(view);
  const fresh = settings(result.blocks, result.grid);
  for (const name of Object.keys(fresh)) state[name] = said[name] ?? fresh[name];
  state.all = query === "all";
  if (Array.isArray(query)) state.query = query;
  await showBlock(fitted().block);
  announce();
}

// ---- what is shown ---------------------------------------------------------------------------------------------------

const hasIndex = () => block.kind === "linear";
const showsIndex = () => state.show === "index" && hasIndex();

function update() {
  if (!block) return;
  maps = allMaps(block, state.all ? "all" : state.query);
  state.head = clamp(state.head, 0, block.heads - 1);
  state.scale = clamp(state.scale, 0, scaleCount(block) - 1);
  state.stream = clamp(state.stream, 0, streamsOf(block).length - 1);
  offer();
  draw();
}

// What the model lacks is not offered.
function offer() {
  const has = { index: hasIndex(), scales: scaleCount(block) > 1 };
  for (const part of root.querySelectorAll("[data-needs]")) part.hidden = !has[part.dataset.needs];
  $('[data-out="heads"]').textContent = `1 … ${Math.min(9, block.heads)}`;
}

function columns() {
  const streams = showsIndex() ? [0] : streamsOf(block).map((_, i) => i);
  return Array.from({ length: scaleCount(block) }, (_, scale) => streams.map((stream) => ({ scale, stream }))).flat();
}

const shown = (place) => cell({ block, maps }, place, state.show);

// All small maps, the chosen one, and where their scales end.
function allShown() {
  const all = columns();
  const cells = Array.from({ length: block.heads }, (_, head) => all.map((place) => shown({ head, ...place })));
  const shared = limit(cells.flat(), state.colours);
  const topOf = (c) => (state.colours === "own" ? limit([c]) : shared);
  const scale = state.colours === "own" ? ownScale(cells.flat()) : scaleOf(cells.flat(), shared);
  const chosen = shown(state);
  return { all, cells, topOf, scale, chosen };
}

const streamName = (stream) => (showsIndex() ? "same − opposite" : streamsOf(block)[stream]);

// What stands over the bar of the small maps.
function scaleTitle() {
  if (showsIndex()) return "opposite more  ← × uniform →  same more";
  return hasIndex() ? "opposite  ← × uniform →  same" : "softmax attention, × uniform";
}
