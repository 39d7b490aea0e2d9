// The curves of a study: a quantity against the dial, or the score against the KL.

const NEAR = 40; // pixels from a point within which the pointer means it
const EDGE = { right: 18, top: 14, bottom: 46 };
const WRITTEN = [30, 16]; // pixels that a dial's value takes up beside a point

/** The ends of a reading's interval, or its value twice. */
const ends = ([value, low, high]) => [low ?? value, high ?? value];
const path = (places) => places.map(([x, y], i) => `${i ? "L" : "M"}${x} ${y}`).join("");

class Chart {
  /**
   * @param study the study's data
   * @param view what is shown of it; `choose` changes that
   * @param choose called with the number of a run that was clicked
   */
  constructor(study, view, choose) {
    Object.assign(this, { study, view, choose });
    this.hidden = new Set();
    this.quantities = new Map(study.quantities.map((quantity) => [quantity.name, quantity]));
    this.shown = { y: study.metric, x: "dial" };
    this.dials = [...new Set(study.curves.map((curve) => curve.dial).filter(Boolean))];
    this.dial = this.dials[0]; // whose values mean something else than another's
    this.current = 0;
    this.points = [];
    this.figure = html("div", { class: "plot" });
    const drawing = html("div", {}, this.legend(), this.figure);
    const along = this.dials.length > 1 ? this.along() : "";
    this.node = html("div", { class: "chart" }, html("div", {}, along, this.chooser()), drawing);
    new ResizeObserver(() => {
      if (this.figure.clientWidth !== this.width) this.draw();
    }).observe(this.figure);
  }

  chooser() {
    const options = this.study.quantities.map(({ name, short }) => [name, short]);
    const distances = Object.entries({ kl: "KL", divergence_along: "divergence along" });
    const [distance, called] = distances.find(([name]) => this.quantities.has(name)) ?? [];
    if (distance) options.splice(1, 0, ["", `${options[0][1]} against ${called}`]);
    return radios("Draw", `draw-${this.study.name}`, options, this.study.metric, (name) => {
      this.shown = name ? { y: name, x: "dial" } : { y: this.study.metric, x: distance };
      this.draw();
    });
  }

  /** Which dial the curves are drawn along, where the study has several. */
  along() {
    const options = this.dials.map((dial) => [dial, dial]);
    return radios("Along", `along-${this.study.name}`, options, this.dial, (dial) => {
      this.dial = dial;
      this.draw();
    });
  }

  legend() {
    const toggle = (i, seen) => {
      this.hidden[seen ? "delete" : "add"](i);
      this.draw();
    };
    const entries = this.study.curves.map((curve, i) => {
      const onchange = (event) => toggle(i, event.target.checked);
      const box = html("input", { type: "checkbox", checked: true, onchange });
      return html("label", {}, box, swatch(i, !curve.dial), html("span", {}, curve.label));
    });
    return html("fieldset", { class: "legend" }, html("legend", {}, "Curves"), entries);
  }

  // -------------------------------------------------------------- drawing

