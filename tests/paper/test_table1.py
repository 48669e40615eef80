"""Table 1 as text, from scores made by hand: two videos, two classes, one network."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from flame_metric.scores.config import make_config
from flame_metric.scores.curve import Losses
from flame_metric.scores.result import FlameResult

pytest.importorskip("torch", reason="PyTorch is not installed")
from flame_metric.paper.table1 import FUTURE, NOW, TWO_FRAMES, Column, Table1, make_table1


def result(*right):
    """Videos of ten pixels of one class: so many are right, the others predicted as a class that is nowhere."""
    counts = np.array([[[share, 0], [share, 10 - share], [10, 0]] for share in right])
    names = tuple(f"video {number}" for number in range(len(right)))
    return FlameResult(make_config(2), names, counts, np.full((len(right), 4), 10))


@dataclass
class Scored:
    """What a table looks at of a run."""

    losses: Losses

    def to_dict(self):
        return {"flame": self.losses.flame.to_dict()}


def run(static, flame, streaming, persistence=None):
    late = None if persistence is None else Losses(result(10, 10), result(*persistence), result(*persistence))
    return Scored(Losses(result(*static), result(*flame), result(*streaming), late))


def table(latency=76, network="deeplab-mn", **changes):
    runs = {
        NOW: run((9, 7), (6, 4), (5, 3), (8, 6)),
        FUTURE: run((7, 7), (7, 5), (6, 4), (8, 6)),
        TWO_FRAMES: run((7, 7), (7, 7), (6, 6), (8, 6)),
    } | changes
    return Table1((Column(network, latency, 2, runs),), {})


# mean IoU of two videos with x of 20 pixels right: (x / 20 + 0) / 2


def test_the_paper_stands_beside_what_was_found():
    assert table().table() == (
        "trained on: score                  DeepLab-MN   paper\n"
        "-----------------------------------------------------\n"
        "I_t -> S_t: static mIoU                0.4000    0.72\n"
        "I_t -> S_t: FLAME                      0.2500    0.56\n"
        "I_t -> S_t+k: FLAME                    0.3000   0.565\n"
        "I_t-1, I_t -> S_t+k: FLAME             0.3500    0.58\n"
        "-----------------------------------------------------\n"
        "frame offset k                              2       2\n"
        "latency in ms                              76      76\n"
        "frames per second of the network         13.2      13\n"
        "\n"
        "Mean IoU; in the first row of what is seen (S_t), in the others of what is there k frames later (S_t+k).\n"
        "The paper's numbers are of Cityscapes, a frame every 60 ms, with latencies of a GTX 1080 Ti: other data have "
        "other scores, so compare the order.\n"
    )


def test_the_paper_stands_with_the_digits_that_it_printed():
    assert "0.3500    0.60" in table(network="deeplab-r101").table()


def test_details():
    lines = [" ".join(line.split()) for line in table().details().splitlines()]
    assert lines[0] == "network, trained on static FLAME streaming persistence"
    late = "0.3500 [0.3000, 0.4000]"
    static, flame, streaming = "0.4000 [0.3500, 0.4500]", "0.2500 [0.2000, 0.3000]", "0.2000 [0.1500, 0.2500]"
    assert lines[2] == f"DeepLab-MN, I_t -> S_t (only 2 videos) {static} {flame} {streaming} {late}"
    always = "0.3500 [0.3500, 0.3500]"
    assert (
        lines[4] == f"DeepLab-MN, I_t-1, I_t -> S_t+k (only 2 videos) {always} {always} 0.3000 [0.3000, 0.3000] {late}"
    )
    assert "In brackets: 95 %, bootstrap over 2 test videos" in table().details()


def test_differences_are_paired():
    lines = table().differences().splitlines()
    # each video lost 3 of 10 pixels to the delay, and won 1 of 10 back: in pairs there is no doubt about it
    assert lines[2].split()[-4:] == ["-0.1500", "-0.1500", "-0.1500", "-0.1600"]
    assert lines[3].split()[-4:] == ["+0.0500", "+0.0500", "+0.0500", "+0.0050"]
    assert lines[4].split()[-4:] == ["+0.0500", "+0.0000", "+0.1000", "+0.0150"]


def test_findings_are_counted():
    text = table().differences()
    shows = "shows in 1 of 1 network(s), clearly (the interval leaves out 0) in"
    assert f"The paper's finding that FLAME lies below the static score {shows} 1.\n" in text
    assert f"The paper's finding that training on S_t+k raises FLAME {shows} 1.\n" in text
    assert f"The paper's finding that a second frame raises it {shows} 0.\n" in text


def test_findings_against_the_paper_are_counted_too():
    text = table(**{FUTURE: run((7, 7), (5, 3), (5, 3))}).differences()
    assert "raises FLAME shows in 0 of 1 network(s), clearly (the interval leaves out 0) in 0; the opposite is " in text
    assert "; the opposite is clear in 1.\n" in text


def test_one_video_has_no_interval():
    runs = {name: run((9,), (flame,), (5,)) for name, flame in ((NOW, 6), (FUTURE, 7), (TWO_FRAMES, 8))}
    found = table(**runs)
    line = found.differences().splitlines()[3]
    assert " ".join(line.split()) == "DeepLab-MN: training on S_t+k +0.0500 +0.0050"
    assert "[" not in found.details()
    assert "No intervals: they need two or more test videos." in found.details()
    assert found.columns[0].differences[0].comparison is None


def stopped():
    """Of two networks, the first of which has two trainings."""
    first = table().columns[0]
    runs = {name: first.runs[name] for name in (NOW, FUTURE)}
    return Table1((replace(first, runs=runs), Column("swiftnet-r18", 26, 1, {})), {})


def test_an_incomplete_table_says_so():
    assert stopped().incomplete == "2 of 6 trainings are finished and scored"
    assert (
        stopped()
        .table()
        .startswith(
            "trained on: score                  DeepLab-MN   paper   SwiftNet-R18   paper\n"
            "----------------------------------------------------------------------------\n"
            "I_t -> S_t: static mIoU                0.4000    0.72              -    0.75\n"
            "I_t -> S_t: FLAME                      0.2500    0.56              -    0.64\n"
            "I_t -> S_t+k: FLAME                    0.3000   0.565              -    0.65\n"
            "I_t-1, I_t -> S_t+k: FLAME                  -    0.58              -    0.67\n"
            "----------------------------------------------------------------------------\n"
            "frame offset k                              2       2              1       1\n"
        )
    )
    for text in (stopped().table(), stopped().details(), stopped().differences(), stopped().render("markdown")):
        assert "INCOMPLETE: 2 of 6 trainings are finished and scored." in text
    record = json.loads(stopped().to_json())
    assert record["incomplete"] == stopped().incomplete
    assert json.loads(table().to_json())["incomplete"] is None
    assert "INCOMPLETE" not in table().render()


def test_what_is_not_finished_has_no_score_and_no_difference():
    details = [" ".join(line.split()) for line in stopped().details().splitlines()]
    assert details[4] == "DeepLab-MN, I_t-1, I_t -> S_t+k - - - -"
    assert details[5] == "SwiftNet-R18, I_t -> S_t - - - -"
    assert "bootstrap over 2 test videos" in stopped().details()
    text = stopped().differences()
    assert [line.split(":")[1].split("  ")[0] for line in text.splitlines()[2:4]] == [
        " FLAME - static, trained on S_t",
        " training on S_t+k",
    ]
    assert "raises FLAME shows in 1 of 1 network(s)" in text
    assert "a second frame" not in text


@pytest.mark.parametrize("format", ["markdown", "latex"])
def test_other_formats_hold_all_three_tables(format):
    text = table().render(format)
    assert text.count("toprule" if format == "latex" else "| :-- |") == 3
    assert "I\\_t -> S\\_t" in text or "I\\_t -\\textgreater{} S\\_t" in text or "I\\_t -&gt; S\\_t" in text


@pytest.mark.parametrize("latencies", [{}, {"unet": 10.0}])
def test_networks_that_the_paper_does_not_have(latencies):
    from flame_metric import ConfigError  # noqa: PLC0415

    with pytest.raises(ConfigError, match="expected some of deeplab-r101"):
        make_table1(None, latencies)
