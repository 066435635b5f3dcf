"""Pickles of arrays are read, and whatever else a pickle asks for is refused before it does harm."""

import os
import pickle
import struct

import numpy as np
import pytest

from noise.pickles import ForbiddenGlobal, unpickle, unpickle_foreign

RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"


def array_pickle(dtype: bytes, state: bytes, shape: bytes = b"(I1\nt", data: bytes = b"S'12345678'\n") -> bytes:
    """A protocol 0 pickle of an array, written by hand: dtype is called, then told its state, then the array is."""
    return RECONSTRUCT + b"(I1\n" + shape + b"cnumpy\ndtype\n(" + dtype + b"tR" + state + b"bI00\n" + data + b"tb."


def dtype_state(order: str = "<", fields: object = None, flags: int = 0) -> bytes:
    made = pickle.dumps((3, order, None, None, fields, -1, -1, flags), protocol=0)
    return made[:-1]  # without the STOP


PLAIN = array_pickle(b"S'i8'\nI00\nI01\n", dtype_state())


@pytest.mark.parametrize("read", [unpickle, unpickle_foreign])
@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i4", "<i8", ">u8", "<f4", "<f8", "?"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_arrays_of_numbers_come_back_as_they_were(read, dtype, protocol):
    array = (np.arange(12) % 2).reshape(3, 4).astype(dtype)
    for given in (array, np.asfortranarray(array), array[0]):
        back = read(pickle.dumps({"a": given, "b": [1, 2], "c": (given,)}, protocol=protocol), encoding="latin1")
        assert type(back["a"]) is np.ndarray
        assert back["a"].dtype == given.dtype.newbyteorder("=")
        assert np.array_equal(back["a"], given)
        assert np.array_equal(back["c"][0], given)
        assert back["b"] == [1, 2]


@pytest.mark.parametrize("encoding", ["latin1", "bytes"])
def test_an_array_that_python_2_pickled_is_read(encoding):
    assert unpickle_foreign(PLAIN, encoding).tolist() == [int.from_bytes(b"12345678", "little")]


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("read", [unpickle, unpickle_foreign])
def test_a_command_is_refused_by_name_and_not_run(read, tmp_path):
    data = pickle.dumps([Evil(tmp_path / "canary")])
    with pytest.raises(ForbiddenGlobal, match=r"^pickle asks for posix\.system, which no file .* nothing was run$"):
        read(data)
    assert not (tmp_path / "canary").exists()
    pickle.loads(data)
    assert (tmp_path / "canary").exists()  # the input was dangerous indeed


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (array_pickle(b"S'i8'\n", dtype_state(flags=63)), "a forged dtype"),  # flags of objects: NumPy would crash
        (array_pickle(b"S'i8'\n", dtype_state(fields={"a": 1})), "a forged dtype"),
        (array_pickle(b"S'i8'\n", dtype_state("!")), "a forged dtype"),
        (array_pickle(b"S'O8'\n", dtype_state()), "an array of 'O8', which are no numbers"),
        (array_pickle(b"S'i8,O8'\n", dtype_state()), "an array of 'i8,O8', which are no numbers"),
        (array_pickle(b"I8\n", dtype_state()), "8 in the place of a text"),
        (array_pickle(b"S'i8'\n", dtype_state(), shape=b"(I9\nt"), r"an array of shape \(9,\) and 8 bytes of int64"),
        (array_pickle(b"S'i8'\n", dtype_state(), shape=b"(I-1\nI-1\nt"), r"shape \(-1, -1\) and 8 bytes"),
        (array_pickle(b"S'i8'\n", dtype_state(), data=b"(lI1\na"), "content is not bytes"),
        (b"cnumpy\nndarray\n((I1000000000000\nttR.", "makes an array by hand"),
        (b"c_codecs\nencode\n(S'x'\nS'bz2'\ntR.", "encoding 'bz2', expected latin1"),
        (b"c_codecs\nencode\n.", None),  # a function where an array should be: nothing is called
        (PLAIN[:-9], "damaged pickle"),
        (b"", "damaged pickle"),
        (b"\x80\x02", "damaged pickle"),
        (b"]" * 50, "damaged pickle"),
    ],
)
def test_a_forged_or_damaged_pickle_is_refused_in_one_line(data, text):
    if text is None:
        assert callable(unpickle_foreign(data))
        return
    with pytest.raises(ValueError, match=text) as caught:
        unpickle_foreign(data, encoding="latin1")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("opcode", [b"r" + struct.pack("<I", 2**31), b"p2147483648\n"])
def test_a_pickle_that_numbers_an_object_beyond_its_length_is_refused(opcode):
    with pytest.raises(ValueError, match="it numbers an object 2147483648, which is more than it can hold"):
        unpickle_foreign(b"]" + opcode + b".")
    assert unpickle_foreign(b"]q\x03.") == []
