"""The report's page in a real browser: what is seen, found and pointed at is what was recorded."""

import json
import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from run_folders import write_run

from trimtab.report import page as report_page
from trimtab.report.study import studies
from trimtab.results import frames

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(
        CHROMIUM is None,
        reason="no chromium, chromium-browser or google-chrome, nor CHROMIUM=/path",
    ),
]

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
HOSTILE = "</script><img src=x onerror=alert(1)><!-- <script>alert(2)</script> & \"a\" 'b'"
COUNT = 23
THRESHOLDS = (0.1, 0.4, 0.9)


def rewrite(folder: Path, change: Any) -> None:
    """Change every sample of a run."""
    file = folder / "samples.jsonl"
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    for number, line in enumerate(lines):
        change(line, number)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three nudged runs with hostile, varied texts, one run alone, and a mixture's two runs."""
    root = tmp_path_factory.mktemp("runs")
    chance = random.Random(0)

    def vary(line: dict[str, Any], number: int) -> None:
        said = {0: HOSTILE, 1: " déjà 🙂 vu", 2: " It is a walrus."}.get(number % 5, " Plain.")
        line["trace"].append({"text": said, "speaker": "guide", "probability": None})
        line["completion"] += said
        line["stop_reason"] = chance.choice(["guide", "length"])
        right = line["scores"]["accuracy"]
        line["scores"]["published"] = right if number % 4 else 1 - right
        line["readings"] = {"published": None if number == 1 else str(number)}
        reason = HOSTILE if number == 0 else f"Number {number} is fine."
        verdict = {"values": {"correct": right}, "reasons": {"correct": reason}}
        if number == 2:
            verdict = {"values": {}, "problem": "the answer is not JSON"}
        line["verdicts"] = {"correctness by some-judge": verdict}

    for threshold in THRESHOLDS:
        scores = [float(chance.random() < 0.6) for _ in range(COUNT)]
        ratios = [round(chance.random(), 3) for _ in range(COUNT)]
        measures = {"guide_ratio": ratios, "kl": [threshold * ratio for ratio in ratios]}
        rewrite(write_run(root, scores, value=threshold, measures=measures), vary)
    write_run(root, [float(i % 2) for i in range(COUNT)], method="base")

    def alone(line: dict[str, Any], number: int) -> None:
        for span in line["trace"]:
            span["speaker"] = "model"

    for strength in (0.0, 1.0):
        rewards = [round(chance.random(), 3) for _ in range(COUNT)]
        made = write_run(
            root, rewards, method="dera", value=strength, task="stories", metric="reward"
        )
        rewrite(made, alone)
    return root


