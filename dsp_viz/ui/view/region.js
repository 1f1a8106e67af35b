// A region of the picture, drawn by hand, token by token. Follows maths.js and parts.js in a scope of its own; `element`,
// `props`, `trigger` and `watch` are Gradio's. Value: the manifest of the result whose picture is shown, and `tokens`, the
// region that is written in the list.
const canvas = element.querySelector(".dr canvas");
let result = null;
let picture = null;
let inside = new Set(); // tokens as "row,column"
let at = [0, 0];
let adding = true; // what the stroke that is being drawn does
let stroke = null; // its pointer

async function show(value) {
  if (!value) return;
  if (!result || value.token !== result.token) {
    result = value;
    picture = null;
    const loaded = await loadPicture(value);
    if (result !== value) return;
    picture = loaded;
    at = [0, 0];
  }
  if (stroke === null) inside = new Set(value.tokens.map((token) => token.join()));
  draw();
}

function draw() {
  if (!picture || !element.clientWidth) return;
  const [H, W] = result.grid;
  const width = Math.min(320, element.clientWidth);
  const height = (width * H) / W;
  const context = prepare(canvas, width, height);
  context.drawImage(picture.muted, 0, 0, width, height);
  const box = ([row, column]) => [(column * width) / W, (row * height) / H, width / W, height / H];
  context.fillStyle = `rgba(${SAME.join()},.55)`;
  for (const token of inside) context.fillRect(...box(token.split(",").map(Number)));
  context.strokeStyle = "#fff";
  context.lineWidth = 1.5;
  if (document.activeElement === canvas) context.strokeRect(...box(at));
}

function set(token) {
  at = token;
  if (adding) inside.add(at.join());
  else inside.delete(at.join());
  draw();
}

// All tokens on the way: a fast pointer tells few of them.
function strokeTo(token) {
  const from = at;
  const count = Math.max(...token.map((place, axis) => Math.abs(place - from[axis])));
  for (let i = 1; i <= count; i++) set(from.map((place, axis) => Math.round(place + ((token[axis] - place) * i) / count)));
}

function announce() {
  const tokens = [...inside].map((token) => token.split(",").map(Number));
  trigger("draw", { grid: result.grid, tokens });
}

const token = (event) => tokenAt(event, canvas, { H: result.grid[0], W: result.grid[1] });
canvas.addEventListener("pointerdown", (event) => {
  if (!picture) return;
  canvas.setPointerCapture(event.pointerId);
  stroke = event.pointerId;
  adding = !inside.has(token(event).join());
  set(token(event));
});
canvas.addEventListener("pointermove", (event) => event.pointerId === stroke && strokeTo(token(event)));
for (const end of ["pointerup", "pointercancel"])
  canvas.addEventListener(end, (event) => {
    if (event.pointerId !== stroke) return;
    stroke = null;
    announce();
  });
canvas.addEventListener("keydown", (event) => {
  const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], " ": [0, 0] }[event.key];
  if (!move || !picture) return;
  event.preventDefault();
  at = at.map((place, axis) => clamp(place + move[axis], 0, result.grid[axis] - 1));
  if (event.key === " ") {
    adding = !inside.has(at.join());
    set(at);
    announce();
  } else draw();
});
canvas.addEventListener("focus", draw);
canvas.addEventListener("blur", draw);
new ResizeObserver(() => requestAnimationFrame(draw)).observe(element);
element.dspRegion = () => inside; // for tests and the curious
watch("value", () => show(props.value));
show(props.value);
