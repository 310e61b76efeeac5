"""``python -m tintype``: the same command as ``tintype``."""

import sys

from tintype.cli import main

if __name__ == "__main__":
    sys.exit(main())
