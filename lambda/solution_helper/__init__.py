"""solution-helper: what the stacks need done when they are made, changed or removed."""
