// Numbers as texts: with a true minus sign, and no zero that has a sign.

/** @param {string} text */
export const minus = (text) => text.replace("-", "−");

/** An area under a curve or a share: three decimals, of what is too small for them two digits. @param {number} value */
export const area = (value) => (value === 0 || value >= 0.0095 ? value.toFixed(3) : value.toPrecision(2));

/** So many decimals. @param {number} value @param {number} [places] */
export function fixed(value, places = 2) {
  const text = value.toFixed(places);
  return Number(text) === 0 ? (0).toFixed(places) : minus(text);
}

/** A change: what grows has a sign too. @param {number} value @param {number} [places] */
export const signed = (value, places = 2) => `${Number(value.toFixed(places)) > 0 ? "+" : ""}${fixed(value, places)}`;
