"""What moves in the sample scene: a boat, a lighthouse, gulls, a kite, a friendly figure."""

from __future__ import annotations

import math

from rtstyle.cli.canvas import Canvas, Point, Rgb, curve

_SKIN: Rgb = (236, 188, 150)
_SKIN_SHADE: Rgb = (212, 150, 114)
_HAIR: Rgb = (92, 50, 30)
_HAIR_LIGHT: Rgb = (138, 82, 46)
_COAT: Rgb = (222, 170, 48)
_COAT_SHADE: Rgb = (184, 128, 34)
_SCARF: Rgb = (190, 52, 56)
_WHITE: Rgb = (250, 248, 242)
_INK: Rgb = (46, 34, 40)


def boat(canvas: Canvas, seconds: float) -> None:
    """A sailing boat about 90 units wide; the origin is the middle of its waterline."""
    lean = 3 * math.sin(1.9 * seconds)
    canvas.line([(0, -8), (lean, -82)], (92, 62, 42), 2.6)
    main = [(2 + lean, -80), (24 + lean, -52), (38, -16), (3, -13)]
    canvas.polygon(curve(main), _WHITE)
    canvas.polygon(curve([(2 + lean, -80), (13 + lean, -52), (14, -15), (3, -13)]), (226, 220, 212))
    for row, colour in ((-32, (206, 62, 58)), (-48, (206, 62, 58))):
        left, right = 2 + lean * -row / 80, 33 + lean * -row / 80 + row * 0.06
        canvas.polygon(
            [(left, row), (right - 4, row - 1), (right - 3, row + 6), (left, row + 7)], colour
        )
    jib = [(-2 + lean, -74), (-16 + lean * 0.5, -44), (-38, -12), (-3, -14)]
    canvas.polygon(curve(jib), (238, 196, 84))
    canvas.polygon(
        curve([(-2 + lean, -74), (-8 + lean, -44), (-16, -13), (-3, -14)]), (220, 164, 60)
    )
    flag = [(lean, -82), (14 + lean, -86 + lean), (12 + lean, -80), (lean, -77)]
    canvas.polygon(flag, _SCARF)
    hull = [(-46, -12), (-20, -9), (10, -9), (44, -14), (33, 5), (-32, 5)]
    canvas.polygon(curve(hull, 6), (120, 58, 40))
    canvas.line([(-46, -11), (-20, -8), (10, -8), (44, -13)], (236, 214, 180), 2.2)
    canvas.line([(-40, -3), (38, -4)], (88, 38, 28), 1.2)
    for step in range(7):
        x = -40 + 13 * step
        y = 6 + 1.6 * math.sin(4 * seconds + step)
        canvas.line(curve([(x - 7, y + 2), (x, y), (x + 7, y + 2)], 5), (236, 244, 246), 1.6)


def lighthouse(canvas: Canvas, seconds: float) -> None:
    """A cliff with a lighthouse and a cottage; the origin is the tower's foot."""
    cliff = [(-140, 10), (-60, -4), (0, -2), (46, 4), (72, 30), (88, 62), (-140, 66)]
    canvas.polygon(curve(cliff, 6), (96, 84, 82))
    canvas.polygon(
        curve([(-140, 9), (-60, -6), (0, -5), (44, 2), (60, 14), (0, 10), (-140, 24)], 6),
        (84, 126, 66),
    )
    for step in range(15):
        x = -120 + 13.2 * step + 5 * math.sin(step * 9.1)
        y = 18 + 3 * (step % 3) + max(0, x - 30) * 0.4
        grey = 74 + 14 * (step % 4)
        canvas.line([(x, y), (x + 3, y + 12), (x - 1, y + 26)], (grey, grey - 8, grey - 6), 2)
    _tower(canvas, seconds)
    _cottage(canvas.at(-62, -4), seconds)


