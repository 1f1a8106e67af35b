// The overview: every head of every layer at once, for the query of the page. Layers are fetched one after the other,
// only while the overview is seen, and of each only its maps are kept.

import { readAddress } from "./address.js";
import { latest } from "./cache.js";
import { drawBar, drawFrames, paintSmall, prepare } from "./canvas.js";
import { tokenName } from "./cells.js";
import { find, findAll, offerOptions, redrawing, setValue, settersOf } from "./elements.js";
import { described, onChange, onDescribe } from "./events.js";
import { colouring, rowOf, scaleChoices, sizeOf } from "./glance.js";
import { element, groupsOf } from "./roster.js";
import { connect } from "./overviewing.js";
import { loadBlock, loadPicture, tellFault } from "./pieces.js";
import { clamp, zoomedBox } from "./places.js";
import { pageGrid, queryOf, queryText, settings, stateOf } from "./shown.js";
import { stagesOf } from "./stages.js";

/** @typedef {import("./glance.js").Row} Row */
/** @typedef {import("./pieces.js").Picture} Picture */
/** @typedef {import("./pieces.js").Result} Result */
/** @typedef {Row & { turn: number }} Drawn `turn`: in which the row was computed */

const BUSY = 10; // ms that layers may be computed for before the page gets a frame
const GAPS = { head: 12, map: 2 };

const nextFrame = () => new Promise((done) => requestAnimationFrame(done));

export class Overview {
  /** @param {import("./elements.js").Mounting<Result>} mounting */
  constructor({ element, trigger }) {
    this.root = find(element, ".do", HTMLElement);
    this.canvas = find(this.root, ".do-picture", HTMLCanvasElement);
    this.table = find(this.root, ".do-grid", HTMLElement);
    this.trigger = trigger;
    /** @type {Result | null} */
    this.result = null;
    /** @type {Picture | null} */
    this.picture = null;
    this.state = settings(1, { H: 1, W: 1 });
    this.choice = 0; // of scale, see scaleFor
    /** @type {Map<number, Drawn>} By the layer's index. */
    this.rows = new Map();
    this.turn = 0; // counts what is asked: rows of an older turn are out of date
    this.asked = "";
    this.failed = 0; // the turn whose layers did not come: only a new turn, or whoever reads the note, asks again
    this.passes = 0;
    this.frame = 0;
    /** @type {Map<Row, string>} How rows that are on the screen were drawn. */
    this.drawn = new Map();
    this.colours = colouring([], "fixed");
    this.newestPicture = latest();
  }

  /** @param {Result | null | undefined} result */
  async show(result) {
    if (!result) return;
    if (this.result?.token === result.token) return this.refresh();
    Object.assign(this, { result, picture: null, rows: new Map(), turn: this.turn + 1 });
    this.table.replaceChildren(...groupsOf(result.layers));
    this.refresh();
    await this.newestPicture(loadPicture(result), (picture) => {
      this.picture = picture;
      this.drawSoon();
    });
  }

  /** Layers in the order of their rows. @param {Result} result */
  order({ layers }) {
    return stagesOf(layers).flatMap((stage) => stage.layers);
  }

  /** Follows what is asked and chosen, if the overview is seen: what is out of date is computed anew. */
  refresh() {
    const { result, root, choice } = this;
    if (!result || !root.clientWidth) return;
    this.state = stateOf(result, described("overview"));
    const { at, all, asks, show } = this.state;
    const asked = JSON.stringify([at, all, asks, show, choice]);
    if (asked !== this.asked) this.turn++;
    this.asked = asked;
    if (this.failed !== this.turn) this.compute(result);
    this.drawSoon();
  }

