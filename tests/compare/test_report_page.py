"""The HTML report: true to results.csv, self-contained, escaped, whole."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from fake_comparison import DEFAULT, Line, make_comparison
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from recbole_edt.compare.compared_run import group_bounds
from recbole_edt.compare.report import write_report
from recbole_edt.compare.report.figures import draw_figures
from recbole_edt.compare.report.figures.canvas import STYLE, fit, text_width
from recbole_edt.compare.report.figures.cost import spread
from recbole_edt.compare.report.significance import Significance
from recbole_edt.compare.report.summary import Score
from recbole_edt.compare.report.texts import one_line, percent, score_text
from recbole_edt.compare.results import load_results

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("quick_pdf"),
]  # matplotlib measures every label

VOID = {"meta", "br", "link", "img", "input", "hr"}
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
CROWD = tuple(
    Line(
        f"row {k} of many {'with long words ' * (k % 3)}", 0.5 + k / 90, seeds=(1,), seconds=50 + k
    )
    for k in range(15)
)


class Reader(HTMLParser):
    """Collects tags, attributes, tables and text; fails on tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.tables, self.text = [], [], {}, []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables[dict(attrs)["id"]] = self.rows = []
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = make_comparison(tmp_path_factory.mktemp("page"))
    write_report(path)
    return path


@pytest.fixture(scope="module")
def page(folder: Path):
    return Reader((folder / "report.html").read_text(encoding="utf-8"))


def test_numbers_are_those_of_the_csv(folder, page):
    frame = pd.read_csv(folder / "results.csv", keep_default_na=False)
    frame = frame[(frame["variant"] == "final") & (frame["part"] == "test")]
    for metric in ("ndcg@10", "hit@10", "mrr@10"):
        head, *rows = page.tables[f"table-score-{metric}"]
        assert [row[0] for row in rows] == [line.label for line in DEFAULT]
        for row in rows:
            for name, shown in zip(head[2:], row[2:], strict=True):
                mine = frame[(frame["label"] == row[0]) & (frame["metric"] == metric)]
                scope = "overall" if name == "all domains" else "domain"
                mine = mine[mine["scope"] == scope]
                if scope == "domain":
                    mine = mine[mine["domain"] == name]
                values = mine["value"].astype(float)
                score = Score(values.mean(), np.std(values, ddof=1), len(values))
                assert shown == score_text(score)


def test_tests_and_gains_are_those_of_the_files(folder, page):
    tests = pd.read_csv(folder / "tests.csv", keep_default_na=False)
    tests = tests[(tests["family"] == "reference") & (tests["metric"] == "ndcg@10")]
    _, *rows = page.tables["table-tests"]
    assert len(rows) == len(tests)
    for row, line in zip(rows, tests.itertuples(), strict=True):
        shown = [line.second, line.domain or "all domains", str(len(line.seeds.split()))]
        shown += [f"{line.difference:+.4f}", f"{line.low:+.4f} to {line.high:+.4f}"]
        assert row[:5] == shown
        assert row[7] == f"{line.p_holm:.4f}"
    markdown = (folder / "results.md").read_text()
    gain = page.tables["table-gain"][1][1]
    assert gain in markdown
    assert gain in "".join(page.text)
    assert percent(0.1234) == "+12.3 %"


def test_bars_show_the_means(page, folder):
    means = {row[0]: row[2].split()[0] for row in page.tables["table-score-ndcg@10"][1:]}
    html = (folder / "report.html").read_text()
    first = re.search(r'<section id="bars">.*?</svg>', html, re.DOTALL).group()
    assert re.findall(r">(\d\.\d{4})<", first) == list(means.values())


def test_nothing_is_requested_and_nothing_runs(page):
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "img", "iframe", "object", "base")
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in ("src", "srcset")
            if name == "href":
                assert value.startswith("#")
    style = "".join(page.text)
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in style


def test_links_lead_somewhere(page):
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = {attributes["href"][1:] for tag, attributes in page.tags if tag == "a"}
    assert links
    assert links <= ids


