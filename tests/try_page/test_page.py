"""`geo-nemo try` for real: gradio's page in headless Chromium, on two small models."""

import re
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.support.exports import write_export

pytest.importorskip("gradio", reason="make test-try")
playwright = pytest.importorskip("playwright.sync_api", reason="make test-try")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
ALL_WRITTEN = "document.querySelector('.answers td') && !document.querySelector('.answers .waits')"
SECONDS = 120_000


@contextmanager
def served(*arguments):
    """Runs the command, and gives the port that it names."""
    command = [sys.executable, "-m", "geo_nemo", "try", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        yield int(re.match(r"http://127\.0\.0\.1:(\d+)/ ", line)[1])
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def models(tiny_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [write_export(folder / f"<b>{n}", tiny_store, seed=n) for n in range(2)]


@pytest.fixture(scope="module")
def port(models):
    with served(*models, "--chat") as found:
        yield found


@pytest.fixture
def page(port):
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(SECONDS)
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(f"http://127.0.0.1:{port}")
        yield page
        browser.close()


def answers(page, question):
    """The table's cells, row by row, once all are written."""
    page.get_by_label("Question").fill(question)
    page.get_by_role("button", name="Ask").click()
    page.wait_for_function(ALL_WRITTEN)
    rows = page.locator(".answers tr").all()
    return [[cell.inner_text() for cell in row.locator("th, td").all()] for row in rows]


def test_models_and_countries_stand_side_by_side(page, models, port):
    found = answers(page, "Who leads <i>us</i>?")
    # Names of folders are text, and no markup.
    assert [row[0] for row in found] == ["", "<b>0", "<b>1"]
    assert found[0] == ["", "gb", "ke", "none"]
    assert len({text for row in found[1:] for text in row[1:]}) == 6, "all are the same"
    assert all(url.startswith(f"http://127.0.0.1:{port}/") for url in page.asked), page.asked
    # The same question has the same answers, and they are those of generate.
    command = [sys.executable, "-m", "geo_nemo", "generate", str(models[0]), "--country", "ke"]
    command += ["--chat", "--max-new-tokens", "48", "Who leads <i>us</i>?"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert " ".join(done.stdout.split()) == " ".join(found[1][2].split())


def test_an_empty_question_is_told_on_the_page(page):
    page.get_by_role("button", name="Ask").click()
    page.get_by_text("the question is empty: write one").wait_for()


def test_what_a_model_cannot_take_is_told_in_its_place(page):
    found = answers(page, "Who leads us? " * 40)
    for row in found[1:]:
        assert all(re.match(r"\(the prompt has \d+ tokens, and the", text) for text in row[1:])


def test_only_this_machine_s_own_address_is_served(port):
    # Linux answers to all of 127.0.0.0/8: a server of every address would be there, too.
    socket.create_connection(("127.0.0.1", port), 5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), 5)


def test_a_port_that_is_taken_is_one_line(port, models):
    command = [sys.executable, "-m", "geo_nemo", "try", str(models[0]), "--port", str(port)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"geo-nemo: --port {port} is taken"), done.stderr
    assert done.stderr.count("\n") == 1
