// What every view does with the page's elements, and what Gradio gives to each.

/**
 * @template V
 * @typedef {object} Mounting What Gradio gives to a component's script.
 * @property {HTMLElement} element
 * @property {{ value: V | null | undefined }} props
 * @property {(name: string, data?: object) => void} trigger tells Python
 * @property {(name: string, changed: () => void) => void} watch
 */

/**
 * The element that a view's own markup has.
 *
 * @template {Element} E
 * @param {ParentNode} root @param {string} selector @param {new () => E} kind
 * @returns {E}
 */
export function find(root, selector, kind) {
  const found = root.querySelector(selector);
  if (!(found instanceof kind)) throw new Error(`no ${kind.name} at ${selector}`);
  return found;
}

/**
 * @template {Element} E
 * @param {ParentNode} root @param {string} selector @param {new () => E} kind
 * @returns {E[]}
 */
export function findAll(root, selector, kind) {
  /** @param {Element} each @returns {each is E} */
  const fits = (each) => each instanceof kind;
  return [...root.querySelectorAll(selector)].filter(fits);
}

/** @typedef {HTMLInputElement | HTMLSelectElement} Control */

/** The controls that set something, by what they set. @param {ParentNode} root @returns {[string, Control][]} */
export function settersOf(root) {
  const inputs = findAll(root, "input[data-set]", HTMLInputElement);
  const selects = findAll(root, "select[data-set]", HTMLSelectElement);
  return [...inputs, ...selects].map((control) => [control.dataset.set ?? "", control]);
}

/** @param {Control} control */
export function valueOf(control) {
  if (control.type === "checkbox") return /** @type {HTMLInputElement} */ (control).checked;
  return control.type === "range" ? Number(control.value) : control.value;
}

/** The choices of a list, which are numbered from 0. @param {HTMLSelectElement} select @param {string[]} names */
export function offerOptions(select, names) {
  if (names.join("\n") !== [...select.options].map(({ text }) => text).join("\n"))
    select.replaceChildren(...names.map((name, i) => new Option(name, String(i))));
}

/** @param {Control} control @param {unknown} value */
export function setValue(control, value) {
  if (control.type === "checkbox") /** @type {HTMLInputElement} */ (control).checked = Boolean(value);
  else control.value = String(value);
}

/**
 * Draws anew when there is more or less room, and when the page turns light or dark.
 *
 * @param {Element} root @param {() => void} draw
 */
export function redrawing(root, draw) {
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(root);
  const turned = new MutationObserver(() => requestAnimationFrame(draw));
  turned.observe(document.body, { attributes: true, attributeFilter: ["class"] });
}

/** A menu closes on Escape, and when the focus or a click goes elsewhere. @param {HTMLDetailsElement} menu */
export function closing(menu) {
  const shut = () => (menu.open = false);
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    shut();
    find(menu, "summary", HTMLElement).focus();
  });
  /** @param {EventTarget | null} target */
  const outside = (target) => target instanceof Node && !menu.contains(target);
  menu.addEventListener("focusout", ({ relatedTarget }) => outside(relatedTarget) && shut());
  document.addEventListener("pointerdown", ({ target }) => outside(target) && shut());
}

/** @param {Blob} blob @param {string} name */
export function saveBlob(blob, name) {
  const address = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

/** @param {string} text @param {string} what @param {HTMLElement} place where it is said how it went */
export async function copyText(text, what, place) {
  try {
    await navigator.clipboard.writeText(text);
    const told = `${what} copied.`;
    place.textContent = told;
    setTimeout(() => place.textContent === told && place.replaceChildren(), 3000);
  } catch {
    const close = Object.assign(document.createElement("button"), { type: "button", textContent: "Close" });
    close.addEventListener("click", () => place.replaceChildren());
    place.replaceChildren(`Copying is not allowed here. ${what}: ${text} `, close);
  }
}

/** @type {Record<string, [number, number]>} */
export const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/**
 * A pointer that is pressed on an element, and then drawn along while it is held.
 *
 * @param {HTMLElement} element @param {(event: PointerEvent) => void} point
 */
export function onDrag(element, point) {
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    point(event);
  });
  element.addEventListener("pointermove", (event) => {
    if (event.buttons && element.hasPointerCapture(event.pointerId)) point(event);
  });
}
