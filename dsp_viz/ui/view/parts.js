// What the views share: fetching the pieces of a result, one map as values, a map over its picture, saving.
function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

// What a view offers to the others, wherever Gradio put it: `dspView` of the maps, `dspCompare` of a comparison.
function handleOf(id, name) {
  return [...document.querySelectorAll(`#${id}, #${id} *`)].map((e) => e[name]).find(Boolean);
}

// ---- data ----------------------------------------------------------------------------------------------------------

// In a page that was taken away the pieces lie in the manifest itself.
function pieceAddress(result, piece) {
  if (result.pieces) return `data:application/octet-stream;base64,${result.pieces[piece]}`;
  return new URL(`results/${result.token}/${piece}`, document.baseURI);
}

// The answer of the server, or an error that says why there is none; `lost`: the result is no longer kept.
async function fetched(address) {
  const answer = await fetch(address).catch(() => null);
  if (answer && answer.ok) return answer;
  const lost = answer !== null && answer.status === 404;
  const why = lost ? "This result is no longer kept." : "The server does not answer. Is it still running?";
  throw Object.assign(new Error(why), { lost: lost || answer === null });
}

// Says in `place` what went wrong; where another analysis helps, with a button that asks for it.
function tellFault(place, error) {
  place.replaceChildren(error.message);
  if (!error.lost) return;
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Analyse again" });
  button.addEventListener("click", () => {
    place.textContent = "One moment …";
    trigger("lost");
  });
  place.append(" ", button);
}

const cache = new Map(); // of promised blocks
async function loadBlock(result, index) {
  const name = `${result.token}/${index}`;
  if (!cache.has(name)) {
    const promised = fetched(pieceAddress(result, index)).then((answer) => answer.arrayBuffer());
    cache.set(name, promised.then(DspMaths.decode));
    cache.get(name).catch(() => cache.delete(name));
    while (cache.size > 16) cache.delete(cache.keys().next().value);
  }
  return cache.get(name);
}

// The picture as the model saw it: { image, muted, ground }, the last its mean colour.
async function loadPicture(result) {
  const image = new Image();
  image.src = pieceAddress(result, "picture");
  await image.decode().catch(() => {});
  return { image, ...mute(image) };
}

// The picture fades to gray, so that a map's colour is never mistaken for the picture's, and to white, so that a faint one
// is seen on it: colours of maps are about as dark as a usual picture.
function mute(image) {
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d");
  if (!canvas.width) return { muted: canvas };
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  const sums = [0, 0, 0];
  for (let i = 0; i < pixels.data.length; i += 4) {
    const [r, g, b] = pixels.data.subarray(i, i + 3);
    const gray = 0.299 * r + 0.587 * g + 0.114 * b;
    for (let c = 0; c < 3; c++) {
      const faded = pixels.data[i + c] + 0.65 * (gray - pixels.data[i + c]);
      sums[c] += pixels.data[i + c] = faded + 0.4 * (255 - faded);
    }
  }
  context.putImageData(pixels, 0, 0);
  return { muted: canvas, ground: rgba(sums.map((sum) => Math.round((4 * sum) / pixels.data.length)), 1) };
}

// ---- maps as values --------------------------------------------------------------------------------------------------

const streamsOf = (block) => (block.kind === "softmax" ? ["softmax"] : ["same", "opposite"]);

// A layer with several scales has a last one: its effective map.
const scaleCount = (block) => block.scales.length + (block.scales.length > 1 ? 1 : 0);
const scaleName = (block, scale) => (scale < block.scales.length ? `${2 ** scale}×` : "layer");

// The token in the middle of a grid; Python's default is the same.
const middle = ([H, W]) => [Math.floor(H / 2), Math.floor(W / 2)];

// All maps of a block for a query, see scaleCount: maps[scale][head][stream].
function allMaps(block, query) {
  const scales = DspMaths.maps(block, query);
  if (scales.length === 1) return scales;
  return [...scales, Array.from({ length: block.heads }, (_, h) => DspMaths.effective(block, scales, h))];
}

// One drawn map: values in units of the uniform map, `signed` where the index is shown.
function cell({ block, maps }, { head, scale, stream }, show) {
  const [same, opposite] = maps[scale][head];
  const layer = scale === block.scales.length;
  const full = block.scales[0];
  const { H, W } = layer ? full : block.scales[scale];
  const signed = show === "index" && Boolean(opposite);
  const values = new Float32Array(H * W);
  for (let i = 0; i < values.length; i++) values[i] = H * W * (signed ? same[i] - opposite[i] : stream ? opposite[i] : same[i]);
  return { values, H, W, full, factor: layer ? 1 : 2 ** scale, sign: stream && !signed ? -1 : 1, signed, ink: opposite ? SAME : SOFTMAX };
}

// ---- a map over its picture ------------------------------------------------------------------------------------------

// With the token under the pointer and the one that asks framed (either may be missing).
function drawOverlay(canvas, background, map, top, width, [pointed, asking], { opacity, smooth }) {
  const { H, W } = map.full;
  const height = (width * H) / W;
  const context = prepare(canvas, width, height);
  context.imageSmoothingQuality = "high";
  if (background && background.muted.width) context.drawImage(background.muted, 0, 0, width, height);
  context.globalAlpha = background ? opacity : 1;
  paint(context, map, top, [0, 0, width, height], smooth);
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

// ---- taking away -------------------------------------------------------------------------------------------------------

function saveBlob(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

async function copyText(text, what, place) {
  try {
    await navigator.clipboard.writeText(text);
    place.textContent = `${what} copied.`;
  } catch {
    place.textContent = `Copying is not allowed here. ${what}: ${text}`;
  }
}

// A menu closes on Escape, and when the focus or a click goes elsewhere.
function closing(menu) {
  const shut = () => (menu.open = false);
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    shut();
    menu.querySelector("summary").focus();
  });
  menu.addEventListener("focusout", ({ relatedTarget }) => relatedTarget && !menu.contains(relatedTarget) && shut());
  document.addEventListener("pointerdown", ({ target }) => !menu.contains(target) && shut());
}
