"""Banks on disk: read back without loss; what is damaged, edited or of another kind is refused, and never unpickled."""

import io
import json
import pickle
import re
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import (
    ConfigError,
    DatasetError,
    FlameResult,
    FlameWarning,
    LatencyTrace,
    OffsetBank,
    StateError,
    StreamConfig,
)
from laws import examples

CLIP = [[[0, 1, 0]], [[1, 0, 0]], [[1, 1, 2]], [[0, 2, 9]]]


def bank_of() -> OffsetBank:
    """Two clips with void, an unlabelled frame and a missing prediction."""
    bank = OffsetBank(3, max_offset=2, fps="50/3", ignore_index=9, persistence=True)
    bank.update_sequence(CLIP, [CLIP[0], None, *CLIP[2:]], sequence="a")
    bank.update_sequence([CLIP[0], None], CLIP[1:3], sequence="b")
    return bank


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """That bank, as it lies on disk."""
    bank = bank_of()
    file = tmp_path_factory.mktemp("bank") / "bank.npz"
    bank.save(file)
    return file.read_bytes()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bank.npz"


def arrays_of(saved: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(saved)) as archive:
        return dict(archive)


def refused(file: Path, message: str) -> None:
    """Every message begins with the file."""
    with pytest.raises(StateError, match=rf"^{re.escape(str(file))}: (?:{message})"):
        OffsetBank.load(file)


NO_BANK = r"is not a 'flame-metric bank \d' file: "
DAMAGED = r"this 'flame-metric bank \d' record is incomplete or damaged: "
CONTRADICT = "the counts of sequence 'a' contradict each other; was the file edited or damaged"


def test_cut_files(saved: bytes, file: Path) -> None:
    for length in {*range(0, len(saved), 13), 1, 2, 4, len(saved) - 1}:
        file.write_bytes(saved[:length])
        refused(file, f"{NO_BANK}File is not a zip file$")


@pytest.mark.slow
def test_a_flipped_bit_is_found_or_harms_nothing(saved: bytes, file: Path) -> None:
    arrays, found = arrays_of(saved), 0
    for index in range(0, len(saved), 3):
        damaged = bytearray(saved)
        damaged[index] ^= 1 << index % 8
        file.write_bytes(damaged)
        try:
            bank = OffsetBank.load(file)
        except (StateError, DatasetError):  # some bytes are dates and flags of the archive, which nobody reads
            found += 1
        else:
            bank.save(file)
            again = arrays_of(file.read_bytes())
            assert again.keys() == arrays.keys()
            assert all(np.array_equal(again[name], array) for name, array in arrays.items())
    assert found > len(saved) / 6


def test_a_flipped_bit_is_told_by_the_checksum(saved: bytes, file: Path) -> None:
    members = members_of(saved)
    write_members(file, members, zipfile.ZIP_STORED)
    content = file.read_bytes()
    for name, member in members.items():
        damaged = bytearray(content)
        damaged[content.index(member) + len(member) - 1] ^= 1
        file.write_bytes(damaged)
        refused(file, f"{NO_BANK}Bad CRC-32 for file '{name}'$")


