"""Container ids in the shapes that engines give to cgroups, as written down from them."""

from __future__ import annotations

import pytest

from plainwire.inspect.containers import container_in, container_of

ID, OTHER = "3f9d8c7b" * 8, "0a1b2c3d" * 8
POD = "kubepods-burstable-pod2c48913c_b29f_11e7_9350_020968147796"
BURSTABLE = f"/kubepods.slice/kubepods-burstable.slice/{POD}.slice"

INSIDE = {
    "Docker, systemd": f"0::/system.slice/docker-{ID}.scope",
    "Docker, cgroupfs": f"0::/docker/{ID}",
    "Docker, version 1": f"12:memory:/docker/{ID}\n11:pids:/docker/{ID}\n1:name=systemd:/docker/{ID}\n0::/",
    "systemd inside Docker": f"0::/docker/{ID}/system.slice/nginx.service",
    "nerdctl": f"0::/system.slice/nerdctl-{ID}.scope",
    "Podman": f"0::/machine.slice/libpod-{ID}.scope/container",
    "Podman, rootless": f"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container",
    "Podman, cgroupfs": f"0::/libpod_parent/libpod-{ID}",
    "Kubernetes with containerd": f"0::{BURSTABLE}/cri-containerd-{ID}.scope",
    "Kubernetes with CRI-O": f"0::{BURSTABLE}/crio-{ID}.scope",
    "Kubernetes, cgroupfs": f"0::/kubepods/burstable/{POD}/{ID}",
    "containerd as a service": f"0::/system.slice/containerd.service/{POD}.slice:cri-containerd:{ID}",
    "Docker in Docker": f"0::/docker/{OTHER}/docker/{ID}",
    "seen from a cgroup namespace": f"0::/../../docker-{ID}.scope",
}
OUTSIDE = {
    "the root": "0::/",
    "a service": "0::/system.slice/nginx.service",
    "conmon of Podman": f"0::/machine.slice/libpod-conmon-{ID}.scope",
    "conmon of CRI-O": f"0::/system.slice/crio-conmon-{ID}.scope",
    "a name that is longer": f"0::/build-{ID}ff.scope",
    "a name that is shorter": f"0::/docker/{ID[1:]}",
    "nothing": "",
    "damage": ":\n::\n\0",
}


@pytest.mark.parametrize("engine", INSIDE)
def test_the_id_of_each_engine(engine: str) -> None:
    assert container_in(INSIDE[engine] + "\n") == ID


@pytest.mark.parametrize("what", OUTSIDE)
def test_what_is_no_container(what: str) -> None:
    assert container_in(OUTSIDE[what]) is None


def test_a_process_that_is_gone() -> None:
    assert container_of(1 << 30) is None
