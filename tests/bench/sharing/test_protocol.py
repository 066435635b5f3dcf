"""What runs must have in common: read off planned runs, and told where it differs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.sharing import protocol
from bench.sharing.submission import is_link
from bench.sweep.planning import grid

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
