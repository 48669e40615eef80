"""Evaluations that are killed, shared out or meet damaged files: equal, or the result says what it lacks."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flame_metric.cli import evaluate, main
from flame_metric.clip_journal import read_part
from flame_metric.datasets import open_dataset
from flame_metric.errors import ConfigError, DatasetError, FlameWarning, StateError
from flame_metric.evaluation import Job, evaluate_folders, merged
from flame_metric.inference import Network
from flame_metric.journal import Journal
from flame_metric.latency import LatencyTrace
from flame_metric.network_evaluation import evaluate_network
from flame_metric.network_run import run_network
from flame_metric.scores import Evaluation, Interrupted
from flame_metric.sequence import OnAccess
from flame_metric.streaming import StreamConfig
from flame_metric.timers import Runner

CLIPS = 6
QUESTION = {
    "num_classes": 3,
    "fps": 10,
    "ignore_index": 255,
    "latency_ms": 130,
    "stream": StreamConfig(),
    "max_offset": 3,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Predictions and labels of six clips of eight frames."""
    root = tmp_path_factory.mktemp("folders")
    generator = np.random.default_rng(0)
    for folder in ("preds", "labels"):
        for clip in range(CLIPS):
            (root / folder / f"clip{clip}").mkdir(parents=True)
            for frame in range(8):
                labels = generator.choice([0, 1, 2, 255] if folder == "labels" else [0, 1, 2], (5, 7)).astype(np.uint8)
                np.save(root / folder / f"clip{clip}" / f"{frame:02}.npy", labels)
    return root / "preds", root / "labels"


@pytest.fixture(scope="module")
def whole(folders):
    return evaluate_folders(*folders, **QUESTION)


def assert_equal(found, wanted):
    assert found.to_json() == wanted.to_json()
    assert found.bank.to_bytes() == wanted.bank.to_bytes()


# ── kill and resume ──


def test_a_journal_changes_nothing(folders, whole, tmp_path):
    assert_equal(evaluate_folders(*folders, **QUESTION, journal=tmp_path / "j"), whole)
    assert_equal(evaluate_folders(*folders, **QUESTION, journal=tmp_path / "j", resume=True), whole)


