"""Storages of studies: what would keep nothing, is of something else, in use, damaged or full is one sentence, and costs no data."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import OperationalError

from aimco.record import InputError
from aimco.studies import default_storage, run
from aimco.studies import store as kept
from aimco.studies.workers import check_workers
from studies import same, small


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two trials in a file."""
    url = default_storage(tmp_path_factory.mktemp("storage") / "s.toml")
    return url, run(small(trials=2), storage=url)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_memory_keeps_nothing_and_is_refused(url):
    with pytest.raises(InputError, match="keeps nothing beyond this run"):
        run(small(), storage=url)


def test_a_database_of_something_else_is_not_used(tmp_path):
    path = tmp_path / "birds.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table birds (name text)")
    before = path.read_bytes()
    with pytest.raises(InputError, match="is a database of something else, with birds"):
        run(small(), storage=f"sqlite:///{path}")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    path.write_text("no database at all, but some text")
    with pytest.raises(InputError, match="cannot be opened"):
        run(small(), storage=f"sqlite:///{path}")


def test_a_second_coordinator_through_a_link_is_refused(tmp_path):
    real, link = tmp_path / "real.db", tmp_path / "link.db"
    real.touch()
    link.symlink_to(real)
    with (
        kept.alone(f"sqlite:///{real}"),
        pytest.raises(InputError, match="is in use by another run"),
        kept.alone(f"sqlite:///{link}"),
    ):
        raise AssertionError("two at once")


@pytest.mark.parametrize(
    "change",
    [
        "delete from trial_user_attributes",
        "update trial_user_attributes set value_json = '[]'",
        "update trial_user_attributes set value_json = '{\"values\": 3}'",
        "update trial_params set param_value = 77",
    ],
)
def test_a_damaged_trial_is_one_sentence(finished, change, tmp_path):
    url, _ = finished
    copy = tmp_path / "s.db"
    copy.write_bytes(Path(url.removeprefix("sqlite:///")).read_bytes())
    with contextlib.closing(sqlite3.connect(copy)) as database:
        database.execute(change)
        database.commit()
    with pytest.raises(InputError, match=r"has a damaged trial \d") as caught:
        run(small(trials=2), storage=f"sqlite:///{copy}")
    assert "\n" not in str(caught.value)


def test_a_full_disk_keeps_what_was_finished(tmp_path, finished, monkeypatch):
    """The second write fails the way a full disk makes SQLite fail. Run again, the study picks up where it stopped."""
    url, told = default_storage(tmp_path / "s.toml"), []
    tell = kept.Store.tell

    def fails(self, record, outcome):
        told.append(record)
        if len(told) == 2:
            with kept._writing(url):
                raise StorageInternalError("failed") from OperationalError("insert", {}, Exception("database or disk is full"))
        return tell(self, record, outcome)

    monkeypatch.setattr(kept.Store, "tell", fails)
    with pytest.raises(InputError, match=r"cannot be written \(database or disk is full\); what was finished is kept"):
        run(small(trials=2), storage=url)
    monkeypatch.undo()
    assert same(run(small(trials=2), storage=url), finished[1])


def test_passwords_are_not_told(tmp_path):
    assert kept.redacted("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
    assert kept.redacted("sqlite:////a/b.db") == "sqlite:////a/b.db"
    with pytest.raises(InputError) as caught:
        run(small(), storage="nodatabase://me:secret@host/db")
    assert "secret" not in str(caught.value) and "***" in str(caught.value)


def test_no_file_is_made_before_workers_are_checked(tmp_path):
    for workers, cluster in ((0, None), (2, "tcp://nowhere:1")):
        with pytest.raises(InputError, match="workers"):
            check_workers(workers, cluster)
        with pytest.raises(InputError, match="workers"):
            run(small(), storage=default_storage(tmp_path / "s.toml"), workers=workers, cluster=cluster)
    assert list(tmp_path.iterdir()) == []
