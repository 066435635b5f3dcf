"""The pulse of a run is read as it was left, and costs nothing where it cannot be left."""

import os

from bench.sweep.run import heartbeat
from bench.sweep.run.heartbeat import NAME, Beat, Heartbeat


def test_epochs_are_told_at_once_and_batches_now_and_then(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: now[0])
    heart = Heartbeat(tmp_path)
    assert heartbeat.read(tmp_path) == Beat(0, 0)
    heart.finished(3)  # resumed there
    assert heartbeat.read(tmp_path) == Beat(3, 0)
    answers = iter([False, False, True])
    asked = heart.during(lambda: next(answers))
    assert asked() is False
    assert heartbeat.read(tmp_path) == Beat(3, 0)
    now[0] += heartbeat.SECONDS
    assert asked() is False
    assert heartbeat.read(tmp_path) == Beat(3, 2)
    assert asked() is True
    heart.finished(4)
    assert heartbeat.read(tmp_path) == Beat(4, 3)


def test_what_is_no_beat_is_none(tmp_path):
    assert heartbeat.read(tmp_path) is None
    for text in (b"", b"7", b"x y", b"1 2 3"):
        (tmp_path / NAME).write_bytes(text)
        assert heartbeat.read(tmp_path) is None
    heartbeat.clear(tmp_path)
    heartbeat.clear(tmp_path / "gone")
    assert os.listdir(tmp_path) == []


def test_a_beat_that_cannot_be_left_is_no_error_and_a_link_is_not_followed(tmp_path):
    Heartbeat(tmp_path / "gone").finished(1)
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    Heartbeat(tmp_path).finished(1)
    assert not (tmp_path / "elsewhere").exists()
    assert heartbeat.read(tmp_path) is None
