"""Commands on several ranks: equal to one process, what fails on one fails on all, and rank 0 alone speaks."""

import datetime
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
    pytest.skip("PyTorch was built without gloo", allow_module_level=True)

import command_ranks  # noqa: E402 - needs torch
import flame_metric  # noqa: E402
from flame_metric.cli import main  # noqa: E402
from flame_metric.cli.ranks import evaluation_of_all, local_device, several_ranks  # noqa: E402
from flame_metric.errors import DatasetError, StateError  # noqa: E402
from flame_metric.latency.trace import LatencyTrace  # noqa: E402
from flame_metric.torch import ranks  # noqa: E402
from flame_metric.torch.ranks import Ranks, joined_by_torchrun  # noqa: E402
from flat_options import evaluate_folders  # noqa: E402

pytestmark = pytest.mark.slow

CLIPS = 5
TIMEOUT_S = 300  # of all commands: longer is a rank that waits for ever
SCORES = ["--num-classes", "3", "--fps", "10", "--ignore-index", "255", "--latency-ms", "130", "--workers", "1"]
SCORES += ["--max-offset", "2", "--jobs", "1"]
NETWORK = ["run", "flame_metric.demo:segmenter", "synthetic:videos=3,num_frames=6,height=32,width=48", "--jobs", "1"]
COMMANDS = {
    "whole": ["evaluate", "preds", "labels", *SCORES, "--json", "whole.json", "--bank", "whole.npz"],
    "one clip": ["evaluate", "preds/clip0", "labels/clip0", *SCORES, "--json", "one.json"],
    "begun": ["evaluate", "preds", "labels", *SCORES, "--journal", "j"],
    "not gone on": ["evaluate", "preds", "labels", *SCORES, "--journal", "j"],
    "gone on": ["evaluate", "preds", "labels", *SCORES, "--journal", "j", "--resume", "--json", "again.json"],
    "missing": ["evaluate", "nowhere", "labels", *SCORES],
    "damaged on rank 0": ["evaluate", "damaged0", "labels", *SCORES],
    "damaged on rank 1": ["evaluate", "damaged1", "labels", *SCORES],
    "left out": ["evaluate", "damaged1", "labels", *SCORES, "--on-error", "skip", "--json", "left_out.json"],
    "rank 1 left out": [
        "evaluate",
        "damaged13",
        "labels",
        *SCORES,
        "--on-error",
        "skip",
        "--json",
        "rank1_left_out.json",
    ],
    "all left out": ["evaluate", "damaged", "labels", *SCORES, "--on-error", "skip"],
    "no folder": ["evaluate", "preds", "labels", *SCORES, "--json", "nowhere/x.json"],
    "sharded": ["evaluate", "preds", "labels", *SCORES, "--journal", "k", "--shard", "1/2"],
    "network": [*NETWORK, "--samples", "30", "--save-trace", "trace.json", "--journal", "n", "--json", "network.json"],
    "network again": [*NETWORK, "--journal", "n", "--resume", "--json", "network_again.json"],
    "network, given": [*NETWORK, "--latency-ms", "70", "--json", "given.json", "--label-maps", "maps"],
    "no network": ["run", "nowhere:build", "synthetic"],
    "audited": [*NETWORK, "--audit"],
    "interrupted": ["evaluate", "preds", "labels", *SCORES, "--journal", "c"],
}


def free_ports(number):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(number)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("ranks")
    generator = np.random.default_rng(0)
    for name, classes in (("preds", [0, 1, 2]), ("labels", [0, 1, 2, 255])):
        for clip in range(CLIPS):
            (root / name / f"clip{clip}").mkdir(parents=True)
            for frame in range(6):
                labels = generator.choice(classes, (5, 7)).astype(np.uint8)
                np.save(root / name / f"clip{clip}" / f"{frame}.npy", labels)
    for name, clips in (("damaged0", [2]), ("damaged1", [3]), ("damaged13", [1, 3]), ("damaged", range(CLIPS))):
        shutil.copytree(root / "preds", root / name)
        for clip in clips:
            (root / name / f"clip{clip}" / "4.npy").write_bytes(b"no array")
    return root


@pytest.fixture(scope="module")
def outcome(folder):
    """What came of each command, by rank."""
    ports = free_ports(len(COMMANDS))
    commands = [
        (name, port, words, 1 if name == "interrupted" else None)
        for port, (name, words) in zip(ports, COMMANDS.items(), strict=True)
    ]
    arguments = (str(folder), commands)
    context = torch.multiprocessing.spawn(command_ranks.run, arguments, nprocs=command_ranks.WORLD, join=False)
    deadline = time.monotonic() + TIMEOUT_S
    while not context.join(timeout=max(0.0, deadline - time.monotonic())):
        if time.monotonic() >= deadline:
            for process in context.processes:
                process.kill()
            pytest.fail(f"the ranks did not finish within {TIMEOUT_S} s")
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(command_ranks.WORLD)]


