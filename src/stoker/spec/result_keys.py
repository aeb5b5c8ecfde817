"""The keys of what a pipeline leaves beside its outputs: error folders, and tables of values."""

from typing import Annotated

from pydantic import BeforeValidator

from stoker.model.pipeline import ERROR_FOLDER_BYTES
from stoker.spec.shapes import ShortTable, Size, Texts, explained


class ErrorFolderTable(ShortTable):
    """The folder that appears for an item when one of its tasks has failed for good."""

    to: str | None = explained(
        "The path of the folder; a template that differs from item to item.",
        "The folder appears there whole. One that Stoker did not write is never replaced.",
        example="errors/{key}/",
        absent="required",
    )
    pick: Texts = explained(
        "Globs in the scratch folder of the failed attempt.",
        "The files that they match are kept in the folder, beside the reason and the logs.",
        default=[],
        example=["*.log", "quant/**"],
        alias="from",
    )
    max_size: Size = explained(
        "The largest size of all these files together.",
        "What exceeds it is left out, and named in `LEFT_OUT.txt`.",
        default=ERROR_FOLDER_BYTES,
        example="1G",
    )


def _long(value: object) -> object:
    return {"to": value} if isinstance(value, str) else value


ErrorFolder = Annotated[ErrorFolderTable, BeforeValidator(_long)]


class ValueTableTable(ShortTable):
    """A table with one row for each item, kept current."""

    to: str | None = explained(
        "The path of the table; its suffix is `.csv`, `.tsv`, `.sqlite` or `.parquet`.",
        "The file is written hidden and renamed, at most once a minute and only if something changed.",
        example="results/good.csv",
        absent="required",
    )
    columns: list[str] = explained(
        "The columns: `key`, `params.x`, `meta.x`, `values.STEP.x`, `outputs.STEP.x`.",
        "An item has a row once all steps that are named here are done.",
        default=[],
        example=["key", "meta.accession", "values.quant.rate"],
        absent="the key, all parameters and all values",
    )
    where: str | None = explained(
        "A condition in CEL for the rows.",
        "Items for which it is false are left out.",
        example="values.quant.rate > 75",
        absent="all items",
    )


ValueTable = Annotated[ValueTableTable, BeforeValidator(_long)]
