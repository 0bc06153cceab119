"""Reader of lines 'user item domain', in order of time."""

from pathlib import Path

import numpy as np
import pandas as pd

from recbole_edt import fields
from recbole_edt.errors import UserError
from recbole_edt.prepare.raw import RawData, make_inter
from recbole_edt.prepare.reader import Flag, Reader


def read(options):
    if options.file is None:
        raise UserError("prepare lines: --file=FILE is required")
    path = Path(options.file)
    rows = [line.split() for line in path.read_text().splitlines()]
    users, items, domains = zip(*rows, strict=True)
    user_codes, user_ids = pd.factorize(np.array(users, dtype=object))
    item_codes, item_ids = pd.factorize(np.array(items, dtype=object))
    times = np.arange(len(users), dtype=np.float64)
    inter = make_inter(user_codes, pd.Index(user_ids), item_codes, pd.Index(item_ids), times)
    table = pd.DataFrame({fields.ITEM: items, fields.DOMAIN: domains, fields.TITLE: items})
    table = table.drop_duplicates(fields.ITEM, ignore_index=True)
    return RawData(inter, table, [path], {"lines": len(users)})


READER = Reader(
    summary="lines 'user item domain'",
    flags=[Flag("file", None, "one interaction a line", {"metavar": "FILE"})],
    read=read,
    common_defaults={"min_user_inter": 2},
)
