"""What a page shows where something is missing, and how it says what would bring it."""

import re
from dataclasses import replace
from fractions import Fraction

import pytest

from flame_metric import FlameWarning, LatencyTrace, OffsetBank, StreamConfig
from flame_metric.jobs.evaluate import evaluate_bank
from flame_metric.report.grid import NetworkScores
from flame_metric.report.text import command_of, number
from page_reading import lookup_of, read_page
from report_inputs import Small

pytest.importorskip("jinja2", reason="a report needs jinja2")
from flame_metric.report import report_page


def test_a_result_alone_shows_what_it_can_and_says_the_rest() -> None:
    page = read_page(report_page({"net": replace(Small().evaluation(), bank=None)}))
    assert [card.one("h3").text for card in page.find("article")] == ["Static", "FLAME", "Streaming", "Persistence"]
    assert not page.find("svg", class_="curve")
    assert not page.find("input")
    remarks = page.one("section", id="remarks").text
    assert "Other latencies, cameras and hardware: add --bank BANK to flame-metric run" in remarks
    assert "--frames DATA --label-maps DIR" in remarks


def test_a_curve_alone() -> None:
    evaluation = replace(evaluate_bank(Small().bank(), latency_ms=130, max_offset=4), bank=None)
    page = read_page(report_page({"net": evaluation}))
    assert [row[5] for row in page.one("table", id="now").rows()[1:]] != ["–"]
    assert not page.find("input", name="rate")
    remarks = page.one("section", id="remarks").text
    assert "Streams and slower cameras: add --bank BANK" in remarks
    assert "No stream was scored" in remarks


def test_one_sequence_has_no_interval_and_says_so() -> None:
    page = read_page(report_page({"net": Small(clips=("alone",)).evaluation()}))
    assert "no 95 % interval: too few sequences" in page.one("article", class_="flame").text
    assert "95 % interval: needs at least two sequences, there is 1." in page.one("section", id="remarks").text


def test_an_offset_without_a_latency() -> None:
    page = read_page(report_page({"net": evaluate_bank(Small().bank(), frame_offset=2)}))
    assert "When it is on screen the scene has moved on by 2 frames" in page.one("div", class_="lead").text
    assert (
        "The delay was given as k = 2; as a latency, that is at most 120.0 ms" in page.one("section", id="remarks").text
    )


def test_an_incomplete_result_says_so_first_and_in_its_signatures() -> None:
    partial = replace(Small().evaluation(), incomplete="clip <2> is damaged")
    page = read_page(report_page({"net": partial}))
    assert page.one("p", class_="warning").text == "INCOMPLETE: clip <2> is damaged."
    signatures = [one.text for one in page.find("p", class_="signature")]
    signatures += [one.one("code").text for one in page.one("ul", class_="signatures").find("li")]
    assert len(signatures) == 4 + len(partial.results)
    assert all(text.endswith(" | INCOMPLETE") for text in signatures)
    page = read_page(report_page({"net": partial, "whole": Small(0.1).evaluation()}))
    assert page.one("p", class_="warning").text == "net is INCOMPLETE: clip <2> is damaged."
    assert sum("INCOMPLETE" in one.text for one in page.one("ul", class_="signatures").find("li")) == len(
        partial.results
    )
    assert not read_page(report_page({"whole": Small().evaluation()})).find("p", class_="warning")


def test_a_latency_that_nobody_gave_is_not_shown() -> None:
    bank = OffsetBank(2, max_offset=2)
    bank.update_sequence([[[0, 1]]] * 4, [[[0, 1]]] * 4, sequence="clip")
    page = read_page(report_page({"net": evaluate_bank(bank, frame_offset=1)}))
    assert page.one("span", data_setting="0").text == "k = 1"
    assert "0.0 ms" not in page.one("main").text


def test_no_score_is_told_in_words() -> None:
    bank = OffsetBank(2, max_offset=2, fps=30)
    bank.update_sequence([[[0, 1]]], [[[0, 1]]], sequence="clip")
    with pytest.warns(FlameWarning) as warned:
        found = evaluate_bank(bank, latency_ms=50)
    assert any("no pair was counted" in str(one.message) for one in warned)
    lead = read_page(report_page({"net": found})).one("div", class_="lead").text
    assert "the scene has moved on by 2 frames, and no labelled frame shows what the output is then worth" in lead
    with pytest.warns(FlameWarning, match="no pair was counted"):
        found = evaluate_bank(OffsetBank(2, max_offset=2, fps=30), latency_ms=50)
    page = read_page(report_page({"net": found}))
    assert page.one("div", class_="lead").one("p").text.startswith("Nothing was counted: there are no labelled frames.")


