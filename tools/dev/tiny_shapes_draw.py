"""Draws the images of the tiny-shapes base: shapes and digits as signed distance fields.

Everything is computed from formulas and stroke tables in this file: no font, photograph or other
data. A scene is resolution independent (unit square, y down), so the same scene can be drawn at
the model's size for training and larger for PNG files.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, field

import numpy as np

SHAPES = ["circle", "square", "triangle", "star", "cross", "ring", "heart"]
DIGITS = [str(d) for d in range(10)]
KINDS = SHAPES + DIGITS

# Hue in degrees, saturation, value: ranges that stay apart after jitter.
COLOURS = {
    "red": ((-9, 6), (0.78, 1.0), (0.72, 1.0)),
    "orange": ((23, 35), (0.85, 1.0), (0.92, 1.0)),
    "yellow": ((51, 60), (0.75, 1.0), (0.90, 1.0)),
    "green": ((98, 145), (0.60, 1.0), (0.42, 0.88)),
    "blue": ((208, 240), (0.70, 1.0), (0.60, 1.0)),
    "purple": ((268, 287), (0.50, 0.90), (0.42, 0.78)),
    "pink": ((318, 342), (0.33, 0.58), (0.95, 1.0)),
    "brown": ((17, 29), (0.55, 0.80), (0.33, 0.52)),
    "black": ((0, 360), (0.0, 0.20), (0.0, 0.11)),
    "white": ((0, 360), (0.0, 0.04), (0.94, 1.0)),
    "grey": ((0, 360), (0.0, 0.06), (0.40, 0.64)),
}
COLOUR_NAMES = list(COLOURS)


@dataclass
class Thing:
    """One drawn object: centre and radius in unit coordinates, angle in radians, rgb in 0..1."""

    kind: str
    colour: str
    x: float
    y: float
    r: float
    angle: float
    rgb: np.ndarray
    pen: float = 0.0                       # stroke half width of a digit, relative to r
    strokes: np.ndarray | None = None      # [N, 4] segments of a digit, in its own frame

    def extent(self) -> tuple[float, float, float, float]:
        """Box (y0, x0, y1, x1) of an upright object; rotation is small and ignored."""
        w, h = HALF_SIZE.get(self.kind, (0.66, 1.0))
        return (self.y - h * self.r, self.x - w * self.r, self.y + h * self.r, self.x + w * self.r)


@dataclass
class Scene:
    """A background and the things on it, painted in order."""

    things: list[Thing]
    ground: dict
    layout: str = "single"
    facts: dict = field(default_factory=dict)


HALF_SIZE = {
    "circle": (0.92, 0.92), "square": (0.82, 0.82), "triangle": (0.93, 0.85), "star": (0.97, 0.95),
    "cross": (0.92, 0.92), "ring": (0.95, 0.95), "heart": (0.90, 0.88),
}


# --- signed distances, in units of the object's radius ---------------------------------------

def _box(x, y, hw, hh):
    dx, dy = np.abs(x) - hw, np.abs(y) - hh
    return np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0)


def _polygon(x, y, pts):
    """Distance to a polygon's edge, negative inside (even-odd rule)."""
    best = np.full(x.shape, 1e9, x.dtype)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(pts, np.roll(pts, -1, axis=0)):
        ex, ey = bx - ax, by - ay
        px, py = x - ax, y - ay
        t = np.clip((px * ex + py * ey) / (ex * ex + ey * ey), 0, 1)
        best = np.minimum(best, (px - t * ex) ** 2 + (py - t * ey) ** 2)
        crosses = (ay > y) != (by > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (px < ex * py / (ey if ey else 1.0))
    best = np.sqrt(best)
    return np.where(inside, -best, best)


def _regular(n, start, radii):
    a = start + np.arange(n) * 2 * np.pi / n
    rad = np.resize(radii, n)
    return np.stack([rad * np.cos(a), rad * np.sin(a)], 1).astype(np.float32)


_TRIANGLE = _regular(3, -np.pi / 2, [1.07]) + np.array([0, 0.2], np.float32)
_STAR = _regular(10, -np.pi / 2, [1.0, 0.43])


def _heart(x, y):
    lobes = np.minimum(np.hypot(x - 0.42, y + 0.36), np.hypot(x + 0.42, y + 0.36)) - 0.48
    point = _polygon(x, y, np.array([[-0.80, -0.07], [0.0, 0.88], [0.80, -0.07], [0.0, -0.45]]))
    return np.minimum(lobes, point)


_SDF = {
    "circle": lambda x, y: np.hypot(x, y) - 0.92,
    "square": lambda x, y: _box(x, y, 0.82, 0.82),
    "triangle": lambda x, y: _polygon(x, y, _TRIANGLE),
    "star": lambda x, y: _polygon(x, y, _STAR),
    "cross": lambda x, y: np.minimum(_box(x, y, 0.92, 0.31), _box(x, y, 0.31, 0.92)),
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.74) - 0.21,
    "heart": _heart,
}


