"""Numbers that follow the clock, where a step reads them on a device: the same as on the host, to the bit."""

import dataclasses
import operator

import pytest
import torch

from bench.training.clocks import DeviceClock, Noting, Recorded, Scalar, Table, placed
from methods.base import Clock

CPU = torch.device("cpu")
CLOCKS = [Clock(2, 10, step, 7, (2 + (step + 1) / 7) / 10, "main", 1, 5) for step in range(7)]
NUMBER = 0.1 + 0.2 / 3  # no float32 holds it


def scalar(number: float = NUMBER) -> Scalar:
    return Scalar.of(torch.tensor(number, dtype=torch.float64))


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def draw(clock: Clock) -> tuple[float, torch.Tensor]:
    generator = torch.Generator().manual_seed(clock.step)
    return clock.progress**2, torch.randperm(5, generator=generator)


def test_on_the_ordinary_clock_a_value_is_what_the_function_gives():
    assert CLOCKS[3].value(lambda now: now.progress + now.step) == CLOCKS[3].progress + 3
    found = CLOCKS[3].value(draw)
    assert type(found[0]) is float


SUMS = {
    "times": lambda x, n: n * x,
    "times, from the right": lambda x, n: x * n,
    "one minus it, times": lambda x, n: n * x + (1 - n) * x,
    "over one plus it": lambda x, n: x / (1 + n),
    "power": lambda x, n: x**n,
    "comparison": lambda x, n: x.abs() <= n,
    "lerp": lambda x, n: x.clone().lerp_(x.flip(0) if x.ndim else -x, 1 - 0.9 * n),
    "where": lambda x, n: torch.where(x > 0, x, x * n),
    "of integers": lambda x, n: n * (x > 0).sum(),
    "into a sum in double precision": lambda x, n: torch.zeros((), dtype=torch.float64).add_(n),
    "several": lambda x, n: (1 - n * 0.5 + n / 3) * x,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (1000,)])
@pytest.mark.parametrize("name", SUMS)
def test_a_scalar_meets_tensors_as_a_python_number_does(name, shape, dtype, rng):
    x = torch.randn(shape, generator=rng).abs().add(0.1).to(dtype)
    wanted, found = SUMS[name](x, NUMBER), SUMS[name](x, scalar())
    assert type(found) is torch.Tensor
    assert found.dtype == wanted.dtype
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("change", [operator.add, operator.mul, operator.sub, operator.truediv])
def test_between_numbers_a_scalar_keeps_double_precision(change):
    for found, wanted in (
        (change(1, scalar()), change(1, NUMBER)),
        (change(scalar(), scalar(0.7)), change(NUMBER, 0.7)),
    ):
        assert type(found) is Scalar
        assert float(found) == wanted


def test_a_gradient_flows_past_a_scalar_as_past_a_number(rng):
    x = torch.randn(9, generator=rng, requires_grad=True)
    grads = [torch.autograd.grad((n * x**2).mean() / (1 + n), x)[0] for n in (NUMBER, scalar())]
    assert torch.equal(*grads)


def test_a_scalar_shares_its_number_with_the_tensor_it_was_made_of():
    plain = torch.tensor(1.0, dtype=torch.float64)
    number = Scalar.of(plain)
    plain.fill_(3.0)
    assert float(2 * number) == 6.0


def test_a_table_shows_for_each_step_what_its_clock_gives():
    table = Table([draw, lambda now: now.step / now.steps], CLOCKS[2:], CPU)
    (share, order), part = table.answers
    places = [answer.data_ptr() for answer in (share, order, part)]
    for row, clock in enumerate(CLOCKS[2:]):
        if row:
            table.show(row)
        assert float(share) == draw(clock)[0]
        assert torch.equal(order, draw(clock)[1])
        assert float(part) == clock.step / 7
    assert [answer.data_ptr() for answer in (share, order, part)] == places
    assert (share.dtype, order.dtype, part.dtype) == (torch.float64, torch.int64, torch.float64)


def test_answers_of_several_shapes_fit_no_table():
    with pytest.raises(RuntimeError, match="equal size"):
        Table([lambda now: torch.zeros(now.step + 1)], CLOCKS, CPU)


def test_a_recorded_clock_refuses_what_changes_within_the_pass_and_says_what_to_write():
    clock = Recorded(CLOCKS[4], CPU, [scalar(), scalar(2.0)])
    for name in ("step", "progress"):
        with pytest.raises(RuntimeError, match=rf"clock.{name} stands still .* write clock.value\(.* now.{name}"):
            getattr(clock, name)
    others = [field.name for field in dataclasses.fields(Clock) if field.name not in ("step", "progress")]
    assert [getattr(clock, name) for name in others] == [getattr(CLOCKS[4], name) for name in others]
    assert [float(clock.value(draw)), float(clock.value(draw))] == [NUMBER, 2.0]
    with pytest.raises(RuntimeError, match="more values of the clock"):
        clock.value(draw)


def test_a_noting_clock_gives_the_real_numbers_and_remembers_what_was_asked():
    clock = Noting(CLOCKS[4], CPU)
    assert clock.value(draw)[0] == draw(CLOCKS[4])[0]
    assert (clock.asked, clock.read) == ([draw], [])
    assert (clock.step, clock.progress, clock.epoch) == (4, CLOCKS[4].progress, 2)
    assert clock.read == ["step", "progress"]


def test_numbers_of_a_device_clock_lie_on_its_device():
    meta = torch.device("meta")  # any that is not the CPU
    share, order = DeviceClock(CLOCKS[1], meta).value(draw)
    assert (type(share), share.device, share.dtype) == (Scalar, meta, torch.float64)
    assert (order.device, order.dtype, order.shape) == (meta, torch.int64, (5,))
    clock = DeviceClock(CLOCKS[1], meta)
    assert (clock.step, clock.progress) == (1, CLOCKS[1].progress)
    assert placed(0.5, CPU) == 0.5