  draw() {
    const width = (this.width = this.figure.clientWidth);
    if (!width) return; // not in view yet
    this.points = this.found();
    if (!this.points.length) {
      const note = html("p", { class: "note" }, "None of these curves has this quantity.");
      this.figure.replaceChildren(note);
      return;
    }
    this.current = Math.min(this.current, this.points.length - 1);
    this.height = Math.round(Math.max(260, Math.min(400, 0.5 * width)));
    this.left = width < 500 ? 46 : 58;
    this.right = width - EDGE.right;
    this.bottom = this.height - EDGE.bottom;

    const up = this.quantities.get(this.shown.y);
    const along = this.quantities.get(this.shown.x);
    const turned = this.points.filter((point) => point.along);
    const reach = turned.length ? turned.flatMap((point) => ends(point.along)) : [0, 1];
    const heights = this.points.flatMap((point) => ends(point.up));
    this.across = scale(reach, false, this.left, this.right);
    this.up = scale(heights, up.zero && !along, this.bottom, EDGE.top);
    for (const point of this.points) {
      point.x = point.along ? this.across(point.along[0]) : this.right;
      point.y = this.up(point.up[0]);
    }
    const name = along ? along.label : (this.dial ?? "");
    const curves = this.study.curves.map((_, c) => this.curve(c));
    this.marks = this.points.map((point, i) => this.mark(point, i));
    this.write();
    const canvas = svg(
      "svg",
      {
        viewBox: `0 0 ${width} ${this.height}`,
        width,
        height: this.height,
        role: "group",
        "aria-label":
          `${up.label} against ${name}: arrow keys go from point to point, ` +
          "Enter shows its samples",
        onpointermove: (event) => this.tell(this.nearest(event)),
        onpointerleave: () => this.tell(-1),
        onclick: (event) => {
          const i = this.nearest(event);
          if (i >= 0) this.choose(this.points[i].r);
        },
        onkeydown: (event) => this.key(event),
      },
      this.axes(up, along, name, turned.length > 0),
      curves,
      this.marks,
    );
    const hasIntervals = this.points.some((point) => point.up[1] != null);
    const intervals = hasIntervals ? html("span", {}, " with 95 % intervals") : "";
    this.figure.replaceChildren(html("p", { class: "axis" }, up.label, intervals), canvas);
    this.select();
  }

  /** The points of the curves in view that have what is drawn. */
  found() {
    const { x, y } = this.shown;
    const point = (r, c) => {
      const run = this.study.runs[r];
      const up = run.readings[y];
      const along = x !== "dial" ? run.readings[x] : run.dial ? [run.value] : null;
      return up && (along || x === "dial") ? [{ r, c, run, up, along }] : [];
    };
    const fits = (curve) => x !== "dial" || !curve.dial || curve.dial === this.dial;
    return this.study.curves.flatMap((curve, c) =>
      this.hidden.has(c) || !fits(curve) ? [] : curve.runs.flatMap((r) => point(r, c)),
    );
  }

  axes(up, along, name, turned) {
    const rows = ticks(this.up.low, this.up.high, Math.floor(this.height / 50));
    const most = Math.min(11, Math.floor(this.width / 60));
    const columns = ticks(this.across.low, this.across.high, most);
    const text = (x, y, anchor, words) => svg("text", { x, y, "text-anchor": anchor }, words);
    return svg(
      "g",
      { class: "axes" },
      rows.found.flatMap((value) => [
        svg("path", { class: "grid", d: `M${this.left} ${this.up(value)}H${this.right}` }),
        text(this.left - 8, this.up(value) + 4, "end", tickText(value, rows.decimals, up.share)),
      ]),
      (turned ? columns.found : []).flatMap((value) => {
        const words = tickText(value, columns.decimals, along?.share);
        return [
          svg("path", { class: "tick", d: `M${this.across(value)} ${this.bottom}v5` }),
          text(this.across(value), this.bottom + 19, "middle", words),
        ];
      }),
      svg("path", { class: "tick", d: `M${this.left} ${this.bottom}H${this.right}` }),
      text((this.left + this.right) / 2, this.height - 6, "middle", name),
    );
  }

  /** A curve's line with its intervals: a band along the dial, or a bar at each point. */
  curve(c) {
    const own = this.points.filter((point) => point.c === c);
    if (!own.length) return "";
    const limits = (point) => ends(point.up).map(this.up);
    const shapes = [];
    let dashes = dash(c);
    let line = path(own.map(({ x, y }) => [x, y]));
    if (!own[0].along) {
      const [low, high] = limits(own[0]);
      const band = `M${this.left} ${low}H${this.right}V${high}H${this.left}Z`;
      shapes.push(svg("path", { class: "band", d: band }));
      line = `M${this.left} ${own[0].y}H${this.right}`;
      dashes = LEVEL;
    } else if (this.shown.x === "dial" && own.length > 1) {
      const upper = own.map((point) => [point.x, limits(point)[1]]);
      const lower = own.map((point) => [point.x, limits(point)[0]]);
      const band = `${path([...upper, ...lower.reverse()])}Z`;
      shapes.push(svg("path", { class: "band", d: band }));
    } else {
      for (const point of own) {
        const [low, high] = limits(point);
        const [from, to] = ends(point.along).map(this.across);
        const bars = `M${point.x} ${low}V${high}M${from} ${point.y}H${to}`;
        shapes.push(svg("path", { class: "bar", d: bars }));
      }
    }
    shapes.push(svg("path", { class: "line", d: line, "stroke-dasharray": dashes }));
    return svg("g", { class: colour(c) }, shapes);
  }

