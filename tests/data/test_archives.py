"""Zip and tar archives as folders: what is in them, or an error; never a list that was cut."""

import gzip
import io
import lzma
import os
import shutil
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flame_metric.data.archives import archive_kind
from flame_metric.data.places import open_place
from flame_metric.data.stored import StoredFile
from flame_metric.errors import ConfigError, DatasetError

FILES = {"a/0001.png": b"one", "a/0002.png": b"two", "b/0001.png": b"three" * 1000}
ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def pack(path: Path, files=None) -> Path:
    files = FILES if files is None else files
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    kind = {"tar": "", "tgz": "gz"}.get(path.suffix[1:], path.suffix[1:])
    with tarfile.open(path, f"w:{kind}") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("ending", ENDINGS)
def test_files_of_an_archive(ending: str, tmp_path: Path) -> None:
    path = pack(tmp_path / f"labels{ending}")
    folder = open_place(str(path))
    files = folder.files()
    assert {str(file.path): file.read() for file in files} == FILES
    assert [file.size for file in files] == [3, 3, 5000]
    assert (folder.name, str(folder), str(files[0])) == ("labels", str(path), f"{path}/a/0001.png")
    assert files[0].parent == f"{path}/a"
    kind = archive_kind(path.name)
    inner = open_place(f"{kind}://a::{path}")
    assert [file.read() for file in inner.files()] == [b"one", b"two"]
    assert (inner.name, str(inner)) == ("a", f"{path}/a")
    assert [file.read() for file in open_place(f"{kind}::{path}").files()] == list(FILES.values())


def test_names_of_any_form(tmp_path: Path) -> None:
    path = pack(tmp_path / "labels.tar", {"./a/1.png": b"1", "/b/2.png": b"2"})
    assert [str(file.path) for file in open_place(path).files()] == ["a/1.png", "b/2.png"]
    with pytest.raises(
        DatasetError, match=r"labels\.zip: holds a file called 'a/\.\./\.\./x\.png', expected names below"
    ):
        open_place(pack(tmp_path / "labels.zip", {"a/../../x.png": b""})).files()


@pytest.mark.parametrize("chain", ["zip://inner.zip::outer.zip", "zip://inner.zip::file:///o.zip", "tar::zip::o.tar"])
def test_archives_in_archives_are_refused(chain):
    with pytest.raises(ConfigError, match=r"names an archive in an archive, .*: unpack the outer one"):
        open_place(f"zip://a::{chain}")


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz"])
def test_a_version_changes_with_the_content(ending: str, tmp_path: Path) -> None:
    """A tar file has no checksum of its files: its own time stands for them."""
    versions = []
    for time, content in enumerate((b"one", b"two")):
        path = pack(tmp_path / f"labels{ending}", {"1.png": content})
        os.utime(path, (time, time))
        (file,) = open_place(path).files()
        versions.append(file.version)
    assert versions[0] != versions[1]


@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_the_same_file_twice(ending: str, tmp_path: Path) -> None:
    """Programs that unpack take the last one; which is meant is for the user to say."""
    with pytest.raises(DatasetError, match="twice, expected each"):
        open_place(pack(tmp_path / f"labels{ending}", {"1.png": b"1", "./1.png": b"2"})).files()


