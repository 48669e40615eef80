"""The paper's experiments end to end on small data: what enters, what is scored, and that a stopped run goes on."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from flame_metric import ConfigError, DatasetError, FlameMeter, LatencyTrace, measure_latency
from flame_metric.cli import main
from flame_metric.cli import reproduce as cli_reproduce
from flame_metric.jobs.journal import read_journal
from flame_metric.paper.interrupts import Stopped
from flame_metric.paper.presets import PRESETS

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
tree = pytest.importorskip("cityscapes_tree", reason="reading image files needs Pillow")
from flame_metric.data.cityscapes import cityscapes  # noqa: E402
from flame_metric.networks import build  # noqa: E402
from flame_metric.paper import latencies, reproduction  # noqa: E402
from flame_metric.paper.reproduction import reproduce  # noqa: E402
from flame_metric.paper.table1 import Table1  # noqa: E402

SMALL = "synthetic:videos=4,num_frames=5,height=32,width=64"
HEIGHT, WIDTH = 32, 64


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """A pool of threads takes longer to wake than such small frames to pass."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(iterations=2):
    return PRESETS["quick"].changed(iterations=iterations, crop=(HEIGHT, WIDTH))


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """A table and the folder that keeps it."""
    out = tmp_path_factory.mktemp("small") / "Ergebnis \u00fc 1"
    return reproduce(small(1), out=out, **OPTIONS), out


def scores(table):
    return {
        (column.network, name): [run.losses.static.miou, run.losses.flame.miou, run.losses.streaming.miou]
        for column in table.columns
        for name, run in column.runs.items()
    }


# ── Cityscapes ──


@pytest.fixture(scope="module")
def cityscapes_root(tmp_path_factory):
    """Eight clips to train on, three to test on; every frame is unlike every other."""
    root = tmp_path_factory.mktemp("cityscapes")
    generator = np.random.default_rng(0)

    def picture(number):
        return np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)

    def ids():
        return np.array([*tree.IDS, 0, 3], np.uint8)[generator.integers(0, 21, (HEIGHT, WIDTH))]

    for split, city, frames in (("train", "aachen", range(19, 8 * 40, 40)), ("val", "frankfurt", (294, 325, 576))):
        for number, frame in enumerate(frames):
            seq = number if split == "train" else 0
            tree.add_clip(root, city, seq, frame, split=split, ids=ids(), picture=picture)
    return root


def label_map(network, frames):
    """What a network says of frames, uint8 (H, W, 3), oldest first, in a few lines of its own."""
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    stacked = [(torch.from_numpy(frame).permute(2, 0, 1) / 255 - mean) / deviation for frame in frames]
    with torch.inference_mode():
        return network(torch.cat(stacked)[None]).argmax(1)[0].numpy()


