"""IAM's simulator: what its answers mean. The server speaks the documented XML; moto has no simulator."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from keepstep.cli.running import run
from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.aws_chain import AwsSettings
from keepstep.doctor.check import Check
from keepstep.doctor.policy import Grant, principal, simulated, statement

_CALLER = """<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:sts::123456789012:assumed-role/sync/keepstep</Arn><UserId>x</UserId><Account>123456789012</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""
_DECISION = """<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">
<SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults><member>
<EvalActionName>{action}</EvalActionName><EvalDecision>{decision}</EvalDecision></member></EvaluationResults>
</SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"""
_DENIED = """<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>
<Code>AccessDenied</Code><Message>not authorized: iam:SimulatePrincipalPolicy</Message></Error></ErrorResponse>"""


@pytest.fixture
def iam(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Decisions by action; an action without one is denied to be asked about."""
    decisions: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            action = asked.get("ActionNames.member.1", [""])[0]
            status, body = 200, _CALLER
            if asked["Action"] == ["SimulatePrincipalPolicy"]:
                assert asked["PolicySourceArn"] == ["arn:aws:iam::123456789012:role/sync"]
                known = action in decisions
                status = 200 if known else 403
                body = _DECISION.format(action=action, decision=decisions[action]) if known else _DENIED
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "text/xml")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "k",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    yield decisions
    server.shutdown()
    thread.join()
    server.server_close()


def ask() -> Check:
    grants = [Grant("s3:DeleteObject", "arn:aws:s3:::finops/*"), Grant("s3:PutObject", "arn:aws:s3:::finops/*")]
    return run(simulated("policy", "finops", AwsIdentity(AwsSettings()), grants))


def test_what_is_allowed_is_ok(iam: dict[str, str]) -> None:
    """The role behind the session is asked about, and named."""
    iam.update({"s3:DeleteObject": "allowed", "s3:PutObject": "allowed"})
    check = ask()
    assert check.verdict == "ok" and "role/sync is allowed s3:DeleteObject, s3:PutObject" in check.text


@pytest.mark.parametrize("decision", ["implicitDeny", "explicitDeny"])
def test_what_is_refused_fails_with_its_statement(iam: dict[str, str], decision: str) -> None:
    """Only the missing action is in the statement to add."""
    iam.update({"s3:DeleteObject": decision, "s3:PutObject": "allowed"})
    check = ask()
    assert (
        check.verdict == "fail" and "s3:DeleteObject" in (check.fix or "") and "PutObject" not in (check.fix or "")
    )


def test_without_the_permission_to_ask_it_is_unknown(iam: dict[str, str]) -> None:
    """Unknown, with everything that the job needs."""
    check = ask()
    assert check.verdict == "unknown"
    assert '["s3:DeleteObject", "s3:PutObject"]' in (check.fix or "")


def test_users_are_themselves() -> None:
    """Only sessions of roles stand for something else; statements are one for each resource."""
    assert principal("arn:aws:iam::1:user/ops") == "arn:aws:iam::1:user/ops"
    found = statement([Grant("a:A", "r1"), Grant("a:B", "r2"), Grant("a:C", "r1")])
    assert found.count("Allow") == 2 and '["a:A", "a:C"]' in found
