"""`flame-metric compare`: from results on disk to a ranking, with names, formats and errors."""

import json
from pathlib import Path

import numpy as np
import pytest

from flame_metric.cli import main


@pytest.fixture
def results(tmp_path, capsys):
    """Results of two networks on two videos: one is right but late, the other early and often wrong."""
    generator = np.random.default_rng(0)
    for name in ("right", "early"):
        (tmp_path / name).mkdir()
    for video in ("a", "b"):
        for number in range(6):
            labels = np.zeros((4, 30), np.uint8)
            labels[:, number : number + 12] = 1
            wrong = np.where(generator.random(labels.shape) < 0.05, 1 - labels, labels).astype(np.uint8)
            for folder, maps in (("labels", labels), ("right/preds", labels), ("early/preds", wrong)):
                file = tmp_path / folder / video / f"{number}.npy"
                file.parent.mkdir(parents=True, exist_ok=True)
                np.save(file, maps)
    for name, latency in (("right", "250"), ("early", "90")):
        command = ["evaluate", str(tmp_path / name / "preds"), str(tmp_path / "labels"), "--num-classes", "2"]
        assert main([*command, "--fps", "10", "--latency-ms", latency, "--json", str(tmp_path / name / "r.json")]) == 0
    capsys.readouterr()
    return tmp_path


def test_networks_are_ranked(results, capsys):
    assert main(["compare", str(results / "right" / "r.json"), str(results / "early" / "r.json")]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines()]
    assert [lines[2][0], lines[3][0]] == ["early", "right"]
    assert [lines[2][-2:], lines[3][-2:]] == [["1", "90"], ["3", "250"]]
    assert "over the same 2 sequences; fewer than 10 say little" in out
    assert "by static score and by FLAME: -1.00." in out


def test_names_and_formats(results, capsys):
    files = [f"Late={results / 'right' / 'r.json'}", f"Early=x={results / 'early' / 'r.json'}"]
    assert main(["compare", *files, "--format", "markdown", "--json", str(results / "ranking.json")]) == 0
    assert "| Early=x |" in capsys.readouterr().out
    assert json.loads((results / "ranking.json").read_text())["order"] == ["Early=x", "Late"]
    assert main(["compare", *files, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["order"] == ["Early=x", "Late"]


def test_errors(results, capsys):
    good, other = str(results / "right" / "r.json"), results / "other.json"
    assert main(["compare", good]) == 2
    assert "expected two or more" in capsys.readouterr().err
    assert main(["compare", good, str(other)]) == 3
    assert "other.json: cannot be read: No such file" in capsys.readouterr().err
    other.write_text("{}")
    assert main(["compare", good, str(other)]) == 4
    assert "other.json: " in capsys.readouterr().err
    other.write_bytes(b"\xff\xfe\x00")
    assert main(["compare", good, str(other)]) == 3
    assert "is not text" in capsys.readouterr().err
    assert main(["compare", good, good]) == 2
    assert "two networks named" in capsys.readouterr().err


def test_an_incomplete_result_is_said(results, capsys):
    files = [str(results / name / "r.json") for name in ("right", "early")]
    record = json.loads((results / "early" / "r.json").read_text())
    (results / "early" / "r.json").write_text(json.dumps({**record, "incomplete": "2 of 3 sequence(s) are scored"}))
    assert main(["compare", *files]) == 0
    assert capsys.readouterr().err == "flame-metric: warning: early is INCOMPLETE: 2 of 3 sequence(s) are scored\n"


def test_a_name_that_no_file_can_have(capsys):
    """The system refuses to look for it; that is not a traceback."""
    assert main(["compare", "a" * 300, "b" * 300]) == 3
    assert "cannot be read: File name too long" in capsys.readouterr().err


FAULTS = Path(__file__).parents[1] / "data" / "faults" / "compare"


def test_half_size_labels_do_not_rank(capsys, tmp_path):
    """B_half is B against labels of half the size, and was ranked above A by 0.047."""
    a, b, half = (str(FAULTS / f"{name}.json") for name in ("A", "B", "B_half"))
    assert main(["compare", b, a]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:4]] == ["A", "B"]
    assert any(line.startswith("A - B: +0.0160, 95 % +0.0094 to +0.0234") for line in lines)
    for order in ([a, half], [half, a], [a, b, half]):
        assert main(["compare", *order]) == 2
        captured = capsys.readouterr()
        assert not captured.out
        assert "scored on unlike labels: in sequence 's0' class 0 has" in captured.err
        assert "labels of another size" in captured.err
        pytest.importorskip("jinja2", reason="the page is made of templates")
        assert main(["report", *order, "-o", str(tmp_path / "page.html")]) == 2
        assert "scored on unlike labels" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_mean_can_be_asked_for(capsys):
    a, b = (str(FAULTS / f"{name}.json") for name in "AB")
    assert main(["compare", a, b, "--mean-over", "all", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["mean_over"] == "all"
    assert main(["compare", a, b, "--json", "-"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mean_over"] == "present"
    assert found["differences"][0]["warning"] == "fewer than 10 say little"
