// What the views share: fetching the pieces of a result, one map as values, one map as colours over its picture.
const SAME = [15, 138, 128];
const OPPOSITE = [217, 108, 20];
const SOFTMAX = [92, 86, 178];
const FIXED = 8; // × uniform
const QUANTILE = 0.995; // one outstanding token would otherwise bleach all others

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

// ---- data ----------------------------------------------------------------------------------------------------------

// In a page that was taken away the pieces lie in the manifest itself.
function pieceAddress(result, piece) {
  if (result.pieces) return `data:application/octet-stream;base64,${result.pieces[piece]}`;
  return new URL(`results/${result.token}/${piece}`, document.baseURI);
}

const cache = new Map(); // of promised blocks
async function loadBlock(result, index) {
  const name = `${result.token}/${index}`;
  if (!cache.has(name)) {
    cache.set(
      name,
      fetch(pieceAddress(result, index)).then((answer) => {
        if (!answer.ok) throw new Error("This result is no longer kept. Analyse the picture again.");
        return answer.arrayBuffer().then(DspMaths.decode);
      }),
    );
    cache.get(name).catch(() => cache.delete(name));
    while (cache.size > 16) cache.delete(cache.keys().next().value);
  }
  return cache.get(name);
}

// The picture as the model saw it, { image, muted }.
async function loadPicture(result) {
  const image = new Image();
  image.src = pieceAddress(result, "picture");
  await image.decode().catch(() => {});
  return { image, muted: mute(image) };
}

// The picture fades a little to gray, so that a map's colour is never mistaken for the picture's.
function mute(image) {
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d");
  if (!canvas.width) return canvas;
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < pixels.data.length; i += 4) {
    const [r, g, b] = pixels.data.subarray(i, i + 3);
    const gray = 0.299 * r + 0.587 * g + 0.114 * b;
    for (let c = 0; c < 3; c++) pixels.data[i + c] += 0.65 * (gray - pixels.data[i + c]);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

// ---- maps as values --------------------------------------------------------------------------------------------------

const streamsOf = (block) => (block.kind === "softmax" ? ["softmax"] : ["same", "opposite"]);

// A layer with several scales has a last one: its effective map.
const scaleCount = (block) => block.scales.length + (block.scales.length > 1 ? 1 : 0);
const scaleName = (block, scale) => (scale < block.scales.length ? `${2 ** scale}×` : "layer");

// All maps of a block for a query, see scaleCount: maps[scale][head][stream].
function allMaps(block, query) {
  const scales = DspMaths.maps(block, query);
  if (scales.length === 1) return scales;
  return [...scales, Array.from({ length: block.heads }, (_, h) => DspMaths.effective(block, scales, h))];
}

// One drawn map: values in units of the uniform map, signed where the index is shown.
function cell({ block, maps }, { head, scale, stream }, show) {
  const [same, opposite] = maps[scale][head];
  const layer = scale === block.scales.length;
  const full = block.scales[0];
  const { H, W } = layer ? full : block.scales[scale];
  const index = show === "index" && opposite;
  const values = new Float32Array(H * W);
  for (let i = 0; i < values.length; i++) values[i] = H * W * (index ? same[i] - opposite[i] : stream ? opposite[i] : same[i]);
  return { values, H, W, full, factor: layer ? 1 : 2 ** scale, sign: stream && !index ? -1 : 1, ink: opposite ? SAME : SOFTMAX };
}

// End of the colour scale of some maps that share it.
function limit(cells, colours) {
  if (colours === "fixed") return FIXED;
  return Math.max(1, DspMaths.quantile(cells.map(({ values }) => values.map(Math.abs)), QUANTILE));
}

// ---- maps as colours -------------------------------------------------------------------------------------------------

// A map as a picture of one pixel a token: the colour says which stream (or sign), its opacity how much. Valid until the
// next call: canvases are costly to make, and this runs for every map of every query.
const scratch = document.createElement("canvas");
function tint({ values, H, W, sign, ink }, top, gamma) {
  if (scratch.width !== W || scratch.height !== H) Object.assign(scratch, { width: W, height: H });
  const pixels = new ImageData(W, H);
  const data = pixels.data;
  for (let i = 0, at = 0; i < values.length; i++, at += 4) {
    const value = sign * values[i];
    const [r, g, b] = value < 0 ? OPPOSITE : ink;
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
function paint(context, map, top, gamma, [x, y, width, height], smooth) {
  const { H, W } = map.full;
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.imageSmoothingEnabled = smooth;
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

// A map over its picture, with the token under the pointer and the one that asks framed (either may be missing).
function drawOverlay(canvas, background, map, top, width, [pointed, asking], { opacity, smooth }) {
  const { H, W } = map.full;
  const height = (width * H) / W;
  const context = prepare(canvas, width, height);
  context.imageSmoothingQuality = "high";
  if (background && background.muted.width) context.drawImage(background.muted, 0, 0, width, height);
  context.globalAlpha = background ? opacity : 1;
  paint(context, map, top, background ? 0.6 : 1, [0, 0, width, height], smooth);
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

// The token of a grid under the pointer, [row, column].
function tokenAt(event, canvas, { H, W }) {
  const box = canvas.getBoundingClientRect();
  const row = Math.floor(((event.clientY - box.top) / box.height) * H);
  const column = Math.floor(((event.clientX - box.left) / box.width) * W);
  return [clamp(row, 0, H - 1), clamp(column, 0, W - 1)];
}

function saveCanvas(canvas, name) {
  canvas.toBlob((blob) => saveBlob(blob, name));
}

function saveBlob(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
