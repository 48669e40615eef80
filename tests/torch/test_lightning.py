"""FlameMetric as a value of Lightning's ``self.log``: per step the batch's score, per epoch that of all, then reset."""

import pytest

from flame_metric import FlameMeter

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
lightning = pytest.importorskip("pytorch_lightning", reason="Lightning is not installed")
FlameMetric = pytest.importorskip("flame_metric.torch.metric").FlameMetric

BATCHES = [
    (torch.tensor([[[0, 1, 1]]]), torch.tensor([[[0, 0, 1]]])),
    (torch.tensor([[[1, 1, 0]]]), torch.tensor([[[1, 0, 255]]])),
]


class Network(lightning.LightningModule):
    """A network that knows its predictions."""

    def __init__(self, collect):
        super().__init__()
        self.metric = FlameMetric(2, latency_ms=26, fps=30, ignore_index=255)
        self.collect = collect
        self.seen = []

    def validation_step(self, batch, _):
        pred, target = batch
        if self.collect == "update":
            self.metric.update(pred, target, sequence="clip")
        else:
            self.metric(pred, target, sequence="clip")
        self.log("flame", self.metric, on_step=self.collect == "forward", on_epoch=True, batch_size=1)

    def on_validation_epoch_end(self):
        self.seen.append(self.metric.result().num_pairs)


@pytest.mark.parametrize("collect", ["update", "forward"])
@pytest.mark.filterwarnings("ignore")  # Lightning's own, about loaders and loggers
def test_log(collect, tmp_path):
    network = Network(collect)
    trainer = lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        num_sanity_val_steps=0,
    )
    meter = FlameMeter(2, ignore_index=255)
    for pair in BATCHES:
        meter.update(*pair)
    loader = torch.utils.data.DataLoader(BATCHES, batch_size=None)
    for _ in range(2):  # the second epoch begins at nothing
        (logged,) = trainer.validate(network, loader, verbose=False)
        name = "flame" if collect == "update" else "flame_epoch"
        assert logged[name] == pytest.approx(meter.compute().miou)
    assert network.seen == [2, 2]
    assert not network.metric.counts.numel()
