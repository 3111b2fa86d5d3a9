"""What was measured before on the same venue, per market and base asset, for a study to stand beside.

Source: a baseline on public recordings of Binance of 8 and 9 August 2024, five to eleven minutes a market, without intervals; the AUCs are
conditional on the mid having moved. Contemporaneous R² of order-flow imbalance goes back to Cont, Kukanov, Stoikov 2014 (about 65 % over
10 s on US stocks), that of trade flow to Silantyev 2019.
"""

from collections.abc import Mapping

FACTS: tuple[tuple[str, str], ...] = (
    ("r2_same_ofi", "R² of the same second's move: OFI"),
    ("r2_same_tfi", "R² of the same second's move: TFI"),
    ("r2_next_ofi", "R² of the next second's move: OFI"),
    ("auc_500ms_qi", "AUC of the next 500 ms: queue imbalance"),
    ("auc_500ms_ofi", "AUC of the next 500 ms: OFI"),
    ("auc_1s_qi", "AUC of the next second: queue imbalance"),
    ("auc_1s_ofi", "AUC of the next second: OFI"),
    ("auc_5s_qi", "AUC of the next 5 s: queue imbalance"),
    ("auc_5s_ofi", "AUC of the next 5 s: OFI"),
    ("mean_move_bps", "mean size of a 1 s move, bps"),
)
"""Key and meaning of each fact, in the order of a report."""

_KEYS = ("r2_same_ofi", "r2_same_tfi", "r2_next_ofi", "auc_500ms_qi", "auc_500ms_ofi", "auc_1s_qi", "auc_5s_qi", "mean_move_bps")
_ROWS: Mapping[tuple[str, str], tuple[float, ...]] = {
    ("usdm", "BTC"): (0.38, 0.52, 0.003, 0.78, 0.63, 0.74, 0.62, 1.4),
    ("usdm", "ETH"): (0.56, 0.33, 0.000, 0.82, 0.64, 0.73, 0.56, 1.2),
    ("coinm", "BTC"): (0.59, 0.14, 0.015, 0.87, 0.75, 0.77, 0.60, 1.5),
    ("coinm", "ETH"): (0.66, 0.16, 0.008, 0.75, 0.69, 0.67, 0.54, 1.6),
    ("spot", "BTC"): (0.51, 0.19, 0.034, 0.94, 0.85, 0.85, 0.61, 1.2),
    ("spot", "ETH"): (0.75, 0.15, 0.057, 0.86, 0.80, 0.76, 0.59, 1.4),
}


def published(market: str, base: str) -> dict[str, float]:
    """Return the published value of each fact that has one for this market and base asset."""
    return dict(zip(_KEYS, _ROWS.get((market, base.upper()), ()), strict=False))
