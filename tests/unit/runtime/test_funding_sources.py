"""Where the rates of a paper account's funding came from, in counts and in words."""

import pytest

from smartmoney.runtime.funding_sources import FundingSources, added, sources_of


def test_payments_are_counted_by_their_references_and_a_real_accounts_are_left_out():
    references = [
        "paper BTC/USDT:USDT 28800 as recorded",
        "paper BTC/USDT:USDT 57600",
        "FUNDING_FEE-7",
        "paper ETH/USDT:USDT 28800 as recorded",
        "paper ETH/USDT:USDT 57600 as recorded, at the mid",
    ]
    assert sources_of(references) == FundingSources(recorded=3, assumed=1, at_mid=1)
    assert added([sources_of(references), FundingSources(), FundingSources(1, 1)]) == FundingSources(recorded=4, assumed=2, at_mid=1)
    assert added([]) == sources_of([]) == FundingSources()


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        (FundingSources(), ()),
        (FundingSources(3, 0), ("funding: as recorded in 3 of 3 payments",)),
        (FundingSources(2, 1), ("funding: as recorded in 2 of 3 payments, at the assumed rate in 1",)),
        (
            FundingSources(2, 1, 1),
            ("funding: as recorded in 2 of 3 payments (1 of them on the mid: no mark price was told), at the assumed rate in 1",),
        ),
        (FundingSources(0, 2), ("funding: as recorded in 0 of 2 payments, at the assumed rate in 2",)),
    ],
)
def test_the_words_say_how_many_of_how_many(sources, words):
    assert sources.words() == words
