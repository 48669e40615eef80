"""A file that needs an extra is searched for doctests only where the extra is installed."""

from importlib.util import find_spec

NEEDS = {  # files: packages
    "src/flame_metric/compiled.py": ("numba",),
    "src/flame_metric/data/image_file.py": ("PIL",),
    "src/flame_metric/data/label_png.py": ("PIL",),
    "src/flame_metric/data/camvid*.py": ("PIL",),
    "src/flame_metric/data/cityscapes*.py": ("PIL",),
    "src/flame_metric/data/frame_image.py": ("PIL",),
    "src/flame_metric/torch/*.py": ("torch", "torchmetrics"),
    "tests/helpers/metrics_to_wrap.py": ("torch", "torchmetrics"),
    "tests/helpers/ranks.py": ("torch", "torchmetrics"),
}

collect_ignore_glob = [
    files for files, packages in NEEDS.items() if not all(find_spec(package) for package in packages)
]
