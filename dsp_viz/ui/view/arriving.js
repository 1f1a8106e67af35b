// What of a large layer is here, while a view waits for it: on a slow line that takes seconds.

import { find } from "./elements.js";
import { onArriving } from "./events.js";

/** Milliseconds for which nothing is said: most layers are here by then. */
const PATIENCE = 400;

/** @param {number} bytes */
const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

/**
 * Follows the layers that a view waits for.
 *
 * @param {HTMLElement} root of the view @param {(arriving: import("./events.js").Arriving) => boolean} waits for it
 * @param {(part: import("./layer.js").Block) => void} [show] the scales that are here, again and again
 * @returns {() => void} to be called whenever the view begins to wait, or need not any more
 */
export function followArriving(root, waits, show = () => {}) {
  const place = find(root, ".dv-arriving", HTMLElement);
  const words = find(place, "span", HTMLElement);
  const bar = find(place, "progress", HTMLProgressElement);
  let began = 0;
  onArriving((arriving) => {
    const { bytes, total, part } = arriving;
    if (!waits(arriving) || performance.now() - began < PATIENCE) return;
    place.hidden = bytes === total;
    words.textContent = `${megabytes(bytes)} of ${megabytes(total)} MB of this layer are here`;
    bar.value = bytes / total;
    if (part?.missing) show(part);
  });
  return () => {
    began = performance.now();
    place.hidden = true;
  };
}
