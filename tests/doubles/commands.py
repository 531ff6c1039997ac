"""The installed command, run as a process in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MDP = Path(sys.executable).with_name("mdp")
SHARED = Path(os.environ.get("OPENBELL_SHARED", ROOT.parent / "shared"))


@dataclass(frozen=True)
class Mdp:
    """Runs `mdp` in a folder of its own, with a state directory of its own."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBELL_", "XDG_"))}
        for unset in ("NOTIFY_SOCKET", "RUNTIME_DIRECTORY", "STATE_DIRECTORY"):
            kept.pop(unset, None)
        return {**kept, "OPENBELL_STATE_DIR": str(self.state), "HOME": str(self.folder)}

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start `mdp`; the caller waits for it. `output` takes what it writes, instead of pipes."""
        output = options.pop("output", subprocess.PIPE)
        return subprocess.Popen(
            [MDP, *arguments],
            cwd=self.folder,
            env={**self.env, **options.pop("env", {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
            **options,
        )

    def run(
        self, *arguments: str, code: int = 0, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `mdp` to its end and check its exit code."""
        done = subprocess.run(
            [MDP, *arguments],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: str, code: int = 0) -> Any:
        """Run `mdp ... -o json` and return what it printed."""
        return json.loads(self.run(*arguments, "-o", "json", code=code).stdout)

    def write(self, name: str, text: str) -> Path:
        """Write a file in the folder."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path
