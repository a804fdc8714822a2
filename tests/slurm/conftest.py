"""A real Slurm cluster of two nodes on this machine, without systemd: munged, slurmctld and two slurmd of our own.

Needs root and Debian's slurm-wlm and munge, which are installed when they are missing.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.data import data_dir

COMMAND = (sys.executable, "-m", "trtllm_builder")
NODES = ("one", "two")
# cred_expire: a job whose node failed waits for as long before it starts again, two minutes unless it is said.
_CONF = """\
ClusterName=trtllm
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge/munge.sock,cred_expire=5
SlurmctldPort={ports[0]}
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
SlurmctldTimeout=5
SlurmdTimeout=5
KillWait=10
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=DEFAULT CPUs=2 RealMemory=16000 State=UNKNOWN
NodeName={nodes} NodeHostname={host} NodeAddr=127.0.0.1 Port=[{ports[1]}-{ports[2]}]
PartitionName=all Nodes={nodes} Default=YES MaxTime=INFINITE State=UP
PartitionName=short Nodes={nodes} MaxTime=60 State=UP
"""


@dataclass
class Cluster:
    """``root`` holds all that the daemons write; ``environ`` is for whoever speaks to it."""

    root: Path
    environ: dict[str, str]
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *argv: str) -> None:
        log = (self.root / f"{name}.out").open("wb")
        # They end with us, however we end.
        self.daemons[name] = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", *argv],
            env={**self.environ, "TRTLLM_TEST_NODE": name},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()

    def start_node(self, name: str) -> None:
        self.start(name, "slurmd", "-D", "-N", name, "-f", str(self.root / "slurm.conf"))

    def ask(self, *argv: str) -> str:
        return subprocess.run(argv, env=self.environ, capture_output=True, text=True, timeout=30, check=True).stdout

    def kill_node(self, name: str) -> None:
        """As when the power is cut: nothing of it has time to say anything. What a build had started dies with it."""
        for _ in range(3):
            for pid in _of_node(self.root, name):
                with_pid(pid)
        self.daemons[name].wait(10)

    def wait_idle(self, *names: str) -> None:
        wait_for(lambda: all(self.ask("sinfo", "-h", "-n", name, "-o", "%T").strip() == "idle" for name in names), 40)


def with_pid(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _of_node(root: Path, name: str) -> list[int]:
    """Its daemon, the daemon's helpers, the jobs, and the sessions that those have begun."""
    found, sessions = [], set()
    marks = {f"TRTLLM_TEST_NODE={name}".encode(), f"SLURMD_NODENAME={name}".encode()}
    conf = f"SLURM_CONF={root / 'slurm.conf'}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                variables = set((entry / "environ").read_bytes().split(b"\0"))
                if variables & marks and conf in variables:
                    found.append(int(entry.name))
                    sessions.add(os.getsid(int(entry.name)))
            except OSError:
                continue
    # Upstream's build has an environment of its own; its parent was just found.
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(stat[1]) in found or int(stat[3]) in found:
                    found.append(int(entry.name))
                    sessions.add(int(stat[3]))
            except (OSError, ValueError):
                continue
    return sorted(set(found) - {os.getpid()})


def wait_for(ready: Any, seconds: float) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = ready()
        if found:
            return found
        time.sleep(0.3)
    raise AssertionError(f"not so after {seconds} s")


