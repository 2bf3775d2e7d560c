"""What the agent decides and how it says it: values in, values out; no input, no output, no clock."""
