"""The paper's Table 1, read again here from the printed table."""

import pytest

from flame_metric import frame_offset
from flame_metric.paper.published import paper_table

COLUMNS = {  # static, FLAME of the three trainings, k, ms, fps
    "deeplab-r101": ("DeepLab-R101", 0.77, 0.495, 0.53, 0.60, 4, 195, 5),
    "deeplab-mn": ("DeepLab-MN", 0.72, 0.56, 0.565, 0.58, 2, 76, 13),
    "swiftnet-r18": ("SwiftNet-R18", 0.75, 0.64, 0.65, 0.67, 1, 26, 38),
    "swiftnet-r18-x": ("SwiftNet-R18-X", 0.735, 0.63, 0.635, 0.685, 1, 38, 26),
}


def test_columns():
    found = {name: tuple(vars(network).values()) for name, network in paper_table().networks.items()}
    assert found == COLUMNS


@pytest.mark.parametrize("name", COLUMNS)
def test_frame_offsets_follow_from_latencies(name):
    table = paper_table()
    network = table.networks[name]
    assert frame_offset(network.latency_ms, table.fps) == network.frame_offset


@pytest.mark.parametrize("name", COLUMNS)
def test_rates_follow_from_latencies(name):
    network = paper_table().networks[name]
    assert round(1000 / network.latency_ms) == network.fps


def test_read_only():
    with pytest.raises(TypeError):
        paper_table().networks["another"] = None
