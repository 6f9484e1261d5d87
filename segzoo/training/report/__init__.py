"""What a run leaves for people: history, charts, examples and the report page."""
