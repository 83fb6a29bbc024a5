"""The scan kernel of numba: counts bits in vector registers and keeps the best rows.

A tile compares ``8 * groups`` rows with a few queries. Its distances stay in registers while the
words of the rows are read. They are then compared with the worst row that each query keeps, and
only a tile with a better row goes through the selection. numba does not vectorize this loop: a
store of distances inside of it prevents that. So the tile is written in LLVM's intermediate
language, with vectors of 8 x 64 bits, which LLVM maps to the instructions of the processor: one
population count per vector with AVX-512 VPOPCNTDQ, table lookups with AVX2, CNT with NEON.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from qadapt.engines.base import KEY_SHIFT
from qadapt.jit import Kernel

_LANES = 8
# Codes that are compared with all queries before the next ones are read: they stay in the L2 cache.
_CHUNK_BYTES = 512 * 1024

_I64 = ir.IntType(64)
_VECTOR = ir.VectorType(_I64, _LANES)


class _Tile:
    """Emits the instructions of one tile.

    Args:
        builder: builder of LLVM instructions.
        bits: bits per dimension of the query. 1 counts differing bits (XOR); more are planes in
            two's complement, which are multiplied with the codes (AND).
        queries: number of queries.
        groups: number of vectors of 8 rows.
    """

    def __init__(self, builder: Any, bits: int, queries: int, groups: int) -> None:
        self._builder = builder
        self._bits, self._queries, self._groups = bits, queries, groups

    def counts(self, codes: Any, row: Any, planes: Any) -> list[Any]:
        """Loop over the words; a vector of counts per plane and group of rows."""
        b = self._builder
        words, stride = cgutils.unpack_tuple(b, codes.shape)
        entry = b.block
        loop, done = b.append_basic_block("words"), b.append_basic_block("counted")
        b.branch(loop)
        b.position_at_end(loop)
        word = b.phi(_I64)
        width = self._bits * self._queries
        sums = [b.phi(_VECTOR) for _ in range(width * self._groups)]
        at = b.gep(codes.data, [b.add(b.mul(word, stride), row)])
        loaded = [self._load(at, group) for group in range(self._groups)]
        added = []
        for plane in range(width):
            place = b.add(b.mul(word, _I64(width)), _I64(plane))
            query = self._splat(b.load(b.gep(planes, [place])))
            for group, vector in enumerate(loaded):
                mixed = b.xor(vector, query) if self._bits == 1 else b.and_(vector, query)
                added.append(b.add(sums[plane * self._groups + group], self._popcount(mixed)))
        following = b.add(word, _I64(1))
        word.add_incoming(_I64(0), entry)
        word.add_incoming(following, loop)
        for held, new in zip(sums, added, strict=True):
            held.add_incoming(_VECTOR([0] * _LANES), entry)
            held.add_incoming(new, loop)
        b.cbranch(b.icmp_signed("<", following, words), loop, done)
        b.position_at_end(done)
        return added

    def distances(self, counts: list[Any], offsets: Any) -> list[Any]:
        """A vector of distances per query and group: ``offset - product`` for several bits."""
        if self._bits == 1:
            return counts
        b = self._builder
        found = []
        for query in range(self._queries):
            offset = self._splat(b.load(b.gep(offsets, [_I64(query)])))
            for group in range(self._groups):
                left = offset
                for bit in range(self._bits):
                    count = counts[(query * self._bits + bit) * self._groups + group]
                    part = b.shl(count, _VECTOR([bit] * _LANES))
                    # The highest plane of two's complement has a negative weight.
                    left = b.add(left, part) if bit == self._bits - 1 else b.sub(left, part)
                found.append(left)
        return found

    def below(self, distances: list[Any], limits: Any, out: Any) -> Any:
        """Store the distances in ``out``; i64 with a bit for each that is below the limit of its
        query, in the order of ``out``."""
        b = self._builder
        near = []
        for query in range(self._queries):
            limit = self._splat(b.load(b.gep(limits, [_I64(query)])))
            for group in range(self._groups):
                number = query * self._groups + group
                place = b.gep(out, [_I64(number * _LANES)])
                stored = b.store(distances[number], b.bitcast(place, _VECTOR.as_pointer()))
                stored.align = 8
                near.append(b.icmp_signed("<", distances[number], limit))
        while len(near) > 1:
            near = [self._joined(*near[at : at + 2]) for at in range(0, len(near), 2)]
        width = near[0].type.count
        bits = b.bitcast(near[0], ir.IntType(width))
        return bits if width == 64 else b.zext(bits, _I64)

    def _joined(self, left: Any, right: Any) -> Any:
        count = 2 * left.type.count
        order = ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(count)))
        return self._builder.shuffle_vector(left, right, order)

    def _load(self, at: Any, group: int) -> Any:
        b = self._builder
        place = b.gep(at, [_I64(group * _LANES)])
        vector = b.load(b.bitcast(place, _VECTOR.as_pointer()))
        vector.align = 8
        return vector

    def _splat(self, value: Any) -> Any:
        empty = ir.Constant(_VECTOR, ir.Undefined)
        index = ir.IntType(32)
        first = self._builder.insert_element(empty, value, index(0))
        lanes = ir.Constant(ir.VectorType(index, _LANES), [0] * _LANES)
        return self._builder.shuffle_vector(first, empty, lanes)

    def _popcount(self, vector: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [_VECTOR])
        module = self._builder.module
        count = cgutils.get_or_insert_function(module, kind, f"llvm.ctpop.v{_LANES}i64")
        return self._builder.call(count, [vector])


def _typed_tile(
    typing: Any,
    bits: Any,
    queries: Any,
    groups: Any,
    codes: Any,
    row: Any,
    planes: Any,
    offsets: Any,
    limits: Any,
    out: Any,
) -> Any:
    """Type and code of a tile; the sizes are the lengths of the tuples ``bits`` to ``groups``."""
    signature = types.int64(bits, queries, groups, codes, row, planes, offsets, limits, out)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def array(number: int) -> Any:
            return context.make_array(signature.args[number])(context, builder, args[number])

        tile = _Tile(builder, bits.count, queries.count, groups.count)
        counts = tile.counts(array(3), args[4], array(5).data)
        distances = tile.distances(counts, array(6).data)
        return tile.below(distances, array(7).data, array(8).data)

    return signature, generate


_tile = intrinsic(_typed_tile)


@register_jitable
def _select(keys, k):  # type: ignore[no-untyped-def]
    """Move the ``k`` smallest of distinct keys to the front; their largest is ``keys[k - 1]``."""
    low, high = 0, len(keys) - 1
    while low < high:
        left, middle, right = keys[low], keys[(low + high) // 2], keys[high]
        pivot = max(min(left, middle), min(max(left, middle), right))
        i, j = low, high
        while i <= j:
            while keys[i] < pivot:
                i += 1
            while keys[j] > pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            break


def _scan(  # type: ignore[no-untyped-def]
    bits, queries, groups, codes, count, first, numbers, allowed, planes, offsets, limits, best,
    filled, k,
):  # fmt: skip
    """Compare the rows of a block with all queries, and keep the best keys.

    Keys are appended until there is no room, and then reduced to the best ``k``: for k of 100 and
    more, a heap takes longer than the comparison of the bits.

    Args:
        bits, queries, groups: tuples; their lengths are the sizes of a tile.
        codes: uint64 (w, >= count), C order: the words of a column are together.
        count: number of rows.
        first: row number of the first row.
        numbers: int64 (count,) row numbers, instead of ``first``; or empty.
        allowed: bool (count,), rows that may be kept; or empty.
        planes: uint64 (tiles, w * queries * bits), the words of all queries of a tile together.
        offsets: int64 (tiles * queries,), largest product of a query; not used for 1 bit.
        limits: int64 (tiles * queries,), rows at this distance or more are not kept.
        best: int64 (tiles * queries, room), keys ``distance << KEY_SHIFT | row``. The best ``k``
            are among them.
        filled: int64 (tiles * queries,), keys before which the others may be overwritten.
        k: number of keys to keep, less than ``room``.
    """
    held = len(queries)
    height = _LANES * len(groups)
    lanes = (1 << height) - 1
    words = codes.shape[0]
    room = best.shape[1]
    out = np.empty(held * height, dtype=np.int64)
    whole = count - count % height
    tail = np.zeros((words, height), dtype=np.uint64)
    tail[:, : count - whole] = codes[:, whole:count]
    chunk = max(1, _CHUNK_BYTES // (8 * words * height)) * height
    for begin in range(0, count, chunk):
        for group in range(len(planes)):
            some = group * held
            for row in range(begin, min(begin + chunk, count), height):
                size = min(height, count - row)
                if len(allowed):
                    open_rows = False
                    for i in range(row, row + size):
                        open_rows |= allowed[i]
                    if not open_rows:
                        continue
                if size == height:
                    near = _tile(
                        bits, queries, groups, codes, row, planes[group], offsets[some:],
                        limits[some:], out,
                    )  # fmt: skip
                else:
                    near = _tile(
                        bits, queries, groups, tail, 0, planes[group], offsets[some:],
                        limits[some:], out,
                    )  # fmt: skip
                if not near:
                    continue
                for query in range(held):
                    below = near >> (query * height)
                    if not below & lanes:
                        continue
                    limit = limits[some + query]
                    keys = best[some + query]
                    have = filled[some + query]
                    for i in range(size):
                        if not (below >> i) & 1:
                            continue
                        distance = out[query * height + i]
                        if distance >= limit or (len(allowed) and not allowed[row + i]):
                            continue
                        number = numbers[row + i] if len(numbers) else first + row + i
                        keys[have] = (distance << KEY_SHIFT) | number
                        have += 1
                        if have == room:
                            _select(keys, k)
                            have = k
                            limit = keys[k - 1] >> KEY_SHIFT
                    filled[some + query] = have
                    limits[some + query] = limit


scan = Kernel(_scan, "scan of bits")
