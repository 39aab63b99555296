"""Daemons as Debian packages them, in the foreground with a configuration of their own, writing into a server."""

import getpass
import grp
import json
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from compat_tests.clients.builds import need
from compat_tests.clients.running import arrived, built_or_skip, is_now, metrics, running, serving, tag_names
from compat_tests.process import HOST, ServerProcess
from compat_tests.wire import eventually

pytestmark = pytest.mark.timeout(300)
NETDATA = """
[global]
  run as user = {user}
  hostname = compat-host
[directories]
  config = {home}
  stock config = {home}
  cache = {home}
  lib = {home}
  log = {home}
  home = {home}
[db]
  mode = ram
  update every = 1
[web]
  mode = none
[health]
  enabled = no
[statsd]
  enabled = no
[ml]
  enabled = no
[plugins]
  enable running new plugins = no
  proc = yes
  timex = no
  tc = no
  cgroups = no
  idlejitter = no
  diskspace = no
"""
EXPORTING = """
[exporting:global]
  enabled = yes
  update every = 1
[opentsdb:lines]
  enabled = yes
  destination = {host}:{port}
  prefix = netlines
  update every = 1
  data source = as collected
  send charts matching = system.ram system.load
[opentsdb:http:bodies]
  enabled = yes
  destination = {host}:{port}
  prefix = netbodies
  update every = 1
  data source = average
  send charts matching = system.ram system.load
"""
ICINGA = """
include <itl>
const NodeName = "compat-host"
object CheckerComponent "checker" {{ }}
object OpenTsdbWriter "gateway" {{ host = "{host}", port = {port} }}
object CheckCommand "fixed" {{
  command = [ "/bin/echo", "OK | load=0.25;5;10;0;20 users=3 '/var/log'=42MB" ]
}}
object Host "web01" {{ check_command = "fixed", check_interval = 1s, retry_interval = 1s }}
object Service "disk" {{
  host_name = "web01", check_command = "fixed", check_interval = 1s, retry_interval = 1s
}}
"""
ICINGA_DIRECTORIES = ("DataDir", "LogDir", "CacheDir", "InitRunDir", "SpoolDir")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(tmp_path_factory.mktemp("debian")) as one:
        yield one


def memory_mib() -> float:
    found = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    assert found
    return int(found.group(1)) / 1024


@pytest.fixture(scope="module")
def netdata(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Let netdata export its memory and load by both connectors for some seconds; return its log."""
    command = built_or_skip(lambda: need("netdata", "netdata-core"))
    home = tmp_path_factory.mktemp("netdata")
    (home / "netdata.conf").write_text(NETDATA.format(home=home, user=getpass.getuser()))
    (home / "exporting.conf").write_text(EXPORTING.format(host=HOST, port=server.ports.opentsdb))
    with running([command, "-D", "-c", home / "netdata.conf"], home / "output"):
        for prefix in ("netlines", "netbodies"):
            eventually(partial(metrics, server, f"{prefix}.system."), lambda seen: len(seen) >= 7, 30.0)
            arrived(server, f"{prefix}.system.ram.used", 3, 20.0)
    return (home / "output").read_text(errors="replace")[-3000:]


@pytest.mark.parametrize(("prefix", "unit_mib"), [("netlines", 1 / 1024), ("netbodies", 1.0)])
def test_netdatas_memory_adds_up_to_this_machines(server: ServerProcess, netdata: str, prefix: str, unit_mib: float):
    names = metrics(server, f"{prefix}.system.ram.")
    assert len(names) == 4, netdata
    latest = 0.0
    for name in names:
        ((tags, points),) = arrived(server, name).items()
        assert dict(tags)["host"] == "compat-host"
        assert is_now(points[-1][0])
        latest += points[-1][1]
    assert latest * unit_mib == pytest.approx(memory_mib(), rel=0.1), names


@pytest.mark.parametrize("prefix", ["netlines", "netbodies"])
def test_netdata_writes_a_point_a_second(server: ServerProcess, netdata: str, prefix: str):
    ((_, points),) = arrived(server, f"{prefix}.system.ram.used").items()
    times_s = [at // 1000 for at, _ in points]
    assert len(times_s) >= 3, netdata
    assert times_s == sorted(set(times_s))


@pytest.fixture(scope="module")
def icinga(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Let icinga2 write the results of some checks; return its log."""
    command = built_or_skip(lambda: need("icinga2", "icinga2-bin"))
    home = tmp_path_factory.mktemp("icinga2")
    (home / "icinga2.conf").write_text(ICINGA.format(host=HOST, port=server.ports.opentsdb))
    constants = {"RunAsUser": getpass.getuser(), "RunAsGroup": grp.getgrgid(os.getgid()).gr_name}
    for name in ICINGA_DIRECTORIES:
        (home / name).mkdir()
        constants[name] = str(home / name)
    defines = [part for name, value in constants.items() for part in ("-D", f"{name}={value}")]
    with running([command, "daemon", "-c", home / "icinga2.conf", *defines], home / "output"):
        arrived(server, "icinga.service.disk./var/log", 2, 30.0)
        arrived(server, "icinga.host.state", 2, 30.0)
    return (home / "output").read_text(errors="replace")[-3000:]


def test_icingas_performance_data_is_there_even_with_slashes_in_names(server: ServerProcess, icinga: str):
    wanted = {"load": 0.25, "load_warn": 5, "load_crit": 10, "load_max": 20, "users": 3, "/var/log": 42_000_000}
    for name, value in wanted.items():
        points = arrived(server, f"icinga.service.disk.{name}")[(("host", "web01"),)]
        assert {seen for _, seen in points} == {value}, icinga
        assert is_now(points[-1][0])


def test_icingas_checks_carry_their_host_service_and_type(server: ServerProcess, icinga: str):
    assert tag_names(server, "icinga.check.execution_time") == ["host", "service", "type"], icinga
    states = arrived(server, "icinga.host.state")
    assert {value for points in states.values() for _, value in points} == {0}, json.dumps(metrics(server, "icinga"))
