"""Messages quote little of a file, whatever it holds, and say which function reads files."""

import io
import json
import pickle
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from flame_metric import FlameMeter, FlameResult, LatencyTrace, OffsetBank
from flame_metric.data.places import open_place
from flame_metric.data.splits import read_video_names
from flame_metric.errors import (
    ConfigError,
    DatasetError,
    FlameError,
    FlameWarning,
    LabelError,
    MissingExtraError,
    StateError,
    cut,
    quoted,
    shortened,
)
from flame_metric.jobs.clip_journal import join_parts, read_part
from flame_metric.jobs.evaluate import evaluate_bank
from flame_metric.jobs.journal import Journal
from flame_metric.scores.evaluation import Evaluation
from flat_options import evaluate_folders

pytest.importorskip("PIL", reason="reading data sets needs Pillow")
toml_dataset = pytest.importorskip("flame_metric.data.toml_dataset").toml_dataset
read_class_names = pytest.importorskip("flame_metric.data.vspw").read_class_names

MARK = "§"
LONG = [MARK * 100_000, f"{MARK} " * 50_000, f"{MARK}/" * 50_000, f"{MARK}', '" * 20_000]
MOST = 200


def quotes(error):
    """How many characters of the file stand in a message, as they are or as JSON writes them."""
    text = str(error)
    return text.count(MARK) + text.count("\\u00a7")


def assert_quotes_little(call):
    """Call what may accept or refuse a file, with its warnings."""
    said = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call()
        except FlameError as error:
            said.append(error)
    for message in (*said, *(warning.message for warning in caught)):
        assert quotes(message) <= MOST, str(message)[:1000]
        assert len(str(message)) < 1500


# ── what is cut ──


def test_cut_and_quoted_by_hand():
    assert cut("abc", 3) == "abc"
    assert cut("abcdefghij", 7) == "ab...ij"
    assert len(cut("x" * 1000)) == 199
    assert quoted("it's") == '"it\'s"'
    assert len(quoted(["x" * 1000] * 1000)) == 99


def test_names_are_shortened_by_number_and_length():
    assert shortened("abc") == "a, b, c"
    assert shortened("abcdef") == "a, b, c, d, e, ..."
    assert shortened("abcdef", 3) == "a, b, c, ..."
    assert shortened(["x" * 90] * 4) == f"{'x' * 90}, {'x' * 90}, ..."
    assert len(shortened(["x" * 1000] * 4)) <= MOST + 5
    assert shortened([]) == ""


@pytest.mark.parametrize("kind", [FlameError, ConfigError, DatasetError, StateError, LabelError, FlameWarning])
def test_no_word_of_an_error_is_long(kind):
    error = kind(f"/a/{'b' * 255}/c is {'x' * 100_000}, expected less")
    assert len(str(error)) < 500
    assert str(error).startswith("/a/bbb")
    assert str(error).endswith("xxx, expected less")
    usual = "a/b: " + "word " * 300
    assert str(kind(usual)) == usual


def test_errors_keep_what_they_know():
    error = DatasetError("a.png: is damaged", path=Path("a.png"))
    assert (str(error), error.path) == ("a.png: is damaged", "a.png")
    assert str(pickle.loads(pickle.dumps(error))) == "a.png: is damaged"
    assert isinstance(MissingExtraError("x needs y"), ImportError)


# ── files ──


def results():
    """Records of each kind as JSON."""
    video = [[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]], [[0, 1, 0]]]
    bank = OffsetBank(2, max_offset=2, fps=30, class_names=["a", "b"])
    bank.update_sequence(video, video, sequence="clip")
    evaluation = evaluate_bank(bank, trace=LatencyTrace([50], replay="random", metadata={"device": "x"}), max_offset=1)
    meter = FlameMeter(2, latency_ms=26, fps=30, class_names=["a", "b"], hardware="GPU")
    meter.update_sequence(video, video, sequence="clip")
    trace = LatencyTrace([1, 2], metadata={"device": "x", "runs": [1]})
    return {Evaluation: evaluation, FlameMeter: meter, FlameResult: meter.compute(), LatencyTrace: trace}


RECORDS = {kind: thing.to_json() for kind, thing in results().items()}


def edits(record, long):
    """Yield the record with one of its values, or one of its keys, replaced by something long."""
    values = [long, [long] * 3, {long: long}]

    def walk(node):
        entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, child in [*entries][:12]:
            for value in values:
                node[key] = value
                yield
            node[key] = child
            yield from walk(child)
        if isinstance(node, dict):
            node[long] = 1
            yield
            del node[long]

    for _ in walk(record):
        yield record


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_json_of_any_length_is_quoted_little(kind):
    for long in (LONG[0][:2000], LONG[1][:2000]):
        for record in edits(json.loads(RECORDS[kind]), long):
            assert_quotes_little(lambda record=record: kind.from_json(json.dumps(record)))
    for long in LONG:
        for text in (long, f'"{long}"', f'{{"format": "{long}"}}', f'{{"{long}": 1, "{long}": 2}}', f"[{long}]"):
            assert_quotes_little(lambda text=text: kind.from_json(text))
            assert_quotes_little(lambda text=text: kind.load(text))


