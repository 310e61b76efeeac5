"""The list of systems, their presets, and changes of settings."""

import dataclasses

import pytest

from tintype.errors import CheckpointError, SettingError, UnknownModelError
from tintype.models import MODELS, build, model_class, preset_of, rebuild
from tintype.models.base import TrainConfig


def test_unknown_names_get_a_hint():
    with pytest.raises(UnknownModelError, match="did you mean 'tint'"):
        build("tnit")
    with pytest.raises(UnknownModelError, match=r"no preset 'huge'.*small"):
        build("tint", "huge")
    with pytest.raises(SettingError, match="did you mean 'batch'"):
        build("tint", "test", {"bacth": 4})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": "4"}, "batch must be a value like 8, not '4'"),
        ({"batch": 4.5}, "batch must be"),
        ({"decoder": 16}, "decoder must be"),
        ({"hints": 1}, "hints must be"),
        ({"blocks": [1]}, "blocks must be 2 values"),
    ],
)
def test_values_of_another_kind_are_refused(changes, said):
    with pytest.raises(SettingError, match=said):
        build("tint", "test", changes)


def test_changes_reach_the_network_and_its_training():
    model, training = build("tint", "test", {"decoder": [8, 8, 16], "batch": 2, "ema": 0})
    assert (model.config.decoder, training.batch, training.ema) == ((8, 8, 16), 2, 0.0)
    assert training.crop == preset_of("tint", "test")[1].crop
    changes = {"milestones": [[100_000, 0.1]], "short_side": None}
    _, training = build("cic", "paper", changes)
    assert (training.milestones, training.short_side) == (((100_000, 0.1),), None)


def test_a_configuration_of_another_version_is_refused():
    config = dataclasses.asdict(preset_of("tint", "test")[0])
    with pytest.raises(CheckpointError, match="another version of tint"):
        rebuild("tint", config | {"forgotten": 1})


@pytest.mark.parametrize("name", [name for name in MODELS if model_class(name).paper])
def test_small_models_of_papers_fit_5_mb_and_one_store_of_photographs(name):
    model, training = build(name, "small")
    exported = sum(p.numel() for n, p in model.named_parameters() if model.is_exported(n))
    assert 2 * exported < 4.8e6  # float16; the graphs and the card come on top
    patches = name == "patchwise"  # each of a photograph of its own, a fifth of its area
    assert training.steps * training.batch >= (250_000 if patches else 300_000)
    assert (training.kept_side, training.min_color, training.min_chroma) == (144, 2.0, 0.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": 0}, "batch must be at least 1"),
        ({"milestones": [100, 0.5]}, "milestones must be pairs"),
        ({"milestones": [[100.5, 0.5]]}, "milestones must be pairs"),
        ({"milestones": [[100, -0.5]]}, "milestones must be pairs"),
        ({"betas": (1.5, 0.9)}, "betas must be two numbers"),
        ({"eps": -1.0}, "eps must be above 0"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"grad_clip": -1.0}, "grad_clip must be at least 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0"),
        ({"ema": 1.0}, "ema must be a number from 0"),
        ({"aspect_jitter": 1.0}, "aspect_jitter must be a number from 0"),
        ({"aspect_jitter": -0.1}, "aspect_jitter must be a number from 0"),
        ({"cooldown": 1.5}, "cooldown must be a share"),
        ({"faded": -0.1}, "faded must be a share"),
        ({"scale": 2.0}, "scale must be from 0.1 to 1.125"),
        ({"optimizer": "lion"}, "not 'lion'"),
        ({"augment": "more"}, "not 'more'"),
        ({"crop_sizes": (0,)}, "crop_sizes must be whole numbers"),
        ({"crop_sizes": (96.0,)}, "crop_sizes must be whole numbers"),
        ({"crop_sizes": ("96",)}, "crop_sizes must be whole numbers"),
        ({"crop_sizes": (96, 160)}, "at most 144"),
        ({"crop": 128, "short_side": 100}, "short_side of at least 144"),
    ],
)
def test_training_settings_out_of_range_are_refused(changes, said):
    with pytest.raises(SettingError, match=said):
        TrainConfig(**changes)
