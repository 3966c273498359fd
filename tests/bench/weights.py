"""The default chat model in other numbers than it is published in."""

from pathlib import Path

from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import dequantize, quantize

from moorage.config.places import default_cache_dir

FILE_TYPE_F16 = 1


def half(gguf: Path) -> Path:
    """Its tensors in 16 bits, from what the few bits hold. Made once."""
    target = default_cache_dir() / "tests" / f"{gguf.stem}.f16.gguf"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".new")
    reader = GGUFReader(gguf)
    writer = GGUFWriter(unfinished, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name == "general.file_type":
            writer.add_file_type(FILE_TYPE_F16)
        elif not name.startswith("GGUF.") and name != "general.architecture":
            inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], inner)
    for tensor in reader.tensors:
        if tensor.tensor_type == GGMLQuantizationType.F32:
            writer.add_tensor(tensor.name, tensor.data)
        else:
            data = quantize(dequantize(tensor.data, tensor.tensor_type), GGMLQuantizationType.F16)
            writer.add_tensor(tensor.name, data, raw_dtype=GGMLQuantizationType.F16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.rename(target)
    return target
