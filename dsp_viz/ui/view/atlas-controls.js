// What somebody does with the atlas: choices, clicks, keys.

import { writeAddress } from "./address.js";
import { dotAt } from "./atlas-depth.js";
import { reached } from "./atlas-numbers.js";
import { find, findAll, settersOf, valueOf } from "./elements.js";
import { described } from "./events.js";

/** @param {import("./atlas.js").Atlas} atlas */
export function connect(atlas) {
  for (const [name, control] of settersOf(atlas.root))
    control.addEventListener("change", () => {
      Object.assign(atlas.state, { [name]: valueOf(control) });
      // Who compares a group wants to see where it differs most.
      if (name === "of") {
        atlas.order = { by: control.value ? "effect" : "mean", down: true };
        atlas.wanted = null;
      }
      atlas.load();
    });
  find(atlas.root, '[data-do="model"]', HTMLElement).addEventListener("click", () => {
    location.hash = writeAddress({ ...described("atlas"), tab: "atlas", model: atlas.value?.model });
  });
  const { depth, scroll } = atlas;
  const near = (/** @type {MouseEvent} */ event) => {
    const { left, top } = depth.getBoundingClientRect();
    return dotAt(atlas.drawn, event.clientX - left, event.clientY - top);
  };
  depth.addEventListener("pointermove", (event) => atlas.read(near(event) ?? atlas.chosen));
  depth.addEventListener("pointerleave", () => atlas.read(atlas.chosen));
  depth.addEventListener("click", (event) => {
    const dot = near(event);
    if (dot !== null) atlas.choose(dot);
  });
  depth.addEventListener("keydown", (event) => {
    const next = atlas.numbers && atlas.chosen !== null ? reached(atlas.numbers, atlas.chosen, event.key) : null;
    if (next === null) return;
    event.preventDefault();
    atlas.choose(next);
  });
  scroll.addEventListener("click", ({ target }) => {
    const row = target instanceof Element ? target.closest("tbody tr") : null;
    if (row instanceof HTMLElement) atlas.choose(Number(row.dataset.cell));
  });
  scroll.addEventListener("keydown", (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const rows = findAll(scroll, "tbody tr", HTMLElement);
    const at = rows.findIndex((row) => row.contains(document.activeElement));
    if (step === undefined || at < 0) return;
    event.preventDefault();
    const next = rows[Math.min(rows.length - 1, Math.max(0, at + step))];
    atlas.choose(Number(next.dataset.cell));
    find(next, "button", HTMLElement).focus();
  });
}
