"""Decisions and formats: values in, values out; no input, no output, no clock."""