  /** Computes the rows that are out of date, the oldest first; between two frames only as much as fits. @param {Result} result */
  async compute(result) {
    const { state, turn, choice } = this;
    const pass = ++this.passes;
    this.failed = 0;
    const over = () => pass !== this.passes || !this.root.clientWidth;
    /** @param {number} index */
    const age = (index) => this.rows.get(index)?.turn ?? 0;
    const old = this.order(result).filter((index) => age(index) < turn);
    if (old.length) this.root.setAttribute("data-busy", "true");
    let spent = 0;
    try {
      for (const index of old.toSorted((a, b) => age(a) - age(b))) {
        const block = await loadBlock(result, index);
        if (over()) return;
        const began = performance.now();
        this.rows.set(index, { ...rowOf(result, index, block, state, choice), turn });
        this.drawSoon();
        spent += performance.now() - began;
        if (spent < BUSY) continue;
        await nextFrame();
        if (over()) return;
        spent = 0;
      }
      find(this.root, ".dv-note", HTMLElement).textContent = "";
      this.root.dataset.result = result.token; // for whoever asks the page what it shows
      this.root.setAttribute("data-busy", "false");
      this.drawSoon();
    } catch (error) {
      if (over()) return;
      this.failed = turn;
      tellFault(
        find(this.root, ".dv-note", HTMLElement),
        error,
        () => this.trigger("lost"),
        () => this.compute(result),
      );
    }
  }

