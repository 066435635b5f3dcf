"""Level `epoch`: an epoch end to end, with evaluation and records, by the real trainer and by the peer's loop.

Co-teaching (two networks) and cross entropy (one), from the same weights on the same images and wrong labels. Ours
measures memorisation too, on as large a share of the training samples as in a run of CIFAR; the peer does not.
Neither writes checkpoints.
"""

from typing import Any

from bench import hardware
from bench.speed import checks
from bench.speed import ours as harness
from bench.speed.input import peer_workers
from bench.speed.options import Options, Report
from bench.speed.pairs import Pair, paired
from bench.speed.peer import Recipe, pipeline
from bench.speed.side import Request, Work, compared
from bench.speed.step import named, variants, with_share
from methods import registry

BARS = {"cuda": 3.0, "amx": 2.2, "cpu": 1.3}  # for Co-teaching, in CPU-seconds; on a GPU in wall time


def measure(options: Options) -> Report:
    """Compare ours, and with --all its variants, with the peer, for both methods."""
    network = (options.networks or (options.size.epoch_network,))[0]
    specs = (harness.CO_TEACHING, harness.CROSS_ENTROPY)
    for spec in specs:
        checks.follows_the_peer(spec, network, options.device)
    workers = 0 if options.quick else peer_workers()
    timed = specs[:1] if options.quick else specs
    pairs = [pair for spec in timed for pair in _measured(spec, network, options, workers)]
    return Report.of(pairs, pipeline=pipeline(), workers=workers)


def _measured(spec: str, network: str, options: Options, workers: int) -> list[Pair]:
    samples = options.samples or options.size.epoch_samples
    chosen = list(variants(options, network).items())[: None if options.every else 1]
    common = {"spec": spec, "network": network, "samples": samples, "batch": options.size.batch}
    common |= {"device": options.device}
    requests = {
        named(train): Request("bench.speed.epoch:ours", {**common, "train": train}, device=options.device)
        for _, train in chosen
    }
    theirs = {**common, "workers": workers}
    requests["peer"] = Request("bench.speed.epoch:peer", theirs, harness=False, device=options.device)
    rounds, facts = compared(requests, options.rounds, at_once=options.quick)
    pairs = []
    for name, train in chosen:
        pair = paired(
            f"epoch, {harness.TITLES[spec]}, {network}, {samples:,} images, {name}",
            rounds[name],
            rounds["peer"],
            figure="wall" if options.kind == "cuda" else "cpu",
            bar=_bar(spec, options),
            samples=samples,
            peak_mib=facts[name]["peak_mib"],
            facts={"ours": facts[name], "peer": facts["peer"]},
        )
        networks = registry.describe(spec).num_networks
        pairs.append(with_share(pair, network, train["precision"], options, networks))
    return pairs


def _bar(spec: str, options: Options) -> float | None:
    if options.quick or spec != harness.CO_TEACHING:
        return None
    return BARS["cuda" if options.kind == "cuda" else "amx" if hardware.processor().amx else "cpu"]


def ours(spec: str, network: str, samples: int, batch: int, device: str, train: dict[str, Any]) -> Work:
    data = harness.images_for(network, samples, samples // 5)
    run = harness.config(spec, network, data, batch=batch, **train)
    return harness.trainer(spec, run, harness.prepared(run, data, device), device).epoch


def peer(spec: str, network: str, samples: int, batch: int, device: str, workers: int) -> Work:
    data = harness.images_for(network, samples, samples // 5)
    run = harness.config(spec, network, data, batch=batch)
    return harness.peer(spec, run, data, device, Recipe(batch, workers)).epoch
