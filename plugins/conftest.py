"""What every test of a plugin needs before anything else."""

from __future__ import annotations

from doubles import effort

effort.choose()
