"""Import ccxt one exchange at a time.

`import ccxt` reads the classes of a hundred exchanges, twice with its asynchronous half: most of a second and sixty megabytes, of which a
daemon uses one class. Each class is a module of its own, so the packages are put in place without running them; what is asked of them is
looked up in the module that has it, and anything else runs the package after all. To everybody else ccxt looks as it is.

Invariants: a package that somebody imported before is left alone; classes and errors are the same objects, whichever way they are reached.
"""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

_PACKAGES = ("ccxt", "ccxt.async_support", "ccxt.pro")


class _Package(ModuleType):
    """Be a package that has not run: it runs when it is asked for what none of its modules is known to hold."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__version__":
            raise AttributeError(name)
        errors = importlib.import_module("ccxt.base.errors")
        if hasattr(errors, name):
            return getattr(errors, name)
        if name == "Exchange":
            home = "ccxt" if self.__name__ == "ccxt" else "ccxt.async_support"
            return importlib.import_module(f"{home}.base.exchange").Exchange
        if importlib.util.find_spec(f"{self.__name__}.{name}") is not None:
            importlib.import_module(f"{self.__name__}.{name}")
            return self.__dict__[name]
        self._run()
        return getattr(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        # The import of an exchange's module binds the module here, where the package has the class.
        inner = vars(value).get(name) if isinstance(value, ModuleType) else None
        super().__setattr__(name, inner if isinstance(inner, type) else value)

    def _run(self) -> None:
        super().__setattr__("__class__", ModuleType)
        specification = self.__spec__
        assert specification is not None
        assert specification.loader is not None
        specification.loader.exec_module(self)


def lazily() -> None:
    """Put ccxt's packages in place; does nothing where they were imported before."""
    for name in _PACKAGES:
        if name in sys.modules:
            continue
        specification = importlib.util.find_spec(name)
        if specification is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        package = _Package(name)
        package.__spec__, package.__loader__, package.__package__ = specification, specification.loader, name
        package.__path__, package.__file__ = list(specification.submodule_search_locations or ()), specification.origin
        sys.modules[name] = package
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, package)


def exchange_class(half: str, exchange_id: str) -> Any:
    """Return an exchange's class from one half of ccxt: `async_support` (REST) or `pro` (streams too). None: it has no such exchange."""
    lazily()
    name = f"ccxt.{half}.{exchange_id}"
    if not exchange_id.isidentifier() or importlib.util.find_spec(name) is None:
        return None
    found = getattr(importlib.import_module(name), exchange_id, None)
    return found if isinstance(found, type) else None
