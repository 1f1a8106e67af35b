// One number over the pictures: its distribution, and the pictures at both ends.

import { digits, many, ticksOf } from "./atlas-numbers.js";
import { area, shape } from "./atlas-shapes.js";
import { findAll } from "./elements.js";

/** @typedef {{ index: number, name: string, class: string, value: number, gone: boolean }} Picture */
/**
 * @typedef {object} Cell
 * @property {number} n pictures that have the number; without any there is no more than the ends
 * @property {Picture[]} lowest
 * @property {Picture[]} highest
 * @property {number} [mean]
 * @property {number} [std]
 * @property {[number, number, number]} [quantiles] 5, 50 and 95 %
 * @property {[number, number]} [range]
 * @property {number[]} [counts]
 * @property {number[]} [inside] those of the chosen group
 * @property {number} [among] pictures in the folder, of which the ends are
 */

const HEIGHT = 110;
const FOOT = 18;

/** @param {SVGElement} svg @param {Cell} cell @param {string} group its name, or "" */
export function drawHistogram(svg, { n, counts, inside, range, mean }, group) {
  const width = svg.clientWidth;
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute("height", String(HEIGHT));
  svg.replaceChildren();
  svg.setAttribute("aria-label", n && range ? `${many(n)} pictures, ${digits(range[0])} to ${digits(range[1])}` : "");
  if (!counts || !range || mean === undefined || !width) return;
  const [low, high] = range;
  const floor = HEIGHT - FOOT;
  /** @param {number} value */
  const x = (value) => (high > low ? ((value - low) / (high - low)) * width : 0);
  svg.append(shape("path", { d: area(counts, width, floor), class: "da-all" }));
  // Of few among many nothing would be seen: a group's own largest part is as high as that of all.
  if (group && inside) svg.append(shape("path", { d: area(inside, width, floor), class: "da-inside" }));
  svg.append(shape("line", { x1: x(mean), x2: x(mean), y1: 0, y2: floor, class: "da-mean" }));
  for (const tick of ticksOf(low, high)) {
    const anchor = x(tick) < 16 ? "start" : x(tick) > width - 16 ? "end" : "middle";
    svg.append(shape("text", { x: x(tick), y: HEIGHT - 4, "text-anchor": anchor }, String(tick)));
  }
}

/** @param {Cell} cell @param {string} group */
export function toldText({ n, mean, std, quantiles, inside }, group) {
  if (!n || !quantiles) return "No picture has this number.";
  const [low, middle, high] = quantiles.map(digits);
  const all = `${many(n)} pictures: mean ${digits(mean)}, std ${digits(std)}, median ${middle}; 90 % lie within ${low} and ${high}.`;
  const some = (inside ?? []).reduce((a, b) => a + b, 0);
  return group ? `${all} Outlined: ${group}, ${many(some)} pictures, drawn to the same height.` : all;
}

/**
 * @param {Picture} picture @param {string} place where the survey's pictures are served
 * @param {((name: string) => void) | null} open null: they cannot be opened
 */
function tile(picture, place, open) {
  const file = picture.name.slice(picture.name.indexOf("/") + 1);
  const value = Object.assign(document.createElement("span"), { textContent: digits(picture.value) });
  const told = `${picture.class || file}, ${digits(picture.value)}`;
  const made = document.createElement(open && !picture.gone ? "button" : "div");
  made.title = `${file} · ${digits(picture.value)}`;
  made.className = "da-picture";
  if (made instanceof HTMLButtonElement && open) {
    made.type = "button";
    made.addEventListener("click", () => open(picture.name));
  }
  if (picture.gone) {
    const gone = Object.assign(document.createElement("i"), { textContent: "not there" });
    made.append(gone, value);
    return made;
  }
  const image = Object.assign(document.createElement("img"), { alt: told, loading: "lazy", decoding: "async" });
  image.addEventListener("error", () =>
    image.replaceWith(Object.assign(document.createElement("i"), { textContent: "cannot be read" })),
  );
  image.src = `${place}/picture/${picture.index}`;
  made.append(image, value);
  return made;
}

/**
 * @param {HTMLElement} root @param {Cell} cell @param {string} place
 * @param {((name: string) => void) | null} open
 */
export function showPictures(root, cell, place, open) {
  const ends = { lowest: cell.lowest, highest: cell.highest };
  for (const row of findAll(root, ".da-pictures", HTMLElement)) {
    const pictures = isFlat(cell) ? [] : ends[/** @type {"lowest" | "highest"} */ (row.dataset.end)];
    if (row.previousElementSibling instanceof HTMLElement) row.previousElementSibling.hidden = isFlat(cell);
    row.replaceChildren(...pictures.map((picture) => tile(picture, place, open)));
  }
}

/** Whether all pictures have the same number. @param {Cell} cell */
const isFlat = ({ n, range }) => n > 0 && range?.[0] === range?.[1];

/** Why pictures are missing or stay closed, or "". @param {Cell} cell @param {boolean} shown whether their folder is known @param {boolean} opens */
export function picturedText(cell, shown, opens) {
  const { n, lowest, highest, among = n } = cell;
  if (isFlat(cell)) return "The same on all pictures: none stands at an end.";
  if (!shown)
    return "The pictures' folder is not known: start the app with --pictures DIR, the folder that was surveyed.";
  const gone = [...lowest, ...highest].filter((picture) => picture.gone).length;
  let missing = "";
  if (gone) missing = `Not in the folder of pictures: ${gone} of these (--pictures DIR says where they are). `;
  else if (among < n)
    missing = `Of the ${many(among)} pictures that are in the folder (--pictures DIR says where the others are). `;
  const all = lowest.length + highest.length;
  return (
    missing + (opens && gone < all ? `A click opens ${gone ? "another" : "a picture"} at this block and head.` : "")
  );
}
