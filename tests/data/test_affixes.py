"""Which options make the names of two sides match."""

import pytest

from flame_metric.data.affixes import propose_affixes


@pytest.mark.parametrize(
    ("preds", "labels", "wanted"),
    [
        (["a_01_leftImg8bit"], ["a_01_gtFine_labelIds"], "--pred-suffix _leftImg8bit --label-suffix _gtFine_labelIds"),
        (["a_1", "a_2"], ["a_1_L", "a_2_L"], "--label-suffix _L"),
        (["a_1_L_pred", "a_2_L_pred"], ["a_1_L", "a_2_L"], "--pred-suffix _pred"),
        (["p_1", "p_2"], ["1", "2"], "--pred-prefix p_"),
        (["1_pred", "2_pred"], ["gt1_gt"], "--label-prefix gt --pred-suffix _pred --label-suffix _gt"),
        (["0001_v2", "0002_v2"], ["0001_v3", "0002_v3"], "--pred-suffix _v2 --label-suffix _v3"),
        (["0001_v2", "0002_v2"], ["0001", "0002"], "--pred-suffix _v2"),
        (["0001@2x", "0002@2x"], ["0001", "0003"], "--pred-suffix @2x"),
        (["0001 (a)", "0002 (a)"], ["0001", "0002"], "--pred-suffix ' (a)'"),
        (["model_v2_0001", "model_v2_0002"], ["0001", "0002"], "--pred-prefix model_v2_"),
        (["a_17", "b_17"], ["a_19", "b_19"], None),
        (["a_f17", "b_f17"], ["a_f19", "b_f19"], None),
        (["1", "2"], ["3", "4"], None),
        (["1", "2"], ["2", "3"], None),
        ([], ["1"], None),
        ([f"a_{number:04}" for number in range(400)] + ["z_0001"], ["z_0001"], None),
    ],
)
def test_affixes_are_proposed_from_all_names(preds: list[str], labels: list[str], wanted: str | None) -> None:
    assert propose_affixes(preds, labels) == ("" if wanted is None else f"; try {wanted}")
