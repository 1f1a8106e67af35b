// What the views and the page tell each other, as events of the document: none has to find another.

import { find } from "./elements.js";

/**
 * @typedef {Partial<Omit<import("./shown.js").State, "at" | "all" | "asks"> & {
 *   query: import("./rows.js").Query }>} Wanted What is missing stays as it is; `query` is as in a link.
 * @typedef {import("./address.js").Said} Said
 * @typedef {{ block: import("./layer.js").Block, head: number, scale: number, stream: number }} Looked What is shown.
 * @typedef {{ token: string | undefined, index: number, bytes: number, total: number,
 *   part: import("./layer.js").Block | null }} Arriving A result's layer that is on its way, how much of it is here, and
 *   the scales that are, if any.
 */

const LOOK = "dsp:look";
const SHOWN = "dsp:shown";
const CHANGE = "dsp:change";
const DESCRIBE = "dsp:describe";
const ARRIVING = "dsp:arriving";

/** A part is to be looked at on the tab of the maps. @param {Wanted} wanted */
export function askToLook(wanted) {
  document.dispatchEvent(new CustomEvent(LOOK, { detail: wanted }));
}

/** The tab of the maps opens, with a part to look at. @param {Wanted} wanted */
export function openMaps(wanted) {
  const tab = find(document, '[role="tab"]', HTMLElement); // the first
  tab.click();
  tab.focus(); // what was clicked is hidden now
  askToLook(wanted);
}

/** @param {(wanted: Wanted) => void} look */
export function onLook(look) {
  document.addEventListener(LOOK, (event) => look(/** @type {CustomEvent} */ (event).detail));
}

/** The view of the maps has drawn something, perhaps the same again. @param {Looked} looked */
export function tellShown(looked) {
  document.dispatchEvent(new CustomEvent(SHOWN, { detail: looked }));
}

/** @param {(looked: Looked) => void} show */
export function onShown(show) {
  document.addEventListener(SHOWN, (event) => show(/** @type {CustomEvent} */ (event).detail));
}

/** More of a layer is here. @param {Arriving} arriving */
export function tellArriving(arriving) {
  document.dispatchEvent(new CustomEvent(ARRIVING, { detail: arriving }));
}

/** @param {(arriving: Arriving) => void} follow */
export function onArriving(follow) {
  document.addEventListener(ARRIVING, (event) => follow(/** @type {CustomEvent} */ (event).detail));
}

/** What the tab of the maps would say of itself is another now. */
export function tellChange() {
  document.dispatchEvent(new CustomEvent(CHANGE));
}

/** @param {() => void} follow */
export function onChange(follow) {
  document.addEventListener(CHANGE, follow);
}

/**
 * What a link has to say of what is on the screen.
 *
 * @param {string | undefined} tab the one that is open
 * @returns {Said}
 */
export function described(tab) {
  const detail = { tab, said: {} };
  document.dispatchEvent(new CustomEvent(DESCRIBE, { detail }));
  return detail.said;
}

/**
 * Lets a view say its part.
 *
 * @param {(said: Said, tab: string | undefined) => Said} describe what is said so far → with what the view says
 */
export function onDescribe(describe) {
  document.addEventListener(DESCRIBE, (event) => {
    const { detail } = /** @type {CustomEvent} */ (event);
    detail.said = describe(detail.said, detail.tab);
  });
}
