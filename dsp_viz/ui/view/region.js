// A region of the picture, drawn by the pointer or by keys. Python gets its tokens when a stroke ends.

import { latest } from "./cache.js";
import { prepare, tokenUnder } from "./canvas.js";
import { rgba, SAME } from "./colours.js";
import { find, MOVES, redrawing } from "./elements.js";
import { loadPicture } from "./pieces.js";
import { tokenBox, within } from "./places.js";
import { pageGrid } from "./shown.js";

/** @typedef {import("./maths.js").Place} Place */
/** @typedef {import("./pieces.js").Picture} Picture */
/** @typedef {import("./pieces.js").Result & { tokens: Place[] }} Value */

class Region {
  /** @param {import("./elements.js").Mounting<Value>} mounting */
  constructor({ element, trigger }) {
    this.element = element;
    this.canvas = find(element, ".dr canvas", HTMLCanvasElement);
    this.trigger = trigger;
    /** @type {Value | null} */
    this.value = null;
    /** @type {Picture | null} */
    this.picture = null;
    /** @type {Set<string>} Tokens as "row,column". */
    this.inside = new Set();
    /** @type {Place} */
    this.at = [0, 0];
    this.adding = true; // what the stroke that is being drawn does
    /** @type {number | null} Its pointer. */
    this.stroke = null;
    this.newest = latest();
  }

  /** @param {Value | null | undefined} value */
  async show(value) {
    if (!value) return;
    const arrived = (/** @type {Picture | null} */ picture) => {
      if (this.value?.token !== value.token) this.at = [0, 0];
      Object.assign(this, { value, picture });
      if (this.stroke === null) this.inside = new Set(value.tokens.map((token) => token.join()));
      this.draw();
    };
    const same = this.value?.token === value.token;
    await this.newest(same ? Promise.resolve(this.picture) : loadPicture(value), arrived);
  }

  draw() {
    const { element, canvas, value, picture, inside, at } = this;
    if (!value || !picture || !element.clientWidth) return;
    const grid = pageGrid(value);
    const width = Math.min(320, element.clientWidth);
    const height = (width * grid.H) / grid.W;
    const context = prepare(canvas, width, height);
    context.drawImage(picture.muted, 0, 0, width, height);
    context.fillStyle = rgba(SAME, 0.55);
    for (const token of inside) {
      const [row, column] = token.split(",").map(Number);
      context.fillRect(...tokenBox(grid, [row, column], width, height));
    }
    context.strokeStyle = "#fff";
    context.lineWidth = 1.5;
    if (document.activeElement === canvas) context.strokeRect(...tokenBox(grid, at, width, height));
    find(element, ".dr-count", HTMLElement).textContent = `${inside.size} of ${grid.H * grid.W} patches chosen`;
  }

  /** @param {Place} token */
  set(token) {
    this.at = token;
    if (this.adding) this.inside.add(token.join());
    else this.inside.delete(token.join());
    this.draw();
  }

  /** Starts a stroke, which adds tokens or takes them out. @param {Place} token */
  begin(token) {
    this.adding = !this.inside.has(token.join());
    this.set(token);
  }

  /** All tokens on the way: a fast pointer reports few of them. @param {Place} token */
  strokeTo([row, column]) {
    const [fromRow, fromColumn] = this.at;
    const count = Math.max(Math.abs(row - fromRow), Math.abs(column - fromColumn));
    for (let i = 1; i <= count; i++)
      this.set([
        Math.round(fromRow + ((row - fromRow) * i) / count),
        Math.round(fromColumn + ((column - fromColumn) * i) / count),
      ]);
  }

  announce() {
    const tokens = [...this.inside].map((token) => token.split(",").map(Number));
    this.trigger("draw", { grid: this.value?.grid, tokens });
  }
}

/** @param {Region} region */
function connect(region) {
  const { canvas } = region;
  canvas.addEventListener("pointerdown", (event) => {
    if (!region.value || !region.picture) return;
    canvas.setPointerCapture(event.pointerId);
    region.stroke = event.pointerId;
    region.begin(tokenUnder(event, canvas, pageGrid(region.value)));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!region.value || event.pointerId !== region.stroke) return;
    region.strokeTo(tokenUnder(event, canvas, pageGrid(region.value)));
  });
  /** @param {PointerEvent} event */
  const end = ({ pointerId }) => {
    if (pointerId !== region.stroke) return;
    region.stroke = null;
    region.announce();
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("keydown", (event) => {
    const move = event.key === " " ? [0, 0] : Object.hasOwn(MOVES, event.key) && MOVES[event.key];
    if (!move || !region.value || !region.picture) return;
    event.preventDefault();
    const [row, column] = region.at;
    region.at = within(pageGrid(region.value), [row + move[0], column + move[1]]);
    if (event.key !== " ") return region.draw();
    region.begin(region.at);
    region.announce();
  });
  canvas.addEventListener("focus", () => region.draw());
  canvas.addEventListener("blur", () => region.draw());
}

/** @param {import("./elements.js").Mounting<Value>} mounting */
export function mount(mounting) {
  const { element, props, watch } = mounting;
  const region = new Region(mounting);
  connect(region);
  redrawing(element, () => region.draw());
  watch("value", () => region.show(props.value));
  region.show(props.value);
}
