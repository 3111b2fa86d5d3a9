"""The matching engine's rules once more, as slow and plain as they can be written: dictionaries of lists, no kernels, no cleverness."""

from dataclasses import dataclass, field

BUY, SELL = 0, 1
GTC, IOC, FOK = 0, 1, 2
NO_STP, EXPIRE_TAKER, EXPIRE_MAKER, EXPIRE_BOTH = 0, 1, 2, 3
RISES, FALLS = 1, 2
RESTING, FILLED, EXPIRED, WAITING = 1, 2, 3, 4
POST_ONLY, INPUT, UNKNOWN, REDUCE_ONLY, WOULD_TRIGGER, PRICES = -1, -3, -5, -6, -7, -8


@dataclass
class Order:
    side: int
    tick: int
    lots: int
    owner: int
    tif: int = GTC
    post_only: bool = False
    stp: int = EXPIRE_TAKER
    reduce_only: bool = False
    display: int = 0
    trigger: int = 0
    at: int = 0
    number: int = 0
    shown: int = 0
    hidden: int = 0
    armed: int = 0
    state: str = "held"
    other: "Order | None" = None
    pending: "tuple[Order, Order] | None" = None
    working: "Order | None" = None

    @property
    def left(self):
        return self.shown + self.hidden


@dataclass
class ReferenceBook:
    levels: tuple = field(default_factory=lambda: ({}, {}))
    orders: dict = field(default_factory=dict)
    position: dict = field(default_factory=dict)
    stops: list = field(default_factory=list)
    due: list = field(default_factory=list)
    trades: list = field(default_factory=list)
    last: int | None = None
    clock: int = 0

    def best(self, side):
        ticks = [tick for tick, queue in self.levels[side].items() if queue]
        return (max(ticks) if side == BUY else min(ticks)) if ticks else None

    def would_trade(self, order):
        best = self.best(1 - order.side)
        if best is None:
            return False
        return not order.tick or (best <= order.tick if order.side == BUY else best >= order.tick)

    def reducible(self, order):
        held = self.position.get(order.owner, 0)
        return max(0, held if order.side == SELL else -held)

    # What callers do.

    def place(self, order):
        status = self._start(order)
        self._settle()
        return status

    def place_pair(self, x, y):
        x.other, y.other = y, x
        status = self._open_pair(x, y)
        self._settle()
        return status

    def place_list(self, working, x, y):
        working.pending = (x, y)
        x.other, y.other = y, x
        x.working = y.working = working
        x.state = y.state = "pending"
        self.orders[x.number], self.orders[y.number] = x, y
        status = self._start(working)
        if status < 0:
            del self.orders[x.number], self.orders[y.number]
        self._settle()
        return status

    def cancel(self, number):
        order = self.orders.get(number)
        if order is None:
            return UNKNOWN
        lots = order.left if order.state == "book" else order.lots
        self._remove(order)
        self._end_ties(order)
        return lots

    def amend(self, number, left):
        order = self.orders.get(number)
        if order is None or order.state != "book":
            return UNKNOWN
        if not 0 < left < order.left:
            return INPUT
        self._shorten(order, left)
        return left

    # How it works.

    def _start(self, order):
        if not order.trigger:
            return self._execute(order)
        if self._is_reached(order.trigger, order.at):
            return WOULD_TRIGGER
        self._arm(order)
        return WAITING

    def _is_reached(self, trigger, at):
        if self.last is None:
            return False
        return self.last >= at if trigger == RISES else self.last <= at

    def _arm(self, order):
        self.clock += 1
        order.armed, order.state = self.clock, "armed"
        self.stops.append(order)
        self.orders[order.number] = order

    def _refusal(self, order):
        if order.reduce_only and self.reducible(order) == 0:
            return REDUCE_ONLY
        return POST_ONLY if order.post_only and self.would_trade(order) else 0

    def _execute(self, order):
        refusal = self._refusal(order)
        if refusal:
            return refusal
        left = min(order.lots, self.reducible(order)) if order.reduce_only else order.lots
        prevented = False
        if order.tif != FOK or self._could_fill(order, left):
            left, prevented = self._trade(order, left)
        if left and order.tif == GTC and not prevented:
            order.shown = min(left, order.display) if order.display else left
            order.hidden = left - order.shown
            order.state = "book"
            self.orders[order.number] = order
            self.levels[order.side].setdefault(order.tick, []).append(order)
            return RESTING
        if left:
            self._end_ties(order)
            return EXPIRED
        self._completed(order)
        return FILLED

    def _queue(self, order):
        best = self.best(1 - order.side)
        return self.levels[1 - order.side][best] if best is not None and self.would_trade(order) else []

    def _could_fill(self, order, lots):
        sign = 1 if order.side == BUY else -1
        found = 0
        for tick in sorted((t for t, q in self.levels[1 - order.side].items() if q), key=lambda t: sign * t):
            if order.tick and sign * tick > sign * order.tick:
                break
            for maker in self.levels[1 - order.side][tick]:
                if maker.owner == order.owner and order.stp in {EXPIRE_TAKER, EXPIRE_BOTH}:
                    return False
                if maker.owner != order.owner or order.stp == NO_STP:
                    found += maker.left
                if found >= lots:
                    return True
        return False

    def _trade(self, order, left):
        prevented, prices = False, []
        while left and not prevented and (queue := self._queue(order)):
            maker = queue[0]
            if maker.owner == order.owner and order.stp != NO_STP:
                prevented = order.stp != EXPIRE_MAKER
                if order.stp != EXPIRE_TAKER:
                    self._remove(maker)
                    self._end_ties(maker)
                continue
            if maker.reduce_only:
                allowed = self.reducible(maker)
                if allowed == 0:
                    self._remove(maker)
                    self._end_ties(maker)
                    continue
                if allowed < maker.left:
                    self._shorten(maker, allowed)
            lots = min(left, maker.shown)
            self.trades.append((maker.number, order.number, maker.tick, lots))
            prices.append(maker.tick)
            sign = 1 if order.side == BUY else -1
            self.position[order.owner] = self.position.get(order.owner, 0) + sign * lots
            self.position[maker.owner] = self.position.get(maker.owner, 0) - sign * lots
            left -= lots
            self._lose(maker, lots)
        if prices:
            self.last = prices[-1]
            self._reach(min(prices), max(prices))
            self._fit_reducing()
        return left, prevented

    def _lose(self, maker, lots):
        maker.shown -= lots
        if not maker.pending:
            self._end_ties(maker)
        if maker.shown:
            return
        queue = self.levels[maker.side][maker.tick]
        queue.remove(maker)
        if maker.hidden:
            maker.shown = min(maker.hidden, maker.display)
            maker.hidden -= maker.shown
            queue.append(maker)
        else:
            del self.orders[maker.number]
            self._completed(maker)

    def _completed(self, order):
        if order.pending:
            x, y = order.pending
            x.working = y.working = order.pending = None
            x.state = "due"
            self.due.append(x)

    def _reach(self, low, high):
        reached = [s for s in self.stops if (high >= s.at if s.trigger == RISES else low <= s.at)]
        while reached:
            rising = sorted((s for s in reached if s.trigger == RISES), key=lambda s: (s.at, s.armed))[:1]
            falling = sorted((s for s in reached if s.trigger == FALLS), key=lambda s: (-s.at, s.armed))[:1]
            stop = min(rising + falling, key=lambda s: s.armed)
            self.stops.remove(stop)
            stop.state = "due"
            self.due.append(stop)
            self._end_ties(stop)
            reached = [s for s in reached if s in self.stops]

    def _fit_reducing(self):
        for order in list(self.orders.values()):
            if order.state == "book" and order.reduce_only and order.number in self.orders:
                allowed = self.reducible(order)
                if allowed == 0:
                    self._remove(order)
                    self._end_ties(order)
                elif allowed < order.left:
                    self._shorten(order, allowed)

    def _shorten(self, order, left):
        excess = order.left - left
        hidden = min(excess, order.hidden)
        order.hidden -= hidden
        order.shown -= excess - hidden

    def _remove(self, order):
        if order.state == "book":
            self.levels[order.side][order.tick].remove(order)
        if order in self.stops:
            self.stops.remove(order)
        if order in self.due:
            self.due.remove(order)
        self.orders.pop(order.number, None)

    def _end_ties(self, order):
        tied = [o for o in (order.other, order.working) if o is not None] + list(order.pending or ())
        order.other = order.working = order.pending = None
        for other in tied:
            other.other = other.working = other.pending = None
            self._remove(other)

    def _open_pair(self, x, y):
        for order in (x, y):
            to = order.trigger or (FALLS if order.side == BUY else RISES)
            if self._is_reached(to, order.at if order.trigger else order.tick):
                return WOULD_TRIGGER if order.trigger else PRICES
            if not order.trigger and (refusal := self._refusal(order)):
                return refusal
        status = WAITING
        for order in (x, y):
            if order.trigger:
                self._arm(order)
            else:
                status = self._execute(order)
        return status

    def _settle(self):
        while self.due:
            order = self.due.pop(0)
            if order.other is None:
                self.orders.pop(order.number)
                self._execute(order)
                continue
            other = order.other
            for leg in (order, other):
                self.orders.pop(leg.number)
            self._open_pair(order, other)
