"""The driver protocol and its error."""

from goodwatt.model.gpu_driver import DriverError, GpuDriver


def test_a_refused_driver_call_says_its_code():
    """The message names NVML's word and its number."""
    error = DriverError(15, "GPU is lost")
    assert (str(error), error.code, error.message) == ("GPU is lost (NVML code 15)", 15, "GPU is lost")


def test_a_driver_is_whatever_answers_its_questions():
    """The driver is a protocol: nothing inherits from it."""
    assert getattr(GpuDriver, "_is_protocol", False)
