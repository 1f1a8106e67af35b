// What the part of the page's address behind the # says: for each name, how its text is read and written. What cannot
// be read counts as not said; nothing here throws. Python reads the same names.
const ADDRESS = (() => {
  const numbers = (text, count) => {
    const parts = text.split(",");
    return parts.length === count && parts.every((part) => /^\d{1,5}$/.test(part)) ? parts.map(Number) : undefined;
  };
  const type = (parse, print = String) => ({ parse, print });
  const index = type((text) => numbers(text, 1)?.[0]);
  const words = type((text) => (text && text.length <= 200 ? text : undefined));
  const flag = type((text) => (text === "true" || text === "false" ? text === "true" : undefined));
  const share = type((text) => (/^(0(\.\d{1,4})?|1(\.0{1,4})?)$/.test(text) ? Number(text) : undefined));
  const oneOf = (...names) => type((text) => (names.includes(text) ? text : undefined));
  const token = type((text) => (text === "all" ? "all" : numbers(text, 2)));
  const place = type((text) => {
    const found = numbers(text, 4);
    return found && { block: found[0], head: found[1], scale: found[2], stream: found[3] };
  }, ({ block, head, scale, stream }) => [block, head, scale, stream].join());
  const list = type((text) => {
    try {
      return Array.isArray(JSON.parse(text)) ? text : undefined;
    } catch {
      return undefined;
    }
  });
  return {
    picture: words, model: words, side: index, whole: flag,
    tab: oneOf("maps", "filters", "coefficients", "weights", "history", "compare", "whatif"),
    block: index, head: index, scale: index, stream: index, query: token,
    show: oneOf("maps", "index"), colours: oneOf("shared", "own", "fixed"), opacity: share, smooth: flag,
    pictureA: words, modelA: words, pictureB: words, modelB: words, a: place, b: place,
    interventions: list,
  };
})();

// What a link need not say.
const UNSAID = { whole: false, tab: "maps", head: 0, scale: 0, stream: 0, show: "maps", colours: "shared", opacity: 0.85, smooth: false, interventions: "[]" };

function readAddress(text) {
  const parts = new URLSearchParams(text || "");
  const said = {};
  for (const [name, { parse }] of Object.entries(ADDRESS)) {
    const value = parts.has(name) ? parse(parts.get(name)) : undefined;
    if (value !== undefined) said[name] = value;
  }
  return said;
}

function writeAddress(values) {
  const parts = new URLSearchParams();
  for (const [name, { parse, print }] of Object.entries(ADDRESS)) {
    if (values[name] === undefined || values[name] === UNSAID[name]) continue;
    const text = print(values[name]);
    if (parse(text) !== undefined) parts.set(name, text);
  }
  return parts.toString();
}
