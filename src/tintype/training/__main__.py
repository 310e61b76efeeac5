"""Train a model, like ``tintype train``, with torch, numpy, Pillow and safetensors only.

For machines on which the packages of the command line are not installed.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from pathlib import Path

from tintype.errors import TintypeError
from tintype.training.room import read_size
from tintype.training.run import Run, read_sampling_weights, read_settings
from tintype.training.train import train


def main() -> int:
    """Parse the command line and train; return the exit status.

    It is 0, 1 after an error (with a message on standard error), or 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="python -m tintype.training", description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", default="small")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float)
    length.add_argument("--steps", type=int)
    parser.add_argument("--resume", action="store_true")
    for option in ("init", "teacher", "store"):
        parser.add_argument(f"--{option}", type=Path)
    parser.add_argument("--memory", metavar="SIZE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--val-size", type=int)
    parser.add_argument("--eval-minutes", type=float, default=5.0)
    parser.add_argument("--device")
    parser.add_argument("--limit", type=int)
    weights = {"nargs": "+", "action": "extend", "default": [], "metavar": "FOLDER=WEIGHT"}
    parser.add_argument("--sampling-weights", **weights)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    options = vars(parser.parse_args())
    changes = {k: options.pop(k) for k in ("batch", "learning_rate")}
    changes = {k: v for k, v in changes.items() if v is not None}

    def show(line: str) -> None:
        with contextlib.suppress(OSError):  # a closed terminal must not end the run
            print(line, file=sys.stderr, flush=True)

    try:
        changes |= read_settings(options.pop("set"))
        options["memory"] = options["memory"] and read_size(options["memory"])
        options["sampling_weights"] = read_sampling_weights(options["sampling_weights"])
        command = shlex.join(["tintype", "train", *sys.argv[1:]])
        train(Run(**options, changes=changes, command=command), show)
    except (TintypeError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
