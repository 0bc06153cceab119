"""A file of user ids, one per line."""

from pathlib import Path

from recbole_edt.data.dataset import CrossDomainDataset
from recbole_edt.errors import UserError, nearest
from recbole_edt.recommend.given_histories import USER, user_numbers
from recbole_edt.recommend.item_index import as_tokens


def read_user_file(path: Path, dataset: CrossDomainDataset) -> list[str]:
    """Return the users of a file: one id per line, a first line ``user`` or ``user_id`` aside.

    Raises
    ------
    UserError
        For a file that cannot be read, and a user who is unknown or listed twice; names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({reason})") from None
    numbered = [(n, line.strip()) for n, line in enumerate(lines, 1) if line.strip()]
    if numbered and numbered[0][1] in USER:
        del numbered[0]
    if not numbered:
        raise UserError(f"{path}: holds no user; expected one id per line")
    users = [user for _, user in numbered]
    known = user_numbers(dataset, as_tokens(list(users)))
    if not known.all():
        line, user = numbered[int(known.argmin())]
        ids = dataset.field2id_token[dataset.uid_field]
        raise UserError(
            f"{path}: line {line}: user {user!r} is not in {dataset.dataset_name}.inter"
            f"{nearest(user, ids[1:])}"
        )
    first: dict[str, int] = {}
    for line, user in numbered:
        if first.setdefault(user, line) != line:
            raise UserError(f"{path}: line {line} repeats user {user!r} of line {first[user]}")
    return users
