"""One method against others: verdicts over settings and seeds, held against numbers worked out by hand."""

import math

import pytest

from bench.evidence.contests import contests, family
from bench.evidence.grouping import group
from bench.evidence.power import minimum_detectable_effect, seeds_needed

COLUMNS = ["symmetric 50%", "pairflip 45%"]
PAIRFLIP = {"noise": {"family": "pairflip", "rate": 0.45}}
# differences of 10, 12 and 6 points: mean 28/3, sd sqrt(28/3), t = sqrt(28), and with two degrees of freedom
# p = 1 - t / sqrt(t^2 + 2)
OURS, THEIRS = (60, 62, 64), (50, 50, 58)
P = 1 - math.sqrt(28 / 30)
# 1, -1 and 3 points: mean 1, sd 2, t = sqrt(3) / 2
P_FLIP = 1 - math.sqrt(0.75 / 2.75)


def runs_of(make, method, counts, **config):
    config = {**config}
    return [
        make(method, seed, (count,), **{k: {**v, "seed": seed} if k == "noise" else v for k, v in config.items()})
        for seed, count in enumerate(counts)
    ]


def only(make, ours=OURS, theirs=THEIRS, **more):
    (contest,) = contests(group([*runs_of(make, "a", ours), *runs_of(make, "b", theirs)]), "a", ["b"], **more)
    return contest


def test_the_paired_difference_its_interval_and_its_p_are_those_worked_out_by_hand(make):
    (duel,) = only(make).duels
    assert (duel.ours, duel.theirs) == (pytest.approx(0.62), pytest.approx(158 / 300))
    assert duel.test.difference == pytest.approx(0.28 / 3)
    assert duel.sd == pytest.approx(math.sqrt(28 / 3) / 100)
    assert duel.test.p == pytest.approx(P)
    assert duel.test.adjusted == pytest.approx(P)
    half = 4.302653 * math.sqrt(28 / 9) / 100  # the 0.975 quantile of t with two degrees of freedom
    assert (duel.test.low, duel.test.high) == (pytest.approx(0.28 / 3 - half), pytest.approx(0.28 / 3 + half))
    assert (duel.verdict, duel.reason, duel.alone) == ("better", "", 0)


def test_the_other_way_round_it_is_worse(make):
    assert only(make, THEIRS, OURS).duels[0].verdict == "worse"


def test_holms_correction_runs_over_all_settings_of_all_contests(make):
    payloads = [
        run for method, counts in (("a", OURS), ("b", THEIRS), ("c", OURS)) for run in runs_of(make, method, counts)
    ]
    flips = (("a", (51, 52, 53)), ("b", (50, 53, 50)), ("c", (50, 53, 50)))
    payloads += [run for method, counts in flips for run in runs_of(make, method, counts, **PAIRFLIP)]
    found = contests(group(payloads, columns=COLUMNS), "a", ["b", "c"])
    assert [(contest.ours.label, contest.theirs.label) for contest in found] == [("a", "b"), ("a", "c")]
    assert family(found) == 3  # a and c are equal in the first setting, which leaves no test there
    first, flip = found[0].duels
    assert flip.test.p == pytest.approx(P_FLIP)
    assert first.test.adjusted == pytest.approx(3 * P)
    assert flip.test.adjusted == pytest.approx(2 * P_FLIP)
    assert first.verdict == flip.verdict == "not separable"
    equal = found[1].duels[0]
    assert (equal.verdict, equal.reason) == ("not separable", "equal in every seed")
    assert [found[0].count(verdict) for verdict in ("better", "not separable", "worse", "not tested")] == [0, 2, 0, 0]


def test_what_the_seeds_could_show_is_said_for_the_first_of_all_tests(make):
    payloads = [*runs_of(make, "a", OURS), *runs_of(make, "b", THEIRS)]
    payloads += [*runs_of(make, "a", (51, 52, 53), **PAIRFLIP), *runs_of(make, "b", (50, 53, 50), **PAIRFLIP)]
    (contest,) = contests(group(payloads, columns=COLUMNS), "a", ["b"])
    for duel, effect, sd in zip(contest.duels, (28 / 3, 1), (math.sqrt(28 / 3), 2), strict=True):
        assert duel.detectable == pytest.approx(minimum_detectable_effect(3, 0.025) * sd / 100)
        assert duel.needed == seeds_needed(effect / sd, 0.025)


def test_no_difference_needs_no_number_of_seeds(make):
    assert only(make, (50, 52, 54), (52, 52, 52)).duels[0].needed is None


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict", "reason"),
    [
        ((60,), (50,), "not tested", "one shared seed"),
        ((60, 70), (50, 60), "not tested", "differences without spread"),
        ((60, 70), (60, 70), "not separable", "equal in every seed"),
    ],
)
def test_without_a_test_there_is_no_verdict(make, ours, theirs, verdict, reason):
    (duel,) = only(make, ours, theirs).duels
    assert (duel.verdict, duel.reason) == (verdict, reason)
    assert (duel.test.adjusted, duel.detectable) == (None, None)