def test_an_error_without_words_is_named_by_its_kind(saved: bytes, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    file.write_bytes(saved)
    monkeypatch.setattr("flame_metric.scores.bank_file.check_members", fail)
    refused(file, f"{NO_BANK}MemoryError$")


class Intruder:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("unpickled"),)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Intruder()),
        pickle.dumps({"num_classes": 2}),
        b"\x89PNG\r\n\x1a\n",
        "Bänke, Bänke".encode("utf-16"),
        b'{"format": "flame-metric bank 1"}',
    ],
    ids=["pickle that runs", "pickle", "PNG", "text", "JSON"],
)
def test_files_of_another_kind(content: bytes, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    file.write_bytes(content)
    refused(file, f"{NO_BANK}File is not a zip file$")
    assert [path.name for path in file.parent.iterdir()] == ["bank.npz"]


def test_an_array_alone_is_no_bank(file: Path) -> None:
    for array in (np.arange(3), np.array([Intruder()], object)):
        with file.open("wb") as opened:
            np.save(opened, array)
        refused(file, f"{NO_BANK}File is not a zip file$")


def test_a_folder_is_no_bank(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"cannot be read: (Is a directory|Permission denied)") as found:
        OffsetBank.load(tmp_path)
    assert found.value.path == str(tmp_path)


def test_every_array_is_needed_and_no_other(saved: bytes, file: Path) -> None:
    arrays = arrays_of(saved)
    assert len(arrays) > 1
    expected = ", ".join(sorted(f"{name}.npy" for name in arrays))
    for name in arrays:
        np.savez(file, **{other: array for other, array in arrays.items() if other != name})
        others = ", ".join(sorted(f"{other}.npy" for other in arrays if other != name))
        refused(file, f"{NO_BANK}holds {others}, expected {expected}$")
    np.savez(file)
    refused(file, f"{NO_BANK}holds nothing, expected {expected}$")
    np.savez(file, **arrays, notes=np.arange(3))
    refused(file, f"{NO_BANK}holds .*notes.npy.*, expected {expected}$")
    file.write_bytes(saved)
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("counts.npy", b"")
    refused(file, f"{NO_BANK}holds counts.npy, counts.npy, .*, expected {expected}$")


def test_no_array_is_unpickled(saved: bytes, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    for name, array in arrays_of(saved).items():
        intruders = np.full(array.shape, Intruder(), object)
        np.savez(file, **arrays_of(saved) | {name: intruders})
        refused(file, f"{NO_BANK}`{name}` is object .*, expected u?int")
    assert [path.name for path in file.parent.iterdir()] == ["bank.npz"]


def test_no_header_is_written_that_would_not_be_read(saved: bytes, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = arrays_of(saved)["header"].size
    monkeypatch.setattr("flame_metric.scores.bank_file._MOST_HEADER", size - 1)
    with pytest.raises(
        StateError, match=f"the header takes {size} bytes, expected at most {size - 1}; use shorter ids"
    ):
        OffsetBank.from_bytes(saved)
    monkeypatch.setattr("flame_metric.scores.bank_file._MOST_HEADER", size)
    bank = OffsetBank.from_bytes(saved)
    monkeypatch.setattr("flame_metric.scores.bank_file._MOST_HEADER", size - 1)
    with pytest.raises(StateError, match="the header takes"):
        bank.save(file)
    assert not file.exists()


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.uint64, np.complex64, "U5", "datetime64[s]"])
def test_arrays_of_another_dtype(saved: bytes, file: Path, dtype: Any) -> None:
    for name, array in arrays_of(saved).items():
        other = array.astype(np.int64).astype(dtype)
        np.savez(file, **arrays_of(saved) | {name: other})
        shape = "(any,)" if name == "header" else array.shape
        message = f"`{name}` is {other.dtype} {array.shape}, expected {array.dtype} {shape}"
        refused(file, NO_BANK + re.escape(message) + "$")


def test_arrays_of_another_shape(saved: bytes, file: Path) -> None:
    arrays = arrays_of(saved)
    for name in arrays.keys() - {"header"}:
        array = arrays[name]
        for other in (array[:-1], array[None], array.ravel()[:1], array[:0], np.array(5), np.concatenate([array] * 2)):
            np.savez(file, **arrays | {name: other.astype(array.dtype)})
            message = f"`{name}` is {array.dtype} {other.shape}, expected {array.dtype} {array.shape}"
            refused(file, NO_BANK + re.escape(message) + "$")


def test_arrays_in_the_order_of_fortran(saved: bytes, file: Path) -> None:
    np.savez(file, **{name: np.asfortranarray(array) for name, array in arrays_of(saved).items()})
    assert OffsetBank.load(file).score(frame_offset=1) == bank_of().score(frame_offset=1)


def test_counts_that_contradict_each_other(saved: bytes, file: Path) -> None:
    arrays = arrays_of(saved)
    messages = {
        "num_frames": "sequence '.' has . labelled frames of -?\\d+, expected 0 <= labelled <= all <= 3,000,000$",
        "num_labelled": f"sequence 'a' has -?\\d+ labelled frames of 4, expected|{NO_BANK}`frame` is int64 .5,.,",
    }
    edited = 0
    for name, array in arrays.items():
        if array.dtype != np.int64:
            continue
        for other in (-array, array - 1, array + 2**62, np.full_like(array, 2**63 - 1), np.full_like(array, -(2**63))):
            np.savez(file, **arrays | {name: other})
            refused(file, messages.get(name, CONTRADICT))
            edited += 1
    assert edited == 6 * 5


def one_map(file: Path, ignore_index: int | None = 9, **arrays: Any) -> None:
    """Write a bank of one label map [[0, 1, 2]] that was predicted right, with other arrays and another void label."""
    bank = OffsetBank(3, max_offset=0)
    bank.update_sequence([[[0, 1, 2]]], [[[0, 1, 2]]], sequence="a")
    bank.save(file)
    saved = file.read_bytes()
    np.savez(file, **arrays_of(saved) | {name: np.array(values) for name, values in arrays.items()})
    write_header(file.read_bytes(), file, lambda header: header | {"ignore_index": ignore_index})


LARGEST = 2**63 - 1


@pytest.mark.parametrize(
    "arrays",
    [
        # sums that wrap to what is expected
        {"labelled": [[LARGEST, LARGEST, 12]], "pixels": [[10, 10]], "counts": [[[[[LARGEST, LARGEST, 12]] * 2]]]},
        {"labelled": [[LARGEST, LARGEST, 0]], "pixels": [[-2, 10]], "counts": [[[[[LARGEST, LARGEST, 0]] * 2]]]},
        {"labelled": [[2**48, 0, 0]], "pixels": [[2**48, 2**48]], "counts": [[[[[2**48, 0, 0]] * 2]]]},
        # less than nothing in common, among ten pixels
        {"labelled": [[1, 9, 0]], "pixels": [[10, 10]], "counts": [[[[[-1, 0, 0], [0, 0, 0]]]]]},
        # more wrong pixels than there are: class 0 has 5 false positives and 5 misses among 8
        {"labelled": [[5, 2, 1]], "pixels": [[8, 8]], "counts": [[[[[0, 0, 0], [5, 0, 0]]]]]},
        # more predicted than there are, each class by itself possible
        {"counts": [[[[[0, 0, 0], [2, 2, 2]]]]]},
        {"counts": [[[[[1, 1, 1], [1, 1, 0]]]]]},  # more in common than predicted
        {"counts": [[[[[2, 0, 0], [2, 0, 0]]]]]},  # more in common than labelled
        {"labelled": [[2, 1, 1]]},  # more labelled than valid
        {"pixels": [[4, 4]]},  # and fewer
        {"pixels": [[2, 3]]},
        {"pixels": [[3, 2]]},
        {"labelled": [[0, 0, 0]], "pixels": [[0, 0]], "counts": [[[[[0, 0, 0]] * 2]]]},  # a map without pixels
        {"frame": [1]},
        {"frame": [-1]},
        {"state": np.zeros((1, 1, 1), np.uint8)},  # counted, but no map was given
        {"state": np.full((1, 1, 1), 2, np.uint8)},
        {"state": np.full((1, 1, 1), 3, np.uint8), "counts": [[[[[0, 0, 0]] * 2]]]},
    ],
    ids=str,
)
def test_counts_that_no_label_map_has(arrays: dict[str, Any], file: Path) -> None:
    one_map(file)
    assert OffsetBank.load(file).score(frame_offset=0).counts.tolist() == [[[1, 1, 1]] * 3]
    one_map(file, **arrays)
    refused(file, CONTRADICT)


@pytest.mark.parametrize(
    ("ignore_index", "arrays"),
    [
        (None, {"pixels": [[3, 4]]}),  # a void pixel
        (None, {"counts": [[[[[0, 1, 1], [0, 1, 1]]]]]}),  # a pixel without a class
        (2, {"counts": [[[[[1, 1, 0], [1, 1, 0]]]]]}),  # void that is labelled
        (2, {"labelled": [[2, 1, 0]], "counts": [[[[[1, 1, 0], [1, 1, 1]]]]]}),  # void that is predicted
    ],
)
def test_counts_that_contradict_the_void_label(ignore_index: int | None, arrays: dict[str, Any], file: Path) -> None:
    one_map(file, **arrays)
    assert OffsetBank.load(file).score(frame_offset=0).num_pairs == 1
    one_map(file, ignore_index, **arrays)
    refused(file, CONTRADICT)


def test_counts_before_the_first_frame(saved: bytes, file: Path) -> None:
    arrays = arrays_of(saved)
    arrays["state"][0, 0, 1] = 1
    np.savez(file, **arrays)
    refused(file, CONTRADICT)


def test_labels_that_disagree_with_themselves(saved: bytes, file: Path) -> None:
    arrays = arrays_of(saved)
    assert arrays["counts"][1, 0, 0].tolist() == [[2, 1, 0]] * 2
    for counts, state in (([[2, 1, 0], [2, 1, 0]], 0), ([[0, 0, 0], [0, 0, 0]], 0), ([[1, 0, 0], [2, 1, 0]], 1)):
        arrays["counts"][1, 0, 0], arrays["state"][1, 0, 0] = counts, state
        np.savez(file, **arrays)
        refused(file, CONTRADICT)
    bank = OffsetBank(3, max_offset=0, ignore_index=9, persistence=True)
    bank.update_sequence([[[9]]], [[[9]]], sequence="a")
    bank.save(file)
    np.savez(file, **arrays_of(file.read_bytes()) | {"state": np.array([[[1]], [[0]]], np.uint8)})
    refused(file, CONTRADICT)  # void labels are labels too


def test_more_pixels_than_64_bits_count(file: Path) -> None:
    """Label maps of 2**48 - 1 pixels: 2**14 of them are a bank, that no score counts twice; one more is none."""
    one_map(file)
    arrays, pixels = arrays_of(file.read_bytes()), 2**48 - 1
    arrays["labelled"][:] = arrays["counts"][:] = [pixels, 0, 0]
    arrays["pixels"][:] = pixels

    def write(maps: int) -> None:
        longer = {name: np.repeat(arrays[name], maps, axis=0) for name in ("labelled", "pixels")}
        longer |= {name: np.repeat(arrays[name], maps, axis=1) for name in ("counts", "state")}
        lengths = {name: np.array([maps]) for name in ("num_frames", "num_labelled")}
        np.savez(file, **arrays | longer | lengths | {"frame": np.arange(maps)})

    write(2**14 + 1)
    refused(file, "the sequences hold more pixels than 64 bits can count")
    write(2**14)
    bank = OffsetBank.load(file)
    assert bank.score(frame_offset=0).counts.tolist() == [[[pixels * 2**14, 0, 0]] * 3]
    with pytest.raises(StateError, match="pixels of this bank, counted 2 times, are more than 64 bits can hold"):
        bank.expected(LatencyTrace([0, 0]), recorded_fps=10)
    arrays["header"] = np.frombuffer(arrays["header"].tobytes().replace(b'"a"', b'"b"'), np.uint8)
    write(1)
    bank.merge(OffsetBank.load(file))
    with pytest.raises(StateError, match="counted 1 times, are more than 64 bits can hold"):
        bank.score(frame_offset=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "flame-metric bank 0"}, "this is a record of format 'flame-metric bank 0', expected"),
        ({"format": "flame-metric meter 1"}, "this is a record of format 'flame-metric meter 1', expected"),
        ({"format": None}, "this is a record of format None, expected"),
        ({"num_classes": 4}, f"{NO_BANK}`labelled` is int64 .5, 3., expected int64 .5, 4."),
        ({"num_classes": 2}, f"{NO_BANK}`labelled` is int64 .5, 3., expected int64 .5, 2."),
        ({"num_classes": 3.0}, f"{DAMAGED}`num_classes` is 3.0, expected"),
        ({"num_classes": "3"}, f"{DAMAGED}`num_classes` is '3', expected"),
        ({"num_classes": None}, f"{DAMAGED}`num_classes` is None, expected"),
        ({"num_classes": 10**30}, f"{DAMAGED}`num_classes` is 10{{30}}, expected"),
        ({"max_offset": 1}, f"{NO_BANK}`counts` is int64 .2, 5, 3, 2, 3., expected int64 .2, 5, 2, 2, 3."),
        ({"max_offset": 3}, f"{NO_BANK}`counts` is int64 .2, 5, 3, 2, 3., expected int64 .2, 5, 4, 2, 3."),
        ({"max_offset": -1}, f"{DAMAGED}`max_offset` is -1, expected"),
        ({"max_offset": 2.0}, f"{DAMAGED}`max_offset` is 2.0, expected"),
        ({"max_offset": True}, f"{DAMAGED}`max_offset` is True, expected"),
        ({"max_offset": 10_001}, rf"{DAMAGED}`max_offset` is 10001, expected .* \(at most 10,000\)"),
        ({"max_offset": 10**30}, f"{DAMAGED}`max_offset` is 10{{30}}, expected"),
        ({"fps": 0}, f"{DAMAGED}`fps` is 0, expected"),
        ({"fps": "0"}, f"{DAMAGED}`fps` is 0, expected"),
        ({"fps": "-5"}, f"{DAMAGED}`fps` is '-5', expected"),
        ({"fps": "nan"}, f"{DAMAGED}`fps` is 'nan', expected"),
        ({"fps": True}, f"{DAMAGED}`fps` is True, expected"),
        ({"fps": "1e9"}, f"{DAMAGED}`fps` is '1e9', expected"),
        ({"ignore_index": "9"}, f"{DAMAGED}`ignore_index` is '9', expected"),
        ({"ignore_index": 9.0}, f"{DAMAGED}`ignore_index` is 9.0, expected"),
        ({"ignore_index": None}, CONTRADICT),  # clip a has a void pixel
        ({"ignore_index": 0}, CONTRADICT),  # and pixels of each class
        ({"ignore_index": 2}, CONTRADICT),
        ({"persistence": False}, f"{NO_BANK}`counts` is int64 .2, 5, 3, 2, 3., expected int64 .1, 5, 3, 2, 3."),
        ({"persistence": None}, f"{DAMAGED}`persistence` is None, expected True or False"),
        ({"persistence": "no"}, f"{DAMAGED}`persistence` is 'no', expected True or False"),
        ({"persistence": 1}, f"{DAMAGED}`persistence` is 1, expected True or False"),
        ({"class_names": ["road"]}, f"{DAMAGED}`class_names` holds 1 names, expected 3"),
        ({"class_names": "abc"}, f"{DAMAGED}`class_names` is 'abc', expected"),
        ({"class_names": 5}, f"{DAMAGED}`class_names` is 5, expected"),
        ({"sequences": None}, "`sequences` is NoneType, expected a list of ids"),
        ({"sequences": 5}, "`sequences` is int, expected a list of ids"),
        ({"sequences": "ab"}, "`sequences` is str, expected a list of ids"),
        ({"sequences": {"a": 1, "b": 2}}, "`sequences` is dict, expected a list of ids"),
        ({"sequences": ["a", 2]}, "the sequence id 2 is not text, is empty or comes twice"),
        ({"sequences": ["a", None]}, "the sequence id None is not text, is empty or comes twice"),
        ({"sequences": ["a", ["b"]]}, r"the sequence id \['b'\] is not text, is empty or comes twice"),
        ({"sequences": ["a", ""]}, "the sequence id '' is not text, is empty or comes twice"),
        ({"sequences": ["a", "a"]}, "the sequence id 'a' is not text, is empty or comes twice"),
        ({"sequences": []}, f"{NO_BANK}`num_frames` is int64 .2,., expected int64 .0,."),
        ({"sequences": ["a"]}, f"{NO_BANK}`num_frames` is int64 .2,., expected int64 .1,."),
        ({"sequences": ["a", "b", "c"]}, f"{NO_BANK}`num_frames` is int64 .2,., expected int64 .3,."),
        ({"colour": "red"}, r"the field\(s\) \['colour'\] of the header are missing or unknown"),
    ],
    ids=str,
)
def test_edited_headers(saved: bytes, file: Path, change: dict[str, Any], message: str) -> None:
    write_header(saved, file, lambda header: header | change)
    refused(file, message)


