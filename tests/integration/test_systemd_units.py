"""The unit files, judged by systemd's own tools."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from openbell.model.places import SYSTEM_SOCKET
from openbell.service.watchdog import watchdog_period_s

pytestmark = pytest.mark.integration

UNITS = Path(__file__).parents[2] / "systemd"
INSTALLED = "/opt/openbell/bin/mdp"
needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not installed (Debian: apt-get install systemd)",
)
needs_setup = pytest.mark.skipif(
    shutil.which("systemd-sysusers") is None or shutil.which("systemd-tmpfiles") is None,
    reason="systemd-sysusers and systemd-tmpfiles are not installed (Debian: systemd)",
)


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """Return a folder with the units, starting a program that exists on every machine."""
    service = (UNITS / "openbell.service").read_text()
    assert INSTALLED in service
    (tmp_path / "openbell.service").write_text(service.replace(INSTALLED, "/bin/true"))
    shutil.copy(UNITS / "openbell.socket", tmp_path)
    return tmp_path


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@needs_analyze
def test_the_units_are_understood_in_every_line(staged: Path) -> None:
    units = [str(staged / name) for name in ("openbell.service", "openbell.socket")]
    done = _run("systemd-analyze", "verify", "--man=no", *units)
    assert done.returncode == 0, done.stderr
    assert "openbell" not in done.stderr


@needs_analyze
def test_the_service_is_exposed_little_enough(staged: Path) -> None:
    done = _run(
        "systemd-analyze",
        "security",
        "--offline=true",
        "--no-pager",
        "--threshold=25",
        str(staged / "openbell.service"),
    )
    found = re.search(r"Overall exposure level for openbell.service: ([0-9.]+)", done.stdout)
    assert found is not None, done.stderr
    assert float(found[1]) <= 2.5
    assert done.returncode == 0


def _settings(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        if line and line[0] not in "#[":
            key, value = line.split("=", maxsplit=1)
            found.setdefault(key, []).append(value)
    return found


def test_the_service_says_what_the_daemon_relies_on() -> None:
    service = _settings("openbell.service")
    assert service["Type"] == ["notify"]
    assert service["DynamicUser"] == ["yes"]
    assert service["RestartPreventExitStatus"] == ["78"]
    assert service["OOMPolicy"] == ["continue"]
    assert service["KillMode"] == ["mixed"]
    for directory in ("State", "Runtime", "Configuration"):
        assert service[f"{directory}Directory"][0].split("/", maxsplit=1)[0] == "openbell"
    seconds = service["WatchdogSec"][0].removesuffix("s")
    assert watchdog_period_s({"WATCHDOG_USEC": f"{seconds}000000"}, 1) == 30.0


def test_nothing_hides_the_peers_or_what_libraries_read() -> None:
    service = _settings("openbell.service")
    assert not {"PrivateUsers", "ProcSubset", "MemoryDenyWriteExecute"} & set(service)


def test_the_socket_is_where_clients_look_and_outlives_the_daemon() -> None:
    path = Path(_settings("openbell.socket")["ListenStream"][0])
    assert path == SYSTEM_SOCKET
    removed_at_stop = Path("/run") / _settings("openbell.service")["RuntimeDirectory"][0]
    assert not path.is_relative_to(removed_at_stop)
    assert _settings("openbell.socket")["SocketMode"] == ["0660"]


@needs_setup
def test_group_and_folders_are_made_as_written(tmp_path: Path) -> None:
    for kind in ("sysusers", "tmpfiles"):
        folder = tmp_path / "usr" / "lib" / f"{kind}.d"
        folder.mkdir(parents=True)
        shutil.copy(UNITS / f"openbell.{kind}", folder / "openbell.conf")
    (tmp_path / "etc").mkdir()
    done = _run("systemd-sysusers", f"--root={tmp_path}", "openbell.conf")
    assert done.returncode == 0, done.stderr
    group = _settings("openbell.socket")["SocketGroup"][0]
    assert re.search(rf"^{group}:", (tmp_path / "etc" / "group").read_text(), re.MULTILINE)
    done = _run("systemd-tmpfiles", "--create", f"--root={tmp_path}", "openbell.conf")
    assert done.returncode == 0, done.stderr
    credentials = tmp_path / "etc" / "openbell" / "credentials"
    assert credentials.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "run" / "openbell").is_dir()