@pytest.fixture(scope="module")
def file(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(report_page.render(studies(frames.read([root])), [root]), "utf-8")
    return file


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Opened:
    """The page as opened, one study of it, and what it asked for and complained about."""

    def __init__(self, browser: Any, file: Path, study: str, **settings: Any) -> None:
        self.page = browser.new_page(**settings)
        self.page.set_default_timeout(10_000)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.goto(f"{file.as_uri()}#{study}")
        self.study = self.page.locator(f"#{study}")
        self.study.locator(".sample").first.wait_for()

    def control(self, name: str) -> Any:
        return self.study.get_by_label(name, exact=True)

    def ids(self) -> list[str]:
        """Return the ids of all samples found, from every page."""
        found = self.study.locator(".sample .id").all_inner_texts()
        while (further := self.study.get_by_role("button", name="Next")).is_enabled():
            further.click()
            found += self.study.locator(".sample .id").all_inner_texts()
        assert self.study.locator(".count").inner_text() == f"{len(found)} of {COUNT} samples"
        return found


@pytest.fixture
def opened(browser: Any, file: Path) -> Iterator[Opened]:
    opened = Opened(browser, file, "word-problems", viewport={"width": 1280, "height": 900})
    yield opened
    opened.page.close()
    assert opened.complaints == []
    assert [url.partition("#")[0] for url in opened.requests] == [file.as_uri()]


@pytest.fixture(scope="module")
def runs(root: Path) -> dict[Any, frames.Run]:
    """The runs by their dial's value; None for the one without."""
    return {run.value: run for run in frames.read([root]) if run.task == "word-problems"}


def test_numbers_are_those_of_the_summaries(opened: Opened, runs: dict[Any, frames.Run]) -> None:
    rows = opened.study.locator("tbody tr:has(td)").all_inner_texts()
    assert len(rows) == 4
    for run in runs.values():
        metrics = run.summary["metrics"]
        low, high = run.score["ci95"]
        score = f"{run.score['value']:.3f} [{low:.3f}, {high:.3f}]"
        cells = [str(COUNT), score, "1,234", run.folder.name[:6]]
        if run.dial:
            cells += [
                f"{run.value:g}",
                f"{100 * metrics['guide_ratio']['value']:.1f} %",
                f"{metrics['kl']['value']:.3f}",
            ]
        assert any(set(cells) <= set(re.split(r"[\t\n]+", row)) for row in rows), cells


def test_several_dials_are_drawn_one_at_a_time(browser: Any, tmp_path: Path) -> None:
    for threshold in THRESHOLDS:
        write_run(tmp_path, [1.0] * COUNT, value=threshold)
    for strength in (0.0, 3.0):
        write_run(tmp_path, [0.0] * COUNT, method="dera", value=strength)
    file = tmp_path / "report.html"
    file.write_text(report_page.render(studies(frames.read([tmp_path])), [tmp_path]), "utf-8")
    opened = Opened(browser, file, "word-problems")
    chart = opened.study.locator(".plot svg")

    def drawn() -> set[str]:
        points = chart.locator("[role=button]").evaluate_all(
            "found => found.map(one => one.getAttribute('aria-label'))"
        )
        return {re.search(r"(threshold|strength) \d", label).group(1) for label in points}

    for dial in ("threshold", "strength"):
        opened.control(dial).check(force=True)
        assert chart.get_attribute("aria-label").startswith(f"accuracy against {dial}")
        assert drawn() == {dial}
    opened.page.close()
    assert opened.complaints == []


def test_a_point_says_its_number_and_chooses_its_run(
    opened: Opened, runs: dict[Any, frames.Run]
) -> None:
    opened.study.get_by_text("guide ratio", exact=True).first.click()
    middle = opened.study.get_by_role("button", name=re.compile("threshold 0.4, guide ratio"))
    middle.hover()
    estimate = runs[0.4].summary["metrics"]["guide_ratio"]
    low, high = estimate["ci95"]
    tip = opened.page.locator("#tip").inner_text()
    assert "threshold 0.4" in tip
    assert f"{100 * estimate['value']:.1f} % [{100 * low:.1f} %, {100 * high:.1f} %]" in tip
    shown = opened.study.locator(".sample").first.locator("section")
    assert shown.count() == 3
    middle.click()
    assert middle.get_attribute("aria-pressed") == "false"
    assert shown.count() == 2
    middle.press("ArrowRight")  # to the next point of the curve
    opened.page.keyboard.press("Enter")
    assert shown.count() == 1
    opened.study.get_by_label("accuracy against KL").check(force=True)
    kl = runs[0.4].summary["metrics"]["kl"]["value"]
    frontier = opened.study.get_by_role(
        "button", name=f"KL to the reference (nats per answer) {kl:.3f}"
    )
    assert "threshold 0.4, accuracy" in frontier.get_attribute("aria-label")


def test_a_curve_can_be_put_away(opened: Opened) -> None:
    points = opened.study.locator(".plot .point")
    assert points.count() == 4
    opened.study.get_by_label("nudging: base-model + guide-model").first.uncheck()
    assert points.count() == 1


def test_right_and_wrong(opened: Opened, runs: dict[Any, frames.Run]) -> None:
    opened.control("Score at").select_option(label="threshold 0.4")
    for name, score in (("right", 1), ("wrong", 0)):
        opened.study.locator(".outcome").get_by_text(name).click()
        assert opened.ids() == [i for i, own in runs[0.4].scores().items() if own == score]


def test_where_scorings_differ_and_what_each_read(opened: Opened) -> None:
    opened.control("Score at").select_option(label="threshold 0.4")
    opened.control("Score").select_option(label="scorings differ")
    opened.study.locator(".outcome").get_by_text("yes").click()
    assert opened.ids() == [str(i) for i in range(0, COUNT, 4)]
    opened.study.get_by_role("button", name="Clear").click()
    facts = opened.study.locator(".sample dl").all_text_contents()
    said = [
        fact.partition("correctness by some-judge")[2] for fact in facts if "some-judge" in fact
    ]
    assert HOSTILE in said[0]
    assert "Number 1 is fine." in "".join(said)
    assert "no score: the answer is not JSON" in "".join(said)
    assert "published readsnothing" in "".join(facts)


def test_a_range_of_another_score(opened: Opened, runs: dict[Any, frames.Run]) -> None:
    ratios = runs[0.9].scores("guide_ratio")
    low, high = sorted(ratios.values())[4], sorted(ratios.values())[12]
    opened.control("Score at").select_option(label="threshold 0.9")
    opened.control("Score").select_option(label="guide ratio")
    opened.control("Score from").fill(str(low))
    opened.control("Score to").fill(str(high))
    assert opened.ids() == [i for i, ratio in ratios.items() if low <= ratio <= high]
    opened.study.get_by_role("button", name="Clear").click()
    assert len(opened.ids()) == COUNT


def test_stop_reasons(opened: Opened, runs: dict[Any, frames.Run]) -> None:
    opened.control("Score at").select_option(label="threshold 0.1")
    opened.control("Stopped by").select_option("length")
    stopped = [line["id"] for line in runs[0.1].samples if line["stop_reason"] == "length"]
    assert opened.ids() == stopped


def test_flips(opened: Opened, runs: dict[Any, frames.Run]) -> None:
    opened.control("Flips between").select_option(label="threshold 0.1")
    opened.control("Flips between … and").select_option(label="threshold 0.9")
    first, second = runs[0.1].scores(), runs[0.9].scores()
    assert opened.ids() == [i for i in first if first[i] != second[i]]


def test_search(opened: Opened, runs: dict[Any, frames.Run]) -> None:
    opened.control("Search").fill("WALRUS")
    assert opened.ids() == [i["id"] for i in runs[0.4].samples if "walrus" in i["completion"]]
    opened.control("Search").fill("<img src=x")
    assert opened.ids() == [i["id"] for i in runs[0.4].samples if "<img" in i["completion"]]
    opened.control("Search").fill("what is 12 and")
    assert opened.ids() == ["12"]


def test_the_same_sample_side_by_side(opened: Opened, runs: dict[Any, frames.Run]) -> None:
    opened.study.get_by_role("button", name="Show threshold 0.4").click()  # no more
    opened.study.get_by_role("button", name="Show base: base-model").click()
    for number, sample in enumerate(opened.study.locator(".sample").all()):
        sections = sample.locator("section")
        assert sample.locator(".question").inner_text() == f"What is {number} and {number}?"
        shown = [runs[None], runs[0.1], runs[0.9]]
        assert sections.count() == len(shown)
        for section, run in zip(sections.all(), shown, strict=True):
            line = run.samples[number]
            # Hostile or not, the text is the text.
            assert section.locator(".answer").text_content() == line["completion"]
            outcome = "right" if line["scores"]["accuracy"] else "wrong"
            assert outcome in section.locator(".verdict").inner_text()
            facts = section.locator("dl").inner_text()
            for fact in (line["prediction"], line["stop_reason"], "9"):
                assert fact in facts.split()
        sample.locator("summary").click()
        assert runs[0.1].samples[number]["prompts"]["base"].strip() in sample.inner_text()
    columns = opened.study.locator(".sample section")
    tops = {round(columns.nth(i).bounding_box()["y"]) for i in range(3)}
    assert len(tops) == 1


def test_a_piece_tells_who_spoke_and_how_probable_that_was(opened: Opened) -> None:
    tip = opened.page.locator("#tip")
    answer = opened.study.locator(".answer").nth(1)
    pieces = answer.locator(".piece")
    assert pieces.all_text_contents() == ["Well,", " it is 0.", HOSTILE]
    pieces.nth(1).hover()
    assert tip.inner_text() == "base\nbase model's top-1 probability 0.9700"
    pieces.nth(0).hover()
    assert tip.inner_text() == "guide\nbase model's top-1 probability 0.2100"
    opened.study.locator(".count").hover()
    assert tip.is_hidden()
    answer.focus()
    assert tip.inner_text().startswith("guide\nbase")
    for says in ("base\nbase", "guide\nno probability", "guide\nno probability"):
        opened.page.keyboard.press("ArrowRight")  # the last stays where it is
        assert tip.inner_text().startswith(says)


def test_a_single_voice_is_shaded_by_its_probability(browser: Any, file: Path) -> None:
    opened = Opened(browser, file, "stories")
    sure, unsure = (opened.study.locator(".answer .piece").nth(i) for i in (1, 0))
    background = "node => getComputedStyle(node).backgroundColor"
    assert sure.evaluate(background) == "rgba(0, 0, 0, 0)"
    assert unsure.evaluate(background) != "rgba(0, 0, 0, 0)"
    assert opened.study.locator(".key").inner_text().startswith("top-1 probability")
    opened.page.close()


CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    const own = rgba(getComputedStyle(node).backgroundColor);
    return own[3] > 254 ? own : behind(node.parentElement);
  };
  const least = {};
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    const colour = rgba(node instanceof SVGElement ? style.fill : style.color);
    const [dark, light] = [colour, behind(node)].map(luminance).sort((a, b) => a - b);
    const name = `${node.tagName} ${node.getAttribute("class")}`;
    least[name] = Math.min(least[name] ?? 21, (light + 0.05) / (dark + 0.05));
  }
  return least;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("study", ["word-problems", "stories"])
def test_both_themes_are_legible_on_a_phone(
    browser: Any, file: Path, scheme: str, study: str
) -> None:
    phone = {"width": 390, "height": 844}
    opened = Opened(browser, file, study, viewport=phone, color_scheme=scheme, has_touch=True)
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth") == phone["width"]
    columns = opened.study.locator(".sample section")
    assert columns.nth(0).bounding_box()["y"] < columns.nth(1).bounding_box()["y"]  # stacked
    contrasts = page.evaluate(CONTRASTS)
    assert {name: ratio for name, ratio in contrasts.items() if ratio < 4.5} == {}
    opened.study.locator(".answer .piece").first.tap()
    assert "top-1 probability 0.2100" in page.locator("#tip").inner_text()

    ink = "getComputedStyle(document.body).color"
    before = page.evaluate(ink)
    page.get_by_role("button", name="Light theme" if scheme == "dark" else "Dark theme").click()
    assert page.evaluate(ink) != before
    assert opened.complaints == []
    page.close()
