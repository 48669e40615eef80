"""Runs a target on many inputs, in a process of its own, and watches: what it raises, how long it takes, its memory.

A finding is any exception that is none of this package's, a value that breaks a promise, an input that takes longer
than `MOST_SECONDS`, memory above the bound of the target, or a process that dies.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

__all__ = ["ENGINES", "Finding", "Job", "Report", "fuzz", "replay"]

ENGINES = ("mutations", "atheris")
MOST_SECONDS = 60
"""One input takes milliseconds: so much is a hang on any machine."""

_MOST_BYTES = 1_000_000
_FAST = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112 - files in memory, where there are such
_STATUS = Path("/proc/self/status")
_POOL = 300  # inputs that were read and are changed further


class HangError(BaseException):
    """An input takes too long; no reader catches this."""


@dataclass(frozen=True)
class Job:
    """What is to be run.

    Attributes
    ----------
    target : str
    engine : str
        One of `ENGINES`.
    executions : int
        Inputs that are changed; those that are read, and those made by hand, come first.
    seed : int
    findings : Path
        Folder for inputs that broke a promise.
    """

    target: str
    engine: str
    executions: int
    seed: int
    findings: Path


@dataclass(frozen=True)
class Finding:
    """An input that broke a promise."""

    what: str
    file: Path


@dataclass
class Report:
    """What came of a job.

    Attributes
    ----------
    executions, accepted, refused : int
    peak_mib : float
        By how much memory rose above what the seeds take.
    seconds : float
    findings : list of Finding
        One for each place where something breaks.
    """

    target: str
    executions: int = 0
    accepted: int = 0
    refused: int = 0
    peak_mib: float = 0.0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)


def fuzz(job: Job) -> Report:
    """Run a job in a new process, and return what it found; a process that dies is a finding."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=_FAST) as folder:
        process = context.Process(target=_work, args=(job, Path(folder), sender))
        begun = time.monotonic()
        process.start()
        sender.close()
        died = None
        while not receiver.poll(1):
            if not process.is_alive() and not receiver.poll(0):
                died = f"the process died (exit code {process.exitcode})"
                break
            if _silent_for(Path(folder, "input")) > 3 * MOST_SECONDS:
                process.kill()
                died = f"an input takes longer than {MOST_SECONDS} s, in code that no signal interrupts"
                break
        try:
            found: Report | str = receiver.recv() if died is None else died
        except EOFError:
            process.join()
            found = f"the process died (exit code {process.exitcode})"
        process.join()
        if isinstance(found, str):
            file = Path(folder, "input")
            content = file.read_bytes() if file.exists() else b""
            found = Report(job.target, findings=[_kept(job, found, content)])
        found.seconds = time.monotonic() - begun
        return found


def replay(target: str, file: Path) -> None:
    """Run a target on one file, in this process."""
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=_FAST) as folder:
        chosen = _target(target)
        list(chosen.seeds(Path(folder)))
        chosen.run(file.read_bytes(), Path(folder))


def _target(name: str) -> Any:
    return importlib.import_module("fuzzing.targets").TARGETS[name]


def _silent_for(file: Path) -> float:
    return time.time() - file.stat().st_mtime if file.exists() else 0.0


def _kept(job: Job, what: str, content: bytes) -> Finding:
    job.findings.mkdir(parents=True, exist_ok=True)
    file = job.findings / f"{job.target}-{hashlib.sha256(content).hexdigest()[:12]}"
    file.write_bytes(content)
    return Finding(what, file)


# ── in the new process ──


def _work(job: Job, folder: Path, sender: Connection) -> None:
    os.environ["HOME"] = str(folder)
    if job.engine == "atheris":
        import atheris  # noqa: PLC0415 - optional

        # Each module is told on standard error.
        with contextlib.redirect_stderr(io.StringIO()), atheris.instrument_imports(include=["flame_metric"]):
            target = _target(job.target)
    else:
        target = _target(job.target)
    warnings.simplefilter("ignore")  # a warning is no error, and must not hide one
    seeds = list(target.seeds(folder))
    for seed in seeds * 2:
        target.run(seed, folder)  # a target that refuses its own files would test nothing
    with _Watch(job, target, folder) as watch:
        if job.engine == "atheris":
            _guided(job, watch, seeds, sender)
        pool = list(seeds)
        for content in _inputs(job, target, seeds, pool):
            if watch.reads(content) and len(content) < _MOST_BYTES and len(pool) < _POOL:
                pool.append(content)
        sender.send(watch.report)


