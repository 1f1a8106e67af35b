"""Arrays → figures: plotly for the screen, matplotlib for print. They open no window; no torch, no gradio."""
