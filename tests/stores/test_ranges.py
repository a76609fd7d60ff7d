"""A listing that is read in ranges is the listing, whatever the keys, the delays and the faults."""

from __future__ import annotations

import asyncio
import random
import string
from bisect import bisect_right
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.fake_s3 import keys_of
from keepstep.cli.running import run
from keepstep.errors import Error, Transient
from keepstep.stores.forecast import forecast
from keepstep.stores.interface import EVERYTHING, Page, Span
from keepstep.stores.ranges import Fetched, RangedPages


class Keys:
    """A service that lists these keys, ``page_size`` at a time, with delays and faults."""

    def __init__(
        self, keys: list[str], *, page_size: int = 1000, delay: float = 0, seed: int | None = None
    ) -> None:
        self.keys = sorted(keys)
        self.page_size = page_size
        self.requests = 0
        self.explored = 0
        self.most_at_once = 0
        self.broken_after: str | None = None
        self._delay = delay
        self._random = random.Random(seed) if seed is not None else None
        self._now = 0

    async def page(self, prefix: str, after: str | None, token: str | None) -> Fetched:
        self.requests += 1
        await self._wait()
        start = bisect_right(self.keys, after) if after is not None else int(token or 0)
        keys = self.keys[start : start + self.page_size]
        if self.broken_after is not None and (not keys or keys[-1] > self.broken_after):
            raise Transient("this page is broken for good")
        count = len(keys)
        has_more = start + count < len(self.keys)
        return Fetched(Page(keys, [1] * count, [0] * count, [""] * count), str(start + count) if has_more else None)

    async def folders(self, prefix: str, after: str | None) -> tuple[list[str], bool]:
        self.explored += 1
        await self._wait()
        if self._random and self._random.random() < 0.1:
            raise Transient("no folders today")
        names: dict[str, None] = {}
        for key in self.keys:
            if key.startswith(prefix) and "/" in key[len(prefix) :]:
                name = prefix + key[len(prefix) :].partition("/")[0] + "/"
                if after is None or name > after:
                    names[name] = None
        return list(names)[:1000], len(names) > 1000

    async def _wait(self) -> None:
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        delay = self._delay if self._random is None else self._random.random() * 0.001
        await asyncio.sleep(delay)
        self._now -= 1


def listed(source: Keys, **options: Any) -> list[str]:
    async def main() -> list[str]:
        return [key async for page in RangedPages(source, EVERYTHING, **options) for key in page.keys]

    return run(main())


LAYOUTS = ["flat", "folders", "dates", "random"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 3000, 54_000])
def test_every_key_once_and_in_order(layout: str, count: int) -> None:
    """Whatever the layout and the size, the keys are all there, each once, in order."""
    keys = keys_of(layout, count)
    assert listed(Keys(keys, seed=1)) == keys


def test_keys_that_share_a_long_prefix() -> None:
    """5,000 keys that differ behind their first 900 bytes come once and in order."""
    keys = [f"{'d' * 225}/{'e' * 225}/{'f' * 448}/{n:06}" for n in range(5000)]
    assert listed(Keys(keys, seed=1)) == keys


name = st.text(st.sampled_from("ab/019-.~é\U0001f986 "), min_size=1, max_size=12)
numbered = st.builds(
    lambda prefix, width, count, step: [f"{prefix}{n * step:0{width}}" for n in range(count)],
    name,
    st.integers(1, 6),
    st.integers(1, 300),
    st.integers(1, 17),
)
wild = st.lists(name, max_size=200)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(numbered, wild), max_size=4), st.integers(1, 40), st.integers(1, 16), st.integers(0, 99))
def test_any_keys_any_delays(groups: list[list[str]], page_size: int, width: int, seed: int) -> None:
    """No set of keys, page size, width or order of answers loses, repeats or misplaces a key."""
    keys = sorted({key for group in groups for key in group})
    assert listed(Keys(keys, page_size=page_size, seed=seed), width=width, ahead=5) == keys


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(numbered, wild), max_size=4),
    st.lists(name, max_size=8, unique=True),
    st.booleans(),
    st.integers(1, 20),
    st.integers(0, 99),
)
def test_spans_are_cut_out_of_the_whole(
    groups: list[list[str]], ends: list[str], is_open: bool, page_size: int, seed: int
) -> None:
    """Exactly the keys of the spans that are asked for come, whatever lies between them."""
    keys = sorted({key for group in groups for key in group})
    ends.sort()
    spans = [Span(after, until) for after, until in zip(ends[::2], ends[1::2], strict=False)]
    if is_open or not spans:
        spans.append(Span(spans[-1].until if spans else None, None))
    source = Keys(keys, page_size=page_size, seed=seed)

    async def main() -> list[str]:
        return [key async for page in RangedPages(source, spans, ahead=5) for key in page.keys]

    assert run(main()) == [key for key in keys if any(span.holds(key) for span in spans)]


