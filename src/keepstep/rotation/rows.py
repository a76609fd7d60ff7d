"""The state table of rotation: from what was observed, the one thing to do next. Pure: no network, clock or file.

A is the primary store (Secrets Manager), O the secondary (OCI Vault); c is CURRENT, p A's PENDING, q O's; D is any
database. A credential is *accepted* when every D lets it in. Generations and contents are compared, never times.
The first row that fits is taken, and then everything is observed again.

====  =========================================================  ==================================================
row   observed                                                   to do
====  =========================================================  ==================================================
X1    the usernames of A.c and O.c, p or q do not go together    stop, nothing written
S5b   p is A.c itself, or A's PREVIOUS                           take the label off
S5b   gen(p) <= gen(A.c), and no D lets p in                     take the label off
D3    gen(p) <= gen(A.c), but some D lets p in                   stage it in A again, as the next generation
S5    O.c = p, p accepted                                        promote p in A: the commit
S5a   O.c = p, some D rejects p                                  apply p to that D
D1    O's PREVIOUS = A.c, newer than O.c and accepted            promote it in O again: somebody rolled O back
D3    A's PREVIOUS = O.c, newer than A.c and accepted            promote it in A again: somebody rolled A back
S4    O.p = p, p accepted                                        promote p in O
S3    O.p = p, some D rejects p                                  apply p to that D, the strictest engine first
D6    S3 or S5a, but that D's policy does not take p             no D lets p in: replace p; else stop
S2    p is not in O, and newer than O.c and q                    stage p in O
D8    S3 where users take turns, but p is of A.c's own user      no D lets p in: replace p
X4    D8, but some D lets p in, and another one still A.c        stop: setting p there would break CURRENT
D2    p is not in O, and not newer                               no D lets p in: replace p; else stage it again
X3    a D that has to be asked does not answer                   stop; what is pending stays
====  =========================================================  ==================================================

Without p:

====  =========================================================  ==================================================
row   observed                                                   to do
====  =========================================================  ==================================================
D5    q is neither A.c nor O.c, and some D lets it in            stage q in A
D1    A.c != O.c, q = A.c, A.c accepted                          promote q in O
D1,3  as above where somebody rolled one store back              promote it again
D2    A.c != O.c, A.c accepted and newer than O.c                stage A.c in O (not newer than q: in A again)
D3    A.c != O.c, O.c accepted and newer, or A.c not accepted    stage O.c in A (not newer than A.c: as the next
                                                                 generation)
D2    A.c != O.c, both accepted and of one generation            stage in A again what is not the other's PREVIOUS
D4    A.c != O.c, neither accepted                               heal by rotating: stage a fresh one in A
D7    A.c = O.c, some D rejects it                               set it again on that D
D4    D7, but that D has had the password before                 heal by rotating
S1    A.c = O.c, accepted, due                                   stage a fresh one in A
S7    the same, but O has no room for a version                  delete its oldest deprecated version
S0    the same, and none may be deleted yet                      nothing: paced by the quota
S6    A.c = O.c, accepted, no q, grace over                      retire the old password of each D, note that
S7    O has more deprecated versions than are kept               delete the oldest
S0    all else                                                   nothing
X3    a D that has to be asked does not answer                   stop
====  =========================================================  ==================================================

Where a D has no administrator the credential changes itself: by any stored password of the same user that D lets
in. Where there is none, X3 says so.

X2 (a store that is away, a secret that must not be written to) is raised by those who observe: no row can be read
from a state that was not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from keepstep.databases.interface import Answer, Login
from keepstep.rotation.credential import Credential, is_pair, partner
from keepstep.vaults.interface import VersionId


@dataclass(frozen=True, slots=True)
class StagedCredential:
    """A credential as one version of a secret holds it."""

    id: VersionId
    credential: Credential

    @property
    def gen(self) -> int:
        return self.credential.gen

    def same(self, other: StagedCredential | None) -> bool:
        return other is not None and self.credential == other.credential


@dataclass(frozen=True, slots=True)
class Stages:
    """What stands where in one store."""

    current: StagedCredential
    pending: StagedCredential | None = None
    previous: StagedCredential | None = None

    def credentials(self) -> Iterator[StagedCredential]:
        yield from (one for one in (self.current, self.pending, self.previous) if one)


@dataclass(frozen=True, slots=True)
class Member:
    """One database of the set."""

    name: str
    has_admin: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionInput:
    """Everything that a row is chosen by."""

    primary: Stages
    secondary: Stages
    members: tuple[Member, ...]
    """The strictest engine first."""
    answers: Mapping[tuple[int, Login], Answer] = field(default_factory=dict)
    """What the databases said to logins, by the member's number."""
    remembered: Mapping[tuple[int, Login], Answer] = field(default_factory=dict)
    """Logins that were rejected a while ago."""
    alternates: bool = False
    """Whether two users take turns; otherwise there is one."""
    is_due: bool = False
    is_grace_over: bool = False
    """The old passwords are to be retired, and it is not noted that they are."""
    has_room: bool = True
    """O takes another version."""
    prunable: VersionId | None = None
    """O's oldest deprecated version, when there are more than are kept, or when the room is needed."""
    newest_gen: int = 0
    """Of all versions that can be read; those above count by themselves."""
    unfit: frozenset[tuple[int, Login]] = frozenset()
    """Passwords that a member's policy has refused."""
    reused: frozenset[tuple[int, Login]] = frozenset()
    """Passwords that a member has had before."""
    retired: frozenset[int] = frozenset()
    """Members that have no old password any more."""

    @property
    def next_gen(self) -> int:
        credentials = (*self.primary.credentials(), *self.secondary.credentials())
        return 1 + max(self.newest_gen, *(one.gen for one in credentials))


