"""How fast put lines are read: the compiled reader and its twin, on 139-byte lines with 8 tags.

    python bench/lines.py [lines]

Prints million lines a second of processor time per reader, for 1,000 and for 100,000 known series, in buffers of 64 KB and
of 256 KB.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from amondawa.kernels.grouping import group_by_ref
from amondawa.kernels.line_columns import LineTable, ScanRules
from amondawa.kernels.lines_compiled import CompiledTable
from amondawa.kernels.lines_twin import TwinTable

RULES = ScanRules(seconds_below=3_000_000_000, exponent_needs_point=True, longest=1_024)


def make_lines(series: int, lines: int) -> list[bytes]:
    rng = random.Random(7)
    out = []
    for i in range(lines):
        number = i % series
        tags = (
            f"host=server{number:06d} dc=lga rack=r{number % 40:02d} os=linux arch=x64 "
            f"team=sf service=s{number % 20:02d} environment=production"
        )
        value = f"{rng.random() * 100:.6f}" if i % 3 else str(rng.randrange(10_000))
        out.append(f"put cpu.usage_user {1_700_000_000 + i // series * 10} {value} {tags}\n".encode())
    return out


def learn(table: LineTable, lines: list[bytes]) -> None:
    for ref, line in enumerate(lines):
        words = line[:-1].split(b" ", 4)
        table.add(words[1], words[4], ref)


def blocks_of(lines: list[bytes], size: int) -> list[bytes]:
    per_block = max(1, size // len(lines[0]))
    return [b"".join(lines[i : i + per_block]) for i in range(0, len(lines), per_block)]


def measure(table: LineTable, blocks: list[bytes]) -> float:
    best = float("inf")
    for _ in range(3):
        begun = time.thread_time()
        rows = sum(len(table.scan(block)) for block in blocks)
        best = min(best, time.thread_time() - begun)
    return rows / best / 1e6


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    for series in (1_000, 100_000):
        lines = make_lines(series, count)
        for name, table in (("compiled", CompiledTable(RULES)), ("twin", TwinTable(RULES))):
            learn(table, lines[:series])
            for size in (65_536, 262_144):
                blocks = blocks_of(lines, size)
                missed = sum(int((table.scan(block).refs < 0).sum()) for block in blocks)
                print(
                    f"{name:9} {series:7} series {size // 1024:4} KB: "
                    f"{measure(table, blocks):5.2f} M lines/s, {missed} left over"
                )
    print(f"mean line: {sum(map(len, lines)) / len(lines):.0f} bytes")
    for series in (1_000, 100_000):
        refs = np.random.default_rng(1).integers(0, series, 1_000_000).astype(np.int32)
        group_by_ref(refs)
        begun = time.thread_time()
        group_by_ref(refs)
        print(f"group_by_ref {series:7} series: {(time.thread_time() - begun) * 1e3:.1f} ns a point")


if __name__ == "__main__":
    main()
