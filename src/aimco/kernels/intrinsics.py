"""Scalar pieces of compiled kernels, written so that the loop around them becomes wide vector code.

Numba widens arithmetic on uint32 to 64 bits, which costs three instructions for one in a vector loop, so
the mixing of random words is given to the compiler in 32 bits here. Each piece equals its definition in
`aimco.rng`, by test.
"""

from __future__ import annotations

import operator

import numba as nb
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from aimco.rng import ROUGH_MEAN, ROUGH_SCALE

_I32, _F32 = ir.IntType(32), ir.FloatType()


def _word(value):
    return ir.Constant(_I32, value)


def _real(value):
    return ir.Constant(_F32, float(np.float32(value)))


def _hash(builder, x):
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = builder.mul(builder.xor(x, builder.lshr(x, _word(shift))), _word(factor))
    return builder.xor(x, builder.lshr(x, _word(16)))


@intrinsic
def hash32(typing, x):
    """`aimco.rng.hash32` of one word."""
    return nb.uint32(nb.uint32), lambda context, builder, signature, args: _hash(builder, args[0])


@intrinsic
def hash_add(typing, x, y):
    """hash32(x + y) in 32 bits."""

    def code(context, builder, signature, args):
        return _hash(builder, builder.add(*args))

    return nb.uint32(nb.uint32, nb.uint32), code


@intrinsic
def rough_normal(typing, h):
    """`aimco.rng.rough_normal` of one word. Asks the compiler for full-width vectors
    in the loop around it (half-width by default: 1.5 x slower); a function keeps that wish only while it is not inlined."""

    def code(context, builder, signature, args):
        builder.function.attributes.add("noinline")
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        (h,) = args
        u = builder.fmul(builder.uitofp(builder.lshr(h, _word(24)), _F32), _real(2.0**-8))
        z = builder.fadd(builder.sitofp(builder.ctpop(builder.and_(h, _word(0xFFFFFF))), _F32), u)
        return builder.fmul(builder.fsub(z, _real(ROUGH_MEAN)), _real(ROUGH_SCALE))

    return nb.float32(nb.uint32), code


@intrinsic
def coincidences(typing, x, d):
    """Number of slots in which both pulse trains have a pulse (the sign bit left out), int32."""

    def code(context, builder, signature, args):
        return builder.ctpop(builder.and_(builder.and_(*args), _word(0x7FFFFFFF)))

    return nb.int32(nb.uint32, nb.uint32), code


@intrinsic
def add32(typing, x, y):
    """x + y in 32 bits: a 64-bit sum in a loop halves the width of its vectors."""
    return nb.int32(nb.int32, nb.int32), lambda context, builder, signature, args: builder.add(*args)


@intrinsic
def prefetch(typing, row, k):
    """Ask for the memory that holds element k of an array as it lies, which is soon needed, without waiting for it."""

    def code(context, builder, signature, args):
        pointer = ir.IntType(8).as_pointer()
        place = builder.gep(context.make_array(signature.args[0])(context, builder, args[0]).data, [args[1]])
        kind = ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        builder.call(ask, [builder.bitcast(place, pointer), _word(0), _word(3), _word(1)])  # a read, to be kept, of data
        return context.get_dummy_value()

    return nb.void(row, nb.int64), code


def _chosen(typing, x, y, compare):
    """Code of the one of two numbers that a comparison asks for, the first where it is not true."""
    kind = typing.unify_types(x, y)

    def code(context, builder, signature, args):
        first, second = (context.cast(builder, value, given, kind) for value, given in zip(args, signature.args, strict=True))
        better = context.get_function(compare, nb.boolean(kind, kind))(builder, (second, first))
        return builder.select(better, second, first)

    return kind(x, y), code


@intrinsic
def lesser(typing, x, y):
    """min(x, y), in a hundredth of the time that Numba takes to compile it."""
    return _chosen(typing, x, y, operator.lt)


@intrinsic
def greater(typing, x, y):
    """max(x, y), see `lesser`."""
    return _chosen(typing, x, y, operator.gt)


@intrinsic
def any_of_eight(typing, marks, k):
    """Whether any of the eight bytes of an array from place k on is not 0."""

    def code(context, builder, signature, args):
        place = builder.gep(context.make_array(signature.args[0])(context, builder, args[0]).data, [args[1]])
        eight = builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)
        return builder.icmp_unsigned("!=", eight, ir.Constant(ir.IntType(64), 0))

    return nb.boolean(marks, nb.int64), code


@intrinsic
def same_sign(typing, x, d):
    """True where the sign bits of two pulse trains agree."""

    def code(context, builder, signature, args):
        return builder.icmp_signed(">=", builder.xor(*args), _word(0))

    return nb.boolean(nb.uint32, nb.uint32), code


@intrinsic
def magnitude(typing, v):
    """Bits of |v|, int32, which are in the order of the numbers they stand for: the largest of many becomes vector code."""

    def code(context, builder, signature, args):
        return builder.and_(builder.bitcast(args[0], _I32), _word(0x7FFFFFFF))

    return nb.int32(nb.float32), code


@intrinsic
def from_magnitude(typing, bits):
    """The number whose `magnitude` this is."""
    return nb.float32(nb.int32), lambda context, builder, signature, args: builder.bitcast(args[0], _F32)


@intrinsic
def nearest(typing, v):
    """Nearest whole number, halves to the even one, as numpy and torch round."""

    def code(context, builder, signature, args):
        return builder.call(builder.module.declare_intrinsic("llvm.rint", [_F32]), args)

    return nb.float32(nb.float32), code


@intrinsic
def two_slots(typing, h, threshold, slot):
    """Pulses of slots `slot` and `slot + 1`: each half of the random word h fires below the 17-bit threshold."""

    def code(context, builder, signature, args):
        h, threshold, slot = args
        first = builder.zext(builder.icmp_unsigned("<", builder.and_(h, _word(0xFFFF)), threshold), _I32)
        second = builder.zext(builder.icmp_unsigned("<", builder.lshr(h, _word(16)), threshold), _I32)
        pair = builder.or_(first, builder.shl(second, _word(1)))
        return builder.shl(pair, slot)

    return nb.uint32(nb.uint32, nb.uint32, nb.uint32), code


@intrinsic
def lowest_slot(typing, word):
    """Index of the lowest set bit; the word must not be 0."""

    def code(context, builder, signature, args):
        return builder.cttz(args[0], context.get_constant(nb.types.boolean, True))

    return nb.uint32(nb.uint32), code


@nb.njit(inline="always")
def after_lowest(word):
    """The word without its lowest set bit."""
    return np.uint32(word & np.uint32(word - np.uint32(1)))


@nb.njit(cache=True)
def base(key, step):
    """`aimco.rng.base`."""
    z = np.uint64(key + np.uint64(step + 1) * np.uint64(0x9E3779B97F4A7C15))
    z = np.uint64((z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9))
    z = np.uint64((z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB))
    return np.uint32((z ^ (z >> np.uint64(31))) >> np.uint64(32))
