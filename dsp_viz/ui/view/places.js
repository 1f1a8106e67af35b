// Places in the picture and on its grids: [row, column] from 0, or both as shares of the picture.

/** @typedef {import("./maths.js").Place} Place */
/** @typedef {import("./layer.js").Size} Size */
/** @typedef {import("./layer.js").Grid} Grid */
/** @typedef {[x: number, y: number, width: number, height: number]} Box */

/** @param {number} value @param {number} low @param {number} high */
export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/** @param {Size} size @param {Place} place @returns {Place} */
export const within = ({ H, W }, [row, column]) => [clamp(row, 0, H - 1), clamp(column, 0, W - 1)];

/** The token in the middle of a grid; Python's default is the same. @param {Size} size @returns {Place} */
export const middle = ({ H, W }) => [Math.floor(H / 2), Math.floor(W / 2)];

/** The centre of a token as shares of the picture. @param {Size} size @param {Place} place @returns {Place} */
export const centre = ({ H, W }, [row, column]) => [(row + 0.5) / H, (column + 0.5) / W];

/** The token at a place of the picture. @param {Size} size @param {Place} at shares @returns {Place} */
export const tokenAt = (size, [y, x]) => within(size, [Math.floor(y * size.H), Math.floor(x * size.W)]);

/**
 * A token of one grid on another: the one there that its middle lies in. In whole numbers, as Python counts: shares
 * would fall short of an edge that a middle lies on.
 *
 * @param {Place} place @param {Size} from @param {Size} to
 * @returns {Place}
 */
export const rounded = ([row, column], from, to) => [
  Math.floor(((2 * row + 1) * to.H) / (2 * from.H)),
  Math.floor(((2 * column + 1) * to.W) / (2 * from.W)),
];

/** What the pointer is nearest to in the picture. @param {Place} at shares, or beyond @returns {Place} */
export const inPicture = ([y, x]) => [clamp(y, 0, 1 - 1e-9), clamp(x, 0, 1 - 1e-9)];

/**
 * The place so many tokens of a layer further. It is as exact as before, so that a finer layer loses nothing.
 *
 * @param {Place} at shares @param {Size} page the finest grid @param {Size} grid of the layer
 * @param {[number, number]} by rows and columns
 * @returns {Place}
 */
export function moved(at, page, grid, by) {
  /** @param {Place} place */
  const tokenOf = (place) => rounded(tokenAt(page, place), page, grid);
  const from = tokenOf(at);
  const to = within(grid, [from[0] + by[0], from[1] + by[1]]);
  /** @type {Place} */
  const next = [at[0] + (to[0] - from[0]) / grid.H, at[1] + (to[1] - from[1]) / grid.W];
  return tokenOf(next).join() === to.join() ? next : centre(grid, to); // grids need not divide each other
}

/**
 * The key at a place of the picture, or null where none lies.
 *
 * @param {Grid} keys @param {Place} at shares
 * @returns {Place | null}
 */
export function keyAt({ H, W, box: [top, left, bottom, right] }, [y, x]) {
  const row = Math.floor(((y - top) / (bottom - top)) * H);
  const column = Math.floor(((x - left) / (right - left)) * W);
  return row < 0 || column < 0 || row >= H || column >= W ? null : [row, column];
}

/**
 * Where a grid lies in a picture of some width and height.
 *
 * @param {Grid} grid @param {number} width @param {number} height
 * @returns {Box}
 */
export function boxOf({ box: [top, left, bottom, right] }, width, height) {
  return [left * width, top * height, (right - left) * width, (bottom - top) * height];
}

/**
 * Where a token lies in it.
 *
 * @param {Size} size @param {Place} place @param {number} width @param {number} height
 * @returns {Box}
 */
export function tokenBox({ H, W }, [row, column], width, height) {
  return [(column * width) / W, (row * height) / H, width / W, height / H];
}

/**
 * Where the keys that are seen lie: in all of a picture's place, or in a window of its grid.
 *
 * @param {Size & { window: import("./rows.js").Box | null }} map @param {Box} place
 * @returns {Box}
 */
export function windowBox({ H, W, window }, [x, y, width, height]) {
  if (!window) return [x, y, width, height];
  const [[top, bottom], [left, right]] = [window.rows, window.columns];
  return [x + (left * width) / W, y + (top * height) / H, ((right - left) * width) / W, ((bottom - top) * height) / H];
}

/**
 * Where the keys that are seen lie when nothing else is shown: in the middle, their cells as wide and tall as all are.
 *
 * @param {Size & { window: import("./rows.js").Box | null }} map @param {Box} place
 * @returns {Box}
 */
export function zoomedBox(map, [x, y, width, height]) {
  const [, , wide, tall] = windowBox(map, [x, y, width, height]);
  const scale = Math.min(width / wide, height / tall);
  return [x + (width - scale * wide) / 2, y + (height - scale * tall) / 2, scale * wide, scale * tall];
}

/**
 * A map on another grid: for each token the value of the key that lies at its centre, 0 where none does.
 *
 * @param {Grid & { values: ArrayLike<number> }} map @param {Size} size
 */
export function onGrid(map, size) {
  const values = new Float32Array(size.H * size.W);
  for (let i = 0; i < values.length; i++) {
    const key = keyAt(map, centre(size, [Math.floor(i / size.W), i % size.W]));
    if (key) values[i] = map.values[key[0] * map.W + key[1]];
  }
  return values;
}
