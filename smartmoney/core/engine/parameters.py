"""Everything that shapes `step`, in one frozen struct: it travels in `RunStarted`, so that a replay needs nothing else."""

from typing import Any

import msgspec

from smartmoney.core.book.trust import TrustLimits
from smartmoney.core.execution.parameters import ExecutionParameters
from smartmoney.core.features.parameters import FeatureParameters
from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.core.risk.parameters import RiskLimits
from smartmoney.core.strategy.parameters import DeskParameters


class EngineParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Configure the engine.

    `strategy_config` is the plain mapping that the strategy's constructor gets; `strategy_class` is `module:Class`, empty for the built-in
    one.
    """

    features: FeatureParameters = FeatureParameters()
    regime: RegimeParameters = RegimeParameters()
    desk: DeskParameters = DeskParameters()
    limits: RiskLimits = RiskLimits()
    execution: ExecutionParameters = ExecutionParameters()
    trust: TrustLimits = TrustLimits()
    strategy_class: str = ""
    strategy_config: dict[str, Any] = {}


_encoder = msgspec.json.Encoder(decimal_format="string", order="sorted")
_decoder = msgspec.json.Decoder(EngineParameters)


def encode_parameters(parameters: EngineParameters) -> bytes:
    """Return the canonical bytes of parameters."""
    return _encoder.encode(parameters)


def decode_parameters(raw: bytes) -> EngineParameters:
    """Return the parameters of bytes written by `encode_parameters`.

    Raises:
        msgspec.DecodeError, msgspec.ValidationError: the bytes are not those of this build's parameters.
    """
    return _decoder.decode(raw)
