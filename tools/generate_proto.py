"""Regenerate the protobuf modules beside their .proto files, or check that they are up to date.

    python tools/generate_proto.py            # writes tierfed/ir/proto/*_pb2.py and *_pb2.pyi
    python tools/generate_proto.py --check    # exit 1 if they are not what the .proto files say

Needs grpcio-tools==1.73.0, so that what it writes runs with protobuf 6.31.1 and later.
"""

from __future__ import annotations

import sys
import tempfile
from importlib import resources
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("tierfed/ir/proto/computation.proto", "tierfed/ir/proto/slices.proto")


def generate(into: Path) -> list[Path]:
    """Write the modules of all sources below `into`; return their paths relative to it."""
    from grpc_tools import protoc

    included = resources.files("grpc_tools") / "_proto"
    arguments = [f"-I{ROOT}", f"-I{included}", f"--python_out={into}", f"--pyi_out={into}", *SOURCES]
    if protoc.main(["protoc", *arguments]):
        raise SystemExit("protoc failed")
    return sorted(p.relative_to(into) for p in into.rglob("*_pb2.py*"))


def main() -> int:
    """Regenerate, or compare with `--check`."""
    if sys.argv[1:] != ["--check"]:
        generate(ROOT)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        stale = [p for p in generate(fresh) if not _same(fresh / p, ROOT / p)]
    for path in stale:
        print(f"{path} is not what its .proto says: run python tools/generate_proto.py", file=sys.stderr)
    return 1 if stale else 0


def _same(a: Path, b: Path) -> bool:
    return b.is_file() and a.read_bytes() == b.read_bytes()


if __name__ == "__main__":
    raise SystemExit(main())