def test_the_same_name_twice_in_a_tar_file(tmp_path: Path) -> None:
    path = pack(tmp_path / "labels.tar", {"1.png": b"1"})
    with tarfile.open(path, "a") as archive:
        archive.addfile(tarfile.TarInfo("1.png"))
    with pytest.raises(DatasetError, match=r"labels\.tar: is not a tar archive, .*: it holds a file twice"):
        open_place(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_cut_anywhere_it_is_an_error(ending: str, tmp_path: Path) -> None:
    """`tarfile` ends its list without a word at a header that is cut."""
    path = pack(tmp_path / f"labels{ending}")
    content = path.read_bytes()
    lengths = range(0, len(content), 512 if ending == ".tar" else max(1, len(content) // 40))
    end = len(content.rstrip(b"\0")) + 512 if ending == ".tar" else len(content)  # zeros at the end may be fewer
    for length in lengths:
        path.write_bytes(content[:length])
        if length >= end:
            continue
        with pytest.raises(DatasetError, match=r"labels\.\S+: (is not a \w+ archive, damaged|is damaged) or cut short"):
            assert {str(file.path): file.read() for file in open_place(path).files()} == FILES


@pytest.mark.parametrize("number", range(3))
def test_a_damaged_header_in_a_tar_file_does_not_end_it(number: int, tmp_path: Path) -> None:
    path = pack(tmp_path / "labels.tar", {f"{number}.png": b"x" for number in range(3)})
    content = bytearray(path.read_bytes())
    content[number * 1024 + 150] ^= 0xFF  # in its checksum
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="is not a tar archive, damaged or cut short"):
        open_place(path)


def test_two_tar_files_in_a_row(tmp_path: Path) -> None:
    path = pack(tmp_path / "labels.tar")
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(DatasetError, match="more follows its end; expected one archive"):
        open_place(path)


def test_every_flipped_byte_of_a_zip_file_shows_or_is_harmless(tmp_path: Path) -> None:
    path = pack(tmp_path / "labels.zip", {"1.png": b"label map", "2.png": b"another"})
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x5A]) + content[position + 1 :])
        try:
            found = {file.name: file.read() for file in open_place(path).files()}
        except DatasetError:
            continue
        assert {*found.values()} <= {b"label map", b"another"}
        assert len(found) == 2


def test_a_file_without_a_name(tmp_path: Path) -> None:
    path = pack(tmp_path / "labels.zip", {"1": b"x"})
    content = path.read_bytes()
    start = content.index(b"PK\1\2")
    nameless = content[start : start + 28] + b"\0\0" + content[start + 30 : start + 46]
    end = content[content.index(b"PK\5\6") :]
    size = (int.from_bytes(end[12:16], "little") - 1).to_bytes(4, "little")
    path.write_bytes(content[:start] + nameless + end[:12] + size + end[16:])
    with pytest.raises(DatasetError, match=r"labels\.zip: is not a zip archive, damaged or cut short: "):
        open_place(path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0xFFFF, 0x10000])
def test_as_many_files_as_there_are(number: int, tmp_path: Path) -> None:
    """From 65,535 on, a zip file keeps their number elsewhere."""
    path = pack(tmp_path / "labels.zip", {f"{number}": b"" for number in range(number)})
    assert len(open_place(path).files()) == number


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.xz"])
def test_a_header_that_claims_a_name_of_any_length(ending: str, tmp_path: Path) -> None:
    """`tarfile` asks for all of it at once."""
    for size in (2**21, 2**60):
        member = tarfile.TarInfo("x")
        member.type, member.size = tarfile.XHDTYPE, size
        unpack = {".tar": bytes, ".tar.gz": gzip.compress, ".tar.xz": lzma.compress}[ending]
        (tmp_path / f"labels{ending}").write_bytes(unpack(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024)))
        with pytest.raises(DatasetError, match=rf"a header claims {size:,} bytes, expected at most 1,048,576"):
            open_place(tmp_path / f"labels{ending}")


@pytest.mark.parametrize("kind", ["link", "device"])
def test_links_and_devices_are_no_label_maps(kind: str, tmp_path: Path) -> None:
    member = tarfile.TarInfo("a/2.png")
    member.type, member.linkname = (tarfile.SYMTYPE, "/etc/passwd") if kind == "link" else (tarfile.CHRTYPE, "")
    with tarfile.open(tmp_path / "labels.tar", "w") as archive:
        archive.addfile(member)
    (file,) = open_place(tmp_path / "labels.tar").files()
    with pytest.raises(DatasetError, match=r"labels\.tar/a/2\.png: is a link or a device, .* \(tar --dereference "):
        file.read()


@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_a_clip_that_is_a_link_is_not_passed_over(ending: str, tmp_path: Path) -> None:
    path = pack(tmp_path / f"labels{ending}", {"a/1.png": b"1"})
    if ending == ".zip":
        with zipfile.ZipFile(path, "a") as archive:
            member = zipfile.ZipInfo("b")
            member.external_attr = 0o120777 << 16
            archive.writestr(member, "../store/b")
    else:
        with tarfile.open(path, "a") as archive:
            member = tarfile.TarInfo("./b")
            member.type, member.linkname = tarfile.SYMTYPE, "../store/b"
            archive.addfile(member)
    with pytest.raises(DatasetError, match=rf"labels\{ending}/b: is a link or a device, expected a file or a folder"):
        open_place(path).files()
    assert [file.name for file in open_place(f"{ending[1:]}://a::{path}").files()] == ["1.png"]


