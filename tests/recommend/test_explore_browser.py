"""The page to look around in, in a real Chromium: by mouse and keyboard, wide and narrow."""

import json

import numpy as np
import pytest
from browser import CHROMIUM, DRIVER, chromium

from recbole_edt.recommend.explore.packing import pack
from recbole_edt.recommend.explore.page import html_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium with chromedriver here"),
]
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">' & \u202e<!--"
USERS, ITEMS, LENGTH = 10_000, 3000, 12


def made_up():
    """Return the content of a page with 10,000 users; two runs rank the target first or never."""
    rng = np.random.default_rng(0)
    histories = rng.integers(0, ITEMS, (USERS, LENGTH))
    histories[0] = np.arange(LENGTH)
    parts = np.zeros((USERS, LENGTH), np.int64)
    parts[:, -2:] = 1, 2
    domain = np.arange(ITEMS) % 2
    lists = 1 + (np.arange(4) + histories[:, -1:] + 2 * np.arange(4)) % ITEMS
    runs = [
        {"label": "First", "heldOut": lists, "rank": np.ones(USERS, np.int64)},
        {"label": HOSTILE, "heldOut": lists[:, 1:] % ITEMS + 1, "rank": np.full(USERS, 77)},
    ]
    runs[1]["heldOut"] = np.pad(runs[1]["heldOut"], ((0, 0), (0, 1)))
    following = np.stack([1 + np.arange(4) * 2, 2 + np.arange(4) * 2])[None].repeat(USERS, 0)
    scores = np.linspace(9, 2, 8, dtype=np.float32).reshape(1, 2, 4).repeat(USERS, 0)
    for run in runs:
        run |= {"folder": "output", "metric": "ndcg@10", "value": 0.5, "among": "items"}
        run |= {"candidates": np.full(USERS, ITEMS), "following": following, "scores": scores}
    titles = [f"title {i}" for i in range(ITEMS)]
    titles[LENGTH - 1] = HOSTILE
    zeros = np.zeros(USERS + 1, np.int64)
    starts = np.where(np.arange(USERS + 1) > 0, 1, 0)
    content = {
        "dataset": HOSTILE, "k": 4, "colours": 12, "allUsers": 20_000, "allItems": ITEMS,
        "domains": ["food", HOSTILE], "runs": runs,
        "users": {
            "ids": [f"user-{n}" for n in range(USERS)], "starts": np.arange(USERS + 1) * LENGTH,
            "items": histories, "times": 1_500_000_000 + 3600 * np.arange(USERS * LENGTH),
            "dates": True, "parts": parts,
        },
        "items": {"ids": [f"i{n}" for n in range(ITEMS)], "titles": titles, "domain": domain,
                  "counts": np.arange(ITEMS)},
        "artefacts": [{
            "hash": "a", "runs": ["First"], "augment": True,
            "profiles": {"starts": starts, "name": zeros[:1], "names": ["food"],
                         "texts": [HOSTILE]},
            "proposals": {"starts": starts, "items": np.array([40]), "anchors": np.array([3]),
                          "scores": np.array([0.5], np.float32), "mode": zeros[:1],
                          "modes": ["score"]},
        }],
        "vectors": "LLM vectors",
        "nearest": {"items": 1 + (np.arange(ITEMS)[:, None] + np.arange(1, 4)) % ITEMS,
                    "cosines": np.full((ITEMS, 3), 50), "count": 3},
        "map": rng.normal(size=(ITEMS, 2)).astype(np.float32),
    }  # fmt: skip
    return json.loads(json.dumps(content, default=pack))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return a browser with the page of 10,000 users."""
    folder = tmp_path_factory.mktemp("browser")
    path = folder / "explore.html"
    path.write_text(html_of(made_up()), encoding="utf-8")
    with chromium(folder / "profile") as browser:
        browser.size(1500, 1000)
        browser.open(path.as_uri())
        yield browser
        assert browser.messages() == []  # no error, and nothing that the policy had to block


def shown(page, selector):
    return page.run(
        "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent.trim())",
        selector,
    )


def open_first(page):
    page.run("location.hash = ''; document.querySelector('#user-search').value = ''")
    page.run("document.activeElement.blur(); location.hash = 'user=user-0'")


def test_a_user_is_found_by_keyboard_alone(page):
    page.press("/")
    assert page.run("return document.activeElement.id") == "user-search"
    page.press("user-99", "Down", "Down")
    assert page.text("#user-count") == "first 50 of 111"
    active = page.run("return document.activeElement.getAttribute('aria-activedescendant')")
    assert page.text(f"#{active} bdi") == "user-990"
    page.press("Enter")
    assert page.text("#user-title") == "User user-990"
    assert page.run("return location.hash") == "#user=user-990"
    assert page.text("#user-results [aria-selected=true] bdi") == "user-990"
    page.press("Down", *["Down"] * 60)  # beyond what is drawn at first
    assert page.run("return document.querySelectorAll('#user-results li').length") == 100
    page.run("history.back()")


def test_history_lists_and_artefacts_of_a_user(page):
    open_first(page)
    assert page.text("#facts span").startswith("10,000 users of 20,000, drawn at random")
    assert page.text("#user-facts").startswith("12 interactions: food 6,")
    marks = "return document.querySelectorAll(`#timeline .${arguments[0]}`).length"
    counts = {name: page.run(marks, name) for name in ("train", "valid", "test", "proposed")}
    assert counts == {"train": 10, "valid": 1, "test": 1, "proposed": 1}
    target = shown(page, "#held-out-target .item")
    assert target == [HOSTILE]
    columns = shown(page, "#held-out h4")
    assert columns == ["First", HOSTILE]
    assert shown(page, "#held-out li.hit strong") == ["✓ hit"]
    assert (
        page.run("return document.querySelector('#held-out li.hit .item').title")
        == f"{HOSTILE} (item i11, {HOSTILE})"
    )
    assert shown(page, "#held-out .note") == ["rank 1 of 3,000 items", "rank 77 of 3,000 items"]
    assert shown(page, "#proposals .item") == ["title 40", "title 3"]
    assert shown(page, "#profiles p bdi") == [HOSTILE]
    best = ["title 0", "title 2", "title 4", "title 6"]
    assert shown(page, "#next .column:first-child .item") == best
    page.run(
        "const s = document.querySelector('#next-domain'); s.value = 1;"
        "s.dispatchEvent(new Event('change'))"
    )
    assert shown(page, "#next .column:first-child .item")[:2] == ["title 1", "title 3"]


def test_arrow_keys_in_lists_time_line_and_map(page):
    open_first(page)
    page.run("document.querySelector('#next .item').focus()")
    page.press("Down", "Right", "Enter")
    focused = "return [...document.querySelectorAll('#next .item')].indexOf(document.activeElement)"
    assert page.run(focused) == 4 + 1
    assert page.run("return document.querySelectorAll('#next .item[tabindex=\"0\"]').length") == 2
    opened = page.text("#item-card .title")
    assert opened in shown(page, "#next .item")
    assert len(shown(page, "#near li")) == 3
    page.run("document.querySelector('#timeline svg').focus()")
    assert page.text("#timeline-info").endswith(" ".join(HOSTILE.split()))
    page.press("Home", "Right", "Enter")
    assert page.text("#item-card .title") == "title 1"
    page.run("document.querySelector('#map').focus()")
    page.press("Right")
    moved = page.run("return new URLSearchParams(location.hash.slice(1)).get('item')")
    assert moved != "i1"
    outline = page.run("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_a_click_on_the_map_opens_an_item(page):
    open_first(page)
    page.run("location.hash = 'user=user-0&item=i5'")
    point = page.run(
        "const c = document.querySelector('#map'); c.scrollIntoView();"
        "const b = c.getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2]"
    )
    for kind in ("mousePressed", "mouseReleased"):
        page.cdp("Input.dispatchMouseEvent", type=kind, x=point[0], y=point[1], button="left",
                 clickCount=1)  # fmt: skip
    assert page.run("return location.hash").startswith("#user=user-0&item=i")
    assert page.text("#map-info").startswith(page.text("#item-card .title"))


def test_users_are_filtered_by_what_models_hit(page):
    choose = (
        "const s = document.querySelector('#user-filter');"
        "s.value = [...s.options].findIndex((o) => o.text === arguments[0]);"
        "s.dispatchEvent(new Event('change'))"
    )
    for text, count in [
        ("hit by First", "first 50 of 10,000"),
        ("missed by First", "none found"),
        (f"hit by First, missed by {HOSTILE}", "first 50 of 10,000"),
        ("with proposed interactions", "1 found"),
        ("all users", "first 50 of 10,000"),
    ]:
        page.run(choose, text)
        assert page.text("#user-count") == count


@pytest.mark.parametrize("dark", [False, True])
def test_a_narrow_screen_scrolls_down_only(page, dark):
    open_first(page)
    page.size(360, 800, dark)
    try:
        widths = page.run("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert widths[0] <= widths[1] == 360
        background = page.run("return getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")
        beyond = page.run(
            "return [...document.querySelectorAll('body *')].filter((one) =>"
            " one.getBoundingClientRect().right > 361 && !one.closest('.hidden, svg')).length"
        )
        assert beyond == 0
    finally:
        page.size(1500, 1000)


def test_only_the_user_in_view_is_drawn(page):
    open_first(page)
    assert page.run("return document.querySelectorAll('*').length") < 1000
    assert page.run("return document.title").startswith(HOSTILE[:9])
    assert page.run("return document.images.length") == 0


def test_controls_have_names(page):
    open_first(page)
    nameless = page.run(
        "return [...document.querySelectorAll('button, input, select, canvas, svg[tabindex]')]"
        ".filter((one) => !(one.labels?.length || one.textContent.trim()"
        " || one.getAttribute('aria-label'))).map((one) => one.outerHTML)"
    )
    assert nameless == []
