// What the head that is looked at does, in numbers and words, and which heads of its layer do the same. Worked out while
// the page has nothing else to do.

import { joined, percent, scaleName } from "./cells.js";
import { inkOf, rgba, SAME, shareOf } from "./colours.js";
import { find, findAll, MOVES } from "./elements.js";
import { askToLook, onShown } from "./events.js";
import { alike, numbersOf, uniformOf } from "./heads.js";
import { fixed } from "./numbers.js";

/** @typedef {import("./heads.js").Numbers} Numbers */
/** @typedef {import("./layer.js").Block} Block */
/** @typedef {import("./events.js").Looked} Looked */
/** @typedef {Partial<Numbers>} Some */

const OPACITY = 0.75; // numbers stay readable on full colour
const MANY = 12; // heads whose numbers do not fit beside each other: they are told on hover
const KEPT = "dsp-viz:how-to-read-heads"; // "closed" where somebody closed it

/** @param {number} value */
const plain = (value) => (Number.isNaN(value) ? "–" : fixed(value));
/** @param {number} value */
const share = (value) => (Number.isNaN(value) ? "–" : percent(value));

/**
 * @typedef {object} Measure A row of the table.
 * @property {string} name @property {string} title
 * @property {(numbers: Some) => string} text
 * @property {(block: Block) => boolean} [fits]
 */

/** @type {Measure[]} */
const MEASURES = [
  {
    name: "looks this far away",
    title: "Root mean square distance from a query to what it looks at; 1 is the picture's longer side",
    text: ({ distance = NaN }) => plain(distance),
  },
  {
    name: "entropy of a row",
    title: "1: every key gets the same, 0: one takes everything. The mean of 16 queries all over the picture",
    text: ({ entropy = NaN }) => plain(entropy),
  },
  {
    name: "entropy of the average",
    title: "Of the map of all queries, averaged: low where all look at the same keys",
    text: ({ received = NaN }) => plain(received),
  },
  {
    name: "to its own place",
    title: "What a query gives to the key at its own place, the mean over queries",
    text: ({ own = NaN }) => share(own),
  },
  {
    name: "to tokens without a place",
    title: "What a query gives to the class token and registers together, the mean over queries",
    text: ({ prefix = NaN }) => share(prefix),
    fits: ({ prefix }) => prefix.length > 0,
  },
  {
    name: "same-signed share",
    title: "Of what the features of queries and keys have in common: ½ where both signs count alike",
    text: ({ same }) => (same === undefined ? "" : share(same)),
    fits: ({ finish, streams }) => finish === "ratio" && streams.length > 1,
  },
];

/**
 * @param {"td" | "th"} kind @param {string} text
 * @param {Partial<HTMLTableCellElement>} [more]
 */
const cell = (kind, text, more) => Object.assign(document.createElement(kind), { textContent: text, ...more });

/** @param {HTMLElement[]} cells */
function rowOf(cells) {
  const row = document.createElement("tr");
  row.append(...cells);
  return row;
}

/** The scale whose map is looked at; the finest one where that is of the whole layer. @param {Looked} looked */
const scaleOf = ({ block, scale }) => (scale < block.scales.length ? scale : 0);

/** The numbers as a table, a column for each map. @param {Looked} looked @param {Numbers[][]} numbers */
function tableOf(looked, numbers) {
  const { block, stream } = looked;
  const chosen = scaleOf(looked);
  const columns = numbers.flatMap((streams, s) => streams.map((_, t) => ({ s, t })));
  const mark = (/** @type {{ s: number, t: number }} */ { s, t }) => (s === chosen && t === stream ? "chosen" : "");
  const uniform = uniformOf(block, chosen);
  const names = columns.map((column) => {
    const name = joined([scaleName(block, column.s), block.streams[column.t].name], " ");
    return cell("th", name, { scope: "col", className: mark(column) });
  });
  const alone = cell("th", "all keys alike", { scope: "col", title: "What it would be if every key got the same" });
  const head = rowOf([document.createElement("td"), alone, ...names]);
  const rows = MEASURES.filter(({ fits }) => !fits || fits(block)).map(({ name, title, text }) =>
    rowOf([
      cell("th", name, { scope: "row", title }),
      cell("td", text(uniform)),
      ...columns.map((column) => cell("td", text(numbers[column.s][column.t]), { className: mark(column) })),
    ]),
  );
  return [head, ...rows];
}

