"""Training in processes of its own: one that is waited for, or two that share a run."""

import json
import os
import subprocess
import sys
from pathlib import Path

from safetensors.torch import load_file

_TRAIN = """
import json, os, pathlib, sys
from safetensors.torch import save_file
from tintype.training.loop import train
system, shard, out, options = sys.argv[1:]
out = pathlib.Path(out)
trained = train(system, [pathlib.Path(shard)], out / "run", **json.loads(options))
weights = {n: p.contiguous() for n, p in trained.named_parameters()}
save_file(weights, out / f"rank{os.environ['RANK']}.safetensors")
"""


def finish(process, run):
    """Wait for a run whose standard error goes to RUN.stderr."""
    assert process.wait() == 0, Path(f"{run}.stderr").read_text()


def in_two_processes(*command):
    """Run a script or module under torchrun."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    port = 20000 + os.getpid() % 10000
    torchrun += ["--master-addr", "127.0.0.1", "--master-port", str(port)]
    done = subprocess.run(
        [*torchrun, *map(str, command)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr


def trained_by_two(system, shard, folder, **options):
    """The weights that each of two processes has at the end of a run that they share."""
    script = folder / "both.py"
    script.write_text(_TRAIN)
    in_two_processes(script, system, shard, folder, json.dumps(options))
    return [load_file(folder / f"rank{rank}.safetensors") for rank in (0, 1)]
