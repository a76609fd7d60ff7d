"""Plans two listings block by block, taking into account what cannot be read of them."""

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
    """Yields, for consecutive intervals of keys, the pages of source and target and the plan for them.

    Errors do not raise: they are recorded in the side's ``error``. ``is_guarded``: if the source cannot be read at
    all, keys that exist only at the target are still planned for deletion; the guard withholds them and counts
    them.
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
    """The prefixes that keys after this block may still start with."""
    last = max((page.keys[-1] for page in block if page), default="")
    return [prefix for prefix in prefixes if prefix > last or last.startswith(prefix)]
