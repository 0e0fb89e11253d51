"""Opens notebooks 00, 07 and 08 in a real JupyterLab and a real browser, and uses the live lab as a reader would.

`make test-browser` runs this. It serves a copy of the notebooks on this machine alone, prints what it measured as one
line of JSON a notebook, and leaves screenshots in runs/browser. A check that fails ends it. Times are printed and not
checked, because they depend on what else the machine does; the aim is a median latency below 150 ms and 4 pictures a
second.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    from playwright.sync_api import Page, sync_playwright
except ImportError:
    sys.exit(
        "Playwright is not installed here, so the browser test was left out: run make test-browser with a network."
    )

ROOT = Path(__file__).resolve().parent.parent
SHOTS = ROOT / "runs" / "browser"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking")
JUPYTER_FOLDERS = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
SETTINGS = "@jupyterlab/apputils-extension/notification.jupyterlab-settings"

KERNEL = "jupyterapp.shell.currentWidget.sessionContext.session.kernel"
CELLS = """() => {
  const cells = jupyterapp.shell.currentWidget.content.model.cells, bad = [];
  let left = 0;
  for (let i = 0; i < cells.length; i++) {
    const cell = cells.get(i);
    if (cell.type !== 'code') continue;
    if (!cell.executionCount) left++;
    for (let j = 0; j < cell.outputs.length; j++) {
      const output = cell.outputs.get(j).toJSON();
      if (output.output_type === 'error' || output.name === 'stderr') bad.push(JSON.stringify(output).slice(0, 300));
    }
  }
  return {left, bad};
}"""
RUN = """code => new Promise(done => {
  let text = '';
  const future = KERNEL.requestExecute({code, store_history: false});
  future.onIOPub = message => { text += message.content.text || (message.content.evalue || ''); };
  future.done.then(() => done(text));
})""".replace("KERNEL", KERNEL)
# When the kernel's echo reaches the page, when a key went down, and each picture that came on screen.
WATCH = """() => {
  window.echoes = []; window.keys = []; window.shown = new Set();
  const status = document.querySelector('.dcgan-status'), picture = document.querySelector('img.dcgan-pictures');
  new MutationObserver(() => echoes.push([performance.now(), status.innerText]))
    .observe(status, {childList: true, subtree: true, characterData: true});
  new MutationObserver(() => shown.add(picture.src)).observe(picture, {attributes: true, attributeFilter: ['src']});
  document.addEventListener('keydown', () => keys.push(performance.now()), true);
}"""
BYTES = """async () => {
  const picture = await fetch(document.querySelector('img.dcgan-pictures').src);
  return Array.from(new Uint8Array(await picture.arrayBuffer())).join();
}"""


def find_browser() -> str | None:
    """A Chromium of this machine; where there is none and apt may be used, it is installed."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-qq", "--no-install-recommends", "chromium"],
        ):
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found = shutil.which("chromium")
    return found


