"""Which digits of a name are the frame number: what is read, what is refused, and what a pattern says instead."""

import hashlib
import itertools
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric.data.folders import LabelFolder, match_folders
from flame_metric.data.frame_names import FrameNames, NamedFolders, split_name
from flame_metric.errors import ConfigError, DatasetError


def side(names: list[str] | dict[str, list[str]], what: str = "labels") -> NamedFolders:
    folders = names if isinstance(names, dict) else {"": names}
    files = {folder: {name: Path(folder, f"{name}.png") for name in there} for folder, there in folders.items()}
    return NamedFolders(Path("root"), what, files)


def read(names: list[str] | dict[str, list[str]], *others: NamedFolders, **options) -> dict[str, list[int]]:
    """Return the numbers of each sequence of the first side."""
    first = side(names)
    found = FrameNames.find(first, *others, **options)
    return {
        sequence: [found.split(name, file).number for name, file in files.items()]
        for sequence, files in found.sequences(first.folders).items()
    }


def hashed(number: int) -> str:
    return hashlib.sha256(bytes([number])).hexdigest()[:8]


SIX = [0, 1, 2, 3, 4, 5]


# ── what is read ──


@pytest.mark.parametrize(
    ("form", "sequence"),
    [
        ("{:04}", ""),
        ("{}", ""),
        ("clip_{:04}", "clip"),
        ("frame-{}", "frame"),
        ("frame ({})", "frame"),
        ("frankfurt_000000_{:06}_leftImg8bit", "frankfurt_000000"),
        ("frame_{:04}_v2", "frame"),
        ("{:04}_720p", ""),
        ("frame{:04}@2x", "frame"),
        ("f_{:04}_1920x1080", "f"),
        ("{:06}_cam0", ""),
        ("f{:03}_seq2", "f"),
        ("clip.mp4.{:04}", "clip.mp4"),
        ("clip.mp4.{}", "clip.mp4"),
        ("{:04}.mp4", ""),
        ("shot010.{:04}", "shot010"),
        ("take1f{:04}", "take1f"),
        ("shot010.{}", "shot010"),
        ("model_v1.2_{:04}", "model_v1.2"),
        ("20180807145028_camera_{:09}", "20180807145028_camera"),
        ("b1c66a42-6f7d68ca-{:07}", "b1c66a42-6f7d68ca"),
        ("Seq05VD_f{:05}", "Seq05VD_f"),
    ],
)
def test_the_number_is_the_digits_that_vary(form: str, sequence: str) -> None:
    assert read([form.format(number) for number in SIX]) == {sequence: SIX}
    assert read({"a": [form.format(number) for number in SIX]}) == {"a": SIX}


def test_recordings_are_told_apart_by_what_is_before_the_number() -> None:
    camvid = ["0001TP_006690", "0001TP_006720", "0006R0_f00930", "0006R0_f00960", "0016E5_07959", "0016E5_07961"]
    wanted = {"0001TP": [6690, 6720], "0006R0_f": [930, 960], "0016E5": [7959, 7961]}
    assert read(camvid) == wanted
    assert read({"val": camvid}) == {f"val_{name}": numbers for name, numbers in wanted.items()}
    takes = [f"take1_{number:04}" for number in range(5)] + [f"take2_{number:04}" for number in range(7, 13)]
    assert read(takes) == {"take1": [0, 1, 2, 3, 4], "take2": [7, 8, 9, 10, 11, 12]}


@pytest.mark.parametrize("type_", ["", "_leftImg8bit", "_gtFine_labelIds", "_gtCoarse_labelTrainIds"])
def test_cityscapes_as_it_lies(type_: str) -> None:
    """One label a clip: what varies in most cities is the clip, and never the frame."""
    frankfurt = [f"frankfurt_{clip:06}_{frame:06}{type_}" for clip, frame in ((0, 294), (0, 576), (1, 538), (1, 294))]
    aachen = [f"aachen_{clip:06}_000019{type_}" for clip in range(4)]
    hyphen = [f"bad-honnef_{clip:06}_000019{type_}" for clip in range(3)]
    found = read({"frankfurt": frankfurt, "aachen": aachen, "bad-honnef": hyphen})
    assert found == {
        "frankfurt_000000": [294, 576],
        "frankfurt_000001": [538, 294],
        **{f"aachen_{clip:06}": [19] for clip in range(4)},
        **{f"bad-honnef_{clip:06}": [19] for clip in range(3)},
    }
    if type_:
        assert read([*frankfurt, *aachen, *hyphen]) == found


