// What can be taken away. Continues view.js in the same scope.

const fileName = (extension) => `${result.name}-block${state.block + 1}-head${state.head + 1}.${extension}`;

// What the server makes of the whole result.
async function fromServer(extension) {
  note("One moment …");
  const answer = await fetch(pieceAddress(result, extension)).catch(() => null);
  if (!answer || !answer.ok) return note("This result is no longer kept. Analyse the picture again.");
  saveBlob(await answer.blob(), `${result.name}.${extension}`);
  note("");
}

// Everything on the view in one picture, on the page's background.
function savePng() {
  const margin = 24;
  const canvas = document.createElement("canvas");
  canvas.width = stage.width + panel.width + 3 * margin;
  canvas.height = Math.max(stage.height, panel.height + key.height + margin) + 2 * margin;
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(document.body).backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(stage, margin, margin);
  context.drawImage(panel, stage.width + 2 * margin, margin);
  context.drawImage(key, stage.width + 2 * margin, panel.height + 2 * margin);
  saveCanvas(canvas, fileName("png"));
}

// A map as shapes: a rectangle for each key that is seen; with its value in a <title> if `told`.
function shapes(map, top, unit, gamma, told) {
  const { H, W } = map.full;
  const { factor } = map;
  return Array.from(map.values, (value, i) => {
    const [r, c] = [Math.floor(i / map.W) * factor, (i % map.W) * factor];
    const opacity = Math.min(1, Math.abs(value) / top) ** gamma;
    if (opacity < 0.002 && !told) return "";
    const colour = map.sign * value < 0 ? OPPOSITE : map.ink;
    const title = told ? `<title>${value.toPrecision(4)} × uniform</title>` : "";
    return `<rect x="${+(c * unit).toFixed(2)}" y="${+(r * unit).toFixed(2)}" width="${+(Math.min(factor, W - c) * unit).toFixed(2)}" height="${+(Math.min(factor, H - r) * unit).toFixed(2)}" fill="rgb(${colour.join()})" fill-opacity="${opacity.toFixed(3)}">${title}</rect>`;
  }).join("");
}

// The chosen map over the picture, beside it all small maps with their names and entropies: shapes and text alone, but
// for the picture.
function saveSvg() {
  const { H, W } = block.scales[0];
  const all = columns();
  const cells = Array.from({ length: block.heads }, (_, head) => all.map((place) => shown({ head, ...place })));
  const shared = limit(cells.flat(), state.colours);
  const own = (c) => (state.colours === "own" ? limit([c], state.colours) : shared);
  const chosen = shown(state);
  const [unit, margin, head, gap] = [32, 24, 44, 10];
  const [width, height] = [W * unit, H * unit];
  const small = 160 / Math.max(H, W); // a token's side in the small maps
  const [step, row] = [W * small + gap, H * small + gap + 16];
  const left = width + 2 * margin + 60;
  const words = (x, y, text, anchor = "middle") => `<text x="${x}" y="${y}" text-anchor="${anchor}">${text}</text>`;
  const box = (x, y, content) => `<g transform="translate(${x} ${y})">${content}</g>`;
  const square = (stroke, thick) => `<rect x="${state.query[1] * unit}" y="${state.query[0] * unit}" width="${unit}" height="${unit}" fill="none" stroke="${stroke}" stroke-width="${thick}"/>`;
  const stageShapes = [
    `<image width="${width}" height="${height}" preserveAspectRatio="none" xlink:href="${picture.muted.toDataURL()}"/>`,
    `<g class="map" opacity="${state.opacity}">${shapes(chosen, own(chosen), unit, 0.6, true)}</g>`,
    state.all ? "" : square("#000", 5) + square("#fff", 2.5),
  ];
  const panelShapes = cells.flatMap((line, h) => [
    words(left - 12, head + h * row + (H * small) / 2, `head ${h + 1}`, "end"),
    ...line.map((c, i) => {
      const frame = `<rect width="${W * small}" height="${H * small}" fill="none" stroke="#c9d0d7" stroke-width=".6"/>`;
      const entropy = showsIndex() ? "" : words((W * small) / 2, H * small + 14, DspMaths.entropy(maps[all[i].scale][h][all[i].stream]).toFixed(2));
      return box(left + i * step, head + h * row, `<g class="map">${shapes(c, own(c), small, 1, false)}</g>${frame}${entropy}`);
    }),
  ]);
  const names = all.map(({ scale, stream }, i) => words(left + i * step + (W * small) / 2, head - 10, `${scaleName(block, scale)} ${showsIndex() ? "same − opposite" : streamsOf(block)[stream]}`));
  const told = $(".dv-read").innerText.replace(/[<&]/g, " ");
  const below = told.split("\n").map((line, i) => words(margin, head + height + 24 + 18 * i, line, "start"));
  const size = [left + all.length * step + margin, head + Math.max(height + 60, block.heads * row) + margin];
  const scaleEnd = state.colours === "own" ? "each map on a scale of its own" : `full colour at ${shared.toPrecision(3)} × uniform`;
  const text = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 ${size.join(" ")}" font-family="sans-serif" font-size="13" fill="#1f2933"><title>${told}</title>${box(margin, head, stageShapes.join(""))}${names.join("")}${panelShapes.join("")}${below.join("")}${words(margin, head - 10, scaleEnd, "start")}</svg>`;
  saveBlob(new Blob([text], { type: "image/svg+xml" }), fileName("svg"));
}

// What is shown, in the part of the address behind the #. Examples can always be restored, an upload while it is kept.
function link() {
  const { all, query, ...rest } = state;
  const parts = new URLSearchParams({ picture: result.example || result.token, model: result.model, side: result.side, whole: result.whole, query: all ? "all" : query.join(), ...rest });
  const address = new URL(document.baseURI);
  address.hash = parts;
  return address.href;
}

function restore(view) {
  const parts = new URLSearchParams(view);
  for (const [name, value] of Object.entries(state)) {
    const text = parts.get(name);
    if (text === null || name === "query") continue;
    if (typeof value === "number" && Number.isFinite(Number(text))) state[name] = Math.max(0, Number(text));
    else if (typeof value === "boolean") state[name] = text === "true";
    else if (typeof value === "string" && root.querySelector(`[data-set="${name}"] option[value="${CSS.escape(text)}"]`)) state[name] = text;
  }
  const query = (parts.get("query") || "").split(",").map(Number);
  state.all = parts.get("query") === "all";
  if (query.length === 2 && query.every(Number.isInteger)) state.query = query;
  state.stream = Math.min(state.stream, 1);
}

function python() {
  const query = state.all ? '"all"' : `(${state.query.join(", ")})`;
  const source = result.example ? `examples/${result.example}.jpg` : "your-picture.jpg";
  const options = `side=${result.side}, whole=${result.whole ? "True" : "False"}`;
  const stream = streamsOf(block)[state.stream];
  const map =
    state.scale < block.scales.length
      ? `dsp_viz.maps.query_map(result.trace, block=${state.block}, scale=${state.scale}, head=${state.head}, polarity="${stream}", query=${query})`
      : `dsp_viz.maps.layer_map(result.trace.blocks[${state.block}], ${query})[${state.stream}, ${state.head}]`;
  return `import dsp_viz\n\nmodel = dsp_viz.load("${result.model}")\nresult = dsp_viz.analyse(model, "${source}", ${options})\n${map}\n`;
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    note(`${what} copied.`);
  } catch {
    note(`Copying is not allowed here. ${what}: ${text}`);
  }
}