@settings(max_examples=20)  # each line is flushed to the disk
@given(st.data())
def test_cut_anywhere_the_rest_is_counted(folders, whole, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "j"
    evaluate_folders(*folders, **QUESTION, journal=path)
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    assert_equal(evaluate_folders(*folders, **QUESTION, journal=path, resume=True, jobs=2), whole)
    assert path.read_bytes() == content or sorted(path.read_bytes().splitlines()) == sorted(content.splitlines())


def test_what_is_finished_is_not_read_again(folders, whole, tmp_path, monkeypatch):
    evaluate_folders(*folders, **QUESTION, journal=tmp_path / "j")
    lines = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    (tmp_path / "j").write_bytes(b"".join(lines[:-1]))  # all but the last clip
    frames = []
    found = evaluate_folders(
        *folders, **QUESTION, journal=tmp_path / "j", resume=True, progress=lambda *call: frames.append(call[:2])
    )
    assert frames[-1] == (8, 8)
    assert_equal(found, whole)


SLOW = """
import sys, time
from flame_metric import cli
from flame_metric.data import folder

read = folder.LabelFolder.read

def slowly(self, path, **options):
    time.sleep(0.01)
    return read(self, path, **options)

folder.LabelFolder.read = slowly
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_killed_for_good_again_and_again(folders, whole, tmp_path):
    """Real kills, whenever another sequence has been finished, until one attempt comes through."""
    journal, result = tmp_path / "j", tmp_path / "r.json"
    options = ["--num-classes", "3", "--fps", "10", "--ignore-index", "255", "--latency-ms", "130", "--workers", "1"]
    command = [sys.executable, "-c", SLOW, "evaluate", *map(str, folders), *options, "--max-offset", "3", "--jobs", "1"]
    command += ["--journal", str(journal), "--resume", "--json", str(result)]
    kills = 0
    for lines in [*range(2, 2 + CLIPS - 1), None]:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            while process.poll() is None:
                if lines is not None and journal.exists() and journal.read_bytes().count(b"\n") >= lines:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
                    break
                time.sleep(0.002)  # of the one who watches; nothing is timed
            error = process.stderr.read()
        assert process.returncode in (0, -signal.SIGKILL), error
        if process.returncode == 0:
            break
    assert kills >= 2
    assert result.read_text().rstrip("\n") == whole.to_json()


def test_another_question_is_refused(folders, tmp_path):
    evaluate_folders(*folders, **QUESTION, journal=tmp_path / "j")
    with pytest.raises(StateError, match=r"is of another job \(question: .* there / here\)"):
        evaluate_folders(*folders, **{**QUESTION, "latency_ms": 30}, journal=tmp_path / "j", resume=True)


def test_files_that_have_changed_are_not_believed(folders, tmp_path):
    preds, labels = (shutil.copytree(folder, tmp_path / folder.name) for folder in folders)
    evaluate_folders(preds, labels, **QUESTION, journal=tmp_path / "j")
    np.save(preds / "clip2" / "03.npy", np.ones((5, 7), np.uint8))
    os.utime(preds / "clip2" / "03.npy", ns=(1, 1))
    with pytest.raises(StateError, match="sequence 'clip2' was counted from other files than are there now"):
        evaluate_folders(preds, labels, **QUESTION, journal=tmp_path / "j", resume=True)


def test_a_journal_whose_counts_contradict_each_other(folders, tmp_path):
    evaluate_folders(*folders, **QUESTION, journal=tmp_path / "j")
    with Journal(tmp_path / "j", read_part(tmp_path / "j").configuration, resume=True) as journal:
        records = journal.records
    records["clip1"]["scores"][0]["predicted"][0] += 1
    with Journal(tmp_path / "k", read_part(tmp_path / "j").configuration) as journal:
        for name, record in records.items():
            journal.add(name, record)
    with pytest.raises(StateError, match="k: sequence 'clip1': the counts of sequence 'FLAME 0' contradict each other"):
        evaluate_folders(*folders, **QUESTION, journal=tmp_path / "k", resume=True)


# ── Ctrl-C ──


def interrupting(after):
    def progress(done, total, note):
        if done == after:
            raise KeyboardInterrupt

    return progress


def test_ctrl_c_returns_what_is_finished(folders, whole):
    with pytest.raises(Interrupted, match=r"2 of 6 sequence\(s\) are scored") as caught:
        evaluate_folders(*folders, **QUESTION, progress=interrupting(20))
    found = caught.value.evaluation
    assert found.incomplete == "2 of 6 sequence(s) are scored"
    assert found.flame.sequences == ("clip0", "clip1")
    np.testing.assert_array_equal(found.flame.counts, whole.flame.counts[:2])
    assert "INCOMPLETE: 2 of 6 sequence(s) are scored." in found.table()
    assert found.table().count(" | INCOMPLETE\n") == 2
    assert Evaluation.from_json(found.to_json()) == found


def test_ctrl_c_before_anything_is_finished(folders):
    with pytest.raises(KeyboardInterrupt) as caught:
        evaluate_folders(*folders, **QUESTION, progress=interrupting(3))
    assert not isinstance(caught.value, Interrupted)


def test_ctrl_c_on_the_command_line(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "progress", lambda task: nullcontext(interrupting(20)))
    options = ["--num-classes", "3", "--fps", "10", "--ignore-index", "255", "--latency-ms", "130"]
    journal = ["--journal", str(tmp_path / "j")]
    assert main(["evaluate", *map(str, folders), *options, *journal]) == 130
    captured = capsys.readouterr()
    assert "INCOMPLETE: 2 of 6 sequence(s) are scored." in captured.out
    assert captured.err == (
        f"flame-metric: interrupted: 2 of 6 sequence(s) are scored; --journal {tmp_path / 'j'} --resume goes on\n"
    )
    monkeypatch.undo()
    assert main(["evaluate", *map(str, folders), *options, *journal, "--resume", "--json", "-"]) == 0
    wanted = evaluate_folders(*folders, **{**QUESTION, "stream": None, "max_offset": None})
    assert Evaluation.from_json(capsys.readouterr().out) == wanted


# ── shards ──


@pytest.mark.parametrize("number", [1, 2, 4, 6, 9])
def test_shards_become_one(folders, whole, tmp_path, number):
    for index in range(1, number + 1):
        try:
            evaluate_folders(*folders, **QUESTION, shard=(index, number), journal=tmp_path / f"{index}.jsonl")
        except Exception as error:
            pytest.fail(f"an empty shard is fine: {error}")
    parts = [read_part(tmp_path / f"{index}.jsonl") for index in range(number, 0, -1)]
    assert_equal(merged(parts), whole)


def test_a_part_of_the_whole_says_so(folders, tmp_path):
    found = evaluate_folders(*folders, **QUESTION, shard=(2, 4), journal=tmp_path / "p")
    assert found.flame.sequences == ("clip1", "clip5")
    assert found.incomplete == "2 of 6 sequence(s) are scored"


def test_missing_and_double_parts(folders, whole, tmp_path):
    for index in (1, 2, 3):
        evaluate_folders(*folders, **QUESTION, shard=(index, 3), journal=tmp_path / str(index))
    one, two, three = (read_part(tmp_path / str(index)) for index in (1, 2, 3))
    assert_equal(merged([one, two, two, three, one]), whole)  # identical copies
    with pytest.raises(StateError, match=r"2 of 6 sequence\(s\) are in no part: clip1, clip4; give all parts"):
        merged([one, three])
    partial = merged([one, three], allow_partial=True)
    assert partial.incomplete == "4 of 6 sequence(s) are scored"


def test_parts_that_do_not_belong_together(folders, tmp_path):
    evaluate_folders(*folders, **QUESTION, shard=(1, 2), journal=tmp_path / "1")
    evaluate_folders(*folders, **{**QUESTION, "latency_ms": 131}, shard=(2, 2), journal=tmp_path / "2")
    with pytest.raises(StateError, match=r"2 and .*1 are parts of different evaluations: they differ in question"):
        merged([read_part(tmp_path / "1"), read_part(tmp_path / "2")])


def test_different_counts_of_one_clip(folders, tmp_path):
    preds, labels = (shutil.copytree(folder, tmp_path / folder.name) for folder in folders)
    evaluate_folders(preds, labels, **QUESTION, journal=tmp_path / "1")
    np.save(preds / "clip4" / "03.npy", np.ones((5, 7), np.uint8))
    evaluate_folders(preds, labels, **QUESTION, journal=tmp_path / "2")
    with pytest.raises(StateError, match="hold different counts of sequence 'clip4', expected each clip once"):
        merged([read_part(tmp_path / "1"), read_part(tmp_path / "2")])


def test_shards_on_the_command_line(folders, whole, tmp_path, capsys):
    options = ["--num-classes", "3", "--fps", "10", "--ignore-index", "255", "--latency-ms", "130", "--workers", "1"]
    for index in ("1/2", "2/2"):
        part = ["--shard", index, "--journal", str(tmp_path / index[0])]
        assert main(["evaluate", *map(str, folders), *options, "--max-offset", "3", *part]) == 0
    assert "Shard 2 of 2: 3 of 6 sequence(s) are scored. They are in " in capsys.readouterr().out
    parts = [str(tmp_path / "2"), str(tmp_path / "1")]
    bank = tmp_path / "bank.npz"
    assert main(["merge", *parts, "--json", "-", "--bank", str(bank)]) == 0
    assert capsys.readouterr().out.rstrip("\n") == whole.to_json()
    assert bank.read_bytes() == whole.bank.to_bytes()
    assert main(["merge", parts[0]]) == 4
    assert "3 of 6 sequence(s) are in no part" in capsys.readouterr().err
    assert main(["merge", parts[0], "--allow-partial"]) == 0
    assert "INCOMPLETE: 3 of 6 sequence(s) are scored." in capsys.readouterr().out


# ── damaged files ──


def test_skip_leaves_the_sequence_out_and_says_so(folders, whole, tmp_path):
    preds, labels = (shutil.copytree(folder, tmp_path / folder.name) for folder in folders)
    (preds / "clip3" / "05.npy").write_bytes(b"no array")
    (labels / "clip1" / "00.npy").write_bytes(b"")
    np.save(preds / "clip0" / "02.npy", np.ones((9, 9), np.uint8))
    with pytest.raises(DatasetError, match=r"clip0/02.npy"):
        evaluate_folders(preds, labels, **QUESTION)
    with pytest.warns(FlameWarning, match="sequence clip. is left out: .*npy"):
        found = evaluate_folders(preds, labels, **QUESTION, on_error="skip", journal=tmp_path / "j", jobs=2)
    assert found.incomplete == "3 of 6 sequence(s) are scored; 3 left out for damaged files: clip0, clip1, clip3"
    assert found.flame.sequences == ("clip2", "clip4", "clip5")
    np.testing.assert_array_equal(found.flame.counts, whole.flame.counts[[2, 4, 5]])
    for name in ("clip0", "clip1", "clip3"):  # mended
        for folder, mended in zip(folders, (preds, labels), strict=True):
            for file in (folder / name).iterdir():
                if file.read_bytes() != (mended / name / file.name).read_bytes():
                    shutil.copy(file, mended / name / file.name)
    again = evaluate_folders(preds, labels, **QUESTION, journal=tmp_path / "j", resume=True)
    np.testing.assert_array_equal(again.flame.counts, whole.flame.counts)


def test_nothing_but_damage_is_an_error(folders, tmp_path):
    preds, labels = (shutil.copytree(folder, tmp_path / folder.name) for folder in folders)
    for file in preds.glob("*/03.npy"):
        file.write_bytes(b"no array")
    with pytest.warns(FlameWarning), pytest.raises(DatasetError, match=r"clip0/03.npy"):
        evaluate_folders(preds, labels, **QUESTION, on_error="skip")


# ── runs ──

DATA = "synthetic:videos=4,num_frames=6,height=32,width=48"
NETWORK = Network("brightness", Runner(lambda frame: frame[..., 0] // 32))


def test_a_run_goes_on_with_the_latency_of_its_journal(tmp_path):
    dataset = open_dataset(DATA)
    first = run_network(NETWORK, dataset, journal=tmp_path / "j", timing={"samples": 30})
    lines = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    (tmp_path / "j").write_bytes(b"".join(lines[:-2]))
    again = run_network(NETWORK, dataset, journal=tmp_path / "j", resume=True)
    assert again.trace == first.trace
    assert again.evaluation.to_json() == first.evaluation.to_json()


def test_a_journal_is_refused_before_anything_is_timed(tmp_path):
    dataset = open_dataset(DATA)
    (tmp_path / "j").touch()  # an empty file is no journal yet
    run_network(NETWORK, dataset, journal=tmp_path / "j", timing={"samples": 30})
    calls = []
    network = Network("brightness", Runner(lambda frame: calls.append(frame) or frame[..., 0] // 32))
    with pytest.raises(StateError, match=r"j: is there already; go on with it \(--resume\), or give another journal"):
        run_network(network, dataset, journal=tmp_path / "j")
    with pytest.raises(StateError, match="is of another job"):
        run_network(network, dataset, journal=tmp_path / "j", resume=True, replay="call")
    assert not calls


@pytest.mark.parametrize(
    ("part", "left_out"), [("frames", ""), ("targets", "calls were on frames that are not scored")]
)
def test_a_run_skips_what_is_damaged_where_it_is_timed_too(part, left_out):
    dataset = open_dataset(DATA)
    first = dataset.sequences[0]
    items = getattr(first, part)

    def read(index):
        if index == 4:
            raise DatasetError("item 4 is damaged")
        return items[index]

    broken = replace(first, **{part: OnAccess(read, 6, range(6))})
    data = replace(dataset, sequences=(broken, *dataset.sequences[1:]))
    with pytest.warns(FlameWarning, match="sequence synthetic-0 is left out: .*item 4 is damaged"):
        found = run_network(NETWORK, data, on_error="skip", audit=True, timing={"samples": 30})
    assert found.evaluation.incomplete.startswith("3 of 4 sequence(s) are scored")
    assert left_out in found.audit.checks[0].found
    assert found.audit.checks[0].passed


def test_shards_of_a_run_replay_one_latency(tmp_path):
    pytest.importorskip("PIL", reason="label maps are PNG files, which need Pillow")
    dataset, trace = open_dataset(DATA), LatencyTrace([70, 80, 90], replay="random")
    whole = evaluate_network(NETWORK, dataset, trace=trace)
    for index in (1, 2):
        run_network(
            NETWORK, dataset, trace=trace, shard=(index, 2), journal=tmp_path / str(index), label_maps=tmp_path / "out"
        )
    assert merged([read_part(tmp_path / "1"), read_part(tmp_path / "2")]).to_json() == whole.to_json()
    assert len(list((tmp_path / "out").glob("*/*.png"))) == 24
    with pytest.raises(ConfigError, match="`shard` is given without a latency, expected one for all shards"):
        run_network(NETWORK, dataset, shard=(1, 2), journal=tmp_path / "3")


def test_another_network_is_refused(tmp_path):
    dataset = open_dataset(DATA)
    evaluate_network(NETWORK, dataset, latency_ms=30, journal=tmp_path / "j")
    other = Network("other", NETWORK.runner)
    with pytest.raises(StateError, match="is of another job"):
        evaluate_network(other, dataset, latency_ms=30, journal=tmp_path / "j", resume=True)


def test_a_run_leaves_a_video_with_a_damaged_frame_out():
    dataset = open_dataset(DATA)
    video = dataset.sequences[1]

    def read(index):
        if index == 3:
            raise DatasetError("frame 3 is damaged", path="3.png")
        return video.frames[index]

    damaged = replace(dataset, sequences=(dataset.sequences[0], replace(video, frames=OnAccess(read, 6))))
    with pytest.raises(DatasetError, match="frame 3 is damaged"):
        evaluate_network(NETWORK, damaged, latency_ms=30)
    with pytest.warns(FlameWarning, match="sequence synthetic-1 is left out: frame 3 is damaged"):
        found = evaluate_network(NETWORK, damaged, latency_ms=30, on_error="skip")
    assert found.flame.sequences == ("synthetic-0",)
    assert found.incomplete.startswith("1 of 2 sequence(s) are scored; 1 left out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resume": True}, "`resume` is given without `journal`"),
        ({"shard": (1, 2)}, "`shard` is given without `journal`"),
        ({"shard": (3, 2), "journal": "j"}, "`shard` is 3, expected"),
        ({"shard": (0, 2), "journal": "j"}, "`shard` is 0, expected"),
        ({"on_error": "ignore"}, "`on_error` is 'ignore', expected one of stop, skip"),
    ],
)
def test_jobs_that_make_no_sense(options, message):
    with pytest.raises(ConfigError, match=message):
        Job(**options)