class Row(Enum):
    """The rows of the table: code, what reports call it, and, where it stops, the hint.

    Codes are kept for good: reports, the audit log and alerts name rows by them.
    """

    S0 = "S0", "nothing to do"
    S1 = "S1", "rotate: stage a fresh password in AWS"
    S2 = "S2", "stage the pending password in OCI"
    S3 = "S3", "set the pending password in a database"
    S4 = "S4", "promote the pending password in OCI"
    S5 = "S5", "promote the pending password in AWS"
    S5A = "S5a", "set what OCI has promoted in a database"
    S5B = "S5b", "finish: take the pending label off"
    S6 = "S6", "retire the old password"
    S7 = "S7", "prune old versions in OCI"
    D1 = "D1", "bring OCI up to AWS"
    D2 = "D2", "adopt the password that AWS has"
    D3 = "D3", "adopt the password that OCI has"
    D4 = "D4", "heal by rotating"
    D5 = "D5", "adopt the password that is pending in OCI"
    D6 = (
        "D6",
        "replace a password that a database refuses",
        "let that database's password rules take it, or set it there by hand",
    )
    D7 = "D7", "give a database the current password back"
    X1 = (
        "X1",
        "stop: the users do not go together",
        "nothing was written; make both stores hold the same user",
    )
    D8 = "D8", "replace a pending password of the current user"
    X4 = (
        "X4",
        "stop: both stores were rolled back in the middle of a rotation",
        "nothing was written; make the versions current again that were so before, in both stores: the next run "
        "then ends the rotation",
    )
    X3 = (
        "X3",
        "stop: a database does not answer",
        "nothing is lost: the next run goes on where this one stopped",
    )
    X3_SHUT_OUT = (
        "X3",
        "stop: a database does not answer",
        "an administrator has to run, with the CURRENT version's password: {remedy}",
    )
    """X3 where no stored password logs in, and there is no administrator who could set one."""

    def __init__(self, code: str, words: str, hint: str = "") -> None:
        self.code = code
        self.words = f"{words} ({code})"
        self.hint = hint

    @property
    def labels_at_once(self) -> bool:
        """The put itself moves AWSPENDING: where a rotation is due, all workers put the same token."""
        return self is Row.S1

    @property
    def is_refusal(self) -> bool:
        """Only people can change what is in the way."""
        return self in (Row.X1, Row.X4)

    @property
    def names_remedy(self) -> bool:
        """The hint needs the statement that sets a password on the database, as ``remedy``."""
        return self is Row.X3_SHUT_OUT


