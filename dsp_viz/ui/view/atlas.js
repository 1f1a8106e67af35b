// The atlas: what heads do over the pictures of a survey. One number at a time, of all heads; of the chosen one the
// pictures behind it.

import { readAddress, writeAddress } from "./address.js";
import { connect } from "./atlas-controls.js";
import { drawDepth, drawLegend, readText } from "./atlas-depth.js";
import { cellName, cellsText, many, ordered } from "./atlas-numbers.js";
import { drawHistogram, picturedText, showPictures, toldText } from "./atlas-pictures.js";
import { bodyOf, headOf, markRow } from "./atlas-table.js";
import { latest } from "./cache.js";
import { find, redrawing, setValue, settersOf } from "./elements.js";
import { described, onDescribe } from "./events.js";

/** @typedef {import("./address.js").Part} Part */
/** @typedef {import("./address.js").Said} Said */
/** @typedef {import("./atlas-numbers.js").Effects} Effects */
/** @typedef {import("./atlas-numbers.js").Facts} Facts */
/** @typedef {import("./atlas-numbers.js").Numbers} Numbers */
/** @typedef {import("./atlas-numbers.js").Order} Order */
/** @typedef {import("./atlas-pictures.js").Cell} Cell */
/**
 * @typedef {{ key: string, model: string, digest: string, side: number, whole: boolean, chosen: string, own: boolean,
 *   offered: boolean, why: string }} Value
 */

/** What the server says; a sentence where it says that something is missing. @param {string} address @returns {Promise<any>} */
async function asked(address) {
  const answer = await fetch(address).catch(() => null);
  if (answer?.ok) return answer.json();
  const gone = "The survey has changed, or the server does not answer. Load the page again.";
  throw new Error(!answer || answer.status === 404 ? gone : await answer.text());
}

export class Atlas {
  /** @param {import("./elements.js").Mounting<Value>} mounting */
  constructor({ element }) {
    this.root = find(element, ".da", HTMLElement);
    this.depth = find(this.root, ".da-depth", SVGElement);
    this.scroll = find(this.root, ".da-scroll", HTMLElement);
    this.state = { quantity: "", heads: false, of: "" };
    /** @type {Order} */
    this.order = { by: "mean", down: true };
    /** @type {Value | null} */
    this.value = null;
    /** @type {Facts | null} */
    this.facts = null;
    /** @type {Numbers | null} */
    this.numbers = null;
    /** @type {Effects | null} */
    this.effects = null;
    /** @type {Cell | null} */
    this.cell = null;
    /** @type {number | null} Index of a cell. */
    this.chosen = null;
    /** @type {Part | null} The cell that a link, or the last number, had chosen. */
    this.wanted = null;
    /** @type {import("./atlas-depth.js").Drawn} */
    this.drawn = { points: [] };
    this.newestNumbers = latest();
    this.newestCell = latest();
  }

  get place() {
    return new URL(`atlas/${this.value?.key}`, document.baseURI).href;
  }

  /** @param {unknown} error */
  fail(error) {
    find(this.root, ".dv-note", HTMLElement).textContent = error instanceof Error ? error.message : String(error);
    this.root.setAttribute("data-busy", "false");
  }

  /** @param {Value | null | undefined} value */
  async show(value) {
    if (!value) return;
    const same = this.value?.key === value.key;
    this.value = value;
    this.introduce(value);
    if (same && this.facts) return this.cell && this.showCell(this.cell);
    try {
      this.facts = /** @type {Facts} */ (await asked(`${this.place}/facts`));
    } catch (error) {
      return this.fail(error);
    }
    this.offer(this.facts);
    await this.load();
  }

  /** Says whether the survey is of the model that is on the page. @param {Value} value */
  introduce({ model, own, offered, chosen, why }) {
    const place = find(this.root, ".da-other", HTMLElement);
    place.hidden = own;
    const of = `This survey is of ${model}; the model of the page is ${chosen}.`;
    const not = `This survey is of ${model}, which ${why} here: its pictures cannot be opened.`;
    find(place, "span", HTMLElement).textContent = offered
      ? `${of} A picture opened here is shown with ${model}.`
      : not;
    const button = find(place, "button", HTMLButtonElement);
    button.hidden = !offered;
    button.textContent = `Choose ${model}`;
  }

