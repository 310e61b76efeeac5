"""The scheduler of a Dask cluster: which addresses are taken, and how it is reached or started."""

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

LOCAL = "local"  #: the address of a cluster that is started here


def check_address(address: str) -> None:
    """Refuse what is no address of a scheduler, and one that others could reach unencrypted.

    Raises:
        SettingError: it is off loopback and not tls://, or no address.
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
        f"--cluster {address} is refused: it is not tls://HOST:PORT, and whoever reaches a "
        "scheduler without certificates runs any code on its workers; on this machine "
        "tcp://127.0.0.1:PORT and local are taken too"
    )


@contextmanager
def connected(address: str, workers: int, say: Callable[[str], None]) -> Iterator[Client]:
    """Yield a client of a cluster's scheduler; one that is started here ends with the block.

    Args:
        address: of the scheduler, or `LOCAL`.
        workers: number of processes of a local one.
        say: prints a line.

    Raises:
        MissingExtraError: Dask is not installed.
        TintypeError: the scheduler is not reached.
    """
    # Dask would report workers that die, here and in local ones; the command says it in a line.
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
        raise TintypeError(f"the scheduler {address} is not reached: {reason}") from error
    with Client(address) as client:
        if not client.nthreads():
            say("tintype: the cluster has no workers yet: waiting for some")
        if client.run_on_scheduler(_tries_again):
            say(
                "tintype: a photograph that kills workers will kill many: start the scheduler with "
                "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES=0"
            )
        yield client


async def _reached(address: str) -> None:
    """Connect once: a client that cannot leaves threads behind that end in a traceback."""
    from distributed.comm.core import connect
    from distributed.security import Security

    certificates = Security().get_connection_args("client")
    if address.startswith("tls:") and certificates["ssl_context"] is None:
        raise ValueError("Dask's configuration names no certificates, distributed.comm.tls")
    comm = await connect(address, **certificates)
    await comm.close()


def _tries_again(dask_scheduler: Any) -> bool:
    """Whether a scheduler tries a task again whose worker died."""
    return dask_scheduler.allowed_failures > 0


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C to the client: Dask calls this in the workers of a local cluster."""
    with suppress(ValueError):  # not the main thread, which alone may
        signal.signal(signal.SIGINT, signal.SIG_IGN)
