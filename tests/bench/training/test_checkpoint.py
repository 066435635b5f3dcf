import io
import pickle

import pytest
import torch

from bench.training import checkpoint

CPU = torch.device("cpu")


def state(**changes):
    values = {
        "run_id": "r1",
        "epoch": 2,
        "method": {"w": torch.arange(3.0)},
        "optimizers": [{"state": {0: {"step": torch.tensor(4.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}],
        "history": [{"epoch": 0, "loss": [0.5, None]}, {"epoch": 1, "loss": [0.25, 1.0]}],
        "forward_samples": 12,
    }
    return checkpoint.State(**values | changes)


def test_a_state_comes_back_as_it_was():
    back = checkpoint.from_bytes(checkpoint.to_bytes(state()), "r1", CPU)
    assert torch.equal(back.method["w"], torch.arange(3.0))
    assert (back.run_id, back.epoch, back.history, back.forward_samples) == ("r1", 2, state().history, 12)
    assert back.optimizers[0]["param_groups"] == state().optimizers[0]["param_groups"]


def test_the_bytes_hold_the_state_of_the_moment():
    live = state()
    data = checkpoint.to_bytes(live)
    live.method["w"].add_(1)
    live.history.clear()
    back = checkpoint.from_bytes(data, "r1", CPU)
    assert torch.equal(back.method["w"], torch.arange(3.0))
    assert len(back.history) == 2


def test_a_copy_is_not_trained_on_and_is_the_same_bytes():
    live = state(method=torch.nn.BatchNorm2d(2).to(memory_format=torch.channels_last).state_dict())
    data, copy = checkpoint.to_bytes(live), checkpoint.copied(live)
    live.method["weight"].add_(1)
    live.optimizers[0]["state"][0]["step"].add_(1)
    live.optimizers[0]["param_groups"][0]["lr"] = 9.0
    live.history.append({"epoch": 2})
    assert checkpoint.to_bytes(copy) == data
    assert copy.method._metadata == live.method._metadata


def test_the_state_of_another_run_is_refused():
    with pytest.raises(ValueError, match="checkpoint of run r1 in the folder of run r2"):
        checkpoint.from_bytes(checkpoint.to_bytes(state()), "r2", CPU)


class Opens:
    def __reduce__(self):
        return (print, ("code ran",))


def test_code_in_a_state_is_not_run(capsys):
    buffer = io.BytesIO()
    torch.save({**vars(state()), "history": [Opens()]}, buffer)
    with pytest.raises(pickle.UnpicklingError):
        checkpoint.from_bytes(buffer.getvalue(), "r1", CPU)
    assert capsys.readouterr().out == ""