@contextmanager
def jupyterlab() -> Iterator[str]:
    """A JupyterLab on loopback, over a copy of the notebooks, with settings of its own; gives its address."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home, socket.socket() as free:
        shutil.copytree(ROOT / "notebooks", Path(home) / "notebooks")
        settings = Path(home) / "settings" / SETTINGS
        settings.parent.mkdir(parents=True)
        settings.write_text('{"fetchNews": "false", "checkForUpdates": false}')
        free.bind(("127.0.0.1", 0))
        port, token = free.getsockname()[1], secrets.token_hex(16)
        free.close()
        env = os.environ | {name: f"{home}/{name}" for name in JUPYTER_FOLDERS} | {"PYTHONPATH": str(ROOT)}
        env |= {"JUPYTERLAB_SETTINGS_DIR": f"{home}/settings", "JUPYTERLAB_WORKSPACES_DIR": f"{home}/workspaces"}
        env.pop("DCGAN_HEADLESS", None)
        options = ["--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"]
        options += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={home}", "--ServerApp.port_retries=0"]
        options += ["--LabApp.expose_app_in_browser=True"]
        command = [sys.executable, "-m", "jupyterlab", *options]
        log = Path(home) / "log"
        with log.open("wb") as file:
            server = subprocess.Popen(command, env=env, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            for _ in range(120):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token={token}", timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.5)
            else:
                sys.exit(f"JupyterLab did not start:\n{log.read_text()}")
            yield f"http://127.0.0.1:{port}/lab/tree/notebooks/{{}}.ipynb?token={token}&reset"
        finally:
            os.killpg(server.pid, signal.SIGTERM)  # its kernels too
            server.wait(20)


def run_all(page: Page, address: str, seconds: float = 600) -> None:
    """Open a notebook, run all its cells, and insist on no error and no word on stderr."""
    page.goto(address)
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=60_000)
    page.wait_for_function(
        f"window.jupyterapp?.shell.currentWidget?.sessionContext?.session && {KERNEL}.status === 'idle'"
    )
    page.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
    end = time.monotonic() + seconds
    while (state := page.evaluate(CELLS))["left"] or page.evaluate(f"{KERNEL}.status") != "idle":
        assert not state["bad"], state["bad"]
        assert time.monotonic() < end, f"still running after {seconds} s"
        time.sleep(0.5)
    assert not state["bad"], state["bad"]


def ask(page: Page, expression: str) -> object:
    """The value of a Python expression in the kernel."""
    return json.loads(page.evaluate(RUN, f"import json; print(json.dumps({expression}))"))


def wait_until(page: Page, expression: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not ask(page, expression):
        assert time.monotonic() < end, f"not within {seconds} s: {expression}"
        time.sleep(0.1)


def show_cell(page: Page, selector: str) -> None:
    """Bring the cell with this widget to the top of the window."""
    page.evaluate("""selector => {
      const panel = jupyterapp.shell.currentWidget.content;
      panel.activeCellIndex = panel.widgets.findIndex(cell => cell.node.querySelector(selector));
      return panel.scrollToItem(panel.activeCellIndex, 'start');
    }""", selector)  # fmt: skip
    page.wait_for_selector(selector)
    time.sleep(1)
    stills = page.locator(".dcgan-still")  # for a notebook that is opened again; beside a live widget they are doubles
    assert not any(stills.nth(i).is_visible() for i in range(stills.count())), "a still is visible beside its widget"


def use_lab(page: Page, name: str) -> dict:
    """Start, drag, press keys, pause, reset; returns what was measured."""
    step, rate = "lab.session.trainer.steps_done", "lab.session.trainer.g_optimizer.param_groups[0]['lr']"
    click = lambda button: page.click(f"button.dcgan-{button}")  # noqa: E731
    handle = page.locator(".dcgan-lr .noUi-handle").first
    show_cell(page, ".dcgan-start")
    page.evaluate(RUN, "_used, _step = [], lab.session.trainer.step\n"
                  "def _logged(**options): _used.append(lab.session.trainer.config.lr); return _step(**options)\n"
                  "lab.session.trainer.step = _logged")  # fmt: skip
    page.evaluate(WATCH)
    first = page.evaluate(BYTES)
    page.screenshot(path=SHOTS / f"{name}_ready.png")
    click("start")
    wait_until(page, f"{step} >= 10")
    assert page.evaluate(BYTES) != first, "the picture does not change"

    before = ask(page, "lab.controls.lr.value")
    place = handle.bounding_box()
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.mouse.down()
    for i in range(1, 11):
        page.mouse.move(place["x"] + 3 * i, place["y"] + place["height"] / 2)
    page.mouse.up()
    time.sleep(0.5)  # the last value may still be on its way
    wait_until(page, f"lab.controls.lr.value > {before} and {rate} == lab.controls.lr.value")
    wait_until(page, "len(lab.session.marks) > 0")
    at, last = ask(page, "[len(_used), lab.controls.lr.value]")
    wait_until(page, f"len(_used) >= {at + 3}")
    assert ask(page, f"_used[{at}:{at + 3}]") == [last] * 3, "the next steps did not use the slider's value"

    page.evaluate("() => { echoes.length = keys.length = 0; shown.clear(); }")
    began = time.monotonic()
    for i in range(9):
        handle.press("ArrowRight" if i % 2 else "ArrowLeft")
        time.sleep(0.6)
    pictures = len(page.evaluate("[...shown]")) / (time.monotonic() - began)
    latencies = page.evaluate("""() => keys.map(key => {
      const lr = text => text.split(' lr ')[1]?.split(' ')[0];
      const old = echoes.filter(e => e[0] <= key).map(e => lr(e[1])).pop();
      return (echoes.find(e => e[0] > key && lr(e[1]) !== old)?.[0] ?? NaN) - key;
    }).slice(1)""")  # the first key has no echo before it to compare with
    latency = statistics.median(latencies) / 1000

    for i in range(100):
        handle.press("ArrowRight" if i % 3 else "ArrowLeft")
    shown = float(page.locator(".dcgan-lr .widget-readout").first.inner_text())  # rounded; a move is 5 %
    wait_until(page, f"abs(lab.controls.lr.value / {shown} - 1) < 0.06 and {rate} == lab.controls.lr.value")
    page.screenshot(path=SHOTS / f"{name}_running.png")
    speed = page.locator(".dcgan-status").inner_text()

    click("pause")
    wait_until(page, "not lab.running")
    stopped = ask(page, step)
    time.sleep(1)
    assert ask(page, step) == stopped, "Pause does not pause"
    click("reset")
    wait_until(page, f"{step} == 0")
    assert page.evaluate(BYTES) == first, "Reset does not give the first picture back"
    grids = []
    for _ in range(2):
        for button, count in (("one-d-step", 1), ("one-g-step", 2), ("one-d-step", 3)):
            click(button)
            wait_until(page, f"{step} == {count}")
        grids.append(page.evaluate(BYTES))
        click("reset")
        wait_until(page, f"{step} == 0")
    assert grids[0] == grids[1] != first, "the same clicks after Reset give another picture"
    page.screenshot(path=SHOTS / f"{name}_reset.png")
    return {"latency_ms": round(latency * 1000), "pictures_per_s": round(pictures, 1), "status": speed}


def use_explorer(page: Page, name: str) -> dict:
    """Move the path between two samples; returns how long a new picture took to come."""
    show_cell(page, ".dcgan-path")
    picture = page.locator(".dcgan-explored").first
    handle = page.locator(".dcgan-path .noUi-handle").first
    times = []
    for _ in range(7):
        before, began = picture.get_attribute("src"), time.monotonic()
        handle.press("ArrowRight")
        while picture.get_attribute("src") == before:
            assert time.monotonic() - began < 10, "the explorer does not draw"
        times.append(time.monotonic() - began)
    page.screenshot(path=SHOTS / f"{name}_explorer.png")
    return {"redraw_ms": round(statistics.median(times) * 1000)}


def main() -> None:
    browser = find_browser()
    if browser is None:
        print("There is no Chromium here and it cannot be installed, so the browser test was left out.")
        return
    SHOTS.mkdir(parents=True, exist_ok=True)
    names = sys.argv[1:] or ["00_quickstart", "07_training", "08_results"]
    with jupyterlab() as address, sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=browser, args=BROWSER_FLAGS).new_page(
            viewport={"width": 1280, "height": 1400}
        )
        for name in names:
            began = time.monotonic()
            try:
                run_all(page, address.format(name))
                measured = {"notebook": name, "run_all_s": round(time.monotonic() - began)}
                measured |= use_explorer(page, name) if name.startswith("08") else use_lab(page, name)
            except Exception:
                page.screenshot(path=SHOTS / f"{name}_failed.png")
                raise
            print(json.dumps(measured, ensure_ascii=False), flush=True)
            page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")


if __name__ == "__main__":
    main()
