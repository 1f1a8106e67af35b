// A sheet to take away: maps, bars and captions as SVG, and the same as PNG at a chosen scale. Drawn on white, in the
// colours of colours.js.

import { tint } from "./canvas.js";
import { inkOf, placeOn, shareOf, stopsOf } from "./colours.js";
import { saveBlob } from "./elements.js";
import { proofOf } from "./pieces.js";
import { boxOf, tokenBox, windowBox } from "./places.js";

/** @typedef {import("./colours.js").Cell} Cell */
/** @typedef {import("./colours.js").ColourScale} ColourScale */
/** @typedef {import("./canvas.js").Frame} Frame */
/** @typedef {import("./pieces.js").Muted} Muted */
/** @typedef {import("./pieces.js").Result} Result */
/** @typedef {{ width: number, height: number, blob: Blob }} Sheet */

/** @param {unknown} text */
export const escaped = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
/** @param {string} text @param {number} most */
export const shortened = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
/** @param {number} number */
const short = (number) => +number.toFixed(2);
/** @param {number} x @param {number} y @param {string} content */
export const group = (x, y, content) => `<g transform="translate(${short(x)} ${short(y)})">${content}</g>`;
/** @param {number} x @param {number} y @param {string} text @param {string} [anchor] @param {number} [weight] */
export const words = (x, y, text, anchor = "start", weight = 400) =>
  `<text x="${short(x)}" y="${short(y)}" text-anchor="${anchor}" font-weight="${weight}">${escaped(text)}</text>`;

/**
 * A map as shapes: a rectangle for each key that is seen; with its value in a <title> if `titles`. A smoothed one is an
 * image, which the viewer program enlarges smoothly.
 *
 * @param {Cell} map @param {number} top @param {number} width @param {number} height
 * @param {{ smooth?: boolean, titles?: boolean, opacity?: number, unit?: string }} look
 */
export function mapShapes(map, top, width, height, look) {
  const { smooth = false, titles = false, opacity = 1, unit = "× uniform" } = look;
  const [left, above, wide, tall] = boxOf(map, width, height);
  const size = `width="${width}" height="${height}"`;
  const open = `<svg class="map" ${size} opacity="${opacity}" shape-rendering="crispEdges">`;
  if (smooth) {
    const place = `x="${left}" y="${above}" width="${wide}" height="${tall}" preserveAspectRatio="none"`;
    return `${open}<image ${place} xlink:href="${tint(map, top).toDataURL()}"/></svg>`;
  }
  const shapes = Array.from(map.values, (value, i) => {
    const share = shareOf(value, top);
    if (share < 0.002 && !titles) return "";
    // Edges within the picture.
    const [row, column] = [Math.floor(i / map.W), i % map.W];
    const [y0, y1] = [row, row + 1].map((edge) => Math.min(Math.max(above + (edge * tall) / map.H, 0), height));
    const [x0, x1] = [column, column + 1].map((edge) => Math.min(Math.max(left + (edge * wide) / map.W, 0), width));
    const place = `x="${short(x0)}" y="${short(y0)}" width="${short(x1 - x0)}" height="${short(y1 - y0)}"`;
    const fill = `fill="rgb(${inkOf(map.sign * value, map.ink).join()})" fill-opacity="${share.toFixed(3)}"`;
    const title = titles ? `<title>${value.toPrecision(4)} ${escaped(unit)}</title>` : "";
    return `<rect ${place} ${fill}>${title}</rect>`;
  });
  return `${open}${shapes.join("")}</svg>`;
}

/**
 * A map over its picture (or on white), with the token that asks framed.
 *
 * @param {Muted | null} picture @param {Cell} map @param {number} top
 * @param {{ width: number, height: number, frames: Frame[], opacity: number, smooth: boolean, unit?: string }} look
 */
