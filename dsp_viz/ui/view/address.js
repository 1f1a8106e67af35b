// What the part of the page's address behind the # says: one table for both directions. What cannot be read is
// ignored; nothing here throws. Python reads the same names.

/**
 * @template T
 * @typedef {object} Kind
 * @property {(text: string) => T | undefined} parse
 * @property {(value: T) => string} print
 * @property {T} [unsaid] what a link need not say
 */

/**
 * @typedef {{ block: number, head: number, scale: number, stream: number }} Part
 * @typedef {{ [K in keyof typeof ADDRESS]?: NonNullable<ReturnType<(typeof ADDRESS)[K]["parse"]>> }} Said
 */

/**
 * @template T
 * @param {(text: string) => T | undefined} parse @param {(value: T) => string} [print]
 * @returns {Kind<T>}
 */
const kind = (parse, print = String) => ({ parse, print });

/** @param {string} text @param {number} count */
function numbers(text, count) {
  const parts = text.split(",");
  return parts.length === count && parts.every((part) => /^\d{1,5}$/.test(part)) ? parts.map(Number) : undefined;
}

/** @template {string} T @param {T[]} names @returns {Kind<T>} */
const oneOf = (...names) => kind((text) => names.find((name) => name === text));

const index = kind((text) => numbers(text, 1)?.[0]);
const words = kind((text) => (text && text.length <= 200 ? text : undefined));
/** An example, a token, or a picture of a survey by its path. */
const picture = kind((text) => (text && text.length <= 1000 ? text : undefined));
const flag = kind((text) => (text === "true" || text === "false" ? text === "true" : undefined));
const share = kind((text) => (/^(0(\.\d{1,4})?|1(\.0{1,4})?)$/.test(text) ? Number(text) : undefined));
/** A token of the grid, all of them, or one without a place by its name. @type {Kind<string | [number, number]>} */
const token = kind((text) => {
  if (/^[\p{L}_][\p{L}\p{N} _.-]{0,39}$/u.test(text)) return text;
  const found = numbers(text, 2);
  return found && [found[0], found[1]];
});
/** @type {Kind<Part>} */
const part = kind(
  (text) => {
    const found = numbers(text, 4);
    return found && { block: found[0], head: found[1], scale: found[2], stream: found[3] };
  },
  ({ block, head, scale, stream }) => [block, head, scale, stream].join(),
);
const list = kind((text) => {
  try {
    return Array.isArray(JSON.parse(text)) ? text : undefined;
  } catch {
    return undefined;
  }
});
const tabs = oneOf(
  "maps",
  "overview",
  "filters",
  "coefficients",
  "weights",
  "history",
  "compare",
  "several",
  "whatif",
  "relevance",
  "atlas",
);

const ADDRESS = {
  picture,
  model: words,
  side: index,
  whole: { ...flag, unsaid: false },
  class: words,
  tab: { ...tabs, unsaid: "maps" },
  block: index,
  head: { ...index, unsaid: 0 },
  scale: { ...index, unsaid: 0 },
  stream: { ...index, unsaid: 0 },
  query: token,
  show: { ...oneOf("maps", "index"), unsaid: "maps" },
  colours: { ...oneOf("shared", "own", "fixed"), unsaid: "shared" },
  opacity: { ...share, unsaid: 0.85 },
  smooth: { ...flag, unsaid: false },
  seen: { ...flag, unsaid: false },
  pictureA: words,
  modelA: words,
  pictureB: words,
  modelB: words,
  overview: { ...index, unsaid: 0 },
  a: part,
  b: part,
  quantity: words,
  heads: { ...flag, unsaid: false },
  of: words,
  cell: part,
  interventions: { ...list, unsaid: "[]" },
};
const ROWS = /** @type {[string, Kind<any>][]} */ (Object.entries(ADDRESS));

/** @param {string} text @returns {Said} */
export function readAddress(text) {
  const parts = new URLSearchParams(text);
  /** @type {Record<string, unknown>} */
  const said = {};
  for (const [name, { parse }] of ROWS) {
    const written = parts.get(name);
    const value = written === null ? undefined : parse(written);
    if (value !== undefined) said[name] = value;
  }
  return said;
}

/** @param {Said} values */
export function writeAddress(values) {
  const parts = new URLSearchParams();
  for (const [name, { parse, print, unsaid }] of ROWS) {
    const value = /** @type {Record<string, unknown>} */ (values)[name];
    if (value === undefined || value === unsaid) continue;
    const text = print(value);
    if (parse(text) !== undefined) parts.set(name, text);
  }
  return parts.toString();
}
