"""A rehearsal: the built-in exchange and a live daemon, each a process of its own, on real sockets; the exchange's ledger is the judge."""

import json
import urllib.request
from contextlib import contextmanager, suppress
from decimal import Decimal

from smartmoney.adapters.journal import JournalReader
from smartmoney.adapters.state_directory import StateLayout
from tests.waiting import PATIENCE_S, wait_until

from .daemons import Daemon, smartmoney

KEY, SECRET = "KeyOfTheTrader1", "canary4711secretcanary"
ACCOUNTS = f"""
accounts:
  - name: trader
    keys: [{{key: {KEY}, secret: {SECRET}, addresses: [127.0.0.1]}}]
    spot: {{USDT: 10000, BTC: 0.5}}
    usdm: {{USDT: 10000}}
"""
# Wants a tenth of equity in every second decision, and nothing in the others: an entry, protection and an exit all the time.
CHURN = '''
from smartmoney import OrderFlowStrategy, Signal, SignalType

class Churn(OrderFlowStrategy):
    """Buy and sell in turn, whatever the market does."""

    buys = False

    async def generate_signals(self):
        price = self.current_price
        Churn.buys = not Churn.buys
        kind = SignalType.BUY if Churn.buys else SignalType.SELL
        down, up = (0.98, 1.04) if Churn.buys else (1.02, 0.96)
        return [
            Signal(
                signal_type=kind,
                symbol=self.symbol,
                price=price,
                quantity=0.1,
                confidence=0.9,
                stop_loss=price * down,
                take_profit=price * up,
            )
        ]
'''
CONFIG = """
mode: live
venue: binance
market: {market}
capital: 5000
endpoints: {{rest: "{rest}", ws: "{ws}", sapi: "{sapi}"}}
api_key: {{key_file: "{folder}/key", secret_file: "{folder}/secret"}}
strategy_class: {strategy}
strategy: {{min_liquidity_score: 0.01, update_frequency: {every}, rebalance_band: 0}}
risk: {{max_daily_loss: 0.9, max_orders_per_minute: 1200, reserved_orders_per_minute: 600}}
advanced_features:
  feature_engine: {{risk_adjustment_factor: 0}}
  liquidity_patterns: {{mm_confidence_threshold: 0.01}}
  signal_generation: {{max_signals_per_minute: 1000}}
"""


