"""The sizes in docs/scaling.md are those that the script computes."""

from pathlib import Path

import pytest

from benchmarks import scaling

PARAMETERS = {"resnet50": 25_557_032, "vit_b16": 86_567_656}  # as published
CHANNELS = {"resnet50": 26_560, "vit_b16": 0}  # of BatchNorm


@pytest.mark.parametrize("network", scaling.NETWORKS)
def test_a_step_adds_gradients_and_three_sums_a_channel(network):
    state = scaling.state_of(network, scaling.NETWORKS[network])
    expected = 4 * PARAMETERS[network] + 12 * CHANNELS[network]
    assert scaling.reduced_bytes(state) == expected
    assert scaling.sent_bytes(state, 1) == 0
    assert scaling.sent_bytes(state, 2) == expected


def test_the_page_has_the_table():
    page = (Path(__file__).parents[1] / "docs/scaling.md").read_text()
    for row in scaling.rows():
        assert "| " + " | ".join(map(str, row.values())) + " |" in page