def _inputs(job: Job, target: Any, seeds: Sequence[bytes], pool: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the seeds, what was made by hand, and as many mutations of what was read as are asked for."""
    yield from seeds
    yield from target.hostile(seeds)
    draw = Random(f"{job.target} {job.seed}")
    for _ in range(job.executions):
        yield target.mutate(draw, draw.choice(pool))


def _guided(job: Job, watch: _Watch, seeds: Sequence[bytes], sender: Connection) -> None:
    """Let the coverage of the code choose which inputs are changed further; this never returns."""
    import atheris  # noqa: PLC0415 - optional

    target, corpus, pool = watch.target, watch.folder / "corpus", list(seeds)
    corpus.mkdir()
    for number, content in enumerate([*seeds, *target.hostile(seeds)]):
        if watch.reads(content) and len(content) < _MOST_BYTES:  # what is refused is changed into what is refused
            (corpus / f"{number:05}").write_bytes(content)
    last = watch.report.executions + job.executions

    def one(content: bytes) -> None:
        if watch.reads(bytes(content)) and len(pool) < _POOL:
            pool.append(bytes(content))
        if watch.report.executions >= last:
            sender.send(watch.report)
            os._exit(0)  # libFuzzer knows no other end that leaves this process its say

    def mutate(content: bytes, limit: int, seed: int) -> bytes:
        draw = Random(seed)
        # libFuzzer prefers what is short, which soon is no file of this kind any more.
        chosen = bytes(content) if draw.randrange(2) else draw.choice(pool)
        changed = atheris.Mutate(chosen, limit) if draw.random() < 0.2 else target.mutate(draw, chosen)
        return bytes(changed[:limit])

    options = ("-rss_limit_mb=0", "-timeout=0", "-verbosity=0", "-mutate_depth=1", "-reduce_inputs=0")
    numbers = (f"-seed={job.seed + 1}", f"-max_len={_MOST_BYTES}", f"-artifact_prefix={watch.folder}/")
    arguments = [sys.argv[0], *numbers, *options, str(corpus)]
    atheris.Setup(arguments, one, custom_mutator=mutate)
    atheris.Fuzz()


class _Watch:
    """Runs a target on one input after the other."""

    def __init__(self, job: Job, target: Any, folder: Path) -> None:
        from flame_metric.errors import FlameError  # noqa: PLC0415 - after the code is instrumented

        self.target, self.folder, self._job, self._errors = target, folder, job, FlameError
        self._input = (folder / "input").open("wb", buffering=0)
        self._base, self._known = _memory(), set[str]()
        self.report = Report(job.target)

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self._input.close()

    def reads(self, content: bytes) -> bool:
        """Run the target on an input, and return whether it was read."""
        report = self.report
        self._input.seek(0)
        self._input.write(content)  # what is left of a process that dies
        self._input.truncate()
        signal.signal(signal.SIGALRM, _interrupted)
        signal.setitimer(signal.ITIMER_REAL, MOST_SECONDS)
        broken: BaseException | None = None
        is_read = False
        try:
            self.target.run(content, self.folder)
            is_read = True
        except self._errors as error:
            broken = _hidden(error)
        except (Exception, HangError) as error:
            broken = error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        report.executions += 1
        report.accepted += is_read
        report.refused += not is_read and broken is None
        if broken is not None:
            self._find(broken, content)
        peak = _memory() - self._base
        if peak > max(self.target.most_mib, report.peak_mib):
            self._find(MemoryError(f"{peak:.0f} MiB more, expected at most {self.target.most_mib}"), content)
        report.peak_mib = max(report.peak_mib, peak)
        return is_read

    def _find(self, error: BaseException, content: bytes) -> None:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "fuzzing" not in frame.filename]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        what = f"{type(error).__name__} {place}".strip()
        name = what if frames else f"{what} {str(error)[:80]}"
        if name not in self._known:
            self._known.add(name)
            self.report.findings.append(_kept(self._job, f"{what}: {str(error)[:200]}", content))


def _hidden(error: BaseException) -> BaseException | None:
    """Return what is wrong with an error of this package: it says nothing, or memory ran out behind it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) and _frames(cause)[-1:] != ["ast.py"]:  # whose parser says so of brackets
            return cause
        cause = cause.__cause__ or cause.__context__
    return None if str(error).strip() else ValueError(f"{type(error).__name__} without a message")


def _frames(error: BaseException) -> list[str]:
    return [Path(frame.filename).name for frame in traceback.extract_tb(error.__traceback__)]


def _interrupted(_signal: int, _frame: FrameType | None) -> None:
    raise HangError(f"takes longer than {MOST_SECONDS} s")


def _memory() -> float:
    """Return the most MiB that this process has held so far.

    The peak that Linux tells through `resource` outlives ``exec``: it is that of the process which started this one.
    """
    if _STATUS.exists():
        return int(_STATUS.read_bytes().partition(b"VmHWM:")[2].split(maxsplit=1)[0]) / 2**10
    import resource  # noqa: PLC0415 - not on Windows, where nothing of this runs

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
