"""Let there be Color!: the printed layers, the two losses, and the view of the whole."""

import pytest
import torch

from tintype.models import build
from tintype.models.base import Batch
from tintype.models.letcolor import LetColor


def _batch(labels=None):
    torch.manual_seed(0)
    return Batch(torch.rand(4, 1, 64, 64), torch.rand(4, 3, 64, 64), labels)


def test_paper_has_the_printed_layers():
    model = build("letcolor", "paper")[0]
    assert isinstance(model, LetColor)
    convs = [(m.out_channels, m.stride[0]) for m in model.low if isinstance(m, torch.nn.Conv2d)]
    assert convs == [(64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1)]
    assert [m.out_features for m in model.glob_fc if hasattr(m, "out_features")] == [1024, 512]
    assert model.glob_fc[0].in_features == 7 * 7 * 512
    assert model.classifier[-1].out_features == 205


def test_unlabelled_photographs_leave_the_loss_of_classes_out():
    model = build("letcolor", "test")[0]
    unlabelled = model.loss(_batch())
    assert "label" not in unlabelled
    assert "give a --teacher" in model.warnings(unlabelled)[0]
    assert not build("letcolor", "test", {"alpha": 0.0})[0].warnings(unlabelled)
    assert unlabelled["loss"].item() == unlabelled["mse"].item()
    labels = torch.eye(10)[:4]
    labelled = model.loss(_batch(labels))
    expected = labelled["mse"] + model.config.alpha * labelled["label"]
    torch.testing.assert_close(labelled["loss"].detach(), expected)
    assert model.warnings({"mse": 0.1})
    assert not model.warnings({"mse": 0.1, "label": 2.0})


def test_far_corner_changes_colors_everywhere_through_the_global_branch():
    model = build("letcolor", "test", {"maps": 8})[0]
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            layer.momentum = 1.0
    model(torch.rand(8, 1, 64, 64))
    model.eval()
    gray = torch.full((1, 1, 64, 256), 0.5)
    other = gray.clone()
    other[..., :64] = torch.rand(64, 64)
    change = (model(gray) - model(other)).abs()
    assert change[..., -1].max() > 1e-6


@pytest.mark.parametrize("size", [(64, 64), (72, 104)])
def test_ab_at_half_the_size_stay_within_the_range_of_the_sigmoid(size):
    ab = build("letcolor", "test")[0].eval()(torch.rand(2, 1, *size))
    assert ab.shape == (2, 2, size[0] // 2, size[1] // 2)
    assert ab.abs().max() <= 100
