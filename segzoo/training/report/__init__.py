"""The records of a run: history, charts, examples and the report page."""
