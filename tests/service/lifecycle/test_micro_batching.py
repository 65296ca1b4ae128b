"""What waits together is computed together, and nobody pays for a neighbour."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from service.lifecycle.micro_batching import MicroBatcher


class Doubling:
    """Doubles numbers and keeps what it was asked at once; refuses 13, alone or with others."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __call__(self, asked: Sequence[int]) -> list[int]:
        self.batches.append(list(asked))
        if 13 in asked:
            raise ValueError("13")
        return [2 * number for number in asked]


async def at_once(work: Callable[[], Sequence[int]], asked: Sequence[int]) -> Sequence[int]:
    return work()


def test_one_alone_is_computed_alone() -> None:
    compute = Doubling()

    async def main() -> int:
        return await MicroBatcher(compute, at_once).submit(4)

    assert asyncio.run(main()) == 8
    assert compute.batches == [[4]]


def test_those_of_one_turn_are_computed_together_in_order_and_no_more_than_allowed() -> None:
    compute = Doubling()

    async def main() -> list[int]:
        batcher = MicroBatcher(compute, at_once, most=4)
        return await asyncio.gather(*(batcher.submit(number) for number in range(10)))

    assert asyncio.run(main()) == [2 * number for number in range(10)]
    assert compute.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_an_error_stays_with_its_request() -> None:
    compute = Doubling()

    async def main() -> list[int | BaseException]:
        batcher = MicroBatcher(compute, at_once)
        return await asyncio.gather(*(batcher.submit(number) for number in (1, 13, 3)), return_exceptions=True)

    first, bad, last = asyncio.run(main())
    assert (first, last) == (2, 6)
    assert isinstance(bad, ValueError)


def test_whoever_left_is_not_computed_and_the_others_are() -> None:
    compute = Doubling()

    async def main() -> int:
        batcher = MicroBatcher(compute, at_once)
        gone, stays = asyncio.create_task(batcher.submit(1)), asyncio.create_task(batcher.submit(2))
        await asyncio.sleep(0)  # both wait
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await stays

    assert asyncio.run(main()) == 4
    assert compute.batches == [[2]]


def test_those_who_come_during_a_computation_are_the_next_one() -> None:
    compute = Doubling()

    async def main() -> list[int]:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow(work: Callable[[], Sequence[int]], asked: Sequence[int]) -> Sequence[int]:
            begun.set()
            await go_on.wait()
            return work()

        batcher = MicroBatcher(compute, slow)
        first = [asyncio.create_task(batcher.submit(number)) for number in (1, 2)]
        await begun.wait()
        late = [asyncio.create_task(batcher.submit(number)) for number in (3, 4, 5)]
        await asyncio.sleep(0)
        assert len(batcher) == 3
        go_on.set()
        return await asyncio.gather(*first, *late)

    assert asyncio.run(main()) == [2, 4, 6, 8, 10]
    assert compute.batches == [[1, 2], [3, 4, 5]]


def test_it_tells_how_long_each_waited() -> None:
    waited: list[float] = []

    async def main() -> None:
        batcher = MicroBatcher(Doubling(), at_once, waited.append)
        await asyncio.gather(batcher.submit(1), batcher.submit(2))

    asyncio.run(main())
    assert len(waited) == 2
    assert min(waited) >= 0
