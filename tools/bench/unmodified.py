# SPDX-License-Identifier: MIT
"""
A program that knows nothing of spans: objects of all sizes, text, sorting, threads, os.fork and
multiprocessing.  What it prints depends on its argument alone.

usage: unmodified.py SCALE [FIGURES [MODULES]]
FIGURES gets "peak" and "after", the KiB that the process held with all its data and without;
MODULES the files of the modules that were loaded.
"""
import glob
import json
import multiprocessing
import multiprocessing.pool
import multiprocessing.popen_fork
import multiprocessing.queues
import multiprocessing.synchronize
import os
import re
import sys
import threading
import zlib


def digest(thing):
    return "%08x" % zlib.crc32(json.dumps(thing, sort_keys=True).encode())


def numbers(seed):
    while True:
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        yield seed >> 33


def words(seed, count):
    source = numbers(seed)
    return ["w%x" % (next(source) % 5000) * (1 + next(source) % 5) for _ in range(count)]


def index(seed, count):
    found = {}
    for place, word in enumerate(words(seed, count)):
        found.setdefault(word, []).append(place)
    return found


def buffers(count):
    source = numbers(count)
    kept = []
    for i in range(count):
        kept.append(bytearray([i % 256]) * (1 + next(source) % 200000))
        if len(kept) > 40:
            kept.pop(next(source) % len(kept))
    return sum(len(b) + b[0] for b in kept)


def text(count):
    page = " ".join(words(5, count))
    page = re.sub(r"w(\w)", lambda m: m.group(1).upper(), page)
    return digest(sorted(page.split())[::97])


def in_child(work):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.write(writer, digest(work()).encode())
        os._exit(0)
    os.close(writer)
    said = os.read(reader, 100).decode()
    os.close(reader)
    return said, os.waitpid(child, 0)[1]


def in_threads(count):
    results = {}

    def work(i):
        results[i] = digest(index(i, count))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    # A child while they allocate.
    forked = in_child(lambda: index(77, count))
    for thread in threads:
        thread.join()
    return forked, sorted(results.items())


def held():
    """KiB of spans, of a client once, whichever descriptors there are of it, and of anonymous memory."""
    total = 0
    clients = set()
    for path in ["/proc/self/status", *glob.glob("/proc/self/fdinfo/*")]:
        try:
            with open(path) as lines:
                fields = dict(line.split(None, 1) for line in lines if len(line.split()) > 1)
            client = fields.get("pagespan-client-id:")
            if client not in clients:
                total += sum(int(fields[name].split()[0]) for name in ("RssAnon:", "pagespan-memory-owned:")
                             if name in fields)
            if client:
                clients.add(client)
        except FileNotFoundError:
            pass
    return total


def main():
    scale = int(sys.argv[1])
    data = [index(seed, 3000 * scale) for seed in range(4)]
    blocks = [bytearray(100000) for _ in range(60 * scale)]
    print("index", digest(data[0]), sum(len(b) for b in blocks))
    print("child", in_child(lambda: data[1]))
    with multiprocessing.Pool(2) as pool:
        print("pool", pool.starmap(buffers, [(30 * scale,), (40 * scale,)]))
    print("threads", in_threads(600 * scale))
    print("text", text(3000 * scale))
    print("buffers", buffers(150 * scale))
    peak = held()
    del data, blocks
    after = held()
    if len(sys.argv) > 2:
        with open(sys.argv[2], "w") as figures:
            print("peak", peak, file=figures)
            print("after", after, file=figures)
    if len(sys.argv) > 3:
        with open(sys.argv[3], "w") as modules:
            for module in list(sys.modules.values()):
                for name in "__file__", "__cached__":
                    if getattr(module, name, None):
                        print(getattr(module, name), file=modules)


main()
