"""The RayCluster of the documents: what can be said of it without a Kubernetes cluster."""

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.helpers.paths import ROOT
from tests.helpers.settings import compose

MANIFEST = ROOT / "docs" / "examples" / "raycluster.yaml"
# Of KubeRay 1.6's reference (https://ray-project.github.io/kuberay/reference/api/), those that are used.
FIELDS = {
    "spec": {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"},
    "headGroupSpec": {"rayStartParams", "template"},
    "workerGroupSpecs": {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"},
}


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(MANIFEST.read_text())
    return found


def groups(cluster: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield cluster["spec"]["headGroupSpec"]
    yield from cluster["spec"]["workerGroupSpecs"]


def test_the_cluster_uses_the_fields_of_kuberays_reference(cluster: dict[str, Any]) -> None:
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    assert set(cluster["spec"]) == FIELDS["spec"]
    assert cluster["spec"]["authOptions"] == {"mode": "token"}
    assert set(cluster["spec"]["headGroupSpec"]) == FIELDS["headGroupSpec"]
    assert [set(group) for group in cluster["spec"]["workerGroupSpecs"]] == [FIELDS["workerGroupSpecs"]]
    for group in groups(cluster):  # KubeRay takes texts alone
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_all_pods_have_one_image_and_the_locks_ray(cluster: dict[str, Any]) -> None:
    containers = [each for group in groups(cluster) for each in group["template"]["spec"]["containers"]]
    assert len({each["image"] for each in containers}) == 1
    for lock in ("cpu", "gpu"):
        pinned = re.search(
            r"^ray==([\d.]+)", (ROOT / "requirements" / f"{lock}.txt").read_text(), re.MULTILINE
        )
        assert pinned is not None
        assert pinned[1] == cluster["spec"]["rayVersion"]


def test_pods_have_volumes_for_their_mounts_and_the_images_user(cluster: dict[str, Any]) -> None:
    uid = re.search(r"^USER (\d+)$", (ROOT / "docker" / "gpu.Dockerfile").read_text(), re.MULTILINE)
    assert uid is not None
    for group in groups(cluster):
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsUser"] == int(uid[1])
        (container,) = pod["containers"]
        mounted = {each["name"] for each in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_probes_ask_a_port_that_ray_opens_in_that_pod(cluster: dict[str, Any]) -> None:
    head, worker = groups(cluster)
    opened = {6379: head, int(worker["rayStartParams"]["node-manager-port"]): worker}
    for port, group in opened.items():
        (container,) = group["template"]["spec"]["containers"]
        for probe in ("readinessProbe", "livenessProbe"):
            assert container[probe]["tcpSocket"]["port"] == port


def test_the_command_above_the_cluster_composes() -> None:
    comment = MANIFEST.read_text().partition("apiVersion")[0].replace("\\\n#", "")
    found = re.search(r"-- python -m llmbench (.*)$", comment, re.MULTILINE)
    assert found is not None
    engine = compose(shlex.split(found[1])).engine
    assert (engine.replicas, engine.ray_address) == ("auto", "auto")