def alone(folder, monkeypatch, *words):
    """Run a command in one process."""
    monkeypatch.chdir(folder)
    assert main(list(words)) == 0


@pytest.fixture
def gathers(monkeypatch):
    """What a rank that is alone sends to all."""
    sent = []

    def gather(local, group=None):
        sent.append((local.dtype, local.tolist()))
        return [local]

    monkeypatch.setattr(ranks, "all_gather", gather)
    return sent


def test_a_word_on_how_it_went_comes_first(gathers):
    assert Ranks(0, 1).from_all(lambda: b"counts") == [b"counts"]
    assert gathers == [(torch.int64, [0, 6]), (torch.uint8, [*b"counts"])]
    gathers.clear()

    def fail():
        raise DatasetError("no such file")

    with pytest.raises(DatasetError, match="no such file"):
        Ranks(0, 1).from_all(fail)
    assert gathers == [(torch.int64, [3, 12]), (torch.uint8, [*b"no such file"])]  # as many, so that nobody waits


def test_the_parts_come_together_once(gathers, folder):
    options = {"num_classes": 3, "fps": 10, "ignore_index": 255, "latency_ms": 130, "max_offset": 2}
    folders = (folder / "preds", folder / "labels")

    def evaluate(arguments):
        return evaluate_folders(*folders, **options, journal=arguments.journal, shard=arguments.shard)

    found = evaluation_of_all(Ranks(0, 1), Namespace(journal=None), evaluate)
    assert [kind for kind, _ in gathers] == [torch.int64, torch.uint8]
    assert found.to_json() == evaluate_folders(*folders, **options).to_json()


@pytest.mark.parametrize("name", ["whole", "one clip", "begun", "gone on", "left out", "network", "network, given"])
def test_rank_0_alone_speaks(outcome, name):
    assert [found[name]["code"] for found in outcome] == [0, 0], outcome
    assert outcome[0][name]["out"]
    assert (outcome[1][name]["out"], outcome[1][name]["err"]) == ("", "")


@pytest.mark.parametrize(("name", "file"), [("whole", "whole"), ("one clip", "one"), ("gone on", "again")])
def test_equal_to_one_process(outcome, folder, monkeypatch, capsys, name, file):  # noqa: PLR0917 - fixtures
    words = [word for word in COMMANDS[name] if word not in ("--journal", "j", "--resume")]
    files = {f"{file}.json": "alone.json", "whole.npz": "alone.npz"}
    alone(folder, monkeypatch, *(files.get(word, word) for word in words))
    assert (folder / "alone.json").read_text() == (folder / f"{file}.json").read_text()
    table = outcome[0][name]["out"].replace("whole.npz", "alone.npz")
    assert capsys.readouterr().out == table
    if name == "whole":
        assert (folder / "alone.npz").read_bytes() == (folder / "whole.npz").read_bytes()


def test_each_rank_keeps_its_share(outcome, folder):
    names = [
        [json.loads(line).get("sequence") for line in (folder / f"j.{part}-of-2").read_text().splitlines()[1:]]
        for part in (1, 2)
    ]
    assert names == [["clip0", "clip2", "clip4"], ["clip1", "clip3"]]
    assert [found["not gone on"]["code"] for found in outcome] == [4, 4]
    assert "j.1-of-2: holds 3 finished sequence(s) already" in outcome[0]["not gone on"]["err"]


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("missing", 3, "flame-metric: error: nowhere: is missing, expected a folder or an archive\n"),
        ("damaged on rank 0", 3, "flame-metric: error: damaged0/clip2/4.npy: "),
        ("damaged on rank 1", 3, "flame-metric: error: rank 1: damaged1/clip3/4.npy: "),
        ("no network", 2, "flame-metric: error: "),
    ],
)
def test_what_fails_on_one_fails_on_all(outcome, name, code, message):
    assert [found[name]["code"] for found in outcome] == [code, code]
    assert outcome[0][name]["err"].startswith(message)
    assert outcome[0][name]["err"].count("\n") == 1
    assert outcome[1][name]["err"] == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no folder", "nowhere/x.json: cannot be written: its folder does not exist"),
        ("sharded", "--shard is given on several ranks of torchrun"),
        ("audited", "--audit is given on several ranks of torchrun"),
    ],
)
def test_what_makes_no_sense_ends_before_ranks_are_joined(outcome, name, message):
    assert [found[name]["code"] for found in outcome] == [2, 2]
    assert message in outcome[0][name]["err"]


