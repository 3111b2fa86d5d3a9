"""Keys come from files that nobody else may read, and nothing shows them."""

import copy
import json
import pickle

import msgspec
import pytest

from smartmoney.adapters.credentials import Credentials, CredentialsError, read_credentials


def pair(folder, mode=0o600):
    folder.mkdir(exist_ok=True)
    paths = []
    for name, text in (("exchange.key", "KEY\n"), ("exchange.secret", "canary\n")):
        path = folder / name
        path.write_text(text)
        path.chmod(mode)
        paths.append(str(path))
    return paths


def test_settings_win_over_the_environment_and_that_over_systemd(tmp_path):
    key, secret = pair(tmp_path / "a")
    other = tmp_path / "b"
    pair(other)
    (other / "exchange.key").write_text("OTHER")
    assert read_credentials(key, secret, {"CREDENTIALS_DIRECTORY": str(other)}).key == "KEY"
    named = {"SMARTMONEY_EXCHANGE_KEY_FILE": key, "SMARTMONEY_EXCHANGE_SECRET_FILE": secret, "CREDENTIALS_DIRECTORY": str(other)}
    assert read_credentials(None, None, named).key == "KEY"
    assert read_credentials(None, None, {"CREDENTIALS_DIRECTORY": str(other)}).key == "OTHER"
    assert read_credentials(key, secret, {}).secret == "canary"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604])
def test_files_that_others_may_read_are_refused(tmp_path, mode):
    key, secret = pair(tmp_path, mode)
    with pytest.raises(CredentialsError, match="chmod 600"):
        read_credentials(key, secret, {})


def test_what_is_missing_is_said_with_its_remedy(tmp_path):
    key, secret = pair(tmp_path / "a")
    with pytest.raises(CredentialsError, match="SMARTMONEY_EXCHANGE_KEY_FILE"):
        read_credentials(None, None, {})
    with pytest.raises(CredentialsError, match="only one half"):
        read_credentials(key, None, {})
    with pytest.raises(CredentialsError, match="cannot be read"):
        read_credentials(key + "x", secret, {})
    with pytest.raises(CredentialsError, match="no plain file"):
        read_credentials(str(tmp_path), secret, {})
    (tmp_path / "a" / "exchange.secret").write_text("")
    with pytest.raises(CredentialsError, match="is empty"):
        read_credentials(key, secret, {})
    (tmp_path / "a" / "exchange.secret").write_bytes(b"\xff\xfe")
    with pytest.raises(CredentialsError, match="holds no key") as caught:
        read_credentials(key, secret, {})
    assert caught.value.exit_code == 78


def test_nothing_shows_a_secret():
    credentials = Credentials("KEY", "canary")
    for shown in (repr(credentials), str(credentials), f"{credentials}", repr([credentials]), repr({"x": credentials})):
        assert "canary" not in shown
        assert "KEY" not in shown
    for write in (pickle.dumps, copy.copy, json.dumps, msgspec.json.encode, msgspec.msgpack.encode):
        with pytest.raises(TypeError):
            write(credentials)


def test_a_key_of_several_lines_is_refused_before_any_request_can_hold_it(tmp_path):
    canary = tmp_path / "secret"
    canary.write_text("canary4711\npass\n")
    canary.chmod(0o600)
    key = tmp_path / "key"
    key.write_text("abc")
    key.chmod(0o600)
    with pytest.raises(CredentialsError, match="more than one line") as refused:
        read_credentials(str(key), str(canary), {})
    assert "canary" not in str(refused.value)
