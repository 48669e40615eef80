"""Weights from files: verified, read as tensors alone, fitted whole or not at all. Downloads come from files here."""

import hashlib
import shutil

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from flame_metric import ConfigError, DatasetError  # noqa: E402
from flame_metric.networks import DeepLabV3Plus, SwiftNet, build, read_state, weights  # noqa: E402
from flame_metric.networks.mobilenet import mobilenet_v2  # noqa: E402
from flame_metric.networks.resnet import resnet18  # noqa: E402


def save(state, folder, stem="network"):
    """Write a state under a name with its hash, as torchvision does."""
    plain = folder / "plain.pth"
    torch.save(state, plain)
    return plain.rename(folder / f"{stem}-{hashlib.sha256(plain.read_bytes()).hexdigest()[:8]}.pth")


def as_torchvision(body, **extra):
    """The state of a body with what torchvision's file holds beside it, and without counters, as in old files."""
    torch.manual_seed(5)
    state = {key: torch.randn_like(value.float()) for key, value in body.state_dict().items()}
    return {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")} | extra


@pytest.fixture(scope="module")
def resnet_state():
    return as_torchvision(resnet18(), **{"fc.weight": torch.ones(1000, 512), "fc.bias": torch.ones(1000)})


@pytest.fixture(scope="module")
def resnet_file(resnet_state, tmp_path_factory):
    return save(resnet_state, tmp_path_factory.mktemp("weights"), "resnet18")


@pytest.fixture
def cache(tmp_path, monkeypatch, resnet_file):
    """PyTorch's cache in a folder of the test; the server is the folder of ``resnet_file``."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setattr(weights, "_URL", resnet_file.parent.as_uri() + "/")
    monkeypatch.setitem(weights.IMAGENET_FILES, "resnet18", resnet_file.name)
    return tmp_path / "hub" / "checkpoints" / resnet_file.name


def assert_has(network, state):
    own = network.backbone.state_dict()
    shared = own.keys() & state.keys()
    assert all(torch.equal(own[key], state[key]) for key in shared)
    return len(shared)


# ── a file ──


def test_state_of_a_file(tmp_path):
    state = {"a": torch.arange(3), "b.c": torch.ones(2, 2)}
    for path in (save(state, tmp_path), str(save(state, tmp_path))):
        found = read_state(path)
        assert list(found) == ["a", "b.c"]
        assert all(torch.equal(found[key], value) for key, value in state.items())


def test_names_without_a_hash_are_not_verified(tmp_path):
    for name in ("model.pth", "model-3.pth", "epoch-200.pt", "run-deadbeef.ckpt"):
        torch.save({"a": torch.ones(1)}, tmp_path / name)
        assert read_state(tmp_path / name)["a"] == 1


@pytest.mark.parametrize("name", ["model-01234567.pth", "model-0123456789abcdef.pt"])
def test_another_hash_is_refused(name, tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / name)
    wanted = name.split("-")[1].split(".")[0]
    with pytest.raises(
        DatasetError, match=rf"{name} has SHA-256 [0-9a-f]{{16}}\.\.\., expected {wanted}\.\.\."
    ) as caught:
        read_state(tmp_path / name)
    assert caught.value.path == str(tmp_path / name)


def test_one_flipped_bit_is_found(resnet_file, tmp_path):
    damaged = tmp_path / resnet_file.name
    content = bytearray(resnet_file.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(DatasetError, match="it is cut, damaged or renamed; remove it and get it anew"):
        build("swiftnet-r18", 3, weights=damaged)


class Surprise:
    """Code that a pickle would run."""

    def __reduce__(self):
        return (print, ("this must not be printed",))


def test_objects_are_refused_and_no_code_runs(tmp_path, capsys):
    torch.save({"a": torch.ones(1), "b": Surprise()}, tmp_path / "model.pth")
    with pytest.raises(DatasetError, match=r"model\.pth cannot be read as weights .* and no other objects") as caught:
        read_state(tmp_path / "model.pth")
    assert caught.value.path == str(tmp_path / "model.pth")
    assert "this must not be printed" not in capsys.readouterr().out


def test_a_pickled_network_is_refused(tmp_path):
    torch.save(torch.nn.Linear(1, 1), tmp_path / "model.pth")
    with pytest.raises(DatasetError, match="cannot be read as weights"):
        read_state(tmp_path / "model.pth")


@pytest.mark.parametrize(
    ("content", "held"),
    [
        ([torch.ones(1)], "list"),
        (torch.ones(1), "Tensor"),
        ({"epoch": 3, "model": {"a": torch.ones(1)}}, "dict of epoch, model"),
        ({0: torch.ones(1)}, "dict of 0"),
    ],
)
def test_what_is_no_state_is_refused(content, held, tmp_path):
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(DatasetError, match=rf"model\.pth holds {held}, expected a state_dict: tensors under names"):
        read_state(tmp_path / "model.pth")


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"PK\x03\x04 cut"])
def test_other_files_are_refused(content, tmp_path):
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(DatasetError, match=r"model\.pth cannot be read as weights"):
        read_state(tmp_path / "model.pth")


def test_a_cut_file_is_refused(tmp_path):
    torch.save({"a": torch.ones(1000)}, tmp_path / "model.pth")
    whole = (tmp_path / "model.pth").read_bytes()
    (tmp_path / "model.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match=r"model\.pth cannot be read as weights"):
        read_state(tmp_path / "model.pth")


@pytest.mark.parametrize("as_archive", [True, False], ids=["archive", "as before PyTorch 1.6"])
def test_damage_is_said_in_one_way(as_archive, tmp_path):
    """Numbers of a file without a hash in its name are not protected; what holds them together is."""
    path = tmp_path / "model.pth"
    torch.save({"weight": torch.ones(5), "bias": torch.ones(2)}, path, _use_new_zipfile_serialization=as_archive)
    whole = path.read_bytes()
    refused = []
    for place in range(0, len(whole), 23):
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]):
            path.write_bytes(content)
            try:
                read_state(path)
            except DatasetError as error:
                refused.append(error)
    assert len(refused) > len(whole) / 23 / 2
    assert {error.path for error in refused} == {str(path)}


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(DatasetError, match=r"model\.pth cannot be read \(No such file or directory\)") as caught:
        build("swiftnet-r18", 3, weights=tmp_path / "model.pth")
    assert caught.value.path == str(tmp_path / "model.pth")
    with pytest.raises(DatasetError, match=r"cannot be read \(Is a directory\)"):
        read_state(tmp_path)
    with pytest.raises(ConfigError, match="`path` is None, expected the name of a file"):
        read_state(None)


# ── a backbone ──


@pytest.mark.parametrize("frames", [1, 2])
def test_backbone_from_a_file(frames, resnet_file, resnet_state):
    network = build("swiftnet-r18", 3, frames=frames, weights=str(resnet_file))
    first = resnet_state["conv1.weight"]
    rest = {key: value for key, value in resnet_state.items() if key != "conv1.weight"}
    assert assert_has(network, rest) == 99  # 120 entries less 20 counters and the first kernel
    assert torch.equal(network.backbone.conv1.weight, torch.cat([first / frames] * frames, 1))


def test_wider_stems_leave_the_first_kernel_out(resnet_file, resnet_state):
    for network in (
        build("swiftnet-r18-x", 3, weights=resnet_file),
        build("swiftnet-r18", 3, frames=2, translations=9, weights=resnet_file),
    ):
        assert assert_has(network, resnet_state) == 99
        assert not any(torch.equal(value, resnet_state["bn1.weight"]) for value in network.backbone.conv1.parameters())


def test_he_draws_the_first_kernel_even_with_weights(resnet_file, resnet_state):
    network = SwiftNet(3, frames=2, init="he", weights=resnet_file)
    assert assert_has(network, {k: v for k, v in resnet_state.items() if k != "conv1.weight"}) == 99
    assert network.backbone.conv1.weight.std() < 0.1 < resnet_state["conv1.weight"].std()


def test_mobilenet_leaves_its_last_convolution_out(tmp_path):
    beside = {
        "features.18.0.weight": torch.ones(1280, 320, 1, 1),
        **{f"features.18.1.{key}": torch.ones(1280) for key in ("weight", "bias", "running_mean", "running_var")},
        "classifier.1.weight": torch.ones(1000, 1280),
        "classifier.1.bias": torch.ones(1000),
    }
    state = as_torchvision(mobilenet_v2(), **beside)
    network = DeepLabV3Plus(3, backbone="mobilenet_v2", weights=save(state, tmp_path))
    assert assert_has(network, state) == len(state) - len(beside)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"layer9.weight": torch.ones(1)}, "layer9.weight is unknown"),
        ({"bn1.weight": torch.ones(3)}, r"bn1.weight is \(3,\) instead of \(64,\)"),
        ({"bn1.weight": None}, "bn1.weight is missing"),
    ],
)
def test_weights_that_do_not_fit(change, fault, resnet_state, tmp_path):
    state = {key: value for key, value in (resnet_state | change).items() if value is not None}
    path = save(state, tmp_path)
    with pytest.raises(
        DatasetError, match=rf"as resnet18: 1 of 120 entries do not fit \({fault}\), expected"
    ) as caught:
        build("swiftnet-r18", 3, weights=path)
    assert caught.value.path == str(path)


def test_weights_of_another_network(resnet_file):
    with pytest.raises(
        DatasetError, match=r"as mobilenet_v2: \d+ of 306 entries do not fit \(features.0.0.weight is m"
    ):
        build("deeplab-mn", 3, weights=resnet_file)


# ── ImageNet's ──


def test_names_of_the_files():
    assert weights.IMAGENET_FILES == {
        "resnet18": "resnet18-f37072fd.pth",
        "resnet101": "resnet101-63fe2227.pth",
        "mobilenet_v2": "mobilenet_v2-b0353104.pth",
    }
    assert weights._URL == "https://download.pytorch.org/models/"


def test_imagenet_is_downloaded_once(cache, resnet_file, resnet_state, monkeypatch):
    assert not cache.exists()
    assert assert_has(build("swiftnet-r18", 3, weights="imagenet"), resnet_state) == 100
    assert cache.read_bytes() == resnet_file.read_bytes()
    monkeypatch.setattr(weights, "_URL", "file:///nowhere/")
    assert assert_has(build("swiftnet-r18", 3, weights="imagenet"), resnet_state) == 100


def test_a_damaged_cache_is_refused(cache, resnet_file):
    cache.parent.mkdir(parents=True)
    cache.write_bytes(resnet_file.read_bytes()[:-100])
    with pytest.raises(DatasetError, match=r"expected [0-9a-f]{8}\.\.\. as in its name: it is cut, damaged") as caught:
        build("swiftnet-r18", 3, weights="imagenet")
    assert caught.value.path == str(cache)


def test_a_download_with_another_hash_is_refused_and_not_kept(cache, resnet_file, tmp_path, monkeypatch):
    server = tmp_path / "server"
    server.mkdir()
    shutil.copy(resnet_file, server / resnet_file.name)
    with (server / resnet_file.name).open("ab") as stream:
        stream.write(b"more")
    monkeypatch.setattr(weights, "_URL", server.as_uri() + "/")
    with pytest.raises(DatasetError, match=r"cannot be downloaded .*invalid hash value") as caught:
        build("swiftnet-r18", 3, weights="imagenet")
    assert caught.value.path == str(cache)
    assert not cache.exists()


def test_no_network_says_what_to_do(cache, monkeypatch):
    monkeypatch.setattr(weights, "_URL", "file:///nowhere/")
    with pytest.raises(
        DatasetError,
        match=r"is missing and file:///nowhere/.* cannot be downloaded .*on another machine and give its path",
    ) as caught:
        build("swiftnet-r18", 3, weights="imagenet")
    assert caught.value.path == str(cache)


def test_an_address(cache, resnet_file, resnet_state, capsys):
    """Downloaded once, verified, and nothing printed where results are."""
    address = resnet_file.as_uri()
    assert assert_has(build("swiftnet-r18", 3, weights=address), resnet_state) == 100
    assert cache.read_bytes() == resnet_file.read_bytes()
    assert capsys.readouterr().out == ""
    cache.write_bytes(b"damaged")
    with pytest.raises(DatasetError, match="it is cut, damaged or renamed; remove it and get it anew"):
        build("swiftnet-r18", 3, weights=address)


@pytest.mark.parametrize(
    "address", ["https://example.org/resnet18.pth", "https://example.org/", "file:///resnet18-1.pth"]
)
def test_an_address_without_a_hash_is_not_asked(address, cache):
    with pytest.raises(ConfigError, match="whose file name ends in the first digits of its SHA-256, such as resnet18-"):
        build("swiftnet-r18", 3, weights=address)
    assert not cache.parent.exists()


@pytest.mark.parametrize("server", ["file:///nowhere/", "nothing://x/", "http://a b/"])
def test_an_address_that_leads_nowhere(server, cache, resnet_file):
    with pytest.raises(DatasetError, match=r"is missing and .* cannot be downloaded .*give its path as `weights`"):
        build("swiftnet-r18", 3, weights=server + resnet_file.name)


def test_a_cache_that_cannot_be_written(cache, resnet_file):
    cache.parent.parent.write_text("a file where the folder should be")
    with pytest.raises(DatasetError, match=r"cannot be downloaded .*give its path as `weights`"):
        build("swiftnet-r18", 3, weights="imagenet")
