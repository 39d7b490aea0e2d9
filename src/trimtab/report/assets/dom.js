// Elements, and the one tip of the page. Strings become text nodes, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child != null && child !== ""));
  return node;
}

const html = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);

const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

/** A choice with a label in view and a full name; `options` are [value, text] pairs. */
function select(label, name, options, onchange) {
  const box = html("select", { "aria-label": name, onchange: () => onchange(box.value) });
  box.append(...options.map(([value, text]) => html("option", { value }, text)));
  return html("label", {}, html("span", {}, label), box);
}

/** Radio buttons as one control; `options` are [value, text] pairs. */
function radios(legend, name, options, chosen, onchange) {
  const button = ([value, text]) => {
    const checked = value === chosen;
    const change = () => onchange(value);
    const box = html("input", { type: "radio", name, value, checked, onchange: change });
    return html("label", {}, box, html("span", {}, text));
  };
  return html(
    "fieldset",
    { class: "radios" },
    html("legend", {}, legend),
    html("div", {}, options.map(button)),
  );
}

const tip = {
  node: document.getElementById("tip"),

  /** Shows lines beside an element. */
  show(lines, beside) {
    this.beside = beside;
    this.node.replaceChildren(...lines.map((line) => html("div", {}, line)));
    this.node.hidden = false;
    this.place();
  },

  /** Stays above the element, or below where there is no room, always within the window. */
  place() {
    if (this.node.hidden) return;
    const [rect] = this.beside.getClientRects(); // of a piece on two lines, where it begins
    if (!rect) return this.hide();
    const { offsetWidth: width, offsetHeight: height } = this.node;
    const room = document.documentElement.clientWidth - width - 8;
    const left = Math.max(8, Math.min(rect.left + rect.width / 2 - width / 2, room));
    const above = rect.top - height - 8;
    this.node.style.left = `${left}px`;
    this.node.style.top = `${above < 8 ? rect.bottom + 8 : above}px`;
  },

  hide() {
    this.node.hidden = true;
  },
};

window.addEventListener("scroll", () => tip.place(), { passive: true });
window.addEventListener("pointerdown", () => tip.hide());
