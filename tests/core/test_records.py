"""Records on disk: read back without loss; damaged or edited ones are refused and never crash."""

import copy
import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric import FlameMeter, FlameResult
from flame_metric.core.counting import Counts, sequences_from_list, sequences_to_list
from flame_metric.core.files import load_record
from flame_metric.core.tables import FORMATS
from flame_metric.errors import FlameWarning, StateError
from laws import examples

VOID = 255


def make_meter():
    meter = FlameMeter(
        2,
        latency_ms=26,
        fps="50/3",
        ignore_index=VOID,
        class_names=("road", "car"),
        hardware="GPU",
        before_first="skip",
    )
    meter.update_sequence(
        [[[0, 1, 1]], [[1, VOID, 1]], [[0, 0, 0]]], [[[0, 0, 0]], [[0, 1, 0]], [[1, 1, VOID]]], sequence="clip"
    )
    meter.update_pair([[0, 1, 0]], [[0, 1, 1]], sequence="open")
    meter.update([[0, 1, 0]], None, sequence="running")
    return meter


def texts():
    meter = make_meter()
    return {FlameMeter: meter.to_json(), FlameResult: meter.compute().to_json()}


KINDS = (FlameMeter, FlameResult)
TEXTS = texts()


def exercise(thing):
    """Use all that was read: nothing of it may crash."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlameWarning)
        if isinstance(thing, FlameMeter):
            assert FlameMeter.from_json(thing.to_json()).to_json() == thing.to_json()
            repr(thing)
            thing.merge(FlameMeter.from_config(thing.config))
        result = thing.compute() if isinstance(thing, FlameMeter) else thing
        assert FlameResult.from_json(result.to_json()) == result
        assert math.isnan(result.miou) or 0 <= result.miou <= 1
        assert isinstance(str(result), str)
        for format in FORMATS:
            result.table(format)
        for part in result.by_sequence().values():
            assert isinstance(part.signature, str)


@pytest.mark.parametrize("kind", KINDS)
def test_record_survives(kind):
    again = kind.from_json(TEXTS[kind])
    assert again.to_json() == TEXTS[kind]
    exercise(again)


def test_list_of_sequences_by_hand():
    counts = {"b": Counts(np.array([[1, 0], [2, 0], [1, 1]]), 1, 2, 2, 3), "a": Counts.zero(2)}
    records = sequences_to_list(counts)
    assert [record["id"] for record in records] == ["a", "b"]
    assert records[1] == {
        "id": "b",
        "pairs": 1,
        "labelled_frames": 2,
        "valid_pixels": 2,
        "all_pixels": 3,
        "intersection": [1, 0],
        "predicted": [2, 0],
        "labelled": [1, 1],
    }
    assert sequences_from_list(json.loads(json.dumps(records)), 2) == counts


# ── no record at all ──


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "{",
        "[]",
        "null",
        "5",
        '"text"',
        "{}",
        '{"format": "another 1"}',
        '{"format": null}',
        "\x00",
        "[" * 9999,
    ],
    ids=lambda text: text[:20],
)
def test_text_that_is_no_record(kind, text):
    with pytest.raises(StateError, match="record"):
        kind.from_json(text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [None, 5, 1.5, ["{}"], {}])
def test_things_that_are_no_text(kind, value):
    with pytest.raises(StateError):
        kind.from_json(value)


def test_a_result_is_no_meter_and_a_meter_no_result():
    with pytest.raises(StateError, match=r"record of format 'flame-metric result 2', expected 'flame-metric meter 2'"):
        FlameMeter.from_json(TEXTS[FlameResult])
    with pytest.raises(StateError, match=r"record of format 'flame-metric meter 2', expected 'flame-metric result 2'"):
        FlameResult.from_json(TEXTS[FlameMeter])


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_constants_that_are_no_json(constant):
    with pytest.raises(StateError, match=constant):
        load_record(f'{{"format": "x", "value": {constant}}}', "x")


def test_a_number_of_too_many_digits():
    with pytest.raises(StateError):
        load_record('{"format": "x", "value": ' + "9" * 5000 + "}", "x")


@pytest.mark.parametrize("kind", KINDS)
def test_torn_record(kind):
    text = TEXTS[kind]
    for end in range(0, len(text), 7):
        with pytest.raises(StateError):
            kind.from_json(text[:end])


# ── edits, each of which makes a record a lie ──


def edit(kind, path, value):
    record = json.loads(TEXTS[kind])
    *parents, last = path
    place = record
    for step in parents:
        place = place[step]
    place[last] = value
    return json.dumps(record)


CLIP, OPEN = ("sequences", 0), ("sequences", 1)
CLIP_RECORD = json.loads(TEXTS[FlameMeter])["sequences"][0]


def test_the_record_that_is_edited():
    clip, opened = json.loads(TEXTS[FlameMeter])["sequences"]
    # k = 1: ([0, 1, 1], [0, 1, 0]) and ([1, void, 1], [1, 1, void]); frame 0 has nothing on screen yet
    assert clip == {
        "id": "clip",
        "pairs": 2,
        "labelled_frames": 3,
        "valid_pixels": 5,
        "all_pixels": 6,
        "intersection": [1, 2],
        "predicted": [1, 3],
        "labelled": [2, 3],
    }
    assert (opened["id"], opened["intersection"], opened["predicted"], opened["labelled"]) == (
        "open",
        [1, 1],
        [2, 1],
        [1, 2],
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [-1, 1.0, 1.5, True, "1", None, [1], {}, 2**63, 10**30, -(2**70)], ids=str)
@pytest.mark.parametrize(
    "path",
    [(*CLIP, key) for key in ("pairs", "labelled_frames", "valid_pixels", "all_pixels")]
    + [(*CLIP, row, 0) for row in ("intersection", "predicted", "labelled")],
    ids=lambda path: path[2],
)
def test_count_that_is_no_count(kind, path, value):
    with pytest.raises(StateError):
        kind.from_json(edit(kind, path, value))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*CLIP, "intersection"), [2, 2]),  # more than predicted
        ((*CLIP, "intersection"), [1, 4]),
        ((*CLIP, "predicted"), [9, 3]),  # more predictions than pixels
        ((*CLIP, "predicted"), [0, 3]),
        ((*CLIP, "labelled"), [3, 3]),  # not the number of valid pixels
        ((*CLIP, "labelled"), [2, 2]),
        ((*CLIP, "valid_pixels"), 4),
        ((*CLIP, "valid_pixels"), 6),
        ((*CLIP, "all_pixels"), 4),
        ((*CLIP, "pairs"), 4),
        ((*CLIP, "labelled_frames"), 1),
    ],
    ids=str,
)
def test_counts_that_contradict_each_other(kind, path, value):
    with pytest.raises(StateError, match="contradict each other"):
        kind.from_json(edit(kind, path, value))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*OPEN, "pairs"), 0),  # pixels were predicted, but nothing was compared
        (CLIP, {**CLIP_RECORD, "intersection": [1, 2], "predicted": [3, 2]}),  # 2 false positives and 1 miss of road
        ((*CLIP, "intersection"), [0, 0]),  # class 1: 3 predicted + 3 labelled - 0 common are more than 5 pixels
    ],
    ids=str,
)
def test_counts_that_no_pair_of_maps_has(kind, path, value):
    with pytest.raises(StateError, match="contradict each other"):
        kind.from_json(edit(kind, path, value))


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_of_no_frame(kind):
    record = json.loads(TEXTS[kind])
    record["sequences"][1].update(pairs=0, labelled_frames=0)
    with pytest.raises(StateError, match="contradict each other"):
        kind.from_json(json.dumps(record))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", ["intersection", "predicted", "labelled"])
@pytest.mark.parametrize("value", [[], [1], [1, 2, 0], "12", {"0": 1}, None, 5, [[1, 2]]], ids=str)
def test_row_of_another_shape(kind, row, value):
    with pytest.raises(StateError):
        kind.from_json(edit(kind, (*CLIP, row), value))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ((*OPEN, "id"), "clip"),
        ((*OPEN, "id"), 5),
        ((*OPEN, "id"), None),
        ((*OPEN, "id"), ["clip"]),
        (("sequences",), None),
        (("sequences",), 0),
        (("sequences",), "clip"),
        (("sequences",), {"clip": 1}),
        (("sequences",), [None]),
        (("sequences",), [[]]),
        (("sequences",), ["clip"]),
        (("config",), None),
        (("config",), []),
        (("config",), {}),
        (("format",), "flame-metric meter 3"),
        (("format",), ["flame-metric meter 2"]),
    ],
    ids=str,
)
def test_structure_that_is_damaged(kind, path, value):
    with pytest.raises(StateError):
        kind.from_json(edit(kind, path, value))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_classes", 3),
        ("num_classes", 1),
        ("num_classes", 2.0),
        ("num_classes", True),
        ("num_classes", 10**9),
        ("num_classes", None),
        ("frame_offset", -1),
        ("frame_offset", 1.0),
        ("frame_offset", "1"),
        ("frame_offset", 7),  # 26 ms at 50/3 fps is k = 1
        ("latency_ms", "26"),
        ("latency_ms", -5),
        ("latency_ms", True),
        ("latency_ms", [26]),
        ("latency_ms", 260),  # would be k = 5
        ("fps", 0),
        ("fps", -30),
        ("fps", "fast"),
        ("fps", "1/0"),
        ("fps", True),
        ("fps", []),
        ("fps", 300),  # would be k = 8
        ("ignore_index", 1.5),
        ("ignore_index", "255"),
        ("ignore_index", True),
        ("class_names", ["road"]),
        ("class_names", 5),
        ("class_names", "ab"),
        ("before_first", "clamp"),
        ("before_first", None),
        ("before_first", ["skip"]),
        ("device", 5),
        ("device", ["GPU"]),
        ("colour", "red"),
    ],
    ids=str,
)
def test_configuration_that_is_damaged(kind, field, value):
    with pytest.raises(StateError):
        kind.from_json(edit(kind, ("config", field), value))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "fps",
    [
        '"1e999999999"',
        '"1e-999999999"',
        "1e999",
        "1e-999",
        '"' + "9" * 5000 + '"',
        "1" + "0" * 400,
        '"1/' + "3" * 400 + '"',
    ],
    ids=lambda fps: fps[:15],
)
def test_frame_rate_with_a_huge_exponent_does_not_hang(kind, fps):
    text = TEXTS[kind].replace('"50/3"', fps)
    assert text != TEXTS[kind]
    with pytest.raises(StateError):
        kind.from_json(text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("latency", ["1e999", "-1e999"])
def test_latency_with_a_huge_exponent(kind, latency):
    text = TEXTS[kind].replace('"latency_ms": 26.0', f'"latency_ms": {latency}')
    assert text != TEXTS[kind]
    with pytest.raises(StateError):
        kind.from_json(text)


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_needed(kind):
    record = json.loads(TEXTS[kind])
    kept = []
    for path in [("config",), ("sequences",), *[("config", key) for key in record["config"]]]:
        shortened = copy.deepcopy(record)
        place = shortened if len(path) == 1 else shortened["config"]
        del place[path[-1]]
        try:
            kind.from_json(json.dumps(shortened))
        except StateError:
            continue
        kept.append(path)
    for key in record["sequences"][0]:
        shortened = copy.deepcopy(record)
        del shortened["sequences"][0][key]
        with pytest.raises(StateError):
            kind.from_json(json.dumps(shortened))
    assert kept == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("closed", ["clip", "other"]),
        ("closed", "clip"),
        ("closed", None),
        ("closed", 5),
        ("closed", [["clip"]]),
        ("closed", [5]),
        ("by_schedule", "yes"),
        ("by_schedule", []),
        ("by_schedule", 2),
    ],
)
def test_meter_state_that_is_damaged(field, value):
    with pytest.raises(StateError):
        FlameMeter.from_json(edit(FlameMeter, (field,), value))


@pytest.mark.parametrize("field", ["closed", "by_schedule"])
def test_meter_state_is_needed(field):
    record = json.loads(TEXTS[FlameMeter])
    del record[field]
    with pytest.raises(StateError, match=f"'{field}' is missing"):
        FlameMeter.from_json(json.dumps(record))


def test_default_id_cannot_be_closed_by_an_edit():
    record = json.loads(TEXTS[FlameMeter])
    record["sequences"][1]["id"] = ""
    record["closed"] = ["", "clip"]
    with pytest.raises(StateError):
        FlameMeter.from_json(json.dumps(record))


def test_fixed_offset_cannot_become_a_schedule_by_half_an_edit():
    # k is gone, but the meter says that it scored by a fixed offset
    with pytest.raises(StateError):
        FlameMeter.from_json(edit(FlameMeter, ("config", "frame_offset"), None))


@pytest.mark.parametrize("kind", KINDS)
def test_sums_past_int64_do_not_wrap(kind):
    huge = 2**62 + 2**61
    record = json.loads(TEXTS[kind])
    for sequence in record["sequences"]:
        sequence.update(intersection=[huge, 0], predicted=[huge, 0], labelled=[huge, 0])
        sequence.update(valid_pixels=huge, all_pixels=huge)
    with pytest.raises(StateError):
        kind.from_json(json.dumps(record))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["sequences", "id", "frame_offset", "labelled"])
def test_a_name_that_comes_twice(kind, name):
    """Some readers take the first, some the last: two programs would find unlike scores in one file."""
    twice = TEXTS[kind].replace(f'"{name}": ', f'"{name}": null, "{name}": ', 1)
    with pytest.raises(StateError, match=f"'{name}' comes twice in one object"):
        kind.from_json(twice)


# ── any edit: refused, or a record that works ──

JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.integers(-1, 10),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(
            ["", "clip", "open", "30000/1001", "1e9", "skip", "void", "a\x1b", "\ud800", 10**400, 2**63 - 1, 2**62]
        ),
    ),
    lambda children: st.one_of(
        st.lists(children, max_size=3), st.dictionaries(st.text(max_size=4), children, max_size=3)
    ),
    max_leaves=4,
)


def places(value, path=()):
    """Every path into a JSON value."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in steps:
        yield (*path, step)
        yield from places(child, (*path, step))


def read_or_refuse(kind, text):
    try:
        thing = kind.from_json(text)
    except StateError:
        return
    exercise(thing)


@examples(300)
@given(st.data())
def test_law_edited_record_is_refused_or_works(data):
    kind = data.draw(st.sampled_from(KINDS), "kind")
    record = json.loads(TEXTS[kind])
    record.pop("scores", None)
    for _ in range(data.draw(st.integers(1, 2), "edits")):
        path = data.draw(st.sampled_from(list(places(record))), "path")
        place = record
        for step in path[:-1]:
            place = place[step]
        if data.draw(st.integers(0, 4), "delete") == 0:
            del place[path[-1]]
        else:
            place[path[-1]] = data.draw(JSON, "value")
    read_or_refuse(kind, json.dumps(record).replace("Infinity", "1e999"))


@examples(100)
@given(st.sampled_from(KINDS), st.integers(0, 5000), st.integers(0, 4), st.text(max_size=4))
def test_law_damaged_text_is_refused_or_works(kind, place, removed, inserted):
    text = TEXTS[kind]
    place %= len(text)
    read_or_refuse(kind, text[:place] + inserted + text[place + removed :])
