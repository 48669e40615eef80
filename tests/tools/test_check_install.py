"""The check of an installed wheel fails where a command or a message does."""

from subprocess import CompletedProcess
from zipfile import ZipFile

import pytest
from check_install import NOT_TRIED, PROBES, check_base, read_wheel

ERROR = "Traceback ...\nflame_metric.errors.MissingExtraError: {0} is missing: pip install 'flame-metric[{0}]'\n"
DEMO = "latency of   ms   k    FLAME   streaming   persistence"


class Installed:
    """An environment that answers as it is told to."""

    def __init__(self, errors, version="flame-metric 1.2.0", demo=DEMO, imports=0):
        self.errors, self.printed, self.imports = errors, {"--version": version, "demo": demo}, imports

    def command(self, name, word):
        return CompletedProcess([name, word], 0, self.printed[word], "")

    def program(self, text):
        errors = [self.errors[extra] for extra, program in PROBES.items() if program == text]
        return CompletedProcess(["python"], 1, "", errors[0]) if errors else CompletedProcess([], self.imports, "", "")


def errors(**changed):
    return {extra: ERROR.format(extra) for extra in PROBES} | changed


def test_what_each_extra_is_for_is_printed(capsys) -> None:
    check_base(Installed(errors()), "1.2.0")
    lines = [f"  without {name}: {name} is missing: pip install 'flame-metric[{name}]'" for name in PROBES]
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"version": "flame-metric 1.1.0"}, "prints 'flame-metric 1.1.0', expected 'flame-metric 1.2.0'"),
        ({"demo": ""}, "demo prints no table"),
        ({"imports": 1}, "failed with 1"),
        ({"errors": errors(cli=ERROR.format("plot"))}, "without cli: .*, expected a MissingExtraError that names it"),
        ({"errors": errors(torch="ModuleNotFoundError: No module named 'torch'")}, "without torch: .*NotFoundError"),
        ({"errors": errors(fast="")}, "without fast: ''"),
    ],
)
def test_a_wheel_that_does_not_work(changed, message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        check_base(Installed(**{"errors": errors(), **changed}), "1.2.0")


@pytest.fixture
def wheel(tmp_path):
    """Write a wheel with extras."""

    def write(extras):
        lines = ["Metadata-Version: 2.5", "Name: flame-metric", "Version: 1.2.0"]
        path = tmp_path / "flame_metric-1.2.0-py3-none-any.whl"
        with ZipFile(path, "w") as archive:
            metadata = "\n".join([*lines, *(f"Provides-Extra: {extra}" for extra in sorted(extras))])
            archive.writestr("flame_metric-1.2.0.dist-info/METADATA", metadata)
        return path

    return write


def test_each_extra_of_a_wheel_is_tried(wheel) -> None:
    path = wheel(PROBES.keys() | NOT_TRIED)
    assert read_wheel(path.parent) == (path, "1.2.0")
    with pytest.raises(SystemExit, match=r"has the extras \['sound'\]: give PROBES a program for each"):
        read_wheel(wheel({*PROBES, "sound"}).parent)
    with pytest.raises(SystemExit, match=r"lacks the extras \['fast'\]"):
        read_wheel(wheel(PROBES.keys() - {"fast"}).parent)
