"""Crash rounds for as long as one likes: the test of compat_tests/test_crash.py with more rounds.

    python bench/crash_rounds.py --rounds 1000 [--seed 1] [--directory-rounds 50]

After each round all that was ever written is read back, so that rounds take longer as the data grows; a campaign goes on
in an empty data directory, with the next seed, after some rounds. Exit status 1 and the data directory kept when a point
was lost or invented.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import asdict, fields, replace
from pathlib import Path

if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from compat_tests.crash_campaign import Campaign, Tally


def both(one: Tally, other: Tally) -> Tally:
    """Return what two campaigns did together."""
    sums = {field.name: getattr(one, field.name) + getattr(other, field.name) for field in fields(Tally)}
    return replace(Tally(**sums), slowest_start_s=max(one.slowest_start_s, other.slowest_start_s))


def campaign_rounds(campaign: Campaign, count: int) -> list[str]:
    """Run rounds until one fails; return its violations."""
    for number in range(1, count + 1):
        if problems := campaign.round():
            return [f"round {number}: {text}" for text in problems]
    return campaign.last_check()


def one_directory(count: int, seed: int) -> tuple[Tally, list[str]]:
    """Run some rounds in an empty data directory; return what was done, and the violations (the directory is kept then)."""
    directory = Path(tempfile.mkdtemp(prefix="amondawa-crash-"))
    campaign = Campaign(directory / "data", seed)
    try:
        problems = campaign_rounds(campaign, count)
    finally:
        campaign.server.stop()
    if problems:
        return campaign.tally, [f"seed {seed}, data directory kept: {directory}", *problems[:20]]
    shutil.rmtree(directory)
    return campaign.tally, []


def main() -> int:
    """Run the rounds; print what was done as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1000, help="crashes")
    parser.add_argument("--seed", type=int, default=1, help="of all choices in the first directory")
    parser.add_argument("--directory-rounds", type=int, default=50, help="rounds in one data directory")
    arguments = parser.parse_args()
    began_s = time.monotonic()
    total, seed = Tally(), arguments.seed
    problems: list[str] = []
    while total.rounds < arguments.rounds and not problems:
        tally, problems = one_directory(min(arguments.directory_rounds, arguments.rounds - total.rounds), seed)
        total, seed = both(total, tally), seed + 1
        print(f"{time.monotonic() - began_s:.0f} s, {total}", flush=True)
    print(json.dumps({**asdict(total), "violations": problems}, indent=1))
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
