"""No secret survives, and what is no secret does."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from openbell.sdk.errors import Problem
from openbell.telemetry.redact import MASK, MAX_DEPTH, Redactor

pytestmark = [pytest.mark.unit, pytest.mark.property]

secrets = st.text(min_size=4, max_size=40).filter(lambda text: text not in MASK and text.strip())
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=20,
)


def _apart_from_the_mask(secret: str) -> bool:
    """Whether no piece of `secret` can be mistaken for a piece of the mask."""
    return not set(secret) & set(MASK)


@given(secret=secrets, before=st.text(max_size=40), after=st.text(max_size=40))
def test_a_secret_inside_any_text_does_not_survive(secret: str, before: str, after: str) -> None:
    assume(_apart_from_the_mask(secret))
    assert secret not in Redactor([secret]).text(before + secret + after)


@given(known=st.lists(secrets, min_size=1, max_size=5), text=st.text(max_size=80))
def test_no_text_comes_out_with_a_secret_in_it(known: list[str], text: str) -> None:
    for secret in known:
        assume(_apart_from_the_mask(secret))
    redacted = Redactor(known).text(text + "".join(known))
    assert not [secret for secret in known if secret in redacted]


@given(secret=secrets, tree=plain, data=st.data())
def test_a_secret_anywhere_in_a_tree_does_not_survive(
    secret: str, tree: Any, data: st.DataObject
) -> None:
    assume(_apart_from_the_mask(secret))
    wrapped = data.draw(
        st.sampled_from([[tree, secret], {"x": [secret]}, {secret: tree}, ({secret}, tree)])
    )
    assert secret not in _strings(Redactor([secret]).value(wrapped))


@given(tree=plain, secret=secrets)
def test_doing_it_twice_changes_nothing_more(tree: Any, secret: str) -> None:
    redactor = Redactor([secret])
    once = redactor.value(tree)
    assume(_apart_from_the_mask(secret))
    assert redactor.value(once) == once


@given(secret=secrets)
def test_a_secret_does_not_survive_in_its_usual_spellings(secret: str) -> None:
    assume(_apart_from_the_mask(secret))
    redactor = Redactor([secret])
    for spelling in (quote(secret, safe=""), quote_plus(secret), json.dumps(secret), repr(secret)):
        assert MASK in redactor.text(f"https://x.example/?q={spelling}")


@given(user=st.text("abcdef", max_size=5), password=st.text("ghijkl0123456789!$&+", min_size=1))
def test_the_password_of_a_url_does_not_survive(user: str, password: str) -> None:
    assume("@" not in password)
    shown = Redactor().text(f"cannot reach postgresql://{user}:{password}@db.example:5432/x")
    assert shown == f"cannot reach postgresql://{user}:{MASK}@db.example:5432/x"


@given(text=st.text("abcdefg \n0123456789.,()", max_size=100))
def test_a_text_without_secrets_stays_as_it_is(text: str) -> None:
    assert Redactor(["SECRET"]).text(text) == text


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "DB_PASSWORD",
        "api_key",
        "X-Api-Key",
        "vendorApiKey",
        "Authorization",
        "token",
        "auth.token",
        "clientSecret",
        "secret",
        "Set-Cookie",
        "private-key",
        "credentials",
    ],
)
def test_a_value_under_a_sensitive_key_is_hidden_whatever_it_is(key: str) -> None:
    assert Redactor().value({key: "x"}) == {key: MASK}
    assert Redactor().value({key: ["a", {"b": 1}]}) == {key: MASK}


@pytest.mark.parametrize(
    "key",
    [
        "tokens",
        "monkey",
        "key",
        "upsert_keys",
        "token_file",
        "secretary",
        "passwords_count",
        "author",
    ],
)
def test_a_value_under_an_ordinary_key_is_shown(key: str) -> None:
    assert Redactor().value({key: "x"}) == {key: "x"}


WORDS = [
    "api",
    "key",
    "Key",
    "KEY",
    "pass",
    "word",
    "PASSWORD",
    "token",
    "http",
    "Bearer",
    "basic",
    "cookie",
    "authorization",
    "private",
    "hush",
    "ordinary",
    "a:b@c",
]
pieces = st.lists(
    st.tuples(
        st.sampled_from(WORDS), st.sampled_from(["=", ": ", " ", "_", "-", "\n", "://", "", '"'])
    ).map("".join)
    | st.text(max_size=3),
    max_size=4,
).map("".join)
written = st.recursive(
    pieces | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(pieces, inner, max_size=3),
    max_leaves=8,
)


@given(tree=written, ensure_ascii=st.booleans())
def test_what_a_glance_lets_pass_holds_no_secret(tree: Any, *, ensure_ascii: bool) -> None:
    redactor = Redactor(["hush-hush", 'a\n"b'], keys=["session-id"])
    if not redactor.may_hold(json.dumps(tree, ensure_ascii=ensure_ascii)):
        assert redactor.value(tree) == tree


@pytest.mark.parametrize(
    "value",
    [
        "sent Basic dXNlcjp4 twice",
        "sent ba\u017fic dXNlcjp4 twice",
        "a \nbearer\tabc.def-123",
        {"api\nkey": 1},
        {"vendorApiKey": "x"},
        "x://me:pw@host",
        {"a": ["of hush-hush"]},
        'a\n"b',
        {"Session Id": 1},
        {"tōken": "hush-hüsh"},
        {"to\u212aen": 1},
        "pwd=1",
    ],
)
def test_a_glance_sees_what_could_be_a_secret(value: Any) -> None:
    redactor = Redactor(["hush-hush", "hush-hüsh", 'a\n"b'], keys=["session-id"])
    for ensure_ascii in (True, False):
        assert redactor.may_hold(json.dumps(value, ensure_ascii=ensure_ascii))
    assert redactor.value(value) != value


@pytest.mark.parametrize(
    "text",
    ['{"idempotency_key":null,"origin":"api"}', '{"at":"12:30","error":"a\\nb = \\"c\\""}', "[]"],
)
def test_a_glance_lets_ordinary_texts_pass(text: str) -> None:
    assert not Redactor(["hush-hush"]).may_hold(text)


def test_absence_is_no_secret() -> None:
    assert Redactor().value({"password": None, "token": False}) == {
        "password": None,
        "token": False,
    }


def test_keys_can_be_added() -> None:
    redactor = Redactor(keys=["session-id"])
    assert redactor.value({"sessionId": "1", "session": "2"}) == {"sessionId": MASK, "session": "2"}
    assert redactor.with_secrets(["hush-hush"]).is_sensitive("SESSION_ID")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /bars?symbol=AAPL&api_key=ab12&x=1", f"GET /bars?symbol=AAPL&api_key={MASK}&x=1"),
        ('{"password": "a b", "user": "bob"}', f'{{"password": "{MASK}", "user": "bob"}}'),
        ("{'token': 'abc', 'n': 1}", f"{{'token': '{MASK}', 'n': 1}}"),
        ("Authorization: Bearer abc.def-123", f"Authorization: {MASK}"),
        ("authorization: Digest a=1, b=2\nnext", f"authorization: {MASK}\nnext"),
        ("Cookie: id=77; lang=en", f"Cookie: {MASK}"),
        ("Authorization=xyz", f"Authorization={MASK}"),
        ("sent Basic dXNlcjpwdw== twice", f"sent Basic {MASK} twice"),
        ("token_file=/etc/token is missing", "token_file=/etc/token is missing"),
        ("budget tokens: 5 left", "budget tokens: 5 left"),
        ("API key: ab; note=token=cd", f"API key: {MASK}; note=token={MASK}"),
        ("pwd=1 PASSWORD=2", f"pwd={MASK} PASSWORD={MASK}"),
    ],
)
def test_secrets_are_found_by_their_place_in_a_text(text: str, shown: str) -> None:
    assert Redactor().text(text) == shown


def test_a_very_short_secret_is_hidden_where_it_stands_alone() -> None:
    assert Redactor(["ab"]).text("ab is about ab-c") == f"{MASK} is about {MASK}-c"


def test_old_secrets_stay_secret_when_new_ones_come() -> None:
    redactor = Redactor(["old-one"]).with_secrets(["new-one"])
    assert redactor.text("old-one new-one") == f"{MASK} {MASK}"


def test_bytes_are_read_and_other_values_are_left_alone() -> None:
    assert Redactor(["hush-hush"]).value([b"x hush-hush", 1.5]) == [f"x {MASK}", 1.5]


def test_errors_and_dataclasses_are_looked_into() -> None:
    problem = Problem(message="bad hush-hush", key="x", file="f")
    shown = Redactor(["hush-hush"]).value([ValueError("hush-hush!"), problem])
    assert shown[0] == f"{MASK}!"
    assert shown[1]["message"] == f"bad {MASK}"


def test_what_is_nested_without_end_is_cut_off() -> None:
    loop: list[Any] = []
    loop.append(loop)
    deep = Redactor().value(loop)
    for _ in range(MAX_DEPTH):
        [deep] = deep
    assert deep == MASK


def _strings(tree: Any) -> str:
    match tree:
        case str():
            return tree
        case dict():
            return "\0".join(_strings(each) for pair in tree.items() for each in pair)
        case list():
            return "\0".join(_strings(each) for each in tree)
        case _:
            return ""


@pytest.mark.parametrize("piece", ["1", "a:", "token ", '"', "://", "password=", "\\", "api ", "@"])
def test_the_time_for_a_text_grows_with_its_length_only(piece: str) -> None:
    redactor = Redactor(["hunter22"])

    def cost_s(length: int) -> float:
        text = (piece * length)[:length] + ":"
        began_s = time.process_time()
        redactor.text(text)
        return time.process_time() - began_s

    cost_s(2000)
    assert cost_s(64_000) < 1.0
