// The view of the maps: a result's layers one at a time, all maps of a layer and a large one over the picture.

import { readAddress } from "./address.js";
import { followArriving } from "./arriving.js";
import { latest } from "./cache.js";
import { hasIndex, scaleCount, tokenName } from "./cells.js";
import { connect } from "./controls.js";
import { draw } from "./draw.js";
import { find, offerOptions, redrawing } from "./elements.js";
import { onDescribe, onLook, tellChange } from "./events.js";
import { loadBlock, loadPicture, proofOf, tellFault } from "./pieces.js";
import { clamp } from "./places.js";
import { asking, pageGrid, saidOf, settings, shownOf, stateOf } from "./shown.js";
import { levelsOf, stageNames, stagesOf } from "./stages.js";
import { summarise } from "./summary.js";

/** @typedef {import("./events.js").Wanted} Wanted */
/** @typedef {import("./maths.js").Place} Place */
/** @typedef {import("./pieces.js").Picture} Picture */
/** @typedef {import("./pieces.js").Result} Result */
/** @typedef {import("./shown.js").Shown} Shown */
/** @typedef {import("./shown.js").State} State */

export class View {
  /** @param {import("./elements.js").Mounting<Result>} mounting */
  constructor({ element, trigger }) {
    this.root = find(element, ".dv", HTMLElement);
    this.stage = find(element, ".dv-stage", HTMLCanvasElement);
    this.panel = find(element, ".dv-panel", HTMLCanvasElement);
    this.note = find(element, ".dv-note", HTMLElement);
    this.trigger = trigger;
    this.state = settings(3, { H: 1, W: 1 });
    /** @type {Result | null} The newest; what is shown may still be of the last. */
    this.result = null;
    /** @type {Shown | null} */
    this.shown = null;
    /** @type {Picture | null} */
    this.picture = null;
    /** @type {Result | null} Whose picture it is. */
    this.pictured = null;
    /** @type {Place | null} Where the pointer is, as shares of the picture. */
    this.pointed = null;
    /** @type {import("./draw.js").Layout | null} Of the small maps, for clicks. */
    this.layout = null;
    /** @type {string | null} The part of a link that was applied last. */
    this.restored = null;
    this.newestBlock = latest();
    this.newestPicture = latest();
    this.telling = 0;
    /** Block and head that Python knows of. */
    this.told = [2, 0];
    /** Whether the layer that is chosen is on its way. */
    this.awaits = false;
    this.waiting = followArriving(
      this.root,
      ({ token, index }) => this.awaits && token === this.result?.token && index === this.state.block,
      (part) => this.preview(part),
    );
  }

  /** @param {Result | null | undefined} result */
  async show(result) {
    if (!result) return;
    if (!result.view) this.restored = null;
    const view = result.view && result.view !== this.restored ? result.view : null;
    if (this.result && this.result.token === result.token) return view === null ? undefined : this.restore(view);
    if (!this.result) Object.assign(this.state, settings(result.layers.length, pageGrid(result)));
    this.result = result;
    await (view === null ? Promise.all([this.showPicture(), this.showBlock(this.state.block)]) : this.restore(view));
  }

  async showPicture() {
    if (!this.result) return;
    const { result } = this;
    this.root.setAttribute("data-pictured", "false");
    await this.newestPicture(loadPicture(result, this.state.seen), (loaded) => {
      this.picture = loaded;
      this.pictured = result;
      draw(this);
      this.root.setAttribute("data-pictured", "true");
    });
  }

  /** @param {number} index of a layer, from 0; what lies beyond the last is the last */
  async showBlock(index) {
    const { result, state } = this;
    if (!result) return;
    state.block = clamp(index, 0, result.layers.length - 1);
    tellChange();
    this.name(result);
    this.root.setAttribute("data-busy", "true");
    this.awaits = true;
    this.waiting();
    if (this.shows(result) && this.shown?.block.missing) this.update();
    else delete this.root.dataset.part;
    const arrived = (/** @type {import("./layer.js").Block} */ block) => {
      this.awaits = false;
      delete this.root.dataset.part;
      this.note.textContent = "";
      this.draws(shownOf(result, state.block, block, state));
      this.root.setAttribute("data-busy", "false");
      const near = [state.block + 1, state.block - 1].filter((i) => i >= 0 && i < result.layers.length);
      for (const i of near) loadBlock(result, i).catch(() => {});
    };
    const failed = (/** @type {unknown} */ error) => {
      this.awaits = false;
      this.waiting();
      if (this.shows(result) && this.shown?.block.missing) this.draws({ ...this.shown, lost: true });
      tellFault(
        this.note,
        error,
        () => this.trigger("lost"),
        () => this.showBlock(this.state.block),
      );
    };
    await this.newestBlock(loadBlock(result, state.block), arrived, failed);
  }

  /** Whether what is shown is of the layer that is chosen. @param {Result} result */
  shows(result) {
    return this.shown?.result === result && this.shown.index === this.state.block;
  }

  /** Those scales of a layer that are here, if they are more than are shown. @param {import("./layer.js").Block} part */
  preview(part) {
    const { result, shown } = this;
    if (!result || result !== this.pictured) return; // no map lies over another picture
    if (shown && this.shows(result) && !shown.lost && shown.block.missing <= part.missing) return;
    this.root.dataset.part = ""; // what is drawn is of this layer
    this.draws(shownOf(result, this.state.block, part, this.state));
  }

