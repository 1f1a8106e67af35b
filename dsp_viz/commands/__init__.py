"""The commands of ``python -m dsp_viz``, a file each; :mod:`dsp_viz.__main__` puts them together."""
