"""Tables of training samples: each column by hand, recounted from a trained run, and without effect on its record."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from bench.training.metrics import Traces
from bench.training.samples_table import Sheet, Tables
from methods import LossMethod
from methods.base import Batch, Judgement, Step
from methods.losses import cross_entropy

GIVEN, TRUE = torch.tensor([0, 1, 0]), torch.tensor([0, 0, -1])  # right, wrong, foreign


def sheet_of(**logits):
    """A sheet shown three samples, in batches of two and one."""
    sheet = Sheet()
    for part in (slice(0, 2), slice(2, 3)):
        index = torch.arange(3)[part]
        for head, values in logits.items():
            sheet.note(head, torch.tensor(values)[part], Batch(index, (index,), GIVEN[part]))
    return sheet


def traces_of(step=None, index=(), networks=1):
    traces = Traces(networks, 3, torch.device("cpu"))
    if step is not None:
        traces.add(step, torch.tensor(index))
    return traces


ODDS = [[math.log(3), 0.0], [math.log(3), 0.0], [0.0, math.log(4)]]  # P = 3/4 1/4, 3/4 1/4, 1/5 4/5


def test_a_head_is_held_against_the_given_labels():
    table = sheet_of(net1=ODDS).columns(traces_of(), GIVEN, TRUE)
    assert table["heads"].tolist() == ["net1"]
    assert table["loss"][0] == pytest.approx([-math.log(3 / 4), -math.log(1 / 4), -math.log(1 / 5)])
    assert table["confidence"][0] == pytest.approx([3 / 4, 3 / 4, 4 / 5])
    assert table["predicted"].tolist() == [[0, 0, 1]]
    assert (table["given"].tolist(), table["true"].tolist()) == ([0, 1, 0], [0, 0, -1])


def test_what_steps_said_stands_beside_the_samples_and_what_they_did_not_say_is_told():
    step = Step(
        torch.zeros(1),
        selected=torch.tensor([[True, False]]),
        clean_score=torch.tensor([[0.5, 2.0]]),
        relabelled=torch.tensor([[0.1, 0.9], [0.8, 0.2]]),
    )
    table = sheet_of(net1=ODDS).columns(traces_of(step, [2, 0]), GIVEN, TRUE)
    assert table["selected"].tolist() == [[0, -1, 1]]
    np.testing.assert_array_equal(table["clean_score"], [[2.0, np.nan, 0.5]])
    assert table["relabelled"].tolist() == [0, -1, 1]


def test_a_head_that_is_no_network_has_chosen_nothing():
    traces = traces_of(networks=2)
    traces.judge(
        Judgement(torch.tensor([[1, 1, 0], [0, 1, 0]], dtype=torch.bool), torch.tensor([[1.0, 2, 3], [4, 5, 6]]))
    )
    table = sheet_of(net2=ODDS, ensemble=ODDS, net1=ODDS).columns(traces, GIVEN, None)
    assert table["heads"].tolist() == ["ensemble", "net1", "net2"]
    assert table["selected"].tolist() == [[-1, -1, -1], [1, 1, 0], [0, 1, 0]]
    np.testing.assert_array_equal(table["clean_score"], [[np.nan] * 3, [1, 2, 3], [4, 5, 6]])
    assert table["true"].tolist() == [-1, -1, -1]  # nobody knows them
    assert table["relabelled"].tolist() == [-1, -1, -1]


def test_a_dead_head_predicts_no_class():
    table = sheet_of(net1=[ODDS[0], [math.nan, 0.0], ODDS[2]]).columns(traces_of(), GIVEN, TRUE)
    assert table["predicted"].tolist() == [[0, -1, 1]]
    assert np.isnan(table["loss"][0]).tolist() == [False, True, False]


def with_tables(world, when, what="cmd_p", **settings):
    """A finished trainer and its tables by number of epochs."""
    trainer, found = world.trainer(what, **settings), {}
    trainer.tables = Tables(when, found.__setitem__)
    return world.finish(trainer), found


@pytest.mark.parametrize("trace_samples", [20, 54], ids=["a pass of its own", "the pass of the trace"])
def test_a_table_is_a_recount_of_the_whole_training_split(trace_samples, world):
    trainer, found = with_tables(world, "last", trace_samples=trace_samples)
    assert list(found) == [3]
    table, split = found[3], trainer.data.splits["train"]
    assert table["given"].tolist() == split.given.tolist()
    assert table["true"].tolist() == trainer.data.clean["train"].tolist()
    trainer.method.eval()
    with torch.no_grad():
        logits = trainer.method.predict(next(iter(split.plain(1000))).x)
    assert table["heads"].tolist() == sorted(logits) == ["ensemble", "net1", "net2"]
    for row, head in enumerate(table["heads"]):
        loss = torch.nn.functional.cross_entropy(logits[head], split.given, reduction="none")
        assert table["loss"][row] == pytest.approx(loss.numpy(), abs=1e-5)
        assert table["confidence"][row] == pytest.approx(logits[head].softmax(-1).amax(-1).numpy(), abs=1e-5)
        assert table["predicted"][row].tolist() == logits[head].argmax(-1).tolist()
    chosen = trainer.history[-1]["selection"]
    assert [int((row == 1).sum()) for row in table["selected"][1:]] == [count["selected"] for count in chosen]
    mended = trainer.history[-1]["correction"]
    assert int((table["relabelled"] == table["true"]).sum()) == mended["right"]


@pytest.mark.parametrize("trace_samples", [0, 20, 54])
@pytest.mark.parametrize("when", ["last", "every"])
def test_tables_move_no_bit_of_a_run(when, trace_samples, world):
    settings = {"trace_samples": trace_samples}
    plain = world.bits(world.finish(world.trainer("cmd_p", **settings)))
    assert world.bits(with_tables(world, when, **settings)[0]) == plain


def test_every_epoch_has_a_table_where_every_one_is_asked_for(world):
    _, found = with_tables(world, "every", "ce")
    assert list(found) == [1, 2, 3]
    assert not np.array_equal(found[1]["loss"], found[2]["loss"])


@dataclass(eq=False)
class Dying(LossMethod):
    """Cross entropy, and no number from the second epoch on."""

    def losses(self, logits, batch, clock):
        loss = cross_entropy(logits.log_softmax(-1), batch.y).mean(-1)
        return Step(loss * math.nan if clock.epoch else loss)


def test_the_epoch_in_which_a_run_diverges_is_its_last(world):
    trainer, found = with_tables(world, "last", Dying())
    assert [record["diverged"] for record in trainer.history] == [False, True]
    assert list(found) == [2]
    assert (found[2]["predicted"] == -1).all()
    assert np.isnan(found[2]["confidence"]).all()


def test_a_table_is_made_in_one_pass_with_the_trace_where_that_is_the_whole_split(world):
    passes = {}
    for trace_samples in (20, 54):
        trainer = world.trainer("ce", epochs=1, trace_samples=trace_samples)
        trainer.tables, seen, predict = Tables("last", lambda *_: None), [], trainer.method.predict
        trainer.method.predict = lambda x, seen=seen, predict=predict: (seen.append(len(x)), predict(x))[1]
        world.finish(trainer)
        passes[trace_samples] = sum(seen)
    assert passes == {20: 24 + 6 + 20 + 54, 54: 24 + 6 + 54}  # test, held out, trace, and the split itself
