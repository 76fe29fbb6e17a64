"""``python -m jasgd`` is the command ``jasgd``."""

import sys

from jasgd.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