  /** What can be chosen. @param {Facts} facts */
  offer(facts) {
    const { pictures, count, errors, unlabelled, classes, groups, quantities } = facts;
    const parts = [
      `${many(pictures)} pictures of ${many(classes.length)} classes`,
      `${this.value?.model} ${this.value?.digest}`,
    ];
    if (pictures < count) parts.push(`not finished: ${many(count - pictures)} more to come`);
    if (errors) parts.push(`${many(errors)} could not be read`);
    if (unlabelled && unlabelled < pictures) parts.push(`${many(unlabelled)} without a class`);
    find(this.root, ".da-facts", HTMLElement).textContent = parts.join(" · ");
    const [quantity, of] = ["quantity", "of"].map((name) => find(this.root, `[data-set=${name}]`, HTMLSelectElement));
    quantity.replaceChildren(...quantities.map(({ name, title }) => new Option(title, name)));
    /** @param {string} label @param {import("./atlas-numbers.js").Group[]} each */
    const listed = (label, each) => {
      const made = Object.assign(document.createElement("optgroup"), { label });
      made.append(...each.map(({ of, name, n }) => new Option(`${name} (${many(n)})`, of)));
      return each.length ? [made] : [];
    };
    of.replaceChildren(new Option("nothing", ""), ...listed("Groups", groups), ...listed("Classes", classes));
    const known = quantities.map(({ name }) => name);
    if (!known.includes(this.state.quantity))
      this.state.quantity = known.find((name) => name === "distance") ?? known[0];
    if (![...groups, ...classes].some(({ of }) => of === this.state.of)) this.state.of = "";
    for (const [name, control] of settersOf(this.root)) setValue(control, Reflect.get(this.state, name));
  }

  /** The chosen number of all heads, and how a group differs in it. */
  async load() {
    const { quantity, heads, of } = this.state;
    if (!quantity) return this.fail(new Error("The survey has no numbers yet."));
    this.root.setAttribute("data-busy", "true");
    const query = new URLSearchParams({ quantity, heads: String(heads) });
    /** @type {Promise<[Numbers, Effects | null]>} */
    const both = Promise.all([
      asked(`${this.place}/numbers?${query}`),
      of ? asked(`${this.place}/effects?${query}&${new URLSearchParams({ of })}`) : null,
    ]);
    const arrived = (/** @type {[Numbers, Effects | null]} */ [numbers, effects]) => {
      find(this.root, ".dv-note", HTMLElement).textContent = "";
      Object.assign(this, { numbers, effects });
      if (!effects && this.order.by === "effect") this.order = { by: "mean", down: true };
      this.chosen = this.found(numbers) ?? ordered(numbers, effects, this.order)[0] ?? null;
      this.draw();
      this.root.setAttribute("data-busy", "false");
      this.loadCell();
    };
    await this.newestNumbers(both, arrived, (error) => this.fail(error));
  }

  /** The cell that was wanted, if there is one. @param {Numbers} numbers */
  found({ layer, head, scale, stream }) {
    const wanted = this.wanted;
    if (!wanted) return null;
    const same = layer.map((_, i) => i).filter((i) => layer[i] === wanted.block && head[i] === wanted.head);
    return same.find((i) => scale[i] === wanted.scale && stream[i] === wanted.stream) ?? same[0] ?? null;
  }

  /** Name of the group that is compared, or "". */
  get group() {
    const { classes = [], groups = [] } = this.facts ?? {};
    return [...groups, ...classes].find(({ of }) => of === this.state.of)?.name ?? "";
  }

  get title() {
    return this.facts?.quantities.find(({ name }) => name === this.state.quantity)?.title ?? "";
  }

  draw() {
    const { facts, numbers, root } = this;
    if (!facts || !numbers || !root.clientWidth) return;
    const { constant, class: bound } = facts.bounds;
    /** @param {string} out @param {string} text */
    const say = (out, text) => (find(root, out, HTMLElement).textContent = text);
    const about = facts.quantities.find(({ name }) => name === this.state.quantity)?.about ?? "";
    say(".da-about", about && `${this.title}: ${about}.`);
    this.drawDots();
    drawLegend(find(root, ".da-legend", HTMLElement), facts, numbers);
    say('[data-out="count"]', `${many(numbers.n.length)} ${cellsText(numbers)}`);
    const kinds = `constant: std below ${constant}. By class: ω² above ${bound}, the share of variance between classes. By picture: the rest.`;
    const chance = Math.round(numbers.n.length / 20);
    const among = `± is a 95 % interval, each for itself: of ${numbers.n.length}, some ${chance} miss 0 by chance alone.`;
    say(".da-kinds", this.effects ? `${kinds} ${among}` : kinds);
    const [head, body] = ["thead", "tbody"].map((name) => find(root, name, HTMLElement));
    const group = this.effects ? `${this.group} − others` : null;
    head.replaceChildren(headOf(this.order, group, (by, down) => this.sort(by, down)));
    body.replaceChildren(...bodyOf(facts, numbers, this.effects, this.order));
    markRow(this.scroll, this.chosen);
    if (this.cell) this.drawCell(this.cell);
  }

