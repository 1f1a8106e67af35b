// What each part is worth for one class: a row a block; a cell leads to the maps of its part. `element`, `props` and `watch`
// are Gradio's. Value: { target, logit, heads, scales, streams }, each of the last three [block][part].
const [title, most, table, key] = [".dm-title", ".dm-most", ".dm table", ".dm-key"].map((selector) => element.querySelector(selector));
const OPACITY = 0.75; // numbers stay readable on full colour
const signed = (change) => `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(2)}`;

// Shows a part on the first tab.
function goTo(place) {
  document.querySelector('[role="tab"]').click();
  handleOf("view", "dspView").look(place);
}

function row(tag, texts) {
  const tr = document.createElement("tr");
  tr.append(...texts.map((text, i) => Object.assign(document.createElement(i ? tag : "th"), { textContent: text, scope: i && tag === "td" ? "" : tag === "th" ? "col" : "row" })));
  return tr;
}

function show(value) {
  table.replaceChildren();
  most.textContent = "";
  key.hidden = !value;
  title.textContent = value ? `Logit of ${value.target}, ${value.logit.toFixed(2)}, changes by this when a part of a block is left out. A click shows the part.` : "";
  if (!value) return;
  const groups = { head: value.heads, scale: value.scales, stream: value.streams };
  const names = { head: (i) => `head ${i + 1}`, scale: (i) => `${2 ** i}×`, stream: (i) => ["same", "opposite"][i] };
  const top = Math.max(1e-6, ...Object.values(groups).flat(2).map(Math.abs));
  drawScale(top);
  const columns = Object.entries(groups).flatMap(([kind, values]) => values[0].map((_, i) => [kind, i]));
  const parts = value.heads.flatMap((_, block) => columns.map(([kind, i]) => ({ block, name: names[kind](i), change: groups[kind][block][i] })));
  parts.sort((a, b) => Math.abs(b.change) - Math.abs(a.change));
  most.textContent = `Most: ${parts.slice(0, 5).map(({ block, name, change }) => `block ${block + 1} ${name} ${signed(change)}`).join(", ")}.`;
  table.append(row("th", ["", ...columns.map(([kind, i]) => names[kind](i))]));
  value.heads.forEach((_, block) => {
    const tr = row("td", [`block ${block + 1}`, ...columns.map(() => "")]);
    columns.forEach(([kind, i], at) => {
      const change = groups[kind][block][i];
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: signed(change) });
      button.style.background = rgba(inkOf(change, SAME), OPACITY * shareOf(change, top));
      button.setAttribute("aria-label", `block ${block + 1}, ${names[kind](i)}: ${change.toFixed(2)}`);
      button.addEventListener("click", () => goTo({ block, [kind]: i }));
      tr.children[at + 1].append(button);
    });
    table.append(tr);
  });
}

function drawScale(top) {
  const whole = { values: [-top, top], sign: 1, signed: true, ink: SAME };
  drawBar(key, scaleOf([whole], top), Math.min(360, element.clientWidth || 360), { title: "lower  ← change of the logit →  higher", opacity: OPACITY, unit: "" });
}

watch("value", () => show(props.value));
show(props.value);