def test_names_of_one_frame_a_folder_are_read_as_those_of_the_other_side() -> None:
    preds = side({f"c_{clip}": [f"c_{clip}_{frame}" for frame in (17, 19)] for clip in range(3)}, "predictions")
    assert read({f"c_{clip}": [f"c_{clip}_19"] for clip in range(3)}, preds) == {f"c_{clip}": [19] for clip in range(3)}


def test_a_folder_is_split_alike_on_both_sides() -> None:
    preds = side({"a": ["left_1", "left_2", "right_1", "right_2"]}, "predictions")
    assert read({"a": ["left_1", "left_2"]}, preds) == {"a_left": [1, 2]}


# ── what is refused ──

TWO_READINGS = {
    "cameras": [f"{frame:06}_cam{camera}" for frame in range(6) for camera in range(2)],
    "one camera each": [f"000000_cam{camera}" for camera in range(6)],
    "cameras in turn": [f"{frame:06}_cam{frame % 2}" for frame in range(6)],
    "sequences behind": [f"f{frame:03}_seq{clip}" for frame in range(6) for clip in range(3)],
    "clips": [f"clip{clip}_{frame:04}" for clip in range(2) for frame in range(6)],
    "chunks": [f"batch{frame // 4}_{frame % 4}" for frame in range(12)],
    "one label a scene": [f"scene{clip:02}_0019" for clip in range(6)],
    "one label a scene, frame": [f"scene{clip:02}_frame19" for clip in range(6)],
    "one label a scene, near": [f"scene{clip:02}_{19 + clip % 3:04}" for clip in range(30)],
    "flow": [f"{scene:06}_{frame}" for scene in range(9) for frame in (10, 11)],
    "flow, first": [f"{scene:06}_10" for scene in range(9)],
    "of": [f"img{frame}_of_20" for frame in range(1, 21)],
    "from to": [f"a-{frame:04}-{frame + 1:04}" for frame in range(12)],
    "stamp": [f"frame_{frame}_pts_{frame * 512}" for frame in range(12)],
    "checksum": [f"{frame:06}_{frame * 7919 % 10007:04}" for frame in range(50)],
    "iteration": [f"{frame:04}_iter{1000 + frame // 5}" for frame in range(12)],
    "three": [f"s{one}_c{two}_{frame:04}" for one in range(2) for two in range(2) for frame in range(5)],
    "copies": ["0000 (1)", "0001 (1)", "0002 (1)"],
    "numbers only": [f"1_{frame:04}" for frame in range(5)] + [f"2_{frame:04}" for frame in range(7, 12)],
    "seconds and hundredths": [f"t{time // 100}_{time % 100:02}" for time in (0, 4, 7, 11, 70, 98, 102, 106, 113, 180)],
    "seconds and a checksum": [
        f"0m{time}s_{number}" for time in (5, 6, 7) for number in (3 * time, 7 * time, 11 * time)
    ],
    "takes of a frame": [f"frame_00000-take{clip}" for clip in range(5)],
    "scenes with a type": [f"scene{clip:02}_view3" for clip in range(6)],
    "exponent": [f"{frame}e-3" for frame in range(6)],
}


@pytest.mark.parametrize("names", TWO_READINGS.values(), ids=TWO_READINGS.keys())
def test_two_readings_are_refused_with_the_candidates_marked(names: list[str]) -> None:
    for there in (names, {"a": names}):
        with pytest.raises(DatasetError, match=r"any of the marked digits may be .*\[.*\].*; say which it is by --fr"):
            read(there)
        with pytest.raises(DatasetError, match="; say which it is by frame_number = "):
            read(there, option="frame_number = {}")


@pytest.mark.parametrize("names", TWO_READINGS.values(), ids=TWO_READINGS.keys())
def test_the_patterns_that_a_message_proposes_read_the_names(names: list[str]) -> None:
    with pytest.raises(DatasetError) as raised:
        read(names)
    *_, proposed = str(raised.value).partition("say which it is by ")
    for way in proposed.partition(", or leave")[0].split(" or "):
        pattern = way.removeprefix("--frame-number ").strip("'")
        assert sum(map(len, read(names, pattern=pattern).values())) == len(names)


