"""Training in processes of its own: one that is killed, or two that share a run."""

import os
import subprocess
import sys


def start(*options):
    """Start ``python -m tintype.training``."""
    command = [sys.executable, "-m", "tintype.training", *map(str, options)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def in_two_processes(script, *arguments):
    """Run a script under torchrun."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    port = 20000 + os.getpid() % 1000 * 10  # each run of the script takes the next
    torchrun += ["--master-addr", "127.0.0.1", "--master-port", str(port)]
    command = [*torchrun, *map(str, (script, *arguments))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
