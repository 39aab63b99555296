"""The commands for people, against a gateway in a process of its own."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from compat_tests.process import ROOT, ServerProcess

START_MS = 1_700_000_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    one = ServerProcess(tmp_path_factory.mktemp("commands") / "data", {"AMDW_ALLOW_ANONYMOUS": "*:rw"}).start()
    try:
        one.wait_ready()
        yield one
    finally:
        one.stop()


def run(
    server: ServerProcess, *arguments: str, domain: str = "default", stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    url = f"http://127.0.0.1:{server.ports.http}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "AMDW_URL": url, "AMDW_DOMAIN": domain}
    command = [sys.executable, "-m", "amondawa", *arguments]
    return subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, timeout=90)


@pytest.fixture(scope="module")
def rooms(server: ServerProcess) -> ServerProcess:
    times = range(START_MS, START_MS + 60_000, 1000)
    hall = "".join(f"room.temp {time} {n}.5 room=hall\n\n" for n, time in enumerate(times))
    lines = hall + "".join(f"room.temp {time} {n} room=attic\n" for n, time in enumerate(times))
    assert run(server, "write", "-", stdin=lines).stderr == "120 points written\n"
    assert run(server, "write", "room.state", "open", "--time", str(START_MS), "--tag", "room=hall").returncode == 0
    return server


RANGE = ("--start", str(START_MS), "--end", str(START_MS + 60_000))


def test_a_query_is_a_table_csv_or_json(rooms: ServerProcess):
    table = run(rooms, "query", "room.temp", *RANGE).stdout.splitlines()
    assert len(table) == 61
    assert "room.temp{room=attic}" in table[0]
    text = run(rooms, "query", "room.temp", *RANGE, "--tag", "room=hall", "--format", "csv").stdout.splitlines()
    assert text[:2] == ["time,room.temp{room=hall}", "2023-11-14T22:13:20.000000Z,0.5"]
    lines = run(
        rooms, "query", "room.temp", *RANGE, "--aggregate", "sum", "--downsample", "max:1m", "--format", "json"
    ).stdout
    streams = [json.loads(line) for line in lines.splitlines()]
    assert len(streams) == 1
    assert sum(value for _, value in streams[0]["values"]) == 39.5 + 39 + 59.5 + 59
    assert run(rooms, "query", "nothing").stdout == "no points\n"


def test_a_query_is_drawn(rooms: ServerProcess, tmp_path: Path):
    path = tmp_path / "plot.png"
    assert run(rooms, "query", "room.temp", *RANGE, "--plot", str(path)).returncode == 0
    assert path.read_bytes().startswith(b"\x89PNG\r\n")


def test_names_that_look_like_formulas_and_more_lines_than_are_named_are_drawn(server: ServerProcess, tmp_path: Path):
    path = tmp_path / "plot.png"
    lines = "".join(f"_a$\\bad{{$ {START_MS} {n} r={n}$x$\n" for n in range(50))
    assert run(server, "write", "-", stdin=lines, domain="names").returncode == 0
    done = run(server, "query", "_a$\\bad{$", "--start", "0", "--plot", str(path), domain="names")
    assert done.returncode == 0, done
    assert done.stderr == f"amondawa: {path} names the first 40 of 50 lines\n"
    assert path.read_bytes().startswith(b"\x89PNG\r\n")
    assert run(server, "query", "nothing", "--plot", str(path), domain="names").returncode == 0


def test_texts_are_shown_and_not_drawn(rooms: ServerProcess, tmp_path: Path):
    path = tmp_path / "plot.png"
    done = run(rooms, "query", "room.state", "--start", "0", "--format", "json", "--plot", str(path))
    assert done.returncode == 0, done
    shown = {"name": "room.state", "tags": {"room": "hall"}, "values": [[START_MS, "open"]]}
    assert json.loads(done.stdout) == shown
    assert path.read_bytes().startswith(b"\x89PNG\r\n")
    refused = run(rooms, "query", "room.state", "--plot", str(tmp_path / "none" / "plot.png"))
    assert refused.returncode == 1
    assert refused.stderr.startswith("amondawa: ")


def test_lines_that_are_not_utf_8_are_refused_by_their_number(server: ServerProcess):
    wrong = "m 1 1 a=b\nm\udcff 1 1 a=b\n".encode(errors="surrogateescape")
    command = [sys.executable, "-m", "amondawa", "write", "-", "--url", f"http://127.0.0.1:{server.ports.http}"]
    done = subprocess.run(command, cwd=ROOT, input=wrong, capture_output=True, timeout=90)
    assert (done.returncode, done.stderr) == (2, b"amondawa: line 2 is not UTF-8\n")


def test_longs_past_the_digits_of_doubles_are_shown_exactly(server: ServerProcess):
    lines = f"m {START_MS} {2**63 - 1} a=b\nm {START_MS + 1} 1 a=c\n"
    run(server, "write", "-", stdin=lines, domain="long")
    text = run(server, "query", "m", "--start", "0", "--format", "csv", domain="long").stdout
    assert text.splitlines()[1].endswith(f",{2**63 - 1},")


def test_names_are_listed(rooms: ServerProcess):
    assert run(rooms, "names", "--prefix", "room.").stdout.split() == ["room.state", "room.temp"]
    assert run(rooms, "names", "tags").stdout.split() == ["room"]
    assert run(rooms, "names", "values", "--tag", "room").stdout.split() == ["attic", "hall"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("write", "m"),
        ("write", "m", "1", "--tag", "x"),
        ("query", "m", "--start", "whenever"),
        ("query", "m", "--downsample", "avg"),
        ("load", "--threads", "0"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(server: ServerProcess, arguments: tuple[str, ...]):
    refused = run(server, *arguments)
    assert refused.returncode == 2, refused
    assert refused.stderr.count("\n") == 1


def test_what_the_gateway_refuses_is_one_line_and_status_1(server: ServerProcess):
    refused = run(server, "names", "--domain", "a:b")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "a:b" in refused.stderr


def test_what_is_refused_is_told_in_words_by_its_address(server: ServerProcess):
    refused = run(server, "query", "m", "--aggregate", "nosuch")
    assert refused.stderr.startswith("amondawa: 400: metrics.0.aggregate: must be one of sum,")


def test_a_load_that_can_only_be_refused_ends_at_once(server: ServerProcess):
    done = run(server, "load", "--threads", "2", "--duration", "60", "--domain", "a:b")
    assert done.returncode == 1
    assert "failed batches: 2" in done.stdout
    assert "failure: 400: domain: domain 'a:b'" in done.stderr


def test_load_keeps_its_rate_and_tells_how_it_went(server: ServerProcess):
    options = ("--rate", "2000", "--threads", "2", "--duration", "2", "--batch-size", "100", "--metric", "load.rated")
    done = run(server, "load", *options, domain="load")
    assert done.returncode == 0, done
    points = int(done.stdout.split("points: ")[1].split()[0])
    assert 400 <= points <= 4_400
    assert "p99" in done.stdout
    assert "failed batches: 0" in done.stdout
    assert run(server, "names", domain="load").stdout.split() == ["load.rated"]


@pytest.mark.parametrize("form", ["json", "csv", "opentsdb", "kairosdb"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_what_was_exported_is_imported_the_same(rooms: ServerProcess, tmp_path: Path, form: str, suffix: str):
    first, second = (str(tmp_path / f"{name}.{form}{suffix}") for name in ("first", "second"))
    domain = f"copy_{form}{suffix.replace('.', '_')}"
    done = run(rooms, "export", first, "--format", form)
    assert "121 points of 2 metrics" in done.stderr, done
    assert run(rooms, "import", first, "--format", form, domain=domain).returncode == 0
    assert run(rooms, "export", second, "--format", form, domain=domain).returncode == 0
    unpack = gzip.decompress if suffix else bytes
    assert unpack(Path(first).read_bytes()) == unpack(Path(second).read_bytes())


def test_an_import_goes_on_where_it_stopped(server: ServerProcess, tmp_path: Path):
    lines = [json.dumps({"name": f"m{n}", "tags": {"a": "b"}, "datapoints": [[START_MS, n]]}) for n in range(4)]
    file, mark = tmp_path / "points.json", tmp_path / "mark"
    file.write_text("\n".join([*lines[:2], "damaged"]) + "\n")
    stopped = run(server, "import", str(file), domain="going")
    assert stopped.returncode == 1
    assert f"{file}:3: " in stopped.stderr
    assert "--skip 2" in stopped.stderr
    assert run(server, "names", domain="going").stdout.split() == ["m0", "m1"]
    file.write_text("\n".join(lines) + "\n")
    mark.write_text("3")
    assert run(server, "import", str(file), "--resume", str(mark), domain="going").stderr.endswith("1 points\n")
    assert not mark.exists()
    assert run(server, "names", domain="going").stdout.split() == ["m0", "m1", "m3"]


KINDS = [
    [START_MS, 2**63 - 1],
    [START_MS + 1, -(2**63)],
    [START_MS + 2, 0.1],
    [START_MS + 3, 5.0],
    [START_MS + 4, "☃\n"],
]


@pytest.mark.parametrize("suffix", ["kairosdb", "json.gz", "csv", "parquet"])
def test_every_type_and_any_name_goes_through_a_file(server: ServerProcess, tmp_path: Path, suffix: str):
    given, out, domain = tmp_path / "given.json", tmp_path / f"out.{suffix}", f"types_{suffix.replace('.', '_')}"
    given.write_text(json.dumps({"name": "m ü", "tags": {"a b": "c=d"}, "datapoints": KINDS}) + "\n")
    form = ("--format", "kairosdb") if suffix == "kairosdb" else ()
    assert run(server, "import", str(given), domain=domain).returncode == 0
    assert run(server, "export", str(out), *form, domain=domain).returncode == 0
    done = run(server, "import", str(out), *form, domain=domain + "_2")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "5 points"), done
    last = run(server, "export", "-", domain=domain + "_2")
    assert json.loads(last.stdout)["datapoints"] == KINDS
    assert [type(value) for _, value in json.loads(last.stdout)["datapoints"]] == [int, int, float, float, str]


def test_with_keep_going_bad_lines_are_told_and_the_others_written(server: ServerProcess, tmp_path: Path):
    file = tmp_path / "points.txt"
    file.write_text(f"good {START_MS} 1 a=b\nbad\nput good {START_MS + 1} 2 a=b\nbad {START_MS} x a=b\n")
    done = run(server, "import", str(file), "--format", "opentsdb", "--keep-going", domain="keep")
    assert done.returncode == 1
    assert [line.split(": ")[1] for line in done.stderr.splitlines() if "amondawa:" in line] == [
        f"{file}:2",
        f"{file}:4",
    ]
    assert done.stderr.endswith("2 points\n")


def test_what_the_gateway_refuses_of_a_file_is_told_with_its_lines(server: ServerProcess, tmp_path: Path):
    file = tmp_path / "points.json"
    file.write_text(json.dumps({"name": "m", "tags": {}, "datapoints": [[START_MS, "x" * 300_000]]}) + "\n")
    done = run(server, "import", str(file), domain="refused")
    assert done.returncode == 1
    assert f"{file}:1-1: refused with 400" in done.stderr
    assert done.stderr.count("\n") <= 2


def test_an_export_goes_on_behind_the_metrics_that_are_done(rooms: ServerProcess, tmp_path: Path):
    whole, file, mark = tmp_path / "whole.gz", tmp_path / "part.gz", tmp_path / "mark"
    assert run(rooms, "export", str(whole)).returncode == 0
    one = run(rooms, "export", str(file), "--metric", "room.state")
    assert one.returncode == 0
    mark.write_text(f"{file.stat().st_size}\nroom.state")
    with file.open("ab") as out:
        out.write(b"half of what comes next")
    assert run(rooms, "export", str(file), "--resume", str(mark)).stderr.endswith("120 points of 2 metrics\n")
    assert gzip.decompress(file.read_bytes()) == gzip.decompress(whole.read_bytes())
    assert not mark.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "x.parquet", "--resume", "mark"),
        ("export", "-", "--resume", "mark"),
        ("export", "-", "--format", "parquet"),
        ("export", "x", "--start", "whenever"),
        ("import", "x.parquet.gz"),
        ("write", "m", str(2**63)),
    ],
)
def test_what_cannot_be_asked_is_one_line_and_status_2(server: ServerProcess, arguments: tuple[str, ...]):
    refused = run(server, *arguments)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused


def test_a_gateway_that_is_not_there_is_one_line_and_status_1(server: ServerProcess, tmp_path: Path):
    for arguments in (("names",), ("export", str(tmp_path / "x")), ("query", "m"), ("write", "m", "1")):
        refused = run(server, *arguments, "--url", "http://127.0.0.1:9")
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1), refused


def heed_ctrl_c() -> None:
    """Undo what a shell does to jobs in the background, which ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_a_load_with_one_line_and_130(server: ServerProcess):
    url = f"http://127.0.0.1:{server.ports.http}"
    command = [sys.executable, "-m", "amondawa", "load", "--duration", "60", "--url", url, "--domain", "stopped"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, preexec_fn=heed_ctrl_c) as process:
        deadline = time.monotonic() + 60
        while not run(server, "names", domain="stopped").stdout and time.monotonic() < deadline:
            pass
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "points: " in out
    assert "Traceback" not in errors


def test_a_reader_that_has_enough_gets_no_traceback(rooms: ServerProcess):
    url = f"http://127.0.0.1:{rooms.ports.http}"
    command = f"{sys.executable} -m amondawa query room.temp --start 0 --format csv --url {url} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout.startswith("time,")
    assert done.stderr == ""