class Act(StrEnum):
    """What a row does. One of them changes at most one store or one database."""

    STAGE_A = "stage in A"
    STAGE_O = "stage in O"
    APPLY = "apply"
    PROMOTE_O = "promote in O"
    PROMOTE_A = "promote in A"
    UNLABEL = "take the label off"
    RETIRE = "retire"
    NOTE_RETIRED = "note that all are retired"
    PRUNE = "prune"
    NOTHING = "nothing"
    STOP = "stop"

    @property
    def changes_database(self) -> bool:
        return self in (Act.APPLY, Act.RETIRE)

    @property
    def completes(self) -> bool:
        """The new credential becomes current in the primary store: the rotation counts as made."""
        return self is Act.PROMOTE_A


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One row, filled in."""

    row: Row
    act: Act
    what: StagedCredential | None = None
    """The credential concerned; None for a fresh one."""
    gen: int = 0
    """The generation that a version staged in A gets."""
    member: int = -1
    """The database concerned."""
    by: StagedCredential | None = None
    """Whose password changes the account; None: the administrator's."""
    version: VersionId | None = None
    """The version to prune."""
    why: str = ""
    """For people."""

    @property
    def needs_preflight(self) -> bool:
        """A fresh password is staged: every database must be able to take it, or nothing is started."""
        return self.act is Act.STAGE_A and self.what is None

    @property
    def reason(self) -> str:
        """The row in words, with its code, and why it was taken: what reports and ``--plan`` say."""
        return f"{self.row.words}: {self.why}" if self.why else self.row.words


@dataclass(frozen=True, slots=True)
class Question:
    """A login that has to be tried before the row is known."""

    member: int
    """The database concerned."""
    what: StagedCredential


def decide(given: DecisionInput) -> Decision | Question:
    """The row that fits, or the login that has to be tried before that is known."""
    try:
        if stop := _mismatch(given):
            return stop
        return _agreeing(given) if _settled(given) else _under_way(given, given.primary.pending)
    except _Found as found:
        return found.result


class _Found(Exception):
    """Ends the search from within a question."""

    def __init__(self, result: Decision | Question) -> None:
        super().__init__()
        self.result = result


def _settled(given: DecisionInput) -> bool:
    return given.primary.pending is None and given.primary.current.same(given.secondary.current)


def _mismatch(given: DecisionInput) -> Decision | None:
    a, o = given.primary, given.secondary
    user, other = a.current.credential.username, o.current.credential.username
    pair = {user, partner(user)}
    if given.alternates and not is_pair(user):
        return _stop(Row.X1, f"the user {user} cannot take turns: {partner(user)} would take turns with another")
    if other not in (pair if given.alternates or o.current.same(a.pending) else {user}):
        return _stop(Row.X1, f"the current usernames differ: {user} in the primary store, {other} in the secondary")
    for one in filter(None, (a.pending, o.pending)):
        if one.credential.username not in pair:
            return _stop(
                Row.X1, f"a pending version is of the user {one.credential.username}, the current of {user}"
            )
    return None


def _under_way(given: DecisionInput, p: StagedCredential | None) -> Decision:
    if p is None:
        return _differing(given)
    current, o = given.primary.current, given.secondary
    if p.id == current.id or p.same(given.primary.previous):
        return Decision(row=Row.S5B, act=Act.UNLABEL, what=p, why="it has been promoted")
    if p.gen <= current.gen:
        return _outdated(given, p)
    if p.same(o.current):
        return _to_all(given, p, Row.S5A) or Decision(row=Row.S5, act=Act.PROMOTE_A, what=p)
    if decision := _rolled_back(given):
        return decision
    if p.same(o.pending):
        decision = _of_current_user(given, p) or _to_all(given, p, Row.S3)
        return decision or Decision(row=Row.S4, act=Act.PROMOTE_O, what=p)
    if p.gen > o.current.gen and (o.pending is None or p.gen > o.pending.gen):
        return Decision(row=Row.S2, act=Act.STAGE_O, what=p)
    why = "the secondary store has a newer generation"
    return _staged(given, Row.D2, p if _some_accept(given, p) else None, why)


