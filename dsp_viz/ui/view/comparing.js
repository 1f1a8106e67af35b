// Choices, pointer and keys of a comparison, its links, and what can be taken away. Continues compare.js in the same scope.

// The choices of a side, as its result has them.
function fill(select) {
  const side = sides[select.dataset.side];
  const { block, result } = side;
  const count = (n) => Array.from({ length: n }, (_, i) => i);
  const names = {
    block: count(result.blocks).map((i) => i + 1),
    head: count(block.heads).map((i) => i + 1),
    scale: count(scaleCount(block)).map((s) => scaleName(block, s)),
    stream: streamsOf(block),
  }[select.dataset.key];
  if (select.options.length !== names.length || [...select.options].some((option, i) => option.text !== String(names[i])))
    select.replaceChildren(...names.map((name, i) => new Option(name, i)));
  select.value = select.dataset.key === "block" ? side.index : side[select.dataset.key];
}

const again = () => sides.every((side) => side.result) && show({ ...props.value, a: sides[0].result, b: sides[1].result });

root.addEventListener("input", ({ target }) => {
  if (target.dataset.set) {
    Object.assign(target.dataset.set === "smooth" ? look : state, { [target.dataset.set]: target.checked });
    if (target.dataset.set === "together" && target.checked) {
      const { index, head, scale, stream } = sides[0];
      Object.assign(sides[1], { index, head, scale, stream });
    }
  } else if (target.dataset.key) {
    const key = target.dataset.key === "block" ? "index" : target.dataset.key;
    for (const side of state.together ? sides : [sides[target.dataset.side]]) side[key] = Number(target.value);
  } else return;
  again();
});

const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
[canvases[0], canvases[1]].forEach((canvas, i) => {
  const ask = (token) => {
    const { H, W } = sides[i].block.scales[0];
    state.at = shareOfPicture(token, [H, W]);
    update();
  };
  const point = (event) => sides[i].block && ask(tokenAt(event, canvas, sides[i].block.scales[0]));
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    point(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && canvas.hasPointerCapture(event.pointerId) && point(event));
  canvas.addEventListener("keydown", (event) => {
    if (!MOVES[event.key] || !sides[i].block || event.ctrlKey || event.metaKey || event.altKey) return;
    ask(sides[i].asked.map((at, axis) => at + MOVES[event.key][axis]));
    event.preventDefault();
  });
});

// ---- links -------------------------------------------------------------------------------------------------------------

const CHOICES = { pictureA: "Picture A", modelA: "Model A", pictureB: "Picture B", modelB: "Model B" };

// What a link says of the comparison.
function told() {
  // What was analysed goes by its own name on the screen.
  const value = (label) => document.querySelector(`input[aria-label="${label}"]`)?.value.replace(/^.*, as analysed$/, "the picture on the left");
  const chosen = Object.entries(CHOICES).map(([name, label]) => [name, value(label)]);
  if (!sides.every((side) => side.maps)) return Object.fromEntries(chosen);
  const [a, b] = sides.map(({ index, ...side }) => ({ ...side, block: index }));
  return { ...Object.fromEntries(chosen), query: state.all ? "all" : sides[0].asked, smooth: look.smooth, a, b };
}

// Sets what a link says of the comparison; of the tab What if, which has one too, links say less.
function restore(view) {
  const { tab, query, smooth, a, b } = readAddress(view);
  if (tab !== "compare") return;
  [a, b].forEach((place, i) => {
    if (!place) return;
    const { block: index, head, scale, stream } = place;
    Object.assign(sides[i], { index, head, scale, stream });
  });
  state.together = !a || !b || writeAddress({ a }).slice(2) === writeAddress({ a: b }).slice(2);
  state.all = query === "all";
  look.smooth = Boolean(smooth);
  wanted = Array.isArray(query) ? query : null;
  for (const control of root.querySelectorAll("[data-set]")) control.checked = (control.dataset.set === "smooth" ? look : state)[control.dataset.set];
}

// ---- taking away ---------------------------------------------------------------------------------------------------------

// The three maps, each with its bar, and below them the numbers.
function sheet() {
  const [margin, top, width] = [24, 96, 380];
  const drawn = allShown();
  const columns = sides.map((side, i) => numbers(side, drawn[i].map));
  const heads = [...root.querySelectorAll("tbody th")].map((th) => th.textContent);
  const heights = drawn.map(({ map }) => (width * map.full.H) / map.full.W);
  const below = top + Math.max(...heights) + 90;
  const asked = state.all ? "all queries, averaged" : `token row ${sides[0].asked[0] + 1}, column ${sides[0].asked[1] + 1} of ${titles[0]}`;
  const names = [...sides.map((side, i) => `${titles[i]}: ${originOf(side.result)}`), `${titles[1]} − ${titles[0]}`];
  const content = drawn.map(({ map, top: end, scale, picture, asking, look: how }, i) => {
    const bar = barShapes(scale, width, { title: i < 2 ? "× uniform, one scale for both" : "difference, × uniform", opacity: how.opacity, ground: picture?.ground });
    const title = words(0, -28, shortened(names[i], 62), "start", 700) + (i < 2 ? words(0, -10, mapName(sides[i])) : "");
    return group(margin + i * (width + margin), top, title + overlayShapes(picture, map, end, width, asking, how) + group(0, heights[i] + 26, bar));
  });
  const row = (cells, y, weight) => cells.map((text, i) => words(margin + [0, 300, 680][i], y, shortened(text, 54), "start", weight)).join("");
  const table = [row(["for the same query", ...titles], below, 700), ...heads.map((head, i) => row([head, columns[0][i], columns[1][i]], below + 20 * (i + 1), 400))];
  const size = [3 * width + 4 * margin, Math.ceil(below + 20 * heads.length + margin)];
  return sheetOf(...size, names.join(" | "), [words(margin, 34, asked), ...content, ...table].join(""));
}

const picked = (extension) => () => {
  const [a, b] = sides.map(({ result }) => `${result.name}-${result.model}`);
  saveSheet(sheet(), extension, `${a}-and-${b}`, Number(root.querySelector("[data-scale]").value));
};
const ACTIONS = { png: picked("png"), svg: picked("svg") };
for (const button of root.querySelectorAll("[data-do]")) button.addEventListener("click", () => sides.every((side) => side.maps) && ACTIONS[button.dataset.do]());
closing(root.querySelector(".dv-menu"));

new ResizeObserver(() => requestAnimationFrame(draw)).observe(root);
new MutationObserver(() => requestAnimationFrame(draw)).observe(document.body, { attributes: true, attributeFilter: ["class"] });
element.dspCompare = { state, sides, look, told }; // for tests and the curious
window.addEventListener("hashchange", () => {
  restore(location.hash.slice(1));
  again();
});
watch("value", () => show(props.value));
restore(location.hash.slice(1));
show(props.value);
