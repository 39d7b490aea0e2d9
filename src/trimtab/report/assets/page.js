// The start: after the first paint, since what is above needs no script to be read.

async function start() {
  const data = await unpack(document.getElementById("data").textContent);
  const sections = [...document.querySelectorAll(".study")];
  const links = [...document.querySelectorAll(".studies a")];
  const built = new Set();

  function open() {
    const name = decodeURIComponent(location.hash.slice(1));
    const chosen = sections.find((section) => section.id === name) ?? sections[0];
    for (const section of sections) section.hidden = section !== chosen;
    for (const link of links) {
      const current = decodeURIComponent(link.hash.slice(1)) === chosen.id;
      link.setAttribute("aria-current", current);
    }
    if (!built.has(chosen)) build(chosen, data);
    built.add(chosen);
  }

  window.addEventListener("hashchange", open);
  open();
}

/** The page's data, which is JSON, compressed, in base64. */
function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).json();
}

/** Fills a study's section: its curves and its samples, with one choice of runs for both. */
function build(section, data) {
  const study = data.studies[section.dataset.study];
  const rows = [...section.querySelectorAll("tbody tr:has(td)")];
  // Seen first: both ends of a dial and its middle, or the first runs where there is none.
  const turned = study.curves.find((curve) => curve.dial)?.runs;
  const few = turned
    ? [turned[0], turned[Math.floor(turned.length / 2)], turned.at(-1)]
    : [...study.runs.keys()].slice(0, 3);
  const view = { runs: [...new Set(few)] };

  function choose(r) {
    const others = view.runs.filter((other) => other !== r);
    if (!others.length) return; // something is always in view
    view.runs = others.length < view.runs.length ? others : [...others, r].sort((a, b) => a - b);
    show();
  }

  function show() {
    rows.forEach((row, r) => row.classList.toggle("chosen", view.runs.includes(r)));
    chart.select();
    samples.update();
  }

  const chart = new Chart(study, view, choose);
  const samples = new Samples(study, data, view, choose);
  section.querySelector(".curves").replaceChildren(chart.node);
  section.querySelector(".samples").replaceChildren(samples.node);
  section.querySelectorAll("tbody").forEach((body, c) => {
    body.querySelector("th").prepend(swatch(c, !study.curves[c].dial));
  });
  show();
}

const theme = document.getElementById("theme");
const darkOutside = matchMedia("(prefers-color-scheme: dark)");

function nameTheme() {
  const chosen = document.documentElement.dataset.theme;
  const dark = chosen ? chosen === "dark" : darkOutside.matches;
  theme.textContent = dark ? "Light theme" : "Dark theme";
  return dark;
}

theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = nameTheme() ? "light" : "dark";
  nameTheme();
});
darkOutside.addEventListener("change", nameTheme);
nameTheme();
theme.hidden = false;

requestAnimationFrame(() => setTimeout(start));
