"""Training in processes of its own: one that is waited for, or two that share a run."""

import os
import subprocess
import sys
from pathlib import Path


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