def _tower(canvas: Canvas, seconds: float) -> None:
    def half(y: float) -> float:
        return 13 + y * 0.055

    for band in range(5):
        top, low = -100 + 20 * band, -80 + 20 * band
        colour = (208, 64, 58) if band % 2 == 0 else _WHITE
        shade = (160, 44, 46) if band % 2 == 0 else (206, 202, 206)
        canvas.polygon(
            [(-half(top), top), (half(top), top), (half(low), low), (-half(low), low)], colour
        )
        canvas.polygon(
            [
                (-half(top), top),
                (-half(top) * 0.3, top),
                (-half(low) * 0.3, low),
                (-half(low), low),
            ],
            shade,
        )
    for y in (-72, -34):
        canvas.box(2, y - 6, 7, y + 5, (60, 66, 86))
    canvas.box(-12, -105, 12, -100, _INK)
    glow = int(190 + 60 * math.sin(2.5 * seconds))
    canvas.box(-7, -120, 7, -105, (255, 236, glow))
    canvas.line([(-7, -120), (-7, -105)], _INK, 1.2)
    canvas.line([(0, -120), (0, -105)], _INK, 1.2)
    canvas.line([(7, -120), (7, -105)], _INK, 1.2)
    canvas.polygon([(-10, -119), (0, -133), (10, -119)], (172, 48, 50))
    canvas.ellipse((0, -134), (2, 2), _INK)


def _cottage(canvas: Canvas, seconds: float) -> None:
    canvas.box(14, -42, 22, -24, (132, 82, 70))
    for puff in range(5):
        age = (seconds * 0.45 + puff / 5) % 1
        grey = int(232 - 22 * age)
        place = (18 + 16 * age + 3 * math.sin(6 * age + puff), -46 - 34 * age)
        canvas.ellipse(place, (2.5 + 5 * age, 2 + 4 * age), (grey, grey, grey + 6))
    canvas.box(-28, -24, 30, 2, (242, 228, 202))
    canvas.box(-28, -24, -10, 2, (220, 202, 176))
    roof = [(-35, -22), (-22, -42), (24, -42), (37, -22)]
    canvas.polygon(roof, (186, 92, 60))
    for row in range(4):
        y = -38 + 5 * row
        canvas.line([(-25 - 3.2 * row, y), (27 + 3.2 * row, y)], (150, 66, 44), 1)
    for x in (-22.0, 14.0):
        canvas.box(x, -17, x + 11, -6, (96, 70, 58))
        canvas.box(x + 1, -16, x + 10, -7, (255, 224, 130))
        canvas.line([(x + 5.5, -16), (x + 5.5, -7)], (96, 70, 58), 1)
        canvas.line([(x + 1, -11.5), (x + 10, -11.5)], (96, 70, 58), 1)
    canvas.box(-5, -15, 6, 2, (64, 104, 116))
    canvas.ellipse((3.5, -6), (1, 1), (240, 210, 120))


def gulls(canvas: Canvas, seconds: float, width: float) -> None:
    """Five birds that fly from the right to the left, ``width`` units wide away and back."""
    for x, y, size, pace in (
        (0.43, 62, 10, 16),
        (0.49, 46, 8, 16),
        (0.41, 40, 6, 16),
        (0.90, 52, 11, 20),
        (0.30, 96, 6, 12),
    ):
        place = ((x * width - pace * seconds) % (width + 40) - 20, y + 3 * math.sin(seconds + size))
        lift = math.sin(7 * seconds + size * 1.7)
        wing = 0.45 * size * lift
        bird = canvas.at(*place)
        left = [(-size, -wing), (-size * 0.5, -size * 0.35 - wing * 0.4), (0, 0)]
        right = [(0, 0), (size * 0.5, -size * 0.35 - wing * 0.4), (size, -wing)]
        bird.line(curve([*left, *right[1:]], 5), (58, 62, 82), 1.7)
        bird.ellipse((0, 0.4), (size * 0.22, size * 0.13), _WHITE)


