// The samples of a study, read side by side at several positions of the dial.

const PAGE = 10;

class Samples {
  /**
   * @param study the study's data
   * @param data the page's data, for the texts and answers that studies share
   * @param view what is shown of the study; `choose` changes that
   * @param choose called with the number of a run to show, or to show no more
   */
  constructor(study, data, view, choose) {
    Object.assign(this, { study, data, view, choose });
    for (const run of study.runs) run.at = new Map(run.rows.map((row) => [row[0], row]));
    this.page = 0;
    this.filters = new Filters(study, (s) => this.words(s), view, (runs) => {
      this.page = 0;
      // What samples are looked for by is what one wants to see.
      for (const r of runs) if (!view.runs.includes(r)) choose(r);
      this.update();
    });
    this.strips = html("div", { class: "strips" }, study.curves.map((_, c) => this.strip(c)));
    this.status = html("p", { class: "count", role: "status" });
    this.list = html("ol", { class: "list" });
    this.pages = html("nav", { class: "pages", "aria-label": "Pages of samples" });
    const turns = study.runs.flatMap((run) => run.rows.flatMap((row) => data.answers[row[1]][1]));
    const speakers = new Set(turns.map(([speaker]) => speaker));
    const above = [this.strips, this.filters.node, key(speakers), this.status];
    this.node = html("div", {}, above, this.list, this.pages);
    listen(this.list);
  }

  /** Buttons for the positions of a curve's dial. */
  strip(c) {
    const curve = this.study.curves[c];
    const buttons = curve.runs.map((r) => {
      const run = this.study.runs[r];
      const settings = { type: "button", "data-run": r, onclick: () => this.choose(r) };
      const name = `Show ${standing(run, curve)}`;
      return html("button", { ...settings, "aria-label": name }, run.dial ? run.value : "show");
    });
    return html(
      "div",
      { role: "group", "aria-label": `Side by side: ${curve.label}` },
      html("span", { class: "curve-name" }, swatch(c, !curve.dial), curve.label),
      html("span", { class: "values" }, buttons),
    );
  }

  /** The texts of a sample in view: its own, and those of the runs side by side. */
  words(s) {
    const { texts, answers } = this.data;
    const [id, question, target] = this.study.samples[s];
    const rows = this.view.runs.map((r) => this.study.runs[r].at.get(s)).filter(Boolean);
    const said = rows.flatMap((row) => [answers[row[1]][0], texts[row[3]]]);
    return [id, texts[question], texts[target], ...said].filter((words) => words != null);
  }

  update() {
    const found = this.filters.found();
    const last = Math.max(0, Math.ceil(found.length / PAGE) - 1);
    this.page = Math.min(this.page, last);
    const first = this.page * PAGE;
    const shown = found.slice(first, first + PAGE);
    this.status.textContent = `${found.length} of ${this.study.samples.length} samples`;
    this.list.replaceChildren(...shown.map((s) => html("li", {}, this.sample(s))));
    const range = `${first + 1}–${first + shown.length} of ${found.length}`;
    this.pages.replaceChildren(
      this.turn("← Previous", this.page - 1, this.page === 0),
      html("span", {}, shown.length ? range : "Nothing found"),
      this.turn("Next →", this.page + 1, this.page === last),
    );
    for (const button of this.strips.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", this.view.runs.includes(Number(button.dataset.run)));
    }
  }

  turn(label, page, disabled) {
    const onclick = () => {
      this.page = page;
      this.update();
      this.status.scrollIntoView({ block: "start" });
    };
    return html("button", { type: "button", disabled, onclick }, label);
  }

  // -------------------------------------------------------------- one sample

  sample(s) {
    const { texts } = this.data;
    const [id, question, target] = this.study.samples[s];
    const wanted = [html("span", {}, "Target"), html("b", {}, texts[target] ?? "")];
    return html(
      "article",
      { class: "sample", "aria-label": `Sample ${id}` },
      html("p", { class: "id" }, id),
      html("p", { class: "question" }, texts[question]),
      texts[target] == null ? "" : html("p", { class: "target" }, wanted),
      html("div", { class: "columns" }, this.view.runs.map((r) => this.column(r, s))),
      this.prompts(s),
    );
  }

  /** What the models read, once where several share it. */
  prompts(s) {
    const rows = this.view.runs.map((r) => this.study.runs[r].at.get(s)).filter(Boolean);
    const roles = new Map();
    for (const [role, text] of rows.flatMap((row) => row[2])) {
      roles.set(text, (roles.get(text) ?? new Set()).add(role));
    }
    const shown = [...roles].flatMap(([text, readers]) => [
      html("p", { class: "role" }, [...readers].join(", ")),
      html("pre", {}, this.data.texts[text]),
    ]);
    return html("details", {}, html("summary", {}, "Prompts"), shown);
  }

  column(r, s) {
    const { curves, runs, measures } = this.study;
    const own = curves.find((curve) => curve.runs.includes(r));
    const several = this.view.runs.some((other) => !own.runs.includes(other));
    const stands = standing(runs[r], own);
    const row = runs[r].at.get(s);
    const head = html(
      "h4",
      {},
      swatch(curves.indexOf(own), !own.dial),
      html("span", {}, stands),
      row ? this.verdict(row[6][this.filters.main]) : "",
      several && own.dial ? html("small", {}, own.label) : "",
    );
    const settings = { "data-run": r, "aria-label": stands };
    if (!row) {
      const note = html("p", { class: "note" }, "This run has no such sample.");
      return html("section", settings, head, note);
    }
    const [, said, , prediction, stop, tokens, values, notes] = row;
    const others = measures.map(({ label }, m) => [label, this.number(m, values[m])]);
    const facts = [
      ["prediction", this.data.texts[prediction]],
      ...notes.map(([name, text]) => [name, this.data.texts[text]]),
      ["stopped by", stop],
      ["tokens", tokens],
      ...others.filter((_, m) => m !== this.filters.main),
    ].filter(([, value]) => value != null);
    const fact = ([name, value]) =>
      html("div", {}, html("dt", {}, name), html("dd", {}, String(value)));
    const details = html("dl", {}, facts.map(fact));
    return html("section", settings, head, answer(this.data.answers[said], stands), details);
  }

  verdict(score) {
    const { binary, main } = this.filters;
    if (score == null) return "";
    if (binary[main]) {
      const outcome = score ? "right" : "wrong";
      return html("span", { class: `verdict ${outcome}` }, `${score ? "✓" : "✗"} ${outcome}`);
    }
    const { label } = this.study.measures[main];
    return html("span", { class: "verdict" }, `${label} ${this.number(main, score)}`);
  }

  number(m, value) {
    if (value == null) return null;
    if (this.study.measures[m].share) return `${(100 * value).toFixed(1)} %`;
    return String(Number(value.toFixed(3)));
  }
}
