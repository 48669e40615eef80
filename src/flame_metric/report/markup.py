"""HTML that is safe by construction: text becomes markup in one function, which escapes it.

An element is built from children: what is :class:`Markup` already stays as it is, any other text is escaped. So a name
from outside cannot become more than text, whoever forgets what. Nothing in a page may run or load but the blocks whose
hashes its policy names.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable
from typing import Any

from flame_metric.core.tables import printable

__all__ = ["Markup", "content_policy", "element", "escape", "joined", "json_text"]

_VOID = frozenset({"br", "hr", "img", "input", "meta"})  # elements without content and end
_UNSAFE = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


class Markup(str):
    """Text that is HTML."""

    __slots__ = ()


Child = str | int | None


def escape(text: Child) -> Markup:
    """Return text as HTML: the only way from one to the other. Control characters and the like become U+FFFD.

    Examples
    --------
    >>> escape('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    >>> escape(Markup("<b>"))
    '<b>'
    """
    if isinstance(text, Markup):
        return text
    return Markup("" if text is None else html.escape(printable(str(text)), quote=True))


def element(tag: str, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """Return an element; children are escaped unless they are markup, attributes always are.

    Parameters
    ----------
    tag : str
        Its name.
    *children : str, int or None
    **attributes
        ``_`` in a name stands for ``-``, one at its end for nothing (``class_``); True is an attribute without a
        value, False and None are none.

    Examples
    --------
    >>> element("p", "a < b", element("br"), class_="note", aria_label='"', hidden=True)
    '<p class="note" aria-label="&quot;" hidden>a &lt; b<br></p>'
    """
    written = []
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        name = name.rstrip("_").replace("_", "-")  # noqa: PLW2901
        if name == "style" or name.startswith("on"):  # neither would get past the policy of the page
            raise ValueError(f"the attribute {name!r} of <{tag}>: expected classes and listeners")
        written.append(f" {name}" if value is True else f' {name}="{html.escape(printable(str(value)), quote=True)}"')
    start = f"<{tag}{''.join(written)}>"
    return Markup(start if tag in _VOID else f"{start}{joined(children)}</{tag}>")


def joined(parts: Iterable[Child], between: str = "") -> Markup:
    """Return parts one after the other, each escaped unless it is markup."""
    return Markup(escape(between).join(escape(part) for part in parts))


def json_text(value: Any) -> Markup:
    r"""Return JSON that may stand in a ``<script>`` element: nothing in it can end that, or begin another.

    Examples
    --------
    >>> json_text({"name": "</script>"})
    '{"name":"\\u003c/script\\u003e"}'
    """
    return Markup(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_UNSAFE))


def content_policy(*, styles: Iterable[str], scripts: Iterable[str]) -> str:
    """Return a Content-Security-Policy under which only these blocks work and only embedded images are shown."""
    allowed = {
        kind: " ".join(f"'sha256-{_digest(text)}'" for text in texts)
        for kind, texts in (("style", styles), ("script", scripts))
    }
    return (
        f"default-src 'none'; img-src data:; style-src {allowed['style']}; script-src {allowed['script']}; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