@pytest.mark.parametrize(
    "form", ["{number:06}_{hash}", "frame_{number:04}-{hash}", "{hash}", "{hash}_{number}", "{letter}_{number}"]
)
def test_names_that_make_a_sequence_of_each_frame_are_refused(form: str) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [form.format(number=number, hash=f"x{hashed(number)}y", letter=letters[number]) for number in range(26)]
    with pytest.raises(
        DatasetError, match=r"most labels are sequences of one frame, as .*\[.*; say which .*--frame-nu"
    ):
        read(names)
    with pytest.raises(DatasetError, match=r"most labels are sequences of one frame"):
        read({"a": names})


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["-12", "-2", "-1"], r"with a minus before it \(-\[12\], -\[2\]\), expected frame numbers from 0 on"),
        (["t_-2", "t_-1", "t_0"], "with a minus before it"),
        (["0.0", "0.1", "0.3", "0.4"], "a point or a separator in a number"),
        (["03e3", "03e8", "03e9"], "which look like parts of a hexadecimal number"),
        (["t-3", "t-2", "t-1"], "with a minus before it"),
        (["a1_998", "a1_999", "a2_000", "a2_001"], r"like parts of one number \(a\[1\]_\[998\], a\[1\]_\[999\]\)"),
        (["a1_9998", "a1_9999", "a2_0000", "a2_0001"], "which look like parts of one number"),
        (["a1-58", "a1-59", "a2-0", "a2-1"], "which look like parts of one number"),
        (["t\N{MINUS SIGN}2", "t\N{MINUS SIGN}1"], "with a minus before it"),
        (["0.0", "0.25", "0.5", "0.75"], r"a point or a separator in a number \(\[0\]\.\[0\], \[0\]\.\[25\]\)"),
        (["0", "0.25", "0.5", "0.75", "1"], "a point or a separator in a number"),
        (["t0.0", "t0.25", "t0.5", "t1.0"], "which look like fractions of a number"),
        (["1305031102.1", "1305031102.4", "1305031103.1"], "look like fractions .*rename the files .*arrivals_ms"),
        (["0,00", "0,25", "0,50"], "a point or a separator in a number"),
        (["998", "999", "1,000", "1,001"], "a point or a separator in a number"),
        (["998", "999", "1'000", "1'001"], "a point or a separator in a number"),
        (["998", "999", "1_000", "1_001"], r"numbers with and without a separator \(998, 1_000\)"),
        (["998", "999", "1.000", "1.001"], "numbers with and without a separator"),
        (["\N{FULLWIDTH DIGIT ZERO}1", "\N{FULLWIDTH DIGIT ZERO}2"], "digits other than 0-9"),
        (["\N{ARABIC-INDIC DIGIT ONE}", "\N{ARABIC-INDIC DIGIT TWO}"], "digits other than 0-9"),
        (["20191231235958", "20200101000001"], "has 20191231235958 as its number, .* a date or a timestamp"),
        (["1577836800", "1577836801"], "as its number, which looks like a date or a timestamp"),
        (["n_1532402927612460", "n_1532402927695460"], "as its number, which looks like a date or a timestamp"),
        (["1577836800000000000", "1577836800033333333"], "a number of 19 digits, .* if it is a time, rename"),
        (["20191230", "20191231", "20200101"], "has 20191230 in its name, which looks like a date"),
        (["2019-12-28", "2019-12-30"], "has 28 in its name, which looks like a date"),
        (["2019-12-30", "2019-12-31", "2020-01-01"], "which look like a date or a time of day"),
        (["200130", "200131", "200201", "200202"], "has 200130 in its name, which looks like a date"),
        (["115958", "115959", "120000", "120001"], "has 115958 in its name, which looks like a time of day"),
        (["235958", "235959", "000000"], "which looks like a time of day"),
        (["0058", "0059", "0100", "0101"], "which looks like a time of day"),
        (["115959900", "115959950", "120000000", "120000050"], "which looks like a time of day"),
        (["IMG_20200101_120000", "IMG_20200101_120001"], "has 120000 in its name, which looks like a time of day"),
        (["20200101T120000", "20200101T120001"], "which looks like a time of day"),
        (["11-59-58", "11-59-59", "12-00-00", "12-00-01"], "which look like a date or a time of day"),
        (["0m58s", "0m59s", "1m0s", "1m1s"], "which look like a date or a time of day"),
        (["00:58.5", "00:59.0", "01:00.5", "01:01.0"], "which look like a date or a time of day"),
    ],
)
def test_what_is_not_the_number_of_a_frame(names: list[str], message: str) -> None:
    for there in (names, {"a": names}):
        with pytest.raises(DatasetError, match=message):
            read(there)


