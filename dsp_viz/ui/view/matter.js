// What each part of a model is worth for one class: a row for each layer; a click on a cell shows its part's maps.

import { drawBar } from "./canvas.js";
import { inkOf, rgba, SAME, scaleOf, shareOf } from "./colours.js";
import { find } from "./elements.js";
import { openMaps } from "./events.js";
import { fixed, signed } from "./numbers.js";

/** @typedef {{ part: "head" | "scale" | "stream", index: number, name: string, change: number }} Worth */
/** @typedef {{ target: string, logit: number, rows: Worth[][], names: string[] }} Value `names` of the layers. */

const OPACITY = 0.75; // numbers stay readable on full colour

/** The columns: what any layer has, heads together, then scales, then streams. @param {Worth[][]} rows */
export function columnsOf(rows) {
  const names = Map.groupBy(rows.flat(), ({ part }) => part);
  return [...names].flatMap(([part, all]) => [...new Set(all.map(({ name }) => name))].map((name) => ({ part, name })));
}

/** A cell of the table's edge. @param {string} text @param {"row" | "col"} scope */
const edge = (text, scope) => Object.assign(document.createElement("th"), { textContent: text, scope });

/** @param {number} block @param {string} called @param {Worth} worth @param {number} top */
function buttonOf(block, called, { part, index, name, change }, top) {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: signed(change) });
  button.style.background = rgba(inkOf(change, SAME), OPACITY * shareOf(change, top));
  button.setAttribute("aria-label", `${called}, ${name}: ${change.toFixed(2)}`);
  button.addEventListener("click", () => openMaps({ block, [part]: index }));
  return button;
}

/** @param {Value} value @param {number} top @returns {HTMLTableRowElement[]} */
function rowsOf({ rows, names }, top) {
  const columns = columnsOf(rows);
  const head = document.createElement("tr");
  head.append(document.createElement("td"), ...columns.map(({ name }) => edge(name, "col")));
  const body = rows.map((worths, block) => {
    const row = document.createElement("tr");
    const cells = columns.map(({ part, name }) => {
      const worth = worths.find((each) => each.part === part && each.name === name);
      const cell = document.createElement("td");
      if (worth) cell.append(buttonOf(block, names[block], worth, top));
      return cell;
    });
    row.append(edge(names[block], "row"), ...cells);
    return row;
  });
  return [head, ...body];
}

/** @param {Value} value */
function titleText({ target, logit }) {
  const change = `Logit of ${target}, ${fixed(logit)}, changes by this when a part of a block is left out`;
  return `${change}. A click shows the part.`;
}

/** The parts that are worth most. @param {Value} value */
function mostText({ rows, names }) {
  const all = rows.flatMap((worths, block) => worths.map(({ name, change }) => ({ block, name, change })));
  const most = all.toSorted((a, b) => Math.abs(b.change) - Math.abs(a.change)).slice(0, 5);
  return `Most: ${most.map(({ block, name, change }) => `${names[block]} ${name} ${signed(change)}`).join(", ")}.`;
}

/** @param {import("./elements.js").Mounting<string>} mounting */
export function mount({ element, props, watch }) {
  const key = find(element, ".dm-key", HTMLCanvasElement);
  const [title, most] = [".dm-title", ".dm-most"].map((selector) => find(element, selector, HTMLElement));
  const show = () => {
    /** @type {Value | null} */
    const value = props.value ? JSON.parse(props.value) : null;
    key.hidden = !value;
    const top = Math.max(1e-6, ...(value?.rows ?? []).flat().map(({ change }) => Math.abs(change)));
    find(element, ".dm table", HTMLElement).replaceChildren(...(value ? rowsOf(value, top) : []));
    most.textContent = value ? mostText(value) : "";
    title.textContent = value ? titleText(value) : "";
    if (!value) return;
    const whole = { values: [-top, top], sign: 1, signed: true, ink: SAME };
    const look = { title: "lower  ← change of the logit →  higher", opacity: OPACITY, unit: "" };
    drawBar(key, scaleOf([whole], top), Math.min(360, element.clientWidth || 360), look);
  };
  watch("value", show);
  show();
}
