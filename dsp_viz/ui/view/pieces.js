// The pieces of a result: its layers and its picture, fetched when they are needed.

import { Cache } from "./cache.js";
import { rgba } from "./colours.js";
import { tellArriving } from "./events.js";
import { decode, Reader } from "./layer.js";

/**
 * @typedef {object} Result A manifest, as Python makes it.
 * @property {string} [token] under which the pieces lie; a page that was taken away has them in itself
 * @property {import("./stages.js").Facts[]} layers
 * @property {[number, number]} grid the finest one of the picture, rows and columns
 * @property {string} name of the picture
 * @property {string | null} example its name, where it is one
 * @property {string} model
 * @property {string} digest of its weights
 * @property {number} side
 * @property {boolean} whole
 * @property {boolean} [stretch]
 * @property {string} [note] on its file, or ""
 * @property {[string, number] | null} best class and its probability
 * @property {boolean} [unsure] whether the model is not sure of it
 * @property {number | null} [verified] largest relative error with which maps rebuild what a layer put out
 * @property {string} [rounded] to which type coarser than float32 the numbers were, or ""
 * @property {string[]} [refused] what is said of layers that are not shown
 * @property {string | null} [view] part of a link that restores the settings
 * @property {Record<string, string>} [pieces] in a page that was taken away: base64
 * @property {boolean} [packed] whether those of layers are packed with gzip
 */

/** @typedef {import("./layer.js").Block} Block */
/**
 * A picture, and the same muted, to lie under a map.
 *
 * @typedef {{ muted: HTMLCanvasElement, ground?: string }} Muted `ground`: its mean colour
 * @typedef {Muted & { image: HTMLImageElement }} Picture
 */

/** How exactly the maps rebuild what the layers put out, where that is known. @param {Result} result */
export const proofOf = ({ verified, rounded }) =>
  verified == null ? [] : [`maps verified: ${verified.toExponential(1)}${rounded ? `, rounded to ${rounded}` : ""}`];

/** @param {Result} result @param {string | number} piece */
export function pieceAddress(result, piece) {
  if (result.pieces) return `data:application/octet-stream;base64,${result.pieces[piece]}`;
  return new URL(`results/${result.token}/${piece}`, document.baseURI).href;
}

/** The server has the result no more: another analysis helps. */
class Gone extends Error {}

/** The server's answer did not come, or not all of it: asking again may help. */
class Broken extends Error {}

/** @param {string} address */
export async function fetched(address) {
  const answer = await fetch(address).catch(() => null);
  if (answer?.ok) return answer;
  if (answer?.status === 404) throw new Gone("This result is no longer kept.");
  throw new Broken("The server does not answer. Is it still running?");
}

/**
 * Says what went wrong; where something helps, with a button that does it.
 *
 * @param {HTMLElement} place @param {unknown} error @param {() => void} analyse the pictures again
 * @param {() => void} [load] the pieces again
 */
export function tellFault(place, error, analyse, load = analyse) {
  place.replaceChildren(error instanceof Error ? error.message : String(error));
  if (!(error instanceof Gone || error instanceof Broken)) return;
  const [textContent, help] = error instanceof Gone ? ["Analyse again", analyse] : ["Try again", load];
  const button = Object.assign(document.createElement("button"), { type: "button", textContent });
  button.addEventListener("click", () => {
    place.textContent = "One moment …";
    help();
  });
  place.append(" ", button);
}

/** Bytes from which on the way of a layer is told, and its scales are shown as they come. */
const LARGE = 2 ** 20;

/** @param {Block} block */
const bytesOf = ({ scales }) =>
  scales.reduce(
    (sum, { left, right, average }) => sum + left.byteLength + right.byteLength + (average?.byteLength ?? 0),
    0,
  );

/** Shared by all views of the page. @type {Cache<Block>} */
const blocks = new Cache(64 * 2 ** 20, bytesOf);

