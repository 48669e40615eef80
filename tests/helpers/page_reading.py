"""Reads an HTML page with the standard library: elements in a tree, their text, tables as rows of text."""

import json
from html.parser import HTMLParser

VOID = {"br", "hr", "img", "input", "link", "meta"}


class Element:
    def __init__(self, tag, attributes):
        self.tag, self.attributes, self.children = tag, attributes, []

    def __iter__(self):
        """This element and all in it, in the order of the page."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child

    @property
    def text(self):
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def find(self, tag=None, **attributes):
        """All in it with this tag and these attributes; ``data_x`` stands for data-x, None for any value."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [
            one
            for one in self
            if tag in (None, one.tag)
            and all(
                name in one.attributes and value in (None, one.attributes[name], *words(one, name))
                for name, value in wanted.items()
            )
        ]

    def one(self, tag=None, **attributes):
        (found,) = self.find(tag, **attributes)
        return found

    def rows(self):
        """The rows of a table, as text."""
        return [[cell.text for cell in row.children if isinstance(cell, Element)] for row in self.find("tr")]


def words(element, name):
    return element.attributes[name].split() if name == "class" else ()


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data):
        self.open[-1].children.append(data)


def read_page(html):
    """The page as a tree; every element must be closed, in order."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == [reader.root]
    return reader.root


def lookup_of(page):
    """What the script looks up."""
    return json.loads(page.one("script", id="lookup").text)
