"""The scheduler of a Dask cluster: check its address, connect to it or start a local one."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tintype.errors import MissingExtraError, SettingError, TintypeError

if TYPE_CHECKING:
    from distributed import Client

LOCAL = "local"  #: the address that stands for a cluster started on this machine


def check_address(address: str) -> None:
    """Raise an error unless an address is a scheduler's, and encrypted if it is not loopback.

    Args:
        address: tls://HOST:PORT, tcp:// on a loopback address, or `LOCAL`.

    Raises:
        SettingError: the address is not one of these.
    """
    with suppress(ValueError):
        parts = urlsplit(address)
        host = (parts.port and parts.hostname) or ""
        if address == LOCAL or (host and parts.scheme == "tls"):
            return
        own = host == "localhost" or ipaddress.ip_address(host).is_loopback
        if own and parts.scheme == "tcp":
            return
    raise SettingError(
        f"--cluster {address} is refused: give tls://HOST:PORT, or on this machine "
        "tcp://127.0.0.1:PORT or local; whoever reaches a scheduler without certificates can run "
        "any code on its workers"
    )


@contextmanager
def connected(address: str, workers: int, say: Callable[[str], None]) -> Iterator[Client]:
    """Yield a client of a cluster's scheduler; a local cluster is stopped after the block.

    Args:
        address: the scheduler's address, or `LOCAL`.
        workers: number of worker processes of a local cluster.
        say: prints a line.

    Raises:
        MissingExtraError: Dask is not installed.
        TintypeError: the scheduler cannot be reached.
    """
    # Dask would log every worker that dies, at length; the command reports it in one line.
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")
    try:
        import dask.config
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise MissingExtraError("cluster", "--cluster") from error
    for name in ("distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    own = {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.scheduler.worker-saturation": 1.0,
    }
    if address == LOCAL:
        with (
            dask.config.set(own),
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                security=True,  # other users of this machine are kept out
                dashboard_address=None,  # pyright: ignore[reportArgumentType]
                preload=[*dask.config.get("distributed.worker.preload"), __name__],
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        asyncio.run(_reached(address))
    except (OSError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TintypeError(f"the scheduler {address} cannot be reached: {reason}") from error
    with Client(address) as client:
        if not client.nthreads():
            say("tintype: the cluster has no workers yet: waiting for the first")
        if client.run_on_scheduler(_tries_again):
            say(
                "tintype: the scheduler gives photographs that killed a worker to others: start it "
                "with DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES=0"
            )
        yield client


async def _reached(address: str) -> None:
    """Connect once first, as a Dask client that cannot connect ends in a thread's traceback."""
    from distributed.comm.core import connect
    from distributed.security import Security

    certificates = Security().get_connection_args("client")
    if address.startswith("tls:") and certificates["ssl_context"] is None:
        raise ValueError("it needs certificates: set distributed.comm.tls in Dask's configuration")
    comm = await connect(address, **certificates)
    await comm.close()


def _tries_again(dask_scheduler: Any) -> bool:
    """Return whether a scheduler runs a task again after its worker died."""
    return dask_scheduler.allowed_failures > 0


def dask_setup(worker: Any) -> None:
    """Ignore Ctrl-C in a worker of a local cluster, as the client handles it.

    Dask calls this function by its name.
    """
    with suppress(ValueError):  # only the main thread may set a handler
        signal.signal(signal.SIGINT, signal.SIG_IGN)
