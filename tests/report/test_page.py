"""The page: its numbers are the library's, in its tables, its drawing, and all that its script may look up."""

import re
from fractions import Fraction

import numpy as np
import pytest

import flame_metric
from flame_metric import ConfigError, StreamConfig, compare, frame_offset
from flame_metric.core.tables import milliseconds_text
from flame_metric.jobs.evaluate import evaluate_bank
from flame_metric.report.text import number
from page_reading import lookup_of, read_page
from report_inputs import FPS, Small

pytest.importorskip("jinja2", reason="a report needs jinja2")
from flame_metric.report import report_page

RATE = Fraction(FPS)


@pytest.fixture(scope="module")
def html() -> str:
    return report_page({"net": Small().evaluation()}, command="flame-metric report net.json net.npz")


@pytest.fixture(scope="module")
def page(html):
    return read_page(html)


@pytest.fixture(scope="module")
def three():
    evaluations = {
        "large": Small(0.1).evaluation(170),
        "medium": Small(0.2).evaluation(110),
        "small": Small(0.3).evaluation(70),
    }
    return evaluations, read_page(report_page(evaluations))


def cells(*results):
    return [number(None if result is None else result.miou) for result in results]


# ── one network ──


def test_cards_hold_scores_intervals_and_signatures(page) -> None:
    evaluation = Small().evaluation()
    results = [evaluation.static, evaluation.flame, evaluation.streaming.result, evaluation.persistence]
    cards = page.find("article")
    assert [card.one("p", class_="value").text for card in cards] == cells(*results)
    assert [card.one("code").text for card in cards] == [result.signature for result in results]
    for card, result in zip(cards, results, strict=True):
        ends = f"95 % {result.interval.low:.4f} to {result.interval.high:.4f} (only 3 sequences)"
        assert card.one("p", class_="interval").text == ends
    told = cards[2].one("p", class_="told").text
    assert f"{evaluation.streaming.statistics.mean_staleness:.2f} frames old on average" in told


def test_the_summary_says_it_in_words(page) -> None:
    evaluation = Small().evaluation()
    text = page.one("div", class_="lead").text
    assert f"the output of net has a mean IoU of {evaluation.static.miou:.3f}." in text
    assert "It takes 130.0 ms on a small device. By then, at 16.67 fps, the scene has moved on by 3 frames" in text
    assert f"the same output is worth {evaluation.flame.miou:.3f}: FLAME." in text
    assert (
        f"(1 worker, queue 1), where frames wait or are missed, it is worth {evaluation.streaming.result.miou:.3f}."
        in text
    )
    lost = evaluation.static.iou - evaluation.flame.iou
    worst = evaluation.flame.class_names[int(lost.argmax())]
    assert f"costs most on {worst} ({lost.max():.3f})" in text


def test_the_table_by_class(page) -> None:
    evaluation = Small().evaluation()
    static, flame, live = evaluation.static, evaluation.flame, evaluation.streaming.result
    table = page.one("table", data_classes="0")
    assert table.one("caption").text == "130.0 ms at 16.67 fps, k = 3"
    header, *rows = table.rows()
    assert header[2:] == ["static", "FLAME", "streaming", "lost to latency", "lost to throughput", "perfect, as late"]
    assert [row[0] for row in rows] == [*evaluation.flame.class_names, "mean IoU"]
    for place, row in enumerate(rows[:-1]):
        results = [
            static.iou,
            flame.iou,
            live.iou,
            static.iou - flame.iou,
            flame.iou - live.iou,
            evaluation.persistence.iou,
        ]
        assert row[2:] == [number(float(values[place])) for values in results]
    losses = evaluation.losses
    assert rows[-1][5:7] == [number(losses.to_latency), number(losses.to_throughput)]


def test_the_table_of_scores_and_the_curve(page) -> None:
    evaluation, bank = Small().evaluation(), Small().bank()
    (_, now) = page.one("table", id="now").rows()
    low, high = evaluation.flame.interval.low, evaluation.flame.interval.high
    live, late = evaluation.streaming.result, evaluation.persistence
    assert now == [
        "net",
        "130.0 ms",
        "3",
        *cells(evaluation.static, evaluation.flame),
        f"{low:.4f} to {high:.4f} (only 3 sequences)",
        *cells(live, late),
        f"{evaluation.flame.coverage:.2f}",
    ]
    figure = page.one("figure", class_="chart")
    _, *rows = figure.one("table").rows()
    for offset, row in enumerate(rows):
        result, late = bank.score(frame_offset=offset), bank.score(frame_offset=offset, persistence=True)
        interval = f"{result.interval.low:.4f} to {result.interval.high:.4f} (only 3 sequences)"
        assert row == [str(offset), f"{offset * 60}.0 ms", number(result.miou), interval, number(late.miou)]
    assert len(rows) == bank.max_offset + 1


