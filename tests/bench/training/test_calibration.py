"""The calibration error by hand and by a loop over bins, and what a pass notes of the logits it sees."""

import math

import numpy as np
import pytest
import torch

from bench.sweep.records.result import check_payload
from bench.training.calibration import Calibration, expected_error
from methods.base import Batch


def bools(*values):
    return torch.tensor(values, dtype=torch.bool)


def doubles(*values):
    return torch.tensor(values, dtype=torch.float64)


def noted(logits, labels, head="net1"):
    found = Calibration()
    index = torch.arange(len(labels))
    found.note(head, torch.as_tensor(logits), Batch(index, (index,), torch.tensor(labels)))
    return found.summary()


def test_the_error_is_the_gap_of_each_bin_weighed_by_its_share():
    # .95 twice in the last bin: accuracy 1/2, confidence .95, gap .45, share 2/4; .6 alone: gap .4; .31 alone: gap .31
    error = expected_error(doubles(0.95, 0.95, 0.6, 0.31), bools(1, 0, 1, 0))
    assert float(error) == pytest.approx(0.45 * 2 / 4 + 0.4 / 4 + 0.31 / 4, abs=1e-12)


def test_a_confidence_on_the_edge_of_two_bins_belongs_to_the_lower():
    # 3/15 = .2 shares a bin with .19: |.8 - .19| / 2; with .21 it shares none: (.8 + .21) / 2
    assert float(expected_error(doubles(0.2, 0.19), bools(1, 0))) == pytest.approx(0.305, abs=1e-12)
    assert float(expected_error(doubles(0.2, 0.21), bools(1, 0))) == pytest.approx(0.505, abs=1e-12)


def test_sure_and_right_is_no_error_and_sure_and_wrong_the_largest():
    assert float(expected_error(doubles(1, 1, 1), bools(1, 1, 1))) == 0
    assert float(expected_error(doubles(1, 1, 1), bools(0, 0, 0))) == 1
    assert float(expected_error(doubles(0.5, 0.5), bools(1, 0))) == 0


def error_by_loop(confidence, right):
    """Equation 3 as it is written: over the 15 bins ((m - 1) / M, m / M], |B| / n times |accuracy - confidence|."""
    total = 0.0
    for m in range(1, 16):
        members = [i for i, c in enumerate(confidence) if (m - 1) / 15 < c <= m / 15]
        if members:
            accuracy, mean = np.mean([right[i] for i in members]), np.mean([confidence[i] for i in members])
            total += len(members) / len(confidence) * abs(accuracy - mean)
    return total


def test_the_error_agrees_with_a_loop_over_bins():
    rng = np.random.default_rng(5)
    confidence = np.concatenate([rng.uniform(0.1, 1, 200), np.arange(1, 16) / 15])
    right = rng.random(len(confidence)) < confidence  # gaps of both signs, so that it matters where the bins lie
    found = expected_error(torch.from_numpy(confidence), torch.from_numpy(right))
    assert float(found) == pytest.approx(error_by_loop(confidence, right), abs=1e-12)


def test_logits_and_their_log_probabilities_say_the_same():
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(50, 4, generator=generator)
    labels = torch.randint(4, (50,), generator=generator).tolist()
    found = noted(logits, labels)["net1"]
    shares = np.exp(logits.double().numpy())
    shares /= shares.sum(1, keepdims=True)
    right = shares.argmax(1) == np.array(labels)
    assert found["ece"] == pytest.approx(error_by_loop(shares.max(1), right), abs=1e-12)
    assert found["nll"] == pytest.approx(-np.log(shares[np.arange(50), labels]).mean(), abs=1e-12)
    normalised = noted(logits.double().log_softmax(-1), labels)["net1"]
    assert normalised == pytest.approx(found, abs=1e-12)


def test_the_loss_is_the_mean_negative_log_likelihood_in_nats():
    # P = 3/4, 1/4 and the true class is the first, then the second
    found = noted(doubles(math.log(3), 0).repeat(2, 1), [0, 1])["net1"]
    assert found["nll"] == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2, abs=1e-12)
    assert found["ece"] == pytest.approx(0.25, abs=1e-12)  # 3/4 sure, half right


def test_batches_and_heads_are_told_apart_and_put_together():
    found = Calibration()
    for start in (0, 2):
        batch = Batch(torch.arange(start, start + 2), (torch.zeros(2),), torch.tensor([0, 1]))
        found.note("net1", doubles(math.log(3), 0).repeat(2, 1), batch)
        found.note("net2", torch.zeros(2, 2) + float(start), batch)
    assert found.summary() == {
        "net1": {"ece": pytest.approx(0.25, abs=1e-12), "nll": pytest.approx(-math.log(3 / 16) / 2, abs=1e-12)},
        "net2": {"ece": pytest.approx(0, abs=1e-12), "nll": pytest.approx(math.log(2), abs=1e-12)},
    }


def test_a_dead_head_has_no_calibration_and_the_others_keep_theirs():
    logits = torch.zeros(3, 2)
    logits[1, 0] = math.nan
    assert noted(logits, [0, 0, 1])["net1"] == {"ece": None, "nll": None}
    excluded = torch.tensor([[0.0, -math.inf], [0.0, 0.0]])  # the true class of the first is impossible to it
    assert noted(excluded, [1, 0])["net1"] == {"ece": pytest.approx(0.75), "nll": None}
    assert Calibration().summary() == {}


def test_the_record_of_an_epoch_holds_the_calibration_of_every_head_on_test(world):
    trainer = world.finish(world.trainer("cmd_p", epochs=2))
    check_payload(trainer.outcome.payload | world.CODES, trainer.config.run_id)
    found = trainer.history[-1]["calibration"]
    assert sorted(found) == ["ensemble", "net1", "net2"]
    trainer.method.eval()
    with torch.no_grad():
        logits = trainer.method.predict(next(iter(trainer.data.splits["test"].plain(1000))).x)
    for head, values in logits.items():
        shares = values.double().softmax(-1).numpy()
        labels = trainer.data.test_labels.numpy()
        ece = error_by_loop(shares.max(1), shares.argmax(1) == labels)
        nll = -np.log(shares[np.arange(len(labels)), labels]).mean()
        assert found[head] == {"ece": pytest.approx(ece, abs=1e-6), "nll": pytest.approx(nll, abs=1e-6)}
