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

function ask(row, column) {
  const { H, W } = block.scales[0];
  Object.assign(state, { query: [clamp(row, 0, H - 1), clamp(column, 0, W - 1)], all: false });
  refresh();
}

function at(event, canvas, rows, columns) {
  const box = canvas.getBoundingClientRect();
  const row = Math.floor(((event.clientY - box.top) / box.height) * rows);
  const column = Math.floor(((event.clientX - box.left) / box.width) * columns);
  return [clamp(row, 0, rows - 1), clamp(column, 0, columns - 1)];
}

stage.addEventListener("pointerdown", (event) => {
  if (!block) return;
  stage.setPointerCapture(event.pointerId);
  ask(...at(event, stage, block.scales[0].H, block.scales[0].W));
});
stage.addEventListener("pointermove", (event) => {
  if (!block) return;
  const token = at(event, stage, block.scales[0].H, block.scales[0].W);
  if (hovered && hovered.join() === token.join()) return;
  hovered = token;
  if (event.buttons && stage.hasPointerCapture(event.pointerId)) ask(...token);
  else if (maps) requestAnimationFrame(draw);
});
stage.addEventListener("pointerleave", () => {
  hovered = null;
  if (maps) draw();
});

panel.addEventListener("click", (event) => {
  if (!layout) return;
  const box = panel.getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top - layout.top];
  const head = Math.floor(y / layout.step);
  const index = layout.all.findIndex((_, i) => x >= columnAt(i) && x <= columnAt(i) + layout.size);
  if (index < 0 || y < 0 || head >= block.heads) return;
  const { scale, stream } = layout.all[index];
  Object.assign(state, { head, scale, stream: state.show === "index" ? state.stream : stream });
  draw();
  announce();
});

const KEYS = {
  ArrowUp: () => ask(state.query[0] - 1, state.query[1]),
  ArrowDown: () => ask(state.query[0] + 1, state.query[1]),
  ArrowLeft: () => ask(state.query[0], state.query[1] - 1),
  ArrowRight: () => ask(state.query[0], state.query[1] + 1),
  "[": () => goToBlock(state.block - 1),
  "]": () => goToBlock(state.block + 1),
  s: () => set("scale", (state.scale + 1) % scaleCount()),
  p: () => set("stream", 1 - state.stream),
  a: () => set("all", !state.all),
  d: () => set("show", state.show === "maps" ? "index" : "maps"),
  m: () => set("smooth", !state.smooth),
  c: togglePin,
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

// ---- taking away ---------------------------------------------------------------------------------------------------------

function download(address, name) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
}

