"""What tests of files and doctests share: which extras each file needs, and a Ctrl-C that is heard."""

import signal
from importlib.util import find_spec

# A shell has commands in the background ignore Ctrl-C, and what they start too; tests of it send the signal themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)

NEEDS = {  # files: packages
    "src/flame_metric/core/counting_numba.py": ("numba",),
    "src/flame_metric/data/camvid.py": ("PIL",),
    "src/flame_metric/data/cityscapes.py": ("PIL",),
    "src/flame_metric/data/davis.py": ("PIL",),
    "src/flame_metric/data/toml_dataset.py": ("PIL",),
    "src/flame_metric/data/frame_files.py": ("PIL",),
    "src/flame_metric/data/frame_folder.py": ("PIL",),
    "src/flame_metric/data/images.py": ("PIL",),
    "src/flame_metric/data/kitti_step.py": ("PIL",),
    "src/flame_metric/data/remote.py": ("aiohttp", "fsspec"),
    "src/flame_metric/data/video_file.py": ("av",),
    "src/flame_metric/data/video_folder.py": ("av", "PIL"),
    "src/flame_metric/data/vipseg.py": ("PIL",),
    "src/flame_metric/data/vspw.py": ("PIL",),
    "src/flame_metric/paper/augmentation.py": ("torch",),
    "src/flame_metric/paper/checkpoint.py": ("torch",),
    "src/flame_metric/paper/experiment.py": ("torch",),
    "src/flame_metric/paper/frame_pairs.py": ("torch",),
    "src/flame_metric/paper/latencies.py": ("torch",),
    "src/flame_metric/paper/parallel.py": ("torch",),
    "src/flame_metric/paper/reproduction.py": ("torch",),
    "src/flame_metric/paper/scoring.py": ("torch",),
    "src/flame_metric/paper/table1.py": ("torch",),
    "src/flame_metric/paper/training.py": ("torch",),
    "src/flame_metric/paper/training_run.py": ("torch",),
    "src/flame_metric/paper/translations.py": ("torch",),
    "src/flame_metric/networks/*.py": ("torch",),
    "src/flame_metric/networks/huggingface.py": ("torch", "transformers"),
    "src/flame_metric/networks/onnx.py": ("onnxruntime",),
    "src/flame_metric/figures/class_losses.py": ("matplotlib",),
    "src/flame_metric/figures/latency_curve.py": ("matplotlib",),
    "src/flame_metric/figures/drawing.py": ("matplotlib",),
    "src/flame_metric/figures/latencies.py": ("matplotlib",),
    "src/flame_metric/figures/staleness.py": ("matplotlib",),
    "src/flame_metric/figures/latency_strip.py": ("matplotlib",),
    "src/flame_metric/figures/timeline.py": ("matplotlib",),
    "src/flame_metric/report/page.py": ("jinja2",),
    "src/flame_metric/torch/*.py": ("torch", "torchmetrics"),
    "tests/helpers/cityscapes_tree.py": ("PIL",),
    "tests/helpers/command_ranks.py": ("torch",),
    "tests/helpers/metrics_to_wrap.py": ("torch", "torchmetrics"),
    "tests/helpers/ranks.py": ("torch", "torchmetrics"),
    "tests/helpers/toy_training.py": ("torch",),
    "tests/helpers/training_ranks.py": ("torch",),
    "tests/helpers/video_files.py": ("av",),
    "tests/helpers/video_trees.py": ("PIL",),
}

collect_ignore_glob = [
    files for files, packages in NEEDS.items() if not all(find_spec(package) for package in packages)
]
