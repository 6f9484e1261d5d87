"""A data set for segzoo. This module only says so; the code is imported when it is used."""

from segzoo.hooks import hookimpl
from segzoo.specs import DatasetSpec, Labels

LABELS = Labels(classes=("background", "thing"), values=(0, 255))


@hookimpl
def segzoo_api() -> int:
    return 1


@hookimpl
def segzoo_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="template",
            factory="segzoo_template.dataset:open_split",
            splits=("train", "val", "test"),
            labels=LABELS,
            summary="say in a line what the images show",
            layout="a folder per split, in it images/*.png and masks/*.png of the same names",
            licence="say on what terms the data may be used",
            by_hand="say how people get the data",
        )
    ]
