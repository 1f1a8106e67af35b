// Choices, pointer and keys of the overview, and what can be taken away from it.

import { shareUnder } from "./canvas.js";
import { zoomed } from "./cells.js";
import { latest } from "./cache.js";
import { closing, find, MOVES, onDrag, settersOf, valueOf } from "./elements.js";
import { askToLook, openMaps } from "./events.js";
import { colouring, headText, spotAfter } from "./glance.js";
import { loadBlock } from "./pieces.js";
import { inPicture, tokenAt, within, zoomedBox } from "./places.js";
import { barShapes, group, mapShapes, originOf, saveSheet, sheetOf, words } from "./sheet.js";
import { pageGrid, queryOf, queryText } from "./shown.js";
import { blockText } from "./stages.js";

/** @typedef {import("./overview.js").Overview} Overview */
/** @typedef {import("./pieces.js").Result} Result */
/** @typedef {{ cell: HTMLElement, index: number, head: number }} Under */
/** @typedef {Pick<Overview, "root" | "canvas" | "result" | "state">} Asking `canvas`: the picture's place */

const HINT = "Each square is one head. Point at one for its numbers; a click opens it.";

/** @param {Overview} overview */
export function connect(overview) {
  const { root } = overview;
  connectQuery(overview);
  connectCells(overview);
  const scales = find(root, "[data-scales]", HTMLSelectElement);
  scales.addEventListener("input", () => {
    overview.choice = Number(scales.value);
    overview.refresh();
  });
  const extensions = /** @type {const} */ (["png", "svg"]);
  for (const extension of extensions)
    find(root, `[data-do="${extension}"]`, HTMLElement).addEventListener("click", () => save(overview, extension));
  closing(find(root, ".dv-menu", HTMLDetailsElement));
}

/**
 * What is asked, and how it is shown: asked of the view of the maps, which all others follow.
 *
 * @param {Asking} asking
 */
export function connectQuery(asking) {
  connectPicture(asking);
  for (const [name, control] of settersOf(asking.root)) {
    /** @type {Record<string, (value: any, result: Result) => import("./events.js").Wanted>} */
    const queries = {
      all: (checked, result) => ({ query: checked ? "all" : asking.state.asks || queryOf(result, asking.state) }),
      asks: (value, result) => ({ query: value || queryOf(result, asking.state) }),
    };
    control.addEventListener("input", () => {
      const value = valueOf(control);
      if (asking.result) askToLook(queries[name]?.(value, asking.result) ?? { [name]: value });
    });
  }
}

