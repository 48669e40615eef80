"""torch_runner: what a network gets and returns at each boundary, and what is put back afterwards."""

from collections.abc import Callable

import numpy as np
import pytest

from flame_metric import ConfigError, measure_latency
from flame_metric.errors import LabelError
from flame_metric.latency.timers import HostTimer

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
torch_runner = pytest.importorskip("flame_metric.torch.runner").torch_runner

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")],
    ),
]
GENERATOR = np.random.default_rng(0)
FRAMES = GENERATOR.integers(0, 256, (4, 6, 8, 3)).astype(np.uint8)
INPUTS = GENERATOR.standard_normal((4, 3, 6, 8)).astype(np.float32)


class Recorder(torch.nn.Module):
    """Scores of five classes by a 1x1 convolution, or what the test wants; remembers how it was called."""

    def __init__(self, output: Callable[["torch.Tensor"], object] | None = None, channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.scores = torch.nn.Conv2d(channels, 5, 1)
        self.output = output
        self.seen: list[dict] = []

    def forward(self, batch: "torch.Tensor") -> object:
        self.seen.append(
            {
                "input": batch.detach().clone(),
                "training": self.training,
                "inference": torch.is_inference_mode_enabled(),
                "autocast": torch.is_autocast_enabled(batch.device.type),
                "benchmark": torch.backends.cudnn.benchmark,
                "threads": torch.get_num_threads(),
            }
        )
        return self.scores(batch) if self.output is None else self.output(batch)


def scores_of(module: Recorder, batch: np.ndarray) -> np.ndarray:
    weight = module.scores.weight.detach().cpu().numpy()[:, :, 0, 0]
    return np.einsum("oc,nchw->nohw", weight, batch) + module.scores.bias.detach().cpu().numpy()[:, None, None]


@pytest.mark.parametrize("device", DEVICES)
def test_forward_returns_what_the_network_returns(device: str) -> None:
    module = Recorder().double()  # GPUs round float32 to TF32
    output = torch_runner(module, boundary="forward", device=device)(INPUTS[0])
    assert output.device.type == device
    assert np.allclose(output.cpu().numpy(), scores_of(module, INPUTS[:1]), atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_forward_and_argmax_is_the_default(device: str) -> None:
    module = Recorder().double()
    runner = torch_runner(module, device=device)
    labels = runner(INPUTS[:1])
    assert runner.boundary == "forward+argmax"
    assert (labels.device.type, labels.dtype) == (device, torch.int64)
    assert np.array_equal(labels.cpu().numpy(), scores_of(module, INPUTS[:1]).argmax(axis=1))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels_last", [False, True])
def test_end_to_end_from_a_raw_frame_to_a_small_label_map(device: str, channels_last: bool) -> None:
    module = Recorder().double()
    runner = torch_runner(module, boundary="end_to_end", device=device, channels_last=channels_last)
    labels = runner(FRAMES[0])
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normalised = ((FRAMES[:1] / 255 - mean) / std).transpose(0, 3, 1, 2)
    (seen,) = module.seen
    assert np.allclose(seen["input"].cpu().numpy(), normalised, atol=1e-5)
    assert seen["input"].is_contiguous(memory_format=torch.channels_last) is channels_last
    assert (labels.device.type, labels.dtype, tuple(labels.shape)) == ("cpu", torch.uint8, (6, 8))
    assert np.array_equal(labels.numpy(), scores_of(module, normalised)[0].argmax(axis=0))


def test_end_to_end_of_two_stacked_frames_and_another_normalisation() -> None:
    module = Recorder(channels=6)
    runner = torch_runner(module, boundary="end_to_end", mean=(0.5, 0.25, 0), std=(0.5, 1, 2))
    runner(np.concatenate([FRAMES[0], FRAMES[1]], axis=2))
    expected = [(frame / 255 - [0.5, 0.25, 0]) / [0.5, 1, 2] for frame in FRAMES[:2]]
    found = module.seen[0]["input"][0].numpy().transpose(1, 2, 0)
    assert np.allclose(found, np.concatenate(expected, axis=2), atol=1e-6)


def test_more_than_256_classes_take_16_bits() -> None:
    module = Recorder(lambda batch: torch.arange(300.0).reshape(1, 300, 1, 1).expand(1, 300, 6, 8))
    labels = torch_runner(module, boundary="end_to_end")(FRAMES[0])
    assert (labels.dtype, set(labels.flatten().tolist())) == (torch.int16, {299})


@pytest.mark.parametrize("wrap", [lambda x: {"out": x, "aux": None}, lambda x: {"logits": x}, lambda x: x])
def test_outputs_of_other_libraries(wrap: Callable) -> None:
    scores = torch.zeros(1, 5, 6, 8)
    scores[:, 3] = 1
    assert torch_runner(Recorder(lambda _: wrap(scores)))(INPUTS[0]).unique().tolist() == [3]


def test_a_network_that_returns_labels() -> None:
    labels = torch.full((1, 6, 8), 4)
    assert torch_runner(Recorder(lambda _: labels))(INPUTS[0]) is labels
    assert torch_runner(Recorder(lambda _: labels), boundary="end_to_end")(FRAMES[0]).dtype == torch.int64


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (lambda _: torch.zeros(1, 5, 3, 4), r"returns float32 \(1, 5, 3, 4\) for a frame of \(6, 8\).*enlarge"),
        (lambda _: torch.zeros(1, 1, 6, 8), r"returns float32 \(1, 1, 6, 8\)"),
        (lambda _: torch.zeros(1, 6, 8), r"returns float32 \(1, 6, 8\)"),
        (lambda _: torch.zeros(1, 5), r"returns float32 \(1, 5\)"),
        (lambda _: {"masks": 1}, "returns NoneType, expected scores"),
        (lambda _: [torch.zeros(1, 5, 6, 8)], "returns list, expected scores"),
    ],
)
def test_outputs_that_are_no_label_map(output: Callable, message: str) -> None:
    for boundary, item in (("forward+argmax", INPUTS[0]), ("end_to_end", FRAMES[0])):
        with pytest.raises(ConfigError, match=message):
            torch_runner(Recorder(output), boundary=boundary)(item)
    torch_runner(Recorder(output), boundary="forward")(INPUTS[0])


