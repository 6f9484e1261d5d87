"""From a run to published weights: cards, provenance, releases, the Hub."""
