"""A survey of a data set: what each head does with each picture, in files that are read back a column at a time.

:mod:`~dsp_viz.survey.reading` opens one; it needs no torch. ``python -m dsp_viz survey`` makes one, see
:mod:`~dsp_viz.survey.engine` and ``docs/survey.md``.
"""

from .format import QUANTITIES, SurveyedLayer, SurveyError
from .reading import Survey, Top, Total, open_survey

__all__ = ["QUANTITIES", "Survey", "SurveyError", "SurveyedLayer", "Top", "Total", "open_survey"]
