import pytest

from recbole_edt.errors import UserError
from recbole_edt.llm import Shard, parse_shard, shard_from_environment


def test_parts_cover_the_work_once():
    users = [f"u{i}" for i in range(1000)]
    parts = [[user for user in users if Shard(i, 3).holds(user)] for i in range(3)]
    assert sorted(user for part in parts for user in part) == sorted(users)
    assert all(len(part) > 250 for part in parts)


def test_the_part_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert shard_from_environment() == Shard(0, 1)
    monkeypatch.setenv("RANK", "2")
    with pytest.raises(UserError, match="WORLD_SIZE"):
        shard_from_environment()
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert shard_from_environment() == Shard(2, 4)
    monkeypatch.setenv("RANK", "4")
    with pytest.raises(UserError, match="part 4 of 4"):
        shard_from_environment()


@pytest.mark.parametrize("text", ["1", "4/4", "a/2", "-1/2", "1/0", ""])
def test_bad_shard(text):
    with pytest.raises(UserError, match="shard: "):
        parse_shard(text)


def test_shard_as_written():
    assert parse_shard("1/4") == Shard(1, 4)
