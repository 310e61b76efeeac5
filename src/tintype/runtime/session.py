"""ONNX Runtime sessions, with checks of files, inputs and outputs."""

from __future__ import annotations

import hashlib
import mmap
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tintype.card import Card
from tintype.errors import CorruptModelError
from tintype.runtime import watch
from tintype.runtime.device import Device, on_cpu
from tintype.runtime.ort import bounded_memory, load_onnxruntime
from tintype.runtime.watch import watched

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_LARGEST_FILE = 2 << 30  # bytes; the limit of the ONNX format
_LARGEST_CHROMA = 1e4  # far beyond the chroma of every color in any space

# The key by which a tensor refers to an external file, with the byte before it.
_EXTERNAL = re.compile(rb"[\x00\x08]location")


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def verify(card: Card) -> None:
    """Check the files of a model against the checksums of its card.

    Raises:
        CorruptModelError: a file is missing, or its checksum differs.
    """
    for name in (card.file().name, *card.files):
        _verified(card, name)


def network_inputs(card: Card) -> dict[str, int]:
    """Return the names and ranks of the inputs of a model's main graph."""
    return {"gray": 4, "hints": 4} if card.takes_hints else {"gray": 4}


class Session:
    """A loaded graph of a model.

    Its number of threads is fixed, because it changes the order of sums, and a photograph has to
    give the same bytes on every machine. Several threads may run the session at once.

    Args:
        card: card of the model; the checksum of the file is verified first.
        part: part of the graph in ``NAME.part.onnx``; ``""`` for the main graph.
        needs: names and ranks of required inputs.
        may: names and ranks of optional inputs.
        gives: names and ranks of required outputs; there may be others.
        device: where it runs; the CPU by default.

    Attributes:
        inputs, outputs: shapes by name; dynamic sizes are a string or None.

    Raises:
        CorruptModelError: the file is missing or damaged, ONNX Runtime cannot load it, or its
            inputs and outputs are not those of docs/reference/model-files.md.
    """

    def __init__(
        self,
        card: Card,
        part: str,
        needs: Mapping[str, int],
        gives: Mapping[str, int],
        may: Mapping[str, int] | None = None,
        device: Device | None = None,
    ) -> None:
        self.path, self._device = card.file(part), device or Device()
        if _verified(card, self.path.name, _names_other_files):
            raise self._error("refers to external files, which have no checksum")
        onnxruntime = load_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors only
        options.add_session_config_entry(*bounded_memory())
        options.enable_mem_pattern = False  # it doubles the memory for a second run
        levels = onnxruntime.GraphOptimizationLevel
        by_row = part in ("above", "row", "cache")
        # A graph that runs once per photograph loads in half the time without optimization, and
        # need not keep memory; those of a sampler's rows run hundreds of times.
        options.graph_optimization_level = (
            levels.ORT_ENABLE_ALL if by_row else levels.ORT_DISABLE_ALL
        )
        options.enable_cpu_mem_arena = by_row
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = 1 if by_row else 2
        # Spinning threads would take the cores that decode and join the photograph.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._load = partial(self._device.session, str(self.path), options)
        try:
            self._session: InferenceSession = self._load()
        except Exception as error:  # ONNX Runtime's exceptions share no public base class
            version = onnxruntime.__version__
            raise self._error(
                f"cannot be loaded by ONNX Runtime {version} ({_line(error)})"
            ) from error
        takes, gives_ = self._session.get_inputs(), self._session.get_outputs()
        self.inputs = {node.name: list(node.shape) for node in takes}
        self.outputs = {node.name: list(node.shape) for node in gives_}
        self._check("takes", self.inputs, needs, {**(may or {}), **needs})
        known = {name: len(shape) for name, shape in self.outputs.items()}
        self._check("gives", self.outputs, gives, {**known, **gives})
        for node in (*takes, *gives_):
            if node.name in {**needs, **gives} and node.type != "tensor(float)":
                raise self._error(f"has {node.name} of {node.type} where a model has tensor(float)")

    def run(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return all outputs by name.

        Args:
            tensors: inputs by name; those that the graph does not have are ignored.

        Raises:
            CorruptModelError: ONNX Runtime fails or takes too long, or an output has another rank
                than declared.
        """
        inputs = {name: tensors[name] for name in self.inputs}
        options = load_onnxruntime().RunOptions()
        session = self._session
        try:
            with watched(options):
                outputs = session.run(None, inputs, options)
        except Exception as error:
            if not options.terminate and not on_cpu(session):
                self._device.give_up(f"fails ({_line(error)})")
                self._session = self._load()
                return self.run(tensors)
            if options.terminate:
                raise self._error(f"was stopped after {watch.LONGEST:.0f} seconds") from error
            raise self._error(f"fails when it is run ({_line(error)})") from error
        found = dict(zip(self.outputs, map(np.asarray, outputs), strict=True))
        # ONNX Runtime only warns when a rank differs from the declared one.
        for name, declared in self.outputs.items():
            if found[name].ndim != len(declared):
                raise self._error(f"gives {name} of rank {found[name].ndim}, not {len(declared)}")
        return found

    def _check(
        self, verb: str, found: Mapping[str, Any], needs: Mapping[str, int], may: Mapping[str, int]
    ) -> None:
        """Compare names and ranks with the required and optional ones."""
        ranks = {name: len(shape) for name, shape in found.items()}
        if needs.keys() <= ranks.keys() and all(may.get(n) == rank for n, rank in ranks.items()):
            return
        expected = ", ".join(f"{name} of rank {rank}" for name, rank in needs.items())
        given = ", ".join(f"{name} of rank {rank}" for name, rank in ranks.items())
        raise self._error(f"{verb} {given or 'nothing'} where a model {verb} {expected}")

    def _error(self, reason: str) -> CorruptModelError:
        return CorruptModelError(
            f"{self.path} {reason}; reinstall tintype, or export the model again."
        )


def checked_chroma(card: Card, chroma: NDArray[Any]) -> NDArray[np.float32]:
    """Return the chroma (2, h, w) of a model's output (1, 2, h, w) after checking it.

    Raises:
        CorruptModelError: the shape is another, or a value is not finite or too large.
    """
    shape = chroma.shape
    # The comparison is false for nan too.
    colors = chroma.size > 0 and bool((np.abs(chroma) <= _LARGEST_CHROMA).all())
    if len(shape) != 4 or shape[:2] != (1, 2) or not colors:
        raise CorruptModelError(
            f"{card.file()} gives {shape} where a model gives (1, 2, h, w), or values of no color; "
            "reinstall tintype, or export the model again."
        )
    return chroma[0].astype(np.float32, copy=False)


def _line(error: Exception) -> str:
    """Return an error message of ONNX Runtime as one line of at most 300 characters."""
    words = " ".join(str(error).split())
    return words if len(words) <= 300 else f"{words[:299]}…"


def _verified(card: Card, name: str, look: Callable[[mmap.mmap], bool] | None = None) -> bool:
    """Check a file against its checksum; return the result of `look` on its content."""
    path = card.path.parent / name
    if name not in card.files:
        raise CorruptModelError(f"{card.path} has no checksum of {name}; export the model again.")
    try:
        if path.exists() and not path.is_file():  # reading a pipe would block
            raise OSError(0, "it is not a regular file")
        if path.exists() and path.stat().st_size > _LARGEST_FILE:
            raise OSError(0, f"it is larger than {_LARGEST_FILE >> 30} GiB")
        # Mapped, so that its memory belongs to the system's cache.
        with (
            open(path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            intact = hashlib.sha256(content).hexdigest() == card.files[name]
            found = look is not None and look(content)
    except OSError as error:
        raise CorruptModelError(
            f"{path} is missing or cannot be read ({error.strerror}); reinstall tintype or restore "
            "the file."
        ) from error
    except ValueError:  # an empty file cannot be mapped
        intact = found = False
    if not intact:
        raise CorruptModelError(
            f"{path} is damaged: its checksum is not the card's. Delete it and reinstall "
            "tintype, or export the model again."
        )
    return found


def _names_other_files(content: mmap.mmap) -> bool:
    """Tell whether a tensor of an ONNX file is stored in another file."""
    # Searching the word first is ten times as fast, and mostly finds nothing.
    return content.find(b"location") >= 0 and _EXTERNAL.search(content) is not None
