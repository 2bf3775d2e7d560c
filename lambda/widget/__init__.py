"""The widget on the dashboard: the snapshots, how backups went, and buttons to back up now and to stop.

It only reads: the list of the snapshots in the log bucket, the table, and the topic's subscriptions
(:mod:`widget.sources`). What is read is understood (:mod:`widget.history`), judged (:mod:`widget.summary`) and drawn
(:mod:`widget.page`) by pure modules. The buttons make the console call the orchestrator, as the person who looks.
"""