@pytest.mark.parametrize("ending", [".zip", ".tar"])
def test_an_empty_folder_is_not_passed_over(ending: str, tmp_path: Path) -> None:
    for folder in ("labels/a", "labels/b/deeper", "labels/.cache", "elsewhere"):
        (tmp_path / "all" / folder).mkdir(parents=True)
    (tmp_path / "all/labels/a/1.png").write_bytes(b"1")
    path = shutil.make_archive(str(tmp_path / "all"), ending[1:], tmp_path / "all")
    with pytest.raises(DatasetError, match=rf"all\{ending}/labels/b: is empty, expected label maps; remove the folder"):
        open_place(f"{ending[1:]}://labels::{path}").files()
    assert len(open_place(f"{ending[1:]}://labels/a::{path}").files()) == 1


def test_a_bomb_is_refused_by_what_it_claims(tmp_path: Path, monkeypatch) -> None:
    path = pack(tmp_path / "labels.zip", {"1.png": bytes(2_000_000)})
    assert path.stat().st_size < 3000
    monkeypatch.setattr("flame_metric.data.stored._MOST_BYTES", {".png": 1_000_000})
    (file,) = open_place(path).files()
    with pytest.raises(DatasetError, match=r"1\.png: has 2,000,000 bytes, expected at most 1,000,000"):
        file.read()