@pytest.mark.parametrize(
    ("name", "lengths", "message"),
    [
        ("num_frames", [3, 2], CONTRADICT),
        ("num_frames", [2, 4], "sequence 'a' has 3 labelled frames of 2, expected"),
        ("num_frames", [-1, 2], "sequence 'a' has 3 labelled frames of -1, expected"),
        ("num_frames", [4, 3_000_001], "sequence 'b' has 2 labelled frames of 3000001, expected .* <= 3,000,000$"),
        ("num_frames", [4, 10**15], "sequence 'b' has 2 labelled frames of 10{15}, expected"),
        ("num_labelled", [2, 3], "sequence 'b' has 3 labelled frames of 2, expected"),
        ("num_labelled", [4, 1], CONTRADICT),
        ("num_labelled", [-3, 8], "sequence 'a' has -3 labelled frames of 4, expected"),
        ("num_labelled", [3, 2**62], "sequence 'b' has 46\\d+ labelled frames of 2, expected"),
        ("num_labelled", [3, 1], f"{NO_BANK}`frame` is int64 .5,., expected int64 .4,."),
        ("num_labelled", [0, 0], f"{NO_BANK}`frame` is int64 .5,., expected int64 .0,."),
    ],
)
def test_edited_lengths_of_clips(saved: bytes, file: Path, name: str, lengths: list[int], message: str) -> None:
    np.savez(file, **arrays_of(saved) | {name: np.array(lengths)})
    refused(file, message)


