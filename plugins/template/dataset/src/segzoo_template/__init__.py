"""A dataset for segzoo. This module only registers it; the code is imported on first use."""

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
            summary="describe in one line what the images show",
            layout="one folder per split, with images/*.png and masks/*.png of the same names",
            licence="state the licence of the data",
            by_hand="describe how to get the data",
        )
    ]
