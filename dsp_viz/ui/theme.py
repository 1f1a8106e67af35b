"""Looks: colours, type, and the few rules that Gradio's themes cannot express."""

from pathlib import Path

import gradio as gr

from .modules import mounting

# Only weights 400 and 700: the shipped 600 files of these families hold no Latin letters.
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


#: The views: what they are made of, and what draws them. That of the maps looks after the page around it too.
MARKUP = _text("view/view.html")
JAVASCRIPT = mounting("view.js", "page.js", tells=("pick", "lost"))
COMPARE_MARKUP = _text("view/compare.html")
COMPARE_JAVASCRIPT = mounting("compare.js", tells=("lost",))
OVERVIEW_MARKUP = _text("view/overview.html")
OVERVIEW_JAVASCRIPT = mounting("overview.js", tells=("lost",))
SEVERAL_MARKUP = _text("view/several.html")
SEVERAL_JAVASCRIPT = mounting("several.js", tells=("choose",))
ATLAS_MARKUP = _text("view/atlas.html")
ATLAS_JAVASCRIPT = mounting("atlas.js")
REGION_MARKUP = _text("view/region.html")
REGION_JAVASCRIPT = mounting("region.js", tells=("draw",))
MATTER_MARKUP = _text("view/matter.html")
MATTER_JAVASCRIPT = mounting("matter.js")
RELEVANCE_MARKUP = _text("view/relevance.html")
RELEVANCE_JAVASCRIPT = mounting("relevance.js")


#: What every page runs before Gradio's scripts.
HEAD = f"<script>{_text('view/answers.js')}</script>"


def css() -> str:
    """The app's style sheets."""
    return _text("style.css", *(f"view/{name}.css" for name in ("view", "overview", "several", "relevance", "atlas")))
