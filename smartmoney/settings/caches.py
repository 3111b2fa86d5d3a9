"""Model of `caches:`: how much the cache directory may hold of what can be made again, beside compiled kernels."""

from pydantic import Field

from smartmoney.settings.advanced import Section


class CacheSettings(Section):
    """How large caches on disk may grow: what was not used for the longest goes first, never what was used within the hour."""

    recordings_gb: float = Field(default=8.0, ge=0, le=100_000)
    """Gigabytes of prepared recordings at most (a day of one busy instrument takes one to two); 0: none is prepared."""
    training_rows_gb: float = Field(default=8.0, ge=0, le=100_000)
    """Gigabytes of the rows that trainings and evaluations are made of at most; an hour of a market takes 2 MB."""
    tuned_models_gb: float = Field(default=1.0, ge=0, le=100_000)
    """Gigabytes of the models that searches trained at most; one takes 1 to 10 MB."""
