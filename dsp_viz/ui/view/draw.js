// Puts maps and numbers on the page. Continues view.js in the same scope.

function draw() {
  if (!maps || !root.clientWidth) return;
  const { all, cells, topOf, scale, chosen } = allShown();
  drawPanel(cells, all, topOf);
  drawBar($(".dv-key"), scale, panel.parentElement.clientWidth, { title: scaleTitle() });
  drawStage(chosen, topOf(chosen));
  tell(chosen);
}

let layout = null; // of the panel, for clicks
function drawPanel(cells, all, topOf) {
  const style = getComputedStyle(root);
  const width = panel.parentElement.clientWidth;
  const left = width < 420 ? 22 : 52;
  const top = 36;
  const { H, W } = block.scales[0];
  const groups = scaleCount(block) - 1;
  const gap = width < 420 ? 3 : 6;
  const size = Math.min((width - left - gap * all.length - groups * gap) / all.length, 130); // few maps are not blown up
  const tall = (size * H) / W;
  const step = tall + gap + (size < 34 ? 0 : 15); // below each map its entropy, where it can be read
  const context = prepare(panel, width, top + block.heads * step);
  context.font = `${width < 420 ? 9 : 12}px ${style.fontFamily}`;
  context.textAlign = "center";
  layout = { left, top, size, tall, gap, step, all };
  const wide = (text) => context.measureText(text).width > size + gap;
  const tight = all.some(({ stream }) => wide(streamsOf(block)[stream]));
  all.forEach(({ scale, stream }, i) => {
    const x = columnAt(i);
    context.fillStyle = style.color;
    const name = streamsOf(block)[stream];
    const names = showsIndex() ? ["", scaleName(block, scale)] : [scaleName(block, scale), tight ? name.slice(0, 3) : name];
    names.forEach((words, line) => context.fillText(words, x + size / 2, 13 + 15 * line));
  });
  cells.forEach((row, head) => {
    const y = top + head * step;
    context.fillStyle = style.color;
    context.textAlign = "left";
    context.fillText(width < 420 ? `${head + 1}` : `head ${head + 1}`, 0, y + tall / 2 + 4);
    row.forEach((c, i) => {
      const x = columnAt(i);
      context.fillStyle = style.getPropertyValue("--dv-empty");
      context.fillRect(x, y, size, tall);
      paint(context, c, topOf(c), [x, y, size, tall], state.smooth);
      if (step > tall + gap && !showsIndex()) {
        context.textAlign = "center";
        context.fillStyle = style.getPropertyValue("--dv-faint");
        context.fillText(DspMaths.entropy(maps[all[i].scale][head][all[i].stream]).toFixed(2), x + size / 2, y + tall + 14);
      }
      if (head === state.head && all[i].scale === state.scale && (all[i].stream === state.stream || showsIndex())) {
        context.strokeStyle = style.color;
        context.lineWidth = 2;
        context.strokeRect(x - 2, y - 2, size + 4, tall + 4);
      }
    });
  });
}

function columnAt(i) {
  const { left, size, gap, all } = layout;
  return left + gap + i * (size + gap) + all[i].scale * gap; // a little more room between scales
}

function drawStage(chosen, top) {
  const { H, W } = block.scales[0];
  const width = Math.min(stage.parentElement.clientWidth, Math.max(240, window.innerHeight * 0.62 * (W / H)));
  drawOverlay(stage, picture, chosen, top, width, [hovered, state.all ? null : state.query], state);
  drawBar($(".dv-scale"), scaleOf([chosen], top), width, { opacity: picture ? state.opacity : 1, ground: picture?.ground });
}

// What the chosen map is, in two lines of text.
function toldOf(chosen) {
  const asked = state.all ? "all queries, averaged" : `token row ${state.query[0] + 1}, column ${state.query[1] + 1}`;
  const peak = chosen.values.reduce((best, v, i) => (Math.abs(v) > Math.abs(chosen.values[best]) ? i : best), 0);
  const entropy = showsIndex() ? "" : ` · entropy ${DspMaths.entropy(maps[state.scale][state.head][state.stream]).toFixed(3)}`;
  return {
    asked,
    which: `block ${state.block + 1} · head ${state.head + 1} · ${scaleName(block, state.scale)} · ${streamName(state.stream)}`,
    numbers: `peak ${chosen.values[peak].toPrecision(3)} × uniform at row ${Math.floor(peak / chosen.W) + 1}, column ${(peak % chosen.W) + 1} of ${chosen.H}×${chosen.W} keys${entropy}`,
  };
}

function tell(chosen) {
  const { asked, which, numbers } = toldOf(chosen);
  const strong = Object.assign(document.createElement("b"), { textContent: asked });
  $(".dv-read").replaceChildren(strong, ` · ${which}`, document.createElement("br"), numbers);
  $('[data-out="block"]').textContent = `${state.block + 1} / ${result.blocks}`;
  for (const control of root.querySelectorAll("[data-set]")) {
    const value = state[control.dataset.set];
    if (control.type === "checkbox") control.checked = value;
    else control.value = value;
  }
  tellHovered(chosen);
}

// What a small map is of, and its numbers.
function smallMapTold({ head, scale, stream }) {
  const { values } = shown({ head, scale, stream });
  const peak = values.reduce((top, v) => (Math.abs(v) > Math.abs(top) ? v : top), 0);
  const what = showsIndex() ? "same − opposite" : streamsOf(block)[stream];
  const entropy = showsIndex() ? "" : `, entropy ${DspMaths.entropy(maps[scale][head][stream]).toFixed(3)}`;
  return `head ${head + 1}, ${scaleName(block, scale)}, ${what}: peak ${peak.toPrecision(3)} × uniform${entropy}`;
}

function tellHovered(chosen) {
  let text = "\u00a0";
  if (hovered) {
    const [row, column] = hovered.map((at) => Math.floor(at / chosen.factor));
    const value = chosen.values[row * chosen.W + column];
    text = `key row ${row + 1}, column ${column + 1}: ${value.toPrecision(3)} × uniform`;
  }
  $(".dv-hover").textContent = text;
}

function note(text) {
  $(".dv-note").textContent = text;
}
