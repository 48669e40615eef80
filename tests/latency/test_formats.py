from fractions import Fraction
from pathlib import Path

import pytest

from flame_metric import DatasetError, LatencyTrace
from flame_metric.latency.formats import read_arrivals, read_trace

TRACE = LatencyTrace([70, 76, 82.5], replay="frame")


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_trace_is_read_as_json_and_as_csv(mark: str, tmp_path: Path) -> None:
    file = tmp_path / "trace"
    file.write_text(mark + TRACE.to_json(), encoding="utf-8")
    assert read_trace(file) == TRACE
    assert read_trace(str(file), "random") == TRACE.replayed("random")
    file.write_text(mark + TRACE.to_csv(), encoding="utf-8")
    assert read_trace(file) == TRACE.replayed("call")


def test_arrivals_are_read_exactly(tmp_path: Path) -> None:
    (tmp_path / "times.csv").write_text("frame,arrival_ms\n0,0\n1,0.1\n", encoding="utf-8")
    assert read_arrivals(tmp_path / "times.csv") == [Fraction(0), Fraction(1, 10)]


@pytest.mark.parametrize("read", [read_trace, read_arrivals])
@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"other\n1\n", b"latency_ms,arrival_ms\n-1,-1\n"])
def test_an_error_names_the_file(read, content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "given.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DatasetError, match=r"given\.csv: ") as error:
        read(file)
    assert error.value.path == str(file)
