"""How many may wait, and what those are told for whom there is no place."""

import math
from typing import Any

import gradio as gr

from .limits import Limits
from .tabs.stepping import STEPS
from .watching import Watcher


def leave_room(demo: gr.Blocks, limits: Limits, watcher: Watcher) -> None:
    """Start the queue of an app within its limits; whoever comes when it is full is told when to try again."""
    demo.queue(max_size=None)
    queue: Any = demo._queue
    # Gradio (6.31) makes a table of the last 10,000 events after each one, for a page that is closed here.
    queue.ANALYTICS_MAX_EVENTS, queue.compute_analytics_summary = 1, lambda _: {}
    push = queue.push

    async def push_or_refuse(body: Any, *arguments: Any, **options: Any) -> Any:
        fn = demo.fns.get(body.fn_index)
        own = None if fn is None else queue.event_queue_per_concurrency_id.get(fn.concurrency_id)
        if fn is None or own is None:
            return await push(body, *arguments, **options)
        mine = sum(event.session_hash == body.session_hash for event in own.queue)
        if mine >= limits.each:
            watcher.refused("full")
            return False, f"{mine} requests of yours wait already. Wait for their answers.", "queue_full"
        if len(queue) >= limits.waiting or (fn.concurrency_id == STEPS and len(own.queue) >= limits.long):
            watcher.refused("full")
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
