"""The page in a real browser: its controls show the library's numbers, by keyboard too, and nothing gets in its way."""

import re
from fractions import Fraction

import numpy as np
import pytest

from flame_metric.report.text import number
from report_inputs import FPS, Small

pytest.importorskip("jinja2", reason="a report needs jinja2")

RATE = Fraction(FPS)


def row(browser, network=0) -> list[str]:
    """The scores that are shown: latency, k, static, FLAME, interval, streaming, persistence, coverage."""
    return browser.all(f'[data-cell][data-network="{network}"]')


def by_class(result):
    return np.append(result.iou, result.miou)


def expect(browser, bank, latency_ms, fps=RATE, network=0) -> None:
    """Compare what is shown with what the bank says at this latency."""
    asked = {"latency_ms": latency_ms, "fps": fps}
    static, flame, live = bank.score(frame_offset=0), bank.score(**asked), bank.stream(latency_ms, fps=fps)
    late = bank.score(**asked, persistence=True)
    shown = row(browser, network)
    assert shown[1:4] == [str(flame.frame_offset), number(static.miou), number(flame.miou)]
    few = flame.interval.sequences
    assert shown[4] == f"{flame.interval.low:.4f} to {flame.interval.high:.4f} (only {few} sequences)"
    assert shown[5:] == [number(live.miou), number(late.miou), f"{flame.coverage:.2f}"]
    if not browser.one(f'[data-of="{network}"]', "one.hidden"):
        results = [by_class(result) for result in (static, flame, live)]
        expected = [*results, results[0] - results[1], results[1] - results[2], by_class(late)]
        for place, values in enumerate(expected):
            column = browser.all(f'table[data-classes="{network}"] [data-column="{place}"]')
            assert column == [number(value) for value in values.tolist()]


def test_it_opens_with_what_was_measured(page) -> None:
    browser = page("one")
    expect(browser, Small().bank(), 130)
    assert browser.one(".controls", "one.hidden") is False
    assert browser.one("#own", "one.getAttribute('aria-pressed')") == "true"
    assert browser.one("#latency-text") == "130.0 ms"


def test_the_latency_moves_by_keyboard_and_shows_the_library_s_numbers(page) -> None:
    browser, bank = page("one"), Small().bank()
    browser.focus("#latency")
    browser.press("Home")
    for stop in range(1, 17):  # 10 ms each; 16 of them are beyond two frames
        browser.press("ArrowRight")
        expect(browser, bank, 10 * stop)
    assert browser.one("#latency", "one.getAttribute('aria-valuetext')") == "160.0 ms"
    assert browser.one("#said").startswith("net: 160.0 ms at 16.67 fps, k = 3; FLAME 0.")
    assert browser.one("[data-setting]") == "160.0 ms at 16.67 fps, k = 3"
    assert browser.one("#command") == "flame-metric rescore BANK --latency-ms 160 --workers 1 --queue 1"


def test_the_ends_of_the_latencies(page) -> None:
    browser, bank = page("one"), Small().bank()
    browser.focus("#latency")
    browser.press("End")  # 360 ms: k = 6 is the last of the bank, and a stream shows older frames
    expected = [number(bank.score(frame_offset=offset).miou) for offset in (0, 6)]
    assert row(browser)[:4] == ["360.0 ms", "6", *expected]
    assert row(browser)[5] == "–"
    assert set(browser.all('[data-column="2"], [data-column="4"]')) == {"–"}
    browser.press("Home")
    assert row(browser)[1] == "0"
    browser.focus("#own")
    browser.press(" ")
    expect(browser, bank, 130)


def test_cameras_and_hardware_by_keyboard(page) -> None:
    browser, bank = page("one"), Small().bank()
    browser.focus("input[name=scale]:checked")
    browser.press("ArrowLeft")  # twice as fast
    expect(browser, bank, 65)
    assert browser.one("#latency-text") == "130.0 ms, 2× faster: 65.0 ms"
    browser.focus("input[name=rate]:checked")
    browser.press("ArrowRight")  # each second frame
    expect(browser, bank.every(2), 65, RATE / 2)
    browser.focus("input[name=scale]:checked")
    browser.press("ArrowRight", 2)  # twice as slow as measured: k = 3 of 120 ms each
    assert row(browser)[:2] == ["260.0 ms", "3"]
    assert row(browser)[3] == number(bank.every(2).score(frame_offset=3).miou)
    assert browser.all(".wide-chart .rate", "one.getAttribute('display')") == ["none", None, "none", "none"]


