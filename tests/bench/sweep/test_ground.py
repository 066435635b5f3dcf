"""What a results folder stands on is found out by trying."""

import errno
import fcntl
import os
from dataclasses import replace

import pytest
import torch

from bench.sweep.planning.grid import Suite, expand
from bench.sweep.upkeep import ground
from bench.training import networks
from bench.training.catalog import NETWORKS, PARAMETERS


def runs(*methods, **more):
    suite = Suite("x", "digits", ("symmetric:0.5",), methods, (0, 1), train_limit=200, **more)
    return expand(suite)


def test_every_network_has_its_number_of_parameters():
    info = replace(runs("ce")[0].info, num_classes=100, shape=(3, 32, 32))
    assert PARAMETERS.keys() == NETWORKS.keys()
    for name in NETWORKS:
        if name in ("resnet34_imagenet_stem", "resnet50", "resnet50_imagenet"):  # torchvision's, or with its weights
            continue
        with torch.device("meta"):
            network = networks._BUILDERS[name](info, "float32")
        counted = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        assert counted == pytest.approx(PARAMETERS[name], abs=0.02), name


def test_room_is_needed_for_three_checkpoints_and_some_more_of_each_run_that_is_live():
    kinds = {"sgd": (0.9, 2), "adam": (0.9, 3), "plain": (0.0, 1)}
    for name, (momentum, copies) in kinds.items():
        optimizer = {"optimizer": {"name": name.replace("plain", "sgd"), "momentum": momentum}}
        one, two = (runs(method, train=optimizer)[0] for method in ("ce", "co_teaching"))
        assert one.config.train.network == "digits_cnn"
        each = int(4e6 * PARAMETERS["digits_cnn"] * copies)  # the weights and what the optimiser keeps
        assert ground.checkpoint_bytes(one) == each, name
        assert ground.checkpoint_bytes(two) == pytest.approx(2 * each, abs=1), name
        assert ground.room_needed([one, two, one], 2) == pytest.approx(ground.MARGIN + 3.2 * 3 * each, abs=5), name


def test_room_is_that_of_the_disk_where_a_folder_would_be_made(tmp_path):
    disk = os.statvfs(tmp_path)
    assert ground.room(tmp_path / "not" / "there") == pytest.approx(disk.f_bavail * disk.f_frsize, rel=0.05)


def test_locks_and_links_are_tried_between_two_processes_and_leave_nothing(tmp_path):
    assert ground.locks_hold(tmp_path)
    assert ground.links_hold(tmp_path)
    assert os.listdir(tmp_path) == []


def test_locks_without_effect_are_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda fd, operation: None)
    assert not ground.locks_hold(tmp_path)

    def refuse(fd, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert not ground.locks_hold(tmp_path)
    assert os.listdir(tmp_path) == []


def test_links_that_are_refused_or_replace_are_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda old, new: None)
    assert not ground.links_hold(tmp_path)

    def refuse(old, new):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert not ground.links_hold(tmp_path)
    assert os.listdir(tmp_path) == []