def test_labels_from_users_are_text(folder, page):
    assert "<script" not in (folder / "report.html").read_text()
    assert one_line(DEFAULT[2].label) in "".join(page.text)
    assert "out of memory <in> epoch 3 & more" in "".join(page.text)


def drawings_of(folder: Path, kind: str = "figure") -> list[ElementTree.Element]:
    html = (folder / "report.html").read_text()
    return [
        ElementTree.fromstring(text)
        for text in re.findall(rf'<svg class="{kind}".*?</svg>', html, re.DOTALL)
    ]


def test_every_figure_is_a_file_and_on_the_page(folder):
    drawings = drawings_of(folder)
    assert len(drawings) == 4 + 3 + 4 + 1  # scopes, groupings, rows that train, cost
    files = sorted((folder / "figures").iterdir())
    assert len(files) == 2 * len(drawings)
    for path in files:
        content = path.read_bytes()
        assert content.startswith(b"%PDF" if path.suffix == ".pdf" else b"<?xml")


def test_figures_follow_the_scheme_and_name_nothing_twice(folder):
    page = Reader((folder / "report.html").read_text())
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for drawing in drawings_of(folder):
        assert drawing.get("role") == "img"
        assert drawing.get("aria-label")
        for element in drawing.iter():
            style = element.get("style", "")
            assert not re.search("#[0-9a-f]{6}", style)  # colours are variables of the page
            for value in element.attrib.values():
                reference = re.fullmatch(r"(?:url\()?#([^)]+)\)?", value)
                assert reference is None or reference[1] in ids


def test_cut_labels_and_markers_have_tooltips(folder):
    tips = {element.text for drawing in drawings_of(folder) for element in drawing.iter("title")}
    assert DEFAULT[3].label in tips
    assert any(re.match(r"LLMEDT: 0\.\d{4}, \d+\.\d s$", tip) for tip in tips)
    assert any(re.match(r"best epoch \d+$", tip) for tip in tips)


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
@pytest.mark.parametrize("lines", [DEFAULT, CROWD], ids=["default", "crowd"])
def test_labels_are_inside_their_figures_and_apart(tmp_path, lines):
    significance = Significance(load_results(make_comparison(tmp_path, lines)))
    for figure in (figure for some in draw_figures(significance).values() for figure in some):
        with mpl.rc_context(STYLE):
            canvas = FigureCanvasAgg(figure.figure)
            canvas.draw()
            texts = [t for t in figure.figure.findobj(Text) if t.get_visible() and t.get_text()]
            kept = set(texts) - _undrawn(figure.figure)
            shown = {text: text.get_window_extent(canvas.get_renderer()) for text in kept}
        assert len(shown) > 4
        for text, box in shown.items():
            assert box.x0 >= -1, (figure.name, text)
            assert box.x1 <= figure.width + 1, (figure.name, text)
            assert box.y0 >= -1, (figure.name, text)
            assert box.y1 <= figure.height + 1, (figure.name, text)
        for one, other in combinations(shown.values(), 2):
            apart = (
                min(one.x1, other.x1) - max(one.x0, other.x0) < 1
                or min(one.y1, other.y1) - max(one.y0, other.y0) < 1
            )
            assert apart, figure.name


def _undrawn(figure) -> set[Text]:
    """Return tick labels beyond the ends of an axis, which matplotlib keeps but never draws."""
    return {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }


