"""The public face: every promised name is there, and nothing else is promised."""

from __future__ import annotations

import importlib.metadata

import pytest

import tintype


def test_every_promised_name_can_be_imported() -> None:
    for name in tintype.__all__:
        assert getattr(tintype, name) is not None


def test_dir_lists_the_promised_names_before_they_are_loaded() -> None:
    assert set(tintype.__all__) <= set(dir(tintype))


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="colourise"):
        tintype.colourise  # noqa: B018


def test_the_version_is_the_installed_one() -> None:
    assert tintype.__version__ == importlib.metadata.version("tintype")


def test_every_error_has_one_root() -> None:
    from tintype import errors

    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    assert all(issubclass(cls, errors.TintypeError) for cls in classes)
