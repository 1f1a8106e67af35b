"""The recipe that made the weights in ``pretrained/``: ``python -m training.train``, and what judges it.

Needs the packages of the extra ``train``. Nothing else imports it: the app and the layer run without.
"""
