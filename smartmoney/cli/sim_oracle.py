"""`smartmoney sim oracle`: what can be known of a planted target from the public feed, by an exact filter."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from smartmoney.simulation.oracle_report import Measured, OracleReport


def oracle(
    worlds: Annotated[int, typer.Option(min=2, max=100_000, help="Worlds with a target, and as many without.")] = 200,
    kind: Annotated[str, typer.Option(help="How the target acts: poisson, twap, iceberg or jittered.")] = "poisson",
    seed: Annotated[int, typer.Option(min=0, max=2**40, help="Same seed, same worlds.")] = 1,
    quiet_days: Annotated[
        float, typer.Option(min=0, max=1000, help="Days without a target by which the alarm's threshold is set; 0: no delays.")
    ] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score the exact public filter of a kind of world: AUC, d′, alarm delay at one false alarm per 24 hours, with intervals.

    Example: smartmoney sim oracle --kind twap --worlds 400 --json
    """
    from smartmoney.runtime.kernel_cache import prepare

    prepare()
    import msgspec

    from smartmoney.simulation.oracle_report import default_world, report

    try:
        world = default_world(kind)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--kind") from None
    if 0 < quiet_days < 1:
        raise typer.BadParameter("one false alarm a day cannot be set on less than a day; give 1 or more, or 0", param_hint="--quiet-days")
    found = report(world, worlds=worlds, seed=seed, quiet_days=quiet_days)
    if as_json:
        # An infinite figure (a delay that never came) is null.
        print(msgspec.json.encode(found).decode())
        return
    _say(found)


def _say(found: "OracleReport") -> None:
    print(f"{found.kind}: {found.worlds} worlds a side, seed {found.seed}; {found.events_per_s:.2f} orders/s without a target,")
    print(f"participation {found.participation:.3f}, window {found.world.window_s:g} s")
    print(f"mean exp(LLR) without a target, which is 1 in expectation: {found.mean_ratio_h0:.3f}")
    rows = (
        ("AUC, side unknown", found.auc),
        ("d', side unknown", found.d_prime),
        ("AUC, side told", found.auc_told),
        ("d', side told", found.d_prime_told),
        ("AUC of the imbalance, side told", found.auc_imbalance),
        ("AUC of the sign CUSUM, side told", found.auc_sign_cusum),
        ("AUC above the better of both", found.gain_over_detectors),
    )
    for name, one in rows:
        print(f"  {name:34} {_shown(one)}")
    if found.delay is not None:
        delay = found.delay
        print(f"  {'median delay of the alarm, s':34} {_shown(delay.median_s)}")
        print(
            f"  one false alarm per 24 h on {delay.quiet_days:g} quiet days at a CUSUM of {_shown(delay.threshold)}; "
            f"{delay.caught_share:.1%} caught within {delay.lasts_s:g} s, right side {delay.right_side_share:.1%}"
        )


def _shown(one: "Measured") -> str:
    return f"{one.value:.3f} [{one.interval[0]:.3f}, {one.interval[1]:.3f}]"
