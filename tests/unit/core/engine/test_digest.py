from smartmoney.core.domain.commands import Notify, RequestSnapshot
from smartmoney.core.engine.digest import Digest

A, B = Notify(severity="info", subject="a", text=""), RequestSnapshot(instrument=0, reason="b")


def digest_of(*pairs):
    digest = Digest()
    for seq, command in pairs:
        digest.add(seq, command)
    return digest.hexdigest()


def test_same_commands_same_digest_and_order_number_and_content_all_count():
    reference = digest_of((1, A), (2, B))
    assert digest_of((1, A), (2, B)) == reference
    others = {digest_of((2, B), (1, A)), digest_of((1, A), (3, B)), digest_of((1, A)), digest_of((1, A), (2, A)), digest_of()}
    assert reference not in others
    assert len(others) == 5


def test_reading_it_does_not_change_it():
    digest = Digest()
    digest.add(1, A)
    first = digest.hexdigest()
    assert digest.hexdigest() == first
    digest.add(2, B)
    assert digest.hexdigest() == digest_of((1, A), (2, B))


def test_neighbouring_commands_cannot_be_mistaken_for_one():
    assert digest_of((1, Notify(severity="", subject="ab", text="c"))) != digest_of((1, Notify(severity="", subject="a", text="bc")))
