"""``python -m hammerlib.cli``: the ``hammer`` command where its script is not on the path."""

import sys

from hammerlib.cli import main

if __name__ == "__main__":
    sys.exit(main())
