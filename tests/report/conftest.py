"""Pages in a real browser: one browser for all tests, and after each of them a look for errors and requests."""

import os
from dataclasses import replace
from fractions import Fraction
from importlib import import_module

import numpy as np
import pytest

from browser import Browser, lacking
from flame_metric import VideoDataset, VideoSequence
from report_inputs import FPS, FRAMES, NAMES, VOID, Small, labels_of, predictions_of

HOSTILE = "<script>window.hit=1</script>\"'><img src=x onerror='window.hit=1'></script>"


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    if missing := lacking():
        if os.environ.get("FLAME_METRIC_BROWSER") == "required":
            pytest.fail(f"FLAME_METRIC_BROWSER is 'required', but there is no {missing}")
        pytest.skip(f"there is no {missing}")
    with Browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A page of one network, of three, of one with a hostile name, and of three without banks."""
    from flame_metric.report import write_report  # noqa: PLC0415  jinja2 may be missing

    place = tmp_path_factory.mktemp("pages")
    write_report(place / "one.html", {"net": Small().evaluation()})
    of = {"large": (0.1, 170), "medium": (0.2, 110), "small": (0.3, 40)}
    write_report(place / "three.html", {name: Small(wrong).evaluation(ms) for name, (wrong, ms) in of.items()})
    hostile = Small(names=tuple(f"{HOSTILE} {label}" for label in range(4)), clips=(HOSTILE, "b", "c"))
    write_report(
        place / "hostile.html", {HOSTILE: hostile.evaluation(hardware=HOSTILE)}, title=HOSTILE, command=HOSTILE
    )
    results = {name: replace(Small(wrong).evaluation(ms), bank=None) for name, (wrong, ms) in of.items()}
    write_report(place / "results.html", results)
    return place


@pytest.fixture(scope="session")
def with_frames(folder):
    """A page with frames beside them; the name of it."""
    from flame_metric.report import write_report  # noqa: PLC0415  jinja2 may be missing

    pytest.importorskip("PIL", reason="pictures need Pillow")
    write_png = import_module("flame_metric.data.images").write_png
    (folder / "clip 0").mkdir()
    for frame in range(FRAMES):
        write_png(folder / "clip 0" / f"{frame:06}.png", predictions_of(0, frame, 0.2))
    targets = [labels_of(0, frame) for frame in range(FRAMES)]
    frames = [np.stack([labels % 5 * 40 + 20] * 3, axis=-1).astype(np.uint8) for labels in targets]
    dataset = VideoDataset("small", (VideoSequence("clip 0", frames, targets, Fraction(FPS)),), NAMES, VOID)
    write_report(folder / "frames.html", {"net": Small().evaluation()}, dataset=dataset, label_maps={"net": folder})
    return "frames"


@pytest.fixture
def page(browser, folder):
    """Open one of the pages; afterwards nothing may have failed, and nothing but the file been asked for."""

    def open_page(name: str) -> Browser:
        browser.prefer()
        browser.resize(1280)
        browser.open(folder / f"{name}.html")
        return browser

    yield open_page
    assert browser.console() == []
    asked = [event["request"]["url"] for method, event in browser.network() if method == "Network.requestWillBeSent"]
    assert [url.partition(":")[0] for url in asked if not url.startswith("data:")] == ["file"]
