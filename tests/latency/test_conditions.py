"""What a trace says of how it was measured, beside what is scored."""

import numpy as np
import pytest

from flame_metric import LatencyTrace, OffsetBank, measure_latency
from flame_metric.jobs.evaluate import evaluate_bank
from flame_metric.latency.conditions import Conditions
from flame_metric.latency.timers import HostTimer

GPU = {"device": "NVIDIA GeForce RTX 4090", "processor": "a CPU", "dtype": "float16", "boundary": "end_to_end"}


def inputs(*kinds: str) -> dict:
    return {"inputs": {"number": 4, "kinds": [*kinds]}}


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, Conditions()),
        (GPU, Conditions(GPU["device"], "float16", "end_to_end")),
        ({"device": "cpu", "processor": "a CPU"}, Conditions("a CPU")),
        ({"processor": "a CPU"}, Conditions("a CPU")),
        ({"dtype": "float32", "autocast": "bfloat16"}, Conditions(None, "float32 with autocast bfloat16")),
        (inputs("uint8 (2, 3, 3)"), Conditions(inputs=("uint8 (2, 3, 3)",))),
        ({"device": 7, "dtype": None, "boundary": [], "inputs": "many"}, Conditions()),
        ({"inputs": {"kinds": 3}}, Conditions()),
    ],
)
def test_what_a_trace_says(metadata: dict, expected: Conditions) -> None:
    assert Conditions.of_trace(LatencyTrace([1], metadata=metadata)) == expected


def test_a_scaled_trace_is_of_another_device() -> None:
    trace = LatencyTrace([10], metadata=GPU | inputs("float32 (1, 3, 4, 5)")).scaled(2)
    assert Conditions.of_trace(trace) == Conditions(None, None, "end_to_end", ("float32 (1, 3, 4, 5)",))


@pytest.mark.parametrize(
    ("kinds", "sizes", "areas", "said"),
    [
        (["uint8 (512, 1024, 3)"], {(512, 1024)}, (), ""),
        (["float32 (1, 3, 512, 1024)"], {(512, 1024)}, (), ""),
        (["float32 (3, 512, 1024)", "float32 (3, 8, 8)"], {(8, 8), (9, 9)}, (), ""),
        (["float32 (3, 512, 1024)"], {(1024, 512)}, (), "1024x512"),
        (["float32 (1, 3, 512, 1024)"], {(1024, 2048)}, (), "1024x2048"),
        (["uint8 (512, 1024, 3)"], (), {512 * 1024}, ""),
        (["uint8 (512, 1024, 3)"], (), {1024 * 2048}, "of 2,097,152 pixels"),
        (["uint8 (512, 1024, 3)"], (), (), ""),
        (["str", "float32 (7,)", "float32 ()"], {(1, 7)}, (), ""),
        ([], {(1, 7)}, (), ""),
    ],
)
def test_sizes(kinds: list[str], sizes: set, areas: set, said: str) -> None:
    notes = Conditions(inputs=tuple(kinds)).notes(sizes=sizes, areas=areas)
    assert len(notes) == bool(said)
    assert all(note.endswith(f"but label maps are {said}.") for note in notes)


def test_what_lies_outside_of_the_timed_part() -> None:
    assert Conditions(boundary="forward+argmax").notes() == ()
    (note,) = Conditions(boundary="forward").notes()
    assert note.startswith("The latency was measured with the boundary 'forward', but what is scored are label maps")


@pytest.mark.parametrize(
    ("hardware", "is_said"),
    [(None, False), ("RTX 4090", False), ("NVIDIA GEFORCE RTX 4090, 450 W", False), ("Orin", True)],
)
def test_the_hardware_of_the_signature(hardware: str | None, is_said: bool) -> None:
    notes = Conditions(device="NVIDIA GeForce RTX 4090").notes(hardware=hardware)
    assert notes == (
        ("The trace was measured on NVIDIA GeForce RTX 4090, but the signature says Orin.",) if is_said else ()
    )


def test_a_network_that_is_run() -> None:
    trace, here = Conditions("a GPU", "float16", "forward"), Conditions("a CPU", "float32", "end_to_end")
    assert [note.split()[1] for note in trace.differences(here)] == ["device", "precision", "boundary"]
    assert trace.differences(trace) == ()
    assert Conditions().differences(here) == here.differences(Conditions()) == ()
    assert Conditions("cuda", "float16").differences(Conditions("a GPU", "float16")) == ()


def test_a_trace_that_was_measured_says_all_of_it() -> None:
    frames = np.random.default_rng(0).random((4, 8, 12, 3))
    trace = measure_latency(
        lambda frame: frame.argmax(-1), frames, timer=HostTimer(clock=iter(range(10**6)).__next__), samples=2
    )
    found = Conditions.of_trace(trace)
    assert (found.boundary, found.inputs) == ("call", ("float64 (8, 12, 3)",))
    assert found.device == trace.metadata["processor"]


def small(trace: LatencyTrace) -> tuple[str, ...]:
    bank = OffsetBank(2, max_offset=4, fps=10)
    bank.update_sequence([np.zeros((4, 6), int)] * 4, [np.zeros((4, 6), int)] * 4, sequence="clip")
    return evaluate_bank(bank, trace=trace).notes


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (inputs("uint8 (4, 6, 3)"), None),
        (inputs("uint8 (8, 12, 3)"), "The latency was measured on uint8 (8, 12, 3), but label maps are of 24 pixels."),
        ({"boundary": "forward"}, "The latency was measured with the boundary 'forward'"),
    ],
)
def test_a_result_says_it(metadata: dict, said: str | None) -> None:
    notes = small(LatencyTrace([70] * 10, metadata=metadata))
    assert len(notes) == (said is not None)
    assert said is None or notes[0].startswith(said)