def test_the_longest_clip(saved: bytes, file: Path) -> None:
    np.savez(file, **arrays_of(saved) | {"num_frames": np.array([3_000_000, 2])})
    assert OffsetBank.load(file).score(frame_offset=1) == bank_of().score(frame_offset=1)


def test_clips_that_are_exchanged(saved: bytes, file: Path) -> None:
    arrays = arrays_of(saved)
    np.savez(file, **arrays | {name: arrays[name][::-1] for name in ("num_frames", "num_labelled")})
    refused(file, CONTRADICT)


def test_every_field_of_the_header_is_needed(saved: bytes, file: Path) -> None:
    for name in header_of(saved):
        write_header(saved, file, lambda header, name=name: {key: header[key] for key in header if key != name})
        missing = rf"the field\(s\) \['{name}'\] of the header are missing or unknown"
        refused(file, "this is a record of format None, expected" if name == "format" else missing)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"null", b"[]", b"5", b"\xff\xfe", b"[" * 100_000, b'{"format": NaN}', b"{} {}", b"\0" * 9]
)
def test_headers_that_are_no_json(saved: bytes, file: Path, text: bytes) -> None:
    np.savez(file, **arrays_of(saved) | {"header": np.frombuffer(text, np.uint8)})
    refused(file, r"this is not a 'flame-metric bank \d' record|this is a record of format")


