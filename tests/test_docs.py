"""The documentation works as it stands there."""

import re

import pytest

from flame_metric.cli import _parser
from pages import PAGES, README, ROOT, blocks, commands, run_session, session

NEEDS: dict[str, tuple[str, ...]] = {}  # what the sessions of some pages need beside the base install
WITH_A_SESSION = [page for page in PAGES if session(page).examples]


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
    """Programs are run by other tests, those of the README and of recipes; all else is shown as a session."""
    if page != README and page.parent.name != "recipes":
        assert [block.line for block in blocks(page) if block.language == "python"] == []
    assert not re.search(r"^ +```", page.read_text(encoding="utf-8"), re.MULTILINE), "an indented block is not found"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"], ids=title)
def test_links_lead_to_files(page):
    for link in re.findall(r"\]\(([^)#:\s]+)[^):]*\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link
