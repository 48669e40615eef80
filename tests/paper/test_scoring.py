"""Test videos that are counted once: a journal changes no count, and what it holds of anything else is not believed."""

import base64
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric.data.registry import open_dataset
from flame_metric.errors import StateError
from flame_metric.jobs.journal import Journal, read_journal
from flame_metric.scores.bank import OffsetBank
from laws import examples

pytest.importorskip("torch", reason="PyTorch is not installed")
from flame_metric.paper import scoring
from flame_metric.paper.scoring import count_videos

TEST = open_dataset("synthetic:videos=4,num_frames=5,height=32,width=48")
ABOUT = {"weights": "those of the first training"}


def empty(max_offset=2):
    return OffsetBank(8, max_offset=max_offset, fps=TEST.fps, ignore_index=255, persistence=True)


def counted(folder, test=TEST, *, about=ABOUT, bank=empty, frames=1, stop=None):
    """What is counted, and how many videos a network saw for it; ``stop``: the frame at which Ctrl-C is pressed."""
    seen = []

    def predict(image):
        if len(seen) == stop:
            raise KeyboardInterrupt
        seen.append(image.shape)
        return image[..., -1] // 32

    steps = []
    found = count_videos(
        test, predict, bank, frames=frames, about=about, folder=folder, progress=lambda *step: steps.append(step)
    )
    videos = len(test.sequences)
    assert steps == [(done, videos) for done in range(1, videos + 1)]
    assert len(seen) % 5 == 0
    return found.to_bytes(), len(seen) // 5


@pytest.fixture(scope="module")
def whole():
    return counted(None)[0]


def test_a_journal_changes_nothing_and_is_believed(whole, tmp_path):
    assert counted(tmp_path / "new") == (whole, 4)
    assert counted(tmp_path / "new") == (whole, 0)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["scores.jsonl"]


