import pytest

from goodwatt.sources.engine.model_name import first_model_id


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ('{"data":[{"id":"m"}]}', "m"),
        ('{"data":[{"id":"m"},{"id":"n"}]}', "m"),
        ('{"data":[]}', None),
        ('{"data":[{}]}', None),
        ('{"data":{"id":"m"}}', None),
        ('{"data":[{"id":7}]}', None),
        ('{"data":[{"id":""}]}', None),
        ('{"data":[{"id":"a\\nb"}]}', None),
        ('{"data":[{"id":"%s"}]}' % ("x" * 257), None),
        ("[]", None),
        ("[" * 100_000, None),
        ("", None),
    ],
)
def test_first_model(body: str, name: str | None) -> None:
    """The first id of a model list, or None."""
    assert first_model_id(body) == name
