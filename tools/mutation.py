"""Mutation testing: each small change of the code that counts has to make a test fail.

``python tools/mutation.py [MODULE ...]`` runs mutmut on the modules that its settings in ``pyproject.toml`` name, or on
some of them; prints a table; and compares the mutants that no test noticed with ``benchmarks/mutants.md``, which says
of each why it is not a fault. It exits with 1 if one is missing there, or if less than 95 % of the mutants of a module
were noticed.

A mutant is named by its function and its lines that differ: ``iou._divide: np.divide(part, None, ...)``.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

ROOT = Path(__file__).parents[1]
EXPLAINED = ROOT / "benchmarks" / "mutants.md"
LEAST_PERCENT = 95
NOTICED = ("killed", "timeout")  # by a test that failed, or that went on for several times as long as it should
MOST_BYTES = 12_000_000_000  # of address space: a loop without end that fills a list is stopped by this
MUTMUT = str(Path(sys.executable).with_name("mutmut"))

_RESULT = re.compile(r"\s*(?P<name>\S+\.(?P<module>\w+)\.x\S+): (?P<status>.+)")
_FUNCTION = re.compile(r"\.x(?:_|ǁ(?P<owner>\w+)ǁ)(?P<function>\w+)__mutmut_\d+$")
_BLOCK = re.compile(r"^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Tally:
    """What became of the mutants of one module."""

    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def mutants(self) -> int:
        """All of them; one that no test runs is as bad as one that all tests pass."""
        return self.statuses.total()

    @property
    def percent(self) -> float:
        """Share of them that a test noticed, or that made one last too long; 0 if there are none: nothing was tried."""
        return 100 * sum(self.statuses[status] for status in NOTICED) / max(1, self.mutants)


def modules() -> dict[str, str]:
    """Return the modules that are changed, and their files."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {Path(file).stem: file for file in settings["tool"]["mutmut"]["only_mutate"]}


def read_results(text: str) -> dict[str, dict[str, str]]:
    """Read what ``mutmut results --all`` prints: the status of each mutant, by module and name."""
    results: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        if found := _RESULT.fullmatch(line):
            results.setdefault(found["module"], {})[found["name"]] = found["status"]
    return results


def mutant_key(module: str, name: str, diff: str) -> str:
    """Name a mutant by its function and the lines that differ, which stay as they are when others come and go."""
    found = _FUNCTION.search(name)
    if not found:
        raise ValueError(f"`name` is {name!r}, expected the name of a mutant of a function")
    function = ".".join(part for part in (module, found["owner"], found["function"]) if part)
    lines = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
    added = [line[1:].strip() for line in lines if line[0] == "+"]
    return f"{function}: {' '.join(added or ['without', *(line[1:].strip() for line in lines)])}"


def read_explained(text: str) -> Counter[str]:
    """Read the mutants in the blocks of ``benchmarks/mutants.md``."""
    return Counter(line for block in _BLOCK.findall(text) for line in block.splitlines() if line)


def table(tallies: Mapping[str, Tally]) -> str:
    """Return what became of the mutants as a table in Markdown."""
    rows = ["| module | mutants | killed | timed out | survived | score |", "| :-- | --: | --: | --: | --: | --: |"]
    everything = Tally(sum((tally.statuses for tally in tallies.values()), Counter()))
    for name, tally in [*tallies.items(), ("all", everything)]:
        killed, late = tally.statuses["killed"], tally.statuses["timeout"]
        numbers = f"{tally.mutants} | {killed} | {late} | {tally.mutants - killed - late} | {tally.percent:.1f} %"
        rows.append(f"| {name} | {numbers} |")
    return "\n".join(rows)


def faults(tallies: Mapping[str, Tally], survivors: Iterable[str], explained: Counter[str]) -> list[str]:
    """Say what is wrong: survivors without a reason, reasons without a survivor, and low scores."""
    found = Counter(survivors)
    wrong = [f"no test notices, and {EXPLAINED.name} does not explain: {key}" for key in (found - explained).elements()]
    ours = Counter({key: times for key, times in explained.items() if key.split(".")[0] in tallies})
    wrong += [f"{EXPLAINED.name} explains what did not survive: {key}" for key in (ours - found).elements()]
    wrong += [
        f"{name}: {tally.percent:.1f} % were noticed, expected at least {LEAST_PERCENT} %"
        for name, tally in tallies.items()
        if tally.percent < LEAST_PERCENT
    ]
    return wrong


def _mutmut(*arguments: str) -> str:
    return subprocess.run([MUTMUT, *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def main(argv: Sequence[str] | None = None) -> int:
    """Run mutmut and check what it found."""
    known = modules()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"{', '.join(known)}; default: all")
    parser.add_argument("--jobs", type=int, default=2, help="mutants that are tested at a time (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="only look at what the last run found")
    options = parser.parse_args(argv)
    if unknown := sorted(set(options.modules) - set(known)):
        parser.error(f"no such module: {', '.join(unknown)}; expected some of {', '.join(known)}")
    wanted = options.modules or list(known)

    if not options.check:
        shutil.rmtree(ROOT / "mutants", ignore_errors=True)  # what was found of other code or with other tests
        if resource is not None:
            resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
        command = [MUTMUT, "run", "--max-children", str(options.jobs)]
        names = (known[module].removeprefix("src/").removesuffix(".py") for module in options.modules)
        command += [f"{name.replace('/', '.')}.*" for name in names]
        order = {"PYTHONHASHSEED": "0"}  # mutmut has the tests in a set, and the first that fails ends the search
        subprocess.run(command, cwd=ROOT, env=os.environ | order, check=True)

    results = read_results(_mutmut("results", "--all", "true"))
    if missing := [module for module in wanted if not results.get(module)]:
        print(
            f"mutmut has no results of {', '.join(missing)}: it was not run on them; leave out --check", file=sys.stderr
        )
        return 1
    tallies = {module: Tally(Counter(results[module].values())) for module in wanted}
    survivors = [
        mutant_key(module, name, _mutmut("show", name))
        for module in wanted
        for name, status in results[module].items()
        if status not in NOTICED
    ]
    print(table(tallies))
    wrong = faults(tallies, survivors, read_explained(EXPLAINED.read_text(encoding="utf-8")))
    print("\n".join(["", *wrong] if wrong else ["", f"Each mutant was noticed, or is explained in {EXPLAINED.name}."]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