@pytest.mark.parametrize(
    "numbers",
    [
        range(0, 5000, 50),
        range(0, 6000, 100),
        range(20200120, 20200150),
        range(5958, 6003),
        [0, 30, 60, 91, 120],
        range(168, 900_000_000, 100_000_000),
    ],
)
def test_numbers_that_are_no_times(numbers: range) -> None:
    assert read([f"{number:08}" for number in numbers]) == {"": list(numbers)}


def test_two_numbers_in_a_row() -> None:
    with pytest.raises(DatasetError, match=r"that may be two numbers in a row \(s\[01998\], s\[011008\]\)"):
        read([f"s01{number}" for number in (998, 1008)])
    with pytest.raises(DatasetError, match=r"that may be two numbers in a row \(cam\[198\], cam\[199\]\)"):
        read({"cam1": [f"cam1{number}" for number in (98, 99, 100)]})
    assert read({"cam1": [f"cam{number}" for number in (9, 10, 11)]}) == {"cam1": [9, 10, 11]}
    assert read({"0001": ["000100", "000101"]}) == {"0001": [100, 101]}
    assert read([f"{number:04}" for number in (0, 998, 12345)]) == {"": [0, 998, 12345]}


def test_folders_that_are_frames_of_several_cameras() -> None:
    frames = {f"{frame:06}": [f"cam{camera}" for camera in range(4)] for frame in range(5)}
    with pytest.raises(DatasetError, match="which look like numbers of cameras"):
        read(frames)
    assert read([f"cam{frame}" for frame in range(40)]) == {"cam": list(range(40))}


@pytest.mark.parametrize("name", ["1" * 60_000 + "x0", "1x" * 30_000 + "1", "a" * 60_000 + "1"])
def test_long_names_take_time_in_proportion(name: str) -> None:
    assert FrameNames.find(side([name])).split(name, Path(name)).number in (0, 1)
    assert split_name(name, Path(name)).number in (0, 1)


@pytest.mark.parametrize("digits", [19, 5001])
def test_numbers_of_more_digits_than_any_clip_has(digits: int) -> None:
    for found in (lambda: read(["1" * digits]), lambda: split_name("1" * digits, Path("a"))):
        with pytest.raises(DatasetError, match=rf"has a number of {digits:,} digits, expected .* at most 18"):
            found()
    assert read([f"{'0' * 200}1_{number}" for number in SIX])[f"{'0' * 200}1"] == SIX  # not the number


# ── patterns ──


