"""The built-in operators that run by themselves in a worker; light, what they do is elsewhere."""

from __future__ import annotations

from openbell.operators.settings import (
    CommandSettings,
    HttpSettings,
    PythonSettings,
    SqlSettings,
)
from openbell.sdk.hooks import OperatorSpec

TASKS = (
    OperatorSpec(
        name="sql",
        settings_model=SqlSettings,
        factory="openbell.operators.sql:SqlOperator",
        role="task",
        summary="a query over what other nodes made",
    ),
    OperatorSpec(
        name="python",
        settings_model=PythonSettings,
        factory="openbell.operators.python:PythonOperator",
        role="task",
        any_outcome=True,
        summary="a function that takes and returns Arrow",
    ),
    OperatorSpec(
        name="command",
        settings_model=CommandSettings,
        factory="openbell.operators.command:CommandOperator",
        role="task",
        any_outcome=True,
        summary="a program of this machine",
    ),
    OperatorSpec(
        name="http",
        settings_model=HttpSettings,
        factory="openbell.operators.http:HttpOperator",
        role="task",
        any_outcome=True,
        summary="an HTTP request",
    ),
)
