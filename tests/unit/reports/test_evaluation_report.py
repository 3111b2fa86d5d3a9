"""The page of an evaluation: every part that was measured is on it, drawn for both widths, and what was not is said to be so."""

import msgspec
import numpy as np

from smartmoney.core.regime.parameters import RegimeParameters
from smartmoney.learning.evaluation.against import compare
from smartmoney.learning.evaluation.curve import CurvePoint
from smartmoney.learning.evaluation.delay import DelayScore
from smartmoney.learning.evaluation.evaluate import HeldOut, evaluate
from smartmoney.learning.evaluation.filter_score import Filtered
from smartmoney.learning.evaluation.paired import Difference, Ranged
from smartmoney.learning.evaluation.passed_by import SILENT, TAKEN, WAYS
from smartmoney.learning.evaluation.regime_filter import regimes_of
from smartmoney.learning.evaluation.said import RegimesSaid
from smartmoney.reports.evaluation import write_evaluation
from tests.unit.learning.made_rows import made_rows
from tests.unit.learning.test_evaluation_trades import worlds
from tests.unit.learning.test_spoofs_and_traps import spoofed, trapped


def delay(kind, median_s):
    return DelayScore(
        kind=kind, quiet_hours=24, worlds=4, lasts_s=1800.0, median_s=median_s, oracle_s=500.0, ratio=median_s / 500.0, ratio_low=0.5,
        ratio_high=float("inf"), caught_share=0.5, oracle_caught_share=1.0, direction=1.0,
    )  # fmt: skip


def test_every_part_that_was_measured_is_on_the_page(bundles, tmp_path):
    bundle = bundles.small_bundle()
    rows = [made_rows(seed, f"f{seed}", 1500, name=f"<world {seed}>") for seed in range(2)]
    curve = tuple(CurvePoint(worlds=count, macro_f1=0.3, auc=0.5) for count in (2, 4))
    said = [RegimesSaid(label=regimes_of(one), posterior=np.full((len(one), 5), 0.2)) for one in rows]
    held = HeldOut(
        worlds=rows, filtered=Filtered(per_law=8, said=[said[0], None], half=[said[0], None]), spoofs=[spoofed(1, "spoof_10s", 5.0)], traps=[trapped(1, 3, 1)], nulls=rows, null_trades=worlds(2), planted=rows,
        planted_trades=worlds(2), curve=curve,
    )  # fmt: skip
    scores = evaluate(bundle, RegimeParameters(), held, suite="s", holdout_runs=1, permute=True)
    scores = msgspec.structs.replace(scores, delays=(delay("poisson", 700.0), delay("twap", float("inf"))))
    told, page = write_evaluation(scores, bundle, tmp_path / "out")
    assert msgspec.json.decode(told.read_bytes())["planted_worlds"]["share"] == 0.0
    text = page.read_text(encoding="utf-8")
    for part in ("Planted flow", "Spoofers", "Traps", "Regimes", "Forecasts", "Learning curve", "What it goes by", "Trades"):
        assert f"<h2>{part}</h2>" in text
    for words in (
        "endless",
        "too few noticed",
        "learned from",
        "thousandths of a nat",
        "on 1 worlds it has a macro-F1 of 1.00 (1.00 had it learned from half as many), a lower bound of the exact public filter",
        "filter&#x27;s, at least",
        "edge planted, oracle of parents",
        "told",
        WAYS[TAKEN],
        WAYS[SILENT],
    ):
        assert words in text
    assert ">80%</td>" in text.replace(" %", "%")
    assert "&lt;world 0&gt;" in text
    assert "<world 0>" not in text
    assert text.count('class="narrow"') == text.count('class="wide"') == 8
    assert "http" not in text.replace("http://www.w3.org", "")


def test_a_page_of_little_says_what_is_not_known(bundles, tmp_path):
    bundle = bundles.small_bundle()
    scores = evaluate(bundle, RegimeParameters(), HeldOut(worlds=[made_rows(1, "one", 900)]), suite="s", holdout_runs=1)
    _, page = write_evaluation(scores, bundle, tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "<h2>Trades</h2>" not in text
    assert "<h2>Spoofers</h2>" not in text
    assert "–" in text
    assert scores.importance == ()


def test_what_two_bundles_differ_by_is_on_the_page(bundles, tmp_path):
    bundle = bundles.small_bundle()
    held = HeldOut(worlds=[made_rows(seed, "f", 900) for seed in range(2)])
    found = compare((bundle, bundle), (held, held), RegimeParameters(), suite="s", holdout_runs=(1, 2), resamples=4)
    apart = Difference(
        part="600 s", name="<slope>", first=Ranged(0.9, 0.8, 1.0), other=Ranged(0.5, 0.4, 0.6), difference=Ranged(0.4, 0.3, 0.5), units=11
    )  # fmt: skip
    told, page = write_evaluation(msgspec.structs.replace(found, differences=(*found.differences, apart)), bundle, tmp_path)
    text = page.read_text(encoding="utf-8")
    assert f"<h2>Against {bundle.name}</h2>" in text
    assert "600 s, &lt;slope&gt;" in text
    assert "+0.300 to +0.500" in text
    assert "1 leave out 0" in text
    assert msgspec.json.decode(told.read_bytes())["differences"][-1]["difference"] == {"value": 0.4, "low": 0.3, "high": 0.5}


def test_a_feature_that_regimes_hang_on_is_worth_more_than_noise(bundles):
    bundle = bundles.small_bundle()
    rows = [made_rows(seed, f"f{seed}", 1500) for seed in range(2)]
    scores = evaluate(bundle, RegimeParameters(), HeldOut(worlds=rows), suite="s", holdout_runs=1, permute=True)
    names = [one.feature for one in scores.importance]
    assert len(names) == len(set(names)) > 5
    sums = [one.regime + one.forecast for one in scores.importance]
    assert sums == sorted(sums, reverse=True)
    assert np.isfinite(sums).all()
