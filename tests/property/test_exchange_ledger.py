"""A state machine over the venue's own books: whatever accounts do and the market does, no money, lot or order is made or lost."""

from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from smartmoney.core.domain.instruments import Market
from smartmoney.simulation.exchange.refusals import Refusal
from tests.examples import examples
from tests.unit.simulation.trading import SYMBOL, S, Trading

SIDES = st.sampled_from(["BUY", "SELL"])
AWAY = st.integers(-300, 300)
STPS = st.sampled_from(["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"])


class Accounts(RuleBasedStateMachine):
    """Let two accounts trade on both markets, in every way, while the market runs."""

    def __init__(self):
        super().__init__()
        self.t = Trading(seed=3, usdm=Decimal(20_000))
        self.seen = 0

    def _who(self, first):
        return self.t.a if first else self.t.b

    def _try(self, call, *arguments, **more):
        """Do something that may be refused; a refusal changes nothing."""
        before = self.t.venue.ledger.balances(), dict(self.t.a.locked), dict(self.t.b.locked)
        try:
            call(*arguments, **more)
        except Refusal:
            after = self.t.venue.ledger.balances(), dict(self.t.a.locked), dict(self.t.b.locked)
            assert after == before

    @rule(first=st.booleans(), side=SIDES, kind=st.sampled_from(["LIMIT", "LIMIT_MAKER"]), away=AWAY, lots=st.integers(50, 4000))
    def spot_limit(self, first, side, kind, away, lots):
        self._limit(first, side, kind, away, lots)

    def _limit(self, first, side, kind, away, lots):
        tick = self.t.touch(Market.SPOT)[0] + away
        self._try(self.t.spot.place, self._who(first), self.t.ask_for(side, kind, lots, tick=tick))

    @rule(first=st.booleans(), side=SIDES, away=st.integers(-5, 5), lots=st.integers(50, 400_000))
    def spot_large(self, first, side, away, lots):
        self._limit(first, side, "LIMIT", away, lots)

    @rule(first=st.booleans(), side=SIDES, lots=st.integers(50, 60_000), stp=STPS, tif=st.sampled_from(["IOC", "FOK"]), away=AWAY)
    def spot_immediate(self, first, side, lots, stp, tif, away):
        tick = self.t.touch(Market.SPOT)[1] + away
        self._try(self.t.spot.place, self._who(first), self.t.ask_for(side, "LIMIT", lots, tick=tick, tif=tif, stp=stp))

    @rule(first=st.booleans(), side=SIDES, lots=st.integers(50, 60_000))
    def spot_market(self, first, side, lots):
        self._try(self.t.spot.place, self._who(first), self.t.ask_for(side, "MARKET", lots))

    @rule(first=st.booleans(), side=SIDES, away=st.integers(10, 300), lots=st.integers(50, 400_000), at_market=st.booleans())
    def spot_stop(self, first, side, away, lots, at_market):
        bid, ask = self.t.around(Market.SPOT)
        at = ask + away if side == "BUY" else bid - away
        kind, tick = ("STOP_LOSS", 0) if at_market else ("STOP_LOSS_LIMIT", at)
        self._try(self.t.spot.place, self._who(first), self.t.ask_for(side, kind, lots, stop_tick=at, tick=tick))

    @rule(
        first=st.booleans(),
        side=SIDES,
        away=st.integers(5, 200),
        lots=st.one_of(st.integers(50, 3000), st.integers(50, 400_000)),
        more=st.integers(-40, 10),
        form=st.sampled_from(["pair", "behind", "one behind", "behind, same side"]),
    )
    def spot_list(self, first, side, away, lots, more, form):
        """Place a pair, or a pair or one order behind a working order, mostly on the other side."""
        bid, ask = self.t.around(Market.SPOT)
        target, stop = (ask + away, bid - away) if side == "SELL" else (bid - away, ask + away)
        limit = self.t.ask_for(side, "LIMIT_MAKER", lots, tick=target)
        loss = self.t.ask_for(side, "STOP_LOSS", lots, stop_tick=stop)
        legs = (limit, loss) if side == "SELL" else (loss, limit)
        if form == "pair":
            self._try(self.t.lists.place_pair, self._who(first), legs, "")
            return
        before = side if form == "behind, same side" else {"SELL": "BUY", "BUY": "SELL"}[side]
        best = self.t.touch(Market.SPOT)[0 if before == "BUY" else 1]
        tick = best + (away // 2 if before == "BUY" else -(away // 2))
        working = self.t.ask_for(before, "LIMIT", max(50, lots + more), tick=tick)
        self._try(self.t.lists.place_triggered, self._who(first), working, legs[:1] if form == "one behind" else legs, "")

    @rule(first=st.booleans(), which=st.integers(0, 50))
    def spot_cancel(self, first, which):
        found = self.t.spot.log.open_of(self._who(first).owner)
        if found:
            self.t.spot.cancel(found[which % len(found)])

    @rule(
        first=st.booleans(),
        side=SIDES,
        away=AWAY,
        lots=st.integers(2, 300),
        reduce=st.booleans(),
        tif=st.sampled_from(["GTC", "GTX", "IOC"]),
    )
    def usdm_limit(self, first, side, away, lots, reduce, tif):
        tick = self.t.touch(Market.USDM)[0] + away
        self._try(self.t.usdm.place, self._who(first), self.t.ask_for(side, "LIMIT", lots, tick=tick, reduce_only=reduce, tif=tif))

    @rule(first=st.booleans(), side=SIDES, lots=st.integers(2, 3000), reduce=st.booleans())
    def usdm_market(self, first, side, lots, reduce):
        self._try(self.t.usdm.place, self._who(first), self.t.ask_for(side, "MARKET", lots, reduce_only=reduce))

    @rule(
        first=st.booleans(),
        side=SIDES,
        kind=st.sampled_from(["STOP_MARKET", "TAKE_PROFIT_MARKET"]),
        away=st.integers(5, 100),
        lots=st.integers(2, 300),
        close=st.booleans(),
        reduce=st.booleans(),
    )
    def usdm_stop(self, first, side, kind, away, lots, close, reduce):
        bid, ask = self.t.around(Market.USDM)
        at = ask + away if (side == "BUY") == (kind == "STOP_MARKET") else bid - away
        asked = self.t.ask_for(side, kind, 0 if close else lots, stop_tick=at, close_position=close, reduce_only=reduce and not close)
        self._try(self.t.algos.place, self._who(first), asked)

    @rule(first=st.booleans(), which=st.integers(0, 50))
    def usdm_cancel(self, first, which):
        found = self.t.usdm.log.open_of(self._who(first).owner)
        if found:
            self.t.usdm.cancel(found[which % len(found)])

    @rule(first=st.booleans(), rate=st.integers(-20, 20))
    def funding(self, first, rate):
        self.t.venue.clock.pay_funding(self._who(first), SYMBOL, Decimal(rate) / 10_000)

    @rule(first=st.booleans())
    def liquidation(self, first):
        if self.t.usdm.positions[self._who(first).owner][SYMBOL].lots:
            self.t.venue.clock.liquidate(self._who(first), SYMBOL)

    @rule(first=st.booleans(), amount=st.decimals(-50, 50, places=8))
    def transfer(self, first, amount):
        self._try(self.t.spot.transfer, self._who(first), "USDT", amount)

    @rule(first=st.booleans(), asset=st.sampled_from(["BTC", "USDT"]), keeps=st.integers(0, 20))
    def drain(self, first, asset, keeps):
        """Leave free as much as a small order needs, or nothing."""
        who = self._who(first)
        keep = Decimal(keeps) * (Decimal("0.001") if asset == "BTC" else 60)
        self._try(self.t.spot.transfer, who, asset, min(Decimal(0), keep - self.t.spot.free(who, asset)))

    @rule(ms=st.integers(1, 1500))
    def time_passes(self, ms):
        self.t.run(ms * S // 1000)

    @invariant()
    def nothing_is_made_or_lost(self):
        self.t.check()
        assert self.t.market.books[Market.SPOT, SYMBOL].fault == self.t.market.books[Market.USDM, SYMBOL].fault == 0

    @invariant()
    def statuses_are_told_in_order_and_an_end_is_an_end(self):
        ended = set()
        for event in self.t.told():
            order = getattr(event, "order", None)
            if order is None:
                continue
            key = (type(event).__name__, order.asked.symbol, order.id, order.asked.kind)
            assert key not in ended
            if not order.is_open:
                ended.add(key)


TestAccounts = Accounts.TestCase
TestAccounts.settings = settings(max_examples=examples(15), stateful_step_count=40)
