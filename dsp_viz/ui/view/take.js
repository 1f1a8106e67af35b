// What can be taken away from the view of the maps.

import { writeAddress } from "./address.js";
import { joined, scaleName, zoomed } from "./cells.js";
import { scaleOf } from "./colours.js";
import { find, saveBlob } from "./elements.js";
import { fetched, pieceAddress, tellFault } from "./pieces.js";
import { clamp, zoomedBox } from "./places.js";
import { barShapes, escaped, group, mapShapes, originOf, overlayShapes, saveSheet, sheetOf, words } from "./sheet.js";
import { allShown, captionOf, framesOf, pageGrid, queryOf, scaleTitle, streamName, textOf } from "./shown.js";
import { levelsOf, stagesOf } from "./stages.js";

/** @typedef {import("./shown.js").Shown} Shown */
/** @typedef {import("./shown.js").State} State */
/** @typedef {import("./maths.js").Place} Place */
/** @typedef {import("./view.js").View} View */

/** A name for files of one layer, as the screen calls it. @param {import("./pieces.js").Result} result @param {number} index */
function placeOf({ name, layers }, index) {
  const stages = stagesOf(layers);
  const { stage, block } = levelsOf(stages, index);
  return `${name}${stages.length > 1 ? `-stage${stage + 1}` : ""}-block${block + 1}`;
}

/** @param {View} view @param {Shown} shown @param {"png" | "svg"} extension */
export function saveMaps(view, shown, extension) {
  if (shown.lost) return; // the note says so, and how to ask again
  if (shown.block.missing) {
    view.note.textContent = "This layer is still on its way: save its maps once they are all here.";
    return;
  }
  const { head } = view.state;
  const scale = Number(find(view.root, "[data-scale]", HTMLSelectElement).value);
  saveSheet(mapsSheet(view, shown), extension, `${placeOf(shown.result, shown.index)}-head${head + 1}`, scale);
}

/**
 * What the server makes of the whole result; a figure is of this view.
 *
 * @param {View} view @param {Shown} shown @param {"pdf" | "npz" | "html"} extension
 */
export async function fromServer(view, shown, extension) {
  const { note, state } = view;
  const { result } = shown;
  const settings = writeAddress(view.said());
  const address = new URL(pieceAddress(result, extension));
  if (extension === "pdf") address.searchParams.set("view", settings);
  note.textContent = "One moment …";
  try {
    let blob = await (await fetched(address.href)).blob();
    if (extension === "html") blob = opened(await blob.text(), settings);
    saveBlob(blob, extension === "pdf" ? `${placeOf(result, state.block)}.pdf` : `${result.name}.${extension}`);
    note.textContent = "";
  } catch (error) {
    tellFault(
      note,
      error,
      () => view.trigger("lost"),
      () => fromServer(view, shown, extension),
    );
  }
}

/**
 * The report opens with what is on the screen: its view is set as a link would.
 *
 * @param {string} report @param {string} settings
 */
function opened(report, settings) {
  return new Blob([report.replace('data-view=""', `data-view="${escaped(settings)}"`)], { type: "text/html" });
}

/**
 * The chosen map over the picture, beside it all small maps with their names and entropies; each with its bar.
 *
 * @param {View} view @param {Shown} shown
 */
function mapsSheet({ state, picture }, shown) {
  const { block, result } = shown;
  const { columns, cells, topOf, scale, chosen } = allShown(shown, state);
  const { H, W } = pageGrid(result);
  const [margin, head, gap, side] = [24, 84, 10, 480];
  const [width, height] = [side * W, side * H].map((length) => length / Math.max(H, W)); // of the large map
  const [wide, tall] = [width / 3, height / 3]; // and of the small ones
  const [step, row, left] = [wide + gap, tall + gap + 16, width + 2 * margin + 60];
  const across = clamp(Math.floor(6 / columns.length), 1, block.heads); // heads beside each other
  const between = columns.length * step + 60;
  /** @param {number} beside @param {number} i */
  const x = (beside, i) => left + beside * between + i * step;
  const panel = cells.flatMap((line, h) => {
    const y = head + Math.floor(h / across) * row;
    const maps = line.map((map, i) => {
      const caption = captionOf(shown, state, { head: h, ...columns[i] });
      const frame = `<rect width="${wide}" height="${tall}" fill="none" stroke="#c9d0d7" stroke-width=".6"/>`;
      const look = { smooth: state.smooth };
      const [dx, dy, ...size] = zoomedBox(map, [0, 0, wide, tall]);
      const shapes = group(dx, dy, mapShapes(zoomed(map), topOf(map), ...size, look)) + frame;
      return group(x(h % across, i), y, shapes + words(wide / 2, tall + 14, caption, "middle"));
    });
    return [words(x(h % across, 0) - 12, y + tall / 2, `head ${h + 1}`, "end"), ...maps];
  });
  const names = columns.flatMap((column, i) => {
    const name = joined([scaleName(block, column.scale), streamName(shown, state, column.stream)], " ");
    return Array.from({ length: across }, (_, beside) => words(x(beside, i) + wide / 2, head - 10, name, "middle"));
  });
  const { asked, which, numbers } = textOf(shown, state, chosen);
  const below = head + Math.ceil(block.heads / across) * row;
  const panelWidth = across * between - 60;
  const frames = framesOf(shown);
  const large = overlayShapes(picture, chosen, topOf(chosen), { ...state, width, height, frames });
  const look = { title: "the large map, × uniform", opacity: state.opacity, ground: picture?.ground };
  const content = [
    words(margin, 30, originOf(result), "start", 700),
    words(margin, 50, `${asked} · ${which} · ${numbers}`),
    group(margin, head, large),
    group(margin, head + height + 26, barShapes(scaleOf([chosen], topOf(chosen)), width, look)),
    ...names,
    ...panel,
    group(left, below + 22, barShapes(scale, Math.max(panelWidth - gap, 320), { title: scaleTitle(shown, state) })),
  ];
  const most = [left + Math.max(panelWidth, 330), Math.max(head + height + 60, below + 56)];
  const [full, high] = most.map((length) => Math.ceil(length + margin));
  return sheetOf(full, high, `${originOf(result)} · ${asked} · ${which}`, content.join(""));
}

/** The lines that compute the chosen map. @param {Shown} shown @param {State} state */
export function pythonOf({ result, index, block, query: own, asked }, state) {
  /** @param {Place} place */
  const written = (place) => (typeof own === "string" ? JSON.stringify(own) : `(${place.join(", ")})`);
  const query = written(queryOf(result, state));
  const source = result.example ? `examples/${result.example}.jpg` : "your-picture.jpg";
  const options = `side=${result.side}, whole=${result.whole ? "True" : "False"}${result.stretch ? ", stretch=True" : ""}`;
  const { name } = block.streams[state.stream];
  const which = `block=${index}, scale=${state.scale}, head=${state.head}, stream="${name}", query=${query}`;
  const map =
    state.scale < block.scales.length
      ? `dsp_viz.maps.query_map(result.trace, ${which})`
      : `dsp_viz.maps.layer_map(result.trace.blocks[${index}], ${written(asked)})[${state.stream}, ${state.head}]`;
  const model = `model = dsp_viz.load("${result.model}")`;
  return `import dsp_viz\n\n${model}\nresult = dsp_viz.analyse(model, "${source}", ${options})\n${map}\n`;
}
