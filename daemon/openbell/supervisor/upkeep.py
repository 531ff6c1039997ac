"""Tables that live jobs write to are folded now and then, beside the jobs and not in them."""

from __future__ import annotations

import msgspec

from openbell.execution.pool import Executor, SilentListener, StopSignal
from openbell.execution.process import WorkerLostError
from openbell.execution.protocol import CallTask, Failed
from openbell.model.pipelines import Pipeline
from openbell.sdk.errors import RetryableError
from openbell.supervisor.dispatch import Dispatcher

MAINTAIN = "openbell.execution.worker.upkeep:maintain"


def tables(pipeline: Pipeline) -> set[tuple[str, str]]:
    """Return (storage, dataset) of everything that `pipeline` writes."""
    source = next(
        (str(node.settings["dataset"]) for node in pipeline.nodes if node.op == "ingest"), ""
    )
    return {
        (str(node.settings.get("to", "primary")), str(node.settings.get("dataset") or source))
        for node in pipeline.nodes
        if node.op == "write"
    }


async def fold(executor: Executor, dispatch: Dispatcher, storage: str, dataset: str) -> int:
    """Let `storage` tidy `dataset` in a worker; return how many rows were rewritten.

    Raises RetryableError with the reason when it could not: nothing is lost then.
    """
    task = CallTask(
        attempt_id=f"fold {storage} {dataset}",
        function=MAINTAIN,
        arguments={"backend": msgspec.to_builtins(dispatch.backend(storage)), "dataset": dataset},
    )
    try:
        answer, _ = await executor.submit(task, SilentListener(), StopSignal())
    except WorkerLostError as error:
        raise RetryableError(f"{dataset} in {storage} could not be folded: {error}") from error
    if isinstance(answer, Failed):
        raise RetryableError(f"{dataset} in {storage} could not be folded: {answer.message}")
    return int(answer.result)