def header_of(saved: bytes) -> dict[str, Any]:
    return json.loads(arrays_of(saved)["header"].tobytes())


def write_header(saved: bytes, file: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    text = json.dumps(change(header_of(saved))).encode()
    np.savez(file, **arrays_of(saved) | {"header": np.frombuffer(text, np.uint8)})


def npy(shape: str, descr: str = "'<i8'", data: bytes = b"") -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    assert len(header) < 2**16
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


@pytest.mark.parametrize(
    "member",
    [
        npy("(1000000,)"),  # eight megabytes that are not there
        npy(f"({10**15},)"),
        npy(f"({10**18}, 1)"),
        npy(f"({10**30},)"),
        npy("(-1,)"),
        npy("(2,)", data=b"\0" * 15),
        npy("(2,)", "'|O'", pickle.dumps([Intruder(), 1])),
        npy("(2,)", "'zz'", b"\0" * 16),
        npy("('a',)"),
        npy("__import__('pathlib').Path('unpickled').touch()"),
        npy("(" * 50),
        b"\x93NUMPY\x09\x00",
        b"\x93NUMPY\x01\x00\xff\xff{",
        pickle.dumps(Intruder()),
        npy("(2,)", "'<i8', 'note': '" + "x" * 20_000 + "'"),  # NumPy advises to trust such a header
        b"text",
        b"",
    ],
)
def test_arrays_that_claim_what_they_are_not(
    saved: bytes, file: Path, member: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    members = members_of(saved)
    for replaced in members:
        write_members(file, members | {replaced: member}, zipfile.ZIP_DEFLATED)
        name = replaced.removesuffix(".npy")
        refused(
            file, f"{NO_BANK}`{name}` (does not begin as an array of NumPy|is .*, expected|holds .* bytes, expected)"
        )
        with pytest.raises(StateError) as found:
            OffsetBank.load(file)
        assert not re.search("pickle|trust|unsafe", str(found.value))
    assert [path.name for path in file.parent.iterdir()] == ["bank.npz"]


def members_of(saved: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(saved)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(file: Path, members: dict[str, bytes], method: int) -> None:
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def huge(labelled: int) -> dict[str, bytes]:
    """Members of a bank that claims many labelled frames; of the large arrays there are only the beginnings."""
    header = {"format": "flame-metric bank 1", "num_classes": 19, "max_offset": 100, "fps": None, "ignore_index": None}
    text = json.dumps(header | {"class_names": None, "persistence": True, "sequences": ["a"]}).encode()
    shapes = {"frame": "", "labelled": " 19", "pixels": " 2", "counts": " 101, 2, 19", "state": " 101"}
    length = labelled.to_bytes(8, "little")
    return {
        "header.npy": npy(f"({len(text)},)", "'|u1'", text),
        "num_frames.npy": npy("(1,)", data=length),
        "num_labelled.npy": npy("(1,)", data=length),
        **{
            f"{name}.npy": npy(
                f"({'2, ' if name in ('counts', 'state') else ''}{labelled},{rest})",
                "'|u1'" if name == "state" else "'<i8'",
                bytes(80),
            )
            for name, rest in shapes.items()
        },
    }


def lying(file: Path, members: dict[str, bytes], method: int, **claims: int) -> None:
    """Write an archive whose directory claims other sizes for the arrays that have no complete content."""
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
            for claim, value in claims.items() if name not in list(members)[:3] else ():
                setattr(archive.getinfo(name), claim, value)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({}, "`frame` holds 80 bytes, expected 24000000 for int64"),
        ({"file_size": 24_000_128}, "claims 24000128 bytes for frame.npy, expected at most"),
        (
            {"file_size": 24_000_128, "compress_size": 24_000_128},
            "claims 24000128 bytes for frame.npy, expected at most",
        ),
        ({"file_size": 2**62, "compress_size": 2**62}, "claims 46\\d+ bytes for frame.npy, expected at most"),
    ],
)
def test_a_small_file_takes_little_memory(claims: dict[str, int], message: str, method: int, file: Path) -> None:
    lying(file, huge(3_000_000), method, **claims)
    assert file.stat().st_size < 4000
    tracemalloc.start()
    try:
        refused(file, NO_BANK + message)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_that_holds_more_than_it_says(saved: bytes, file: Path, method: int) -> None:
    """Eight megabytes follow what the directory tells of: they are not read."""
    members = members_of(saved)
    text = arrays_of(saved)["header"].tobytes().ljust(20_000)
    members["header.npy"] = npy("(20000,)", "'|u1'", text)
    write_members(file, members, method)
    assert OffsetBank.load(file).sequences == ("a", "b")
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content + bytes(8_000_000 if name == "header.npy" else 0))
        archive.getinfo("header.npy").file_size = len(members["header.npy"])
    tracemalloc.start()
    try:
        refused(file, f"{NO_BANK}Bad CRC-32 for file 'header.npy'")
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_arrays_with_something_behind_them(saved: bytes, file: Path) -> None:
    members = members_of(saved)
    for name, content in members.items():
        write_members(file, members | {name: content + b"\0"}, zipfile.ZIP_DEFLATED)
        refused(file, rf"{NO_BANK}`{name.removesuffix('.npy')}` holds \d+ bytes, expected \d+ for")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_has_no_bound(saved: bytes, file: Path, method: int) -> None:
    write_members(file, members_of(saved), method)
    refused(file, rf"{NO_BANK}\w+.npy is compressed in another way than NumPy does")