  mark(point, i) {
    return svg(
      "g",
      {
        class: `point ${colour(point.c)}`,
        transform: `translate(${point.x} ${point.y})`,
        role: "button",
        tabindex: i === this.current ? 0 : -1,
        "data-run": point.r,
        "aria-label": this.says(point).join(", "),
        onfocus: () => this.tell(i),
        onblur: () => this.tell(-1),
      },
      svg("circle", { class: "ring", r: 9 }),
      marker(point.c),
    );
  }

  /** Writes the dial's value beside the points of a frontier, the ends of each curve first. */
  write() {
    if (this.shown.x === "dial") return;
    const [width, height] = WRITTEN;
    const taken = [];
    for (let c = 0; c < this.study.curves.length; c++) {
      const own = this.points.filter((point) => point.c === c && point.run.dial);
      if (!own.length) continue;
      const y = own.at(-1).y <= own[0].y ? 18 : -8; // a rising curve leaves free what is below it
      for (const point of [own[0], own.at(-1), ...own.slice(1, -1)]) {
        const near = (other) =>
          Math.abs(point.x - other.x) < width && Math.abs(point.y - other.y) < height;
        if (taken.some(near)) continue;
        taken.push(point);
        const value = svg("text", { x: 9, y }, String(point.run.value));
        this.marks[this.points.indexOf(point)].append(value);
      }
    }
  }

  // -------------------------------------------------------------- pointing and choosing

  /** What a point says, in lines. */
  says({ r, c, run }) {
    const reading = (name) => {
      const [, , , value, interval] = this.study.runs[r].readings[name];
      return `${this.quantities.get(name).label} ${value} ${interval}`.trim();
    };
    return [
      this.study.curves[c].label,
      run.dial ? `${run.dial} ${run.value}` : "",
      reading(this.shown.y),
      this.shown.x === "dial" ? "" : reading(this.shown.x),
      `n = ${run.n}`,
    ].filter(Boolean);
  }

  nearest(event) {
    const box = this.marks[0].ownerSVGElement.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const away = this.points.map((point) => Math.hypot(point.x - x, point.y - y));
    const i = away.indexOf(Math.min(...away));
    return away[i] <= NEAR ? i : -1;
  }

  /** Tells what a point says; -1 for none. */
  tell(i) {
    this.marks.forEach((mark, j) => mark.classList.toggle("now", i === j));
    if (i < 0) tip.hide();
    else tip.show(this.says(this.points[i]), this.marks[i]);
  }

  key(event) {
    const i = this.marks.indexOf(event.target.closest(".point"));
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step) {
      this.marks[i].setAttribute("tabindex", -1);
      this.current = Math.max(0, Math.min(this.marks.length - 1, i + step));
      this.marks[this.current].setAttribute("tabindex", 0);
      this.marks[this.current].focus();
    } else if (event.key === "Enter" || event.key === " ") {
      this.choose(this.points[i].r);
    } else return;
    event.preventDefault();
  }

  /** Shows which runs are chosen. */
  select() {
    this.points.forEach((point, i) => {
      const chosen = this.view.runs.includes(point.r);
      this.marks[i].classList.toggle("chosen", chosen);
      this.marks[i].setAttribute("aria-pressed", chosen);
    });
  }
}