def test_only_runs_of_one_seed_and_the_same_labels_make_a_pair(make):
    ours = [make("a", 0, (60,)), make("a", 1, (62,)), make("a", 2, (64,))]
    theirs = [make("b", 1, (50,)), make("b", 2, (58,), noise_id="n" + "0" * 12), make("b", 3, (50,))]
    (contest,) = contests(group([*ours, *theirs]), "a", ["b"])
    (duel,) = contest.duels
    assert [(one["config"]["seed"], two["config"]["seed"]) for one, two in duel.pairs] == [(1, 1)]
    assert duel.alone == 4


def test_rows_that_may_not_be_averaged_are_sides_of_their_own(make):
    ours = [
        make("a", seed, (count,), train={"epochs": 1, "network": net})
        for net, c in (("small", OURS), ("wide", THEIRS))
        for seed, count in enumerate(c)
    ]
    found = contests(group([*ours, *runs_of(make, "b", THEIRS)]), "a", ["b"])
    assert [contest.ours.label for contest in found] == ["a [network=small]", "a [network=wide]"]
    assert [contest.duels[0].test.n for contest in found] == [3, 3]


def test_all_settings_together_are_tested_over_seeds_and_over_settings(make):
    payloads = [*runs_of(make, "a", OURS), *runs_of(make, "b", THEIRS)]
    payloads += [*runs_of(make, "a", (51, 52, 53), **PAIRFLIP), *runs_of(make, "b", (50, 53, 50), **PAIRFLIP)]
    (contest,) = contests(group(payloads), "a", ["b"])
    whole = contest.together
    assert whole is not None
    # per seed 5.5, 5.5 and 4.5 points: mean 15.5 / 3, sd 1 / sqrt(3), t = 15.5
    assert whole.test.difference == pytest.approx(0.155 / 3)
    assert whole.test.t == pytest.approx(15.5)
    assert whole.test.adjusted == pytest.approx(1 - 15.5 / math.sqrt(15.5**2 + 2))
    assert whole.ranks.text == "Wilcoxon: cannot reach 0.05 at n = 2 (its smallest p is 0.5)"
    # every run of ours beats every one of theirs in the first setting; in the second 51 beats two of 50, 53, 50, and
    # 52 does, and 53 beats these and ties with one: (2 + 2 + 2.5) / 9
    assert whole.chance == pytest.approx((1 + 6.5 / 9) / 2)


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"b": (50, 52)}, "Wilcoxon: p = 0.031, n = 6"),  # 2 / 2^6
        ({"b": (50, 52), "c": None}, "Wilcoxon: p = 0.031, n = 6"),  # c is a again: nothing to test
        (
            {"b": (50, 52), "c": (50, 51)},
            "Wilcoxon: cannot reach 0.05 at n = 6 (its smallest p is 0.03125, 0.0625 as the first of 2 tests)",
        ),
    ],
    ids=len,
)
def test_six_settings_are_enough_for_one_rank_test_and_not_for_two(make, counts, text):
    payloads = []
    for number in range(6):
        noise, ours = {"noise": {"rate": 0.1 + number / 10}}, (60 + number, 61)
        for method, own in {"a": ours, **counts}.items():
            payloads += runs_of(make, method, own or ours, **noise)
    found = contests(group(payloads), "a", list(counts))
    assert found[0].together is not None
    assert found[0].together.ranks.text == text


def test_of_all_settings_together_only_seeds_that_all_of_them_have_are_tested(make):
    payloads = [*runs_of(make, "a", OURS), *runs_of(make, "b", THEIRS)]
    payloads += [*runs_of(make, "a", (51, 52), **PAIRFLIP), *runs_of(make, "b", (50, 53), **PAIRFLIP)]
    (contest,) = contests(group(payloads), "a", ["b"])
    assert contest.together is not None
    assert (contest.together.settings, contest.together.test.n) == (2, 2)
    assert contest.together.test.difference == pytest.approx(0.055)  # of (10 + 1) / 2 and (12 - 1) / 2 points


@pytest.mark.parametrize(("seeds", "told"), [(3, True), (4, False)])
def test_an_interval_of_the_chance_is_given_up_to_so_many_seeds(make, seeds, told, monkeypatch):
    monkeypatch.setattr("bench.evidence.contests.MOST_SEEDS", 3)
    counts = range(50, 50 + seeds)
    payloads = [run for m in "ab" for more in ({}, PAIRFLIP) for run in runs_of(make, m, counts, **more)]
    (contest,) = contests(group(payloads), "a", ["b"])
    assert contest.together is not None
    assert contest.together.chance == pytest.approx(0.5)
    assert (contest.together.chance_interval is not None) == told


def test_the_rule_and_the_head_are_the_ones_asked_for(make):
    def run(method, seed, net2):
        heads = {"net1": [10, 10], "net2": list(net2)}
        return make(method, seed, heads=heads, headline=["net1"], networks=2, train={"epochs": 2})

    grouping = group([run("a", 0, (70, 60)), run("a", 1, (75, 50)), run("b", 0, (20, 40)), run("b", 1, (30, 45))])
    for rule, head, difference in (("last", "headline", 0.0), ("last", "net2", 0.125), ("oracle", "net2", 0.3)):
        (contest,) = contests(grouping, "a", ["b"], rule, head)
        assert contest.duels[0].test.difference == pytest.approx(difference)


def test_one_setting_says_nothing_of_all_together(make):
    assert only(make).together is None
