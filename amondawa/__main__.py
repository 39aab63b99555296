"""`python -m amondawa`: the command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its status."""
    from amondawa.cli import command_line

    sys.exit(command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
