"""The engine shown to a newcomer: ``python -m tests.demo``."""
