// Arrays as numpy reads them: the NPY format, version 1.0 (numpy.lib.format).

/**
 * @param {string} type such as "<f4" @param {number[]} shape @param {Uint8Array<ArrayBuffer>} data row-major
 */
function npyOf(type, shape, data) {
  const tuple = `(${shape.map((length) => `${length},`).join("")})`;
  const told = `{'descr': '${type}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const before = 10; // magic, version, length of the header
  const length = Math.ceil((before + told.length + 1) / 64) * 64 - before; // the data start at a multiple of 64
  const head = new Uint8Array([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, length & 255, length >> 8]);
  const header = new TextEncoder().encode(`${told.padEnd(length - 1)}\n`);
  const bytes = new Uint8Array(before + length + data.length);
  bytes.set(head);
  bytes.set(header, before);
  bytes.set(data, before + length);
  return bytes;
}

/** Numbers of a shape. @param {Float32Array<ArrayBuffer>} values @param {number[]} shape */
export const npyOfNumbers = (values, shape) => npyOf("<f4", shape, new Uint8Array(values.buffer));

/** One string, an array without axes. @param {string} text */
export function npyOfText(text) {
  const points = Uint32Array.from(text, (character) => character.codePointAt(0) ?? 0);
  return npyOf(`<U${points.length}`, [], new Uint8Array(points.buffer));
}