/** The chosen map in words. @param {Looked} looked @param {Numbers[][]} numbers */
export function wordsOf(looked, numbers) {
  const { block, stream } = looked;
  const s = scaleOf(looked);
  const { distance, entropy, own, prefix, row, column } = numbers[s][stream];
  if (Number.isNaN(distance))
    return "Entries of these maps may be negative, so a query gives no shares: there is nothing to say of how far it looks.";
  const uniform = uniformOf(block, s);
  const name = joined([scaleName(block, s), block.streams[stream].name], ", ");
  const beside = block.prefix.length ? ` and ${percent(prefix)} to tokens without a place` : "";
  return (
    `${name}: looks ${plain(distance)} of the picture's longer side away (${plain(uniform.distance)} if all keys were ` +
    `alike), with an entropy of ${plain(entropy)}; gives ${percent(own)} to its own place (${percent(uniform.own)} if ` +
    `all were alike)${beside}. What it looks at is centred ${percent(row)} down and ${percent(column)} across.`
  );
}

/**
 * How alike all heads are, a button for each pair; arrow keys go from one to the next.
 *
 * @param {number[][]} values
 */
function matrixOf(values) {
  const heads = values.map((_, head) => cell("th", String(head + 1), { scope: "col" }));
  const rows = values.map((row, a) => {
    const buttons = row.map((value, b) => {
      const told = `heads ${a + 1} and ${b + 1}: ${plain(value)}. A click goes to head ${b + 1}`;
      const button = Object.assign(document.createElement("button"), { type: "button", title: told, tabIndex: -1 });
      button.setAttribute("aria-label", told);
      button.textContent = values.length > MANY ? "" : plain(value);
      button.style.background = rgba(inkOf(value, SAME), OPACITY * shareOf(value || 0, 1));
      button.addEventListener("click", () => askToLook({ head: b }));
      const holder = document.createElement("td");
      holder.append(button);
      return holder;
    });
    return rowOf([cell("th", String(a + 1), { scope: "row" }), ...buttons]);
  });
  return [rowOf([document.createElement("td"), ...heads]), ...rows];
}

/** One of the buttons can be reached by the tabulator, and others by arrows from there. @param {HTMLElement} matrix */
function connectMatrix(matrix) {
  matrix.addEventListener("keydown", (event) => {
    const by = MOVES[event.key];
    const buttons = findAll(matrix, "button", HTMLButtonElement);
    const at = buttons.findIndex((button) => button === document.activeElement);
    if (!by || at < 0) return;
    const side = Math.sqrt(buttons.length);
    const [row, column] = [Math.floor(at / side) + by[0], (at % side) + by[1]];
    event.preventDefault();
    if (Math.min(row, column) < 0 || Math.max(row, column) >= side) return;
    const next = buttons[row * side + column];
    for (const button of buttons) button.tabIndex = button === next ? 0 : -1;
    next.focus();
  });
}

/** The head that is looked at, in its matrix. @param {HTMLElement} matrix @param {number} head */
function markHead(matrix, head) {
  const rows = findAll(matrix, "tr", HTMLTableRowElement);
  rows.forEach((row, a) =>
    [...row.cells].forEach((one, b) => one.classList.toggle("chosen", (a === head + 1) !== (b === head + 1))),
  );
  const buttons = findAll(matrix, "button", HTMLButtonElement);
  if (buttons.some((button) => button === document.activeElement)) return;
  buttons.forEach((button, i) => (button.tabIndex = i === head * (rows.length - 1) ? 0 : -1));
}

