"""Parameters and multiply-accumulates of every network, to the digit, at 1024x2048 on the meta device."""

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from flame_metric import ConfigError  # noqa: E402
from flame_metric.networks import DeepLabV3Plus, SwiftNet, build, network_cost  # noqa: E402

OF_THE_CODE = {"spp_grids": (8, 4, 2)}  # the three levels of the authors' code; the paper has a fourth
TABLE = [  # network, frames, options, parameters, GMAC
    (SwiftNet, 1, OF_THE_CODE, 11_797_071, 103.57),
    (SwiftNet, 2, OF_THE_CODE, 11_806_479, 108.50),
    (SwiftNet, 1, {"extended": True, **OF_THE_CODE}, 11_881_913, 147.91),
    (SwiftNet, 2, {"extended": True, **OF_THE_CODE}, 11_901_023, 157.93),
    (SwiftNet, 2, {"translations": 9, **OF_THE_CODE}, 11_945_703, 181.42),
    (SwiftNet, 2, {"translations": 17, **OF_THE_CODE}, 12_246_119, 338.85),
    (SwiftNet, 2, {"translations": 25, **OF_THE_CODE}, 12_697_063, 575.21),
    (SwiftNet, 2, {"translations": 81, **OF_THE_CODE}, 20_068_455, 4439.47),
    (SwiftNet, 2, {"translations": [(0, 0)] * 9, **OF_THE_CODE}, 11_945_703, 181.42),
    (DeepLabV3Plus, 1, {"backbone": "mobilenet_v2"}, 5_815_539, 210.42),
    (DeepLabV3Plus, 2, {"backbone": "mobilenet_v2"}, 5_816_403, 210.87),
    (DeepLabV3Plus, 1, {"backbone": "resnet101"}, 59_343_795, 708.87),
    (DeepLabV3Plus, 2, {"backbone": "resnet101"}, 59_353_203, 713.80),
]
BUILT = [  # name, frames, parameters with the paper's four levels of pooling
    ("swiftnet-r18", 1, 11_808_163),
    ("swiftnet-r18", 2, 11_817_571),
    ("swiftnet-r18-x", 1, 11_893_005),
    ("swiftnet-r18-x", 2, 11_912_115),
    ("deeplab-r101", 1, 59_343_795),
    ("deeplab-r101", 2, 59_353_203),
    ("deeplab-mn", 1, 5_815_539),
    ("deeplab-mn", 2, 5_816_403),
]
VARIANTS = [  # backbone, image pooling, convolutions of the decoder, parameters
    ("resnet101", True, 2, 59_343_795),
    ("resnet101", False, 2, 58_753_459),
    ("resnet101", True, 1, 58_753_459),
    ("mobilenet_v2", True, 2, 5_815_539),
    ("mobilenet_v2", False, 2, 5_667_571),
    ("mobilenet_v2", True, 1, 5_225_203),
]
GROUPS = [  # network, options, pretrained, new
    (SwiftNet, OF_THE_CODE, 11_176_512, 620_559),
    (SwiftNet, {"extended": True, **OF_THE_CODE}, 11_167_104, 714_809),
    (DeepLabV3Plus, {"backbone": "resnet101"}, 42_500_160, 16_843_635),
    (DeepLabV3Plus, {"backbone": "mobilenet_v2"}, 1_811_712, 4_003_827),
    # a first convolution that was expanded is pretrained, one that was drawn is new
    (SwiftNet, {"frames": 2, **OF_THE_CODE}, 11_185_920, 620_559),
    (SwiftNet, {"frames": 2, "init": "last", **OF_THE_CODE}, 11_185_920, 620_559),
    (SwiftNet, {"frames": 2, "init": "he", **OF_THE_CODE}, 11_167_104, 639_375),
    (SwiftNet, {"frames": 2, "translations": 9, **OF_THE_CODE}, 11_167_104, 778_599),
    (DeepLabV3Plus, {"frames": 2, "backbone": "mobilenet_v2"}, 1_812_576, 4_003_827),
    (DeepLabV3Plus, {"frames": 2, "init": "he", "backbone": "mobilenet_v2"}, 1_810_848, 4_005_555),
]


def on_meta(network, **options):
    with torch.device("meta"):
        return network(19, **options)


def size(parameters):
    return sum(parameter.numel() for parameter in parameters)


@pytest.mark.parametrize(("network", "frames", "options", "parameters", "gmac"), TABLE)
def test_cost(network, frames, options, parameters, gmac):
    cost = network_cost(on_meta(network, frames=frames, **options), 1024, 2048)
    assert (cost.parameters, round(cost.multiply_accumulates / 1e9, 2)) == (parameters, gmac)
    assert cost.size == (1024, 2048)


@pytest.mark.parametrize(("name", "frames", "parameters"), BUILT)
def test_parameters_of_the_papers_networks(name, frames, parameters):
    with torch.device("meta"):
        network = build(name, 19, frames=frames)
    assert size(network.parameters()) == parameters


@pytest.mark.parametrize(("backbone", "image_pooling", "decoder_convs", "parameters"), VARIANTS)
def test_parameters_of_variants(backbone, image_pooling, decoder_convs, parameters):
    options = {"backbone": backbone, "image_pooling": image_pooling, "decoder_convs": decoder_convs}
    assert size(on_meta(DeepLabV3Plus, **options).parameters()) == parameters


@pytest.mark.parametrize(("network", "options", "pretrained", "new"), GROUPS)
def test_parameter_groups(network, options, pretrained, new):
    built = on_meta(network, **options)
    groups = built.parameter_groups()
    assert [size(group) for group in groups] == [pretrained, new]
    listed = [id(parameter) for group in groups for parameter in group]
    assert len(listed) == len(set(listed))
    assert set(listed) == {id(parameter) for parameter in built.parameters()}


def test_parts_of_swiftnet():
    network = on_meta(SwiftNet, **OF_THE_CODE)
    parts = (network.backbone, network.pooling, network.upsampling, network.classifier)
    assert [size(part.parameters()) for part in parts] == [11_176_512, 116_476, 501_376, 2_707]


def test_counting_leaves_the_network_alone():
    network = build("deeplab-mn", 3).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    cost = network_cost(network, 33, 65)  # a batch of one, which training refuses
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}
    assert cost == network_cost(network.eval(), 33, 65)


@pytest.mark.parametrize(("height", "width", "argument"), [(0, 64, "height"), (64, 2.5, "width")])
def test_sizes_are_checked(height, width, argument):
    with pytest.raises(ConfigError, match=f"`{argument}` is .*, expected a whole number of pixels >= 1"):
        network_cost(on_meta(SwiftNet), height, width)


def test_other_modules_are_refused():
    with pytest.raises(ConfigError, match=r"`network` is Linear.*, expected what models\.build returns"):
        network_cost(torch.nn.Linear(1, 1), 32, 32)
