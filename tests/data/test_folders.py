import os
from pathlib import Path

import numpy as np
import pytest

from flame_metric.data.folders import LabelFolder, find_step, match_folders
from flame_metric.data.lookup import LabelLookup
from flame_metric.errors import ConfigError, DatasetError


def tree(root: Path, *names: str) -> Path:
    """Write a tiny label map under each name."""
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, np.zeros((2, 3), np.uint8)) if name.endswith(".npy") else file.write_text("no label map")
    return root


def frames(clip) -> list[tuple[int, str, bool, bool]]:
    return [(frame.index, frame.name, frame.pred is not None, frame.label is not None) for frame in clip.frames]


def test_sequences_are_folders(tmp_path: Path) -> None:
    root = tree(tmp_path, "b/0001.npy", "a/0001.npy", "a/0003.npy", ".git/0001.npy", "a/notes.txt", "a/.hidden1.npy")
    folder = LabelFolder.scan(root)
    assert {name: sorted(files) for name, files in folder.folders.items()} == {"a": ["0001", "0003"], "b": ["0001"]}
    assert not folder.is_flat


def test_a_flat_folder_is_one_sequence_with_its_name(tmp_path: Path) -> None:
    folder = LabelFolder.scan(tree(tmp_path / "clip", "0001.npy", "0002.npy"))
    assert folder.is_flat
    (clip,) = match_folders(folder, folder).clips
    assert clip.name == "clip"


def test_recordings_in_one_flat_folder_are_told_apart_by_their_names(tmp_path: Path) -> None:
    """CamVid's 11-class version keeps several recordings in one folder."""
    names = ("0001TP_006690", "0001TP_006720", "Seq05VD_f00000", "Seq05VD_f00030")
    clips = match(tmp_path, [f"{name}.npy" for name in names], [f"{name}.npy" for name in names])
    assert [(clip.name, [frame.name for frame in clip.frames]) for clip in clips] == [
        ("0001TP", list(names[:2])),
        ("Seq05VD_f", list(names[2:])),
    ]


@pytest.mark.parametrize("suffix", ["_L", "_L.npy"])
def test_prefix_and_suffix_select_and_are_removed(suffix: str, tmp_path: Path) -> None:
    root = tree(tmp_path, "gt_07_L.npy", "gt_07_colour.npy", "other_07_L.npy", "gt__L.npy")
    assert LabelFolder.scan(root, prefix="gt_", suffix=suffix).folders[""].keys() == {"07"}


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ([], {}, r"holds no label maps \(\.png or \.npy\) at all"),
        (["a/x.txt"], {}, r"holds no label maps \(\.png or \.npy\) at all"),
        (["val/city/1.npy"], {}, "but deeper down, such as .*; point to the folder above that one"),
        (["1.npy"], {"suffix": "_L"}, r"whose names begin with '' and end with '_L', but others, such as 1\.npy"),
        (["1.npy", "a/1.npy"], {}, r"holds label maps itself and in 1 folder\(s\) such as a"),
        (["1.npy", "1.png"], {}, r"is a second file for frame 1 beside 1\.npy"),
    ],
)
def test_folders_without_a_clear_meaning(names: list[str], options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message):
        LabelFolder.scan(tree(tmp_path, *names), **options)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is missing, expected a folder"):
        LabelFolder.scan(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="is not a folder, expected a folder"):
        LabelFolder.scan(tmp_path / "file")


def match(tmp_path: Path, preds: list[str], labels: list[str], **options) -> list:
    return match_folders(
        LabelFolder.scan(tree(tmp_path / "preds", *preds)),
        LabelFolder.scan(tree(tmp_path / "labels", *labels)),
        **options,
    ).clips


def test_frames_are_matched_by_name_on_one_timeline(tmp_path: Path) -> None:
    (clip,) = match(tmp_path, ["f_07.npy", "f_09.npy", "f_11.npy"], ["f_09.npy", "f_15.npy"])
    assert clip.step == 2
    assert frames(clip) == [
        (0, "f_07", True, False),
        (1, "f_09", True, True),
        (2, "f_11", True, False),
        (4, "f_15", False, True),  # 13 is a hole
    ]