@pytest.mark.parametrize("path", ["", ".", "/", None, 5, b"bank.npz", "a\0b", ["bank.npz"], True])
def test_what_names_no_file(path: Any) -> None:
    for ask in (bank_of().save, OffsetBank.load):
        with pytest.raises(ConfigError, match=re.escape(f"`path` is {path!r}, expected the name of a file")):
            ask(path)


@pytest.mark.parametrize("kind", [str, Path])
def test_saving_where_it_cannot_be(tmp_path: Path, kind: type) -> None:
    """The error names the file that was asked for, and no other."""
    bank = bank_of()
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for place, error in (
        (tmp_path / "missing" / "bank.npz", FileNotFoundError),
        (tmp_path / "folder", IsADirectoryError),
        (tmp_path / "file" / "bank.npz", NotADirectoryError),
    ):
        with pytest.raises(error) as refusal:
            bank.save(kind(place))
        assert (refusal.value.filename, refusal.value.filename2) == (str(place), None)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="only some systems limit the size of files")
    bank = bank_of()
    bank.save(tmp_path / "bank.npz")
    before = (tmp_path / "bank.npz").read_bytes()
    bank.update_sequence(CLIP, CLIP, sequence="more")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: '.*bank\.npz'"):
            bank.save(tmp_path / "bank.npz")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"bank.npz": before}


