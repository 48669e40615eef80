"""Options become one record at the door; wrong ones are errors of Python and of mypy, and name the nearest."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from flame_metric.errors import ConfigError
from flame_metric.jobs.evaluate import Job, evaluate_bank, evaluate_folders
from flame_metric.jobs.folder_source import Files
from flame_metric.jobs.request import Request
from flame_metric.latency.simulate import StreamConfig
from flame_metric.latency.trace import LatencyTrace
from flame_metric.scores.bank import OffsetBank

OPTIONS = {"num_classes": 2, "fps": 10, "latency_ms": 130, "max_offset": 2, "stream": StreamConfig()}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("folders")
    for side in ("predictions", "labels"):
        (root / side).mkdir()
        for frame in range(5):
            np.save(root / side / f"{frame}.npy", np.roll([[0, 0, 1, 1]], frame))
    return root / "predictions", root / "labels"


def test_a_request_and_its_options_give_the_same_scores(folders):
    found = evaluate_folders(*folders, **OPTIONS)
    assert evaluate_folders(*folders, Request.from_options(**OPTIONS)).to_json() == found.to_json()
    of_bank = evaluate_bank(found.bank, Request.from_options(**OPTIONS))
    assert of_bank.to_json() == replace(found, names=None).to_json()


@pytest.mark.parametrize(
    "options",
    [
        OPTIONS,
        {"num_classes": 2, "fps": 10, "frame_offset": 1, "before_first": "void"},
        {"num_classes": 2, "fps": "30000/1001", "trace": LatencyTrace([70, 90]), "seed": 3, "keep_bank": True},
        {"num_classes": 2, "fps": 10, "latency_ms": 1, "class_names": ["a", "b"], "ignore_index": 9, "hardware": "H"},
    ],
)
def test_a_request_comes_back_from_json(options):
    request = Request.from_options(**options)
    assert Request.from_dict(request.to_dict()) == replace(
        request, latency=Request.from_dict(request.to_dict()).latency
    )
    assert Request.from_dict(request.to_dict()).to_dict() == request.to_dict()


def test_a_request_beside_options_is_refused(folders):
    request = Request.from_options(**OPTIONS)
    with pytest.raises(ConfigError, match=r"^`request` is given beside `seed`, expected a request or its options$"):
        evaluate_folders(*folders, request, seed=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_class": 2}, "there is no option `num_class`, expected such as `num_classes`"),
        ({"device": "GPU"}, "there is no option `device`, expected some of before_first, class_names, fps, .*trace"),
        ({"jobs": 2}, r"there is no option `jobs` here, expected job=Job\(jobs=...\)"),
        ({"step": 2}, r"there is no option `step` here, expected files=Files\(step=...\)"),
    ],
)
def test_a_wrong_option_names_the_right_one(folders, options, message):
    with pytest.raises(ConfigError, match=f"^{message}$"):
        evaluate_folders(*folders, **OPTIONS, **options)


def test_what_is_missing_is_named(folders):
    with pytest.raises(ConfigError, match=r"^`num_classes` and `fps` are missing, expected a number for each$"):
        evaluate_folders(*folders, latency_ms=76)
    with pytest.raises(ConfigError, match=r"^`fps` is missing, expected a number$"):
        evaluate_folders(*folders, num_classes=2, latency_ms=76)


def test_a_request_for_other_data_is_refused():
    bank = OffsetBank(2, max_offset=1, fps=30)
    request = Request.from_options(num_classes=3, fps=10, latency_ms=76)
    with pytest.raises(
        ConfigError, match=r"^`request` is of other data, request / data: num_classes: 3 / 2; fps: 10 / 30$"
    ):
        evaluate_bank(bank, request)


def test_streams_are_simulated_once(folders, monkeypatch):
    from flame_metric.jobs import request as module  # noqa: PLC0415 - to be seen beside its use

    calls = []
    simulate = module.simulate_clips
    monkeypatch.setattr(module, "simulate_clips", lambda *of, **options: calls.append(1) or simulate(*of, **options))
    found = evaluate_folders(*folders, **OPTIONS)
    assert len(calls) == 1
    evaluate_bank(found.bank, latency_ms=130, stream=StreamConfig())
    assert len(calls) == 2


def test_files_and_job_are_records():
    assert Files() == Files(step=None)
    assert Job().jobs == 1


TYPED = """
from flame_metric import StreamConfig
from flame_metric.jobs.evaluate import Job, evaluate_folders

evaluate_folders("p", "l", num_classes=19, fps=17, latency_ms=76, stream=StreamConfig(), job=Job(jobs=2))
evaluate_folders("p", "l", num_class=19, fps=17, latency_ms=76)
evaluate_folders("p", "l", num_classes="19", fps=17, latency_ms=76)
evaluate_folders("p", "l", num_classes=19, fps=17, latency_ms=76, job=2)
"""


@pytest.mark.slow
def test_wrong_options_are_errors_of_mypy(tmp_path):
    pytest.importorskip("mypy", reason="mypy is not installed")
    (tmp_path / "typed.py").write_text(TYPED)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir", str(tmp_path / "c")]
    found = subprocess.run([*command, "typed.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    lines = [line.split(": ", 2) for line in found.stdout.splitlines() if ": error: " in line]
    assert [place for place, *_ in lines] == ["typed.py:6", "typed.py:7", "typed.py:8"], found.stdout
    assert 'Unexpected keyword argument "num_class"' in found.stdout
