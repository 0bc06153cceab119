"""Vectors in files that others wrote: NumPy, safetensors, Parquet, RecBole's ``float_seq``."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from recbole_edt import fields
from recbole_edt.data.atomic_file import FLOAT_SEQ, TOKEN, check_header, columns_of, read_columns
from recbole_edt.errors import UserError, nearest, one_line
from recbole_edt.prepare.engine import Engine
from recbole_edt.prepare.parquet_file import ParquetFile, is_parquet

_PICKLES = {".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt"}
_FORMATS = ".npy, .safetensors, .parquet or an atomic file such as NAME.item"


@dataclass(frozen=True)
class VectorTable:
    """Vectors of a file, and the id of each row; only shapes and types have been checked.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    column : str or None
        Column or tensor in it, where it has several.
    ids : list of str
        N ids.
    vectors : numpy.ndarray
        Floating point [N, m]; may be mapped from the disk.
    ids_path : pathlib.Path
        Where the ids stand.
    numbers : sequence of int
        Line of `ids_path` that each row is in, or its row where there are no lines.
    row : str
        What these numbers count, ``line`` or ``row``.
    """

    path: Path
    column: str | None
    ids: list[str]
    vectors: np.ndarray
    ids_path: Path
    numbers: Sequence[int]
    row: str = "line"

    def where(self, index: int) -> str:
        """Return how messages name a row."""
        return f"{self.ids_path}: {self.row} {self.numbers[index]}"


def read_vector_table(spec: str, ids: str | None, dataset_dir: Path) -> VectorTable:
    """Read vectors and ids from files; no pickle is ever loaded.

    Parameters
    ----------
    spec : str
        ``FILE`` or ``FILE:COLUMN``. A relative path is looked up in the present folder, then in
        the dataset's.
    ids : str or None
        File with one id a line, or an atomic file with the column ``item_id``; of a Parquet file
        the column of ids. None: ``FILE`` with the ending ``.txt``, or the column ``item_id``.
    dataset_dir : pathlib.Path
        Folder of the dataset.

    Raises
    ------
    UserError
        For a missing, damaged or unknown file, and what is no table of floating-point numbers.
    """
    path, column = _find(spec, dataset_dir)
    if path.suffix.lower() in _PICKLES:
        raise UserError(
            f"{path}: may hold a pickle, which is not loaded; save the array with numpy.save "
            f"or safetensors; expected {_FORMATS}"
        )
    if is_parquet(path):
        return _of_parquet(path, column, ids)
    if path.suffix.lower() in (".npy", ".safetensors"):
        read = _read_npy if path.suffix.lower() == ".npy" else _read_safetensors
        vectors = _checked(path, read(path, column))
        return _with_ids(path, column, vectors, ids, dataset_dir)
    if _is_atomic(path):
        if ids is not None:
            raise UserError(f"vector_ids: {path} has a column of ids; found {ids!r} beside it")
        return _of_atomic(path, column)
    raise UserError(f"{path}: unknown format; expected {_FORMATS}")


def _find(spec: str, dataset_dir: Path) -> tuple[Path, str | None]:
    """Return the file and the column of ``FILE`` or ``FILE:COLUMN``."""
    name, colon, column = spec.rpartition(":")
    candidates: list[tuple[str, str | None]] = [(spec, None)]
    if colon and name:
        candidates.append((name, column))
    for text, wanted in candidates:
        for path in (Path(text).expanduser(), dataset_dir / text):
            if path.exists():
                return path, wanted
    raise UserError(f"vectors: {spec}: no such file, neither here nor in {dataset_dir}")


def _read_npy(path: Path, column: str | None) -> np.ndarray:
    if column is not None:
        raise UserError(f"vectors: a .npy file is one array; found the column {column!r} of {path}")
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or one_line(error)}") from None
    except Exception as error:  # a damaged header raises whatever its parsing stumbles over
        reason = one_line(error, 200)
        if "pickle" in reason or "objects" in reason:  # NumPy advises to load it all the same
            reason = "it holds Python objects, which are not loaded, or is no .npy file"
        raise UserError(
            f"{path}: not an array of numbers as numpy.save writes it ({reason})"
        ) from None


def _read_safetensors(path: Path, column: str | None) -> np.ndarray:
    import torch

    try:
        with safe_open(path, framework="pt") as tensors:
            names = list(tensors.keys())
            if column is None and len(names) == 1:
                column = names[0]
            if column not in names:
                found = ", ".join(names)
                raise UserError(
                    f"{path}: holds the tensors {found}; name one of them, --vectors=FILE:TENSOR"
                    f"{nearest(column or '', names)}"
                )
            tensor = tensors.get_tensor(column)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not a readable tensor file ({one_line(error)})") from None
    if tensor.dtype == torch.bfloat16:  # NumPy has no such type; float32 holds all its values
        tensor = tensor.float()
    array: np.ndarray = tensor.numpy()
    return array


def _checked(path: Path, vectors: np.ndarray) -> np.ndarray:
    """Return a table of floating-point numbers as it is; refuse anything else."""
    if vectors.ndim != 2 or not vectors.shape[0] or not vectors.shape[1]:
        shape = list(vectors.shape)
        raise UserError(f"{path}: holds an array of shape {shape}; expected [items, values]")
    if vectors.dtype.kind != "f":
        raise UserError(
            f"{path}: holds {vectors.dtype}; expected floating-point numbers, "
            "float16, float32 or float64"
        )
    return vectors


def _with_ids(
    path: Path, column: str | None, vectors: np.ndarray, ids: str | None, dataset_dir: Path
) -> VectorTable:
    beside = path.with_suffix(".txt")
    if ids is None and not beside.is_file():
        raise UserError(
            f"{path}: the id of each row is needed: a file {beside.name} beside it with one id a "
            f"line, or --vector_ids=FILE (--vector_ids={dataset_dir.name}.item: the order there)"
        )
    where = beside if ids is None else _find_ids(ids, dataset_dir)
    is_item = ids is not None and _is_atomic(where)
    found = _column_of_ids(where) if is_item else _lines(where)
    if len(found) != len(vectors):
        raise UserError(f"{where}: {len(found)} ids, but {path} has {len(vectors)} rows")
    first = 2 if is_item else 1
    return VectorTable(path, column, found, vectors, where, range(first, first + len(found)))


def _find_ids(ids: str, dataset_dir: Path) -> Path:
    for path in (Path(ids).expanduser(), dataset_dir / ids):
        if path.is_file():
            return path
    raise UserError(f"vector_ids: {ids}: no such file, neither here nor in {dataset_dir}")


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file of ids; each has to hold one."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or one_line(error)}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not valid UTF-8 ({error.reason})") from None
    return text.removesuffix("\n").split("\n") if text else []


def _is_atomic(path: Path) -> bool:
    """Whether a file begins with RecBole's typed header, such as ``item_id:token``."""
    try:
        with open(path, encoding="utf-8") as handle:
            first = handle.readline(1 << 16)
    except (OSError, UnicodeDecodeError):
        return False
    return f":{TOKEN}" in first


