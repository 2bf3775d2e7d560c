"""The verbs: backup, restore, verify, list; each reads as the steps it takes."""
