"""Writes scipy_values.json: expected values for statistics_test.cpp, by an independent library.

Obtained with Python 3.11, scipy and statsmodels from PyPI in a scratch virtual environment:
    python3 scipy_values.py > scipy_values.json
The program and its build never run this; the values are checked in.
"""
import json
import sys

import numpy as np
import scipy
import statsmodels
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

out = {"scipy": scipy.__version__, "statsmodels": statsmodels.__version__}

ps = [1e-300, 1e-20, 1e-9, 1e-5, 0.001, 0.01, 0.024, 0.025, 0.1, 0.3, 0.5, 0.6, 0.8, 0.975, 0.999]
out["normal_quantile"] = [[p, float(stats.norm.ppf(p))] for p in ps]
out["normal_cdf"] = [[z, float(stats.norm.cdf(z))] for z in (-37.0, -8.0, -3.0, -1.0, 0.0, 0.5, 2.0, 6.0)]
dfs = [1, 2, 3, 4.5, 10, 56, 123.4, 1000, 14041, 214669]
out["student_cdf"] = [[t, df, float(stats.t.cdf(t, df))]
                      for df in dfs for t in (-40.0, -6.0, -2.0, -0.3, -1e-4, 0.7, 1.96, 3.0)]
out["student_quantile"] = [[p, df, float(stats.t.ppf(p, df))]
                           for df in dfs for p in (1e-6, 0.005, 0.025, 0.2, 0.45, 0.9, 0.975, 0.9995)]
out["incomplete_beta"] = [[a, b, x, float(scipy.special.betainc(a, b, x))]
                          for a, b in ((0.5, 0.5), (1, 3), (2.5, 7), (30, 0.5), (19, 21), (300, 20),
                                       (7000, 7100), (120000, 90000))
                          for x in (1e-6, 0.01, 0.3, 0.497, 0.57, 0.9, 0.999)]
out["mcnemar"] = [[b, c, float(stats.binomtest(b, b + c, 0.5).pvalue) if b + c else 1.0]
                  for b, c in ((0, 0), (0, 1), (1, 0), (0, 6), (3, 9), (10, 10), (10, 11), (55, 83), (400, 520),
                               (1500, 1702), (20000, 20500))]
out["wilson"] = [[k, n, *map(float, proportion_confint(k, n, 0.05, "wilson"))]
                 for k, n in ((0, 1), (1, 1), (0, 20), (20, 20), (3, 17), (82, 164), (160, 164), (7021, 14042),
                              (1, 14042))]
p = [0.0004, 0.04, 0.041, 0.3, 0.9, 0.012, 0.012, 1.0, 0.0000001, 0.06]
out["p_values"] = p
out["holm"] = multipletests(p, method="holm")[1].tolist()
out["benjamini_hochberg"] = multipletests(p, method="fdr_bh")[1].tolist()

# Means with clustered errors. Data: a fixed formula, written out so that both sides have the bits.
rng = np.random.default_rng(5)
n = 90
cluster = np.sort(rng.integers(0, 30, n))
group = cluster // 6
x = np.round(rng.random(n), 3)
w = np.round(rng.random(n) * 1000 + 1)
out["data"] = {"x": x.tolist(), "w": w.tolist(), "cluster": cluster.tolist(), "group": group.tolist()}


def ratio(x, w, cluster):
    """Weighted mean and its cluster-robust error, as regression on a constant (HC0 over clusters
    with the G/(G-1) factor: statsmodels' use_correction multiplies by G/(G-1) * (n-1)/(n-k), k=1)."""
    fit = sm.WLS(x, np.ones_like(x), weights=w).fit(cov_type="cluster", cov_kwds={"groups": cluster, "use_correction": True})
    return [float(fit.params[0]), float(fit.bse[0])]


out["mean_independent"] = [float(x.mean()), float(stats.sem(x))]
out["student_interval"] = [float(v) for v in stats.t.interval(0.95, n - 1, x.mean(), stats.sem(x))]
out["mean_clustered"] = ratio(x, np.ones(n), cluster)
out["mean_weighted_clustered"] = ratio(x, w, cluster)
ks = sorted(set(group.tolist()))
means = [x[group == k].mean() for k in ks]
sems = [stats.sem(x[group == k]) for k in ks]
out["macro_independent"] = [float(np.mean(means)), float(np.sqrt(np.sum(np.square(sems))) / len(ks))]
csems = [ratio(x[group == k], np.ones((group == k).sum()), cluster[group == k])[1] for k in ks]
out["macro_clustered"] = [float(np.mean(means)), float(np.sqrt(np.sum(np.square(csems))) / len(ks))]

