"""Typed models of everything in config/; an unknown key is an error. Read once, at start; never holds secrets."""

from smartmoney.settings.build import BuiltParameters, build_parameters, strategy_config
from smartmoney.settings.effective import config_hash, effective_settings, effective_thresholds, json_schema
from smartmoney.settings.errors import ConfigurationError
from smartmoney.settings.load import load_settings
from smartmoney.settings.models import Settings
from smartmoney.settings.sources import parse_override

__all__ = [
    "BuiltParameters",
    "ConfigurationError",
    "Settings",
    "build_parameters",
    "config_hash",
    "effective_settings",
    "effective_thresholds",
    "json_schema",
    "load_settings",
    "parse_override",
    "strategy_config",
]
