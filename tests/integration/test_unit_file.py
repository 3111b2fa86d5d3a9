"""The systemd unit, the image and the compose file: what can be checked without running them, and a verification by systemd where it is."""

import configparser
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from smartmoney.adapters.credentials import KEY_NAME, SECRET_NAME

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "systemd" / "smartmoney.service"
DIFF = ROOT / "systemd" / "smartmoney-diff.service"
ALERT = ROOT / "systemd" / "smartmoney-diff-alert.service"
GUARD = ROOT / "systemd" / "smartmoney-guard.service"
LIVE = {unit: unit.with_name(f"{unit.name}.d") / "live.conf" for unit in (UNIT, GUARD, DIFF, ALERT)}
"""What makes each of them a live one."""


class Keys(dict):
    """Keep every value of a key that stands more than once, as systemd does."""

    def __setitem__(self, key, value):
        if isinstance(value, list) and key in self:
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


def read(path):
    parser = configparser.RawConfigParser(
        dict_type=Keys, strict=False, delimiters=("=",), comment_prefixes=("#",), empty_lines_in_values=False
    )
    parser.optionxform = str
    parser.read(path)
    return {section: {key: parser.get(section, key).split("\n") for key in parser.options(section)} for section in parser.sections()}


@pytest.fixture(scope="module")
def unit():
    return read(UNIT)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Type", "notify"),
        ("NotifyAccess", "main"),
        ("WatchdogSec", "30"),
        ("Restart", "always"),
        ("RestartPreventExitStatus", "78"),
        ("KillMode", "mixed"),
        ("DynamicUser", "yes"),
        ("StateDirectory", "smartmoney"),
        ("StateDirectoryMode", "0700"),
        ("CacheDirectory", "smartmoney"),
        ("UMask", "0077"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("LimitCORE", "0"),
    ],
)
def test_unit_keeps_its_promises(unit, key, value):
    assert unit["Service"][key] == [value]


def test_unit_does_not_forbid_what_compiled_kernels_need(unit):
    assert "MemoryDenyWriteExecute" not in unit["Service"]
    assert "ProcSubset" not in unit["Service"]


def test_unit_limits_its_restarts_and_waits_for_an_orderly_stop(unit):
    assert unit["Unit"]["StartLimitBurst"] == ["5"]
    assert int(unit["Unit"]["StartLimitIntervalSec"][0]) > 5 * int(unit["Service"]["RestartSec"][0])
    assert int(unit["Service"]["TimeoutStopSec"][0]) >= 60


@pytest.mark.parametrize("path", [UNIT, DIFF, ALERT, GUARD, *LIVE.values()])
def test_unit_starts_a_command_that_exists_with_a_file_that_exists(path):
    from typer.main import get_command

    from smartmoney.cli.main import app

    program, *arguments = shlex.split(read(path)["Service"]["ExecStart"][-1])
    assert program == "/opt/smartmoney/.venv/bin/smartmoney"
    command = get_command(app).commands[arguments[0]]
    command = command.commands[arguments[1]] if hasattr(command, "commands") else command
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in arguments if word.startswith("--")} <= options
    assert (ROOT / "config" / Path(arguments[-1]).name).is_file()


def test_the_nightly_comparison_is_the_daemons_own_user_and_keeps_out_of_its_way(unit):
    service = read(DIFF)["Service"]
    assert service["User"] == [UNIT.stem]
    for key in ("DynamicUser", "StateDirectory", "StateDirectoryMode", "CacheDirectory", "ConfigurationDirectory", "Environment", "UMask"):
        assert service[key] == unit["Service"][key], key
    assert service["Nice"] == ["19"]
    assert service["PrivateNetwork"] == ["yes"]
    assert read(DIFF.with_suffix(".timer"))["Install"]["WantedBy"] == ["timers.target"]


def test_a_comparison_that_fails_tells_people_what_differs(unit):
    assert read(DIFF)["Unit"]["OnFailure"] == [ALERT.name]
    alert = read(ALERT)["Service"]
    assert alert["User"] == [UNIT.stem]
    for key in ("DynamicUser", "StateDirectory", "StateDirectoryMode", "ConfigurationDirectory", "UMask"):
        assert alert[key] == unit["Service"][key], key
    assert "PrivateNetwork" not in alert
    for written, read_again in ((DIFF, ALERT), (LIVE[DIFF], LIVE[ALERT])):
        words, told = (shlex.split(read(path)["Service"]["ExecStart"][-1]) for path in (written, read_again))
        assert words[words.index("--out") + 1] == told[told.index("--text-from") + 1]
        assert words[words.index("--out") + 1].startswith("%S/" + read(written)["Service"]["StateDirectory"][-1])
        assert words[-1] == told[-1], "the same configuration"


