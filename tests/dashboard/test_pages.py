"""The pages over HTTP: what they show, what they never do."""

from __future__ import annotations

import html
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from http.client import HTTPConnection
from pathlib import Path

import pytest

from keepstep.runs.lifecycle import Line
from tests.dashboard.worlds import JOBS, NASTY, Place
from tests.hosts.fixtures import COPY
from tests.hosts.fixtures import Place as HostPlace

FAILURE = {"action": "copy", "source": None, "target": f"s3://b/{NASTY}", "error": f"no {NASTY}", "hint": "do this"}
ACTION = {"action": "copy", "source": "a", "target": "s3://b/k{}", "size": 10, "reason": "only at the source"}


def test_the_front_page_shows_every_job(place: Place) -> None:
    """State, last run, what it did, when the next one is, and a strip of the last runs with a link to each."""
    good, bad = place.ran(), place.ran(outcome="failed")
    with place.served() as site:
        page = site.get().text
    assert "2 jobs: 1 failing, 0 running" in page
    assert f'href="/runs/{good.id}"' in page and f'href="/runs/{bad.id}"' in page
    assert "✕&nbsp;failed" in page and "–&nbsp;never ran" in page
    assert "3 transferred (2.0 KiB)" in page and "on demand" in page


def test_a_transfer_under_way_shows_its_progress(place: Place) -> None:
    """Objects and bytes, planned and done, as text and as a progress element."""
    run = place.runs()
    shown = {"planned": 18000, "size": 4096, "done": 11204, "bytes": 1024, "failed": 1}
    place.history.beat(run.id, at=run.seen, progress=shown)
    with place.served() as site:
        page = site.get().text
        assert "11,204 of 18,000 objects, 1.0 KiB of 4.0 KiB" in page
        assert '<progress max="4096" value="1024"' in page and "1 running" in page
        assert "in progress" in site.get(f"/runs/{run.id}").text


def test_a_run_tells_everything(place: Place) -> None:
    """Each action with its reason, failures with their hints, warnings; and what others wrote is only text."""
    lines = [Line("failure", FAILURE), Line("warning", {"text": NASTY}), Line("action", ACTION)]
    run = place.ran(outcome="failed", lines=lines)
    with place.served() as site:
        page = site.get(f"/runs/{run.id}").text
    for words in ("only at the source", "hint: do this", "exit code", "3 PutObject", "$0.0100", "vm-1"):
        assert words in page
    assert NASTY not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_many_actions_come_in_pages(place: Place) -> None:
    """Five hundred on a page; a page that is not there is the nearest one."""
    lines = [Line("action", ACTION | {"target": f"s3://b/k{number}."}) for number in range(1201)]
    run = place.ran(lines=lines)
    with place.served() as site:
        first, last = site.get(f"/runs/{run.id}").text, site.get(f"/runs/{run.id}?page=99").text
        assert site.get(f"/runs/{run.id}?page=x").status == 200
    assert "s3://b/k499." in first and "s3://b/k500." not in first and "page 1 of 3" in first
    assert "s3://b/k1200." in last and "page 3 of 3" in last


def test_what_is_not_there_is_said(place: Place) -> None:
    """A job, run or page that is not there answers 404, as a page."""
    with place.served() as site:
        for path in ("/jobs/none", "/runs/none", "/none", "/static/../pages.py"):
            assert site.get(path).status == 404


def test_nothing_can_be_changed(place: Place) -> None:
    """Every page takes GET alone."""
    run = place.ran()
    with place.served() as site:
        for path in ("/", "/jobs/reports", f"/runs/{run.id}", "/spend", "/live"):
            for method in ("POST", "PUT", "DELETE", "PATCH"):
                assert site.get(path, method).status == 405