@pytest.mark.slow
@examples(20)  # each line is flushed to the disk
@given(st.data())
def test_cut_anywhere_the_rest_is_counted(whole, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cut")
    counted(folder)
    content = (folder / "scores.jsonl").read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    (folder / "scores.jsonl").write_bytes(content[:cut])
    lost = 4 - max(0, content[:cut].count(b"\n") - 1)
    assert counted(folder) == (whole, lost)
    assert (folder / "scores.jsonl").read_bytes() == content


def test_ctrl_c_loses_one_video(whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        counted(tmp_path, stop=13)  # in the third video
    assert list(read_journal(tmp_path / "scores.jsonl")[1]) == ["synthetic-0", "synthetic-1"]
    assert counted(tmp_path) == (whole, 2)


def changed(place, side, frame, change):
    """The videos, in one of which a frame or a label map is another."""
    videos = list(TEST.sequences)
    items = [np.array(item) for item in getattr(videos[place], side)]
    items[frame] = change(items[frame])
    videos[place] = replace(videos[place], **{side: items})
    return replace(TEST, sequences=tuple(videos))


def one_pixel(array):
    other = array.copy()
    other[-1, -1] = (other[-1, -1] + 1) % 8
    return other


@pytest.mark.slow
@pytest.mark.parametrize("side", ["frames", "targets"])
@pytest.mark.parametrize("frame", range(5))
@pytest.mark.parametrize("place", range(4))
def test_one_pixel_of_a_video_has_that_one_counted_again(tmp_path, place, frame, side):
    counted(tmp_path)
    other = changed(place, side, frame, one_pixel)
    wanted, _ = counted(None, other)
    assert counted(tmp_path, other) == (wanted, 1)
    assert counted(tmp_path, other) == (wanted, 0)


@pytest.mark.parametrize("side", ["frames", "targets"])
def test_another_type_of_the_same_numbers_is_not_believed(tmp_path, side):
    counted(tmp_path)
    assert counted(tmp_path, changed(1, side, 3, lambda array: array.astype(np.int32)))[1] == 1
    assert counted(tmp_path, TEST)[1] == 1  # the right one again


def test_other_names_and_labelled_frames(tmp_path):
    counted(tmp_path)
    videos = list(TEST.sequences)
    videos[1] = replace(videos[1], frame_names=list("abcde"))
    videos[2] = replace(videos[2], targets=[None, *list(videos[2].targets)[1:]])
    other = replace(TEST, sequences=tuple(videos))
    wanted, _ = counted(None, other)
    assert counted(tmp_path, other) == (wanted, 2)


class Reads(list):
    """A list that keeps the numbers of the items that are read."""

    def __init__(self, values):
        super().__init__(values)
        self.read = []

    def __getitem__(self, index):
        self.read.append(index)
        return super().__getitem__(index)


def test_what_no_count_is_of_is_not_read(tmp_path):
    """One label, on the last frame: with reach 1 and two input frames the first two may be anything."""
    clip = TEST.sequences[0]
    for first in (0, 255):
        frames = Reads([np.full((32, 48, 3), first, np.uint8), *map(np.array, clip.frames[1:])])
        targets = [None] * 4 + [np.array(clip.targets[4])]
        test = replace(TEST, sequences=(replace(clip, frames=frames, targets=targets),))
        bank = count_videos(
            test,
            lambda image: image[..., -1] // 32,
            lambda: OffsetBank(8, max_offset=1, ignore_index=255),
            frames=2,
            about=ABOUT,
            folder=tmp_path,
            progress=lambda *step: None,
        )
        assert bank.sequences == (clip.name,)
        assert frames.read == [2, 3, 4]  # each once, when it is counted and when its counts are believed


@pytest.mark.parametrize(
    "change",
    [
        {"about": {"weights": "others"}},
        {"bank": lambda: empty(3)},
        {"bank": lambda: OffsetBank(8, max_offset=2, fps=TEST.fps, ignore_index=255)},
        {"test": open_dataset("synthetic:videos=4,num_frames=5,height=48,width=48")},
        {"test": open_dataset("synthetic:videos=4,num_frames=5,height=32,width=48,fps=10")},
        {"test": replace(TEST, sequences=TEST.sequences[::-1])},
        {"test": replace(TEST, sequences=TEST.sequences[:3])},
    ],
)
def test_counts_of_anything_else_are_made_again(tmp_path, change):
    counted(tmp_path)
    wanted, videos = counted(None, **change)
    assert counted(tmp_path, **change) == (wanted, videos)
    assert counted(tmp_path, **change) == (wanted, 0)


def test_counts_of_another_release_are_made_again(whole, tmp_path, monkeypatch):
    counted(tmp_path)
    monkeypatch.setattr(scoring, "__version__", "0.0.0")
    assert counted(tmp_path) == (whole, 4)


def with_record(folder, record):
    """A journal whose second video holds something else, with a checksum that is right."""
    counted(folder)
    path = folder / "scores.jsonl"
    configuration, records = read_journal(path)
    path.unlink()
    with Journal(path, configuration) as journal:
        for name, kept in records.items():
            journal.add(
                name, {"fingerprint": kept["fingerprint"], **record(records)} if name == "synthetic-1" else kept
            )


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            lambda records: {"bank": records["synthetic-0"]["bank"]},
            "sequence 'synthetic-1' is not in the bank, expected one of synthetic-0",
        ),
        (lambda records: {}, "'bank' is missing"),
        (lambda records: {"bank": "?"}, "is incomplete or damaged"),
        (lambda records: {"bank": base64.b64encode(b"PK").decode()}, "is not a 'flame-metric bank 1' file"),
        (lambda records: {"bank": base64.b64encode(empty().to_bytes()).decode()}, "'synthetic-1' is not in the bank"),
    ],
)
def test_records_that_contradict_themselves(tmp_path, record, message):
    with_record(tmp_path, record)
    with pytest.raises(StateError, match=rf"scores.jsonl: video 'synthetic-1': .*{message}.*without the file"):
        counted(tmp_path)


def test_a_journal_that_is_written_is_left_alone(tmp_path):
    counted(tmp_path)
    configuration, _ = read_journal(tmp_path / "scores.jsonl")
    with (
        Journal(tmp_path / "scores.jsonl", configuration, resume=True),
        pytest.raises(StateError, match="is being written by another process"),
    ):
        counted(tmp_path, about={"weights": "others"})
