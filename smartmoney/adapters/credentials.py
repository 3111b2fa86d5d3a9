"""Where the keys of an exchange come from: files that only the daemon can read, never a configuration, never the command line.

Looked for in this order, the first that is there wins: the files that the settings or the environment name (mode 0600 or stricter),
systemd's credentials, the container's secrets. Invariants: a secret is held in one object that no representation shows; a message names
files, never what is in them; an address or a file's rights that are wrong are an error, not a warning.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

KEY_NAME, SECRET_NAME = "exchange.key", "exchange.secret"
PASSPHRASE_NAME, PASSPHRASE_VARIABLE = "exchange.passphrase", "SMARTMONEY_EXCHANGE_PASSPHRASE_FILE"
"""A third part, which OKX wants."""
KEY_VARIABLE, SECRET_VARIABLE = "SMARTMONEY_EXCHANGE_KEY_FILE", "SMARTMONEY_EXCHANGE_SECRET_FILE"
SYSTEMD_VARIABLE = "CREDENTIALS_DIRECTORY"
CONTAINER_SECRETS = Path("/run/secrets")
_BYTES_MAX = 16_384
"""An RSA key in PEM is below 4 kB."""


class CredentialsError(Exception):
    """Say that no usable key was found, and what to do."""

    exit_code = 78


class Credentials:
    """Hold a key and its secret. Nothing shows them: not `repr`, not a traceback's arguments, not a serialiser."""

    __slots__ = ("_key", "_passphrase", "_secret")

    def __init__(self, key: str, secret: str, passphrase: str = "") -> None:
        self._key = key
        self._secret = secret
        self._passphrase = passphrase

    def __repr__(self) -> str:
        return "Credentials(…)"

    def __reduce__(self) -> str:
        raise TypeError("credentials are not to be written anywhere")

    @property
    def key(self) -> str:
        """Return the public half, which names the account to the venue."""
        return self._key

    @property
    def secret(self) -> str:
        """Return the secret half, for signing only."""
        return self._secret

    @property
    def passphrase(self) -> str:
        """Return what some venues want beside the secret; empty elsewhere."""
        return self._passphrase


def read_credentials(
    key_file: str | None, secret_file: str | None, environment: Mapping[str, str], passphrase_file: str | None = None
) -> Credentials:
    """Return the keys of the exchange, with a passphrase where one is there: who needs it asks for it.

    Args:
        key_file: path of the key from the settings, or None.
        secret_file: path of its secret, or None.
        environment: of the process.
        passphrase_file: path of the passphrase from the settings, or None.

    Raises:
        CredentialsError: there are none, only one half, or a file that others may read.
    """
    key_file = key_file or environment.get(KEY_VARIABLE) or None
    secret_file = secret_file or environment.get(SECRET_VARIABLE) or None
    if (key_file is None) != (secret_file is None):
        raise CredentialsError("only one half of the exchange's key is named; name both the key's and the secret's file")
    if key_file is not None and secret_file is not None:
        passphrase_file = passphrase_file or environment.get(PASSPHRASE_VARIABLE) or None
        passphrase = "" if passphrase_file is None else _private(Path(passphrase_file).expanduser())
        return Credentials(_private(Path(key_file).expanduser()), _private(Path(secret_file).expanduser()), passphrase)
    folders = [Path(environment[SYSTEMD_VARIABLE])] if environment.get(SYSTEMD_VARIABLE) else []
    for folder in (*folders, CONTAINER_SECRETS):
        key, secret = folder / KEY_NAME, folder / SECRET_NAME
        if key.is_file() and secret.is_file():
            third = folder / PASSPHRASE_NAME
            return Credentials(_read(key), _read(secret), _read(third) if third.is_file() else "")
    raise CredentialsError(
        f"there is no key of the exchange; write it to two files of mode 0600 and name them in {KEY_VARIABLE} and {SECRET_VARIABLE}, "
        f"or give {KEY_NAME} and {SECRET_NAME} as systemd credentials or container secrets"
    )


def _private(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:
        raise CredentialsError(f"{path} cannot be read ({error.strerror}); check the path and its owner") from None
    if not stat.S_ISREG(status.st_mode):
        raise CredentialsError(f"{path} is no plain file; put the key into one")
    if status.st_mode & 0o077:
        raise CredentialsError(f"others may read {path} (mode {status.st_mode & 0o777:04o}); chmod 600 it")
    if status.st_uid not in {0, os.geteuid()}:
        raise CredentialsError(f"{path} belongs to another user; give it to the one that runs the daemon")
    return _read(path)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_BYTES_MAX + 1)
        text = raw.decode("ascii").strip()
    except OSError as error:
        raise CredentialsError(f"{path} cannot be read ({error.strerror}); check its rights") from None
    except UnicodeDecodeError:
        raise CredentialsError(f"{path} holds no key; write the key as the exchange shows it, nothing else") from None
    if not text or len(raw) > _BYTES_MAX:
        raise CredentialsError(f"{path} is empty or too long for a key; write the key as the exchange shows it, nothing else")
    if not text.isprintable() and not text.startswith("-----BEGIN "):
        raise CredentialsError(f"{path} holds more than one line; write the key as the exchange shows it, nothing else")
    return text
