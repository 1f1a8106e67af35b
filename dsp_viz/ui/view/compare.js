// Comparison: a map that was pinned beside the one that is shown, for the same query. Continues view.js in the same scope.
const comparison = $(".dv-compare");
let pin = null; // { result, picture, block, index, head, scale, stream }

function togglePin() {
  pin = pin ? null : { result, picture, block, index: state.block, head: state.head, scale: state.scale, stream: state.stream };
  $('[data-do="pin"]').textContent = pin ? "Unpin" : "Pin to compare";
  comparison.hidden = !pin;
  draw();
}

// A map on another full grid: the value of the token that lies at the same place of the picture.
function onGrid(map, { H, W }) {
  const values = new Float32Array(H * W);
  for (let r = 0; r < H; r++)
    for (let c = 0; c < W; c++) {
      const row = Math.floor((((r + 0.5) * map.full.H) / H) / map.factor);
      const column = Math.floor((((c + 0.5) * map.full.W) / W) / map.factor);
      values[r * W + c] = map.values[row * map.W + column];
    }
  return values;
}

function drawComparison(now) {
  if (!pin) return;
  const { H, W } = now.full;
  const there = pin.block.scales[0];
  const asked = state.query.map((at, axis) => Math.floor(((at + 0.5) * [there.H, there.W][axis]) / [H, W][axis]));
  const pinned = { block: pin.block, maps: withLayer(pin.block, state.all ? "all" : asked) };
  const before = cell(pin.head, pin.scale, pin.stream, pinned);
  const values = onGrid(now, now.full);
  onGrid(before, now.full).forEach((value, i) => (values[i] -= value));
  const difference = { values, H, W, full: now.full, factor: 1, sign: 1 };
  const top = limit([now, before]);
  const end = limit([difference]);
  const [first, second, third] = comparison.querySelectorAll("canvas");
  const width = Math.min(320, (comparison.clientWidth - 32) / (comparison.clientWidth < 520 ? 1 : 3));
  drawOverlay(first, pin.picture, before, top, width, [null, state.all ? null : asked]);
  drawOverlay(second, picture, now, top, width, [null, state.all ? null : state.query]);
  drawOverlay(third, null, difference, end, width, [null, state.all ? null : state.query]);
  const captions = comparison.querySelectorAll("figcaption");
  captions[0].textContent = `pinned: ${pin.result.name}, block ${pin.index + 1} (0 to ${top.toPrecision(3)} × uniform)`;
  captions[1].textContent = `now: ${result.name}, block ${state.block + 1} (the same scale)`;
  captions[2].textContent = `now − pinned: orange −${end.toPrecision(3)}, teal +${end.toPrecision(3)} × uniform`;
  const side = (block, maps, { head, scale, stream }, map) => {
    const last = scale === block.scales.length;
    return [
      `head ${head + 1}, ${last ? "layer" : `${2 ** scale}×`}, ${STREAMS[stream]}`,
      DspMaths.entropy(maps[scale][head][stream]).toFixed(3),
      Math.max(...map.values).toPrecision(3),
      last ? "–" : block.coefficients[head][scale][stream].toFixed(3),
      last ? "–" : block.weights[head][scale].toFixed(3),
    ];
  };
  const columns = [side(pin.block, pinned.maps, pin, before), side(block, maps, state, now)];
  comparison.querySelectorAll("tbody tr").forEach((row, i) => {
    const cells = row.querySelectorAll("td");
    cells.forEach((td, j) => (td.textContent = columns[j][i]));
  });
}
