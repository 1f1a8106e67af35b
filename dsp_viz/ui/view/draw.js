// Puts maps and numbers on the page. Continues view.js in the same scope.

// A map as a picture of one pixel a token: the colour says which stream (or sign), its opacity how much. Valid until the
// next call: canvases are costly to make, and this runs for every map of every query.
const scratch = document.createElement("canvas");
function tint({ values, H, W, sign }, top, gamma) {
  if (scratch.width !== W || scratch.height !== H) Object.assign(scratch, { width: W, height: H });
  const pixels = new ImageData(W, H);
  const data = pixels.data;
  for (let i = 0, at = 0; i < values.length; i++, at += 4) {
    const value = sign * values[i];
    const [r, g, b] = value < 0 ? OPPOSITE : SAME;
    const share = Math.min(1, Math.abs(value) / top);
    data[at] = r;
    data[at + 1] = g;
    data[at + 2] = b;
    data[at + 3] = Math.round(255 * (gamma === 1 ? share : share ** gamma));
  }
  scratch.getContext("2d").putImageData(pixels, 0, 0);
  return scratch;
}

// Each key of a coarse map covers the tokens that it pools; at the border of an odd grid less of it is seen.
function paint(context, map, top, gamma, x, y, width, height) {
  const { H, W } = map.full;
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.imageSmoothingEnabled = state.smooth;
  context.drawImage(tint(map, top, gamma), x, y, (width * map.W * map.factor) / W, (height * map.H * map.factor) / H);
  context.restore();
}

function prepare(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const size = { width: Math.round(width * ratio), height: Math.round(height * ratio) };
  if (canvas.width !== size.width || canvas.height !== size.height) {
    Object.assign(canvas, size);
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

function draw() {
  if (!maps || !root.clientWidth) return;
  const all = columns();
  const cells = Array.from({ length: block.heads }, (_, head) => all.map(({ scale, stream }) => cell(head, scale, stream)));
  const shared = limit(cells.flat());
  const own = (c) => (state.colours === "own" ? limit([c]) : shared);
  const chosen = cell(state.head, state.scale, state.stream);
  drawPanel(cells, all, own);
  drawStage(chosen, own(chosen));
  drawKey(own(chosen), Math.max(...chosen.values.map(Math.abs)));
  tell(chosen);
  drawComparison(chosen);
}

let layout = null; // of the panel, for clicks
function drawPanel(cells, all, own) {
  const style = getComputedStyle(root);
  const width = panel.parentElement.clientWidth;
  const left = width < 420 ? 22 : 52;
  const top = 36;
  const { H, W } = block.scales[0];
  const groups = scaleCount() - 1;
  const gap = width < 420 ? 3 : 6;
  const size = (width - left - gap * all.length - groups * gap) / all.length;
  const tall = (size * H) / W;
  const step = tall + gap + (size < 34 ? 0 : 15); // below each map its entropy, where it can be read
  const context = prepare(panel, width, top + block.heads * step);
  context.font = `${width < 420 ? 9 : 12}px ${style.fontFamily}`;
  context.textAlign = "center";
  layout = { left, top, size, tall, gap, step, all };
  all.forEach(({ scale, stream }, i) => {
    const x = columnAt(i);
    context.fillStyle = style.color;
    const names = state.show === "index" ? ["", scaleName(scale)] : [scaleName(scale), size < 34 ? STREAMS[stream].slice(0, 3) : STREAMS[stream]];
    names.forEach((name, line) => context.fillText(name, x + size / 2, 13 + 15 * line));
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
      paint(context, c, own(c), 1, x, y, size, tall);
      if (step > tall + gap && state.show === "maps") {
        context.textAlign = "center";
        context.fillStyle = style.getPropertyValue("--dv-faint");
        context.fillText(DspMaths.entropy(maps[all[i].scale][head][all[i].stream]).toFixed(2), x + size / 2, y + tall + 14);
      }
      if (head === state.head && all[i].scale === state.scale && (all[i].stream === state.stream || state.show === "index")) {
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
  drawOverlay(stage, picture, chosen, top, width, [hovered, state.all ? null : state.query]);
}

// A map over its picture, with the token under the pointer and the one that asks framed (either may be missing).
function drawOverlay(canvas, background, map, top, width, [pointed, asking]) {
  const { H, W } = map.full;
  const height = (width * H) / W;
  const context = prepare(canvas, width, height);
  context.imageSmoothingQuality = "high";
  if (background && background.muted.width) context.drawImage(background.muted, 0, 0, width, height);
  context.globalAlpha = background ? state.opacity : 1;
  paint(context, map, top, background ? 0.6 : 1, 0, 0, width, height);
  context.globalAlpha = 1;
  const frame = ([row, column], inner) => {
    const box = [(column * width) / W, (row * height) / H, width / W, height / H];
    context.lineWidth = inner ? 3 : 2;
    context.strokeStyle = inner ? "#000" : "rgba(0,0,0,.7)";
    context.strokeRect(box[0] - 1, box[1] - 1, box[2] + 2, box[3] + 2);
    context.lineWidth = inner ? 1.5 : 1;
    context.strokeStyle = "#fff";
    context.strokeRect(...box);
  };
  if (pointed) frame(pointed, false);
  if (asking) frame(asking, true);
}

function drawKey(top, peak) {
  const style = getComputedStyle(root);
  const width = key.parentElement.clientWidth;
  const context = prepare(key, width, 42);
  const [x0, x1] = [Math.min(52, width / 8), width - Math.min(52, width / 8)];
  const colour = (c, a) => `rgba(${c.join()},${a})`;
  const bar = context.createLinearGradient(x0, 0, x1, 0);
  bar.addColorStop(0, colour(OPPOSITE, 1));
  bar.addColorStop(0.5, colour(OPPOSITE, 0));
  bar.addColorStop(0.5, colour(SAME, 0));
  bar.addColorStop(1, colour(SAME, 1));
  context.fillStyle = style.getPropertyValue("--dv-empty");
  context.fillRect(x0, 16, x1 - x0, 9);
  context.fillStyle = bar;
  context.fillRect(x0, 16, x1 - x0, 9);
  context.font = `12px ${style.fontFamily}`;
  context.fillStyle = style.color;
  context.textAlign = "center";
  const title = state.show === "index" ? "opposite more  ← × uniform →  same more" : "opposite  ← × uniform →  same";
  context.fillText(title, (x0 + x1) / 2, 11);
  const above = peak > top * 1.0005 ? "≥ " : "";
  const end = top.toPrecision(3);
  [[0, above + end], [0.25, (top / 2).toPrecision(3)], [0.5, "0"], [0.75, (top / 2).toPrecision(3)], [1, above + end]].forEach(([at, text]) =>
    context.fillText(text, x0 + at * (x1 - x0), 38),
  );
}

function tell(chosen) {
  const entropy = DspMaths.entropy(maps[state.scale][state.head][state.stream]);
  const asked = state.all ? "all queries, averaged" : `token row ${state.query[0] + 1}, column ${state.query[1] + 1}`;
  const what = state.show === "index" ? "same − opposite" : STREAMS[state.stream];
  const read = $(".dv-read");
  const peak = chosen.values.reduce((best, v, i) => (Math.abs(v) > Math.abs(chosen.values[best]) ? i : best), 0);
  read.replaceChildren();
  const strong = document.createElement("b");
  strong.textContent = asked;
  const number = state.show === "index" ? "" : ` · entropy ${entropy.toFixed(3)}`;
  read.append(
    strong,
    ` · block ${state.block + 1} · head ${state.head + 1} · ${scaleName(state.scale)} · ${what}`,
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
