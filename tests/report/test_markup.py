"""Text becomes HTML in one place, and nothing in it becomes more than text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric.report.markup import Markup, content_policy, element, escape, joined, json_text
from page_reading import read_page

HOSTILE = ("<script>", "</script>", '"', "'", "&lt;", "<!--", "]]>", "\x00\x1b[31m", "a\u202eb", "\u2028", "=cmd", "")


@pytest.mark.parametrize("text", HOSTILE)
def test_text_stays_text(text: str) -> None:
    page = read_page(element("p", text, title=text))
    paragraph = page.one("p")
    shown = "".join(character if character.isprintable() else "\ufffd" for character in text)
    assert paragraph.text == shown
    assert paragraph.attributes["title"] == shown
    assert len(page.find()) == 2  # the root and the paragraph


@given(st.text())
def test_any_text_stays_text(text: str) -> None:
    html = element("td", text, data_name=text)
    assert len(read_page(html).find()) == 2
    assert escape(escape(text)) == escape(text)


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_stays_json_and_ends_no_element(value: object) -> None:
    text = json_text(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")


def test_elements() -> None:
    assert element("img", alt="a", hidden=False, width=3) == '<img alt="a" width="3">'
    assert element("td", 1, None, Markup("<b>"), element("br")) == "<td>1<b><br></td>"
    assert joined(["<", Markup("<")], ", ") == "&lt;, <"
    assert element("label", for_="x", aria_label="y", class_=None) == '<label for="x" aria-label="y"></label>'


@pytest.mark.parametrize("name", ["style", "onclick", "onload"])
def test_what_the_policy_would_block_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"the attribute '{name}' of <p>"):
        element("p", **{name: "x"})


def test_the_policy_names_hashes() -> None:
    policy = content_policy(styles=[""], scripts=["a", "b"])
    assert policy.startswith(
        "default-src 'none'; img-src data:; style-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=';"
    )
    assert policy.count("sha256-") == 3
    assert "unsafe" not in policy
