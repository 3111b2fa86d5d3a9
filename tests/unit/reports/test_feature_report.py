"""The report of a study: everything in one page, nothing from outside, and no number where there is none."""

from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest

from smartmoney.core.domain.instruments import Instrument, Market
from smartmoney.core.features.schema import FEATURES
from smartmoney.learning.feature_study import FINE_NS, SECOND_NS, FeatureStudy, StudyRows, study_features
from smartmoney.learning.top_watch import Bars
from smartmoney.reports.feature_plots import draw_all, draw_autocorrelations, draw_flow
from smartmoney.reports.feature_study import study_page, write_study

INSTRUMENT = Instrument(
    venue="binance", market=Market.SPOT, symbol="BTC<&>", name="BTC/USDT", base="BTC", quote="USDT", tick_size="0.1", lot_size="0.1"
)


def rows_of(seconds, values):
    count = 2 * seconds
    rng = np.random.default_rng(1)
    bars = Bars(
        times=SECOND_NS * 1000 + np.arange(count, dtype=np.int64) * FINE_NS,
        mid=1000.0 + np.cumsum(rng.choice([-1.0, 0.0, 1.0], count)),
        queue_imbalance=rng.uniform(-1, 1, count),
        order_flow=rng.standard_normal(count),
        trade_flow=rng.standard_normal(count),
    )
    return StudyRows(times=bars.times[::2], values=values, bars=bars, every_ns=SECOND_NS, frames=1, holes=2)


@pytest.fixture(scope="module")
def cold():
    rows = rows_of(40, np.full((40, len(FEATURES)), np.nan))
    return study_features(rows, INSTRUMENT, "binance", ["cut <short>"]), rows


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.links, self.cells = [], [], 0

    def handle_starttag(self, tag, attributes):
        if tag not in {"meta", "img"}:
            self.open.append(tag)
        self.links += [value for name, value in attributes if name in {"src", "href"}]
        self.cells += tag == "td"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.slow
def test_a_page_is_well_formed_escaped_and_needs_nothing_else(cold):
    study, rows = cold
    page = study_page(study, draw_all(study, rows))
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert len(reader.links) == 4
    assert all(link.startswith("data:image/png;base64,") for link in reader.links)
    assert reader.cells > 10 * len(FEATURES)
    assert "BTC&lt;&amp;&gt;" in page
    assert "cut &lt;short&gt;" in page
    assert "2 holes" in page
    assert "nan" not in page.partition("<h2>Flow")[0].lower().replace("binance", "")


@pytest.mark.slow
def test_what_was_never_warm_can_be_drawn_and_written(cold, tmp_path):
    study, rows = cold
    files = write_study(study, rows, tmp_path / "new" / "report")
    assert sorted(path.name for path in files) == [
        "autocorrelations.png",
        "correlations.png",
        "distributions.png",
        "flow.png",
        "study.html",
        "study.json",
    ]
    assert msgspec.json.decode((tmp_path / "new" / "report" / "study.json").read_bytes(), type=FeatureStudy) == study
    assert {one.coverage for one in study.features} == {0.0}


@pytest.mark.slow
def test_the_same_study_gives_the_same_pictures():
    values = np.random.default_rng(4).standard_normal((60, len(FEATURES)))
    rows = rows_of(60, values)
    first, second = (study_features(rows, INSTRUMENT, "binance") for _ in range(2))
    assert draw_flow(first, rows) == draw_flow(second, rows)
    assert draw_autocorrelations(first) == draw_autocorrelations(second)
