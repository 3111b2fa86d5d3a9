"""Write what a realism check found: its report as JSON, and the pictures."""

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from smartmoney.runtime.realism_jobs import Outcome


def write_check(outcome: "Outcome", folder: Path) -> list[Path]:
    """Write check.json and a PNG per stylised fact to a folder, which is made if need be; return the files.

    Raises:
        OSError: they cannot be written.
    """
    from smartmoney.reports.realism_plots import draw_all

    folder.mkdir(parents=True, exist_ok=True)
    findings = outcome.findings
    pictures = draw_all([one.curves for one in findings], outcome.real, [one.impacts for one in findings])
    written = {"check.json": msgspec.json.encode(outcome.report)} | {f"{name}.png": picture for name, picture in pictures.items()}
    for name, content in written.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in written]
