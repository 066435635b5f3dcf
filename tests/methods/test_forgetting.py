"""The share of a batch that small-loss methods keep, by its definition and by the released code's table."""

from fractions import Fraction

import numpy as np
import pytest

from methods import create

TOLD = type("Told", (), {"noise_rate": 0.4})


def forgetting(**params):
    method = create("co_teaching", **params)
    method.task = TOLD()
    return method


def test_the_kept_share_falls_in_equal_steps_to_one_minus_the_rate_in_the_last_epoch_of_the_ramp(world):
    # R(E) = 1 - .4 min(E / 4, 1) in epoch E = 1, 2, ...
    found = [forgetting(ramp_epochs=4).kept_share(world.clock(epoch=epoch)) for epoch in range(6)]
    assert found == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.6, 0.6])


@pytest.mark.parametrize("length", [1, 2, 3, 10])
@pytest.mark.parametrize("rate", [0.2, 0.45])
def test_the_reference_ramp_is_the_table_of_the_released_code(world, length, rate):
    # there epochs are counted from 0, and training begins with number 1
    table = np.ones(13) * rate
    table[:length] = np.linspace(0, rate, length)
    method = forgetting(forget_rate=rate, ramp_epochs=length, compat="reference")
    found = [method.kept_share(world.clock(epoch=epoch)) for epoch in range(12)]
    assert found == pytest.approx((1 - table[1:]).tolist())


def test_the_reference_reaches_the_rate_one_epoch_before_the_paper(world):
    paper, code = forgetting(ramp_epochs=10), forgetting(ramp_epochs=10, compat="reference")
    shares = {
        method.compat: [method.kept_share(world.clock(epoch=e)) for e in (0, 8, 9, 50)] for method in (paper, code)
    }
    assert shares["correct"] == pytest.approx([0.96, 0.64, 0.6, 0.6])
    assert shares["reference"] == pytest.approx([1 - 0.4 / 9, 0.6, 0.6, 0.6])


@pytest.mark.parametrize("compat", ["correct", "reference"])
def test_without_a_ramp_the_whole_rate_is_forgotten_at_once(world, compat):
    assert forgetting(ramp_epochs=0, compat=compat).kept_share(world.clock(epoch=0)) == pytest.approx(0.6)


def test_the_number_kept_is_the_exact_product_rounded_down_and_at_least_one(world):
    for hundredths in range(100):
        for length in (1, 3, 7, 10):
            method = forgetting(forget_rate=hundredths / 100, ramp_epochs=length)
            for epoch in range(length):
                share = 1 - Fraction(hundredths, 100) * Fraction(epoch + 1, length)
                for num in (1, 2, 20, 75, 128):
                    assert method.kept(num, world.clock(epoch=epoch)) == max(1, int(share * num))


@pytest.mark.parametrize("name", ["co_teaching", "co_teaching_plus", "jocor"])
@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_a_rate_outside_of_its_range_is_refused(name, rate):
    with pytest.raises(ValueError, match=rf"^forget_rate must be in \[0, 1\), got {rate}$"):
        create(name, forget_rate=rate)


def test_a_negative_ramp_is_refused():
    with pytest.raises(ValueError, match=r"^ramp_epochs must be at least 0, got -1$"):
        create("co_teaching", ramp_epochs=-1)


def test_all_who_forget_need_to_be_told_the_rate_and_have_two_networks():
    for name in ("co_teaching", "co_teaching_plus", "jocor"):
        method = create(name)
        assert method.needs.declared() == ["noise_rate"]
        assert method.num_networks == 2
