// Accounts of relevance as maps over the picture, each beside its areas and those of random order. They come one after
// the other; what was there stays.

import { drawBar, drawOverlay, tokenUnder } from "./canvas.js";
import { ONLY, OPPOSITE, SAME, scaleOf, sparse } from "./colours.js";
import { closing, find, findAll, MOVES, redrawing, settersOf, valueOf } from "./elements.js";
import { quantile } from "./maths.js";
import { area, minus } from "./numbers.js";
import { loadPicture } from "./pieces.js";
import { within } from "./places.js";
import { save } from "./relevance-take.js";

/** @typedef {import("./maths.js").Place} Place */
/** @typedef {import("./colours.js").Cell} Cell */
/** @typedef {import("./pieces.js").Picture} Picture */
/** @typedef {[deletion: number, insertion: number]} Areas */
/** @typedef {{ mean: Areas, low: Areas, high: Areas }} Random those of some random orders */

/**
 * @typedef {object} Account
 * @property {string} name @property {string} about
 * @property {string} unit accounts of shares have one scale together
 * @property {boolean} signed
 * @property {"same" | "opposite" | "only"} role
 * @property {string} approximate why it is an approximation, or ""
 * @property {string} values base64 of float32, row-major
 * @property {Areas | null} areas as soon as they are known
 */

/**
 * @typedef {object} Value
 * @property {import("./pieces.js").Result} result
 * @property {number[]} box where the grid lies in the picture
 * @property {string} target @property {number} probability
 * @property {Account[]} accounts
 * @property {Random | null} random
 */

/** @typedef {{ root: HTMLElement, map: HTMLCanvasElement, bar: HTMLCanvasElement, read: HTMLElement, areas: HTMLElement }} Card */

const COVERED = 0.995; // one outstanding patch would otherwise bleach all others
const SHARED = "× uniform";
const INKS = { same: SAME, opposite: OPPOSITE, only: ONLY };

