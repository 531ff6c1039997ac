"""Ready-made settings for file layouts that many people have."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_TRADE = {"open": 2, "high": 3, "low": 4, "close": 5, "volume": 6}
_MID = {"open": [2, 7], "high": [3, 8], "low": [4, 9], "close": [5, 10]}
_LEAN: dict[str, Any] = {"format": "csv", "compression": "zip", "header": False}
_LEAN_EQUITY: dict[str, Any] = {**_LEAN, "price_scale": 10000, "zone": "America/New_York"}
_LEAN_DATED: dict[str, Any] = {"ts_format": "%Y%m%d %H:%M"}
_LEAN_OF_DAY: dict[str, Any] = {"time_format": "milliseconds"}
_DAILY: dict[str, Any] = {"intervals": ["1d"]}

PROFILES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "lean-daily": {
            **_LEAN_EQUITY,
            **_LEAN_DATED,
            **_DAILY,
            "path": "{symbol:lower}.zip",
            "columns": {"ts": 1, **_TRADE},
        },
        "lean-hour": {
            **_LEAN_EQUITY,
            **_LEAN_DATED,
            "intervals": ["1h"],
            "path": "{symbol:lower}.zip",
            "columns": {"ts": 1, **_TRADE},
        },
        "lean-minute": {
            **_LEAN_EQUITY,
            **_LEAN_OF_DAY,
            "intervals": ["1min"],
            "path": "{symbol:lower}/{date:%Y%m%d}_trade.zip",
            "columns": {"time": 1, **_TRADE},
        },
        "lean-second": {
            **_LEAN_EQUITY,
            **_LEAN_OF_DAY,
            "intervals": ["1s"],
            "path": "{symbol:lower}/{date:%Y%m%d}_trade.zip",
            "columns": {"time": 1, **_TRADE},
        },
        "lean-crypto-daily": {
            **_LEAN,
            **_LEAN_DATED,
            **_DAILY,
            "path": "{symbol:lower}_trade.zip",
            "columns": {"ts": 1, **_TRADE},
        },
        "lean-crypto-minute": {
            **_LEAN,
            **_LEAN_OF_DAY,
            "intervals": ["1min"],
            "path": "{symbol:lower}/{date:%Y%m%d}_trade.zip",
            "columns": {"time": 1, **_TRADE},
        },
        "lean-forex-daily": {
            **_LEAN,
            **_LEAN_DATED,
            **_DAILY,
            "path": "{symbol:lower}.zip",
            "columns": {"ts": 1, **_MID},
        },
        "lean-forex-minute": {
            **_LEAN,
            **_LEAN_OF_DAY,
            "intervals": ["1min"],
            "path": "{symbol:lower}/{date:%Y%m%d}_quote.zip",
            "columns": {"time": 1, **_MID},
        },
        "yahoo-csv": {
            "format": "csv",
            "path": "{symbol}.csv",
            "columns": {
                "ts": "Date|Datetime",
                "open": "Open",
                "high": "High",
                "low": "Low",
                "close": "Close",
                "volume": "Volume",
            },
        },
        "ninjatrader": {
            "format": "csv",
            "header": False,
            "delimiter": ";",
            "path": "{symbol}.Last.txt",
            "ts_format": ["%Y%m%d %H%M%S", "%Y%m%d"],
            "stamp": "end",
            "columns": {"ts": 1, **_TRADE},
        },
        "stooq": {
            "format": "csv",
            "path": "{symbol:lower}.us.txt",
            "date_format": ["%Y-%m-%d", "%Y%m%d"],
            "time_format": ["%H:%M:%S", "%H%M%S"],
            "zone": "Europe/Warsaw",
            "columns": {
                "date": "Date|<DATE>",
                "time": "Time|<TIME>?",
                "open": "Open|<OPEN>",
                "high": "High|<HIGH>",
                "low": "Low|<LOW>",
                "close": "Close|<CLOSE>",
                "volume": "Volume|<VOL>?",
            },
        },
    }
)
"""Profile name -> settings; what the configuration says wins, key by key, also within `columns`."""
