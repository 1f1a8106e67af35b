// Maps and colour bars on canvases, in the colours of colours.js.

import { zoomed } from "./cells.js";
import { inkOf, placeOn, rgba, shareOf, stopsOf } from "./colours.js";
import { boxOf, tokenAt, tokenBox, windowBox, zoomedBox } from "./places.js";

/** @typedef {import("./colours.js").Cell} Cell */
/** @typedef {import("./colours.js").ColourScale} ColourScale */
/** @typedef {import("./maths.js").Place} Place */
/** @typedef {import("./layer.js").Size} Size */
/** @typedef {import("./places.js").Box} Box */
/** @typedef {import("./pieces.js").Muted} Muted */

/** @param {HTMLCanvasElement} canvas */
function contextOf(canvas) {
  const context = canvas.getContext("2d");
  if (!context) throw new Error("This browser draws on no canvas.");
  return context;
}

/**
 * An empty canvas of so many pixels of the page.
 *
 * @param {HTMLCanvasElement} canvas @param {number} width @param {number} height
 */
export function prepare(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const size = { width: Math.round(width * ratio), height: Math.round(height * ratio) };
  if (canvas.width !== size.width || canvas.height !== size.height) Object.assign(canvas, size);
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  const context = contextOf(canvas);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** @type {HTMLCanvasElement | undefined} Canvases are costly to make, and this runs for every map of every query. */
let scratch;

/** A map as a picture of one pixel a key. Valid until the next call. @param {Cell} map @param {number} top */
export function tint({ values, H, W, sign, ink }, top) {
  scratch ??= document.createElement("canvas");
  if (scratch.width !== W || scratch.height !== H) Object.assign(scratch, { width: W, height: H });
  const pixels = new ImageData(W, H);
  const data = pixels.data;
  for (let i = 0, at = 0; i < values.length; i++, at += 4) {
    const value = sign * values[i];
    [data[at], data[at + 1], data[at + 2]] = inkOf(value, ink);
    data[at + 3] = Math.round(255 * shareOf(value, top));
  }
  contextOf(scratch).putImageData(pixels, 0, 0);
  return scratch;
}

/**
 * Paints a map on a picture's place. What lies beyond the picture's edge is cut off.
 *
 * @param {CanvasRenderingContext2D} context @param {Cell} map @param {number} top @param {Box} place
 * @param {boolean} smooth
 */
export function paint(context, map, top, [x, y, width, height], smooth) {
  const [left, above, wide, tall] = boxOf(map, width, height);
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.imageSmoothingEnabled = smooth;
  context.drawImage(tint(map, top), x + left, y + above, wide, tall);
  context.restore();
}

/**
 * A small map, with nothing but the keys that are seen.
 *
 * @param {CanvasRenderingContext2D} context @param {Cell} map @param {number} top @param {Box} place
 * @param {{ smooth: boolean, empty: string }} look `empty`: the colour of where nothing is
 */
export function paintSmall(context, map, top, place, { smooth, empty }) {
  context.fillStyle = empty;
  context.fillRect(...place);
  paint(context, zoomed(map), top, zoomedBox(map, place), smooth);
}

/**
 * Draws a scale's bar, on the background that its maps have.
 *
 * @param {HTMLCanvasElement} canvas @param {ColourScale} scale @param {number} width
 * @param {{ title?: string, opacity?: number, ground?: string, unit?: string }} look
 */
export function drawBar(canvas, scale, width, { title = "", opacity = 1, ground, unit = " × uniform" }) {
  const context = prepare(canvas, width, title ? 42 : 30);
  const style = getComputedStyle(canvas);
  const top = title ? 16 : 3;
  const [x0, x1] = [Math.min(44, width / 6), width - Math.min(44, width / 6)];
  const bar = context.createLinearGradient(x0, 0, x1, 0);
  for (const [at, ink, share] of stopsOf(scale, opacity)) bar.addColorStop(at, rgba(ink, share));
  for (const fill of [ground || style.getPropertyValue("--dv-empty"), bar]) {
    context.fillStyle = fill;
    context.fillRect(x0, top, x1 - x0, 9);
  }
  context.font = `12px ${style.fontFamily}`;
  context.fillStyle = style.color;
  context.textAlign = "center";
  if (title) context.fillText(title, width / 2, 11);
  for (const { at, text } of scale.ticks) context.fillText(text, x0 + placeOn(scale, at) * (x1 - x0), top + 22);
  canvas.setAttribute("aria-label", `Colour scale: ${title ? `${title}, ` : ""}${scale.text}${unit}`);
}

/**
 * A token that is framed: the one under the pointer thinly, the one that asks thickly.
 *
 * @typedef {{ place: Place, grid: Size, thick: boolean }} Frame
 */

/**
 * A map over its picture.
 *
 * @param {HTMLCanvasElement} canvas @param {Muted | null} picture @param {Cell} map @param {number} top
 * @param {{ width: number, height: number, frames: Frame[], opacity: number, smooth: boolean }} look
 */
export function drawOverlay(canvas, picture, map, top, { width, height, frames, opacity, smooth }) {
  const context = prepare(canvas, width, height);
  context.imageSmoothingQuality = "high";
  if (picture?.muted.width) context.drawImage(picture.muted, 0, 0, width, height);
  const seen = map.window && windowBox(map, boxOf(map, width, height));
  if (seen) {
    context.beginPath();
    context.rect(0, 0, width, height);
    context.rect(...seen);
    context.fillStyle = getComputedStyle(canvas).getPropertyValue("--dv-unseen");
    context.fill("evenodd");
  }
  context.globalAlpha = picture ? opacity : 1;
  paint(context, map, top, [0, 0, width, height], smooth);
  context.globalAlpha = 1;
  if (seen) {
    context.lineWidth = 1;
    context.strokeStyle = getComputedStyle(canvas).color;
    context.strokeRect(...seen);
  }
  drawFrames(context, frames, width, height);
}

/** @param {CanvasRenderingContext2D} context @param {Frame[]} frames @param {number} width @param {number} height */
export function drawFrames(context, frames, width, height) {
  for (const { place, grid, thick } of frames) {
    const [x, y, wide, tall] = tokenBox(grid, place, width, height);
    context.lineWidth = thick ? 3 : 2;
    context.strokeStyle = thick ? "#000" : "rgba(0,0,0,.7)";
    context.strokeRect(x - 1, y - 1, wide + 2, tall + 2);
    context.lineWidth = thick ? 1.5 : 1;
    context.strokeStyle = "#fff";
    context.strokeRect(x, y, wide, tall);
  }
}

/**
 * The token of a grid under the pointer.
 *
 * @param {MouseEvent} event @param {HTMLCanvasElement} canvas @param {Size} grid
 */
export function tokenUnder(event, canvas, grid) {
  return tokenAt(grid, shareUnder(event, canvas));
}

/**
 * Where the pointer is, as shares of the canvas, or beyond its edges.
 *
 * @param {MouseEvent} event @param {HTMLCanvasElement} canvas
 * @returns {Place}
 */
export function shareUnder({ clientX, clientY }, canvas) {
  const { top, left, width, height } = canvas.getBoundingClientRect();
  return [(clientY - top) / height, (clientX - left) / width];
}