def test_the_frame_number_is_what_varies(tmp_path: Path) -> None:
    (clip,) = match(tmp_path, ["0006R0_f00930_L.npy"], ["0006R0_f00930_L.npy", "0006R0_f00960_L.npy"])
    assert (clip.step, [frame.index for frame in clip.frames]) == (30, [0, 1])


def test_a_given_step_rules(tmp_path: Path) -> None:
    (clip,) = match(tmp_path, ["15.npy"], ["19.npy"], step=1)
    assert (clip.step, frames(clip)) == (1, [(0, "15", True, False), (4, "19", False, True)])
    with pytest.raises(ConfigError, match="`step` is 0, expected"):
        match(tmp_path, ["15.npy"], ["19.npy"], step=0)


@pytest.mark.parametrize(
    ("preds", "labels", "step"),
    [
        ({"a": range(50)}, {"a": range(0, 50, 5)}, 1),
        ({"a": [*range(0, 17, 2), *range(17, 35, 2)]}, {"a": [*range(0, 17, 2), *range(17, 35, 2)]}, 1),
        ({"a": range(0, 9, 2)}, {"a": [0, 8]}, 2),
        ({"a": [0, 4, 10]}, {"a": range(0, 11, 2)}, 2),  # one side votes
        ({"a": [0, 2], "b": [0, 4]}, {"a": [0, 2], "b": [0, 4]}, 2),  # one step for all
        ({"a": [0, 10], "b": [15, 20]}, {"a": [0, 10], "b": [20]}, None),  # b has no vote, and lies off a's grid
    ],
)
def test_the_step_is_what_both_sides_vote_for(preds: dict, labels: dict, step: int | None) -> None:
    if step is None:
        with pytest.raises(DatasetError, match=r"sequence b: frame numbers of .* are up to 5 .*step 10; --step 5 fits"):
            find_step(Path("labels"), labels, preds)
    else:
        assert find_step(Path("labels"), labels, preds) == step


def test_frames_whose_names_say_their_sequence_match_in_whatever_folders(tmp_path: Path) -> None:
    """Cityscapes keeps labels by city, CamVid's SegNet version in one folder; `run` writes a folder a clip."""
    preds = [f"x_00_{label:02}/x_00_{frame:02}.npy" for label in (19, 60) for frame in (label - 2, label)]
    for labels in (["x_00_19.npy", "x_00_60.npy"], ["x/x_00_19.npy", "x/x_00_60.npy"]):
        clips = match(tmp_path / labels[0][1], preds, labels, step=1)
        assert [(clip.name, [frame.index for frame in clip.frames]) for clip in clips] == [
            ("x_00_19", [0, 2]),
            ("x_00_60", [0, 2]),
        ]
    with pytest.raises(DatasetError, match=r"has no prediction of 1 of 3 labelled frame\(s\): x_00_90"):
        match(tmp_path, preds, ["x/x_00_19.npy", "x/x_00_60.npy", "x/x_00_90.npy"], step=1)
    with pytest.raises(
        DatasetError, match="has no predictions for 1 of 1 sequence"
    ):  # of another video, for all we know
        match(tmp_path / "other", ["a/frame_1.npy"], ["b/frame_1.npy"])


def test_folders_without_labels_may_hold_names_of_any_kind(tmp_path: Path) -> None:
    preds = tree(tmp_path / "preds", "a/1.npy", "a/2.npy", "pictures/1_x1.npy", "pictures/2_x2.npy", "pictures/x.npy")
    labels = tree(tmp_path / "labels", "a/1.npy", "a/2.npy")
    found = match_folders(LabelFolder.scan(preds), LabelFolder.scan(labels))
    assert ([clip.name for clip in found.clips], found.unlabelled) == (["a"], ["pictures"])


def test_one_frame_has_no_step(tmp_path: Path) -> None:
    (clip,) = match(tmp_path, ["1.npy"], ["1.npy"])
    assert clip.step is None


