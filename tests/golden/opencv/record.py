"""Records pictures as OpenCV 5.0.0 (opencv-python-headless 5.0.0.93, which the product does not use) resizes and
colours them.

python tests/golden/opencv/record.py
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

SIZES = {"bytes": [(10, 14), (13, 17), (40, 33), (21, 9), (7, 28)], "even": [(10, 14)], "floats": [(5, 4), (12, 11)]}


def main() -> None:
    """Write recorded.npz: the pictures, and `<picture>/<height>x<width>/<mode>` for each of OpenCV's modes 0 to 4."""
    cv2.ipp.setUseIPP(False)
    rng = np.random.default_rng(7)
    pictures = {
        "bytes": rng.integers(0, 256, (21, 28, 3), dtype=np.uint8),
        "floats": (rng.random((9, 7, 3)) * 255).astype(np.float32),
    }
    pictures["even"] = pictures["bytes"][:20]
    found = dict(pictures)
    for name, sizes in SIZES.items():
        for height, width in sizes:
            for mode in range(5):
                resized = cv2.resize(pictures[name], (width, height), interpolation=mode)
                found[f"{name}/{height}x{width}/{mode}"] = resized
    for name in ("bytes", "floats"):
        found[f"hsv/{name}"] = cv2.cvtColor(pictures[name], cv2.COLOR_BGR2HSV)
    turned = found["hsv/floats"] + np.array([100, 0, 0], np.float32)
    found["turned/floats"] = cv2.cvtColor(turned, cv2.COLOR_HSV2BGR)
    np.savez_compressed(Path(__file__).with_name("recorded.npz"), **found)


if __name__ == "__main__":
    main()