def test_sequences_by_what_they_lose(page) -> None:
    evaluation = Small().evaluation()
    static, flame = evaluation.static.by_sequence(), evaluation.flame.by_sequence()
    lost = {name: static[name].miou - flame[name].miou for name in flame}
    details = next(one for one in page.find("details") if one.one("summary").text == "By sequence")
    rows = details.one("table").rows()[1:]
    assert [row[0] for row in rows] == sorted(lost, key=lambda name: -lost[name])
    assert rows[0][1:] == [number(value[rows[0][0]].miou) for value in (static, flame)] + [number(lost[rows[0][0]])]


def test_the_curve_is_drawn_where_the_scores_are(page) -> None:
    bank = Small().bank()
    drawing = page.find("svg", class_="curve")[0]
    x0, x1, y0, y1 = map(float, drawing.attributes["data-plane"].split())
    group = drawing.one("g", data_rate="0")
    (line,) = group.find("path", class_="flame")
    points = [tuple(map(float, point.split())) for point in re.findall(r"[ML]([\d.]+ [\d.]+)", line.attributes["d"])]
    expected = [(0, 0, bank.score(frame_offset=0).miou)]
    expected += [((k - 1) * 60, k * 60, bank.score(frame_offset=k).miou) for k in range(1, 7)]
    for (start, end, miou), first, second in zip(expected, points[::2], points[1::2], strict=True):
        y = y0 + (y1 - y0) * miou
        assert first == pytest.approx((x0 + (x1 - x0) * start, y), abs=0.1)
        assert second == pytest.approx((x0 + (x1 - x0) * end, y), abs=0.1)
    marks = {one.attributes["class"]: one.attributes["transform"] for one in drawing.find("path", class_="mark")}
    miou = Small().evaluation().flame.miou
    x, y = map(float, re.findall(r"[\d.]+", marks["mark flame one"]))
    assert (x, y) == pytest.approx((x0 + (x1 - x0) * 130, y0 + (y1 - y0) * miou), abs=0.1)


# ── what the script looks up ──


def test_every_number_that_can_be_shown_is_the_library_s(page) -> None:
    lookup, bank = lookup_of(page), Small().bank()
    (network,) = lookup["networks"]
    checked = 0
    for rate, every in enumerate(lookup["every"]):
        slower = bank.every(every)
        for scale, factor in enumerate((Fraction(1, 4), Fraction(1, 2), 1, 2, 4)):
            for stop in range(0, len(lookup["stopsMs"]) + 1, 5):
                latency_ms = factor * (130 if stop == 0 else lookup["stopsMs"][stop - 1])
                view = network["views"][network["cells"][rate][scale][stop]]
                offset = frame_offset(latency_ms, RATE / every)
                assert view["cells"][:2] == [milliseconds_text(float(latency_ms)), str(offset)]
                assert view["x"] == float(latency_ms)
                assert view["cells"][2] == number(slower.score(frame_offset=0).miou)
                if offset > slower.max_offset:
                    assert view["cells"][3:5] == ["–", "–"]
                    assert view["columns"][1] == -1
                    continue
                checked += 1
                result = slower.score(latency_ms=latency_ms)
                late = slower.score(latency_ms=latency_ms, persistence=True)
                assert view["cells"][3] == number(result.miou)
                assert view["cells"][6:] == [number(late.miou), f"{result.coverage:.2f}"]
                assert view["y"][0] == result.miou
                texts = lookup["columns"][view["columns"][1]].split(" ")
                assert texts == [number(value) for value in [*result.iou.tolist(), result.miou]]
                if view["columns"][2] >= 0:
                    live = slower.stream(latency_ms)
                    assert view["cells"][5] == number(live.miou)
                    lost = np.append(result.iou - live.iou, result.miou - live.miou)
                    assert lookup["columns"][view["columns"][4]].split(" ") == [
                        number(value) for value in lost.tolist()
                    ]
    assert checked > 60


def test_commands_give_the_numbers_that_they_stand_beside(page, tmp_path, capsys) -> None:
    lookup = lookup_of(page)
    Small().bank().save(tmp_path / "bank.npz")
    views = lookup["networks"][0]["views"]
    without_a_stream = next(view for view in views if view["y"][0] and view["y"][1] is None)
    slower = next(view for view in views if "--every 2" in view["command"] and view["y"][1])
    for view in (views[0], slower, without_a_stream):
        words = view["command"].replace("BANK", str(tmp_path / "bank.npz")).split()
        assert words[0] == "flame-metric"
        assert flame_metric_main(*words[1:]) == 0
        rows = [line.split() for line in capsys.readouterr().out.splitlines()]
        mean = next(row for row in rows if row[:2] == ["mean", "IoU"])
        columns = (2, 3, 6) if view is without_a_stream else (2, 3, 5, 6)
        assert mean[2 : 2 + len(columns)] == [view["cells"][column] for column in columns]
    assert {view["command"] for view in views if view["y"] == [None, None]} == {""}


