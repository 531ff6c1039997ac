"""The configuration that `mdp demo` runs."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from openbell.config.load import Document
from openbell.config.reader import read_text

DEMO_JOB = "demo_backfill"
DEMO_DATASET = "demo_minutes"


def demo_text() -> str:
    """Return the demo's configuration as it is written."""
    return files("openbell.config").joinpath("demo.yaml").read_text(encoding="utf-8")


def demo_document(folder: Path) -> Document:
    """Return the demo's configuration, its lake below `folder`."""
    return Document(tree=read_text(demo_text(), "demo.yaml"), source="demo.yaml", folder=folder)
