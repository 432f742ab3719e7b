"""The kernel on another machine over ssh: as far as one machine can show it, with an sshd of its own."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

from conftest import TIMEOUT, Client

SSHD = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """What to give ssh to come to the other machine."""
    if not SSHD or not shutil.which("ssh"):
        pytest.skip("no sshd here: apt-get install openssh-server openssh-client")
    if os.getuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    d = tmp_path_factory.mktemp("ssh")
    for name in ("host", "me"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", d / name], check=True)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    (d / "sshd.conf").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {d}/host\nAuthorizedKeysFile {d}/me.pub\n"
        f"StrictModes no\nUsePAM no\nPidFile none\n"
    )
    (d / "ssh.conf").write_text(
        f"Host node\n HostName 127.0.0.1\n User {getpass.getuser()}\n Port {port}\n IdentityFile {d}/me\n IdentityAgent none\n"
        "UserKnownHostsFile /dev/null\n StrictHostKeyChecking no\n LogLevel ERROR\n"
    )
    daemon = subprocess.Popen([SSHD, "-D", "-e", "-f", d / "sshd.conf"], stderr=(d / "log").open("w"))
    try:
        for _ in range(100):
            if subprocess.run(["ssh", "-F", d / "ssh.conf", "-o", "BatchMode=yes", "node", "true"]).returncode == 0:
                break
            time.sleep(0.1)
        else:
            pytest.skip("nobody may come in by ssh here: " + (d / "log").read_text())
        yield f"-F {d}/ssh.conf node"
    finally:
        daemon.terminate()
        daemon.wait()


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def until_gone(pid):
    end = time.time() + TIMEOUT
    while not gone(pid):
        assert time.time() < end, f"process {pid} is still there"
        time.sleep(0.1)


@pytest.fixture
def remote(node, gonvex):
    client = Client(flags=("--ssh", node, "--remote-gonvex", gonvex))
    yield client
    client.close()


def test_cells_run_there(remote):
    assert remote.text('fmt.Print(os.Getenv("SSH_CONNECTION") != "")') == "true"
    assert remote.text("x := 20\nx + 1") == "21"


def test_interrupt(remote):
    client = remote.client
    message = client.execute('fmt.Println("begun")\nfor {\n}')
    while client.get_iopub_msg(timeout=TIMEOUT)["msg_type"] != "stream":
        pass
    remote.manager.interrupt_kernel()
    reply = client.get_shell_msg(timeout=TIMEOUT)
    assert reply["parent_header"]["msg_id"] == message and reply["content"]["status"] == "error"
    assert remote.text("1 + 1") == "2"


def test_restart(remote):
    pid = int(remote.text("fmt.Print(os.Getppid())"))
    remote.manager.restart_kernel(now=False)
    remote.client.wait_for_ready(timeout=TIMEOUT)
    assert int(remote.text("fmt.Print(os.Getppid())")) != pid
    until_gone(pid)


def test_ends_with_its_connection(remote):
    """However this end goes, nothing is left there."""
    pid = int(remote.text("fmt.Print(os.Getppid())"))
    os.kill(remote.manager.provisioner.pid, signal.SIGKILL)
    until_gone(pid)


@pytest.mark.parametrize(
    "host, there, says",
    [("NODE", "/nowhere/gonvex", "--remote-gonvex"), ("nobody@127.0.0.1 -p 1", "gonvex", "without a password")],
)
def test_says_what_is_wrong(node, gonvex, tmp_path, host, there, says):
    from jupyter_client.connect import write_connection_file

    file, _ = write_connection_file(str(tmp_path / "connection.json"))
    command = [gonvex, "kernel", "-f", file, "--ssh", node if host == "NODE" else host, "--remote-gonvex", there]
    run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert run.returncode == 1 and says in run.stderr, run.stderr
