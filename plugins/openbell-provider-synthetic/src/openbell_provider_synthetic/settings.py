"""The settings of provider type `synthetic`; light, the control plane imports it."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BeforeValidator, Field, model_validator

from openbell.sdk.settings import PluginSettings

Rate = Annotated[float, Field(ge=0, le=1)]


class BarReference(PluginSettings):
    """One bar of a symbol, or with `until` all from `at` to `until`, both included."""

    symbol: str
    at: AwareDatetime
    until: AwareDatetime | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.until is not None and self.until < self.at:
            raise ValueError(f"until ({self.until}) is before at ({self.at})")
        return self


class RowFault(PluginSettings):
    """Bars that something is wrong with: a share of all, drawn from the seed, and those listed."""

    rate: Rate = 0.0
    bars: tuple[BarReference, ...] = ()


class LateFault(RowFault):
    """Bars that come up to `by_bars` bars late: not before that in time, and after newer ones."""

    by_bars: int = Field(default=3, ge=1, le=1000)


class NullFault(RowFault):
    """Bars without a value in `columns`."""

    columns: Annotated[
        tuple[Literal["open", "high", "low", "close", "volume", "vwap", "trade_count"], ...],
        Field(min_length=1),
    ] = ("close",)


class RevisionFault(RowFault):
    """Bars that the vendor corrects `after_s` seconds after they ended: other close, more volume."""

    after_s: int = Field(default=3600, ge=0)


class SplitReference(PluginSettings):
    """From session `session` on, prices of `symbol` are divided by `ratio`, volumes multiplied."""

    symbol: str
    session: date
    ratio: float = Field(gt=0, le=1000)


class SplitFault(PluginSettings):
    """Splits in unadjusted prices: those listed, and by `rate` a symbol's chance in a year.

    Drawn splits are 2 for 1, and the next one of the symbol 1 for 2, so prices do not run away.
    """

    rate: Rate = 0.0
    splits: tuple[SplitReference, ...] = ()


class Window(PluginSettings):
    """A span of the daemon's time, `start` included and `end` not."""

    start: AwareDatetime
    end: AwareDatetime

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.start < self.end:
            raise ValueError(f"end ({self.end}) is not after start ({self.start})")
        return self

    def covers(self, instant: datetime) -> bool:
        """Return whether `instant` lies in it."""
        return self.start <= instant < self.end


class RequestFault(PluginSettings):
    """Requests that fail.

    `rate` is the share of pages, drawn from the seed, the page and the second of the daemon's time;
    `sessions` are labels: the page that holds the first bar of such a session, unless it is the
    first page of a fetch; `windows` fail every page in that time. But for windows, the same page
    fails `times` times for one provider object and then succeeds; a new object (the next attempt of
    a node) that resumes at the page gets it at once, and the first page of a fetch from the
    beginning fails at half the rate. So no page fails for ever.
    """

    rate: Rate = 0.0
    sessions: tuple[date, ...] = ()
    windows: tuple[Window, ...] = ()
    times: int = Field(default=1, ge=1, le=1000)


class RateLimitFault(RequestFault):
    """Requests refused as too fast; `retry_after_s` is what the vendor says to wait."""

    retry_after_s: float = Field(default=1.0, ge=0)


def _rate_alone(value: object) -> object:
    """Let a bare number stand for `{rate: number}`."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"rate": value} if is_number else value


def _short(model: type[PluginSettings]) -> BeforeValidator:
    """Return what accepts a rate alone, and says so in the JSON Schema."""
    return BeforeValidator(_rate_alone, json_schema_input_type=float | model)


class FaultSettings(PluginSettings):
    """What goes wrong. A bare number is a rate: `gaps: 0.001`."""

    gaps: Annotated[RowFault, _short(RowFault)] = RowFault()
    duplicates: Annotated[RowFault, _short(RowFault)] = RowFault()
    late: Annotated[LateFault, _short(LateFault)] = LateFault()
    out_of_order: Annotated[RowFault, _short(RowFault)] = RowFault()
    bad_ohlc: Annotated[RowFault, _short(RowFault)] = RowFault()
    nulls: Annotated[NullFault, _short(NullFault)] = NullFault()
    revisions: Annotated[RevisionFault, _short(RevisionFault)] = RevisionFault()
    splits: Annotated[SplitFault, _short(SplitFault)] = SplitFault()
    rate_limits: Annotated[RateLimitFault, _short(RateLimitFault)] = RateLimitFault()
    outages: Annotated[RequestFault, _short(RequestFault)] = RequestFault()


class SyntheticSettings(PluginSettings):
    """What the bars look like. The same settings give the same bars everywhere."""

    seed: int = Field(default=42, ge=0, lt=2**63, description="everything is derived from it")
    tick_size: Decimal = Field(
        default=Decimal("0.01"), gt=0, le=1000, description="prices are multiples of it"
    )
    price: Decimal | None = Field(
        default=None,
        gt=0,
        le=10**9,
        description="price around which every symbol walks; unset: drawn for each symbol, 20 to 500",
    )
    volatility_bp: float = Field(
        default=5.0, ge=0, le=1000, description="typical move of a one-minute bar, basis points"
    )
    lot_size: int = Field(default=100, ge=1, le=10**6, description="volumes are multiples of it")
    faults: FaultSettings = Field(default=FaultSettings(), description="what goes wrong")
