// The same map on several pictures, on one scale of colours. Which map it is, and what asks, the view of the maps says:
// what is changed here is changed there, so that a click on a picture opens the very map that is seen.

import { latest } from "./cache.js";
import { drawBar } from "./canvas.js";
import { find, redrawing } from "./elements.js";
import { described, onChange, openMaps } from "./events.js";
import { loadBlock, loadSmall, tellFault } from "./pieces.js";
import { element } from "./roster.js";
import { beyond, boundsText, faultLines, LOOKED_AT, sorted } from "./several-files.js";
import { askedText, colouring, entryOf, indexOf, keyOf, mapOf, ordered, progressText } from "./several-strip.js";
import { arrange, drawPlace, drawTile, offer } from "./several-tiles.js";
import { Halt, work } from "./several-work.js";
import { connect } from "./severaling.js";
import { settings, stateOf } from "./shown.js";

/** @typedef {import("./pieces.js").Result} Result */
/** @typedef {import("./several-strip.js").Entry} Entry */
/** @typedef {import("./several-strip.js").Order} Order */
/** @typedef {import("./several-work.js").How} How */
/** @typedef {Result & { most: number, largest: number, examples: string[], arrays: number }} Value */

const SMALL = 440; // px of a picture: twice the width of a tile
const BUSY = 12; // ms that maps may be computed for before the page gets a frame

const nextFrame = () => new Promise((done) => requestAnimationFrame(done));

export class Several {
  /** @param {import("./elements.js").Mounting<Value>} mounting */
  constructor({ element: place, trigger }) {
    this.root = find(place, ".dn", HTMLElement);
    this.canvas = find(this.root, ".dn-place", HTMLCanvasElement);
    this.strip = find(this.root, ".dn-strip", HTMLElement);
    this.note = find(this.root, ".dv-note", HTMLElement);
    this.trigger = trigger;
    /** @type {Value | null} The page's own, which says with what pictures are analysed. */
    this.result = null;
    this.state = settings(1, { H: 1, W: 1 });
    /** @type {Entry[]} */
    this.entries = [];
    /** @type {Map<Entry, import("./several-tiles.js").Tile>} */
    this.tiles = new Map();
    /** @type {Order} */
    this.order = "added";
    /** @type {How | null} With what the pictures of the strip are analysed; null: there are none. */
    this.how = null;
    /** @type {AbortController | null} While pictures are analysed. */
    this.running = null;
    this.doing = "";
    this.newest = latest();
    this.frame = 0;
  }

  /** @param {Value | null | undefined} value */
  show(value) {
    if (!value) return;
    this.result = value;
    find(this.root, ".dn-bounds", HTMLElement).textContent = boundsText(value);
    const { most, examples } = value;
    const button = find(this.root, '[data-do="examples"]', HTMLElement);
    button.textContent = `Take ${Math.min(most, examples.length)} of the examples`;
    if (most >= examples.length) button.textContent = `Take the ${examples.length} examples`;
    this.tell();
    this.refresh();
  }

  /** How the page would analyse a picture now. @returns {How | null} */
  asked() {
    if (!this.result) return null;
    const { model, side, whole } = this.result;
    return { model, side, whole };
  }

  /** Whether the strip is of another model, size or cutting than is chosen now. */
  isOld() {
    return this.used() > 0 && this.how !== null && JSON.stringify(this.how) !== JSON.stringify(this.asked());
  }

  /** How many pictures there are, less those that could not be used. */
  used() {
    return this.entries.filter(({ state }) => state !== "failed").length;
  }

  /** How many pictures more there is room for. */
  room() {
    return Math.max(0, (this.result?.most ?? 0) - this.used());
  }

