"""Doctests of a file that needs an extra are collected only where the extra is installed."""

from importlib.util import find_spec

NEEDED = {"PIL": "src/flame_metric/data/label_png.py", "numba": "src/flame_metric/compiled.py"}
collect_ignore = [file for package, file in NEEDED.items() if not find_spec(package)]
