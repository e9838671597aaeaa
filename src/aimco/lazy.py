"""Modules that are imported when they are first used."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType


class _AtFirstUse(ModuleType):
    """Stands for a module until something of it is asked for, and passes on to it from then on."""

    def __getattr__(self, name: str) -> object:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        module = importlib.import_module(self.__name__)
        self.__dict__.update(module.__dict__)
        return getattr(module, name)


def at_first_use(name: str) -> None:
    """Puts off the import of a module until an attribute of it is asked for; one that is imported already stays.

    For commands that need no more than records, of modules whose functions use it: torch takes longer to import than a design to price.
    """
    sys.modules.setdefault(name, _AtFirstUse(name))