  drawDots() {
    if (!this.facts || !this.numbers || !this.depth.clientWidth) return;
    this.drawn = drawDepth(this.depth, this.facts, this.numbers, this.chosen, this.title);
    this.read(this.chosen);
  }

  /** @param {string} by @param {boolean} down */
  sort(by, down) {
    this.order = { by, down };
    this.scroll.scrollTop = 0;
    this.draw();
    find(this.scroll, `[data-by="${by}"]`, HTMLElement).focus();
  }

  /** @param {number | null} i */
  read(i) {
    const text = this.facts && this.numbers && i !== null ? readText(this.facts, this.numbers, i) : "";
    find(this.root, ".da-read", HTMLElement).textContent = text;
  }

  /** @param {number} i */
  choose(i) {
    if (!this.numbers) return;
    const { layer, head, scale, stream } = this.numbers;
    this.chosen = i;
    this.wanted = { block: layer[i], head: head[i], scale: scale[i], stream: stream[i] };
    this.drawDots();
    markRow(this.scroll, i);
    this.loadCell();
  }

  async loadCell() {
    const { numbers, chosen } = this;
    if (!numbers || chosen === null) return;
    const { quantity, heads, of } = this.state;
    const at = [numbers.layer, numbers.head, numbers.scale, numbers.stream].map((column) => column[chosen]).join();
    const query = new URLSearchParams({ quantity, heads: String(heads), at, of });
    const loaded = /** @type {Promise<Cell>} */ (asked(`${this.place}/cell?${query}`));
    await this.newestCell(
      loaded,
      (cell) => this.showCell(cell),
      (error) => this.fail(error),
    );
  }

  /** @param {Cell} cell */
  showCell(cell) {
    const { facts, numbers, chosen, value, root } = this;
    if (!facts || !numbers || chosen === null || !value) return;
    this.cell = cell;
    find(root, '[data-out="cell"]', HTMLElement).textContent = `${this.title}: ${cellName(facts, numbers, chosen)}`;
    find(root, ".da-told", HTMLElement).textContent = toldText(cell, this.group);
    showPictures(root, cell, this.place, value.offered ? (name) => this.open(name) : null);
    find(root, ".da-pictured", HTMLElement).textContent = picturedText(cell, facts.shown, value.offered);
    this.drawCell(cell);
  }

  /** @param {Cell} cell */
  drawCell(cell) {
    drawHistogram(find(this.root, ".da-histogram", SVGElement), cell, this.group);
  }

  /** Opens a picture at the chosen block and head; Back leads here again. @param {string} picture */
  open(picture) {
    if (!this.value) return;
    const { model, side, whole } = this.value;
    history.replaceState(null, "", `#${writeAddress({ ...described("atlas"), tab: "atlas" })}`);
    location.hash = writeAddress({ picture, model, side, whole, tab: "maps", ...this.part() });
  }

  /** The chosen cell, as links name it. @returns {Partial<Part>} */
  part() {
    const { numbers, chosen: i } = this;
    if (!numbers || i === null) return {};
    const { layer, head, scale, stream } = numbers;
    return { block: layer[i], head: head[i], scale: scale[i], stream: stream[i] };
  }

  /** What a link says of the atlas. @returns {Said} */
  said() {
    const { quantity, heads, of } = this.state;
    const cell = this.numbers && this.chosen !== null ? /** @type {Part} */ (this.part()) : undefined;
    return { quantity, heads, of: of || undefined, cell };
  }

  /** Sets what a link says. @param {string} text */
  restore(text) {
    const { tab, quantity = "", heads = false, of = "", cell } = readAddress(text);
    if (tab !== "atlas") return;
    this.state = { quantity, heads, of };
    this.wanted = cell ?? null;
    if (of) this.order = { by: "effect", down: true };
  }
}

/** @param {import("./elements.js").Mounting<Value>} mounting */
export function mount(mounting) {
  const { props, watch } = mounting;
  const atlas = new Atlas(mounting);
  connect(atlas);
  redrawing(atlas.root, () => atlas.draw());
  onDescribe((said, tab) => (tab === "atlas" ? { ...said, ...atlas.said() } : said));
  window.addEventListener("hashchange", () => {
    atlas.restore(location.hash.slice(1));
    if (!atlas.facts || readAddress(location.hash.slice(1)).tab !== "atlas") return;
    atlas.offer(atlas.facts);
    atlas.load();
  });
  watch("value", () => atlas.show(props.value));
  atlas.restore(location.hash.slice(1));
  atlas.show(props.value);
}