def test_whoever_sends_alerts_is_given_their_addresses_if_there_are_any():
    """The units' user exists only while they run: no file of mode 0600 can be its own. A path without a slash may be missing."""
    for path in (UNIT, GUARD, ALERT):
        assert read(path)["Service"]["LoadCredential"] == ["alerts:smartmoney.alerts"], path
    assert "LoadCredential" not in read(DIFF)["Service"], "it sends nothing"
    page = (ROOT / "docs" / "safety.md").read_text(encoding="utf-8")
    assert "/etc/credstore/smartmoney.alerts" in page


def test_the_guard_is_the_daemons_user_and_outlives_it(unit):
    guard = read(GUARD)
    for key in ("DynamicUser", "StateDirectory", "StateDirectoryMode", "ConfigurationDirectory", "Environment", "UMask", "ProtectSystem"):
        assert guard["Service"][key] == unit["Service"][key], key
    assert guard["Service"]["User"] == [UNIT.stem]
    assert not {"BindsTo", "PartOf", "Requires", "Requisite"} & guard["Unit"].keys()
    assert guard["Unit"]["StartLimitIntervalSec"] == ["0"], "nothing keeps it down"
    assert guard["Service"]["MemoryDenyWriteExecute"] == ["yes"]


def test_the_composed_guard_shares_the_state_and_nothing_else():
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    guard = services["guard"]
    assert guard["volumes"] == services["smartmoney"]["volumes"]
    assert guard["read_only"] is True
    assert guard["cap_drop"] == ["ALL"]
    assert guard["command"][0] == "guard"
    assert "ports" not in guard


def test_live_units_share_a_state_of_their_own_that_stays_private(unit):
    live = {path: read(dropin)["Service"] for path, dropin in LIVE.items()}
    assert {tuple(service["StateDirectory"]) for service in live.values()} == {("", "smartmoney-live")}, "set back, then named"
    for path, service in live.items():
        # systemd sets the mode back along with the list of directories.
        assert service["StateDirectoryMode"] == unit["Service"]["StateDirectoryMode"] == ["0700"], path
        assert service["ExecStart"][0] == "", "instead of the unit's own command, not after it"


def test_install_page_uses_the_paths_of_the_unit(unit):
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    for path in ("/opt/smartmoney", "/etc/smartmoney/paper.yaml", "/var/lib/smartmoney", "systemd/smartmoney.service"):
        assert path in page


def test_image_copies_what_the_build_needs_and_the_context_lets_it_through():
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [word for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.MULTILINE) for word in line.split()[:-1]]
    needed = {"deploy/requirements.lock", "pyproject.toml", "README.md", "config", "smartmoney"}
    assert set(copied) == needed == allowed
    assert all((ROOT / path).exists() for path in copied)


def test_image_runs_as_nobody_and_stops_on_sigterm():
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^USER 65532:65532$", dockerfile, re.MULTILINE)
    assert "STOPSIGNAL SIGTERM" in dockerfile
    assert "--require-hashes" in dockerfile
    assert dockerfile.index("USER 65532") < dockerfile.index("ENTRYPOINT")


def test_compose_locks_the_container_down():
    service = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]["smartmoney"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert any(mount.startswith("/tmp") for mount in service["tmpfs"])
    assert service["volumes"] == ["state:/state"]
    assert "ports" not in service


def test_live_keys_have_the_names_that_are_looked_for():
    names = [KEY_NAME, SECRET_NAME]
    for path in (UNIT, GUARD):
        assert re.findall(r"^LoadCredentialEncrypted=([\w.]+):/etc/credstore\.encrypted/", LIVE[path].read_text(), re.MULTILINE) == names
    composed = yaml.safe_load((ROOT / "deploy" / "compose.live.yaml").read_text())
    base = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    services, files = composed["services"], composed["secrets"]
    assert services["smartmoney"]["secrets"] == names
    assert [each["target"] for each in services["guard"]["secrets"]] == names
    assert set(files) == {*names, *(each["source"] for each in services["guard"]["secrets"])}
    for name, service in services.items():
        assert name in base
        assert "--live" in service["command"]
        assert service["volumes"][0].split(":")[1] == service["command"][-1]


@pytest.mark.parametrize("path", [UNIT, DIFF, ALERT, GUARD])
def test_systemd_accepts_the_unit_and_calls_it_well_locked(path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed here: the unit is checked by its text only")
    said = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=26" if path == DIFF else "--threshold=11", str(path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert said.returncode == 0, said.stdout + said.stderr
