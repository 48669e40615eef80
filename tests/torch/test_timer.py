"""CudaTimer: the order of waiting and reading on a device that the test plays, then on a real one where there is."""

import subprocess
from itertools import count

import pytest

from flame_metric import ConfigError, measure_latency

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
timer = pytest.importorskip("flame_metric.torch.timer")

on_cuda = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]


class Event:
    """An event that knows when it was recorded: the second one 2.5 ms after the first."""

    log: list[str]

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing

    def record(self, stream: str) -> None:
        self.log.append(f"event on {stream}")

    def elapsed_time(self, last: "Event") -> float:
        assert last is not self
        return 2.5


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine with two CUDA devices, the second one current; what is done on them in order."""
    events: list[str] = []
    monkeypatch.setattr(Event, "log", events, raising=False)
    for name, value in {
        "is_available": lambda: True,
        "device_count": lambda: 2,
        "current_device": lambda: 1,
        "Event": Event,
        "current_stream": lambda device: f"stream of {device}",
        "synchronize": lambda device: events.append(f"wait for {device}"),
        "get_device_name": lambda device: f"GPU {device.index}",
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    return events


def test_the_device_is_waited_for_before_and_after_a_call(log: list[str]) -> None:
    times = count(0, 3_000_000)

    def clock() -> int:
        log.append("clock")
        return next(times)

    class Output:
        def __del__(self) -> None:
            log.append("freed")

    def run(item: str) -> Output:
        log.append(f"run {item}")
        return Output()

    sample = timer.CudaTimer("cuda", clock=clock).time(run, "x")
    assert log == [
        *("wait for cuda:1", "event on stream of cuda:1", "clock"),
        "run x",
        *("event on stream of cuda:1", "wait for cuda:1", "clock", "freed"),
    ]
    assert sample == (3_000_000, 2_500_000)


def test_a_measurement_keeps_the_devices_time_and_describes_it(log: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def nvidia_smi(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[0] == "nvidia-smi"
        return subprocess.CompletedProcess(command, 0, stdout="570.10\n570.10\n")

    monkeypatch.setattr(subprocess, "run", nvidia_smi)
    times = count(0, 3_000_000)
    cuda = timer.CudaTimer("cuda:0", clock=lambda: next(times))
    trace = measure_latency(lambda item: log.append(item) or 0, "abcd", timer=cuda, samples=3)
    assert trace.samples_ns == (3_000_000,) * 3
    (run,) = trace.metadata["provenance"]
    assert run["device_ns"] == [2_500_000] * 3
    described = trace.metadata
    assert (described["device"], described["driver"]) == ("GPU 0", "570.10")
    assert (described["torch"], described["cudnn_benchmark"]) == (torch.__version__, torch.backends.cudnn.benchmark)
    assert set(described["tf32"]) == {"matmul", "cudnn"}
    assert {"cuda", "cudnn", "cudnn_deterministic", "threads"} <= described.keys()


def test_settings_made_by_the_newer_names_are_read(log: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    matmul = getattr(torch.backends.cuda.matmul, "fp32_precision", None)
    if matmul is None:
        pytest.skip("this PyTorch knows the older names alone")
    try:
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        assert timer.describe_torch(torch.device("cuda", 0))["tf32"]["matmul"] is True
    finally:
        torch.backends.cuda.matmul.fp32_precision = matmul


@pytest.mark.parametrize("failure", [FileNotFoundError(), subprocess.TimeoutExpired("nvidia-smi", 20)])
def test_a_driver_that_cannot_be_asked_is_none(
    log: list[str], failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(subprocess, "run", fail)
    assert timer.describe_torch(torch.device("cuda", 0))["driver"] is None


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cpu", "`device` is 'cpu', expected a CUDA device; on the CPU no timer needs to be given"),
        ("mps", "`device` is 'mps', expected 'cpu' or a CUDA device: no other kind is waited for"),
        ("gpu", "`device` is 'gpu', expected 'cpu', 'cuda' or 'cuda:1'"),
        (7.5, "`device` is 7.5, expected 'cpu', 'cuda' or 'cuda:1'"),
        ("cuda:2", r"`device` is 'cuda:2', but PyTorch .* finds 2 CUDA device\(s\)"),
    ],
)
def test_devices_that_are_refused(device: object, message: str, log: list[str]) -> None:
    with pytest.raises(ConfigError, match=message):
        timer.CudaTimer(device)


def test_cuda_on_a_machine_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"`device` is 'cuda', but PyTorch .* finds 0 CUDA device\(s\), expected one"):
        timer.CudaTimer()


def test_the_cpu_is_described_without_cuda() -> None:
    assert timer.describe_torch(torch.device("cpu")) == {
        "device": "cpu",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=on_cuda)])
def test_work_that_is_only_queued_is_waited_for(device: str) -> None:
    """The host's time is not less than the device's, for work that returns to the host at once."""
    cuda = timer.CudaTimer(device)
    matrices = torch.randn(4, 2048, 2048, device=device)

    def run(matrix: "torch.Tensor") -> "torch.Tensor":
        for _ in range(20):
            matrix = matrix @ matrix / 2048
        return matrix

    cuda.time(run, matrices[0])
    for _ in range(5):
        sample = cuda.time(run, matrices[1])
        assert 0 < sample.device_ns <= sample.host_ns * 1.05  # two clocks


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=on_cuda)])
def test_a_measurement_on_cuda(device: str) -> None:
    inputs = list(torch.randn(4, 256, 256, device=device))
    trace = measure_latency(lambda x: x @ x, inputs, timer=timer.CudaTimer(device), samples=30, min_inputs=4)
    assert len(trace.metadata["provenance"][0]["device_ns"]) == len(trace) == 30
    assert trace.metadata["device"] == torch.cuda.get_device_name()
    with pytest.raises(ConfigError, match="HostTimer does not wait"):
        measure_latency(lambda x: x @ x, inputs)