  /** @param {import("./several-files.js").Named[]} files */
  take(files) {
    if (!this.result) return;
    const there = this.entries.flatMap(({ name, file, state }) => (file && state !== "failed" ? [{ name, file }] : []));
    const { taken, refused } = sorted(files, this.room(), this.result, there);
    this.add([
      ...taken.map(({ name, file }) => entryOf(name, { file })),
      ...refused.map(({ name, fault }) => entryOf(name, { state: "failed", fault })),
    ]);
    if (!taken.length && !refused.length) this.note.textContent = "There are no pictures in it.";
    if (files.length >= LOOKED_AT)
      this.note.textContent = `Only ${LOOKED_AT.toLocaleString("en")} files were looked at. Choose a smaller folder.`;
  }

  takeExamples() {
    const there = new Set(this.entries.map(({ example }) => example));
    const names = (this.result?.examples ?? []).filter((name) => !there.has(name)).slice(0, this.room());
    this.add(names.map((example) => entryOf(example, { example })));
  }

  /** @param {Entry[]} entries */
  add(entries) {
    this.note.textContent = "";
    if (!this.used()) this.how = null;
    this.entries.push(...entries);
    if (this.isOld()) this.again();
    else this.run();
  }

  /** All of them once more, with what is chosen now. */
  again() {
    const most = this.result?.most ?? 0;
    this.running?.abort();
    this.how = null;
    this.entries
      .filter(({ file, example }) => file || example) // others were never taken
      .forEach((entry, i) => {
        const left = i >= most;
        const fault = left ? beyond(most) : "";
        Object.assign(entry, { state: left ? "failed" : "waiting", fault, told: null, map: null, picture: null });
      });
    this.run();
    this.refresh();
  }

  clear() {
    this.running?.abort();
    Object.assign(this, { entries: [], how: null });
    this.note.textContent = "";
    this.tell();
    this.refresh();
  }

  stop() {
    this.running?.abort();
  }

  /** Analyses what waits. Whoever stops it stops this run only: another may have begun since. */
  async run() {
    if (this.running && !this.running.signal.aborted) return;
    this.how ??= this.asked();
    if (!this.how) return;
    const running = (this.running = new AbortController());
    const doing = (/** @type {Entry} */ entry, /** @type {string} */ what) => {
      if (running !== this.running) return;
      this.doing = `${what} ${entry.name}`;
      this.tell();
    };
    const done = () => {
      if (running === this.running) this.tell();
      this.refresh();
    };
    this.note.textContent = "";
    this.tell();
    try {
      await work(this.entries, this.how, running.signal, { doing, done });
    } catch (error) {
      if (!(error instanceof Halt)) throw error;
      this.note.textContent = error.message;
    } finally {
      if (running === this.running) {
        Object.assign(this, { running: null, doing: "" });
        this.tell();
      }
    }
  }

  /** Says how far it is, and offers what can be done. */
  tell() {
    const { root, entries } = this;
    const busy = Boolean(this.running && !this.running.signal.aborted);
    const waiting = entries.filter(({ state }) => state === "waiting").length;
    const done = entries.filter(({ state }) => state === "done").length;
    root.classList.toggle("dn-some", entries.length > 0);
    find(root, ".dn-work", HTMLElement).hidden = !entries.length;
    const bar = find(root, "progress", HTMLProgressElement);
    Object.assign(bar, { max: Math.max(1, done + waiting), value: done, hidden: !busy && !waiting });
    const told = find(root, ".dn-told", HTMLElement);
    told.ariaLive = busy ? "off" : "polite"; // who hears the page is told the end, not every step
    told.textContent = progressText(entries, busy ? this.doing : "");
    find(root, '[data-do="stop"]', HTMLElement).hidden = !busy;
    find(root, '[data-do="go"]', HTMLElement).hidden = busy || !waiting || this.isOld();
    const faults = find(root, ".dn-faults", HTMLElement);
    const lines = faultLines(entries.filter(({ state }) => state === "failed"));
    faults.hidden = !lines.length;
    faults.replaceChildren(
      ...lines.map(({ names, fault }) => {
        const line = element("li", {});
        line.append(element("b", {}, `${names}: `), fault);
        return line;
      }),
    );
    const other = find(root, ".dn-other", HTMLElement);
    other.hidden = !this.isOld();
    if (this.how)
      find(other, "span", HTMLElement).textContent = `These are of ${howText(this.how)}, not as chosen now.`;
    const shown = done || (waiting && this.tiles.size);
    find(root, ".dn-shown", HTMLElement).hidden = !shown;
  }

