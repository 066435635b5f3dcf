"""What runs must have in common: read off planned runs, and told where it differs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.sharing import protocol
from bench.sharing.submission import Given, is_link
from bench.sharing.told import Told, gaps, told_by
from bench.sweep.planning import grid
from tests.bench.evidence.conftest import config_of, payload_of

SUITE = grid.Suite("s", "digits", ("symmetric:0.5", "pairflip:0.45"), ("ce", "dml"), (0, 1, 2))


def of(suite):
    return protocol.of([run.config.to_dict() for run in grid.plan(suite)])


def test_methods_and_their_hyper_parameters_do_not_matter_and_all_else_does():
    (one,) = of(SUITE)
    assert len(one.cells) == 2 * 3
    assert one.columns == ["symmetric 50%", "pairflip 45%"]
    same = [
        replace(SUITE, methods=("co_teaching",)),
        replace(SUITE, params={"dml": {"weight": 0.5}}),
        replace(SUITE, noise=SUITE.noise[::-1], seeds=(2, 1, 0)),
        replace(SUITE, name="other", title="other"),
    ]
    assert {of(suite)[0].key for suite in same} == {one.key}
    other = [
        replace(SUITE, val=0.2),
        replace(SUITE, train_limit=100),
        replace(SUITE, trusted=10),
        replace(SUITE, noise=SUITE.noise[:1]),
        replace(SUITE, seeds=(0, 1)),
        replace(SUITE, noise_seed=0),
        replace(SUITE, train={"epochs": 15}),
        replace(SUITE, train={"optimizer": {"lr": 0.1}}),
        replace(SUITE, train={"precision": "bf16"}),
    ]
    keys = {of(suite)[0].key for suite in other}
    assert len(keys) == len(other)
    assert one.key not in keys
    assert replace(one, rule="last10").key != one.key


def test_presets_of_methods_have_their_recipes_and_share_what_is_left():
    suite = replace(SUITE, dataset="cifar10", methods=("dividemix", "elr"), preset="paper")
    (one,) = of(suite)
    assert one.setting["train"] == {"preset": "paper", "precision": "float32"}


def test_a_suite_that_leaves_the_precision_open_is_a_protocol_in_each():
    suite = replace(SUITE, dataset="cifar10")
    made = protocol.in_any_precision(of(suite))
    assert [one.setting["train"]["precision"] for one in made] == ["float32", "tf32", "bf16"]
    assert len({one.key for one in made}) == 3


def test_differences_are_told_against_the_protocol_that_comes_closest():
    (ours,), (near,) = of(SUITE), of(replace(SUITE, train={"epochs": 15}))
    (far,) = of(replace(SUITE, train={"epochs": 15, "batch_size": 64}, val=0.2, trusted=10))
    assert protocol.differences(ours.setting, [far, near]) == "train.epochs 14 instead of 15"
    told = protocol.differences(ours.setting, [far])
    assert told.startswith(
        "dataset.trusted nothing instead of 10, dataset.val 0.1 instead of 0.2, train.batch_size 128"
    )
    assert told.endswith(" and 1 more")
    assert protocol.differences(ours.setting, []) == "there is no protocol"
    other = {**ours.setting["dataset"], "val": 0.2, "digest": "f" * 64, "trusted": 9}
    three = protocol.differences({**ours.setting, "dataset": other}, [ours])  # so many are named
    digest = ours.setting["dataset"]["digest"][:12]
    assert three.startswith(f"dataset.digest {'f' * 12}... instead of {digest}..., dataset.trusted 9 instead of ")
    assert three.endswith(", dataset.val 0.2 instead of 0.1")


def test_what_a_row_lacks_is_told_noise_by_noise_and_its_seeds_in_order():
    def cells(*counts):
        return [(seed, {"rate": rate}) for rate, count in zip((0.5, 0.2), counts, strict=True) for seed in count]

    (one,) = protocol.of([config_of("ce", seed, noise=noise) for seed, noise in cells(range(12), range(12))])
    done = [payload_of("ce", seed, noise=noise) for seed, noise in cells([7], [])]
    done += [payload_of("dml", seed, noise=noise) for seed, noise in cells(range(12), range(1, 12))]
    runs = [Told(run["run_id"], "", one.key, run) for run in done]
    seeds = "0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11"
    assert gaps([one], runs, {"dml": Given(24, 23, ()), "elr": Given(9, 0, ())}) == [
        f"ce: symmetric 50% lacks seed {seeds}; symmetric 20% lacks all seeds",
        "dml: symmetric 20% lacks seed 0",
        "elr: none of 9 runs",
    ]
    elsewhere = [replace(run, protocol="another") for run in runs]
    assert gaps([one], elsewhere, {}) == []


def test_what_a_provenance_says_is_cut_short():
    payload = payload_of("ce")
    said = {"started": "s" * 99, "torch": "t" * 99, "device": "d" * 99, "commit": "c" * 99, "dirty": True}
    for attempts, started, commit in (
        ([{"started": "before"}, said], "s" * 80, "c" * 40 + " with changes"),
        ([said, {}], "", ""),
        ([said, 5], "", ""),
        ([], "", ""),
        ("x", "", ""),
    ):
        result = SimpleNamespace(payload=payload, provenance={"attempts": attempts}, payload_sha256="f" * 64)
        told = told_by(SimpleNamespace(result=result, folder=SimpleNamespace(run_id="r0")), "key")
        assert (told.run_id, told.payload, told.protocol) == ("r0", "f" * 64, "key")
        assert (told.started, told.commit) == (started, commit)
        assert {told.torch[:80], told.device[:80]} == {told.torch, told.device}


@pytest.mark.parametrize(
    ("text", "followed"),
    [
        ("https://example.org/a?b=1&c=2#d", True),
        ("http://example.org", True),
        ("HTTPS://EXAMPLE.ORG", True),
        ("ftp://example.org", False),
        ("javascript:alert(1)", False),
        ("JaVaScRiPt:alert(1)", False),
        (" javascript:alert(1)", False),
        ("//example.org", False),
        ("https://", False),
        ("https:///path", False),
        ('https://x.org/"x', False),
        ("https://x.org/<b>", False),
        ("https://[x", False),
        ("", False),
    ],
)
def test_a_page_follows_addresses_of_the_web_alone(text, followed):
    assert is_link(text) is followed
