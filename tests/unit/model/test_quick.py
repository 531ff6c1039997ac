from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict, dataclass, field, replace

import pytest

from openbell.model.events import Event, NodeChanged
from openbell.model.quick import changed, quick
from openbell.model.runs import NodeRecord

pytestmark = pytest.mark.unit


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Two numbers and more."""

    x: int
    y: int = 2
    tags: list[str] = field(default_factory=list)


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Named(Point):
    """A point with a name."""

    name: str


def test_fields_and_defaults_are_as_declared() -> None:
    first, second = Point(x=1), Point(x=1, y=3, tags=["a"])
    assert asdict(first) == {"x": 1, "y": 2, "tags": []}
    assert asdict(second) == {"x": 1, "y": 3, "tags": ["a"]}
    assert first.tags is not Point(x=1).tags
    assert asdict(Named(x=1, name="n")) == {"x": 1, "y": 2, "tags": [], "name": "n"}


def test_values_stay_frozen_comparable_and_replaceable() -> None:
    point = Point(x=1)
    with pytest.raises(FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    assert replace(point, x=5) == Point(x=5)
    assert repr(point) == "Point(x=1, y=2, tags=[])"


@pytest.mark.parametrize("arguments", [{}, {"x": 1, "z": 2}])
def test_wrong_arguments_are_refused_as_python_does(arguments: dict[str, int]) -> None:
    with pytest.raises(TypeError, match=r"Point\.__init__\(\)"):
        Point(**arguments)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Point(1)  # type: ignore[misc]


def test_a_change_is_another_value() -> None:
    named = Named(x=1, name="n", tags=["t"])
    assert changed(named, name="m", y=0) == replace(named, name="m", y=0)
    assert type(changed(named)) is Named
    assert changed(named) == named
    with pytest.raises(TypeError):
        changed(named, z=1)


def test_a_change_of_any_other_dataclass_is_the_same_slower() -> None:
    @dataclass(frozen=True)
    class Open:
        x: int = 1

    assert changed(Open(), x=2) == Open(x=2)


def test_a_class_of_another_kind_stays_as_it_is() -> None:
    @dataclass(frozen=True)
    class Open:
        x: int = 1

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Checked:
        x: int

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError("negative")

    for cls in (Open, Checked):
        before = cls.__init__
        assert quick(cls).__init__ is before


@pytest.mark.parametrize("cls", [NodeChanged, NodeRecord])
def test_what_the_engine_makes_most_is_quick(cls: type[object]) -> None:
    assert "_set_run_id" in cls.__init__.__globals__


def test_every_event_that_has_fields_of_its_own_is_quick() -> None:
    made = [cls for cls in Event.__subclasses__() if "__slots__" in cls.__dict__]
    assert len(made) > 20
    assert not [cls for cls in made if "_MISSING" not in cls.__init__.__globals__]
