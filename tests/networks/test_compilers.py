"""The same scores after torch.compile, torch.export and ONNX, in another memory format, and under autocast."""

import copy

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from flame_metric.networks import NAMES  # noqa: E402

pytestmark = pytest.mark.slow

NETWORKS = [*((name, {}) for name in NAMES), ("swiftnet-r18", {"frames": 2, "translations": 9})]
each_network = pytest.mark.parametrize(("name", "options"), NETWORKS)


def example(network, height=33, width=65):
    return torch.randn(1, 3 * network.frames, height, width, generator=torch.Generator().manual_seed(0))


def run(network, frames):
    with torch.inference_mode():
        return network(frames)


@each_network
def test_compile(name, options, calm):
    """As one graph without a break; a backend that needs no compiler."""
    network = calm(name, **options)
    frames = example(network)
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    assert torch.equal(run(compiled, frames), run(network, frames))


def test_compile_for_another_size(calm):
    network = calm("swiftnet-r18")
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    for height, width in ((33, 65), (40, 64)):
        frames = example(network, height, width)
        assert torch.equal(run(compiled, frames), run(network, frames))


def test_compile_for_training(calm):
    network = copy.deepcopy(calm("swiftnet-r18", frames=2)).double().train()
    twin = copy.deepcopy(network)
    torch._dynamo.reset()
    frames = torch.randn(2, 6, 33, 65, dtype=torch.float64)
    torch.compile(network, backend="aot_eager", fullgraph=True)(frames).square().mean().backward()
    twin(frames).square().mean().backward()
    scale = max(parameter.grad.abs().max().item() for parameter in twin.parameters())
    for (key, ours), theirs in zip(network.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-9 * scale, msg=key)


@each_network
def test_export(name, options, calm):
    network = calm(name, **options)
    frames = example(network)
    exported = torch.export.export(network, (frames,)).module()
    torch.testing.assert_close(run(exported, frames), run(network, frames))


@each_network
def test_channels_last(name, options, calm):
    network = calm(name, **options)
    frames = example(network)
    expected = run(network, frames)
    moved = copy.deepcopy(network).to(memory_format=torch.channels_last)
    found = run(moved, frames.to(memory_format=torch.channels_last))
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3 * expected.abs().max().item())


@each_network
def test_autocast(name, options, calm):
    network = calm(name, **options)
    frames = example(network)
    with torch.autocast("cpu", torch.bfloat16):
        found = run(network, frames)
    expected = run(network, frames)
    assert found.dtype == torch.bfloat16
    assert found.shape == expected.shape
    assert found.isfinite().all()
    if name.startswith("swiftnet"):  # the others, deep and untrained, amplify what is rounded
        assert (found.float() - expected).abs().mean() < 0.1 * expected.abs().mean()


# PyTorch's exporter uses names that PyTorch has deprecated.
@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.:FutureWarning")
@each_network
def test_onnx(name, options, calm, tmp_path):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    import onnxruntime  # noqa: PLC0415 - where it is installed

    network = calm(name, **options)
    frames = example(network)
    path = tmp_path / "network.onnx"
    torch.onnx.export(network, (frames,), path, input_names=["frames"], dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"frames": frames.numpy()})
    expected = run(network, frames)
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=0, atol=1e-3 * expected.abs().max().item())