/** The patch that asks, in all layers. @param {Asking} asking */
function connectPicture(asking) {
  const { canvas } = asking;
  onDrag(canvas, (event) => {
    const { result, state } = asking;
    if (!result) return;
    const query = tokenAt(pageGrid(result), inPicture(shareUnder(event, canvas)));
    if (state.all || state.asks || query.join() !== queryOf(result, state).join()) askToLook({ query });
  });
  canvas.addEventListener("keydown", (event) => {
    const { result, state } = asking;
    if (!result || !Object.hasOwn(MOVES, event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    const [row, column] = queryOf(result, state);
    const [down, right] = MOVES[event.key];
    askToLook({ query: within(pageGrid(result), [row + down, column + right]) });
    event.preventDefault();
  });
}

/** @param {Event} event @returns {Under | null} the head that it is about */
function headOf({ target }) {
  const cell = target instanceof Element ? target.closest("[data-layer]") : null;
  if (!(cell instanceof HTMLElement)) return null;
  return { cell, index: Number(cell.dataset.layer), head: Number(cell.dataset.head) };
}

/** @param {Overview} overview */
function connectCells(overview) {
  const { table, root } = overview;
  const read = find(root, ".do-read", HTMLElement);
  const newest = latest();
  read.textContent = HINT;
  /** @param {Under | null} under */
  const tell = (under) => {
    const { result, state, choice } = overview;
    if (!under || !result) return newest(Promise.resolve(), () => (read.textContent = HINT));
    const show = (/** @type {import("./layer.js").Block} */ block) => {
      const { name, lines } = headText(result, under.index, block, state, choice, under.head);
      const strong = Object.assign(document.createElement("b"), { textContent: name });
      read.replaceChildren(
        strong,
        ...lines.map((textContent) => Object.assign(document.createElement("span"), { textContent })),
      );
    };
    return newest(loadBlock(result, under.index), show, () => {});
  };
  table.addEventListener("pointerover", (event) => tell(headOf(event)));
  table.addEventListener("pointerleave", () => tell(null));
  table.addEventListener("focusin", (event) => tell(headOf(event)));
  table.addEventListener("click", (event) => {
    const under = headOf(event);
    if (under) open(overview, under, mapUnder(overview, under, event));
  });
  table.addEventListener("keydown", (event) => {
    const { result } = overview;
    const under = headOf(event);
    if (!result || !under || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" || event.key === " ") open(overview, under, -1);
    else if (!go(overview, result, under, event.key)) return;
    event.preventDefault();
  });
}

/** Which of a head's maps is under the pointer. @param {Overview} overview @param {Under} under @param {MouseEvent} event */
function mapUnder({ rows }, { cell, index }, { clientX }) {
  const { left, width } = find(cell, "canvas", HTMLCanvasElement).getBoundingClientRect();
  const beside = rows.get(index)?.streams.length ?? 1;
  return Math.min(beside - 1, Math.max(0, Math.floor(((clientX - left) / width) * beside)));
}

/** @param {Overview} overview @param {Under} under @param {number} map which of the head's; −1: nobody said */
function open({ rows, state }, { index, head }, map) {
  const row = rows.get(index);
  if (!row) return;
  const shown = row.index && state.show === "index"; // of both streams together
  openMaps({ block: index, head, scale: row.scale, ...(map >= 0 && !shown && { stream: row.streams[map] }) });
}

/**
 * To the head that a key leads to, if it does.
 *
 * @param {Overview} overview @param {Result} result @param {Under} under @param {string} key
 */
function go(overview, result, { index, head }, key) {
  const order = overview.order(result);
  const heads = order.map((each) => result.layers[each].heads);
  const spot = spotAfter(heads, [order.indexOf(index), head], key);
  if (spot) overview.enterable(order[spot[0]], spot[1])?.focus();
  return spot !== null;
}

/** @param {Overview} overview @param {"png" | "svg"} extension */
function save(overview, extension) {
  const { result, root } = overview;
  if (!result) return;
  const scale = Number(find(root, "[data-scale]", HTMLSelectElement).value);
  saveSheet(sheetFor(overview, result), extension, `${result.name}-overview`, scale);
}

/**
 * A line for each layer, with all of its heads, and the bars.
 *
 * @param {Overview} overview @param {Result} result
 */
function sheetFor({ rows, state }, result) {
  const { H, W } = pageGrid(result);
  const [margin, left, top, size, gap, between] = [24, 150, 78, 60, 3, 14];
  const tall = (size * H) / W;
  const order = [...rows.keys()].sort((a, b) => a - b);
  const all = order.flatMap((index) => rows.get(index) ?? []);
  const { topOf, bars } = colouring(all, state.colours);
  const lines = all.map((row, line) => {
    const y = top + line * (tall + 24);
    const step = row.cells[0].length * (size + gap) - gap + between;
    const heads = row.cells.map((maps, head) => {
      const shapes = maps.map((map, i) => {
        const frame = `<rect width="${size}" height="${tall}" fill="none" stroke="#c9d0d7" stroke-width=".6"/>`;
        const [dx, dy, ...wide] = zoomedBox(map, [0, 0, size, tall]);
        const drawn = group(dx, dy, mapShapes(zoomed(map), topOf(map), ...wide, { smooth: state.smooth }));
        return group(i * (size + gap), 0, drawn + frame);
      });
      const caption = [head + 1, row.captions[head]].filter(Boolean).join(" · ");
      return group(head * step, 0, shapes.join("") + words((step - between) / 2, tall + 14, caption, "middle"));
    });
    const name = words(margin, y + tall / 2, blockText(result.layers, order[line]));
    const more = words(margin, y + tall / 2 + 16, row.scaleName);
    return { drawn: name + more + group(left, y, heads.join("")), width: row.cells.length * step };
  });
  const below = top + all.length * (tall + 24) + 26;
  const drawn = bars.map(({ title, scale }, i) => group(left, below + 52 * i, barShapes(scale, 320, { title })));
  const asked = queryText(state.all ? "all" : state.asks || queryOf(result, state));
  const width = left + margin + Math.max(360, ...lines.map((line) => line.width));
  const content = [
    words(margin, 30, originOf(result), "start", 700),
    words(margin, 52, asked),
    ...lines.map((line) => line.drawn),
    ...drawn,
  ];
  return sheetOf(
    Math.ceil(width),
    Math.ceil(below + 52 * bars.length),
    `${originOf(result)} · ${asked}`,
    content.join(""),
  );
}