# Bootstrap: a Monte Carlo reference with another generator and 200,000 resamples.
d = np.round(rng.normal(0.02, 0.3, n), 3)
out["difference"] = d.tolist()
sums = np.array([d[cluster == c].sum() for c in np.unique(cluster)])
sizes = np.array([(cluster == c).sum() for c in np.unique(cluster)])
draw = rng.integers(0, len(sums), (200000, len(sums)))
boot = sums[draw].sum(1) / sizes[draw].sum(1)
out["bootstrap_interval"] = [float(v) for v in np.quantile(boot, [0.025, 0.975])]
out["bootstrap_p"] = float(2 * min((boot <= 0).mean(), (boot >= 0).mean()))
out["mde"] = [0.01, float((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * 0.01)]

# Random cases and the edges of every closed formula.
rng = np.random.default_rng(20261126)
log_uniform = lambda low, high: float(np.exp(rng.uniform(np.log(low), np.log(high))))
extra = {}
extra["normal_quantile"] = [[p, float(stats.norm.ppf(p))] for p in [log_uniform(1e-250, 0.5) for _ in range(30)] +
                            [1 - log_uniform(1e-14, 0.5) for _ in range(30)] + [0.5, 1 - 2.0**-53, 5e-324 * 2**60]]
extra["normal_cdf"] = [[z, float(stats.norm.cdf(z))] for z in rng.uniform(-38, 9, 40).tolist()]
extra["student_cdf"] = [[t, df, float(stats.t.cdf(t, df))]
                        for t, df in ((float(rng.standard_t(2)) * log_uniform(0.01, 30), log_uniform(0.6, 1e6)) for _ in range(80))]
extra["student_quantile"] = [[p, df, float(stats.t.ppf(p, df))]
                             for p, df in ((log_uniform(1e-12, 0.5), log_uniform(0.6, 1e6)) for _ in range(60))]
extra["incomplete_beta"] = [[a, b, x, float(scipy.special.betainc(a, b, x))]
                            for a, b, x in ((log_uniform(0.2, 3e5), log_uniform(0.2, 3e5), float(rng.random())) for _ in range(60))]
extra["incomplete_beta"] += [[1.0, 1.0, 0.0, 0.0], [2.0, 3.0, 1.0, 1.0]]
# (where x lies near the mean of the distribution, so that the value is neither 0 nor 1)
for _ in range(60):
    a, b = log_uniform(1, 2e5), log_uniform(1, 2e5)
    x = float(np.clip(a / (a + b) + rng.normal() * np.sqrt(a * b / (a + b + 1)) / (a + b), 1e-9, 1 - 1e-9))
    extra["incomplete_beta"].append([a, b, x, float(scipy.special.betainc(a, b, x))])
extra["binomial_cdf"] = [[k, n, p, float(stats.binom.cdf(k, n, p))] for n, p in
                         ((int(log_uniform(1, 20000)), float(rng.random())) for _ in range(60))
                         for k in [int(np.clip(rng.binomial(n, p), 0, n))]]
extra["binomial_cdf"] += [[0, 0, 0.3, 1.0], [0, 5, 0.0, 1.0], [4, 5, 1.0, 0.0], [5, 5, 1.0, 1.0], [0, 1, 0.25, 0.75]]
extra["mcnemar"] = [[b, n - b, float(stats.binomtest(b, n, 0.5).pvalue)]
                    for n in [int(log_uniform(1, 40000)) for _ in range(80)] for b in [int(rng.binomial(n, rng.choice([0.5, 0.5, 0.45, 0.3])))]]
extra["wilson"] = [[k, n, level, *map(float, proportion_confint(k, n, 1 - level, "wilson"))]
                   for n in [int(log_uniform(1, 20000)) for _ in range(40)] for k in [int(rng.integers(0, n + 1))]
                   for level in (0.95, 0.99)]
extra["pass_at_k"] = [[n, c, k, float(1 - scipy.special.comb(n - c, k, exact=True) / scipy.special.comb(n, k, exact=True))]
                      for n in rng.integers(1, 200, 40).tolist() for c in [int(rng.integers(0, n + 1))] for k in [int(rng.integers(1, n + 1))]]
lists = [[], [0.3], [0.0, 1.0], [1.0, 1.0, 1.0], [0.01] * 5, [0.0, 0.0, 0.04]] + \
        [np.round(rng.random(m) ** 3, 3).tolist() for m in rng.integers(2, 40, 12)]  # rounded: ties
extra["multiplicity"] = [[q, multipletests(q, method="holm")[1].tolist() if q else [],
                          multipletests(q, method="fdr_bh")[1].tolist() if q else []] for q in lists]


def sample(n, clusters, groups, kind):
    value = {"binary": lambda: rng.integers(0, 2, n).astype(float), "real": lambda: np.round(rng.random(n), 4),
             "equal": lambda: np.full(n, 0.625), "wide": lambda: np.round(np.exp(rng.normal(0, 3, n)), 6)}[kind]()
    c = np.sort(np.concatenate([np.arange(clusters), rng.integers(0, clusters, n - clusters)]))
    weight = np.round(rng.random(n) * 50 + 0.5, 2)
    return value, weight, c, (c * groups) // clusters


# Means: clustered error and interval by regression on a constant with Student's G - 1 degrees of freedom.
extra["micro"] = []
for n, clusters, kind in ((2, 2, "real"), (3, 2, "real"), (5, 5, "wide"), (40, 3, "real"), (60, 60, "real"), (200, 17, "wide"),
                          (30, 6, "equal"), (500, 100, "real"), (1000, 999, "wide")):
    x, w, c, _ = sample(n, clusters, 1, kind)
    for weights in (np.ones(n), w):
        value, error = ratio(x, weights, c)
        half = stats.t.ppf(0.975, clusters - 1) * error
        extra["micro"].append({"x": x.tolist(), "w": weights.tolist(), "cluster": c.tolist(),
                               "value": value, "error": error, "low": float(value - half), "high": float(value + half)})
# Two groups of independent documents: the macro mean's error and degrees of freedom are those of Welch's test.
extra["welch"] = []
for n, m in ((2, 2), (2, 30), (5, 7), (40, 400), (13, 13)):
    x, y = np.round(rng.random(n), 4), np.round(rng.random(m) * 3, 4)
    test = stats.ttest_ind(x, -y, equal_var=False)  # (x.mean() + y.mean()) / standard error
    error = float((x.mean() + y.mean()) / test.statistic / 2)
    ci = test.confidence_interval(0.95)
    extra["welch"].append({"x": x.tolist(), "y": y.tolist(), "value": float((x.mean() + y.mean()) / 2), "error": error,
                           "df": float(test.df), "low": float(ci.low / 2), "high": float(ci.high / 2)})
# Paired proportions: Bonett and Price (2012), equation 4, written out.
extra["bonett_price"] = []
for n, up, down in [(1, 0, 0), (1, 1, 0), (10, 0, 0), (10, 10, 0), (10, 0, 10), (7, 3, 4), (164, 9, 2), (5000, 310, 402), (20, 10, 10)]:
    p1, p2 = (up + 1) / (n + 2), (down + 1) / (n + 2)
    half = stats.norm.ppf(0.975) * np.sqrt((p1 + p2 - (p1 - p2) ** 2) / (n + 2))
    extra["bonett_price"].append([n, up, down, float(max(-1, p1 - p2 - half)), float(min(1, p1 - p2 + half)),
                                  float(stats.binomtest(up, up + down, 0.5).pvalue) if up + down else 1.0])
# Paired differences of 0/1 values with clusters: Student's test on the regression's error.
extra["paired_clustered"] = []
for n, clusters in ((12, 3), (60, 12), (400, 57)):
    a, _, c, _ = sample(n, clusters, 1, "binary")
    b = np.where(rng.random(n) < 0.7, a, rng.integers(0, 2, n)).astype(float)
    value, error = ratio(b - a, np.ones(n), c)
    half = stats.t.ppf(0.975, clusters - 1) * error
    extra["paired_clustered"].append({"a": a.tolist(), "b": b.tolist(), "cluster": c.tolist(), "value": value, "error": error,
                                      "low": float(value - half), "high": float(value + half),
                                      "p": float(2 * stats.t.sf(abs(value) / error, clusters - 1))})
out["extra"] = extra
json.dump(out, sys.stdout, indent=0)