@settings(max_examples=80, deadline=None)
@given(st.one_of(numbered, wild), st.integers(1, 20), st.integers(0, 99), st.data())
def test_a_broken_page_ends_the_listing_there(
    keys: list[str], page_size: int, seed: int, data: st.DataObject
) -> None:
    """A page that cannot be obtained is an error, after all that comes before it and nothing that comes behind."""
    keys = sorted(set(keys))
    source = Keys(keys, page_size=page_size, seed=seed)
    if keys:
        source.broken_after = data.draw(st.sampled_from(keys))
    seen: list[str] = []

    async def main() -> None:
        async for page in RangedPages(source, ahead=5):
            seen.extend(page.keys)

    if keys and keys[-1] > (source.broken_after or ""):
        with pytest.raises(Error):
            run(main())
    else:
        source.broken_after = None
        run(main())
    assert seen == keys[: len(seen)]


def test_a_fault_of_the_source_is_not_swallowed() -> None:
    """A mistake in an adapter ends the listing with that mistake, and does not hang it."""

    class Wrong(Keys):
        async def page(self, prefix: str, after: str | None, token: str | None) -> Fetched:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        listed(Wrong([]))


@pytest.mark.parametrize(("layout", "at_least"), [("flat", 12), ("random", 12), ("folders", 12), ("dates", 10)])
def test_ranges_are_read_side_by_side(layout: str, at_least: int) -> None:
    """A long listing is soon read in many ranges, also a flat one."""
    source = Keys(keys_of(layout, 108_000), delay=0.01)
    listed(source)
    assert source.most_at_once >= at_least


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("count", [900, 1_800, 5_400, 54_000, 216_000])
def test_requests_stay_near_what_the_work_needs(layout: str, count: int) -> None:
    """Dividing costs few requests: none for a page or two, and at most as many more for a long listing."""
    source = Keys(keys_of(layout, count), delay=0.001)
    listed(source)
    needed = max(1, -(-len(source.keys) // 1000))
    allowed = needed if needed <= 2 else needed * 2 + 3
    assert source.requests + source.explored <= allowed


def test_what_waits_for_the_reader_is_bounded() -> None:
    """A slow reader holds the listing up; it does not pile up in memory."""
    source = Keys(keys_of("flat", 200_000), delay=0.0001)
    pages = RangedPages(source, ahead=10)

    async def main() -> None:
        async for _ in pages:
            await asyncio.sleep(0.002)
            assert pages._waiting <= 10 + 2 * 16
            if source.requests > 100:
                return

    run(main())


alphabets = st.sampled_from([string.digits, "0123456789abcdef", string.ascii_lowercase])


@given(st.text(st.characters(codec="utf-8"), max_size=8), alphabets, st.integers(1, 5), st.data())
def test_forecasts_lie_behind_what_is_known(prefix: str, alphabet: str, width: int, data: st.DataObject) -> None:
    """A forecast is a string behind the last key, or none at all."""
    text = st.text(st.sampled_from(alphabet), min_size=width, max_size=width)
    first, last = sorted((prefix + data.draw(text), prefix + data.draw(text)))
    found = forecast(first, last, 1000, data.draw(st.integers(1, 10_000)))
    assert found is None or found > last


def test_forecasts_of_numbers_are_exact() -> None:
    """Where keys are numbered evenly, the forecast is the key itself."""
    assert forecast("data-00009000.bin", "data-00009999.bin", 1000, 500) == "data-00010499.bin"
