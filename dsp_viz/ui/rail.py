"""The left side of the screen: the picture, what the model says of it, and what to choose."""

from pathlib import Path
from typing import Any

import gradio as gr

from . import views
from .kept import Kept, Source
from .picture import Picture
from .results import MOST_PROBABLE, Results
from .tabs import Values
from .tabs.controls import Offered

#: Endings of files that browsers show as they are; of others they get what was decoded.
SHOWN = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif"})


class Rail:
    """Components of the left side.

    Args:
        results: see :class:`Results`. examples: pictures to offer.
    """

    def __init__(self, results: Results, examples: list[Path]) -> None:
        self._results = results
        model = next(iter(results.models.values()))
        every = {label: size for name in results.models for label, size in results.sides(name).items()}
        self.picture = Picture(
            value=str(examples[0]),
            label="Picture",
            sources=["upload", "clipboard", "webcam"],
            height=230,
            elem_id="picture",
            buttons=[],
        )
        self.message = gr.HTML(elem_id="message")
        self.stretch = gr.Checkbox(label="Stretch its values", value=False, visible=False, elem_id="stretch")
        self.predicted = gr.HTML(elem_id="prediction")
        self.target = Offered(
            [MOST_PROBABLE, *model.classes],
            value=MOST_PROBABLE,
            label="Class to explain",
            visible=bool(model.classes),
            elem_id="target",
        )
        with gr.Group():
            self.model = gr.Dropdown(
                list(results.models), value=model.name, label="Model", visible=len(results.models) > 1
            )
            # Those of all models: then no choice is refused, whatever the page was told since.
            self.side = gr.Radio(
                [label for label, _ in sorted(every.items(), key=lambda item: item[1])],
                value=next(iter(results.sides(model.name))),
                label="Longer side of the model's input",
            )
            self.whole = gr.Checkbox(
                label="Whole picture, not only its middle", value=False, visible=not model.preparation.fixed
            )
        self.gallery = gr.Gallery(
            [(path, name.replace("-", " ")) for name, path in results.examples.items()],
            label="Examples",
            columns=3,
            object_fit="cover",
            allow_preview=False,
            interactive=False,
            buttons=[],
            elem_id="examples",
        )
        self.known = gr.HTML(views.known_classes(model))
        self.inputs = [self.stretch, self.model, self.side, self.whole, self.target]
        self.outputs = [self.picture, *self.inputs, self.message, self.predicted, self.known]

    def chosen(self, values: Values, path: str) -> Source:
        """The source that the controls ask for. A side that the chosen model lacks becomes what stands for it."""
        name, label = values[self.model], values[self.side]
        side = self._results.sides(name).get(label)
        if side is None:
            other = next(m for m in self._results.models if label in self._results.sides(m))
            side = self._results.side_like(name, other, self._results.sides(other)[label])
        return Source(path, side, bool(values[self.whole]), name, bool(values[self.stretch]))

    def show(self, kept: Kept, values: Values) -> Values:
        """What the rail says of a result, and of the class that was picked. The controls are left alone: somebody may
        have moved on by now. But whether to stretch begins anew with each picture."""
        note, stretch = kept.manifest.note, kept.source.stretch
        visible = bool(note) or stretch
        said = values[self.stretch] == stretch
        return {
            self.message: views.notice(note) if note else "",
            self.stretch: gr.update(visible=visible) if said else gr.update(value=stretch, visible=visible),
            self.predicted: self.prediction(kept, values[self.target]),
        }

    def prediction(self, kept: Kept, choice: str) -> str:
        """What the model says, and of the class that was picked."""
        return views.prediction(kept.result, self._results.target(kept.source.model, choice))

    def follow(self, source: Source, values: Values) -> Values:
        """What is offered of a model. A side that it lacks becomes what stands for it, and a class that it lacks is not
        picked any more; what it has is left alone."""
        choice, told = values[self.target], self._place(source)
        if values[self.side] == told[self.side]["value"]:
            del told[self.side]["value"]
        classes = self._results.models[source.model].classes
        picked = choice if choice in classes else MOST_PROBABLE
        offered = [MOST_PROBABLE, *classes]
        return told | {self.target: gr.update(choices=offered, value=picked, visible=bool(classes))}

    def _place(self, source: Source) -> Values:
        """How a picture can become the input of a source's model, and its classes."""
        sides = list(self._results.sides(source.model))
        return {
            self.side: gr.update(choices=sides, value=f"{source.side} px"),
            self.whole: gr.update(visible=not self._results.models[source.model].preparation.fixed),
            self.known: views.known_classes(self._results.models[source.model]),
        }

    def controls(self, source: Source) -> Values:
        """All controls that lead to a source, as they would."""
        told = self._place(source)
        return told | {self.model: source.model, self.whole: told[self.whole] | {"value": source.whole}}

    def field(self, source: Source) -> Any:
        """What the upload field shows of a source: its file, or what was decoded where browsers cannot read that, or
        may not: of a survey's folder nothing is served but by its pictures' names."""
        if Path(source.path).suffix.lower() in SHOWN and not self._results.is_surveyed(source.path):
            return source.path
        return self._results.decoder.preview(source.path, 512).picture
