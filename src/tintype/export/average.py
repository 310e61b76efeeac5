"""The weights of a run that are exported: averaged over its steps, or over several runs."""

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
    """Return a run's averaged weights in a network ready for inference, and the facts of the run.

    Of several runs it is the mean of their averaged weights ("model soup", Wortsman et al. 2022,
    arXiv 2203.05482), which is good for something only where they began with the same weights; what
    tells the others from the first run is then among its facts, under ``"averaged_with"``.

    Raises:
        CheckpointError: a run cannot be read, is of another version's network, or began otherwise
            than the first.
    """
    facts, parts = load_checkpoint(run)
    model, mean = rebuild(facts["name"], facts["config"]), parts["ema"]
    others_facts = []
    for count, path in enumerate(others, start=2):
        other, its = load_checkpoint(path)
        shapes = {name: tensor.shape for name, tensor in its["ema"].items()}
        if shapes != {name: tensor.shape for name, tensor in mean.items()}:
            raise CheckpointError(f"{path} is not of the same network as {run}: export it alone.")
        if other.get("started_with") != facts.get("started_with"):
            raise CheckpointError(
                f"{path} began with other weights than {run} (it: {other['start']}): their mean "
                "may be no network; export it alone."
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
        facts.pop("validation", None)  # what it measured is not of the mean
    try:
        model.load_state_dict(mean)
    except RuntimeError as error:
        raise CheckpointError(
            f"{run} was trained with another version of {facts['name']} ({error}); "
            "export it with that version, or train again."
        ) from error
    return model.eval(), facts


def training_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Return those facts of a run that belong on a card."""
    minutes = round(facts["elapsed"] / 60, 1)
    return {**{k: facts[k] for k in _KEPT if k in facts}, "minutes": minutes}
