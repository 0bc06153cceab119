"""Reader of MovieLens: the 100K files inside the installed recbole wheel, or a folder.

The genres make the domains. The default rule [ours] calls a film `light` when any of its
genres is Animation, Children's, Comedy or Musical, and `serious` otherwise: two moods that
most people mix, and neither name is a genre, so that the domain cannot be taken for one.
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.errors import UserError, nearest
from recbole_edt.prepare.interactions import Interactions
from recbole_edt.prepare.movielens_folder import load_ratings, read_movies, release_of
from recbole_edt.prepare.raw import RawData, make_inter
from recbole_edt.prepare.reader import Flag, Reader
from recbole_edt.prepare.source import open_source

DEFAULT_DATASET = "ml-100k-genres"
DEFAULT_GENRES = "light:Animation,Children's,Comedy,Musical;serious:*"

_REST = "other"


_GENRES = Flag(
    "genres",
    DEFAULT_GENRES,
    "domains as 'name:Genre,Genre;name:*', the first rule that fits a film wins, '*' "
    f"fits all, films that fit none go to '{_REST}' (default: \"{DEFAULT_GENRES}\")",
    {"metavar": "RULES"},
)


_FLAGS = (
    Flag("raw", None, "folder of a release, 100k to 32m (default: the wheel's 100K)",
         {"metavar": "DIR"}),
    Flag("min_rating", None, "drop lower ratings (default: keep all)",
         {"type": float, "metavar": "R"}),
    _GENRES,
)  # fmt: skip


def read(options: argparse.Namespace) -> RawData:
    """Read ml-100k with domains made from genres.

    Raises
    ------
    UserError
        When recbole's files are missing, a rule cannot be read or names no known genre, or
        other rules are given under the name of the default dataset.
    """
    for key, default in (("genres", DEFAULT_GENRES), ("min_rating", None)):
        if getattr(options, key) != default and options.dataset == DEFAULT_DATASET:
            raise UserError(
                f"{key}: another value than the default needs a --dataset=NAME of its own; "
                f"'{DEFAULT_DATASET}' is the name of the default"
            )
    if options.raw is not None:
        return _read_folder(options)
    folder = _wheel_folder()
    inter = _read_atomic(folder / "ml-100k.inter")
    notes: dict[str, int | str] = {"rows read": len(inter)}
    if options.min_rating is not None:
        low = inter["rating"].astype(float) < options.min_rating
        notes[f"ratings below {options.min_rating:g} dropped"] = int(low.sum())
        inter = inter[~low]
    items = _read_atomic(folder / "ml-100k.item")
    genres = items["class"].str.split()
    domains = domains_by_genre(genres, options.genres)
    year = items["release_year"]
    dated = year.str.fullmatch(r"\d{4}")
    titles = items["movie_title"].where(~dated, items["movie_title"] + " (" + year + ")")
    table = pd.DataFrame(
        {
            fields.ITEM: items[fields.ITEM],
            fields.DOMAIN: domains,
            fields.TITLE: titles,
            "genres": items["class"],
        }
    )
    user_codes, user_ids = pd.factorize(inter[fields.USER])
    item_ids = pd.Index(table[fields.ITEM])
    frame = make_inter(
        user_codes,
        pd.Index(user_ids),
        item_ids.get_indexer(inter[fields.ITEM]),
        item_ids,
        inter[fields.TIME].astype(np.float64).to_numpy(),
    )
    inputs = [folder / "ml-100k.inter", folder / "ml-100k.item"]
    return RawData(frame, table, inputs, notes | {"items read": len(items)})


def _read_folder(options: argparse.Namespace) -> RawData:
    """Read a published folder; its genres make the domains by the same rules."""
    if options.dataset == DEFAULT_DATASET:
        raise UserError(
            f"raw: needs its own --dataset=NAME; '{DEFAULT_DATASET}' is the name of the default"
        )
    folder, engine = Path(options.raw), options.engine
    release = release_of(folder)
    movies = read_movies(folder, release)
    rules = options.genres
    if rules == DEFAULT_GENRES:
        known = {genre for film in movies["genres"] for genre in film}
        # from 10m on the genre is called Children
        rules = rules if "Children's" in known else rules.replace("Children's", "Children")
    items = pd.DataFrame(
        {
            fields.ITEM: movies[fields.ITEM].astype(str),
            fields.DOMAIN: domains_by_genre(movies["genres"], rules),
            fields.TITLE: movies[fields.TITLE],
            "genres": movies["genres"].str.join(" "),
        }
    )
    rows = load_ratings(engine, folder, release)
    notes: dict[str, int | str] = {"rows read": rows, "items read": len(items)}
    if options.min_rating is not None:
        low = engine.row(f"DELETE FROM raw WHERE rating < {options.min_rating!r}")[0]
        notes[f"ratings below {options.min_rating:g} dropped"] = int(low)
    inter = Interactions.encode(engine, movies[fields.ITEM])
    unknown = inter.engine.row("SELECT count(*) FROM inter WHERE item < 0")[0]
    if unknown:
        raise UserError(
            f"{folder / release.movies}: {unknown} ratings are of movies that it does not list"
        )
    inputs = [folder / release.ratings, folder / release.movies]
    return RawData(inter, items, inputs, notes)


def domains_by_genre(genres: pd.Series, rules: str) -> pd.Series:
    """Return each film's domain by the first rule that names one of its genres.

    Parameters
    ----------
    genres : pandas.Series of list of str
        The genres of each film.
    rules : str
        ``name:Genre,Genre;name:*``.

    Raises
    ------
    UserError
        When `rules` cannot be read or names a genre that no film has.
    """
    known = sorted({genre for film in genres for genre in film})
    domains = pd.Series(_REST, index=genres.index, dtype=object)
    undecided = pd.Series(True, index=genres.index)
    for rule in filter(None, rules.split(";")):
        name, _, listed = (part.strip() for part in rule.partition(":"))
        of_rule = [genre.strip() for genre in listed.split(",")]
        if not name or not listed:
            raise UserError(f"genres: found '{rule}'; expected 'name:Genre,Genre' or 'name:*'")
        for genre in of_rule:
            if genre != "*" and genre not in known:
                raise UserError(
                    f"genres: no film has the genre '{genre}'{nearest(genre, known)}; "
                    f"known: {', '.join(known)}"
                )
        fits = undecided & genres.map(
            lambda film, rule=of_rule: "*" in rule or not set(rule).isdisjoint(film)
        )
        domains[fits] = name
        undecided &= ~fits
    return domains


def _wheel_folder() -> Path:
    # the folder is in the module's specification; importing recbole would take seconds
    spec = importlib.util.find_spec("recbole")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("recbole is not installed; its wheel holds the ml-100k files")
    return Path(spec.submodule_search_locations[0]) / "dataset_example" / "ml-100k"


def _read_atomic(path: Path) -> pd.DataFrame:
    with open_source(path) as stream:
        frame = pd.read_csv(
            stream, sep="\t", dtype=str, na_filter=False, quoting=3, encoding="utf-8"
        )
    return frame.rename(columns=lambda name: name.partition(":")[0])


READER = Reader(
    "Reader of MovieLens: 100K inside the installed recbole wheel, or a published folder.",
    _FLAGS,
    read,
    common_defaults={"dataset": DEFAULT_DATASET},
)
