"""Doctests of a file that needs an extra are collected only where the extra is installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("PIL") else ["src/flame_metric/data/label_png.py"]
if not find_spec("torch"):
    collect_ignore.append("src/flame_metric/torch")