def _outdated(given: DecisionInput, p: StagedCredential) -> Decision:
    """PENDING stands on a version that is not newer than CURRENT: somebody put it there."""
    if not _some_accept(given, p):
        return Decision(row=Row.S5B, act=Act.UNLABEL, what=p, why="it is not newer than the current version")
    return _staged(given, Row.D3, p, "a database already lets it in")


def _of_current_user(given: DecisionInput, p: StagedCredential) -> Decision | None:
    """Both stores were rolled back in the middle of a rotation: p is of the user whose turn it is now.

    Where that user still logs in with CURRENT, p would break it before it is promoted.
    """
    current = given.primary.current
    if not given.alternates or p.credential.username != current.credential.username:
        return None
    members = range(len(given.members))
    lacking = [member for member in members if _says(given, member, p) is Answer.REJECT]
    kept = next((member for member in lacking if _says(given, member, current) is Answer.ACCEPT), None)
    if kept is None:
        return None
    if len(lacking) == len(given.members):
        why = "it is of the user that is current again since both stores were rolled back"
        return _staged(given, Row.D8, None, why)
    return _stop(
        Row.X4,
        "both stores were rolled back in the middle of a rotation: one database has the pending password of "
        f"{p.credential.username} already, and {given.members[kept].name} still its current one",
    )


def _to_all(given: DecisionInput, p: StagedCredential, row: Row) -> Decision | None:
    """The first member that rejects p gets it; None when all let it in."""
    member = _first_rejecting(given, p)
    if member is None:
        return None
    if (member, p.credential.login) not in given.unfit:
        return Decision(row=row, act=Act.APPLY, what=p, member=member, by=_changer(given, member, p))
    where = given.members[member].name
    if _some_accept(given, p):
        return _stop(Row.D6, f"{where} does not take the pending password, which another database already has")
    return _staged(given, Row.D6, None, f"{where} does not take the pending password")


def _differing(given: DecisionInput) -> Decision:
    a, o = given.primary, given.secondary
    if decision := _orphan(given) or _rolled_back(given):
        return decision
    if not _accepted(given, a.current):
        return _without_primary(given)
    if a.current.same(o.pending):
        return Decision(row=Row.D1, act=Act.PROMOTE_O, what=a.current)
    if a.current.gen > o.current.gen:
        if o.pending is None or a.current.gen > o.pending.gen:
            return Decision(row=Row.D2, act=Act.STAGE_O, what=a.current, why="the primary store is newer")
        return _staged(given, Row.D2, a.current, "the primary store is newer")
    if not _accepted(given, o.current):
        return _staged(given, Row.D2, a.current, "it is what logs in")
    if o.current.gen > a.current.gen:
        return _staged(given, Row.D3, o.current, "the secondary store is newer")
    newer = o.current if a.current.same(o.previous) else a.current
    return _staged(given, Row.D2, newer, "both log in")


def _rolled_back(given: DecisionInput) -> Decision | None:
    """One store's CURRENT is the other's PREVIOUS: the newer one is promoted again if it logs in everywhere."""
    a, o = given.primary, given.secondary
    if a.current.same(o.previous) and a.current.gen > o.current.gen and _accepted(given, a.current):
        return Decision(row=Row.D1, act=Act.PROMOTE_O, what=a.current, why="the secondary store was rolled back")
    if o.current.same(a.previous) and o.current.gen > a.current.gen and _accepted(given, o.current):
        return Decision(row=Row.D3, act=Act.PROMOTE_A, what=a.previous, why="the primary store was rolled back")
    return None


def _without_primary(given: DecisionInput) -> Decision:
    o = given.secondary.current
    if _accepted(given, o):
        return _staged(given, Row.D3, o, "it is what logs in")
    return _staged(given, Row.D4, None, "neither store's password logs in everywhere")


def _orphan(given: DecisionInput) -> Decision | None:
    """A pending version of O that lost its counterpart in A, and is in use."""
    q = given.secondary.pending
    if q is None or q.same(given.primary.current) or q.same(given.secondary.current):
        return None
    for member in range(len(given.members)):
        # What is rejected, or may not be asked, is left where it is: the next rotation supersedes it.
        key = (member, q.credential.login)
        is_left = key in given.remembered or given.answers.get(key) is Answer.WITHHELD
        if not is_left and _says(given, member, q) is Answer.ACCEPT:
            return _staged(given, Row.D5, q, "a database already lets it in")
    return None


