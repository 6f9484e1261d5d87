"""From a run to weights that others use: cards, provenance, releases, the Hub."""