def test_marks_of_the_curve_follow(page) -> None:
    browser, bank = page("one"), Small().bank()
    browser.focus("#latency")
    browser.press("Home")
    browser.press("ArrowRight", 20)
    x0, x1, y0, y1 = map(float, browser.one(".wide-chart svg", "one.dataset.plane").split())
    place = [x0 + (x1 - x0) * 200, y0 + (y1 - y0) * bank.score(latency_ms=200).miou]
    mark = ".wide-chart path.mark"
    where = browser.one(f"{mark}.flame", "one.getAttribute('transform')")
    assert list(map(float, re.findall(r"[\d.]+", where))) == pytest.approx(place, abs=0.01)
    assert browser.one(f"{mark}.flame", "one.getAttribute('display')") is None
    is_known = row(browser)[5] != "–"
    assert browser.one(f"{mark}.streaming", "one.getAttribute('display')") == (None if is_known else "none")
    assert float(browser.one(".wide-chart .cursor", "one.getAttribute('x1')")) == pytest.approx(place[0], abs=0.01)


def test_several_networks_move_together_or_each_at_its_own_latency(page) -> None:
    browser = page("three")
    banks = [Small(wrong).bank() for wrong in (0.1, 0.2, 0.3)]
    for network, (bank, latency_ms) in enumerate(zip(banks, (170, 110, 40), strict=True)):
        expect(browser, bank, latency_ms, network=network)
    browser.focus("input[name=network]")
    browser.press("ArrowRight")
    assert browser.all("[data-of]", "one.hidden") == [True, False, True]
    expect(browser, banks[1], 110, network=1)
    browser.focus("#latency")
    browser.press("Home")
    browser.press("ArrowRight", 9)
    for network, bank in enumerate(banks):
        expect(browser, bank, 90, network=network)


def test_networks_of_which_no_more_is_known_than_their_results(page) -> None:
    browser = page("results")
    assert browser.all("input", "one.name") == ["network"] * 3
    browser.focus("input[name=network]")
    browser.press("ArrowDown", 2)
    assert browser.all("[data-of]", "one.hidden") == [True, True, False]
    expected = [number(value) for value in by_class(Small(0.3).evaluation(40).flame).tolist()]
    assert browser.all('table[data-classes="2"] [data-column="1"]') == expected


def test_curves_of_streams_or_of_flame(page) -> None:
    browser = page("three")
    lines, display = ".wide-chart .rate:not([display]) path", "one.getAttribute('display')"
    for streaming, flame in ((["none"] * 3, [None] * 3), ([None] * 3, ["none"] * 3)):
        assert browser.all(f"{lines}.streaming", display) == streaming
        assert browser.all(f"{lines}.flame", display) == flame
        browser.focus("input[name=curves]")
        browser.press("ArrowRight")


def test_a_hostile_name_does_nothing(page) -> None:
    browser = page("hostile")
    browser.focus("#latency")
    browser.press("ArrowRight")
    assert browser.one("h1").startswith("<script>window.hit=1</script>\"'><img")
    assert browser.all("img") == []
    assert browser.run("window.hit === undefined")


INTRUDER = """(() => {
  const script = document.createElement("script");
  script.textContent = "window.hit = 1";
  document.body.append(script);
  const picture = "<img src='https://example.invalid/x.png' onerror='window.hit = 2' style='color: red'>";
  document.body.insertAdjacentHTML("beforeend", picture);
  const style = document.createElement("style");
  style.textContent = "h1 { color: rgb(1, 2, 3) }";
  document.head.append(style);
  return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
})()"""


