"""Methods of somebody else's that break the rules, on purpose or not."""

import json

import pytest
import torch

from bench.contract import world
from bench.files import canonical
from bench.sweep.records.store import State, Store
from methods import registry
from tests.faults.conftest import contents

TINY = ["--dataset", "digits", "--noise", "symmetric:0.5", "--seeds", "0", "--epochs", "1", "--train-limit", "64"]

HEAD = """
import sys
from dataclasses import dataclass

import torch

from methods import LossMethod, Step
from methods.losses import cross_entropy


@dataclass(eq=False)
class Mine(LossMethod):
    \"\"\"Mine.\"\"\"

"""
HONEST = """
    def losses(self, logits, batch, clock):
        return Step(cross_entropy(logits.log_softmax(-1), batch.y).mean(-1))
"""


@pytest.fixture
def mine(tmp_path):
    """Write a method, from the lines of its class, and return its spec."""

    def write(body: str, name: str = "mine", before: str = "") -> str:
        (tmp_path / f"{name}.py").write_text(before + HEAD + body)
        return f"{tmp_path / name}.py:Mine"

    return write


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ("raise RuntimeError('it is broken')\n", "RuntimeError: it is broken"),
        ("import sys; sys.exit(0)\n", "ended"),
        ("import os; os._exit(0)\n", "ended"),
        ("import os; os.kill(os.getpid(), 11)\n", "ended"),
        ("raise KeyboardInterrupt\n", "KeyboardInterrupt"),
        ("import a_package_nobody_has\n", "No module named 'a_package_nobody_has'"),
    ],
    ids=["raises", "leaves", "vanishes", "crashes", "interrupts", "lacks"],
)
def test_f74_a_method_that_cannot_be_imported_is_found_before_any_run_exists(
    here, mine, tmp_path, capsys, before, message
):
    spec = mine(HONEST, before=before)
    before_it = set(contents(tmp_path))
    assert here("run", *TINY, "--methods", "ce", spec, "--devices", "cpu") == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert {name for name in contents(tmp_path) if "__pycache__" not in name} == before_it


LOSSES = """
    def losses(self, logits, batch, clock):
        return {}
"""
PREDICT = """
    def predict(self, x):
        return {}
"""
WRONG = {  # body -> what is said
    LOSSES.format(
        "Step(cross_entropy(logits.log_softmax(-1), batch.y))"
    ): "Step.losses must have the shape (1,), got (1, 16)",
    LOSSES.format("0.5"): "'float' object has no attribute",
    HONEST + PREDICT.format("{'net1': torch.zeros(len(x), 11)}"): "predict gave (64, 11) for head 'net1', not (64, 10)",
    HONEST
    + PREDICT.format("{'net1': torch.zeros(len(x) - 1, 10)}"): "predict gave (63, 10) for head 'net1', not (64, 10)",
    HONEST + PREDICT.format("{}"): "",
}


def test_f77_predictions_and_losses_of_another_shape_cost_that_run_alone(plan, launch, mine, tmp_path):
    doomed = [plan(mine(body, f"m{number}"))[0] for number, body in enumerate(WRONG)]
    (good,) = plan("ce")
    outcomes = launch(
        [doomed[0], good, doomed[1], plan("ce", seeds=(1,))[0], *doomed[2:4], *plan("ce", seeds=(2,)), doomed[4]]
    )
    states = {outcome.run_id: outcome for outcome in outcomes}
    for run, (what, message) in zip(doomed, WRONG.items(), strict=True):
        assert states[run.run_id].state is State.FAILED, what
        assert states[run.run_id].failure == "error", what
        assert message in states[run.run_id].message, (what, states[run.run_id].message)
        assert Store(tmp_path / "results").run(run.run_id).result() is None
    assert states[good.run_id].state is State.DONE


HUNGRY = """
    def losses(self, logits, batch, clock):
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
        torch.empty(12 * 2**30, dtype=torch.uint8)
"""


def test_f17_more_memory_than_there_is_costs_that_run_alone(plan, launch, mine, tmp_path):
    (hungry,), (good,) = plan(mine(HUNGRY)), plan("ce")
    outcomes = launch([hungry, good])
    assert [outcome.state for outcome in outcomes] == [State.FAILED, State.DONE]
    assert outcomes[0].failure == "oom"
    assert "can't allocate memory" in outcomes[0].message
    ends = [end["class"] for _, end in Store(tmp_path / "results").run(hungry.run_id).attempts() if end]
    assert ends == ["oom", "oom"]  # a plain RuntimeError of torch; tried once more, then failed


DEAD = """
    def losses(self, logits, batch, clock):
        loss = cross_entropy(logits.log_softmax(-1), batch.y).mean(-1)
        return Step(loss * (float("nan") if clock.epoch == 1 else 1.0))
"""


