"""Looks: colours, type, and the few rules that Gradio's themes cannot express."""

from pathlib import Path

import gradio as gr

# Weights 400 and 700 alone: the shipped 600 files of these families hold no Latin letters.
_SANS = gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700))
_MONO = gr.themes.LocalFont("IBM Plex Mono", weights=(400, 700))

THEME = gr.themes.Base(
    primary_hue=gr.themes.colors.teal,
    secondary_hue=gr.themes.colors.teal,
    neutral_hue=gr.themes.colors.slate,
    radius_size=gr.themes.sizes.radius_sm,
    spacing_size=gr.themes.sizes.spacing_sm,
    font=[_SANS, "system-ui", "sans-serif"],
    font_mono=[_MONO, "ui-monospace", "monospace"],
).set(
    body_background_fill="#f6f8f9",
    body_background_fill_dark="#10151b",
    block_background_fill="#ffffff",
    block_background_fill_dark="#171e26",
    block_border_color="#dde4e8",
    block_border_color_dark="#26313b",
    block_label_text_weight="400",
    block_title_text_weight="700",
    button_large_text_weight="700",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_hover_dark="*primary_800",
    body_text_color_subdued="#51606c",
    body_text_color_subdued_dark="#a3b1bd",
    slider_color="*primary_600",
)


def _text(*names: str) -> str:
    return "".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in names)


def _scripts(*parts: str) -> str:
    return _text(*(f"view/{part}.js" for part in ("maths", "colours", "parts", *parts)))


#: The views: what they are made of, and what draws them.
MARKUP = _text("view/view.html")
#: The polarity view by itself, as in a page that was taken away; in the app it looks after the page around it too.
VIEW_JAVASCRIPT = _scripts("sheet", "address", "view", "draw", "take", "controls")
JAVASCRIPT = VIEW_JAVASCRIPT + _text("view/page.js", "view/answers.js")
COMPARE_MARKUP = _text("view/compare.html")
COMPARE_JAVASCRIPT = _scripts("sheet", "address", "compare", "comparing")
REGION_MARKUP = _text("view/region.html")
REGION_JAVASCRIPT = _scripts("region")
MATTER_MARKUP = _text("view/matter.html")
MATTER_JAVASCRIPT = _scripts("matter")


def css() -> str:
    """The app's style sheets."""
    return _text("style.css", "view/view.css")
