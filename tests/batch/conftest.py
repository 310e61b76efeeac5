"""The command of the tests of the command line."""

from cli.conftest import painter, run

__all__ = ["painter", "run"]