def kite(canvas: Canvas, hand: Point, place: Point, seconds: float) -> None:
    """A kite at ``place``, its string in ``hand``."""
    x, y = place
    sag = ((x + hand[0]) / 2 - 10, (y + hand[1]) / 2 + 24)
    canvas.line(curve([hand, sag, (x, y + 4)]), (246, 240, 230), 0.9)
    flyer = canvas.at(x, y)
    tail = [(6.0 * k + 1, 20 + 9.0 * k + 4 * math.sin(5 * seconds - k)) for k in range(6)]
    flyer.line(curve(tail), (92, 66, 120), 1.2)
    for k, (tx, ty) in enumerate(tail[1:]):
        colour: Rgb = ((238, 190, 62), (210, 66, 70), (70, 140, 168))[k % 3]
        flyer.polygon([(tx - 5, ty - 3), (tx, ty), (tx - 5, ty + 3)], colour)
        flyer.polygon([(tx + 5, ty - 3), (tx, ty), (tx + 5, ty + 3)], colour)
    top, right, low, left = (-6, -24), (17, -6), (2, 22), (-17, 0)
    flyer.polygon([top, right, (0, 0)], (214, 66, 70))
    flyer.polygon([right, low, (0, 0)], (240, 192, 64))
    flyer.polygon([low, left, (0, 0)], (212, 72, 74))
    flyer.polygon([left, top, (0, 0)], (66, 136, 170))
    flyer.line([top, low], (62, 44, 50), 1)
    flyer.line([left, right], (62, 44, 50), 1)


def sign(canvas: Canvas, words: str) -> None:
    """A wooden sign with ``words``; the origin is its foot."""
    canvas.box(-3, -50, 3, 8, (106, 72, 46))
    canvas.polygon([(-44, -58), (42, -61), (54, -45), (43, -30), (-44, -31)], (160, 112, 66))
    for y in (-52, -45, -38):
        canvas.line([(-42, y), (46, y - 1.5)], (140, 94, 54), 1)
    canvas.text((-1, -45), words, 13, (62, 36, 24), 3)


def hand_of_figure(seconds: float) -> Point:
    """Where the figure's raised hand is, from the figure's origin."""
    return (-66 + 2 * math.sin(2.2 * seconds), -62 + 3 * math.cos(2.2 * seconds))


def figure(canvas: Canvas, seconds: float) -> None:
    """A child in a yellow coat who looks at you and flies a kite; the origin is the chin's foot.

    The head is about 76 units tall; the body reaches 120 units below the origin.
    """
    hand = hand_of_figure(seconds)
    _body(canvas, hand, seconds)
    head = canvas.at(1.2 * math.sin(1.1 * seconds), 0.8 * math.sin(2.2 * seconds))
    _hair(head, seconds)
    _face(head, seconds)


def _body(canvas: Canvas, hand: Point, seconds: float) -> None:
    canvas.line(curve([(-30, 34), (-54, -2), hand]), _COAT_SHADE, 21)
    canvas.line(curve([(-31, 30), (-52, -2), (hand[0] + 2, hand[1] + 6)]), _COAT, 15)
    canvas.ellipse(hand, (9, 10), _SKIN_SHADE)
    canvas.ellipse((hand[0] + 1, hand[1] - 1), (8, 9), _SKIN)
    coat = [(-34, 16), (-50, 50), (-60, 130), (64, 130), (54, 50), (36, 16), (0, 8)]
    canvas.polygon(curve(coat, 6), _COAT)
    canvas.polygon(
        curve([(36, 16), (54, 50), (64, 130), (34, 130), (30, 60), (16, 16)], 6), _COAT_SHADE
    )
    canvas.line([(0, 22), (2, 130)], _COAT_SHADE, 1.8)
    for y in (48, 74, 100):
        canvas.ellipse((-7, y), (3.4, 3.4), (110, 66, 30))
        canvas.ellipse((-7.8, y - 0.8), (1.2, 1.2), (206, 160, 100))
    sway = 4 * math.sin(3 * seconds)
    canvas.polygon(
        curve(
            [
                (18, 10),
                (44, 16 + sway),
                (72, 8 + 2 * sway),
                (76, 22 + 2 * sway),
                (46, 32 + sway),
                (16, 24),
            ],
            6,
        ),
        (160, 38, 46),
    )
    canvas.ellipse((0, 12), (33, 12.5), _SCARF)
    for x in range(-24, 30, 9):
        canvas.line([(x, 3), (x + 3, 22)], (226, 108, 92), 1.8)


