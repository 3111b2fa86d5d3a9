"""Files of accounts: what is read, what is refused with the field, and that no secret is shown."""

from decimal import Decimal
from pathlib import Path

import pytest

from smartmoney.settings.accounts import demo_account, load_accounts
from smartmoney.settings.errors import ConfigurationError

EXAMPLE = Path(__file__).resolve().parents[3] / "config" / "accounts.yaml"


def written(tmp_path, text):
    path = tmp_path / "accounts.yaml"
    path.write_text(text)
    return path


def test_the_example_can_be_read():
    trader, observer = load_accounts(EXAMPLE)
    assert (trader.name, trader.spot["BTC"], trader.fees.usdm_taker) == ("trader", Decimal("0.5"), Decimal("0.0005"))
    assert not observer.keys[0].permissions.trade
    assert observer.keys[0].permissions.addresses == ("127.0.0.1",)


def test_json_is_read_too(tmp_path):
    (account,) = load_accounts(written(tmp_path, '{"accounts": [{"name": "a", "keys": [{"key": "K", "secret": "s"}]}]}'))
    assert (account.name, account.keys[0].key) == ("a", "K")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("accounts: []", "accounts"),
        ("accounts: [{name: a, keys: []}]", "accounts.0.keys"),
        ("accounts: [{name: a, keys: [{key: 'no way', secret: CANARY}]}]", "accounts.0.keys.0.key"),
        ("accounts: [{name: a, keys: [{key: K, secret: CANARY}], spot: {USDT: -1}}]", "accounts.0.spot.USDT"),
        ("accounts: [{name: a, keys: [{key: K, secret: CANARY, tarde: true}]}]", "accounts.0.keys.0.tarde"),
        ("accounts: [{name: a, keys: [{key: K, secret: CANARY}]}, {name: a, keys: [{key: L, secret: CANARY}]}]", "accounts.name"),
        ("accounts: [{name: a, keys: [{key: K, secret: CANARY}]}, {name: b, keys: [{key: K, secret: CANARY}]}]", "accounts.keys.key"),
    ],
)
def test_what_is_wrong_is_named_and_the_secret_is_not(tmp_path, text, where):
    with pytest.raises(ConfigurationError) as caught:
        load_accounts(written(tmp_path, text))
    assert str(caught.value).startswith(where)
    assert "CANARY" not in str(caught.value)


def test_the_demo_account_follows_from_the_seed():
    assert demo_account(1) == demo_account(1)
    assert demo_account(1).keys[0].key != demo_account(2).keys[0].key