# ── laws ──


def questions(bank: OffsetBank) -> Iterator[Callable[[], FlameResult]]:
    for persistence in (False, True) if bank.has_persistence else (False,):
        for first in ("skip", "void"):
            options = {"before_first": first, "persistence": persistence}
            for offset in range(bank.max_offset + 1):
                yield partial(bank.score, frame_offset=offset, **options)
            for config in (StreamConfig(), StreamConfig(workers=None, extra_latency_ms=30)):
                yield partial(bank.stream, 50, config, **options)
    yield partial(bank.expected, LatencyTrace([10, 70, 70]))
    yield partial(bank.phase_averaged, 70)


def works(bank: OffsetBank) -> int:
    """Ask what there is to ask: each answer is a result that can be read again. Return how many there were."""
    answered = 0
    for ask in questions(bank):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FlameWarning)
            try:
                result = ask()
            except (StateError, ConfigError) as error:
                if re.search("is None, but is on screen|bits can hold|an offset of . frames is asked for", str(error)):
                    continue
                raise
            assert FlameResult.from_json(result.to_json()) == result
            assert np.isnan(result.miou) or 0 <= result.miou <= 1
            answered += 1
    return answered


FEW = st.one_of(st.integers(-2, 6), st.sampled_from([2**47, 2**48 - 1, 2**62, 3_000_001]))
ANY = st.one_of(FEW, st.integers(-(2**63), 2**63 - 1))


