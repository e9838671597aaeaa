"""Columns as a pandas table, where pandas is installed."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from aimco.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame

NO_PANDAS = "to_dataframe needs pandas, which is not installed; pip install 'aimco[notebook]' brings it"


def dataframe(columns: Mapping[str, Sequence[object]]) -> DataFrame:
    """A DataFrame with these columns.

    Args:
        columns: Name -> values, all of one length; None where there is no value.

    Raises:
        InputError: pandas is not installed.
    """
    if importlib.util.find_spec("pandas") is None:
        raise InputError(NO_PANDAS)
    return importlib.import_module("pandas").DataFrame(dict(columns))
