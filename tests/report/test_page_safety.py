"""Names from outside stay text, nothing runs but what a page's policy names, and readers of all kinds can use it."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from page_reading import lookup_of, read_page
from report_inputs import Small

pytest.importorskip("jinja2", reason="a report needs jinja2")
from flame_metric.report import report_page, write_report
from flame_metric.report.page import _environment

HOSTILE = (
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)><!-- </script> =cmd|' /C calc'!A0 \u202e \u2028 "
    "`x` ${y} $style {{ 7 * 7 }} {% raw %} {# #}"
)
SHOWN = "".join(character if character.isprintable() else "\ufffd" for character in HOSTILE)


@pytest.fixture(scope="module")
def html() -> str:
    return report_page({"net": Small().evaluation()}, command="flame-metric report net.json net.npz")


@pytest.fixture(scope="module")
def hostile() -> str:
    small = Small(names=tuple(f"{HOSTILE} {number}" for number in range(4)), clips=(HOSTILE, "b" + HOSTILE, "c"))
    evaluation = small.evaluation(hardware=HOSTILE)
    evaluations = {
        HOSTILE: replace(evaluation, notes=(HOSTILE,)),
        "other": Small(0.3, clips=small.clips, names=small.names).evaluation(),
    }
    return report_page(evaluations, title=HOSTILE, command=HOSTILE)


def test_names_from_outside_stay_text(hostile: str) -> None:
    page = read_page(hostile)
    assert [one.attributes for one in page.find("script")] == [{"type": "application/json", "id": "lookup"}, {}]
    assert not page.find("img")
    assert page.one("h1").text == SHOWN
    assert page.one("head").one("title").text == f"{SHOWN}: latency-aware scores"
    assert page.one("pre").text == SHOWN
    assert [row[0] for row in page.one("table", data_classes="0").rows()[1:3]] == [f"{SHOWN} 0", f"{SHOWN} 1"]
    assert lookup_of(page)["networks"][0]["name"] == SHOWN
    assert SHOWN.replace("`", "") in page.one("section", id="remarks").text
    assert SHOWN in {row[0] for one in page.find("details") for table in one.find("table") for row in table.rows()}


def rendered(source: str, value: object) -> str:
    """A template as the page renders its own."""
    return _environment().from_string(source).render(value=value)


@given(st.text())
def test_any_text_stays_text(text: str) -> None:
    cell = read_page(rendered('<td data-name="{{ value }}">{{ value }}</td>', text)).one("td")
    shown = "".join(character if character.isprintable() else "\ufffd" for character in text)
    assert (cell.text, cell.attributes, cell.children) == (shown, {"data-name": shown}, [shown] if shown else [])


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_stays_json_and_ends_no_element(value: object) -> None:
    text = rendered("{{ value|tojson }}", value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&'")


def test_templates_escape_all_but_the_script_and_the_style() -> None:
    templates = files("flame_metric.report").joinpath("templates").iterdir()
    source = "".join(template.read_text(encoding="utf-8") for template in templates)
    assert re.findall(r"\w+ ?\| ?(?:safe|string|forceescape)", source) == ["style|safe", "script|safe"]
    assert "autoescape" not in source


def test_there_are_no_handlers_no_styles_and_no_addresses(hostile: str, html: str) -> None:
    for text in (hostile, html):
        for one in read_page(text).find():
            assert not {name for name in one.attributes if name == "style" or name.startswith("on")}
            for name in ("src", "href", "action", "data"):
                assert one.attributes.get(name, "#").startswith(("#", "data:")), one.attributes


def test_the_policy_names_the_blocks_of_the_page(html: str, hostile: str) -> None:
    for text in (html, hostile):
        page = read_page(text)
        policy = page.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
        directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
        assert directives["default-src"] == "'none'"
        assert directives["img-src"] == "data:"
        (style,), (_, script) = page.find("style"), page.find("script")
        for kind, block in (("style-src", style), ("script-src", script)):
            digest = base64.b64encode(hashlib.sha256(block.text.encode()).digest()).decode()
            assert directives[kind] == f"'sha256-{digest}'"
        head = page.one("head").find()
        assert [one.tag for one in head[1:4]] == ["meta", "meta", "meta"]  # nothing stands before the policy that loads


def test_the_same_page_from_the_same_scores(html: str) -> None:
    assert report_page({"net": Small().evaluation()}, command="flame-metric report net.json net.npz") == html


def test_a_name_that_is_no_text_of_any_encoding(tmp_path) -> None:
    write_report(tmp_path / "page.html", {"net\udc80": Small().evaluation()})
    assert "<h1>net\ufffd</h1>" in (tmp_path / "page.html").read_text(encoding="utf-8")


# ── for all readers ──


def test_the_structure_is_sound(html: str, hostile: str) -> None:
    for page in (read_page(html), read_page(hostile)):
        ids = [one.attributes["id"] for one in page.find(id=None)]
        assert len(ids) == len(set(ids))
        for one in page.find():
            for name in ("aria-labelledby", "for"):
                assert one.attributes.get(name, ids[0]) in ids
        assert len(page.find("main")) == len(page.find("h1")) == 1
        assert page.one("html").attributes["lang"] == "en"
        levels = [int(one.tag[1]) for one in page.find() if re.fullmatch("h[1-6]", one.tag)]
        assert all(after - before <= 1 for before, after in pairwise(levels))
        for table in page.find("table"):
            assert table.one("caption").text
            width = {len(row) for row in table.rows()}
            assert len(width) == 1
        for drawing in page.find("svg"):
            assert "aria-hidden" in drawing.attributes or drawing.find("title")
        for control in page.find("input", type="range"):
            assert page.find("label", for_=control.attributes["id"])
        for fieldset in page.find("fieldset"):
            assert fieldset.one("legend").text


def luminance(colour: str) -> float:
    values = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(first: str, second: str) -> float:
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_have_the_contrast_of_wcag_aa_in_both_themes() -> None:
    css = files("flame_metric.report").joinpath("page.css").read_text(encoding="utf-8")
    blocks = [
        dict(re.findall(r"--([a-z0-9]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r"\{([^{}]*--paper:[^{}]*)\}", css)
    ]
    light, dark, chosen_dark, _ = blocks  # and print
    assert dark == chosen_dark
    for colours in (light, dark):
        for ground in ("paper", "card", "hover"):
            for name in ("ink", "soft", "static", "flame", "stream", "late", *(f"n{place}" for place in range(8))):
                least = 4.5 if ground != "hover" or name in ("ink", "soft", "flame", "stream") else 3
                assert contrast(colours[name], colours[ground]) >= least, (name, ground)
