"""R20: whatever way the file is changed, its content is taken up; a bad one changes nothing."""

import asyncio
import logging
import os
from pathlib import Path
from threading import Event

import pytest

from shim.rollout import watcher
from shim.rollout.changes import Change, changes_file, record_change
from shim.rollout.watcher import INTERVAL, Watcher
from shim.settings.flags_file import load_flags_file
from shim.settings.yamlfile import read_regular_file
from tests.rollout.files import USER, clock, flags, put, unwatched, watched
from tests.support import skip
from tests.waiting import until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rollout.yaml"
    path.write_text(flags("shadow"))
    return path


def test_the_time_of_two_readings_is_well_below_two_seconds() -> None:
    assert 2 * INTERVAL <= 1_000_000


def test_an_edit_in_place(path: Path) -> None:
    seen = unwatched(path)
    started_with, loaded_at = seen.live.digest, seen.live.loaded_at
    path.write_text(flags("live"))
    seen.look()
    assert seen.stage == "live"
    (load,) = seen.loads
    assert (load.before, load.digest) == (started_with, load_flags_file(path).digest)
    assert (load.problem, load.file) == (None, str(path))
    assert seen.live.loaded_at == load.at > loaded_at
    ((before, after),) = seen.rollouts
    assert (str(before.evaluate(USER).stage), after) == ("shadow", seen.live.targeting)
    seen.look()
    assert len(seen.loads) == 1


def test_a_file_renamed_into_its_place(path: Path) -> None:
    with watched(path) as seen:
        put(path, flags("live"))
        seen.next_load()
        assert seen.stage == "live"
        assert seen.tells_nothing()


def test_a_config_map(tmp_path: Path) -> None:
    """Kubernetes: the file is a link into `..data`, itself a link that is swapped."""
    for version, stage in (("..1", "shadow"), ("..2", "live")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "rollout.yaml").write_text(flags(stage))
    (tmp_path / "..data").symlink_to("..1")
    path = tmp_path / "rollout.yaml"
    path.symlink_to("..data/rollout.yaml")
    with watched(path) as seen:
        (tmp_path / "..data_tmp").symlink_to("..2")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        seen.next_load()
        assert seen.stage == "live"


