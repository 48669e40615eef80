"""Label maps of one's own as classes: options, names of sequences, and labels that are not class."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from flame_metric import ConfigError, DatasetError
from flame_metric.data.class_maps import ClassMaps
from flame_metric.data.lookup import LabelLookup


def write(root: Path, *names: str, labels: object = ((0, 1), (2, 255))) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(root / f"{name}.npy", np.asarray(labels, np.uint8) if isinstance(labels, tuple) else labels)
    return root


def test_names_and_numbers_of_classes(tmp_path: Path) -> None:
    write(tmp_path, "a/1")
    maps = ClassMaps.scan(tmp_path, num_classes=3, ignore_index=255)
    assert (maps.class_names, maps.space.num_classes, maps.space.ignore_index) == (("0", "1", "2"), 3, 255)
    maps = ClassMaps.scan(tmp_path, class_names=["sky", "road"])
    assert (maps.class_names, maps.space.num_classes, maps.space.ignore_index) == (("sky", "road"), 2, None)
    assert ClassMaps.scan(tmp_path, num_classes=2, class_names=["sky", "road"]).class_names == ("sky", "road")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "`num_classes` is missing, expected it or `class_names`"),
        ({"num_classes": 1}, "`num_classes` is 1, expected an integer 2"),
        ({"num_classes": 3, "class_names": ["a", "b"]}, "`class_names` holds 2 names, but `num_classes` is 3"),
        ({"class_names": "sky"}, "`class_names` is 'sky', expected a list of names"),
        ({"num_classes": 3, "ignore_index": 2.5}, "`ignore_index` is 2.5, expected an integer"),
        ({"num_classes": 3, "label_map": "0=1"}, "`0=1` is not part of a label map"),
    ],
)
def test_options_that_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ClassMaps.scan(write(tmp_path, "a/1"), **options)


def test_labels_become_classes(tmp_path: Path) -> None:
    write(tmp_path, "a/1")
    file = tmp_path / "a/1.npy"
    assert ClassMaps.scan(tmp_path, num_classes=3, ignore_index=255).read(file).tolist() == [[0, 1], [2, 255]]
    for label_map in ("0:9,1:0,2:1,255:9", LabelLookup({0: 9, 1: 0, 2: 1, 255: 9})):
        maps = ClassMaps.scan(tmp_path, num_classes=2, ignore_index=9, label_map=label_map)
        assert maps.read(file).tolist() == [[9, 0], [1, 9]]


def test_void_may_be_below_the_classes(tmp_path: Path) -> None:
    write(tmp_path, "1", labels=np.array([[-1, 0]], np.int16))
    assert ClassMaps.scan(tmp_path, num_classes=2, ignore_index=-1).read(tmp_path / "1.npy").tolist() == [[-1, 0]]
    with pytest.raises(DatasetError, match=r"1\.npy: holds label\(s\) -1 \(1 pixels\), expected 0\.\.1;"):
        ClassMaps.scan(tmp_path, num_classes=2).read(tmp_path / "1.npy")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"num_classes": 3}, r"label\(s\) 255 \(1 pixels\), expected 0\.\.2;"),
        ({"num_classes": 2, "ignore_index": 255}, r"label\(s\) 2 \(1 pixels\), expected 0\.\.1 or ignore_index 255;"),
        ({"num_classes": 2}, r"label\(s\) 2, 255 \(2 pixels\), expected 0\.\.1; if they stand for classes"),
        ({"num_classes": 4, "label_map": "0:0,1:7,2:3,*:3"}, r"label\(s\) 7 \(1 pixels\), expected 0\.\.3;"),
        ({"num_classes": 4, "label_map": "0:0,1:1"}, r"label\(s\) \[2, 255\] \(2 pixels\) are not in the label map"),
    ],
)
def test_labels_that_are_no_class(tmp_path: Path, options: dict[str, object], found: str) -> None:
    write(tmp_path, "a/1")
    with pytest.raises(DatasetError, match=rf"1\.npy: .*{found}") as raised:
        ClassMaps.scan(tmp_path, **options).read(tmp_path / "a/1.npy")
    assert raised.value.path.endswith("1.npy")


def test_values_that_are_no_labels(tmp_path: Path) -> None:
    write(tmp_path, "a/1", labels=np.zeros((2, 2), np.float32))
    with pytest.raises(DatasetError, match=r"1\.npy: holds float32 values, expected integer labels"):
        ClassMaps.scan(tmp_path, num_classes=2).read(tmp_path / "a/1.npy")


def test_a_reader_is_small_and_can_be_pickled(tmp_path: Path) -> None:
    write(tmp_path, *(f"a/{number:05}" for number in range(300)))
    sent = pickle.dumps(ClassMaps.scan(tmp_path, num_classes=3, ignore_index=255).read)
    assert len(sent) < 2_000
    assert pickle.loads(sent)(tmp_path / "a/00007.npy").tolist() == [[0, 1], [2, 255]]


def test_sequences(tmp_path: Path) -> None:
    maps = ClassMaps.scan(write(tmp_path, "a/1", "b/1", "b/2"), num_classes=3)
    assert {name: list(files) for name, files in maps.choose(maps.files).items()} == {"a": ["1"], "b": ["1", "2"]}
    assert list(maps.choose(maps.files, ["b"])) == ["b"]
    for chosen, message in (
        (["c"], "`sequences` names 'c', expected some of a, b$"),
        ([], "`sequences` names none, expected some of a, b$"),
        ("a", "`sequences` is 'a', expected a list of names"),
        (3, "`sequences` is 3, expected a list of names"),
    ):
        with pytest.raises(ConfigError, match=message):
            maps.choose(maps.files, chosen)


def test_sequences_of_a_flat_folder(tmp_path: Path) -> None:
    maps = ClassMaps.scan(write(tmp_path / "truth", "1", "2"), num_classes=3)
    assert list(maps.choose(maps.files)) == ["truth"]
    mixed = ClassMaps.scan(write(tmp_path / "street", "1", "street_1"), num_classes=3)
    with pytest.raises(DatasetError, match="holds frames named only by numbers and others named street, expected"):
        mixed.choose({"": {}, "street": {}})