@pytest.mark.slow
def test_frame_f_minus_k_enters_and_label_f_scores(cityscapes_root, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["reproduce", "--data", f"cityscapes:{cityscapes_root}", "--networks", "swiftnet-r18"]
    command += ["--latency", "swiftnet-r18=100", "--iterations", "2", "--crop", f"{HEIGHT},{WIDTH}", "--out", str(out)]
    assert main([*command, "--json", "-"]) == 0
    column = json.loads(capsys.readouterr().out)["networks"]["swiftnet-r18"]
    assert column["frame_offset"] == 2
    videos = cityscapes(cityscapes_root, split="val").sequences
    for training, frames in (("now", 1), ("future", 1), ("future-two-frames", 2)):
        checkpoint = torch.load(out / "swiftnet-r18" / training / "checkpoint.pt", weights_only=True)
        network = build("swiftnet-r18", 19, frames=frames).eval()
        network.load_state_dict(checkpoint["network"])
        for score, offset in (("static", 0), ("flame", 2)):
            meter = FlameMeter(19, frame_offset=offset, ignore_index=255)
            for video in videos:
                last = 19 - offset
                seen = [video.frames[index] for index in range(last - frames + 1, last + 1)]
                meter.update_pair(label_map(network, seen), video.targets[19], sequence=video.name)
            found = column["runs"][training][score]["sequences"]
            assert found == meter.compute().to_dict()["sequences"], (training, score)
        assert column["runs"][training]["persistence"] is None  # one label a clip


def untrained(task):
    pytest.fail(f"{task} began, expected a refusal before any training")


def test_what_a_clip_cannot_give_is_refused_before_any_training(cityscapes_root):
    options = {"data": f"cityscapes:{cityscapes_root}", "latency": {"swiftnet-r18": 1300}}
    with pytest.raises(ConfigError, match="beyond the clips' history"):
        reproduce(small(1), networks=["swiftnet-r18"], progress=untrained, **options)


def test_too_few_items_are_refused_before_any_training():
    """16 items without an offset, but 4 with k = 3: fewer than the recipe's batch of 8."""
    options = {"data": SMALL.replace("frames=5", "frames=4"), "latency": {"swiftnet-r18": 170}}
    with pytest.raises(ConfigError, match=r"holds 4 item\(s\), expected at least the recipe's batch of 8"):
        reproduce(small(1), networks=["swiftnet-r18"], progress=untrained, **options)


def test_weights_that_do_not_fit_the_last_network_are_refused_before_any_training(tmp_path):
    torch.save(build("swiftnet-r18", 8).backbone.state_dict(), tmp_path / "resnet18.pth")
    options = {"data": SMALL, "weights": str(tmp_path / "resnet18.pth"), "progress": untrained}
    preset = PRESETS["paper"].changed(iterations=1, crop=(HEIGHT, WIDTH))
    with pytest.raises(DatasetError, match=r"resnet18\.pth"):
        reproduce(preset, networks=["swiftnet-r18", "deeplab-mn"], **options)


def test_weights_have_no_place_in_a_preset_that_begins_at_random():
    with pytest.raises(ConfigError, match="with the preset 'quick, changed', whose networks begin from random weights"):
        reproduce(small(1), data=SMALL, weights="resnet18.pth", progress=untrained)


def test_a_missing_frame_is_a_clear_error(cityscapes_root, tmp_path):
    videos = cityscapes_root / "leftImg8bit_sequence" / "val" / "frankfurt"
    missing = videos / "frankfurt_000000_000293_leftImg8bit.png"
    content = missing.read_bytes()
    missing.unlink()
    try:
        with pytest.raises(DatasetError, match="frankfurt_000000_000293"):
            reproduce(small(1), networks=["swiftnet-r18"], data=f"cityscapes:{cityscapes_root}")
    finally:
        missing.write_bytes(content)


# ── a run that is stopped ──


@contextmanager
def _stopping(task, after):
    def step(done, total, note=""):
        if "now: steps" in task and done == after:
            signal.raise_signal(signal.SIGINT)  # Ctrl-C

    yield step


@pytest.mark.slow
def test_a_stopped_run_ends_as_an_undisturbed_one(tmp_path):
    options = {"networks": ["swiftnet-r18"], "data": SMALL, "seed": 3}
    undisturbed = reproduce(small(3), **options)
    with pytest.raises(KeyboardInterrupt):
        reproduce(small(3), out=tmp_path, progress=lambda task: _stopping(task, 2), **options)
    table = reproduce(small(3), out=tmp_path, **options)
    assert table.columns[0].runs["now"].training.resumed_at == 2
    assert scores(table) == scores(undisturbed)
    losses = [one.columns[0].runs["future-two-frames"].training.losses for one in (table, undisturbed)]
    assert losses[0] == losses[1]
    again = reproduce(small(3), out=tmp_path, **options)
    assert again.columns[0].runs["future"].training.resumed_at == 3  # nothing is left to do
    assert scores(again) == scores(undisturbed)


def in_scoring(training, after=1):
    """Ctrl-C when so many test videos of a training are scored."""

    @contextmanager
    def progress(task):
        def step(done, total, note=""):
            if task.endswith(f", {training}: test videos") and done == after:
                raise KeyboardInterrupt

        yield step

    return progress


OPTIONS = {"networks": ["swiftnet-r18"], "data": SMALL, "latency": {"swiftnet-r18": 70}}
COMMAND = ["reproduce", "--networks", "swiftnet-r18", "--data", SMALL, "--latency", "swiftnet-r18=70"]
COMMAND += ["--iterations", "1", "--crop", f"{HEIGHT},{WIDTH}"]
OF_THE_PROCESS = ("seconds", "images_per_second", "resumed_at", "checkpoint", "log")


def without_times(record):
    """A table as JSON, without what tells how long it took, where, and whether it was stopped."""
    if isinstance(record, dict):
        return {name: without_times(value) for name, value in record.items() if name not in OF_THE_PROCESS}
    return [without_times(value) for value in record] if isinstance(record, list) else record


def assert_same_tables(folder, undisturbed):
    for ending in ("md", "tex"):
        assert (folder / f"table1.{ending}").read_bytes() == (undisturbed / f"table1.{ending}").read_bytes()
    one, other = (json.loads((out / "table1.json").read_text()) for out in (folder, undisturbed))
    assert without_times(one) == without_times(other)


@pytest.mark.slow
def test_ctrl_c_brings_the_table_of_what_is_finished(tmp_path, small_run):
    with pytest.raises(Stopped, match="1 of 3 trainings are finished and scored") as caught:
        reproduce(small(1), out=tmp_path, progress=in_scoring("future", 2), **OPTIONS)
    table = caught.value.table
    assert list(table.columns[0].runs) == ["now"]
    assert table.about["seconds"] > 0
    assert scores(table) == {key: found for key, found in scores(small_run[0]).items() if key[1] == "now"}
    assert not list(tmp_path.glob("table1.*"))
    steps = []

    @contextmanager
    def progress(task):
        yield lambda done, total, note="": steps.append((task.partition(", ")[2], done, total))

    again = reproduce(small(1), out=tmp_path, progress=progress, **OPTIONS)
    videos = [step for step in steps if "test videos" in step[0]]
    assert videos == [
        (f"{training}: test videos", done, 4)
        for training in ("now", "future", "future-two-frames")
        for done in range(1, 5)
    ]
    assert scores(again) == scores(small_run[0])
    assert_same_tables(tmp_path, small_run[1])


@pytest.mark.slow
def test_ctrl_c_on_the_command_line(tmp_path, monkeypatch, capsys, small_run):
    monkeypatch.setattr(cli_reproduce, "progress", in_scoring("future"))
    out, file = tmp_path / "out", tmp_path / "result.json"
    assert main([*COMMAND, "--out", str(out), "--json", str(file)]) == 130
    captured = capsys.readouterr()
    rows = [line.split()[-2:] for line in captured.out.splitlines()[2:6]]
    assert [score for score, _ in rows[2:]] == ["-", "-"]
    assert [float(score) for score, _ in rows[:2]] == pytest.approx(
        scores(small_run[0])["swiftnet-r18", "now"][:2], abs=1e-4
    )
    assert captured.out.count("INCOMPLETE: 1 of 3 trainings are finished and scored.") == 3
    assert f"Checkpoints, scores and logs are in {out}." in captured.out
    assert captured.err == (
        "flame-metric: interrupted: 1 of 3 trainings are finished and scored; the same command resumes from what is "
        f"kept in {out}\n"
    )
    assert json.loads(file.read_text())["incomplete"].startswith("1 of 3")
    assert sorted(path.name for path in out.iterdir()) == ["swiftnet-r18"]
    assert main([*COMMAND, "--json", "-"]) == 130  # without a folder
    captured = capsys.readouterr()
    assert list(json.loads(captured.out)["networks"]["swiftnet-r18"]["runs"]) == ["now"]
    assert captured.err.endswith("; its other results are lost; --out keeps them\n")
    monkeypatch.setattr(cli_reproduce, "progress", in_scoring("now"))
    assert main(COMMAND) == 130  # nothing is finished
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "its results are lost" in captured.err
    monkeypatch.undo()
    assert main([*COMMAND, "--out", str(out)]) == 0
    assert_same_tables(out, small_run[1])
    assert "Tables, checkpoints, scores and logs are in" in capsys.readouterr().out


KILLED = """
import sys
import torch
from flame_metric import cli
from flame_metric.paper import scoring

torch.set_num_threads(1)
count = scoring.fill_bank
left = int(sys.argv[1])

def some(*arguments, **options):
    global left
    if left == 0:
        print("waiting", flush=True)
        sys.stdin.read()  # until it is killed: nobody writes
    left -= 1
    count(*arguments, **options)

scoring.fill_bank = some
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_killed_for_good_again_and_again(tmp_path, small_run):
    """Real kills, each when some more test videos have been scored, until one attempt comes through."""
    out = tmp_path / "out"

    def scored():
        return sum(len(read_journal(path)[1]) for path in out.glob("swiftnet-r18/*/scores.jsonl"))

    for videos, all_videos in ((2, 2), (5, 7), (99, 12)):
        command = [sys.executable, "-c", KILLED, str(videos), *COMMAND, "--out", str(out)]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with subprocess.Popen(command, **pipes) as process:
            if all_videos < 12:
                assert process.stdout.readline() == b"waiting\n", process.stderr.read()
                process.kill()
            error = process.communicate()[1]
        assert process.returncode == (-signal.SIGKILL if all_videos < 12 else 0), error
        assert scored() == all_videos
    assert_same_tables(out, small_run[1])


def test_tables_are_kept(small_run):
    table, out = small_run
    record = json.loads((out / "table1.json").read_text())
    assert record["about"]["data"] == SMALL
    assert record["about"]["fps"] == "50/3"
    assert record["about"]["weights"] is None
    assert record["about"]["preset"] == "quick, changed"
    assert record["networks"]["swiftnet-r18"]["frame_offset"] == 2
    assert record["networks"]["swiftnet-r18"]["runs"]["now"]["training"]["recipe"]["iterations"] == 1
    assert record["networks"]["swiftnet-r18"]["paper"]["static"] == 0.75
    assert (out / "table1.md").read_text() == table.render("markdown")
    assert (out / "table1.tex").read_text() == table.render("latex")


def test_json_holds_every_score_with_its_interval(small_run):
    column = json.loads((small_run[1] / "table1.json").read_text())["networks"]["swiftnet-r18"]
    assert list(column["runs"]) == ["now", "future", "future-two-frames"]
    for run in column["runs"].values():
        assert run["first_training"]["recipe"]["start"] == "random"
        assert run["training"]["recipe"]["start"] == "static"
        for score in ("static", "flame", "streaming", "persistence"):
            found = run[score]["scores"]
            low, high = found["interval_95"]
            assert 0 <= low <= found["miou"] <= high <= 1, score
    for difference in column["differences"]:
        interval = difference["comparison"]["interval"]
        assert interval["low"] <= difference["difference"] <= interval["high"]
    assert [difference["paper"] for difference in column["differences"]] == [-0.11, 0.01, 0.02]


def test_every_training_starts_from_the_first_one(small_run):
    folder = small_run[1] / "swiftnet-r18"
    assert sorted(path.name for path in folder.iterdir()) == ["first training", "future", "future-two-frames", "now"]
    first, now = (torch.load(folder / name / "checkpoint.pt", weights_only=True) for name in ("first training", "now"))
    key = "weights before the first step"
    from flame_metric.paper.checkpoint import digest_state  # noqa: PLC0415

    assert now["identity"][key] == digest_state(first["network"])


# ── section 5.4 ──


@pytest.mark.slow
def test_translations(tmp_path):
    table = reproduce(small(1), experiment="translations", translations=(3, 4, 3), data=SMALL, out=tmp_path)
    assert list(table.moved) == list(table.in_place) == [3, 4]
    assert table.moved[3].parameters == table.in_place[3].parameters > table.plain.parameters
    assert table.moved[4].variant.translations == 4
    assert table.in_place[4].variant.translations == ((0, 0),) * 4
    lines = table.render().splitlines()
    assert [line.split("   ")[0] for line in lines[2:7]] == [
        "I_t-1, I_t",
        "and 3 copies of I_t-1, moved",
        "and 3 copies of I_t-1, in place",
        "and 4 copies of I_t-1, moved",
        "and 4 copies of I_t-1, in place",
    ]
    record = json.loads((tmp_path / "translations.json").read_text())
    assert set(record["moved_minus_in_place"]) == {"3", "4"}
    difference = table.moved[3].losses.flame.miou - table.in_place[3].losses.flame.miou
    assert record["moved_minus_in_place"]["3"]["difference"] == pytest.approx(difference)
    assert record["incomplete"] is table.incomplete is None


@pytest.mark.slow
def test_translations_that_are_stopped():
    options = {"experiment": "translations", "translations": (3, 4), "data": SMALL}
    with pytest.raises(Stopped) as caught:
        reproduce(small(1), progress=in_scoring("3-in-place"), **options)
    table = caught.value.table
    assert table.incomplete == str(caught.value) == "2 of 5 trainings are finished and scored"
    lines = [" ".join(line.split()) for line in table.render().splitlines()]
    assert lines[4] == "and 3 copies of I_t-1, in place - - - - -"
    assert lines[5] == "and 4 copies of I_t-1, moved - - - - -"
    assert lines[-1] == "INCOMPLETE: 2 of 5 trainings are finished and scored."
    assert json.loads(table.to_json())["moved_minus_in_place"] == {}
    with pytest.raises(KeyboardInterrupt) as caught:
        reproduce(small(1), progress=in_scoring("future-two-frames"), **options)
    assert not isinstance(caught.value, Stopped)


# ── latencies ──


def test_measured_latencies_give_k(monkeypatch, tmp_path):
    seen = []

    def measure(runner, inputs, metadata):
        seen.append((metadata["network"], inputs[0].shape, runner.boundary))
        return LatencyTrace([61, 65, 130])

    monkeypatch.setattr(
        reproduction,
        "measure_latencies",
        lambda *args, **kw: latencies.measure_latencies(*args, **kw, measure=measure),
    )
    monkeypatch.setattr(reproduction, "make_table1", lambda setting, found, about: Table1((), {"found": found}))
    monkeypatch.setattr(reproduction, "replace", lambda table, about: table)
    monkeypatch.setattr(reproduction, "_write", lambda *args: None)
    for _ in range(2):  # a run that goes on measures nothing anew
        table = reproduce(small(1), networks=["swiftnet-r18"], data=SMALL, latency="measured", out=tmp_path)
    assert LatencyTrace.from_json((tmp_path / "swiftnet-r18" / "latency.json").read_text()).median_ms == 65
    assert seen == [("swiftnet-r18", (3, HEIGHT, WIDTH), "forward+argmax")]
    assert table.about["found"] == {"swiftnet-r18": 65}


def test_latencies_in_seconds(monkeypatch):
    monkeypatch.setattr(reproduction, "make_table1", lambda setting, found, about: Table1((), about))
    table = reproduce(small(1), networks=["swiftnet-r18"], data=SMALL, latency={"swiftnet-r18": 0.026})
    assert "swiftnet-r18: The latency is 0.026 ms, far below the interval between two frames" in table.table()


def test_latencies_that_were_measured_under_other_conditions(monkeypatch, tmp_path):
    """A folder that came from another machine keeps its k, and the table says so."""
    monkeypatch.setattr(reproduction, "make_table1", lambda setting, found, about: Table1((), about))
    monkeypatch.setattr(reproduction, "_write", lambda *args: None)
    (tmp_path / "swiftnet-r18").mkdir()
    there = {"device": "a GPU", "dtype": "float16", "inputs": {"number": 1, "kinds": ["float16 (1, 3, 512, 1024)"]}}
    trace = LatencyTrace([65], metadata=there)
    (tmp_path / "swiftnet-r18" / "latency.json").write_text(trace.to_json())
    table = reproduce(small(1), networks=["swiftnet-r18"], data=SMALL, latency="measured", out=tmp_path)
    notes = table.about["latency_notes"]
    size, device, precision = notes
    assert (
        size
        == f"swiftnet-r18: The latency was measured on float16 (1, 3, 512, 1024), but label maps are {HEIGHT}x{WIDTH}."
    )
    assert device.startswith("swiftnet-r18: The device of the trace is a GPU, but that of the network that was run is ")
    assert precision.endswith("of the trace is float16, but that of the network that was run is float32.")
    assert size in table.table()


@pytest.mark.slow
def test_networks_are_really_measured():
    few = partial(measure_latency, warmup=2, samples=30)
    trace = latencies.measure_latencies(["swiftnet-r18"], 8, height=32, width=64, measure=few)["swiftnet-r18"]
    assert trace.median_ms > 0
    assert trace.metadata["network"] == "swiftnet-r18"


# ── wrong options ──


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "slow"}, "`preset` is 'slow', expected one of quick, paper"),
        ({"experiment": "table2"}, "`experiment` is 'table2', expected one of table1, translations"),
        ({"networks": ["unet"]}, "`networks` is 'unet', expected one of swiftnet-r18"),
        ({"networks": []}, "`networks` is empty"),
        ({"latency": "guess"}, "`latency` is 'guess', expected 'paper', 'measured'"),
        ({"latency": {"swiftnet-r18": 26}}, "expected one for each of swiftnet-r18, swiftnet-r18-x"),
        ({"latency": {"swiftnet-r18": -1, "swiftnet-r18-x": 3}}, "-1"),
        ({"seed": -1}, "`seed` is -1"),
        ({"data": "kitti:/x"}, "expected one of synthetic"),
        ({"experiment": "translations", "networks": ["deeplab-mn"]}, "expected only swiftnet-r18"),
        ({"experiment": "translations", "translations": ()}, "`numbers` is empty"),
        ({"translations": (9,)}, "`translations` changes nothing in table1, expected `experiment` 'translations'"),
        ({"experiment": "translations", "translations": (0,)}, "`numbers` is 0"),
        ({"device": "tpu"}, "tpu"),
    ],
)
def test_wrong_options(options, message):
    chosen = {"preset": small(1), "data": SMALL, **options}
    with pytest.raises(ConfigError, match=message):
        reproduce(**chosen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--crop", "32"], "--crop has 1 number"),
        (["--iterations", "0"], "`iterations` is 0"),
        (["--latency", "swiftnet-r18=fast"], "expected milliseconds such as"),
        (["--translations", "9"], "`translations` changes nothing in table1"),
        (["--out", "/dev/null"], "`out` is /dev/null, expected a folder"),
        (["--out", "/dev/null/table"], "`out` is /dev/null/table, expected a folder, or a place to make one"),
        (["--networks", "unet", "--recipe"], "'unet', expected one of"),
        (["--json", "/"], "cannot be written"),
    ],
)
def test_wrong_options_on_the_command_line(options, message, capsys):
    assert main(["reproduce", "--data", SMALL, *options]) == 2
    assert message in capsys.readouterr().err


def test_a_full_disk_says_what_to_do(monkeypatch, tmp_path, capsys):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device", "checkpoint.pt")

    monkeypatch.setattr(reproduction, "reproduce", full)
    assert main(["reproduce", "--out", str(tmp_path)]) == 4
    err = capsys.readouterr().err
    assert "checkpoint.pt: No space left on device. What was kept in" in err
    assert "the same command resumes from there" in err
    assert main(["reproduce"]) == 4
    assert capsys.readouterr().err.endswith("checkpoint.pt: No space left on device\n")


def test_ctrl_c_says_how_to_go_on(monkeypatch, tmp_path, capsys):
    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(reproduction, "reproduce", stopped)
    assert main(["reproduce", "--out", str(tmp_path)]) == 130
    assert f"the same command resumes from what is kept in {tmp_path}" in capsys.readouterr().err
    assert main(["reproduce"]) == 130
    assert "its results are lost" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "1")  # rank 0 says it
    assert main(["reproduce", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err == ""


def test_recipes_are_printed(capsys):
    assert main(["reproduce", "--preset", "paper", "--networks", "deeplab-mn", "--recipe"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("recipe 'paper' of deeplab-mn\n")
    assert "power: 3 (paper)" in out
    assert main(["reproduce", "--recipe", "--iterations", "7"]) == 0
    assert capsys.readouterr().out.count("iterations: 7 (ours; paper: none)") == 4


# ── ranks ──


def run_on_ranks(*words):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "flame_metric", "reproduce", "--data", SMALL, "--networks", "swiftnet-r18", "--iterations", "1"]
    command += ["--crop", "32,64", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, env=environment, start_new_session=True) as launcher:
        try:
            out, err = launcher.communicate(timeout=300)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(launcher.pid, signal.SIGKILL)  # ranks that wait would outlive their launcher
    assert launcher.returncode == 0, err
    return out


@pytest.mark.slow
def test_ranks_share_the_work(tmp_path):
    out = ["--out", str(tmp_path / "out")]
    record = json.loads(run_on_ranks("--json", "-", *out))  # one rank speaks
    found = record["networks"]["swiftnet-r18"]["runs"]["now"]
    assert found["training"]["ranks"] == 2
    assert len(found["flame"]["sequences"]) == 4
    folder = tmp_path / "out" / "swiftnet-r18" / "now"
    journals = sorted(folder.glob("scores.jsonl*"))
    names = [[*read_journal(path)[1]] for path in journals]
    assert [path.name for path in journals] == ["scores.jsonl.1-of-2", "scores.jsonl.2-of-2"]
    assert names == [["synthetic-0", "synthetic-2"], ["synthetic-1", "synthetic-3"]]
    content = journals[1].read_bytes()
    journals[1].write_bytes(content[:-9])  # as a kill may leave it
    assert without_times(json.loads(run_on_ranks("--json", "-", *out))) == without_times(record)
    assert journals[1].read_bytes() == content
    alone = reproduce(small(1), networks=["swiftnet-r18"], data=SMALL, out=tmp_path / "out")
    wanted = {name: run["flame"]["sequences"] for name, run in record["networks"]["swiftnet-r18"]["runs"].items()}
    assert {name: run.losses.flame.to_dict()["sequences"] for name, run in alone.columns[0].runs.items()} == wanted


def test_presets_change_in_a_copy():
    assert PRESETS["quick"].changed() == PRESETS["quick"]
    paper = PRESETS["paper"]
    assert paper.changed(crop=(8, 8)).recipe("deeplab-mn") == replace(
        paper.recipe("deeplab-mn"), augmentation=replace(paper.recipe("deeplab-mn").augmentation, crop=(8, 8))
    )
    assert paper.start is None
