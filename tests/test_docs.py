"""The documentation works as it stands there, and leaves no public name out."""

import ast
import re
from importlib.util import find_spec

import pytest

import flame_metric
from flame_metric import networks as models
from flame_metric.cli import _parser
from pages import DOCS, PAGES, README, ROOT, blocks, commands, run_session, session

NEEDS = {  # what the sessions of some pages need beside the base install
    "comparison.md": ("torch", "torchmetrics"),
    "figures.md": ("jinja2",),
    "quickstart.md": ("torch", "torchmetrics"),
}
WITH_A_SESSION = [page for page in PAGES if session(page).examples]
DOCUMENTED = [
    name
    for page in (DOCS / "api").glob("*.md")
    for name in re.findall(
        r"^\.\. (?:autoclass|autofunction|autoexception|autodata|py:data):: (\S+)", page.read_text(), re.M
    )
]


def title(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", WITH_A_SESSION, ids=title)
def test_session(page, tmp_path, monkeypatch):
    for package in NEEDS.get(page.name, ()):
        pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    assert run_session(page) == ""


@pytest.mark.parametrize("page", [page for page in PAGES if list(commands(page))], ids=title)
def test_commands_are_understood(page):
    for words in commands(page):
        try:
            _parser().parse_args(words)
        except SystemExit:
            pytest.fail(f"no such command: flame-metric {' '.join(words)}")


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_what_is_shown_is_run(page):
    """Programs are run by other tests, those of the README, of recipes and of figures; all else is a session."""
    if page not in (README, DOCS / "figures.md") and page.parent.name != "recipes":
        assert [block.line for block in blocks(page) if block.language == "python"] == []
    assert not re.search(r"^ +```", page.read_text(encoding="utf-8"), re.MULTILINE), "an indented block is not found"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"], ids=title)
def test_links_lead_to_files(page):
    for link in re.findall(r"\]\(([^)#:\s]+)[^):]*\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link


def test_public_names_are_documented_once():
    assert sorted(DOCUMENTED) == sorted(set(DOCUMENTED))
    public = [f"flame_metric.{name}" for name in (*flame_metric.__all__, *flame_metric._ON_FIRST_USE)]
    public += [f"flame_metric.networks.{name}" for name in models._ON_FIRST_USE if name not in flame_metric.__all__]
    assert sorted(set(public) - set(DOCUMENTED)) == [], "docs/api says nothing of these"


def imported(source):
    """Names of this package that a program imports, with their modules."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "flame_metric":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_names_that_are_shown_are_documented(page):
    programs = [block.text for block in blocks(page) if block.language == "python"]
    programs += [example.source for example in session(page).examples]
    assert {name for program in programs for name in imported(program)} <= set(DOCUMENTED)


@pytest.mark.parametrize("name", [name for name in DOCUMENTED if name.count(".") == 1])
def test_documented_names_are_there(name):
    needed = flame_metric._ON_FIRST_USE.get(name.removeprefix("flame_metric."), ("", None))[1]
    if needed is not None and find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed")
    assert hasattr(flame_metric, name.removeprefix("flame_metric."))
