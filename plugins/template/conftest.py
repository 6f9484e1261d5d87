"""Leaves these packages' tests alone: they are not installed. tests/test_plugins_new.py runs them."""

collect_ignore_glob = ["*"]
