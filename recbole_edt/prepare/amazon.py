"""Reader of raw Amazon review dumps (2014, 2018, 2023), one category per domain.

Reviews are read into the engine. Metadata are parsed only for the items that are left after the
filters.
"""

import argparse
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from recbole_edt import fields
from recbole_edt.errors import UserError, nearest
from recbole_edt.paths import properties_dir
from recbole_edt.prepare.amazon_reviews import VERSIONS, detect, load_reviews
from recbole_edt.prepare.amazon_titles import read_titles
from recbole_edt.prepare.domain_files import files_by_domain
from recbole_edt.prepare.engine import Engine
from recbole_edt.prepare.interactions import Interactions
from recbole_edt.prepare.raw import RawData
from recbole_edt.prepare.reader import Flag, Reader

SHARED_ITEMS = ("first", "drop")
_FLAGS = (
    Flag(
        "reviews", None,
        "review dump of each domain, .json.gz or ratings .csv; may be repeated",
        {"action": "append", "metavar": "DOMAIN=FILE,..."},
    ),
    Flag(
        "metadata", None,
        "item dump of each domain, for the titles (default: none, all items untitled)",
        {"action": "append", "metavar": "DOMAIN=FILE,..."},
    ),
    Flag(
        "recipe", None, "take files and filters from a ready recipe, such as amazon-cloth-sport"
    ),
    Flag("raw", None, "folder of the recipe's files (default: .)", {"metavar": "DIR"}),
    Flag(
        "version", None, "release (default: by the keys of the first line)", {"choices": VERSIONS}
    ),
    Flag(
        "min_rating", None, "drop lower ratings (default: keep all)",
        {"type": float, "metavar": "R"},
    ),
    Flag(
        "shared_items", "first",
        "an item that several domains list belongs to the first, or goes (default: first)",
        {"choices": SHARED_ITEMS},
    ),
)  # fmt: skip


def recipe(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the recipe named in `given`, ``{}`` when none is named.

    Raises
    ------
    UserError
        For an unknown recipe, and for --raw without one.
    """
    name = given.get("recipe")
    if name is None:
        if given.get("raw") is not None:
            raise UserError("raw: is the folder of a recipe's files; --recipe=NAME is missing")
        return {}
    folder = properties_dir() / "prepare"
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise UserError(
            f"recipe: '{name}' is unknown; expected one of {', '.join(known)}{nearest(name, known)}"
        )
    options = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
    raw = Path(given.get("raw") or ".")
    for key in ("reviews", "metadata"):
        options[key] = [f"{domain}={raw / file}" for domain, file in options[key].items()]
    return {"dataset": name} | options


def read(options: argparse.Namespace) -> RawData:
    """Read the review dumps; titles are read later, for the items that stay.

    Raises
    ------
    UserError
        For missing or truncated files and malformed lines, fewer than two domains, metadata
        of other domains than the reviews, and a dump of another release than `version`.
    """
    if not options.reviews:
        raise UserError("prepare amazon: --reviews=DOMAIN=FILE,DOMAIN=FILE is required")
    reviews = files_by_domain(options.reviews, "reviews")
    metadata = files_by_domain(options.metadata or [], "metadata")
    if len(reviews) < 2:
        raise UserError(f"reviews: found one domain '{next(iter(reviews))}'; expected at least two")
    if metadata and set(metadata) != set(reviews):
        raise UserError(
            f"metadata: found the domains {', '.join(metadata)}; "
            f"expected those of the reviews: {', '.join(reviews)}"
        )
    for path in [*reviews.values(), *metadata.values()]:
        if not path.is_file():  # reported before hours of reading, not after
            raise UserError(f"{path}: no such file")
    engine: Engine = options.engine
    layouts = [detect(path, options.version) for path in reviews.values()]
    dumps = list(zip(reviews.values(), layouts, strict=True))
    counts = load_reviews(engine, dumps, options.min_rating)
    notes: dict[str, int | str] = {
        f"reviews of {domain}, {layout.name}": rows
        for domain, layout, (rows, _) in zip(reviews, layouts, counts, strict=True)
    }
    if options.min_rating is not None:
        notes[f"reviews rated below {options.min_rating:g} dropped"] = sum(low for _, low in counts)
    items = _catalogue(engine, list(reviews), options.shared_items, notes)
    inter = Interactions.encode(engine, items[fields.ITEM])
    lookup = partial(_titles, metadata, items) if metadata else None
    inputs = [*reviews.values(), *metadata.values()]
    return RawData(inter, items, inputs, notes, load_titles=lookup)


def _catalogue(
    engine: Engine, domains: list[str], shared_items: str, notes: dict[str, int | str]
) -> pd.DataFrame:
    """Return all items in order of appearance; drop their reviews in later domains.

    An item belongs to the domain in which it is met first, or is dropped when it is met in
    another one as well.
    """
    engine.run(
        "CREATE OR REPLACE TABLE met AS SELECT item, min(domain) AS domain, min(rowid) AS first, "
        "min(domain) < max(domain) AS shared FROM raw GROUP BY item"
    )
    shared = int(engine.row("SELECT count(*) FROM met WHERE shared")[0])
    notes["items that several domains list"] = shared
    later = of_first = 0
    if shared:
        engine.run("CREATE OR REPLACE TABLE kept AS SELECT item, domain FROM met WHERE shared")
        later = engine.row(
            "DELETE FROM raw USING kept WHERE raw.item = kept.item AND raw.domain > kept.domain"
        )[0]
        if shared_items == "drop":
            of_first = engine.row("DELETE FROM raw USING kept WHERE raw.item = kept.item")[0]
            engine.run("DELETE FROM met WHERE shared")
        engine.run("DROP TABLE kept")
    notes["reviews of such items in later domains dropped"] = int(later)
    if shared_items == "drop":
        notes["reviews of such items in their first domain dropped"] = int(of_first)
    items = engine.frame("SELECT item, domain FROM met ORDER BY first")
    engine.run("DROP TABLE met")
    return pd.DataFrame(
        {
            fields.ITEM: items["item"],
            fields.DOMAIN: np.array(domains, dtype=object)[items["domain"].to_numpy()],
            fields.TITLE: "",
        }
    )


def _titles(
    metadata: dict[str, Path], items: pd.DataFrame, ids: pd.Series
) -> tuple[pd.Series, dict[str, int | str]]:
    """Return the titles of some items, each from the metadata of its domain."""
    titles: dict[str, str] = {}
    listed, unformatted = 0, 0
    domains = items.loc[ids.index, fields.DOMAIN]
    for domain, path in metadata.items():
        of_domain, broken = read_titles(path, set(ids[domains == domain]))
        listed += len(of_domain)
        unformatted += broken
        titles |= of_domain
    notes: dict[str, int | str] = {
        "items looked up in the metadata": len(ids),
        "of them not listed there": len(ids) - listed,
        "of them with a page script for a title, taken as untitled": unformatted,
    }
    return ids.map(titles).fillna(""), notes


READER = Reader(
    "Reader of raw Amazon review dumps (2014, 2018, 2023), one category per domain.",
    _FLAGS,
    read,
    recipe,
    # dumps are grouped by item: their order would make the next item of a day the next id
    common_defaults={"ties": "shuffle"},
)
