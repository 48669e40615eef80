"""Folders of transformers: the labels of a loop with the image processor, to the last pixel; and what is refused."""

import dataclasses
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from flame_metric import FlameMeter, FlameResult
from flame_metric.cli import main
from flame_metric.data.registry import open_dataset
from flame_metric.errors import ConfigError, DatasetError
from flame_metric.networks import load_network

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

CLASSES = 5
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 50, 70, 3)).astype(np.uint8)


def small(num_labels=CLASSES, **options):
    config = transformers.SegformerConfig(
        num_labels=num_labels,
        hidden_sizes=[8, 16, 24, 32],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=16,
        **options,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.SegformerForSemanticSegmentation(config).eval()


def processor(**options):
    return transformers.SegformerImageProcessor(**{"do_resize": False, **options})


@pytest.fixture(scope="module")
def network():
    return small()


@pytest.fixture
def folder(network, tmp_path):
    """Return a function that saves the network with a processor."""

    def save(saved=None, with_processor=None):
        path = tmp_path / "segformer"
        (saved or network).save_pretrained(path)
        (with_processor or processor()).save_pretrained(path)
        return str(path)

    return save


def by_hand(network, with_processor, frame, dtype=torch.float32):
    """Labels as the documentation of transformers has it, and the scores that they come from."""
    with torch.inference_mode():
        inputs = with_processor(frame, return_tensors="pt")["pixel_values"]
        outputs = network(pixel_values=inputs.to(dtype))
        size = frame.shape[:2]
        (labels,) = with_processor.post_process_semantic_segmentation(outputs, target_sizes=[size])
        scores = torch.nn.functional.interpolate(outputs.logits, size, mode="bilinear", align_corners=False)
    return labels.tolist(), scores


def assert_equal(loaded, network, with_processor, dtype=torch.float32):
    """Labels, and scores to the last bit."""
    with loaded.runner.context():
        for frame in FRAMES:
            labels, scores = by_hand(network, with_processor, frame, dtype)
            prepared = loaded.runner.prepare(frame)
            assert loaded.runner.run(prepared).tolist() == labels
            assert torch.equal(loaded.runner.run.__self__.scores(prepared), scores)


# ── equal to a loop by hand ──


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"image_mean": [0.1, 0.6, 0.3], "image_std": [0.3, 0.05, 0.9]},
        {"do_normalize": False},
        {"do_rescale": False},
        {"do_rescale": False, "do_normalize": False},
        {"rescale_factor": 1 / 127.5, "image_mean": [1.0, 1.0, 1.0]},
    ],
)
def test_frames_at_their_own_size(options, folder, network):
    loaded = load_network(folder(None, processor(**options)), num_classes=CLASSES)
    assert (loaded.name, loaded.frames, loaded.runner.boundary) == ("segformer", 1, "end_to_end")
    assert_equal(loaded, network, processor(**options))


@pytest.mark.parametrize("size", [{"height": 64, "width": 64}, {"height": 30, "width": 90}])
def test_frames_as_the_processor_resizes_them(size, folder, network):
    resizing = processor(do_resize=True, size=size)
    loaded = load_network(folder(None, resizing), num_classes=CLASSES, resize="processor")
    assert_equal(loaded, network, resizing)
    assert loaded.runner.describe()["resize"] == "processor"


def test_resizing_is_a_choice(folder, network):
    resizing = processor(do_resize=True, size={"height": 64, "width": 64})
    path = folder(None, resizing)
    message = (
        r"`resize` is missing: .* has do_resize on \(size {'height': 64, 'width': 64}\), expected 'none' .* or 'pro"
    )
    with pytest.raises(ConfigError, match=message):
        load_network(path, num_classes=CLASSES)
    assert_equal(load_network(path, num_classes=CLASSES, resize="none"), network, processor())
    assert any(
        not torch.equal(by_hand(network, resizing, frame)[1], by_hand(network, processor(), frame)[1])
        for frame in FRAMES
    )
    with pytest.raises(ConfigError, match="`resize` is 'half', expected one of none, processor"):
        load_network(path, num_classes=CLASSES, resize="half")


def test_lower_precision(folder, network):
    loaded = load_network(folder(), num_classes=CLASSES, dtype="bfloat16")
    assert_equal(loaded, small().bfloat16(), processor(), torch.bfloat16)


def test_what_was_saved_in_lower_precision(folder):
    half = small().bfloat16()
    loaded = load_network(folder(half), num_classes=CLASSES, dtype="bfloat16")
    assert_equal(loaded, half, processor(), torch.bfloat16)


