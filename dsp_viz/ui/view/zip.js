// A ZIP archive of files as they are (APPNOTE 4.3): nothing is compressed, as PNG and the like hardly get smaller.

/** @typedef {{ name: string, data: Uint8Array<ArrayBuffer> }} Member */

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

/** The checksum that ZIP files have. @param {Uint8Array} data */
export function crc32(data) {
  let sum = 0xffffffff;
  for (let i = 0; i < data.length; i++) sum = TABLE[(sum ^ data[i]) & 255] ^ (sum >>> 8);
  return ~sum >>> 0;
}

const UTF8 = 1 << 11; // names are
const DAY = (1 << 5) | 1; // 1 January 1980, the first there is: the same files give the same bytes

/** Numbers of two or four bytes, the low one first. @param {[size: 2 | 4, value: number][]} fields */
function packed(fields) {
  const bytes = new Uint8Array(fields.reduce((sum, [size]) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return bytes;
}

/**
 * @param {Member[]} members at most 65,535, of less than 4 GB together
 * @returns {Blob}
 */
export function zipOf(members) {
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const parts = [];
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const index = [];
  let at = 0;
  for (const { name, data } of members) {
    const words = new TextEncoder().encode(name);
    /** @type {[2 | 4, number][]} */
    const facts = [
      ...[
        [2, 20],
        [2, UTF8],
        [2, 0],
        [2, 0],
        [2, DAY],
        [4, crc32(data)],
        [4, data.length],
        [4, data.length],
      ],
      [2, words.length],
      [2, 0],
    ].map(([size, value]) => [size === 2 ? 2 : 4, value]);
    parts.push(packed([[4, 0x04034b50], ...facts]), words, data);
    index.push(packed([[4, 0x02014b50], [2, 20], ...facts, [2, 0], [2, 0], [2, 0], [4, 0], [4, at]]), words);
    at += 30 + words.length + data.length;
  }
  const length = index.reduce((sum, part) => sum + part.length, 0);
  const count = members.length;
  const end = packed([
    [4, 0x06054b50],
    [2, 0],
    [2, 0],
    [2, count],
    [2, count],
    [4, length],
    [4, at],
    [2, 0],
  ]);
  return new Blob([...parts, ...index, end], { type: "application/zip" });
}