def _agreeing(given: DecisionInput) -> Decision:
    c = given.primary.current
    if decision := _orphan(given):
        return decision
    member = _first_rejecting(given, c)
    if member is not None:
        return _asserted(given, member, c)
    if given.is_due:
        return _due(given)
    if given.is_grace_over and given.secondary.pending is None:
        return _retired(given)
    if given.prunable:
        return Decision(row=Row.S7, act=Act.PRUNE, version=given.prunable)
    return Decision(row=Row.S0, act=Act.NOTHING)


def _asserted(given: DecisionInput, member: int, c: StagedCredential) -> Decision:
    where = given.members[member].name
    if (member, c.credential.login) in given.reused | given.unfit:
        return _staged(given, Row.D4, None, f"{where} does not take the current password again")
    by = _changer(given, member, c)
    return Decision(row=Row.D7, act=Act.APPLY, what=c, member=member, by=by, why=f"{where} has lost it")


def _due(given: DecisionInput) -> Decision:
    if given.has_room:
        return _staged(given, Row.S1, None, "it is due")
    if given.prunable:
        return Decision(row=Row.S7, act=Act.PRUNE, version=given.prunable, why="a rotation needs the room")
    return Decision(row=Row.S0, act=Act.NOTHING, why="paced by the OCI version quota")


def _retired(given: DecisionInput) -> Decision:
    c = given.primary.current
    for member in range(len(given.members)):
        if member not in given.retired:
            by = _changer(given, member, c)
            return Decision(row=Row.S6, act=Act.RETIRE, what=c, member=member, by=by, why="the grace is over")
    return Decision(row=Row.S6, act=Act.NOTE_RETIRED, what=c, why="no database has an old password")


def _staged(given: DecisionInput, row: Row, what: StagedCredential | None, why: str) -> Decision:
    """Stages in A: a fresh credential, one of O's as it is, or an older one as the next generation."""
    a, o = given.primary, given.secondary
    if what is None:
        return Decision(row=row, act=Act.STAGE_A, gen=given.next_gen, why=why)
    keeps = what in (o.current, o.pending) and what.gen > a.current.gen and what.gen >= o.current.gen
    return Decision(row=row, act=Act.STAGE_A, what=what, gen=what.gen if keeps else given.next_gen, why=why)


def _changer(given: DecisionInput, member: int, x: StagedCredential) -> StagedCredential | None:
    """Who sets x on the member: None for its administrator, else a stored credential of the same user."""
    if given.members[member].has_admin:
        return None
    known = [*given.primary.credentials(), *given.secondary.credentials()]
    for one in known:
        if one.credential.username == x.credential.username and _says(given, member, one) is Answer.ACCEPT:
            return one
    where = given.members[member].name
    raise _Found(_stop(Row.X3_SHUT_OUT, f"{where} lets in none of the passwords that the stores hold", member, x))


def _accepted(given: DecisionInput, x: StagedCredential) -> bool:
    return _first_rejecting(given, x) is None


def _first_rejecting(given: DecisionInput, x: StagedCredential) -> int | None:
    members = range(len(given.members))
    return next((member for member in members if _says(given, member, x) is Answer.REJECT), None)


def _some_accept(given: DecisionInput, x: StagedCredential) -> bool:
    return any(_says(given, member, x) is Answer.ACCEPT for member in range(len(given.members)))


def _says(given: DecisionInput, member: int, x: StagedCredential) -> Answer:
    """ACCEPT or REJECT; anything else ends the search, for it says nothing about the password (X3)."""
    answer = given.answers.get((member, x.credential.login))
    if answer is None:
        raise _Found(Question(member, x))
    if answer is Answer.EXPIRED and given.members[member].has_admin:
        return Answer.REJECT  # it lets nobody in until an administrator sets it, or another one
    if answer not in (Answer.ACCEPT, Answer.REJECT):
        raise _Found(_stop(Row.X3, f"{given.members[member].name} is {answer}", member, x))
    return answer


def _stop(row: Row, why: str, member: int = -1, what: StagedCredential | None = None) -> Decision:
    return Decision(row=row, act=Act.STOP, member=member, what=what, why=why)