@examples(300)
@given(st.data())
def test_law_an_edited_bank_is_refused_or_works(
    saved: bytes, tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    arrays = arrays_of(saved)
    for _ in range(data.draw(st.integers(1, 3), "edits")):
        name = data.draw(st.sampled_from(sorted(arrays.keys() - {"header"})), "array")
        array = arrays[name]
        values = FEW if name == "num_frames" else ANY  # a stream of a million frames takes seconds
        place = data.draw(st.integers(0, array.size - 1), "place")
        value = data.draw(st.integers(0, 255) if array.dtype == np.uint8 else values, "value")
        array.reshape(-1)[place] = value
    file = tmp_path_factory.mktemp("edited") / "bank.npz"
    np.savez(file, **arrays)
    try:
        bank = OffsetBank.load(file)
    except StateError:
        return
    works(bank)


@examples(40)
@given(st.integers(0, 2**32), st.sampled_from([None, 0, 2, 9]), st.booleans())
def test_law_what_is_saved_can_be_loaded(
    tmp_path_factory: pytest.TempPathFactory, seed: int, ignore_index: int | None, persistence: bool
) -> None:
    generator = np.random.default_rng(seed)
    labels = [0, 1, 2, *([] if ignore_index is None else [ignore_index])]
    bank = OffsetBank(3, max_offset=3, fps=20, ignore_index=ignore_index, persistence=persistence)
    lost = 0.2 * (seed % 2)
    for name, frames in (("a", 6), ("b", 1), ("c", 0), ("d", 4)):
        preds, targets = (
            [None if generator.random() < share else one for one in generator.choice(labels, (frames, 2, 3))]
            for share in (lost, 0.3)
        )
        holes = [frame for frame in range(frames) if preds[frame] is None and targets[frame] is None]
        bank.update_sequence(preds, targets, sequence=name, holes=holes[::2])
    file = tmp_path_factory.mktemp("saved") / "bank.npz"
    bank.save(file)
    again = OffsetBank.load(file)
    other = file.with_name("other.npz")
    again.save(other)
    first, second = arrays_of(file.read_bytes()), arrays_of(other.read_bytes())
    assert first.keys() == second.keys()
    assert all(np.array_equal(second[name], array) for name, array in first.items())
    assert works(again) or lost
    assert works(again.every(2)) or lost
