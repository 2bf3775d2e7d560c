"""What the agent is told to do: run a backup or a restore, drain, finish what a dead agent left."""