/** @param {Result} result @param {number} index */
export function loadBlock(result, index) {
  return blocks.get(`${result.token}/${index}`, async () => {
    const answer = await fetched(pieceAddress(result, index));
    // Of what is packed, here or on its way, the length is another.
    const packed = result.packed || answer.headers.has("content-encoding");
    const total = packed ? 0 : Number(answer.headers.get("content-length"));
    if (total > LARGE && answer.body)
      return readAsItComes(answer.body, total, (arrived) => tellArriving({ token: result.token, index, ...arrived }));
    const unpacked = result.packed ? answer.body?.pipeThrough(new DecompressionStream("gzip")) : answer.body;
    const bytes = await new Response(unpacked).arrayBuffer().catch(() => null);
    if (!bytes) throw broken();
    return decode(bytes);
  });
}

const broken = () => new Broken("The line broke while the layer was on its way.");

/**
 * A large layer, of which it is said how much is here.
 *
 * @param {ReadableStream<Uint8Array>} body @param {number} total bytes of it
 * @param {(arrived: { bytes: number, total: number, part: Block | null }) => void} tell `part`: the scales that are here
 * @returns {Promise<Block>}
 */
async function readAsItComes(body, total, tell) {
  const buffer = new Uint8Array(total);
  const reader = new Reader(buffer.buffer);
  const stream = body.getReader();
  /** @type {Block | null} */
  let part = null;
  try {
    for (let bytes = 0; bytes < total;) {
      const { value } = await stream.read().catch(() => ({ value: undefined }));
      if (!value || bytes + value.byteLength > total) throw broken();
      buffer.set(value, bytes);
      bytes += value.byteLength;
      part = reader.read(bytes);
      tell({ bytes, total, part });
    }
  } catch (error) {
    stream.cancel().catch(() => {});
    throw error;
  }
  return /** @type {Block} */ (part);
}

/**
 * The picture: the part that the model saw, in its own resolution, or as the model saw it.
 *
 * @param {Result} result @param {boolean} [seen]
 * @returns {Promise<Picture>}
 */
export async function loadPicture(result, seen = false) {
  const image = new Image();
  image.src = pieceAddress(result, seen ? "picture" : "sharp");
  await image.decode().catch(() => {});
  return { image, ...mute(image) };
}

/**
 * The picture muted and small, for where there are many.
 *
 * @param {Result} result @param {number} longest side in pixels
 */
export async function loadSmall(result, longest) {
  const image = new Image();
  image.src = pieceAddress(result, "sharp");
  await image.decode().catch(() => {});
  return mute(image, longest);
}

/**
 * The picture fades to gray, so that a map's colour is never mistaken for the picture's, and to white, so that a faint
 * one is seen on it: colours of maps are about as dark as a usual picture.
 *
 * @param {HTMLImageElement} image @param {number} [longest] side in pixels
 */
function mute(image, longest = Infinity) {
  const muted = document.createElement("canvas");
  const { naturalWidth: width, naturalHeight: height } = image;
  const scale = Math.min(1, longest / Math.max(width, height));
  Object.assign(muted, { width: Math.round(scale * width), height: Math.round(scale * height) });
  const context = muted.getContext("2d");
  if (!muted.width || !context) return { muted };
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, muted.width, muted.height);
  const pixels = context.getImageData(0, 0, muted.width, muted.height);
  const { data } = pixels;
  const sums = [0, 0, 0];
  for (let i = 0; i < data.length; i += 4) {
    const gray = 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2];
    for (let c = 0; c < 3; c++) {
      const faded = data[i + c] + 0.65 * (gray - data[i + c]);
      sums[c] += data[i + c] = faded + 0.4 * (255 - faded);
    }
  }
  context.putImageData(pixels, 0, 0);
  const [red, green, blue] = sums.map((sum) => Math.round((4 * sum) / data.length));
  return { muted, ground: rgba([red, green, blue], 1) };
}
