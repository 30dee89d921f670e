"""Compiled as `kernels` are: BLAKE2b (RFC 7693) of many texts, LANES of them side by side.

hashlib takes one text after the other, at two or three times the cost; the digests are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNATURES = {"digests": "nothing uint8 int64 int64 number uint8 uint64 uint64 uint64"}
HELPERS = ("upto_eight", "filled", "stirred", "compressed")

LANES = 16
"""Texts side by side. A number of each stands one behind the other, so that one instruction works on several; with 8,
LLVM unrolls the loops over them and does not see it."""
STATE, MESSAGE, TURN, CHAIN, SEEN, LAST, GOES_ON = (LANES * at for at in (0, 16, 32, 48, 56, 57, 58))
"""Where in `room` they begin: the working vector, 16 words of the messages, these as a round takes them, what is
chained from block to block; how many bytes were seen, whether that is the end, and whether there was any left (all
bits or none)."""
ROOM = 59 * LANES
BLOCK, ROUNDS = 128, 12
PARAMETERS = 0x01010000
"""No key, one leaf; the digest's length is in the lowest byte."""
ALL = 0xFFFFFFFFFFFFFFFF

INITIAL = (
    0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
    0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
)  # fmt: skip
ORDERS = bytes.fromhex(
    "000102030405060708090a0b0c0d0e0f" "0e0a0408090f0d06010c00020b070503" "0b080c0005020f0d0a0e030607010904"
    "070903010d0c0b0e0206050a04000f08" "0900050702040a0f0e010b0c0608030d" "020c060a000b0803040d07050f0e0109"
    "0c05010f0e0d040a000706030902080b" "0d0b070e0c01030905000f040806020a" "060f0e090b0300080c020d0701040a05"
    "0a020804070601050f0b090e030c0d00" "000102030405060708090a0b0c0d0e0f" "0e0a0408090f0d06010c00020b070503"
)  # fmt: skip
"""In which order each round takes the words of the message."""


def upto_eight(data: NDArray[np.uint8], at: int, left: int) -> np.uint64:
    """The next eight bytes as a number, or the `left` ones, which may be none."""
    value = np.uint64(0)
    if left >= 8:
        for place in range(8):
            value |= np.uint64(data[at + place]) << np.uint64(8 * place)
        return value
    for place in range(left):
        value |= np.uint64(data[at + place]) << np.uint64(8 * place)
    return value


def filled(room: NDArray[np.uint64], lane: int, data: NDArray[np.uint8], start: int, length: int, at: int) -> None:
    """Put the next block of a text into its lane."""
    left = length - at
    room[SEEN + lane] = np.uint64(min(at + BLOCK, length))
    room[LAST + lane] = np.uint64(ALL) if left <= BLOCK else np.uint64(0)
    room[GOES_ON + lane] = np.uint64(ALL) if left > 0 or at == 0 else np.uint64(0)
    for word in range(16):
        room[MESSAGE + word * LANES + lane] = upto_eight(data, start + at + 8 * word, left - 8 * word)


def stirred(room: NDArray[np.uint64], a: int, b: int, c: int, d: int, words: int) -> None:
    """G of RFC 7693, on these numbers of the working vector and two words."""
    for lane in range(LANES):
        first, second = room[STATE + a * LANES + lane], room[STATE + b * LANES + lane]
        third, fourth = room[STATE + c * LANES + lane], room[STATE + d * LANES + lane]
        first += second + room[TURN + words * LANES + lane]
        fourth ^= first
        fourth = (fourth >> np.uint64(32)) | (fourth << np.uint64(32))
        third += fourth
        second ^= third
        second = (second >> np.uint64(24)) | (second << np.uint64(40))
        first += second + room[TURN + (words + 1) * LANES + lane]
        fourth ^= first
        fourth = (fourth >> np.uint64(16)) | (fourth << np.uint64(48))
        third += fourth
        second ^= third
        second = (second >> np.uint64(63)) | (second << np.uint64(1))
        room[STATE + a * LANES + lane], room[STATE + b * LANES + lane] = first, second
        room[STATE + c * LANES + lane], room[STATE + d * LANES + lane] = third, fourth


def compressed(room: NDArray[np.uint64], orders: NDArray[np.uint8], initial: NDArray[np.uint64]) -> None:
    """F of RFC 7693, on all lanes."""
    for index in range(8):
        for lane in range(LANES):
            room[STATE + index * LANES + lane] = room[CHAIN + index * LANES + lane]
            room[STATE + (8 + index) * LANES + lane] = initial[index]
    for lane in range(LANES):
        room[STATE + 12 * LANES + lane] ^= room[SEEN + lane]
        room[STATE + 14 * LANES + lane] ^= room[LAST + lane]
    for turn in range(ROUNDS):
        for word in range(16):
            source = MESSAGE + np.int64(orders[16 * turn + word]) * LANES
            for lane in range(LANES):
                room[TURN + word * LANES + lane] = room[source + lane]
        stirred(room, 0, 4, 8, 12, 0)
        stirred(room, 1, 5, 9, 13, 2)
        stirred(room, 2, 6, 10, 14, 4)
        stirred(room, 3, 7, 11, 15, 6)
        stirred(room, 0, 5, 10, 15, 8)
        stirred(room, 1, 6, 11, 12, 10)
        stirred(room, 2, 7, 8, 13, 12)
        stirred(room, 3, 4, 9, 14, 14)
    for index in range(8):
        for lane in range(LANES):
            found = room[STATE + index * LANES + lane] ^ room[STATE + (8 + index) * LANES + lane]
            room[CHAIN + index * LANES + lane] ^= found & room[GOES_ON + lane]


def digests(
    data: NDArray[np.uint8], bounds: NDArray[np.int64], order: NDArray[np.int64], texts: int,
    orders: NDArray[np.uint8], initial: NDArray[np.uint64], room: NDArray[np.uint64], made: NDArray[np.uint64],
) -> None:  # fmt: skip
    """16 bytes of each text. `order` has the texts by their length, so that those side by side end together."""
    for first in range(0, texts, LANES):
        many = min(LANES, texts - first)
        for lane in range(LANES):
            for index in range(8):
                room[CHAIN + index * LANES + lane] = initial[index]
            room[CHAIN + lane] ^= np.uint64(PARAMETERS | 16)
        longest = order[first + many - 1]
        for at in range(0, max(bounds[longest + 1] - bounds[longest], 1), BLOCK):
            for lane in range(LANES):
                text = order[first + min(lane, many - 1)]
                filled(room, lane, data, bounds[text], bounds[text + 1] - bounds[text], at)
            compressed(room, orders, initial)
        for lane in range(many):
            text = order[first + lane]
            made[2 * text], made[2 * text + 1] = room[CHAIN + lane], room[CHAIN + LANES + lane]
