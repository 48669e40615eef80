"""Feeds damaged and hostile files to whatever reads files, and says where a promise of SECURITY.md is broken.

``python tools/fuzz.py --examples 10000`` hands every target its seeds, the files that were made by hand to do harm, and
files that hypothesis changes; it exits with 1 if anything was found. ``--engine atheris`` lets the coverage of the code
choose the changes (``pip install '.[fuzz]'``). A file that breaks a promise is kept; ``--replay FILE`` reads it again.

A finding is any exception that is none of this package's, a value that breaks a promise, a file that takes longer than
`MOST_SECONDS`, memory above the bound of the target, or a process that dies.
"""

from __future__ import annotations

import argparse
import hashlib
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

import hypothesis

sys.path.append(str(Path(__file__).parents[1] / "tests" / "helpers"))  # files made by hand, and the decoder of PNG

ENGINES = ("hypothesis", "atheris")
MOST_SECONDS = 60
"""One file takes milliseconds: so much is a hang on any machine."""
_STATUS = Path("/proc/self/status")


class HangError(BaseException):
    """A file takes too long; no reader catches this."""


def read(target: Any, content: bytes, folder: Path, findings: Path) -> bool:
    """Return whether a target reads a file; keep what breaks a promise, and raise what it raised."""
    from flame_metric.errors import FlameError  # noqa: PLC0415 - after atheris has instrumented it

    signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
    before = _peak_mib()
    try:
        try:
            target.run(content, folder)
        except FlameError as error:
            if ran_out := _memory_error(error):
                raise ran_out from error
            if not str(error).strip():
                raise ValueError(f"{type(error).__name__} without a message") from error
            return False
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            if (more := _peak_mib() - before) > target.most_mib:
                raise MemoryError(f"{more:.0f} MiB more, expected at most {target.most_mib}")
    except BaseException as error:
        findings.mkdir(parents=True, exist_ok=True)
        file = findings / f"{target.name}-{hashlib.sha256(content).hexdigest()[:12]}"
        file.write_bytes(content)
        error.add_note(f"python tools/fuzz.py --target {target.name} --replay {file}")
        raise
    return True


def law(target: Any, folder: Path, findings: Path, *, examples: int, seed: int = 0) -> Callable[[], None]:
    """Return the law that whatever is read is sound; the seeds, and files made by hand, are its first examples."""
    from fuzzing.changes import changed  # noqa: PLC0415 - as above

    seeds = target.seeds(folder)
    for content in seeds:
        if not read(target, content, folder, findings):
            raise ValueError(f"{target.name} refuses its own files, and would test nothing")

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],  # what is found is kept as it is
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(changed(seeds, target.parts))
    def holds(content: bytes) -> None:
        hypothesis.event("read" if read(target, content, folder, findings) else "refused")

    for content in target.hostile(seeds):
        read(target, content, folder, findings)
    return holds


def _stop(signum: int, frame: FrameType | None) -> None:
    raise HangError(f"longer than {MOST_SECONDS} s")


def _memory_error(error: BaseException | None) -> MemoryError | None:
    """Return the error of memory behind another one; not that of Python's parser, which says so of depth."""
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        if isinstance(error, MemoryError) and not (frames and Path(frames[-1].filename).name == "ast.py"):
            return error
        error = error.__cause__ or error.__context__
    return None


def _peak_mib() -> float:
    """Return the most memory that this process has had, in MiB; 0 where the system does not tell."""
    return int(_STATUS.read_bytes().partition(b"VmHWM:")[2].split()[0]) / 2**10 if _STATUS.exists() else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="fuzz.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--target", default="all", metavar="NAME", help="all (default), or one of them")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="default: %(default)s")
    parser.add_argument("--examples", type=int, default=2000, metavar="N", help="a target (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: %(default)s)")
    parser.add_argument("--findings", type=Path, default=Path("build/fuzz"), help="folder (default: %(default)s)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="have --target read it, with its traceback")
    options = parser.parse_args(argv)
    if options.engine == "atheris":
        import atheris  # noqa: PLC0415 - an extra
    with atheris.instrument_imports(include=["flame_metric"]) if options.engine == "atheris" else nullcontext():
        from fuzzing.targets import TARGETS  # noqa: PLC0415
    if options.examples < 1 or options.target not in ("all", *TARGETS) or (options.replay and options.target == "all"):
        parser.error(f"expected --examples above 0, and --target one of {', '.join(TARGETS)}, or all without --replay")
    if options.target == "all":  # each in a process of its own, which may die
        words = ["--engine", options.engine, "--examples", str(options.examples), "--seed", str(options.seed)]
        words += ["--findings", str(options.findings)]
        codes = [subprocess.call([sys.executable, __file__, "--target", name, *words]) for name in TARGETS]
        return 1 if any(codes) else 0
    target = TARGETS[options.target]
    if not target.is_possible:
        print(f"{target.name}: needs {', '.join(target.needs)}", flush=True)
        return 0
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning is not an error, and must not hide one
        if options.replay:
            target.seeds(Path(folder))
            target.run(options.replay.read_bytes(), Path(folder))
            print(f"{options.replay} was read, and is sound")
            return 0
        holds: Any = law(target, Path(folder), options.findings, examples=options.examples, seed=options.seed)
        print(f"{target.name}: {options.examples:,} examples, {options.engine}", flush=True)
        if options.engine == "atheris":  # ends the process: with 0, or with what was found
            corpus = Path(folder, "corpus")
            corpus.mkdir()
            for number in range(16):  # what hypothesis draws from
                (corpus / f"{number}").write_bytes(Random(options.seed + number).randbytes(256))
            words = [f"-runs={options.examples}", f"-seed={options.seed + 1}", "-rss_limit_mb=0", "-verbosity=0"]
            words += [f"-artifact_prefix={folder}/", str(corpus)]
            atheris.Setup([sys.argv[0], *words], holds.hypothesis.fuzz_one_input)
            atheris.Fuzz()
        holds()
    return 0


if __name__ == "__main__":
    sys.exit(main())
