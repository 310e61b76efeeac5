"""Load the averaged weights of a run, or their mean over several runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tintype.errors import CheckpointError
from tintype.models import rebuild
from tintype.models.base import ColorModel
from tintype.training.checkpoint import load_checkpoint

_KEPT = ("preset", "step", "photographs", "start", "teacher", "data", "train_config", "config")
_KEPT += ("seed", "labels", "validation", "torch", "device", "averaged_with")


def averaged_model(run: Path, *others: Path) -> tuple[ColorModel, dict[str, Any]]:
    """Return a model with the averaged weights of a run, in evaluation mode, and the run's facts.

    With several runs, weights are the mean of their averaged weights ("model soup", Wortsman et al.
    2022, arXiv 2203.05482). That works only for runs with the same initial weights. The facts in
    which the other runs differ from the first are then in the facts, as ``"averaged_with"``.

    Raises:
        CheckpointError: a run cannot be read, has another network, or had other initial weights.
    """
    facts, parts = load_checkpoint(run)
    model, mean = rebuild(facts["name"], facts["config"]), parts["ema"]
    others_facts = []
    for count, path in enumerate(others, start=2):
        other, its = load_checkpoint(path)
        shapes = {name: tensor.shape for name, tensor in its["ema"].items()}
        if shapes != {name: tensor.shape for name, tensor in mean.items()}:
            raise CheckpointError(f"{path} has another network than {run}: export it alone.")
        if other.get("started_with") != facts.get("started_with"):
            raise CheckpointError(
                f"{path} had other initial weights ({other['start']}) than {run}, so their mean "
                "would not work: export it alone."
            )
        for name, tensor in its["ema"].items():
            if tensor.is_floating_point():
                mean[name] = mean[name] + (tensor - mean[name]) / count
        others_facts.append(training_facts(other))
    if others_facts:
        known = training_facts(facts)
        facts["averaged_with"] = [
            {k: v for k, v in run_facts.items() if k != "validation" and known.get(k) != v}
            for run_facts in others_facts
        ]
        facts.pop("validation", None)  # not measured on the mean
    try:
        model.load_state_dict(mean)
    except RuntimeError as error:
        raise CheckpointError(
            f"{run} was trained with another version of {facts['name']} ({error}); "
            "export it with that version, or train again."
        ) from error
    return model.eval(), facts


def training_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of a run that are written on a card."""
    minutes = round(facts["elapsed"] / 60, 1)
    return {**{k: facts[k] for k in _KEPT if k in facts}, "minutes": minutes}
