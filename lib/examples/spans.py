#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Spans and an arena from Python, by cffi: what the library has, as <pagespan/ffi.h> declares it.

usage: spans.py HEADER [LIBRARY]
"""
import os
import sys

import cffi

ffi = cffi.FFI()
with open(sys.argv[1], encoding="ascii") as header:
    ffi.cdef(header.read())
lib = ffi.dlopen(sys.argv[2] if len(sys.argv) > 2 else "libpagespan-ffi.so.1")


def checked(pointer):
    """The pointer, or the error that the library left in errno."""
    if pointer == ffi.NULL:
        raise OSError(ffi.errno, os.strerror(ffi.errno))
    return pointer


class Span:
    """Pages as a writable buffer, for as long as the object lives."""

    def __init__(self, pages):
        self.bytes = pages * lib.PS_PAGE_SIZE
        self.start = checked(lib.ps_span_alloc(self.bytes))
        self.buffer = memoryview(ffi.buffer(self.start, self.bytes))

    def keep(self, pages):
        """Gives back the pages behind the first ones."""
        kept = pages * lib.PS_PAGE_SIZE
        self.buffer = self.buffer[:kept]
        lib.ps_span_free(ffi.cast("char *", self.start) + kept, self.bytes - kept)
        self.bytes = kept

    def __del__(self):
        lib.ps_span_free(self.start, self.bytes)


span = Span(100)
with open(__file__, "rb") as source:
    length = source.readinto(span.buffer)
span.keep(length // lib.PS_PAGE_SIZE + 1)
lines = bytes(span.buffer[:length]).count(b"\n")

arena = checked(lib.ps_arena_create(ffi.NULL))
words = [lib.ps_strdup(arena, word) for word in bytes(span.buffer[:length]).split()]
text = b" ".join(ffi.string(checked(word)) for word in words)
lib.ps_arena_destroy(arena)

stats = ffi.new("struct ps_stats *")
lib.ps_stats(stats, ffi.sizeof("struct ps_stats"))
print(f"{lines} lines, {len(text.split())} words on the {ffi.string(lib.ps_backend()).decode()} backend,"
      f" {stats.bytes_held // lib.PS_PAGE_SIZE} pages held")
