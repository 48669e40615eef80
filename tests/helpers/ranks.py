"""What the ranks of the distributed tests do: each scenario on every rank, and what came of it as JSON.

A module of its own, because spawned processes import it by name.
"""

import datetime
import json
import traceback
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.utils.data import DistributedSampler
from torchmetrics import MeanAbsoluteError, MetricCollection
from torchmetrics.classification import MulticlassAccuracy
from torchmetrics.utilities.distributed import gather_all_tensors

from flame_metric import FlameMeter, FlameWarning
from flame_metric.errors import FlameError
from flame_metric.torch.aware import LatencyAware
from flame_metric.torch.metric import FlameMetric
from flame_metric.torch.ranks import merge_over_ranks

WORLDS = (4, 2)
CLASSES, VOID, CLIPS = 4, 255, 5
OPTIONS = {"num_classes": CLASSES, "frame_offset": 1, "ignore_index": VOID}


def clip(number):
    """Predictions and targets of a clip, (T, H, W) each, the same in every process."""
    generator = np.random.default_rng(number)
    preds, targets = generator.integers(0, CLASSES, (2, 3 + number, 5, 6))
    targets[generator.random(targets.shape) < 0.2] = VOID
    return torch.from_numpy(preds), torch.from_numpy(targets)


def score(scorer, *numbers):
    for number in numbers:
        scorer.update_sequence(*clip(number), sequence=f"clip {number}")
    return scorer


def spoil(metric):
    """Count a wrong label as on a GPU, where it cannot raise at once."""
    metric._lies_here = lambda maps: True
    metric.update_pair(torch.tensor([[0, 77]]), torch.tensor([[0, 0]]), sequence="spoilt")
    del metric._lies_here
    return metric


def seen(ask):
    """What a call returns, as text, or the error that it raises."""
    try:
        value = ask()
    except FlameError as error:
        return [type(error).__name__, str(error)]
    return value.item() if isinstance(value, torch.Tensor) else value.to_json()


# ── scenarios: (rank, number of ranks) -> what JSON knows ──


def uneven(rank, world):
    metric = score(FlameMetric(**OPTIONS), *([0] if rank == 0 else range(1, 6) if rank == 1 else []))
    local = metric.to_meter().to_json()
    return [seen(metric.result), seen(metric.compute), metric.to_meter().to_json() == local]


def nothing_anywhere(rank, world):
    return FlameMetric(**OPTIONS).compute().isnan().item()


def padded_sampler(rank, world):
    numbers = list(DistributedSampler(range(CLIPS), world, rank, shuffle=False))
    assert len(numbers) * world > CLIPS  # else nothing is repeated
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = seen(score(FlameMetric(**OPTIONS), *numbers).result)
    repeated = [str(warning.message) for warning in caught if issubclass(warning.category, FlameWarning)]
    return [result, repeated, numbers]


def open_sequences(rank, world):
    metric = FlameMetric(**OPTIONS)
    for frame in range(rank, 8, world):
        pred, target = (side[frame] for side in clip(5))
        metric.update_pair(pred, target, sequence="one for all")
    return [seen(metric.result)]


def step(scorer, *numbers, end=True, frames=slice(None), numbered=True):
    """Give clips frame by frame, those of all clips in turn."""
    clips = {f"clip {number}": clip(number) for number in numbers}
    for frame in range(max((len(preds) for preds, _ in clips.values()), default=0))[frames]:
        for name, (preds, targets) in clips.items():
            if frame < len(preds):
                scorer.update(preds[frame], targets[frame], sequence=name, frame=frame if numbered else None)
            if end and frame == len(preds) - 1:
                scorer.end(name)
    return scorer


def stepped_clips(rank, world):
    numbers = list(DistributedSampler(range(CLIPS), world, rank, shuffle=False))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = seen(step(FlameMetric(**OPTIONS), *numbers).result)
    return [result, [str(warning.message) for warning in caught if "kept once" in str(warning.message)]]


def sampler_over_frames(rank, world):
    share = slice(rank, None, world)
    metric = step(FlameMetric(**OPTIONS), 5, end=False, frames=share, numbered=False)
    return [seen(metric.result), seen(lambda: step(FlameMetric(**OPTIONS), 5, frames=share).result())[1][-60:]]


def synced_between_steps(rank, world):
    metric, between = FlameMetric(**OPTIONS), []
    for frame in range(5):
        step(metric, rank, end=False, frames=slice(frame, frame + 1))
        between.append(seen(metric.result))
        metric.sync()
        metric.unsync()
    own = metric.to_meter().to_json() == step(FlameMeter(**OPTIONS), rank, end=False, frames=slice(5)).to_json()
    return [between, own]


def clips_that_have_only_begun(rank, world):
    """As in Lightning's sanity check of two batches."""
    metric = FlameMetric(**{**OPTIONS, "frame_offset": 4})
    late = LatencyAware(MulticlassAccuracy(CLASSES, average="micro"), frame_offset=4)
    preds, targets = clip(rank)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for frame in range(2):
            for scorer in (metric, late):
                scorer(preds[frame : frame + 1], targets[frame : frame + 1], sequence=f"{rank}")
        return [metric.compute().isnan().item(), late.compute().isnan().item()]