@pytest.mark.parametrize(
    ("pattern", "names", "wanted"),
    [
        (r"^(\d+)", ["000007_cam0", "000007_cam1"], {"cam0": [7], "cam1": [7]}),
        (r"(\d+)$", ["take1_0007", "take2_0007"], {"take1": [7], "take2": [7]}),
        (r"^(\d+)_.*", ["000007_9f3ac1", "000008_77e2b0"], {"": [7, 8]}),
        (r"_f(\d+)", ["ride_f12_seq2"], {"ride_seq2": [12]}),
        (r"(-?\d+)$", ["-2", "-1", "0"], {"": [-2, -1, 0]}),
        (r"(\d+)$", ["115958", "115959", "120000"], {"": [115958, 115959, 120000]}),
    ],
)
def test_a_pattern_decides(pattern: str, names: list[str], wanted: dict[str, list[int]]) -> None:
    assert read(names, pattern=pattern) == wanted


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"(\d+", r"--frame-number is '\(\\\\d\+', expected a regular expression: "),
        (r"\d+", "with 0 groups, expected one"),
        (r"(a)(\d+)", "with 2 groups, expected one"),
    ],
)
def test_what_is_not_a_pattern(pattern: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(["1"], pattern=pattern)


def test_a_pattern_that_finds_no_number() -> None:
    for pattern in (r"_(\d+)", "(a)"):
        with pytest.raises(
            DatasetError, match=r"a1\.png: the pattern .* finds no number in 'a1', expected its group to"
        ):
            read(["a1"], pattern=pattern)
    with pytest.raises(DatasetError, match="as its number, which looks like a date or a timestamp"):
        read(["20191231235958"], pattern=r"(\d+)")


# ── laws ──

TEXTS = st.text(alphabet="abcxyz_- ", max_size=6)


@given(TEXTS, TEXTS, st.sampled_from([1, 5, 7, 10]), st.sets(st.integers(0, 99_999), min_size=2))
def test_digits_that_stand_alone_are_the_number(before: str, after: str, width: int, numbers: set[int]) -> None:
    names = [f"{before}x{number:0{width}}{after}" for number in sorted(numbers)]
    assert list(read(names).values()) == [sorted(numbers)]


@given(
    first=st.sets(st.integers(0, 40), min_size=2, max_size=5),
    second=st.sets(st.integers(0, 40), min_size=2, max_size=5),
    between=st.sampled_from(["_", "-", "_cam", "x", " seq "]),
    flat=st.booleans(),
)
def test_a_grid_of_two_numbers_is_never_read(first: set[int], second: set[int], between: str, flat: bool) -> None:
    names = [f"a{one}{between}{other}" for one, other in itertools.product(sorted(first), sorted(second))]
    with pytest.raises(DatasetError):
        read(names if flat else {"a": names})


@given(st.permutations([f"take1_{number:04}_v2" for number in SIX] + [f"take2_{number:04}_v2" for number in (7, 8, 9)]))
def test_the_order_of_files_does_not_matter(names: list[str]) -> None:
    found = {sequence: sorted(numbers) for sequence, numbers in read(names).items()}
    assert found == {"take1": SIX, "take2": [7, 8, 9]}


# ── one spelling ──

CITY = "k\N{LATIN SMALL LETTER O WITH DIAERESIS}ln"
COMPOSED, DECOMPOSED = (unicodedata.normalize(form, CITY) for form in ("NFC", "NFD"))


def save(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(root / name, np.zeros((2, 3), np.uint8))
    return root


@pytest.mark.parametrize("form", ["{0}/{0}_{1}.npy", "{0}_{1}.npy", "{0}/{1}.npy"])
def test_two_spellings_of_a_name_are_one(form: str, tmp_path: Path) -> None:
    preds = save(tmp_path / "preds", *(form.format(DECOMPOSED, number) for number in range(3)))
    labels = save(tmp_path / "labels", *(form.format(COMPOSED, number) for number in range(3)))
    archive = tmp_path / "preds.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for file in preds.rglob("*.npy"):
            packed.write(file, f"all/{DECOMPOSED}/{file.relative_to(preds)}")
    for place in (preds, f"zip://all/{COMPOSED}::{archive}"):
        found = match_folders(LabelFolder.scan(place), LabelFolder.scan(labels))
        assert [len(clip.frames) for clip in found.clips] == [3]
        assert all(frame.pred and frame.label for frame in found.clips[0].frames)


def test_two_spellings_in_one_folder_are_refused(tmp_path: Path) -> None:
    files = save(tmp_path / "files", f"{COMPOSED}_1.npy", f"{DECOMPOSED}_1.npy")
    with pytest.raises(DatasetError, match=r"is a second file for frame k.*ln_1 beside"):
        LabelFolder.scan(files)
    folders = save(tmp_path / "folders", f"{COMPOSED}/1.npy", f"{DECOMPOSED}/2.npy")
    with pytest.raises(DatasetError, match=r"is a second folder called 'k.*ln', spelled in another way"):
        LabelFolder.scan(folders)


def test_prefixes_and_suffixes_have_any_spelling(tmp_path: Path) -> None:
    files = save(tmp_path, f"{COMPOSED}_1_{DECOMPOSED}.npy")
    found = LabelFolder.scan(files, prefix=f"{DECOMPOSED}_", suffix=f"_{COMPOSED}")
    assert list(found.folders[""]) == ["1"]
