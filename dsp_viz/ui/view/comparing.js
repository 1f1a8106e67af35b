// Choices, pointer and keys of a comparison, and what can be taken away from it.

import { shareUnder } from "./canvas.js";
import { scaleCount, scaleName } from "./cells.js";
import { columnsOf, drawnOf, mapName } from "./compared.js";
import { closing, find, findAll, MOVES, offerOptions, onDrag, settersOf, valueOf } from "./elements.js";
import { inPicture, moved } from "./places.js";
import { barShapes, group, originOf, overlayShapes, saveSheet, sheetOf, shortened, words } from "./sheet.js";
import { pageGrid } from "./shown.js";
import { levelsOf, stageNames, stagesOf } from "./stages.js";

/** @typedef {import("./compare.js").Comparison} Comparison */
/** @typedef {import("./compared.js").Side} Side */
/** @typedef {import("./maths.js").Place} Place */
/** @typedef {import("./compare.js").Chosen} Chosen */
/** @typedef {"stage" | "block" | "head" | "scale" | "stream"} Key */
/** @typedef {Chosen & Pick<Side, "result" | "block">} Sided */

/** @param {HTMLSelectElement} select */
export const keyOf = ({ dataset }) => /** @type {Key} */ (dataset.key);

/** The choices of a side, as its result has them. @param {HTMLSelectElement} select @param {Sided[]} sides */
export function fill(select, sides) {
  const side = sides[Number(select.dataset.side)];
  const { block, result } = side;
  /** @param {number} count @param {(i: number) => string} [name] */
  const list = (count, name = (i) => String(i + 1)) => Array.from({ length: count }, (_, i) => name(i));
  const key = keyOf(select);
  const stages = stagesOf(result.layers);
  const { stage, block: inStage } = levelsOf(stages, side.index);
  const names = {
    stage: () => stageNames(stages),
    block: () => list(stages[stage].layers.length),
    head: () => list(block.heads),
    scale: () => list(scaleCount(block), (s) => scaleName(block, s)),
    stream: () => block.streams.map(({ name }) => name),
  }[key]();
  offerOptions(select, names);
  select.value = String({ ...side, stage, block: inStage }[key]);
  const sole = names.length < 2 && (key === "stage" || key === "scale"); // goes without saying
  if (select.parentElement) select.parentElement.hidden = sole;
}

/**
 * What a choice changes.
 *
 * @param {Pick<Sided, "result" | "index">} side on which it was made @param {Key} key @param {number} value
 * @returns {Partial<Chosen>}
 */
export function changed({ result, index }, key, value) {
  const stages = stagesOf(result.layers);
  if (key === "stage") return { index: stages[value].layers[0] };
  return key === "block" ? { index: stages[levelsOf(stages, index).stage].layers[value] } : { [key]: value };
}

/** @param {Comparison} comparison */
export function connect(comparison) {
  const { root, state, look } = comparison;
  for (const [name, control] of settersOf(root))
    control.addEventListener("input", () => {
      Object.assign(name === "smooth" ? look : state, { [name]: valueOf(control) });
      if (name === "together" && state.together) comparison.chosen[1] = { ...comparison.chosen[0] };
      comparison.again();
    });
  for (const select of findAll(root, "select[data-key]", HTMLSelectElement))
    select.addEventListener("input", () => {
      const { chosen, sides } = comparison;
      const i = Number(select.dataset.side);
      const change = sides && changed(sides[i], keyOf(select), Number(select.value));
      for (const one of state.together ? chosen : [chosen[i]]) Object.assign(one, change);
      comparison.again();
    });
  comparison.canvases.slice(0, 2).forEach((canvas, i) => connectCanvas(comparison, canvas, i));
  const extensions = /** @type {const} */ (["png", "svg"]);
  for (const extension of extensions)
    find(root, `[data-do="${extension}"]`, HTMLElement).addEventListener("click", () => save(comparison, extension));
  closing(find(root, ".dv-menu", HTMLDetailsElement));
}

/** @param {Comparison} comparison @param {HTMLCanvasElement} canvas @param {number} i */
function connectCanvas(comparison, canvas, i) {
  onDrag(canvas, (event) => comparison.ask(inPicture(shareUnder(event, canvas))));
  canvas.addEventListener("keydown", (event) => {
    const { sides } = comparison;
    if (!Object.hasOwn(MOVES, event.key) || !sides || event.ctrlKey || event.metaKey || event.altKey) return;
    const { result, block } = sides[i];
    if (comparison.at) comparison.ask(moved(comparison.at, pageGrid(result), block.grid, MOVES[event.key]));
    event.preventDefault();
  });
}

/** @param {Comparison} comparison @param {"png" | "svg"} extension */
function save({ root, sides, at, names, look, state }, extension) {
  if (!sides || !at) return;
  const [a, b] = sides.map(({ result }) => `${result.name}-${result.model}`);
  const heads = findAll(root, "tbody th", HTMLElement).map((th) => th.textContent ?? "");
  const sheet = sheetFor(sides, drawnOf(sides, at, state.all, look), names, heads, { ...look, ...state });
  saveSheet(sheet, extension, `${a}-and-${b}`, Number(find(root, "[data-scale]", HTMLSelectElement).value));
}

/** Which query both sides show. @param {[Side, Side]} sides @param {boolean} all @param {[string, string]} titles */
export function askedOf([{ asked }], all, [title]) {
  return all ? "all queries, averaged" : `token row ${asked[0] + 1}, column ${asked[1] + 1} of ${title}`;
}

/**
 * The three maps, each with its bar, and below them the numbers.
 *
 * @param {[Side, Side]} sides @param {import("./compared.js").Drawn[]} drawn @param {[string, string]} titles
 * @param {string[]} heads of the table's rows
 * @param {{ all: boolean, smooth: boolean }} look
 */
function sheetFor(sides, drawn, titles, heads, { all, smooth }) {
  const [margin, top, width] = [24, 96, 380];
  const columns = sides.map((side) => columnsOf(side, all));
  const below = top + width * Math.max(...drawn.map(({ ratio }) => ratio)) + 90;
  const asked = askedOf(sides, all, titles);
  const names = [...sides.map(({ result }, i) => `${titles[i]}: ${originOf(result)}`), `${titles[1]} − ${titles[0]}`];
  const content = drawn.map(({ map, top: end, scale, picture, frames, opacity, ratio }, i) => {
    const height = width * ratio;
    const title = i < 2 ? "× uniform, one scale for both" : "difference, × uniform";
    const bar = barShapes(scale, width, { title, opacity, ground: picture?.ground });
    const name = i < 2 ? words(0, -10, mapName(sides[i])) : "";
    const shapes = overlayShapes(picture, map, end, { width, height, frames, opacity, smooth });
    const head = words(0, -28, shortened(names[i], 62), "start", 700);
    return group(margin + i * (width + margin), top, head + name + shapes + group(0, height + 26, bar));
  });
  /** @param {string[]} cells @param {number} y @param {number} weight */
  const line = (cells, y, weight) =>
    cells.map((text, i) => words(margin + [0, 300, 680][i], y, shortened(text, 54), "start", weight)).join("");
  const table = heads.map((head, i) => line([head, columns[0][i], columns[1][i]], below + 20 * (i + 1), 400));
  const parts = [words(margin, 34, asked), ...content, line(["for the same query", ...titles], below, 700), ...table];
  const height = Math.ceil(below + 20 * heads.length + margin);
  return sheetOf(3 * width + 4 * margin, height, names.join(" | "), parts.join(""));
}
