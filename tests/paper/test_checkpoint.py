"""A training that was killed goes on as if nothing had happened; a damaged or foreign checkpoint is refused."""

import hashlib
import io
import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import flame_metric
from flame_metric.data.videos import VideoSequence
from flame_metric.errors import StateError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
import toy_training  # noqa: E402 - needs torch
from flame_metric.paper.checkpoint import Checkpoint, digest_state, read_checkpoint, write_checkpoint  # noqa: E402
from flame_metric.paper.frame_pairs import FramePairs  # noqa: E402
from flame_metric.paper.training import train  # noqa: E402
from toy_training import ToyNetwork, ToyPairs, toy_recipe, weights_of  # noqa: E402


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# ── killed ──

KILLED = """
import os, signal, sys, tempfile
import torch
from toy_training import ToyNetwork, ToyPairs, toy_recipe
from flame_metric.core import files
from flame_metric.paper.training import train

torch.set_num_threads(1)
network, when, workers, amp = sys.argv[1:]
die = lambda *ignored: os.kill(os.getppid() if int(workers) else os.getpid(), signal.SIGKILL)

def hook(epoch, index):
    if when == "in step 8" and epoch == 4:
        die()

written = []
def fsync(handle):
    written.append(handle)
    if when == "while writing the second checkpoint" and len(written) == 2:
        die()

os.fsync = fsync
options = {"out": "run", "checkpoint_every": 3, "log_every": 2, "workers": int(workers), "amp": amp or None}
train(ToyNetwork(), ToyPairs(hook=hook), toy_recipe(network), **options)
"""


def killed(folder, *arguments):
    (folder / "killed.py").write_text(KILLED, encoding="utf-8")
    paths = [str(Path(module.__file__).parents[up]) for module, up in ((flame_metric, 1), (toy_training, 0))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "killed.py", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return folder / "run"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize(
    ("network", "when", "workers", "amp", "steps"),
    [
        ("swiftnet-r18", "in step 8", "0", "", [6]),
        ("deeplab-mn", "in step 8", "1", "", [3, 6]),  # its worker reads two batches ahead
        ("swiftnet-r18", "while writing the second checkpoint", "0", "float16", [3]),
    ],
)
def test_killed_and_resumed_is_never_killed(network, when, workers, amp, steps, tmp_path):  # noqa: PLR0917 - a table
    folder = killed(tmp_path, network, when, workers, amp)
    files = sorted(path.name for path in folder.iterdir())
    assert len(files) == (3 if "writing" in when else 2)  # half a checkpoint beside the whole one
    at = read_checkpoint(folder / "checkpoint.pt").step
    assert at in steps
    with (folder / "training.jsonl").open("ab") as stream:
        stream.write(b'{"step": 12, "los\xff\0')  # killed while it wrote

    options = {"checkpoint_every": 3, "log_every": 2, "amp": amp or None}
    resumed, undisturbed = ToyNetwork(), ToyNetwork()
    record = train(resumed, ToyPairs(), toy_recipe(network), out=folder, **options)
    expected = train(undisturbed, ToyPairs(), toy_recipe(network), out=tmp_path / "undisturbed", **options)
    assert record.resumed_at == at
    assert record.losses == expected.losses
    assert same(weights_of(resumed), weights_of(undisturbed))
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint.pt", "training.jsonl"]
    lines, wanted = (told(one.log) for one in (record, expected))
    assert lines == wanted
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]


