"""The system's Chromium without a window, driven by selenium through the chromedriver of the system.

Nothing is downloaded: selenium is given the paths of both programs. What a page says on the console, and what it
requests, is kept to be looked at.
"""

import json
import shutil
from importlib.util import find_spec

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
KEYS = {
    "ArrowRight": "\ue014",
    "ArrowLeft": "\ue012",
    "ArrowUp": "\ue013",
    "ArrowDown": "\ue015",
    "Home": "\ue011",
    "End": "\ue010",
    "Tab": "\ue004",
    " ": " ",
}


def find_chromium():
    """The path of a Chromium, or None."""
    return next((path for name in CHROMIUM if (path := shutil.which(name))), None)


def lacking():
    """What is missing for a browser, as text; empty if nothing is."""
    found = {
        "chromium": find_chromium(),
        "chromedriver": shutil.which("chromedriver"),
        "selenium": find_spec("selenium"),
    }
    return ", ".join(name for name, there in found.items() if not there)


class Browser:
    """A browser with one page; a context manager that ends it."""

    def __init__(self, folder):
        from selenium import webdriver  # noqa: PLC0415  it may be missing, which lacking() says

        options = webdriver.ChromeOptions()
        options.binary_location = find_chromium()
        for option in (*OPTIONS, f"--user-data-dir={folder}"):
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        options.add_experimental_option("perfLoggingPrefs", {"enableNetwork": True, "enablePage": False})
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self._driver = webdriver.Chrome(options, service)
        self._keys = webdriver.ActionChains

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._driver.quit()

    def call(self, method, **parameters):
        """Call a method of the browser's own protocol (DevTools) and return its result."""
        return self._driver.execute_cdp_cmd(method, parameters)

    # ── what it says ──

    def console(self):
        """What scripts and the browser have said since this was asked last: messages, exceptions, what was refused."""
        return [entry["message"] for entry in self._driver.get_log("browser")]

    def network(self):
        """Events of the network since this was asked last, as (method, parameters)."""
        events = (json.loads(entry["message"])["message"] for entry in self._driver.get_log("performance"))
        return [(event["method"], event["params"]) for event in events if event["method"].startswith("Network.")]

    # ── the page ──

    def open(self, file):
        """Open a file and wait until it is loaded; what was said before is forgotten."""
        self.console()
        self.network()
        self._driver.get(file.as_uri())

    def run(self, script):
        """Evaluate an expression in the page and return its value, or what it promises."""
        return self._driver.execute_script(f"return ({script})")

    def all(self, selector, expression="one.textContent"):
        """What an expression in ``one`` gives for each element that a selector finds."""
        return self.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((one) => {expression})")

    def one(self, selector, expression="one.textContent"):
        """The same for the only element that it finds."""
        (found,) = self.all(selector, expression)
        return found

    def focus(self, selector):
        """Give the first element that a selector finds the keyboard's focus."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")

    def press(self, key, times=1):
        """Press a key some times, as a person does."""
        self._keys(self._driver).send_keys(KEYS[key] * times).perform()

    def resize(self, width, height=900):
        """Give the window a size in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def prefer(self, **features):
        """Say what a person prefers, such as prefers_color_scheme="dark"; ``media="print"`` prints."""
        media = features.pop("media", "")
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.call("Emulation.setEmulatedMedia", media=media, features=named)