def test_another_network_whose_processor_crops_and_reverses(tmp_path):
    config = transformers.MobileViTConfig(
        num_labels=CLASSES,
        image_size=64,
        hidden_sizes=[16, 24, 32],
        neck_hidden_sizes=[8, 8, 16, 16, 16, 16, 24],
        aspp_out_channels=16,
        num_attention_heads=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = transformers.MobileViTForSemanticSegmentation(config).eval()
    cropping = transformers.MobileViTImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    network.save_pretrained(tmp_path)
    cropping.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"has do_resize, do_center_crop on"):
        load_network(str(tmp_path), num_classes=CLASSES)
    with pytest.raises(ConfigError, match="expected only do_resize: what it cuts off or adds has no place in a label"):
        load_network(str(tmp_path), num_classes=CLASSES, resize="processor")
    plain = transformers.MobileViTImageProcessor(do_resize=False, do_center_crop=False)
    frames = FRAMES[:, :48, :64]
    loaded = load_network(str(tmp_path), num_classes=CLASSES, resize="none")
    for frame in frames:
        assert loaded.runner(frame).tolist() == by_hand(network, plain, frame)[0]


def test_the_state_of_transformers_is_left_alone(folder):
    logging = transformers.utils.logging
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_network(folder(), num_classes=CLASSES)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_metadata(folder):
    described = load_network(folder(), num_classes=CLASSES).runner.describe()
    expected = {"device": "cpu", "dtype": "float32", "resize": "none", "transformers": transformers.__version__}
    assert {name: described[name] for name in expected} == expected


# ── classes ──

NAMES = ["road", "pavement", "building", "wall", "fence"]


def named(names):
    return small(id2label=dict(enumerate(names)), label2id={name: place for place, name in enumerate(names)})


def test_classes_of_the_data(folder):
    with pytest.raises(
        ConfigError, match=r"distinguishes 5 classes \(LABEL_0, LABEL_1, LABEL_2, ...\), expected 19, the"
    ):
        load_network(folder(), num_classes=19)
    load_network(folder(), num_classes=CLASSES, class_names=NAMES)  # unnamed classes are nobody's
    path = folder(named(NAMES))
    load_network(path, num_classes=CLASSES, class_names=[name.upper() for name in NAMES])
    load_network(path, num_classes=CLASSES, class_names=["street", *NAMES[1:]])  # who knows whether that is a road
    message = "has the data's classes in another order: class 3 is 'wall' there and 'fence' here"
    with pytest.raises(ConfigError, match=message):
        load_network(path, num_classes=CLASSES, class_names=[*NAMES[:3], "fence", "wall"])


# ── folders that are refused ──


def without(path, *names):
    for name in names:
        (Path(path) / name).unlink()
    return path


def changed(path, name, **values):
    file = Path(path) / name
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
    return path


def test_missing_files(folder):
    with pytest.raises(DatasetError, match=r"segformer has no config\.json, expected what save_pretrained"):
        load_network(without(folder(), "config.json"), num_classes=CLASSES)
    with pytest.raises(DatasetError, match=r"segformer has no preprocessor_config\.json"):
        load_network(without(folder(), "preprocessor_config.json"), num_classes=CLASSES)
    with pytest.raises(DatasetError, match=r"segformer cannot be loaded by transformers \(OSError: "):
        load_network(without(folder(), "model.safetensors"), num_classes=CLASSES)


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickled_weights_are_not_read(folder, tmp_path):
    path = without(folder(), "model.safetensors")
    (Path(path) / "pytorch_model.bin").write_bytes(pickle.dumps(Touch(tmp_path / "trace")))
    with pytest.raises(DatasetError, match="cannot be loaded by transformers"):
        load_network(path, num_classes=CLASSES)
    assert not (tmp_path / "trace").exists()


def test_code_in_a_folder_is_not_run(folder, tmp_path):
    code = f"from pathlib import Path\nPath({str(tmp_path / 'trace')!r}).touch()\n"
    path = changed(
        folder(),
        "config.json",
        model_type="unheard_of",
        auto_map={"AutoConfig": "evil.Config", "AutoModelForSemanticSegmentation": "evil.Network"},
    )
    (Path(path) / "evil.py").write_text(code)
    with pytest.raises(DatasetError, match="cannot be loaded by transformers"):
        load_network(path, num_classes=CLASSES)
    path = changed(folder(), "preprocessor_config.json", auto_map={"AutoImageProcessor": "evil.Processor"})
    changed(path, "preprocessor_config.json", image_processor_type="Unheard")
    with pytest.raises(DatasetError, match="cannot be loaded by transformers"):
        load_network(path, num_classes=CLASSES)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"use_pretrained_backbone": True}, "asks for what lies elsewhere .use_pretrained_backbone: True."),
        ({"attn_implementation": "someone/kernel"}, "asks for what lies elsewhere .attn_implementation: 'someone/kern"),
    ],
)
def test_nothing_is_fetched(values, message, folder):
    with pytest.raises(DatasetError, match=message):
        load_network(changed(folder(), "config.json", **values), num_classes=CLASSES)