@pytest.mark.parametrize("long", LONG)
def test_csv_of_any_length_is_quoted_little(long):
    many = ",".join([long[:500]] * 200)
    for text in (long, f"{long}\n1\n", f"{many}\n1\n", f"latency_ms\n{long}\n", f"latency_ms\n{many}\n"):
        assert_quotes_little(lambda text=text: LatencyTrace.from_csv(text))
        assert_quotes_little(lambda text=text: LatencyTrace.load(text))


def test_traces_that_cannot_merge_are_quoted_little():
    for long in LONG:
        one, other = (LatencyTrace([1], metadata={long: number, "device": long * number}) for number in (1, 2))
        assert_quotes_little(lambda one=one, other=other: one.merge(other))


def test_banks_are_quoted_little():
    video = [[[1, 0, 0]], [[0, 1, 0]]]
    bank = OffsetBank(2, max_offset=1, fps=30)
    bank.update_sequence(video, video, sequence="clip")
    content = bank.to_bytes()
    with np.load(io.BytesIO(content)) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for long in (LONG[0][:2000], LONG[1][:2000]):
        for header in edits(json.loads(arrays["header"].tobytes()), long):
            buffer = io.BytesIO()
            np.savez_compressed(buffer, **{**arrays, "header": np.frombuffer(json.dumps(header).encode(), np.uint8)})
            assert_quotes_little(lambda buffer=buffer: OffsetBank.from_bytes(buffer.getvalue()))
        buffer = io.BytesIO()
        np.savez(buffer, **{f"{long} {number}": np.zeros(1) for number in range(30)})
        assert_quotes_little(lambda buffer=buffer: OffsetBank.from_bytes(buffer.getvalue()))
        ids = OffsetBank(2, max_offset=1, fps=30)
        for number in range(9):
            ids.update_sequence(video, video, sequence=f"{long} {number}")
        twice = OffsetBank.from_bytes(ids.to_bytes())
        assert_quotes_little(lambda ids=ids, twice=twice: ids.merge(twice))
        assert_quotes_little(lambda ids=ids: ids.counts_of("none"))


@pytest.fixture
def part(tmp_path):
    for folder in ("preds", "labels"):
        for clip in ("a", "b"):
            (tmp_path / folder / clip).mkdir(parents=True)
            for frame in range(3):
                np.save(tmp_path / folder / clip / f"{frame}.npy", np.zeros((2, 2), np.uint8))
    options = {"num_classes": 2, "fps": 10, "latency_ms": 50, "max_offset": 1}
    evaluate_folders(tmp_path / "preds", tmp_path / "labels", **options, journal=tmp_path / "j")
    return read_part(tmp_path / "j"), tmp_path


def test_journals_are_quoted_little(part):
    first, folder = part
    with Journal(folder / "j", first.configuration, resume=True) as journal:
        records = journal.records
    for long in (LONG[0][:2000], LONG[1][:2000]):
        for number, configuration in enumerate(edits(json.loads(json.dumps(dict(first.configuration))), long)):
            path = folder / f"c{number % 2}"
            path.unlink(missing_ok=True)
            with Journal(path, configuration):
                pass
            assert_quotes_little(lambda path=path: join_parts([first, read_part(path)]))
            assert_quotes_little(lambda path=path: Journal(path, first.configuration, resume=True).close())
        for record in edits(json.loads(json.dumps(records["a"])), long):
            (folder / "r").unlink(missing_ok=True)
            with Journal(folder / "r", first.configuration) as journal:
                journal.add("a", record)
            assert_quotes_little(lambda: read_part(folder / "r"))
        (folder / "r").unlink()
        with Journal(folder / "r", first.configuration) as journal:
            journal.add(long, records["a"])
        assert_quotes_little(lambda: read_part(folder / "r"))


@pytest.mark.parametrize("long", LONG[:2])
def test_toml_is_quoted_little(long, tmp_path):
    pytest.importorskip("PIL")
    file = tmp_path / "data.toml"
    lines = {"frames": "'frames'", "labels": "'labels'", "classes": "2", "fps": "10"}
    texts = [f"{long}", f"'{long}' = 1", f"classes = '{long}'", *(f"{key} = '{long}'" for key in lines)]
    texts += [f"{key} = ['{long}', '{long}']" for key in (*lines, "class_names", "val")]
    texts += [f"val = ['{long}']\ntest = ['{long}']"]
    for text in texts:
        named = [line.partition(" ")[0] for line in text.splitlines()]
        rest = "\n".join(f"{key} = {value}" for key, value in lines.items() if key not in named)
        file.write_text(f"{text}\n{rest}\n", encoding="utf-8")
        assert_quotes_little(lambda: toml_dataset(file))


