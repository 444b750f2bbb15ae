# SPDX-License-Identifier: MIT
#
# For gdb: stops lib_arena_slow at every instruction of the slow path, and from each wants a
# backtrace that leads through slow_outer() to main(). Prints KTAP.
#
# A native program is stepped through all that slow_outer() calls. One in an emulator, which waits
# at PAGESPAN_GDB_REMOTE, cannot be: there every instruction of the part that is written in assembly
# has a breakpoint of its own, good for one stop.
import os

import gdb

LIMIT = 60000


def names():
    found = []
    frame = gdb.newest_frame()
    while frame is not None and len(found) < 32:
        found.append(frame.name())
        frame = frame.older()
    return found


class Walk:
    def __init__(self):
        self.steps = 0
        self.bad = []

    def look(self):
        found = names()
        self.steps += 1
        if "slow_outer" not in found or found[-1] != "main":
            self.bad.append("%#x: %s" % (gdb.newest_frame().pc(), found))


def step_natively():
    walk = Walk()
    gdb.execute("continue", to_string=True)
    while walk.steps < LIMIT:
        # Code of others, which has no line numbers, is left at once: the kernel's may loop for ever
        # when it is interrupted often enough.
        foreign = gdb.find_pc_line(gdb.newest_frame().pc()).symtab is None
        gdb.execute("finish" if foreign else "stepi", to_string=True)
        name = gdb.newest_frame().name()
        if name != "slow_outer":
            if name and name.startswith(("call_traced", "unwinds_on", "main")):
                break
            walk.look()
    return walk


def stop_at_each():
    walk = Walk()
    gdb.execute("continue", to_string=True)
    listing = gdb.execute("disassemble ps_arena_refill_preserving", to_string=True)
    for line in listing.splitlines():
        if line.lstrip().startswith("0x"):
            gdb.execute("tbreak *" + line.split()[0], to_string=True)
    while walk.steps < LIMIT:
        gdb.execute("continue", to_string=True)
        if not gdb.selected_inferior().pid:
            break
        if gdb.newest_frame().name() == "ps_arena_refill_preserving":
            walk.look()
    return walk


def report(number, promise, walk):
    for line in walk.bad[:3]:
        print("# " + line)
    print("# %d instructions, %d of them bad" % (walk.steps, len(walk.bad)))
    good = 20 < walk.steps < LIMIT and not walk.bad
    print("%s %d %s" % ("ok" if good else "not ok", number, promise))


gdb.execute("set pagination off")
gdb.execute("set confirm off")
gdb.execute("break *slow_outer", to_string=True)
gdb.execute("handle SIGALRM nostop noprint pass", to_string=True)
remote = os.environ.get("PAGESPAN_GDB_REMOTE")
if remote:
    gdb.execute("target remote " + remote, to_string=True)
    report(1, "gdb_unwinds_at_every_instruction", stop_at_each())
    print("1..1")
else:
    gdb.execute("handle SIGUSR1 SIGTRAP nostop noprint nopass", to_string=True)
    gdb.execute("set startup-with-shell off")
    gdb.execute("starti 0", to_string=True)
    report(1, "gdb_unwinds_what_the_cache_serves_at_every_instruction", step_natively())
    report(2, "gdb_unwinds_the_long_way_at_every_instruction", step_natively())
    print("1..2")
if gdb.selected_inferior().pid:
    gdb.execute("kill")