def test_networks_that_are_alike_share_the_first_place() -> None:
    page = read_page(report_page({name: Small().evaluation() for name in ("b", "a")}))
    lead = page.one("div", class_="lead").text
    assert "Without delay, b and a are best, with a mean IoU of" in lead
    best = page.one("table", class_="best").rows()
    assert {cell.rpartition(" ")[0] for row in best[1:] for cell in row[1:] if cell != "–"} == {"b and a"}
    assert "the best by FLAME would be b and a at 0 to " in page.one("section", id="comparison").text


def test_no_delay_at_all() -> None:
    page = read_page(report_page({"net": Small().evaluation(0)}))
    assert "the frame is still the same: FLAME is" in page.one("div", class_="lead").text


def test_classes_that_occur_nowhere_are_absent() -> None:
    page = read_page(report_page({"net": Small(names=("road", "sky", "car", "pole", "boat")).evaluation()}))
    boat = next(row for row in page.one("table", data_classes="0").rows() if row[0] == "boat")
    assert boat[2:] == ["absent"] * 6


def test_a_bank_without_persistence() -> None:
    page = read_page(report_page({"net": Small(persistence=False).evaluation()}))
    assert "Persistence" not in [card.one("h3").text for card in page.find("article")]
    assert page.one("table", id="now").rows()[1][7] == "–"
    assert not page.one("ul", class_="legend").find("path", class_="persistence")


def test_a_trace_says_what_was_measured() -> None:
    trace = LatencyTrace([20 + place % 7 for place in range(40)], replay="random")
    evaluation = evaluate_bank(Small(max_offset=8).bank(), trace=trace)
    page = read_page(report_page({"net": evaluation}, traces={"net": trace}))
    details = next(one for one in page.find("details") if one.one("summary").text.startswith("Measured"))
    assert re.search(r"median +23\.0000 +1", details.one("pre").text)
    commands = {view["command"] for view in lookup_of(page)["networks"][0]["views"]}
    assert "flame-metric rescore BANK --trace TRACE --workers 1 --queue 1" in commands
    assert "flame-metric rescore BANK --trace TRACE --scale 1/2 --every 2 --workers 1 --queue 1" in commands
    without = read_page(report_page({"net": evaluation}))
    assert "Give the trace" in without.one("section", id="remarks").text


def test_a_network_that_is_never_in_time() -> None:
    with pytest.warns(FlameWarning) as warned:
        evaluation = Small(max_offset=40).evaluation(2000)
    assert any("yield no pair" in str(one.message) for one in warned)
    page = read_page(report_page({"net": evaluation}))
    assert page.one("article", class_="flame").one("p", class_="value").text == "absent"
    told = page.one("article", class_="streaming").one("p", class_="told").text
    assert told == "What is on screen live, with 1 worker, queue 1: nothing, ever; 36 of 42 frames dropped."
    assert page.one("table", id="now").rows()[1][3:5] == [number(evaluation.static.miou), "absent"]


def test_all_that_is_drawn_lies_in_the_plane_of_the_chart() -> None:
    """Of clips that differ much the interval is wider than the curve: it ran over the text below the chart."""
    bank = OffsetBank(2, max_offset=3, fps=10, persistence=True)
    labels = [[[frame % 2, 1, 0]] for frame in range(8)]
    for name, preds in (("right", labels), ("wrong", [[[1, 0, 1]]] * 8), ("half", [[[0, 1, 1]]] * 8)):
        bank.update_sequence(preds, labels, sequence=name)
    page = report_page({"net": evaluate_bank(bank, latency_ms=100, max_offset=3)})
    svg = re.search(r"<svg[^>]*class=\"curve\".*?</svg>", page, re.DOTALL)[0]
    paths = re.findall(r"<path d=\"(M[^\"]+)\" class=\"(band|flame|persistence)", svg)
    assert {"band", "flame", "persistence"} <= {series for _, series in paths}
    top, bottom = map(float, re.search(r"class=\"cursor\" y1=\"([\d.]+)\" y2=\"([\d.]+)\"", svg).groups())
    heights = [float(height) for path, _ in paths for height in re.findall(r"[ML]\S+ ([-\d.]+)", path)]
    assert top <= min(heights) <= max(heights) <= bottom


@pytest.mark.parametrize(("replay", "seeded"), [("random", True), ("call", False)])
def test_a_command_has_a_seed_only_where_samples_are_drawn(replay, seeded):
    """`rescore` refuses one that would change nothing."""
    bank = OffsetBank(2, max_offset=2, fps=10)
    bank.update_sequence([[[0]]] * 3, [[[0]]] * 3, sequence="clip")
    trace = LatencyTrace([100] * 9, replay=replay)
    network = NetworkScores("net", evaluate_bank(bank, trace=trace), trace, True, StreamConfig(), 5, {})
    assert ("--seed 5" in command_of(network, 1, Fraction(trace.median_ns))) is seeded
