"""The Gradio app: layout, events, looks. No mathematics."""

from .layout import build
from .server import create_app, mount, serve, serving

__all__ = ["build", "create_app", "mount", "serve", "serving"]
