"""The cluster keeps segzoo's contract."""

from segzoo.testing import check_cluster


def test_the_cluster_keeps_its_contract():
    check_cluster("template")
