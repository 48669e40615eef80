"""What mutmut prints becomes a table, and survivors are compared with those that are explained."""

import runpy
import sys
import tomllib
from collections import Counter

import mutation
import pytest
from mutation import EXPLAINED, Tally, faults, modules, mutant_key, read_explained, read_results, table

PRINTED = """\
Some line of mutmut's own
    flame_metric.core.iou.x__rows__mutmut_1: killed
    flame_metric.core.iou.x__rows__mutmut_2: no tests
    flame_metric.core.schedule.xǁStreamLogǁof__mutmut_12: timeout
"""

DIFF = """\
# flame_metric.core.iou.x__rows__mutmut_1: survived
--- src/flame_metric/core/iou.py
+++ src/flame_metric/core/iou.py
@@ -4,7 +4,7 @@
     array = np.asarray(counts)
-    if array.ndim < 2:
+    if array.ndim <= 2:
         raise ShapeError
"""

REMOVED = """\
--- src/flame_metric/core/schedule.py
+++ src/flame_metric/core/schedule.py
-        return cls(
-            frame,
         )
"""

MUTANTS = """\
# Mutants

Only memory differs.

```text
iou._rows: copy=None
iou._rows: copy=None
```

The same:

```text
timing.as_fps: 1 + 0
```
"""


def tally(**statuses: int) -> Tally:
    return Tally(Counter({status.replace("_", " "): times for status, times in statuses.items()}))


def test_results_by_module() -> None:
    assert read_results(PRINTED) == {
        "iou": {
            "flame_metric.core.iou.x__rows__mutmut_1": "killed",
            "flame_metric.core.iou.x__rows__mutmut_2": "no tests",
        },
        "schedule": {"flame_metric.core.schedule.xǁStreamLogǁof__mutmut_12": "timeout"},
    }


def test_a_mutant_is_named_by_its_lines_that_differ() -> None:
    assert mutant_key("iou", "flame_metric.core.iou.x__rows__mutmut_1", DIFF) == "iou._rows: if array.ndim <= 2:"
    name = "flame_metric.core.schedule.xǁStreamLogǁof__mutmut_12"
    assert mutant_key("schedule", name, REMOVED) == "schedule.StreamLog.of: without return cls( frame,"
    with pytest.raises(ValueError, match="`name` is 'iou', expected the name of a mutant"):
        mutant_key("iou", "iou", DIFF)


def test_table() -> None:
    printed = table({"iou": tally(killed=18, timeout=1, survived=1), "timing": tally(killed=19, no_tests=1)})
    assert printed.splitlines()[2:] == [
        "| iou | 20 | 18 | 1 | 1 | 95.0 % |",
        "| timing | 20 | 19 | 0 | 1 | 95.0 % |",
        "| all | 40 | 37 | 1 | 2 | 95.0 % |",
    ]


def test_a_module_without_mutants_has_a_score() -> None:
    assert table({"iou": tally()}).splitlines()[2] == "| iou | 0 | 0 | 0 | 0 | 0.0 % |"


def test_results_that_are_missing_are_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(mutation, "_mutmut", lambda *arguments: PRINTED)
    assert mutation.main(["--check", "iou", "clock", "counting"]) == 1
    assert capsys.readouterr() == (
        "",
        "mutmut has no results of clock, counting: it was not run on them; leave out --check\n",
    )


def test_it_can_be_imported_where_memory_has_no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert runpy.run_path(mutation.__file__)["resource"] is None


def test_survivors_that_are_explained_are_no_fault() -> None:
    explained = read_explained(MUTANTS)
    assert explained == {"iou._rows: copy=None": 2, "timing.as_fps: 1 + 0": 1}
    survivors = ["iou._rows: copy=None"] * 2
    assert faults({"iou": tally(killed=98, survived=2)}, survivors, explained) == []


def test_what_is_wrong() -> None:
    survivors = ["iou._rows: copy=None", "iou.mean_iou: 1"]
    assert faults({"iou": tally(killed=30, survived=2)}, survivors, read_explained(MUTANTS)) == [
        "no test notices, and mutants.md does not explain: iou.mean_iou: 1",
        "mutants.md explains what did not survive: iou._rows: copy=None",
        "iou: 93.8 % were noticed, expected at least 95 %",
    ]


def test_each_explained_mutant_is_of_a_module_that_is_changed() -> None:
    explained = read_explained(EXPLAINED.read_text(encoding="utf-8"))
    assert explained
    assert {key.split(".")[0] for key in explained} <= set(modules())


def test_each_file_of_the_settings_is_there() -> None:
    settings = tomllib.loads((mutation.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
    files = [*settings["only_mutate"], *settings["also_copy"], *settings["pytest_add_cli_args_test_selection"]]
    assert [file for file in files if not (mutation.ROOT / file).exists()] == []
