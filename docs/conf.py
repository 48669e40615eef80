"""How Sphinx builds these pages: offline, from Markdown and docstrings, with every warning an error (`make docs`)."""

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.writers.html5 import HTML5Translator

from flame_metric import __version__

project = "flame-metric"
author = "The flame-metric developers"
copyright = author
release = version = __version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(Import|Runtime|Value)Error|Exception|UserWarning|contextlib\..*|torch(metrics)?\..*"),  # others' pages
    ("py:mod", r"flame_metric\..*"),  # modules that have no section of their own
]
default_role = "code"
smartquotes = False
toc_object_entries_show_parents = "hide"

# Markdown
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# Docstrings: their types are told in words, with shapes and units, so signatures do not repeat them.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autosummary_generate = False
numpydoc_show_class_members = False

# HTML
html_theme = "furo"
pygments_dark_style = "github-dark"
highlight_language = "none"  # of blocks that do not say: commands
html_title = f"flame-metric {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_math_renderer = "mathml"


def _visit_inline_math(writer: HTML5Translator, node: nodes.math) -> None:
    writer.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def _visit_block_math(writer: HTML5Translator, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="equation">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def _plain_headings(_: Sphinx, what: str, name: str, found: object, options: object, lines: list[str]) -> None:
    """Turn the sections of a module's docstring into headings without a target: several modules have the same."""
    for place in range(len(lines) - 1):
        if what == "module" and lines[place] and lines[place + 1] == "-" * len(lines[place]):
            lines[place : place + 2] = [f".. rubric:: {lines[place]}", ""]


def _by_last_name(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, shown: nodes.TextElement
) -> nodes.reference | None:
    """Find names as docstrings give them: without a module, or with that in which they are defined."""
    if node.get("refdomain") != "py" or node.get("refspecific"):
        return None
    node["refspecific"] = True  # wherever it is documented
    names = [node["reftarget"], node["reftarget"].rpartition(".")[2]]
    domain = env.domains.python_domain
    found = (
        domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], name, node, shown) for name in names
    )
    return next((reference for reference in found if reference is not None), None)


def setup(app: Sphinx) -> None:
    """Write formulas as MathML, which browsers draw by themselves: no script, no font, nothing to download."""
    app.add_html_math_renderer("mathml", (_visit_inline_math, None), (_visit_block_math, None))
    app.connect("autodoc-process-docstring", _plain_headings)
    app.connect("missing-reference", _by_last_name)
