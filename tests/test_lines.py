"""Those who wait for work of the server's own routes."""

import threading

import pytest
from anyio import create_task_group
from anyio.from_thread import start_blocking_portal

from dsp_viz.ui.lines import Full, Line


def test_some_work_some_wait_and_no_more() -> None:
    line, free = Line(2, 3), threading.Event()
    done: list[int] = []
    refused: list[int] = []

    def work(number: int) -> int:
        free.wait(60)
        return number

    async def ask(number: int) -> None:
        try:
            done.append(await line.run(work, number))
        except Full:
            refused.append(number)
            if len(refused) == 2:  # the other five are in by now
                free.set()

    async def all_of_them() -> None:
        async with create_task_group() as tasks:
            for number in range(7):
                tasks.start_soon(ask, number)

    with start_blocking_portal() as portal:
        portal.call(all_of_them)
        assert portal.call(line.run, lambda: "again") == "again"
    assert sorted(done) == [0, 1, 2, 3, 4]
    assert refused == [5, 6]


def test_an_error_of_the_work_is_that_of_whoever_asked() -> None:
    line = Line(1, 0)
    with start_blocking_portal() as portal:
        with pytest.raises(ZeroDivisionError):
            portal.call(line.run, lambda: 1 // 0)
        assert portal.call(line.run, lambda: 5) == 5
