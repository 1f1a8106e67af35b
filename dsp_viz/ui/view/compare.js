// A comparison: any map of one result beside any map of another, for the same place of the picture, and their
// difference.

import { readAddress, writeAddress } from "./address.js";
import { followArriving } from "./arriving.js";
import { latest } from "./cache.js";
import { drawBar, drawOverlay } from "./canvas.js";
import { fit, rowsOf } from "./cells.js";
import { askedOf, connect, fill } from "./comparing.js";
import { columnsOf, differenceText, drawnOf, namesOf } from "./compared.js";
import { find, findAll, redrawing, setValue, settersOf } from "./elements.js";
import { described, onDescribe } from "./events.js";
import { loadBlock, loadPicture, tellFault } from "./pieces.js";
import { centre, rounded, tokenAt, within } from "./places.js";
import { pageGrid, stateOf } from "./shown.js";

/** @typedef {import("./address.js").Said} Said */
/** @typedef {import("./maths.js").Place} Place */
/** @typedef {import("./pieces.js").Result} Result */
/** @typedef {import("./compared.js").Side} Side */
/** @typedef {{ a: Result, b: Result, names?: [string, string] }} Value */
/** No query has been asked yet. */
const NOTHING = { query: /** @type {"all"} */ ("all"), maps: [], prefix: [], window: null };

/** @typedef {{ index: number, head: number, scale: number, stream: number }} Chosen `index` of the layer */

export class Comparison {
  /** @param {import("./elements.js").Mounting<Value>} mounting */
  constructor({ element, props, trigger }) {
    this.root = find(element, ".dc", HTMLElement);
    this.canvases = findAll(this.root, ".dc-sides canvas:not(.dc-scale)", HTMLCanvasElement);
    this.bars = findAll(this.root, ".dc-scale", HTMLCanvasElement);
    this.lines = findAll(this.root, ".dc-sides p", HTMLElement);
    this.props = props;
    this.trigger = trigger;
    this.look = { opacity: 0.85, smooth: false };
    this.state = { all: false, together: true };
    /** @type {[Chosen, Chosen]} */
    this.chosen = [this.first(), this.first()];
    /** @type {Place | null} The query as shares of the picture, once it is known. */
    this.at = null;
    /** @type {Place | null} A token that a link asks of, on the grid of A, until that is known. */
    this.wanted = null;
    /** @type {[Side, Side] | null} */
    this.sides = null;
    /** @type {[string, string]} */
    this.names = ["A", "B"];
    this.newest = latest();
    this.waiting = followArriving(this.root, ({ token, index }) =>
      [this.props.value?.a, this.props.value?.b].some(
        (side, i) => side?.token === token && this.chosen[i].index === index,
      ),
    );
  }

  /** @returns {Chosen} */
  first() {
    return { index: 2, head: 0, scale: 0, stream: 0 };
  }

  /** @param {Value | null | undefined} value */
  async show(value) {
    if (!value) return;
    this.root.setAttribute("data-busy", "true");
    this.waiting();
    const note = find(this.root, ".dv-note", HTMLElement);
    const arrived = (/** @type {[Side, Side]} */ sides) => {
      this.sides = sides;
      this.name(value.names ?? ["A", "B"]);
      note.textContent = "";
      const grid = pageGrid(value.a);
      if (this.wanted) this.at = centre(grid, within(grid, this.wanted));
      this.at ??= stateOf(value.a, described("maps")).at; // it begins where the maps are asked from
      this.wanted = null;
      this.update();
      this.root.setAttribute("data-busy", "false");
    };
    const failed = (/** @type {unknown} */ error) => {
      this.waiting();
      tellFault(
        note,
        error,
        () => this.trigger("lost"),
        () => this.show(this.props.value),
      );
    };
    await this.newest(Promise.all([this.load(value.a, 0), this.load(value.b, 1)]), arrived, failed);
  }

  /** @param {Result} result @param {0 | 1} i @returns {Promise<Side>} */
  async load(result, i) {
    const chosen = this.chosen[i];
    chosen.index = Math.min(chosen.index, result.layers.length - 1);
    const [picture, block] = await Promise.all([loadPicture(result), loadBlock(result, chosen.index)]);
    return { ...chosen, result, picture, block, asked: [0, 0], ...NOTHING };
  }

  /** The same results again, with other choices. */
  again() {
    if (this.sides && this.props.value) this.show(this.props.value);
  }

