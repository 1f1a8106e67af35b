// Shapes of the atlas: dots, axes, small distributions, as SVG.

import { ONLY, OPPOSITE, rgba, SAME } from "./colours.js";

const NAMESPACE = "http://www.w3.org/2000/svg";

/**
 * @param {string} name @param {Record<string, string | number>} attributes
 * @param {(Element | string)[]} children
 */
export function shape(name, attributes, ...children) {
  const made = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.append(...children);
  return made;
}

/** @param {string} role of a stream */
export const colourOf = (role) => rgba({ same: SAME, opposite: OPPOSITE }[role] ?? ONLY, 1);

/** A path around a point: which scale it is of shows in the form. @param {number} x @param {number} y @param {number} scale @param {number} r */
export function mark(x, y, scale, r) {
  const forms = [
    `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`,
    `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}Z`,
    `M${x} ${y - 1.3 * r}L${x + 1.25 * r} ${y + r}H${x - 1.25 * r}Z`,
    `M${x} ${y - 1.4 * r}L${x + 1.4 * r} ${y}L${x} ${y + 1.4 * r}L${x - 1.4 * r} ${y}Z`,
  ];
  return forms[Math.min(scale, forms.length - 1)];
}

/**
 * A distribution as one area, of `width` × `height`, 1 unit each.
 *
 * @param {number[]} counts @param {number} width @param {number} height @param {number} [top] the largest of all
 */
export function area(counts, width, height, top = Math.max(1, ...counts)) {
  const step = width / counts.length;
  const parts = counts.map((n, i) => `V${(height * (1 - n / top)).toFixed(2)}H${((i + 1) * step).toFixed(2)}`);
  return `M0 ${height}${parts.join("")}V${height}Z`;
}
