"""What this machine offers: its device, the precision that is fast on it, its cores."""

from __future__ import annotations

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from ftspec_local.options import Device, Settings
from ftspec_local.refusals import Refused

DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA's, that of Windows below Linux, AMD's
CPU_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16", "sve_bf16"}  # x86, then ARM's names


class DeviceError(Refused):
    """The machine has no such device."""

    hint = "write `device: auto` to have one found, or see to its driver and to how torch was installed"


class Resolved(NamedTuple):
    """What `Settings` came out as on this machine."""

    device: str
    precision: str
    threads: int


def resolve(settings: Settings) -> Resolved:
    """Find the device and its precision. Imports torch."""
    device = _device(settings.device)
    precision = settings.precision if settings.precision != "auto" else _precision(device)
    return Resolved(device, precision, settings.threads or cores())


def resolve_dict(settings: dict[str, Any]) -> Resolved:
    """The same from plain data, as one process tells another."""
    return resolve(Settings(**settings))


def prepare(resolved: Resolved) -> Any:
    """Set torch up for it and return the dtype."""
    import torch

    torch.set_num_threads(resolved.threads)
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[resolved.precision]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def lacking(device: Device) -> str:
    """Why there can be no such device here, as far as can be told without torch, which takes seconds; "" otherwise."""
    none = f"this machine has no usable '{device}' device"
    if device == "mps" and sys.platform != "darwin":
        return f"{none}: that is Apple's"
    if device == "cuda" and not _built_for_gpus():
        return f"{none}: torch is installed without CUDA"
    if device == "cuda" and sys.platform == "linux" and not any(map(os.path.exists, DRIVERS)):
        return f"{none}: there is no driver of a GPU"
    return ""


def _built_for_gpus() -> bool:
    """Whether the torch that is installed may use NVIDIA's or AMD's; True where that cannot be told."""
    found = find_spec("torch")
    try:
        text = Path(str(found and found.origin)).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return True
    built = re.findall(r"^(?:cuda|hip)\b.*= *(.*)$", text, re.MULTILINE)
    return not built or any(version.strip() != "None" for version in built)


def _device(wanted: str) -> str:
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    if not available[wanted]:
        raise DeviceError(f"this machine has no usable '{wanted}' device")
    return wanted


def _precision(device: str) -> str:
    """bf16 only where it is native: emulated on a CPU it is several times slower than fp32."""
    import torch

    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if device == "cpu" and CPU_BF16_FLAGS & cpu_flags() else "fp32"


def cpu_flags() -> set[str]:
    """The processor's feature flags, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split(":", 1)[1].split()}
