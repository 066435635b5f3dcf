import pytest

from methods.schedules import knowledge_threshold, ramp, sigmoid

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
