from pathlib import Path

import pytest

from flame_metric.core.files import digest_of, write_whole


def test_a_link_keeps_pointing_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_a_device_is_written_into() -> None:
    write_whole(Path("/dev/null"), b"gone")
    assert not Path("/dev/null").is_file()


def test_an_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="none/file") as error:
        write_whole(tmp_path / "none" / "file", b"")
    assert error.value.filename == str(tmp_path / "none" / "file")


def test_digests_tell_contents_and_names_of_a_folder(tmp_path: Path) -> None:
    for folder, names in (("a", "xy"), ("b", "yx"), ("c", "xz")):
        (tmp_path / folder / "deeper").mkdir(parents=True)
        for name, content in zip(names, names, strict=True):
            (tmp_path / folder / name).write_text(content)
    found = {name: digest_of(tmp_path / name) for name in "abc"}
    assert found["a"] == found["b"] != found["c"]
    assert digest_of(tmp_path / "a" / "x") == digest_of(tmp_path / "b" / "x") != digest_of(tmp_path / "a" / "y")
    with pytest.raises(FileNotFoundError):
        digest_of(tmp_path / "none")
