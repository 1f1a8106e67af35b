"""What a server takes and keeps of its visitors."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds that hold for all visitors together, unless they say otherwise.

    Attributes:
        upload: largest picture file, in bytes.
        uploads: bytes of all files in the upload folder; more are refused until older ones have gone.
        kept: seconds that an upload is kept after its last use.
        waiting: requests that may wait. Below that nobody is refused.
        long: of these, those for what takes long (ranking, judging), beyond those that go on by turns.
        each: requests of one page or program that may wait at a time.
        mcp: whether language models may be let in.
        large: whether 1,024 px may be asked for: 16,384 tokens in every block take some 2 GB while they are computed.
    """

    upload: int = 32 * 2**20
    uploads: int = 4 * 2**30
    kept: float = 3600.0
    waiting: int = 256
    long: int = 8
    each: int = 64
    mcp: bool = True
    large: bool = True


#: For a server of one's own.
USUAL = Limits()

#: For an address that everybody knows (``--public``).
PUBLIC = Limits(upload=8 * 2**20, uploads=2**30, kept=900.0, waiting=128, long=4, each=8, mcp=False, large=False)
