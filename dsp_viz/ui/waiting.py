"""How many may wait, and what those are told for whom there is no place."""

import math
from typing import Any

import gradio as gr

from .tabs.stepping import STEPS

#: How many requests may wait, of whatever kind. Below that nobody is refused.
QUEUE = 256

#: How many of them may wait for computations that take long (ranking, judging), beyond those that go on by turns.
LONG = 8


def leave_room(demo: gr.Blocks) -> None:
    """Start the queue of an app: at most :data:`QUEUE` requests wait, at most :data:`LONG` of them for what takes long;
    whoever comes then is told when to try again."""
    demo.queue(max_size=None)
    queue: Any = demo._queue
    push = queue.push

    async def push_or_refuse(body: Any, *arguments: Any, **options: Any) -> Any:
        fn = demo.fns.get(body.fn_index)
        own = fn and queue.event_queue_per_concurrency_id.get(fn.concurrency_id)
        full = len(queue) >= QUEUE
        if own and (full or (fn.concurrency_id == STEPS and len(own.queue) >= LONG)):
            asked = {id(each): each for each in (fn, *(event.fn for event in own.queue))}.values()
            known = [queue.process_time_per_fn[each].avg_time for each in asked if each in queue.process_time_per_fn]
            seconds = max(known, default=60.0) * (len(own.queue) + 1) / (own.concurrency_limit or 1)
            return False, f"{len(own.queue)} wait for this already. Try again in {told(seconds)}.", "queue_full"
        return await push(body, *arguments, **options)

    queue.push = push_or_refuse


def told(seconds: float) -> str:
    """A time to wait in words, rounded up: people plan by it."""
    if seconds <= 55:
        rounded = max(5, 5 * math.ceil(seconds / 5))
        return f"about {rounded} seconds"
    minutes = math.ceil(seconds / 60)
    return f"about {minutes} minutes" if minutes > 1 else "about a minute"
