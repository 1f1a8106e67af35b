"""What a server keeps of results, bounded in bytes."""

from dsp_viz.store import Store, new_token


def filled(max_bytes: int, **sizes: int) -> Store[str]:
    """A store into which results of these sizes were put, in this order."""
    store = Store[str](max_bytes)
    for name, size in sizes.items():
        store.put(name, {"0": b"x" * (size - 1), "picture": b"y"}, f"about {name}")
    return store


def test_what_was_used_longest_ago_goes_first() -> None:
    store = filled(10, first=5, second=5)
    assert store.get("first") == ({"0": b"xxxx", "picture": b"y"}, "about first")
    store.put("third", {"0": b"123"}, "about third")
    assert store.get("second") is None
    assert store.get("first") is not None
    assert store.get("third") == ({"0": b"123"}, "about third")
    assert store.size() == 8


def test_a_large_result_is_kept_alone() -> None:
    store = filled(3, small=2, large=5)
    assert store.get("small") is None
    assert store.get("large") is not None
    assert store.size() == 5


def test_nobody_guesses_a_token() -> None:
    assert filled(10, only=3).get("guess") is None
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 20
