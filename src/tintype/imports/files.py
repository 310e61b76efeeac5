"""Read weights from files of unknown origin: only tensors are unpickled, no code is run.

A web page saved in place of the weights, a damaged file, a pickled program: each has its own error.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tintype.errors import UnimportableError
from tintype.models.published.state import State

SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", ".caffemodel", ".onnx")

_LARGEST_INDEX = 64 << 20  # bytes of a zip file's pickle: names and shapes, no values
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
_WRAPPERS = ("params", "model")  # of DDColor and of fastai
_AGAIN = "download it again"


def weights_file(path: Path) -> Path:
    """Return the file of weights that a path stands for: itself, or the only one in a folder.

    Raises:
        UnimportableError: the folder holds none, or more than one.
    """
    if not path.is_dir():
        return path
    found = sorted(file.name for file in path.iterdir() if file.suffix in SUFFIXES)
    if len(found) == 1:
        return path / found[0]
    there = f"{len(found)} files of weights ({', '.join(found[:4])})" if found else "no weights"
    raise UnimportableError(f"{path} holds {there}: name the file itself.")


def check_file(path: Path) -> None:
    """Check that a file can hold weights at all.

    Raises:
        UnimportableError: it is missing, empty, a web page, or a pointer of Git LFS.
    """
    if not path.is_file():
        raise UnimportableError(f"There is no file {path}.")
    try:
        with open(path, "rb") as file:
            start = file.read(512)
    except OSError as error:
        raise UnimportableError(f"{path} cannot be read: {error.strerror}.") from error
    if not start:
        raise UnimportableError(f"{path} is empty: {_AGAIN}.")
    if start.startswith(b"version https://git-lfs"):
        raise UnimportableError(
            f"{path} is a pointer of Git LFS, not the weights: get them with  git lfs pull."
        )
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        raise UnimportableError(
            f"{path} is a web page, probably of the download site: download the file itself."
        )


def read_state(path: Path) -> State:
    """Return the state dict in a file, in float32 on the CPU.

    Args:
        path: a file of torch (zipped or not; the state dict bare, or under "params" or "model") or
            of safetensors.

    Raises:
        UnimportableError: it holds something else, or cannot be trusted.
        MissingExtraError: safetensors is not installed.
    """
    check_file(path)
    with open(path, "rb") as file:
        start = file.read(16)
    if start.startswith(b"PK\x03\x04"):
        _check_zip(path)
        found = _unpickle(path, mmap=True)
    elif start.startswith(b"\x80"):
        found = _unpickle(path, mmap=False)
    elif path.suffix == ".safetensors" or start[8:9] == b"{":
        found = _safetensors(path)
    else:
        raise UnimportableError(
            f"{path} is not a file of weights of a known kind: torch, safetensors, caffemodel or "
            "ONNX."
        )
    state = _checked_tensors(path, found)
    return {key: value.float() if value.is_floating_point() else value for key, value in state}


def _check_zip(path: Path) -> None:
    """Refuse archives that are cut short, or that would unpack to more than their own size."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise UnimportableError(
            f"{path} is shortened or damaged, the zip's directory is missing: {_AGAIN}."
        ) from error
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts) or (
        sum(part.file_size for part in parts) > path.stat().st_size
    ):
        raise UnimportableError(
            f"{path} is compressed or has overlapping parts, which torch never writes: it may be "
            "meant to fill the memory, and is not opened."
        )
    if any(p.filename.endswith(".pkl") and p.file_size > _LARGEST_INDEX for p in parts):
        raise UnimportableError(f"{path} has an index larger than a network's can be.")


def _unpickle(path: Path, mmap: bool) -> Any:
    """Read a file with torch, allowing tensors, containers and `slice` only."""
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([slice]):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        if named := _GLOBAL.search(str(error)):
            name = named[1]
            what = "a whole network as a program" if name.startswith("torch.nn.") else "a program"
            raise UnimportableError(
                f"{path} holds {what} ({name}), which is not run: get a file with the weights only."
            ) from error
        raise _damaged(path, error) from error
    except MemoryError:
        raise
    except Exception as error:  # torch's errors share no base class
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UnimportableError:
    reason = " ".join(str(error).split())[:80] or type(error).__name__
    return UnimportableError(f"{path} is shortened or damaged ({reason}): {_AGAIN}.")


def _safetensors(path: Path) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        from tintype.errors import MissingExtraError

        raise MissingExtraError("export", "Reading safetensors") from error
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def _checked_tensors(path: Path, found: Any) -> list[tuple[str, Tensor]]:
    """Return the tensors in what was read, without wrappers; refuse any that is not plain."""
    for wrapper in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not found:
        raise UnimportableError(f"{path} holds {type(found).__name__}, not a table of weights.")
    state, stored = [], {}
    prefix = "module." if all(str(key).startswith("module.") for key in found) else ""
    for key, value in found.items():
        if not (isinstance(key, str) and isinstance(value, Tensor)):
            raise UnimportableError(
                f"{path} holds more than weights: {str(key)[:80]!r} is {type(value).__name__}."
            )
        value = value.detach()
        if value.layout is not torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise UnimportableError(f"{path} holds {key!r} as a sparse or quantized tensor.")
        storage = value.untyped_storage()
        stored[storage.data_ptr()] = storage.nbytes()
        state.append((key.removeprefix(prefix), value))
    if sum(v.numel() * v.element_size() for _, v in state) > sum(stored.values()):
        raise UnimportableError(
            f"{path} has tensors larger than what is stored of them: it may be meant to fill the "
            "memory, and is not used."
        )
    for key, value in state:
        if not (value.is_floating_point() or key.endswith("num_batches_tracked")):
            raise UnimportableError(
                f"{path} holds {key!r} as {value.dtype}, not as floating point."
            )
        if not value.isfinite().all():
            raise UnimportableError(f"{path} has values that are not finite in {key!r}: {_AGAIN}.")
    return state
