// The pictures of a strip as values and words: their maps, the end of their colours, their order. No element.

import { entropyOf, joined, scaleName } from "./cells.js";
import { limit, scaleOf } from "./colours.js";
import { inOrder } from "./several-files.js";
import { cellOf, framesOf, queryText, shownOf, streamName } from "./shown.js";
import { blockText } from "./stages.js";

/** @typedef {import("./layer.js").Block} Block */
/** @typedef {import("./pieces.js").Result} Result */
/** @typedef {import("./shown.js").State} State */

/**
 * What the server says of a picture: its result, what the page is asked to show it as, and its best classes.
 *
 * @typedef {{ result: Result, source: string, top: [string, number][] }} Told
 */

/**
 * @typedef {object} Entry A picture of the strip.
 * @property {string} name
 * @property {File | null} file @property {string | null} example its name, where it is one
 * @property {string | null} upload where the server has put the file
 * @property {"waiting" | "done" | "failed"} state
 * @property {string} fault why it could not be used
 * @property {Told | null} told
 * @property {import("./pieces.js").Muted | null} picture
 * @property {OneMap | null} map
 */

/**
 * @typedef {object} OneMap The one map of a picture.
 * @property {string} asked what it was computed for, see `keyOf`
 * @property {Block} block @property {State} state as far as the layer has it
 * @property {import("./colours.js").Cell} cell
 * @property {import("./canvas.js").Frame[]} frames
 * @property {number} entropy NaN: it has none
 * @property {string} which it is, in words
 */

/** @param {string} name @param {Partial<Entry>} from @returns {Entry} */
export const entryOf = (name, from) => {
  const nothing = { file: null, example: null, upload: null, fault: "", told: null, picture: null, map: null };
  return { name, ...nothing, state: "waiting", ...from };
};

/** The picture whose turn it is. @param {Entry[]} entries */
export const nextOf = (entries) => entries.find(({ state }) => state === "waiting");

/** What a map is computed for; as long as it is the same, the map is. @param {State} state @param {Result} result */
export const keyOf = ({ block, head, scale, stream, at, all, asks, show }, { token }) =>
  JSON.stringify([token, block, head, scale, stream, at, all, asks, show]);

/** Which layer of a result stands for a choice. @param {State} state @param {Result} result */
export const indexOf = ({ block }, { layers }) => Math.min(block, layers.length - 1);

/**
 * @param {Result} result @param {Block} block its layer @param {State} wanted
 * @returns {OneMap}
 */
export function mapOf(result, block, wanted) {
  const state = { ...wanted };
  const index = indexOf(wanted, result);
  const shown = shownOf(result, index, block, state);
  const names = [scaleName(block, state.scale), streamName(shown, state, state.stream)];
  return {
    asked: keyOf(wanted, result),
    block,
    state,
    cell: cellOf(shown, state, state),
    frames: framesOf(shown),
    entropy: state.show === "index" && names[1] === "same − opposite" ? NaN : entropyOf(shown, state),
    which: joined([blockText(result.layers, index), `head ${state.head + 1}`, ...names], " · "),
  };
}

/** The one scale of all maps. @param {OneMap[]} maps @param {State["colours"]} colours */
export function colouring(maps, colours) {
  const cells = maps.map(({ cell }) => cell);
  const top = limit(cells, colours);
  return { top, scale: scaleOf(cells, top) };
}

/** What asks, in words: a place of the picture, not a token, as grids may differ. @param {State} state @param {string[]} prefix */
export function askedText({ all, asks, at }, prefix) {
  if (all) return queryText("all");
  if (asks && prefix.includes(asks)) return queryText(asks);
  const [down, right] = at.map((share) => Math.round(100 * share));
  return `the token at ${right} % of the width, ${down} % of the height`;
}

/** @typedef {"added" | "name" | "sure" | "unsure" | "narrow" | "wide"} Order */

/**
 * Those that are done, in an order; what has no number comes last.
 *
 * @param {Entry[]} entries @param {Order} order
 */
export function ordered(entries, order) {
  const done = entries.filter(({ told }) => told !== null);
  if (order === "added") return done;
  if (order === "name") return done.toSorted(inOrder);
  const sign = order === "sure" || order === "wide" ? -1 : 1;
  /** @param {Entry} entry */
  const number = ({ told, map }) => {
    const value = order === "narrow" || order === "wide" ? map?.entropy : told?.top[0]?.[1];
    return value === undefined || Number.isNaN(value) ? Infinity : sign * value;
  };
  return done.toSorted((a, b) => (number(a) === number(b) ? 0 : number(a) - number(b)));
}

/** What stands below a picture. @param {Entry} entry */
export function captionOf({ told, map }) {
  const [best] = told?.top ?? [];
  return {
    best: best ? best[0] : "",
    probability: best ? `${(100 * best[1]).toFixed(1)} %` : "",
    unsure: Boolean(told?.result.unsure),
    entropy: map && !Number.isNaN(map.entropy) ? `entropy ${map.entropy.toFixed(3)}` : "",
  };
}

/** How far it is, in words. @param {Entry[]} entries @param {string} doing what is done just now, or "" */
export function progressText(entries, doing) {
  const count = (/** @type {Entry["state"]} */ which) => entries.filter(({ state }) => state === which).length;
  const [done, failed, waiting] = [count("done"), count("failed"), count("waiting")];
  const parts = [`${done} of ${done + waiting} analysed`];
  if (failed) parts.push(`${failed} could not be used`);
  if (doing) parts.push(doing);
  else if (waiting) parts.push("stopped");
  return parts.join(" · ");
}
