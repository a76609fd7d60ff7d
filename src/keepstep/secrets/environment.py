"""Secrets as environment variables, for programs that read nothing else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from keepstep.errors import ConfigError
from keepstep.secrets.delivery import Content, Delivery, path_of
from keepstep.secrets.fetch import Fetcher
from keepstep.secrets.plan import Plan
from keepstep.text import printable
from keepstep.vaults.interface import Vault

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STEERING = re.compile(
    r"_?LD_\w+|DYLD_\w+|_RLD\w*|GLIBC_TUNABLES|GCONV_PATH|GETCONF_DIR|MALLOC_\w+|LOCPATH|NLSPATH|PATH_LOCALE|TZDIR"
    r"|LOCALDOMAIN|RES_OPTIONS|HOSTALIASES|RESOLV_\w+|TERMCAP|TERMINFO(_DIRS)?|TERMPATH"
    r"|PATH|HOME|SHELL|PWD|OLDPWD|IFS|ENV|CDPATH|FPATH|MAILPATH|BASH(OPTS|_\w+)?|SHELLOPTS|GLOBIGNORE|PS[0-4]"
    r"|PROMPT_COMMAND|FCEDIT|EDITOR|VISUAL|PAGER|NULLCMD|READNULLCMD|ZDOTDIR|KSH_ENV|TMPDIR|TMPPREFIX|TMP|TEMP"
    r"|PYTHON[A-Z0-9]\w*|PERL(5?LIB|5OPT|5DB\w*|5SHELL|IO\w*|_\w+)|RUBY(LIB|OPT|SHELL|PATH)|GEM_(HOME|PATH)|BUNDLE_GEMFILE"
    r"|NODE_(OPTIONS|PATH|EXTRA_CA_CERTS)|(JAVA_TOOL|_JAVA|JDK_JAVA)_OPTIONS|CLASSPATH|LUA_(INIT|C?PATH)\w*|PHPRC"
    r"|PHP_INI_SCAN_DIR|DOTNET_\w+|COR(ECLR)?_\w+|GIT_\w+|OPENSSL_(CONF|ENGINES|MODULES)|SSL_CERT_(FILE|DIR)"
)
"""What the dynamic loader, the C library, shells or interpreters obey before a program's own first line runs.
Sources: ld.so(8), environ(7), and the table ``initial_badenv_table`` of sudo."""


def variable_of(path: str) -> str:
    """Returns the base name in capitals; everything but letters and digits of ASCII becomes ``_``."""
    return re.sub(r"[^A-Za-z0-9]", "_", path.rpartition("/")[2]).upper()


async def environment_of(
    plan: Plan, vaults: Mapping[str, Vault], jobs: int = 32, names: Mapping[str, str] | None = None
) -> dict[bytes, bytes]:
    """Every file of the plan as a variable; nothing is written anywhere. ``names`` are chosen by hand, by path.

    Raises :class:`Error` for the first thing that is not as it should be: a program with half of its secrets must
    not start.
    """
    for mistake in plan.mistakes:
        error = mistake.error
        raise type(error)(f"{mistake.where}: {error.message}", hint=error.hint)
    named = _named([delivery for target in plan.targets for delivery in target.deliveries], names or {})
    fetcher = Fetcher(vaults, jobs)
    values = await asyncio.gather(*(_value(name, delivery, fetcher) for name, delivery in named.items()))
    return dict(zip((name.encode() for name in named), values, strict=True))


def _named(deliveries: list[Delivery], names: Mapping[str, str]) -> dict[str, Delivery]:
    if unknown := sorted(names.keys() - {delivery.path for delivery in deliveries}):
        raise ConfigError(f"--env {names[unknown[0]]}: the map has no file {printable(unknown[0])}")
    named: dict[str, Delivery] = {}
    for delivery in deliveries:
        name = names.get(delivery.path) or _derived(delivery.path)
        other: Content = named.setdefault(name, delivery).content
        if other != delivery.content:
            paths = f"{printable(named[name].path)} and {printable(delivery.path)}"
            raise ConfigError(
                f"{paths} would both be the variable {name}", hint="give one of the files another name"
            )
    return named


def _derived(path: str) -> str:
    """The variable that a file is by its own name, where that is harmless."""
    name = variable_of(path)
    if _STEERING.fullmatch(name):
        why = f"{name}, which shells, interpreters or the dynamic loader obey"
    elif not _NAME.fullmatch(name):
        why = f"{name or 'nothing'}, which is not the name of a variable"
    else:
        return name
    raise ConfigError(f"{printable(path)} would be the variable {why}", hint=f"choose a name: --env NAME={path}")


def chosen(text: str) -> tuple[str, str]:
    """``NAME=PATH`` as path and name. Raises ``ValueError`` with what is wrong."""
    name, equals, path = text.partition("=")
    if not equals or not _NAME.fullmatch(name):
        raise ValueError("write NAME=PATH, where NAME has letters, digits and _ only")
    return path_of(path), name


async def _value(name: str, delivery: Delivery, fetcher: Fetcher) -> bytes:
    value = delivery.content.render(await fetcher.values([delivery]))
    if b"\0" in value:
        raise ConfigError(
            f"{delivery.origin} has a NUL, which {name} cannot hold", hint="read it from a file instead"
        )
    return value
