"""Make a dataset sparser on purpose: take training interactions away from some users or items.

    python benchmarks/thin.py --data_path=DIR --dataset=NAME --out=NAME-thin
    python benchmarks/thin.py --data_path=DIR --dataset=NAME --out=NAME-new --users=0 --items=0.05
    python benchmarks/thin.py --data_path=DIR --dataset=NAME --out=NAME-90 --users=0 --dominant=0.9

Half of the users (--users) lose 80 % (--share) of the training items of one random domain: the
place where augmented interactions should pay, if they do. A share of the items (--items, none by
default) loses all training interactions: new items, as targets and in histories before them.
With --dominant every user loses training items outside the domain of most of them, drawn at random,
until that domain has this share of what is left (one other item stays): imbalanced users.
Held-out rows stay as they are. The result is a dataset like any other.
"""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_edt.cli.arguments import ArgumentParser
from recbole_edt.data.split import TRAIN, load_or_make_split, save_split
from recbole_edt.files import replacing


def outside_dominant(
    user: np.ndarray,
    place: np.ndarray,
    training: np.ndarray,
    share: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Rows to take away so that each user's largest domain has `share` of the training rows."""
    counts = np.zeros((user.max() + 1, place.max() + 1), dtype=np.int64)
    np.add.at(counts, (user[training], place[training]), 1)
    largest, most = counts.argmax(axis=1), counts.max(axis=1)
    kept = np.maximum(1, np.floor(most * (1 - share) / share)).astype(np.int64)
    rows = np.flatnonzero(training & (place != largest[user]))
    rows = rows[np.lexsort((rng.random(len(rows)), user[rows]))]
    of = user[rows]
    number = np.arange(len(rows)) - np.searchsorted(of, of)  # of the row within its user
    gone = np.zeros(len(user), dtype=bool)
    gone[rows[number >= kept[of]]] = True
    return gone


def thin(
    folder: Path, out: Path, users: float, share: float, items: float, dominant: float, seed: int
) -> str:
    """Write the thinned copy of a prepared dataset and return what was done."""
    name, rng = folder.name, np.random.default_rng(seed)
    split = load_or_make_split(folder, name, "leave_one_out")
    inter = pd.read_csv(folder / f"{name}.inter", sep="\t", dtype=str)
    item = pd.read_csv(folder / f"{name}.item", sep="\t", dtype=str, keep_default_na=False)
    domain = inter["item_id:token"].map(item.set_index("item_id:token")["domain:token"])
    code, of_user = pd.factorize(inter["user_id:token"])
    names = sorted(domain.unique())
    thinned = rng.random(len(of_user)) < users
    loses = rng.integers(len(names), size=len(of_user))
    place = pd.Categorical(domain, names).codes
    at_risk = (split.codes == TRAIN) & thinned[code] & (place == loses[code])
    gone = at_risk & (rng.random(len(inter)) < share)
    of_item, item_names = pd.factorize(inter["item_id:token"], sort=True)
    is_new = np.random.default_rng(seed + 1).random(len(item_names)) < items
    gone |= (split.codes == TRAIN) & is_new[of_item]
    if dominant:
        generator = np.random.default_rng(seed + 2)
        training = split.codes == TRAIN
        gone |= outside_dominant(code, np.asarray(place), training, dominant, generator)
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / f"{out.name}.inter") as temporary:
        inter[~gone].to_csv(temporary, sep="\t", index=False, lineterminator="\n")
    shutil.copyfile(folder / f"{name}.item", out / f"{out.name}.item")
    split = save_split(out, out.name, "leave_one_out", split.codes[~gone])
    return (
        f"{out}: {int(thinned.sum()):,} of {len(of_user):,} users thinned, "
        f"{int(is_new.sum()):,} of {len(item_names):,} items new, "
        f"{int(gone.sum()):,} of {len(inter):,} interactions taken away; split {split.hash[:12]}"
    )


def main() -> None:
    """Run from the command line."""
    parser = ArgumentParser(prog="thin.py", description=__doc__)
    parser.add_argument("--data_path", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--users", type=float, default=0.5)
    parser.add_argument("--share", type=float, default=0.8)
    parser.add_argument("--items", type=float, default=0.0)
    parser.add_argument("--dominant", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=2026)
    given = parser.parse_args()
    folders = (given.data_path / given.dataset, given.data_path / given.out)
    print(thin(*folders, given.users, given.share, given.items, given.dominant, given.seed))


if __name__ == "__main__":
    main()
