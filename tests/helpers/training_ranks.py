"""What the ranks of the tests of distributed training do; a module of its own, because processes import it by name."""

import datetime
import json
import traceback
import warnings
from pathlib import Path

import torch
import torch.distributed as dist

from flame_metric.errors import FlameError
from flame_metric.paper.training import train
from toy_training import ToyNetwork, ToyPairs, toy_recipe, weights_of

WORLD = 2
RECIPE = {"batch_size": 4, "epochs": 4}


def pairs(**options):
    """Nine items; all pixels of two of four items of each batch may be void, and in epoch 2 all of them are."""
    return ToyPairs(9, void=lambda epoch, index: 2.0 if epoch == 2 or index % 3 == 0 else 0.2, **options)


def ends(rank, network, record):
    """What JSON knows about a run."""
    return {
        "weights": {name: value.double().tolist() for name, value in weights_of(network).items()},
        "losses": record.losses,
        "ranks": record.ranks,
        "sync_batch_norm": record.sync_batch_norm,
        "resumed_at": record.resumed_at,
        "training": network.training,
        "modules": sorted({type(module).__name__ for module in network.modules()}),
    }


# ── scenarios: (rank, folder) -> what JSON knows ──


def without_norm(rank, folder):
    network = ToyNetwork(norm=False, dropout=0.0)
    return ends(rank, network, train(network, pairs(), toy_recipe("deeplab-mn", **RECIPE)))


def other_weights_on_other_ranks(rank, folder):
    network = ToyNetwork(norm=False, dropout=0.0, seed=rank)
    return ends(rank, network, train(network, pairs(), toy_recipe("deeplab-mn", **RECIPE)))


def with_norm_and_dropout(rank, folder):
    network = ToyNetwork()
    return ends(rank, network, train(network, pairs(), toy_recipe(**RECIPE)))


def resumed(rank, folder):
    """Stop by an error after the checkpoint of step 3, and go on; folders of rank 1 are never touched."""

    def fail(epoch, index):
        if epoch == 2:
            raise RuntimeError("no such file")

    own = Path(folder) / f"of rank {rank}"
    options = {"out": own, "checkpoint_every": 3}
    try:
        train(ToyNetwork(), pairs(hook=fail), toy_recipe(**RECIPE), **options)
    except RuntimeError as error:
        told = str(error)
    network = ToyNetwork(seed=rank)  # rank 1 gets everything from rank 0
    record = train(network, pairs(), toy_recipe(**RECIPE), **options)
    return {**ends(rank, network, record), "error": told, "files": sorted(p.name for p in own.glob("*"))}


def foreign_checkpoint(rank, folder):
    try:
        train(ToyNetwork(), pairs(), toy_recipe(**RECIPE), seed=1, out=Path(folder) / "of rank 0")
    except FlameError as error:
        return [type(error).__name__, str(error)]


def unequal_shares(rank, folder):
    try:
        train(ToyNetwork(), pairs(), toy_recipe(batch_size=3))
    except FlameError as error:
        return [type(error).__name__, str(error)]


def no_number_on_one_rank(rank, folder):
    class Poisoned(ToyPairs):
        def __getitem__(self, place):
            image, target = super().__getitem__(place)
            return (image * float("nan") if rank == 1 and place[0] == 1 else image), target

    try:
        train(ToyNetwork(), Poisoned(9), toy_recipe(**RECIPE))
    except FlameError as error:
        return [type(error).__name__, str(error)]


def progress_of_one_rank(rank, folder):
    shown = []
    train(ToyNetwork(), pairs(), toy_recipe(**RECIPE), progress=lambda *step: shown.append(step))
    return len(shown)


SCENARIOS = [
    *(without_norm, other_weights_on_other_ranks, with_norm_and_dropout, resumed, foreign_checkpoint, unequal_shares),
    *(no_number_on_one_rank, progress_of_one_rank),
]


def run(rank, folder):
    """Be one rank: run all scenarios and write what came of them."""
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=WORLD,
        timeout=datetime.timedelta(seconds=60),
    )
    outcome = {}
    for scenario in SCENARIOS:
        try:
            outcome[scenario.__name__] = scenario(rank, folder)
        except Exception:
            outcome[scenario.__name__] = {"traceback": traceback.format_exc()}
    dist.destroy_process_group()
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    outcome["threads left"] = sum(name.startswith("pt_gloo_run") for name in names)
    Path(folder, f"{rank}.json").write_text(json.dumps(outcome), encoding="utf-8")
