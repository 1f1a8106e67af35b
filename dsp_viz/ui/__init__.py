"""The Gradio app: layout, events, looks. No mathematics."""

from .layout import build
from .server import launch

__all__ = ["build", "launch"]
