"""The ways through the rooms that CONTRIBUTING shows are those that the commands take."""

import re
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import flame_metric
from flame_metric.cli import main
from pages import ROOT

PACKAGE = Path(flame_metric.__file__).parent
SECTION = "## The way of one prediction and of one latency sample"
ROOMS = ("errors", "_version", "core", "latency", "scores", "figures", "data", "torch", "networks", "jobs", "paper")
ROOMS += ("report", "demo", "cli")


def shown_ways():
    """The lists of the page: each as (file, function), in order; a function alone is of the file before it."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split(SECTION)[1].split("\n## ")[0]
    for part in text.split("\n\n"):
        if not part.startswith("1. "):
            continue
        way, file = [], None
        for name in re.findall(r"`([^`]+)`", part):
            if name.endswith(".py"):
                file = name
            else:
                way.append((file, name))
        yield way


def calls_of(words):
    """Run a command; return each call within the package as (file, function, file of the caller), in order."""
    calls = []

    def file_of(frame):
        path = Path(frame.f_code.co_filename)
        return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else None

    def profile(frame, event, _):
        if event != "call" or (file := file_of(frame)) is None:
            return
        caller = frame.f_back
        while caller is not None and file_of(caller) is None:
            caller = caller.f_back
        calls.append((file, frame.f_code.co_name, None if caller is None else file_of(caller)))

    before = sys.getprofile()
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        assert main(words) == 0
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    return calls


def climbs(calls):
    """Calls from a room to one above it, without those while modules are imported."""

    def floor(file):
        return ROOMS.index(file.split("/")[0].removesuffix(".py"))

    return {
        (caller, file, name)
        for file, name, caller in calls
        if caller is not None and name != "<module>" and floor(file) > floor(caller)
    }


def assert_goes_through(calls, way):
    """Each function of the way is called, after the one before it."""
    rest = iter((file, name) for file, name, _ in calls)
    for step in way:
        assert step in rest, f"{step[0]} {step[1]} is not called after the step before it"


@pytest.fixture(scope="module")
def ways():
    prediction, sample = shown_ways()
    return {"prediction": prediction, "sample": sample}


def test_the_way_of_a_prediction(ways, tmp_path, monkeypatch):
    pytest.importorskip("PIL", reason="PNG files need Pillow")
    from flame_metric.data.images import write_png  # noqa: PLC0415  Pillow may be missing

    monkeypatch.chdir(tmp_path)
    for side in ("predictions", "labels"):
        Path(side, "clip").mkdir(parents=True)
        for frame in range(4):
            write_png(Path(side, "clip", f"{frame:04}.png"), np.full((8, 8), frame % 3, np.uint8))
    words = "evaluate predictions labels --num-classes 3 --fps 15 --latency-ms 76"
    calls = calls_of(words.split())
    assert_goes_through(calls, ways["prediction"])
    assert {name for file, name, _ in calls if file == "core/iou.py"} >= {"iou_per_class"}
    # What is handed down is called back: the progress, and the timeline of a plan.
    up = {(caller, file) for caller, file, _ in climbs(calls)}
    assert up <= {("jobs/pipeline.py", "cli/console.py"), ("scores/pairs.py", "jobs/plan.py")}


def test_the_way_of_a_latency_sample(ways):
    data = "synthetic:videos=1,num_frames=6,height=32,width=64"
    calls = calls_of(["run", "flame_metric.demo:segmenter", data, "--samples", "20"])
    assert_goes_through(calls, ways["sample"])
