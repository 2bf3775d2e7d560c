"""The orchestrator: starts a backup on schedule, stops it at the end of its window, and sees it to its end.

An event is parsed into a typed request (:mod:`orchestrator.events`), a pure decision says what is to be done and why
(:mod:`orchestrator.decide`), and :mod:`orchestrator.flow` does it through :mod:`orchestrator.table` and
:mod:`orchestrator.aws`.
"""
