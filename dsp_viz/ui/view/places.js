// Places in the picture and on its grids: [row, column] from 0, or both as shares of the picture.

/** @typedef {import("./maths.js").Place} Place */
/** @typedef {import("./layer.js").Size} Size */
/** @typedef {import("./layer.js").Grid} Grid */
/** @typedef {Size & { box?: number[] }} Cells A grid; without a box of its own it is all of the picture. */
/** @typedef {[x: number, y: number, width: number, height: number]} Box */

/** @param {number} value @param {number} low @param {number} high */
export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

/** @param {Size} size @param {Place} place @returns {Place} */
export const within = ({ H, W }, [row, column]) => [clamp(row, 0, H - 1), clamp(column, 0, W - 1)];

/** The token in the middle of a grid; Python's default is the same. @param {Size} size @returns {Place} */
export const middle = ({ H, W }) => [Math.floor(H / 2), Math.floor(W / 2)];

const WHOLE = [0, 0, 1, 1];

/** The centre of a token as shares of the picture. @param {Cells} grid @param {Place} place @returns {Place} */
export const centre = ({ H, W, box: [top, left, bottom, right] = WHOLE }, [row, column]) => [
  top + ((row + 0.5) * (bottom - top)) / H,
  left + ((column + 0.5) * (right - left)) / W,
];

/** The token at a place of the picture, or the nearest. @param {Cells} grid @param {Place} at shares @returns {Place} */
export function tokenAt(grid, [y, x]) {
  const [top, left, bottom, right] = grid.box ?? WHOLE;
  const row = Math.floor(((y - top) * grid.H) / (bottom - top));
  return within(grid, [row, Math.floor(((x - left) * grid.W) / (right - left))]);
}

/**
 * A token of one grid on another: the one there that its middle lies in, or the nearest.
 *
 * @param {Place} place @param {Cells} from @param {Cells} to
 * @returns {Place}
 */
export function rounded(place, from, to) {
  const [a, b] = [from.box ?? WHOLE, to.box ?? WHOLE];
  /** @param {0 | 1} axis @param {number} n @param {number} m */
  const along = (axis, n, m) => {
    const odd = 2 * place[axis] + 1;
    // Whole numbers, as Python counts: shares would fall short of an edge that a middle lies on.
    if (a[axis] === b[axis] && a[axis + 2] === b[axis + 2]) return Math.floor((odd * m) / (2 * n));
    const middle = a[axis] + ((a[axis + 2] - a[axis]) * odd) / (2 * n);
    return Math.floor(((middle - b[axis]) / (b[axis + 2] - b[axis])) * m + 1e-9);
  };
  return within(to, [along(0, from.H, to.H), along(1, from.W, to.W)]);
}

/** What the pointer is nearest to in the picture. @param {Place} at shares, or beyond @returns {Place} */
export const inPicture = ([y, x]) => [clamp(y, 0, 1 - 1e-9), clamp(x, 0, 1 - 1e-9)];

/**
 * The place so many tokens of a layer further. It is as exact as before, so that a finer layer loses nothing.
 *
 * @param {Place} at shares @param {Size} page the finest grid @param {Cells} grid of the layer
 * @param {[number, number]} by rows and columns
 * @returns {Place}
 */
export function moved(at, page, grid, by) {
  /** @param {Place} place */
  const tokenOf = (place) => rounded(tokenAt(page, place), page, grid);
  const from = tokenOf(at);
  const to = within(grid, [from[0] + by[0], from[1] + by[1]]);
  const [before, after] = [centre(grid, from), centre(grid, to)];
  /** @type {Place} */
  const next = [at[0] + after[0] - before[0], at[1] + after[1] - before[1]];
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
 * @param {Cells} grid @param {Place} place @param {number} width @param {number} height
 * @returns {Box}
 */
export function tokenBox({ H, W, box = WHOLE }, [row, column], width, height) {
  const [x, y, wide, tall] = boxOf({ H, W, box }, width, height);
  return [x + (column * wide) / W, y + (row * tall) / H, wide / W, tall / H];
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
 * @param {Grid & { values: ArrayLike<number> }} map @param {Cells} size
 */
export function onGrid(map, size) {
  const values = new Float32Array(size.H * size.W);
  for (let i = 0; i < values.length; i++) {
    const key = keyAt(map, centre(size, [Math.floor(i / size.W), i % size.W]));
    if (key) values[i] = map.values[key[0] * map.W + key[1]];
  }
  return values;
}