# --- digits: strokes in a box of x -0.55..0.55, y -0.85..0.85 --------------------------------

def _arc(cx, cy, rx, ry, a0, a1, n=8):
    """Points on an ellipse arc, degrees, clockwise from east because y points down."""
    a = np.radians(np.linspace(a0, a1, n + 1))
    return [(cx + rx * np.cos(t), cy + ry * np.sin(t)) for t in a]


def _digit_lines(digit: str, style: int) -> list[list[tuple[float, float]]]:
    """Polylines of a digit; some digits have two usual forms, chosen by `style`."""
    if digit == "0":
        return [_arc(0, 0, 0.5, 0.83, 0, 360, 16)]
    if digit == "1":
        if style == 0:
            return [[(-0.28, -0.52), (0.05, -0.83), (0.05, 0.83)]]
        return [[(-0.28, -0.52), (0.05, -0.83), (0.05, 0.83)], [(-0.32, 0.83), (0.40, 0.83)]]
    if digit == "2":
        return [_arc(0, -0.38, 0.48, 0.45, 190, 385, 9) + [(-0.50, 0.83), (0.52, 0.83)]]
    if digit == "3":
        if style == 0:
            return [_arc(0, -0.42, 0.44, 0.41, 200, 450, 9), _arc(0, 0.40, 0.50, 0.43, 270, 520, 9)]
        return [[(-0.46, -0.83), (0.44, -0.83), (-0.02, -0.18)],
                _arc(-0.02, 0.32, 0.50, 0.50, 270, 510, 9)]
    if digit == "4":
        if style == 0:
            return [[(0.22, 0.83), (0.22, -0.83), (-0.52, 0.32), (0.55, 0.32)]]
        return [[(-0.38, -0.83), (-0.46, 0.10), (0.50, 0.10)], [(0.28, -0.60), (0.28, 0.83)]]
    if digit == "5":
        return [[(0.46, -0.83), (-0.38, -0.83), (-0.42, -0.10)]
                + _arc(-0.02, 0.30, 0.50, 0.53, 222, 505, 10)]
    if digit == "6":
        return [_arc(0.45, 0.15, 0.92, 1.0, 275, 190, 6), _arc(0, 0.36, 0.47, 0.47, 0, 360, 14)]
    if digit == "7":
        lines = [[(-0.50, -0.83), (0.50, -0.83), (-0.12, 0.83)]]
        return lines if style == 0 else lines + [[(-0.22, 0.0), (0.42, 0.0)]]
    if digit == "8":
        return [_arc(0, -0.41, 0.40, 0.40, 0, 360, 12), _arc(0, 0.40, 0.50, 0.43, 0, 360, 14)]
    return [_arc(-0.45, -0.15, 0.92, 1.0, 95, 10, 6), _arc(0, -0.36, 0.47, 0.47, 0, 360, 14)]


