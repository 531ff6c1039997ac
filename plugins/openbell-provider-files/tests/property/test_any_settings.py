"""Whatever stands in a configuration, settings are made or the problem is told."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from openbell_provider_files.profiles import PROFILES
from openbell_provider_files.settings import FIELDS, FilesSettings

pytestmark = pytest.mark.property

words = st.text(max_size=8) | st.sampled_from(
    ["%Y-%m-%d", "%", "%%", "%H", "{symbol}", "{date:%Y}", "{", "..", "iso", "epoch_s", "UTC", "utf-8"]
)  # fmt: skip
plain = st.none() | st.booleans() | st.integers() | st.floats() | words
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(FIELDS) | words, inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    profile=st.none() | st.sampled_from(sorted(PROFILES)),
    given_keys=st.dictionaries(
        st.sampled_from(sorted(FilesSettings.model_fields)), values, max_size=4
    ),
)
def test_settings_are_made_or_refused(profile: str | None, given_keys: dict[str, Any]) -> None:
    raw = {**({"profile": profile} if profile else {}), **given_keys}
    with contextlib.suppress(ValidationError):
        made = FilesSettings.model_validate(raw)
        assert FilesSettings.model_validate(made.model_dump(mode="json")) == made