@pytest.mark.parametrize(
    ("preds", "labels", "options", "message"),
    [
        (["a_1.npy"], ["a_1_L.npy"], {}, r"frame names do not match: .* a_1, labels a_1_L; try --label-suffix _L$"),
        (["p_1.npy"], ["1.npy"], {}, "; try --pred-prefix p_$"),
        (["1_pred.npy"], ["gt1_gt.npy"], {}, "; try --label-prefix gt --pred-suffix _pred --label-suffix _gt$"),
        (
            ["a/1.npy", "a/2.npy", "a/3_b.npy", "a/4_b.npy"],
            ["a/1.npy"],
            {},
            "holds names of 2 kinds, such as #, #_b .* expected one; --pred-prefix and --pred-suffix choose one",
        ),
        (["a/1.npy", "a/b_2.npy"], ["a/1.npy"], {}, "most predictions are sequences of one frame"),
        (
            ["1.npy"],
            ["1.npy", "2.npy", "b_2.npy", "b_3.npy"],
            {},
            r"has no predictions for 1 of 2 sequence\(s\): b; it",
        ),
        (["01.npy"], ["1.npy"], {}, r"preds/01\.npy: is frame 1 of sequence labels|labels/1\.npy: is frame 1 of .*01"),
        (["x.npy"], ["x.npy"], {}, "the frame name 'x' has no digits"),
        (
            ["1.npy", "3.npy", "6.npy"],
            ["1.npy", "3.npy"],
            {},
            r"up to 3 apart, .* of the step 2; --step 1",
        ),
        (
            ["1.npy", "5.npy", "11.npy"],
            ["1.npy", "11.npy", "27.npy"],
            {},
            r"are 4, 6 and 16 apart, .*: --step 2 fits",
        ),
        (
            ["1.npy", "3.npy"],
            ["1.npy", "4.npy"],
            {},
            "of predictions advance by 2 .* labels by 3, .*--step 1",
        ),
        (["1.npy", "3.npy"], ["0.npy", "2.npy"], {}, r"up to 1 apart, expected multiples of the step 2; --step 1"),
        (
            ["1.npy", "5.npy"],
            ["5.npy"],
            {},
            r"no sequence has two labelled .*, or the step \(--step\)",
        ),
        (["1.npy", "4.npy"], ["1.npy"], {"step": 2}, r"up to 3 apart, expected multiples of the step 2; --step 3 fits"),
        (["a/1.npy"], ["1.npy"], {}, "holds frames itself, while .* holds folders of them such as a"),
        (["b/1.npy"], ["a/1.npy", "c/1.npy"], {}, r"has no predictions for 2 of 2 sequence\(s\): a, c; it has b"),
        (
            ["a/1.npy", "b/1.npy"],
            ["a/2.npy", "b/3.npy"],
            {},
            r"no sequence has two labelled frames",
        ),
    ],
)
def test_names_that_do_not_match(preds: list, labels: list, options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message):
        match(tmp_path, preds, labels, **options)


def test_reading_arrays(tmp_path: Path) -> None:
    folder = LabelFolder.scan(tree(tmp_path, "1.npy"), lookup=LabelLookup({0: 5}))
    file = folder.root / "1.npy"
    assert folder.read(file, shape=(2, 3)).tolist() == [[5] * 3] * 2
    with pytest.raises(DatasetError, match=r"has shape \(2, 3\), expected \(3, 2\)"):
        folder.read(file, shape=(3, 2))
    np.save(file, np.array([[0, 9, 9]]))
    with pytest.raises(DatasetError, match=r"1\.npy: label\(s\) \[9\] \(2 pixels\) are not in the label map"):
        folder.read(file)


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY\x01\x00", b"text", b"PK\x03\x04", b"\x93NUMPY\x01\x00v\x00{'descr': 'junk'"]
)
def test_damaged_arrays(content: bytes, tmp_path: Path) -> None:
    folder = LabelFolder.scan(tree(tmp_path, "1.npy"))
    (tmp_path / "1.npy").write_bytes(content)
    with pytest.raises(DatasetError, match=r"1\.npy: (is not a \.npy file|cannot be read as an array)"):
        folder.read(tmp_path / "1.npy")