def digit_strokes(digit: str, rng: np.random.Generator) -> np.ndarray:
    """Segments [N, 4] of one digit with a little of handwriting: stretch, slant, wobble."""
    stretch = rng.uniform(0.78, 1.12)
    slant = rng.uniform(-0.18, 0.18)
    out = []
    for line in _digit_lines(digit, int(rng.integers(2))):
        p = np.array(line, np.float32)
        p[:, 0] = p[:, 0] * stretch - slant * p[:, 1]
        p += 0.05 * np.sin(rng.uniform(0, 6.3, 2) + 2.2 * p[:, ::-1]).astype(np.float32)
        out.append(np.concatenate([p[:-1], p[1:]], 1))
    return np.concatenate(out)


def _strokes_sdf(x, y, seg, pen):
    ax, ay, bx, by = (seg[:, i, None, None] for i in range(4))
    ex, ey = bx - ax, by - ay
    px, py = x[None] - ax, y[None] - ay
    t = np.clip((px * ex + py * ey) / (ex * ex + ey * ey + 1e-9), 0, 1)
    return np.sqrt(np.min((px - t * ex) ** 2 + (py - t * ey) ** 2, axis=0)) - pen


# --- colours and backgrounds -----------------------------------------------------------------

def sample_rgb(name: str, rng: np.random.Generator) -> np.ndarray:
    hue, sat, val = (rng.uniform(*span) for span in COLOURS[name])
    return np.array(colorsys.hsv_to_rgb((hue % 360) / 360, sat, val), np.float32)


def _far(a, b) -> bool:
    """Whether two colours can be told apart without effort."""
    d = a - b
    return float(np.sqrt((d * d * np.array([0.9, 1.2, 0.8])).sum())) > 0.36


def sample_ground(rng: np.random.Generator, colours: list[np.ndarray]) -> dict:
    """A background on which every one of `colours` is visible: plain, gradient, stripes, cloud."""
    base = None
    for _ in range(40):
        pick = rng.random()
        if pick < 0.35:
            base = np.full(3, rng.uniform(0.90, 1.0), np.float32)
        elif pick < 0.50:
            base = np.full(3, rng.uniform(0.0, 0.16), np.float32)
        else:
            base = rng.uniform(0.05, 1.0, 3).astype(np.float32)
        if all(_far(base, c) for c in colours):
            break
    second = np.clip(base + rng.uniform(-0.16, 0.16, 3), 0, 1).astype(np.float32)
    style = rng.choice(["plain", "gradient", "stripes", "cloud"], p=[0.45, 0.25, 0.15, 0.15])
    return {"base": base, "second": second, "style": str(style), "angle": rng.uniform(0, 6.2832),
            "period": rng.uniform(0.08, 0.4), "seed": int(rng.integers(1 << 31)),
            "noise": float(rng.choice([0.0, rng.uniform(0.0, 0.045)])),
            "soft": rng.uniform(0.9, 1.9), "gain": rng.uniform(0.94, 1.04)}


def plain_ground(rgb=(1.0, 1.0, 1.0)) -> dict:
    base = np.array(rgb, np.float32)
    return {"base": base, "second": base, "style": "plain", "angle": 0.0, "period": 1.0, "seed": 0,
            "noise": 0.0, "soft": 1.0, "gain": 1.0}


def _paint_ground(ground: dict, xs, ys) -> np.ndarray:
    size = xs.shape[0]
    base, second = ground["base"], ground["second"]
    if ground["style"] == "plain":
        return np.broadcast_to(base, (size, size, 3)).copy()
    along = xs * np.cos(ground["angle"]) + ys * np.sin(ground["angle"])
    if ground["style"] == "gradient":
        t = np.clip(along * 0.7 + 0.5, 0, 1)
    elif ground["style"] == "stripes":
        t = 0.5 + 0.5 * np.tanh(4 * np.sin(along * 2 * np.pi / ground["period"]))
    else:
        coarse = np.random.default_rng(ground["seed"]).random((5, 5), np.float32)
        t = _bilinear(coarse, xs, ys)
    return base + (second - base) * t[..., None].astype(np.float32)