def test_adapters(folder):
    path = folder()
    (Path(path) / "adapter_config.json").write_text("{}")
    with pytest.raises(DatasetError, match="holds an adapter of another network, expected a whole one"):
        load_network(path, num_classes=CLASSES)


def test_damaged_files(folder):
    path = folder()
    weights = Path(path) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(DatasetError, match=r"segformer cannot be loaded by transformers \(\w+: "):
        load_network(path, num_classes=CLASSES)
    path = folder()
    (Path(path) / "config.json").write_text("{")
    with pytest.raises(DatasetError, match=r"config\.json cannot be read: Expecting"):
        load_network(path, num_classes=CLASSES)


def test_weights_that_are_missing_are_not_drawn(folder, network, tmp_path):
    """As those of a head are, where a network was trained for another task."""
    body = transformers.SegformerForImageClassification(network.config)
    with pytest.raises(DatasetError, match=r"segformer lacks [0-9]+ of the network's weights, .* draw them at random"):
        load_network(folder(body), num_classes=CLASSES)
    path = folder()
    other = small()
    other.decode_head.classifier = torch.nn.Conv2d(16, 7, 1)
    shutil.rmtree(path)
    other.save_pretrained(path)
    processor().save_pretrained(path)
    with pytest.raises(DatasetError, match=r"lacks [0-9]+ of the network's weights|cannot be loaded by transformers"):
        load_network(path, num_classes=CLASSES)


def test_a_network_for_another_task(folder, tmp_path):
    config = transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    processor().save_pretrained(tmp_path / "bert")
    with pytest.raises(DatasetError, match=r"bert cannot be loaded by transformers \(ValueError: Unrecognized config"):
        load_network(str(tmp_path / "bert"), num_classes=CLASSES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 2}, "`frames` would change nothing: .* is a folder of transformers, which takes resize, device"),
        ({"upsample": "bilinear"}, "`upsample` would change nothing"),
        ({"device": "tpu"}, "`device` is"),
    ],
)
def test_options_that_are_refused(options, message, folder):
    with pytest.raises(ConfigError, match=message):
        load_network(folder(), num_classes=CLASSES, **options)


def test_without_transformers(run_python, tmp_path):
    (tmp_path / "folder").mkdir()
    program = (
        "import sys; sys.modules['transformers'] = None\n"
        "from flame_metric.networks import load_network\n"
        "try: load_network('folder', num_classes=5)\n"
        "except ImportError as error: print(type(error).__name__, error)\n"
    )
    expected = "MissingExtraError folder needs transformers: pip install 'flame-metric[huggingface]'"
    assert run_python(program) == expected


def test_on_the_command_line(tmp_path, capsys):
    """A folder and a data set; the static score is that of a loop by hand."""
    network, resizing = small(8), processor(do_resize=True, size={"height": 32, "width": 32})
    network.save_pretrained(tmp_path / "folder")
    resizing.save_pretrained(tmp_path / "folder")
    data = "synthetic:videos=1,num_frames=6,height=32,width=64"
    run = ["run", str(tmp_path / "folder"), data, "--latency-ms", "76", "--json", "-"]
    capsys.readouterr()
    assert main(run) == 2
    assert "`resize` is missing: the processor of" in capsys.readouterr().err
    for resize, by_processor in (("none", processor()), ("processor", resizing)):
        assert main([*run, "--resize", resize]) == 0
        found = json.loads(capsys.readouterr().out)
        (video,) = open_dataset(data).sequences
        meter = FlameMeter(8, ignore_index=255)
        preds = (np.array(by_hand(network, by_processor, frame)[0]) for frame in video.frames)
        meter.update_sequence(preds, video.targets, sequence=video.name)
        static = FlameResult.from_json(json.dumps(found["static"]))
        assert static.counts.tolist() == meter.compute().counts.tolist()


def test_nothing_is_said_while_loading(run_python, folder, capfd):
    path = folder()
    capfd.readouterr()
    load_network(path, num_classes=CLASSES)
    assert capfd.readouterr() == ("", "")
    assert dataclasses.is_dataclass(load_network(path, num_classes=CLASSES).runner)
