// What the page around the views lacks. Runs with the polarity view, which every page has, in its scope.

// ---- links -------------------------------------------------------------------------------------------------------------

// A link was opened in this tab: Python restores the picture, the model and the tab; settings of the same result are set
// here, since Python then has no news.
window.addEventListener("hashchange", () => {
  const text = location.hash.slice(1);
  const field = document.querySelector("#address :is(textarea, input)");
  if (field) {
    field.value = text;
    // The first makes it the textbox's value; Gradio takes the second, and only that, for somebody's input.
    for (const event of [new Event("input", { bubbles: true }), new KeyboardEvent("keypress", { key: "#", bubbles: true })]) field.dispatchEvent(event);
  }
  const { picture: wanted, model, side, whole = false } = readAddress(text);
  if (!result || ![result.example, result.token].includes(wanted)) return;
  if ((model ?? result.model) === result.model && (side ?? result.side) === result.side && whole === result.whole) restore(text);
});

// One button for all tabs; it says how it went.
const linking = document.querySelector("#copy-link");
linking.addEventListener("click", async () => {
  if (!result) return;
  history.replaceState(null, "", link());
  const copied = await navigator.clipboard.writeText(location.href).then(() => true, () => false);
  linking.textContent = copied ? "Link copied" : "It is in the address bar";
  setTimeout(() => (linking.textContent = "Copy link"), 3000);
});

// Tabs that have nothing to show of the model are hidden in the menu of a narrow page as well; it is made anew each time.
function hideUnfit() {
  const unfit = JSON.parse(document.querySelector("#fitting style")?.dataset.unfit ?? "[]");
  for (const button of document.querySelectorAll(".overflow-dropdown button")) {
    const display = unfit.includes(button.textContent.trim()) ? "none" : "";
    if (button.style.display !== display) button.style.display = display;
  }
}

// ---- pictures ------------------------------------------------------------------------------------------------------------

// A pasted picture goes into the upload field, which has one while it is empty.
document.addEventListener("paste", async (event) => {
  if (event.target.closest?.("input, textarea, [contenteditable]")) return;
  const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
  if (!file) return;
  event.preventDefault();
  const field = () => document.querySelector("#picture input[type=file]");
  document.querySelector('#picture [aria-label="Remove Image"]')?.click();
  for (let frames = 0; !field() && frames < 120; frames++) await new Promise(requestAnimationFrame);
  if (!field()) return;
  const files = new DataTransfer();
  files.items.add(file);
  field().files = files.files;
  field().dispatchEvent(new Event("change", { bubbles: true }));
});

// ---- what Gradio draws -----------------------------------------------------------------------------------------------

// The gallery calls its pictures "Thumbnail 1 of 12"; their captions are better names.
function nameExamples() {
  for (const button of document.querySelectorAll("#examples button")) {
    const name = button.querySelector(".caption-label")?.textContent.trim();
    if (name && button.getAttribute("aria-label") !== name) Object.assign(button, { ariaLabel: name, title: name });
  }
}

// A figure that is drawn while its tab is hidden gets a width of its own: it is fitted once it can be seen.
function fit(plot) {
  const { clientWidth } = plot.parentElement ?? {};
  if (!clientWidth || !plot._fullLayout) return;
  if (Math.abs(plot._fullLayout.width - clientWidth) > 1) window.Plotly.Plots.resize(plot);
  // Panels of squares are as tall as their width lets them be: on a narrow page the rest would be empty.
  if (!plot.closest("#gain, #phase, #kernel, #past-gain")) return;
  plot.dataset.full ??= plot._fullLayout.height;
  const height = Math.min(Number(plot.dataset.full), Math.round(190 + clientWidth / 2));
  if (Math.abs(plot._fullLayout.height - height) > 1) window.Plotly.relayout(plot, { height });
}

// Titles of a narrow figure neither run into each other nor off its edge: they get smaller.
function shrinkTitles(plot) {
  const all = [...plot.querySelectorAll(".annotation")].map((part) => ({ at: part.dataset.index, box: part.querySelector(".annotation-text-g").getBoundingClientRect() }));
  const { left, right } = plot.getBoundingClientRect();
  const smaller = {};
  for (const { at, box } of all) {
    if (!box.width || box.height > 2 * box.width) continue; // hidden, or upright
    const middleOf = (b) => (b.left + b.right) / 2;
    const room = [2 * Math.min(middleOf(box) - left, right - middleOf(box))];
    for (const other of all) if (other.at !== at && Math.abs(other.box.top - box.top) < 3) room.push((2 * Math.abs(middleOf(other.box) - middleOf(box)) * box.width) / (box.width + other.box.width));
    const { size } = plot._fullLayout.annotations[at].font;
    const fitting = Math.max(7, Math.floor((size * (Math.min(...room) - 3)) / box.width));
    if (fitting < size) smaller[`annotations[${at}].font.size`] = fitting;
  }
  if (Object.keys(smaller).length) window.Plotly.relayout(plot, smaller);
}

const sizes = new ResizeObserver((entries) => entries.forEach(({ target }) => requestAnimationFrame(() => target.querySelectorAll(".js-plotly-plot").forEach(fit))));
function watchPlots() {
  for (const plot of document.querySelectorAll(".js-plotly-plot:not([data-fitted])")) {
    if (!plot.on) continue; // not drawn yet
    plot.dataset.fitted = "";
    plot.on("plotly_afterplot", () => {
      fit(plot);
      if (plot.clientWidth) shrinkTitles(plot);
    });
    if (plot.clientWidth) shrinkTitles(plot);
    sizes.observe(plot.parentElement);
  }
}

new MutationObserver(() => {
  nameExamples();
  hideUnfit();
  watchPlots();
}).observe(document.body, { childList: true, subtree: true });
nameExamples();
watchPlots();
