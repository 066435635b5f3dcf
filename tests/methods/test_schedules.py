import pytest

from methods.schedules import epochs_of, knowledge_threshold, phases_of, piecewise, ramp, sigmoid

TABLE = {  # steepness -> threshold at progress 0, .2, .4, .6, .8, 1 for eta = .5, worked by hand
    2: (0.7311, 0.6457, 0.5498, 0.4502, 0.3543, 0.2689),
    4: (0.8808, 0.7685, 0.5987, 0.4013, 0.2315, 0.1192),
    6: (0.9526, 0.8581, 0.6457, 0.3543, 0.1419, 0.0474),
    10: (0.9933, 0.9526, 0.7311, 0.2689, 0.0474, 0.0067),
}


@pytest.mark.parametrize("b", TABLE)
def test_the_tightening_threshold_is_the_table(b):
    for step, wanted in enumerate(TABLE[b]):
        assert abs(knowledge_threshold(step / 5, eta=0.5, b=b) - wanted) < 1e-4
        relaxed = knowledge_threshold(1 - step / 5, eta=0.5, b=b, direction="relax")
        assert abs(relaxed - wanted) < 1e-4


def test_a_threshold_without_steepness_is_exactly_eta_at_all_times():
    for eta in (0.1, 0.25, 1 / 3, 0.5, 0.7, 1.0):
        for step in range(11):
            for direction in ("tighten", "relax"):
                assert knowledge_threshold(step / 10, eta, 0.0, direction) == eta


def test_every_threshold_crosses_eta_in_the_middle_of_training():
    for b in (0, 2, 10):
        assert knowledge_threshold(0.5, 0.3, b) == 0.3


def test_the_threshold_stays_between_none_and_all():
    for eta in (0.0, 0.5, 1.0, 3.0):
        for b in (0, 10, 1e4):
            for step in range(11):
                assert 0 <= knowledge_threshold(step / 10, eta, b) <= 1


def test_norm_scales_the_threshold():
    assert knowledge_threshold(0.5, 0.5, 4.0, norm=1.0) == 0.25


def test_an_unknown_direction_is_not_taken_for_another():
    with pytest.raises(KeyError):
        knowledge_threshold(0.5, 0.5, 4.0, direction="up")


def test_the_sigmoid_is_exact_at_zero_and_does_not_overflow():
    assert sigmoid(0.0) == 0.5
    assert sigmoid(1e4) == 1.0
    assert sigmoid(-1e4) == 0.0
    assert abs(sigmoid(2.0) - 0.880797) < 1e-6
    assert abs(sigmoid(-2.0) - 0.119203) < 1e-6


def test_a_ramp_of_four_epochs_ends_in_the_fourth():
    assert [ramp(epoch, 4) for epoch in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert ramp(0, 0) == 1.0


def test_a_share_of_a_run_is_rounded_to_epochs_and_is_at_least_one():
    assert [epochs_of(share, 200) for share in (0.1, 5 / 200, 0.001, 1.0)] == [20, 5, 1, 200]
    assert [epochs_of(share, 3) for share in (0.1, 0.5, 0.9)] == [1, 2, 3]


def test_a_share_of_nothing_is_no_epoch():
    assert epochs_of(0, 200) == epochs_of(0.0, 1) == 0


def test_a_run_is_cut_into_phases_by_their_shares():
    shares = {"warm_up": 25 / 212, "refine_stage": 7 / 212, "refine_head": 5 / 212, "main": 175 / 212}
    cut = [("warm_up", 25), ("refine_stage", 7), ("refine_head", 5), ("main", 175)]
    assert phases_of(212, **shares) == cut


def test_the_last_phase_takes_what_is_left():
    assert phases_of(10, first=0.26, second=0.26, last=0.1) == [("first", 3), ("second", 3), ("last", 4)]


def test_where_nothing_is_left_the_longest_phases_give():
    assert phases_of(10, first=0.9, second=0.001, last=0.05) == [("first", 8), ("second", 1), ("last", 1)]
    assert phases_of(4, first=0.5, second=0.5, third=0.0, last=0.0) == [
        ("first", 1),
        ("second", 1),
        ("third", 1),
        ("last", 1),
    ]


@pytest.mark.parametrize("shares", [(1.0,), (0.5, 0.5), (0.1, 0.2, 0.7), (0.34, 0.33, 0.33), (0.01, 0.98, 0.01)])
def test_phases_fill_every_run_and_none_is_empty(shares):
    for epochs in range(len(shares), 60):
        cut = phases_of(epochs, **{f"phase{k}": share for k, share in enumerate(shares)})
        assert sum(length for _, length in cut) == epochs
        assert min(length for _, length in cut) >= 1
        assert [name for name, _ in cut] == [f"phase{k}" for k in range(len(shares))]


def test_too_few_epochs_for_the_phases_are_refused():
    with pytest.raises(ValueError, match=r"^2 epochs cannot be cut into the phases estimate, reweight, revise$"):
        phases_of(2, estimate=0.2, reweight=0.4, revise=0.4)


def test_lines_go_through_their_points_and_are_flat_outside():
    points = [(0.2, 0.0), (0.4, 1.0), (0.8, 3.0)]
    found = [piecewise(t, points) for t in (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)]
    assert found == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 3.0])


def test_two_points_at_one_time_are_a_jump():
    points = [(0.0, 1.0), (0.5, 1.0), (0.5, 4.0), (1.0, 4.0)]
    assert [piecewise(t, points) for t in (0.0, 0.25, 0.499, 0.5, 0.75, 1.0)] == [1.0, 1.0, 1.0, 4.0, 4.0, 4.0]


def test_one_point_is_a_constant():
    assert [piecewise(t, [(0.5, 2.0)]) for t in (0.0, 0.5, 1.0)] == [2.0, 2.0, 2.0]
