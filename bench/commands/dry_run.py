"""`run --dry-run`: which runs there are, which are done, and what the others will cost."""

from collections import Counter
from collections.abc import Mapping, Sequence

from bench.devices import Slot
from bench.sweep.planning import cost
from bench.sweep.planning.grid import Planned, Suite
from bench.sweep.records.store import State, Store
from bench.sweep.supervision.progress import clock


def describe(
    store: Store,
    suite: Suite,
    runs: Sequence[Planned],
    todo: Sequence[Planned],
    states: Mapping[str, State],
    slots: Sequence[Slot],
    grows: bool = False,
) -> None:
    """Print it; nothing is created. With `grows` a GPU may come to hold more runs than it has slots."""
    open_ids = {run.run_id for run in todo}
    print(f"{suite.title or suite.name}: {len(runs)} runs, {len(runs) - len(todo)} done already, {len(todo)} to do")
    for run in runs:
        print(_line(run, states[run.run_id], run.run_id in open_ids))
    places = Counter(slot.name for slot in slots)
    more = " or more" if grows and slots[0].gpu is not None else ""
    print(f"on {', '.join(f'{name} x {count}{more}' for name, count in places.items())}, results in {store.root}")
    if todo:
        networks = sum(run.networks * run.config.train.epochs for run in todo)
        kinds = cost.by_kind(slots)
        prices = {kind: cost.expected(store, runs, todo, own, kind) for kind, own in kinds.items()}
        if len(prices) > 1:
            print(f"cost: {networks:,} epochs of one network, {_mixed(prices, kinds, len(todo))}")
        else:
            elsewhere = slots[0].gpu is None and slots[0].name != "cpu"  # a cluster, which is not asked yet
            time = _time(prices[None], _room(slots, len(todo)))
            print(f"cost: {networks:,} epochs of one network, {time}{', as on this CPU' if elsewhere else ''}")


def _line(run: Planned, state: State, is_open: bool) -> str:
    mark = "to do" if is_open else "done"
    remark = "" if state in (State.PLANNED, State.DONE) else f"  ({state.lower()})"
    config = run.config
    what = f"{config.method.name:12s} {run.noise}  seed {config.seed}"
    return f"  {mark:5s} {run.run_id}  {what}  {config.train.network}, {config.train.epochs} epochs{remark}"


def _room(slots: Sequence[Slot], runs: int) -> tuple[int, str]:
    """How many runs compute at a time, and where: those that share a GPU count as one, for they share its time."""
    if slots[0].gpu is None:
        return min(len(slots), runs), "slot"
    return min(len({slot.name for slot in slots}), runs), "GPU"


def _time(price: cost.Cost, room: tuple[int, str]) -> str:
    if price.seconds is None:
        return f"time unknown: {price.basis}"
    count, kind = room
    places = f"{count} {kind}" + ("s" if count > 1 else "")
    return f"about {clock(price.seconds / count)} on {places} ({clock(price.seconds)} of one), by {price.basis}"


def _mixed(prices: Mapping[str | None, cost.Cost], kinds: Mapping[str | None, Sequence[Slot]], runs: int) -> str:
    """What all of it takes on one GPU of each kind, and on all of them if each takes what it is good for."""
    lines, rate = [], 0.0
    for kind, price in prices.items():
        count = len({slot.name for slot in kinds[kind]})
        if price.seconds is None:
            lines.append(f"  {count} x {kind or 'GPU of unknown name'}: unknown: {price.basis}")
        else:
            rate += count / max(price.seconds, 1e-9)
            lines.append(
                f"  {count} x {kind or 'GPU of unknown name'}: {clock(price.seconds)} on one, by {price.basis}"
            )
    known = [price.seconds for price in prices.values() if price.seconds is not None]
    least = min(known, default=0.0) / runs  # one run is on one GPU
    whole = len(known) == len(prices)
    together = f"about {clock(max(1 / rate, least))} on all of these together" if whole else "time unknown"
    return "\n".join([together, *lines])
