# SPDX-License-Identifier: GPL-3.0-or-later
"""What docs/monitoring has for Prometheus, Grafana and KEDA fits the metrics that a host serves."""

import json
import os
import re
import shutil
import subprocess
import urllib.request

import pytest
import yaml

from broker import free_port, scaled
from host import ROOT, received
from test_docs import blocks

MONITORING = os.path.join(ROOT, "docs", "monitoring")
PROMTOOL = pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool; on Debian: apt-get install prometheus")
NAME = re.compile(r"\b(?:valawai|process)_\w+")
SUFFIX = re.compile(r"_(bucket|count|sum)$")


def promtool(*arguments):
    done = subprocess.run(["promtool", *arguments], cwd=MONITORING, capture_output=True, text=True, timeout=scaled(60), check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def dashboard():
    with open(os.path.join(MONITORING, "dashboard.json"), encoding="utf-8") as file:
        return json.load(file)


def alerts():
    with open(os.path.join(MONITORING, "alerts.yml"), encoding="utf-8") as file:
        return [rule for group in yaml.safe_load(file)["groups"] for rule in group["rules"]]


def expressions():
    """Those of the dashboard, as Grafana sends them."""
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"].replace("$__rate_interval", "1m").replace("$component", ".*")


@pytest.fixture
def served(new_host, broker, mov, client):
    """The names and the labels of the metrics of a real host."""
    host = new_host(broker, env={"HTTP_LISTEN": f"127.0.0.1:{free_port()}"}).start()
    host.wait_healthy()
    client.publish(received(), {"content": "one"})
    with urllib.request.urlopen(f"http://{host.env['HTTP_LISTEN']}/metrics", timeout=scaled(5)) as answer:
        text = answer.read().decode()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert len(types) > 30
    return types, text


def test_every_metric_that_is_asked_for_is_served(served):
    types, text = served
    asked = {name for _, expression in expressions() for name in NAME.findall(expression)}
    asked |= {name for rule in alerts() for name in NAME.findall(rule["expr"])}
    for name in asked:
        base = SUFFIX.sub("", name) if types.get(SUFFIX.sub("", name)) == "histogram" else name
        assert base in types, f"{name} is not served"
        if base != name:
            assert f"\n{name}" in text


def test_only_counters_have_rates(served):
    types, _ = served
    for title, expression in [*expressions(), *((rule["alert"], rule["expr"]) for rule in alerts())]:
        for name in re.findall(r"(?:rate|increase)\((\w+)", expression):
            assert types.get(name, types.get(SUFFIX.sub("", name))) in ("counter", "histogram"), f"{title}: {name}"


@PROMTOOL
def test_the_alerts_are_right_and_fire():
    promtool("check", "rules", "alerts.yml")
    promtool("test", "rules", "alerts_test.yml")


@PROMTOOL
def test_the_dashboard_asks_what_prometheus_understands(tmp_path):
    rules = [{"record": f"panel:{number}", "expr": expression} for number, (_, expression) in enumerate(expressions())]
    (tmp_path / "panels.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", str(tmp_path / "panels.yml"))


def test_the_dashboard_is_in_itself_right():
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) == len({panel["title"] for panel in panels})
    taken = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
    assert {variable["name"] for variable in dashboard()["templating"]["list"]} == {"datasource", "component"}


def test_the_page_says_what_to_do_about_each_alert():
    with open(os.path.join(ROOT, "docs", "operating.md"), encoding="utf-8") as file:
        described = re.findall(r"^\| `(Valawai\w+)` \|", file.read(), re.MULTILINE)
    assert described == [rule["alert"] for rule in alerts()]


def test_keda_scales_the_deployment_of_the_documentation():
    (text,) = (text for _, _, language, text in blocks("docs/deploy.md") if language == "yaml")
    _, deployment = yaml.safe_load_all(text)
    with open(os.path.join(MONITORING, "keda.yaml"), encoding="utf-8") as file:
        secret, authentication, scaled_object = yaml.safe_load_all(file)
    spec = scaled_object["spec"]
    assert spec["scaleTargetRef"]["name"] == deployment["metadata"]["name"] and spec["minReplicaCount"] >= 1
    (trigger,) = spec["triggers"]
    assert trigger["metadata"]["queueName"] == received()
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    (reference,) = authentication["spec"]["secretTargetRef"]
    assert reference["name"] == secret["metadata"]["name"] and reference["key"] in secret["stringData"]
