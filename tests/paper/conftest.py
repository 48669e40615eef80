"""What the tests of experiments share."""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A pool of threads takes longer to wake than such small networks and frames to pass."""
    if find_spec("torch") is None:
        yield
        return
    import torch  # noqa: PLC0415 - optional

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
