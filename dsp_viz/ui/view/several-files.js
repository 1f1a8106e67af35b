// Files that somebody drops or chooses: which of them are taken, and why the others are not. Knows no server.

/** @typedef {{ name: string, file: File }} Named `name`: with the folders that it lies in */
/** @typedef {{ name: string, fault: string }} Refused */

/** Files that are looked at; a folder may hold the whole disk. */
export const LOOKED_AT = 2000;

/**
 * The files of a drop, those in folders too.
 *
 * @param {DataTransfer} transfer
 * @returns {Promise<Named[]>}
 */
export async function droppedFiles(transfer) {
  // All at once: once this has given way to others, a drop holds nothing.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry !== null);
  if (!entries.length) return [...transfer.files].map((file) => ({ name: file.name, file }));
  /** @type {Named[]} */
  const found = [];
  for (const entry of entries) if (entry) await look(entry, found);
  return found;
}

/** @param {FileSystemEntry} entry @param {Named[]} found */
async function look(entry, found) {
  if (found.length >= LOOKED_AT) return;
  if (entry.isFile) {
    const of = /** @type {FileSystemFileEntry} */ (entry);
    const file = await new Promise((done) => of.file(done, () => done(null)));
    if (file) found.push({ name: entry.fullPath.replace(/^\//, ""), file });
    return;
  }
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  for (;;) {
    // It gives some at a time, and none at the end.
    const some = await new Promise((done) => reader.readEntries(done, () => done([])));
    if (!some.length) return;
    for (const each of some) await look(each, found);
  }
}

/** The files of an input; those of a folder's know where they lie. @param {HTMLInputElement} input @returns {Named[]} */
export const chosenFiles = ({ files }) =>
  [...(files ?? [])].slice(0, LOOKED_AT).map((file) => ({ name: file.webkitRelativePath || file.name, file }));

const byName = new Intl.Collator(undefined, { numeric: true }).compare;

/** The same for a file that is chosen once more, unless it was changed. @param {Named} named */
const identity = ({ name, file }) => JSON.stringify([name, file.size, file.lastModified]);

/** @param {{ name: string }} a @param {{ name: string }} b */
export const inOrder = (a, b) => byName(a.name, b.name);

/**
 * Which files are taken, by name. Hidden ones (.DS_Store and the like) go without a word.
 *
 * @param {Named[]} files @param {number} room for how many @param {{ most: number, largest: number }} bounds
 * @param {Named[]} [there] those that were taken before
 * @returns {{ taken: Named[], refused: Refused[] }}
 */
export function sorted(files, room, { most, largest }, there = []) {
  const known = new Set(there.map(identity));
  /** @type {Named[]} */
  const taken = [];
  /** @type {Refused[]} */
  const refused = [];
  for (const { name, file } of files.toSorted(inOrder)) {
    if (/(^|\/)\./.test(name)) continue;
    /** @param {string} fault */
    const refuse = (fault) => refused.push({ name, fault });
    if (file.type && !file.type.startsWith("image/")) refuse("No picture.");
    else if (file.size > largest) refuse(`Larger than ${largest >> 20} MB.`);
    else if (known.has(identity({ name, file }))) refuse("It is among them already.");
    else if (taken.length >= room) refuse(beyond(most));
    else taken.push({ name, file });
  }
  return { taken, refused };
}

/** What is said of pictures that are too many. @param {number} most */
export const beyond = (most) =>
  `Left out: at most ${most === 1 ? "one picture is" : `${most} pictures are`} shown at once.`;

/** What is said before. @param {{ most: number, largest: number, side: number }} bounds */
export const boundsText = ({ most, largest, side }) =>
  `Up to ${most === 1 ? "one picture" : `${most} pictures`} at ${side} px, each of at most ${largest >> 20} MB.`;

/**
 * What could not be used, in one line for each reason.
 *
 * @param {Refused[]} refused
 * @returns {{ names: string, fault: string }[]}
 */
export function faultLines(refused) {
  return [...Map.groupBy(refused, ({ fault }) => fault)].map(([fault, all]) => {
    const more = all.length > 5 ? ` and ${all.length - 4} more` : "";
    const names = all.slice(0, more ? 4 : 5).map(({ name }) => name);
    return { names: `${names.join(", ")}${more}`, fault };
  });
}
