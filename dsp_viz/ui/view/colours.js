// The one law from value to colour, for maps on the screen and on paper and for the bars beside them: the colour says
// which stream (or sign), and its opacity is the value's share of the end of the scale. A map over a picture is painted
// with one opacity more, and so is its bar.
const SAME = [15, 138, 128];
const OPPOSITE = [217, 108, 20];
const SOFTMAX = [92, 86, 178];
const FIXED = 8; // × uniform
const QUANTILE = 0.995; // one outstanding token would otherwise bleach all others

const inkOf = (value, ink) => (value < 0 ? OPPOSITE : ink);
const shareOf = (value, top) => Math.min(1, Math.abs(value) / top);

// End of the colour scale of some maps that share it.
function limit(cells, colours) {
  if (colours === "fixed") return FIXED;
  return Math.max(1, DspMaths.quantile(cells.map(({ values }) => values.map(Math.abs)), QUANTILE));
}

// A colour scale, as it is drawn and told: from `low`, −1 or 0, to `high`, 0 or 1, in units of its end. A side is there if
// the maps use it, and marked where a value lies beyond its end.
function scaleOf(cells, top) {
  const reach = [0, 0]; // largest value of each side
  for (const { values, sign } of cells)
    for (const v of values) {
      const side = sign * v < 0 ? 0 : 1;
      if (Math.abs(v) > reach[side]) reach[side] = Math.abs(v);
    }
  const signed = cells.some((c) => c.signed);
  const both = signed || new Set(cells.map(({ sign }) => sign)).size > 1;
  const alone = both ? 1 : cells[0].sign; // one side is drawn to the right, whichever it is
  const minus = signed ? "−" : ""; // the opposite-signed stream is drawn to the left, yet it is positive
  const words = (at) => {
    if (at === 0) return "0";
    const beyond = Math.abs(at) === 1 && reach[at * alone < 0 ? 0 : 1] > top * 1.0005;
    const number = `${at < 0 ? minus : ""}${digits(Math.abs(at) * top)}`;
    return beyond ? `${at < 0 && signed ? "≤" : "≥"} ${number}` : number;
  };
  const low = both ? -1 : 0;
  const ticks = [-1, -0.5, 0, 0.5, 1].filter((at) => at >= low).map((at) => ({ at, text: words(at) }));
  return { low, high: 1, ink: alone < 0 ? OPPOSITE : cells[0].ink, ticks, text: `${words(low)} to ${words(1)}` };
}

// The scale of maps that have each an end of its own.
function ownScale(cells) {
  const scale = scaleOf(cells, 1);
  const ticks = scale.ticks.filter(({ at }) => Number.isInteger(at)).map(({ at }) => ({ at, text: at ? "its own end" : "0" }));
  return { ...scale, ticks, text: "each map from 0 to its own end" };
}

function digits(value) {
  return String(Number(value.toPrecision(3)));
}

// Where on its bar, from 0 to 1, a value of a scale lies.
const placeOn = ({ low, high }, at) => (at - low) / (high - low);

// A scale's colours along its bar: [place, ink, opacity]; between two of them opacity is linear.
function stopsOf(scale, opacity) {
  const zero = placeOn(scale, 0);
  const left = scale.low ? [[0, OPPOSITE, opacity], [zero, OPPOSITE, 0]] : [];
  return [...left, [zero, scale.ink, 0], [1, scale.ink, opacity]];
}

const rgba = (ink, opacity) => `rgba(${ink.join()},${opacity})`;

// Draws a scale's bar, on the ground that its maps have.
function drawBar(canvas, scale, width, { title = "", opacity = 1, ground, unit = " × uniform" }) {
  const context = prepare(canvas, width, title ? 42 : 30);
  const style = getComputedStyle(canvas);
  const top = title ? 16 : 3;
  const [x0, x1] = [Math.min(44, width / 6), width - Math.min(44, width / 6)];
  const bar = context.createLinearGradient(x0, 0, x1, 0);
  for (const [at, ink, share] of stopsOf(scale, opacity)) bar.addColorStop(at, rgba(ink, share));
  for (const fill of [ground || style.getPropertyValue("--dv-empty"), bar]) {
    context.fillStyle = fill;
    context.fillRect(x0, top, x1 - x0, 9);
  }
  context.font = `12px ${style.fontFamily}`;
  context.fillStyle = style.color;
  context.textAlign = "center";
  if (title) context.fillText(title, width / 2, 11);
  for (const { at, text } of scale.ticks) context.fillText(text, x0 + placeOn(scale, at) * (x1 - x0), top + 22);
  canvas.setAttribute("aria-label", `Colour scale: ${title ? `${title}, ` : ""}${scale.text}${unit}`);
}

// A map as a picture of one pixel a token. Valid until the next call: canvases are costly to make, and this runs for
// every map of every query.
const scratch = document.createElement("canvas");
function tint({ values, H, W, sign, ink }, top) {
  if (scratch.width !== W || scratch.height !== H) Object.assign(scratch, { width: W, height: H });
  const pixels = new ImageData(W, H);
  const data = pixels.data;
  for (let i = 0, at = 0; i < values.length; i++, at += 4) {
    const value = sign * values[i];
    [data[at], data[at + 1], data[at + 2]] = inkOf(value, ink);
    data[at + 3] = Math.round(255 * shareOf(value, top));
  }
  scratch.getContext("2d").putImageData(pixels, 0, 0);
  return scratch;
}

// Each key of a coarse map covers the tokens that it pools; at the border of an odd grid less of it is seen.
function paint(context, map, top, [x, y, width, height], smooth) {
  const { H, W } = map.full;
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.imageSmoothingEnabled = smooth;
  context.drawImage(tint(map, top), x, y, (width * map.W * map.factor) / W, (height * map.H * map.factor) / H);
  context.restore();
}

function prepare(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const size = { width: Math.round(width * ratio), height: Math.round(height * ratio) };
  if (canvas.width !== size.width || canvas.height !== size.height) Object.assign(canvas, size);
  Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}