class Rehearsal:
    """Hold an exchange, a configuration and a state directory; daemons come and go."""

    def __init__(self, folder, market, ready):
        self.folder = folder
        self.market = market
        self.state = folder / "state"
        self.layout = StateLayout(self.state)
        self.spot = ready["binance"]["spot"]
        self.here = ready["binance"][market]
        self.warm = ready["warm"][market]["BTCUSDT"]
        self.config = folder / "live.yaml"
        self.lot = Decimal("0.00001") if market == "spot" else Decimal("0.001")
        self.configure()

    def configure(self, *, strategy="long_only_for_tests:LongOnly", rest=None, every=1.0, **changes):
        words = {"market": self.market, "rest": rest or self.here["rest"], "ws": self.here["ws"], "sapi": self.spot["rest"]}
        self.config.write_text(CONFIG.format(folder=self.folder, strategy=strategy, every=every, **{**words, **changes}))

    def daemon(self, *arguments, **changes):
        words = ("--live", "-c", self.config, "--state-dir", self.state, "--warm", self.warm)
        return Daemon(*words, *arguments, **changes)

    def status(self):
        said = smartmoney("status", "--json", "--state-dir", self.state)
        assert said.returncode == 0, said.stderr
        return json.loads(said.stdout)

    def resume(self):
        said = smartmoney("resume", "--reason", "the rehearsal goes on", "--state-dir", self.state)
        assert said.returncode == 0, said.stderr

    def ask(self, path, body=None):
        request = urllib.request.Request(self.spot["rest"] + path, method="GET" if body is None else "POST")
        data = None
        if body is not None:
            request.add_header("Content-Type", "application/json")
            data = json.dumps(body).encode()
        with urllib.request.urlopen(request, data, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def fault(self, kind, **keys):
        return self.ask("/sim/faults", {"kind": kind, "market": self.market, **keys})["added"][0]

    def acted(self, name):
        return next(each["acted"] for each in self.ask("/sim/faults")["faults"] if each["name"] == name)

    def clear(self, name):
        urllib.request.urlopen(
            urllib.request.Request(f"{self.spot['rest']}/sim/faults/{name}", method="DELETE"), timeout=PATIENCE_S
        ).close()

    def ledger(self):
        account = self.ask("/sim/ledger")["accounts"][0]
        return {**account, "orders": [o for o in account["orders"] if o["market"] == self.market]}

    def ours(self, account):
        """Return the client ids of our orders at the exchange, with how many orders each is."""
        counts = {}
        algos = {a["client_id"] for a in account["algos"]}
        for order in account["orders"]:
            if order["client_id"].startswith("sm") and order["client_id"] not in algos:
                counts[order["client_id"]] = counts.get(order["client_id"], 0) + 1
        for algo in account["algos"]:
            counts[algo["client_id"]] = counts.get(algo["client_id"], 0) + 1
        return counts

    def held(self, account):
        """Return the quantity that our own orders hold, by the exchange's ledger."""
        if self.market == "usdm":
            return next((self.lot * p["lots"] for p in account["positions"] if p["symbol"] == "BTCUSDT"), Decimal(0))
        mine = {o["id"] for o in account["orders"] if o["client_id"].startswith("sm")}
        total = Decimal(0)
        for fill in account["fills"]:
            if fill["market"] != "spot" or fill["order_id"] not in mine:
                continue
            total += self.lot * fill["lots"] * (1 if fill["side"] == "BUY" else -1)
            total -= Decimal(fill["commission"]) if fill["commission_asset"] == "BTC" else 0
        return total

    def stops(self, account):
        """Return the quantities of the live stops."""
        if self.market == "usdm":
            return [self.lot * a["lots"] for a in account["algos"] if a["status"] == "NEW"]
        return [self.lot * o["lots"] for o in account["orders"] if o["kind"] == "STOP_LOSS" and o["status"] == "NEW"]

    def open_entries(self, account):
        bids = [o for o in account["orders"] if o["side"] == "BUY" and o["status"] in {"NEW", "PARTIALLY_FILLED"}]
        return [o["client_id"] for o in bids if not o["reduce_only"]]

    def intents(self):
        with JournalReader.open(self.layout.journal) as journal:
            return {order.client_order_id for run in journal.runs(1000) for order in journal.orders(run.run_id)}

    def problems(self, *, with_protection=True):
        """Return what is wrong now, as far as the exchange's ledger, the journal and the daemon's own word can tell."""
        account = self.ledger()
        counts = self.ours(account)
        found = [f"{name} is {count} orders" for name, count in counts.items() if count > 1]
        found += [f"{name} was sent without an intent" for name in set(counts) - self.intents()]
        held = self.held(account)
        lots = int(abs(held) / self.lot)
        stops = self.stops(account)
        if with_protection and stops != ([self.lot * lots] if lots * self.lot * 60_000 > 5 else []):
            found.append(f"held {held}, stops {stops}")
        return found

    def settles(self, patience_s=60.0):
        """Wait until nothing is wrong; return what still is."""
        with suppress(AssertionError):
            wait_until(lambda: not self.problems(), patience_s=patience_s, every_s=0.1)
        return self.problems()


@contextmanager
def rehearsal(folder, market="spot", *, seed=3, accounts=ACCOUNTS):
    """Serve an exchange for a market and yield the rehearsal on it."""
    from .daemons import LONG_ONLY, PRERUN_S

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "long_only_for_tests.py").write_text(LONG_ONLY)
    (folder / "churn_for_tests.py").write_text(CHURN)
    (folder / "accounts.yaml").write_text(accounts)
    for name, text in (("key", KEY), ("secret", SECRET)):
        (folder / name).write_text(text + "\n")
        (folder / name).chmod(0o600)
    words = ("--seed", seed, "--port", 0, "--symbols", "BTCUSDT", "--accounts", folder / "accounts.yaml")
    with Daemon(*words, "--prerun", PRERUN_S, "--warm-out", folder / "warm", "--json", command="sim") as exchange:
        yield Rehearsal(folder, market, exchange.first_printed())
        assert exchange.process.poll() is None, exchange.said()
