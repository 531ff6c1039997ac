"""The sample package of `plugins/README.md`, taken out of the page."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FILE = re.compile(r"^\*\*`(acme-bars/[^`]+)`\*\*\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def extract_sample(target: Path) -> Path:
    """Write the sample's files under `target`; return the package's directory."""
    text = (ROOT / "plugins" / "README.md").read_text(encoding="utf-8")
    for name, content in _FILE.findall(text):
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return target / "acme-bars"
