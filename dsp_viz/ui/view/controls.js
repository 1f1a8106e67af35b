// Pointer, keys, controls, and what can be taken away. Continues view.js in the same scope.

// Python is told which block and head is looked at, so that the other tabs follow; not on every step of a key held down.
let telling = 0;
function announce() {
  clearTimeout(telling);
  telling = setTimeout(() => trigger("pick", { block: state.block, head: state.head }), 150);
}

// At once, but at most once a frame.
let frame = 0;
let late = false;
function refresh() {
  late = frame !== 0;
  if (late) return;
  update();
  frame = requestAnimationFrame(() => {
    frame = 0;
    if (late) refresh();
  });
}

function goToBlock(index) {
  if (!result) return;
  showBlock(clamp(index, 0, result.blocks - 1));
  announce();
}

// A part is to be looked at: { block, head, scale, stream }, what is missing stays.
function look({ block: index, ...rest }) {
  Object.assign(state, rest);
  goToBlock(index ?? state.block);
}

// Other tabs ask for a block or a head so.
document.addEventListener("dsp-look", ({ detail }) => result && look(detail));

function ask(row, column) {
  const { H, W } = block.scales[0];
  Object.assign(state, { query: [clamp(row, 0, H - 1), clamp(column, 0, W - 1)], all: false });
  refresh();
}

stage.addEventListener("pointerdown", (event) => {
  if (!block) return;
  stage.setPointerCapture(event.pointerId);
  ask(...tokenAt(event, stage, block.scales[0]));
});
stage.addEventListener("pointermove", (event) => {
  if (!block) return;
  const token = tokenAt(event, stage, block.scales[0]);
  if (hovered && hovered.join() === token.join()) return;
  hovered = token;
  if (event.buttons && stage.hasPointerCapture(event.pointerId)) ask(...token);
  else if (maps) requestAnimationFrame(draw);
});
stage.addEventListener("pointerleave", () => {
  hovered = null;
  if (maps) draw();
});

// The small map under the pointer, if there is one.
function smallMapAt(event) {
  if (!layout) return null;
  const box = panel.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top - layout.top];
  const head = Math.floor(y / layout.step);
  const index = layout.all.findIndex((_, i) => x >= columnAt(i) && x <= columnAt(i) + layout.size);
  if (index < 0 || y < 0 || head >= block.heads) return null;
  const { scale, stream } = layout.all[index];
  return { head, scale, stream: showsIndex() ? state.stream : stream };
}

panel.addEventListener("click", (event) => {
  const place = smallMapAt(event);
  if (!place) return;
  Object.assign(state, place);
  draw();
  announce();
});
panel.addEventListener("pointermove", (event) => {
  const place = smallMapAt(event);
  panel.title = place ? smallMapTold(place) : "";
});

const KEYS = {
  ArrowUp: () => ask(state.query[0] - 1, state.query[1]),
  ArrowDown: () => ask(state.query[0] + 1, state.query[1]),
  ArrowLeft: () => ask(state.query[0], state.query[1] - 1),
  ArrowRight: () => ask(state.query[0], state.query[1] + 1),
  "[": () => goToBlock(state.block - 1),
  "]": () => goToBlock(state.block + 1),
  s: () => set("scale", (state.scale + 1) % scaleCount(block)),
  p: () => set("stream", (state.stream + 1) % streamsOf(block).length),
  a: () => set("all", !state.all),
  d: () => hasIndex() && set("show", state.show === "maps" ? "index" : "maps"),
  m: () => set("smooth", !state.smooth),
  "?": () => help(),
};

function set(name, value) {
  state[name] = value;
  refresh();
}

stage.addEventListener("keydown", (event) => {
  if (!block || event.ctrlKey || event.metaKey || event.altKey) return;
  const number = Number(event.key);
  if (number >= 1 && number <= block.heads) {
    set("head", number - 1);
    announce();
  } else if (KEYS[event.key]) KEYS[event.key]();
  else return;
  event.preventDefault();
});

for (const control of root.querySelectorAll("[data-set]")) {
  control.addEventListener("input", () => {
    const value = control.type === "checkbox" ? control.checked : control.type === "range" ? Number(control.value) : control.value;
    set(control.dataset.set, value);
  });
}

function help() {
  const open = $(".dv-help").hidden;
  $(".dv-help").hidden = !open;
  $('[data-do="help"]').setAttribute("aria-expanded", String(open));
}

const picked = (extension) => () => saveSheet(sheet(), extension, fileName(), Number($("[data-scale]").value));
const ACTIONS = {
  "block-": () => goToBlock(state.block - 1),
  "block+": () => goToBlock(state.block + 1),
  png: picked("png"),
  svg: picked("svg"),
  pdf: () => fromServer("pdf"),
  npz: () => fromServer("npz"),
  html: () => fromServer("html"),
  python: () => copyText(python(), "Python", $(".dv-note")),
  help,
};
for (const button of root.querySelectorAll("[data-do]")) {
  // A page that was taken away has no server behind it.
  if (props.value && props.value.pieces && ["pdf", "npz", "html"].includes(button.dataset.do)) button.remove();
  button.addEventListener("click", () => (button.dataset.do === "help" || block) && ACTIONS[button.dataset.do]());
}
closing($(".dv-menu"));

new ResizeObserver(() => requestAnimationFrame(draw)).observe(root);
new MutationObserver(() => requestAnimationFrame(draw)).observe(document.body, { attributes: true, attributeFilter: ["class"] });
element.dspView = { state, result: () => result, maps: () => maps, block: () => block, ask, look, goToBlock, link, restore }; // for tests and the curious
watch("value", () => showResult(props.value));
showResult(props.value);
