"""Feeds damaged and hostile files to whatever reads files, and says where a promise of SECURITY.md is broken.

``python tools/fuzz.py --target all --executions 100000`` prints a table, and exits with 1 if anything was found. Inputs
that break a promise are kept in a folder, each with the command that runs it again. ``--engine atheris`` follows the
coverage of the code (``pip install '.[fuzz]'``), the default changes files at random; both know the formats, and mend
checksums.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fuzzing.engine import ENGINES, Job, Report, fuzz, replay

_VERSIONS = ("numpy", "pillow", "torch", "atheris")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.executions < 1:
        parser.error(f"--executions is {arguments.executions}, expected 1 or more")
    if arguments.replay is not None and (arguments.target == "all" or not arguments.replay.is_file()):
        parser.error(f"--replay {arguments.replay} needs that file, and --target, which is to read it")
    from fuzzing.targets import TARGETS  # noqa: PLC0415 - a new process instruments it first

    names = [name for name in TARGETS if arguments.target in (name, "all")]
    if not names:
        print(f"there is no target {arguments.target!r}, expected all or one of {', '.join(TARGETS)}")
        return 2
    if arguments.replay is not None:
        replay(names[0], arguments.replay)
        print(f"{arguments.replay} was read, and is sound")
        return 0
    print(_machine())
    print("\n| target | engine | executions | accepted | refused | findings | bound MiB | peak MiB | s |")
    print("| :-- | :-- | --: | --: | --: | --: | --: | --: | --: |", flush=True)
    found: list[Report] = []
    for name in names:
        if not TARGETS[name].is_possible:
            print(f"| {name} | needs {', '.join(TARGETS[name].needs)} | | | | | | | |", flush=True)
            continue
        job = Job(name, arguments.engine, arguments.executions, arguments.seed, arguments.findings)
        report = fuzz(job)
        found.append(report)
        numbers = f"{report.executions:,} | {report.accepted:,} | {report.refused:,} | {len(report.findings)}"
        memory = f"{TARGETS[name].most_mib} | {report.peak_mib:.0f}"
        print(f"| {name} | {job.engine} | {numbers} | {memory} | {report.seconds:.0f} |", flush=True)
    for report in found:
        for finding in report.findings:
            again = f"python tools/fuzz.py --target {report.target} --replay {finding.file}"
            print(f"\n{report.target}: {finding.what}\n  {again}")
    return 1 if any(report.findings for report in found) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fuzz.py", description=__doc__)
    parser.add_argument("--target", default="all", metavar="NAME", help="all (default), or one of them")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="default: %(default)s")
    parser.add_argument(
        "--executions", type=int, default=2000, metavar="N", help="changed inputs of each target (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of all that is drawn (default: %(default)s)")
    parser.add_argument(
        "--findings",
        type=Path,
        default=Path("build/fuzz"),
        metavar="DIR",
        help="where inputs go (default: %(default)s)",
    )
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run --target on one input, with its traceback")
    return parser


def _machine() -> str:
    parts = [f"Python {platform.python_version()}"]
    for package in _VERSIONS:
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            parts.append(f"no {package}")
    return ", ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