def _column_of_ids(path: Path) -> list[str]:
    """Return the ids of an atomic file, those of its only token column where it has no item_id."""
    check_header(path, ())
    tokens = [name for name, kind in columns_of(path) if kind == TOKEN]
    if fields.ITEM in tokens:
        tokens = [fields.ITEM]
    if len(tokens) != 1:
        raise UserError(f"{path}: no column '{fields.ITEM}:{TOKEN}' of ids; found {tokens}")
    return read_columns(path, lambda name: name == tokens[0])[tokens[0]]


def _of_atomic(path: Path, column: str | None) -> VectorTable:
    names = [name for name, kind in columns_of(path) if kind == FLOAT_SEQ]
    if column is None and len(names) == 1:
        column = names[0]
    if column not in names:
        found = f"the columns {', '.join(names)}" if names else "none"
        raise UserError(
            f"{path}: expected a column of vectors, NAME:{FLOAT_SEQ}, named as "
            f"--vectors=FILE:NAME; found {found}{nearest(column or '', names)}"
        )
    cells = read_columns(path, lambda name: name == column)[column]
    given = [index for index, cell in enumerate(cells) if cell.strip()]
    if not given:
        raise UserError(f"{path}: the column {column} is empty; expected vectors")
    vectors = np.empty((len(given), len(cells[given[0]].split())), np.float32)
    for row, index in enumerate(given):
        where = f"{path}: line {index + 2}: {column}"
        try:
            values = np.array(cells[index].split(), dtype=np.float64)
        except ValueError as error:
            raise UserError(f"{where}: {one_line(error)}") from None
        if len(values) != vectors.shape[1]:
            expected = f"expected {vectors.shape[1]}, as in line {given[0] + 2}"
            raise UserError(f"{where} has {len(values)} values, {expected}")
        with np.errstate(over="ignore"):  # what is too large is refused as not finite
            vectors[row] = values
    ids = _column_of_ids(path)
    numbers = [index + 2 for index in given]
    return VectorTable(path, column, [ids[index] for index in given], vectors, path, numbers)


def _of_parquet(path: Path, column: str | None, id_column: str | None) -> VectorTable:
    with tempfile.TemporaryDirectory() as scratch, Engine(Path(scratch)) as engine:
        file = ParquetFile(path, engine)
        lists = [name for name, kind in file.types.items() if kind.endswith("]")]
        column = _choose(path, column, lists, file.columns, "lists of numbers, --vectors=FILE:NAME")
        scalars = [name for name in file.columns if not file.types[name].endswith("]")]
        if id_column is None and fields.ITEM in scalars:
            id_column = fields.ITEM
        id_column = _choose(path, id_column, scalars, file.columns, "ids, --vector_ids=NAME")
        file.load(engine, "ids", [id_column])
        ids = engine.arrays("SELECT c0 FROM ids")["c0"].tolist()
        vectors = file.vectors(column)
    numbers = range(1, 1 + len(ids))
    return VectorTable(path, column, ids, _checked(path, vectors), path, numbers, row="row")


def _choose(
    path: Path, given: str | None, fitting: Sequence[str], known: Sequence[str], what: str
) -> str:
    """Return the wanted column, or the only one that fits."""
    if given is None and len(fitting) == 1:
        return fitting[0]
    if given is None or given not in fitting:
        found = ", ".join(fitting) if given is None else repr(given)
        raise UserError(
            f"{path}: name the column of {what}; found {found or 'none'} among the columns "
            f"{', '.join(known)}{nearest(given or '', known)}"
        )
    return given
