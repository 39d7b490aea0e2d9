// How curves look, and the scales they stand on.

const COLORS = 5;
const DASHES = ["", "7 4", "2 3"];
const LEVEL = "7 4"; // of a run that has no dial
const MARKERS = [
  "M0-4.6A4.6 4.6 0 1 0 0 4.6A4.6 4.6 0 1 0 0-4.6Z",
  "M-4.2-4.2H4.2V4.2H-4.2Z",
  "M0-5.2L5 4H-5Z",
  "M0-5.6L5.6 0L0 5.6L-5.6 0Z",
  "M0 5.2L5-4H-5Z",
];

const colour = (curve) => `curve c${curve % COLORS}`;
const dash = (curve) => DASHES[Math.floor(curve / COLORS) % DASHES.length];
const marker = (curve) => svg("path", { class: "marker", d: MARKERS[curve % MARKERS.length] });

/** A short piece of a curve, as in a legend. */
function swatch(curve, level) {
  const dashes = level ? LEVEL : dash(curve);
  return svg(
    "svg",
    { class: colour(curve), viewBox: "-14 -8 28 16", width: 28, height: 16, "aria-hidden": "true" },
    svg("path", { class: "line", d: "M-14 0H14", "stroke-dasharray": dashes }),
    marker(curve),
  );
}

/** At most about `count` round numbers between two, and how many decimals they need. */
function ticks(low, high, count) {
  const least = (high - low) / count;
  const size = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].find((times) => times * size >= least * 0.999) * size;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
    found.push(i * step + 0); // -0 becomes 0
  }
  return { found, decimals: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

function tickText(value, decimals, share) {
  if (share) return `${(100 * value).toFixed(Math.max(0, decimals - 2))} %`;
  const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  return value.toLocaleString("en", digits);
}

/** A function from numbers to pixels that has room for all `values`, and for 0 if `zero`. */
function scale(values, zero, from, to) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (zero) [low, high] = [Math.min(low, 0), Math.max(high, 0)];
  if (low === high) {
    const half = 0.5 * (Math.abs(low) || 1);
    [low, high] = [low - half, high + half];
  }
  const room = 0.06 * (high - low);
  if (!zero || low < 0) low -= room;
  high += room;
  const place = (value) => from + ((value - low) / (high - low)) * (to - from);
  return Object.assign(place, { low, high });
}
