"""What training a paper's preset takes: operations, and hours on one GPU of a given rate.

    python benchmarks/training_hours.py [--rate 75] [--systems cic pixcolor]

Operations are counted by torch on the CPU, of late steps of the loop on noise, forward and
backward, at the paper's crop; those of a second network are counted with it. A multiplication and
an addition are two operations; only convolutions, matrix products and attention are counted. The
batch is of two photographs: operations grow with it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import torch
from torch.utils.flop_counter import FlopCounterMode

from tintype.models import build
from tintype.models.base import Batch

#: Each paper's system, with the classes of the labels that it learns.
SYSTEMS = {"cic": 0, "pixcolor": 0, "pic": 0, "letcolor": 205, "adversarial": 1000, "patchwise": 0}
ILSVRC = 1_281_167  #: photographs of ILSVRC 2012's training set


def operations(system: str, preset: str = "paper", photographs: int = 2) -> float:
    """Return the operations of a late training step for each photograph, forward and backward.

    Args:
        system: a system of `SYSTEMS`.
        preset: preset of the system.
        photographs: size of the batch on which they are counted.
    """
    changes = {"classes": SYSTEMS[system]} if SYSTEMS[system] else {}
    model, config = build(system, preset, changes)
    model.start_training(torch.randn(1000, 2) * 20)
    model.train()
    steps = (config.steps - 3, config.steps - 2)  # some models alternate
    with FlopCounterMode(display=False) as counter:
        for step in steps:
            rgb = torch.rand(photographs, 3, config.crop, config.crop)
            labels = torch.eye(SYSTEMS[system])[:1].repeat(photographs, 1) if changes else None
            batch = Batch(rgb.mean(1, keepdim=True), rgb, labels)
            model.training_step([batch] * model.batches_per_step(step), step)["loss"].backward()
    return counter.get_total_flops() / photographs / len(steps)


def hours(system: str, rate: float) -> Mapping[str, float]:
    """Return what a run of the preset `paper` takes at a rate in TFLOP/s."""
    config = build(system, "paper")[1]
    each = operations(system)
    photographs = config.steps * config.batch
    total = each * photographs
    return {
        "photographs": photographs,
        "epochs": photographs / ILSVRC,
        "gflop": each / 1e9,
        "exaflop": total / 1e18,
        "hours": total / (rate * 1e12) / 3600,
    }


def main() -> None:
    """Print a row of a table for each paper."""
    parser = argparse.ArgumentParser(description="What training as published takes.")
    parser.add_argument("--rate", type=float, default=75.0, help="TFLOP/s that the GPU reaches")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    options = parser.parse_args()
    print("| | photographs | epochs of ILSVRC | GFLOP each | EFLOP | hours |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for system in options.systems:
        row = hours(system, options.rate)
        print(
            f"| {system} | {row['photographs'] / 1e6:.1f} M | {row['epochs']:.1f} | "
            f"{row['gflop']:.1f} | {row['exaflop']:.2f} | {row['hours']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