@pytest.mark.parametrize("long", LONG)
def test_lists_of_videos_and_names_of_classes_are_quoted_little(long, tmp_path):
    (tmp_path / "val.txt").write_text(f"{long}\n", encoding="utf-8")
    assert_quotes_little(lambda: read_video_names(tmp_path / "val.txt"))
    for record in (long, {long: long}, {long: 1, f"{long}x": 1}, [long]):
        (tmp_path / "label_num_dic_final.json").write_text(json.dumps(record), encoding="utf-8")
        assert_quotes_little(lambda: read_class_names(tmp_path))


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("long", [LONG[0][:60_000], LONG[1][:60_000], LONG[2][:60_000], "../" * 200 + LONG[1][:900]])
def test_names_in_archives_are_quoted_little(long, kind, tmp_path):
    file = tmp_path / f"labels.{kind}"
    names = [long, f"clip/{long}.npy", f"{long}/1.npy", f"{long}/1.npy", f"{long}.png"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that comes twice
        for count in (1, 2, 3, 5):
            if kind == "zip":
                with zipfile.ZipFile(file, "w") as archive:
                    for name in names[:count]:
                        archive.writestr(name.encode()[:65_000].decode(errors="ignore"), b"no array")
            else:
                with tarfile.open(file, "w") as tar:
                    for name in names[:count]:
                        tar.addfile(tarfile.TarInfo(name))
            assert_quotes_little(lambda: open_place(file).files())
            assert_quotes_little(lambda: evaluate_folders(file, file, num_classes=2, fps=10, frame_offset=0))


@pytest.mark.parametrize("number", [1, 9])
def test_names_of_files_are_quoted_little(number, tmp_path):
    """A file system allows 255 bytes a name; a message about many of them must not hold them all."""
    for folder, mark in (("preds", "a"), ("labels", "b")):
        (tmp_path / folder).mkdir()
        for frame in range(number):
            np.save(tmp_path / folder / f"{MARK * 100}{mark}{frame}.npy", np.zeros((2, 2), np.uint8))
    options = {"num_classes": 2, "fps": 10, "frame_offset": 0}
    with pytest.raises(FlameError) as raised:
        evaluate_folders(tmp_path / "preds", tmp_path / "labels", **options)
    assert quotes(raised.value) <= 3 * MOST  # of each side, and an example


# ── text or name ──


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", ["result.json", "results/run 1", Path("a/b.json"), "7", "[x].json"])
def test_from_json_of_a_path_names_load(kind, name, tmp_path):
    with pytest.raises(StateError, match=rf"; a file is read by {kind.__name__}\.load\(path\)$"):
        kind.from_json(name)
    thing = kind.from_json(RECORDS[kind])
    thing.save(tmp_path / "x.json")
    assert kind.load(tmp_path / "x.json").to_json() == RECORDS[kind]
    assert kind.load(str(tmp_path / "x.json")).to_json() == RECORDS[kind]


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("text", ["", "{", '{"format": "x"}', "{}\n", "two\nlines"])
def test_from_json_of_text_does_not(kind, text):
    with pytest.raises(StateError) as raised:
        kind.from_json(text)
    assert "load" not in str(raised.value)


@pytest.mark.parametrize("name", ["trace.csv", Path("a/b.csv")])
def test_from_csv_of_a_path_names_load(name):
    with pytest.raises(ConfigError, match=r"; a file is read by LatencyTrace\.load\(path\)$"):
        LatencyTrace.from_csv(name)


def test_load_of_what_a_file_holds():
    for text in ("x" * 1000, "x y" * 5000):
        with pytest.raises((ConfigError, DatasetError)) as raised:
            OffsetBank.load(text)
        assert len(str(raised.value)) < 300


@pytest.mark.parametrize("name", ["bank.npz", Path("bank.npz")])
def test_from_bytes_of_a_path_names_load(name):
    with pytest.raises(StateError, match=r"expected bytes; a file is read by OffsetBank\.load\(path\)$"):
        OffsetBank.from_bytes(name)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_files_that_cannot_be_loaded(kind, tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "other").write_text('{"format": "x"}')
    for name, message in (("none", "cannot be read: No such file"), ("bytes", "is not text"), (".", "cannot be read")):
        with pytest.raises(DatasetError, match=message):
            kind.load(tmp_path / name)
    with pytest.raises((StateError, DatasetError), match=r"other: this is a record of format 'x', expected"):
        kind.load(tmp_path / "other")
    for text in (RECORDS[kind], RECORDS[kind] * 100):
        with pytest.raises((ConfigError, DatasetError)) as raised:
            kind.load(text)
        assert len(str(raised.value)) < 300
