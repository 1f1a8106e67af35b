// Layers by stage and block: the two levels of a pyramid, whose grids differ. A model of one grid has one stage, of
// which nobody speaks.

/**
 * @typedef {object} Facts What a page knows of a layer before its bytes arrive.
 * @property {number} stage from 0
 * @property {[number, number]} grid rows and columns
 * @property {number} heads
 * @property {string} kind the attention in words
 */
/** @typedef {{ layers: number[], grid: [number, number] }} Stage Its layers, in order, and their grid. */

/**
 * The stages in order.
 *
 * @param {Pick<Facts, "stage" | "grid">[]} layers
 * @returns {Stage[]}
 */
export function stagesOf(layers) {
  /** @type {Map<number, Stage>} */
  const found = new Map();
  layers.forEach(({ stage, grid }, index) => {
    const known = found.get(stage);
    if (known) known.layers.push(index);
    else found.set(stage, { layers: [index], grid });
  });
  return [...found.values()];
}

/**
 * Which stage a layer is of, and which block of it, both from 0.
 *
 * @param {Stage[]} stages @param {number} index
 */
export function levelsOf(stages, index) {
  const stage = stages.findIndex(({ layers }) => layers.includes(index));
  return { stage, block: stages[stage].layers.indexOf(index) };
}

/** A layer in words, as Python says it too. @param {Pick<Facts, "stage" | "grid">[]} layers @param {number} index */
export function blockText(layers, index) {
  const stages = stagesOf(layers);
  const { stage, block } = levelsOf(stages, index);
  return stages.length > 1 ? `stage ${stage + 1} · block ${block + 1}` : `block ${block + 1}`;
}

/** The choices of a stage, each with its grid. @param {Stage[]} stages */
export const stageNames = (stages) => stages.map(({ grid }, i) => `${i + 1}: ${grid.join("×")}`);
