"""Gradio's Blocks, with errors that are short and nothing fetched from elsewhere."""

import logging
import time
import traceback
from copy import copy
from typing import Any

import gradio as gr
from gradio.blocks import Block, BlocksConfig
from gradio.exceptions import InvalidPathError
from starlette.routing import Route

from .watching import Nobody, Watcher

#: Name of the function that programs call.
API = "analyse"

#: Pages whose choices are remembered; of a page that was forgotten all components are as they were at first.
SESSIONS = 250

_log = logging.getLogger("dsp_viz")


#: What a session is told of each component; one for all, as nobody writes into it.
_NOTHING: dict[str, Any] = {}


class _Described(BlocksConfig):
    """Of an app's components. Gradio (6.31) copies it for each session, and describes every component anew for a copy:
    40 % of all computing under load. Only what makes its deep links reads that, and these are closed here."""

    def __copy__(self) -> BlocksConfig:
        new: Any = super().__copy__()
        new.config_for_block = lambda *_: _NOTHING
        return new


class Blocks(gr.Blocks):
    """Gradio's, with errors that are short: its own repeat what was sent, whole, in the answer and in the log.

    Nor does it fetch what a client names by its address, which Gradio's would.

    Attributes:
        more_routes: that its tabs fetch from, beside those of all results.
        watcher: is told what was answered.
    """

    more_routes: list[Route]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.default_config = _Described(self)
        self.watcher: Watcher = Nobody()
        self.state_session_capacity = SESSIONS

    async def process_api(self, block_fn: Any, inputs: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        start, good = time.perf_counter(), False
        try:
            if _names_an_address(inputs):
                raise gr.Error("Nothing is fetched from elsewhere: upload the picture itself.", print_exception=False)
            answer = await super().process_api(block_fn, inputs, *arguments, **options)
            good = True
            return answer
        except gr.Error as error:
            raise gr.Error(error.message[:600], print_exception=False) from None
        except InvalidPathError:
            raise gr.Error("Only pictures that were uploaded here can be read.", print_exception=False) from None
        except Exception as error:
            frames = "".join(traceback.format_tb(error.__traceback__))
            _log.error("a request failed: %s: %.300s\n%s", type(error).__name__, error, frames)
            kind = f"The request failed ({type(error).__name__}): the app's log says where."
            raise gr.Error(kind, print_exception=False) from None
        finally:
            if block_fn.api_name == API:  # nothing of it is ever changed: Gradio would keep thousands of such sessions
                session = str(options.get("session_hash"))
                self.state_holder.session_data.pop(session, None)
                self.state_holder.time_last_used.pop(session, None)
            self.watcher.answered(str(block_fn.api_name), time.perf_counter() - start, good)

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        """Gradio's, of those components that change: it would build each of the others anew, in a thread each."""
        if _is_skip(predictions):
            predictions = {}
        if not (isinstance(predictions, dict) and all(isinstance(key, Block) for key in predictions)):
            return await super().postprocess_data(block_fn, predictions, state)
        changed = {component: value for component, value in predictions.items() if not _is_skip(value)}
        if changed.keys() - set(block_fn.outputs):
            return await super().postprocess_data(block_fn, predictions, state)  # which says what is wrong
        shorter = copy(block_fn)
        shorter.outputs = [component for component in block_fn.outputs if component in changed]
        values = [changed[component] for component in shorter.outputs]
        told = await super().postprocess_data(shorter, values[0] if len(values) == 1 else values, state)
        found = dict(zip(shorter.outputs, told, strict=True))
        return [found[component] if component in found else gr.skip() for component in block_fn.outputs]


def _is_skip(value: Any) -> bool:
    return isinstance(value, dict) and value == gr.skip()


def _names_an_address(inputs: Any) -> bool:
    """Whether the inputs hold, at any depth, a file that lies elsewhere."""
    left = [inputs]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if "://" in str(value.get("path", ""))[:20]:
                return True
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
    return False
