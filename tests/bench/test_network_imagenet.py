"""resnet50_imagenet, on a made-up file in the place of torchvision's."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.data import datasets
from bench.training import networks, photo_resnets
from bench.training.network import Network
from bench.vision import torchvision

pytestmark = pytest.mark.filterwarnings("ignore:torchvision .* was not built for torch:RuntimeWarning")  # once

INFO = replace(datasets.info("cifar10"), name="photos", num_classes=7)
SITE = "https://somewhere.org/models/"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Weights of a ResNet-50 as torchvision saves them, under a name that ends in the digits of their sha256."""
    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        weights = torchvision().models.resnet50(weights=None).state_dict()
    for key, tensor in weights.items():
        if key.endswith("running_mean"):
            tensor.fill_(0.01)  # a pretrained network has statistics
    torch.save(weights, folder / "fresh.pth")
    path = folder / f"resnet50-{hashlib.sha256((folder / 'fresh.pth').read_bytes()).hexdigest()[:8]}.pth"
    (folder / "fresh.pth").rename(path)
    yield path
    path.unlink()  # 100 MB


@pytest.fixture
def saved(file: Path) -> dict[str, Tensor]:
    return torch.load(file, weights_only=True)


@pytest.fixture(autouse=True)
def folders(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file lies in the data folder; torch hub's cache is empty, and nothing can be fetched."""

    def no_network(*args: object, **kwargs: object) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setenv("LNBENCH_DATA", str(file.parent))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    monkeypatch.setattr("socket.create_connection", no_network)
    monkeypatch.setattr(photo_resnets, "imagenet_address", lambda: SITE + file.name)


def build(seed: int = 0, channels: int = 3) -> Network:
    return networks.build("resnet50_imagenet", replace(INFO, shape=(channels, 32, 32)), seed=seed)


def test_all_but_the_head_comes_from_the_file_and_the_head_from_the_seed(saved) -> None:
    networks_by_seed = [build(seed) for seed in (0, 0, 1)]
    body = [saved[key] for key in saved if not key.startswith("fc.")]
    for network in networks_by_seed:
        mine = list(network.stages.state_dict().values())
        assert all(torch.equal(a, b) for a, b in zip(mine, body, strict=True))
    one, again, other = [network.head.weight.detach() for network in networks_by_seed]
    assert one.shape == (7, 2048)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert 0.99 * 2048**-0.5 < float(one.abs().max()) <= 2048**-0.5  # torch's distribution


def test_it_computes_what_torchvisions_network_does_with_these_weights(saved) -> None:
    network, whole = build().eval(), torchvision().models.resnet50(weights=None).eval()
    whole.load_state_dict(saved)
    whole.fc = network.head
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(x), whole(x))


def test_a_grey_image_is_seen_as_a_colour_image_of_equal_channels() -> None:
    grey, colour = build(channels=1).eval(), build(channels=3).eval()
    x = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        expected = colour(x.expand(-1, 3, -1, -1))
        assert not torch.allclose(expected[0], expected[1], atol=0.01 * float(expected.abs().max()))
        assert torch.allclose(grey(x), expected, atol=1e-5 * float(expected.abs().max()))
    assert grey.stages[0][0].weight.requires_grad
    assert grey.stages[0][0].weight.shape == (64, 1, 7, 7)
    with pytest.raises(ValueError, match=r"^ImageNet weights are for images of 3 channels or 1, but photos has 2$"):
        build(channels=2)


def test_it_trains_on_the_smallest_images_and_refuses_smaller_ones() -> None:
    network = build()
    network.train()(torch.rand(2, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    with pytest.raises(ValueError, match="network 'resnet50_imagenet' needs images of at least 32 x 32 pixels"):
        networks.build("resnet50_imagenet", replace(INFO, shape=(3, 32, 31)), seed=0)


def test_a_new_tail_is_drawn_and_not_read_from_the_file_again(saved) -> None:
    network = build()
    head = network.head.weight.detach().clone()
    network.reinit_tail(1)
    mine = network.state_dict()
    assert torch.equal(mine["stages.3.0.conv1.weight"], saved["layer3.0.conv1.weight"])
    assert not torch.equal(mine["stages.4.0.conv1.weight"], saved["layer4.0.conv1.weight"])
    assert mine["stages.4.0.bn1.running_mean"].count_nonzero() == 0
    assert not torch.equal(network.head.weight, head)


def test_building_leaves_the_global_generator_as_it_was() -> None:
    state = torch.get_rng_state()
    build()
    assert torch.equal(torch.get_rng_state(), state)


def test_torch_hubs_cache_is_searched_after_the_data_folder(file, tmp_path, monkeypatch, saved) -> None:
    monkeypatch.setenv("LNBENCH_DATA", str(tmp_path / "data"))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (cache / file.name).symlink_to(file)
    assert torch.equal(build().stages[0][0].weight, saved["conv1.weight"])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / file.name).write_bytes(b"other")
    with pytest.raises(ValueError, match=r"data/resnet50-\w+\.pth is damaged"):
        build()


def test_a_missing_file_is_named_with_its_places_and_its_address(tmp_path, monkeypatch) -> None:
    monkeypatch.undo()  # torchvision's own address
    monkeypatch.setenv("LNBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    with pytest.raises(ValueError, match=r"^no resnet50-0676ba61\.pth in ") as caught:
        build()
    assert str(caught.value) == (
        f"no resnet50-0676ba61.pth in {tmp_path}/data or {tmp_path}/hub/checkpoints; "
        "put it there, from https://download.pytorch.org/models/resnet50-0676ba61.pth"
    )


def test_a_file_of_other_content_than_its_name_says_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("LNBENCH_DATA", str(tmp_path))
    path = tmp_path / "resnet50-01234567.pth"
    path.write_bytes(b"half a download")
    found = hashlib.sha256(b"half a download").hexdigest()[:8]
    with pytest.raises(ValueError, match="is damaged") as caught:
        photo_resnets.read_weights(SITE + path.name)
    assert str(caught.value) == (
        f"{path} is damaged: its sha256 begins with {found}, not with the 01234567 of its name; "
        f"replace it by {SITE}{path.name}"
    )
