"""Long computations of a tab: whom they still answer."""

from collections.abc import Iterator

import gradio as gr

from dsp_viz.ui.tabs import stepping
from dsp_viz.ui.tabs.stepping import SESSIONS, Asked


class Visit(gr.Request):
    """Of one session."""

    def __init__(self, session: str) -> None:
        super().__init__()
        self.session_hash = session


def test_a_session_waits_for_what_it_looks_at_until_it_stops() -> None:
    asked, one, other = Asked(), Visit("one"), Visit("other")
    assert asked.awaits(one, "picture", "cat"), "nothing is known of it"
    asked.show(one, "picture", "cat")
    asked.show(other, "another", "cat")
    assert asked.awaits(one, "picture", "cat")
    assert not asked.awaits(one, "picture", "dog")
    assert not asked.awaits(one, "another", "cat")
    asked.stop(one)
    assert not asked.awaits(one, "picture", "cat")
    assert asked.awaits(other, "another", "cat")
    asked.begin("picture", "dog", one)
    assert asked.awaits(one, "picture", "dog")
    assert not asked.awaits(one, "picture", "cat")


def test_what_is_remembered_of_sessions_is_bounded() -> None:
    asked = Asked()
    for i in range(SESSIONS + 1):
        asked.show(Visit(str(i)), "picture")
        asked.stop(Visit(str(i)))
    assert asked.awaits(Visit("0"), "anything")
    assert not asked.awaits(Visit("1"), "picture")
    assert len(asked._shown) == len(asked._stopped) == SESSIONS


def test_answers_end_once_the_picture_is_left() -> None:
    asked, visit, made = Asked(), Visit("one"), []
    with gr.Blocks() as demo:
        page, choice, told = gr.Textbox(), gr.Textbox(), gr.Textbox()
        start, stop = gr.Button(), gr.Button()

        def long(page: str, choice: str, progress: gr.Progress) -> Iterator[str]:
            for i in range(9):
                made.append(i)
                yield f"{page} {choice} {i}"

        asked.listen(start, stop, long, [page, choice], told, nothing="left")
    (answers,) = [fn.fn for fn in demo.fns.values() if fn.concurrency_id == stepping.STEPS]
    asked.show(visit, "picture", "cat")
    run = answers("picture", "cat", visit)
    assert [next(run), next(run)] == ["picture cat 0", "picture cat 1"]
    asked.show(visit, "picture", "dog")
    assert [*run] == ["left"], "the second answer may have come after what took it away"
    assert made == [0, 1, 2]
    asked.begin("picture", "dog", visit)
    run = answers("picture", "dog", visit)
    assert [next(run) for _ in range(9)][-1] == "picture dog 8"
    asked.show(visit, "another", "dog")
    assert [*run] == ["left"], "the last answer too"
    asked.begin("picture", "dog", visit)
    run = answers("picture", "dog", visit)
    next(run)
    asked.stop(visit)
    assert [*run] == [], "what is stopped stays"
    asked.begin("picture", "dog", visit)
    asked.stop(visit)
    assert [*answers("picture", "dog", visit)] == [], "it was stopped while it waited"
    asked.begin("picture", "dog", visit)
    assert [*answers("picture", "dog", visit)][-1] == "picture dog 8", "nothing is written into what is not drawn yet"
