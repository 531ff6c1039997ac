from __future__ import annotations

import anyio
import pytest

from openbell.supervisor.mailbox import ActorStoppedError, Mailbox

pytestmark = [pytest.mark.unit, pytest.mark.anyio]


class Reader:
    def __init__(self) -> None:
        self.read: list[object] = []

    async def handle(self, message: object) -> None:
        self.read.append(message)
        await anyio.lowlevel.checkpoint()
        if message == "bad":
            raise ValueError("bad")


async def test_messages_come_in_order_and_a_closed_box_is_emptied_first() -> None:
    box, reader = Mailbox(10), Reader()
    for number in range(3):
        await box.tell(number)
    assert box.depth() == 3
    box.close()
    with anyio.fail_after(5):
        await box.serve(reader)
    assert reader.read == [0, 1, 2]
    with pytest.raises(ActorStoppedError):
        await box.tell("late")


async def test_a_full_box_is_back_pressure() -> None:
    box, reader = Mailbox(1), Reader()
    deepest = 0
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(box.serve, reader)
            for number in range(20):
                await box.tell(number)
                deepest = max(deepest, box.depth())
            box.close()
    assert reader.read == list(range(20))
    assert deepest == 1


async def test_whoever_waits_for_room_hears_that_the_actor_is_gone() -> None:
    box = Mailbox(1)
    await box.tell("first")
    stopped: list[str] = []

    async def tell(name: str) -> None:
        try:
            await box.tell(name)
        except ActorStoppedError:
            stopped.append(name)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tell, "a")
            tasks.start_soon(tell, "b")
            await anyio.wait_all_tasks_blocked()
            box.discard()
    assert sorted(stopped) == ["a", "b"]
    assert box.depth() == 0


async def test_what_a_handler_raises_travels_on_and_closes_the_box() -> None:
    box, reader = Mailbox(10), Reader()
    await box.tell("bad")
    with pytest.raises(ValueError, match="bad"):
        await box.serve(reader)
    with pytest.raises(ActorStoppedError):
        await box.tell("more")
