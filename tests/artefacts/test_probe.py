import numpy as np
import pytest
from fake_llm import FakeClient
from shops import make_task, make_training, picks

from recbole_edt.artefacts.probe import run_probe
from recbole_edt.artefacts.probe.recall import HiddenItems, lift
from recbole_edt.artefacts.probe.sample import hide_rows
from recbole_edt.errors import UserError

USERS, ITEMS_EACH = 12, 30


@pytest.fixture
def make(config, tmp_path, monkeypatch, use_model):
    """Return a function that makes a shop in which candidates and hidden items lie close together.

    User u has a-items u, u + 1, ... and the b-item with the vector of a-item u, which nobody
    else has; the c-items with these vectors are in the domain of the b-items.
    """
    vectors = np.eye(ITEMS_EACH)
    monkeypatch.setattr(
        "recbole_edt.artefacts.probe.make.title_encoder",
        lambda settings, dim: lambda titles: -np.ones((len(titles), dim)),
    )
    items = {f"a{n}": ("a", f"tea {n}", vectors[n]) for n in range(ITEMS_EACH)}
    items |= {f"b{n}": ("b", f"cup {n}", vectors[n]) for n in range(ITEMS_EACH)}
    items |= {f"c{n}": ("b", f"pan {n}", vectors[n]) for n in range(ITEMS_EACH)}

    def write(model, **keys):
        use_model(model)
        histories = {
            f"u{n}": [f"a{n}", f"b{n}", *[f"a{n + i}" for i in range(1, 5)], "c29", "a29"]
            for n in range(USERS)
        }
        # these make the c-items popular
        histories |= {f"v{n}": [f"c{n}", "c28", "c28"] for n in range(USERS + 4)}
        keys = {"augment_cap": 3} | keys
        return make_task(tmp_path / "toy", config, histories, items, **keys)

    return write


def figures(report, row, table=0):
    """Return recall, proposed and found of a row, as text."""
    part = report.split("candidates: ")[1 + table]
    lines = [line.strip() for line in part.splitlines()]
    return next(line.removeprefix(row).split()[:3] for line in lines if line.startswith(row))


def test_an_oracle_reaches_the_bound_and_says_so(make):
    hidden = {f"cup {n}" for n in range(USERS)}
    task = make(FakeClient(picks(hidden), value=lambda title: title not in hidden and -1.0))
    report = run_probe(task, 99)
    assert "12 of 12 users with items in two domains" in report
    assert "hidden: 12 training interactions" in report
    # b-items and c-items at each of five a-items, one of which is hidden: all reachable
    assert "own candidates: 10.0 candidates per user, which hold 12 of 12" in report
    assert figures(report, "perfect choice")[0] == "1.0000"
    assert figures(report, "score") == ["1.0000", "36", "12"]
    assert figures(report, "random")[0] == "0.3000"
    assert "own candidates: score beats random" in report
    assert "own candidates: score beats popularity" in report
    assert figures(report, "score", 1) == ["1.0000", "36", "12"]


def test_a_useless_model_is_reported_in_words(make):
    report = run_probe(make(FakeClient(lambda text: "I like trains")), 10)
    assert "10 of 12 users" in report
    assert figures(report, "select") == ["0.0000", "0", "0"]
    assert "select rejected: invalid_number 10" in report
    assert "own candidates: select is worse than random" in report
    assert "own candidates: select does not beat popularity" in report


def test_repeatable_and_seeded(make):
    def lines_of(**keys):
        report = run_probe(make(FakeClient(lambda text: "1, 2"), **keys), 6)
        lines = [line for line in report.splitlines() if "proposed" not in line]
        # the last column is seconds
        return [line.rsplit(maxsplit=1)[0] for line in lines if line]

    assert lines_of() == lines_of()
    assert lines_of() != lines_of(seed=1)


