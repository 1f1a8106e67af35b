// Choices, drops and keys of the strip of several pictures.

import { changed, keyOf } from "./comparing.js";
import { closing, find, findAll } from "./elements.js";
import { askToLook } from "./events.js";
import { connectQuery } from "./overviewing.js";
import { chosenFiles, droppedFiles } from "./several-files.js";
import { indexOf } from "./several-strip.js";
import { save } from "./several-take.js";

/** @typedef {import("./several.js").Several} Several */

/** @param {Several} several */
export function connect(several) {
  const { root } = several;
  connectQuery(several);
  connectDrop(several);
  for (const select of findAll(root, "select[data-key]", HTMLSelectElement))
    select.addEventListener("input", () => {
      const [first] = several.seen();
      if (!first?.told) return;
      const { result } = first.told;
      const side = { result, index: indexOf(several.state, result) };
      const { index, ...rest } = changed(side, keyOf(select), Number(select.value));
      askToLook({ ...rest, ...(index !== undefined && { block: index }) });
    });
  const sort = find(root, "[data-sort]", HTMLSelectElement);
  sort.addEventListener("input", () => {
    several.order = /** @type {import("./several-strip.js").Order} */ (sort.value);
    several.drawSoon();
  });
  /** @type {Record<string, () => void>} */
  const actions = {
    files: () => find(root, '[data-in="files"]', HTMLInputElement).click(),
    folder: () => find(root, '[data-in="folder"]', HTMLInputElement).click(),
    examples: () => several.takeExamples(),
    stop: () => several.stop(),
    go: () => several.run(),
    clear: () => several.clear(),
    again: () => several.again(),
  };
  for (const button of findAll(root, "[data-do]", HTMLButtonElement)) {
    const name = button.dataset.do ?? "";
    button.addEventListener("click", () => (actions[name] ? actions[name]() : save(several, name)));
  }
  closing(find(root, ".dv-menu", HTMLDetailsElement));
}

/** @param {Several} several */
function connectDrop(several) {
  const { root } = several;
  const zone = find(root, ".dn-drop", HTMLElement);
  for (const input of findAll(root, "input[type=file]", HTMLInputElement))
    input.addEventListener("change", () => {
      several.take(chosenFiles(input));
      input.value = ""; // the same files may be chosen again
    });
  // Anywhere on the tab: a miss would have the browser leave the page for the picture.
  root.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    zone.classList.add("dn-over");
  });
  root.addEventListener("dragleave", (event) => {
    if (!(event.relatedTarget instanceof Node && root.contains(event.relatedTarget))) zone.classList.remove("dn-over");
  });
  root.addEventListener("drop", async (event) => {
    zone.classList.remove("dn-over");
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    several.take(await droppedFiles(event.dataTransfer));
  });
}
