"""The HTML report: true to results.csv, self-contained, escaped, whole."""

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from fake_comparison import DEFAULT, Line, make_comparison

from recbole_edt.compare.report import plots, svg
from recbole_edt.compare.report.make import write_report
from recbole_edt.compare.report.tables import percent, with_std
from recbole_edt.compare.report.writers import one_line
from recbole_edt.compare.runs import bounds

VOID = {"meta", "br", "link", "img", "input", "hr"}


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
                assert shown == with_std(values.mean(), np.std(values, ddof=1))


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
    assert re.findall(r'class="value">([\d.]+)<', first) == list(means.values())


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


def test_drawings_are_well_formed_and_inside_their_frames(folder):
    html = (folder / "report.html").read_text()
    drawings = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(drawings) > 4 + 3 + 4 + 1
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        _, _, wide, high = map(float, root.get("viewBox").split())
        assert not re.search(r"\b(nan|inf)\b", drawing)
        for element in root.iter("text"):
            x, y, text = float(element.get("x")), float(element.get("y")), element.text
            size = svg.text_pixels(text, 1e9)
            left = x - size * {"start": 0, "middle": 0.5, "end": 1}[element.get("text-anchor")]
            assert left >= -3, text
            assert left + size <= wide + 3, text
            assert 0 < y <= high, text


def test_labels_of_a_crowd_do_not_overlap():
    placed = plots.spread([5.0] * 12, 19, 0, 300)
    assert min(np.diff(placed)) >= 19
    assert plots.spread([290.0, 295.0], 19, 0, 300) == [281, 300]
    assert plots.spread([10.0, 200.0], 19, 0, 300) == [10, 200]


def test_groups_are_read_as_they_are_written():
    assert bounds("0.6-<0.8") == (0.6, 0.8)
    assert bounds(">=20") == (20, np.inf)
    assert bounds("1e-05-<1e+06") == (1e-05, 1e6)


@pytest.mark.parametrize(("low", "high"), [(0, 0.04), (-0.003, 0.011), (0, 1), (1, 400), (3, 3)])
def test_ticks_are_few_and_inside(low, high):
    found = svg.ticks(low, high)
    assert 1 <= len(found) <= 11
    assert low <= found[0] <= found[-1] <= high
    assert len(set(svg.labels(found))) == len(found)


def test_one_row_one_seed_one_domain(tmp_path):
    folder = make_comparison(tmp_path, [Line("LLMEDT", 1.0, "LLMEDT", seeds=(3,))], ("only",))
    write_report(folder)
    page = Reader((folder / "report.html").read_text())
    assert "is the only finished row" in "".join(page.text)


def test_gains_by_group_are_drawn_against_rows_of_its_own_class(tmp_path):
    lines = [Line("LLMEDT", 1.0, "LLMEDT"), Line("close", 0.9), Line("far", -4.0, "Pop")]
    folder = make_comparison(tmp_path, lines)
    write_report(folder)
    html = (folder / "report.html").read_text()
    drawings = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    gains = [drawing for drawing in drawings if "Gain by" in drawing]
    assert len(gains) == 3
    assert all("close: " in drawing and "far: " not in drawing for drawing in gains)
    assert all("n 0<" not in drawing for drawing in gains)


@pytest.mark.parametrize(
    ("level", "told"),
    [
        (1.0, "LLMEDT is above the best baseline in NDCG@10 overall and in 3 of 3 domains; after"),
        (-0.5, "LLMEDT is not above the best baseline in NDCG@10 overall or in any of 3 domains."),
    ],
)
def test_the_first_sentence_tells_where_the_reference_is_ahead(tmp_path, level, told):
    lines = [Line("LLMEDT", level, "LLMEDT"), Line("SASRec", 0.7)]
    path = make_comparison(tmp_path, lines=lines)
    write_report(path)
    assert told in "".join(Reader((path / "report.html").read_text(encoding="utf-8")).text)
