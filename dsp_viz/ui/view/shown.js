// What the view of the maps shows, as values and words: no canvas, no element.

import {
  cell,
  entropyText,
  fit,
  hasIndex,
  isHere,
  joined,
  percent,
  prefixOf,
  prefixText,
  rowsOf,
  scaleCount,
  scaleName,
  tokenName,
} from "./cells.js";
import { limit, ownScale, scaleOf } from "./colours.js";
import { centre, middle, rounded, tokenAt, within } from "./places.js";
import { blockText } from "./stages.js";

/** @typedef {import("./canvas.js").Frame} Frame */
/** @typedef {import("./cells.js").Which} Which */
/** @typedef {import("./colours.js").Cell} Cell */
/** @typedef {import("./colours.js").ColourScale} ColourScale */
/** @typedef {import("./layer.js").Block} Block */
/** @typedef {import("./maths.js").Place} Place */
/** @typedef {import("./layer.js").Size} Size */
/** @typedef {import("./pieces.js").Result} Result */

/**
 * @typedef {object} State What a person chose.
 * @property {number} block @property {number} head @property {number} scale @property {number} stream
 * @property {Place} at where the query is, as shares of the picture: each layer has a token there
 * @property {boolean} all whether the average over all queries is shown in place of it
 * @property {string} asks the token without a place that asks in place of it, on layers that have it; "": none
 * @property {"maps" | "index"} show
 * @property {"shared" | "own" | "fixed"} colours
 * @property {number} opacity @property {boolean} smooth
 * @property {boolean} seen whether the picture is shown as the model saw it, not in its own resolution
 */

/**
 * What is shown; `index`: of the layer, `asked`: the token of its grid at the place that asks. Another layer may be
 * chosen already, whose bytes are on their way or do not come.
 *
 * @typedef {import("./cells.js").Rows & { result: Result, index: number, asked: Place, lost?: boolean }} Shown `lost`:
 *   those of its scales that are not here did not come.
 */

/** @param {{ grid: [number, number] }} result @returns {Size} */
export const pageGrid = ({ grid: [H, W] }) => ({ H, W });

/** What is chosen by default. @param {number} blocks @param {Size} grid @returns {State} */
export function settings(blocks, grid) {
  const part = { block: Math.min(2, blocks - 1), head: 0, scale: 0, stream: 0 };
  const look = { opacity: 0.85, smooth: false, seen: false };
  return { ...part, at: centre(grid, middle(grid)), all: false, asks: "", show: "maps", colours: "shared", ...look };
}

/**
 * The choices that ask a query, as a link says it.
 *
 * @param {{ grid: [number, number] }} result @param {import("./rows.js").Query} query a place: on the page's grid
 * @returns {Partial<State>}
 */
export function asking(result, query) {
  if (query === "all") return { all: true };
  if (typeof query === "string") return { all: false, asks: query };
  const grid = pageGrid(result);
  return { at: centre(grid, within(grid, query)), all: false, asks: "" };
}

/**
 * What is chosen as a link says; what it does not say is by default.
 *
 * @param {Result} result @param {import("./address.js").Said} said
 * @returns {State}
 */
export function stateOf(result, { query, ...said }) {
  const state = settings(result.layers.length, pageGrid(result));
  for (const name of /** @type {(keyof State)[]} */ (Object.keys(state)))
    Object.assign(state, { [name]: said[/** @type {keyof typeof said} */ (name)] ?? state[name] });
  return Object.assign(state, query && asking(result, query));
}

/** The query on the page's grid. @param {{ grid: [number, number] }} result @param {Pick<State, "at">} state */
export const queryOf = (result, { at }) => tokenAt(pageGrid(result), at);

/**
 * What is shown of a layer; the choices become what the layer has.
 *
 * @param {Result} result @param {number} index @param {Block} block its layer @param {State} state
 * @returns {Shown}
 */