def test_held_out_rows_are_not_read(make):
    asked = []
    for held_out in ("c29", "c28"):
        model = FakeClient(lambda text: "1, 2")
        task = make(model)
        path = task.dataset_dir / "toy.inter"
        path.write_text(path.read_text().replace("\tc29\t", f"\t{held_out}\t"))
        for replies in (task.dataset_dir / "artefacts" / "replies").glob("*"):
            replies.unlink()
        run_probe(task, 9)
        asked.append(model.asked)
    assert asked[0] == asked[1]
    assert asked[0]


def test_hidden_rows_are_not_counted_as_users_in_common(make):
    # b-items are had by one user each: once hidden, nobody has one beside an a-item
    report = run_probe(make(FakeClient(lambda text: "none"), augment_pool_by="cooccurrence"), 99)
    assert "own candidates by cooccurrence" in report
    assert "own candidates: 0.0 candidates per user, which hold 0 of 12" in report
    # of 6 sampled users they stay hidden; the others' b-items are candidates again
    report = run_probe(make(FakeClient(lambda text: "none"), augment_pool_by="cooccurrence"), 6)
    assert "which hold 0 of 6" in report
    assert "own candidates: 0.0 candidates" not in report


def test_a_model_that_cannot_score_still_selects(make):
    class Chat(FakeClient):
        def score(self, prompts, continuations, on_answers=None):
            raise UserError("llm: the server cannot score")

    report = run_probe(make(Chat(lambda text: "1")), 5)
    assert "could not be run: llm: the server cannot score" in report
    assert figures(report, "select")[1] == "5"


def test_no_mode_can_be_run(make):
    class Down(FakeClient):
        def generate(self, prompts, settings, on_answers=None):
            raise UserError("llm: no connection")

        score = generate

    with pytest.raises(UserError, match="no connection"):
        run_probe(make(Down()), 5)


def test_what_is_hidden():
    # u0: two of d0, one of d1, one of d2; u1: one domain; u2: its d1 item has no title
    training = make_training([[0, 1, 2, 3], [0, 1], [0, 1, 4], [3, 3, 2]], [0, 0, 1, 2, 1], 3)
    usable = np.array([True, True, True, True, False])
    sample = hide_rows(training, usable, 9, 2, 0)
    assert sample.eligible == 2
    assert sample.deficits.users.tolist() == [0, 3]
    assert sample.deficits.domains.tolist() == [1, 1]
    assert sample.deficits.dominant.tolist() == [0, 2]
    assert sample.hidden.items.tolist() == [2, 2]
    assert sample.training.items.tolist() == [0, 1, 3, 0, 1, 0, 1, 4, 3, 3]
    assert sample.training.starts.tolist() == [0, 3, 5, 8, 10]


def test_nothing_to_hide(make):
    with pytest.raises(UserError, match="no user has training interactions with titled items"):
        hide_rows(make_training([[0], [1]], [0, 1], 2), np.ones(2, bool), 5, 2, 0)
    with pytest.raises(UserError, match="probe: 0 users"):
        run_probe(make(FakeClient(lambda text: "none")), 0)


def test_hits():
    hidden = HiddenItems(np.array([0, 0, 2]), np.array([4, 7, 4]), 3)
    assert hidden.sizes.tolist() == [2, 0, 1]
    found = hidden.count_hits(np.array([0, 0, 1, 2, 2]), np.array([7, 7, 4, 4, 9]))
    assert found.tolist() == [1, 0, 1]


def test_lift():
    rng = np.random.default_rng(0)
    base = rng.random(400)
    sure = lift(base + 0.1, base, 1)
    assert (sure.low, sure.high) == pytest.approx((0.1, 0.1))
    assert sure.verdict == "beats"
    noise = lift(base + rng.normal(size=400), base, 1)
    half = 1.96 / np.sqrt(400)
    assert noise.high - noise.low == pytest.approx(2 * half, rel=0.15)
    assert noise.verdict == "does not beat"
    assert lift(base, base + 0.1, 1).verdict == "is worse than"
    assert lift(base, np.zeros(400), 1).ratio is None
