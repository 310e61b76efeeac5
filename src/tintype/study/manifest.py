"""A study on disk: a folder that is never changed once written.

    DIR/study.json       settings, photographs and checksums; secret, for it tells the true sides
    DIR/pictures/*.png   the pictures, under random names
    DIR/owner-token      the secret that opens the report over HTTP

Answers are kept beside it, in a database of their own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from tintype.errors import DataError
from tintype.study.settings import Settings, check_settings

VERSION = 3
MANIFEST, PICTURES, TOKEN = "study.json", "pictures", "owner-token"

#: Name of the false colours that catch trials show beside the true ones.
FALSE_COLORS = "false colours"

#: Name under which a study of single pictures shows the true colours, as it does those of systems.
TRUE_COLORS = "true colours"

#: Names that `create` gives to pictures; none can lead out of their folder.
_PICTURE_NAME = re.compile(r"[0-9a-f]{32}\.png")

Kind = Literal["practice", "trial", "catch"]


@dataclass(frozen=True)
class StudyPhoto:
    """One photograph of the study.

    Attributes:
        name: what the report calls it: its file name.
        kind: the kind of its trials.
        true: name of the file with its true colours, in the folder of pictures.
        colorized: system -> name of the file with that system's colours.
    """

    name: str
    kind: Kind
    true: str
    colorized: dict[str, str]


@dataclass(frozen=True)
class Study:
    """A study: its settings, photographs and checksums.

    Attributes:
        folder: its folder.
        settings: its settings.
        systems: name of each system -> where its colours come from, in words.
        photos: the photographs; trials refer to them by their index here.
        checksums: name of each picture's file -> its SHA-256.
        created: date and time it was made, UTC, ISO 8601.
        digest: SHA-256 over everything above except the folder.
    """

    folder: Path
    settings: Settings
    systems: dict[str, str]
    photos: tuple[StudyPhoto, ...]
    checksums: dict[str, str]
    created: str
    digest: str = ""

    def photos_of_kind(self, kind: Kind) -> list[int]:
        """Return the indices of the photographs of a kind."""
        return [k for k, photo in enumerate(self.photos) if photo.kind == kind]

    @property
    def contenders(self) -> list[str]:
        """Return the names of what raters judge: the systems and, of single pictures, the truth."""
        return [*self.systems, *([TRUE_COLORS] if self.settings.kind == "single" else [])]

    @property
    def trials_per_rater(self) -> int:
        """Return the number of scored trials of each rater."""
        return min(self.settings.trials, len(self.photos_of_kind("trial")))

    @property
    def last_position(self) -> int:
        """Return the position of each rater's last trial, from 0."""
        settings = self.settings
        return settings.practice_trials + settings.catch_trials + self.trials_per_rater - 1

    def picture_path(self, name: str) -> Path:
        """Return the path of a picture's file."""
        return self.folder / PICTURES / name

    def pair_files(self, photo: int, system: str) -> tuple[Path, Path]:
        """Return the paths of a photograph's true picture and a contender's."""
        entry = self.photos[photo]
        shown = entry.true if system == TRUE_COLORS else entry.colorized[system]
        return self.picture_path(entry.true), self.picture_path(shown)

    def raters_needed(self, answers: int) -> int:
        """Return how many raters give this many answers to each photograph and contender."""
        pairs = len(self.photos_of_kind("trial")) * len(self.contenders)
        return -(-pairs * answers // self.trials_per_rater)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the folder as a JSON object."""
        record = asdict(self)
        del record["folder"]
        return json.loads(json.dumps(record))

    def write(self) -> Study:
        """Write the manifest into the folder; return the study with its digest."""
        record = self.to_json()
        record["digest"] = compute_digest(record)
        path = self.folder / MANIFEST
        text = json.dumps({"tintype_study": VERSION, **record}, indent=1, ensure_ascii=False)
        path.touch(mode=0o600)  # the seed is secret
        path.write_text(text + "\n", encoding="utf-8")
        path.chmod(0o400)
        return read_study(self.folder)


def hide_folder(folder: Path) -> None:
    """Make a study's folder accessible to its owner alone, where the file system allows it."""
    with contextlib.suppress(OSError):
        folder.chmod(0o700)


def compute_digest(record: dict[str, Any]) -> str:
    """Return the hexadecimal SHA-256 of a study's record, leaving out the digest in it."""
    content = {key: value for key, value in record.items() if key != "digest"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def read_study(folder: Path) -> Study:
    """Read a study and check that nothing in it was changed since it was made.

    Raises:
        DataError: there is none, it has another format version, or it was changed.
    """
    path = folder / MANIFEST
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        version = record.pop("tintype_study")
        changed = version == VERSION and compute_digest(record) != record.get("digest")
    except FileNotFoundError:
        raise DataError(f"{folder} holds no study: make one with  tintype study create") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} cannot be read ({error}); restore it from a copy.") from error
    if version != VERSION:
        raise DataError(
            f"{path} was made by another version of tintype (format {version}, not {VERSION}): "
            "create the study again."
        )
    if changed:
        raise DataError(
            f"{path} was changed after the study was made: its checksum does not fit. Restore it "
            "from a copy, or create a new study."
        )
    try:
        # From JSON, since strict validation of JSON takes lists for tuples.
        text = json.dumps({**record, "folder": os.fspath(folder)})
        study = TypeAdapter(Study).validate_json(text, strict=True)
        check_settings(study.settings)
        _check_photos(study)
        if study.to_json() != record:  # no field may be left to its default
            raise DataError("a field is missing or unknown")
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except DataError as error:
        reason = str(error)
    else:
        return replace(study, folder=folder)
    raise DataError(f"{path} is not a valid study ({reason}); restore it from a copy.")


def _check_photos(study: Study) -> None:
    """Check that photographs, systems and pictures fit together.

    Raises:
        DataError: they do not.
    """
    settings, systems = study.settings, set(study.systems)
    contenders = len(study.contenders)
    shown = {name for photo in study.photos for name in (photo.true, *photo.colorized.values())}
    rules = {
        "it has no systems": systems and not systems & {FALSE_COLORS, TRUE_COLORS},
        "raters have fewer trials than there are systems": settings.trials >= contenders,
        "it lacks photographs for a kind of trial": (
            len(study.photos_of_kind("practice")) == settings.practice_trials
            and len(study.photos_of_kind("catch")) == settings.catch_trials
            and len(study.photos_of_kind("trial")) >= contenders
        ),
        "a photograph lacks the colours of a system": all(
            set(photo.colorized) == ({FALSE_COLORS} if photo.kind == "catch" else systems)
            for photo in study.photos
        ),
        "a picture lacks its checksum": shown == set(study.checksums),
        "a picture has another name than study create gives": all(
            map(_PICTURE_NAME.fullmatch, study.checksums)
        ),
    }
    for fault, absent in rules.items():
        if not absent:
            raise DataError(fault)


def verify_pictures(study: Study) -> None:
    """Check every picture against its checksum.

    Raises:
        DataError: one is missing or damaged.
    """
    pictures = (study.folder / PICTURES).resolve()
    for name, checksum in study.checksums.items():
        path = study.picture_path(name)
        try:
            if path.resolve().parent != pictures:  # a link
                raise DataError(f"{path} lies outside the study; restore it from a copy.")
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}; restore it from a copy.") from error
        if found != checksum:
            raise DataError(f"{path} was changed after the study was made; restore it from a copy.")


def read_owner_token(study: Study) -> str:
    """Read the secret that opens the report over HTTP.

    Raises:
        DataError: its file is missing, or holds fewer than 16 characters.
    """
    path = study.folder / TOKEN
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", "it is not text")
        raise DataError(f"{path}: {reason}; write a long random line into it.") from error
    if len(token) < 16:
        raise DataError(f"{path} holds too short a secret; write a long random line into it.")
    return token
