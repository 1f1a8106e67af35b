"""Arrays → figures: plotly for the screen, matplotlib for print. They never display; they know no torch, no gradio."""
