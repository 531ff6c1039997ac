"""One tree out of file, profile, environment and flags, the later over the earlier."""

from __future__ import annotations

from collections.abc import Mapping

from openbell.config.environment import variables
from openbell.config.problems import Problems
from openbell.config.tree import Mark, Tree, grown, merged, via
from openbell.config.yaml_reader import read_yaml
from openbell.sdk.errors import SettingsError

DEFAULT_PROFILE = "default"
_NOT_IN_PROFILES = ("version", "profile", "profiles")


def layered(
    file: Tree,
    *,
    profile: str | None,
    env: Mapping[str, str],
    overrides: Mapping[str, str],
    problems: Problems,
) -> tuple[Tree, str]:
    """Return the effective tree, without `profiles`, and the name of the profile in force."""
    above = Tree({}, file.mark)
    for (name, keys), text in variables(env).items():
        if keys == ("profile",) and not text:
            continue
        above = merged(above, _branch(keys, text, Mark(via=f"environment {name}"), problems))
    for key, text in overrides.items():
        branch = _branch(tuple(key.split(".")), text, Mark(via=f"flag {key}"), problems)
        above = merged(above, branch)
    if profile is not None:
        choice = grown({"profile": profile}, Mark(via="flag --profile"))
        above = merged(above, choice)
    chosen = above.child("profile") or file.child("profile")
    name = str(chosen.value) if chosen is not None else DEFAULT_PROFILE
    tree = merged(file, _profile(file, name, problems, asked=above.child("profile")))
    tree = merged(tree, _spelled_like(tree, above))
    return tree.without("profiles"), name


def _profile(file: Tree, name: str, problems: Problems, *, asked: Tree | None) -> Tree:
    empty = Tree({}, file.mark)
    profiles = file.child("profiles") or empty
    own = file.child("profile")
    found = profiles.child(name)
    if found is None:
        if asked is not None and (own is None or own.value != name):
            problems.add_at(
                asked.mark,
                "profile",
                f"profile {name!r} does not exist",
                "there are: " + (", ".join(profiles.entries()) or "none"),
            )
        return empty
    if not isinstance(found.value, dict):
        problems.add(("profiles", name), "must be a mapping")
        return empty
    for key in _NOT_IN_PROFILES:
        if key in found.value:
            problems.add(("profiles", name, key), "may not stand in a profile", at_key=True)
    return via(found.without(*_NOT_IN_PROFILES), f"profile {name}")


def _branch(keys: tuple[str, ...], text: str, mark: Mark, problems: Problems) -> Tree:
    leaf = _leaf(text, mark, problems)
    leaf.key_mark = mark
    for key in reversed(keys):
        leaf = Tree({key: leaf}, mark, mark)
    return leaf


def _leaf(text: str, mark: Mark, problems: Problems) -> Tree:
    if not text.startswith(("[", "{")):
        return Tree(text, mark)
    try:
        tree = read_yaml(text, mark.via)
    except SettingsError as error:
        problems.extend(error.problems)
        return Tree(text, mark)
    return grown(tree.plain() if tree else None, mark)


def _spelled_like(under: Tree, over: Tree) -> Tree:
    """Return `over` with each key spelt as `under` spells it, whatever its case."""
    if not (isinstance(over.value, dict) and isinstance(under.value, dict)):
        return over
    spelling = {key.lower(): key for key in under.value}
    values: dict[str, Tree] = {}
    for key, child in over.value.items():
        name = key if key in under.value else spelling.get(key.lower(), key)
        below = under.value.get(name)
        values[name] = child if below is None else _spelled_like(below, child)
    return Tree(values, over.mark, over.key_mark)