def test_a_cut_array(tmp_path: Path) -> None:
    folder = LabelFolder.scan(tree(tmp_path, "1.npy"))
    file = tmp_path / "1.npy"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DatasetError, match="is cut short: 5 bytes, expected 6"):
        folder.read(file)


def test_no_file_is_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "1.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(DatasetError, match=r"cannot be read as an array of numbers: .*Python objects"):
        LabelFolder.scan(tmp_path).read(tmp_path / "1.npy")


@pytest.mark.parametrize("shape", [(), (4,), (1, 2, 3), (1, 2, 3, 4)])
def test_arrays_that_are_no_label_map(shape: tuple[int, ...], tmp_path: Path) -> None:
    np.save(tmp_path / "1.npy", np.zeros(shape, np.uint8))
    with pytest.raises(DatasetError, match=r"holds uint8 \(.*expected a label map \(H, W\)"):
        LabelFolder.scan(tmp_path).read(tmp_path / "1.npy", shape=(2, 3))


def test_scores_are_read_where_they_may_be(tmp_path: Path) -> None:
    np.save(tmp_path / "1.npy", np.zeros((4, 2, 3), np.float32))
    folder = LabelFolder.scan(tmp_path)
    assert folder.read(tmp_path / "1.npy", shape=(2, 3), scores=True).shape == (4, 2, 3)
    with pytest.raises(DatasetError, match=r"holds float32 \(4, 2, 3\), expected a label map \(H, W\)$"):
        folder.read(tmp_path / "1.npy")


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    folder = LabelFolder.scan(tree(tmp_path, "1.npy"))
    os.mkfifo(tmp_path / "2.npy")
    (tmp_path / "3.npy").mkdir()
    for name in ("2.npy", "3.npy"):
        with pytest.raises(DatasetError, match=rf"{name}: is not a file, expected a label map"):
            folder.read(tmp_path / name)
    with pytest.raises(DatasetError, match=r"4\.npy: is missing"):
        folder.read(tmp_path / "4.npy")


def test_a_clip_that_is_not_there_is_not_passed_over(tmp_path: Path) -> None:
    tree(tmp_path / "labels", "a/0001.npy", ".b/0001.npy")
    (tmp_path / "labels/.c").symlink_to(tmp_path / "gone")
    assert list(LabelFolder.scan(tmp_path / "labels").folders) == ["a"]
    (tmp_path / "labels/d").mkdir()
    with pytest.raises(DatasetError, match=r"labels.d: is empty, expected label maps; remove the folder if there are"):
        LabelFolder.scan(tmp_path / "labels")
    (tmp_path / "labels/d").rmdir()
    (tmp_path / "labels/d").symlink_to(tmp_path / "gone")  # such as a disk that is not mounted
    with pytest.raises(DatasetError, match=r"labels.d: is a link to nothing, expected a folder of label maps"):
        LabelFolder.scan(tmp_path / "labels")


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    tree(tmp_path, "1.npy")
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DatasetError, match="cannot be read: Permission denied"):
        LabelFolder.scan(tmp_path)


@pytest.mark.parametrize("dtype", ["<U0", "|V0", "|S0"])
def test_numbers_of_no_bytes_are_refused(dtype: str, tmp_path: Path) -> None:
    """64 million of them fit into a file of 200 bytes, and NumPy's copy takes 256 MB."""
    head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': (8000, 8000), }}\n".encode()
    (tmp_path / "1.npy").write_bytes(b"\x93NUMPY\x01\0" + len(head).to_bytes(2, "little") + head + bytes(100))
    with pytest.raises(DatasetError, match=r"1\.npy: holds values of no bytes \(.*\), expected numbers"):
        LabelFolder.scan(tmp_path).read(tmp_path / "1.npy")
