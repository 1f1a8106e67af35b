// What a comparison shows, as values and words: no canvas, no control.

import { cell, entropyText, hasIndex, joined, prefixText, scaleName } from "./cells.js";
import { limit, SAME, scaleOf } from "./colours.js";
import { sameShare } from "./maths.js";
import { onGrid, tokenAt } from "./places.js";
import { blockText } from "./stages.js";

/** @typedef {import("./maths.js").Place} Place */
/** @typedef {import("./canvas.js").Frame} Frame */
/** @typedef {import("./colours.js").Cell} Cell */

/**
 * One side; `asked`: the token of its layer at the place that asks.
 *
 * @typedef {import("./cells.js").Rows & import("./cells.js").Which & {
 *   result: import("./pieces.js").Result, picture: import("./pieces.js").Picture, index: number, asked: Place,
 * }} Side
 */

/**
 * @typedef {object} Drawn
 * @property {Cell} map @property {number} top @property {import("./colours.js").ColourScale} scale
 * @property {import("./pieces.js").Picture | null} picture
 * @property {Frame[]} frames @property {number} opacity
 * @property {number} ratio height to width
 */

/**
 * What is drawn, for each of A, B and B − A.
 *
 * @param {[Side, Side]} sides @param {Place} at shares of the picture @param {boolean} all
 * @param {{ opacity: number }} look
 * @returns {Drawn[]}
 */
export function drawnOf(sides, at, all, { opacity }) {
  const maps = sides.map((side) => cell(side, side));
  const top = limit(maps, "shared");
  const ratios = sides.map(({ result: { grid } }) => grid[0] / grid[1]);
  /** @param {import("./layer.js").Grid} grid @param {Place} place @returns {Frame[]} */
  const framed = (grid, place) => (all ? [] : [{ grid, place, thick: true }]);
  const drawn = sides.map(({ picture, block, asked }, i) => {
    const [map, ratio] = [maps[i], ratios[i]];
    return { map, top, scale: scaleOf([map], top), picture, frames: framed(block.grid, asked), opacity, ratio };
  });
  const [countA, countB] = sides.map(({ block: { grid } }) => grid.H * grid.W);
  const finer = countB > countA ? 1 : 0;
  const { grid } = sides[finer].block;
  const first = onGrid(maps[0], grid);
  const values = onGrid(maps[1], grid).map((value, i) => value - first[i]);
  const map = { ...grid, values, seen: values, window: null, sign: 1, signed: true, ink: SAME };
  const end = limit([map], "shared");
  const frames = framed(grid, tokenAt(grid, at));
  return [
    ...drawn,
    { map, top: end, scale: scaleOf([map], end), picture: null, frames, opacity: 1, ratio: ratios[finer] },
  ];
}

/** @param {Drawn} drawn @param {string} hint where else to look if there is no difference */
export function differenceText({ map, scale }, hint) {
  if (map.values.every((value) => value === 0)) return `the two maps are equal${hint}`;
  return `orange ${scale.ticks[0].text}, teal ${scale.ticks.at(-1)?.text} × uniform`;
}

/** @param {Side} side */
export const mapName = ({ result: { layers }, block, index, head, scale, stream }) =>
  joined([blockText(layers, index), `head ${head + 1}`, scaleName(block, scale), block.streams[stream].name], ", ");

/** The numbers of a side, as the rows of the table have them. @param {Side} side @param {boolean} all */
export function columnsOf(side, all) {
  const { result, block, head, scale, stream, asked } = side;
  const whole = scale === block.scales.length; // the effective map
  const { values } = cell(side, side);
  const some = values.some(Boolean); // else it was left out: no map
  const numbers = block.dynamic && !whole;
  return [
    `${result.name}, ${result.model}`,
    result.best ? bestText(result.best, Boolean(result.unsure)) : "–",
    mapName(side),
    some ? entropyText(side, side, 3) : "–",
    Math.max(...values).toPrecision(3),
    hasIndex(block) && !whole ? sameShare(block, scale, head, all ? "all" : asked).toFixed(3) : "–",
    numbers ? block.coefficients[head][scale][stream].toFixed(3) : "–",
    numbers ? block.weights[head][scale].toFixed(3) : "–",
    prefixText(side, side) || "–",
  ];
}

/** @param {[string, number]} best class and its probability @param {boolean} unsure */
const bestText = ([name, p], unsure) => `${name} ${(100 * p).toFixed(1)} %${unsure ? ", not sure" : ""}`;

/** What Gradio's choices of a comparison say: pictures and models. */
export function namesOf() {
  /** @param {string} label */
  const value = (label) => {
    const input = document.querySelector(`input[aria-label="${label}"]`);
    if (!(input instanceof HTMLInputElement)) return undefined;
    // What was analysed goes by its own name on the screen.
    return input.value.replace(/^.*, the page's picture$/, "the picture on the left");
  };
  return {
    pictureA: value("Picture A"),
    modelA: value("Model A"),
    pictureB: value("Picture B"),
    modelB: value("Model B"),
  };
}
