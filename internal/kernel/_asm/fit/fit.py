"""Fits the polynomials of ../vec: relative minimax by iterated weighted least squares.

Run: python fit.py   (numpy, mpmath). Prints coefficients, lowest power first, with the largest relative
error before rounding to float32. The Go tests measure what the rounded loops reach.
"""
import mpmath as mp
import numpy as np

mp.mp.dps = 40


def fit(name, f, lo, hi, degree, scale, rounds=60):
    """Polynomial p with p(x) ~ f(x) on [lo, hi]; scale(x) turns the error of p into a relative one."""
    n = 1500
    x = (lo + hi) / 2 + (hi - lo) / 2 * np.cos(np.pi * (np.arange(n) + 0.5) / n)
    y = np.array([float(f(mp.mpf(v))) for v in x])
    s = np.array([float(scale(mp.mpf(v))) for v in x])
    mid, half = (lo + hi) / 2, (hi - lo) / 2
    a = np.polynomial.chebyshev.chebvander((x - mid) / half, degree)
    w = np.ones(n)
    for _ in range(rounds):  # Lawson's weights drive least squares to minimax
        c = np.linalg.lstsq(a * (w * s)[:, None], y * w * s, rcond=None)[0]
        e = np.abs((a @ c - y) * s)
        w = w * (e / e.max() + 0.02) ** 0.5
        w /= w.max()
    poly = np.polynomial.chebyshev.Chebyshev(c, domain=[lo, hi]).convert(kind=np.polynomial.Polynomial).coef
    print(f"{name}: max error {e.max():.3g}")
    print("  ", ", ".join(f"{v:.9g}" for v in poly))


ln2 = mp.log(2) / 2
h = float(ln2) * 1.01
# e^r = 1 + r + r^2 Q(r)
fit("exp degree 6", lambda r: (mp.exp(r) - 1 - r) / r**2 if r else mp.mpf(0.5), -h, h, 4, lambda r: r**2)
fit("exp degree 5", lambda r: (mp.exp(r) - 1 - r) / r**2 if r else mp.mpf(0.5), -h, h, 3, lambda r: r**2)
# tanh x = x + x^3 P(x^2), variable x^2
fit("tanh below 0.6", lambda s: (mp.tanh(mp.sqrt(s)) / mp.sqrt(s) - 1) / s, 1e-6, 0.36, 4, lambda s: s)
# erf x = x + x P(x^2), variable x^2
fit("erf below 0.93", lambda s: mp.erf(mp.sqrt(s)) / mp.sqrt(s) - 1, 1e-9, 0.93**2, 6, lambda s: mp.mpf(1))
# erf x = 1 - e^(-x Q(x)): error of erf itself
fit("erf above 0.92", lambda t: -mp.log(mp.erfc(t)) / t, 0.92, 4.0, 7, lambda t: t * mp.erfc(t) / mp.erf(t))
# erfc x = e^(-x^2) u Q(u) with u = 1/(1 + x/2)
fit("erfc", lambda u: mp.exp((2 / u - 2)**2) * mp.erfc(2 / u - 2) / u, 1 / (1 + 0.5 * 10.5), 1.0, 9, lambda u: u / (mp.exp((2 / u - 2)**2) * mp.erfc(2 / u - 2)))