def test_the_policy_holds(browser, folder) -> None:
    """What gets into the page afterwards does not run, and nothing is loaded."""
    browser.open(folder / "one.html")
    browser.run(INTRUDER)
    assert browser.run("window.hit === undefined")
    assert browser.one("h1", "getComputedStyle(one).color") != "rgb(1, 2, 3)"
    said = browser.console()
    for blocked in ("inline script", "inline event handler", "inline style", "https://example.invalid/x.png"):
        assert any(blocked in text and "Content Security Policy" in text for text in said), blocked
    failed = [event for method, event in browser.network() if method == "Network.loadingFailed"]
    assert [event.get("blockedReason") for event in failed] == ["csp"]


def test_what_a_page_says_and_what_it_asks_for_is_seen(browser, tmp_path) -> None:
    """Without it the look at each page after its test would find nothing."""
    script = "console.log('said'); setTimeout(() => { throw new Error('thrown'); })"
    (tmp_path / "page.html").write_text(f"<!doctype html><img src='other.png'><script>{script}</script>")
    browser.open(tmp_path / "page.html")
    browser.run("new Promise((done) => setTimeout(done))")
    console = "\n".join(browser.console())
    assert "said" in console
    assert "thrown" in console
    asked = [event["request"]["url"] for method, event in browser.network() if method == "Network.requestWillBeSent"]
    assert [url.rpartition("/")[2] for url in asked] == ["page.html", "other.png"]
    assert (browser.console(), browser.network()) == ([], [])


@pytest.mark.parametrize("name", ["one", "three", "hostile", "results"])
@pytest.mark.parametrize("width", [320, 390, 820, 1440])
def test_nothing_is_wider_than_the_window(name, width, page) -> None:
    browser = page(name)
    browser.resize(width)
    assert browser.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [390, 1280])
def test_a_long_name_leaves_room_for_the_numbers(width, page) -> None:
    browser = page("hostile")
    browser.resize(width)
    widths = browser.all("[data-classes] tbody th", "one.getBoundingClientRect().width")
    assert min(widths) > 100
    assert max(widths) < width / 2


@pytest.mark.parametrize("width", [390, 820, 1280])
def test_names_of_controls_are_one_line(width, page) -> None:
    browser = page("one")
    browser.resize(width)
    heights = browser.all(".slider label, legend", "one.getBoundingClientRect().height")
    assert len(heights) == 3
    assert max(heights) < 30


def test_light_and_dark(page) -> None:
    browser = page("one")
    browser.prefer(prefers_color_scheme="light")
    light = browser.one("body", "getComputedStyle(one).backgroundColor")
    browser.prefer(prefers_color_scheme="dark")
    dark = browser.one("body", "getComputedStyle(one).backgroundColor")
    assert light != dark
    browser.focus("#theme")
    for expected in (light, dark):
        browser.press(" ")
        assert browser.one("body", "getComputedStyle(one).backgroundColor") == expected
    browser.prefer(prefers_color_scheme="light")
    assert browser.one("body", "getComputedStyle(one).backgroundColor") == dark  # what was chosen stays


def test_without_its_script_it_says_all_and_offers_no_control(page, browser) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page("one")
        shown = browser.call("Accessibility.getFullAXTree")["nodes"]
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in shown if not node["ignored"]]
    texts = {name for _, name in named}
    for result in Small().evaluation().results.values():
        assert result.signature in texts
    assert {number(value) for value in Small().evaluation().flame.iou.tolist()} <= texts
    assert not {role for role, _ in named} & {"slider", "button", "radio", "checkbox"}


def test_in_print_all_is_light_and_open_and_there_are_no_controls(page) -> None:
    browser = page("one")
    browser.focus("#theme")
    browser.press(" ")
    browser.prefer(media="print", prefers_color_scheme="dark")
    assert browser.one("body", "getComputedStyle(one).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.one("body", "getComputedStyle(one).color") == "rgb(28, 33, 38)"
    assert browser.one(".controls", "getComputedStyle(one).display") == "none"
    assert browser.one("#now", "one.offsetHeight") > 0
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.all("details:not([open])") == []
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.all("details[open]") == []


def test_all_controls_are_reached_by_tab_in_their_order(page) -> None:
    browser = page("one")
    reached = []
    for _ in range(7):
        browser.press("Tab")
        reached.append(browser.run("(({id, name, className}) => id || name || className)(document.activeElement)"))
    assert reached == ["skip", "theme", "own", "latency", "rate", "scale", "wide"]
