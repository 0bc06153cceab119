"""A reader that another installed package registers, without a change in this one."""

import pytest

MODULE = """
import pandas as pd
from recbole_edt.prepare.raw import RawData, make_inter
from recbole_edt.prepare.reader import Flag, Reader


def read(options):
    items = pd.DataFrame({"item_id": list("wxyz"), "domain": list("aabb"), "title": list("WXYZ")})
    users, rows = [0, 1] * options.repeat, [0, 1, 2, 3] * (options.repeat // 2)
    inter = make_inter(users, ["u", "v"], rows, items["item_id"], range(len(users)))
    return RawData(inter, items, [], {"rows made": len(users)})


REPEAT = Flag("repeat", 4, "how often each user comes back", {"type": int})
READER = Reader("Made-up rows.", [REPEAT], read, common_defaults={"ties": "shuffle"})
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a package of one module with one entry point."""

    def into_site(name, value, module=MODULE):
        site = tmp_path / "site"
        folder = site / f"{name}-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[recbole_edt.readers]\n{name} = {value}\n")
        (site / f"{name}.py").write_text(module)
        monkeypatch.syspath_prepend(site)

    return into_site


def test_it_prepares_a_dataset_with_its_flags_and_defaults(install, prepare, read):
    install("madeup", "madeup:READER")
    report = prepare("madeup", "--dataset=small", "--repeat=6")
    assert "(reader madeup)" in report
    assert "12  rows made" in report
    assert "one order drawn with seed" in report
    assert len(read("small.inter")) == 12
    assert set(read("small.item")["domain"]) == {"a", "b"}
