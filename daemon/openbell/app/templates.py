"""A template written out for somebody to look at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openbell.config.expansion import Expansion
from openbell.config.load import open_document
from openbell.config.problems import Problems
from openbell.config.tree import Mark, Tree, grown, merged
from openbell.config.yaml_reader import read_yaml
from openbell.plugin_host import Registry


def rendered(
    registry: Registry,
    *,
    template: str,
    pipeline: str,
    arguments: Mapping[str, str],
    config: Path | None,
) -> dict[str, Any]:
    """Return the pipeline that `template` makes of `arguments`, as a configuration writes it.

    Arguments are text as YAML reads it. The datasets of the configuration at `config` are known.
    Raises SettingsError with every problem.
    """
    mark = Mark(via="flag -p")
    given = {name: _argument(name, text) for name, text in arguments.items()}
    around = Tree({}, mark) if config is None else open_document(config).tree
    entry = Tree({"template": Tree(template, mark), "with": Tree(given, mark, mark)}, mark)
    asked = Tree({"pipelines": Tree({pipeline: entry}, mark)}, mark)
    datasets = around.child("datasets")
    known = Tree({} if datasets is None else {"datasets": datasets}, mark)
    whole = merged(known, asked)
    problems = Problems(whole)
    is_alone = config is None
    made = Expansion(whole, registry, problems, is_alone=is_alone).apply()
    problems.raise_if_any()
    section = made.child("pipelines")
    found: dict[str, Any] = section.plain()[pipeline] if section is not None else {}
    return found


def _argument(name: str, text: str) -> Tree:
    mark = Mark(via=f"flag -p {name}")
    read = read_yaml(text, mark.via) if text.strip() else None
    plain = text if read is None else read.plain()
    return grown(plain, mark)
