"""What a score depends on besides the pixels: where k comes from, what is refused, and the way through JSON."""

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flame_metric.errors import ConfigError
from flame_metric.scores.config import ScoreConfig, make_config

# ── the frame offset ──


def test_offset_follows_from_latency_and_rate():
    config = make_config(19, latency_ms=76, fps="50/3")
    assert (config.frame_offset, config.latency_ms, config.fps) == (2, 76.0, Fraction(50, 3))


def test_offset_given():
    config = make_config(19, frame_offset=3)
    assert (config.frame_offset, config.latency_ms, config.fps) == (3, None, None)


def test_offset_is_zero_by_default():
    assert make_config(19).frame_offset == 0


def test_tie_of_a_rounded_latency():
    assert make_config(19, latency_ms=66.667, fps=15).frame_offset == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latency_ms": 26, "fps": 30, "frame_offset": 1}, "`latency_ms` and `frame_offset` are both given"),
        ({"latency_ms": 26, "frame_offset": 1}, "`latency_ms` and `frame_offset` are both given"),
        ({"latency_ms": 26}, r"`latency_ms` is 26(\.0)? without `fps`"),
        ({"latency_ms": 0}, r"`latency_ms` is 0(\.0)? without `fps`"),
        ({"fps": 30}, "`fps` is 30 without `latency_ms`"),
        ({"latency_ms": -1, "fps": 30}, "`latency_ms` is -1"),
        ({"latency_ms": float("nan"), "fps": 30}, "`latency_ms` is nan"),
        ({"latency_ms": 26, "fps": 0}, "`fps` is 0"),
        ({"latency_ms": 26, "fps": "fast"}, "`fps` is 'fast'"),
        ({"frame_offset": -1}, "`frame_offset` is -1"),
        ({"frame_offset": 1.0}, r"`frame_offset` is 1\.0"),
        ({"frame_offset": True}, "`frame_offset` is True"),
        ({"frame_offset": "1"}, "`frame_offset` is '1'"),
        ({"ignore_index": 2.5}, r"`ignore_index` is 2\.5"),
        ({"class_names": ["a"]}, "`class_names` holds 1 names, expected 2"),
        ({"class_names": ["a", "b", "c"]}, "`class_names` holds 3 names, expected 2"),
        ({"class_names": []}, "`class_names` holds 0 names, expected 2"),
        ({"class_names": "ab"}, r"`class_names` is .*'ab'.*list of names"),
        ({"before_first": "clamp"}, "`before_first` is 'clamp', expected one of skip, void"),
        ({"before_first": None}, "`before_first` is None"),
        ({"hardware": 5}, "`hardware` is 5"),
    ],
)
def test_options_that_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        make_config(2, **options)


@pytest.mark.parametrize("num_classes", [1, 0, -1, 4097, 2.0, "2", None, True])
def test_number_of_classes_out_of_range(num_classes):
    with pytest.raises(ConfigError, match="`num_classes` is"):
        make_config(num_classes)


def test_numpy_integers_become_integers():
    config = make_config(np.int64(2), frame_offset=np.int32(3), ignore_index=np.uint8(255))
    assert (config.num_classes, config.frame_offset, config.ignore_index) == (2, 3, 255)
    assert json.loads(json.dumps(config.to_dict()))["frame_offset"] == 3


# ── differences ──

BASE = {
    "num_classes": 2,
    "latency_ms": 26,
    "fps": 30,
    "ignore_index": 255,
    "class_names": ["a", "b"],
    "hardware": "GPU",
}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"num_classes": 3, "class_names": ["a", "b", "c"]}, {"num_classes", "class_names"}),
        ({"latency_ms": 27}, {"latency_ms"}),
        ({"latency_ms": 99}, {"latency_ms", "frame_offset"}),
        ({"fps": 25}, {"fps"}),
        ({"ignore_index": 0}, {"ignore_index"}),
        ({"ignore_index": None}, {"ignore_index"}),
        ({"class_names": None}, {"class_names"}),
        ({"before_first": "void"}, {"before_first"}),
        ({"hardware": None}, {"hardware"}),
    ],
)
def test_differences_are_named(change, named):
    one, other = make_config(**BASE), make_config(**{**BASE, **change})
    assert {text.split(":")[0] for text in one.differences(other)} == named


def test_equal_configurations_do_not_differ():
    assert make_config(**BASE).differences(make_config(**{**BASE, "fps": "30", "latency_ms": 26.0})) == []


# ── JSON ──


OPTIONS = st.fixed_dictionaries(
    {
        "latency_ms": st.one_of(st.floats(0, 1e6), st.integers(0, 10**6)),
        "fps": st.one_of(
            st.floats(0.01, 1e4),
            st.integers(1, 10**6),
            st.fractions(min_value=Fraction(1, 100), max_value=1000),
            st.sampled_from(["29.97", "30000/1001", 1 / 0.0667]),
        ),
        "ignore_index": st.one_of(st.none(), st.integers(-(2**70), 2**70)),
        "class_names": st.one_of(st.none(), st.lists(st.text(), min_size=3, max_size=3)),
        "before_first": st.sampled_from(["skip", "void"]),
        "hardware": st.one_of(st.none(), st.text()),
    }
)


def test_json_names_the_hardware_as_files_of_all_releases_do():
    record = make_config(2, hardware="GPU").to_dict()
    assert (record["device"], "hardware" in record) == ("GPU", False)
    assert ScoreConfig.from_dict(record).hardware == "GPU"


@given(OPTIONS)
def test_law_any_configuration_survives_json(options):
    config = make_config(3, **options)
    assert ScoreConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_frame_rate_with_many_digits_survives_json():
    config = make_config(2, latency_ms=26, fps=29.83749382)  # a measured rate
    assert ScoreConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