/** @param {string} text */
function numbersOf(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

/** Each account as a map. @param {Value} value @returns {Cell[]} */
export function cellsOf({ accounts, result: { grid }, box }) {
  return accounts.map(({ values, signed, role }) => {
    const numbers = numbersOf(values);
    const place = { H: grid[0], W: grid[1], box: /** @type {[number, number, number, number]} */ (box) };
    const ink = signed ? SAME : INKS[role];
    return { ...place, values: numbers, seen: numbers, window: null, sign: 1, signed, ink };
  });
}

/** The end of each one's scale; accounts of shares have it together. @param {Account[]} accounts @param {Cell[]} cells */
export function topsOf(accounts, cells) {
  /** @param {Cell[]} some */
  const end = (some) =>
    quantile(
      some.map(({ seen }) => seen.map(Math.abs)),
      COVERED,
    ) || 1;
  const shared = cells.filter((_, i) => accounts[i].unit === SHARED);
  return cells.map((cell, i) => (accounts[i].unit === SHARED ? end(shared) : end([cell])));
}

/** @param {number} value */
const digits = (value) => minus(String(Number(value.toPrecision(3))));

/** What is read at a token. @param {Account} account @param {Cell} cell @param {Place} at */
export function readText({ unit, signed }, { values, W }, [row, column]) {
  const value = values[row * W + column];
  const sign = signed && value > 0 ? "+" : "";
  return `row ${row + 1}, column ${column + 1}: ${sign}${digits(value)} ${unit === SHARED ? unit : ""}`.trim();
}

/** For those who cannot see it. @param {Account} account @param {Cell} cell */
function altOf({ name, unit }, { values, W }) {
  const most = values.reduce((best, value, i) => (value > values[best] ? i : best), 0);
  const place = `row ${Math.floor(most / W) + 1}, column ${(most % W) + 1}`;
  return `${name} over the picture, largest at ${place}: ${digits(values[most])}, ${unit}. Arrow keys read it.`;
}

/**
 * How an area stands beside those of the random orders, which differ among themselves.
 *
 * @param {"deletion" | "insertion"} which @param {Areas} areas @param {Random} random
 */
export function againstText(which, areas, { low, high }) {
  const i = which === "deletion" ? 0 : 1;
  if (areas[i] >= low[i] && areas[i] <= high[i]) return "no better than a random order may be";
  return areas[i] < low[i] === (which === "deletion")
    ? "better than every random order"
    : "worse than every random order";
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {string} name @param {(string | Node)[]} content
 */
function element(tag, name, ...content) {
  const made = document.createElement(tag);
  made.className = name;
  made.append(...content);
  return made;
}

/**
 * A row of the areas: a meter, on which random orders have a band and a mark at their mean, and both numbers.
 *
 * @param {"deletion" | "insertion"} which @param {Areas} areas @param {Random} random
 * @param {number} end of the meters, which all have it: of an improbable class all areas are small
 */
function meterOf(which, areas, random, end) {
  const i = which === "deletion" ? 0 : 1;
  const meter = element("span", "de-meter", element("u", ""), element("i", ""), element("b", ""));
  const places = { area: areas, random: random.mean, low: random.low, high: random.high };
  for (const [name, values] of Object.entries(places)) meter.style.setProperty(`--${name}`, String(values[i] / end));
  meter.ariaHidden = "true";
  const mean = element("span", "", ` random ${area(random.mean[i])}`);
  const told = element("dd", "", meter, element("span", "de-numbers", area(areas[i]), mean));
  const against = againstText(which, areas, random);
  told.title = `${against}; ${i ? "large" : "small"} is good`;
  const row = element("div", "", element("dt", "", which), told);
  if (against.startsWith("better")) row.classList.add("de-better");
  return row;
}

export class Relevance {
  /** @param {import("./elements.js").Mounting<string>} mounting */
  constructor({ element: root }) {
    this.root = find(root, ".de", HTMLElement);
    this.place = find(root, ".de-cards", HTMLElement);
    /** @type {Map<string, Card>} */
    this.cards = new Map();
    /** @type {Value | null} */
    this.value = null;
    /** @type {Cell[]} */
    this.cells = [];
    /** @type {number[]} Ends of their scales. */
    this.tops = [];
    this.title = "";
    /** @type {Picture | null} */
    this.picture = null;
    /** @type {Place} The token that is read, on all maps. */
    this.at = [0, 0];
    this.pointed = false;
    this.look = { opacity: 0.85, smooth: false };
  }

  /** @param {string | null | undefined} text JSON of a value */
  async show(text) {
    const before = this.value?.result.token;
    /** @type {Value | null} */
    const value = text ? JSON.parse(text) : null;
    this.value = value;
    this.root.hidden = !value;
    if (!value) {
      this.cards.clear();
      this.place.replaceChildren();
      this.picture = null;
      return;
    }
    this.cells = cellsOf(value);
    this.tops = topsOf(value.accounts, this.cells);
    const { target, probability, result } = value;
    this.title = `Relevance for ${target}, ${(100 * probability).toFixed(1)} %, by patch`;
    find(this.root, ".de-title", HTMLElement).textContent = this.title;
    this.at = within({ H: result.grid[0], W: result.grid[1] }, this.at);
    for (const account of value.accounts) if (!this.cards.has(account.name)) this.add(account);
    this.draw();
    if (before === result.token && this.picture) return;
    const picture = await loadPicture(result);
    if (this.value?.result.token !== result.token) return; // another came meanwhile
    this.picture = picture;
    this.draw();
  }

  /** @param {Account} account */
  add({ name, about, approximate }) {
    const note = approximate ? [element("em", "", "an approximation"), `: ${approximate}`] : [];
    const map = element("canvas", "de-map");
    Object.assign(map, { tabIndex: 0, role: "application" });
    const bar = element("canvas", "de-key");
    bar.setAttribute("role", "img");
    const [read, areas] = [element("p", "de-read"), element("dl", "de-areas")];
    const caption = element(
      "figcaption",
      "",
      element("b", "", name),
      element("span", "", about),
      element("span", "", ...note),
    );
    const root = element("figure", "de-card", caption, map, bar, read, areas);
    this.cards.set(name, { root, map, bar, read, areas });
    this.place.append(root);
    this.connect(map);
  }

  /** @param {HTMLCanvasElement} canvas */
  connect(canvas) {
    /** @param {Place} at */
    const read = (at) => {
      this.at = at;
      this.pointed = true;
      this.draw();
    };
    canvas.addEventListener("pointermove", (event) => read(tokenUnder(event, canvas, this.cells[0])));
    canvas.addEventListener("focus", () => read(this.at));
    canvas.addEventListener("keydown", (event) => {
      if (!Object.hasOwn(MOVES, event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const [rows, columns] = MOVES[event.key];
      read(within(this.cells[0], [this.at[0] + rows, this.at[1] + columns]));
    });
  }

  draw() {
    const { value, cells, tops, picture, at, pointed, look } = this;
    if (!value || !this.root.clientWidth) return;
    const [height, width] = value.result.grid;
    const { random } = value;
    const end = Math.max(1e-6, ...[...value.accounts.map(({ areas }) => areas ?? []), random?.high ?? []].flat());
    value.accounts.forEach((account, i) => {
      const card = this.cards.get(account.name);
      if (!card) return;
      const wide = card.root.clientWidth;
      const frames = pointed ? [{ place: at, grid: cells[i], thick: false }] : [];
      drawOverlay(card.map, picture, cells[i], tops[i], {
        ...look,
        width: wide,
        height: (wide * height) / width,
        frames,
      });
      card.map.setAttribute("aria-label", altOf(account, cells[i]));
      const bar = { title: account.unit, opacity: picture ? look.opacity : 1, ground: picture?.ground, unit: "" };
      drawBar(card.bar, sparse(scaleOf([cells[i]], tops[i])), wide, bar);
      card.read.textContent = pointed ? readText(account, cells[i], at) : "";
      const { areas } = account;
      if (areas && random) {
        const meters = /** @type {const} */ (["deletion", "insertion"]).map((w) => meterOf(w, areas, random, end));
        card.areas.replaceChildren(...meters);
      }
      if (!areas) card.areas.replaceChildren(element("div", "", element("dt", "", "not judged yet")));
    });
  }
}

/** @param {import("./elements.js").Mounting<string>} mounting */
export function mount(mounting) {
  const { element: place, props, watch } = mounting;
  const relevance = new Relevance(mounting);
  for (const [name, control] of settersOf(relevance.root))
    control.addEventListener("input", () => {
      Object.assign(relevance.look, { [name]: valueOf(control) });
      relevance.draw();
    });
  for (const button of findAll(relevance.root, "[data-do]", HTMLButtonElement))
    button.addEventListener("click", () => save(relevance, button.dataset.do ?? ""));
  closing(find(relevance.root, ".dv-menu", HTMLDetailsElement));
  redrawing(place, () => relevance.draw());
  watch("value", () => relevance.show(props.value));
  relevance.show(props.value);
}
