"""Lightning: a Trainer logs FlameMetric and LatencyAware, resets them with each epoch, and saves their counts."""

import math

import pytest

from by_hand import CLASSES, OFFSET, OPTIONS, clips
from flame_metric import FlameMeter, StateError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
torchmetrics = pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
lightning = pytest.importorskip("lightning", reason="Lightning is not installed")
ModelCheckpoint = lightning.pytorch.callbacks.ModelCheckpoint
FlameMetric = pytest.importorskip("flame_metric.torch.metric").FlameMetric
LatencyAware = pytest.importorskip("flame_metric.torch.aware").LatencyAware

MulticlassAccuracy = torchmetrics.classification.MulticlassAccuracy

# Lightning uses a name that PyTorch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.:FutureWarning")

VIDEOS = clips(2, num_frames=5, height=32, width=48)


def batch(*rows):
    """(frames, labels, ids) of rows of (frame, label map, id)."""
    frames, labels, names = zip(*rows, strict=True)
    return torch.stack([*map(torch.from_numpy, frames)]), torch.stack([*map(torch.from_numpy, labels)]), list(names)


FRAMES = [  # one frame after the other
    batch((video.frames[t], video.targets[t], video.name)) for video in VIDEOS for t in range(len(video.frames))
]
PAIRS = [  # of both videos, each frame with the labels that are current when its prediction is ready
    batch(*((video.frames[t], video.targets[t + OFFSET], video.name) for video in VIDEOS))
    for t in range(len(VIDEOS[0].frames) - OFFSET)
]


class Batches:
    """Batches in order, from where a checkpoint left off. (Of a plain DataLoader, Lightning begins again.)"""

    def __init__(self, batches):
        self.batches = batches
        self.seen = 0

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        self.seen %= len(self)
        while self.seen < len(self):
            self.seen += 1
            yield self.batches[self.seen - 1]

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = state["seen"]


class Segmenter(lightning.LightningModule):
    """A layer that learns to segment, and beside each metric a meter that counts the same."""

    def __init__(self, latency_ms=OPTIONS["latency_ms"]):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = torch.nn.Conv2d(3, CLASSES, 3, padding=1)
        self.flame = FlameMetric(**{**OPTIONS, "latency_ms": latency_ms})
        self.flame.persistent(True)  # so that a checkpoint holds what an epoch has counted
        self.stream = FlameMetric(**OPTIONS)
        self.results = {"train": [], "val": []}  # of each epoch: the metric's and the meter's

    def forward(self, frames):
        return self.layer(frames.movedim(-1, 1) / 255)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def on_train_start(self):
        self.meter = self.flame.to_meter()  # of an epoch that goes on where a checkpoint was saved

    def on_train_epoch_start(self):
        self.flame.reset()  # a checkpoint that was saved at the end of an epoch still holds what that epoch counted
        self.meter = FlameMeter(**OPTIONS)

    def training_step(self, batch, _):
        frames, labels, names = batch
        scores = self(frames)
        self.flame.update_pair(scores, labels, names)
        for row, name in enumerate(names):
            self.meter.update_pair(scores[row], labels[row], sequence=name)
        self.log("flame", self.flame, on_step=False, on_epoch=True)
        return torch.nn.functional.cross_entropy(scores, labels.long(), ignore_index=OPTIONS["ignore_index"])

    def on_train_epoch_end(self):
        self.results["train"].append((self.flame.result(), self.meter.compute()))

    def on_validation_epoch_start(self):
        self.clips = {}

    def validation_step(self, batch, _):
        frames, labels, names = batch
        scores = self(frames)
        self.stream(scores, labels, names)
        self.clips.setdefault(names[0], []).append((scores[0], labels[0]))
        self.log("stream", self.stream, on_step=True, on_epoch=True)

    def on_validation_epoch_end(self):
        if self.trainer.sanity_checking:
            return
        meter = FlameMeter(**OPTIONS)
        for name, steps in self.clips.items():
            meter.update_sequence(*zip(*steps, strict=True), sequence=name)
        self.results["val"].append((self.stream.result(), meter.compute()))


def trainer_in(folder, **options):
    """A trainer that prints nothing and, unless told to, checks and saves nothing."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    saving = {"enable_checkpointing": any(isinstance(part, ModelCheckpoint) for part in options.get("callbacks", ()))}
    return lightning.Trainer(accelerator="cpu", default_root_dir=folder, **{**quiet, **saving, **options})


def train(network, folder, *, resume=None, **options):
    trainer = trainer_in(folder, **options)
    trainer.fit(network, Batches(PAIRS), Batches(FRAMES), ckpt_path=resume)
    return trainer


def assert_logged(trainer, network, *, epochs):
    """What was logged last is the meter's, and in each epoch the counts were."""
    for stage, name in (("train", "flame"), ("val", "stream_epoch")):
        results = network.results[stage]
        assert len(results) == epochs
        for metric, meter in results:
            assert metric.counts.tolist() == meter.counts.tolist()
            assert metric.sequences == meter.sequences == tuple(video.name for video in VIDEOS)
        assert trainer.callback_metrics[name].item() == pytest.approx(results[-1][1].miou)


# ── logging ──


