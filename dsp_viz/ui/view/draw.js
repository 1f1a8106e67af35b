// Puts the maps and their numbers on the page.

import { drawBar, drawOverlay, paintSmall, prepare } from "./canvas.js";
import { scaleCount, scaleName } from "./cells.js";
import { scaleOf } from "./colours.js";
import { find, setValue, settersOf } from "./elements.js";
import { tellShown } from "./events.js";
import { clamp, keyAt, tokenAt } from "./places.js";
import { allShown, captionOf, framesOf, keyText, pageGrid, scaleTitle, showsIndex, textOf } from "./shown.js";

/** @typedef {import("./colours.js").Cell} Cell */
/** @typedef {import("./shown.js").Shown} Shown */
/** @typedef {import("./view.js").View} View */
/** @typedef {{ scale: number, stream: number }} Column */

/**
 * Where the small maps are: a head's in a row, and where there is room several heads beside each other.
 *
 * @typedef {object} Layout
 * @property {Column[]} columns of a head's maps @property {number[]} x of each, from the head's left edge
 * @property {number} across how many heads are beside each other @property {number} group from one's edge to the next's
 * @property {number} top @property {number} step from one head down to the next @property {number} size of a map
 */

/** @param {View} view */
export function draw(view) {
  const { root, shown, state, panel, picture } = view;
  if (!shown || !root.clientWidth) return;
  const all = allShown(shown, state);
  const { chosen, topOf, scale } = all;
  drawPanel(view, shown, all);
  const key = find(root, ".dv-key", HTMLCanvasElement);
  drawBar(key, scale, panel.parentElement?.clientWidth ?? 0, { title: scaleTitle(shown, state) });
  const width = drawStage(view, shown, chosen, topOf(chosen));
  const look = { opacity: picture ? state.opacity : 1, ground: picture?.ground };
  drawBar(find(root, ".dv-scale", HTMLCanvasElement), scaleOf([chosen], topOf(chosen)), width, look);
  tell(view, shown, chosen);
  if (shown.block.missing) return; // for who reads numbers off it
  tellShown({ block: shown.block, head: state.head, scale: state.scale, stream: state.stream });
}

/** @param {View} view @param {Shown} shown @param {ReturnType<typeof allShown>} all */
function drawPanel(view, shown, { cells, columns, topOf }) {
  const { root, panel, state } = view;
  const { block } = shown;
  const style = getComputedStyle(root);
  const empty = style.getPropertyValue("--dv-empty");
  const width = panel.parentElement?.clientWidth ?? 0;
  const narrow = width < 420;
  const [left, top, gap] = [narrow ? 22 : 52, 36, narrow ? 3 : 6];
  const room = width - left - gap * columns.length - (scaleCount(block) - 1) * gap;
  const size = Math.min(room / columns.length, narrow ? 110 : 130); // few maps are not blown up
  const { H, W } = pageGrid(shown.result);
  const tall = (size * H) / W;
  const step = tall + gap + (size < 34 ? 0 : 15); // below each map its entropy, where it can be read
  const x = columns.map(({ scale }, i) => left + gap + i * (size + gap) + scale * gap); // more room between scales
  const group = (x.at(-1) ?? 0) + size + 3 * gap;
  const across = clamp(Math.floor((width + 2 * gap) / group), 1, block.heads);
  view.layout = { columns, x, across, group, top, step, size };
  const context = prepare(panel, width, top + Math.ceil(block.heads / across) * step);
  context.font = `${narrow ? 9 : 12}px ${style.fontFamily}`;
  context.fillStyle = style.color;
  context.textAlign = "center";
  const tight = block.streams.some(({ name }) => context.measureText(name).width > size + gap);
  columns.forEach(({ scale, stream }, i) => {
    const name = block.streams[stream].name;
    const names = [scaleName(block, scale), tight ? name.slice(0, 3) : name];
    if (showsIndex(shown, state)) names.splice(0, 2, "", names[0]);
    for (let beside = 0; beside < across; beside++)
      names.forEach((words, line) => context.fillText(words, beside * group + x[i] + size / 2, 13 + 15 * line));
  });
  cells.forEach((row, head) => {
    const [edge, y] = [(head % across) * group, top + Math.floor(head / across) * step];
    context.fillStyle = style.color;
    context.textAlign = "left";
    context.fillText(narrow ? `${head + 1}` : `head ${head + 1}`, edge, y + tall / 2 + 4);
    context.textAlign = "center";
    row.forEach((map, i) => {
      const left = edge + x[i];
      paintSmall(context, map, topOf(map), [left, y, size, tall], { smooth: state.smooth, empty });
      if (step > tall + gap) {
        context.fillStyle = style.getPropertyValue("--dv-faint");
        context.fillText(captionOf(shown, state, { head, ...columns[i] }), left + size / 2, y + tall + 14);
      }
      if (!isChosen(view, shown, { head, ...columns[i] })) return;
      context.strokeStyle = style.color;
      context.lineWidth = 2;
      context.strokeRect(left - 2, y - 2, size + 4, tall + 4);
    });
  });
}

/** @param {View} view @param {Shown} shown @param {import("./cells.js").Which} which */
function isChosen({ state }, shown, { head, scale, stream }) {
  return head === state.head && scale === state.scale && (stream === state.stream || showsIndex(shown, state));
}

/** @param {View} view @param {Shown} shown @param {Cell} chosen @param {number} top @returns {number} how wide it is */
function drawStage({ stage, picture, state, pointed }, shown, chosen, top) {
  const grid = pageGrid(shown.result);
  const most = Math.max(240, window.innerHeight * 0.62 * (grid.W / grid.H));
  const width = Math.min(stage.parentElement?.clientWidth ?? 0, most);
  const frames = [...(pointed ? [{ place: tokenAt(grid, pointed), grid, thick: false }] : []), ...framesOf(shown)];
  drawOverlay(stage, picture, chosen, top, { ...state, width, height: (width * grid.H) / grid.W, frames });
  return width;
}

/** @param {View} view @param {Shown} shown @param {Cell} chosen */
function tell({ root, state, pointed }, shown, chosen) {
  const { asked, which, numbers } = textOf(shown, state, chosen);
  const strong = Object.assign(document.createElement("b"), { textContent: asked });
  const read = find(root, ".dv-read", HTMLElement);
  read.replaceChildren(strong, ` · ${which}`, document.createElement("br"), numbers);
  for (const [name, control] of settersOf(root)) setValue(control, state[/** @type {keyof typeof state} */ (name)]);
  const hovered = pointed ? keyText(chosen, keyAt(chosen, pointed)) : "\u00a0";
  find(root, ".dv-hover", HTMLElement).textContent = hovered;
}
