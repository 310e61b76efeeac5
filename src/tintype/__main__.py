"""``python -m tintype``: the same command as ``tintype``."""

from tintype.cli import run

if __name__ == "__main__":
    run()