  /** @param {[string, string]} names */
  name([a, b]) {
    this.names = [a, b];
    const texts = [a, b, `${b} − ${a}`];
    findAll(this.root, ".dc-choice b", HTMLElement).forEach((title, i) => (title.textContent = texts[i]));
    findAll(this.root, "thead th", HTMLElement).forEach((th, i) => i && (th.textContent = this.names[i - 1]));
  }

  /** Asks for another place. @param {Place} at as shares of the picture */
  ask(at) {
    this.at = at;
    this.update();
  }

  update() {
    const { sides, at } = this;
    if (!sides || !at) return;
    sides.forEach((side, i) => {
      side.asked = rounded(this.token(side), pageGrid(side.result), side.block.grid);
      Object.assign(side, rowsOf(side.block, this.state.all ? "all" : side.asked));
      fit(side.block, side);
      const { head, scale, stream } = side;
      Object.assign(this.chosen[i], { head, scale, stream });
    });
    this.draw();
  }

  draw() {
    const { root, sides } = this;
    const width = this.canvases[0].parentElement?.clientWidth;
    if (!sides || !this.at || !root.clientWidth || !width) return;
    const drawn = drawnOf(sides, this.at, this.state.all, this.look);
    drawn.forEach(({ map, top, scale, picture, frames, opacity, ratio }, i) => {
      const look = { width, height: width * ratio, frames, opacity, smooth: this.look.smooth };
      drawOverlay(this.canvases[i], picture, map, top, look);
      drawBar(this.bars[i], scale, width, { opacity, ground: picture?.ground });
      this.lines[i].textContent = i < 2 ? `${scale.text} × uniform, one scale for both` : this.difference(drawn[2]);
    });
    find(root, "thead th", HTMLElement).textContent = askedOf(sides, this.state.all, this.names);
    const columns = sides.map((side) => columnsOf(side, this.state.all));
    findAll(root, "tbody tr", HTMLElement).forEach((row, i) =>
      findAll(row, "td", HTMLElement).forEach((cell, j) => (cell.textContent = columns[j][i])),
    );
    for (const select of findAll(root, "select[data-key]", HTMLSelectElement)) fill(select, sides);
  }

  /** @param {import("./compared.js").Drawn} drawn */
  difference(drawn) {
    return differenceText(drawn, this.props.value?.names ? ": look at layer, or at a later block" : "");
  }

  /** What a link says of the comparison. @returns {Said} */
  said() {
    const names = namesOf();
    if (!this.sides?.[0].maps.length) return names;
    const [a, b] = this.chosen.map(({ index, ...rest }) => ({ block: index, ...rest }));
    return { ...names, query: this.state.all ? "all" : this.token(this.sides[0]), smooth: this.look.smooth, a, b };
  }

  /** The query on the page's grid of a side. @param {Side} side */
  token({ result }) {
    return tokenAt(pageGrid(result), this.at ?? [0, 0]);
  }

  /** Sets what a link says; of the tab What if, which has a comparison too, links say less. @param {string} view */
  restore(view) {
    const { tab, query, smooth, a, b } = readAddress(view);
    if (tab !== "compare") return;
    [a, b].forEach((part, i) => {
      if (!part) return;
      const { block: index, ...rest } = part;
      this.chosen[i] = { index, ...rest };
    });
    this.state.together = !a || !b || writeAddress({ a }) === writeAddress({ a: b });
    this.state.all = query === "all";
    this.look.smooth = Boolean(smooth);
    this.wanted = Array.isArray(query) ? query : null;
    const values = { ...this.state, smooth };
    for (const [name, control] of settersOf(this.root))
      setValue(control, values[/** @type {keyof typeof values} */ (name)]);
  }
}

/** @param {import("./elements.js").Mounting<Value>} mounting */
export function mount(mounting) {
  const { element, props, watch } = mounting;
  const comparison = new Comparison(mounting);
  connect(comparison);
  redrawing(comparison.root, () => comparison.draw());
  onDescribe((said, tab) =>
    tab === "compare" && element.closest("#compare") ? { ...said, ...comparison.said() } : said,
  );
  window.addEventListener("hashchange", () => {
    comparison.restore(location.hash.slice(1));
    comparison.again();
  });
  watch("value", () => comparison.show(props.value));
  comparison.restore(location.hash.slice(1));
  comparison.show(props.value);
}
