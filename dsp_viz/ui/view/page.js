// What Gradio's page around the views lacks: links, pasted pictures, names, figures that fit.

import { readAddress, writeAddress } from "./address.js";
import { find, findAll } from "./elements.js";
import { described, onChange } from "./events.js";

// ---- links ----------------------------------------------------------------------------------------------------------

/** An address that restores what is on the screen. Examples can always be restored, an upload while it is kept. */
function link() {
  const tabs = document.querySelector('[data-tab-id="maps"]')?.parentElement;
  const open = tabs?.querySelector('[aria-selected="true"]');
  const { tab } = readAddress(`tab=${open instanceof HTMLElement ? open.dataset.tabId : ""}`);
  const list = document.querySelector("#interventions textarea");
  const interventions = list instanceof HTMLTextAreaElement ? list.value : undefined;
  const picked = document.querySelector("#prediction [data-class]");
  const explained = picked instanceof HTMLElement ? picked.dataset.class : undefined;
  const address = new URL(document.baseURI);
  address.hash = writeAddress({ ...described(tab), tab, interventions, class: explained });
  return address.href;
}

/** One button for all tabs; it says how it went. */
function connectLink() {
  const button = find(document, "#copy-link", HTMLElement);
  let shared = false;
  button.addEventListener("click", async () => {
    shared = true;
    history.replaceState(null, "", link());
    const copied = await navigator.clipboard.writeText(location.href).then(
      () => true,
      () => false,
    );
    button.textContent = copied ? "Link copied" : "It is in the address bar";
    setTimeout(() => (button.textContent = "Copy link"), 3000);
  });
  // An address that has a link follows the view: to load the page again brings back what was seen last. Not on every
  // step of a pointer that is drawn: browsers allow a hundred changes in half a minute.
  let soon = 0;
  onChange(() => {
    clearTimeout(soon);
    if (shared) soon = setTimeout(() => history.replaceState(null, "", link()), 500);
  });
}

/** A click into a list selects the old choice, as Tab does: else what is typed would be appended to it. */
function selectOnClick() {
  /** @type {EventTarget | null} */
  let entered = null;
  document.addEventListener("focusin", ({ target }) => (entered = target));
  document.addEventListener("click", ({ target }) => {
    if (target instanceof HTMLInputElement && target === entered && target.role === "combobox") target.select();
    entered = null;
  });
}

/** A link was opened in this tab: Python restores the picture, the model and the tab. */
function tellAddress() {
  const field = document.querySelector("#address :is(textarea, input)");
  if (!(field instanceof HTMLTextAreaElement || field instanceof HTMLInputElement)) return;
  field.value = location.hash.slice(1);
  // The first makes it the textbox's value; Gradio takes the second, and only that, for somebody's input.
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.dispatchEvent(new KeyboardEvent("keypress", { key: "#", bubbles: true }));
}

// ---- pictures -------------------------------------------------------------------------------------------------------

/** A pasted picture goes into the upload field, which has one while it is empty. @param {ClipboardEvent} event */
async function paste(event) {
  if (event.target instanceof Element && event.target.closest("input, textarea, [contenteditable]")) return;
  const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
  if (!file) return;
  event.preventDefault();
  const field = () => findAll(document, "#picture input[type=file]", HTMLInputElement)[0];
  findAll(document, '#picture [aria-label="Remove Image"]', HTMLElement)[0]?.click();
  for (let frames = 0; !field() && frames < 120; frames++) await new Promise(requestAnimationFrame);
  if (!field()) return;
  const files = new DataTransfer();
  files.items.add(file);
  field().files = files.files;
  field().dispatchEvent(new Event("change", { bubbles: true }));
}

// ---- what Gradio draws ----------------------------------------------------------------------------------------------

/** Tabs that have nothing to show of the model are hidden in a narrow page's menu too; it is made anew each time. */
function hideUnfit() {
  const style = document.querySelector("#fitting style");
  const unfit = JSON.parse((style instanceof HTMLElement && style.dataset.unfit) || "[]");
  for (const button of findAll(document, ".overflow-dropdown button", HTMLElement)) {
    const display = unfit.includes(button.textContent?.trim()) ? "none" : "";
    if (button.style.display !== display) button.style.display = display;
  }
}

