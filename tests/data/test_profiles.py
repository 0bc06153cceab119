"""Profile vectors reach the model by user id; who has none is masked."""

import numpy as np
import pytest

from recbole_edt.artefacts import store
from recbole_edt.artefacts.catalogue import read_catalogue
from recbole_edt.artefacts.settings import ArtefactSettings
from recbole_edt.data.windows import ITEMS, WindowLoader
from recbole_edt.errors import UserError


@pytest.fixture
def dataset(make_dataset, load):
    return load(make_dataset(users=12, domains=3), "LLMEDT")


def store_profiles(dataset, users, domains=None):
    """Give user n in domain k the constant vector n + k / 10, none in domain 1."""
    config, folder = dataset.config, dataset.config.dataset_dir
    settings = ArtefactSettings.from_config(config)
    identity = settings.identity(
        read_catalogue(folder, "toy", settings.text_template), dataset.split
    )
    values = np.arange(len(users))[:, None] + np.arange(3) / 10
    vectors = np.repeat(values[:, :, None], 4, axis=2).astype(np.float16)
    present = np.ones((len(users), 3), dtype=bool)
    present[:, 1] = False
    vectors[~present] = 0
    domains = domains or dataset.domains
    texts = [
        {"user_id": user, "domain": domain, "text": "likes things", "n_items": 3}
        for user in users
        for k, domain in enumerate(domains)
        if k != 1
    ]
    target = store.set_folder(folder, identity)
    hashes = store.save_profiles(target, users, vectors, present, texts)
    made = {"sha256": hashes, "domains": domains, "dim": 4, "users": len(users)}
    store.record_part(target, "toy", identity, store.PROFILES, made)


def test_each_user_gets_the_own_vectors_whatever_the_order_of_the_file(dataset):
    tokens = dataset.field2id_token["user_id"][1:].tolist()
    users = tokens[::-1][:-1]  # reversed, the first user missing
    store_profiles(dataset, users)
    vectors, present = dataset.profile_vectors()
    assert vectors.shape == (dataset.user_num, 3, 4)
    assert not present[[0, 1]].any()
    assert not vectors[[0, 1]].any()
    for user, token in enumerate(tokens[1:], start=2):
        assert present[user].tolist() == [True, False, True]
        expected = [users.index(token), 0, users.index(token) + 0.2]
        assert vectors[user, :, 0] == pytest.approx(expected, rel=1e-3)


def test_windows_say_whose_they_are(dataset):
    part = dataset.build()[0]
    rows = part.training_rows()
    owner = {}
    for user, item in zip(part.flat["user_id"][rows], part.flat["item_id"][rows], strict=True):
        owner.setdefault(int(user), []).append(int(item))
    for batch in WindowLoader(part, 3, 4, 0):
        for user, items in zip(batch["user_id"].tolist(), batch[ITEMS].tolist(), strict=True):
            kept = [item for item in items if item]
            history = owner[user]
            assert any(history[n : n + len(kept)] == kept for n in range(len(history)))


def test_missing_or_foreign_profiles_are_named(dataset):
    with pytest.raises(UserError, match="no profiles of these settings"):
        dataset.profile_vectors()
    store_profiles(dataset, ["someone", "else"])
    with pytest.raises(UserError, match="profile"):
        dataset.profile_vectors()


def test_the_command_that_makes_missing_profiles_has_the_keys_of_their_set(dataset):
    dataset.config.external_config_dict["augment_mode"] = "random"
    with pytest.raises(UserError, match=r"--only profiles .*--augment_mode=random`$"):
        dataset.profile_vectors()
