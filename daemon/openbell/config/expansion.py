"""Pipelines that are made from templates, written out before anything else is read.

What is wrong with one is told at the argument under `with:` that brought it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic import ValidationError

from openbell.config.plugins import Registry, refusal_of
from openbell.config.problems import Problems
from openbell.config.template_file import Template, read_template
from openbell.config.template_fill import Filling, UnknownSlotError
from openbell.config.tree import Mark, Path, Scalar, Tree, merged
from openbell.sdk.errors import SettingsError

_DATASET_DEFAULTS: Mapping[str, Scalar] = {"calendar": "24/7", "interval": None}


class Expansion:
    """Writes out the pipelines of one configuration."""

    def __init__(
        self,
        tree: Tree,
        registry: Registry,
        problems: Problems,
        *,
        fill: Callable[[Tree, Path], Tree] = lambda tree, _: tree,
        is_alone: bool = False,
    ) -> None:
        """`fill` substitutes in arguments. `is_alone`: any name may be that of a dataset."""
        self._fill = fill
        self._is_alone = is_alone
        self._tree = tree
        self._registry = registry
        self._problems = problems
        self._templates: dict[str, Template | None] = {}

    def apply(self) -> Tree:
        """Return the tree with every template written out; one that cannot be is left out."""
        section = self._tree.child("pipelines")
        if section is None or not any(
            "template" in entry.entries() or "with" in entry.entries()
            for entry in section.entries().values()
        ):
            return self._tree
        written: dict[str, Tree] = {}
        for name, entry in section.entries().items():
            found = self._entry(name, entry)
            if found is not None:
                written[name] = found
        pipelines = Tree(written, section.mark, section.key_mark)
        whole = {**self._tree.entries(), "pipelines": pipelines}
        return Tree(whole, self._tree.mark, self._tree.key_mark)

    def _entry(self, name: str, entry: Tree) -> Tree | None:
        path: Path = ("pipelines", name)
        choice = entry.child("template")
        if choice is None:
            if entry.child("with") is not None:
                hint = "name the template: template: NAME"
                self._problems.add((*path, "with"), "is for a template", hint, at_key=True)
            return entry.without("with")
        if not isinstance(choice.value, str):
            self._problems.add((*path, "template"), "must be the name of a template")
            return None
        template = self._template(choice.value, (*path, "template"))
        given = self._fill(
            entry.child("with") or Tree({}, choice.mark, choice.key_mark), (*path, "with")
        )
        if template is None or not self._are_valid(template, given, (*path, "with")):
            return None
        body = self._body(template, given, choice.mark, path)
        if body is None:
            return None
        over = entry.without("template", "with")
        return Tree(merged(body, over).value, entry.mark, entry.key_mark)

    def _body(self, template: Template, given: Tree, mark: Mark, path: Path) -> Tree | None:
        filling = Filling(
            template=template,
            arguments={k: v for k, v in given.entries().items() if v.value is not None},
            mark=mark._replace(via=f"template {template.name}"),
            lookup=self._attribute,
        )
        try:
            body = filling.body()
        except UnknownSlotError as error:
            self._problems.add((*path, "template"), str(error))
            return None
        for inner, argument in filling.origins.items():
            self._problems.stands_for((*path, *inner), (*path, "with", argument))
        return body

    def _are_valid(self, template: Template, given: Tree, path: Path) -> bool:
        before = len(self._problems)
        raw = given.plain()
        try:
            template.arguments_model().model_validate(raw)
        except ValidationError as error:
            waiting = {key for key, child in given.entries().items() if _waits(child)}
            model = template.arguments_model()
            self._problems.add_invalid(
                path, model, error, unless=lambda loc: bool(loc) and loc[0] in waiting
            )
        datasets = self._datasets().entries()
        for name, child in given.entries().items():
            param = template.params.get(name)
            is_name = isinstance(child.value, str) and not _waits(child)
            if param is None or param.type != "dataset" or not is_name:
                continue
            if child.value not in datasets and not self._is_alone:
                at = (*path, name)
                self._problems.add_unknown(at, "dataset", str(child.value), datasets)
        return len(self._problems) == before

    def _template(self, name: str, path: Path) -> Template | None:
        if name in self._templates:
            return self._templates[name]
        spec = self._registry.templates.get(name)
        found: Template | None = None
        if spec is None:
            reason = refusal_of(self._registry, "template", name)
            if reason:
                self._problems.add(path, reason)
            else:
                self._problems.add_unknown(path, "template", name, self._registry.templates)
        else:
            try:
                found = read_template(spec)
            except SettingsError as error:
                self._problems.extend(error.problems)
        self._templates[name] = found
        return found

    def _datasets(self) -> Tree:
        return self._tree.child("datasets") or Tree({}, self._tree.mark)

    def _attribute(self, dataset: str, attribute: str) -> Scalar:
        if self._is_alone:
            message = f"the {attribute} of dataset {dataset!r} is not known without a configuration"
            raise UnknownSlotError(f"{message}; give it as a parameter")
        entry = self._datasets().child(dataset)
        found = entry.child(attribute) if entry is not None else None
        if found is None or isinstance(found.value, (dict, list)):
            return _DATASET_DEFAULTS.get(attribute)
        return found.value


def _waits(tree: Tree) -> bool:
    """Return whether a value is not known yet, because `${...}` stands in it."""
    return any(isinstance(leaf.value, str) and "${" in leaf.value for _, leaf in tree.leaves())
