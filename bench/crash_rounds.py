"""Crash rounds for as long as one likes: the test of compat_tests/test_crash.py with more rounds.

    python bench/crash_rounds.py --rounds 1000 [--seed 1]

Exit status 1 and the data directory kept when a point was lost or invented.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from compat_tests.crash_campaign import Campaign


def rounds(campaign: Campaign, count: int) -> list[str]:
    """Run rounds until one fails; return its violations."""
    began_s = time.monotonic()
    for number in range(1, count + 1):
        if problems := campaign.round():
            return [f"round {number}: {text}" for text in problems]
        if number % 50 == 0:
            print(f"{number} rounds, {time.monotonic() - began_s:.0f} s, {campaign.tally}", flush=True)
    return campaign.last_check()


def main() -> int:
    """Run the rounds; print the tally as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1000, help="crashes")
    parser.add_argument("--seed", type=int, default=1, help="of all choices")
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="amondawa-crash-"))
    campaign = Campaign(directory / "data", arguments.seed)
    try:
        problems = rounds(campaign, arguments.rounds)
    finally:
        campaign.server.stop()
    print(json.dumps({**asdict(campaign.tally), "violations": problems[:20]}, indent=1))
    if problems:
        print(f"data directory kept: {directory}")
        return 1
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