export function shownOf(result, index, block, state) {
  fit(block, state);
  const asked = rounded(queryOf(result, state), pageGrid(result), block.grid);
  const named = block.prefix.find((name) => name === state.asks);
  return { result, index, asked, ...rowsOf(block, state.all ? "all" : (named ?? asked)) };
}

/**
 * What a link says of the query: what is drawn. A token that only other layers have is not.
 *
 * @param {Result} result @param {State} state @param {string[]} prefix names of the layer's tokens without a place
 * @returns {string | Place}
 */
export function saidOf(result, state, prefix) {
  if (state.all) return "all";
  return prefix.includes(state.asks) ? state.asks : queryOf(result, state);
}

/** The token that asks, framed, where it has a place. @param {Shown} shown @returns {Frame[]} */
export const framesOf = ({ block: { grid }, query, asked }) =>
  typeof query === "string" ? [] : [{ place: asked, grid, thick: true }];

/** @param {Shown} shown @param {State} state */
export const showsIndex = ({ block }, { show }) => show === "index" && hasIndex(block);

/** The columns of the small maps. @param {Shown} shown @param {State} state */
export function columnsOf(shown, state) {
  const streams = showsIndex(shown, state) ? [0] : shown.block.streams.map((_, i) => i);
  const scales = Array.from({ length: scaleCount(shown.block) }, (_, scale) => scale);
  return scales.flatMap((scale) => streams.map((stream) => ({ scale, stream })));
}

/** @param {Shown} shown @param {State} state @param {Which} which */
export const cellOf = (shown, state, which) => cell(shown, which, showsIndex(shown, state));

/**
 * The map that is drawn large: the chosen one; while its scale is on its way, that of the finest scale that is here.
 *
 * @param {Shown} shown @param {State} state
 */
const largeOf = ({ block }, state) => ({ ...state, scale: isHere(block, state.scale) ? state.scale : block.missing });

/**
 * All small maps, the large one, and where their scales end. Maps that are on their way have no values.
 *
 * @param {Shown} shown @param {State} state
 */
export function allShown(shown, state) {
  const columns = columnsOf(shown, state);
  const cells = Array.from({ length: shown.block.heads }, (_, head) =>
    columns.map((column) => cellOf(shown, state, { head, ...column })),
  );
  const own = state.colours === "own";
  const here = cells.flat().filter(({ values }) => values.length);
  const shared = limit(here, state.colours);
  /** @param {Cell} one */
  const topOf = (one) => (own ? limit([one]) : shared);
  const scale = own ? ownScale(here) : scaleOf(here, shared);
  return { columns, cells, topOf, scale, chosen: cellOf(shown, state, largeOf(shown, state)) };
}

/** @param {Shown} shown @param {State} state @param {number} stream */
export function streamName(shown, state, stream) {
  return showsIndex(shown, state) ? "same − opposite" : shown.block.streams[stream].name;
}

/** What stands over the bar of the small maps. @param {Shown} shown @param {State} state */
export function scaleTitle(shown, state) {
  if (showsIndex(shown, state)) return "opposite more  ← × uniform →  same more";
  if (hasIndex(shown.block)) return "opposite  ← × uniform →  same";
  const { block, window } = shown;
  const part = window ? `, the window's ${sizeText(window)} keys` : "";
  return `${block.kind}${part}, × uniform`;
}

/**
 * The entropy of a map; an index has none.
 *
 * @param {Shown} shown @param {State} state @param {Which} which @param {number} places
 */
export function entropyOf(shown, state, which, places) {
  return showsIndex(shown, state) ? "" : entropyText(shown, which, places);
}

/**
 * What stands below a small map: its entropy, and what all tokens without a place get together.
 *
 * @param {Shown} shown @param {State} state @param {Which} which
 */