def test_a_restored_time_stamp(path: Path) -> None:
    text = flags("shadow", comment="xx")
    assert len(flags("live", comment="1234")) == len(text)
    path.write_text(text)
    before = path.stat()
    seen = unwatched(path)
    path.write_text(flags("live", comment="1234"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)
    seen.look()
    assert seen.stage == "live"


def test_a_write_in_two_halves(path: Path) -> None:
    new = flags("complete").encode()
    seen = unwatched(path)
    path.write_bytes(new[: len(new) // 2])
    seen.look()
    assert seen.live.problem is not None
    assert seen.stage == "shadow"
    path.write_bytes(new)
    seen.look()
    after = seen.live  # read anew: it is another one now
    assert (seen.stage, after.problem) == ("complete", None)
    assert [load.problem is None for load in seen.loads] == [False, True]


def test_content_that_does_not_stay_is_a_write_under_way(path: Path) -> None:
    seen = unwatched(path)
    for number in range(5):
        path.write_text(flags("live", comment=str(number)))
        seen.look(1)
    path.write_text("version: 1\n")
    seen.look(1)
    path.write_text(flags("live"))
    seen.look(1)
    assert not seen.loads
    seen.look(1)
    assert [load.problem for load in seen.loads] == [None]
    assert seen.stage == "live"


def test_a_bad_file_changes_nothing_and_is_told_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = path.read_text()
    with watched(path) as seen:
        active = seen.live.digest
        put(path, flags("lvie"))
        load = seen.next_load()
        assert load.problem is not None
        assert "lvie" in load.problem
        assert load.before == active == seen.live.digest != load.digest
        assert seen.stage == "shadow"
        assert seen.live.as_dict(load.at)["problem"] == load.problem
        assert seen.tells_nothing()
        assert [r.levelno for r in caplog.records] == [logging.ERROR]
        caplog.clear()
        caplog.set_level(logging.INFO)
        put(path, good)
        load = seen.next_load()
        assert load.problem is None
        assert load.digest == load.before == active
        assert "good again" in caplog.text
        assert seen.live.as_dict(load.at)["problem"] is None
        before, after = seen.rollouts[-1]
        assert before is after


def test_deletion_and_return(path: Path) -> None:
    with watched(path) as seen:
        path.unlink()
        load = seen.next_load()
        assert load.problem is not None
        assert "no such file" in load.problem
        assert seen.stage == "shadow"
        put(path, flags("live"))
        seen.next_load()
        assert seen.stage == "live"


def test_a_file_that_may_not_be_read(path: Path) -> None:
    with watched(path) as seen:
        if os.geteuid() == 0:
            # Root may read every file; a folder can be read as a file by nobody.
            path.rename(path.with_suffix(".kept"))
            path.mkdir()
        else:
            path.chmod(0)
        assert seen.next_load().problem is not None
        assert seen.stage == "shadow"


def test_a_pipe_in_its_place_blocks_nothing(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        skip("there are no named pipes")
    with watched(path) as seen:
        path.unlink()
        os.mkfifo(path)
        assert "no regular file" in str(seen.next_load().problem)
        path.unlink()
        put(path, flags("live"))
        seen.next_load()
        assert seen.stage == "live"


def test_the_reason_is_that_of_the_present_file(path: Path) -> None:
    """No file is there, then a folder: both are unreadable, each for its own reason."""
    seen = unwatched(path)
    path.unlink()
    for _ in range(3):
        seen.look()
    path.mkdir()
    for _ in range(3):
        seen.look()
    path.rmdir()
    for _ in range(3):
        seen.look()
    missing, folder, again = (str(load.problem) for load in seen.loads)
    assert missing == again
    assert "no such file" in missing
    assert "no regular file" in folder
    assert str(seen.live.problem) == again


def test_a_reading_that_hangs_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The file system hangs: nobody knows the flags any more, and that is said; then it goes on."""
    ended = Event()

    def hang(path: Path) -> bytes:
        ended.wait(60)
        return read_regular_file(path)

    monkeypatch.setattr(watcher, "_STUCK", 0.2)
    monkeypatch.setattr(watcher, "read_regular_file", hang)
    with watched(path) as seen:
        assert "has not ended" in str(seen.next_load().problem)
        assert seen.stage == "shadow"
        ended.set()
        assert seen.next_load().problem is None
        put(path, flags("live"))
        assert seen.next_load().problem is None
        assert seen.stage == "live"
    assert sum("has not ended" in record.message for record in caplog.records) == 1


def test_the_record_of_changes_belongs_to_the_owner_of_the_file(path: Path) -> None:
    """Root takes a step, and the owner the next one."""
    if os.geteuid() != 0:
        skip("only root can take a step for somebody else")
    os.chown(path, 65534, 65534)
    record_change(path, Change("2027-01-31T12:00:00+00:00", "root", "step 2", "a", "b"))
    status = changes_file(path).stat()
    assert (status.st_uid, status.st_gid) == (65534, 65534)


def test_who_changed_it_and_why(path: Path) -> None:
    with watched(path) as seen:
        new = path.with_suffix(".new")
        new.write_text(flags("live"))
        before, digest = seen.live.digest, load_flags_file(new).digest
        record_change(path, Change("2027-01-31T12:00:00+00:00", "ann", "step 2", before, digest))
        new.replace(path)
        load = seen.next_load()
        assert (load.by, load.reason) == ("ann", "step 2")
        # And after a restart.
        first = unwatched(path).live.first_load()
        assert (first.digest, first.before) == (digest, None)
        assert (first.by, first.reason) == ("ann", "step 2")
        # Whoever comes back to that file by hand is somebody else.
        put(path, flags("off"))
        seen.next_load()
        put(path, flags("live"))
        load = seen.next_load()
        assert (load.digest, load.by, load.reason) == (digest, None, None)


def test_every_truncation_leaves_the_running_stage_alone(path: Path) -> None:
    whole = flags("complete").encode()
    seen = unwatched(path)
    for length in range(len(whole) - 1):
        path.write_bytes(whole[:length])
        seen.look()
        assert seen.loads[-1].problem is not None
        assert seen.stage == "shadow"
    path.write_bytes(whole)
    seen.look()
    assert seen.loads[-1].problem is None
    assert seen.stage == "complete"


def test_bombs_and_enormous_files(path: Path) -> None:
    bomb = "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(50))
    with watched(path) as seen:
        for bad in (bomb, "x" * 5_000_001, "[" * 1_000_000, "? " * 100_000, "a: b\n" * 900_000):
            put(path, bad)
            problem = seen.next_load().problem
            assert problem is not None
            assert len(problem) < 1000
            assert seen.stage == "shadow"


async def test_in_an_event_loop(path: Path) -> None:
    seen = unwatched(path)
    post = asyncio.get_running_loop().call_soon_threadsafe
    watcher = Watcher(seen.live, clock, post, seen.on_load)
    watcher.start()
    put(path, flags("live"))
    await until(lambda: seen.loads)
    watcher.stop()
    assert seen.stage == "live"
