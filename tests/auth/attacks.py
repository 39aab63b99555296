"""The attacks that are tried, the tests that try them, and the table of both in docs/security.md.

    python -m tests.auth.attacks             # carry all of them out and print the table
    python -m tests.auth.attacks --collect   # count the cases without carrying them out
    python -m tests.auth.attacks --write     # carry them out and put the table into docs/security.md

A count is what pytest collected (and, without `--collect`, what passed): no number is written by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.auth.gateways import guarded, is_open, routes

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"
BEGIN, END = "<!-- attacks: python -m tests.auth.attacks --write -->\n", "<!-- end of attacks -->\n"
TIMEOUT_S = 1_200

WALLS, HTTP, SIGNING = "tests/auth/test_walls.py", "tests/auth/test_http_access.py", "tests/auth/test_signing.py"
LINES, PORT = "tests/auth/test_lines.py", "tests/listeners/test_http_port.py"
FLOODS, HASHED = "compat_tests/test_access_floods.py", "tests/auth/test_hashed_tags.py"
TELNET = "tests/listeners/test_telnet.py"


@dataclass(frozen=True, slots=True)
class Attack:
    """One sort of attack.

    Attributes:
        name: for people.
        tests: (file, beginning of a test's name) of all that try it.
    """

    name: str
    tests: tuple[tuple[str, str], ...]


ATTACKS = (
    Attack(
        "all {routes} routes of all ports, by every method: with the key of another domain, without a key",
        ((WALLS, "test_no_route_"), (WALLS, "test_the_guarded_door"), (WALLS, "test_nothing_that_one_domain_keeps")),
    ),
    Attack(
        "writing with a key that may only read, reading with one that may only write",
        (
            (WALLS, "test_a_key_that_may_only"),
            (WALLS, "test_the_answer_to_a_write"),
            (HTTP, "test_what_stands_behind_a_fragment"),
            (LINES, "test_a_key_that_may_only"),
        ),
    ),
    Attack("no key, or what is none", ((HTTP, "test_what_is_no_key"), (HTTP, "test_two_authorization_headers"))),
    Attack(
        "wrong secret, another key's secret",
        ((SIGNING, "test_another_body_or_secret"), (HTTP, "test_a_signature_is_good_on_its_own")),
    ),
    Attack(
        "wrong region or service, malformed or truncated header", ((SIGNING, "test_a_header_that_is_not_well_formed"),)
    ),
    Attack(
        "changed method, path, query or header",
        ((SIGNING, "test_whatever_is_changed"), (HTTP, "test_a_domain_header_that_was_added")),
    ),
    Attack(
        "changed body, or query, against a running gateway; unsigned body",
        ((HTTP, "test_a_body_or_a_query"), (SIGNING, "test_a_body_that_is_not_signed")),
    ),
    Attack("extra unsigned header that decides", ((SIGNING, "test_a_header_that_decides"),)),
    Attack(
        "old date, future date, no date",
        ((SIGNING, "test_an_old_or_a_future_date"), (SIGNING, "test_what_is_no_date")),
    ),
    Attack(
        "replayed write, delete or document",
        ((HTTP, "test_a_replayed_write"), ("tests/auth/test_replay.py", "test_")),
    ),
    Attack(
        "the same after a restart or a kill, on every engine",
        (("tests/auth/test_replay_restart.py", "test_"),),
    ),
    Attack("1 MB of header, bytes that are no text", ((HTTP, "test_a_megabyte_of_header"),)),
    Attack(
        "path tricks around a domain (`%2e%2e`, `//`, `%2F`, `..`, absolute form), on every port",
        ((WALLS, "test_no_trick_in_the_path"), (HTTP, "test_a_request_line_in_absolute_form")),
    ),
    Attack(
        "domain names with separators; two domain headers",
        (
            (WALLS, "test_a_domain_with_a_separator"),
            (WALLS, "test_two_domain_headers"),
            ("tests/auth/test_permissions.py", "test_what_could_be_taken_for_a_separator"),
        ),
    ),
    Attack(
        "key of an inactive state, against unknown and wrong ones",
        (
            (HTTP, "test_an_inactive_key"),
            (HTTP, "test_the_first_key_closes"),
            (LINES, "test_a_key_that_was_turned_off"),
            (LINES, "test_a_right_that_was_taken"),
        ),
    ),
    Attack(
        "timing of an unknown against a known key",
        ((HTTP, "test_an_unknown_key_takes_as_much_work"), (FLOODS, "test_a_known_key_is_not_told")),
    ),
    Attack(
        "slow-loris: heads that trickle, silent and stalled connections",
        (
            (PORT, "test_a_connection_that_trickles"),
            (TELNET, "test_a_silent_connection"),
            (TELNET, "test_a_peer_that_does_not"),
        ),
    ),
    Attack(
        "bodies for nothing: 50 MB announced without a key or with a wrong one, many at once without their hash",
        ((HTTP, "test_nobody_makes_the_gateway"), ("tests/auth/test_unproven.py", "test_")),
    ),
    Attack("zip bomb behind a good signature", ((HTTP, "test_a_zip_bomb"),)),
    Attack(
        "100,000 connections against 1,024 descriptors; too many connections",
        (
            (FLOODS, "test_a_hundred_thousand"),
            (PORT, "test_past_the_most"),
            (TELNET, "test_connections_past_the_limit"),
        ),
    ),
    Attack(
        "telnet before `auth`, guesses, an endless first line",
        ((LINES, "test_before_auth"), (LINES, "test_after_three_failures"), (LINES, "test_an_endless_first_line")),
    ),
    Attack(
        "secrets and clear values of hashed tags in tables, files, journal, logs, metrics and answers",
        (
            (HTTP, "test_secrets_are_in_no"),
            (HASHED, "test_no_table_file"),
            (HASHED, "test_the_log_of_a_request"),
            (HASHED, "test_who_asks"),
            (HASHED, "test_the_list_of_running"),
            (HASHED, "test_no_clear_value_gets"),
            ("tests/auth/test_credentials.py", "test_no_stored_byte"),
        ),
    ),
    Attack(
        "one domain at the expense of another: limits, full journal, all worker threads",
        (
            ("tests/auth/test_limits.py", "test_"),
            ("tests/ingest/test_fairness.py", "test_"),
            ("tests/protocols/test_turns.py", "test_"),
            ("tests/protocols/test_lanes.py", "test_"),
        ),
    ),
)


def files() -> list[str]:
    """Return the files that the tests are in."""
    return sorted({file for attack in ATTACKS for file, _ in attack.tests})


def run(*options: str) -> str:
    """Run pytest on the files of all attacks; return what it printed. Raises CalledProcessError when a test failed."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, *files()]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=TIMEOUT_S)
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
        done.check_returncode()
    return done.stdout


def collected() -> Counter[tuple[str, str]]:
    """Return how many cases each test has, by file and name."""
    cases = re.findall(r"^([\w/.]+\.py)::(?:\w+::)?(test_\w+)", run("--collect-only"), re.MULTILINE)
    return Counter(cases)


def passed() -> Counter[tuple[str, str]]:
    """Run everything; return how many cases of each test passed, by file and name."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory) / "report.xml"
        run(f"--junit-xml={report}")
        found: Counter[tuple[str, str]] = Counter()
        for case in ElementTree.parse(report).iter("testcase"):
            if not len(case):  # neither failed nor skipped
                found[case.attrib["classname"].replace(".", "/") + ".py", case.attrib["name"].partition("[")[0]] += 1
        return found


def table(cases: Counter[tuple[str, str]]) -> str:
    """Return the table of attacks.

    Raises:
        LookupError: an attack that no test tries.
    """
    number_of_routes = asyncio.run(count_routes())
    rows = ["| attack | cases | where |", "|---|---|---|"]
    for attack in ATTACKS:
        counts = [_count(cases, file, start) for file, start in attack.tests]
        missing = [start for (_, start), count in zip(attack.tests, counts, strict=True) if not count]
        if missing:
            raise LookupError(f"{attack.name}: no test begins with {missing}")
        where = ", ".join(f"`{Path(file).name}`" for file in dict.fromkeys(file for file, _ in attack.tests))
        name = attack.name.replace("{routes}", str(number_of_routes))
        rows.append(f"| {name} | {sum(counts)} | {where} |")
    return "\n".join(rows) + "\n"


async def count_routes() -> int:
    """Return how many routes the walls are walked along: all that need a key."""
    async with guarded() as gateway:
        return sum(not is_open(route) for route in routes(gateway.process, "shop"))


def _count(cases: Counter[tuple[str, str]], file: str, start: str) -> int:
    return sum(count for (where, name), count in cases.items() if where == file and name.startswith(start))


def written() -> str:
    """Return the table that is in docs/security.md."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    """Print or write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--collect", action="store_true", help="count without running")
    parser.add_argument("--write", action="store_true", help="put it into docs/security.md")
    arguments = parser.parse_args()
    made = table(collected() if arguments.collect else passed())
    if arguments.write:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + made + END + rest.partition(END)[2])
    print(made, end="")


if __name__ == "__main__":
    main()