def _bilinear(grid, xs, ys):
    n = grid.shape[0] - 1
    fx, fy = np.clip(xs, 0, 0.9999) * n, np.clip(ys, 0, 0.9999) * n
    ix, iy = fx.astype(int), fy.astype(int)
    tx, ty = fx - ix, fy - iy
    top = grid[iy, ix] * (1 - tx) + grid[iy, ix + 1] * tx
    low = grid[iy + 1, ix] * (1 - tx) + grid[iy + 1, ix + 1] * tx
    return top * (1 - ty) + low * ty


# --- drawing ---------------------------------------------------------------------------------

_GRIDS: dict[int, tuple[np.ndarray, np.ndarray]] = {}


def _grid(size: int):
    if size not in _GRIDS:
        c = (np.arange(size, dtype=np.float32) + 0.5) / size
        _GRIDS[size] = (np.broadcast_to(c[None, :], (size, size)),
                        np.broadcast_to(c[:, None], (size, size)))
    return _GRIDS[size]


def _window(thing: Thing, size: int) -> tuple[slice, slice]:
    reach = thing.r * 1.3 + 2.0 / size
    lo_y, hi_y = int((thing.y - reach) * size), int((thing.y + reach) * size) + 2
    lo_x, hi_x = int((thing.x - reach) * size), int((thing.x + reach) * size) + 2
    return slice(max(lo_y, 0), min(hi_y, size)), slice(max(lo_x, 0), min(hi_x, size))


def _coverage(thing: Thing, xs, ys, size: int, soft: float) -> np.ndarray:
    x, y = (xs - thing.x) / thing.r, (ys - thing.y) / thing.r
    c, s = np.cos(thing.angle), np.sin(thing.angle)
    x, y = x * c + y * s, y * c - x * s
    if thing.strokes is not None:
        d = _strokes_sdf(x, y, thing.strokes, thing.pen)
    else:
        d = _SDF[thing.kind](x, y)
    return np.clip(0.5 - d * (thing.r * size / soft), 0, 1).astype(np.float32)


def draw(scene: Scene, size: int, patch: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the image [size, size, 3] uint8 and, if `patch` is given, which thing (index + 1,
    0 = background) fills most of each patch: [size/patch, size/patch] int64."""
    xs, ys = _grid(size)
    ground = scene.ground
    soft = ground["soft"] * size / 56 if size > 56 else ground["soft"]
    image = _paint_ground(ground, xs, ys)
    owner = np.zeros((len(scene.things) + 1, size, size), np.float32) if patch else None
    for i, thing in enumerate(scene.things):
        win = _window(thing, size)
        alpha = _coverage(thing, xs[win], ys[win], size, soft)
        image[win] += (thing.rgb - image[win]) * alpha[..., None]
        if owner is not None:
            owner[(slice(1, i + 1),) + win] *= 1 - alpha
            owner[(i + 1,) + win] = alpha
    if ground["noise"] > 0:
        noise = np.random.default_rng(ground["seed"]).standard_normal(image.shape, np.float32)
        image += noise * np.float32(ground["noise"])
    image = np.clip(image * (255 * ground["gain"]) + 0.5, 0, 255).astype(np.uint8)
    if owner is None:
        return image, None
    n = size // patch
    share = owner.reshape(-1, n, patch, n, patch).mean((2, 4))
    share[0] = 0.18
    return image, share.argmax(0)


def make_thing(kind: str, colour: str, x: float, y: float, r: float,
               rng: np.random.Generator) -> Thing:
    tilt = {"cross": 0.2, "square": 0.2, "triangle": 0.25}.get(kind, 0.3)
    if kind in DIGITS:
        tilt = 0.16
    thing = Thing(kind, colour, x, y, r, rng.uniform(-tilt, tilt), sample_rgb(colour, rng))
    if kind in DIGITS:
        thing.strokes = digit_strokes(kind, rng)
        thing.pen = rng.uniform(0.09, 0.2)
    return thing
