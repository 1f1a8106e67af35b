// A cache bounded in bytes, and a way to drop all answers but the newest.

/**
 * Promised values by name, the ones used last; loaded when they are asked for first.
 *
 * @template T
 */
export class Cache {
  /** @type {Map<string, { value: Promise<T>, bytes: number }>} The one used last comes last. */
  #kept = new Map();

  /**
   * @param {number} limit bytes that are kept; the value that was asked for last is kept whatever its size
   * @param {(value: T) => number} bytesOf
   */
  constructor(limit, bytesOf) {
    this.limit = limit;
    this.bytesOf = bytesOf;
  }

  /**
   * @param {string} name
   * @param {() => Promise<T>} load what fails is not kept
   * @returns {Promise<T>}
   */
  get(name, load) {
    const entry = this.#kept.get(name) ?? { value: load(), bytes: 0 };
    if (!this.#kept.delete(name))
      entry.value.then(
        (value) => {
          entry.bytes = this.bytesOf(value);
          this.#shrink();
        },
        () => this.#kept.get(name) === entry && this.#kept.delete(name),
      );
    this.#kept.set(name, entry);
    return entry.value;
  }

  #shrink() {
    const names = [...this.#kept.keys()].slice(0, -1);
    let total = 0;
    for (const { bytes } of this.#kept.values()) total += bytes;
    for (const name of names) {
      if (total <= this.limit) return;
      total -= this.#kept.get(name)?.bytes ?? 0;
      this.#kept.delete(name);
    }
  }
}

/**
 * Tells the newest of several requests from the older ones, whose answers are dropped, failures too.
 */
export function latest() {
  let newest = 0;
  /**
   * @template T
   * @param {Promise<T>} answer @param {(value: T) => void} arrived @param {(error: unknown) => void} [failed]
   */
  return async (answer, arrived, failed) => {
    const own = ++newest;
    try {
      const value = await answer;
      if (own === newest) arrived(value);
    } catch (error) {
      if (own !== newest) return;
      if (!failed) throw error;
      failed(error);
    }
  };
}