def test_a_file_that_is_larger_than_the_archive_says(tmp_path: Path) -> None:
    """No more is unpacked than was claimed, and the checksum does not fit then."""
    path = pack(tmp_path / "labels.zip", {"1.png": bytes(1_000_000)})
    content = path.read_bytes()
    path.write_bytes(content.replace((1_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    (file,) = open_place(path).files()
    assert file.size == 100
    with pytest.raises(DatasetError, match=r"1\.png: is damaged or cut short: Bad CRC-32"):
        file.read()


@pytest.mark.parametrize("size", [-512, -1024, -(2**40)])
def test_a_size_below_zero_is_no_circle(size: int, tmp_path: Path) -> None:
    first, member = tarfile.TarInfo("1.png"), tarfile.TarInfo("2.png")
    head = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    head[124:136] = size.to_bytes(12, "big", signed=True)
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    (tmp_path / "labels.tar").write_bytes(first.tobuf() + bytes(head) + bytes(1024))
    with pytest.raises(DatasetError, match=r"labels\.tar: is not a tar archive, damaged or cut short"):
        open_place(tmp_path / "labels.tar")


def test_xz_may_not_ask_for_gigabytes(tmp_path: Path) -> None:
    whole = tarfile.TarInfo("1.png").tobuf() + bytes(1024)
    for dictionary, message in ((2**30, "Memory usage limit exceeded"), (2**26, None)):
        filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": dictionary}]
        (tmp_path / "labels.tar.xz").write_bytes(
            lzma.compress(b"", filters=filters) + lzma.compress(whole, filters=filters)
        )
        if message is None:
            assert [file.name for file in open_place(tmp_path / "labels.tar.xz").files()] == ["1.png"]
            continue
        with pytest.raises(DatasetError, match=message):
            open_place(tmp_path / "labels.tar.xz")


def test_a_zip_file_may_not_ask_for_gigabytes(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "labels.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("1.png", b"x")
    with pytest.raises(DatasetError, match=r"1\.png: packed in another way than deflate or bzip2"):
        open_place(tmp_path / "labels.zip")


def test_a_password_is_no_crash(tmp_path: Path) -> None:
    path = pack(tmp_path / "labels.zip", {"1.png": b"x"})
    content = bytearray(path.read_bytes())
    for start in (6, content.index(b"PK\x01\x02") + 8):
        content[start] |= 1  # the flag of encryption
    path.write_bytes(content)
    (file,) = open_place(path).files()
    with pytest.raises(DatasetError, match=r"1\.png: is damaged or cut short: .*encrypted"):
        file.read()


def test_many_threads_read_one_archive(tmp_path: Path) -> None:
    files = {f"{number}.png": bytes([number]) * 3000 for number in range(40)}
    for ending in (".zip", ".tar"):
        stored = open_place(pack(tmp_path / f"labels{ending}", files)).files()
        with ThreadPoolExecutor(8) as pool:
            contents = list(pool.map(StoredFile.read, stored))
        assert {file.name: content for file, content in zip(stored, contents, strict=True)} == files


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nothing.zip", "nothing.zip: is missing, expected a folder or an archive"),
        ("nothing", "nothing: is missing, expected a folder or an archive"),
        ("text.png", "text.png: is not a folder, expected a folder or an archive"),
        ("zip::nothing.zip", "nothing.zip: is missing, expected a zip archive"),
        ("zip::folder", "folder: is not a file, expected a zip archive"),
        ("zip::text.png", "text.png: is not a zip archive, damaged or cut short: File is not a zip file"),
        ("tar::text.png", "text.png: is not a tar archive, damaged or cut short"),
        ("text.zip", "text.zip: is not a zip archive, damaged or cut short: File is not a zip file"),
    ],
)
def test_what_is_no_archive(address: str, message: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in ("text.png", "text.zip"):
        (tmp_path / name).write_text("text")
    with pytest.raises(DatasetError, match=message):
        open_place(address)


def test_a_folder_that_is_not_in_the_archive(tmp_path: Path) -> None:
    path = pack(tmp_path / "labels.zip")
    with pytest.raises(DatasetError, match=r"labels\.zip/c: is missing, expected a folder in the archive"):
        open_place(f"zip://c::{path}").files()


def test_folders_may_be_called_like_archives_and_addresses(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("labels.zip", "zip::x"):
        (tmp_path / name).mkdir()
        assert open_place(name) == Path(name)
    assert open_place(Path("labels.zip")) == Path("labels.zip")


@pytest.mark.parametrize("text", ["zip://", "TAR://labels"])
def test_a_folder_of_no_archive(text: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"^{text} names no archive, expected zip://FOLDER::ARCHIVE or tar://FOLDER::"
    ):
        open_place(text)


def test_schemes_are_not_case_sensitive(tmp_path: Path) -> None:
    path = pack(tmp_path / "labels.zip", FILES)
    assert [file.name for file in open_place(f"ZIP://a::{path}").files()] == ["0001.png", "0002.png"]


@pytest.mark.parametrize("ending", [".zip", ".tar"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a/" + "1" * 60_000 + "a0.png", "holds a name of 60,0.. characters, 'a/1111.*'.., expected at most 255"),
        ("a/" + "x" * 252 + ".png", "holds a name of 258 characters"),
        ("a" * 256 + "/1.png", "holds a name of 262 characters"),
        ("d/" * 20_000 + "1.png", "holds a name of 40,005 characters, .* in a path of at most 32,767"),
    ],
    ids=["number", "file", "folder", "path"],
)
def test_names_longer_than_any_file_system_allows(ending, name, message, tmp_path):
    with pytest.raises(DatasetError, match=message):
        open_place(pack(tmp_path / f"labels{ending}", {name: b"one", **FILES})).files()
    longest = {f"a/{'1' * 251}.png": b"one", "\N{CJK UNIFIED IDEOGRAPH-8DEF}" * 255 + "/1.png": b"two"}
    assert len(open_place(pack(tmp_path / f"others{ending}", longest)).files()) == 2


def test_two_spellings_of_a_member_are_one(tmp_path):
    names = ("k\N{LATIN SMALL LETTER O WITH DIAERESIS}ln/1.png", "ko\N{COMBINING DIAERESIS}ln/1.png")
    for name in names:
        (file,) = open_place(f"zip://{names[0][:-6]}::{pack(tmp_path / 'one.zip', {name: b'one'})}").files()
        assert (str(file.path), file.read()) == ("1.png", b"one")
    with pytest.raises(DatasetError, match="is in the archive twice"):
        open_place(pack(tmp_path / "two.zip", dict.fromkeys(names, b"one"))).files()