/** That menu closes on Escape, as others do. @param {KeyboardEvent} event */
function closeTabs({ key }) {
  const opener = document.querySelector(".overflow-menu > button");
  const list = document.querySelector(".overflow-dropdown");
  if (key !== "Escape" || !(opener instanceof HTMLElement) || !list?.checkVisibility()) return;
  opener.click();
  opener.focus();
}

/** The gallery calls its pictures "Thumbnail 1 of 12"; their captions are better names. */
function nameExamples() {
  for (const button of findAll(document, "#examples button", HTMLElement)) {
    const name = button.querySelector(".caption-label")?.textContent?.trim();
    if (name && button.ariaLabel !== name) Object.assign(button, { ariaLabel: name, title: name });
  }
}

/**
 * A figure, as plotly makes it.
 *
 * @typedef {HTMLElement & {
 *   on?: (name: string, done: () => void) => void,
 *   _fullLayout?: { width: number, height: number, annotations: { font: { size: number } }[] },
 * }} Plot
 */

/** @returns {{ Plots: { resize(plot: Plot): void }, relayout(plot: Plot, changes: object): void }} */
const plotly = () => /** @type {any} */ (window).Plotly;

/**
 * A figure that is drawn while its tab is hidden gets a width of its own: it is fitted once it can be seen.
 *
 * @param {Plot} plot
 */
function fit(plot) {
  const width = plot.parentElement?.clientWidth;
  const layout = plot._fullLayout;
  if (!width || !layout) return;
  if (Math.abs(layout.width - width) > 1) plotly().Plots.resize(plot);
  // Panels of squares are as tall as their width lets them be: on a narrow page the rest would be empty.
  if (!plot.closest("#gain, #phase, #kernel, #past-gain")) return;
  plot.dataset.full ??= String(layout.height);
  const height = Math.min(Number(plot.dataset.full), Math.round(190 + width / 2));
  if (Math.abs(layout.height - height) > 1) plotly().relayout(plot, { height });
}

/** Titles of a narrow figure neither run into each other nor off its edge: they get smaller. @param {Plot} plot */
function shrinkTitles(plot) {
  const all = findAll(plot, ".annotation", SVGElement).map((part) => ({
    at: Number(part.dataset.index),
    box: find(part, ".annotation-text-g", SVGElement).getBoundingClientRect(),
  }));
  const { left, right } = plot.getBoundingClientRect();
  /** @type {Record<string, number>} */
  const smaller = {};
  for (const { at, box } of all) {
    if (!box.width || box.height > 2 * box.width) continue; // hidden, or upright
    const middle = (box.left + box.right) / 2;
    const room = [2 * Math.min(middle - left, right - middle)];
    for (const other of all) {
      if (other.at === at || Math.abs(other.box.top - box.top) >= 3) continue;
      const distance = Math.abs((other.box.left + other.box.right) / 2 - middle);
      room.push((2 * distance * box.width) / (box.width + other.box.width));
    }
    const size = plot._fullLayout?.annotations[at].font.size ?? 0;
    const fitting = Math.max(7, Math.floor((size * (Math.min(...room) - 3)) / box.width));
    if (fitting < size) smaller[`annotations[${at}].font.size`] = fitting;
  }
  if (Object.keys(smaller).length) plotly().relayout(plot, smaller);
}

/** @param {ResizeObserver} sizes */
function watchPlots(sizes) {
  for (const plot of /** @type {Plot[]} */ (findAll(document, ".js-plotly-plot:not([data-fitted])", HTMLElement))) {
    if (!plot.on) continue; // not drawn yet
    plot.dataset.fitted = "";
    plot.on("plotly_afterplot", () => {
      fit(plot);
      if (plot.clientWidth) shrinkTitles(plot);
    });
    if (plot.clientWidth) shrinkTitles(plot);
    if (plot.parentElement) sizes.observe(plot.parentElement);
  }
}

export function mount() {
  connectLink();
  window.addEventListener("hashchange", tellAddress);
  document.addEventListener("paste", paste);
  selectOnClick();
  document.addEventListener("keydown", closeTabs);
  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries)
      requestAnimationFrame(() => findAll(target, ".js-plotly-plot", HTMLElement).forEach(fit));
  });
  const follow = () => {
    nameExamples();
    hideUnfit();
    watchPlots(sizes);
  };
  new MutationObserver(follow).observe(document.body, { childList: true, subtree: true });
  follow();
}