@pytest.mark.parametrize(
    ("name", "file", "clips"),
    [("left out", "left_out.json", ["clip3"]), ("rank 1 left out", "rank1_left_out.json", ["clip1", "clip3"])],
)
def test_sequences_that_are_left_out_are_told_of_once(outcome, folder, monkeypatch, capsys, name, file, clips):  # noqa: PLR0917
    words = ["left_alone.json" if word == file else word for word in COMMANDS[name]]
    alone(folder, monkeypatch, *words)
    assert (folder / "left_alone.json").read_text() == (folder / file).read_text()
    assert outcome[0][name]["err"] == capsys.readouterr().err
    assert json.loads((folder / file).read_text())["left_out"] == clips


def test_everything_is_left_out(outcome):
    assert outcome[0]["all left out"]["code"] == 3
    assert outcome[0]["all left out"]["err"].endswith("error: all 5 sequence(s) are left out for damaged files\n")


def test_one_latency_for_all_ranks(outcome, folder, monkeypatch):
    assert len(LatencyTrace.from_json((folder / "trace.json").read_text())) == 30
    alone(folder, monkeypatch, *NETWORK, "--trace", "trace.json", "--json", "alone.json")
    assert (folder / "network.json").read_text() == (folder / "alone.json").read_text()
    assert "30 samples" in outcome[0]["network"]["out"]


def test_a_run_goes_on_with_the_latency_of_its_journals(outcome, folder):
    assert outcome[0]["network again"]["code"] == 0
    assert (folder / "network_again.json").read_text() == (folder / "network.json").read_text()


def test_label_maps_of_all_ranks(outcome, folder, monkeypatch):
    pytest.importorskip("PIL", reason="label maps are PNG files, which need Pillow")
    alone(folder, monkeypatch, *NETWORK, "--latency-ms", "70", "--json", "alone.json", "--label-maps", "maps_alone")
    assert (folder / "given.json").read_text() == (folder / "alone.json").read_text()
    files = {file.relative_to(folder / "maps"): file.read_bytes() for file in (folder / "maps").glob("*/*.png")}
    assert files == {file: (folder / "maps_alone" / file).read_bytes() for file in files}
    assert len(files) == 18


def test_ctrl_c_on_one_rank(outcome):
    """The other one does not wait for ever."""
    assert outcome[1]["interrupted"] == {"code": 130, "out": "", "err": ""}
    assert outcome[0]["interrupted"]["code"] == 4
    assert "a rank has ended before all were done" in outcome[0]["interrupted"]["err"]


def test_torchrun(folder, tmp_path):
    """The same as a user types it."""
    environment = {**os.environ, "PYTHONPATH": str(Path(flame_metric.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "flame_metric", "evaluate", "preds", "labels", *SCORES, "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command.append(str(tmp_path / "r.json"))
    with subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **pipes) as launched:
        try:
            out, err = launched.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(launched.pid, signal.SIGKILL)  # ranks that wait would outlive their launcher
            raise
    assert launched.returncode == 0, err
    assert out.count("FLAME 0.") == out.count("streaming 0.") == 1  # one table, with its two signatures
    evaluation = json.loads((tmp_path / "r.json").read_text())
    assert [entry["id"] for entry in evaluation["flame"]["sequences"]] == [f"clip{clip}" for clip in range(CLIPS)]


def test_ranks_that_do_not_come_are_not_waited_for(monkeypatch):
    (port,) = free_ports(1)
    environment = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(StateError, match="the ranks of torchrun do not find each other"),
        joined_by_torchrun(datetime.timedelta(seconds=1)),
    ):
        pytest.fail("nobody else is there")


@pytest.mark.parametrize(
    "environment", [{}, {"RANK": "0", "WORLD_SIZE": "1"}, {"WORLD_SIZE": "4"}, {"RANK": "0", "WORLD_SIZE": "many"}]
)
def test_one_process_joins_nobody(monkeypatch, environment):
    """Some clusters set WORLD_SIZE to the number of machines, and nothing else."""
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert not several_ranks()
    assert local_device("cuda") == "cuda"


def test_each_rank_has_its_gpu(monkeypatch):
    environment = {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert several_ranks()
    assert [local_device(device) for device in ("cuda", "cuda:3", "cpu", None)] == ["cuda:1", "cuda:3", "cpu", None]
