// Puts maps and numbers on the page. Continues view.js in the same scope.

function draw() {
  if (!maps || !root.clientWidth) return;
  const all = columns();
  const cells = Array.from({ length: block.heads }, (_, head) => all.map((place) => shown({ head, ...place })));
  const shared = limit(cells.flat(), state.colours);
  const own = (c) => (state.colours === "own" ? limit([c]) : shared);
  const chosen = shown(state);
  drawPanel(cells, all, own);
  drawStage(chosen, own(chosen));
  drawKey(chosen, own(chosen));
  tell(chosen);
}

let layout = null; // of the panel, for clicks
function drawPanel(cells, all, own) {
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
  all.forEach(({ scale, stream }, i) => {
    const x = columnAt(i);
    context.fillStyle = style.color;
    const name = streamsOf(block)[stream];
    const names = showsIndex() ? ["", scaleName(block, scale)] : [scaleName(block, scale), size < 34 ? name.slice(0, 3) : name];
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
      paint(context, c, own(c), 1, [x, y, size, tall], state.smooth);
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
}

function drawKey(chosen, top) {
  const style = getComputedStyle(root);
  const width = key.parentElement.clientWidth;
  const context = prepare(key, width, 42);
  const [x0, x1] = [Math.min(52, width / 8), width - Math.min(52, width / 8)];
  const colour = (c, a) => `rgba(${c.join()},${a})`;
  const zero = block.kind === "softmax" ? 0 : 0.5; // where on the bar
  const bar = context.createLinearGradient(x0, 0, x1, 0);
  if (zero) {
    bar.addColorStop(0, colour(OPPOSITE, 1));
    bar.addColorStop(zero, colour(OPPOSITE, 0));
  }
  bar.addColorStop(zero, colour(chosen.ink, 0));
  bar.addColorStop(1, colour(chosen.ink, 1));
  context.fillStyle = style.getPropertyValue("--dv-empty");
  context.fillRect(x0, 16, x1 - x0, 9);
  context.fillStyle = bar;
  context.fillRect(x0, 16, x1 - x0, 9);
  context.font = `12px ${style.fontFamily}`;
  context.fillStyle = style.color;
  context.textAlign = "center";
  const title = showsIndex() ? "opposite more  ← × uniform →  same more" : zero ? "opposite  ← × uniform →  same" : "softmax attention, × uniform";
  context.fillText(title, (x0 + x1) / 2, 11);
  const above = Math.max(...chosen.values.map(Math.abs)) > top * 1.0005 ? "≥ " : "";
  for (const at of [0, 0.25, 0.5, 0.75, 1]) {
    const value = (Math.abs(at - zero) / (1 - zero)) * top;
    const text = value ? (value === top ? above : "") + value.toPrecision(3) : "0";
    context.fillText(text, x0 + at * (x1 - x0), 38);
  }
}

function tell(chosen) {
  const entropy = DspMaths.entropy(maps[state.scale][state.head][state.stream]);
  const asked = state.all ? "all queries, averaged" : `token row ${state.query[0] + 1}, column ${state.query[1] + 1}`;
  const what = showsIndex() ? "same − opposite" : streamsOf(block)[state.stream];
  const read = $(".dv-read");
  const peak = chosen.values.reduce((best, v, i) => (Math.abs(v) > Math.abs(chosen.values[best]) ? i : best), 0);
  read.replaceChildren();
  const strong = document.createElement("b");
  strong.textContent = asked;
  const number = showsIndex() ? "" : ` · entropy ${entropy.toFixed(3)}`;
  read.append(
    strong,
    ` · block ${state.block + 1} · head ${state.head + 1} · ${scaleName(block, state.scale)} · ${what}`,
    document.createElement("br"),
    `peak ${chosen.values[peak].toPrecision(3)} × uniform at row ${Math.floor(peak / chosen.W) + 1}, column ${(peak % chosen.W) + 1} of ${chosen.H}×${chosen.W} keys${number}`,
  );
  $('[data-out="block"]').textContent = `${state.block + 1} / ${result.blocks}`;
  for (const control of root.querySelectorAll("[data-set]")) {
    const value = state[control.dataset.set];
    if (control.type === "checkbox") control.checked = value;
    else control.value = value;
  }
  tellHovered(chosen);
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
