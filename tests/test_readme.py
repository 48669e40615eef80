"""What the README shows works as it stands there."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_loop_runs(run_python) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    printed = run_python(program)
    assert re.search(r"^mean IoU +0\.\d{4}", printed, re.MULTILINE)
    assert " | k 2 | 76.0 ms | 15 fps | 8 classes | ignore 255 | coverage 0.87 | flame-metric 0.1.0" in printed
