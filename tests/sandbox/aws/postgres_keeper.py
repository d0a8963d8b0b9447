"""Runs a program of PostgreSQL, which refuses to be root, and sees to it that a server ends with whoever started it.

    python postgres_keeper.py run OWN_DIRECTORY PROGRAM [ARGUMENT …]
    python postgres_keeper.py keep OWN_DIRECTORY PROGRAM [ARGUMENT …]

`run` becomes the program. `keep` starts it and stops it: politely when standard input says `stop`, at once when standard
input ends, which the operating system sees to however the parent dies. If the keeper itself is killed, Linux ends the
server. Nothing but the standard library is imported, so that it starts in a few milliseconds.

Root becomes another user of the machine in a user namespace of the program's own, in which what belongs to root belongs to
that user; so nothing on disk has to change hands. Where namespaces are forbidden, as in some containers, it becomes that
user in earnest, who is given OWN_DIRECTORY and must be able to reach the programs.
"""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
import threading

# linux/sched.h and linux/prctl.h.
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1

# "Shutting Down the Server" (PostgreSQL documentation): SIGINT is the fast shutdown, SIGQUIT the immediate one.
POLITELY, AT_ONCE = signal.SIGINT, signal.SIGQUIT
SECONDS_TO_END = 2


def main():
    mode, own_directory, *command = sys.argv[1:]
    if os.geteuid() == 0:
        _stop_being_root(own_directory)
    if mode == "run":
        os.execv(command[0], command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_end_with_parent)
    signal.signal(signal.SIGTERM, lambda *_: server.send_signal(AT_ONCE))
    threading.Thread(target=_obey, args=(server,), daemon=True).start()
    sys.exit(abs(server.wait()))


def _obey(server):
    while said := os.read(sys.stdin.fileno(), 16):
        if said.startswith(b"stop"):
            server.send_signal(POLITELY)
    server.send_signal(AT_ONCE)
    try:
        server.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        server.kill()


def _end_with_parent():
    # SIGINT is ignored by the keeper, and what is ignored stays so in a program that is started.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, AT_ONCE)


def _stop_being_root(own_directory):
    other = next(user for user in pwd.getpwall() if user.pw_uid != 0)
    if _enter_namespace_as(other):
        return
    os.chown(own_directory, other.pw_uid, other.pw_gid)
    os.setgroups([])
    os.setgid(other.pw_gid)
    os.setuid(other.pw_uid)


def _enter_namespace_as(user):
    if sys.platform != "linux" or ctypes.CDLL(None).unshare(CLONE_NEWUSER) != 0:
        return False
    for name, text in (("setgroups", "deny"), ("gid_map", f"{user.pw_gid} 0 1"), ("uid_map", f"{user.pw_uid} 0 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    return True


if __name__ == "__main__":
    main()