export function overlayShapes(picture, map, top, { width, height, frames, opacity, smooth, unit }) {
  const size = `width="${width}" height="${height}"`;
  const ground = picture?.muted.width
    ? `<image ${size} preserveAspectRatio="none" xlink:href="${picture.muted.toDataURL("image/jpeg", 0.9)}"/>`
    : `<rect ${size} fill="#f4f6f7"/>`;
  const unseen = map.window ? windowShapes(map, width, height) : "";
  const framed = frames.map(({ place, grid }) => {
    const [x, y, wide, tall] = tokenBox(grid, place, width, height);
    /** @param {string} stroke @param {number} thick */
    const square = (stroke, thick) => {
      const box = `x="${x}" y="${y}" width="${wide}" height="${tall}"`;
      return `<rect ${box} fill="none" stroke="${stroke}" stroke-width="${thick}"/>`;
    };
    return square("#000", 5) + square("#fff", 2.5);
  });
  const shapes = mapShapes(map, top, width, height, { smooth, titles: true, opacity: picture ? opacity : 1, unit });
  return ground + unseen + shapes + framed.join("");
}

/** What lies outside of a window fades, and the window has an edge. @param {Cell} map @param {number} width @param {number} height */
function windowShapes(map, width, height) {
  const [x, y, wide, tall] = windowBox(map, boxOf(map, width, height)).map(short);
  const around = `M0 0H${width}V${height}H0Z M${x} ${y}h${wide}v${tall}h${-wide}Z`;
  const edge = `<rect x="${x}" y="${y}" width="${wide}" height="${tall}" fill="none" stroke="#1f2933"/>`;
  return `<path d="${around}" fill="#fff" fill-opacity=".72" fill-rule="evenodd"/>${edge}`;
}

let gradients = 0;

/**
 * A scale's bar as shapes, on the background that its maps have.
 *
 * @param {ColourScale} scale @param {number} width @param {{ title: string, opacity?: number, ground?: string }} look
 */
export function barShapes(scale, width, { title, opacity = 1, ground = "#f4f6f7" }) {
  const name = `bar${++gradients}`;
  const stops = stopsOf(scale, opacity).map(
    ([at, ink, share]) => `<stop offset="${at}" stop-color="rgb(${ink.join()})" stop-opacity="${share}"/>`,
  );
  /** @param {number} x */
  const anchor = (x) => (x === 0 ? "start" : x === width ? "end" : "middle");
  /** @param {string} fill */
  const bar = (fill) => `<rect y="6" width="${width}" height="10" fill="${fill}"/>`;
  const ticks = scale.ticks.map(({ at, text }) => {
    const x = placeOn(scale, at) * width;
    return words(x, 31, text, anchor(x));
  });
  const gradient = `<defs><linearGradient id="${name}">${stops.join("")}</linearGradient></defs>`;
  return `${gradient}${words(width / 2, 0, title, "middle")}${bar(ground)}${bar(`url(#${name})`)}${ticks.join("")}`;
}

/** @param {number} width @param {number} height @param {string} title @param {string} content @returns {Sheet} */
export function sheetOf(width, height, title, content) {
  const names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"';
  const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  const start = `<svg ${names} ${size} font-family="sans-serif" font-size="13" fill="#1f2933">`;
  const text = `${start}<title>${escaped(title)}</title><rect width="100%" height="100%" fill="#fff"/>${content}</svg>`;
  return { width, height, blob: new Blob([text], { type: "image/svg+xml" }) };
}

/**
 * Shapes have no size: they are drawn anew at each scale.
 *
 * @param {Sheet} sheet @param {string} extension @param {string} name @param {number} scale
 */
export async function saveSheet(sheet, extension, name, scale) {
  const blob = extension === "svg" ? sheet.blob : await pngOf(sheet, scale);
  if (blob) saveBlob(blob, `${name}.${extension}`);
}

/** @param {Sheet} sheet @param {number} scale @returns {Promise<Blob | null>} null: it is larger than can be drawn */
export async function pngOf({ width, height, blob }, scale) {
  const image = new Image();
  image.src = URL.createObjectURL(blob);
  await image.decode();
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: Math.round(width * scale), height: Math.round(height * scale) });
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(image.src);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** What a picture's result is of, in one line. @param {Result} result */
export function originOf(result) {
  const { name, model, digest, side, whole } = result;
  const weights = digest ? [`weights ${digest}`] : [];
  const part = whole ? ["whole picture"] : [];
  return [shortened(name, 60), model, ...weights, `${side} px`, ...part, ...proofOf(result)].join(" · ");
}
