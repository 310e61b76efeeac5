"""PixColor's ResNet: weights of others, frozen at first, dilated."""

import noise
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tintype.errors import CheckpointError
from tintype.models import build
from tintype.models.backbones import Backbone, ResNet
from tintype.models.pixcolor import PixColor


def tiny(changes=None):
    torch.manual_seed(0)
    model, _ = build("pixcolor", "test", changes)
    assert isinstance(model, PixColor)
    return model


def torchvision_state(model, prefix=""):
    """Random weights of a ResNet with four groups, under torchvision's names."""
    torch.manual_seed(3)
    state = {}
    for name, tensor in model.conditioning.backbone.state_dict().items():
        random = torch.rand(tensor.shape) + 0.1
        state[prefix + name] = random if tensor.is_floating_point() else torch.tensor(7)
    state[f"{prefix}layer4.0.conv1.weight"] = torch.rand(4, 4, 1, 1)
    head = "classifier.4.bias" if prefix else "fc.bias"
    return {**state, head: torch.rand(21), "aux_classifier.4.bias": torch.rand(21)}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize(
    ("prefix", "whose"), [("", "a classifier"), ("backbone.", "a segmentation network")]
)
def test_a_resnet_is_loaded_under_torchvisions_names(tmp_path, prefix, whose, suffix):
    model = tiny({"freeze_steps": 5})
    state = torchvision_state(model, prefix)
    path = tmp_path / f"resnet{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    said = model.load_backbone(path)
    assert whose in said
    assert path.name in said
    for name, tensor in model.conditioning.backbone.state_dict().items():
        assert torch.equal(tensor, state[prefix + name])


def test_weights_of_2017_have_no_count_of_batches(tmp_path):
    model = tiny()
    state = {k: v for k, v in torchvision_state(model).items() if "num_batches" not in k}
    save_file(state, tmp_path / "old.safetensors")
    assert "classifier" in model.load_backbone(tmp_path / "old.safetensors")


def test_other_files_are_refused_with_what_is_wrong(tmp_path):
    model = tiny()
    state = torchvision_state(model)
    deeper = {**state, "layer3.1.conv1.weight": torch.rand(1)}
    wider = {**state, "conv1.weight": torch.rand(8, 3, 7, 7)}
    for wrong in (deeper, wider, {"stem.weight": torch.rand(1)}):
        save_file(wrong, tmp_path / "wrong.safetensors")
        with pytest.raises(CheckpointError, match=r"wrong\.safetensors"):
            model.load_backbone(tmp_path / "wrong.safetensors")
    (tmp_path / "no.pth").write_bytes(b"no weights")
    torch.save({"model": {}}, tmp_path / "nested.pth")
    for name in ("no.pth", "nested.pth", "absent.safetensors"):
        with pytest.raises(CheckpointError, match=name):
            model.load_backbone(tmp_path / name)


def test_a_loaded_backbone_is_frozen_for_the_first_steps(tmp_path):
    model = tiny({"freeze_steps": 5})
    save_file(torchvision_state(model), tmp_path / "resnet.safetensors")
    model.load_backbone(tmp_path / "resnet.safetensors")
    backbone = model.conditioning.backbone
    before = {k: v.clone() for k, v in backbone.state_dict().items()}
    model.train().loss(noise.batch(), 4)["loss"].backward()
    assert all(p.grad is None for p in backbone.parameters())
    assert all(torch.equal(v, before[k]) for k, v in backbone.state_dict().items())
    assert model.conditioning.adaptation[0].weight.grad is not None
    # A checkpoint knows that it is frozen, and measures of a validation do not end it.
    resumed = tiny({"freeze_steps": 5})
    resumed.load_state_dict(model.state_dict())
    resumed.train().loss(noise.batch(), 4)
    assert not resumed.conditioning.backbone.bn1.training
    model.eval().validation_metrics(noise.batch())
    model.train()
    assert not any(module.training for module in backbone.modules())
    model.loss(noise.batch(), 5)["loss"].backward()
    assert all(p.grad is not None for p in backbone.parameters())
    assert not torch.equal(backbone.bn1.running_mean, before["bn1.running_mean"])
    assert backbone.bn1.training


def test_small_starts_from_a_dilated_classifier_at_a_rate_of_its_own(tmp_path):
    torch.manual_seed(0)
    model, _ = build("pixcolor", "small")
    save_file(Backbone("efficientnet_lite0", inputs=3).state_dict(), tmp_path / "lite.safetensors")
    assert "EfficientNet-Lite0" in model.load_backbone(tmp_path / "lite.safetensors")
    assert model.conditioning.frozen
    (slow, rate), (rest, full) = model.parameter_groups()
    assert {id(p) for p in slow} == {id(p) for p in model.conditioning.backbone.parameters()}
    assert len(slow) + len(rest) == len(list(model.parameters()))
    assert (rate, full) == (0.5, 1.0)


def test_a_backbone_that_starts_from_nothing_is_trained_at_once():
    model = tiny({"freeze_steps": 5})
    model.loss(noise.batch(), 0)["loss"].backward()
    assert model.conditioning.backbone.conv1.weight.grad is not None


@torch.no_grad()
def test_a_dilated_group_gives_at_every_second_position_what_the_classifier_gives():
    torch.manual_seed(0)
    dilated, strided = ResNet((1, 1, 3), 4).eval(), ResNet((1, 1, 3), 4).eval()
    strided.load_state_dict(dilated.state_dict())
    for name in ("conv2", "downsample.0"):
        strided.layer3.get_submodule(f"0.{name}").stride = (2, 2)
    for block in (1, 2):
        conv = strided.layer3.get_submodule(f"{block}.conv2")
        conv.dilation = conv.padding = (1, 1)
    gray = torch.rand(1, 1, 64, 96)
    torch.testing.assert_close(dilated(gray)[:, :, ::2, ::2], strided(gray))


@torch.no_grad()
def test_gray_is_normalized_as_the_weights_expect():
    backbone = ResNet((1, 1, 1), 4).eval()
    seen = []
    backbone.conv1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    backbone(torch.full((1, 1, 8, 8), 0.5))
    expected = (0.5 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    assert np.allclose(seen[0][0, :, 3, 3], expected, atol=1e-6)
