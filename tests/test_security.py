"""What SECURITY.md promises: no file runs code, names stay text, and a small file takes little memory.

Each edge has its own tests of what it refuses; here is what no file of any kind may do.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import pickle
import re
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flame_metric
from damaged_files import npy, npy_header, write_label_maps
from flame_metric import OffsetBank
from flame_metric.cli import main
from flame_metric.core.tables import Table
from flame_metric.errors import FlameError

PACKAGE = Path(flame_metric.__file__).parent

# ── the source ──

NEVER = {"cloudpickle", "dill", "joblib", "lxml", "marshal", "pickle", "runpy", "shelve", "subprocess", "xml", "yaml"}
ONLY = {  # what is used of such a module nevertheless, and where
    ("torch/timer.py", "subprocess"): {"run", "SubprocessError"},
}
BUILTINS = {"eval", "exec", "compile", "input", "__import__"}
CALLS = {  # what has to be said in such a call; None: it may not be there at all
    "np.load": "allow_pickle=False",
    "torch.load": "weights_only=True",
    "from_pretrained": "trust_remote_code=False",
    **dict.fromkeys(("os.system", "os.popen", "os.startfile", "tempfile.mktemp", "extract", "extractall"), None),
    **dict.fromkeys(("hub.load", "jit.load", "export.load", "PackageImporter", "unpack_archive"), None),
    **dict.fromkeys(("np.fromfile", "np.memmap", "np.genfromtxt", "np.loadtxt", "format.read_array"), None),
}
TRUSTED = {("networks/exported.py", "torch.export.load")}  # of a file that is named as code: pt2:FILE
ALIASES = {"numpy": "np"}


def dangers(file: str, source: str) -> Iterator[str]:
    """What could run code of a file that is read, or could be told to."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0]: alias.asname for alias in node.names}
            for name in names.keys() & NEVER:
                if (file, name) not in ONLY or names[name]:
                    yield f"imports {name}"
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module.split(".")[0] in NEVER:
                yield f"imports from {module}"
            for alias in node.names:
                if f"{ALIASES.get(module, module)}.{alias.name}" in CALLS:
                    yield f"imports {alias.name} from {module}"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in NEVER:
            if node.attr not in ONLY.get((file, node.value.id), ()):
                yield f"uses {node.value.id}.{node.attr}"
        elif isinstance(node, ast.Call) and (file, dotted(node.func)) not in TRUSTED:
            yield from wrong_call(node)


def wrong_call(node: ast.Call) -> Iterator[str]:
    name = dotted(node.func)
    said = {f"{word.arg}={ast.unparse(word.value)}" for word in node.keywords}
    if name in BUILTINS or "shell=True" in said:
        yield f"calls {name}"
    for end, wanted in CALLS.items():
        if f".{name}".endswith(f".{end}") and wanted not in said:
            yield f"calls {name}" + ("" if wanted is None else f" without {wanted}")


def dotted(node: ast.expr) -> str:
    """Return what is called as it is written: ``"np.load"``, or ``"?.load"`` of what has no name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


@pytest.mark.parametrize("file", sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")))
def test_nothing_in_the_source_runs_what_it_reads(file: str) -> None:
    assert list(dangers(file, (PACKAGE / file).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle", ["imports pickle"]),
        ("import os, pickle as p", ["imports pickle"]),
        ("def f():\n    from pickle import loads", ["imports from pickle"]),
        ("import xml.etree.ElementTree", ["imports xml"]),
        ("pickle.loads(b'')", ["uses pickle.loads"]),
        ("np.load(f)", ["calls np.load without allow_pickle=False"]),
        ("np.load(f, allow_pickle=True)", ["calls np.load without allow_pickle=False"]),
        ("np.load(f, mmap_mode='r', allow_pickle=False)", []),
        ("from numpy import load", ["imports load from numpy"]),
        ("torch.load(f)", ["calls torch.load without weights_only=True"]),
        ("torch.load(f, weights_only=wanted)", ["calls torch.load without weights_only=True"]),
        ("torch.load(f, weights_only=True)", []),
        ("torch.jit.load(f)", ["calls torch.jit.load"]),
        ("torch.export.load(f)", ["calls torch.export.load"]),
        ("Auto.from_pretrained(f)", ["calls Auto.from_pretrained without trust_remote_code=False"]),
        ("eval('1')", ["calls eval"]),
        ("network.eval(); re.compile('a'); torch.compile(network)", []),
        ("os.system('ls')", ["calls os.system"]),
        ("run('ls', shell=True)", ["calls run"]),
        ("zipfile.ZipFile(f).extractall()", ["calls ?.extractall"]),
        ("tempfile.mktemp(); tempfile.mkstemp()", ["calls tempfile.mktemp"]),
        ("bank.load(f); json.load(f)", []),
    ],
)
def test_the_search_finds(source: str, found: list[str]) -> None:
    assert list(dangers("a.py", source)) == found


# ── pickles ──


class Intruder:
    """Creates a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


