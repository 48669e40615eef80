"""The pictures of a report: layers are what an overlay would paint, and each file that does not fit is named."""

import base64
import io
from fractions import Fraction
from importlib import import_module

import numpy as np
import pytest

from flame_metric import ConfigError, DatasetError, LabelError, ShapeError, VideoDataset, VideoSequence, simulate_stream
from flame_metric.figures import overlay, palette
from flame_metric.report.clip import read_clip
from page_reading import lookup_of, read_page
from report_inputs import FPS, FRAMES, NAMES, SHAPE, VOID, Small, labels_of, predictions_of

pytest.importorskip("jinja2", reason="a report needs jinja2")
Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
report_page = import_module("flame_metric.report.page").report_page
write_png = import_module("flame_metric.data.images").write_png


def frame_of(clip, frame):
    grey = (labels_of(clip, frame) % 5 * 40 + 20).astype(np.uint8)
    return np.stack([grey, grey // 2, 255 - grey], axis=-1)


def dataset(names=NAMES, void=VOID, targets=labels_of):
    videos = tuple(
        VideoSequence(
            f"clip {clip}",
            [frame_of(clip, frame) for frame in range(FRAMES)],
            [targets(clip, frame) for frame in range(FRAMES)],
            Fraction(FPS),
        )
        for clip in range(3)
    )
    return VideoDataset("small videos", videos, names, void)


def write_maps(folder, wrong=0.2, clips=(0, 1, 2), frames=range(FRAMES)):
    for clip in clips:
        (folder / f"clip {clip}").mkdir(parents=True)
        for frame in frames:
            write_png(folder / f"clip {clip}" / f"{frame:06}.png", predictions_of(clip, frame, wrong))
    return folder


def pixels(uri: str):
    kind, _, content = uri.partition(",")
    assert kind in ("data:image/png;base64", "data:image/jpeg;base64")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def laid(frame, layer):
    """What a browser shows: a layer over a picture."""
    weight = layer[..., 3:].astype(float) / 255
    return frame * (1 - weight) + layer[..., :3] * weight


def test_layers_over_frames_are_overlays(tmp_path) -> None:
    clip = read_clip(dataset(), {"net": write_maps(tmp_path)}, clip="clip 1")
    assert (clip.name, clip.first, clip.length, clip.size) == ("clip 1", 0, FRAMES, SHAPE)
    options = {"palette": palette(NAMES), "ignore_index": VOID, "opacity": 0.45}
    for frame in (0, 5, FRAMES - 1):
        image, shown, wanted = frame_of(1, frame), predictions_of(1, frame, 0.2), labels_of(1, frame)
        prediction, truth = pixels(clip.predictions["net"][frame]), pixels(clip.truth[frame])
        np.testing.assert_allclose(laid(image, prediction), overlay(image, shown, **options), atol=1)
        np.testing.assert_allclose(laid(image, truth), overlay(image, wanted, **options), atol=1)
        assert pixels(clip.frames[frame]).shape == image.shape


def test_outlines_lie_on_the_borders_of_the_truth(tmp_path) -> None:
    clip = read_clip(dataset(), {"net": write_maps(tmp_path)})
    labels = labels_of(0, 3)
    lines = (pixels(clip.outlines[3]) == 255).all(axis=-1)
    differs = np.zeros(SHAPE, bool)
    differs[:-1, :-1] = (labels[1:, :-1] != labels[:-1, :-1]) | (labels[:-1, 1:] != labels[:-1, :-1])
    np.testing.assert_array_equal(lines, differs)


def test_large_frames_become_small_and_small_ones_stay(tmp_path) -> None:
    large = VideoSequence(
        "large", [np.zeros((100, 400, 3), np.uint8)] * 2, [np.zeros((100, 400), int)] * 2, Fraction(10)
    )
    (tmp_path / "large").mkdir()
    labels = np.zeros((100, 400), np.uint8)
    labels[:, 200:] = 1
    for frame in range(2):
        write_png(tmp_path / "large" / f"{frame:06}.png", labels)
    clip = read_clip(VideoDataset("one", (large,), ("a", "b")), {"net": tmp_path}, width=80)
    assert clip.size == (20, 80)
    assert pixels(clip.frames[0]).shape == (20, 80, 3)
    layer = pixels(clip.predictions["net"][0])
    assert (layer[:, :39, :3] == palette(("a", "b"))[0]).all()
    assert (layer[:, 41:, :3] == palette(("a", "b"))[1]).all()


def test_as_many_frames_as_are_wanted(tmp_path) -> None:
    maps = {"net": write_maps(tmp_path)}
    assert len(read_clip(dataset(), maps, max_frames=5).frames) == 5
    late = dataset(targets=lambda clip, frame: labels_of(clip, frame) if frame == 9 else None)
    clip = read_clip(late, maps, max_frames=4)
    assert (clip.first, len(clip.frames)) == (6, 4)  # so that the labelled frame is there
    assert [layer is not None for layer in clip.truth] == [False, False, False, True]
    assert [clip.index(frame) for frame in (5, 6, 9, 10)] == [-1, 0, 3, -1]


def test_frames_that_were_not_run_have_no_layer(tmp_path) -> None:
    clip = read_clip(dataset(), {"net": write_maps(tmp_path, frames=range(4, FRAMES, 2))})
    assert [layer is not None for layer in clip.predictions["net"]] == [
        frame in range(4, FRAMES, 2) for frame in range(FRAMES)
    ]


def test_void_without_a_label_for_it(tmp_path) -> None:
    """A run writes void as the number of classes where the data set has no label for it."""
    (tmp_path / "clip 0").mkdir()
    labels = predictions_of(0, 0, 0.2)
    labels[6:, :9] = len(NAMES)
    write_png(tmp_path / "clip 0" / "000000.png", labels)
    whole = dataset(
        void=None, targets=lambda clip, frame: np.where(labels_of(clip, frame) == VOID, 0, labels_of(clip, frame))
    )
    layer = pixels(read_clip(whole, {"net": tmp_path}).predictions["net"][0])
    np.testing.assert_array_equal(layer[..., 3] == 0, labels == len(NAMES))


def test_errors(tmp_path) -> None:
    maps = write_maps(tmp_path / "maps", clips=(0,))
    with pytest.raises(
        ConfigError, match=r"there is no video 'clip 7' in small videos, expected one of clip 0, clip 1, clip 2"
    ):
        read_clip(dataset(), {"net": maps}, clip="clip 7")
    with pytest.raises(ConfigError, match="there is no video with labels in small videos"):
        read_clip(dataset(targets=lambda clip, frame: None), {"net": maps})
    with pytest.raises(
        DatasetError, match=r"maps: holds no label map of clip 1, such as .*clip 1/000000.png; expected what"
    ):
        read_clip(dataset(), {"net": maps}, clip="clip 1")
    with pytest.raises(ConfigError, match="`max_frames` is 1"):
        read_clip(dataset(), {"net": maps}, max_frames=1)
    with pytest.raises(ConfigError, match="`width` is 8"):
        read_clip(dataset(), {"net": maps}, width=8)
    write_png(maps / "clip 0" / "000003.png", np.zeros((5, 5), np.uint8))
    with pytest.raises(ShapeError, match=r"000003.png has shape \(5, 5\), expected \(12, 30\)"):
        read_clip(dataset(), {"net": maps})
    write_png(maps / "clip 0" / "000003.png", np.full(SHAPE, 77, np.uint8))
    with pytest.raises(LabelError, match=r"000003.png: .*77"):
        read_clip(dataset(), {"net": maps})


# ── in the page ──


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = write_maps(tmp_path_factory.mktemp("maps"))
    evaluation = Small().evaluation()
    return read_page(report_page({"net": evaluation}, dataset=dataset(), label_maps={"net": folder}, clip="clip 2"))


def test_the_page_shows_a_moment_without_its_script(page) -> None:
    section = page.one("section", id="frames")
    last = FRAMES - 1
    assert section.one("p", id="moment").text == (
        f"Frame {last} is current. On screen is the prediction for frame {last - 3}, 3 frames before."
    )
    captions = [one.text for one in section.find("figcaption")]
    assert [caption.partition(":")[0] for caption in captions] == [
        f"frame {last - 3}",
        f"frame {last}",
        f"frame {last}",
    ]
    clip = lookup_of(page)["clip"]
    images = [one.attributes["src"] for one in section.find("img")]
    then = last - 3
    assert images == [
        clip["frames"][then],
        clip["predictions"][0][then],
        clip["frames"][last],
        clip["predictions"][0][then],
        clip["outlines"][last],
        clip["frames"][last],
        clip["truth"][last],
    ]
    assert all("alt" in one.attributes for one in section.find("img"))


def test_what_is_on_screen_is_what_the_simulation_says(page) -> None:
    lookup = lookup_of(page)
    (network,) = lookup["networks"]
    for rate, every in enumerate(lookup["every"]):
        for scale, factor in enumerate((Fraction(1, 4), Fraction(1, 2), 1, 2, 4)):
            view = network["views"][network["cells"][rate][scale][0]]
            fixed, live = (None if number < 0 else lookup["shown"][number] for number in view["shown"])
            offset = int(view["cells"][1]) * every
            taken = range(0, FRAMES, every)
            assert fixed == [(max(-1, frame - offset) if frame in taken else -2) for frame in range(FRAMES)]
            if live is not None:
                fps = Fraction(FPS) / every
                stream = simulate_stream(130 * factor, num_frames=len(taken), fps=fps)
                source = [number * every if number >= 0 else -1 for number in stream.source.tolist()]
                assert [live[frame] for frame in taken] == source
            assert (live is None) == (view["cells"][5] == "–")


def test_several_networks_and_those_without_label_maps(tmp_path) -> None:
    networks = {
        name: Small(wrong).evaluation(latency)
        for name, wrong, latency in (("a", 0.1, 170), ("b", 0.2, 70), ("c", 0.3, 20))
    }
    maps = {"b": write_maps(tmp_path / "b"), "c": write_maps(tmp_path / "c", 0.3)}
    page = read_page(report_page(networks, dataset=dataset(), label_maps=maps))
    predictions = lookup_of(page)["clip"]["predictions"]
    assert predictions[0] is None
    assert predictions[1] != predictions[2]
    assert page.one("p", id="moment").text.endswith("for frame 11, 2 frames before.")  # of b


def test_what_does_not_fit(tmp_path) -> None:
    maps = write_maps(tmp_path, clips=(0,))
    with pytest.raises(ConfigError, match=r"`label_maps` has 'other', expected some of net"):
        report_page({"net": Small().evaluation()}, dataset=dataset(), label_maps={"other": maps})
    with pytest.raises(ConfigError, match=r"small videos has 5 classes, but 4 were scored"):
        report_page({"net": Small().evaluation()}, dataset=dataset((*NAMES, "boat")), label_maps={"net": maps})
