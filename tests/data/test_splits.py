"""Lists of videos, and the folder of a data set."""

from pathlib import Path

import pytest

from flame_metric import ConfigError, DatasetError
from flame_metric.data.splits import check_split, dataset_root, read_video_names


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "val.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("127_-hIVCYO4C90\n6_qHIKRwYe3Cs\n", ["127_-hIVCYO4C90", "6_qHIKRwYe3Cs"]),
        ("b\r\na\r\n", ["b", "a"]),  # in the order of the file
        ("b\na\nb", ["b", "a"]),  # once
        ("\n a \n\n", ["a"]),
        ("\ufeffa\nb", ["a", "b"]),  # from an editor that marks its encoding
        ("street one\n", ["street one"]),
        ("..a\n", ["..a"]),
    ],
)
def test_names(text: str, names: list[str], tmp_path: Path) -> None:
    assert read_video_names(written(tmp_path, text)) == names


def test_names_may_be_part_of_a_line(tmp_path: Path) -> None:
    path = written(tmp_path, "a/1.png\nb/1.png\na/2.png\n")
    assert read_video_names(path, of_line=lambda line: line.partition("/")[0]) == ["a", "b"]


@pytest.mark.parametrize("name", ["..", ".", "../a", "/etc", "a/b", "a\\b", "a\0b"])
def test_names_that_are_none_of_a_folder(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"street\n\n{name}\n")
    with pytest.raises(DatasetError, match=r"val\.txt: line 3 is .*, expected the name of a video") as raised:
        read_video_names(path)
    assert raised.value.path == str(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty, expected the names of videos"),
        ("\n  \n", "is empty, expected the names of videos"),
        (b"\xff\xfe", "cannot be read as a list of videos"),
    ],
)
def test_no_names(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=rf"val\.txt: {message}"):
        read_video_names(written(tmp_path, text))


def test_a_missing_list(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"val\.txt: is missing, expected the list of the videos of val$"):
        read_video_names(tmp_path / "val.txt")
    (tmp_path / "val.txt").mkdir()
    with pytest.raises(DatasetError, match=r"val\.txt: cannot be read as a list of videos"):
        read_video_names(tmp_path / "val.txt")


def test_the_folder_of_a_data_set(tmp_path: Path) -> None:
    assert dataset_root(str(tmp_path), "videos") == tmp_path
    with pytest.raises(DatasetError, match=r"x: is missing, expected the folder that holds videos$"):
        dataset_root(tmp_path / "x", "videos")
    (tmp_path / "x").write_text("")
    with pytest.raises(DatasetError, match=r"x: is not a folder, expected the folder that holds videos$"):
        dataset_root(tmp_path / "x", "videos")


def test_splits() -> None:
    check_split("train")
    check_split("val")
    with pytest.raises(ConfigError, match="`split` is 'test', whose annotations are not public, expected train or val"):
        check_split("test")
    with pytest.raises(ConfigError, match="`split` is None, expected one of train, val"):
        check_split(None)
