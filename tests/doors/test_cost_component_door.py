"""The door for a cost component: one row in derive/energy/components.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doors.package_copy import changed_files, copy_of_package

ROOT = Path(__file__).parents[2]
ROW = """COST_COMPONENTS = (
    CostComponent(
        name="toy",
        description="depreciation of the GPU",
        basis=Basis.GPU_TIME,
        amount=lambda policy, gpu_seconds: 0.5 * gpu_seconds,
    ),
"""
# One GPU that server `a` claims, one that no server claims, 20 s, and a change of currency after 10 s.
STORY = """
from dataclasses import replace
from math import fsum, isclose
from goodwatt.derive.policy_change import apply_policy
from goodwatt.model.policy import Policy
from goodwatt.model.tariff import Tariff
from tests.fakes.readings import Fold, gpu, gpus, tokens_page
from tests.publish.pages import rendered

fold = Fold(Policy(server_gpus={"a": (0,)}, tariff=Tariff("USD", price_per_gpu_hour=3600.0)))
for tick in range(5):
    now = 5.0 * tick
    if tick == 3:
        euros = replace(fold.policy, tariff=Tariff("EUR", price_per_gpu_hour=3600.0))
        fold.state, fold.policy = apply_policy(fold.state, fold.policy, euros), euros
    fold.tick(now, gpus(gpu(0, now, 1000 * tick), gpu(1, now, 1000 * tick)), tokens_page("a", now, 10.0 * tick))
    ledger = fold.snapshots[-1].ledger
    spent = fsum([*ledger.cost.values(), *ledger.unattributed_cost.values()])
    seconds = now if tick < 3 else now - 10.0
    assert isclose(spent, 2 * seconds * (1.0 + 0.5)), (tick, ledger.cost, ledger.unattributed_cost)
print(rendered(fold.snapshots[2]), "# at 20 s", rendered(fold.snapshots[-1]), sep="\\n")
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package with one more row."""
    copy = copy_of_package(tmp_path)
    table = copy / "goodwatt" / "derive" / "energy" / "components.py"
    text = table.read_text()
    assert text.count("COST_COMPONENTS = (\n") == 1
    table.write_text(text.replace("COST_COMPONENTS = (\n", ROW))
    return copy


def test_one_row_is_a_cost_component(tree: Path) -> None:
    """Its money is published, follows its claims, adds up with the other components, and restarts with the currency."""
    assert changed_files(tree) == ["derive/energy/components.py"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tree), str(ROOT)])}
    command = [sys.executable, "-P", "-c", STORY]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    at_10s, at_20s = ran.stdout.split("# at 20 s")
    assert 'goodwatt_cost_total{component="toy",currency="USD",model="llama",server="a"} 5.0' in at_10s
    assert 'goodwatt_unattributed_cost_total{component="toy",currency="USD"} 5.0' in at_10s
    assert 'goodwatt_cost_total{component="toy",currency="EUR",model="llama",server="a"} 5.0' in at_20s
    assert 'goodwatt_cost_total{component="rental",currency="EUR",model="llama",server="a"} 10.0' in at_20s
