"""What goes wrong in the workers of a cluster; Dask loads it there, named in its configuration.

A photograph called deadly kills the worker that has it, and one called slow waits for a file go in
the current folder, beside which the worker writes its process id.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tintype.batch.task import Outcome, Task
from tintype.batch.work import Work


def faulty(do: Callable[[Work, Task], Outcome]) -> Callable[[Work, Task], Outcome]:
    def faulty_do(work: Work, task: Task) -> Outcome:
        if "deadly" in task.name:
            os.kill(os.getpid(), signal.SIGKILL)
        if "slow" in task.name:
            Path(f"{os.getpid()}.pid").touch()
            while not Path("go").exists():
                time.sleep(0.02)
        return do(work, task)

    return faulty_do


if Work.do.__name__ == "do":  # Dask loads this more than once
    Work.do = faulty(Work.do)
