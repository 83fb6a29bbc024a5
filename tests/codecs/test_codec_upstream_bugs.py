"""One test per bug that sentence-transformers or Haystack had in codes and scores.

The bugs of their search functions (padding of results, L2 against inner product) are tested with
the code index.
"""

from __future__ import annotations

import numpy as np
import pytest

from qadapt.codecs import (
    Calibration,
    bit_query,
    fold,
    pack_bits,
    quantize,
    to_signed,
    to_unsigned,
    unpack_signs,
)
from qadapt.errors import CalibrationError, DimensionError, InputError


def test_2558_rescored_scores_belong_to_their_candidates(vectors, calibration):
    """https://github.com/huggingface/sentence-transformers/pull/2558

    Ids were sorted by the new scores and the scores were left in the old order.
    """
    codes = quantize(vectors, "int8", calibration=calibration)
    folded = fold(vectors[:6], calibration)
    picks = np.random.default_rng(0).permuted(np.tile(np.arange(500), (6, 1)), axis=1)[:, :50]
    pairs = folded.score_pairs(codes[picks])
    for row, (ids, scores) in enumerate(zip(picks, pairs, strict=True)):
        best = ids[scores.argmax()]
        alone = folded.score(codes[[best]])[row, 0]
        assert scores.max() == pytest.approx(alone, rel=1e-4)
        assert (folded.score(codes[ids])[row] <= alone + 1e-4).all()


def test_2572_one_query_is_one_row_of_scores(vectors, calibration):
    """https://github.com/huggingface/sentence-transformers/pull/2572

    A single query vector was read as many queries of one dimension.
    """
    codes, bits = quantize(vectors, "int8", calibration=calibration), pack_bits(vectors)
    one = fold(vectors[3], calibration)
    assert one.score(codes).shape == (1, 500)
    np.testing.assert_allclose(one.score(codes), fold(vectors[3:4], calibration).score(codes))
    for query_bits in (1, 4, 8, 32):
        one_bit = bit_query(vectors[3], query_bits)
        assert one_bit.score(bits).shape == (1, 500)
        assert one_bit.score_pairs(bits[np.newaxis, :9]).shape == (1, 9)


def test_2988_packed_bytes_are_not_dimensions(vectors, calibration):
    """https://github.com/huggingface/sentence-transformers/pull/2988

    An example made an index with the number of dimensions where the codes had an eighth of it.
    """
    packed = pack_bits(vectors)
    with pytest.raises(DimensionError):
        unpack_signs(packed, packed.shape[1])
    with pytest.raises(DimensionError):
        fold(vectors[:2], calibration).score(packed)


def test_2644_binary_bytes_are_not_scored_as_int8(vectors):
    """https://github.com/huggingface/sentence-transformers/issues/2644

    Packed bits were searched as 8-bit numbers, which ranks by arithmetic on bytes.
    """
    query = bit_query(vectors[:2], 1)
    binary = quantize(vectors, "binary")
    with pytest.raises(InputError, match="int8"):
        query.score(binary)
    scores = query.score(to_unsigned(binary))
    differ = ((vectors[:2] > 0)[:, None] != (vectors > 0)[None]).sum(axis=-1)
    np.testing.assert_array_equal(scores, -differ)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_3847_out_of_range_values_saturate(dtype):
    """https://github.com/huggingface/sentence-transformers/pull/3847

    Values outside the ranges wrapped around: 300 became 44 (also issues/2865 and pull/3159).
    """
    calibration = Calibration.from_ranges([[0.0, 0], [255, 255]])
    x = np.array([[300, -45], [60000, -60000], [256, -1]], dtype=dtype)
    assert quantize(x, "uint8", calibration=calibration).tolist() == [[255, 0]] * 3
    assert quantize(x, "int8", calibration=calibration).tolist() == [[127, -128]] * 3


def test_3948_signed_bytes_keep_their_top_bit(vectors):
    """https://github.com/huggingface/sentence-transformers/pull/3948

    int8 bytes were unpacked as they were, with the first of every eight dimensions flipped.
    """
    binary = quantize(vectors, "binary")
    np.testing.assert_array_equal(binary, to_signed(pack_bits(vectors)))
    signs = unpack_signs(to_unsigned(binary), 37)
    np.testing.assert_array_equal(signs[:, ::8], np.where(vectors > 0, 1, -1)[:, ::8])


def test_3948_padding_bits_are_no_dimensions(vectors):
    """https://github.com/huggingface/sentence-transformers/pull/3948

    Bits after the last dimension were kept, so that shapes did not match or zeros were scored.
    """
    packed = pack_bits(vectors)
    assert unpack_signs(packed, 37).shape == (500, 37)
    scores = bit_query(np.ones((1, 37)), 32).score(packed)
    np.testing.assert_array_equal(scores[0], np.where(vectors > 0, 1, -1).sum(axis=1))


def test_4058_scores_respect_the_scale_of_each_dimension():
    """https://github.com/huggingface/sentence-transformers/pull/4058

    Raw codes were rescored, so that a narrow dimension weighed as much as a wide one and ranks
    came out reversed.
    """
    calibration = Calibration.from_ranges([[-100.0, -0.1], [100, 0.1]])
    documents = np.float32([[50, -0.1], [-50, 0.1]])
    query = np.float32([[1, 1.2]])
    codes = quantize(documents, "int8", calibration=calibration)
    raw = query @ codes.T.astype(np.float32)
    assert raw[0, 0] < raw[0, 1], "the case does not reproduce the bug"
    for metric in ("dot", "cosine", "euclidean"):
        folded = fold(query, calibration, metric=metric)
        assert folded.score(codes)[0].argmax() == 0
        assert folded.score_pairs(codes[np.newaxis])[0].argmax() == 0


def test_4025_codes_of_one_vector_do_not_depend_on_other_vectors(vectors, calibration):
    """https://github.com/huggingface/sentence-transformers/pull/4025

    Ranges were computed again for every document: slow, and a trap, since codes made with
    different ranges cannot be compared.
    """
    for precision in ("int8", "uint8"):
        together = quantize(vectors, precision, calibration=calibration)
        alone = [quantize(row, precision, calibration=calibration) for row in vectors]
        np.testing.assert_array_equal(together, np.stack(alone))


def test_2837_one_text_is_never_its_calibration(vectors):
    """https://github.com/huggingface/sentence-transformers/issues/2837

    Also https://github.com/deepset-ai/haystack/issues/9100: the codes of a single text, calibrated
    on itself, were all the same number.
    """
    for one in (vectors[0], vectors[:1]):
        with pytest.raises(CalibrationError, match="calibration"):
            quantize(one, "int8")
        with pytest.raises(CalibrationError, match="1 vector"):
            Calibration.fit(one)
    calibration = Calibration.fit(vectors)
    assert len(np.unique(quantize(vectors[0], "int8", calibration=calibration))) > 10
