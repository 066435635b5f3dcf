"""Sets of single published files, fetched from a server here: once, whole, and only with the right content."""

import functools
import gzip
import http.server
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.data import datasets, download, idx
from bench.data.checksum import Checksum
from bench.data.datasets import MissingDataError
from tests.bench.data.conftest import checksum_of
from tests.bench.data.test_idx import images_file, labels_file, pixels


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that says nothing, and remembers what it was asked for."""

    asked: list[str] = []  # noqa: RUF012 - of all requests

    def log_message(self, format: str, *args: object) -> None:
        self.asked.append(self.path)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()
    Quiet.asked = []
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


@pytest.fixture
def mnist(served: tuple[str, Path], monkeypatch, torchvision) -> Path:
    """A small MNIST on the server, torchvision's mirrors pointing there; returns the folder that is served."""
    address, folder = served
    monkeypatch.setattr(idx, "PARTS", (("train", 30), ("t10k", 10)))
    for seed, (part, count) in enumerate(idx.PARTS):
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images_file(pixels(count, seed))))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels_file(np.arange(count) % 10)))
    checksums = {f"MNIST/raw/{path.name}": Checksum(checksum_of(path).md5) for path in folder.iterdir()}
    small = idx.Idx(replace(idx._MNIST.info, train_size=30, test_size=10), "MNIST", checksums)
    monkeypatch.setitem(idx.SOURCES, "mnist", small.source)
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"{address}/dead/", f"{address}/"])
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    monkeypatch.delenv("LNBENCH_MIRROR", raising=False)
    return folder


def test_every_file_comes_from_the_first_mirror_that_serves_it(mnist, tmp_path):
    lines: list[str] = []
    download.fetch("mnist", tmp_path / "data", lines.append)
    assert len(datasets.load("mnist", tmp_path / "data").train_labels) == 30
    assert sum(line.startswith("downloading") for line in lines) == 8  # each from a dead mirror first
    assert lines[-1].startswith("mnist is ready in ")
    before = len(Quiet.asked)
    download.fetch("mnist", tmp_path / "data", lines.append)
    assert lines[-1].startswith("mnist is complete in ")
    assert len(Quiet.asked) == before


def test_a_mirror_of_ones_own_is_asked_first_and_a_damaged_file_is_fetched_again(mnist, served, tmp_path, monkeypatch):
    monkeypatch.setenv("LNBENCH_MIRROR", served[0])
    lines: list[str] = []
    download.fetch("mnist", tmp_path / "data", lines.append)
    assert sum(line.startswith("downloading") for line in lines) == 4
    victim = tmp_path / "data/MNIST/raw/t10k-labels-idx1-ubyte.gz"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-3])
    lines.clear()
    download.fetch("mnist", tmp_path / "data", lines.append)
    assert victim.read_bytes() == whole
    assert f"{victim} is damaged" in lines
    assert sum(line.startswith("downloading") for line in lines) == 1


def test_another_content_under_the_right_name_is_no_data(mnist, tmp_path):
    path = mnist / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(MissingDataError, match=r"mnist: no address serves it: .*put train-labels-idx1-ubyte\.gz into"):
        download.fetch("mnist", tmp_path / "data", lambda line: None)
    assert not (tmp_path / "data/MNIST/raw/train-labels-idx1-ubyte.gz").exists()


def test_addresses_are_torchvisions(torchvision):
    (train,) = download._addresses("SVHN", "train_32x32.mat")
    assert train.endswith("/train_32x32.mat")
    assert len(download._addresses("KMNIST", "train-images-idx3-ubyte.gz")) >= 1


@pytest.mark.parametrize("name", ["clothing1m", "animal10n", "webvision_mini"])
def test_what_nobody_may_serve_says_where_it_comes_from(name, tmp_path):
    with pytest.raises(MissingDataError, match=f"{name} cannot be downloaded: .*(authors|organisers)"):
        download.fetch(name, tmp_path, lambda line: None)
