"""Those who ask for the same while it is looked for share one look, whatever becomes of each."""

import asyncio

import pytest

from stoker.web.once import Once


def test_one_look_serves_all_who_ask_while_it_is_under_way():
    async def play():
        once, looks, go = Once(), [], asyncio.Event()

        async def look():
            looks.append(1)
            await go.wait()
            return len(looks)

        waiting = [asyncio.create_task(once.get("a", look)) for _ in range(5)]
        other = asyncio.create_task(once.get("b", look))
        await asyncio.sleep(0)
        waiting[0].cancel()  # whoever leaves takes nothing from the others
        await asyncio.sleep(0)
        once.forget("a")
        later = asyncio.create_task(once.get("a", look))
        await asyncio.sleep(0)
        go.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert found[1:] == [3] * 4
        await asyncio.gather(other, later)
        assert len(looks) == 3
        await once.settle()
        assert await once.get("a", look) == 4

    asyncio.run(play())


def test_an_error_reaches_all_and_is_not_remembered():
    async def play():
        once, outcomes = Once(), [KeyError("gone"), None]

        async def look():
            await asyncio.sleep(0)
            if (outcome := outcomes.pop(0)) is not None:
                raise outcome
            return "there"

        found = await asyncio.gather(
            *(once.get("a", look) for _ in range(3)), return_exceptions=True
        )
        assert [type(one) for one in found] == [KeyError] * 3
        assert await once.get("a", look) == "there"

    asyncio.run(play())


def test_settling_waits_for_looks_that_nobody_waits_for():
    async def play():
        once, ended = Once(), []

        async def look():
            await asyncio.sleep(0.01)
            ended.append(True)

        waiting = asyncio.create_task(once.get("a", look))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await once.settle()
        assert ended == [True]

    asyncio.run(play())
