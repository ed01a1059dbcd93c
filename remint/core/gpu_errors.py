"""What an error of a GPU looks like; torch is asked only where somebody has imported it."""

import sys

FULL = "CUDA error: out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED"  # beside torch's own
FAILED = "CUDA error", "cuDNN error"
OF_THE_CODE = "device-side assert", "invalid argument", "invalid configuration argument"


def gpu_is_full(error: BaseException) -> bool:
    """Say whether an error speaks of a GPU without free memory."""
    torch = sys.modules.get("torch")  # where nobody imported it, nobody has used a GPU
    full = torch is not None and isinstance(error, torch.OutOfMemoryError)
    return full or (isinstance(error, RuntimeError) and str(error).startswith(FULL))


def gpu_failed(error: BaseException) -> bool:
    """Say whether an error speaks of a GPU, full or not; all that follows may fail as well."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError | torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and str(error).startswith(FAILED)


def gpu_is_to_blame(error: BaseException) -> bool:
    """Say whether the GPU failed, or is full, and not what it was asked to do was wrong."""
    return gpu_failed(error) and not any(words in str(error) for words in OF_THE_CODE)