export function captionOf(shown, state, which) {
  if (!isHere(shown.block, which.scale)) return "…";
  const others = prefixOf(shown, which);
  const sum = others.length ? ` · ${percent(others.reduce((all, share) => all + share, 0))}` : "";
  return `${entropyOf(shown, state, which, 2)}${sum}`;
}

/** What each token without a place gets. @param {Shown} shown @param {Which} which */
function othersText(shown, which) {
  const told = prefixText(shown, which);
  return told && ` · ${told}`;
}

/** Where the largest value lies, of whatever sign. @param {Float32Array} values */
const peakOf = (values) => values.reduce((best, v, i) => (Math.abs(v) > Math.abs(values[best]) ? i : best), 0);

/** @param {Place} place */
const placeText = ([row, column]) => `row ${row + 1}, column ${column + 1}`;

/** @param {import("./rows.js").Box} window */
const sizeText = ({ rows, columns }) => `${rows[1] - rows[0]}×${columns[1] - columns[0]}`;

/** Which token asks; on a layer with another grid than the page, both. @param {Shown} shown @param {State} state */
function askedText({ result, block: { grid }, query, asked }, state) {
  if (typeof query === "string") return queryText(query);
  const { H, W } = pageGrid(result);
  const own = grid.H === H && grid.W === W ? "" : ` (${placeText(asked)} of this layer's ${grid.H}×${grid.W})`;
  return `${queryText(queryOf(result, state))}${own}`;
}

/** A query in words. @param {import("./rows.js").Query} query */
export function queryText(query) {
  if (query === "all") return "all queries, averaged";
  return typeof query === "string" ? tokenName(query) : `token ${placeText(query)}`;
}

/** What the chosen map is. @param {Shown} shown @param {State} state @param {Cell} chosen */
export function textOf(shown, state, { values, window, H, W }) {
  const large = largeOf(shown, state);
  const { head, scale, stream } = large;
  const peak = peakOf(values);
  const entropy = entropyOf(shown, state, large, 3);
  const sees = window ? `, of which it sees ${sizeText(window)}` : "";
  const where = `${placeText([Math.floor(peak / W), peak % W])} of ${H}×${W} keys${sees}`;
  const others = othersText(shown, large);
  const names = [scaleName(shown.block, scale), streamName(shown, state, stream)];
  const coming =
    scale === state.scale
      ? ""
      : `${scaleName(shown.block, state.scale)} ${shown.lost ? "did not come" : "is on its way"}`;
  return {
    asked: askedText(shown, state),
    which: joined([blockText(shown.result.layers, shown.index), `head ${head + 1}`, ...names, coming], " · "),
    numbers: `peak ${values[peak].toPrecision(3)} × uniform at ${where}${entropy && ` · entropy ${entropy}`}${others}`,
  };
}

/** What a small map is of, and its numbers. @param {Shown} shown @param {State} state @param {Which} which */
export function smallText(shown, state, which) {
  const name = joined([scaleName(shown.block, which.scale), streamName(shown, state, which.stream)], ", ");
  if (!isHere(shown.block, which.scale))
    return `head ${which.head + 1}, ${name}: ${shown.lost ? "did not come" : "on its way"}`;
  const { values } = cellOf(shown, state, which);
  const entropy = entropyOf(shown, state, which, 3);
  const peak = values[peakOf(values)].toPrecision(3);
  const numbers = `peak ${peak} × uniform${entropy && `, entropy ${entropy}`}${othersText(shown, which)}`;
  return `head ${which.head + 1}, ${name}: ${numbers}`;
}

/** What a key of the chosen map gets. @param {Cell} chosen @param {Place | null} key */
export function keyText({ values, window, W }, key) {
  if (!key) return "no key here";
  const axes = window && [window.rows, window.columns];
  if (axes?.some(([from, to], axis) => key[axis] < from || key[axis] >= to)) return `key ${placeText(key)}: not seen`;
  return `key ${placeText(key)}: ${values[key[0] * W + key[1]].toPrecision(3)} × uniform`;
}
