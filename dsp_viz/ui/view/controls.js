// Pointer, keys and controls of the view of the maps.

import { shareUnder } from "./canvas.js";
import { hasIndex, scaleCount } from "./cells.js";
import { draw } from "./draw.js";
import { closing, copyText, find, findAll, MOVES, settersOf, valueOf } from "./elements.js";
import { inPicture, moved, tokenAt } from "./places.js";
import { pageGrid, showsIndex, smallText } from "./shown.js";
import { stagesOf } from "./stages.js";
import { fromServer, pythonOf, saveMaps } from "./take.js";

/** @typedef {import("./maths.js").Place} Place */
/** @typedef {import("./shown.js").Shown} Shown */
/** @typedef {import("./view.js").View} View */

/** @param {View} view */
export function connect(view) {
  const refresh = onceAFrame(() => view.update());
  connectStage(view, refresh);
  connectPanel(view);
  for (const [name, control] of settersOf(view.root))
    control.addEventListener("input", () => {
      Object.assign(view.state, { [name]: valueOf(control) });
      if (name === "seen") view.showPicture();
      if (name === "asks") view.state.all = false;
      refresh();
    });
  const stages = find(view.root, "[data-stages]", HTMLSelectElement);
  stages.addEventListener("input", () => {
    if (view.result) view.look({ block: stagesOf(view.result.layers)[Number(stages.value)].layers[0] });
  });
  connectKeys(view, refresh);
  connectButtons(view);
  closing(find(view.root, ".dv-menu", HTMLDetailsElement));
}

/** At once, but at most once a frame. @param {() => void} work */
function onceAFrame(work) {
  let frame = 0;
  let late = false;
  const ask = () => {
    late = frame !== 0;
    if (late) return;
    work();
    frame = requestAnimationFrame(() => {
      frame = 0;
      if (late) ask();
    });
  };
  return ask;
}

/** @param {View} view @param {Place} at shares of the picture */
function ask({ state }, at) {
  Object.assign(state, { at, all: false, asks: "" });
}

/** @param {View} view @param {() => void} refresh */
function connectStage(view, refresh) {
  const { stage } = view;
  stage.addEventListener("pointerdown", (event) => {
    if (!view.shown) return;
    stage.setPointerCapture(event.pointerId);
    ask(view, inPicture(shareUnder(event, stage)));
    refresh();
  });
  stage.addEventListener("pointermove", (event) => {
    if (!view.shown) return;
    const grid = pageGrid(view.shown.result);
    const last = view.pointed;
    view.pointed = shareUnder(event, stage);
    const token = tokenAt(grid, view.pointed);
    if (last && tokenAt(grid, last).join() === token.join()) return;
    if (event.buttons && stage.hasPointerCapture(event.pointerId)) {
      ask(view, inPicture(view.pointed));
      refresh();
    } else requestAnimationFrame(() => draw(view));
  });
  stage.addEventListener("pointerleave", () => {
    view.pointed = null;
    draw(view);
  });
}

/**
 * The small map under the pointer, if there is one.
 *
 * @param {View} view @param {Shown} shown @param {MouseEvent} event
 */
function smallUnder({ layout, panel, state }, shown, { clientX, clientY }) {
  if (!layout) return null;
  const box = panel.getBoundingClientRect();
  const [wide, y] = [clientX - box.left, clientY - box.top - layout.top];
  const beside = Math.min(Math.floor(wide / layout.group), layout.across - 1);
  const x = wide - beside * layout.group;
  const head = Math.floor(y / layout.step) * layout.across + beside;
  const column = layout.columns.find((_, i) => x >= layout.x[i] && x <= layout.x[i] + layout.size);
  if (!column || y < 0 || head >= shown.block.heads) return null;
  return { ...column, head, ...(showsIndex(shown, state) && { stream: state.stream }) };
}

/** @param {View} view */
function connectPanel(view) {
  const { panel } = view;
  panel.addEventListener("click", (event) => {
    const which = view.shown && smallUnder(view, view.shown, event);
    if (!which) return;
    Object.assign(view.state, which);
    draw(view);
    view.announce();
  });
  panel.addEventListener("pointermove", (event) => {
    const which = view.shown && smallUnder(view, view.shown, event);
    panel.title = view.shown && which ? smallText(view.shown, view.state, which) : "";
  });
}

/** @param {View} view @param {() => void} refresh */
function connectKeys(view, refresh) {
  const { stage, state } = view;
  /** @type {Record<string, (shown: Shown) => void>} */
  const keys = {
    s: ({ block }) => (state.scale = (state.scale + 1) % scaleCount(block)),
    p: ({ block }) => (state.stream = (state.stream + 1) % block.streams.length),
    a: () => (state.all = !state.all),
    d: ({ block }) => hasIndex(block) && (state.show = state.show === "maps" ? "index" : "maps"),
    m: () => (state.smooth = !state.smooth),
  };
  for (const [key, by] of Object.entries(MOVES))
    keys[key] = ({ result, block }) => ask(view, moved(state.at, pageGrid(result), block.grid, by));
  /** @type {Record<string, () => void>} */
  const others = { "[": () => step(view, -1), "]": () => step(view, 1), "?": () => help(view) };
  stage.addEventListener("keydown", (event) => {
    if (!view.shown || event.ctrlKey || event.metaKey || event.altKey) return;
    const number = Number(event.key);
    if (number >= 1 && number <= view.shown.block.heads) {
      state.head = number - 1;
      refresh();
      view.announce();
    } else if (Object.hasOwn(keys, event.key)) {
      keys[event.key](view.shown);
      refresh();
    } else if (Object.hasOwn(others, event.key)) others[event.key]();
    else return;
    event.preventDefault();
  });
}

/** Another block. @param {View} view @param {number} by */
function step(view, by) {
  view.look({ block: view.state.block + by });
}

/** @param {View} view */
function help({ root }) {
  const words = find(root, ".dv-help", HTMLElement);
  words.hidden = !words.hidden;
  find(root, '[data-do="help"]', HTMLElement).setAttribute("aria-expanded", String(!words.hidden));
}

/** @param {View} view */
function connectButtons(view) {
  /** @type {Record<string, (shown: Shown) => void>} */
  const actions = {
    "block-": () => step(view, -1),
    "block+": () => step(view, 1),
    png: (shown) => saveMaps(view, shown, "png"),
    svg: (shown) => saveMaps(view, shown, "svg"),
    pdf: (shown) => fromServer(view, shown, "pdf"),
    npz: (shown) => fromServer(view, shown, "npz"),
    html: (shown) => fromServer(view, shown, "html"),
    python: (shown) => copyText(pythonOf(shown, view.state), "Python", view.note),
  };
  view.root.addEventListener("keydown", ({ key }) => {
    if (key === "Escape" && !find(view.root, ".dv-help", HTMLElement).hidden) help(view);
  });
  for (const button of findAll(view.root, "[data-do]", HTMLButtonElement))
    button.addEventListener("click", () => {
      const name = button.dataset.do ?? "";
      if (name === "help") help(view);
      else if (view.shown) actions[name](view.shown);
    });
}
