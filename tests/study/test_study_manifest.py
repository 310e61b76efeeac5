"""A study that somebody edited is refused, in one way, and no picture is taken from elsewhere."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tintype.errors import DataError
from tintype.study.manifest import (
    Study,
    compute_digest,
    read_owner_token,
    read_study,
    verify_pictures,
)
from tintype.study.pictures import encode_png


def test_a_changed_manifest_is_noticed(study: Study) -> None:
    path = study.folder / "study.json"
    record = json.loads(path.read_text())
    record["settings"]["exposure_ms"] = 1000
    path.chmod(0o644)
    path.write_text(json.dumps(record))
    with pytest.raises(DataError, match="was changed after the study was made"):
        read_study(study.folder)


@pytest.mark.parametrize("content", ["", "{}", "[]", "[" * 100_000, "\0", '{"tintype_study": 99}'])
def test_what_is_no_study_is_said_to_be_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(DataError):
        read_study(tmp_path)
    with pytest.raises(DataError, match="holds no study"):
        read_study(tmp_path / "nowhere")


def test_a_changed_or_missing_picture_is_noticed(study: Study) -> None:
    name = next(iter(study.checksums))
    study.picture_path(name).chmod(0o644)
    study.picture_path(name).write_bytes(encode_png(np.zeros((32, 32, 3), np.uint8)))
    with pytest.raises(DataError, match="changed after the study was made"):
        verify_pictures(study)
    study.picture_path(name).unlink()
    with pytest.raises(DataError, match="restore it"):
        verify_pictures(study)


def edit_manifest(study: Study, edit: Callable[[dict], object]) -> None:
    """Edit study.json as somebody would who knows how its checksum is made."""
    path = study.folder / "study.json"
    record = json.loads(path.read_text())
    edit(record)
    with contextlib.suppress(UnicodeEncodeError):
        plain = {key: value for key, value in record.items() if key != "tintype_study"}
        record["digest"] = compute_digest(plain)
    path.chmod(0o600)
    path.write_text(json.dumps(record))


EDITS: dict[str, Callable[[dict], object]] = {
    "no settings": lambda r: r.pop("settings"),
    "no rules": lambda r: r["settings"].pop("rules"),
    "a setting too many": lambda r: r["settings"].update(more=1),
    "a setting too few": lambda r: r["settings"].pop("exposure_ms"),
    "a setting of another type": lambda r: r["settings"].update(trials="6"),
    "consent that is one text": lambda r: r["settings"].update(consent="yes"),
    "a seed below 0": lambda r: r["settings"].update(seed=-1),
    "no seed": lambda r: r["settings"].update(seed=None),
    "a share that is no number": lambda r: r["settings"]["rules"].update(max_fast_share=math.nan),
    "more catch trials than photographs": lambda r: r["settings"].update(catch_trials=3),
    "fewer practice trials": lambda r: r["settings"].update(practice_trials=1),
    "photos that are none": lambda r: r.update(photos=[1]),
    "no photos": lambda r: r.update(photos=[]),
    "a photo of no kind": lambda r: r["photos"][0].update(kind="holiday"),
    "a photo without a name": lambda r: r["photos"][0].pop("name"),
    "a photo without colours": lambda r: r["photos"][0].update(colorized={}),
    "systems in a list": lambda r: r.update(systems=["one", "two"]),
    "a system less": lambda r: r["systems"].pop("two"),
    "no checksums": lambda r: r.pop("checksums"),
    "a picture without checksum": lambda r: r["checksums"].popitem(),
    "no date": lambda r: r.pop("created"),
    "half a letter": lambda r: r["settings"].update(title="\udc00"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_manifest_is_refused_in_one_way(edit: str, study: Study) -> None:
    edit_manifest(study, EDITS[edit])
    with pytest.raises(DataError, match=r"study\.json .*restore it from a copy"):
        read_study(study.folder)


@pytest.mark.parametrize(
    "name", ["../owner-token", "/etc/hostname", "..", "", "a\0b.png", "sub/a.png", "..\\x.png"]
)
@pytest.mark.parametrize("known", [True, False])
def test_no_picture_lies_outside_the_study(name: str, known: bool, study: Study) -> None:
    def edit(record: dict) -> None:
        old, record["photos"][0]["true"] = record["photos"][0]["true"], name
        checksum = record["checksums"].pop(old)
        if known:
            record["checksums"][name] = checksum

    edit_manifest(study, edit)
    with pytest.raises(DataError, match="is not a valid study"):
        read_study(study.folder)


@pytest.mark.skipif(os.name != "posix", reason="symbolic links")
def test_no_link_leads_out_of_the_study(study: Study, tmp_path: Path) -> None:
    path = study.picture_path(next(iter(study.checksums)))
    path.symlink_to(path.rename(tmp_path / "elsewhere.png"))
    with pytest.raises(DataError, match="lies outside the study"):
        verify_pictures(study)


def test_a_token_that_is_no_text_is_refused(study: Study) -> None:
    (study.folder / "owner-token").write_bytes(b"\xff" * 40)
    with pytest.raises(DataError, match="long random line"):
        read_owner_token(study)