def test_scores_of_another_size_are_resized_on_request() -> None:
    small = torch.randn(1, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.interpolate(small, (6, 8), mode="bilinear", align_corners=False).argmax(1)
    for boundary, item in (("forward+argmax", INPUTS[0]), ("end_to_end", FRAMES[0])):
        runner = torch_runner(Recorder(lambda _: {"logits": small}), boundary=boundary, upsample="bilinear")
        assert torch.equal(runner(item).reshape(1, 6, 8).long(), expected)
        assert runner.describe()["upsample"] == "bilinear"
    labels = torch.zeros(1, 3, 4, dtype=torch.int64)
    with pytest.raises(ConfigError, match=r"returns int64 \(1, 3, 4\) for a frame of \(6, 8\)"):
        torch_runner(Recorder(lambda _: labels), upsample="bilinear")(INPUTS[0])


@pytest.mark.parametrize("upsample", [None, "bilinear"])
@pytest.mark.parametrize(("shape", "classes"), [((1, 6, 8, 5), 5), ((1, 3, 4, 5), 5), ((1, 6, 8, 6), 6)])
def test_classes_on_the_last_axis(shape: tuple[int, ...], classes: int, upsample: str | None) -> None:
    """As many classes as rows would be read as scores of another size, and be resized."""
    for boundary, item in (("forward+argmax", INPUTS[0]), ("end_to_end", FRAMES[0])):
        recorder = Recorder(lambda _: torch.zeros(shape))
        runner = torch_runner(recorder, boundary=boundary, num_classes=classes, upsample=upsample)
        with pytest.raises(ConfigError, match=r"returns float32 \(1, .*\): classes on the last axis, expected scores"):
            runner(item)


def test_as_many_classes_as_the_data() -> None:
    for boundary, item in (("forward+argmax", INPUTS[0]), ("end_to_end", FRAMES[0])):
        torch_runner(Recorder(), boundary=boundary, num_classes=5)(item)
        with pytest.raises(
            ConfigError, match=r"returns scores of 5 classes, expected 19, the data's \(`num_classes`\)"
        ):
            torch_runner(Recorder(), boundary=boundary, num_classes=19)(item)


@pytest.mark.parametrize("device", DEVICES)
def test_end_to_end_refuses_scores_that_are_no_numbers(device: str) -> None:
    def broken(batch: "torch.Tensor") -> "torch.Tensor":
        scores = torch.zeros(len(batch), 5, 6, 8, device=batch.device)
        scores[:, 2, 1, :3] = float("nan")
        scores[:, 1] = float("-inf")
        return scores

    runner = torch_runner(Recorder(broken), boundary="end_to_end", device=device)
    with pytest.raises(LabelError, match="returns NaN scores at 3 pixels, expected numbers"):
        runner(FRAMES[0])


@pytest.mark.parametrize("device", DEVICES)
def test_end_to_end_refuses_scores_that_overflowed(device: str) -> None:
    def broken(batch: "torch.Tensor") -> "torch.Tensor":
        scores = torch.zeros(len(batch), 5, 6, 8, device=batch.device)
        scores[:, 2:4, 1, :3] = float("inf")
        scores[:, 1, 5, 5] = float("inf")
        return scores

    runner = torch_runner(Recorder(broken), boundary="end_to_end", device=device)
    with pytest.raises(LabelError, match=r"returns scores of \+inf for two or more classes at 3 pixels"):
        runner(FRAMES[0])


def test_a_frame_is_preprocessed_on_the_host_and_its_own_size_is_kept() -> None:
    def halved(frame: np.ndarray) -> np.ndarray:
        assert frame.dtype == np.uint8
        return frame[::2, ::2].copy()

    module = Recorder()
    options = {"boundary": "end_to_end", "preprocess": halved}
    with pytest.raises(ConfigError, match=r"\(1, 5, 3, 4\) for a frame of \(6, 8\)"):
        torch_runner(module, **options)(FRAMES[0])
    labels = torch_runner(module, **options, upsample="bilinear")(FRAMES[0])
    assert labels.shape == (6, 8)
    plain = Recorder()
    torch_runner(plain, boundary="end_to_end")(FRAMES[0][::2, ::2])
    assert torch.equal(module.seen[-1]["input"], plain.seen[-1]["input"])


# ── settings ──


def test_settings_hold_during_calls_and_are_restored() -> None:
    module = Recorder().train()
    module.scores.eval()  # as a frozen layer is
    threads, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    runner = torch_runner(module, cudnn_benchmark=not benchmark, threads=threads + 1)
    trace = measure_latency(runner, INPUTS, timer=HostTimer(clock=lambda: 0), samples=2)
    assert len(module.seen) == 22
    for seen in module.seen:
        assert (seen["training"], seen["inference"], seen["autocast"]) == (False, True, False)
        assert (seen["benchmark"], seen["threads"]) == (not benchmark, threads + 1)
    assert (module.training, module.scores.training) == (True, False)
    assert (torch.get_num_threads(), torch.backends.cudnn.benchmark) == (threads, benchmark)
    assert trace.metadata["threads"] == threads + 1


def test_settings_are_restored_when_a_call_fails() -> None:
    def fail(_: "torch.Tensor") -> None:
        raise ZeroDivisionError

    module = Recorder(fail).train()
    threads, benchmark = torch.get_num_threads(), torch.backends.cudnn.benchmark
    with pytest.raises(ZeroDivisionError):
        measure_latency(torch_runner(module, cudnn_benchmark=not benchmark, threads=threads + 1), INPUTS)
    assert module.training
    assert not torch.is_inference_mode_enabled()
    assert (torch.get_num_threads(), torch.backends.cudnn.benchmark) == (threads, benchmark)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_lower_precision(device: str, name: str) -> None:
    kind = getattr(torch, name)
    module = Recorder()
    output = torch_runner(module, boundary="forward", device=device, dtype=name)(INPUTS[0])
    assert module.seen[0]["input"].dtype == output.dtype == module.scores.weight.dtype == kind
    module = Recorder()
    output = torch_runner(module, boundary="forward", device=device, autocast=kind)(INPUTS[0])
    assert (module.seen[0]["input"].dtype, module.seen[0]["autocast"], output.dtype) == (torch.float32, True, kind)
    assert module.scores.weight.dtype == torch.float32
    labels = torch_runner(module, boundary="end_to_end", device=device, autocast=kind)(FRAMES[0])
    assert labels.dtype == torch.uint8


def test_channels_last() -> None:
    module = Recorder(channels=3)
    module.scores = torch.nn.Conv2d(3, 5, 3, padding=1)
    torch_runner(module, channels_last=True)(INPUTS[0])
    assert module.seen[0]["input"].is_contiguous(memory_format=torch.channels_last)
    assert module.scores.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_module_is_left_as_it_is_without_options() -> None:
    module = Recorder().double()
    output = torch_runner(module, boundary="forward")(INPUTS[0])
    assert (module.scores.weight.dtype, output.dtype) == (torch.float64, torch.float64)
    parameterless = torch.nn.Softmax(dim=1)
    assert torch_runner(parameterless)(INPUTS[0]).shape == (1, 6, 8)


def test_compiled_once_with_the_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def compiler(module: "torch.nn.Module", *, mode: str) -> Callable:
        asked.append(mode)
        return lambda batch: module(batch) + 1

    monkeypatch.setattr(torch, "compile", compiler)
    module = Recorder()
    runner = torch_runner(module, boundary="forward", compile="reduce-overhead")
    plain = torch_runner(module, boundary="forward")(INPUTS[0])
    assert torch.equal(runner(INPUTS[0]), plain + 1)
    assert torch.equal(runner(INPUTS[0]), plain + 1)
    assert asked == ["reduce-overhead"]
    assert runner.describe()["compile"] == "reduce-overhead"


def test_metadata() -> None:
    runner = torch_runner(Recorder(), autocast="bfloat16", channels_last=True)
    trace = measure_latency(runner, INPUTS, timer=HostTimer(clock=lambda: 0), samples=2)
    expected = {
        "device": "cpu",
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "dtype": "float32",
        "autocast": "bfloat16",
        "memory_format": "channels_last",
        "compile": None,
        "boundary": "forward+argmax",
        "inputs": {"number": 4, "kinds": ["float32 (1, 3, 6, 8)"]},
    }
    assert {name: trace.metadata[name] for name in expected} == expected


def test_a_network_that_normalises_in_place_is_found_out() -> None:
    module = Recorder(lambda batch: batch.sub_(0.5))
    with pytest.raises(ConfigError, match=r"inputs\[0\] is not what it was"):
        measure_latency(torch_runner(module, boundary="forward"), INPUTS, timer=HostTimer(clock=lambda: 0))


def test_the_callers_arrays_are_not_shared_with_the_network() -> None:
    frame = INPUTS[0].copy()
    tensor = torch.from_numpy(frame.copy())
    runner = torch_runner(Recorder(lambda batch: batch.zero_()), boundary="forward")
    runner(frame)
    runner(tensor)
    assert np.array_equal(frame, INPUTS[0])
    assert np.array_equal(tensor.numpy(), INPUTS[0])


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float32", "int64"])
def test_tensors_of_any_type_are_compared(kind: str) -> None:
    tensors = [torch.full((2, 2), index, dtype=getattr(torch, kind)) for index in range(4)]
    options = {"timer": HostTimer(clock=lambda: 0), "samples": 2}
    assert len(measure_latency(torch.sum, tensors, **options)) == 2
    with pytest.raises(ConfigError, match=r"inputs\[0\] is not what it was"):
        measure_latency(lambda tensor: tensor.add_(1), tensors, **options)


# ── refusals ──


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"boundary": "argmax"}, r"`boundary` is 'argmax', expected one of forward, forward\+argmax, end_to_end"),
        (
            {"mean": (0, 0, 0)},
            r"`mean`, `std` or `preprocess` is given for `boundary` 'forward\+argmax', expected 'end",
        ),
        ({"boundary": "end_to_end", "std": (1, 0, 1)}, r"`std` \(1, 0, 1\), expected as many numbers.*each `std` > 0"),
        ({"boundary": "end_to_end", "mean": (1, 2)}, "`mean` is .*expected as many numbers"),
        ({"boundary": "forward", "num_classes": 5}, "`num_classes` or `upsample` is given for `boundary` 'forward'"),
        ({"upsample": "nearest"}, "`upsample` is 'nearest', expected one of bilinear"),
        ({"num_classes": 0}, "`num_classes` is 0"),
        ({"dtype": "half"}, "`dtype` is 'half', expected one of float32, float16, bfloat16"),
        ({"dtype": "int8"}, "`dtype` is 'int8'"),
        ({"autocast": "fp8"}, "`autocast` is 'fp8'"),
        ({"dtype": "float16", "autocast": "float16"}, r"`autocast` is torch.float16 for a module of torch.float16"),
        ({"device": "mps"}, "`device` is 'mps'"),
        ({"threads": 0}, "`threads` is 0"),
        ({"compile": "fastest"}, "`compile` is 'fastest', expected a mode of torch.compile: "),
    ],
)
def test_options_that_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        torch_runner(Recorder(), **options)


