"""Published numbers: what lies in results/published, which cell of ours they answer, and what may be said."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench.evidence import published
from bench.evidence.published import (
    FOLDER,
    NOT_STATED,
    Match,
    Reference,
    Setting,
    definition,
    load,
    matching,
    nearest,
    rule_of,
    split_text,
    verdict,
)
from bench.sweep.planning import grid
from bench.training.catalog import NETWORKS
from methods import registry
from noise import NoiseSpec

COUNTS = {
    "proselflc_2021": 15 * 7 + 5 * 6 + 5 + 9,
    "proselflc_later": 1 + 2 * 2 * 5 + 2 + 2,
    "co_teaching_2018": 3 * 3,
    "elr_2020": 4 * 5,
    "dividemix_2020": 5 + 5 + 4 + 1,
    "pencil_and_dml": 4 + 2,
    "badlabels_2024": 2 * (9 * 8 + 9 * 10 - 2),  # best and last; two columns of one method are left out
    "cifar_n_rescience_2026": 11 * 8,
    "cifar_n_rescience_2026_uniform": 12 * 8,
}


@pytest.fixture(scope="module")
def references() -> list[Reference]:
    return load()


def load_one(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_every_block_is_there_with_all_its_cells(references):
    counted = {path.stem: len(load_one(path)) for path in FOLDER.glob("*.csv")}
    assert counted == COUNTS
    assert len(references) == sum(COUNTS.values())


def test_every_number_carries_what_it_hangs_on(references):
    for reference in references:
        assert reference.network in NETWORKS or not reference.network, reference
        assert reference.method in registry.available() or not reference.method, reference
        assert re.search(r"(arXiv:\d{4}\.\d{5}|doi:10\.\d+/|ICCV \d{4}|github\.com/\S+/\S+)", reference.source), (
            reference
        )
        assert re.search(r"(19|20)\d\d", reference.source), reference
        assert reference.split in ("", NOT_STATED) or re.fullmatch(r"[\d.]+[km](/[\d.]+[km])?", reference.split)
        assert 1 < reference.value <= 100
        assert reference.realised_rate is None or 0 <= reference.realised_rate < 0.91
        assert reference.spread is None or (reference.n or 0) > 1
        assert reference.noise_definition == NOT_STATED or definition(reference.noise, reference.dataset)
        for name in reference.settings:
            names = [f.name for f in registry.describe(reference.method).fields]
            later = {"detach_target", "target_temperature"}  # of a paper whose losses are others than ours
            assert "." in name or name in names or name in later, reference


def test_no_cell_is_there_twice(references):
    keys = Counter((r.table, r.label, r.network, r.noise, r.rule, r.hyperparameters) for r in references)
    assert [key for key, count in keys.items() if count > 1] == []


def test_what_nobody_has_read_in_its_source_is_not_there(references):
    names = {reference.method for reference in references} | {reference.label.lower() for reference in references}
    assert not {name for name in names if name.startswith(("cmd", "smkd", "jocor", "unicon"))}
    plus = {(r.table.removesuffix("_cifar10").removesuffix("_cifar100")) for r in references if r.method == "elr_plus"}
    assert plus == {"cifar_n_rescience_2026", "cifar_n_rescience_2026_uniform"}  # not its own table
    pgdf = [r.noise for r in references if r.label == "PGDF" and r.noise.startswith("asymmetric")]
    assert pgdf == []  # made on the file of the symmetric noise


# read again in the sources by hand, some of every block
@pytest.mark.parametrize(
    ("table", "label", "noise", "rule", "printed", "spread"),
    [
        ("proselflc_2021_cifar100", "CCE", "asymmetric:0.2", "last", "66.6", None),
        ("proselflc_2021_cifar100", "ProSelfLC, B = 12", "symmetric:0.6", "last", "47.5", None),
        ("proselflc_2021_cifar100", "ProSelfLC, B = 16", "symmetric:0.6", "last", "32.3", None),
        ("proselflc_2021_cifar100", "LS, e = 0.5", "none", "last", "68.4", None),
        ("proselflc_2021_cifar100", "Boot-hard", "symmetric:0.6", NOT_STATED, "12.3", None),
        ("proselflc_2021_clothing1m", "ProSelfLC", "none", "last", "73.4", None),
        ("deep_critical_learning_2022_cifar100", "ProSelfLC, B = 8, T = .4", "symmetric:0.4", "last", "61.55", None),
        ("co_teaching_2018_cifar10", "Co-teaching", "pairflip:0.45", NOT_STATED, "72.85", None),
        ("co_teaching_2018_mnist", "Co-teaching", "symmetric:0.2", NOT_STATED, "97.71", None),
        ("elr_2020_cifar10", "ELR, cosine annealing", "symmetric:0.8", NOT_STATED, "80.69", None),
        ("elr_2020_cifar100", "ELR", "asymmetric:0.4", NOT_STATED, "73.71", None),
        ("dividemix_2020_cifar10", "DivideMix, best", "symmetric:0.9", "best on test", "76.0", None),
        ("dividemix_2020_cifar10", "DivideMix, last", "asymmetric:0.4", NOT_STATED, "92.1", None),
        ("pencil_2019_clothing1m", "PENCIL", "none", NOT_STATED, "73.49", None),
        ("dml_unofficial_cifar100", "DML", "none", NOT_STATED, "71.03", None),
        ("badlabels_2024_cifar10", "CE", "symmetric:0.6", "best on test", "69.79", None),
        ("badlabels_2024_cifar10", "CE", "symmetric:0.6", "last", "41.43", None),
        ("badlabels_2024_cifar100", "CE", "symmetric:0.8", "last", "9.27", None),
        ("badlabels_2024_cifar10", "Co-teaching", "asymmetric:0.4", "last", "56.33", None),
        ("badlabels_2024_cifar10", "PGDF", "seal:0.2", "best on test", "91.81", None),
        ("badlabels_2024_cifar100", "SOP", "seal:0.8", "last", "40.77", None),
        ("cifar_n_rescience_2026_cifar10", "CE", "human:worst", "best on test", "83.91", 0.08),
        ("cifar_n_rescience_2026_cifar100", "SOP", "human:noisy100", "best on test", "56.17", 1.02),
        ("cifar_n_rescience_2026_uniform_cifar10", "ProMix", "human:worst", "noisy validation", "88.99", 0.14),
        ("cifar_n_rescience_2026_uniform_cifar100", "CE", "none", "noisy validation", "59.18", 0.18),
    ],
)
def test_cells_that_were_read_again_by_hand(references, table, label, noise, rule, printed, spread):
    found = [
        r
        for r in references
        if (r.table, r.label, r.rule) == (table, label, rule) and (r.noise + ":").startswith(noise + ":")
    ]
    assert [(r.printed, r.spread) for r in found] in ([(printed, spread)], [(printed, spread)] * 2)


def test_realised_rates_are_those_of_the_definitions(references):
    told = {(r.table, r.noise): r.realised_rate for r in references if r.kind != "second-hand"}
    assert told["elr_2020_cifar10", "symmetric:0.4:dialect=elr"] == pytest.approx(0.36)  # the true class included
    assert told["elr_2020_cifar10", "asymmetric:0.4:dialect=elr"] == 0.184
    assert told["proselflc_2021_cifar100", "asymmetric:0.4:map=superclass_swap2"] == 0.16
    assert told["badlabels_2024_cifar10", "asymmetric:0.2:dialect=dividemix"] == 0.099


def row(**changes: str) -> dict[str, str]:
    told = dict(table="t", method="ce", label="CE", dataset="cifar10", noise="symmetric:0.5:dialect=co_teaching")
    told |= dict(noise_definition="exclusive iid", realised_rate="0.5", value="60.0", spread="1.0", n="5")
    told |= dict(network="resnet18", epochs="100", split="50k", rule="last", head="", hyperparameters="")
    return {**told, "kind": "authors", "source": "Nobody, Nowhere, 2020", "note": "", **changes}


def written(folder: Path, *rows: dict[str, str]) -> Path:
    with (folder / "made.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row()))
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": " "}, "source is empty; a number without it is not a reference"),
        ({"rule": ""}, "rule is empty"),
        ({"rule": "best"}, "unknown rule 'best'; allowed: best on test, clean validation, last, last ten"),
        ({"kind": "author"}, "unknown kind 'author'; did you mean 'authors'"),
        ({"value": "0.6x"}, "could not convert"),
        ({"value": "101"}, "value must be a percentage, got 101"),
        ({"spread": "-1"}, "spread must be a number of at least 0, got -1"),
        ({"n": "3.5"}, "invalid literal"),
        ({"n": "0"}, "n must be at least 1, got 0"),
        ({"head": "net1"}, "unknown head 'net1'"),
        ({"noise": "symetric:0.5"}, "unknown noise family 'symetric'"),
    ],
)
def test_a_cell_that_lacks_something_is_refused_with_file_and_line(tmp_path, changes, said):
    written(tmp_path, row(), row(**changes))
    with pytest.raises(ValueError, match=rf"made\.csv, line 3: {re.escape(said)}"):
        load(tmp_path)


def test_other_columns_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no published numbers in"):
        load(tmp_path)
    (tmp_path / "x.csv").write_text("table,value\nt,1\n")
    with pytest.raises(ValueError, match=r"x\.csv: the columns must be table,method,"):
        load(tmp_path)


@pytest.fixture
def reference(tmp_path) -> Reference:
    return load(written(tmp_path, row()))[0]


@pytest.fixture
def setting() -> Setting:
    noise = "symmetric:0.5:flips=iid"
    return Setting("ce", "cifar10", noise, "resnet18", 100, "50k", "last", 5, {"e": 0.5, "schedule.name": "steps"})


def test_what_a_number_hangs_on_is_told_and_that_it_is_not_told(reference):
    assert (reference.number, reference.count) == ("60.0 ± 1.00", "n = 5")
    assert reference.protocol == "network resnet18; noise exclusive iid; split 50k; rule last; 100 epochs; n = 5"
    bare = replace(reference, network="", split="", epochs=None, n=None, spread=None)
    assert (bare.number, bare.count) == ("60.0", "n not stated")
    told = "network not stated; noise exclusive iid; split not stated; rule last; epochs not stated; n not stated"
    assert bare.protocol == f"{told}, no spread"


def differs(reference: Reference, setting: Setting) -> tuple[str, ...]:
    (match,) = matching([reference], setting)
    return match.differs


def test_an_equal_protocol_differs_in_nothing_whoever_drew_the_labels(reference, setting):
    (match,) = matching([reference], setting)
    assert match == Match(reference, (), ())
    assert match.comparable


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        ({}, {"network": "resnet34"}, ("network (resnet18 against resnet34)",)),
        ({"network": ""}, {}, ("network (not stated against resnet18)",)),
        (
            {"network": "resnet34_imagenet_stem"},
            {"network": "resnet34"},
            ("network (resnet34_imagenet_stem against resnet34)",),
        ),
        ({}, {"noise": "symmetric:0.5"}, ("noise (exclusive iid against exclusive exact)",)),
        ({}, {"noise": "symmetric:0.5:dialect=dividemix"}, ("noise (exclusive iid against inclusive exact)",)),
        ({"noise_definition": NOT_STATED}, {}, ("noise definition (not stated)",)),
        ({}, {"split": "45k/5k"}, ("split (50k against 45k/5k)",)),
        ({}, {"epochs": 120}, ("epochs (100 against 120)",)),
        ({"epochs": None}, {}, ("epochs (not stated against 100)",)),
        ({"epochs": 199.0}, {"epochs": 200}, ()),
        ({}, {"rule": "oracle"}, ("rule (last against best on test)",)),
        ({"rule": NOT_STATED}, {}, ("rule (not stated against last)",)),
        ({"hyperparameters": "e=0.25"}, {}, ("e (0.25 against 0.5)",)),
        ({"hyperparameters": "e=0.5"}, {}, ()),
        ({"hyperparameters": "schedule.name=cosine"}, {}, ("schedule.name (cosine against steps)",)),
        ({"hyperparameters": "lambda_u=0"}, {}, ("lambda_u (0 against none here)",)),
        ({"head": "ensemble"}, {"networks": 2}, ("head (ensemble against headline)",)),
        ({"head": "ensemble"}, {"networks": 2, "head": "ensemble"}, ()),
        ({"network": "cnn9"}, {"epochs": 5}, ("network (cnn9 against resnet18)", "epochs (100 against 5)")),
    ],
)
def test_every_difference_of_protocol_is_named(reference, setting, theirs, ours, said):
    assert differs(replace(reference, **theirs), replace(setting, **ours)) == said


def test_other_numbers_of_runs_are_told_but_compared(reference, setting):
    (match,) = matching([reference], replace(setting, n=3))
    assert (match.differs, match.remarks) == ((), ("n (5 against 3)",))
    (match,) = matching([replace(reference, n=None, note="by rate")], replace(setting, networks=2))
    assert match.remarks == (
        "n (not stated against 5)",
        "which head of 2 networks is printed is not stated, ours is headline",
        "by rate",
    )


@pytest.mark.parametrize(
    "ours",
    [
        {"method": "gce"},
        {"dataset": "cifar100"},
        {"noise": "symmetric:0.4:flips=iid"},
        {"noise": "pairflip:0.5"},
        {"noise": "none"},
    ],
)
def test_another_cell_is_not_answered(reference, setting, ours):
    assert matching([reference], replace(setting, **ours)) == []


def test_human_labels_are_matched_by_their_set(reference, setting):
    theirs = replace(reference, noise="human:worst", noise_definition="human, worst")
    assert differs(theirs, replace(setting, noise="human:worst")) == ()
    assert matching([theirs], replace(setting, noise="human:aggre")) == []


def test_the_closest_protocol_comes_first_and_of_several_settings_only_ours(reference, setting):
    other = [replace(reference, hyperparameters=f"e={e}", value=value) for e, value in ((0.25, 50.0), (0.5, 51.0))]
    far = replace(other[1], rule="best on test", epochs=3.0, value=52.0)
    found = matching([far, *other], setting)
    assert [match.reference.value for match in found] == [51.0, 50.0, 52.0]
    assert [match.reference.value for match in nearest(found)] == [51.0, 52.0]


@pytest.mark.parametrize(
    ("noise", "dataset", "text"),
    [
        ("symmetric:0.2", "cifar10", "exclusive exact"),
        ("symmetric:0.2:flips=total", "cifar10", "exclusive exact"),
        ("symmetric:0.2:dialect=elr", "cifar10", "inclusive exact"),
        ("symmetric:0.2:dialect=pencil", "cifar10", "inclusive per sample, first nine tenths"),
        ("asymmetric:0.4", "cifar10", "exclusive exact map cifar10"),
        (
            "asymmetric:0.4:dialect=elr",
            "cifar10",
            "exclusive exact, class by class on labels already changed map cifar10",
        ),
        ("asymmetric:0.4:dialect=elr:map=block5_next", "cifar100", "exclusive iid map block5_next"),
        (
            "asymmetric:0.4:dialect=cdr",
            "cifar10",
            "exclusive exact, class by class on labels already changed map cifar10",
        ),
        ("asymmetric:0.4:dialect=cdr:map=block5_next", "cifar100", "exclusive iid map block5_next"),
        ("instance:0.4:std=0.2", "cifar10", "exclusive exact std=0.2"),
        ("human:worst", "cifar10", "as given"),
    ],
)
def test_what_a_noise_means_whoever_draws_it(noise, dataset, text):
    assert definition(noise, dataset) == text


def test_splits_read_as_papers_write_them():
    assert [
        split_text(*pair) for pair in ((50_000, 0), (45_000, 5_000), (47_500, 2_500), (1_000_000, 0), (230, 26))
    ] == [
        "50k",
        "45k/5k",
        "47.5k/2.5k",
        "1m",
        "230/26",
    ]


def test_rules_have_names_in_both_tongues(reference):
    assert [rule_of(replace(reference, rule=rule)) for rule in published.RULES.values()] == list(published.RULES)
    assert rule_of(replace(reference, rule=NOT_STATED), "last10") == "last10"


def test_by_hand_welch_where_both_spreads_are_known(reference):
    # 62 - 60 = 2; error^2 = 1/4 + 1/5 = .45; t = 2.981; df = .45^2 / (.0625/3 + .04/4) = 6.568; two-sided p = .0219
    said = verdict(62.0, 1.0, 4, Match(reference, (), ()))
    assert (said.outcome, said.difference) == ("higher", 2.0)
    assert said.p == pytest.approx(0.0219, abs=2e-4)
    assert said.text == "higher than published (Welch's t, p = 0.022, n = 4 and 5)"
    close = verdict(60.5, 1.0, 4, Match(reference, (), ()))
    assert (close.outcome, close.text) == ("inside", "not separable (Welch's t, p = 0.48, n = 4 and 5)")


def test_by_hand_our_spread_alone_where_theirs_is_not_known(reference):
    match = Match(replace(reference, spread=None, n=1), (), ())
    inside, outside = verdict(61.0, 1.0, 4, match), verdict(58.9, 1.0, 4, match)  # two standard errors are 1
    assert (inside.outcome, inside.p) == ("inside", None)
    assert inside.text == "inside ±2 standard errors of ours, 1.00; by our spread alone, theirs is not given"
    assert (outside.outcome, outside.difference) == ("lower", pytest.approx(-1.1))
    assert outside.text.startswith(
        "lower than published (outside ±2 standard errors of ours, 1.00; by our spread alone"
    )


def test_nothing_is_judged_without_spread_without_runs_or_over_other_protocols(reference):
    same = Match(reference, (), ())
    assert verdict(None, None, 0, same).outcome == "not run"
    assert verdict(62.0, None, 1, same).text == "no verdict: one run has no spread"
    assert (
        verdict(62.0, 0.0, 3, Match(replace(reference, spread=None), (), ())).text
        == "no verdict: our runs have no spread"
    )
    other = verdict(62.0, 1.0, 4, Match(reference, ("network (a against b)", "rule (c against d)"), ()))
    assert (other.outcome, other.difference, other.p) == ("not comparable", 2.0, None)
    assert other.text == "not comparable: differs in network (a against b), rule (c against d)"


def test_a_setting_is_read_off_a_runs_configuration():
    suite = grid.load("badlabels_2024_cifar10")
    runs = {(run.config.method.name, run.noise): run for run in grid.plan(suite)}
    run = runs["t_revision", "asymmetric:0.4:dialect=dividemix"]
    setting = Setting.of(run.config.to_dict(), run.info.train_size, rule="last", n=1)
    assert (setting.split, setting.network, setting.epochs) == ("45k/5k", "preact_resnet18", 420)
    assert NoiseSpec.parse(setting.noise).map == "cifar10"
    assert setting.params["optimizer.lr"] == 0.01


# which rows of a suite's plan have the protocol of a published number, so that they can be judged
@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("badlabels_2024_cifar10", {"ce", "co_teaching", "t_revision", "dividemix", "peer_loss", "elr", "sop_plus"}),
        ("badlabels_2024_cifar100", {"ce", "co_teaching", "t_revision", "dividemix", "peer_loss", "elr", "sop_plus"}),
        ("proselflc_2021_cifar100", {"ce", "label_smoothing", "confidence_penalty", "bootstrap_soft", "proselflc"}),
        ("dividemix_2020_cifar10", {"dividemix"}),
        ("dividemix_2020_cifar100", {"dividemix"}),
        ("cifar_n_rescience_2026_cifar10", {"ce"}),
        ("cifar_n_rescience_2026_cifar100", {"ce"}),
        *(
            (
                f"cifar_n_rescience_2026_uniform_{dataset}",
                {
                    "ce",
                    "co_teaching",
                    "co_teaching_plus",
                    "elr_plus",
                    "dividemix",
                    "volminnet",
                    "pes_semi",
                    "sop",
                    "sop_plus",
                },
            )
            for dataset in ("cifar10", "cifar100")
        ),
        *((f"co_teaching_2018_{dataset}", set()) for dataset in ("mnist", "cifar10", "cifar100")),
        *((f"elr_2020_{dataset}", set()) for dataset in ("cifar10", "cifar100")),
    ],
)
def test_the_rows_of_a_suite_have_the_published_protocol_wherever_it_is_told(references, name, rows):
    suite = grid.load(name)
    told = published.of_table(references, suite.published)
    answered, judged = set(), {}
    for run in grid.plan(replace(suite, seeds=(0,))):
        found = []
        for reference in (r for r in told if r.method == run.config.method.name):
            head = reference.head if reference.head and run.networks > 1 else "headline"
            rest = {"rule": rule_of(reference), "n": 5, "head": head, "networks": run.networks}
            found += matching([reference], Setting.of(run.config.to_dict(), run.info.train_size, **rest))
        assert found, (run.config.method.name, run.noise)
        answered.add(run.config.method.name)
        kept = nearest(found)
        assert len({(match.reference.rule, match.reference.kind) for match in kept}) == len(kept)
        judged.setdefault(run.config.method.name, []).append(any(match.comparable for match in kept))
    assert answered == set(suite.methods)
    assert {method for method, cells in judged.items() if any(cells)} == rows
    assert {method for method, cells in judged.items() if all(cells)} == rows