class _Inline(HTMLParser):
    """Finds what the policy would have to allow."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        self.found += [name for name in names if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(tag)
        self.found += [url for name in ("src", "href") if (url := names.get(name) or "").startswith(("http", "//"))]


def test_the_policy_is_strict_and_kept(place: Place) -> None:
    """Every answer forbids inline script and style, foreign sources and framing; no page has any."""
    run = place.ran(lines=[Line("action", ACTION)])
    with place.served() as site:
        for path in ("/", "/jobs/reports", f"/runs/{run.id}", "/spend", "/none", "/login", "/static/style.css"):
            answer = site.get(path)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            inline = _Inline()
            inline.feed(answer.text)
            assert inline.found == [], path


def test_pages_can_be_read_aloud(place: Place) -> None:
    """A language, a heading, landmarks, scopes of table headers, a link past the navigation, labels of progress."""
    place.ran()
    with place.served() as site:
        page = site.get().text
    assert '<html lang="en">' in page and page.count("<h1") == 1 and "<main" in page and "<nav" in page
    assert page.count("<th ") == page.count('<th scope="')
    assert page.index('class="skip"') < page.index("<header>")
    assert all('<span class="hidden">' in link for link in re.findall(r"<li><a class.*?</li>", page))


def test_it_follows_what_happens(place: Place) -> None:
    """Server-sent events: whoever follows is told when a run ends."""
    run = place.runs()
    with place.served() as site:
        connection = HTTPConnection("127.0.0.1", site.port, timeout=60)
        connection.request("GET", "/live")
        answer = connection.getresponse()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.readline() == b"retry: 5000\n"
        deadline = time.monotonic() + 60
        number = 0
        while (line := answer.readline()) != b"data: changed\n":
            number += 1
            place.history.beat(run.id, at=run.seen, progress={"planned": number})
            assert line == b"\n" and time.monotonic() < deadline
        connection.close()


def test_the_daemon_serves_it(tmp_path: Path) -> None:
    """One server: health, metrics and the page of a run that the daemon made."""
    host = HostPlace(tmp_path)
    host.source()
    host.configure(COPY + "startup = true\n")
    with host.daemon() as daemon:
        daemon.wait("run ended")
        status, page = daemon.get("")
        assert status == 200 and "1 job: 0 failing" in page
        assert daemon.get("healthz") == (200, "ok\n") and daemon.get("metrics")[0] == 200
        assert daemon.get("jobs/copy")[0] == 200 and daemon.get("static/live.js")[0] == 200
        assert len(daemon.events("serving")) == 1


def test_it_can_be_served_alone(place: Place) -> None:
    """``keepstep dashboard`` serves a state until SIGTERM, and makes none where there is none."""
    place.ran()
    command = [sys.executable, "-m", "keepstep", "--config", str(place.config), "dashboard"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = int(process.stdout.readline().rstrip("/\n").rpartition(":")[2])
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        process.terminate()
        assert process.wait(60) == 0
    place.config.write_text(place.config.read_text().replace("/state.db", "/none.db"))
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 5 and "there is no state" in ran.stderr


def test_a_job_that_runs_again_after_a_failure_is_still_failing(place: Place) -> None:
    """In title, headline and row: what counts is its last finished run."""
    place.ran(outcome="failed")
    place.runs()
    with place.served() as site:
        text = site.get().text
    assert "<title>1 failing" in text and "1 failing, 1 running" in text
    assert "failed" in text and "running" in text


ODD = ["a\x1b[2Jb", "a\rb", "\u202egnp.exe", "x\u2028y"]


@pytest.mark.parametrize("text", ODD)
def test_text_of_others_does_nothing_in_the_source(place: Place, text: str) -> None:
    """Control and bidirectional characters of a stored failure are escaped, also for those who read the source."""
    line = Line("failure", {"error": text, "hint": text, "target": text})
    run = place.ran(outcome="failed", lines=[line], source=text, target=text)
    with place.served() as site:
        for path in ("/", "/jobs/reports", f"/runs/{run.id}"):
            source = site.get(path).text
            assert not set(text) & set("\x1b\r\u202e\u2028") & set(source)
            assert source.replace("\n", "").isprintable()


def test_a_megabyte_of_error_is_shortened(place: Place) -> None:
    """A page stays a page."""
    run = place.ran(outcome="failed", lines=[Line("failure", {"error": "x" * 2**20})])
    with place.served() as site:
        assert len(site.get(f"/runs/{run.id}").text) < 20_000


def test_a_jobs_name_is_a_link_that_works(tmp_path: Path) -> None:
    """Whatever characters it has."""
    jobs = JOBS.replace("[job.reports]", '[job."a/b ?#%&é"]')
    place = Place(tmp_path, jobs=jobs)
    with place.served() as site:
        [link] = re.findall(r'href="(/jobs/a[^"]*)"', site.get().text)
        answer = site.get(html.unescape(link))
    assert answer.status == 200 and "a/b ?#%&amp;é" in answer.text