  drawSoon() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const { result, root } = this;
    if (!result || !root.clientWidth) return;
    this.drawPicture(result);
    const rows = this.order(result).flatMap((index) => this.rows.get(index) ?? []);
    this.offer(rows);
    // Among maps of two queries the end of the last one's scale stays until all are of the new one.
    if (rows.length < result.layers.length || root.dataset.busy === "false") {
      this.colours = colouring(rows, this.state.colours);
      this.drawBars();
    }
    this.drawCells(result, rows);
  }

  /** The picture with its tokens, and the one that asks. @param {Result} result */
  drawPicture(result) {
    const { canvas, picture, state } = this;
    const grid = pageGrid(result);
    const most = this.root.clientWidth < 700 ? 132 : 220;
    const [width, height] = [grid.W, grid.H].map((side) => (most * side) / Math.max(grid.H, grid.W));
    const context = prepare(canvas, width, height);
    context.imageSmoothingQuality = "high";
    if (picture?.image.naturalWidth) context.drawImage(picture.image, 0, 0, width, height);
    context.fillStyle = "rgba(255, 255, 255, .45)";
    if (width / grid.W >= 5) {
      for (let column = 1; column < grid.W; column++)
        context.fillRect((column * width) / grid.W - 0.25, 0, 0.5, height);
      for (let row = 1; row < grid.H; row++) context.fillRect(0, (row * height) / grid.H - 0.25, width, 0.5);
    }
    const query = queryOf(result, state);
    if (!state.all && !state.asks) drawFrames(context, [{ place: query, grid, thick: true }], width, height);
    const text = queryText(state.all ? "all" : state.asks || query);
    const told = find(this.root, ".do-asked", HTMLElement);
    if (told.textContent !== text) told.textContent = text;
  }

  /** Hides what no layer has. @param {Row[]} rows */
  offer(rows) {
    const scales = scaleChoices(rows);
    const prefix = [...new Set(rows.flatMap((row) => row.prefix))];
    /** @type {Record<string, boolean>} */
    const has = { scales: scales.length > 0, index: rows.some(({ index }) => index), prefix: prefix.length > 0 };
    for (const part of findAll(this.root, "[data-needs]", HTMLElement)) part.hidden = !has[part.dataset.needs ?? ""];
    const select = find(this.root, "[data-scales]", HTMLSelectElement);
    offerOptions(select, scales);
    select.value = String(this.choice);
    const asks = find(this.root, '[data-set="asks"]', HTMLSelectElement);
    if (
      [...asks.options]
        .slice(1)
        .map(({ value }) => value)
        .join() !== prefix.join() ||
      !asks.options.length
    )
      asks.replaceChildren(new Option("the patch", ""), ...prefix.map((name) => new Option(tokenName(name), name)));
    for (const [name, control] of settersOf(this.root))
      setValue(control, this.state[/** @type {keyof typeof this.state} */ (name)]);
  }

  /** @param {Result} result @param {Row[]} rows those that are there */
  drawCells(result, rows) {
    const { table, state } = this;
    const { H, W } = pageGrid(result);
    const usual = rows.at(-1)?.cells[0].length ?? 1; // what is expected of a layer on its way
    const wide = this.root.clientWidth > 600;
    const shape = result.layers.map(({ heads }, index) => {
      return { heads, beside: this.rows.get(index)?.cells[0].length ?? usual };
    });
    const most = clamp((window.innerHeight - 250) / result.layers.length - 24, 44, wide ? 96 : 64);
    const room = table.clientWidth - (wide ? 110 : 0);
    const size = sizeOf(room, most, shape, wide ? GAPS : { ...GAPS, head: 8 });
    const tall = Math.round((size * H) / W);
    const { topOf } = this.colours;
    const drawn = new Map();
    const style = getComputedStyle(this.root);
    const [empty, edge] = ["--dv-empty", "--do-edge"].map((name) => style.getPropertyValue(name));
    const kinds = new Set(result.layers.map(({ kind }) => kind)).size;
    const told = { ...described("overview") };
    for (const line of findAll(table, ".do-cells", HTMLElement)) {
      const cells = /** @type {HTMLElement[]} */ ([...line.children]);
      const index = Number(cells[0].dataset.layer);
      const row = this.rows.get(index);
      const name = find(/** @type {HTMLElement} */ (line.parentElement), ".do-name", HTMLElement);
      const more = [kinds > 1 ? result.layers[index].kind : "", this.choice ? (row?.scaleName ?? "") : ""];
      const small = more.filter(Boolean).map((text) => element("small", {}, text));
      name.replaceChildren(name.firstChild?.textContent ?? "", ...small);
      const { beside } = shape[index];
      const tops = (row?.cells ?? []).map((maps) => maps.map(topOf));
      const look = JSON.stringify([size, tall, beside, state.smooth, empty, tops]);
      const same = row && this.drawn.get(row) === look;
      if (row) drawn.set(row, look);
      cells.forEach((cell, head) => {
        cell.setAttribute("aria-selected", String(index === told.block && head === told.head));
        if (same) return;
        const maps = row?.cells[head] ?? [];
        const context = prepare(find(cell, "canvas", HTMLCanvasElement), beside * (size + GAPS.map) - GAPS.map, tall);
        context.fillStyle = empty;
        if (!row) context.fillRect(0, 0, context.canvas.width, tall);
        maps.forEach((map, i) => {
          /** @type {import("./places.js").Box} */
          const place = [i * (size + GAPS.map), 0, size, tall];
          paintSmall(context, map, tops[head][i], place, { smooth: state.smooth, empty });
          if (!map.window) return;
          const [x, y, width, height] = zoomedBox(map, place);
          context.strokeStyle = edge;
          context.strokeRect(x + 0.5, y + 0.5, width - 1, height - 1);
        });
        const others = row?.captions[head];
        find(cell, "span", HTMLElement).textContent = others ? `${head + 1} · ${others}` : `${head + 1}`;
      });
    }
    this.drawn = drawn;
    if (!table.querySelector('[tabindex="0"]')) this.enterable(told.block ?? 0, told.head ?? 0);
  }

  /** The one cell that Tab reaches. @param {number} index of its layer @param {number} head */
  enterable(index, head) {
    const cell = this.table.querySelector(`[data-layer="${index}"][data-head="${head}"]`);
    if (!(cell instanceof HTMLElement)) return null;
    for (const last of findAll(this.table, '[tabindex="0"]', HTMLElement)) last.tabIndex = -1;
    cell.tabIndex = 0;
    return cell;
  }

  drawBars() {
    const place = find(this.root, ".do-bars", HTMLElement);
    const { bars } = this.colours;
    while (place.children.length < bars.length) place.append(element("canvas", { role: "img" }));
    while (place.children.length > bars.length) place.lastChild?.remove();
    const canvases = findAll(place, "canvas", HTMLCanvasElement);
    bars.forEach(({ title, scale }, i) => drawBar(canvases[i], scale, place.clientWidth, { title }));
  }
}

/** @param {import("./elements.js").Mounting<Result>} mounting */
export function mount(mounting) {
  const { props, watch } = mounting;
  const overview = new Overview(mounting);
  connect(overview);
  redrawing(overview.root, () => overview.refresh());
  onChange(() => overview.refresh());
  onDescribe((said, tab) => (tab === "overview" ? { ...said, overview: overview.choice } : said));
  const restore = () => {
    const { tab, overview: choice } = readAddress(location.hash.slice(1));
    if (tab === "overview") overview.choice = choice ?? 0;
    overview.refresh();
  };
  window.addEventListener("hashchange", restore);
  watch("value", () => overview.show(props.value));
  restore();
  overview.show(props.value);
}
