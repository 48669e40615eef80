"""The frames of a page in a real browser: what is on screen at each moment is what the schedules say."""

from fractions import Fraction

import pytest

from flame_metric import simulate_stream
from report_inputs import FPS, FRAMES, SHAPE

pytest.importorskip("jinja2", reason="a report needs jinja2")

RATE = Fraction(FPS)
PICTURES = """Object.fromEntries([...document.querySelectorAll("[data-screen] img")].map((image) => [
  `${image.closest("[data-screen]").dataset.screen} ${image.dataset.layer}`,
  image.classList.contains("gone") ? null : image.src,
]))"""


@pytest.fixture
def frames(page, with_frames):
    """The page, and the pictures that it holds."""
    browser = page(with_frames)
    return browser, browser.run("JSON.parse(document.getElementById('lookup').textContent).clip")


def test_the_frames_follow_the_delay(frames) -> None:
    browser, clip = frames
    browser.focus("#frame")
    browser.press("Home")
    for frame in range(FRAMES):
        shown, then = browser.run(PICTURES), frame - 3
        assert shown["now frame"] == shown["truth frame"] == clip["frames"][frame]
        assert shown["truth truth"] == clip["truth"][frame]
        assert shown["now outline"] == clip["outlines"][frame]
        answer = clip["predictions"][0][then] if then >= 0 else None
        assert shown["now prediction"] == shown["seen prediction"] == answer
        assert shown["seen frame"] == (clip["frames"][then] if then >= 0 else None)
        late = "Nothing is on screen yet." if then < 0 else f"the prediction for frame {then}, 3 frames, 180 ms before."
        assert browser.one("#moment").startswith(f"Frame {frame} is current.")
        assert browser.one("#moment").endswith(late)
        seen = "nothing on screen yet" if then < 0 else f"frame {then}"
        assert browser.all(".which") == [seen, f"frame {frame}", f"frame {frame}"]
        browser.press("ArrowRight")
    assert set(browser.all("[data-layer=frame]", "one.naturalHeight")) == {SHAPE[0]}


def test_another_latency_shows_another_frame(frames) -> None:
    browser, clip = frames
    browser.focus("#latency")
    browser.press("Home")
    for latency_ms in range(0, 110, 10):
        then = FRAMES - 1 - (-(-latency_ms // 60))
        assert browser.run(PICTURES)["now prediction"] == clip["predictions"][0][then]
        browser.press("ArrowRight")


def test_the_stream_and_slower_cameras(frames) -> None:
    browser, clip = frames
    browser.focus("input[name=source]")
    browser.press("ArrowRight")
    browser.focus("#frame")
    browser.press("Home")
    for source in simulate_stream(130, num_frames=FRAMES, fps=RATE).source.tolist():
        expected = None if source < 0 else clip["predictions"][0][source]
        assert browser.run(PICTURES)["now prediction"] == expected
        browser.press("ArrowRight")
    browser.focus("input[name=rate]")
    browser.press("ArrowRight")
    browser.focus("#frame")
    browser.press("Home")
    slower = simulate_stream(130, num_frames=FRAMES // 2, fps=RATE / 2)
    for place, source in enumerate(slower.source.tolist()):
        shown = browser.run(PICTURES)
        assert shown["now frame"] == clip["frames"][2 * place]
        assert shown["now prediction"] == (None if source < 0 else clip["predictions"][0][2 * source])
        browser.press("ArrowRight")


def test_layers_can_be_left_out(frames) -> None:
    browser, _ = frames
    for name in ("prediction", "outline"):
        assert browser.run(PICTURES)[f"now {name}"] is not None
        browser.focus(f"#with-{name}")
        browser.press(" ")
        assert browser.run(PICTURES)[f"now {name}"] is None


def test_the_clip_plays_until_it_is_stopped(frames) -> None:
    browser, _ = frames
    before = browser.one("#frame-text")
    browser.focus("#play")
    browser.press(" ")
    assert browser.one("#play") == "stop"
    changed = "new MutationObserver(() => done(true)).observe(document.querySelector('#frame-text'), {childList: true})"
    assert browser.run(f"new Promise((done) => {changed})")
    browser.press(" ")
    assert browser.one("#play") == "play"
    assert browser.one("#frame-text") != before


@pytest.mark.parametrize("width", [320, 390, 820, 1440])
def test_nothing_is_wider_than_the_window(width, frames) -> None:
    browser, _ = frames
    browser.resize(width)
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_a_screen_reader_finds_a_name_for_all_there_is(frames) -> None:
    browser, _ = frames
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    found = [(one["role"]["value"], one.get("name", {}).get("value", "")) for one in nodes if not one["ignored"]]
    named = {"slider", "button", "radio", "checkbox", "table", "region", "image", "img", "heading"}
    assert [role for role, name in found if role in named and not name.strip()] == []
    assert [name for role, name in found if role == "slider"] == ["Latency", "Frame"]
    assert {"Camera", "Hardware", "Setting", "Delay of", "Show"} <= {name for role, name in found if role == "group"}
    assert any(name.startswith("Mean IoU against latency") for role, name in found if role in ("image", "img"))
    assert "status" in {role for role, _ in found}