def late_forward(rank, world):
    """At the second step only the last rank counts a pair; at the first, none does."""
    late = LatencyAware(MeanAbsoluteError(dist_sync_on_step=True), frame_offset=1)
    value = torch.tensor([float(rank)])
    first = late(value, value, sequence="clip")
    second = late(value, value + 3 if rank == world - 1 else None, sequence="clip")
    third = late(value, value + rank, sequence="clip")
    return [first.isnan().item(), second.item(), third.item()]


def invalid_rank(rank, world):
    metric = score(FlameMetric(**OPTIONS), rank)
    if rank == 1:
        spoil(metric)
    asked = [seen(metric.compute), seen(metric.result), seen(metric.sync), seen(metric.compute)]
    if rank == 1:
        metric.reset()
    return [asked, seen(metric.result)]


def unlike_configurations(rank, world):
    return [seen(FlameMetric(CLASSES, ignore_index=VOID if rank else 0).compute)]


def conflicting_clips(rank, world):
    metric = FlameMetric(**OPTIONS)
    metric.update_sequence(*clip(rank), sequence="the same id")
    return [seen(metric.result)]


def unequal_updates(rank, world):
    metric = score(FlameMetric(**OPTIONS), rank)
    first = seen(metric.compute)
    if rank == 1:
        score(metric, 4)
    return [first, seen(metric.compute), seen(metric.result)]


def sync_and_unsync(rank, world):
    metric = score(FlameMetric(**OPTIONS), rank)
    local = metric.to_meter().to_json()
    metric.sync()
    total = [
        metric.to_meter().to_json(),
        seen(metric.result),
        seen(lambda: metric.update_pair(*clip(9), sequence="more")),
    ]
    metric.unsync()
    return [total, metric.to_meter().to_json() == local]


def forward_on_all_ranks(rank, world):
    metric = FlameMetric(**OPTIONS, dist_sync_on_step=True)
    values = []
    for step in range(2):
        pred, target = clip(step * world + rank)
        values.append(seen(lambda pred=pred, target=target: metric(pred, target, f"clip {rank}")))
    values.append(seen(lambda: metric(torch.full((5, 6), 7 if rank == 1 else 0), torch.zeros(5, 6).long(), "new")))
    return [values, seen(metric.result), seen(lambda: metric.to_meter().compute())]


def forward_on_each_rank(rank, world):
    metric = FlameMetric(**OPTIONS)
    return [seen(lambda: metric(*clip(rank), f"clip {rank}")), seen(metric.result)]


def collections(rank, world):
    metrics = MetricCollection(
        {"void 255": FlameMetric(CLASSES, ignore_index=255), "void 0": FlameMetric(CLASSES, ignore_index=0)}
    )
    pred, target = clip(rank)
    if rank == 1:  # the other ranks have nothing
        metrics.update(pred, target.clamp(max=CLASSES - 1))
    return {name: value.item() for name, value in metrics.compute().items()}


def meters(rank, world):
    meter = score(FlameMeter(**OPTIONS), rank)
    before = meter.to_json()
    halves = [dist.new_group(list(range(half * world // 2, (half + 1) * world // 2))) for half in (0, 1)]
    mine = halves[rank // (world // 2)]
    own = merge_over_ranks(meter, group=mine)
    by_group = FlameMetric(**OPTIONS, process_group=mine)
    score(by_group, rank)
    return [seen(lambda: merge_over_ranks(meter)), own.to_json(), seen(by_group.result), meter.to_json() == before]


def transport_of_ones_own(rank, world):
    sent = []

    def gather(tensor, group=None):
        sent.append(tensor.numel())
        return gather_all_tensors(tensor, group)

    metric = score(FlameMetric(**OPTIONS, dist_sync_fn=gather), rank)
    return [seen(metric.result), seen(metric.compute), len(sent)]


def text_that_is_no_utf8(rank, world):
    metric = FlameMetric(**OPTIONS)
    metric.update_pair(*clip(0), sequence="\ud800")
    fine = metric.result().sequences == ("\ud800",)
    if rank == 1:
        metric._lies_here = lambda maps: True
        metric.update_pair(torch.tensor([[77]]), torch.tensor([[0]]), sequence="\ud800")

    def fail():
        raise RuntimeError("\ud800 is not text")

    if rank == 0:
        metric._meter_without_waiting = fail
    kind, text = seen(metric.compute)
    return [fine, kind, text.encode(errors="replace").decode()]


SCENARIOS = [
    *(uneven, nothing_anywhere, padded_sampler, open_sequences, invalid_rank, unlike_configurations),
    *(conflicting_clips, unequal_updates, sync_and_unsync, forward_on_all_ranks, forward_on_each_rank, collections),
    *(meters, transport_of_ones_own, text_that_is_no_utf8, stepped_clips, sampler_over_frames, synced_between_steps),
    *(clips_that_have_only_begun, late_forward),
]


def run(rank, folder):
    """Be one rank of four, then one of two: starting a process takes longer than all that it does."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for world in WORLDS:
        if rank < world:
            run_all(rank, world, folder)


def run_all(rank, world, folder):
    """Run all scenarios and write what came of them."""
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting-of-{world}",
        rank=rank,
        world_size=world,
        timeout=datetime.timedelta(seconds=30),
    )
    outcome = {}
    for scenario in SCENARIOS:
        try:
            outcome[scenario.__name__] = scenario(rank, world)
        except Exception:
            outcome[scenario.__name__] = {"traceback": traceback.format_exc()}
    Path(folder, f"{rank}-of-{world}.json").write_text(json.dumps(outcome), encoding="utf-8")
    dist.destroy_process_group()
