"""Finding the set that settings ask for, or another set that has the same part."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import recbole_edt
from recbole_edt.artefacts.catalogue import read_catalogue
from recbole_edt.artefacts.settings import ELSEWHERE, ArtefactSettings
from recbole_edt.artefacts.store.artefact_set import ArtefactSet, load_set
from recbole_edt.artefacts.store.identity import (
    EMBEDDINGS,
    FOLLOWS_FROM,
    MANIFEST,
    Identity,
    set_folder,
    set_hash,
)
from recbole_edt.data.split import Split
from recbole_edt.errors import UserError, nearest


def find_artefacts(
    dataset_dir: Path, name: str, settings: ArtefactSettings, split: Split
) -> ArtefactSet | None:
    """Return the set that these settings ask for, or None when nothing of it has been made.

    The dataset's own folder comes first, then the sets shipped with the package. Item vectors
    do not depend on the split, nor on what else is made from them: when the set has none, they
    are read from any set with the same ones. The other parts come from the very set only.

    Parameters
    ----------
    dataset_dir : pathlib.Path
        The folder that holds ``NAME.item``.
    name : str
        The dataset's name.
    settings : ArtefactSettings
        What the artefacts are to be made with.
    split : Split
        The split that they are to be made for.

    Raises
    ------
    UserError
        When ``NAME.item`` or the set's manifest is malformed.
    """
    return find_set(dataset_dir, name, identity_now(dataset_dir, name, settings, split))


def identity_now(
    dataset_dir: Path, name: str, settings: ArtefactSettings, split: Split
) -> dict[str, Any]:
    """Return the identity of the set that these settings ask for; see `find_artefacts`."""
    catalogue = read_catalogue(dataset_dir, name, settings.catalogue_template)
    return settings.identity(catalogue, split)


def find_set(dataset_dir: Path, name: str, identity: Identity) -> ArtefactSet | None:
    """Return the set of this identity, or None; see `find_artefacts`."""
    exact = next(_exact(dataset_dir, name, identity), None)
    if exact is not None and exact.has(EMBEDDINGS):
        return exact
    source = find_source_set(dataset_dir, name, identity, EMBEDDINGS)
    if source is None:
        return exact
    manifest = exact.manifest if exact else {"identity": dict(identity)}
    manifest = {**manifest, EMBEDDINGS: source.manifest[EMBEDDINGS]}
    path = exact.path if exact else set_folder(dataset_dir, identity)
    return ArtefactSet(path, set_hash(identity), manifest, source)


def find_source_set(
    dataset_dir: Path, name: str, identity: Identity, part: str
) -> ArtefactSet | None:
    """Return a set whose part is the same as in the set of this identity, itself first."""
    for exact in _exact(dataset_dir, name, identity):
        if exact.has(part):
            return exact
    wanted = {key: identity[key] for key in FOLLOWS_FROM[part]}
    for folder in _folders(dataset_dir, name):
        other = load_set(folder)
        if other.has(part) and wanted == {key: other.identity.get(key) for key in wanted}:
            return other
    return None


def stored_vectors(dataset_dir: Path, name: str) -> list[str]:
    """Return the `encoder` of each set of vectors that were made elsewhere, sorted."""
    sets = map(load_set, _folders(dataset_dir, name))
    encoders = (str(one.identity["encoder"]) for one in sets if one.has(EMBEDDINGS))
    return sorted({encoder for encoder in encoders if encoder.startswith(ELSEWHERE)})


def no_such_vectors(encoder: str, dataset_dir: Path, name: str) -> str:
    """Return the message for an `encoder` of vectors made elsewhere that a dataset lacks."""
    known = stored_vectors(dataset_dir, name)
    store = f"'recbole-edt artefacts --dataset={name} --only {EMBEDDINGS} --vectors=FILE'"
    if encoder in known:
        return (
            f"encoder: {encoder} was stored for other items than {dataset_dir / name}.item has "
            f"now; store vectors of these with {store}"
        )
    there = f"there are {', '.join(known)}" if known else "there are none"
    return (
        f"encoder: {encoder}: no such vectors in {dataset_dir / 'artefacts'}"
        f"{nearest(encoder, known)}; {there}; store them with {store}"
    )


def require_set(dataset_dir: Path, name: str, wanted: str, identity: Identity) -> ArtefactSet:
    """Return the set of the given name (hash), which has to be the one of this identity.

    Raises
    ------
    UserError
        When there is no such set, or it was made for another catalogue, split or setting; the
        message names what differs.
    """
    folders = {folder.name: folder for folder in reversed(_folders(dataset_dir, name))}
    if wanted not in folders:
        raise UserError(
            f"{dataset_dir / 'artefacts' / wanted}: no such set"
            f"{nearest(wanted, folders)}; there are {sorted(folders)}"
        )
    named = load_set(folders[wanted])
    differing = [key for key, value in identity.items() if named.identity.get(key) != value]
    if differing:
        raise UserError(
            f"{named.path}: was made for another {' and another '.join(differing)}; "
            f"the configuration asks for the set {set_hash(identity)}"
        )
    return find_set(dataset_dir, name, identity) or named


def refuse_other_artefacts(
    run_dir: str | Path,
    wanted: str,
    dataset_dir: Path,
    name: str,
    identity: Identity,
) -> None:
    """Refuse a finished run that read other artefacts than its configuration asks for now.

    Parameters
    ----------
    run_dir : str or pathlib.Path
        The run's folder.
    wanted : str
        Hash of the set that it read.
    dataset_dir, name, identity
        As for `require_set`.

    Raises
    ------
    UserError
        Names both sets, and what differs as far as the run's still exists.
    """
    now = set_hash(identity)
    if wanted == now:
        return
    # There is no such folder where the run's item vectors came from another set.
    if (dataset_dir / "artefacts" / wanted / MANIFEST).is_file():
        require_set(dataset_dir, name, wanted, identity)
    raise UserError(
        f"run: {run_dir} read the artefacts {wanted}, but for {name} as it is now they would be "
        f"{now}: titles, domains or this package have changed; train again"
    )


def embedded_dir() -> Path:
    """Return the folder of what is shipped: inside the wheel, or the checkout's ``dataset/``."""
    package = Path(recbole_edt.__file__).parent
    inside = package / "embedded"
    return inside if inside.is_dir() else package.parent / "dataset"


def _folders(dataset_dir: Path, name: str, wanted: str = "*") -> list[Path]:
    """Return the folders of a dataset's sets, or of those of one name; the shipped ones last."""
    roots = dataset_dir / "artefacts", embedded_dir() / name / "artefacts"
    return [path.parent for root in roots for path in sorted(root.glob(f"{wanted}/{MANIFEST}"))]


def _exact(dataset_dir: Path, name: str, identity: Identity) -> Iterator[ArtefactSet]:
    return map(load_set, _folders(dataset_dir, name, set_hash(identity)))
