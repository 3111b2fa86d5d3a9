"""Where the addresses of alerts come from: a service credential, a container's secret, or a private file; never a setting or an argument.

An address of apprise holds its own password (`tgram://TOKEN/CHAT`), so it is a secret as a whole. A file may hold several, one a line;
empty lines and lines that begin with `#` are passed over.

Invariants: no message names an address; a file that others may read is refused.
"""

import stat
from collections.abc import Mapping
from pathlib import Path

ADDRESSES_MAX = 16
_BYTES_MAX = 64 << 10
_UNREADABLE = "give the file to the daemon's user; as a systemd service: put it at /etc/credstore/smartmoney.alerts and name it `alerts`"


class AlertSecretRefused(Exception):
    """Report a reference that gives no addresses: which one, what is wrong, what to do."""

    exit_code = 78

    def __init__(self, reference: str, problem: str, remedy: str) -> None:
        """Build the one-line message."""
        super().__init__(f"alerts.urls: {reference}: {problem}; {remedy}")


def read_addresses(reference: str, environ: Mapping[str, str]) -> list[str]:
    """Return the addresses that a reference stands for: an absolute path, or the name of a credential or a container's secret.

    Raises:
        AlertSecretRefused: there is no such file, others may read it, it is too long, or it holds nothing.
    """
    path = _find(reference, environ)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise AlertSecretRefused(reference, "not a file", "name a file that holds one address a line")
        is_ours = path.is_relative_to(environ.get("CREDENTIALS_DIRECTORY") or "/run/secrets")
        if stat.S_IMODE(status.st_mode) & 0o077 and not is_ours:
            raise AlertSecretRefused(reference, "other users may read it", f"chmod 600 {path}")
        if status.st_size > _BYTES_MAX:
            raise AlertSecretRefused(reference, "the file is too long", "write one address a line")
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise AlertSecretRefused(reference, f"cannot be read: {error.strerror or error}", _UNREADABLE) from error
    except UnicodeDecodeError:
        raise AlertSecretRefused(reference, "is not text", "write one address a line") from None
    found = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not 0 < len(found) <= ADDRESSES_MAX:
        raise AlertSecretRefused(reference, f"holds {len(found)} addresses", f"write 1 to {ADDRESSES_MAX}, one a line")
    return found


def _find(reference: str, environ: Mapping[str, str]) -> Path:
    if reference.startswith("/"):
        return Path(reference)
    credentials = environ.get("CREDENTIALS_DIRECTORY")
    for folder in (credentials, "/run/secrets"):
        if folder and (Path(folder) / reference).is_file():
            return Path(folder) / reference
    kept = f"/etc/credstore/smartmoney.{reference}"
    if credentials:
        remedy = f"have the unit load it (LoadCredential={reference}:{kept})"
    else:
        as_it_does = f"systemd-run --pipe --wait -p DynamicUser=yes -p LoadCredential={reference}:{kept} COMMAND"
        remedy = f"a service's credentials are seen by its own processes alone: do it as the service does, `{as_it_does}`"
    problem = "no credential of this process and no container's secret has this name"
    raise AlertSecretRefused(reference, problem, f"{remedy}, or name a file of mode 0600 by its whole path")