/** Remembers that somebody closed it; a page may not be allowed to. @param {HTMLDetailsElement} how */
function rememberClosed(how) {
  try {
    how.open = localStorage.getItem(KEPT) !== "closed";
  } catch {
    return;
  }
  find(how, "summary", HTMLElement).addEventListener("click", () => {
    const closes = how.open; // it is still open then
    try {
      if (closes) localStorage.setItem(KEPT, "closed");
      else localStorage.removeItem(KEPT);
    } catch {
      // It opens again on the next visit.
    }
  });
}

/**
 * Does work in steps while the page has nothing else to do.
 *
 * @template T
 * @param {Generator<void, T>} work @param {(found: T) => void} done
 * @returns {() => void} to leave it
 */
export function whenIdle(work, done) {
  let left = false;
  const wait =
    typeof requestIdleCallback === "function"
      ? (/** @type {IdleRequestCallback} */ run) => requestIdleCallback(run, { timeout: 100 })
      : (/** @type {IdleRequestCallback} */ run) => setTimeout(() => run(fixedDeadline(4)), 30);
  /** @param {IdleDeadline} deadline */
  const go = (deadline) => {
    // On a machine that is busy a page may never be idle: then a little is done all the same.
    const own = deadline.didTimeout ? fixedDeadline(8) : deadline;
    do {
      if (left) return;
      const { done: ended, value } = work.next();
      if (ended) return done(value);
    } while (own.timeRemaining() > 1);
    wait(go);
  };
  wait(go);
  return () => (left = true);
}

/** @param {number} milliseconds @returns {IdleDeadline} */
function fixedDeadline(milliseconds) {
  const end = performance.now() + milliseconds;
  return { didTimeout: false, timeRemaining: () => end - performance.now() };
}

/** What was found, by layer. @type {WeakMap<Block, { numbers: Numbers[][][], alike?: number[][] }>} */
const found = new WeakMap();

/** @param {Block} block */
function foundOf(block) {
  const kept = found.get(block) ?? { numbers: [] };
  found.set(block, kept);
  return kept;
}

/** Shows it of whatever is looked at. @param {HTMLElement} root of the view of the maps */
export function summarise(root) {
  const part = find(root, ".dv-summary", HTMLElement);
  const [title, told, numbers, matrix] = ["h2", ".dv-told", ".dv-numbers table", ".dv-alike table"].map((selector) =>
    find(part, selector, HTMLElement),
  );
  rememberClosed(find(part, ".dv-how", HTMLDetailsElement));
  connectMatrix(matrix);
  let leave = () => {};
  let last = "";
  /** @type {Block | null} */
  let current = null;
  /** @type {number[][] | null} */
  let drawn = null;
  onShown((looked) => {
    const { block, head, scale, stream } = looked;
    const asked = `${head} ${scale} ${stream}`;
    if (block === current && asked === last) return;
    leave();
    [last, current] = [asked, block];
    const kept = foundOf(block);
    title.textContent = `Head ${head + 1} in numbers`;
    part.setAttribute("aria-busy", "true");
    find(part, ".dv-alike", HTMLElement).hidden = block.heads < 2;
    const ready = () => part.setAttribute("aria-busy", "false");
    const showAlike = (/** @type {number[][]} */ values) => {
      kept.alike = values;
      if (values !== drawn) matrix.replaceChildren(...matrixOf(values));
      matrix.classList.toggle("many", values.length > MANY);
      drawn = values;
      markHead(matrix, head);
    };
    const showNumbers = (/** @type {Numbers[][]} */ values) => {
      kept.numbers[head] = values;
      numbers.replaceChildren(...tableOf(looked, values));
      told.textContent = wordsOf(looked, values);
      if (kept.alike) ready();
      else leave = whenIdle(alike(block), (all) => (showAlike(all), ready()));
    };
    if (kept.alike) showAlike(kept.alike);
    if (kept.numbers[head]) showNumbers(kept.numbers[head]);
    else leave = whenIdle(numbersOf(block, head), showNumbers);
  });
}
