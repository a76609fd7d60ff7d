"""Two listings, planned block by block, with what cannot be seen of them in mind."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from keepstep.objects.checksums import Comparison
from keepstep.objects.merge_join import Side, merge_join
from keepstep.objects.plan import BlockPlan, Rules, plan_block
from keepstep.stores.interface import Page


async def plans(
    rules: Rules, source: Side, target: Side, comparison: Comparison, *, explain: bool, is_guarded: bool = True
) -> AsyncGenerator[tuple[Page, Page, BlockPlan], None]:
    """For consecutive intervals of keys, what source and target have there and what is to become of it.

    Faults do not raise: they stand in the side's ``error``. ``is_guarded``: where the hole at the source is all of
    it, what is only at the target is planned to be deleted all the same; the guard withholds it, with the number.
    """
    unsure: list[str] = []
    async with aclosing(merge_join(source, target)) as blocks:
        async for ours, theirs in blocks:
            unsure += (ours.keys[n] + "/" for n in ours.unfit if ours.sizes[n] < 0)
            plan = plan_block(
                rules,
                ours,
                theirs,
                unreadable_at_source=[
                    *unsure,
                    *(prefix for prefix, _ in source.unreadable_prefixes if prefix or not is_guarded),
                ],
                unreadable_at_target=[prefix for prefix, _ in target.unreadable_prefixes],
                proved=comparison.proved(ours, theirs) if rules.contents else None,
                explain=explain,
            )
            unsure = _ahead_of(unsure, ours, theirs)
            yield ours, theirs, plan


def _ahead_of(prefixes: list[str], *block: Page) -> list[str]:
    """Those of the prefixes that keys behind this block may still have."""
    last = max((page.keys[-1] for page in block if page), default="")
    return [prefix for prefix in prefixes if prefix > last or last.startswith(prefix)]
