"""The driver protocol and its error."""

from goodwatt.model.gpu_driver import DriverError, GpuDriver


def test_a_driver_error_shows_its_code():
    """The message contains NVML's text and its code."""
    error = DriverError(15, "GPU is lost")
    assert (str(error), error.code, error.message) == ("GPU is lost (NVML code 15)", 15, "GPU is lost")


def test_the_driver_is_a_protocol():
    """The driver is a protocol: implementations do not inherit from it."""
    assert getattr(GpuDriver, "_is_protocol", False)
