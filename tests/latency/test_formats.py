from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from flame_metric import DatasetError, LatencyTrace
from flame_metric.latency.formats import read_arrivals, read_trace

FAULTS = Path(__file__).parents[1] / "data/faults"
TRACE = LatencyTrace([70, 76, 82.5], replay="frame")


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_trace_is_read_as_json_and_as_csv(mark: str, tmp_path: Path) -> None:
    file = tmp_path / "trace"
    file.write_text(mark + TRACE.to_json(), encoding="utf-8")
    assert read_trace(file) == TRACE
    assert read_trace(str(file), "random") == TRACE.replayed("random")
    file.write_text(mark + TRACE.to_csv(), encoding="utf-8")
    assert read_trace(file) == TRACE.replayed("call")


def test_latencies_as_numpy_writes_them(tmp_path: Path) -> None:
    assert read_trace(FAULTS / "savetxt.csv") == LatencyTrace([70.5, 76.25, 82])
    samples = [70.5, 0.1 + 0.2, 1e-4, 123456.789]
    file = tmp_path / "trace.csv"
    for options in ({"comments": ""}, {}, {"comments": "", "fmt": "%.9E"}, {"comments": "", "fmt": "%g"}):
        np.savetxt(file, samples, header="latency_ms", **options)
        assert read_trace(file).samples_ns == pytest.approx(LatencyTrace(samples).samples_ns, rel=1e-5)
    np.savetxt(file, samples, header="latency_ms", comments="")
    assert read_trace(file).samples_ns == LatencyTrace(samples).samples_ns
    np.savetxt(file, [[0, 70.5], [1, 76]], header="frame, latency_ms", delimiter=", ")
    assert read_trace(file) == LatencyTrace([70.5, 76])
    np.savetxt(file, [1e-3, 5e2], header="arrival_ms")
    assert read_arrivals(file) == pytest.approx([Fraction(1, 1000), Fraction(500)])


@pytest.mark.parametrize(
    "cell", ["-7.05e+01", "1e999999999", "1e-999", "nan", "inf", "e5", "1e", "0x1p3", "1e5.0", "7 e1"]
)
def test_what_is_not_a_number_with_an_exponent(cell: str, tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text(f"latency_ms\n{cell}\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"`latency_ms in line 2` is .*, expected a number >= 0"):
        read_trace(tmp_path / "trace.csv")


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
