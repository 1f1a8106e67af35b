// A sheet to take away: maps, bars and captions as SVG, and the same as PNG at a chosen scale. Drawn on white, with the
// law of colours.js.
const escaped = (text) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const shortened = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
const group = (x, y, content) => `<g transform="translate(${+x.toFixed(2)} ${+y.toFixed(2)})">${content}</g>`;
const words = (x, y, text, anchor = "start", weight = 400) => `<text x="${+x.toFixed(2)}" y="${+y.toFixed(2)}" text-anchor="${anchor}" font-weight="${weight}">${escaped(text)}</text>`;

// A map as shapes: a rectangle for each key that is seen; with its value in a <title> if `titles`. A smoothed one is an
// image, which whoever shows it enlarges smoothly.
function mapShapes(map, top, unit, { smooth = false, titles = false, opacity = 1 }) {
  const { H, W } = map.full;
  const side = map.factor * unit;
  const [width, height] = [W * unit, H * unit];
  const open = `<svg class="map" width="${width}" height="${height}" opacity="${opacity}" shape-rendering="crispEdges">`;
  if (smooth) return `${open}<image width="${map.W * side}" height="${map.H * side}" preserveAspectRatio="none" xlink:href="${tint(map, top).toDataURL()}"/></svg>`;
  const shapes = Array.from(map.values, (value, i) => {
    const share = shareOf(value, top);
    if (share < 0.002 && !titles) return "";
    const [r, c] = [Math.floor(i / map.W) * map.factor, (i % map.W) * map.factor];
    const title = titles ? `<title>${value.toPrecision(4)} × uniform</title>` : "";
    const [w, h] = [Math.min(map.factor, W - c), Math.min(map.factor, H - r)].map((n) => +(n * unit).toFixed(2));
    return `<rect x="${+(c * unit).toFixed(2)}" y="${+(r * unit).toFixed(2)}" width="${w}" height="${h}" fill="rgb(${inkOf(map.sign * value, map.ink).join()})" fill-opacity="${share.toFixed(3)}">${title}</rect>`;
  });
  return `${open}${shapes.join("")}</svg>`;
}

// A map over its picture (or on white), with the token that asks framed.
function overlayShapes(background, map, top, width, asking, look) {
  const unit = width / map.full.W;
  const height = map.full.H * unit;
  const ground = background && background.muted.width ? `<image width="${width}" height="${height}" preserveAspectRatio="none" xlink:href="${background.muted.toDataURL()}"/>` : `<rect width="${width}" height="${height}" fill="#f4f6f7"/>`;
  const square = (stroke, thick) => `<rect x="${asking[1] * unit}" y="${asking[0] * unit}" width="${unit}" height="${unit}" fill="none" stroke="${stroke}" stroke-width="${thick}"/>`;
  const frame = asking ? square("#000", 5) + square("#fff", 2.5) : "";
  return ground + mapShapes(map, top, unit, { ...look, opacity: background ? look.opacity : 1, titles: true }) + frame;
}

let gradients = 0;
function barShapes(scale, width, { title, opacity = 1, ground = "#f4f6f7" }) {
  const name = `bar${++gradients}`;
  const stops = stopsOf(scale, opacity).map(([at, ink, share]) => `<stop offset="${at}" stop-color="rgb(${ink.join()})" stop-opacity="${share}"/>`);
  const place = (at) => placeOn(scale, at) * width;
  const anchor = (x) => (x === 0 ? "start" : x === width ? "end" : "middle");
  const bar = (fill) => `<rect y="6" width="${width}" height="10" fill="${fill}"/>`;
  const ticks = scale.ticks.map(({ at, text }) => words(place(at), 31, text, anchor(place(at))));
  return `<defs><linearGradient id="${name}">${stops.join("")}</linearGradient></defs>${words(width / 2, 0, title, "middle")}${bar(ground)}${bar(`url(#${name})`)}${ticks.join("")}`;
}

function sheetOf(width, height, title, content) {
  const text = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="13" fill="#1f2933"><title>${escaped(title)}</title><rect width="100%" height="100%" fill="#fff"/>${content}</svg>`;
  return { width, height, blob: new Blob([text], { type: "image/svg+xml" }) };
}

// Shapes have no size: they are drawn anew at each scale.
async function saveSheet({ width, height, blob }, extension, name, scale) {
  if (extension === "svg") return saveBlob(blob, `${name}.svg`);
  const image = new Image();
  image.src = URL.createObjectURL(blob);
  await image.decode();
  const canvas = Object.assign(document.createElement("canvas"), { width: Math.round(width * scale), height: Math.round(height * scale) });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(image.src);
  canvas.toBlob((png) => saveBlob(png, `${name}.png`), "image/png");
}

// What a picture's result is of, in one line.
function originOf({ name, model, digest, side, whole }) {
  return [shortened(name, 60), model, ...(digest ? [`weights ${digest}`] : []), `${side} px`, ...(whole ? ["whole picture"] : [])].join(" · ");
}
