// Answers, coloured by who spoke, or by how sure the only speaker was.

const VOICES = { base: "base", guide: "guide" }; // any other speaker is the only one
const SHADES = [0.3, 0.5, 0.7, 0.9]; // top-1 probabilities below which a piece is shaded more
const UNIT = 10000; // of recorded probabilities

const voice = (speaker) => VOICES[speaker] ?? "model";

/** An answer, made of pieces that tell who spoke and how probable that was. */
function answer([text, turns], standing) {
  let from = 0;
  const pieces = turns.flatMap(([speaker, spans]) => {
    const made = [];
    for (let i = 0; i < spans.length; i += 2) {
      const until = from + spans[i];
      made.push(piece(text.slice(from, until), speaker, spans[i + 1]));
      from = until;
    }
    return made;
  });
  return html(
    "div",
    { class: "answer", tabindex: 0, role: "group", "aria-label": `Answer at ${standing}` },
    pieces.length ? pieces : html("span", { class: "note" }, "(empty)"),
  );
}

function piece(text, speaker, units) {
  const probability = units < 0 ? null : units / UNIT;
  const name = voice(speaker);
  const depth = SHADES.filter((bound) => probability < bound).length;
  const shade = name === "model" && probability !== null ? ` d${depth}` : "";
  // Between two, it is the base model's that decides who speaks.
  const whose = name === "model" ? "top-1 probability" : "base model's top-1 probability";
  const told = probability === null ? "no probability asked for" : probability.toFixed(4);
  const says = `${speaker}\n${probability === null ? told : `${whose} ${told}`}`;
  return html("span", { class: `piece ${name}${shade}`, "data-says": says }, text);
}

/** What the colours mean, for these speakers. */
function key(speakers) {
  const voices = new Set([...speakers].map(voice));
  const entry = (name, text) => html("span", { class: `piece ${name}` }, text);
  const shades = SHADES.map((bound, i) => entry(`model d${SHADES.length - i}`, `< ${bound}`));
  return html(
    "p",
    { class: "key" },
    voices.has("base") ? entry("base", "base model") : "",
    voices.has("guide") ? entry("guide", "guide") : "",
    voices.has("model")
      ? ["top-1 probability ", ...shades, entry("model", `≥ ${SHADES.at(-1)}`)]
      : "",
    html(
      "span",
      { class: "hint" },
      "Point at a piece, tap it, or go along an answer by arrow keys: " +
        "who spoke, and the top-1 probability that decided it.",
    ),
  );
}

/** Lets the pieces of all answers in a node be pointed at, tapped, and walked along. */
function listen(node) {
  const tell = (found) => {
    node.querySelector(".piece.now")?.classList.remove("now");
    if (!found?.dataset.says) return tip.hide();
    found.classList.add("now");
    tip.show(found.dataset.says.split("\n"), found);
  };
  const mouse = (react) => (event) => event.pointerType === "mouse" && react(event);
  const at = (event) => event.target.closest(".piece");
  node.addEventListener("pointerover", mouse((event) => tell(at(event))));
  node.addEventListener("pointerleave", mouse(() => tell(null)));
  node.addEventListener("click", (event) => tell(at(event)));
  node.addEventListener("focusin", (event) => {
    if (event.target.matches(".answer:focus-visible")) tell(event.target.firstElementChild);
  });
  node.addEventListener("focusout", () => tell(null));
  node.addEventListener("keydown", (event) => {
    if (event.key === "Escape") tell(null);
    const step = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" };
    if (!step[event.key] || !event.target.matches(".answer")) return;
    event.preventDefault();
    const now = event.target.querySelector(".piece.now");
    tell(now?.[step[event.key]] ?? now ?? event.target.firstElementChild);
  });
}
