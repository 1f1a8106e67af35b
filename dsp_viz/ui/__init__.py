"""The Gradio app: layout, events, looks. No mathematics."""

from .stubs import leave_out

leave_out()  # before anything imports Gradio

from .layout import build  # noqa: E402
from .server import create_app, mount, serve, serving  # noqa: E402

__all__ = ["build", "create_app", "mount", "serve", "serving"]