def _ports(count: int) -> list[int]:
    """Neighbours that nobody listens on."""
    for first in range(21000, 29000, 10):
        try:
            for port in range(first, first + count):
                with socket.socket() as one:
                    one.bind(("127.0.0.1", port))
        except OSError:
            continue
        return list(range(first, first + count))
    raise AssertionError("no free ports")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    assert os.geteuid() == 0, "a Slurm of our own needs root"
    if not shutil.which("slurmctld") or not shutil.which("munged"):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=True, timeout=300, env=quiet)
        subprocess.run(["apt-get", "install", "-y", "-qq", "slurm-wlm", "munge"], check=True, timeout=600, env=quiet)
    root = tmp_path_factory.mktemp("slurm")
    # Sockets have short names only, and munged wants every directory above its own to be nobody else's.
    munge = root / "munge"
    for directory in (munge, root / "state"):
        directory.mkdir()
    key = munge / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    for above in (root, *root.parents):
        if above.is_relative_to("/tmp") and above != Path("/tmp"):
            above.chmod(0o755)
    shutil.chown(munge, "munge")
    shutil.chown(key, "munge")
    conf = root / "slurm.conf"
    host = socket.gethostname().partition(".")[0]
    conf.write_text(_CONF.format(root=root, host=host, ports=_ports(3), nodes=",".join(NODES)))
    passed = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "PIP_INDEX_URL", "PIP_FIND_LINKS")
    home = tmp_path_factory.mktemp("user")
    environ = {
        **{name: os.environ[name] for name in passed if name in os.environ},
        "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        # Tools are kept where a user's are, so that a second test run finds them.
        "XDG_DATA_HOME": str(data_dir(dict(os.environ)).parent),
        "LANG": "C.UTF-8",
        "SLURM_CONF": str(conf),
    }
    made = Cluster(root, environ)
    try:
        made.start(
            "munged",
            *("--reuid=munge", "--regid=munge", "--clear-groups", "/usr/sbin/munged", "-F", "--force"),
            *(f"--key-file={key}", f"--socket={munge}/munge.sock", f"--seed-file={munge}/seed"),
            *(f"--pid-file={munge}/munged.pid", f"--log-file={munge}/munged.log"),
        )
        wait_for((munge / "munge.sock").exists, 10)
        made.start("slurmctld", "slurmctld", "-D", "-f", str(conf))
        for name in NODES:
            made.start_node(name)
        made.wait_idle(*NODES)
        yield made
    finally:
        for name in (*NODES, "slurmctld", "munged"):
            daemon = made.daemons.get(name)
            if daemon is not None:
                for pid in _of_node(root, name):
                    with_pid(pid)
                daemon.kill()
                daemon.wait()


@dataclass
class Fleets:
    """Our command against the cluster, with ``shared`` for all of it."""

    cluster: Cluster
    shared: Path
    profiles: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def argv(self, *words: str) -> list[str]:
        return [*COMMAND, "fleet", *words, "--json"]

    def begin(self, *words: str) -> list[str]:
        where = ["--cluster", "slurm", "--shared", str(self.shared), "--profile-dir", str(self.profiles)]
        return self.argv("--profiles", "small", *where, "--cores", "2", *words)

    def forget_wheels(self) -> None:
        """What an earlier test built from the same inputs would be taken again; the compile cache stays warm."""
        shutil.rmtree(self.shared / "builds", ignore_errors=True)
        shutil.rmtree(self.shared / "cache" / "trtllm-builder" / "wheels", ignore_errors=True)

    def journal(self) -> list[dict[str, Any]]:
        """What became of the build in its workspace."""
        text = (self.shared / "builds" / "small" / "workspace" / "journal.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def assert_one_run(self) -> None:
        """Begun once and gone on with: what was finished before was not done again."""
        events = self.journal()
        assert len({event["id"] for event in events if event["event"] == "run"}) == 1
        assert [one["why"] for one in events if one["event"] == "begin" and one["stage"] == "patch"] == [""]

    def run(self, argv: list[str], expect: int) -> list[dict[str, Any]]:
        done = subprocess.run(argv, env=self.cluster.environ, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def follow(self, argv: list[str]) -> subprocess.Popen[str]:
        child = subprocess.Popen(argv, env=self.cluster.environ, stdout=subprocess.PIPE, text=True)
        self.started.append(child)
        return child


@pytest.fixture
def fleets(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Fleets]:
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    # The session's, so that the compile cache is warm after the first test.
    shared = cluster.root / "shared"
    (profiles / "small.yaml").write_text("schema: 1\nextends: canary\n")
    made = Fleets(cluster, shared, profiles)
    yield made
    for child in made.started:
        if child.poll() is None:
            child.kill()
        child.communicate()
