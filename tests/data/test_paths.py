"""Whether there is a folder or a file, and what is said where that cannot be found out."""

import os
from pathlib import Path

import pytest

from flame_metric import DatasetError
from flame_metric.data.paths import check_file, check_folder, exists, expand_home, is_file, is_folder
from flame_metric.data.registry import DATASETS, open_dataset

TOO_LONG = "x" * 300


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder into which nobody may look, whoever runs the tests."""
    folder = tmp_path / "closed"
    folder.mkdir()
    real = os.stat

    def refusing(path, *args, **options):
        if not isinstance(path, int) and folder in Path(os.fsdecode(path)).parents:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *args, **options)

    monkeypatch.setattr(os, "stat", refusing)
    return folder


def test_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "to_file").symlink_to(tmp_path / "file")
    (tmp_path / "to_folder").symlink_to(tmp_path)
    (tmp_path / "to_nothing").symlink_to(tmp_path / "nothing")
    names = ("", "file", "to_file", "to_folder", "to_nothing", "nothing", "file/below", "a\0b")
    found = {name: (is_folder(tmp_path / name), is_file(tmp_path / name), exists(tmp_path / name)) for name in names}
    nothing = (False, False, False)
    assert found == {
        "": (True, False, True),
        "file": (False, True, True),
        "to_file": (False, True, True),
        "to_folder": (True, False, True),
        "to_nothing": nothing,
        "nothing": nothing,
        "file/below": nothing,
        "a\0b": nothing,
    }


def test_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nothing")
    check_folder(tmp_path, "a folder")
    check_file(tmp_path / "file", "a file")
    for check, name, found in (
        (check_folder, "file", "not a folder"),
        (check_folder, "nothing", "missing"),
        (check_file, "", "not a file"),
        (check_file, "nothing", "missing"),
        (check_file, "link", "a link to nothing"),
    ):
        with pytest.raises(DatasetError, match=f"{name}: is {found}, expected wheels$") as caught:
            check(tmp_path / name, "wheels")
        assert caught.value.path == str(tmp_path / name)


@pytest.mark.parametrize("question", [is_folder, is_file, exists])
def test_what_cannot_be_found_out(question, tmp_path: Path, closed: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    for path, reason in (
        (tmp_path / TOO_LONG, "File name too long"),
        (tmp_path / "circle", "Too many levels"),
        (closed / "street", "Permission denied"),
    ):
        with pytest.raises(DatasetError, match=f"{path.name}: cannot be read: {reason}"):
            question(path)


@pytest.mark.parametrize("name", [name for name, kind in DATASETS.items() if kind.rooted])
def test_a_data_set_in_a_closed_folder(name: str, closed: Path) -> None:
    pytest.importorskip("PIL.Image", reason="reading image files needs Pillow")
    with pytest.raises(DatasetError, match="street: cannot be read: Permission denied"):
        open_dataset(f"{name}:{closed / 'street'}")
    with pytest.raises(DatasetError, match="x: cannot be read: File name too long"):
        open_dataset(f"{name}:{closed.parent / TOO_LONG}")


def test_a_home_with_a_nul_is_nobodys() -> None:
    """`os.path.expanduser` raises what no caller expects."""
    assert expand_home("~nobody\0") == "~nobody\0"
    assert expand_home("~") == str(Path("~").expanduser())
