// What the overview shows of each layer, as values and words: no canvas, no element.

import { hasIndex, joined, prefixOf, scaleCount, scaleName } from "./cells.js";
import { limit, ownScale, scaleOf } from "./colours.js";
import { clamp } from "./places.js";
import { cellOf, columnsOf, scaleTitle, shownOf, smallText } from "./shown.js";
import { blockText } from "./stages.js";

/** @typedef {import("./cells.js").Which} Which */
/** @typedef {import("./colours.js").Cell} Cell */
/** @typedef {import("./colours.js").ColourScale} ColourScale */
/** @typedef {import("./layer.js").Block} Block */
/** @typedef {import("./pieces.js").Result} Result */
/** @typedef {import("./shown.js").State} State */
/** @typedef {[row: number, head: number]} Spot A head of the overview, from 0: its row, and which of the row's. */

/**
 * What is kept of a layer: its maps as they are drawn, not its factors, which are large.
 *
 * @typedef {object} Row
 * @property {Cell[][]} cells of each head
 * @property {number[]} streams whose maps a head's cells are
 * @property {number} scale that is shown, the effective map's among them @property {string} scaleName
 * @property {string[]} scales names of all
 * @property {string[]} captions of each head
 * @property {string[]} prefix names of tokens without a place
 * @property {boolean} index whether its streams have a difference
 * @property {string} kind the attention in words
 * @property {string} title of the bar of its colours, "": they have no sides
 */

/**
 * The scale of a layer that stands for a choice made for all layers: the last is the effective map, which goes first.
 *
 * @param {Block} block @param {number} choice 0: the effective map, n: scale n, or the coarsest where there are fewer
 */
export const scaleFor = (block, choice) =>
  choice === 0 ? scaleCount(block) - 1 : Math.min(choice, block.scales.length) - 1;

/** The choices of scale. @param {Row[]} rows */
export function scaleChoices(rows) {
  const names = rows.map(({ scales }) => scales).reduce((most, each) => (each.length > most.length ? each : most), []);
  return names.length > 1 ? ["whole layer", ...names.slice(0, -1)] : [];
}

/**
 * @param {Result} result @param {number} index @param {Block} block its layer @param {State} state
 * @param {number} choice see `scaleFor`
 */
function shownFor(result, index, block, state, choice) {
  const scale = scaleFor(block, choice);
  const own = { ...state, scale };
  const shown = shownOf(result, index, block, own);
  return { shown, own, scale, columns: columnsOf(shown, own).filter((column) => column.scale === scale) };
}

/**
 * @param {Result} result @param {number} index @param {Block} block its layer @param {State} state
 * @param {number} choice see `scaleFor`
 * @returns {Row}
 */
export function rowOf(result, index, block, state, choice) {
  const { shown, own, scale, columns } = shownFor(result, index, block, state, choice);
  const heads = Array.from({ length: block.heads }, (_, head) => columns.map((column) => ({ head, ...column })));
  return {
    cells: heads.map((all) => all.map((which) => cellOf(shown, own, which))),
    streams: columns.map(({ stream }) => stream),
    scale,
    scaleName: scaleName(block, scale),
    scales: Array.from({ length: scaleCount(block) }, (_, s) => scaleName(block, s)),
    captions: heads.map((all) =>
      joined(
        all.map((which) => othersText(prefixOf(shown, which))),
        " | ",
      ),
    ),
    prefix: block.prefix,
    index: hasIndex(block),
    kind: block.kind,
    title: hasIndex(block) ? scaleTitle(shown, own) : "",
  };
}

/** What all tokens without a place get together, where there is little room. @param {number[]} others */
function othersText(others) {
  if (!others.length) return "";
  const sum = 100 * others.reduce((all, share) => all + share, 0);
  return sum > 0 && sum < 1 ? "<1 %" : `${Math.round(sum)} %`;
}

/**
 * Which head it is, and the numbers of its maps.
 *
 * @param {Result} result @param {number} index @param {Block} block its layer @param {State} state
 * @param {number} choice see `scaleFor` @param {number} head
 */
export function headText(result, index, block, state, choice, head) {
  const { shown, own, columns } = shownFor(result, index, block, state, choice);
  const lines = columns.map((column) => smallText(shown, own, { head, ...column }).replace(/^head \d+, /, ""));
  return { name: `${blockText(result.layers, index)} · head ${head + 1}`, lines };
}

/**
 * How maps are coloured: where the scale of each ends, and the bars. Layers whose colours mean the same have one bar.
 *
 * @param {Row[]} rows @param {State["colours"]} colours
 * @returns {{ topOf: (map: Cell) => number, bars: { title: string, scale: ColourScale }[] }}
 */
export function colouring(rows, colours) {
  const own = colours === "own";
  const shared = limit(
    rows.flatMap(({ cells }) => cells.flat()),
    colours,
  );
  const groups = Map.groupBy(rows, ({ title, cells }) => `${title}${cells[0][0].signed}${cells[0][0].ink}`);
  const bars = [...groups.values()].map((group) => {
    const cells = group.flatMap((row) => row.cells.flat());
    const kinds = [...new Set(group.map(({ kind }) => kind))].join(", ");
    return { title: group[0].title || `${kinds}, × uniform`, scale: own ? ownScale(cells) : scaleOf(cells, shared) };
  });
  return { topOf: (map) => (own ? limit([map]) : shared), bars };
}

const LEAST = 42; // px, of a map

/**
 * How wide maps are, so that the heads of a layer stand in one line, or, where they would be too small for that, in as
 * few lines as can be.
 *
 * @param {number} room of a line @param {number} most @param {{ heads: number, beside: number }[]} rows
 * @param {{ head: number, map: number }} gaps between two of them
 */
export function sizeOf(room, most, rows, gaps) {
  const sizes = rows.map(({ heads, beside }) => {
    /** @param {number} count of heads in a line */
    const fitting = (count) => (room - count * (gaps.head + (beside - 1) * gaps.map)) / (count * beside);
    let lines = 1;
    while (lines < heads && fitting(Math.ceil(heads / lines)) < LEAST) lines++;
    return fitting(Math.ceil(heads / lines));
  });
  return Math.floor(clamp(Math.min(...sizes), LEAST, most));
}

/**
 * Where a key leads.
 *
 * @param {number[]} heads of each row @param {Spot} spot @param {string} key
 * @returns {Spot | null} null: nowhere, it is none of these keys
 */
export function spotAfter(heads, [row, head], key) {
  /** @type {Record<string, Spot>} */
  const spots = {
    ArrowLeft: [row, head - 1],
    ArrowRight: [row, head + 1],
    ArrowUp: [row - 1, head],
    ArrowDown: [row + 1, head],
    Home: [row, 0],
    End: [row, Infinity],
  };
  if (!Object.hasOwn(spots, key)) return null;
  const next = clamp(spots[key][0], 0, heads.length - 1);
  return [next, clamp(spots[key][1], 0, heads[next] - 1)];
}