  /** Follows what is asked and chosen, if the strip is seen: maps that are out of date are computed anew. */
  refresh() {
    const { result, root } = this;
    if (!result || !root.clientWidth) return;
    this.state = stateOf(result, described("several"));
    const arrived = () => {
      root.setAttribute("data-busy", "false");
      this.drawSoon();
    };
    return this.newest(this.compute(), arrived);
  }

  async compute() {
    const { root, state } = this;
    const done = this.entries.filter(({ told, map }) => told && map?.asked !== keyOf(state, told.result));
    // One that comes is added to those that are there; only where all change they fade.
    if (done.some(({ map }) => map)) root.setAttribute("data-busy", "true");
    /** @type {Entry[]} */
    const lost = [];
    let [began, fault] = [performance.now(), /** @type {unknown} */ (null)];
    for (const entry of done) {
      const { told } = entry;
      if (!told) continue;
      try {
        const [block, picture] = await Promise.all([
          loadBlock(told.result, indexOf(state, told.result)),
          entry.picture ?? loadSmall(told.result, SMALL),
        ]);
        if (this.state !== state) return; // asked anew meanwhile
        if (entry.told === told) Object.assign(entry, { picture, map: mapOf(told.result, block, state) });
      } catch (error) {
        lost.push(entry);
        fault = error;
      }
      if (performance.now() - began < BUSY) continue;
      await nextFrame();
      if (this.state !== state) return;
      began = performance.now();
    }
    if (lost.length)
      tellFault(this.note, fault, () => {
        for (const entry of lost) Object.assign(entry, { state: "waiting", told: null, map: null });
        this.run();
      });
  }

  /** The pictures that are seen, in their order. */
  seen() {
    return ordered(this.entries, this.order).filter(({ map }) => map !== null);
  }

  drawSoon() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const { root, result, state } = this;
    if (!result || !root.clientWidth) return;
    const seen = this.seen();
    arrange(this, seen);
    this.tell();
    const maps = seen.flatMap(({ map }) => map ?? []);
    if (!maps.length) return;
    offer(root, seen[0]);
    const { top, scale } = colouring(maps, state.colours);
    for (const entry of seen) drawTile(this, entry, top);
    drawPlace(this, result);
    const size = `with arrays, about ${megabytes(result.arrays * maps.length)}`;
    find(root, ".dn-arrays", HTMLElement).textContent = size;
    const text = `${maps[0].which} · ${askedText(state, maps[0].block.prefix)}`;
    const which = find(root, ".dn-which", HTMLElement);
    if (which.textContent !== text) which.textContent = text;
    const key = find(root, ".dn-key", HTMLCanvasElement);
    const ground = seen[0].picture?.ground;
    const count = maps.length === 1 ? "" : `, one scale for all ${maps.length}`;
    drawBar(key, scale, key.parentElement?.clientWidth ?? 0, {
      title: `× uniform${count}`,
      opacity: state.opacity,
      ground,
    });
  }

  /** The page shows a picture, in the view of the maps. @param {import("./several-strip.js").Told} told */
  open({ source }) {
    this.trigger("choose", { source });
    openMaps({}); // which looks at that map already
  }
}

/** @param {number} bytes */
const megabytes = (bytes) => `${Number((bytes / 1e6).toPrecision(2))} MB`;

/** @param {How} how */
const howText = ({ model, side, whole }) => `${model} at ${side} px${whole ? ", the whole picture" : ""}`;

/** @param {import("./elements.js").Mounting<Value>} mounting */
export function mount(mounting) {
  const { props, watch } = mounting;
  const several = new Several(mounting);
  connect(several);
  redrawing(several.root, () => several.refresh());
  onChange(() => several.refresh());
  watch("value", () => several.show(props.value));
  several.show(props.value);
}
