"""What the ranks of the tests of commands do: each command on every rank, and what came of it as JSON.

A module of its own, because spawned processes import it by name.
"""

import contextlib
import io
import json
import math
import os
import traceback
import warnings
from pathlib import Path

import torch

from flame_metric.cli import console, evaluate, main

WORLD = 2


def run(rank, folder, commands):
    """Be one rank: run commands, each (name, port, words, rank where Ctrl-C is pressed), and write what came."""
    torch.set_num_threads(1)
    console._PATIENCE_S = math.inf  # as in tests/conftest.py, which a spawned process does not read
    warnings.simplefilter("error")
    os.chdir(folder)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(WORLD), MASTER_ADDR="localhost")
    outcome = {}
    for name, port, words, interrupted in commands:
        os.environ["MASTER_PORT"] = str(port)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _ctrl_c(rank == interrupted):
            try:
                code = main(words)
            except BaseException:
                code = traceback.format_exc()
        outcome[name] = {"code": code, "out": out.getvalue(), "err": err.getvalue()}
    Path(folder, f"rank{rank}.json").write_text(json.dumps(outcome), encoding="utf-8")


@contextlib.contextmanager
def _ctrl_c(pressed):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    before = evaluate.evaluate_folders
    evaluate.evaluate_folders = stop if pressed else before
    yield
    evaluate.evaluate_folders = before