def test_f78_a_run_whose_numbers_die_keeps_its_history_and_is_shown_and_marked(here, forked, mine, tmp_path, capsys):
    where = ["--results", str(tmp_path / "results")]
    words = [*TINY, "--epochs", "4", "--methods", "ce", mine(DEAD), "--test-limit", "64", "--set", "trace_samples=32"]
    assert here("run", *words, *where, "--devices", "cpu", "--per-device", "1") == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith("mine.Mine"))
    assert row.split()[-3:] == ["0.00", "(1)", "!"]  # not the tenth that the argmax of NaN would score
    assert "diverged: 1 of 2 runs: r" in out
    assert here("status", *words, *where, "--json") == 0
    assert json.loads(capsys.readouterr().out)["counts"] == {"done": 1, "diverged": 1}
    store = Store(tmp_path / "results")
    (dead,) = [p for p in (store.run(i).result().payload for i in store.run_ids()) if p["diverged"]]
    assert [epoch["diverged"] for epoch in dead["history"]] == [False, True]
    assert dead["history"][0]["loss"][0] > 0
    assert dead["history"][1]["loss"] == [None]


NOTHING = """
    def losses(self, logits, batch, clock):
        loss = cross_entropy(logits.log_softmax(-1), batch.y)
        none = torch.zeros_like(loss, dtype=torch.bool)
        from methods.selection import masked_mean
        return Step(masked_mean(loss, none), selected=none)
"""


def test_f79_a_batch_of_which_nothing_is_selected_trains_nothing_and_kills_nothing(mine):
    started = world.trainer(registry.create(mine(NOTHING)))
    before = {name: value for name, value in world.weights(started.method).items() if name.endswith("weight")}
    world.finish(started)
    assert not started.diverged
    assert all(epoch["loss"] == [0.0] for epoch in started.history)
    after = started.method.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert [epoch["selection"][0]["selected"] for epoch in started.history] == [0, 0, 0]


def test_f79_methods_that_select_get_through_batches_in_which_they_trust_nobody():
    for name, params in {
        "cmd_p": {"eta": 1e-9},
        "cmd_s": {"eta": 1e-9},
        "co_teaching": {"forget_rate": 0.999, "ramp_epochs": 1},
        "gce_truncated": {"threshold": 0.999} if "threshold" in fields("gce_truncated") else {},
    }.items():
        finished = world.finish(world.trainer(name, params=params))
        assert not finished.diverged, name
        assert all(torch.isfinite(value.float()).all() for value in finished.method.state_dict().values()), name


def fields(name: str) -> list[str]:
    return [field.name for field in registry.describe(name).fields]


FORGETFUL = """
    def setup(self, task):
        super().setup(task)
        MEMORY

    def losses(self, logits, batch, clock):
        p = logits.softmax(-1)[0].detach()
        self.memory[batch.index] = 0.5 * self.memory[batch.index] + 0.5 * p
        pull = -(self.memory[batch.index] * logits.log_softmax(-1)[0]).sum(-1)
        return Step((cross_entropy(logits.log_softmax(-1), batch.y) + pull).mean(-1))
"""


@pytest.mark.parametrize(
    ("memory", "forgets"),
    [
        ('self.register_buffer("memory", torch.zeros(task.num_train, task.num_classes))', False),
        ("self.memory = torch.zeros(task.num_train, task.num_classes)", True),
    ],
    ids=["kept", "forgotten"],
)
def test_f80_the_contract_tells_a_method_that_forgets_from_one_that_does_not(mine, memory, forgets):
    spec = mine(FORGETFUL.replace("MEMORY", memory), "forgetful" if forgets else "kept")
    whole = world.bits(world.finish(world.trainer(spec)))
    cut = [world.bits(world.resumed(spec, epoch)) == whole for epoch in (1, 2)]
    assert cut == [not forgets] * 2


CHEAT = """
    def losses(self, logits, batch, clock):
        found, todo, seen = [], [self.task], set()
        while todo:
            thing = todo.pop()
            if id(thing) not in seen:
                seen.add(id(thing))
                names = getattr(thing, "__dict__", {})
                todo += list(names.values())
                found += [name for name in names if "clean" in name or "test_label" in name]
        assert not found, found
        with torch.no_grad():
            for tensor in (batch.x, batch.y, batch.index, self.task.labels()):
                tensor.zero_()
        return Step(self.nets[0](batch.x.clone()).mean()[None])
"""


def test_f75_f76_a_method_that_pries_and_scribbles_finds_nothing_and_spoils_nothing(mine):
    started = world.trainer(registry.create(mine(CHEAT)))
    given = {name: part.given.clone() for name, part in started.data.splits.items()}
    images = {name: [batch.x.clone() for batch in part.plain(16)] for name, part in started.data.splits.items()}
    world.finish(started)
    for name, part in started.data.splits.items():
        assert torch.equal(part.given, given[name])
        assert all(torch.equal(one.x, two) for one, two in zip(part.plain(16), images[name], strict=True))


def test_g12_test_labels_steer_nothing_but_the_columns_of_the_test_set():
    honest = world.finish(world.trainer("co_teaching"))
    other = world.trainer("co_teaching")
    other.data.test_labels = torch.randint(3, other.data.test_labels.shape, generator=torch.Generator().manual_seed(1))
    fooled = world.finish(other)

    def but_for_the_test_set(payload: dict) -> bytes:
        history = [
            {key: value for key, value in epoch.items() if key != "calibration"}
            | {"heads": {h: {k: n for k, n in counts.items() if k != "test"} for h, counts in epoch["heads"].items()}}
            for epoch in payload["history"]
        ]
        return canonical(payload | {"history": history})

    one, two = honest.outcome.payload, fooled.outcome.payload
    assert one != two
    assert but_for_the_test_set(one) == but_for_the_test_set(two)
    assert torch.equal(honest.outcome.predictions, fooled.outcome.predictions)