MEASURE = """<script>
const outside = [], texts = [...document.querySelectorAll("svg.figure text")];
for (const text of texts) {
  const box = text.getBoundingClientRect(), frame = text.closest("svg").getBoundingClientRect();
  if (box.left < frame.left - 1 || box.right > frame.right + 1 ||
      box.top < frame.top - 1 || box.bottom > frame.bottom + 1) outside.push(text.textContent);
}
const wide = [...document.querySelectorAll("body > *, section > *")]
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.className);
const found = {texts: texts.length, outside: outside, wide: wide,
  page: getComputedStyle(document.body).backgroundColor, soft: getComputedStyle(texts[0]).fill};
document.documentElement.setAttribute("data-found", JSON.stringify(found));
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize(
    ("width", "scheme", "page", "soft"),
    [
        (1400, "light", "rgb(255, 255, 255)", "rgb(89, 99, 110)"),
        (500, "dark", "rgb(20, 23, 27)", "rgb(163, 171, 181)"),
    ],
)
def test_a_browser_shows_labels_inside_their_figures(folder, tmp_path, width, scheme, page, soft):
    path = tmp_path / "measured.html"
    path.write_text((folder / "report.html").read_text().replace("</body>", MEASURE))
    preference = {"light": 1, "dark": 0}[scheme]
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},900", "--dump-dom",
            f"--blink-settings=preferredColorScheme={preference}", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    marked = re.search(r'data-found="([^"]*)"', done.stdout)
    if marked is None:
        pytest.skip(f"Chromium does not run here: {done.stderr[-300:]}")
    found = json.loads(marked[1].replace("&quot;", '"'))
    assert found["texts"] > 60
    assert found["outside"] == []
    assert found["wide"] == []
    assert (found["page"], found["soft"]) == (page, soft)


def test_labels_of_a_crowd_do_not_overlap():
    positions = spread([5.0] * 12, 19, 0, 300)
    assert min(np.diff(positions)) >= 19
    assert spread([290.0, 295.0], 19, 0, 300) == [281, 300]
    assert spread([10.0, 200.0], 19, 0, 300) == [10, 200]


def test_texts_are_cut_to_a_width():
    assert fit("short", 200) == "short"
    cut = fit("a label that is far too long", 80)
    assert cut.endswith("…")
    assert 60 < text_width(cut) <= 80
    assert text_width("漢字") > text_width("ab")


def test_a_label_with_dollars_is_no_formula(tmp_path):
    folder = make_comparison(tmp_path, [Line("a $x^2$ b", 0.5), Line("\\frac{", 0.2)])
    write_report(folder)
    assert "a $x^2$ b" in {text.text for d in drawings_of(folder) for text in d.iter("text")}


def test_groups_are_read_as_they_are_written():
    assert group_bounds("0.6-<0.8") == (0.6, 0.8)
    assert group_bounds(">=20") == (20, np.inf)
    assert group_bounds("1e-05-<1e+06") == (1e-05, 1e6)


def test_one_row_one_seed_one_domain(tmp_path):
    folder = make_comparison(tmp_path, [Line("LLMEDT", 1.0, "LLMEDT", seeds=(3,))], ("only",))
    write_report(folder)
    page = Reader((folder / "report.html").read_text())
    assert "is the only finished row" in "".join(page.text)


def test_gains_by_group_are_drawn_against_rows_of_its_own_class(tmp_path):
    lines = [Line("LLMEDT", 1.0, "LLMEDT"), Line("close", 0.9), Line("far", -4.0, "Pop")]
    folder = make_comparison(tmp_path, lines)
    write_report(folder)
    gains = [d for d in drawings_of(folder) if d.get("aria-label", "").startswith("Gain by")]
    assert len(gains) == 3
    for drawing in gains:
        assert {tip.text.split(": ")[0] for tip in drawing.iter("title")} == {"close"}
        assert "n 0" not in {text.text for text in drawing.iter("text")}


@pytest.mark.parametrize(
    ("level", "claim"),
    [
        (1.0, "LLMEDT is above the best baseline in NDCG@10 overall and in 3 of 3 domains; after"),
        (-0.5, "LLMEDT is not above the best baseline in NDCG@10 overall or in any of 3 domains."),
    ],
)
def test_the_first_sentence_reports_where_the_reference_is_ahead(tmp_path, level, claim):
    lines = [Line("LLMEDT", level, "LLMEDT"), Line("SASRec", 0.7)]
    path = make_comparison(tmp_path, lines=lines)
    write_report(path)
    assert claim in "".join(Reader((path / "report.html").read_text(encoding="utf-8")).text)
