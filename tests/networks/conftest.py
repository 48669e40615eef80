"""Networks whose numbers are calm: batch norms that know their inputs, as after training."""

import functools
from importlib.util import find_spec

import pytest


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small tensors gain nothing from threads, and lose much where others use the cores too."""
    if not find_spec("torch"):
        yield
        return
    import torch  # noqa: PLC0415 - where it is installed

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def settled():
    """Return a function that fits the running statistics of a network to noise, and puts it into evaluation mode."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    def settle(network):
        momenta = {norm: norm.momentum for norm in network.modules() if isinstance(norm, torch.nn.BatchNorm2d)}
        for norm in momenta:
            norm.momentum = 1.0
        parameter = next(network.parameters())
        with torch.no_grad():
            network.train()(torch.randn(2, 3 * network.frames, 32, 64).to(parameter))
        for norm, momentum in momenta.items():
            norm.momentum = momentum
        return network.eval()

    return settle


@pytest.fixture(scope="session")
def calm(settled):
    """Return a function from a name to its network of five classes, built and settled once: for reading only."""
    models = pytest.importorskip("flame_metric.networks")
    return functools.cache(lambda name, **options: settled(models.build(name, 5, **options)))
