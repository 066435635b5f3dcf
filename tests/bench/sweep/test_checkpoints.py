"""Of the checkpoints of a run the newest that is whole counts; damaged ones are set aside."""

import errno
import os

import pytest

from bench.files import sha256
from bench.sweep.records.store import RunFolder, State
from tests.bench.sweep.stored import spawn


def test_the_newest_two_checkpoints_are_kept(run):
    for epoch in range(1, 4):
        run.save_checkpoint(epoch, b"state %d" % epoch)
    names = sorted(name for name in os.listdir(run.path) if name.startswith("ckpt"))
    assert names == [f"ckpt-{epoch:06d}-{sha256(b'state %d' % epoch)[:16]}.pt" for epoch in (2, 3)]
    assert run.load_checkpoint() == (3, b"state 3")
    assert run.epochs_done() == 3
    run.drop_checkpoints()
    assert run.load_checkpoint() is None
    assert run.epochs_done() == 0
    with pytest.raises(ValueError, match="got 1000000"):
        run.save_checkpoint(1_000_000, b"")


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "zero", "link"])
def test_f26_f28_a_damaged_checkpoint_is_quarantined_and_the_older_one_used(run, damage):
    older, newer = b"a" * 1000, b"b" * 1000
    run.save_checkpoint(1, older)
    run.save_checkpoint(2, newer)
    path = run.checkpoints()[0][1]
    if damage == "link":
        path.rename(run.path / "elsewhere")
        path.symlink_to("elsewhere")
    else:
        flipped = newer[:500] + bytes([newer[500] ^ 4]) + newer[501:]
        path.write_bytes({"flip": flipped, "cut": newer[:-1], "empty": b"", "zero": bytes(1000)}[damage])
    assert run.load_checkpoint() == (1, older)
    assert run.epochs_done() == 1
    (name,) = os.listdir(run.path / "quarantine")
    assert name.startswith(path.name)


def test_f30_with_both_checkpoints_damaged_the_run_starts_over(run):
    for epoch in (1, 2):
        run.save_checkpoint(epoch, b"state")
    for _, path in run.checkpoints():
        path.write_bytes(b"stale")
    assert run.load_checkpoint() is None
    assert run.state() is State.PLANNED
    assert len(os.listdir(run.path / "quarantine")) == 2


def test_f34_a_checkpoint_that_vanishes_after_it_was_listed_is_skipped(run, monkeypatch):
    run.save_checkpoint(1, b"old")
    run.save_checkpoint(2, b"new")
    listed = run.checkpoints()
    listed[0][1].unlink()
    monkeypatch.setattr(RunFolder, "checkpoints", lambda self: listed)
    assert run.load_checkpoint() == (1, b"old")
    run.drop_checkpoints()
    assert run.load_checkpoint() is None
    assert run.quarantine(listed[0][1]) is None


def test_f22_a_full_disk_in_a_checkpoint_leaves_the_previous_one(run):
    run.save_checkpoint(1, b"old")
    code = """
        import errno, resource, signal, sys
        from pathlib import Path
        from bench.sweep.records.store import RunFolder
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            RunFolder(Path(sys.argv[1])).save_checkpoint(2, b"x" * 5000)
        except OSError as error:
            print(error.errno)
    """
    before = sorted(os.listdir(run.path))
    with spawn(code, run.path) as process:
        assert int(process.communicate()[0]) == errno.EFBIG
    assert run.load_checkpoint() == (1, b"old")
    assert sorted(os.listdir(run.path)) == before
