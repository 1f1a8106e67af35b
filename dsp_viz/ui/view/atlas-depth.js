// Every head by depth: the mean of a number over pictures, and how it varies (Dosovitskiy et al. 2021, figure 7).

import { cellName, digits, placesOf, reachOf, roleOf, ticksOf } from "./atlas-numbers.js";
import { colourOf, mark, shape } from "./atlas-shapes.js";

/** @typedef {import("./atlas-numbers.js").Facts} Facts */
/** @typedef {import("./atlas-numbers.js").Numbers} Numbers */
/** @typedef {{ points: [number, number][] }} Drawn where the cells are, in pixels */

const EDGE = { left: 48, right: 8, top: 24, bottom: 8 };
const HEIGHT = 300;

/** What a cell comes to, in words. @param {Facts} facts @param {Numbers} numbers @param {number} i */
export const readText = (facts, numbers, i) =>
  `${cellName(facts, numbers, i)}: ${digits(numbers.mean[i])} ± ${digits(numbers.std[i])}, ${numbers.n[i].toLocaleString("en")} pictures`;

/** Layers of one stage stand on one ground. @param {Facts} facts @param {number} width @param {number} height */
function grounds({ layers }, width, height) {
  const room = (width - EDGE.left - EDGE.right) / layers.length;
  const named =
    room >= 50 ? (/** @type {string} */ text) => text : (/** @type {string} */ text) => text.replace("stage ", "S");
  return layers.flatMap(({ stage, name }, i) => {
    const x = EDGE.left + i * room;
    const [first, last] = [name.split(" · ")[0], name.split(" · ").at(-1) ?? ""];
    const begins = i === 0 || layers[i - 1].stage !== stage;
    const short = room < 62 ? last.replace("block ", "") : last;
    const several = layers.some((layer) => layer.stage !== stage);
    const ground = shape("rect", { x, y: EDGE.top, width: room, height: height - EDGE.top - EDGE.bottom });
    ground.classList.add("da-ground");
    ground.dataset.odd = String(stage % 2);
    const texts = [shape("text", { x: x + room / 2, y: EDGE.top - 3, "text-anchor": "middle" }, short)];
    if (several && begins) texts.push(shape("text", { x: x + 3, y: 9, class: "da-stage" }, named(first)));
    return [ground, ...texts];
  });
}

/**
 * @param {SVGElement} svg @param {Facts} facts @param {Numbers} numbers @param {number | null} chosen
 * @param {string} title of the quantity
 * @returns {Drawn}
 */
export function drawDepth(svg, facts, numbers, chosen, title) {
  const width = svg.clientWidth;
  const { low, high } = reachOf(numbers);
  const across = placesOf(facts, numbers);
  /** @param {number} value */
  const y = (value) => EDGE.top + ((HEIGHT - EDGE.top - EDGE.bottom) * (high - value)) / (high - low);
  const axis = ticksOf(low, high).flatMap((tick) => [
    shape("line", { x1: EDGE.left, x2: width - EDGE.right, y1: y(tick), y2: y(tick), class: "da-line" }),
    shape("text", { x: EDGE.left - 5, y: y(tick) + 4, "text-anchor": "end" }, String(tick)),
  ]);
  /** @type {[number, number][]} */
  const points = numbers.mean.map((mean, i) => [
    EDGE.left + across[i] * (width - EDGE.left - EDGE.right),
    mean === null ? NaN : y(mean),
  ]);
  const bars = points.map(([x], i) => {
    const [mean, std] = [numbers.mean[i], numbers.std[i]];
    if (mean === null || std === null) return "";
    return `M${x.toFixed(1)} ${y(mean - std).toFixed(1)}V${y(mean + std).toFixed(1)}`;
  });
  const dots = points.map(([x, at], i) => {
    const dot = shape("path", { d: dotPath(x, at, numbers, i), class: "da-dot" });
    const role = roleOf(facts, numbers, i);
    dot.style.color = colourOf(role);
    dot.classList.toggle("da-hollow", role === "opposite");
    dot.toggleAttribute("data-chosen", i === chosen);
    return dot;
  });
  const on = chosen === null ? [] : dots.splice(chosen, 1); // it lies above all others
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute("height", String(HEIGHT));
  svg.setAttribute("aria-label", `${title} by depth, ${numbers.n.length} dots`);
  svg.replaceChildren(
    ...grounds(facts, width, HEIGHT),
    ...axis,
    shape("path", { d: bars.join(""), class: "da-bars" }),
    ...dots,
    ...on,
  );
  return { points };
}

/** @param {number} x @param {number} y @param {Numbers} numbers @param {number} i */
const dotPath = (x, y, numbers, i) => (Number.isFinite(y) ? mark(x, y, numbers.scale[i], 3.2) : "");

/** The dot at a place, if one is near. @param {Drawn} drawn @param {number} x @param {number} y */
export function dotAt({ points }, x, y) {
  let best = null;
  let least = 14 ** 2;
  points.forEach(([px, py], i) => {
    const far = (px - x) ** 2 + (py - y) ** 2;
    if (far < least) [best, least] = [i, far];
  });
  return /** @type {number | null} */ (best);
}

/** What the dots' colours and forms say. @param {HTMLElement} place @param {Facts} facts @param {Numbers} numbers */
export function drawLegend(place, facts, { together, layer }) {
  const layers = facts.layers.filter((_, i) => layer.includes(i));
  const streams = new Map(layers.flatMap(({ streams, roles }) => streams.map((name, i) => [name, roles[i]])));
  const most = layers.reduce((a, b) => (b.pooled.length > a.pooled.length ? b : a));
  /** @param {string} text @param {number} scale @param {string} role */
  const entry = (text, scale, role) => {
    const dot = shape("path", { d: mark(6, 6, scale, 4), class: "da-dot" });
    dot.style.color = colourOf(role);
    dot.classList.toggle("da-hollow", role === "opposite");
    const made = document.createElement("span");
    made.append(shape("svg", { width: 12, height: 12, "aria-hidden": "true" }, dot), ` ${text}`);
    return made;
  };
  const several = !together.streams && streams.size > 1 ? [...streams] : [];
  const scales = together.scales || most.pooled.length < 2 ? [] : most.pooled;
  place.replaceChildren(
    ...several.map(([name, role]) => entry(name, 0, role)),
    ...scales.map((pooled, i) => entry(`scale ${pooled}×`, i, "all")),
  );
}
