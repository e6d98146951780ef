"""The two expected failures say what they carry."""

from goodwatt.model.gpu_driver import DriverError, GpuDriver
from goodwatt.model.source import Reason, SourceUnavailable


def test_a_refused_driver_call_says_its_code():
    """The message names NVML's word and its number."""
    error = DriverError(15, "GPU is lost")
    assert (str(error), error.code, error.message) == ("GPU is lost (NVML code 15)", 15, "GPU is lost")


def test_an_unavailable_source_says_why():
    """The reason is for a label, the detail for a person."""
    error = SourceUnavailable(Reason.TIMEOUT, "no answer in 2 s")
    assert (str(error), error.reason, error.detail) == ("no answer in 2 s", Reason.TIMEOUT, "no answer in 2 s")


def test_a_driver_is_whatever_answers_its_questions():
    """The driver is a protocol: nothing inherits from it."""
    assert getattr(GpuDriver, "_is_protocol", False)
