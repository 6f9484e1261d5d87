"""Medical images for segzoo: data sets, and weights trained on them."""

from __future__ import annotations

from segzoo.hooks import hookimpl
from segzoo.specs import DatasetSpec, Labels

NUCLEI = Labels(classes=("background", "nucleus"), palette=((0, 0, 0), (255, 196, 0)))


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="dsb2018",
            factory="segzoo_medical.dsb2018:DSB2018",
            splits=("train", "val", "test"),
            labels=NUCLEI,
            summary="Data Science Bowl 2018: nuclei in light and fluorescence microscopy",
            layout="stage1_train.zip, or the folder it unpacks to: <id>/images/<id>.png, <id>/masks/*.png",
            licence="CC0-1.0",
            homepage="https://bbbc.broadinstitute.org/BBBC038",
            paper="doi:10.1038/s41592-019-0612-7",
        )
    ]
