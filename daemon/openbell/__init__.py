"""openbell: one daemon that keeps market data complete, correct and on time."""

from __future__ import annotations

__version__ = "0.1.0"
