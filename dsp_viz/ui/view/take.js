// What can be taken away. Continues view.js in the same scope.

const fileName = () => `${result.name}-block${state.block + 1}-head${state.head + 1}`;
const view = () => {
  const { all, query, ...rest } = state;
  return { ...rest, query: all ? "all" : query };
};

// What the server makes of the whole result; a figure is of this view.
async function fromServer(extension) {
  note("One moment …");
  const address = new URL(pieceAddress(result, extension));
  if (extension === "pdf") address.searchParams.set("view", writeAddress(view()));
  try {
    let blob = await (await fetched(address)).blob();
    if (extension === "html") blob = await opened(blob);
    saveBlob(blob, extension === "pdf" ? `${result.name}-block${state.block + 1}.pdf` : `${result.name}.${extension}`);
    note("");
  } catch (error) {
    tellFault($(".dv-note"), error);
  }
}

// The report opens with what is on the screen: its view is set as a link would.
async function opened(report) {
  const text = await report.text();
  return new Blob([text.replace('data-view=""', `data-view="${escaped(writeAddress(view()))}"`)], { type: "text/html" });
}

// The chosen map over the picture, beside it all small maps with their names and entropies; each with its bar.
function sheet() {
  const { H, W } = block.scales[0];
  const { all, cells, topOf, scale, chosen } = allShown();
  const [margin, head, gap, width] = [24, 84, 10, 480];
  const unit = width / Math.max(H, W); // a token's side in the large map
  const small = 160 / Math.max(H, W); // and in the small ones
  const [large, row] = [H * unit, H * small + gap + 16];
  const [step, left] = [W * small + gap, W * unit + 2 * margin + 60];
  const panelShapes = cells.flatMap((line, h) => [
    words(left - 12, head + h * row + (H * small) / 2, `head ${h + 1}`, "end"),
    ...line.map((c, i) => {
      const frame = `<rect width="${W * small}" height="${H * small}" fill="none" stroke="#c9d0d7" stroke-width=".6"/>`;
      const entropy = showsIndex() ? "" : words((W * small) / 2, H * small + 14, DspMaths.entropy(maps[all[i].scale][h][all[i].stream]).toFixed(2), "middle");
      return group(left + i * step, head + h * row, mapShapes(c, topOf(c), small, state) + frame + entropy);
    }),
  ]);
  const names = all.map(({ scale: s, stream }, i) => words(left + i * step + (W * small) / 2, head - 10, `${scaleName(block, s)} ${streamName(stream)}`, "middle"));
  const { asked, which, numbers } = toldOf(chosen);
  const below = head + block.heads * row;
  const asking = state.all ? null : state.query;
  const content = [
    words(margin, 30, originOf(result), "start", 700),
    words(margin, 50, `${asked} · ${which} · ${numbers}`),
    group(margin, head, overlayShapes(picture, chosen, topOf(chosen), W * unit, asking, state)),
    group(margin, head + large + 26, barShapes(scaleOf([chosen], topOf(chosen)), W * unit, { title: "the large map, × uniform", opacity: state.opacity, ground: picture?.ground })),
    ...names,
    ...panelShapes,
    group(left, below + 22, barShapes(scale, Math.max(all.length * step - gap, 320), { title: scaleTitle() })),
  ];
  const size = [left + Math.max(all.length * step, 330) + margin, Math.max(head + large + 60, below + 56) + margin];
  return sheetOf(...size.map(Math.ceil), `${originOf(result)} · ${asked} · ${which}`, content.join(""));
}

// An address that restores what is on the screen, on whichever tab. Examples can always be restored, an upload while it
// is kept.
function link() {
  const tab = document.querySelector('[data-tab-id="maps"]')?.parentElement.querySelector('[aria-selected="true"]')?.dataset.tabId;
  const comparison = tab === "compare" ? handleOf("compare", "dspCompare") : null;
  const { model, side, whole } = result;
  const address = new URL(document.baseURI);
  address.hash = writeAddress({
    picture: result.example || result.token, model, side, whole, tab,
    ...view(),
    ...(comparison ? comparison.told() : {}),
    interventions: document.querySelector("#interventions textarea")?.value,
  });
  return address.href;
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