def _hair(head: Canvas, seconds: float) -> None:
    wind = 4 * math.sin(2.6 * seconds)
    back = [
        (-36, -40),
        (-38, -10),
        (-30, 6),
        (30, 6),
        (40, -8),
        (54 + wind, -2),
        (46 + wind, -22),
        (38, -44),
        (0, -80),
    ]
    head.polygon(curve([*back, back[0]], 8), _HAIR)
    for k in range(4):
        y = -30 + 8 * k
        head.line(curve([(32, y - 8), (40, y), (50 + wind, y + 8)], 6), _HAIR_LIGHT, 1.3)


def _face(head: Canvas, seconds: float) -> None:
    head.ellipse((-33, -32), (6, 8), _SKIN_SHADE)
    head.ellipse((33, -32), (6, 8), _SKIN_SHADE)
    face = [(-32, -44), (-32, -22), (-20, -2), (0, 6), (20, -2), (32, -22), (32, -44), (0, -66)]
    head.polygon(curve([*face, face[0]], 10), _SKIN)
    shade = [(32, -44), (32, -22), (20, -2), (4, 6), (17, -10), (25, -26), (26, -46)]
    head.polygon(curve(shade, 8), (226, 172, 134))
    head.ellipse((-19, -17), (7, 4.5), (238, 160, 134))
    head.ellipse((19, -17), (7, 4.5), (232, 150, 122))
    blink = 0.12 if (seconds % 3.1) > 2.95 else 1.0
    for x in (-13.0, 13.0):
        head.ellipse((x, -30), (6.4, 7.0 * blink), _WHITE)
        head.ellipse((x - 0.8, -29.5), (4.1, 5.2 * blink), (70, 104, 84))
        head.ellipse((x - 0.8, -29.5), (2.3, 3.2 * blink), _INK)
        head.ellipse((x - 2.3, -31.8), (1.3, 1.5 * blink), _WHITE)
        head.line(curve([(x - 7, -32), (x, -38), (x + 7, -32)], 6), _INK, 1.6)
        head.line(curve([(x - 7, -43), (x, -46.5), (x + 7, -43)], 6), _HAIR, 2.2)
    head.line(curve([(1, -28), (4, -18), (-1, -16)], 6), _SKIN_SHADE, 1.6)
    mouth = [(-11, -10), (0, -6.5), (11, -10), (6, -2.5), (0, -1), (-6, -2.5)]
    head.polygon(curve([*mouth, mouth[0]], 6), (150, 48, 52))
    head.polygon(curve([(-8, -9), (0, -6), (8, -9), (5, -5.8), (0, -4.6), (-5, -5.8)], 6), _WHITE)
    fringe = [
        (-35, -36),
        (-26, -50),
        (-8, -50),
        (2, -56),
        (12, -49),
        (28, -48),
        (35, -36),
        (37, -56),
        (0, -82),
        (-37, -56),
    ]
    head.polygon(curve([*fringe, fringe[0]], 8), _HAIR)
    for k in range(5):
        x = -24 + 11 * k
        head.line(curve([(x * 0.4, -74), (x * 0.8, -64), (x, -53)], 6), _HAIR_LIGHT, 1.3)
    hat = [(-38, -58), (-36, -78), (0, -98), (36, -78), (38, -58), (0, -68)]
    head.polygon(curve([*hat, hat[0]], 8), (58, 96, 148))
    head.polygon(curve([(14, -66), (22, -92), (36, -78), (38, -58)], 8), (44, 74, 120))
    for k in range(9):
        x = -35 + 8.75 * k
        y = -62 - 7 * (1 - (x / 35) ** 2)
        head.ellipse((x, y), (5.6, 6.4), (232, 226, 214) if k % 2 else (206, 198, 190))
    head.ellipse((0, -100), (9, 8.5), _SCARF)
    head.ellipse((-2.5, -102.5), (3, 2.6), (226, 108, 92))
