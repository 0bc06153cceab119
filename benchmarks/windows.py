"""Prepare sequences that come with a split by sequence, such as food-kitchen-windows.

    python benchmarks/windows.py --raw=DIR --data_path=DIR --dataset=NAME

DIR holds ``inter.csv.gz`` (user_id, item_id, position, split) and ``items.csv.gz``. Sequences whose
``split`` starts with ``train`` are trained on, single-domain ones too; the last item of a ``valid``
or ``test`` sequence is a target, and the items before it are its history and nothing else.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from recbole_edt.cli.arguments import ArgumentParser
from recbole_edt.cli.entry import dispatch
from recbole_edt.data.split import CONTEXT, TEST, TRAIN, VALID, save_split


def main() -> None:
    """Run from the command line."""
    parser = ArgumentParser(prog="windows.py", description=__doc__)
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--data_path", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    given = parser.parse_args()
    tables = [f"--{name}={given.raw / file}" for name, file in
              (("inter", "inter.csv.gz"), ("items", "items.csv.gz"))]  # fmt: skip
    if dispatch(["prepare", "csv", *tables, f"--dataset={given.dataset}",
                 f"--data_path={given.data_path}"]):  # fmt: skip
        raise SystemExit(1)
    folder = given.data_path / given.dataset
    part = pd.read_csv(given.raw / "inter.csv.gz", dtype=str).drop_duplicates("user_id")
    part_of = part.set_index("user_id")["split"]
    users = pd.read_csv(folder / f"{given.dataset}.inter", sep="\t", dtype=str)["user_id:token"]
    last = ~users.duplicated(keep="last").to_numpy()  # rows are in order of time
    name = users.map(part_of)
    is_train = name.str.startswith("train")
    unknown = sorted({*name[~is_train]} - {"valid", "test"})
    if unknown:
        raise SystemExit(f"split: found {unknown}, expected train..., valid or test")
    codes = np.full(len(users), CONTEXT, dtype=np.uint8)
    codes[is_train] = TRAIN
    codes[last & (name == "valid")] = VALID
    codes[last & (name == "test")] = TEST
    split = save_split(folder, given.dataset, "leave_one_out", codes)
    print(f"split {split.hash[:12]}: {np.bincount(codes, minlength=4).tolist()} train, validation, "
          "test and context rows")  # fmt: skip


if __name__ == "__main__":
    main()