def told(log):
    """The lines of a log, without the speed."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in line.items() if name != "images_per_second"} for line in lines]


@pytest.mark.parametrize("stop", range(1, 12))
def test_stopped_after_any_step(stop, tmp_path):
    def progress(done, total, note):
        if done == stop:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(ToyNetwork(), ToyPairs(), toy_recipe(), out=tmp_path, progress=progress)
    resumed, undisturbed = ToyNetwork(), ToyNetwork()
    record = train(resumed, ToyPairs(), toy_recipe(), out=tmp_path)
    expected = train(undisturbed, ToyPairs(), toy_recipe())
    assert (record.resumed_at, record.losses) == (stop, expected.losses)
    assert same(weights_of(resumed), weights_of(undisturbed))


def test_what_is_done_is_not_done_again(tmp_path):
    first = train(ToyNetwork(), ToyPairs(), toy_recipe(), out=tmp_path)
    pairs, network = ToyPairs(), ToyNetwork()
    again = train(network, pairs, toy_recipe(), out=tmp_path)
    assert {epoch for epoch, _ in pairs.taken} == {0}  # the three items that identify the data
    assert len(pairs.taken) == 3
    assert again.seconds >= read_checkpoint(first.checkpoint).seconds > 0
    assert replace(again, seconds=0, images_per_second=0, resumed_at=0) == replace(
        first, seconds=0, images_per_second=0
    )
    assert again.resumed_at == 12
    assert not network.training
    assert same(weights_of(network), read_checkpoint(first.checkpoint).network)


def test_starting_over(tmp_path):
    train(ToyNetwork(), ToyPairs(), toy_recipe(), out=tmp_path, seed=1)
    record = train(ToyNetwork(), ToyPairs(), toy_recipe(epochs=2), out=tmp_path, resume=False, log_every=2)
    assert (record.resumed_at, record.steps) == (0, 4)
    assert [line["step"] for line in told(record.log)] == [2, 4]
    assert read_checkpoint(record.checkpoint).step == 4


def test_starting_over_leaves_no_foreign_checkpoint_to_a_run_that_dies_early(tmp_path):
    train(ToyNetwork(), ToyPairs(), toy_recipe(), out=tmp_path, seed=1)

    def fail(epoch, index):
        if epoch == 1:
            raise RuntimeError("no such file")

    with pytest.raises(RuntimeError, match="no such file"):
        train(ToyNetwork(), ToyPairs(hook=fail), toy_recipe(), out=tmp_path, resume=False)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_checkpoint_that_cannot_be_written_names_its_file(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"):
        train(ToyNetwork(), ToyPairs(), toy_recipe(), out=tmp_path / "file")


# ── foreign ──


def test_a_checkpoint_of_another_training_says_what_differs(tmp_path):
    train(ToyNetwork(), ToyPairs(), toy_recipe(), out=tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes(), (tmp_path / "training.jsonl").read_bytes()

    def refused(message, network=None, pairs=None, recipe=None, **options):
        with pytest.raises(StateError, match=f"checkpoint.pt belongs to another training: {message}. Take another fol"):
            train(network or ToyNetwork(), pairs or ToyPairs(), recipe or toy_recipe(), out=tmp_path, **options)

    recipe = toy_recipe(learning_rate=0.1, name="mine")
    refused(
        "recipe: name is 'paper' there and 'mine' here; recipe: learning_rate is 0.05 there and 0.1 here", recipe=recipe
    )
    blurred = replace(toy_recipe(), augmentation=replace(toy_recipe().augmentation, blur_kernel=3))
    refused("recipe: augmentation blur_kernel is 5 there and 3 here", recipe=blurred)
    refused("seed is 0 there and 1 here", seed=1)
    refused("amp is None there and 'bfloat16' here", amp="bfloat16")
    refused("number of items is 7 there and 8 here; other items .first, middle, last.", pairs=ToyPairs(8))
    refused("other items .first, middle, last.", pairs=ToyPairs(7, seed=1))
    refused("other weights before the first step", network=ToyNetwork(seed=1))
    shapes = "other names and shapes of the network's parameters; other weights before the first step"
    refused(shapes, network=ToyNetwork(norm=False))
    assert before == ((tmp_path / "checkpoint.pt").read_bytes(), (tmp_path / "training.jsonl").read_bytes())


def test_clips_with_one_label_at_another_offset_are_another_training(tmp_path):
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (6, 6, 3), np.uint8) for _ in range(5)]
    clips = [
        VideoSequence(name, frames, [None, None, None, None, rng.integers(0, 3, (6, 6), np.uint8)], fps=10)
        for name in "abc"
    ]

    def pairs(frame_offset):
        return FramePairs(clips, frame_offset=frame_offset, num_classes=3)

    train(ToyNetwork(), pairs(1), toy_recipe(), out=tmp_path)
    with pytest.raises(StateError, match="another training: pairs: frame offset is 1 there and 2 here"):
        train(ToyNetwork(), pairs(2), toy_recipe(), out=tmp_path)
    assert train(ToyNetwork(), pairs(1), toy_recipe(), out=tmp_path).resumed_at == 6


def test_a_refused_network_keeps_its_weights(tmp_path):
    train(ToyNetwork(), ToyPairs(), toy_recipe(), out=tmp_path)
    network = ToyNetwork()
    with pytest.raises(StateError, match="seed is 0 there"):
        train(network, ToyPairs(), toy_recipe(), out=tmp_path, seed=1)
    assert same(weights_of(network), weights_of(ToyNetwork()))


@pytest.mark.parametrize(
    "other",
    [
        {"weight": torch.tensor([1.0, 2.5])},
        {"weight": torch.tensor([[1.0, 2.0]])},
        {"weight": torch.tensor([1.0, 2.0], dtype=torch.float64)},
        {"bias": torch.tensor([1.0, 2.0])},
    ],
)
def test_fingerprints_tell_states_apart(other):
    assert digest_state(other) != digest_state({"weight": torch.tensor([1.0, 2.0])})


def test_fingerprint_of_any_tensor():
    state = {
        "number": torch.tensor(3),
        "nothing": torch.empty(0, 2),
        "turned": torch.arange(6.0).reshape(2, 3).T,
        "half": torch.ones(2, dtype=torch.bfloat16),
    }
    assert digest_state(state) == digest_state({name: value.clone().contiguous() for name, value in state.items()})


# ── damaged ──


@pytest.fixture
def checkpoint(tmp_path):
    train(ToyNetwork(), ToyPairs(), toy_recipe(), out=tmp_path)
    return tmp_path / "checkpoint.pt"


def test_any_wrong_byte_is_found(checkpoint):
    whole = checkpoint.read_bytes()
    for place in range(0, len(whole), 61):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        checkpoint.write_bytes(damaged)
        with pytest.raises(
            StateError, match=r"checkpoint\.pt is not a checkpoint, or damaged: its checksum is wrong; remove"
        ):
            read_checkpoint(checkpoint)


@pytest.mark.parametrize("kept", [0, 1, 31, 32, 33, 100, -1])
def test_half_a_checkpoint_is_refused(kept, checkpoint):
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[:kept])
    with pytest.raises(
        StateError, match=r"checkpoint\.pt is not a checkpoint, or damaged: .* pass resume=False, to start"
    ):
        train(ToyNetwork(), ToyPairs(), toy_recipe(), out=checkpoint.parent)
    assert checkpoint.read_bytes() == whole[:kept]
    train(ToyNetwork(), ToyPairs(), toy_recipe(), out=checkpoint.parent, resume=False)
    assert len(checkpoint.read_bytes()) == len(whole)


def test_torch_reads_a_checkpoint(checkpoint):
    """It is an ordinary file of PyTorch for whoever wants the weights."""
    loaded = torch.load(checkpoint, weights_only=True)
    assert same(loaded["network"], read_checkpoint(checkpoint).network)


def sealed(path, content):
    path.write_bytes(content + hashlib.sha256(content).digest())


@pytest.mark.parametrize("content", [{"network": {}}, [1], {"format": "flame-metric checkpoint 1"}, {"format": "2"}])
def test_another_file_of_torch_is_no_checkpoint(content, tmp_path):
    other = io.BytesIO()
    torch.save(content, other)
    sealed(tmp_path / "other.pt", other.getvalue())
    with pytest.raises(StateError, match=r"other\.pt is not a checkpoint of the format 'flame-metric checkpoint 1'"):
        read_checkpoint(tmp_path / "other.pt")


class Opens:
    def __reduce__(self):
        return (open, ("opened", "w"))


def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = io.BytesIO()
    torch.save({"format": Opens()}, bad)
    for content in (bad.getvalue(), pickle.dumps(Opens(), protocol=2), b""):
        sealed(tmp_path / "bad.pt", content)
        with pytest.raises(StateError, match=r"bad\.pt is not a checkpoint: "):
            read_checkpoint(tmp_path / "bad.pt")
    assert not (tmp_path / "opened").exists()


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    written = Checkpoint(
        identity={"seed": 3, "recipe: betas": (0.9, 0.999)},
        step=5,
        network={"weight": torch.arange(3.0)},
        optimiser={"state": {0: {"step": torch.tensor(5.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        scaler={"scale": 65536.0},
        losses=[0.5, None],
        seconds=1.5,
    )
    write_checkpoint(tmp_path / "c.pt", written)
    read = read_checkpoint(tmp_path / "c.pt")
    assert same(read.network, written.network)
    assert replace(read, network=written.network, optimiser={}) == replace(written, optimiser={})
    assert read.optimiser["state"][0]["step"] == 5


def test_an_old_checkpoint_survives_a_full_disk(checkpoint, monkeypatch):
    before = checkpoint.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*checkpoint\.pt'"):
        write_checkpoint(checkpoint, read_checkpoint(checkpoint))
    assert checkpoint.read_bytes() == before
    assert sorted(path.name for path in checkpoint.parent.iterdir()) == ["checkpoint.pt", "training.jsonl"]
