"""A file that needs an extra is searched for doctests only where the extra is installed."""

from importlib.util import find_spec

NEEDS = {  # files: packages
    "src/flame_metric/compiled.py": ("numba",),
    "src/flame_metric/data/camvid*.py": ("PIL",),
    "src/flame_metric/data/cityscapes*.py": ("PIL",),
    "src/flame_metric/data/davis.py": ("PIL",),
    "src/flame_metric/data/description.py": ("PIL",),
    "src/flame_metric/data/frame_files.py": ("PIL",),
    "src/flame_metric/data/frame_folder.py": ("PIL",),
    "src/flame_metric/data/frame_image.py": ("PIL",),
    "src/flame_metric/data/image_file.py": ("PIL",),
    "src/flame_metric/data/kitti_step.py": ("PIL",),
    "src/flame_metric/data/label_png.py": ("PIL",),
    "src/flame_metric/data/video.py": ("av",),
    "src/flame_metric/data/video_folder.py": ("av", "PIL"),
    "src/flame_metric/data/vipseg.py": ("PIL",),
    "src/flame_metric/data/vspw.py": ("PIL",),
    "src/flame_metric/experiments/augmentation.py": ("torch",),
    "src/flame_metric/experiments/checkpoint.py": ("torch",),
    "src/flame_metric/experiments/experiment.py": ("torch",),
    "src/flame_metric/experiments/frame_pairs.py": ("torch",),
    "src/flame_metric/experiments/latencies.py": ("torch",),
    "src/flame_metric/experiments/parallel.py": ("torch",),
    "src/flame_metric/experiments/reproduction.py": ("torch",),
    "src/flame_metric/experiments/table1.py": ("torch",),
    "src/flame_metric/experiments/training.py": ("torch",),
    "src/flame_metric/experiments/training_run.py": ("torch",),
    "src/flame_metric/experiments/translations.py": ("torch",),
    "src/flame_metric/models/*.py": ("torch",),
    "src/flame_metric/models/huggingface.py": ("torch", "transformers"),
    "src/flame_metric/models/onnx.py": ("onnxruntime",),
    "src/flame_metric/report/classes.py": ("matplotlib",),
    "src/flame_metric/report/curves.py": ("matplotlib",),
    "src/flame_metric/report/drawing.py": ("matplotlib",),
    "src/flame_metric/report/latencies.py": ("matplotlib",),
    "src/flame_metric/report/staleness.py": ("matplotlib",),
    "src/flame_metric/report/strips.py": ("matplotlib",),
    "src/flame_metric/report/timelines.py": ("matplotlib",),
    "src/flame_metric/torch/*.py": ("torch", "torchmetrics"),
    "tests/helpers/cityscapes_tree.py": ("PIL",),
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