  /** @param {Shown} shown */
  draws(shown) {
    this.shown = shown;
    this.offer(shown);
    draw(this);
    const { block, head } = this.state;
    if (block !== this.told[0] || head !== this.told[1]) this.announce(); // another layer may have fewer heads
    this.root.dataset.result = shown.result.token; // for whoever asks the page what it shows
  }

  /** Draws what the state says of the layer that is shown. */
  update() {
    tellChange();
    if (!this.shown) return;
    const { result, index, block, lost } = this.shown;
    this.shown = { ...shownOf(result, index, block, this.state), lost };
    draw(this);
  }

  /** @param {Wanted} wanted a part that is to be looked at */
  async look({ query, ...part }) {
    Object.assign(this.state, part, query && this.result && asking(this.result, query));
    if (part.block === undefined && part.head === undefined) return this.update();
    this.announce();
    await this.showBlock(this.state.block);
  }

  /** Sets the view as a link says; what it does not say gets its default. @param {string} view */
  async restore(view) {
    if (!this.result) return;
    this.restored = view;
    Object.assign(this.state, stateOf(this.result, readAddress(view)));
    await Promise.all([this.showPicture(), this.showBlock(this.state.block)]);
    this.announce();
  }

  /** Python is told what is looked at, so that the other tabs follow; not on every step of a key held down. */
  announce() {
    clearTimeout(this.telling);
    this.telling = setTimeout(() => {
      this.told = [this.state.block, this.state.head];
      this.trigger("pick");
    }, 150);
  }

  /**
   * What a link says of the view.
   *
   * @param {string} [tab] the one that is open
   * @returns {import("./address.js").Said}
   */
  said(tab) {
    const { all, asks, at, ...rest } = this.state;
    // Of a layer of which nothing is here yet nothing is known; the overview shows all layers.
    const known = tab !== "overview" && this.shown?.index === rest.block && this.shown.block.prefix;
    const prefix = known || (asks ? [asks] : []);
    return { ...rest, query: this.result ? saidOf(this.result, this.state, prefix) : "all" };
  }

  /** Says which stage and block is looked at; its bytes may still be on their way. @param {Result} result */
  name({ layers }) {
    const stages = stagesOf(layers);
    const { stage, block } = levelsOf(stages, this.state.block);
    const select = find(this.root, "[data-stages]", HTMLSelectElement);
    offerOptions(select, stageNames(stages));
    select.value = String(stage);
    find(this.root, '[data-needs="stages"]', HTMLElement).hidden = stages.length < 2;
    find(this.root, '[data-out="block"]', HTMLElement).textContent = `${block + 1} / ${stages[stage].layers.length}`;
  }

  /** Hides what the layer lacks, and says what is to be known of the result. @param {Shown} shown */
  offer({ result, block }) {
    /** @type {Record<string, boolean>} */
    const has = {
      index: hasIndex(block),
      scales: scaleCount(block) > 1,
      server: !result.pieces,
      stages: stagesOf(result.layers).length > 1,
      prefix: block.prefix.length > 0,
      window: block.scales.some(({ window }) => window),
    };
    const asks = find(this.root, '[data-set="asks"]', HTMLSelectElement);
    asks.replaceChildren(new Option("the patch", ""), ...block.prefix.map((name) => new Option(tokenName(name), name)));
    for (const part of this.root.querySelectorAll("[data-needs]"))
      if (part instanceof HTMLElement) part.hidden = !has[part.dataset.needs ?? ""];
    find(this.root, '[data-out="heads"]', HTMLElement).textContent =
      block.heads > 1 ? `1 … ${Math.min(9, block.heads)}` : "1";
    const proof = proofOf(result).map((text) => Object.assign(document.createElement("span"), { textContent: text }));
    find(this.root, ".dv-facts", HTMLElement).replaceChildren(`${block.name} · ${block.kind} `, ...proof);
    const refused = find(this.root, ".dv-refused", HTMLElement);
    refused.replaceChildren(
      ...(result.refused ?? []).map((text) => Object.assign(document.createElement("li"), { textContent: text })),
    );
  }
}

/** @param {import("./elements.js").Mounting<Result>} mounting */
export function mount(mounting) {
  const { props, watch } = mounting;
  const view = new View(mounting);
  connect(view);
  summarise(view.root);
  redrawing(view.root, () => draw(view));
  onLook((wanted) => view.look(wanted));
  onDescribe((said, tab) => {
    if (!view.result) return said;
    const { example, token, model, side, whole } = view.result;
    return { picture: example ?? token, model, side, whole, ...view.said(tab), ...said };
  });
  // A link was opened in this tab. For another result Python sends a new value; for this one it sends none.
  window.addEventListener("hashchange", () => {
    const text = location.hash.slice(1);
    const { picture, ...said } = readAddress(text);
    const { result } = view;
    if (!result || picture === undefined || ![result.example, result.token].includes(picture)) return;
    const { model = result.model, side = result.side, whole = false } = said;
    if (model === result.model && side === result.side && whole === result.whole) view.restore(text);
  });
  watch("value", () => view.show(props.value));
  view.show(props.value);
}