def test_epochs(tmp_path):
    network = Segmenter()
    trainer = train(network, tmp_path, max_epochs=2)
    assert_logged(trainer, network, epochs=2)
    for metric in (network.flame, network.stream):
        assert not metric.counts.numel()  # the next epoch begins at nothing
    assert network.results["val"][0][1] != network.results["val"][1][1]  # it learns


def test_validation_alone_and_again(tmp_path):
    network = Segmenter()
    trainer = trainer_in(tmp_path)
    first, again = (trainer.validate(network, Batches(FRAMES), verbose=False) for _ in range(2))
    assert first == again == [{"stream_epoch": pytest.approx(network.results["val"][0][1].miou)}]


def test_the_sanity_check_leaves_nothing_behind(tmp_path):
    """It ends before the first prediction is on screen, and the same ids come again at once."""
    network = Segmenter()
    trainer = train(network, tmp_path, max_epochs=1, num_sanity_val_steps=OFFSET)
    assert_logged(trainer, network, epochs=1)


class Compared(Segmenter):
    """One collection of all latencies, and of metrics that know nothing of time."""

    def __init__(self):
        super().__init__()
        metrics = {f"k{k}": FlameMetric(CLASSES, frame_offset=k, ignore_index=255) for k in (0, 1, 2, 4)}
        accuracy = MulticlassAccuracy(CLASSES, average="micro", ignore_index=255)
        late = LatencyAware(torchmetrics.MetricCollection({"late accuracy": accuracy}), frame_offset=4)
        self.metrics = torchmetrics.MetricCollection({**metrics, "late": late})
        self.steps = []

    def validation_step(self, batch, _):
        frames, labels, names = batch
        values = self.metrics(self(frames), labels.long(), sequence=names)
        self.steps.append({name: value.item() for name, value in values.items()})
        self.log_dict(values, on_epoch=False, on_step=True)

    def on_validation_epoch_end(self):
        self.log_dict(self.metrics.compute())
        self.metrics.reset()


@pytest.mark.filterwarnings("ignore:The 'val_dataloader' does not have many workers:UserWarning")
def test_log_dict_and_the_sanity_check_at_k_4(tmp_path):
    """Two batches: nothing is on screen yet, and warnings are errors here."""
    network = Compared()
    trainer = trainer_in(tmp_path, max_epochs=1, num_sanity_val_steps=2)
    trainer.fit(network, Batches(PAIRS), torch.utils.data.DataLoader(FRAMES, batch_size=None))
    first, last = network.steps[2], network.steps[6]  # after the two of the check, the first and the last frame
    assert {name for name, value in first.items() if math.isnan(value)} == {"k1", "k2", "k4", "late accuracy"}
    assert [name for name, value in last.items() if math.isnan(value)] == []
    logged = {name: value.item() for name, value in trainer.callback_metrics.items()}
    assert len({round(logged[f"k{k}"], 6) for k in (0, 1, 2, 4)}) == 4
    scores = [network.layer(frames.movedim(-1, 1) / 255)[0] for frames, _, _ in FRAMES]
    for k in (0, 1, 2, 4):
        meter = FlameMeter(CLASSES, frame_offset=k, ignore_index=255)
        for video, start in zip(VIDEOS, (0, 5), strict=True):
            meter.update_sequence(scores[start : start + 5], video.targets, sequence=video.name)
        assert logged[f"k{k}"] == pytest.approx(meter.compute().miou, abs=1e-6)


# ── checkpoints ──


class SaveAfterTwo(lightning.Callback):
    """Saves in the middle of an epoch."""

    def __init__(self, path):
        self.path = path

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 2:
            trainer.save_checkpoint(self.path)


def test_an_epoch_goes_on_from_a_checkpoint(tmp_path):
    path, whole, again = tmp_path / "middle.ckpt", Segmenter(), Segmenter()
    logged = train(whole, tmp_path, max_epochs=1, callbacks=[SaveAfterTwo(path)]).callback_metrics
    loaded = Segmenter.load_from_checkpoint(path).flame
    assert loaded.result().tallies[:, 0].tolist() == [2, 2]  # pairs of each video
    trainer = train(again, tmp_path, max_epochs=1, resume=path)
    assert_logged(trainer, again, epochs=1)
    assert again.results["train"] == whole.results["train"]
    assert trainer.callback_metrics == logged


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty:UserWarning")
def test_the_next_epoch_after_the_best_checkpoint_counts_itself_alone(tmp_path):
    def best():
        return ModelCheckpoint(tmp_path / "best", monitor="stream_epoch", mode="max")

    checkpoint, again = best(), Segmenter()
    first = train(Segmenter(), tmp_path, max_epochs=1, callbacks=[checkpoint])
    assert checkpoint.best_model_score == first.callback_metrics["stream_epoch"]
    trainer = train(again, tmp_path, max_epochs=2, callbacks=[best()], resume=checkpoint.best_model_path)
    assert_logged(trainer, again, epochs=1)


def test_a_checkpoint_of_another_latency_is_refused(tmp_path):
    path = tmp_path / "middle.ckpt"
    train(Segmenter(), tmp_path, max_steps=2, callbacks=[SaveAfterTwo(path)], limit_val_batches=0)
    with pytest.raises(StateError, match=r"another configuration than this metric: .*latency_ms: 100\.0 / 76\.0"):
        Segmenter.load_from_checkpoint(path, latency_ms=100.0)
