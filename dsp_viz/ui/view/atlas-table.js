// The same cells as a table, sorted by what somebody asks for.

import { cellName, digits, ordered, roleOf } from "./atlas-numbers.js";
import { area, colourOf, shape } from "./atlas-shapes.js";
import { find, findAll } from "./elements.js";
import { signed } from "./numbers.js";

/** @typedef {import("./atlas-numbers.js").Effects} Effects */
/** @typedef {import("./atlas-numbers.js").Facts} Facts */
/** @typedef {import("./atlas-numbers.js").Numbers} Numbers */
/** @typedef {import("./atlas-numbers.js").Order} Order */

/** What can be sorted by; `true`: the largest first, where somebody asks for it first. @type {[string, string, boolean, string][]} */
const COLUMNS = [
  ["place", "head", true, "In the order of the layers"],
  ["", "over pictures", false, ""],
  ["mean", "mean", true, "Mean over pictures"],
  ["std", "std", true, "Standard deviation over pictures"],
  ["kind", "varies", true, "What it varies with"],
  ["omega", "ω²", true, "Share of the variance that lies between classes, corrected for chance"],
  ["effect", "", true, "Mean inside minus mean outside, in units of the standard deviation over all pictures"],
];

/** @param {"th" | "td"} name @param {(string | Element)[]} children */
function tableCell(name, ...children) {
  const cell = document.createElement(name);
  cell.append(...children);
  return cell;
}

/** @param {Order} order @param {string | null} group its name and number of pictures @param {(by: string, down: boolean) => void} sort */
export function headOf(order, group, sort) {
  const row = document.createElement("tr");
  for (const [by, text, down, title] of COLUMNS) {
    if (by === "effect" && !group) continue;
    const cell = tableCell("th");
    Object.assign(cell, { scope: "col", title });
    if (by) {
      const button = Object.assign(document.createElement("button"), { type: "button" });
      const on = order.by === by;
      button.textContent = `${by === "effect" ? group : text}${on ? (order.down === (by !== "place") ? " ▾" : " ▴") : ""}`;
      button.dataset.by = by;
      button.addEventListener("click", () => sort(by, on ? !order.down : down));
      cell.setAttribute("aria-sort", on ? (order.down ? "descending" : "ascending") : "none");
      cell.append(button);
    } else cell.append(text);
    row.append(cell);
  }
  return row;
}

/** The effect and its interval, drawn between the largest of all to either side. @param {Effects} effects @param {number} i @param {number} top */
function forest({ d, low, high }, i, top) {
  const [width, height] = [56, 14];
  /** @param {number} value */
  const x = (value) => (width * (1 + Math.max(-1, Math.min(1, value / top)))) / 2;
  const parts = [shape("line", { x1: width / 2, x2: width / 2, y1: 0, y2: height, class: "da-zero" })];
  const [at, from, to] = [d[i], low[i], high[i]];
  if (from !== null && to !== null)
    parts.push(shape("line", { x1: x(from), x2: x(to), y1: height / 2, y2: height / 2, class: "da-interval" }));
  if (at !== null) parts.push(shape("circle", { cx: x(at), cy: height / 2, r: 3 }));
  const drawn = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" }, ...parts);
  drawn.classList.add("da-forest");
  return drawn;
}

/** Its interval reaches as far to either side. @param {Effects} effects @param {number} i */
function effectText({ d, high }, i) {
  const [at, end] = [d[i], high[i]];
  if (at === null) return "–";
  return end === null ? `${signed(at)} (too few)` : `${signed(at)} ± ${(end - at).toFixed(2)}`;
}

/** @param {Facts} facts @param {Numbers} numbers @param {Effects | null} effects @param {number} i @param {number} top */
function rowOf(facts, numbers, effects, i, top) {
  const row = document.createElement("tr");
  row.dataset.cell = String(i);
  const name = Object.assign(document.createElement("button"), { type: "button", tabIndex: -1 });
  name.textContent = cellName(facts, numbers, i);
  const path = shape("path", { d: area(numbers.counts[i], 60, 18) });
  path.style.fill = colourOf(roleOf(facts, numbers, i));
  const small = shape("svg", { viewBox: "0 0 60 18", width: 60, height: 18, "aria-hidden": "true" }, path);
  const kind = Object.assign(document.createElement("span"), { className: "da-kind", textContent: numbers.kind[i] });
  kind.dataset.kind = numbers.kind[i];
  const omega = numbers.omega[i];
  const header = tableCell("th", name);
  header.scope = "row";
  row.append(
    header,
    tableCell("td", small),
    tableCell("td", digits(numbers.mean[i])),
    tableCell("td", digits(numbers.std[i])),
    tableCell("td", kind),
    tableCell("td", omega === null ? "–" : Math.max(0, omega).toFixed(2)),
    ...(effects ? [tableCell("td", forest(effects, i, top), ` ${effectText(effects, i)}`)] : []),
  );
  return row;
}

/** @param {Facts} facts @param {Numbers} numbers @param {Effects | null} effects @param {Order} order */
export function bodyOf(facts, numbers, effects, order) {
  const reach = [...(effects?.low ?? []), ...(effects?.high ?? []), ...(effects?.d ?? [])].map((v) => Math.abs(v ?? 0));
  const top = Math.max(0.1, ...reach);
  return ordered(numbers, effects, order).map((i) => rowOf(facts, numbers, effects, i, top));
}

/** Marks the chosen row, and scrolls the table, not the page, so that it can be seen. @param {HTMLElement} scroll @param {number | null} chosen */
export function markRow(scroll, chosen) {
  const rows = findAll(scroll, "tbody tr", HTMLElement);
  let open = false;
  for (const row of rows) {
    const on = row.dataset.cell === String(chosen);
    row.setAttribute("aria-selected", String(on));
    find(row, "button", HTMLElement).tabIndex = on ? 0 : -1;
    open ||= on;
    if (!on) continue;
    const head = find(scroll, "thead", HTMLElement).offsetHeight;
    const [from, to] = [row.offsetTop - head, row.offsetTop + row.offsetHeight];
    if (from < scroll.scrollTop) scroll.scrollTop = from;
    else if (to > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = to - scroll.clientHeight;
  }
  if (!open && rows.length) find(rows[0], "button", HTMLElement).tabIndex = 0;
}
