// The elements of the overview: a row for each layer, by stage, and in it a cell for each head.

import { stageNames, stagesOf } from "./stages.js";

/** @typedef {import("./stages.js").Facts} Facts */

/** @param {Facts[]} layers @returns {HTMLElement[]} one for each stage, named where there are several */
export function groupsOf(layers) {
  const stages = stagesOf(layers);
  const names = stageNames(stages);
  return stages.map((stage, s) => {
    const group = element("div", { role: "rowgroup" });
    if (stages.length > 1) {
      const title = element("div", { role: "row" });
      title.append(element("span", { role: "columnheader", class: "do-stage" }, `Stage ${names[s]} tokens`));
      group.append(title);
    }
    group.append(...stage.layers.map((index, block) => rowOf(index, layers[index].heads, block)));
    return group;
  });
}

/** @param {number} index of a layer @param {number} heads @param {number} block which of its stage's */
function rowOf(index, heads, block) {
  const row = element("div", { role: "row" });
  const cells = element("div", { class: "do-cells" });
  for (let head = 0; head < heads; head++) {
    const label = `block ${block + 1}, head ${head + 1}`;
    const cell = element("div", { role: "gridcell", tabindex: "-1", "aria-label": label });
    Object.assign(cell.dataset, { layer: index, head });
    cell.append(element("canvas", { "aria-hidden": "true" }), element("span", {}, String(head + 1)));
    cells.append(cell);
  }
  row.append(element("span", { role: "rowheader", class: "do-name" }, `block ${block + 1}`), cells);
  return row;
}

/**
 * @param {string} kind @param {Record<string, string>} attributes @param {string} [text]
 * @returns {HTMLElement}
 */
export function element(kind, attributes, text = "") {
  const made = Object.assign(document.createElement(kind), { textContent: text });
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
