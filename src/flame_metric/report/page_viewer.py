"""The frames of a report: what a network saw, what is on screen when it has answered, and what is true by then."""

from __future__ import annotations

from fractions import Fraction

from flame_metric.report.markup import Markup, element
from flame_metric.report.page_data import Grid
from flame_metric.report.page_frames import Layer, PictureClip
from flame_metric.report.page_script import shown_frames
from flame_metric.report.page_sections import choice, section
from flame_metric.report.page_text import many

__all__ = ["viewer"]

_ABOUT = (
    "First, the frame that the network saw, with its answer. Then the same answer on the frame that is current when it "
    "is on screen: white lines are the borders of the truth, and where colours and lines part, the scene has moved on. "
    "Last, the truth."
)


def viewer(grid: Grid, clip: PictureClip) -> Markup:
    """Return the pictures of one moment, and controls to look at others."""
    name = next(name for name in clip.predictions)
    network = next(network for network in grid.networks if network.name == name)
    setting = grid.setting(network, 1, Fraction(1), None)
    assert setting is not None  # its own
    source, _ = shown_frames(network, setting, 1, clip)
    now = _moment(clip, source, clip.predictions[name])
    then = clip.index(source[now])
    answer = clip.predictions[name][then] if then >= 0 else None
    told = _told(clip, now, source[now])
    return section(
        "frames",
        f"On screen: {clip.name}",
        element("p", _ABOUT, class_="about"),
        _controls(clip, now),
        element("p", told, id="moment", aria_live="polite"),
        element(
            "div",
            _screen("seen", "what the network saw, with its answer", clip, then, [("prediction", answer)]),
            _screen("now", "what is on screen", clip, now, [("prediction", answer), ("outline", clip.outlines[now])]),
            _screen("truth", "the truth", clip, now, [("truth", clip.truth[now])]),
            class_="screens",
        ),
    )


def _moment(clip: PictureClip, source: tuple[int, ...], answers: tuple[str | None, ...]) -> int:
    """Return a picture late in the clip that has all there is to show; the last one if none has."""
    for picture in reversed(range(len(clip.frames))):
        then = clip.index(source[picture])
        if clip.truth[picture] is not None and then >= 0 and answers[then] is not None:
            return picture
    return len(clip.frames) - 1


def _told(clip: PictureClip, picture: int, source: int) -> str:
    frame = clip.first + picture
    if source < 0:
        return f"Frame {frame} is current. Nothing is on screen yet."
    age = many(frame - source, "frame")
    return f"Frame {frame} is current. On screen is what was said of frame {source}, {age} before."


def _controls(clip: PictureClip, now: int) -> Markup:
    slider = element(
        "div",
        element("label", "Frame", for_="frame"),
        element("output", for_="frame", id="frame-text"),
        element("button", "play", type="button", id="play", aria_pressed="false"),
        element("input", type="range", id="frame", min="0", max=str(len(clip.frames) - 1), value=str(now)),
        class_="slider",
    )
    boxes = (
        element("label", element("input", type="checkbox", id=f"with-{name}", checked=True), element("span", text))
        for name, text in (("prediction", "prediction"), ("outline", "lines of the truth"))
    )
    return element(
        "div",
        slider,
        choice("source", "Delay of", ["FLAME: k frames", "the stream"]),
        element("fieldset", element("legend", "Show"), element("div", *boxes, class_="options boxes"), class_="choice"),
        class_="controls",
        role="group",
        aria_label="Frame",
        hidden=True,
    )


def _screen(name: str, caption: str, clip: PictureClip, picture: int, layers: list[tuple[str, Layer]]) -> Markup:
    """Return a picture with layers over it; a negative one is not there, but keeps its place."""
    is_there = picture >= 0
    which = f"frame {clip.first + picture}" if is_there else "nothing on screen yet"
    height, width = clip.size
    images = [
        element("img", src=uri or "data:,", alt=alt, class_=kind, data_layer=layer, width=width, height=height)
        for layer, uri, alt, kind in (
            ("frame", clip.frames[max(0, picture)], which, "" if is_there else "gone"),
            *((layer, uri, "", "layer" if uri else "layer gone") for layer, uri in layers),
        )
    ]
    told = element("figcaption", element("span", which, class_="which"), f": {caption}")
    return element("figure", element("div", *images, class_="stack"), told, class_="screen", data_screen=name)
