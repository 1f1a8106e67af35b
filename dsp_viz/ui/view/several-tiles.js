// The pictures of the strip as elements: a tile for each, the place that asks, and the choices that there are.

import { drawFrames, drawOverlay, prepare } from "./canvas.js";
import { tokenName } from "./cells.js";
import { fill } from "./comparing.js";
import { find, findAll, setValue, settersOf } from "./elements.js";
import { element } from "./roster.js";
import { captionOf, indexOf } from "./several-strip.js";
import { pageGrid, queryOf } from "./shown.js";

/** @typedef {import("./pieces.js").Result} Result */
/** @typedef {import("./several.js").Several} Several */
/** @typedef {import("./several-strip.js").Entry} Entry */
/** @typedef {{ item: HTMLElement, button: HTMLButtonElement, canvas: HTMLCanvasElement }} Tile */

/**
 * A tile for each picture, in their order; what has the focus keeps it.
 *
 * @param {Several} several @param {Entry[]} seen
 */
export function arrange(several, seen) {
  const { strip, tiles } = several;
  const focused = document.activeElement;
  for (const [entry, { item }] of tiles)
    if (!seen.includes(entry)) {
      item.remove();
      tiles.delete(entry);
    }
  seen.forEach((entry, i) => {
    const tile = tiles.get(entry) ?? made(several, entry);
    if (strip.children[i] !== tile.item) strip.insertBefore(tile.item, strip.children[i] ?? null);
  });
  if (focused instanceof HTMLElement && strip.contains(focused)) focused.focus({ preventScroll: true });
}

/** @param {Several} several @param {Entry} entry @returns {Tile} */
function made(several, entry) {
  const button = document.createElement("button");
  const note = entry.told?.result.note ? `. ${entry.told.result.note}` : "";
  Object.assign(button, { type: "button", className: "dn-tile", title: `Open ${entry.name}${note}` });
  const canvas = document.createElement("canvas");
  canvas.ariaHidden = "true";
  const parts = ["dn-name", "dn-best", "dn-entropy"].map((name) => element("span", { class: name }));
  button.append(canvas, ...parts);
  button.addEventListener("click", () => entry.told && several.open(entry.told));
  const item = element("li", {});
  item.append(button);
  const tile = { item, button, canvas };
  several.tiles.set(entry, tile);
  return tile;
}

/** @param {Several} several @param {Entry} entry @param {number} top */
export function drawTile({ tiles, state, result }, entry, top) {
  const { picture, map, told } = entry;
  const tile = tiles.get(entry);
  if (!tile || !map || !told) return;
  const { H, W } = pageGrid(told.result);
  const room = tile.item.clientWidth;
  const [width, height] = [room * Math.min(1, W / H), room * Math.min(1, H / W)];
  const { opacity, smooth } = state;
  drawOverlay(tile.canvas, picture, map.cell, top, { width, height, frames: map.frames, opacity, smooth });
  const { best, probability, unsure, entropy } = captionOf(entry);
  const [name, line, more] = findAll(tile.button, ":scope > span", HTMLElement);
  name.textContent = entry.name;
  line.replaceChildren(element("span", {}, best), element("span", {}, probability));
  line.classList.toggle("dn-unsure", unsure);
  more.textContent = [unsure ? "not sure" : "", entropy].filter(Boolean).join(" · ");
  tile.button.setAttribute("aria-current", String(told.result.token === result?.token));
}

/** The place that asks, on the grid of the page's picture. @param {Several} several @param {Result} result */
export function drawPlace({ canvas, state, root }, result) {
  const grid = pageGrid(result);
  const most = root.clientWidth < 600 ? 84 : 104;
  const [width, height] = [grid.W, grid.H].map((side) => (most * side) / Math.max(grid.H, grid.W));
  const context = prepare(canvas, width, height);
  context.strokeStyle = getComputedStyle(root).getPropertyValue("--dn-edge");
  context.lineWidth = 1;
  context.strokeRect(0.5, 0.5, width - 1, height - 1);
  if (state.all) {
    context.fillStyle = context.strokeStyle;
    context.font = `12px ${getComputedStyle(root).fontFamily}`;
    context.textAlign = "center";
    context.fillText("all ask", width / 2, height / 2 + 4);
  } else drawFrames(context, [{ grid, place: queryOf(result, state), thick: true }], width, height);
}

/** The choices that the shown layer has. @param {HTMLElement} root @param {Entry} entry */
export function offer(root, { map, told }) {
  if (!map || !told) return;
  const { block, state } = map;
  const side = { ...state, index: indexOf(state, told.result), result: told.result, block };
  for (const select of findAll(root, "select[data-key]", HTMLSelectElement)) fill(select, [side, side]);
  const asks = find(root, '[data-set="asks"]', HTMLSelectElement);
  const offered = ["", ...block.prefix];
  if ([...asks.options].map(({ value }) => value).join() !== offered.join() || !asks.options.length)
    asks.replaceChildren(...offered.map((name) => new Option(name ? tokenName(name) : "the patch", name)));
  find(root, '[data-needs="prefix"]', HTMLElement).hidden = !block.prefix.length;
  for (const [name, control] of settersOf(root)) setValue(control, state[/** @type {"all"} */ (name)]);
}