def flame_metric_main(*arguments: str) -> int:
    from flame_metric.cli import main  # noqa: PLC0415  the page itself needs none of it

    return main(arguments)


# ── several networks ──


def test_networks_are_ranked_and_compared(three) -> None:
    evaluations, page = three
    section = page.one("section", id="comparison")
    ranking, best = section.find("table")
    order = sorted(evaluations, key=lambda name: -evaluations[name].flame.miou)
    assert [row[0] for row in ranking.rows()[1:]] == order
    assert [row[1] for row in ranking.rows()[1:]] == cells(*(evaluations[name].flame for name in order))
    found = compare(evaluations[order[0]].flame, evaluations[order[1]].flame)
    assert f"{order[0]} - {order[1]}: {found.difference:+.4f}" in section.text
    header, *rows = best.rows()
    assert header == ["hardware", "16.67 fps", "8.33 fps", "5.56 fps", "4.17 fps"]
    for row, scale in zip(rows, (0.25, 0.5, 1, 2, 4), strict=True):
        for every, cell in zip((1, 2, 3, 4), row[1:], strict=True):
            assert cell == best_of(evaluations, scale, every)
    assert "share k = 2 at 50/3 fps" in section.text  # 70 ms and 110 ms


def best_of(evaluations, scale, every):
    scores = {}
    for name, evaluation in evaluations.items():
        bank = evaluation.bank.every(every)
        latency = scale * evaluation.flame.config.latency_ms
        if frame_offset(latency, RATE / every) > bank.max_offset:
            return "–"
        scores[name] = bank.score(latency_ms=latency).miou
    best = max(scores, key=lambda name: scores[name])
    return f"{best} {scores[best]:.3f}"


def test_each_network_has_its_classes_and_its_line(three) -> None:
    evaluations, page = three
    for place, evaluation in enumerate(evaluations.values()):
        mean = page.one("table", data_classes=str(place)).rows()[-1]
        assert mean[2:4] == cells(evaluation.static, evaluation.flame)
    lines = page.find("svg", class_="curve")[0].one("g", data_rate="0").find("path", class_="flame")
    assert len({line.attributes["d"] for line in lines}) == 3
    assert [row[0] for row in page.one("table", id="now").rows()[1:]] == list(evaluations)
    text = page.one("div", class_="lead").one("p").text
    assert text.startswith("Without delay, large is best")


def test_networks_of_unlike_data_are_refused() -> None:
    with pytest.raises(ConfigError, match="were not scored on the same sequences"):
        report_page({"a": Small().evaluation(), "b": Small(clips=("x", "y", "z")).evaluation()})


# ── in the library ──


def test_names_are_loaded_on_first_use(run_python) -> None:
    program = "import sys, flame_metric.report as r\nprint('flame_metric.report.page' in sys.modules, dir(r)[-1])"
    assert run_python(program) == "False write_report"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = flame_metric.report.nothing


@pytest.mark.parametrize("package", ["jinja2", "markupsafe"])
def test_without_jinja2_the_extra_is_named(package, run_python) -> None:
    program = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from flame_metric import MissingExtraError\n"
        "from flame_metric.cli import main\n"
        "try: from flame_metric.report import write_report\n"
        "except MissingExtraError as error: print(error)\n"
        "try: main(['--version'])\n"
        "except SystemExit as end: print(end.code)"
    )
    message, version, code = run_python(program).splitlines()
    assert message == "write_report needs jinja2: pip install 'flame-metric[plot]'"
    assert (version, code) == (f"flame-metric {flame_metric.__version__}", "0")


def test_what_does_not_fit_together() -> None:
    with pytest.raises(ConfigError, match="`dataset` and `label_maps` are not given together"):
        report_page({"net": Small().evaluation()}, label_maps={"net": "folder"})
    with pytest.raises(ConfigError, match="`evaluations` is 'text', expected an Evaluation for each name"):
        report_page({"net": "text"})
    with pytest.raises(ConfigError, match="`stream`"):
        report_page({"net": evaluate_bank(Small().bank(), latency_ms=10)}, stream="fast")
    assert "2 workers" in report_page(
        {"net": evaluate_bank(Small().bank(), latency_ms=10)}, stream=StreamConfig(workers=2)
    )
