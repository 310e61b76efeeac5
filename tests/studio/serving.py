"""The studio in a process of its own, as the command starts it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def served(
    *words: str | Path, temporary: Path, models: Path | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address.

    Args:
        words: of the command.
        temporary: where temporary files go.
        models: a folder of them.
    """
    command = [sys.executable, "-m", "tintype", "studio", "--no-browser", "--workers", "1"]
    command += map(str, words)
    environment = {**os.environ, "TMPDIR": str(temporary)}
    if models is not None:
        environment["TINTYPE_WEIGHTS"] = str(models)
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        address = line.partition(" ")[0]
        assert address.startswith("http://"), line + process.stderr.read()
        yield process, address
    finally:
        process.kill()
        process.communicate()
