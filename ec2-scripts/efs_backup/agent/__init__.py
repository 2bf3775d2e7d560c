"""The agent: what runs on the instance around the engine. It is told by docs/agent.md, and needs boto3."""
