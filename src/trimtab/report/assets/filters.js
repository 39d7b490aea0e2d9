// Which samples of a study are looked at: by text, score, stop reason, or a change of score.

const MARGIN = 1e-9; // a typed bound has fewer digits than a score

class Filters {
  /**
   * @param study the study's data
   * @param words a sample's texts in view, by its number
   * @param view what is shown of the study
   * @param onchange called with the runs that the filters now speak of
   */
  constructor(study, words, view, onchange) {
    Object.assign(this, { study, words, view, onchange });
    this.main = study.measures.findIndex(({ name }) => name === study.metric);
    this.binary = study.measures.map((_, m) =>
      study.runs.every((run) => run.rows.every((row) => [0, 1, null].includes(row[6][m]))),
    );
    this.node = html("form", {
      class: "filters",
      role: "search",
      "aria-label": "Samples",
      onsubmit: (event) => event.preventDefault(),
    });
    this.clear();
  }

  /** Lets every sample through again. */
  clear() {
    const run = this.view.runs[0];
    this.chosen = { text: "", measure: this.main, run, stop: "", flips: ["", ""] };
    this.outcome = html("div", { class: "outcome" });
    this.offerOutcome();
    const clear = () => {
      this.clear();
      this.onchange([]);
    };
    this.node.replaceChildren(
      this.search(),
      html("div", { class: "group" }, this.score(), this.at(), this.outcome, this.stop()),
      html("div", { class: "group" }, this.flip(0, "Flips between"), this.flip(1, "and")),
      html("button", { type: "button", class: "clear", onclick: clear }, "Clear"),
    );
  }

  change(values) {
    Object.assign(this.chosen, values);
    const { run, flips } = values;
    this.onchange([run, ...(flips ?? [])].filter((r) => r != null && r !== ""));
  }

  /** The numbers of the samples that every filter lets through. */
  found() {
    const { text, measure, run, is, from, to, stop, flips } = this.chosen;
    const score = (r, s) => this.study.runs[r].at.get(s)?.[6][measure] ?? null;
    const [one, other] = flips;
    const wanted = (s) => {
      if (stop && this.study.runs[run].at.get(s)?.[4] !== stop) return false;
      const value = score(run, s);
      if ((is || from || to) && value === null) return false;
      if (is && value !== Number(is)) return false;
      if (from && value < Number(from) - MARGIN) return false;
      if (to && value > Number(to) + MARGIN) return false;
      if (one !== "" && other !== "") {
        const values = [score(one, s), score(other, s)];
        if (values.includes(null) || values[0] === values[1]) return false;
      }
      return !text || this.words(s).some((words) => words.toLowerCase().includes(text));
    };
    return [...this.study.samples.keys()].filter(wanted);
  }

  // -------------------------------------------------------------- controls

  search() {
    const box = html("input", {
      type: "search",
      placeholder: "in questions, answers, targets, ids",
      oninput: () => this.change({ text: box.value.trim().toLowerCase() }),
    });
    return html("label", { class: "wide" }, html("span", {}, "Search"), box);
  }

  score() {
    const options = this.study.measures.map(({ label }, m) => [m, label]);
    const choice = select("Score", "Score", options, (m) => {
      this.change({ measure: Number(m), is: "", from: "", to: "" });
      this.offerOutcome();
    });
    choice.querySelector("select").value = this.main;
    return choice;
  }

  at() {
    const choice = this.runs("at", "Score at", [], (run) => this.change({ run }));
    choice.querySelector("select").value = this.chosen.run;
    return choice;
  }

  /** Right or wrong for a score of 0 and 1, a range for any other. */
  offerOutcome() {
    const { measure } = this.chosen;
    if (this.binary[measure]) {
      const [yes, no] = measure === this.main ? ["right", "wrong"] : ["yes", "no"];
      const options = [["", "any"], ["1", yes], ["0", no]];
      const change = (is) => this.change({ is });
      this.outcome.replaceChildren(radios("is", `is-${this.study.name}`, options, "", change));
      return;
    }
    const bound = (name) => {
      const oninput = (event) => this.change({ [name]: event.target.value });
      const settings = { type: "number", step: "any", "aria-label": `Score ${name}`, oninput };
      const box = html("input", settings);
      return html("label", { class: "bound" }, html("span", {}, name), box);
    };
    this.outcome.replaceChildren(bound("from"), bound("to"));
  }

  stop() {
    const reasons = new Set(this.study.runs.flatMap((run) => run.rows.map((row) => row[4])));
    const options = [["", "anything"], ...[...reasons].sort().map((reason) => [reason, reason])];
    return select("Stopped by", "Stopped by", options, (stop) => this.change({ stop }));
  }

  flip(i, label) {
    const name = i ? "Flips between … and" : label;
    return this.runs(label, name, [["", "–"]], (r) =>
      this.change({ flips: this.chosen.flips.map((old, j) => (i === j ? r : old)) }),
    );
  }

  /** A choice of runs, grouped by curve where there are several. */
  runs(label, name, options, onchange) {
    const change = (value) => onchange(value === "" ? "" : Number(value));
    const choice = select(label, name, options, change);
    const { curves, runs } = this.study;
    for (const curve of curves) {
      const entries = curve.runs.map((r) => html("option", { value: r }, standing(runs[r], curve)));
      const grouped = curves.length > 1 && curve.dial;
      const shown = grouped ? [html("optgroup", { label: curve.label }, entries)] : entries;
      choice.querySelector("select").append(...shown);
    }
    return choice;
  }
}

/** Where a run's dial stands, or what it is. */
function standing(run, curve) {
  return run.dial ? `${run.dial} ${run.value}` : curve.label;
}
