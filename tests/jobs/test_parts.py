"""Evaluations that are killed, shared out or meet damaged files: equal, or the result says what it lacks."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import networks as models
from flame_metric.cli import evaluate, main
from flame_metric.data.lookup import LabelLookup
from flame_metric.data.registry import open_dataset
from flame_metric.data.videos import OnAccess
from flame_metric.errors import ConfigError, DatasetError, FlameWarning, StateError
from flame_metric.jobs.clip_journal import read_part
from flame_metric.jobs.evaluate import Job, merge_parts
from flame_metric.jobs.folder_source import FolderSource
from flame_metric.jobs.journal import Journal
from flame_metric.latency.runner import Runner
from flame_metric.latency.simulate import StreamConfig
from flame_metric.latency.trace import LatencyTrace
from flame_metric.networks.network import Network
from flame_metric.scores.evaluation import Evaluation, Interrupted
from flat_options import evaluate_folders, evaluate_network, run_network
from laws import examples

CLIPS = 6
SIDES = ("preds", "labels")
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


@pytest.mark.slow
@examples(20)  # each line is flushed to the disk
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
from flame_metric.data import folders as folder

read = folder.LabelFolder.read

def slowly(self, path, **options):
    time.sleep(0.01)
    return read(self, path, **options)

folder.LabelFolder.read = slowly
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
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
    with pytest.raises(StateError, match=r"another job \(question.config.frame_offset: 2 / 1, .*there / here\)"):
        evaluate_folders(*folders, **{**QUESTION, "latency_ms": 30}, journal=tmp_path / "j", resume=True)


def test_files_that_have_changed_are_not_believed(folders, tmp_path):
    preds, labels = (shutil.copytree(folder, tmp_path / folder.name) for folder in folders)
    evaluate_folders(preds, labels, **QUESTION, journal=tmp_path / "j")
    np.save(preds / "clip2" / "03.npy", np.ones((5, 7), np.uint8))
    os.utime(preds / "clip2" / "03.npy", ns=(1, 1))
    with pytest.raises(StateError, match="sequence 'clip2' was counted from other files than are there now"):
        evaluate_folders(preds, labels, **QUESTION, journal=tmp_path / "j", resume=True)


def packed(folder, kind):
    """Pack a folder without times, and give the archive one time."""
    archive = Path(shutil.make_archive(str(folder), kind, folder))
    os.utime(archive, ns=(10**18, 10**18))
    return archive


@pytest.mark.parametrize("side", ["preds", "labels"])
@pytest.mark.parametrize("form", ["npy", "png", "tar"])
def test_files_that_held_something_else_at_the_same_size_and_time_are_not_believed(folders, tmp_path, side, form):
    """The same number of bytes, the time put back: only what the file holds is another."""
    roots = {name: shutil.copytree(folder, tmp_path / name) for name, folder in zip(SIDES, folders, strict=True)}
    if form == "png":
        image = pytest.importorskip("PIL.Image")
        for file in tmp_path.glob("*/*/*.npy"):
            image.fromarray(np.load(file)).save(file.with_suffix(".png"), compress_level=0)
            file.unlink()
    for file in tmp_path.glob("*/*/*"):
        os.utime(file, ns=(10**18, 10**18))
    places = [packed(root, "tar") if form == "tar" else root for root in roots.values()]
    evaluate_folders(*places, **QUESTION, journal=tmp_path / "j")
    assert evaluate_folders(*places, **QUESTION, journal=tmp_path / "j", resume=True, jobs=2)
    (file,) = (roots[side] / "clip2").glob("03.*")
    size = file.stat().st_size
    if form == "png":
        image.fromarray(1 - np.asarray(image.open(file)) // 255).save(file, compress_level=0)
    else:
        np.save(file, (np.load(file) != 1).astype(np.uint8))
    assert file.stat().st_size == size
    os.utime(file, ns=(10**18, 10**18))
    places = [packed(root, "tar") if form == "tar" else root for root in roots.values()]
    with pytest.raises(StateError, match=r"'clip2' was counted from files that held something else .* a new journal"):
        evaluate_folders(*places, **QUESTION, journal=tmp_path / "j", resume=True)


def test_a_journal_from_before_contents_were_kept_is_read(folders, whole, tmp_path):
    path = journal_with(folders, tmp_path, lambda record: record.pop("content"))
    assert_equal(evaluate_folders(*folders, **QUESTION, journal=path, resume=True), whole)


def test_parts_from_before_folders_were_listed_are_read(folders, whole, tmp_path):
    for index in (1, 2):
        evaluate_folders(*folders, **QUESTION, shard=(index, 2), journal=tmp_path / f"new{index}")
        part = read_part(tmp_path / f"new{index}")
        with Journal(tmp_path / f"new{index}", part.configuration, resume=True) as journal:
            records = journal.records
        old = {name: value for name, value in part.configuration.items() if name != "listing"}
        with Journal(tmp_path / f"old{index}", old) as journal:
            for name, record in records.items():
                journal.add(name, {key: value for key, value in record.items() if key != "content"})
    for names in (("old1", "old2"), ("old1", "new2"), ("new1", "old2")):
        assert_equal(merge_parts([read_part(tmp_path / name) for name in names]), whole)
    assert_equal(evaluate_folders(*folders, **QUESTION, journal=tmp_path / "old1", resume=True), whole)


def test_a_journal_whose_counts_contradict_each_other(folders, tmp_path):
    path = journal_with(folders, tmp_path, lambda record: record["scores"][0]["predicted"].__setitem__(0, 99))
    with pytest.raises(StateError, match="k: sequence 'clip1': the counts of sequence 'FLAME 0' contradict each other"):
        evaluate_folders(*folders, **QUESTION, journal=path, resume=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, "question.seed: 0 / 1"),
        ({"stream": StreamConfig(queue=2)}, "question.stream.queue: 1 / 2"),
        ({"class_names": ["a", "b", "c"]}, 'question.config.class_names: null / \\["a", "b", "c"\\]'),
        ({"hardware": "a camera"}, 'question.config.device: null / "a camera"'),
        ({"max_offset": 4}, "question.max_offset: 3 / 4"),
        ({"step": 2}, "frames: "),
        ({"pred_prefix": "0"}, "frames: "),
        ({"pred_map": LabelLookup({}, "*")}, "about.predictions: "),
    ],
)
def test_what_can_move_a_number_or_its_signature_may_not_change(folders, tmp_path, options, message):
    preds, labels = (shutil.copytree(folder, tmp_path / folder.name) for folder in folders)
    for folder in (preds, labels):  # so that a step of two and a prefix fit as well
        for file in folder.glob("*/*[13579].npy"):
            file.unlink()
    evaluate_folders(preds, labels, **QUESTION, journal=tmp_path / "j")
    if "pred_prefix" in options:
        options = {**options, "label_prefix": "0"}
    if "step" in options:
        evaluate_folders(preds, labels, **QUESTION, step=2, journal=tmp_path / "j", resume=True)  # the default, said
        options = {"step": 1}
    with pytest.raises(StateError, match=f"another job .*{message}"):
        evaluate_folders(preds, labels, **{**QUESTION, **options}, journal=tmp_path / "j", resume=True)


def test_parts_of_two_networks_are_not_mixed(folders, tmp_path):
    other = shutil.copytree(folders[0], tmp_path / "other")
    evaluate_folders(*folders, **QUESTION, shard=(1, 2), journal=tmp_path / "1")
    evaluate_folders(other, folders[1], **QUESTION, shard=(2, 2), journal=tmp_path / "2")
    with pytest.raises(StateError, match=r'differ in about.predictions: \["other", .* / \["preds", '):
        merge_parts([read_part(tmp_path / "1"), read_part(tmp_path / "2")])


def test_parts_come_from_where_the_folders_lie_on_each_machine(folders, whole, tmp_path):
    elsewhere = [shutil.copytree(folder, tmp_path / "elsewhere" / folder.name) for folder in folders]
    for file in (tmp_path / "elsewhere").glob("*/*/*"):
        os.utime(file, ns=(1, 1))
    evaluate_folders(*folders, **QUESTION, shard=(1, 2), journal=tmp_path / "1")
    evaluate_folders(*elsewhere, **QUESTION, shard=(2, 2), journal=tmp_path / "2")
    assert_equal(merge_parts([read_part(tmp_path / "1"), read_part(tmp_path / "2")]), whole)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("change", ["content", "size"])
def test_parts_of_two_versions_of_a_network_are_refused(folders, tmp_path, capsys, side, change):
    """Whoever writes over a folder between two shares: each share is sound, and together they are of no network."""
    preds, labels = (shutil.copytree(folder, tmp_path / name) for name, folder in zip(SIDES, folders, strict=True))
    evaluate_folders(preds, labels, **QUESTION, shard=(1, 2), journal=tmp_path / "1")
    for file in (tmp_path / side).glob("*/*.npy"):
        if change == "content":
            np.save(file, (np.load(file) != 1).astype(np.uint8))
        elif change == "size" and file.parent.name == "clip0":  # of the other share
            np.save(file, np.load(file).astype(np.uint16))
    evaluate_folders(preds, labels, **QUESTION, shard=(2, 2), journal=tmp_path / "2")
    parts = [str(tmp_path / "1"), str(tmp_path / "2")]
    named = {"preds": "predictions", "labels": "labels"}[side]
    assert main(["merge", *parts]) == 4
    said = f"{parts[0]} and {parts[1]} were counted from folders of {named} that held other files"
    assert f"{said}, such as outputs of two versions of a network; count all" in capsys.readouterr().err
    assert main(["merge", *parts, "--allow-unlike"]) == 0
    assert "were counted from folders of" in capsys.readouterr().out


def test_only_the_files_of_a_share_are_looked_at(folders, tmp_path, monkeypatch):
    seen = []
    look = FolderSource.fingerprint
    monkeypatch.setattr(FolderSource, "fingerprint", lambda self, plan: seen.append(plan.clip.name) or look(self, plan))
    evaluate_folders(*folders, **QUESTION, shard=(2, 3), journal=tmp_path / "j")
    assert seen == ["clip1", "clip4"]


def test_notes_of_void_pixels_are_those_of_the_whole(tmp_path):
    """Void pixels lie in one clip only: a part that lacks it says nothing, and the merge says what the whole does."""
    for side, void in (("preds", 255), ("labels", 0)):
        for clip in ("a", "b"):
            (tmp_path / side / clip).mkdir(parents=True)
            for frame in range(3):
                np.save(
                    tmp_path / side / clip / f"{frame}.npy", np.array([[0, 1, void if clip == "b" else 0]], np.uint8)
                )
    folders = tmp_path / "preds", tmp_path / "labels"
    question = {"num_classes": 2, "ignore_index": 255, "fps": 10, "frame_offset": 1}
    wanted = evaluate_folders(*folders, **question)
    assert wanted.notes == ("Predictions hold the void label 255 and labels do not: are the two folders swapped?",)
    assert evaluate_folders(*folders, **question, jobs=3) == wanted
    for index in (1, 2):
        evaluate_folders(*folders, **question, shard=(index, 2), journal=tmp_path / str(index))
    assert merge_parts([read_part(tmp_path / name) for name in ("2", "1")]).notes == wanted.notes
    assert evaluate_folders(*folders, **question, journal=tmp_path / "whole").notes == wanted.notes
    assert evaluate_folders(*folders, **question, journal=tmp_path / "whole", resume=True).notes == wanted.notes


def test_notes_and_order_do_not_depend_on_what_was_counted_when(folders, tmp_path):
    """Frames of two sizes, labels without a prediction, and clips whose order is none of the alphabet."""
    preds, labels = (shutil.copytree(folder, tmp_path / folder.name) for folder in folders)
    for clip in ("clip1", "clip4"):
        (preds / clip / "07.npy").unlink()
        (labels / clip / "05.npy").unlink()
    for folder in (preds, labels):
        for file in (folder / "clip3").iterdir():
            np.save(file, np.load(file)[:4])
    question = {**QUESTION, "latency_ms": 30, "max_offset": None, "stream": None}
    wanted = evaluate_folders(preds, labels, **question)
    assert "Frames differ in size, and so may their latencies: 4x7, 5x7." in wanted.notes
    assert any("(clip1/07, clip4/07)" in note for note in wanted.notes)
    for index in (1, 2):
        evaluate_folders(preds, labels, **question, shard=(index, 2), journal=tmp_path / str(index))
    parts = [read_part(tmp_path / name) for name in ("2", "1")]
    assert merge_parts(parts).to_json() == wanted.to_json()
    again = evaluate_folders(preds, labels, **question, journal=tmp_path / "2", resume=True)  # clip1, 3, 5 first
    assert again.to_json() == wanted.to_json()


def journal_with(folders, tmp_path, change):
    """A journal, well formed, of which one record was changed."""
    evaluate_folders(*folders, **QUESTION, journal=tmp_path / "j")
    configuration = read_part(tmp_path / "j").configuration
    with Journal(tmp_path / "j", configuration, resume=True) as journal:
        records = journal.records
    change(records["clip1"])
    with Journal(tmp_path / "k", configuration) as journal:
        for name, record in records.items():
            journal.add(name, record)
    return tmp_path / "k"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(labelled=[2**80]), "frames do not ascend, or not within its 8 frames"),
        (
            lambda r: r.update(labelled=[1, 0, *r["labelled"][2:]]),
            "frames do not ascend, or not within its 8 frames",
        ),
        (lambda r: r.update(num_frames=3), "frames do not ascend, or not within its 3 frames"),
        (
            lambda r: r["scores"].append({**r["scores"][0], "id": r["scores"][0]["id"].replace(" ", " 0")}),
            r"names a score '\w+ 00', expected a name and a number",
        ),
    ],
)
def test_a_clip_that_cannot_be_one(folders, tmp_path, change, message):
    """A frame beyond 64 bits ended in a traceback; of two scores of one name the last was taken in silence."""
    with pytest.raises(StateError, match=f"sequence 'clip1': .*{message}"):
        read_part(journal_with(folders, tmp_path, change))


@pytest.mark.parametrize(
    ("field", "value"),
    [("seed", -1), ("seed", "x"), ("max_offset", 1.5), ("keep_bank", 1), ("latency", -5), ("latency", True)],
)
def test_a_question_that_cannot_be_one(folders, tmp_path, field, value):
    evaluate_folders(*folders, **QUESTION, journal=tmp_path / "j")
    configuration = dict(read_part(tmp_path / "j").configuration)
    configuration["question"] = {**configuration["question"], field: value}
    with Journal(tmp_path / "k", configuration):
        pass
    with pytest.raises(StateError, match=f"k: .*`{field}` is {value!r}"):
        read_part(tmp_path / "k")


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update(scores=[]),
        lambda record: record["scores"].pop(),
        lambda record: record["scores"][0].update(id="else 0"),
        lambda record: record.update(bank=None),
    ],
)
def test_a_clip_without_a_score_that_was_asked_for(folders, tmp_path, change):
    path = journal_with(folders, tmp_path, change)
    with pytest.raises(StateError, match="k: sequence 'clip1': holds other scores than were asked for"):
        read_part(path)


def test_a_journal_of_something_else(tmp_path):
    with Journal(tmp_path / "j", {"classes": 19}):
        pass
    with pytest.raises(StateError, match=r"j: this 'journal of clips' record is incomplete .*'question' is missing"):
        read_part(tmp_path / "j")


def test_parts_of_two_versions(folders, tmp_path):
    for index in (1, 2):
        evaluate_folders(*folders, **QUESTION, shard=(index, 2), journal=tmp_path / str(index))
    old = read_part(tmp_path / "2")
    old = replace(old, configuration={**old.configuration, "version": "0.0.9"})
    with pytest.raises(StateError, match=r'they differ in version: "0.0.9" / "'):
        merge_parts([read_part(tmp_path / "1"), old])


def test_clips_of_any_name(tmp_path):
    names = ["ünï ☃", "a b", "line\nbreak", "'quoted\"", "😀", "-"]
    for folder in ("preds", "labels"):
        for name in names:
            (tmp_path / folder / name).mkdir(parents=True)
            for frame in range(3):
                np.save(tmp_path / folder / name / f"{frame}.npy", np.full((2, 2), frame % 2, np.uint8))
    both = tmp_path / "preds", tmp_path / "labels"
    question = {"num_classes": 2, "fps": 10, "latency_ms": 30, "max_offset": 1}
    for index in (1, 2):
        evaluate_folders(*both, **question, shard=(index, 2), journal=tmp_path / str(index))
    assert_equal(
        merge_parts([read_part(tmp_path / "1"), read_part(tmp_path / "2")]), evaluate_folders(*both, **question)
    )


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
        f"flame-metric: interrupted: 2 of 6 sequence(s) are scored; --journal {tmp_path / 'j'} --resume continues\n"
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
    assert_equal(merge_parts(parts), whole)


def test_a_part_of_the_whole_says_so(folders, tmp_path):
    found = evaluate_folders(*folders, **QUESTION, shard=(2, 4), journal=tmp_path / "p")
    assert found.flame.sequences == ("clip1", "clip5")
    assert found.incomplete == "2 of 6 sequence(s) are scored"


def test_missing_and_double_parts(folders, whole, tmp_path):
    for index in (1, 2, 3):
        evaluate_folders(*folders, **QUESTION, shard=(index, 3), journal=tmp_path / str(index))
    one, two, three = (read_part(tmp_path / str(index)) for index in (1, 2, 3))
    with pytest.warns(FlameWarning, match=r"4 sequence\(s\) are in several parts .*: clip0, clip1, clip3, clip4$"):
        assert_equal(merge_parts([one, two, two, three, one]), whole)
    with pytest.raises(StateError, match=r"2 of 6 sequence\(s\) are in no part: clip1, clip4; give all parts"):
        merge_parts([one, three])
    partial = merge_parts([one, three], allow_partial=True)
    assert partial.incomplete == "4 of 6 sequence(s) are scored"


def test_parts_that_do_not_belong_together(folders, tmp_path):
    evaluate_folders(*folders, **QUESTION, shard=(1, 2), journal=tmp_path / "1")
    evaluate_folders(*folders, **{**QUESTION, "latency_ms": 131}, shard=(2, 2), journal=tmp_path / "2")
    with pytest.raises(StateError, match=r"2 and .*1 are parts of different evaluations: .*question.latency: 131"):
        merge_parts([read_part(tmp_path / "1"), read_part(tmp_path / "2")])


def test_different_counts_of_one_clip(folders, tmp_path):
    preds, labels = (shutil.copytree(folder, tmp_path / folder.name) for folder in folders)
    evaluate_folders(preds, labels, **QUESTION, journal=tmp_path / "1")
    np.save(preds / "clip4" / "03.npy", np.ones((5, 7), np.uint8))
    evaluate_folders(preds, labels, **QUESTION, journal=tmp_path / "2")
    with pytest.raises(StateError, match="hold different counts of sequence 'clip4', expected each clip once"):
        merge_parts([read_part(tmp_path / "1"), read_part(tmp_path / "2")])


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
    assert main(["merge", parts[0], "--allow-partial", "--bank", str(bank)]) == 0
    printed = capsys.readouterr().out
    assert "INCOMPLETE: 3 of 6 sequence(s) are scored." in printed
    assert "INCOMPLETE, and so is what they answer: 3 of 6 sequence(s) are scored" in printed


def test_overlaps_on_the_command_line(folders, whole, tmp_path, capsys):
    """Shards of other numbers overlap: equal counts are taken once, and others are refused."""
    preds, labels = (shutil.copytree(folder, tmp_path / folder.name) for folder in folders)
    options = ["--num-classes", "3", "--fps", "10", "--ignore-index", "255", "--latency-ms", "130", "--workers", "1"]

    def share(text):
        part = str(tmp_path / text.replace("/", "of"))
        command = ["evaluate", str(preds), str(labels), *options, "--max-offset", "3", "--shard", text]
        assert main([*command, "--journal", part]) == 0
        return part

    parts = [share("1/2"), share("2/3"), share("3/3"), share("1/3")]
    capsys.readouterr()
    assert main(["merge", *parts, parts[0], "--json", "-"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{whole.to_json()}\n"
    twice = "3 sequence(s) are in several parts with identical counts and were taken once: clip0, clip2, clip4"
    assert err == f"flame-metric: warning: {twice}\n"
    np.save(preds / "clip3" / "03.npy", np.ones((5, 7), np.uint8))
    parts[2] = share("2/2")  # clip3 is in 1/3, too
    capsys.readouterr()
    assert main(["merge", *parts]) == 4
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"flame-metric: error: {parts[3]} and {parts[2]} hold different counts of sequence 'clip3'")


def test_a_missing_shard_on_the_command_line(folders, tmp_path, capsys):
    options = ["--num-classes", "3", "--fps", "10", "--ignore-index", "255", "--latency-ms", "130"]
    part = str(tmp_path / "1")
    assert main(["evaluate", *map(str, folders), *options, "--shard", "1/3", "--journal", part]) == 0
    capsys.readouterr()
    assert main(["merge", part]) == 4
    assert capsys.readouterr() == (
        "",
        "flame-metric: error: 4 of 6 sequence(s) are in no part: clip1, clip2, clip4, clip5; give all parts, or "
        "--allow-partial for a result that is marked INCOMPLETE\n",
    )
    assert main(["merge", part, str(tmp_path / "2")]) == 3
    assert (
        capsys.readouterr().err == f"flame-metric: error: {tmp_path / '2'}: cannot be read: No such file or directory\n"
    )


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


@pytest.mark.parametrize("part", ["frames", "targets"])
def test_a_run_does_not_believe_other_frames_and_labels_of_one_name(part, tmp_path):
    dataset = open_dataset(DATA)
    options = {"latency_ms": 30, "journal": tmp_path / "j", "resume": True}
    first = evaluate_network(NETWORK, dataset, **options)
    assert evaluate_network(NETWORK, dataset, **options).to_json() == first.to_json()
    video = dataset.sequences[1]
    items = [np.array(item) for item in getattr(video, part)]
    items[2][0, 0] ^= 1
    other = replace(video, **{part: OnAccess(items.__getitem__, len(items)) if part == "frames" else tuple(items)})
    changed = replace(dataset, sequences=(dataset.sequences[0], other, *dataset.sequences[2:]))
    with pytest.raises(StateError, match=r"'synthetic-1' was counted from files that held something else"):
        evaluate_network(NETWORK, changed, **options)


def test_a_journal_is_refused_before_anything_is_timed(tmp_path):
    dataset = open_dataset(DATA)
    (tmp_path / "j").touch()  # an empty file is not a journal yet
    run_network(NETWORK, dataset, journal=tmp_path / "j", timing={"samples": 30})
    calls = []
    network = Network("brightness", Runner(lambda frame: calls.append(frame) or frame[..., 0] // 32))
    with pytest.raises(StateError, match=r"j: is there already; resume from it \(--resume\), or give another journal"):
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
    assert merge_parts([read_part(tmp_path / "1"), read_part(tmp_path / "2")]).to_json() == whole.to_json()
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


@pytest.mark.parametrize("left", [b"", b'{"configuration":{"about"'])
def test_a_run_that_was_killed_before_its_first_line(tmp_path, left):
    (tmp_path / "j").write_bytes(left)
    found = run_network(NETWORK, open_dataset(DATA), journal=tmp_path / "j", resume=True, timing={"samples": 30})
    assert len(found.trace) == 30
    assert read_part(tmp_path / "j").request.latency == found.trace


def test_another_replay_is_refused(tmp_path):
    dataset = open_dataset(DATA)
    run_network(NETWORK, dataset, journal=tmp_path / "j", timing={"samples": 30})
    with pytest.raises(StateError, match=r'question.latency.replay: "random" / "call"'):
        run_network(NETWORK, dataset, journal=tmp_path / "j", resume=True, replay="call")


def test_a_run_that_is_begun_anew_by_mistake_says_so(tmp_path):
    """Its latency is another one, but that is not what has to be told."""
    for _ in range(2):
        with nullcontext() if not (tmp_path / "j").exists() else pytest.raises(StateError, match="resume from it"):
            run_network(NETWORK, open_dataset(DATA), journal=tmp_path / "j", timing={"samples": 30})


def test_clips_keep_their_order(tmp_path):
    """synthetic-10 comes after synthetic-9 in a run, and before synthetic-2 in the alphabet."""
    dataset = open_dataset("synthetic:videos=11,num_frames=4,height=32,width=48")
    wanted = evaluate_network(NETWORK, dataset, latency_ms=30, max_offset=2)
    for index in (1, 2):
        shard = {"shard": (index, 2), "journal": tmp_path / str(index)}
        evaluate_network(NETWORK, dataset, latency_ms=30, max_offset=2, **shard)
    parts = [read_part(tmp_path / "2"), read_part(tmp_path / "1")]
    assert_equal(merge_parts(parts), wanted)
    assert list(parts[0].sequences) == [video.name for video in dataset.sequences]


def test_frames_of_several_sizes_are_told_of_parts_too(tmp_path):
    videos = tuple(
        replace(open_dataset(f"synthetic:videos=2,num_frames=4,height={height},width=48").sequences[place])
        for place, height in enumerate((32, 40))
    )
    dataset = replace(open_dataset(DATA), sequences=videos)
    wanted = evaluate_network(NETWORK, dataset, latency_ms=30)
    assert wanted.notes[-1] == "Frames differ in size, and so may their latencies: 32x48, 40x48."
    for index in (1, 2):
        evaluate_network(NETWORK, dataset, latency_ms=30, shard=(index, 2), journal=tmp_path / str(index))
    assert merge_parts([read_part(tmp_path / "1"), read_part(tmp_path / "2")]).to_json() == wanted.to_json()
    again = evaluate_network(NETWORK, dataset, latency_ms=30, journal=tmp_path / "1", resume=True)
    assert again.to_json() == wanted.to_json()


def test_pictures_of_a_run_that_goes_on(tmp_path, monkeypatch):
    """Label maps and overlays of what is finished stay; those of the sequence that was cut are written again."""
    pytest.importorskip("PIL", reason="label maps are PNG files, which need Pillow")
    monkeypatch.chdir(tmp_path)
    calls = []

    def brightness(frame):
        calls.append(frame)
        if len(calls) == 15:  # in the third video
            raise KeyboardInterrupt
        return NETWORK.runner(frame)

    def run(name, network, **options):
        folders = {"label_maps": tmp_path / name / "maps", "overlays": tmp_path / name / "overlays"}
        return run_network(network, open_dataset(DATA), latency_ms=70, **folders, **options)

    whole = run("whole", NETWORK)
    with pytest.raises(KeyboardInterrupt):
        run("killed", Network("brightness", Runner(brightness)), journal="j")
    assert len((tmp_path / "j").read_text().splitlines()) in (2, 3)
    again = run("killed", NETWORK, journal="j", resume=True)
    assert again.evaluation.to_json() == whole.evaluation.to_json()
    files = [
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.png")}
        for name in ("whole", "killed")
    ]
    assert len(files[0]) == 24 + 4
    assert files[0] == files[1]


def test_what_tells_one_network_from_another(tmp_path):
    dataset = open_dataset(DATA)
    evaluate_network(NETWORK, dataset, latency_ms=30, journal=tmp_path / "j", about={"weights": "abc"})
    with pytest.raises(StateError, match=r'is of another job \(about.weights: "abc" / "abd"'):
        evaluate_network(NETWORK, dataset, latency_ms=30, journal=tmp_path / "j", resume=True, about={"weights": "abd"})


def test_label_maps_of_another_run_are_not_mixed_in(tmp_path):
    """A journal to go on with need not be there; then nothing of this run is in its folder either."""
    pytest.importorskip("PIL", reason="label maps are PNG files, which need Pillow")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "0.png").write_bytes(b"of another run")
    with pytest.raises(ConfigError, match="out holds files, expected a new or an empty folder"):
        run_network(
            NETWORK, open_dataset(DATA), latency_ms=30, journal=tmp_path / "j", resume=True, label_maps=tmp_path / "out"
        )


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


# ── what a command refuses at once ──

COMMAND = ["--num-classes", "3", "--fps", "10", "--ignore-index", "255", "--latency-ms", "130"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--journal", "-"], "--journal is -, expected a file"),
        (["--journal", "same", "--json", "./same"], "--journal and --json both write to ./same"),
        (["--journal", "nowhere/j"], "nowhere/j: cannot be written: its folder does not exist"),
        (["--journal", "."], ".: cannot be written: it is a folder"),
        (["--journal", "j", "--shard", "1/2", "--json", "r.json"], "--json is given with --shard, expected with"),
        (["--journal", "j", "--shard", "1/2", "--csv", "-"], "--csv is given with --shard, expected with"),
        (["--shard", "1/2"], "`shard` is given without `journal`"),
        (["--resume"], "`resume` is given without `journal`"),
    ],
)
def test_outputs_that_make_no_sense(folders, tmp_path, monkeypatch, capsys, options, message):  # noqa: PLR0917
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", *map(str, folders), *COMMAND, *options]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_is_read_is_not_written_over(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trace.json").write_text(LatencyTrace([130]).to_json())
    trace = ["--trace", "trace.json", *COMMAND[:-2]]
    for option in ("--journal", "--json"):
        assert main(["evaluate", *map(str, folders), *trace, option, "trace.json"]) == 2
        assert f"{option} writes to trace.json, which is read" in capsys.readouterr().err
    assert main(["evaluate", *map(str, folders), *COMMAND, "--journal", "part"]) == 0
    before = (tmp_path / "part").read_bytes()
    assert main(["merge", "part", "--json", "./part"]) == 2
    assert "--json writes to ./part, which is read, expected another file" in capsys.readouterr().err
    assert (tmp_path / "part").read_bytes() == before


def test_a_full_disk_is_one_line(folders, tmp_path, capsys):
    resource = pytest.importorskip("resource", reason="only some systems limit the size of files")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, limits[1]))
    try:
        assert main(["evaluate", *map(str, folders), *COMMAND, "--journal", str(tmp_path / "j")]) == 3
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert capsys.readouterr().err == f"flame-metric: error: {tmp_path / 'j'}: cannot be written: File too large\n"
    assert main(["evaluate", *map(str, folders), *COMMAND, "--journal", str(tmp_path / "j"), "--resume"]) == 0


def test_ctrl_c_before_anything_new_is_finished(folders, tmp_path, monkeypatch, capsys):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "evaluate_folders", stop)
    assert main(["evaluate", *map(str, folders), *COMMAND, "--journal", str(tmp_path / "j")]) == 130
    assert capsys.readouterr().err == f"flame-metric: interrupted: --journal {tmp_path / 'j'} --resume continues\n"


@pytest.mark.slow
def test_weights_are_compared_by_what_they_hold(tmp_path, capsys):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    for seed, name in enumerate(("one.pt", "other.pt")):
        torch.manual_seed(seed)
        torch.save(models.build("swiftnet-r18", 8).state_dict(), tmp_path / name)
    shutil.copy(tmp_path / "one.pt", tmp_path / "copy.pt")
    words = ["run", "swiftnet-r18", "synthetic:videos=2,num_frames=3,height=32,width=64", "--frame-offset", "1"]
    words += ["--journal", str(tmp_path / "j"), "--resume", "--weights"]
    assert main([*words, str(tmp_path / "one.pt")]) == 0
    assert main([*words, str(tmp_path / "copy.pt"), "--threads", "1", "--jobs", "1"]) == 0
    capsys.readouterr()
    assert main([*words, str(tmp_path / "other.pt")]) == 4
    assert "is of another job (about.weights: " in capsys.readouterr().err
    assert main([*words, str(tmp_path / "one.pt"), "--mean", "0,0,0"]) == 4
    assert "is of another job (about.mean: " in capsys.readouterr().err


@pytest.mark.parametrize("journal", [None, "j"])
def test_skip_leaves_out_what_is_a_link_to_nothing(folders, tmp_path, journal):
    """With a journal, files are looked at before anything is read."""
    labels = shutil.copytree(folders[1], tmp_path / "labels")
    (labels / "clip3" / "04.npy").unlink()
    (labels / "clip3" / "04.npy").symlink_to("nowhere")
    options = {} if journal is None else {"journal": tmp_path / journal}
    with pytest.warns(FlameWarning, match="sequence clip3 is left out: .*04.npy"):
        found = evaluate_folders(folders[0], labels, **QUESTION, on_error="skip", **options)
    assert found.left_out == ("clip3",)
    with pytest.raises(DatasetError, match=r"04\.npy"):
        evaluate_folders(folders[0], labels, **QUESTION)