function save(blob, extension) {
  const address = URL.createObjectURL(blob);
  download(address, `${result.name}-block${state.block + 1}-head${state.head + 1}.${extension}`);
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

// What the server makes of the whole result.
async function fromServer(extension) {
  note("One moment …");
  const answer = await fetch(address(extension)).catch(() => null);
  if (!answer || !answer.ok) return note("This result is no longer kept. Analyse the picture again.");
  const blob = await answer.blob();
  download(URL.createObjectURL(blob), `${result.name}.${extension}`);
  note("");
}

// Everything on the view in one picture, on the page's background.
function savePng() {
  const margin = 24;
  const canvas = document.createElement("canvas");
  canvas.width = stage.width + panel.width + 3 * margin;
  canvas.height = Math.max(stage.height, panel.height + key.height + margin) + 2 * margin;
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(document.body).backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(stage, margin, margin);
  context.drawImage(panel, stage.width + 2 * margin, margin);
  context.drawImage(key, stage.width + 2 * margin, panel.height + 2 * margin);
  canvas.toBlob((blob) => save(blob, "png"));
}

// The chosen map over the picture, as shapes: a rectangle for each token, its value in a <title>.
function saveSvg() {
  const { H, W } = block.scales[0];
  const unit = 32;
  const chosen = cell(state.head, state.scale, state.stream);
  const top = state.colours === "own" ? limit([chosen]) : limit(columns().flatMap(({ scale, stream }) => Array.from({ length: block.heads }, (_, h) => cell(h, scale, stream))));
  const { factor } = chosen;
  const rectangles = Array.from(chosen.values, (value, i) => {
    const [r, c] = [Math.floor(i / chosen.W) * factor, (i % chosen.W) * factor];
    const colour = chosen.sign * value < 0 ? OPPOSITE : SAME;
    const opacity = state.opacity * Math.min(1, Math.abs(value) / top) ** 0.6;
    return `<rect x="${c * unit}" y="${r * unit}" width="${Math.min(factor, W - c) * unit}" height="${Math.min(factor, H - r) * unit}" fill="rgb(${colour.join()})" fill-opacity="${opacity.toFixed(4)}"><title>${value.toPrecision(4)} × uniform</title></rect>`;
  });
  const [row, column] = state.query;
  const frame = state.all ? "" : `<rect x="${column * unit}" y="${row * unit}" width="${unit}" height="${unit}" fill="none" stroke="#000" stroke-width="5"/><rect x="${column * unit}" y="${row * unit}" width="${unit}" height="${unit}" fill="none" stroke="#fff" stroke-width="2.5"/>`;
  const text = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 ${W * unit} ${H * unit}"><title>${$(".dv-read").innerText.replace(/[<&]/g, " ")}</title><image width="${W * unit}" height="${H * unit}" preserveAspectRatio="none" xlink:href="${picture.muted.toDataURL()}"/>${rectangles.join("")}${frame}</svg>`;
  save(new Blob([text], { type: "image/svg+xml" }), "svg");
}

// What is shown, in the part of the address behind the #. Examples can always be restored, an upload while it is kept.
function link() {
  const { all, query, ...rest } = state;
  const parts = new URLSearchParams({ picture: result.example || result.token, side: result.side, whole: result.whole, query: all ? "all" : query.join(), ...rest });
  const address = new URL(document.baseURI);
  address.hash = parts;
  return address.href;
}

function restore(view) {
  const parts = new URLSearchParams(view);
  for (const [name, value] of Object.entries(state)) {
    const text = parts.get(name);
    if (text === null || name === "query") continue;
    if (typeof value === "number" && Number.isFinite(Number(text))) state[name] = Math.max(0, Number(text));
    else if (typeof value === "boolean") state[name] = text === "true";
    else if (typeof value === "string" && root.querySelector(`[data-set="${name}"] option[value="${CSS.escape(text)}"]`)) state[name] = text;
  }
  const query = (parts.get("query") || "").split(",").map(Number);
  state.all = parts.get("query") === "all";
  if (query.length === 2 && query.every(Number.isInteger)) state.query = query;
  state.stream = Math.min(state.stream, 1);
}

function python() {
  const query = state.all ? '"all"' : `(${state.query.join(", ")})`;
  const source = result.example ? `examples/${result.example}.jpg` : "your-picture.jpg";
  const options = `side=${result.side}, whole=${result.whole ? "True" : "False"}`;
  const map =
    state.scale < block.scales.length
      ? `dsp_viz.maps.query_map(result.trace, block=${state.block}, scale=${state.scale}, head=${state.head}, polarity="${STREAMS[state.stream]}", query=${query})`
      : `dsp_viz.maps.layer_map(result.trace.blocks[${state.block}], ${query})[${state.stream}, ${state.head}]`;
  return `import dsp_viz\n\nmodel = dsp_viz.load("${result.model}")\nresult = dsp_viz.analyse(model, "${source}", ${options})\n${map}\n`;
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    note(`${what} copied.`);
  } catch {
    note(`Copying is not allowed here. ${what}: ${text}`);
  }
}

const ACTIONS = {
  "block-": () => goToBlock(state.block - 1),
  "block+": () => goToBlock(state.block + 1),
  pin: togglePin,
  png: savePng,
  svg: saveSvg,
  npz: () => fromServer("npz"),
  html: () => fromServer("html"),
  link: () => {
    history.replaceState(null, "", link());
    copy(link(), "Link");
  },
  python: () => copy(python(), "Python"),
  help,
};
for (const button of root.querySelectorAll("[data-do]")) {
  // A page that was taken away has no server behind it.
  if (props.value && props.value.pieces && ["npz", "html", "link"].includes(button.dataset.do)) button.remove();
  button.addEventListener("click", () => (button.dataset.do === "help" || block) && ACTIONS[button.dataset.do]());
}

new ResizeObserver(() => requestAnimationFrame(draw)).observe(root);
new MutationObserver(() => requestAnimationFrame(draw)).observe(document.body, { attributes: true, attributeFilter: ["class"] });
element.dspView = { state, maps: () => maps, block: () => block, ask, goToBlock, link }; // for tests and the curious
watch("value", () => showResult(props.value));
showResult(props.value);
