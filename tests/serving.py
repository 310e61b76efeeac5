"""A server in a process of its own, as the command starts it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def served(*words: object, **variables: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process of ``tintype`` with these words and variables, and the address that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tintype", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {name: str(value) for name, value in variables.items()},
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


def at_once(work: Callable[..., Any], *arguments: tuple[Any, ...]) -> list[threading.Thread]:
    """Begin the work in a thread for each of the arguments."""
    threads = [threading.Thread(target=work, args=given) for given in arguments]
    for thread in threads:
        thread.start()
    return threads


def all_done(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()