PICKLE = pickle.dumps(Intruder())
OBJECTS = npy(np.array([[Intruder()]], object))
EVALUATE = ["evaluate", "preds", "labels", "--num-classes", "3", "--fps", "10"]
RUN = ["run", "synthetic:videos=1,num_frames=3,height=32,width=64", "--frame-offset", "1"]


def bank_with(name: str, content: bytes) -> bytes:
    """Return a bank of which one array was replaced by something else."""
    bank = OffsetBank(3, max_offset=1, fps=10)
    bank.update_sequence([[[0, 1]], [[2, 1]]], [[[0, 1]], [[2, 2]]], sequence="clip")
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(bank.to_bytes())) as sound,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bad,
    ):
        for member in sound.namelist():
            bad.writestr(member, content if member == f"{name}.npy" else sound.read(member))
    return buffer.getvalue()


def as_torch(*, zipped: bool = True) -> bytes:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    buffer = io.BytesIO()
    torch.save({"weight": Intruder()}, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def old_torch() -> bytes:
    return as_torch(zipped=False)


def run(model: str, *options: str) -> list[str]:
    return [RUN[0], model, *RUN[1:], *options]


def timed(model: str) -> list[str]:
    return ["latency", model, "--shape", "3,6,8"]


@dataclass(frozen=True)
class Carrier:
    """A file, the command that reads it, and a part of what that says."""

    name: str
    file: str
    content: bytes | Callable[[], bytes]
    words: list[str]
    code: int
    says: str
    needs: str = ""


FRAMES = [*EVALUATE, "--frame-offset", "1"]
WEIGHTED = ("swiftnet-r18", "--weights")
WEIGHTS = run(*WEIGHTED, "w.pth")
PAGE = ["report", "a.json"]
BANK = ["rescore", "bank.npz", "--frame-offset", "1"]
FOLDERS = ["run", "flame_metric.demo:segmenter", "folders:d.toml", "--frame-offset", "0"]
NO_ARRAY = "1.npy: cannot be read as an array of numbers"
CARRIERS = [
    Carrier("an array of objects", "preds/1.npy", OBJECTS, FRAMES, 3, NO_ARRAY),
    Carrier("a pickle as a label map", "labels/1.npy", PICKLE, FRAMES, 3, "1.npy: is not a .npy file"),
    Carrier("a pickle as a PNG", "labels/1.png", PICKLE, FRAMES, 3, "1.png: is not a PNG file", "PIL"),
    Carrier("a pickle as a bank", "bank.npz", PICKLE, BANK, 4, "File is not a zip file"),
    Carrier("a bank of objects", "bank.npz", lambda: bank_with("counts", OBJECTS), BANK, 4, "`counts` is object"),
    Carrier("a header of objects", "bank.npz", lambda: bank_with("header", OBJECTS), BANK, 4, "`header` is object"),
    Carrier(
        "a bank of pickles", "bank.npz", lambda: bank_with("counts", PICKLE), BANK, 4, "`counts` does not begin as"
    ),
    Carrier("a pickle as a result", "a.json", PICKLE, ["compare", "a.json", "a.json"], 3, "a.json: is not text"),
    Carrier("a pickle on a page", "a.json", PICKLE, PAGE, 3, "a.json: is not text", "jinja2"),
    Carrier("a pickle as a journal", "job", PICKLE, [*FRAMES, "--journal", "job", "--resume"], 4, "job: "),
    Carrier("a pickle as a part", "job", PICKLE, ["merge", "job"], 4, "job: "),
    Carrier("a pickle as a trace", "t.json", PICKLE, [*EVALUATE, "--trace", "t.json"], 3, "t.json: "),
    Carrier("a pickle as a description", "d.toml", PICKLE, FOLDERS, 3, "d.toml: is not a TOML file", "PIL"),
    Carrier("a pickle as weights", "w.pth", PICKLE, WEIGHTS, 3, "w.pth cannot be read as weights", "torch"),
    Carrier("weights with an object", "w.pth", as_torch, WEIGHTS, 3, "w.pth cannot be read as weights", "torch"),
    Carrier("old weights with an object", "w.pth", old_torch, WEIGHTS, 3, "w.pth cannot be read as weights", "torch"),
    Carrier("a program without its prefix", "n.pt2", PICKLE, run("n.pt2"), 2, "write pt2:n.pt2 if you trust it"),
    Carrier("the same in capitals", "N.PT2", PICKLE, run("N.PT2"), 2, "write pt2:N.PT2 if you trust it"),
    Carrier("another prefix", "n.pt2", PICKLE, run("PT2:n.pt2"), 2, "write pt2:n.pt2 if you trust it"),
    Carrier(
        "a program as weights",
        "w.pt2",
        PICKLE,
        run(*WEIGHTED, "w.pt2"),
        2,
        "the weights are 'w.pt2', a program",
        "torch",
    ),
    Carrier("a program to be timed", "n.pt2", PICKLE, timed("n.pt2"), 2, "a program of torch.export, expected MODULE"),
    Carrier(
        "a program as a module", "pt2.py", b"open('ran', 'w')", timed("pt2:n"), 2, "a program of torch.export, exp"
    ),
    Carrier("a pickle as a model", "n.onnx", PICKLE, run("n.onnx"), 3, "n.onnx ", "onnxruntime"),
    Carrier("weights of old", "hf/pytorch_model.bin", PICKLE, run("hf"), 3, "hf cannot be loaded", "transformers"),
]


@pytest.mark.parametrize(
    "carrier", [each for each in CARRIERS if each.file.lower().endswith(".pt2")], ids=lambda carrier: carrier.name
)
def test_a_program_that_is_not_named_as_code_is_not_looked_for(
    carrier: Carrier, world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if carrier.needs and find_spec(carrier.needs) is None:
        pytest.skip(f"{carrier.needs} is not installed")
    assert main(carrier.words) == carrier.code  # not 3, for a file that is missing
    assert carrier.says in capsys.readouterr().err


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    maps = {f"{side}/{frame}.npy": np.zeros((6, 8), int) for side in ("preds", "labels") for frame in range(3)}
    write_label_maps(tmp_path, maps)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.filterwarnings("default")  # as for a user: what a library warns of would be a second line
@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: carrier.name)
def test_no_file_is_unpickled(carrier: Carrier, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if carrier.needs and find_spec(carrier.needs) is None:
        pytest.skip(f"{carrier.needs} is not installed")
    content = carrier.content if isinstance(carrier.content, bytes) else carrier.content()
    write_label_maps(world, {carrier.file: content})
    if carrier.file.startswith("hf/"):
        (world / "hf" / "config.json").write_text('{"model_type": "segformer", "num_labels": 8}', encoding="utf-8")
        processor = '{"image_processor_type": "SegformerImageProcessor", "do_resize": false}'
        (world / "hf" / "preprocessor_config.json").write_text(processor, encoding="utf-8")
    assert main(carrier.words) == carrier.code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("flame-metric: error: ")
    assert carrier.says in err
    assert err.count("\n") == 1
    assert not (world / "ran").exists()


def test_no_sealed_checkpoint_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its checksum is right: anybody can compute that."""
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from flame_metric.networks.weights import seal  # noqa: PLC0415
    from flame_metric.paper.checkpoint import read_checkpoint  # noqa: PLC0415  needs PyTorch

    monkeypatch.chdir(tmp_path)
    for content in (PICKLE, as_torch(), old_torch(), b"\x80\x02}q\x00K", b"PK\3\4", b""):
        (tmp_path / "checkpoint.pt").write_bytes(content + seal(content))
        with pytest.raises(FlameError, match=r"checkpoint\.pt is not a checkpoint"):
            read_checkpoint(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "ran").exists()


def test_the_intruder_would_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests above would see if a file were unpickled."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(PICKLE)
    assert (tmp_path / "ran").exists()
    (tmp_path / "ran").unlink()
    np.load(io.BytesIO(OBJECTS), allow_pickle=True)
    assert (tmp_path / "ran").exists()


# ── bombs ──

DEEP = b"[" * 1_000_000
DESCRIPTION = b'frames = "frames"\nlabels = "labels_of_frames"\nfps = 10\nclasses = 3\n'


def zeros(number: int, claimed: int) -> bytes:
    """Return an array of bytes that are 0."""
    return npy_header((claimed,)) + bytes(number)


def jpeg_header(width: int, height: int) -> bytes:
    return b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03" + bytes(9)


def large_header() -> bytes:
    """A bank whose header is 200 MB of zeros, in a fifth of a MB."""
    return bank_with("header", zeros(2 * 10**8, 2 * 10**8))


def false_header() -> bytes:
    return bank_with("header", zeros(10, 10**12))


BOMBS = [
    Carrier("an array of 10**12", "labels/1.npy", npy_header((10**6, 10**6)), FRAMES, 3, "at most 64,000,000 pixels"),
    Carrier("an array of 10**12 floats", "preds/1.npy", npy_header((10**10, 6, 8), "<f8"), FRAMES, 3, "is cut short"),
    Carrier("a bank of zeros", "bank.npz", large_header, BANK, 4, "the header takes 200,000,000 bytes, expected"),
    Carrier("a bank that claims 10**12", "bank.npz", false_header, BANK, 4, "holds 10 bytes, expected 1000000000000"),
    Carrier("a deep result", "a.json", DEEP, ["compare", "a.json", "a.json"], 4, "a.json: this is no"),
    Carrier(
        "a deep result on a page", "a.json", DEEP, PAGE, 3, "a.json: is neither a result, a bank nor a trace", "jinja2"
    ),
    Carrier("a deep trace", "t.json", b'{"a":' + DEEP, [*EVALUATE, "--trace", "t.json"], 3, "t.json: this is no"),
    Carrier("a deep journal", "job", DEEP + b"\n", ["merge", "job"], 4, "job: is not a journal"),
    Carrier("a deep description", "d.toml", b"a = " + DEEP, FOLDERS, 3, "d.toml: is not a TOML file", "PIL"),
    Carrier("a deep config", "hf/config.json", DEEP, run("hf"), 3, "hf/config.json cannot be read", "transformers"),
    Carrier("a JPEG of 60,000x60,000", "frames/1.jpg", jpeg_header(60_000, 60_000), FOLDERS, 3, "60000x60000", "PIL"),
]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
def test_a_small_file_takes_little_memory(bomb: Carrier, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if bomb.needs and find_spec(bomb.needs) is None:
        pytest.skip(f"{bomb.needs} is not installed")
    content = bomb.content if isinstance(bomb.content, bytes) else bomb.content()
    write_label_maps(
        world,
        {
            "d.toml": DESCRIPTION,
            "labels_of_frames/1.npy": np.zeros((6, 8), int),
            "hf/preprocessor_config.json": b"{}",
            bomb.file: content,
        },
    )
    tracemalloc.start()
    try:
        code = main(bomb.words)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    out, err = capsys.readouterr()
    assert (code, out) == (bomb.code, "")
    assert err.startswith("flame-metric: error: ")
    assert bomb.says in err
    assert err.count("\n") == 1
    assert peak < 20 * len(content) + 32_000_000, "decoded before it was looked at"


# ── names ──

HOSTILE = (
    "<img src=x onerror=alert(1)>|[a](javascript:b)\n=1+1\x1b[31m \u202e \\input{x} \\write18{ls} 50% & a_b^~#$`c`"
)


def table() -> Table:
    return Table((HOSTILE, "k"), ((HOSTILE, 1),), ((HOSTILE, 2),), (HOSTILE,))


def test_names_are_no_markdown_and_no_html() -> None:
    text = table().render("markdown")
    assert text.count("\n") == len(["header", "rule", "row", "summary", "", "note"])
    assert "<" not in text
    unescaped = re.sub(r"\\[\\`*_\[\]|#~]", "", text.replace("**", ""))
    for line in unescaped.splitlines():
        assert not set("`*_[]#~\\") & set(line.replace(":--", "").replace("--:", ""))
        assert line.count("|") in (0, 3)


def test_names_are_no_latex() -> None:
    text = table().render("latex")
    *rows, note = text.splitlines()
    assert note.startswith("% ")
    frame = r"\\(begin|end)\{tabular\}(\{lr\})?|\\(top|mid|bottom)rule|\\\\$"
    escaped = r"\\text(backslash|ascii(tilde|circum)|less|greater|bar)\{\}|\\[&%$#_{}]|\{[\[*]\}"
    for row in rows:
        rest = re.sub(f"{frame}|{escaped}", "", row)
        assert not set("\\%$#_{}~^") & set(rest), rest
        assert rest.count("&") == (0 if rest == "" else 1)


@pytest.mark.parametrize("start", [*"=+-@", "\t", "\r", *"＝＋－＠"])
def test_names_are_no_formulas(start: str) -> None:
    """Of those in the last row, some spreadsheets take the wide forms too."""
    name = f"{start}HYPERLINK(1)"
    rows = list(csv.reader(io.StringIO(Table((name, "k"), ((name, -1),)).render("csv"))))
    assert [row[0][0] for row in rows] == ["'", "'"]
    assert rows[1][1] == "-1"


def test_names_do_not_reach_the_terminal(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in tables and errors nor in what is shown for debugging."""
    hostile = "\x1b]0;title\x07\u202e\x9b31m"
    shown = "".join(character if character.isprintable() else "\ufffd" for character in hostile)
    assert main([*FRAMES, "--class-names", f"{hostile},a,b"]) == 0
    Path("labels", f"{hostile}_1.npy").write_bytes(b"")
    assert main(FRAMES) == 3
    assert main([*FRAMES, "--debug"]) == 3
    out, err = capsys.readouterr()
    assert shown in out
    assert shown in err
    assert "Traceback" in err
    assert not set(hostile) & set("\x1b\x07\u202e\x9b") & set(out + err)


def test_names_in_json_are_ascii(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FRAMES, "--class-names", "\u202ea,<b>,\x1bc", "--json", "-"]) == 0
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out)["flame"]["config"]["class_names"] == ["\u202ea", "<b>", "\x1bc"]