@pytest.mark.parametrize(
    ("boundary", "item", "message"),
    [
        ("forward", FRAMES[0], r"holds uint8 \(6, 8, 3\), expected one normalised frame of floats"),
        ("forward", INPUTS, r"holds float32 \(4, 3, 6, 8\), expected one normalised frame"),
        ("forward", INPUTS[0, 0], r"holds float32 \(6, 8\)"),
        ("end_to_end", INPUTS[0], r"holds float32 \(3, 6, 8\), expected frames uint8 \(H, W, C\)"),
        ("end_to_end", FRAMES[0, :, :, :2], r"holds uint8 \(6, 8, 2\).*multiple of the 3 channels"),
        ("forward", ["a"], "`inputs` holds what is not an array"),
    ],
)
def test_inputs_that_are_refused(boundary: str, item: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        torch_runner(Recorder(), boundary=boundary)(item)


def test_a_bare_module_is_not_timed():
    """It might be in training, and would then change while it is measured."""
    module = torch.nn.BatchNorm2d(3)
    with pytest.raises(ConfigError, match=r"`run` is a torch module.*expected torch_runner\(module\)"):
        measure_latency(module, list(torch.rand(4, 1, 3, 8, 8)))
    assert module.running_mean.tolist() == [0, 0, 0]
