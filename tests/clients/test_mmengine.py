"""mmengine: the adapter of the recipe counts what a loop by hand counts, whatever the batches and the sampler."""

import json
import re
from importlib.util import find_spec

import numpy as np
import pytest

from by_hand import clips, flame_counts
from flame_metric import FlameResult
from recipes import blocks

for package, name in (("torch", "PyTorch"), ("mmengine", "mmengine")):
    if find_spec(package) is None:
        pytest.skip(f"{name} is not installed", allow_module_level=True)

(ADAPTER,) = blocks("mmengine.md", "python")
VIDEOS = clips(2, num_frames=5, height=32, width=48)

DEPRECATED = "`torch.jit.:DeprecationWarning"  # PyTorch's own, at the import of torch.distributed.optim

PROGRAM = """
import json
import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.evaluator import Evaluator
from mmengine.model import BaseModel
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement, PixelData

OPTIONS = dict(num_classes=8, latency_ms=76, fps=15, ignore_index=255)


class Street(BaseDataset):
    METAINFO = {}

    def load_data_list(self):
        return [
            {"img_path": f"frames/{name}/{t:03}.npy", "seg_map_path": f"labels/{name}/{t:03}.npy"}
            for name in ("synthetic-0", "synthetic-1")
            for t in range(5)
        ]


@DATASETS.register_module()
class LateStreet(Late, Street):
    latency = dict(latency_ms=76, fps=15)


def load(item):
    assert set(item) == {"img_path", "seg_map_path", "sample_idx"}
    sample = BaseDataElement(metainfo={"img_path": item["img_path"]})
    sample.gt_sem_seg = PixelData(data=torch.from_numpy(np.load(item["seg_map_path"]))[None])
    return {"inputs": torch.from_numpy(np.load(item["img_path"])), "data_samples": sample}


class Network(BaseModel):
    def forward(self, inputs, data_samples, mode):
        assert mode == "predict"
        for frame, sample in zip(inputs, data_samples, strict=True):
            sample.pred_sem_seg = PixelData(data=frame[None, ..., 0] // 32)
        return data_samples


class Remembering(FlameEvaluator):
    def compute_metrics(self, results):
        total = FlameMeter(**OPTIONS)
        for counted in results:
            total.merge(FlameMeter.from_json(counted))
        self.seen = total.compute()
        return super().compute_metrics(results)


METRICS.register_module(module=Remembering)
dataset = LateStreet(pipeline=[load])
found = []
for batch_size in (1, 4):
    runner = Runner(
        model=Network(),
        work_dir="runs",
        experiment_name=str(batch_size),
        log_level="WARNING",
        test_dataloader=dict(
            dataset=dataset,
            batch_size=batch_size,
            num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=batch_size > 1),
            collate_fn=dict(type="pseudo_collate"),
        ),
        test_cfg=dict(),
        test_evaluator=dict(type="Remembering", **OPTIONS),
    )
    logged = runner.test()
    (metric,) = runner.test_evaluator.metrics
    found.append([logged, metric.seen.to_json()])

evaluator = Evaluator(Remembering(**OPTIONS))
for item in [*dataset, dataset[0]]:  # a sampler gives the first again, so that all processes have equally many
    evaluator.process(Network()([item["inputs"]], [item["data_samples"]], "predict"))
logged = evaluator.evaluate(len(dataset))
found.append([logged, evaluator.metrics[0].seen.to_json()])
print("RESULT", json.dumps(found))
"""


def test_runner_and_evaluator_count_as_by_hand(run_python, tmp_path):
    for video in VIDEOS:
        for kind, maps in (("frames", video.frames), ("labels", video.targets)):
            (tmp_path / kind / video.name).mkdir(parents=True)
            for t, array in enumerate(maps):
                np.save(tmp_path / kind / video.name / f"{t:03}.npy", array)
    printed = run_python(ADAPTER + PROGRAM, DEPRECATED)
    (found,) = re.findall(r"^RESULT (.*)$", printed, re.MULTILINE)
    preds = [[frame[..., 0] // 32 for frame in video.frames] for video in VIDEOS]
    expected = [flame_counts(pred, video.targets) for pred, video in zip(preds, VIDEOS, strict=True)]
    for logged, text in json.loads(found):
        result = FlameResult.from_json(text)
        assert result.counts.tolist() == [counts.tolist() for counts in expected]
        assert logged == {"flame/miou": pytest.approx(result.miou)}
