"""Progress away from a terminal: a line now and then, none when it is not wanted."""

from recbole_edt import progress


def test_lines_come_with_time_and_tell_what_was_done_before(capsys, monkeypatch):
    clock = iter([0.0, 30.0, 61.0, 61.0, 100.0, 122.0, 122.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.progress_of(4000, "profiles", "profile", shown=True, done=900) as bar:
        for _ in range(4):
            bar.update(50)
    told = ["profiles: 1,000 of 4,000 profiles", "profiles: 1,100 of 4,000 profiles"]
    assert capsys.readouterr().err.splitlines() == told


def test_nothing_is_shown_where_it_is_not_wanted(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_LINE", 0.0)
    with progress.progress_of(4, "profiles", "profile", shown=False) as bar:
        bar.update(4)
    assert capsys.readouterr().err == ""
